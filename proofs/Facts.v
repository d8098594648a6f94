(* Facts about values: which kinds of value a term may take.

   A fact is a set of kinds: negative, 0, 1, any other positive number, −∞, undefined.  It is derived
   by evaluating each operator on kinds.  This is `ncd_formal/facts.py`; laws name what they need. *)

From Coq Require Import Reals Lra Lia List Bool QArith Qreals.
From Ncd Require Import Values Folds Monoids.
Import ListNotations.
Local Open Scope R_scope.

Inductive kind := Negative | Zero | One | OtherPositive | Infinite | NoValue.
Definition kinds := [Negative; Zero; One; OtherPositive; Infinite; NoValue].

Definition kind_of (v : value) : kind := match v with
  | Fin a => if Rlt_dec a 0 then Negative else if Req_EM_T a 0 then Zero
             else if Req_EM_T a 1 then One else OtherPositive
  | NegInf => Infinite
  | Undef => NoValue end.

Record fact := Fact { neg : bool; zero : bool; one : bool; pos : bool; inf : bool; und : bool }.
Definition member (k : kind) (F : fact) : bool := match k with
  | Negative => neg F | Zero => zero F | One => one F | OtherPositive => pos F
  | Infinite => inf F | NoValue => und F end.
Definition has (F : fact) (v : value) : Prop := member (kind_of v) F = true.

Definition collect (f : kind -> bool) : fact :=
  Fact (f Negative) (f Zero) (f One) (f OtherPositive) (f Infinite) (f NoValue).
Definition nothing := collect (fun _ => false).
Definition anything := collect (fun _ => true).
Definition of_kinds (l : list kind) : fact := Fact
  (existsb (fun k => match k with Negative => true | _ => false end) l)
  (existsb (fun k => match k with Zero => true | _ => false end) l)
  (existsb (fun k => match k with One => true | _ => false end) l)
  (existsb (fun k => match k with OtherPositive => true | _ => false end) l)
  (existsb (fun k => match k with Infinite => true | _ => false end) l)
  (existsb (fun k => match k with NoValue => true | _ => false end) l).
Definition union (F H : fact) : fact := Fact (neg F || neg H) (zero F || zero H) (one F || one H)
  (pos F || pos H) (inf F || inf H) (und F || und H).
Definition meet (F H : fact) : fact := Fact (neg F && neg H) (zero F && zero H) (one F && one H)
  (pos F && pos H) (inf F && inf H) (und F && und H).
Definition subset (F H : fact) : bool := forallb (fun k => implb (member k F) (member k H)) kinds.

Lemma member_collect k f : member k (collect f) = f k.
Proof. destruct k; reflexivity. Qed.
Lemma member_of_kinds k l : In k l -> member k (of_kinds l) = true.
Proof. intros H. destruct k; cbn; apply existsb_exists; eexists; split; eauto; reflexivity. Qed.
Lemma member_union k F H : member k (union F H) = member k F || member k H.
Proof. destruct k; reflexivity. Qed.
Lemma member_meet k F H : member k (meet F H) = member k F && member k H.
Proof. destruct k; reflexivity. Qed.
Lemma has_union F H v : has F v \/ has H v -> has (union F H) v.
Proof. unfold has. rewrite member_union, orb_true_iff. auto. Qed.
Lemma has_meet F H v : has F v -> has H v -> has (meet F H) v.
Proof. unfold has. rewrite member_meet, andb_true_iff. auto. Qed.
Lemma has_anything v : has anything v.
Proof. unfold has, anything. now rewrite member_collect. Qed.
Lemma in_kinds k : In k kinds.
Proof. destruct k; cbn; tauto. Qed.
Lemma subset_has F H v : subset F H = true -> has F v -> has H v.
Proof.
  unfold subset, has. rewrite forallb_forall. intros S. specialize (S _ (in_kinds (kind_of v))).
  destruct (member _ F); [intros _; exact S | discriminate].
Qed.

(* The facts that rule texts name. *)
Definition real_fact := of_kinds [Negative; Zero; One; OtherPositive].
Definition positive_fact := of_kinds [One; OtherPositive].
Definition nonzero_fact := of_kinds [Negative; One; OtherPositive].
Definition boolean_fact := of_kinds [Zero; One].
Definition defined_fact := of_kinds [Negative; Zero; One; OtherPositive; Infinite].
Definition no_infinity_fact := of_kinds [Negative; Zero; One; OtherPositive; NoValue].
Definition positive_or_undefined_fact := of_kinds [One; OtherPositive; NoValue].
Definition nonzero_or_undefined_fact := of_kinds [Negative; One; OtherPositive; NoValue].
Definition nonnegative_or_undefined_fact := of_kinds [Zero; One; OtherPositive; NoValue].

Ltac kind_cases := unfold has, kind_of; intros; repeat match goal with
  | v : value |- _ => destruct v end; cbn in *; decide_reals;
  repeat match goal with
  | H : context [Rlt_dec ?a ?b] |- _ => destruct (Rlt_dec a b)
  | H : context [Req_EM_T ?a ?b] |- _ => destruct (Req_EM_T a b) end;
  cbn in *; try discriminate; try tauto; try reflexivity; try lra.

Lemma has_real v : has real_fact v <-> real v.
Proof. split; kind_cases. Qed.
Lemma has_positive v : has positive_fact v <-> positive v.
Proof. split; kind_cases. Qed.
Lemma has_nonzero v : has nonzero_fact v <-> nonzero v.
Proof. split; kind_cases. Qed.
Lemma has_boolean v : has boolean_fact v <-> boolean v.
Proof. split; kind_cases. Qed.
Lemma has_defined v : has defined_fact v <-> defined v.
Proof. split; kind_cases. Qed.
Lemma has_no_infinity v : has no_infinity_fact v <-> no_infinity v.
Proof. split; kind_cases. Qed.
Lemma has_positive_or_undefined v : has positive_or_undefined_fact v <-> positive_or_undefined v.
Proof. split; kind_cases. Qed.
Lemma has_nonzero_or_undefined v : has nonzero_or_undefined_fact v <-> nonzero_or_undefined v.
Proof. split; kind_cases. Qed.
Lemma has_nonnegative_or_undefined v :
  has nonnegative_or_undefined_fact v <-> nonnegative_or_undefined v.
Proof. split; kind_cases. Qed.

(* Operators on kinds ------------------------------------------------------------------------ *)

Definition add_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue => [NoValue]
  | Infinite, _ | _, Infinite => [Infinite]
  | Zero, k | k, Zero => [k]
  | Negative, Negative => [Negative]
  | Negative, _ | _, Negative => [Negative; Zero; One; OtherPositive]
  | OtherPositive, OtherPositive => [One; OtherPositive]
  | _, _ => [OtherPositive] end.
Definition mul_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue => [NoValue]
  | Infinite, (One | OtherPositive) | (One | OtherPositive), Infinite => [Infinite]
  | Infinite, _ | _, Infinite => [NoValue]
  | Zero, _ | _, Zero => [Zero]
  | One, k | k, One => [k]
  | Negative, Negative | OtherPositive, OtherPositive => [One; OtherPositive]
  | _, _ => [Negative] end.
Definition max_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue => [NoValue]
  | Infinite, k | k, Infinite => [k]
  | One, One => [One]
  | OtherPositive, OtherPositive => [OtherPositive]
  | One, OtherPositive | OtherPositive, One => [One; OtherPositive]
  | One, _ | _, One => [One]
  | OtherPositive, _ | _, OtherPositive => [OtherPositive]
  | Zero, _ | _, Zero => [Zero]
  | Negative, Negative => [Negative] end.
Definition min_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue => [NoValue]
  | Infinite, _ | _, Infinite => [Infinite]
  | Negative, _ | _, Negative => [Negative]
  | Zero, _ | _, Zero => [Zero]
  | One, One => [One]
  | OtherPositive, OtherPositive => [OtherPositive]
  | _, _ => [One; OtherPositive] end.
Definition compare_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue => [NoValue] | _, _ => [Zero; One] end.
Definition and_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue | Infinite, _ | _, Infinite => [NoValue]
  | Zero, _ | _, Zero => [Zero]
  | _, _ => [One] end.
Definition or_kind (a b : kind) : list kind := match a, b with
  | NoValue, _ | _, NoValue | Infinite, _ | _, Infinite => [NoValue]
  | Zero, Zero => [Zero]
  | _, _ => [One] end.
Definition rescale_kind (s m : kind) : list kind := match s, m with
  | NoValue, _ | _, NoValue => [NoValue]
  | Infinite, _ => [Zero]
  | _, Infinite => [NoValue]
  | _, _ => [One; OtherPositive] end.
Definition inverse_kind (a : kind) : list kind := match a with
  | Zero | Infinite | NoValue => [NoValue] | k => [k] end.
Definition exp_kind (a : kind) : list kind := match a with
  | NoValue => [NoValue] | Infinite => [Zero] | Zero => [One] | _ => [OtherPositive] end.
Definition log_kind (a : kind) : list kind := match a with
  | Zero => [Infinite] | One => [Zero] | OtherPositive => [Negative; One; OtherPositive]
  | _ => [NoValue] end.
Definition sqrt_kind (a : kind) : list kind := match a with
  | Negative | Infinite | NoValue => [NoValue] | k => [k] end.
Definition abs_kind (a : kind) : list kind := match a with
  | Negative => [One; OtherPositive] | Infinite | NoValue => [NoValue] | k => [k] end.
Definition not_kind (a : kind) : list kind := match a with
  | Infinite | NoValue => [NoValue] | Zero => [One] | _ => [Zero] end.
Definition function_kind (a : kind) : list kind := match a with
  | Infinite | NoValue => [NoValue] | _ => [Negative; Zero; One; OtherPositive] end.

Definition lift1 (f : kind -> list kind) (F : fact) : fact :=
  of_kinds (flat_map (fun a => if member a F then f a else []) kinds).
Definition lift2 (f : kind -> kind -> list kind) (F H : fact) : fact :=
  of_kinds (flat_map (fun a => if member a F
    then flat_map (fun b => if member b H then f a b else []) kinds else []) kinds).

Lemma lift1_has f g F v : (forall v, In (kind_of (g v)) (f (kind_of v))) ->
  has F v -> has (lift1 f F) (g v).
Proof.
  intros S H. apply member_of_kinds, in_flat_map. exists (kind_of v). split; [apply in_kinds|].
  rewrite H. apply S.
Qed.
Lemma lift2_has f g F H v w : (forall v w, In (kind_of (g v w)) (f (kind_of v) (kind_of w))) ->
  has F v -> has H w -> has (lift2 f F H) (g v w).
Proof.
  intros S Hv Hw. apply member_of_kinds, in_flat_map. exists (kind_of v). split; [apply in_kinds|].
  rewrite Hv. apply in_flat_map. exists (kind_of w). split; [apply in_kinds|]. rewrite Hw. apply S.
Qed.

Ltac operator_cases := unfold kind_of; intros; repeat match goal with
  | v : value |- _ => destruct v end; cbn; decide_reals; cbn; decide_reals; cbn; subst; auto 6.
Lemma vadd_kind v w : In (kind_of (vadd v w)) (add_kind (kind_of v) (kind_of w)).
Proof. operator_cases; exfalso; lra. Qed.
Lemma vmul_kind v w : In (kind_of (vmul v w)) (mul_kind (kind_of v) (kind_of w)).
Proof. operator_cases; exfalso; try lra; nra. Qed.
Lemma vmax_kind v w : In (kind_of (vmax v w)) (max_kind (kind_of v) (kind_of w)).
Proof.
  destruct v as [a| |], w as [b| |]; cbn [vmax]; unfold Rmax; try destruct (Rle_dec a b);
    operator_cases; exfalso; lra.
Qed.
Lemma vmin_kind v w : In (kind_of (vmin v w)) (min_kind (kind_of v) (kind_of w)).
Proof.
  destruct v as [a| |], w as [b| |]; cbn [vmin]; unfold Rmin; try destruct (Rle_dec a b);
    operator_cases; exfalso; lra.
Qed.
Lemma truth_kind b : kind_of (truth b) = if b then One else Zero.
Proof. destruct b; operator_cases; exfalso; lra. Qed.
Ltac truth_cases := intros; repeat match goal with v : value |- _ => destruct v end;
  cbn [vless vequal vand vor vnot]; unfold is_zero; rewrite ?truth_kind; cbn;
  decide_reals; cbn; auto; try (exfalso; lra).
Lemma vless_kind v w : In (kind_of (vless v w)) (compare_kind (kind_of v) (kind_of w)).
Proof. truth_cases; destruct (less _ _); cbn; auto. Qed.
Lemma vequal_kind v w : In (kind_of (vequal v w)) (compare_kind (kind_of v) (kind_of w)).
Proof. truth_cases. Qed.
Lemma vand_kind v w : In (kind_of (vand v w)) (and_kind (kind_of v) (kind_of w)).
Proof. truth_cases. Qed.
Lemma vor_kind v w : In (kind_of (vor v w)) (or_kind (kind_of v) (kind_of w)).
Proof. truth_cases. Qed.
Lemma vnot_kind v : In (kind_of (vnot v)) (not_kind (kind_of v)).
Proof. truth_cases. Qed.
Lemma exp_at_1 a : exp a = 1 -> a = 0.
Proof. intros H. apply exp_inv. now rewrite exp_0. Qed.
Lemma vexp_kind v : In (kind_of (vexp v)) (exp_kind (kind_of v)).
Proof.
  destruct v as [a| |]; [|operator_cases; exfalso; lra|operator_cases].
  pose proof (exp_pos a). pose proof exp_0.
  assert (a = 0 \/ exp a <> 1) as [->|] by (destruct (Req_EM_T (exp a) 1); auto using exp_at_1);
    operator_cases; exfalso; lra.
Qed.
Lemma vrescale_kind v w : In (kind_of (vrescale v w)) (rescale_kind (kind_of v) (kind_of w)).
Proof.
  destruct v as [a| |], w as [b| |]; cbn; try (operator_cases; exfalso; lra).
  pose proof (exp_pos (a - b)). operator_cases; exfalso; lra.
Qed.
Lemma vinv_kind v : In (kind_of (vinv v)) (inverse_kind (kind_of v)).
Proof.
  destruct v as [a| |]; [|operator_cases|operator_cases].
  unfold kind_of, vinv. destruct (Req_EM_T a 0) as [->|N].
  - operator_cases; exfalso; lra.
  - assert (L : a < 0 -> / a < 0) by apply Rinv_lt_0_compat.
    assert (P : 0 < a -> 0 < / a) by apply Rinv_0_lt_compat.
    assert (E : / a = 1 -> a = 1) by (intros E; rewrite <- (Rinv_inv a), E; apply Rinv_1).
    decide_reals; cbn; auto; exfalso; subst; try rewrite Rinv_1 in *; try lra.
    all: destruct (Rtotal_order a 0) as [?|[?|?]]; auto; lra.
Qed.
Lemma vlog_kind v : In (kind_of (vlog v)) (log_kind (kind_of v)).
Proof.
  destruct v as [a| |]; [|operator_cases|operator_cases]. unfold vlog.
  destruct (Rlt_dec 0 a) as [L|L]; [|destruct (Req_EM_T a 0)]; try (operator_cases; exfalso; lra).
  assert (E : ln a = 0 -> a = 1) by (intros E; apply ln_inv; rewrite ?ln_1; auto; lra).
  pose proof ln_1. unfold kind_of. decide_reals; cbn; subst; auto 6; exfalso; auto; lra.
Qed.
Lemma vsqrt_kind v : In (kind_of (vsqrt v)) (sqrt_kind (kind_of v)).
Proof.
  destruct v as [a| |]; [|operator_cases|operator_cases]. unfold vsqrt.
  destruct (Rle_dec 0 a) as [L|L]; [|operator_cases; exfalso; lra].
  pose proof (sqrt_pos a). pose proof sqrt_0. pose proof sqrt_1.
  assert (Z : sqrt a = 0 -> a = 0) by (intros; apply sqrt_eq_0; auto).
  assert (O : sqrt a = 1 -> a = 1)
    by (intros E; rewrite <- (sqrt_sqrt a L), E; lra).
  unfold kind_of. decide_reals; cbn; subst; auto 6; exfalso; auto; lra.
Qed.
Lemma vabs_kind v : In (kind_of (vabs v)) (abs_kind (kind_of v)).
Proof. unfold vabs, Rabs. destruct v; try destruct (Rcase_abs r); operator_cases; exfalso; lra. Qed.
Lemma vfun_kind f v : In (kind_of (vfun f v)) (function_kind (kind_of v)).
Proof. destruct v; [|operator_cases|operator_cases]; unfold vfun, kind_of; decide_reals; cbn; auto 6. Qed.
Lemma vtanh_kind v : In (kind_of (vtanh v)) (function_kind (kind_of v)).
Proof. apply vfun_kind. Qed.
Lemma verf_kind v : In (kind_of (verf v)) (function_kind (kind_of v)).
Proof. apply vfun_kind. Qed.
Lemma vsin_kind v : In (kind_of (vsin v)) (function_kind (kind_of v)).
Proof. apply vfun_kind. Qed.
Lemma vcos_kind v : In (kind_of (vcos v)) (function_kind (kind_of v)).
Proof. apply vfun_kind. Qed.

Definition select_fact (c a b : fact) : fact := union
  (if inf c || und c then of_kinds [NoValue] else nothing)
  (union (if neg c || one c || pos c then a else nothing) (if zero c then b else nothing)).
Lemma select_has C A B c a b : has C c -> has A a -> has B b -> has (select_fact C A B) (vselect c a b).
Proof.
  intros Hc Ha Hb. unfold select_fact.
  destruct c as [r| |]; cbn [vselect].
  - destruct (Req_EM_T r 0) as [->|N]; apply has_union; right; apply has_union.
    + right. unfold has, kind_of in Hc. revert Hc. decide_reals; try lra. cbn. intros ->. exact Hb.
    + left. unfold has, kind_of in Hc. revert Hc.
      decide_reals; try contradiction; cbn; intros ->; rewrite ?orb_true_r; exact Ha.
  - apply has_union. left. unfold has in *. cbn in Hc. rewrite Hc. reflexivity.
  - apply has_union. left. unfold has in *. cbn in Hc. rewrite Hc, orb_true_r. reflexivity.
Qed.

Definition constant_fact (q : Q) : fact := of_kinds [
  if Qeq_bool q 1 then One else if Qeq_bool q 0 then Zero
  else if Qle_bool q 0 then Negative else OtherPositive].
Lemma Q2R_eq q c : Qeq_bool q c = true -> Q2R q = Q2R c.
Proof. intros E. apply Qeq_eqR, Qeq_bool_eq, E. Qed.
Lemma Q2R_neq q c : Qeq_bool q c = false -> Q2R q <> Q2R c.
Proof. intros E N. apply Qeq_bool_neq in E. apply E, eqR_Qeq, N. Qed.
Lemma Q2R_0 : Q2R 0 = 0. Proof. apply RMicromega.Q2R_0. Qed.
Lemma Q2R_1 : Q2R 1 = 1. Proof. apply RMicromega.Q2R_1. Qed.
Lemma constant_has q : has (constant_fact q) (Fin (Q2R q)).
Proof.
  apply member_of_kinds. cbn. left. unfold kind_of.
  destruct (Qeq_bool q 1) eqn:E1.
  { apply Q2R_eq in E1. rewrite Q2R_1 in E1. rewrite E1. decide_reals; auto; lra. }
  destruct (Qeq_bool q 0) eqn:E0.
  { apply Q2R_eq in E0. rewrite Q2R_0 in E0. rewrite E0. decide_reals; auto; lra. }
  apply Q2R_neq in E1, E0. rewrite Q2R_1 in E1. rewrite Q2R_0 in E0.
  destruct (Qle_bool q 0) eqn:L.
  - apply Qle_bool_iff, Qle_Rle in L. rewrite Q2R_0 in L. decide_reals; auto; lra.
  - assert (0 < Q2R q).
    { destruct (Qlt_le_dec 0 q) as [K|K]; [apply Qlt_Rlt in K; now rewrite Q2R_0 in K|].
      apply Qle_bool_iff in K. congruence. }
    decide_reals; auto; try lra.
Qed.

(* Folds on kinds ----------------------------------------------------------------------------- *)

Definition fold_kind (m : monoid) : kind -> kind -> list kind := match m with
  | Sum => add_kind | Product => mul_kind | Max => max_kind | Min => min_kind
  | All => and_kind | Any => or_kind | _ => fun _ _ => kinds end.
Definition unit_fact (m : monoid) : fact := of_kinds (match m with
  | Sum => [Zero] | Product => [One] | Max => [Infinite] | Min => [NoValue]
  | All => [One] | Any => [Zero] | _ => kinds end).
Fixpoint grow (fuel : nat) (f : kind -> kind -> list kind) (F : fact) : fact := match fuel with
  | O => if subset (lift2 f F F) F then F else anything
  | S n => grow n f (union F (lift2 f F F)) end.
Arguments grow : simpl never.
Arguments lift1 : simpl never.
Arguments lift2 : simpl never.
Definition fold_fact (m : monoid) (F : fact) (nonempty : bool) : fact :=
  let entered := match m with All | Any => lift1 not_kind (lift1 not_kind F) | _ => F end in
  let closure := grow 6 (fold_kind m) entered in
  if scalar m then (if nonempty then closure else union closure (unit_fact m)) else anything.

Lemma value_op_kind m v w : scalar m = true ->
  In (kind_of (value_op m v w)) (fold_kind m (kind_of v) (kind_of w)).
Proof.
  destruct m; cbn; try discriminate; intros _; auto using vadd_kind, vmul_kind, vmax_kind, vmin_kind,
    vand_kind, vor_kind.
Qed.
Lemma grow_closed fuel m F : scalar m = true -> forall v w, has (grow fuel (fold_kind m) F) v ->
  has (grow fuel (fold_kind m) F) w -> has (grow fuel (fold_kind m) F) (value_op m v w).
Proof.
  intros Hm. revert F. induction fuel as [|n IH]; intros F v w; [|exact (IH _ v w)]. unfold grow.
  destruct (subset _ _) eqn:E; [|intros; apply has_anything]. intros Hv Hw.
  eapply subset_has; [exact E|]. apply lift2_has; auto. intros. now apply value_op_kind.
Qed.
Lemma grow_has fuel f F v : has F v -> has (grow fuel f F) v.
Proof.
  revert F. induction fuel as [|n IH]; intros F H.
  - unfold grow. destruct (subset (lift2 f F F) F); auto using has_anything.
  - apply (IH (union F (lift2 f F F))), has_union. auto.
Qed.
Lemma enter_and v : vand (truth true) v = vnot (vnot v).
Proof.
  destruct v as [a| |]; cbn; try reflexivity. unfold is_zero, truth. decide_reals; cbn; f_equal; try lra.
Qed.
Lemma enter_or v : vor (truth false) v = vnot (vnot v).
Proof.
  destruct v as [a| |]; cbn; try reflexivity. unfold is_zero, truth. decide_reals; cbn; f_equal; try lra.
Qed.
Lemma not_not_has F v : has F v -> has (lift1 not_kind (lift1 not_kind F)) (vnot (vnot v)).
Proof. intros H. apply lift1_has; [apply vnot_kind|]. apply lift1_has; [apply vnot_kind|exact H]. Qed.
Lemma fold_has m F nonempty n f : (nonempty = true -> (0 < n)%nat) ->
  (forall i, (i < n)%nat -> has F (f i)) -> has (fold_fact m F nonempty) (vfold m n f).
Proof.
  intros Hn Hf. unfold fold_fact. destruct (scalar m) eqn:S; [|apply has_anything]. cbv zeta.
  set (entered := match m with All | Any => _ | _ => F end).
  set (closure := grow 6 (fold_kind m) entered).
  assert (P : (0 < n)%nat -> has closure (vfold m n f)).
  { intros L. unfold vfold. rewrite reduce_positive by exact L.
    apply Red_property; [exact L | now apply grow_closed |].
    intros i Hi. apply grow_has. specialize (Hf i Hi). unfold entered.
    destruct m; cbn [value_alone]; auto; [rewrite enter_and | rewrite enter_or];
      now apply not_not_has. }
  destruct nonempty; [now apply P, Hn|]. apply has_union.
  destruct n as [|n]; [right|left; apply P; lia].
  cbn [vfold reduce]. clear. destruct m; cbn [value_unit unit_fact]; apply member_of_kinds;
    try apply in_kinds; unfold truth, kind_of; decide_reals; cbn [In]; auto; exfalso; lra.
Qed.

(* Facts of objects: of a number, or of both components of a pair. *)
Inductive facts := Leaf (F : fact) | Node (l r : facts).
Fixpoint fact_at (F : facts) (p : path) : fact := match F, p with
  | Leaf F, _ => F
  | Node l r, Left :: q => fact_at l q
  | Node l r, Right :: q => fact_at r q
  | Node _ _, [] => anything end.
Definition leaf (F : facts) : fact := match F with Leaf F => F | Node _ _ => anything end.
Definition has_facts (F : facts) (a : object) : Prop := forall p, has (fact_at F p) (a p).

Lemma leaf_has F a p : has_facts F a -> has (leaf F) (a p).
Proof. intros H. destruct F; [apply (H p) | apply has_anything]. Qed.
Lemma facts_anything a : has_facts (Leaf anything) a.
Proof. intros p. apply has_anything. Qed.
Lemma pair_facts F H a b : has_facts F a -> has_facts H b -> has_facts (Node F H) (pair a b).
Proof. intros Ha Hb [|[] p]; cbn; auto using has_anything. Qed.

Definition zero_too (F : fact) : fact := union F (of_kinds [Zero]).
Fixpoint weighted (weight : fact) (F : facts) (nonempty : bool) : facts := match F with
  | Leaf F => Leaf (fold_fact Sum (zero_too (lift2 mul_kind weight F)) nonempty)
  | Node l r => Node (weighted weight l nonempty) (weighted weight r nonempty) end.
Definition fold_facts (m : monoid) (F : facts) (nonempty : bool) : facts := match m, F with
  | RescaledSum, Node score v =>
      let top := fold_fact Max (leaf score) nonempty in
      Node (Leaf top) (weighted (lift2 rescale_kind (leaf score) top) v nonempty)
  | _, Leaf F => if scalar m then Leaf (fold_fact m F nonempty) else Leaf anything
  | _, _ => Leaf anything end.

Lemma weighted_has weight F nonempty n w (v : nat -> object) :
  (nonempty = true -> (0 < n)%nat) ->
  (forall i p, (i < n)%nat -> has weight (w i p)) -> (forall i, (i < n)%nat -> has_facts F (v i)) ->
  forall p, has (fact_at (weighted weight F nonempty) p)
    (vfold Sum n (fun i => vmul (w i p) (v i p))).
Proof.
  intros Hn. revert w v. induction F as [F|l IHl r IHr]; intros w v Hw Hv p.
  - cbn [weighted fact_at]. apply fold_has; auto. intros i Hi. apply has_union. left.
    apply lift2_has; [apply vmul_kind | auto |]. apply (Hv i Hi).
  - destruct p as [|[] p]; cbn [weighted fact_at]; [apply has_anything| |].
    + apply (IHl (fun i p => w i (Left :: p)) (fun i => first (v i))); auto.
      intros i Hi q. apply (Hv i Hi (Left :: q)).
    + apply (IHr (fun i p => w i (Right :: p)) (fun i => second (v i))); auto.
      intros i Hi q. apply (Hv i Hi (Right :: q)).
Qed.
Theorem fold_facts_has m F nonempty n f : (nonempty = true -> (0 < n)%nat) ->
  (forall i, (i < n)%nat -> has_facts F (f i)) -> has_facts (fold_facts m F nonempty) (fold m n f).
Proof.
  intros Hn Hf.
  assert (P : has_facts (match F with Leaf F => if scalar m then Leaf (fold_fact m F nonempty)
      else Leaf anything | _ => Leaf anything end) (fold m n f)).
  { destruct F; [|apply facts_anything]. destruct (scalar m) eqn:S; [|apply facts_anything].
    intros p. cbn [fact_at]. rewrite fold_at by assumption. apply fold_has; auto. intros i Hi. apply (Hf i Hi p). }
  destruct m; try exact P. destruct F as [F|score v]; [apply facts_anything|]. clear P.
  set (w := fun i (q : path) => vrescale (f i (Left :: q)) (vfold Max n (fun i => f i (Left :: q)))).
  assert (T : forall q, has (fold_fact Max (leaf score) nonempty) (vfold Max n (fun i => f i (Left :: q)))).
  { intros q. apply fold_has; auto. intros i Hi. apply (leaf_has score (first (f i)) q).
    intros p. apply (Hf i Hi (Left :: p)). }
  intros [|[] q]; cbn [fold_facts fact_at]; [apply has_anything | |].
  - rewrite rescaled_first. apply T.
  - rewrite rescaled_second. apply (weighted_has _ _ _ _ w (fun i => second (f i))); auto.
    + intros i p Hi. apply lift2_has; [apply vrescale_kind | | apply T].
      apply (leaf_has score (first (f i)) p). intros p'. apply (Hf i Hi (Left :: p')).
    + intros i Hi p. apply (Hf i Hi (Right :: p)).
Qed.
