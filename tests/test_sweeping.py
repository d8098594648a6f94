"""Deep stacks are proved array by array, each distinct obligation once."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal import equivalence, task
from ncd_formal.arrays import topological
from ncd_formal.certificate import Certificate, CertificateError
from ncd_formal.composition import Composition
from ncd_formal.coq import kernel
from ncd_formal.equivalence import confirm, prove
from ncd_formal.errors import InputError
from ncd_formal.fingerprints import Values, agree
from ncd_formal.task import Task
from tests.coq import assert_accepted, needs_coq
from tests.programs.stacks import fused, plain

INPUTS = {"input": "b n 32"}


@cache
def proved(depth: int) -> Composition:
    task = Task.build(plain(depth), fused(depth), INPUTS, (), {})
    sweep = task.sweep(task.trials(), time.perf_counter() + 60, ())
    found = sweep.composition(task.conditions, task.about)
    assert found is not None, sweep.reason
    return found


def test_a_stack_of_rewritten_layers_is_proved() -> None:
    found = prove(plain(3), fused(3), INPUTS)
    assert found.status == "proved", found.explain()
    assert isinstance(found.certificate, Composition)
    assert "steps by" in found.explain()


def test_another_layer_needs_no_other_proof() -> None:
    """The layers after the first cost steps, and no certificate."""
    two, four = proved(2), proved(4)
    assert {p.digest for p in two.parts} == {p.digest for p in four.parts}
    assert len(four.steps) > 1.5 * len(two.steps)


def test_a_composition_is_a_theorem_in_coq() -> None:
    assert_accepted(proved(2))


def test_a_composition_is_about_its_programs(tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    proved(2).save(file)
    loaded = Certificate.load(file)
    assert isinstance(loaded, Composition) and loaded.digest == proved(2).digest
    confirm(loaded, plain(2), fused(2))
    for left, right in ((plain(2), fused(2, wrong=1)), (fused(2), plain(2)), (plain(3), fused(3))):
        with pytest.raises((CertificateError, InputError)):
            confirm(loaded, left, right)


def test_one_wrong_layer_is_refuted() -> None:
    found = prove(plain(3), fused(3, wrong=1), INPUTS)
    assert found.status == "refuted", found.explain()


def test_one_wrong_layer_has_no_proof() -> None:
    """Without looking for a counterexample: the sweep ends where the programs part."""
    task = Task.build(plain(3), fused(3, wrong=1), INPUTS, (), {})
    sweep = task.sweep(task.trials(), time.perf_counter() + 60, ())
    assert sweep.composition((), {}) is None
    assert "shown equal up to" in sweep.reason and "stacks.py" in sweep.reason


Data = dict[str, Any]


def other_source(data: Data) -> None:
    step = next(s for s in data["steps"][::-1] if any(isinstance(v, int) for v in s[1].values()))
    name = next(k for k, v in step[1].items() if isinstance(v, int))
    step[1][name] = len(data["steps"])


def unknown_input(data: Data) -> None:
    step = next(s for s in data["steps"] if any(isinstance(v, str) for v in s[1].values()))
    step[1][next(k for k, v in step[1].items() if isinstance(v, str))] = "nothing"


def less_read(data: Data) -> None:
    data["steps"][0][1].popitem()


def other_sizes(data: Data) -> None:
    data["context"]["lower"]["b"] = 7


def no_output(data: Data) -> None:
    data["outputs"] = []


def dropped_lemma(data: Data) -> None:
    max(data["parts"], key=lambda part: len(part["lemmas"]))["lemmas"].pop()


def claimed_kind(data: Data) -> None:
    """A part that is proved for positive numbers reads an array that need not be positive."""
    part = next(p for p in data["parts"] if "real" in p["context"]["inputs"].values())
    kinds = part["context"]["inputs"]
    kinds[next(name for name, kind in kinds.items() if kind == "real")] = "positive"


@pytest.mark.parametrize("size", [["-n + 1"], []])
def test_sizes_that_were_not_assumed_are_refused(size: list[str]) -> None:
    """A proof for n ≤ 1, or for b ≥ 5, holds: it is not the one that was asked for."""
    data = json.loads(json.dumps(proved(2).to_json()))
    for context in (data["context"], *(part["context"] for part in data["parts"])):
        context["assumptions"] = size
        context["lower"] |= {} if size else {"b": 5}
    found = Composition.from_json(data)
    assert found.check().conditions != proved(2).check().conditions
    with pytest.raises(CertificateError, match="other sizes"):
        confirm(found, plain(2), fused(2))


@needs_coq
@pytest.mark.parametrize("number", range(3))
def test_coq_rejects_what_is_changed(number: int) -> None:
    """The checker computes false: it does not fail in another way."""
    data = json.loads(json.dumps(proved(2).to_json()))
    (other_source, dropped_lemma, claimed_kind)[number](data)
    answer = kernel.accept(Composition.from_json(data))
    assert not answer.accepted
    assert "composition_ok certificate_laws parts inputs steps = true" in answer.reason


def test_large_programs_are_proved_for_the_inputs_that_were_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where they are never taken as a whole: a mask may hold −∞, and a row nothing else."""
    inputs = {"q": "n d", "k": "m d", "v": "m d", "mask": "n m"}

    def naive(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores: Tensor = q @ k.mT / q.shape[-1] ** 0.5
        return (scores + mask).softmax(-1) @ v

    def library(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q[None], k[None], v[None], mask[None])[0]

    monkeypatch.setattr(task, "WHOLE", 0)
    monkeypatch.setattr(equivalence, "MIDDLE", 0)
    for mask in ("n m", "n m : extended"):
        found = prove(naive, library, {**inputs, "mask": mask}, timeout=20)
        assert found.status == "refuted", found.explain()
    found = prove(naive, library, {**inputs, "mask": "n m : real"}, timeout=20)
    assert found.status == "proved", found.explain()


@pytest.mark.parametrize(
    "corrupt",
    [
        other_source, unknown_input, less_read, other_sizes, no_output, dropped_lemma,
        claimed_kind,
    ],
)  # fmt: skip
def test_what_is_changed_is_rejected(corrupt: Callable[[Data], None]) -> None:
    data = json.loads(json.dumps(proved(2).to_json()))
    Composition.from_json(copy.deepcopy(data)).check()
    corrupt(data)
    with pytest.raises(CertificateError):
        Composition.from_json(data).check()


def test_arrays_hold_what_pytorch_computes() -> None:
    torch.manual_seed(0)
    task = Task.build(plain(2), fused(2), INPUTS, (), {})
    trials = task.trials()
    for seed in range(4):
        sizes = trials.sample_sizes(seed)
        assert sizes is not None
        inputs = trials.sample_inputs(sizes, seed)
        assert inputs is not None
        for outputs, run in zip(task.arrays, task.runs, strict=True):
            values = Values(sizes, {k: v.numpy() for k, v in inputs.items()})
            values.evaluate(topological(outputs))
            (ran,) = run(inputs)
            assert agree(values.of[outputs[0]], ran.double().numpy(), 1e-6)


def test_values_that_differ_do_not_agree() -> None:
    a = np.array([1.0, np.nan, -np.inf])
    assert agree(a, a + 1e-12, 1e-9)
    for k, other in enumerate((2.0, 1.0, 1.0)):
        b = a.copy()
        b[k] = other
        assert not agree(a, b, 1e-9)


def test_what_is_summed_over_a_mask_is_positive() -> None:
    """The law sum-live: a causal row has its own key, so its weights are numbers."""

    def left(s: Tensor) -> Tensor:
        past = torch.ones(s.shape[0], s.shape[0], dtype=torch.bool).tril()
        return s.masked_fill(~past, float("-inf")).softmax(-1)

    task = Task.build(left, left, {"s": "n n"}, (), {})
    sweep = task.sweep(task.trials(), time.perf_counter() + 60, ())
    found = sweep.composition((), {})
    assert found is not None
    assert len(found.parts[-1].goals) == 2 and {"sum-live", "any-witness"} <= set(found.laws)
