"""Nests written by hand, one for each row of the table of closed forms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ncd_formal.derivation.nests import Access, Nest, Pass, Triangle, grouped_axes
from ncd_formal.sizes import size


def access(name: str, indices: str) -> Access:
    """``access("k", "h, x, d")``: an array read at axes ``h.0``, ``x.0``, ``d.0``."""
    texts = (re.sub(r"[a-z]\w*", lambda m: f"{m[0]}.0", t) for t in indices.split(",") if t.strip())
    return Access(name, tuple(size(text) for text in texts))


def nest(
    extents: Mapping[str, str],
    reads: Mapping[str, str],
    output: str,
    stream: str,
    triangles: Sequence[tuple[str, str]] = (),
) -> Nest:
    """One pass over ``stream``, its grouped axes those of the output that are worth it."""
    inputs = tuple(access(name, indices) for name, indices in reads.items())
    out = access("output", output)
    named = {f"{axis}.0": size(extent) for axis, extent in extents.items()}
    grouped = grouped_axes(out.axes, (*inputs, out), named)
    return Nest(
        named,
        grouped,
        (Pass(inputs, (out,), f"{stream}.0"),),
        triangles=tuple(Triangle(f"{g}.0", f"{s}.0") for g, s in triangles),
        single=tuple(sorted(out.axes - set(grouped))),
    )


def _same(names: str) -> dict[str, str]:
    return {name: name for name in names.split()}


MATMUL = nest(_same("a b c"), {"left": "a, b", "right": "b, c"}, "a, c", "b")
ATTENTION = nest({**_same("q x d"), "e": "d"}, {"Q": "q, d", "K": "x, d", "V": "x, e"}, "q, e", "x")
MULTI_HEAD = nest(
    {**_same("h q x d"), "e": "d"},
    {"Q": "h, q, d", "K": "h, x, d", "V": "h, x, e"},
    "h, q, e",
    "x",
)
GROUPED = nest(
    {**_same("h r q x d"), "e": "d"},
    {"Q": "h, r, q, d", "K": "h, x, d", "V": "h, x, e"},
    "h, r, q, e",
    "x",
)
UNEQUAL = nest(
    {**_same("q x"), "d": "d_k", "e": "d_v"},
    {"Q": "q, d", "K": "x, d", "V": "x, e"},
    "q, e",
    "x",
)
CAUSAL = nest(
    {"q": "n", "x": "n", "d": "d", "e": "d"},
    {"Q": "q, d", "K": "x, d", "V": "x, e"},
    "q, e",
    "x",
    [("q", "x")],
)
MLP = nest({**_same("x f m"), "p": "m"}, {"X": "x, m", "U": "m, f", "D": "f, p"}, "x, p", "f")
CONVOLUTION = nest(
    {"y": "y", "k": "k", "c": "c_o", "i": "c_i"}, {"X": "y + k, i", "W": "k, i, c"}, "y, c", "i"
)


def two_passes(kept: bool) -> Nest:
    """A softmax of rows: a pass for the sum, and one for the quotients."""
    return Nest(
        {"q.0": size("q"), "x.0": size("x"), "y.0": size("x")},
        (),
        (
            Pass((access("S", "q, x"),), (), "x.0"),
            Pass((access("S", "q, y"),), (access("output", "q, y"),), "y.0"),
        ),
        kept=frozenset({"S"}) if kept else frozenset(),
        single=("q.0",),
    )


ELEMENTWISE = Nest(
    {"n.0": size("n")},
    (),
    (Pass((access("X", "n"), access("Y", "n")), (access("output", "n"),)),),
    single=("n.0",),
)
