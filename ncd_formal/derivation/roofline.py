"""The roofline of a machine as a drawing in SVG, with a program's place under it.

Across is the intensity, operations for each byte moved; up the operations a second that it allows:
the lesser of the machine's rate and of intensity times bandwidth.

Source: Williams, Waterman, Patterson, Roofline (2009).
"""

from __future__ import annotations

import math

from ncd_formal.derivation import Costed
from ncd_formal.derivation.drawings import document, line, text
from ncd_formal.errors import InputError

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 70, 20, 40, 50


def drawing(costed: Costed) -> str:
    """The roofline, as the text of an SVG file.

    Errors: InputError for a machine without a bandwidth or a rate, and for a cost without numbers.
    """
    machine, cost = costed.machine, costed.cost
    if not (machine.bandwidth and machine.flops):
        raise InputError(f"{machine.name} has no roofline: it has no bandwidth or no rate")
    if not isinstance(cost.flops, int) or isinstance(cost.intensity, str):
        raise InputError("a roofline needs sizes: give them with --size")
    ridge = machine.flops / machine.bandwidth
    ceiling = math.log10(machine.flops)
    placed = cost.flops > 0 and isinstance(cost.time, float) and cost.time > 0
    at = math.log10(cost.intensity) if placed else math.log10(ridge)
    low, high = min(-1.0, math.floor(at)), max(4.0, math.ceil(at))
    reached = math.log10(cost.flops / float(cost.time)) if placed else ceiling
    bottom = min(math.floor(ceiling - math.log10(ridge) + low), math.floor(reached))
    top = math.ceil(ceiling + 0.2)

    def x(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(
            HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM), 1
        )

    start = low + math.log10(machine.bandwidth)
    roof = [(low, start), (math.log10(ridge), ceiling), (high, ceiling)]
    path = " ".join(f"{x(a)},{y(b)}" for a, b in roof)
    parts = [
        text(LEFT, 22, f"{costed.name} on {machine.title or machine.name}", "start"),
    ]
    for decade in range(int(low), int(high) + 1):
        parts.append(line(x(decade), y(bottom), x(decade), y(top)))
        parts.append(text(x(decade), HEIGHT - BOTTOM + 18, _power(decade), "middle"))
    for decade in range(int(bottom), int(top) + 1):
        parts.append(line(x(low), y(decade), x(high), y(decade)))
        parts.append(text(LEFT - 8, y(decade) + 4, _power(decade), "end"))
    parts += [
        f'<polyline points="{path}" fill="none" stroke="#1f4e9c" stroke-width="2"/>',
        text((LEFT + WIDTH) / 2, HEIGHT - 12, "operations for each byte moved", "middle"),
        text(LEFT, 36, "operations a second", "start"),
        text(x(math.log10(ridge)), y(ceiling) - 8, f"ridge {ridge:.0f}", "middle"),
    ]
    if placed:
        parts.append(f'<circle cx="{x(at)}" cy="{y(reached)}" r="5" fill="#c03020"/>')
        label = f"{cost.intensity:.3g}, bound by {cost.bound}"
        parts.append(text(x(at) + 8, y(reached) + 16, label, "start"))
    else:
        parts.append(text((LEFT + WIDTH) / 2, HEIGHT / 2, "nothing is contracted", "middle"))
    return document(WIDTH, HEIGHT, parts)


def _power(decade: int) -> str:
    return "10" + str(decade).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
