"""The inner loop of a streamed plan: its products of blocks, and the state that they feed.

What a contraction multiplies is found by who carries the rows of a group: the *left* block does,
the *right* one does not.  What an earlier contraction made is the left block of a later one.

Source: FlashAttention on a Napkin, section 5 (the normal form as initialise, loop, finalise).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    states = special = 0
    for node in subterms(plan.term):
        if node.op != "Reduce" or node.args[1] == plan.block:
            continue
        monoid, body = node.children
        streams = node.args[1] == plan.tile
        if streams and body.op == "Select":  # the end of a masked axis
            body = body.children[1]
        summands = [body] if monoid.op == "Sum" and body.op == "Mul" else []
        if monoid.op == "RescaledSum":
            values = components(body)
            summands = [value for value in values if value.op != "Constant"]
            states += 1 + len(values) - len(summands)
            special += blocking.stream + 1
        for summand in summands:
            sources = _sources(summand, made)
            if monoid.op == "RescaledSum":
                sources |= _sources(body.children[0], made)
            left, right = _sides(sources, rows, made)
            if right not in types:
                raise InputError(f"input {right!r} has no type")
            whole = column if streams else str(node.args[1])
            extent = plan.context.axes[whole].evaluate(sizes)
            found.append(
                Contraction(
                    f"result {len(found) + 1}",
                    left,
                    right,
                    extent if streams else blocking.stream,
                    blocking.stream if streams else extent,
                    types[right],
                    state,
                    blocking.columns if streams else blocking.depth,
                    streams,
                )
            )
            if not streams:
                made[node] = found[-1].name
    return InnerLoop(tuple(found), blocking.stream, special, states, states > 0, state)


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


def _sides(sources: Mapping[Term, None], rows: str, made: Mapping[Term, str]) -> tuple[str, str]:
    names = {node: made.get(node) or str(node.args[0]) for node in sources}
    left = [name for node, name in names.items() if rows in node.axes]
    right = [name for node, name in names.items() if rows not in node.axes]
    if len(left) != 1 or len(right) != 1:
        raise InputError(
            f"a contraction of {', '.join(sorted(names.values()))} is not one of a block with the "
            f"rows {rows} and a block without"
        )
    return left[0], right[0]
