"""Arrays under the reference semantics, for comparison with PyTorch at small sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ncd_formal.arrays import Array, Kind, input_array
from ncd_formal.elaboration import elaborate
from ncd_formal.semantics import Evaluator
from ncd_formal.sizes import size

SIZES = {"b": 2, "c": 4, "d": 3, "g": 2, "h": 2, "m": 5, "n": 6}


def array(name: str, shape: str, kind: Kind = "real") -> Array:
    """An input, its sizes between blanks."""
    return input_array(name, [size(text) for text in shape.split()], kind)


def extents(shape: str) -> list[int]:
    """What a shape is at SIZES."""
    return [size(text).evaluate(SIZES) for text in shape.split()]


def draw(shape: str, kind: Kind = "real", below: int = 2, seed: int = 0) -> Tensor:
    """Random values: normal, or whole numbers."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "real":
        return torch.randn(extents(shape), dtype=torch.float64, generator=generator)
    whole = torch.randint(below, extents(shape), generator=generator)
    return whole.bool() if kind == "boolean" else whole


def value(result: Array, inputs: Mapping[str, Tensor]) -> Tensor:
    """The result at SIZES."""
    elaboration = elaborate([[result]])
    ((output,),) = elaboration.programs
    evaluate = Evaluator(
        elaboration.context, SIZES, {name: t.double().numpy() for name, t in inputs.items()}
    )
    return torch.tensor(np.array(evaluate.output(output.term, output.layout)))
