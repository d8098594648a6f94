"""Mutants of programs: each differs from its program by one small change to its graph.

The changes are those that people make by mistake: a wrong axis, a swapped operand, a mask that is
off by one, a residual that is forgotten.  They are made on the graph that ``torch.export`` gives,
and know nothing of the program.  A mutant may be equal to its program after all (a softmax does not
see a shift), so each is judged twice: by ``prove``, and by running both in float64 at random sizes
and inputs, which shares nothing with ``prove`` but PyTorch.
"""

from __future__ import annotations

import copy
import inspect
import math
import operator
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from ncd_formal.conditions import Context, parse_comparison
from ncd_formal.equivalence import prove
from ncd_formal.errors import InputError
from ncd_formal.frontends import torch_export
from ncd_formal.frontends.float64 import in_float64
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import Declaration
from tests.programs import Pair, make_inputs, outputs, sizes_of
from tests.programs import Program as Target
from tests.scripts import run_here

aten = torch.ops.aten

Change = Callable[[fx.Graph, fx.Node], None]
"""Changes a graph at one of its nodes."""


@dataclass(frozen=True)
class Site:
    """A place where a graph can be changed, and how."""

    kind: str
    node: str
    detail: str
    change: Change


# Changes ---------------------------------------------------------------------------------------

_WITH_AXIS = {
    "softmax.int", "log_softmax.int", "cumsum.default", "flip.default", "roll.default",
    "sum.dim_IntList", "mean.dim", "amax.default", "amin.default", "logsumexp.default",
    "var.correction", "argmax.default", "cat.default", "cumprod.default", "any.dim", "all.dim",
    "linalg_vector_norm.default", "std.correction", "prod.dim_int", "max.dim", "min.dim",
    "_softmax.default", "_log_softmax.default",
}  # fmt: skip
"""Operators with an axis or a list of axes as their second argument."""

_EXCHANGED = (
    ("add.Tensor", "mul.Tensor"),
    ("add.Tensor", "sub.Tensor"),
    ("mul.Tensor", "div.Tensor"),
    ("maximum.default", "minimum.default"),
    ("amax.default", "amin.default"),
    ("amax.default", "sum.dim_IntList"),
    ("sum.dim_IntList", "mean.dim"),
    ("triu.default", "tril.default"),
    ("exp.default", "expm1.default"),
    ("relu.default", "gelu.default"),
    ("sigmoid.default", "tanh.default"),
    ("silu.default", "sigmoid.default"),
    ("sin.default", "cos.default"),
    ("sqrt.default", "rsqrt.default"),
    ("softmax.int", "log_softmax.int"),
    ("bitwise_and.Tensor", "bitwise_or.Tensor"),
    ("logical_and.default", "logical_or.default"),
    ("any.dim", "all.dim"),
)  # fmt: skip
"""Operators that stand for each other."""

_OFF_BY_ONE = (
    ("lt", "le"),
    ("gt", "ge"),
    ("eq", "ne"),
    ("lt", "gt"),
    ("le", "ge"),
)
"""Comparisons that stand for each other, with the overloads ``Tensor`` and ``Scalar``."""

_ORDERED = {
    "sub.Tensor", "div.Tensor", "matmul.default", "bmm.default", "mm.default",
    "lt.Tensor", "le.Tensor", "gt.Tensor", "ge.Tensor", "pow.Tensor_Tensor",
}  # fmt: skip
"""Operators whose first two operands do not commute."""

_BINARY = {"add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "maximum.default"}
_VIEWS_OF_AXES = {"transpose.int", "permute.default", "t.default", "mT.default", "numpy_T.default"}
_SCALED = {"mul.Tensor", "div.Tensor", "mul.Scalar", "div.Scalar"}
_SHIFTED = {
    "add.Tensor", "sub.Tensor", "rsub.Scalar", "pow.Tensor_Scalar", "add.Scalar", "sub.Scalar",
    "clamp.default", "clamp_min.default", "masked_fill.Scalar", "full.default",
}  # fmt: skip
"""Operators with numbers among their operands."""


def _name(node: fx.Node) -> str:
    if node.op != "call_function":
        return ""
    return str(node.target).removeprefix("aten.")


def _shape(node: object) -> tuple[str, ...] | None:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return tuple(map(str, value.shape)) if isinstance(value, Tensor) else None


def _rank(node: object) -> int:
    return len(_shape(node) or ())


def _is_real(node: object) -> bool:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return isinstance(value, Tensor) and value.is_floating_point()


def _argument(position: int, value: Any) -> Change:
    """Puts another value in one place of a node."""

    def change(graph: fx.Graph, node: fx.Node) -> None:
        node.update_arg(position, value)

    return change


def _target(packet: str, overload: str) -> Change:
    def change(graph: fx.Graph, node: fx.Node) -> None:
        node.target = getattr(getattr(aten, packet), overload)

    return change


def _instead(value: fx.Node) -> Change:
    """What a node gave is read from another."""

    def change(graph: fx.Graph, node: fx.Node) -> None:
        node.replace_all_uses_with(value)

    return change


def _after(packet: str, *arguments: Any) -> Change:
    """One more operator on what a node gives."""

    def change(graph: fx.Graph, node: fx.Node) -> None:
        users = list(node.users)
        overload = getattr(aten, packet)
        with graph.inserting_after(node):
            new = graph.call_function(overload, (node, *arguments))
        for user in users:
            user.replace_input_with(node, new)

    return change


def sites(graph: fx.Graph) -> Iterator[Site]:
    """Every place where a graph can be changed, and how."""
    seen: list[fx.Node] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            seen.append(node)
            continue
        if node.op != "call_function":
            continue
        name = _name(node)
        for kind, detail, change in (
            *_numbers(node, name),
            *_axes(node, name),
            *_operators(node, name),
            *_operands(node, name, seen),
            *_additions(node),
        ):
            yield Site(kind, node.name, f"{name}: {detail}", change)
        seen.append(node)


_Changes = Iterator[tuple[str, str, Change]]


def _numbers(node: fx.Node, name: str) -> _Changes:
    """Scales, constants, small constants, and the offsets of slices and diagonals."""
    for position, value in enumerate(node.args):
        if isinstance(value, bool) or not isinstance(value, int | float | fx.Node):
            continue
        if isinstance(value, fx.Node):
            # A size, or what is computed from sizes: a scale such as the root of a width.
            number = not isinstance(value.meta.get("val"), Tensor | type(None))
            if number and name in _SCALED:
                yield "scale", f"{value} dropped", _argument(position, 1.0)
            continue
        if name in _SCALED:
            yield "scale", f"{value} → {2 * value}", _argument(position, 2 * value)
            yield "sign", f"{value} → {-value}", _argument(position, -value)
        if name in _SHIFTED and math.isfinite(value) and value + 1 != value:
            yield "constant", f"{value} → {value + 1}", _argument(position, value + 1)
            yield "constant", f"{value} → {value - 1}", _argument(position, value - 1)
        if isinstance(value, float) and 0 < abs(value) < 0.01:
            yield "eps", f"{value} → {100 * value}", _argument(position, 100 * value)
    if name in {"triu.default", "tril.default"}:
        given = node.args[1] if len(node.args) > 1 else 0
        if isinstance(given, int):
            for shift in (1, -1):
                yield "mask", f"diagonal {given} → {given + shift}", _argument_or_add(given + shift)
    if name == "slice.Tensor" and len(node.args) >= 4:
        start, end = node.args[2:4]
        if isinstance(start, int) and isinstance(end, int) and end < 2**60:
            if start > 0:
                yield "slice", "one earlier", _shifted_slice(start - 1, end - 1)
            yield "slice", "one later", _shifted_slice(start + 1, end + 1)
    if name == "select.int" and isinstance(node.args[2], int):
        yield "slice", "the next one", _argument(2, node.args[2] + 1)
    if name == "arange.start_step" and isinstance(node.args[0], int):
        start, end = node.args[0], node.args[1]
        if isinstance(end, int):
            yield "constant", "one later", _shifted_range(start + 1, end + 1)


def _argument_or_add(value: int) -> Change:
    def change(graph: fx.Graph, node: fx.Node) -> None:
        node.args = (node.args[0], value)

    return change


def _shifted_slice(start: int, end: int) -> Change:
    def change(graph: fx.Graph, node: fx.Node) -> None:
        node.args = (*node.args[:2], start, end, *node.args[4:])

    return change


def _shifted_range(start: int, end: int) -> Change:
    def change(graph: fx.Graph, node: fx.Node) -> None:
        node.args = (start, end, *node.args[2:])

    return change


def _axes(node: fx.Node, name: str) -> _Changes:
    """Another axis for what works along one, and views of axes left out or changed."""
    source = node.args[0] if node.args else None
    if isinstance(source, list | tuple):
        source = source[0] if source else None
    rank = _rank(source)
    if name in _WITH_AXIS and len(node.args) > 1 and rank > 1:
        axes = node.args[1]
        if isinstance(axes, int):
            for other in range(rank):
                if other != axes % rank:
                    yield "axis", f"{axes} → {other}", _argument(1, other)
        elif isinstance(axes, list | tuple) and len(axes) == 1 and isinstance(axes[0], int):
            for other in range(rank):
                if other != axes[0] % rank:
                    yield "axis", f"{axes[0]} → {other}", _argument(1, [other])
    if name in _VIEWS_OF_AXES and isinstance(source, fx.Node):
        yield "transposition", "dropped", _instead(source)
    if name == "transpose.int" and rank > 2:
        a, b = (k % rank for k in node.args[1:3] if isinstance(k, int))
        for other in range(rank):
            if other not in {a, b}:
                yield "transposition", f"({a}, {b}) → ({a}, {other})", _argument(2, other)
    if name == "permute.default" and rank > 2:
        order = list(node.args[1])  # type: ignore[arg-type]
        order[0], order[1] = order[1], order[0]
        yield "transposition", f"{node.args[1]} → {order}", _argument(1, order)
    if name == "unsqueeze.default" and rank > 1 and isinstance(node.args[1], int):
        axis = node.args[1] % (rank + 1)
        yield "axis", f"{axis} → {(axis + 1) % (rank + 1)}", _argument(1, (axis + 1) % (rank + 1))


def _operators(node: fx.Node, name: str) -> _Changes:
    """One operator in the place of another."""
    pairs = [(a, b) for a, b in _EXCHANGED]
    for a, b in _OFF_BY_ONE:
        pairs += [(f"{a}.{o}", f"{b}.{o}") for o in ("Tensor", "Scalar")]
    for a, b in pairs:
        if name in {a, b}:
            other = b if name == a else a
            packet, overload = other.split(".")
            comparison = packet in {"lt", "le", "gt", "ge", "eq", "ne", "triu", "tril"}
            yield "mask" if comparison else "operator", f"→ {other}", _target(packet, overload)


def _operands(node: fx.Node, name: str, seen: Sequence[fx.Node]) -> _Changes:
    """Operands swapped, left out, or taken from elsewhere; operators left out."""
    tensors = [a for a in node.args if _shape(a) is not None]
    if name in _ORDERED and len(tensors) >= 2:
        yield "operands", "swapped", _swapped(0, 1)
    if name == "where.self" and len(node.args) == 3:
        yield "operands", "branches swapped", _swapped(1, 2)
    if name == "cat.default" and isinstance(node.args[0], list | tuple):
        parts = list(node.args[0])
        yield "operands", "parts in another order", _argument(0, [*parts[1:], parts[0]])
    if name in _BINARY and len(tensors) == 2:
        for kept in tensors:
            assert isinstance(kept, fx.Node)
            if _shape(kept) == _shape(node):
                kind = "residual" if name == "add.Tensor" else "dropped"
                yield kind, f"only {kept} is left", _instead(kept)
    elif tensors and isinstance(tensors[0], fx.Node) and _shape(tensors[0]) == _shape(node):
        same = _is_real(tensors[0]) == _is_real(node)
        if same and name not in _VIEWS_OF_AXES and "assert" not in name:
            yield "dropped", "left out", _instead(tensors[0])
    for position, value in enumerate(node.args):
        if not isinstance(value, fx.Node) or _shape(value) is None:
            continue
        others = [
            other
            for other in seen
            if other is not value
            and _shape(other) == _shape(value)
            and other.meta["val"].dtype == value.meta["val"].dtype
        ]
        for other in others[-3:]:
            yield "wire", f"{value} → {other}", _argument(position, other)


def _swapped(a: int, b: int) -> Change:
    def change(graph: fx.Graph, node: fx.Node) -> None:
        arguments = list(node.args)
        arguments[a], arguments[b] = arguments[b], arguments[a]
        node.args = tuple(arguments)

    return change


def _additions(node: fx.Node) -> _Changes:
    """One more operator: a sign, a flip, a shift, a transposition, a reduced precision of none."""
    if not _is_real(node):
        return
    yield "sign", "negated", _after("neg")
    yield "added", "its absolute value", _after("abs")
    for axis, extent in enumerate(_shape(node) or ()):
        if extent != "1":
            yield "order", f"axis {axis} reversed", _after("flip", [axis])
            yield "order", f"axis {axis} rolled", _after("roll", [1], [axis])
    if _rank(node) >= 2 and (shape := _shape(node)) is not None:
        if shape[-1] == shape[-2]:
            yield "transposition", "added", _after("transpose", -1, -2)
        if _rank(node) >= 3 and shape[-2] == shape[-3]:
            yield "transposition", "added", _after("transpose", -2, -3)


# Programs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Held:
    """Holds a graph without making it a part of a module."""

    graph: fx.GraphModule


class Graph(nn.Module):
    """A program by its exported graph, with the parameters of the original by their names."""

    def __init__(self, name: str, exported: ExportedProgram, graph: fx.GraphModule) -> None:
        super().__init__()
        self.__name__ = name
        self._held = _Held(graph)
        self._names: list[tuple[InputKind, str]] = []
        self._constants: dict[str, Tensor] = {}
        for spec in exported.graph_signature.input_specs:
            target = (spec.target or "").removeprefix("program.")
            self._names.append((spec.kind, target))
            if spec.kind is InputKind.CONSTANT_TENSOR:
                value = exported.constants[spec.target or ""]
                assert isinstance(value, Tensor)
                self._constants[target] = value
            elif spec.kind is not InputKind.USER_INPUT:
                store: Mapping[str, Any] = exported.state_dict | exported.constants
                self._hold(target, store[spec.target or ""], spec.kind is InputKind.PARAMETER)

    def _hold(self, name: str, value: Tensor, trained: bool) -> None:
        *path, last = name.split(".")
        place: nn.Module = self
        for part in path:
            if not hasattr(place, part):
                place.add_module(part, nn.Module())
            place = getattr(place, part)
        if trained:
            place.register_parameter(last, nn.Parameter(value.detach(), requires_grad=False))
        else:
            place.register_buffer(last, value)

    def forward(self, *tensors: Tensor) -> Any:
        given = iter(tensors)
        arguments = [
            next(given)
            if kind is InputKind.USER_INPUT
            else self._constants[name]
            if kind is InputKind.CONSTANT_TENSOR
            else operator.attrgetter(name)(self)
            for kind, name in self._names
        ]
        result = self._held.graph(*arguments)
        return result[0] if len(result) == 1 else tuple(result)


def _signed(program: Graph, names: Sequence[str]) -> Graph:
    """The program with the names of its inputs in its signature."""

    def forward(*tensors: Tensor) -> Any:
        return Graph.forward(program, *tensors)

    parameter = inspect.Parameter
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter(name, parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    program.forward = forward  # type: ignore[method-assign]
    return program


class Original:
    """A program that is imported once, however often it is compared."""

    def __init__(self, target: Target, inputs: Mapping[str, str], assume: Sequence[str]) -> None:
        self.target = target
        self.shapes, self.names = _own_inputs(target, inputs)
        declared = torch_export.declarations(target, self.shapes)
        context = _context(inputs, assume)
        caller = torch_export._Caller(target, declared)
        self.exported, recorder = torch_export._export(caller, context)
        self.program = torch_export._Importer(caller, self.exported, recorder, context).program()

    def to_program(self, inputs: Mapping[str, Declaration], context: Context) -> Program:
        return self.program

    def sites(self) -> list[Site]:
        return list(sites(self.exported.graph))

    def mutant(self, number: int) -> Graph:
        """The program with one change: that of the site with this number."""
        graph = copy.deepcopy(self.exported.graph)
        site = list(sites(graph))[number]
        site.change(graph, next(node for node in graph.nodes if node.name == site.node))
        graph.eliminate_dead_code()
        graph.lint()
        return self._program("mutant", graph)

    def unchanged(self) -> Graph:
        """The program by its graph."""
        return self._program("unchanged", copy.deepcopy(self.exported.graph))

    def _program(self, name: str, graph: fx.Graph) -> Graph:
        # The trace wrote down the dtype of its examples where the program says only x.dtype.
        for node in graph.nodes:
            node.args = pytree.tree_map(_in_double, node.args)
            node.kwargs = pytree.tree_map(_in_double, node.kwargs)
        module = fx.GraphModule(self.exported.graph_module, graph)
        return _signed(Graph(name, self.exported, module), list(self.program.inputs))


def _in_double(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def _own_inputs(target: Target, inputs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The shapes by the names that a program uses, and its names → those of the pair."""
    function = target.forward if isinstance(target, nn.Module) else target
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return dict(inputs), {name: name for name in inputs}
    names = [p.name for p in parameters if p.default is p.empty]
    if set(inputs) <= {p.name for p in parameters}:
        return dict(inputs), {name: name for name in inputs}
    pairs = dict(zip(names, inputs, strict=True))
    return {own: inputs[ours] for own, ours in pairs.items()}, pairs


def _context(inputs: Mapping[str, str], assume: Sequence[str]) -> Context:
    from ncd_formal.conditions import assume as assume_sizes
    from ncd_formal.frontends.shapes import parse_shape, size_names
    from ncd_formal.task import _divide

    declared = {name: parse_shape(name, text) for name, text in inputs.items()}
    comparisons, _ = _divide(tuple(assume), declared)
    return assume_sizes(comparisons, size_names(declared.values()))


# Judging ---------------------------------------------------------------------------------------

Outcome = Literal["refuted", "proved", "undecided", "refused", "wrong"]

CHECKS = 12
"""The random sizes and inputs at which a mutant is run beside its program."""

DIFFERS = 1e-6


@dataclass(frozen=True)
class Judgement:
    """What ``prove`` says of one mutant, and what running it says."""

    pair: str
    side: str
    kind: str
    node: str
    detail: str
    outcome: Outcome
    differs: bool | None
    """Whether running both shows a difference; None where neither could be run."""
    reproduced: bool
    """Whether the script of the counterexample shows the difference."""
    reason: str
    seconds: float


def judge(pair: Pair, side: str, original: Original, number: int, timeout: float) -> Judgement:
    """Compare a mutant with its program, by ``prove`` and by running both.

    A mutant that cannot be imported, or gives other shapes, is no program to be judged: refused.
    """
    site = original.sites()[number]
    start = time.perf_counter()
    outcome, differs, reproduced, reason = _judged(pair, original, number, timeout)
    return Judgement(
        pair.name,
        side,
        site.kind,
        site.node,
        site.detail,
        outcome,
        differs,
        reproduced,
        reason,
        round(time.perf_counter() - start, 3),
    )


def _judged(
    pair: Pair, original: Original, number: int, timeout: float
) -> tuple[Outcome, bool | None, bool, str]:
    try:
        mutant = original.mutant(number)
        # What is found to hold under conditions on inputs alone would have to be run under them.
        verdict = prove(
            original,
            mutant,
            original.shapes,
            pair.assume,
            timeout=timeout,
            find_conditions=False,
        )
    except (InputError, RuntimeError) as error:
        return "refused", None, False, str(error)
    if verdict.counterexample is not None:
        code, printed = run_here(verdict.counterexample.script)
        return "refuted", True, code == 1, "" if code == 1 else printed
    differs = runs_differ(pair, original, mutant, verdict.conditions)
    if verdict.status == "proved":
        return ("wrong" if differs else "proved"), differs, False, ""
    return "undecided", differs, False, verdict.reason


def runs_differ(
    pair: Pair, original: Original, mutant: nn.Module, conditions: Sequence[str]
) -> bool | None:
    """Whether both, run in float64, differ at some random sizes and inputs within the conditions.

    None where they could not be run anywhere.
    """
    ran: bool | None = None
    target = copy.deepcopy(original.target)
    for seed in range(CHECKS):
        sizes = sizes_of(pair, seed, largest=3 + seed // 2)
        if not all(_holds(condition, sizes) for condition in conditions):
            continue
        made = make_inputs(pair, sizes, seed)
        by_name = {own: made[ours] for own, ours in original.names.items()}
        _fill(target, mutant, seed)
        try:
            with in_float64():
                left, right = outputs(target, made), outputs(mutant, by_name)
        except (RuntimeError, IndexError, AssertionError, ValueError):
            continue
        ran = ran or False
        if any(map(_differ, left, right)):
            return True
    return ran


def _fill(target: object, mutant: nn.Module, seed: int) -> None:
    """Gives both the same random parameters, in float64."""
    generator = torch.Generator().manual_seed(seed)
    mutant.double()
    if isinstance(target, nn.Module):
        target.double().eval()
        theirs = dict(mutant.named_parameters())
        for name, parameter in target.named_parameters():
            with torch.no_grad():
                parameter.normal_(generator=generator)
                if name in theirs:
                    theirs[name].copy_(parameter)


def _differ(a: Tensor, b: Tensor) -> bool:
    """Whether one of two is a number where the other is none, or both are and are not close."""
    a, b = a.double(), b.double()
    if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
        return True
    finite = a.isfinite()
    scale = 1 + (a[finite].abs().max().item() if finite.any() else 0.0)
    return bool(((a - b)[finite].abs() > DIFFERS * scale).any())


def _holds(condition: str, sizes: Mapping[str, int]) -> bool:
    """Whether a condition of a verdict holds, where it is about sizes."""
    if not condition.startswith("sizes: "):
        return True
    left, relation, right = parse_comparison(condition.removeprefix("sizes: "))
    compared = (left.evaluate(sizes), right.evaluate(sizes))
    holds: Callable[[int, int], bool] = {
        "==": operator.eq, "!=": operator.ne, ">=": operator.ge,
        "<=": operator.le, ">": operator.gt, "<": operator.lt,
    }[relation]  # fmt: skip
    return holds(*compared)


def judgements(
    pairs: Sequence[Pair], each: int, seed: int = 0, timeout: float = 5.0
) -> Iterator[Judgement]:
    """Judgements of ``each`` mutants of every pair, drawn from both of its sides.

    The kinds of change that were tried least so far come first; a mutant that is refused is not one
    of the ``each``.
    """
    generator = random.Random(seed)
    counts: dict[str, int] = {}
    for pair in pairs:
        sides = dict(zip(("left", "right"), pair.programs(), strict=True))
        names = list(sides)
        generator.shuffle(names)
        wanted = each
        for name, share in zip(names, (each - each // 2, each), strict=True):
            if wanted <= 0:
                break
            try:
                original = Original(sides[name], pair.inputs, pair.assume)
            except InputError:
                continue
            taken = 0
            for number in _drawn(original.sites(), counts, generator):
                if taken == min(share, wanted):
                    break
                found = judge(pair, name, original, number, timeout)
                yield found
                counts[found.kind] = counts.get(found.kind, 0) + 1
                taken += found.outcome != "refused"
            wanted -= taken


def _drawn(
    found: Sequence[Site], counts: Mapping[str, int], generator: random.Random
) -> Iterator[int]:
    """The numbers of sites, each time one of the kind that was judged least so far."""
    left = list(range(len(found)))
    generator.shuffle(left)
    while left:
        number = min(left, key=lambda k: counts.get(found[k].kind, 0))
        left.remove(number)
        yield number
