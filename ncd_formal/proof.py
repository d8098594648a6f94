"""Proofs from ground instances: a congruence closure that explains itself.

Whatever found an equality, normalisation or the e-graph, hands in instances of laws.  Here they are
closed under congruence, and an equality between two terms is explained as lemmas: each a chain of
steps, a step one instance, a hypothesis, or a congruence that cites earlier lemmas.  Sharing lemmas
keeps the proof linear where a flat chain would be exponential in the depth of the program.

Source: R. Nieuwenhuis and A. Oliveras, Proof-producing congruence closure (2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from ncd_formal.wires import Argument, Term, subterms


@dataclass(frozen=True)
class Instance:
    """``left = right`` by a law at values of its variables."""

    law: str
    values: Mapping[str, Argument]


@dataclass(frozen=True)
class Hypothesis:
    """``left = right`` at every index of their axes: what a proof supposes of the inputs."""

    left: Term
    right: Term


Reason = Union[Instance, Hypothesis]
Step = tuple[Term, Union[Reason, None]]
"""The term reached, and how: an instance, a hypothesis, or None for a congruence."""
Lemma = tuple[Term, Term, tuple[Step, ...]]


class Congruence:
    """Equalities of terms, closed under congruence, each with its reason."""

    def __init__(self) -> None:
        self._parent: dict[Term, Term] = {}
        self._members: dict[Term, int] = {}
        self._uses: dict[Term, list[Term]] = {}
        self._signatures: dict[tuple[object, ...], Term] = {}
        # The proof forest: each term's edge towards the root of its tree.
        self._edge: dict[Term, tuple[Term, Reason | None]] = {}

    def add(self, root: Term) -> None:
        """Make a term and its subterms known."""
        if root in self._parent:
            return
        for node in subterms(root, known=self._parent):
            self._parent[node] = node
            self._members[node] = 1
            self._uses[node] = []
            for child in dict.fromkeys(node.children):
                self._uses[self.find(child)].append(node)
            signature = self._signature(node)
            known = self._signatures.setdefault(signature, node)
            if known is not node:
                self._union(node, known, None)

    def find(self, node: Term) -> Term:
        """The representative of a term's class."""
        parent = self._parent
        while parent[node] is not node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def equal(self, a: Term, b: Term) -> bool:
        """Whether two terms are equal by what is known."""
        self.add(a)
        self.add(b)
        return self.find(a) is self.find(b)

    def merge(self, a: Term, b: Term, reason: Reason) -> None:
        """Record that a = b."""
        self.add(a)
        self.add(b)
        self._union(a, b, reason)

    def _signature(self, node: Term) -> tuple[object, ...]:
        return (
            node.op,
            *(self.find(arg) if isinstance(arg, Term) else arg for arg in node.args),
        )

    def _union(self, a: Term, b: Term, reason: Reason | None) -> None:
        pending: list[tuple[Term, Term, Reason | None]] = [(a, b, reason)]
        while pending:
            a, b, reason = pending.pop()
            low, high = self.find(a), self.find(b)
            if low is high:
                continue
            if self._members[low] > self._members[high]:
                a, b, low, high = b, a, high, low
            self._hang(a, b, reason)
            self._parent[low] = high
            self._members[high] += self._members[low]
            users = self._uses[low]
            for user in users:
                signature = self._signature(user)
                known = self._signatures.setdefault(signature, user)
                if known is not user and self.find(known) is not self.find(user):
                    pending.append((user, known, None))
            self._uses[high].extend(users)
            self._uses[low] = []

    def _hang(self, a: Term, b: Term, reason: Reason | None) -> None:
        """Turn a's tree around so that a is its root, and hang it below b."""
        node: Term | None = a
        target, why = b, reason
        while node is not None:
            edge = self._edge.get(node)
            self._edge[node] = (target, why)
            if edge is None:
                break
            target, why = node, edge[1]
            node = edge[0]

    def _path(self, a: Term, b: Term) -> tuple[Step, ...]:
        """The steps from a to b along the proof forest."""
        above: dict[Term, int] = {}
        trail: list[Step] = []
        node = a
        while True:
            above[node] = len(trail)
            edge = self._edge.get(node)
            if edge is None:
                break
            trail.append(edge)
            node = edge[0]
        back: list[Step] = []
        node = b
        while node not in above:
            up, why = self._edge[node]
            back.append((node, why))
            node = up
        return (*trail[: above[node]], *reversed(back))

    def explain(self, *goals: tuple[Term, Term]) -> tuple[Lemma, ...]:
        """Lemmas for goals that hold, each citing only earlier ones.

        Errors: ValueError for a goal that is not known to hold.
        """
        for a, b in goals:
            if not self.equal(a, b):
                raise ValueError("the terms are not known to be equal")
        order: list[Lemma] = []
        paths: dict[tuple[Term, Term], tuple[Step, ...]] = {}
        done: set[tuple[Term, Term]] = set()
        stack: list[tuple[tuple[Term, Term], bool]] = [(goal, False) for goal in goals]
        while stack:
            pair, ready = stack.pop()
            if pair[0] is pair[1] or pair in done:
                continue
            if ready:
                done.add(pair)
                order.append((*pair, paths[pair]))
                continue
            if pair in paths:
                continue
            paths[pair] = self._path(*pair)
            stack.append((pair, True))
            here = pair[0]
            for there, reason in paths[pair]:
                if reason is None:
                    stack.extend(
                        (cited, False) for cited in zip(here.children, there.children, strict=True)
                    )
                here = there
        return tuple(order)
