"""A sample of mutants: none is proved that differs, and what differs is refuted by a script.

``benchmarks/mutation.py`` judges mutants of all pairs.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from tests.mutation import Judgement, Original, judge, judgements, runs_differ
from tests.programs import Pair, equal, fused_attention, modules, wrong

SAMPLES, PAIRS_EACH, MUTANTS_EACH = 3, 4, 5
"""Samples of pairs, which may run beside each other, and the mutants of each pair."""

SHARE_SHOWN = 0.95
"""Of the mutants that differ, how many must be refuted by a script that shows it."""

PAIRS = [*equal.PAIRS, *modules.PAIRS, *fused_attention.MASK_FREE, *wrong.PAIRS]


@pytest.mark.parametrize("number", range(SAMPLES))
def test_mutants_are_told_apart(number: int) -> None:
    pairs = random.Random(number).sample(PAIRS, PAIRS_EACH)
    found = [j for j in judgements(pairs, MUTANTS_EACH, number) if j.outcome != "refused"]
    assert len(found) >= PAIRS_EACH * MUTANTS_EACH // 2
    assert [j for j in found if j.outcome == "wrong"] == []
    different = [j for j in found if j.differs]
    missed = [j for j in different if not (j.outcome == "refuted" and j.reproduced)]
    assert len(missed) <= (1 - SHARE_SHOWN) * len(different), missed


# The engine itself


def program(x: Tensor, y: Tensor) -> Tensor:
    return (2 * (x @ y.mT) + x).tril().softmax(-1)


class Layer(nn.Module):
    """A layer with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x) - self.shift
        return out


PLAIN = Pair("plain", program, program, {"x": "n n", "y": "n n"})
LAYERED = Pair("layered", Layer, Layer, {"x": "n 3"})


def original_of(pair: Pair) -> Original:
    return Original(pair.programs()[0], pair.inputs, pair.assume)


def test_the_usual_mistakes_are_made() -> None:
    kinds = Counter(site.kind for site in original_of(PLAIN).sites())
    assert kinds.keys() >= {
        "axis", "added", "mask", "operands", "operator", "order", "residual", "scale", "sign",
        "transposition", "wire",
    }  # fmt: skip


def test_a_module_and_its_mutant_have_the_same_parameters() -> None:
    original = original_of(LAYERED)
    mutant = original.mutant(0)
    assert set(dict(mutant.named_parameters())) == {"inner.weight", "inner.bias"}
    assert set(dict(mutant.named_buffers())) == {"shift"}
    residuals = [k for k, site in enumerate(original.sites()) if site.kind == "residual"]
    found: list[Judgement] = [judge(LAYERED, "left", original, k, 2.0) for k in residuals]
    assert len(found) == 2 and all(j.outcome == "refuted" and j.reproduced for j in found)


def test_what_is_not_changed_does_not_differ() -> None:
    """The graph of a program, run as a mutant is, is the program."""
    for pair in (PLAIN, LAYERED):
        original = original_of(pair)
        assert runs_differ(pair, original, original.unchanged(), ()) is False
