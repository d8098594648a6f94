(** * Strides: the category St of axes and affine maps

    An object of St is a list of sizes, one for each axis.  A morphism eta : P -> Q gives each axis
    of Q as an affine expression in the indices of P,

        eta(i)_j  =  offset_j + sum_k stride_jk * i_k.

    Strides and offsets are sizes.  Sizes are polynomials, and all that is used of them is that they
    form a commutative ring; so the laws below are stated over any commutative ring, for the maps
    themselves and not only for their values.  Giving numbers to the size variables is a
    homomorphism into the integers; it preserves composition and product (section 6).  Over the
    integers, a map is in range when it sends every index of its domain into its codomain
    (section 7).

    The Python counterpart is [ncd_formal/strides.py].

    Source: Weaves, Wires, and Morphisms (arXiv 2604.07242), the axis-stride category St
    (definition 8 of version 2), with strides that may be negative. *)

From Coq Require Import List Arith Lia ZArith Ring.
Import ListNotations.

(** ** 1. Rings of sizes *)

Record commutative_ring := {
  carrier :> Type;
  zero : carrier;
  one : carrier;
  add : carrier -> carrier -> carrier;
  mul : carrier -> carrier -> carrier;
  sub : carrier -> carrier -> carrier;
  opp : carrier -> carrier;
  ring_laws : ring_theory zero one add mul sub opp (@eq carrier)
}.
Arguments zero {_}.
Arguments one {_}.
Arguments add {_}.
Arguments mul {_}.
Arguments sub {_}.
Arguments opp {_}.

Definition integers : commutative_ring :=
  {| carrier := Z; zero := 0%Z; one := 1%Z; add := Z.add; mul := Z.mul; sub := Z.sub;
     opp := Z.opp; ring_laws := Zth |}.
Arguments carrier : simpl never.

Declare Scope size_scope.
Delimit Scope size_scope with size.
Notation "0" := zero : size_scope.
Notation "1" := one : size_scope.
Infix "+" := add : size_scope.
Infix "*" := mul : size_scope.

(** A list is determined by its length and its entries. *)
Lemma list_ext {X} (d : X) (a b : list X) :
  length a = length b -> (forall k, k < length a -> nth k a d = nth k b d) -> a = b.
Proof. intros. now apply (nth_ext a b d d). Qed.

(** Reading [x] out of a longer list by the numbers of its entries. *)
Lemma map_nth_seq {X} (d : X) (a x b : list X) :
  map (fun k => nth k (a ++ x ++ b) d) (seq (length a) (length x)) = x.
Proof.
  revert a. induction x as [|x0 x IH]; intros a; [reflexivity|]. simpl. f_equal.
  - rewrite app_nth2 by lia. now rewrite Nat.sub_diag.
  - replace (a ++ x0 :: x ++ b) with ((a ++ [x0]) ++ x ++ b) by now rewrite <- app_assoc.
    replace (S (length a)) with (length (a ++ [x0])) by (rewrite app_length; simpl; lia).
    apply IH.
Qed.

(** A list as long as two lists together is one list after the other. *)
Lemma split_list {X} (x : list X) (n m : nat) :
  length x = n + m -> exists a b, x = a ++ b /\ length a = n /\ length b = m.
Proof.
  intros H. exists (firstn n x), (skipn n x). rewrite firstn_skipn, firstn_length, skipn_length.
  repeat split; lia.
Qed.

Section Affine.
Context {R : commutative_ring}.
Local Open Scope size_scope.
Add Ring ring_of_sizes : (ring_laws R).

(** ** 2. Affine maps and their values *)

(** A row is one affine expression: it gives one axis of the codomain. *)
Record row := { offset : R; strides : list R }.

Record affine := { domain : list R; codomain : list R; rows : list row }.

(** One row for each axis of the codomain, in it one stride for each axis of the domain. *)
Definition well_formed (f : affine) : Prop :=
  length (rows f) = length (codomain f) /\
  Forall (fun r => length (strides r) = length (domain f)) (rows f).

Fixpoint dot (c x : list R) : R :=
  match c, x with
  | c0 :: c', x0 :: x' => c0 * x0 + dot c' x'
  | _, _ => 0
  end.

Definition eval_row (r : row) (x : list R) : R := offset r + dot (strides r) x.

(** The indices in the codomain of an index in the domain. *)
Definition eval (f : affine) (x : list R) : list R := map (fun r => eval_row r x) (rows f).

Lemma eval_length f x : well_formed f -> length (eval f x) = length (codomain f).
Proof. intros [H _]. unfold eval. now rewrite map_length. Qed.

(** ** 3. An affine map is determined by its values

    Its value at the origin gives the offsets, and the further values at the unit points give the
    strides.  Every law of composition and product below therefore follows from the same law of
    functions. *)

Definition zeros (n : nat) : list R := repeat 0 n.

Fixpoint unit_point (n k : nat) : list R :=
  match n, k with
  | O, _ => []
  | S n', O => 1 :: zeros n'
  | S n', S k' => 0 :: unit_point n' k'
  end.

Lemma zeros_length n : length (zeros n) = n.
Proof. apply repeat_length. Qed.

Lemma unit_point_length n k : length (unit_point n k) = n.
Proof.
  revert k. induction n; intros [|k]; simpl; try rewrite zeros_length; auto.
Qed.

Lemma dot_zeros_right c n : dot c (zeros n) = 0.
Proof.
  revert n. induction c as [|c0 c IH]; intros [|n]; simpl; try ring.
  fold (zeros n). rewrite IH. ring.
Qed.

Lemma dot_zeros_left n x : dot (zeros n) x = 0.
Proof.
  revert x. induction n as [|n IH]; intros [|x0 x]; simpl; try ring.
  fold (zeros n). rewrite IH. ring.
Qed.

Lemma dot_unit_right c n k : length c = n -> dot c (unit_point n k) = nth k c 0.
Proof.
  revert n k. induction c as [|c0 c IH]; intros [|n] [|k] H; simpl in *; try discriminate; try ring.
  - rewrite dot_zeros_right. ring.
  - rewrite IH by lia. ring.
Qed.

Lemma dot_unit_left x n k : length x = n -> dot (unit_point n k) x = nth k x 0.
Proof.
  revert n k. induction x as [|x0 x IH]; intros [|n] [|k] H; simpl in *; try discriminate; try ring.
  - rewrite dot_zeros_left. ring.
  - rewrite IH by lia. ring.
Qed.

Lemma row_determined n (r s : row) :
  length (strides r) = n -> length (strides s) = n ->
  eval_row r (zeros n) = eval_row s (zeros n) ->
  (forall k, k < n -> eval_row r (unit_point n k) = eval_row s (unit_point n k)) ->
  r = s.
Proof.
  destruct r as [o c], s as [o' c']. unfold eval_row. simpl. intros Hc Hc' H0 H1.
  rewrite !dot_zeros_right in H0.
  assert (o = o') as <- by (transitivity (o + 0); [ring|]; rewrite H0; ring).
  f_equal. apply (list_ext 0); [congruence|]. intros k Hk.
  specialize (H1 k ltac:(lia)). rewrite !dot_unit_right in H1 by assumption.
  transitivity ((o + nth k c 0) + opp o); [ring|]. rewrite H1. ring.
Qed.

(** An affine map is determined by its values at the origin and at the unit points. *)
Theorem affine_determined (f g : affine) :
  well_formed f -> well_formed g -> domain f = domain g -> codomain f = codomain g ->
  eval f (zeros (length (domain f))) = eval g (zeros (length (domain f))) ->
  (forall k, k < length (domain f) ->
    eval f (unit_point (length (domain f)) k) = eval g (unit_point (length (domain f)) k)) ->
  f = g.
Proof.
  destruct f as [P Q rs], g as [P' Q' ss]. intros [Lr Wr] [Ls Ws]. unfold eval. simpl in *.
  intros <- <- H0 H1. f_equal. clear Q Lr Ls.
  revert ss Ws H0 H1. induction rs as [|r rs IH]; intros [|s ss] Ws H0 H1; simpl in *;
    try discriminate; [reflexivity|].
  apply Forall_cons_iff in Wr as [Hr Wr]. apply Forall_cons_iff in Ws as [Hs Ws].
  injection H0 as H00 H01. f_equal.
  - apply (row_determined (length P)); auto. intros k Hk. now injection (H1 k Hk).
  - apply IH; auto. intros k Hk. now injection (H1 k Hk).
Qed.

(** Evaluation is faithful: maps with the same values are the same map. *)
Corollary eval_faithful (f g : affine) :
  well_formed f -> well_formed g -> domain f = domain g -> codomain f = codomain g ->
  (forall x, length x = length (domain f) -> eval f x = eval g x) -> f = g.
Proof.
  intros Wf Wg D C H. apply affine_determined; auto; intros; apply H.
  - apply zeros_length.
  - apply unit_point_length.
Qed.

(** ** 4. The category: identity and composition

    A selection gives each axis of its codomain as one axis of its domain.  The identity selects
    every axis once, in order. *)

Definition pick (n k : nat) : row := {| offset := 0; strides := unit_point n k |}.

Definition selection (P : list R) (sources : list nat) : affine :=
  {| domain := P;
     codomain := map (fun k => nth k P 0) sources;
     rows := map (pick (length P)) sources |}.

Definition identity (P : list R) : affine :=
  {| domain := P; codomain := P; rows := map (pick (length P)) (seq 0 (length P)) |}.

Fixpoint add_strides (a b : list R) : list R :=
  match a, b with
  | a0 :: a', b0 :: b' => a0 + b0 :: add_strides a' b'
  | _, _ => []
  end.

(** The sum of the rows of strides [vs], each multiplied by its coefficient. *)
Fixpoint combination (n : nat) (cs : list R) (vs : list (list R)) : list R :=
  match cs, vs with
  | c :: cs', v :: vs' => add_strides (map (mul c) v) (combination n cs' vs')
  | _, _ => zeros n
  end.

(** The rows [fs], in [n] indices, substituted for the indices of [r]. *)
Definition substitute (n : nat) (fs : list row) (r : row) : row :=
  {| offset := offset r + dot (strides r) (map offset fs);
     strides := combination n (strides r) (map strides fs) |}.

(** First [f], then [g]. *)
Definition compose (f g : affine) : affine :=
  {| domain := domain f;
     codomain := codomain g;
     rows := map (substitute (length (domain f)) (rows f)) (rows g) |}.

Lemma selection_well_formed P sources : well_formed (selection P sources).
Proof.
  split; simpl; [now rewrite !map_length|]. apply Forall_map, Forall_forall. intros k _.
  apply unit_point_length.
Qed.

Lemma identity_well_formed P : well_formed (identity P).
Proof.
  split; simpl; [now rewrite map_length, seq_length|]. apply Forall_map, Forall_forall.
  intros k _. apply unit_point_length.
Qed.

Lemma add_strides_length a b : length a = length b -> length (add_strides a b) = length b.
Proof.
  revert b. induction a as [|a0 a IH]; intros [|b0 b] H; simpl in *; try discriminate; auto.
Qed.

Lemma combination_length n cs vs :
  Forall (fun v => length v = n) vs -> length (combination n cs vs) = n.
Proof.
  intros H. revert cs. induction H as [|v vs Hv _ IH]; intros [|c cs]; simpl;
    try apply zeros_length.
  rewrite add_strides_length; rewrite ?map_length, IH; auto.
Qed.

Lemma compose_well_formed f g : well_formed f -> well_formed g -> well_formed (compose f g).
Proof.
  intros [_ Wf] [Lg _]. split; simpl; [now rewrite map_length|].
  apply Forall_map, Forall_forall. intros r _. apply combination_length. now apply Forall_map.
Qed.

Lemma dot_add a b x : length a = length b -> dot (add_strides a b) x = dot a x + dot b x.
Proof.
  revert b x. induction a as [|a0 a IH]; intros [|b0 b] [|x0 x] H; simpl in *;
    try discriminate; try ring. rewrite IH by lia. ring.
Qed.

Lemma dot_scale c a x : dot (map (mul c) a) x = c * dot a x.
Proof. revert x. induction a as [|a0 a IH]; intros [|x0 x]; simpl; try rewrite IH; ring. Qed.

Lemma dot_combination n cs vs x :
  Forall (fun v => length v = n) vs ->
  dot (combination n cs vs) x = dot cs (map (fun v => dot v x) vs).
Proof.
  intros H. revert cs. induction H as [|v vs Hv Hvs IH]; intros [|c cs]; simpl;
    try apply dot_zeros_left.
  rewrite dot_add, dot_scale, IH; [reflexivity|].
  rewrite map_length, combination_length; auto.
Qed.

Lemma dot_rows cs fs x :
  dot cs (map (fun f => eval_row f x) fs) =
  dot cs (map offset fs) + dot cs (map (fun f => dot (strides f) x) fs).
Proof.
  revert cs. induction fs as [|f fs IH]; intros [|c cs]; simpl; try ring.
  rewrite IH. unfold eval_row. ring.
Qed.

Lemma substitute_eval n fs r x :
  Forall (fun f => length (strides f) = n) fs ->
  eval_row (substitute n fs r) x = eval_row r (map (fun f => eval_row f x) fs).
Proof.
  intros H. unfold eval_row at 1 2. simpl.
  rewrite dot_combination, map_map, dot_rows by now apply Forall_map. ring.
Qed.

(** Evaluation is a functor from St to functions on index tuples: it sends composition, which is
    substitution of affine expressions, to composition.  (Definition of St.) *)
Theorem eval_compose f g x : well_formed f -> eval (compose f g) x = eval g (eval f x).
Proof.
  intros [_ Wf]. unfold eval at 1 2. simpl. rewrite map_map. apply map_ext. intros r.
  now apply substitute_eval.
Qed.

Lemma pick_eval n k x : length x = n -> eval_row (pick n k) x = nth k x 0.
Proof. intros H. unfold eval_row. simpl. rewrite dot_unit_left by assumption. ring. Qed.

Theorem eval_selection P sources x :
  length x = length P -> eval (selection P sources) x = map (fun k => nth k x 0) sources.
Proof.
  intros H. unfold eval. simpl. rewrite map_map. apply map_ext. intros k. now apply pick_eval.
Qed.

(** ... and identities to identities. *)
Theorem eval_identity P x : length x = length P -> eval (identity P) x = x.
Proof.
  intros H. unfold eval. simpl. rewrite map_map, <- H.
  transitivity (map (fun k => nth k ([] ++ x ++ []) 0) (seq 0 (length x)));
    [|apply (map_nth_seq 0 [])].
  apply map_ext. intros k. simpl. rewrite app_nil_r. now apply pick_eval.
Qed.

(** The identity is the selection of every axis in order. *)
Lemma identity_selection P : identity P = selection P (seq 0 (length P)).
Proof.
  unfold identity, selection. f_equal. symmetry.
  transitivity (map (fun k => nth k ([] ++ P ++ []) 0) (seq 0 (length P)));
    [|apply (map_nth_seq 0 [])].
  apply map_ext. intros k. simpl. now rewrite app_nil_r.
Qed.

(** id ; f = f. *)
Theorem compose_identity_left f : well_formed f -> compose (identity (domain f)) f = f.
Proof.
  intros W. apply eval_faithful; auto using compose_well_formed, identity_well_formed.
  simpl. intros x H. now rewrite eval_compose, eval_identity by auto using identity_well_formed.
Qed.

(** f ; id = f. *)
Theorem compose_identity_right f : well_formed f -> compose f (identity (codomain f)) = f.
Proof.
  intros W. apply eval_faithful; auto using compose_well_formed, identity_well_formed.
  intros x _. rewrite eval_compose by assumption. apply eval_identity. now apply eval_length.
Qed.

(** (f ; g) ; h = f ; (g ; h). *)
Theorem compose_assoc f g h :
  well_formed f -> well_formed g -> well_formed h ->
  compose (compose f g) h = compose f (compose g h).
Proof.
  intros Wf Wg Wh. apply eval_faithful; auto using compose_well_formed.
  intros x _. now rewrite !eval_compose by auto using compose_well_formed.
Qed.

(** ** 5. The product: maps side by side

    St is a strict symmetric monoidal category, and its product is cartesian: every selection of
    axes is natural.  (Weaves, Wires, and Morphisms, definitions 5 and 6: a monoidal product
    category and its rearrangements.) *)

Definition tensor (f g : affine) : affine :=
  {| domain := domain f ++ domain g;
     codomain := codomain f ++ codomain g;
     rows :=
       map (fun r => {| offset := offset r;
                        strides := strides r ++ zeros (length (domain g)) |}) (rows f) ++
       map (fun r => {| offset := offset r;
                        strides := zeros (length (domain f)) ++ strides r |}) (rows g) |}.

Lemma tensor_well_formed f g : well_formed f -> well_formed g -> well_formed (tensor f g).
Proof.
  intros [Lf Wf] [Lg Wg]. split; simpl.
  - rewrite !app_length, !map_length. congruence.
  - apply Forall_app. split; apply Forall_map; simpl;
      [revert Wf|revert Wg]; apply Forall_impl; intros r Hr;
      rewrite !app_length, zeros_length; congruence.
Qed.

Lemma dot_app c d x y : length c = length x -> dot (c ++ d) (x ++ y) = dot c x + dot d y.
Proof.
  revert x. induction c as [|c0 c IH]; intros [|x0 x] H; simpl in *; try discriminate; try ring.
  rewrite IH by lia. ring.
Qed.

(** The value of a product is the pair of the values. *)
Theorem eval_tensor f g x y :
  well_formed f -> length x = length (domain f) ->
  eval (tensor f g) (x ++ y) = eval f x ++ eval g y.
Proof.
  intros [_ Wf] Hx. unfold eval. simpl. rewrite map_app, !map_map. f_equal.
  - apply map_ext_Forall. revert Wf. apply Forall_impl. intros r Hr. unfold eval_row. simpl.
    rewrite dot_app by congruence. rewrite dot_zeros_left. ring.
  - apply map_ext. intros r. unfold eval_row. simpl.
    rewrite dot_app by now rewrite zeros_length. rewrite dot_zeros_left. ring.
Qed.

(** Interchange: (f x g) ; (h x k) = (f ; h) x (g ; k). *)
Theorem tensor_compose f g h k :
  well_formed f -> well_formed g -> well_formed h -> well_formed k ->
  codomain f = domain h -> codomain g = domain k ->
  compose (tensor f g) (tensor h k) = tensor (compose f h) (compose g k).
Proof.
  intros Wf Wg Wh Wk E _.
  apply eval_faithful; auto using compose_well_formed, tensor_well_formed.
  simpl. intros x Hx. rewrite app_length in Hx.
  destruct (split_list x _ _ Hx) as (a & b & -> & Ha & Hb).
  rewrite eval_compose by auto using tensor_well_formed.
  rewrite !eval_tensor, !eval_compose; auto using compose_well_formed.
  rewrite eval_length by assumption. congruence.
Qed.

(** id x id = id. *)
Theorem tensor_identity P Q : tensor (identity P) (identity Q) = identity (P ++ Q).
Proof.
  apply eval_faithful; auto using tensor_well_formed, identity_well_formed.
  simpl. intros x Hx. pose proof Hx as Hx'. rewrite app_length in Hx'.
  destruct (split_list x _ _ Hx') as (a & b & -> & Ha & Hb).
  now rewrite eval_tensor, !eval_identity by auto using identity_well_formed.
Qed.

(** (f x g) x h = f x (g x h). *)
Theorem tensor_assoc f g h :
  well_formed f -> well_formed g -> well_formed h ->
  tensor (tensor f g) h = tensor f (tensor g h).
Proof.
  intros Wf Wg Wh. apply eval_faithful; auto using tensor_well_formed;
    simpl; try now rewrite app_assoc.
  intros x Hx. rewrite app_length in Hx.
  destruct (split_list x _ _ Hx) as (ab & c & -> & Hab & Hc). rewrite app_length in Hab.
  destruct (split_list ab _ _ Hab) as (a & b & -> & Ha & Hb).
  rewrite eval_tensor by (auto using tensor_well_formed; simpl; now rewrite !app_length; lia).
  rewrite <- app_assoc, !eval_tensor, <- app_assoc; auto.
Qed.

(** The unit is the identity of no axes. *)
Theorem tensor_unit_left f : well_formed f -> tensor (identity []) f = f.
Proof.
  intros W. apply eval_faithful; auto using tensor_well_formed, identity_well_formed.
  intros x _. change x with ([] ++ x) at 1.
  now rewrite eval_tensor by auto using identity_well_formed.
Qed.

Theorem tensor_unit_right f : well_formed f -> tensor f (identity []) = f.
Proof.
  intros W. apply eval_faithful; auto using tensor_well_formed, identity_well_formed;
    simpl; rewrite ?app_nil_r; auto.
  intros x Hx. rewrite <- (app_nil_r x) at 1. rewrite eval_tensor by auto. apply app_nil_r.
Qed.

(** Exchanging two groups of axes. *)
Definition swap (P Q : list R) : affine :=
  {| domain := P ++ Q;
     codomain := Q ++ P;
     rows := map (pick (length (P ++ Q))) (seq (length P) (length Q) ++ seq 0 (length P)) |}.

Lemma swap_well_formed P Q : well_formed (swap P Q).
Proof.
  split; simpl; [now rewrite map_length, !app_length, !seq_length|].
  apply Forall_map, Forall_forall. intros k _. apply unit_point_length.
Qed.

Theorem eval_swap P Q x y :
  length x = length P -> length y = length Q -> eval (swap P Q) (x ++ y) = y ++ x.
Proof.
  intros Hx Hy. unfold eval. simpl. rewrite map_map.
  rewrite (map_ext _ (fun k => nth k (x ++ y) 0))
    by (intros k; apply pick_eval; rewrite !app_length; congruence).
  rewrite map_app, <- Hx, <- Hy. f_equal.
  - rewrite <- (map_nth_seq 0 x y []) at 2. now rewrite app_nil_r.
  - apply (map_nth_seq 0 []).
Qed.

(** Symmetry is natural: (f x g) ; swap = swap ; (g x f). *)
Theorem swap_natural f g :
  well_formed f -> well_formed g ->
  compose (tensor f g) (swap (codomain f) (codomain g)) =
  compose (swap (domain f) (domain g)) (tensor g f).
Proof.
  intros Wf Wg.
  apply eval_faithful; auto using compose_well_formed, tensor_well_formed, swap_well_formed.
  simpl. intros x Hx. rewrite app_length in Hx.
  destruct (split_list x _ _ Hx) as (a & b & -> & Ha & Hb).
  rewrite !eval_compose, eval_tensor, !eval_swap, eval_tensor;
    auto using tensor_well_formed, swap_well_formed, eval_length.
Qed.

(** swap ; swap = id. *)
Theorem swap_swap P Q : compose (swap P Q) (swap Q P) = identity (P ++ Q).
Proof.
  apply eval_faithful; auto using compose_well_formed, swap_well_formed, identity_well_formed.
  simpl. intros x Hx. pose proof Hx as Hx'. rewrite app_length in Hx'.
  destruct (split_list x _ _ Hx') as (a & b & -> & Ha & Hb).
  rewrite eval_compose, eval_swap, eval_swap, eval_identity; auto using swap_well_formed.
Qed.

(** The hexagon: exchanging P with Q and S is exchanging it with Q, then with S. *)
Theorem swap_hexagon P Q S :
  swap P (Q ++ S) =
  compose (tensor (swap P Q) (identity S)) (tensor (identity Q) (swap P S)).
Proof.
  apply eval_faithful; simpl; rewrite <- ?app_assoc;
    auto using compose_well_formed, tensor_well_formed, swap_well_formed, identity_well_formed.
  intros x Hx. rewrite !app_length in Hx.
  destruct (split_list x _ _ Hx) as (a & bc & -> & Ha & Hbc).
  destruct (split_list bc _ _ Hbc) as (b & c & -> & Hb & Hc).
  rewrite eval_swap by (rewrite ?app_length; auto).
  rewrite eval_compose by auto using tensor_well_formed, swap_well_formed, identity_well_formed.
  rewrite (app_assoc a).
  rewrite eval_tensor by (auto using swap_well_formed; simpl; rewrite !app_length; auto).
  rewrite eval_swap, eval_identity, <- !app_assoc by auto.
  rewrite eval_tensor, eval_identity, eval_swap by auto using identity_well_formed.
  reflexivity.
Qed.

(** Copying the axes (a diagonal), and deleting them (a repetition). *)
Definition duplication (P : list R) : affine :=
  {| domain := P; codomain := P ++ P; rows := rows (identity P) ++ rows (identity P) |}.

Definition deletion (P : list R) : affine := {| domain := P; codomain := []; rows := [] |}.

Lemma duplication_well_formed P : well_formed (duplication P).
Proof.
  destruct (identity_well_formed P) as [L W]. split; simpl in *.
  - rewrite !app_length. congruence.
  - now apply Forall_app.
Qed.

Lemma deletion_well_formed P : well_formed (deletion P).
Proof. split; [reflexivity|constructor]. Qed.

Theorem eval_duplication P x : length x = length P -> eval (duplication P) x = x ++ x.
Proof.
  intros H. unfold eval. simpl. rewrite map_app. f_equal; now apply (eval_identity P).
Qed.

(** Copying and deleting are natural for all of St. *)
Theorem duplication_natural f :
  well_formed f ->
  compose f (duplication (codomain f)) = compose (duplication (domain f)) (tensor f f).
Proof.
  intros W. apply eval_faithful;
    auto using compose_well_formed, duplication_well_formed, tensor_well_formed.
  simpl. intros x Hx.
  rewrite !eval_compose, !eval_duplication, eval_tensor;
    auto using duplication_well_formed, eval_length.
Qed.

Theorem deletion_natural f : compose f (deletion (codomain f)) = deletion (domain f).
Proof. reflexivity. Qed.

End Affine.
Arguments row : clear implicits.
Arguments affine : clear implicits.

(** ** 6. Numbers for size variables

    A homomorphism of rings, such as the evaluation of polynomials at numbers, acts on maps by
    acting on all their strides and offsets.  It is a functor and preserves products. *)

Section Valuation.
Context {R S : commutative_ring} (phi : R -> S).
Context (phi_zero : phi zero = zero) (phi_one : phi one = one).
Context (phi_add : forall a b, phi (add a b) = add (phi a) (phi b)).
Context (phi_mul : forall a b, phi (mul a b) = mul (phi a) (phi b)).

Definition value_row (r : row R) : row S :=
  {| offset := phi (offset r); strides := map phi (strides r) |}.

Definition value (f : affine R) : affine S :=
  {| domain := map phi (domain f);
     codomain := map phi (codomain f);
     rows := map value_row (rows f) |}.

Lemma value_dot c x : phi (dot c x) = dot (map phi c) (map phi x).
Proof.
  revert x. induction c as [|c0 c IH]; intros [|x0 x]; simpl; auto.
  now rewrite phi_add, phi_mul, IH.
Qed.

(** The value of a map at the value of an index is the value of its image. *)
Theorem value_eval f x : map phi (eval f x) = eval (value f) (map phi x).
Proof.
  unfold eval. simpl. rewrite !map_map. apply map_ext. intros r. unfold eval_row. simpl.
  now rewrite phi_add, value_dot.
Qed.

Lemma value_zeros n : map phi (zeros n) = zeros n.
Proof. unfold zeros. induction n as [|n IH]; simpl; [reflexivity|now rewrite phi_zero, IH]. Qed.

Lemma value_unit_point n k : map phi (unit_point n k) = unit_point n k.
Proof.
  revert k. induction n as [|n IH]; intros [|k]; simpl; auto.
  - now rewrite phi_one, value_zeros.
  - now rewrite phi_zero, IH.
Qed.

Lemma value_pick n k : value_row (pick n k) = pick n k.
Proof. unfold value_row, pick. simpl. now rewrite phi_zero, value_unit_point. Qed.

Theorem value_identity P : value (identity P) = identity (map phi P).
Proof.
  unfold value, identity. simpl. rewrite map_map, map_length. f_equal.
  apply map_ext. intros k. apply value_pick.
Qed.

Lemma value_add_strides a b :
  map phi (add_strides a b) = add_strides (map phi a) (map phi b).
Proof.
  revert b. induction a as [|a0 a IH]; intros [|b0 b]; simpl; auto. now rewrite phi_add, IH.
Qed.

Lemma value_combination n cs vs :
  map phi (combination n cs vs) = combination n (map phi cs) (map (map phi) vs).
Proof.
  revert vs. induction cs as [|c cs IH]; intros [|v vs]; simpl; auto using value_zeros.
  rewrite value_add_strides, IH, !map_map. f_equal. apply map_ext. intros a. apply phi_mul.
Qed.

Theorem value_compose f g : value (compose f g) = compose (value f) (value g).
Proof.
  unfold value, compose. simpl. f_equal. rewrite !map_map, map_length. apply map_ext. intros r.
  unfold value_row, substitute. simpl.
  rewrite phi_add, value_dot, value_combination, !map_map. reflexivity.
Qed.

Theorem value_tensor f g : value (tensor f g) = tensor (value f) (value g).
Proof.
  unfold value, tensor. simpl. rewrite !map_app, !map_map, !map_length. f_equal.
  f_equal; apply map_ext; intros r; unfold value_row; simpl;
    now rewrite map_app, value_zeros.
Qed.

End Valuation.

(** ** 7. Ranges

    Over the integers, the indices of a shape are the tuples between zero and its sizes.  That the
    image of a map lies inside its codomain is a condition, which all that builds maps keeps. *)

Local Open Scope Z_scope.

Definition shape := list integers.
Definition index := list integers.
Definition stride_map := affine integers.

Definition inside (P : shape) (i : index) : Prop := Forall2 (fun n k : integers => 0 <= k < n) P i.

Definition in_range (f : stride_map) : Prop :=
  forall i, inside (domain f) i -> inside (codomain f) (eval f i).

Lemma inside_length P i : inside P i -> length i = length P.
Proof. intros H. induction H; simpl; auto. Qed.

Lemma inside_app P Q i j : inside P i -> inside Q j -> inside (P ++ Q) (i ++ j).
Proof. apply Forall2_app. Qed.

Lemma inside_split P Q i :
  inside (P ++ Q) i -> exists p q, i = p ++ q /\ inside P p /\ inside Q q.
Proof.
  intros H. apply Forall2_app_inv_l in H as (p & q & Hp & Hq & ->). now exists p, q.
Qed.

(** The image of a map lies inside its codomain (definition of St): identities and composites. *)
Theorem in_range_identity P : in_range (identity (R := integers) P).
Proof. intros i H. rewrite eval_identity; auto. now apply inside_length in H. Qed.

Theorem in_range_compose (f g : stride_map) :
  well_formed f -> codomain f = domain g -> in_range f -> in_range g -> in_range (compose f g).
Proof.
  intros W E Hf Hg i H. rewrite eval_compose by assumption. apply Hg. simpl. rewrite <- E.
  now apply Hf.
Qed.

(** ... and products, exchanges, copies and deletions. *)
Theorem in_range_tensor (f g : stride_map) :
  well_formed f -> in_range f -> in_range g -> in_range (tensor f g).
Proof.
  intros W Hf Hg i H. apply inside_split in H as (p & q & -> & Hp & Hq).
  rewrite eval_tensor; auto using inside_length. apply inside_app; auto.
Qed.

Theorem in_range_swap P Q : in_range (swap (R := integers) P Q).
Proof.
  intros i H. apply inside_split in H as (p & q & -> & Hp & Hq).
  rewrite eval_swap; auto using inside_length. now apply inside_app.
Qed.

Theorem in_range_duplication P : in_range (duplication (R := integers) P).
Proof.
  intros i H. rewrite eval_duplication; auto using inside_length. now apply inside_app.
Qed.

Theorem in_range_deletion P : in_range (deletion (R := integers) P).
Proof. intros i _. constructor. Qed.

(** Where every axis has at least two indices, the origin and the unit points are indices, and so
    a map is determined by its values in range.  An axis of size one leaves its stride free. *)
Theorem determined_in_range (f g : stride_map) :
  well_formed f -> well_formed g -> domain f = domain g -> codomain f = codomain g ->
  Forall (fun n : integers => 2 <= n) (domain f) ->
  (forall i, inside (domain f) i -> eval f i = eval g i) -> f = g.
Proof.
  intros Wf Wg D C H2 H.
  assert (Origin : forall P, Forall (fun n : integers => 2 <= n) P ->
            inside P (zeros (R := integers) (length P))).
  { intros P HP. induction HP; simpl; constructor; auto. simpl. lia. }
  apply affine_determined; auto.
  intros k _. apply H. clear - H2 Origin.
  revert k. induction H2 as [|n P Hn HP IH]; intros [|k]; simpl; constructor; simpl; try lia;
    [now apply Origin|apply IH].
Qed.

(** A row-major split: i * r + j runs once over b * r, which is what flattening reads. *)
Theorem inside_flatten b r i j : inside [b; r] [i; j] -> inside [b * r] [i * r + j].
Proof.
  intros H. inversion_clear H as [|? ? ? ? Hi H']. inversion_clear H' as [|? ? ? ? Hj _].
  repeat constructor; nia.
Qed.
