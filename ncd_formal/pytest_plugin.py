"""A pytest plugin: the fixture ``assert_equivalent``, and one report over all that a run compares.

``--ncd-report FILE.html`` and ``--ncd-json FILE.json`` write the report, also where pytest-xdist
runs the tests in several processes.  Importing this module loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ncd_formal import testing
from ncd_formal.errors import InputError
from ncd_formal.outputs import PendingFile

if TYPE_CHECKING:
    from ncd_formal.report import Result

_OPTIONS = {"ncd_report": ("html", "--ncd-report"), "ncd_json": ("json", "--ncd-json")}
_SENT = "ncd_results"
"""The attribute of a test's report that carries its results from one process to another."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("ncd_formal", "proofs of equivalence")
    for name, (suffix, option) in _OPTIONS.items():
        group.addoption(
            option,
            dest=name,
            metavar=f"FILE.{suffix}",
            type=Path,
            default=None,
            help=f"write all verdicts of assert_equivalent to one {suffix.upper()} file",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Makes sure that the reports can be written before any test runs."""
    places = dict(_places(config))
    config.pluginmanager.register(_Collector(places), "ncd_formal collector")


def _places(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    if hasattr(config, "workerinput"):  # a process of pytest-xdist, which sends what it finds
        return
    for name, (suffix, option) in _OPTIONS.items():
        path = config.getoption(name)
        if path is None:
            continue
        path = config.invocation_params.dir / path
        if path.suffix.lower() != f".{suffix}":
            raise pytest.UsageError(f"{option} wants a .{suffix} file; got {path.name}")
        try:
            with PendingFile(path):
                pass
        except InputError as error:
            raise pytest.UsageError(f"{option}: {error}") from None
        yield option, path


@pytest.fixture
def assert_equivalent() -> Callable[..., Any]:
    """Passes where two programs are proved to be one function; see :mod:`ncd_formal.testing`."""
    return testing.assert_equivalent


class _Test:
    """Hears of the comparisons of one test."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self.results: list[Result] = []

    def folder(self) -> Path | None:
        """The temporary folder of the test, which is made when it is first asked for."""
        request = getattr(self._item, "_request", None)
        return None if request is None else Path(request.getfixturevalue("tmp_path"))

    def hear(self, result: Result) -> None:
        named = {**result, "title": f"{self._item.nodeid}: {result['title']}"}
        self.results.append(named)


class _Collector:
    """Collects the results of a run and writes them at its end."""

    def __init__(self, places: dict[str, Path]) -> None:
        self.places = places
        self.results: list[Result] = []
        self.current: _Test | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Listens while a test runs."""
        self.current = _Test(item)
        testing.listeners.append(self.current)
        try:
            return (yield)
        finally:
            testing.listeners.remove(self.current)
            self.current = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Sends what was heard along with the report of the test."""
        report = yield
        if self.current is not None and self.current.results:
            setattr(report, _SENT, self.current.results)
            self.current.results = []
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes what a test found, in whichever process it ran."""
        self.results += getattr(report, _SENT, [])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Writes the reports."""
        if not self.places:
            return
        from ncd_formal.report import save

        results = sorted(self.results, key=lambda result: str(result["title"]))
        for path in self.places.values():
            with PendingFile(path) as file:
                file.write(lambda place: save(results, place))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Says where the reports are."""
        for path in self.places.values():
            terminalreporter.write_line(f"ncd: {len(self.results)} comparisons in {path}")
