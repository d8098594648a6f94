"""Machine files: what they say, and what is said of those that are wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ncd_formal.derivation.machines import BYTES, FOLDER, Machine, machine, names
from ncd_formal.errors import InputError

WRITTEN = (FOLDER / "h100.toml").read_text(encoding="utf-8")


def test_the_machines_of_the_package() -> None:
    assert names() == ("a100", "b200", "cpu", "h100", "h200", "mi300x")


@pytest.mark.parametrize("name", names())
def test_the_figures_of_a_machine_follow_from_one_another(name: str) -> None:
    """Rates from processors and clocks, bandwidths from buses, caches between memory and chips."""
    found = machine(name)
    assert found.title and found.memory > 0 and found.bandwidth > 0 and found.special_rate > 0
    assert found.chip.count == found.processors
    for dtype, rate in found.rates.items():
        # A power of two a clock on each processor, at the clock of the file; vector units, and
        # those of 64 bits, boost up to 8 % beyond the clock that matrix units hold.
        per_clock = rate / found.processors / found.clock
        excess = per_clock / 2 ** round(math.log2(per_clock))
        assert 0.99 < excess < (1.085 if dtype in {"fp32", "fp64"} else 1.01), dtype
    # Half the bytes, twice the rate.
    matrix = {BYTES[t]: rate for t, rate in found.rates.items() if t not in {"fp32", "fp64"}}
    for width, rate in matrix.items():
        if width * 2 in matrix:
            assert rate == pytest.approx(2 * matrix[width * 2], rel=1e-3)
    # Memory is larger and slower than what lies below it, and caches lie between in both.
    sizes = [level.capacity * level.count for level in found.levels]
    assert sizes[0] > max(sizes[1:])
    for level in found.levels:
        assert found.processors % level.count == 0
        if level.serves:
            assert found.bandwidth < level.serves
        if level.name == "registers":
            # 128 bytes a clock from the memory of each processor, at most.
            assert level.bandwidth <= 128 * found.processors * found.clock * 1.001
            assert level.bandwidth > max(other.serves for other in found.levels)
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert "Source" in text.partition("title")[0]


def test_buses_give_bandwidths() -> None:
    """To a part in a hundred; an H200's data sheet names no rate of its bus."""
    assert {n for n in names() if any(v.bus for v in machine(n).levels)} == {*names()} - {"h200"}
    for name in names():
        for level in machine(name).levels:
            if level.bus:
                carried = level.bus[0] * level.bus[1] / 8
                assert machine(name).bandwidth == pytest.approx(carried, rel=0.01)


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
    file.write_text(
        WRITTEN.replace("3.35e12", "1e12").replace("bus = ", "# bus = "), encoding="utf-8"
    )
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
        ("bus = [5120, ", "bus = [2560, ", "levels: the bus of device memory carries 1.664e+12"),
        ("bus = [5120, 5.2e9]", "bus = 5120", "levels[0].bus: wants bits and transfers"),
        ("cache = true", "cache = false\nserves = 1e12", "levels[1].serves: is for a cache"),
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
