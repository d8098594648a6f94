"""Loading terms, running the laws under a budget, and reading what they did."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ncd_formal.conditions import Context
from ncd_formal.egraph.encode import (
    PRIMITIVE,
    context_facts,
    directions,
    fold_rows,
    program,
    trace_name,
)
from ncd_formal.facts import FOLDS, Facts
from ncd_formal.proof import Instance
from ncd_formal.rules import Rule, table
from ncd_formal.wires import SIGNATURE, Argument, Term, subterms, term

EXPLOSIVE = frozenset({"associate", "distribute"})
"""The rulesets that regroup or write out sums and products."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends without an answer."""

    nodes: int = 20_000
    seconds: float = 10.0
    iterations: int = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a search ended: found, saturated, or by its nodes, seconds or iterations."""

    reason: str
    iterations: int
    nodes: int
    seconds: float


class Graph:
    """An e-graph over terms of one context."""

    def __init__(
        self,
        context: Context,
        roots: Sequence[Term],
        rules: Sequence[Rule] | None = None,
        traced: bool = False,
    ) -> None:
        from egglog.bindings import EGraph

        chosen = table().values() if rules is None else rules
        self.rules = [rule for rule in chosen if rule.ruleset != "computed"]
        self.traced = traced
        self.folder = tempfile.TemporaryDirectory(prefix="ncd-")
        self.engine = EGraph(fact_directory=self.folder.name)
        self.numbers: dict[Term, int] = {}
        self._run(*program(self.rules, traced), *context_facts(context))
        self._load(context, roots)

    def _run(self, *commands: str) -> Any:
        # One command at a time: every node that is parsed keeps its whole source text.
        parse = self.engine.parse_program
        return self.engine.run_program(*(c for command in commands for c in parse(command)))

    def _load(self, context: Context, roots: Sequence[Term]) -> None:
        """Terms as rows of text files, one a constructor: no command for each node."""
        rows: dict[str, list[tuple[object, ...]]] = {}
        facts = Facts(context)
        settings: list[str] = []
        leaves: list[tuple[Term, int]] = []
        for node in subterms(*roots, *map(term, FOLDS)):
            number = self.numbers[node] = len(self.numbers)
            values = (self.numbers[a] if isinstance(a, Term) else a for a in node.args)
            rows.setdefault(f"row-{node.op}", []).append((number, *values))
            if node.op == "Constant":
                value = node.args[0]
                assert isinstance(value, Fraction)
                settings.append(
                    f'(set (number-of "{value}") (bigrat (from-string "{value.numerator}")'
                    f' (from-string "{value.denominator}")))'
                )
            if SIGNATURE[node.op][1] == "Term" and (not node.children or node.op == "Opaque"):
                leaves.append((node, number))
        rows["leaf-kinds"] = [(number, facts(node)) for node, number in leaves]
        rows["fold-row"] = [(self.numbers[m], *rest) for m, *rest in fold_rows()]
        self._run(*settings)
        for relation, values_of in rows.items():
            path = Path(self.folder.name, f"{relation}.csv")
            path.write_text("".join("\t".join(map(str, row)) + "\n" for row in values_of))
            self._run(f'(input {relation} "{path.name}")')
        self._run("(run-schedule (saturate (run loading)))")
        for node, number in leaves:
            members = sorted({f'"{x}"' for a in node.axes for x in context.leaves(a)})
            shown = f"(set-of {' '.join(members)})" if members else "(set-empty)"
            self._run(f"(set (axes (at-Term {number})) {shown})")

    @property
    def nodes(self) -> int:
        """The number of e-nodes."""
        (sizes,) = self._run("(print-size)")
        return sum(n for name, n in sizes.sizes if name in SIGNATURE)

    def equal(self, a: Term, b: Term) -> bool:
        """Whether two loaded terms are in one class."""
        from egglog.bindings import EggSmolError

        x, y = self.numbers[a], self.numbers[b]
        try:
            self._run(f"(check (= (at-Term {x}) (at-Term {y})))")
        except EggSmolError:
            return False
        return True

    def class_of(self, known: Term) -> tuple[str, Any]:
        """The class of a loaded term, as the rows of a snapshot name it."""
        sort = SIGNATURE[known.op][1]
        functions = self.engine.freeze().functions
        number = self.numbers[known]
        for row in functions[f"at-{sort}"].rows:
            if self.engine.value_to_i64(row.inputs[0]) == number:
                return sort, row.output
        raise KeyError(known)

    def search(
        self, rulesets: Sequence[str], goals: Sequence[tuple[Term, Term]], budget: Budget
    ) -> Outcome:
        """Run the rulesets in turn until the goals hold, nothing is new, or the budget is spent."""
        start = time.perf_counter()
        seeing = "(saturate (run seeing)) " if self.traced else ""
        self._run(f"(run-schedule (seq (saturate (run analysis)) {seeing}))")
        nodes = self.nodes
        for iteration in range(budget.iterations):
            if goals and all(self.equal(a, b) for a, b in goals):
                return Outcome("found", iteration, nodes, time.perf_counter() - start)
            changed, skipped = False, False
            for name in rulesets:
                # Regrouping grows a graph by its square, so it must not meet a large one.
                if name in EXPLOSIVE and nodes > budget.nodes // 8:
                    skipped = True
                    continue
                before = nodes
                bounded = name in EXPLOSIVE and nodes > budget.nodes // 32
                updated, held_back = self._step(name, budget.nodes if bounded else None)
                nodes = self.nodes
                changed |= updated or nodes != before
                skipped |= held_back
                spent = time.perf_counter() - start
                if nodes > budget.nodes:
                    return Outcome("nodes", iteration, nodes, spent)
                if spent > budget.seconds:
                    return Outcome("seconds", iteration, nodes, spent)
            if not changed:
                if goals and all(self.equal(a, b) for a, b in goals):
                    return Outcome("found", iteration, nodes, spent)
                return Outcome("nodes" if skipped else "saturated", iteration, nodes, spent)
        return Outcome("iterations", budget.iterations, nodes, time.perf_counter() - start)

    def _step(self, ruleset: str, limit: int | None) -> tuple[bool, bool]:
        """Run a ruleset once: whether anything is new, and whether a rule was held back.

        With a limit, a rule that applies at more places than that is not applied at all: one step
        can add millions of nodes to a graph of thousands.
        """
        seeing = "(saturate (run seeing)) " if self.traced else ""
        run = f"(run {ruleset})"
        if limit is not None:
            bound = f"(let-scheduler bounded (back-off :match-limit {limit} :ban-length 1))"
            run = f"{bound} (run-with bounded {ruleset})"
        outputs = self._run(f"(run-schedule {seeing}{run} (saturate (run analysis)))")
        (report,) = (r.report for r in outputs if hasattr(r, "report"))
        if limit is None:
            return report.updated, False
        steps = [iteration.rule_set_report for iteration in report.iterations]
        uses = [use for step in steps for uses in step.rule_reports.values() for use in uses]
        return any(step.changed for step in steps), any(u.num_matches > limit for u in uses)

    def instances(self) -> Iterator[Instance]:
        """Every use of a law that a traced search recorded."""
        functions = self.engine.freeze().functions
        made: dict[tuple[str, Any], tuple[str, Sequence[Any]]] = {}
        for op, (_, sort) in SIGNATURE.items():
            for row in functions[f"Seen-{op}"].rows:
                made[sort, row.output] = (op, row.inputs)
        terms: dict[tuple[str, Any], Term] = {}

        def primitive(sort: str, value: Any) -> Argument:
            if sort == "String":
                return str(self.engine.value_to_string(value))
            return Fraction(self.engine.value_to_bigrat(value))

        def read(sort: str, value: Any) -> Term:
            stack = [(sort, value)]
            while stack:
                key = stack[-1]
                if key in terms:
                    stack.pop()
                    continue
                op, inputs = made[key]
                sorts = SIGNATURE[op][0]
                missing = [
                    (s, v)
                    for s, v in zip(sorts, inputs, strict=True)
                    if s not in PRIMITIVE and (s, v) not in terms
                ]
                if missing:
                    stack += missing
                    continue
                terms[key] = term(
                    op,
                    *(
                        primitive(s, v) if s in PRIMITIVE else terms[s, v]
                        for s, v in zip(sorts, inputs, strict=True)
                    ),
                )
                stack.pop()
            return terms[sort, value]

        for number, rule in enumerate(self.rules):
            for direction, _ in enumerate(directions(rule)):
                for row in functions[trace_name(number, direction)].rows:
                    values = {
                        name: primitive(sort, v) if sort in PRIMITIVE else read(sort, v)
                        for (name, sort), v in zip(rule.sorts.items(), row.inputs, strict=False)
                    }
                    yield Instance(rule.name, values)
