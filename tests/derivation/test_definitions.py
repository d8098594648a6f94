"""Every kernel of the list from its definition alone: one pass, proved, and the same function."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncd_formal.conditions import assume
from ncd_formal.derivation.streaming import FAMILIES, StreamedForm, stream
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import parse_shape, size_names
from ncd_formal.frontends.torch_export import import_program
from ncd_formal.semantics import Evaluator
from ncd_formal.wires import subterms, term
from tests.coq import assert_accepted
from tests.exact import MONOIDS
from tests.programs.definitions import DEFINITIONS, Definition

SIZES = {**dict.fromkeys("bchdrs", 2), **dict.fromkeys("nmkelyx", 3), "b": 1}


@cache
def streamed(name: str, parts: bool = False) -> StreamedForm:
    definition = DEFINITIONS[name]
    declared = [parse_shape(k, v) for k, v in definition.inputs.items()]
    outputs = import_program(definition.program, definition.inputs).outputs
    elaboration = elaborate([outputs], assume((), size_names(declared)))
    ((output,),) = elaboration.programs
    return stream(
        output, elaboration.context, definition.axis, parts=parts, expand=definition.expand
    )


def draw(definition: Definition, scale: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = []
    for name, text in definition.inputs.items():
        declared = parse_shape(name, text)
        shape = [extent.evaluate(SIZES) for extent in declared.shape]
        tensors.append(
            torch.randint(SIZES["m"], shape, generator=generator)
            if declared.kind == "integer"
            else scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        )
    return tensors


def value(
    form: StreamedForm, definition: Definition, tensors: list[Tensor], tile: int
) -> NDArray[np.float64]:
    """The form at tiles of a size and, where there are parts, at two."""
    sizes = dict(SIZES)
    blocks = -(-form.context.axes[form.axis].evaluate(SIZES) // tile)
    counts = {form.tile: tile, form.block: blocks}
    if form.part is not None:
        counts |= {form.part: 2, form.block: -(-blocks // 2)}
    sizes |= {str(form.context.axes[axis]): count for axis, count in counts.items()}
    inputs = {k: t.double().numpy() for k, t in zip(definition.inputs, tensors, strict=True)}
    return Evaluator(form.context, sizes, inputs).output(form.term, form.layout)


@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_one_pass_is_found_proved_and_right(name: str) -> None:
    """With a tile that does not divide the axis; scores that would overflow do not."""
    definition, form = DEFINITIONS[name], streamed(name)
    assert form.passes == 1 and form.part is None
    assert form.certificate.check().goals == 1
    rescaled = any(node.op == "RescaledSum" for node in subterms(form.term))
    tensors = draw(definition, 100.0 if rescaled and "definition" not in name else 1.0)
    expected = definition.program(*tensors).numpy()
    np.testing.assert_allclose(value(form, definition, tensors, 2), expected, 1e-9, 1e-9)


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("matmul", 1),
        ("softmax", 2),
        ("attention", 3),
        ("layer norm", 3),
        ("spherical attention", 2),
    ],
)
def test_a_definition_that_takes_more_passes_is_no_stream(name: str, passes: int) -> None:
    """Naive softmax waits for its maximum; the form that is found for it is a stream."""
    form = streamed(name)
    assert form.passes_as_written == passes
    refused = "no stream" in form.streamability
    assert refused is (passes > 1)
    assert form.passes == 1 and form.family == "commutative split"


def test_families_are_told_apart() -> None:
    """Sums combine in any order; products of numbers and −∞ do not regroup, nor do two passes."""
    form = streamed("matmul")
    block = form.term.args
    product_of_blocks = term("Reduce", term("Product"), form.block, form.term.children[1])
    assert form.term.op == "Reduce" and block[1] == form.block
    assert replace(form, term=product_of_blocks).family == "stream"
    assert replace(form, passes=2).family == "stream"
    assert set(FAMILIES) == {*MONOIDS, "RescaledSum"} - {"Both"}
    for name, family in FAMILIES.items():
        assert (family == "commutative split") is (name != "Product")


@pytest.mark.parametrize("name", ["matmul", "decoding", "RMS norm", "spherical attention"])
def test_parts_are_passed_over_apart_and_combined(name: str) -> None:
    """Split-K and split-KV: a fold over parts of folds over blocks, with nothing between."""
    definition, form = DEFINITIONS[name], streamed(name, parts=True)
    assert form.passes == 1
    assert form.certificate.check().goals == 1
    folds = [n for n in subterms(form.term) if n.op == "Reduce"]
    combined = {n.children[1] for n in folds if n.args[1] == form.part}
    assert combined == {n for n in folds if n.args[1] == form.block} != set()
    tensors = draw(definition, 1.0)
    expected = definition.program(*tensors).numpy()
    np.testing.assert_allclose(value(form, definition, tensors, 1), expected, 1e-9, 1e-9)


@pytest.mark.parametrize(
    ("name", "parts"), [("softmax", False), ("layer norm", False), ("decoding", True)]
)
def test_coq_accepts_what_was_derived(name: str, parts: bool) -> None:
    assert_accepted(streamed(name, parts).certificate)


def test_an_axis_that_splits_exactly_has_no_free_number_of_blocks() -> None:
    outputs = import_program(DEFINITIONS["matmul"].program, {"a": "n x*y", "b": "x*y m"}).outputs
    elaboration = elaborate([outputs])
    ((output,),) = elaboration.programs
    axis = next(a for a, s in elaboration.context.axes.items() if str(s) == "x*y")
    with pytest.raises(InputError, match="only blocks of any number are dealt out"):
        stream(output, elaboration.context, axis, masked=False, parts=True)
