"""Maps of regimes: which way to run a program wins where, as inequalities and as a picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ncd_formal.cli import main
from ncd_formal.derivation import RegimeMap, compare, estimate
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.map_drawing import drawing
from ncd_formal.derivation.regimes import candidate, regime_map
from ncd_formal.errors import InputError

SQUARE = {"q": "n d", "k": "n d", "v": "n d"}


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    s = q @ k.mT
    return (s / (s * s).sum(-1, keepdim=True).sqrt()) @ v


def collapsed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q @ (k.mT @ v) / ((q @ (k.mT @ k)) * q).sum(-1, keepdim=True).sqrt()


@cache
def mapped() -> RegimeMap:
    over = {"n": (1024, 4096), "d": (32, 64, 128, 256, 1024)}
    return compare(attention, over, SQUARE, {"memory": 16_384})


def test_the_inequality_and_the_grid_agree() -> None:
    """Fusing pays for d up to about √M = 128; each cell is what the cost of each way says."""
    found = mapped()
    won = {(cell.sizes["n"], cell.sizes["d"]): cell.winner for cell in found.cells}
    for (_, d), name in won.items():
        assert name == ("fused" if d <= 128 else "unfused")
    first = found.boundaries[0]
    assert first.verdict is None and "fused against unfused" in first.text()
    told, counted = found.agreement(first)
    # The conditions ask for n and d of √M at least.
    assert told == counted == 6
    sizes = {"n": 4096, "d": 64}
    (cell,) = (cell for cell in found.cells if cell.sizes == sizes)
    alone = estimate(attention, SQUARE, {"memory": 16_384}, sizes)
    assert cell.costs["fused"].transfers == alone.cost.transfers and alone.fused


def test_a_map_in_words_as_data_and_as_a_picture() -> None:
    found = mapped()
    rows = [line.split() for line in found.explain().splitlines() if line.strip().startswith("d =")]
    assert [row[2:] for row in rows] == [
        ["1024", "2", "2"],
        ["256", "2", "2"],
        ["128", "1", "1"],
        ["64", "1", "1"],
        ["32", "1", "1"],
    ]
    data = json.loads(json.dumps(found.to_json()))
    assert len(data["cells"]) == 10 and data["over"]["n"] == [1024, 4096]
    assert data["boundaries"][0]["where"] == "4*√M*d*n + M*n ≥ 4*d**2*n + M*d"
    picture = ET.fromstring(drawing(found))
    cells = [each for each in picture if each.tag.endswith("rect") and len(each)]
    assert len(cells) == 10
    fills = [each.get("fill") for each in cells]
    winners = [cell.winner for cell in found.cells]
    assert len(set(fills)) == 2
    assert len(set(zip(fills, winners, strict=True))) == 2
    assert any("no more values moved where" in (each.text or "") for each in picture)


def test_equal_forms_are_candidates_like_any_other() -> None:
    """Spherical attention and its collapse: fewer operations where n ≥ 2·d in the large."""
    chosen = machine("h100")
    ways = [
        candidate(program.__name__, (estimate(program, SQUARE).plan,), chosen)
        for program in (collapsed, spherical)
    ]
    found = regime_map("spherical", ways, chosen, {})
    (by_work,) = (b for b in found.boundaries if b.measure == "operations")
    assert "in the large n ≥ 2*d" in by_work.text()
    assert (
        by_work.where.evaluate({"n": 300, "d": 128})
        > 0
        > by_work.where.evaluate({"n": 100, "d": 128})
    )
    assert found.cells == ()
    with pytest.raises(InputError, match="a map needs one or two sizes"):
        drawing(found)


def test_a_map_on_a_machine_is_of_times_and_says_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "program.py"
    file.write_text(
        "import torch\n"
        "def attention(q, k, v):\n"
        "    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v\n",
        encoding="utf-8",
    )
    shapes = [part for name, shape in SQUARE.items() for part in ("--input", f"{name}={shape}")]
    options = ["--hardware", "h100", "--size", "n=65536", "--map", "d=128..2048", "--json"]
    picture = tmp_path / "map.svg"
    assert main(["cost", f"{file}:attention", *shapes, *options, "--plot", str(picture)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["measure"] == "time" and data["sizes"] == {"n": 65536}
    assert [cell["winner"] for cell in data["cells"]] == ["fused"] * 2 + ["unfused"] * 3
    last = data["cells"][-1]
    assert "no group fits the shared memory of h100" in last["refused"]["fused"]
    assert last["time"]["unfused"] > 0
    assert ET.parse(picture).getroot().tag.endswith("svg")
    for over, complaint in (
        ("d=9..3", "--map wants sizes such as n,d"),
        ("d,d", "--map wants sizes such as n,d"),
        ("n,d,e", "no input has a size named 'e'"),
        ("n", "n is mapped, so it has no single value"),
    ):
        at = ["--size", "n=4096", "--map", over]
        assert main(["cost", f"{file}:attention", *shapes, *at]) == 2
        assert complaint in capsys.readouterr().err


def test_a_map_that_cannot_be_drawn_up_is_refused() -> None:
    chosen = machine({"memory": 64})
    ways = [candidate("one", (estimate(attention, SQUARE).plan,), chosen)]
    with pytest.raises(InputError, match="one or two sizes, not a, b, c"):
        regime_map("f", ways, chosen, {"a": (1,), "b": (1,), "c": (1,)})
    with pytest.raises(InputError, match="at most 1024 cells"):
        regime_map("f", ways, chosen, {"n": range(1, 100), "d": range(1, 100)})
    with pytest.raises(InputError, match="size 'd' has no value"):
        regime_map("f", ways, chosen, {"n": (4,)})
