"""Streaming: an equal form that passes over an axis once, block by block.

An axis is streamed when what reduces it is a fold whose state does not grow with the axis.  The
definition rarely has that form: a stable softmax needs its maximum before its sum.  So the axis is
declared split into blocks, the laws of reductions and of rescaled sums saturate an e-graph, and the
form with the fewest folds over the blocks is extracted, exactly.  Nothing here knows what the
program computes.

Source: FlashAttention on a Napkin, section 3 and appendix A (streamable algorithms, fusion), where
the fold for softmax is admitted; here it is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from ncd_formal.certificate import Certificate, Goal
from ncd_formal.conditions import Context, Split, witness
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.normalisation import BudgetError, Normaliser
from ncd_formal.proving import EXPAND_STEPS, Proof
from ncd_formal.rules import table
from ncd_formal.sizes import fresh_names, variable
from ncd_formal.wires import Argument, Term, outermost, subterms

RULESETS = ("simplify", "rescale", "blocks", "commute", "associate", "functions")
LAWS = frozenset({"mul-comm", "mul-assoc", "log-mul"})
"""The laws that lead to streamed forms: of the last three rulesets, only those of ``LAWS``, which
bring the sums of a quotient side by side."""

LAST = "shift"
"""Applied once, to what the others lead to: what it makes, they would only regroup."""

PASS_COST, UNSPLIT_COST, REDUCTION_COST, OVERFLOW_COST = 10_000, 1_000_000, 10, 1_000
"""A fold over blocks reads its operands once; a fold over the whole axis cannot be streamed; an
exponential that is not taken against a maximum may overflow."""


Family = Literal["stream", "split", "commutative split"]
"""How a fold may be worked: in order alone; in parts, whose states are combined in order; or in
parts that are combined in any order, as by atomics."""

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("Sum", "Max", "Min", "All", "Any", "RescaledSum"), "commutative split"),
    # (−∞ · −1) · −1 is undefined, and −∞ · (−1 · −1) is not.
    "Product": "stream",
}
"""Monoid → how a fold of it may be worked: ``monoid_commutative`` of ``proofs/Monoids.v``.  There
is none yet that is associative and not commutative."""

Writing = Literal["numbers", "all"]
"""Products over sums as they are, or written out."""


@dataclass(frozen=True)
class StreamedForm:
    """A term equal to the definition in which ``axis`` is folded by blocks."""

    context: Context
    term: Term
    layout: tuple[tuple[str, ...], ...]
    axis: str
    block: str
    """The axis that counts the blocks."""
    tile: str
    """The axis within a block."""
    part: str | None
    """The axis that counts the parts, where the axis is first cut in parts that do not wait for
    one another, each passed over by blocks: a fold over the parts combines their states."""
    passes: int
    """How many folds over the blocks wait for one another; independent ones are one pass."""
    certificate: Certificate
    nodes: int
    """The size of the saturated e-graph."""
    seconds: float
    """The time spent in the e-graph."""

    @property
    def way(self) -> str:
        """How it passes over its axis, in words."""
        passes = _counted(self.passes)
        parts = ", in parts" if self.part is not None else ""
        return f"{passes} over {self.axis} in blocks of {self.context.axes[self.tile]}{parts}"

    @property
    def family(self) -> Family:
        """How its folds may be worked; those that wait for one another are worked in order."""
        monoids = {
            node.children[0].op
            for node in subterms(self.term)
            if node.op == "Reduce" and node.args[1] == self.block
        }
        found: set[Family] = {FAMILIES.get(monoid, "stream") for monoid in monoids}
        order: tuple[Family, ...] = ("stream", "split", "commutative split")
        return "stream" if self.passes > 1 else min(found, key=order.index)

    @property
    def passes_as_written(self) -> int:
        """How many passes over the axis the definition takes, each waiting for the one before.

        A definition of more than one is no stream of the axis: an equal form may be.
        """
        return _depth(self.certificate.goals[0].left, self.axis)

    @property
    def streamability(self) -> str:
        """What the definition and this form are, in words."""
        written = self.passes_as_written
        ways = {
            "stream": "its blocks are taken in order",
            "split": "parts of the axis may be worked apart, and are combined in order",
            "commutative split": "parts of the axis may be worked apart, and combine in any order",
        }
        waits = ", each waiting for the one before, and is no stream" if written > 1 else ""
        return f"as written it takes {_counted(written)}{waits}; here {ways[self.family]}"


def _counted(passes: int) -> str:
    return "one pass" if passes == 1 else f"{passes} passes"


def streamable_axes(root: Term) -> tuple[str, ...]:
    """The axes of the outermost reductions, those not inside another reduction's body."""
    return tuple(sorted({str(n.args[1]) for n in outermost(root, lambda n: n.op == "Reduce")}))


def outer_axes(output: Output, context: Context) -> tuple[str, ...]:
    """The axes of the outermost reductions of an output: those that may be streamed."""
    proof = Proof(context, [])
    return streamable_axes(Normaliser(proof.judge, proof.record_step)(output.term))


def stream(output: Output, context: Context, axis: str | None = None, masked: bool = True,
           timeout: float = 30.0, parts: bool = False,
           expand: bool = False) -> StreamedForm:  # fmt: skip
    """The form of an output that passes over ``axis`` the fewest times.

    Without ``axis``, each outermost reduction is tried; of equal passes, those whose state has the
    fewest axes that are reduced later are best.  With ``masked``, the tile may have any size, and
    the last block leaves out what lies past the end; without, the axis must be written as a
    product, blocks · tile.  With ``parts``, the blocks are dealt out to parts that are passed over
    independently and combined by the same monoid: split-K, and split-KV in decoding.  With
    ``expand``, products over sums are written out where that takes fewer passes: Σ (x − μ)² is
    Σ x² − 2·μ·Σ x + …, whose sums do not wait for μ, but may cancel in floating point.

    Errors: InputError where nothing is reduced, or no form with blocks was found.
    """
    proof = Proof(context, [], timeout)
    normal = Normaliser(proof.judge, proof.record_step)(output.term)
    candidates = (axis,) if axis is not None else streamable_axes(normal)
    if not candidates:
        raise InputError("nothing is reduced here, so there is nothing to stream")
    ranked: list[tuple[tuple[int, int], StreamedForm]] = []
    writings: tuple[Writing, ...] = ("numbers", "all") if expand else ("numbers",)
    for writing, candidate in product(writings, candidates):
        if writing == "all" and ranked and min(rank for rank, _ in ranked)[0] == 1:
            break
        form = _stream(output, context, candidate, masked, parts, writing, timeout)
        if form is not None:
            ranked.append(((form.passes, _growth(form)), form))
            if ranked[-1][0] == (1, 0):
                break
    if not ranked:
        raise InputError(f"no streamed form was found for {', '.join(candidates)}")
    return min(ranked, key=lambda found: found[0])[1]


def split_axis(context: Context, axis: str, masked: bool) -> tuple[Context, str, str]:
    """The context with ``axis`` split into blocks and tiles of a size of any value.

    Errors: InputError where the axis is to be split exactly and its size is no product.
    """
    label = axis.split(".", maxsplit=1)[0]
    taken = {v for extent in context.axes.values() for v in extent.variables} | set(context.lower)
    names = {a.split(".")[0] for a in context.axes}
    block = next(fresh_names(f"{label}_block", names)) + ".0"
    tile = next(fresh_names(f"{label}_tile", names)) + ".0"
    extent = context.axes[axis]
    assumptions = context.assumptions
    if masked:
        blocks = variable(next(fresh_names(f"{label}_blocks", taken)))
        width = variable(next(fresh_names(f"{label}_tile", taken)))
        assumptions = (*assumptions, blocks * width - extent)
    else:
        factors = sorted(extent.variables)
        if len(factors) != 2 or extent is not variable(factors[0]) * variable(factors[1]):
            raise InputError(
                f"to split {axis} exactly, declare its size as a product such as blocks*tile, "
                f"not {extent}"
            )
        blocks, width = variable(factors[0]), variable(factors[1])
    split = replace(
        context,
        axes={**context.axes, block: blocks, tile: width},
        assumptions=assumptions,
        splits={**context.splits, axis: Split(block, tile, masked)},
    )
    return split, block, tile


def deal_out(context: Context, block: str) -> tuple[Context, str, str]:
    """The context with the blocks of a masked split dealt out to parts: their axis, and a part's.

    The parts are as many as one likes, each of as many consecutive blocks.

    Errors: InputError where the number of blocks is not free: the split is exact.
    """
    count = context.axes[block]
    label = block.rsplit("_block", maxsplit=1)[0]
    if not any(s.masked and s.outer == block for s in context.splits.values()):
        raise InputError(f"{label} is split exactly: only blocks of any number are dealt out")
    sizes = {v for extent in context.axes.values() for v in extent.variables} | set(context.lower)
    names = {a.split(".")[0] for a in context.axes}
    part = next(fresh_names(f"{label}_part", names)) + ".0"
    step = next(fresh_names(f"{label}_step", names)) + ".0"
    parts = variable(next(fresh_names(f"{label}_parts", sizes)))
    steps = variable(next(fresh_names(f"{label}_steps", sizes)))
    (blocks,) = count.variables
    dealt = {blocks: parts * steps}
    axes = {**context.axes, block: parts * steps, part: parts, step: steps}
    assumptions = tuple(a.substitute(dealt) for a in context.assumptions)
    splits = {**context.splits, block: Split(part, step)}
    return replace(context, axes=axes, assumptions=assumptions, splits=splits), part, step


def _stream(
    output: Output,
    whole: Context,
    axis: str,
    masked: bool,
    parts: bool,
    writing: Writing,
    timeout: float,
) -> StreamedForm | None:
    from ncd_formal.egraph.extract import cheapest
    from ncd_formal.egraph.run import Budget, Graph

    context, block, tile = split_axis(whole, axis, masked)
    unsplit, part = {axis}, None
    if parts:
        unsplit.add(block)
        context, part, block = deal_out(context, block)
    proof = Proof(context, [], timeout)
    proof.closure.add(output.term)
    normalise = Normaliser(
        proof.judge, proof.record_step, writing, gather=True, budget=EXPAND_STEPS
    )
    try:
        normal = normalise(output.term)
    except BudgetError:
        return None

    def cost(op: str, literals: Sequence[Argument | None]) -> int:
        if op != "Reduce":
            return OVERFLOW_COST if op == "Exp" else 1
        where = {block: PASS_COST, **dict.fromkeys(unsplit, UNSPLIT_COST)}
        return where.get(str(literals[1]), REDUCTION_COST)

    used = {*RULESETS[:3], LAST}
    rules = [rule for rule in table().values() if rule.ruleset in used or rule.name in LAWS]
    graph = Graph(context, [normal], rules, traced=True)
    budget = Budget(nodes=5_000, seconds=timeout, iterations=16)
    outcome = graph.search(RULESETS, [], budget)
    last = graph.search((LAST,), [], replace(budget, iterations=1))
    best = cheapest(graph, normal, cost, timeout)
    if best is None:
        return None
    over = {str(node.args[1]) for node in subterms(best) if node.op == "Reduce"}
    if over & unsplit or block not in over:
        return None
    proof.record(graph.instances())
    if not proof.closure.equal(output.term, best):
        return None
    certificate = Certificate(
        context,
        (Goal(output.term, best, output.layout),),
        proof.closure.explain((output.term, best)),
        witness=witness(context) or {},
    )
    return StreamedForm(
        context,
        best,
        output.layout,
        axis,
        block,
        tile,
        part,
        _depth(best, block),
        certificate,
        last.nodes,
        outcome.seconds + last.seconds,
    )


def _depth(root: Term, block: str) -> int:
    """The longest chain of folds over an axis, each using the one before."""
    depth: dict[Term, int] = {}
    for node in subterms(root):
        below = max((depth[child] for child in node.children), default=0)
        depth[node] = below + (node.op == "Reduce" and node.args[1] == block)
    return depth[root]


def _growth(form: StreamedForm) -> int:
    """How many axes of the states of the folds over blocks are reduced later."""
    folds = [n for n in subterms(form.term) if n.op == "Reduce"]
    state = {a for n in folds if n.args[1] == form.block for a in n.axes}
    own = {form.axis, form.block, form.tile, form.part}
    return len(state & {str(n.args[1]) for n in folds} - own)
