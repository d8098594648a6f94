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

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ncd_formal.certificate import Certificate, Goal
from ncd_formal.conditions import Context, Split, witness
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.normalisation import Normaliser
from ncd_formal.proving import Proof
from ncd_formal.rules import table
from ncd_formal.sizes import fresh_names, variable
from ncd_formal.wires import Argument, Term, subterms

RULESETS = ("simplify", "rescale", "blocks", "commute", "associate", "functions")
LAWS = frozenset({"mul-comm", "mul-assoc", "log-mul"})
"""The laws that lead to streamed forms: of the last three rulesets, only those of ``LAWS``, which
bring the sums of a quotient side by side."""

PASS_COST, UNSPLIT_COST, REDUCTION_COST, OVERFLOW_COST = 10_000, 1_000_000, 10, 1_000
"""A fold over blocks reads its operands once; a fold over the whole axis cannot be streamed; an
exponential that is not taken against a maximum may overflow."""


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
    passes: int
    """How many folds over the blocks wait for one another; independent ones are one pass."""
    certificate: Certificate
    nodes: int
    """The size of the saturated e-graph."""
    seconds: float
    """The time spent in the e-graph."""


def streamable_axes(root: Term) -> tuple[str, ...]:
    """The axes of the outermost reductions, those not inside another reduction's body."""
    found: dict[str, None] = {}
    seen: set[Term] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "Reduce":
            found[str(node.args[1])] = None
        else:
            stack.extend(node.children)
    return tuple(sorted(found))


def stream(output: Output, context: Context, axis: str | None = None, masked: bool = True,
           timeout: float = 30.0) -> StreamedForm:  # fmt: skip
    """The form of an output that passes over ``axis`` the fewest times.

    Without ``axis``, each outermost reduction is tried.  With ``masked``, the tile may have any
    size, and the last block leaves out what lies past the end; without, the axis must be written
    as a product, blocks · tile.

    Errors: InputError where nothing is reduced, or no form with blocks was found.
    """
    proof = Proof(context, [], timeout)
    normal = Normaliser(proof.judge, proof.record_step)(output.term)
    candidates = (axis,) if axis is not None else streamable_axes(normal)
    if not candidates:
        raise InputError("nothing is reduced here, so there is nothing to stream")
    forms = [
        form
        for candidate in candidates
        if (form := _stream(output, context, candidate, masked, timeout)) is not None
    ]
    if not forms:
        raise InputError(f"no streamed form was found for {', '.join(candidates)}")
    return min(forms, key=lambda form: form.passes)


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


def _stream(
    output: Output, whole: Context, axis: str, masked: bool, timeout: float
) -> StreamedForm | None:
    from ncd_formal.egraph.extract import cheapest
    from ncd_formal.egraph.run import Budget, Graph

    context, block, tile = split_axis(whole, axis, masked)
    proof = Proof(context, [], timeout)
    proof.closure.add(output.term)
    normal = Normaliser(proof.judge, proof.record_step, gather=True)(output.term)

    def cost(op: str, literals: Sequence[Argument | None]) -> int:
        if op != "Reduce":
            return OVERFLOW_COST if op == "Exp" else 1
        where = {block: PASS_COST, axis: UNSPLIT_COST}
        return where.get(str(literals[1]), REDUCTION_COST)

    rules = [rule for rule in table().values() if rule.ruleset in RULESETS[:3] or rule.name in LAWS]
    graph = Graph(context, [normal], rules, traced=True)
    outcome = graph.search(RULESETS, [], Budget(nodes=5_000, seconds=timeout, iterations=16))
    best = cheapest(graph, normal, cost, timeout)
    if best is None:
        return None
    folds = [n for n in subterms(best) if n.op == "Reduce" and n.args[1] in (block, axis)]
    if any(fold.args[1] == axis for fold in folds) or not folds:
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
        _depth(best, block),
        certificate,
        outcome.nodes,
        outcome.seconds,
    )


def _depth(root: Term, block: str) -> int:
    """The longest chain of folds over ``block``, each using the one before."""
    depth: dict[Term, int] = {}
    for node in subterms(root):
        below = max((depth[child] for child in node.children), default=0)
        depth[node] = below + (node.op == "Reduce" and node.args[1] == block)
    return depth[root]
