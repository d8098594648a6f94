"""Which unit is busy when, as a drawing in SVG: lanes for units, colours for warpgroups."""

from __future__ import annotations

from ncd_formal.derivation.drawings import COLOURS, box, document, line, text
from ncd_formal.derivation.refined import Refined

LEFT, TOP, WIDE, LANE = 130, 64, 640, 34
SHARED = "#999999"
"""What is done for all warpgroups at once."""


def drawing(refined: Refined) -> str:
    """Two steps of the loop of the warpgroups that fit, as the text of an SVG file."""
    name, rhythm = next(iter(refined.overlaps.items()))
    title = refined.machine.title or refined.machine.name
    lanes = list(rhythm.busy)
    scale = WIDE / (2 * rhythm.period)
    parts = [
        text(10, 20, f"{refined.name} on {title}: {name}"),
        text(10, 40, f"two steps of {rhythm.period:,.0f} clocks, blocks of {refined.loop.block}"),
    ]
    for number, unit in enumerate(lanes):
        y = TOP + LANE * number
        parts.append(line(LEFT, y + LANE, LEFT + WIDE, y + LANE))
        parts.append(text(LEFT - 8, y + LANE / 2 + 4, unit, "end"))
        parts.append(text(LEFT + WIDE + 8, y + LANE / 2 + 4, f"{rhythm.busy[unit]:.0%}"))
    for each in rhythm.shown():
        y = TOP + LANE * lanes.index(each.unit) + 5
        wide = (each.end - each.start) * scale
        colour = SHARED if each.unit == "memory" else COLOURS[each.warpgroup % len(COLOURS)]
        said = f"{each.name}, block {each.step}, warpgroup {each.warpgroup + 1}: "
        said += f"{each.end - each.start:,.0f} clocks"
        parts.append(box(LEFT + each.start * scale, y, wide, LANE - 10, colour, said))
        if wide > 7 * len(each.name):
            middle = LEFT + each.start * scale + wide / 2
            parts.append(text(middle, y + LANE / 2 - 1, each.name, "middle"))
    foot = TOP + LANE * len(lanes) + 16
    for step in range(3):
        at = step * rhythm.period
        parts.append(text(LEFT + at * scale, foot, f"{at:,.0f}", "middle"))
    for group in range(rhythm.warpgroups):
        x = LEFT + 110 * group
        parts.append(box(x, foot + 12, 14, 14, COLOURS[group % len(COLOURS)]))
        parts.append(text(x + 20, foot + 24, f"warpgroup {group + 1}"))
    return document(LEFT + WIDE + 60, foot + 40, parts)
