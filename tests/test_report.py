"""Reports: a well-formed page that takes no markup from anyone, and the JSON as documented."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ncd_formal.cli import main
from ncd_formal.equivalence import Verdict, prove
from ncd_formal.errors import InputError
from ncd_formal.report import as_json, json_text, page, result, save
from tests.test_pytest_plugin import Page

ATTACK = "<script>alert('x')</script> & \"quotes\" </pre></code> $style \x00\x1b"

OWN_LAW = """
(rewrite (Less (Exp a) (Exp b)) (Less a b) :name "own-monotone")
"""


def named(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    function.__name__ = name
    return function


def proved(name: str = "double") -> Verdict:
    return prove(named(name, lambda x: x + x), lambda x: 2 * x, {"x": "n"})


def refuted(name: str = "double") -> Verdict:
    return prove(named(name, lambda x: x + x), lambda x: x.log(), {"x": "n"})


def undecided(name: str = "sort") -> Verdict:
    left = named(name, lambda x: x.sort(-1).values.sum(-1))
    return prove(left, lambda x: x.sum(-1), {"x": "n m"})


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return [made(ATTACK) for made in (proved, refuted, undecided)]


def results(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    return [
        result(v, ATTACK, {"x": ATTACK}, [ATTACK], {ATTACK: ATTACK}, 5.0, ATTACK) for v in verdicts
    ]


def test_a_page_is_well_formed_and_takes_no_markup(verdicts: list[Verdict]) -> None:
    text = page(results(verdicts), ATTACK)
    found = Page(text)
    tags = [tag for tag, _ in found.tags]
    assert "script" not in tags and tags.count("article") == 3
    assert "alert('x')" in found.text and "\x00" not in text
    attributes = {name for _, given in found.tags for name in given}
    assert not any(name.startswith("on") for name in attributes)
    assert all(str(given.get("href", "#")).startswith("#") for _, given in found.tags)
    assert not {"src", "srcset", "action"} & attributes
    assert "url(" not in text and "@import" not in text


def test_a_page_says_what_was_found(verdicts: list[Verdict]) -> None:
    text = Page(page(results(verdicts))).text
    for verdict in verdicts:
        assert verdict.reason in text
        assert all(condition in text for condition in verdict.conditions)
        if verdict.certificate is not None:
            assert verdict.certificate.digest in text
            assert all(law in text for law in verdict.certificate.laws)
            assert "sound_" in text
        if verdict.counterexample is not None:
            assert "largest difference" in text and "n = 1" in text
            assert verdict.counterexample.first_difference in text


def test_anchors_lead_somewhere(verdicts: list[Verdict]) -> None:
    tags = Page(page(results(verdicts))).tags
    places = [given["id"] for _, given in tags if "id" in given]
    assert len(places) == len(set(places))
    led = {str(given["href"]).removeprefix("#") for _, given in tags if "href" in given}
    assert led and led <= set(places)
    labels = {given["aria-labelledby"] for _, given in tags if "aria-labelledby" in given}
    assert labels <= set(places)


def test_a_page_can_be_read_by_all(verdicts: list[Verdict]) -> None:
    text = page(results(verdicts))
    tags = Page(text).tags
    assert ("html", {"lang": "en"}) in tags and "prefers-color-scheme: dark" in text
    headings = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1 and all(b <= a + 1 for a, b in pairwise(headings))
    assert all("scope" in given for tag, given in tags if tag == "th")
    assert len(page([])) < 6_000, "a page is small"


def test_laws_that_nobody_has_proved_are_marked() -> None:
    found = prove(
        lambda x, y: x.exp() < y.exp(),
        torch.lt,
        {"x": "n", "y": "n"},
        rules=OWN_LAW,
    )
    assert found.status == "proved", found.explain()
    page_ = Page(page(results([found])))
    assert "Rests on laws that nobody has proved: own-monotone." in page_.text
    assert "not proved" in page_.text
    assert "nobody has proved" not in page(results([proved()]))


def test_an_empty_report_says_so() -> None:
    assert "Nothing was compared" in Page(page([])).text
    assert as_json([])["summary"] == {"refuted": 0, "undecided": 0, "proved": 0}


def test_the_json_is_as_documented(verdicts: list[Verdict]) -> None:
    """The fields that README.md names, and no others."""
    data = json.loads(json_text(results(verdicts)))
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("### The JSON report")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", section))
    assert documented
    found = set(data) | {key for r in data["results"] for key in r}
    for r in data["results"]:
        for part in ("certificate", "counterexample"):
            found |= set(r[part] or ())
        found |= {key for law in r["laws"] for key in law}
    assert found <= documented, found - documented
    assert data["format"] == "ncd-report-1"
    assert [r["status"] for r in data["results"]] == ["proved", "refuted", "undecided"]


def test_numbers_that_json_lacks_are_texts() -> None:
    found = prove(lambda x: x / 0, lambda x: x, {"x": "n"})
    assert found.counterexample is not None
    json.loads(json_text([result(found)]), parse_constant=pytest.fail)


@pytest.mark.parametrize("suffix", ["html", "json"])
def test_the_command_line_writes_a_report(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "model.py"
    program.write_text("def f(x):\n    return x + x\n\n\ndef g(x):\n    return 2 * x\n")
    place = tmp_path / f"report.{suffix}"
    sides = [f"{program}:f", f"{program}:g"]
    assert main(["prove", *sides, "--input", "x=n", "--report", str(place)]) == 0
    assert f"wrote {place}" in capsys.readouterr().err
    text = place.read_text(encoding="utf-8")
    if suffix == "html":
        assert f"{sides[0]} = {sides[1]}" in Page(text).text
    else:
        (found,) = json.loads(text)["results"]
        assert found["status"] == "proved" and found["inputs"] == {"x": "n"}


def test_a_report_is_html_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"a report is a \.html or a \.json file"):
        save([], tmp_path / "report.pdf")
    assert main(["prove", "a.py:f", "b.py:g", "--report", str(tmp_path / "report.pdf")]) == 2
    assert capsys.readouterr().err.startswith("ncd: a report is a .html or a .json file")
    assert list(tmp_path.iterdir()) == []
