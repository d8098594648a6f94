"""Certificates put to Coq: true ones are theorems, corrupted ones are rejected by the checker."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ncd_formal.certificate import Certificate, CertificateError, Goal, check
from ncd_formal.cli import main
from ncd_formal.conditions import Context
from ncd_formal.coq import kernel
from ncd_formal.coq.export import HEADER, Export, export
from ncd_formal.equivalence import prove
from ncd_formal.errors import InputError
from ncd_formal.proof import Instance
from ncd_formal.rules import Judge, read_own_rules, rules_folder, table
from ncd_formal.sizes import size
from ncd_formal.wires import ONE, Term, add, constant, input_at, mul, term
from tests.certificates import load, single
from tests.coq import needs_coq
from tests.coq.stacks import stack

pytestmark = needs_coq

KERNELS = rules_folder().parent / "kernels"


def verdicts(certificates: Iterator[Certificate] | list[Certificate]) -> list[bool]:
    """What Coq's checker computes of each, in one run."""
    parts = [HEADER]
    count = 0
    for number, certificate in enumerate(certificates):
        name = f"c{number}"
        parts.append(Export(certificate).definitions(name))
        parts.append(
            f"Eval vm_compute in "
            f"(check {name}_laws {name}_context {name}_nodes {name}_hypotheses {name}_lemmas "
            f"{name}_goals)."
        )
        count += 1
    done = kernel.run("\n".join(parts), kernel.theory())
    assert not done.returncode, done.stderr[-2000:]
    found = [line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("= ")]
    assert len(found) == count and set(found) <= {"true", "false"}
    return [answer == "true" for answer in found]


# True certificates


@pytest.mark.parametrize("name", ["attention", "causal_attention"])
def test_the_derived_kernels_rest_on_theorems(name: str) -> None:
    accepted = kernel.accept(Certificate.load(KERNELS / f"{name}.json"))
    assert accepted.accepted, accepted.reason


def test_a_stack_of_192_rewritten_layers_is_accepted() -> None:
    certificate = stack(192)
    certificate.check()
    accepted = kernel.accept(certificate)
    assert accepted.accepted, accepted.reason


# Corrupted certificates


def shift(s: Tensor) -> Tensor:
    return torch.softmax(s + 3, -1)


def softmax(s: Tensor) -> Tensor:
    return torch.softmax(s, -1)


def outside(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return (a @ b) @ c


def inside(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a @ (b @ c)


def masked(s: Tensor, mask: Tensor) -> Tensor:
    return s.masked_fill(~mask, float("-inf")).softmax(-1)


def weighted(s: Tensor, mask: Tensor) -> Tensor:
    weights = s.exp() * mask
    return weights / weights.sum(-1, keepdim=True)


def averaged(x: Tensor) -> Tensor:
    return x.mean(0)


def split(x: Tensor) -> Tensor:
    return (x[:4].sum(0) + x[4:].sum(0)) / 8


SOURCES: tuple[Callable[[], Certificate], ...] = (
    lambda: load(KERNELS / "attention.json"),
    lambda: load(KERNELS / "causal_attention.json"),
    lambda: proved(shift, softmax, {"s": "n m"}),
    lambda: proved(outside, inside, {"a": "i j", "b": "j k", "c": "k l"}),
    lambda: proved(masked, weighted, {"s": "n m", "mask": "n m : bool"}),
    lambda: proved(averaged, split, {"x": "8 n"}),
    lambda: stack(3),
)


def proved(left: object, right: object, inputs: dict[str, str]) -> Certificate:
    found = prove(left, right, inputs)
    assert found.certificate is not None, found.explain()
    return single(found.certificate)


Data = dict[str, Any]


def steps(data: Data) -> list[list[Any]]:
    return [step for _, _, steps in data["lemmas"] for step in steps]


def drop_a_step(data: Data, draw: random.Random) -> None:
    lemma = draw.choice([x for x in data["lemmas"] if x[2]])
    del lemma[2][draw.randrange(len(lemma[2]))]


def drop_a_lemma(data: Data, draw: random.Random) -> None:
    del data["lemmas"][draw.randrange(len(data["lemmas"]))]


def use_another_law(data: Data, draw: random.Random) -> None:
    step = draw.choice([s for s in steps(data) if len(s) == 3])
    sorts = table()[step[1]].sorts
    step[1] = draw.choice([name for name, rule in table().items() if rule.sorts == sorts])


def swap_a_goal(data: Data, draw: random.Random) -> None:
    goal = draw.choice(data["goals"])
    goal[draw.randrange(2)] = draw.randrange(len(data["nodes"]))


def forget_a_fact(data: Data, draw: random.Random) -> None:
    context = data["context"]
    kind = draw.choice(["inputs", "assumptions", "splits", "lower", "axes"])
    if kind == "inputs":
        name = draw.choice(sorted(context["inputs"]))
        context["inputs"][name] = "extended"
    elif kind == "axes":
        axis = draw.choice(sorted(context["axes"]))
        context["axes"][axis] = f"{context['axes'][axis]} + 1" if draw.random() < 0.5 else "0"
    elif kind == "lower":
        names = sorted({v for p in context["axes"].values() for v in size(p).variables})
        context["lower"][draw.choice(names)] = 0
    else:
        context[kind] = type(context[kind])()


def bind_another_axis(data: Data, draw: random.Random) -> None:
    named = [s for s in steps(data) if len(s) == 3 and "String" in table()[s[1]].sorts.values()]
    step = draw.choice(named)
    key = draw.choice([k for k, sort in table()[step[1]].sorts.items() if sort == "String"])
    step[2][key] = draw.choice(sorted(data["context"]["axes"]))


def use_another_value(data: Data, draw: random.Random) -> None:
    step = draw.choice([s for s in steps(data) if len(s) == 3])
    sorts = table()[step[1]].sorts
    key = draw.choice([k for k, sort in sorts.items() if sort in ("Term", "Monoid")])
    step[2][key] = draw.randrange(len(data["nodes"]))


def change_a_node(data: Data, draw: random.Random) -> None:
    node = draw.choice(data["nodes"])
    twins = {
        "Add": "Mul", "Mul": "Add", "Exp": "Log", "Sum": "Max", "Max": "Sum", "Inverse": "Sqrt",
        "Maximum": "Add", "First": "Second", "Second": "First", "Not": "Abs", "Less": "Equal",
    }  # fmt: skip
    if node[0] in twins:
        node[0] = twins[node[0]]
    elif node[0] == "Constant":
        node[1] = str(Fraction(node[1]) + draw.choice([-1, 1]))
    elif node[0] == "Reduce":
        node[2] = draw.choice(sorted(data["context"]["axes"]))
    else:
        draw.shuffle(data["nodes"])


def lead_elsewhere(data: Data, draw: random.Random) -> None:
    draw.choice(steps(data))[0] = draw.randrange(len(data["nodes"]))


CORRUPTIONS = (
    drop_a_step, drop_a_lemma, use_another_law, swap_a_goal, forget_a_fact, bind_another_axis,
    use_another_value, change_a_node, lead_elsewhere,
)  # fmt: skip


def corrupted(wanted: int) -> Iterator[tuple[str, Certificate]]:
    """Certificates that can be written and that the Python checker finds false."""
    draw = random.Random(3)
    originals = [source().to_json() for source in SOURCES]
    made = 0
    for _ in range(60 * wanted):
        if made == wanted:
            return
        data = json.loads(json.dumps(draw.choice(originals)))
        corruption = draw.choice(CORRUPTIONS)
        try:
            corruption(data, draw)
            certificate = _read(data)
            Export(certificate).definitions("c")
        except (CertificateError, LookupError, TypeError, ValueError, AssertionError):
            continue  # it cannot even be written
        try:
            check(certificate.to_json())
        except CertificateError as error:
            # How outputs are put together, and that some sizes exist, Coq does not say.
            if "dimensions" not in str(error) and "witness" not in str(error):
                made += 1
                yield corruption.__name__, certificate


def _read(data: Data) -> Certificate:
    """The certificate of data whose digests are made to fit."""
    data["digests"] = []
    try:
        Certificate.from_json(data)
    except CertificateError as error:
        if "digests" not in str(error):
            raise
    from ncd_formal.certificate import _nodes, context_from_json

    nodes = _nodes(data["nodes"], context_from_json(data["context"]))
    data["digests"] = [[nodes[a].digest, nodes[b].digest] for a, b, _ in data["goals"]]
    return Certificate.from_json(data)


def test_every_corrupted_certificate_is_rejected_by_the_checker() -> None:
    kinds, certificates = zip(*corrupted(520), strict=True)
    assert len(certificates) == 520
    counts = Counter(kinds)
    assert all(counts[corruption.__name__] >= 10 for corruption in CORRUPTIONS), counts
    answers = verdicts(list(certificates))
    assert not any(answers), [kind for kind, answer in zip(kinds, answers, strict=True) if answer]


def test_what_is_corrupted_is_accepted_as_it_was() -> None:
    """Else the test above would pass with a checker that accepts nothing."""
    assert all(verdicts([source() for source in SOURCES]))


# Laws of a user's own

ODD = (
    '(rewrite (Function "atan" (Mul (Constant (bigrat (bigint -1) (bigint 1))) x))'
    ' (Mul (Constant (bigrat (bigint -1) (bigint 1))) (Function "atan" x)) :name "atan-odd")'
)
FALSE = '(rewrite (Exp a) (Log a) :name "exp-is-log")'


def resting_on(text: str, **values: Term) -> Certificate:
    """A certificate of one instance of a law that nobody has proved."""
    (rule,) = read_own_rules(text)
    left, right = Judge(Context()).sides(rule, values)
    lemma = (left, right, ((right, Instance(rule.name, values)),))
    return Certificate(Context(inputs={"x": "real"}), (Goal(left, right),), (lemma,), rules=(rule,))


def test_a_law_without_a_lemma_is_used_and_named() -> None:
    found = prove(lambda x: torch.atan(-x), lambda x: -torch.atan(x), {"x": "n"}, rules=ODD)
    assert found.status == "proved" and "UNPROVED LAWS: atan-odd" in found.explain()
    assert found.certificate is not None and found.certificate.unproved == ("atan-odd",)
    again = Certificate.from_json(found.certificate.to_json())
    assert again.check(ODD).unproved == ("atan-odd",)


def test_a_law_that_is_not_used_is_not_named() -> None:
    found = prove(lambda x: x + 1, lambda x: 1 + x, {"x": "n"}, rules=ODD)
    assert found.status == "proved" and "UNPROVED" not in found.explain()
    assert single(found.certificate).rules == ()


def test_a_certificate_does_not_bring_laws_of_its_own() -> None:
    """Else anyone could certify anything: only what its reader vouches for is used."""
    certificate = resting_on(FALSE, a=input_at("x", []))
    with pytest.raises(CertificateError, match="exp-is-log, which nobody has proved"):
        certificate.check()
    other = '(rewrite (Exp a) (Sqrt a) :name "exp-is-log")'
    with pytest.raises(CertificateError, match="exp-is-log, which nobody has proved"):
        certificate.check(other)
    assert certificate.check(FALSE).unproved == ("exp-is-log",)
    unused = replace(certificate, rules=(*certificate.rules, *read_own_rules(ODD)))
    with pytest.raises(CertificateError, match="does not use the law atan-odd"):
        unused.check(FALSE + ODD)


def test_in_coq_an_unproved_law_is_a_premise() -> None:
    certificate = resting_on(FALSE, a=input_at("x", []))
    accepted = kernel.accept(certificate, plain=True)
    assert accepted.accepted and accepted.given == ("exp-is-log",)
    text = export(certificate)
    assert "law_sound law_exp_is_log ->" in text
    without = text.replace("law_sound law_exp_is_log ->", "")
    assert kernel.run(without, kernel.theory()).returncode


def test_a_law_about_a_named_function_is_no_premise() -> None:
    """In Coq atan may be any function, so that the law is false and everything follows."""
    minus = mul(constant(-1), input_at("x", []))
    certificate = resting_on(ODD, x=input_at("x", []))
    assert certificate.goals[0].left is term("Function", "atan", minus)
    with pytest.raises(InputError, match="atan-odd is about atan"):
        kernel.accept(certificate)


def test_ncd_check_wants_laws_vouched_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rules = tmp_path / "proof.json", tmp_path / "own.egg"
    resting_on(FALSE, a=input_at("x", [])).save(path)
    rules.write_text(FALSE, encoding="utf-8")
    assert main(["check", str(path)]) == 1
    assert "which nobody has proved" in capsys.readouterr().out
    assert main(["check", str(path), "--rules", str(rules), "--coq"]) == 0
    out = capsys.readouterr().out
    assert "UNPROVED rules: exp-is-log" in out
    assert "accepts it as a theorem, given exp-is-log" in out


@pytest.mark.parametrize("name", ["q *) Axiom bad : False. (*", '"', "(*", "*)", "a\nb", "Qed."])
def test_a_name_cannot_speak_to_coq(name: str) -> None:
    x = input_at(name, [])
    left, right = add(x, ONE), add(ONE, x)
    lemma = (left, right, ((right, Instance("add-comm", {"a": x, "b": ONE})),))
    certificate = Certificate(Context(inputs={name: "real"}), (Goal(left, right),), (lemma,))
    certificate.check()
    text = kernel.coq_text(certificate)
    assert not kernel.run(text, kernel.theory()).returncode
    assert kernel.run(text + "\nCheck bad.\n", kernel.theory()).returncode


def test_ncd_checks_with_coq(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "attention.v"
    arguments = ["check", str(KERNELS / "attention.json"), "--coq", "--coq-file", str(written)]
    assert main(arguments) == 0
    assert "accepts it as a theorem" in capsys.readouterr().out
    text = written.read_text(encoding="utf-8")
    assert "Theorem certificate" in text and "Theorem statement_1" in text
