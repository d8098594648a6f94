"""Models of the library ``transformers``, eager against fused: proved at every batch and length."""

from __future__ import annotations

import pytest
import torch

from ncd_formal.composition import Composition
from ncd_formal.equivalence import confirm, prove
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
