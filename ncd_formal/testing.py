"""Equivalence as an assertion, for the tests of those who write programs.

:func:`assert_equivalent` passes on a proof and on nothing else.  It works in any test framework;
under pytest the plugin (:mod:`ncd_formal.pytest_plugin`) listens, gives it a folder for scripts,
and collects the verdicts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ncd_formal.errors import InputError
from ncd_formal.outputs import PendingFile

if TYPE_CHECKING:
    from ncd_formal.equivalence import Verdict
    from ncd_formal.report import Result

UNDECIDED = ("fail", "skip", "xfail")
"""What a test may do about a verdict that settles nothing."""


class NotEquivalentError(AssertionError):
    """Two programs that were asserted to be equivalent are not proved to be."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


class RefutedError(NotEquivalentError):
    """The two programs differ: ``verdict.counterexample`` shows where."""


class UndecidedError(NotEquivalentError):
    """Whether the two programs are the same function is not settled: ``verdict.reason`` says why.

    It is no failure of the programs.
    """


class Listener(Protocol):
    """What hears of every comparison: the plugin of a test framework."""

    def folder(self) -> Path | None:
        """Where scripts may be written, None outside of a test."""
        ...

    def hear(self, result: Result) -> None:
        """Takes note of a comparison."""
        ...


listeners: list[Listener] = []
"""Those who hear of comparisons; the last one's folder is used."""


def assert_equivalent(
    left: object,
    right: object,
    *,
    inputs: Mapping[str, str] | None = None,
    assume: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    rules: str = "",
    certificate: str | Path | None = None,
    undecided: str = "fail",
    find_conditions: bool = False,
) -> Verdict:
    """Passes where two programs are proved to be one function, for every size over the reals.

    ``left`` to ``rules`` and ``find_conditions`` are those of :func:`ncd_formal.prove`; conditions
    on inputs are not looked for unless asked, so that a test says itself what it assumes.
    ``certificate`` names a file for the certificate of the proof.  ``undecided`` says what to do
    where nothing is settled: ``fail``, ``skip`` or ``xfail``, the last two under pytest alone: they
    end the test as its author asked.  A refutation always fails.

    Returns the verdict, which is a proof.

    Errors: RefutedError and UndecidedError, both AssertionErrors with the verdict; InputError for
    what cannot be used.
    """
    __tracebackhide__ = True
    if undecided not in UNDECIDED:
        raise InputError(f"undecided is one of {', '.join(UNDECIDED)}; got {undecided!r}")
    from ncd_formal.equivalence import prove

    if certificate is None:
        verdict = prove(left, right, inputs, assume, parameters, timeout, rules, find_conditions)
    else:
        with PendingFile(Path(certificate)) as file:
            verdict = prove(
                left, right, inputs, assume, parameters, timeout, rules, find_conditions
            )
            if verdict.certificate is not None:
                file.write(verdict.certificate.save)
    _tell(verdict, inputs, assume, parameters, timeout, certificate)
    if verdict.status == "proved":
        return verdict
    if verdict.status == "refuted":
        raise RefutedError(_refutation(verdict), verdict)
    message = f"{verdict.explain()}\n  Nothing is proved and nothing is refuted"
    if undecided != "fail":
        _leave(undecided, f"undecided: {verdict.reason}")
    raise UndecidedError(message, verdict)


def _tell(
    verdict: Verdict,
    inputs: Mapping[str, str] | None,
    assume: Sequence[str],
    parameters: Mapping[str, str] | None,
    timeout: float,
    certificate: str | Path | None,
) -> None:
    if not listeners:
        return
    from ncd_formal.report import result

    saved = str(certificate) if certificate is not None and verdict.certificate else ""
    for listener in listeners:
        listener.hear(
            result(
                verdict,
                inputs=inputs,
                assume=assume,
                parameters=parameters,
                timeout=timeout,
                certificate_file=saved,
            )
        )


def _refutation(verdict: Verdict) -> str:
    """What a refutation says, with the file of a script that shows it."""
    example = verdict.counterexample
    assert example is not None
    folder = next((f for known in reversed(listeners) if (f := known.folder()) is not None), None)
    if folder is None:
        return f"{verdict.explain()}\n  verdict.counterexample.script is a script that shows it"
    number = 1
    while (path := folder / f"counterexample_{number}.py").exists():
        number += 1
    path.write_text(example.script, encoding="utf-8", errors="backslashreplace")
    return f"{verdict.explain()}\n  a script that shows it: python {shlex.quote(str(path))}"


def _leave(how: str, reason: str) -> Any:
    """Ends a pytest test as skipped, or as failed as expected."""
    __tracebackhide__ = True
    try:
        import pytest
    except ImportError:
        raise InputError(f"undecided={how!r} needs pytest") from None
    return pytest.skip(reason) if how == "skip" else pytest.xfail(reason)
