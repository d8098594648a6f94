(* Rescaled sums: the monoid of online softmax, and what follows from it.  Attention computed block
   by block, with a running maximum and sums weighted against it, is attention: for all sizes,
   scores, masks and blocks.  Spherical and linear attention need no maximum and reassociate. *)

From Coq Require Import Arith Lia Reals Lra List Permutation.
From Ncd Require Import Values Folds Streaming.
Import ListNotations.
Local Open Scope R_scope.

(* Products with weights -------------------------------------------------------------------- *)

(* Weights are nonnegative reals or undefined; beside them products regroup and distribute over all
   values, also where 0·(−∞) is undefined. *)
Lemma weight_regroup c d x : nonnegative_or_undefined c -> nonnegative_or_undefined d ->
  vmul c (vmul d x) = vmul (vmul c d) x.
Proof.
  destruct c as [c| |], d as [d| |], x as [x| |]; cbn; try tauto; intros Hc Hd; try (f_equal; ring);
    decide_reals; cbn; decide_reals; try reflexivity; exfalso;
    try (match goal with H : ~ _ < _ |- _ => apply H; nra end).
  all: assert (c = 0 \/ d = 0) as [-> | ->] by (destruct Hc, Hd; auto; tauto); nra.
Qed.
Lemma weight_distribute c x y : no_infinity c ->
  vmul c (vadd x y) = vadd (vmul c x) (vmul c y).
Proof. value_cases; try (f_equal; ring); decide_reals; reflexivity. Qed.

(* The monoid ------------------------------------------------------------------------------- *)

(* (m, a)·(n, b) = (k, e^(m−k)·a + e^(n−k)·b) with k = max(m, n): maxima act on sums. *)
Definition weighted (m a n b : value) : value :=
  let k := vmax m n in vadd (vmul (vrescale m k) a) (vmul (vrescale n k) b).
Definition rescaled_pair (x y : value * value) : value * value :=
  let (m, a) := x in let (n, b) := y in (vmax m n, weighted m a n b).
(* With two sums under one maximum: the state (m, l, o) of online softmax. *)
Definition state : Type := value * value * value.
Definition rescaled (x y : state) : state :=
  let '(m, l, o) := x in let '(n, l', o') := y in (vmax m n, weighted m l n l', weighted m o n o').
Definition start : state := (NegInf, Fin 0, Fin 0).
Definition enter (x : state) : state := rescaled start x.

Lemma weighted_comm m a n b : weighted m a n b = weighted n b m a.
Proof. unfold weighted. cbn. rewrite (vmax_comm n m). apply vadd_comm. Qed.
Lemma weighted_assoc m n k a b c :
  weighted (vmax m n) (weighted m a n b) k c = weighted m a (vmax n k) (weighted n b k c).
Proof.
  unfold weighted. cbn.
  rewrite !weight_distribute, !weight_regroup by auto using vrescale_finite, vrescale_nonnegative.
  rewrite vadd_assoc, vrescale_chain. f_equal; [now rewrite vmax_assoc|].
  f_equal; [rewrite (vmax_comm m n), vrescale_chain, (vmax_comm n m), vmax_assoc;
    rewrite (vmax_comm m (vmax n k)), vrescale_chain; reflexivity |].
  rewrite (vmax_comm m (vmax n k)), (vmax_comm n k), vrescale_chain.
  now rewrite (vmax_comm k n), (vmax_comm (vmax n k) m), vmax_assoc.
Qed.
(* The unit's weight is 0, and the weight of what is already weighted is 1. *)
Lemma weighted_start m a : weighted NegInf (Fin 0) m a = vmul (vrescale m m) a.
Proof.
  unfold weighted. destruct m as [m| |]; cbn -[vadd vmul]; [| |reflexivity];
    change (vmul (Fin 0) (Fin 0)) with (Fin (0 * 0)); rewrite Rmult_0_l; apply vadd_zero.
Qed.
Lemma vmax_neginf x : vmax NegInf x = x.
Proof. now destruct x. Qed.
Lemma rescale_self r : vrescale (Fin r) (Fin r) = Fin 1.
Proof. cbn. unfold Rminus. now rewrite Rplus_opp_r, exp_0. Qed.
Lemma weighted_again m a n b :
  weighted NegInf (Fin 0) (vmax m n) (weighted m a n b) = weighted m a n b.
Proof.
  rewrite weighted_start. unfold weighted. cbn zeta.
  destruct (vmax m n) as [k| |] eqn:E.
  - rewrite rescale_self. apply vmul_one.
  - destruct m, n; try discriminate.
    destruct a, b; cbn; decide_reals; cbn; try reflexivity; try lra; f_equal; ring.
  - destruct m, n; try discriminate; reflexivity.
Qed.

(* FlashAttention on a Napkin, Table 4 and A.3.2 (the auxiliary variables of SoftMax): (m, o) is a
   commutative semigroup over all values. *)
Theorem rescaled_pair_assoc x y z :
  rescaled_pair (rescaled_pair x y) z = rescaled_pair x (rescaled_pair y z).
Proof.
  destruct x as [m a], y as [n b], z as [k c]. cbn. f_equal; [apply vmax_assoc|].
  apply weighted_assoc.
Qed.
Theorem rescaled_pair_comm x y : rescaled_pair x y = rescaled_pair y x.
Proof.
  destruct x as [m a], y as [n b]. cbn. f_equal; [apply vmax_comm | apply weighted_comm].
Qed.
Theorem rescaled_pair_unit x y :
  rescaled_pair (NegInf, Fin 0) (rescaled_pair x y) = rescaled_pair x y.
Proof.
  destruct x as [m a], y as [n b]. cbn [rescaled_pair]. now rewrite weighted_again, vmax_neginf.
Qed.

(* So is (m, l, o), and [start] is a unit for all that was combined, and for [start] itself. *)
Theorem rescaled_assoc x y z : rescaled (rescaled x y) z = rescaled x (rescaled y z).
Proof.
  destruct x as [[m l] o], y as [[n l'] o'], z as [[k l''] o'']. cbn.
  now rewrite vmax_assoc, !weighted_assoc.
Qed.
Theorem rescaled_comm x y : rescaled x y = rescaled y x.
Proof.
  destruct x as [[m l] o], y as [[n l'] o']. cbn.
  now rewrite vmax_comm, (weighted_comm m l), (weighted_comm m o).
Qed.
Theorem rescaled_unit x y : rescaled start (rescaled x y) = rescaled x y.
Proof.
  destruct x as [[m l] o], y as [[n l'] o']. cbn [rescaled start].
  now rewrite !weighted_again, vmax_neginf.
Qed.
Lemma start_start : rescaled start start = start.
Proof. cbn [rescaled start]. rewrite weighted_start. cbn. now rewrite Rmult_0_l. Qed.
(* A lone element is fixed by the unit where its maximum is real. *)
Theorem rescaled_unit_real m l o : rescaled start (Fin m, l, o) = (Fin m, l, o).
Proof.
  cbn [rescaled start]. now rewrite !weighted_start, vmax_neginf, rescale_self, !vmul_one.
Qed.
(* It is not where the maximum is −∞ beside something that is no 0: entering the fold makes it 0. *)
Example rescaled_unit_infinite : rescaled start (NegInf, Fin 1, Fin 1) = start.
Proof. cbn [rescaled start]. rewrite weighted_start. cbn. now rewrite Rmult_0_l. Qed.

Theorem rescaled_laws : commutative rescaled start enter.
Proof.
  unfold enter. split; intros.
  - apply rescaled_assoc.
  - apply rescaled_comm.
  - symmetry. apply rescaled_assoc.
  - apply rescaled_unit.
  - apply start_start.
  - apply start_start.
Qed.

(* Sums, maxima, and folds of rescaled sums ------------------------------------------------- *)

Definition vsum := reduce vadd (Fin 0) (fun x => x).
Definition vmaximum := reduce vmax NegInf (fun x => x).
Definition rsum := reduce Rplus 0 (fun x => x).
(* The loop of a kernel: from (−∞, 0, 0), one element after the other. *)
Fixpoint loop (op : state -> state -> state) (n : nat) (f : nat -> state) : state :=
  match n with O => start | S k => op (loop op k f) (f k) end.

Lemma sum_laws : commutative vadd (Fin 0) (fun x => x).
Proof. split; intros; auto using vadd_assoc, vadd_comm, vadd_zero. Qed.
Lemma maximum_laws : commutative vmax NegInf (fun x => x).
Proof. split; intros; auto using vmax_assoc, vmax_comm. Qed.
Lemma real_sum_laws : commutative Rplus 0 (fun x => x).
Proof. split; intros; auto; ring. Qed.

Section Step.
  Context {A : Type} (op : A -> A -> A) (unit : A) (alone : A -> A).
  Hypothesis laws : commutative op unit alone.
  Hypothesis unital : forall x, op unit x = alone x.
  Lemma reduce_S n f : reduce op unit alone (S n) f = op (reduce op unit alone n f) (f n).
  Proof.
    destruct n as [|n]; [symmetry; apply unital|].
    rewrite (reduce_positive op unit alone (S (S n))), Red_S by lia.
    rewrite <- (reduce_positive op unit alone (S n)) by lia.
    rewrite (op_comm _ _ _ laws), <- (alone_op _ _ _ laws), (op_comm _ _ _ laws).
    now rewrite (alone_op _ _ _ laws), (alone_reduce op unit alone laws).
  Qed.
End Step.
Lemma vsum_S n f : vsum (S n) f = vadd (vsum n f) (f n).
Proof. apply reduce_S; [apply sum_laws | apply vadd_zero]. Qed.
Lemma vmaximum_S n f : vmaximum (S n) f = vmax (vmaximum n f) (f n).
Proof. apply reduce_S; [apply maximum_laws | intros []; reflexivity]. Qed.
Lemma rsum_S n f : rsum (S n) f = rsum n f + f n.
Proof. apply reduce_S; [apply real_sum_laws | intros; ring]. Qed.
Theorem loop_reduces n f : loop rescaled n f = reduce rescaled start enter n f.
Proof.
  induction n as [|n IH]; [reflexivity|]. cbn [loop].
  now rewrite IH, (reduce_S rescaled start enter rescaled_laws).
Qed.

Lemma vsum_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> vsum n f = vsum n g.
Proof. apply reduce_ext. Qed.
Lemma vmaximum_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> vmaximum n f = vmaximum n g.
Proof. apply reduce_ext. Qed.
Lemma rsum_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> rsum n f = rsum n g.
Proof. apply reduce_ext. Qed.
Lemma loop_ext op n f g : (forall i, (i < n)%nat -> f i = g i) -> loop op n f = loop op n g.
Proof. induction n; cbn; auto. intros H. rewrite IHn, H; auto. Qed.
Lemma vsum_scale c n f : real c -> vsum n (fun i => vmul c (f i)) = vmul c (vsum n f).
Proof.
  intros Hc. induction n as [|n IH].
  - destruct c; cbn in *; try tauto. f_equal; ring.
  - rewrite !vsum_S, IH. symmetry. apply weight_distribute. now destruct c.
Qed.
Lemma vsum_scale_nonempty c n f : (0 < n)%nat -> no_infinity c ->
  vsum n (fun i => vmul c (f i)) = vmul c (vsum n f).
Proof.
  intros Hn Hc. induction n as [|[|n] IH]; [lia | |].
  - rewrite !vsum_S. cbn -[vadd vmul]. now rewrite !vadd_zero.
  - rewrite !(vsum_S (S n)), IH by lia. symmetry. now apply weight_distribute.
Qed.
Lemma rsum_scale c n f : rsum n (fun i => c * f i) = c * rsum n f.
Proof. induction n as [|n IH]; [cbn; ring | rewrite !rsum_S, IH; ring]. Qed.
Lemma rsum_scale_r c n f : rsum n (fun i => f i * c) = rsum n f * c.
Proof. induction n as [|n IH]; [cbn; ring | rewrite !rsum_S, IH; ring]. Qed.
Lemma rsum_swap n m f :
  rsum n (fun i => rsum m (fun j => f i j)) = rsum m (fun j => rsum n (fun i => f i j)).
Proof. apply (reduce_swap Rplus 0 (fun x => x) real_sum_laws). Qed.
Lemma vsum_real n f : vsum n (fun i => Fin (f i)) = Fin (rsum n f).
Proof. induction n as [|n IH]; [reflexivity | now rewrite vsum_S, rsum_S, IH]. Qed.
Lemma rsum_nonnegative n f : (forall i, (i < n)%nat -> 0 <= f i) -> 0 <= rsum n f.
Proof.
  induction n as [|n IH]; intros H; [cbn; lra|]. rewrite rsum_S.
  assert (0 <= rsum n f) by auto. specialize (H n ltac:(lia)). lra.
Qed.
Lemma rsum_positive n f i : (forall i, (i < n)%nat -> 0 <= f i) -> (i < n)%nat -> 0 < f i ->
  0 < rsum n f.
Proof.
  induction n as [|n IH]; intros H Hi P; [lia|]. rewrite rsum_S.
  destruct (Nat.eq_dec i n) as [-> | N].
  - assert (0 <= rsum n f) by (apply rsum_nonnegative; auto). lra.
  - assert (0 < rsum n f) by (apply IH; auto; lia). specialize (H n ltac:(lia)). lra.
Qed.

(* The invariant ---------------------------------------------------------------------------- *)

(* e^(s−m)·x, then from the maximum m to max(m, c). *)
Lemma rescale_again n s c x i : (i < n)%nat ->
  vmul (vrescale (vmaximum n s) (vmax (vmaximum n s) c)) (vmul (vrescale (s i) (vmaximum n s)) x)
  = vmul (vrescale (s i) (vmax (vmaximum n s) c)) x.
Proof.
  intros Hi. rewrite weight_regroup by auto using vrescale_nonnegative. f_equal.
  assert (exists y, vmaximum n s = vmax (s i) y) as (y & ->).
  { revert Hi. induction n as [|n IH]; [lia|]. intros Hi. rewrite vmaximum_S.
    destruct (Nat.eq_dec i n) as [-> | N].
    - exists (vmaximum n s). apply vmax_comm.
    - destruct IH as (y & ->); [lia|]. exists (vmax y (s n)). apply vmax_assoc. }
  apply vrescale_chain.
Qed.
(* A sum weighted against its own maximum, weighted again against a larger one. *)
Lemma vsum_rescale n s c x :
  vmul (vrescale (vmaximum n s) (vmax (vmaximum n s) c))
    (vsum n (fun i => vmul (vrescale (s i) (vmaximum n s)) (x i)))
  = match n with
    | O => vmul (vrescale NegInf c) (Fin 0)
    | _ => vsum n (fun i => vmul (vrescale (s i) (vmax (vmaximum n s) c)) (x i)) end.
Proof.
  destruct n as [|n]; [destruct c; reflexivity|].
  rewrite <- vsum_scale_nonempty by (auto using vrescale_finite; lia).
  apply vsum_ext. intros i Hi. now apply rescale_again.
Qed.

(* The state after n elements: the maximum, and both sums weighted against it.
   FlashAttention on a Napkin, A.3.2; unconditional, also of −∞ and undefined entries. *)
Theorem rescaled_invariant n s l o :
  loop rescaled n (fun i => (s i, l i, o i)) =
  (let m := vmaximum n s in
   (m, vsum n (fun i => vmul (vrescale (s i) m) (l i)),
       vsum n (fun i => vmul (vrescale (s i) m) (o i)))).
Proof.
  cbv zeta. induction n as [|n IH]; [reflexivity|]. cbn [loop]. rewrite IH.
  cbn [rescaled]. rewrite !(vsum_S n), (vmaximum_S n). unfold weighted. cbn zeta.
  assert (E : forall x, vadd (vmul (vrescale (vmaximum n s) (vmax (vmaximum n s) (s n)))
      (vsum n (fun i => vmul (vrescale (s i) (vmaximum n s)) (x i))))
      (vmul (vrescale (s n) (vmax (vmaximum n s) (s n))) (x n))
    = vadd (vsum n (fun i => vmul (vrescale (s i) (vmax (vmaximum n s) (s n))) (x i)))
      (vmul (vrescale (s n) (vmax (vmaximum n s) (s n))) (x n))).
  { intros x. rewrite vsum_rescale. destruct n; [|reflexivity].
    change (vmaximum 0 s) with NegInf. rewrite vmax_neginf. symmetry. etransitivity.
    - apply vadd_zero.
    - symmetry. etransitivity; [|apply weighted_start]. unfold weighted. now rewrite vmax_neginf. }
  now rewrite !E.
Qed.

(* Blocks ----------------------------------------------------------------------------------- *)

(* FlashAttention on a Napkin, Table 4, “auxiliary”: what the body of the loop does with a block of
   r scores and values; new maximum, old sums rescaled, the block's sums added. *)
Definition absorb (r : nat) (s l o : nat -> value) (x : state) : state :=
  let '(m, z, a) := x in let k := vmax m (vmaximum r s) in
  (k, vadd (vmul (vrescale m k) z) (vsum r (fun j => vmul (vrescale (s j) k) (l j))),
      vadd (vmul (vrescale m k) a) (vsum r (fun j => vmul (vrescale (s j) k) (o j)))).
Lemma absorb_is_rescaled r s l o x : (0 < r)%nat ->
  absorb r s l o x = rescaled x (loop rescaled r (fun j => (s j, l j, o j))).
Proof.
  intros Hr. rewrite rescaled_invariant. destruct x as [[m z] a]. cbn -[vmaximum vsum].
  unfold weighted. cbn zeta. rewrite !(vmax_comm m), !vsum_rescale. now destruct r; [lia|].
Qed.

(* The streamed algorithm: b blocks of r keys, from (−∞, 0, 0), then o/l. *)
Fixpoint blocks (b r : nat) (s l o : nat -> value) : state := match b with
  | O => start
  | S c => absorb r (fun j => s (c * r + j)%nat) (fun j => l (c * r + j)%nat)
      (fun j => o (c * r + j)%nat) (blocks c r s l o) end.
Definition quotient (x : state) : value := let '(_, l, o) := x in vmul o (vinv l).
Definition flash (b r : nat) (s v : nat -> value) : value :=
  quotient (blocks b r s (fun _ => Fin 1) v).

(* Any blocks give the state of the element by element loop. *)
Theorem blocks_loop b r s l o : (0 < r)%nat ->
  blocks b r s l o = loop rescaled (b * r) (fun i => (s i, l i, o i)).
Proof.
  intros Hr. rewrite loop_reduces, (reduce_split rescaled start enter rescaled_laws).
  rewrite <- loop_reduces. induction b as [|b IH]; [reflexivity|]. cbn [blocks loop].
  rewrite absorb_is_rescaled, IH by assumption. f_equal. apply loop_reduces.
Qed.

(* Softmax and attention -------------------------------------------------------------------- *)

(* One row: scores s and one column v of values, over n keys; −∞ is a masked score. *)
Definition softmax (n : nat) (s : nat -> value) (i : nat) : value :=
  vmul (vexp (s i)) (vinv (vsum n (fun j => vexp (s j)))).
Definition attention (n : nat) (s v : nat -> value) : value :=
  vsum n (fun i => vmul (softmax n s i) (v i)).

Lemma vmaximum_infinite n s : vmaximum n s = NegInf -> forall i, (i < n)%nat -> s i = NegInf.
Proof.
  induction n as [|n IH]; [lia|]. rewrite vmaximum_S. intros H i Hi.
  destruct (vmaximum n s), (s n) eqn:E; cbn in H; try discriminate.
  destruct (Nat.eq_dec i n) as [-> | N]; [assumption | apply IH; auto; lia].
Qed.
Lemma vmaximum_undefined n s : vmaximum n s = Undef -> exists i, (i < n)%nat /\ s i = Undef.
Proof.
  induction n as [|n IH]; [discriminate|]. rewrite vmaximum_S. intros H.
  destruct (vmaximum n s), (s n) eqn:E; cbn in H; try discriminate;
    try (exists n; split; [lia | assumption]);
    destruct IH as (i & Hi & Hs); auto; exists i; split; auto; lia.
Qed.
Lemma vsum_undefined n f i : (i < n)%nat -> f i = Undef -> vsum n f = Undef.
Proof.
  intros Hi H. induction n as [|n IH]; [lia|]. rewrite vsum_S.
  destruct (Nat.eq_dec i n) as [<- | N].
  - rewrite H. now destruct (vsum i f).
  - rewrite IH by lia. reflexivity.
Qed.
Lemma vsum_zero n f : (forall i, (i < n)%nat -> f i = Fin 0) -> vsum n f = Fin 0.
Proof.
  induction n as [|n IH]; intros H; [reflexivity|]. rewrite vsum_S, IH, H by auto.
  cbn. f_equal. ring.
Qed.
Lemma vmul_undefined x : vmul x Undef = Undef.
Proof. now destruct x. Qed.
Lemma vinv_zero : vinv (Fin 0) = Undef.
Proof. cbn. decide_reals; [reflexivity | tauto]. Qed.
Lemma vsum_exp_sign n s : nonnegative_or_undefined (vsum n (fun j => vexp (s j))).
Proof.
  induction n as [|n IH]; [cbn; lra|]. rewrite vsum_S.
  destruct (vsum n _), (s n) as [x| |]; cbn in *; try tauto; try lra.
  pose proof (exp_pos x). lra.
Qed.

Lemma quotient_scale p a b : 0 < p ->
  vmul (vmul (Fin p) a) (vinv (vmul (Fin p) b)) = vmul a (vinv b).
Proof.
  intros Hp. rewrite vinv_mul. set (z := vinv b). clearbody z. cbn [vinv].
  destruct (Req_EM_T p 0) as [Z | _]; [lra|].
  assert (Hq : 0 < / p) by now apply Rinv_0_lt_compat.
  destruct a as [a| |], z as [z| |]; cbn; decide_reals; cbn; decide_reals; try reflexivity;
    try lra; try (f_equal; field; lra); exfalso;
    match goal with
    | P : 0 < _ * ?x, N : ~ 0 < ?x |- _ => apply N; nra
    | P : 0 < ?x, N : ~ 0 < _ * ?x |- _ => apply N; now apply Rmult_lt_0_compat
    end.
Qed.
(* Σ softmax(s)·v = (Σ exp(s)·v) / Σ exp(s): the division may wait until the end. *)
Lemma attention_quotient n s v : (0 < n)%nat ->
  attention n s v =
  vmul (vsum n (fun i => vmul (vexp (s i)) (v i))) (vinv (vsum n (fun i => vexp (s i)))).
Proof.
  intros Hn. unfold attention, softmax. rewrite vmul_comm.
  set (z := vinv (vsum n (fun i => vexp (s i)))).
  assert (P : nonnegative_or_undefined z).
  { pose proof (vsum_exp_sign n s) as P. unfold z. destruct (vsum n _) as [x| |]; cbn in *; auto.
    decide_reals; cbn; [exact I|]. left. apply Rinv_0_lt_compat. lra. }
  rewrite <- vsum_scale_nonempty by (auto; destruct z; cbn in *; tauto).
  apply vsum_ext. intros i _. rewrite (vmul_comm (vexp (s i))). symmetry.
  apply weight_regroup; [assumption|]. destruct (s i) as [x| |]; cbn; auto; [|lra].
  left. apply exp_pos.
Qed.

(* Σ exp(s)·v = exp(m)·o, where (m, o) is the rescaled sum of (s, v): unconditional. *)
Theorem exponential_sum n s v : vsum n (fun i => vmul (vexp (s i)) (v i))
  = vmul (vexp (vmaximum n s)) (vsum n (fun i => vmul (vrescale (s i) (vmaximum n s)) (v i))).
Proof.
  destruct (vmaximum n s) as [m| |] eqn:E.
  - cbn [vexp]. rewrite <- vsum_scale by exact I. apply vsum_ext. intros i _.
    rewrite weight_regroup by (try apply vrescale_nonnegative; left; apply exp_pos). f_equal.
    destruct (s i) as [x| |]; cbn; auto; f_equal; [|ring].
    rewrite <- exp_plus. f_equal. ring.
  - pose proof (vmaximum_infinite n s E) as Z. cbn [vexp].
    rewrite (vsum_ext n _ (fun i => vmul (Fin 0) (v i))) by (intros; now rewrite Z).
    rewrite (vsum_ext n (fun i => vmul (vrescale _ _) _) (fun i => vmul (Fin 0) (v i)))
      by (intros; now rewrite Z).
    rewrite <- vsum_scale by exact I. apply vsum_ext. intros i _.
    rewrite weight_regroup by (cbn; lra). cbn [vmul]. now rewrite Rmult_0_l.
  - destruct (vmaximum_undefined n s E) as (i & Hi & U).
    rewrite (vsum_undefined n _ i); [reflexivity | assumption | now rewrite U].
Qed.
(* The loop computes attention: for all sizes, scores and values, real, −∞ or undefined. *)
Theorem online_softmax n s v : (0 < n)%nat ->
  quotient (loop rescaled n (fun i => (s i, Fin 1, v i))) = attention n s v.
Proof.
  intros Hn. rewrite rescaled_invariant, attention_quotient by assumption.
  cbn -[vmaximum vsum vmul].
  destruct (vmaximum n s) as [m| |] eqn:E.
  - assert (Q : forall x, vrescale x (Fin m) = vmul (Fin (exp (- m))) (vexp x)).
    { intros [x| |]; cbn; auto; f_equal; [unfold Rminus; rewrite exp_plus|]; ring. }
    assert (P : 0 < exp (- m)) by apply exp_pos.
    assert (W : forall f, vsum n (fun i => vmul (vrescale (s i) (Fin m)) (f i))
        = vmul (Fin (exp (- m))) (vsum n (fun i => vmul (vexp (s i)) (f i)))).
    { intros f. rewrite <- vsum_scale by exact I. apply vsum_ext. intros i _.
      rewrite Q. symmetry. apply weight_regroup; cbn; [lra|].
      destruct (s i) as [x| |]; cbn; auto; [left; apply exp_pos | lra]. }
    rewrite !W. rewrite (vsum_ext n (fun i => vmul (vexp (s i)) (Fin 1)) (fun i => vexp (s i)))
      by (intros; rewrite vmul_comm; apply vmul_one).
    now apply quotient_scale.
  - rewrite (vsum_zero n (fun i => vmul _ (Fin 1))), (vsum_zero n (fun i => vexp (s i)));
      rewrite ?vinv_zero, ?vmul_undefined; auto;
      intros i Hi; rewrite (vmaximum_infinite n s E i Hi); cbn; f_equal; ring.
  - destruct (vmaximum_undefined n s E) as (i & Hi & U).
    rewrite (vsum_undefined n (fun j => vmul _ (Fin 1)) i), (vsum_undefined n (fun j => vexp _) i);
      rewrite ?U; auto.
    cbn [vinv]. now rewrite !vmul_undefined.
Qed.

(* FlashAttention = attention, for values ---------------------------------------------------- *)

(* FlashAttention on a Napkin, section on attention (Fig. 21) with A.3.2: b blocks of r keys. *)
Theorem flash_row b r s v : (0 < b * r)%nat -> flash b r s v = attention (b * r) s v.
Proof.
  intros H. unfold flash. rewrite blocks_loop by (destruct r; lia). now apply online_softmax.
Qed.

(* Keys whose score is −∞ do not count where their value is real: blocks may pass the end. *)
Lemma vsum_tail n k f : (forall i, (n <= i)%nat -> f i = Fin 0) -> vsum (n + k) f = vsum n f.
Proof.
  intros H. induction k as [|k IH]; [now rewrite Nat.add_0_r|].
  rewrite Nat.add_succ_r, vsum_S, IH, (H (n + k)%nat) by lia. apply vadd_zero_r.
Qed.
Lemma attention_tail n k s v : (0 < n)%nat ->
  (forall i, (n <= i)%nat -> s i = NegInf /\ real (v i)) -> attention (n + k) s v = attention n s v.
Proof.
  intros Hn H. rewrite !attention_quotient by lia. rewrite !vsum_tail; [reflexivity | |].
  - intros i Hi. destruct (H i Hi) as [-> _]. reflexivity.
  - intros i Hi. destruct (H i Hi) as [-> Hv]. destruct (v i); cbn in *; try tauto. f_equal. ring.
Qed.
Lemma attention_ext n s v s' v' : (forall i, (i < n)%nat -> s i = s' i) ->
  (forall i, (i < n)%nat -> v i = v' i) -> attention n s v = attention n s' v'.
Proof.
  intros Hs Hv. unfold attention, softmax. apply vsum_ext. intros i Hi.
  rewrite Hs, Hv by assumption.
  do 3 f_equal. apply vsum_ext. intros j Hj. now rewrite Hs.
Qed.
Definition until (n : nat) (s : nat -> value) (i : nat) : value := if i <? n then s i else NegInf.
Theorem flash_masked_tail b r n s v : (0 < n <= b * r)%nat ->
  (forall i, (n <= i)%nat -> real (v i)) -> flash b r (until n s) v = attention n s v.
Proof.
  intros H Hv. rewrite flash_row by lia. replace (b * r)%nat with (n + (b * r - n))%nat by lia.
  rewrite attention_tail; [|lia|].
  - apply attention_ext; [|reflexivity]. intros i Hi. unfold until.
    now destruct (Nat.ltb_spec i n); [|lia].
  - intros i Hi. split; [|auto]. unfold until. now destruct (Nat.ltb_spec i n); [lia|].
Qed.

(* The keys may be split into parts, each streamed on its own, and the states combined: flash
   decoding. *)
Theorem flash_parts p b r s l o : (0 < r)%nat ->
  loop rescaled p (fun t => blocks b r (fun j => s (t * (b * r) + j)%nat)
    (fun j => l (t * (b * r) + j)%nat) (fun j => o (t * (b * r) + j)%nat))
  = blocks (p * b) r s l o.
Proof.
  intros Hr. rewrite blocks_loop, <- Nat.mul_assoc, (loop_reduces (p * _)) by assumption.
  rewrite (reduce_split rescaled start enter rescaled_laws), <- loop_reduces.
  apply loop_ext. intros t _. rewrite blocks_loop by assumption. apply loop_reduces.
Qed.

(* A row in which every key is masked is undefined, in both. *)
Theorem masked_row_undefined n s v : (0 < n)%nat -> (forall i, (i < n)%nat -> s i = NegInf) ->
  attention n s v = Undef.
Proof.
  intros Hn H. rewrite attention_quotient by assumption.
  rewrite (vsum_zero n (fun i => vexp (s i))).
  - rewrite vinv_zero. apply vmul_undefined.
  - intros i Hi. now rewrite H.
Qed.
Theorem flash_masked_row_undefined b r s v : (0 < b * r)%nat ->
  (forall i, (i < b * r)%nat -> s i = NegInf) -> flash b r s v = Undef.
Proof. intros Hb H. rewrite flash_row by assumption. now apply masked_row_undefined. Qed.

(* Softmax minus the maximum is softmax: unconditionally, a fully masked row is undefined in both.
   FlashAttention on a Napkin, Table 4 (variants of SoftMax). *)
Definition vsub (x y : value) : value := vadd x (vmul (Fin (-1)) y).
Theorem softmax_stable n s i : (i < n)%nat ->
  softmax n (fun j => vsub (s j) (vmaximum n s)) i = softmax n s i.
Proof.
  intros Hi. unfold softmax. destruct (vmaximum n s) as [m| |] eqn:E.
  - assert (Q : forall j, vexp (vsub (s j) (Fin m)) = vmul (Fin (exp (- m))) (vexp (s j))).
    { intros j. unfold vsub. rewrite vexp_add, vmul_comm. f_equal. cbn. do 2 f_equal. ring. }
    rewrite Q, (vsum_ext n _ (fun j => vmul (Fin (exp (- m))) (vexp (s j)))) by (intros; apply Q).
    rewrite vsum_scale by exact I. apply quotient_scale, exp_pos.
  - pose proof (vmaximum_infinite n s E) as Z.
    rewrite (vsum_zero n (fun j => vexp (s j))) by (intros; now rewrite Z).
    rewrite vinv_zero, vmul_undefined. rewrite Z by assumption. cbn. now decide_reals; [lra|].
  - destruct (vmaximum_undefined n s E) as (k & Hk & U).
    rewrite (vsum_undefined n (fun j => vexp (s j)) k), vmul_undefined by (rewrite ?U; auto).
    destruct (s i); reflexivity.
Qed.
Theorem softmax_rescaled n s i : (i < n)%nat ->
  vmul (vrescale (s i) (vmaximum n s)) (vinv (vsum n (fun j => vrescale (s j) (vmaximum n s))))
  = softmax n s i.
Proof.
  intros Hi. unfold softmax. destruct (vmaximum n s) as [m| |] eqn:E.
  - assert (Q : forall x, vrescale x (Fin m) = vmul (Fin (exp (- m))) (vexp x)).
    { intros [x| |]; cbn; auto; f_equal; [unfold Rminus; rewrite exp_plus|]; ring. }
    rewrite Q, (vsum_ext n _ (fun j => vmul (Fin (exp (- m))) (vexp (s j)))) by (intros; apply Q).
    rewrite vsum_scale by exact I. apply quotient_scale, exp_pos.
  - pose proof (vmaximum_infinite n s E) as Z.
    rewrite !vsum_zero by (intros; now rewrite Z). now rewrite vinv_zero, !vmul_undefined.
  - destruct (vmaximum_undefined n s E) as (k & Hk & U).
    rewrite (vsum_undefined n (fun j => vexp (s j)) k) by (rewrite ?U; auto).
    now destruct (s i); rewrite vmul_undefined.
Qed.

(* FlashAttention = attention, over the reals ------------------------------------------------ *)

Definition matrix := nat -> nat -> R.
Definition transpose (a : matrix) : matrix := fun i j => a j i.
Definition matmul (n : nat) (a b : matrix) : matrix := fun i j => rsum n (fun k => a i k * b k j).
(* Q·Kᵀ; a scale 1/√d or any other is a factor of Q. *)
Definition score (d : nat) (Q K : matrix) : matrix := matmul d Q (transpose K).
(* softmax(Q·Kᵀ)·V, with n keys of length d. *)
Definition softmax_attention (n d : nat) (Q K V : matrix) : matrix := fun i e =>
  rsum n (fun j => exp (score d Q K i j) / rsum n (fun l => exp (score d Q K i l)) * V j e).
(* With a mask: sums over the allowed keys only. *)
Definition where_allowed (p : bool) (x : R) : R := if p then x else 0.
Definition masked_attention (n d : nat) (allowed : nat -> nat -> bool) (Q K V : matrix) : matrix :=
  fun i e => rsum n (fun j => where_allowed (allowed i j) (exp (score d Q K i j) * V j e))
    / rsum n (fun j => where_allowed (allowed i j) (exp (score d Q K i j))).
Definition masked (p : nat -> bool) (s : nat -> R) (j : nat) : value :=
  if p j then Fin (s j) else NegInf.

Lemma attention_real n p s v : (exists j, (j < n)%nat /\ p j = true) ->
  attention n (masked p s) (fun j => Fin (v j))
  = Fin (rsum n (fun j => where_allowed (p j) (exp (s j) * v j))
      / rsum n (fun j => where_allowed (p j) (exp (s j)))).
Proof.
  intros (j & Hj & P). rewrite attention_quotient by lia.
  rewrite (vsum_ext n (fun i => vmul _ _) (fun j => Fin (where_allowed (p j) (exp (s j) * v j)))).
  2: { intros i _. unfold masked, where_allowed. destruct (p i); [reflexivity|].
       cbn. f_equal. ring. }
  rewrite (vsum_ext n (fun i => vexp _) (fun j => Fin (where_allowed (p j) (exp (s j))))).
  2: { intros i _. unfold masked, where_allowed. now destruct (p i). }
  rewrite !vsum_real. assert (0 < rsum n (fun j => where_allowed (p j) (exp (s j)))).
  { apply (rsum_positive n _ j); [|assumption | unfold where_allowed; rewrite P; apply exp_pos].
    intros i _. unfold where_allowed. destruct (p i); [left; apply exp_pos | lra]. }
  cbn [vinv]. destruct (Req_EM_T _ 0); [lra | reflexivity].
Qed.
Lemma attention_real_all n s v : (0 < n)%nat ->
  attention n (fun j => Fin (s j)) (fun j => Fin (v j))
  = Fin (rsum n (fun j => exp (s j) / rsum n (fun l => exp (s l)) * v j)).
Proof.
  intros Hn. pose proof (attention_real n (fun _ => true) s v) as H. cbn in H.
  unfold masked in H. rewrite H by (exists O; auto). f_equal. unfold Rdiv.
  rewrite <- rsum_scale_r. apply rsum_ext. intros. ring.
Qed.

(* FlashAttention: streaming b blocks of r keys over n ≤ b·r keys, masked past the end, gives row i
   and column e of softmax(Q·Kᵀ)·V, for all sizes.  FlashAttention on a Napkin, Fig. 21. *)
Theorem flash_attention b r n d (Q K V : matrix) i e : (0 < n <= b * r)%nat ->
  flash b r (until n (fun j => Fin (score d Q K i j))) (fun j => Fin (V j e))
  = Fin (softmax_attention n d Q K V i e).
Proof.
  intros H. rewrite flash_masked_tail by (auto; intros; exact I). now apply attention_real_all.
Qed.
Corollary flash_attention_exact b r d (Q K V : matrix) i e : (0 < b * r)%nat ->
  flash b r (fun j => Fin (score d Q K i j)) (fun j => Fin (V j e))
  = Fin (softmax_attention (b * r) d Q K V i e).
Proof. intros H. rewrite flash_row by assumption. now apply attention_real_all. Qed.

(* With any mask: where row i has an allowed key … *)
Theorem flash_attention_masked b r n d allowed (Q K V : matrix) i e : (n <= b * r)%nat ->
  (exists j, (j < n)%nat /\ allowed i j = true) ->
  flash b r (until n (masked (allowed i) (score d Q K i))) (fun j => Fin (V j e))
  = Fin (masked_attention n d allowed Q K V i e).
Proof.
  intros H L. pose proof L as (j & Hj & _).
  rewrite flash_masked_tail by (try lia; intros; exact I). now apply attention_real.
Qed.
(* … and where it has none. *)
Theorem flash_attention_masked_row b r n d allowed (Q K V : matrix) i e : (0 < n <= b * r)%nat ->
  (forall j, (j < n)%nat -> allowed i j = false) ->
  flash b r (until n (masked (allowed i) (score d Q K i))) (fun j => Fin (V j e)) = Undef /\
  attention n (masked (allowed i) (score d Q K i)) (fun j => Fin (V j e)) = Undef.
Proof.
  intros H L. rewrite flash_masked_tail by (auto; intros; exact I).
  assert (attention n (masked (allowed i) (score d Q K i)) (fun j => Fin (V j e)) = Undef) as U.
  { apply masked_row_undefined; [lia|]. intros j Hj. unfold masked. now rewrite L. }
  split; exact U.
Qed.

(* Causal: row i attends to keys 0 … i.  Any number of blocks that reach the diagonal will do, so
   blocks beyond it may be skipped. *)
Definition causal (i j : nat) : bool := j <=? i.
Theorem flash_attention_causal b r d (Q K V : matrix) i e : (i < b * r)%nat ->
  flash b r (masked (causal i) (score d Q K i)) (fun j => Fin (V j e))
  = Fin (softmax_attention (S i) d Q K V i e).
Proof.
  intros H. rewrite <- (flash_attention b r (S i)) by lia. reflexivity. (* j < i + 1 is j ≤ i *)
Qed.
Theorem causal_attention n d (Q K V : matrix) i e : (i < n)%nat ->
  attention n (masked (causal i) (score d Q K i)) (fun j => Fin (V j e))
  = Fin (softmax_attention (S i) d Q K V i e).
Proof.
  intros H. rewrite <- (flash_attention_causal n 1) by lia. rewrite flash_row by lia.
  now rewrite Nat.mul_1_r.
Qed.

(* Attention streams ------------------------------------------------------------------------ *)

(* The axis as a list of scores with values. *)
Definition softmax_contraction (x : list (value * value)) : value :=
  attention (length x) (fun i => fst (nth i x (NegInf, Fin 0)))
    (fun i => snd (nth i x (NegInf, Fin 0))).
Definition softmax_state : list (value * value) -> state :=
  fold_of rescaled start (fun e => (fst e, Fin 1, snd e)).

Theorem softmax_state_homomorphism : homomorphism rescaled softmax_state.
Proof.
  apply fold_is_homomorphism; intros;
    [apply rescaled_assoc | apply rescaled_comm | apply rescaled_unit | apply start_start].
Qed.
Lemma softmax_state_loop x : softmax_state x = loop rescaled (length x)
  (fun i => (fst (nth i x (NegInf, Fin 0)), Fin 1, snd (nth i x (NegInf, Fin 0)))).
Proof.
  induction x as [|a x IH] using rev_ind; [reflexivity|].
  assert (length (x ++ [a]) = S (length x)) as -> by (clear IH; induction x; cbn; auto).
  cbn [loop].
  unfold softmax_state, fold_of in *. rewrite fold_left_app. cbn [fold_left]. f_equal.
  - rewrite IH. apply loop_ext. intros i Hi. now rewrite app_nth1.
  - rewrite app_nth2, Nat.sub_diag by lia. reflexivity.
Qed.

(* The list of an axis of n elements. *)
Definition tabulate {X} (n : nat) (f : nat -> X) : list X := map f (seq 0 n).
Lemma tabulate_S {X} n (f : nat -> X) : tabulate (S n) f = tabulate n f ++ [f n].
Proof. unfold tabulate. now rewrite seq_S, map_app. Qed.
Lemma length_tabulate {X} n (f : nat -> X) : length (tabulate n f) = n.
Proof.
  induction n as [|n IH]; [reflexivity|]. rewrite tabulate_S.
  transitivity (S (length (tabulate n f))); [|now rewrite IH].
  clear IH. induction (tabulate n f); cbn; auto.
Qed.
Lemma nth_tabulate {X} n (f : nat -> X) i d : (i < n)%nat -> nth i (tabulate n f) d = f i.
Proof.
  induction n as [|n IH]; [lia|]. intros Hi. rewrite tabulate_S.
  destruct (Nat.eq_dec i n) as [-> | N].
  - rewrite app_nth2; rewrite length_tabulate; [|lia]. now rewrite Nat.sub_diag.
  - rewrite app_nth1 by (rewrite length_tabulate; lia). apply IH. lia.
Qed.
Theorem softmax_contraction_attention n s v :
  softmax_contraction (tabulate n (fun i => (s i, v i))) = attention n s v.
Proof.
  unfold softmax_contraction. rewrite length_tabulate.
  apply attention_ext; intros i Hi; now rewrite nth_tabulate.
Qed.

(* FlashAttention on a Napkin, A.3.2: SoftMax-contraction streams, with a state of three numbers. *)
Theorem softmax_contraction_streams :
  streams softmax_contraction softmax_state (fun s x => rescaled s (softmax_state x)) quotient.
Proof.
  split.
  - intros x y _. symmetry. apply softmax_state_homomorphism.
  - intros x N. rewrite softmax_state_loop. symmetry. apply online_softmax.
    destruct x; [tauto | cbn; lia].
Qed.
Theorem softmax_contraction_reorders x y : Permutation x y -> x <> [] ->
  softmax_contraction x = softmax_contraction y.
Proof.
  intros P N. assert (M : y <> []).
  { intros ->. apply Permutation_sym, Permutation_nil in P. tauto. }
  rewrite !(tail_finishes _ _ _ _ softmax_contraction_streams) by assumption. f_equal.
  now apply (homomorphism_reorders _ _ softmax_state_homomorphism rescaled_comm).
Qed.

(* FlashAttention on a Napkin, section on attention: by Fusion, with Q·Kᵀ weaved before it, over
   queries i and columns e; a streamed element is a key with its value. *)
Theorem attention_streams d (Q : matrix) :
  let key_and_value (p : nat * nat) (x : (nat -> R) * (nat -> R)) : value * value :=
    (Fin (rsum d (fun k => Q (fst p) k * fst x k)), Fin (snd x (snd p))) in
  streams (fun x p => softmax_contraction (map (key_and_value p) x))
    (fun x p => softmax_state (map (key_and_value p) x))
    (fun s x p => rescaled (s p) (softmax_state (map (key_and_value p) x)))
    (fun s p => quotient (s p)).
Proof. intros E. exact (fusion E (fun y => y) _ _ _ _ softmax_contraction_streams). Qed.

(* Normalised contractions ------------------------------------------------------------------ *)

Definition divide (x y : R) : value := vmul (Fin x) (vinv (Fin y)).
Definition lsum {X} (f : X -> R) (x : list X) : R := fold_right (fun e s => f e + s) 0 x.
Definition lvsum {X} (f : X -> value) (x : list X) : value :=
  fold_right (fun e s => vadd (f e) s) (Fin 0) x.
Lemma lsum_app {X} (f : X -> R) x y : lsum f (x ++ y) = lsum f x + lsum f y.
Proof. unfold lsum. induction x as [|a x IH]; cbn; [ring | rewrite IH; ring]. Qed.

Section Normalised.
  Variables a1 a2 b : R -> R.
  (* Spherical Attention, Definition 2: N(x)_i = a1(x_i) / b(Σ_j a2(x_j)), contracted with y; an
     element of the axis is a pair (x_i, y_i). *)
  Definition normalised_contraction (x : list (R * R)) : value :=
    lvsum (fun e => vmul (divide (a1 (fst e)) (b (lsum (fun u => a2 (fst u)) x))) (Fin (snd e))) x.
  Definition sums (x : list (R * R)) : R * R :=
    (lsum (fun e => a1 (fst e) * snd e) x, lsum (fun e => a2 (fst e)) x).
  Definition add_sums (s u : R * R) : R * R := (fst s + fst u, snd s + snd u).

  Lemma sums_homomorphism : homomorphism add_sums sums.
  Proof. intros x y. unfold sums, add_sums. cbn. now rewrite !lsum_app. Qed.

  (* Spherical Attention, Lemma 2: B((o, z), (x, y)) = (o + Σ a1(x_i)·y_i, z + Σ a2(x_i)), and the
     tail o/b(z), undefined where b(z) = 0, as the contraction is. *)
  Theorem normalised_contraction_streams :
    streams normalised_contraction sums (fun s x => add_sums s (sums x))
      (fun s => divide (fst s) (b (snd s))).
  Proof.
    split; [intros x y _; symmetry; apply sums_homomorphism|]. intros x N.
    unfold normalised_contraction, sums, divide. cbn [fst snd].
    set (c := vinv _). assert (C : exists k, c = Fin k \/ c = Undef).
    { unfold c. cbn [vinv]. destruct (Req_EM_T _ 0); [exists 0 |]; eauto. }
    clearbody c. destruct C as [k [-> | ->]].
    - clear N. unfold lvsum, lsum. induction x as [|e x IH]; cbn in *; [f_equal; ring|].
      rewrite IH. cbn. f_equal. ring.
    - destruct x; [tauto | reflexivity].
  Qed.
  (* No maximum and no rescaling: the state is added, in any blocks and any order. *)
  Corollary normalised_contraction_reorders x y : Permutation x y -> x <> [] ->
    normalised_contraction x = normalised_contraction y.
  Proof.
    intros P N. assert (M : y <> []).
    { intros ->. apply Permutation_sym, Permutation_nil in P. tauto. }
    rewrite !(tail_finishes _ _ _ _ normalised_contraction_streams) by assumption.
    enough (sums x = sums y) as -> by reflexivity.
    apply (homomorphism_reorders _ _ sums_homomorphism); [|assumption].
    intros [] []. unfold add_sums. cbn. f_equal; ring.
  Qed.

  (* Spherical Attention, Theorem 2: attention streams with any such normalisation for SoftMax. *)
  Theorem normalised_attention_streams d (Q : matrix) :
    let key_and_value (p : nat * nat) (x : (nat -> R) * (nat -> R)) : R * R :=
      (rsum d (fun k => Q (fst p) k * fst x k), snd x (snd p)) in
    streams (fun x p => normalised_contraction (map (key_and_value p) x))
      (fun x p => sums (map (key_and_value p) x))
      (fun s x p => add_sums (s p) (sums (map (key_and_value p) x)))
      (fun s p => divide (fst (s p)) (b (snd (s p)))).
  Proof. intros E. exact (fusion E (fun y => y) _ _ _ _ normalised_contraction_streams). Qed.
End Normalised.
(* Spherical Attention, the instances: SoftMax (without a maximum), L1, L2 and no normalisation. *)
Definition softmax_streams := normalised_attention_streams exp exp (fun z => z).
Definition l1_streams := normalised_attention_streams (fun x => x) Rabs (fun z => z).
Definition spherical_streams := normalised_attention_streams (fun x => x) Rsqr sqrt.
Definition unnormalised_streams a := normalised_attention_streams a (fun _ => 0) (fun _ => 1).

(* Linear and spherical attention ----------------------------------------------------------- *)

(* (A·B)·C = A·(B·C), for all sizes. *)
Theorem matmul_assoc m n a b c i j :
  matmul n (matmul m a b) c i j = matmul m a (matmul n b c) i j.
Proof.
  unfold matmul.
  transitivity (rsum n (fun l => rsum m (fun k => a i k * (b k l * c l j)))).
  - apply rsum_ext. intros l _. rewrite <- rsum_scale_r. apply rsum_ext. intros. ring.
  - rewrite rsum_swap. apply rsum_ext. intros k _. now rewrite <- rsum_scale.
Qed.
(* Linear attention: (Q·Kᵀ)·V = Q·(Kᵀ·V), with n keys; Q and K may be any features of them. *)
Theorem linear_attention n d Q K V i e :
  matmul n (matmul d Q (transpose K)) V i e = matmul d Q (matmul n (transpose K) V) i e.
Proof. apply matmul_assoc. Qed.
(* Its normalised form, by the sums of its weights: the denominator reassociates too. *)
Theorem linear_attention_normalised n d Q K V i e :
  divide (matmul n (score d Q K) V i e) (rsum n (score d Q K i))
  = divide (matmul d Q (matmul n (transpose K) V) i e)
      (rsum d (fun k => Q i k * rsum n (fun j => K j k))).
Proof.
  unfold score. rewrite matmul_assoc. f_equal. unfold matmul, transpose. rewrite rsum_swap.
  apply rsum_ext. intros k _. now rewrite rsum_scale.
Qed.

(* Spherical Attention, the definition in the authors' code (signed_attention): S = Q·Kᵀ, rows
   divided by their Euclidean norm, times V; undefined where a row of S is 0. *)
Definition spherical_attention (n d : nat) (Q K V : matrix) (i e : nat) : value :=
  vsum n (fun j => vmul (divide (score d Q K i j) (sqrt (rsum n (fun l => Rsqr (score d Q K i l)))))
    (Fin (V j e))).
Lemma lsum_tabulate {X} f n (g : nat -> X) : lsum f (tabulate n g) = rsum n (fun j => f (g j)).
Proof.
  induction n as [|n IH]; [reflexivity|]. rewrite tabulate_S, lsum_app, rsum_S, IH. cbn. ring.
Qed.
Lemma lvsum_tabulate {X} f n (g : nat -> X) : lvsum f (tabulate n g) = vsum n (fun j => f (g j)).
Proof.
  assert (A : forall x y, lvsum f (x ++ y) = vadd (lvsum f x) (lvsum f y)).
  { intros x y. induction x as [|e x IH]; cbn -[vadd]; [now rewrite vadd_zero|].
    unfold lvsum in IH. now rewrite IH, vadd_assoc. }
  induction n as [|n IH]; [reflexivity|]. rewrite tabulate_S, A, vsum_S, IH. cbn -[vadd].
  now rewrite vadd_zero_r.
Qed.
(* It is the normalised contraction with a1 = id, a2 = square, b = √, so it streams. *)
Theorem spherical_attention_normalised n d Q K V i e :
  normalised_contraction (fun x => x) Rsqr sqrt (tabulate n (fun j => (score d Q K i j, V j e)))
  = spherical_attention n d Q K V i e.
Proof. unfold normalised_contraction. now rewrite lvsum_tabulate, lsum_tabulate. Qed.
(* ‖S_i‖² = (Q·(Kᵀ·K)·Qᵀ)_ii *)
Lemma row_norm n d Q K i : rsum n (fun j => Rsqr (score d Q K i j))
  = matmul d (matmul d Q (matmul n (transpose K) K)) (transpose Q) i i.
Proof.
  rewrite matmul_assoc.
  transitivity (matmul n (score d Q K) (transpose (score d Q K)) i i); [reflexivity|].
  unfold score at 1. rewrite matmul_assoc. unfold matmul at 1 3.
  apply rsum_ext. intros k _. f_equal.
  rewrite matmul_assoc. apply rsum_ext. intros j _. f_equal.
  apply rsum_ext. intros l _. unfold transpose. ring.
Qed.
(* O = Q·(Kᵀ·V) / √diag(Q·(Kᵀ·K)·Qᵀ): spherical attention without a mask is linear in the number
   of keys.  Not in the paper. *)
Theorem spherical_attention_collapses n d Q K V i e : (0 < n)%nat ->
  spherical_attention n d Q K V i e
  = divide (matmul d Q (matmul n (transpose K) V) i e)
      (sqrt (matmul d (matmul d Q (matmul n (transpose K) K)) (transpose Q) i i)).
Proof.
  intros Hn. unfold spherical_attention. rewrite row_norm, <- linear_attention. unfold divide.
  set (c := vinv _). assert (C : exists k, c = Fin k \/ c = Undef).
  { unfold c. cbn [vinv]. destruct (Req_EM_T _ 0); [exists 0 |]; eauto. }
  clearbody c. destruct C as [k [-> | ->]].
  - cbn [vmul]. rewrite vsum_real. f_equal. unfold matmul at 1. rewrite <- rsum_scale_r.
    apply rsum_ext. intros j _. unfold score. ring.
  - now rewrite (vsum_undefined n _ 0).
Qed.
(* Causal: row i is the theorem with i + 1 keys, and both d×d sums grow by one product a key. *)
Theorem prefix_state_step n K V k e :
  matmul (S n) (transpose K) V k e = matmul n (transpose K) V k e + K n k * V n e.
Proof. apply rsum_S. Qed.
