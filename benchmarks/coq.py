"""How long Coq takes: the theory from scratch, a certificate, and the check itself inside Coq.

Prints the seconds to compile the whole theory, one file after another; for every equal pair of the
test suite the seconds of ``coqc`` on its certificate, and of the checker alone, as Coq's own clock
says (in steps of a millisecond); and both for a stack of 192 rewritten layers.  Results go to
``results/coq.json``.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
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


def measure(certificate: Certificate) -> tuple[float, float]:
    """Seconds of ``coqc``, and of the checker alone."""
    accepted = kernel.accept(certificate)
    assert accepted.accepted, accepted.reason
    arguments = "certificate_laws certificate_context certificate_nodes certificate_lemmas"
    timed = f"Time Eval vm_compute in (check {arguments} certificate_goals).\n"
    # The first run compiles the checker; the second is the check.
    done = kernel.run(export(certificate) + 2 * timed, kernel.theory())
    found = re.findall(r"transaction in ([\d.]+) secs", done.stdout)
    return accepted.seconds, float(found[-1])


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
        if found.certificate is not None:
            rows.append(measure(found.certificate))
            print(f"{pair.name}: {rows[-1][0]:.2f} s, {1000 * rows[-1][1]:.0f} ms in the checker")
    large = measure(stack(192))
    seconds, checks = zip(*rows, strict=True)
    result = {
        "machine": platform.machine(),
        "coq": kernel.version(),
        "theory_seconds": round(theory, 1),
        "certificates": len(rows),
        "coqc_seconds": {
            "median": round(statistics.median(seconds), 2),
            "largest": round(max(seconds), 2),
        },
        "checker_milliseconds": {
            "median": round(1000 * statistics.median(checks), 1),
            "largest": round(1000 * max(checks), 1),
        },
        "stack_of_192_layers": {
            "coqc_seconds": round(large[0], 2),
            "checker_milliseconds": round(1000 * large[1], 1),
        },
    }
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
