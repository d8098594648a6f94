"""Machine files: what they say, and what is said of those that are wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ncd_formal.derivation.machines import FOLDER, Machine, machine, names
from ncd_formal.errors import InputError

WRITTEN = (FOLDER / "h100.toml").read_text(encoding="utf-8")


def test_the_machines_of_the_package() -> None:
    assert names() == ("a100", "b200", "cpu", "h100", "h200", "mi300x")


@pytest.mark.parametrize("name", names())
def test_a_machine_is_consistent(name: str) -> None:
    """Rates of matrix units are whole powers of two a clock, within 2 %."""
    found = machine(name)
    assert found.title and found.memory > 0 and found.bandwidth > 0 and found.special_rate > 0
    assert found.chip.count == found.processors
    if name != "cpu":
        per_clock = found.flops / found.processors / found.clock
        nearest = 2 ** round(math.log2(per_clock))
        assert per_clock == pytest.approx(nearest, rel=0.02)
    assert [level.bandwidth > 0 for level in found.levels].count(True) >= 1
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert "Source" in text.partition("title")[0]


def test_the_figures_of_an_h100() -> None:
    h100 = machine("H100")
    assert (h100.processors, h100.bandwidth, h100.flops) == (132, 3.35e12, 989.4e12)
    assert h100.memory == 227 * 1024 // 2 and h100.level("registers").capacity == 256 * 1024
    assert h100.bytes_per_value == 2 and h100.rates["fp8"] == 1978.9e12


def test_the_two_level_model_holds_values() -> None:
    model = machine({"memory": 131_072})
    assert model.memory == 131_072 and model.bandwidth == model.flops == 0
    assert machine(model) is model


def test_a_file_of_a_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(WRITTEN.replace("3.35e12", "1e12"), encoding="utf-8")
    for given in (file, str(file)):
        mine = machine(given)
        assert isinstance(mine, Machine) and mine.name == "mine" and mine.bandwidth == 1e12


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        ("processors = 132\n", "", "processors: is missing"),
        ("processors = 132", "processors = 0", "processors: wants a positive whole number, not 0"),
        ("clock = 1.83e9", 'clock = "fast"', "clock: wants a positive number, not 'fast'"),
        ("clock = 1.83e9", "clock = inf", "clock: wants a positive number, not inf"),
        ("title =", "titel =", "titel: no such field; did you mean title?"),
        ('dtype = "fp16"', 'dtype = "fp12"', "dtype: [rates] has no 'fp12'"),
        ('dtype = "fp16"', "dtype = 16", "dtype: wants a text, not 16"),
        ("fp8 = 1978.9e12", "fp9 = 1978.9e12", "rates.fp9: no such type: there are fp64"),
        ("[64, 8, 16]", "[64, 8]", "matrix: wants 3 positive whole numbers, not [64, 8]"),
        ('on_chip = "shared', 'on_chip = "shard', "on_chip: no level is named 'shard memory'"),
        ("capacity = 52_428_800", "capacity = -1", "levels[1].capacity: wants a positive"),
        ("cache = true", "cache = 1", "levels[1].cache: wants true or false, not 1"),
        ('name = "L2 cache"', 'name = "registers"', "levels: two of them have one name"),
        ("bandwidth = 3.35e12", "", "levels: 'shared memory' has no bandwidth"),
        ("2 = 3.27e12", "one = 3.27e12", "cluster.one: wants the number of memories"),
        ("[rates]", "rates = 3\n[more]", "rates: wants a table, not 3"),
        ("[[levels]]", "[[level]]", "levels: is missing"),
        ("title =", "title", "not TOML: "),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    file = tmp_path / "mine.toml"
    assert old in WRITTEN
    file.write_text(WRITTEN.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        machine(file)
    assert f"{file}: {complaint}" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        machine(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "given, complaint",
    [
        ("h1000", "did you mean h100"),
        ({"memory": 0}, "values on chip"),
        ({"cache": 5}, "values on chip"),
        ({}, "values on chip"),
    ],
)
def test_no_machine(given: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        machine(given)
