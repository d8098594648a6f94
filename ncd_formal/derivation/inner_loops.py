"""The inner loop of a streamed plan: its products of blocks, and the state that they feed.

What a contraction multiplies is found by who carries the rows of a group: the *left* block does,
the *right* one does not.  What an earlier contraction made is the left block of a later one.

Source: FlashAttention on a Napkin, section 5 (the normal form as initialise, loop, finalise).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ncd_formal.derivation.cost import value
from ncd_formal.derivation.refinement import Contraction, InnerLoop
from ncd_formal.derivation.schedules import Plan, components
from ncd_formal.errors import InputError
from ncd_formal.wires import Term, subterms


@dataclass(frozen=True)
class Blocking:
    """How an inner loop is cut: sizes of a block, and of what is in registers at once."""

    stream: int
    """Streamed indices of a block."""
    depth: int
    """Of the depth of a contraction over a whole axis."""
    columns: int
    """Of the width of a contraction over the stream."""


def inner_loop(
    plan: Plan,
    sizes: Mapping[str, int],
    types: Mapping[str, str],
    blocking: Blocking,
    state: str = "fp16",
) -> InnerLoop:
    """The inner loop of a plan, ``types`` giving each input its type and ``state`` all results'.

    Rows are the output's axis before the last, columns of a streamed contraction its last.

    Errors: InputError where the plan streams nothing, where an input has no type, and where a
    contraction is not one of a block with the rows and a block without.
    """
    if plan.axis is None or plan.tile is None:
        raise InputError("nothing is streamed here, so there is no inner loop")
    order = [axis for digits in plan.layout for axis in digits]
    if len(order) < 2:
        raise InputError("the output has no rows and columns")
    rows, column = order[-2], order[-1]
    made: dict[Term, str] = {}
    found: list[Contraction] = []
    for part in products(plan):
        left, right = _sides(part, rows, made)
        if right not in types:
            raise InputError(f"input {right!r} has no type")
        extent = value(plan.context.axes[column if part.streams else part.axis], sizes)
        found.append(
            Contraction(
                part.name,
                left,
                right,
                extent if part.streams else blocking.stream,
                blocking.stream if part.streams else extent,
                types[right],
                state,
                blocking.columns if part.streams else blocking.depth,
                part.streams,
            )
        )
        if not part.streams:
            made[part.node] = part.name
    states = special = 0
    for node in subterms(plan.term):
        if node.op == "Reduce" and node.args[1] == plan.tile and node.children[0].op in RESCALING:
            values = components(_unmasked(node.children[1]))
            states += 1 + sum(each.op == "Constant" for each in values)
            special += blocking.stream + 1
    return InnerLoop(tuple(found), blocking.stream, special, states, states > 0, state)


RESCALING = frozenset({"RescaledSum"})
"""The monoids whose elements carry a score that rescales what was summed."""


@dataclass(frozen=True)
class Product:
    """A sum of products in an inner loop."""

    name: str
    node: Term
    """The reduction, or the fold whose component it is."""
    factors: tuple[Term, ...]
    """What is multiplied: the summand, and the score of a fold that weighs it."""
    axis: str
    """The axis that is summed; that of a block for a fold over the stream."""
    streams: bool


def products(plan: Plan) -> Iterator[Product]:
    """The sums of products of a plan's inner loop, each after what it is made of."""
    number = 0
    for node in subterms(plan.term):
        if node.op != "Reduce" or node.args[1] == plan.block:
            continue
        monoid, body = node.children
        streams = node.args[1] == plan.tile
        if streams:
            body = _unmasked(body)
        summands: list[tuple[Term, ...]] = []
        if monoid.op == "Sum" and body.op == "Mul":
            summands = [(body,)]
        if monoid.op in RESCALING:
            score = body.children[0]
            summands = [(each, score) for each in components(body) if each.op != "Constant"]
        for factors in summands:
            number += 1
            yield Product(f"result {number}", node, factors, str(node.args[1]), streams)


def _unmasked(body: Term) -> Term:
    """What is folded, without the end of a masked axis."""
    return body.children[1] if body.op == "Select" else body


def _sources(root: Term, made: Mapping[Term, str]) -> dict[Term, None]:
    """The inputs and earlier results that a term is made of."""
    found: dict[Term, None] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if node in made or (node.op == "Input" and node.axes):
            found[node] = None
        else:
            stack.extend(node.children)
    return found


def _sides(part: Product, rows: str, made: Mapping[Term, str]) -> tuple[str, str]:
    sources = {node: None for factor in part.factors for node in _sources(factor, made)}
    names = {node: made.get(node) or str(node.args[0]) for node in sources}
    left = [name for node, name in names.items() if rows in node.axes]
    right = [name for node, name in names.items() if rows not in node.axes]
    if len(left) != 1 or len(right) != 1:
        raise InputError(
            f"a contraction of {', '.join(sorted(names.values()))} is not one of a block with the "
            f"rows {rows} and a block without"
        )
    return left[0], right[0]
