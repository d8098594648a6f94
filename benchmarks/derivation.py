"""How large and how slow the search for a streamed form is.

One row a program: e-nodes of the saturated graph, seconds in the e-graph and in all, and the number
of lemmas in the proof.  Results go to ``results/derivation.json``.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from ncd_formal.derivation.streaming import stream
from ncd_formal.elaboration import elaborate
from ncd_formal.frontends.torch_export import import_program

RESULTS = Path(__file__).parent / "results" / "derivation.json"
ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}


def naive(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def logsumexp(x: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(x, -1)


def main() -> None:
    rows = []
    for program, inputs in ((naive, ATTENTION), (causal, ATTENTION), (logsumexp, {"x": "n m"})):
        elaboration = elaborate([import_program(program, inputs).outputs])
        ((output,),) = elaboration.programs
        stream(output, elaboration.context)  # load the libraries
        start = time.perf_counter()
        form = stream(output, elaboration.context)
        row = {
            "program": program.__name__,
            "passes": form.passes,
            "e_nodes": form.nodes,
            "seconds_in_the_e_graph": round(form.seconds, 4),
            "seconds_in_all": round(time.perf_counter() - start, 4),
            "lemmas": len(form.certificate.lemmas),
        }
        rows.append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {"machine": platform.machine(), "torch": torch.__version__, "rows": rows}, indent=2
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
