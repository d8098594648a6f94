"""Declarations of inputs: ``"b h n d"``, ``"b 1 n m : bool"``, ``"n 4*d"``, ``""``.

A declaration lists the dimensions of one tensor, separated by spaces, and after a colon its kind,
which is real where none is given.  An ``extended`` input holds real numbers and −∞, as an additive
mask does.  A dimension is a whole number, a name, or a sum or product of
them, such as ``4*d`` or ``n + k``.  One name is one size wherever it occurs, in all inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ncd_formal.arrays import Kind
from ncd_formal.errors import InputError
from ncd_formal.sizes import size
from ncd_formal.strides import Shape

_KINDS: Mapping[str, Kind] = {
    "real": "real",
    "float": "real",
    "extended": "real",
    "bool": "boolean",
    "boolean": "boolean",
    "int": "integer",
    "integer": "integer",
}

_AROUND = re.compile(r"\s*([+*])\s*")


@dataclass(frozen=True, slots=True)
class Declaration:
    """The shape and kind of one input or parameter, and the text that declared it."""

    name: str
    shape: Shape
    kind: Kind
    text: str
    said: str = ""
    """The kind as it was written; nothing where none was."""

    def __str__(self) -> str:
        return f"{self.name} = {self.text!r}"


def parse_shape(name: str, text: str) -> Declaration:
    """The declaration of the input ``name``.

    >>> parse_shape("mask", "b 1 n 4*m : bool").shape
    (size('b'), size('1'), size('n'), size('4*m'))

    Errors: InputError with the input and its text, for a dimension that is no size and for an
    unknown kind.
    """

    def wrong(why: str) -> InputError:
        return InputError(f"input {name} = {text!r}: {why}")

    dimensions, colon, kind = text.partition(":")
    kind = kind.strip()
    if colon and kind not in _KINDS:
        raise wrong(f"the kind is bool, int, real or extended, not {kind!r}")
    shape: Shape = ()
    for part in _AROUND.sub(r"\1", dimensions).split():
        try:
            extent = size(part)
        except InputError as error:
            raise wrong(f"{part!r} is no dimension ({error})") from error
        for variable in sorted(extent.variables):
            if not variable.isidentifier():
                raise wrong(f"{variable!r} is no name for a size")
        if not all(isinstance(atom, str) for atom in extent.atoms):
            raise wrong(
                f"{part!r} divides: name the quotient instead, as in 'heads*d' for a size that "
                "heads divides"
            )
        if extent.constant is not None and extent.constant < 0:
            raise wrong(f"{part!r} is negative")
        shape += (extent,)
    return Declaration(name, shape, _KINDS[kind] if colon else "real", text, kind)


def extended_inputs(declarations: Iterable[Declaration]) -> dict[str, str]:
    """The inputs that are declared to hold real numbers and −∞, as a context lists them."""
    return {d.name: "extended" for d in declarations if d.said == "extended"}


def size_names(declarations: Iterable[Declaration]) -> tuple[str, ...]:
    """The names of the sizes in the order in which they are first written."""
    names: dict[str, None] = {}
    for declaration in declarations:
        for extent in declaration.shape:
            names.update(dict.fromkeys(sorted(extent.variables)))
    return tuple(names)
