(* Values: a real number, −∞, or the undefined; and the pointwise operators on them.

   exp(−∞) = 0 and log 0 = −∞; + and max extend to −∞; −∞ times a positive number is −∞; division by
   zero or by −∞, 0·(−∞), −∞ times a negative number, roots and logarithms of negative numbers are
   undefined, which propagates, except through [vselect], which looks only at the branch it takes.
   This is `ncd_formal/semantics.py`, on real numbers. *)

From Coq Require Import Reals Lra Lia Bool.
Local Open Scope bool_scope.
Local Open Scope R_scope.

Inductive value := Fin (r : R) | NegInf | Undef.

Definition truth (b : bool) : value := Fin (if b then 1 else 0).

Definition is_zero (r : R) : bool := if Req_EM_T r 0 then true else false.
Definition less (a b : R) : bool := if Rlt_dec a b then true else false.

Definition vadd x y := match x, y with
  | Undef, _ | _, Undef => Undef
  | NegInf, _ | _, NegInf => NegInf
  | Fin a, Fin b => Fin (a + b) end.
Definition vmul x y := match x, y with
  | Fin a, Fin b => Fin (a * b)
  | NegInf, Fin a | Fin a, NegInf => if Rlt_dec 0 a then NegInf else Undef
  | _, _ => Undef end.
Definition vinv x := match x with
  | Fin a => if Req_EM_T a 0 then Undef else Fin (/ a)
  | _ => Undef end.
Definition vmax x y := match x, y with
  | Undef, _ | _, Undef => Undef
  | NegInf, z | z, NegInf => z
  | Fin a, Fin b => Fin (Rmax a b) end.
Definition vmin x y := match x, y with
  | Undef, _ | _, Undef => Undef
  | NegInf, _ | _, NegInf => NegInf
  | Fin a, Fin b => Fin (Rmin a b) end.
Definition vexp x := match x with Fin a => Fin (exp a) | NegInf => Fin 0 | Undef => Undef end.
Definition vlog x := match x with
  | Fin a => if Rlt_dec 0 a then Fin (ln a) else if Req_EM_T a 0 then NegInf else Undef
  | _ => Undef end.
Definition vsqrt x := match x with
  | Fin a => if Rle_dec 0 a then Fin (sqrt a) else Undef
  | _ => Undef end.
Definition vabs x := match x with Fin a => Fin (Rabs a) | _ => Undef end.

(* exp(s − m), the weight of a score s beside the maximum m, and 0 where s is −∞. *)
Definition vrescale s m := match s, m with
  | Undef, _ | _, Undef => Undef
  | NegInf, _ => Fin 0
  | Fin _, NegInf => Undef
  | Fin a, Fin b => Fin (exp (a - b)) end.

(* A function from real numbers to real numbers. *)
Definition vfun (f : R -> R) x := match x with Fin a => Fin (f a) | _ => Undef end.
Definition vtanh := vfun tanh.
Definition vsin := vfun sin.
Definition vcos := vfun cos.

(* erf x = 2/√π·∫ exp(−t²) from 0 to x, where the integral to −x is that to x with another sign. *)
Definition gauss (t : R) : R := exp (- (t * t)).
Lemma gauss_integrable x : 0 <= x -> Riemann_integrable gauss 0 x.
Proof.
  intros H. apply continuity_implies_RiemannInt; [exact H|]. intros t _. unfold gauss. reg.
Defined.
Definition erf_above x (H : 0 <= x) : R := 2 / sqrt PI * RiemannInt (gauss_integrable x H).
Lemma opposite_above x : ~ 0 <= x -> 0 <= - x.
Proof. lra. Qed.
Definition erf x : R := match Rle_dec 0 x with
  | left H => erf_above x H
  | right H => - erf_above (- x) (opposite_above x H) end.
Definition verf := vfun erf.

Definition vless x y := match x, y with
  | Undef, _ | _, Undef => Undef
  | NegInf, Fin _ => truth true
  | _, NegInf => truth false
  | Fin a, Fin b => truth (less a b) end.
Definition vequal x y := match x, y with
  | Undef, _ | _, Undef => Undef
  | NegInf, NegInf => truth true
  | Fin a, Fin b => truth (if Req_EM_T a b then true else false)
  | _, _ => truth false end.
Definition vnot x := match x with Fin a => truth (is_zero a) | _ => Undef end.
Definition vand x y := match x, y with
  | Fin a, Fin b => truth (negb (is_zero a) && negb (is_zero b))
  | _, _ => Undef end.
Definition vor x y := match x, y with
  | Fin a, Fin b => truth (negb (is_zero a) || negb (is_zero b))
  | _, _ => Undef end.
Definition vselect c x y := match c with
  | Fin a => if Req_EM_T a 0 then y else x
  | _ => Undef end.

(* Facts that laws need of their operands --------------------------------------------------- *)

Definition no_infinity x := match x with NegInf => False | _ => True end.
Definition defined x := match x with Undef => False | _ => True end.
Definition real x := match x with Fin _ => True | _ => False end.
Definition positive x := match x with Fin a => 0 < a | _ => False end.
Definition positive_or_undefined x := match x with Fin a => 0 < a | Undef => True | _ => False end.
Definition nonnegative_or_undefined x :=
  match x with Fin a => 0 <= a | Undef => True | _ => False end.
Definition nonzero x := match x with Fin a => a <> 0 | _ => False end.
Definition nonzero_or_undefined x := match x with Fin a => a <> 0 | Undef => True | _ => False end.
Definition boolean x := match x with Fin a => a = 0 \/ a = 1 | _ => False end.

(* Cases on every value in sight and on every decision about real numbers. *)
Ltac decide_reals := repeat match goal with
  | |- context [Rlt_dec ?a ?b] => destruct (Rlt_dec a b)
  | |- context [Rle_dec ?a ?b] => destruct (Rle_dec a b)
  | |- context [Req_EM_T ?a ?b] => destruct (Req_EM_T a b)
  end.
Ltac value_cases := intros; repeat match goal with x : value |- _ => destruct x end;
  cbn in *; try tauto; try reflexivity.

(* Sums ------------------------------------------------------------------------------------- *)

Lemma vadd_comm x y : vadd x y = vadd y x.
Proof. value_cases; f_equal; ring. Qed.
Lemma vadd_assoc x y z : vadd (vadd x y) z = vadd x (vadd y z).
Proof. value_cases; f_equal; ring. Qed.
Lemma vadd_zero x : vadd (Fin 0) x = x.
Proof. value_cases; f_equal; ring. Qed.
Lemma vadd_zero_r x : vadd x (Fin 0) = x.
Proof. rewrite vadd_comm; apply vadd_zero. Qed.
Lemma vadd_neginf x : defined x -> vadd NegInf x = NegInf.
Proof. value_cases. Qed.
Lemma vadd_exchange a b c d : vadd (vadd a b) (vadd c d) = vadd (vadd a c) (vadd b d).
Proof. value_cases; f_equal; ring. Qed.

(* Products --------------------------------------------------------------------------------- *)

Lemma vmul_comm x y : vmul x y = vmul y x.
Proof. value_cases; f_equal; ring. Qed.
Lemma vmul_one x : vmul (Fin 1) x = x.
Proof. value_cases; [f_equal; ring | destruct (Rlt_dec 0 1); [reflexivity | lra]]. Qed.
Lemma vmul_zero x : real x -> vmul (Fin 0) x = Fin 0.
Proof. value_cases; f_equal; ring. Qed.
Lemma vmul_neginf x : positive x -> vmul x NegInf = NegInf.
Proof. value_cases; decide_reals; tauto. Qed.

(* Products regroup where there is no −∞ … *)
Lemma vmul_assoc_finite x y z : no_infinity x -> no_infinity y -> no_infinity z ->
  vmul (vmul x y) z = vmul x (vmul y z).
Proof. value_cases; f_equal; ring. Qed.

(* … and where at most one factor is not positive: what can go wrong is −∞ beside a factor that
   another one turns positive, as in (−∞·−1)·−1. *)
Ltac sign := match goal with
  | H : ~ (0 < ?a * ?b), P : 0 < ?a, Q : 0 < ?b |- _ =>
      exfalso; apply H; apply Rmult_lt_0_compat; assumption
  | H : 0 < ?a * ?b, P : 0 < ?a, Q : ~ (0 < ?b) |- _ => exfalso; apply Q; nra
  | H : 0 < ?a * ?b, P : 0 < ?b, Q : ~ (0 < ?a) |- _ => exfalso; apply Q; nra
  end.
Lemma vmul_assoc_positive_12 x y z : positive_or_undefined x -> positive_or_undefined y ->
  vmul (vmul x y) z = vmul x (vmul y z).
Proof.
  value_cases; try (f_equal; ring); decide_reals; cbn; decide_reals; try reflexivity; try tauto;
    sign.
Qed.
Lemma vmul_assoc_positive_13 x y z : positive_or_undefined x -> positive_or_undefined z ->
  vmul (vmul x y) z = vmul x (vmul y z).
Proof.
  value_cases; try (f_equal; ring); decide_reals; cbn; decide_reals; try reflexivity; try tauto;
    sign.
Qed.
Lemma vmul_assoc_positive_23 x y z : positive_or_undefined y -> positive_or_undefined z ->
  vmul (vmul x y) z = vmul x (vmul y z).
Proof.
  value_cases; try (f_equal; ring); decide_reals; cbn; decide_reals; try reflexivity; try tauto;
    sign.
Qed.
Example products_do_not_regroup :
  vmul (vmul NegInf (Fin (-1))) (Fin (-1)) <> vmul NegInf (vmul (Fin (-1)) (Fin (-1))).
Proof. cbn. decide_reals; cbn; try congruence; lra. Qed.

Lemma vmul_distribute_positive c x y : positive_or_undefined c ->
  vmul c (vadd x y) = vadd (vmul c x) (vmul c y).
Proof.
  value_cases; try (f_equal; ring); decide_reals; cbn; try reflexivity; try tauto.
Qed.
Lemma vmul_distribute_finite c x y : no_infinity c -> no_infinity x -> no_infinity y ->
  vmul c (vadd x y) = vadd (vmul c x) (vmul c y).
Proof. value_cases; f_equal; ring. Qed.

Lemma vinv_mul x y : vinv (vmul x y) = vmul (vinv x) (vinv y).
Proof.
  destruct x as [a| |], y as [b| |]; cbn; decide_reals; cbn; decide_reals; try reflexivity;
    subst; try (exfalso; nra); try (f_equal; field; auto);
    match goal with H : _ * _ = 0 |- _ => apply Rmult_integral in H; tauto end.
Qed.
Lemma vinv_vinv x : nonzero_or_undefined x -> vinv (vinv x) = x.
Proof.
  value_cases; decide_reals; cbn; try tauto. decide_reals.
  - exfalso. revert e. apply Rinv_neq_0_compat; assumption.
  - f_equal. field. assumption.
Qed.
Lemma vmul_vinv x : nonzero x -> vmul x (vinv x) = Fin 1.
Proof. value_cases; decide_reals; cbn; try tauto; f_equal; field; assumption. Qed.

(* Maxima and minima ------------------------------------------------------------------------ *)

Lemma vmax_comm x y : vmax x y = vmax y x.
Proof. value_cases; f_equal; apply Rmax_comm. Qed.
Lemma vmax_assoc x y z : vmax (vmax x y) z = vmax x (vmax y z).
Proof. value_cases; f_equal; symmetry; apply Rmax_assoc. Qed.
Lemma vmax_self x : vmax x x = x.
Proof. value_cases; f_equal; unfold Rmax; decide_reals; reflexivity. Qed.
Lemma vmin_comm x y : vmin x y = vmin y x.
Proof. value_cases; f_equal; apply Rmin_comm. Qed.
Lemma vmin_assoc x y z : vmin (vmin x y) z = vmin x (vmin y z).
Proof. value_cases; f_equal; symmetry; apply Rmin_assoc. Qed.
Lemma vmin_self x : vmin x x = x.
Proof. value_cases; f_equal; unfold Rmin; decide_reals; reflexivity. Qed.
Lemma vmax_add c x y : vmax (vadd c x) (vadd c y) = vadd c (vmax x y).
Proof. value_cases; f_equal; unfold Rmax; decide_reals; lra. Qed.
Lemma vmax_mul c x y : positive_or_undefined c -> vmax (vmul c x) (vmul c y) = vmul c (vmax x y).
Proof.
  value_cases; decide_reals; cbn; try reflexivity; try tauto.
  f_equal; unfold Rmax; decide_reals; try reflexivity; nra.
Qed.
Lemma vmax_exchange a b c d : vmax (vmax a b) (vmax c d) = vmax (vmax a c) (vmax b d).
Proof. rewrite !vmax_assoc. f_equal. rewrite <- !vmax_assoc. f_equal. apply vmax_comm. Qed.

(* Exponentials ----------------------------------------------------------------------------- *)

Lemma vexp_add x y : vexp (vadd x y) = vmul (vexp x) (vexp y).
Proof. value_cases; f_equal; try ring. apply exp_plus. Qed.
Lemma vexp_finite x : no_infinity (vexp x).
Proof. value_cases. Qed.
Lemma vrescale_vexp s m : no_infinity m -> vrescale s m = vmul (vexp s) (vinv (vexp m)).
Proof.
  destruct s as [a| |], m as [b| |]; cbn; try tauto; try reflexivity; intros _;
    (destruct (Req_EM_T (exp b) 0); [pose proof (exp_pos b); lra | cbn; f_equal]).
  - unfold Rminus. rewrite exp_plus, exp_Ropp. reflexivity.
  - ring.
Qed.

(* Weights against a growing maximum multiply: the law that makes rescaled sums regroup. *)
Lemma vrescale_chain a x y :
  vmul (vrescale (vmax a x) (vmax (vmax a x) y)) (vrescale a (vmax a x))
  = vrescale a (vmax (vmax a x) y).
Proof.
  value_cases; f_equal; rewrite ?Rmult_0_r; try reflexivity;
    rewrite <- exp_plus; f_equal; ring.
Qed.
Lemma vrescale_finite s m : no_infinity (vrescale s m).
Proof. value_cases. Qed.
Lemma vrescale_nonnegative s m : nonnegative_or_undefined (vrescale s m).
Proof. value_cases; try lra; left; apply exp_pos. Qed.

(* Truth values ----------------------------------------------------------------------------- *)

Lemma boolean_truth (b : bool) : boolean (truth b).
Proof. destruct b; cbn; auto. Qed.
Lemma vnot_truth (b : bool) : vnot (truth b) = truth (negb b).
Proof. destruct b; cbn; unfold is_zero, truth; decide_reals; cbn; f_equal; lra. Qed.
Lemma boolean_cases x : boolean x -> exists b, x = truth b.
Proof.
  destruct x as [r| |]; cbn; try tauto.
  intros [-> | ->]; [exists false | exists true]; reflexivity.
Qed.
Lemma vand_truth (a b : bool) : vand (truth a) (truth b) = truth (andb a b).
Proof. destruct a, b; cbn; unfold is_zero, truth; decide_reals; cbn; f_equal; lra. Qed.
Lemma vor_truth (a b : bool) : vor (truth a) (truth b) = truth (orb a b).
Proof. destruct a, b; cbn; unfold is_zero, truth; decide_reals; cbn; f_equal; lra. Qed.
Lemma vmul_truth (a b : bool) : vmul (truth a) (truth b) = truth (andb a b).
Proof. destruct a, b; cbn; unfold truth; f_equal; lra. Qed.
Lemma vselect_truth (b : bool) x y : vselect (truth b) x y = if b then x else y.
Proof. destruct b; cbn; decide_reals; auto; lra. Qed.

Lemma vand_comm x y : vand x y = vand y x.
Proof. value_cases. rewrite Bool.andb_comm. reflexivity. Qed.
Lemma vor_comm x y : vor x y = vor y x.
Proof. value_cases. rewrite Bool.orb_comm. reflexivity. Qed.
Lemma is_zero_truth (b : bool) : is_zero (if b then 1 else 0) = negb b.
Proof. unfold is_zero. destruct b; decide_reals; cbn; auto; lra. Qed.
Lemma vand_assoc x y z : vand (vand x y) z = vand x (vand y z).
Proof.
  value_cases. unfold truth. rewrite !is_zero_truth, !Bool.negb_involutive.
  rewrite Bool.andb_assoc. reflexivity.
Qed.
Lemma vor_assoc x y z : vor (vor x y) z = vor x (vor y z).
Proof.
  value_cases. unfold truth. rewrite !is_zero_truth, !Bool.negb_involutive.
  rewrite Bool.orb_assoc. reflexivity.
Qed.
