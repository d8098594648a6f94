"""Schedules that are not fused: chosen where they take less, and written as kernels that run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ncd_formal.derivation import derive
from ncd_formal.realize.compilation import compiling
from ncd_formal.realize.interpreter import interpret
from tests.realize.test_triton_source import load, random

ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
SIZES = {"b": 1, "h": 32, "n": 4096, "m": 4096}


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def perceptron(x: Tensor, u: Tensor, d: Tensor) -> Tensor:
    return torch.relu(x @ u) @ d


@pytest.mark.parametrize(
    "program, inputs, sizes, shapes, because",
    [
        (
            attention,
            ATTENTION,
            {**SIZES, "d": 512},
            [(2, 1, 40, 160), (2, 1, 70, 160), (2, 1, 70, 160)],
            "unfused H = 4,898,947,072 values; fused moves less where",
        ),
        (
            perceptron,
            {"x": "n m", "u": "m f", "d": "f m"},
            {"n": 4096, "m": 1024, "f": 4096},
            [(33, 50), (50, 70), (70, 50)],
            "unfused, as fused no group fits the shared memory of h100",
        ),
    ],
)
def test_dispatches_are_written_where_fusing_does_not_pay(
    program: Callable[..., Tensor],
    inputs: dict[str, str],
    sizes: dict[str, int],
    shapes: list[tuple[int, ...]],
    because: str,
    tmp_path: Path,
) -> None:
    """They compute the program; the reason is in words and in the data."""
    found = derive(program, inputs, "h100", sizes)
    assert not found.fused and because in found.why
    assert f"not fused: {found.why}" in found.explain()
    found.save(tmp_path)
    written = {"dispatch_1.py", "dispatch_2.py", "kernel.py"}
    assert written == set(found.files) < {file.name for file in tmp_path.iterdir()}
    data: dict[str, Any] = json.loads((tmp_path / "derivation.json").read_text(encoding="utf-8"))
    assert data["fused"] is False and data["why"] == found.why and set(data["files"]) == written
    words = " ".join(found.files["dispatch_2.py"].split())
    assert "intermediate 1[" in words and ": taken for granted" in words
    runs = getattr(load(tmp_path / "kernel.py"), program.__name__)
    tensors = [random(*shape, seed=k) for k, shape in enumerate(shapes)]
    with interpret():
        result = runs(*tensors)
    torch.testing.assert_close(result, program(*tensors), atol=1e-4, rtol=1e-4)


def test_a_wide_head_has_a_kernel_that_compiles(tmp_path: Path) -> None:
    """Columns are cut where nothing that is contracted would be done again for each cut."""
    derive(attention, ATTENTION, "h100", {**SIZES, "d": 512}).save(tmp_path)
    runs = load(tmp_path / "kernel.py").attention
    with compiling("sm_90") as compiled:
        runs(*(torch.empty(1, 2, 512, 512, dtype=torch.float16, device="meta") for _ in range(3)))
    assert [each.spills for each in compiled] == [0, 0]
    assert all(each.instructions["wgmma"] > 0 for each in compiled)


def test_one_dispatch_is_written_where_fusing_pays() -> None:
    found = derive(attention, ATTENTION, "h100", {**SIZES, "d": 64})
    assert found.fused and found.files == {"kernel.py": found.kernel}
    assert "fused: fused H =" in found.explain() and "fused moves less where" in found.why
    assert not derive(attention, ATTENTION).why


def test_what_cannot_be_written_unfused_is_said() -> None:
    """An array that holds −∞ is no sum of real numbers: the fused kernel stays, and says so."""
    inputs = {"x": "n m : extended", "u": "m f", "d": "f m"}
    found = derive(perceptron, inputs, {"memory": 16_384}, {"n": 4096, "m": 1024, "f": 4096})
    assert not found.fused and found.files == {"kernel.py": found.kernel}
    assert "the kernel that is written is the fused one: x may hold −∞" in found.explain()


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    s = q @ k.mT
    return s / torch.sqrt((s * s).sum(-1, keepdim=True)) @ v


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_what_is_made_for_another_dispatch_has_the_range_of_float32(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    """The diagonal of KᵀK is a sum of squares, here 500,000, where float16 ends at 65,504."""
    inputs = {"q": "n d", "k": "n d", "v": "n d"}
    found = derive(spherical, inputs, "h100", {"n": 82_944, "d": 128})
    assert [list(each.writes) for each in found.dispatches][-1] == []
    found.save(tmp_path)
    q, k, v = (random(200, 32, seed=s, dtype=torch.float32) for s in range(3))
    q, k, v = (x.to(dtype) for x in (q, 50 * k, v))
    assert (k.double().mT @ k.double()).max() > 2 * torch.finfo(torch.float16).max
    with interpret():
        result = load(tmp_path / "kernel.py").spherical(q, k, v)
    assert result.dtype == dtype
    expected = spherical(*(x.double() for x in (q, k, v)))
    # Each of the roundings is one of the inputs' type or of tf32, relative to the terms of a sum.
    unit = torch.finfo(dtype).eps
    scale = expected.abs().max()
    assert ((result.double() - expected).abs() <= 4 * unit * (expected.abs() + scale)).all()
