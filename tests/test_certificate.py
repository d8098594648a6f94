"""A certificate is believed by nobody: whatever is changed in one, the check says no, or what is
left is still true.

Three kinds of attack: damage to the file, which its digest shows; single fields changed with the
digest made right again; and certificates forged by hand to prove something false.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from ncd_formal import wires
from ncd_formal.certificate import Certificate, CertificateError, Goal, digest_of
from ncd_formal.conditions import Context, Split, assume, witness
from ncd_formal.derivation.streaming import stream
from ncd_formal.elaboration import Output
from ncd_formal.equivalence import confirm, prove
from ncd_formal.errors import InputError
from ncd_formal.normalisation import Normaliser
from ncd_formal.proof import Congruence, Instance, Lemma, Step
from ncd_formal.proving import Proof
from ncd_formal.rules import Judge, table
from ncd_formal.semantics import NotExactError
from ncd_formal.sizes import size
from ncd_formal.wires import ONE, SIGNATURE, SUM, ZERO, Argument, Term, subterms, term
from tests.certificates import load, single
from tests.exact import CONTEXTS, Inputs, environments, exactly, same, sample_sizes, size_names
from tests.programs import Pair, equal
from tests.test_egraph import LAYOUT, MASKED, attention_context, naive
from tests.test_rules import Drawer, Pool

Data = dict[str, Any]

PAIRS: tuple[Pair, ...] = (
    equal.attention_of_one_head,
    equal.softmax_shift,
    equal.masked_sum_two_ways,
    equal.variance_two_ways,
    equal.causal_by_tril_is_sdpa,
)


def _proved(pair: Pair) -> Certificate:
    verdict = prove(pair.left, pair.right, pair.inputs, pair.assume, pair.parameters)
    assert verdict.certificate is not None, verdict.explain()
    return single(verdict.certificate)


def _assumed() -> Certificate:
    """A law about predicates that needs a condition on sizes, with an empty axis about."""
    context = assume(["n >= 2*m", "k >= 0"], ["n", "m", "k"])
    context = context.with_axes({"n.0": size("n"), "m.0": size("m"), "k.0": size("k")})
    inside = wires.predicate(size("n - m - 1 - m.0"))
    left = wires.mul(wires.input_at("x", [size("n.0")]), inside)
    empty = wires.reduce(SUM, "k.0", wires.input_at("y", [size("k.0")]))
    context = Context(
        context.axes, context.lower, context.assumptions, {}, {"x": "real", "y": "real"}
    )
    layout = (("n.0",), ("m.0",))
    outputs = [
        Output(wires.add(left, empty), layout),
        Output(wires.add(empty, wires.input_at("x", [size("n.0")])), layout),
    ]
    certificate = Proof(context, [(outputs[0], outputs[1])]).certificate((), {})
    assert certificate is not None
    return certificate


@cache
def certificates() -> Mapping[str, Certificate]:
    """Certificates of all kinds: from programs, from a derivation with a split, from wires."""
    found = {pair.name: _proved(pair) for pair in PAIRS}
    form = stream(Output(naive(MASKED), LAYOUT), attention_context(), "m.0")
    return {**found, "streamed attention": form.certificate, "assumed": _assumed()}


def written(certificate: Certificate) -> Data:
    """The certificate as it is in its file, without the digest."""
    data: Data = json.loads(json.dumps(certificate.to_json()))
    return data


def save(data: Data, path: Path, digest: str | None = None) -> Path:
    """Write data with its right digest, or with another."""
    path.write_text(json.dumps({**data, "digest": digest or digest_of(data)}), encoding="utf-8")
    return path


def accepted(data: Data, path: Path) -> Certificate | None:
    """The certificate of data whose digest is right, where it loads and holds."""
    try:
        certificate = load(save(data, path))
        certificate.check()
    except (InputError, CertificateError):
        return None
    return certificate


# What holds -----------------------------------------------------------------------------------


NAMES = (*(pair.name for pair in PAIRS), "streamed attention", "assumed")


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_is_saved_loaded_and_checked(name: str, tmp_path: Path) -> None:
    """Loading gives what was saved; both hold; the report counts what is there."""
    certificate = certificates()[name]
    path = tmp_path / "certificate.json"
    certificate.save(path)
    loaded = Certificate.load(path)
    assert loaded == certificate
    assert loaded.digest == certificate.digest
    report = loaded.check()
    assert report == certificate.check()
    assert report.goals == len(certificate.goals)
    assert report.lemmas == len(certificate.lemmas)
    assert report.steps == sum(len(steps) for _, _, steps in certificate.lemmas)
    assert set(report.rules) <= table().keys()
    assert is_true(certificate, random.Random(name))


def test_the_report_says_what_is_assumed_of_sizes() -> None:
    """An assumption is never silent."""
    assert "-2*m + n >= 0" in certificates()["assumed"].check().conditions
    assert any("m_blocks" in c for c in certificates()["streamed attention"].check().conditions)


@pytest.mark.parametrize("name", ["variance_two_ways", "streamed attention"])
def test_checking_needs_no_solver_no_engine_and_no_torch(name: str, tmp_path: Path) -> None:
    """In a fresh interpreter a saved certificate is checked with the standard library alone."""
    path = tmp_path / "certificate.json"
    certificates()[name].save(path)
    script = (
        "import sys\n"
        "from ncd_formal.certificate import Certificate\n"
        f"report = Certificate.load({str(path)!r}).check()\n"
        "heavy = {'egglog', 'z3', 'torch', 'triton', 'numpy', 'sympy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert report.steps > 50, report\n"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)


def is_true(certificate: Certificate, generator: random.Random, attempts: int = 3) -> bool:
    """Whether the goals hold at random small sizes, inputs and indices."""
    context = certificate.context
    for goal in certificate.goals:
        leaves = [leaf for digits in goal.layout for a in digits for leaf in context.leaves(a)]
        for attempt in range(attempts):
            try:
                sizes = sample_sizes(context, generator, spread=1 + attempt % 2)
            except ValueError:  # none so small
                names = size_names(context)
                sizes = {n: certificate.witness.get(n, context.least(n)) for n in names}
            inputs = Inputs(context, generator)
            points = list(environments(context, sizes, leaves))
            for point in generator.sample(points, min(2, len(points))):
                try:
                    left = exactly(goal.left, context, sizes, inputs, point)
                    right = exactly(goal.right, context, sizes, inputs, point)
                except NotExactError:
                    continue
                if not same(left, right):
                    return False
    return True


# One field changed, the digest made right -------------------------------------------------------


Change = tuple[str, Data]


def other(generator: random.Random, options: Sequence[Any], than: Any) -> Any:
    """One of the options that is not the one given."""
    return generator.choice([option for option in options if option != than] or [None])


def changed(data: Data, path: Sequence[Any], value: Any) -> Data:
    """A copy with one field set, or removed where the value is ``...``."""
    result = copy.copy(data)
    place: Any = result
    for key in path[:-1]:
        place[key] = copy.copy(place[key])
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


def context_changes(data: Data, g: random.Random) -> Iterator[Change]:
    """Axes, sizes, assumptions, splits, kinds, the witness."""
    context = data["context"]
    for axis, extent in context["axes"].items():
        for text in ("1", "0", "-1", "n", f"{extent} + 1", f"2*{extent}", f"{extent} - 1", axis):
            yield "size of an axis", changed(data, ["context", "axes", axis], text)
        yield "size not in normal form", changed(data, ["context", "axes", axis], f"{extent} + 0")
        yield "size that is no text", changed(data, ["context", "axes", axis], 3)
        yield "axis removed", changed(data, ["context", "axes", axis], ...)
        renamed = changed(data, ["context", "axes", axis], ...)
        yield "axis renamed", changed(renamed, ["context", "axes", f"{axis}9"], extent)
    yield "axis added", changed(data, ["context", "axes", "extra.0"], "n")
    for name in ("n", "n + m", "3", "", "a b.0", "n.0 + 1"):
        yield "axis of a wrong name", changed(data, ["context", "axes", name], "n")
    for name in ("n", "m", "unheard"):
        for least in (0, 1, 2, 7):
            yield "least size", changed(data, ["context", "lower", name], least)
        for none in (-1, True, 1.0, "1", None):
            yield "least size that is none", changed(data, ["context", "lower", name], none)
    for name in [*context["axes"], "1", "n m"]:
        yield "least size of no size", changed(data, ["context", "lower", name], 2)
    many = context["assumptions"]
    for text in ("n - 1", "n - m", "m - n"):
        yield "assumption added", changed(data, ["context", "assumptions"], [*many, text])
    for texts in (["-1"], ["n - 5", "3 - n"], ["-n"]):
        yield "assumptions that contradict", changed(data, ["context", "assumptions"], many + texts)
    for axis in context["axes"]:
        for text in (f"{axis} - 3", f"-{axis}"):
            yield "assumption on an index", changed(data, ["context", "assumptions"], [*many, text])
    for k, text in enumerate(many):
        yield "assumption dropped", changed(data, ["context", "assumptions", k], ...)
        yield "assumption changed", changed(data, ["context", "assumptions", k], f"{text} - 1")
    for axis, (outer, inner, masked) in context["splits"].items():
        where = ["context", "splits", axis]
        yield "mask of a split", changed(data, where, [outer, inner, not masked])
        yield "split turned round", changed(data, where, [inner, outer, masked])
        yield "split of one part", changed(data, where, [outer, outer, masked])
        yield "split in itself", changed(data, where, [axis, inner, masked])
        yield "split dropped", changed(data, where, ...)
        yield "split that is none", changed(data, where, [outer, inner, 1])
        yield "split that is none", changed(data, where, [outer, inner])
    axes = list(context["axes"])
    for _ in range(4):
        parts = [g.choice(axes), g.choice(axes), g.random() < 0.5]
        yield "split added", changed(data, ["context", "splits", g.choice(axes)], parts)
    for name, kind in context["inputs"].items():
        for new in ("real", "boolean", "extended", "integer"):
            if new != kind:
                yield "kind of an input", changed(data, ["context", "inputs", name], new)
        yield "kind that is none", changed(data, ["context", "inputs", name], "imaginary")
        yield "kind of an input dropped", changed(data, ["context", "inputs", name], ...)
    yield "kind of no input", changed(data, ["context", "inputs", "unheard"], "real")
    for field in context:
        yield "context without a field", changed(data, ["context", field], ...)
    for name, value in data["witness"].items():
        yield "witness changed", changed(data, ["witness", name], value + 1)
        yield "witness that is none", changed(data, ["witness", name], -1)
        yield "witness that is none", changed(data, ["witness", name], 1.0)
        yield "witness dropped", changed(data, ["witness", name], ...)


def node_changes(data: Data, g: random.Random) -> Iterator[Change]:
    """Operators, arguments, order."""
    nodes = data["nodes"]
    for k in g.sample(range(len(nodes)), min(len(nodes), 16)):
        op, *args = nodes[k]
        sorts, _ = SIGNATURE[op]
        like = [o for o, own in SIGNATURE.items() if own == SIGNATURE[op]]
        if len(like) > 1:
            yield "operator", changed(data, ["nodes", k, 0], other(g, like, op))
        yield "operator that is none", changed(data, ["nodes", k, 0], "Frobnicate")
        for j, sort in enumerate(sorts):
            where = ["nodes", k, j + 1]
            if sort in {"Term", "Monoid"}:
                yield "operand", changed(data, where, other(g, range(k), args[j]))
                yield "operand ahead", changed(data, where, k)
                yield "operand that is none", changed(data, where, -1)
                yield "operand that is none", changed(data, where, True)
            elif sort == "BigRat":
                for text in ("2", "-3/7", "0"):
                    if text != args[j]:
                        yield "number", changed(data, where, text)
                for text in ("4/2", "1e3", " 1", "+1", "0.5", "1/0", "x"):
                    yield "number not in normal form", changed(data, where, text)
                yield "number that is no text", changed(data, where, 1)
            else:
                for text in (f"{args[j]} + 1", f"{args[j]}9", "n", "zz.0", "0"):
                    yield "text", changed(data, where, text)
                yield "text not in normal form", changed(data, where, f"{args[j]} + 0")
        yield (
            "node of more arguments",
            changed(data, ["nodes", k], [op, *args, args[0] if args else 0]),
        )
        yield "node dropped", changed(data, ["nodes", k], ...)
        twice = copy.deepcopy(data)
        twice["nodes"].append(nodes[k])
        yield "node twice", twice
        if k:
            swapped = copy.deepcopy(data)
            swapped["nodes"][k], swapped["nodes"][k - 1] = nodes[k - 1], nodes[k]
            yield "nodes in another order", swapped
    unused = copy.deepcopy(data)
    unused["nodes"].append(["Constant", "987/654"])
    yield "node that is not used", unused


def proof_changes(data: Data, g: random.Random) -> Iterator[Change]:
    """Goals, lemmas, steps, laws, the values of their variables."""
    count = len(data["nodes"])
    laws = list(table())
    for k, (left, right, layout) in enumerate(data["goals"]):
        where = ["goals", k]
        yield "goal turned round", changed(data, where, [right, left, layout])
        turned = changed(data, where, [right, left, layout])
        yield (
            "goal turned round throughout",
            changed(turned, ["digests", k], data["digests"][k][::-1]),
        )
        for side in (0, 1):
            new = other(g, range(count), data["goals"][k][side])
            yield "goal", changed(data, [*where, side], new)
        yield "goal dropped", changed(data, where, ...)
        yield "layout in another order", changed(data, [*where, 2], layout[::-1])
        yield "layout without a dimension", changed(data, [*where, 2], layout[1:])
        yield "layout with one twice", changed(data, [*where, 2], layout + layout[:1])
        yield "layout of no axis", changed(data, [*where, 2], [*layout, ["zz.0"]])
        yield "layout that is none", changed(data, [*where, 2], ["n.0", "m.0"])
        yield "digest of a goal", changed(data, ["digests", k, 0], "0" * 24)
    for field in data:
        yield "field dropped", changed(data, [field], ...)
    yield "field added", {**data, "note": "trust me"}
    for number in (2, 0, None, "1", True, 1.0):
        yield "format", {**data, "format": number}
    others: list[Any] = [None, 3, "text", [], {}, [[]], [{}]]
    for value in others:
        for field in ("context", "nodes", "goals", "lemmas", "witness", "digests"):
            if value != data[field] and (field, value) != ("witness", {}):
                yield "field of another form", {**data, field: value}
        yield "conditions of another form", {**data, "conditions": value}
        yield "about of another form", {**data, "about": value}
    yield "conditions", {**data, "conditions": ["the moon is full"]}
    yield "about", {**data, "about": {"left": "another program"}}
    for k in g.sample(range(len(data["lemmas"])), min(len(data["lemmas"]), 12)):
        left, right, steps = data["lemmas"][k]
        yield "lemma dropped", changed(data, ["lemmas", k], ...)
        yield "lemma without steps", changed(data, ["lemmas", k, 2], [])
        yield "lemma turned round", changed(data, ["lemmas", k], [right, left, steps])
        for side in (0, 1):
            new = other(g, range(count), data["lemmas"][k][side])
            yield "end of a lemma", changed(data, ["lemmas", k, side], new)
        last = copy.deepcopy(data)
        last["lemmas"].append(last["lemmas"].pop(k))
        yield "lemma put last", last
        for j in g.sample(range(len(steps)), min(len(steps), 3)):
            yield from step_changes(data, g, ["lemmas", k, 2, j], laws)


def step_changes(
    data: Data, g: random.Random, where: Sequence[Any], laws: Sequence[str]
) -> Iterator[Change]:
    """One step of a lemma."""
    *around, number = where
    steps: Any = data
    for key in around:
        steps = steps[key]
    reached, *why = steps[number]
    count = len(data["nodes"])
    yield "step dropped", changed(data, where, ...)
    yield "step twice", changed(data, list(around), [*steps[: number + 1], *steps[number:]])
    yield "term reached", changed(data, [*where, 0], other(g, range(count), reached))
    yield "step of three parts", changed(data, where, [reached, *why, "and so"])
    if not why:
        law = g.choice(laws)
        yield "law in place of a congruence", changed(data, where, [reached, law, {}])
        return
    law, values = why
    yield "law left out", changed(data, where, [reached])
    for _ in range(3):
        yield "law", changed(data, [*where, 1], other(g, laws, law))
    alike = [n for n in laws if table()[n].sorts == table()[law].sorts]
    yield "law of the same variables", changed(data, [*where, 1], other(g, alike, law))
    yield "law that is none", changed(data, [*where, 1], "it-is-so")
    sorts = table()[law].sorts
    for name, value in values.items():
        place = [*where, 2, name]
        yield "value dropped", changed(data, place, ...)
        if sorts[name] in {"Term", "Monoid"}:
            yield "value", changed(data, place, other(g, range(count), value))
            yield "value of another sort", changed(data, place, str(value))
        elif sorts[name] == "BigRat":
            yield "value", changed(data, place, str(Fraction(value) + 1))
        else:
            axes = list(data["context"]["axes"])
            yield "value", changed(data, place, other(g, [*axes, "0", "n"], value))
            yield "value of another sort", changed(data, place, 0)
    yield "value added", changed(data, [*where, 2, "zz"], 0)


HARMLESS: Mapping[str, str] = {
    "size of an axis": "the same law for another size",
    "axis added": "an axis that nothing is about",
    "least size": "the same law for more or fewer sizes",
    "assumption added": "the same law for fewer sizes; the report says so",
    "assumption changed": "the same law for other sizes; the report says so",
    "assumption dropped": "the same law for more sizes, where the proof did not need it",
    "split added": "the same law, its axes in parts",
    "split turned round": "the same law, where the proof does not split",
    "split dropped": "the same law, where the proof does not split",
    "mask of a split": "the same law",
    "kind of an input": "the same law for more or fewer inputs",
    "kind of an input dropped": "the same law for more inputs",
    "kind of no input": "an input that nothing is about",
    "witness changed": "other sizes that satisfy the assumptions",
    "witness dropped": "the least size satisfies the assumptions",
    "operator": "a step that holds of another operator too",
    "operand": "a step that holds of another term too",
    "number": "a step that holds of another number too",
    "text": "a step that holds of another index too",
    "nodes in another order": "neither uses the other",
    "node dropped": "it is the last, and not used",
    "node that is not used": "a term that nothing is about",
    "goal turned round throughout": "equality is symmetric",
    "layout in another order": "the same law of the outputs transposed",
    "conditions": "what is said of the programs is compared by confirm",
    "about": "which programs is compared by confirm",
    "about of another form": "which programs is compared by confirm",
    "axis removed": "an axis that nothing is about",
    "step twice": "a term is itself by congruence",
    "lemma dropped": "it is the same as another read backwards",
    "lemma turned round": "its steps read the same",
    "lemma put last": "no other lemma cites it",
    "law of the same variables": "both laws say this of these terms",
    "law": "both laws say this of these terms",
    "value": "the law says this at other values too",
}
"""Changes after which a certificate may hold, and why; what it then says is true."""


OF_EACH_KIND = 7


def all_changes(name: str) -> list[Change]:
    """Changes of one certificate, a few of each kind."""
    data, g = written(certificates()[name]), random.Random(name)
    makers = (context_changes, node_changes, proof_changes)
    changes: dict[str, list[Data]] = {}
    for kind, new in (change for make in makers for change in make(data, g)):
        if json.dumps(new) != json.dumps(data):
            changes.setdefault(kind, []).append(new)
    return [
        (kind, new)
        for kind, found in changes.items()
        for new in g.sample(found, min(len(found), OF_EACH_KIND))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_field_is_refused_or_leaves_a_truth(name: str, tmp_path: Path) -> None:
    """The digest is made right, so that only the check is in the way.  What is accepted is of a
    kind that is listed as harmless, and true at random sizes and inputs.
    """
    path, generator = tmp_path / "certificate.json", random.Random(name)
    changes = all_changes(name)
    assert len(changes) >= 120
    held: list[str] = []
    for kind, data in changes:
        certificate = accepted(data, path)
        if certificate is not None:
            held.append(kind)
            if held.count(kind) <= 4:
                assert is_true(certificate, generator), f"{kind} leaves something false"
    assert set(held) <= HARMLESS.keys(), f"accepted: {sorted(set(held) - HARMLESS.keys())}"
    assert len(held) <= 0.25 * len(changes)


@pytest.mark.parametrize("name", NAMES)
def test_the_digest_shows_every_change(name: str, tmp_path: Path) -> None:
    """With the digest that it had, no change at all is accepted, harmless or not."""
    digest = certificates()[name].digest
    changes = all_changes(name)
    for _, data in random.Random(name).sample(changes, min(len(changes), 120)):
        path = save(data, tmp_path / "certificate.json", digest)
        with pytest.raises(InputError):
            Certificate.load(path)


# Damage -----------------------------------------------------------------------------------------


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Any byte of the file changed, removed or added, wherever that changes what it says."""
    path = tmp_path / "certificate.json"
    certificates()["softmax_shift"].save(path)
    text, generator = path.read_bytes(), random.Random(0)
    original = json.loads(text)
    tried = 0
    for _ in range(300):
        k = generator.randrange(len(text))
        byte = bytes([generator.choice(b'0123456789"[]{},:abcnxz.- \xff\x00')])
        new = generator.choice([text[:k] + byte + text[k + 1 :], text[:k] + text[k + 1 :],
                                text[:k] + byte + text[k:]])  # fmt: skip
        try:
            if json.loads(new) == original and "true" not in repr(new):
                continue
        except ValueError:
            pass
        tried += 1
        path.write_bytes(new)
        with pytest.raises(InputError):
            Certificate.load(path)
    assert tried >= 200


DEEP = 100_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"3",
        b'"certificate"',
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "digest": "x"}',
        b"{" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"format": 1, "digest": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"format": 1, "digest": "x", "nodes": ' + b"9" * 10_000 + b"}",
        b'{"format": NaN, "digest": "x"}',
        b"\x00\x01\x02\xff\xfe",
        "\ufeff{}".encode("utf-16"),
        b'{"format": 1, "digest": "\xed\xa0\x80"}',
        b'{"format": 1, "digest": "\\ud800"}',
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_certificate_is_refused(content: bytes, tmp_path: Path) -> None:
    """Empty, binary, cut short, nested too deeply: one clear line, no traceback."""
    path = tmp_path / "certificate.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Certificate.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """One that does not exist, and a folder."""
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(InputError):
            Certificate.load(path)


@pytest.mark.parametrize("name", ["softmax_shift", "streamed attention"])
def test_a_file_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    """At any place."""
    path = tmp_path / "certificate.json"
    certificates()[name].save(path)
    text = path.read_bytes()
    for k in range(0, len(text) - 2, max(1, len(text) // 60)):
        path.write_bytes(text[:k])
        with pytest.raises(InputError):
            Certificate.load(path)


@pytest.mark.parametrize(
    "text",
    ["(" * 50_000 + "n" + ")" * 50_000, "n // 0", "n**99", "n\x00", "9" * 5000, "-" * 50_000 + "n"],
    ids=lambda text: f"{text[:12]}…",
)
def test_an_index_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    """In a node, in an axis, in an assumption: refused, not a crash."""
    data = written(certificates()["masked_sum_two_ways"])
    places: list[tuple[list[Any], Any]] = [
        (["nodes", 0], ["Index", text]),
        (["context", "axes", "n.0"], text),
        (["context", "assumptions"], [text]),
        (["context", "lower", text], 2),
    ]
    for where, value in places:
        assert accepted(changed(data, where, value), tmp_path / "certificate.json") is None


@pytest.mark.parametrize(
    "text", ["(" * 50_000 + "n", "((n + m)**64)**64", "n // 0", "n; n", "", "x y", "9" * 5000]
)
def test_a_value_that_cannot_be_read_is_refused(text: str) -> None:
    """In a step, where a law computes with it."""
    left = term("Index", "n")
    cases: list[tuple[str, dict[str, Argument]]] = [
        ("index-sum", {"p": text, "q": "0"}),
        ("index-factor", {"p": text, "q": "1"}),
        ("sum-constant", {"x": text, "c": ONE}),
        ("predicate-true", {"p": text}),
    ]
    for law, values in cases:
        refused(forged(Context(), (left, ONE), [(left, ONE, (by(law, ONE, **values),))]))


# Certificates of other programs -----------------------------------------------------------------


def test_a_certificate_is_confirmed_for_its_programs_alone(tmp_path: Path) -> None:
    """The programs are imported again; others, and other shapes, are refused."""
    pair = equal.softmax_shift
    certificate = certificates()[pair.name]
    confirm(certificate, pair.left, pair.right)
    for left, right in [
        (pair.right, pair.left),
        (pair.left, pair.left),
        (pair.left, lambda x, c: (x + 2 * c).softmax(-1)),
        (lambda *inputs: torch.exp(pair.left(*inputs)), pair.right),
    ]:
        with pytest.raises((CertificateError, InputError)):
            confirm(certificate, left, right)
    data = written(certificate)
    for new in (
        changed(data, ["conditions"], ["n >= 2"]),
        changed(data, ["goals", 0, 2], data["goals"][0][2][::-1]),
        changed(data, ["context", "lower", "n"], 5),
        changed(data, ["context", "assumptions"], ["n - 1"]),
        changed(data, ["context", "axes", "b.0"], "2*b"),
        changed(data, ["context", "axes", "n.0"], "n + 1"),
        changed(data, ["context", "inputs", "x"], "boolean"),
        changed(data, ["context", "inputs", "x"], "extended"),
    ):
        held = accepted(new, tmp_path / "certificate.json")
        if held is not None:
            with pytest.raises(CertificateError):
                confirm(held, pair.left, pair.right)
    # An axis that the goals do not have is the proof's own business.
    held = accepted(changed(data, ["context", "axes", "extra.0"], "n"), tmp_path / "more.json")
    assert held is not None
    confirm(held, pair.left, pair.right)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"inputs": {}, "assume": [], "parameters": {}},
        {"inputs": [], "assume": [], "parameters": {}},
        {"inputs": {"x": 3}, "assume": [], "parameters": {}},
        {"inputs": {"x": "n m", "c": "n 1"}, "assume": 5, "parameters": {}},
        {"inputs": {"x": "n m", "c": "n 1"}, "assume": ["n >= n + 1"], "parameters": {}},
        {"inputs": {"x": "n m", "c": "n 1"}, "assume": [], "parameters": []},
        {"inputs": {"x": "p q", "c": "p 1"}, "assume": [], "parameters": {}},
    ],
    ids=str,
)
def test_a_certificate_that_says_it_is_about_nonsense_is_refused(
    about: Data, tmp_path: Path
) -> None:
    """``confirm`` says so, whatever the text about the programs is."""
    pair = equal.softmax_shift
    data = {**written(certificates()[pair.name]), "about": about}
    held = accepted(data, tmp_path / "certificate.json")
    if held is not None:
        with pytest.raises((CertificateError, InputError)):
            confirm(held, pair.left, pair.right)


# What follows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_follows_from_random_instances_is_true_or_refused(name: str) -> None:
    """Thousands of instances of laws over few terms, closed under congruence: two terms that are
    then equal have one value, or no certificate of it holds.  Only where an axis has no index at
    all does something false follow, and the check refuses it.
    """
    pool = Pool(name, 40, 2)
    context, generator = pool.context, random.Random(name)
    closure, judge = Congruence(), Judge(context)
    drawers = [Drawer(law, pool, generator) for law in table().values()]
    drawers = [drawer for drawer in drawers if drawer.possible]
    used: set[Term] = set()
    for _ in range(2000):
        drawer = generator.choice(drawers)
        values = drawer.draw()
        sides = drawer.sides(values)
        if sides is not None and drawer.holds(values):
            closure.merge(*sides, Instance(drawer.rule.name, values))
            used.update(sides)

    def log(law: str, values: dict[str, Argument], left: Term, right: Term) -> None:
        closure.merge(left, right, Instance(law, values))

    normalise = Normaliser(judge, log)
    for subject in sorted(used, key=lambda t: t.digest)[:300]:
        normalise(subject)
    classes: dict[Term, list[Term]] = {}
    for node in list(closure._parent):
        if SIGNATURE[node.op][1] == "Term":
            classes.setdefault(closure.find(node), []).append(node)
    pairs = [pair for members in classes.values() for pair in itertools.pairwise(members[:4])]
    assert len(pairs) >= 300
    false = 0
    for a, b in generator.sample(pairs, 300):
        goal = Goal(a, b, tuple((leaf,) for leaf in sorted(pool.leaves(a.axes | b.axes))))
        shown = Certificate(
            context, (goal,), closure.explain((a, b)), witness=witness(context) or {}
        )
        if not is_true(shown, generator, attempts=1):
            false += 1
            refused(shown)
    assert not false or name == "empty"


# Forgeries --------------------------------------------------------------------------------------


def forged(
    context: Context,
    goal: tuple[Term, Term],
    lemmas: Sequence[Lemma],
    layout: tuple[tuple[str, ...], ...] = (),
    witness: Mapping[str, int] | None = None,
) -> Certificate:
    """A certificate made by hand."""
    return Certificate(context, (Goal(*goal, layout),), tuple(lemmas), witness=witness or {})


def by(law: str, reached: Term, **values: Argument) -> Step:
    """A step by a law."""
    return reached, Instance(law, values)


def refused(certificate: Certificate) -> str:
    """Why a forgery is refused; the test fails where it is not."""
    with pytest.raises(CertificateError) as caught:
        certificate.check()
    return str(caught.value)


X, N = "x.0", "n.0"
A = wires.input_at("A", [size(X)])
TILED = Context(
    axes={X: size("k*t"), "b.0": size("k"), "i.0": size("t"), "j.0": size("t")},
    splits={X: Split("b.0", "i.0")},
    inputs={"A": "real"},
)
MASKED_TILES = Context(
    axes={X: size("n"), "b.0": size("k"), "i.0": size("t")},
    assumptions=(size("k*t - n"),),
    splits={X: Split("b.0", "i.0", True)},
    inputs={"A": "real"},
)


def test_forged_past_the_end_of_a_masked_axis() -> None:
    """[x ≤ n − 1] is not 1 where x is past its end: Σ over tiles is not Σ over the axis."""
    inside = term("Predicate", "n - x.0 - 1")
    chosen = wires.select(inside, A, ZERO)
    taken = wires.select(ONE, A, ZERO)
    left = wires.reduce(SUM, X, A)
    tiles = [wires.reduce(SUM, "i.0", body) for body in (chosen, A)]
    middle, right = (wires.reduce(SUM, "b.0", tile) for tile in tiles)
    lemmas: list[Lemma] = [
        (inside, ONE, (by("predicate-true", ONE, p="n - x.0 - 1"),)),
        (chosen, A, ((taken, None), by("select-true", A, c=Fraction(1), a=A, b=ZERO))),
        (tiles[0], tiles[1], ((tiles[1], None),)),
        (
            left,
            right,
            (by("split-masked-sum", middle, x=X, b="b.0", i="i.0", a=A), (right, None)),
        ),
    ]
    assert "predicate-true" in refused(forged(MASKED_TILES, (left, right), lemmas))


def test_forged_by_the_index_of_an_empty_axis() -> None:
    """At every index of an axis without one, all holds: 1 = [i ≥ 0] = 0."""
    context = Context(axes={"i.0": size("0")})
    at = term("Predicate", "i.0")
    steps = (by("predicate-true", at, p="i.0"), by("predicate-false", ZERO, p="i.0"))
    assert "no index" in refused(forged(context, (ONE, ZERO), [(ONE, ZERO, steps)]))


def test_forged_by_the_index_of_an_axis_that_may_be_empty() -> None:
    """|n − 1| = n − 1 by n − 1 = i + (n − 1 − i) fails at n = 0, where there is no i."""
    context = Context(axes={"i.0": size("n")}, lower={"n": 0})
    whole, rest = term("Index", "n - 1"), str(size("n - 1 - i.0"))
    parts = wires.add(term("Index", "i.0"), term("Index", rest))
    left = term("Abs", whole)
    split = Instance("index-sum", {"p": "i.0", "q": rest})
    lemmas: list[Lemma] = [
        (whole, parts, ((parts, split),)),
        (
            left,
            whole,
            ((term("Abs", parts), None), by("abs-nonnegative", parts, a=parts), (whole, split)),
        ),
    ]
    assert "no index" in refused(forged(context, (left, whole), lemmas))
    # Where there is an index, it is a proof.
    forged(Context(axes={"i.0": size("n")}), (left, whole), lemmas).check()


def test_forged_by_renaming_a_tile() -> None:
    """Σ_i A[x] is not Σ_j A[x] where x is made of i."""
    left, right = wires.reduce(SUM, "i.0", A), wires.reduce(SUM, "j.0", A)
    for old, new, a, b in [("i.0", "j.0", left, right), ("j.0", "i.0", right, left)]:
        step = by("reduce-rename", b, m=SUM, x=old, y=new, a=A)
        layout = ((X,),)
        assert "reduce-rename" in refused(forged(TILED, (a, b), [(a, b, (step,))], layout))


def test_forged_by_reversing_or_writing_out_a_tile() -> None:
    """The index of a tile is also within the index of the whole axis."""
    left, wrong = wires.reduce(SUM, "i.0", A), wires.add(A, A)
    small = Context(
        {X: size("2*k"), "b.0": size("k"), "i.0": size("2")}, splits={X: Split("b.0", "i.0")}
    )
    unrolled: Lemma = (left, wrong, (by("reduce-unroll", wrong, m=SUM, x="i.0", a=A),))
    refused(forged(small, (left, wrong), [unrolled], ((X,),)))
    both = wires.mul(A, wires.input_at("A", [size("i.0")]))
    turned = wires.mul(A, wires.input_at("A", [size("t - i.0 - 1")]))
    a, b = (wires.reduce(SUM, "i.0", body) for body in (both, turned))
    step = by("reduce-reverse", b, m=SUM, x="i.0", a=both)
    refused(forged(TILED, (a, b), [(a, b, (step,))], ((X,),)))


def test_forged_by_a_witness_that_does_not_exist() -> None:
    """∃ x with x = x − 1 of an index that is not there, and of one outside."""
    context = Context(axes={X: size("n"), "v.0": size("0")}, lower={"n": 0})
    some = wires.reduce(wires.ANY, X, term("Predicate", X))
    if "any-witness" not in table():
        return
    for w in (X, "v.0", "0", "n - 1", "-1"):
        step = by("any-witness", ONE, x=X, a=term("Predicate", X), w=w)
        refused(forged(context, (some, ONE), [(some, ONE, (step,))]))


def test_forged_by_axes_of_wrong_names() -> None:
    """An axis that looks like a size is not seen by ``independent``; one that is no name is
    read as an expression.
    """
    read = wires.input_at("A", [size("x")])
    left, right = wires.reduce(SUM, "x", read), wires.mul(term("Index", "n"), read)
    step = by("sum-constant", right, x="x", c=read)
    refused(forged(Context(axes={"x": size("n")}), (left, right), [(left, right, (step,))]))
    strange = "n.0 + 1"
    context = Context(
        axes={strange: size("m"), N: size("n"), "b.0": size("k"), "i.0": size("t")},
        assumptions=(size("k*t - m"),),
        splits={strange: Split("b.0", "i.0", True)},
    )
    inside = term("Predicate", str(size("m") - 1 - size(strange)))
    left = wires.reduce(SUM, strange, ONE)
    tile = wires.reduce(SUM, "i.0", wires.select(inside, ONE, ZERO))
    right = wires.reduce(SUM, "b.0", tile)
    step = by("split-masked-sum", right, x=strange, b="b.0", i="i.0", a=ONE)
    refused(forged(context, (left, right), [(left, right, (step,))], ((N,),)))
    turned = "reversed.x.0"
    context = Context(axes={X: size("n"), turned: size("n")})
    two = wires.input_at("A", [size(X), size(turned)])
    wrong = wires.input_at("A", [size("n - x.0 - 1")] * 2)
    left, right = wires.reduce(SUM, X, two), wires.reduce(SUM, X, wrong)
    step = by("reduce-reverse", right, m=SUM, x=X, a=two)
    refused(forged(context, (left, right), [(left, right, (step,))], ((turned,),)))


def test_forged_splits() -> None:
    """Parts that are too many, too few, of negative size, shared, or go round."""
    beyond = term("Predicate", "-x.0 + 5")
    for axes, splits in [
        ({X: "6", "b.0": "4", "i.0": "5"}, {X: Split("b.0", "i.0")}),
        ({X: "6", "b.0": "-2", "i.0": "-3"}, {X: Split("b.0", "i.0")}),
        ({X: "6", "b.0": "k", "i.0": "0"}, {X: Split("b.0", "i.0", True)}),
        ({X: "k*t", "b.0": "k", "i.0": "t"}, {X: Split("b.0", "b.0")}),
        ({X: "k*t", "b.0": "k"}, {X: Split("b.0", "i.0")}),
        ({"b.0": "k", "i.0": "t"}, {X: Split("b.0", "i.0")}),
        ({X: "1", "i.0": "1"}, {X: Split(X, "i.0")}),
        (
            {X: "k*t", "y.0": "k*t", "b.0": "k", "i.0": "t"},
            {X: Split("b.0", "i.0"), "y.0": Split("b.0", "i.0")},
        ),
    ]:
        context = Context(axes={k: size(v) for k, v in axes.items()}, splits=splits)
        step = by("predicate-true", ONE, p="-x.0 + 5")
        certificate = forged(context, (beyond, ONE), [(beyond, ONE, (step,))], ((X,),))
        refused(certificate)
        refused(forged(context, (ONE, ONE), []))


def test_forged_assumptions() -> None:
    """From assumptions that contradict each other, or are about an index, all follows."""
    wrong = term("Predicate", "-1")
    lemma: Lemma = (wrong, ONE, (by("predicate-true", ONE, p="-1"),))
    for texts in (["n - 5", "3 - n"], ["-1"], ["-n"], ["2*n - 2*m - 1", "2*m - 2*n + 1"]):
        context = Context(assumptions=tuple(map(size, texts)))
        witnesses: list[dict[str, int]] = [{}, {"n": 1}, {"n": 5, "m": 5}, {"n": -7}, {"m": 2}]
        for sizes in witnesses:
            refused(forged(context, (wrong, ONE), [lemma], (), sizes))
    context = Context(axes={X: size("n")}, assumptions=(size("x.0 - 3"),))
    at = term("Predicate", "x.0 - 3")
    step = by("predicate-true", ONE, p="x.0 - 3")
    refused(forged(context, (at, ONE), [(at, ONE, (step,))], ((X,),), {"x.0": 5}))


def test_forged_divisions_by_zero() -> None:
    """n // m is a number only where m is not 0, and 0·(n // 0) is not 0."""
    divided = term("Index", "((n) // (m))")
    left = wires.mul(ZERO, divided)
    step = by("mul-zero", ZERO, a=divided)
    refused(forged(Context(lower={"m": 0}), (left, ZERO), [(left, ZERO, (step,))]))
    forged(Context(), (left, ZERO), [(left, ZERO, (step,))]).check()
    negative = term("Index", "((n) // (m - 1))")
    left = wires.mul(ZERO, negative)
    step = by("mul-zero", ZERO, a=negative)
    refused(forged(Context(), (left, ZERO), [(left, ZERO, (step,))]))


def test_forged_products() -> None:
    """−∞ · −1 · −1 depends on how it is grouped and ordered, so products of such are not."""
    context = Context(axes={**TILED.axes, "y.0": size("m")}, splits=TILED.splits)
    body = wires.input_at("E", [size(X), size("y.0")])
    left = wires.reduce(wires.PRODUCT, X, body)
    right = wires.reduce(wires.PRODUCT, "b.0", wires.reduce(wires.PRODUCT, "i.0", body))
    step = by("split", right, m=wires.PRODUCT, x=X, b="b.0", i="i.0", a=body)
    refused(forged(context, (left, right), [(left, right, (step,))], (("y.0",),)))
    one = wires.reduce(wires.PRODUCT, X, wires.reduce(wires.PRODUCT, "y.0", body))
    two = wires.reduce(wires.PRODUCT, "y.0", wires.reduce(wires.PRODUCT, X, body))
    step = by("reduce-swap", two, m=wires.PRODUCT, x=X, y="y.0", a=body)
    refused(forged(context, (one, two), [(one, two, (step,))]))


def test_forged_captures() -> None:
    """A renaming is not caught by a reduction inside, and does not catch what is free."""
    context = Context(axes={X: size("n"), "y.0": size("n")}, inputs={"A": "real"})
    both = wires.input_at("A", [size(X), size("y.0")])
    diagonal = wires.input_at("A", [size("y.0"), size("y.0")])
    # Σ_x A[x, y] = Σ_y A[y, y] would catch y.
    left, right = wires.reduce(SUM, X, both), wires.reduce(SUM, "y.0", diagonal)
    step = by("reduce-rename", right, m=SUM, x=X, y="y.0", a=both)
    refused(forged(context, (left, right), [(left, right, (step,))], (("y.0",),)))
    # Σ_x Σ_y A[x, y] = Σ_y Σ_y A[y, y] would be caught.
    inner = wires.reduce(SUM, "y.0", both)
    left = wires.reduce(SUM, X, inner)
    right = wires.reduce(SUM, "y.0", wires.reduce(SUM, "y.0", diagonal))
    step = by("reduce-rename", right, m=SUM, x=X, y="y.0", a=inner)
    refused(forged(context, (left, right), [(left, right, (step,))]))
    # Opaque operators bind too.
    opaque = term("Opaque", "f", "y.0", "", both)
    left = wires.reduce(SUM, X, opaque)
    right = wires.reduce(SUM, "y.0", term("Opaque", "f", "y.0", "", diagonal))
    step = by("reduce-rename", right, m=SUM, x=X, y="y.0", a=opaque)
    refused(forged(context, (left, right), [(left, right, (step,))]))


def test_forged_swaps_of_shared_axes() -> None:
    """A reduction over an axis and one over a part of it do not change places."""
    body = wires.input_at("A", [size(X), size("i.0")])
    left = wires.reduce(SUM, X, wires.reduce(SUM, "i.0", body))
    right = wires.reduce(SUM, "i.0", wires.reduce(SUM, X, body))
    step = by("reduce-swap", right, m=SUM, x=X, y="i.0", a=body)
    refused(forged(TILED, (left, right), [(left, right, (step,))]))
    # Nor is what depends on the whole axis constant along a part of it.
    part = wires.reduce(SUM, "i.0", A)
    wrong = wires.mul(term("Index", "t"), A)
    step = by("sum-constant", wrong, x="i.0", c=A)
    refused(forged(TILED, (part, wrong), [(part, wrong, (step,))], ((X,),)))


def test_forged_nodes(tmp_path: Path) -> None:
    """Pairs as numbers, several indices for one, functions without a value, axes without a size,
    inputs of no kind, numbers as numbers.
    """
    base: Data = {
        "format": 1,
        "about": {},
        "conditions": [],
        "context": {"axes": {X: "n"}, "lower": {}, "assumptions": [], "splits": {}, "inputs": {}},
        "witness": {},
        "lemmas": [],
    }
    one, zero = ["Constant", "1"], ["Constant", "0"]

    def only(*nodes: list[Any], **context: Any) -> bool:
        root = Certificate(Context(), (Goal(ONE, ONE),), ()).to_json()["digests"]
        data = {**base, "nodes": [one, *nodes], "goals": [[0, 0, []]], "digests": root}
        data["context"] = {**base["context"], **context}
        return accepted(data, tmp_path / "certificate.json") is not None

    assert only(zero)
    assert only(["Index", "n"], ["Predicate", "-n + 3"], ["Input", "A", "x.0; n - x.0"])
    assert not only(["Tuple", 0, 0], ["Add", 0, 1])
    assert not only(["First", 0])
    assert not only(["Sum"], ["Reduce", 1, "y.0", 0])
    assert not only(["Sum"], ["Reduce", 1, "x", 0])
    assert not only(["Sum"], ["Reduce", 1, "x.0 x.0", 0])
    assert not only(["Sum"], ["Reduce", 1, "", 0])
    assert not only(["Opaque", "f", "y.0", "", 0])
    assert only(["Opaque", "f", "x.0 x.0", "", 0])
    assert not only(["Opaque", "f", "", "y.0", 0])
    assert not only(["Index", "n; n"])
    assert not only(["Index", ""])
    assert not only(["Predicate", "n; 3"])
    assert not only(["Index", "y.0"])
    assert not only(["Index", "((n) // (n - 1))"])
    assert not only(["Index", "((n) % (x.0))"])
    assert not only(["Function", "frobnicate", 0])
    assert not only(["Constant", 1])
    assert not only(["Constant", "2/4"])
    assert not only(["Sum"], ["Add", 0, 1])
    assert not only(["Reduce", 0, "x.0", 0])
    assert not only(zero, inputs={"A": "imaginary"})
    assert not only(zero, axes={X: "y.0", "y.0": "n"})
    assert not only(zero, lower={"x.0": 3})
    assert not only(zero, lower={"n": -1})


def test_forged_lemmas() -> None:
    """A lemma is not cited before it is shown, nor by itself, nor a goal without one."""
    a, b = wires.input_at("A", []), wires.input_at("B", [])
    fa, fb = wires.exp(a), wires.exp(b)
    refused(forged(Context(), (a, b), []))
    refused(forged(Context(), (a, b), [(a, b, ())]))
    refused(forged(Context(), (a, b), [(a, b, ((b, None),))]))
    refused(forged(Context(), (fa, fb), [(fa, fb, ((fb, None),))]))
    refused(forged(Context(), (fa, fb), [(fa, fb, ((fb, None),)), (a, b, ())]))
    # From f(a) = f(b) nothing follows for a and b.
    c, d = wires.mul(ZERO, a), wires.mul(ZERO, b)
    real = Context(inputs={"A": "real", "B": "real"})
    steps = (by("mul-zero", ZERO, a=a), by("mul-zero", d, a=b))
    forged(real, (c, d), [(c, d, steps)]).check()
    refused(forged(real, (a, b), [(c, d, steps), (a, b, ((b, None),))]))
    refused(forged(real, (a, b), [(c, d, steps)]))
    empty = Certificate(Context(), (), ())
    assert "no goal" in refused(empty)


def test_forged_layouts() -> None:
    """Dimensions are made of all free axes, each once."""
    goal = (A, A)
    for layout in [(), (("y.0",),), ((X,), (X,)), ((X, "b.0"),), (("zz.0",), (X,)), (("i.0",),)]:
        refused(forged(TILED, goal, [], layout))
    forged(TILED, goal, [], ((X,),)).check()
    forged(TILED, goal, [], (("b.0",), ("i.0",))).check()


def test_every_subterm_of_a_proof_is_written() -> None:
    """What is checked is the written form: nodes of goals, lemmas and values, each once."""
    certificate = certificates()["streamed attention"]
    roots = [t for goal in certificate.goals for t in (goal.left, goal.right)]
    for left, right, steps in certificate.lemmas:
        roots += [left, right, *(reached for reached, _ in steps)]
    assert len(certificate.to_json()["nodes"]) >= len(set(subterms(*roots)))
