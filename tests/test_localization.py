"""Where two programs part ways: the line and the module of each, on random inputs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal import localization
from ncd_formal.equivalence import prove
from ncd_formal.task import Task
from tests.programs.stacks import fused, plain


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT
    scaled = scores / math.sqrt(q.shape[-1])
    return scaled.softmax(-1) @ v


def softmax_over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    weights = scores.softmax(-2)
    return weights @ v


def mixed_up(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.exp(), x.sin()


def mixed_up_again(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.exp(), x.cos()


QKV = {"q": "n d", "k": "n d", "v": "n d"}


def _place(left: object, right: object, inputs: dict[str, str]) -> str:
    verdict = prove(left, right, inputs)
    assert verdict.status == "refuted"
    assert verdict.counterexample is not None
    assert f"they part at {verdict.counterexample.first_difference}" in verdict.explain()
    return verdict.counterexample.first_difference


def _line(function: object, offset: int) -> str:
    return f"test_localization.py:{function.__code__.co_firstlineno + offset}"  # type: ignore[attr-defined]


def test_the_first_arrays_that_differ_are_named_with_their_lines() -> None:
    place = _place(attention, softmax_over_queries, QKV)
    left, right = place.split(" on the left, ")
    assert left == f"{_line(attention, 3)} softmax"
    assert right.startswith(f"{_line(softmax_over_queries, 2)} softmax on the right; ")
    assert right.endswith(f"they agree on {_line(attention, 2)} div, "
                          f"{_line(softmax_over_queries, 1)} div")  # fmt: skip


def test_of_several_outputs_the_one_that_differs_counts() -> None:
    place = _place(mixed_up, mixed_up_again, {"x": "n"})
    assert place == (
        f"{_line(mixed_up, 1)} sin on the left, {_line(mixed_up_again, 1)} cos on the right; "
        "they agree on x"
    )


def test_the_wrong_layer_of_a_stack_is_named() -> None:
    wrong = 1
    place = _place(plain(2), fused(2, wrong), {"input": "b n 32"})
    left, right = place.split(" on the left, ")
    assert left.startswith("stacks.py:") and left.endswith(f" in {wrong}")
    assert f"scaled_dot_product_attention in {wrong} on the right" in right


def test_programs_that_agree_do_not_part() -> None:
    def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q[None, None], k[None, None], v[None, None])[0, 0]

    task = Task.build(attention, fused_attention, QKV, (), {})
    samples = task.samples(task.trials())
    assert len(samples) == 2
    assert localization.parting(*task.arrays, QKV, samples) is None


def test_how_weights_are_written_is_no_difference() -> None:
    """The first wire that differs depends on the input: a transposed weight shows where it acts."""

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.weight.mT).relu()

    class Transposed(Linear):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight * 1
            return (x @ weight).relu()

    place = _place(Linear(), Transposed(), {"x": "n 3"})
    assert " matmul on the left, " in place
    assert " matmul on the right; " in place


def test_values_that_overflow_are_compared() -> None:
    """Sums of the least float64 are no number, which once was an error in looking for the place."""
    least = torch.finfo(torch.float64).min

    def masked(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        return (q @ k.mT).masked_fill(~mask, least).softmax(-1)

    def unmasked(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        return (q @ k.mT).masked_fill(mask, least).softmax(-1)

    place = _place(masked, unmasked, {"q": "n d", "k": "m d", "mask": "n m : bool"})
    assert " bitwise_not on the left, " in place
