"""Tests of the Coq theory, and of certificates put to Coq's kernel."""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from threading import Timer

import pytest

from ncd_formal.certificate import Certificate
from ncd_formal.composition import Composition
from ncd_formal.coq import kernel
from ncd_formal.coq.export import HEADER

# Where CI is set a test without Coq is not skipped, so it fails.
needs_coq = pytest.mark.skipif(
    not kernel.available() and not os.environ.get("CI"),
    reason="coqc is not installed: apt-get install coq",
)

LOADED = "From Ncd Require Composition Readback."

DONE = "tt, (tt, tt)"
"""What Coq computes when it has done what it was told."""


def assert_accepted(certificate: Certificate | Composition, plain: bool = False) -> None:
    """Coq's kernel accepts a certificate, where Coq is installed, and in CI it must be.

    With ``plain``, also the statements of its goals in plain mathematics.
    """
    if kernel.available() or os.environ.get("CI"):
        reason = reason_against(kernel.coq_text(certificate, plain))
        assert not reason, reason


def reason_against(text: str) -> str:
    """Why Coq rejects the file of a certificate; "" where it accepts it."""
    answer = _session().asks(text)
    if answer:
        _session.cache_clear()  # what failed may have left a module or a proof open
    return answer


@cache
def _session() -> _Session:
    return _Session()


class _Session:
    """Coq with the theory loaded, which takes most of the time that a small certificate takes.

    Each file is a module of its own, in which the theorem ``certificate`` must then be.
    """

    def __init__(self) -> None:
        kernel.version()  # where Coq is not installed, that says so
        self.folder = tempfile.TemporaryDirectory(prefix="ncd-")
        self.process = subprocess.Popen(
            ["coqtop", "-q", "-R", str(kernel.theory()), "Ncd"],
            cwd=self.folder.name,
            env={"OCAMLRUNPARAM": "s=8M", **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        atexit.register(self.process.kill)
        self.asked = 0
        # Loaded, not imported: each file imports what it needs.
        self.says(HEADER.replace("Require Import", "Require") + LOADED)

    def asks(self, text: str) -> str:
        self.asked += 1
        name = f"Asked{self.asked}"
        written = f"Module {name}.\n{text}\nEnd {name}.\n"
        Path(self.folder.name, f"{name}.v").write_text(written, "utf-8")
        said = self.says(f'Load "{name}".')
        about = "" if "Error" in said else self.says(f"About {name}.certificate.")
        if "Error" in said or f"{name}.certificate :" not in about:
            self.process.kill()
            return f"{said}{about}".strip() or "there is no theorem"
        return ""

    def says(self, command: str) -> str:
        """What Coq prints until it has done what it is told."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{command}\nEval compute in ({DONE}).\n")
        self.process.stdin.flush()
        lines: list[str] = []
        # As coqc has: a proof that does not end is rejected, for Coq then has ended.
        limit = Timer(kernel.PATIENCE, self.process.kill)
        limit.start()
        try:
            for line in self.process.stdout:
                if f"= ({DONE})" in line:
                    self.process.stdout.readline()  # its type
                    return "".join(lines)
                lines.append(line)
        finally:
            limit.cancel()
        return "".join(lines) + "Error: Coq ended"
