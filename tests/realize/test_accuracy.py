import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.realize.accuracy import (
    EPSILON,
    Accuracy,
    SoftmaxContraction,
    gamma,
    judge,
)
from ncd_formal.realize.interpreter import interpret
from tests.realize import kernels_under_test as kernels
from tests.realize.kernels_under_test import Tiling

NARROW = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, *NARROW)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(
    shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0, scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    g = generator(seed)
    q, k, v = (torch.randn(*shape, generator=g) for _ in range(3))
    return (q * scale).to(dtype), (k * scale).to(dtype), v.to(dtype)


def laid_out(layout: str, shape: tuple[int, int, int, int], g: torch.Generator) -> Tensor:
    """Random numbers of this shape, in one of the ways that callers store them."""
    B, H, N, D = shape
    match layout:
        case "heads first":
            return torch.randn(B, H, N, D, generator=g)
        case "tokens first":
            return torch.randn(B, N, H, D, generator=g).transpose(1, 2)
        case "transposed":
            return torch.randn(B, H, D, N, generator=g).mT
        case "padded":
            return torch.randn(B, H, N + 3, D + 5, generator=g)[:, :, 1 : N + 1, 2 : D + 2]
        case "repeated":
            return torch.randn(1, 1, N, D, generator=g).expand(B, H, N, D)
    raise AssertionError(layout)


layouts = st.sampled_from(["heads first", "tokens first", "transposed", "padded", "repeated"])
lengths = st.sampled_from([1, 15, 16, 17, 63, 64, 65, 128, 200])


@given(
    B=st.integers(0, 2),
    H=st.integers(1, 2),
    M=lengths,
    N=lengths,
    D=st.sampled_from([16, 32, 64]),
    dtype=st.sampled_from(FLOATS),
    is_causal=st.booleans(),
    layout=st.tuples(layouts, layouts, layouts),
    tiling=st.sampled_from([Tiling(64, 64), Tiling(64, 128), Tiling(128, 64), Tiling(128, 32)]),
    scale=st.sampled_from([0.0, 1e-4, 1.0, 20.0]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_a_correct_kernel_is_accepted(
    B: int,
    H: int,
    M: int,
    N: int,
    D: int,
    dtype: torch.dtype,
    is_causal: bool,
    layout: tuple[str, str, str],
    tiling: Tiling,
    scale: float,
    seed: int,
) -> None:
    g = generator(seed)
    q, k, v = (
        (laid_out(name, (B, H, rows, D), g) * factor).to(dtype)
        for name, rows, factor in zip(layout, (M, N, N), (scale, scale, 1.0), strict=True)
    )
    with interpret():
        result, lse = kernels.softmax_contraction(q, k, v, is_causal, tiling)
    accuracy = SoftmaxContraction(q, k, v, is_causal=is_causal).judge(result, lse)
    assert accuracy.acceptable, accuracy


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("fault", ["16-bit scores", "16-bit weights' sum", "16-bit accumulator"])
def test_careless_rounding_is_rejected(fault: str, dtype: torch.dtype, seed: int) -> None:
    q, k, v = inputs((1, 2, 256, 64), dtype, seed, scale=2.0 if "scores" in fault else 1.0)
    with interpret():
        result, _ = kernels.softmax_contraction(q, k, v, tiling=Tiling(128, 32), fault=fault)
    accuracy = SoftmaxContraction(q, k, v).judge(result)
    assert accuracy.root_mean_square is not None
    assert accuracy.root_mean_square > 1, accuracy


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fault", ["mask off by one", "no rescaling"])
def test_wrong_algebra_is_rejected(fault: str, dtype: torch.dtype) -> None:
    q, k, v = inputs((1, 2, 128, 32), dtype)
    with interpret():
        result, lse = kernels.softmax_contraction(q, k, v, fault=fault)
    accuracy = SoftmaxContraction(q, k, v).judge(result, lse)
    assert accuracy.componentwise > 1, accuracy
    assert accuracy.log_sum_exp is not None
    assert accuracy.log_sum_exp > 1


def test_tf32_is_not_float32() -> None:
    q, k, v = inputs((1, 2, 128, 64), torch.float32)
    with interpret():
        result, lse = kernels.softmax_contraction(q, k, v, precision="tf32")
    accuracy = SoftmaxContraction(q, k, v).judge(result, lse)
    assert accuracy.root_mean_square is not None
    assert accuracy.root_mean_square > 1, accuracy
    assert SoftmaxContraction(q, k, v, operand_error=2**-10).judge(result, lse).acceptable
    with interpret():
        result, lse = kernels.softmax_contraction(q, k, v, precision="tf32x3")
    assert SoftmaxContraction(q, k, v).judge(result, lse).acceptable


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_constant_wrong_in_the_sixth_place_is_rejected(dtype: torch.dtype) -> None:
    # Numbers of one sign: without cancellation, scores are known to their last place.
    q, k, v = (x.abs() for x in inputs((1, 2, 64, 32), dtype, scale=10.0))
    with interpret():
        result, lse = kernels.softmax_contraction(q, k, v, log2_e=1.4427)
        right = kernels.softmax_contraction(q, k, v)
    definition = SoftmaxContraction(q, k, v)
    measured = definition.judge(result, lse).log_sum_exp
    assert measured is not None
    assert measured > 1
    assert definition.judge(*right).acceptable


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("is_causal", [False, True])
def test_pytorch_is_accepted(dtype: torch.dtype, is_causal: bool) -> None:
    q, k, v = inputs((2, 2, 64, 32), dtype)
    k, v = k[:, :1], v[:, :1]
    wide = torch.nn.functional.scaled_dot_product_attention(
        q.float(), k.float(), v.float(), is_causal=is_causal, scale=0.3, enable_gqa=True
    )
    result = wide.to(dtype)
    accuracy = SoftmaxContraction(q, k, v, 0.3, is_causal).judge(result)
    assert accuracy.acceptable, accuracy


def test_one_wrong_element_is_rejected() -> None:
    q, k, v = inputs((1, 1, 64, 64), torch.bfloat16)
    definition = SoftmaxContraction(q, k, v)
    result = definition.ideal.clone()
    assert definition.judge(result).acceptable
    result[0, 0, 40, 3] *= 1.1
    assert definition.judge(result).componentwise > 1


def test_a_row_that_admits_nothing_is_undefined() -> None:
    q, k, v = inputs((1, 1, 4, 16), torch.float32)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[2] = False
    definition = SoftmaxContraction(q, k, v, mask=mask)
    assert definition.exact[0, 0, 2].isnan().all()
    assert definition.log_sum_exp[0, 0, 2] == -math.inf
    result, lse = definition.exact.float(), definition.log_sum_exp.float()
    assert definition.judge(result, lse).acceptable
    assert definition.judge(result.nan_to_num(0.0)).componentwise == math.inf
    assert definition.judge(torch.full_like(result, math.nan)).componentwise == math.inf


def test_no_keys_and_no_rows() -> None:
    q, k, v = inputs((1, 1, 4, 16), torch.float32)
    assert SoftmaxContraction(q, k[:, :, :0], v[:, :, :0]).exact.isnan().all()
    empty = SoftmaxContraction(q[:0], k[:0], v[:0])
    assert empty.judge(q[:0], q[:0, :, :, 0]).acceptable


def test_the_mean_of_large_numbers_is_exact_enough_to_judge() -> None:
    q, k, v = inputs((1, 1, 64, 64), torch.float16, scale=200.0)
    with interpret():
        result, lse = kernels.softmax_contraction(q, k, v)
    assert SoftmaxContraction(q, k, v).judge(result, lse).acceptable


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
@settings(deadline=None)
def test_any_definition_can_be_judged(terms: list[float]) -> None:
    """A plain sum: the bound is γₙ Σ|x|, and adding one by one keeps it."""
    x = torch.tensor(terms)
    total = torch.zeros(())
    for term in x:
        total = total + term
    bound = gamma(len(terms)) * x.double().abs().sum()
    assert judge(total, x.double().sum(), bound).acceptable
    assert not judge(total + 4 * bound + 1e-30, x.double().sum(), bound).acceptable


def test_measures_print() -> None:
    assert str(Accuracy(0.5)) == "within the limits: componentwise 0.5"
    assert str(Accuracy(0.5, 0.8, 2)) == (
        "BEYOND the limits: componentwise 0.5, root mean square 0.8, log-sum-exp 2"
    )


def test_misuse_is_refused() -> None:
    q, k, v = inputs((1, 1, 4, 16), torch.float16)
    with pytest.raises(ValueError, match=r"float32, the inputs are torch\.float16"):
        SoftmaxContraction(q, k, v).judge(q.float())
    with pytest.raises(ValueError, match="instead of"):
        SoftmaxContraction(q, k, v).judge(q[:, :, :1])
    assert gamma(1) == pytest.approx(EPSILON)
    with pytest.raises(ValueError, match="no error bound"):
        gamma(2**23)
