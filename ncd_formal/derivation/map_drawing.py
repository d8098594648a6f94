"""A map of regimes as a drawing in SVG: a cell for each pair of sizes, coloured by the winner."""

from __future__ import annotations

from ncd_formal.derivation.drawings import COLOURS, box, document, text
from ncd_formal.derivation.regimes import Cell, RegimeMap
from ncd_formal.errors import InputError

LEFT, TOP, SIDE, WIDEST = 90, 44, 44, 700
NONE = "#dddddd"


def drawing(found: RegimeMap) -> str:
    """The map, as the text of an SVG file; values grow to the right and upwards.

    Errors: InputError for a map without sizes.
    """
    if not found.cells:
        raise InputError("a map needs one or two sizes to be drawn")
    (across, columns), *rest = found.over.items()
    down, rows = rest[0] if rest else ("", (0,))
    side = min(SIDE, (WIDEST - LEFT) / len(columns))
    high, wide = side * len(rows), side * len(columns)
    title = found.machine.title or found.machine.name
    parts = [text(10, 20, f"{found.name} on {title}: least {found.measure}")]
    if found.given:
        parts.append(text(10, 36, ", ".join(f"{k} = {v}" for k, v in found.given.items())))
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(found.candidates)} | {
        "": NONE
    }
    for cell in found.cells:
        x = LEFT + side * columns.index(cell.sizes[across])
        y = TOP + high - side * (1 + (rows.index(cell.sizes[down]) if down else 0))
        parts.append(box(x, y, side, side, colours[cell.winner], _said(found, cell)))
    for k, column in enumerate(columns):
        parts.append(text(LEFT + side * (k + 0.5), TOP + high + 16, _short(column), "middle"))
    for k, row in enumerate(rows if down else ()):
        parts.append(text(LEFT - 8, TOP + high - side * (k + 0.5) + 4, _short(row), "end"))
    parts.append(text(LEFT + wide / 2, TOP + high + 34, across, "middle"))
    if down:
        parts.append(text(24, TOP + high / 2, down, "middle"))
    y = TOP + high + 58
    shown = [n for n in (*found.candidates, "") if any(c.winner == n for c in found.cells)]
    for name in shown:
        parts.append(box(LEFT, y - 11, 14, 14, colours[name]))
        parts.append(text(LEFT + 20, y, name or "nothing fits"))
        y += 20
    lines = [line for each in found.boundaries for line in each.text().split(", ")]
    for words in lines:
        parts.append(text(10, y + 6, words))
        y += 18
    widest = max((len(words) for words in lines), default=0) * 7 + 20
    return document(max(LEFT + wide + 20, 420, widest), y + 10, parts)


def _said(found: RegimeMap, cell: Cell) -> str:
    words = [", ".join(f"{k} = {v}" for k, v in cell.sizes.items())]
    for name in found.candidates:
        if name in cell.costs:
            cost = cell.costs[name]
            time = f"{float(cost.time) * 1e6:.3g} µs, " if cost.time != "" else ""
            words.append(f"{name}: {time}H = {float(cost.transfers):,.0f}")
        else:
            words.append(f"{name}: {cell.refusals[name]}")
    return "\n".join(words)


def _short(value: int) -> str:
    """Large powers of two in thousands of two's kind."""
    for power, unit in ((20, "Mi"), (10, "Ki")):
        if value >= 1 << power and value % (1 << power) == 0:
            return f"{value >> power}{unit}"
    return str(value)
