"""Machines: levels of memory, rates of arithmetic, and what sizes they ask tiles to be.

A machine is a file in TOML, with its sources in comments; those that come with the package lie in
``hardware/``.  Bytes and seconds are the units of a file; formulas count values, and
``bytes_per_value`` of the machine's type turns one into the other.

Source: FlashAttention on a Napkin, sections 2 and 4 (a machine is a graph of levels).
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ncd_formal.errors import InputError

FOLDER = Path(__file__).parent / "hardware"

BYTES: Mapping[str, float] = {
    "fp64": 8,
    "fp32": 4,
    "tf32": 4,
    "bf16": 2,
    "fp16": 2,
    "fp8": 1,
    "int8": 1,
    "fp4": 0.5,
}
"""The bytes of a value in memory, by type."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of memory, below those listed before it."""

    name: str
    capacity: int
    """Bytes of one memory of this level."""
    count: int = 1
    """How many such memories there are, one to each processor where there are as many."""
    bandwidth: float = 0.0
    """Bytes a second into all of them together, from the level above; 0 where it is not known."""
    cache: bool = False
    """Whether hardware fills it: it is shared, and no tile is placed in it."""
    serves: float = 0.0
    """Bytes a second from all caches of this level to what shares them; 0 where not known."""
    bus: tuple[float, float] | None = None
    """The bits of a memory's bus, and transfers a second: what its bandwidth follows from."""


@dataclass(frozen=True)
class Machine:
    """Levels and rates; the two-level model of the source has a memory and nothing else."""

    name: str
    levels: tuple[Level, ...]
    on_chip: str
    """The level that holds a group's tiles."""
    dtype: str = ""
    """The type whose bytes and whose rate are meant where none is named; empty: values only."""
    title: str = ""
    processors: int = 1
    clock: float = 0.0
    """Clocks a second."""
    line: int = 1
    """Bytes of a coalesced access: the last axis of a tile is a multiple of it."""
    matrix: tuple[int, int, int] = (1, 1, 1)
    """The least m, n, k of a matrix instruction."""
    special: float = 0.0
    """Exponentials and other special functions a clock on each processor."""
    warpgroup: int = 0
    """Threads that issue a matrix instruction together."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Operations a second of contractions, by type."""
    vector: Mapping[str, float] = field(default_factory=dict)
    """Operations a clock on each processor outside the matrix units, by type."""
    cluster: Mapping[int, float] = field(default_factory=dict)
    """Bytes a second between memories on a chip, by the number that share; 1 for none."""

    def level(self, name: str) -> Level:
        """The level of that name; KeyError where there is none."""
        for level in self.levels:
            if level.name == name:
                return level
        raise KeyError(name)

    @property
    def chip(self) -> Level:
        """The level that holds a group's tiles."""
        return self.level(self.on_chip)

    @property
    def bytes_per_value(self) -> float:
        """Bytes of a value of the machine's type; 1 in the two-level model."""
        return BYTES[self.dtype] if self.dtype else 1

    @property
    def memory(self) -> int:
        """Values on a chip."""
        return int(self.chip.capacity // self.bytes_per_value)

    @property
    def bandwidth(self) -> float:
        """Bytes a second onto the chips; 0 where it is not known."""
        return self.chip.bandwidth

    @property
    def flops(self) -> float:
        """Operations a second in contractions of the machine's type; 0 where it is not known."""
        return self.rates.get(self.dtype, 0.0)

    def matrix_depth(self, dtype: str) -> int:
        """The least depth of a matrix instruction: as many bytes in every type."""
        return max(1, int(self.matrix[2] * self.bytes_per_value / BYTES[dtype]))

    @property
    def special_rate(self) -> float:
        """Special functions a second; 0 where it is not known."""
        return self.special * self.processors * self.clock


def names() -> tuple[str, ...]:
    """The machines that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def machine(hardware: str | Path | Mapping[str, int] | Machine) -> Machine:
    """A machine by name, by the path of a file, or as ``{"memory": M}`` with M values on chip.

    Errors: InputError for a name that is not known, a file that describes no machine, and a model
    without a memory.
    """
    if isinstance(hardware, Machine):
        return hardware
    if isinstance(hardware, Mapping):
        memory = hardware.get("memory")
        if type(memory) is not int or memory < 1 or len(hardware) != 1:
            raise InputError(f"hardware {dict(hardware)!r}: give {{'memory': M}}, M values on chip")
        return Machine(f"{memory} values", (Level("memory", memory),), "memory")
    text = str(hardware)
    if text.lower() in names():
        return _shipped(text.lower())
    if text.endswith(".toml") or "/" in text:
        return read(Path(text))
    near = difflib.get_close_matches(text.lower(), names(), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(
        f"no machine is named {text!r}: there are {', '.join(names())}, "
        f"or the path of a .toml file{hint}"
    )


@cache
def _shipped(name: str) -> Machine:
    return read(FOLDER / f"{name}.toml")


def read(path: Path) -> Machine:
    """The machine that a file describes.

    Errors: InputError, with the file and the field, where it cannot be read or describes none.
    """
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    reader = _Reader(path, "", data)
    levels = tuple(_level(part) for part in reader.tables("levels"))
    matrix = reader.numbers("matrix", 3) if "matrix" in data else (1, 1, 1)
    rates = reader.table("rates")
    made = Machine(
        name=path.stem,
        title=reader.text("title", path.stem),
        dtype=reader.text("dtype"),
        processors=reader.whole("processors"),
        clock=reader.number("clock"),
        on_chip=reader.text("on_chip"),
        line=reader.whole("line", 1),
        matrix=(matrix[0], matrix[1], matrix[2]),
        special=reader.number("special", 0.0),
        warpgroup=reader.whole("warpgroup", 0),
        levels=levels,
        rates={dtype: rates.number(dtype) for dtype in rates.dtypes()},
        vector=_vector(reader),
        cluster=_cluster(reader),
    )
    reader.nothing_else()
    if len({level.name for level in levels}) != len(levels):
        raise reader.error("levels", "two of them have one name")
    if made.on_chip not in {level.name for level in levels}:
        raise reader.error("on_chip", f"no level is named {made.on_chip!r}")
    if made.dtype not in made.rates:
        raise reader.error("dtype", f"[rates] has no {made.dtype!r}")
    if not made.bandwidth:
        raise reader.error("levels", f"{made.on_chip!r} has no bandwidth")
    for level in levels:
        carried = math.prod(level.bus) / 8 if level.bus else made.bandwidth
        if abs(made.bandwidth - carried) > 0.02 * carried:
            why = f"the bus of {level.name} carries {carried:.4g} bytes a second"
            raise reader.error("levels", f"{why}, but {made.bandwidth:.4g} reach {made.on_chip}")
    return made


def _level(part: _Reader) -> Level:
    level = Level(
        part.text("name"),
        part.whole("capacity"),
        part.whole("count", 1),
        part.number("bandwidth", 0.0),
        part.flag("cache"),
        part.number("serves", 0.0),
        part.bus(),
    )
    part.nothing_else()
    if level.serves and not level.cache:
        raise part.error("serves", "is for a cache")
    return level


def _vector(reader: _Reader) -> dict[str, float]:
    if "vector" not in reader.data:
        return {}
    vector = reader.table("vector")
    return {dtype: vector.number(dtype) for dtype in vector.dtypes()}


def _cluster(reader: _Reader) -> dict[int, float]:
    if "cluster" not in reader.data:
        return {}
    part = reader.table("cluster")
    found = {1: part.number("base")}
    for key in part.data:
        if key != "base":
            if not key.isdigit() or int(key) < 2:
                raise part.error(key, "wants the number of memories that share, at least 2")
            found[int(key)] = part.number(key)
    return found


class _Reader:
    """The fields of a table, each read once; every complaint names the file and the field."""

    def __init__(self, path: Path, prefix: str, data: dict[str, Any]) -> None:
        self.path, self.prefix, self.data = path, prefix, data
        self.seen: set[str] = set()

    def error(self, key: str, why: str) -> InputError:
        return InputError(f"{self.path}: {self.prefix}{key}: {why}")

    def _get(self, key: str, default: object) -> Any:
        self.seen.add(key)
        if key in self.data:
            return self.data[key]
        if default is None:
            raise self.error(key, "is missing")
        return default

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or not value:
            raise self.error(key, f"wants a text, not {value!r}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not fits or not (0 < value < float("inf") or value is default):
            raise self.error(key, f"wants a positive number, not {value!r}")
        return float(value)

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._get(key, default)
        if type(value) is not int or not (value > 0 or value is default):
            raise self.error(key, f"wants a positive whole number, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        value = self._get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"wants true or false, not {value!r}")
        return value

    def bus(self) -> tuple[float, float] | None:
        value = self._get("bus", ())
        if value == ():
            return None
        fits = isinstance(value, list) and [type(v) in (int, float) and v > 0 for v in value]
        if fits != [True, True]:
            raise self.error("bus", f"wants bits and transfers a second, not {value!r}")
        return float(value[0]), float(value[1])

    def numbers(self, key: str, count: int) -> list[int]:
        value = self._get(key, None)
        fits = isinstance(value, list) and all(type(v) is int and v > 0 for v in value)
        if not fits or len(value) != count:
            raise self.error(key, f"wants {count} positive whole numbers, not {value!r}")
        return list(value)

    def table(self, key: str) -> _Reader:
        value = self._get(key, None)
        if not isinstance(value, dict):
            raise self.error(key, f"wants a table, not {value!r}")
        return _Reader(self.path, f"{self.prefix}{key}.", value)

    def tables(self, key: str) -> list[_Reader]:
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self.error(key, "wants a list of tables, [[levels]]")
        return [_Reader(self.path, f"{key}[{n}].", v) for n, v in enumerate(value)]

    def dtypes(self) -> list[str]:
        for key in self.data:
            if key not in BYTES:
                raise self.error(key, f"no such type: there are {', '.join(BYTES)}")
        return list(self.data)

    def nothing_else(self) -> None:
        for key in self.data:
            if key not in self.seen:
                near = difflib.get_close_matches(key, self.seen, 1)
                raise self.error(
                    key, f"no such field{f'; did you mean {near[0]}?' if near else ''}"
                )
