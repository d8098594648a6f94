(* Wires: terms and what they mean.

   A term denotes a function from an environment, an index for every axis, to an object.  Broadcasting
   is implicit, a reduction is an operator, and inputs are read at affine indices.
   This is `ncd_formal/wires.py` with the meaning of `ncd_formal/semantics.py`. *)

From Ncd Require Import Values.
From Coq Require Import Reals QArith Qreals ZArith BinNums PArith List Bool Lia FMapPositive
  FunctionalExtensionality.
From Ncd Require Import Folds Monoids Sizes Contexts.
Import ListNotations.
Local Open Scope Z_scope.
Local Arguments Z.add : simpl never.
Local Arguments Z.mul : simpl never.

Inductive operator :=
  | Input (x : positive) (at_ : list index)
  | Constant (q : Q)
  | NegativeInfinity
  | Undefined
  | Index (e : index)                        (* as a number *)
  | Predicate (e : index)                    (* 1 where the index is at least 0, else 0 *)
  | Add | Mul | Inverse | Maximum | Minimum | Exp | Log | Sqrt | Abs
  | Tanh | Erf | Sin | Cos
  | Rescale                                  (* exp(s − m), and 0 where s is −∞ *)
  | Function (f : positive)
  | Less | Equal | Not | And | Or | Select
  | Reduce (m : monoid) (x : axis)
  | Tuple | First | Second
  | Opaque (f : positive) (bound : list axis) (at_ : list index).

Inductive term := Apply (o : operator) (args : list term).

Section TermInd.
  Variable P : term -> Prop.
  Hypothesis H : forall o args, Forall P args -> P (Apply o args).
  Fixpoint term_ind' (t : term) : P t := match t with
    | Apply o args => H o args ((fix go l : Forall P l := match l with
        | [] => Forall_nil _ | t :: l => Forall_cons _ (term_ind' t) (go l) end) args) end.
End TermInd.

Definition wire := env -> object.
Definition argument (fs : list wire) (k : nat) : wire := nth k fs (fun _ => number Undef).
Definition holds (z : Z) : bool := 0 <=? z.

Section Denote.
  Variables (G : context) (M : model).
  Definition index_at (r : env) (e : index) : Z := eval (sizes M) (get G M r) e.

  Fixpoint put_all (r : env) (bound : list axis) (is : list Z) : env := match bound, is with
    | a :: bound, i :: is => put_all (put G M r a i) bound is
    | _, _ => r end.
  Fixpoint inside (bound : list axis) (is : list Z) : bool := match bound, is with
    | [], [] => true
    | a :: bound, i :: is => (0 <=? i) && (i <? size_of G M a) && inside bound is
    | _, _ => false end.

  Definition meaning (o : operator) (fs : list wire) (r : env) : object :=
    let a := argument fs 0 r in let b := argument fs 1 r in let c := argument fs 2 r in
    match o with
    | Input x is => number (input M x (map (index_at r) is))
    | Constant q => number (Fin (Q2R q))
    | NegativeInfinity => number NegInf
    | Undefined => number Undef
    | Index e => number (Fin (IZR (index_at r e)))
    | Predicate e => number (truth (holds (index_at r e)))
    | Add => fun p => vadd (a p) (b p)
    | Mul => fun p => vmul (a p) (b p)
    | Inverse => fun p => vinv (a p)
    | Maximum => fun p => vmax (a p) (b p)
    | Minimum => fun p => vmin (a p) (b p)
    | Exp => fun p => vexp (a p)
    | Log => fun p => vlog (a p)
    | Sqrt => fun p => vsqrt (a p)
    | Abs => fun p => vabs (a p)
    | Tanh => fun p => vtanh (a p)
    | Erf => fun p => verf (a p)
    | Sin => fun p => vsin (a p)
    | Cos => fun p => vcos (a p)
    | Rescale => fun p => vrescale (a p) (b p)
    | Function f => fun p => vfun (function M f) (a p)
    | Less => fun p => vless (a p) (b p)
    | Equal => fun p => vequal (a p) (b p)
    | Not => fun p => vnot (a p)
    | And => fun p => vand (a p) (b p)
    | Or => fun p => vor (a p) (b p)
    | Select => fun p => vselect (a p) (b p) (c p)
    | Reduce m x =>
        fold m (length_of G M x) (fun k => argument fs 0 (put G M r x (Z.of_nat k)))
    | Tuple => pair a b
    | First => first a
    | Second => second a
    | Opaque f bound is =>
        number (opaque M f (map (size_of G M) bound)
          (fun js => if inside bound js then argument fs 0 (put_all r bound js) else number Undef)
          (map (index_at r) is)) end.
  Fixpoint denote (t : term) : wire :=
    match t with Apply o args => meaning o (map denote args) end.
End Denote.

(* The unsplit axes that a term depends on -------------------------------------------------- *)

Definition without (l : list axis) (bound : list axis) : list axis :=
  filter (fun a => negb (existsb (Pos.eqb a) bound)) l.
Lemma mem_in a l : existsb (Pos.eqb a) l = true <-> In a l.
Proof.
  rewrite existsb_exists. split.
  - intros (b & Hb & E). apply Pos.eqb_eq in E. now subst.
  - exists a. now rewrite Pos.eqb_refl.
Qed.
Lemma without_in a l bound : In a (without l bound) <-> In a l /\ ~ In a bound.
Proof.
  unfold without. rewrite filter_In, negb_true_iff, <- not_true_iff_false, mem_in. reflexivity.
Qed.

Definition own_axes (G : context) (o : operator) : list axis := match o with
  | Input _ is | Opaque _ _ is => flat_map (leaves_of G) is
  | Index e | Predicate e => leaves_of G e
  | _ => [] end.
Definition bound_axes (G : context) (o : operator) : list axis := match o with
  | Reduce _ x => leaves G x
  | Opaque _ bound _ => flat_map (leaves G) bound
  | _ => [] end.
Fixpoint free (G : context) (t : term) : list axis := match t with
  | Apply o args => own_axes G o ++ without (flat_map (free G) args) (bound_axes G o) end.

Section Free.
  Variables (G : context) (M : model).
  Notation denote := (denote G M).

  Lemma argument_agree args k r q :
    (forall t, In t args -> denote t r = denote t q) ->
    argument (map denote args) k r = argument (map denote args) k q.
  Proof.
    intros H. unfold argument. destruct (Nat.lt_ge_cases k (length args)) as [L|L].
    - rewrite !(nth_indep _ (fun _ => number Undef) (denote (Apply Add []))) by (now rewrite map_length).
      rewrite map_nth. apply H, nth_In, L.
    - now rewrite !nth_overflow by (now rewrite map_length).
  Qed.
  Lemma put_agree r q x k a : (~ In a (leaves G x) -> r a = q a) -> put G M r x k a = put G M q x k a.
  Proof. apply put_in_agree. Qed.
  Lemma put_all_agree bound : forall r q is a, inside G M bound is = true ->
    (~ In a (flat_map (leaves G) bound) -> r a = q a) ->
    put_all G M r bound is a = put_all G M q bound is a.
  Proof.
    induction bound as [|x bound IH]; cbn; intros r q is a L H; [now apply H|].
    destruct is as [|i is]; [discriminate|]. apply andb_true_iff in L as [_ L].
    apply IH; auto. intros N. apply put_agree. intros N'. apply H. rewrite in_app_iff. tauto.
  Qed.
  Lemma index_agree r q e : (forall a, In a (leaves_of G e) -> r a = q a) ->
    index_at G M r e = index_at G M q e.
  Proof. apply eval_get_agree. Qed.
  Lemma indices_agree r q is : (forall a, In a (flat_map (leaves_of G) is) -> r a = q a) ->
    map (index_at G M r) is = map (index_at G M q) is.
  Proof.
    intros H. apply map_ext_in. intros e He. apply index_agree. intros a Ha. apply H.
    apply in_flat_map. eauto.
  Qed.

  (* A term depends on its free axes only. *)
  Theorem denote_agree t : forall r q, (forall a, In a (free G t) -> r a = q a) ->
    denote t r = denote t q.
  Proof.
    induction t as [o args IH] using term_ind'. intros r q H. rewrite Forall_forall in IH.
    cbn [Wires.denote free] in *.
    assert (B : forall r q, (forall a, In a (flat_map (free G) args) -> r a = q a) ->
      forall k, argument (map denote args) k r = argument (map denote args) k q).
    { intros r' q' E k. apply argument_agree. intros t Ht. apply IH; auto. intros a Ha. apply E.
      apply in_flat_map. eauto. }
    assert (A : forall a, In a (own_axes G o) -> r a = q a)
      by (intros; apply H; rewrite in_app_iff; auto).
    assert (C : forall a, In a (flat_map (free G) args) -> ~ In a (bound_axes G o) -> r a = q a)
      by (intros; apply H; rewrite in_app_iff, without_in; auto).
    destruct o; cbn in *; try (now rewrite ?(B r q) by auto).
    - now rewrite (indices_agree r q).
    - now rewrite (index_agree r q).
    - now rewrite (index_agree r q).
    - apply fold_ext. intros i _. apply B. intros a Ha. apply put_agree. auto.
    - rewrite (indices_agree r q) by auto. f_equal. f_equal. apply functional_extensionality.
      intros js. destruct (inside G M bound js) eqn:E; [|reflexivity].
      apply B. intros a Ha. apply put_all_agree; auto.
  Qed.
End Free.

(* Equality at all sizes --------------------------------------------------------------------- *)

(* Splits are sound: the parts of an axis make it up, or reach past its end where it is masked. *)
Definition split_fits (G : context) (s : split) : bool :=
  let size a := close (extent G a) in
  nonnegative G (size (outer s)) && nonnegative G (size (inner s))
  && if masked s
     then nonnegative G (Minus (Times (size (outer s)) (size (inner s))) (size (whole s)))
     else same (least G) (size (whole s)) (Times (size (outer s)) (size (inner s))).
Fixpoint parts_apart (ss : list split) : bool := match ss with
  | [] => true
  | s :: ss => forallb (fun a => negb (existsb (Pos.eqb a) (leaves_in ss (inner s))))
                 (leaves_in ss (outer s)) && parts_apart ss end.
Definition splits_fit (G : context) : bool :=
  forallb (split_fits G) (splits G) && parts_apart (splits G).

Definition splits_ok (G : context) (M : model) : Prop :=
  Forall (split_ok G M) (splits G) /\ apart (splits G).

Lemma closed_nonnegative G M e r : sizes_ok M G -> nonnegative G e = true -> axes_of e = [] ->
  0 <= eval (sizes M) r e.
Proof.
  intros ok H E. apply (nonnegative_sound G M e (fun _ => 0) ok) in H.
  - erewrite eval_agree; [exact H|]. rewrite E. intros a [].
  - unfold leaves_of. rewrite E. intros a [].
Qed.
Theorem splits_fit_sound G M : splits_fit G = true -> sizes_ok M G -> splits_ok G M.
Proof.
  unfold splits_fit. rewrite andb_true_iff, forallb_forall. intros [F A] ok. split.
  - apply Forall_forall. intros s Hs. apply F in Hs. unfold split_fits in Hs. cbv zeta in Hs.
    rewrite !andb_true_iff in Hs. destruct Hs as [[H1 H2] H3].
    assert (C : forall a, axes_of (close (extent G a)) = []) by (intros; apply axes_of_close).
    unfold split_ok, size_of.
    apply (closed_nonnegative G M _ (fun _ => 0) ok) in H1; [|apply C].
    apply (closed_nonnegative G M _ (fun _ => 0) ok) in H2; [|apply C].
    rewrite close_eval in H1, H2. repeat split; auto. destruct (masked s).
    + apply (closed_nonnegative G M _ (fun _ => 0) ok) in H3; [|cbn; now rewrite !C].
      cbn in H3. rewrite !close_eval in H3. lia.
    + apply (same_eval (least G) (sizes M) (fun _ => 0)) in H3; [|intros k; apply (least_nonnegative G M ok)].
      cbn in H3. rewrite !close_eval in H3. exact H3.
  - clear F. induction (splits G) as [|s ss IH]; cbn in *; [exact I|].
    apply andb_true_iff in A as [A1 A2]. split; [|auto]. intros a Ha.
    rewrite forallb_forall in A1. specialize (A1 a Ha).
    now rewrite negb_true_iff, <- not_true_iff_false, mem_in in A1.
Qed.

(* t = u: at all sizes, inputs and functions that the context allows, and at every index. *)
Definition equal (G : context) (t u : term) : Prop := forall M r, model_ok M G -> splits_ok G M ->
  in_range G M (free G t) r -> in_range G M (free G u) r -> denote G M t r = denote G M u r.

Lemma equal_refl G t : equal G t t.
Proof. intros M r _ _ _ _. reflexivity. Qed.
Lemma equal_sym G t u : equal G t u -> equal G u t.
Proof. intros H M r ok fit R1 R2. symmetry. now apply H. Qed.

(* t = u in one model: what a hypothesis says of the inputs, and what follows from it. *)
Definition equal_in (G : context) (M : model) (t u : term) : Prop := forall r,
  in_range G M (free G t) r -> in_range G M (free G u) r -> denote G M t r = denote G M u r.
Lemma equal_in_refl G M t : equal_in G M t t.
Proof. intros r _ _. reflexivity. Qed.
Lemma equal_in_sym G M t u : equal_in G M t u -> equal_in G M u t.
Proof. intros H r R1 R2. symmetry. now apply H. Qed.

(* An index of an axis that is passed through must exist: from an empty axis all follows. *)
Lemma equal_trans G t u v : equal G t u -> equal G u v ->
  (forall a, In a (free G u) -> ~ In a (free G t) -> ~ In a (free G v) ->
     forall M, model_ok M G -> 0 < size_of G M a) ->
  equal G t v.
Proof.
  intros H1 H2 N M r ok fit Rt Rv.
  set (known := free G t ++ free G v).
  set (q := fun a => if existsb (Pos.eqb a) known then r a else 0).
  assert (Q : forall a, In a known -> q a = r a).
  { intros a Ha. unfold q. apply mem_in in Ha. now rewrite Ha. }
  assert (Rq : in_range G M known q).
  { intros a Ha. rewrite (Q a Ha). unfold known in Ha. apply in_app_iff in Ha as [Ha|Ha]; auto. }
  assert (Ru : in_range G M (free G u) q).
  { intros a Ha. destruct (in_dec Pos.eq_dec a known) as [K|K]; [now apply Rq|].
    unfold q. destruct (existsb _ _) eqn:E; [apply mem_in in E; contradiction|].
    unfold known in K. rewrite in_app_iff in K. split; [lia|]. apply (N a); tauto. }
  rewrite (denote_agree G M t r q), (denote_agree G M v r q).
  - transitivity (denote G M u q); [apply H1 | apply H2]; auto;
      intros a Ha; apply Rq; unfold known; rewrite in_app_iff; auto.
  - intros a Ha. symmetry. apply Q. unfold known. rewrite in_app_iff. auto.
  - intros a Ha. symmetry. apply Q. unfold known. rewrite in_app_iff. auto.
Qed.

(* Congruence ------------------------------------------------------------------------------- *)

Section Congruence.
  Variables (G : context) (M : model).
  Hypothesis ok : model_ok M G.
  Hypothesis fit : splits_ok G M.

  Lemma put_in_bounds l r x k : 0 <= k < size_of G M x -> in_range G M (without l (leaves G x)) r ->
    in_range G M l (put G M r x k).
  Proof.
    intros Hk R. apply (put_in_range G M _ (proj1 fit)); auto.
    intros b Hb Nb. apply R. apply without_in. auto.
  Qed.
  Lemma put_all_in_bounds bound : forall l r is, inside G M bound is = true ->
    in_range G M (without l (flat_map (leaves G) bound)) r -> in_range G M l (put_all G M r bound is).
  Proof.
    induction bound as [|x bound IH]; cbn; intros l r is L R.
    - destruct is; [|discriminate]. intros a Ha. apply R, without_in. auto.
    - destruct is as [|i is]; [discriminate|]. rewrite !andb_true_iff in L. destruct L as [[L1 L2] L].
      apply IH; auto. apply put_in_bounds; [lia|].
      intros a Ha. rewrite !without_in in Ha. apply R, without_in. rewrite in_app_iff. tauto.
  Qed.
End Congruence.

Theorem congruence G M o ts us : model_ok M G -> splits_ok G M -> Forall2 (equal_in G M) ts us ->
  equal_in G M (Apply o ts) (Apply o us).
Proof.
  intros ok fit F r Rt Ru. cbn [denote free] in *.
  assert (A : forall r, in_range G M (flat_map (free G) ts) r -> in_range G M (flat_map (free G) us) r ->
    forall k, argument (map (denote G M) ts) k r = argument (map (denote G M) us) k r).
  { clear - F ok fit. unfold argument. induction F as [|t u ts us H F IH]; cbn; [reflexivity|].
    intros r Rt Ru [|k]; cbn.
    - apply H; auto; intros a Ha; [apply Rt | apply Ru]; rewrite in_app_iff; auto.
    - apply IH; intros a Ha; [apply Rt | apply Ru]; rewrite in_app_iff; auto. }
  assert (Bt : in_range G M (without (flat_map (free G) ts) (bound_axes G o)) r)
    by (intros a Ha; apply Rt; rewrite in_app_iff; auto).
  assert (Bu : in_range G M (without (flat_map (free G) us) (bound_axes G o)) r)
    by (intros a Ha; apply Ru; rewrite in_app_iff; auto).
  clear Rt Ru.
  assert (C : bound_axes G o = [] -> forall k,
      argument (map (denote G M) ts) k r = argument (map (denote G M) us) k r).
  { intros E k. rewrite E in *. apply A; intros a Ha; [apply Bt | apply Bu]; apply without_in; auto. }
  destruct o; cbn in *; rewrite ?C by reflexivity; try reflexivity.
  - apply fold_ext. intros i Hi. unfold length_of in Hi. apply A; apply put_in_bounds; auto; lia.
  - f_equal. f_equal. apply functional_extensionality. intros js.
    destruct (inside G M bound js) eqn:E; [|reflexivity]. apply A; now apply put_all_in_bounds.
Qed.
