"""What `prove` says of mutants: programs that differ from another by one small change.

Mutants of both sides of every pair in ``tests/programs`` are judged by ``prove`` and, apart from
it, by running them.  The results, with every mutant that is not settled and every proved one, go to
``results/mutation.json``.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from tests.mutation import Judgement, judgements
from tests.programs import equal, fused_attention, modules, wrong

RESULTS = Path(__file__).parent / "results" / "mutation.json"
EACH = 4
SHARES = 24
PAIRS = [
    *equal.PAIRS,
    *modules.PAIRS,
    *fused_attention.MASK_FREE,
    *fused_attention.MASKED,
    *wrong.PAIRS,
]


def described(found: Judgement) -> dict[str, Any]:
    return {
        "pair": found.pair,
        "side": found.side,
        "change": f"{found.kind} at {found.node} ({found.detail})",
        "differs": found.differs,
        "reason": found.reason,
    }


def summary(found: Sequence[Judgement]) -> dict[str, Any]:
    """Counts, by kind of change too, and what is not as it should be in full."""
    judged = [j for j in found if j.outcome != "refused"]
    different = [j for j in judged if j.differs]
    shown = [j for j in different if j.outcome == "refuted" and j.reproduced]
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for j in judged:
        kinds[j.kind][j.outcome] += 1
    return {
        "mutants": len(judged),
        "refused": len(found) - len(judged),
        "outcomes": dict(Counter(j.outcome for j in judged)),
        "different": len(different),
        "different_and_shown_by_a_script": len(shown),
        "share_shown": round(len(shown) / max(1, len(different)), 4),
        "by_kind": {kind: dict(sorted(kinds[kind].items())) for kind in sorted(kinds)},
        "wrongly_proved": [described(j) for j in judged if j.outcome == "wrong"],
        "refuted_without_a_script": [
            described(j) for j in judged if j.outcome == "refuted" and not j.reproduced
        ],
        "undecided": [described(j) for j in judged if j.outcome == "undecided"],
        "proved": [described(j) for j in judged if j.outcome == "proved"],
    }


def judged_share(number: int) -> list[Judgement]:
    """The judgements of a share of the pairs: every kind of pair, so that shares are alike."""
    found: list[Judgement] = []
    for judged in judgements(PAIRS[number::SHARES], EACH, seed=number):
        found.append(judged)
        print(f"{judged.pair}: {judged.outcome}, {judged.seconds:.1f} s", file=sys.stderr)
    return found


def main() -> None:
    start = time.perf_counter()
    found: list[Judgement] = []
    with ProcessPoolExecutor(2) as processes:
        for share in processes.map(judged_share, range(SHARES)):
            found += share
            write(found, time.perf_counter() - start)
    result = write(found, time.perf_counter() - start)
    print({key: value for key, value in result.items() if not isinstance(value, list)})
    met = result["mutants"] >= 1000 and result["share_shown"] >= 0.95
    sys.exit(0 if met and not result["wrongly_proved"] else 1)


def write(found: Sequence[Judgement], seconds: float) -> dict[str, Any]:
    """Writes the results so far, and gives them back."""
    result = {
        "machine": platform.machine(),
        "torch": torch.__version__,
        "seconds": round(seconds, 1),
        **summary(found),
    }
    RESULTS.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    main()
