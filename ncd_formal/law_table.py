"""The laws as a table for people: ``rules/README.md`` is :func:`markdown`, and a test holds it."""

from __future__ import annotations

from fractions import Fraction

from ncd_formal.rules import Expression, Rule, Symbol, show, table

_REDUCTIONS = {
    "Sum": "Σ", "Product": "Π", "Max": "max", "Min": "min", "All": "∀", "Any": "∃",
    "RescaledSum": "fold",
}  # fmt: skip


def mathematics(expression: Expression, level: int = 0) -> str:
    """A side of a law as one would write it, grouping shown.

    ``level``: 0 anything, 1 a sum, 2 a product or less, 3 what needs no parentheses.
    """
    if not isinstance(expression, tuple):
        return str(expression)
    head, *args = expression
    op, own = str(head), 3
    parts = [mathematics(a) for a in args]
    if op == "Constant":
        text = _number(args[0])
        own = 1 if text.startswith("-") else 3
    elif op == "bigrat":
        text = _number(expression)
    elif op == "Add":
        text, own = f"{mathematics(args[0], 2)} + {mathematics(args[1], 2)}", 1
    elif op == "Mul":
        text, own = f"{mathematics(args[0], 3)}·{mathematics(args[1], 3)}", 2
    elif op == "Inverse":
        text, own = f"1/{mathematics(args[0], 3)}", 2
    elif op == "Reduce":
        monoid = args[0]
        name = str(monoid[0]) if isinstance(monoid, tuple) else str(monoid)
        text, own = f"{_REDUCTIONS.get(name, name)}_{parts[1]} {mathematics(args[2], 2)}", 2
    elif op == "Select":
        text, own = f"{parts[1]} if {parts[0]} else {parts[2]}", 0
    elif op == "Predicate":
        text = f"[{parts[0]} ≥ 0]"
    elif op == "Tuple":
        text = f"({', '.join(parts)})"
    elif op == "Function":
        text = f"{args[0]}({parts[1]})"
    elif op == "NegativeInfinity":
        text = "−∞"
    elif op in {"plus", "times", "+", "*", "/"}:
        sign = {"plus": " + ", "times": "·", "+": " + ", "*": "·", "/": " / "}[op]
        text, own = sign.join(parts), 1
    else:
        text = f"{op.lower()}({', '.join(parts)})"
    return f"({text})" if own < level else text


def _number(expression: Expression) -> str:
    if isinstance(expression, tuple) and expression[0] == "bigrat":
        values = [part[1] for part in expression[1:] if isinstance(part, tuple)]
        numbers = [v for v in values if isinstance(v, Fraction)]
        return str(numbers[0] / numbers[1])
    return mathematics(expression) if isinstance(expression, tuple) else str(expression)


def statement(rule: Rule) -> str:
    """What a law says, as one would write it."""
    arrow = "=" if rule.both_ways else "→"
    return f"{mathematics(rule.left)} {arrow} {mathematics(rule.right)}"


def conditions(rule: Rule) -> str:
    """Where a law holds."""
    return ", ".join(_condition(c) for c in rule.conditions) or "always"


def row(rule: Rule) -> str:
    """One law as a row of the table."""
    cells = (f"`{rule.name}`", statement(rule), conditions(rule), rule.comment)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _condition(condition: tuple[Expression, ...]) -> str:
    name, *arguments = condition
    if name in (Symbol(">"), Symbol("!=")):
        return f"{mathematics(arguments[0])} {name} {mathematics(arguments[1])}"
    return f"{name} {' '.join(mathematics(a) for a in arguments)}" if arguments else show(condition)


def markdown() -> str:
    """Every law, by ruleset."""
    lines = [
        "# The laws",
        "",
        "Written by `python -m ncd_formal.law_table`; a test holds this page to the rule texts.",
        "A law with `=` is used both ways. `independent x a` says that a does not depend on the",
        "axis x; `real`, `positive` … say which values a term may take (`facts.py`). The value −∞",
        "and the undefined are values, so a law that says *always* holds for them too.",
        "Each law is a theorem in Coq under `proofs/`: `sound_<name>`, dashes as underscores.",
    ]
    for ruleset in dict.fromkeys(rule.ruleset for rule in table().values()):
        lines += ["", f"## {ruleset}", "", "| name | law | where | in words |"]
        lines += ["|---|---|---|---|"]
        lines += [row(rule) for rule in table().values() if rule.ruleset == ruleset]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
