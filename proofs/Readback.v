(* Readback: what a certificate proves, in plain mathematics.

   A theorem about the terms of a certificate is restated with sums and maxima over integer indices,
   real arrays and ordinary functions.  [read] takes a term to such an expression and computes to
   what a certificate prints; [read_sound] says that the expression has the value of the term, and
   [restate] that the two sides of a goal are equal.  The texts are written by
   `ncd_formal/coq/readback.py` from the programs' own names. *)

From Ncd Require Import Values.
From Coq Require Import Reals Lra QArith Qreals ZArith BinNums PArith List Bool Lia FMapPositive
  FunctionalExtensionality.
From Coq Require Export Rdefinitions.
From Ncd Require Import Folds.
From Ncd Require Export Monoids Sizes Contexts Wires Checker.
Export ListNotations.
Local Open Scope Z_scope.
Local Arguments Z.add : simpl never.
Local Arguments Z.mul : simpl never.
Local Arguments Z.opp : simpl never.
Local Arguments Z.sub : simpl never.

(* Sums, products and extrema over 0 <= i < n ------------------------------------------------- *)

Fixpoint loop (op : value -> value -> value) (start : value) (f : Z -> value) (n : nat) : value :=
  match n with O => start | S k => op (loop op start f k) (f (Z.of_nat k)) end.

Definition sum (n : Z) f := loop vadd (Fin 0) f (Z.to_nat n).
Definition product (n : Z) f := loop vmul (Fin 1) f (Z.to_nat n).
Definition maximum (n : Z) f := loop vmax NegInf f (Z.to_nat n).
Definition minimum (n : Z) f := match Z.to_nat n with      (* +∞ is no value *)
  | O => Undef | S k => loop vmin (f 0) (fun i => f (i + 1)) k end.
Definition conjunction (n : Z) f := loop vand (truth true) f (Z.to_nat n).
Definition disjunction (n : Z) f := loop vor (truth false) f (Z.to_nat n).

(* The sum of the v i, each times the weight exp(s i − max s). *)
Definition rescaled_sum (n : Z) (s v : Z -> value) : value :=
  sum n (fun i => vmul (vrescale (s i) (maximum n s)) (v i)).

(* Numbers in a text. *)
Definition of_int (z : Z) : value := Fin (IZR z).
Definition rational (q : Q) : value := match Qden q with
  | xH => of_int (Qnum q)
  | d => vmul (of_int (Qnum q)) (vinv (of_int (Zpos d))) end.

(* A value inside the bounds, and the undefined outside: what an operator sees of an array. *)
Fixpoint inside_all (ns is : list Z) : bool := match ns, is with
  | [], [] => true
  | n :: ns, i :: is => (0 <=? i) && (i <? n) && inside_all ns is
  | _, _ => false end.
Definition within (ns is : list Z) (v : value) : value := if inside_all ns is then v else Undef.

(* A sum of real numbers is their sum. *)
Theorem sum_real (f : Z -> R) n : 0 < n ->
  sum n (fun i => Fin (f i)) = Fin (sum_f_R0 (fun k => f (Z.of_nat k)) (Z.to_nat n - 1)).
Proof.
  intros H. unfold sum. destruct (Z.to_nat n) as [|k] eqn:E; [lia|]. clear n H E.
  rewrite Nat.sub_succ, Nat.sub_0_r. induction k as [|k IH].
  - cbn. f_equal. lra.
  - cbn [loop sum_f_R0] in *. now rewrite IH.
Qed.

(* Loops are the folds of a term. *)
Lemma loop_ext op start f g n : (forall i, 0 <= i < Z.of_nat n -> f i = g i) ->
  loop op start f n = loop op start g n.
Proof.
  induction n as [|n IH]; intros H; [reflexivity|]. cbn [loop].
  rewrite IH, H by (intros; try apply H; lia). reflexivity.
Qed.
Lemma reduce_loop op start alone f n : (forall x, alone x = op start x) ->
  (forall a x, op a (alone x) = op a x) ->
  reduce op start alone n (fun k => f (Z.of_nat k)) = loop op start f n.
Proof.
  intros A B. destruct n as [|n]; [reflexivity|]. unfold reduce.
  induction n as [|n IH]; [rewrite Red_1; apply A|].
  rewrite (Red_S op (S n)) by lia. rewrite IH, B. reflexivity.
Qed.

Definition read_scalar (m : monoid) : Z -> (Z -> value) -> value := match m with
  | Sum => sum | Product => product | Max => maximum | Min => minimum
  | All => conjunction | Any => disjunction | _ => fun _ _ => Undef end.
Lemma read_scalar_sound m n f : scalar m = true ->
  vfold m (Z.to_nat n) (fun k => f (Z.of_nat k)) = read_scalar m n f.
Proof.
  destruct m; try discriminate; intros _; cbn [read_scalar];
    unfold sum, product, maximum, conjunction, disjunction;
    try (apply reduce_loop; intros; cbn [value_alone]).
  - symmetry. apply vadd_zero.
  - reflexivity.
  - symmetry. apply vmul_one.
  - reflexivity.
  - destruct x; reflexivity.
  - reflexivity.
  - unfold minimum, vfold. destruct (Z.to_nat n) as [|k]; [reflexivity|]. unfold reduce.
    induction k as [|k IH]; [reflexivity|]. rewrite (Red_S _ (S k)) by lia. rewrite IH.
    cbn [loop value_op value_alone]. do 2 f_equal. lia.
  - reflexivity.
  - destruct a as [a| |], x as [x| |]; try reflexivity. cbn.
    unfold truth. f_equal. rewrite !is_zero_truth. unfold is_zero at 2. decide_reals; [lra|].
    now rewrite !negb_involutive.
  - reflexivity.
  - destruct a as [a| |], x as [x| |]; try reflexivity. cbn.
    unfold truth. f_equal. rewrite !is_zero_truth. unfold is_zero at 2. decide_reals; [|lra].
    now rewrite !negb_involutive.
Qed.

(* A fold of pairs, at one place in the pair. *)
Fixpoint read_fold (m : monoid) (n : Z) (f : Z -> path -> value) (p : path) : value := match m with
  | Both a b => match p with
      | [] => Undef
      | Left :: q => read_fold a n (fun i q => f i (Left :: q)) q
      | Right :: q => read_fold b n (fun i q => f i (Right :: q)) q end
  | RescaledSum => match p with
      | [] => Undef
      | Left :: q => maximum n (fun i => f i (Left :: q))
      | Right :: q => rescaled_sum n (fun i => f i (Left :: q)) (fun i => f i (Right :: q)) end
  | _ => read_scalar m n (fun i => f i p) end.
Lemma read_fold_sound m n : forall (f : nat -> object) g p,
  (forall i q, (i < Z.to_nat n)%nat -> f i q = g (Z.of_nat i) q) ->
  fold m (Z.to_nat n) f p = read_fold m n g p.
Proof.
  assert (S : forall m (f : nat -> object) g p, scalar m = true ->
    (forall i q, (i < Z.to_nat n)%nat -> f i q = g (Z.of_nat i) q) ->
    fold m (Z.to_nat n) f p = read_scalar m n (fun i => g i p)).
  { intros m' f g p H E. rewrite fold_at, <- read_scalar_sound by exact H.
    unfold vfold. apply reduce_ext. auto. }
  induction m as [| | | | | |a IHa b IHb|]; intros f g p E; cbn [read_fold]; auto.
  - rewrite fold_both. destruct p as [|[] q]; [reflexivity| |]; cbn [pair].
    + apply IHa. intros. now apply E.
    + apply IHb. intros. now apply E.
  - destruct p as [|[] q].
    + destruct (Z.to_nat n) as [|[|k]]; reflexivity.
    + rewrite rescaled_first. rewrite <- (read_scalar_sound Max) by reflexivity.
      unfold vfold. apply reduce_ext. auto.
    + rewrite rescaled_second. unfold rescaled_sum.
      change sum with (read_scalar Sum). change maximum with (read_scalar Max).
      rewrite <- !(read_scalar_sound Max), <- (read_scalar_sound Sum) by reflexivity.
      assert (F : vfold Max (Z.to_nat n) (fun i => f i (Left :: q))
        = vfold Max (Z.to_nat n) (fun i => g (Z.of_nat i) (Left :: q)))
        by (unfold vfold; apply reduce_ext; auto).
      rewrite F. unfold vfold at 1 3. apply reduce_ext. intros i Hi. now rewrite !E.
Qed.

Lemma rational_sound q : Fin (Q2R q) = rational q.
Proof.
  destruct q as [n d]. unfold rational, Q2R. cbn [Qnum Qden].
  destruct d as [d|d|]; [| |unfold of_int; f_equal; field]; unfold of_int; cbn [vinv vmul];
    (destruct (Req_EM_T _ 0) as [Z|_]; [|reflexivity]); apply eq_IZR in Z; lia.
Qed.

(* Indices ------------------------------------------------------------------------------------ *)

(* The summands of an index, those that are taken away apart, and its factors.  A summand −1 is
   noted by itself: a − 1 >= b is a > b. *)
Record summands := Summands { plus : list Z; less : list Z; less_one : bool; factors : list Z }.
Definition total (l : list Z) : Z := match l with [] => 0 | z :: l => fold_left Z.add l z end.
Definition times (l : list Z) : Z := match l with [] => 1 | z :: l => fold_left Z.mul l z end.
Definition less_all (s : summands) : list Z := if less_one s then less s ++ [1] else less s.
Definition difference (s : summands) : Z := match plus s, less_all s with
  | [], [] => 0
  | [], z :: l => fold_left Z.sub l (- z)
  | _, l => fold_left Z.sub l (total (plus s)) end.

Section Index.
  Variables sizes axes : positive -> Z.
  Definition one (z : Z) : summands := Summands [z] [] false [z].
  Fixpoint summands_of (e : index) : summands := match e with
    | Num 0 => Summands [] [] false [0]
    | Num (-1) => Summands [] [] true [-1]
    | Num (Zneg k) => Summands [] [Zpos k] false [Zneg k]
    | Num z => one z
    | Size s => one (sizes s)
    | Axis a => one (axes a)
    | Plus e f =>
        let s := summands_of e in let t := summands_of f in
        let taken := less s ++ less t in
        let u := Summands (plus s ++ plus t)
          (if less_one s && less_one t then taken ++ [1] else taken)
          (less_one s || less_one t) [] in
        Summands (plus u) (less u) (less_one u) [difference u]
    | Times e f =>
        let s := factors (summands_of e) in let t := factors (summands_of f) in
        match e with
        | Num (-1) => Summands [] [times t] false (s ++ t)
        | Num (Zneg k) => Summands [] [times (Zpos k :: t)] false (s ++ t)
        | _ => Summands [times (s ++ t)] [] false (s ++ t) end
    | Quot e f => one (difference (summands_of e) / difference (summands_of f))
    | Rem e f => one (difference (summands_of e) mod difference (summands_of f)) end.

  Definition read_index (e : index) : Z := difference (summands_of e).
  Definition read_condition (e : index) : bool :=
    let s := summands_of e in
    if less_one s then total (less s) <? total (plus s) else total (less s) <=? total (plus s).
  Definition read_assumption (e : index) : Prop :=
    let s := summands_of e in
    if less_one s then total (less s) < total (plus s) else total (less s) <= total (plus s).

  Fixpoint added (l : list Z) : Z := match l with [] => 0 | z :: l => z + added l end.
  Fixpoint multiplied (l : list Z) : Z := match l with [] => 1 | z :: l => z * multiplied l end.
  Lemma fold_add l : forall z, fold_left Z.add l z = z + added l.
  Proof. induction l as [|y l IH]; intros z; cbn; [|rewrite IH]; lia. Qed.
  Lemma fold_sub l : forall z, fold_left Z.sub l z = z - added l.
  Proof. induction l as [|y l IH]; intros z; cbn; [|rewrite IH]; lia. Qed.
  Lemma fold_mul l : forall z, fold_left Z.mul l z = z * multiplied l.
  Proof. induction l as [|y l IH]; intros z; cbn; [|rewrite IH]; lia. Qed.
  Lemma total_added l : total l = added l.
  Proof. destruct l; [reflexivity | apply fold_add]. Qed.
  Lemma times_multiplied l : times l = multiplied l.
  Proof. destruct l; [reflexivity | apply fold_mul]. Qed.
  Lemma added_app l k : added (l ++ k) = added l + added k.
  Proof. induction l as [|z l IH]; cbn; [|rewrite IH]; lia. Qed.
  Lemma multiplied_app l k : multiplied (l ++ k) = multiplied l * multiplied k.
  Proof. induction l as [|z l IH]; cbn; [|rewrite IH]; lia. Qed.
  Definition taken (s : summands) : Z := added (less s) + if less_one s then 1 else 0.
  Lemma difference_added s : difference s = added (plus s) - taken s.
  Proof.
    assert (L : added (less_all s) = taken s).
    { unfold less_all, taken. destruct (less_one s); [rewrite added_app; cbn; lia | lia]. }
    rewrite <- L. unfold difference. destruct (plus s) as [|y l].
    - destruct (less_all s) as [|z k]; [reflexivity|]. rewrite fold_sub. cbn. lia.
    - rewrite fold_sub, total_added. reflexivity.
  Qed.
  Lemma summands_sound e : difference (summands_of e) = eval sizes axes e
    /\ multiplied (factors (summands_of e)) = eval sizes axes e.
  Proof.
    rewrite difference_added.
    induction e as [z|s|a|e [IHe Fe] f [IHf Ff]|e [IHe Fe] f [IHf Ff]
      |e [IHe Fe] f [IHf Ff]|e [IHe Fe] f [IHf Ff]].
    - assert (S : forall k, difference (one k) = k /\ multiplied (factors (one k)) = k)
        by (intros k; rewrite difference_added; cbn; unfold taken; cbn; lia).
      rewrite <- difference_added.
      destruct z as [|k|k]; [cbn; auto | apply S |]. destruct k; rewrite difference_added; cbn;
        unfold taken; cbn; lia.
    - cbn. unfold taken. cbn. lia.
    - cbn. unfold taken. cbn. lia.
    - cbn [summands_of eval]. set (s := summands_of e) in *. set (t := summands_of f) in *.
      cbv zeta. cbn [plus less less_one factors].
      assert (K : added (plus s ++ plus t) - taken (Summands (plus s ++ plus t)
          (if less_one s && less_one t then (less s ++ less t) ++ [1] else less s ++ less t)
          (less_one s || less_one t) []) = eval sizes axes e + eval sizes axes f).
      { unfold taken in *. cbn [less less_one].
        destruct (less_one s), (less_one t); cbn [andb orb]; rewrite ?added_app;
          try change (added [1]) with 1; lia. }
      split; [exact K|]. rewrite difference_added. cbn [plus]. rewrite K. cbn. lia.
    - cbn [summands_of eval]. set (t := factors (summands_of f)) in *.
      set (s := factors (summands_of e)) in *.
      assert (K : forall l k b, added l - (added k + (if b : bool then 1 else 0))
          = eval sizes axes e * eval sizes axes f ->
        let u := Summands l k b (s ++ t) in added (plus u) - taken u
          = eval sizes axes e * eval sizes axes f
        /\ multiplied (factors u) = eval sizes axes e * eval sizes axes f).
      { intros l k b E u. split; [exact E|]. unfold u. cbn [factors].
        rewrite multiplied_app, Fe, Ff. reflexivity. }
      cbn zeta in K.
      assert (P : added [times (s ++ t)] = eval sizes axes e * eval sizes axes f).
      { cbn. rewrite times_multiplied, multiplied_app, Fe, Ff. lia. }
      destruct e as [[|k|k]|?|?|? ?|? ?|? ?|? ?];
        try (apply K; rewrite P; change (added []) with 0; lia).
      destruct k; apply K; cbn [added]; rewrite times_multiplied;
        cbn [multiplied]; rewrite Ff; cbn [eval]; lia.
    - cbn. unfold taken. cbn. rewrite !difference_added, IHe, IHf. lia.
    - cbn. unfold taken. cbn. rewrite !difference_added, IHe, IHf. lia.
  Qed.
  Lemma read_index_sound e : read_index e = eval sizes axes e.
  Proof. apply summands_sound. Qed.
  Lemma read_condition_sound e : read_condition e = holds (eval sizes axes e).
  Proof.
    rewrite <- (read_index_sound e). unfold read_condition, read_index, holds.
    rewrite difference_added. unfold taken. cbv zeta. rewrite !total_added.
    destruct (less_one _); apply eq_true_iff_eq; rewrite ?Z.ltb_lt, !Z.leb_le; lia.
  Qed.
  Lemma read_assumption_sound e : read_assumption e -> 0 <= eval sizes axes e.
  Proof.
    rewrite <- (read_index_sound e). unfold read_assumption, read_index.
    rewrite difference_added. unfold taken. cbv zeta. rewrite !total_added.
    destruct (less_one _); lia.
  Qed.
End Index.

(* Terms -------------------------------------------------------------------------------------- *)

(* The index of a split axis where it is known: inside a fold that runs over it. *)
Definition knowledge := axis -> option Z.
Definition reading := env -> knowledge -> path -> value.
Definition nothing_known : knowledge := fun _ => None.

Section Read.
  Variables (G : context) (M : model).
  Definition read_size (a : axis) : Z := read_index (sizes M) (fun _ => 0) (extent G a).

  Fixpoint spelled (ss : list split) (r : env) (a : axis) : Z := match ss with
    | [] => r a
    | s :: ss => if Pos.eqb (whole s) a
        then spelled ss r (outer s) * read_size (inner s) + spelled ss r (inner s)
        else spelled ss r a end.
  Definition read_axis (r : env) (known : knowledge) (a : axis) : Z :=
    match known a with Some k => k | None => spelled (splits G) r a end.
  Fixpoint place (ss : list split) (r : env) (a : axis) (k : Z) : env := match ss with
    | [] => put1 r a k
    | s :: ss => if Pos.eqb (whole s) a
        then place ss (place ss r (outer s) (k / read_size (inner s))) (inner s)
               (k mod read_size (inner s))
        else place ss r a k end.
  Definition apart_from (a b : axis) : bool :=
    forallb (fun c => negb (existsb (Pos.eqb c) (leaves G b))) (leaves G a).
  Definition learn (known : knowledge) (a : axis) (k : Z) : knowledge := fun b =>
    if Pos.eqb b a then Some k else if apart_from b a then known b else None.
  Fixpoint place_all (r : env) (bound : list axis) (is : list Z) : env := match bound, is with
    | a :: bound, i :: is => place_all (place (splits G) r a i) bound is
    | _, _ => r end.
  Fixpoint learn_all (known : knowledge) (bound : list axis) (is : list Z) : knowledge :=
    match bound, is with
    | a :: bound, i :: is => learn_all (learn known a i) bound is
    | _, _ => known end.

  Definition operand (fs : list reading) (k : nat) : reading := nth k fs (fun _ _ _ => Undef).
  Definition read_operator (o : operator) (fs : list reading) : reading := fun r known p =>
    let a := operand fs 0 r known in
    let b := operand fs 1 r known in
    let c := operand fs 2 r known in
    let at_ := read_index (sizes M) (read_axis r known) in
    match o with
    | Input x is => input M x (map at_ is)
    | Constant q => rational q
    | NegativeInfinity => NegInf
    | Undefined => Undef
    | Index e => of_int (at_ e)
    | Predicate e => truth (read_condition (sizes M) (read_axis r known) e)
    | Add => vadd (a p) (b p)
    | Mul => vmul (a p) (b p)
    | Inverse => vinv (a p)
    | Maximum => vmax (a p) (b p)
    | Minimum => vmin (a p) (b p)
    | Exp => vexp (a p)
    | Log => vlog (a p)
    | Sqrt => vsqrt (a p)
    | Abs => vabs (a p)
    | Tanh => vtanh (a p)
    | Erf => verf (a p)
    | Sin => vsin (a p)
    | Cos => vcos (a p)
    | Rescale => vrescale (a p) (b p)
    | Function f => vfun (function M f) (a p)
    | Less => vless (a p) (b p)
    | Equal => vequal (a p) (b p)
    | Not => vnot (a p)
    | And => vand (a p) (b p)
    | Or => vor (a p) (b p)
    | Select => vselect (a p) (b p) (c p)
    | Reduce m x => read_fold m (read_size x)
        (fun i => operand fs 0 (place (splits G) r x i) (learn known x i)) p
    | Tuple => match p with [] => Undef | Left :: q => a q | Right :: q => b q end
    | First => a (Left :: p)
    | Second => a (Right :: p)
    | Opaque f bound is => opaque M f (map read_size bound)
        (fun js q => within (map read_size bound) js
          (operand fs 0 (place_all r bound js) (learn_all known bound js) q)) (map at_ is) end.
  Fixpoint read (t : term) : reading := match t with
    | Apply o args => read_operator o (map read args) end.

  (* Soundness ------------------------------------------------------------------------------ *)

  Hypothesis fit : splits_ok G M.

  Definition right (r : env) (known : knowledge) : Prop :=
    forall a k, known a = Some k -> get G M r a = k.
  Lemma read_size_sound a : read_size a = size_of G M a.
  Proof. apply read_index_sound. Qed.
  Lemma place_sound ss : forall r a k, place ss r a k = put_in G M ss r a k.
  Proof.
    induction ss as [|s ss IH]; intros r a k; cbn [place put_in]; [reflexivity|].
    rewrite !read_size_sound, !IH. reflexivity.
  Qed.
  Lemma spelled_sound ss r : forall a, spelled ss r a = get_in G M ss r a.
  Proof.
    induction ss as [|s ss IH]; intros a; cbn [spelled get_in]; [reflexivity|].
    rewrite !read_size_sound, !IH. reflexivity.
  Qed.
  Lemma read_axis_sound r known : right r known -> read_axis r known = get G M r.
  Proof.
    intros K. apply functional_extensionality. intros a. unfold read_axis.
    destruct (known a) as [k|] eqn:E; [symmetry; now apply K | apply spelled_sound].
  Qed.
  Lemma place_put r a k : place (splits G) r a k = put G M r a k.
  Proof. apply place_sound. Qed.
  Lemma learn_right r known a k : right r known -> 0 <= k < size_of G M a ->
    right (put G M r a k) (learn known a k).
  Proof.
    intros K H b j. unfold learn. destruct (Pos.eqb_spec b a) as [->|N].
    - intros [= <-]. apply get_put_in; [apply fit | apply fit | exact H].
    - destruct (apart_from b a) eqn:A; [|discriminate]. intros E. apply K in E. rewrite <- E.
      apply get_in_agree. intros c Hc. apply put_in_other. unfold apart_from in A.
      rewrite forallb_forall in A. apply A in Hc. apply negb_true_iff in Hc.
      intros I. apply mem_in in I. unfold leaves in *. congruence.
  Qed.
  Lemma inside_all_sound bound : forall js,
    inside_all (map read_size bound) js = inside G M bound js.
  Proof.
    induction bound as [|a bound IH]; intros [|j js]; cbn [map inside_all inside]; auto.
    now rewrite read_size_sound, IH.
  Qed.
  Lemma place_all_put bound : forall r js, place_all r bound js = put_all G M r bound js.
  Proof.
    induction bound as [|a bound IH]; intros r [|j js]; cbn [place_all put_all]; auto.
    now rewrite place_put, IH.
  Qed.
  Lemma learn_all_right bound : forall r known js, right r known -> inside G M bound js = true ->
    right (put_all G M r bound js) (learn_all known bound js).
  Proof.
    induction bound as [|a bound IH]; intros r known [|j js] K H; cbn [put_all learn_all]; auto.
    cbn [inside] in H. rewrite !andb_true_iff in H. destruct H as [[H1 H2] H].
    apply IH; auto. apply learn_right; auto. lia.
  Qed.

  Theorem read_sound t : forall r known p, right r known ->
    denote G M t r p = read t r known p.
  Proof.
    induction t as [o args IH] using term_ind'. intros r known p K. rewrite Forall_forall in IH.
    cbn [denote read].
    assert (A : forall k r known p, right r known ->
      argument (map (denote G M) args) k r p = operand (map read args) k r known p).
    { clear r known p K. intros k r known p K. unfold argument, operand.
      destruct (Nat.lt_ge_cases k (length args)) as [L|L].
      - rewrite (nth_indep _ _ (denote G M (Apply Add []))) by (now rewrite map_length).
        rewrite (nth_indep (map read args) _ (read (Apply Add []))) by (now rewrite map_length).
        rewrite !map_nth. apply IH; [now apply nth_In | exact K].
      - rewrite !nth_overflow by (now rewrite map_length). reflexivity. }
    assert (I : forall e, index_at G M r e = read_index (sizes M) (read_axis r known) e)
      by (intros e; rewrite read_index_sound, read_axis_sound by exact K; reflexivity).
    unfold meaning, read_operator. cbv zeta.
    destruct o; unfold number, pointwise, pair, first, second; rewrite <- ?A by exact K;
      try reflexivity.
    - f_equal. apply map_ext. exact I.
    - apply rational_sound.
    - now rewrite I.
    - rewrite read_condition_sound, read_axis_sound by exact K. reflexivity.
    - rewrite read_size_sound. apply read_fold_sound. intros i q Hi. rewrite place_put.
      apply A, learn_right; auto. unfold size_of, length_of in *. lia.
    - destruct p as [|[] q]; rewrite <- ?A by exact K; reflexivity.
    - replace (map (size_of G M) bound) with (map read_size bound)
        by (apply map_ext; apply read_size_sound).
      f_equal; [|apply map_ext; exact I]. apply functional_extensionality. intros js.
      apply functional_extensionality. intros q. unfold within. rewrite inside_all_sound.
      destruct (inside G M bound js) eqn:E; [|reflexivity].
      rewrite place_all_put. apply A. now apply learn_all_right.
  Qed.
End Read.

(* The model of a statement ------------------------------------------------------------------- *)

Fixpoint curried (rank : nat) (A : Type) : Type :=
  match rank with O => A | S n => Z -> curried n A end.
Fixpoint apply_all {A} (rank : nat) (default : A) : curried rank A -> list Z -> A :=
  match rank with
  | O => fun f _ => f
  | S n => fun f is => match is with i :: is => apply_all n default (f i) is | [] => default end
  end.
Fixpoint everywhere {A} (rank : nat) (P : A -> Prop) : curried rank A -> Prop := match rank with
  | O => fun f => P f
  | S n => fun f => forall i, everywhere n P (f i) end.

Inductive array :=
  | Reals (rank : nat) (x : curried rank R)
  | Booleans (rank : nat) (x : curried rank bool)
  | Extended (rank : nat) (x : curried rank value)       (* real numbers and −∞ *)
  | Unused.
Definition value_at (a : array) (is : list Z) : value := match a with
  | Reals n x => Fin (apply_all n 0%R x is)
  | Booleans n x => truth (apply_all n false x is)
  | Extended n x => apply_all n (Fin 0) x is
  | Unused => Fin 1 end.                                 (* of every kind *)
Definition array_ok (k : input_kind) (a : array) : Prop := match a, k with
  | Unused, _ | Reals _ _, (RealInput | ExtendedInput)
  | Booleans _ _, (BooleanInput | ExtendedInput) => True
  | Extended n x, ExtendedInput => everywhere n defined x
  | _, _ => False end.
Lemma apply_all_everywhere {A} (P : A -> Prop) n d : P d -> forall x is, everywhere n P x ->
  P (apply_all n d x is).
Proof.
  intros D. induction n as [|n IH]; intros x is H; [exact H|]. destruct is as [|i is]; [exact D|].
  cbn. apply IH, H.
Qed.
Lemma array_ok_sound k a is : array_ok k a -> of_kind k (value_at a is).
Proof.
  destruct a as [n x|n x|n x|]; [| | |intros _; apply one_of_kind]; destruct k; cbn [array_ok];
    try tauto; intros H; cbn [value_at of_kind]; try exact I; try apply boolean_truth.
  apply apply_all_everywhere; [exact I | exact H].
Qed.

Fixpoint pick {A} (default : A) (l : list A) (k : positive) : A := match l with
  | [] => default
  | x :: l => match k with xH => x | _ => pick default l (Pos.pred k) end end.

(* The elements of a list from number k on. *)
Fixpoint all_from {A} (P : positive -> A -> Prop) (k : positive) (l : list A) : Prop :=
  match l with [] => True | x :: l => P k x /\ all_from P (Pos.succ k) l end.
Lemma pick_property {A} (P : positive -> A -> Prop) d l : forall k s,
  P (Pos.pred (k + s)) d -> all_from P k l -> P (Pos.pred (k + s)) (pick d l s).
Proof.
  induction l as [|x l IH]; intros k s D H; cbn [pick]; [exact D|]. destruct H as [Hx H].
  destruct (Pos.eq_dec s 1) as [->|N].
  - rewrite Pos.add_1_r, Pos.pred_succ. exact Hx.
  - specialize (IH (Pos.succ k) (Pos.pred s)).
    replace (Pos.succ k + Pos.pred s)%positive with (k + s)%positive in IH by lia.
    destruct s; [apply IH; auto | apply IH; auto | congruence].
Qed.

Section Restate.
  Variables (G : context) (ns : list Z) (xs : list array) (fs : list (R -> R)).
  Variable os : list (list Z -> (list Z -> object) -> list Z -> value).
  Variable indices : list Z.

  Definition model_of : model := Model (fun s => pick (least G s) ns s)
    (fun x => value_at (pick Unused xs x)) (pick (fun x => x) fs)
    (pick (fun _ _ _ => Undef) os).
  Definition environment : env := pick 0 indices.

  Definition sizes_fit : Prop := all_from (fun s n => least G s <= n) 1 ns.
  Definition arrays_fit : Prop := all_from (fun x => array_ok (kind_of_input G x)) 1 xs.
  Definition assumptions_hold : Prop := all_from
    (fun _ => read_assumption (sizes model_of) (fun _ => 0)) 1 (assumed G).
  Definition in_bounds (l : list axis) : Prop := all_from
    (fun _ a => 0 <= environment a < read_size G model_of a) 1 l.

  Lemma model_of_ok : sizes_fit -> arrays_fit -> assumptions_hold -> model_ok model_of G.
  Proof.
    intros S X A. split; [split|].
    - intros s. pose proof (pick_property (fun s n => least G s <= n) (least G s) ns 1 s) as K.
      rewrite Pos.add_1_l, Pos.pred_succ in K. apply K; [reflexivity | exact S].
    - unfold assumptions_hold in A. revert A. generalize 1%positive. induction (assumed G) as
        [|e l IH]; intros k A; constructor;
        [apply read_assumption_sound, A | apply (IH _ (proj2 A))].
    - intros x is. apply array_ok_sound.
      pose proof (pick_property (fun x => array_ok (kind_of_input G x)) Unused xs 1 x) as K.
      rewrite Pos.add_1_l, Pos.pred_succ in K. apply K; [exact I | exact X].
  Qed.
  Lemma in_bounds_ok l a : in_bounds l -> In a l -> 0 <= environment a < size_of G model_of a.
  Proof.
    unfold in_bounds. generalize 1%positive. induction l as [|b l IH]; cbn [In all_from];
      [tauto|]. intros k [B H] [->|I]; [|now apply (IH _ H)]. now rewrite read_size_sound in B.
  Qed.

  (* What a hypothesis supposes of the arrays, in plain mathematics. *)
  Definition says (h : term * term * list axis) : Prop := forall (r : env) p,
    all_from (fun _ a => 0 <= r a < read_size G model_of a) 1 (snd h) ->
    read G model_of (fst (fst h)) r nothing_known p = read G model_of (snd (fst h)) r nothing_known p.
  Definition within_free (h : term * term * list axis) : bool :=
    forallb (fun a => existsb (Pos.eqb a) (free G (fst (fst h)) ++ free G (snd (fst h)))) (snd h).
  Lemma says_sound h : splits_ok G model_of -> within_free h = true -> says h ->
    equal_in G model_of (fst (fst h)) (snd (fst h)).
  Proof.
    destruct h as [[t u] axes]. unfold within_free, says. cbn [fst snd]. intros fit A H r Rt Ru.
    apply functional_extensionality. intros p.
    rewrite (read_sound G model_of fit t r nothing_known), (read_sound G model_of fit u r nothing_known)
      by discriminate. apply H.
    rewrite forallb_forall in A. clear H. generalize 1%positive. induction axes as [|a axes IH]; intros k;
      cbn [all_from]; [exact I|]. split; [|apply IH; intros b Hb; apply A; now right].
    rewrite read_size_sound. specialize (A a (or_introl eq_refl)). apply mem_in, in_app_iff in A.
    destruct A as [A|A]; auto.
  Qed.

  (* The two sides of a goal, in plain mathematics, are equal. *)
  Theorem restate_given nodes given stated goals (i j : positive) t u axes :
    (forall M, model_ok M G -> splits_ok G M ->
      Forall (holds_in G nodes M) given -> Forall (holds_in G nodes M) goals) ->
    existsb (fun g => Pos.eqb (fst g) i && Pos.eqb (snd g) j) goals = true ->
    term_at G nodes i = t -> term_at G nodes j = u ->
    splits_fit G = true ->
    forallb (fun a => existsb (Pos.eqb a) axes) (free G t ++ free G u) = true ->
    map (fun h => (term_at G nodes (fst h), term_at G nodes (snd h))) given = map fst stated ->
    forallb within_free stated = true ->
    sizes_fit -> arrays_fit -> assumptions_hold -> in_bounds axes ->
    all_from (fun _ => says) 1 stated ->
    read G model_of t environment nothing_known [] = read G model_of u environment nothing_known [].
  Proof.
    intros C K <- <- F A T Q S X H B P. pose proof (model_of_ok S X H) as ok.
    pose proof (splits_fit_sound G _ F (proj1 ok)) as fit.
    rewrite <- !(read_sound G model_of fit) by discriminate.
    assert (Z : Forall (holds_in G nodes model_of) given).
    { clear C. revert T Q P. generalize 1%positive. revert stated.
      induction given as [|h given IH]; intros [|s stated] k T; try discriminate T; constructor.
      - cbn [map] in T. injection T as T _. cbn [forallb] in Q. apply andb_true_iff in Q as [Q _].
        apply (says_sound s fit) in Q; [|exact (proj1 P)]. rewrite <- T in Q. exact Q.
      - cbn [map] in T. injection T as _ T. cbn [forallb] in Q. apply andb_true_iff in Q as [_ Q].
        apply (IH stated (Pos.succ k) T Q (proj2 P)). }
    specialize (C _ ok fit Z).
    rewrite Forall_forall in C. apply existsb_exists in K as ([a b] & Hg & E). apply C in Hg.
    unfold holds_in in Hg.
    cbn [fst snd] in *. apply andb_true_iff in E as [Ea Eb]. apply Pos.eqb_eq in Ea, Eb. subst a b.
    rewrite Hg; auto; intros a Ha; apply (in_bounds_ok axes); auto; apply mem_in;
      rewrite forallb_forall in A; apply A, in_app_iff; auto.
  Qed.
  Corollary restate nodes goals (i j : positive) t u axes :
    Forall (fun g => equal G (term_at G nodes (fst g)) (term_at G nodes (snd g))) goals ->
    existsb (fun g => Pos.eqb (fst g) i && Pos.eqb (snd g) j) goals = true ->
    term_at G nodes i = t -> term_at G nodes j = u ->
    splits_fit G = true ->
    forallb (fun a => existsb (Pos.eqb a) axes) (free G t ++ free G u) = true ->
    sizes_fit -> arrays_fit -> assumptions_hold -> in_bounds axes ->
    read G model_of t environment nothing_known [] = read G model_of u environment nothing_known [].
  Proof.
    intros C K T U F A S X H B.
    apply (restate_given nodes [] [] goals i j t u axes); auto; try exact I.
    intros M ok fit _. rewrite Forall_forall in *. intros g Hg r Rl Rr. now apply (C g Hg).
  Qed.
End Restate.

(* The proof of a statement ------------------------------------------------------------------- *)

(* What is computed to make an expression of a term.  What expressions are made of stays: the kernel
   compares two of them by their parts, and does not compute with values. *)
Ltac plainly := cbv beta iota zeta delta [
  read read_operator operand nth map app rational Qnum Qden read_scalar read_fold
  read_index summands_of difference total times fold_left one plus less less_one factors less_all
  read_condition read_assumption andb orb negb
  read_size read_axis spelled place put1 learn apart_from leaves leaves_in place_all learn_all
  nothing_known forallb existsb Pos.eqb whole outer inner masked
  extent find least kind_of_input PositiveMap.find PositiveMap.add PositiveMap.empty map_of
  lowers assumed extents splits inputs fst snd
  pick Pos.pred Pos.pred_double Pos.succ model_of environment sizes input function opaque
  value_at apply_all curried everywhere array_ok all_from sizes_fit arrays_fit assumptions_hold
  in_bounds says].
Strategy expand [
  read read_operator operand nth map app rational Qnum Qden read_scalar read_fold
  read_index summands_of difference total times fold_left one plus less less_one factors less_all
  read_condition read_assumption andb orb negb
  read_size read_axis spelled place put1 learn apart_from leaves leaves_in place_all learn_all
  nothing_known forallb existsb Pos.eqb whole outer inner masked
  extent find least kind_of_input PositiveMap.find PositiveMap.add PositiveMap.empty map_of
  lowers assumed extents splits inputs fst snd
  pick Pos.pred Pos.pred_double Pos.succ model_of environment sizes input function opaque
  value_at apply_all curried everywhere array_ok all_from sizes_fit arrays_fit assumptions_hold
  in_bounds says].
Strategy opaque [
  vadd vmul vinv vmax vmin vexp vlog vsqrt vabs vtanh verf vsin vcos vrescale vfun vless vequal vnot vand vor vselect
  truth of_int sum product maximum minimum conjunction disjunction rescaled_sum within
  Z.add Z.sub Z.opp Z.mul Z.div Z.modulo Z.ltb Z.leb].

(* Side conditions, from the hypotheses of a statement. *)
Ltac discharge G := unfold G; plainly; repeat match goal with
  | |- _ /\ _ => split
  | |- True => exact I end;
  first [assumption | lia | intros; auto].

(* What a statement is about: its sizes, arrays, functions, operators and indices, in the order of
   their numbers in the certificate, and the axes of the indices. *)
Inductive subjects := Subjects (ns : list Z) (xs : list array) (fs : list (R -> R))
  (os : list (list Z -> (list Z -> object) -> list Z -> value))
  (indices : list Z) (axes : list axis).

(* Proves the statement of the goal (i, j) of a certificate. *)
Ltac readback certificate G nodes goals i j subjects :=
  lazymatch subjects with Subjects ?ns ?xs ?fs ?os ?indices ?axes =>
  let t := eval vm_compute in (term_at G nodes i) in
  let u := eval vm_compute in (term_at G nodes j) in
  let H := fresh "H" in
  assert (H : read G (model_of G ns xs fs os) t (environment indices) nothing_known []
    = read G (model_of G ns xs fs os) u (environment indices) nothing_known []);
  [ apply (restate G ns xs fs os indices nodes goals i j t u axes certificate);
    [ vm_cast_no_check (eq_refl true) | vm_cast_no_check (eq_refl t)
    | vm_cast_no_check (eq_refl u) | vm_cast_no_check (eq_refl true)
    | vm_cast_no_check (eq_refl true) | discharge G .. ]
  | unfold G in H; revert H; plainly; intros H; lazymatch type of H with ?proved =>
      lazymatch goal with |- ?stated => first [constr_eq proved stated; exact H
        | fail 1 "the certificate proves another statement:" proved] end end ] end.

(* … of a certificate that supposes something: [stated] are its hypotheses, with the axes of each,
   and [premises] solves what they say. *)
Ltac readback_given certificate G nodes given axes_of goals i j subjects premises :=
  lazymatch subjects with Subjects ?ns ?xs ?fs ?os ?indices ?axes =>
  let t := eval vm_compute in (term_at G nodes i) in
  let u := eval vm_compute in (term_at G nodes j) in
  let stated := eval vm_compute in
    (List.combine (map (fun h => (term_at G nodes (fst h), term_at G nodes (snd h))) given) axes_of) in
  let H := fresh "H" in
  assert (H : read G (model_of G ns xs fs os) t (environment indices) nothing_known []
    = read G (model_of G ns xs fs os) u (environment indices) nothing_known []);
  [ apply (restate_given G ns xs fs os indices nodes given stated goals i j t u axes certificate);
    [ vm_cast_no_check (eq_refl true) | vm_cast_no_check (eq_refl t)
    | vm_cast_no_check (eq_refl u) | vm_cast_no_check (eq_refl true)
    | vm_cast_no_check (eq_refl true) | vm_cast_no_check (eq_refl (map fst stated))
    | vm_cast_no_check (eq_refl true) | discharge G | discharge G | discharge G | discharge G
    | unfold G; plainly; premises ]
  | unfold G in H; revert H; plainly; intros H; lazymatch type of H with ?proved =>
      lazymatch goal with |- ?stated => first [constr_eq proved stated; exact H
        | fail 1 "the certificate proves another statement:" proved] end end ] end.

(* Notations of statements -------------------------------------------------------------------- *)

Inductive numeral := Integer (z : Z).
Definition read_numeral (z : Z) : numeral := Integer z.
Definition show_numeral (n : numeral) : Z := match n with Integer z => z end.

Declare Scope value_scope.
Delimit Scope value_scope with value.
Bind Scope value_scope with value.
Number Notation value read_numeral show_numeral
  (via numeral mapping [of_int => Integer]) : value_scope.

Coercion Fin : R >-> value.
Coercion of_int : Z >-> value.
Coercion truth : bool >-> value.

Notation Value := Values.value.              (* a real number, −∞ or the undefined *)
Notation defined := Values.defined.
Notation exp := vexp.
Notation log := vlog.
Notation sqrt := vsqrt.
Notation abs := vabs.
Notation tanh := vtanh.                      (* these are undefined at −∞ *)
Notation erf := verf.
Notation sin := vsin.
Notation cos := vcos.
Notation rescale := vrescale.                (* exp(s − m), and 0 where s is −∞ *)
Notation lift := vfun.                       (* a function of real numbers, undefined at −∞ *)
Notation undefined := Undef.
Notation "-∞" := NegInf : value_scope.

Notation "x + y" := (vadd x y) : value_scope.
Notation "x * y" := (vmul x y) : value_scope.
Notation "- x" := (vmul (of_int (-1)) x) : value_scope.
Notation "x - y" := (vadd x (vmul (of_int (-1)) y)) : value_scope.
Notation "/ x" := (vinv x) : value_scope.
Notation "x / y" := (vmul x (vinv y)) : value_scope.

(* Truth values are 1 and 0. *)
Notation "x <? y" := (vless x y) : value_scope.
Notation "x =? y" := (vequal x y) : value_scope.
Notation "x && y" := (vand x y) : value_scope.
Notation "x || y" := (vor x y) : value_scope.
Notation "¬ x" := (vnot x) (at level 35, right associativity) : value_scope.
Notation "'when' c 'then' x 'else' y" := (vselect c x y)
  (at level 200, c at level 100, x at level 100, y at level 200) : value_scope.

Notation "'max' ( x , y )" := (vmax x y)
  (at level 200, x at level 200, y at level 200) : value_scope.
Notation "'min' ( x , y )" := (vmin x y)
  (at level 200, x at level 200, y at level 200) : value_scope.
Notation "∑ i < n , x" := (sum n%Z (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 200) : value_scope.
Notation "∏ i < n , x" := (product n%Z (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 200) : value_scope.
Notation "'max' i < n , x" := (maximum n%Z (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 200) : value_scope.
Notation "'min' i < n , x" := (minimum n%Z (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 200) : value_scope.
Notation "⋀ i < n , x" := (conjunction n%Z (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 200) : value_scope.
Notation "⋁ i < n , x" := (disjunction n%Z (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 200) : value_scope.
Notation "'rescaled' i < n , x 'by' s" := (rescaled_sum n%Z (fun i : Z => s) (fun i : Z => x))
  (at level 200, i name, n at level 69, x at level 100, s at level 200) : value_scope.

