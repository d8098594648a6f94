(* The laws of `rules/*.egg`, written by `python -m ncd_formal.coq.table`. *)

From Coq Require Import List String QArith ZArith.
From Ncd Require Import Monoids Wires Facts Laws.
Import ListNotations.
Local Open Scope string_scope.
Local Open Scope Q_scope.

Definition law_add_comm := Law "add-comm"
  (Op (Plain Add) [Var 0; Var 1])
  (Op (Plain Add) [Var 1; Var 0])
  [].

Definition law_add_assoc := Law "add-assoc"
  (Op (Plain Add) [Op (Plain Add) [Var 0; Var 1]; Var 2])
  (Op (Plain Add) [Var 0; Op (Plain Add) [Var 1; Var 2]])
  [].

Definition law_add_zero := Law "add-zero"
  (Op (Plain Add) [Op (Plain (Constant (0 # 1))) []; Var 0])
  (Var 0)
  [].

Definition law_add_constants := Law "add-constants"
  (Op (Plain Add) [Op (AnyConstant 0) []; Op (AnyConstant 1) []])
  (Op (AnyConstant 2) [])
  [NumberIs (NVar 2) (NPlus (NVar 0) (NVar 1))]%nat.

Definition law_add_negative_infinity := Law "add-negative-infinity"
  (Op (Plain Add) [Op (Plain NegativeInfinity) []; Var 0])
  (Op (Plain NegativeInfinity) [])
  [Known defined_fact 0]%nat.

Definition law_mul_comm := Law "mul-comm"
  (Op (Plain Mul) [Var 0; Var 1])
  (Op (Plain Mul) [Var 1; Var 0])
  [].

Definition law_mul_assoc := Law "mul-assoc"
  (Op (Plain Mul) [Op (Plain Mul) [Var 0; Var 1]; Var 2])
  (Op (Plain Mul) [Var 0; Op (Plain Mul) [Var 1; Var 2]])
  [Associates 0 1 2]%nat.

Definition law_mul_one := Law "mul-one"
  (Op (Plain Mul) [Op (Plain (Constant (1 # 1))) []; Var 0])
  (Var 0)
  [].

Definition law_mul_zero := Law "mul-zero"
  (Op (Plain Mul) [Op (Plain (Constant (0 # 1))) []; Var 0])
  (Op (Plain (Constant (0 # 1))) [])
  [Known real_fact 0]%nat.

Definition law_mul_constants := Law "mul-constants"
  (Op (Plain Mul) [Op (AnyConstant 0) []; Op (AnyConstant 1) []])
  (Op (AnyConstant 2) [])
  [NumberIs (NVar 2) (NTimes (NVar 0) (NVar 1))]%nat.

Definition law_mul_negative_infinity := Law "mul-negative-infinity"
  (Op (Plain Mul) [Var 0; Op (Plain NegativeInfinity) []])
  (Op (Plain NegativeInfinity) [])
  [Known positive_fact 0]%nat.

Definition law_boolean_idempotent := Law "boolean-idempotent"
  (Op (Plain Mul) [Var 0; Var 0])
  (Var 0)
  [Known boolean_fact 0]%nat.

Definition law_distribute := Law "distribute"
  (Op (Plain Mul) [Var 0; Op (Plain Add) [Var 1; Var 2]])
  (Op (Plain Add) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain Mul) [Var 0; Var 2]])
  [Distributes 0 [1; 2]]%nat.

Definition law_collect := Law "collect"
  (Op (Plain Add) [Op (Plain Mul) [Op (AnyConstant 0) []; Var 0]; Op (Plain Mul) [Op (AnyConstant 1) []; Var 0]])
  (Op (Plain Mul) [Op (AnyConstant 2) []; Var 0])
  [Known no_infinity_fact 0; NumberIs (NVar 2) (NPlus (NVar 0) (NVar 1))]%nat.

Definition law_inverse_mul := Law "inverse-mul"
  (Op (Plain Inverse) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Mul) [Op (Plain Inverse) [Var 0]; Op (Plain Inverse) [Var 1]])
  [].

Definition law_inverse_inverse := Law "inverse-inverse"
  (Op (Plain Inverse) [Op (Plain Inverse) [Var 0]])
  (Var 0)
  [Known nonzero_or_undefined_fact 0]%nat.

Definition law_inverse_cancel := Law "inverse-cancel"
  (Op (Plain Mul) [Var 0; Op (Plain Inverse) [Var 0]])
  (Op (Plain (Constant (1 # 1))) [])
  [Known nonzero_fact 0]%nat.

Definition law_inverse_constant := Law "inverse-constant"
  (Op (Plain Inverse) [Op (AnyConstant 0) []])
  (Op (AnyConstant 1) [])
  [NumberIsNot (NVar 0) (NLit (0 # 1)); NumberIs (NVar 1) (NInverse (NVar 0))]%nat.

Definition law_inverse_clear := Law "inverse-clear"
  (Op (Plain Inverse) [Var 0])
  (Op (Plain Mul) [Var 1; Op (Plain Inverse) [Op (Plain Mul) [Var 1; Var 0]]])
  [Known nonzero_fact 1]%nat.

Definition law_quotient_part := Law "quotient-part"
  (Op (Plain Mul) [Var 0; Op (Plain Inverse) [Op (Plain Add) [Var 0; Var 1]]])
  (Op (Plain Add) [Op (Plain (Constant (1 # 1))) []; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Mul) [Var 1; Op (Plain Inverse) [Op (Plain Add) [Var 0; Var 1]]]]])
  [].

Definition law_index_add := Law "index-add"
  (Op (Plain Add) [Op (AnyIndex 0) []; Op (AnyIndex 1) []])
  (Op (AnyIndex 2) [])
  [IndexIs 2 (IPlus (IVar 0) (IVar 1))]%nat.

Definition law_index_mul := Law "index-mul"
  (Op (Plain Mul) [Op (AnyIndex 0) []; Op (AnyIndex 1) []])
  (Op (AnyIndex 2) [])
  [IndexIs 2 (ITimes (IVar 0) (IVar 1))]%nat.

Definition law_index_constant := Law "index-constant"
  (Op (AnyIndex 0) [])
  (Op (AnyConstant 0) [])
  [NumberIsIndex 0 0]%nat.

Definition law_index_factor := Law "index-factor"
  (Op (AnyIndex 2) [])
  (Op (Plain Mul) [Op (AnyIndex 0) []; Op (AnyIndex 1) []])
  [IndexIs 2 (ITimes (IVar 0) (IVar 1))]%nat.

Definition law_index_sum := Law "index-sum"
  (Op (AnyIndex 2) [])
  (Op (Plain Add) [Op (AnyIndex 0) []; Op (AnyIndex 1) []])
  [IndexIs 2 (IPlus (IVar 0) (IVar 1))]%nat.

Definition law_index_positive := Law "index-positive"
  (Op (AnyIndex 0) [])
  (Op (Plain Mul) [Op (AnyIndex 0) []; Op (AnyPredicate 1) []])
  [InRange (IVar 0); IndexIs 1 (IPlus (IVar 0) (IMinus (ILit (-1)) (IMinus (IVar 0) (IVar 0))))]%nat.

Definition law_exp_add := Law "exp-add"
  (Op (Plain Exp) [Op (Plain Add) [Var 0; Var 1]])
  (Op (Plain Mul) [Op (Plain Exp) [Var 0]; Op (Plain Exp) [Var 1]])
  [].

Definition law_exp_negative := Law "exp-negative"
  (Op (Plain Exp) [Op (Plain Mul) [Op (AnyConstant 0) []; Var 0]])
  (Op (Plain Inverse) [Op (Plain Exp) [Op (Plain Mul) [Op (AnyConstant 1) []; Var 0]]])
  [NumberLess (NVar 0) (NLit (0 # 1)); NumberIs (NVar 1) (NTimes (NLit (-1 # 1)) (NVar 0))]%nat.

Definition law_exp_zero := Law "exp-zero"
  (Op (Plain Exp) [Op (Plain (Constant (0 # 1))) []])
  (Op (Plain (Constant (1 # 1))) [])
  [].

Definition law_exp_negative_infinity := Law "exp-negative-infinity"
  (Op (Plain Exp) [Op (Plain NegativeInfinity) []])
  (Op (Plain (Constant (0 # 1))) [])
  [].

Definition law_exp_log := Law "exp-log"
  (Op (Plain Exp) [Op (Plain Log) [Var 0]])
  (Var 0)
  [Known nonnegative_or_undefined_fact 0]%nat.

Definition law_log_exp := Law "log-exp"
  (Op (Plain Log) [Op (Plain Exp) [Var 0]])
  (Var 0)
  [].

Definition law_tanh_parts := Law "tanh-parts"
  (Op (Plain Tanh) [Var 0])
  (Op (Plain Add) [Op (Plain (Constant (1 # 1))) []; Op (Plain Mul) [Op (Plain (Constant (-2 # 1))) []; Op (Plain Inverse) [Op (Plain Add) [Op (Plain (Constant (1 # 1))) []; Op (Plain Exp) [Op (Plain Mul) [Op (Plain (Constant (2 # 1))) []; Var 0]]]]]])
  [Known no_infinity_fact 0]%nat.

Definition law_erf_odd := Law "erf-odd"
  (Op (Plain Erf) [Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  (Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Erf) [Var 0]])
  [].

Definition law_sin_odd := Law "sin-odd"
  (Op (Plain Sin) [Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  (Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Sin) [Var 0]])
  [].

Definition law_cos_even := Law "cos-even"
  (Op (Plain Cos) [Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  (Op (Plain Cos) [Var 0])
  [].

Definition law_sin_square := Law "sin-square"
  (Op (Plain Mul) [Op (Plain Sin) [Var 0]; Op (Plain Sin) [Var 0]])
  (Op (Plain Add) [Op (Plain (Constant (1 # 1))) []; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Mul) [Op (Plain Cos) [Var 0]; Op (Plain Cos) [Var 0]]]])
  [].

Definition law_log_mul := Law "log-mul"
  (Op (Plain Log) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Add) [Op (Plain Log) [Var 0]; Op (Plain Log) [Var 1]])
  [Known nonnegative_or_undefined_fact 0; Known nonnegative_or_undefined_fact 1]%nat.

Definition law_log_inverse := Law "log-inverse"
  (Op (Plain Log) [Op (Plain Inverse) [Var 0]])
  (Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Log) [Var 0]])
  [].

Definition law_log_clear := Law "log-clear"
  (Op (Plain Log) [Var 0])
  (Op (Plain Add) [Op (Plain Log) [Op (Plain Mul) [Var 1; Var 0]]; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Log) [Var 1]]])
  [Known positive_fact 1]%nat.

Definition law_log_one := Law "log-one"
  (Op (Plain Log) [Op (Plain (Constant (1 # 1))) []])
  (Op (Plain (Constant (0 # 1))) [])
  [].

Definition law_sqrt_mul := Law "sqrt-mul"
  (Op (Plain Sqrt) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Mul) [Op (Plain Sqrt) [Var 0]; Op (Plain Sqrt) [Var 1]])
  [Known nonnegative_or_undefined_fact 0; Known nonnegative_or_undefined_fact 1]%nat.

Definition law_sqrt_inverse := Law "sqrt-inverse"
  (Op (Plain Sqrt) [Op (Plain Inverse) [Var 0]])
  (Op (Plain Inverse) [Op (Plain Sqrt) [Var 0]])
  [].

Definition law_sqrt_square := Law "sqrt-square"
  (Op (Plain Mul) [Op (Plain Sqrt) [Var 0]; Op (Plain Sqrt) [Var 0]])
  (Var 0)
  [Known nonnegative_or_undefined_fact 0]%nat.

Definition law_sqrt_constant := Law "sqrt-constant"
  (Op (Plain Sqrt) [Op (AnyConstant 0) []])
  (Op (AnyConstant 1) [])
  [RootIs 0 1]%nat.

Definition law_sqrt_of_square := Law "sqrt-of-square"
  (Op (Plain Sqrt) [Op (Plain Mul) [Var 0; Var 0]])
  (Op (Plain Abs) [Var 0])
  [Known no_infinity_fact 0]%nat.

Definition law_abs_nonnegative := Law "abs-nonnegative"
  (Op (Plain Abs) [Var 0])
  (Var 0)
  [Known nonnegative_or_undefined_fact 0]%nat.

Definition law_abs_mul := Law "abs-mul"
  (Op (Plain Abs) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Mul) [Op (Plain Abs) [Var 0]; Op (Plain Abs) [Var 1]])
  [Known no_infinity_fact 0; Known no_infinity_fact 1]%nat.

Definition law_abs_square := Law "abs-square"
  (Op (Plain Mul) [Op (Plain Abs) [Var 0]; Op (Plain Abs) [Var 0]])
  (Op (Plain Mul) [Var 0; Var 0])
  [Known no_infinity_fact 0]%nat.

Definition law_abs_constant := Law "abs-constant"
  (Op (Plain Abs) [Op (AnyConstant 0) []])
  (Op (AnyConstant 1) [])
  [NumberIs (NVar 1) (NMax (NVar 0) (NTimes (NLit (-1 # 1)) (NVar 0)))]%nat.

Definition law_maximum_comm := Law "maximum-comm"
  (Op (Plain Maximum) [Var 0; Var 1])
  (Op (Plain Maximum) [Var 1; Var 0])
  [].

Definition law_maximum_assoc := Law "maximum-assoc"
  (Op (Plain Maximum) [Op (Plain Maximum) [Var 0; Var 1]; Var 2])
  (Op (Plain Maximum) [Var 0; Op (Plain Maximum) [Var 1; Var 2]])
  [].

Definition law_maximum_idempotent := Law "maximum-idempotent"
  (Op (Plain Maximum) [Var 0; Var 0])
  (Var 0)
  [].

Definition law_maximum_negative_infinity := Law "maximum-negative-infinity"
  (Op (Plain Maximum) [Op (Plain NegativeInfinity) []; Var 0])
  (Var 0)
  [].

Definition law_maximum_constants := Law "maximum-constants"
  (Op (Plain Maximum) [Op (AnyConstant 0) []; Op (AnyConstant 1) []])
  (Op (AnyConstant 2) [])
  [NumberIs (NVar 2) (NMax (NVar 0) (NVar 1))]%nat.

Definition law_maximum_add := Law "maximum-add"
  (Op (Plain Maximum) [Op (Plain Add) [Var 0; Var 1]; Op (Plain Add) [Var 0; Var 2]])
  (Op (Plain Add) [Var 0; Op (Plain Maximum) [Var 1; Var 2]])
  [].

Definition law_maximum_mul := Law "maximum-mul"
  (Op (Plain Maximum) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain Mul) [Var 0; Var 2]])
  (Op (Plain Mul) [Var 0; Op (Plain Maximum) [Var 1; Var 2]])
  [Known positive_or_undefined_fact 0]%nat.

Definition law_minimum_maximum := Law "minimum-maximum"
  (Op (Plain Minimum) [Var 0; Var 1])
  (Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Maximum) [Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 1]]])
  [Known no_infinity_fact 0; Known no_infinity_fact 1]%nat.

Definition law_maximum_abs := Law "maximum-abs"
  (Op (Plain Maximum) [Var 0; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  (Op (Plain Abs) [Var 0])
  [Known no_infinity_fact 0]%nat.

Definition law_abs_parts := Law "abs-parts"
  (Op (Plain Abs) [Var 0])
  (Op (Plain Add) [Op (Plain Mul) [Op (Plain (Constant (2 # 1))) []; Op (Plain Maximum) [Var 0; Op (Plain (Constant (0 # 1))) []]]; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  [].

Definition law_rescale_exp := Law "rescale-exp"
  (Op (Plain Rescale) [Var 0; Var 1])
  (Op (Plain Mul) [Op (Plain Exp) [Var 0]; Op (Plain Inverse) [Op (Plain Exp) [Var 1]]])
  [Known no_infinity_fact 1]%nat.

Definition law_predicate_not := Law "predicate-not"
  (Op (Plain Not) [Op (AnyPredicate 0) []])
  (Op (AnyPredicate 1) [])
  [IndexIs 1 (IMinus (ILit (-1)) (IVar 0))]%nat.

Definition law_predicate_true := Law "predicate-true"
  (Op (AnyPredicate 0) [])
  (Op (Plain (Constant (1 # 1))) [])
  [InRange (IVar 0)]%nat.

Definition law_predicate_false := Law "predicate-false"
  (Op (AnyPredicate 0) [])
  (Op (Plain (Constant (0 # 1))) [])
  [InRange (IMinus (ILit (-1)) (IVar 0))]%nat.

Definition law_predicate_implied := Law "predicate-implied"
  (Op (Plain Mul) [Op (AnyPredicate 0) []; Op (AnyPredicate 1) []])
  (Op (AnyPredicate 1) [])
  [InRange (IMinus (IVar 0) (IVar 1))]%nat.

Definition law_predicate_excluded := Law "predicate-excluded"
  (Op (Plain Mul) [Op (AnyPredicate 0) []; Op (AnyPredicate 1) []])
  (Op (Plain (Constant (0 # 1))) [])
  [InRange (IMinus (ILit (-1)) (IPlus (IVar 0) (IVar 1)))]%nat.

Definition law_predicate_digits := Law "predicate-digits"
  (Op (AnyPredicate 0) [])
  (Op (Plain Select) [Op (AnyPredicate 2) []; Op (AnyPredicate 1) []; Op (AnyPredicate 3) []])
  [InRange (IPlus (IExtent 0) (IMinus (IVar 0) (ITimes (IExtent 0) (IVar 1)))); InRange (IMinus (IPlus (IExtent 0) (ILit (-1))) (IMinus (IVar 0) (ITimes (IExtent 0) (IVar 1)))); IndexIs 2 (IMinus (IVar 0) (ITimes (IExtent 0) (IVar 1))); IndexIs 3 (IPlus (IVar 1) (ILit (-1)))]%nat.

Definition law_not_boolean := Law "not-boolean"
  (Op (Plain Add) [Op (Plain (Constant (1 # 1))) []; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  (Op (Plain Not) [Var 0])
  [Known boolean_fact 0]%nat.

Definition law_not_not := Law "not-not"
  (Op (Plain Not) [Op (Plain Not) [Var 0]])
  (Var 0)
  [Known boolean_fact 0]%nat.

Definition law_not_false := Law "not-false"
  (Op (Plain Not) [Op (Plain (Constant (0 # 1))) []])
  (Op (Plain (Constant (1 # 1))) [])
  [].

Definition law_not_true := Law "not-true"
  (Op (Plain Not) [Op (Plain (Constant (1 # 1))) []])
  (Op (Plain (Constant (0 # 1))) [])
  [].

Definition law_boolean_contradiction := Law "boolean-contradiction"
  (Op (Plain Mul) [Var 0; Op (Plain Not) [Var 0]])
  (Op (Plain (Constant (0 # 1))) [])
  [Known boolean_fact 0]%nat.

Definition law_and_boolean := Law "and-boolean"
  (Op (Plain And) [Var 0; Var 1])
  (Op (Plain Mul) [Var 0; Var 1])
  [Known boolean_fact 0; Known boolean_fact 1]%nat.

Definition law_or_boolean := Law "or-boolean"
  (Op (Plain Or) [Var 0; Var 1])
  (Op (Plain Not) [Op (Plain Mul) [Op (Plain Not) [Var 0]; Op (Plain Not) [Var 1]]])
  [Known boolean_fact 0; Known boolean_fact 1]%nat.

Definition law_equal_negative_infinity := Law "equal-negative-infinity"
  (Op (Plain Equal) [Var 0; Op (Plain NegativeInfinity) []])
  (Op (Plain (Constant (0 # 1))) [])
  [Known real_fact 0]%nat.

Definition law_equal_infinity_add := Law "equal-infinity-add"
  (Op (Plain Equal) [Op (Plain Add) [Var 0; Var 1]; Op (Plain NegativeInfinity) []])
  (Op (Plain Or) [Op (Plain Equal) [Var 0; Op (Plain NegativeInfinity) []]; Op (Plain Equal) [Var 1; Op (Plain NegativeInfinity) []]])
  [].

Definition law_equal_infinity_mul := Law "equal-infinity-mul"
  (Op (Plain Equal) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain NegativeInfinity) []])
  (Op (Plain Equal) [Var 1; Op (Plain NegativeInfinity) []])
  [Known positive_fact 0]%nat.

Definition law_less_infinity := Law "less-infinity"
  (Op (Plain Less) [Op (Plain NegativeInfinity) []; Var 0])
  (Op (Plain Not) [Op (Plain Equal) [Var 0; Op (Plain NegativeInfinity) []]])
  [].

Definition law_less_self := Law "less-self"
  (Op (Plain Less) [Var 0; Var 0])
  (Op (Plain (Constant (0 # 1))) [])
  [Known defined_fact 0]%nat.

Definition law_equal_comm := Law "equal-comm"
  (Op (Plain Equal) [Var 0; Var 1])
  (Op (Plain Equal) [Var 1; Var 0])
  [].

Definition law_equal_self := Law "equal-self"
  (Op (Plain Equal) [Var 0; Var 0])
  (Op (Plain (Constant (1 # 1))) [])
  [Known defined_fact 0]%nat.

Definition law_not_nonzero := Law "not-nonzero"
  (Op (Plain Not) [Var 0])
  (Op (Plain (Constant (0 # 1))) [])
  [Known nonzero_fact 0]%nat.

Definition law_less_difference := Law "less-difference"
  (Op (Plain Less) [Var 0; Var 1])
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Op (Plain Add) [Var 1; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]]])
  [Known no_infinity_fact 0]%nat.

Definition law_less_scale := Law "less-scale"
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 1])
  [Known positive_fact 0]%nat.

Definition law_less_opposite := Law "less-opposite"
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]])
  (Op (Plain Add) [Op (Plain (Constant (1 # 1))) []; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Add) [Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 0]; Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []]]]])
  [Known no_infinity_fact 0]%nat.

Definition law_less_positive := Law "less-positive"
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 0])
  (Op (Plain (Constant (1 # 1))) [])
  [Known positive_fact 0]%nat.

Definition law_equal_difference := Law "equal-difference"
  (Op (Plain Equal) [Var 0; Var 1])
  (Op (Plain Equal) [Op (Plain Add) [Var 0; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 1]]; Op (Plain (Constant (0 # 1))) []])
  [Known no_infinity_fact 1]%nat.

Definition law_equal_scale := Law "equal-scale"
  (Op (Plain Equal) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain (Constant (0 # 1))) []])
  (Op (Plain Equal) [Var 1; Op (Plain (Constant (0 # 1))) []])
  [Known nonzero_fact 0; Known no_infinity_fact 1]%nat.

Definition law_less_less := Law "less-less"
  (Op (Plain Mul) [Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 0]; Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Op (Plain Add) [Op (AnyConstant 0) []; Var 0]]])
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 0])
  [NumberLess (NLit (0 # 1)) (NVar 0)]%nat.

Definition law_equal_less := Law "equal-less"
  (Op (Plain Mul) [Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []]; Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Op (Plain Add) [Var 1; Var 0]]])
  (Op (Plain Mul) [Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []]; Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 1]])
  [].

Definition law_equal_equal := Law "equal-equal"
  (Op (Plain Mul) [Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []]; Op (Plain Equal) [Op (Plain Add) [Var 1; Var 0]; Op (Plain (Constant (0 # 1))) []]])
  (Op (Plain Mul) [Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []]; Op (Plain Equal) [Var 1; Op (Plain (Constant (0 # 1))) []]])
  [].

Definition law_equal_factor := Law "equal-factor"
  (Op (Plain Mul) [Op (Plain Equal) [Op (Plain Add) [Var 0; Var 1]; Op (Plain (Constant (0 # 1))) []]; Var 0])
  (Op (Plain Mul) [Op (Plain Equal) [Op (Plain Add) [Var 0; Var 1]; Op (Plain (Constant (0 # 1))) []]; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 1]])
  [Known no_infinity_fact 0; Known no_infinity_fact 1]%nat.

Definition law_equal_exp := Law "equal-exp"
  (Op (Plain Mul) [Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []]; Op (Plain Exp) [Op (Plain Mul) [Var 1; Var 0]]])
  (Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []])
  [Known real_fact 1; Known no_infinity_fact 0]%nat.

Definition law_less_exp := Law "less-exp"
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Op (Plain Add) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Exp) [Var 0]]])
  (Op (Plain Less) [Op (Plain (Constant (0 # 1))) []; Var 0])
  [].

Definition law_equal_one_exp := Law "equal-one-exp"
  (Op (Plain Equal) [Op (Plain Add) [Op (Plain (Constant (-1 # 1))) []; Op (Plain Exp) [Var 0]]; Op (Plain (Constant (0 # 1))) []])
  (Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []])
  [].

Definition law_less_abs := Law "less-abs"
  (Op (Plain Less) [Op (Plain Abs) [Var 0]; Var 1])
  (Op (Plain Mul) [Op (Plain Less) [Var 0; Var 1]; Op (Plain Less) [Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]; Var 1]])
  [].

Definition law_abs_less := Law "abs-less"
  (Op (Plain Less) [Var 0; Op (Plain Abs) [Var 1]])
  (Op (Plain Or) [Op (Plain Less) [Var 0; Var 1]; Op (Plain Less) [Var 0; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 1]]])
  [].

Definition law_less_index := Law "less-index"
  (Op (Plain Less) [Op (AnyIndex 0) []; Op (AnyIndex 1) []])
  (Op (AnyPredicate 2) [])
  [IndexIs 2 (IMinus (IPlus (IVar 1) (ILit (-1))) (IVar 0))]%nat.

Definition law_select_true := Law "select-true"
  (Op (Plain Select) [Op (AnyConstant 0) []; Var 0; Var 1])
  (Var 0)
  [NumberIsNot (NVar 0) (NLit (0 # 1))]%nat.

Definition law_select_false := Law "select-false"
  (Op (Plain Select) [Op (Plain (Constant (0 # 1))) []; Var 0; Var 1])
  (Var 1)
  [].

Definition law_select_same := Law "select-same"
  (Op (Plain Select) [Var 0; Var 1; Var 1])
  (Var 1)
  [Known real_fact 0]%nat.

Definition law_select_not := Law "select-not"
  (Op (Plain Select) [Op (Plain Not) [Var 0]; Var 1; Var 2])
  (Op (Plain Select) [Var 0; Var 2; Var 1])
  [].

Definition law_select_larger := Law "select-larger"
  (Op (Plain Select) [Op (Plain Less) [Var 0; Var 1]; Var 1; Var 0])
  (Op (Plain Maximum) [Var 0; Var 1])
  [].

Definition law_select_smaller := Law "select-smaller"
  (Op (Plain Select) [Op (Plain Less) [Var 0; Var 1]; Var 0; Var 1])
  (Op (Plain Minimum) [Var 0; Var 1])
  [].

Definition law_select_boolean := Law "select-boolean"
  (Op (Plain Select) [Var 0; Var 1; Var 2])
  (Op (Plain Add) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain Mul) [Op (Plain Not) [Var 0]; Var 2]])
  [Known boolean_fact 0; Known real_fact 1; Known real_fact 2]%nat.

Definition law_select_or := Law "select-or"
  (Op (Plain Select) [Var 0; Var 1; Op (Plain (Constant (1 # 1))) []])
  (Op (Plain Or) [Op (Plain Not) [Var 0]; Var 1])
  [Known boolean_fact 1]%nat.

Definition law_exp_half_log := Law "exp-half-log"
  (Op (Plain Exp) [Op (Plain Mul) [Op (Plain (Constant (1 # 2))) []; Op (Plain Log) [Var 0]]])
  (Op (Plain Sqrt) [Var 0])
  [].

Definition law_select_exp := Law "select-exp"
  (Op (Plain Exp) [Op (Plain Select) [Var 0; Var 1; Var 2]])
  (Op (Plain Select) [Var 0; Op (Plain Exp) [Var 1]; Op (Plain Exp) [Var 2]])
  [].

Definition law_select_add := Law "select-add"
  (Op (Plain Add) [Var 0; Op (Plain Select) [Var 1; Var 2; Var 3]])
  (Op (Plain Select) [Var 1; Op (Plain Add) [Var 0; Var 2]; Op (Plain Add) [Var 0; Var 3]])
  [].

Definition law_select_mul := Law "select-mul"
  (Op (Plain Mul) [Var 0; Op (Plain Select) [Var 1; Var 2; Var 3]])
  (Op (Plain Select) [Var 1; Op (Plain Mul) [Var 0; Var 2]; Op (Plain Mul) [Var 0; Var 3]])
  [].

Definition law_select_equal := Law "select-equal"
  (Op (Plain Equal) [Op (Plain Select) [Var 0; Var 1; Var 2]; Var 3])
  (Op (Plain Select) [Var 0; Op (Plain Equal) [Var 1; Var 3]; Op (Plain Equal) [Var 2; Var 3]])
  [].

Definition law_select_log := Law "select-log"
  (Op (Plain Log) [Op (Plain Select) [Var 0; Var 1; Var 2]])
  (Op (Plain Select) [Var 0; Op (Plain Log) [Var 1]; Op (Plain Log) [Var 2]])
  [].

Definition law_select_inverse := Law "select-inverse"
  (Op (Plain Inverse) [Op (Plain Select) [Var 0; Var 1; Var 2]])
  (Op (Plain Select) [Var 0; Op (Plain Inverse) [Var 1]; Op (Plain Inverse) [Var 2]])
  [].

Definition law_select_sqrt := Law "select-sqrt"
  (Op (Plain Sqrt) [Op (Plain Select) [Var 0; Var 1; Var 2]])
  (Op (Plain Select) [Var 0; Op (Plain Sqrt) [Var 1]; Op (Plain Sqrt) [Var 2]])
  [].

Definition law_select_less := Law "select-less"
  (Op (Plain Less) [Var 0; Op (Plain Select) [Var 1; Var 2; Var 3]])
  (Op (Plain Select) [Var 1; Op (Plain Less) [Var 0; Var 2]; Op (Plain Less) [Var 0; Var 3]])
  [].

Definition law_select_select := Law "select-select"
  (Op (Plain Select) [Op (Plain Select) [Var 0; Var 1; Var 2]; Var 3; Var 4])
  (Op (Plain Select) [Var 0; Op (Plain Select) [Var 1; Var 3; Var 4]; Op (Plain Select) [Var 2; Var 3; Var 4]])
  [].

Definition law_select_nested := Law "select-nested"
  (Op (Plain Select) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain Select) [Var 0; Var 2; Var 3]; Var 4])
  (Op (Plain Select) [Op (Plain Mul) [Var 0; Var 1]; Var 2; Var 4])
  [].

Definition law_select_within := Law "select-within"
  (Op (Plain Select) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain Add) [Op (Plain Mul) [Var 0; Var 2]; Var 3]; Var 4])
  (Op (Plain Select) [Op (Plain Mul) [Var 0; Var 1]; Op (Plain Add) [Var 2; Var 3]; Var 4])
  [Known boolean_fact 0]%nat.

Definition law_select_without := Law "select-without"
  (Op (Plain Select) [Op (Plain Mul) [Op (Plain Not) [Var 0]; Var 1]; Op (Plain Add) [Op (Plain Mul) [Var 0; Var 2]; Var 3]; Var 4])
  (Op (Plain Select) [Op (Plain Mul) [Op (Plain Not) [Var 0]; Var 1]; Var 3; Var 4])
  [Known real_fact 2]%nat.

Definition law_and_select := Law "and-select"
  (Op (Plain And) [Var 0; Var 1])
  (Op (Plain Select) [Var 0; Op (Plain Select) [Var 1; Op (Plain (Constant (1 # 1))) []; Op (Plain (Constant (0 # 1))) []]; Op (Plain (Constant (0 # 1))) []])
  [Known real_fact 1]%nat.

Definition law_or_select := Law "or-select"
  (Op (Plain Or) [Var 0; Var 1])
  (Op (Plain Select) [Var 0; Op (Plain (Constant (1 # 1))) []; Op (Plain Select) [Var 1; Op (Plain (Constant (1 # 1))) []; Op (Plain (Constant (0 # 1))) []]])
  [Known real_fact 1]%nat.

Definition law_not_select := Law "not-select"
  (Op (Plain Not) [Var 0])
  (Op (Plain Select) [Var 0; Op (Plain (Constant (0 # 1))) []; Op (Plain (Constant (1 # 1))) []])
  [].

Definition law_equal_zero := Law "equal-zero"
  (Op (Plain Equal) [Var 0; Op (Plain (Constant (0 # 1))) []])
  (Op (Plain Not) [Var 0])
  [Known no_infinity_fact 0]%nat.

Definition law_equal_one := Law "equal-one"
  (Op (Plain Equal) [Var 0; Op (Plain (Constant (1 # 1))) []])
  (Var 0)
  [Known boolean_fact 0]%nat.

Definition law_equal_infinities := Law "equal-infinities"
  (Op (Plain Equal) [Op (Plain NegativeInfinity) []; Op (Plain NegativeInfinity) []])
  (Op (Plain (Constant (1 # 1))) [])
  [].

Definition law_sum_add := Law "sum-add"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Add) [Var 0; Var 1]])
  (Op (Plain Add) [Op (AnyReduce (MonoidIs Sum) 0) [Var 0]; Op (AnyReduce (MonoidIs Sum) 0) [Var 1]])
  [].

Definition law_sum_mul := Law "sum-mul"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Mul) [Var 0; Op (AnyReduce (MonoidIs Sum) 0) [Var 1]])
  [Independent 0 0; Distributes 0 [1]; Nonempty 0]%nat.

Definition law_sum_constant := Law "sum-constant"
  (Op (AnyReduce (MonoidIs Sum) 0) [Var 0])
  (Op (Plain Mul) [Op (AnyIndex 0) []; Var 0])
  [Independent 0 0; Nonempty 0; IndexIs 0 (IExtent 0)]%nat.

Definition law_max_add := Law "max-add"
  (Op (AnyReduce (MonoidIs Max) 0) [Op (Plain Add) [Var 0; Var 1]])
  (Op (Plain Add) [Var 0; Op (AnyReduce (MonoidIs Max) 0) [Var 1]])
  [Independent 0 0; Nonempty 0]%nat.

Definition law_max_mul := Law "max-mul"
  (Op (AnyReduce (MonoidIs Max) 0) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Mul) [Var 0; Op (AnyReduce (MonoidIs Max) 0) [Var 1]])
  [Independent 0 0; Known positive_or_undefined_fact 0; Nonempty 0]%nat.

Definition law_max_constant := Law "max-constant"
  (Op (AnyReduce (MonoidIs Max) 0) [Var 0])
  (Var 0)
  [Independent 0 0; Nonempty 0]%nat.

Definition law_min_constant := Law "min-constant"
  (Op (AnyReduce (MonoidIs Min) 0) [Var 0])
  (Var 0)
  [Independent 0 0; Nonempty 0]%nat.

Definition law_min_opposite := Law "min-opposite"
  (Op (AnyReduce (MonoidIs Min) 0) [Var 0])
  (Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Op (AnyReduce (MonoidIs Max) 0) [Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 0]]])
  [Known no_infinity_fact 0]%nat.

Definition law_all_constant := Law "all-constant"
  (Op (AnyReduce (MonoidIs All) 0) [Var 0])
  (Var 0)
  [Independent 0 0; Known boolean_fact 0; Nonempty 0]%nat.

Definition law_any_constant := Law "any-constant"
  (Op (AnyReduce (MonoidIs Any) 0) [Var 0])
  (Var 0)
  [Independent 0 0; Known boolean_fact 0; Nonempty 0]%nat.

Definition law_any_all := Law "any-all"
  (Op (AnyReduce (MonoidIs Any) 0) [Var 0])
  (Op (Plain Not) [Op (AnyReduce (MonoidIs All) 0) [Op (Plain Not) [Var 0]]])
  [].

Definition law_equal_infinity_max := Law "equal-infinity-max"
  (Op (Plain Equal) [Op (AnyReduce (MonoidIs Max) 0) [Var 0]; Op (Plain NegativeInfinity) []])
  (Op (AnyReduce (MonoidIs All) 0) [Op (Plain Equal) [Var 0; Op (Plain NegativeInfinity) []]])
  [].

Definition law_all_witness := Law "all-witness"
  (Op (AnyReduce (MonoidIs All) 0) [Var 0])
  (Op (Plain (Constant (0 # 1))) [])
  [Known boolean_fact 0; Witness false 0 0 0]%nat.

Definition law_any_witness := Law "any-witness"
  (Op (AnyReduce (MonoidIs Any) 0) [Var 0])
  (Op (Plain (Constant (1 # 1))) [])
  [Known boolean_fact 0; Witness true 0 0 0]%nat.

Definition law_all_index := Law "all-index"
  (Op (AnyReduce (MonoidIs All) 0) [Var 0])
  (Op (Plain Select) [Op (Plain Mul) [Op (AnyPredicate 0) []; Op (AnyPredicate 1) []]; Op (Plain Mul) [Var 1; Op (AnyReduce (MonoidIs All) 0) [Var 0]]; Op (AnyReduce (MonoidIs All) 0) [Var 0]])
  [Known boolean_fact 0; Unsplit 0; IndexIs 1 (IMinus (IPlus (IExtent 0) (ILit (-1))) (IVar 0)); Substituted 0 1 0 0 (IVar 0)]%nat.

Definition law_sum_live := Law "sum-live"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Var 0; Var 1]])
  (Op (Plain Select) [Op (AnyReduce (MonoidIs Any) 0) [Var 0]; Op (Plain Maximum) [Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Var 0; Var 1]]; Op (AnyReduce (MonoidIs Min) 0) [Var 1]]; Op (Plain (Constant (0 # 1))) []])
  [Known boolean_fact 0; Known positive_fact 1]%nat.

Definition law_sum_one_hot := Law "sum-one-hot"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Equal) [Var 0; Op (AnyIndex 0) []]])
  (Op (AnyReduce (MonoidIs Any) 0) [Op (Plain Equal) [Var 0; Op (AnyIndex 0) []]])
  [Independent 0 0; IndexIs 0 (IAxis 0)]%nat.

Definition law_max_maximum := Law "max-maximum"
  (Op (AnyReduce (MonoidIs Max) 0) [Op (Plain Maximum) [Var 0; Var 1]])
  (Op (Plain Maximum) [Op (AnyReduce (MonoidIs Max) 0) [Var 0]; Op (AnyReduce (MonoidIs Max) 0) [Var 1]])
  [].

Definition law_reduce_swap := Law "reduce-swap"
  (Op (AnyReduce (MonoidVar 0) 0) [Op (AnyReduce (MonoidVar 0) 1) [Var 0]])
  (Op (AnyReduce (MonoidVar 0) 1) [Op (AnyReduce (MonoidVar 0) 0) [Var 0]])
  [Disjoint 0 1; Regroups 0]%nat.

Definition law_product_swap := Law "product-swap"
  (Op (AnyReduce (MonoidIs Product) 0) [Op (AnyReduce (MonoidIs Product) 1) [Var 0]])
  (Op (AnyReduce (MonoidIs Product) 1) [Op (AnyReduce (MonoidIs Product) 0) [Var 0]])
  [Disjoint 0 1; Known no_infinity_fact 0]%nat.

Definition law_reduce_rename := Law "reduce-rename"
  (Op (AnyReduce (MonoidVar 0) 0) [Var 0])
  (Op (AnyReduce (MonoidVar 0) 1) [Var 1])
  [SameAxis 0 1; Independent 1 0; Substituted 0 1 0 0 (IAxis 1)]%nat.

Definition law_sum_last := Law "sum-last"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Op (AnyPredicate 0) []; Var 0]])
  (Op (Plain Add) [Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Op (AnyPredicate 1) []; Var 0]]; Var 1])
  [SameAxis 0 1; Disjoint 0 1; Known real_fact 0; IndexIs 0 (IMinus (IAxis 1) (IAxis 0)); IndexIs 1 (IPlus (IMinus (IAxis 1) (IAxis 0)) (ILit (-1))); Substituted 0 1 0 0 (IAxis 1)]%nat.

Definition law_reduce_reverse := Law "reduce-reverse"
  (Op (AnyReduce (MonoidVar 0) 0) [Var 0])
  (Op (AnyReduce (MonoidVar 0) 0) [Var 1])
  [Unsplit 0; Regroups 0; Substituted 0 1 0 0 (IMinus (IMinus (IExtent 0) (ILit 1)) (IAxis 0))]%nat.

Definition law_reduce_unroll := Law "reduce-unroll"
  (Op (AnyReduce (MonoidVar 0) 0) [Var 0])
  (Var 1)
  [Unrolled 0 0 1 0]%nat.

Definition law_cases := Law "cases"
  (Var 0)
  (Op (Plain Select) [Op (AnyPredicate 0) []; Var 1; Var 2])
  [GivenThat 0 1 0 0 true; GivenThat 1 2 0 0 false]%nat.

Definition law_index_case := Law "index-case"
  (Var 0)
  (Op (Plain Select) [Op (Plain Mul) [Op (AnyPredicate 1) []; Op (AnyPredicate 2) []]; Var 1; Var 0])
  [Unsplit 0; IndexIs 1 (IMinus (IVar 0) (IAxis 0)); IndexIs 2 (IMinus (IAxis 0) (IVar 0)); Substituted 0 1 0 0 (IVar 0)]%nat.

Definition law_split := Law "split"
  (Op (AnyReduce (MonoidVar 0) 0) [Var 0])
  (Op (AnyReduce (MonoidVar 0) 1) [Op (AnyReduce (MonoidVar 0) 2) [Var 0]])
  [SplitInto false 0 1 2; Regroups 0]%nat.

Definition law_split_product := Law "split-product"
  (Op (AnyReduce (MonoidIs Product) 0) [Var 0])
  (Op (AnyReduce (MonoidIs Product) 1) [Op (AnyReduce (MonoidIs Product) 2) [Var 0]])
  [SplitInto false 0 1 2; Known no_infinity_fact 0]%nat.

Definition law_split_masked_sum := Law "split-masked-sum"
  (Op (AnyReduce (MonoidIs Sum) 0) [Var 0])
  (Op (AnyReduce (MonoidIs Sum) 1) [Op (AnyReduce (MonoidIs Sum) 2) [Op (Plain Select) [Op (AnyPredicate 0) []; Var 0; Op (Plain (Constant (0 # 1))) []]]])
  [SplitInto true 0 1 2; IndexIs 0 (IMinus (IMinus (IExtent 0) (ILit 1)) (IAxis 0))]%nat.

Definition law_split_masked_max := Law "split-masked-max"
  (Op (AnyReduce (MonoidIs Max) 0) [Var 0])
  (Op (AnyReduce (MonoidIs Max) 1) [Op (AnyReduce (MonoidIs Max) 2) [Op (Plain Select) [Op (AnyPredicate 0) []; Var 0; Op (Plain NegativeInfinity) []]]])
  [SplitInto true 0 1 2; IndexIs 0 (IMinus (IMinus (IExtent 0) (ILit 1)) (IAxis 0))]%nat.

Definition law_first := Law "first"
  (Op (Plain First) [Op (Plain Tuple) [Var 0; Var 1]])
  (Var 0)
  [].

Definition law_second := Law "second"
  (Op (Plain Second) [Op (Plain Tuple) [Var 0; Var 1]])
  (Var 1)
  [].

Definition law_reduce_both := Law "reduce-both"
  (Op (Plain Tuple) [Op (AnyReduce (MonoidVar 0) 0) [Var 0]; Op (AnyReduce (MonoidVar 1) 0) [Var 1]])
  (Op (AnyReduce (MonoidBoth (MonoidVar 0) (MonoidVar 1)) 0) [Op (Plain Tuple) [Var 0; Var 1]])
  [].

Definition law_rescale_sum := Law "rescale-sum"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Op (Plain Exp) [Var 0]; Var 1]])
  (Op (Plain Mul) [Op (Plain Exp) [Op (Plain First) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]]]; Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]]])
  [Known no_infinity_fact 1; IsNumber 0]%nat.

Definition law_rescale_sum_one := Law "rescale-sum-one"
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Exp) [Var 0]])
  (Op (Plain Mul) [Op (Plain Exp) [Op (Plain First) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Op (Plain (Constant (1 # 1))) []]]]]; Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Op (Plain (Constant (1 # 1))) []]]]])
  [IsNumber 0]%nat.

Definition law_rescale_quotient := Law "rescale-quotient"
  (Op (Plain Mul) [Op (Plain Mul) [Op (Plain Exp) [Op (Plain First) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]]]; Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]]]; Op (Plain Inverse) [Op (Plain Mul) [Op (Plain Exp) [Op (Plain First) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 2]]]]; Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 2]]]]]])
  (Op (Plain Mul) [Op (Plain First) [Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Op (Plain Tuple) [Var 1; Var 2]]]]]; Op (Plain Inverse) [Op (Plain Second) [Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Op (Plain Tuple) [Var 1; Var 2]]]]]]])
  [Known no_infinity_fact 1; Known positive_fact 2; IsNumber 0]%nat.

Definition law_exp_quotient := Law "exp-quotient"
  (Op (Plain Mul) [Op (Plain Exp) [Var 0]; Op (Plain Inverse) [Op (Plain Mul) [Op (Plain Exp) [Var 1]; Var 2]]])
  (Op (Plain Mul) [Op (Plain Exp) [Op (Plain Add) [Var 0; Op (Plain Mul) [Op (Plain (Constant (-1 # 1))) []; Var 1]]]; Op (Plain Inverse) [Var 2]])
  [].

Definition law_rescale_first := Law "rescale-first"
  (Op (Plain First) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]])
  (Op (AnyReduce (MonoidIs Max) 0) [Var 0])
  [IsNumber 0]%nat.

Definition law_rescale_second := Law "rescale-second"
  (Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]])
  (Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Mul) [Op (Plain Rescale) [Var 0; Op (AnyReduce (MonoidIs Max) 0) [Var 0]]; Var 1]])
  [Known no_infinity_fact 1; IsNumber 0]%nat.

Definition law_rescale_tuple := Law "rescale-tuple"
  (Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Op (Plain Tuple) [Var 1; Var 2]]]])
  (Op (Plain Tuple) [Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]]]; Op (Plain Second) [Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 2]]]])
  [Nonempty 0; IsNumber 0]%nat.

Definition law_split_masked_rescaled := Law "split-masked-rescaled"
  (Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Op (Plain Tuple) [Var 1; Var 2]]])
  (Op (AnyReduce (MonoidIs RescaledSum) 1) [Op (AnyReduce (MonoidIs RescaledSum) 2) [Op (Plain Tuple) [Op (Plain Select) [Op (AnyPredicate 0) []; Var 0; Op (Plain NegativeInfinity) []]; Op (Plain Tuple) [Var 1; Var 2]]]])
  [SplitInto true 0 1 2; Known real_fact 1; Known real_fact 2; Nonempty 0; IsNumber 0; IndexIs 0 (IMinus (IMinus (IExtent 0) (ILit 1)) (IAxis 0))]%nat.

Definition law_shift_cancel := Law "shift-cancel"
  (Op (Plain Mul) [Op (Plain Inverse) [Op (Plain Exp) [Op (AnyReduce (MonoidIs Max) 0) [Var 0]]]; Op (Plain Mul) [Op (Plain Inverse) [Op (Plain Inverse) [Op (Plain Exp) [Op (AnyReduce (MonoidIs Max) 0) [Var 0]]]]; Op (Plain Inverse) [Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Exp) [Var 0]]]]])
  (Op (Plain Inverse) [Op (AnyReduce (MonoidIs Sum) 0) [Op (Plain Exp) [Var 0]]])
  [].

Definition law_exp_masked := Law "exp-masked"
  (Op (Plain Mul) [Var 0; Op (Plain Exp) [Var 1]])
  (Op (Plain Exp) [Op (Plain Select) [Var 0; Var 1; Op (Plain NegativeInfinity) []]])
  [Known boolean_fact 0; Known defined_fact 1]%nat.

Definition law_split_masked_rescaled_one := Law "split-masked-rescaled-one"
  (Op (AnyReduce (MonoidIs RescaledSum) 0) [Op (Plain Tuple) [Var 0; Var 1]])
  (Op (AnyReduce (MonoidIs RescaledSum) 1) [Op (AnyReduce (MonoidIs RescaledSum) 2) [Op (Plain Tuple) [Op (Plain Select) [Op (AnyPredicate 0) []; Var 0; Op (Plain NegativeInfinity) []]; Var 1]]])
  [SplitInto true 0 1 2; Known real_fact 1; IsNumber 0; IndexIs 0 (IMinus (IMinus (IExtent 0) (ILit 1)) (IAxis 0))]%nat.

Definition table : list law := [
  law_add_comm;
  law_add_assoc;
  law_add_zero;
  law_add_constants;
  law_add_negative_infinity;
  law_mul_comm;
  law_mul_assoc;
  law_mul_one;
  law_mul_zero;
  law_mul_constants;
  law_mul_negative_infinity;
  law_boolean_idempotent;
  law_distribute;
  law_collect;
  law_inverse_mul;
  law_inverse_inverse;
  law_inverse_cancel;
  law_inverse_constant;
  law_inverse_clear;
  law_quotient_part;
  law_index_add;
  law_index_mul;
  law_index_constant;
  law_index_factor;
  law_index_sum;
  law_index_positive;
  law_exp_add;
  law_exp_negative;
  law_exp_zero;
  law_exp_negative_infinity;
  law_exp_log;
  law_log_exp;
  law_tanh_parts;
  law_erf_odd;
  law_sin_odd;
  law_cos_even;
  law_sin_square;
  law_log_mul;
  law_log_inverse;
  law_log_clear;
  law_log_one;
  law_sqrt_mul;
  law_sqrt_inverse;
  law_sqrt_square;
  law_sqrt_constant;
  law_sqrt_of_square;
  law_abs_nonnegative;
  law_abs_mul;
  law_abs_square;
  law_abs_constant;
  law_maximum_comm;
  law_maximum_assoc;
  law_maximum_idempotent;
  law_maximum_negative_infinity;
  law_maximum_constants;
  law_maximum_add;
  law_maximum_mul;
  law_minimum_maximum;
  law_maximum_abs;
  law_abs_parts;
  law_rescale_exp;
  law_predicate_not;
  law_predicate_true;
  law_predicate_false;
  law_predicate_implied;
  law_predicate_excluded;
  law_predicate_digits;
  law_not_boolean;
  law_not_not;
  law_not_false;
  law_not_true;
  law_boolean_contradiction;
  law_and_boolean;
  law_or_boolean;
  law_equal_negative_infinity;
  law_equal_infinity_add;
  law_equal_infinity_mul;
  law_less_infinity;
  law_less_self;
  law_equal_comm;
  law_equal_self;
  law_not_nonzero;
  law_less_difference;
  law_less_scale;
  law_less_opposite;
  law_less_positive;
  law_equal_difference;
  law_equal_scale;
  law_less_less;
  law_equal_less;
  law_equal_equal;
  law_equal_factor;
  law_equal_exp;
  law_less_exp;
  law_equal_one_exp;
  law_less_abs;
  law_abs_less;
  law_less_index;
  law_select_true;
  law_select_false;
  law_select_same;
  law_select_not;
  law_select_larger;
  law_select_smaller;
  law_select_boolean;
  law_select_or;
  law_exp_half_log;
  law_select_exp;
  law_select_add;
  law_select_mul;
  law_select_equal;
  law_select_log;
  law_select_inverse;
  law_select_sqrt;
  law_select_less;
  law_select_select;
  law_select_nested;
  law_select_within;
  law_select_without;
  law_and_select;
  law_or_select;
  law_not_select;
  law_equal_zero;
  law_equal_one;
  law_equal_infinities;
  law_sum_add;
  law_sum_mul;
  law_sum_constant;
  law_max_add;
  law_max_mul;
  law_max_constant;
  law_min_constant;
  law_min_opposite;
  law_all_constant;
  law_any_constant;
  law_any_all;
  law_equal_infinity_max;
  law_all_witness;
  law_any_witness;
  law_all_index;
  law_sum_live;
  law_sum_one_hot;
  law_max_maximum;
  law_reduce_swap;
  law_product_swap;
  law_reduce_rename;
  law_sum_last;
  law_reduce_reverse;
  law_reduce_unroll;
  law_cases;
  law_index_case;
  law_split;
  law_split_product;
  law_split_masked_sum;
  law_split_masked_max;
  law_first;
  law_second;
  law_reduce_both;
  law_rescale_sum;
  law_rescale_sum_one;
  law_rescale_quotient;
  law_exp_quotient;
  law_rescale_first;
  law_rescale_second;
  law_rescale_tuple;
  law_split_masked_rescaled;
  law_shift_cancel;
  law_exp_masked;
  law_split_masked_rescaled_one].
