(* The laws of `rules/rescaled.egg` are sound. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals ZArith List Bool Lia FunctionalExtensionality.
From Ncd Require Import Folds Monoids Sizes Contexts Wires Facts Laws Table ArithmeticLaws FunctionLaws.
From Ncd Require Import ReductionLaws.
From Ncd Require RescaledSums.
Import ListNotations.
Local Open Scope nat_scope.

(* Folds of numbers against their maximum ---------------------------------------------------- *)

Definition top (n : nat) (s : nat -> value) : value := vfold Max n s.
Definition weighted_sum (n : nat) (s v : nat -> value) : value :=
  vfold Sum n (fun i => vmul (vrescale (s i) (top n s)) (v i)).

Lemma weighted_sum_ext n s t v w : (forall i, i < n -> s i = t i) ->
  (forall i, i < n -> v i = w i) -> weighted_sum n s v = weighted_sum n t w.
Proof.
  intros S V. unfold weighted_sum, top. rewrite (vfold_ext Max n s t S). apply vfold_ext.
  intros i Hi. now rewrite S, V.
Qed.
(* Where the maximum is undefined, so is every sum with a term for each score. *)
Lemma undefined_top n s (f : value -> value -> value) v : (forall x, f Undef x = Undef) ->
  top n s = Undef -> vfold Sum n (fun i => f (s i) (v i)) = Undef.
Proof.
  intros U E. destruct (RescaledSums.vmaximum_undefined n s E) as (i & Hi & Si).
  apply (RescaledSums.vsum_undefined n _ i); [assumption|]. now rewrite Si.
Qed.
(* Where the maximum is −∞, every score is. *)
Lemma infinite_top n s (f : value -> value -> value) v :
  (forall i, i < n -> f NegInf (v i) = Fin 0) ->
  top n s = NegInf -> vfold Sum n (fun i => f (s i) (v i)) = Fin 0.
Proof.
  intros Z E. apply (RescaledSums.vsum_zero n). intros i Hi.
  rewrite (RescaledSums.vmaximum_infinite n s E i Hi). auto.
Qed.

(* The common factor exp(m) of two sums cancels. *)
Lemma weighted_quotient n s v w : (forall i, i < n -> Values.positive (w i)) ->
  vmul (vmul (vexp (top n s)) (weighted_sum n s v))
    (vinv (vmul (vexp (top n s)) (weighted_sum n s w)))
  = vmul (weighted_sum n s v) (vinv (weighted_sum n s w)).
Proof.
  intros W. destruct (top n s) as [m| |] eqn:E.
  - apply RescaledSums.quotient_scale, exp_pos.
  - assert (Z : weighted_sum n s w = Fin 0).
    { apply (infinite_top n s (fun x y => vmul (vrescale x (top n s)) y)); [|exact E].
      intros i Hi. rewrite E. apply vmul_zero. specialize (W i Hi). now destruct (w i). }
    rewrite Z. cbn [vexp vmul]. rewrite Rmult_0_l, RescaledSums.vinv_zero.
    now rewrite !RescaledSums.vmul_undefined.
  - assert (U : weighted_sum n s v = Undef).
    { now apply (undefined_top n s (fun x y => vmul (vrescale x (top n s)) y)). }
    now rewrite U.
Qed.
Lemma shift_cancels n s : let z := vinv (vfold Sum n (fun i => vexp (s i))) in
  vmul (vinv (vexp (top n s))) (vmul (vinv (vinv (vexp (top n s)))) z) = z.
Proof.
  intros z. destruct (top n s) as [m| |] eqn:E.
  - pose proof (exp_pos m) as P. pose proof (Rinv_0_lt_compat _ P) as Q. cbn [vexp vinv].
    destruct (Req_EM_T (exp m) 0); [lra|]. cbn [vinv]. destruct (Req_EM_T (/ exp m) 0); [lra|].
    rewrite Rinv_inv. clearbody z.
    destruct z as [y| |]; cbn [vmul]; [f_equal; field; lra| |reflexivity].
    destruct (Rlt_dec 0 (exp m)); [|lra]. cbn. now destruct (Rlt_dec 0 (/ exp m)).
  - assert (z = Undef) as ->; [|now rewrite !RescaledSums.vmul_undefined].
    unfold z. rewrite (infinite_top n s (fun x _ => vexp x) (fun _ => Undef)) by auto.
    apply RescaledSums.vinv_zero.
  - assert (z = Undef) as ->; [|now rewrite !RescaledSums.vmul_undefined].
    unfold z. now rewrite (undefined_top n s (fun x _ => vexp x) (fun _ => Undef)).
Qed.

(* What is masked enters a rescaled sum as its unit. *)
Lemma masked_enters (v : object) : (forall p, real (v p)) ->
  alone RescaledSum (pair (number NegInf) v) = unit RescaledSum.
Proof.
  intros H. apply object_ext. intros [|[] q]; [reflexivity | reflexivity |].
  cbn [alone]. rewrite rescaled_alone_second. cbn. apply vmul_zero, H.
Qed.

Lemma rescaled_split_masked G M v x b i p r (s u : env -> object) :
  model_ok M G -> splits_ok G M -> condition_holds G v (SplitInto true x b i) ->
  condition_holds G v (IndexIs p (IMinus (IMinus (IExtent x) (ILit 1)) (IAxis x))) ->
  (forall k, k < length_of G M (axis_of v b) * length_of G M (axis_of v i) ->
     forall p, real (u (put G M r (axis_of v x) (Z.of_nat k)) p)) ->
  let kept r p' :=
    vselect (truth (Wires.holds (index_at G M r (index_of v p)))) (s r p') NegInf in
  fold RescaledSum (length_of G M (axis_of v x)) (fun k =>
    let r := put G M r (axis_of v x) (Z.of_nat k) in pair (s r) (u r))
  = fold RescaledSum (length_of G M (axis_of v b)) (fun j =>
      fold RescaledSum (length_of G M (axis_of v i)) (fun k =>
        let r := put G M (put G M r (axis_of v b) (Z.of_nat j)) (axis_of v i) (Z.of_nat k) in
        pair (kept r) (u r))).
Proof.
  intros ok fit K I U kept.
  assert (W : forall q, kept q = if (get G M q (axis_of v x) <? size_of G M (axis_of v x))%Z
    then s q else number NegInf).
  { intros q. apply object_ext. intros p'. unfold kept.
    rewrite (mask_holds G M v x), vselect_truth by auto. now destruct (_ <? _)%Z. }
  apply (reduce_masked_axis G M v true x b i ok fit K _ _ _ (monoid_commutative RescaledSum eq_refl)
    (fun r => pair (s r) (u r)) (fun r => pair (kept r) (u r)) r eq_refl rescaled_unital).
  - intros q H. apply Z.ltb_lt in H. now rewrite W, H.
  - intros k Hk q H. apply Z.ltb_ge in H. rewrite W, H. apply masked_enters, U, Hk.
Qed.

(* A rescaled sum of pairs: no component has the path to the pair itself, where a fold of no
   elements is 0 and any other is undefined. *)
Lemma weighted_sum_undefined n s v : 0 < n -> v 0 = Undef -> weighted_sum n s v = Undef.
Proof.
  intros N E. apply (RescaledSums.vsum_undefined n _ 0 N). rewrite E.
  apply RescaledSums.vmul_undefined.
Qed.
Lemma fold_rescaled_ext n f g : (forall i p, p <> [Right] -> i < n -> f i p = g i p) ->
  forall p, p <> [Right] -> fold RescaledSum n f p = fold RescaledSum n g p.
Proof.
  intros E [|[] q] N.
  - destruct n as [|[|n]]; reflexivity.
  - rewrite !rescaled_first. apply vfold_ext. intros i Hi. apply E; auto; discriminate.
  - rewrite !rescaled_second. apply weighted_sum_ext; intros i Hi; apply E; auto; discriminate.
Qed.
Lemma path_dec (p q : path) : {p = q} + {p <> q}.
Proof. decide equality. decide equality. Qed.
Definition filled (a : object) : object := fun p => match p with [] => Fin 0 | _ => a p end.
Lemma filled_pair s a p : p <> [Right] -> pair s (filled a) p = pair s a p.
Proof. destruct p as [|[] [|]]; try reflexivity. congruence. Qed.

(* The laws --------------------------------------------------------------------------------- *)

Ltac rescaled := rewrite ?rescaled_first, ?rescaled_second, ?fold_at by reflexivity; cbn [pair].

Lemma sound_rescale_sum : law_sound law_rescale_sum.
Proof. open_law. at_path p. rescaled. apply RescaledSums.exponential_sum. Qed.

Lemma sound_rescale_sum_one : law_sound law_rescale_sum_one.
Proof.
  open_law. at_path p. rescaled. rewrite Q2R_1.
  etransitivity; [|apply RescaledSums.exponential_sum].
  apply vfold_ext. intros i _. now rewrite vmul_comm, vmul_one.
Qed.

Lemma sound_rescale_quotient : law_sound law_rescale_quotient.
Proof.
  open_law. at_path p. rescaled.
  etransitivity; [apply weighted_quotient|].
  - intros i Hi. apply has_positive. fact_under K0.
  - f_equal; [|f_equal]; apply weighted_sum_ext; intros; auto; apply (K1 M ok splits).
Qed.

Lemma sound_exp_quotient : law_sound law_exp_quotient.
Proof. by_value vexp_quotient. Qed.

Lemma sound_rescale_first : law_sound law_rescale_first.
Proof. open_law. at_path p. now rescaled. Qed.

Lemma sound_rescale_second : law_sound law_rescale_second.
Proof.
  open_law. at_path p. rescaled. apply vfold_ext. intros i _. f_equal. f_equal.
  rewrite fold_at by reflexivity. apply vfold_ext. intros k _. apply equal_f, denote_agree.
  intros a _. apply put_agree. intros N. symmetry. now apply put_in_other.
Qed.

Lemma sound_rescale_tuple : law_sound law_rescale_tuple.
Proof.
  open_law. at_path p. rewrite rescaled_second. destruct p as [|[] p]; cbn [pair].
  - apply weighted_sum_undefined; [nonempty K | reflexivity].
  - rewrite rescaled_second. apply weighted_sum_ext; intros; auto; apply (K0 M ok splits).
  - rewrite rescaled_second. apply weighted_sum_ext; intros; auto; apply (K0 M ok splits).
Qed.

Lemma sound_split_masked_rescaled : law_sound law_split_masked_rescaled.
Proof.
  open_law. at_path p. destruct (path_dec p [Right]) as [->|N].
  - assert (L : 0 < length_of G M (axis_of v 1) * length_of G M (axis_of v 2)).
    { rewrite (split_lengths G M v true 0 1 2 ok splits K). destruct K as [S _].
      destruct (S M ok splits) as (_ & _ & _ & _ & W). pose proof (K2 M ok splits).
      cbv beta in *. lia. }
    rewrite !rescaled_second. etransitivity; [|symmetry].
    + apply weighted_sum_undefined; [nonempty K2 | reflexivity].
    + apply weighted_sum_undefined; [lia|]. rewrite rescaled_second.
      apply weighted_sum_undefined; [lia | reflexivity].
  - etransitivity; [|etransitivity; [refine (equal_f (rescaled_split_masked G M v 0 1 2 0 r
      (denote G M (term_of v 0))
      (fun r => filled (pair (denote G M (term_of v 1) r) (denote G M (term_of v 2) r)))
      ok splits K K4 _) p)|]].
    + apply fold_rescaled_ext; [|exact N]. intros k q Nq _. symmetry. now apply filled_pair.
    + intros k Hk q. assert (B : in_range G M (free G (term_of v 1) ++ free G (term_of v 2))
        (put G M r (axis_of v 0) (Z.of_nat k))).
      { apply (split_bounds G M v true 0 1 2 ok splits K); auto. range. }
      destruct q as [|[] q]; [exact I | |]; apply has_real;
        [apply (K0 M ok splits) | apply (K1 M ok splits)]; range.
    + apply fold_rescaled_ext; [|exact N]. intros j q Nq _. apply fold_rescaled_ext; [|exact Nq].
      intros k q' Nq' _. now apply filled_pair.
Qed.

Lemma sound_shift_cancel : law_sound law_shift_cancel.
Proof. open_law. at_path p. rescaled. apply shift_cancels. Qed.

Lemma sound_exp_masked : law_sound law_exp_masked.
Proof.
  open_law. at_path p. fact_at K p B. fact_at K0 p D.
  apply has_boolean, boolean_cases in B as [b ->]. apply has_defined in D. rewrite vselect_truth.
  destruct b; [apply vmul_one|]. apply vmul_zero. now destruct (denote _ _ _ _ _).
Qed.

Lemma sound_split_masked_rescaled_one : law_sound law_split_masked_rescaled_one.
Proof.
  open_law. apply (rescaled_split_masked G M v 0 1 2 0 r (denote G M (term_of v 0))
    (denote G M (term_of v 1)) ok splits K K2).
  intros k Hk p. apply has_real, (K0 M ok splits).
  apply (split_bounds G M v true 0 1 2 ok splits K); auto. range.
Qed.
