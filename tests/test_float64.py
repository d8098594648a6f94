"""Programs are run in float64, also where they hold float32 tensors and modules in a closure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ncd_formal
from ncd_formal.frontends.float64 import in_float64
from tests.scripts import run_alone

torch.manual_seed(0)
WEIGHT, BIAS = torch.randn(8, 8), torch.randn(8)
LINEAR, NARROW = nn.Linear(8, 8), nn.Linear(8, 8).bfloat16()
FIRST, LAST = nn.Linear(8, 32), nn.Linear(32, 8)
NETWORK = nn.Sequential(FIRST, nn.GELU(), LAST)
NORM: Any = nn.BatchNorm1d(8).eval()
ATTENTION = nn.MultiheadAttention(8, 2, batch_first=True).eval()


def holding(module: Any) -> Callable[[torch.Tensor], Any]:
    """A function that has the module in its closure, and no parameters."""

    def program(x: torch.Tensor) -> Any:
        return module(x)

    return program


def network(x: torch.Tensor) -> Any:
    return LAST(F.gelu(x @ FIRST.weight.T + FIRST.bias))


def norm(x: torch.Tensor) -> Any:
    scale = NORM.weight / torch.sqrt(NORM.running_var + NORM.eps)
    return (x - NORM.running_mean) * scale + NORM.bias


def attention(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x @ WEIGHT.T / 8**0.5, dim=-1) @ WEIGHT


def masked(x: torch.Tensor, fill: float) -> torch.Tensor:
    return (x @ WEIGHT).masked_fill(WEIGHT[0] > 0, fill).softmax(-1)


def doubled(x: torch.Tensor) -> torch.Tensor:
    weight = WEIGHT.clone()
    weight.mul_(2)
    return x @ weight


EQUAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tensors": (lambda x: x @ WEIGHT + BIAS, lambda x: BIAS + F.linear(x, WEIGHT.T)),
    "module": (holding(LINEAR), lambda x: x @ LINEAR.weight.T + LINEAR.bias),
    "dtype": (lambda x: LINEAR(x.to(LINEAR.weight.dtype)), holding(LINEAR)),
    "network": (holding(NETWORK), network),
    "buffers": (holding(NORM), norm),
    "fused": (
        lambda x: F.scaled_dot_product_attention(x[None], WEIGHT[None], WEIGHT[None])[0],
        attention,
    ),
    "multi-head": (
        lambda x: ATTENTION(x[None], x[None], x[None], need_weights=False)[0],
        lambda x: ATTENTION(x[None], x[None], x[None])[0],
    ),
    "least": (
        functools.partial(masked, fill=torch.finfo(WEIGHT.dtype).min),
        functools.partial(masked, fill=-torch.inf),
    ),
    "copy": (doubled, lambda x: 2 * (x @ WEIGHT)),
    "narrow": (
        lambda x: NARROW(x.to(torch.bfloat16)),
        lambda x: x.bfloat16() @ NARROW.weight.T + NARROW.bias,
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_a_program_may_hold_tensors_and_modules(name: str) -> None:
    left, right = EQUAL[name]
    verdict = ncd_formal.prove(left, right, inputs={"x": "n 8"})
    assert verdict.status == "proved", verdict.reason


WRONG: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tensors": (lambda x: x @ WEIGHT + BIAS, lambda x: BIAS + F.linear(x, WEIGHT)),
    "module": (holding(LINEAR), lambda x: x @ LINEAR.weight + LINEAR.bias),
    "network": (holding(NETWORK), lambda x: network(x) + LINEAR.bias[0]),
}


@pytest.mark.parametrize("name", WRONG)
def test_programs_that_hold_tensors_are_refuted(name: str, tmp_path: Path) -> None:
    left, right = WRONG[name]
    verdict = ncd_formal.prove(left, right, inputs={"x": "n 8"})
    assert verdict.status == "refuted"
    assert verdict.counterexample is not None
    ((ended, printed),) = run_alone([verdict.counterexample.script], tmp_path)
    assert ended == "1", printed


def test_what_is_held_stays_as_it_is() -> None:
    held = torch.ones(3)
    with in_float64():
        assert (held * 2).dtype is torch.float64
        assert held.dtype is torch.float64
    assert held.dtype is torch.float32


def test_what_is_held_changes_where_the_program_changes_it() -> None:
    held = torch.ones(3)
    with in_float64():
        held.add_(1)
        assert held.tolist() == [2, 2, 2]
    assert held.tolist() == [2, 2, 2]
