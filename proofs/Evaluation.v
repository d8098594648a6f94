(* Evaluation: what a term denotes, computed, where its values stay rational.

   Real numbers do not compute; rational ones do.  [evaluate] gives the value of a term at inputs
   that are rational, −∞ or undefined, or nothing where a function leaves the rationals, and what
   it gives is what the term denotes.  So Coq's meaning of terms can be run beside Python's. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals Qabs ZArith PArith List Bool Lia.
From Ncd Require Import Folds Monoids Sizes Contexts Wires.
Import ListNotations.
Local Open Scope Z_scope.
Local Arguments Q2R : simpl never.
Local Arguments Qred : simpl never.
Local Arguments Qplus : simpl never.
Local Arguments Qmult : simpl never.
Local Arguments Qinv : simpl never.
Local Arguments Qabs : simpl never.

Inductive exact_value := QFin (q : Q) | QNegInf | QUndef.

Definition real_value (x : exact_value) : value :=
  match x with QFin q => Fin (Q2R q) | QNegInf => NegInf | QUndef => Undef end.

(* Pointwise operators, beside those of [Values] -------------------------------------------- *)

(* A result in lowest terms, so that numbers stay small. *)
Definition rational (q : Q) : option exact_value := Some (QFin (Qred q)).
Definition infinite : option exact_value := Some QNegInf.
Definition undefined : option exact_value := Some QUndef.
Definition truth_value (b : bool) : option exact_value := Some (QFin (if b then 1%Q else 0%Q)).

Definition is_nought (q : Q) : bool := if Qeq_dec q 0 then true else false.
Definition smaller (a b : Q) : bool := if Qlt_le_dec a b then true else false.

Definition qadd x y := match x, y with
  | QUndef, _ | _, QUndef => undefined
  | QNegInf, _ | _, QNegInf => infinite
  | QFin a, QFin b => rational (a + b) end.
Definition qmul x y := match x, y with
  | QFin a, QFin b => rational (a * b)
  | QNegInf, QFin a | QFin a, QNegInf => if smaller 0 a then infinite else undefined
  | _, _ => undefined end.
Definition qinv x := match x with
  | QFin a => if is_nought a then undefined else rational (/ a)
  | _ => undefined end.
Definition qmax x y := match x, y with
  | QUndef, _ | _, QUndef => undefined
  | QNegInf, z | z, QNegInf => Some z
  | QFin a, QFin b => Some (QFin (if smaller a b then b else a)) end.
Definition qmin x y := match x, y with
  | QUndef, _ | _, QUndef => undefined
  | QNegInf, _ | _, QNegInf => infinite
  | QFin a, QFin b => Some (QFin (if smaller a b then a else b)) end.
(* exp is rational at 0 only, log at 1 only, and roots are tried: a root of a fraction in lowest
   terms is the fraction of the roots, or no fraction. *)
Definition qexp x := match x with
  | QFin a => if is_nought a then rational 1 else None
  | QNegInf => rational 0
  | QUndef => undefined end.
Definition qlog x := match x with
  | QFin a => if smaller a 0 then undefined else if is_nought a then infinite
              else if Qeq_dec a 1 then rational 0 else None
  | _ => undefined end.
Definition root (q : Q) : Q :=
  let low := Qred q in (inject_Z (Z.sqrt (Qnum low)) / inject_Z (Z.sqrt (Zpos (Qden low))))%Q.
Local Arguments root : simpl never.
Definition qsqrt x := match x with
  | QFin a => if smaller a 0 then undefined
              else if Qeq_dec (root a * root a) a then rational (root a) else None
  | _ => undefined end.
Definition qabs x := match x with QFin a => rational (Qabs a) | _ => undefined end.
Definition qrescale s m := match s, m with
  | QUndef, _ | _, QUndef => undefined
  | QNegInf, _ => rational 0
  | QFin _, QNegInf => undefined
  | QFin a, QFin b => if Qeq_dec a b then rational 1 else None end.
Definition qfun x := match x with QFin _ => None | _ => undefined end.
Definition qless x y := match x, y with
  | QUndef, _ | _, QUndef => undefined
  | QNegInf, QFin _ => truth_value true
  | _, QNegInf => truth_value false
  | QFin a, QFin b => truth_value (smaller a b) end.
Definition qequal x y := match x, y with
  | QUndef, _ | _, QUndef => undefined
  | QNegInf, QNegInf => truth_value true
  | QFin a, QFin b => truth_value (if Qeq_dec a b then true else false)
  | _, _ => truth_value false end.
Definition qnot x := match x with QFin a => truth_value (is_nought a) | _ => undefined end.
Definition qand x y := match x, y with
  | QFin a, QFin b => truth_value (negb (is_nought a) && negb (is_nought b))
  | _, _ => undefined end.
Definition qor x y := match x, y with
  | QFin a, QFin b => truth_value (negb (is_nought a) || negb (is_nought b))
  | _, _ => undefined end.

(* What is computed, where anything is, is the value. *)
Definition agree (x : option exact_value) (v : value) : Prop :=
  match x with Some y => v = real_value y | None => True end.
Definition agree1 (f : exact_value -> option exact_value) (g : value -> value) : Prop :=
  forall x, agree (f x) (g (real_value x)).
Definition agree2 (f : exact_value -> exact_value -> option exact_value)
    (g : value -> value -> value) : Prop :=
  forall x y, agree (f x y) (g (real_value x) (real_value y)).

Lemma Q2R_zero : Q2R 0 = 0%R.
Proof. unfold Q2R. cbn. lra. Qed.
Lemma Q2R_one : Q2R 1 = 1%R.
Proof. unfold Q2R. cbn. lra. Qed.
Lemma Q2R_red q : Q2R (Qred q) = Q2R q.
Proof. apply Qeq_eqR, Qred_correct. Qed.
Lemma Q2R_integer z : Q2R (inject_Z z) = IZR z.
Proof. unfold Q2R. cbn. field. Qed.
Lemma Q2R_other a b : ~ (a == b)%Q -> Q2R a <> Q2R b.
Proof. intros H E. apply H, eqR_Qeq, E. Qed.

(* Cases on every value and on every decision about rational numbers, which real ones follow. *)
Ltac exact_cases :=
  repeat match goal with x : exact_value |- _ => destruct x end; cbn; try reflexivity; try exact I;
  unfold is_nought, smaller; repeat (match goal with
  | |- context [Qeq_dec ?a ?b] => let H := fresh "H" in
      destruct (Qeq_dec a b) as [H|H]; [apply Qeq_eqR in H | apply Q2R_other in H]
  | |- context [Qlt_le_dec ?a ?b] => let H := fresh "H" in
      destruct (Qlt_le_dec a b) as [H|H]; [apply Qlt_Rlt in H | apply Qle_Rle in H]
  end; cbn); rewrite ?Q2R_red, ?Q2R_plus, ?Q2R_mult, ?Q2R_zero, ?Q2R_one in *.
Ltac by_cases := exact_cases; decide_reals; try reflexivity; try exact I; try lra.

Lemma is_nought_zero a : is_nought a = is_zero (Q2R a).
Proof. unfold is_zero. by_cases. Qed.
Lemma smaller_less a b : smaller a b = less (Q2R a) (Q2R b).
Proof. unfold less. by_cases. Qed.

Lemma agree_truth b : agree (truth_value b) (truth b).
Proof. destruct b; cbn; unfold truth; now rewrite ?Q2R_one, ?Q2R_zero. Qed.
Lemma add_agree : agree2 qadd vadd.
Proof. intros x y. by_cases. Qed.
Lemma mul_agree : agree2 qmul vmul.
Proof. intros x y. by_cases. Qed.
Lemma inv_agree : agree1 qinv vinv.
Proof.
  intros x. by_cases. f_equal. symmetry. apply Q2R_inv. intros E. apply Qeq_eqR in E.
  rewrite Q2R_zero in E. contradiction.
Qed.
Lemma max_agree : agree2 qmax vmax.
Proof. intros x y. by_cases; f_equal; unfold Rmax; decide_reals; lra. Qed.
Lemma min_agree : agree2 qmin vmin.
Proof. intros x y. by_cases; f_equal; unfold Rmin; decide_reals; lra. Qed.
Lemma exp_agree : agree1 qexp vexp.
Proof.
  intros x. by_cases. match goal with E : Q2R _ = 0%R |- _ => rewrite E end. now rewrite exp_0.
Qed.
Lemma log_agree : agree1 qlog vlog.
Proof.
  intros x. by_cases. match goal with E : Q2R _ = 1%R |- _ => rewrite E end. now rewrite ln_1.
Qed.
Lemma root_nonnegative q : (0 <= Q2R (root q))%R.
Proof.
  unfold root. set (a := Z.sqrt _). set (b := Z.sqrt _).
  assert (0 <= a) by apply Z.sqrt_nonneg. assert (0 < b) by (apply Z.sqrt_pos; lia).
  rewrite Q2R_div, !Q2R_integer by (change 0%Q with (inject_Z 0); rewrite inject_Z_injective; lia).
  apply Rmult_le_pos; [now apply IZR_le|]. apply Rlt_le, Rinv_0_lt_compat. now apply IZR_lt.
Qed.
Lemma sqrt_agree : agree1 qsqrt vsqrt.
Proof.
  intros [a| |]; cbn [qsqrt real_value vsqrt]; try reflexivity.
  pose proof (root_nonnegative a) as P.
  by_cases. f_equal.
  match goal with E : _ = Q2R a |- _ => rewrite <- E end. now apply sqrt_square.
Qed.
Lemma abs_agree : agree1 qabs vabs.
Proof.
  intros [a| |]; try reflexivity. cbn. rewrite Q2R_red. f_equal. apply Qabs_case; intros H;
    apply Qle_Rle in H; rewrite Q2R_zero in H; rewrite ?Q2R_opp.
  - apply Rabs_right. lra.
  - apply Rabs_left1. lra.
Qed.
Lemma rescale_agree : agree2 qrescale vrescale.
Proof. intros x y. by_cases. f_equal. rewrite Rminus_diag_eq by assumption. apply exp_0. Qed.
Lemma fun_agree f : agree1 qfun (vfun f).
Proof. intros x. by_cases. Qed.
Lemma tanh_agree : agree1 qfun vtanh.
Proof. apply fun_agree. Qed.
Lemma erf_agree : agree1 qfun verf.
Proof. apply fun_agree. Qed.
Lemma sin_agree : agree1 qfun vsin.
Proof. apply fun_agree. Qed.
Lemma cos_agree : agree1 qfun vcos.
Proof. apply fun_agree. Qed.
Ltac by_truth := repeat match goal with x : exact_value |- _ => destruct x end;
  try reflexivity; cbn -[truth_value truth];
  rewrite ?is_nought_zero, ?smaller_less; apply agree_truth.
Lemma less_agree : agree2 qless vless.
Proof. intros x y. by_truth. Qed.
Lemma same_rational a b : (if Qeq_dec a b then true else false)
  = if Req_EM_T (Q2R a) (Q2R b) then true else false.
Proof. by_cases. Qed.
Lemma equal_agree : agree2 qequal vequal.
Proof.
  intros [a| |] [b| |]; cbn [real_value vequal]; try rewrite <- same_rational; by_truth.
Qed.
Lemma not_agree : agree1 qnot vnot.
Proof. intros x. by_truth. Qed.
Lemma and_agree : agree2 qand vand.
Proof. intros x y. by_truth. Qed.
Lemma or_agree : agree2 qor vor.
Proof. intros x y. by_truth. Qed.

(* Objects and folds, beside those of [Monoids] --------------------------------------------- *)

(* As an [object], but nothing on a path where the value is not computed. *)
Definition exact_object := path -> option exact_value.

Definition bind (x : option exact_value) (f : exact_value -> option exact_value) :=
  match x with Some v => f v | None => None end.
Definition bind2 (f : exact_value -> exact_value -> option exact_value) x y :=
  bind x (fun a => bind y (f a)).
Definition exact_number (x : option exact_value) : exact_object := fun _ => x.
Definition exact_first (a : exact_object) : exact_object := fun p => a (Left :: p).
Definition exact_second (a : exact_object) : exact_object := fun p => a (Right :: p).
Definition exact_pair (a b : exact_object) : exact_object :=
  fun p => match p with Left :: q => a q | Right :: q => b q | [] => undefined end.
Definition exact_pointwise f (a b : exact_object) : exact_object := fun p => bind2 f (a p) (b p).

Definition exact_rescaled_add (a b : exact_object) : exact_object := fun p => match p with
  | [] => undefined
  | Left :: _ => bind2 qmax (a p) (b p)
  | Right :: q => let m := a (Left :: q) in let n := b (Left :: q) in let k := bind2 qmax m n in
      bind2 qadd (bind2 qmul (bind2 qrescale m k) (a p))
        (bind2 qmul (bind2 qrescale n k) (b p)) end.
Definition exact_rescaled_unit : exact_object :=
  exact_pair (exact_number infinite) (exact_number (rational 0)).

Fixpoint exact_combine (m : monoid) : exact_object -> exact_object -> exact_object := match m with
  | Sum => exact_pointwise qadd
  | Product => exact_pointwise qmul
  | Max => exact_pointwise qmax
  | Min => exact_pointwise qmin
  | All => exact_pointwise qand
  | Any => exact_pointwise qor
  | Both m n => fun a b => exact_pair (exact_combine m (exact_first a) (exact_first b))
                             (exact_combine n (exact_second a) (exact_second b))
  | RescaledSum => exact_rescaled_add end.
Fixpoint exact_unit (m : monoid) : exact_object := match m with
  | Sum => exact_number (rational 0)
  | Product => exact_number (rational 1)
  | Max => exact_number infinite
  | Min => exact_number undefined
  | All => exact_number (truth_value true)
  | Any => exact_number (truth_value false)
  | Both m n => exact_pair (exact_unit m) (exact_unit n)
  | RescaledSum => exact_rescaled_unit end.
Fixpoint exact_alone (m : monoid) : exact_object -> exact_object := match m with
  | All => fun a p => bind2 qand (truth_value true) (a p)
  | Any => fun a p => bind2 qor (truth_value false) (a p)
  | Both m n => fun a =>
      exact_pair (exact_alone m (exact_first a)) (exact_alone n (exact_second a))
  | RescaledSum => exact_rescaled_add exact_rescaled_unit
  | _ => fun a => a end.
Definition exact_fold (m : monoid) (n : nat) (f : nat -> exact_object) : exact_object :=
  reduce (exact_combine m) (exact_unit m) (exact_alone m) n f.

Definition agrees (a : exact_object) (b : object) : Prop := forall p, agree (a p) (b p).

Lemma agree_bind f g : agree1 f g -> forall x v, agree x v -> agree (bind x f) (g v).
Proof. intros H [x|] v E; cbn; [rewrite E; apply H | exact I]. Qed.
Lemma agree_bind2 f g : agree2 f g ->
  forall x y v w, agree x v -> agree y w -> agree (bind2 f x y) (g v w).
Proof. intros H [x|] [y|] v w E F; cbn; try exact I. rewrite E, F. apply H. Qed.
Lemma agree_rational q v : v = Fin (Q2R q) -> agree (rational q) v.
Proof. intros ->. cbn. now rewrite Q2R_red. Qed.
Lemma agrees_number x v : agree x v -> agrees (exact_number x) (number v).
Proof. intros H p. exact H. Qed.
Lemma agrees_first a b : agrees a b -> agrees (exact_first a) (first b).
Proof. intros H p. apply H. Qed.
Lemma agrees_second a b : agrees a b -> agrees (exact_second a) (second b).
Proof. intros H p. apply H. Qed.
Lemma agrees_pair a b c d : agrees a b -> agrees c d -> agrees (exact_pair a c) (pair b d).
Proof. intros H K [|[] p]; cbn; auto. Qed.
Lemma agrees_pointwise f g a b c d : agree2 f g -> agrees a b -> agrees c d ->
  agrees (exact_pointwise f a c) (pointwise g b d).
Proof. intros F H K p. now apply agree_bind2. Qed.

Lemma agrees_rescaled_add a b c d : agrees a b -> agrees c d ->
  agrees (exact_rescaled_add a c) (rescaled_add b d).
Proof.
  intros H K [|[] p]; cbn -[bind2]; [reflexivity | now apply agree_bind2; [apply max_agree| |] |].
  assert (T := agree_bind2 _ _ max_agree _ _ _ _ (H (Left :: p)) (K (Left :: p))).
  apply agree_bind2; [apply add_agree| |]; (apply agree_bind2; [apply mul_agree| |auto]);
    (apply agree_bind2; [apply rescale_agree|auto|exact T]).
Qed.
Lemma agrees_rescaled_unit : agrees exact_rescaled_unit rescaled_unit.
Proof.
  apply agrees_pair; apply agrees_number; [reflexivity|]. apply agree_rational.
  now rewrite Q2R_zero.
Qed.

Lemma agrees_combine m : forall a b c d, agrees a b -> agrees c d ->
  agrees (exact_combine m a c) (combine m b d).
Proof.
  induction m; intros a b c d H K; cbn [exact_combine combine];
    try (apply agrees_pointwise; auto using add_agree, mul_agree, max_agree, min_agree, and_agree,
      or_agree; fail).
  - apply agrees_pair; auto using agrees_first, agrees_second.
  - now apply agrees_rescaled_add.
Qed.
Lemma agrees_unit m : agrees (exact_unit m) (unit m).
Proof.
  induction m; cbn [exact_unit unit];
    try (apply agrees_number; try apply agree_truth; try reflexivity; apply agree_rational;
      now rewrite ?Q2R_zero, ?Q2R_one).
  - now apply agrees_pair.
  - apply agrees_rescaled_unit.
Qed.
Lemma agrees_alone m : forall a b, agrees a b -> agrees (exact_alone m a) (alone m b).
Proof.
  induction m; intros a b H; cbn [exact_alone alone]; auto.
  - intros p. apply agree_bind2; auto using and_agree, agree_truth.
  - intros p. apply agree_bind2; auto using or_agree, agree_truth.
  - apply agrees_pair; auto using agrees_first, agrees_second.
  - apply agrees_rescaled_add; auto using agrees_rescaled_unit.
Qed.
Lemma agrees_fold m n f g : (forall i, agrees (f i) (g i)) ->
  agrees (exact_fold m n f) (fold m n g).
Proof.
  intros H. unfold exact_fold, fold, reduce. destruct n as [|n]; [apply agrees_unit|].
  unfold Red. cbn [pred]. induction n as [|n IH]; cbn [fold1].
  - now apply agrees_alone.
  - apply agrees_combine; auto using agrees_alone.
Qed.

(* Terms, beside [Wires] --------------------------------------------------------------------- *)

(* Sizes and rational inputs: a model but for its functions. *)
Record exact_model := ExactModel {
  exact_sizes : positive -> Z;
  exact_input : positive -> list Z -> exact_value }.
Definition model_of (E : exact_model) functions opaques : model :=
  Model (exact_sizes E) (fun x is => real_value (exact_input E x is)) functions opaques.

Section Evaluate.
  Variables (G : context) (E : exact_model).
  (* Indices are those of any model with these sizes. *)
  Definition skeleton : model :=
    Model (exact_sizes E) (fun _ _ => Undef) (fun _ r => r) (fun _ _ _ _ => Undef).

  Definition exact_wire := env -> exact_object.
  Definition exact_argument (fs : list exact_wire) (k : nat) : exact_wire :=
    nth k fs (fun _ => exact_number undefined).

  (* Of an opaque operator nothing is computed, of a function known by its name only that it is
     undefined at −∞ and the undefined.  A choice looks only at the branch that it takes. *)
  Definition exact_meaning (o : operator) (fs : list exact_wire) (r : env) : exact_object :=
    let a := exact_argument fs 0 r in let b := exact_argument fs 1 r in
    let c := exact_argument fs 2 r in
    match o with
    | Input x is => exact_number (Some (exact_input E x (map (index_at G skeleton r) is)))
    | Constant q => exact_number (rational q)
    | NegativeInfinity => exact_number infinite
    | Undefined => exact_number undefined
    | Index e => exact_number (rational (inject_Z (index_at G skeleton r e)))
    | Predicate e => exact_number (truth_value (holds (index_at G skeleton r e)))
    | Add => fun p => bind2 qadd (a p) (b p)
    | Mul => fun p => bind2 qmul (a p) (b p)
    | Inverse => fun p => bind (a p) qinv
    | Maximum => fun p => bind2 qmax (a p) (b p)
    | Minimum => fun p => bind2 qmin (a p) (b p)
    | Exp => fun p => bind (a p) qexp
    | Log => fun p => bind (a p) qlog
    | Sqrt => fun p => bind (a p) qsqrt
    | Abs => fun p => bind (a p) qabs
    | Rescale => fun p => bind2 qrescale (a p) (b p)
    | Tanh | Erf | Sin | Cos | Function _ => fun p => bind (a p) qfun
    | Less => fun p => bind2 qless (a p) (b p)
    | Equal => fun p => bind2 qequal (a p) (b p)
    | Not => fun p => bind (a p) qnot
    | And => fun p => bind2 qand (a p) (b p)
    | Or => fun p => bind2 qor (a p) (b p)
    | Select => fun p => bind (a p) (fun s => match s with
        | QFin q => if is_nought q then c p else b p
        | _ => undefined end)
    | Reduce m x => exact_fold m (length_of G skeleton x)
        (fun k => exact_argument fs 0 (put G skeleton r x (Z.of_nat k)))
    | Tuple => exact_pair a b
    | First => exact_first a
    | Second => exact_second a
    | Opaque _ _ _ => exact_number None end.
  Fixpoint evaluate (t : term) : exact_wire :=
    match t with Apply o args => exact_meaning o (map evaluate args) end.

  Variables (functions : positive -> R -> R)
    (opaques : positive -> list Z -> (list Z -> object) -> list Z -> value).
  Let M := model_of E functions opaques.

  Lemma agrees_argument args k r :
    (forall t, In t args -> agrees (evaluate t r) (denote G M t r)) ->
    agrees (exact_argument (map evaluate args) k r) (argument (map (denote G M) args) k r).
  Proof.
    unfold exact_argument, argument. revert k.
    induction args as [|t args IH]; intros [|k] H; cbn; try (intros p; reflexivity).
    - apply H. now left.
    - apply IH. intros u Hu. apply H. now right.
  Qed.

  Theorem evaluate_agrees t : forall r, agrees (evaluate t r) (denote G M t r).
  Proof.
    induction t as [o args IH] using term_ind'. intros r. rewrite Forall_forall in IH.
    cbn [evaluate denote].
    assert (A : forall k r, agrees (exact_argument (map evaluate args) k r)
        (argument (map (denote G M) args) k r)) by (intros; apply agrees_argument; auto).
    clear IH. destruct o; cbn -[bind2 bind];
      try (intros p; apply agree_bind2; auto using add_agree, mul_agree, max_agree, min_agree,
        rescale_agree, less_agree, equal_agree, and_agree, or_agree; apply A);
      try (intros p; apply agree_bind; auto using inv_agree, exp_agree, log_agree, sqrt_agree,
        abs_agree, not_agree, tanh_agree, erf_agree, sin_agree, cos_agree,
        fun_agree; apply A);
      try (apply agrees_number); try reflexivity; try exact I.
    - now apply agree_rational.
    - apply agree_rational. now rewrite Q2R_integer.
    - apply agree_truth.
    - intros p. pose proof (A 0%nat r p) as C.
      destruct (exact_argument _ 0 r p) as [[q| |]|]; cbn in *; rewrite ?C; cbn; auto.
      rewrite is_nought_zero. unfold is_zero. destruct (Req_EM_T (Q2R q) 0); apply A.
    - apply agrees_fold. intros k. apply (A 0%nat).
    - apply agrees_pair; apply A.
    - apply agrees_first, A.
    - apply agrees_second, A.
  Qed.
End Evaluate.

(* What is computed is what the term denotes, whatever the functions are. *)
Theorem evaluate_sound G E functions opaques t r p v :
  evaluate G E t r p = Some v -> denote G (model_of E functions opaques) t r p = real_value v.
Proof.
  intros H. pose proof (evaluate_agrees G E functions opaques t r p) as A. now rewrite H in A.
Qed.
