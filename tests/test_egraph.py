"""The search finds only what is so, records all that it finds, and stays within its budget."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ncd_formal import wires
from ncd_formal.conditions import Context, assume
from ncd_formal.derivation.streaming import split_axis, stream
from ncd_formal.egraph.run import Budget, Graph
from ncd_formal.elaboration import Elaboration, Output, elaborate
from ncd_formal.equivalence import prove
from ncd_formal.frontends.shapes import parse_shape, size_names
from ncd_formal.normalisation import Normaliser
from ncd_formal.proving import SEARCH_RULESETS, Proof
from ncd_formal.rules import Judge, table
from ncd_formal.semantics import Evaluator, Grid, Wire
from ncd_formal.sizes import Polynomial, size
from ncd_formal.task import Task, import_target
from ncd_formal.wires import SIGNATURE, Argument, Term, subterms, term
from tests.exact import CONTEXTS, Terms
from tests.programs import Pair, equal, wrong

Arrays = Mapping[str, npt.NDArray[np.float64]]
ALL_RULESETS = tuple(dict.fromkeys(r.ruleset for r in table().values() if r.ruleset != "computed"))


# Attention, as wires ------------------------------------------------------------------------

SHAPES = {"q": ("n", "d"), "k": ("m", "d"), "v": ("m", "e"), "w": ("m",)}
AXES = {"n.0": "n", "m.0": "m", "d.0": "d", "e.0": "e"}


def attention_context(length: str = "m") -> Context:
    """One head: n queries, keys of a width d, values of a width e."""
    axes = {axis: size(extent.replace("m", length)) for axis, extent in AXES.items()}
    return Context(axes=axes, inputs={**dict.fromkeys("qkv", "real"), "w": "boolean"})


def read(name: str, *axes: str) -> Term:
    """An input at axes."""
    return wires.input_at(name, map(size, axes))


SCORE = wires.reduce(wires.SUM, "d.0", wires.mul(read("q", "n.0", "d.0"), read("k", "m.0", "d.0")))
VALUES = read("v", "m.0", "e.0")


def total(body: Term, axis: str = "m.0") -> Term:
    """Σ over the keys."""
    return wires.reduce(wires.SUM, axis, body)


def naive(score: Term = SCORE) -> Term:
    """Σ softmax(s)·v with the exponentials as they are."""
    weight = wires.exp(score)
    return total(wires.mul(wires.divide(weight, total(weight)), VALUES))


def stable(score: Term = SCORE) -> Term:
    """The same with the largest score taken off."""
    top = wires.reduce(wires.MAX, "m.0", score)
    return naive(wires.subtract(score, top))


MASKED = wires.select(read("w", "m.0"), SCORE, wires.NEGATIVE_INFINITY)
LAYOUT = (("n.0",), ("e.0",))


# Every e-node agrees with its class -----------------------------------------------------------


def random_arrays(
    shapes: Mapping[str, Sequence[Polynomial]],
    kinds: Mapping[str, str],
    sizes: Mapping[str, int],
    seed: int,
) -> Arrays:
    """Normal reals, fair truth values, small whole numbers."""
    generator = np.random.default_rng(seed)
    result = {}
    for name, shape in shapes.items():
        extents = [p.evaluate(sizes) for p in shape]
        kind = kinds.get(name, "real")
        if kind == "real":
            result[name] = generator.normal(size=extents) * 0.7
        else:
            top = 2 if kind == "boolean" else 4
            result[name] = generator.integers(0, top, size=extents).astype(np.float64)
    return result


def grids(wire: Wire) -> list[Grid]:
    """The components of a value."""
    return [g for part in wire for g in grids(part)] if isinstance(wire, tuple) else [wire]


def same_arrays(evaluator: Evaluator, a: Wire, b: Wire) -> bool:
    """Equality up to rounding, −∞ to −∞ and undefined to undefined; an overflow says nothing."""
    left, right = grids(a), grids(b)
    if len(left) != len(right):
        return False
    for x, y in zip(left, right, strict=True):
        _, (u, v) = evaluator._aligned(x, y)
        u, v = np.broadcast_arrays(u, v)
        finite = np.abs(np.concatenate([u[np.isfinite(u)], v[np.isfinite(v)], [1.0]]))
        lost = np.isposinf(u) | np.isposinf(v)
        close = np.isclose(u, v, rtol=1e-7, atol=1e-9 * float(finite.max()), equal_nan=True)
        if not np.all(close | lost):
            return False
    return True


def disagreements(graph: Graph, evaluators: Sequence[Evaluator]) -> tuple[list[str], int]:
    """E-nodes whose value is not that of their class, and the number of e-nodes compared.

    Each class is stood for by a term of least depth; an e-node is its operator at those.
    """
    engine, functions = graph.engine, graph.engine.freeze().functions
    waiting: list[tuple[str, tuple[Any, ...], Any]] = []
    for op, (sorts, sort) in SIGNATURE.items():
        for row in functions[op].rows:
            read_arguments: list[Any] = []
            for own, value in zip(sorts, row.inputs, strict=True):
                if own == "String":
                    read_arguments.append(engine.value_to_string(value))
                elif own == "BigRat":
                    read_arguments.append(Fraction(engine.value_to_bigrat(value)))
                else:
                    read_arguments.append((own, value))
            waiting.append((op, tuple(read_arguments), (sort, row.output)))
    standing: dict[Any, Term] = {}
    found: list[str] = []
    compared = 0
    while waiting:
        later: list[tuple[str, tuple[Any, ...], Any]] = []
        new: dict[Any, Term] = {}
        for op, arguments, own in waiting:
            made: list[Argument] = []
            for a in arguments:
                if not isinstance(a, tuple):
                    made.append(a)
                elif a in standing:
                    made.append(standing[a])
            if len(made) < len(arguments):
                later.append((op, arguments, own))
                continue
            node = term(op, *made)
            known = standing.get(own) or new.setdefault(own, node)
            if SIGNATURE[op][1] == "Monoid":
                if known is not node:
                    found.append(f"the monoids {node!r} and {known!r} are one")
                continue
            compared += 1
            for evaluate in evaluators:
                if not same_arrays(evaluate, evaluate(node), evaluate(known)):
                    found.append(f"{node} is not {known} at {dict(evaluate.sizes)}")
                    break
        assert new or not later, "a class has no term"
        standing |= new
        waiting = later
    return found, compared


def saturated(
    context: Context, roots: Sequence[Term], rulesets: Sequence[str], nodes: int
) -> Graph:
    """An e-graph of some size."""
    graph = Graph(context, roots)
    graph.search(rulesets, [], Budget(nodes=nodes, seconds=30, iterations=8))
    return graph


@pytest.mark.parametrize("masked", [False, True], ids=["exact", "masked"])
@pytest.mark.parametrize("make", [naive, stable], ids=["naive", "stable"])
@pytest.mark.parametrize("score", [SCORE, MASKED], ids=["all keys", "some keys"])
def test_every_node_agrees_with_its_class_for_attention(
    make: Any, score: Term, masked: bool
) -> None:
    """All laws at once, with the keys split into blocks, blocks past the end among them."""
    whole = attention_context("m" if masked else "c*t")
    context, _, _ = split_axis(whole, "m.0", masked)
    root = make(score)
    gathered = Normaliser(Judge(context), lambda *_: None, gather=True)(root)
    graph = saturated(context, [root, gathered], ALL_RULESETS, 800)
    evaluators = []
    for seed, (n, d, e, blocks, width, length) in enumerate(
        [(2, 2, 1, 3, 2, 5), (1, 1, 2, 2, 2, 4)]
    ):
        sizes = {"n": n, "d": d, "e": e, "m": length}
        shapes = {k: [size(s) for s in v] for k, v in SHAPES.items()}
        if masked:
            sizes |= {"m_blocks": blocks, "m_tile": width}
        else:
            sizes |= {"c": blocks, "t": width, "m": blocks * width}
        arrays = random_arrays(shapes, context.inputs, sizes, seed)
        evaluators.append(Evaluator(context, sizes, arrays))
    found, compared = disagreements(graph, evaluators)
    assert not found, found[:3]
    assert compared >= 300


PROGRAMS: Mapping[str, Pair] = {
    pair.name: pair
    for pair in (
        equal.attention_of_one_head,
        equal.softmax_shift,
        equal.stable_softmax_is_naive,
        equal.logsumexp_by_definition,
        equal.matmul_is_associative,
        equal.boolean_mask_is_sdpa,
        equal.masked_sum_two_ways,
        equal.rms_norm_folds_into_linear,
        equal.variance_two_ways,
        equal.layer_norm_ignores_shifts,
    )
}


def imported(pair: Pair) -> tuple[Elaboration, Mapping[str, Sequence[Polynomial]]]:
    """Both programs of a pair as wires, and the shapes of their inputs."""
    declared = {name: parse_shape(name, text) for name, text in pair.inputs.items()}
    sizes = [text for text in pair.assume if " has " not in text]
    context = assume(sizes, size_names(declared.values()))
    sides = [import_target(side, declared, context) for side in (pair.left, pair.right)]
    shapes = {name: declaration.shape for name, declaration in declared.items()}
    return elaborate([side.outputs for side in sides], context), shapes


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_node_agrees_with_its_class_for_programs(name: str) -> None:
    """The laws that ``prove`` searches with, on both sides as they are and in normal form."""
    pair = PROGRAMS[name]
    elaboration, shapes = imported(pair)
    context = elaboration.context
    normalise = Normaliser(Judge(context), lambda *_: None)
    roots = [output.term for program in elaboration.programs for output in program]
    graph = saturated(context, [*roots, *map(normalise, roots)], SEARCH_RULESETS, 700)
    names = sorted({v for shape in shapes.values() for p in shape for v in p.variables})
    generator = random.Random(pair.name)
    evaluators = []
    for seed in range(2):
        sizes = {name: context.least(name) + generator.randint(seed, 2) for name in names}
        arrays = random_arrays(shapes, context.inputs, sizes, seed)
        evaluators.append(Evaluator(context, sizes, arrays))
    found, compared = disagreements(graph, evaluators)
    assert not found, found[:3]
    assert compared >= 20


# Tracing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "empty", "assumed"])
def test_what_a_search_finds_is_proved_by_what_it_records(name: str) -> None:
    """Any two random terms that end in one class are equal by the recorded instances, each of
    which holds.
    """
    context = CONTEXTS[name]
    generator = random.Random(name)
    terms = Terms(context, generator)
    met = 0
    for _ in range(6):
        roots = [terms.number(1 + number % 3) for number in range(12)]
        graph = Graph(context, roots, traced=True)
        graph.search(ALL_RULESETS, [], Budget(nodes=1500, seconds=20, iterations=4))
        proof = Proof(context, [])
        proof.record(graph.instances())
        classes: dict[Any, list[Term]] = {}
        numbers = graph.engine.freeze().functions["at-Term"].rows
        by_number = {graph.engine.value_to_i64(row.inputs[0]): row.output for row in numbers}
        for known, number in graph.numbers.items():
            if SIGNATURE[known.op][1] == "Term":
                classes.setdefault(by_number[number], []).append(known)
        for first, *others in classes.values():
            for other in others:
                met += 1
                assert graph.equal(first, other)
                assert proof.closure.equal(first, other), f"{first} = {other} cannot be rebuilt"
    assert met >= 5


# What must stay apart -------------------------------------------------------------------------


def blocked(per_tile: Term, block: str, tile: str) -> Term:
    """Σ over blocks and tiles."""
    return total(total(per_tile, tile), block)


def test_near_misses_stay_apart() -> None:
    """Streaming attention wrongly does not become attention, whatever laws are run."""
    context, block, tile = split_axis(attention_context("c*t"), "m.0", False)
    weight = wires.exp(SCORE)
    tile_top = wires.reduce(wires.MAX, tile, SCORE)
    local = wires.exp(wires.subtract(SCORE, tile_top))
    other = wires.exp(SCORE)
    wrong = {
        "without rescaling": wires.divide(
            blocked(wires.mul(local, VALUES), block, tile), blocked(local, block, tile)
        ),
        "normalised in each block": total(
            total(wires.mul(wires.divide(weight, total(weight, tile)), VALUES), tile), block
        ),
        "normalised over queries": total(
            wires.mul(wires.divide(weight, total(weight, "n.0")), VALUES)
        ),
        "divided by the number of keys": wires.divide(
            total(wires.mul(weight, VALUES)), term("Index", "c*t")
        ),
        "not normalised": total(wires.mul(weight, VALUES)),
        "without the last block": wires.divide(
            total(wires.mul(weight, VALUES), tile), total(weight, tile)
        ),
        "squared": wires.mul(naive(), naive()),
        "keys read backwards": wires.divide(
            total(wires.mul(other, read("v", "c*t - m.0 - 1", "e.0"))), total(weight)
        ),
    }
    roots = [naive(), stable(), *wrong.values()]
    gather = Normaliser(Judge(context), lambda *_: None, gather=True)
    graph = Graph(context, [*roots, *map(gather, roots)])
    graph.search(ALL_RULESETS, [], Budget(nodes=3000, seconds=30, iterations=8))
    for name, near in wrong.items():
        for right in (naive(), stable()):
            assert not graph.equal(right, near), name
            assert not graph.equal(gather(right), gather(near)), name
    ordered = list(wrong.values())
    for k, a in enumerate(ordered):
        for b in ordered[k + 1 :]:
            assert not graph.equal(a, b)


def test_programs_that_name_their_axes_differently_meet() -> None:
    """Alpha-equivalence: the order in which axes are opened, and einsum's letters, are no
    difference.
    """
    pairs: list[tuple[Any, Any, dict[str, str]]] = [
        (lambda x: x.sum((0, 1)), lambda x: x.t().sum(0).sum(0), {"x": "n n"}),
        (lambda x: x.sum(0).sum(0), lambda x: x.sum(1).sum(0), {"x": "n m"}),
        (
            lambda x, y: torch.einsum("ab,bc->ac", x, y),
            lambda x, y: torch.einsum("zq,qp->zp", x, y),
            {"x": "n n", "y": "n n"},
        ),
        (
            lambda x, y: (x[:, :, None] * y[None]).sum(1),
            lambda x, y: x @ y,
            {"x": "n n", "y": "n n"},
        ),
        (
            lambda x, y: x.sum() * y.sum(),
            lambda x, y: torch.outer(x, y).sum(),
            {"x": "n", "y": "m"},
        ),
    ]
    for left, right, inputs in pairs:
        verdict = prove(left, right, inputs)
        assert verdict.status == "proved", verdict.explain()


def test_axes_of_one_size_that_change_places_are_not_told_apart() -> None:
    """Σ_i Σ_j x[i, j] = Σ_i Σ_j x[j, i]: a proof may be missed, a difference is not found."""
    pairs: list[tuple[Any, Any, dict[str, str]]] = [
        (lambda x: x.sum(0).sum(0), lambda x: x.sum(1).sum(0), {"x": "n n"}),
        (
            lambda x, y: x.sum() * y.sum(),
            lambda x, y: torch.outer(x, y).sum(),
            {"x": "n", "y": "n"},
        ),
    ]
    for left, right, inputs in pairs:
        assert prove(left, right, inputs).status != "refuted"


def test_views_that_do_not_line_up_are_not_confused() -> None:
    """Digits of 24 as 4·6 are not those as 6·4; what is the same array is still proved, and
    what is not is refuted.
    """
    cases = [
        # (left, right, input, whether equal)
        (lambda x: x.view(4, 6).reshape(6, 4), lambda x: x.view(6, 4), "24", True),
        (
            lambda x: x.view(4, 6).t().reshape(24),
            lambda x: x.view(6, 4).t().reshape(24),
            "24",
            False,
        ),
        (
            lambda x: x.view(4, 6).sum(0),
            lambda x: x.view(6, 4).t().reshape(4, 6).sum(0),
            "24",
            False,
        ),
        (lambda x: x.view(4, 6).amax(1), lambda x: x.view(6, 4).amax(0), "24", False),
        (lambda x: x.t().reshape(-1), lambda x: x.reshape(-1), "n n", False),
    ]
    for left, right, shape, same in cases:
        verdict = prove(left, right, {"x": shape})
        assert verdict.status == ("proved" if same else "refuted"), verdict.explain()
    # Σ over all digits does not depend on how they are grouped: a proof may be missed.
    verdict = prove(lambda x: x.view(4, 6).sum(), lambda x: x.view(6, 4).sum(), {"x": "24"})
    assert verdict.status != "refuted"


# Budgets and the derivation -------------------------------------------------------------------


def test_a_search_ends_within_its_budget() -> None:
    """By nodes, by rounds, by time, by finding the goal, or by nothing new."""
    context, _, _ = split_axis(attention_context(), "m.0", True)
    goal = (wires.add(wires.ONE, wires.ZERO), wires.ONE)
    apart = (naive(), VALUES)

    def search(budget: Budget, goals: list[tuple[Term, Term]], rulesets: Sequence[str]) -> Any:
        roots = [naive(), *(t for pair in goals for t in pair)]
        return Graph(context, roots).search(rulesets, goals, budget)

    few = search(Budget(nodes=200), [apart], ALL_RULESETS)
    assert (few.reason, few.nodes > 200) == ("nodes", True)
    rounds = search(Budget(iterations=1, nodes=10**6), [apart], ALL_RULESETS)
    assert (rounds.reason, rounds.iterations) == ("iterations", 1)
    assert search(Budget(seconds=0.0), [apart], ALL_RULESETS).reason == "seconds"
    found = search(Budget(), [goal], ("commute", "simplify"))
    assert found.reason == "found"
    assert search(Budget(), [apart], ("simplify",)).reason == "saturated"
    # Without goals nothing is found.
    assert search(Budget(), [], ("simplify",)).reason == "saturated"


def test_one_step_of_a_search_stays_near_its_budget() -> None:
    """Writing out products once made three million nodes of 3,729."""
    (pair,) = (p for p in wrong.PAIRS if p.name == "row_parallel_activation_before_sum")
    task = Task.build(*pair.programs(), pair.inputs, pair.assume, pair.parameters)
    context = task.elaboration.context
    sides = [(a.term, b.term) for a, b in task.pairs]
    normalise = Normaliser(Judge(context), lambda *_: None)
    written = Normaliser(Judge(context), lambda *_: None, "linear")
    goals = [(normalise(a), normalise(b)) for a, b in sides]
    roots = [f(t) for f in (normalise, written) for pair in sides for t in pair]
    found = Graph(context, roots).search(SEARCH_RULESETS, goals, Budget(nodes=30_000, seconds=2))
    assert found.reason in {"nodes", "seconds"}
    assert found.nodes < 60_000


@pytest.mark.parametrize("masked", [False, True], ids=["exact", "masked"])
@pytest.mark.parametrize("make", [naive, stable], ids=["naive", "stable"])
@pytest.mark.parametrize("score", [SCORE, MASKED], ids=["all keys", "some keys"])
def test_attention_streams_in_one_pass(make: Any, score: Term, masked: bool) -> None:
    """Forward saturation finds the fold with accumulators within 1,000 e-nodes; its certificate
    holds; and it computes the same.
    """
    context = attention_context("m" if masked else "c*t")
    form = stream(Output(make(score), LAYOUT), context, "m.0", masked=masked)
    # The shift by a maximum that may be −∞ is not cancelled where the blocks are exact.
    assert form.passes <= (2 if (make, score, masked) == (stable, MASKED, False) else 1)
    assert form.nodes <= 1000
    assert form.seconds <= 5
    report = form.certificate.check()
    assert report.goals == 1
    goal = form.certificate.goals[0]
    assert goal.left is make(score)
    assert goal.right is form.term
    folds = [node for node in subterms(form.term) if node.op == "Reduce"]
    assert any(node.args[1] == form.block for node in folds)
    assert not any(node.args[1] == "m.0" for node in folds)
    sizes = {"n": 2, "d": 2, "e": 2, "m": 5, "c": 3, "t": 2, "m_blocks": 3, "m_tile": 2}
    sizes = sizes if masked else {**sizes, "m": 6}
    shapes = {k: [size(s) for s in v] for k, v in SHAPES.items()}
    evaluate = Evaluator(form.context, sizes, random_arrays(shapes, context.inputs, sizes, 7))
    assert same_arrays(evaluate, evaluate(make(score)), evaluate(form.term))
