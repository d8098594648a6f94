"""`stream` and `cost`: streamed forms found from definitions, proved, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal.conditions import assume
from ncd_formal.derivation.cost import cost
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.streaming import StreamedForm, split_axis, stream
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import parse_shape, size_names
from ncd_formal.frontends.torch_export import import_program
from ncd_formal.semantics import Evaluator
from ncd_formal.wires import subterms
from tests.coq import assert_accepted

ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
Program = Callable[..., Any]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The definition, unstable: an exponential over its sum."""
    weights = torch.exp(q @ k.mT / q.shape[-1] ** 0.5)
    return weights / weights.sum(-1, keepdim=True) @ v


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
    return F.scaled_dot_product_attention(q, k, v)


def biased(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / 8 + s, -1) @ v


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Spherical Attention, definition 2: scores over their norm."""
    s = q @ k.mT
    return (s / (s * s).sum(-1, keepdim=True).sqrt()) @ v


PROGRAMS: dict[str, tuple[Program, dict[str, str], str]] = {
    "attention": (attention, ATTENTION, "m"),
    "causal": (causal, ATTENTION, "m"),
    "grouped": (grouped, {**ATTENTION, "q": "b 4*h n d"}, "m"),
    "biased": (biased, {**ATTENTION, "s": "n m"}, "m"),
    "spherical": (spherical, ATTENTION, "m"),
    "matmul": (lambda a, b: a @ b, {"a": "n k", "b": "k m"}, "k"),
    "logsumexp": (lambda x: torch.logsumexp(x, -1), {"x": "n m"}, "m"),
}


def streamed(program: Program, inputs: dict[str, str], masked: bool = True) -> StreamedForm:
    imported = import_program(program, inputs)
    context = assume((), size_names(parse_shape(k, v) for k, v in inputs.items()))
    elaboration = elaborate([imported.outputs], context)
    ((output,),) = elaboration.programs
    return stream(output, elaboration.context, masked=masked)


@cache
def named(name: str) -> StreamedForm:
    program, inputs, _ = PROGRAMS[name]
    return streamed(program, inputs)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_one_pass_is_found_from_the_definition(name: str) -> None:
    """By forward saturation, in at most 1,000 e-nodes; the certificate holds."""
    axis = PROGRAMS[name][2]
    form = named(name)
    assert form.passes == 1 and form.axis.startswith(f"{axis}.")
    assert form.nodes <= 1000
    assert form.certificate.check().goals == 1
    assert_accepted(form.certificate)


@pytest.mark.parametrize("name", ["attention", "causal", "biased", "logsumexp"])
def test_exponentials_are_taken_against_a_running_maximum(name: str) -> None:
    """No exponential of an unbounded score is left, although the definition has one."""
    form = named(name)
    operators = {node.op for node in subterms(form.term)}
    assert "RescaledSum" in operators and "Exp" not in operators


@pytest.mark.parametrize("name", list(PROGRAMS))
@pytest.mark.parametrize("tile", [1, 2, 3, 7])
def test_the_streamed_form_computes_the_program(name: str, tile: int) -> None:
    """For tiles that divide the axis and tiles that do not, by the reference semantics."""
    program, inputs, _ = PROGRAMS[name]
    form = named(name)
    generator = torch.Generator().manual_seed(tile)
    sizes = {"b": 2, "h": 1, "n": 3, "m": 4, "d": 2, "k": 5}
    declared = {k: parse_shape(k, v) for k, v in inputs.items()}
    tensors = {
        k: torch.randn(
            [s.evaluate(sizes) for s in d.shape], generator=generator, dtype=torch.float64
        )
        for k, d in declared.items()
    }
    length = form.context.axes[form.axis].evaluate(sizes)
    (blocks,) = form.context.axes[form.block].variables
    (width,) = form.context.axes[form.tile].variables
    sizes |= {width: tile, blocks: -(-length // tile)}
    evaluator = Evaluator(form.context, sizes, {k: v.numpy() for k, v in tensors.items()})
    own = evaluator.output(form.term, form.layout)
    np.testing.assert_allclose(own, program(*tensors.values()).numpy(), rtol=1e-9, atol=1e-9)


def test_what_was_derived_before_changes_nothing() -> None:
    """Of forms that cost the same, one is chosen by the program alone."""
    first = streamed(attention, ATTENTION)
    streamed(attention, {"q": "n d", "k": "m d", "v": "m d"})
    assert streamed(attention, ATTENTION).certificate.digest == first.certificate.digest


def test_an_axis_that_is_a_product_splits_exactly() -> None:
    """For any block size that divides the axis, without a mask."""
    inputs = {"q": "b h n d", "k": "b h blocks*tile d", "v": "b h blocks*tile d"}
    imported = import_program(attention, inputs)
    elaboration = elaborate([imported.outputs])
    ((output,),) = elaboration.programs
    axes = {str(s): a for a, s in elaboration.context.axes.items()}
    form = stream(output, elaboration.context, axes["blocks*tile"], masked=False)
    assert form.passes == 1
    assert not any(node.op == "Predicate" for node in subterms(form.term))
    form.certificate.check()
    assert_accepted(form.certificate)


def test_an_axis_that_is_no_product_does_not_split_exactly() -> None:
    elaboration = elaborate([import_program(attention, ATTENTION).outputs])
    with pytest.raises(InputError, match=r"declare its size as a product"):
        split_axis(elaboration.context, "m.0", masked=False)


def test_nothing_to_stream_is_said() -> None:
    with pytest.raises(InputError, match="nothing is reduced here"):
        streamed(lambda x: x + 1, {"x": "n"})


# Costs: the oracles of FlashAttention on a Napkin


def test_attention_moves_what_the_napkin_says() -> None:
    """q = x = 8192, d = 128, M = 131,072: g_q = 511 and H = 35,717,248."""
    form = streamed(attention, {"q": "n d", "k": "m d", "v": "m d"})
    sizes = {"n": 8192, "m": 8192, "d": 128}
    found = cost(form, machine({"memory": 131_072}), sizes)
    assert found.tiles["n"] == 511 and found.tiles["d"] == 128
    assert round(float(found.transfers)) == 35_717_248
    assert isinstance(found.memory, int) and found.memory <= 131_072


def test_matmul_moves_what_the_napkin_says() -> None:
    """4096³ at M = 131,072: g = 361 and H = 397,494,539."""
    form = streamed(lambda a, b: a @ b, {"a": "n k", "b": "k m"})
    sizes = {"n": 4096, "k": 4096, "m": 4096}
    found = cost(form, machine({"memory": 131_072}), sizes)
    assert found.tiles["n"] == found.tiles["m"] == 361
    assert round(float(found.transfers)) == 397_494_539
    assert found.flops == 2 * 4096**3


def test_costs_are_formulas_without_sizes() -> None:
    found = cost(streamed(attention, {"q": "n d", "k": "m d", "v": "m d"}), machine("h100"), None)
    assert isinstance(found.transfers, str) and "g_n" in found.formula
    assert found.flops_formula == "4*d*m*n"


def test_a_memory_that_is_too_small_is_refused() -> None:
    form = streamed(attention, {"q": "n d", "k": "m d", "v": "m d"})
    with pytest.raises(InputError, match="no group fits the memory"):
        cost(form, machine({"memory": 100}), {"n": 64, "m": 64, "d": 64})


def test_a_missing_size_is_named() -> None:
    form = streamed(attention, {"q": "n d", "k": "m d", "v": "m d"})
    with pytest.raises(InputError, match="size 'm' has no value"):
        cost(form, machine("h100"), {"n": 64, "d": 64})


@pytest.mark.parametrize("hardware", ["h1000", {"memory": 0}, {"cache": 5}, {}])
def test_unknown_machines_are_refused(hardware: Any) -> None:
    with pytest.raises(InputError, match=r"no machine is named|values on chip"):
        machine(hardware)
