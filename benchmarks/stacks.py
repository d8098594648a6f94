"""How the time to prove a stack of rewritten layers grows with its depth.

For 8 and for 80 layers, each written out on one side and by the library on the other: seconds after
tracing (comparing on random inputs, the proof, the check), the size of the certificate and the
memory; and the same with one wrong layer, which is to be refuted and named.  Each is measured in a
process of its own, that no proof is known to from another.  Results go to ``results/stacks.json``;
the exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from ncd_formal.equivalence import prove
from tests.programs.stacks import fused, plain

RESULTS = Path(__file__).parent / "results" / "stacks.json"

BARS = {
    "seconds_of_80_layers": 30.0,
    "seconds_to_find_a_wrong_layer_of_80": 30.0,
    "growth_from_8_to_80_layers": 3.0,
    "gigabytes": 4.0,
}
WRONG = 41


def measure(depth: int, wrong: int | None = None) -> dict[str, object]:
    """The verdict on a stack, where the time went, and the memory of this process."""
    torch.set_num_threads(1)
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # no proof is known from an earlier run
    found = prove(plain(depth), fused(depth, wrong), {"input": "b n 32"}, timeout=120)
    seconds = {k: round(v, 2) for k, v in found.seconds.items()}
    row: dict[str, object] = {
        "layers": depth,
        "wrong": wrong,
        "status": found.status,
        "seconds": seconds,
        "after_tracing": round(sum(v for k, v in seconds.items() if k != "import"), 2),
        "proof": found.certificate.describe() if found.certificate else found.reason,
        "they_part_at": found.counterexample.first_difference if found.counterexample else "",
        "gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    print(json.dumps(row))
    return row


def main() -> None:
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:
        rows = list(alone.map(measure, (8, 80, 80), (None, None, WRONG)))
    small, large, wrong = (float(str(row["after_tracing"])) for row in rows)
    measured = {
        "seconds_of_80_layers": large,
        "seconds_to_find_a_wrong_layer_of_80": wrong,
        "growth_from_8_to_80_layers": round(large / small, 2),
        "gigabytes": max(float(str(row["gigabytes"])) for row in rows),
    }
    missed = [name for name, bar in BARS.items() if measured[name] > bar]
    statuses = [row["status"] for row in rows]
    if statuses != ["proved", "proved", "refuted"]:
        missed.append(f"the verdicts are {statuses}")
    place = str(rows[2]["they_part_at"])
    if place.count(f" in {WRONG} on the ") != 2:
        missed.append(f"the wrong layer is not named: {place}")
    result = {
        "machine": platform.machine(), "rows": rows, **measured, "bars": BARS, "missed": missed
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
