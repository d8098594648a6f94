"""The operators that vision and language models export, against PyTorch; and what stays opaque."""

# Functions of torch have no signature that could be read, hence lambdas around them.
# ruff: noqa: PLW0108

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncd_formal.equivalence import prove
from ncd_formal.errors import InputError
from ncd_formal.frontends.aten import ATEN
from ncd_formal.frontends.coverage import coverage
from ncd_formal.frontends.torch_export import import_program
from tests.test_torch_export import SIZES, agrees

X = {"x": "b n"}
SIGNAL, IMAGE = {"x": "b c n"}, {"x": "b c n+4 m+4"}


def assigned_where_positive(x: Tensor) -> Tensor:
    x = x.clone()
    x[x > 0] = 0.5
    return x


def put(*indices: Tensor | None, accumulate: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    def program(x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = torch.ops.aten.index_put(x, indices, y, accumulate)
        return result

    return program


def rotary(x: Tensor, angle: Tensor) -> Tensor:
    """Pairs of neighbours turned by an angle, as products of complex numbers."""
    turn = torch.polar(torch.ones_like(angle), angle).view(angle.shape[0], 1, angle.shape[1])
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(3).type_as(x)


def complex_arithmetic(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = torch.complex(x, y)
    w = (z * z.conj() + z * 2 - z + x) / 3
    return w.real, w.imag, z.abs(), (-z).transpose(0, 1).real, z[1:].unsqueeze(0).imag


BILINEAR = {"x": "b n", "y": "b m", "w": "c n m"}

Case = tuple[str, Callable[..., Any], dict[str, str]]

CASES: list[Case] = [
    # transposed convolution
    (
        "transposed1d",
        lambda x, w, b: F.conv_transpose1d(x, w, b),
        {"x": "b c n", "w": "c d 3", "b": "d"},
    ),
    ("transposed1d_any_width", lambda x, w: F.conv_transpose1d(x, w), {"x": "b c n", "w": "c d m"}),
    (
        "transposed1d_stride",
        lambda x, w: F.conv_transpose1d(x, w, stride=2),
        {"x": "b c n", "w": "c d 3"},
    ),
    (
        "transposed1d_options",
        lambda x, w: F.conv_transpose1d(x, w, None, 3, 1, 2, 1, 2),
        {"x": "b c n", "w": "c d 3"},
    ),
    (
        "transposed1d_beyond_its_taps",
        lambda x, w: F.conv_transpose1d(x, w, stride=2, output_padding=1),
        {"x": "b c n", "w": "c d 2"},
    ),
    (
        "transposed1d_dilation",
        lambda x, w: F.conv_transpose1d(x, w, dilation=3, padding=2),
        {"x": "b c n", "w": "c d 3"},
    ),
    (
        "transposed1d_groups",
        lambda x, w, b: F.conv_transpose1d(x, w, b, stride=2, padding=1, groups=2),
        {"x": "b 2*c n", "w": "2*c d 4", "b": "2*d"},
    ),
    (
        "transposed1d_one",
        lambda x, w: F.conv_transpose1d(x, w, stride=2),
        {"x": "c n", "w": "c d 2"},
    ),
    (
        "transposed2d",
        lambda x, w: F.conv_transpose2d(x, w, stride=(2, 1), padding=(0, 1)),
        {"x": "b c n m", "w": "c d 3 3"},
    ),
    (
        "transposed3d",
        lambda x, w: F.conv_transpose3d(x, w, stride=2, padding=1),
        {"x": "1 c 2 3 n", "w": "c 2 4 4 4"},
    ),
    ("fold", lambda x: F.fold(x, (5, 6), 2, stride=(1, 2)), {"x": "b 8 12"}),
    ("fold_overlapping", lambda x: F.fold(x, (5, 5), 3, 1, 1, 2), {"x": "b 18 9"}),
    # pooling
    ("max_pool1d", lambda x: F.max_pool1d(x, 3, 2, padding=1), {"x": "b c 2*n"}),
    ("max_pool1d_module", nn.MaxPool1d(2).forward, {"input": "b c 2*n"}),
    (
        "max_pool1d_rounded_up",
        lambda x: F.max_pool1d(x, 3, 2, ceil_mode=True),
        {"x": "b c 2*n"},
    ),
    (
        "max_pool2d_rounded_up",
        lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True),
        {"x": "b c 5 7"},
    ),
    ("max_pool2d_dilation", lambda x: F.max_pool2d(x, 2, 1, dilation=2), IMAGE),
    ("max_pool3d", lambda x: F.max_pool3d(x, 2), {"x": "b c 2*n 2 4"}),
    (
        "avg_pool1d_without_margin",
        lambda x: F.avg_pool1d(x, 3, 2, padding=1, count_include_pad=False),
        {"x": "b c 2*n"},
    ),
    (
        "avg_pool1d_rounded_up",
        lambda x: F.avg_pool1d(x, 3, 2, ceil_mode=True),
        {"x": "b c 2*n"},
    ),
    (
        "avg_pool2d_rounded_up",
        lambda x: F.avg_pool2d(x, 3, 2, padding=1, ceil_mode=True),
        {"x": "b c 6 8"},
    ),
    (
        "avg_pool2d_rounded_up_without_margin",
        lambda x: F.avg_pool2d(x, 3, 2, 1, True, False),
        {"x": "b c 6 9"},
    ),
    (
        "avg_pool2d_divisor",
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        {"x": "b c 2*n 2*m"},
    ),
    ("avg_pool3d", lambda x: F.avg_pool3d(x, 2), {"x": "b c 2*n 2 4"}),
    ("adaptive_avg1d", lambda x: F.adaptive_avg_pool1d(x, 3), {"x": "b c 3*n"}),
    ("adaptive_avg2d", lambda x: F.adaptive_avg_pool2d(x, (2, None)), {"x": "b c 2*n m"}),
    ("adaptive_avg2d_uneven", lambda x: F.adaptive_avg_pool2d(x, (3, 2)), {"x": "b c 7 5"}),
    ("adaptive_avg3d", lambda x: F.adaptive_avg_pool3d(x, 2), {"x": "1 2 2*n 4 6"}),
    ("adaptive_max1d", lambda x: F.adaptive_max_pool1d(x, 3), {"x": "b c 3*n"}),
    ("adaptive_max2d", lambda x: F.adaptive_max_pool2d(x, (2, 3)), {"x": "b c 2*n 7"}),
    ("lp_pool", lambda x: F.lp_pool2d(x, 2, 2), {"x": "b c 2*n 2*m"}),
    ("local_response_norm", lambda x: F.local_response_norm(x, 3), {"x": "b c+2 n"}),
    # scales
    ("nearest1d", lambda x: F.interpolate(x, scale_factor=2), SIGNAL),
    (
        "nearest2d_exact",
        lambda x: F.interpolate(x, scale_factor=(2, 3), mode="nearest-exact"),
        {"x": "b c n m"},
    ),
    (
        "nearest2d_size",
        lambda x: F.interpolate(x, size=(2 * x.shape[2], x.shape[3])),
        {"x": "b c n m"},
    ),
    ("nearest3d", lambda x: F.interpolate(x, scale_factor=2), {"x": "1 c n 2 3"}),
    ("nearest_down", lambda x: F.interpolate(x, scale_factor=0.5), {"x": "b c 2*n"}),
    (
        "nearest_down_exact",
        lambda x: F.interpolate(x, scale_factor=0.25, mode="nearest-exact"),
        {"x": "b c 4*n 4*m"},
    ),
    ("upsample_module", nn.Upsample(scale_factor=2).forward, {"input": "b c n m"}),
    ("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), {"x": "b c 2*n 2*m"}),
    ("channel_shuffle", lambda x: F.channel_shuffle(x, 2), {"x": "b 2*c n m"}),
    # margins
    ("reflect", lambda x: F.pad(x, (2, 1), mode="reflect"), {"x": "b c n+3"}),
    ("reflect2d", nn.ReflectionPad2d((2, 1, 0, 1)).forward, {"input": "b c n+4 m+4"}),
    ("replicate", lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"), IMAGE),
    ("circular", lambda x: F.pad(x, (1, 2), mode="circular"), {"x": "b c n+2"}),
    # norms
    (
        "instance_norm",
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        {"x": "b c n+1 m", "w": "c", "b": "c"},
    ),
    (
        "instance_norm_eval",
        lambda x, m, v: F.instance_norm(x, m, v, use_input_stats=False),
        {"x": "b c n+1 m", "m": "c", "v": "c"},
    ),
    # scattering
    ("scatter_value", lambda x, i: x.scatter(1, i, 1.0), {"x": "b n d", "i": "b m d : int"}),
    (
        "scatter_one",
        lambda x, i, y: x.scatter(-1, i, y),
        {"x": "n 5", "i": "n 1 : int", "y": "n 1"},
    ),
    (
        "scatter_add",
        lambda x, i, y: x.scatter_add(0, i, y),
        {"x": "5 n", "i": "m n : int", "y": "m+1 n"},
    ),
    (
        "scatter_reduce",
        lambda x, i, y: (x.scatter_reduce(1, i, y, "sum"), x.scatter_reduce(1, i, y, "amax")),
        {"x": "n 5", "i": "n m : int", "y": "n m"},
    ),
    (
        "index_add",
        lambda x, i, y: x.index_add(1, i, y, alpha=2),
        {"x": "b n d", "i": "m : int", "y": "b m d"},
    ),
    (
        "index_copy",
        lambda x, y: x.index_copy(1, torch.arange(y.shape[1]) + 2, y),
        {"x": "b n+m+2 d", "y": "b m d"},
    ),
    (
        "index_copy_of_one_row",
        lambda x, i, y: x.index_copy(1, i, y),
        {"x": "b n d", "i": "1 : int", "y": "b 1 d"},
    ),
    ("index_fill", lambda x, i: x.index_fill(1, i, 2.0), {"x": "b n d", "i": "m : int"}),
    (
        "index_put_adds",
        lambda x, i, y: put(None, i, accumulate=True)(x, y),
        {"x": "b n d", "i": "m : int", "y": "m d"},
    ),
    (
        "index_put_into_a_cache",
        lambda x, i, y: put(None, None, i)(x, y),
        {"x": "b h n d", "i": "1 : int", "y": "b h 1 d"},
    ),
    ("assigned_where_positive", assigned_where_positive, X),
    # complex numbers
    ("rotary", rotary, {"x": "b n h 2*d", "angle": "n d"}),
    ("complex_arithmetic", complex_arithmetic, {"x": "n+1 m", "y": "n+1 m"}),
    # the rest
    ("cumulative", lambda x: (x.cumprod(1), x.logcumsumexp(0)), X),
    ("logaddexp", lambda x, y: torch.logaddexp(x, y), {"x": "b n", "y": "b n"}),
    ("prelu", lambda x, w: F.prelu(x, w), {"x": "b d n", "w": "d"}),
    ("dropout_by_a_mask", lambda x, m: x * m / (1 - 0.1), {"x": "b n", "m": "b n : bool"}),
    (
        "losses",
        lambda x, y: (F.smooth_l1_loss(x, y), F.huber_loss(x, y), F.l1_loss(x, y)),
        {"x": "b n", "y": "b n"},
    ),
    ("cross_entropy_of_labels", lambda x, t: F.cross_entropy(x, t), {"x": "n d", "t": "n : int"}),
    ("kron", lambda x, y: (torch.kron(x, y), x.kron(y[0])), {"x": "b n", "y": "m d"}),
    (
        "take_along_dim",
        lambda x, i: (torch.take_along_dim(x, i, 1), x.take_along_dim(i)),
        {"x": "b n", "i": "1 m : int"},
    ),
    ("bilinear", lambda x, y, w, b: F.bilinear(x, y, w, b), {**BILINEAR, "b": "c"}),
    ("bilinear_without_bias", lambda x, y, w: torch.bilinear(x, y, w), BILINEAR),
    (
        "distances",
        lambda x, y: (torch.cdist(x, y), torch.cdist(x, y, p=1)),
        {"x": "b n d", "y": "b m d"},
    ),
    ("block_diagonal", lambda x: torch.block_diag(x, x) @ torch.cat((x.mT, x.mT)), X),
    ("erfc", lambda x: torch.erfc(x) + torch.special.erfc(-x), X),
    ("xlogy", lambda x, y: torch.xlogy(F.relu(x), y.exp()), {"x": "b n", "y": "b n"}),
    ("lerp", lambda x, y: x.lerp(y, 0.3) + torch.lerp(x, y, y), {"x": "b n", "y": "b n"}),
    (
        "truth_values_compared_with_numbers",
        lambda m: torch.stack(
            [m > 0, m >= 0, m < 1, m <= 0, m == 1, m != 1, m.double() > 0.5, m == 2]
        ),
        {"m": "b n : bool"},
    ),
    (
        "positions_and_data_as_indices",
        lambda x, i: x[torch.arange(x.shape[0])[:, None], i, 1],
        {"x": "b n d+1", "i": "b m : int"},
    ),
    ("softplus", lambda x: F.softplus(x) + F.softplus(x, beta=2), X),
    ("addr", lambda z, x, y: torch.addr(z, x, y), {"z": "n m", "x": "n", "y": "m"}),
    ("diag_embed", lambda x: torch.diag_embed(x), {"x": "n m+1"}),
    (
        "triangles",
        lambda x: (x.triu(-1), torch.ones(x.shape[0], x.shape[1], dtype=torch.bool).tril()),
        {"x": "n m"},
    ),
]


@pytest.mark.parametrize(
    ("target", "inputs"), [pytest.param(target, inputs, id=name) for name, target, inputs in CASES]
)
def test_an_operator_computes_what_pytorch_computes(
    target: Callable[..., Any], inputs: dict[str, str]
) -> None:
    program = import_program(target, inputs)
    assert program.opaque == ()
    assert not [c for c in program.conditions if c.startswith("sizes:")]
    for sizes in SIZES:
        agrees(program, sizes)


@pytest.mark.parametrize(
    ("target", "inputs", "condition"),
    [
        (lambda x: F.pad(x, (2, 1), mode="reflect"), {"x": "b c n"}, "sizes: n >= 3"),
        (lambda x: F.pad(x, (2, 1), mode="circular"), {"x": "b c n"}, "sizes: n >= 2"),
        (lambda x: F.avg_pool1d(x, 3, 2), {"x": "b c n"}, "sizes: n >= 3"),
        (
            lambda x, w: F.conv_transpose1d(x, w, stride=2, padding=3),
            {"x": "b c n", "w": "c d 3"},
            "sizes: 2*n >= 6",
        ),
    ],
)
def test_sizes_at_which_an_operator_has_no_meaning_are_excluded(
    target: Callable[..., Any], inputs: dict[str, str], condition: str
) -> None:
    assert import_program(target, inputs).conditions == (condition,)


# What has no definition ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "inputs", "name"),
    [
        (lambda x, i, y: x.scatter(1, i, y), {"x": "n m", "i": "n b : int", "y": "n b"}, "scatter"),
        (lambda x, m: x.masked_scatter(m, x), {"x": "n m", "m": "n m : bool"}, "masked_scatter"),
        (lambda x: F.interpolate(x, scale_factor=1.5), {"x": "b c 8"}, "upsample_nearest1d"),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), IMAGE, "upsample_bilinear2d"),
        (lambda x: x.round(), X, "round"),
        (lambda x: x.sort(0).values, X, "sort"),
        (lambda x: x.isnan(), X, "isnan"),
    ],
)
def test_what_has_no_definition_is_opaque(
    target: Callable[..., Any], inputs: dict[str, str], name: str
) -> None:
    (found,) = import_program(target, inputs).opaque
    assert found.startswith(f"{name} at test_network_operators.py:")


@pytest.mark.parametrize(
    ("target", "inputs", "message"),
    [
        (lambda x: x[x > 0], X, "a size depends on the values of tensors"),
        (lambda x: x.nonzero(), X, "a size depends on the values of tensors"),
        (lambda x: torch.fft.fft(x), X, "complex numbers"),
        (lambda x: torch.complex(x, x).exp().real, X, "exp is not known on pairs of real ones"),
        (
            lambda x: torch.add(torch.complex(x, x), torch.complex(x, x), alpha=2).real,
            X,
            "alpha of add is not known on complex numbers",
        ),
        (lambda x: x / torch.complex(x, x), X, "a division by complex numbers"),
        (lambda x: F.dropout2d(x[..., None]), X, "draws random numbers"),
        (
            lambda x, w: F.conv_transpose1d(x, w, stride=2)[..., : w.shape[2]],
            {"x": "b c n", "w": "c d m"},
            "the stride 2 does not divide the width m",
        ),
    ],
)
def test_what_is_refused_says_why_in_one_line(
    target: Callable[..., Any], inputs: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        import_program(target, inputs)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


NATURAL: list[Case] = [
    (
        "topk_of_permuted_rows",
        lambda x: (x.flip(0).topk(3)[1], x.topk(3)[1].flip(0)),
        {"x": "n 5"},
    ),
    (
        "topk_along_the_other_axis",
        lambda x: (x.topk(3, 0)[0].T, x.T.topk(3)[0]),
        {"x": "5 n"},
    ),
    (
        "sort_of_flattened_batches",
        lambda x: (x.flatten(0, 1).sort(1)[0].view(x.shape), x.sort(-1)[0]),
        {"x": "b n m"},
    ),
    (
        "argmax_keeps_its_dimension",
        lambda x: (x.argmax(1, keepdim=True).flip(0), x.flip(0).argmax(1)[:, None]),
        {"x": "n m"},
    ),
    (
        "argmax_of_all",
        lambda x: (x.argmax(), x.flatten().argmax(0)),
        {"x": "n m"},
    ),
    ("a_function_of_values", lambda x: (x.asin().flip(1), x.flip(1).asin()), {"x": "n m"}),
    (
        "a_function_of_two_values",
        lambda x: (torch.atan2(x, x[:1]).T, torch.atan2(x.T, x.T[:, :1])),
        {"x": "n m"},
    ),
    (
        "positions_of_maxima",
        lambda x: (
            F.max_pool2d(x.flip(0), 2, return_indices=True)[1],
            F.max_pool2d(x, 2, return_indices=True)[1].flip(0),
        ),
        {"x": "b c 2*n 2*m"},
    ),
    (
        "interpolation_of_permuted_images",
        lambda x: (
            F.interpolate(x.flip(1), scale_factor=2, mode="bilinear"),
            F.interpolate(x, scale_factor=2, mode="bilinear").flip(1),
        ),
        {"x": "b c 4 6"},
    ),
]
NOT_NATURAL: list[Case] = [
    ("topk_along_its_axis", lambda x: (x.flip(1).topk(3)[0], x.topk(3)[0]), {"x": "n 5"}),
    ("argmax_of_a_transpose", lambda x: (x.T.argmax(), x.argmax()), {"x": "n n"}),
    ("sort_along_another_axis", lambda x: (x.sort(0)[0], x.sort(1)[0]), {"x": "n n"}),
    ("smallest_and_largest", lambda x: (x.topk(2)[0], x.topk(2, largest=False)[0]), {"x": "n 5"}),
    (
        "interpolation_of_flipped_images",
        lambda x: (
            F.interpolate(x.flip(2), scale_factor=2, mode="bilinear"),
            F.interpolate(x, scale_factor=2, mode="bilinear").flip(2),
        ),
        {"x": "b c 4 6"},
    ),
    (
        "bits_of_other_kinds",
        lambda x: (torch.bitwise_not((x > 0).long()), torch.bitwise_not(x > 0).long()),
        {"x": "n"},
    ),
]


@pytest.mark.parametrize(
    ("pair", "inputs", "natural"),
    [
        pytest.param(pair, inputs, natural, id=name)
        for cases, natural in ((NATURAL, True), (NOT_NATURAL, False))
        for name, pair, inputs in cases
    ],
)
def test_an_opaque_operator_is_natural_in_the_axes_it_does_not_see(
    pair: Callable[[Tensor], tuple[Tensor, Tensor]], inputs: dict[str, str], natural: bool
) -> None:
    def left(x: Tensor) -> Tensor:
        return pair(x)[0]

    def right(x: Tensor) -> Tensor:
        return pair(x)[1]

    verdict = prove(left, right, inputs, timeout=5)
    assert (verdict.status == "proved") is natural, verdict.explain()


# Whole networks --------------------------------------------------------------------------------


class Residual(nn.Module):
    """A residual block of a convolutional network, its second half depthwise and gated."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.squeeze = nn.Conv2d(width, 2, 1)
        self.excite = nn.Conv2d(2, width, 1)
        self.shortcut = nn.Conv2d(3, width, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.norm(self.conv(x)), inplace=True)
        y = self.depthwise(F.max_pool2d(y, 3, 1, padding=1))
        gate = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1))))
        y = y * F.hardsigmoid(gate) + self.shortcut(x)
        return F.adaptive_avg_pool2d(y, 1).flatten(1)


class UNet(nn.Module):
    """Down once and up once, with a skip connection."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.inner = nn.Conv2d(2, width, 3, padding=1)
        self.norm = nn.GroupNorm(2, width)
        self.outer = nn.Conv2d(2 * width, 1, 3, padding=1, padding_mode="replicate")
        self.up = nn.ConvTranspose2d(width, width, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm(self.inner(x)))
        z: Tensor = self.up(F.max_pool2d(y, 2))
        z = z + F.interpolate(F.avg_pool2d(y, 2), scale_factor=2)
        out: Tensor = self.outer(torch.cat((y, F.instance_norm(z)), 1))
        return out


class Mixture(nn.Module):
    """Two of three experts, chosen by the gate: what topk chooses is opaque."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 3)
        self.experts = nn.Parameter(torch.randn(3, width, width))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        routed = torch.zeros(x.shape[0], 3).scatter_add(-1, chosen, weights)
        return torch.einsum("ne,nd,edf->nf", routed, x, self.experts)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [(Residual(), {"x": "b 3 4*n 4*m"}), (UNet(), {"x": "b 2 2*n+2 2*m+2"})],
    ids=["residual", "unet"],
)
def test_a_network_is_imported_without_a_condition(
    network: nn.Module, inputs: dict[str, str]
) -> None:
    program = import_program(network.eval(), inputs)
    assert program.opaque == () and program.conditions == ()
    agrees(program, {"b": 1, "n": 1, "m": 2})


def test_positions_of_a_choice_are_distinct() -> None:
    """What is scattered to them does not meet; to positions that are given it may."""

    def spread(x: Tensor, into: Tensor) -> Tensor:
        values, positions = x.topk(2, dim=1)
        return into.scatter(1, positions, values)

    def across(x: Tensor, into: Tensor) -> Tensor:
        values, positions = x.topk(2, dim=1)
        return into.scatter(0, positions, values)

    def halved(x: Tensor, into: Tensor) -> Tensor:
        values, positions = x.topk(2, dim=1)
        return into.scatter(1, positions // 2, values)

    for program, opaque in (
        (spread, {"topk"}),
        (across, {"topk", "scatter"}),
        (halved, {"topk", "scatter"}),
    ):
        found = import_program(program, {"x": "n 4", "into": "n 4"})
        assert {name.split(" at ")[0] for name in found.opaque} == opaque


def test_a_mixture_of_experts_is_imported_around_its_choice() -> None:
    program = import_program(Mixture().eval(), {"x": "n 4"})
    assert [name.split(" at ")[0] for name in program.opaque] == ["topk"]
    assert math.prod(s.evaluate({"n": 3}) for s in program.outputs[0].shape) == 12


# What is listed --------------------------------------------------------------------------------


def test_every_handler_is_listed_and_no_operator_twice() -> None:
    listed = coverage()
    names = [row.name for row in listed]
    assert names == sorted(set(names))
    states = {row.name: row.state for row in listed}
    assert all(states[name] == ("opaque" if e.opaque else "known") for name, e in ATEN.items())


@pytest.mark.parametrize(
    ("target", "name", "state"),
    [
        (lambda x: x.asin(), "aten.asin.default", "opaque"),
        (lambda x: torch.addcmul(x, x, x), "aten.addcmul.default", "known"),
        (lambda x: x.sort(1)[0], "aten.sort.default", "opaque"),
        (lambda x: torch.cdist(x, x), "aten.cdist.default", "known"),
        (lambda x: torch.erfinv(x), "aten.erfinv.default", "opaque"),
        (lambda x: torch.randperm(5) + x.sum(), "aten.randperm.default", "refused"),
        (lambda x: x.nonzero(), "aten.nonzero.default", "refused"),
        (lambda x: torch.fft.rfft(x).abs(), "aten._fft_r2c.default", "refused"),
        (lambda x: torch.empty(3) * x.sum(), "aten.empty.memory_format", "refused"),
    ],
)
def test_what_is_listed_is_what_happens(target: Callable[..., Any], name: str, state: str) -> None:
    (row,) = (row for row in coverage() if row.name == name)
    assert row.state == state
    if state == "refused":
        reason = row.detail.split(" are not ")[0]
        with pytest.raises(InputError, match=reason):
            import_program(target, {"x": "n m"})
        return
    assert bool(import_program(target, {"x": "n m"}).opaque) is (state == "opaque")


def test_what_a_handler_leaves_opaque_is_read_from_its_code() -> None:
    details = {row.name: row.detail for row in coverage()}
    assert details["aten.slice_scatter.default"] == "by its definition; opaque for a step"
    assert "windows that may or may not reach past the end" in details["aten.avg_pool2d.default"]
    assert details["aten.tanh.default"] == "by its definition"
