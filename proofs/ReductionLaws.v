(* The laws of `rules/reductions.egg` are sound. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals ZArith List Bool Lia FunctionalExtensionality.
From Ncd Require Import Folds Monoids Sizes Contexts Wires Facts Laws Table.
Import ListNotations.
Local Open Scope nat_scope.

(* Folds ------------------------------------------------------------------------------------ *)

Lemma vfold_ext m n f g : (forall i, i < n -> f i = g i) -> vfold m n f = vfold m n g.
Proof. apply reduce_ext. Qed.
Lemma vfold_plain m n f : (forall x, value_alone m x = x) -> 0 < n ->
  vfold m n f = Red (value_op m) n f.
Proof.
  intros A N. unfold vfold. rewrite reduce_positive by exact N.
  apply Red_ext; [exact N|]. intros i _. apply A.
Qed.
Lemma vfold_constant m n f c : 0 < n -> value_alone m c = c -> value_op m c c = c ->
  (forall i, i < n -> f i = c) -> vfold m n f = c.
Proof.
  intros N A O F. rewrite (vfold_ext m n f (fun _ => c)) by exact F.
  unfold vfold. rewrite reduce_positive by exact N. rewrite A. now apply Red_constant.
Qed.
(* What distributes over a monoid moves out of a fold of what it distributes over. *)
Lemma vfold_factor m h (P : value -> Prop) n f g : (forall x, value_alone m x = x) -> 0 < n ->
  (forall x y, P x -> P y -> P (value_op m x y)) ->
  (forall x y, P x -> P y -> value_op m (h x) (h y) = h (value_op m x y)) ->
  (forall i, i < n -> P (g i)) -> (forall i, i < n -> f i = h (g i)) ->
  vfold m n f = h (vfold m n g).
Proof.
  intros A N C D Pg E. rewrite !vfold_plain by assumption.
  rewrite (Red_ext _ n f (fun i => h (g i))) by assumption. clear E.
  induction n as [|[|n] IH]; [lia | reflexivity |].
  rewrite !(Red_S _ (S n)), IH by (try lia; intros; apply Pg; lia). apply D; [|apply Pg; lia].
  apply Red_property; [lia | exact C | intros; apply Pg; lia].
Qed.
Lemma fold_op m n f g : regroups m = true -> (forall x, alone m x = x) ->
  fold m n (fun i => combine m (f i) (g i)) = combine m (fold m n f) (fold m n g).
Proof.
  intros H A. pose proof (monoid_commutative _ H) as L. unfold fold. destruct n as [|n].
  - symmetry. apply (unit_unit _ _ _ L).
  - rewrite !reduce_positive by lia.
    rewrite <- (Red_op _ (op_assoc _ _ _ L) (op_comm _ _ _ L)).
    apply Red_ext; [lia|]. intros i _. now rewrite !A.
Qed.

(* One element settles a fold of elements that it absorbs. *)
Lemma Red_absorbed {A} (op : A -> A -> A) (P : A -> Prop) z n f k :
  (forall x y, P x -> P y -> P (op x y)) -> (forall x, P x -> op x z = z /\ op z x = z) ->
  (forall i, i < n -> P (f i)) -> k < n -> f k = z -> Red op n f = z.
Proof.
  intros C Z. revert k. induction n as [|[|n] IH]; intros k F Hk E; [lia| |].
  - rewrite Red_1. now replace 0 with k by lia.
  - rewrite Red_S by lia. destruct (Nat.eq_dec k (S n)) as [->|N].
    + rewrite E. apply Z. apply (Red_property op P); [lia | exact C | intros; apply F; lia].
    + rewrite (IH k) by (first [lia | exact E | intros; apply F; lia]). apply Z, F. lia.
Qed.
Lemma vfold_settled m n f k (b : bool) : m = (if b then Any else All) ->
  (forall i, i < n -> boolean (f i)) -> k < n -> f k = truth b -> vfold m n f = truth b.
Proof.
  intros E B Hk T. assert (A : forall v, boolean v -> value_alone m v = v).
  { intros v Hv. destruct (boolean_cases v Hv) as [c ->]. subst m.
    destruct b; [apply (vor_truth false c) | apply (vand_truth true c)]. }
  unfold vfold. rewrite reduce_positive by lia.
  apply (Red_absorbed _ boolean) with (k := k); auto.
  - intros x y Hx Hy. destruct (boolean_cases x Hx) as [c ->], (boolean_cases y Hy) as [d ->].
    subst m. destruct b; cbn [value_op]; rewrite ?vand_truth, ?vor_truth; apply boolean_truth.
  - intros x Hx. destruct (boolean_cases x Hx) as [c ->]. subst m.
    destruct b; cbn [value_op]; rewrite ?vand_truth, ?vor_truth; destruct c; auto.
  - intros i Hi. rewrite A; auto.
  - rewrite A; auto.
Qed.

(* What takes one operation to another takes a fold to a fold. *)
Lemma vfold_morphism m m' h n f g : (forall x y, h (value_op m x y) = value_op m' (h x) (h y)) ->
  h (value_unit m) = value_unit m' ->
  (forall i, i < n -> h (value_alone m (f i)) = value_alone m' (g i)) ->
  h (vfold m n f) = vfold m' n g.
Proof.
  intros O U A. unfold vfold. destruct n as [|n]; [exact U|]. rewrite !reduce_positive by lia.
  induction n as [|n IH]; [rewrite !Red_1; apply A; lia|].
  rewrite !(Red_S _ (S n)), O, IH, A by (try lia; intros; apply A; lia). reflexivity.
Qed.

Lemma vfold_sum_constant n c : 0 < n -> vfold Sum n (fun _ => c) = vmul (Fin (INR n)) c.
Proof.
  intros N. unfold vfold. rewrite reduce_positive by exact N. cbn [value_op value_alone].
  induction n as [|[|n] IH]; [lia | symmetry; apply vmul_one |].
  rewrite Red_S, IH, (S_INR (S n)) by lia. pose proof (lt_0_INR (S n) ltac:(lia)).
  destruct c as [a| |]; cbn [vmul]; decide_reals; cbn; try reflexivity; try lra. f_equal. ring.
Qed.

(* Products are a commutative monoid where there is no −∞: with −∞ as good as undefined. *)
Definition finite (x : value) : value := match x with NegInf => Undef | _ => x end.
Definition fmul (x y : value) : value := vmul (finite x) (finite y).
Lemma fmul_commutative : commutative fmul (Fin 1) finite.
Proof. split; value_cases; unfold fmul; cbn; f_equal; ring. Qed.
Lemma vfold_product n f : (forall i, i < n -> no_infinity (f i)) ->
  vfold Product n f = reduce fmul (Fin 1) finite n f /\ no_infinity (vfold Product n f).
Proof.
  intros H. assert (I : forall x, no_infinity x -> finite x = x) by value_cases.
  destruct n as [|n]; [now split|]. unfold vfold, reduce. cbn [value_op value_alone].
  induction n as [|n IH]; [rewrite !Red_1, I by (apply H; lia); auto|].
  rewrite !(Red_S _ (S n)) by lia.
  destruct IH as [<- F]; [auto with arith|]. pose proof (H (S n) ltac:(lia)) as Fn. unfold fmul.
  rewrite (I (f (S n)) Fn), (I _ F), (I (f (S n)) Fn). split; [reflexivity|].
  destruct (Red vmul (S n) f), (f (S n)); cbn in *; tauto.
Qed.
Lemma fold_products n m (f : nat -> nat -> object) p :
  (forall i j, i < n -> j < m -> no_infinity (f i j p)) ->
  fold Product n (fun i => fold Product m (f i)) p
  = reduce fmul (Fin 1) finite n (fun i => reduce fmul (Fin 1) finite m (fun j => f i j p)).
Proof.
  intros H. rewrite fold_at by reflexivity.
  assert (P : forall i, i < n -> fold Product m (f i) p
    = reduce fmul (Fin 1) finite m (fun j => f i j p) /\ no_infinity (fold Product m (f i) p)).
  { intros i Hi. rewrite fold_at by reflexivity. apply vfold_product. auto. }
  rewrite (proj1 (vfold_product n _ (fun i Hi => proj2 (P i Hi)))).
  apply reduce_ext. intros i Hi. now apply P.
Qed.

(* Axes ------------------------------------------------------------------------------------- *)

Lemma independent_put G M x t r k : (forall a, In a (leaves G x) -> ~ In a (free G t)) ->
  denote G M t (put G M r x k) = denote G M t r.
Proof.
  intros H. apply denote_agree. intros a Ha. apply put_in_other. intros N. exact (H a N Ha).
Qed.
Lemma known_under G M t F r x k : model_ok M G -> splits_ok G M ->
  everywhere G t (fun M r => forall p, has F (denote G M t r p)) ->
  in_range G M (without (free G t) (leaves G x)) r -> k < length_of G M x ->
  forall p, has F (denote G M t (put G M r x (Z.of_nat k)) p).
Proof.
  intros ok s K R Hk. apply (K M ok s), put_in_bounds; auto. unfold length_of in Hk. lia.
Qed.

Lemma known_under_two G M t F r x y j k : model_ok M G -> splits_ok G M ->
  everywhere G t (fun M r => forall p, has F (denote G M t r p)) ->
  in_range G M (without (without (free G t) (leaves G y)) (leaves G x)) r ->
  j < length_of G M x -> k < length_of G M y ->
  forall p, has F (denote G M t (put G M (put G M r x (Z.of_nat j)) y (Z.of_nat k)) p).
Proof.
  intros ok s K R Hj Hk. unfold length_of in *. apply (K M ok s).
  apply put_in_bounds; auto; [lia|]. apply put_in_bounds; auto. lia.
Qed.

(* An axis x = b·r + i reduces by blocks, also where they run past its end. *)
Section Split.
  Variables (G : context) (M : model) (v : valuation) (past : bool) (x b i : nat).
  Hypothesis ok : model_ok M G.
  Hypothesis fit : splits_ok G M.
  Hypothesis K : condition_holds G v (SplitInto past x b i).
  Notation X := (axis_of v x).
  Notation B := (axis_of v b).
  Notation I := (axis_of v i).

  Lemma split_lengths : length_of G M B * length_of G M I
    = Z.to_nat (size_of G M B * size_of G M I).
  Proof.
    destruct K as [H _]. destruct (H M ok fit) as (_ & _ & Hb & Hi & _).
    unfold length_of. symmetry. now apply Z2Nat.inj_mul.
  Qed.
  Lemma split_put r j k : k < length_of G M I -> put G M r X (Z.of_nat (j * length_of G M I + k))
    = put G M (put G M r B (Z.of_nat j)) I (Z.of_nat k).
  Proof.
    intros Hk. destruct K as [H _]. destruct (H M ok fit) as (P & _ & _ & Hi & _).
    set (e := length_of G M I) in *.
    assert (E : size_of G M I = Z.of_nat e) by (unfold e, length_of; lia).
    rewrite P, E, <- Nat2Z.inj_div, <- Nat2Z.inj_mod, Nat.add_comm, Nat.div_add,
      Nat.mod_add, Nat.div_small, Nat.mod_small by lia. reflexivity.
  Qed.
  Lemma split_bounds l r k : k < length_of G M B * length_of G M I ->
    in_range G M (without l (leaves G X)) r -> in_range G M l (put G M r X (Z.of_nat k)).
  Proof.
    rewrite split_lengths. intros Hk R. destruct K as (H & L & _).
    destruct (H M ok fit) as (P & _ & Hb & Hi & _). rewrite P.
    assert (0 < size_of G M I)%Z by nia.
    apply put_in_bounds; auto; [apply Z.mod_pos_bound; lia|].
    apply put_in_bounds; auto; [split; [apply Z.div_pos | apply Z.div_lt_upper_bound]; nia|].
    intros a Ha. rewrite !without_in in Ha. apply R. rewrite without_in, L, in_app_iff. tauto.
  Qed.
  Lemma split_get r k : k < length_of G M B * length_of G M I ->
    get G M (put G M r X (Z.of_nat k)) X = Z.of_nat k.
  Proof.
    rewrite split_lengths. intros Hk. destruct K as (H & _ & D).
    destruct (H M ok fit) as (P & Q & Hb & Hi & _). destruct fit as [F A].
    assert (0 < size_of G M I)%Z by nia. rewrite Q, P.
    unfold get at 2, put at 3. rewrite get_put_in by (auto; apply Z.mod_pos_bound; lia).
    replace (get G M _ B) with (Z.of_nat k / size_of G M I)%Z;
      [rewrite Z.mul_comm; symmetry; apply Z.div_mod; lia|].
    transitivity (get G M (put G M r B (Z.of_nat k / size_of G M I)) B).
    - symmetry. apply get_put_in; auto. split; [apply Z.div_pos | apply Z.div_lt_upper_bound]; nia.
    - apply get_in_agree. intros a Ha. symmetry. apply put_in_other. exact (D a Ha).
  Qed.

  Context {A : Type} (op : A -> A -> A) (unit : A) (alone : A -> A).
  Hypothesis laws : commutative op unit alone.
  Notation reduce := (reduce op unit alone).

  Lemma reduce_blocks (f : env -> A) r :
    reduce (length_of G M B * length_of G M I) (fun k => f (put G M r X (Z.of_nat k)))
    = reduce (length_of G M B) (fun j => reduce (length_of G M I) (fun k =>
        f (put G M (put G M r B (Z.of_nat j)) I (Z.of_nat k)))).
  Proof.
    rewrite (reduce_split _ _ _ laws). apply reduce_ext. intros j _. apply reduce_ext. intros k Hk.
    now rewrite split_put.
  Qed.
  Lemma reduce_split_axis (f : env -> A) r : past = false ->
    reduce (length_of G M X) (fun k => f (put G M r X (Z.of_nat k)))
    = reduce (length_of G M B) (fun j => reduce (length_of G M I) (fun k =>
        f (put G M (put G M r B (Z.of_nat j)) I (Z.of_nat k)))).
  Proof.
    intros E. rewrite <- reduce_blocks, split_lengths. destruct K as [H _].
    destruct (H M ok fit) as (_ & _ & _ & _ & S). rewrite E in S. unfold length_of at 1.
    now rewrite S.
  Qed.
  Lemma reduce_masked_axis (f g : env -> A) r : past = true -> (forall z, op unit z = alone z) ->
    (forall q, (get G M q X < size_of G M X)%Z -> f q = g q) ->
    (forall k, k < length_of G M B * length_of G M I ->
       let q := put G M r X (Z.of_nat k) in (size_of G M X <= get G M q X)%Z ->
       alone (g q) = unit) ->
    reduce (length_of G M X) (fun k => f (put G M r X (Z.of_nat k)))
    = reduce (length_of G M B) (fun j => reduce (length_of G M I) (fun k =>
        g (put G M (put G M r B (Z.of_nat j)) I (Z.of_nat k)))).
  Proof.
    intros E U F O. rewrite <- reduce_blocks.
    assert (L : length_of G M X <= length_of G M B * length_of G M I).
    { rewrite split_lengths. destruct K as [H _]. destruct (H M ok fit) as (_ & _ & _ & _ & S).
      rewrite E in S. unfold length_of. lia. }
    replace (length_of G M B * length_of G M I) with (length_of G M X
      + (length_of G M B * length_of G M I - length_of G M X)) by lia.
    apply (reduce_masked _ _ _ laws U).
    - intros k Hk. apply F. rewrite split_get by lia. unfold length_of in Hk. lia.
    - intros k Hk Lk. apply O; [lia|]. rewrite split_get by lia. unfold length_of in Hk. lia.
  Qed.
End Split.
(* The mask of blocks that run past the end of an axis. *)
Lemma mask_holds G M v x p r : model_ok M G -> splits_ok G M ->
  condition_holds G v (IndexIs p (IMinus (IMinus (IExtent x) (ILit 1)) (IAxis x))) ->
  Wires.holds (index_at G M r (index_of v p))
  = (get G M r (axis_of v x) <? size_of G M (axis_of v x))%Z.
Proof.
  intros ok s K. unfold Wires.holds. rewrite (K M ok s r). unfold index_at.
  cbn [index_value eval Minus]. rewrite close_eval.
  change (eval (sizes M) (fun _ => 0%Z) (extent G (axis_of v x))) with (size_of G M (axis_of v x)).
  destruct (Z.ltb_spec (get G M r (axis_of v x)) (size_of G M (axis_of v x)));
    [apply Z.leb_le | apply Z.leb_gt]; lia.
Qed.

(* The laws --------------------------------------------------------------------------------- *)

Ltac nonempty K := match goal with ok : model_ok ?M ?G, s : splits_ok ?G ?M |- _ =>
  pose proof (K M ok s); unfold length_of; cbv beta in *; lia end.
(* A term that does not depend on the axis of a fold moves out of it, through h. *)
Ltac factor_out m h P N := rewrite !fold_at by reflexivity; eapply (vfold_factor m h P);
  [reflexivity | nonempty N | | | | intros i _; cbn beta; now rewrite independent_put].
Ltac constant_fold N := rewrite fold_at by reflexivity; apply vfold_constant;
  [nonempty N | | | intros i _; now rewrite independent_put].
(* The fact K of a term under a fold. *)
Ltac fact_under K := apply (known_under _ _ _ _ _ _ _ ltac:(eassumption) ltac:(eassumption) K);
  [range | assumption].

Lemma sound_sum_add : law_sound law_sum_add.
Proof. open_law. apply (fold_op Sum); reflexivity. Qed.

Lemma sound_sum_mul : law_sound law_sum_mul.
Proof.
  open_law. at_path p. destruct K0 as [K0|K0].
  - factor_out Sum (vmul (denote G M (term_of v 0) r p)) (fun _ : value => True) K1; auto.
    intros x y _ _. symmetry. apply vmul_distribute_positive, (K0 M ok splits). range.
  - factor_out Sum (vmul (denote G M (term_of v 0) r p)) no_infinity K1; [value_cases | |].
    + intros x y Hx Hy. symmetry. apply vmul_distribute_finite; auto.
      apply (K0 0); cbn; auto. range.
    + intros i Hi. apply (K0 1); cbn; auto. apply put_in_bounds; auto; [|range].
      unfold length_of in Hi. lia.
Qed.

Lemma sound_sum_constant : law_sound law_sum_constant.
Proof.
  open_law. at_path p. rewrite fold_at by reflexivity.
  rewrite (vfold_ext _ _ _ (fun _ => denote G M (term_of v 0) r p))
    by (intros i _; now rewrite independent_put).
  rewrite vfold_sum_constant by nonempty K0. rewrite (K1 M ok splits r), INR_IZR_INZ.
  unfold index_at. cbn [index_value]. rewrite close_eval. pose proof (K0 M ok splits).
  unfold length_of. rewrite Z2Nat.id; [reflexivity|]. cbv beta in *. lia.
Qed.

Lemma sound_max_add : law_sound law_max_add.
Proof.
  open_law. at_path p.
  factor_out Max (vadd (denote G M (term_of v 0) r p)) (fun _ : value => True) K0; auto.
  intros x y _ _. apply vmax_add.
Qed.

Lemma sound_max_mul : law_sound law_max_mul.
Proof.
  open_law. at_path p. fact_at K0 p F. apply has_positive_or_undefined in F.
  factor_out Max (vmul (denote G M (term_of v 0) r p)) (fun _ : value => True) K1; auto.
  intros x y _ _. now apply vmax_mul.
Qed.

Lemma sound_max_constant : law_sound law_max_constant.
Proof. open_law. at_path p. constant_fold K0; [reflexivity | apply vmax_self]. Qed.

Lemma sound_min_constant : law_sound law_min_constant.
Proof. open_law. at_path p. constant_fold K0; [reflexivity | apply vmin_self]. Qed.

Lemma vfold_min_opposite n f : (forall i, i < n -> no_infinity (f i)) ->
  vfold Min n f = vmul (Fin (-1)) (vfold Max n (fun i => vmul (Fin (-1)) (f i))).
Proof.
  intros B. destruct n as [|n]; [cbn; decide_reals; [lra | reflexivity]|].
  unfold vfold. rewrite !reduce_positive by lia. cbn [value_op value_alone].
  assert (P : no_infinity (Red vmin (S n) f)).
  { apply (Red_property _ no_infinity); [lia | | exact B]. value_cases. }
  rewrite <- (Red_morphism vmin vmax (vmul (Fin (-1)))).
  - destruct (Red vmin (S n) f) as [a| |]; [|contradiction|reflexivity].
    cbn [vmul]. f_equal. lra.
  - intros [a| |] [b| |]; cbn; decide_reals; try lra; try reflexivity. f_equal.
    unfold Rmax, Rmin. destruct (Rle_dec a b), (Rle_dec (-1 * a) (-1 * b)); lra.
Qed.
Lemma sound_min_opposite : law_sound law_min_opposite.
Proof.
  open_law. at_path p. rewrite !fold_at by reflexivity.
  replace (Q2R (-1 # 1)) with (-1)%R by (unfold Q2R; cbn; lra).
  rewrite vfold_min_opposite; [reflexivity|].
  intros i Hi. apply has_no_infinity. fact_under K.
Qed.

Lemma sound_all_constant : law_sound law_all_constant.
Proof.
  open_law. at_path p. fact_at K0 p F. apply has_boolean, boolean_cases in F as [b F].
  constant_fold K1; rewrite F; cbn [value_op value_alone]; rewrite vand_truth; now destruct b.
Qed.

Lemma sound_any_constant : law_sound law_any_constant.
Proof.
  open_law. at_path p. fact_at K0 p F. apply has_boolean, boolean_cases in F as [b F].
  constant_fold K1; rewrite F; cbn [value_op value_alone]; rewrite vor_truth; now destruct b.
Qed.

Lemma sound_any_all : law_sound law_any_all.
Proof.
  open_law. at_path p. rewrite !fold_at by reflexivity. symmetry.
  apply (vfold_morphism All Any vnot); cbn [value_op value_unit value_alone].
  - intros x y. destruct x, y; cbn [vand vnot vor]; rewrite ?vnot_truth, ?vor_truth; try reflexivity.
    unfold vnot, vor, truth. now destruct (is_zero r0), (is_zero r1); cbn; decide_reals.
  - apply vnot_truth.
  - intros i _. destruct (denote _ _ _ _ _) as [a| |]; try reflexivity. cbn [vnot].
    rewrite vand_truth, vnot_truth. cbn [vor truth andb]. unfold is_zero at 2.
    destruct (Req_EM_T 0 0); [reflexivity | contradiction].
Qed.
Lemma sound_equal_infinity_max : law_sound law_equal_infinity_max.
Proof.
  open_law. at_path p. rewrite !fold_at by reflexivity.
  apply (vfold_morphism Max All (fun v => vequal v NegInf)); cbn [value_op value_unit value_alone].
  - intros x y. destruct x, y; cbn [vmax vequal]; rewrite ?vand_truth; reflexivity.
  - reflexivity.
  - intros i _. destruct (denote _ _ _ _ _); cbn [vequal]; rewrite ?vand_truth; reflexivity.
Qed.

Lemma sound_all_witness : law_sound law_all_witness.
Proof.
  open_law. at_path p. rewrite fold_at by reflexivity.
  destruct (K0 M ok splits r ltac:(range)) as (k & Hk & E).
  rewrite Q2R_0. apply (vfold_settled All _ _ k false); auto.
  intros i Hi. apply has_boolean. fact_under K.
Qed.

Lemma sound_any_witness : law_sound law_any_witness.
Proof.
  open_law. at_path p. rewrite fold_at by reflexivity.
  destruct (K0 M ok splits r ltac:(range)) as (k & Hk & E).
  rewrite Q2R_1. apply (vfold_settled Any _ _ k true); auto.
  intros i Hi. apply has_boolean. fact_under K.
Qed.

(* All hold where one does, and all. *)
Lemma vfold_all_at n f k : (forall i, i < n -> boolean (f i)) -> k < n ->
  vfold All n f = vmul (f k) (vfold All n f).
Proof.
  intros B L. destruct (boolean_cases (f k)) as [b E]; [now apply B|].
  assert (A : boolean (vfold All n f)).
  { unfold vfold. rewrite reduce_positive by lia.
    apply (Red_property _ boolean); [lia | |]; cbn [value_op value_alone].
    - intros x y Hx Hy. destruct (boolean_cases x Hx) as [c ->], (boolean_cases y Hy) as [d ->].
      rewrite vand_truth. apply boolean_truth.
    - intros i Hi. destruct (boolean_cases _ (B i Hi)) as [c ->]. rewrite vand_truth.
      apply boolean_truth. }
  destruct (boolean_cases _ A) as [c C]. destruct b.
  - rewrite C, E, vmul_truth. reflexivity.
  - rewrite (vfold_settled All n f k false), E, vmul_truth by auto. reflexivity.
Qed.
Lemma sound_all_index : law_sound law_all_index.
Proof.
  open_law. at_path p. destruct K2 as [A S]. rewrite vmul_truth, vselect_truth.
  destruct (andb _ _) eqn:E; [|reflexivity].
  apply andb_true_iff in E as [E1 E2]. unfold Wires.holds in E1, E2. rewrite Z.leb_le in E1, E2.
  rewrite (K1 M ok splits) in E2. unfold index_at in *. cbn [index_value eval Minus] in *.
  rewrite close_eval in E2. rewrite (S M ok splits).
  rewrite fold_at by reflexivity.
  set (w := eval _ _ (index_of v 0)) in *.
  erewrite (vfold_all_at _ _ (Z.to_nat w)) at 1.
  - f_equal. apply equal_f. apply denote_agree. intros a _. rewrite alone_put by assumption.
    unfold put1. destruct (Pos.eqb a (axis_of v 0)); [|reflexivity].
    rewrite Z2Nat.id by lia. reflexivity.
  - intros i Hi. apply has_boolean. fact_under K.
  - unfold length_of, size_of. lia.
Qed.

(* Where one of the summands is left, a masked sum of positive numbers is at least the least. *)
Lemma masked_sum n c a : 0 < n -> (forall i, i < n -> boolean (c i)) ->
  (forall i, i < n -> Values.positive (a i)) -> exists (b : bool) s least,
  vfold Any n c = truth b /\ vfold Sum n (fun i => vmul (c i) (a i)) = Fin s /\
  vfold Min n a = Fin least /\ (0 < least /\ 0 <= s /\ if b then least <= s else s = 0)%R.
Proof.
  induction n as [|n IH]; [lia|]. intros _ B P.
  destruct (boolean_cases (c n)) as [bn Cn]; [apply B; lia|].
  assert (Pn : Values.positive (a n)) by (apply P; lia). destruct (a n) as [an| |] eqn:An; try easy.
  cbn [Values.positive] in Pn. destruct n as [|n].
  - exists bn, ((if bn then 1 else 0) * an)%R, an.
    unfold vfold, reduce. rewrite !Red_1, Cn, An. cbn [value_alone]. rewrite vor_truth.
    destruct bn; cbn; repeat split; lra.
  - destruct IH as (b & s & least & Eb & Es & El & H); [lia | auto.. |].
    exists (b || bn), (s + (if bn then 1 else 0) * an)%R, (Rmin least an).
    unfold vfold, reduce in *. rewrite !(Red_S _ (S n)) by lia. rewrite Eb, Es, El.
    cbn [value_op value_alone]. rewrite Cn, An, !vor_truth. cbn -[Rmin].
    unfold Rmin. destruct (Rle_dec least an), b, bn; repeat split; cbn; lra.
Qed.
Lemma sound_sum_live : law_sound law_sum_live.
Proof.
  open_law. at_path p. rewrite !fold_at by reflexivity. rewrite Q2R_0.
  match goal with |- vfold Sum ?n (fun i => vmul (@?c i) (@?a i)) = _ =>
    destruct (Nat.eq_dec n 0) as [->|N]; [|destruct (masked_sum n c a)
      as (b & s & least & Eb & Es & El & H)] end.
  - change (Fin 0 = vselect (truth false) (vmax (Fin 0) Undef) (Fin 0)). now rewrite vselect_truth.
  - lia.
  - intros i Hi. apply has_boolean. fact_under K.
  - intros i Hi. apply has_positive. fact_under K0.
  - rewrite Eb, Es, El, vselect_truth. destruct b; cbn; f_equal; [|lra].
    unfold Rmax. destruct (Rle_dec s least); lra.
Qed.

(* At most one index is v: that one is, and how many are. *)
Lemma one_hot_sum n v : v <> Undef -> exists b,
  vfold Any n (fun i => vequal v (Fin (INR i))) = truth b
  /\ vfold Sum n (fun i => vequal v (Fin (INR i))) = truth b
  /\ (b = true -> exists i, i < n /\ v = Fin (INR i)).
Proof.
  intros D. induction n as [|n IH]; [exists false; repeat split; discriminate|].
  destruct IH as (b & Eb & Es & H).
  assert (C : exists c, vequal v (Fin (INR n)) = truth c /\ (c = true -> v = Fin (INR n))).
  { destruct v as [a| |]; [|exists false; split; [reflexivity | discriminate] | contradiction].
    cbn [vequal]. destruct (Req_EM_T a (INR n)) as [->|N]; [exists true | exists false]; auto.
    split; [reflexivity | discriminate]. }
  destruct C as (c & Ec & Hc). exists (b || c).
  destruct n as [|n].
  - cbn in Eb. assert (b = false) as ->.
    { destruct b; [|reflexivity]. destruct (H eq_refl) as (i & L & _). lia. }
    unfold vfold, reduce. rewrite !Red_1, Ec. cbn [value_alone orb].
    rewrite vor_truth. repeat split. intros E. exists 0. auto.
  - unfold vfold, reduce in *. rewrite !(Red_S _ (S n)) by lia. rewrite Eb, Es, Ec.
    cbn [value_alone value_op]. rewrite !vor_truth. split; [reflexivity|]. split.
    + destruct b, c; cbn; unfold truth; f_equal; try lra.
      destruct (H eq_refl) as (i & L & E). rewrite (Hc eq_refl) in E. injection E as E.
      change (INR (S n) = INR i) in E. apply INR_eq in E. lia.
    + rewrite orb_true_iff. intros [E|E]; [|eauto].
      destruct (H E) as (i & L & E'). exists i. auto.
Qed.
Lemma sound_sum_one_hot : law_sound law_sum_one_hot.
Proof.
  open_law. at_path p. rewrite !fold_at by reflexivity.
  assert (F : forall m, vfold m (length_of G M (axis_of v 0)) (fun i =>
      vequal (denote G M (term_of v 0) (put G M r (axis_of v 0) (Z.of_nat i)) p)
        (Fin (IZR (index_at G M (put G M r (axis_of v 0) (Z.of_nat i)) (index_of v 0)))))
    = vfold m (length_of G M (axis_of v 0)) (fun i =>
      vequal (denote G M (term_of v 0) r p) (Fin (INR i)))).
  { intros m. apply vfold_ext. intros i Hi. rewrite independent_put by assumption.
    rewrite (K0 M ok splits). unfold index_at. cbn [index_value eval]. unfold get, put.
    rewrite get_put_in by (try apply splits; unfold length_of in Hi; lia).
    now rewrite INR_IZR_INZ. }
  rewrite !F. destruct (denote G M (term_of v 0) r p) as [a| |] eqn:E.
  3: { generalize (length_of G M (axis_of v 0)). intros n.
       assert (U : forall m k, vfold m k (fun i => vequal Undef (Fin (INR i)))
         = vfold m k (fun _ => Undef)) by reflexivity.
       rewrite !U. destruct n as [|n]; [reflexivity|].
       rewrite !(vfold_constant _ _ _ Undef) by (try lia; reflexivity). reflexivity. }
  all: match goal with |- vfold Sum ?n (fun i => vequal ?x _) = _ =>
    destruct (one_hot_sum n x) as (b & -> & -> & _); [discriminate | reflexivity] end.
Qed.

Lemma sound_max_maximum : law_sound law_max_maximum.
Proof. open_law. apply (fold_op Max); reflexivity. Qed.

Lemma sound_reduce_swap : law_sound law_reduce_swap.
Proof.
  open_law. unfold fold. rewrite (reduce_swap _ _ _ (monoid_commutative _ K0)).
  apply reduce_ext. intros j _. apply reduce_ext. intros i _. apply denote_agree. intros a _.
  apply put_in_comm. exact K.
Qed.

Lemma sound_product_swap : law_sound law_product_swap.
Proof.
  open_law. at_path p. rewrite !fold_products.
  - rewrite (reduce_swap _ _ _ fmul_commutative). apply reduce_ext. intros j _. apply reduce_ext.
    intros i _. apply equal_f, denote_agree. intros a _. apply put_in_comm. exact K.
  - intros. apply has_no_infinity, (known_under_two _ _ _ _ _ _ _ _ _ ok splits K0); auto. range.
  - intros. apply has_no_infinity, (known_under_two _ _ _ _ _ _ _ _ _ ok splits K0); auto. range.
Qed.

Lemma sound_reduce_rename : law_sound law_reduce_rename.
Proof.
  open_law. destruct K as (Ax & Ay & E), K1 as [_ S]. unfold length_of. rewrite (E M ok splits).
  apply fold_ext. intros k _. rewrite (S M ok splits). unfold index_at. cbn [index_value eval].
  rewrite alone_get, !alone_put by assumption.
  apply denote_agree. intros a Ha. unfold put1. rewrite Pos.eqb_refl.
  destruct (Pos.eqb a (axis_of v 0)); [reflexivity|].
  destruct (Pos.eqb_spec a (axis_of v 1)) as [->|]; [|reflexivity].
  exfalso. apply (K0 (axis_of v 1)); [|exact Ha]. rewrite alone_leaves by assumption. now left.
Qed.

(* A sum up to m is the sum of what is before m, and the term at m. *)
Lemma vfold_sum_last n m f g a : m < n -> (forall i, i < n -> real (a i)) ->
  (forall i, i < n -> f i = vmul (truth (Wires.holds (Z.of_nat m - Z.of_nat i))) (a i)) ->
  (forall i, i < n -> g i = vmul (truth (Wires.holds (Z.of_nat m - Z.of_nat i - 1))) (a i)) ->
  vfold Sum n f = vadd (vfold Sum n g) (a m).
Proof.
  intros Hm A F H. set (h i := if Nat.eqb i m then a i else Fin 0).
  assert (E : forall k, vfold Sum (S k) h = if Nat.leb m k then a m else Fin 0).
  { unfold vfold. intros k. rewrite reduce_positive by lia. cbn [value_alone value_op].
    induction k as [|k IH].
    - rewrite Red_1. unfold h. destruct m; reflexivity.
    - rewrite Red_S, IH by lia. unfold h.
      destruct (Nat.leb_spec m k), (Nat.leb_spec m (S k)), (Nat.eqb_spec (S k) m);
        try lia; subst; cbn; try (f_equal; ring).
      + pose proof (A m Hm) as R. destruct (a m); cbn in *; try tauto. f_equal. ring.
      + pose proof (A (S k) Hm) as R. destruct (a (S k)); cbn in *; try tauto. f_equal. ring. }
  transitivity (vadd (vfold Sum n g) (vfold Sum n h)).
  - unfold vfold. rewrite !reduce_positive by lia. cbn [value_alone value_op].
    rewrite <- (Red_op _ vadd_assoc vadd_comm). apply Red_ext; [lia|]. intros i Hi.
    rewrite (F i Hi), (H i Hi). pose proof (A i Hi) as R. unfold h, Wires.holds.
    destruct (Z.leb_spec 0 (Z.of_nat m - Z.of_nat i)),
      (Z.leb_spec 0 (Z.of_nat m - Z.of_nat i - 1)), (Nat.eqb_spec i m); try lia;
      destruct (a i); cbn in *; try tauto; f_equal; ring.
  - f_equal. destruct n as [|k]; [lia|]. rewrite E. destruct (Nat.leb_spec m k); [reflexivity|lia].
Qed.

Lemma sound_sum_last : law_sound law_sum_last.
Proof.
  open_law. at_path p. destruct K as (Ax & Ay & E), K4 as [_ S].
  set (x := axis_of v 0) in *. set (y := axis_of v 1) in *.
  assert (N : x <> y).
  { intros H. apply (K0 x); rewrite alone_leaves; auto; [now left|]. rewrite H. now left. }
  assert (Y : In y (leaves_of G (index_of v 0))).
  { destruct (in_dec Pos.eq_dec y (leaves_of G (index_of v 0))) as [|No]; [assumption|exfalso].
    pose proof (K2 M ok splits (put1 r y 0%Z)) as P. pose proof (K2 M ok splits (put1 r y 1%Z)) as Q.
    unfold index_at in P, Q. cbn [index_value eval Minus] in P, Q. fold x y in P, Q.
    rewrite (eval_get_agree G M (put1 r y 0%Z) (put1 r y 1%Z)) in P.
    - rewrite P, !alone_get in Q by assumption. unfold put1 in Q. rewrite Pos.eqb_refl in Q.
      destruct (Pos.eqb_spec x y); [contradiction|lia].
    - intros b Hb. unfold put1. destruct (Pos.eqb_spec b y); [subst; contradiction|reflexivity]. }
  assert (B : (0 <= r y < size_of G M y)%Z).
  { apply Rl. rewrite without_in, alone_leaves, app_nil_r, without_in, in_app_iff by assumption.
    cbn. rewrite app_nil_r. intuition congruence. }
  rewrite !fold_at by reflexivity. unfold index_at in S. rewrite (S M ok splits).
  cbn [index_value eval]. fold y. rewrite alone_get by assumption.
  rewrite <- (Z2Nat.id (r y)) by lia. rewrite <- (alone_put G M r x) by assumption.
  assert (At : forall i, get G M (put G M r x (Z.of_nat i)) y = r y
    /\ get G M (put G M r x (Z.of_nat i)) x = Z.of_nat i).
  { intros i. rewrite !alone_get, !alone_put by assumption. unfold put1. rewrite Pos.eqb_refl.
    destruct (Pos.eqb_spec y x); [congruence|auto]. }
  apply vfold_sum_last with (m := Z.to_nat (r y))
    (a := fun i => denote G M (term_of v 0) (put G M r x (Z.of_nat i)) p).
  - unfold length_of. rewrite (E M ok splits). lia.
  - intros i Hi. apply has_real. fact_under K1.
  - intros i Hi. rewrite (K2 M ok splits). unfold index_at. cbn [index_value eval Minus].
    fold x y. destruct (At i) as [-> ->]. do 3 f_equal. lia.
  - intros i Hi. rewrite (K3 M ok splits). unfold index_at. cbn [index_value eval Minus].
    fold x y. destruct (At i) as [-> ->]. do 3 f_equal. lia.
Qed.

Lemma sound_reduce_reverse : law_sound law_reduce_reverse.
Proof.
  open_law. destruct K1 as [_ S]. unfold fold.
  rewrite <- (reduce_reverse _ _ _ (monoid_commutative _ K0)).
  apply reduce_ext. intros k Hk. rewrite (S M ok splits). unfold index_at.
  cbn [index_value eval Minus]. rewrite close_eval, alone_get, !alone_put by assumption.
  apply denote_agree. intros a _. unfold put1. rewrite Pos.eqb_refl.
  destruct (Pos.eqb a (axis_of v 0)); [|reflexivity].
  unfold length_of, size_of in *. lia.
Qed.

Lemma sound_reduce_unroll : law_sound law_reduce_unroll.
Proof. open_law. symmetry. apply (K M ok splits). Qed.

Lemma sound_cases : law_sound law_cases.
Proof.
  open_law. apply object_ext. intros p. unfold number. rewrite vselect_truth.
  destruct (Wires.holds _) eqn:E; symmetry; apply equal_f; [apply K | apply K0]; auto.
Qed.

Lemma sound_index_case : law_sound law_index_case.
Proof.
  open_law. at_path p. destruct K2 as [A S].
  rewrite vmul_truth, vselect_truth. destruct (andb _ _) eqn:E; [|reflexivity].
  apply andb_true_iff in E as [E1 E2]. unfold Wires.holds in E1, E2.
  rewrite Z.leb_le in E1, E2. rewrite (K0 M ok splits) in E1. rewrite (K1 M ok splits) in E2.
  rewrite (S M ok splits). unfold index_at in *. cbn [index_value eval Minus] in *.
  rewrite alone_get in E1, E2 by assumption.
  apply equal_f, denote_agree. intros a _. unfold put1.
  destruct (Pos.eqb_spec a (axis_of v 0)) as [->|]; [lia | reflexivity].
Qed.

Lemma sound_split : law_sound law_split.
Proof.
  open_law. apply (reduce_split_axis G M v false 0 1 2 ok splits K _ _ _
    (monoid_commutative _ K0) (denote G M (term_of v 0))). reflexivity.
Qed.

Lemma sound_split_product : law_sound law_split_product.
Proof.
  open_law. at_path p. rewrite fold_products.
  - rewrite fold_at by reflexivity. etransitivity; [apply vfold_product|].
    + intros i Hi. apply has_no_infinity. fact_under K0.
    + apply (reduce_split_axis G M v false 0 1 2 ok splits K _ _ _ fmul_commutative
        (fun r => denote G M (term_of v 0) r p)). reflexivity.
  - intros. apply has_no_infinity, (known_under_two _ _ _ _ _ _ _ _ _ ok splits K0); auto. range.
Qed.

Lemma sound_split_masked_sum : law_sound law_split_masked_sum.
Proof.
  open_law. apply (reduce_masked_axis G M v true 0 1 2 ok splits K _ _ _
    (monoid_commutative Sum eq_refl) (denote G M (term_of v 0))
    (fun r p => vselect (truth (Wires.holds (index_at G M r (index_of v 0))))
      (denote G M (term_of v 0) r p) (Fin (Q2R 0))) r eq_refl sum_unital).
  - intros q H. apply object_ext. intros p. rewrite (mask_holds G M v 0), vselect_truth by auto.
    apply Z.ltb_lt in H. now rewrite H.
  - intros k _ q H. apply object_ext. intros p.
    cbn [alone]. rewrite (mask_holds G M v 0), vselect_truth by auto.
    apply Z.ltb_ge in H. rewrite H, Q2R_0. reflexivity.
Qed.

Lemma sound_split_masked_max : law_sound law_split_masked_max.
Proof.
  open_law. apply (reduce_masked_axis G M v true 0 1 2 ok splits K _ _ _
    (monoid_commutative Max eq_refl) (denote G M (term_of v 0))
    (fun r p => vselect (truth (Wires.holds (index_at G M r (index_of v 0))))
      (denote G M (term_of v 0) r p) NegInf) r eq_refl max_unital).
  - intros q H. apply object_ext. intros p. rewrite (mask_holds G M v 0), vselect_truth by auto.
    apply Z.ltb_lt in H. now rewrite H.
  - intros k _ q H. apply object_ext. intros p.
    cbn [alone]. rewrite (mask_holds G M v 0), vselect_truth by auto.
    apply Z.ltb_ge in H. now rewrite H.
Qed.

Lemma sound_first : law_sound law_first.
Proof. open_law. at_path p. reflexivity. Qed.

Lemma sound_second : law_sound law_second.
Proof. open_law. at_path p. reflexivity. Qed.

Lemma sound_reduce_both : law_sound law_reduce_both.
Proof. open_law. now rewrite fold_both. Qed.
