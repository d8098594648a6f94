"""Which operators of PyTorch are known, which stay opaque, and which are refused, and why.

Nothing here is a list of its own: it is read from the table of handlers, from what their code says
they do not support, and from what PyTorch says of the operators that no handler takes.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import torch

from ncd_formal.frontends import aten, complex_numbers, torch_export
from ncd_formal.frontends.symbolic import operator_name

State = Literal["known", "opaque", "refused"]


@dataclass(frozen=True)
class Coverage:
    """What becomes of an operator.

    ``known``: it is read by its definition.  ``opaque``: it stays a function known by its name.
    ``refused``: a program with it cannot be imported.
    """

    name: str
    state: State
    detail: str


def coverage() -> tuple[Coverage, ...]:
    """Every operator that has a handler or is one of PyTorch's core or pointwise operators."""
    found = {name: _handled(name, entry) for name, entry in aten.ATEN.items()}
    for name in torch_export.ASSERTIONS:
        found[name] = Coverage(name, "known", "what it asserts is a condition")
    for name in complex_numbers.COMPLEX:
        if name not in found:
            found[name] = Coverage(name, "known", "on complex numbers, as pairs of real ones")
    for overload in _overloads():
        name = operator_name(overload)
        if name not in found:
            found[name] = _unhandled(name, overload)
    return tuple(found[name] for name in sorted(found))


def _handled(name: str, entry: aten.Entry) -> Coverage:
    limits = limits_of(entry.handler)
    if entry.opaque:
        return Coverage(name, "opaque", "natural in all axes but those that it acts on")
    detail = "by its definition"
    if limits:
        detail += f"; opaque for {', '.join(limits)}"
    return Coverage(name, "known", detail)


def _unhandled(name: str, overload: torch._ops.OpOverload) -> Coverage:
    reason = torch_export.refusal(overload)
    if reason is not None:
        return Coverage(name, "refused", reason)
    if overload in _decompositions():
        return Coverage(name, "known", "taken apart by PyTorch")
    if torch.Tag.pointwise in overload.tags:
        return Coverage(name, "opaque", "natural in all axes: it acts on values at one index")
    return Coverage(name, "opaque", "known by its name; sees all axes of its operands")


@cache
def _decompositions() -> Container[Any]:
    """The operators that an export takes apart where there is no handler."""
    table: Container[Any] = torch.export.default_decompositions()
    return table


def _overloads() -> Iterator[torch._ops.OpOverload]:
    """PyTorch's core and pointwise operators that give new tensors."""
    for packet_name in sorted(dir(torch.ops.aten)):
        packet = getattr(torch.ops.aten, packet_name)
        if not isinstance(packet, torch._ops.OpOverloadPacket):
            continue
        for overload_name in packet.overloads():
            overload = getattr(packet, overload_name)
            core = torch.Tag.core in overload.tags or torch.Tag.pointwise in overload.tags
            if core and not overload._schema.is_mutable and _gives_tensors(overload):
                yield overload


def _gives_tensors(overload: torch._ops.OpOverload) -> bool:
    return any("Tensor" in str(value.type) for value in overload._schema.returns)


@cache
def limits_of(handler: Callable[..., Any]) -> tuple[str, ...]:
    """What a handler leaves opaque, as it and the functions that it calls say themselves."""
    found: dict[str, None] = {}
    seen: set[object] = set()
    stack: list[Any] = [handler]
    while stack:
        function = stack.pop()
        while isinstance(function, partial):
            function = function.func
        if function in seen or not inspect.isfunction(function):
            continue
        seen.add(function)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            named = function.__globals__.get(node.func.id)
            if named is aten.UnsupportedError:
                (reason,) = node.args
                if isinstance(reason, ast.Constant):
                    found[str(reason.value)] = None
            elif getattr(named, "__module__", "").startswith("ncd_formal.frontends"):
                stack.append(named)
    return tuple(found)
