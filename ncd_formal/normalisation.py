"""Normal forms: sums and products as sorted multisets, factors pulled out of reductions.

Normalisation decides most equalities before any search.  It rewrites by instances of laws only,
and hands every instance to a log, so that a certificate holds each step: the normaliser chooses
what to apply, and is not trusted.

The normal form of a term:

* a product is a right comb, its number first, then factors in the order of their digests with a
  factor beside its inverse; equal and inverse factors cancel where their facts allow;
* a sum is a right comb of summands with numbers collected;
* the exponential of a sum is a product of exponentials, 1/… goes to the factors;
* a reduction of a sum is a sum of reductions, and what does not depend on the axis is outside;
* a choice between numbers is arithmetic on its truth value, and a choice against −∞ is outermost;
* that some hold is that not all fail, and a sum, a product or a maximum is −∞ as its parts are.

Products over sums stay as they are unless ``expand`` is asked for, of one sum (``linear``) or of
several, and axes of few indices unless ``unroll`` is.  With ``gather``, the exponentials
and truth values under a sum are one exponential again, of a score that is −∞ where masked, and a
quotient of two sums of exponentials stays one, inside other sums: the forms that the laws of
rescaled sums are about.  With ``contract``, products go under sums instead of
out of them, and bound axes are named by what they bind, so that contractions in any order meet.
With ``witness``, a masked sum of positive numbers of which one is left is at least the least of
them: a form whose facts say that the sum is positive.  With ``parts``, quotients by sums are
divided out, maxima and absolute values are written with positive parts max(0, a), tanh with an
exponential, and sin² with cos.  With ``signs``, what comparisons decide is arithmetic on whether
0 < a and a = 0, and functions of it are chosen by these truth values: pieces that meet at a
boundary become one form.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import count, permutations
from math import factorial, prod
from typing import Literal

from ncd_formal.rules import Judge, table
from ncd_formal.sizes import Polynomial, divide, size
from ncd_formal.wires import (
    ANY,
    INDEX_TEXT,
    MAX,
    MIN,
    MINUS_ONE,
    NEGATIVE_INFINITY,
    ONE,
    SUM,
    ZERO,
    Argument,
    Term,
    add,
    bound_axes,
    constant,
    exp,
    factors_of,
    indices_of,
    inverse,
    is_axis,
    mul,
    product_of,
    reduce,
    select,
    substitute,
    subterms,
    term,
)

Log = Callable[[str, dict[str, Argument], Term, Term], None]
"""Takes a law's name, the values of its variables, and both sides of the instance."""


_NOTHING: Mapping[Term, Term] = {}

LARGEST_POWER = 16
"""Powers exp(n·log a) are written out as products up to this n."""


class BudgetError(Exception):
    """Normalisation took more steps than it was allowed."""


class Normaliser:
    """Normal forms in one context, each step an instance of a law that is handed to ``log``.

    ``known`` holds what equals another normal form by a hypothesis, which whoever gives it records.

    Errors: BudgetError after ``budget`` steps: writing out sums can grow without end.
    """

    def __init__(
        self,
        judge: Judge,
        log: Log,
        expand: Literal["numbers", "linear", "all"] = "numbers",
        unroll: bool = False,
        gather: bool = False,
        contract: bool = False,
        witness: bool = False,
        parts: bool = False,
        signs: bool = False,
        budget: int = 200_000,
        known: Mapping[Term, Term] = _NOTHING,
    ) -> None:
        self.judge = judge
        self.log = log
        self.expand = expand
        self.unroll = unroll
        self.gather = gather
        self.contract = contract
        self.witness = witness
        self.parts = parts
        self.signs = signs
        self.budget = budget
        self.normal: dict[Term, Term] = {}
        self.known = known

    def __call__(self, root: Term) -> Term:
        """The normal form of ``root``."""
        # Combs are taken apart by recursion, one level a factor.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))
        for node in subterms(root, known=self.normal):
            if node not in self.normal:
                args = [self.normal[a] if isinstance(a, Term) else a for a in node.args]
                built = self.build(node.op, args)
                self.normal[node] = self.known.get(built, built)
        return self.normal[root]

    # Applying laws --------------------------------------------------------------------------

    def allows(self, name: str, **values: Argument) -> bool:
        """Whether a law applies at these values."""
        return self.judge.holds(table()[name], values)

    def apply(self, name: str, **values: Argument) -> Term:
        """Log one instance of a law and return its right side."""
        return self._instance(name, values)[1]

    def _instance(self, name: str, values: dict[str, Argument]) -> tuple[Term, Term]:
        left, right = self.judge.sides(table()[name], values)
        if left is not right:
            self.budget -= 1
            if self.budget < 0:
                raise BudgetError
            self.log(name, values, left, right)
        return left, right

    def back(self, name: str, **values: Argument) -> Term:
        """Log one instance of a law and return its left side."""
        return self._instance(name, values)[0]

    def real(self, subject: Term) -> bool:
        return self.judge.facts.holds("real", subject)

    def cases(self, root: Term, predicates: Sequence[str]) -> Term:
        """``root`` as a choice by predicates on its free axes, each branch in normal form."""
        if not predicates:
            return self(root)
        p, *rest = predicates
        for test in (p, str(-1 - size(p))):
            root = self._pinned(root, test)
        c, then, otherwise = self.apply("cases", a=root, p=p).children
        then, left = self._settled(p, self._decided(then), otherwise, rest)
        self.apply("predicate-not", p=p)
        self.apply("select-not", c=c, a=otherwise, b=then)
        opposite = str(-1 - size(p))
        otherwise, right = self._settled(opposite, self._decided(otherwise), then, rest)
        return select(c, self.cases(then, left), self.cases(otherwise, right))

    def _settled(
        self, test: str, branch: Term, other: Term, predicates: Sequence[str]
    ) -> tuple[Term, list[str]]:
        """A branch without the predicates that hold or fail where ``test`` holds, and the rest.

        The choice by ``test`` is between the branch and ``other``.
        """
        left: list[str] = []
        for q in predicates:
            sides = (q, str(-1 - size(q)))
            held = next((s for s in sides if self.allows("predicate-implied", p=s, q=test)), None)
            if held is None:
                left.append(q)
                continue
            self.apply("predicate-implied", p=held, q=test)
            c, a, b = self.apply("cases", a=branch, p=held).children
            self.apply("select-nested", c=c, d=term("Predicate", test), a=a, b=b, e=other)
            branch = self._decided(a)
        return branch, left

    def _pinned(self, root: Term, test: str) -> Term:
        """``root`` by whether ``test`` holds, where that leaves an axis but one index."""
        difference = size(test)
        if not self.allows("predicate-true", p=str(-difference)):
            return root
        for x in sorted(difference.variables):
            for w in (size(x) - difference, size(x) + difference):
                alone = is_axis(x) and x not in w.variables
                if alone and self.allows("index-case", a=root, x=x, w=str(w)):
                    c, then, _ = self.apply("index-case", a=root, x=x, w=str(w)).children
                    return select(self(c), then, root)
        return root

    def by_index(self, root: Term, axes: Sequence[str]) -> Term:
        """``root`` as a choice by the indices of short free axes, each branch in normal form."""
        if not axes:
            return self(root)
        x, *rest = axes
        extent = self.judge.context.axes[x].constant
        assert extent is not None
        nested, tests = root, []
        for w in reversed(range(extent)):
            right = self.apply("index-case", a=root, x=x, w=str(w))
            c, then, _ = right.children
            nested = select(self(c), then, nested)
            tests.append(f"{w} - {x}")
        # Where x is more than all but its last index, it is the last.
        tests.pop(0)
        return self._chosen(nested, [str(size(p)) for p in reversed(tests)], rest)

    def _chosen(self, nested: Term, tests: Sequence[str], axes: Sequence[str]) -> Term:
        """Choices one inside another, decided by tests that hold or fail in turn."""
        if not tests:
            return self.by_index(self._decided(nested), axes)
        p, *rest = tests
        c, then, otherwise = self.apply("cases", a=nested, p=p).children
        return select(
            c, self.by_index(self._decided(then), axes), self._chosen(otherwise, rest, axes)
        )

    def _decided(self, choice: Term) -> Term:
        """What a choice takes whose condition is decided."""
        while choice.op == "Select" and (c := self(choice.children[0])).op == "Constant":
            _, a, b = choice.children
            if c.args[0] == 0:
                choice = self.apply("select-false", a=a, b=b)
            else:
                choice = self.apply("select-true", c=c.args[0], a=a, b=b)
        return choice

    # One node, its arguments in normal form ---------------------------------------------------

    def build(self, op: str, args: list[Argument]) -> Term:
        """The normal form of ``op`` at arguments in normal form."""
        rule = _BUILDERS.get(op)
        return rule(self, *args) if rule else term(op, *args)

    def index(self, text: str) -> Term:
        """A size is arithmetic on its variables."""
        p = size(text)
        if p.constant is not None:
            return self.apply("index-constant", p=text)
        monomial, c = p.terms[0]
        if len(p.terms) > 1:
            head = Polynomial({monomial: c})
            split = self.apply("index-sum", p=str(head), q=str(p - head))
            return self.add(*(self.index(str(t.args[0])) for t in split.children))
        factors = [size(c)] if c != 1 else []
        factors += [Polynomial({((atom, 1),): 1}) for atom, power in monomial for _ in range(power)]
        if len(factors) == 1:
            return term("Index", text)
        head = factors[0]
        rest = size(1)
        for factor in factors[1:]:
            rest = rest * factor
        split = self.apply("index-factor", p=str(head), q=str(rest))
        return self.mul(*(self.index(str(t.args[0])) for t in split.children))

    # Products ---------------------------------------------------------------------------------

    def mul(self, a: Term, b: Term) -> Term:
        """a·b for normal a and b."""
        factors = [*factors_of(a), *factors_of(b)]
        if not self._associate(factors):
            return self._mul_extended(a, b)
        product = self._mul(a, b)
        if self.contract or self.gather:
            return self._pull_sum(product)
        return self._distribute(product)

    def _pull_sum(self, product: Term) -> Term:
        """A product with a sum among its factors as a sum over the product.

        With ``gather``, only what divides a sum of exponentials inside goes under the sum.
        """
        factors = list(factors_of(product))
        for chosen in factors:
            if len(factors) == 1 or chosen.op != "Reduce" or chosen.children[0] is not SUM:
                continue
            axis = str(chosen.args[1])
            others = list(factors)
            others.remove(chosen)
            body = chosen.children[1]
            if self.gather:
                inner = list(factors_of(body))
                moved = [f for f in others if _divides(f, inner)]
                if moved and self.allows("sum-mul", x=axis, c=product_of(moved), a=body):
                    kept, rest = [f for f in others if f not in moved], product_of(moved)
                    self._mul(rest, chosen)
                    self.back("sum-mul", x=axis, c=rest, a=body)
                    inside = self.reduce(SUM, axis, self.mul(rest, body))
                    if not kept:
                        return inside
                    self._mul(product_of(kept), self._mul(rest, chosen))
                    return self.mul(product_of(kept), inside)
                continue
            rest = product_of(others)
            # A number comes out of a sum again.
            if rest.op == "Constant" or not self.judge.context.stands_alone(axis):
                continue
            self._mul(rest, chosen)
            if axis in rest.axes:
                axis, body = self._renamed(axis, body, rest.axes)
            if not self.allows("sum-mul", x=axis, c=rest, a=body):
                continue
            self.back("sum-mul", x=axis, c=rest, a=body)
            return self.reduce(SUM, axis, self.mul(rest, body))
        return self._distribute(product)

    def _renamed(self, axis: str, body: Term, taken: Iterable[str]) -> tuple[str, Term]:
        """A sum over another axis of the same size, its body in normal form."""
        name = self.fresh_axis(axis, {*taken, *body.axes, *bound_axes(body)})
        right = self.apply("reduce-rename", m=SUM, x=axis, y=name, a=body)
        return name, self(right.children[1])

    def fresh_axis(self, like: str, taken: Iterable[str]) -> str:
        """An axis of the size of ``like`` whose name is not taken."""
        used = set(taken)
        axes = self.judge.context.axes
        label = like.split(".", maxsplit=1)[0]
        name = next(n for k in count() if (n := f"{label}.{k}") not in used)
        assert isinstance(axes, dict)
        axes.setdefault(name, axes[like])
        return name

    def _associate(self, factors: list[Term]) -> bool:
        facts = self.judge.facts
        if all(facts.holds("no-infinity", f) for f in factors):
            return True
        return sum(not facts.holds("positive-or-undefined", f) for f in factors) <= 1

    def _mul_extended(self, a: Term, b: Term) -> Term:
        """A product that does not regroup, for −∞: only its order is settled."""
        if _factor_key(a) > _factor_key(b):
            self.apply("mul-comm", a=a, b=b)
            a, b = b, a
        return mul(a, b)

    def _mul(self, a: Term, b: Term) -> Term:
        if a.op != "Mul":
            return self._insert(a, b)
        head, rest = a.children
        self.apply("mul-assoc", a=head, b=rest, c=b)
        return self._insert(head, self._mul(rest, b))

    def _insert(self, f: Term, comb: Term) -> Term:
        """f·comb for a factor f."""
        if f is ONE:
            return self.apply("mul-one", a=comb)
        if f is ZERO and self.real(comb):
            return self.apply("mul-zero", a=comb)
        if comb.op != "Mul":
            met = self._meet(f, comb)
            if met is not None:
                return met
            if _factor_key(f) <= _factor_key(comb):
                return mul(f, comb)
            self.apply("mul-comm", a=f, b=comb)
            return self._insert(comb, f)
        g, rest = comb.children
        met = self._meet(f, g)
        if met is not None:
            self.back("mul-assoc", a=f, b=g, c=rest)
            return self._mul(met, rest)
        if _factor_key(f) <= _factor_key(g):
            return mul(f, comb)
        self.back("mul-assoc", a=f, b=g, c=rest)
        self.apply("mul-comm", a=f, b=g)
        self.apply("mul-assoc", a=g, b=f, c=rest)
        return self._insert_sorted(g, self._insert(f, rest))

    def _insert_sorted(self, g: Term, comb: Term) -> Term:
        head = comb.children[0] if comb.op == "Mul" else comb
        if _factor_key(g) <= _factor_key(head) and self._meet_name(g, head) is None:
            return mul(g, comb)
        return self._insert(g, comb)

    def _meet_name(self, f: Term, g: Term) -> str | None:
        """The law by which two neighbouring factors become one."""
        if f.op == g.op == "Constant":
            return "mul-constants"
        if g is inverse_of(f) and self.judge.facts.holds("nonzero", f):
            return "inverse-cancel"
        if f is inverse_of(g) and self.judge.facts.holds("nonzero", g):
            return "inverse-cancel-left"
        if g.op == "Not" and g.children[0] is f and self.judge.facts.holds("boolean", f):
            return "boolean-contradiction"
        if f.op == "Not" and f.children[0] is g and self.judge.facts.holds("boolean", g):
            return "boolean-contradiction-left"
        if f.op == g.op == "Exp" and _scaled(f.children[0])[1] is _scaled(g.children[0])[1]:
            return "exp-collect"
        if self.parts and f.op == "Exp" and g.op == "Inverse" and g.children[0].op == "Exp":
            (weight,) = g.children
            if _scaled(f.children[0])[1] is _scaled(weight.children[0])[1]:
                return "exp-cancel"
        if f.op == g.op == "Predicate" and f is not g:
            return self._tests_meet(str(f.args[0]), str(g.args[0]))
        if self.signs and f is not g and _is_sign(f) and _is_sign(g) and _part(f) is _part(g):
            return "signs"
        if f is g:
            if self.judge.facts.holds("boolean", f):
                return "boolean-idempotent"
            if f.op == "Sqrt" and self.allows("sqrt-square", a=f.children[0]):
                return "sqrt-square"
            if f.op == "Abs" and self.allows("abs-square", a=f.children[0]):
                return "abs-square"
            if self.parts and f.op == "Function" and f.args[0] == "sin":
                return "sin-square"
        return None

    def _tests_meet(self, p: str, q: str) -> str | None:
        """Whether a bound holds where another on the same does, or cannot hold with it."""
        if _bounded(p)[0] != _bounded(q)[0]:
            return None
        if self.allows("predicate-implied", p=p, q=q):
            return "predicate-implied"
        if self.allows("predicate-implied", p=q, q=p):
            return "predicate-implied-left"
        return "predicate-excluded" if self.allows("predicate-excluded", p=p, q=q) else None

    def _meet(self, f: Term, g: Term) -> Term | None:
        name = self._meet_name(f, g)
        if name is None:
            return None
        if name == "mul-constants":
            return self.apply(name, a=f.args[0], b=g.args[0])
        if name == "inverse-cancel":
            return self.apply(name, a=f)
        if name == "signs":
            return self._signs_meet(f, g)
        if name.startswith("predicate"):
            if name.endswith("-left"):
                self.apply("mul-comm", a=f, b=g)
                f, g = g, f
            p, q = str(f.args[0]), str(g.args[0])
            return self.apply(name.removesuffix("-left"), p=p, q=q)
        if name.endswith("-left"):
            self.apply("mul-comm", a=f, b=g)
            return self.apply(name.removesuffix("-left"), a=g)
        if name in {"exp-collect", "exp-cancel"}:
            s, t = f.children[0], g.children[0]
            if name == "exp-cancel":
                # 1/exp(a) = exp(−a)
                t = self.mul(MINUS_ONE, t.children[0])
                self.exp(t)
            total = self._collect(s, t)
            if total is None:
                return None
            self.back("exp-add", a=s, b=t)
            return self.exp(total)
        if name in {"boolean-idempotent", "boolean-contradiction"}:
            return self.apply(name, a=f)
        (inner,) = f.children
        result = self.apply(name, a=inner)
        if name == "sin-square":
            cosine = self.function("cos", inner)
            return self.add(ONE, self.mul(MINUS_ONE, self.mul(cosine, cosine)))
        return self.mul(inner, inner) if name == "abs-square" else result

    def _distribute(self, product: Term) -> Term:
        """A number times a sum is a sum; with ``expand``, other factors times a sum."""
        factors = list(factors_of(product))
        sums = [f for f in factors if f.op == "Add"]
        if not sums:
            return self._hoist_product(product, factors)
        numeric = len(factors) == 2 and factors[0].op == "Constant"
        if not numeric and (
            len(factors) == 1
            or self.expand == "numbers"
            or (self.expand == "linear" and len(sums) > 1)
        ):
            return product
        chosen = sums[0]
        others = list(factors)
        others.remove(chosen)
        rest = product_of(others)
        a, b = chosen.children
        if not self.allows("distribute", a=rest, b=a, c=b):
            return product
        self._mul(rest, chosen)
        self.apply("distribute", a=rest, b=a, c=b)
        return self.add(self.mul(rest, a), self.mul(rest, b))

    def _hoist_product(self, product: Term, factors: list[Term]) -> Term:
        """A positive factor goes into a choice against −∞; exp(−max) cancels beside 1/Σ exp."""
        for choice in factors:
            if _is_masked(choice) and len(factors) > 1:
                others = list(factors)
                others.remove(choice)
                rest = product_of(others)
                if self.judge.facts.holds("positive", rest):
                    c, a, b = choice.children
                    self._mul(rest, choice)
                    self.apply("select-mul", d=rest, c=c, a=a, b=b)
                    self.apply("mul-negative-infinity", a=rest)
                    return self.select(c, self.mul(rest, a), NEGATIVE_INFINITY)
        for index in factors:
            if index.op == "Index":
                above = term("Predicate", str(size(str(index.args[0])) - 1))
                if above in factors and self.allows("index-positive", p=index.args[0]):
                    return self._drop(above, index, factors)
        for shift in factors:
            cancelled = self._cancel_shift(shift, factors)
            if cancelled is not None:
                return cancelled
        for zero in factors if self.signs else ():
            if _is_sign(zero) and zero.op == "Equal":
                settled = self._at_boundary(zero, factors)
                if settled is not None:
                    return settled
        return self._divided(factors) or product

    def _divided(self, factors: list[Term]) -> Term | None:
        """A quotient by a sum whose leading summand divides what stands beside it, divided out.

        With a/(a + b) = 1 − b/(a + b), where a comes after all of b in an order that products keep.
        """
        for divisor in factors if self.parts else ():
            (total,) = divisor.children if divisor.op == "Inverse" else (divisor,)
            if total.op != "Add" or divisor.op != "Inverse":
                continue
            summands = list(_summands(total))
            lead = max(summands, key=_degree)
            rest, others = _sum_comb([s for s in summands if s is not lead]), list(factors)
            others.remove(divisor)
            number, monomial = _scaled(lead)
            chosen = [] if lead.op == "Constant" else list(factors_of(monomial))
            if not chosen or any(others.count(f) < chosen.count(f) for f in chosen):
                continue
            for f in chosen:
                others.remove(f)
            # Σ = lead + rest, so that lead/Σ = 1 − rest/Σ.
            self._add(lead, rest)
            self.apply("quotient-part", a=lead, b=rest)
            whole = self.add(ONE, self.mul(MINUS_ONE, self.mul(rest, divisor)))
            scale = product_of([constant(1 / number), *others])
            self._mul(scale, self._mul(lead, divisor))
            return self.mul(scale, whole)
        return None

    def _drop(self, above: Term, index: Term, factors: list[Term]) -> Term:
        """An index times whether it is at least 1 is the index."""
        self.apply("index-positive", p=index.args[0])
        chosen, others = [index, above], list(factors)
        for factor in chosen:
            others.remove(factor)
        if not others:
            self._regroup(factors, chosen)
            return index
        rest = product_of(others)
        self._mul(product_of(sorted(chosen, key=_factor_key)), rest)
        self._regroup(chosen, chosen)
        return self.mul(index, rest)

    def _cancel_shift(self, shift: Term, factors: list[Term]) -> Term | None:
        """1/exp(max s) and its inverse go where 1/Σ exp(s) is beside them."""
        if shift.op != "Inverse" or shift.children[0].op != "Exp":
            return None
        (top,) = shift.children[0].children
        if top.op != "Reduce" or top.children[0] is not MAX or inverse(shift) not in factors:
            return None
        axis, score = str(top.args[1]), top.children[1]
        # Normalising also makes Σ exp(s), as the law writes it, equal to its normal form.
        total = self.inverse(self.reduce(SUM, axis, self.exp(score)))
        if total not in factors:
            return None
        chosen = [shift, inverse(shift), total]
        others = list(factors)
        for factor in chosen:
            others.remove(factor)
        self.apply("shift-cancel", x=axis, s=score)
        if not others:
            self._regroup(factors, chosen)
            return total
        rest = product_of(others)
        self._regroup(chosen, chosen)
        self._mul(product_of(chosen), rest)
        return self.mul(total, rest)

    def _regroup(self, factors: list[Term], order: list[Term]) -> None:
        """Log that the sorted comb of factors is the comb in another order."""
        first, *rest = order
        sorted_rest = product_of(sorted(rest, key=_factor_key))
        if len(rest) > 1:
            self._regroup(rest, rest)
        self._mul(first, sorted_rest)

    # Sums -------------------------------------------------------------------------------------

    def add(self, a: Term, b: Term) -> Term:
        """a + b for normal a and b."""
        return self._hoist_sum(self._add(a, b))

    def _add(self, a: Term, b: Term) -> Term:
        if a.op != "Add":
            return self._insert_summand(a, b)
        head, rest = a.children
        self.apply("add-assoc", a=head, b=rest, c=b)
        return self._insert_summand(head, self._add(rest, b))

    def _insert_summand(self, f: Term, comb: Term) -> Term:
        if f is ZERO:
            return self.apply("add-zero", a=comb)
        if comb is ZERO:
            self.apply("add-comm", a=f, b=comb)
            return self.apply("add-zero", a=f)
        if comb.op != "Add":
            met = self._collect(f, comb)
            if met is not None:
                return met
            if _summand_key(f) <= _summand_key(comb):
                return add(f, comb)
            return self.apply("add-comm", a=f, b=comb)
        g, rest = comb.children
        met = self._collect(f, g)
        if met is not None:
            self.back("add-assoc", a=f, b=g, c=rest)
            return self._add(met, rest)
        if _summand_key(f) <= _summand_key(g):
            return add(f, comb)
        self.back("add-assoc", a=f, b=g, c=rest)
        self.apply("add-comm", a=f, b=g)
        self.apply("add-assoc", a=g, b=f, c=rest)
        moved = self._insert_summand(f, rest)
        return self._insert_summand(g, moved)

    def _collect(self, f: Term, g: Term) -> Term | None:
        """Two summands as one, where they differ by a number only."""
        if f.op == g.op == "Constant":
            return self.apply("add-constants", a=f.args[0], b=g.args[0])
        if f.op == "Constant" or g.op == "Constant":
            return None
        (a, x), (b, y) = _scaled(f), _scaled(g)
        if x is not y or not self.allows("collect", a=a, b=b, x=x):
            return None
        total = a + b
        if total == 0 and not self.real(x):
            return None
        for c in (a, b):
            if c == 1:
                self.apply("mul-one", a=x)
        self.apply("collect", a=a, b=b, x=x)
        if total == 0:
            return self.apply("mul-zero", a=x)
        if total == 1:
            return self.apply("mul-one", a=x)
        return self.mul(constant(total), x)

    def _hoist_sum(self, total: Term) -> Term:
        """A choice against −∞ goes outside of a sum; −∞ absorbs."""
        if total.op != "Add":
            return total
        first, second = total.children
        truth = second.children[-1] if second.op == "Mul" else None
        complement = first is ONE and truth is not None and second is mul(MINUS_ONE, truth)
        complement = complement and not (self.signs and truth is not None and _is_sign(truth))
        if complement and truth is not None and self.allows("not-boolean", a=truth):
            self.apply("not-boolean", a=truth)
            return self.negation(truth)
        summands = list(_summands(total))
        complemented = self._complement(summands)
        if complemented is not None:
            return complemented
        for choice in summands:
            if choice is not NEGATIVE_INFINITY and not _is_masked(choice):
                continue
            others = list(summands)
            others.remove(choice)
            rest = others[-1]
            for other in reversed(others[:-1]):
                rest = add(other, rest)
            if not self.judge.facts.holds("defined", rest):
                continue
            self._add(rest, choice)
            if choice is NEGATIVE_INFINITY:
                self.apply("add-comm", a=rest, b=choice)
                return self.apply("add-negative-infinity", a=rest)
            c, a, b = choice.children
            self.apply("select-add", d=rest, c=c, a=a, b=b)
            self.apply("add-comm", a=rest, b=b)
            self.apply("add-negative-infinity", a=rest)
            return self.select(c, self.add(rest, a), NEGATIVE_INFINITY)
        return total

    def _complement(self, summands: list[Term]) -> Term | None:
        """A sum of a predicate and its opposite: the opposite is 1 less the predicate."""
        for f in summands:
            p = _scaled(f)[1]
            if p.op != "Predicate":
                continue
            opposite = term("Predicate", str(-1 - size(str(p.args[0]))))
            g = next((g for g in summands if _scaled(g)[1] is opposite), None)
            if g is None:
                continue
            others = list(summands)
            others.remove(g)
            rest = _sum_comb(others)
            self._add(rest, g)
            self.apply("predicate-not", p=p.args[0])
            self.apply("not-boolean", a=p)
            less = add(ONE, mul(MINUS_ONE, p))
            return self.add(rest, self.mul(constant(_scaled(g)[0]), less))
        return None

    # Functions --------------------------------------------------------------------------------

    def inverse(self, a: Term) -> Term:
        """1/a: of a product, the product of the inverses."""
        if a.op == "Constant" and a.args[0] != 0:
            return self.apply("inverse-constant", a=a.args[0])
        if a.op == "Inverse" and self.allows("inverse-inverse", a=a.children[0]):
            return self.apply("inverse-inverse", a=a.children[0])
        if a.op == "Mul":
            head, rest = a.children
            self.apply("inverse-mul", a=head, b=rest)
            return self.mul(self.inverse(head), self.inverse(rest))
        if a.op == "Add":
            divisors = [
                factor.children[0]
                for summand in _summands(a)
                for factor in factors_of(summand)
                if factor.op == "Inverse"
                and self.allows("inverse-clear", a=a, x=factor.children[0])
            ]
            if divisors:
                x = divisors[0]
                self.apply("inverse-clear", a=a, x=x)
                return self.mul(x, self.inverse(self._spread(x, a)))
        return self._by_sign("select-inverse", a, self.inverse) or inverse(a)

    def _spread(self, factor: Term, total: Term) -> Term:
        """A factor times a sum, written out."""
        if total.op != "Add" or not self.allows(
            "distribute", a=factor, b=total.children[0], c=total.children[1]
        ):
            return self.mul(factor, total)
        head, rest = total.children
        self.apply("distribute", a=factor, b=head, c=rest)
        return self.add(self.mul(factor, head), self._spread(factor, rest))

    def exp(self, a: Term) -> Term:
        """exp of a sum is a product; of a negative multiple, an inverse."""
        if a is ZERO:
            return self.apply("exp-zero")
        if a is NEGATIVE_INFINITY:
            return self.apply("exp-negative-infinity")
        if a.op == "Log" and self.allows("exp-log", a=a.children[0]):
            return self.apply("exp-log", a=a.children[0])
        if a.op == "Add":
            head, rest = a.children
            self.apply("exp-add", a=head, b=rest)
            return self.mul(self.exp(head), self.exp(rest))
        if _is_masked(a):
            c, then, otherwise = a.children
            self.apply("select-exp", c=c, a=then, b=otherwise)
            return self.select(c, self.exp(then), self.exp(otherwise))
        number, x = _scaled(a)
        if number == Fraction(1, 2) and x.op == "Log":
            self.apply("exp-half-log", a=x.children[0])
            return self.sqrt(x.children[0])
        if 1 < number <= LARGEST_POWER and x.op == "Log" and self.exp(x) is not exp(x):
            part = self.mul(constant(number - 1), x)
            self.add(x, part)
            self.apply("exp-add", a=x, b=part)
            return self.mul(self.exp(x), self.exp(part))
        if number < 0:
            right = self.apply("exp-negative", c=number, a=x)
            (under,) = right.children
            (scaled,) = under.children
            positive = self._mul(*scaled.children)
            return self.inverse(self.exp(positive))
        return self._by_sign("select-exp", a, self.exp) or exp(a)

    def log_of(self, a: Term) -> Term:
        """log of a product is a sum."""
        if a is ONE:
            return self.apply("log-one")
        if a.op == "Exp":
            return self.apply("log-exp", a=a.children[0])
        if a.op == "Inverse":
            self.apply("log-inverse", a=a.children[0])
            return self.mul(MINUS_ONE, self.log_of(a.children[0]))
        if a.op == "Mul" and self.allows("log-mul", a=a.children[0], b=a.children[1]):
            self.apply("log-mul", a=a.children[0], b=a.children[1])
            return self.add(*map(self.log_of, a.children))
        divided = self._by_sign("select-log", a, self.log_of)
        if divided is None and self.parts and a.op == "Add":
            divisors = (
                factor.children[0]
                for summand in _summands(a)
                for factor in factors_of(summand)
                if factor.op == "Inverse" and self.allows("log-clear", x=factor.children[0], a=a)
            )
            x = next(divisors, None)
            if x is not None:
                self.apply("log-clear", x=x, a=a)
                cleared = self.log_of(self._spread(x, a))
                return self.add(cleared, self.mul(MINUS_ONE, self.log_of(x)))
        return divided or term("Log", a)

    def sqrt(self, a: Term) -> Term:
        """The root of a product is the product of the roots."""
        if a.op == "Constant":
            try:
                return self.apply("sqrt-constant", a=a.args[0])
            except ValueError:
                return term("Sqrt", a)
        if a.op == "Inverse":
            self.apply("sqrt-inverse", a=a.children[0])
            return self.inverse(self.sqrt(a.children[0]))
        if a.op == "Mul":
            head, rest = a.children
            if head is rest and self.allows("sqrt-of-square", a=head):
                self.apply("sqrt-of-square", a=head)
                return self.absolute(head)
            if self.allows("sqrt-mul", a=head, b=rest):
                self.apply("sqrt-mul", a=head, b=rest)
                return self.mul(self.sqrt(head), self.sqrt(rest))
        return self._by_sign("select-sqrt", a, self.sqrt) or term("Sqrt", a)

    def function(self, name: str, a: Term) -> Term:
        """A function by its name, of no negative multiple where it is odd or even.

        With ``parts``, tanh is written with an exponential.
        """
        law = _SYMMETRIES.get(name)
        if law and self.judge.facts.holds("no-infinity", a) and _first_number(a) < 0:
            opposite = self._turned(a)
            if opposite is not None:
                self.apply(law, a=opposite)
                value = self.function(name, opposite)
                return value if law == "cos-even" else self.mul(MINUS_ONE, value)
        if self.parts and name == "tanh" and self.allows("tanh-parts", a=a):
            self.apply("tanh-parts", a=a)
            below = self.add(ONE, self.exp(self.mul(constant(2), a)))
            return self.add(ONE, self.mul(constant(-2), self.inverse(below)))
        return term("Function", name, a)

    def _turned(self, a: Term) -> Term | None:
        """−a, where −(−a) is a again: of a product that is undefined it may not be."""
        opposite = self.mul(MINUS_ONE, a)
        back = _first_number(opposite) > 0 and self.mul(MINUS_ONE, opposite) is a
        return opposite if back else None

    def absolute(self, a: Term) -> Term:
        """|a| is a where it is known not to be negative; of a product, the product."""
        if a.op == "Constant":
            return self.apply("abs-constant", a=a.args[0])
        if self.allows("abs-nonnegative", a=a):
            return self.apply("abs-nonnegative", a=a)
        if a.op == "Mul" and self.allows("abs-mul", a=a.children[0], b=a.children[1]):
            self.apply("abs-mul", a=a.children[0], b=a.children[1])
            return self.mul(*map(self.absolute, a.children))
        if self.parts:
            self.apply("abs-parts", a=a)
            twice = self.mul(constant(2), self.maximum(a, ZERO))
            return self.add(twice, self.mul(MINUS_ONE, a))
        return term("Abs", a)

    def maximum(self, a: Term, b: Term) -> Term:
        """The larger of two, as a sorted comb without repetition, or with a positive part."""
        if self.signs and self.real(a) and self.real(b):
            self.back("select-larger", a=a, b=b)
            return self.select(self.less(a, b), b, a)
        if self.parts and self.real(a) and self.real(b):
            return self._above(a, b)
        if a.op == "Maximum":
            head, rest = a.children
            self.apply("maximum-assoc", a=head, b=rest, c=b)
            return self._insert_maximum(head, self.maximum(rest, b))
        return self._insert_maximum(a, b)

    def _above(self, a: Term, b: Term) -> Term:
        """max(a, b) = b + max(a − b, 0) for numbers a and b."""
        if a is ZERO:
            self.apply("maximum-comm", a=a, b=b)
            a, b = b, a
        if b is ZERO:
            return self._positive(a)
        above = self.add(a, self.mul(MINUS_ONE, b))
        self.add(b, above)
        self.add(b, ZERO)
        self.apply("maximum-add", c=b, a=above, b=ZERO)
        return self.add(b, self._positive(above))

    def _positive(self, a: Term) -> Term:
        """max(a, 0), where the first number of a becomes 1."""
        if a.op == "Constant":
            return self.apply("maximum-constants", a=a.args[0], b=Fraction(0))
        number = _scaled(next(s for s in _summands(a) if s.op != "Constant"))[0]
        if abs(number) != 1:
            scale, part = constant(abs(number)), self.mul(constant(1 / abs(number)), a)
            self.mul(scale, part)
            self.mul(scale, ZERO)
            self.apply("maximum-mul", c=scale, a=part, b=ZERO)
            return self.mul(scale, self._positive(part))
        if number == -1:
            opposite = self.mul(MINUS_ONE, a)
            self.add(a, opposite)
            self.add(a, ZERO)
            # max(a − a, a + 0) = a + max(−a, 0)
            self.apply("maximum-comm", a=a, b=ZERO)
            self.apply("maximum-add", c=a, a=opposite, b=ZERO)
            return self.add(a, self._positive(opposite))
        return self.apply("maximum-comm", a=a, b=ZERO)

    def _insert_maximum(self, f: Term, comb: Term) -> Term:
        head = comb.children[0] if comb.op == "Maximum" else comb
        met: Term | None = None
        if f is NEGATIVE_INFINITY:
            return self.apply("maximum-negative-infinity", a=comb)
        if f is head:
            met = self.apply("maximum-idempotent", a=f)
        elif f.op == head.op == "Constant":
            met = self.apply("maximum-constants", a=f.args[0], b=head.args[0])
        elif self._opposite(f, head) or self._opposite(head, f):
            if self._opposite(head, f):
                self.apply("maximum-comm", a=f, b=head)
            base = f if self._opposite(f, head) else head
            if self.allows("maximum-abs", a=base):
                self.apply("maximum-abs", a=base)
                met = self.absolute(base)
        if met is not None:
            if comb.op != "Maximum":
                return met
            rest = comb.children[1]
            self.back("maximum-assoc", a=f, b=head, c=rest)
            return self.maximum(met, rest)
        if _summand_key(f) <= _summand_key(head):
            return term("Maximum", f, comb)
        if comb.op != "Maximum":
            return self.apply("maximum-comm", a=f, b=comb)
        rest = comb.children[1]
        self.back("maximum-assoc", a=f, b=head, c=rest)
        self.apply("maximum-comm", a=f, b=head)
        self.apply("maximum-assoc", a=head, b=f, c=rest)
        return self._insert_maximum(head, self._insert_maximum(f, rest))

    @staticmethod
    def _opposite(a: Term, b: Term) -> bool:
        return b.op == "Mul" and b.children[0] is MINUS_ONE and b.children[1] is a

    def minimum(self, a: Term, b: Term) -> Term:
        """min(a, b) = −max(−a, −b)."""
        if not self.allows("minimum-maximum", a=a, b=b):
            return term("Minimum", a, b)
        self.apply("minimum-maximum", a=a, b=b)
        lower = self.maximum(self.mul(MINUS_ONE, a), self.mul(MINUS_ONE, b))
        return self.mul(MINUS_ONE, lower)

    # Truth values -----------------------------------------------------------------------------

    def predicate(self, text: str) -> Term:
        """A comparison of sizes and indices, decided where the context decides it."""
        for name in ("predicate-true", "predicate-false"):
            if self.allows(name, p=text):
                return self.apply(name, p=text)
        return self._digits(text) or term("Predicate", text)

    def _digits(self, text: str, both: bool = False) -> Term | None:
        """A comparison of two-digit numbers by its first digits, where the last are compared.

        Where that depends on the indices, it is written out if ``both`` is asked for.
        """
        p, context = size(text), self.judge.context
        for x in sorted(filter(is_axis, p.variables)):
            base = context.axes[x]
            if base.constant in {0, 1}:
                continue
            shares = [divide(Polynomial({m: c}), base) for m, c in p.terms]
            q = sum((share for share in shares if share is not None), size(0))
            if not any(map(is_axis, q.variables)):
                continue
            r = p - base * q
            known = context.nonnegative(r) or context.nonnegative(-1 - r)
            if (known or both) and self.allows("predicate-digits", p=text, q=str(q), x=x):
                parts = self.apply("predicate-digits", p=text, q=str(q), x=x).children
                last, first, before = (self.predicate(str(t.args[0])) for t in parts)
                if last.op == "Constant":
                    return self.select(last, first, before)
                return self._blend(last, first, before)
        return None

    def _blend(self, c: Term, a: Term, b: Term) -> Term:
        """A choice between truth values as c·a + b − b·c."""
        self.apply("select-boolean", c=c, a=a, b=b)
        self.back("not-boolean", a=c)
        opposite = mul(MINUS_ONE, c)
        self.apply("mul-comm", a=term("Not", c), b=b)
        self.apply("distribute", a=b, b=ONE, c=opposite)
        rest = self.add(self.mul(b, ONE), self.mul(b, self.mul(MINUS_ONE, c)))
        return self.add(self.mul(c, a), rest)

    def negation(self, a: Term) -> Term:
        """not a."""
        if a.op == "Predicate":
            return self.predicate(str(self.apply("predicate-not", p=a.args[0]).args[0]))
        if a in (ZERO, ONE):
            return self.apply("not-true" if a is ONE else "not-false")
        if a.op == "Not" and self.allows("not-not", a=a.children[0]):
            return self.apply("not-not", a=a.children[0])
        if self.allows("not-nonzero", a=a):
            return self.apply("not-nonzero", a=a)
        if self.signs and _is_sign(a) and self.judge.facts.holds("boolean", a):
            self.back("not-boolean", a=a)
            return self.add(ONE, self.mul(MINUS_ONE, a))
        if self.signs and self._sign_in(a) is not None:
            self.apply("not-select", a=a)
            return self.select(a, ZERO, ONE)
        return term("Not", a)

    def both(self, a: Term, b: Term) -> Term:
        """a and b = a·b."""
        if self.allows("and-boolean", a=a, b=b):
            self.apply("and-boolean", a=a, b=b)
            return self.mul(a, b)
        if self._has_signs(a, b) and self.allows("and-select", a=a, b=b):
            self.apply("and-select", a=a, b=b)
            return self.select(a, self.select(b, ONE, ZERO), ZERO)
        return term("And", a, b)

    def either(self, a: Term, b: Term) -> Term:
        """a or b = not (not a · not b)."""
        if self.allows("or-boolean", a=a, b=b):
            self.apply("or-boolean", a=a, b=b)
            return self.negation(self.mul(self.negation(a), self.negation(b)))
        if self._has_signs(a, b) and self.allows("or-select", a=a, b=b):
            self.apply("or-select", a=a, b=b)
            return self.select(a, ONE, self.select(b, ONE, ZERO))
        return term("Or", a, b)

    def equal(self, a: Term, b: Term) -> Term:
        """Equality of values, where it is decided."""
        if a is b and self.allows("equal-self", a=a):
            return self.apply("equal-self", a=a)
        if a.op == "Select" and b.op in {"Constant", "NegativeInfinity"}:
            c, then, otherwise = a.children
            self.apply("select-equal", c=c, a=then, b=otherwise, d=b)
            return self.select(c, self.equal(then, b), self.equal(otherwise, b))
        if b is NEGATIVE_INFINITY:
            if a is b:
                return self.apply("equal-infinities")
            if self.allows("equal-negative-infinity", a=a):
                return self.apply("equal-negative-infinity", a=a)
            if a.op == "Add":
                self.apply("equal-infinity-add", a=a.children[0], b=a.children[1])
                return self.either(*(self.equal(part, b) for part in a.children))
            if a.op == "Mul" and self.allows(
                "equal-infinity-mul", c=a.children[0], a=a.children[1]
            ):
                self.apply("equal-infinity-mul", c=a.children[0], a=a.children[1])
                return self.equal(a.children[1], b)
            if a.op == "Reduce" and a.children[0] is MAX:
                axis, body = str(a.args[1]), a.children[1]
                self.apply("equal-infinity-max", x=axis, a=body)
                return self.reduce(term("All"), axis, self.equal(body, b))
        if b is ZERO and (
            self.judge.facts.holds("boolean", a) or self.judge.facts.holds("nonzero", a)
        ):
            self.apply("equal-zero", a=a)
            return self.negation(a)
        if b is ONE and self.allows("equal-one", a=a):
            return self.apply("equal-one", a=a)
        if self.signs and self._is_quantity(a) and self._is_quantity(b):
            self.apply("equal-difference", a=a, b=b)
            return self._is_zero(self.add(a, self.mul(MINUS_ONE, b)))
        if a.digest > b.digest and b.op not in {"Constant", "NegativeInfinity"}:
            return self.apply("equal-comm", a=a, b=b)
        return term("Equal", a, b)

    def less(self, a: Term, b: Term) -> Term:
        """a < b: of −∞, that the other is not −∞."""
        if a is NEGATIVE_INFINITY:
            self.apply("less-infinity", a=b)
            return self.negation(self.equal(b, a))
        if a is b and self.allows("less-self", a=a):
            return self.apply("less-self", a=a)
        if a.op == "Abs":
            (inner,) = a.children
            self.apply("less-abs", a=inner, b=b)
            return self.mul(self.less(inner, b), self.less(self.mul(MINUS_ONE, inner), b))
        if b.op == "Abs":
            (inner,) = b.children
            self.apply("abs-less", a=inner, b=a)
            return self.either(self.less(a, inner), self.less(a, self.mul(MINUS_ONE, inner)))
        compared = self._less_index(a, b)
        if compared is None and self.signs and self._is_quantity(a) and self._is_quantity(b):
            self.apply("less-difference", a=a, b=b)
            return self._is_positive(self.add(b, self.mul(MINUS_ONE, a)))
        return compared or term("Less", a, b)

    def _less_index(self, a: Term, b: Term) -> Term | None:
        """A comparison of sums of indices and whole numbers, as one of sizes."""
        p, q = self._as_index(a), self._as_index(b)
        if p is None or q is None or (p.constant is not None and q.constant is not None):
            return None
        for side, index in ((a, p), (b, q)):
            if side is not self(term("Index", str(index))):
                return None
        less = self.apply("less-index", p=str(p), q=str(q))
        return self.predicate(str(less.args[0]))

    @staticmethod
    def _as_index(a: Term) -> Polynomial | None:
        """The polynomial that a normal form is, where it is one of indices and whole numbers."""
        total = size(0)
        for summand in _summands(a):
            value = size(1)
            for factor in factors_of(summand):
                if factor.op == "Index":
                    value = value * size(str(factor.args[0]))
                elif factor.op == "Constant":
                    number = factor.args[0]
                    assert isinstance(number, Fraction)
                    if number.denominator != 1:
                        return None
                    value = value * size(number.numerator)
                else:
                    return None
            total = total + value
        return total

    def select(self, c: Term, a: Term, b: Term) -> Term:
        """A choice between numbers is arithmetic; against −∞ it keeps −∞ last."""
        if c.op == "Constant":
            if c.args[0] == 0:
                return self.apply("select-false", a=a, b=b)
            return self.apply("select-true", c=c.args[0], a=a, b=b)
        if a is b and self.allows("select-same", c=c, a=a):
            return self.apply("select-same", c=c, a=a)
        if self.signs and not _is_sign(c) and (p := self._sign_in(c)) is not None:
            cases = self._cases_of(p, c)
            if cases is not None:
                self.apply("select-select", c=p, a=cases[0], b=cases[1], d=a, e=b)
                return self.select(p, *(self.select(case, a, b) for case in cases))
        if self.signs and self.allows("select-boolean", c=c, a=a, b=b):
            self.apply("select-boolean", c=c, a=a, b=b)
            return self.add(self.mul(c, a), self.mul(self.negation(c), b))
        if c.op == "Less" and (b, a) == c.children:
            self.apply("select-larger", a=b, b=a)
            return self.maximum(b, a)
        if c.op == "Less" and (a, b) == c.children:
            self.apply("select-smaller", a=a, b=b)
            return self.minimum(a, b)
        if c.op == "Not" and b is not NEGATIVE_INFINITY:
            self.apply("select-not", c=c.children[0], a=a, b=b)
            return self.select(c.children[0], b, a)
        if b is ONE and self.allows("select-or", c=c, a=a):
            self.apply("select-or", c=c, a=a)
            return self.either(self.negation(c), a)
        if self.allows("select-boolean", c=c, a=a, b=b):
            self.apply("select-boolean", c=c, a=a, b=b)
            return self.add(self.mul(c, a), self.mul(self.negation(c), b))
        if a is NEGATIVE_INFINITY and self.judge.facts.holds("boolean", c):
            self.back("select-not", c=c, a=b, b=a)
            return self.select(self.negation(c), b, a)
        known = self._within(c, a, b)
        return select(c, a, b) if known is None else self.select(c, known, b)

    def _within(self, c: Term, a: Term, b: Term) -> Term | None:
        """What a sum is where ``c`` holds, if that settles a truth value in it."""
        summands = list(_summands(a))
        truths = {(f, s) for s in summands for f in factors_of(s) if self._is_truth(f)}
        for truth, summand in sorted(truths, key=lambda pair: tuple(map(_factor_key, pair))):
            holds = self.mul(truth, c) is c
            if not holds and self.mul(self.negation(truth), c) is not c:
                continue
            factors, others = list(factors_of(summand)), list(summands)
            factors.remove(truth)
            others.remove(summand)
            part = product_of(factors or [ONE])
            rest = _sum_comb(others or [ZERO])
            if not holds and not self.real(part):
                continue
            self._mul(truth, part)
            self._add(summand, rest)
            self.apply(
                "select-within" if holds else "select-without", c=truth, d=c, a=part, b=rest, e=b
            )
            return self.add(part, rest) if holds else rest
        return None

    def _is_truth(self, a: Term) -> bool:
        return a.op != "Constant" and self.judge.facts.holds("boolean", a)

    # Signs ------------------------------------------------------------------------------------

    def _is_quantity(self, a: Term) -> bool:
        """Whether a number is one of a continuum, and not an index or a truth value."""
        if a.op in {"Constant", "Index"}:
            return a.op == "Constant"
        return self.real(a) and not self.judge.facts.holds("boolean", a)

    def _has_signs(self, *terms: Term) -> bool:
        return self.signs and any(self._sign_in(a) is not None for a in terms)

    def _sign_in(self, a: Term) -> Term | None:
        """The first of the signs that are factors of summands, by which a term is chosen."""
        if not self.signs:
            return None
        signs = {f for s in _summands(a) for f in factors_of(s) if _is_sign(f)}
        signs = {f for f in signs if self.judge.facts.holds("boolean", f)}
        return min(signs, key=_factor_key, default=None)

    def _cases_of(self, sign: Term, a: Term) -> tuple[Term, Term] | None:
        """What a sum is where a sign in it holds and where it does not: it is their choice."""
        then, otherwise = ZERO, ZERO
        for summand in _summands(a):
            factors = list(factors_of(summand))
            if sign in factors:
                factors.remove(sign)
                then = self.add(then, product_of(factors) if factors else ONE)
            else:
                then, otherwise = self.add(then, summand), self.add(otherwise, summand)
        if not self.allows("select-boolean", c=sign, a=then, b=otherwise):
            return None
        self.apply("select-boolean", c=sign, a=then, b=otherwise)
        whole = self.add(self.mul(sign, then), self.mul(self.negation(sign), otherwise))
        return (then, otherwise) if whole is a else None

    def _by_sign(self, law: str, a: Term, function: Callable[[Term], Term]) -> Term | None:
        """A function of what a sign decides, chosen by the sign."""
        sign = self._sign_in(a)
        cases = sign and self._cases_of(sign, a)
        if not sign or not cases:
            return None
        self.apply(law, c=sign, a=cases[0], b=cases[1])
        return self.select(sign, *map(function, cases))

    def _is_positive(self, d: Term) -> Term:
        """0 < d, with the first number of d made 1 and constants and signs decided."""
        if d is ZERO:
            return self.apply("less-self", a=ZERO)
        if self.allows("less-positive", a=d):
            return self.apply("less-positive", a=d)
        sign = self._sign_in(d)
        cases = sign and self._cases_of(sign, d)
        if sign and cases:
            self.apply("select-less", d=ZERO, c=sign, a=cases[0], b=cases[1])
            return self.select(sign, *map(self._is_positive, cases))
        number = _first_number(d)
        scale, part = constant(abs(number)), self.mul(constant(1 / abs(number)), d)
        if abs(number) != 1 and abs(_first_number(part)) == 1 and self.mul(scale, part) is d:
            self.apply("less-scale", c=scale, a=part)
            return self._is_positive(part)
        factors = list(factors_of(d))
        positive = [f for f in factors if self.judge.facts.holds("positive", f)]
        if positive:
            rest = product_of([f for f in factors if f not in positive])
            self._mul(product_of(positive), rest)
            self.apply("less-scale", c=product_of(positive), a=rest)
            return self._is_positive(rest)
        opposite = self._turned(d) if number == -1 else None
        if opposite is not None:
            self.apply("less-opposite", a=opposite)
            either = self.add(self._is_positive(opposite), self._is_zero(opposite))
            return self.add(ONE, self.mul(MINUS_ONE, either))
        if d.op == "Add" and d.children[0] is MINUS_ONE and d.children[1].op == "Exp":
            (exponent,) = d.children[1].children
            self.apply("less-exp", a=exponent)
            return self._is_positive(exponent)
        return term("Less", ZERO, d)

    def _is_zero(self, d: Term) -> Term:
        """d = 0, with the first number of d made 1 and constants and signs decided."""
        if d is ZERO:
            return self.apply("equal-self", a=ZERO)
        if self.allows("not-nonzero", a=d):
            self.apply("equal-zero", a=d)
            return self.apply("not-nonzero", a=d)
        sign = self._sign_in(d)
        cases = sign and self._cases_of(sign, d)
        if sign and cases:
            self.apply("select-equal", c=sign, a=cases[0], b=cases[1], d=ZERO)
            return self.select(sign, *map(self._is_zero, cases))
        number = _first_number(d)
        scale, part = constant(number), self.mul(constant(1 / number), d)
        if number != 1 and _first_number(part) == 1 and self.mul(scale, part) is d:
            self.apply("equal-scale", c=scale, a=part)
            return self._is_zero(part)
        factors = list(factors_of(d))
        nonzero = [f for f in factors if self.judge.facts.holds("nonzero", f)]
        if nonzero:
            rest = product_of([f for f in factors if f not in nonzero])
            self._mul(product_of(nonzero), rest)
            self.apply("equal-scale", c=product_of(nonzero), a=rest)
            return self._is_zero(rest)
        if d.op == "Add" and d.children[0] is MINUS_ONE and d.children[1].op == "Exp":
            (exponent,) = d.children[1].children
            self.apply("equal-one-exp", a=exponent)
            return self._is_zero(exponent)
        return term("Equal", d, ZERO)

    def _signs_meet(self, f: Term, g: Term) -> Term:
        """Two signs of what differs by a number, as the one that settles the other."""
        (a, c), (b, d) = _signed(f), _signed(g)
        if (f.op == "Less" and g.op == "Equal") or (f.op == g.op == "Less" and c > d):
            self.apply("mul-comm", a=f, b=g)
            (a, c), (b, d), f, g = (b, d), (a, c), g, f
        above = constant(d - c)
        self.add(above, a)
        if f.op == "Less":
            return self.apply("less-less", a=a, c=d - c)
        if g.op == "Less":
            self.apply("equal-less", a=a, c=above)
            return self.mul(f, self._is_positive(above))
        self.apply("equal-equal", a=a, c=above)
        return self.mul(f, self._is_zero(above))

    def _at_boundary(self, zero: Term, factors: list[Term]) -> Term | None:
        """A product with whether d = 0, where other factors are what they are at d = 0."""
        d = zero.children[0]
        summands = list(_summands(d))
        lead = max(summands, key=_degree)
        number, monomial = _scaled(lead)
        rest = _sum_comb([s for s in summands if s is not lead]) if len(summands) > 1 else ZERO
        others = list(factors)
        others.remove(zero)
        chosen = list(factors_of(monomial))
        if all(others.count(f) >= chosen.count(f) for f in chosen):
            for f in chosen:
                others.remove(f)
            self._add(lead, rest)
            self.apply("equal-factor", a=lead, b=rest)
            there = self.mul(zero, self.mul(MINUS_ONE, rest))
            scale = product_of([constant(1 / number), *others])
            self._mul(scale, self._mul(zero, lead))
            return self.mul(scale, there)
        for f in others:
            weight = f.children[0] if f.op == "Inverse" else f
            if weight.op != "Exp" or _scaled(weight.children[0])[1] is not monomial:
                continue
            share = _scaled(weight.children[0])[0] / number * (1 if weight is f else -1)
            # exp(share·lead) = exp(share·d)·exp(−share·rest), and the first is 1 where d = 0.
            whole, part = self.mul(constant(share), d), self.mul(constant(-share), rest)
            self.exp(self.add(whole, part))
            self.apply("exp-add", a=whole, b=part)
            self.apply("equal-exp", a=d, c=constant(share))
            there = self.exp(part)
            self.back("mul-assoc", a=zero, b=exp(whole), c=exp(part))
            remaining = list(others)
            remaining.remove(f)
            settled = self.mul(zero, there)
            if not remaining:
                self._mul(zero, f)
                return settled
            self._mul(product_of(remaining), self._mul(zero, f))
            return self.mul(product_of(remaining), settled)
        return None

    # Reductions -------------------------------------------------------------------------------

    def reduce(self, monoid: Term, axis: str, body: Term) -> Term:
        """A reduction with what does not depend on its axis taken outside."""
        simple = _CONSTANT_REDUCTIONS.get(monoid.op)
        if simple is not None and self.allows(simple, x=axis, c=body):
            right = self.apply(simple, x=axis, c=body)
            if simple != "sum-constant":
                return right
            return self.mul(self.index(str(right.children[0].args[0])), body)
        witnessed = self._witness(monoid, axis, body)
        if witnessed is not None:
            return witnessed
        if self.unroll and self._is_short(monoid, axis):
            right = self.apply("reduce-unroll", m=monoid, x=axis, a=body)
            return self(right)
        if monoid.op == "Any":
            self.apply("any-all", x=axis, a=body)
            return self.negation(self.reduce(term("All"), axis, self.negation(body)))
        body = self._forwards(monoid, axis, body)
        if monoid is SUM:
            return self._sum(axis, body)
        if monoid is MAX:
            return self._max(axis, body)
        opposite = monoid is MIN and (self.gather or self.parts)
        if opposite and self.allows("min-opposite", x=axis, a=body):
            self.apply("min-opposite", x=axis, a=body)
            return self.mul(MINUS_ONE, self.reduce(MAX, axis, self.mul(MINUS_ONE, body)))
        if monoid.op == "All" and (settled := self._self_equal(axis, body)) is not None:
            return settled
        result = self._sort_axes(monoid, axis, body)
        return self.known.get(result, result)

    def _witness(self, monoid: Term, axis: str, body: Term) -> Term | None:
        """∀ and ∃ decided by one index: the first, the last, or that of another axis."""
        law = {"All": "all-witness", "Any": "any-witness"}.get(monoid.op)
        if law is None:
            return None
        extent = self.judge.context.axes[axis]
        for w in ("0", str(extent - 1), *sorted(body.axes - {axis})):
            if self.allows(law, a=body, x=axis, w=w):
                return self.apply(law, a=body, x=axis, w=w)
        return None

    def _self_equal(self, axis: str, body: Term) -> Term | None:
        """That all hold as false, where one does not at an index that makes two sides equal."""
        extent = self.judge.context.axes[axis]
        equalities = [n for n in subterms(body) if n.op == "Equal" and axis in n.axes]
        for w in ("0", str(extent - 1), *sorted(body.axes - {axis})) if equalities else ():
            try:
                moved = [substitute(n, {axis: size(w)}).children for n in equalities]
            except ValueError:  # the index is bound inside
                continue
            if not any(a is b for a, b in moved) or not self.allows("all-index", a=body, x=axis):
                continue
            c, both, _ = self.apply("all-index", a=body, x=axis, w=w).children
            if self(c) is ONE and self(both.children[0]) is ZERO:
                self.apply("select-true", c=Fraction(1), a=both, b=both.children[1])
                return self.apply("mul-zero", a=both.children[1])
        return None

    def _is_short(self, monoid: Term, axis: str) -> bool:
        extent = self.judge.context.axes[axis].constant
        few = extent is not None and 1 <= extent <= 4
        return (
            few
            and monoid.op in {"Sum", "Product", "Max", "Min"}
            and self.judge.context.stands_alone(axis)
        )

    def _forwards(self, monoid: Term, axis: str, body: Term) -> Term:
        """The body with an axis that is read backwards more often than forwards turned around."""
        context = self.judge.context
        may = self.allows("reduce-reverse", m=monoid, x=axis, a=body)
        if not may or axis not in body.axes:
            return body
        balance = 0
        for node in subterms(body):
            if axis in node.axes and node.op in INDEX_TEXT:
                for p in indices_of(str(node.args[INDEX_TEXT[node.op]])):
                    if axis in p.variables:
                        balance += -1 if context.nonnegative(-p.coefficient(axis)) else 1
        if balance >= 0:
            return body
        try:
            right = self.apply("reduce-reverse", m=monoid, x=axis, a=body)
        except ValueError:
            return body
        return self(right.children[1])

    def _last(self, axis: str, body: Term) -> Term | None:
        """A sum over x ≤ y as the sum over x < y, and the term at y; over x = y, that term alone.

        With ``expand`` "all" only: where x < y remains, and the comparison of two-digit numbers
        written out for their digits.
        """
        inner = body
        while inner.op == "Reduce" and inner.children[0] is SUM:
            inner = inner.children[1]
        factors = list(factors_of(inner))
        for f in factors:
            if f.op != "Predicate" or axis not in f.axes:
                continue
            p = size(str(f.args[0]))
            digits = self._digits(str(p), both=True) if self.expand == "all" else None
            if digits is not None:
                if inner is not body:
                    return self._inwards(axis, body)
                rest = [g for g in factors if g is not f]
                self._mul(f, product_of(rest) if rest else ONE)
                product = self.mul(digits, product_of(rest)) if rest else digits
                return self.reduce(SUM, axis, product)
            y = next(iter((p + size(axis)).variables), "")
            single = term("Predicate", str(-p))
            if p + size(axis) is not size(y or 0) or not (
                single in factors or self.expand == "all"
            ):
                continue
            if inner is not body:
                return self._inwards(axis, body)
            rest = [g for g in factors if g is not f]
            a = product_of(rest) if rest else ONE
            if not self.allows("sum-last", x=axis, y=y, a=a):
                continue
            try:
                right = self.apply("sum-last", x=axis, y=y, a=a)
            except ValueError:  # y is bound inside
                continue
            self._mul(f, a)
            before, last = right.children
            less = before.children[1].children[0]
            if single in rest:
                self._contradiction(less, single, [g for g in rest if g is not single])
                before = ZERO
            else:
                before = self.mul(self.predicate(str(less.args[0])), a)
            return self.add(self.reduce(SUM, axis, before), self(last))
        return None

    def _inwards(self, axis: str, body: Term) -> Term | None:
        """A sum of sums with the outer one brought inside."""
        inner, a = str(body.args[1]), body.children[1]
        if not self.allows("reduce-swap", m=SUM, x=axis, y=inner, a=a):
            return None
        self.apply("reduce-swap", m=SUM, x=axis, y=inner, a=a)
        return self.reduce(SUM, inner, self.reduce(SUM, axis, a))

    def _contradiction(self, less: Term, single: Term, others: list[Term]) -> None:
        """Log that [x < y]·([x ≥ y]·…) is 0."""
        self.apply("predicate-not", p=less.args[0])
        self.apply("boolean-contradiction", a=less)
        if others:
            rest = product_of(others)
            self._mul(single, rest)
            self.back("mul-assoc", a=less, b=single, c=rest)
            self.mul(ZERO, rest)

    def _sum(self, axis: str, body: Term) -> Term:
        if body.op == "Add":
            a, b = body.children
            self.apply("sum-add", x=axis, a=a, b=b)
            return self.add(self.reduce(SUM, axis, a), self.reduce(SUM, axis, b))
        # A sum streams where the question whether an index is there would be a fold of its own.
        one = None if self.gather else self._one_hot(axis, body)
        if one is not None:
            return one
        split = self._last(axis, body)
        if split is not None:
            return split
        if body.op == "Mul":
            outside, inside = self._divide_factors(axis, list(factors_of(body)))
            if self.gather:
                inside = [f for f in factors_of(body) if f in inside or _divides(f, inside)]
                outside = [f for f in outside if f not in inside]
            if self.contract:  # everything stays under the sums but the number
                inside = [f for f in factors_of(body) if f.op != "Constant"]
                outside = [f for f in outside if f.op == "Constant"]
            if outside and inside:
                out, rest = product_of(outside), product_of(inside)
                if self.allows("sum-mul", x=axis, c=out, a=rest):
                    self._mul(out, rest)
                    self.apply("sum-mul", x=axis, c=out, a=rest)
                    return self.mul(out, self.reduce(SUM, axis, rest))
        if self.gather:
            body = self._gather(body)
        total = self._sort_axes(SUM, axis, body)
        if self.witness:
            return self._with_witness(total)
        return self._canonical(total) if self.contract else total

    def _one_hot(self, axis: str, body: Term) -> Term | None:
        """How many indices of an axis are the same value: whether one is."""
        position = term("Index", axis)
        if body.op != "Equal" or position not in body.children:
            return None
        a, b = body.children
        value = b if a is position else a
        if not self.allows("sum-one-hot", x=axis, t=value):
            return None
        if a is position:
            self.apply("equal-comm", a=a, b=b)
        self.apply("sum-one-hot", x=axis, t=value)
        return self.reduce(ANY, axis, body)

    def _with_witness(self, total: Term) -> Term:
        """A masked sum of positive numbers of which one is left, as at least the least of them."""
        facts = self.judge.facts
        masked = facts.holds("nonnegative-or-undefined", total) and not facts.holds(
            "positive-or-undefined", total
        )
        if not masked or total.op != "Reduce":
            return total
        axis, body = str(total.args[1]), total.children[1]
        factors = list(factors_of(body))
        truths = [f for f in factors if facts.holds("boolean", f)]
        if 0 < len(truths) < len(factors):
            c, a = product_of(truths), product_of([f for f in factors if f not in truths])
            live = term("Reduce", ANY, axis, c)
            if self.allows("sum-live", x=axis, c=c, a=a) and self(live) is ONE:
                self._mul(c, a)
                right = self.apply("sum-live", x=axis, c=c, a=a)
                return self.apply("select-true", c=Fraction(1), a=right.children[1], b=ZERO)
        return total

    def _canonical(self, total: Term) -> Term:
        """Nested sums with their axes named so that the body comes first in the order of terms."""
        bound, body = [], total
        while body.op == "Reduce" and body.children[0] is SUM:
            bound.append(str(body.args[1]))
            body = body.children[1]
        axes = self.judge.context.axes
        if len(set(bound)) != len(bound) or not all(map(self.judge.context.stands_alone, bound)):
            return total
        free = body.axes - set(bound)
        groups: dict[Polynomial, list[str]] = {}
        for axis in bound:
            groups.setdefault(axes[axis], []).append(axis)
        if prod(factorial(len(group)) for group in groups.values()) > 24:
            return total
        ways: list[dict[str, str]] = [{}]
        for group in groups.values():
            names: list[str] = []
            for _ in group:
                names.append(self.fresh_axis(group[0], {*free, *names}))
            ways = [w | dict(zip(order, names, strict=True)) for w in ways
                    for order in permutations(group)]  # fmt: skip
        forms: list[tuple[str, dict[str, str]]] = []
        for way in ways:
            try:
                moved = substitute(body, {old: size(new) for old, new in way.items()})
            except ValueError:  # a name is bound further inside
                continue
            forms.append((self(moved).digest, way))
        if not forms:
            return total
        _, best = min(forms, key=lambda form: form[0])
        if all(old == new for old, new in best.items()):
            return total
        return self._rename_all(bound, body, best)

    def _rename_all(self, bound: list[str], body: Term, names: Mapping[str, str]) -> Term:
        """The sums under other names, by way of names that nothing has."""
        everything = {*bound, *names.values(), *body.axes, *bound_axes(body)}
        aside: dict[str, str] = {}
        for axis in bound:
            aside[axis] = self.fresh_axis(axis, {*everything, *aside.values()})
        back = {aside[old]: new for old, new in names.items()}
        for step in (aside, back):
            for depth in reversed(range(len(bound))):
                inner = body
                for axis in reversed(bound[depth + 1 :]):
                    inner = reduce(SUM, axis, inner)
                old, new = bound[depth], step[bound[depth]]
                right = self.apply("reduce-rename", m=SUM, x=old, y=new, a=inner)
                bound = [*bound[:depth], new, *bound[depth + 1 :]]
                body = right.children[1]
                for _ in bound[depth + 1 :]:
                    body = body.children[1]
        body = self(body)
        for axis in reversed(bound):
            body = self._sort_axes(SUM, axis, body)
        return body

    def _gather(self, body: Term) -> Term:
        """exp(a)·exp(b)·p·v as exp(a + b where p, else −∞)·v."""
        factors = list(factors_of(body))
        weights = [f for f in factors if f.op == "Exp"]
        masks = [f for f in factors if self.judge.facts.holds("boolean", f)]
        others = [f for f in factors if f not in weights and f not in masks]
        if not weights or len(weights) + len(masks) == 1:
            if weights and others:
                self._mul(weights[0], product_of(others))
                return mul(weights[0], product_of(others))
            return body
        score = weights[-1].children[0]
        for weight in reversed(weights[:-1]):
            self.back("exp-add", a=weight.children[0], b=score)
            score = self.add(weight.children[0], score)
        gathered = exp(score)
        if masks:
            mask = product_of(masks)
            if not self.allows("exp-masked", p=mask, s=score):
                return body
            self._mul(mask, product_of(weights))
            gathered = self.apply("exp-masked", p=mask, s=score)
        if not others:
            return gathered
        self._mul(product_of(sorted(weights + masks, key=_factor_key)), product_of(others))
        return mul(gathered, product_of(others))

    def _max(self, axis: str, body: Term) -> Term:
        if body.op == "Maximum":
            a, b = body.children
            self.apply("max-maximum", x=axis, a=a, b=b)
            return self.maximum(self.reduce(MAX, axis, a), self.reduce(MAX, axis, b))
        if body.op == "Add":
            outside, inside = self._divide_factors(axis, list(_summands(body)))
            if outside and inside:
                out, rest = _sum_comb(outside), _sum_comb(inside)
                if self.allows("max-add", x=axis, c=out, a=rest):
                    self._add(out, rest)
                    self.apply("max-add", x=axis, c=out, a=rest)
                    return self.add(out, self.reduce(MAX, axis, rest))
        if body.op == "Select" and body.children[2] is NEGATIVE_INFINITY:
            chosen, masked, _ = body.children
            outside, inside = self._divide_factors(axis, list(_summands(masked)))
            out, rest = map(_sum_comb, (outside or [ZERO], inside or [ZERO]))
            left = select(chosen, rest, NEGATIVE_INFINITY)
            moves = out is not ZERO and self.allows("add-negative-infinity", a=out)
            if moves and self.allows("max-add", x=axis, c=out, a=left):
                self._add(out, rest)
                self.add(out, NEGATIVE_INFINITY)
                self.apply("select-add", d=out, c=chosen, a=rest, b=NEGATIVE_INFINITY)
                self.select(chosen, rest, NEGATIVE_INFINITY)
                self.apply("max-add", x=axis, c=out, a=left)
                return self.add(out, self.reduce(MAX, axis, left))
        if body.op == "Mul":
            outside, inside = self._divide_factors(axis, list(factors_of(body)))
            outside, kept = (
                [f for f in outside if self.judge.facts.holds("positive-or-undefined", f)],
                [f for f in outside if not self.judge.facts.holds("positive-or-undefined", f)],
            )
            # Of −2 the sign stays inside.
            if kept and kept[0].op == "Constant" and kept[0] is not MINUS_ONE:
                number = kept[0].args[0]
                assert isinstance(number, Fraction)
                outside, kept = [constant(-number), *outside], [MINUS_ONE, *kept[1:]]
            inside = sorted(kept + inside, key=_factor_key)
            if outside and inside:
                out, rest = product_of(outside), product_of(inside)
                if self.allows("max-mul", x=axis, c=out, a=rest):
                    self._mul(out, rest)
                    self.apply("max-mul", x=axis, c=out, a=rest)
                    return self.mul(out, self.reduce(MAX, axis, rest))
        return self._sort_axes(MAX, axis, body)

    def _divide_factors(self, axis: str, parts: list[Term]) -> tuple[list[Term], list[Term]]:
        """Those that do not depend on ``axis``, and those that do."""
        leaves = set(self.judge.context.leaves(axis))

        def depends(part: Term) -> bool:
            own = {leaf for a in part.axes for leaf in self.judge.context.leaves(a)}
            return not leaves.isdisjoint(own)

        return [p for p in parts if not depends(p)], [p for p in parts if depends(p)]

    def _sort_axes(self, monoid: Term, axis: str, body: Term) -> Term:
        """Nested reductions in one monoid stand in the order of their axes."""
        if body.op == "Reduce" and body.children[0] is monoid:
            inner = str(body.args[1])
            if inner < axis and self.allows(
                "reduce-swap", m=monoid, x=axis, y=inner, a=body.children[1]
            ):
                self.apply("reduce-swap", m=monoid, x=axis, y=inner, a=body.children[1])
                return self.reduce(monoid, inner, self.reduce(monoid, axis, body.children[1]))
        return reduce(monoid, axis, body)

    # Tuples -----------------------------------------------------------------------------------

    def component(self, op: str, of: Term) -> Term:
        """A component of a pair."""
        if of.op == "Tuple":
            a, b = of.children
            return self.apply(op.lower(), a=a, b=b)
        return term(op, of)


def inverse_of(a: Term) -> Term:
    """The term 1/a, not normalised."""
    return inverse(a)


def _summands(a: Term) -> Iterable[Term]:
    while a.op == "Add":
        yield a.children[0]
        a = a.children[1]
    yield a


def _sum_comb(summands: list[Term]) -> Term:
    result = summands[-1]
    for summand in reversed(summands[:-1]):
        result = add(summand, result)
    return result


def _factor_key(f: Term) -> tuple[int, str, int]:
    """Numbers first; a factor stands beside its inverse."""
    if f.op == "Constant":
        return 0, "", 0
    base, rank = f, 0
    if f.op in {"Inverse", "Not"}:
        base, rank = f.children[0], 1
    if base.op == "Exp":
        # Powers of one exponential stand together.
        return 1, "exp " + _scaled(base.children[0])[1].digest, rank
    if base.op == "Predicate":
        # Bounds on the same stand together.
        return 1, f"test {_bounded(str(base.args[0]))} {base.digest}", rank
    if _is_sign(base):
        # Signs of what differs by a number stand together.
        return 1, f"sign {_part(base).digest} {base.digest}", rank
    return 1, base.digest, rank


@cache
def _bounded(text: str) -> tuple[str, bool]:
    """What a predicate bounds, which is its polynomial of axes alone, and whether below."""
    terms = size(text).terms
    inside = {m: c for m, c in terms if any(map(is_axis, Polynomial({m: 1}).variables))}
    part = Polynomial(inside)
    text, opposite = str(part), str(-part)
    return min(text, opposite), text < opposite


def _is_sign(a: Term) -> bool:
    """Whether a truth value is 0 < d or d = 0."""
    return (a.op == "Less" and a.children[0] is ZERO) or (a.op == "Equal" and a.children[1] is ZERO)


def _signed(sign: Term) -> tuple[Term, Fraction]:
    """What a sign is of, and the number that is added in it."""
    d = sign.children[sign.op == "Less"]
    number = d.children[0].args[0] if d.op == "Add" and d.children[0].op == "Constant" else 0
    assert isinstance(number, int | Fraction)
    return d, Fraction(number)


def _part(sign: Term) -> Term:
    """What a sign is of, but for the number that is added in it."""
    d, number = _signed(sign)
    return d.children[1] if number else d


def _first_number(d: Term) -> Fraction:
    """The number of the first summand that is not one, or the number that d is."""
    return _scaled(next((s for s in _summands(d) if s.op != "Constant"), mul(d, ONE)))[0]


def _scaled(a: Term) -> tuple[Fraction, Term]:
    """A summand as a number times the rest."""
    if a.op == "Mul" and a.children[0].op == "Constant":
        number = a.children[0].args[0]
        assert isinstance(number, Fraction)
        return number, a.children[1]
    return Fraction(1), a


def _summand_key(a: Term) -> tuple[int, str]:
    if a.op == "Constant":
        return 0, ""
    return 1, _scaled(a)[1].digest


def _degree(a: Term) -> tuple[int, list[tuple[int, str, int]]]:
    """The place of a summand in an order that products keep: by degree, then by factors."""
    factors = [] if a.op == "Constant" else list(factors_of(_scaled(a)[1]))
    return len(factors), sorted(map(_factor_key, factors))


def _is_masked(a: Term) -> bool:
    return a.op == "Select" and a.children[2] is NEGATIVE_INFINITY


def _sums_exponentials(a: Term) -> bool:
    return a.op == "Reduce" and any(f.op == "Exp" for f in factors_of(a.children[1]))


def _divides(divisor: Term, factors: list[Term]) -> bool:
    """Whether 1/Σ exp(…) stands beside a sum of exponentials over the same axis."""
    over = {f.args[1] for f in factors if _sums_exponentials(f)}
    return divisor.op == "Inverse" and any(
        _sums_exponentials(node) and node.args[1] in over for node in subterms(divisor)
    )


_SYMMETRIES = {"erf": "erf-odd", "sin": "sin-odd", "cos": "cos-even"}

_CONSTANT_REDUCTIONS = {
    "Sum": "sum-constant",
    "Max": "max-constant",
    "Min": "min-constant",
    "All": "all-constant",
    "Any": "any-constant",
}

_BUILDERS: dict[str, Callable[..., Term]] = {
    "Index": Normaliser.index,
    "Predicate": Normaliser.predicate,
    "Add": Normaliser.add,
    "Mul": Normaliser.mul,
    "Inverse": Normaliser.inverse,
    "Exp": Normaliser.exp,
    "Function": Normaliser.function,
    "Log": Normaliser.log_of,
    "Sqrt": Normaliser.sqrt,
    "Abs": Normaliser.absolute,
    "Maximum": Normaliser.maximum,
    "Minimum": Normaliser.minimum,
    "Not": Normaliser.negation,
    "And": Normaliser.both,
    "Or": Normaliser.either,
    "Equal": Normaliser.equal,
    "Less": Normaliser.less,
    "Select": Normaliser.select,
    "Reduce": Normaliser.reduce,
    "First": lambda self, a: self.component("First", a),
    "Second": lambda self, a: self.component("Second", a),
}
