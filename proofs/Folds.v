(* Folds over the indices of an axis, for any operation.

   [Red op n f] is f 0 · f 1 · … · f (n−1) from the left: definitionally the loop of a program that
   streams the axis.  [reduce] adds what an empty axis gives and how an element enters the fold. *)

From Coq Require Import Arith Lia.

Section Red.
  Context {A : Type} (op : A -> A -> A).

  Fixpoint fold1 (n : nat) (f : nat -> A) : A :=      (* of n + 1 elements *)
    match n with O => f O | S m => op (fold1 m f) (f n) end.
  Definition Red (n : nat) (f : nat -> A) : A := fold1 (pred n) f.

  Lemma Red_S n f : 0 < n -> Red (S n) f = op (Red n f) (f n).
  Proof. destruct n; [lia | reflexivity]. Qed.
  Lemma Red_1 f : Red 1 f = f 0.
  Proof. reflexivity. Qed.

  Lemma Red_ext n f g : 0 < n -> (forall i, i < n -> f i = g i) -> Red n f = Red n g.
  Proof.
    induction n as [|[|n] IH]; intros Hn H; [lia | rewrite !Red_1; apply H; lia |].
    rewrite !(Red_S (S n)) by lia. rewrite IH, H; auto; lia.
  Qed.

  Lemma Red_property (P : A -> Prop) n f : 0 < n ->
    (forall x y, P x -> P y -> P (op x y)) -> (forall i, i < n -> P (f i)) -> P (Red n f).
  Proof.
    intros Hn H. induction n as [|[|n] IH]; intros F; [lia | apply F; lia |].
    rewrite Red_S by lia. apply H; [apply IH; [lia | intros; apply F; lia] | apply F; lia].
  Qed.

  (* A constant fold, for an idempotent operation. *)
  Lemma Red_constant n c : 0 < n -> op c c = c -> Red n (fun _ => c) = c.
  Proof.
    intros Hn H. induction n as [|[|n] IH]; [lia | reflexivity |].
    rewrite Red_S, IH by lia. exact H.
  Qed.

  Section Associative.
    Hypothesis assoc : forall x y z, op (op x y) z = op x (op y z).

    Lemma Red_app n m f : 0 < n -> 0 < m ->
      Red (n + m) f = op (Red n f) (Red m (fun i => f (n + i))).
    Proof.
      intros Hn. induction m as [|[|m] IH]; intros Hm; [lia | |].
      - rewrite Nat.add_1_r, Red_S, Red_1, Nat.add_0_r by lia. reflexivity.
      - rewrite Nat.add_succ_r, Red_S, IH, (Red_S (S m)) by lia. apply assoc.
    Qed.

    (* An axis x = b·r + i folds by blocks. *)
    Lemma Red_split b r f : 0 < b -> 0 < r ->
      Red (b * r) f = Red b (fun i => Red r (fun j => f (i * r + j))).
    Proof.
      intros Hb Hr. induction b as [|[|b] IH]; [lia | |].
      - rewrite Nat.mul_1_l, Red_1. reflexivity.
      - rewrite Red_S, <- IH by lia. replace (S (S b) * r) with (S b * r + r) by lia.
        apply Red_app; lia.
    Qed.

    Hypothesis comm : forall x y, op x y = op y x.

    Lemma exchange a b c d : op (op a b) (op c d) = op (op a c) (op b d).
    Proof. rewrite !assoc. f_equal. rewrite <- !assoc. f_equal. apply comm. Qed.

    Lemma Red_op n f g : Red n (fun i => op (f i) (g i)) = op (Red n f) (Red n g).
    Proof.
      unfold Red. induction (pred n) as [|k IH]; cbn; [reflexivity|].
      rewrite IH. apply exchange.
    Qed.

    Lemma Red_swap n m f :
      Red n (fun i => Red m (fun j => f i j)) = Red m (fun j => Red n (fun i => f i j)).
    Proof.
      unfold Red at 1 4. induction (pred n) as [|k IH]; [reflexivity|]. cbn [fold1].
      rewrite IH. symmetry. apply (Red_op m).
    Qed.

    Lemma Red_reverse n f : 0 < n -> Red n (fun i => f (n - 1 - i)) = Red n f.
    Proof.
      revert f. induction n as [|[|n] IH]; intros f Hn; [lia | reflexivity |].
      rewrite (Red_S (S n) (fun i => _)) by lia.
      replace (S (S n) - 1 - S n) with 0 by lia.
      transitivity (op (f 0) (Red (S n) (fun i => f (1 + i)))).
      - rewrite comm. f_equal. rewrite <- (IH (fun i => f (1 + i))) by lia.
        apply Red_ext; [lia|]. intros i Hi. f_equal. lia.
      - symmetry. change (S (S n)) with (1 + S n). rewrite Red_app by lia. reflexivity.
    Qed.
  End Associative.
End Red.
Arguments Red {A} op n f : simpl never.

(* A morphism of operations moves through a fold. *)
Lemma Red_morphism {A B} (f : A -> A -> A) (g : B -> B -> B) (h : A -> B) n u :
  (forall x y, h (f x y) = g (h x) (h y)) -> h (Red f n u) = Red g n (fun i => h (u i)).
Proof. intros H. unfold Red. induction (pred n) as [|k IH]; cbn; [reflexivity|]. now rewrite H, IH. Qed.

(* Two folds over one axis are one fold of pairs. *)
Definition both {A B} (f : A -> A -> A) (g : B -> B -> B) (x y : A * B) : A * B :=
  (f (fst x) (fst y), g (snd x) (snd y)).
Lemma Red_both {A B} (f : A -> A -> A) (g : B -> B -> B) n u v :
  Red (both f g) n (fun i => (u i, v i)) = (Red f n u, Red g n v).
Proof. unfold Red. induction (pred n) as [|k IH]; cbn; [reflexivity|]. now rewrite IH. Qed.

(* Folds of monoids ------------------------------------------------------------------------- *)

(* A fold of n elements: the unit where there is none, and each element enters through [alone],
   which for most monoids does nothing (truth values are made 0 or 1, weights are normalised). *)
Definition reduce {A} (op : A -> A -> A) (unit : A) (alone : A -> A) (n : nat) (f : nat -> A) : A :=
  match n with O => unit | S _ => Red op n (fun i => alone (f i)) end.

Lemma reduce_ext {A} (op : A -> A -> A) unit alone n f g :
  (forall i, i < n -> f i = g i) -> reduce op unit alone n f = reduce op unit alone n g.
Proof. destruct n; cbn; [reflexivity|]. intros H. apply Red_ext; [lia|]. intros; now rewrite H. Qed.

(* What a fold may be regrouped by: commutative monoids up to [alone]. *)
Record commutative {A} (op : A -> A -> A) (unit : A) (alone : A -> A) : Prop := {
  op_assoc : forall x y z, op (op x y) z = op x (op y z);
  op_comm : forall x y, op x y = op y x;
  alone_op : forall x y, alone (op x y) = op (alone x) y;
  alone_alone : forall x, alone (alone x) = alone x;
  alone_unit : alone unit = unit;
  unit_unit : op unit unit = unit }.

Section Reduce.
  Context {A : Type} (op : A -> A -> A) (unit : A) (alone : A -> A).
  Hypothesis laws : commutative op unit alone.
  Notation reduce := (reduce op unit alone).

  Lemma reduce_positive n f : 0 < n -> reduce n f = Red op n (fun i => alone (f i)).
  Proof. destruct n; [lia | reflexivity]. Qed.

  Lemma alone_Red n f : alone (Red op n (fun i => alone (f i))) = Red op n (fun i => alone (f i)).
  Proof.
    unfold Red. induction (pred n) as [|k IH]; cbn; [apply laws|].
    now rewrite (alone_op _ _ _ laws), IH.
  Qed.
  Lemma alone_reduce n f : alone (reduce n f) = reduce n f.
  Proof. destruct n; [apply laws | apply alone_Red]. Qed.

  Lemma reduce_of_units n : reduce n (fun _ => unit) = unit.
  Proof.
    destruct n; [reflexivity|]. rewrite reduce_positive by lia.
    rewrite (alone_unit _ _ _ laws). apply Red_constant; [lia | apply laws].
  Qed.

  Theorem reduce_split b r f :
    reduce (b * r) f = reduce b (fun i => reduce r (fun j => f (i * r + j))).
  Proof.
    destruct b as [|b]; [reflexivity|]. destruct r as [|r].
    - rewrite Nat.mul_0_r. cbn [Folds.reduce]. symmetry. apply (reduce_of_units (S b)).
    - rewrite !reduce_positive by lia. rewrite (Red_split op (op_assoc _ _ _ laws)) by lia.
      apply Red_ext; [lia|]. intros i Hi. rewrite alone_reduce. reflexivity.
  Qed.

  Theorem reduce_swap n m f :
    reduce n (fun i => reduce m (f i)) = reduce m (fun j => reduce n (fun i => f i j)).
  Proof.
    destruct n as [|n].
    - symmetry. apply reduce_of_units.
    - destruct m as [|m]; [apply reduce_of_units|].
      rewrite !(reduce_positive (S _)) by lia.
      transitivity (Red op (S n) (fun i => Red op (S m) (fun j => alone (f i j)))).
      + apply Red_ext; [lia|]. intros i _. apply alone_reduce.
      + rewrite (Red_swap op (op_assoc _ _ _ laws) (op_comm _ _ _ laws)).
        apply Red_ext; [lia|]. intros j _. symmetry. apply (alone_reduce (S n)).
  Qed.

  Theorem reduce_reverse n f : reduce n (fun i => f (n - 1 - i)) = reduce n f.
  Proof.
    destruct n as [|n]; [reflexivity|]. rewrite !reduce_positive by lia.
    apply (Red_reverse op (op_assoc _ _ _ laws) (op_comm _ _ _ laws) (S n) (fun i => alone (f i))).
    lia.
  Qed.

  (* What enters as the unit does not count: indices past the end of an axis may be masked. *)
  Hypothesis unital : forall x, op unit x = alone x.
  Theorem reduce_masked n k f g :
    (forall i, i < n -> f i = g i) -> (forall i, n <= i -> i < n + k -> alone (g i) = unit) ->
    reduce n f = reduce (n + k) g.
  Proof.
    intros Hf. induction k as [|k IH]; intros Hg.
    - rewrite Nat.add_0_r. now apply reduce_ext.
    - rewrite IH by (intros; apply Hg; lia). rewrite Nat.add_succ_r.
      assert (U : alone (g (n + k)) = unit) by (apply Hg; lia).
      destruct (n + k) as [|m] eqn:E; cbn [Folds.reduce]; [now rewrite Red_1, U|].
      rewrite (Red_S op (S m)), U by lia. rewrite (op_comm _ _ _ laws), unital. symmetry. apply alone_Red.
  Qed.
End Reduce.
