"""Expressions over parameters: ``in_proj = cat(q.weight, k.weight, v.weight)``.

Two programs name their parameters differently, or hold them merged, transposed or scaled.  An
expression gives a parameter of one side in terms of the other side's.  It is a Python expression of
dotted names, numbers, ``+ - * / @``, ``.T``, ``cat(a, b, …, dim=0)``, ``permute(a, 1, 0)``,
``view(a, n, m)`` and ``a[i:j]`` on the first dimension; it is read, never executed.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ncd_formal.errors import InputError


class Operations(Protocol):
    """What an expression is built with: arrays of the calculus, or tensors."""

    def number(self, value: float) -> Any: ...
    def binary(self, operator: str, a: Any, b: Any) -> Any: ...
    def concatenate(self, parts: list[Any], dimension: int) -> Any: ...
    def permute(self, a: Any, order: list[int]) -> Any: ...
    def view(self, a: Any, shape: list[int]) -> Any: ...
    def rows(self, a: Any, start: int, stop: int) -> Any: ...
    def rank(self, a: Any) -> int: ...


_BINARY: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.MatMult: "matmul",
}


def evaluate(name: str, text: str, look_up: Callable[[str], Any], using: Operations) -> Any:
    """The value of an expression; ``look_up`` gives the value of a dotted name.

    Errors: InputError naming the parameter and the part that is not understood.
    """

    def wrong(why: str) -> InputError:
        return InputError(f"parameter {name} = {text!r}: {why}")

    def whole(node: ast.expr) -> int:
        value = visit(node, raw=True)
        if not isinstance(value, int):
            raise wrong(f"{ast.unparse(node)!r} is not a whole number")
        return value

    def visit(node: ast.expr, raw: bool = False) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            if isinstance(node.value, bool) or not math.isfinite(node.value):
                raise wrong(f"{ast.unparse(node)!r} is not a real number")
            return node.value if raw else using.number(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = visit(node.operand, raw)
            return -inner if raw else using.binary("multiply", using.number(-1), inner)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return using.binary(_BINARY[type(node.op)], visit(node.left), visit(node.right))
        if isinstance(node, ast.Attribute) and node.attr == "T":
            inner = visit(node.value)
            return using.permute(inner, list(reversed(range(using.rank(inner)))))
        if isinstance(node, (ast.Name, ast.Attribute)):
            return look_up(ast.unparse(node))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            cut = node.slice
            if cut.lower is None or cut.upper is None or cut.step is not None:
                raise wrong("a slice needs both ends, as in weight[0:64]")
            return using.rows(visit(node.value), whole(cut.lower), whole(cut.upper))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            first = node.args[0] if node.args else None
            if node.func.id == "cat" and node.args:
                options = {k.arg: whole(k.value) for k in node.keywords}
                if options.keys() <= {"dim"}:
                    parts = [visit(a) for a in node.args]
                    return using.concatenate(parts, options.get("dim", 0))
            if node.func.id == "permute" and first is not None and not node.keywords:
                return using.permute(visit(first), [whole(a) for a in node.args[1:]])
            if node.func.id == "view" and first is not None and not node.keywords:
                return using.view(visit(first), [whole(a) for a in node.args[1:]])
        raise wrong(f"{ast.unparse(node)!r} is not understood")

    try:
        tree = ast.parse(text, mode="eval")
        return visit(tree.body)
    except (SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise wrong("it is no expression") from None
    except (RecursionError, MemoryError):
        raise wrong("it is nested too deeply") from None


class ArrayOperations:
    """Expressions as arrays of the calculus."""

    def number(self, value: float) -> Any:
        from fractions import Fraction

        from ncd_formal.arrays import number

        return number(Fraction(str(value)))

    def binary(self, operator: str, a: Any, b: Any) -> Any:
        from ncd_formal.arrays import pointwise
        from ncd_formal.operators import matmul

        return matmul(a, b) if operator == "matmul" else pointwise(operator, a, b)

    def concatenate(self, parts: list[Any], dimension: int) -> Any:
        from ncd_formal.arrays import concatenate

        return concatenate(parts, dimension)

    def permute(self, a: Any, order: list[int]) -> Any:
        from ncd_formal.arrays import permute

        return permute(a, order)

    def view(self, a: Any, shape: list[int]) -> Any:
        from ncd_formal.arrays import view
        from ncd_formal.sizes import size

        return view(a, [size(s) for s in shape])

    def rows(self, a: Any, start: int, stop: int) -> Any:
        from ncd_formal.arrays import affine
        from ncd_formal.sizes import size

        return affine(a, 0, size(stop - start), start)

    def rank(self, a: Any) -> int:
        return int(a.rank)


class TensorOperations:
    """Expressions as PyTorch tensors."""

    def number(self, value: float) -> Any:
        return value

    def binary(self, operator: str, a: Any, b: Any) -> Any:
        return {
            "add": lambda: a + b,
            "subtract": lambda: a - b,
            "multiply": lambda: a * b,
            "divide": lambda: a / b,
            "matmul": lambda: a @ b,
        }[operator]()

    def concatenate(self, parts: list[Any], dimension: int) -> Any:
        import torch

        return torch.cat(parts, dimension)

    def permute(self, a: Any, order: list[int]) -> Any:
        return a.permute(order)

    def view(self, a: Any, shape: list[int]) -> Any:
        return a.reshape(shape)

    def rows(self, a: Any, start: int, stop: int) -> Any:
        return a[start:stop]

    def rank(self, a: Any) -> int:
        return int(a.ndim)
