"""The search for a proof: normal forms first, then an e-graph under a budget.

What is found is a certificate; it is for others to check.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any, Literal

from ncd_formal.certificate import Certificate, Goal, laws_of, supposed
from ncd_formal.conditions import Context, witness
from ncd_formal.elaboration import Output
from ncd_formal.facts import UNDEFINED
from ncd_formal.normalisation import BudgetError, Normaliser
from ncd_formal.proof import Congruence, Hypothesis, Instance
from ncd_formal.rules import OWN, Judge, Rule, table
from ncd_formal.sizes import size
from ncd_formal.wires import (
    NEGATIVE_INFINITY,
    ONE,
    ZERO,
    Argument,
    Term,
    bound_axes,
    select,
    subterms,
    term,
)

log = logging.getLogger(__name__)

Effort = Literal["normal", "written out", "search"]
"""Normal forms as they are; with sums and short axes written out as well; and then a search."""

EXPAND_STEPS = 5_000
"""Steps that writing out sums may take."""

SIGN_STEPS = 20_000
"""Steps that writing out what comparisons decide may take."""

FEW_CASES = 8
"""Indices of short free axes, all together, that are tried one by one."""

SEARCH_RULESETS: tuple[str, ...] = (
    "simplify", "functions", "reductions", "distribute", "commute", "associate"
)  # fmt: skip
"""The laws that the search uses, in turn; those that only rewrite towards a schedule are left
out."""


class Proof:
    """The search for a proof of pairs of outputs, and its certificate."""

    def __init__(
        self,
        context: Context,
        pairs: Sequence[tuple[Output, Output]],
        timeout: float = 60.0,
        rules: tuple[Rule, ...] = (),
        hypotheses: Sequence[Hypothesis] = (),
    ) -> None:
        self.hypotheses = tuple(hypotheses)
        self.context = context
        self.own = rules
        self.rules = {**table(), **{rule.name: rule for rule in rules}}
        self.pairs = pairs
        self.deadline = time.perf_counter() + timeout
        self.closure = Congruence()
        self.judge = Judge(context)
        self.reason = ""

    def certificate(
        self,
        conditions: Sequence[str],
        about: Mapping[str, Any],
        effort: Effort = "search",
        evident: bool = False,
    ) -> Certificate | None:
        """A certificate, or None with ``reason`` saying how the search ended.

        With ``evident``, a further goal equates an output with a form that shows more of what kind
        of value it is, where there is one.
        """
        goals = [(a.term, b.term) for a, b in self.pairs]
        for (a, b), number in zip(self.pairs, count()):
            if a.layout != b.layout:
                self.reason = f"output {number}: the indices of the dimensions are in another order"
                return None
            self.closure.add(a.term)
            self.closure.add(b.term)
        sizes = witness(self.context)
        if sizes is None:
            self.reason = "no sizes are known that satisfy the assumptions"
            return None
        found = self._normalise(goals, effort)
        if not found and (effort != "search" or not self._search(goals)):
            return None
        shown = [Goal(a.term, b.term, a.layout) for a, b in self.pairs]
        if evident:
            shown += self.evident(known=self.suppose())
        lemmas = self.closure.explain(*((goal.left, goal.right) for goal in shown))
        used = laws_of(lemmas)
        reasons = {r for _, _, steps in lemmas for _, r in steps if isinstance(r, Hypothesis)}
        hypotheses = tuple(h for h in self.hypotheses if h in reasons)
        return Certificate(
            self.context,
            tuple(shown),
            lemmas,
            _united(conditions, supposed(hypotheses, self.context, about)),
            dict(about),
            sizes,
            tuple(rule for rule in self.own if rule.name in used),
            hypotheses,
        )

    def record_step(self, law: str, values: dict[str, Argument], left: Term, right: Term) -> None:
        """Take over one instance of a law, its conditions decided."""
        self.closure.merge(left, right, Instance(law, values))

    def evident(self, known: Mapping[Term, Term] | None = None) -> Iterator[Goal]:
        """Outputs that may seem undefined in a form that shows that no sum of it is 0.

        ``known`` are normal forms that hypotheses make equal to others.
        """
        known = known or {}
        facts = self.judge.facts
        linear = Normaliser(
            self.judge, self.record_step, "linear", budget=EXPAND_STEPS, known=known
        )
        witness = Normaliser(self.judge, self.record_step, witness=True, known=known)
        for a, _ in self.pairs:
            # A test written out at length may be one that always holds.
            for simplify in (lambda term: term, linear):
                if facts(a.term) & UNDEFINED:
                    with suppress(BudgetError):
                        form = witness(simplify(a.term))
                        if self.closure.equal(a.term, form) and not facts(form) & UNDEFINED:
                            yield Goal(a.term, form, a.layout)
                            break

    def suppose(self) -> dict[Term, Term]:
        """Take over the hypotheses; which normal forms they make equal to others."""
        known: dict[Term, Term] = {}
        for hypothesis in self.hypotheses:
            self.closure.merge(hypothesis.left, hypothesis.right, hypothesis)
            if hypothesis.left.op == "Input":
                known[hypothesis.left] = hypothesis.right
        normalise = Normaliser(self.judge, self.record_step, known=dict(known))
        for hypothesis in self.hypotheses:
            if hypothesis.right is not ONE:
                continue
            left = normalise(hypothesis.left)
            known[left] = ONE
            rule = self.rules["not-not"]
            if left.op == "Not" and self.judge.holds(rule, {"a": left.children[0]}):
                # What fails is 0: it is its own double negation.
                (failing,) = left.children
                self.record_step("not-true", {}, term("Not", ONE), ZERO)
                self.record_step("not-not", {"a": failing}, term("Not", left), failing)
                known[failing] = ZERO
        return known

    def _holds(self, goals: Iterable[tuple[Term, Term]]) -> bool:
        return all(self.closure.equal(a, b) for a, b in goals)

    def _normalise(self, goals: Sequence[tuple[Term, Term]], effort: Effort) -> bool:
        """Normal forms: as they are; by cases; with sums, and then short axes, written out.

        The cases are those of predicates on the free axes, and of the indices of short ones.
        """
        self.normal: list[tuple[Term, Term]] = []
        known = self.suppose()
        plain = Normaliser(self.judge, self.record_step, known=known)

        def by_cases(normalise: Normaliser) -> None:
            for a, b in goals:
                predicates = free_predicates(self.context, a, b)
                if predicates and not self.closure.equal(a, b):
                    one, other = (normalise.cases(side, predicates) for side in (a, b))
                    self.closure.equal(one, other)

        def by_index(normalise: Normaliser) -> None:
            for a, b in goals:
                axes = short_axes(self.context, a, b)
                if axes and not self.closure.equal(a, b):
                    self.closure.equal(normalise.by_index(a, axes), normalise.by_index(b, axes))

        def written_out(
            expand: Literal["numbers", "linear", "all"],
            unroll: bool = False,
            contract: bool = False,
            parts: bool = False,
            signs: bool = False,
        ) -> Normaliser:
            return Normaliser(
                self.judge,
                self.record_step,
                expand,
                unroll,
                contract=contract,
                parts=parts,
                signs=signs,
                budget=SIGN_STEPS if signs else EXPAND_STEPS,
                known=known,
            )

        def in_parts(signs: bool = False) -> None:
            normalise = written_out("all", parts=True, signs=signs)
            for a, b in goals:
                if _has_parts(a, b, signs=signs) and not self.closure.equal(a, b):
                    self.closure.equal(normalise(a), normalise(b))

        def in_form(normalise: Normaliser) -> None:
            self.normal += [(normalise(a), normalise(b)) for a, b in goals]

        def in_short_sums() -> None:
            normalise = written_out("numbers", unroll=True)
            for a, b in goals:
                self.closure.equal(normalise(a), normalise(b))

        strategies: tuple[Callable[[], None], ...] = (
            lambda: in_form(plain),
            lambda: by_cases(plain),
            lambda: by_index(plain),
            lambda: in_form(written_out("linear")),
            in_short_sums,
            lambda: in_form(written_out("all")),
            lambda: by_cases(written_out("all", contract=True)),
            lambda: in_form(written_out("numbers", contract=True)),
            lambda: in_form(written_out("all", contract=True)),
            lambda: in_form(written_out("all", unroll=True)),
            lambda: by_index(written_out("all", unroll=True)),
            in_parts,
            lambda: in_parts(signs=True),
        )
        for strategy in strategies[:3] if effort == "normal" else strategies:
            try:
                strategy()
            except BudgetError:
                continue
            if self._holds(goals):
                return True
            if time.perf_counter() > self.deadline:
                return False
        return False

    def _search(self, goals: Sequence[tuple[Term, Term]]) -> bool:
        """Saturate over normal forms; where that finds the goals, again with every use recorded."""
        if len(self.normal) < len(goals):
            self.reason = "the programs are too large to normalise"
            return False
        from ncd_formal.egraph.run import Budget, Graph

        log.info("searching")
        starts = self.normal[: len(goals)]
        open_goals = [(a, b) for a, b in starts if not self.closure.equal(a, b)]
        roots = [t for pair in (*starts, *self.normal) for t in pair]
        seconds = max(0.0, min(10.0, self.deadline - time.perf_counter()))
        budget = Budget(nodes=30_000, seconds=seconds)
        rules, rulesets = tuple(self.rules.values()), SEARCH_RULESETS
        if self.own:
            rulesets = (*rulesets, OWN)
        outcome = Graph(self.context, roots, rules).search(rulesets, open_goals, budget)
        if outcome.reason != "found":
            ended = {
                "saturated": "the laws do not connect them",
                "nodes": f"the search ended at {outcome.nodes} nodes",
                "seconds": f"the search ended after {outcome.seconds:.0f} s",
                "iterations": f"the search ended after {outcome.iterations} rounds",
            }
            self.reason = ended[outcome.reason]
            return False
        traced = Graph(self.context, roots, rules, traced=True)
        traced.search(rulesets, open_goals, replace(budget, seconds=4 * seconds + 10))
        self.record(traced.instances())
        if self._holds(goals):
            return True
        self.reason = "the search found it, but the proof could not be rebuilt"
        return False

    def record(self, instances: Iterable[Instance]) -> None:
        """Take over instances whose conditions hold of the very terms that they name."""
        for instance in instances:
            rule = self.rules[instance.law]
            if self.judge.holds(rule, instance.values):
                left, right = self.judge.sides(rule, instance.values)
                self.closure.merge(left, right, instance)


def free_predicates(context: Context, *roots: Term) -> list[str]:
    """The predicates on free axes alone, at most three: where an output is put together."""
    found: dict[str, None] = {}
    free = frozenset[str]().union(*(root.axes for root in roots))
    for node in subterms(*roots):
        if node.op == "Predicate" and node.axes and node.axes <= free:
            p = str(node.args[0])
            opposite = str(-1 - size(p))
            if opposite not in found and all(map(context.stands_alone, node.axes)):
                found[p] = None
    return sorted(found)[:3]


def short_axes(context: Context, *roots: Term) -> list[str]:
    """The free axes of few indices, as long as they have few together: tried one by one."""
    free = set[str]().union(*(root.axes for root in roots))
    free -= set[str]().union(*map(bound_axes, roots))
    found: list[str] = []
    cases = 1
    for axis in sorted(filter(context.stands_alone, free)):
        extent = context.axes[axis].constant
        if extent is not None and extent > 1 and cases * extent <= FEW_CASES:
            cases *= extent
            found.append(axis)
    return found


def _has_parts(*roots: Term, signs: bool = False) -> bool:
    """Whether something is written in parts: a quotient, an extreme, tanh, sin².

    With ``signs``, something that depends on a comparison.
    """
    written = {"Abs", "Maximum", "Minimum", "Less" if signs else "Inverse", "Log"}
    named = set[str]() if signs else {"tanh", "sin", "Min"}
    return any(
        n.op in written
        or (n.op == "Function" and n.args[0] in named)
        or (n.op == "Reduce" and n.children[0].op in named)
        for n in subterms(*roots)
    )


def _united(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def finite_by_a_truth(context: Context, *roots: Term) -> tuple[Context, Callable[[Term], Term]]:
    """Inputs that may be −∞ as a number where a truth value of their own holds, and −∞ elsewhere.

    Every such array is of this form, so what holds of the terms returned, for all numbers and all
    truth values, holds of the given ones.
    """
    kinds = dict(context.inputs)
    names = {str(n.args[0]) for n in subterms(*roots) if n.op == "Input"}
    open_ = {
        name: f"{name} is finite" for name in names if kinds.get(name, "extended") == "extended"
    }
    kinds |= dict.fromkeys(open_, "real") | dict.fromkeys(open_.values(), "boolean")
    made: dict[Term, Term] = {}

    def stated(root: Term) -> Term:
        for node in subterms(root, known=made):
            args = [made[a] if isinstance(a, Term) else a for a in node.args]
            made[node] = term(node.op, *args)
            if node.op == "Input" and str(node.args[0]) in open_:
                finite = term("Input", open_[str(node.args[0])], *node.args[1:])
                made[node] = select(finite, node, NEGATIVE_INFINITY)
        return made[root]

    return replace(context, inputs=kinds), stated
