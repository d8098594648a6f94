"""Operators: their definitions agree with PyTorch, and their errors name both sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal import operators as op
from ncd_formal.arrays import Array, Kind, iota, number, pointwise, unsqueeze
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.sizes import size
from ncd_formal.wires import ONE, ZERO, Term, constant, index, input_at, predicate
from tests.evaluation import SIZES, array, draw, value

INFINITY = math.inf


def agree(
    definition: Callable[..., Array], reference: Callable[..., Tensor], *shapes: str, below: int = 2
) -> None:
    """Both give the same on random inputs of these shapes (``"n d : boolean"``)."""
    operands, tensors = [], {}
    for k, text in enumerate(shapes):
        shape, _, suffix = text.partition(":")
        kind: Kind = {"": "real", "boolean": "boolean", "integer": "integer"}[suffix.strip()]  # type: ignore[assignment]
        operands.append(array(f"x{k}", shape, kind))
        tensors[f"x{k}"] = draw(shape, kind, below, seed=k)
    result, expected = definition(*operands), reference(*tensors.values())
    assert [extent.evaluate(SIZES) for extent in result.shape] == list(expected.shape)
    torch.testing.assert_close(value(result, tensors), expected.double(), equal_nan=True)


# Functions of values -------------------------------------------------------------------------

UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "negative": torch.neg,
    "inverse": torch.reciprocal,
    "square": torch.square,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "log": torch.log,
    "log2": torch.log2,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "atan": torch.atan,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "silu": F.silu,
    "softplus": F.softplus,
    "mish": F.mish,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "logical_not": torch.logical_not,
}
BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "power": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "floor_divide": torch.floor_divide,
    "remainder": torch.remainder,
    "rescale": lambda s, m: torch.exp(s - m),
    "leaky_relu": lambda x, slope: torch.where(x > 0, x, slope * x),
    "elu": lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x)),
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}
TERNARY: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "clamp": torch.clamp,
    "where": lambda c, a, b: torch.where(c != 0, a, b),
}
ALL: Mapping[str, Callable[..., Tensor]] = {**UNARY, **BINARY, **TERNARY}


def test_every_function_is_compared() -> None:
    assert ALL.keys() == op.POINTWISE.keys()


@pytest.mark.parametrize("name,reference", ALL.items(), ids=ALL)
def test_pointwise_functions(name: str, reference: Callable[..., Tensor]) -> None:
    arity = 1 + (name not in UNARY) + (name in TERNARY)
    agree(lambda *x: pointwise(name, *x), reference, *["n m"] * arity)


@pytest.mark.parametrize("name", ["less", "less_equal", "equal", "not_equal", "greater_equal"])
def test_comparisons_where_values_tie(name: str) -> None:
    agree(
        lambda a, b: pointwise(name, a, b), BINARY[name], "n m : integer", "n m : integer", below=3
    )


@pytest.mark.parametrize("exponent", [-3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 7, 0.3, -1.7])
def test_constant_powers(exponent: float) -> None:
    agree(
        lambda x: pointwise("power", x, number(exponent)),
        lambda x: torch.pow(x, exponent),
        "n m",
    )


def test_infinities_follow_the_calculus() -> None:
    x = array("x", "n")
    scores = torch.tensor([-INFINITY, 0.0, 1.0, -INFINITY, 2.0, -1.0])
    for name in ("exp", "add", "maximum", "sign", "expm1", "where"):
        arguments = [x] * (1 + (name in BINARY) + 2 * (name in TERNARY))
        tensors = [scores.double()] * len(arguments)
        if name == "where":
            arguments[0] = pointwise("greater_equal", iota(size("n")), number(3))
            tensors[0] = (torch.arange(6) >= 3).double()
        got = value(pointwise(name, *arguments), {"x": scores})
        reference: Callable[..., Tensor] = ALL[name]
        torch.testing.assert_close(got, reference(*tensors))


# Indices fold to polynomials, masks to predicates ---------------------------------------------

P, Q = size("n.0"), size("m.0")
i, j = index(P), index(Q)


@pytest.mark.parametrize(
    "folded,expected",
    [
        (op.POINTWISE["add"](i, j), index(P + Q)),
        (op.POINTWISE["subtract"](i, constant(1)), index(P - 1)),
        (op.POINTWISE["multiply"](i, j), index(P * Q)),
        (op.POINTWISE["negative"](i), index(-P)),
        (op.POINTWISE["floor_divide"](i, constant(4)), index(size("n.0 // 4"))),
        (op.POINTWISE["remainder"](i, constant(4)), index(size("n.0 % 4"))),
        (op.POINTWISE["floor"](i), i),
        (op.POINTWISE["power"](i, constant(3)), index(P**3)),
        (op.POINTWISE["less"](i, j), predicate(Q - P - 1)),
        (op.POINTWISE["less_equal"](i, j), predicate(Q - P)),
        (op.POINTWISE["greater"](i, j), predicate(P - Q - 1)),
        (op.POINTWISE["greater_equal"](i, j), predicate(P - Q)),
        (op.POINTWISE["logical_not"](predicate(P - Q)), predicate(Q - P - 1)),
        (op.POINTWISE["equal"](i, i), ONE),
        (op.POINTWISE["not_equal"](i, i), ZERO),
        (op.POINTWISE["equal"](i, index(P + 1)), ZERO),
    ],
    ids=str,
)
def test_indices_fold(folded: Term, expected: Term) -> None:
    assert folded is expected


def test_reals_do_not_fold() -> None:
    x, half = input_at("x", [P]), constant(Fraction(1, 2))
    assert op.POINTWISE["add"](x, i).op == "Add"
    assert op.POINTWISE["less"](half, i).op == "Less"
    assert op.POINTWISE["floor_divide"](i, constant(0)).op == "Function"
    assert op.POINTWISE["floor_divide"](i, index(size("n"))).op == "Function"


@given(st.integers(-4, 4), st.booleans())
def test_the_idioms_of_a_causal_mask_are_one_term(offset: int, strict: bool) -> None:
    row = unsqueeze(iota(size("n")), -1)
    column = iota(size("n"))
    shifted = pointwise("add", row, number(offset))
    below = "less" if strict else "less_equal"
    above = "greater_equal" if strict else "greater"
    idioms = [
        pointwise(below, column, shifted),
        pointwise("logical_not", pointwise(above, column, shifted)),
        op.causal_mask("n", "n", offset - strict),
    ]
    programs = elaborate([[mask] for mask in idioms]).programs
    assert len({output.term for (output,) in programs}) == 1


# Functions of arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("keep", [False, True])
def test_moments(correction: int, keep: bool) -> None:
    agree(lambda x: op.mean(x, (0, -1), keep), lambda x: x.mean((0, -1), keep), "b n d")
    agree(
        lambda x: op.variance(x, (-1, 1), correction, keep),
        lambda x: x.var((-1, 1), correction=correction, keepdim=keep),
        "b n d",
    )
    agree(
        lambda x: op.standard_deviation(x, (1,), correction, keep),
        lambda x: x.std(1, correction=correction, keepdim=keep),
        "b n d",
    )


def test_one_value_has_no_variance() -> None:
    assert value(op.variance(array("x", "1"), (0,)), {"x": torch.ones(1)}).isnan()


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax(dim: int) -> None:
    for softmax in (op.softmax, op.naive_softmax, op.safe_softmax):
        agree(lambda x, f=softmax: f(x, dim), lambda x: x.softmax(dim), "b n d")
    agree(lambda x: op.log_softmax(x, dim), lambda x: x.log_softmax(dim), "b n d")
    agree(lambda x: op.logsumexp(x, (dim,)), lambda x: x.logsumexp(dim), "b n d")
    agree(lambda x: op.cumulative_sum(x, dim), lambda x: x.cumsum(dim), "b n d")


def test_softmax_of_masked_scores() -> None:
    x = array("x", "b n")
    scores = draw("b n")
    scores[0], scores[1, 2:4] = -INFINITY, -INFINITY
    live, zeros = scores.softmax(-1)[1], torch.zeros(6, dtype=torch.float64)
    for softmax, dead in (
        (op.softmax, zeros / 0),
        (op.naive_softmax, zeros / 0),
        (op.safe_softmax, zeros),
    ):
        got = value(softmax(x, -1), {"x": scores})
        torch.testing.assert_close(got, torch.stack((dead, live)), equal_nan=True)
    got = value(op.logsumexp(x, (-1,)), {"x": scores})
    torch.testing.assert_close(got, scores.logsumexp(-1))
    got = value(op.log_softmax(x, -1), {"x": scores})
    torch.testing.assert_close(got, scores.log_softmax(-1), equal_nan=True)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("eps", [0, 2.5])
def test_normalize(order: Any, eps: float) -> None:
    agree(
        lambda x: op.normalize(x, 1, order, eps),
        lambda x: F.normalize(x, order, 1, eps),
        "b n d",
    )


def test_norms() -> None:
    agree(
        lambda x, w, c: op.layer_norm(x, 2, w, c),
        lambda x, w, c: F.layer_norm(x, x.shape[-2:], w, c),
        "b n d",
        "n d",
        "n d",
    )
    agree(op.layer_norm, lambda x: F.layer_norm(x, x.shape[-1:]), "b n d")
    agree(
        lambda x, w: op.rms_norm(x, 1, w, eps=1e-3),
        lambda x, w: F.rms_norm(x, x.shape[-1:], w, eps=1e-3),
        "b n d",
        "d",
    )
    agree(
        lambda x, w, c: op.group_norm(x, "h", w, c),
        lambda x, w, c: F.group_norm(x, 2, w, c),
        "b h*d n m",
        "h*d",
        "h*d",
    )
    agree(
        lambda x, m, v, w, c: op.batch_norm(x, m, pointwise("square", v), w, c),
        lambda x, m, v, w, c: F.batch_norm(x, m, v * v, w, c),
        "b d n m",
        *["d"] * 4,
    )


@pytest.mark.parametrize(
    "left,right",
    [("n", "n"), ("n d", "d"), ("d", "d m"), ("n d", "d m"), ("h b n d", "1 d m"), ("b n d", "d")],
)
def test_matmul(left: str, right: str) -> None:
    agree(op.matmul, torch.matmul, left, right)


def test_linear() -> None:
    agree(op.linear, F.linear, "b n d", "m d", "m")
    agree(op.linear, F.linear, "d", "m d")


@pytest.mark.parametrize(
    "pattern,letters,shapes",
    [
        ("b h n d, b h m d -> b h n m", "bhnd,bhmd->bhnm", ("b h n d", "b h m d")),
        ("n d, d m, m -> n", "nd,dm,m->n", ("n d", "d m", "m")),
        ("n n -> n", "nn->n", ("n n",)),
        ("n n ->", "nn->", ("n n",)),
        ("n m -> m n", "nm->mn", ("n m",)),
        ("n, m -> n m", "n,m->nm", ("n", "m")),
    ],
)
def test_contract(pattern: str, letters: str, shapes: tuple[str, ...]) -> None:
    agree(lambda *x: op.contract(pattern, *x), lambda *x: torch.einsum(letters, *x), *shapes)


def test_rearrange_and_repeat() -> None:
    agree(
        lambda x: op.rearrange(x, "b n (h d) -> b h n d", h="h"),
        lambda x: x.unflatten(-1, (2, 3)).transpose(1, 2),
        "b n h*d",
    )
    agree(
        lambda x: op.rearrange(x, "b h n d -> (n b) 1 (d h)"),
        lambda x: x.permute(2, 0, 3, 1).reshape(12, 1, 6),
        "b h n d",
    )
    agree(
        lambda x: op.repeat(x, "h n -> (h g) n m", g="g", m=5),
        lambda x: x.repeat_interleave(2, 0)[..., None].expand(4, 6, 5),
        "h n",
    )


@pytest.mark.parametrize("mask", ["", "1 n m : boolean", "n m", "b h n m : boolean"])
def test_attention(mask: str) -> None:
    shapes = ["b h n d", "b h m d", "b h m c", *([mask] if mask else [])]
    agree(op.attention, F.scaled_dot_product_attention, *shapes)


def test_attention_with_a_row_that_sees_nothing() -> None:
    q, k, v = (array(name, shape) for name, shape in (("q", "n d"), ("k", "m d"), ("v", "m c")))
    result = op.attention(q, k, v, array("mask", "n m", "boolean"))
    tensors = {"q": draw("n d"), "k": draw("m d", seed=1), "v": draw("m c", seed=2)}
    tensors["mask"] = torch.ones(6, 5, dtype=torch.bool)
    tensors["mask"][2] = False
    got = value(result, tensors)
    assert not got[2].any()
    expected = F.scaled_dot_product_attention(
        tensors["q"], tensors["k"], tensors["v"], tensors["mask"]
    )
    torch.testing.assert_close(got, expected)


def test_attention_options() -> None:
    agree(
        lambda q, k, v: op.attention(q, k, v, causal=True, scale=0.3),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3),
        "b n d",
        "b m d",
        "b m d",
    )
    agree(
        lambda q, k, v: op.attention(q, k, v, grouped=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        "b g*h n d",
        "b h m d",
        "b h m d",
    )


def test_embedding() -> None:
    agree(op.embedding, lambda w, ids: F.embedding(ids, w), "m d", "b n : integer", below=5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "scores,targets", [("n m", "n : integer"), ("b m n", "b n : integer"), ("m", ": integer")]
)
def test_cross_entropy(reduction: Any, scores: str, targets: str) -> None:
    agree(
        lambda s, t: op.cross_entropy(s, t, reduction),
        lambda s, t: F.cross_entropy(s, t, reduction=reduction),
        scores,
        targets,
        below=5,
    )


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_dropout_with_its_mask(probability: float) -> None:
    agree(
        lambda x, mask: op.dropout(x, mask, probability),
        lambda x, mask: x * mask / (1 - probability) if probability < 1 else 0 * x,
        "n m",
        "n m : boolean",
    )


def test_pad_and_windows() -> None:
    agree(
        lambda x: op.pad(op.pad(x, -1, 1, 2, 0.5), 0, "d", value=0.5),
        lambda x: F.pad(x, (1, 2, 3, 0), value=0.5),
        "n m",
    )
    agree(lambda x: op.windows(x, 1, 3, 2), lambda x: x.unfold(1, 3, 2), "b n m")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 1},
        {"stride": 2, "padding": 1},
        {"stride": (2, 1), "dilation": (1, 2), "padding": (0, 2)},
    ],
    ids=str,
)
def test_convolution_in_two_dimensions(options: Mapping[str, Any]) -> None:
    agree(
        lambda *x: op.convolution(*x, **options),
        lambda *x: F.conv2d(*x, **options),
        "b d n n+1",
        "m d 3 2",
        "m",
    )


def test_convolutions_of_other_ranks_and_groups() -> None:
    agree(op.convolution, F.conv1d, "b c n", "m c d", "m")
    agree(op.convolution, F.conv3d, "b 2 n m c", "3 2 2 2 2")
    agree(
        lambda x, w: op.convolution(x, w, groups="h"),
        lambda x, w: F.conv1d(x, w, groups=2),
        "b h*d n",
        "h*m d 3",
    )
    agree(
        lambda x, w: op.convolution(x, w, groups="d"),
        lambda x, w: F.conv1d(x, w, groups=3),
        "b d n",
        "d 1 3",
    )


# Errors ---------------------------------------------------------------------------------------

X, Y, THREE = array("x", "n d"), array("y", "m k"), array("k", "3 n d")


@pytest.mark.parametrize(
    "make,parts",
    [
        (lambda: op.matmul(X, Y), ["(n, d)", "(m, k)", "d is not m"]),
        (lambda: op.matmul(number(1), X), ["a number has no axis"]),
        (lambda: op.linear(X, array("w", "m k")), ["(n, d)", "(k, m)", "d is not k"]),
        (lambda: op.linear(X, array("w", "m")), ["(m)", "no matrix"]),
        (lambda: op.layer_norm(X, 1, array("w", "k")), ["layer_norm", "d is not k"]),
        (lambda: op.softmax(X, 2), ["softmax", "no dimension 2", "(n, d)"]),
        (lambda: op.contract("n d, m d -> n m", X, Y), ["'n d, m d -> n m'", "d is d", "and k"]),
        (lambda: op.contract("n d, m -> n", X, Y), ["operand 2 has 2 dimensions, not 1"]),
        (lambda: op.contract("n d -> n k", X), ["no operand has an axis 'k'"]),
        (lambda: op.contract("n d -> n n", X), ["repeats an axis"]),
        (lambda: op.contract("n d", X), ["'->' is missing"]),
        (lambda: op.contract("n d -> n", X, Y), ["1 operands are named and 2 are given"]),
        (lambda: op.contract("n ? -> n", X), ["'?' is no axis name"]),
        (lambda: op.rearrange(X, "n (h d) -> n h d"), ["(n, d)", "the sizes of h and d in d"]),
        (lambda: op.rearrange(X, "n (h d) -> n h d", h=4), ["h = 4", "4 does not divide d"]),
        (lambda: op.rearrange(X, "n d -> n", h=4), ["d is missing on the right"]),
        (lambda: op.rearrange(X, "n d -> n d e"), ["e is missing on the left"]),
        (lambda: op.rearrange(X, "n -> n"), ["1 axes are named, and there are 2"]),
        (lambda: op.rearrange(X, "n d -> d n", h=4), ["no axis 'h'"]),
        (lambda: op.rearrange(X, "n n -> n"), ["an axis is repeated"]),
        (lambda: op.rearrange(X, "n (d -> n d"), ["unexpected '(d'"]),
        (lambda: op.rearrange(X, "n d -> d n", d=3), ["3 is not d"]),
        (lambda: op.attention(X, Y, Y), ["attention", "d is not k"]),
        (lambda: op.attention(X, X, X, X, causal=True), ["not both"]),
        (lambda: op.attention(X, X, X, grouped=True), ["grouped", "3 dimensions"]),
        (
            lambda: op.attention(array("q", "5 n d"), THREE, THREE, grouped=True),
            ["3 does not divide 5"],
        ),
        (
            lambda: op.convolution(array("x", "b c n"), array("w", "o 3 k")),
            ["(b, c, n)", "(o, 3, k)", "c is not 3"],
        ),
        (lambda: op.convolution(X, X), ["(n, d)", "two dimensions and one for each position"]),
        (
            lambda: op.convolution(array("x", "b c n"), array("w", "o c k"), padding=(1, 2)),
            ["2 values for 1 positions"],
        ),
        (lambda: op.group_norm(X, 3), ["3 does not divide d"]),
        (lambda: op.dropout(X, X, 1.5), ["1.5 is not between 0 and 1"]),
        (lambda: op.normalize(X, 0, 3), ["order must be 1 or 2"]),  # type: ignore[arg-type]
    ],
)
def test_errors_name_both_sides(make: Callable[[], Array], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)
