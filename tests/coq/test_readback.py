"""The goals of certificates as theorems in plain mathematics, put to Coq."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ncd_formal import prove
from ncd_formal.certificate import Certificate, Goal
from ncd_formal.conditions import Context, Split
from ncd_formal.coq import kernel, readback
from ncd_formal.coq.export import HEADER, Export, theorem
from ncd_formal.sizes import size
from ncd_formal.wires import (
    ALL,
    ANY,
    MAX,
    MIN,
    MINUS_ONE,
    NEGATIVE_INFINITY,
    ONE,
    PRODUCT,
    RESCALED_SUM,
    SUM,
    UNDEFINED,
    ZERO,
    Term,
    add,
    constant,
    divide,
    exp,
    index,
    input_at,
    inverse,
    mul,
    negative,
    pair,
    predicate,
    reduce,
    select,
    subtract,
    term,
)
from tests.certificates import load, single
from tests.coq import needs_coq

KERNELS = Path(__file__).parents[2] / "kernels"
GOLDEN = Path(__file__).with_name("attention_statement.v")
IMPORT = "From Ncd Require Import Readback.\n"


def certified(certificate: Certificate) -> tuple[str, str]:
    """A certificate in Coq, after the imports, and its statements."""
    made = Export(certificate)
    definitions = made.definitions("certificate")
    text = f"Local Open Scope positive_scope.\n{definitions}{theorem('certificate', made.own)}"
    return text, readback.statements(certificate, made)


def accept(*certificates: Certificate, change: Callable[[str], str] = str) -> tuple[bool, str]:
    """Whether Coq accepts certificates with their statements, each in a module of its own."""
    modules = []
    for number, certificate in enumerate(certificates, 1):
        text, statements = certified(certificate)
        assert "has no statement" not in statements
        text += change(statements.removeprefix(IMPORT))
        modules.append(f"Module M{number}.\n{text}\nEnd M{number}.\n")
    done = kernel.run(HEADER + IMPORT + "\n".join(modules), kernel.theory())
    return not done.returncode, done.stderr


def attention() -> Certificate:
    """The saved proof that streamed attention is attention."""
    return load(KERNELS / "attention.json")


def test_the_statement_of_attention_is_the_saved_one() -> None:
    assert readback.statements(attention()) == GOLDEN.read_text(encoding="utf-8")


@needs_coq
def test_coq_accepts_the_statements_of_saved_kernels() -> None:
    certificates = [attention(), load(KERNELS / "causal_attention.json")]
    accepted, errors = accept(*certificates)
    assert accepted, errors


# Statements of proofs -----------------------------------------------------------------------


def mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


PAIRS: Sequence[tuple[Callable[..., object], Callable[..., object], Mapping[str, str]]] = (
    (lambda x, c: torch.softmax(x + c, -1), lambda x, c: x.softmax(-1), {"x": "b n", "c": "b 1"}),
    (
        lambda x, g: torch.nn.functional.layer_norm(x, (x.shape[-1],), g),
        lambda x, g: g * (x - mean(x)) * (mean((x - mean(x)) ** 2) + 1e-5).rsqrt(),
        {"x": "b n d", "g": "d"},
    ),
    (
        lambda q, k, v: (q @ k.mT) @ v,
        lambda q, k, v: q @ (k.mT @ v),
        {"q": "n d", "k": "m d", "v": "m e"},
    ),
    (lambda x: (x**2).mean(-1), lambda x: (x * x).sum(-1) / x.shape[-1], {"x": "n d"}),
    (lambda x: (x + x, x.mean(-1)), lambda x: (2 * x, (x / x.shape[-1]).sum(-1)), {"x": "b n"}),
    (lambda x: x.flip(0).flip(0), lambda x: x, {"x": "n m"}),
    (lambda x, y: (x @ y).trace(), lambda x, y: (y @ x).trace(), {"x": "n m", "y": "m n"}),
    (lambda x, w: torch.relu(x) @ w, lambda x, w: x.clamp(min=0) @ w, {"x": "n m", "w": "m k"}),
    (
        lambda x, m: x.masked_fill(m, float("-inf")).exp().sum(-1),
        lambda x, m: torch.where(m, torch.zeros_like(x), x.exp()).sum(-1),
        {"x": "n m", "m": "n m : bool"},
    ),
    (lambda x: x.tanh() * 0.5 + x * 1.5, lambda x: (x.tanh() + 3 * x) / 2, {"x": "n"}),
    (lambda x: x.logsumexp(-1), lambda x: x.exp().sum(-1).log(), {"x": "n m"}),
    (lambda x: torch.cumsum(2 * x, 0), lambda x: 2 * torch.cumsum(x, 0), {"x": "n"}),
)  # fmt: skip


@needs_coq
def test_coq_accepts_the_statements_of_proofs() -> None:
    certificates = []
    for left, right, shapes in PAIRS:
        verdict = prove(left, right, shapes)
        certificates.append(single(verdict.certificate))
    accepted, errors = accept(*certificates)
    assert accepted, errors


# What is printed is what is read ------------------------------------------------------------

CONTEXT = Context(
    axes={
        axis: size(extent)
        for axis, extent in {
            "i.0": "n", "j.0": "2*m - 1", "max.0": "4",
            "x.0": "b*r", "xb.0": "b", "xr.0": "r",
            "y.0": "n", "yb.0": "p", "yr.0": "q",
            "z.0": "n*b*r", "z1.0": "n*b", "z3.0": "r", "z11.0": "n", "z12.0": "b",
        }.items()
    },
    lower={"n": 0, "m": 2},
    assumptions=(size("p*q - n"), size("m - r - 1")),
    splits={
        "x.0": Split("xb.0", "xr.0"),
        "y.0": Split("yb.0", "yr.0", masked=True),
        "z.0": Split("z1.0", "z3.0"),
        "z1.0": Split("z11.0", "z12.0"),
    },
    inputs={
        "a": "real", "mask": "boolean", "e": "extended", "s": "extended",
        "max": "integer", "exp": "real", "n": "real", "i_1": "extended", "model.in": "real",
    },
)  # fmt: skip
"""Sizes, inputs and axes with the names of one another, and of what statements are made of."""


def at(*indices: str, name: str = "a") -> Term:
    return input_at(name, [size(i) for i in indices])


def component(root: Term, *path: str) -> Term:
    for part in path:
        root = term(part, root)
    return root


TWO = term("Both", SUM, term("Both", MAX, RESCALED_SUM))
PAIRED = reduce(TWO, "i.0", pair(at("i.0"), pair(at("i.0 + 1"), pair(at("i.0"), pair(ONE, ZERO)))))
SHIFTED = subtract(at("i.0"), reduce(MAX, "i.0", at("i.0")))
BOTH_WAYS = exp(exp(add(at("x.0"), at("xb.0"))))
TERMS = (
    # indices
    at("i.0 - 1"), at("-i.0"), at("-3"), at("2*i.0**2*n - i.0*m + 3"), at("-i.0*n - 2*m"),
    at("(i.0 + 1)//(m + 1)*2 + (i.0*3)%r"), index(size("n - 3*m - 1")), index(size("i.0")),
    predicate(size("-i.0 - 2")), predicate(size("i.0 - j.0 - 1")), predicate(size("3 - i.0")),
    # numbers and signs
    add(at("i.0"), constant(Fraction(-3, 2))), mul(constant(Fraction(3, 2)), at("i.0")),
    mul(MINUS_ONE, ONE), mul(mul(MINUS_ONE, at("0")), at("1")), negative(mul(at("0"), at("1"))),
    mul(at("0"), negative(at("1"))), inverse(inverse(at("0"))), negative(inverse(at("0"))),
    divide(at("0"), divide(at("1"), at("2"))), subtract(at("0"), subtract(at("1"), constant(-2))),
    add(at("0"), add(at("1"), at("2"))), mul(at("0"), mul(at("1"), at("2"))),
    negative(add(at("0"), at("1"))), exp(negative(exp(at("0")))),
    # split axes
    reduce(SUM, "x.0", at("x.0")), reduce(SUM, "x.0", mul(at("x.0"), at("xb.0 + 2*xr.0"))),
    reduce(SUM, "y.0", at("y.0 + yb.0")), at("y.0 + 1"), at("1 - y.0*2"), at("xb.0"),
    reduce(SUM, "z.0", add(at("z.0"), add(at("z1.0"), at("z11.0")))),
    reduce(SUM, "z11.0", reduce(MAX, "z12.0", reduce(MIN, "z3.0", at("z.0")))),
    reduce(SUM, "x.0", add(at("x.0"), reduce(SUM, "xb.0", add(at("x.0"), at("xr.0"))))),
    reduce(SUM, "x.0", add(at("xb.0"), reduce(PRODUCT, "x.0", add(at("x.0"), at("xr.0"))))),
    # truth values
    reduce(ALL, "max.0", at("max.0", name="mask")),
    reduce(ANY, "i.0", term("Not", term("Less", at("i.0", "0", name="e"), NEGATIVE_INFINITY))),
    term("And", term("Equal", at("0"), UNDEFINED), term("Or", ONE, ZERO)),
    select(at("0", name="mask"), select(term("Less", at("0"), ONE), ONE, ZERO), NEGATIVE_INFINITY),
    mul(select(ONE, ONE, ZERO), at("0")),
    # functions
    term("Maximum", add(at("0"), ONE), term("Minimum", ONE, reduce(MAX, "i.0", at("i.0")))),
    term("Rescale", at("0"), at("i.0", "j.0", name="e")),
    term("Function", "tanh", term("Abs", term("Sqrt", term("Log", at("0"))))),
    term("Function", "exp", at("0")),
    # names
    at(name="s"), at("i.0", name="max"), at(name="exp"), at("n", name="n"), at(name="model.in"),
    at("0", "1", name="i_1"),
    # pairs
    component(PAIRED, "First"), component(PAIRED, "Second", "First"),
    component(PAIRED, "Second", "Second", "First"),
    component(PAIRED, "Second", "Second", "Second", "First"),
    component(PAIRED, "Second", "Second", "Second", "Second"),
    component(select(at("0", name="mask"), pair(at("1"), ONE), pair(at("2"), ZERO)), "First"),
    # operators known by their name only
    term("Opaque", "topk [1 1 | 2]", "i.0 x.0", "j.0; 0",
         pair(at("i.0"), pair(at("x.0 + xb.0"), at("j.0")))),
    term("Opaque", "rand", "", "j.0", ZERO),
    term("Opaque", "n1 [1]", "i.0", "", add(at("i.0"), at("j.0"))),
    # what occurs again, inside the same indices and inside others
    reduce(SUM, "i.0", mul(exp(SHIFTED), add(exp(SHIFTED), exp(add(SHIFTED, at("j.0")))))),
    add(reduce(SUM, "i.0", exp(exp(at("i.0 + j.0")))), exp(exp(exp(at("i.0 + j.0"))))),
    reduce(SUM, "x.0", mul(BOTH_WAYS, mul(BOTH_WAYS, reduce(SUM, "xb.0", BOTH_WAYS)))),
)  # fmt: skip


@needs_coq
def test_every_operator_is_printed_as_it_is_read() -> None:
    """Each goal is an equation of a term with itself, so only its reading can be wrong."""
    certificate = Certificate(CONTEXT, tuple(Goal(t, t) for t in TERMS), ())
    accepted, errors = accept(certificate)
    assert accepted, errors


def test_a_goal_that_is_too_long_is_named() -> None:
    deep = at("0")
    for _ in range(20):
        deep = add(deep, deep)
    certificate = Certificate(CONTEXT, (Goal(deep, deep), Goal(at("0"), at("0"))), ())
    text = readback.statements(certificate)
    assert "(* Goal 1 has no statement: it has more than 50000 operators. *)" in text
    assert "statement_2" in text and "statement_1" not in text


def test_lines_are_short() -> None:
    certificate = Certificate(CONTEXT, tuple(Goal(t, t) for t in TERMS), ())
    for statements in (readback.statements(certificate), GOLDEN.read_text(encoding="utf-8")):
        assert max(map(len, statements.splitlines())) <= 100


# Statements that are not so -----------------------------------------------------------------


@needs_coq
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("exp (t1 m_0 - (max", "exp (t1 m_0 + (max"),
        ("k b_0 h_0 m_0 d_1", "k b_0 h_0 d_1 m_0"),
        ("max m_tile_0 < m_tile,", "max m_tile_0 < m,"),
        ("m_tile_0 <? m)", "m_tile_0 <=? m)"),
        ("  m <= m_blocks * m_tile ->\n", "  m_blocks * m_tile <= m ->\n"),
        ("0 <= n_0 < n ->", "0 <= n_0 <= n ->"),
    ],
    ids=["sign", "indices", "bound", "comparison", "assumption", "range"],
)
def test_a_wrong_statement_is_not_accepted(right: str, wrong: str) -> None:
    def change(text: str) -> str:
        assert right in text
        return text.replace(right, wrong, 1)

    accepted, errors = accept(attention(), change=change)
    assert not accepted
    assert "Error" in errors and "Syntax" not in errors
