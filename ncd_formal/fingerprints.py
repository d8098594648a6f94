"""What every array of a program holds at given sizes and inputs, in float64.

The values tell arrays apart: two that differ are not equal, and two that agree may be, so a sweep
knows where to look.  Functions are evaluated by their wires under the reference semantics; an
operator that is known by name only is taken for some fixed smooth function of its operands, the
same one wherever the name is.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np

from ncd_formal.arrays import (
    Array,
    Concatenated,
    InputArray,
    IotaArray,
    NumberArray,
    OpaqueArray,
    Pointwise,
    Reduced,
    Regrouped,
    Reindexed,
)
from ncd_formal.conditions import Context
from ncd_formal.elaboration import function_wires, number_wires
from ncd_formal.semantics import Evaluator, Floats, Grid
from ncd_formal.sizes import variable
from ncd_formal.wires import Term, input_at

_COUNT = variable("count")
_PLACE = variable("place.0")
_CONTEXT = Context(axes={"place.0": _COUNT}, lower={"count": 0})

_FOLDS: Mapping[str, Any] = {
    "Sum": np.sum,
    "Product": np.prod,
    "Max": lambda a, axis: np.max(a, axis, initial=-np.inf),
    "Min": lambda a, axis: np.min(a, axis, initial=np.inf),
}


class Values:
    """The arrays of a program at given sizes and inputs."""

    def __init__(self, sizes: Mapping[str, int], inputs: Mapping[str, Any]) -> None:
        self.sizes = sizes
        self.inputs = {k: np.asarray(v, dtype=np.float64) for k, v in inputs.items()}
        self.of: dict[Array, Floats] = {}

    def evaluate(self, arrays: Iterable[Array]) -> None:
        """Evaluate arrays whose sources come before them."""
        with np.errstate(all="ignore"):
            for array in arrays:
                if array not in self.of:
                    self.of[array] = self._value(array)

    def shape(self, array: Array) -> tuple[int, ...]:
        return tuple(extent.evaluate(self.sizes) for extent in array.shape)

    def _value(self, array: Array) -> Floats:
        if isinstance(array, InputArray):
            return self.inputs[array.name].reshape(self.shape(array))
        if isinstance(array, NumberArray):
            return self._pointwise(number_wires(array), [], ())
        if isinstance(array, IotaArray):
            return np.arange(self.shape(array)[0], dtype=np.float64)
        if isinstance(array, Reindexed):
            return self._reindexed(array)
        if isinstance(array, Regrouped):
            return self.of[array.source].reshape(self.shape(array))
        if isinstance(array, Pointwise):
            values = [self.of[operand] for operand in array.operands]
            return self._pointwise(function_wires(array), values, self.shape(array))
        if isinstance(array, Reduced):
            return self._reduced(array)
        if isinstance(array, Concatenated):
            return np.concatenate([self.of[p] for p in array.parts], array.dimension)
        assert isinstance(array, OpaqueArray)
        return self._opaque(array)

    def _pointwise(self, wires: Term, values: list[Floats], shape: tuple[int, ...]) -> Floats:
        count = math.prod(shape)
        evaluator = Evaluator(_CONTEXT, {**self.sizes, "count": count}, {})
        for k, value in enumerate(values):
            flat = np.broadcast_to(value, shape).reshape(-1)
            evaluator.memo[input_at(str(k), [_PLACE])] = Grid(("place.0",), flat)
        return evaluator.output(wires, [["place.0"]]).reshape(shape)

    def _reindexed(self, array: Reindexed) -> Floats:
        source, shape, into = self.of[array.source], self.shape(array), array.map
        if not source.size:
            return np.ones(shape)
        rows = [[stride.evaluate(self.sizes) for stride in row] for row in into.strides]
        starts = [offset.evaluate(self.sizes) for offset in into.offsets]
        if all(map(_is_within, rows, starts, source.shape, repeat(shape))):
            steps = [0] * len(shape)
            for row, step in zip(rows, source.strides, strict=True):
                steps = [s + r * step for s, r in zip(steps, row, strict=True)]
            first = source[tuple(slice(start, None) for start in starts)]
            return np.lib.stride_tricks.as_strided(first, shape, steps)
        positions = []
        for row, start, extent in zip(rows, starts, source.shape, strict=True):
            position: Any = np.int64(start)
            for k, stride in enumerate(row):
                along = [1] * len(shape)
                along[k] = shape[k]
                position = position + stride * np.arange(shape[k]).reshape(along)
            # What lies past an edge is some value: nothing may depend on which.
            positions.append(np.clip(position, 0, extent - 1))
        return np.broadcast_to(source[tuple(positions)], shape)

    def _reduced(self, array: Reduced) -> Floats:
        source = self.of[array.source]
        if array.monoid in {"All", "Any"}:
            truth = np.where(np.isnan(source), np.nan, source != 0)
            combine = np.min if array.monoid == "All" else np.max
            start = float(array.monoid == "All")
            return np.asarray(combine(truth, axis=array.dimensions, initial=start))
        return np.asarray(_FOLDS[array.monoid](source, axis=array.dimensions))

    def _opaque(self, array: OpaqueArray) -> Floats:
        shape = self.shape(array)
        tiled = min(
            (o.rank - seen for o, seen in zip(array.operands, array.seen, strict=True)), default=0
        )
        lead = shape[:tiled]
        parts = [self.of[o].reshape(*lead, -1) for o in array.operands]
        seen = np.concatenate(parts, -1) if parts else np.zeros((*lead, 0))
        generator = np.random.default_rng(zlib.crc32(array.operator.encode()))
        weights = generator.standard_normal((seen.shape[-1], math.prod(shape[tiled:])))
        mixed = (np.cos(seen) @ weights).reshape(shape)
        return mixed if array.kind == "real" else np.abs(np.round(mixed)) % 2


class ByValue:
    """Arrays that are found again by what they hold at some sizes and inputs, up to rounding."""

    def __init__(self, samples: Sequence[Values], tolerance: float) -> None:
        self.samples = samples
        self.tolerance = tolerance
        self._held: dict[object, list[Array]] = {}

    def add(self, array: Array) -> None:
        self._held.setdefault((array.shape, self._places(array)[0]), []).append(array)

    def alike(self, array: Array) -> Iterator[Array]:
        """The arrays added that have the shape of this one and agree with it in every sample."""
        for place in self._places(array):
            for other in self._held.get((array.shape, place), ()):
                if all(agree(v.of[other], v.of[array], self.tolerance) for v in self.samples):
                    yield other

    def _places(self, array: Array) -> tuple[int, int, int]:
        # Sums of the largest floats overflow: what does is in one place.
        value = min(max(summary(self.samples[0].of[array]), -1e300), 1e300)
        # The grid is as fine as the value is small: take its logarithm for the step.
        place = round(value / 2.0 ** round(math.log2(1e-6 * (1 + abs(value)))))
        return place, place - 1, place + 1


def agree(a: Floats, b: Floats, tolerance: float) -> bool:
    """Whether two arrays hold the same values, up to rounding."""
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    scale = 1 + np.max(np.abs(a[finite]), initial=0.0)
    if np.any(np.abs(a[finite] - b[finite]) > tolerance * scale):
        return False
    return np.array_equal(a[~finite], b[~finite], equal_nan=True)


@cache
def _weights(power: int) -> Floats:
    """What 2^power values are weighted with; fewer are with the first ones."""
    weights: Floats = np.cos(np.arange(1 << power) * 0.7)
    return weights


def summary(values: Floats) -> float:
    """A number that nearly equal arrays nearly share."""
    finite = np.where(np.isfinite(values), values, 0.0).reshape(-1)
    with np.errstate(all="ignore"):
        total = float(finite @ _weights(finite.size.bit_length())[: finite.size])
    return 0.0 if math.isnan(total) else total


def _is_within(row: Sequence[int], start: int, extent: int, shape: Sequence[int]) -> bool:
    """Whether start + row · i is an index of an extent for every index i of a shape."""
    low = high = start
    for stride, length in zip(row, shape, strict=True):
        if not length:
            return False
        if stride > 0:
            high += stride * (length - 1)
        else:
            low += stride * (length - 1)
    return low >= 0 and high < extent
