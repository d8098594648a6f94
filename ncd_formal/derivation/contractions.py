"""The orders in which the sums of products of a term can be worked, each proved equal to it.

A sum of products over several axes, ``Σ_m (Σ_d q·k)·v``, may be worked in the order of any tree
over its factors: ``Σ_d q·(Σ_m k·v)`` too.  A square of a sum is a sum of products over two axes, so
a norm of sums has such orders as well.  Which tree takes the fewest operations depends on the
sizes.  Dynamic programming over the sets of factors finds the best one for each of many drawn sizes
at once; an order that is best for none of them is left out.  What is drawn decides which orders are
shown, and nothing about their proofs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Union

from ncd_formal.certificate import Certificate, Goal
from ncd_formal.conditions import Context, witness
from ncd_formal.derivation.schedules import Plan, apart, operations, replaced
from ncd_formal.elaboration import Output
from ncd_formal.normalisation import BudgetError, Normaliser
from ncd_formal.proving import EXPAND_STEPS, Proof
from ncd_formal.sizes import Polynomial
from ncd_formal.wires import SUM, Term, mul, outermost, reduce, subterms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

DRAWN = 256
"""How many sizes are drawn."""

LEAST, MOST = 8.0, 2.0**18
"""The least and the largest size that is drawn: by an axis of 1, orders do not differ."""

MOST_FACTORS = 9
"""Longer products are left in the order in which they are written."""

MOST_ORDERS = 4
"""The orders that are shown: those that are best at the most of the drawn sizes."""

MOST_COMBINATIONS = 64
"""How many choices of a tree for each sum are compared."""

Drawn = Sequence[Mapping[str, int]]
Tree = Union[int, tuple["Tree", "Tree"]]
"""Factors by number, and what is multiplied first."""


@dataclass(frozen=True)
class Order:
    """A term that works its sums of products in another order."""

    term: Term
    certificate: Certificate
    """That the output is equal to ``term``."""


@dataclass(frozen=True)
class Contraction:
    """A sum of products: the axes summed, and the factors that depend on one of them."""

    bound: tuple[str, ...]
    factors: tuple[Term, ...]
    outside: tuple[Term, ...]
    """The factors that depend on none."""

    @property
    def free(self) -> frozenset[str]:
        """The axes of the result of the sum."""
        return frozenset[str]().union(*(f.axes for f in self.factors)) - set(self.bound)

    def kept(self, members: frozenset[int]) -> frozenset[str]:
        """The axes that are left when some factors are multiplied and summed as far as they can."""
        inside = frozenset[str]().union(*(self.factors[k].axes for k in members))
        others = (f.axes for k, f in enumerate(self.factors) if k not in members)
        return inside & self.free.union(*others)

    def written(self, tree: Tree, factors: Sequence[Term]) -> Term:
        """The sum in the order of a tree, with terms in place of the factors."""

        def build(part: Tree) -> tuple[Term, frozenset[int]]:
            if isinstance(part, int):
                members, body = frozenset({part}), factors[part]
            else:
                (left, a), (right, b) = build(part[0]), build(part[1])
                members, body = a | b, mul(left, right)
            for axis in sorted(body.axes & set(self.bound) - self.kept(members)):
                body = reduce(SUM, axis, body)
            return body, members

        return build(tree)[0]


def contraction(node: Term) -> Contraction | None:
    """The sum of products that a term is; None where it is none."""
    bound: list[str] = []
    while node.op == "Reduce" and node.children[0] is SUM:
        bound.append(str(node.args[1]))
        node = node.children[1]
    if not bound or node.op != "Mul" or len(set(bound)) < len(bound):
        return None
    factors, stack = [], [node]
    while stack:
        each = stack.pop()
        if each.op == "Mul":
            stack += reversed(each.children)
        else:
            factors.append(each)
    inside = tuple(f for f in factors if not f.axes.isdisjoint(bound))
    return Contraction(tuple(bound), inside, tuple(f for f in factors if f not in inside))


def orders(
    output: Output,
    context: Context,
    sizes: Mapping[str, int] | None = None,
    timeout: float = 10.0,
) -> tuple[Order, ...]:
    """The orders that take the fewest operations somewhere, but for that of the output itself.

    ``sizes`` are those that are known; the others are drawn.  Beginning with the order that is best
    at the most of them.
    """
    proof = Proof(context, [], timeout)
    proof.closure.add(output.term)
    flatten = Normaliser(proof.judge, proof.record_step, contract=True, budget=EXPAND_STEPS)
    try:
        flat = flatten(Normaliser(proof.judge, proof.record_step)(output.term))
    except BudgetError:
        return ()
    sums = [(node, found) for node, found in _contractions(flat).items() if len(found.bound) > 1]
    drawn = drawn_sizes(context, sizes or {})
    choices = [tuple(_best(found, context, drawn)) for _, found in sums]
    free = {axis for digits in output.layout for axis in digits}
    written: dict[Term, None] = {}
    for trees in islice(product(*choices), MOST_COMBINATIONS):
        chosen = {node: (found, tree) for (node, found), tree in zip(sums, trees, strict=True)}
        written[apart(_rebuilt(flat, chosen), free, flatten.fresh_axis)] = None
    made = []
    for each in _winners((output.term, *written), output, context, drawn):
        try:
            meets = proof.closure.equal(flatten(each), flat)
        except BudgetError:
            continue
        if meets and proof.closure.equal(output.term, each):
            lemmas = proof.closure.explain((output.term, each))
            goals = (Goal(output.term, each, output.layout),)
            found = Certificate(context, goals, lemmas, witness=witness(context) or {})
            made.append(Order(each, found))
    return tuple(made)


def _contractions(root: Term) -> dict[Term, Contraction]:
    """The largest sums of products in a term, and in their factors."""
    made: dict[Term, Contraction] = {}

    def workable(node: Term) -> bool:
        found = contraction(node)
        return found is not None and len(found.factors) <= MOST_FACTORS

    pending = [root]
    while pending:
        for node in outermost(pending.pop(), workable):
            found = contraction(node)
            if node not in made and found is not None:
                made[node] = found
                pending += (*found.factors, *found.outside)
    return made


def _rebuilt(root: Term, chosen: Mapping[Term, tuple[Contraction, Tree]]) -> Term:
    """A term with its sums of products in the order of the trees chosen."""
    made: dict[Term, Term] = {}
    for node in subterms(root):
        if node in chosen:
            found, tree = chosen[node]
            result = found.written(tree, [made[f] for f in found.factors])
            for factor in found.outside:
                result = mul(made[factor], result)
            made[node] = result
        else:
            made[node] = replaced(node, {child: made[child] for child in node.children})
    return made[root]


def drawn_sizes(context: Context, sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """Sizes drawn evenly by their logarithms, those that are known as they are."""
    generator = random.Random(0)
    names = sorted({v for extent in context.axes.values() for v in extent.variables})
    return [
        {
            name: sizes.get(name) or int(LEAST * (MOST / LEAST) ** generator.random())
            for name in names
        }
        for _ in range(DRAWN)
    ]


def _evaluated(extent: Polynomial, drawn: Drawn) -> Floats:
    import numpy as np

    return np.array([float(extent.evaluate(each)) for each in drawn])


def _best(found: Contraction, context: Context, drawn: Drawn) -> Iterator[Tree]:
    """The trees that are best at some of the drawn sizes.

    A product takes a multiplication at each point, and an addition where it is summed.
    """
    import numpy as np

    used = frozenset[str]().union(*(f.axes for f in found.factors))
    extents = {axis: _evaluated(context.axes[axis], drawn) for axis in sorted(used)}
    count = len(found.factors)
    sets = [frozenset(k for k in range(count) if number >> k & 1) for number in range(1 << count)]
    kept = {members: found.kept(members) for members in sets}
    least: dict[frozenset[int], Floats] = {}
    splits: dict[frozenset[int], list[tuple[frozenset[int], frozenset[int]]]] = {}
    chosen: dict[frozenset[int], Floats] = {}
    for members in sorted(filter(None, sets), key=len):
        if len(members) == 1:
            least[members] = np.zeros(len(drawn))
            continue
        first = min(members)
        splits[members] = [(a, members - a) for a in sets if first in a and a < members]
        costs = []
        for a, b in splits[members]:
            both = kept[a] | kept[b]
            points = np.prod([extents[axis] for axis in sorted(both)], axis=0)
            costs.append(least[a] + least[b] + points * (2 if both - kept[members] else 1))
        chosen[members] = np.argmin(costs, axis=0)
        least[members] = np.min(costs, axis=0)

    def trees(members: frozenset[int], where: Floats) -> Iterator[Tree]:
        if len(members) == 1:
            yield min(members)
            return
        for number in np.unique(chosen[members][where]):
            here = where[chosen[members][where] == number]
            left, right = splits[members][int(number)]
            yield from product(trees(left, here), trees(right, here))

    yield from trees(frozenset(range(count)), np.arange(len(drawn)))


def _winners(
    terms: Sequence[Term], output: Output, context: Context, drawn: Drawn
) -> tuple[Term, ...]:
    """The terms that take fewer operations than all before them at some of the drawn sizes.

    The first one is the output, and is not among them.
    """
    counts = [operations(Plan(context, each, output.layout)) for each in terms]
    best = Counter(
        min(range(len(terms)), key=lambda k: (counts[k].evaluate(sizes), k)) for sizes in drawn
    )
    return tuple(terms[k] for k, _ in best.most_common() if k)[:MOST_ORDERS]
