(* Certificates as they are written.

   Coq reads names and constructors far faster than numerals, tuples and nested lists, so a large
   certificate is written with these and turned into the checker's data here.  Nothing rests on it:
   what is checked, and what the theorem speaks of, is the result. *)

From Coq Require Import QArith PArith List.
From Ncd Require Import Monoids Sizes Contexts Wires Conditions Checker.
Import ListNotations.

Inductive ids := Nil | Cons (i : positive) (rest : ids).
Fixpoint list_of (l : ids) : list positive :=
  match l with Nil => [] | Cons i rest => i :: list_of rest end.

(* Nodes are numbered 1, 2, 3 … as they come: each an operator and its children. *)
Inductive rows :=
  | End
  | Row0 (o : operator) (rest : rows)
  | Row1 (o : operator) (a : positive) (rest : rows)
  | Row2 (o : operator) (a b : positive) (rest : rows)
  | Row3 (o : operator) (a b c : positive) (rest : rows).
Definition row : Type := positive * (operator * list positive).
Fixpoint rows_from (i : positive) (r : rows) : positive * list row := match r with
  | End => (i, [])
  | Row0 o rest => let '(n, l) := rows_from (Pos.succ i) rest in (n, (i, (o, [])) :: l)
  | Row1 o a rest => let '(n, l) := rows_from (Pos.succ i) rest in (n, (i, (o, [a])) :: l)
  | Row2 o a b rest => let '(n, l) := rows_from (Pos.succ i) rest in (n, (i, (o, [a; b])) :: l)
  | Row3 o a b c rest => let '(n, l) := rows_from (Pos.succ i) rest in (n, (i, (o, [a; b; c])) :: l) end.
Fixpoint nodes_from (i : positive) (parts : list rows) : list row := match parts with
  | [] => []
  | r :: parts => let '(n, l) := rows_from i r in l ++ nodes_from n parts end.
Definition nodes_of (parts : list rows) : list row := nodes_from 1%positive parts.

(* For each child of a congruence, the lemma that is cited, or that it is the same. *)
Inductive citations := NoMore | Same (rest : citations) | Cite (k : positive) (rest : citations).
Fixpoint citations_of (c : citations) : list (option positive) := match c with
  | NoMore => [] | Same rest => None :: citations_of rest
  | Cite k rest => Some k :: citations_of rest end.

Inductive steps :=
  | Done
  | Congruence (there : positive) (c : citations) (rest : steps)
  | Instance (there : positive) (law : positive) (terms axes : ids) (rest : steps)
  | FullInstance (there : positive) (law : positive) (v : assignment) (rest : steps)
  | Given (there : positive) (hypothesis : positive) (rest : steps).
Fixpoint steps_of (s : steps) : list (positive * reason) :=
  let place k := pred (Pos.to_nat k) in
  match s with
  | Done => []
  | Congruence there c rest => (there, ByCongruence (citations_of c)) :: steps_of rest
  | Instance there l terms axes rest =>
      (there, ByLaw (place l) (Assignment (list_of terms) (list_of axes) [] [] [] [])) :: steps_of rest
  | FullInstance there l v rest => (there, ByLaw (place l) v) :: steps_of rest
  | Given there k rest => (there, ByHypothesis (place k)) :: steps_of rest end.

(* Lemmas are numbered as they come too. *)
Inductive proofs :=
  | Qed_
  | Lemma_ (l r : positive) (s : steps) (rest : proofs)
  | Congruent (l r : positive) (c : citations) (rest : proofs).    (* by one congruence *)
Fixpoint proofs_from (k : positive) (p : proofs) : positive * list lemma := match p with
  | Qed_ => (k, [])
  | Lemma_ l r s rest =>
      let '(n, found) := proofs_from (Pos.succ k) rest in (n, (k, (l, r, steps_of s)) :: found)
  | Congruent l r c rest =>
      let '(n, found) := proofs_from (Pos.succ k) rest in
      (n, (k, (l, r, [(r, ByCongruence (citations_of c))])) :: found) end.
Fixpoint lemmas_from (k : positive) (parts : list proofs) : list lemma := match parts with
  | [] => []
  | p :: parts => let '(n, l) := proofs_from k p in l ++ lemmas_from n parts end.
Definition lemmas_of (parts : list proofs) : list lemma := lemmas_from 1%positive parts.
