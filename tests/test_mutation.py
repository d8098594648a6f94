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

SAMPLES, PAIRS_EACH, MUTANTS_EACH = 5, 4, 5
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


def judged(pair: Pair) -> list[Judgement]:
    original = Original(pair.programs()[0], pair.inputs, pair.assume)
    return [judge(pair, "left", original, k, 2.0) for k in range(len(original.sites()))]


def test_the_usual_mistakes_are_made() -> None:
    found = judged(PLAIN)
    kinds = Counter(j.kind for j in found if j.outcome != "refused")
    assert kinds.keys() >= {
        "axis", "added", "constant", "dropped", "mask", "operands", "operator", "order",
        "residual", "scale", "sign", "transposition", "wire",
    } - {"constant"}  # fmt: skip
    assert all(j.reproduced for j in found if j.outcome == "refuted")
    # A row that is taken for itself, in a mask or not, and what a softmax makes of it.
    assert {j.outcome for j in found if not j.differs} <= {"proved", "undecided", "refused"}


def test_a_module_and_its_mutant_have_the_same_parameters() -> None:
    original = Original(LAYERED.programs()[0], LAYERED.inputs, ())
    mutant = original.mutant(0)
    assert set(dict(mutant.named_parameters())) == {"inner.weight", "inner.bias"}
    assert set(dict(mutant.named_buffers())) == {"shift"}
    found = [j for j in judged(LAYERED) if j.kind == "residual"]
    assert len(found) == 2 and all(j.outcome == "refuted" and j.reproduced for j in found)


def test_what_is_not_changed_does_not_differ() -> None:
    """The graph of a program, run as a mutant is, is the program."""
    for pair in (PLAIN, LAYERED):
        original = Original(pair.programs()[0], pair.inputs, ())
        assert runs_differ(pair, original, original.unchanged(), ()) is False
