"""Which unit is busy when: warpgroups that run a loop side by side and take turns on the units.

Each warpgroup runs the same chain for every block of the stream: the products that the special
functions wait for, these, the products that wait for them, and what is added to the state.  A unit
serves one warpgroup at a time, first come, first served.  A warpgroup may run its last products,
for the block before or after, beside its special functions; and a block of the stream is brought
while an earlier one is worked on, as there are buffers.

Source: FlashAttention on a Napkin, section 5 (figures 34 and 35) and section 6.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from ncd_formal.derivation.refinement import Clocks

MEMORY, MATRIX, SPECIAL, VECTOR = "memory", "matrix units", "special functions", "vector units"
STEPS, SETTLED = 16, 8
"""The blocks that are run, and those after which the rhythm is steady."""

Job = tuple[str, str, float]
"""A unit, what it does, and for how many clocks."""
Phase = Sequence[Sequence[Job]]
"""Tracks that run side by side; the next phase begins when all have ended."""


@dataclass(frozen=True)
class Interval:
    """A unit that works for a warpgroup, from a clock to another."""

    unit: str
    name: str
    warpgroup: int
    step: int
    start: float
    end: float


@dataclass(frozen=True)
class Overlap:
    """A loop in its steady rhythm."""

    warpgroups: int
    intervals: tuple[Interval, ...]
    begins: float
    """The clock at which a step begins, after the first blocks."""
    period: float
    """Clocks from a step to the next, on average."""
    busy: Mapping[str, float]
    """The share of time in which each unit works."""

    def __str__(self) -> str:
        shares = ", ".join(f"{unit} {share:.0%}" for unit, share in self.busy.items())
        return f"a step takes {self.period:,.0f} clocks; busy: {shares}"

    def to_json(self) -> dict[str, Any]:
        """The rhythm as plain data, with the intervals of two steps."""
        return {
            "warpgroups": self.warpgroups,
            "period": self.period,
            "busy": dict(self.busy),
            "intervals": [vars_of(each) for each in self.shown()],
        }

    def shown(self) -> tuple[Interval, ...]:
        """The intervals of two periods, from the beginning of a step, counted from there."""
        end = self.begins + 2 * self.period
        return tuple(
            Interval(
                i.unit,
                i.name,
                i.warpgroup,
                i.step,
                max(i.start - self.begins, 0.0),
                min(i.end, end) - self.begins,
            )
            for i in self.intervals
            if i.end > self.begins and i.start < end
        )


def vars_of(interval: Interval) -> dict[str, Any]:
    """An interval as plain data."""
    return {name: getattr(interval, name) for name in Interval.__dataclass_fields__}


def phases(
    spent: Clocks, waiting: int, rows: int, overlapped: int = 0, overhead: float = 0.0
) -> list[Phase]:
    """What a warpgroup of ``rows`` does for a block.

    The first products up to ``waiting`` come before the special functions; the last
    ``overlapped`` of all run beside them.  ``overhead`` is what is added to the special functions,
    as a share of them.
    """
    tensor: list[Job] = [(MATRIX, n, c * rows) for n, c in spent.contractions.items()]
    special: list[Job] = [(SPECIAL, "special functions", spent.special * (1 + overhead) * rows)]
    late: list[Job] = [(VECTOR, "accumulate", spent.accumulate * rows)]
    first = len(tensor) - overlapped
    chain: list[Phase] = (
        [[tensor[:first]], [special, tensor[first:]]]
        if overlapped
        else [[tensor[:waiting]], [special], [tensor[waiting:]]]
    )
    chain.append([late])
    worked = [[[job for job in track if job[2]] for track in phase] for phase in chain]
    kept = [[track for track in phase if track] for phase in worked]
    return [phase for phase in kept if phase]


def overlap(
    chain: Sequence[Phase], warpgroups: int, transfer: float = 0.0, buffers: int = 2
) -> Overlap:
    """The rhythm of warpgroups that run a chain block after block.

    ``transfer`` is the clocks that bring a block; a block waits until one of ``buffers`` is free.
    """
    free: dict[str, float] = {}
    done: list[Interval] = []
    order = count()
    queue: list[tuple[float, int, int, int, int, int, int]] = []
    pending: dict[tuple[int, int, int], list[float]] = {}
    brought: dict[int, float] = {}
    ended: dict[int, list[float]] = {}
    waiting: dict[int, list[tuple[float, int]]] = {}
    starts: dict[int, float] = {}

    def bring(block: int, ready: float) -> None:
        start = max(ready, free.get(MEMORY, 0.0))
        free[MEMORY] = brought[block] = start + transfer
        if transfer:
            done.append(Interval(MEMORY, "block", 0, block, start, start + transfer))
        for own, group in waiting.pop(block, []):
            enter(max(own, brought[block]), group, block, 0)

    def enter(ready: float, group: int, step: int, phase: int) -> None:
        if phase == 0 and step not in brought:
            waiting.setdefault(step, []).append((ready, group))
            return
        if phase == 0:
            ready = max(ready, brought[step])
            starts[step] = min(starts.get(step, ready), ready)
        for track in range(len(chain[phase])):
            heapq.heappush(queue, (ready, next(order), group, step, phase, track, 0))

    for block in range(buffers):
        bring(block, 0.0)
    for group in range(warpgroups):
        enter(0.0, group, 0, 0)
    while queue:
        ready, _, group, step, phase, track, number = heapq.heappop(queue)
        jobs = chain[phase][track]
        unit, name, clocks = jobs[number]
        start = max(ready, free.get(unit, 0.0))
        if start > ready:
            # Another came first; whoever is ready by then is served in turn.
            heapq.heappush(queue, (start, next(order), group, step, phase, track, number))
            continue
        end = free[unit] = start + clocks
        done.append(Interval(unit, name, group, step, start, end))
        if number + 1 < len(jobs):
            heapq.heappush(queue, (end, next(order), group, step, phase, track, number + 1))
            continue
        ends = pending.setdefault((group, step, phase), [])
        ends.append(end)
        if len(ends) < len(chain[phase]):
            continue
        if phase + 1 < len(chain):
            enter(max(ends), group, step, phase + 1)
            continue
        all_ends = ended.setdefault(step, [])
        all_ends.append(max(ends))
        if len(all_ends) == warpgroups and step + buffers < STEPS:
            bring(step + buffers, max(all_ends))
        if step + 1 < STEPS:
            enter(max(ends), group, step + 1, 0)
    begins, stops = max(ended[SETTLED - 1]), max(ended[STEPS - 1])
    period = (stops - begins) / (STEPS - SETTLED)
    totals: dict[str, float] = {}
    for each in done:
        if each.step == 0:
            totals[each.unit] = totals.get(each.unit, 0.0) + each.end - each.start
    shares = {
        unit: totals[unit] / period for unit in (MEMORY, MATRIX, SPECIAL, VECTOR) if unit in totals
    }
    return Overlap(
        warpgroups, tuple(sorted(done, key=lambda i: i.start)), starts[SETTLED], period, shares
    )
