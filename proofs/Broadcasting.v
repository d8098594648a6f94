(** * Broadcasting: the array-broadcasted category Br and its laws

    A morphism takes a tuple of arrays to a tuple of arrays.  [ap] says what it does, and two
    morphisms are equal when they have equal types and do the same to all arrays.  This file proves

    - every law of [rules/monoidal.egg], as the theorem [sound_...] of its name (sections 6 to
      9); equality is a congruence and implies equality in distribution (section 5);
    - that the broadcast of a morphism is the only one for which index-before is index-after
      (section 10);
    - that a broadcasted operator is its base, lifted, after reindexings; that it determines its
      base and its reindexings, once its weaves are given; that the axes over which a function is
      tiled have a greatest choice; and that without its degree the factorisation is not unique
      (section 11);
    - that sliding past copies and repetitions needs determinism: dropout does neither
      (section 12).

    Sources: Weaves, Wires, and Morphisms (arXiv 2604.07242), definitions 5 to 10 (monoidal product
    categories, rearrangements, the monoidal array category), lemma 1 (functoriality, Yoneda
    sliding) and the definition of broadcasted operations and weaves (definitions 9 to 13 of version
    2); Neural Circuit Diagrams (arXiv 2402.05424), broadcasting and definition 2.14.

    The Python counterpart is [ncd_formal/morphisms.py]. *)

From Coq Require Import List Arith Lia ZArith Bool.
From Ncd Require Import Strides.
Import ListNotations.

(** ** 1. Indices *)

(** The first part of an index into P and further axes, and the rest. *)
Definition leading (P : shape) (j : index) : index := firstn (length P) j.
Definition remaining (P : shape) (j : index) : index := skipn (length P) j.

Lemma leading_app P p i : length p = length P -> leading P (p ++ i) = p.
Proof.
  intros H. unfold leading. rewrite <- H, firstn_app, firstn_all, Nat.sub_diag. simpl.
  apply app_nil_r.
Qed.

Lemma remaining_app P p i : length p = length P -> remaining P (p ++ i) = i.
Proof.
  intros H. unfold remaining. rewrite <- H, skipn_app, skipn_all, Nat.sub_diag. reflexivity.
Qed.

Definition index_eq_dec : forall i j : index, {i = j} + {i <> j} := list_eq_dec Z.eq_dec.

(** The indices of a shape are finitely many. *)
Fixpoint indices (P : shape) : list index :=
  match P with
  | [] => [[]]
  | n :: P' => flat_map (fun k => map (cons (Z.of_nat k)) (indices P')) (seq 0 (Z.to_nat n))
  end.

Lemma indices_inside P i : In i (indices P) <-> inside P i.
Proof.
  revert i. induction P as [|n P IH]; intros i; simpl.
  - split.
    + intros [<-|[]]. constructor.
    + intros H. inversion H. auto.
  - rewrite in_flat_map. split.
    + intros (k & Hk & Hi). apply in_seq in Hk. apply in_map_iff in Hi as (i' & <- & Hi').
      constructor; [lia|now apply IH].
    + intros H. inversion_clear H as [|? k ? i' Hk Hi']. exists (Z.to_nat k). split.
      * apply in_seq. lia.
      * rewrite Z2Nat.id by lia. apply in_map. now apply IH.
Qed.

(** ** 2. Reads: morphisms of St as terms *)

Inductive read :=
  | Stride (eta : stride_map)
  | Same (P : shape)
  | After (r s : read).  (* first r, then s *)

Fixpoint From (r : read) : shape :=
  match r with Stride eta => domain eta | Same P => P | After r _ => From r end.

Fixpoint To (r : read) : shape :=
  match r with Stride eta => codomain eta | Same P => P | After _ s => To s end.

Fixpoint read_map (r : read) : stride_map :=
  match r with
  | Stride eta => eta
  | Same P => identity P
  | After r s => compose (read_map r) (read_map s)
  end.

(** A read is typed when its strides are morphisms of St and its composites fit. *)
Fixpoint typed_read (r : read) : Prop :=
  match r with
  | Stride eta => well_formed eta /\ in_range eta
  | Same _ => True
  | After r s => typed_read r /\ typed_read s /\ To r = From s
  end.

Definition at_read (r : read) : index -> index := eval (read_map r).

Lemma read_map_domain r : domain (read_map r) = From r.
Proof. induction r; simpl; auto. Qed.

Lemma read_map_codomain r : codomain (read_map r) = To r.
Proof. induction r; simpl; auto. Qed.

Lemma read_map_typed r : typed_read r -> well_formed (read_map r) /\ in_range (read_map r).
Proof.
  induction r as [eta|P|r IHr s IHs]; simpl; auto using identity_well_formed, in_range_identity.
  intros (Hr & Hs & E). apply IHr in Hr as [Wr Rr]. apply IHs in Hs as [Ws Rs]. split.
  - now apply compose_well_formed.
  - apply in_range_compose; auto. now rewrite read_map_codomain, read_map_domain.
Qed.

Lemma at_read_inside r q : typed_read r -> inside (From r) q -> inside (To r) (at_read r q).
Proof.
  intros H Hq. apply read_map_typed in H as [_ H]. rewrite <- read_map_codomain. apply H.
  now rewrite read_map_domain.
Qed.

Lemma at_read_after r s q :
  typed_read (After r s) -> at_read (After r s) q = at_read s (at_read r q).
Proof. intros (H & _). apply eval_compose. now apply read_map_typed. Qed.

(** No index is read twice. *)
Definition reads_once (r : read) : Prop :=
  forall i j, inside (From r) i -> inside (From r) j -> at_read r i = at_read r j -> i = j.

(** ** 3. Matched draws

    A random operator takes draws: independent, all from one law.  A morphism names the draws that
    it takes; two morphisms are equal when their draws can be matched, one to one, so that they do
    the same whenever matched draws have the same outcome.  Draws that are not matched must then be
    without effect.  This implies equality in distribution, whatever the law (section 5). *)

Record matching (A B : Type) := {
  there : A -> option B;
  back : B -> option A;
  inverse : forall a b, there a = Some b <-> back b = Some a
}.
Arguments there {A B}.
Arguments back {A B}.
Arguments inverse {A B}.

Definition agree {A B D} (m : matching A B) (w : A -> D) (w' : B -> D) : Prop :=
  forall a b, there m a = Some b -> w a = w' b.

Definition unmatched (A B : Type) : matching A B.
Proof. refine {| there := fun _ => None; back := fun _ => None |}. split; discriminate. Defined.

Definition bijection {A B} (f : A -> B) (g : B -> A)
  (gf : forall a, g (f a) = a) (fg : forall b, f (g b) = b) : matching A B.
Proof.
  refine {| there := fun a => Some (f a); back := fun b => Some (g b) |}.
  split; intros [= <-]; f_equal; auto.
Defined.

Definition matching_flip {A B} (m : matching A B) : matching B A.
Proof. refine {| there := back m; back := there m |}. intros b a. symmetry. apply inverse. Defined.

Definition matching_chain {A B C} (m : matching A B) (n : matching B C) : matching A C.
Proof.
  refine {| there := fun a => match there m a with Some b => there n b | None => None end;
            back := fun c => match back n c with Some b => back m b | None => None end |}.
  intros a c. split.
  - destruct (there m a) as [b|] eqn:E; [|discriminate]. intros H. apply inverse in E, H.
    now rewrite H.
  - destruct (back n c) as [b|] eqn:E; [|discriminate]. intros H. apply inverse in E, H.
    now rewrite H.
Defined.

Definition matching_sum {A B A' B'} (m : matching A B) (n : matching A' B') :
  matching (A + A') (B + B').
Proof.
  refine {| there := fun a => match a with
                              | inl a => option_map inl (there m a)
                              | inr a => option_map inr (there n a)
                              end;
            back := fun b => match b with
                             | inl b => option_map inl (back m b)
                             | inr b => option_map inr (back n b)
                             end |}.
  intros [a|a] [b|b]; split; unfold option_map; simpl;
    match goal with |- context [match ?o with _ => _ end = Some _ -> _] =>
      destruct o eqn:E; try discriminate; intros [= ->] end;
    apply inverse in E; now rewrite E.
Defined.

Definition matching_each (I : Type) {A B} (m : matching A B) : matching (I * A) (I * B).
Proof.
  refine {| there := fun a => option_map (pair (fst a)) (there m (snd a));
            back := fun b => option_map (pair (fst b)) (back m (snd b)) |}.
  intros [i a] [j b]; split; unfold option_map; simpl;
    match goal with |- context [match ?o with _ => _ end = Some _ -> _] =>
      destruct o eqn:E; try discriminate; intros [= -> ->] end;
    apply inverse in E; now rewrite E.
Defined.

Section Broadcasting.

(** The kinds of arrays, their values, and the outcomes of one draw. *)
Context {kind value draw : Type}.

(** ** 4. Objects, morphisms and what they do *)

Record array_type := { axes : shape; sort : kind }.

(** An object is a tuple of array types; arrays and tuples of arrays are functions: of an index, and
    of the number of the array in the tuple. *)
Definition object := list array_type.
Definition tuple := nat -> index -> value.

Definition over (P : shape) (t : array_type) : array_type :=
  {| axes := P ++ axes t; sort := sort t |}.

Definition Nothing : object := [].
Definition Pair (a b : object) : object := a ++ b.
Definition Over (a : object) (P : shape) : object := map (over P) a.

(** Arrays are the same when they are the same at every index of their shape. *)
Definition same (a : object) (x y : tuple) : Prop :=
  forall k t i, nth_error a k = Some t -> inside (axes t) i -> x k i = y k i.

(** An operator, with the names of its draws.  What it does depends on the outcomes of its draws and
    on its inputs inside their shapes, and on nothing else. *)
Record operator := {
  inputs : object;
  outputs : object;
  draws : Type;
  run : (draws -> draw) -> tuple -> tuple;
  run_respects : forall w w' x y,
    (forall n, w n = w' n) -> same inputs x y -> same outputs (run w x) (run w' y)
}.

Inductive morphism :=
  | Operator (o : operator)
  | Id (a : object)
  | Then (f g : morphism)           (* f ; g *)
  | Beside (f g : morphism)         (* f x g *)
  | Swap (a b : object)
  | Copy (a : object)
  | Discard (a : object)
  | Lift (f : morphism) (P : shape) (* [f, P] *)
  | Pull (a : object) (r : read).   (* [A; eta], from A over P to A over Q, for eta : Q -> P *)

Fixpoint Domain (f : morphism) : object :=
  match f with
  | Operator o => inputs o
  | Id a => a
  | Then f _ => Domain f
  | Beside f g => Pair (Domain f) (Domain g)
  | Swap a b => Pair a b
  | Copy a => a
  | Discard a => a
  | Lift f P => Over (Domain f) P
  | Pull a r => Over a (To r)
  end.

Fixpoint Codomain (f : morphism) : object :=
  match f with
  | Operator o => outputs o
  | Id a => a
  | Then _ g => Codomain g
  | Beside f g => Pair (Codomain f) (Codomain g)
  | Swap a b => Pair b a
  | Copy a => Pair a a
  | Discard _ => Nothing
  | Lift f P => Over (Codomain f) P
  | Pull a r => Over a (From r)
  end.

Fixpoint typed (f : morphism) : Prop :=
  match f with
  | Then f g => typed f /\ typed g /\ Codomain f = Domain g
  | Beside f g => typed f /\ typed g
  | Lift f _ => typed f
  | Pull _ r => typed_read r
  | _ => True
  end.

(** The names of the draws of a morphism: a lift draws anew at every index. *)
Fixpoint noise (f : morphism) : Type :=
  match f with
  | Operator o => draws o
  | Then f g | Beside f g => noise f + noise g
  | Lift f _ => index * noise f
  | _ => Empty_set
  end.

Definition shift (n : nat) (x : tuple) : tuple := fun k => x (n + k).
Definition beside (n : nat) (x y : tuple) : tuple := fun k => if k <? n then x k else y (k - n).
Definition subarrays (p : index) (x : tuple) : tuple := fun k i => x k (p ++ i).

(** What a morphism does to a tuple of arrays, given the outcomes of its draws. *)
Fixpoint ap (f : morphism) : (noise f -> draw) -> tuple -> tuple :=
  match f with
  | Operator o => run o
  | Id _ => fun _ x => x
  | Then f g => fun w x => ap g (fun n => w (inr n)) (ap f (fun n => w (inl n)) x)
  | Beside f g => fun w x =>
      beside (length (Codomain f))
        (ap f (fun n => w (inl n)) x)
        (ap g (fun n => w (inr n)) (shift (length (Domain f)) x))
  | Swap a b => fun _ x => beside (length b) (shift (length a) x) x
  | Copy a => fun _ x => beside (length a) x x
  | Discard _ => fun _ x => x
  | Lift f P => fun w x k j =>
      ap f (fun n => w (leading P j, n)) (subarrays (leading P j) x) k (remaining P j)
  | Pull _ r => fun _ x k j =>
      subarrays (at_read r (leading (From r) j)) x k (remaining (From r) j)
  end.

(** The structure of tuples. *)

Lemma same_pointwise a x y : (forall k i, x k i = y k i) -> same a x y.
Proof. intros H k t i _ _. apply H. Qed.

Lemma same_refl a x : same a x x.
Proof. now apply same_pointwise. Qed.

Lemma same_sym a x y : same a x y -> same a y x.
Proof. intros H k t i E I. symmetry. eauto. Qed.

Lemma same_trans a x y z : same a x y -> same a y z -> same a x z.
Proof. intros H H' k t i E I. transitivity (y k i); eauto. Qed.

Lemma same_pair a b x y :
  same (Pair a b) x y <-> same a x y /\ same b (shift (length a) x) (shift (length a) y).
Proof.
  unfold Pair, shift. split.
  - intros H. split; intros k t i E I; apply (H _ t); auto.
    + rewrite nth_error_app1; auto. apply nth_error_Some. congruence.
    + rewrite nth_error_app2 by lia. rewrite <- E. f_equal. lia.
  - intros [Ha Hb] k t i E I. destruct (Nat.lt_ge_cases k (length a)).
    + rewrite nth_error_app1 in E; eauto.
    + rewrite nth_error_app2 in E by assumption.
      replace k with (length a + (k - length a)) by lia. eauto.
Qed.

Lemma same_over a P x y :
  same (Over a P) x y <-> forall p, inside P p -> same a (subarrays p x) (subarrays p y).
Proof.
  unfold Over, subarrays. split.
  - intros H p Ip k t i E I. apply (H _ (over P t)).
    + now apply map_nth_error.
    + now apply inside_app.
  - intros H k t j E I. rewrite nth_error_map in E.
    destruct (nth_error a k) as [s|] eqn:E'; [|discriminate]. injection E as <-.
    apply inside_split in I as (p & i & -> & Ip & Ii). now apply (H p Ip k s).
Qed.

Lemma beside_left a x y : same a (beside (length a) x y) x.
Proof.
  intros k t i E _. unfold beside.
  assert (k < length a) as H by (apply nth_error_Some; congruence).
  apply Nat.ltb_lt in H. now rewrite H.
Qed.

Lemma beside_right b n x y : same b (shift n (beside n x y)) y.
Proof.
  apply same_pointwise. intros k i. unfold shift, beside.
  destruct (Nat.ltb_spec (n + k) n); [lia|]. f_equal. lia.
Qed.

Lemma same_beside a b x x' y y' :
  same a x x' -> same b y y' ->
  same (Pair a b) (beside (length a) x y) (beside (length a) x' y').
Proof.
  intros H H'. apply same_pair. split.
  - eapply same_trans; [apply beside_left|]. eapply same_trans; [exact H|].
    apply same_sym, beside_left.
  - eapply same_trans; [apply beside_right|]. eapply same_trans; [exact H'|].
    apply same_sym, beside_right.
Qed.

(** A lift at an index is the morphism at that index, and a reindexing at an index reads the index
    that it is sent to. *)

Lemma lift_at b f P p w x :
  inside P p ->
  same b (subarrays p (ap (Lift f P) w x)) (ap f (fun n => w (p, n)) (subarrays p x)).
Proof.
  intros H. apply inside_length in H. apply same_pointwise. intros k i.
  unfold subarrays at 1. simpl. now rewrite leading_app, remaining_app.
Qed.

Lemma pull_at b a r q w x :
  inside (From r) q -> same b (subarrays q (ap (Pull a r) w x)) (subarrays (at_read r q) x).
Proof.
  intros H. apply inside_length in H. apply same_pointwise. intros k i.
  unfold subarrays at 1. simpl. now rewrite leading_app, remaining_app.
Qed.

(** Morphisms respect sameness. *)
Lemma ap_respects f w w' x y :
  typed f -> (forall n, w n = w' n) -> same (Domain f) x y ->
  same (Codomain f) (ap f w x) (ap f w' y).
Proof.
  revert w w' x y.
  induction f as [o|a|f IHf g IHg|f IHf g IHg|a b|a|a|f IHf P|a r]; simpl; intros w w' x y T W H.
  - now apply run_respects.
  - assumption.
  - destruct T as (Tf & Tg & E). apply IHg; auto. rewrite <- E. auto.
  - destruct T as (Tf & Tg). apply same_pair in H as [H H']. apply same_beside; auto.
  - apply same_pair in H as [H H']. now apply same_beside.
  - now apply same_beside.
  - intros [|k] t i [=].
  - apply same_over. intros p I. eapply same_trans; [now apply (lift_at _ f P p w x)|].
    eapply same_trans; [|now apply same_sym, (lift_at _ f P p w' y)].
    apply IHf; auto. now apply (proj1 (same_over _ _ _ _) H).
  - apply same_over. intros q I. eapply same_trans; [now apply (pull_at _ a r q w x)|].
    eapply same_trans; [|now apply same_sym, (pull_at _ a r q w' y)].
    apply (proj1 (same_over _ _ _ _) H). now apply at_read_inside.
Qed.

(** ** 5. Equality of morphisms *)

Record equal (f g : morphism) : Prop := {
  equal_typed_left : typed f;
  equal_typed_right : typed g;
  equal_domain : Domain f = Domain g;
  equal_codomain : Codomain f = Codomain g;
  equal_ap : exists m : matching (noise f) (noise g),
    forall w w' x, agree m w w' -> same (Codomain f) (ap f w x) (ap g w' x)
}.
Infix "==" := equal (at level 70).

Lemma equal_by_bijection f g (to : noise f -> noise g) (from : noise g -> noise f) :
  (forall n, from (to n) = n) -> (forall n, to (from n) = n) ->
  typed f -> typed g -> Domain f = Domain g -> Codomain f = Codomain g ->
  (forall w x, same (Codomain f) (ap f (fun n => w (to n)) x) (ap g w x)) -> f == g.
Proof.
  intros A B Tf Tg D C H. split; auto. exists (bijection to from A B). intros w w' x W.
  eapply same_trans; [|apply H]. apply ap_respects; auto using same_refl.
Qed.

Lemma equal_without_draws f g :
  typed f -> typed g -> Domain f = Domain g -> Codomain f = Codomain g ->
  (forall w w' x, same (Codomain f) (ap f w x) (ap g w' x)) -> f == g.
Proof. intros. split; auto. exists (unmatched _ _). auto. Qed.

(** Equality is an equivalence ... *)
Theorem equal_refl f : typed f -> f == f.
Proof.
  intros T. apply (equal_by_bijection f f (fun n => n) (fun n => n)); auto using same_refl.
Qed.

Theorem equal_sym f g : f == g -> g == f.
Proof.
  intros [Tf Tg D C [m H]]. split; auto. exists (matching_flip m). intros w w' x W.
  rewrite <- C. apply same_sym, H. intros a b E. symmetry. apply W. now apply inverse.
Qed.

Theorem equal_trans (d : draw) f g h : f == g -> g == h -> f == h.
Proof.
  intros [Tf Tg D C [m H]] [_ Th D' C' [m' H']]. split; auto; try congruence.
  exists (matching_chain m m'). intros w w'' x W.
  pose (w' := fun b => match back m b with
                       | Some a => w a
                       | None => match there m' b with Some c => w'' c | None => d end
                       end).
  apply (same_trans _ _ (ap g w' x)).
  - apply H. intros a b E. unfold w'. apply inverse in E. now rewrite E.
  - rewrite C. apply H'. intros b c E. unfold w'. destruct (back m b) as [a|] eqn:F.
    + apply W. simpl. apply inverse in F. now rewrite F.
    + now rewrite E.
Qed.

(** ... and a congruence. *)
Theorem then_congruence f f' g g' :
  f == f' -> g == g' -> Codomain f = Domain g -> Then f g == Then f' g'.
Proof.
  intros [Tf Tf' D C [m H]] [Tg Tg' D' C' [m' H']] E.
  split; simpl; repeat split; auto; try congruence.
  exists (matching_sum m m'). intros w w' x W. eapply same_trans.
  - apply ap_respects; [assumption|reflexivity|]. rewrite <- E.
    apply (H _ (fun n => w' (inl n))). intros a b A. apply W. simpl. now rewrite A.
  - apply H'. intros a b A. apply W. simpl. now rewrite A.
Qed.

Theorem beside_congruence f f' g g' : f == f' -> g == g' -> Beside f g == Beside f' g'.
Proof.
  intros [Tf Tf' D C [m H]] [Tg Tg' D' C' [m' H']].
  split; simpl; auto; try congruence.
  exists (matching_sum m m'). intros w w' x W. rewrite <- D, <- C.
  apply same_beside; [apply H|apply H']; intros a b A; apply W; simpl; now rewrite A.
Qed.

Theorem lift_congruence f f' P : f == f' -> Lift f P == Lift f' P.
Proof.
  intros [Tf Tf' D C [m H]]. split; simpl; auto; try congruence.
  exists (matching_each index m). intros w w' x W. apply same_over. intros p I.
  eapply same_trans; [now apply (lift_at _ f P p w x)|].
  eapply same_trans; [|now apply same_sym, (lift_at _ f' P p w' x)].
  apply H. intros a b A. apply W. simpl. now rewrite A.
Qed.

(** Equal morphisms are equal in distribution, whatever the law of the draws.  [E] stands for the
    expectation over independent draws, for which only matched draws matter. *)
Theorem equal_in_distribution {T} (E : forall A : Type, ((A -> draw) -> T) -> T) f g :
  (forall A B (m : matching A B) h h',
    (forall w w', agree m w w' -> h w = h' w') -> E A h = E B h') ->
  f == g ->
  forall x (event : tuple -> T),
    (forall y z, same (Codomain f) y z -> event y = event z) ->
    E (noise f) (fun w => event (ap f w x)) = E (noise g) (fun w => event (ap g w x)).
Proof. intros HE [_ _ _ _ [m H]] x event He. apply (HE _ _ m). intros w w' W. auto. Qed.

(** What may come out of a morphism. *)
Definition outcome (f : morphism) (x y : tuple) : Prop :=
  exists w, same (Codomain f) (ap f w x) y.

Theorem equal_outcome (d : draw) f g x y : f == g -> outcome f x y -> outcome g x y.
Proof.
  intros [_ _ _ C [m H]] [w O].
  exists (fun b => match back m b with Some a => w a | None => d end). rewrite <- C.
  eapply same_trans; [|exact O]. apply same_sym, H. intros a b A. apply inverse in A.
  now rewrite A.
Qed.

(** Determinism: no draws.  It is kept by everything that builds morphisms. *)
Definition deterministic (f : morphism) : Prop := noise f -> False.

Lemma deterministic_id a : deterministic (Id a).
Proof. now intros []. Qed.
Lemma deterministic_swap a b : deterministic (Swap a b).
Proof. now intros []. Qed.
Lemma deterministic_copy a : deterministic (Copy a).
Proof. now intros []. Qed.
Lemma deterministic_discard a : deterministic (Discard a).
Proof. now intros []. Qed.
Lemma deterministic_pull a r : deterministic (Pull a r).
Proof. now intros []. Qed.
Lemma deterministic_then f g : deterministic f -> deterministic g -> deterministic (Then f g).
Proof. intros F G [n|n]; auto. Qed.
Lemma deterministic_beside f g : deterministic f -> deterministic g -> deterministic (Beside f g).
Proof. intros F G [n|n]; auto. Qed.
Lemma deterministic_lift f P : deterministic f -> deterministic (Lift f P).
Proof. intros F [_ n]; auto. Qed.

(** ** 6. Laws of types *)

Theorem sound_join_assoc (P Q S : shape) : (P ++ Q) ++ S = P ++ (Q ++ S).
Proof. symmetry. apply app_assoc. Qed.

Theorem sound_join_unit_left (P : shape) : [] ++ P = P.
Proof. reflexivity. Qed.

Theorem sound_join_unit_right (P : shape) : P ++ [] = P.
Proof. apply app_nil_r. Qed.

Theorem sound_pair_assoc a b c : Pair (Pair a b) c = Pair a (Pair b c).
Proof. symmetry. apply app_assoc. Qed.

Theorem sound_pair_unit_left a : Pair Nothing a = a.
Proof. reflexivity. Qed.

Theorem sound_pair_unit_right a : Pair a Nothing = a.
Proof. apply app_nil_r. Qed.

Theorem sound_over_pair a b P : Over (Pair a b) P = Pair (Over a P) (Over b P).
Proof. apply map_app. Qed.

Theorem sound_over_unit P : Over Nothing P = Nothing.
Proof. reflexivity. Qed.

Theorem sound_over_over a P Q : Over (Over a P) Q = Over a (Q ++ P).
Proof.
  unfold Over. rewrite map_map. apply map_ext. intros t. unfold over. simpl.
  now rewrite app_assoc.
Qed.

Theorem sound_over_none a : Over a [] = a.
Proof. unfold Over. rewrite <- (map_id a) at 2. apply map_ext. now intros []. Qed.

Lemma over_length a P : length (Over a P) = length a.
Proof. apply map_length. Qed.

(** Lifts of objects can be undone. *)
Lemma over_injective a b P : Over a P = Over b P -> a = b.
Proof.
  revert b. induction a as [|s a IH]; intros [|t b] E; try discriminate; auto.
  injection E as E1 E2 E3. apply app_inv_head in E1. f_equal; auto.
  destruct s, t. simpl in *. congruence.
Qed.

(** ** 7. Br is a symmetric monoidal category

    Weaves, Wires, and Morphisms, definitions 5 and 6.  A law that rewrites in both directions holds
    as soon as one of its sides is typed. *)

(** Draws are matched by their place in the composite: each case is one draw of one part. *)
Ltac each_draw :=
  intros; simpl in *;
  repeat match goal with
         | n : (_ + _)%type |- _ => destruct n
         | n : (_ * _)%type |- _ => destruct n
         | n : Empty_set |- _ => destruct n
         end;
  reflexivity.

Ltac by_cases :=
  repeat match goal with
         | |- context [?k <? ?n] => destruct (Nat.ltb_spec k n); try lia
         end.

(** Rearrangements are equal when they take each array from the same place. *)
Ltac rearrange :=
  intros ? ? ? E _; unfold Pair, Nothing in *;
  match type of E with nth_error ?a ?k = Some _ =>
    assert (k < length a) by (apply nth_error_Some; congruence) end;
  unfold beside, shift; rewrite ?app_length in *; simpl in *;
  by_cases; f_equal; lia.

(** (f ; g) ; h = f ; (g ; h) *)
Theorem sound_then_assoc f g h :
  typed (Then (Then f g) h) \/ typed (Then f (Then g h)) ->
  Then (Then f g) h == Then f (Then g h).
Proof.
  intros T.
  apply (equal_by_bijection (Then (Then f g) h) (Then f (Then g h))
    (fun n => match n with
              | inl (inl n) => inl n | inl (inr n) => inr (inl n) | inr n => inr (inr n) end)
    (fun n => match n with
              | inl n => inl (inl n) | inr (inl n) => inl (inr n) | inr (inr n) => inr n end));
    try each_draw; simpl in *; try tauto.
  intros. apply same_refl.
Qed.

(** id ; f = f *)
Theorem sound_then_unit_left a f : typed (Then (Id a) f) -> Then (Id a) f == f.
Proof.
  intros (_ & T & E).
  apply (equal_by_bijection (Then (Id a) f) f
    (fun n => match n with inl n => match n with end | inr n => n end) inr);
    try each_draw; simpl; auto.
  intros. apply same_refl.
Qed.

(** f ; id = f *)
Theorem sound_then_unit_right a f : typed (Then f (Id a)) -> Then f (Id a) == f.
Proof.
  intros (T & _ & E).
  apply (equal_by_bijection (Then f (Id a)) f
    (fun n => match n with inl n => n | inr n => match n with end end) inl);
    try each_draw; simpl; auto.
  intros. apply same_refl.
Qed.

Lemma shift_pair c a b x :
  same c (shift (length (Pair a b)) x) (shift (length b) (shift (length a) x)).
Proof.
  apply same_pointwise. intros k i. unfold shift, Pair. rewrite app_length. f_equal. lia.
Qed.

Lemma beside_pair d a b x y z :
  same d (beside (length (Pair a b)) (beside (length a) x y) z)
         (beside (length a) x (beside (length b) y z)).
Proof.
  apply same_pointwise. intros k i. unfold beside, Pair. rewrite app_length.
  by_cases; auto. f_equal. lia.
Qed.

(** (f x g) x h = f x (g x h) *)
Theorem sound_beside_assoc f g h :
  typed (Beside (Beside f g) h) \/ typed (Beside f (Beside g h)) ->
  Beside (Beside f g) h == Beside f (Beside g h).
Proof.
  intros T. assert (typed f /\ typed g /\ typed h) as (Tf & Tg & Th) by (simpl in T; tauto).
  apply (equal_by_bijection (Beside (Beside f g) h) (Beside f (Beside g h))
    (fun n => match n with
              | inl (inl n) => inl n | inl (inr n) => inr (inl n) | inr n => inr (inr n) end)
    (fun n => match n with
              | inl n => inl (inl n) | inr (inl n) => inl (inr n) | inr (inr n) => inr n end));
    try each_draw; simpl; auto using sound_pair_assoc.
  intros w x. eapply same_trans; [apply beside_pair|]. rewrite sound_pair_assoc.
  apply same_beside; [apply same_refl|]. apply same_beside; [apply same_refl|].
  apply ap_respects; auto using shift_pair.
Qed.

(** id of nothing x f = f *)
Theorem sound_beside_unit_left f : typed (Beside (Id Nothing) f) -> Beside (Id Nothing) f == f.
Proof.
  intros (_ & T).
  apply (equal_by_bijection (Beside (Id Nothing) f) f
    (fun n => match n with inl n => match n with end | inr n => n end) inr);
    try each_draw; simpl; auto.
  intros w x. apply same_pointwise. intros k i. unfold beside. simpl. now rewrite Nat.sub_0_r.
Qed.

(** f x id of nothing = f *)
Theorem sound_beside_unit_right f :
  typed (Beside f (Id Nothing)) -> Beside f (Id Nothing) == f.
Proof.
  intros (T & _).
  apply (equal_by_bijection (Beside f (Id Nothing)) f
    (fun n => match n with inl n => n | inr n => match n with end end) inl);
    try each_draw; simpl; auto using sound_pair_unit_right.
  intros w x. rewrite sound_pair_unit_right. apply beside_left.
Qed.

(** id x id = id *)
Theorem sound_beside_id a b : Beside (Id a) (Id b) == Id (Pair a b).
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

(** Interchange: (f x g) ; (h x k) = (f ; h) x (g ; k) *)
Theorem sound_interchange f g h k :
  Codomain f = Domain h -> Codomain g = Domain k ->
  typed (Then (Beside f g) (Beside h k)) \/ typed (Beside (Then f h) (Then g k)) ->
  Then (Beside f g) (Beside h k) == Beside (Then f h) (Then g k).
Proof.
  intros E E' T.
  assert (typed f /\ typed g /\ typed h /\ typed k) as (Tf & Tg & Th & Tk)
    by (simpl in T; tauto).
  apply (equal_by_bijection (Then (Beside f g) (Beside h k)) (Beside (Then f h) (Then g k))
    (fun n => match n with
              | inl (inl n) => inl (inl n) | inl (inr n) => inr (inl n)
              | inr (inl n) => inl (inr n) | inr (inr n) => inr (inr n) end)
    (fun n => match n with
              | inl (inl n) => inl (inl n) | inl (inr n) => inr (inl n)
              | inr (inl n) => inl (inr n) | inr (inr n) => inr (inr n) end));
    try each_draw; simpl; rewrite ?E, ?E'; auto 10.
  intros w x. apply same_beside; apply ap_respects; auto.
  - apply beside_left.
  - apply beside_right.
Qed.

(** Symmetry is natural: (f x g) ; swap = swap ; (g x f) *)
Theorem sound_swap_natural f g c d :
  c = Codomain f -> d = Codomain g -> typed (Then (Beside f g) (Swap c d)) ->
  Then (Beside f g) (Swap c d) == Then (Swap (Domain f) (Domain g)) (Beside g f).
Proof.
  intros -> -> ((Tf & Tg) & _ & _).
  apply (equal_by_bijection (Then (Beside f g) (Swap (Codomain f) (Codomain g)))
    (Then (Swap (Domain f) (Domain g)) (Beside g f))
    (fun n => match n with
              | inl (inl n) => inr (inr n) | inl (inr n) => inr (inl n)
              | inr n => match n with end end)
    (fun n => match n with
              | inr (inl n) => inl (inr n) | inr (inr n) => inl (inl n)
              | inl n => match n with end end));
    try each_draw; simpl; auto.
  intros w x. apply same_beside.
  - eapply same_trans; [apply beside_right|]. apply ap_respects; auto.
    apply same_sym, beside_left.
  - eapply same_trans; [apply beside_left|]. apply ap_respects; auto.
    apply same_sym, beside_right.
Qed.

(** swap ; swap = id *)
Theorem sound_swap_swap a b : Then (Swap a b) (Swap b a) == Id (Pair a b).
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

(** The hexagon *)
Theorem sound_swap_pair a b c :
  Swap a (Pair b c) == Then (Beside (Swap a b) (Id c)) (Beside (Id b) (Swap a c)).
Proof.
  apply equal_without_draws; simpl; rewrite ?sound_pair_assoc; auto. intros. rearrange.
Qed.

(** swap with nothing = id *)
Theorem sound_swap_unit a : Swap a Nothing == Id a.
Proof.
  apply equal_without_draws; simpl; auto using sound_pair_unit_right. intros. rearrange.
Qed.

(** ** 8. Copying and discarding

    Weaves, Wires, and Morphisms, definition 6: of the rearrangements, permuting and discarding are
    natural for every morphism, copying for those that are deterministic. *)

(** copy ; (copy x id) = copy ; (id x copy) *)
Theorem sound_copy_assoc a :
  Then (Copy a) (Beside (Copy a) (Id a)) == Then (Copy a) (Beside (Id a) (Copy a)).
Proof.
  apply equal_without_draws; simpl; auto using sound_pair_assoc. intros. rearrange.
Qed.

(** copy ; (discard x id) = id *)
Theorem sound_copy_discard a : Then (Copy a) (Beside (Discard a) (Id a)) == Id a.
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

(** copy ; swap = copy *)
Theorem sound_copy_swap a : Then (Copy a) (Swap a a) == Copy a.
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

(** Copies of a pair are copies of each, interleaved *)
Theorem sound_copy_pair a b :
  Copy (Pair a b) ==
  Then (Beside (Copy a) (Copy b)) (Beside (Beside (Id a) (Swap a b)) (Id b)).
Proof.
  apply equal_without_draws; simpl; rewrite ?sound_pair_assoc; auto. intros. rearrange.
Qed.

Theorem sound_copy_unit : Copy Nothing == Id Nothing.
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

(** Discarding a pair is discarding each *)
Theorem sound_discard_pair a b : Discard (Pair a b) == Beside (Discard a) (Discard b).
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

Theorem sound_discard_unit : Discard Nothing == Id Nothing.
Proof. apply equal_without_draws; simpl; auto. intros. rearrange. Qed.

(** Copying is natural for what is deterministic: f ; copy = copy ; (f x f) *)
Theorem sound_copy_natural f b :
  b = Codomain f -> deterministic f -> typed (Then f (Copy b)) ->
  Then f (Copy b) == Then (Copy (Domain f)) (Beside f f).
Proof.
  intros -> F (T & _). apply equal_without_draws; simpl; auto.
  intros w w' x. apply same_beside; apply ap_respects; auto; try (now intros n; destruct (F n));
    apply same_sym; [apply beside_left|apply beside_right].
Qed.

(** Discarding is natural for all: f ; discard = discard *)
Theorem sound_discard_natural f b :
  b = Codomain f -> typed (Then f (Discard b)) -> Then f (Discard b) == Discard (Domain f).
Proof.
  intros -> (T & _). apply equal_without_draws; simpl; auto. intros w w' x [|k] t i; discriminate.
Qed.

(** ** 9. Lifts and reindexings

    Weaves, Wires, and Morphisms, definitions 7 to 10 and lemma 1: the batch lift is a functor, the
    reindexing a contravariant one, and they slide past each other (Yoneda sliding). *)

Local Arguments ap : simpl never.

Lemma ap_then f g w x :
  ap (Then f g) w x = ap g (fun n => w (inr n)) (ap f (fun n => w (inl n)) x).
Proof. reflexivity. Qed.

Lemma ap_beside f g w x :
  ap (Beside f g) w x =
  beside (length (Codomain f)) (ap f (fun n => w (inl n)) x)
    (ap g (fun n => w (inr n)) (shift (length (Domain f)) x)).
Proof. reflexivity. Qed.

Lemma ap_swap a b w x : ap (Swap a b) w x = beside (length b) (shift (length a) x) x.
Proof. reflexivity. Qed.

Lemma ap_copy a w x : ap (Copy a) w x = beside (length a) x x.
Proof. reflexivity. Qed.

Lemma subarrays_beside a p n x y :
  same a (subarrays p (beside n x y)) (beside n (subarrays p x) (subarrays p y)).
Proof.
  apply same_pointwise. intros k i. unfold subarrays, beside. now destruct (k <? n).
Qed.

(** Lemma 1: [f ; g, P] = [f, P] ; [g, P] *)
Theorem sound_lift_then f g P :
  typed (Lift (Then f g) P) \/ typed (Then (Lift f P) (Lift g P)) ->
  Lift (Then f g) P == Then (Lift f P) (Lift g P).
Proof.
  intros T. assert (typed f /\ typed g /\ Codomain f = Domain g) as (Tf & Tg & E).
  { destruct T as [T|(Tf & Tg & E)]; [assumption|]. eauto using over_injective. }
  apply (equal_by_bijection (Lift (Then f g) P) (Then (Lift f P) (Lift g P))
    (fun n => match n with (p, inl n) => inl (p, n) | (p, inr n) => inr (p, n) end)
    (fun n => match n with inl (p, n) => (p, inl n) | inr (p, n) => (p, inr n) end));
    try each_draw; simpl; rewrite ?E; auto.
  intros w x. rewrite ap_then. apply same_over. intros p I.
  eapply same_trans; [now apply lift_at|]. eapply same_trans; [|now apply same_sym, lift_at].
  rewrite ap_then.
  apply ap_respects; auto. rewrite <- E. now apply same_sym, (lift_at _ f P p).
Qed.

(** [f x g, P] = [f, P] x [g, P] *)
Theorem sound_lift_beside f g P :
  typed (Lift (Beside f g) P) \/ typed (Beside (Lift f P) (Lift g P)) ->
  Lift (Beside f g) P == Beside (Lift f P) (Lift g P).
Proof.
  intros T. assert (typed f /\ typed g) as (Tf & Tg) by (simpl in T; tauto).
  apply (equal_by_bijection (Lift (Beside f g) P) (Beside (Lift f P) (Lift g P))
    (fun n => match n with (p, inl n) => inl (p, n) | (p, inr n) => inr (p, n) end)
    (fun n => match n with inl (p, n) => (p, inl n) | inr (p, n) => (p, inr n) end));
    try each_draw; simpl; auto using sound_over_pair.
  intros w x. rewrite ap_beside. simpl. rewrite !over_length. apply same_over. intros p I.
  eapply same_trans; [now apply lift_at|]. rewrite ap_beside.
  eapply same_trans; [|apply same_sym, subarrays_beside].
  apply same_beside; now apply same_sym, lift_at.
Qed.

(** [id, P] = id, and so for all that permutes, copies and deletes *)
Theorem sound_lift_id a P : Lift (Id a) P == Id (Over a P).
Proof.
  apply equal_without_draws; simpl; auto. intros w w' x. apply same_over. intros p I.
  now apply lift_at.
Qed.

Theorem sound_lift_swap a b P : Lift (Swap a b) P == Swap (Over a P) (Over b P).
Proof.
  apply equal_without_draws; simpl; auto using sound_over_pair.
  intros w w' x. rewrite ap_swap, !over_length. apply same_over. intros p I.
  eapply same_trans; [now apply lift_at|]. rewrite ap_swap. apply same_sym, subarrays_beside.
Qed.

Theorem sound_lift_copy a P : Lift (Copy a) P == Copy (Over a P).
Proof.
  apply equal_without_draws; simpl; auto using sound_over_pair.
  intros w w' x. rewrite ap_copy, !over_length. apply same_over. intros p I.
  eapply same_trans; [now apply lift_at|]. rewrite ap_copy. apply same_sym, subarrays_beside.
Qed.

Theorem sound_lift_discard a P : Lift (Discard a) P == Discard (Over a P).
Proof. apply equal_without_draws; simpl; auto. intros w w' x k t i E. now destruct k. Qed.

(** The draws at p within q are the draws at the index q followed by p. *)
Definition matching_pairs (Q : shape) (A : Type) : matching (index * (index * A)) (index * A).
Proof.
  refine {| there := fun n =>
              if length (fst n) =? length Q
              then Some (fst n ++ fst (snd n), snd (snd n)) else None;
            back := fun n =>
              if length (leading Q (fst n)) =? length Q
              then Some (leading Q (fst n), (remaining Q (fst n), snd n)) else None |}.
  intros [q [p n]] [j n']. simpl. split; intros H;
    match type of H with (if ?b then _ else _) = _ => destruct b eqn:E end; try discriminate;
    apply Nat.eqb_eq in E.
  - injection H as <- <-. rewrite leading_app, remaining_app by assumption.
    apply Nat.eqb_eq in E. now rewrite E.
  - injection H as <- <- <-. apply Nat.eqb_eq in E. rewrite E.
    unfold leading, remaining. now rewrite firstn_skipn.
Defined.

(** [[f, P], Q] = [f, QP] *)
Theorem sound_lift_lift f P Q :
  typed (Lift (Lift f P) Q) \/ typed (Lift f (Q ++ P)) -> Lift (Lift f P) Q == Lift f (Q ++ P).
Proof.
  intros T. assert (typed f) as Tf by (simpl in T; tauto).
  split; simpl; auto using sound_over_over.
  exists (matching_pairs Q (noise f)). intros w w' x W. rewrite sound_over_over.
  apply same_over. intros j I. pose proof I as J.
  apply inside_split in J as (q & p & -> & Iq & Ip).
  eapply same_trans; [|now apply same_sym, lift_at].
  apply (same_trans _ _ (subarrays p (subarrays q (ap (Lift (Lift f P) Q) w x)))).
  { apply same_pointwise. intros k i. unfold subarrays. now rewrite app_assoc. }
  apply (same_trans _ _ (subarrays p (ap (Lift f P) (fun n => w (q, n)) (subarrays q x)))).
  { revert p I Ip. intros p _ Ip. apply (proj1 (same_over (Codomain f) P _ _)); auto.
    now apply lift_at. }
  eapply same_trans; [now apply lift_at|].
  apply ap_respects; auto.
  - intros n. apply W. simpl. apply inside_length, Nat.eqb_eq in Iq. now rewrite Iq.
  - apply same_pointwise. intros k i. unfold subarrays. now rewrite app_assoc.
Qed.

Definition matching_none (A : Type) : matching (index * A) A.
Proof.
  refine {| there := fun n => match fst n with [] => Some (snd n) | _ => None end;
            back := fun n => Some ([], n) |}.
  intros [[|i j] n] n'; split; simpl; try discriminate; now intros [= ->].
Defined.

(** [f, ()] = f *)
Theorem sound_lift_none f : typed (Lift f []) -> Lift f [] == f.
Proof.
  intros T. split; simpl; auto using sound_over_none.
  exists (matching_none (noise f)). intros w w' x W. rewrite sound_over_none.
  apply (ap_respects f (fun n => w ([], n)) w' x x); auto using same_refl.
Qed.

(** [A; id] = id *)
Theorem sound_pull_same a P : Pull a (Same P) == Id (Over a P).
Proof.
  apply equal_without_draws; simpl; auto. intros w w' x. apply same_over. intros p I.
  eapply same_trans; [now apply pull_at|].
  apply same_pointwise. intros k i. unfold at_read. simpl.
  rewrite eval_identity; auto using inside_length.
Qed.

(** Lemma 1, reindexing is contravariant: [A; eta] ; [A; rho] = [A; rho ; eta] *)
Theorem sound_pull_after a r s :
  From r = To s -> typed (Then (Pull a r) (Pull a s)) \/ typed (Pull a (After s r)) ->
  Then (Pull a r) (Pull a s) == Pull a (After s r).
Proof.
  intros E T. assert (typed_read r /\ typed_read s) as (Tr & Ts) by (simpl in T; tauto).
  apply equal_without_draws; simpl; rewrite ?E; auto. intros w w' x. rewrite ap_then.
  apply same_over. intros q I. eapply same_trans; [now apply pull_at|].
  eapply same_trans; [|now apply same_sym, pull_at].
  rewrite at_read_after by (simpl; auto).
  apply pull_at. rewrite E. now apply at_read_inside.
Qed.

(** [A x B; eta] = [A; eta] x [B; eta] *)
Theorem sound_pull_pair a b r :
  typed (Pull (Pair a b) r) \/ typed (Beside (Pull a r) (Pull b r)) ->
  Pull (Pair a b) r == Beside (Pull a r) (Pull b r).
Proof.
  intros T. assert (typed_read r) as Tr by (simpl in T; tauto).
  apply equal_without_draws; simpl; auto using sound_over_pair.
  intros w w' x. rewrite ap_beside. simpl. rewrite !over_length. apply same_over. intros q I.
  eapply same_trans; [now apply pull_at|].
  eapply same_trans; [|apply same_sym, subarrays_beside].
  apply same_pair. split.
  - eapply same_trans; [|apply same_sym, beside_left]. now apply same_sym, pull_at.
  - eapply same_trans; [|apply same_sym, beside_right]. now apply same_sym, pull_at.
Qed.

(** Sliding: where the draws at each q on one side are those at its image on the other. *)
Lemma slide f r w w' x :
  typed f -> typed_read r ->
  (forall q n, inside (From r) q -> w (inr (q, n)) = w' (inl (at_read r q, n))) ->
  same (Over (Codomain f) (From r))
    (ap (Then (Pull (Domain f) r) (Lift f (From r))) w x)
    (ap (Then (Lift f (To r)) (Pull (Codomain f) r)) w' x).
Proof.
  intros Tf Tr W. rewrite !ap_then. apply same_over. intros q I.
  eapply same_trans; [now apply lift_at|]. eapply same_trans; [|now apply same_sym, pull_at].
  eapply same_trans; [|now apply same_sym, lift_at, at_read_inside].
  apply ap_respects; auto. now apply pull_at.
Qed.

(** Lemma 1, Yoneda sliding, for eta : Q -> P and f : A -> B:
    [A; eta] ; [f, Q] = [f, P] ; [B; eta], if f is deterministic ... *)
Theorem sound_slide_deterministic a f q r :
  a = Domain f -> q = From r -> deterministic f -> typed (Then (Pull a r) (Lift f q)) ->
  Then (Pull a r) (Lift f q) == Then (Lift f (To r)) (Pull (Codomain f) r).
Proof.
  intros -> -> F (Tr & Tf & _). apply equal_without_draws; simpl; auto.
  intros w w' x. apply slide; auto. intros q n. destruct (F n).
Qed.

(** ... or if eta reads no index twice: what is drawn at q on the left is drawn at its image on the
    right, and what is drawn outside the image is discarded. *)
Definition matching_read (r : read) (once : reads_once r) (A : Type) :
  matching (Empty_set + index * A) (index * A + Empty_set).
Proof.
  refine {| there := fun n : Empty_set + index * A =>
              match n with
              | inl e => match e with end
              | inr (q, n) => if in_dec index_eq_dec q (indices (From r))
                              then Some (inl (at_read r q, n)) else None
              end;
            back := fun n : index * A + Empty_set =>
              match n with
              | inr e => match e with end
              | inl (p, n) =>
                  match find (fun q => if index_eq_dec (at_read r q) p then true else false)
                          (indices (From r)) with
                  | Some q => Some (inr (q, n))
                  | None => None
                  end
              end |}.
  intros [[]|[q n]] [[p n']|[]]. split.
  - destruct (in_dec index_eq_dec q (indices (From r))) as [I|]; [|discriminate].
    intros [= <- <-]. destruct (find _ _) as [q'|] eqn:E.
    + apply find_some in E as [I' E]. destruct (index_eq_dec _ _) as [E'|]; [|discriminate].
      do 3 f_equal. apply once; auto; now apply indices_inside.
    + apply (find_none _ _ E) in I. now destruct (index_eq_dec _ _).
  - destruct (find _ _) as [q'|] eqn:E; [|discriminate]. intros [= -> ->].
    apply find_some in E as [I E]. destruct (index_eq_dec _ _) as [<-|]; [|discriminate].
    now destruct (in_dec _ _ _).
Defined.

Theorem sound_slide_reads_once a f q r :
  a = Domain f -> q = From r -> reads_once r -> typed (Then (Pull a r) (Lift f q)) ->
  Then (Pull a r) (Lift f q) == Then (Lift f (To r)) (Pull (Codomain f) r).
Proof.
  intros -> -> O (Tr & Tf & _). split; simpl; auto. exists (matching_read r O (noise f)).
  intros w w' x W. apply slide; auto. intros q n I. apply W. simpl.
  apply indices_inside in I. now destruct (in_dec _ _ _).
Qed.

(** Where every axis of the domain has one index only, or sets an axis of the codomain by itself
    with a stride that is not zero, no index is read twice.  [slide_reindexing] checks this. *)
Theorem reads_once_of_own_axes (eta : stride_map) :
  (forall k, k < length (domain eta) ->
    nth k (domain eta) 1%Z = 1%Z \/
    exists r c, In r (rows eta) /\ c <> 0%Z /\
      strides r = map (Z.mul c) (unit_point (R := integers) (length (domain eta)) k)) ->
  reads_once (Stride eta).
Proof.
  intros H i j Ii Ij E. pose proof (inside_length _ _ Ii) as Li.
  pose proof (inside_length _ _ Ij) as Lj. simpl in *.
  assert (Range : forall P q k, inside P q -> k < length P ->
    (0 <= nth k q 0%Z < nth k P 1%Z)%Z).
  { intros P q k I. revert k. induction I as [|n q0 P' q' Hn I IH]; intros [|k] Hk;
      simpl in *; try lia. apply IH. lia. }
  apply (list_ext (0%Z : integers)); [now rewrite Li, Lj|]. intros k Hk. rewrite Li in Hk.
  destruct (H k Hk) as [One|(r & c & Hr & Hc & Hs)].
  - pose proof (Range _ _ k Ii Hk). pose proof (Range _ _ k Ij Hk). simpl in *. lia.
  - assert (eval_row r i = eval_row r j) as Er.
    { unfold at_read, eval in E. simpl in E. revert Hr E. generalize (rows eta).
      intros rs. induction rs as [|s rs IH]; simpl; [easy|].
      intros [<-|Hr] E; injection E; auto. }
    unfold eval_row in Er. rewrite Hs in Er.
    rewrite !(dot_scale (R := integers)), !dot_unit_left in Er by assumption. simpl in Er.
    apply Z.add_cancel_l, Z.mul_cancel_l in Er; auto.
Qed.

(** ** 10. Index-before is index-after

    Neural Circuit Diagrams defines the broadcast of G over an axis by G(X[:, j]) = Gc(X)[:, j] for
    all j.  To index is to read at a constant, so this is sliding past a read that has one index. *)

Definition at_index (P : shape) (p : index) : read :=
  Stride {| domain := []; codomain := P;
            rows := map (fun k => {| offset := k; strides := [] |}) p |}.

Lemma at_read_at_index P p q : at_read (at_index P p) q = p.
Proof.
  unfold at_read, eval. simpl. rewrite map_map. rewrite <- (map_id p) at 2. apply map_ext.
  intros k. unfold eval_row. simpl. apply Z.add_0_r.
Qed.

Lemma at_index_typed P p : inside P p -> typed_read (at_index P p).
Proof.
  intros I. split.
  - split; simpl.
    + rewrite map_length. now apply inside_length.
    + now apply Forall_map, Forall_forall.
  - intros q _. change (inside P (at_read (at_index P p) q)). now rewrite at_read_at_index.
Qed.

Lemma at_index_reads_once P p : reads_once (at_index P p).
Proof. intros i j Ii Ij _. inversion Ii. now inversion Ij. Qed.

(** [f, P] ; [B; p] = [A; p] ; f, for every f, random ones too. *)
Theorem broadcast_index (d : draw) f P p :
  typed f -> inside P p ->
  Then (Lift f P) (Pull (Codomain f) (at_index P p)) ==
  Then (Pull (Domain f) (at_index P p)) f.
Proof.
  intros T I. apply at_index_typed in I.
  apply (equal_trans d _ (Then (Pull (Domain f) (at_index P p)) (Lift f []))).
  - apply equal_sym.
    apply (sound_slide_reads_once (Domain f) f [] (at_index P p)); auto.
    + apply at_index_reads_once.
    + repeat split; auto; apply I.
  - apply then_congruence; auto using equal_refl, sound_lift_none.
Qed.

Lemma pull_at_index a P p w x : same a (ap (Pull a (at_index P p)) w x) (subarrays p x).
Proof.
  change (same a (subarrays [] (ap (Pull a (at_index P p)) w x)) (subarrays p x)).
  eapply same_trans; [apply pull_at; constructor|]. rewrite at_read_at_index. apply same_refl.
Qed.

(** The lift is the only deterministic morphism with this property: it defines the broadcast. *)
Theorem broadcast_unique F f P :
  deterministic F -> deterministic f -> typed F -> typed f ->
  Domain F = Over (Domain f) P -> Codomain F = Over (Codomain f) P ->
  (forall p, inside P p ->
    Then F (Pull (Codomain f) (at_index P p)) == Then (Pull (Domain f) (at_index P p)) f) ->
  F == Lift f P.
Proof.
  intros DF Df TF Tf D C H. apply equal_without_draws; auto.
  intros w w' x. rewrite C. apply same_over. intros p I.
  destruct (H p I) as [_ _ _ _ [m Hm]]. simpl in Hm.
  specialize (Hm (fun n => match n with inl n => w n | inr e => match e with end end)
    (fun n => match n with inl e => match e with end | inr n => w' (p, n) end) x).
  rewrite sound_over_none, !ap_then in Hm.
  eapply same_trans; [apply same_sym, pull_at_index|]. eapply same_trans.
  - apply Hm. intros [n|[]]. destruct (DF n).
  - eapply same_trans; [|now apply same_sym, lift_at]. apply ap_respects; auto.
    apply pull_at_index.
Qed.

(** Inner broadcasting, Neural Circuit Diagrams, definition 2.14: the inputs B, which lack the axes
    P, are repeated along them. *)
Definition inner_lift (a b : object) (f : morphism) (P : shape) : morphism :=
  Then (Beside (Id (Over a P)) (Pull b (Stride (deletion P)))) (Lift f P).

(** The draws of a lift at p are those of the morphism. *)
Definition matching_inner (p : index) (A : Type) :
  matching (Empty_set + Empty_set + index * A + Empty_set) (Empty_set + Empty_set + A).
Proof.
  refine {| there := fun n : Empty_set + Empty_set + index * A + Empty_set =>
              match n with
              | inl (inr (q, n)) => if index_eq_dec q p then Some (inr n) else None
              | inl (inl (inl e)) | inl (inl (inr e)) | inr e => match e with end
              end;
            back := fun n : Empty_set + Empty_set + A =>
              match n with
              | inr n => Some (inl (inr (p, n)))
              | inl (inl e) | inl (inr e) => match e with end
              end |}.
  intros [[[[]|[]]|[q n]]|[]] [[[]|[]]|n'].
  destruct (index_eq_dec q p) as [->|N]; split; try discriminate; try (now intros [= ->]).
Defined.

(** f (X[p], d) = (inner lift of f) (X, d) [p] *)
Theorem inner_lift_index a b f P p :
  typed f -> Domain f = Pair a b -> inside P p ->
  Then (inner_lift a b f P) (Pull (Codomain f) (at_index P p)) ==
  Then (Beside (Pull a (at_index P p)) (Id b)) f.
Proof.
  intros T D I. pose proof (at_index_typed _ _ I) as A.
  assert (typed_read (Stride (deletion P))) as R
    by (split; [apply deletion_well_formed|apply in_range_deletion]).
  split.
  - repeat split; try assumption; try apply R; try apply A. simpl.
    now rewrite D, sound_over_pair.
  - repeat split; try assumption; try apply A. simpl. now rewrite D, sound_over_none.
  - simpl. now rewrite sound_over_none.
  - apply sound_over_none.
  - exists (matching_inner p (noise f)). intros w w' x W. unfold inner_lift. rewrite !ap_then.
    simpl Codomain. rewrite sound_over_none.
    eapply same_trans; [apply pull_at_index|]. eapply same_trans; [now apply lift_at|].
    apply ap_respects; auto.
    + intros n. apply W. simpl. now destruct (index_eq_dec p p).
    + rewrite D, !ap_beside. simpl. rewrite !over_length.
      eapply same_trans; [apply subarrays_beside|]. apply same_beside.
      * apply same_sym, pull_at_index.
      * now apply (pull_at b b (Stride (deletion P)) p).
Qed.

(** ** 11. Broadcasted operators and their weaves

    A broadcasted operator has a base, a degree P of tiled axes, a weave for each input and output,
    and a reindexing from P for each input.  A weave says of each axis whether it is tiled or seen
    by the base.  At p in P, input k is read at the tiled index eta_k(p), and output k is written at
    the tiled index p.  (Weaves, Wires, and Morphisms, broadcasted operations.) *)

Definition weave := list bool.

(** Axes or indices, tiled and seen, put in the places of a weave, and taken from them. *)
Fixpoint woven {X} (w : weave) (outer inner : list X) : list X :=
  match w, outer, inner with
  | true :: w', x :: outer', _ => x :: woven w' outer' inner
  | false :: w', _, x :: inner' => x :: woven w' outer inner'
  | _, _, _ => []
  end.

Fixpoint taken {X} (which : bool) (w : weave) (l : list X) : list X :=
  match w, l with
  | b :: w', x :: l' => if Bool.eqb b which then x :: taken which w' l' else taken which w' l'
  | _, _ => []
  end.

Definition tiled {X} : weave -> list X -> list X := taken true.
Definition seen {X} : weave -> list X -> list X := taken false.

Definition places (which : bool) (w : weave) : nat := count_occ Bool.bool_dec w which.

Lemma woven_false {X} w p (y : X) s : woven (false :: w) p (y :: s) = y :: woven w p s.
Proof. now destruct p. Qed.

Lemma taken_woven {X} (w : weave) (p s : list X) :
  length p = places true w -> length s = places false w ->
  tiled w (woven w p s) = p /\ seen w (woven w p s) = s.
Proof.
  unfold tiled, seen, places. revert p s. induction w as [|[] w IH]; intros p s Hp Hs.
  - destruct p, s; try discriminate. auto.
  - destruct p as [|x p]; [discriminate|]. injection Hp as Hp.
    destruct (IH p s Hp Hs). simpl. split; congruence.
  - destruct s as [|y s]; [discriminate|]. injection Hs as Hs. rewrite woven_false.
    destruct (IH p s Hp Hs). simpl. split; congruence.
Qed.

Lemma inside_woven w P S p s : inside P p -> inside S s -> inside (woven w P S) (woven w p s).
Proof.
  intros Ip Is. revert P p Ip S s Is. induction w as [|[] w IH]; intros P p Ip S s Is.
  - constructor.
  - destruct Ip as [|n i P' p' Hi Ip]; [constructor|]. simpl. constructor; auto.
    now apply IH.
  - destruct Is as [|n i S' s' Hi Is]; [destruct Ip; constructor|]. rewrite !woven_false.
    constructor; auto. now apply IH.
Qed.

Lemma inside_unwoven w P S j :
  length P = places true w -> length S = places false w -> inside (woven w P S) j ->
  exists p s, j = woven w p s /\ inside P p /\ inside S s.
Proof.
  unfold places. revert P S j. induction w as [|[] w IH]; simpl; intros P S j HP HS I.
  - destruct P, S; try discriminate. inversion I. exists [], []. repeat split; constructor.
  - destruct P as [|n P]; [discriminate|]. inversion_clear I as [|? i ? j' Hi I'].
    destruct (IH P S j') as (p & s & -> & Ip & Is); auto.
    exists (i :: p), s. repeat split; auto. now constructor.
  - destruct S as [|n S]; [discriminate|].
    change (inside (woven (false :: w) P (n :: S)) j) in I. rewrite woven_false in I.
    inversion_clear I as [|? i ? j' Hi I'].
    destruct (IH P S j') as (p & s & -> & Ip & Is); auto.
    exists p, (i :: s). split; [symmetry; apply woven_false|].
    split; [assumption|now constructor].
Qed.

(** The types of a tuple, changed by their number. *)
Fixpoint each (f : nat -> array_type -> array_type) (a : object) : object :=
  match a with
  | [] => []
  | t :: a' => f 0 t :: each (fun k => f (S k)) a'
  end.

Lemma nth_error_each f a k : nth_error (each f a) k = option_map (f k) (nth_error a k).
Proof.
  revert f k. induction a as [|t a IH]; intros f [|k]; simpl; auto.
  apply (IH (fun k => f (S k))).
Qed.

Lemma object_ext (a b : object) : (forall k, nth_error a k = nth_error b k) -> a = b.
Proof.
  revert b. induction a as [|s a IH]; intros [|t b] H; auto; try (now specialize (H 0)).
  f_equal; [now injection (H 0)|]. apply IH. intros k. apply (H (S k)).
Qed.

Record broadcasted := {
  base : operator;
  degree : shape;
  input_weave : nat -> weave;
  output_weave : nat -> weave;
  reindexing : nat -> read
}.

Definition woven_type (w : weave) (P : shape) (t : array_type) : array_type :=
  {| axes := woven w P (axes t); sort := sort t |}.

(** Weaves, reindexings and the types of the base fit. *)
Definition fits_type (w : weave) (P : shape) (t : array_type) : Prop :=
  length P = places true w /\ length (axes t) = places false w.

Record fits (b : broadcasted) : Prop := {
  fits_input : forall k t, nth_error (inputs (base b)) k = Some t ->
    typed_read (reindexing b k) /\ From (reindexing b k) = degree b /\
    fits_type (input_weave b k) (To (reindexing b k)) t;
  fits_output : forall k t, nth_error (outputs (base b)) k = Some t ->
    fits_type (output_weave b k) (degree b) t
}.

Definition inputs_woven (b : broadcasted) : object :=
  each (fun k => woven_type (input_weave b k) (To (reindexing b k))) (inputs (base b)).

Definition outputs_woven (b : broadcasted) : object :=
  each (fun k => woven_type (output_weave b k) (degree b)) (outputs (base b)).

(** What the base sees of the inputs at p, and what is written of the outputs at p. *)
Definition seen_at (b : broadcasted) (p : index) (x : tuple) : tuple :=
  fun k s => x k (woven (input_weave b k) (at_read (reindexing b k) p) s).

Definition written_at (b : broadcasted) (p : index) (y : tuple) : tuple :=
  fun k s => y k (woven (output_weave b k) p s).

Lemma seen_at_same b p x y :
  fits b -> inside (degree b) p -> same (inputs_woven b) x y ->
  same (inputs (base b)) (seen_at b p x) (seen_at b p y).
Proof.
  intros F I H k t s E Is. destruct (fits_input _ F k t E) as (Tr & Fr & _).
  apply (H k (woven_type (input_weave b k) (To (reindexing b k)) t)).
  - unfold inputs_woven. now rewrite nth_error_each, E.
  - apply inside_woven; auto. apply at_read_inside; auto. now rewrite Fr.
Qed.

Lemma same_outputs_woven b x y :
  fits b ->
  (same (outputs_woven b) x y <->
   forall p, inside (degree b) p ->
     same (outputs (base b)) (written_at b p x) (written_at b p y)).
Proof.
  intros F. unfold outputs_woven, written_at. split.
  - intros H p I k t s E Is.
    apply (H k (woven_type (output_weave b k) (degree b) t)).
    + now rewrite nth_error_each, E.
    + now apply inside_woven.
  - intros H k t' j E I. rewrite nth_error_each in E.
    destruct (nth_error (outputs (base b)) k) as [t|] eqn:Et; [|discriminate].
    injection E as <-. destruct (fits_output _ F k t Et) as [HP HS].
    apply inside_unwoven in I as (p & s & -> & Ip & Is); auto. now apply (H p Ip k t s).
Qed.

(** The generator of Br: draws are anew at every index of the degree. *)
Definition run_broadcasted (b : broadcasted) (w : index * draws (base b) -> draw) (x : tuple) :
  tuple := fun k j =>
  run (base b) (fun n => w (tiled (output_weave b k) j, n))
    (seen_at b (tiled (output_weave b k) j) x) k (seen (output_weave b k) j).

Lemma written_at_run b p w x :
  fits b -> inside (degree b) p ->
  same (outputs (base b)) (written_at b p (run_broadcasted b w x))
    (run (base b) (fun n => w (p, n)) (seen_at b p x)).
Proof.
  intros F I k t s E Is. unfold written_at, run_broadcasted.
  destruct (fits_output _ F k t E) as [HP HS].
  destruct (taken_woven (output_weave b k) p s) as [-> ->]; auto.
  - now rewrite <- HP, (inside_length _ _ I).
  - now rewrite <- HS, (inside_length _ _ Is).
Qed.

Definition generator (b : broadcasted) (F : fits b) : operator.
Proof.
  refine {| inputs := inputs_woven b; outputs := outputs_woven b;
            draws := index * draws (base b); run := run_broadcasted b |}.
  intros w w' x y W H. apply same_outputs_woven; auto. intros p I.
  eapply same_trans; [now apply written_at_run|].
  eapply same_trans; [|now apply same_sym, written_at_run].
  apply run_respects; auto using seen_at_same.
Defined.

Definition Broadcasted (b : broadcasted) (F : fits b) : morphism := Operator (generator b F).

(** *** Broadcasted operators are lifts of their bases after reindexings

    Stated where the tiled axes lead; other weaves only permute axes. *)

Fixpoint pulls (r : nat -> read) (a : object) : morphism :=
  match a with
  | [] => Id Nothing
  | t :: a' => Beside (Pull [t] (r 0)) (pulls (fun k => r (S k)) a')
  end.

Definition leading_weave (n m : nat) : weave := repeat true n ++ repeat false m.

Definition tiled_axes_lead (b : broadcasted) : Prop :=
  (forall k t, nth_error (inputs (base b)) k = Some t ->
    input_weave b k = leading_weave (length (To (reindexing b k))) (length (axes t))) /\
  (forall k t, nth_error (outputs (base b)) k = Some t ->
    output_weave b k = leading_weave (length (degree b)) (length (axes t))).

Lemma woven_leading {X} n m (p s : list X) :
  length p = n -> length s = m -> woven (leading_weave n m) p s = p ++ s.
Proof.
  intros <- <-. unfold leading_weave. induction p as [|x p IH]; simpl; [|now rewrite IH].
  induction s as [|y s IH]; simpl; congruence.
Qed.

Lemma pulls_deterministic r a : deterministic (pulls r a).
Proof. revert r. induction a as [|t a IH]; intros r; [intros []|intros [[]|n]; eapply IH, n]. Qed.

Lemma pulls_domain r a : Domain (pulls r a) = each (fun k => over (To (r k))) a.
Proof. revert r. induction a as [|t a IH]; intros r; simpl; [reflexivity|now rewrite IH]. Qed.

Lemma pulls_codomain r a : Codomain (pulls r a) = each (fun k => over (From (r k))) a.
Proof. revert r. induction a as [|t a IH]; intros r; simpl; [reflexivity|now rewrite IH]. Qed.

Lemma pulls_typed r a :
  (forall k t, nth_error a k = Some t -> typed_read (r k)) -> typed (pulls r a).
Proof.
  revert r. induction a as [|t a IH]; intros r H; simpl; auto. split; [now apply (H 0 t)|].
  apply IH. intros k. apply (H (S k)).
Qed.

Lemma pulls_at r a P p w x :
  (forall k t, nth_error a k = Some t -> From (r k) = P) -> inside P p ->
  same a (subarrays p (ap (pulls r a) w x)) (fun k s => x k (at_read (r k) p ++ s)).
Proof.
  intros H I. revert r w x H. induction a as [|t a IH]; intros r w x H.
  - intros k t i E. now destruct k.
  - simpl pulls. rewrite ap_beside. change (t :: a) with (Pair [t] a).
    eapply same_trans; [apply subarrays_beside|]. apply same_pair. split.
    + eapply same_trans; [apply (beside_left [t])|]. eapply same_trans.
      * apply pull_at. now rewrite (H 0 t).
      * intros [|k] s i E; [reflexivity|now destruct k].
    + eapply same_trans; [apply beside_right|]. eapply same_trans.
      * apply IH. intros k. apply (H (S k)).
      * apply same_refl.
Qed.

Lemma each_over a (f : nat -> array_type -> array_type) P :
  (forall k t, nth_error a k = Some t -> f k t = over P t) -> each f a = Over a P.
Proof.
  intros H. apply object_ext. intros k. unfold Over. rewrite nth_error_each, nth_error_map.
  destruct (nth_error a k) as [t|] eqn:E; simpl; [|reflexivity]. f_equal. auto.
Qed.

Theorem broadcasted_factors b (F : fits b) :
  tiled_axes_lead b ->
  Broadcasted b F ==
  Then (pulls (reindexing b) (inputs (base b))) (Lift (Operator (base b)) (degree b)).
Proof.
  intros [Lin Lout]. pose proof (pulls_deterministic (reindexing b) (inputs (base b))) as Det.
  assert (Domain (Broadcasted b F) = Domain (pulls (reindexing b) (inputs (base b)))) as D.
  { rewrite pulls_domain. apply object_ext. intros k. simpl. unfold inputs_woven.
    rewrite !nth_error_each. destruct (nth_error (inputs (base b)) k) as [t|] eqn:E; simpl; auto.
    unfold woven_type. now rewrite (Lin k t E), woven_leading. }
  assert (outputs_woven b = Over (outputs (base b)) (degree b)) as C.
  { apply each_over. intros k t E. unfold woven_type. now rewrite (Lout k t E), woven_leading. }
  apply (equal_by_bijection (Broadcasted b F)
    (Then (pulls (reindexing b) (inputs (base b))) (Lift (Operator (base b)) (degree b))) inr
    (fun n => match n with inl e => match Det e with end | inr n => n end)); auto.
  - intros [e|n]; [destruct (Det e)|reflexivity].
  - exact Logic.I.
  - repeat split.
    + apply pulls_typed. intros k t E. now apply (fits_input _ F k t).
    + rewrite pulls_codomain. apply each_over. intros k t E.
      now destruct (fits_input _ F k t E) as (_ & -> & _).
  - intros w x. rewrite ap_then. apply same_outputs_woven; auto. intros p I.
    eapply same_trans; [now apply written_at_run|].
    apply same_trans with (run (base b) (fun n => w (inr (p, n)))
      (subarrays p (ap (pulls (reindexing b) (inputs (base b))) (fun n => w (inl n)) x))).
    + apply run_respects; auto. apply same_sym. eapply same_trans.
      * apply pulls_at with (P := degree b); auto. intros k t E.
        now apply (fits_input _ F k t).
      * intros k t s E Is. unfold seen_at. f_equal. symmetry. rewrite (Lin k t E).
        destruct (fits_input _ F k t E) as (Tr & Fr & _).
        apply woven_leading; [|now apply inside_length].
        apply inside_length, at_read_inside; auto. now rewrite Fr.
    + intros k t s E Is. unfold written_at. rewrite (Lout k t E).
      rewrite woven_leading by now apply inside_length.
      symmetry.
      exact (lift_at _ (Operator (base b)) _ p (fun n => w (inr n)) _ I k t s E Is).
Qed.

(** *** Uniqueness of the weave factorisation

    What remains to be chosen, once the degree and the weaves are given? *)

Section Uniqueness.
Context (d : draw) (b b' : broadcasted) (F : fits b) (F' : fits b').
Context (same_degree : degree b = degree b').
Context (same_input_weaves : forall k, input_weave b k = input_weave b' k).
Context (same_output_weaves : forall k, output_weave b k = output_weave b' k).
Context (E : Broadcasted b F == Broadcasted b' F').

Lemma base_inputs_unique : inputs (base b) = inputs (base b').
Proof.
  pose proof (equal_domain _ _ E) as D. simpl in D. unfold inputs_woven in D.
  apply object_ext. intros k. apply (f_equal (fun a => nth_error a k)) in D.
  rewrite !nth_error_each in D.
  destruct (nth_error (inputs (base b)) k) as [t|] eqn:Et,
    (nth_error (inputs (base b')) k) as [t'|] eqn:Et'; try discriminate; auto.
  injection D as A S. apply (f_equal (seen (input_weave b k))) in A.
  destruct (fits_input _ F k t Et) as (_ & _ & H1 & H2).
  destruct (fits_input _ F' k t' Et') as (_ & _ & H1' & H2').
  rewrite (proj2 (taken_woven _ _ _ H1 H2)), same_input_weaves in A.
  rewrite (proj2 (taken_woven _ _ _ H1' H2')) in A.
  f_equal. destruct t, t'. simpl in *. congruence.
Qed.

Lemma base_outputs_unique : outputs (base b) = outputs (base b').
Proof.
  pose proof (equal_codomain _ _ E) as D. simpl in D. unfold outputs_woven in D.
  apply object_ext. intros k. apply (f_equal (fun a => nth_error a k)) in D.
  rewrite !nth_error_each in D.
  destruct (nth_error (outputs (base b)) k) as [t|] eqn:Et,
    (nth_error (outputs (base b')) k) as [t'|] eqn:Et'; try discriminate; auto.
  injection D as A S. apply (f_equal (seen (output_weave b k))) in A.
  destruct (fits_output _ F k t Et) as (H1 & H2).
  destruct (fits_output _ F' k t' Et') as (H1' & H2').
  rewrite (proj2 (taken_woven _ _ _ H1 H2)), same_output_weaves in A.
  rewrite (proj2 (taken_woven _ _ _ H1' H2')) in A.
  f_equal. destruct t, t'. simpl in *. congruence.
Qed.

Lemma written_unique p x y :
  same (outputs_woven b) x y -> inside (degree b) p ->
  same (outputs (base b)) (written_at b p x) (written_at b' p y).
Proof.
  intros H I. eapply same_trans.
  - now apply (proj1 (same_outputs_woven b x y F) H p I).
  - apply same_pointwise. intros k s. unfold written_at. now rewrite same_output_weaves.
Qed.

(** What two equal broadcasted operators do at one p of the degree. *)
Lemma run_unique (m : matching (index * draws (base b)) (index * draws (base b'))) p w w' x :
  (forall w w' x, agree m w w' ->
    same (outputs_woven b) (run_broadcasted b w x) (run_broadcasted b' w' x)) ->
  agree m w w' -> inside (degree b) p ->
  same (outputs (base b)) (run (base b) (fun n => w (p, n)) (seen_at b p x))
    (run (base b') (fun n => w' (p, n)) (seen_at b' p x)).
Proof.
  intros Hm W I. eapply same_trans; [now apply same_sym, written_at_run|].
  eapply same_trans; [apply written_unique; [now apply (Hm w w')|assumption]|].
  rewrite base_outputs_unique. apply written_at_run; auto. now rewrite <- same_degree.
Qed.

(** Inputs that do not depend on the tiled index: the base sees them whatever the reindexings. *)
Lemma seen_at_constant c p x :
  fits c -> inside (degree c) p ->
  same (inputs (base c)) (seen_at c p (fun k j => x k (seen (input_weave c k) j))) x.
Proof.
  intros Fc I k t s Et Is. unfold seen_at.
  destruct (fits_input _ Fc k t Et) as (Tr & Fr & H1 & H2). f_equal. apply taken_woven.
  - rewrite <- H1. apply inside_length, at_read_inside; auto. now rewrite Fr.
  - rewrite <- H2. now apply inside_length.
Qed.

(** The draws at p of equal broadcasted operators match as draws of the bases. *)
Definition matching_at (p : index) {A B} (m : matching (index * A) (index * B)) : matching A B.
Proof.
  refine {| there := fun n => match there m (p, n) with
                              | Some (q, n') => if index_eq_dec q p then Some n' else None
                              | None => None
                              end;
            back := fun n => match back m (p, n) with
                             | Some (q, n') => if index_eq_dec q p then Some n' else None
                             | None => None
                             end |}.
  intros n n'. split.
  - destruct (there m (p, n)) as [[q k]|] eqn:H; [|discriminate].
    destruct (index_eq_dec q p) as [->|]; [|discriminate]. intros [= ->].
    apply inverse in H. rewrite H. now destruct (index_eq_dec p p).
  - destruct (back m (p, n')) as [[q k]|] eqn:H; [|discriminate].
    destruct (index_eq_dec q p) as [->|]; [|discriminate]. intros [= ->].
    apply inverse in H. rewrite H. now destruct (index_eq_dec p p).
Defined.

(** The base is determined, if the degree has an index at all. *)
Theorem weave_base_unique p :
  inside (degree b) p -> Operator (base b) == Operator (base b').
Proof.
  intros I. pose proof (equal_ap _ _ E) as [m Hm]. simpl in m, Hm.
  split; simpl; auto using base_inputs_unique, base_outputs_unique.
  exists (matching_at p m). intros w w' x W.
  pose (v := fun n : index * draws (base b) =>
    let (q, n) := n in
    if index_eq_dec q p then w n
    else match there m (q, n) with
         | Some (q', n') => if index_eq_dec q' p then w' n' else d
         | None => d
         end).
  pose (v' := fun n : index * draws (base b') =>
    let (q, n) := n in
    if index_eq_dec q p then w' n
    else match back m (q, n) with
         | Some (q', n') => if index_eq_dec q' p then w n' else d
         | None => d
         end).
  assert (agree m v v') as V.
  { intros [q n] [q' n'] H. pose proof H as H'. apply inverse in H'. unfold v, v'.
    rewrite H, H'. destruct (index_eq_dec q p) as [->|], (index_eq_dec q' p) as [->|]; auto.
    apply W. simpl. rewrite H. now destruct (index_eq_dec p p). }
  pose (X := fun k j => x k (seen (input_weave b k) j) : value).
  apply (same_trans _ _ (run (base b) (fun n => v (p, n)) (seen_at b p X))).
  { apply run_respects.
    - intros n. unfold v. now destruct (index_eq_dec p p).
    - apply same_sym. now apply (seen_at_constant b p x). }
  eapply same_trans; [now apply (run_unique m p v v' X)|].
  rewrite base_outputs_unique. apply run_respects.
  - intros n. unfold v'. now destruct (index_eq_dec p p).
  - eapply same_trans; [|apply (seen_at_constant b' p x); auto; now rewrite <- same_degree].
    apply same_pointwise. intros k s. unfold seen_at, X. now rewrite same_input_weaves.
Qed.

(** The base depends on input k: for some draws, changing it alone changes the result. *)
Definition depends_on (k : nat) : Prop :=
  exists w x y, (forall k' i, k' <> k -> x k' i = y k' i) /\
    ~ same (outputs (base b)) (run (base b) w x) (run (base b) w y).

Lemma depends_on_input k : depends_on k -> exists t, nth_error (inputs (base b)) k = Some t.
Proof.
  intros (w & x & y & Hxy & H). destruct (nth_error (inputs (base b)) k) as [t|] eqn:Et; eauto.
  exfalso. apply H. apply run_respects; auto. intros k' t i Et' _. apply Hxy. congruence.
Qed.

(** The reindexing of every input on which the base depends is determined on the degree. *)
Theorem weave_reindexing_unique k p :
  depends_on k -> inside (degree b) p ->
  at_read (reindexing b k) p = at_read (reindexing b' k) p.
Proof.
  intros (w & x & y & Hxy & H) I.
  destruct (index_eq_dec (at_read (reindexing b k) p) (at_read (reindexing b' k) p))
    as [|N]; [assumption|].
  exfalso. apply H. pose proof (equal_ap _ _ E) as [m Hm]. simpl in m, Hm.
  pose (v := fun n : index * draws (base b) => w (snd n)).
  pose (v' := fun n => match back m n with Some n' => v n' | None => d end).
  assert (agree m v v') as V.
  { intros n n' A. unfold v'. apply inverse in A. now rewrite A. }
  assert (I' : inside (degree b') p) by (now rewrite <- same_degree).
  pose (X := fun k j => x k (seen (input_weave b k) j) : value).
  pose (Y := fun k' j =>
    if Nat.eq_dec k' k then
      if index_eq_dec (tiled (input_weave b k') j) (at_read (reindexing b k) p)
      then y k' (seen (input_weave b k') j) else x k' (seen (input_weave b k') j)
    else x k' (seen (input_weave b k') j) : value).
  assert (SX : same (inputs (base b)) (seen_at b p X) x) by now apply seen_at_constant.
  assert (SY : same (inputs (base b)) (seen_at b p Y) y).
  { intros k' t s Et Is. unfold seen_at, Y.
    destruct (fits_input _ F k' t Et) as (Tr & Fr & H1 & H2).
    destruct (taken_woven (input_weave b k') (at_read (reindexing b k') p) s) as [T S].
    - rewrite <- H1. apply inside_length, at_read_inside; auto. now rewrite Fr.
    - rewrite <- H2. now apply inside_length.
    - rewrite T, S. destruct (Nat.eq_dec k' k) as [->|]; [|now apply Hxy].
      now destruct (index_eq_dec _ _). }
  assert (SXY : same (inputs (base b')) (seen_at b' p X) (seen_at b' p Y)).
  { intros k' t s Et Is. unfold seen_at, X, Y.
    destruct (fits_input _ F' k' t Et) as (Tr & Fr & H1 & H2).
    destruct (Nat.eq_dec k' k) as [->|]; [|reflexivity].
    destruct (index_eq_dec _ _) as [A|]; [|reflexivity]. exfalso. apply N. rewrite <- A.
    rewrite same_input_weaves. apply taken_woven.
    - rewrite <- H1. apply inside_length, at_read_inside; auto. now rewrite Fr.
    - rewrite <- H2. now apply inside_length. }
  apply (same_trans _ _ (run (base b) (fun n => v (p, n)) (seen_at b p X))).
  { apply run_respects; auto using same_sym. }
  eapply same_trans; [now apply (run_unique m p v v' X)|].
  apply (same_trans _ _ (run (base b') (fun n => v' (p, n)) (seen_at b' p Y))).
  { rewrite base_outputs_unique. now apply run_respects. }
  eapply same_trans; [now apply same_sym, (run_unique m p v v' Y)|].
  now apply run_respects.
Qed.

(** ... and so as an affine map, where every axis of the degree has at least two indices. *)
Theorem weave_read_unique k :
  depends_on k -> Forall (fun n : integers => (2 <= n)%Z) (degree b) ->
  read_map (reindexing b k) = read_map (reindexing b' k).
Proof.
  intros K H2. destruct (depends_on_input k K) as [t Et].
  pose proof Et as Et'. rewrite base_inputs_unique in Et'.
  destruct (fits_input _ F k t Et) as (Tr & Fr & H).
  destruct (fits_input _ F' k t Et') as (Tr' & Fr' & H').
  apply determined_in_range; try (now apply read_map_typed);
    rewrite ?read_map_domain, ?read_map_codomain; try congruence.
  - pose proof (equal_domain _ _ E) as D. simpl in D. unfold inputs_woven in D.
    apply (f_equal (fun a => nth_error a k)) in D.
    rewrite !nth_error_each, Et, Et' in D. injection D as A.
    apply (f_equal (tiled (input_weave b k))) in A.
    rewrite (proj1 (taken_woven _ _ _ (proj1 H) (proj2 H))), same_input_weaves in A.
    now rewrite (proj1 (taken_woven _ _ _ (proj1 H') (proj2 H'))) in A.
  - rewrite Fr. exact (fun p I => weave_reindexing_unique k p K I).
Qed.

End Uniqueness.

(** Without the degree the factorisation is not unique: every lift is also the lift of itself over
    no axes ... *)
Theorem degree_not_unique f P : typed f -> Lift f P == Lift (Lift f P) [].
Proof. intros T. now apply equal_sym, sound_lift_none. Qed.

(** ... and a degree without indices forgets the base. *)
Theorem empty_degree_forgets f g P :
  (forall p, ~ inside P p) -> typed f -> typed g -> Domain f = Domain g ->
  Codomain f = Codomain g -> Lift f P == Lift g P.
Proof.
  intros N Tf Tg D C. apply equal_without_draws; simpl; auto; try congruence.
  intros w w' x. apply same_over. intros p I. destruct (N p I).
Qed.

End Broadcasting.

(** *** The greatest degree

    A function of arrays that is a lift over P, and also over Q, is a lift over both together.  So
    the axes over which a function is tiled are closed under union, and there is a greatest choice
    of them; the base that belongs to it is determined by [weave_base_unique].  [A] and [B] stand
    for what remains of inputs and outputs at an index of P and Q. *)

Section Greatest.
Context {P Q A B : Type} (P_eq_dec : forall p p' : P, {p = p'} + {p <> p'}) (p0 : P) (q0 : Q).

Definition lift_first (F : (P * Q -> A) -> P * Q -> B) : Prop :=
  exists f : (Q -> A) -> Q -> B,
    (forall a a', (forall q, a q = a' q) -> forall q, f a q = f a' q) /\
    forall x p q, F x (p, q) = f (fun q => x (p, q)) q.

Definition lift_second (F : (P * Q -> A) -> P * Q -> B) : Prop :=
  exists f : (P -> A) -> P -> B,
    (forall a a', (forall p, a p = a' p) -> forall p, f a p = f a' p) /\
    forall x p q, F x (p, q) = f (fun p => x (p, q)) p.

Theorem lift_both F :
  lift_first F -> lift_second F -> exists f : A -> B, forall x i, F x i = f (x i).
Proof.
  intros (f & Hf & Ff) (g & Hg & Fg). exists (fun a => F (fun _ => a) (p0, q0)). intros x [p q].
  pose (z := fun i : P * Q => if P_eq_dec (fst i) p then x (p, snd i) else x (p, q)).
  transitivity (F z (p, q)).
  { rewrite !Ff. apply Hf. intros s. unfold z. simpl. now destruct (P_eq_dec p p). }
  transitivity (F (fun _ => x (p, q)) (p, q)).
  { rewrite !Fg. apply Hg. intros r. unfold z. simpl. now destruct (P_eq_dec r p). }
  transitivity (F (fun _ => x (p, q)) (p0, q)); [now rewrite !Ff|now rewrite !Fg].
Qed.

End Greatest.

(** ** 12. Determinism is needed

    Weaves, Wires, and Morphisms, after lemma 1: repetition does not slide past dropout.  Dropout
    keeps a number or replaces it by zero, as it draws.  Dropping once and copying gives equal
    copies; copying and dropping each can give copies that differ. *)

Definition number : @array_type unit := {| axes := []; sort := tt |}.

Definition dropout : @operator unit Z bool.
Proof.
  refine {| inputs := [number]; outputs := [number]; draws := unit;
            run := fun (w : unit -> bool) (x : nat -> index -> Z) k i =>
              if w tt then x k i else 0%Z |}.
  intros w w' x y W H k t i E I. rewrite <- W. destruct (w tt); [|reflexivity]. eauto.
Defined.

Definition Dropout : @morphism unit Z bool := Operator dropout.

(** Both sides are typed, but what the right one may give is out of reach of the left one. *)
Theorem dropout_does_not_slide_past_copy :
  ~ equal (Then Dropout (Copy [number])) (Then (Copy [number]) (Beside Dropout Dropout)).
Proof.
  intros H. apply equal_sym in H.
  pose (x := fun (_ : nat) (_ : index) => 1%Z).
  pose (y := fun (k : nat) (_ : index) => Z.of_nat k).
  apply (equal_outcome true) with (x := x) (y := y) in H.
  - destruct H as [w O]. pose proof (O 0 number [] eq_refl (Forall2_nil _)) as O0.
    pose proof (O 1 number [] eq_refl (Forall2_nil _)) as O1.
    unfold x, y, beside in O0, O1. simpl in O0, O1. destruct (w (inl tt)); discriminate.
  - exists (fun n => match n with inr (inr _) => true | _ => false end).
    intros [|[|k]] t i E I; simpl in E; try (now destruct k); reflexivity.
Qed.

(** The repetition of a number along an axis of two. *)
Definition repetition : read := Stride (deletion (R := integers) [2%Z]).

Theorem dropout_does_not_slide_past_repetition :
  typed (Then (Pull [number] repetition) (Lift Dropout [2%Z])) /\
  typed (Then (Lift Dropout []) (Pull [number] repetition)) /\
  ~ equal (Then (Pull [number] repetition) (Lift Dropout [2%Z]))
      (Then (Lift Dropout []) (Pull [number] repetition)).
Proof.
  assert (typed_read repetition) as R
    by (split; [apply deletion_well_formed|apply in_range_deletion]).
  split; [|split].
  - repeat split; apply R.
  - repeat split; apply R.
  - intros H. pose (x := fun (_ : nat) (_ : index) => 1%Z).
    pose (y := fun (_ : nat) (j : index) => hd 0%Z j).
    apply (equal_outcome true) with (x := x) (y := y) in H.
    + destruct H as [w O].
      pose proof (O 0 (over [2%Z] number) [0%Z] eq_refl) as O0.
      pose proof (O 0 (over [2%Z] number) [1%Z] eq_refl) as O1.
      assert (inside [2%Z] [0%Z] /\ inside [2%Z] [1%Z]) as [I0 I1]
        by (split; constructor; try constructor; simpl; lia).
      specialize (O0 I0). specialize (O1 I1).
      unfold ap, leading, x, y, subarrays in O0, O1. simpl in O0, O1.
      rewrite O0 in O1. discriminate.
    + exists (fun n => match n with inr ([1%Z], _) => true | _ => false end).
      intros [|k] t j E I; simpl in E; [|now destruct k]. injection E as <-. simpl in I.
      inversion_clear I as [|? i ? j' Hi I']. inversion_clear I'.
      assert (i = 0%Z \/ i = 1%Z) as [-> | ->] by lia; reflexivity.
Qed.
