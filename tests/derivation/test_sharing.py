"""Theorems 2 and 3 in the cost of a schedule: memories that share what they load."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.derivation import Cost, estimate
from ncd_formal.derivation.hierarchy import Channel, at_memory, cluster_time
from ncd_formal.derivation.machines import Level, Machine, machine
from ncd_formal.derivation.nests import Nest, exact_transfers
from ncd_formal.derivation.optima import optima
from ncd_formal.derivation.sharing import sharings
from ncd_formal.derivation.signomials import signomial
from ncd_formal.derivation.simulation import walk, walk_together
from tests.derivation import cases
from tests.derivation.test_simulation import schedules

A100, H100 = machine("a100"), machine("h100")


@settings(max_examples=200, deadline=None)
@given(schedules(), st.data())
def test_groups_that_load_together_load_what_one_larger_group_would(
    case: tuple[Nest, dict[str, int], dict[str, int]], data: st.DataObject
) -> None:
    """Against loops that are walked, the union of what neighbours need counted at each moment."""
    nest, sizes, tiles = case
    factors = {axis: data.draw(st.integers(1, 3)) for axis in nest.grouped}
    extents = {axis: nest.extents[axis].evaluate(sizes) for axis in nest.grouped}
    side = {**tiles, **{a: min(extents[a], tiles[a] * f) for a, f in factors.items()}}
    once = walk_together(nest, sizes, tiles, factors)
    larger, own = exact_transfers(nest, sizes, side), walk(nest, sizes, tiles).transfers
    # An array along both axes of a triangle is read in steps by small groups, whole by a large one.
    both = [{t.grouped, t.streamed} for t in nest.triangles]
    steps = any(axes <= a.axes for axes in both for p in nest.passes for a in p.reads)
    assert once <= min(larger, own) if steps else once == larger <= own
    (found,) = sharings(nest, sizes, tiles, replace(H100, cluster={1: 1.0, 2: 2.0}))
    assert found.above + found.within == own and found.within >= 0


def test_whole_groups_reach_the_theorems() -> None:
    """A product of matrices of 8,192 at tiles of 256: a cluster of 4 is one tile of 512."""
    sizes, tiles = dict.fromkeys("abc", 8192), {"a.0": 256, "c.0": 256, "b.0": 1}
    four = replace(H100, cluster={1: 2.0, 4: 6.0})
    (found,) = sharings(cases.MATMUL, sizes, tiles, four)
    assert (found.count, found.above) == (4, 2 * 8192**3 // 512 + 8192**2)
    # By the theorem, at M = 256² values and an exchange three times as fast as a load.
    load = H100.bandwidth / 2
    chip = Channel(signomial(256**2), signomial(int(load)))
    law = cluster_time(optima(cases.MATMUL)[0].transfers, chip, signomial(int(3 * load)), 4)
    assert found.seconds == pytest.approx(law.evaluate(sizes))


def test_a_cache_stands_for_all_memories_that_it_serves() -> None:
    """Theorem 2 in equation 2: H*(N·M) over one bandwidth, H*(M) over the other; N = 64 = 8·8."""
    sizes, tiles = dict.fromkeys("abc", 8192), {"a.0": 128, "c.0": 128, "b.0": 1}
    levels = (Level("cache", 1 << 24, cache=True, serves=8e12), Level("memory", 1 << 17, 64, 2e12))
    made = Machine("made", levels, "memory", "fp16", processors=64, clock=1e9)
    (found,) = sharings(cases.MATMUL, sizes, tiles, made)
    least = optima(cases.MATMUL)[0].transfers
    once, own = (at_memory(least, signomial(m)).evaluate(sizes) for m in (64 * 128**2, 128**2))
    assert (found.by, found.count, found.above, found.within) == ("cache", 64, once, own)
    assert found.seconds == pytest.approx(2 * once / 2e12 + 2 * own / 8e12)
    # A cache that is too small for one block of all 64 shares nothing.
    small = replace(made, levels=(replace(levels[0], capacity=1 << 10), levels[1]))
    assert sharings(cases.MATMUL, sizes, tiles, small) == ()


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


@pytest.mark.parametrize("hardware, by", [(A100, "L2 cache"), (H100, "clusters")])
def test_a_cost_takes_the_fastest_way_to_move(hardware: Machine, by: str) -> None:
    """Where a machine's file says that memories share; and what it takes is what was shared."""
    shapes = {"q": "h q d", "k": "h x d", "v": "h x d"}
    sizes = {"h": 8, "q": 8192, "x": 8192, "d": 128}
    found: Cost = estimate(attention, shapes, hardware, sizes).cost
    alone = replace(
        hardware, cluster={}, levels=tuple(replace(v, serves=0.0) for v in hardware.levels)
    )
    plain: Cost = estimate(attention, shapes, alone, sizes).cost
    assert plain.sharing is None and plain.bytes == plain.device_bytes == found.bytes
    shared = found.sharing
    assert shared is not None and shared.by == by
    assert found.times["memory"] == shared.seconds < plain.times["memory"]
    assert found.device_bytes == 2 * shared.above and found.tiles == plain.tiles
    assert f"shared by {by}: {shared.count} groups" in str(found)
    assert found.to_json()["sharing"]["above"] == shared.above
    # Nothing is reached beyond the roofline: what crosses from the device takes that long.
    assert found.times["memory"] >= found.device_bytes / hardware.bandwidth
