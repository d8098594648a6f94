"""What torch's symbolic sizes stand for, and what a trace decided about them.

Tracing runs a program once, at some sizes, with a symbol for each dimension.  Two things must be
brought back.  Expressions over the symbols become sizes (polynomials) or scalars (arrays).  And
every *decision* that the trace took, a branch or a number made of a size, becomes a condition on
sizes unless the declared shapes imply it, because a trace shows one path of the program only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce as fold
from pathlib import Path
from types import FrameType
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ncd_formal.arrays import Array, number, pointwise
from ncd_formal.conditions import Context, implies
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, Quotient, divide, quotient, remainder, size, variable

_LARGEST_DENOMINATOR = 10_000

_TORCH = str(Path(torch.__file__).parent)
_PACKAGE = str(Path(__file__).parent.parent)


class UnknownSizeError(Exception):
    """An expression that is no size: of data, or of an operation without a polynomial form."""


def near_rational(value: float) -> Fraction | None:
    """The fraction of small terms that a float is the float64 nearest to, but is not itself."""
    if not math.isfinite(value):
        return None
    near = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    return near if near and float(near) == value and near != Fraction(value) else None


# Expressions -----------------------------------------------------------------------------------


@dataclass
class Symbols:
    """Reads torch's symbolic expressions."""

    context: Context
    sizes: dict[sympy.Symbol, Polynomial] = field(default_factory=dict)
    scalars: dict[sympy.Symbol, Array] = field(default_factory=dict)
    """Numbers that were read from tensors (``x.item()``)."""
    constants: dict[str, None] = field(default_factory=dict)
    """How floats were read that are not exactly what they stand for."""

    def size(self, value: object) -> Polynomial:
        """The polynomial of a number or a symbolic size.

        Errors: UnknownSizeError, saying what cannot be expressed.
        """
        if isinstance(value, torch.SymInt):
            return self._size(value.node.expr)
        if isinstance(value, sympy.Basic):
            return self._size(value)
        assert isinstance(value, int)
        return size(value)

    def _size(self, e: sympy.Basic) -> Polynomial:
        if isinstance(e, sympy.Integer | sympy.Float) and float(e).is_integer():
            return size(int(e))
        if isinstance(e, sympy.Symbol):
            if e not in self.sizes:
                raise UnknownSizeError("a size depends on the values of tensors")
            return self.sizes[e]
        name = type(e).__name__
        if isinstance(e, sympy.Pow):
            base, exponent = e.args
            if isinstance(exponent, sympy.Integer) and int(exponent) >= 0:
                return self._size(base) ** int(exponent)
        elif name == "Mul" and any(f.is_Rational and not f.is_Integer for f in e.args):
            numerator, denominator = map(self._size, sympy.fraction(e))
            exact = divide(numerator, denominator)
            if exact is not None:
                return exact
            raise UnknownSizeError(f"{self.show(e)} is no whole number at all sizes")
        operation = _SIZE_OPERATIONS.get(name)
        if operation is not None:
            return self.simplify(fold(operation, map(self._size, e.args)))
        if name in {"Min", "Max"}:
            return fold(lambda a, b: self._extreme(name, a, b), map(self._size, e.args))
        if name in {"Identity", "ToFloat"}:
            return self._size(e.args[0])
        if name in {"CeilToInt", "FloorToInt", "TruncToInt"}:
            return self._rounded(e.args[0], name)
        raise UnknownSizeError(f"{self.show(e)} is no polynomial")

    def simplify(self, p: Polynomial) -> Polynomial:
        """``p`` without quotients and remainders by a size that the context shows to be larger."""
        for atom in p.atoms:
            if isinstance(atom, str):
                continue
            whole = self._whole_part(atom.numerator, atom.denominator)
            if whole is not None and p.degree(atom) == 1:
                rest = atom.numerator - atom.denominator * whole
                factor, part = p.coefficient(atom), Polynomial({((atom, 1),): 1})
                value = size(whole) if isinstance(atom, Quotient) else rest
                return self.simplify(p - factor * part + factor * value)
        return p

    def _whole_part(self, numerator: Polynomial, denominator: Polynomial) -> int | None:
        """``numerator // denominator`` where it is 0 or −1."""
        known = self.context.nonnegative
        if known(numerator) and known(denominator - 1 - numerator):
            return 0
        return -1 if known(-numerator - 1) and known(numerator + denominator) else None

    def _rounded(self, e: sympy.Basic, how: str) -> Polynomial:
        if isinstance(e, sympy.Mul) and any(f.is_Float for f in e.args):
            # A float is a binary fraction; times a size it is exact.
            factor = Fraction(float(sympy.Mul(*(f for f in e.args if f.is_Float))))
            rest = sympy.Mul(*(f for f in e.args if not f.is_Float))
            numerator, denominator = (
                self._size(rest) * factor.numerator, size(factor.denominator)
            )  # fmt: skip
        elif type(e).__name__ in {"FloatTrueDiv", "IntTrueDiv"}:
            numerator, denominator = map(self._size, e.args)
        else:
            return self._size(e)
        if not self.context.nonnegative(denominator - 1):
            raise UnknownSizeError(f"the sign of {denominator} is not known")
        if how == "TruncToInt" and not self.context.nonnegative(numerator):
            raise UnknownSizeError(f"the sign of {numerator} is not known")
        numerator = numerator + denominator - 1 if how == "CeilToInt" else numerator
        return self.simplify(quotient(numerator, denominator))

    def _extreme(self, name: str, a: Polynomial, b: Polynomial) -> Polynomial:
        low, high = (a, b) if name == "Min" else (b, a)
        if self.context.nonnegative(high - low):
            return a
        if self.context.nonnegative(low - high):
            return b
        raise UnknownSizeError(
            f"{name.lower()}({a}, {b}) is not known without a condition on the two"
        )

    def scalar(self, value: object, origin: str) -> Array:
        """The array of a symbolic number; whole numbers are of kind integer.

        Errors: UnknownSizeError, saying what cannot be expressed.
        """
        if isinstance(value, torch.SymInt | torch.SymFloat):
            return self._scalar(value.node.expr, origin)
        if isinstance(value, torch.SymBool):
            raise UnknownSizeError(f"the truth value {value} is used as data")
        assert isinstance(value, bool | int | float)
        result = number(value if isinstance(value, float) else int(value), origin)
        if isinstance(value, float):
            return result
        return replace(result, kind="boolean" if isinstance(value, bool) else "integer")

    def _scalar(self, e: sympy.Basic, origin: str) -> Array:
        if isinstance(e, sympy.Symbol) and e in self.scalars:
            return self.scalars[e]
        if isinstance(e, sympy.Float | sympy.Rational) and not isinstance(e, sympy.Integer):
            if isinstance(e, sympy.Rational):
                return number(Fraction(int(e.p), int(e.q)), origin)
            value = float(e)
            near = near_rational(value)
            if near is not None:
                self.constants[f"constants are exact: {value!r} is {near}"] = None
            return number(value if near is None else near, origin)
        name = type(e).__name__
        if name in {"ToFloat", "Identity"}:
            return replace(self._scalar(e.args[0], origin), kind="real")
        function = _SCALAR_OPERATIONS.get(name)
        if function is None or self._whole(e):
            return replace(number(self._size(e), origin), kind="integer")
        operands = [self._scalar(a, origin) for a in e.args]
        if len(operands) == 1:
            return pointwise(function, *operands, origin=origin)
        return fold(lambda a, b: pointwise(function, a, b, origin=origin), operands)

    def _whole(self, e: sympy.Basic) -> bool:
        try:
            self._size(e)
        except UnknownSizeError:
            return False
        return type(e).__name__ not in {"IntTrueDiv", "FloatTrueDiv"}

    def show(self, e: sympy.Basic) -> str:
        """The expression in the declared names."""
        names = {
            s: sympy.Symbol(f"({p})" if len(p.terms) > 1 else str(p), integer=True)
            for s, p in self.sizes.items()
        }
        return str(e.xreplace(names))


_SIZE_OPERATIONS: Mapping[str, Callable[[Polynomial, Polynomial], Polynomial]] = {
    "Add": lambda a, b: a + b,
    "Mul": lambda a, b: a * b,
    "FloorDiv": quotient,
    "CleanDiv": quotient,
    "Mod": remainder,
    "PythonMod": remainder,
}
_SCALAR_OPERATIONS: Mapping[str, str] = {
    "Add": "add",
    "Mul": "multiply",
    "Pow": "power",
    "PowByNatural": "power",
    "FloatPow": "power",
    "IntTrueDiv": "divide",
    "FloatTrueDiv": "divide",
    "Max": "maximum",
    "Min": "minimum",
    "Abs": "abs",
    **{
        f"OpaqueUnaryFn_{name}": name
        for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan")
    },
}


# Decisions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decision:
    """``expression`` was taken to be ``value`` at a line of the program."""

    expression: sympy.Basic
    value: bool | int | float
    line: str
    operator: str = ""
    """The operator with a definition that took it: of no account while the definition is used."""


# Functions of torch that look only at how tensors lie in memory, or that choose between ways of
# computing the same view: what they decide does not change what a program computes.
_LAYOUT = frozenset(
    {
        "_reshape_view_helper_core_alg",
        "check_contiguous_sizes_strides",
        "compute_elementwise_output_logical_to_physical_perm",
        "compute_elementwise_output_strides",
        "is_channels_last_contiguous_2d",
        "is_channels_last_contiguous_3d",
        "is_contiguous",
        "is_contiguous_for_memory_format",
        "is_contiguous_or_false",
        "is_non_overlapping_and_dense",
        "is_non_overlapping_and_dense_or_false",
        "make_contiguous_strides_for",
        "maybe_get_pointwise_output_strides",
        "should_fold",
        "suggest_memory_format",
    }
)
_SYMBOLIC_TYPES = f"{_TORCH}/__init__.py"
# Files between a decision and the code that asked for it.
_MACHINERY = (
    _SYMBOLIC_TYPES,
    f"{_TORCH}/_compile.py",
    f"{_TORCH}/_dynamo/",
    f"{_TORCH}/fx/",
    f"{_TORCH}/overrides.py",
    f"{_TORCH}/utils/",
    _PACKAGE,
)
_OPERATORS = f"{_TORCH}/_ops.py"
# Every call of a function of torch goes through it on its way.
_REPLACEMENTS = f"{_PACKAGE}/frontends/taken_apart.py"
# Model code that happens to live inside torch: its branches are the program's own.
_MODELS = (f"{_TORCH}/nn/modules/", f"{_TORCH}/nn/functional.py")


def is_program_file(filename: str) -> bool:
    """Whether a line of the file may be shown as a place in the program."""
    return not filename.startswith((_TORCH, _PACKAGE, "<")) and "importlib" not in filename


def at_line(filename: str, line: int) -> str:
    """``file.py:12``."""
    return f"{Path(filename).name}:{line}"


def operator_name(overload: torch._ops.OpOverload) -> str:
    """``aten.softmax.int``, and ``aten.exp.default`` where the overload has no name."""
    name = str(overload.name())
    return name.replace("::", ".") + ("" if "." in name else ".default")


class Recorder:
    """Collects the decisions of a trace, the symbols that it is about, and what to say of it."""

    def __init__(self, defined: Container[str]) -> None:
        """``defined`` holds the operators that are imported by their definitions."""
        self._defined = defined
        self.decisions: list[Decision] = []
        self.shapes: ShapeEnv | None = None
        self.notes: dict[str, None] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Observe every evaluation of a symbolic expression inside the block."""
        evaluate: Callable[..., Any] = ShapeEnv.evaluate_expr

        def observed(shapes: ShapeEnv, expression: sympy.Basic, *args: Any, **kwargs: Any) -> Any:
            known = len(shapes.guards)
            value = evaluate(shapes, expression, *args, **kwargs)
            self.shapes = shapes
            self._observe(expression, value, len(shapes.guards) > known)
            return value

        ShapeEnv.evaluate_expr = observed  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            ShapeEnv.evaluate_expr = evaluate  # type: ignore[method-assign]

    def _observe(self, expression: sympy.Basic, value: Any, guarded: bool) -> None:
        """Keep what the program itself asks, and what torch guards on inside an unknown operator.

        The definition of an operator holds at every size, whichever way torch computes it, and so
        does that of a pointwise one, whose operands are broadcast; but what decides how another
        operator is decomposed does count, except for the layout of memory, and so does every size
        that becomes a number.  torch takes every size to be at least 2, and
        does not guard on what follows from that: harmless inside torch, but a branch of the program
        on ``n == 1`` is not.
        """
        frame: FrameType | None = sys._getframe(2)
        asked_by = line = inside = ""
        by_python = by_program = False
        while frame is not None:
            code = frame.f_code
            filename = code.co_filename
            if code.co_name in _LAYOUT:
                return
            if filename == _REPLACEMENTS:
                if frame.f_locals.get("func") is torch.Tensor.contiguous:
                    return
                frame = frame.f_back
                continue
            if filename.startswith(_PACKAGE):
                break
            if not asked_by and not filename.startswith(_MACHINERY):
                asked_by = filename
                by_program = by_python and (
                    is_program_file(filename) or filename.startswith(_MODELS)
                )
                # Generated code asks again what was decided before.
                if not by_program and (not guarded or filename.startswith("<")):
                    return
            # Python asks a symbolic size for its truth or value there; torch's C++ does not.
            by_python = by_python or (not asked_by and filename == _SYMBOLIC_TYPES)
            if filename == _OPERATORS:
                overload = frame.f_locals.get("self")
                if isinstance(overload, torch._ops.OpOverload):
                    # In the graph stands the operator that does not change its operands.
                    name = operator_name(overload).replace("_.", ".")
                    at_one_index = torch.Tag.pointwise in overload.tags
                    inside = name if name in self._defined or at_one_index else inside
            if is_program_file(filename):
                line = at_line(filename, frame.f_lineno)
                break
            frame = frame.f_back
        own = by_program and bool(line)
        if own or guarded:
            truth = value in {sympy.true, sympy.false}
            operator = inside if truth and not own else ""
            whole = bool(value) if truth else value
            self.decisions.append(Decision(expression, whole, line, operator))


class Conditions:
    """What is required of sizes beyond the context, each said once."""

    def __init__(self, context: Context) -> None:
        self.symbols = Symbols(context)
        self._given = context
        self._required: dict[str, Polynomial | None] = {}

    @property
    def context(self) -> Context:
        """What holds, the conditions included."""
        return self.symbols.context

    @property
    def texts(self) -> tuple[str, ...]:
        """The conditions, without those that another one implies: ``"sizes: n >= 2"``."""

        def implied(p: Polynomial | None) -> bool:
            if p is None:
                return False
            slack = [p - q for q in self._required.values() if q is not None and p is not q]
            # Of quotients the context shows little by itself.
            divides = any(not isinstance(atom, str) for atom in p.atoms)
            return any((s.constant or 0) > 0 for s in slack) or (
                divides and implies(self._given, show_inequality(p), p.variables)
            )

        return tuple(f"sizes: {t}" for t, p in self._required.items() if not implied(p))

    def require(self, p: Polynomial) -> None:
        """Add the condition ``p >= 0`` unless it is known to hold.

        Errors: InputError where it holds of no sizes.
        """
        if self.context.nonnegative(p):
            return
        text = show_inequality(p)
        if p.constant is not None:
            raise InputError(f"it has a meaning only where {text}, which is never")
        if not self._implied(text, p.variables):
            self._required[text] = p
            self.symbols.context = _with_fact(self.context, p)

    def require_text(self, text: str, variables: frozenset[str]) -> None:
        """Add a comparison of another form unless the context implies it."""
        if not self._implied(text, variables):
            self._required[text] = None

    def _implied(self, text: str, variables: frozenset[str]) -> bool:
        return bool(self.context.assumptions) and implies(self.context, text, variables)

    # Decisions

    def settle(self, decision: Decision) -> None:
        """Require what a decision took for granted.

        Errors: InputError where it fixes a size to a number, or needs two sizes to be equal.
        """
        e, value = decision.expression, decision.value
        if not isinstance(value, bool):
            e, value = sympy.Eq(e, value, evaluate=False), True
        self._settle(e, value, decision.line)

    def _settle(self, e: sympy.Basic, truth: bool, line: str) -> None:
        if e in {sympy.true, sympy.false} or self._shown(e, truth):
            return
        name = type(e).__name__
        if name == "Not":
            self._settle(e.args[0], not truth, line)
        elif (name, truth) in {("And", True), ("Or", False)}:
            for part in e.args:
                self._settle(part, truth, line)
        elif name in _RELATIONS:
            self._require_relation(e, _RELATIONS[name][0 if truth else 1], line)
        else:
            self._required[f"{'' if truth else 'not '}{self.symbols.show(e)}"] = None

    def _shown(self, e: sympy.Basic, truth: bool) -> bool:
        name = type(e).__name__
        if name == "Not":
            return self._shown(e.args[0], not truth)
        if name in {"And", "Or"}:
            quantify = all if (name == "And") is truth else any
            return quantify(self._shown(part, truth) for part in e.args)
        if name not in _RELATIONS:
            return False
        relation = _RELATIONS[name][0 if truth else 1]
        try:
            left, right = map(self.symbols.size, e.args)
        except UnknownSizeError:
            return False
        nonnegative, d = self.context.nonnegative, left - right
        return {
            "==": lambda: nonnegative(d) and nonnegative(-d),
            "!=": lambda: nonnegative(d - 1) or nonnegative(-d - 1),
            ">=": lambda: nonnegative(d),
            "<=": lambda: nonnegative(-d),
            ">": lambda: nonnegative(d - 1),
            "<": lambda: nonnegative(-d - 1),
        }[relation]()

    def _require_relation(self, e: sympy.Basic, relation: str, line: str) -> None:
        at = f" at {line}" if line else ""
        try:
            left, right = map(self.symbols.size, e.args)
        except UnknownSizeError:
            shown, other = map(self.symbols.show, e.args)
            if relation == "==":
                raise InputError(f"the program fixes {shown} to {other}{at}") from None
            self._required[f"{shown} {relation} {other}"] = None
            return
        d = left - right
        forms = {">=": d, "<=": -d, ">": d - 1, "<": -d - 1}
        if relation == "!=" and self.context.nonnegative(d):
            relation = ">"
        elif relation == "!=" and self.context.nonnegative(-d):
            relation = "<"
        if relation in forms:
            self.require(forms[relation])
            return
        text = f"{left} {relation} {right}"
        divides = any(not isinstance(atom, str) for atom in d.atoms)
        if relation == "==" and not (divides and 0 in {left.constant, right.constant}):
            if left.constant is not None:
                left, right = right, left
            if right.constant is not None:
                raise InputError(f"the program fixes size {left} to {right}{at}")
            raise InputError(
                f"the program needs {text}{at}: declare both sizes by the same expression"
            )
        self.require_text(text, d.variables)


_RELATIONS: Mapping[str, tuple[str, str]] = {
    "Equality": ("==", "!="),
    "Unequality": ("!=", "=="),
    "GreaterThan": (">=", "<"),
    "LessThan": ("<=", ">"),
    "StrictGreaterThan": (">", "<="),
    "StrictLessThan": ("<", ">="),
}


def show_inequality(p: Polynomial) -> str:
    """``p >= 0`` with its negative terms moved to the right: ``"n >= k + 1"``."""
    positive = Polynomial({m: c for m, c in p.terms if c > 0 and m})
    negative = Polynomial({m: -c for m, c in p.terms if c < 0 and m})
    constant = dict(p.terms).get((), 0)
    if not positive.terms:
        return f"{negative} <= {constant}"
    return f"{positive} >= {negative - constant}"


def _with_fact(context: Context, p: Polynomial) -> Context:
    names = sorted(p.variables)
    if len(names) == 1:
        least = (variable(names[0]) - p).constant
        if least is not None and least >= context.least(names[0]):
            return replace(context, lower={**context.lower, names[0]: least})
    return replace(context, assumptions=(*context.assumptions, p))
