"""The Hopper oracles of FlashAttention on a Napkin, section 5, from the machine's description."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ncd_formal.derivation import estimate
from ncd_formal.derivation.inner_loops import Blocking, inner_loop
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.refinement import (
    Contraction,
    InnerLoop,
    clocks,
    configure,
    utilisation,
    variables,
)
from ncd_formal.errors import InputError

# Scores in 8 bits, values in 16; d = 128, blocks of 64 keys, fragments of d′ = 32 and d″ = 8.
SCORES = Contraction("S", "Q", "K", columns=64, depth=128, dtype="fp8", result="fp16", fragment=32)
VALUES = Contraction(
    "O", "S", "V", columns=128, depth=64, dtype="fp16", result="fp16", fragment=8, streams=True
)
STREAMED = InnerLoop((SCORES, VALUES), 64, special_per_block=65, row_states=2, rescaled=True)
H100 = machine("h100")


BLOCKING = Blocking(stream=64, depth=32, columns=8)
TYPES = {"q": "fp8", "k": "fp8", "v": "fp16"}
SHAPES = {"q": "q d", "k": "x d", "v": "x d"}


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def test_the_inner_loop_follows_from_the_definition() -> None:
    """Two products, 65 exponentials for each row and block, a maximum and a sum for each row."""
    found = inner_loop(estimate(attention, SHAPES).plan, {"d": 128}, TYPES, BLOCKING)
    scores = replace(SCORES, name="result 1", left="q", right="k")
    values = replace(VALUES, name="result 2", left="result 1", right="v")
    assert found == replace(STREAMED, contractions=(scores, values))
    assert configure(found, H100).group == configure(STREAMED, H100).group == 384


def test_an_inner_loop_of_a_product() -> None:
    plan = estimate(lambda a, b: a @ b, {"a": "n k", "b": "k m"}).plan
    found = inner_loop(plan, {"m": 128}, {"b": "fp16"}, Blocking(64, 32, 8))
    (only,) = found.contractions
    assert (only.left, only.right, only.columns, only.depth, only.streams) == (
        *("a", "b", 128, 64),
        True,
    )
    assert found.special_per_block == found.row_states == 0 and not found.rescaled


def test_an_inner_loop_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="nothing is streamed"):
        inner_loop(estimate(lambda x: x + 1, {"x": "n m"}).plan, {}, {}, BLOCKING)
    plan = estimate(attention, SHAPES).plan
    with pytest.raises(InputError, match="input 'v' has no type"):
        inner_loop(plan, {"d": 128}, {"q": "fp8", "k": "fp8"}, BLOCKING)
    total = estimate(lambda x: x.sum(), {"x": "n"}).plan
    with pytest.raises(InputError, match="no rows and columns"):
        inner_loop(total, {}, {}, BLOCKING)
    bias = estimate(lambda q, k, s: torch.softmax((q @ k.mT + s), -1) @ k,
                    {"q": "q d", "k": "x d", "s": "q x"}).plan  # fmt: skip
    with pytest.raises(InputError, match="is not one of a block with the rows"):
        inner_loop(bias, {"d": 128}, {"q": "fp8", "k": "fp8"}, BLOCKING)


def test_what_is_held() -> None:
    """48 KiB on chip for the block, 48 for each warpgroup; 74.75 KiB of registers for each."""
    placed = variables(STREAMED, 128)

    def kib(level: str, per_warpgroup: bool) -> float:
        return (
            sum(v.bytes for v in placed if v.level == level and v.per_warpgroup is per_warpgroup)
            / 1024
        )

    assert kib("shared", False) == 48 and kib("shared", True) == 48
    assert kib("registers", True) == 74.75


def test_three_warpgroups_fit() -> None:
    """N = 3.73 and 3.42, so 3 warpgroups and g_q = 384."""
    found = configure(STREAMED, H100)
    assert found.limits["shared memory"] == pytest.approx(3.73, abs=0.005)
    assert found.limits["registers"] == pytest.approx(3.42, abs=0.005)
    assert (found.warpgroups, found.group, found.binds) == (3, 384, "registers")
    assert "3 fit, registers binds" in found.table() and "K            shared" in found.table()


def test_clocks_by_instruction() -> None:
    """QK 2, PV 4, exponentials 65/16, accumulation 1/2: 6 on matrix units, so 1.32 PFLOP/s."""
    spent = clocks(STREAMED, H100)
    assert spent.contractions == {"S": 2, "O": 4} and spent.tensor == 6
    assert spent.special == 65 / 16 and spent.accumulate == 0.5
    assert configure(STREAMED, H100).flops == pytest.approx(1.32e15, rel=1e-3)


def test_a_step_computes_longer_than_it_moves() -> None:
    """1.26 µs against 0.97 µs; at 295 rows they are equal."""
    found = configure(STREAMED, H100)
    assert found.compute_seconds == pytest.approx(1.26e-6, rel=2e-3)
    assert found.transfer_seconds == pytest.approx(0.97e-6, rel=3e-3)
    assert round(found.least_group) == 295


def test_another_memory_moves_another_threshold() -> None:
    """An H200 brings blocks faster, and computes as fast: 206 rows are enough."""
    found = configure(STREAMED, machine("h200"))
    assert round(found.least_group) == 206
    assert found.flops == configure(STREAMED, H100).flops


def test_the_share_of_time_of_matrix_units() -> None:
    """FlashAttention-3: 75 % in 16 bits, one product overlapped; 60 % in 8 bits, both."""
    wide = replace(STREAMED, contractions=(replace(SCORES, dtype="fp16"), VALUES))
    narrow = replace(STREAMED, contractions=(SCORES, replace(VALUES, dtype="fp8")))
    exponentials = 64 / 16
    for loop, overlapped, share in ((wide, 1, 0.75), (narrow, 2, 0.60)):
        tensor = list(clocks(loop, H100).contractions.values())
        found = utilisation(tensor, exponentials, overlapped, overhead=2 / 3)
        assert found == pytest.approx(share, abs=1e-9)
    assert utilisation([4, 4], 4, 1) == 1


def test_a_product_alone_has_no_states() -> None:
    loop = InnerLoop((VALUES,), 64)
    names = [v.name for v in variables(loop, 64)]
    assert "row states" not in names and clocks(loop, H100).special == 0
    assert clocks(loop, H100).accumulate == 0


@pytest.mark.parametrize(
    "loop, hardware, rows, complaint",
    [
        (STREAMED, "h100", 100, "100 rows are no multiple of 64"),
        (STREAMED, "a100", None, "a100: warpgroup is missing"),
        (STREAMED, "h100", 1024, "not one warpgroup of 1024 rows fits the registers of h100"),
        (
            replace(STREAMED, contractions=(replace(SCORES, dtype="fp4"), VALUES)),
            "h100",
            None,
            "[rates] has no fp4",
        ),
        (
            replace(STREAMED, contractions=(SCORES, replace(VALUES, result="fp64"))),
            "h100",
            None,
            "[vector] has no fp64",
        ),
    ],
)
def test_what_cannot_be_laid_out_is_refused(
    loop: InnerLoop, hardware: str, rows: int | None, complaint: str
) -> None:
    with pytest.raises(InputError) as caught:
        configure(loop, machine(hardware), rows)
    assert complaint in str(caught.value)
