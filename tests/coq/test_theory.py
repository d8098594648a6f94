"""The Coq theory has no holes, says what the rule texts say, and is what its README says."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from ncd_formal.coq import kernel
from ncd_formal.coq.table import (
    LEMMAS,
    definition,
    laws,
    proofs_folder,
    soundness_text,
    table_text,
)
from ncd_formal.rules import rules_folder, table
from tests.coq import needs_coq

HEADLINES = {
    "Checker": {"check_sound"},
    "Soundness": {"table_sound"},
    "Contexts": {"nonnegative_sound"},
    "Sizes": {"same_eval"},
}
"""Module → the theorems on which certificates rest."""

PAPERS = ("Strides", "Broadcasting", "Streaming", "RescaledSums", "Transfers")
"""The modules whose theorems are all in the tables of the README."""

AXIOMS = {
    "ClassicalDedekindReals.sig_forall_dec",
    "ClassicalDedekindReals.sig_not_dec",
    "FunctionalExtensionality.functional_extensionality_dep",
    "Classical_Prop.classic",
}
"""What Coq's library of real numbers assumes."""

WITHOUT_AXIOMS = ("Strides", "Broadcasting")

# Reading Coq ----------------------------------------------------------------------------------

_PIECES = re.compile(r'\(\*|\*\)|"(?:[^"]|"")*"')
_SENTENCE_END = re.compile(r"\.(?=\s|$)")
_ATTRIBUTES = re.compile(r"#\[[^\]]*\]")
_WORD = re.compile(r"[A-Za-z_][\w']*")
_PREFIXES = {"Local", "Global", "Polymorphic", "Monomorphic", "Program", "Cumulative"}
_ASSUMPTIONS = {"Axiom", "Axioms", "Parameter", "Parameters", "Conjecture", "Conjectures"}
_OF_SECTIONS = {"Variable", "Variables", "Hypothesis", "Hypotheses", "Context"}
_CHECKS = re.compile(r"(Guard|Positivity|Universe) Checking|Type In Type|bypass_check")


def stripped(text: str) -> str:
    """A Coq text without its comments, which nest, and with its strings empty."""
    kept: list[str] = []
    depth, here = 0, 0
    for piece in _PIECES.finditer(text):
        if not depth:
            kept.append(text[here : piece.start()])
        if piece[0] == "(*":
            depth += 1
        elif piece[0] == "*)":
            depth -= 1
        elif not depth:
            kept.append('""')
        here = piece.end()
    assert not depth, "a comment does not end"
    return "".join(kept) + text[here:]


def holes(text: str) -> Iterator[str]:
    """What a Coq text leaves unproved, or assumes outside a section."""
    code = stripped(text)
    yield from re.findall(r"\b(?:Admitted|admit|give_up|Admit Obligations)\b", code)
    yield from (found[0] for found in _CHECKS.finditer(code))
    open_blocks: list[str] = []
    for sentence in _SENTENCE_END.split(_ATTRIBUTES.sub("", code)):
        words = [w for w in _WORD.findall(sentence) if w not in _PREFIXES] or [""]
        match words[0]:
            case "Section":
                open_blocks.append("Section")
            case "Module" if ":=" not in sentence:
                open_blocks.append("Module")
            case "End":
                open_blocks.pop()
            case word if word in _ASSUMPTIONS:
                yield word
            case word if word in _OF_SECTIONS and "Section" not in open_blocks:
                yield f"{word} outside a section"
    assert not open_blocks, f"a {open_blocks[-1]} does not end"


@cache
def source(module: str) -> str:
    return (proofs_folder() / f"{module}.v").read_text(encoding="utf-8")


def declared(module: str, kinds: str) -> list[str]:
    """The names that a module declares with one of the commands ``A|B``."""
    return re.findall(rf"^\s*(?:{kinds})\s+([\w']+)", stripped(source(module)), re.MULTILINE)


@cache
def readme() -> str:
    return (proofs_folder() / "README.md").read_text(encoding="utf-8")


@cache
def named_theorems() -> dict[str, set[str]]:
    """Module → the theorems that rows of the README's tables name; ``a_*`` is all that begin so."""
    found: dict[str, set[str]] = {}
    for row in re.findall(r"^\|(.*)\|$", readme(), re.MULTILINE):
        *_, theorems, file = row.split("|")
        if not (module := re.fullmatch(r"\s*`(\w+)\.v`\s*", file)):
            continue
        known = declared(module[1], "Theorem|Lemma|Corollary|Example|Definition")
        for name in re.findall(r"`([\w']+\*?)`", theorems):
            pattern = re.escape(name).replace(r"\*", ".*")
            matching = {k for k in known if re.fullmatch(pattern, k)}
            assert matching, f"{module[1]}.v has no {name}"
            found.setdefault(module[1], set()).update(matching)
    return found


def assumed(output: str) -> list[set[str]]:
    """What each ``Print Assumptions`` of an output names."""
    answers = re.split(r"^(?=Axioms:|Closed under)", output, flags=re.MULTILINE)[1:]
    return [
        set(re.findall(r"^(?!Axioms:|Closed under)(\S+)", answer, re.MULTILINE))
        for answer in answers
    ]


# The texts ------------------------------------------------------------------------------------


def modules() -> list[str]:
    return sorted(path.stem for path in proofs_folder().glob("*.v"))


def test_there_are_no_holes() -> None:
    found = {module: list(holes(source(module))) for module in modules()}
    assert {module: what for module, what in found.items() if what} == {}


# Texts to try the scanner on, so that it cannot pass by finding nothing: Coq never sees them.
@pytest.mark.parametrize(
    "text, found",
    [
        ("Lemma a : True. Proof. exact I. Qed.", []),
        ("Lemma a : False. Admitted.", ["Admitted"]),
        ("Lemma a : P. split; [auto|admit]. Qed.", ["admit"]),
        ("(* Admitted. (* Axiom a. *) admit *) Definition x := \"Axiom. Admitted.\".", []),
        ("Axiom a : False.", ["Axiom"]),
        ("#[local] Parameter a : nat.", ["Parameter"]),
        ("Local Axiom a : False.", ["Axiom"]),
        ("Section A. Variable x : nat. Section B. Hypothesis h : x = 0. End B. End A.", []),
        ("Section A. End A.\nHypothesis h : False.", ["Hypothesis outside a section"]),
        ("Module M. Variables x y : nat. End M.", ["Variables outside a section"]),
        ("Section A. Axiom a : False. End A.", ["Axiom"]),
        ("Unset Guard Checking. Definition x := 0.", ["Guard Checking"]),
        ("#[bypass_check(guard)] Fixpoint f (n : nat) : nat := f n.", ["bypass_check"]),
    ],
)  # fmt: skip
def test_holes_are_found(text: str, found: list[str]) -> None:
    assert list(holes(text)) == found


def test_the_project_lists_every_file() -> None:
    listed = (proofs_folder() / "_CoqProject").read_text(encoding="utf-8").split()
    assert sorted(name for name in listed if name.endswith(".v")) == [f"{m}.v" for m in modules()]
    assert set(kernel.sources(papers=True)) >= set(modules())


def test_generated_files_are_those_of_the_rule_texts() -> None:
    written = "run: python -m ncd_formal.coq.table"
    assert source("Table") == table_text(), written
    assert source("Soundness") == soundness_text(), written


def test_every_law_has_one_lemma() -> None:
    files = [module for module in modules() if module.endswith("Laws") and module != "Laws"]
    assert sorted(files) == sorted(LEMMAS)
    lemmas = Counter(
        name
        for module in modules()
        if module != "Broadcasting"  # where the laws of morphisms are proved
        for name in declared(module, "Theorem|Lemma|Corollary|Definition|Example|Fact|Remark")
        if name.startswith("sound_")
    )
    stated = [
        name
        for module in files
        for name, law in re.findall(
            r"^Lemma sound_(\w+) : law_sound law_(\w+)\.$", source(module), re.MULTILINE
        )
        if name == law
    ]
    names = sorted(name.replace("-", "_") for name in table())
    assert sorted(stated) == names
    assert sorted(lemmas.elements()) == sorted(f"sound_{name}" for name in names)


def test_every_law_of_morphisms_has_its_theorem() -> None:
    text = re.sub(r";[^\n]*", "", (rules_folder() / "monoidal.egg").read_text(encoding="utf-8"))
    names = [name.replace("-", "_") for name in re.findall(r':name "([^"]+)"', text)]
    assert len(names) > 40
    theorems = [t for t in declared("Broadcasting", "Theorem") if t.startswith("sound_")]
    assert sorted(theorems) == sorted(f"sound_{name}" for name in names)


# The map --------------------------------------------------------------------------------------


def test_the_map_names_every_file() -> None:
    named = set(re.findall(r"`(\w+)\.v`", readme()))
    assert set(modules()) <= named <= {*modules(), *kernel.sources(papers=True)}


def test_the_map_names_every_theorem_of_the_papers() -> None:
    named = named_theorems()
    assert set(named) >= set(PAPERS)
    for module in PAPERS:
        missing = set(declared(module, "Theorem|Corollary|Example")) - named[module]
        assert not missing, f"{module}.v: not in proofs/README.md: {sorted(missing)}"


def test_every_name_in_the_map_exists() -> None:
    """Also those outside the tables."""
    code = " ".join(stripped(source(module)) for module in modules())
    known = set(re.findall(r"[\w']+", code))
    known |= {
        f"certificate_{part}" for part in ("context", "nodes", "lemmas", "goals", "hypotheses")
    }
    quoted = set(re.findall(r"`(\w+_\w+)`", readme()))
    assert len(quoted) > 150
    assert quoted - known == {"ncd_formal"}
    assert set(re.findall(r"^- `([\w.]+)`:", readme(), re.MULTILINE)) == AXIOMS


@needs_coq
def test_only_the_axioms_of_the_real_numbers_are_used() -> None:
    """All headline theorems at once: Coq takes a second for the axioms of each by itself."""
    theorems = {
        module: named_theorems().get(module, set()) | HEADLINES.get(module, set())
        for module in sorted({*named_theorems(), *HEADLINES})
    }
    groups = {
        "all_of_them": list(theorems),
        "without_axioms": list(WITHOUT_AXIOMS),
    }
    lines = [f"From Ncd Require {' '.join(theorems)}."]
    for group, members in groups.items():
        terms = [f"@Ncd.{module}.{name}" for module in members for name in sorted(theorems[module])]
        lines += [f"Definition {group} := ({', '.join(terms)}).", f"Print Assumptions {group}."]
    done = kernel.run("\n".join(lines), kernel.theory(papers=True))
    assert done.returncode == 0, done.stderr
    assert sum(map(len, theorems.values())) > 150
    assert assumed(done.stdout) == [AXIOMS, set()]


@needs_coq
def test_an_axiom_is_seen() -> None:
    text = "Axiom extra : False.\nTheorem f : 0 = 1. Proof. destruct extra. Qed.\n"
    done = kernel.run(f"{text}Print Assumptions f. Print Assumptions nat_ind.", kernel.theory())
    assert done.returncode == 0, done.stderr
    assert assumed(done.stdout) == [{"extra"}, set()]


# What a change breaks -------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A compiled theory that may be changed."""
    return Path(shutil.copytree(kernel.theory(), tmp_path / "theory"))


CHANGED = {"mul-zero": "ArithmeticLaws", "sum-mul": "ReductionLaws"}
"""Law → the file of its lemma, which fails when the law loses its conditions."""


@needs_coq
@pytest.mark.parametrize("name", CHANGED)
def test_a_law_that_changes_needs_another_proof(name: str, copied: Path) -> None:
    law = laws()[name]
    stronger = replace(law, conditions=[])
    text = table_text().replace(definition(law), definition(stronger))
    assert text != table_text()
    kernel.compile_files({"Table": text}, copied)

    lemmas = kernel.sources()[CHANGED[name]]
    with pytest.raises(kernel.CoqError, match=rf"{CHANGED[name]}\.v does not compile") as error:
        kernel.compile_files({CHANGED[name]: lemmas}, copied)
    line = re.search(r"line (\d+)", str(error.value))
    assert line
    before = "\n".join(lemmas.splitlines()[: int(line[1])])
    assert re.findall(r"^Lemma (\w+)", before, re.MULTILINE)[-1] == f"sound_{law.identifier}"


@needs_coq
def test_a_law_without_a_lemma_is_refused(copied: Path) -> None:
    proof = soundness_text()
    cited = re.findall(r"^.*exact sound_\w+.*\n", proof, re.MULTILINE)
    assert len(cited) == len(table())

    unproved = re.sub(r"sound_\w+", "sound_unproved", cited[-1])
    with pytest.raises(kernel.CoqError, match="sound_unproved was not found"):
        kernel.compile_files({"Soundness": proof.replace(cited[-1], unproved + cited[-1])}, copied)
    with pytest.raises(kernel.CoqError, match=r"Soundness\.v does not compile"):
        kernel.compile_files({"Soundness": proof.replace(cited[-1], "")}, copied)
    kernel.compile_files({"Soundness": proof}, copied)
