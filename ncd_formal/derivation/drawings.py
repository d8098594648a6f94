"""The parts of a drawing in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
"""Colours that stay apart for all readers: Paul Tol, Colour Schemes (2021), bright."""


def document(width: float, height: float, parts: Sequence[str]) -> str:
    """A file with these parts on white."""
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        'font-family="sans-serif" font-size="12">'
    )
    ground = f'<rect width="{width:g}" height="{height:g}" fill="white"/>'
    return "\n".join((opening, ground, *parts, "</svg>")) + "\n"


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A thin line."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#dddddd"/>'


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """A line of text, where ``anchor`` is ``"start"``, ``"middle"`` or ``"end"``."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, words: str = "") -> str:
    """A rectangle, and what a reader sees who points at it."""
    shown = f"<title>{escape(words)}</title>" if words else ""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" '
        f'stroke="white">{shown}</rect>'
    )
