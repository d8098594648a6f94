(* The conditions of laws, decided on tables of nodes.

   Everything that a certificate claims is computed again here: facts, free axes, ranges, the
   splits of axes, and terms that are substitutions of others, which it shows node by node. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals ZArith BinNums PArith List Bool Lia FMapPositive
  FunctionalExtensionality.
From Ncd Require Import Folds Monoids Sizes Contexts Wires Facts Laws Nodes.
Import ListNotations.
Local Open Scope Z_scope.
Local Arguments Z.add : simpl never.
Local Arguments Z.mul : simpl never.

(* Equality of operators --------------------------------------------------------------------- *)

Fixpoint monoid_eqb (m n : monoid) : bool := match m, n with
  | Sum, Sum | Product, Product | Max, Max | Min, Min | All, All | Any, Any
  | RescaledSum, RescaledSum => true
  | Both a b, Both c d => monoid_eqb a c && monoid_eqb b d
  | _, _ => false end.
Fixpoint list_eqb {A} (eqb : A -> A -> bool) (l k : list A) : bool := match l, k with
  | [], [] => true
  | a :: l, b :: k => eqb a b && list_eqb eqb l k
  | _, _ => false end.
Definition rational_eqb (p q : Q) : bool := (Qnum p =? Qnum q) && Pos.eqb (Qden p) (Qden q).

(* The same operator, with indices related in some way. *)
Definition operator_matches (related : index -> index -> bool) (o p : operator) : bool :=
  match o, p with
  | Input x is, Input y js => Pos.eqb x y && list_eqb related is js
  | Constant p, Constant q => rational_eqb p q
  | Index e, Index f | Predicate e, Predicate f => related e f
  | Function f, Function g => Pos.eqb f g
  | Reduce m x, Reduce n y => monoid_eqb m n && Pos.eqb x y
  | Opaque f bound is, Opaque g bound' js =>
      Pos.eqb f g && list_eqb Pos.eqb bound bound' && list_eqb related is js
  | NegativeInfinity, NegativeInfinity | Undefined, Undefined | Add, Add | Mul, Mul
  | Inverse, Inverse | Maximum, Maximum | Minimum, Minimum | Exp, Exp | Log, Log | Sqrt, Sqrt
  | Abs, Abs | Tanh, Tanh | Erf, Erf | Sin, Sin | Cos, Cos | Rescale, Rescale
  | Less, Less | Equal, Equal | Not, Not | And, And | Or, Or
  | Select, Select | Tuple, Tuple | First, First | Second, Second => true
  | _, _ => false end.
Definition operator_eqb := operator_matches index_eqb.

Lemma monoid_eqb_eq m : forall n, monoid_eqb m n = true -> m = n.
Proof.
  induction m; intros []; cbn; try discriminate; auto. rewrite andb_true_iff. intros [H1 H2].
  f_equal; auto.
Qed.
Lemma list_eqb_eq {A} (eqb : A -> A -> bool) l : (forall a b, eqb a b = true -> a = b) ->
  forall k, list_eqb eqb l k = true -> l = k.
Proof.
  intros H. induction l as [|a l IH]; intros [|b k]; cbn; try discriminate; auto.
  rewrite andb_true_iff. intros [H1 H2]. f_equal; auto.
Qed.
Lemma rational_eqb_eq p q : rational_eqb p q = true -> p = q.
Proof.
  destruct p, q. unfold rational_eqb. cbn. rewrite andb_true_iff, Z.eqb_eq, Pos.eqb_eq.
  intros [-> ->]. reflexivity.
Qed.
Lemma operator_eqb_eq o p : operator_eqb o p = true -> o = p.
Proof.
  destruct o, p; cbn; try discriminate; auto; rewrite ?andb_true_iff, ?Pos.eqb_eq; intros H;
    repeat match goal with
    | H : _ /\ _ |- _ => destruct H
    | H : Pos.eqb _ _ = true |- _ => apply Pos.eqb_eq in H
    | H : index_eqb _ _ = true |- _ => apply index_eqb_eq in H
    | H : rational_eqb _ _ = true |- _ => apply rational_eqb_eq in H
    | H : monoid_eqb _ _ = true |- _ => apply monoid_eqb_eq in H
    | H : list_eqb index_eqb _ _ = true |- _ =>
        apply (list_eqb_eq _ _ (fun a b => index_eqb_eq a b)) in H
    | H : list_eqb Pos.eqb _ _ = true |- _ =>
        apply (list_eqb_eq _ _ (fun a b => proj1 (Pos.eqb_eq a b))) in H
    end; subst; reflexivity.
Qed.

Definition meets (l k : list axis) : bool := existsb (fun a => existsb (Pos.eqb a) k) l.
Lemma meets_apart l k : meets l k = false -> forall a, In a l -> ~ In a k.
Proof.
  unfold meets. intros H a Ha Hk. rewrite <- not_true_iff_false in H. apply H.
  apply existsb_exists. exists a. split; auto. now apply mem_in.
Qed.

(* Terms shown node by node: pairs of nodes, each following from the pairs of its children. *)

Definition pairs := list (positive * positive).
Definition mapped (seen : PositiveMap.t positive) (c' c : positive) : bool :=
  match PositiveMap.find c seen with Some d => Pos.eqb d c' | None => false end.

Section Shown.
  Variable step : PositiveMap.t positive -> positive -> positive -> bool.
  Definition add_pair (acc : bool * PositiveMap.t positive) (p : positive * positive) :=
    (fst acc && step (snd acc) (fst p) (snd p), PositiveMap.add (snd p) (fst p) (snd acc)).
  Definition shown_by (l : pairs) (t' t : positive) : bool :=
    let '(ok, seen) := fold_left add_pair l (true, PositiveMap.empty positive) in
    ok && mapped seen t' t.

  Variable P : positive -> positive -> Prop.
  Definition all_hold (seen : PositiveMap.t positive) : Prop :=
    forall c c', PositiveMap.find c seen = Some c' -> P c' c.
  Lemma mapped_holds seen c' c : all_hold seen -> mapped seen c' c = true -> P c' c.
  Proof.
    unfold mapped. intros H. destruct (PositiveMap.find c seen) as [d|] eqn:E; [|discriminate].
    intros K. apply Pos.eqb_eq in K. subst. auto.
  Qed.
  Lemma mapped_children seen cs' cs : all_hold seen -> list_eqb (mapped seen) cs' cs = true ->
    Forall2 P cs' cs.
  Proof.
    intros H. revert cs. induction cs' as [|c' cs' IH]; intros [|c cs]; cbn; try discriminate;
      [constructor|]. rewrite andb_true_iff. intros [H1 H2].
    constructor; [eapply mapped_holds; eauto | auto].
  Qed.
  Hypothesis step_sound : forall seen t' t, all_hold seen -> step seen t' t = true -> P t' t.
  Lemma shown_by_sound l t' t : shown_by l t' t = true -> P t' t.
  Proof.
    unfold shown_by.
    assert (I : forall l acc, (fst acc = true -> all_hold (snd acc)) ->
      fst (fold_left add_pair l acc) = true -> all_hold (snd (fold_left add_pair l acc))).
    { clear l. induction l as [|[d' d] l IH]; intros acc H; cbn [fold_left]; [exact H|].
      apply IH. cbn. rewrite andb_true_iff. intros [H1 H2] c c'.
      destruct (Pos.eq_dec c d) as [->|N].
      - rewrite PositiveMap.gss. intros [= <-]. eapply step_sound; eauto.
      - rewrite PositiveMap.gso by assumption. apply H, H1. }
    specialize (I l (true, PositiveMap.empty positive)).
    destruct (fold_left add_pair l _) as [ok seen]. cbn in I.
    rewrite andb_true_iff. intros [-> H]. eapply mapped_holds; [|exact H].
    apply I; [|reflexivity]. intros _ c c'. now rewrite PositiveMap.gempty.
  Qed.
End Shown.

(* The values of a law's variables: nodes, axes, indices, numbers and monoids; and for each computed
   term the nodes that show it, every one after its children. *)
Record assignment := Assignment {
  node_values : list positive; axis_values : list axis; index_values : list index;
  number_values : list Q; monoid_values : list monoid; slots : list pairs }.

Section Conditions.
  Variables (G : context) (m : nodes).
  Hypothesis W : well_formed G m.
  Notation node_at := (node_at m).
  Notation tree_at := (tree_at m).
  Notation same := (same (least G)).

  Lemma same_at M r e f : sizes_ok M G -> same e f = true -> index_at G M r e = index_at G M r f.
  Proof. intros ok. apply same_eval. apply (least_nonnegative G M ok). Qed.
  Lemma tree_op i : op (node_at i) <> Undefined ->
    tree_at i = Apply (op (node_at i)) (map tree_at (children (node_at i))).
  Proof. apply (tree_children G). exact W. Qed.

  (* Substitution: x := e ------------------------------------------------------------------- *)

  Section Substitution.
    Variables (x : axis) (e : index).
    Fixpoint put_index (f : index) : index := match f with
      | Axis a => if Pos.eqb a x then e else f
      | Plus f g => Plus (put_index f) (put_index g)
      | Times f g => Times (put_index f) (put_index g)
      | Quot f g => Quot (put_index f) (put_index g)
      | Rem f g => Rem (put_index f) (put_index g)
      | f => f end.

    (* t' is t at x := e, as far as their operators and children say. *)
    Definition substitutes (seen : PositiveMap.t positive) (t' t : positive) : bool :=
      let n := node_at t in let n' := node_at t' in
      (Pos.eqb t' t && negb (existsb (Pos.eqb x) (axes_in n)))
      || (operator_matches (fun f' f => same f' (put_index f)) (op n') (op n)
          && list_eqb (mapped seen) (children n') (children n)
          && match op n with
             | Undefined => false
             | Reduce _ y => negb (meets (leaves G y) (x :: leaves_of G e))
             | Opaque _ _ _ => false
             | _ => true end).
    Definition shows (l : pairs) (t' t : positive) : bool := shown_by substitutes l t' t.

    Hypothesis alone : stands_alone G x = true.
    Definition moved (M : model) (r : env) : env := put1 r x (index_at G M r e).
    Definition related (t' t : positive) : Prop := forall M r, sizes_ok M G ->
      denote G M (tree_at t') r = denote G M (tree_at t) (moved M r).

    Lemma get_moved M r a : get G M (moved M r) a = if Pos.eqb a x then index_at G M r e else get G M r a.
    Proof.
      destruct (Pos.eqb_spec a x) as [->|N].
      - rewrite alone_get by assumption. unfold moved, put1. now rewrite Pos.eqb_refl.
      - apply get_in_agree. intros b Hb. unfold moved, put1.
        destruct (Pos.eqb_spec b x) as [->|]; [|reflexivity].
        exfalso. revert Hb. apply alone_apart; auto.
    Qed.
    Lemma put_index_at M r f : index_at G M r (put_index f) = index_at G M (moved M r) f.
    Proof.
      unfold index_at. induction f; cbn; auto; try (now rewrite IHf1, IHf2).
      rewrite get_moved. destruct (Pos.eqb a x); reflexivity.
    Qed.
    Lemma moved_put M r y k a : (forall b, In b (leaves G y) -> b <> x /\ ~ In b (leaves_of G e)) ->
      moved M (put G M r y k) a = put G M (moved M r) y k a.
    Proof.
      intros H. assert (N : ~ In x (leaves G y)) by (intros K; now apply H in K).
      assert (E : index_at G M (put G M r y k) e = index_at G M r e).
      { apply index_agree. intros b Hb. apply put_in_other. intros K. now apply H in K. }
      unfold moved at 1. unfold put1. destruct (Pos.eqb_spec a x) as [->|D].
      - unfold put. rewrite put_in_other by assumption. unfold moved, put1. now rewrite Pos.eqb_refl.
      - apply put_in_agree. intros _. unfold moved, put1. apply Pos.eqb_neq in D. now rewrite D.
    Qed.
    Lemma list_related M r is js : sizes_ok M G ->
      list_eqb (fun f' f => same f' (put_index f)) is js = true ->
      map (index_at G M r) is = map (index_at G M (moved M r)) js.
    Proof.
      intros ok. revert js. induction is as [|f is IH]; intros [|g js]; cbn; try discriminate; auto.
      rewrite andb_true_iff. intros [H1 H2]. f_equal; auto.
      rewrite (same_at M r _ _ ok H1). apply put_index_at.
    Qed.
    Lemma related_arguments M r q cs' cs : sizes_ok M G -> Forall2 related cs' cs ->
      (forall a, moved M r a = q a) -> forall k,
      argument (map (denote G M) (map tree_at cs')) k r = argument (map (denote G M) (map tree_at cs)) k q.
    Proof.
      intros ok F E. unfold argument. induction F as [|c' c cs' cs H F IH]; intros [|k]; cbn; auto.
      rewrite (H M r ok). apply denote_agree. auto.
    Qed.
    Lemma substitutes_sound seen t' t : all_hold related seen ->
      substitutes seen t' t = true -> related t' t.
    Proof.
      intros HS. unfold substitutes. cbv zeta. rewrite orb_true_iff, !andb_true_iff.
      intros [[H1 H2]|[[H1 H2] H3]] M r ok.
      - apply Pos.eqb_eq in H1. subst t'. rewrite negb_true_iff, <- not_true_iff_false, mem_in in H2.
        apply denote_agree. intros a Ha. unfold moved, put1.
        destruct (Pos.eqb_spec a x) as [->|]; [|reflexivity].
        exfalso. apply H2, (axes_truthful G _ (node_truthful G m t W)), Ha.
      - assert (F := mapped_children _ _ _ _ HS H2).
        assert (N : op (node_at t) <> Undefined) by (destruct (op (node_at t)); congruence || discriminate).
        assert (N' : op (node_at t') <> Undefined)
          by (intros E; rewrite E in H1; destruct (op (node_at t)); discriminate || congruence).
        rewrite (tree_op t'), (tree_op t) by assumption. cbn [denote].
        assert (A := related_arguments M r (moved M r) _ _ ok F (fun _ => eq_refl)).
        destruct (op (node_at t')) eqn:E', (op (node_at t)) eqn:E; try discriminate;
          cbn [operator_matches] in H1; cbn [meaning]; rewrite ?(A 0%nat), ?(A 1%nat), ?(A 2%nat);
          try reflexivity.
        + apply andb_true_iff in H1 as [X1 X2]. apply Pos.eqb_eq in X1. subst.
          f_equal. f_equal. now apply list_related.
        + apply rational_eqb_eq in H1. now subst.
        + do 3 f_equal. rewrite (same_at M r _ _ ok H1). apply put_index_at.
        + do 3 f_equal. rewrite (same_at M r _ _ ok H1). apply put_index_at.
        + apply Pos.eqb_eq in H1. now subst.
        + apply andb_true_iff in H1 as [X1 X2]. apply monoid_eqb_eq in X1. apply Pos.eqb_eq in X2. subst.
          apply fold_ext. intros k _. apply (related_arguments M _ _ _ _ ok F). intros a.
          apply moved_put. apply negb_true_iff in H3. intros b Hb.
          pose proof (meets_apart _ _ H3 b Hb) as K. cbn in K. split; intros K'; apply K; auto.
    Qed.
    Lemma shows_sound l t' t : shows l t' t = true -> related t' t.
    Proof. apply shown_by_sound, substitutes_sound. Qed.
  End Substitution.

  (* Terms where a predicate is known ---------------------------------------------------------- *)

  Section Given.
    Variables (p : index) (b : bool).
    Definition replaces (seen : PositiveMap.t positive) (t' t : positive) : bool :=
      let n := node_at t in let n' := node_at t' in
      Pos.eqb t' t
      || match op n, op n' with
         | Predicate q, Constant c =>
             (same q p && Qeq_bool c (if b then 1 else 0))
             || (same q (Minus (Num (-1)) p) && Qeq_bool c (if b then 0 else 1))
         | _, _ => false end
      || (operator_eqb (op n') (op n) && list_eqb (mapped seen) (children n') (children n)
          && match op n with
             | Undefined => false
             | Reduce _ y => negb (meets (leaves G y) (leaves_of G p))
             | Opaque _ _ _ => false
             | _ => true end).
    Definition shows_given (l : pairs) (t' t : positive) : bool := shown_by replaces l t' t.

    Definition given (t' t : positive) : Prop := forall M r, sizes_ok M G ->
      Wires.holds (index_at G M r p) = b -> denote G M (tree_at t') r = denote G M (tree_at t) r.

    Lemma given_arguments M r cs' cs : sizes_ok M G -> Forall2 given cs' cs ->
      Wires.holds (index_at G M r p) = b -> forall k,
      argument (map (denote G M) (map tree_at cs')) k r = argument (map (denote G M) (map tree_at cs)) k r.
    Proof.
      intros ok F E. unfold argument. induction F as [|c' c cs' cs H F IH]; intros [|k]; cbn; auto.
    Qed.
    Lemma constant_node t c : op (node_at t) = Constant c -> forall M r,
      denote G M (tree_at t) r = number (Fin (Q2R c)).
    Proof. intros E M r. rewrite tree_op by congruence. rewrite E. reflexivity. Qed.
    Lemma predicate_node t q : op (node_at t) = Predicate q -> forall M r,
      denote G M (tree_at t) r = number (truth (Wires.holds (index_at G M r q))).
    Proof. intros E M r. rewrite tree_op by congruence. rewrite E. reflexivity. Qed.
    Lemma replaces_sound seen t' t : all_hold given seen ->
      replaces seen t' t = true -> given t' t.
    Proof.
      intros HS. unfold replaces. cbv zeta. rewrite !orb_true_iff, !andb_true_iff.
      intros [[H|H]|[[H1 H2] H3]] M r ok P.
      - apply Pos.eqb_eq in H. now subst.
      - destruct (op (node_at t)) eqn:E; try discriminate.
        destruct (op (node_at t')) eqn:E'; try discriminate.
        rewrite (constant_node _ _ E'), (predicate_node _ _ E). f_equal. unfold truth. f_equal.
        rewrite orb_true_iff, !andb_true_iff in H. destruct H as [[H1 H2]|[H1 H2]].
        + apply Q2R_eq in H2. rewrite (same_at M r _ _ ok H1), P, H2. destruct b; [apply Q2R_1 | apply Q2R_0].
        + apply Q2R_eq in H2. rewrite (same_at M r _ _ ok H1), H2. unfold index_at in *. cbn.
          unfold Wires.holds in *. revert P. destruct b; rewrite ?Z.leb_le, ?Z.leb_gt; intros P.
          * rewrite (proj2 (Z.leb_gt _ _)) by lia. apply Q2R_0.
          * rewrite (proj2 (Z.leb_le _ _)) by lia. apply Q2R_1.
      - apply operator_eqb_eq in H1. assert (F := mapped_children _ _ _ _ HS H2).
        assert (N : op (node_at t) <> Undefined) by (destruct (op (node_at t)); congruence || discriminate).
        rewrite (tree_op t'), (tree_op t) by (rewrite ?H1; assumption). rewrite H1. cbn [denote].
        assert (A := given_arguments M r _ _ ok F P).
        destruct (op (node_at t)); cbn [meaning]; rewrite ?(A 0%nat), ?(A 1%nat), ?(A 2%nat);
          try reflexivity; try discriminate.
        apply fold_ext. intros k _. apply given_arguments; auto.
        rewrite <- P. f_equal. apply index_agree. intros a Ha. apply put_in_other. intros K.
        apply negb_true_iff in H3. exact (meets_apart _ _ H3 a K Ha).
    Qed.
    Lemma shows_given_sound l t' t : shows_given l t' t = true -> given t' t.
    Proof. apply shown_by_sound, replaces_sound. Qed.
  End Given.
End Conditions.
