(* Laws as data: patterns with variables, and the conditions under which both sides are equal.

   A law is sound where every instance whose conditions hold is an equality at all sizes.  The texts
   under `rules/` are written as this data by `python -m ncd_formal.coq.table`, which turns each
   computed operation of a text into a variable and a condition that says what it is. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals ZArith BinNums PArith List Bool Lia String
  FunctionalExtensionality.
From Ncd Require Import Folds Monoids Sizes Contexts Wires Facts.
Import ListNotations.
Local Open Scope Z_scope.

Inductive monoid_pattern :=
  | MonoidVar (v : nat)
  | MonoidIs (m : monoid)
  | MonoidBoth (m n : monoid_pattern).
Inductive operator_pattern :=
  | Plain (o : operator)
  | AnyConstant (v : nat)                    (* of a rational variable *)
  | AnyIndex (v : nat)
  | AnyPredicate (v : nat)
  | AnyReduce (m : monoid_pattern) (x : nat).
Inductive pattern :=
  | Var (v : nat)
  | Op (o : operator_pattern) (args : list pattern).

(* Numbers and indices that a text computes from its variables. *)
Inductive number_expression :=
  | NVar (v : nat) | NLit (q : Q) | NPlus (a b : number_expression)
  | NTimes (a b : number_expression) | NInverse (a : number_expression)
  | NMax (a b : number_expression).
Inductive index_expression :=
  | IVar (v : nat) | IAxis (x : nat) | IExtent (x : nat) | ILit (z : Z)
  | IPlus (a b : index_expression) | ITimes (a b : index_expression)
  | IMinus (a b : index_expression).

Inductive condition :=
  | Known (F : fact) (t : nat)
  | IsNumber (t : nat)                       (* no pair: the same on every path *)
  | Independent (x t : nat)
  | Disjoint (x y : nat)
  | Nonempty (x : nat)
  | Unsplit (x : nat)
  | SameAxis (x y : nat)
  | Regroups (m : nat)
  | SplitInto (masked : bool) (x b i : nat)
  | Associates (a b c : nat)
  | Distributes (c : nat) (ts : list nat)
  | InRange (p : index_expression)
  | IndexIs (p : nat) (e : index_expression)
  | NumberIs (a b : number_expression)
  | NumberIsNot (a b : number_expression)
  | NumberLess (a b : number_expression)
  | NumberIsIndex (q p : nat)
  | RootIs (a b : nat)                       (* b is the root of a *)
  | Witness (b : bool) (t x p : nat)         (* t is b where x is p *)
  | Substituted (slot t' t x : nat) (e : index_expression)
  | GivenThat (slot t' t p : nat) (b : bool) (* t' is t where p is, or is not, at least 0 *)
  | Unrolled (m x t' t : nat).

Record law := Law { name : string; left : pattern; right : pattern; conditions : list condition }.

(* Instances -------------------------------------------------------------------------------- *)

Record valuation := Valuation {
  terms : list term; axes : list axis; indices : list index; numbers : list Q;
  monoids : list monoid }.

Section Instance.
  Variable v : valuation.
  Definition term_of (n : nat) : term := nth n (terms v) (Apply Undefined []).
  Definition axis_of (n : nat) : axis := nth n (axes v) 1%positive.
  Definition index_of (n : nat) : index := nth n (indices v) (Num 0).
  Definition number_of (n : nat) : Q := nth n (numbers v) 0%Q.
  Definition monoid_of (n : nat) : monoid := nth n (monoids v) Product.

  Fixpoint monoid_instance (m : monoid_pattern) : monoid := match m with
    | MonoidVar n => monoid_of n
    | MonoidIs m => m
    | MonoidBoth m n => Both (monoid_instance m) (monoid_instance n) end.
  Definition operator_instance (o : operator_pattern) : operator := match o with
    | Plain o => o
    | AnyConstant n => Constant (number_of n)
    | AnyIndex n => Index (index_of n)
    | AnyPredicate n => Predicate (index_of n)
    | AnyReduce m x => Reduce (monoid_instance m) (axis_of x) end.
  Fixpoint instance (p : pattern) : term := match p with
    | Var n => term_of n
    | Op o args => Apply (operator_instance o) (map instance args) end.

  Fixpoint number_value (e : number_expression) : Q := match e with
    | NVar n => number_of n
    | NLit q => q
    | NPlus a b => number_value a + number_value b
    | NTimes a b => number_value a * number_value b
    | NInverse a => / number_value a
    | NMax a b => let x := number_value a in let y := number_value b in
        if Qle_bool x y then y else x end.
  Fixpoint index_value (G : context) (e : index_expression) : index := match e with
    | IVar n => index_of n
    | IAxis n => Axis (axis_of n)
    | IExtent n => close (extent G (axis_of n))
    | ILit z => Num z
    | IPlus a b => Plus (index_value G a) (index_value G b)
    | ITimes a b => Times (index_value G a) (index_value G b)
    | IMinus a b => Minus (index_value G a) (index_value G b) end.
End Instance.

(* What conditions mean --------------------------------------------------------------------- *)

Definition always (G : context) (P : model -> Prop) : Prop :=
  forall M, model_ok M G -> splits_ok G M -> P M.
(* At every index of a term's free axes. *)
Definition everywhere (G : context) (t : term) (P : model -> env -> Prop) : Prop :=
  always G (fun M => forall r, in_range G M (free G t) r -> P M r).

(* A factor moves in and out of sums: it is positive, or there is no −∞. *)
Definition distributes (c : value) (l : list value) : Prop :=
  positive_or_undefined c \/ (no_infinity c /\ Forall no_infinity l).

Definition condition_holds (G : context) (v : valuation) (c : condition) : Prop :=
  let T n := term_of v n in let X n := axis_of v n in
  match c with
  | Known F t => everywhere G (T t) (fun M r => forall p, has F (denote G M (T t) r p))
  | IsNumber t => always G (fun M => forall r p q, denote G M (T t) r p = denote G M (T t) r q)
  | Independent x t => forall a, In a (leaves G (X x)) -> ~ In a (free G (T t))
  | Disjoint x y => forall a, In a (leaves G (X x)) -> ~ In a (leaves G (X y))
  | Nonempty x => always G (fun M => 0 < size_of G M (X x))
  | Unsplit x => stands_alone G (X x) = true
  | SameAxis x y => stands_alone G (X x) = true /\ stands_alone G (X y) = true
      /\ always G (fun M => size_of G M (X x) = size_of G M (X y))
  | Regroups m => regroups (monoid_of v m) = true
  | SplitInto masked x b i =>
      always G (fun M =>
        let e := size_of G M (X i) in
        (forall r k, put G M r (X x) k = put G M (put G M r (X b) (k / e)) (X i) (k mod e))
        /\ (forall r, get G M r (X x) = get G M r (X b) * e + get G M r (X i))
        /\ 0 <= size_of G M (X b) /\ 0 <= e
        /\ if masked then size_of G M (X x) <= size_of G M (X b) * e
           else size_of G M (X x) = size_of G M (X b) * e)
      /\ leaves G (X x) = leaves G (X b) ++ leaves G (X i)
      /\ (forall a, In a (leaves G (X b)) -> ~ In a (leaves G (X i)))
  | Associates a b c => always G (fun M => forall r, in_range G M (free G (T a)) r ->
      in_range G M (free G (T b)) r -> in_range G M (free G (T c)) r -> forall p,
      let x := denote G M (T a) r p in let y := denote G M (T b) r p in
      let z := denote G M (T c) r p in vmul (vmul x y) z = vmul x (vmul y z))
  | Distributes c ts =>
      everywhere G (T c) (fun M r => forall p, positive_or_undefined (denote G M (T c) r p))
      \/ (forall t, In t (c :: ts) ->
            everywhere G (T t) (fun M r => forall p, no_infinity (denote G M (T t) r p)))
  | InRange p => always G (fun M => forall r, in_range G M (leaves_of G (index_value v G p)) r ->
      0 <= index_at G M r (index_value v G p))
  | IndexIs p e =>
      always G (fun M => forall r, index_at G M r (index_of v p) = index_at G M r (index_value v G e))
  | NumberIs a b => (number_value v a == number_value v b)%Q
  | NumberIsNot a b => ~ (number_value v a == number_value v b)%Q
  | NumberLess a b => (number_value v a < number_value v b)%Q
  | NumberIsIndex q p =>
      always G (fun M => forall r, IZR (index_at G M r (index_of v p)) = Q2R (number_of v q))
  | RootIs a b => (number_of v b * number_of v b == number_of v a)%Q /\ (0 <= number_of v b)%Q
  | Witness b t x _ => always G (fun M => forall r,
      in_range G M (without (free G (T t)) (leaves G (X x))) r ->
      exists k, (k < length_of G M (X x))%nat
        /\ forall p, denote G M (T t) (put G M r (X x) (Z.of_nat k)) p = truth b)
  | Substituted _ t' t x e => stands_alone G (X x) = true
      /\ always G (fun M => forall r, denote G M (T t') r
           = denote G M (T t) (put1 r (X x) (index_at G M r (index_value v G e))))
  | GivenThat _ t' t p b => always G (fun M => forall r,
      Wires.holds (index_at G M r (index_of v p)) = b -> denote G M (T t') r = denote G M (T t) r)
  | Unrolled m x t' t => always G (fun M => forall r, denote G M (T t') r
      = fold (monoid_of v m) (length_of G M (X x))
          (fun k => denote G M (T t) (put G M r (X x) (Z.of_nat k)))) end.

Definition law_sound (l : law) : Prop := forall G v, splits_fit G = true ->
  Forall (condition_holds G v) (conditions l) ->
  equal G (instance v (left l)) (instance v (right l)).

(* Tactics ---------------------------------------------------------------------------------- *)

Arguments term_of : simpl never.
Arguments axis_of : simpl never.
Arguments index_of : simpl never.
Arguments number_of : simpl never.
Arguments monoid_of : simpl never.

Lemma in_range_part G M l k r : in_range G M l r -> (forall a, In a k -> In a l) -> in_range G M k r.
Proof. intros R H a Ha. apply R, H, Ha. Qed.

(* Open a law: its conditions become K, K0, K1 …, both sides their denotations. *)
Ltac open_conditions C := lazymatch type of C with
  | Forall _ [] => clear C
  | Forall _ (_ :: _) => let K := fresh "K" in
      apply Forall_cons_iff in C as [K C]; cbn [condition_holds] in K; open_conditions C end.
Ltac open_law := match goal with |- law_sound ?l => unfold l end;
  intros G v fit C M r ok splits Rl Rr; cbn [conditions] in C; open_conditions C;
  cbn [left right instance map operator_instance monoid_instance free own_axes bound_axes
       flat_map app] in *;
  cbn [left right instance map operator_instance monoid_instance denote meaning argument nth].
(* … at one path. *)
Ltac at_path p := apply object_ext; intros p; unfold number, first, second; cbn [pair].

(* What is in range for a side is in range for its parts. *)
Ltac in_parts := intros ? ?; cbn [flat_map]; repeat rewrite ?in_app_iff, ?without_in, ?app_nil_r in *;
  cbn [In]; tauto.
Ltac range := match goal with
  | R : in_range _ _ _ ?r |- in_range _ _ _ ?r => eapply in_range_part; [exact R | in_parts] end.
Lemma known_at G t F M r : model_ok M G -> splits_ok G M ->
  everywhere G t (fun M r => forall p, has F (denote G M t r p)) -> in_range G M (free G t) r ->
  forall p, has F (denote G M t r p).
Proof. intros ok s K R. exact (K M ok s r R). Qed.
(* The fact K of a term, where it is evaluated at p. *)
Ltac fact_at K p F := lazymatch goal with
  | ok : model_ok ?M ?G, s : splits_ok ?G ?M, R : in_range ?G ?M _ ?r |- _ =>
      pose proof (fun range => known_at _ _ _ M r ok s K range p) as F;
      lazymatch type of F with ?premise -> _ =>
        let R := fresh in assert (R : premise) by range; specialize (F R); clear R end end.
