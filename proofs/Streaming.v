(* Streamability: which functions of an axis can be computed while the axis passes by, in blocks.

   An axis of n elements is a list; [x ++ y] is its concatenation.  Lists of length 0 are left out
   where a function needs an element (a softmax), as in the papers, where axes have n ≥ 1. *)

From Coq Require Import List Permutation Arith Lia Reals Lra FunctionalExtensionality.
Import ListNotations.

(* B absorbs further elements: B(f x, y) = f(x ++ y).
   Spherical Attention, Definition 1; FlashAttention on a Napkin, section on streamability. *)
Definition accumulates {X Y} (f : list X -> Y) (B : Y -> list X -> Y) : Prop :=
  forall x y, x <> [] -> B (f x) y = f (x ++ y).

(* f is streamed with the state S, kept by B, and finished by the tail t.  What S is matters: its
   size must not grow with the axis, see [everything_streams_into_itself]. *)
Record streams {X S Y} (f : list X -> Y) (g : list X -> S) (B : S -> list X -> S) (t : S -> Y) :
  Prop := {
  state_accumulates : accumulates g B;
  tail_finishes : forall x, x <> [] -> f x = t (g x) }.

Lemma app_not_nil {X} (x y : list X) : x <> [] -> x ++ y <> [].
Proof. destruct x; [tauto | discriminate]. Qed.
Lemma map_not_nil {X Y} (e : X -> Y) (x : list X) : x <> [] -> map e x <> [].
Proof. destruct x; [tauto | discriminate]. Qed.

(* The loop --------------------------------------------------------------------------------- *)

(* The head takes the first block, the body B the others, of any sizes.
   FlashAttention on a Napkin, recursive decomposition of a streamed axis into head and body. *)
Theorem loop_computes {X Y} (f : list X -> Y) B block blocks :
  accumulates f B -> block <> [] -> fold_left B blocks (f block) = f (block ++ concat blocks).
Proof.
  intros H. revert block. induction blocks as [|y blocks IH]; intros block N; cbn.
  - now rewrite app_nil_r.
  - rewrite H, IH by auto using app_not_nil. now rewrite <- app_assoc.
Qed.
Theorem streamed_loop_computes {X S Y} (f : list X -> Y) (g : list X -> S) B t block blocks :
  streams f g B t -> block <> [] ->
  t (fold_left B blocks (g block)) = f (block ++ concat blocks).
Proof.
  intros [A T] N. rewrite (loop_computes g B) by assumption. symmetry. apply T.
  now apply app_not_nil.
Qed.
(* One element at a time. *)
Corollary streamed_by_elements {X S Y} (f : list X -> Y) (g : list X -> S) B t a x :
  streams f g B t -> t (fold_left (fun s b => B s [b]) x (g [a])) = f (a :: x).
Proof.
  intros H. transitivity (t (fold_left B (map (fun b => [b]) x) (g [a]))).
  - f_equal. generalize (g [a]). induction x; cbn; auto.
  - rewrite (streamed_loop_computes f g B t) by (auto; discriminate). cbn. do 2 f_equal.
    induction x as [|b x IH]; cbn; congruence.
Qed.

(* The size of the state is what makes streaming mean something: with the whole axis as its state
   every function is streamed.  Absent from the papers' definition. *)
Theorem everything_streams_into_itself {X Y} (f : list X -> Y) :
  streams f (fun x => x) (fun s x => s ++ x) f.
Proof. split; [intros x y _; reflexivity | reflexivity]. Qed.

(* Fusion ----------------------------------------------------------------------------------- *)

(* FlashAttention on a Napkin, Theorem 1 (Fusion, appendix A.1), in three parts. *)

(* (i) An elementwise E, weaved along the streamed axis: B'(s, x) = B(s, E x). *)
Theorem fusion_elementwise {X X' S Y} (E : X' -> X) (f : list X -> Y) (g : list X -> S) B t :
  streams f g B t ->
  streams (fun x => f (map E x)) (fun x => g (map E x)) (fun s x => B s (map E x)) t.
Proof.
  intros [A T]. split.
  - intros x y N. rewrite map_app. now apply A, map_not_nil.
  - intros x N. now apply T, map_not_nil.
Qed.

(* (ii) A function applied afterwards joins the tail. *)
Theorem fusion_composition {X S Y Z} (u : Y -> Z) (f : list X -> Y) (g : list X -> S) B t :
  streams f g B t -> streams (fun x => u (f x)) g B (fun s => u (t s)).
Proof. intros [A T]. split; [assumption|]. intros x N. now rewrite T. Qed.

(* (iii) Weaving over another axis P (Fig. 40): the accumulator is B over P.  Inputs that are weaved
   but not streamed are the dependence on p of what is weaved; first for any family over P … *)
Theorem fusion_family {P X S Y} (f : P -> list X -> Y) (g : P -> list X -> S) B t :
  (forall p, streams (f p) (g p) (B p) (t p)) ->
  streams (fun x p => f p x) (fun x p => g p x) (fun s x p => B p (s p) x) (fun s p => t p (s p)).
Proof.
  intros H. split; [intros x y N | intros x N]; apply functional_extensionality; intros p.
  - now apply (state_accumulates _ _ _ _ (H p)).
  - now apply (tail_finishes _ _ _ _ (H p)).
Qed.

(* … then as drawn: an element holds an array over P, of which slice p is taken, and a part that is
   not weaved and is broadcast to every p. *)
Definition slice {P A C} (p : P) (x : list ((P -> A) * C)) : list (A * C) :=
  map (fun e => (fst e p, snd e)) x.
Theorem fusion_weave {P A C S Y} (f : list (A * C) -> Y) (g : list (A * C) -> S) B t :
  streams f g B t ->
  streams (fun x (p : P) => f (slice p x)) (fun x p => g (slice p x))
    (fun s x p => B (s p) (slice p x)) (fun s p => t (s p)).
Proof.
  intros H. apply (fusion_family (fun p x => f (slice p x)) (fun p x => g (slice p x))
    (fun p s x => B s (slice p x)) (fun _ => t)).
  intros p. apply (fusion_elementwise (fun e => (fst e p, snd e)) _ _ _ _ H).
Qed.

(* All three at once: what the theorem says of composition and weaving together. *)
Corollary fusion {P X X' S Y Z} (E : P -> X' -> X) (u : Y -> Z) (f : list X -> Y)
    (g : list X -> S) B t :
  streams f g B t ->
  streams (fun x p => u (f (map (E p) x))) (fun x p => g (map (E p) x))
    (fun s x p => B (s p) (map (E p) x)) (fun s p => u (t (s p))).
Proof.
  intros H. apply (fusion_family (fun p x => u (f (map (E p) x))) (fun p x => g (map (E p) x))
    (fun p s x => B s (map (E p) x)) (fun _ s => u (t s))).
  intros p. now apply (fusion_composition u), fusion_elementwise.
Qed.

(* Without “elementwise” it fails: the first element streams, and the first element after a
   rotation, which mixes positions of the streamed axis, does not. *)
Definition rotate (x : list nat) : list nat := tl x ++ firstn 1 x.
Example fusion_needs_elementwise :
  (exists B, accumulates (hd 0) B) /\ ~ exists B, accumulates (fun x => hd 0 (rotate x)) B.
Proof.
  split.
  - exists (fun s _ => s). intros [|a x] y N; [tauto | reflexivity].
  - intros [B H]. pose proof (H [1] [2] ltac:(discriminate)) as H1.
    pose proof (H [3; 1] [2] ltac:(discriminate)) as H2. cbn in *. congruence.
Qed.

(* Splitting -------------------------------------------------------------------------------- *)

(* A combine for which h is a homomorphism. *)
Definition homomorphism {X Y} (op : Y -> Y -> Y) (h : list X -> Y) : Prop :=
  forall x y, h (x ++ y) = op (h x) (h y).

(* Blocks combined in the shape of any tree. *)
Inductive tree (X : Type) := Block (x : list X) | Split (l r : tree X).
Arguments Block {X}. Arguments Split {X}.
Fixpoint elements {X} (t : tree X) : list X := match t with
  | Block x => x
  | Split l r => elements l ++ elements r end.
Fixpoint combined {X Y} (op : Y -> Y -> Y) (h : list X -> Y) (t : tree X) : Y := match t with
  | Block x => h x
  | Split l r => op (combined op h l) (combined op h r) end.

Section Homomorphism.
  Context {X Y : Type} (op : Y -> Y -> Y) (h : list X -> Y).
  Hypothesis H : homomorphism op h.

  (* A homomorphism streams … *)
  Theorem homomorphism_streams : streams h h (fun s x => op s (h x)) (fun s => s).
  Proof. split; [intros x y _; symmetry; apply H | reflexivity]. Qed.

  (* … and splits: into any blocks, combined in any shape (split-K, flash-decoding).
     The papers' accumulators B do not say this: see [streams_but_does_not_split]. *)
  Theorem homomorphism_splits t : combined op h t = h (elements t).
  Proof. induction t as [x | l IHl r IHr]; cbn; [reflexivity|]. now rewrite IHl, IHr, H. Qed.
  Corollary homomorphism_blocks block blocks :
    fold_left op (map h blocks) (h block) = h (block ++ concat blocks).
  Proof.
    revert block. induction blocks as [|y blocks IH]; intros block; cbn.
    - now rewrite app_nil_r.
    - now rewrite <- H, IH, <- app_assoc.
  Qed.

  (* On what h reaches, op is associative. *)
  Lemma homomorphism_assoc x y z : op (op (h x) (h y)) (h z) = op (h x) (op (h y) (h z)).
  Proof. rewrite <- !H. now rewrite app_assoc. Qed.

  (* A commutative combine allows any order: of elements, hence of blocks (atomics). *)
  Hypothesis comm : forall a b, op a b = op b a.
  Theorem homomorphism_reorders x y : Permutation x y -> h x = h y.
  Proof.
    intros Pm. induction Pm as [| a x y _ IH | a b x | x y z _ IH1 _ IH2].
    - reflexivity.
    - change (a :: x) with ([a] ++ x). change (a :: y) with ([a] ++ y). now rewrite !H, IH.
    - change (b :: a :: x) with (([b] ++ [a]) ++ x). change (a :: b :: x) with (([a] ++ [b]) ++ x).
      rewrite !H. f_equal. apply comm.
    - congruence.
  Qed.
  Corollary homomorphism_reorders_blocks blocks blocks' :
    Permutation blocks blocks' -> h (concat blocks) = h (concat blocks').
  Proof.
    intros Pm. apply homomorphism_reorders. clear H.
    induction Pm as [| a x y _ IH | a b x | x y z _ IH1 _ IH2]; cbn.
    - constructor.
    - now apply Permutation_app_head.
    - rewrite !app_assoc. apply Permutation_app_tail, Permutation_app_comm.
    - now transitivity (concat y).
  Qed.
End Homomorphism.

(* Folds of an associative operation with a unit are homomorphisms. *)
Definition fold_of {X Y} (op : Y -> Y -> Y) (unit : Y) (e : X -> Y) (x : list X) : Y :=
  fold_left (fun s a => op s (e a)) x unit.
Theorem fold_is_homomorphism {X Y} (op : Y -> Y -> Y) unit (e : X -> Y) :
  (forall a b c, op (op a b) c = op a (op b c)) -> (forall a, op unit (e a) = op (e a) unit) ->
  (forall a b, op unit (op a b) = op a b) -> op unit unit = unit ->
  homomorphism op (fold_of op unit e).
Proof.
  intros assoc central norm unit_unit.
  assert (U : forall x, op unit (fold_of op unit e x) = fold_of op unit e x).
  { intros x. induction x as [|a x _] using rev_ind; [exact unit_unit|].
    unfold fold_of. rewrite fold_left_app. cbn. apply norm. }
  assert (V : forall x, op (fold_of op unit e x) unit = fold_of op unit e x).
  { intros x. induction x as [|a x IH] using rev_ind; [exact unit_unit|].
    unfold fold_of in *. rewrite fold_left_app. cbn. rewrite assoc, <- central, <- assoc.
    now rewrite IH. }
  intros x y. induction y as [|a y IH] using rev_ind.
  - rewrite app_nil_r. symmetry. apply V.
  - unfold fold_of in *. rewrite app_assoc, !(fold_left_app _ (_ ++ _)), (fold_left_app _ y).
    cbn. now rewrite IH, assoc.
Qed.

(* Streaming is less than splitting: s ↦ a·(s + 1), a linear recurrence, has an accumulator, and
   no operation on its results combines two halves. *)
Definition recurrence (x : list nat) : nat := fold_left (fun s a => a * (s + 1)) x 0.
Theorem streams_but_does_not_split :
  (exists B, accumulates recurrence B) /\
  ~ exists op, forall x y, x <> [] -> y <> [] ->
      recurrence (x ++ y) = op (recurrence x) (recurrence y).
Proof.
  split.
  - exists (fun s y => fold_left (fun s a => a * (s + 1)) y s). intros x y _. unfold recurrence.
    now rewrite fold_left_app.
  - intros [op H]. pose proof (H [1] [2] ltac:(discriminate) ltac:(discriminate)) as H1.
    pose proof (H [1] [0; 2] ltac:(discriminate) ltac:(discriminate)) as H2.
    cbn in H1, H2. congruence.
Qed.

(* Seeds ------------------------------------------------------------------------------------ *)

Local Open Scope R_scope.

(* FlashAttention on a Napkin, A.3.1: the dot product streams, its B is addition. *)
Definition dot (x : list (R * R)) : R := fold_right (fun e s => fst e * snd e + s) 0 x.
Lemma dot_homomorphism : homomorphism Rplus dot.
Proof. intros x y. unfold dot. induction x as [|a x IH]; cbn; [lra | rewrite IH; lra]. Qed.
Theorem dot_streams : streams dot dot (fun s x => s + dot x) (fun s => s).
Proof. apply homomorphism_streams, dot_homomorphism. Qed.
Theorem dot_any_order x y : Permutation x y -> dot x = dot y.
Proof. apply (homomorphism_reorders _ _ dot_homomorphism Rplus_comm). Qed.

(* Naive softmax along its own axis ----------------------------------------------------------- *)

Definition exponentials (x : list R) : R := fold_right (fun a s => exp a + s) 0 x.
Definition softmax_along (x : list R) : list R := map (fun a => exp a / exponentials x) x.

Lemma softmax_one a : softmax_along [a] = [1].
Proof. unfold softmax_along. cbn. f_equal. pose proof (exp_pos a). field. lra. Qed.

(* Earlier entries change as the axis grows, so softmax is not streamed by append, whatever is
   appended and whatever it may depend on … *)
Theorem softmax_does_not_append :
  ~ exists B : list R -> list R -> list R,
      forall x y, x <> [] -> softmax_along (x ++ y) = softmax_along x ++ B x y.
Proof.
  intros [B H]. specialize (H [0] [0] ltac:(discriminate)). rewrite softmax_one in H.
  unfold softmax_along in H. cbn in H. injection H as H _. pose proof (exp_pos 0) as E.
  assert (exp 0 / (exp 0 + (exp 0 + 0)) = 1 / 2) by (field; lra). lra.
Qed.
(* … and no accumulator keeps it at all: from the softmax of the past, the next is unknown.
   FlashAttention on a Napkin: streaming a bare SoftMax is to be refused. *)
Theorem softmax_does_not_stream : ~ exists B, accumulates softmax_along B.
Proof.
  intros [B H].
  pose proof (H [0] [0] ltac:(discriminate)) as H0.
  pose proof (H [1] [0] ltac:(discriminate)) as H1.
  rewrite softmax_one in H0, H1. rewrite H0 in H1. unfold softmax_along in H1. cbn in H1.
  injection H1 as H1 _. revert H1.
  pose proof (exp_pos 0) as E0. pose proof (exp_increasing 0 1 ltac:(lra)) as E1.
  rewrite exp_0 in *.
  replace (1 / (1 + (1 + 0))) with (1 / 2) by field.
  assert (1 / 2 < exp 1 / (exp 1 + (1 + 0))); [|lra].
  apply (Rmult_lt_reg_r (exp 1 + (1 + 0))); [lra|].
  replace (exp 1 / (exp 1 + (1 + 0)) * (exp 1 + (1 + 0))) with (exp 1) by (field; lra). lra.
Qed.
