"""Runs the scripts of counterexamples."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

ALONE = """
import sys
for path in sys.argv[1:]:
    text = open(path, encoding="utf-8").read()
    before = list(sys.path)
    try:
        exec(compile(text, path, "exec"), {"__name__": "__main__"})
        code = "none"
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        code = f"{type(error).__name__}: {error}"
    sys.path[:] = before
    print(f"exit {path}: {code}", flush=True)
"""
"""Runs scripts one after the other, and prints how each ended."""


def run_alone(scripts: Sequence[str], folder: Path) -> list[tuple[str, str]]:
    """How each script ends, as its exit code or error, and what it prints; in one process."""
    paths = [folder / f"script_{k}.py" for k in range(len(scripts))]
    for path, text in zip(paths, scripts, strict=True):
        path.write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    found: list[tuple[str, str]] = []
    said = ran.stdout
    for path in paths:
        printed, ended, rest = said.partition(f"exit {path}: ")
        assert ended, ran.stderr
        code, _, said = rest.partition("\n")
        found.append((code, printed))
    return found


def run_here(script: str) -> tuple[object, str]:
    """The exit code of a script and what it prints, run in this process."""
    dtype, path = torch.get_default_dtype(), list(sys.path)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        return ended.code, printed.getvalue()
    finally:
        torch.set_default_dtype(dtype)
        torch.set_printoptions(profile="default")
        sys.path[:] = path
    return None, printed.getvalue()
