(* What a tiled schedule moves between two memories, counted; and the least that it can move.

   The counts are lengths of traces: lists of the loads and stores that the loops of a schedule
   make, one for each number moved.  The bounds are inequalities between real numbers. *)

From Coq Require Import List Permutation Arith Lia Bool Reals Lra.
Import ListNotations.

Fixpoint product (f : nat -> nat) (l : list nat) : nat :=
  match l with [] => 1 | a :: rest => f a * product f rest end.
Fixpoint total {X} (f : X -> nat) (l : list X) : nat :=
  match l with [] => 0 | x :: rest => f x + total f rest end.
Definition member (l : list nat) (a : nat) : bool := existsb (Nat.eqb a) l.
Definition disjoint (l m : list nat) : bool := forallb (fun a => negb (member l a)) m.

(* The trace of a schedule ------------------------------------------------------------------- *)

(* Axes are numbered.  Axis a has [blocks a] blocks of [width a] indices: groups for a weaved axis
   (width g_a), steps for a streamed one (width s_a), one block for an axis left whole. *)
Section Schedule.
  Variables blocks width : nat -> nat.
  Definition size (a : nat) : nat := blocks a * width a.

  (* An array has a name and axes.  What is moved: one element of one array, by its index. *)
  Definition array : Type := nat * list nat.
  Definition axes (r : array) : list nat := snd r.
  Inductive transfer :=
    | Load (name : nat) (index : list nat)
    | Store (name : nat) (index : list nat).
  Definition position := nat -> nat.
  Definition at_block (p : position) (a k : nat) : position := fun b => if b =? a then k else p b.

  (* The indices of the tile of an array at block p: p_a·width + u for each of its axes a. *)
  Fixpoint tile (r : list nat) (p : position) : list (list nat) := match r with
    | [] => [[]]
    | a :: r' =>
        flat_map (fun u => map (cons (p a * width a + u)) (tile r' p)) (seq 0 (width a)) end.
  Definition loads (p : position) (r : array) : list transfer :=
    map (Load (fst r)) (tile (axes r) p).
  Definition stores (p : position) (r : array) : list transfer :=
    map (Store (fst r)) (tile (axes r) p).

  (* A loop over the blocks of each of the axes. *)
  Fixpoint nest (loops : list nat) (body : position -> list transfer) (p : position) :=
    match loops with
    | [] => body p
    | a :: rest => flat_map (fun k => nest rest body (at_block p a k)) (seq 0 (blocks a)) end.

  (* Streaming: an array is loaded outside the loops over streamed axes that it does not have. *)
  Fixpoint stream (streamed : list nat) (inputs : list array) (p : position) : list transfer :=
    match streamed with
    | [] => flat_map (loads p) inputs
    | s :: rest =>
        flat_map (loads p) (filter (fun r => disjoint (axes r) streamed) inputs) ++
        nest [s] (stream rest (filter (fun r => negb (disjoint (axes r) streamed)) inputs)) p end.

  (* FlashAttention on a Napkin, group and stream partitions: every group of blocks of the weaved
     axes loads its part of the inputs, streams, and stores its part of the outputs. *)
  Definition schedule (weaved streamed : list nat) (inputs outputs : list array) :=
    nest weaved (fun p => stream streamed inputs p ++ flat_map (stores p) outputs) (fun _ => 0).

  (* Counting ------------------------------------------------------------------------------- *)

  Lemma length_append {X} (l m : list X) : length (l ++ m) = length l + length m.
  Proof. induction l; cbn; auto. Qed.
  Lemma length_flat_map {X Y} (f : X -> list Y) l :
    length (flat_map f l) = total (fun x => length (f x)) l.
  Proof. induction l as [|x l IH]; cbn; [reflexivity|]. now rewrite length_append, IH. Qed.
  Lemma length_mapped {X Y} (f : X -> Y) l : length (map f l) = length l.
  Proof. induction l; cbn; auto. Qed.
  Lemma total_ext {X} (f g : X -> nat) l : (forall x, In x l -> f x = g x) -> total f l = total g l.
  Proof.
    intros H. induction l as [|x l IH]; cbn; [reflexivity|].
    now rewrite IH, H by (cbn in *; auto).
  Qed.
  Lemma total_constant_seq c n k : total (fun _ => c) (seq k n) = n * c.
  Proof. revert k. induction n as [|n IH]; intros k; cbn; [reflexivity|]. now rewrite IH. Qed.
  Lemma total_scale {X} c (f : X -> nat) l : c * total f l = total (fun x => c * f x) l.
  Proof. induction l as [|x l IH]; cbn; [lia|]. rewrite <- IH. lia. Qed.
  Lemma total_append {X} (f : X -> nat) l m : total f (l ++ m) = total f l + total f m.
  Proof. induction l as [|x l IH]; cbn; [reflexivity|]. rewrite IH. lia. Qed.
  Lemma total_filter {X} (P : X -> bool) (f : X -> nat) l :
    total f l = total f (filter P l) + total f (filter (fun x => negb (P x)) l).
  Proof. induction l as [|x l IH]; cbn; [reflexivity|]. destruct (P x); cbn; rewrite IH; lia. Qed.
  Lemma product_append f l m : product f (l ++ m) = product f l * product f m.
  Proof. induction l as [|x l IH]; cbn; [lia|]. rewrite IH. lia. Qed.
  Lemma product_filter (P : nat -> bool) f l :
    product f l = product f (filter P l) * product f (filter (fun x => negb (P x)) l).
  Proof. induction l as [|x l IH]; cbn; [reflexivity|]. destruct (P x); cbn; rewrite IH; lia. Qed.
  Lemma product_one f l : (forall a, In a l -> f a = 1) -> product f l = 1.
  Proof.
    intros H. induction l as [|a l IH]; cbn; [reflexivity|].
    now rewrite H, IH by (cbn in *; auto).
  Qed.
  Lemma product_permutation f l m : Permutation l m -> product f l = product f m.
  Proof. induction 1; cbn; try lia. Qed.
  Lemma member_In l a : member l a = true <-> In a l.
  Proof.
    unfold member. rewrite existsb_exists. split.
    - intros (b & Hb & E). apply Nat.eqb_eq in E. now subst.
    - intros H. exists a. auto using Nat.eqb_refl.
  Qed.

  Lemma length_tile r p : length (tile r p) = product width r.
  Proof.
    induction r as [|a r IH]; [reflexivity|]. cbn [tile]. rewrite length_flat_map.
    rewrite (total_ext _ (fun _ => product width r)) by (intros; now rewrite length_mapped).
    apply total_constant_seq.
  Qed.
  Lemma length_nest loops body c p :
    (forall p, length (body p) = c) -> length (nest loops body p) = product blocks loops * c.
  Proof.
    intros H. revert p. induction loops as [|a loops IH]; intros p; cbn [nest].
    - rewrite H. cbn. lia.
    - rewrite length_flat_map, (total_ext _ (fun _ => product blocks loops * c))
        by (intros; apply IH).
      rewrite total_constant_seq. cbn. lia.
  Qed.

  (* An array has a prefix of the streamed axes, outermost first; with one streamed axis, always. *)
  Fixpoint in_order (streamed r : list nat) : Prop := match streamed with
    | [] => True
    | s :: rest => disjoint r streamed = true \/ (In s r /\ in_order rest r) end.

  Lemma disjoint_filter r l : disjoint r l = true -> filter (member r) l = [].
  Proof.
    induction l as [|a l IH]; cbn; [reflexivity|]. intros H. apply andb_true_iff in H as [H1 H2].
    apply negb_true_iff in H1. now rewrite H1, IH.
  Qed.
  Lemma length_stream streamed inputs p : (forall r, In r inputs -> in_order streamed (axes r)) ->
    length (stream streamed inputs p)
    = total (fun r => product blocks (filter (member (axes r)) streamed) * product width (axes r))
        inputs.
  Proof.
    revert inputs p. induction streamed as [|s rest IH]; intros inputs p H.
    - cbn [stream]. rewrite length_flat_map. apply total_ext. intros r _. unfold loads.
      rewrite length_mapped, length_tile. cbn. lia.
    - cbn [stream]. rewrite length_append, length_flat_map.
      rewrite (total_filter (fun r => disjoint (axes r) (s :: rest)) _ inputs). f_equal.
      + apply total_ext. intros r Hr. apply filter_In in Hr as [_ D].
        rewrite (disjoint_filter (axes r) (s :: rest)) by exact D. unfold loads.
        rewrite length_mapped, length_tile. cbn. lia.
      + assert (G : forall r,
            In r (filter (fun r => negb (disjoint (axes r) (s :: rest))) inputs) ->
            In s (axes r) /\ in_order rest (axes r)).
        { intros r Hr. apply filter_In in Hr as [Hr D]. apply negb_true_iff in D.
          destruct (H r Hr) as [D' | O]; [congruence | exact O]. }
        erewrite length_nest by (intros q; apply IH; intros r Hr; now apply G).
        rewrite total_scale. apply total_ext. intros r Hr. destruct (G r Hr) as [Hs _].
        cbn [filter]. apply member_In in Hs as ->. cbn. lia.
  Qed.

  (* One array: its tile, loaded in every turn of the loops around it. *)
  Lemma tile_times_blocks loops r : NoDup loops -> NoDup r ->
    (forall a, In a r -> ~ In a loops -> blocks a = 1) ->
    product blocks (filter (member r) loops) * product width r = product size r.
  Proof.
    intros N M H.
    assert (E : product size r = product blocks r * product width r).
    { clear. induction r as [|a r IH]; cbn; [reflexivity|]. rewrite IH. unfold size. lia. }
    rewrite E, (product_filter (member loops) blocks r). f_equal.
    rewrite (product_one blocks (filter (fun a => negb (member loops a)) r)).
    - rewrite Nat.mul_1_r. apply product_permutation, NoDup_Permutation; auto using NoDup_filter.
      intros a. rewrite !filter_In, !member_In. tauto.
    - intros a Ha. apply filter_In in Ha as [Ha L]. apply H; [assumption|]. intros C.
      apply member_In in C. rewrite C in L. discriminate.
  Qed.

  (* FlashAttention on a Napkin, the transfer law: every array is moved once for each block of the
     weaved axes that it does not have, H = Σ_r |r|·Π (a_i/g_i) over weaved i not in r.  The number
     of transfers in the trace is H. *)
  Definition moved (weaved : list nat) (r : array) : nat :=
    product size (axes r) * product blocks (filter (fun a => negb (member (axes r) a)) weaved).
  Theorem transfer_law weaved streamed inputs outputs :
    NoDup (weaved ++ streamed) ->
    (forall r, In r (inputs ++ outputs) -> NoDup (axes r) /\
      forall a, In a (axes r) -> ~ In a (weaved ++ streamed) -> blocks a = 1) ->
    (forall r, In r inputs -> in_order streamed (axes r)) ->
    (forall r, In r outputs -> disjoint (axes r) streamed = true) ->
    length (schedule weaved streamed inputs outputs) = total (moved weaved) (inputs ++ outputs).
  Proof.
    intros N A I O. unfold schedule.
    set (each := fun r =>
      product blocks (filter (member (axes r)) streamed) * product width (axes r)).
    rewrite (length_nest _ _ (total each (inputs ++ outputs))).
    - rewrite total_scale. apply total_ext. intros r Hr. destruct (A r Hr) as [Nr Br].
      unfold moved. rewrite <- (tile_times_blocks _ (axes r) N Nr Br), filter_app, product_append.
      rewrite (product_filter (member (axes r)) blocks weaved). unfold each. lia.
    - intros p. rewrite length_append, total_append, length_stream by assumption. f_equal.
      rewrite length_flat_map. apply total_ext. intros r Hr. unfold stores, each.
      rewrite length_mapped, length_tile, (disjoint_filter (axes r) streamed) by auto. cbn. lia.
  Qed.

  (* Each element -------------------------------------------------------------------------- *)

  (* Which transfers are made: every element of an input is loaded, as often as the law says. *)
  Fixpoint same (x y : list nat) : bool := match x, y with
    | [], [] => true
    | i :: x', j :: y' => (i =? j) && same x' y'
    | _, _ => false end.
  Definition is_load (name : nat) (x : list nat) (t : transfer) : bool := match t with
    | Load n y => (n =? name) && same y x
    | Store _ _ => false end.
  Definition is_store (name : nat) (x : list nat) (t : transfer) : bool := match t with
    | Load _ _ => false
    | Store n y => (n =? name) && same y x end.
  Definition count {X} (P : X -> bool) (l : list X) : nat :=
    total (fun x => if P x then 1 else 0) l.
  Definition in_bounds (r x : list nat) : Prop := Forall2 (fun a i => i < size a) r x.
  (* Block p holds index x, but for the axes in [free]. *)
  Fixpoint located (free r x : list nat) (p : position) : bool := match r, x with
    | a :: r', i :: x' => (member free a || (p a =? i / width a)) && located free r' x' p
    | _, _ => true end.

  Lemma count_append {X} (P : X -> bool) l m : count P (l ++ m) = count P l + count P m.
  Proof. apply total_append. Qed.
  Lemma count_flat_map {X Y} (P : Y -> bool) (f : X -> list Y) l :
    count P (flat_map f l) = total (fun x => count P (f x)) l.
  Proof.
    induction l as [|x l IH]; [reflexivity|]. cbn [flat_map total].
    now rewrite count_append, IH.
  Qed.
  Lemma count_map {X Y} (P : Y -> bool) (f : X -> Y) l :
    count P (map f l) = count (fun x => P (f x)) l.
  Proof. induction l as [|x l IH]; cbn; [reflexivity|]. unfold count in IH. now rewrite IH. Qed.
  Lemma total_zero {X} (f : X -> nat) l : (forall x, In x l -> f x = 0) -> total f l = 0.
  Proof.
    intros H. induction l as [|x l IH]; cbn; [reflexivity|].
    rewrite H, IH by (cbn in *; auto). reflexivity.
  Qed.
  Lemma total_single {X} (f : X -> nat) l y : NoDup l -> In y l ->
    (forall x, In x l -> x <> y -> f x = 0) -> total f l = f y.
  Proof.
    intros N. induction N as [|x l Hx N IH]; cbn; [tauto|]. intros [-> | Hy] H.
    - rewrite total_zero; [lia|]. intros z Hz. apply H; auto. congruence.
    - rewrite IH, (H x) by (auto; congruence). reflexivity.
  Qed.
  Lemma count_none {X} (P : X -> bool) l : (forall x, P x = false) -> count P l = 0.
  Proof. intros H. apply total_zero. intros x _. now rewrite H. Qed.

  Lemma count_tile r x p : in_bounds r x ->
    count (fun y => same y x) (tile r p) = if located [] r x p then 1 else 0.
  Proof.
    intros B. induction B as [|a i r x Hi B IH]; [reflexivity|]. cbn [tile located member existsb].
    rewrite count_flat_map. unfold size in Hi.
    assert (W : 0 < width a) by (destruct (width a); lia).
    pose proof (Nat.div_mod i (width a) ltac:(lia)) as D.
    pose proof (Nat.mod_upper_bound i (width a) ltac:(lia)) as U.
    set (q := i / width a) in *. set (m := i mod width a) in *.
    assert (Q : forall u, u < width a -> p a * width a + u = i <-> p a = q /\ u = m).
    { intros u Hu. split; [|intros [-> ->]; lia]. intros E.
      assert (C : p a = q) by (apply Nat.le_antisymm; apply Nat.lt_succ_r; nia).
      rewrite C in E. split; [assumption | lia]. }
    rewrite (total_ext _ (fun u => if (p a * width a + u =? i)
        then count (fun y => same y x) (tile r p) else 0)).
    2: { intros u _. rewrite count_map. cbn [same]. destruct (_ =? i); [reflexivity|].
         now apply count_none. }
    rewrite IH. cbn [orb]. destruct (Nat.eqb_spec (p a) q) as [E | E]; cbn [andb].
    - rewrite (total_single _ _ m).
      + destruct (Nat.eqb_spec (p a * width a + m) i); [reflexivity|]. exfalso. apply n, Q; auto.
      + apply seq_NoDup.
      + apply in_seq. lia.
      + intros u Hu N. apply in_seq in Hu.
        destruct (Nat.eqb_spec (p a * width a + u) i) as [C|]; auto.
        apply Q in C; [|lia]. tauto.
    - apply total_zero. intros u Hu. apply in_seq in Hu.
      destruct (Nat.eqb_spec (p a * width a + u) i) as [C|]; auto. apply Q in C; [|lia]. tauto.
  Qed.

  Lemma located_elsewhere free r x p a k : ~ In a r ->
    located free r x (at_block p a k) = located (a :: free) r x p.
  Proof.
    revert x. induction r as [|b r IH]; intros [|i x] H; try reflexivity.
    cbn [located]. rewrite IH by (cbn in *; tauto). f_equal. unfold at_block, member. cbn [existsb].
    destruct (Nat.eqb_spec b a) as [-> | _]; [cbn in H; tauto | reflexivity].
  Qed.
  Lemma located_here free r x p a : NoDup r -> In a r -> ~ In a free -> in_bounds r x ->
    exists j, j < blocks a /\
      forall k, located free r x (at_block p a k) = (k =? j) && located (a :: free) r x p.
  Proof.
    intros N Ha F B. induction B as [|b i r x Hi B IH]; [destruct Ha|].
    inversion N as [|? ? Nb Nr]; subst. cbn [located]. destruct (Nat.eq_dec b a) as [-> | E].
    - exists (i / width a). split.
      + unfold size in Hi. apply Nat.div_lt_upper_bound; [|lia]. intros Z. rewrite Z in Hi. lia.
      + intros k. rewrite located_elsewhere by assumption. unfold at_block. rewrite Nat.eqb_refl.
        destruct (member free a) eqn:M; [apply member_In in M; tauto|].
        unfold member at 1. cbn [existsb]. now rewrite Nat.eqb_refl.
    - destruct Ha as [-> | Ha]; [tauto|]. destruct (IH Nr Ha) as (j & Hj & H). exists j.
      split; [assumption|]. intros k. rewrite H. unfold at_block at 1, member at 2. cbn [existsb].
      apply Nat.eqb_neq in E. rewrite E. cbn [orb].
      destruct (k =? j); cbn [andb]; [reflexivity | apply andb_false_r].
  Qed.

  Lemma count_nest P free loops body p r x : NoDup loops -> NoDup r -> in_bounds r x ->
    (forall a, In a loops -> ~ In a free) ->
    (forall p, count P (body p) = if located free r x p then 1 else 0) ->
    count P (nest loops body p) = product blocks (filter (fun a => negb (member r a)) loops)
      * if located (loops ++ free) r x p then 1 else 0.
  Proof.
    intros N Nr B F H. revert p. induction N as [|a loops Ha N IH]; intros p.
    - cbn [nest filter product app]. rewrite H. lia.
    - cbn [nest app]. rewrite count_flat_map.
      specialize (IH ltac:(intros b Hb; apply F; cbn; auto)).
      rewrite (total_ext _ (fun k => product blocks (filter (fun a => negb (member r a)) loops)
        * if located (loops ++ free) r x (at_block p a k) then 1 else 0)) by (intros; apply IH).
      cbn [filter]. destruct (member r a) eqn:M; cbn [negb].
      + apply member_In in M.
        destruct (located_here (loops ++ free) r x p a Nr M) as (j & Hj & L); [|assumption|].
        { rewrite in_app_iff. intros [C | C]; [tauto|]. apply (F a); cbn; auto. }
        rewrite (total_single _ _ j).
        * rewrite L, Nat.eqb_refl. reflexivity.
        * apply seq_NoDup.
        * apply in_seq. lia.
        * intros k _ E. rewrite L. apply Nat.eqb_neq in E. rewrite E. cbn [andb]. lia.
      + assert (C : ~ In a r) by (intros C; apply member_In in C; congruence).
        rewrite (total_ext _ (fun _ => product blocks (filter (fun a => negb (member r a)) loops)
          * if located (a :: loops ++ free) r x p then 1 else 0))
          by (intros; now rewrite located_elsewhere).
        rewrite total_constant_seq. cbn [product]. lia.
  Qed.

  Lemma count_loads name x r p : in_bounds (axes r) x ->
    count (is_load name x) (loads p r)
    = if fst r =? name then if located [] (axes r) x p then 1 else 0 else 0.
  Proof.
    intros B. unfold loads. rewrite count_map. cbn [is_load].
    destruct (fst r =? name); cbn [andb]; [now apply count_tile | now apply count_none].
  Qed.
  Lemma count_other_loads name x r p : fst r <> name -> count (is_load name x) (loads p r) = 0.
  Proof.
    intros E. unfold loads. rewrite count_map. apply count_none. intros y. cbn.
    apply Nat.eqb_neq in E. now rewrite E.
  Qed.
  Lemma count_input name x inputs r p : NoDup inputs -> in_bounds (axes r) x -> fst r = name ->
    (forall r', In r' inputs -> fst r' = name -> r' = r) -> In r inputs ->
    count (is_load name x) (flat_map (loads p) inputs) = if located [] (axes r) x p then 1 else 0.
  Proof.
    intros N B E U I. rewrite count_flat_map, (total_single _ _ r); auto.
    - rewrite count_loads by assumption. now rewrite E, Nat.eqb_refl.
    - intros r' Hr' D. apply count_other_loads. intros C. apply D. auto.
  Qed.
  Lemma count_no_input name x streamed inputs p : (forall r, In r inputs -> fst r <> name) ->
    count (is_load name x) (stream streamed inputs p) = 0.
  Proof.
    revert inputs p. induction streamed as [|s rest IH]; intros inputs p H; cbn [stream nest].
    - rewrite count_flat_map. apply total_zero. intros r Hr. now apply count_other_loads, H.
    - rewrite count_append, !count_flat_map, !total_zero; [reflexivity | |].
      + intros k _. apply IH. intros r Hr. apply filter_In in Hr. now apply H.
      + intros r Hr. apply filter_In in Hr. now apply count_other_loads, H.
  Qed.
  Lemma located_disjoint free r x p :
    disjoint r free = true -> located free r x p = located [] r x p.
  Proof.
    intros D. assert (E : forall a, In a r -> member free a = false).
    { intros a Ha. destruct (member free a) eqn:M; [|reflexivity]. apply member_In in M.
      unfold disjoint in D. rewrite forallb_forall in D. specialize (D a M).
      apply member_In in Ha. rewrite Ha in D. discriminate. }
    clear D. revert x. induction r as [|a r IH]; intros [|i x]; auto. cbn [located].
    rewrite E, IH by (cbn in *; auto). reflexivity.
  Qed.
  Lemma count_stream name x streamed inputs r p : NoDup streamed -> NoDup inputs ->
    NoDup (axes r) -> in_bounds (axes r) x -> fst r = name ->
    (forall r', In r' inputs -> fst r' = name -> r' = r) -> In r inputs ->
    in_order streamed (axes r) ->
    count (is_load name x) (stream streamed inputs p)
    = if located streamed (axes r) x p then 1 else 0.
  Proof.
    intros Ns. revert inputs p. induction Ns as [|s rest Hs Ns IH]; intros inputs p N Nr B E U I O.
    - cbn [stream]. now apply count_input.
    - cbn [stream]. rewrite count_append.
      destruct (disjoint (axes r) (s :: rest)) eqn:D.
      + rewrite (count_input name x _ r) by
          (auto using NoDup_filter; try (intros r' Hr'; apply filter_In in Hr' as [Hr' _]; auto);
           apply filter_In; auto).
        rewrite (located_disjoint (s :: rest)) by exact D. cbn [nest].
        rewrite count_flat_map, total_zero; [lia|]. intros k _. apply count_no_input.
        intros r' Hr' C. apply filter_In in Hr' as [Hr' D']. rewrite (U r') in D' by auto.
        rewrite D in D'. discriminate.
      + destruct O as [O | [Hsr O]]; [congruence|].
        assert (Z : count (is_load name x) (flat_map (loads p)
          (filter (fun r => disjoint (axes r) (s :: rest)) inputs)) = 0).
        { rewrite count_flat_map. apply total_zero. intros r' Hr'.
          apply filter_In in Hr' as [Hr' D']. apply count_other_loads. intros C.
          rewrite (U r') in D' by auto. congruence. }
        rewrite Z. rewrite (count_nest _ rest [s] _ p (axes r) x); auto.
        * cbn [filter product app]. apply member_In in Hsr. rewrite Hsr. cbn. lia.
        * repeat constructor. auto.
        * intros a [<- | []]. assumption.
        * intros p'. apply IH; auto using NoDup_filter.
          -- intros r' Hr'. apply filter_In in Hr' as [Hr' _]. auto.
          -- apply filter_In. rewrite D. auto.
  Qed.

  Lemma disjoint_loops (l m : list nat) : NoDup (l ++ m) ->
    NoDup l /\ NoDup m /\ forall a, In a l -> ~ In a m.
  Proof.
    intros N. induction l as [|a l IH]; cbn in *; [split; [constructor | tauto]|].
    inversion N as [|? ? Ha Nl]; subst. rewrite in_app_iff in Ha. destruct (IH Nl) as (A & C & D).
    repeat split; auto; [constructor; tauto|]. intros b [<- | Hb]; [tauto | auto].
  Qed.
  Lemma named_apart (l : list array) r : NoDup (map fst l) -> In r l ->
    NoDup l /\ forall r', In r' l -> fst r' = fst r -> r' = r.
  Proof.
    intros M I. induction l as [|r0 l IH]; [destruct I|]. cbn in M.
    inversion M as [|? ? H0 M']; subst. split.
    - constructor; [intros C; apply H0, in_map, C|]. now apply NoDup_map_inv in M'.
    - intros r' [<- | Hr'] E; destruct I as [<- | I]; auto.
      + exfalso. apply H0. rewrite E. now apply in_map.
      + exfalso. apply H0. rewrite <- E. now apply in_map.
      + now apply IH.
  Qed.
  Lemma located_first free r x : in_bounds r x ->
    (forall a, In a r -> ~ In a free -> blocks a = 1) -> located free r x (fun _ => 0) = true.
  Proof.
    intros B Bl. induction B as [|a i r x Hi B IH]; [reflexivity|]. cbn [located].
    rewrite IH by (intros; apply Bl; cbn; auto).
    destruct (member free a) eqn:M; [reflexivity|]. cbn [orb].
    unfold size in Hi. rewrite (Bl a) in Hi; cbn; auto.
    - rewrite Nat.div_small by lia. reflexivity.
    - intros C. apply member_In in C. congruence.
  Qed.

  (* Every element of an input is loaded, and every element of an output is stored, once for each
     block of the weaved axes that the array does not have; nothing else is moved, by
     [transfer_law]. *)
  Theorem each_element_loaded weaved streamed inputs outputs r x :
    NoDup (weaved ++ streamed) -> NoDup (map fst inputs) -> In r inputs -> NoDup (axes r) ->
    (forall a, In a (axes r) -> ~ In a (weaved ++ streamed) -> blocks a = 1) ->
    in_order streamed (axes r) -> in_bounds (axes r) x ->
    count (is_load (fst r) x) (schedule weaved streamed inputs outputs)
    = product blocks (filter (fun a => negb (member (axes r) a)) weaved).
  Proof.
    intros N M I Nr Bl O B. unfold schedule.
    destruct (disjoint_loops _ _ N) as (Nw & Ns & D), (named_apart _ _ M I) as [Ni U].
    rewrite (count_nest _ streamed _ _ _ (axes r) x); auto.
    - rewrite located_first by assumption. lia.
    - intros p. rewrite count_append, (count_stream _ x streamed inputs r) by auto.
      enough (Z : count (is_load (fst r) x) (flat_map (stores p) outputs) = 0) by (rewrite Z; lia).
      rewrite count_flat_map. apply total_zero. intros r' _. unfold stores. rewrite count_map.
      now apply count_none.
  Qed.
  Lemma stream_does_not_store name x streamed inputs p :
    count (is_store name x) (stream streamed inputs p) = 0.
  Proof.
    assert (L : forall l p, count (is_store name x) (flat_map (loads p) l) = 0).
    { intros l q. rewrite count_flat_map. apply total_zero. intros r _. unfold loads.
      rewrite count_map. now apply count_none. }
    revert inputs p. induction streamed as [|s rest IH]; intros inputs p; cbn [stream nest].
    - apply L.
    - rewrite count_append, L, count_flat_map, total_zero; auto.
  Qed.
  Theorem each_element_stored weaved streamed inputs outputs r x :
    NoDup weaved -> NoDup (map fst outputs) -> In r outputs -> NoDup (axes r) ->
    (forall a, In a (axes r) -> ~ In a weaved -> blocks a = 1) -> in_bounds (axes r) x ->
    count (is_store (fst r) x) (schedule weaved streamed inputs outputs)
    = product blocks (filter (fun a => negb (member (axes r) a)) weaved).
  Proof.
    intros Nw M I Nr Bl B. unfold schedule. destruct (named_apart _ _ M I) as [No U].
    rewrite (count_nest _ [] _ _ _ (axes r) x); auto.
    - rewrite located_first by (rewrite ?app_nil_r; assumption). lia.
    - intros p. rewrite count_append, stream_does_not_store. cbn [Nat.add].
      rewrite count_flat_map, (total_single _ _ r); auto.
      + unfold stores. rewrite count_map. cbn [is_store]. rewrite Nat.eqb_refl. cbn [andb].
        now apply count_tile.
      + intros r' Hr' E. unfold stores. rewrite count_map. apply count_none. intros y. cbn.
        destruct (Nat.eqb_spec (fst r') (fst r)); [|reflexivity]. exfalso. auto.
  Qed.

  (* What is held inside the loops: one tile of every array. *)
  Definition held (arrays : list array) : nat :=
    total (fun r => product width (axes r)) arrays.
End Schedule.

Local Open Scope R_scope.

(* The law as the paper writes it, with a_i/g_i for the number of groups. *)
Definition ratio (blocks width : nat -> nat) (a : nat) : R :=
  INR (size blocks width a) / INR (width a).
Fixpoint real_product (f : nat -> R) (l : list nat) : R :=
  match l with [] => 1 | a :: rest => f a * real_product f rest end.
Lemma real_product_INR f l : real_product (fun a => INR (f a)) l = INR (product f l).
Proof.
  induction l as [|a l IH]; cbn [real_product product]; [reflexivity|]. now rewrite mult_INR, IH.
Qed.
Theorem transfer_law_real blocks width weaved r : (forall a, In a weaved -> (0 < width a)%nat) ->
  INR (moved blocks width weaved r) = real_product (fun a => INR (size blocks width a)) (axes r)
    * real_product (ratio blocks width) (filter (fun a => negb (member (axes r) a)) weaved).
Proof.
  intros H. unfold moved. rewrite mult_INR, real_product_INR. f_equal.
  induction weaved as [|a w IH]; [reflexivity|]. cbn [filter].
  assert (W : forall a, In a w -> (0 < width a)%nat) by (intros; apply H; cbn; auto).
  destruct (member (axes r) a); cbn [negb]; [exact (IH W)|].
  cbn [product real_product]. rewrite mult_INR. f_equal; [|exact (IH W)].
  unfold ratio, size. rewrite mult_INR. field.
  apply not_0_INR. specialize (H a (or_introl eq_refl)). lia.
Qed.

(* Matrix multiplication and attention ------------------------------------------------------- *)

Definition entry (l : list nat) (a : nat) : nat := nth a l 1%nat.

(* a×b times b×c, axes 0, 1, 2; groups of rows and columns are weaved, b is streamed. *)
Section Matmul.
  Variables n_a g_a n_b s_b n_c g_c : nat.
  Definition matmul_blocks := entry [n_a; n_b; n_c].
  Definition matmul_widths := entry [g_a; s_b; g_c].
  Definition matmul_inputs : list array := [(0, [0; 1]); (1, [1; 2])]%nat.
  Definition matmul_outputs : list array := [(2, [0; 2])]%nat.
  Definition matmul_schedule :=
    schedule matmul_blocks matmul_widths [0; 2]%nat [1]%nat matmul_inputs matmul_outputs.
  Let a := INR (n_a * g_a). Let b := INR (n_b * s_b). Let c := INR (n_c * g_c).

  (* FlashAttention on a Napkin, Fig. 18: H = abc(1/g_a + 1/g_c) + ac. *)
  Theorem matmul_transfers : (0 < g_a)%nat -> (0 < g_c)%nat ->
    INR (length matmul_schedule) = a * b * c * (1 / INR g_a + 1 / INR g_c) + a * c.
  Proof.
    intros Ha Hc. unfold matmul_schedule. rewrite transfer_law.
    - cbn. unfold size, matmul_blocks, matmul_widths, entry, a, b, c. cbn [nth].
      repeat (rewrite plus_INR || rewrite mult_INR). apply lt_INR in Ha, Hc. cbn in Ha, Hc.
      cbn [INR]. field. lra.
    - cbn. repeat constructor; cbn; lia.
    - cbn. intros r [<- | [<- | [<- | []]]]; (split; [repeat constructor; cbn; lia|]); cbn; lia.
    - cbn. intros r [<- | [<- | []]]; cbn; tauto.
    - cbn. intros r [<- | []]; reflexivity.
  Qed.
  (* M ≥ g_a·g_c + g_a·s_b + s_b·g_c. *)
  Theorem matmul_memory : held matmul_widths (matmul_inputs ++ matmul_outputs)
    = (g_a * g_c + g_a * s_b + s_b * g_c)%nat.
  Proof. cbn. unfold matmul_widths, entry. cbn [nth]. lia. Qed.
End Matmul.

(* Attention: queries, keys, features are axes 0, 1, 2; q is weaved, x is streamed, d is whole. *)
Section Attention.
  Variables n_q g_q n_x s_x d : nat.
  Definition attention_blocks := entry [n_q; n_x; 1]%nat.
  Definition attention_widths := entry [g_q; s_x; d].
  Definition attention_inputs : list array := [(0, [0; 2]); (1, [1; 2]); (2, [1; 2])]%nat.
  Definition attention_outputs : list array := [(3, [0; 2])]%nat.
  Definition attention_schedule := schedule attention_blocks attention_widths [0]%nat [1]%nat
    attention_inputs attention_outputs.
  Let q := INR (n_q * g_q). Let x := INR (n_x * s_x).

  (* FlashAttention on a Napkin, Fig. 21: H = 2qd + 2xqd/g_q. *)
  Theorem attention_transfers : (0 < g_q)%nat ->
    INR (length attention_schedule) = 2 * q * INR d + 2 * x * q * INR d / INR g_q.
  Proof.
    intros Hq. unfold attention_schedule. rewrite transfer_law.
    - cbn. unfold size, attention_blocks, attention_widths, entry, q, x. cbn [nth].
      repeat (rewrite plus_INR || rewrite mult_INR). apply lt_INR in Hq. cbn in Hq.
      cbn [INR]. field. lra.
    - cbn. repeat constructor; cbn; lia.
    - cbn. intros r H. assert (C : axes r = [0; 2]%nat \/ axes r = [1; 2]%nat).
      { now repeat destruct H as [<- | H]; cbn; auto. }
      destruct C as [-> | ->]; (split; [repeat constructor; cbn; lia|]);
        intros a [<- | [<- | []]]; cbn; lia.
    - cbn. intros r [<- | [<- | [<- | []]]]; cbn; tauto.
    - cbn. intros r [<- | []]; reflexivity.
  Qed.
  (* M ≥ 2·g_q·d + 2·s_x·d, without the scores, which the paper keeps in registers. *)
  Theorem attention_memory : held attention_widths (attention_inputs ++ attention_outputs)
    = (2 * g_q * d + 2 * s_x * d)%nat.
  Proof. cbn. unfold attention_widths, entry. cbn [nth]. lia. Qed.
End Attention.

(* The least transfers ------------------------------------------------------------------------ *)

Lemma inverse_le x y : 0 < x -> x <= y -> / y <= / x.
Proof. intros. apply Rinv_le_contravar; assumption. Qed.

(* FlashAttention on a Napkin, matrix multiplication with memory M: H ≥ 2abc/√M + ac.  By the
   inequality of arithmetic and geometric means, 1/g_a + 1/g_c ≥ 2/√(g_a·g_c). *)
Theorem matmul_least a b c g_a g_c s_b M : 0 <= a -> 0 <= b -> 0 <= c -> 0 < g_a -> 0 < g_c ->
  0 <= s_b -> g_a * g_c + g_a * s_b + s_b * g_c <= M ->
  2 * a * b * c / sqrt M + a * c <= a * b * c * (1 / g_a + 1 / g_c) + a * c.
Proof.
  intros Ha Hb Hc Ga Gc S H. assert (P : 0 < g_a * g_c) by nra. assert (G : g_a * g_c <= M) by nra.
  assert (Q : sqrt (g_a * g_c) <= sqrt M) by now apply sqrt_le_1_alt.
  assert (R0 : 0 < sqrt (g_a * g_c)) by now apply sqrt_lt_R0.
  assert (E : 2 / sqrt (g_a * g_c) <= 1 / g_a + 1 / g_c).
  { set (u := sqrt g_a). set (v := sqrt g_c). assert (0 < u) by now apply sqrt_lt_R0.
    assert (0 < v) by now apply sqrt_lt_R0. rewrite sqrt_mult by lra. fold u v.
    replace g_a with (u * u) by (apply sqrt_sqrt; lra).
    replace g_c with (v * v) by (apply sqrt_sqrt; lra).
    assert (0 <= (1 / u - 1 / v) * (1 / u - 1 / v)) by apply Rle_0_sqr.
    replace (1 / (u * u) + 1 / (v * v)) with
      (2 / (u * v) + (1 / u - 1 / v) * (1 / u - 1 / v)) by (field; lra). lra. }
  assert (I : / sqrt M <= / sqrt (g_a * g_c)) by now apply inverse_le.
  assert (0 <= a * b * c) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; assumption).
  replace (2 * a * b * c / sqrt M) with (a * b * c * (2 * / sqrt M)) by (unfold Rdiv; ring).
  apply Rplus_le_compat_r, Rmult_le_compat_l; [assumption|]. unfold Rdiv in *. lra.
Qed.
(* It is the greatest lower bound: square tiles come as close as one likes, with a factor 1 + t for
   any t > 0, where t = 0 would leave no memory to stream through. *)
Theorem matmul_least_approached a b c M t : 0 < M -> 0 < t -> exists g s, 0 < g /\ 0 < s /\
  g * g + g * s + s * g <= M /\
  a * b * c * (1 / g + 1 / g) + a * c = (1 + t) * (2 * a * b * c / sqrt M) + a * c.
Proof.
  intros HM Ht. assert (0 < sqrt M) as R0 by now apply sqrt_lt_R0.
  assert (Q : sqrt M * sqrt M = M) by (apply sqrt_sqrt; lra).
  set (g := sqrt M / (1 + t)). assert (G : 0 < g) by (apply Rdiv_lt_0_compat; lra).
  assert (E : g * (1 + t) = sqrt M) by (unfold g; field; lra).
  assert (L : g * g < M).
  { rewrite <- E in Q. assert (0 < g * g) by nra. assert (0 < g * g * t) by nra. nra. }
  exists g, ((M - g * g) / (2 * g)). repeat split; [assumption | | |].
  - apply Rdiv_lt_0_compat; lra.
  - right. field. lra.
  - rewrite <- E. field. lra.
Qed.

(* FlashAttention on a Napkin, attention with memory M: H ≥ 2qd + 4xqd²/M, since g_q ≤ M/2d. *)
Theorem attention_least q x d g_q s_x M : 0 <= q -> 0 <= x -> 0 < d -> 0 < g_q -> 0 <= s_x ->
  2 * g_q * d + 2 * s_x * d <= M ->
  2 * q * d + 4 * x * q * (d * d) / M <= 2 * q * d + 2 * x * q * d / g_q.
Proof.
  intros Hq Hx Hd G S H. assert (0 < g_q * d) by nra. assert (0 <= s_x * d) by nra.
  assert (I : / M <= / (2 * (g_q * d))) by (apply inverse_le; lra).
  assert (0 <= x * q) by nra. assert (0 <= x * q * (d * d)) by nra.
  apply Rplus_le_compat_l. unfold Rdiv.
  replace (2 * x * q * d * / g_q) with (4 * x * q * (d * d) * / (2 * (g_q * d))) by (field; lra).
  apply Rmult_le_compat_l; lra.
Qed.
(* The greatest lower bound, again. *)
Theorem attention_least_approached q x d M t : 0 < d -> 0 < M -> 0 < t ->
  exists g_q s_x, 0 < g_q /\ 0 < s_x /\ 2 * g_q * d + 2 * s_x * d <= M /\
  2 * q * d + 2 * x * q * d / g_q = 2 * q * d + (1 + t) * (4 * x * q * (d * d) / M).
Proof.
  intros Hd HM Ht. exists (M / (2 * d * (1 + t))), (t * M / (2 * d * (1 + t))).
  assert (0 < 2 * d * (1 + t)) by nra. repeat split.
  - now apply Rdiv_lt_0_compat.
  - apply Rdiv_lt_0_compat; nra.
  - right. field. lra.
  - field. lra.
Qed.

(* The counted schedules obey the bounds. *)
Theorem matmul_schedule_least n_a g_a n_b s_b n_c g_c M : (0 < g_a)%nat -> (0 < g_c)%nat ->
  (held (matmul_widths g_a s_b g_c) (matmul_inputs ++ matmul_outputs) <= M)%nat ->
  let a := INR (n_a * g_a) in let b := INR (n_b * s_b) in let c := INR (n_c * g_c) in
  2 * a * b * c / sqrt (INR M) + a * c
  <= INR (length (matmul_schedule n_a g_a n_b s_b n_c g_c)).
Proof.
  intros Ha Hc H a b c. rewrite matmul_transfers by assumption. rewrite matmul_memory in H.
  apply le_INR in H. repeat (rewrite plus_INR in H || rewrite mult_INR in H).
  apply (matmul_least a b c (INR g_a) (INR g_c) (INR s_b)); subst a b c;
    auto using pos_INR, lt_0_INR.
Qed.
Theorem attention_schedule_least n_q g_q n_x s_x d M : (0 < g_q)%nat -> (0 < d)%nat ->
  (held (attention_widths g_q s_x d) (attention_inputs ++ attention_outputs) <= M)%nat ->
  let q := INR (n_q * g_q) in let x := INR (n_x * s_x) in
  2 * q * INR d + 4 * x * q * (INR d * INR d) / INR M
  <= INR (length (attention_schedule n_q g_q n_x s_x d)).
Proof.
  intros Hq Hd H q x. rewrite attention_transfers by assumption. rewrite attention_memory in H.
  apply le_INR in H. repeat (rewrite plus_INR in H || rewrite mult_INR in H).
  apply (attention_least q x (INR d) (INR g_q) (INR s_x)); subst q x;
    auto using pos_INR, lt_0_INR.
Qed.

(* Many levels -------------------------------------------------------------------------------- *)

Fixpoint sum_over {X} (f : X -> R) (l : list X) : R :=
  match l with [] => 0 | x :: rest => f x + sum_over f rest end.
Lemma sum_over_ext {X} (f g : X -> R) l : (forall x, In x l -> f x = g x) ->
  sum_over f l = sum_over g l.
Proof. induction l as [|x l IH]; cbn; auto. intros H. rewrite H, IH; auto. Qed.
Lemma sum_over_le {X} (f g : X -> R) l : (forall x, In x l -> f x <= g x) ->
  sum_over f l <= sum_over g l.
Proof.
  induction l as [|x l IH]; cbn; [lra|]. intros H.
  assert (f x <= g x) by auto. assert (sum_over f l <= sum_over g l) by auto. lra.
Qed.
Lemma sum_over_scale {X} c (f : X -> R) l : c * sum_over f l = sum_over (fun x => c * f x) l.
Proof. induction l as [|x l IH]; cbn; [ring | rewrite <- IH; ring]. Qed.
Lemma sum_over_minus {X} (f g : X -> R) l :
  sum_over f l - sum_over g l = sum_over (fun x => f x - g x) l.
Proof. induction l as [|x l IH]; cbn; [ring | rewrite <- IH; ring]. Qed.
Lemma sum_over_swap {X Y} (f : X -> Y -> R) l m :
  sum_over (fun x => sum_over (f x) m) l = sum_over (fun y => sum_over (fun x => f x y) l) m.
Proof.
  induction l as [|x l IH]; cbn.
  - induction m as [|y m IH]; cbn; [reflexivity | rewrite <- IH; ring].
  - rewrite IH. clear IH. induction m as [|y m IH]; cbn; [ring | rewrite <- IH; ring].
Qed.

(* FlashAttention on a Napkin, eq. 1: H*(M) = Σ_t α_t·M^(−β_t), a list of terms (α, β). *)
Definition term : Type := R * R.
Definition least (terms : list term) (M : R) : R :=
  sum_over (fun t => fst t * Rpower M (- snd t)) terms.
Definition nonnegative (terms : list term) : Prop :=
  forall t, In t terms -> 0 <= fst t /\ 0 <= snd t.

Example matmul_is_least a b c M : 0 < M ->
  least [(2 * a * b * c, / 2); (a * c, 0)] M = 2 * a * b * c / sqrt M + a * c.
Proof.
  intros H. unfold least. cbn. rewrite Ropp_0, Rpower_O, Rpower_Ropp, Rpower_sqrt by assumption.
  unfold Rdiv. ring.
Qed.
Example attention_is_least q x d M : 0 < M ->
  least [(4 * x * q * (d * d), 1); (2 * q * d, 0)] M = 2 * q * d + 4 * x * q * (d * d) / M.
Proof.
  intros H. unfold least. cbn. rewrite Ropp_0, Rpower_O, Rpower_Ropp, Rpower_1 by assumption.
  unfold Rdiv. ring.
Qed.

(* More memory, fewer transfers. *)
Lemma power_decreases M M' beta : 0 < M <= M' -> 0 <= beta ->
  Rpower M' (- beta) <= Rpower M (- beta).
Proof.
  intros [H L] B. rewrite !Rpower_Ropp. apply inverse_le.
  - unfold Rpower. apply exp_pos.
  - now apply Rle_Rpower_l.
Qed.
Theorem least_decreases terms M M' : nonnegative terms -> 0 < M <= M' ->
  least terms M' <= least terms M.
Proof.
  intros T H. apply sum_over_le. intros t Ht. destruct (T t Ht).
  apply Rmult_le_compat_l; [assumption|]. now apply power_decreases.
Qed.

(* A level has a rate Ḣ and a memory M.  The model: transfers at different levels add up, each
   divided by its rate; the highest level holds everything and is not in the list. *)
Record level := { rate : R; memory : R }.
Definition time (levels : list level) (transfers : level -> R) : R :=
  sum_over (fun l => / rate l * transfers l) levels.

(* FlashAttention on a Napkin, eq. 2: Σ_l Ḣ_l⁻¹·H*(M_l) = Σ_t α_t·Σ_l Ḣ_l⁻¹·M_l^(−β_t). *)
Theorem multi_level levels terms :
  time levels (fun l => least terms (memory l)) =
  sum_over (fun t =>
    fst t * sum_over (fun l => / rate l * Rpower (memory l) (- snd t)) levels) terms.
Proof.
  unfold time, least.
  rewrite (sum_over_ext _ (fun l => sum_over (fun t =>
    / rate l * (fst t * Rpower (memory l) (- snd t))) terms)) by (intros; apply sum_over_scale).
  rewrite sum_over_swap. apply sum_over_ext. intros t _. rewrite sum_over_scale.
  apply sum_over_ext. intros. ring.
Qed.
(* It bounds every execution that obeys the two-level bound at each of its levels. *)
Theorem multi_level_least levels terms transfers :
  (forall l, In l levels -> 0 < rate l /\ least terms (memory l) <= transfers l) ->
  time levels (fun l => least terms (memory l)) <= time levels transfers.
Proof.
  intros H. apply sum_over_le. intros l Hl. destruct (H l Hl) as [P L].
  apply Rmult_le_compat_l; [|assumption]. left. now apply Rinv_0_lt_compat.
Qed.

(* Quantisation: with q bytes a value, a level of B bytes holds B/q values, and moves 1/q as many
   values a second. *)
Definition in_bytes (q : R) (l : level) : level := {| rate := rate l / q; memory := memory l / q |}.
(* FlashAttention on a Napkin, eq. 3: each term of the time is proportional to q^(1+β). *)
Theorem quantisation levels terms q : 0 < q ->
  (forall l, In l levels -> 0 < rate l /\ 0 < memory l) ->
  time (map (in_bytes q) levels) (fun l => least terms (memory l)) =
  sum_over (fun t => Rpower q (1 + snd t) *
    (fst t * sum_over (fun l => / rate l * Rpower (memory l) (- snd t)) levels)) terms.
Proof.
  intros Hq H. rewrite multi_level. apply sum_over_ext. intros t _.
  transitivity (fst t * (Rpower q (1 + snd t)
    * sum_over (fun l => / rate l * Rpower (memory l) (- snd t)) levels)); [|ring].
  f_equal. rewrite sum_over_scale. induction levels as [|l levels IH]; [reflexivity|].
  cbn [map sum_over in_bytes rate memory]. rewrite IH by (intros; apply H; cbn; auto). f_equal.
  destruct (H l (or_introl eq_refl)) as [Hr Hm]. rewrite Rpower_plus, Rpower_1 by assumption.
  assert (E : Rpower (memory l / q) (- snd t) = Rpower (memory l) (- snd t) * Rpower q (snd t)).
  { unfold Rdiv. rewrite <- Rpower_mult_distr by (auto using Rinv_0_lt_compat). f_equal.
    unfold Rpower. f_equal. rewrite ln_Rinv by assumption. ring. }
  rewrite E. field. lra.
Qed.
(* Half the bytes: 4 times faster where β = 1 (attention), 2√2 where β = ½ (matmul), 2 where
   β = 0. *)
Corollary halving_bytes q beta : 0 < q ->
  Rpower q (1 + beta) = Rpower 2 (1 + beta) * Rpower (q / 2) (1 + beta).
Proof. intros H. rewrite Rpower_mult_distr by lra. f_equal. field. Qed.
Example halving_gains :
  Rpower 2 (1 + 1) = 4 /\ Rpower 2 (1 + / 2) = 2 * sqrt 2 /\ Rpower 2 (1 + 0) = 2.
Proof.
  rewrite !Rpower_plus, !Rpower_1, Rpower_sqrt, Rpower_O by lra. repeat split; lra.
Qed.

(* Caches ------------------------------------------------------------------------------------- *)

(* FlashAttention on a Napkin, Theorem 2 (4.4).  The model: outputs stay in the lower level, where a
   group holds at most M; the intermediate level only passes inputs on.  A group of the intermediate
   level is shared out to [children], groups of the lower level, at most N at once
   (N ≥ N_g,l2 / N_g,l1), and its transfers obey the two-level bound with what its children hold
   together.  Then they obey it with the memory N·M … *)
Theorem cache_least terms children N M transfers : nonnegative terms -> 0 < M ->
  (forall m, In m children -> 0 < m <= M) -> children <> [] -> INR (length children) <= N ->
  least terms (sum_over (fun m => m) children) <= transfers -> least terms (N * M) <= transfers.
Proof.
  intros T HM C E HN B. apply Rle_trans with (2 := B). apply least_decreases; [assumption|].
  assert (L : sum_over (fun m => m) children <= INR (length children) * M).
  { clear E HN B. induction children as [|m l IH]; [cbn; lra|].
    cbn [sum_over length]. rewrite S_INR. specialize (IH ltac:(intros; apply C; cbn; auto)).
    destruct (C m (or_introl eq_refl)). lra. }
  split; [|nra]. destruct children as [|m l]; [tauto|]. cbn [sum_over].
  assert (0 <= sum_over (fun m => m) l).
  { assert (D : forall k, In k l -> 0 < k <= M) by (intros; apply C; cbn; auto). clear - D.
    induction l as [|k l IH]; cbn; [lra|]. specialize (IH ltac:(intros; apply D; cbn; auto)).
    destruct (D k (or_introl eq_refl)). lra. }
  destruct (C m (or_introl eq_refl)). lra.
Qed.
(* … which N full children reach, and which is less than what the memory of one child allows. *)
Theorem cache_reached terms n M :
  least terms (sum_over (fun m => m) (repeat M n)) = least terms (INR n * M).
Proof.
  f_equal. induction n as [|n IH]; [cbn; ring|]. cbn [repeat sum_over]. rewrite IH, S_INR. ring.
Qed.
Theorem cache_gains terms N M : nonnegative terms -> 0 < M -> 1 <= N ->
  least terms (N * M) <= least terms M.
Proof. intros T H HN. apply least_decreases; [assumption|]. nra. Qed.

(* For attention and matrix multiplication the premise is counted: with tiles of the intermediate
   level that are unions of the tiles of its children. *)
Theorem attention_cache q x d g n N M : 0 <= q -> 0 <= x -> 0 < d -> 0 < g -> 0 < n <= N ->
  2 * g * d <= M ->
  2 * q * d + 4 * x * q * (d * d) / (N * M) <= 2 * q * d + 2 * x * q * d / (n * g).
Proof.
  intros Hq Hx Hd Hg Hn H. apply (attention_least q x d (n * g) 0); try nra.
  assert (0 < g * d) by nra. nra.
Qed.
Theorem matmul_cache a b c g_a g_c n_a n_c N M : 0 <= a -> 0 <= b -> 0 <= c -> 0 < g_a -> 0 < g_c ->
  0 < n_a -> 0 < n_c -> n_a * n_c <= N -> g_a * g_c <= M ->
  2 * a * b * c / sqrt (N * M) + a * c
  <= a * b * c * (1 / (n_a * g_a) + 1 / (n_c * g_c)) + a * c.
Proof.
  intros Ha Hb Hc Ga Gc Na Nc HN HM. apply (matmul_least a b c _ _ 0); try nra.
  assert (0 < n_a * n_c) by nra. assert (0 < g_a * g_c) by nra.
  replace (n_a * g_a * (n_c * g_c) + n_a * g_a * 0 + 0 * (n_c * g_c))
    with ((n_a * n_c) * (g_a * g_c)) by ring.
  apply Rmult_le_compat; lra.
Qed.

(* Clusters ----------------------------------------------------------------------------------- *)

(* FlashAttention on a Napkin, Theorem 3 (4.5, A.2.2).  The model: N children with memory M each
   form a cluster.  What the children receive, [received], comes from the level above, once for the
   cluster, at the rate [high] ([loaded]), and otherwise from each other, at the rate [cross]. *)
Definition cluster_time (high cross loaded received : R) : R :=
  / high * loaded + / cross * (received - loaded).
Theorem cluster high cross terms N M :
  cluster_time high cross (least terms (N * M)) (least terms M) =
  (/ high - / cross) * least terms (N * M) + / cross * least terms M.
Proof. unfold cluster_time. ring. Qed.
(* It bounds every execution that obeys the two-level bound for the cluster and for its children,
   where crossing is no slower than loading. *)
Theorem cluster_least high cross terms N M loaded received : 0 < high <= cross ->
  least terms (N * M) <= loaded -> least terms M <= received ->
  cluster_time high cross (least terms (N * M)) (least terms M)
  <= cluster_time high cross loaded received.
Proof.
  intros [H C] L R0. unfold cluster_time.
  assert (/ cross <= / high) by now apply inverse_le.
  assert (0 < / cross) by (apply Rinv_0_lt_compat; lra). nra.
Qed.
(* The gain over loading everything: (Ḣ_hc⁻¹ − Ḣ_xc⁻¹)·Σ_t α_t·M^(−β_t)·(1 − N^(−β_t)). *)
Theorem cluster_gain high cross terms N M : 0 < N -> 0 < M ->
  / high * least terms M - cluster_time high cross (least terms (N * M)) (least terms M) =
  (/ high - / cross) *
    sum_over (fun t => fst t * Rpower M (- snd t) * (1 - Rpower N (- snd t))) terms.
Proof.
  intros HN HM. unfold cluster_time.
  transitivity ((/ high - / cross) * (least terms M - least terms (N * M))); [ring|]. f_equal.
  unfold least. rewrite sum_over_minus. apply sum_over_ext. intros t _.
  rewrite <- Rpower_mult_distr by assumption. ring.
Qed.
Theorem cluster_gain_nonnegative high cross terms N M : nonnegative terms -> 0 < M -> 1 <= N ->
  0 < high <= cross ->
  cluster_time high cross (least terms (N * M)) (least terms M) <= / high * least terms M.
Proof.
  intros T HM HN [H C]. unfold cluster_time.
  assert (least terms (N * M) <= least terms M) by now apply cache_gains.
  assert (/ cross <= / high) by now apply inverse_le. nra.
Qed.
