"""How long `prove` takes, beside importing the programs and running them once.

Prints one row a pair: seconds to import both programs (tracing), to prove, to check the
certificate, and the seconds that PyTorch takes to run both programs once at small sizes, all in one
process and in this order, so that the columns compare.  Results go to ``results/equivalence.json``.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from ncd_formal.equivalence import prove

RESULTS = Path(__file__).parent / "results" / "equivalence.json"
ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def library(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def left_first(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (q @ k.mT) @ v


def right_first(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return q @ (k.mT @ v)


def main() -> None:
    prove(attention, library, ATTENTION)  # load the libraries
    rows = []
    for name, left, right in (
        ("attention is scaled_dot_product_attention", attention, library),
        ("(QK')V = Q(K'V)", left_first, right_first),
    ):
        verdict = prove(left, right, ATTENTION)
        q, k, v = (torch.randn(2, 4, 128, 64) for _ in range(3))
        start = time.perf_counter()
        left(q, k, v)
        right(q, k, v)
        run = time.perf_counter() - start
        row = {
            "pair": name,
            "status": verdict.status,
            **{key: round(value, 4) for key, value in verdict.seconds.items()},
            "run_both_once": round(run, 4),
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
