(* Sizes and indices: integer polynomials over sizes and axes, with quotients and remainders.

   An expression is normalised to a sum of monomials; two expressions are the same where their
   difference normalises to nothing.  The order of monomials only makes normal forms meet: no proof
   rests on it.  This is `ncd_formal/sizes.py`, whose normal forms are taken on nobody's word. *)

From Coq Require Import ZArith PArith List Bool Lia.
Import ListNotations.
Local Open Scope Z_scope.
Local Arguments Z.add : simpl never.
Local Arguments Z.mul : simpl never.
Local Arguments Z.opp : simpl never.

Inductive index :=
  | Num (z : Z)
  | Size (s : positive)
  | Axis (a : positive)
  | Plus (e f : index)
  | Times (e f : index)
  | Quot (e f : index)                                 (* rounded down *)
  | Rem (e f : index).

Fixpoint eval (sizes axes : positive -> Z) (e : index) : Z := match e with
  | Num z => z
  | Size s => sizes s
  | Axis a => axes a
  | Plus e f => eval sizes axes e + eval sizes axes f
  | Times e f => eval sizes axes e * eval sizes axes f
  | Quot e f => eval sizes axes e / eval sizes axes f
  | Rem e f => eval sizes axes e mod eval sizes axes f end.

Definition Minus e f := Plus e (Times (Num (-1)) f).

Fixpoint compare (e f : index) : comparison :=
  let rank e := match e with
    | Num _ => 0 | Size _ => 1 | Axis _ => 2 | Plus _ _ => 3 | Times _ _ => 4 | Quot _ _ => 5
    | Rem _ _ => 6 end in
  let both a b c d := match compare a b with Eq => compare c d | order => order end in
  match e, f with
  | Num y, Num z => (y ?= z)
  | Size s, Size t | Axis s, Axis t => (s ?= t)%positive
  | Plus a c, Plus b d | Times a c, Times b d | Quot a c, Quot b d | Rem a c, Rem b d => both a b c d
  | _, _ => (rank e ?= rank f) end.

Fixpoint index_eqb (e f : index) : bool := match e, f with
  | Num y, Num z => y =? z
  | Size s, Size t | Axis s, Axis t => (s =? t)%positive
  | Plus a c, Plus b d | Times a c, Times b d | Quot a c, Quot b d | Rem a c, Rem b d =>
      index_eqb a b && index_eqb c d
  | _, _ => false end.
Lemma index_eqb_eq e : forall f, index_eqb e f = true -> e = f.
Proof.
  induction e; intros []; cbn; try discriminate; rewrite ?andb_true_iff, ?Z.eqb_eq, ?Pos.eqb_eq;
    intros; f_equal; intuition auto.
Qed.
Lemma index_eqb_refl e : index_eqb e e = true.
Proof. induction e; cbn; rewrite ?Z.eqb_refl, ?Pos.eqb_refl; auto using andb_true_intro. Qed.

(* Polynomials ------------------------------------------------------------------------------ *)

Definition monomial := list index.                     (* its factors *)
Definition polynomial := list (monomial * Z).

Fixpoint monomial_compare (m n : monomial) : comparison := match m, n with
  | [], [] => Eq | [], _ => Lt | _, [] => Gt
  | e :: m, f :: n => match compare e f with Eq => monomial_compare m n | order => order end end.
Fixpoint monomial_eqb (m n : monomial) : bool := match m, n with
  | [], [] => true
  | e :: m, f :: n => index_eqb e f && monomial_eqb m n
  | _, _ => false end.
Fixpoint insert_factor (e : index) (m : monomial) : monomial := match m with
  | [] => [e]
  | f :: n => match compare e f with Gt => f :: insert_factor e n | _ => e :: m end end.
Definition monomial_mul (m n : monomial) : monomial := fold_right insert_factor n m.

Fixpoint insert_term (m : monomial) (c : Z) (p : polynomial) : polynomial := match p with
  | [] => if c =? 0 then [] else [(m, c)]
  | (n, d) :: q =>
      if monomial_eqb m n then (if c + d =? 0 then q else (n, c + d) :: q)
      else match monomial_compare m n with
        | Gt => (n, d) :: insert_term m c q
        | _ => if c =? 0 then p else (m, c) :: p end end.
Definition add (p q : polynomial) : polynomial :=
  fold_right (fun t => insert_term (fst t) (snd t)) q p.
Definition scale (m : monomial) (c : Z) (p : polynomial) : polynomial :=
  fold_right (fun t => insert_term (monomial_mul m (fst t)) (c * snd t)) [] p.
Definition mul (p q : polynomial) : polynomial :=
  fold_right (fun t => add (scale (fst t) (snd t) q)) [] p.
Definition neg (p : polynomial) : polynomial := map (fun t => (fst t, - snd t)) p.

Fixpoint monomial_index (m : monomial) : index :=
  match m with [] => Num 1 | e :: m => Times e (monomial_index m) end.
Definition term_index (t : monomial * Z) : index := match t with
  | ([], c) => Num c
  | ([e], 1) => e
  | (m, c) => Times (Num c) (monomial_index m) end.
Definition to_index (p : polynomial) : index :=
  match p with [] => Num 0 | t :: q => fold_left (fun e t => Plus e (term_index t)) q (term_index t) end.

Section Eval.
  Variables sizes axes : positive -> Z.
  Notation ev := (eval sizes axes).
  Fixpoint monomial_eval (m : monomial) : Z :=
    match m with [] => 1 | e :: m => ev e * monomial_eval m end.
  Fixpoint poly_eval (p : polynomial) : Z :=
    match p with [] => 0 | (m, c) :: p => c * monomial_eval m + poly_eval p end.

  Lemma monomial_eqb_eq m : forall n, monomial_eqb m n = true -> m = n.
  Proof.
    induction m; intros [|f n]; cbn; try discriminate; auto.
    rewrite andb_true_iff. intros [H1 H2]. f_equal; [apply index_eqb_eq; auto | apply IHm; auto].
  Qed.
  Lemma insert_factor_eval e m : monomial_eval (insert_factor e m) = ev e * monomial_eval m.
  Proof.
    induction m as [|f m IH]; cbn; [lia|]. destruct (compare e f); cbn; try reflexivity.
    rewrite IH. ring.
  Qed.
  Lemma monomial_mul_eval m n : monomial_eval (monomial_mul m n) = monomial_eval m * monomial_eval n.
  Proof.
    induction m as [|e m IH]; cbn; [ring|].
    change (fold_right insert_factor n m) with (monomial_mul m n).
    rewrite insert_factor_eval, IH. ring.
  Qed.
  Lemma insert_term_eval m c p : poly_eval (insert_term m c p) = c * monomial_eval m + poly_eval p.
  Proof.
    induction p as [|[n d] q IH]; cbn.
    - destruct (Z.eqb_spec c 0); cbn; subst; ring.
    - destruct (monomial_eqb m n) eqn:E.
      + apply monomial_eqb_eq in E. subst.
        destruct (Z.eqb_spec (c + d) 0); cbn; [|ring].
        transitivity ((c + d) * monomial_eval n + poly_eval q); [rewrite e; ring | ring].
      + destruct (monomial_compare m n); [| | cbn; rewrite IH; ring];
          destruct (Z.eqb_spec c 0); cbn; subst; ring.
  Qed.
  Lemma add_eval p q : poly_eval (add p q) = poly_eval p + poly_eval q.
  Proof.
    induction p as [|[m c] p IH]; cbn; [reflexivity|].
    change (fold_right _ q p) with (add p q). rewrite insert_term_eval, IH. ring.
  Qed.
  Lemma scale_eval m c p : poly_eval (scale m c p) = c * monomial_eval m * poly_eval p.
  Proof.
    induction p as [|[n d] p IH]; cbn; [ring|].
    change (fold_right _ [] p) with (scale m c p).
    rewrite insert_term_eval, monomial_mul_eval, IH. ring.
  Qed.
  Lemma mul_eval p q : poly_eval (mul p q) = poly_eval p * poly_eval q.
  Proof.
    induction p as [|[m c] p IH]; cbn; [reflexivity|].
    change (fold_right _ [] p) with (mul p q). rewrite add_eval, scale_eval, IH. ring.
  Qed.
  Lemma neg_eval p : poly_eval (neg p) = - poly_eval p.
  Proof.
    induction p as [|[m c] p IH]; cbn; [reflexivity|].
    change (map _ p) with (neg p). rewrite IH. ring.
  Qed.
  Lemma monomial_index_eval m : ev (monomial_index m) = monomial_eval m.
  Proof. induction m; cbn; auto. rewrite IHm. reflexivity. Qed.
  Lemma term_index_eval t : ev (term_index t) = snd t * monomial_eval (fst t).
  Proof.
    destruct t as [[|e m] c]; [cbn; ring|].
    cbn [fst snd]. rewrite <- monomial_index_eval.
    destruct m, c as [|[]|]; cbn; ring.
  Qed.
  Lemma to_index_eval p : ev (to_index p) = poly_eval p.
  Proof.
    assert (H : forall q e, ev (fold_left (fun e t => Plus e (term_index t)) q e)
        = ev e + poly_eval q).
    { induction q as [|[m c] q IH]; intros e; cbn [fold_left poly_eval]; [ring|].
      rewrite IH. cbn [eval]. rewrite term_index_eval. cbn [fst snd]. ring. }
    destruct p as [|[m c] q]; cbn [to_index poly_eval]; [reflexivity|].
    rewrite H, term_index_eval. reflexivity.
  Qed.
End Eval.

(* Normal forms ----------------------------------------------------------------------------- *)

Definition monic (e : index) : polynomial := [([e], 1)].
Definition poly_constant (p : polynomial) : option Z := match p with
  | [] => Some 0 | [([], c)] => Some c | _ => None end.

Fixpoint monomial_divide (m n : monomial) : option monomial := match n with   (* m / n *)
  | [] => Some m
  | e :: n =>
      let fix remove m := match m with
        | [] => None
        | f :: m => if index_eqb e f then Some m else option_map (cons f) (remove m) end in
      match remove m with Some m => monomial_divide m n | None => None end end.
Definition term_divide (t u : monomial * Z) : option (monomial * Z) :=
  match monomial_divide (fst t) (fst u) with
  | Some m => if snd t mod snd u =? 0 then Some (m, snd t / snd u) else None
  | None => None end.

(* Long division, as far as it goes: what it finds is checked by multiplying out. *)
Definition degree (m : monomial) : nat := length m.
Definition leading (p : polynomial) : monomial * Z := fold_left (fun best t =>
  match Nat.compare (degree (fst best)) (degree (fst t)) with
  | Lt => t
  | Gt => best
  | Eq => match monomial_compare (fst best) (fst t) with Gt => t | _ => best end end)
  p ([], 0).
Fixpoint divide (fuel : nat) (p q : polynomial) : option polynomial := match p, fuel with
  | [], _ => Some []
  | _, O => None
  | _, S fuel => match term_divide (leading p) (leading q) with
      | None => None
      | Some (m, c) => match divide fuel (add p (neg (scale m c q))) q with
          | Some rest => Some (insert_term m c rest)
          | None => None end end end.

(* The part of p that q divides, monomial by monomial, or all of it. *)
Definition multiples (p q : polynomial) : polynomial :=
  let whole := match q with
    | [u] => fold_right (fun t w => match term_divide t u with
        | Some (m, c) => insert_term m c w | None => w end) [] p
    | _ => [] end in
  match divide 20 (add p (neg (mul whole q))) q with
  | Some exact => add whole exact
  | None => whole end.

Section Normal.
  (* The least value of each size, none negative: what is divided by must be positive. *)
  Variable least : positive -> Z.

  Fixpoint least_monomial (m : monomial) : option Z := match m with
    | [] => Some 1
    | Size s :: m => option_map (Z.mul (least s)) (least_monomial m)
    | _ => None end.
  (* A lower bound of p, where it is a sum of products of sizes. *)
  Fixpoint lower_bound (p : polynomial) : option Z := match p with
    | [] => Some 0
    | ([], c) :: p => option_map (Z.add c) (lower_bound p)
    | (m, c) :: p => match least_monomial m, lower_bound p with
        | Some b, Some l => if 0 <=? c then Some (c * b + l) else None
        | _, _ => None end end.
  Definition is_positive (p : polynomial) : bool :=
    match lower_bound p with Some l => 1 <=? l | None => false end.

  Definition quotient (p q : polynomial) : polynomial :=
    if negb (is_positive q) then monic (Quot (to_index p) (to_index q)) else
    let whole := multiples p q in
    let rest := add p (neg (mul whole q)) in
    let general := add whole (monic (Quot (to_index rest) (to_index q))) in
    match poly_constant rest, poly_constant q with
    | None, _ => general
    | Some c, Some d => add whole (insert_term [] (c / d) [])
    | Some c, None => if c =? 0 then whole
        else if c =? -1 then insert_term [] (-1) whole else general end.
  Definition remainder (p q : polynomial) : polynomial :=
    if negb (is_positive q) then monic (Rem (to_index p) (to_index q)) else
    let rest := add p (neg (mul (multiples p q) q)) in
    let general := monic (Rem (to_index rest) (to_index q)) in
    match poly_constant rest, poly_constant q with
    | None, _ => general
    | Some c, Some d => insert_term [] (c mod d) []
    | Some c, None => if c =? 0 then []
        else if c =? -1 then insert_term [] (-1) q else general end.

  Fixpoint normal (e : index) : polynomial := match e with
    | Num z => insert_term [] z []
    | Size _ | Axis _ => monic e
    | Plus e f => add (normal e) (normal f)
    | Times e f => mul (normal e) (normal f)
    | Quot e f => quotient (normal e) (normal f)
    | Rem e f => remainder (normal e) (normal f) end.

  (* Whether two expressions have one normal form. *)
  Definition same (e f : index) : bool :=
    if index_eqb e f then true          (* what follows is not computed where this is so *)
    else match add (normal e) (neg (normal f)) with [] => true | _ => false end.

  Variables sizes axes : positive -> Z.
  Hypothesis least_sizes : forall s, 0 <= least s <= sizes s.
  Notation ev := (eval sizes axes).
  Notation pv := (poly_eval sizes axes).

  Lemma least_monomial_le m b : least_monomial m = Some b -> 0 <= b <= monomial_eval sizes axes m.
  Proof.
    revert b. induction m as [|[] m IH]; cbn; intros b; try discriminate; [intros [= <-]; lia|].
    destruct (least_monomial m) as [c|]; [|discriminate]. intros [= <-].
    specialize (IH c eq_refl). specialize (least_sizes s). nia.
  Qed.
  Lemma lower_bound_le p l : lower_bound p = Some l -> l <= pv p.
  Proof.
    revert l. induction p as [|[m c] p IH]; cbn; intros l; [intros [= <-]; lia|].
    destruct (lower_bound p) as [k|]; [|destruct m; [discriminate|]; destruct (least_monomial _); discriminate].
    specialize (IH k eq_refl). destruct m as [|e m]; cbn [option_map].
    - intros [= <-]. cbn. lia.
    - destruct (least_monomial (e :: m)) as [b|] eqn:E; [|discriminate].
      apply least_monomial_le in E. destruct (Z.leb_spec 0 c); [|discriminate]. intros [= <-].
      change (c * b + k <= c * monomial_eval sizes axes (e :: m) + pv p). nia.
  Qed.
  Lemma is_positive_lt p : is_positive p = true -> 0 < pv p.
  Proof.
    unfold is_positive. destruct (lower_bound p) as [l|] eqn:E; [|discriminate].
    apply lower_bound_le in E. rewrite Z.leb_le. lia.
  Qed.
  Lemma poly_constant_eval p c : poly_constant p = Some c -> pv p = c.
  Proof.
    destruct p as [|[[|] d] [|]]; cbn; try discriminate; intros [= <-]; lia.
  Qed.

  Lemma monic_eval e : pv (monic e) = ev e.
  Proof. unfold monic. cbn. lia. Qed.
  Lemma quotient_eval p q : pv (quotient p q) = pv p / pv q.
  Proof.
    unfold quotient. destruct (is_positive q) eqn:P; cbn [negb];
      [|rewrite monic_eval; cbn; now rewrite !to_index_eval].
    apply is_positive_lt in P. cbv zeta. set (whole := multiples p q).
    set (rest := add p (neg (mul whole q))).
    assert (E : pv p / pv q = pv whole + pv rest / pv q).
    { rewrite <- Z.div_add_l by lia. f_equal. unfold rest.
      rewrite add_eval, neg_eval, mul_eval. ring. }
    assert (G : pv (add whole (monic (Quot (to_index rest) (to_index q)))) = pv p / pv q).
    { rewrite add_eval, monic_eval. cbn. rewrite !to_index_eval. auto. }
    destruct (poly_constant rest) as [c|] eqn:C; [|exact G]. apply poly_constant_eval in C.
    destruct (poly_constant q) as [d|] eqn:D.
    - apply poly_constant_eval in D. rewrite add_eval, insert_term_eval, E, C, D. cbn. lia.
    - destruct (Z.eqb_spec c 0) as [->|]; [|destruct (Z.eqb_spec c (-1)) as [->|]; [|exact G]];
        rewrite E, C.
      + rewrite Z.div_0_l by lia. lia.
      + rewrite insert_term_eval. cbn [monomial_eval].
        replace (-1 / pv q) with (-1); [lia|].
        apply (Z.div_unique (-1) (pv q) (-1) (pv q - 1)); lia.
  Qed.
  Lemma remainder_eval p q : pv (remainder p q) = pv p mod pv q.
  Proof.
    unfold remainder. destruct (is_positive q) eqn:P; cbn [negb];
      [|rewrite monic_eval; cbn; now rewrite !to_index_eval].
    apply is_positive_lt in P. cbv zeta. set (whole := multiples p q).
    set (rest := add p (neg (mul whole q))).
    assert (E : pv p mod pv q = pv rest mod pv q).
    { rewrite <- (Z.mod_add (pv rest) (pv whole)) by lia. f_equal. unfold rest.
      rewrite add_eval, neg_eval, mul_eval. ring. }
    assert (G : pv (monic (Rem (to_index rest) (to_index q))) = pv p mod pv q).
    { rewrite monic_eval. cbn. rewrite !to_index_eval. auto. }
    destruct (poly_constant rest) as [c|] eqn:C; [|exact G]. apply poly_constant_eval in C.
    destruct (poly_constant q) as [d|] eqn:D.
    - apply poly_constant_eval in D. rewrite insert_term_eval, E, C, D. cbn. lia.
    - destruct (Z.eqb_spec c 0) as [->|]; [|destruct (Z.eqb_spec c (-1)) as [->|]; [|exact G]];
        rewrite E, C.
      + rewrite Z.mod_0_l by lia. reflexivity.
      + rewrite insert_term_eval. cbn [monomial_eval].
        transitivity (pv q - 1); [ring|].
        apply (Z.mod_unique (-1) (pv q) (-1)); lia.
  Qed.
  Lemma normal_eval e : pv (normal e) = ev e.
  Proof.
    induction e; cbn [normal]; rewrite ?monic_eval, ?add_eval, ?mul_eval, ?quotient_eval,
      ?remainder_eval, ?insert_term_eval; cbn; rewrite ?IHe1, ?IHe2; try reflexivity; lia.
  Qed.
  Theorem same_eval e f : same e f = true -> ev e = ev f.
  Proof.
    unfold same. destruct (index_eqb e f) eqn:H; [now apply index_eqb_eq in H; subst|].
    destruct (add _ _) eqn:E; [intros _|discriminate].
    assert (K : pv (add (normal e) (neg (normal f))) = 0) by (rewrite E; reflexivity).
    rewrite add_eval, neg_eval, !normal_eval in K. lia.
  Qed.
End Normal.
