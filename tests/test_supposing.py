"""What parts of a composition suppose is supposed of the inputs, said, and shown to be possible."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncd_formal import task as task_module
from ncd_formal.certificate import CertificateError
from ncd_formal.composition import Composition
from ncd_formal.coq import kernel
from ncd_formal.equivalence import confirm, prove
from ncd_formal.task import Task
from tests.coq import assert_accepted, needs_coq

INPUTS = {"x": "b n 8", "mask": "b n : bool"}
LIVE = "every row of mask has a True"
Data = dict[str, Any]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def written_out(x: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores: Tensor = x @ x.mT / 8**0.5
    return scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ v


def library(x: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, v, attn_mask=mask[:, None])


def added(x: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores: Tensor = x @ x.mT / 8**0.5
    return (scores + torch.where(mask, 0.0, -torch.inf)[:, None]).softmax(-1) @ v


class Stack(nn.Module):
    """Layers that add what they attend to, each under a padding mask."""

    def __init__(self, attend: Attend, negated: bool = False) -> None:
        super().__init__()
        self.attend, self.negated = attend, negated
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.norm(x + self.attend(x, layer(x), ~mask if self.negated else mask))
        return x


def task(assume: tuple[str, ...] = (), negated: bool = False) -> Task:
    return Task.build(Stack(written_out, negated), Stack(library, negated), INPUTS, assume, {})


@cache
def proved() -> Composition:
    both = task()
    sweep = both.sweep(both.trials(), time.perf_counter() + 60, (), supposing=True)
    found = sweep.composition(both.conditions, both.about)
    assert found is not None, sweep.reason
    shown = both.with_example(found)
    assert shown is not None
    return Composition.from_json(
        {**shown.to_json(), "conditions": [*shown.conditions, *shown.supposed]}
    )


def test_live_rows_are_supposed_once() -> None:
    found = proved()
    assert found.supposed == (LIVE,) and len(found.hypotheses) == 1
    assert found.check().conditions == found.conditions
    assert {"sum-live"} <= set(found.laws)
    assert set(found.kinds_of_outputs) == {"real"}
    confirm(found, Stack(written_out), Stack(library))


def test_a_composition_that_supposes_is_a_theorem_in_coq() -> None:
    assert "all_supposed parts M steps ->" in kernel.coq_text(proved())
    assert_accepted(proved())


def test_without_supposing_the_second_layer_has_no_proof() -> None:
    both = task()
    sweep = both.sweep(both.trials(), time.perf_counter() + 20, ())
    assert sweep.composition(both.conditions, both.about) is None


def test_what_is_assumed_may_be_supposed() -> None:
    both = task((LIVE,))
    found = both.sweep(both.trials(), time.perf_counter() + 60, ()).composition((), both.about)
    assert found is not None and found.supposed == (LIVE,)


def test_what_is_assumed_of_whole_programs_is_no_further_condition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_module, "WHOLE", 0)
    sides = Stack(written_out), Stack(library)
    found = prove(*sides, INPUTS, assume=[LIVE], find_conditions=False)
    assert found.status == "proved", found.explain()
    assert LIVE not in found.conditions
    assert isinstance(found.certificate, Composition)
    assert LIVE in found.certificate.conditions
    confirm(found.certificate, *sides)


def test_another_assumption_is_not_enough() -> None:
    both = task((LIVE,), negated=True)
    sweep = both.sweep(both.trials(), time.perf_counter() + 20, ())
    assert sweep.composition((), both.about) is None


def test_a_sum_that_neither_program_tests_is_supposed_to_be_live() -> None:
    """Neither asks whether a row is masked: where one is, both divide by 0."""
    both = Task.build(Stack(written_out), Stack(added), INPUTS, (), {})
    sweep = both.sweep(both.trials(), time.perf_counter() + 60, (), supposing=True)
    found = sweep.composition(both.conditions, both.about)
    assert found is not None and found.supposed == (LIVE,)


def test_the_condition_is_that_of_the_mask_as_it_is_used() -> None:
    found = prove(Stack(written_out, negated=True), Stack(library, negated=True), INPUTS)
    assert found.status == "proved", found.explain()
    assert [c for c in found.conditions if "mask" in c] == [
        "for all i < b: some j < n has not mask[i, j]"
    ]


def supposing_part(data: Data) -> Data:
    part: Data = next(part for part in data["parts"] if part.get("hypotheses"))
    return part


def unsaid(data: Data) -> None:
    data["conditions"].remove(LIVE)


def no_example(data: Data) -> None:
    data["example"] = {}


def dead_example(data: Data) -> None:
    shape, values = data["example"]["mask"]
    data["example"]["mask"] = [shape, ["0"] * len(values)]


def dead_part(data: Data) -> None:
    example = supposing_part(data)["example"]
    (name,) = (
        example.keys()
        & {node[1] for node in supposing_part(data)["nodes"] if node[0] == "Input"}
        & {k for k, kind in supposing_part(data)["context"]["inputs"].items() if kind == "boolean"}
    )
    example[name][1] = ["0"] * len(example[name][1])


def supposed_of_a_step(data: Data) -> None:
    """A row of an array that the programs make is nobody's to suppose."""
    number = data["parts"].index(supposing_part(data))
    inputs = supposing_part(data)["context"]["inputs"]
    (name,) = [name for name, kind in inputs.items() if kind == "boolean"]
    place = max(k for k, (part, _, _) in enumerate(data["steps"]) if part == number)
    data["steps"][place][1][name] = 0


def unproved_part(data: Data) -> None:
    part = supposing_part(data)
    part["hypotheses"], part["conditions"] = [], []


CHANGES = [unsaid, no_example, dead_example, dead_part, supposed_of_a_step, unproved_part]


@pytest.mark.parametrize("corrupt", CHANGES)
def test_what_is_changed_is_rejected(corrupt: Callable[[Data], None]) -> None:
    data = json.loads(json.dumps(proved().to_json()))
    Composition.from_json(copy.deepcopy(data)).check()
    corrupt(data)
    with pytest.raises(CertificateError):
        Composition.from_json(data).check()


@needs_coq
def test_coq_rejects_a_part_without_its_hypothesis() -> None:
    text = kernel.coq_text(proved())
    number = next(k for k, part in enumerate(proved().parts) if part.hypotheses)
    said = f"Part part{number}_context part{number}_nodes\n  part{number}_hypotheses"
    assert said in text
    changed = text.replace(said, said.replace(f"part{number}_hypotheses", "[]"))
    answer = kernel.run(changed, kernel.theory())
    assert answer.returncode and "composition_ok" in answer.stderr
