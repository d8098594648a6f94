"""Equivalence in other people's tests: what passes, fails and is skipped, and the one report."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ncd_formal
from ncd_formal import testing
from ncd_formal.errors import InputError

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]

TESTS = """
import pytest
import torch
import ncd_formal as ncd


def plain(x):
    return 2 * x


def doubled(x):
    return x + x


def opaque(x):
    return torch.sort(x, -1).values.sum(-1)


def summed(x):
    return x.sum(-1)


def test_proved(assert_equivalent, tmp_path):
    place = tmp_path / "proof.json"
    verdict = assert_equivalent(plain, doubled, inputs={"x": "n"}, certificate=place)
    assert verdict.status == "proved"
    ncd.Certificate.load(place).check()


def test_imported():
    ncd.assert_equivalent(plain, doubled, inputs={"x": "n"}, assume=["n >= 2"])


def test_refuted(assert_equivalent):
    assert_equivalent(plain, torch.square, inputs={"x": "n"}, undecided="skip")


def test_undecided(assert_equivalent):
    assert_equivalent(opaque, summed, inputs={"x": "n m"})


def test_skipped(assert_equivalent):
    assert_equivalent(opaque, summed, inputs={"x": "n m"}, undecided="skip")


def test_expected(assert_equivalent):
    assert_equivalent(opaque, summed, inputs={"x": "n m"}, undecided="xfail")


def test_bad_word(assert_equivalent):
    assert_equivalent(plain, doubled, inputs={"x": "n"}, undecided="ignore")


def test_bad_shape(assert_equivalent, tmp_path):
    with pytest.raises(ncd.InputError, match="has no shape"):
        assert_equivalent(plain, doubled, certificate=tmp_path / "none.json")
    assert list(tmp_path.iterdir()) == []


class TestMore:
    @pytest.fixture
    def ready(self, assert_equivalent):
        assert_equivalent(doubled, plain, inputs={"x": "n m"})

    def test_in_a_fixture(self, ready):
        with pytest.raises(AssertionError, match="square"):
            ncd.assert_equivalent(plain, torch.square, inputs={"x": "n"})
"""

OUTCOMES = {"passed": 4, "failed": 3, "skipped": 1, "xfailed": 1}
TITLES = [
    "TestMore::test_in_a_fixture: doubled = plain",
    "TestMore::test_in_a_fixture: plain = square",
    "test_expected: opaque = summed",
    "test_imported: plain = doubled",
    "test_proved: plain = doubled",
    "test_refuted: plain = square",
    "test_skipped: opaque = summed",
    "test_undecided: opaque = summed",
]


class Page(HTMLParser):
    """Holds a page to being well formed: every element is closed, in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(test_equivalence=TESTS)
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "ncd_formal.pytest_plugin", *options)


def test_what_passes_and_what_fails(project: pytest.Pytester) -> None:
    ran = run(project, "-ra", "--ncd-report=report.html", "--ncd-json=report.json")
    ran.assert_outcomes(**OUTCOMES)
    ran.stdout.fnmatch_lines(
        [
            "*RefutedError: refuted: plain and square differ",
            "*at sizes n = 1: output 0[[]0[]]*",
            "*a script that shows it: python *counterexample_1.py",
            "*UndecidedError: undecided: whether opaque and summed are the same function*",
            "*InputError: undecided is one of fail, skip, xfail; got 'ignore'",
            "*ncd: 8 comparisons in *report.html",
            "SKIPPED*undecided: *",
            "XFAIL*undecided: *",
        ]
    )
    assert "in assert_equivalent" not in ran.stdout.str()  # the traceback is that of the test
    line = next(text for text in ran.outlines if "a script that shows it" in text)
    script = line.split("python ")[1].strip()
    assert subprocess.run([sys.executable, script], check=False).returncode == 1
    data = json.loads((project.path / "report.json").read_text())
    assert data["summary"] == {"refuted": 2, "undecided": 3, "proved": 3}
    assert [r["title"].partition("::")[2] for r in data["results"]] == TITLES
    saved = [r["certificate"]["file"] for r in data["results"] if r["certificate"]]
    assert [Path(place).name for place in saved] == ["", "", "proof.json"]
    page = Page((project.path / "report.html").read_text())
    assert [t for t, _ in page.tags].count("article") == 8
    assert all(title in page.text for title in TITLES)


def test_several_processes_write_one_report(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    ran = run(project, "-n", "2", "--ncd-json=report.json", "-k", "not undecided")
    data = json.loads((project.path / "report.json").read_text())
    ran.stdout.fnmatch_lines(["*ncd: 7 comparisons in *report.json"])
    titles = [title for title in TITLES if "undecided" not in title]
    assert [r["title"].partition("::")[2] for r in data["results"]] == titles


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ncd-report=report.txt", "--ncd-report wants a .html file; got report.txt"),
        ("--ncd-json=report.html", "--ncd-json wants a .json file; got report.html"),
        ("--ncd-json=absent/report.json", "--ncd-json: the folder *absent does not exist"),
    ],
)
def test_a_report_that_cannot_be_written_is_known_first(
    project: pytest.Pytester, option: str, message: str
) -> None:
    ran = run(project, option)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([f"*{message}"])
    assert "collected" not in ran.stdout.str()


def test_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, ncd_formal.pytest_plugin\n"
        "print(sorted({'egglog', 'z3', 'torch', 'triton', 'numpy'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# Outside of the plugin


def test_the_assertion_needs_no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "listeners", [])
    same = ncd_formal.assert_equivalent(lambda x: x + x, lambda x: 2 * x, inputs={"x": "n"})
    assert same.certificate is not None
    with pytest.raises(testing.RefutedError, match="differ") as raised:
        ncd_formal.assert_equivalent(lambda x: x + x, lambda x: x * x, inputs={"x": "n"})
    example = raised.value.verdict.counterexample
    assert example is not None and "they differ" in example.script
    with pytest.raises(testing.UndecidedError, match="nothing is refuted"):
        ncd_formal.assert_equivalent(
            lambda x: x.sort(-1).values.sum(-1), lambda x: x.sum(-1), inputs={"x": "n m"}
        )


def test_bad_words_are_refused() -> None:
    with pytest.raises(InputError, match="undecided is one of fail, skip, xfail; got 'pass'"):
        ncd_formal.assert_equivalent(abs, abs, undecided="pass")
    with pytest.raises(InputError, match="assume is a list of conditions"):
        ncd_formal.assert_equivalent(abs, abs, assume="n >= 1")
