"""Sums of products in every order: the best one for each size, each proved equal."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from ncd_formal.conditions import Context, assume
from ncd_formal.derivation.contractions import Order, orders
from ncd_formal.derivation.schedules import Plan, operations
from ncd_formal.elaboration import Output, elaborate
from ncd_formal.frontends.shapes import parse_shape, size_names
from ncd_formal.frontends.torch_export import import_program
from ncd_formal.semantics import Evaluator
from tests.coq import assert_accepted
from tests.derivation.test_definitions import SIZES, draw
from tests.programs.definitions import DEFINITIONS, SELF, Definition

CHAIN = [30, 35, 15, 5, 10, 20, 25]
"""Introduction to Algorithms (Cormen, Leiserson, Rivest, Stein), section 15.2: 15,125 products."""


Worked = tuple[list[frozenset[str]], frozenset[str]]


def elaborated(definition: Definition) -> tuple[Output, Context]:
    declared = [parse_shape(name, text) for name, text in definition.inputs.items()]
    outputs = import_program(definition.program, definition.inputs).outputs
    elaboration = elaborate([outputs], assume((), size_names(declared)))
    ((output,),) = elaboration.programs
    return output, elaboration.context


def counted(term: Order, output: Output, context: Context) -> str:
    return str(operations(Plan(context, term.term, output.layout)))


@cache
def known(name: str) -> tuple[Output, Context, tuple[Order, ...]]:
    output, context = elaborated(DEFINITIONS[name])
    return output, context, orders(output, context)


@pytest.mark.parametrize(
    "name, expected",
    [
        # Q(KᵀV)/√diag(Q KᵀK Qᵀ)
        ("spherical attention", "4*b*d**2*h*m + 4*b*d**2*h*n + 2*b*d*h*n"),
        ("linear attention", "2*d*e*m + 2*d*e*n + 2*d*n"),
        ("linear attention from the right", "2*d*m*n + 2*e*m*n"),
        ("latent attention", "4*b*d*h*n*r + 4*b*h*m*n*r"),
        ("absorbed latent attention", "4*b*d*h*m*n + 4*b*d*h*m*r"),
        # Of a norm of absolute values, only the numerator.
        ("attention over absolute values", "2*b*d*h*m*n + 2*b*d**2*h*m + 2*b*d**2*h*n"),
    ],
)
def test_the_other_order_is_found_proved_and_right(name: str, expected: str) -> None:
    output, context, found = known(name)
    assert expected in [counted(order, output, context) for order in found]
    definition = DEFINITIONS[name]
    tensors = draw(definition, 1.0)
    inputs = {k: t.double().numpy() for k, t in zip(definition.inputs, tensors, strict=True)}
    for order in found:
        assert order.certificate.check().goals == 1
        assert order.certificate.goals[0].left is output.term
        evaluator = Evaluator(order.certificate.context, SIZES, inputs)
        values = evaluator.output(order.term, output.layout)
        np.testing.assert_allclose(values, definition.program(*tensors).numpy(), 1e-9, 1e-9)


@pytest.mark.parametrize("name", ["matmul", "softmax", "attention", "causal attention", "RMS norm"])
def test_what_does_not_regroup_stays(name: str) -> None:
    """An exponential, or a mask, between two sums keeps them where they are."""
    assert known(name)[2] == ()


def test_a_causal_mask_keeps_spherical_attention_as_it_is() -> None:
    def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        s = torch.tril(q @ k.mT)
        return s / (s * s).sum(-1, keepdim=True).sqrt() @ v

    output, context = elaborated(Definition(causal, SELF, "n.1"))
    assert orders(output, context) == ()


def test_coq_accepts_the_collapse() -> None:
    (order,) = known("spherical attention")[2]
    assert_accepted(order.certificate)


def test_a_chain_of_products_in_its_best_order() -> None:
    def product(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
        return a @ b @ c @ d @ e @ f

    shapes = {k: f"s{n} s{n + 1}" for n, k in enumerate("abcdef")}
    output, context = elaborated(Definition(product, shapes, ""))
    sizes = {f"s{n}": extent for n, extent in enumerate(CHAIN)}
    (best,) = orders(output, context, sizes)
    assert operations(Plan(context, best.term, output.layout)).evaluate(sizes) == 2 * 15_125


def trees(factors: Sequence[frozenset[str]], needed: frozenset[str]) -> Iterator[Worked]:
    """Every way to multiply factors two by two: the axes of each product, and what is left."""
    if len(factors) == 1:
        yield [], factors[0] & needed
        return
    first, *rest = factors
    for number in range((1 << len(rest)) - 1):
        left = [first, *(f for k, f in enumerate(rest) if number >> k & 1)]
        right = [f for k, f in enumerate(rest) if not number >> k & 1]
        for done, a in trees(left, needed.union(*right)):
            for more, b in trees(right, needed.union(*left)):
                yield [*done, *more, a | b], (a | b) & needed


@pytest.mark.parametrize("seed", range(6))
def test_no_order_of_products_takes_fewer_operations(seed: int) -> None:
    """Against every tree there is, at drawn sizes, for ``ab, bcd, ce, eb -> ad``."""
    generator = random.Random(seed)
    sizes = {name: generator.randrange(8, 4000) for name in "abcde"}
    shapes = {"p": "a b", "q": "b c d", "r": "c e", "s": "e b"}

    def product(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> Tensor:
        return torch.einsum("ab,bcd,ce,eb->ad", p, q, r, s)

    output, context = elaborated(Definition(product, shapes, ""))
    least = min(
        sum(2 * volume(axes, sizes) for axes in done)
        for done, _ in trees(
            [frozenset(text.replace(" ", "")) for text in shapes.values()], frozenset("ad")
        )
    )
    found = [output.term, *(order.term for order in orders(output, context, sizes))]
    counts = [operations(Plan(context, term, output.layout)).evaluate(sizes) for term in found]
    assert min(counts) <= least


def volume(axes: frozenset[str], sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[axis] for axis in axes)


@pytest.mark.parametrize(
    "program, kind",
    [
        (lambda a, b, c: (a.exp() @ b) @ c, "extended"),
        (lambda a, b, c: ((a @ b) @ c) / (a @ b).sum(-1, keepdim=True), "real"),
    ],
)
def test_infinite_and_undefined_values_are_kept(program: object, kind: str) -> None:
    """A row of −∞ under an exponential; a row of 0 whose quotient is undefined."""
    declared = {"a": f"n k : {kind}", "b": "k m", "c": "m l"}
    outputs = import_program(program, declared).outputs
    context = replace(assume((), ("k", "l", "m", "n")), inputs={"a": kind})
    elaboration = elaborate([outputs], context)
    ((output,),) = elaboration.programs
    (order,) = orders(output, elaboration.context)
    order.certificate.check()
    generator = np.random.default_rng(0)
    sizes = {"n": 2, "k": 3, "m": 4, "l": 2}
    inputs = {name: generator.standard_normal(shape) for name, shape in
              (("a", (2, 3)), ("b", (3, 4)), ("c", (4, 2)))}  # fmt: skip
    inputs["a"][0] = -np.inf if kind == "extended" else 0
    evaluator = Evaluator(order.certificate.context, sizes, inputs)
    left, right = (evaluator.output(term, output.layout) for term in (output.term, order.term))
    assert np.isnan(left[0]).all() == (kind == "real") and not np.isnan(left[1]).any()
    np.testing.assert_allclose(left, right, equal_nan=True)


def test_infinite_factors_do_not_regroup() -> None:
    declared = {"a": "n k : extended", "b": "k m", "c": "m l"}
    outputs = import_program(lambda a, b, c: (a @ b) @ c, declared).outputs
    elaboration = elaborate(
        [outputs], replace(assume((), ("k", "l", "m", "n")), inputs={"a": "extended"})
    )
    ((output,),) = elaboration.programs
    assert orders(output, elaboration.context) == ()
