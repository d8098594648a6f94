(* Objects and the monoids that reduce them.

   A wire carries a number or nested pairs of numbers.  An [object] is the family of its numbers,
   one for each path into the pairs; a lone number is the same on every path.  So pointwise laws of
   numbers hold of objects, path by path, and no law but those of rescaled sums speaks of shapes. *)

From Coq Require Import Reals Lra Lia List FunctionalExtensionality Bool.
From Ncd Require Import Values Folds.
Import ListNotations.
Local Open Scope R_scope.

Inductive step := Left | Right.
Definition path := list step.
Definition object := path -> value.

Definition number (v : value) : object := fun _ => v.
Definition first (a : object) : object := fun p => a (Left :: p).
Definition second (a : object) : object := fun p => a (Right :: p).
Definition pair (a b : object) : object :=
  fun p => match p with Left :: q => a q | Right :: q => b q | [] => Undef end.

Inductive monoid :=
  | Sum | Product | Max | Min | All | Any
  | Both (m n : monoid)                      (* two monoids side by side *)
  | RescaledSum.                             (* maxima acting on sums through exp(m − m') *)

Definition pointwise (f : value -> value -> value) (a b : object) : object := fun p => f (a p) (b p).

(* (m, a) · (n, b) = (k, e^(m−k)·a + e^(n−k)·b) with k = max(m, n) *)
Definition rescaled_add (a b : object) : object := fun p => match p with
  | [] => Undef
  | Left :: _ => vmax (a p) (b p)
  | Right :: q => let m := a (Left :: q) in let n := b (Left :: q) in let k := vmax m n in
      vadd (vmul (vrescale m k) (a p)) (vmul (vrescale n k) (b p)) end.
Definition rescaled_unit : object := pair (number NegInf) (number (Fin 0)).
Definition rescaled_alone (a : object) : object := rescaled_add rescaled_unit a.

Fixpoint combine (m : monoid) : object -> object -> object := match m with
  | Sum => pointwise vadd
  | Product => pointwise vmul
  | Max => pointwise vmax
  | Min => pointwise vmin
  | All => pointwise vand
  | Any => pointwise vor
  | Both m n => fun a b =>
      pair (combine m (first a) (first b)) (combine n (second a) (second b))
  | RescaledSum => rescaled_add end.

Fixpoint unit (m : monoid) : object := match m with
  | Sum => number (Fin 0)
  | Product => number (Fin 1)
  | Max => number NegInf
  | Min => number Undef                      (* +∞ is no value *)
  | All => number (truth true)
  | Any => number (truth false)
  | Both m n => pair (unit m) (unit n)
  | RescaledSum => rescaled_unit end.

(* How an element enters a fold: truth values are made 0 or 1, weights start at e^0. *)
Fixpoint alone (m : monoid) : object -> object := match m with
  | All => fun a p => vand (truth true) (a p)
  | Any => fun a p => vor (truth false) (a p)
  | Both m n => fun a => pair (alone m (first a)) (alone n (second a))
  | RescaledSum => rescaled_alone
  | _ => fun a => a end.

Definition fold (m : monoid) (n : nat) (f : nat -> object) : object :=
  reduce (combine m) (unit m) (alone m) n f.

(* Which monoids may be grouped and ordered in any way: not products, see [Values]. *)
Fixpoint regroups (m : monoid) : bool := match m with
  | Product => false
  | Both m n => regroups m && regroups n
  | _ => true end.

(* ------------------------------------------------------------------------------------------ *)

Lemma object_ext (a b : object) : (forall p, a p = b p) -> a = b.
Proof. apply functional_extensionality. Qed.

Lemma rescaled_add_comm a b : rescaled_add a b = rescaled_add b a.
Proof.
  apply object_ext. intros [|[] q]; cbn; [reflexivity | apply vmax_comm |].
  rewrite (vmax_comm (b _)). apply vadd_comm.
Qed.

(* A weight is 0 only where everything below it has weight 0, so it distributes even over −∞. *)
Ltac weights := repeat match goal with
  | |- context [Rlt_dec 0 (exp ?a)] => destruct (Rlt_dec 0 (exp a)); [|pose proof (exp_pos a); tauto]
  | |- context [Rlt_dec 0 0] => destruct (Rlt_dec 0 0); [lra|]
  end; cbn.

Lemma weight_distribute m n k a b :
  let j := vmax m n in let w := vrescale j (vmax j k) in
  vmul w (vadd (vmul (vrescale m j) a) (vmul (vrescale n j) b))
  = vadd (vmul w (vmul (vrescale m j) a)) (vmul w (vmul (vrescale n j) b)).
Proof.
  destruct m as [m| |], n as [n| |], k as [k| |]; cbn; try reflexivity;
  destruct a as [a| |], b as [b| |]; cbn; weights; try reflexivity; f_equal; ring.
Qed.
Lemma weight_chain m n k a :
  let j := vmax m n in let w := vrescale j (vmax j k) in
  vmul w (vmul (vrescale m j) a) = vmul (vrescale m (vmax j k)) a.
Proof.
  destruct m as [m| |], n as [n| |], k as [k| |]; cbn; try reflexivity;
  destruct a as [a| |]; cbn; weights; try reflexivity; f_equal; try ring;
    rewrite <- Rmult_assoc, <- exp_plus; f_equal; f_equal; ring.
Qed.

Lemma rescaled_add_three a b c q :
  let m := a (Left :: q) in let n := b (Left :: q) in let k := c (Left :: q) in
  let top := vmax (vmax m n) k in
  rescaled_add (rescaled_add a b) c (Right :: q)
  = vadd (vmul (vrescale m top) (a (Right :: q)))
      (vadd (vmul (vrescale n top) (b (Right :: q))) (vmul (vrescale k top) (c (Right :: q)))).
Proof.
  cbn. set (m := a (Left :: q)). set (n := b (Left :: q)). set (k := c (Left :: q)).
  rewrite (weight_distribute m n k), (weight_chain m n k), vadd_assoc. f_equal. f_equal.
  rewrite (vmax_comm m n). apply (weight_chain n m k).
Qed.
Lemma rescaled_add_assoc a b c :
  rescaled_add (rescaled_add a b) c = rescaled_add a (rescaled_add b c).
Proof.
  apply object_ext. intros [|[] q]; [reflexivity | apply vmax_assoc |].
  rewrite (rescaled_add_comm a (rescaled_add b c)), !rescaled_add_three.
  replace (vmax (vmax (b (Left :: q)) (c (Left :: q))) (a (Left :: q)))
    with (vmax (vmax (a (Left :: q)) (b (Left :: q))) (c (Left :: q)))
    by (rewrite vmax_assoc; apply vmax_comm).
  rewrite vadd_comm, vadd_assoc. reflexivity.
Qed.

Lemma rescaled_unit_unit : rescaled_add rescaled_unit rescaled_unit = rescaled_unit.
Proof.
  apply object_ext. intros [|[] q]; cbn; try reflexivity.
  unfold number. cbn. f_equal. ring.
Qed.

Lemma pointwise_commutative f u :
  (forall x y z, f (f x y) z = f x (f y z)) -> (forall x y, f x y = f y x) -> f u u = u ->
  commutative (pointwise f) (number u) (fun a => a).
Proof.
  intros A C U. split; intros; try apply object_ext; intros; cbn; unfold pointwise, number; auto.
Qed.

(* Every monoid but products is commutative, with −∞ and the undefined among its elements. *)
Theorem monoid_commutative m : regroups m = true -> commutative (combine m) (unit m) (alone m).
Proof.
  induction m as [| | | | | |m IHm n IHn|]; cbn [regroups]; intros H; try discriminate.
  - apply pointwise_commutative; [apply vadd_assoc | apply vadd_comm | cbn; f_equal; ring].
  - apply pointwise_commutative; [apply vmax_assoc | apply vmax_comm | reflexivity].
  - apply pointwise_commutative; [apply vmin_assoc | apply vmin_comm | reflexivity].
  - split; intros; apply object_ext; intros p; cbn -[vand vor truth]; unfold pointwise, number.
    + apply vand_assoc.
    + apply vand_comm.
    + symmetry. apply vand_assoc.
    + rewrite <- vand_assoc. f_equal. apply (vand_truth true true).
    + apply (vand_truth true true).
    + apply (vand_truth true true).
  - split; intros; apply object_ext; intros p; cbn -[vand vor truth]; unfold pointwise, number.
    + apply vor_assoc.
    + apply vor_comm.
    + symmetry. apply vor_assoc.
    + rewrite <- vor_assoc. f_equal. apply (vor_truth false false).
    + apply (vor_truth false false).
    + apply (vor_truth false false).
  - apply andb_true_iff in H as [Hm Hn]. specialize (IHm Hm). specialize (IHn Hn).
    destruct IHm as [A1 C1 O1 L1 U1 E1], IHn as [A2 C2 O2 L2 U2 E2].
    split; intros; apply object_ext; intros [|[] p]; try reflexivity; cbn;
      unfold first, second, pair; cbn.
    + apply (equal_f (A1 _ _ _)).
    + apply (equal_f (A2 _ _ _)).
    + apply (equal_f (C1 _ _)).
    + apply (equal_f (C2 _ _)).
    + apply (equal_f (O1 _ _)).
    + apply (equal_f (O2 _ _)).
    + apply (equal_f (L1 _)).
    + apply (equal_f (L2 _)).
    + apply (equal_f U1).
    + apply (equal_f U2).
    + apply (equal_f E1).
    + apply (equal_f E2).
  - split; intros; cbn; unfold rescaled_alone.
    + apply rescaled_add_assoc.
    + apply rescaled_add_comm.
    + symmetry. apply rescaled_add_assoc.
    + rewrite <- rescaled_add_assoc, rescaled_unit_unit. reflexivity.
    + apply rescaled_unit_unit.
    + apply rescaled_unit_unit.
Qed.

(* The units of sums, maxima and rescaled sums do not count. *)
Lemma sum_unital x : combine Sum (unit Sum) x = alone Sum x.
Proof. apply object_ext. intros p. apply vadd_zero. Qed.
Lemma max_unital x : combine Max (unit Max) x = alone Max x.
Proof. apply object_ext. intros p. cbn. unfold pointwise, number. destruct (x p); reflexivity. Qed.
Lemma rescaled_unital x : combine RescaledSum (unit RescaledSum) x = alone RescaledSum x.
Proof. reflexivity. Qed.

(* Folds of numbers, path by path ------------------------------------------------------------ *)

Definition value_op (m : monoid) : value -> value -> value := match m with
  | Sum => vadd | Product => vmul | Max => vmax | Min => vmin | All => vand | Any => vor
  | _ => fun _ _ => Undef end.
Definition value_unit (m : monoid) : value := match m with
  | Sum => Fin 0 | Product => Fin 1 | Max => NegInf | Min => Undef | All => truth true
  | Any => truth false | _ => Undef end.
Definition value_alone (m : monoid) : value -> value := match m with
  | All => vand (truth true) | Any => vor (truth false) | _ => fun v => v end.
Definition scalar (m : monoid) : bool := match m with Both _ _ | RescaledSum => false | _ => true end.
Definition vfold (m : monoid) (n : nat) (f : nat -> value) : value :=
  reduce (value_op m) (value_unit m) (value_alone m) n f.

Lemma Red_at f n (u : nat -> object) p : Red (pointwise f) n u p = Red f n (fun i => u i p).
Proof. unfold Red. induction (pred n) as [|k IH]; cbn; [reflexivity|]. unfold pointwise at 1. now rewrite IH. Qed.
Lemma fold_at m n f p : scalar m = true -> fold m n f p = vfold m n (fun i => f i p).
Proof.
  unfold fold, vfold, reduce. destruct m; cbn [scalar]; intros H; try discriminate;
    destruct n; try reflexivity; apply (Red_at _ (S n)).
Qed.

(* A fold of pairs is a pair of folds. *)
Lemma fold_both m n k f : fold (Both m n) k f
  = pair (fold m k (fun i => first (f i))) (fold n k (fun i => second (f i))).
Proof.
  unfold fold, reduce. destruct k as [|k]; [reflexivity|]. unfold Red. cbn [pred].
  induction k as [|k IH]; [reflexivity|]. cbn [fold1]. rewrite IH. reflexivity.
Qed.

Lemma fold_ext m n f g : (forall i, (i < n)%nat -> f i = g i) -> fold m n f = fold m n g.
Proof. apply reduce_ext. Qed.

(* Rescaled sums are what they say: the maximum, and the sum weighted against it ------------- *)

Lemma rescaled_alone_second a q :
  rescaled_alone a (Right :: q) = vmul (vrescale (a (Left :: q)) (a (Left :: q))) (a (Right :: q)).
Proof.
  unfold rescaled_alone, rescaled_add, rescaled_unit, pair, number.
  destruct (a (Left :: q)) as [s| |]; cbn; rewrite ?Rmult_0_l; try apply vadd_zero. reflexivity.
Qed.
Lemma rescaled_first n f q : fold RescaledSum n f (Left :: q) = vfold Max n (fun i => f i (Left :: q)).
Proof.
  destruct n as [|n]; [reflexivity|].
  change (Red rescaled_add (S n) (fun i => rescaled_alone (f i)) (Left :: q)
    = Red vmax (S n) (fun i => f i (Left :: q))).
  induction n as [|n IH].
  - rewrite !Red_1. cbn. destruct (f 0%nat (Left :: q)); reflexivity.
  - rewrite !(Red_S _ (S n)) by lia. unfold rescaled_add at 1. rewrite IH. f_equal.
    cbn. destruct (f (S n) (Left :: q)); reflexivity.
Qed.

Lemma below_max s n i : (i < n)%nat -> vmax (s i) (vfold Max n s) = vfold Max n s.
Proof.
  intros H. unfold vfold, reduce. destruct n as [|n]; [lia|].
  change (vmax (s i) (Red vmax (S n) s) = Red vmax (S n) s).
  induction n as [|n IH].
  - replace i with 0%nat by lia. apply vmax_self.
  - rewrite (Red_S vmax (S n)) by lia. destruct (Nat.eq_dec i (S n)) as [->|N].
    + rewrite vmax_comm, vmax_assoc, vmax_self. reflexivity.
    + rewrite <- vmax_assoc, IH by lia. reflexivity.
Qed.
Lemma zero_weight s v : vmax s NegInf = NegInf -> no_infinity (vmul (vrescale s NegInf) v).
Proof.
  destruct s; cbn; try discriminate. intros _. destruct v; cbn; try exact I.
  destruct (Rlt_dec 0 0); cbn; [lra | exact I].
Qed.
Lemma reweight_sum m k s v n : (0 < n)%nat -> (forall i, (i < n)%nat -> vmax (s i) m = m) ->
  vmul (vrescale m (vmax m k)) (Red vadd n (fun i => vmul (vrescale (s i) m) (v i)))
  = Red vadd n (fun i => vmul (vrescale (s i) (vmax m k)) (v i)).
Proof.
  intros Hn. induction n as [|[|n] IH]; intros H; [lia| |].
  - rewrite !Red_1. rewrite <- (H 0%nat) by lia. rewrite (vmax_comm (s 0%nat) m) at 1 2.
    pose proof (weight_chain (s 0%nat) m k (v 0%nat)) as C. cbn zeta in C.
    rewrite (vmax_comm (s 0%nat) m) in C. rewrite (vmax_comm (s 0%nat) m). exact C.
  - rewrite !(Red_S vadd (S n)) by lia. rewrite <- IH by (try lia; intros; apply H; lia).
    pose proof (weight_chain (s (S n)) m k (v (S n))) as C. cbn zeta in C.
    rewrite (H (S n)) in C by lia. rewrite <- C.
    destruct m as [m| |].
    + apply vmul_distribute_positive. destruct k as [k| |]; cbn; auto using exp_pos.
    + apply vmul_distribute_finite; [destruct k; exact I| |].
      * apply Red_property; [lia | intros x y; destruct x, y; cbn; tauto |].
        intros i Hi. apply zero_weight. apply H. lia.
      * apply zero_weight. apply H. lia.
    + reflexivity.
Qed.
Lemma rescaled_second n f q : fold RescaledSum n f (Right :: q)
  = vfold Sum n (fun i => vmul
      (vrescale (f i (Left :: q)) (vfold Max n (fun i => f i (Left :: q)))) (f i (Right :: q))).
Proof.
  set (s := fun i => f i (Left :: q)). set (v := fun i => f i (Right :: q)).
  destruct n as [|n]; [reflexivity|].
  change (Red rescaled_add (S n) (fun i => rescaled_alone (f i)) (Right :: q)
    = Red vadd (S n) (fun i => vmul (vrescale (s i) (vfold Max (S n) s)) (v i))).
  induction n as [|n IH]; [apply rescaled_alone_second|].
  rewrite (Red_S rescaled_add (S n)), (Red_S vadd (S n)) by lia.
  pose proof (rescaled_first (S n) f q) as F.
  change (Red rescaled_add (S n) (fun i => rescaled_alone (f i)) (Left :: q) = vfold Max (S n) s) in F.
  unfold rescaled_add at 1. rewrite F, IH, rescaled_alone_second.
  replace (rescaled_alone (f (S n)) (Left :: q)) with (s (S n))
    by (unfold s; cbn; destruct (f (S n) (Left :: q)); reflexivity).
  assert (E : vfold Max (S (S n)) s = vmax (vfold Max (S n) s) (s (S n))) by reflexivity.
  rewrite E. f_equal.
  - apply reweight_sum; [lia|]. intros i Hi. now apply below_max.
  - pose proof (weight_chain (s (S n)) (s (S n)) (vfold Max (S n) s) (v (S n))) as C.
    cbn zeta in C. rewrite vmax_self, (vmax_comm (s (S n))) in C. exact C.
Qed.
