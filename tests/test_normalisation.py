"""Normalisation is not trusted, and still right: every step is an instance of a law that holds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ncd_formal.normalisation import Normaliser
from ncd_formal.proof import Congruence, Instance
from ncd_formal.rules import Judge, table
from ncd_formal.semantics import NotExactError
from ncd_formal.wires import Argument, Term
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
