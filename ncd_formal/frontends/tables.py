"""Tensors inside a program that are a formula of their indices, such as a causal mask in a buffer.

The values of buffers are part of what a program is.  A buffer is read by its values where they are
one number, whole numbers affine in the indices, or two values told apart by a band j − i; any other
is an unknown tensor.  Every entry is compared.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ncd_formal import arrays
from ncd_formal.arrays import Array, Kind, pointwise
from ncd_formal.operators import causal_mask
from ncd_formal.sizes import Polynomial, size

LARGEST = 2**53
"""Whole numbers up to this are exact in float64, in which tables are compared."""


def closed_form(tensor: Tensor, kind: Kind, origin: str) -> tuple[Array, str] | None:
    """A tensor's values as an array, and in words: ``"mask[i, j] is 1 where j <= i, else 0"``.

    None where no form is found.  One real number alone is no form: running statistics hold 0 or 1
    until they are trained.
    """
    if tensor.is_complex() or tensor.numel() == 0:
        return None
    values = tensor.detach().cpu().double()
    exact = tensor.is_floating_point() or bool((values.abs() < LARGEST).all())
    if not exact or bool((values.isnan() | (values == torch.inf)).any()):
        return None
    wide = [k for k, extent in enumerate(values.shape) if extent > 1]
    table = values.reshape([values.shape[k] for k in wide])
    found = _affine(table, kind, origin) or _band(table, kind, origin)
    if found is None:
        return None
    array, text = found
    spread = arrays.expand(array, [size(extent) for extent in table.shape], origin)
    places = [str(_name(wide.index(k))) if k in wide else "0" for k in range(values.dim())]
    name = f"{origin}[{', '.join(places)}]" if places else origin
    return arrays.view(spread, [size(extent) for extent in values.shape], origin), f"{name} {text}"


def _affine(table: Tensor, kind: Kind, origin: str) -> tuple[Array, str] | None:
    """a + b·i + c·j + …, in whole numbers."""
    if not bool((table.abs() < LARGEST).all()):
        return None
    start = float(table.flatten()[0])
    steps = [float(table.select(k, 1).flatten()[0]) - start for k in range(table.dim())]
    if any(steps) if kind == "boolean" else kind == "real" and not any(steps):
        return None
    if not all(number.is_integer() for number in (start, *steps)):
        return None
    expected: Tensor = torch.tensor(start, dtype=table.dtype)
    array, text = arrays.number(int(start), origin), size(int(start))
    for k, (extent, step) in enumerate(zip(table.shape, map(int, steps), strict=True)):
        after = [1] * (table.dim() - k - 1)
        expected = expected + step * torch.arange(extent, dtype=table.dtype).view(-1, *after)
        place = arrays.view(arrays.iota(size(extent), origin), [size(extent), *map(size, after)])
        term = pointwise("multiply", place, arrays.number(step, origin), origin=origin)
        array, text = pointwise("add", array, term, origin=origin), text + step * _name(k)
    if not torch.equal(expected.expand(table.shape), table):
        return None
    shown = str(bool(start)) if kind == "boolean" else str(text)
    return replace(array, kind=kind), f"is {shown}"


def _band(table: Tensor, kind: Kind, origin: str) -> tuple[Array, str] | None:
    """One value where low <= j − i <= high, and another elsewhere."""
    first = table.flatten()[0]
    others = table[table != first]
    if table.dim() != 2 or not others.numel() or bool((others != others[0]).any()):
        return None
    values = torch.stack([first, others[0]]).sort(descending=True).values
    rows, columns = table.shape
    offsets = torch.arange(columns) - torch.arange(rows)[:, None]
    for inside in values:
        chosen = table == inside
        low, high = int(offsets[chosen].min()), int(offsets[chosen].max())
        if torch.equal((offsets >= low) & (offsets <= high), chosen):
            break
    else:
        return None
    (outside,) = (v for v in values if v != inside)
    truth, text = _within(low, high, rows, columns, origin)
    one, other = (replace(arrays.number(float(v), origin), kind=kind) for v in (inside, outside))
    text = f"is {_show(inside, kind)} where {text}, else {_show(outside, kind)}"
    if kind == "boolean":
        return (truth if inside else pointwise("logical_not", truth, origin=origin)), text
    return pointwise("where", truth, one, other, origin=origin), text


def _within(low: int, high: int, rows: int, columns: int, origin: str) -> tuple[Array, str]:
    """low <= j − i <= high, each bound where it bounds anything."""
    i, j = _name(0), _name(1)
    parts: list[tuple[Array, str]] = []
    if low > 1 - rows:
        below = causal_mask(rows, columns, low - 1, origin)
        parts.append((pointwise("logical_not", below, origin=origin), f"{i + low} <= {j}"))
    if high < columns - 1:
        parts.append((causal_mask(rows, columns, high, origin), f"{j} <= {i + high}"))
    array, text = parts[0]
    for other, more in parts[1:]:
        array, text = pointwise("logical_and", array, other, origin=origin), f"{text} and {more}"
    return array, text


def _name(dimension: int) -> Polynomial:
    return size("ijkl"[dimension] if dimension < 4 else f"i{dimension}")


def _show(value: Tensor, kind: Kind) -> str:
    return str(bool(value)) if kind == "boolean" else f"{float(value):g}"
