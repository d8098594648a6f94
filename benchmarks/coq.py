"""How long Coq takes: the theory from scratch, a certificate, and the check itself inside Coq.

Prints the seconds to compile the whole theory, one file after another; for every equal pair of the
test suite the seconds of ``coqc`` on its certificate, and of the checker alone, as Coq's own clock
says; and both for a stack of 192 rewritten layers.  Results go to ``results/coq.json``, with the
bars that they are held to; the exit code is 1 where one is missed.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ncd_formal.certificate import Certificate
from ncd_formal.coq import kernel
from ncd_formal.coq.export import export
from ncd_formal.equivalence import prove
from tests.coq.stacks import stack
from tests.programs.equal import PAIRS

RESULTS = Path(__file__).parent / "results" / "coq.json"

REPEATS = 10
"""Coq's clock has steps of a millisecond: a check is timed so many times over."""

BARS = {
    "theory_seconds": 150.0,
    "coqc_median_seconds": 1.0,
    "checker_median_milliseconds": 3.0,
    "stack_seconds": 3.0,
}


def measure(certificate: Certificate) -> tuple[float, float]:
    """Seconds of ``coqc``, and of the checker alone."""
    accepted = kernel.accept(certificate)
    assert accepted.accepted, accepted.reason
    arguments = "certificate_laws certificate_context certificate_nodes certificate_lemmas"
    one = f"check {arguments} certificate_goals"
    many = f"List.forallb (fun _ => {one}) (List.repeat tt {REPEATS})"
    timed = f"Time Eval vm_compute in ({many}).\n"
    done = kernel.run(export(certificate) + timed, kernel.theory())
    (found,) = re.findall(r"transaction in ([\d.]+) secs", done.stdout)
    return accepted.seconds, float(found) / REPEATS


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        kernel.compile_files(kernel.sources(papers=True), Path(folder))
        theory = time.perf_counter() - start
    print(f"the theory from scratch: {theory:.1f} s")
    kernel.theory()
    rows = []
    for pair in PAIRS:
        left, right = pair.programs()
        found = prove(left, right, pair.inputs, pair.assume, pair.parameters, timeout=10)
        if isinstance(found.certificate, Certificate):
            rows.append(measure(found.certificate))
            print(f"{pair.name}: {rows[-1][0]:.2f} s, {1000 * rows[-1][1]:.0f} ms in the checker")
    large = min(measure(stack(192)) for _ in range(3))
    seconds, checks = zip(*rows, strict=True)
    measured = {
        "theory_seconds": round(theory, 1),
        "coqc_median_seconds": round(statistics.median(seconds), 2),
        "checker_median_milliseconds": round(1000 * statistics.median(checks), 1),
        "stack_seconds": round(large[0], 2),
    }
    missed = [name for name, bar in BARS.items() if measured[name] > bar]
    result = {
        "machine": platform.machine(),
        "coq": kernel.version(),
        "certificates": len(rows),
        **measured,
        "coqc_largest_seconds": round(max(seconds), 2),
        "checker_largest_milliseconds": round(1000 * max(checks), 1),
        "stack_checker_milliseconds": round(1000 * large[1], 1),
        "bars": BARS,
        "missed": missed,
    }
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
