"""Models of the library ``transformers``, eager against fused: proved at every batch and length."""

from __future__ import annotations

import pytest
import torch

from ncd_formal.composition import Composition
from ncd_formal.equivalence import confirm, prove
from tests.coq import assert_accepted
from tests.programs.language_models import assumptions, inputs, models

LEAST = "-3.4028234663852886e+38 (the least float32) stands for -inf"


# All of them are in benchmarks/models.py; those that are not here differ from one of these in what
# a layer has beside attention.
@pytest.mark.parametrize("name", ["bert", "mistral", "gemma2"])
def test_a_model_and_its_fused_form_are_the_same_function(name: str) -> None:
    eager, fused = models(name, layers=1)
    verdict = prove(eager, fused, inputs(name), assumptions(name), timeout=120)
    assert verdict.status == "proved", verdict.explain()
    assert (LEAST in verdict.conditions) == (name != "bert")
    assert verdict.certificate is not None
    verdict.certificate.check()


def test_another_layer_is_proved_by_the_same_certificates() -> None:
    eager, fused = models("gpt2", layers=2)
    verdict = prove(eager, fused, inputs("gpt2"), assumptions("gpt2"), timeout=120)
    assert isinstance(verdict.certificate, Composition), verdict.explain()
    # Each row has a key, its own: no output is undefined.
    assert not [note for note in verdict.notes if "undefined" in note]
    assert len(verdict.certificate.parts) < len(verdict.certificate.steps)
    confirm(verdict.certificate, eager, fused)


@pytest.mark.parametrize(
    "name, live",
    [
        ("bert", "every row of mask has a True"),
        ("gpt2", "for all i < b, j < n: some k < n has mask[i, k] and k <= j"),
    ],
)
def test_a_padding_mask_must_leave_each_row_a_key(name: str, live: str) -> None:
    eager, fused = models(name, layers=2)
    masked = inputs(name, padded=True)
    verdict = prove(eager, fused, masked, assumptions(name), timeout=120)
    assert verdict.status == "proved", verdict.explain()
    assert live in verdict.conditions and LEAST in verdict.conditions
    assert isinstance(verdict.certificate, Composition)
    assert verdict.certificate.supposed == (live,)
    # Under the condition each output is a number.
    assert not [note for note in verdict.notes if "undefined" in note]
    confirm(verdict.certificate, eager, fused)
    assert_accepted(verdict.certificate)


def test_a_padded_row_without_a_key_tells_eager_from_fused() -> None:
    sides = models("gpt2", layers=1)
    masked = inputs("gpt2", padded=True)
    verdict = prove(*sides, masked, assumptions("gpt2"), find_conditions=False)
    assert verdict.status == "refuted"
    assert verdict.counterexample is not None
    mask = verdict.counterexample.inputs["mask"]
    assert not mask.cumsum(-1).bool().all(), "some position sees no key"


def test_a_masked_layer_with_another_scale_is_refuted() -> None:
    eager, fused = models("gpt2", layers=2)
    attention = fused.get_submodule("model.h.1.attn")
    attention.scaling = attention.scaling * 1.25  # type: ignore[operator,assignment]
    verdict = prove(eager, fused, inputs("gpt2", padded=True), assumptions("gpt2"), timeout=120)
    assert verdict.status == "refuted"


def test_a_layer_with_another_scale_is_named() -> None:
    eager, fused = models("gpt2", layers=2)
    attention = fused.get_submodule("model.h.1.attn")
    attention.scaling = attention.scaling * 1.25  # type: ignore[operator,assignment]
    verdict = prove(eager, fused, inputs("gpt2"), assumptions("gpt2"), timeout=120)
    assert verdict.status == "refuted"
    assert verdict.counterexample is not None
    left, right = verdict.counterexample.first_difference.split(" on the left, ")
    assert left.endswith(" in model.h.1.attn")
    assert " in model.h.1.attn on the right" in right
    ids = verdict.counterexample.inputs["x"]
    with torch.no_grad():
        assert not torch.allclose(eager(ids), fused(ids))
