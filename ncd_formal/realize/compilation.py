"""Compile Triton kernels for GPUs that are not there, and read what they would use of one.

Every compiler that Triton needs ships in its wheel; only the question "which GPU?" is put to a
driver.  Here the answer is given by name.  Everything else is the real path of a launch, the
specialisation on the arguments included (a stride of 1, a pointer or a size divisible by 16), so
that what is measured is the code that would run.
"""

import functools
import inspect
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

__all__ = ["TARGETS", "CompilationFailed", "Resources", "Target", "assume_gpu", "compiling"]


@dataclass(frozen=True, slots=True)
class Target:
    """A GPU to compile for; ``shared`` is the most that one program may use, in bytes."""

    backend: str
    architecture: int | str
    warp: int
    shared: int


TARGETS: Mapping[str, Target] = {
    "sm_80": Target("cuda", 80, 32, 166_912),
    "sm_90": Target("cuda", 90, 32, 232_448),
    "sm_100": Target("cuda", 100, 32, 232_448),
    "gfx942": Target("hip", "gfx942", 64, 65_536),
}
"""The known targets: NVIDIA A100, H100 and H200, B200; AMD MI300."""


class CompilationFailed(RuntimeError):
    """A kernel that some target's compiler rejects, or that could not be launched there."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one compiled kernel uses.

    ``registers`` are 32-bit registers per thread; ``spills`` the bytes of memory per thread that
    hold what did not fit into them, 0 in a kernel worth running; ``shared`` the bytes of shared
    memory per program.  ``instructions`` counts those in the text of the program, not those
    executed, by kind: matrix products (``mma``, ``wgmma``, ``tcgen05``; ``mfma``), copies (
    ``cp_async``, ``tma_load``, ``tma_store``, ``ldmatrix``), ``exp2`` and scalar ``fma``.
    """

    kernel: str
    target: str
    registers: int
    spills: int
    shared: int
    instructions: Mapping[str, int]


_PTX_INSTRUCTIONS = {
    "mma": r"\bmma\.sync",
    "wgmma": r"\bwgmma\.mma_async",
    "tcgen05": r"\btcgen05\.mma",
    "ldmatrix": r"\bldmatrix",
    "cp_async": r"\bcp\.async\.c[ag]",
    "tma_load": r"\bcp\.async\.bulk\.tensor\S*\.shared\S*\.global",
    "tma_store": r"\bcp\.async\.bulk\.tensor\S*\.global\.shared",
    "exp2": r"\bex2\.approx",
    "fma": r"\bfma\.rn\.f32",
}
_AMD_INSTRUCTIONS = {"mfma": r"\bv_mfma", "exp2": r"\bv_exp_f32", "fma": r"\bv_(?:pk_)?fma\w*_f32"}


class _AbsentGpu:
    """Stands in for Triton's driver, as far as launchers and compilers ask it anything."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_current_target(self) -> Any:
        target = TARGETS[self.name]
        return GPUTarget(target.backend, target.architecture, target.warp)

    def get_current_device(self) -> str:
        return self.name  # keys the kernel's cache of compiled code: one cache per target

    def get_current_stream(self, device: object = None) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_benchmarker(self) -> Any:
        # An invented timing would stay in the autotuner's cache and mislead a real launch.
        raise NotImplementedError("no GPU to tune on: launch each configuration by itself")


@contextmanager
def assume_gpu(target: str) -> Iterator[None]:
    """Within the context, Triton believes that the current GPU is a ``target``.

    Raises ``ValueError`` for an unknown target.
    """
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; known are {', '.join(TARGETS)}")
    active = driver._active
    driver.set_active(_AbsentGpu(target))
    try:
        yield
    finally:
        driver._active = active  # reset_active() would look for a GPU


def _count(text: str, patterns: Mapping[str, str]) -> dict[str, int]:
    return {kind: len(re.findall(pattern, text)) for kind, pattern in patterns.items()}


def _number(pattern: str, text: str) -> int:
    """The number that the pattern's group finds."""
    found = re.search(pattern, text)
    if found is None:
        raise CompilationFailed(f"no {pattern!r} in the compiler's report:\n{text[:2000]}")
    return int(found[1])


def _resources(compiled: Any, target: str) -> Resources:
    """Read the machine code of a compiled kernel."""
    if "cubin" in compiled.asm:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kernel.cubin"
            path.write_bytes(compiled.asm["cubin"])
            command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", str(path)]
            report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        registers = _number(r"\bREG:(\d+)", report)
        spills = _number(r"\bSTACK:(\d+)", report)
        instructions = _count(compiled.asm["ptx"], _PTX_INSTRUCTIONS)
    else:
        report = compiled.asm["amdgcn"]
        registers = _number(r"\.vgpr_count:\s+(\d+)", report)
        spills = _number(r"\.private_segment_fixed_size:\s+(\d+)", report)
        instructions = _count(report, _AMD_INSTRUCTIONS)
    name, shared = compiled.metadata.name, compiled.metadata.shared
    return Resources(name, target, registers, spills, shared, instructions)


@contextmanager
def compiling(target: str) -> Iterator[list[Resources]]:
    """Within the context, launching a ``@triton.jit`` kernel compiles it for ``target``, no more.

    The result lists what each launch uses, in order.  Tensors may live anywhere, on ``meta`` too,
    and none is read or written.  So the same launcher runs on a GPU, under ``interpret()`` and
    under ``compiling("sm_90")``.  The switch is global to the process, not to the thread.

    Raises ``ValueError`` for an unknown target and, from a launch, :class:`CompilationFailed`.
    """
    installed = JITFunction.run
    launch = inspect.unwrap(installed)  # Triton's own, whichever context this one is within
    resources: list[Resources] = []

    @functools.wraps(launch)
    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        try:
            with redirect_stdout(sys.stderr):  # Triton prints the logs of its tools
                compiled = launch(self, *args, grid=grid, warmup=True, **kwargs)
        except Exception as error:
            raise CompilationFailed(f"{self.fn.__name__} for {target}: {error}") from error
        used = _resources(compiled, target)
        if used.shared > TARGETS[target].shared:
            raise CompilationFailed(
                f"{used.kernel} needs {used.shared} bytes of shared memory per program, and "
                f"{target} has {TARGETS[target].shared}"
            )
        resources.append(used)
        return compiled

    with assume_gpu(target):
        JITFunction.run = compile_only
        try:
            yield resources
        finally:
            JITFunction.run = installed
