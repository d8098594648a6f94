"""Derived kernels: emitted from proved forms, run in the corrected interpreter, compiled.

A kernel is judged by the rules of ``realize/accuracy.py``: every element within a bound that no
correct kernel can exceed, and over many elements an error of the size of unavoidable roundings.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.certificate import Certificate
from ncd_formal.derivation import derive
from ncd_formal.realize.accuracy import SoftmaxContraction, judge
from ncd_formal.realize.compilation import compiling
from ncd_formal.realize.interpreter import interpret
from ncd_formal.targets import load_target

ROOT = Path(__file__).parents[2]
ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDTHS = (32, 64, 128)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def saved() -> Any:
    return load(ROOT / "kernels" / "attention.py").attention


def emitted(folder: Path, program: Callable[..., Any], inputs: dict[str, str]) -> Any:
    """The launcher of the kernel derived from ``program``."""
    derive(program, inputs).save(folder)
    return getattr(load(folder / "kernel.py"), program.__name__)


# The saved kernel


def test_the_saved_kernel_is_what_is_derived_today() -> None:
    """Regenerate with ``ncd derive … --out`` where this fails on purpose."""
    program = load_target(f"{ROOT}/examples/attention.py:attention")
    derivation = derive(program, ATTENTION)
    assert derivation.kernel == (ROOT / "kernels" / "attention.py").read_text(encoding="utf-8")
    certificate = Certificate.load(ROOT / "kernels" / "attention.json")
    assert certificate.digest == derivation.certificate.digest
    assert certificate.digest in derivation.kernel
    certificate.check()


def layout(kind: str, shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int) -> Tensor:
    """A tensor of ``shape`` whose memory is laid out in one of several ways."""
    b, h, n, d = shape
    generator = torch.Generator().manual_seed(seed)

    def random(*extents: int) -> Tensor:
        return torch.randn(*extents, generator=generator).to(dtype)

    return {
        "plain": lambda: random(b, h, n, d),
        "transposed": lambda: random(b, n, h, d).transpose(1, 2),
        "columns": lambda: random(b, h, d, n).mT,
        "sliced": lambda: random(b, h, n + 3, d + 5)[:, :, 1 : n + 1, 2 : d + 2],
        "repeated": lambda: random(1, 1, n, d).expand(b, h, n, d),
    }[kind]()


layouts = st.sampled_from(["plain", "transposed", "columns", "sliced", "repeated"])
lengths = st.one_of(st.sampled_from([1, 15, 16, 17, 63, 64, 65, 129]), st.integers(1, 140))


@given(
    batch=st.integers(0, 2),
    n=lengths,
    m=lengths,
    d=st.sampled_from(WIDTHS),
    dtype=st.sampled_from(DTYPES),
    laid_out=st.tuples(layouts, layouts, layouts),
    scale=st.sampled_from([0.0, 1.0, 6.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_kernel_is_within_the_bounds(
    batch: int,
    n: int,
    m: int,
    d: int,
    dtype: torch.dtype,
    laid_out: tuple[str, str, str],
    scale: float,
    seed: int,
) -> None:
    """Odd lengths, an empty batch, any strides, every type and width."""
    q = layout(laid_out[0], (batch, 2, n, d), dtype, seed) * scale
    k = layout(laid_out[1], (batch, 2, m, d), dtype, seed + 1)
    v = layout(laid_out[2], (batch, 2, m, d), dtype, seed + 2)
    with interpret():
        result = saved()(q, k, v)
    assert result.shape == q.shape and result.dtype == dtype
    accuracy = SoftmaxContraction(q, k, v).judge(result)
    assert accuracy.acceptable, str(accuracy)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", WIDTHS)
def test_the_kernel_compiles_for_hopper_without_spills(dtype: torch.dtype, d: int) -> None:
    tensors = [torch.empty(2, 4, n, d, dtype=dtype, device="meta") for n in (1001, 1003, 1003)]
    with compiling("sm_90") as compiled:
        saved()(*tensors)
    (resources,) = compiled
    assert resources.spills == 0
    assert dtype == torch.float32 or resources.instructions["wgmma"] > 0


def test_a_nan_reaches_the_rows_that_read_it_and_no_others() -> None:
    q, k, v = (torch.randn(1, 1, 40, 32) for _ in range(3))
    q[0, 0, 7] = torch.nan
    with interpret():
        rows = saved()(q, k, v)[0, 0].isnan().any(-1)
    assert rows.tolist() == [row == 7 for row in range(40)]


@pytest.mark.parametrize(
    "shapes",
    [((1, 2, 8, 32), (1, 2, 9, 32), (1, 2, 8, 32)), ((1, 2, 8, 32), (1, 2, 9, 16), (1, 2, 9, 32))],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        saved()(*(torch.zeros(shape) for shape in shapes))


# Other definitions, by the same generator


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
    return F.scaled_dot_product_attention(q, k, v)


def biased(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / 8 + s, -1) @ v


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    s = q @ k.mT
    return (s / (s * s).sum(-1, keepdim=True).sqrt()) @ v


def product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def logsumexp(x: Tensor) -> Tensor:
    return torch.logsumexp(x, -1)


OTHERS: tuple[tuple[Callable[..., Any], dict[str, str]], ...] = (
    (causal, ATTENTION),
    (grouped, {**ATTENTION, "q": "b 4*h n d"}),
    (biased, {**ATTENTION, "s": "n m"}),
    (spherical, ATTENTION),
    (product, {"a": "n k", "b": "k m"}),
    (logsumexp, {"x": "n m"}),
)


@pytest.mark.parametrize(("program", "inputs"), OTHERS, ids=[p.__name__ for p, _ in OTHERS])
def test_other_definitions_become_kernels_too(
    program: Callable[..., Any], inputs: dict[str, str], tmp_path: Path
) -> None:
    """Compared with the program in float64; float32 loses less than 1e-4 on these."""
    kernel = emitted(tmp_path, program, inputs)
    for n, m in itertools.product((1, 33), (17, 70)):
        sizes = {"b": 1, "h": 2, "4*h": 8, "n": n, "m": m, "d": 32, "k": 48}
        tensors = [torch.randn([sizes[x] for x in text.split()]) for text in inputs.values()]
        wanted = program(*(t.double() for t in tensors))
        with interpret():
            result = kernel(*tensors)
        bound = 1e-4 * (1 + wanted.abs())
        assert judge(result, wanted, bound).acceptable
