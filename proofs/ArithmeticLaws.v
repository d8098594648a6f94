(* The laws of `rules/arithmetic.egg` are sound. *)

From Coq Require Import Reals Lra QArith Qreals ZArith List Bool Lia.
From Ncd Require Import Values Folds Monoids Sizes Contexts Wires Facts Laws Table.
Import ListNotations.
Local Open Scope R_scope.

(* Tactics for laws that hold at each path ---------------------------------------------------- *)

Lemma Q2R_minus_one : Q2R (-1) = -1.
Proof. unfold Q2R. cbn. lra. Qed.
Lemma Q2R_half : Q2R (1 # 2) = / 2.
Proof. unfold Q2R. cbn. lra. Qed.

Lemma Q2R_minus_two : Q2R (-2) = -2.
Proof. unfold Q2R. cbn. lra. Qed.
Lemma Q2R_two : Q2R 2 = 2.
Proof. unfold Q2R. cbn. lra. Qed.

(* The numbers of a text as real numbers, and equations between them. *)
Ltac numbers := repeat match goal with
  | K : (_ == _)%Q |- _ => cbn [number_value] in K; apply Qeq_eqR in K
  | K : (_ < _)%Q |- _ => cbn [number_value] in K; apply Qlt_Rlt in K end;
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_0, ?Q2R_1, ?Q2R_minus_one, ?Q2R_half, ?Q2R_two,
    ?Q2R_minus_two in *.
(* A law at a path p. *)
Ltac open_path p := open_law; at_path p; numbers.

(* What a condition says of a value in the goal. *)
Ltac fact_of F := lazymatch type of F with
  | has real_fact _ => apply has_real in F
  | has positive_fact _ => apply has_positive in F
  | has nonzero_fact _ => apply has_nonzero in F
  | has boolean_fact _ => apply has_boolean in F
  | has defined_fact _ => apply has_defined in F
  | has no_infinity_fact _ => apply has_no_infinity in F
  | has positive_or_undefined_fact _ => apply has_positive_or_undefined in F
  | has nonzero_or_undefined_fact _ => apply has_nonzero_or_undefined in F
  | has nonnegative_or_undefined_fact _ => apply has_nonnegative_or_undefined in F end.
Ltac known := match goal with
  | K : everywhere ?G ?t _ |- ?P (denote ?G _ ?t _ ?p) =>
      let F := fresh in fact_at K p F; fact_of F; exact F end.
(* A law that is a lemma about values. *)
Ltac by_value L := let p := fresh in open_path p; apply L; known.

(* Values ------------------------------------------------------------------------------------- *)

Lemma boolean_idempotent x : boolean x -> vmul x x = x.
Proof. intros H. apply boolean_cases in H as [b ->]. rewrite vmul_truth. now destruct b. Qed.
Lemma vmul_collect a b x : no_infinity x ->
  vadd (vmul (Fin a) x) (vmul (Fin b) x) = vmul (Fin (a + b)) x.
Proof. value_cases. f_equal. ring. Qed.
Lemma vquotient_part x y : vmul x (vinv (vadd x y))
  = vadd (Fin 1) (vmul (Fin (-1)) (vmul y (vinv (vadd x y)))).
Proof.
  destruct x as [a| |], y as [b| |]; try reflexivity. cbn.
  destruct (Req_EM_T (a + b) 0) as [E|E]; cbn; [reflexivity|]. f_equal. field. exact E.
Qed.
Lemma vinv_clear a x : nonzero x -> vinv a = vmul x (vinv (vmul x a)).
Proof.
  intros H. rewrite vinv_mul. destruct x as [x| |]; try contradiction. cbn in *.
  destruct (Req_EM_T x 0); [contradiction|]. destruct (vinv a) eqn:E; cbn; try reflexivity.
  - f_equal. field. exact H.
  - destruct a; cbn in E; try destruct (Req_EM_T r 0); discriminate.
Qed.

(* Laws --------------------------------------------------------------------------------------- *)

Lemma sound_add_comm : law_sound law_add_comm.
Proof. by_value vadd_comm. Qed.
Lemma sound_add_assoc : law_sound law_add_assoc.
Proof. by_value vadd_assoc. Qed.
Lemma sound_add_zero : law_sound law_add_zero.
Proof. by_value vadd_zero. Qed.
Lemma sound_add_constants : law_sound law_add_constants.
Proof. open_path p. now rewrite K. Qed.
Lemma sound_add_negative_infinity : law_sound law_add_negative_infinity.
Proof. by_value vadd_neginf. Qed.

Lemma sound_mul_comm : law_sound law_mul_comm.
Proof. by_value vmul_comm. Qed.
Lemma sound_mul_assoc : law_sound law_mul_assoc.
Proof. open_path p. apply (K M ok splits); range. Qed.
Lemma sound_mul_one : law_sound law_mul_one.
Proof. by_value vmul_one. Qed.
Lemma sound_mul_zero : law_sound law_mul_zero.
Proof. by_value vmul_zero. Qed.
Lemma sound_mul_constants : law_sound law_mul_constants.
Proof. open_path p. now rewrite K. Qed.
Lemma sound_mul_negative_infinity : law_sound law_mul_negative_infinity.
Proof. by_value vmul_neginf. Qed.
Lemma sound_boolean_idempotent : law_sound law_boolean_idempotent.
Proof. by_value boolean_idempotent. Qed.

Lemma sound_distribute : law_sound law_distribute.
Proof.
  open_path p. destruct K as [K|K].
  - apply vmul_distribute_positive. apply (K M ok splits). range.
  - apply vmul_distribute_finite; eapply K; cbn [In map]; eauto; range.
Qed.
Lemma sound_collect : law_sound law_collect.
Proof. open_path p. rewrite K0. apply vmul_collect. known. Qed.

Lemma sound_inverse_mul : law_sound law_inverse_mul.
Proof. by_value vinv_mul. Qed.
Lemma sound_inverse_inverse : law_sound law_inverse_inverse.
Proof. by_value vinv_vinv. Qed.
Lemma sound_inverse_cancel : law_sound law_inverse_cancel.
Proof. by_value vmul_vinv. Qed.
Lemma sound_inverse_constant : law_sound law_inverse_constant.
Proof.
  open_path p. rewrite Q2R_inv in K0 by exact K. rewrite K0. cbn [vinv].
  destruct (Req_EM_T _ 0) as [E|E]; [|reflexivity].
  exfalso. apply K, eqR_Qeq. cbn [number_value]. now rewrite Q2R_0.
Qed.
Lemma sound_inverse_clear : law_sound law_inverse_clear.
Proof. by_value vinv_clear. Qed.

Lemma sound_quotient_part : law_sound law_quotient_part.
Proof. by_value vquotient_part. Qed.

(* Sizes as numbers. *)

Lemma sound_index_add : law_sound law_index_add.
Proof. open_path p. rewrite (K M ok splits). cbn. now rewrite plus_IZR. Qed.
Lemma sound_index_mul : law_sound law_index_mul.
Proof. open_path p. rewrite (K M ok splits). cbn. now rewrite mult_IZR. Qed.
Lemma sound_index_constant : law_sound law_index_constant.
Proof. open_path p. now rewrite (K M ok splits). Qed.
Lemma sound_index_factor : law_sound law_index_factor.
Proof. open_path p. rewrite (K M ok splits). cbn. now rewrite mult_IZR. Qed.
Lemma sound_index_sum : law_sound law_index_sum.
Proof. open_path p. rewrite (K M ok splits). cbn. now rewrite plus_IZR. Qed.
Lemma sound_index_positive : law_sound law_index_positive.
Proof.
  open_law. at_path p. unfold holds.
  pose proof (K M ok splits r ltac:(cbn [index_value]; range)) as H. cbn [index_value] in H.
  rewrite (K0 M ok splits). unfold index_at in *. cbn [index_value eval Minus] in *.
  set (k := eval _ _ _) in *. destruct (Z.leb_spec 0 (k + (-1 + -1 * (k + -1 * k)))) as [L|L].
  - cbn. f_equal. ring.
  - replace k with 0%Z by lia. cbn. f_equal. ring.
Qed.
