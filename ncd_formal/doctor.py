"""Examines an installation: what is there, what imports, and whether a kernel runs."""

import importlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ncd_formal.errors import InputError, one_line

State = Literal["ok", "missing", "broken"]

# Distribution, module, and the extra that brings it; None where the package needs it always.
_DEPENDENCIES: tuple[tuple[str, str, str | None], ...] = (
    ("numpy", "numpy", None),
    ("egglog", "egglog.bindings", None),
    ("z3-solver", "z3", None),
    ("torch", "torch", "torch"),
    ("triton", "triton", "triton"),
)

# Python 3.11 finds the source of a Triton kernel in a file only, hence a file.
_KERNEL = """\
import torch
import triton
import triton.language as tl

from ncd_formal.realize.interpreter import interpret


@triton.jit
def double(source, target, size, block: tl.constexpr):
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    values = tl.load(source + offsets, mask=offsets < size, other=0.0)
    tl.store(target + offsets, 2 * values, mask=offsets < size)


source = torch.arange(100, dtype=torch.float32)
target = torch.zeros(100)
with interpret():
    double[(2,)](source, target, 100, block=64)
if not torch.equal(target, 2 * source):
    raise SystemExit("the kernel and PyTorch disagree")
"""

_PATIENCE = 120.0  # seconds; importing torch and Triton cold takes a slow disk most of a minute


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        state: ``ok``; ``missing``, an extra that is not installed and need not be; or ``broken``,
            which the package cannot do its work with.
        detail: a version, a number, or what is wrong and how to mend it, in one line.
    """

    name: str
    state: State
    detail: str


def examine() -> Iterator[Finding]:
    """Looks at Python, each dependency, the GPU, the rules, Coq and the kernels, one by one."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    states: dict[str, State] = {}
    for distribution, module, extra in _DEPENDENCIES:
        finding = _dependency(distribution, module, extra)
        states[distribution] = finding.state
        yield finding
    yield _gpu(states["torch"])
    yield _rules()
    yield _coq()
    yield _interpreter(states["torch"], states["triton"])


def _dependency(distribution: str, module: str, extra: str | None) -> Finding:
    try:
        found = version(distribution)
    except PackageNotFoundError:
        wanted = "ncd_formal" if extra is None else f"ncd_formal[{extra}]"
        return Finding(
            distribution,
            "broken" if extra is None else "missing",
            f"not installed: pip install '{wanted}'",
        )
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation may raise anything
        problem = one_line(f"{type(error).__name__}: {error}")
        return Finding(distribution, "broken", f"{found}, which does not import: {problem}")
    return Finding(distribution, "ok", found)


def _gpu(torch_state: State) -> Finding:
    """Names the GPU; there need not be one."""
    if torch_state == "ok":
        import torch

        if torch.cuda.is_available():
            return Finding("gpu", "ok", torch.cuda.get_device_name())
    return Finding("gpu", "missing", "none that PyTorch sees: kernels run on the CPU, slowly")


def _rules() -> Finding:
    """Reads the laws, and counts them."""
    try:
        from ncd_formal.rules import table

        number = len(table())
    except Exception as error:  # as above: whatever is wrong is what was to be found out
        problem = one_line(f"{type(error).__name__}: {error}")
        return Finding("rules", "broken", f"they cannot be read: {problem}")
    if not number:
        return Finding("rules", "broken", "none were found: install the package again")
    return Finding("rules", "ok", str(number))


def _coq() -> Finding:
    """Names the version of Coq, which checks proofs again."""
    from ncd_formal.coq import kernel

    if not kernel.available():
        return Finding("coq", "missing", "not installed: apt-get install coq; for ncd check --coq")
    try:
        return Finding("coq", "ok", kernel.version())
    except InputError as error:
        return Finding("coq", "broken", one_line(error))


def _interpreter(torch: State, triton: State) -> Finding:
    """Runs a small kernel on the CPU, in a process of its own: a crash there is a finding too."""
    name = "interpreter"
    if "broken" in (torch, triton):
        return Finding(name, "broken", "not tried: torch or triton does not import")
    if "missing" in (torch, triton):
        return Finding(name, "missing", "kernels need both: pip install 'ncd_formal[all]'")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    # The process must find this package, installed or not.
    roots = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, roots))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "double.py"
        script.write_text(_KERNEL, encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, str(script)],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Finding(name, "broken", f"a small kernel did not end in {_PATIENCE:.0f} s")
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return Finding(name, "broken", f"a small kernel fails: {one_line(last)}")
    return Finding(name, "ok", "a small Triton kernel runs on the CPU and agrees with PyTorch")
