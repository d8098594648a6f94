"""Runs a derived attention kernel beside the program that it was derived from.

    python examples/run_kernel.py build/kernel.py:attention examples/attention.py:attention

On a GPU where PyTorch sees one, and otherwise on the CPU in the corrected interpreter.  The result
is judged against the program in float64, by the error that no float32 kernel can exceed.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor

from ncd_formal.errors import InputError
from ncd_formal.realize.accuracy import SoftmaxContraction, judge
from ncd_formal.targets import load_target

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]

# (b, h, n, m, d): a whole number of blocks; lengths that no block divides; one query.
SIZES = ((1, 2, 128, 128, 64), (2, 1, 70, 133, 32), (1, 3, 1, 257, 64))


def main(kernel_name: str, program_name: str) -> int:
    """Prints how the kernel fares at each size; gives back 0 if it is within the limits.

    Raises:
        InputError: one of the names cannot be loaded.
    """
    kernel = cast(Attention, load_target(kernel_name))
    program = cast(Attention, load_target(program_name))
    place = "cuda" if torch.cuda.is_available() else "cpu"
    running: AbstractContextManager[None] = nullcontext()
    if place == "cpu":
        from ncd_formal.realize.interpreter import interpret

        running = interpret()
    generator = torch.Generator().manual_seed(0)
    acceptable = True
    with running:
        for b, h, n, m, d in SIZES:
            q, k, v = (torch.randn(b, h, rows, d, generator=generator) for rows in (n, m, m))
            result = kernel(q.to(place), k.to(place), v.to(place)).cpu()
            wanted = program(q.double(), k.double(), v.double())
            limits = SoftmaxContraction(q, k, v)
            accuracy = judge(result, wanted, limits.bound, limits.typical)
            acceptable &= accuracy.acceptable
            print(f"b={b} h={h} n={n} m={m} d={d} on the {place}: {accuracy}")
    return 0 if acceptable else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kernel", help="the kernel's launcher, as path/to/file.py:name")
    parser.add_argument("program", help="the program, as path/to/file.py:name")
    arguments = parser.parse_args()
    try:
        sys.exit(main(arguments.kernel, arguments.program))
    except InputError as error:
        parser.error(str(error))
