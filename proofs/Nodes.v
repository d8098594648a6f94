(* Tables of nodes: terms with their subterms shared, and what each node knows of itself.

   A node remembers the axes that it depends on, its facts and whether it is a number, so that a
   condition of a law is settled by looking at a node and never by walking a term. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals ZArith BinNums PArith List Bool Lia FMapPositive.
From Ncd Require Import Folds Monoids Sizes Contexts Wires Facts.
Import ListNotations.
Local Open Scope Z_scope.

Record node := Node_ {
  op : operator; children : list positive; tree : term; axes_in : list axis; known : facts;
  is_number : bool }.
Definition no_node := Node_ Undefined [] (Apply Undefined []) [] (Leaf (of_kinds [NoValue])) true.
Definition nodes := PositiveMap.t node.
Definition node_at (m : nodes) (i : positive) : node := find no_node m i.
Definition tree_at (m : nodes) (i : positive) : term := tree (node_at m i).

Fixpoint merge (l k : list axis) : list axis := match l with
  | [] => k
  | a :: l => if existsb (Pos.eqb a) k then merge l k else merge l (a :: k) end.
Lemma merge_in a l k : In a (merge l k) <-> In a l \/ In a k.
Proof.
  revert k. induction l as [|b l IH]; cbn; intros k; [tauto|].
  destruct (existsb (Pos.eqb b) k) eqn:E; rewrite IH; cbn; [apply mem_in in E|];
    intuition (subst; auto).
Qed.

(* Products of equal factors ----------------------------------------------------------------- *)

Definition input_fact (k : input_kind) : fact := match k with
  | RealInput => real_fact | BooleanInput => boolean_fact | ExtendedInput => defined_fact
  | PositiveInput => positive_fact
  | NonnegativeInput => meet real_fact nonnegative_or_undefined_fact
  | PartialInput => no_infinity_fact | AnyInput => anything end.
Definition index_fact (G : context) (e : index) : fact :=
  if nonnegative G (Minus e (Num 1)) then positive_fact
  else if nonnegative G e then of_kinds [Zero; One; OtherPositive] else real_fact.

Definition pointwise_fact (o : operator) (a b : fact) : fact := match o with
  | Add => lift2 add_kind a b | Mul => lift2 mul_kind a b
  | Maximum => lift2 max_kind a b | Minimum => lift2 min_kind a b
  | Rescale => lift2 rescale_kind a b
  | Less | Equal => lift2 compare_kind a b
  | And => lift2 and_kind a b | Or => lift2 or_kind a b
  | Inverse => lift1 inverse_kind a | Exp => lift1 exp_kind a | Log => lift1 log_kind a
  | Sqrt => lift1 sqrt_kind a | Abs => lift1 abs_kind a | Not => lift1 not_kind a
  | Tanh | Erf | Sin | Cos | Function _ => lift1 function_kind a
  | _ => anything end.

(* kⁿ for one kind, n ≥ 1, and for each kind of a fact. *)
Fixpoint power_of_kind (k : kind) (n : nat) : fact := match n with
  | O => of_kinds [One]
  | 1%nat => of_kinds [k]
  | S n => lift2 mul_kind (power_of_kind k n) (of_kinds [k]) end.
Definition power_fact (F : fact) (n : nat) : fact :=
  fold_right (fun k H => if member k F then union (power_of_kind k n) H else H) nothing kinds.

Fixpoint count (i : positive) (l : list (positive * nat)) : list (positive * nat) := match l with
  | [] => [(i, 1%nat)]
  | (j, n) :: l => if Pos.eqb i j then (j, S n) :: l else (j, n) :: count i l end.
Fixpoint factors (m : nodes) (fuel : nat) (i : positive) : list positive := match fuel with
  | O => [i]
  | S fuel => match op (node_at m i), children (node_at m i) with
      | Mul, [h; t] => h :: factors m fuel t
      | _, _ => [i] end end.
Definition finite_at (m : nodes) (i : positive) : bool :=
  subset (leaf (known (node_at m i))) no_infinity_fact.
(* A product whose equal factors are taken together: a·a is never negative. *)
Definition squares (m : nodes) (cs : list positive) : fact := match cs with
  | [h; t] =>
      let all := h :: factors m 30 t in
      if forallb (finite_at m) all
      then fold_right (fun c F => lift2 mul_kind (power_fact (leaf (known (node_at m (fst c)))) (snd c)) F)
             (of_kinds [One]) (fold_right count [] all)
      else anything
  | _ => anything end.

Section Build.
  Variable G : context.

  Definition node_facts (m : nodes) (o : operator) (cs : list positive) : facts :=
    let at_ k := match nth_error cs k with Some c => known (node_at m c) | None => Leaf anything end in
    match o with
    | Input x _ => Leaf (input_fact (kind_of_input G x))
    | Constant q => Leaf (constant_fact q)
    | NegativeInfinity => Leaf (of_kinds [Infinite])
    | Undefined => Leaf (of_kinds [NoValue])
    | Index e => Leaf (index_fact G e)
    | Predicate _ => Leaf boolean_fact
    | Select => Leaf (select_fact (leaf (at_ 0%nat)) (leaf (at_ 1%nat)) (leaf (at_ 2%nat)))
    | Reduce mo x => fold_facts mo (at_ 0%nat) (nonempty G x)
    | Tuple => Node (at_ 0%nat) (at_ 1%nat)
    | First => match at_ 0%nat with Node l _ => l | _ => Leaf anything end
    | Second => match at_ 0%nat with Node _ r => r | _ => Leaf anything end
    | Opaque _ _ _ => Leaf anything
    | Mul => Leaf (meet (lift2 mul_kind (leaf (at_ 0%nat)) (leaf (at_ 1%nat))) (squares m cs))
    | o => Leaf (pointwise_fact o (leaf (at_ 0%nat)) (leaf (at_ 1%nat))) end.
  Definition node_axes (m : nodes) (o : operator) (cs : list positive) : list axis :=
    merge (own_axes G o)
      (without (fold_right (fun c => merge (axes_in (node_at m c))) [] cs) (bound_axes G o)).
  Definition node_number (m : nodes) (o : operator) (cs : list positive) : bool := match o with
    | Input _ _ | Constant _ | NegativeInfinity | Undefined | Index _ | Predicate _
    | Opaque _ _ _ => true
    | Tuple | First | Second => false
    | Reduce mo _ => scalar mo && forallb (fun c => is_number (node_at m c)) cs
    | _ => forallb (fun c => is_number (node_at m c)) cs end.
  Definition make (m : nodes) (o : operator) (cs : list positive) : node :=
    Node_ o cs (Apply o (map (tree_at m) cs)) (node_axes m o cs) (node_facts m o cs)
      (node_number m o cs).
  (* A node comes after its children and once. *)
  Definition add_node (m : nodes) (d : positive * (operator * list positive)) : nodes :=
    let '(i, (o, cs)) := d in
    if negb (PositiveMap.mem i m) && forallb (fun c => PositiveMap.mem c m) cs
    then PositiveMap.add i (make m o cs) m else m.
  Definition build (l : list (positive * (operator * list positive))) : nodes :=
    fold_left add_node l (PositiveMap.empty node).

  (* What a node says of itself is so. *)
  Record truthful (n : node) : Prop := {
    axes_truthful : forall a, In a (axes_in n) <-> In a (free G (tree n));
    facts_truthful : forall M r, model_ok M G -> splits_ok G M -> in_range G M (free G (tree n)) r ->
      has_facts (known n) (denote G M (tree n) r);
    number_truthful : is_number n = true ->
      forall M r p q, denote G M (tree n) r p = denote G M (tree n) r q }.
  Definition well_formed (m : nodes) : Prop := forall i n, PositiveMap.find i m = Some n ->
    truthful n /\ tree n = Apply (op n) (map (tree_at m) (children n))
    /\ forall c, In c (children n) -> PositiveMap.mem c m = true.

  Lemma no_node_truthful : truthful no_node.
  Proof. split; [reflexivity | intros; intros p; reflexivity | reflexivity]. Qed.
  Lemma node_truthful m i : well_formed m -> truthful (node_at m i).
  Proof.
    intros W. unfold node_at, find. destruct (PositiveMap.find i m) eqn:E; [now apply W in E|].
    apply no_node_truthful.
  Qed.

  (* Products of finite values regroup. *)
  Definition product (l : list value) : value := fold_right vmul (Fin 1) l.
  Fixpoint power (v : value) (n : nat) : value := match n with
    | O => Fin 1
    | 1%nat => v
    | S n => vmul (power v n) v end.
  Lemma product_finite l : Forall no_infinity l -> no_infinity (product l).
  Proof.
    unfold product. induction 1 as [|v l H F IH]; cbn; [exact I|].
    destruct v, (fold_right vmul (Fin 1) l); cbn in *; tauto.
  Qed.
  Lemma power_finite v n : no_infinity v -> no_infinity (power v n).
  Proof.
    intros H. induction n as [|[|n] IH]; [exact I | exact H |].
    change (no_infinity (vmul (power v (S n)) v)). destruct (power v (S n)), v; cbn in *; tauto.
  Qed.
  Lemma power_S v n : no_infinity v -> power v (S n) = vmul v (power v n).
  Proof.
    intros H. destruct n as [|n]; [cbn [power]; rewrite vmul_comm; symmetry; apply vmul_one|].
    change (power v (S (S n))) with (vmul (power v (S n)) v). apply vmul_comm.
  Qed.
  Lemma power_has k v n : kind_of v = k -> has (power_of_kind k n) (power v n).
  Proof.
    intros <-. induction n as [|[|n] IH].
    - apply member_of_kinds. cbn. left. unfold kind_of. decide_reals; auto; exfalso; lra.
    - apply member_of_kinds. cbn. auto.
    - change (power_of_kind (kind_of v) (S (S n)))
        with (lift2 mul_kind (power_of_kind (kind_of v) (S n)) (of_kinds [kind_of v])).
      change (power v (S (S n))) with (vmul (power v (S n)) v).
      apply lift2_has; [apply vmul_kind | exact IH | apply member_of_kinds; cbn; auto].
  Qed.
  Lemma power_fact_has F v n : has F v -> has (power_fact F n) (power v n).
  Proof.
    intros H. unfold power_fact. assert (K : In (kind_of v) kinds) by apply in_kinds. revert K.
    induction kinds as [|k l IH]; cbn [In fold_right]; [tauto|]. intros [->|K].
    - unfold has in H. rewrite H. apply has_union. left. now apply power_has.
    - destruct (member k F); auto. apply has_union. auto.
  Qed.

  Lemma count_in c i l : In c (count i l) -> fst c = i \/ exists d, In d l /\ fst d = fst c.
  Proof.
    induction l as [|[j n] l IH]; cbn; [intros [<-|[]]; auto|].
    destruct (Pos.eqb_spec i j) as [->|N]; cbn; intros [<-|H]; eauto.
    apply IH in H as [H|(d & Hd & E)]; eauto.
  Qed.
  Lemma counts_in c l : In c (fold_right count [] l) -> In (fst c) l.
  Proof.
    revert c. induction l as [|i l IH]; cbn; [tauto|]. intros c H.
    apply count_in in H as [<-|(d & Hd & <-)]; auto.
  Qed.
  Section Value.
    Variable value_at : positive -> value.
    Definition counted (l : list (positive * nat)) : value :=
      product (map (fun c => power (value_at (fst c)) (snd c)) l).
    Lemma counted_finite l : (forall c, In c l -> no_infinity (value_at (fst c))) ->
      no_infinity (counted l).
    Proof.
      intros H. apply product_finite, Forall_map, Forall_forall. intros c Hc.
      apply power_finite, H, Hc.
    Qed.
    Lemma count_product i l : no_infinity (value_at i) ->
      (forall c, In c l -> no_infinity (value_at (fst c))) ->
      counted (count i l) = vmul (value_at i) (counted l).
    Proof.
      intros Hi. induction l as [|[j n] l IH]; intros Hl.
      - cbn. destruct (value_at i); reflexivity.
      - assert (Hj : no_infinity (value_at j)) by (apply (Hl (j, n)); cbn; auto).
        assert (Ht : forall c, In c l -> no_infinity (value_at (fst c))) by (intros; apply Hl; cbn; auto).
        cbn [count]. destruct (Pos.eqb_spec i j) as [->|N].
        + unfold counted. cbn [map fst snd product fold_right]. rewrite power_S by assumption.
          apply vmul_assoc_finite; auto using power_finite. apply (counted_finite l Ht).
        + unfold counted in *. cbn [map fst snd product fold_right].
          change (fold_right vmul (Fin 1)) with product in *. rewrite IH by assumption.
          assert (Hp : no_infinity (power (value_at j) n)) by now apply power_finite.
          assert (Hc : no_infinity (counted l)) by now apply counted_finite. unfold counted in Hc.
          rewrite <- !vmul_assoc_finite by assumption. f_equal. apply vmul_comm.
    Qed.
    Lemma counts_product l : (forall i, In i l -> no_infinity (value_at i)) ->
      counted (fold_right count [] l) = product (map value_at l).
    Proof.
      induction l as [|i l IH]; cbn [fold_right map]; intros H; [reflexivity|].
      rewrite count_product.
      - rewrite IH; [reflexivity|]. intros j Hj. apply H. now right.
      - apply H. now left.
      - intros c Hc. apply H. right. now apply counts_in.
    Qed.
  End Value.

  Lemma tree_children m i : well_formed m -> op (node_at m i) <> Undefined ->
    tree_at m i = Apply (op (node_at m i)) (map (tree_at m) (children (node_at m i))).
  Proof.
    intros W N. unfold tree_at at 1. unfold node_at, find in *.
    destruct (PositiveMap.find i m) eqn:E; [now apply W in E|]. cbn in N. congruence.
  Qed.

  Section Product.
    Variables (m : nodes) (M : model) (r : env) (p : path).
    Hypothesis W : well_formed m.
    Hypotheses (ok : model_ok M G) (fit : splits_ok G M).
    Notation at_ i := (denote G M (tree_at m i) r p).

    Lemma finite_value i : finite_at m i = true -> in_range G M (free G (tree_at m i)) r ->
      no_infinity (at_ i).
    Proof.
      intros F R. apply has_no_infinity. eapply subset_has; [exact F|]. apply leaf_has.
      apply (facts_truthful _ (node_truthful m i W) M r ok fit R).
    Qed.
    Lemma factors_product fuel : forall i,
      Forall (fun j => finite_at m j = true) (factors m fuel i) ->
      in_range G M (free G (tree_at m i)) r ->
      at_ i = product (map (fun j => at_ j) (factors m fuel i))
      /\ (forall j, In j (factors m fuel i) -> in_range G M (free G (tree_at m j)) r).
    Proof.
      assert (O : forall i, in_range G M (free G (tree_at m i)) r ->
        at_ i = product (map (fun j => at_ j) [i])
        /\ (forall j, In j [i] -> in_range G M (free G (tree_at m j)) r)).
      { intros i R. split; [cbn; rewrite vmul_comm, vmul_one; reflexivity|].
        intros j [<-|[]]. exact R. }
      induction fuel as [|fuel IH]; intros i F R; [now apply O|]. cbn [factors] in *.
      destruct (op (node_at m i)) eqn:E; try (now apply O).
      destruct (children (node_at m i)) as [|h [|t [|]]] eqn:C; try (now apply O).
      assert (T : tree_at m i = Apply Mul [tree_at m h; tree_at m t])
        by (rewrite tree_children, E, C; auto; congruence).
      rewrite T in R |- *. cbn [free own_axes bound_axes app flat_map] in R.
      assert (Rh : in_range G M (free G (tree_at m h)) r).
      { intros a Ha. apply R. rewrite without_in, in_app_iff. cbn. tauto. }
      assert (Rt : in_range G M (free G (tree_at m t)) r).
      { intros a Ha. apply R. rewrite without_in, !in_app_iff. cbn. tauto. }
      apply Forall_cons_iff in F as [Fh F]. destruct (IH t F Rt) as [E1 E2]. split.
      - cbn [denote meaning map argument nth product fold_right]. f_equal. exact E1.
      - intros j [<-|Hj]; auto.
    Qed.
    Lemma squares_has h t : in_range G M (free G (Apply Mul [tree_at m h; tree_at m t])) r ->
      has (squares m [h; t]) (vmul (at_ h) (at_ t)).
    Proof.
      intros R. cbn [free own_axes bound_axes app flat_map] in R. unfold squares. cbv zeta.
      destruct (forallb _ _) eqn:F; [|apply has_anything].
      rewrite forallb_forall, <- Forall_forall in F.
      assert (Rh : in_range G M (free G (tree_at m h)) r).
      { intros a Ha. apply R. rewrite without_in, in_app_iff. cbn. tauto. }
      assert (Rt : in_range G M (free G (tree_at m t)) r).
      { intros a Ha. apply R. rewrite without_in, !in_app_iff. cbn. tauto. }
      pose proof F as F'. apply Forall_cons_iff in F' as [Fh Ft].
      destruct (factors_product 30 t Ft Rt) as [E K].
      set (all := h :: factors m 30 t) in *.
      assert (A : forall j, In j all -> in_range G M (free G (tree_at m j)) r)
        by (intros j [<-|Hj]; auto).
      replace (vmul (at_ h) (at_ t)) with (product (map (fun j => at_ j) all))
        by (rewrite E; reflexivity).
      rewrite <- (counts_product (fun j => at_ j)).
      2: { intros j Hj. rewrite Forall_forall in F. apply finite_value; auto. }
      unfold counted.
      pose proof (fun c => counts_in c all) as B.
      revert B. generalize (fold_right count [] all). intros l B.
      induction l as [|c l IH]; cbn [map product fold_right].
      - apply member_of_kinds. cbn. left. unfold kind_of. decide_reals; auto; exfalso; lra.
      - apply lift2_has; [apply vmul_kind | | apply IH; intros; apply B; now right].
        apply power_fact_has, leaf_has.
        apply (facts_truthful _ (node_truthful m (fst c) W) M r ok fit). apply A, B. now left.
    Qed.
  End Product.

  (* Building keeps tables truthful ---------------------------------------------------------- *)

  Lemma child_number ts t : Forall (fun t => forall M r p q,
      denote G M t r p = denote G M t r q) ts -> In t ts ->
    forall M r p q, denote G M t r p = denote G M t r q.
  Proof. rewrite Forall_forall. intros H Ht. now apply H. Qed.

  Lemma index_fact_has e M r : model_ok M G -> in_range G M (leaves_of G e) r ->
    has (index_fact G e) (Fin (IZR (index_at G M r e))).
  Proof.
    intros [ok _] R. unfold index_fact, index_at.
    destruct (nonnegative G (Minus e (Num 1))) eqn:P; [|destruct (nonnegative G e) eqn:N].
    - apply (nonnegative_sound G M _ r ok) in P.
      + cbn in P. apply has_positive. cbn. apply (IZR_lt 0). lia.
      + intros a Ha. apply R. unfold leaves_of in *. cbn in Ha. now rewrite app_nil_r in Ha.
    - apply (nonnegative_sound G M _ r ok) in N; auto.
      assert (K : (0 <= IZR (eval (sizes M) (get G M r) e))%R) by (apply (IZR_le 0); lia).
      apply member_of_kinds. unfold kind_of. decide_reals; cbn; auto; exfalso; lra.
    - apply has_real. exact I.
  Qed.
  Lemma input_fact_has k v : of_kind k v -> has (input_fact k) v.
  Proof.
    destruct k; cbn [of_kind input_fact]; intros H.
    - now apply has_real.
    - now apply has_boolean.
    - now apply has_defined.
    - now apply has_positive.
    - destruct H. apply has_meet; [now apply has_real | now apply has_nonnegative_or_undefined].
    - now apply has_no_infinity.
    - apply has_anything.
  Qed.

  Lemma argument_child m cs M k q : argument (map (denote G M) (map (tree_at m) cs)) k q
    = match nth_error cs k with Some c => denote G M (tree_at m c) q | None => number Undef end.
  Proof. unfold argument. revert k. induction cs; intros [|k]; cbn; auto. Qed.

  Lemma node_facts_true m o cs M r : well_formed m -> model_ok M G -> splits_ok G M ->
    in_range G M (free G (Apply o (map (tree_at m) cs))) r ->
    has_facts (node_facts m o cs) (denote G M (Apply o (map (tree_at m) cs)) r).
  Proof.
    intros W ok fit R.
    set (ts := map (tree_at m) cs) in *.
    assert (B : forall q, in_range G M (flat_map (free G) ts) q -> forall k,
      has_facts (match nth_error cs k with Some c => known (node_at m c) | None => Leaf anything end)
        (argument (map (denote G M) ts) k q)).
    { intros q Rq k. unfold ts in *. rewrite argument_child.
      destruct (nth_error cs k) as [c|] eqn:E; [|apply facts_anything].
      apply (facts_truthful _ (node_truthful m c W) M q ok fit). intros a Ha. apply Rq.
      apply in_flat_map. exists (tree_at m c). split; [|exact Ha]. apply in_map.
      now apply nth_error_In in E. }
    cbn [free] in R.
    assert (A : bound_axes G o = [] -> in_range G M (flat_map (free G) ts) r).
    { intros E a Ha. apply R. rewrite in_app_iff, without_in, E. cbn. tauto. }
    assert (L : bound_axes G o = [] -> forall k p,
      has (leaf (match nth_error cs k with Some c => known (node_at m c) | None => Leaf anything end))
        (argument (map (denote G M) ts) k r p)) by (intros; apply leaf_has, B; auto).
    assert (Own : in_range G M (own_axes G o) r) by (intros a Ha; apply R; rewrite in_app_iff; auto).
    destruct o; cbn [node_facts denote meaning];
      try (intros p; cbn [fact_at]; unfold number; cbn [pointwise_fact];
           first [apply lift2_has; [intros; auto using vadd_kind, vmul_kind, vmax_kind, vmin_kind,
                    vrescale_kind, vless_kind, vequal_kind, vand_kind, vor_kind | now apply L | now apply L]
                 | apply lift1_has; [intros; auto using vinv_kind, vexp_kind, vlog_kind, vsqrt_kind,
                    vabs_kind, vnot_kind, vtanh_kind, verf_kind, vsin_kind, vcos_kind,
                    vfun_kind | now apply L]]; fail).
    - intros p. cbn. unfold number. apply input_fact_has, ok.
    - intros p. apply constant_has.
    - intros p. apply member_of_kinds. cbn. auto.
    - intros p. apply member_of_kinds. cbn. auto.
    - intros p. cbn [fact_at]. unfold number. apply index_fact_has; auto.
    - intros p. cbn [fact_at]. unfold number. apply has_boolean, boolean_truth.
    - intros p. cbn [fact_at]. apply has_meet.
      + apply lift2_has; [apply vmul_kind | now apply L | now apply L].
      + destruct cs as [|h [|t [|]]]; try apply has_anything.
        apply (squares_has m M r p W ok fit h t). exact R.
    - intros p. cbn [fact_at]. apply select_has; now apply L.
    - apply fold_facts_has.
      + intros E. unfold length_of. apply (nonempty_sound G M x (proj1 ok)) in E. lia.
      + intros i Hi. apply B.
        apply put_in_bounds; [exact fit | unfold length_of in Hi; lia |].
        intros a Ha. apply R. rewrite in_app_iff. auto.
    - apply pair_facts; apply B; auto.
    - pose proof (B r (A eq_refl) 0%nat) as H.
      destruct (nth_error cs 0) as [c|]; [|apply facts_anything].
      destruct (known (node_at m c)); [apply facts_anything|]. intros p. apply (H (Left :: p)).
    - pose proof (B r (A eq_refl) 0%nat) as H.
      destruct (nth_error cs 0) as [c|]; [|apply facts_anything].
      destruct (known (node_at m c)); [apply facts_anything|]. intros p. apply (H (Right :: p)).
    - apply facts_anything.
  Qed.

  Lemma node_axes_true m o cs a : well_formed m ->
    In a (node_axes m o cs) <-> In a (free G (Apply o (map (tree_at m) cs))).
  Proof.
    intros W. unfold node_axes. cbn [free]. rewrite merge_in, in_app_iff, !without_in.
    assert (E : In a (fold_right (fun c => merge (axes_in (node_at m c))) [] cs)
      <-> In a (flat_map (free G) (map (tree_at m) cs))).
    { induction cs as [|c cs IH]; cbn; [tauto|].
      rewrite merge_in, in_app_iff, IH, (axes_truthful _ (node_truthful m c W)). reflexivity. }
    tauto.
  Qed.

  Lemma fold_constant mo n f p q : scalar mo = true -> (forall i, f i p = f i q) ->
    fold mo n f p = fold mo n f q.
  Proof.
    intros S H. rewrite !fold_at by assumption. unfold vfold. apply reduce_ext. intros; apply H.
  Qed.
  Lemma node_number_true m o cs : well_formed m -> node_number m o cs = true ->
    forall M r p q, denote G M (Apply o (map (tree_at m) cs)) r p
      = denote G M (Apply o (map (tree_at m) cs)) r q.
  Proof.
    intros W H M r p q.
    assert (A : forallb (fun c => is_number (node_at m c)) cs = true -> forall s k,
      argument (map (denote G M) (map (tree_at m) cs)) k s p
      = argument (map (denote G M) (map (tree_at m) cs)) k s q).
    { clear H. intros H s k. rewrite argument_child.
      destruct (nth_error cs k) as [c|] eqn:E; [|reflexivity].
      rewrite forallb_forall in H. apply (number_truthful _ (node_truthful m c W)), H.
      now apply nth_error_In in E. }
    destruct o; cbn [node_number] in H; try discriminate; cbn [denote meaning];
      try reflexivity; try (now rewrite !(A H r)).
    apply andb_true_iff in H as [S H]. apply fold_constant; auto.
  Qed.

  Lemma add_node_well_formed m d : well_formed m -> well_formed (add_node m d).
  Proof.
    intros W. destruct d as [i [o cs]]. cbn. destruct (_ && _) eqn:E; [|exact W].
    apply andb_true_iff in E as [E1 E2]. apply negb_true_iff in E1. rewrite forallb_forall in E2.
    assert (K : forall c, PositiveMap.mem c m = true ->
      tree_at (PositiveMap.add i (make m o cs) m) c = tree_at m c
      /\ PositiveMap.mem c (PositiveMap.add i (make m o cs) m) = true).
    { intros c Hc. assert (c <> i) by congruence. unfold tree_at, node_at, find.
      rewrite PositiveMap.mem_find in *. rewrite PositiveMap.gso by assumption. auto. }
    intros j n. destruct (Pos.eq_dec j i) as [->|N].
    - rewrite PositiveMap.gss. intros [= <-]. split; [|split].
      + split; cbn.
        * intros a. now apply node_axes_true.
        * intros M r ok fit R. now apply node_facts_true.
        * intros H M r p q. now apply node_number_true.
      + cbn. f_equal. apply map_ext_in. intros c Hc. symmetry. apply K, E2, Hc.
      + cbn. intros c Hc. apply K, E2, Hc.
    - rewrite PositiveMap.gso by assumption. intros H. apply W in H as (H1 & H2 & H3).
      split; [exact H1|]. split.
      + rewrite H2 at 1. f_equal. apply map_ext_in. intros c Hc. symmetry. apply K, H3, Hc.
      + intros c Hc. apply K, H3, Hc.
  Qed.
  Theorem build_well_formed l : well_formed (build l).
  Proof.
    unfold build.
    assert (W : well_formed (PositiveMap.empty node)) by (intros i n; rewrite PositiveMap.gempty; discriminate).
    revert W. generalize (PositiveMap.empty node).
    induction l as [|d l IH]; cbn [fold_left]; auto using add_node_well_formed.
  Qed.
End Build.
