"""A program refined to a machine: normal form, divisors, configuration, clocks and overlap."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from torch import Tensor

from ncd_formal.cli import main
from ncd_formal.derivation import Refined, lay_out
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.overlap import MATRIX, SPECIAL, Overlap, overlap, phases
from ncd_formal.derivation.overlap_chart import drawing
from ncd_formal.derivation.refinement import Clocks, clocks, utilisation
from ncd_formal.errors import InputError
from tests.derivation.test_refinement import H100, SCORES, STREAMED, VALUES, attention

SHAPES = {"q": "q d", "k": "x d", "v": "x d"}
HEADS = {"q": "q h d", "k": "x h d", "v": "x h d"}
MIXED = {"q": "fp8", "k": "fp8"}


def heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (each.transpose(0, 1) for each in (q, k, v))
    return attention(q, k, v)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


@cache
def paper() -> Refined:
    return lay_out(attention, SHAPES, "h100", {"d": 128}, MIXED)


def test_the_configuration_of_the_paper_is_found() -> None:
    """Blocks of 64 keys, 3 warpgroups of 128 rows, g_q = 384, 1.26 µs against 0.97 µs."""
    found = paper()
    assert found.loop.block == 64 and found.configuration.group == 384
    assert found.configuration.limits["registers"] == pytest.approx(3.42, abs=0.005)
    asked = {(d.axis, d.level, d.divisor) for d in found.divisors if d.holds}
    # Of the paper's divisors w_q of a warpgroup, d of whole accesses, and those of instructions.
    assert ("q.0", MATRIX, 64) in asked and ("d.1", "shared memory", 128) in asked
    assert ("x.0", MATRIX, 16) in asked and ("x.0", MATRIX, 8) in asked
    text = found.explain()
    for said in (
        "registers 3.42; 3 fit, registers binds",
        "result 1 2, result 2 4, special functions 4.062, accumulation 0.5",
        "reach 1,319 TFLOP/s",
        "a step computes 1.26 µs, its block arrives in 0.968 µs",
    ):
        assert said in text


def test_the_normal_form_initialises_loops_and_finalises() -> None:
    form = paper().form
    assert form.initialise == ("load q[q.0; d.1]", "state = (−∞, 0, 0)")
    (loop,) = form.loops
    assert loop[:2] == ("load k[x.0; d.1]", "load v[x.0; d.0]")
    assert loop[2] == "result 1 = Σ_d.1 k[x.0; d.1]·q[q.0; d.1]"
    assert loop[3].startswith("state ← state ∘ fold_x_tile.0") and "result 1[q.0; x.0]" in loop[3]
    assert "state.second.first" in form.finalise[0]
    assert form.finalise[1] == "store output[q.0; d.0]"


def rhythm(spent: Clocks, beside: int, warpgroups: int, overhead: float = 0.0) -> Overlap:
    return overlap(phases(spent, 1, 128, beside, overhead), warpgroups)


def test_the_overlap_of_the_paper() -> None:
    """75 % in 16 bits with one product overlapped, 60 % in 8 bits with both: the chart's shares."""
    wide = replace(STREAMED, contractions=(replace(SCORES, dtype="fp16"), VALUES))
    narrow = replace(STREAMED, contractions=(SCORES, replace(VALUES, dtype="fp8")))
    for loop, beside, share in ((wide, 1, 0.75), (narrow, 2, 0.60)):
        spent = replace(clocks(loop, H100), special=4.0, accumulate=0.0)
        found = rhythm(spent, beside, 1, overhead=2 / 3)
        assert found.busy[MATRIX] == pytest.approx(share)
        tensor = list(spent.contractions.values())
        assert utilisation(tensor, 4.0, beside, 2 / 3) == pytest.approx(share)


def test_warpgroups_take_turns() -> None:
    """One alone waits for its chain; three of them keep the matrix units busy."""
    spent = clocks(STREAMED, H100)
    chain = 2 + 65 / 16 + 4 + 0.5
    alone, three = rhythm(spent, 0, 1), rhythm(spent, 0, 3)
    assert alone.period == pytest.approx(128 * chain)
    assert alone.busy[MATRIX] == pytest.approx(6 / chain)
    assert three.busy[MATRIX] > 0.98 and three.busy[SPECIAL] == pytest.approx(
        three.busy[MATRIX] * 65 / 16 / 6
    )
    # No unit serves two at a time, and no warpgroup's chain is out of order.
    by_unit = sorted(three.intervals, key=lambda i: (i.unit, i.start))
    for a, b in pairwise(by_unit):
        assert a.unit != b.unit or a.end <= b.start + 1e-9
    own = sorted((i for i in three.intervals if i.warpgroup == 1), key=lambda i: i.start)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(own))


def test_a_block_that_arrives_late_is_waited_for() -> None:
    spent = clocks(STREAMED, H100)
    slow = overlap(phases(spent, 1, 128), 3, transfer=5000.0)
    assert slow.period == pytest.approx(5000) and slow.busy["memory"] == pytest.approx(1)


@pytest.mark.parametrize(
    "shapes, sizes, types, block, complaint",
    [
        (SHAPES, {"d": 100}, {}, None, "d.1 = 100 is no multiple of 16: depth of an instruction"),
        (SHAPES, {"d": 48}, MIXED, None, "d.1 = 48 is no multiple of 32: depth of an instruction"),
        # Rows of 96 numbers of 2 bytes lie together, so blocks of them are whole accesses; between
        # heads they do not.
        (HEADS, {"d": 96}, {}, None, "d.1 = 96 is no multiple of 64: accesses of 128 bytes to k"),
        (SHAPES, {"d": 128}, {}, 24, "x.0 = 24 is no multiple of 16: depth of an instruction"),
        (SHAPES, {"d": 2048}, {}, None, "not one warpgroup of 128 rows fits"),
        (SHAPES, {}, {}, None, "size 'd' has no value"),
        (SHAPES, {"d": 128}, {"w": "fp8"}, None, "no input 'w' is read: there are k, q, v"),
        (SHAPES, {"d": 128}, {"q": "fp7"}, None, "no type is named 'fp7'"),
    ],
)
def test_sizes_that_contradict_a_machine_are_refused(
    shapes: dict[str, str],
    sizes: dict[str, int],
    types: dict[str, str],
    block: int | None,
    complaint: str,
) -> None:
    """The level that binds, the axis, its size and the divisor are named."""
    with pytest.raises(InputError) as caught:
        lay_out(heads if shapes is HEADS else attention, shapes, "h100", sizes, types, block)
    assert complaint in str(caught.value)
    if "multiple" in complaint:
        assert "contradict the divisors of h100" in str(caught.value)
        assert "(matrix units)" in str(caught.value) or "(shared memory)" in str(caught.value)


def test_rows_that_lie_together_are_whole_accesses() -> None:
    """96 numbers of 2 bytes are a line and a half, and an even number of them whole lines."""
    found = lay_out(attention, SHAPES, "h100", {"d": 96})
    asked = [d for d in found.divisors if d.level == "shared memory" and d.axis == "x.0"]
    assert {d.divisor for d in asked} == {2} and all(d.holds for d in asked)


def test_a_depth_is_as_many_bytes_in_every_type() -> None:
    assert [H100.matrix_depth(t) for t in ("tf32", "fp16", "fp8")] == [8, 16, 32]
    assert machine("mi300x").matrix_depth("fp8") == 32


def test_the_command_refines_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "program.py"
    file.write_text("def matmul(a, b):\n    return a @ b\n", encoding="utf-8")
    target = ["cost", f"{file}:matmul", "--input", "a=n k", "--input", "b=k m"]
    picture = tmp_path / "overlap.svg"
    asked = ["--refine", "--size", "m=256", "--json", "--plot", str(picture)]
    assert main([*target, *asked]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["normal_form"]["initialise"] == ["state = 0"]
    assert data["group"] == 256 and data["block"] == 64 and data["clocks"]["special"] == 0
    assert {d["axis"] for d in data["divisors"]} == {"n.0", "m.0", "k.0"}
    assert list(data["overlaps"]) == ["2 warpgroups take turns"]
    drawn = ET.parse(picture).getroot()
    assert sum(e.tag.endswith("rect") and len(e) > 0 for e in drawn) >= 6
    for wrong, complaint in (
        (["--refine", "--map", "n"], "two questions: ask one"),
        (["--block", "64"], "go with --refine"),
        (["--refine", "--size", "m=100"], "m.0 = 100 is no multiple of 8: columns"),
    ):
        assert main([*target, *wrong]) == 2
        assert complaint in capsys.readouterr().err


def test_the_chart_shows_who_works_where() -> None:
    chart = ET.fromstring(drawing(paper()))
    words = [e.text or "" for e in chart.iter() if e.tag.endswith(("text", "title"))]
    lanes = {"memory", "matrix units", "special functions", "vector units"}
    assert lanes <= set(words) and "warpgroup 3" in words
    assert any("result 1, block" in each and "256 clocks" in each for each in words)
