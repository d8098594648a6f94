"""Processors that idle, and forms in parts: what they cost, and where they are chosen."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.derivation import estimate
from ncd_formal.derivation.cost import least_of_each_count
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.signomials import Signomial, variable
from ncd_formal.derivation.tiling import best_tiles, busiest_tiles, choices

Program = Callable[..., Any]

DECODING = {"q": "b h 1 d", "k": "b h m d", "v": "b h m d"}
LONG = {"b": 1, "h": 16, "m": 131_072, "d": 128}


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


def test_times_are_those_of_the_processors_that_work() -> None:
    """Three rows: three groups on 132 processors, and 44 times what the whole machine takes."""
    found = estimate(softmax, {"x": "q x"}, "h100", {"q": 3, "x": 8192}).cost
    assert found.groups == (3,) and found.idle == (129,)
    assert found.times["memory"] == pytest.approx(float(found.bytes) / 3.35e12 * 132 / 3)
    rate = 16 * 1.83e9 * 3  # special functions of three processors
    assert found.times["special functions"] == pytest.approx(float(found.special) / rate)
    assert "3 groups: 129 of 132 processors idle" in str(found)
    data = json.loads(json.dumps(found.to_json()))
    assert data["groups"] == [3] and data["idle"] == [129]
    full = estimate(softmax, {"x": "q x"}, "h100", {"q": 132, "x": 8192}).cost
    assert full.groups == (132,) and full.idle == (0,) and "idle" not in str(full)
    assert "idle" not in full.to_json()
    assert full.times == found.times  # as long for 44 times as much


def test_the_two_level_model_counts_values_alone() -> None:
    found = estimate(softmax, {"x": "q x"}, {"memory": 64}, {"q": 3, "x": 8}).cost
    assert found.groups == () and found.idle == ()


def test_tiles_are_smaller_where_that_keeps_processors_busy() -> None:
    """Of 1024 × 1024: groups of 64 × 128 make 128, where those of least H are fewer."""
    shapes, sizes = {"a": "n k", "b": "k m"}, {"n": 1024, "m": 1024, "k": 65_536}
    whole = estimate(matmul, shapes, replace(machine("h100"), processors=1), sizes).cost
    found = estimate(matmul, shapes, "h100", sizes).cost
    assert whole.groups[0] < 132 and math.prod(found.tiles[a] for a in "nm") == 64 * 128
    assert found.groups == (128,)
    assert float(found.transfers) * 132 / 128 < float(whole.transfers) * 132 / whole.groups[0]


@st.composite
def searches(
    draw: st.DrawFn,
) -> tuple[dict[str, int], dict[str, tuple[int, ...]], Signomial, int, int]:
    """Extents and choices of one to three axes, what is held, the memory, and processors."""
    names = ("f", "g", "h")[: draw(st.integers(1, 3))]
    extents = {name: draw(st.integers(1, 14)) for name in names}
    allowed = {
        name: choices(extent, draw(st.sampled_from([1, 1, 2, 4])))
        for name, extent in extents.items()
    }
    held = Signomial({})
    for _ in range(draw(st.integers(1, 3))):
        part = variable(names[0]) ** 0 * draw(st.integers(1, 9))
        for name in names:
            part = part * variable(name) ** draw(st.integers(0, 1))
        held = held + part
    return extents, allowed, held, draw(st.integers(1, 400)), draw(st.integers(2, 200))


@settings(max_examples=300, deadline=None)
@given(searches(), st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_the_search_with_idle_processors_agrees_with_trying_everything(
    case: tuple[dict[str, int], dict[str, tuple[int, ...]], Signomial, int, int],
    weights: list[int],
) -> None:
    """Whole groups, each subset of axes with an array that lacks it; all choices, and the least of
    each count alone, which lead to the same.
    """
    extents, allowed, held, capacity, processors = case
    names = tuple(extents)

    def count(name: str, tiles: Mapping[str, int]) -> int:
        return -(-extents[name] // tiles[name])

    def counted(tiles: Mapping[str, int]) -> float:
        return sum(
            weight * math.prod(count(n, tiles) for j, n in enumerate(names) if k >> j & 1)
            for k, weight in enumerate(weights[: 2 ** len(names)], 0)
        )

    def idle(tiles: Mapping[str, int]) -> float:
        groups = math.prod(count(name, tiles) for name in names)
        return processors / min(processors, groups)

    points = [dict(zip(names, values, strict=True)) for values in product(*allowed.values())]
    fitting = [p for p in points if held.evaluate(p) <= capacity]
    smooth = variable(names[0]) ** -1
    first = best_tiles(smooth, [held], allowed, capacity, counted)
    if first is None:
        assert not fitting
        return
    least = min(counted(p) * idle(p) for p in fitting)
    fewer = {n: least_of_each_count(extents[n], tiles) for n, tiles in allowed.items()}
    for among in (allowed, fewer):
        found = busiest_tiles(first, [held], among, capacity, counted, idle)
        assert counted(found.tiles) == found.transfers
        assert found.transfers * idle(found.tiles) == least
        assert found.memory == held.evaluate(found.tiles) <= capacity
