"""What cannot be proved is refused or left undecided, with a reason: no traceback, never `proved`.

``REFUSED`` holds what cannot be used at all: an InputError of one line.  ``UNDECIDED`` can be
imported, and says why nothing is settled.
"""

from __future__ import annotations

import functools
import itertools
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncd_formal.cli import main
from ncd_formal.equivalence import prove
from ncd_formal.errors import InputError

MATRIX = {"x": "n m"}
SQUARE = {"x": "n 4"}
TWO = {"x": "n", "y": "n"}


def identity(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Case:
    """Two programs, what is said about them, and a part of the complaint."""

    reason: str
    left: Any = identity
    right: Any = identity
    inputs: Any = field(default_factory=lambda: MATRIX)
    options: Mapping[str, Any] = field(default_factory=dict)


def raises(x: Tensor) -> Tensor:
    raise KeyError(f"no {x.ndim}")


def leaves(x: Tensor) -> Tensor:
    sys.exit(3)


def recurs(x: Tensor) -> Tensor:
    return recurs(x)


def generates(x: Tensor) -> Iterator[Tensor]:
    yield x


async def waits(x: Tensor) -> AsyncIterator[Tensor]:
    yield x


def changes(x: Tensor) -> Tensor:
    return x.add_(1)


def asserts(x: Tensor) -> Tensor:
    assert x.shape[0] == 3
    return x


CALLS: list[None] = []


def counts(x: Tensor) -> Tensor:
    """Is another function at every call, and in every trace."""
    CALLS.append(None)
    return x * len(CALLS)


def squares_by_gradient(x: Tensor) -> Tensor:
    gradient: Tensor = torch.func.grad(lambda y: y.square().sum())(x)
    return gradient


class Record:
    """Neither a tensor nor anything that holds tensors."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


class Named(nn.Module):
    """A parameter with the name of an input."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.x


class Stacked(nn.Module):
    """A weight of another shape than that of a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight[0].T


def twice(reason: str, program: Callable[[Tensor], Tensor]) -> Case:
    """A program beside itself."""
    return Case(reason, program, program)


def ranged(condition: str) -> dict[str, Any]:
    """Rows of x taken by integers, of which a condition is assumed."""
    taken = {"left": lambda x, ids: x[ids], "right": lambda x, ids: x[ids] * 1}
    inputs = {"x": "n m", "ids": "k : int"}
    return {**taken, "inputs": inputs, "options": {"assume": (condition,)}}


def by_expression(text: Any, name: Any = "weight") -> dict[str, Any]:
    """Two linear maps, one with an expression for its weight."""
    return {
        "left": nn.Linear(4, 4),
        "right": nn.Linear(4, 4),
        "inputs": {"input": "n 4"},
        "options": {"parameters": {name: text}},
    }


REFUSED: dict[str, Case] = {
    # Targets
    "nothing": Case("None is no function", None),
    "a number": Case("3 is no function", 3),
    "a text": Case("'f' is no function", "f"),
    "a tensor": Case("is no function", torch.ones(2)),
    "a module of Python": Case("is no function", torch),
    "a class": Case("is a class: give an instance, such as Linear()", nn.Linear),
    "a class without arguments": Case("such as Named()", Named),
    "a builtin": Case("no input 'x'", len),
    "a function of numbers": Case("only one element", int),
    "any number of inputs": Case("no input 'x'", lambda *x: x[0]),
    "inputs by any name": Case("no input 'x'", lambda **x: x["x"]),
    "a partial without inputs": Case("no input 'x'", functools.partial(identity, torch.ones(2))),
    "a scripted module": Case(
        "cannot be imported", torch.jit.script(nn.ReLU()), inputs={"input": "n"}
    ),
    # What programs return
    "no output": Case("returns no tensor", lambda x: None),
    "an empty output": Case("returns no tensor", lambda x: []),
    "outputs without a tensor": Case("returns no tensor", lambda x: {"a": None}),
    "a text as output": Case("'a', which is no tensor", lambda x: "a"),
    "a record as output": Case("not a known type", lambda x: [Record(x)]),
    "a generator": Case("not a known type", generates),
    "a coroutine": Case("not a known type", waits),
    "more outputs": Case("2 outputs, the other 1", lambda x: (x, x)),
    "other shapes": Case("the shapes", lambda x: x.sum(0)),
    # What programs do
    "an error": Case("no 2", raises),
    "leaving Python": Case("leaves cannot be imported", leaves),
    "endless recursion": Case("recursion", recurs),
    "a device that is not there": Case("cannot be imported", lambda x: x.to("nonsense")),
    "control flow by values": twice("depends on the values", lambda x: x if x.sum() > 0 else -x),
    "a size by values": twice("depends on the values", lambda x: x[: int(x.sum())]),
    "a selection by values": twice("depends on the values", lambda x: x[x > 0]),
    "positions by values": twice("depends on the values", lambda x: x.nonzero()),
    "an assertion on values": Case(
        "depends on the values", lambda x: (torch._assert(bool(x.all()), ""), x)[1]
    ),
    "a loop": Case(
        "not supported",
        lambda x: torch.while_loop(lambda i: i.sum() < 3, lambda i: (i + 1,), (x,)),
    ),
    "a dimension that is not there": twice(
        "no dimension 4", lambda x: x.take_along_dim(x.long(), 4)
    ),
    "indices of another rank": twice(
        "different numbers of dimensions", lambda x: x.take_along_dim(x[0].long(), 0)
    ),
    "windows along no dimension": twice("no dimension 5", lambda x: x.unfold(5, x.shape[0], 2)),
    "batches that a function broadcasts not": twice(
        "different sizes before", lambda x: F.bilinear(x, x[:1], x.T[:, :, None] * x[0])
    ),
    "a chain of products of more than matrices": twice(
        "matrices", lambda x: torch.linalg.multi_dot([x[None], x.T[None]])
    ),
    "one matrix as a chain": twice("two tensors or more", lambda x: torch.linalg.multi_dot([x])),
    "an assertion on sizes": Case("asserts cannot be imported", asserts),
    "random numbers": twice("draws random numbers", lambda x: x + torch.rand_like(x)),
    "dropout": twice("draws random numbers", lambda x: F.dropout(x, 0.5)),
    "a change in place": twice("changes 'x' in place", changes),
    "statistics of training": Case(
        "changes 'running_mean' in place", nn.BatchNorm1d(4), nn.BatchNorm1d(4), {"input": "n 4"}
    ),
    "memory without values": twice("not initialised", lambda x: x.new_empty(3)),
    "numpy": Case("numpy", lambda x: torch.from_numpy(x.numpy())),
    "an infinite number": Case("+∞", lambda x: x * float("inf")),
    "a sparse tensor": Case("cannot be imported", lambda x: x.to_sparse()),
    "gradients": Case("", squares_by_gradient, lambda x: 2 * x),
    "parameters that are not there yet": Case(
        "uninitialized", nn.LazyLinear(3), nn.LazyLinear(3), {"input": "n 4"}
    ),
    "parameters of other shapes": Case("is (4, 4)", nn.Linear(4, 4, bias=False), Stacked(), {}),
    # Shapes
    "no shapes": Case("has no shape", inputs=None),
    "an input without a shape": Case("input 'y'", lambda x, y: x),
    "an input that is none": Case("no input 'y'", inputs={**MATRIX, "y": "n"}),
    "a name close by": Case("did you mean 'mask'", lambda mask: mask, inputs={"maks": "n"}),
    "shapes as a number": Case("inputs maps names to texts", inputs=3),
    "shapes as a list": Case("inputs maps names to texts", inputs=["n m"]),
    "a shape as a number": Case("inputs maps names to texts", inputs={"x": 3}),
    "a shape as a list": Case("inputs maps names to texts", inputs={"x": ["n", "m"]}),
    "a shape without a text": Case("inputs maps names to texts", inputs={"x": None}),
    "a number as a name": Case("inputs maps names to texts", inputs={3: "n"}),
    "commas": Case("is no dimension", inputs={"x": "b,n"}),
    "a negative size": Case("is negative", inputs={"x": "n -1"}),
    "a quotient": Case("n/2", inputs={"x": "n/2"}),
    "half a size": Case("2.5", inputs={"x": "2.5"}),
    "an unknown kind": Case("bool, int, real or extended", inputs={"x": "n : complex"}),
    "no kind": Case("bool, int, real or extended", inputs={"x": "n :"}),
    "more than memory holds": Case("too large", inputs={"x": "n 100000000000000"}),
    "very many dimensions": Case("too large", inputs={"x": "n " * 60}),
    # Assumptions
    "a text as assumptions": Case("is a list of conditions", options={"assume": "n >= 1"}),
    "a number as assumptions": Case("is a list of conditions", options={"assume": 3}),
    "a number as an assumption": Case("is a list of conditions", options={"assume": (3,)}),
    "a range of an unknown size": Case("'zz'", **ranged("0 <= ids < zz")),
    "a range of real numbers": Case("holds no integers", **ranged("0 <= x < n")),
    "a range without an end": Case("is written '0 <= ids < n'", **ranged("0 <= ids >= n")),
    "half an assumption": Case("size '='", options={"assume": ("n >= ",)}),
    "a chain": Case("unexpected '>'", options={"assume": ("n >= m >= 2",)}),
    "a contradiction": Case("no sizes satisfy", options={"assume": ("n >= 4", "n <= 3")}),
    "no size is this": Case("no sizes satisfy", options={"assume": ("n != n",)}),
    "an unknown size": Case("'z'", options={"assume": ("z >= 1",)}),
    "an unknown input": Case("names no input", options={"assume": ("every row of y has a True",)}),
    "a huge power": Case("exponent", options={"assume": ("n >= 2**10000",)}),
    "a size that no machine holds": Case("", options={"assume": ("n == 99999999999999999999",)}),
    # Parameters
    "an unknown parameter": Case("no parameter is named 'nope'", **by_expression("weight", "nope")),
    "a parameter by an unknown one": Case("'nope'", **by_expression("nope")),
    "half an expression": Case("no expression", **by_expression("weight +")),
    "no expression": Case("no expression", **by_expression("")),
    "code": Case("not understood", **by_expression("__import__('os').system('true')")),
    "an expression of another shape": Case("has shape", **by_expression("bias")),
    "rows that are not there": Case("has shape", **by_expression("weight[0:99]")),
    "axes that are not there": Case("no dimension 5", **by_expression("permute(weight, 5, 6)")),
    "a view that does not fit": Case("cannot view", **by_expression("view(weight, 3, 3)")),
    "an infinite factor": Case("not a real number", **by_expression("1e400 * weight")),
    "a truth value": Case("not a real number", **by_expression("True")),
    "a text in an expression": Case("not understood", **by_expression("'weight'")),
    "a deep expression": Case("", **by_expression("(" * 300 + "weight" + ")" * 300)),
    "a number as an expression": Case("parameters maps names to texts", **by_expression(3)),
    # The rest
    "no time": Case("positive number of seconds", options={"timeout": 0}),
    "less than no time": Case("positive number of seconds", options={"timeout": -1}),
    "a time that is no number": Case("positive number", options={"timeout": float("nan")}),
    "a time in words": Case("positive number of seconds", options={"timeout": "long"}),
    "laws that are none": Case("holds rewrites only", options={"rules": "junk"}),
    "a law without a name": Case("needs a :name", options={"rules": "(rewrite a a)"}),
    "laws as a number": Case("the text of laws", options={"rules": 3}),
}  # fmt: skip

FAILING = itertools.count()


def fails_later(x: Tensor) -> Tensor:
    """Fails at every other call after the trace and the first run."""
    if (call := next(FAILING)) > 1 and call % 2:
        raise RuntimeError
    return 2 * x


def tosses(x: Tensor) -> Tensor:
    return torch.sort(x, dim=0)[0] * random.choice([-1, 1])


UNDECIDED: dict[str, Case] = {
    "what counts its calls": twice("gives something else when it is run again", counts),
    "what fails when it is run again": Case(
        "gives something else when it is run again", fails_later, lambda x: 3 * x
    ),
    "what tosses a coin": twice("when it is run again", tosses),
    "conditions that hold nowhere": Case(
        "no sizes and inputs are known",
        lambda x: x.roll(5, 0),
        lambda x: x.roll(5, 0) * 1,
        options={"assume": ("n <= 3",)},
    ),
    "an unknown operator on one side": Case(
        "do not connect", lambda x: x.sort(-1).values.sum(-1), lambda x: x.sum(-1)
    ),
    "undefined everywhere": Case("", lambda x: x / 0, lambda x: (x + 1) / 0),
    "what is seen in a trace alone": Case(
        "disagree with PyTorch", lambda x: x if torch.compiler.is_exporting() else x + 1
    ),
    "what gradients change": Case(
        "disagree with PyTorch", lambda x: x if torch.is_grad_enabled() else x + 1
    ),
    "what a dtype changes": Case(
        "disagree with PyTorch", lambda x: x if x.dtype == torch.float32 else x + 1
    ),
    "whole numbers that overflow": Case(
        "disagree with PyTorch",
        lambda i: i * 2**62 * 4,
        lambda i: i * 0,
        {"i": "n : int"},
    ),
    "a difference below every rounding": Case("", lambda x: x * (1 + 1e-9)),
    "a small shift": Case("", lambda x: x + 1e-9),
    "a product that vanishes in float64": Case("", lambda x: x * 1e-200, lambda x: x * 0),
    "rounding": Case("", lambda x: x.round(), lambda x: (x + 0.5).floor()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    case = REFUSED[name]
    inputs = case.inputs if case.inputs != {} else {"input": "n 4"}
    with pytest.raises(InputError) as raised:
        prove(case.left, case.right, inputs, **{"timeout": 5, **case.options})
    complaint = str(raised.value)
    assert case.reason in complaint and complaint and "\n" not in complaint
    assert "def forward" not in "".join(capfd.readouterr()), "PyTorch prints its own graph"


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_is_not_settled_has_a_reason(name: str) -> None:
    case = UNDECIDED[name]
    found = prove(case.left, case.right, case.inputs, **{"timeout": 5, **case.options})
    assert found.status == "undecided", found.explain()
    assert found.reason and case.reason in found.reason


def test_a_parameter_may_have_the_name_of_an_input() -> None:
    """It was overwritten with the input, and so the two were found to differ."""
    module = Named()
    assert prove(module, module, SQUARE).status == "proved"
    found = prove(module, identity, SQUARE)
    assert found.counterexample is not None
    inputs = found.counterexample.inputs
    assert set(inputs) == {"x", "self.x"} and inputs["self.x"].shape == (4,)


def test_a_condition_on_sizes_is_said() -> None:
    """A program that looks at its sizes is proved for what its trace stands for, and no more."""
    found = prove(lambda x: x if x.shape[0] > 5 else -x, identity, MATRIX)
    assert found.status == "proved" and found.conditions == ("sizes: n >= 6",)


def test_programs_without_inputs_are_compared() -> None:
    def ones() -> Tensor:
        return torch.ones(3)

    assert prove(ones, lambda: torch.zeros(3) + 1, {}).status == "proved"
    assert prove(ones, lambda: torch.zeros(3), {}).status == "refuted"


def test_decimal_numbers_are_what_they_say() -> None:
    """1 − 0.3 is 0.7, which holds of no two floats."""
    found = prove(lambda x, y: 0.7 * x + 0.3 * y, lambda x, y: x + 0.3 * (y - x), TWO)
    assert found.status == "proved"
    assert any("0.3 is 3/10" in condition for condition in found.conditions)


def test_shifts_count_modulo_what_is_shifted() -> None:
    """Both were read as the identity, under a condition that no size satisfies."""

    def rolled(shift: int) -> Any:
        return lambda x: torch.stack([x, -x], 1).roll(shift, 1)

    assert prove(rolled(5), rolled(-4), {"x": "n"}).status == "refuted"
    found = prove(rolled(5), rolled(-3), {"x": "n"})
    assert found.status == "proved" and not found.conditions


def test_axes_without_indices_are_cut_in_any_way() -> None:
    """Flattened, they ended in a division by 0; a slice of none in the middle was another's."""
    for left, right, inputs in (
        (lambda x: x[:, 2:].flatten(), lambda x: x[:, :0].flatten(), {"x": "6 2 n"}),
        (
            lambda x: torch.cat([x[:, :0], x[:, 1:1]], 1),
            lambda x: torch.cat([x[:, 1:1], x[:, :0]], 1),
            {"x": "n 3"},
        ),
        (lambda x: x[:, 2:].roll(1, 1), lambda x: x[:, 2:], {"x": "6 2 n"}),
    ):
        assert prove(left, right, inputs).status == "proved"
    assert prove(lambda x: x[:, 1:2], lambda x: x[:, :1], {"x": "n 3"}).status == "refuted"


def test_integers_are_drawn_where_programs_look() -> None:
    """They were 0 to 3, where the two are alike."""
    for number in (-1, -100, 77):
        left = lambda x, y, n=number: torch.where(y == n, x, 2 * x)  # noqa: E731
        found = prove(left, lambda x, y: 2 * x, {"x": "n", "y": "n : int"})
        assert found.status == "refuted"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (F.relu6, lambda input: F.relu(input) - F.relu(input - 5)),
        (lambda x: x.clamp(-20, 20), lambda x: x.clamp(-20, 30)),
        (F.hardshrink, lambda input: torch.where(input.abs() > 0.5, input, 0.0).clamp(-9, 9)),
    ],
)
def test_programs_that_part_far_from_0_are_refuted(left: Any, right: Any) -> None:
    """Normal inputs did not reach there."""
    name = "x" if left.__name__ == "<lambda>" else "input"
    found = prove(left, right, {name: "n"}, timeout=10)
    assert found.status == "refuted" and found.counterexample is not None


def sliding(width: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Causal attention to the last ``width`` keys."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        distance = i[:, None] - i
        mask = (distance >= 0) & (distance < width)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return attention


def clamped(last: int) -> Callable[[Tensor], Tensor]:
    """x, its indices from ``last`` on as ``last``."""
    return lambda x: x + torch.arange(x.shape[-1]).clamp(max=last)


@pytest.mark.parametrize(
    ("left", "right", "inputs", "least"),
    [
        (sliding(129), sliding(128), dict.fromkeys("qkv", "b n d"), 129),
        (clamped(40), clamped(41), {"x": "m n"}, 42),
        (lambda x: F.pad(x[50:], (50, 0)), lambda x: F.pad(x[51:], (51, 0)), {"x": "n+51"}, 1),
    ],
    ids=["window", "clamped", "slice"],
)
def test_programs_that_part_beyond_their_numbers_are_refuted(
    left: Any, right: Any, inputs: dict[str, str], least: int
) -> None:
    """Small sizes fit within any of the windows."""
    found = prove(left, right, inputs, timeout=3)
    assert found.status == "refuted" and found.counterexample is not None
    assert found.counterexample.sizes["n"] == least


@pytest.mark.parametrize("function", [torch.erf, torch.sin, torch.cos])
def test_signs_are_taken_out_of_what_is_undefined_once(function: Any) -> None:
    """−(−∞) is undefined and does not turn back: taking its sign out did not end."""

    def turned(x: Tensor) -> Tensor:
        out: Tensor = function(-torch.full_like(x, -torch.inf))
        return out

    def doubled(x: Tensor) -> Tensor:
        out: Tensor = function(-2 * torch.full_like(x, -torch.inf))
        return out

    assert prove(turned, doubled, {"x": "n"}, timeout=5).status == "undecided"


def test_what_overflows_far_from_0_is_not_refuted() -> None:
    def naive(x: Tensor) -> Tensor:
        return (x.exp() / x.exp().sum(-1, keepdim=True)).sort(-1)[0].sum(-1)

    def stable(x: Tensor) -> Tensor:
        return x.softmax(-1).sum(-1)

    assert prove(naive, stable, {"x": "n m"}, timeout=10).status == "undecided"


def test_an_upper_bound_is_no_range_where_no_condition_is_looked_for() -> None:
    def counted(ids: Tensor, x: Tensor) -> Tensor:
        return F.one_hot(ids, x.shape[0]).sum(-1)

    def ones(ids: Tensor, x: Tensor) -> Tensor:
        return torch.ones_like(ids)

    inputs = {"ids": "n : int", "x": "c"}
    found = prove(counted, ones, inputs, ["ids < c"])
    assert found.status == "proved" and "0 <= ids < c" in found.conditions
    assert prove(counted, ones, inputs, ["ids < c"], find_conditions=False).status == "undecided"
    for within in ("0<=ids<c", "0 <= ids < c", "0 <= ids < c - 1"):
        found = prove(counted, ones, inputs, [within], find_conditions=False)
        assert found.status == "proved" and "0 <= ids < c" not in found.conditions


def test_truth_values_are_scattered_to_chosen_positions() -> None:
    def chosen(x: Tensor, s: Tensor) -> Tensor:
        return torch.zeros_like(x, dtype=torch.bool).scatter(-1, x.topk(2).indices, s)

    inputs = {"x": "n 5", "s": "n 2 : bool"}
    assert prove(chosen, chosen, inputs).status == "proved"
    assert prove(chosen, lambda x, s: chosen(x, ~s), inputs).status == "refuted"


def test_labels_that_a_loss_leaves_out_are_a_condition() -> None:
    """``cross_entropy`` leaves out labels of −100; its definition has no such labels."""

    def by_definition(x: Tensor, y: Tensor) -> Tensor:
        return -x.log_softmax(-1).gather(-1, y[:, None]).squeeze(-1).mean()

    found = prove(F.cross_entropy, by_definition, {"input": "n c", "target": "n : int"})
    assert found.status == "proved"
    assert "for all i < n: target[i] != -100" in found.conditions
    unlooked = prove(
        F.cross_entropy,
        by_definition,
        {"input": "n c", "target": "n : int"},
        find_conditions=False,
        timeout=5,
    )
    assert unlooked.status == "undecided"


def test_what_has_a_result_is_a_condition() -> None:
    """PyTorch checks the inverse where it stands; that was refused as an input of no tensor."""

    def solves(x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = y @ torch.linalg.inv(x)
        return out

    def by_rows(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("nk,km->nm", y, torch.linalg.inv(x))

    found = prove(solves, by_rows, {"x": "m m", "y": "n m"})
    assert found.status == "proved"
    assert any(text.startswith("linalg.inv has a result at ") for text in found.conditions)


def test_functions_over_single_rows_are_read() -> None:
    """``vmap`` is taken apart by PyTorch; it was refused with a KeyError."""

    def rows(x: Tensor) -> Tensor:
        sums: Tensor = torch.vmap(lambda row: row.sum())(x)
        return sums

    assert prove(rows, lambda x: x.sum(-1), MATRIX).status == "proved"


PROGRAMS = """
import sys
import torch


def plain(x):
    return x


def branches(x):
    return x if x.sum() > 0 else -x


def leaves(x):
    sys.exit(0)


def speaks(x):
    print("a line of the program")
    raise KeyboardInterrupt if x is None else ValueError("a\\nb")


number = 3
"""


@pytest.mark.parametrize(
    ("left", "options", "complaint"),
    [
        ("branches", ["--input", "x=n"], "depends on the values of its tensors"),
        ("leaves", ["--input", "x=n"], "leaves cannot be imported"),
        ("speaks", ["--input", "x=n"], "speaks cannot be imported: a"),
        ("number", ["--input", "x=n"], "is a int"),
        ("absent", ["--input", "x=n"], "has no 'absent'"),
        ("plain", [], "has no shape"),
        ("plain", ["--input", "x=n", "--input", "x=m"], "gives x twice"),
        ("plain", ["--input", "x=n", "--assume", "n"], "expected a comparison"),
        ("plain", ["--input", "x=n", "--parameter", "w=1"], "no parameter is named 'w'"),
        ("plain", ["--input", "x=n 1000000000000000"], "too large"),
    ],
)
def test_the_command_line_ends_with_2(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    left: str,
    options: list[str],
    complaint: str,
) -> None:
    file = tmp_path / "programs.py"
    file.write_text(PROGRAMS, encoding="utf-8")
    assert main(["prove", f"{file}:{left}", f"{file}:plain", *options]) == 2
    said = capfd.readouterr()
    assert said.out == "" and "Traceback" not in said.err
    (line,) = [text for text in said.err.splitlines() if text != "a line of the program"]
    assert line.startswith("ncd: ") and complaint in line
