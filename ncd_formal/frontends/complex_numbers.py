"""Complex arrays inside a program, as pairs of real ones.

Complex numbers are not values of the calculus, but rotary embeddings are often written with them.
An array of complex numbers is a :class:`Complex` while a graph is read; what enters and leaves a
program is real.

Source: RoFormer (Su et al. 2021), the product form of rotary embeddings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch

from ncd_formal import arrays
from ncd_formal.arrays import Array
from ncd_formal.errors import InputError
from ncd_formal.frontends import aten
from ncd_formal.frontends.aten import Scalar, Site


@dataclass(frozen=True)
class Complex:
    """``real + i · imaginary``, two real arrays that broadcast to one shape."""

    real: Array
    imaginary: Array

    @property
    def parts(self) -> tuple[Array, Array]:
        return self.real, self.imaginary


Handler = Callable[..., "Complex | Array"]

COMPLEX: dict[str, Handler] = {}
"""The name of an operator → what it makes of complex operands, or how it makes them."""


def involved(result: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether an operator takes or gives complex numbers."""
    given = any(isinstance(value, Complex) for value in arguments.values())
    return given or (isinstance(result, torch.Tensor) and result.dtype.is_complex)


def apply(site: Site, arguments: Mapping[str, Any]) -> Complex | Array:
    """The result of an operator that involves complex numbers.

    Errors: InputError where the operator is not known on complex numbers.
    """
    handler = COMPLEX.get(site.operator)
    if handler is None or not isinstance(site.result, torch.Tensor):
        raise InputError(
            f"{site.origin}: complex numbers are not values of the calculus, and {site.name} is "
            "not known on pairs of real ones"
        )
    takes = inspect.signature(handler).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values()):
        for name in arguments.keys() - takes.keys():
            if arguments[name] != site.defaults.get(name):
                raise InputError(
                    f"{site.origin}: {name} of {site.name} is not known on complex numbers"
                )
        arguments = {name: value for name, value in arguments.items() if name in takes}
    real = SimpleNamespace(dtype=site.result.dtype.to_real(), shape=site.result.shape)
    return handler(replace(site, result=real), **arguments)


def _on_complex(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        COMPLEX.update({f"aten.{name}": handler for name in names})
        return handler

    return register


def _pair(site: Site, value: Complex | Scalar) -> Complex:
    if isinstance(value, Complex):
        return value
    return Complex(site.cast(site.array(value), "real"), site.array(0.0))


@_on_complex("view_as_complex.default")
def _view_as_complex(site: Site, self: Array) -> Complex:
    return Complex(*(arrays.choose(self, -1, k, site.origin) for k in range(2)))


@_on_complex("view_as_real.default")
def _view_as_real(site: Site, self: Complex) -> Array:
    shape = site.shape[:-1]
    parts = [
        arrays.unsqueeze(arrays.expand(part, shape, site.origin), len(shape), site.origin)
        for part in self.parts
    ]
    return arrays.concatenate(parts, len(shape), site.origin)


@_on_complex("complex.default")
def _complex(site: Site, real: Array, imag: Array) -> Complex:
    return Complex(real, imag)


@_on_complex("polar.default")
def _polar(site: Site, abs: Array, angle: Array) -> Complex:
    return Complex(*(site.apply("multiply", abs, site.apply(f, angle)) for f in ("cos", "sin")))


@_on_complex("real.default")
def _real(site: Site, self: Complex) -> Array:
    return arrays.expand(self.real, site.shape, site.origin)


@_on_complex("imag.default")
def _imaginary(site: Site, self: Complex) -> Array:
    return arrays.expand(self.imaginary, site.shape, site.origin)


@_on_complex("_conj.default", "conj.default", "conj_physical.default")
def _conjugate(site: Site, self: Complex) -> Complex:
    return Complex(self.real, site.apply("negative", self.imaginary))


@_on_complex("abs.default")
def _absolute(site: Site, self: Complex) -> Array:
    squares = (site.apply("square", part) for part in self.parts)
    return site.apply("sqrt", site.apply("add", *squares))


@_on_complex("neg.default")
def _negative(site: Site, self: Complex) -> Complex:
    return Complex(*(site.apply("negative", part) for part in self.parts))


@_on_complex("add.Tensor")
def _add(site: Site, self: Complex | Array, other: Complex | Scalar) -> Complex:
    return _each(site, "add", self, other)


@_on_complex("sub.Tensor")
def _subtract(site: Site, self: Complex | Array, other: Complex | Scalar) -> Complex:
    return _each(site, "subtract", self, other)


def _each(site: Site, function: str, self: Complex | Array, other: Complex | Scalar) -> Complex:
    pairs = zip(_pair(site, self).parts, _pair(site, other).parts, strict=True)
    return Complex(*(site.apply(function, a, b) for a, b in pairs))


@_on_complex("mul.Tensor")
def _multiply(site: Site, self: Complex | Array, other: Complex | Scalar) -> Complex:
    """``(a + ib)(c + id) = (ac − bd) + i(ad + bc)``."""
    if not isinstance(self, Complex):
        self, other = _pair(site, other), self
    if not isinstance(other, Complex):
        return Complex(*(site.apply("multiply", part, other) for part in self.parts))
    (a, b), (c, d) = self.parts, other.parts

    def product(x: Array, y: Array) -> Array:
        return site.apply("multiply", x, y)

    return Complex(
        site.apply("subtract", product(a, c), product(b, d)),
        site.apply("add", product(a, d), product(b, c)),
    )


@_on_complex("div.Tensor")
def _divide(site: Site, self: Complex, other: Scalar) -> Complex:
    if isinstance(other, Complex):
        raise InputError(f"{site.origin}: a division by complex numbers is not supported")
    return Complex(*(site.apply("divide", part, other) for part in self.parts))


@_on_complex(
    "_unsafe_view.default",
    "alias.default",
    "clone.default",
    "contiguous.default",
    "expand.default",
    "flatten.using_ints",
    "permute.default",
    "repeat.default",
    "reshape.default",
    "select.int",
    "slice.Tensor",
    "squeeze.dim",
    "transpose.int",
    "unflatten.int",
    "unsqueeze.default",
    "view.default",
)
def _view(site: Site, self: Complex, **arguments: Any) -> Complex:
    """What moves values about does the same with both parts."""
    shape = arrays.broadcast_shape([part.shape for part in self.parts], site.origin)

    def moved(part: Array) -> Array:
        spread = arrays.expand(part, shape, site.origin)
        result = aten.apply(site, {"self": spread, **arguments}, site.defaults)
        if not isinstance(result, Array):
            raise InputError(f"{site.origin}: this form is not known on complex numbers")
        return result

    return Complex(moved(self.real), moved(self.imaginary))
