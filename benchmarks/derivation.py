"""How large and how slow the search for a streamed form is.

One row a program, whole or in parts: e-nodes of the saturated graph, seconds in the e-graph and in
all (normal forms, search, extraction and proof; not tracing), the number of lemmas in the proof.
Results go to ``results/derivation.json``.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path

import torch

from ncd_formal.conditions import assume
from ncd_formal.derivation.contractions import orders
from ncd_formal.derivation.streaming import stream
from ncd_formal.elaboration import elaborate
from ncd_formal.frontends.shapes import parse_shape, size_names
from ncd_formal.frontends.torch_export import import_program
from tests.programs.definitions import DEFINITIONS

RESULTS = Path(__file__).parent / "results" / "derivation.json"
BAR = 2.0
"""Seconds in all for each program: normal forms, search, extraction, proof and its check."""

WAYS = [(name, False) for name in DEFINITIONS] + [("matmul", True), ("decoding", True)]


def main() -> None:
    rows: list[dict[str, int | float | str]] = []
    for number, (name, parts) in enumerate([WAYS[0], *WAYS]):
        definition = DEFINITIONS[name]
        declared = [parse_shape(k, v) for k, v in definition.inputs.items()]
        outputs = import_program(definition.program, definition.inputs).outputs
        elaboration = elaborate([outputs], assume((), size_names(declared)))
        ((output,),) = elaboration.programs
        start = time.perf_counter()
        form = stream(
            output, elaboration.context, definition.axis, parts=parts, expand=definition.expand
        )
        form.certificate.check()
        seconds = time.perf_counter() - start
        if number == 0:  # it loads the libraries
            continue
        row: dict[str, int | float | str] = {
            "program": f"{name} in parts" if parts else name,
            "passes": form.passes,
            "e_nodes": form.nodes,
            "seconds_in_the_e_graph": round(form.seconds, 4),
            "seconds_in_all": round(seconds, 4),
            "lemmas": len(form.certificate.lemmas),
        }
        start = time.perf_counter()
        row["orders"] = len(orders(output, elaboration.context))
        row["seconds_for_orders"] = round(time.perf_counter() - start, 4)
        rows.append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    slow = [row["program"] for row in rows if float(row["seconds_in_all"]) > BAR]
    result = {
        "machine": platform.machine(),
        "torch": torch.__version__,
        "bar_in_seconds": BAR,
        "over_it": slow,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
