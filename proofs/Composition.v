(* Proofs made of proofs: two programs as the same steps, each step proved by a certificate.

   A step makes one array from inputs and from arrays of earlier steps.  Its part is a certificate
   that both programs' ways of making it agree whatever it reads holds, so the arrays agree one
   after the other.  What a part supposes must hold of what its step reads.  This is
   `ncd_formal/composition.py`. *)

From Ncd Require Import Values.
From Coq Require Import Reals ZArith BinNums PArith List Bool Lia FMapPositive
  FunctionalExtensionality.
From Ncd Require Import Monoids Sizes Contexts Wires Facts Laws Nodes Conditions Checker.
Import ListNotations.
Local Open Scope Z_scope.

(* A function of indices.  What lies past its edge is 1, which is of every kind. *)
Definition values := list Z -> value.

Record part := Part {
  context_of : context;
  table_of : node_table;
  hypotheses_of : list goal;            (* what it supposes of what is read *)
  lemmas_of_part : list lemma;
  left_node : positive;
  right_node : positive;
  form : positive;                      (* a form of it that shows its kind *)
  kind_of_part : input_kind;
  dimensions : list (list axis) }.      (* the axes of each dimension, most significant first *)
Definition goals_of (p : part) : list goal :=
  [(left_node p, right_node p); (left_node p, form p)].

Definition input_kinds := PositiveMap.t input_kind.
Inductive source := FromInput (x : positive) | FromStep (k : nat).
Record step := Step { part_number : nat; reads : PositiveMap.t source }.

(* What steps make ----------------------------------------------------------------------------- *)

(* The digits of an index, the least significant axis first. *)
Fixpoint digits (G : context) (M : model) (l : list axis) (i : Z) (r : env) : env := match l with
  | [] => r
  | [a] => put1 r a i
  | a :: l => digits G M l (i / size_of G M a) (put1 r a (i mod size_of G M a)) end.
Fixpoint placed (G : context) (M : model) (dims : list (list axis)) (is : list Z) (r : env) : env :=
  match dims, is with
  | d :: dims, i :: is => placed G M dims is (digits G M (rev d) i r)
  | _, _ => r end.
Definition inside (G : context) (M : model) (l : list axis) (r : env) : bool :=
  forallb (fun a => (0 <=? r a) && (r a <? size_of G M a)) l.
Definition axes_made (p : part) : list axis := concat (dimensions p).

(* The inputs of a part are what its step reads. *)
Definition model_at (M : model) (s : step) (made : list values) : model := Model (sizes M)
  (fun x => match PositiveMap.find x (reads s) with
    | Some (FromInput y) => input M y
    | Some (FromStep k) => nth k made (fun _ => Fin 1)
    | None => fun _ => Fin 1 end)
  (function M) (opaque M).
Definition array_of (p : part) (i : positive) (N : model) : values := fun is =>
  let G := context_of p in let r := placed G N (dimensions p) is (fun _ => 0) in
  if inside G N (axes_made p) r then denote G N (term_at G (table_of p) i) r [] else Fin 1.

(* All arrays of one side, in order. *)
Fixpoint run_steps (side : part -> positive) (parts : list part) (M : model) (made : list values)
    (steps : list step) : list values := match steps with
  | [] => made
  | s :: steps => match nth_error parts (part_number s) with
    | Some p => run_steps side parts M (made ++ [array_of p (side p) (model_at M s made)]) steps
    | None => made end end.

(* What is checked ------------------------------------------------------------------------------ *)

Definition no_splits (G : context) : bool := match splits G with [] => true | _ => false end.
Definition covered (p : part) (i : positive) : bool :=
  forallb (fun a => existsb (Pos.eqb a) (axes_made p))
    (free (context_of p) (term_at (context_of p) (table_of p) i)).
Definition part_ok (laws : list law) (p : part) : bool :=
  no_splits (context_of p)
  && check laws (context_of p) (table_of p) (hypotheses_of p) (lemmas_of_part p) (goals_of p)
  && covered p (left_node p) && covered p (right_node p) && covered p (form p)
  && fact_is (build (context_of p) (table_of p)) (input_fact (kind_of_part p)) (form p).

Definition kind_within (k l : input_kind) : bool := subset (input_fact k) (input_fact l).
Definition read_ok (inputs : PositiveMap.t input_kind) (kinds : list input_kind) (G : context)
    (read : positive * source) : bool :=
  let wanted := kind_of_input G (fst read) in
  match snd read with
  | FromInput y => kind_within (find ExtendedInput inputs y) wanted
  | FromStep k => match nth_error kinds k with Some found => kind_within found wanted | None => false end
  end.
Definition supposed (p : part) (N : model) : Prop :=
  Forall (holds_in (context_of p) (table_of p) N) (hypotheses_of p).
(* Each step reads what its part supposes, whatever else was made. *)
Definition all_supposed (parts : list part) (M : model) (steps : list step) : Prop :=
  forall s p made, In s steps -> nth_error parts (part_number s) = Some p ->
  supposed p (model_at M s made).
Definition supposes_nothing (p : part) : bool := match hypotheses_of p with [] => true | _ => false end.
Lemma nothing_supposed parts M steps : forallb supposes_nothing parts = true ->
  all_supposed parts M steps.
Proof.
  rewrite forallb_forall. intros H s p made _ P. apply nth_error_In, H in P.
  unfold supposed, supposes_nothing in *. destruct (hypotheses_of p); [constructor | discriminate].
Qed.
Fixpoint steps_ok (parts : list part) (inputs : PositiveMap.t input_kind) (kinds : list input_kind)
    (steps : list step) : bool := match steps with
  | [] => true
  | s :: steps => match nth_error parts (part_number s) with
    | Some p => forallb (read_ok inputs kinds (context_of p)) (PositiveMap.elements (reads s))
        && steps_ok parts inputs (kinds ++ [kind_of_part p]) steps
    | None => false end end.

(* Why that suffices ---------------------------------------------------------------------------- *)

Lemma of_kind_fact k v : of_kind k v <-> has (input_fact k) v.
Proof.
  split; [apply input_fact_has|]. destruct k; cbn [of_kind input_fact]; intros H.
  - now apply has_real.
  - now apply has_boolean.
  - now apply has_defined.
  - now apply has_positive.
  - split.
    + apply has_real. eapply subset_has; [|exact H]. reflexivity.
    + apply has_nonnegative_or_undefined. eapply subset_has; [|exact H]. reflexivity.
  - now apply has_no_infinity.
  - exact I.
Qed.
Lemma kind_within_sound k l v : kind_within k l = true -> of_kind k v -> of_kind l v.
Proof. intros S H. apply of_kind_fact. apply of_kind_fact in H. eapply subset_has; eauto. Qed.

Lemma inside_sound G M l r : inside G M l r = true -> in_range G M l r.
Proof.
  unfold inside. rewrite forallb_forall. intros H a Ha. specialize (H a Ha).
  apply andb_true_iff in H as [H1 H2]. apply Z.leb_le in H1. apply Z.ltb_lt in H2. lia.
Qed.
Lemma covered_sound p i M r : covered p i = true -> in_range (context_of p) M (axes_made p) r ->
  in_range (context_of p) M (free (context_of p) (term_at (context_of p) (table_of p) i)) r.
Proof.
  unfold covered. rewrite forallb_forall. intros H R a Ha. apply R, mem_in, H, Ha.
Qed.

Section Composition.
  Variable laws : list law.
  Hypothesis laws_sound : Forall law_sound laws.
  Variable parts : list part.
  Hypothesis parts_ok : forallb (part_ok laws) parts = true.
  Variable inputs_of : PositiveMap.t input_kind.
  Variable M : model.
  Hypothesis sizes_hold : forall p, In p parts -> sizes_ok M (context_of p).
  Hypothesis inputs_hold : forall x is, of_kind (find ExtendedInput inputs_of x) (input M x is).

  Definition made_ok (kinds : list input_kind) (made : list values) : Prop :=
    Forall2 (fun k a => forall is, of_kind k (a is)) kinds made.

  Lemma made_ok_nth kinds made j k : made_ok kinds made -> nth_error kinds j = Some k ->
    forall is, of_kind k (nth j made (fun _ => Fin 1) is).
  Proof.
    intros H. revert j. induction H as [|k' a kinds made Ha H IH]; intros [|j]; cbn; try discriminate.
    - intros [= ->]. exact Ha.
    - apply IH.
  Qed.

  Lemma model_at_ok s kinds made p : In p parts -> made_ok kinds made ->
    forallb (read_ok inputs_of kinds (context_of p)) (PositiveMap.elements (reads s)) = true ->
    model_ok (model_at M s made) (context_of p).
  Proof.
    intros Hp Hm H. split; [exact (sizes_hold p Hp)|]. intros x is. cbn [input model_at].
    destruct (PositiveMap.find x (reads s)) as [[y|k]|] eqn:E; [| |apply one_of_kind];
      apply PositiveMap.elements_correct in E; rewrite forallb_forall in H; specialize (H _ E);
      unfold read_ok in H; cbn [fst snd] in H.
    - eapply kind_within_sound; [exact H | apply inputs_hold].
    - destruct (nth_error kinds k) as [found|] eqn:F; [|discriminate].
      eapply kind_within_sound; [exact H | now apply (made_ok_nth kinds)].
  Qed.

  Lemma part_sound p N : part_ok laws p = true -> model_ok N (context_of p) -> supposed p N ->
    array_of p (left_node p) N = array_of p (right_node p) N
    /\ forall is, of_kind (kind_of_part p) (array_of p (left_node p) N is).
  Proof.
    unfold part_ok. rewrite !andb_true_iff. intros [[[[[S C] L] R] F] K] ok given.
    assert (splits_ok (context_of p) N) as fit.
    { unfold splits_ok, no_splits in *. destruct (splits (context_of p)); [|discriminate].
      split; [constructor | exact I]. }
    pose proof (check_sound laws _ _ _ _ _ laws_sound C N ok fit given) as E. unfold goals_of in E.
    apply Forall_cons_iff in E as [E E']. apply Forall_cons_iff in E' as [E' _].
    cbn [fst snd] in *. split.
    - apply functional_extensionality. intros is. unfold array_of.
      destruct (inside _ _ _ _) eqn:B; [|reflexivity]. apply inside_sound in B.
      apply equal_f, (E _); now apply covered_sound.
    - intros is. unfold array_of. destruct (inside _ _ _ _) eqn:B; [|apply one_of_kind].
      apply inside_sound in B.
      rewrite (E' _) by now apply covered_sound. apply of_kind_fact.
      apply (fact_is_sound (context_of p) _ (build_well_formed _ _) _ _ K N ok fit).
      now apply covered_sound.
  Qed.

  Lemma run_steps_agree steps : all_supposed parts M steps -> forall kinds made, made_ok kinds made ->
    steps_ok parts inputs_of kinds steps = true ->
    run_steps left_node parts M made steps = run_steps right_node parts M made steps.
  Proof.
    induction steps as [|s steps IH]; intros Su kinds made Hm H; [reflexivity|]. cbn in H |- *.
    destruct (nth_error parts (part_number s)) as [p|] eqn:P; [|reflexivity].
    pose proof (Su s p made (or_introl eq_refl) P) as given.
    apply nth_error_In in P. apply andb_true_iff in H as [H1 H2].
    rewrite forallb_forall in parts_ok.
    destruct (part_sound p (model_at M s made) (parts_ok p P) (model_at_ok s _ _ p P Hm H1)
      given) as [E K].
    rewrite <- E. apply (IH (fun s p made I => Su s p made (or_intror I))
      (kinds ++ [kind_of_part p])); [|exact H2].
    apply Forall2_app; [exact Hm | constructor; [exact K | constructor]].
  Qed.
End Composition.

Definition composition_ok (laws : list law) (parts : list part)
    (inputs : PositiveMap.t input_kind) (steps : list step) : bool :=
  forallb (part_ok laws) parts && steps_ok parts inputs [] steps.

(* Both programs make the same arrays: at all sizes that the parts are about, for all inputs of
   which what they suppose holds. *)
Theorem composition_sound laws parts inputs steps : Forall law_sound laws ->
  composition_ok laws parts inputs steps = true ->
  forall M, (forall p, In p parts -> sizes_ok M (context_of p)) ->
  (forall x is, of_kind (find ExtendedInput inputs x) (input M x is)) ->
  all_supposed parts M steps ->
  run_steps left_node parts M [] steps = run_steps right_node parts M [] steps.
Proof.
  unfold composition_ok. rewrite andb_true_iff. intros L [P S] M Z I Su.
  now apply (run_steps_agree laws L parts P inputs M Z I steps Su [] []); [constructor|].
Qed.
