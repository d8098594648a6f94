"""Operators that stay opaque, by the axes that they see.

An operator without a definition is known by its name, its attributes and its *weave*: it acts on
some axes, and is natural in all others, so that it commutes with whatever permutes, slices or
repeats these.  What PyTorch marks as pointwise sees no axis; what is declared here sees one axis,
or the last few; any other operator sees all axes of its operands.

Source: Weaves, Wires, and Morphisms, broadcasted operators.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ncd_formal import arrays
from ncd_formal.arrays import Array
from ncd_formal.errors import InputError
from ncd_formal.frontends.aten import Result, Site, aten, kind_of, opaque_along
from ncd_formal.sizes import product


def described(site: Site, attributes: dict[str, Any]) -> str:
    """The name of an opaque operator with those attributes that are not at their defaults."""
    defaults = site.defaults
    shown = [
        f"{name}={value}"
        for name, value in attributes.items()
        if name not in defaults or value != defaults[name]
    ]
    return f"{site.operator}({', '.join(['self=_', *shown])})"


def _along(site: Site, x: Array, **attributes: Any) -> Result:
    """An operator along one dimension: each result has some values there, one, or none."""
    dim = attributes.pop("dim", site.defaults.get("dim"))
    keepdim = attributes.pop("keepdim", False)
    several = isinstance(site.result, tuple | list)
    if dim is None:
        # Of all values, in row-major order.
        x, dim = arrays.view(x, (product(x.shape),), site.origin), 0
        found = opaque_along(site, x, dim, described(site, attributes), site.kind)
        return arrays.view(found, site.shape, site.origin)
    name = described(site, attributes)

    def result(tensor: Any, name: str) -> Array:
        shape, kind = site.shape_of(tensor), kind_of(tensor.dtype)
        lost = keepdim or len(shape) < x.rank
        extent = None if lost or not x.rank else shape[dim]
        found = opaque_along(site, x, dim, name, kind, extent)
        return arrays.unsqueeze(found, dim % x.rank, site.origin) if keepdim and x.rank else found

    if several:
        return tuple(result(t, f"{name}#{k}") for k, t in enumerate(site.result))
    return result(site.result, name)


def _last(site: Site, x: Array, *, count: int, **attributes: Any) -> Array:
    """An operator on the last ``count`` dimensions of its one operand."""
    if any(isinstance(value, Array) for value in attributes.values()):
        raise InputError(f"{site.origin}: an attribute that is a tensor")
    return arrays.opaque(
        described(site, attributes), (x,), (count,), site.shape, site.kind, site.origin
    )


ALONG = (
    "topk.default",
    "sort.default",
    "sort.stable",
    "argmax.default",
    "argmin.default",
    "cummax.default",
    "cummin.default",
    "kthvalue.default",
    "median.dim",
    "mode.default",
    "nanmedian.dim",
)
LAST = {
    "upsample_linear1d.vec": 1,
    "upsample_bilinear2d.vec": 2,
    "upsample_bicubic2d.vec": 2,
    "upsample_trilinear3d.vec": 3,
    "_upsample_bilinear2d_aa.vec": 2,
    "_upsample_bicubic2d_aa.vec": 2,
}


def _register(names: tuple[str, ...], handler: Callable[..., Result]) -> None:
    aten(*names, opaque=True)(handler)


_register(ALONG, _along)
for _name, _count in LAST.items():
    _register((_name,), partial(_last, count=_count))
