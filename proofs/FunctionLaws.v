(* The laws of `rules/functions.egg` are sound. *)

From Coq Require Import Reals Lra QArith Qreals ZArith List Bool Lia.
From Ncd Require Import Values Folds Monoids Sizes Contexts Wires Facts Laws Table ArithmeticLaws.
Import ListNotations.
Local Open Scope R_scope.

(* Exponentials and logarithms ---------------------------------------------------------------- *)

Lemma exp_nonzero a : exp a <> 0.
Proof. pose proof (exp_pos a). lra. Qed.
Lemma vexp_negative c x : c < 0 -> vexp (vmul (Fin c) x) = vinv (vexp (vmul (Fin (-1 * c)) x)).
Proof.
  value_cases.
  - destruct (Req_EM_T _ 0) as [E|E]; [exfalso; now apply exp_nonzero in E|].
    rewrite <- exp_Ropp. f_equal. f_equal. ring.
  - decide_reals; cbn; decide_reals; try reflexivity; lra.
Qed.
Lemma vexp_quotient x y z :
  vmul (vexp x) (vinv (vmul (vexp y) z)) = vmul (vexp (vadd x (vmul (Fin (-1)) y))) (vinv z).
Proof.
  destruct x as [a| |], y as [b| |], z as [c| |]; cbn; decide_reals; cbn; decide_reals;
    try reflexivity; try lra; try (pose proof (exp_pos b); nra).
  all: f_equal; try ring.
  all: rewrite exp_plus; replace (-1 * b) with (- b) by ring; rewrite exp_Ropp.
  all: pose proof (exp_pos b); field; split; lra.
Qed.
Lemma vexp_vlog x : nonnegative_or_undefined x -> vexp (vlog x) = x.
Proof. value_cases; decide_reals; cbn; f_equal; try lra. now apply exp_ln. Qed.
Lemma vlog_vexp x : vlog (vexp x) = x.
Proof.
  destruct x as [a| |]; cbn; decide_reals; try reflexivity; try lra.
  - now rewrite ln_exp.
  - exfalso. now apply exp_nonzero in e.
  - pose proof (exp_pos a). contradiction.
Qed.
Lemma vlog_vmul x y : nonnegative_or_undefined x -> nonnegative_or_undefined y ->
  vlog (vmul x y) = vadd (vlog x) (vlog y).
Proof.
  value_cases; decide_reals; cbn; try reflexivity; try (exfalso; nra). f_equal. now apply ln_mult.
Qed.
Lemma vlog_vinv x : vlog (vinv x) = vmul (Fin (-1)) (vlog x).
Proof.
  destruct x as [a| |]; try reflexivity. cbn.
  destruct (Rtotal_order a 0) as [L|[->|L]].
  - pose proof (Rinv_lt_0_compat a L). decide_reals; cbn; decide_reals; try reflexivity; lra.
  - decide_reals; cbn; decide_reals; try reflexivity; lra.
  - pose proof (Rinv_0_lt_compat a L). decide_reals; cbn; decide_reals; try lra.
    f_equal. rewrite ln_Rinv by exact L. ring.
Qed.

Lemma vtanh_parts x : no_infinity x -> vtanh x
  = vadd (Fin 1) (vmul (Fin (-2)) (vinv (vadd (Fin 1) (vexp (vmul (Fin 2) x))))).
Proof.
  destruct x as [a| |]; try contradiction; [intros _ | reflexivity]. cbn.
  pose proof (exp_pos (2 * a)). pose proof (exp_pos a).
  destruct (Req_EM_T (1 + exp (2 * a)) 0) as [E|_]; [exfalso; lra|]. cbn. f_equal.
  unfold tanh, sinh, cosh. rewrite exp_Ropp.
  replace (2 * a) with (a + a) in * by ring. rewrite exp_plus in *. field. split; nra.
Qed.

Lemma erf_above_same x y H K : x = y -> erf_above x H = erf_above y K.
Proof.
  intros E. revert K. rewrite <- E. intros K. unfold erf_above. f_equal. apply RiemannInt_P5.
Qed.
Lemma erf_odd x : erf (- x) = - erf x.
Proof.
  unfold erf. destruct (Rle_dec 0 x) as [H|H], (Rle_dec 0 (- x)) as [K|K]; try (exfalso; lra).
  - assert (Z : forall y (L : 0 <= y), y = 0 -> erf_above y L = 0).
    { intros y L E. subst y. unfold erf_above. rewrite RiemannInt_P9. ring. }
    rewrite !Z by lra. ring.
  - f_equal. apply erf_above_same. lra.
  - rewrite Ropp_involutive. now apply erf_above_same.
Qed.
Lemma verf_odd x : verf (vmul (Fin (-1)) x) = vmul (Fin (-1)) (verf x).
Proof.
  destruct x as [a| |]; cbn; decide_reals; try reflexivity; try lra. f_equal.
  replace (-1 * a) with (- a) by ring. rewrite erf_odd. ring.
Qed.
Lemma vsin_odd x : vsin (vmul (Fin (-1)) x) = vmul (Fin (-1)) (vsin x).
Proof.
  destruct x as [a| |]; cbn; decide_reals; try reflexivity; try lra. f_equal.
  replace (-1 * a) with (- a) by ring. rewrite sin_neg. ring.
Qed.
Lemma vcos_even x : vcos (vmul (Fin (-1)) x) = vcos x.
Proof.
  destruct x as [a| |]; cbn; decide_reals; try reflexivity; try lra. f_equal.
  replace (-1 * a) with (- a) by ring. apply cos_neg.
Qed.
Lemma vsin_square x :
  vmul (vsin x) (vsin x) = vadd (Fin 1) (vmul (Fin (-1)) (vmul (vcos x) (vcos x))).
Proof.
  destruct x as [a| |]; try reflexivity. cbn. f_equal.
  pose proof (sin2_cos2 a). unfold Rsqr in *. lra.
Qed.

(* Roots and absolute values ------------------------------------------------------------------ *)

Lemma vsqrt_vmul x y : nonnegative_or_undefined x -> nonnegative_or_undefined y ->
  vsqrt (vmul x y) = vmul (vsqrt x) (vsqrt y).
Proof.
  value_cases; decide_reals; cbn; try reflexivity; try (exfalso; nra). f_equal. now apply sqrt_mult.
Qed.
Lemma vsqrt_vinv x : vsqrt (vinv x) = vinv (vsqrt x).
Proof.
  destruct x as [a| |]; try reflexivity. cbn.
  destruct (Rtotal_order a 0) as [L|[->|L]].
  - pose proof (Rinv_lt_0_compat a L). decide_reals; cbn; decide_reals; try reflexivity; lra.
  - decide_reals; cbn; rewrite ?sqrt_0; decide_reals; try reflexivity; lra.
  - pose proof (Rinv_0_lt_compat a L). pose proof (sqrt_lt_R0 a L).
    decide_reals; cbn; decide_reals; try lra. f_equal. apply sqrt_inv.
Qed.
Lemma vsqrt_square x : nonnegative_or_undefined x -> vmul (vsqrt x) (vsqrt x) = x.
Proof. value_cases; decide_reals; cbn; try contradiction. f_equal. now apply sqrt_sqrt. Qed.
Lemma vsqrt_of_square x : no_infinity x -> vsqrt (vmul x x) = vabs x.
Proof. value_cases; decide_reals; [f_equal; apply sqrt_Rsqr_abs | exfalso; nra]. Qed.
Lemma vabs_nonnegative x : nonnegative_or_undefined x -> vabs x = x.
Proof. value_cases. f_equal. apply Rabs_right. lra. Qed.
Lemma vabs_vmul x y : no_infinity x -> no_infinity y -> vabs (vmul x y) = vmul (vabs x) (vabs y).
Proof. value_cases. f_equal. apply Rabs_mult. Qed.
Lemma vabs_square x : no_infinity x -> vmul (vabs x) (vabs x) = vmul x x.
Proof. value_cases. f_equal. symmetry. apply Rsqr_abs. Qed.

(* Maxima ------------------------------------------------------------------------------------- *)

Lemma Q2R_max a b : Q2R (if Qle_bool a b then b else a) = Rmax (Q2R a) (Q2R b).
Proof.
  destruct (Qle_bool a b) eqn:E.
  - apply Qle_bool_iff, Qle_Rle in E. symmetry. now apply Rmax_right.
  - symmetry. apply Rmax_left. apply Qle_Rle. apply Qlt_le_weak, Qnot_le_lt.
    intros L. apply Qle_bool_iff in L. congruence.
Qed.
Lemma Rabs_max a : Rabs a = Rmax a (-1 * a).
Proof. unfold Rabs, Rmax. destruct (Rcase_abs a); decide_reals; lra. Qed.
Lemma vmax_neginf x : vmax NegInf x = x.
Proof. value_cases. Qed.
Lemma vmin_vmax x y : no_infinity x -> no_infinity y ->
  vmin x y = vmul (Fin (-1)) (vmax (vmul (Fin (-1)) x) (vmul (Fin (-1)) y)).
Proof. value_cases. f_equal. unfold Rmin, Rmax. decide_reals; lra. Qed.
Lemma vmax_vabs x : no_infinity x -> vmax x (vmul (Fin (-1)) x) = vabs x.
Proof. value_cases. f_equal. symmetry. apply Rabs_max. Qed.

Lemma vabs_parts x : vabs x = vadd (vmul (Fin 2) (vmax x (Fin 0))) (vmul (Fin (-1)) x).
Proof.
  destruct x as [a| |]; cbn; decide_reals; cbn; try reflexivity; try lra.
  f_equal. unfold Rabs, Rmax. destruct (Rcase_abs a); decide_reals; lra.
Qed.

(* Truth values ------------------------------------------------------------------------------- *)

Lemma truth_one : Fin 1 = truth true.
Proof. reflexivity. Qed.
Lemma truth_zero : Fin 0 = truth false.
Proof. reflexivity. Qed.
(* Cases on truth values, which the operators then compute. *)
Ltac truth_values := intros;
  repeat match goal with H : boolean ?x |- _ => apply boolean_cases in H as [[|] ->] end;
  rewrite ?truth_one, ?truth_zero;
  rewrite ?vnot_truth, ?vand_truth, ?vor_truth, ?vmul_truth, ?vselect_truth;
  cbn [negb andb orb]; rewrite ?vnot_truth; try reflexivity.

Lemma vnot_boolean x : boolean x -> vadd (Fin 1) (vmul (Fin (-1)) x) = vnot x.
Proof. truth_values; cbn; unfold truth; f_equal; lra. Qed.
Lemma vnot_vnot x : boolean x -> vnot (vnot x) = x.
Proof. truth_values. Qed.
Lemma vmul_vnot x : boolean x -> vmul x (vnot x) = Fin 0.
Proof. truth_values. Qed.
Lemma vand_vmul x y : boolean x -> boolean y -> vand x y = vmul x y.
Proof. truth_values. Qed.
Lemma vor_vnot x y : boolean x -> boolean y -> vor x y = vnot (vmul (vnot x) (vnot y)).
Proof. truth_values. Qed.
Lemma vless_self x : defined x -> vless x x = Fin 0.
Proof. value_cases. unfold less. decide_reals; [lra | reflexivity]. Qed.
Lemma vequal_neginf x : real x -> vequal x NegInf = Fin 0.
Proof. value_cases. Qed.
Lemma vequal_comm x y : vequal x y = vequal y x.
Proof. value_cases. decide_reals; congruence. Qed.
Lemma vequal_zero x : no_infinity x -> vequal x (Fin 0) = vnot x.
Proof. value_cases. Qed.
Lemma vequal_one x : boolean x -> vequal x (Fin 1) = x.
Proof. value_cases. destruct H as [-> | ->]; decide_reals; try reflexivity; lra. Qed.

Lemma vselect_true c x y : c <> 0 -> vselect (Fin c) x y = x.
Proof. intros. cbn. decide_reals; tauto. Qed.
Lemma vselect_false x y : vselect (Fin 0) x y = y.
Proof. apply (vselect_truth false). Qed.
Lemma vselect_same c x : real c -> vselect c x x = x.
Proof. destruct c; cbn; decide_reals; tauto. Qed.
Lemma vselect_vnot c x y : vselect (vnot c) x y = vselect c y x.
Proof.
  destruct c; try reflexivity. cbn. unfold is_zero. decide_reals; try reflexivity; lra.
Qed.
Lemma vselect_boolean c x y : boolean c -> real x -> real y ->
  vselect c x y = vadd (vmul c x) (vmul (vnot c) y).
Proof.
  truth_values; destruct x, y; try contradiction; cbn; unfold truth; f_equal; lra.
Qed.
(* A function that keeps the undefined moves into the branches. *)
Lemma vselect_move (f : value -> value) c x y : f Undef = Undef ->
  f (vselect c x y) = vselect c (f x) (f y).
Proof. destruct c; cbn; decide_reals; auto. Qed.
Lemma vadd_undef x : vadd x Undef = Undef.
Proof. value_cases. Qed.
Lemma vmul_undef x : vmul x Undef = Undef.
Proof. value_cases. Qed.
Lemma vexp_half_vlog x : vexp (vmul (Fin (/ 2)) (vlog x)) = vsqrt x.
Proof.
  destruct x as [a| |]; try reflexivity. cbn.
  decide_reals; cbn; decide_reals; cbn; try reflexivity; try lra; f_equal.
  - now apply Rpower_sqrt.
  - subst. now rewrite sqrt_0.
Qed.

(* Laws of exponentials and logarithms -------------------------------------------------------- *)

Lemma sound_exp_add : law_sound law_exp_add.
Proof. by_value vexp_add. Qed.
Lemma sound_exp_negative : law_sound law_exp_negative.
Proof. open_path p. rewrite K0. now apply vexp_negative. Qed.
Lemma sound_exp_zero : law_sound law_exp_zero.
Proof. open_path p. cbn. now rewrite exp_0. Qed.
Lemma sound_exp_negative_infinity : law_sound law_exp_negative_infinity.
Proof. open_path p. reflexivity. Qed.
Lemma sound_exp_log : law_sound law_exp_log.
Proof. by_value vexp_vlog. Qed.
Lemma sound_tanh_parts : law_sound law_tanh_parts.
Proof. by_value vtanh_parts. Qed.
Lemma sound_erf_odd : law_sound law_erf_odd.
Proof. by_value verf_odd. Qed.
Lemma sound_sin_odd : law_sound law_sin_odd.
Proof. by_value vsin_odd. Qed.
Lemma sound_cos_even : law_sound law_cos_even.
Proof. by_value vcos_even. Qed.
Lemma sound_sin_square : law_sound law_sin_square.
Proof. by_value vsin_square. Qed.
Lemma sound_log_exp : law_sound law_log_exp.
Proof. by_value vlog_vexp. Qed.
Lemma sound_log_mul : law_sound law_log_mul.
Proof. by_value vlog_vmul. Qed.
Lemma sound_log_inverse : law_sound law_log_inverse.
Proof. by_value vlog_vinv. Qed.
Lemma sound_log_one : law_sound law_log_one.
Proof. open_path p. cbn. decide_reals; [now rewrite ln_1 | lra | lra]. Qed.

Lemma sound_sqrt_mul : law_sound law_sqrt_mul.
Proof. by_value vsqrt_vmul. Qed.
Lemma sound_sqrt_inverse : law_sound law_sqrt_inverse.
Proof. by_value vsqrt_vinv. Qed.
Lemma sound_sqrt_square : law_sound law_sqrt_square.
Proof. by_value vsqrt_square. Qed.
Lemma sound_sqrt_constant : law_sound law_sqrt_constant.
Proof.
  open_path p. destruct K as [K L]. apply Qle_Rle in L. numbers. rewrite <- K. cbn.
  destruct (Rle_dec _ _) as [_|N]; [f_equal; now apply sqrt_square | exfalso; nra].
Qed.
Lemma sound_sqrt_of_square : law_sound law_sqrt_of_square.
Proof. by_value vsqrt_of_square. Qed.
Lemma sound_abs_nonnegative : law_sound law_abs_nonnegative.
Proof. by_value vabs_nonnegative. Qed.
Lemma sound_abs_mul : law_sound law_abs_mul.
Proof. by_value vabs_vmul. Qed.
Lemma sound_abs_square : law_sound law_abs_square.
Proof. by_value vabs_square. Qed.
Lemma sound_abs_constant : law_sound law_abs_constant.
Proof. open_path p. rewrite K, Q2R_max. numbers. cbn. now rewrite Rabs_max. Qed.

Lemma sound_maximum_comm : law_sound law_maximum_comm.
Proof. by_value vmax_comm. Qed.
Lemma sound_maximum_assoc : law_sound law_maximum_assoc.
Proof. by_value vmax_assoc. Qed.
Lemma sound_maximum_idempotent : law_sound law_maximum_idempotent.
Proof. by_value vmax_self. Qed.
Lemma sound_maximum_negative_infinity : law_sound law_maximum_negative_infinity.
Proof. by_value vmax_neginf. Qed.
Lemma sound_maximum_constants : law_sound law_maximum_constants.
Proof. open_path p. now rewrite K, Q2R_max. Qed.
Lemma sound_maximum_add : law_sound law_maximum_add.
Proof. by_value vmax_add. Qed.
Lemma sound_maximum_mul : law_sound law_maximum_mul.
Proof. by_value vmax_mul. Qed.
Lemma sound_minimum_maximum : law_sound law_minimum_maximum.
Proof. by_value vmin_vmax. Qed.
Lemma sound_maximum_abs : law_sound law_maximum_abs.
Proof. by_value vmax_vabs. Qed.
Lemma sound_abs_parts : law_sound law_abs_parts.
Proof. by_value vabs_parts. Qed.
Lemma sound_rescale_exp : law_sound law_rescale_exp.
Proof. by_value vrescale_vexp. Qed.

(* Laws of truth values ----------------------------------------------------------------------- *)

Lemma holds_not z : holds (-1 + -1 * z) = negb (holds z).
Proof. unfold holds. destruct (Z.leb_spec 0 z); [apply Z.leb_gt | apply Z.leb_le]; lia. Qed.
Lemma sound_predicate_not : law_sound law_predicate_not.
Proof. open_path p. rewrite vnot_truth, (K M ok splits), <- holds_not. reflexivity. Qed.
Lemma sound_predicate_true : law_sound law_predicate_true.
Proof.
  open_path p. replace (holds _) with true; [reflexivity|]. symmetry.
  apply Z.leb_le, (K M ok splits). cbn [index_value]. range.
Qed.
Lemma sound_predicate_false : law_sound law_predicate_false.
Proof.
  open_path p. replace (holds _) with false; [reflexivity|]. symmetry.
  apply negb_true_iff. rewrite <- holds_not. apply Z.leb_le, (K M ok splits).
  change (in_range G M (leaves_of G (index_of v 0)) r). range.
Qed.
Lemma holds_implied (z q : Z) : (0 <= z + -1 * q)%Z -> holds z && holds q = holds q.
Proof. unfold holds. destruct (Z.leb_spec 0 z), (Z.leb_spec 0 q); cbn [andb]; trivial; lia. Qed.
Lemma holds_excluded (z q : Z) : (0 <= -1 + -1 * (z + q))%Z -> holds z && holds q = false.
Proof. unfold holds. destruct (Z.leb_spec 0 z), (Z.leb_spec 0 q); cbn [andb]; trivial; lia. Qed.
Ltac two_predicates known inside lemma :=
  unfold index_at in *; cbn [index_value eval Minus] in *; rewrite vmul_truth, lemma;
  [reflexivity|]; apply known; intros a; unfold leaves_of, Minus; cbn [axes_of];
  rewrite ?flat_map_app, ?in_app_iff; intros Ha; apply inside;
  rewrite ?without_in, ?flat_map_app, ?app_nil_r, ?in_app_iff; unfold leaves_of; cbn in *; tauto.
Lemma sound_predicate_implied : law_sound law_predicate_implied.
Proof. open_path p. two_predicates (K M ok splits r) Rl holds_implied. Qed.
Lemma sound_predicate_excluded : law_sound law_predicate_excluded.
Proof. open_path p. two_predicates (K M ok splits r) Rl holds_excluded. Qed.
Lemma axes_of_close e : axes_of (close e) = [].
Proof. induction e; cbn; auto; now rewrite IHe1, IHe2. Qed.
(* Digits in base l: where the last ones differ by less than l, the others decide, or they do. *)
Lemma holds_digits (l z q : Z) : (0 <= l + (z + -1 * (l * q)) -> 0 <= l + -1 + -1 * (z + -1 * (l * q)) ->
  holds z = if holds (z + -1 * (l * q)) then holds q else holds (q + -1))%Z.
Proof.
  intros A B. unfold holds.
  destruct (Z.leb_spec 0 (z + -1 * (l * q))), (Z.leb_spec 0 z), (Z.leb_spec 0 q),
    (Z.leb_spec 0 (q + -1)); try reflexivity; try lia; exfalso; nia.
Qed.
Lemma sound_predicate_digits : law_sound law_predicate_digits.
Proof.
  open_path p.
  pose proof (K M ok splits r) as Low. pose proof (K0 M ok splits r) as High.
  unfold index_at in *. rewrite (K1 M ok splits r), (K2 M ok splits r), vselect_truth.
  cbn [index_value eval Minus] in *. rewrite !close_eval in *.
  assert (R : forall l, (forall a, In a l -> In a (leaves_of G (index_of v 0)) \/
      In a (leaves_of G (index_of v 1))) -> in_range G M l r).
  { intros l H a Ha. destruct (H a Ha); [apply Rl | apply Rr];
      rewrite ?without_in, ?app_nil_r, ?in_app_iff; tauto. }
  unfold leaves_of, Minus in Low, High, R. cbn [axes_of] in Low, High.
  rewrite ?axes_of_close in Low, High. cbn [app] in Low, High.
  rewrite (holds_digits (eval (sizes M) (fun _ => 0%Z) (extent G (axis_of v 0))) _
    (eval (sizes M) (get G M r) (index_of v 1))).
  2: apply Low, R; intros a; rewrite ?flat_map_app, ?in_app_iff; cbn; tauto.
  2: apply High, R; intros a; rewrite ?flat_map_app, ?in_app_iff; cbn; tauto.
  now destruct (holds _).
Qed.
Lemma sound_not_boolean : law_sound law_not_boolean.
Proof. by_value vnot_boolean. Qed.
Lemma sound_not_not : law_sound law_not_not.
Proof. by_value vnot_vnot. Qed.
Lemma sound_not_false : law_sound law_not_false.
Proof. by_value (vnot_truth false). Qed.
Lemma sound_not_true : law_sound law_not_true.
Proof. by_value (vnot_truth true). Qed.
Lemma sound_boolean_contradiction : law_sound law_boolean_contradiction.
Proof. by_value vmul_vnot. Qed.
Lemma sound_and_boolean : law_sound law_and_boolean.
Proof. by_value vand_vmul. Qed.
Lemma sound_or_boolean : law_sound law_or_boolean.
Proof. by_value vor_vnot. Qed.
Lemma sound_equal_negative_infinity : law_sound law_equal_negative_infinity.
Proof. by_value vequal_neginf. Qed.
Lemma vequal_neginf_add x y : vequal (vadd x y) NegInf = vor (vequal x NegInf) (vequal y NegInf).
Proof. destruct x, y; cbn [vadd vequal]; rewrite ?vor_truth; reflexivity. Qed.
Lemma sound_equal_infinity_add : law_sound law_equal_infinity_add.
Proof. by_value vequal_neginf_add. Qed.
Lemma vequal_neginf_mul x y : positive x -> vequal (vmul x y) NegInf = vequal y NegInf.
Proof. value_cases; decide_reals; cbn; try reflexivity; contradiction. Qed.
Lemma sound_equal_infinity_mul : law_sound law_equal_infinity_mul.
Proof. by_value vequal_neginf_mul. Qed.
Lemma vless_neginf x : vless NegInf x = vnot (vequal x NegInf).
Proof. destruct x; cbn [vless vequal]; rewrite ?vnot_truth; reflexivity. Qed.
Lemma sound_less_infinity : law_sound law_less_infinity.
Proof. by_value vless_neginf. Qed.
Lemma sound_less_self : law_sound law_less_self.
Proof. by_value vless_self. Qed.
Lemma sound_equal_comm : law_sound law_equal_comm.
Proof. by_value vequal_comm. Qed.

Lemma sound_select_true : law_sound law_select_true.
Proof.
  open_path p. apply vselect_true. intros E. apply K, eqR_Qeq. cbn [number_value].
  now rewrite Q2R_0.
Qed.
Lemma sound_select_false : law_sound law_select_false.
Proof. by_value vselect_false. Qed.
Lemma sound_select_same : law_sound law_select_same.
Proof. by_value vselect_same. Qed.
Lemma vselect_larger x y : vselect (vless x y) y x = vmax x y.
Proof.
  destruct x as [a| |], y as [b| |]; cbn; decide_reals; try reflexivity; try lra;
    unfold less in *; cbn; destruct (Rlt_dec a b); decide_reals; try lra;
    f_equal; unfold Rmax; destruct (Rle_dec a b); lra.
Qed.
Lemma sound_select_larger : law_sound law_select_larger.
Proof. by_value vselect_larger. Qed.
Lemma vselect_smaller x y : vselect (vless x y) x y = vmin x y.
Proof.
  destruct x as [a| |], y as [b| |]; cbn; decide_reals; try reflexivity; try lra;
    unfold less in *; cbn; destruct (Rlt_dec a b); decide_reals; try lra;
    f_equal; unfold Rmin; destruct (Rle_dec a b); lra.
Qed.
Lemma sound_select_smaller : law_sound law_select_smaller.
Proof. by_value vselect_smaller. Qed.
Lemma sound_select_not : law_sound law_select_not.
Proof. by_value vselect_vnot. Qed.
Lemma sound_select_boolean : law_sound law_select_boolean.
Proof. by_value vselect_boolean. Qed.
Lemma vselect_or c x : boolean x -> vselect c x (Fin 1) = vor (vnot c) x.
Proof.
  intros H. apply boolean_cases in H as [b ->]. destruct c as [a| |]; try reflexivity.
  cbn [vnot vselect]. rewrite vor_truth. unfold is_zero. destruct (Req_EM_T a 0); now destruct b.
Qed.
Lemma sound_select_or : law_sound law_select_or.
Proof. by_value vselect_or. Qed.
Lemma sound_exp_half_log : law_sound law_exp_half_log.
Proof. by_value vexp_half_vlog. Qed.
Lemma sound_select_exp : law_sound law_select_exp.
Proof. open_path p. now apply (vselect_move vexp). Qed.
Lemma sound_select_add : law_sound law_select_add.
Proof. open_path p. apply (vselect_move (vadd _)), vadd_undef. Qed.
Lemma sound_select_mul : law_sound law_select_mul.
Proof. open_path p. apply (vselect_move (vmul _)), vmul_undef. Qed.
Lemma sound_select_equal : law_sound law_select_equal.
Proof. open_path p. now apply (vselect_move (fun x => vequal x _)). Qed.
Lemma sound_equal_zero : law_sound law_equal_zero.
Proof. by_value vequal_zero. Qed.
Lemma sound_equal_one : law_sound law_equal_one.
Proof. by_value vequal_one. Qed.
Lemma sound_equal_infinities : law_sound law_equal_infinities.
Proof. open_path p. reflexivity. Qed.

(* Comparisons as truth values ---------------------------------------------------------------- *)

(* Cases on every value in sight, on truth values and on decisions, then arithmetic. *)
Ltac comparisons := intros;
  repeat match goal with x : value |- _ => destruct x end; cbn in *;
  try contradiction; try reflexivity;
  repeat (unfold truth, less, is_zero in *; cbn in *; decide_reals); cbn in *;
  try reflexivity; try lra; try (f_equal; lra).

Lemma vequal_self x : defined x -> vequal x x = Fin 1.
Proof. comparisons. Qed.
Lemma vnot_nonzero x : nonzero x -> vnot x = Fin 0.
Proof. comparisons. Qed.
Lemma vless_difference x y : no_infinity x ->
  vless x y = vless (Fin 0) (vadd y (vmul (Fin (-1)) x)).
Proof. comparisons. Qed.
Lemma vless_scale c x : positive c -> vless (Fin 0) (vmul c x) = vless (Fin 0) x.
Proof.
  destruct c as [c| |]; cbn [positive]; try contradiction. intros H. comparisons; exfalso.
  - match goal with N : ~ 0 < r |- _ => apply N end. apply (Rmult_lt_reg_l c); lra.
  - match goal with N : ~ 0 < c * r |- _ => apply N end. now apply Rmult_lt_0_compat.
Qed.
Lemma vless_opposite x : no_infinity x -> vless (Fin 0) (vmul (Fin (-1)) x)
  = vadd (Fin 1) (vmul (Fin (-1)) (vadd (vless (Fin 0) x) (vequal x (Fin 0)))).
Proof. comparisons. Qed.
Lemma vless_positive x : positive x -> vless (Fin 0) x = Fin 1.
Proof. comparisons. Qed.
Lemma vequal_difference x y : no_infinity y ->
  vequal x y = vequal (vadd x (vmul (Fin (-1)) y)) (Fin 0).
Proof. comparisons. Qed.
Lemma vequal_scale c x : nonzero c -> no_infinity x ->
  vequal (vmul c x) (Fin 0) = vequal x (Fin 0).
Proof.
  comparisons; exfalso; [apply Rmult_integral in e; tauto | subst; apply n; ring].
Qed.
Lemma vless_less c x : 0 < c ->
  vmul (vless (Fin 0) x) (vless (Fin 0) (vadd (Fin c) x)) = vless (Fin 0) x.
Proof. comparisons. Qed.
Lemma vequal_less c x : vmul (vequal x (Fin 0)) (vless (Fin 0) (vadd c x))
  = vmul (vequal x (Fin 0)) (vless (Fin 0) c).
Proof. comparisons. Qed.
Lemma vequal_equal c x : vmul (vequal x (Fin 0)) (vequal (vadd c x) (Fin 0))
  = vmul (vequal x (Fin 0)) (vequal c (Fin 0)).
Proof. comparisons. Qed.
Lemma vequal_factor x y : no_infinity x -> no_infinity y ->
  vmul (vequal (vadd x y) (Fin 0)) x
  = vmul (vequal (vadd x y) (Fin 0)) (vmul (Fin (-1)) y).
Proof. comparisons. Qed.
Lemma vequal_exp c x : real c -> no_infinity x ->
  vmul (vequal x (Fin 0)) (vexp (vmul c x)) = vequal x (Fin 0).
Proof. comparisons. subst. rewrite Rmult_0_r, exp_0. f_equal. ring. Qed.
Lemma vless_exp x : vless (Fin 0) (vadd (Fin (-1)) (vexp x)) = vless (Fin 0) x.
Proof.
  destruct x as [a| |]; cbn; unfold less; decide_reals; try reflexivity; try lra; exfalso.
  - apply n, exp_lt_inv. rewrite exp_0. lra.
  - apply exp_increasing in r. rewrite exp_0 in r. lra.
Qed.
Lemma vequal_one_exp x : vequal (vadd (Fin (-1)) (vexp x)) (Fin 0) = vequal x (Fin 0).
Proof.
  destruct x as [a| |]; cbn; decide_reals; try reflexivity; try lra; exfalso.
  - apply n, exp_inv. rewrite exp_0. lra.
  - subst. rewrite exp_0 in n. lra.
Qed.
Lemma vminus_neginf : vmul (Fin (-1)) NegInf = Undef.
Proof. comparisons. Qed.
Lemma vless_vabs x y : vless (vabs x) y = vmul (vless x y) (vless (vmul (Fin (-1)) x) y).
Proof.
  destruct x as [a| |]; [| rewrite vminus_neginf | destruct y; reflexivity].
  2: { destruct y; cbn; decide_reals; reflexivity. }
  destruct y as [b| |]; cbn [vless vabs vmul]; rewrite ?vmul_truth; try reflexivity.
  f_equal. unfold less, Rabs. destruct (Rcase_abs a); decide_reals; try lra; reflexivity.
Qed.
Lemma vabs_vless x y : vless y (vabs x) = vor (vless y x) (vless y (vmul (Fin (-1)) x)).
Proof.
  destruct x as [a| |]; [| rewrite vminus_neginf | destruct y; reflexivity].
  2: { destruct y; reflexivity. }
  destruct y as [b| |]; cbn [vless vabs vmul]; rewrite ?vor_truth; try reflexivity.
  f_equal. unfold less, Rabs. destruct (Rcase_abs a); decide_reals; try lra; reflexivity.
Qed.
Lemma vselect_vselect p x y z w :
  vselect (vselect p x y) z w = vselect p (vselect x z w) (vselect y z w).
Proof. destruct p; cbn; decide_reals; reflexivity. Qed.
Lemma vselect_nested p q x y z :
  vselect (vmul p q) (vselect p x y) z = vselect (vmul p q) x z.
Proof.
  destruct p as [a| |], q as [b| |]; cbn [vmul vselect]; decide_reals; try reflexivity; subst; nra.
Qed.
Lemma vselect_within p q x y z : boolean p ->
  vselect (vmul p q) (vadd (vmul p x) y) z = vselect (vmul p q) (vadd x y) z.
Proof.
  intros H. apply boolean_cases in H as [[|] ->]; unfold truth; [now rewrite !vmul_one|].
  destruct q as [b| |]; cbn [vmul vselect]; decide_reals; try lra; reflexivity.
Qed.
Lemma vselect_without p q x y z : real x ->
  vselect (vmul (vnot p) q) (vadd (vmul p x) y) z = vselect (vmul (vnot p) q) y z.
Proof.
  destruct x as [a| |]; try easy. intros _.
  destruct p as [c| |]; [|destruct q; reflexivity..].
  cbn [vnot]. unfold is_zero. destruct (Req_EM_T c 0) as [->|N]; unfold truth.
  - replace (vadd (vmul (Fin 0) (Fin a)) y) with y; [reflexivity|].
    destruct y; cbn; try reflexivity; f_equal; lra.
  - destruct q as [b| |]; cbn [vmul vselect]; decide_reals; try lra; reflexivity.
Qed.
Lemma vand_select x y : real y ->
  vand x y = vselect x (vselect y (Fin 1) (Fin 0)) (Fin 0).
Proof. comparisons. Qed.
Lemma vor_select x y : real y ->
  vor x y = vselect x (Fin 1) (vselect y (Fin 1) (Fin 0)).
Proof. comparisons. Qed.
Lemma vnot_select x : vnot x = vselect x (Fin 0) (Fin 1).
Proof. comparisons. Qed.
Lemma vlog_clear x c : positive c -> vlog x = vadd (vlog (vmul c x)) (vmul (Fin (-1)) (vlog c)).
Proof.
  destruct c as [c| |]; cbn [positive]; try contradiction. intros H.
  destruct x as [a| |]; cbn; decide_reals; cbn; decide_reals; try reflexivity; try lra; try nra.
  - f_equal. rewrite ln_mult by assumption. ring.
Qed.

Lemma sound_equal_self : law_sound law_equal_self.
Proof. by_value vequal_self. Qed.
Lemma sound_not_nonzero : law_sound law_not_nonzero.
Proof. by_value vnot_nonzero. Qed.
Lemma sound_less_difference : law_sound law_less_difference.
Proof. by_value vless_difference. Qed.
Lemma sound_less_scale : law_sound law_less_scale.
Proof. by_value vless_scale. Qed.
Lemma sound_less_opposite : law_sound law_less_opposite.
Proof. by_value vless_opposite. Qed.
Lemma sound_less_positive : law_sound law_less_positive.
Proof. by_value vless_positive. Qed.
Lemma sound_equal_difference : law_sound law_equal_difference.
Proof. by_value vequal_difference. Qed.
Lemma sound_equal_scale : law_sound law_equal_scale.
Proof. by_value vequal_scale. Qed.
Lemma sound_less_less : law_sound law_less_less.
Proof. open_path p. now apply vless_less. Qed.
Lemma sound_equal_less : law_sound law_equal_less.
Proof. by_value vequal_less. Qed.
Lemma sound_equal_equal : law_sound law_equal_equal.
Proof. by_value vequal_equal. Qed.
Lemma sound_equal_factor : law_sound law_equal_factor.
Proof. by_value vequal_factor. Qed.
Lemma sound_equal_exp : law_sound law_equal_exp.
Proof. by_value vequal_exp. Qed.
Lemma sound_less_exp : law_sound law_less_exp.
Proof. by_value vless_exp. Qed.
Lemma sound_equal_one_exp : law_sound law_equal_one_exp.
Proof. by_value vequal_one_exp. Qed.
Lemma sound_less_abs : law_sound law_less_abs.
Proof. by_value vless_vabs. Qed.
Lemma sound_abs_less : law_sound law_abs_less.
Proof. by_value vabs_vless. Qed.
Lemma sound_less_index : law_sound law_less_index.
Proof.
  open_path p. unfold holds. rewrite (K M ok splits). unfold index_at.
  cbn [index_value eval Minus vless]. f_equal. unfold less.
  set (a := eval _ _ _). set (b := eval _ _ _).
  destruct (Rlt_dec _ _) as [L|L].
  - apply lt_IZR in L. symmetry. apply Z.leb_le. lia.
  - symmetry. apply Z.leb_gt. apply Rnot_lt_le, le_IZR in L. lia.
Qed.
Lemma sound_select_log : law_sound law_select_log.
Proof. open_path p. now apply (vselect_move vlog). Qed.
Lemma sound_select_inverse : law_sound law_select_inverse.
Proof. open_path p. now apply (vselect_move vinv). Qed.
Lemma sound_select_sqrt : law_sound law_select_sqrt.
Proof. open_path p. now apply (vselect_move vsqrt). Qed.
Lemma vless_undef x : vless x Undef = Undef.
Proof. value_cases. Qed.
Lemma sound_select_less : law_sound law_select_less.
Proof. open_path p. apply (vselect_move (vless _)), vless_undef. Qed.
Lemma sound_select_select : law_sound law_select_select.
Proof. by_value vselect_vselect. Qed.
Lemma sound_select_nested : law_sound law_select_nested.
Proof. by_value vselect_nested. Qed.
Lemma sound_select_within : law_sound law_select_within.
Proof. by_value vselect_within. Qed.
Lemma sound_select_without : law_sound law_select_without.
Proof. by_value vselect_without. Qed.
Lemma sound_and_select : law_sound law_and_select.
Proof. by_value vand_select. Qed.
Lemma sound_or_select : law_sound law_or_select.
Proof. by_value vor_select. Qed.
Lemma sound_not_select : law_sound law_not_select.
Proof. by_value vnot_select. Qed.
Lemma sound_log_clear : law_sound law_log_clear.
Proof. by_value vlog_clear. Qed.
