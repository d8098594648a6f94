"""The script of a counterexample shows the difference in plain PyTorch, whatever the programs are.

The scripts of all wrong pairs of the corpora are run in ``test_equivalence.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from ncd_formal.conditions import Context
from ncd_formal.equivalence import prove
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.frontends.torch_export import import_program
from ncd_formal.targets import load_target
from tests.scripts import run_alone, run_here

ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}


def unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT, -1) @ v


def powered(x: Tensor, exponent: float = 1.0, *, shift: float = 0.0) -> Tensor:
    return x.abs() ** exponent + shift


def swapped(y: Tensor, x: Tensor) -> Tensor:
    return y - x


def two(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, x * 2


def named(x: Tensor) -> dict[str, Any]:
    return {"first": x, "nothing": None, "second": x * 3}


def keyed(x: Tensor, *, y: Tensor) -> Tensor:
    return x + 2 * y


class Projection(nn.Module):
    """A linear map with its own name for its weight, and a buffer."""

    offset: Tensor

    def __init__(self, width: int = 3, scale: float = 1.0) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.register_buffer("offset", torch.arange(float(width)))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.scale * self.inner(x) + self.offset
        return out

    def halved(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x) / 2 + self.offset
        return out


class Packed(nn.Module):
    """One weight in place of two."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.both.T


class Parted(nn.Module):
    """Two weights."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x @ self.up.T, x @ self.down.T], -1)


def projections() -> tuple[nn.Module, nn.Module]:
    left = Projection()
    right = Projection(scale=2.0)
    right.load_state_dict(left.state_dict())
    return left, right


def masked(x: Tensor, keep: Tensor) -> Tensor:
    return x.masked_fill(~keep, -torch.inf)


def in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[..., 0] += 1
    return y.mul_(2)


_HELD = torch.randn(40, generator=torch.Generator().manual_seed(5))


def holds_a_tensor(x: Tensor) -> Tensor:
    return x + _HELD


@dataclass(frozen=True)
class Case:
    """Two programs that differ."""

    sides: Callable[[], tuple[object, object]]
    inputs: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    mentions: tuple[str, ...] = ()
    """What the script must hold: a call by name, say."""


CASES = {
    "functions": Case(
        lambda: (unscaled, F.scaled_dot_product_attention),
        ATTENTION,
        mentions=("import_module('tests.test_reproduction')", "left_module.unscaled("),
    ),
    "lambdas": Case(
        lambda: (lambda x: x + 1, lambda x: x - 1),
        {"x": "n"},
        mentions=("#     ", "lambda x: x + 1", "torch.ops.aten.add"),
    ),
    "builtins": Case(
        lambda: (torch.sin, torch.cos), {"input": "n"}, mentions=("left_module.sin(",)
    ),
    "closures": Case(lambda: (closure(2.0), closure(3.0)), {"x": "n"}),
    "partials": Case(
        lambda: (
            functools.partial(powered, exponent=2.0),
            functools.partial(powered, exponent=3.0, shift=0.5),
        ),
        {"x": "n"},
        mentions=("functools.partial(left_module.powered, exponent=2.0)", "shift=0.5"),
    ),
    "partials of closures": Case(
        lambda: (functools.partial(closure(2.0)), functools.partial(closure(3.0))), {"x": "n"}
    ),
    "partials over tensors": Case(
        lambda: (functools.partial(swapped, torch.ones(3)), lambda x: x), {"x": "3"}
    ),
    "renamed inputs": Case(
        lambda: (lambda a, b: a - b, lambda first, second: second - first), {"a": "n", "b": "n"}
    ),
    "names in another order": Case(
        lambda: (swapped, lambda x, y: x - y),
        {"x": "n", "y": "n"},
        mentions=("left_module.swapped(tensors['y'].clone(), tensors['x'].clone())",),
    ),
    "only by name": Case(
        lambda: (keyed, lambda x, y: x + y),
        {"x": "n", "y": "n"},
        mentions=("y=tensors['y'].clone()",),
    ),
    "several outputs": Case(lambda: (two, lambda x: (x, x * 4)), {"x": "n"}),
    "outputs by name": Case(lambda: (named, lambda x: [x, x * 4]), {"x": "n"}),
    "a mask": Case(
        lambda: (masked, lambda x, keep: torch.where(keep, x, 0.0)),
        {"x": "n", "keep": "n : bool"},
    ),
    "integers": Case(
        lambda: (lambda i, x: x[i], lambda i, x: x[-1 - i]), {"i": "n : int", "x": "4"}
    ),
    "changes in place": Case(lambda: (in_place, lambda x: x * 2), {"x": "n 3"}),
    "modules": Case(projections, {"x": "n 3"}, mentions=("'inner.weight'",)),
    "methods of modules": Case(lambda: ((m := Projection()), m.halved), {"x": "n 3"}),
    "a module and a function": Case(lambda: (nn.LayerNorm(4), lambda x: x), {"input": "n 4"}),
    "parameters by expressions": Case(
        lambda: (Packed(), Parted()),
        {"x": "n 3"},
        {"both": "cat(down, up)"},
        mentions=("# both = cat(down, up)",),
    ),
    "a larger constant": Case(lambda: (holds_a_tensor, lambda x: x), {"x": "40"}),
    "large parameters": Case(
        lambda: (nn.Linear(40, 40), nn.Linear(40, 40, bias=False)),
        {"input": "40"},
        mentions=("unpack('",),
    ),
    "a scalar": Case(lambda: (lambda x: x.sum(), lambda x: x.prod()), {"x": "n"}),
    "what PyTorch cannot record": Case(
        lambda: (Unrecorded(lambda x: x + 1), lambda x: x),
        {"x": "n"},
        mentions=("the values that it gave", "call it on these tensors: x='x'"),
    ),
}


def closure(factor: float) -> Callable[[Tensor], Tensor]:
    def scaled(x: Tensor) -> Tensor:
        return factor * x

    return scaled


class Unrecorded:
    """A program that knows its own arrays, and does not run where PyTorch looks."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def to_program(self, inputs: Mapping[str, Declaration], context: Context) -> Program:
        program = import_program(self.function, inputs, context)

        def execute(tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
            if get_proxy_mode() is not None:
                raise RuntimeError("nothing to see")
            return program.run(tensors)

        return replace(program, execute=execute)


@pytest.fixture(scope="module")
def refuted() -> dict[str, str]:
    """The scripts of all cases."""
    scripts: dict[str, str] = {}
    for name, case in CASES.items():
        left, right = case.sides()
        found = prove(left, right, case.inputs, parameters=case.parameters)
        assert found.counterexample is not None, f"{name}: {found.explain()}"
        scripts[name] = found.counterexample.script
    return scripts


def test_scripts_show_the_difference_alone(refuted: dict[str, str], tmp_path: Path) -> None:
    ended = run_alone(list(refuted.values()), tmp_path)
    for name, (code, printed) in zip(refuted, ended, strict=True):
        assert code == "1", f"{name}: {code}\n{printed}\n{refuted[name]}"
        assert "ncd_formal" not in refuted[name]
        assert "they differ" in printed and "largest difference" in printed


@pytest.mark.parametrize("name", CASES)
def test_scripts_say_what_they_run(refuted: dict[str, str], name: str) -> None:
    for text in CASES[name].mentions:
        assert text in refuted[name], refuted[name]


def test_a_script_ends_well_where_the_programs_agree(refuted: dict[str, str]) -> None:
    """Mended by hand: the right side is made what the left one is."""
    text = refuted["lambdas"].replace("aten.sub.Tensor", "aten.add.Tensor")
    code, printed = run_here(text)
    assert code == 0 and "they agree" in printed


def test_a_file_is_loaded_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text("def double(x):\n    return x + x\n")
    (tmp_path / "model.py").write_text(
        "from layers import double\n\n\ndef left(x):\n    return double(x)\n\n\n"
        "def right(x):\n    return x\n"
    )
    left, right = (load_target(f"{tmp_path}/model.py:{name}") for name in ("left", "right"))
    found = prove(left, right, {"x": "n"}).counterexample
    assert found is not None and "left_module.left(tensors['x'].clone())" in found.script
    ((code, _),) = run_alone([found.script], tmp_path)
    assert code == "1"


def test_neighbours_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Python would load only one of the two ``layers``, and both sides would use it."""
    for folder, factor in (("old", 2), ("new", 3)):
        place = tmp_path / folder
        place.mkdir()
        (place / "layers.py").write_text(f"def scale(x):\n    return {factor} * x\n")
        (place / "model.py").write_text(
            "from layers import scale\n\n\ndef run(x):\n    return scale(x)\n"
        )
    left, right = (load_target(f"{tmp_path}/{name}/model.py:run") for name in ("old", "new"))
    found = prove(left, right, {"x": "n"}).counterexample
    assert found is not None
    ((code, printed),) = run_alone([found.script], tmp_path)
    assert code == "1", printed


def test_names_cannot_break_a_script(tmp_path: Path) -> None:
    """What a user calls things is written as comments and strings only."""

    def left(x: Tensor) -> Tensor:
        return x + 1

    left.__name__ = "left\nimport os; os.abort()"
    found = prove(left, lambda x: x, {"x": "n"}).counterexample
    assert found is not None
    assert run_here(found.script)[0] == 1
