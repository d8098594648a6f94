"""One dispatch or several, and one equal form or another: which is less, and where."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

import ncd_formal as ncd
from ncd_formal.derivation import Costed, estimate
from ncd_formal.derivation.fusion import advantage, cut
from ncd_formal.derivation.nests import exact_memory, exact_transfers
from ncd_formal.derivation.optima import MEMORY, inequality
from ncd_formal.derivation.schedules import nests, operations, work
from ncd_formal.derivation.signomials import Signomial, signomial, variable
from ncd_formal.derivation.simulation import walk
from ncd_formal.sizes import size

ATTENTION = {"q": "q d", "k": "x d", "v": "x d"}
PERCEPTRON = {"x": "x m", "u": "m f", "d": "f m"}
SQUARE = {"q": "n d", "k": "n d", "v": "n d"}
HALF = Fraction(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def perceptron(x: Tensor, u: Tensor, d: Tensor) -> Tensor:
    return torch.relu(x @ u) @ d


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Spherical Attention, definition 2: scores over their norm."""
    s = q @ k.mT
    return (s / (s * s).sum(-1, keepdim=True).sqrt()) @ v


def collapsed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Q(KᵀV) / √diag(Q KᵀK Qᵀ)."""
    return q @ (k.mT @ v) / ((q @ (k.mT @ k)) * q).sum(-1, keepdim=True).sqrt()


def polynomial(text: str) -> Signomial:
    return signomial(size(text))


def test_a_cut_writes_out_what_is_made_inside() -> None:
    plan = estimate(attention, ATTENTION).plan
    scores, rest = cut(plan)
    assert operations(scores) is operations(rest) is size("2*q*x*d")
    assert scores.output == {"q.0", "x.0"} and rest.output == plan.output
    names = {a.name for step in nests(rest)[0].passes for a in step.reads}
    assert names == {"intermediate 1", "v"}
    assert cut(estimate(lambda a, b: a @ b, {"a": "n k", "b": "k m"}).plan) == ()
    assert cut(estimate(lambda x: x + 1, {"x": "n"}).plan) == ()


def test_the_dispatches_of_a_cut_move_what_a_walk_counts() -> None:
    sizes = {"q": 5, "x": 4, "d": 3}
    for part in cut(estimate(attention, ATTENTION).plan):
        for nest in nests(part):
            tiles = dict.fromkeys(nest.extents, 2)
            counted = walk(nest, sizes, tiles)
            assert exact_transfers(nest, sizes, tiles) == counted.transfers
            assert exact_memory(nest, sizes, tiles) == counted.peak


def test_where_fusing_pays_is_an_inequality() -> None:
    """Attention: 4·x·q·d²/M + 2·q·d against 4·q·x·d/√M + q·x + q·d, so for d up to about √M."""
    found = estimate(attention, ATTENTION)
    d, x = variable("d"), variable("x")
    where = advantage(
        4 * variable("q") * x * d / MEMORY**HALF + polynomial("q*x + q*d"),
        4 * variable("q") * x * d**2 / MEMORY + polynomial("2*q*d"),
    )
    assert found.why == f"fused moves less where {inequality(where)}"
    assert where.evaluate({"d": 100, "x": 10**6, "M": 100**2}) > 0
    assert where.evaluate({"d": 130, "x": 10**6, "M": 100**2}) < 0


@pytest.mark.parametrize(
    "program, inputs, sizes, fused",
    [
        (attention, ATTENTION, {"q": 4096, "x": 4096, "d": 64}, True),
        (attention, ATTENTION, {"q": 4096, "x": 4096, "d": 512}, False),
        (perceptron, PERCEPTRON, {"x": 4096, "f": 4096, "m": 64}, True),
        (perceptron, PERCEPTRON, {"x": 4096, "f": 4096, "m": 1024}, False),
    ],
)
def test_the_unfused_schedule_is_chosen_where_fusing_does_not_pay(
    program: Callable[..., Any], inputs: dict[str, str], sizes: dict[str, int], fused: bool
) -> None:
    """At M = 16,384, where √M = 128; and the reason is a formula that holds at these sizes."""
    found = estimate(program, inputs, {"memory": 16_384}, sizes)
    assert found.fused is fused
    assert "fused moves less where" in found.why and "unfused H =" in found.why
    symbolic = estimate(program, inputs).cost.regimes[0].transfers
    parts = [nests(p)[0] for p in cut(estimate(program, inputs).plan)]
    assert len(parts) == 2
    bound = symbolic.evaluate({**sizes, "M": 16_384})
    assert isinstance(found.cost.transfers, (int, float))
    assert (found.cost.transfers >= bound) if fused else (found.cost.transfers < bound)


def test_what_does_not_fit_fused_is_run_unfused() -> None:
    found = estimate(attention, ATTENTION, "h100", {"q": 4096, "x": 4096, "d": 2048})
    assert not found.fused and "fused no group fits the shared memory of h100" in found.why
    cost = found.cost
    assert isinstance(cost.time, float) and cost.time == max(
        cost.times["memory"], cost.times["compute"]
    )
    assert cost.flops == 4 * 4096 * 4096 * 2048
    # Each of the two reads what it needs for its own groups; exponentials, and the inverse of each
    # row's sum, are taken again.
    assert cost.special == (4096 * 4096 + 4096) * 2048 // cost.tiles["2.d"]
    data = found.to_json()
    assert data["fused"] is False and data["why"] == found.why


def test_collapsed_spherical_attention_computes_less_beyond_twice_the_width() -> None:
    """n > 2·d, and 324 times less at n = 82,944 and d = 128."""
    streamed, short = (estimate(p, SQUARE).plan for p in (spherical, collapsed))
    own, other = work(short).flops, work(streamed).flops
    where = advantage(other.leading(), own.leading())
    assert inequality(where) == "n ≥ 2*d"
    at = {"n": 82_944, "d": 128}
    assert other.leading().evaluate(at) / own.leading().evaluate(at) == 324
    # With the norms, which are of lower order, it is half a turn more.
    assert other.evaluate(at) / own.evaluate(at) == pytest.approx(324.6, abs=0.1)


def test_the_collapse_is_proved() -> None:
    verdict = ncd.prove(spherical, collapsed, inputs=SQUARE)
    assert verdict.status == "proved"


def test_a_cost_explains_its_choice() -> None:
    found: Costed = estimate(attention, ATTENTION, {"memory": 16_384}, {"q": 64, "x": 64, "d": 8})
    assert found.explain().splitlines()[-1].strip() == found.why
