(* What a verdict may rely on: least sizes, assumed inequalities, the axes with their extents, the
   splits of axes and the kinds of the inputs; and which inequalities follow from it.

   An environment gives an index to every axis that is not split; a split axis x = b·r + i has the
   index that its parts make up.  This is `ncd_formal/conditions.py`. *)

From Ncd Require Import Values.
From Coq Require Import Reals ZArith BinNums PArith List Bool Lia FMapPositive.
From Ncd Require Import Monoids Sizes.
Import ListNotations.
Local Open Scope Z_scope.
Local Arguments Z.add : simpl never.
Local Arguments Z.mul : simpl never.
Local Arguments Z.opp : simpl never.

Definition axis := positive.
Definition env := axis -> Z.
Definition put1 (r : env) (a : axis) (k : Z) : env := fun b => if Pos.eqb b a then k else r b.

Record split := Split { whole : axis; outer : axis; inner : axis; masked : bool }.

(* The kinds of value that an input may hold. *)
Inductive input_kind := RealInput | BooleanInput | ExtendedInput
  | PositiveInput | NonnegativeInput | PartialInput | AnyInput.

Record context := Context {
  lowers : PositiveMap.t Z;                  (* the least value of a size, where it is not 1 *)
  assumed : list index;                      (* each is at least 0 *)
  extents : PositiveMap.t index;
  splits : list split;                       (* an axis before its parts *)
  inputs : PositiveMap.t input_kind }.

Definition find {A} (default : A) (m : PositiveMap.t A) (k : positive) : A :=
  match PositiveMap.find k m with Some v => v | None => default end.
Definition least (G : context) (s : positive) : Z := Z.max 0 (find 1 (lowers G) s).
Definition extent (G : context) (a : axis) : index := find (Num 0) (extents G) a.
Definition kind_of_input (G : context) (x : positive) : input_kind :=
  find ExtendedInput (inputs G) x.

(* Sizes, inputs and functions: everything that a proof quantifies over. *)
Record model := Model {
  sizes : positive -> Z;
  input : positive -> list Z -> value;
  function : positive -> R -> R;
  (* an operator known by its name only: from the extents and the values of its bound axes *)
  opaque : positive -> list Z -> (list Z -> object) -> list Z -> value }.

Definition of_kind (k : input_kind) (v : value) : Prop := match k with
  | RealInput => real v | BooleanInput => boolean v | ExtendedInput => defined v
  | PositiveInput => Values.positive v | NonnegativeInput => real v /\ nonnegative_or_undefined v
  | PartialInput => no_infinity v | AnyInput => True end.

Definition sizes_ok (M : model) (G : context) : Prop :=
  (forall s, least G s <= sizes M s)
  /\ Forall (fun p => 0 <= eval (sizes M) (fun _ => 0) p) (assumed G).
Definition model_ok (M : model) (G : context) : Prop :=
  sizes_ok M G /\ forall x is, of_kind (kind_of_input G x) (input M x is).

Fixpoint close (e : index) : index := match e with          (* without axes *)
  | Axis _ => Num 0
  | Plus e f => Plus (close e) (close f)
  | Times e f => Times (close e) (close f)
  | Quot e f => Quot (close e) (close f)
  | Rem e f => Rem (close e) (close f)
  | e => e end.
Lemma close_eval s r e : eval s r (close e) = eval s (fun _ => 0) e.
Proof. induction e; cbn; auto; now rewrite IHe1, IHe2. Qed.

Section Context.
  Variable G : context.

  Definition size_of (M : model) (a : axis) : Z := eval (sizes M) (fun _ => 0) (extent G a).
  Definition length_of (M : model) (a : axis) : nat := Z.to_nat (size_of M a).

  (* The axes that an axis is split into, down to those that are not split. *)
  Fixpoint leaves_in (ss : list split) (a : axis) : list axis := match ss with
    | [] => [a]
    | s :: ss => if Pos.eqb (whole s) a then leaves_in ss (outer s) ++ leaves_in ss (inner s)
                else leaves_in ss a end.
  Definition leaves (a : axis) : list axis := leaves_in (splits G) a.

  Section Model.
    Variable M : model.
    Notation size_of := (size_of M).

    Fixpoint get_in (ss : list split) (r : env) (a : axis) : Z := match ss with
      | [] => r a
      | s :: ss => if Pos.eqb (whole s) a
                  then get_in ss r (outer s) * size_of (inner s) + get_in ss r (inner s)
                  else get_in ss r a end.
    Fixpoint put_in (ss : list split) (r : env) (a : axis) (k : Z) : env := match ss with
      | [] => put1 r a k
      | s :: ss => if Pos.eqb (whole s) a
                  then put_in ss (put_in ss r (outer s) (k / size_of (inner s))) (inner s)
                         (k mod size_of (inner s))
                  else put_in ss r a k end.
    Definition get (r : env) (a : axis) : Z := get_in (splits G) r a.
    Definition put (r : env) (a : axis) (k : Z) : env := put_in (splits G) r a k.

    Definition in_range (l : list axis) (r : env) : Prop :=
      forall a, In a l -> 0 <= r a < size_of a.

    Definition split_ok (s : split) : Prop :=
      0 <= size_of (outer s) /\ 0 <= size_of (inner s)
      /\ if masked s then size_of (whole s) <= size_of (outer s) * size_of (inner s)
         else size_of (whole s) = size_of (outer s) * size_of (inner s).
    (* The parts of an axis are no parts of one another. *)
    Fixpoint apart (ss : list split) : Prop := match ss with
      | [] => True
      | s :: ss => (forall a, In a (leaves_in ss (outer s)) -> ~ In a (leaves_in ss (inner s)))
                  /\ apart ss end.

    Lemma put_in_other ss r a k b : ~ In b (leaves_in ss a) -> put_in ss r a k b = r b.
    Proof.
      revert r a k. induction ss as [|s ss IH]; cbn; intros r a k H.
      - unfold put1. destruct (Pos.eqb_spec b a); [subst; tauto | reflexivity].
      - destruct (Pos.eqb (whole s) a); [|now apply IH].
        rewrite in_app_iff in H. rewrite !IH; tauto.
    Qed.
    Lemma put_in_agree ss r q a k b : (~ In b (leaves_in ss a) -> r b = q b) ->
      put_in ss r a k b = put_in ss q a k b.
    Proof.
      revert r q a k. induction ss as [|s ss IH]; cbn; intros r q a k H.
      - unfold put1. destruct (Pos.eqb_spec b a); [reflexivity | apply H; intros [E|[]]; congruence].
      - destruct (Pos.eqb (whole s) a); [|now apply IH].
        apply IH. intros H1. apply IH. intros H2. apply H. rewrite in_app_iff. tauto.
    Qed.
    Lemma get_in_agree ss r q a : (forall b, In b (leaves_in ss a) -> r b = q b) ->
      get_in ss r a = get_in ss q a.
    Proof.
      revert a. induction ss as [|s ss IH]; cbn; intros a H; [apply H; auto|].
      destruct (Pos.eqb (whole s) a); [|now apply IH].
      f_equal; [f_equal|]; apply IH; intros b Hb; apply H; rewrite in_app_iff; auto.
    Qed.
    Lemma put_in_comm ss r a j b k c : (forall d, In d (leaves_in ss a) -> ~ In d (leaves_in ss b)) ->
      put_in ss (put_in ss r a j) b k c = put_in ss (put_in ss r b k) a j c.
    Proof.
      intros H. destruct (in_dec Pos.eq_dec c (leaves_in ss a)) as [Ha|Ha].
      - rewrite put_in_other by auto. apply put_in_agree. intros N. contradiction.
      - rewrite (put_in_other ss _ a) by assumption. apply put_in_agree. intros _.
        now apply put_in_other.
    Qed.

    Lemma get_put_in ss : Forall split_ok ss -> apart ss -> forall r a k, 0 <= k < size_of a ->
      get_in ss (put_in ss r a k) a = k.
    Proof.
      induction ss as [|s ss IH]; cbn [get_in put_in apart]; intros F D r a k Hk.
      - unfold put1. now rewrite Pos.eqb_refl.
      - inversion F as [|? ? (Ho & Hi & Hw) FS]; subst. destruct D as [D DS].
        destruct (Pos.eqb_spec (whole s) a); [|apply IH; auto]. subst a.
        assert (W : size_of (whole s) <= size_of (outer s) * size_of (inner s))
          by (destruct (masked s); lia).
        assert (0 < size_of (inner s)) by nia.
        rewrite (IH FS DS) by (apply Z.mod_pos_bound; lia).
        transitivity (k / size_of (inner s) * size_of (inner s) + k mod size_of (inner s));
          [|rewrite Z.mul_comm; symmetry; apply Z.div_mod; lia].
        f_equal. f_equal. transitivity (get_in ss (put_in ss r (outer s) (k / size_of (inner s))) (outer s)).
        + apply get_in_agree. intros b Hb. apply put_in_other. now apply D.
        + apply IH; auto. split; [apply Z.div_pos; lia | apply Z.div_lt_upper_bound; nia].
    Qed.
    Lemma put_in_range ss : Forall split_ok ss -> forall l r a k, 0 <= k < size_of a ->
      (forall b, In b l -> ~ In b (leaves_in ss a) -> 0 <= r b < size_of b) ->
      in_range l (put_in ss r a k).
    Proof.
      induction ss as [|s ss IH]; cbn [put_in leaves_in]; intros F l r a k Hk H b Hb.
      - unfold put1. destruct (Pos.eqb_spec b a); [subst; auto|].
        apply H; auto. intros [E|[]]; congruence.
      - inversion F as [|? ? (Ho & Hi & Hw) FS]; subst.
        destruct (Pos.eqb_spec (whole s) a); [|eapply IH; eauto]. subst a.
        assert (W : size_of (whole s) <= size_of (outer s) * size_of (inner s))
          by (destruct (masked s); lia).
        assert (0 < size_of (inner s)) by nia.
        eapply (IH FS l); eauto; [apply Z.mod_pos_bound; lia|].
        intros c Hc Nc. assert (in_range [c] (put_in ss r (outer s) (k / size_of (inner s)))) as R.
        { eapply IH; auto; [split; [apply Z.div_pos; lia | apply Z.div_lt_upper_bound; nia]|].
          intros d [<-|[]] Nd. apply H; auto. rewrite in_app_iff. tauto. }
        apply R. now left.
    Qed.
  End Model.

  (* An axis by itself: no split is about it. *)
  Definition stands_alone (a : axis) : bool := forallb (fun s =>
    negb (Pos.eqb a (whole s)) && negb (Pos.eqb a (outer s)) && negb (Pos.eqb a (inner s))) (splits G).
  Lemma alone_leaves a : stands_alone a = true -> leaves a = [a].
  Proof.
    unfold stands_alone, leaves. induction (splits G) as [|s ss IH]; cbn; [reflexivity|].
    rewrite !andb_true_iff, !negb_true_iff, !Pos.eqb_neq. intros [[[H1 H2] H3] H].
    destruct (Pos.eqb_spec (whole s) a); [congruence | auto].
  Qed.
  Lemma alone_put M r a k : stands_alone a = true -> put M r a k = put1 r a k.
  Proof.
    unfold stands_alone, put. induction (splits G) as [|s ss IH]; cbn; [reflexivity|].
    rewrite !andb_true_iff, !negb_true_iff, !Pos.eqb_neq. intros [[[H1 H2] H3] H].
    destruct (Pos.eqb_spec (whole s) a); [congruence | auto].
  Qed.
  Lemma alone_get M r a : stands_alone a = true -> get M r a = r a.
  Proof.
    unfold stands_alone, get. induction (splits G) as [|s ss IH]; cbn; [reflexivity|].
    rewrite !andb_true_iff, !negb_true_iff, !Pos.eqb_neq. intros [[[H1 H2] H3] H].
    destruct (Pos.eqb_spec (whole s) a); [congruence | auto].
  Qed.
  Lemma alone_apart a b : stands_alone a = true -> a <> b -> ~ In a (leaves b).
  Proof.
    unfold stands_alone, leaves. revert b.
    induction (splits G) as [|s ss IH]; cbn; [intuition congruence|].
    intros b. rewrite !andb_true_iff, !negb_true_iff, !Pos.eqb_neq. intros [[[H1 H2] H3] H] N.
    destruct (Pos.eqb_spec (whole s) b); [|auto].
    rewrite in_app_iff. intros [K|K]; revert K; apply IH; auto.
  Qed.

  (* Inequalities ---------------------------------------------------------------------------- *)

  (* The axes inside an index, and the unsplit axes that it depends on. *)
  Fixpoint axes_of (e : index) : list axis := match e with
    | Num _ | Size _ => []
    | Axis a => [a]
    | Plus e f | Times e f | Quot e f | Rem e f => axes_of e ++ axes_of f end.
  Definition leaves_of (e : index) : list axis := flat_map leaves (axes_of e).

  Lemma eval_agree s r q e : (forall a, In a (axes_of e) -> r a = q a) -> eval s r e = eval s q e.
  Proof.
    induction e; cbn; intros H; auto; try (apply H; auto; fail);
      rewrite IHe1, IHe2; auto; intros; apply H; rewrite in_app_iff; auto.
  Qed.
  Lemma eval_get_agree M r q e : (forall a, In a (leaves_of e) -> r a = q a) ->
    eval (sizes M) (get M r) e = eval (sizes M) (get M q) e.
  Proof.
    intros H. apply eval_agree. intros a Ha. apply get_in_agree. intros b Hb. apply H.
    apply in_flat_map. eauto.
  Qed.

  (* An index as the parts of its axes spell it. *)
  Fixpoint spell_axis (ss : list split) (a : axis) : index := match ss with
    | [] => Axis a
    | s :: ss => if Pos.eqb (whole s) a
                then Plus (Times (spell_axis ss (outer s)) (close (extent G (inner s))))
                          (spell_axis ss (inner s))
                else spell_axis ss a end.
  Fixpoint spell (e : index) : index := match e with
    | Axis a => spell_axis (splits G) a
    | Plus e f => Plus (spell e) (spell f)
    | Times e f => Times (spell e) (spell f)
    | Quot e f => Quot (spell e) (spell f)
    | Rem e f => Rem (spell e) (spell f)
    | e => e end.
  Lemma spell_axis_eval M ss r a : eval (sizes M) r (spell_axis ss a) = get_in M ss r a.
  Proof.
    revert a. induction ss as [|s ss IH]; intros a; cbn; [reflexivity|].
    destruct (Pos.eqb (whole s) a); [|apply IH]. cbn. now rewrite !IH, close_eval.
  Qed.
  Lemma spell_eval M r e : eval (sizes M) r (spell e) = eval (sizes M) (get M r) e.
  Proof. induction e; cbn; auto; [apply spell_axis_eval| | | |]; now rewrite IHe1, IHe2. Qed.
  Lemma spell_axes_axis ss a : forall b, In b (axes_of (spell_axis ss a)) -> In b (leaves_in ss a).
  Proof.
    assert (C : forall e, axes_of (close e) = []) by
      (induction e; cbn; auto; rewrite IHe1, IHe2; reflexivity).
    revert a. induction ss as [|s ss IH]; intros a b; cbn; [tauto|].
    destruct (Pos.eqb (whole s) a); [|apply IH]. cbn. rewrite C, app_nil_r, !in_app_iff.
    intros [H|H]; auto.
  Qed.
  Lemma spell_axes e b : In b (axes_of (spell e)) -> In b (leaves_of e).
  Proof.
    unfold leaves_of. induction e; cbn; try tauto; try rewrite !in_app_iff, flat_map_app, in_app_iff;
      try tauto. intros H. rewrite app_nil_r. now apply spell_axes_axis.
  Qed.

  Definition variable (e : index) : bool := match e with Size _ | Axis _ => true | _ => false end.
  Definition coefficients_nonnegative (p : polynomial) : bool :=
    forallb (fun t => 0 <=? snd t) p.
  Definition in_variables (p : polynomial) : bool := forallb (fun t => forallb variable (fst t)) p.
  Definition shift_factor (e : index) : polynomial := match e with
    | Size s => insert_term [] (least G s) (monic e)
    | e => monic e end.
  Definition shift (p : polynomial) : polynomial := fold_right (fun t =>
    add (fold_right (fun e => mul (shift_factor e)) (insert_term [] (snd t) []) (fst t))) [] p.
  (* With every size written as its least value and what is above, no coefficient is negative. *)
  Definition evident (p : polynomial) : bool :=
    if negb (in_variables p) then false else if coefficients_nonnegative p then true
    else let q := shift p in in_variables q && coefficients_nonnegative q.

  Definition normal_form (e : index) : polynomial := normal (least G) e.
  Definition minus (p q : polynomial) : polynomial := add p (neg q).

  (* The factor of an atom to the first power. *)
  Fixpoint remove (e : index) (m : monomial) : option monomial := match m with
    | [] => None
    | f :: n => if index_eqb e f then Some n else option_map (cons f) (remove e n) end.
  Definition coefficient (e : index) (p : polynomial) : polynomial := fold_right (fun t q =>
    match remove e (fst t) with Some m => insert_term m (snd t) q | None => q end) [] p.

  (* p with an atom at the end of its range where p is least. *)
  Definition lower_at (p : polynomial) (e : index) (low high : polynomial) : polynomial :=
    let stride := coefficient e p in
    if evident stride then minus p (mul stride (minus (monic e) low))
    else if evident (neg stride) then minus p (mul stride (minus (monic e) high))
    else p.

  Definition atoms (p : polynomial) : list index := flat_map fst p.
  Variable bounded : list axis.              (* the axes whose index is known to be in range *)
  Definition lower_axes (p : polynomial) : polynomial := fold_left (fun q e => match e with
    | Axis a => if existsb (Pos.eqb a) bounded
                then lower_at q e [] (minus (normal_form (close (extent G a))) [([], 1)]) else q
    | _ => q end) (atoms p) p.

  Fixpoint assumption_sums (l : list polynomial) : list polynomial := match l with
    | [] => []
    | a :: l => a :: map (add a) l ++ assumption_sums l end.
  Definition follows (p : polynomial) : bool := if evident p then true else
    existsb (fun a => evident (minus p a)) (assumption_sums (map (fun e => normal_form (close e)) (assumed G))).

  Fixpoint lowest (fuel : nat) (p : polynomial) : polynomial := match fuel with
    | O => lower_axes p
    | S fuel => lower_axes (fold_left (fun q e => match e with
        | Rem _ d => if follows (minus (normal_form d) [([], 1)])
                     then lower_at q e [] (minus (normal_form d) [([], 1)]) else q
        | Quot n d =>
            let low := lowest fuel (normal_form n) in
            let high := minus [([], 1)] (lowest fuel (neg (normal_form n))) in
            match divide 20 high (normal_form d) with
            | Some w => if follows (minus (normal_form d) [([], 1)]) && follows low
                           && match minus high (mul w (normal_form d)) with [] => true | _ => false end
                        then lower_at q e [] (minus w [([], 1)]) else q
            | None => q end
        | _ => q end) (atoms p) p) end.

  Section Sound.
    Variable M : model.
    Hypothesis ok : sizes_ok M G.
    Variable r : env.
    Hypothesis r_nonnegative : forall a, 0 <= r a.
    Hypothesis r_bounded : forall a, In a bounded -> r a < size_of M a.

    Lemma least_nonnegative s : 0 <= least G s <= sizes M s.
    Proof. split; [unfold least; lia | apply ok]. Qed.
    Notation pv := (poly_eval (sizes M) r).

    Lemma normal_form_eval q e : poly_eval (sizes M) q (normal_form e) = eval (sizes M) q e.
    Proof. apply normal_eval, least_nonnegative. Qed.
    Lemma minus_eval s p q : poly_eval s r (minus p q) = poly_eval s r p - poly_eval s r q.
    Proof. unfold minus. rewrite add_eval, neg_eval. lia. Qed.

    Lemma coefficients_sound s p : (forall k, 0 <= s k) -> in_variables p = true ->
      coefficients_nonnegative p = true -> 0 <= poly_eval s r p.
    Proof.
      intros Hs. induction p as [|[m c] p IH]; cbn; [lia|].
      rewrite !andb_true_iff. intros [V1 V2] [C1 C2]. apply Z.leb_le in C1.
      specialize (IH V2 C2).
      assert (0 <= monomial_eval s r m); [|nia].
      clear - Hs V1 r_nonnegative. induction m as [|e m IH]; cbn; [lia|]. cbn in V1.
      apply andb_true_iff in V1 as [V1 V2]. specialize (IH V2).
      assert (0 <= eval s r e) by (destruct e; try discriminate; cbn; auto). nia.
    Qed.
    Lemma shift_eval p : in_variables p = true ->
      poly_eval (fun s => sizes M s - least G s) r (shift p) = pv p.
    Proof.
      intros V. unfold shift. induction p as [|[m c] p IH]; cbn [fold_right]; [reflexivity|].
      cbn in V. apply andb_true_iff in V as [V1 V2]. rewrite add_eval, IH by assumption.
      cbn [poly_eval fst snd]. f_equal. clear - V1. induction m as [|e m IH].
      - cbn [fold_right]. rewrite insert_term_eval. cbn. lia.
      - cbn in V1. apply andb_true_iff in V1 as [V1 V2]. cbn [fold_right].
        rewrite mul_eval, IH by assumption. cbn [monomial_eval].
        assert (E : poly_eval (fun s => sizes M s - least G s) r (shift_factor e) = eval (sizes M) r e).
        { destruct e; try discriminate; cbn [shift_factor]; rewrite ?insert_term_eval, monic_eval; cbn; lia. }
        rewrite E. ring.
    Qed.
    Lemma evident_sound p : evident p = true -> 0 <= pv p.
    Proof.
      unfold evident. destruct (in_variables p) eqn:V; [cbn [negb]|discriminate].
      destruct (coefficients_nonnegative p) eqn:C;
        [intros _ | cbv zeta; rewrite andb_true_iff; clear C; intros [W C]].
      - apply coefficients_sound; auto. intros k. pose proof (least_nonnegative k). lia.
      - rewrite <- shift_eval by assumption. apply coefficients_sound; auto.
        intros k. pose proof (least_nonnegative k). lia.
    Qed.
    Lemma lower_at_le p e low high : pv low <= eval (sizes M) r e <= pv high ->
      pv (lower_at p e low high) <= pv p.
    Proof.
      intros H. unfold lower_at. set (stride := coefficient e p).
      destruct (evident stride) eqn:E1; [|destruct (evident (neg stride)) eqn:E2; [|lia]].
      - apply evident_sound in E1. rewrite minus_eval, mul_eval, minus_eval, monic_eval. nia.
      - apply evident_sound in E2. rewrite neg_eval in E2.
        rewrite minus_eval, mul_eval, minus_eval, monic_eval. nia.
    Qed.
    Lemma constant_eval c : poly_eval (sizes M) r [([], c)] = c.
    Proof. cbn. lia. Qed.
    Lemma lower_axes_le p : pv (lower_axes p) <= pv p.
    Proof.
      unfold lower_axes. generalize (atoms p). intros l. revert p.
      induction l as [|e l IH]; intros p; cbn [fold_left]; [lia|].
      etransitivity; [apply IH|]. destruct e; try lia.
      destruct (existsb _ _) eqn:E; [|lia]. apply lower_at_le.
      apply existsb_exists in E as (b & Hb & E). apply Pos.eqb_eq in E. subst b.
      rewrite minus_eval, normal_form_eval, close_eval, constant_eval.
      pose proof (r_nonnegative a). pose proof (r_bounded a Hb). unfold size_of in *. cbn. lia.
    Qed.
    Lemma follows_sound p : follows p = true -> 0 <= pv p.
    Proof.
      unfold follows. destruct (evident p) eqn:E0; [intros _; now apply evident_sound|].
      rewrite existsb_exists. intros (a & Ha & E).
      - apply evident_sound in E. rewrite minus_eval in E. cut (0 <= pv a); [lia|].
        assert (F : Forall (fun p => 0 <= pv p) (map (fun e => normal_form (close e)) (assumed G))).
        { apply Forall_map. destruct ok as [_ F]. eapply Forall_impl; [|exact F]. cbn.
          intros e. now rewrite normal_form_eval, close_eval. }
        revert Ha. induction F as [|b l Hb F IH]; cbn; [tauto|].
        rewrite in_app_iff, in_map_iff. intros [->|[(c & <- & Hc)|Ha]]; auto.
        rewrite add_eval. rewrite Forall_forall in F. specialize (F c Hc). lia.
    Qed.
    Lemma lowest_le fuel p : pv (lowest fuel p) <= pv p.
    Proof.
      revert p. induction fuel as [|fuel IHf]; intros p; cbn [lowest]; [apply lower_axes_le|].
      etransitivity; [apply lower_axes_le|].
      generalize (atoms p). intros l. revert p. induction l as [|e l IH]; intros p; [cbn; lia|].
      cbn [fold_left]. etransitivity; [apply IH|]. destruct e as [| | | | |n d|n d]; try lia.
      - destruct (divide _ _ _) as [w|]; [|lia].
        destruct (_ && _) eqn:E; [|lia]. rewrite !andb_true_iff in E. destruct E as [[D L] W].
        destruct (minus _ (mul w _)) eqn:W'; [clear W|discriminate].
        apply follows_sound in D, L. rewrite minus_eval, normal_form_eval, constant_eval in D.
        pose proof (IHf (normal_form n)) as Ln. pose proof (IHf (neg (normal_form n))) as Hn.
        rewrite neg_eval, normal_form_eval in *.
        assert (W : pv (minus (minus [([], 1)] (lowest fuel (neg (normal_form n)))) (mul w (normal_form d))) = 0)
          by (rewrite W'; reflexivity).
        rewrite !minus_eval, mul_eval, normal_form_eval, constant_eval in W.
        apply lower_at_le. rewrite minus_eval, constant_eval. cbn.
        split; [apply Z.div_pos; lia|].
        assert (eval (sizes M) r n / eval (sizes M) r d < pv w); [|lia].
        apply Z.div_lt_upper_bound; nia.
      - destruct (follows _) eqn:D; [|lia]. apply follows_sound in D.
        rewrite minus_eval, normal_form_eval, constant_eval in D.
        apply lower_at_le. rewrite minus_eval, normal_form_eval, constant_eval. cbn.
        pose proof (Z.mod_pos_bound (eval (sizes M) r n) (eval (sizes M) r d)). lia.
    Qed.
  End Sound.
End Context.

(* Whether an index is at least 0, at all sizes and at every index of the axes that it reads. *)
Definition nonnegative (G : context) (e : index) : bool :=
  let e := spell G e in follows G (lowest G (axes_of e) 3 (normal_form G e)).
Definition nonempty (G : context) (a : axis) : bool :=
  nonnegative G (Minus (close (extent G a)) (Num 1)).

Theorem nonnegative_sound G M e r : sizes_ok M G -> nonnegative G e = true ->
  in_range G M (leaves_of G e) r -> 0 <= eval (sizes M) (get G M r) e.
Proof.
  intros ok H R. rewrite <- spell_eval.
  set (q := fun a => if existsb (Pos.eqb a) (axes_of (spell G e)) then r a else 0).
  assert (K : forall a, In a (axes_of (spell G e)) -> q a = r a /\ 0 <= r a < size_of G M a).
  { intros a Ha. split; [|apply R, spell_axes, Ha]. unfold q.
    destruct (existsb _ _) eqn:E; [reflexivity|]. exfalso.
    rewrite <- not_true_iff_false in E. apply E, existsb_exists. exists a. now rewrite Pos.eqb_refl. }
  rewrite (eval_agree _ r q) by (intros a Ha; symmetry; now apply K).
  unfold nonnegative in H.
  assert (Q : forall a, 0 <= q a).
  { intros a. unfold q. destruct (existsb _ _) eqn:E; [|lia].
    apply existsb_exists in E as (b & Hb & E). apply Pos.eqb_eq in E. subst b. apply K in Hb. lia. }
  assert (B : forall a, In a (axes_of (spell G e)) -> q a < size_of G M a)
    by (intros a Ha; destruct (K a Ha); lia).
  apply (follows_sound G M ok q Q) in H.
  pose proof (lowest_le G _ M ok q Q B 3 (normal_form G (spell G e))) as L.
  rewrite (normal_form_eval G M ok) in L. lia.
Qed.
Lemma axes_of_close e : axes_of (close e) = [].
Proof. induction e; cbn; auto; now rewrite IHe1, IHe2. Qed.
Lemma nonempty_sound G M a : sizes_ok M G -> nonempty G a = true -> 0 < size_of G M a.
Proof.
  intros ok H. apply (nonnegative_sound G M _ (fun _ => 0) ok) in H.
  - cbn in H. rewrite close_eval in H. unfold size_of. lia.
  - unfold leaves_of. cbn. rewrite axes_of_close. intros b [].
Qed.

(* A context from lists, as certificates write it. *)
Definition map_of {A} (l : list (positive * A)) : PositiveMap.t A :=
  fold_left (fun m p => PositiveMap.add (fst p) (snd p) m) l (PositiveMap.empty A).
