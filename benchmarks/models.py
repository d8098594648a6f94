"""Whole models, eager against fused: how long a verdict takes, and running both models.

For each model of ``tests/programs/language_models.py`` with two layers, the language models also
with a padding mask as an input: the verdict at every batch and length, where its time went, and in
the same process the time to run both models once at batch 2 and length 128 (images of 16 by 16 for
a vision model), as PyTorch does on this CPU.  Results go to ``results/models.json``; the exit code
is 1 where a model is not proved.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from ncd_formal.equivalence import prove
from tests.programs.language_models import NAMES, WORDS, assumptions, inputs, models

RESULTS = Path(__file__).parent / "results" / "models.json"
LAYERS, BATCH, LENGTH, RUNS = 2, 2, 128, 5


def seconds_to_run(name: str, sides: tuple[nn.Module, nn.Module], padded: bool) -> float:
    """The least time in which both models ran, one after the other."""
    x = torch.randn(BATCH, 3, 16, 16) if name == "vit" else torch.randint(WORDS, (BATCH, LENGTH))
    given = (x, torch.ones(BATCH, LENGTH, dtype=torch.bool)) if padded else (x,)
    times = []
    with torch.no_grad():
        for _ in range(RUNS):
            start = time.perf_counter()
            for side in sides:
                side(*given)
            times.append(time.perf_counter() - start)
    return min(times)


def measure(name: str, padded: bool) -> dict[str, object]:
    """The verdict on a model, where its time went, and the time to run it."""
    sides = models(name, LAYERS)
    found = prove(*sides, inputs(name, padded), assumptions(name), timeout=120)
    seconds = {k: round(v, 2) for k, v in found.seconds.items()}
    run = seconds_to_run(name, sides, padded)
    verdict = sum(v for k, v in found.seconds.items() if k != "import")
    row: dict[str, object] = {
        "model": name,
        "padding_mask": padded,
        "status": found.status,
        "conditions": list(found.conditions),
        "seconds": seconds,
        "after_tracing": round(verdict, 2),
        "running_both_once": round(run, 4),
        "ratio": round(verdict / run, 1),
        "proof": found.certificate.describe() if found.certificate else found.reason,
    }
    print(json.dumps(row), file=sys.stderr)
    return row


def main() -> None:
    torch.set_num_threads(1)
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # no proof is known from an earlier run
    rows = [measure(name, False) for name in NAMES]
    rows += [measure(name, True) for name in NAMES if name != "vit"]
    result = {"machine": platform.machine(), "torch": torch.__version__, "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    sys.exit(any(row["status"] != "proved" for row in rows))


if __name__ == "__main__":
    main()
