"""Coq itself: the theory compiled, and certificates put to its kernel.

The theory is compiled once for each version of Coq and of its sources, into a folder of the user's
cache.  The laws in it are written anew from the rule texts, so a text that has changed needs its
lemma proved again before anything is accepted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ncd_formal.cache import folder as cache_folder
from ncd_formal.certificate import Certificate
from ncd_formal.composition import Composition
from ncd_formal.coq import composed
from ncd_formal.coq.export import export, numbers_text
from ncd_formal.coq.readback import statements
from ncd_formal.coq.table import proofs_folder, soundness_text, table_text
from ncd_formal.errors import InputError, one_line

log = logging.getLogger(__name__)

PAPERS = ("Strides", "Broadcasting", "Transfers", "Evaluation")
"""What no certificate needs: the theorems of the papers, and the evaluator of the tests."""

PATIENCE = 600.0
"""Seconds that Coq may take for one file."""


class CoqError(RuntimeError):
    """The theory does not compile; the message says where."""


@dataclass(frozen=True)
class Acceptance:
    """What Coq said of a certificate."""

    accepted: bool
    reason: str
    seconds: float
    coq: str
    """The version of Coq."""
    given: tuple[str, ...] = ()
    """The laws of the user's own that are premises of the theorem."""


def available() -> bool:
    """Whether ``coqc`` is installed."""
    return shutil.which("coqc") is not None


@cache
def version() -> str:
    """The version of Coq.

    Errors: InputError where it is not installed, or does not run.
    """
    if not available():
        raise InputError("Coq is not installed: apt-get install coq, or opam install coq")
    done = _coqc(Path.cwd(), "--print-version")
    if done.returncode or not done.stdout.split():
        raise InputError(f"coqc does not run: {one_line(done.stderr or done.stdout)}")
    return done.stdout.split()[0]


def sources(papers: bool = False) -> dict[str, str]:
    """The files of the theory by module, in an order in which they compile."""
    folder = proofs_folder()
    listed = (folder / "_CoqProject").read_text(encoding="utf-8").split()
    names = [name.removesuffix(".v") for name in listed if name.endswith(".v")]
    written = {"Table": table_text, "Soundness": soundness_text}
    return {"Numbers": numbers_text()} | {
        name: written[name]() if name in written else (folder / f"{name}.v").read_text("utf-8")
        for name in names
        if papers or name not in PAPERS
    }


def theory(papers: bool = False) -> Path:
    """The folder of the compiled theory; ``-R <folder> Ncd`` makes it known to Coq.

    Errors: InputError where Coq is not installed, CoqError where the theory does not compile.
    """
    base = theory() if papers else None
    files = sources(papers)
    digest = hashlib.sha256("\0".join((version(), *files, *files.values())).encode())
    root = _cache()
    folder = root / digest.hexdigest()[:20]
    with _alone(root / "lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=root, prefix="making-") as partial:
                made = Path(partial, "theory")
                if base is None:
                    made.mkdir()
                else:
                    shutil.copytree(base, made)
                compile_files({k: v for k, v in files.items() if base is None or k in PAPERS}, made)
                made.rename(folder)
    return folder


def compile_files(files: dict[str, str], folder: Path) -> None:
    """Write and compile modules in their order.

    Errors: CoqError naming the first that does not compile.
    """
    for number, (name, text) in enumerate(files.items(), 1):
        log.info("compiling the Coq theory: %s (%d of %d)", name, number, len(files))
        (folder / f"{name}.v").write_text(text, encoding="utf-8")
        done = _coqc(folder, "-q", "-R", str(folder), "Ncd", f"{name}.v")
        if done.returncode:
            raise CoqError(f"{name}.v does not compile: {_reason(done)}")


def run(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Put a file to Coq, beside a compiled theory."""
    with tempfile.TemporaryDirectory(prefix="ncd-") as place:
        (Path(place) / "Certificate.v").write_text(text, encoding="utf-8")
        return _coqc(Path(place), "-q", "-R", str(folder), "Ncd", "Certificate.v")


def coq_text(certificate: Certificate | Composition, plain: bool = True) -> str:
    """A proof as a Coq file: the theorem of its nodes, and its goals in plain mathematics.

    A composition states that both programs make the same arrays.
    """
    if isinstance(certificate, Composition):
        return composed.export(certificate)
    return export(certificate) + ("\n" + statements(certificate) if plain else "")


def accept(certificate: Certificate | Composition, plain: bool = False) -> Acceptance:
    """Whether Coq's kernel accepts a certificate as a theorem.

    With ``plain``, also the statements of its goals in plain mathematics.

    Errors: InputError where Coq is not installed, or cannot say what a law of the user's own
    says; CoqError where the theory does not compile.
    """
    text, folder = coq_text(certificate, plain), theory()
    log.info("Coq is checking")
    start = time.perf_counter()
    done = run(text, folder)
    seconds = time.perf_counter() - start
    return Acceptance(not done.returncode, _reason(done), seconds, version(), certificate.unproved)


def _coqc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["coqc", *arguments],
            cwd=folder,
            # With a larger nursery the garbage collector runs less often.
            env={"OCAMLRUNPARAM": "s=8M", **os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, 124, "", f"no answer in {PATIENCE:.0f} s")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if not done.returncode:
        return ""
    text = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
    return one_line(text)[:500]


@cache
def _cache() -> Path:
    return cache_folder("coq")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
