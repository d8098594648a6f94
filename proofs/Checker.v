(* The checker of certificates, and its soundness.

   A certificate is a table of nodes, hypotheses about the inputs, and a list of lemmas, each a chain
   of steps from one node to another; a step is an instance of a law, one of the hypotheses, or a
   congruence that cites earlier lemmas. *)

From Ncd Require Import Values.
From Coq Require Import Reals QArith Qreals ZArith BinNums PArith List Bool Lia FMapPositive.
From Ncd Require Import Folds Monoids Sizes Contexts Wires Facts Laws Nodes Conditions.
Import ListNotations.
Local Open Scope Z_scope.
Local Arguments Z.add : simpl never.
Local Arguments Z.mul : simpl never.

Section Checker.
  Variables (G : context) (m : nodes).
  Hypothesis fit : splits_fit G = true.
  Hypothesis W : well_formed G m.
  Notation node_at := (node_at m).
  Notation tree_at := (tree_at m).
  Notation same := (same (least G)).

  (* Truth at an index ------------------------------------------------------------------------ *)

  Section Truth.
    Variables (x : axis) (w : index) (spoken : list axis).
    Definition exists_at (e : index) : bool :=
      forallb (fun a => existsb (Pos.eqb a) spoken || nonempty G a) (leaves_of G e).
    Fixpoint truth_of (t : term) : option bool := match t with
      | Apply (Constant q) [] =>
          if Qeq_bool q 1 then Some true else if Qeq_bool q 0 then Some false else None
      | Apply (Predicate e) [] => let e := put_index x w e in
          if negb (exists_at e) then None
          else if nonnegative G e then Some true
          else if nonnegative G (Minus (Num (-1)) e) then Some false else None
      | Apply Not [a] => option_map negb (truth_of a)
      | Apply Mul [a; b] | Apply And [a; b] => match truth_of a, truth_of b with
          | Some a, Some b => Some (a && b) | _, _ => None end
      | _ => None end.
    Hypothesis alone : stands_alone G x = true.

    Lemma exists_in_range M r e : sizes_ok M G -> in_range G M spoken r -> (forall a, ~ In a spoken -> r a = 0) ->
      exists_at e = true -> in_range G M (leaves_of G e) r.
    Proof.
      intros ok R Z E a Ha. unfold exists_at in E. rewrite forallb_forall in E. specialize (E a Ha).
      rewrite orb_true_iff, mem_in in E. destruct (in_dec Pos.eq_dec a spoken) as [I|I]; [now apply R|].
      rewrite Z by assumption. destruct E as [E|E]; [contradiction|].
      apply (nonempty_sound G M a ok) in E. lia.
    Qed.
    Lemma truth_of_sound M r t : sizes_ok M G -> in_range G M spoken r ->
      (forall a, ~ In a spoken -> r a = 0) -> forall b, truth_of t = Some b ->
      denote G M t (moved G x w M r) = number (truth b).
    Proof.
      intros ok R Z. induction t as [o args IH] using term_ind'. intros b.
      destruct o; try discriminate; destruct args as [|a1 [|a2 [|]]]; try discriminate; cbn [truth_of].
      - destruct (Qeq_bool q 1) eqn:E1; [|destruct (Qeq_bool q 0) eqn:E0; [|discriminate]];
          intros [= <-]; cbn [denote meaning]; unfold truth; do 2 f_equal.
        + apply Q2R_eq in E1. rewrite E1. apply Q2R_1.
        + apply Q2R_eq in E0. rewrite E0. apply Q2R_0.
      - cbv zeta. cbn [denote meaning].
        destruct (exists_at (put_index x w e)) eqn:E; cbn [negb]; [|discriminate].
        apply (exists_in_range M r _ ok R Z) in E. rewrite <- put_index_at by assumption.
        destruct (nonnegative G (put_index x w e)) eqn:P.
        + apply (nonnegative_sound G M _ r ok) in P; auto. intros [= <-]. do 2 f_equal.
          apply Z.leb_le. exact P.
        + destruct (nonnegative G (Minus _ _)) eqn:N; [|discriminate]. intros [= <-].
          apply (nonnegative_sound G M _ r ok) in N.
          * cbn in N. do 2 f_equal. apply Z.leb_gt. unfold index_at. lia.
          * intros a Ha. apply E. unfold leaves_of in *. cbn in Ha. exact Ha.
      - apply Forall_cons_iff in IH as [H1 IH]. apply Forall_cons_iff in IH as [H2 _].
        destruct (truth_of a1) as [b1|]; [|discriminate]. destruct (truth_of a2) as [b2|]; [|discriminate].
        intros [= <-]. cbn [denote meaning map argument nth]. rewrite (H1 _ eq_refl), (H2 _ eq_refl).
        apply object_ext. intros p. apply vmul_truth.
      - apply Forall_cons_iff in IH as [H1 _]. destruct (truth_of a1) as [b1|]; [|discriminate].
        intros [= <-]. cbn [denote meaning map argument nth]. rewrite (H1 _ eq_refl).
        apply object_ext. intros p. apply vnot_truth.
      - apply Forall_cons_iff in IH as [H1 IH]. apply Forall_cons_iff in IH as [H2 _].
        destruct (truth_of a1) as [b1|]; [|discriminate]. destruct (truth_of a2) as [b2|]; [|discriminate].
        intros [= <-]. cbn [denote meaning map argument nth]. rewrite (H1 _ eq_refl), (H2 _ eq_refl).
        apply object_ext. intros p. apply vand_truth.
    Qed.
  End Truth.

  (* Conditions decided ------------------------------------------------------------------------ *)

  Definition fact_is (F : fact) (i : positive) : bool :=
    match known (node_at i) with Leaf H => subset H F | Node _ _ => false end.
  Fixpoint splits_as (ss : list split) (masked' : bool) (x b i : axis) : bool := match ss with
    | [] => false
    | s :: ss =>
        if Pos.eqb (whole s) x
        then Pos.eqb (outer s) b && Pos.eqb (inner s) i && eqb (masked s) masked'
             && negb (Pos.eqb x b) && negb (Pos.eqb x i)
        else negb (Pos.eqb (whole s) b) && negb (Pos.eqb (whole s) i) && splits_as ss masked' x b i end.

  Variable v : assignment.
  Definition valuation_of : valuation :=
    Valuation (map tree_at (node_values v)) (axis_values v) (index_values v) (number_values v) (monoid_values v).
  Definition value_node (n : nat) : option positive := nth_error (node_values v) n.
  Notation X n := (axis_of valuation_of n).
  Notation I_ e := (index_value valuation_of G e).
  Definition with_node (n : nat) (f : positive -> bool) : bool :=
    match value_node n with Some i => f i | None => false end.
  Definition operation_of (mo : monoid) : option operator := match mo with
    | Sum => Some Add | Product => Some Mul | Max => Some Maximum | Min => Some Minimum | _ => None end.
  (* The bodies of a written-out fold, from the last to the first. *)
  Fixpoint written_out (o : operator) (n : nat) (i : positive) : option (list positive) := match n with
    | O => Some [i]
    | S n => if operator_eqb (op (node_at i)) o then
        match children (node_at i) with
        | [l; r] => option_map (cons r) (written_out o n l)
        | _ => None end else None end.

  Definition decide (c : condition) : bool := match c with
    | Known F t => with_node t (fact_is F)
    | IsNumber t => with_node t (fun i => is_number (node_at i))
    | Independent x t => with_node t (fun i => negb (meets (leaves G (X x)) (axes_in (node_at i))))
    | Disjoint x y => negb (meets (leaves G (X x)) (leaves G (X y)))
    | Nonempty x => nonempty G (X x)
    | Unsplit x => stands_alone G (X x)
    | SameAxis x y => stands_alone G (X x) && stands_alone G (X y)
        && same (close (extent G (X x))) (close (extent G (X y)))
    | Regroups mo => regroups (monoid_of valuation_of mo)
    | SplitInto masked x b i => splits_as (splits G) masked (X x) (X b) (X i)
    | Associates a b c => with_node a (fun a => with_node b (fun b => with_node c (fun c =>
        let P := fact_is positive_or_undefined_fact in
        forallb (fact_is no_infinity_fact) [a; b; c]
        || (P a && P b) || (P a && P c) || (P b && P c))))
    | Distributes c ts => with_node c (fact_is positive_or_undefined_fact)
        || forallb (fun t => with_node t (fact_is no_infinity_fact)) (c :: ts)
    | InRange p => nonnegative G (I_ p)
    | IndexIs p e => same (index_of valuation_of p) (I_ e)
    | NumberIs a b => Qeq_bool (number_value valuation_of a) (number_value valuation_of b)
    | NumberIsNot a b => negb (Qeq_bool (number_value valuation_of a) (number_value valuation_of b))
    | NumberLess a b => negb (Qle_bool (number_value valuation_of b) (number_value valuation_of a))
    | NumberIsIndex q p => let q := number_of valuation_of q in
        Pos.eqb (Qden q) 1 && same (index_of valuation_of p) (Num (Qnum q))
    | RootIs a b => let b := number_of valuation_of b in
        Qeq_bool (b * b) (number_of valuation_of a) && Qle_bool 0 b
    | Witness b t x p => with_node t (fun i =>
        let w := index_of valuation_of p in let x := X x in
        let spoken := without (axes_in (node_at i)) (leaves G x) in
        stands_alone G x && exists_at spoken w && nonnegative G w
        && nonnegative G (Minus (Minus (close (extent G x)) (Num 1)) w)
        && match truth_of x w spoken (tree_at i) with Some b' => eqb b' b | None => false end)
    | Substituted slot t' t x e => with_node t' (fun t' => with_node t (fun t =>
        stands_alone G (X x) && shows G m (X x) (I_ e) (nth slot (slots v) []) t' t))
    | GivenThat slot t' t p b => with_node t' (fun t' => with_node t (fun t =>
        shows_given G m (index_of valuation_of p) b (nth slot (slots v) []) t' t))
    | Unrolled mo x t' t => with_node t' (fun t' => with_node t (fun t =>
        let x := X x in
        match operation_of (monoid_of valuation_of mo), slots v with
        | Some o, _ :: _ => let n := List.length (slots v) in
            stands_alone G x && same (close (extent G x)) (Num (Z.of_nat n))
            && match written_out o (pred n) t' with
               | Some bodies => (fix go (k : nat) (bodies : list positive) (shown : list pairs) :=
                   match bodies, shown with
                   | [], [] => true
                   | i :: bodies, l :: shown =>
                       shows G m x (Num (Z.of_nat k)) l i t && go (S k) bodies shown
                   | _, _ => false end) 0%nat (rev bodies) (slots v)
               | None => false end
        | _, _ => false end)) end.

  Lemma with_node_term n f : with_node n f = true ->
    exists i, f i = true /\ term_of valuation_of n = tree_at i.
  Proof.
    unfold with_node, value_node, term_of. cbn [terms valuation_of].
    destruct (nth_error (node_values v) n) as [i|] eqn:E; [|discriminate]. intros H. exists i.
    split; [exact H|]. revert n E. induction (node_values v) as [|j l IH]; intros [|n]; cbn;
      try discriminate; [intros [= ->]; reflexivity | apply IH].
  Qed.
  Lemma fact_is_sound F i : fact_is F i = true ->
    everywhere G (tree_at i) (fun M r => forall p, has F (denote G M (tree_at i) r p)).
  Proof.
    unfold fact_is. intros H M ok s r R p.
    pose proof (facts_truthful G _ (node_truthful G m i W) M r ok s R p) as K.
    unfold Nodes.tree_at. destruct (known (node_at i)); [|discriminate]. eapply subset_has; eauto.
  Qed.

  Lemma splits_as_sound M ss msk x b i : splits_as ss msk x b i = true ->
    (forall r k, put_in G M ss r x k
       = put_in G M ss (put_in G M ss r b (k / size_of G M i)) i (k mod size_of G M i))
    /\ (forall r, get_in G M ss r x = get_in G M ss r b * size_of G M i + get_in G M ss r i)
    /\ leaves_in ss x = leaves_in ss b ++ leaves_in ss i
    /\ (apart ss -> forall a, In a (leaves_in ss b) -> ~ In a (leaves_in ss i))
    /\ exists s, In s ss /\ whole s = x /\ outer s = b /\ inner s = i /\ masked s = msk.
  Proof.
    induction ss as [|s ss IH]; cbn [splits_as put_in get_in leaves_in apart]; [discriminate|].
    destruct (Pos.eqb_spec (whole s) x) as [E|N].
    - rewrite !andb_true_iff, !negb_true_iff, !Pos.eqb_eq, !Pos.eqb_neq, eqb_true_iff.
      intros [[[[<- <-] Hm] Nb] Ni].
      rewrite (proj2 (Pos.eqb_neq (whole s) (outer s))), (proj2 (Pos.eqb_neq (whole s) (inner s)))
        by congruence.
      repeat split; try tauto. exists s. cbn. auto.
    - rewrite !andb_true_iff, !negb_true_iff, !Pos.eqb_neq. intros [[Nb Ni] H].
      apply IH in H as (H1 & H2 & H3 & H4 & s' & H5 & H6).
      rewrite (proj2 (Pos.eqb_neq (whole s) b)), (proj2 (Pos.eqb_neq (whole s) i)) by assumption.
      repeat split; auto; [tauto|]. exists s'. cbn. auto.
  Qed.

  Lemma written_out_sound M r o n : forall i bodies, written_out o n i = Some bodies ->
    forall f, (forall a b, meaning G M o [a; b] r = f (a r) (b r)) ->
    List.length bodies = S n
    /\ denote G M (tree_at i) r
       = Red f (S n) (fun k => denote G M (tree_at (nth k (rev bodies) 1%positive)) r).
  Proof.
    induction n as [|n IH]; intros i bodies; cbn [written_out]; [intros [= <-] f _; split; reflexivity|].
    destruct (operator_eqb (op (node_at i)) o) eqn:E; [|discriminate]. apply operator_eqb_eq in E.
    destruct (children (node_at i)) as [|l [|t [|]]] eqn:C; try discriminate.
    destruct (written_out o n l) as [bs|] eqn:Wl; [|discriminate]. intros [= <-] f Hf.
    destruct (IH l bs Wl f Hf) as [L D]. split; [cbn; lia|].
    rewrite Red_S by lia. cbn [rev].
    replace (Red f (S n) _) with (denote G M (tree_at l) r).
    2: { rewrite D. apply Red_ext; [lia|]. intros k Hk. rewrite app_nth1; [reflexivity|].
         rewrite rev_length. lia. }
    rewrite app_nth2 by (rewrite rev_length; lia). rewrite rev_length, L, Nat.sub_diag. cbn [nth].
    destruct (PositiveMap.find i m) as [nd|] eqn:Fi.
    - assert (T : tree_at i = Apply o [tree_at l; tree_at t]).
      { unfold Nodes.tree_at at 1. unfold Nodes.node_at, find in *. rewrite Fi in *.
        apply W in Fi as (_ & T & _). rewrite T, E, C. reflexivity. }
      rewrite T. cbn [denote map]. apply Hf.
    - unfold Nodes.node_at, find in C. rewrite Fi in C. discriminate.
  Qed.

  Lemma decide_sound c : decide c = true -> condition_holds G valuation_of c.
  Proof.
    destruct c as [F t|t|x t|x y|x|x|x y|mo|msk x b i|a b c|c ts|p|p e|a b|a b|a b|q p|a b|b t x p
      |slot t' t x e|slot t' t p b|mo x t' t]; cbn [decide condition_holds]; cbv zeta.
    - intros H. apply with_node_term in H as (i & H & ->). now apply fact_is_sound.
    - intros H. apply with_node_term in H as (i & H & ->). intros M ok s r p q.
      now apply (number_truthful G _ (node_truthful G m i W)).
    - intros H. apply with_node_term in H as (i & H & ->). apply negb_true_iff in H.
      intros a Ha K. apply (meets_apart _ _ H a Ha), (axes_truthful G _ (node_truthful G m i W)), K.
    - intros H. apply negb_true_iff in H. now apply meets_apart.
    - intros H M ok s. apply nonempty_sound; [apply ok | exact H].
    - auto.
    - rewrite !andb_true_iff. intros [[H1 H2] H3]. repeat split; auto. intros M ok s.
      apply (same_eval (least G) (sizes M) (fun _ => 0)) in H3; [|apply (least_nonnegative G M (proj1 ok))].
      now rewrite !close_eval in H3.
    - auto.
    - intros H. set (any := Model (fun _ => 0) (fun _ _ => Undef) (fun _ r => r) (fun _ _ _ _ => Undef)).
      destruct (splits_as_sound any _ _ _ _ _ H) as (_ & _ & L & A & _). split; [|split; [exact L|]].
      + intros M _ [F _]. destruct (splits_as_sound M _ _ _ _ _ H)
          as (P1 & P2 & _ & _ & s & Hs & E1 & E2 & E3 & E4).
        rewrite Forall_forall in F. destruct (F _ Hs) as (F1 & F2 & F3).
        rewrite E1, E2, E3, E4 in *. auto.
      + apply A. clear - fit. unfold splits_fit in fit. apply andb_true_iff in fit as [_ A].
        induction (splits G) as [|s ss IH]; cbn in *; [exact I|].
        apply andb_true_iff in A as [A1 A2]. split; [|auto]. intros a Ha.
        rewrite forallb_forall in A1. specialize (A1 a Ha).
        now rewrite negb_true_iff, <- not_true_iff_false, mem_in in A1.
    - intros H. apply with_node_term in H as (i & H & ->). apply with_node_term in H as (j & H & ->).
      apply with_node_term in H as (k & H & ->). intros M ok s r Ra Rb Rc p.
      assert (P : forall i F, fact_is F i = true -> in_range G M (free G (tree_at i)) r ->
        has F (denote G M (tree_at i) r p)) by (intros i' F E R; apply fact_is_sound; auto).
      cbn [forallb] in H. rewrite !orb_true_iff, !andb_true_iff in H.
      destruct H as [[[(A & B & C & _)|[A B]]|[A B]]|[A B]].
      + apply vmul_assoc_finite; apply has_no_infinity, P; auto.
      + apply vmul_assoc_positive_12; apply has_positive_or_undefined, P; auto.
      + apply vmul_assoc_positive_13; apply has_positive_or_undefined, P; auto.
      + apply vmul_assoc_positive_23; apply has_positive_or_undefined, P; auto.
    - rewrite orb_true_iff, forallb_forall. intros [H|H]; [left|right].
      + apply with_node_term in H as (i & H & ->). intros M ok s r R p.
        apply has_positive_or_undefined, fact_is_sound; auto.
      + intros t Ht. apply H in Ht. apply with_node_term in Ht as (i & Hi & ->). intros M ok s r R p.
        apply has_no_infinity, fact_is_sound; auto.
    - intros H M ok s r R. apply nonnegative_sound; auto. apply ok.
    - intros H M ok s r. apply same_at; auto. apply ok.
    - intros H. now apply Qeq_bool_eq.
    - intros H. apply negb_true_iff in H. now apply Qeq_bool_neq.
    - intros H. apply negb_true_iff in H. apply Qnot_le_lt. intros L. apply Qle_bool_iff in L. congruence.
    - rewrite andb_true_iff, Pos.eqb_eq. intros [D H] M ok s r. rewrite (same_at G M r _ _ (proj1 ok) H).
      cbn. unfold Q2R. rewrite D. cbn. field.
    - rewrite andb_true_iff. intros [H1 H2]. split; [now apply Qeq_bool_eq | now apply Qle_bool_iff].
    - intros H. apply with_node_term in H as (i & H & ->). rewrite !andb_true_iff in H.
      destruct H as [[[[A E] N] L] T].
      set (y := axis_of valuation_of x) in *. set (w := index_of valuation_of p) in *.
      set (spoken := without (axes_in (node_at i)) (leaves G y)) in *.
      destruct (truth_of y w spoken (tree_at i)) as [b'|] eqn:B; [|discriminate].
      apply eqb_prop in T. subst b'. intros M ok s r R.
      set (q := fun a => if existsb (Pos.eqb a) spoken then r a else 0).
      assert (S0 : forall a, In a spoken <-> In a (without (free G (tree_at i)) (leaves G y))).
      { intros a. unfold spoken. rewrite !without_in, (axes_truthful G _ (node_truthful G m i W)). reflexivity. }
      assert (Q : forall a, In a spoken -> q a = r a)
        by (intros a Ha; unfold q; now rewrite (proj2 (mem_in a spoken) Ha)).
      assert (Z : forall a, ~ In a spoken -> q a = 0).
      { intros a Ha. unfold q. destruct (existsb _ _) eqn:K; [apply mem_in in K; contradiction | reflexivity]. }
      assert (Rq : in_range G M spoken q) by (intros a Ha; rewrite Q by assumption; now apply R, S0).
      pose proof (exists_in_range spoken M q w (proj1 ok) Rq Z E) as Rw.
      apply (nonnegative_sound G M w q (proj1 ok)) in N; auto.
      apply (nonnegative_sound G M _ q (proj1 ok)) in L.
      2: { intros a Ha. apply Rw. unfold leaves_of in *. cbn in Ha. rewrite axes_of_close in Ha. exact Ha. }
      cbn in L. rewrite close_eval in L. fold (size_of G M y) in L.
      exists (Z.to_nat (index_at G M q w)). split; [unfold length_of, index_at; lia|].
      intros p'. unfold index_at at 1. rewrite Z2Nat.id by exact N.
      rewrite (denote_agree G M (tree_at i) _ (moved G y w M q)).
      + rewrite (truth_of_sound y w spoken A M q _ (proj1 ok) Rq Z b B). reflexivity.
      + intros a Ha. rewrite alone_put by assumption. unfold moved, put1.
        destruct (Pos.eqb_spec a y) as [->|D]; [reflexivity|]. symmetry. apply Q, S0.
        rewrite without_in, (alone_leaves G y A). cbn. intuition congruence.
    - intros H. apply with_node_term in H as (t1 & H & ->). apply with_node_term in H as (t2 & H & ->).
      apply andb_true_iff in H as [A H]. split; [exact A|]. intros M ok s r.
      apply (shows_sound G m W _ _ A _ _ _ H M r (proj1 ok)).
    - intros H. apply with_node_term in H as (t1 & H & ->). apply with_node_term in H as (t2 & H & ->).
      intros M ok s r E. apply (shows_given_sound G m W _ _ _ _ _ H M r (proj1 ok) E).
    - intros H. apply with_node_term in H as (t1 & H & ->). apply with_node_term in H as (t2 & H & ->).
      set (mn := monoid_of valuation_of mo) in *. set (y := axis_of valuation_of x) in *.
      destruct (operation_of mn) as [o|] eqn:O; [|discriminate].
      destruct (slots v) as [|l0 ls] eqn:L; [discriminate|]. rewrite <- L in H.
      rewrite !andb_true_iff in H. destruct H as [[A E] H].
      destruct (written_out o _ t1) as [bodies|] eqn:B; [|discriminate].
      intros M ok s r.
      apply (same_eval (least G) (sizes M) (fun _ => 0)) in E; [|apply (least_nonnegative G M (proj1 ok))].
      rewrite close_eval in E. cbn in E. fold (size_of G M y) in E.
      unfold length_of. rewrite E, Nat2Z.id.
      set (n := List.length (slots v)) in *. assert (0 < n)%nat by (unfold n; rewrite L; cbn; lia).
      assert (F : forall a b, meaning G M o [a; b] r = combine mn (a r) (b r))
        by (destruct mn; cbn in O; try discriminate; injection O as <-; reflexivity).
      destruct (written_out_sound M r o (pred n) t1 bodies B _ F) as [Lb D]. rewrite D.
      replace (S (pred n)) with n by lia. unfold fold. rewrite reduce_positive by assumption.
      assert (Al : alone mn = fun a => a) by (destruct mn; cbn in O; try discriminate; reflexivity).
      rewrite Al.
      assert (K : forall k bs (shown : list pairs),
        (fix go (k : nat) (bodies : list positive) (shown : list pairs) : bool :=
           match bodies, shown with
           | [], [] => true
           | i :: bodies, l :: shown => shows G m y (Num (Z.of_nat k)) l i t2 && go (S k) bodies shown
           | _, _ => false end) k bs shown = true ->
        forall j, (j < List.length bs)%nat -> denote G M (tree_at (nth j bs 1%positive)) r
          = denote G M (tree_at t2) (put1 r y (Z.of_nat (k + j)))).
      { intros k bs. revert k. induction bs as [|i bs IHb]; intros k [|l shown]; try discriminate.
        - intros _ j Hj. cbn in Hj. lia.
        - rewrite andb_true_iff. intros [H1 H2] [|j] Hj.
          + cbn [nth]. rewrite Nat.add_0_r. apply (shows_sound G m W _ _ A _ _ _ H1 M r (proj1 ok)).
          + cbn [nth]. rewrite (IHb (S k) shown H2 j) by (cbn in Hj; lia). do 3 f_equal. lia. }
      apply Red_ext; [assumption|]. intros k Hk.
      rewrite (K 0%nat (rev bodies) (slots v) H k) by (rewrite rev_length; lia).
      rewrite alone_put by assumption. reflexivity.
  Qed.
End Checker.

(* Proofs ------------------------------------------------------------------------------------- *)

Inductive reason :=
  | ByLaw (l : nat) (v : assignment)         (* an instance, in either direction *)
  | ByHypothesis (k : nat)                   (* in either direction *)
  | ByCongruence (cited : list (option positive)).  (* the lemma for each child, where it changes *)
(* Number; left and right; the nodes on the way, each with the reason that it is equal. *)
Definition lemma : Type := positive * (positive * positive * list (positive * reason)).
Definition equations := PositiveMap.t (positive * positive).
(* Two nodes that are said to be equal. *)
Definition goal : Type := positive * positive.
Definition joins (g : goal) (a b : positive) : bool :=
  (Pos.eqb a (fst g) && Pos.eqb b (snd g)) || (Pos.eqb a (snd g) && Pos.eqb b (fst g)).

Section Proof.
  Variable laws : list law.
  Hypothesis laws_sound : Forall law_sound laws.
  Variables (G : context) (m : nodes).
  Hypothesis fit : splits_fit G = true.
  Hypothesis W : well_formed G m.
  Variable given : list goal.
  Notation node_at := (node_at m).
  Notation tree_at := (tree_at m).

  Section Matching.
    Variable v : assignment.
    Fixpoint matches (p : pattern) (i : positive) : bool := match p with
      | Var n => match nth_error (node_values v) n with Some j => Pos.eqb i j | None => false end
      | Op o args => match PositiveMap.find i m with
          | None => false
          | Some n => operator_eqb (op n) (operator_instance (valuation_of m v) o)
              && (fix all ps is := match ps, is with
                  | [], [] => true
                  | p :: ps, i :: is => matches p i && all ps is
                  | _, _ => false end) args (children n) end end.

    Section PatternInd.
      Variable P : pattern -> Prop.
      Hypothesis H0 : forall n, P (Var n).
      Hypothesis H1 : forall o args, Forall P args -> P (Op o args).
      Fixpoint pattern_ind' p : P p := match p with
        | Var n => H0 n
        | Op o args => H1 o args ((fix all l : Forall P l := match l with
            | [] => Forall_nil _ | p :: l => Forall_cons _ (pattern_ind' p) (all l) end) args) end.
    End PatternInd.
    Lemma matches_instance p : forall i, matches p i = true ->
      tree_at i = instance (valuation_of m v) p.
    Proof.
      induction p as [n|o args IH] using pattern_ind'; intros i; cbn [matches instance].
      - unfold term_of. cbn [terms valuation_of]. revert n. induction (node_values v) as [|j l IHl];
          intros [|n]; cbn; try discriminate; [|apply IHl].
        intros H. apply Pos.eqb_eq in H. now subst.
      - destruct (PositiveMap.find i m) as [n|] eqn:E; [|discriminate].
        rewrite andb_true_iff. intros [H1 H2]. apply operator_eqb_eq in H1.
        unfold Nodes.tree_at at 1. unfold Nodes.node_at, find. rewrite E.
        apply W in E as (_ & T & _). rewrite T, H1. f_equal. clear - IH H2.
        revert H2. generalize (children n). induction IH as [|p ps Hp _ IHps]; intros [|c cs];
          try discriminate; auto. rewrite andb_true_iff. intros [A B]. cbn. f_equal; auto.
    Qed.
  End Matching.

  Definition cites (E : equations) (k : option positive) (a b : positive) : bool := match k with
    | None => Pos.eqb a b
    | Some k => match PositiveMap.find k E with
        | Some g => joins g a b
        | None => false end end.
  Fixpoint all_cited (E : equations) (ks : list (option positive)) (l r : list positive) : bool :=
    match ks, l, r with
    | [], [], [] => true
    | k :: ks, a :: l, b :: r => cites E k a b && all_cited E ks l r
    | _, _, _ => false end.
  Definition step_holds (E : equations) (here there : positive) (w : reason) : bool := match w with
    | ByLaw l v => match nth_error laws l with
        | None => false
        | Some law =>
            ((matches v (left law) here && matches v (right law) there)
             || (matches v (left law) there && matches v (right law) here))
            && forallb (decide G m v) (conditions law) end
    | ByHypothesis k => match nth_error given k with
        | Some h => joins h here there
        | None => false end
    | ByCongruence ks => match PositiveMap.find here m, PositiveMap.find there m with
        | Some a, Some b => operator_eqb (op a) (op b) && all_cited E ks (children a) (children b)
        | _, _ => false end end.
  (* An index of an axis that is passed through must exist. *)
  Definition passes (l r there : positive) : bool := forallb (fun a =>
    if existsb (Pos.eqb a) (axes_in (node_at l)) then true
    else if existsb (Pos.eqb a) (axes_in (node_at r)) then true
    else nonempty G a) (axes_in (node_at there)).
  Fixpoint chain_holds (E : equations) (l r here : positive) (steps : list (positive * reason)) : bool :=
    match steps with
    | [] => Pos.eqb here r
    | (there, w) :: steps =>
        step_holds E here there w && passes l r there && chain_holds E l r there steps end.
  Fixpoint run (E : equations) (lemmas : list lemma) : option equations := match lemmas with
    | [] => Some E
    | (k, (l, r, steps)) :: lemmas =>
        if chain_holds E l r l steps then run (PositiveMap.add k (l, r) E) lemmas else None end.

  (* In a model in which the hypotheses hold. *)
  Variable M : model.
  Hypothesis ok : model_ok M G.
  Hypothesis s : splits_ok G M.
  Hypothesis given_hold : Forall (fun h => equal_in G M (tree_at (fst h)) (tree_at (snd h))) given.

  Definition equations_hold (E : equations) : Prop := forall k g,
    PositiveMap.find k E = Some g -> equal_in G M (tree_at (fst g)) (tree_at (snd g)).

  Lemma joins_sound g a b : equal_in G M (tree_at (fst g)) (tree_at (snd g)) -> joins g a b = true ->
    equal_in G M (tree_at a) (tree_at b).
  Proof.
    intros H. unfold joins. rewrite orb_true_iff, !andb_true_iff, !Pos.eqb_eq.
    intros [[-> ->]|[-> ->]]; auto using equal_in_sym.
  Qed.
  Lemma cites_sound E k a b : equations_hold E -> cites E k a b = true ->
    equal_in G M (tree_at a) (tree_at b).
  Proof.
    intros HE. destruct k as [k|]; cbn [cites].
    - destruct (PositiveMap.find k E) as [g|] eqn:F; [|discriminate]. apply HE in F.
      now apply joins_sound.
    - intros H. apply Pos.eqb_eq in H. subst. apply equal_in_refl.
  Qed.
  Lemma step_sound E here there w : equations_hold E -> step_holds E here there w = true ->
    equal_in G M (tree_at here) (tree_at there).
  Proof.
    intros HE. destruct w as [l v|k|ks]; cbn [step_holds].
    - destruct (nth_error laws l) as [law|] eqn:L; [|discriminate]. rewrite andb_true_iff.
      intros [H C]. apply nth_error_In in L. rewrite Forall_forall in laws_sound.
      assert (S : equal_in G M (instance (valuation_of m v) (left law))
        (instance (valuation_of m v) (right law))).
      { intros r Rl Rr. apply (laws_sound _ L); auto. rewrite Forall_forall. intros c Hc.
        rewrite forallb_forall in C. apply decide_sound; auto. }
      rewrite orb_true_iff, !andb_true_iff in H. destruct H as [[A B]|[A B]];
        apply matches_instance in A, B; rewrite A, B; auto using equal_in_sym.
    - destruct (nth_error given k) as [h|] eqn:K; [|discriminate]. apply nth_error_In in K.
      rewrite Forall_forall in given_hold. apply joins_sound, given_hold, K.
    - destruct (PositiveMap.find here m) as [a|] eqn:Ha; [|discriminate].
      destruct (PositiveMap.find there m) as [b|] eqn:Hb; [|discriminate].
      rewrite andb_true_iff. intros [H1 H2]. apply operator_eqb_eq in H1.
      unfold Nodes.tree_at, Nodes.node_at, find. rewrite Ha, Hb.
      apply W in Ha as (_ & Ta & _), Hb as (_ & Tb & _). rewrite Ta, Tb, H1.
      apply congruence; auto.
      clear - HE H2. revert H2. generalize (children a) (children b).
      induction ks as [|k ks IH]; intros [|x l] [|y r]; cbn; try discriminate; [constructor|].
      rewrite andb_true_iff. intros [A B]. constructor; [eapply cites_sound; eauto | apply IH, B].
  Qed.

  Lemma axes_at i a : In a (axes_in (node_at i)) <-> In a (free G (tree_at i)).
  Proof. apply (axes_truthful G _ (node_truthful G m i W)). Qed.

  Lemma chain_sound E l r q steps : equations_hold E ->
    in_range G M (free G (tree_at l)) q -> in_range G M (free G (tree_at r)) q ->
    (forall a, ~ In a (free G (tree_at l)) -> ~ In a (free G (tree_at r)) -> q a = 0) ->
    forall here, in_range G M (free G (tree_at here)) q ->
      chain_holds E l r here steps = true -> denote G M (tree_at here) q = denote G M (tree_at r) q.
  Proof.
    intros HE Rl Rr Z. induction steps as [|[there w] steps IH]; intros here Rh; cbn [chain_holds].
    - intros H. apply Pos.eqb_eq in H. now subst.
    - rewrite !andb_true_iff. intros [[H1 H2] H3].
      assert (Rt : in_range G M (free G (tree_at there)) q).
      { intros a Ha. unfold passes in H2. rewrite forallb_forall in H2.
        specialize (H2 a (proj2 (axes_at there a) Ha)).
        destruct (in_dec Pos.eq_dec a (free G (tree_at l))) as [A|A]; [now apply Rl|].
        destruct (in_dec Pos.eq_dec a (free G (tree_at r))) as [B|B]; [now apply Rr|].
        destruct (existsb (Pos.eqb a) (axes_in (node_at l))) eqn:Kl;
          [apply mem_in, axes_at in Kl; contradiction|].
        destruct (existsb (Pos.eqb a) (axes_in (node_at r))) eqn:Kr;
          [apply mem_in, axes_at in Kr; contradiction|].
        apply (nonempty_sound G M a (proj1 ok)) in H2. rewrite Z by assumption. lia. }
      transitivity (denote G M (tree_at there) q); [|now apply IH].
      apply (step_sound E here there w HE H1); auto.
  Qed.
  Lemma lemma_sound E l r steps : equations_hold E -> chain_holds E l r l steps = true ->
    equal_in G M (tree_at l) (tree_at r).
  Proof.
    intros HE H q Rl Rr.
    set (axes := free G (tree_at l) ++ free G (tree_at r)).
    set (q' := fun a => if existsb (Pos.eqb a) axes then q a else 0).
    assert (Q : forall a, In a axes -> q' a = q a)
      by (intros a Ha; unfold q'; now rewrite (proj2 (mem_in a axes) Ha)).
    unfold axes in Q. setoid_rewrite in_app_iff in Q.
    rewrite (denote_agree G M (tree_at l) q q'), (denote_agree G M (tree_at r) q q')
      by (intros a Ha; symmetry; apply Q; auto).
    apply (chain_sound E l r q' steps); auto; try (intros a Ha; rewrite Q by auto; auto).
    intros a A B. unfold q'. destruct (existsb _ _) eqn:K; [|reflexivity].
    apply mem_in in K. unfold axes in K. apply in_app_iff in K as [K|K]; contradiction.
  Qed.
  Lemma run_sound lemmas : forall E E', equations_hold E -> run E lemmas = Some E' -> equations_hold E'.
  Proof.
    induction lemmas as [|[k [[l r] steps]] lemmas IH]; intros E E' HE; cbn [run];
      [intros [= <-]; exact HE|].
    destruct (chain_holds E l r l steps) eqn:H; [|discriminate]. apply IH.
    intros k' g. destruct (Pos.eq_dec k' k) as [->|N].
    - rewrite PositiveMap.gss. intros [= <-]. eapply lemma_sound; eauto.
    - rewrite PositiveMap.gso by assumption. apply HE.
  Qed.
End Proof.

(* Certificates ------------------------------------------------------------------------------- *)

Definition goal_holds (E : equations) (lemmas : list lemma) (g : goal) : bool :=
  Pos.eqb (fst g) (snd g) || existsb (fun l => match PositiveMap.find (fst l) E with
    | Some e => joins e (fst g) (snd g)
    | None => false end) lemmas.
Definition node_table : Type := list (positive * (operator * list positive)).
Definition check (laws : list law) (G : context) (table : node_table) (given : list goal)
    (lemmas : list lemma) (goals : list goal) : bool :=
  splits_fit G
  && let m := build G table in
     match run laws G m given (PositiveMap.empty _) lemmas with
     | Some E => forallb (goal_holds E lemmas) goals
     | None => false end.

(* The term of a node of a certificate. *)
Definition term_at (G : context) (table : node_table) (i : positive) := tree_at (build G table) i.
(* Both sides are equal in a model, at every index. *)
Definition holds_in (G : context) (table : node_table) (M : model) (g : goal) : Prop :=
  equal_in G M (term_at G table (fst g)) (term_at G table (snd g)).

(* A certificate that the checker accepts is a theorem: its goals are equal at all sizes, for all
   inputs of which its hypotheses hold. *)
Theorem check_sound laws G table given lemmas goals : Forall law_sound laws ->
  check laws G table given lemmas goals = true ->
  forall M, model_ok M G -> splits_ok G M ->
  Forall (holds_in G table M) given -> Forall (holds_in G table M) goals.
Proof.
  intros L. unfold check. rewrite andb_true_iff. intros [F H] M ok s K. cbv zeta in H.
  destruct (run _ _ _ _ _ _) as [E|] eqn:R; [|discriminate].
  assert (W := build_well_formed G table).
  apply (run_sound laws L G _ F W given M ok s K) in R;
    [|intros k g; rewrite PositiveMap.gempty; discriminate].
  rewrite forallb_forall in H. apply Forall_forall. intros [i j] Hg. specialize (H _ Hg).
  unfold goal_holds in H. unfold holds_in. cbn [fst snd] in *. rewrite orb_true_iff in H.
  destruct H as [H|H].
  - apply Pos.eqb_eq in H. subst. apply equal_in_refl.
  - apply existsb_exists in H as (l & _ & H).
    destruct (PositiveMap.find (fst l) E) as [e|] eqn:P; [|discriminate]. apply R in P.
    now apply (joins_sound G _ M e).
Qed.
(* Without hypotheses: for all inputs. *)
Corollary check_sound_outright laws G table lemmas goals : Forall law_sound laws ->
  check laws G table [] lemmas goals = true ->
  Forall (fun g => equal G (term_at G table (fst g)) (term_at G table (snd g))) goals.
Proof.
  intros L H. apply Forall_forall. intros g Hg M r ok s.
  assert (A := check_sound laws G table [] lemmas goals L H M ok s (Forall_nil _)).
  rewrite Forall_forall in A. apply (A g Hg).
Qed.
