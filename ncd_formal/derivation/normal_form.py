"""The normal form of a streamed plan: initialise, a loop over blocks, finalise.

Each fold over the blocks is a state: its monoid's unit before the loop, what it folds a block to
within, and what reads it after.  Independent folds share one loop; one that needs the result of
another waits for it, in a loop of its own.

Source: FlashAttention on a Napkin, section 5.1 (figure 29).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ncd_formal.derivation.inner_loops import products
from ncd_formal.derivation.nests import Access, loads
from ncd_formal.derivation.schedules import Plan, components, nests, replaced
from ncd_formal.errors import InputError
from ncd_formal.sizes import variable
from ncd_formal.wires import Term, input_at, subterms

UNITS = {"Sum": "0", "Product": "1", "Max": "−∞", "Min": "∞"}


@dataclass(frozen=True)
class NormalForm:
    """What a kernel does before, in, and after its loops, a line for each thing that it does."""

    initialise: tuple[str, ...]
    loops: tuple[tuple[str, ...], ...]
    finalise: tuple[str, ...]
    axis: str

    def __str__(self) -> str:
        lines = ["initialise", *(f"  {each}" for each in self.initialise)]
        for loop in self.loops:
            lines += [f"for each block of {self.axis}", *(f"  {each}" for each in loop)]
        return "\n".join((*lines, "finalise", *(f"  {each}" for each in self.finalise)))

    def to_json(self) -> dict[str, object]:
        """The normal form as plain data."""
        return {
            "initialise": list(self.initialise),
            "loops": [list(loop) for loop in self.loops],
            "finalise": list(self.finalise),
            "axis": self.axis,
        }


def normal_form(plan: Plan) -> NormalForm:
    """The normal form of a plan.

    Errors: InputError where nothing is streamed.
    """
    if plan.axis is None or plan.tile is None:
        raise InputError("nothing is streamed here, so there is no loop")
    nest = nests(plan)[0]
    every = loads(nest)
    held = dict.fromkeys(_read(x.access) for x in every if not x.stream and not x.stored)
    named: dict[Term, Term] = {}
    begun: list[str] = []
    loops: list[list[str]] = []
    depth: dict[Term, int] = {}
    inner = {part.node: part.name for part in products(plan) if not part.streams}
    seen: dict[Term, str] = {}
    for node in subterms(plan.term):
        if node.op in {"First", "Second"} and node.children[0] in seen:
            # A component of a state, which is a pair; its name is its place.
            seen[node] = f"{seen[node.children[0]]}.{node.op.lower()}"
            named[node] = input_at(seen[node], ())
        depth[node] = max((depth[child] for child in node.children), default=0)
        if node in inner:
            named[node] = input_at(inner[node], map(variable, sorted(node.axes)))
        if node.op != "Reduce" or node.args[1] != plan.block:
            continue
        state = f"state {len(begun) + 1}" if len(_folds(plan)) > 1 else "state"
        begun.append(f"{state} = {_unit(node, plan)}")
        if depth[node] == len(loops):
            streamed = (x.access for x in every if x.stream and x.first == len(loops))
            loops.append([f"load {_read(each)}" for each in dict.fromkeys(streamed)])
        loop = loops[depth[node]]
        body = node.children[1]
        for part in subterms(body):
            if part in inner and (line := f"{inner[part]} = {_shown(part, named)}") not in loop:
                loop.append(line)
        loop.append(f"{state} ← {state} ∘ {replaced(body, named)}")
        seen[node] = state
        if node.children[0].op != "RescaledSum":
            named[node] = input_at(state, ())
        depth[node] += 1
    # What no fold carries is appended block by block, in a pass of its own.
    appended = [x for x in every if x.stream and x.first == len(loops) and not x.stored]
    last = [f"for each block of {appended[0].stream}"] if appended else []
    last += dict.fromkeys(f"load {_read(x.access)}" for x in appended)
    written = "; ".join(axis for digits in plan.layout for axis in digits)
    last += [f"output = {replaced(plan.term, named)}", f"store output[{written}]"]
    parts = ([f"load {read}" for read in held] + begun, *loops, last)
    first, *middle, end = (tuple(line.replace("[]", "") for line in part) for part in parts)
    return NormalForm(first, tuple(middle), end, plan.axis)


def _folds(plan: Plan) -> list[Term]:
    return [n for n in subterms(plan.term) if n.op == "Reduce" and n.args[1] == plan.block]


def _read(access: Access) -> str:
    return f"{access.name}[{'; '.join(map(str, access.dimensions))}]"


def _shown(node: Term, named: dict[Term, Term]) -> Term:
    return replaced(node, {part: new for part, new in named.items() if part is not node})


def _unit(fold: Term, plan: Plan) -> str:
    """The unit of a fold's monoid, component by component."""
    monoid = fold.children[0]
    if monoid.op == "RescaledSum":
        inner = next(_inside(fold, plan))
        return f"({', '.join(('−∞', *('0' for _ in components(inner))))})"
    return UNITS.get(monoid.op, f"the unit of {monoid}")


def _inside(fold: Term, plan: Plan) -> Iterator[Term]:
    """What a fold over blocks folds within a block."""
    for node in subterms(fold):
        if node.op == "Reduce" and node.args[1] == plan.tile:
            body = node.children[1]
            yield body.children[1] if body.op == "Select" else body
