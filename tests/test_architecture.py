"""The house: imports run one way, and the core needs nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import ncd_formal

PACKAGE = Path(ncd_formal.__file__).parent

LAYERS = (
    ("errors",),
    ("sizes",),
    ("conditions",),
    ("strides", "wires"),
    ("arrays", "semantics", "facts"),
    ("operators", "rules"),
    ("morphisms", "elaboration", "normalisation", "proof"),
    ("hypotheses",),
    (
        "candidates",
        "certificate",
        "composition",
        "egraph",
        "fingerprints",
        "frontends",
        "parameters",
    ),
    ("cache", "proving"),
    ("coq", "localization", "sweeping"),
    ("refutation", "reproduction"),
    ("task",),
    ("equivalence",),
    ("derivation",),
    ("realize",),
    ("targets", "outputs", "doctor", "law_table"),
    ("report",),
    ("testing",),
    ("pytest_plugin", "cli"),
)
"""From the bottom up: a module imports its own layer and those below."""

DEFERRED = {
    # The text of a term is read by the reader of rule texts.
    ("wires", "rules"),
    # A derivation ends in a kernel, and a kernel is written from a derived form.
    ("derivation", "realize"),
    # A morphism is evaluated and compared through its wires.
    ("morphisms", "elaboration"),
    ("morphisms", "frontends"),
}
"""Imports upwards, inside the functions that need them: module → module."""

HEAVY = {"torch", "triton", "egglog", "z3", "sympy"}
MAY_LOAD = {
    "frontends/torch_export": {"torch", "sympy"},
    "frontends/aten": {"torch"},
    "frontends/complex_numbers": {"torch"},
    "frontends/coverage": {"torch"},
    "frontends/fast_path": {"torch"},
    "frontends/float64": {"torch"},
    "frontends/symbolic": {"torch", "sympy"},
    "frontends/tables": {"torch"},
    "frontends/taken_apart": {"torch"},
    "realize/interpreter": {"torch", "triton"},
    "realize/compilation": {"torch", "triton"},
    "realize/accuracy": {"torch"},
    "realize/registration": {"torch", "triton"},
}
"""The modules that import something heavy at their top, and what."""


DERIVATION = (
    ("signomials", "machines", "streaming"),
    ("nests", "tiling"),
    ("simulation", "optima", "schedules", "sharing", "hierarchy", "refinement"),
    ("contractions", "cost", "inner_loops", "overlap", "parts"),
    ("fusion", "normal_form"),
    ("drawings", "refined", "regimes"),
    ("ways",),
    ("choice", "dispatches"),
    ("__init__", "map_drawing", "overlap_chart"),
    ("roofline",),
)
"""The layers within ``derivation``: formulas and machines, schedules, their costs, choices."""


def layer(module: str) -> int:
    (number,) = (k for k, names in enumerate(LAYERS) if module.split(".", maxsplit=1)[0] in names)
    return number


def imports(tree: ast.Module, top_level: bool) -> set[str]:
    """The modules that a file imports, at its top (outside TYPE_CHECKING) or anywhere."""
    nodes = tree.body if top_level else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "ncd_formal":
                found |= {f"ncd_formal.{a.name}" for a in node.names if not a.name.startswith("_")}
    return found


def files() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(PACKAGE).with_suffix("")), ast.parse(path.read_text()))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    ]


def own(names: set[str]) -> set[str]:
    return {n.split(".")[1] for n in names if n.startswith("ncd_formal.")}


def test_every_module_has_its_layer() -> None:
    for name, _ in files():
        layer(name.split("/")[0])


def test_imports_run_one_way() -> None:
    for name, tree in files():
        module = name.split("/")[0]
        for imported in own(imports(tree, top_level=True)):
            assert layer(imported) <= layer(module), f"{name} imports {imported}"
        for imported in own(imports(tree, top_level=False)):
            upwards = layer(imported) > layer(module)
            assert not upwards or (module, imported) in DEFERRED, f"{name} defers {imported}"


def test_imports_within_the_derivation_run_one_way() -> None:
    order = {name: k for k, names in enumerate(DERIVATION) for name in names}
    for name, tree in files():
        folder, _, module = name.partition("/")
        if folder != "derivation":
            continue
        for imported in imports(tree, top_level=False):
            package, _, part = imported.removeprefix("ncd_formal.").partition(".")
            if package == "derivation":
                below = order[part or "__init__"]
                assert below <= order[module], f"{name} imports {imported}"


def test_no_cost_knows_an_architecture() -> None:
    """Nor does a schedule: names of programs stand in comments on sources only."""
    for name, tree in files():
        if not name.startswith("derivation/"):
            continue
        words = {
            part
            for node in ast.walk(tree)
            if isinstance(node, (ast.Name, ast.Attribute, ast.FunctionDef, ast.ClassDef, ast.arg))
            for part in str(
                getattr(node, "id", None) or getattr(node, "attr", None)
                or getattr(node, "name", None) or getattr(node, "arg", "")
            ).lower().split("_")
        }  # fmt: skip
        assert not words & {"attention", "softmax", "flash", "transformer", "convolution", "mlp"}


def test_heavy_libraries_load_when_first_used() -> None:
    for name, tree in files():
        heavy = {n.split(".")[0] for n in imports(tree, top_level=True)} & HEAVY
        assert heavy <= MAY_LOAD.get(name, set()), f"{name} imports {heavy} at its top"


def test_the_checker_needs_neither_the_search_nor_a_solver() -> None:
    code = (
        "import sys, ncd_formal.certificate\n"
        "print(sorted({'egglog', 'z3', 'torch', 'triton', 'numpy'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_no_law_knows_an_architecture() -> None:
    import re

    from ncd_formal.rules import rules_folder

    for path in rules_folder().glob("*.egg"):
        words = set(re.findall(r"[a-z]+", path.read_text().lower()))
        assert not words & {"attention", "softmax", "flash", "transformer", "convolution"}


def test_the_table_of_laws_is_true() -> None:
    from ncd_formal.law_table import markdown
    from ncd_formal.rules import rules_folder

    written = (rules_folder() / "README.md").read_text(encoding="utf-8")
    assert written == markdown(), "run: python -m ncd_formal.law_table > rules/README.md"
