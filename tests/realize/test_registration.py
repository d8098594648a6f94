import math
from itertools import count

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as sdpa

from ncd_formal.realize.interpreter import interpret
from ncd_formal.realize.registration import register
from tests.realize import kernels_under_test as kernels

_names = (f"ncd_formal_tests::operator_{n}" for n in count())


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None = None,
    is_causal: bool = False,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = q @ k.mT * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return scores.softmax(-1) @ v


def launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None = None,
    is_causal: bool = False,
    enable_gqa: bool = False,
) -> Tensor:
    assert scale is None
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    with interpret():
        return kernels.softmax_contraction(q, k, v, is_causal)[0]


operator = register(next(_names), launch, attention, fallback=launch)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Four query heads over two key heads, the tokens before the heads in memory."""
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 40, heads, 16, generator=g).to(dtype) for heads in (4, 2, 2))
    return (
        q.transpose(1, 2).requires_grad_(),
        k.transpose(1, 2).requires_grad_(),
        v.transpose(1, 2).requires_grad_(),
    )


def test_pytorch_accepts_the_operator() -> None:
    checks = torch.library.opcheck(operator, inputs(), {"is_causal": True, "enable_gqa": True})
    assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_definition(dtype: torch.dtype) -> None:
    arguments = inputs(dtype)
    result = operator(*arguments, is_causal=True, enable_gqa=True)
    q, k, v = (x.float() for x in arguments)
    expected = sdpa(q, k, v, is_causal=True, enable_gqa=True)
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(result.float(), expected, rtol=tolerance, atol=tolerance)
    found = torch.autograd.grad(result.float().square().sum(), arguments)
    wanted = torch.autograd.grad(expected.square().sum(), arguments)
    for x, y in zip(found, wanted, strict=True):
        assert x.dtype == dtype
        torch.testing.assert_close(x, y, rtol=4 * tolerance, atol=4 * tolerance)


def test_only_wanted_gradients_are_computed() -> None:
    q, k, v = inputs()
    result = operator(q, k.detach(), v.detach(), enable_gqa=True)
    (gradient,) = torch.autograd.grad(result.sum(), q)
    assert gradient.shape == q.shape


def test_compiled_programs_contain_the_operator() -> None:
    def program(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result: Tensor = operator(2 * q, k, v, is_causal=True, enable_gqa=True)
        return result + 1

    arguments = inputs()
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*arguments), program(*arguments))
    found = torch.autograd.grad(compiled(*arguments).sum(), arguments)
    torch.testing.assert_close(found, torch.autograd.grad(program(*arguments).sum(), arguments))


def test_shapes_need_no_data() -> None:
    q = torch.empty(2, 4, 1000, 64, device="meta", dtype=torch.bfloat16)
    result = operator(q, q, q)
    assert (result.shape, result.dtype, result.device) == (q.shape, q.dtype, q.device)


def test_any_definition_will_do() -> None:
    def scaled(x: Tensor, index: Tensor, factor: float = 2.0) -> Tensor:
        return x[index] * factor

    def never(x: Tensor, index: Tensor, factor: float = 2.0) -> Tensor:
        raise AssertionError("launched without a GPU")

    gather = register(next(_names), never, scaled)
    x = torch.arange(4.0, requires_grad=True)
    result = gather(x, torch.tensor([3, 3, 0]), factor=5.0)
    assert result.tolist() == [15, 15, 0]
    assert torch.autograd.grad(result.sum(), x)[0].tolist() == [5, 0, 0, 10]


def test_a_signature_without_types_is_refused() -> None:
    def bare(x):  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(ValueError, match="must have a type annotation"):
        register(next(_names), bare, bare)
