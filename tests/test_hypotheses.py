"""Conditions on inputs: found, said in words, used in proofs, and never used to prove too much."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal import arrays
from ncd_formal.candidates import (
    LEFT_OUT,
    infinity_tested,
    read_as_smooth,
    stand_in_text,
    truth_inputs,
)
from ncd_formal.certificate import Certificate, CertificateError, check
from ncd_formal.conditions import Context
from ncd_formal.coq import kernel, readback
from ncd_formal.coq.export import export
from ncd_formal.equivalence import confirm, prove
from ncd_formal.hypotheses import condition_text, some, zero_or_one
from ncd_formal.proof import Hypothesis
from ncd_formal.refutation import impose
from ncd_formal.sizes import size
from ncd_formal.wires import (
    ONE,
    ZERO,
    add,
    constant,
    input_at,
    mul,
    predicate,
    select,
    term,
)
from tests.certificates import single
from tests.coq import assert_accepted, needs_coq

Attention = Callable[..., Tensor]

INF = float("inf")
SIZES = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
MASK = {**SIZES, "mask": "b 1 n m : bool"}
ADDED = {**SIZES, "mask": "b 1 n m"}
ROWS = "every row of mask has a True"


def scores(q: Tensor, k: Tensor) -> Tensor:
    result: Tensor = q @ k.mT / q.shape[-1] ** 0.5
    return result


def naive(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return scores(q, k).masked_fill(~mask, -INF).softmax(-1) @ v


def library(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def biased(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return (scores(q, k) + mask).softmax(-1) @ v


def filled(value: float) -> Attention:
    def program(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return scores(q, k).masked_fill(~mask, value).softmax(-1) @ v

    return program


def penalised(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """As the models of the transformers library make a bias of a mask of ones and zeros."""
    bias = (1.0 - mask[:, None, None, :].to(q.dtype)) * -10000.0
    return (scores(q, k) + bias).softmax(-1) @ v


def padded(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return library(q, k, v, mask[:, None, None, :].bool())


def padding_by_view(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    (heads, n), (batch, m) = q.shape[1:3], mask.shape
    return naive(q, k, v, mask.view(batch, 1, 1, m).expand(batch, heads, n, m))


def safe(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    s = scores(q, k).masked_fill(~mask, -INF)
    top = s.amax(-1, keepdim=True)
    return torch.where(top == -INF, 0.0, s.softmax(-1)) @ v


def positions(
    attend: Attention, keep: Callable[[Tensor, Tensor, int, int], Tensor]
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Attention under a mask of positions."""

    def program(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, m = q.shape[-2], k.shape[-2]
        i, j = torch.arange(n)[:, None], torch.arange(m)[None, :]
        return attend(q, k, v, keep(i, j, n, m)[None, None])

    return program


def lengths(attend: Attention) -> Attention:
    def program(q: Tensor, k: Tensor, v: Tensor, length: Tensor) -> Tensor:
        keep = torch.arange(k.shape[-2])[None, :] < length[:, None]
        return attend(q, k, v, keep[:, None, None, :])

    return program


def documents(attend: Attention) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    def program(q: Tensor, k: Tensor, v: Tensor, own: Tensor, other: Tensor) -> Tensor:
        return attend(q, k, v, own[:, None, :, None] == other[:, None, None, :])

    return program


def both_masks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, pad: Tensor) -> Tensor:
    return (scores(q, k) + mask).masked_fill(~pad[:, None, None, :], -INF).softmax(-1) @ v


def both_masks_library(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, pad: Tensor) -> Tensor:
    return library(q, k, v, mask.masked_fill(~pad[:, None, None, :], -INF))


FOUND: dict[str, tuple[Any, Any, dict[str, str], tuple[str, ...]]] = {
    "boolean mask": (naive, library, MASK, (ROWS,)),
    "additive mask": (biased, library, ADDED, ("every row of mask has a value above -inf",)),
    "additive mask of real numbers": (biased, library, {**SIZES, "mask": "b 1 n m : real"}, ()),
    "padding by view and expand": (
        padding_by_view, padded, {**SIZES, "mask": "b m : bool"}, (ROWS,),
    ),
    "zeros where the maximum is −∞": (safe, library, MASK, ()),
    "the least float": (
        filled(torch.finfo(torch.float32).min), library, MASK,
        ("-3.4028234663852886e+38 (the least float32) stands for -inf", ROWS),
    ),
    "−10⁹": (filled(-1e9), library, MASK, ("-1000000000 stands for -inf", ROWS)),
    "a bias of a mask of ones and zeros": (
        penalised, padded, {**SIZES, "mask": "b m : int"},
        ("-10000 stands for -inf", "mask is 0 or 1", ROWS),
    ),
    "causal": (
        positions(naive, lambda i, j, n, m: j <= i), positions(library, lambda i, j, n, m: j <= i),
        SIZES, (),
    ),
    "causal from the bottom right": (
        positions(naive, lambda i, j, n, m: j <= i + m - n),
        positions(library, lambda i, j, n, m: j <= i + m - n),
        SIZES, ("for all i < n: some j < m has j + n <= m + i",),
    ),
    "sliding window": (
        positions(naive, lambda i, j, n, m: (j <= i) & (j > i - 2)),
        positions(library, lambda i, j, n, m: (j <= i) & (j > i - 2)),
        SIZES, ("for all i < n: some j < m has i <= j + 1 and j <= i",),
    ),
    "lengths": (
        lengths(naive), lengths(library), {**SIZES, "length": "b : int"},
        ("for all i < b: some j < m has j < length[i]",),
    ),
    "documents": (
        documents(naive), documents(library), {**SIZES, "own": "b n : int", "other": "b m : int"},
        ("for all i < b, j < n: some l < m has own[i, j] = other[i, l]",),
    ),
    "two masks": (
        both_masks, both_masks_library, {**ADDED, "pad": "b m : bool"},
        ("for all i < b, j < n: some l < m has mask[i, 0, j, l] > -inf and pad[i, l]",),
    ),
    "compared with 0 and with 1": (
        lambda x: (x != 0).double(), lambda x: (x == 1).double(), {"x": "n"}, ("x is 0 or 1",),
    ),
}  # fmt: skip
"""Programs that are equal under the conditions, and the conditions."""


@pytest.mark.parametrize("name", FOUND)
def test_conditions_are_found(name: str) -> None:
    left, right, inputs, conditions = FOUND[name]
    found = prove(left, right, inputs)
    assert found.status == "proved" and found.certificate is not None, found.explain()
    assert found.conditions == conditions
    assert set(found.conditions) <= set(found.certificate.check().conditions)
    assert_accepted(found.certificate, plain=True)
    confirm(found.certificate, left, right)
    if conditions:
        assert prove(left, right, inputs, find_conditions=False).status == "refuted"


WRONG: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "inverted": (naive, lambda q, k, v, mask: library(q, k, v, ~mask), MASK),
    "off by one": (naive, lambda q, k, v, mask: library(q, k, v, mask.roll(1, -1)), MASK),
    "another axis": (
        naive, lambda q, k, v, mask: library(q, k, v, mask.mT),
        {**dict.fromkeys("qkv", "b h n d"), "mask": "b 1 n n : bool"},
    ),
    "another mask": (
        lambda q, k, v, mask, other: naive(q, k, v, mask),
        lambda q, k, v, mask, other: library(q, k, v, other),
        {**MASK, "other": "b 1 n m : bool"},
    ),
    "causal off by one": (
        positions(naive, lambda i, j, n, m: j <= i),
        positions(library, lambda i, j, n, m: j <= i + 1), SIZES,
    ),
    "the first row has no key at any size": (
        positions(naive, lambda i, j, n, m: j < i), positions(library, lambda i, j, n, m: j < i),
        SIZES,
    ),
    "a longer window": (
        positions(naive, lambda i, j, n, m: (j <= i) & (j > i - 4)),
        positions(library, lambda i, j, n, m: (j <= i) & (j > i - 5)), SIZES,
    ),
    "lengths off by one": (
        lengths(naive),
        lambda q, k, v, length: lengths(library)(q, k, v, length + 1),
        {**SIZES, "length": "b : int"},
    ),
    "numbers that are no mask": (
        lambda x: torch.where(x > 0, x, -1e5), lambda x: torch.where(x > 0, x, -1e9), {"x": "n"},
    ),
    "equal where the input is 0 or 1, and more than compared": (
        lambda x: torch.where(x == 0, 0.0, x * x), lambda x: torch.where(x == 0, 0.0, x),
        {"x": "n"},
    ),
    "equal where a test of data fails": (
        lambda x: torch.where((x > 0).all(-1), x.sum(-1), 0.0), lambda x: 0 * x.sum(-1),
        {"x": "b n"},
    ),
    "equal where a test of sums fails": (
        lambda x, y: torch.where(((x * y).sum(-1) > 0).all(-1), x.sum((-2, -1)), 0.0),
        lambda x, y: 0 * x.sum((-2, -1)), {"x": "b n d", "y": "b n d"},
    ),
}  # fmt: skip
"""Programs that no condition makes equal, or only one that is made up."""


@pytest.mark.parametrize("name", WRONG)
def test_no_condition_is_made_up(name: str) -> None:
    assert prove(*WRONG[name]).status in {"refuted", "undecided"}


def test_a_counterexample_may_hold_minus_infinity() -> None:
    found = prove(biased, library, ADDED, find_conditions=False)
    assert found.counterexample is not None
    assert "-inf" in json.dumps(found.to_json()["counterexample"], allow_nan=False)
    compile(found.counterexample.script, "script", "exec")
    assert "import inf" in found.counterexample.script


def test_what_is_assumed_is_no_condition_of_the_verdict() -> None:
    inputs = {**SIZES, "mask": "b m"}
    compared = lambda q, k, v, mask: naive(q, k, v, (mask != 0)[:, None, None, :])  # noqa: E731
    ones = lambda q, k, v, mask: library(q, k, v, (mask == 1)[:, None, None, :])  # noqa: E731
    both = ("mask is 0 or 1", ROWS)
    assert set(prove(compared, ones, inputs).conditions) == set(both)
    assert prove(compared, ones, inputs, both[:1]).conditions == both[1:]
    assert prove(compared, ones, inputs, both).conditions == ()


# Words


CONTEXT = Context(
    {"b.0": size("b"), "n.0": size("n"), "m.0": size("m"), "n.1": size("n"), "r.0": size("2")},
    inputs={"mask": "boolean", "x": "real", "e": "extended"},
)
SHAPES = {"mask": (size("b"), size("1"), size("n"), size("m")), "x": (size("b"), size("m"))}
AT = tuple(map(size, ("b.0", "0", "n.0", "m.0")))
READ = input_at("mask", AT)
X = input_at("x", (size("b.0"), size("m.0")))


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        (some(["m.0"], READ), "every row of mask has a True"),
        (some(["m.0"], term("Not", term("Equal", X, ZERO))), "every row of x has a True"),
        (some(["m.0"], term("Equal", X, constant(2))), "every row of x has a 2"),
        (zero_or_one(X), "x is 0 or 1"),
        (some(["n.0"], READ), "for all i < b, j < m: some k < n has mask[i, 0, k, j]"),
        (
            some(["m.0"], term("Not", READ)),
            "for all i < b, j < n: some k < m has not mask[i, 0, j, k]",
        ),
        (
            some(["m.0"], mul(READ, predicate(size("n.0 - m.0")))),
            "for all i < b, j < n: some k < m has mask[i, 0, j, k] and k <= j",
        ),
        (
            # A part of the rows is not the rows.
            some(["r.0"], input_at("mask", (*AT[:3], size("r.0")))),
            "for all i < b, j < n: some k < 2 has mask[i, 0, j, k]",
        ),
        (
            # Nor is the diagonal.
            some(["m.0"], input_at("x", (size("m.0"), size("m.0")))),
            "some i < m has x[i, i]",
        ),
        (
            some(["m.0"], term("Or", READ, term("Less", X, ONE))),
            "for all i < b, j < n: some k < m has mask[i, 0, j, k] or x[i, k] < 1",
        ),
        (Hypothesis(READ, ONE), "for all i < b, j < n, k < m: mask[i, 0, j, k]"),
        # Of a number, that it is 1 is not that it is not 0.
        (Hypothesis(X, ONE), "for all i < b, j < m: x[i, j] = 1"),
        (Hypothesis(mul(X, X), ONE), "for all i < b, j < m: (x[i, j]*x[i, j]) = 1"),
        (Hypothesis(READ, ZERO), "for all i < b, j < n, k < m: mask[i, 0, j, k] = 0"),
    ],
)
def test_a_hypothesis_in_words(hypothesis: Hypothesis, words: str) -> None:
    assert condition_text(hypothesis, CONTEXT, SHAPES) == words


def test_without_a_declared_shape_the_words_are_a_formula() -> None:
    words = "for all i < b, j < n: some k < m has mask[i, 0, j, k]"
    assert condition_text(some(["m.0"], READ), CONTEXT, {}) == words


def test_what_stands_for_minus_infinity() -> None:
    least = torch.finfo(torch.bfloat16).min
    assert stand_in_text(size_of(-1e9)) == "-1000000000 stands for -inf"
    assert stand_in_text(size_of(least)) == f"{least} (the least bfloat16) stands for -inf"


def size_of(value: float) -> Any:
    from fractions import Fraction

    return Fraction(value)


# Candidates


def test_which_inputs_reach_a_test_for_infinity() -> None:
    shape, apply, ninf = [size("m")], arrays.pointwise, arrays.number("-inf")
    c = arrays.input_array("c", shape, "boolean")
    e, y, z = (arrays.input_array(name, shape) for name in "eyz")
    shifted = apply("add", apply("where", c, e, ninf), apply("exp", y))
    largest = arrays.reduce(
        "Max", apply("maximum", arrays.view(z, [size(1), *shape]), shifted), [1]
    )
    assert infinity_tested([apply("equal", largest, ninf)]) == ("e", "z")
    assert infinity_tested([apply("equal", largest, arrays.number(0)), shifted]) == ()


def test_which_inputs_are_truth_values() -> None:
    compared = term("Equal", X, ONE)
    assert truth_inputs(CONTEXT, select(compared, ONE, ZERO)) == ("x",)
    assert truth_inputs(CONTEXT, select(compared, X, ZERO)) == ()
    bias = mul(add(ONE, mul(constant(-1), X)), constant(-10_000))
    assert truth_inputs(CONTEXT, compared, bias) == ("x",)
    assert truth_inputs(CONTEXT, bias) == ()


# Certificates


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return single(prove(naive, library, MASK).certificate)


def test_a_certificate_says_what_it_supposes(certificate: Certificate, tmp_path: Any) -> None:
    assert certificate.conditions == certificate.supposed == (ROWS,)
    certificate.save(tmp_path / "certificate.json")
    loaded = Certificate.load(tmp_path / "certificate.json")
    assert loaded.to_json() == certificate.to_json()
    assert loaded.check().conditions == (ROWS,)


def _without_words(data: dict[str, Any]) -> None:
    data["conditions"] = []


def _dropped(data: dict[str, Any]) -> None:
    del data["hypotheses"][0]


def _reversed_axes(data: dict[str, Any]) -> None:
    """About a reduction in another monoid."""
    left = data["nodes"][data["hypotheses"][0][0]]
    assert left[0] == "Reduce"
    data["nodes"][left[1]] = ["All"]


def _used_elsewhere(data: dict[str, Any]) -> None:
    step = next(s for _, _, steps in data["lemmas"] for s in steps if len(s) == 2)
    step[0] -= 1


def _of_no_inputs(data: dict[str, Any]) -> None:
    shape, values = data["example"]["mask"]
    data["example"]["mask"] = [shape, ["0"] * len(values)]


def _of_other_kind(data: dict[str, Any]) -> None:
    shape, values = data["example"]["mask"]
    data["example"]["mask"] = [shape, ["2"] * len(values)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_words, "supposes without a word that every row of mask has a True"),
        (_dropped, "a step is"),
        (_reversed_axes, "listed twice|does not hold|not hold|supposes|lemma"),
        (_used_elsewhere, "not what the hypothesis says"),
        (_of_no_inputs, "do not hold of its example"),
        (_of_other_kind, "values of another kind"),
    ],
)
def test_a_corrupted_hypothesis_is_rejected(
    certificate: Certificate, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    data = json.loads(json.dumps(certificate.to_json()))
    change(data)
    with pytest.raises(CertificateError, match=message):
        check(data)


@needs_coq
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"_hypotheses : list goal := \[.*\]", "_hypotheses : list goal := []"),
        (r"_hypotheses : list goal := \[\((\d+), .*\)\]", r"_hypotheses : list goal := [(\1, \1)]"),
        (r"Given p(\d+) p1", r"Given p1 p1"),
        (r"Given p(\d+) p1", r"Given p\1 p2"),
    ],
    ids=["dropped", "changed", "used elsewhere", "not there"],
)
def test_coq_rejects_a_corrupted_hypothesis(certificate: Certificate, old: str, new: str) -> None:
    text = export(certificate)
    changed = re.sub(old, new, text, count=1)
    assert changed != text and kernel.run(changed, kernel.theory()).returncode


@needs_coq
def test_a_hypothesis_is_a_premise_of_the_theorem_in_coq(certificate: Certificate) -> None:
    assert "Forall (holds_in" in export(certificate)
    premise = "((⋁ m_0 < m, mask b_0 0%Z n_0 m_0) = 1)%value) ->"
    assert premise in readback.statements(certificate)
    bare = replace(certificate, hypotheses=(), lemmas=())
    assert not kernel.accept(bare).accepted


def test_imposed_conditions_hold() -> None:
    inputs = {"mask": torch.zeros(2, 3, dtype=torch.bool)}
    impose(ROWS, inputs)
    assert bool(inputs["mask"].any(-1).all())


def test_what_is_undefined_as_it_is_read_is_left_out_and_said_to_be() -> None:
    """A row without a key: numbers that stand for −∞ give an average there, −∞ gives no number."""
    found = prove(filled(-1e9), filled(float("-inf")), MASK)
    assert found.status == "proved"
    assert found.conditions == ("-1000000000 stands for -inf", LEFT_OUT)
    assert found.certificate is not None
    confirm(found.certificate, filled(-1e9), filled(float("-inf")))
    silent = replace(found.certificate, conditions=found.certificate.conditions[:-1])
    with pytest.raises(CertificateError):
        confirm(silent, filled(-1e9), filled(float("-inf")))


def test_what_is_supposed_of_one_output_says_nothing_of_another() -> None:
    """Trials seldom see a row of y that is masked throughout; only a proof drops the condition."""

    def left(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -1e9)
        return scores.softmax(-1) @ v, torch.where(y > 30, -1e9, y).softmax(-1)

    def right(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return attended, torch.where(y > 30, -torch.inf, y).softmax(-1)

    inputs = {"q": "b n d", "k": "b m d", "v": "b m d", "mask": "b n m : bool", "y": "n m"}
    found = prove(left, right, inputs)
    assert found.status == "proved"
    stands = "-1000000000 stands for -inf"
    assert found.conditions == (stands, "every row of mask has a True", LEFT_OUT)


def test_a_row_that_is_supposed_to_have_a_value_above_minus_infinity_is_defined() -> None:
    def attention(mask: Tensor, x: Tensor) -> Tensor:
        return (x @ x.mT + mask).softmax(-1) @ x

    def guarded(mask: Tensor, x: Tensor) -> Tensor:
        scores = x @ x.mT + mask
        dead = torch.isneginf(mask).all(-1, keepdim=True)
        return torch.where(dead, 0.0, scores.softmax(-1)) @ x

    found = prove(attention, guarded, {"mask": "n n", "x": "n d"})
    assert found.status == "proved"
    assert found.conditions == ("every row of mask has a value above -inf",)
    assert not any("undefined" in note for note in found.notes)


def test_no_row_of_a_causal_mask_is_left_out() -> None:
    """Each row has a key, its own."""

    def causal(fill: float) -> Any:
        def attention(x: Tensor) -> Tensor:
            mask = torch.ones(x.shape[0], x.shape[0], dtype=torch.bool).tril()
            return (x @ x.mT).masked_fill(~mask, fill).softmax(-1) @ x

        return attention

    found = prove(causal(-1e9), causal(float("-inf")), {"x": "n d"})
    assert found.status == "proved"
    assert [c for c in found.conditions if "inf" in c] == ["-1000000000 stands for -inf"]


def test_where_all_is_undefined_nothing_is_proved() -> None:
    """No query sees a key: as it is read the output is undefined, whatever the inputs are."""

    def blind(fill: float) -> Any:
        def attention(x: Tensor) -> Tensor:
            return (x @ x.mT).masked_fill(torch.ones_like(x @ x.mT) > 0, fill).softmax(-1) @ x

        return attention

    found = prove(blind(-1e9), blind(float("-inf")), {"x": "n d"})
    assert found.status != "proved"


ABOVE = "softplus is log(1 + exp(x)) above its threshold of 20 too"


def documented(x: Tensor) -> Tensor:
    return torch.where(x > 20, x, torch.log1p(torch.exp(x)))


def smooth(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


@pytest.mark.parametrize(
    ("left", "right", "conditions"),
    [
        (F.softplus, documented, ()),
        (F.softplus, lambda input: F.softplus(input) * 1, ()),
        (F.softplus, smooth, (ABOVE,)),
        (lambda x: F.softplus(x, beta=2), lambda x: smooth(2 * x) / 2, (ABOVE,)),
        (F.mish, lambda input: input * F.softplus(input).tanh(), (ABOVE,)),
    ],
)
def test_softplus_is_smooth_under_a_condition_alone(
    left: Any, right: Any, conditions: tuple[str, ...]
) -> None:
    name = "x" if left.__name__ == "<lambda>" else "input"
    found = prove(left, right, {name: "n"})
    assert found.status == "proved" and found.conditions == conditions
    assert found.certificate is not None
    confirm(found.certificate, left, right)
    if conditions:
        other = replace(found.certificate, about={**found.certificate.about, "smooth": False})
        with pytest.raises(CertificateError):
            confirm(other, left, right)


def test_a_choice_of_something_else_above_a_threshold_is_not_smoothed() -> None:
    """What stands above it must be the argument, whoever writes the choice."""
    x = arrays.input_array("x", (size("n"),))
    soft, above = arrays.pointwise("softplus", x), arrays.pointwise("greater", x, arrays.number(30))
    other = arrays.pointwise("where", above, arrays.number(7), soft)
    assert not read_as_smooth([other])[1]
    assert read_as_smooth([arrays.pointwise("where", above, x, soft)])[1]


def test_a_low_threshold_of_softplus_is_no_rounding() -> None:
    assert prove(lambda x: F.softplus(x, threshold=1), smooth, {"x": "n"}).status == "refuted"
    found = prove(lambda x: F.softplus(x, threshold=19), smooth, {"x": "n"}, timeout=5)
    assert found.status == "undecided"
