"""Corpora of ordinary PyTorch programs: pairs that are equal, and pairs that only look equal.

A :class:`Pair` is two programs, the shapes of their inputs, and the conditions under which they
are compared.  ``equal.py``, ``modules.py`` and ``fused_attention.py`` hold pairs that are the same
function for all sizes; ``wrong.py`` holds near misses.  Nothing here needs ``ncd_formal``:
``test_corpora.py`` checks every pair by running both programs in float64.

A shape is a string of dimensions separated by spaces.  A dimension is an integer, a name, a
product (``h*d``, ``4*d``) or a sum (``n+k``; spaces around ``*`` and ``+`` are allowed).  A datum
follows a colon: ``b 1 n m : bool``, ``b n : int``; without one the input is real.  The empty
string is a scalar tensor.

A condition in ``assume`` is a comparison of sizes (``n <= m``), a comparison of an integer input
with a size (``ids < v``), ``mask is 0 or 1``, or ``every row of mask has a True``.
"""

from __future__ import annotations

import copy
import inspect
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Program = Callable[..., Any]
"""A function of tensors, a module, or a factory without arguments that builds a module."""

Sides = tuple[Program, Program]

LARGEST_SIZE = 4
_ROWS = re.compile(r"every row of (\w+) has a True")
_ZERO_ONE = re.compile(r"(\w+) is 0 or 1")
_COMPARISON = re.compile(r"(.+?)\s*(<=|>=|==|!=|<|>)\s*(.+)")


@dataclass(frozen=True)
class Pair:
    """Two programs with the shapes of their common inputs, in the order of the arguments.

    ``parameters`` maps a parameter of one side to an expression over the other side's; parameters
    it leaves out are matched by name.  ``law`` says why the pair is equal, or what is wrong with
    it.  ``tight`` marks a wrong pair whose sides are close to each other on typical inputs.
    ``tolerance`` is what float64 evaluation may differ by; it is loose only where a program casts
    to less.
    """

    name: str
    left: Program
    right: Program
    inputs: dict[str, str]
    assume: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    law: str = ""
    tight: bool = False
    tolerance: float = 1e-9

    def __str__(self) -> str:
        return self.name

    def programs(self, seed: int = 0) -> Sides:
        """Both sides ready to be called in float64: factories built, parameters random, matched."""
        left, right = _built(self.left), _built(self.right)
        generator = torch.Generator().manual_seed(seed)
        for side in (left, right):
            if isinstance(side, nn.Module):
                side.double().eval().requires_grad_(False)
                for parameter in side.parameters():
                    parameter.normal_(generator=generator)
        if isinstance(left, nn.Module) and isinstance(right, nn.Module):
            _match_parameters(left, right, self.parameters)
        return left, right


def collector(pairs: list[Pair]) -> Callable[..., Callable[[Callable[[], Sides]], Pair]]:
    """A decorator that appends to *pairs*; the decorated function returns the two sides.

    The function's name names the pair, and its docstring is the pair's law.
    """

    def pair(
        *,
        assume: tuple[str, ...] = (),
        parameters: Mapping[str, str] | None = None,
        tight: bool = False,
        tolerance: float = 1e-9,
        **inputs: str,
    ) -> Callable[[Callable[[], Sides]], Pair]:
        def add(sides: Callable[[], Sides]) -> Pair:
            left, right = sides()
            law = inspect.cleandoc(sides.__doc__ or "")
            made = Pair(
                sides.__name__,
                left,
                right,
                inputs,
                assume,
                parameters or {},
                law,
                tight,
                tolerance,
            )
            pairs.append(made)
            return made

        return add

    return pair


# Shapes


def dimensions(shape: str) -> tuple[str, ...]:
    """The dimensions of a shape string, without spaces: ``"b n + k : bool"`` → ``("b", "n+k")``."""
    text = re.sub(r"\s*([+*])\s*", r"\1", shape.partition(":")[0])
    return tuple(text.split())


def datum(shape: str) -> str:
    """What a shape string's elements are: ``"real"``, ``"bool"`` or ``"int"``."""
    return shape.partition(":")[2].strip() or "real"


def value(dimension: str, sizes: Mapping[str, int]) -> int:
    """The value of a sum of products of names and integers."""
    return sum(
        math.prod(int(f) if f.isdigit() else sizes[f] for f in term.strip().split("*"))
        for term in dimension.split("+")
    )


def size_names(pair: Pair) -> tuple[str, ...]:
    """The size variables of a pair, in order of first occurrence."""
    words = (w for shape in pair.inputs.values() for w in re.split(r"[\s+*]+", _dims_text(shape)))
    return tuple(dict.fromkeys(w for w in words if w and not w.isdigit()))


def sizes_of(pair: Pair, seed: int, largest: int = LARGEST_SIZE) -> dict[str, int]:
    """Random sizes in 1…*largest* that satisfy the pair's conditions on sizes.

    Raises:
        ValueError: no such sizes were found.
    """
    names = size_names(pair)
    generator = random.Random(f"{pair.name}/{seed}")
    for _ in range(1000):
        sizes = {name: generator.randint(1, largest) for name in names}
        if all(_size_condition_holds(c, pair, sizes) for c in pair.assume):
            return sizes
    raise ValueError(f"{pair.name}: no sizes up to {largest} satisfy {pair.assume}")


def make_inputs(
    pair: Pair, sizes: Mapping[str, int], seed: int, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Random inputs by name: normal reals, fair booleans, integers within the conditions."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in pair.inputs.items():
        extent = [value(d, sizes) for d in dimensions(shape)]
        match datum(shape):
            case "bool":
                made[name] = torch.rand(extent, generator=generator) < 0.5
            case "int":
                low, high = _integer_range(name, pair.assume, sizes)
                made[name] = torch.randint(low, high, extent, generator=generator)
            case "real":
                made[name] = torch.randn(extent, generator=generator, dtype=dtype)
            case other:
                raise ValueError(f"{pair.name}: input {name} has unknown datum {other!r}")
    for condition in pair.assume:
        _impose(condition, made, generator)
    return made


# Running


def outputs(program: Program, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The outputs of one program, always as a tuple."""
    with torch.no_grad():
        result = program(*(x.clone() for x in inputs.values()))
    return (result,) if isinstance(result, Tensor) else tuple(result)


def difference(lefts: Iterable[Tensor], rights: Iterable[Tensor]) -> float:
    """The largest difference relative to max(1, |right|); infinite where one side alone is NaN.

    Raises:
        ValueError: the sides differ in number of outputs or in shapes, so that they cannot be
            compared as functions.
    """
    worst = 0.0
    for left, right in zip(lefts, rights, strict=True):
        if left.shape != right.shape:
            raise ValueError(f"shapes {tuple(left.shape)} and {tuple(right.shape)}")
        x, y = left.double(), right.double()
        if not torch.equal(x.isnan(), y.isnan()):
            return math.inf
        gap = torch.where(x == y, 0.0, (x - y).abs() / y.abs().clamp(min=1.0))
        gap = gap.nan_to_num(nan=0.0, posinf=math.inf)
        worst = max(worst, gap.max().item() if gap.numel() else 0.0)
    return worst


# Details


def _dims_text(shape: str) -> str:
    return " ".join(dimensions(shape))


def _built(side: Program) -> Program:
    """The side itself, a copy of a module, or what a factory builds."""
    if isinstance(side, nn.Module):
        return copy.deepcopy(side)
    if not _is_factory(side):
        return side
    built: Program = side()
    return built


def _is_factory(side: Program) -> bool:
    parameters = inspect.signature(side).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)


def _match_parameters(left: nn.Module, right: nn.Module, expressions: Mapping[str, str]) -> None:
    """Give both sides the same parameters: by expression where one is given, else by name."""
    states = [side.state_dict() for side in (left, right)]
    for name, parameter in states[1].items():
        if name in states[0] and name not in expressions:
            parameter.copy_(states[0][name])
    for name, expression in expressions.items():
        target, source = (states[1], left) if name in states[1] else (states[0], right)
        scope: dict[str, Any] = {
            "cat": lambda *parts: torch.cat(parts),
            "permute": lambda tensor, *order: tensor.permute(order),
            "view": lambda tensor, *shape: tensor.reshape(shape),
        }
        scope |= dict(source.named_parameters(recurse=False)) | dict(source.named_children())
        target[name].copy_(eval(expression, {"__builtins__": {}}, scope))


def _size_condition_holds(condition: str, pair: Pair, sizes: Mapping[str, int]) -> bool:
    comparison = _COMPARISON.fullmatch(condition)
    if not comparison or comparison[1] in pair.inputs:
        return True
    left, right = (value(comparison[i].replace(" ", ""), sizes) for i in (1, 3))
    return _compare(left, comparison[2], right)


def _compare(left: int, sign: str, right: int) -> bool:
    holds = {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "==": left == right,
        "!=": left != right,
    }
    return holds[sign]


def _integer_range(
    name: str, conditions: Iterable[str], sizes: Mapping[str, int]
) -> tuple[int, int]:
    """The half-open range that the conditions leave to an integer input; 0…3 by default."""
    low, high = 0, LARGEST_SIZE
    for condition in conditions:
        comparison = _COMPARISON.fullmatch(condition)
        if comparison and comparison[1] == name:
            bound = value(comparison[3].replace(" ", ""), sizes)
            match comparison[2]:
                case "<":
                    high = bound
                case "<=":
                    high = bound + 1
                case ">=":
                    low = bound
                case ">":
                    low = bound + 1
    return low, high


def _impose(condition: str, inputs: dict[str, Tensor], generator: torch.Generator) -> None:
    """Change the inputs in place so that a condition on them holds."""
    if row := _ROWS.fullmatch(condition):
        mask = inputs[row[1]]
        live = torch.randint(mask.shape[-1], (*mask.shape[:-1], 1), generator=generator)
        mask.scatter_(-1, live, True if mask.dtype == torch.bool else 1.0)
    elif zero_one := _ZERO_ONE.fullmatch(condition):
        mask = inputs[zero_one[1]]
        mask.copy_(mask > 0)
