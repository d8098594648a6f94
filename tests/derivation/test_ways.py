"""The ways to run a program in several orders: which is chosen, why, and what is written."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal.derivation import Derivation, compare, derive, estimate
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.signomials import signomial
from ncd_formal.realize.interpreter import interpret
from ncd_formal.sizes import size
from tests.programs.definitions import DEFINITIONS
from tests.realize.test_triton_source import load, random

SQUARE = {"q": "n d", "k": "n d", "v": "n d"}
PICTURE = {"n": 82_944, "d": 128}
"""288 × 288 patches: Spherical Attention's largest."""


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Spherical Attention, definition 2."""
    return F.normalize(q @ k.mT, dim=-1) @ v


@cache
def collapsed() -> Derivation:
    return derive(spherical, SQUARE, "h100", PICTURE)


def test_the_collapse_is_chosen_with_its_regime_and_its_saving() -> None:
    """From the definition alone: n > 2d, and 324 times fewer operations at n = 82,944, d = 128."""
    found = collapsed()
    assert not found.fused and len(found.dispatches) == 3
    assert "in the large n ≥ 2*d" in found.why
    as_written = derive(spherical, SQUARE).cost.operations
    assert as_written.leading() == signomial(size("4*d*n**2"))
    assert found.cost.operations.leading() == signomial(size("8*d**2*n"))
    ratio = as_written.leading() / found.cost.operations.leading()
    assert ratio == signomial(size("n")) / signomial(size("2*d"))
    assert ratio.evaluate(PICTURE) == 324
    exact = as_written.evaluate(PICTURE) / found.cost.operations.evaluate(PICTURE)
    assert exact == pytest.approx(324, rel=0.005)


def test_its_dispatches_run_and_are_proved_apart(tmp_path: Path) -> None:
    found = collapsed()
    found.save(tmp_path)
    for number, dispatch in enumerate(found.dispatches, 1):
        assert dispatch.form.certificate.check().goals == 1
        assert (tmp_path / f"dispatch_{number}.json").exists()
    assert found.certificate.check().goals == 1
    tensors = [random(70, 40, seed=k) for k in range(3)]
    with interpret():
        result = load(tmp_path / "kernel.py").spherical(*tensors)
    torch.testing.assert_close(result, spherical(*tensors), atol=1e-5, rtol=1e-5)


def test_without_sizes_the_other_order_is_named_with_its_regime() -> None:
    found = derive(spherical, SQUARE)
    (other,) = found.others
    assert found.fused and "in the large n ≥ 2*d" in other
    assert f"another order: {other}" in found.explain()


def test_a_map_holds_every_order() -> None:
    alone = replace(machine("h100"), processors=1)  # of which none idles at n = 64
    found = compare(spherical, {"n": (64, 65_536)}, SQUARE, alone, {"d": 128})
    assert found.candidates[:2] == ("fused", "unfused") and len(found.candidates) == 3
    first, last = (cell.winner for cell in found.cells)
    assert first == "fused" and last == found.candidates[2]


def test_a_chain_starts_where_least_is_made() -> None:
    """(A·B)·x costs a product of matrices; A·(B·x) two of a matrix and a vector."""

    def chain(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return a @ b @ x

    shapes = {"a": "i j", "b": "j k", "x": "k l"}
    sizes = {"i": 4096, "j": 4096, "k": 4096, "l": 16}
    found = estimate(chain, shapes, "h100", sizes)
    assert found.cost.operations == signomial(size("2*i*j*l + 2*j*k*l"))


def test_what_a_fold_makes_is_not_cut_from_inside_it() -> None:
    """Absorbed keys: the sum above the fold over blocks is no part of a block."""
    definition = DEFINITIONS["latent attention"]
    sizes = {"b": 1, "h": 16, "n": 1, "m": 8192, "d": 128, "r": 512}
    found = compare(definition.program, {"m": (1024, 8192)}, definition.inputs, "h100",
                    {k: v for k, v in sizes.items() if k != "m"})  # fmt: skip
    assert all(cell.costs for cell in found.cells)
    assert any("inside" in name for name in found.candidates)


def test_what_stands_above_a_fold_is_counted_once_for_all_blocks() -> None:
    """The projection of attention's output does no work for each key."""

    def projected(q: Tensor, k: Tensor, v: Tensor, w: Tensor) -> Tensor:
        return torch.softmax(q @ k.mT, -1) @ v @ w

    shapes = {"q": "n d", "k": "m d", "v": "m e", "w": "e c"}
    counted = estimate(projected, shapes).cost.operations
    assert counted == signomial(size("2*n*m*d + 2*n*m*e + 2*n*e*c"))


def test_one_dispatch_in_another_order_is_what_is_written(tmp_path: Path) -> None:
    """What is costed is what runs: the keys absorbed, still in one dispatch."""
    definition = DEFINITIONS["latent attention"]
    sizes = {"b": 256, "h": 16, "n": 1, "m": 8192, "d": 128, "r": 64}
    found = derive(definition.program, definition.inputs, "h100", sizes)
    (only,) = found.dispatches
    assert found.fused and "inside against fused" in found.why
    assert only.form.certificate.goals[0].left is found.certificate.goals[0].right
    found.save(tmp_path)
    shapes = [(1, 2, 5, 16), (1, 70, 24), (2, 24, 16), (2, 24, 16)]
    tensors = [random(*shape, seed=k) for k, shape in enumerate(shapes)]
    with interpret():
        result = load(tmp_path / "kernel.py").latent(*tensors)
    torch.testing.assert_close(result, definition.program(*tensors), atol=1e-4, rtol=1e-4)
