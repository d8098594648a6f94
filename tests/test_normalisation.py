"""Normalisation is not trusted, and still right: every step is an instance of a law that holds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ncd_formal.conditions import Context
from ncd_formal.normalisation import Normaliser
from ncd_formal.proof import Congruence, Instance
from ncd_formal.rules import Judge, table
from ncd_formal.semantics import NotExactError
from ncd_formal.sizes import size
from ncd_formal.wires import Argument, Term, parse, predicate
from tests.exact import CONTEXTS, Inputs, Terms, environments, exactly, same, sample_sizes

TERMS = 30
"""Random terms in each context and way to normalise."""

WAYS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "linear": {"expand": "linear"},
    "expanded": {"expand": "all"},
    "gathered": {"gather": True},
    "unrolled": {"unroll": True},
    "contracted": {"contract": True},
    "expanded and contracted": {"expand": "all", "contract": True},
    "in parts": {"expand": "all", "parts": True},
    "by signs": {"expand": "all", "parts": True, "signs": True},
}
"""What may be asked of the normaliser."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CONTEXTS)
def test_every_step_is_an_instance_that_holds(name: str, way: str) -> None:
    """Each logged step has its conditions shown, the steps connect a term with its normal form,
    and the two have one value everywhere.
    """
    # The normaliser may name further axes.
    context = replace(CONTEXTS[name], axes=dict(CONTEXTS[name].axes))
    generator = random.Random(f"{name} {way}")
    terms, judge = Terms(context, generator), Judge(context)
    for number in range(TERMS):
        root = terms.number(1 + number % 4)
        closure = Congruence()
        closure.add(root)

        def log(
            law: str, values: dict[str, Argument], left: Term, right: Term, to: Congruence = closure
        ) -> None:
            rule = table()[law]
            assert judge.holds(rule, values), f"{rule}\nat {values}"
            assert judge.sides(rule, values) == (left, right)
            to.merge(left, right, Instance(law, values))

        normal = Normaliser(judge, log, **WAYS[way])(root)
        assert closure.equal(root, normal), f"the steps do not lead from {root} to {normal}"
        closure.explain((root, normal))
        sizes, inputs = sample_sizes(context, generator), Inputs(context, generator)
        points = list(environments(context, sizes, root.axes | normal.axes))
        for point in generator.sample(points, min(3, len(points))):
            try:
                before = exactly(root, context, sizes, inputs, point)
                after = exactly(normal, context, sizes, inputs, point)
            except NotExactError:
                continue
            assert same(before, after), f"{root} is {before}, {normal} is {after}"


def digits_and_sums() -> Judge:
    """Two axes of chunks and two within them, and real inputs."""
    axes = {"c.0": size("c"), "c.1": size("c"), "l.0": size("l"), "l.1": size("l")}
    return Judge(Context(axes=axes, inputs={"x": "real", "y": "real"}))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        # one digit decides, as the other is below the base
        ("c.0*l - c.1*l + l.0", "c.0 - c.1"),
        ("c.0*l - c.1*l + l - 1 - l.0", "c.0 - c.1"),
        ("c.0*l - c.1*l - 1 - l.0", "c.0 - c.1 - 1"),
        # both count, or the last digits differ by too much
        ("c.0*l - c.1*l + l.0 - l.1", None),
        ("c.0*l - c.1*l + 2*l.0", None),
    ],
)
def test_split_indices_are_compared_by_their_first_digits(text: str, normal: str | None) -> None:
    judge, text = digits_and_sums(), str(size(text))
    found = Normaliser(judge, lambda *step: None)(predicate(size(text)))
    assert found is predicate(size(normal or text))


def one_of(text: str) -> Term:
    return parse(f'(Reduce (Sum) "c.1" {text})')


@pytest.mark.parametrize(
    ("body", "normal"),
    [
        # a sum over one index
        (
            '(Mul (Predicate "c.0 - c.1") (Mul (Predicate "-c.0 + c.1") (Input "x" "c.1; l.0")))',
            '(Input "x" "c.0; l.0")',
        ),
        # a sum over all indices up to one, and over those before it
        (
            '(Mul (Predicate "c.0 - c.1") (Input "x" "c.1; l.0"))',
            (
                '(Add (Reduce (Sum) "c.1" (Mul (Predicate "c.0 - c.1 - 1") '
                '(Input "x" "c.1; l.0"))) (Input "x" "c.0; l.0"))'
            ),
        ),
        # an index of another axis may be out of range
        ('(Mul (Predicate "l.0 - c.1") (Input "x" "c.1; l.0"))', None),
        ('(Mul (Predicate "c.0 - c.1 + 1") (Input "x" "c.1; l.0"))', None),
    ],
)
def test_the_last_term_of_a_sum_is_apart(body: str, normal: str | None) -> None:
    normalise = Normaliser(digits_and_sums(), lambda *step: None, expand="all")
    expected = one_of(body) if normal is None else parse(normal)
    assert normalise(one_of(body)) is normalise(expected)
    assert (normalise(one_of(body)).op == "Reduce") is (normal is None)
