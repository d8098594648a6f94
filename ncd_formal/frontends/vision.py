"""The operators of convolutional networks by their definitions: windows, margins and scales.

These register themselves in the table of :mod:`ncd_formal.frontends.aten`, where the conventions
of a handler are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from ncd_formal import arrays, operators
from ncd_formal.arrays import Array, number
from ncd_formal.errors import InputError
from ncd_formal.frontends.aten import (
    Extent,
    Scalar,
    Site,
    UnsupportedError,
    aten,
    opaque_positions,
)
from ncd_formal.sizes import Polynomial, divide, quotient, size

# Convolution -----------------------------------------------------------------------------------


@aten("convolution.default")
def _convolution(
    site: Site,
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Sequence[Extent],
    padding: Sequence[Extent],
    dilation: Sequence[Extent],
    transposed: bool,
    output_padding: Sequence[Extent],
    groups: Extent,
) -> Array:
    if transposed:
        return _transposed(site, x, weight, bias, stride, padding, output_padding, groups, dilation)
    positions = x.rank - 2
    strides, margins, gaps = (_each(v, positions) for v in (stride, padding, dilation))
    for k in range(positions):
        reach = size(1) * gaps[k] * (weight.shape[2 + k] - 1)
        site.require(x.shape[2 + k] + size(2) * margins[k] - reach - 1)
    return operators.convolution(
        x, weight, bias, strides, margins, gaps, groups, origin=site.origin
    )


@aten("conv1d.default", "conv2d.default", "conv3d.default")
def _conv(
    site: Site,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sequence[Extent] = (1,),
    padding: Sequence[Extent] = (0,),
    dilation: Sequence[Extent] = (1,),
    groups: Extent = 1,
) -> Array:
    if x.rank == weight.rank:
        return _convolution(site, x, weight, bias, stride, padding, dilation, False, (0,), groups)
    one = arrays.unsqueeze(x, 0, site.origin)
    result = _conv(site, one, weight, bias, stride, padding, dilation, groups)
    return arrays.choose(result, 0, 0, site.origin)


@aten("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
def _transposed(
    site: Site,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sequence[Extent] = (1,),
    padding: Sequence[Extent] = (0,),
    output_padding: Sequence[Extent] = (0,),
    groups: Extent = 1,
    dilation: Sequence[Extent] = (1,),
) -> Array:
    if x.rank != weight.rank:
        one = arrays.unsqueeze(x, 0, site.origin)
        result = _transposed(
            site, one, weight, bias, stride, padding, output_padding, groups, dilation
        )
        return arrays.choose(result, 0, 0, site.origin)
    positions = x.rank - 2
    steps, margins, beyond, gaps = (
        _each(v, positions) for v in (stride, padding, output_padding, dilation)
    )
    result = operators.transposed_convolution(
        x, weight, bias, steps, margins, beyond, gaps, groups, site.origin
    )
    for extent in result.shape[2:]:
        site.require(extent - 1)
    return result


def _each(values: Sequence[Extent], count: int) -> tuple[Extent, ...]:
    return tuple(values) * count if len(values) == 1 else tuple(values)


# Margins ---------------------------------------------------------------------------------------


@aten("constant_pad_nd.default")
def _constant_pad(site: Site, x: Array, pad: Sequence[Extent], value: Scalar = 0) -> Array:
    filling = site.cast(site.array(value), x.kind)
    for k in range(len(pad) // 2):
        dim = x.rank - 1 - k
        before, after = size(1) * pad[2 * k], size(1) * pad[2 * k + 1]
        # A negative margin cuts.
        cut_before, cut_after = (-m if (m.constant or 0) < 0 else size(0) for m in (before, after))
        if cut_before.terms or cut_after.terms:
            extent = x.shape[dim] - cut_before - cut_after
            site.require(extent)
            x = arrays.affine(x, dim, extent, cut_before, origin=site.origin)
        margins = [
            None
            if cut.terms or not margin.terms
            else arrays.expand(filling, (*x.shape[:dim], margin, *x.shape[dim + 1 :]), site.origin)
            for margin, cut in ((before, cut_before), (after, cut_after))
        ]
        parts = [p for p in (margins[0], x, margins[1]) if p is not None]
        x = arrays.concatenate(parts, dim, site.origin)
    return x


@aten("pad.default")
def _pad(
    site: Site,
    x: Array,
    pad: Sequence[Extent],
    mode: str = "constant",
    value: Scalar | None = None,
) -> Array:
    if mode == "constant":
        return _constant_pad(site, x, pad, 0 if value is None else value)
    return _continued(site, x, pad, mode)


def _continued(site: Site, x: Array, padding: Sequence[Extent], mode: str) -> Array:
    """Margins that continue the values: mirrored, repeated, or from the other end."""
    for k in range(len(padding) // 2):
        dim = x.rank - 1 - k
        margins = [size(1) * m for m in padding[2 * k : 2 * k + 2]]
        if any((m.constant or 0) < 0 for m in margins):
            raise UnsupportedError("a margin that cuts")
        before, after = (_margin(site, x, dim, m, mode, k == 0) for k, m in enumerate(margins))
        parts = [before, x, after]
        kept = [p for p in parts if p.shape[dim] is not size(0)]
        x = arrays.concatenate(kept, dim, site.origin)
    return x


def _margin(site: Site, x: Array, dim: int, margin: Polynomial, mode: str, front: bool) -> Array:
    extent = x.shape[dim]
    if mode == "replicate":
        return arrays.affine(x, dim, margin, 0 if front else extent - 1, 0, site.origin)
    if mode == "reflect":
        site.require(extent - 1 - margin)
        return arrays.affine(x, dim, margin, margin if front else extent - 2, -1, site.origin)
    site.require(extent - margin)
    return arrays.affine(x, dim, margin, extent - margin if front else 0, origin=site.origin)


for _count in (1, 2, 3):

    @aten(f"reflection_pad{_count}d.default", f"replication_pad{_count}d.default")
    def _mirrored(site: Site, x: Array, padding: Sequence[Extent]) -> Array:
        return _continued(
            site, x, padding, "reflect" if site.name.startswith("reflection") else "replicate"
        )


# Pooling ---------------------------------------------------------------------------------------


def _windows_over(
    site: Site,
    x: Array,
    kernel_size: Sequence[Extent],
    stride: Sequence[Extent],
    padding: Sequence[Extent],
    dilation: Sequence[Extent],
    outside: float,
    count: int,
    rounded_up: bool = False,
) -> tuple[Array, list[Polynomial]]:
    """Windows over the last ``count`` dimensions, as as many new last dimensions.

    Also by how much the last window of each dimension reaches past the margin at the end.
    """
    widths = _each(kernel_size, count)
    strides = _each(stride, count) if stride else widths
    margins, gaps = _each(padding, count), _each(dilation, count)
    first = x.rank - count
    beyond: list[Polynomial] = []
    for k in range(count):
        dim, margin = first + k, size(1) * margins[k]
        extra = size(0)
        if rounded_up:
            reach = size(1) * gaps[k] * (size(1) * widths[k] - 1)
            extra = _excess(site, x.shape[dim], margin, reach, size(1) * strides[k], dim)
        beyond.append(extra)
        if margin.terms or extra.terms:
            x = operators.pad(x, dim, margin, margin + extra, outside, site.origin)
        site.require(x.shape[dim] - size(1) * gaps[k] * (size(1) * widths[k] - 1) - 1)
        x = operators.windows(x, dim, widths[k], strides[k], gaps[k], site.origin)
    return x, beyond


def _excess(
    site: Site,
    extent: Polynomial,
    margin: Polynomial,
    reach: Polynomial,
    step: Polynomial,
    dim: int,
) -> Polynomial:
    """How far the last window reaches past the margin, where windows are rounded up.

    A window must start inside of the operand or of the margin before it; whether the last one does
    is as traced, and required.
    """
    most = quotient(extent + margin * 2 - reach - 1 + step - 1, step) + 1
    number_of_windows = site.shape[dim]
    inside = extent + margin - 1 - (most - 1) * step
    if number_of_windows is most:
        site.require(inside)
    elif number_of_windows is most - 1:
        site.require(-inside - 1)
    else:
        raise UnsupportedError("a number of windows that is not known")
    extra = (number_of_windows - 1) * step + reach + 1 - extent - margin * 2
    known = site.conditions.context.nonnegative
    if known(-extra):
        return size(0)
    if not known(extra):
        raise UnsupportedError("windows that may or may not reach past the end")
    return extra


def _avg_pool(
    site: Site,
    x: Array,
    kernel_size: Sequence[Extent],
    stride: Sequence[Extent] = (),
    padding: Sequence[Extent] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Extent | None = None,
    *,
    count: int,
) -> Array:
    first = x.rank - count
    whole = x.shape[first:]
    pooled, beyond = _windows_over(site, x, kernel_size, stride, padding, (1,), 0, count, ceil_mode)
    if divisor_override is not None:
        total = arrays.reduce("Sum", pooled, range(-count, 0), site.origin)
        return site.apply("divide", total, divisor_override)
    partial_ = any(e.terms for e in beyond)
    if not partial_ and (count_include_pad or all(p == 0 for p in padding)):
        return operators.mean(pooled, range(-count, 0), origin=site.origin)
    result = arrays.reduce("Sum", pooled, range(-count, 0), site.origin)
    # What a window has of the operand (and its margins) counts, and nothing beyond them.
    margins, widths = _each(padding, count), _each(kernel_size, count)
    strides = _each(stride, count) if stride else widths
    for k in range(count):
        inner, outer = size(0), size(1) * margins[k]
        if count_include_pad:
            inner, outer = outer, inner
        ones = arrays.expand(number(1), (whole[k] + inner * 2,), site.origin)
        ones = operators.pad(ones, 0, outer, outer + beyond[k], 0, site.origin)
        seen = operators.windows(ones, 0, widths[k], strides[k], origin=site.origin)
        held = arrays.reduce("Sum", seen, (-1,), site.origin)
        for _ in range(count - 1 - k):
            held = arrays.unsqueeze(held, -1, site.origin)
        result = site.apply("divide", result, held)
    return result


def _max_pool_values(
    site: Site,
    x: Array,
    kernel_size: Sequence[Extent],
    stride: Sequence[Extent] = (),
    padding: Sequence[Extent] = (0,),
    dilation: Sequence[Extent] = (1,),
    ceil_mode: bool = False,
    *,
    count: int,
) -> Array:
    pooled, _ = _windows_over(
        site, x, kernel_size, stride, padding, dilation, -math.inf, count, ceil_mode
    )
    return arrays.reduce("Max", pooled, range(-count, 0), site.origin)


def _max_pool(
    site: Site,
    x: Array,
    kernel_size: Sequence[Extent],
    stride: Sequence[Extent] = (),
    padding: Sequence[Extent] = (0,),
    dilation: Sequence[Extent] = (1,),
    ceil_mode: bool = False,
    *,
    count: int,
) -> tuple[Array, ...]:
    values = _max_pool_values(
        site, x, kernel_size, stride, padding, dilation, ceil_mode, count=count
    )
    name = f"{site.operator}({kernel_size}, {stride}, {padding}, {dilation}, {ceil_mode})"
    return values, opaque_positions(site, x, name, count, values.shape)


@aten("im2col.default")
def _im2col(
    site: Site,
    x: Array,
    kernel_size: Sequence[Extent],
    dilation: Sequence[Extent],
    padding: Sequence[Extent],
    stride: Sequence[Extent],
) -> Array:
    pooled, _ = _windows_over(site, x, kernel_size, stride, padding, dilation, 0, 2)
    first = x.rank - 2
    order = (*range(first), first + 2, first + 3, first, first + 1)
    return arrays.view(arrays.permute(pooled, order, site.origin), site.shape, site.origin)


@aten("col2im.default")
def _col2im(
    site: Site,
    x: Array,
    output_size: Sequence[Extent],
    kernel_size: Sequence[Extent],
    dilation: Sequence[Extent],
    padding: Sequence[Extent],
    stride: Sequence[Extent],
) -> Array:
    """Windows laid over one another and added: the transposed convolution with single taps."""
    if x.rank == 2:
        one = arrays.unsqueeze(x, 0, site.origin)
        result = _col2im(site, one, output_size, kernel_size, dilation, padding, stride)
        return arrays.choose(result, 0, 0, site.origin)
    widths, heights = [size(1) * w for w in kernel_size], [size(1) * s for s in output_size]
    steps, margins, gaps = ([size(1) * v for v in each] for each in (stride, padding, dilation))
    spans = [gap * (w - 1) + 1 - m * 2 for gap, w, m in zip(gaps, widths, margins, strict=True)]
    counts = [
        quotient(h - span, step) + 1 for h, span, step in zip(heights, spans, steps, strict=True)
    ]
    beyond = [
        h - step * (n - 1) - span
        for h, step, n, span in zip(heights, steps, counts, spans, strict=True)
    ]
    taps = widths[0] * widths[1]
    channels = divide(x.shape[1], taps)
    assert channels is not None
    one_hot = site.apply(
        "equal",
        arrays.unsqueeze(arrays.iota(taps, site.origin), 1, site.origin),
        arrays.iota(taps, site.origin),
    )
    kernel = arrays.expand(site.cast(one_hot, "real"), (channels, taps, taps), site.origin)
    kernel = arrays.view(kernel, (channels * taps, size(1), *widths), site.origin)
    values = arrays.view(x, (x.shape[0], x.shape[1], *counts), site.origin)
    return operators.transposed_convolution(
        values, kernel, None, steps, margins, beyond, gaps, channels, site.origin
    )


def _adaptive(
    site: Site, x: Array, output_size: Sequence[Extent], *, count: int, monoid: str
) -> Array:
    """``output_size`` windows that cover a dimension evenly; only even ones may be symbolic."""
    first = x.rank - count
    for dim in range(first, x.rank):
        extent, windows = x.shape[dim], size(1) * site.shape[dim]
        width = divide(extent, windows)
        if width is not None:
            shape = (*x.shape[:dim], windows, width, *x.shape[dim + 1 :])
            x = _summary(site, arrays.view(x, shape, site.origin), dim + 1, monoid)
            continue
        n, m = extent.constant, windows.constant
        if n is None or m is None:
            raise UnsupportedError("windows of different widths over a symbolic size")
        bounds = [(k * n // m, -(-(k + 1) * n // m)) for k in range(m)]
        parts = [
            _summary(site, arrays.affine(x, dim, size(e - s), s, origin=site.origin), dim, monoid)
            for s, e in bounds
        ]
        parts = [arrays.unsqueeze(part, dim, site.origin) for part in parts]
        x = arrays.concatenate(parts, dim, site.origin)
    return x


def _summary(site: Site, x: Array, dim: int, monoid: str) -> Array:
    if monoid == "Max":
        return arrays.reduce("Max", x, (dim,), site.origin)
    return operators.mean(x, (dim,), origin=site.origin)


def _adaptive_max(
    site: Site, x: Array, output_size: Sequence[Extent], *, count: int
) -> tuple[Array, ...]:
    values = _adaptive(site, x, output_size, count=count, monoid="Max")
    name = f"{site.operator}({[str(s) for s in output_size]})"
    return values, opaque_positions(site, x, name, count, values.shape)


for _count in (1, 2, 3):
    aten(f"avg_pool{_count}d.default")(partial(_avg_pool, count=_count))
    aten(f"max_pool{_count}d.default")(partial(_max_pool_values, count=_count))
    aten(f"adaptive_avg_pool{_count}d.default")(partial(_adaptive, count=_count, monoid="Sum"))
    aten(f"adaptive_max_pool{_count}d.default")(partial(_adaptive_max, count=_count))
for _count in (2, 3):
    aten(f"max_pool{_count}d_with_indices.default")(partial(_max_pool, count=_count))
    aten(f"_adaptive_avg_pool{_count}d.default")(partial(_adaptive, count=_count, monoid="Sum"))


# Scales ----------------------------------------------------------------------------------------


def _nearest(
    site: Site,
    x: Array,
    output_size: Sequence[Extent] | None = None,
    scale_factors: Sequence[float] | None = None,
    scales: float | None = None,
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
    *,
    count: int,
) -> Array:
    """Each value repeated a whole number of times, or every so-and-so-many-th value."""
    given = scale_factors or [s for s in (scales, scales_d, scales_h, scales_w) if s is not None]
    factors: list[float | None] = list(given) if given else [None] * count
    if len(factors) != count:
        raise UnsupportedError("scales of some dimensions only")
    for k, factor in enumerate(factors):
        dim = x.rank - count + k
        before, after = x.shape[dim], site.shape[dim]
        times, every = divide(after, before), divide(before, after)
        if times is not None and _is(factor, times):
            spread = arrays.unsqueeze(x, dim + 1, site.origin)
            shape = (*x.shape[: dim + 1], times, *x.shape[dim + 1 :])
            spread = arrays.expand(spread, shape, site.origin)
            x = arrays.view(spread, (*x.shape[:dim], after, *x.shape[dim + 1 :]), site.origin)
        elif every is not None and _is(None if factor is None else 1 / factor, every):
            exact = site.name.endswith(f"exact{count}d")
            offset = quotient(every, size(2)) if exact else size(0)
            x = arrays.affine(x, dim, after, offset, every, site.origin)
        else:
            raise UnsupportedError("a scale that is no whole number")
    return x


def _is(factor: float | None, times: Polynomial) -> bool:
    """Whether a scale that may be given is the quotient of the sizes."""
    return factor is None or times.constant == factor


for _count in (1, 2, 3):
    for _name in (f"upsample_nearest{_count}d", f"_upsample_nearest_exact{_count}d"):
        aten(f"{_name}.vec", f"{_name}.default")(partial(_nearest, count=_count))


@aten("instance_norm.default")
def _instance_norm(
    site: Site,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
) -> Array:
    eps_ = site.rational(eps)
    if use_input_stats:
        if running_mean is not None or running_var is not None:
            raise InputError(f"{site.origin}: changes its running statistics: call .eval()")
        return operators.group_norm(x, x.shape[1], weight, bias, eps_, site.origin)
    assert running_mean is not None and running_var is not None
    return operators.batch_norm(x, running_mean, running_var, weight, bias, eps_, site.origin)
