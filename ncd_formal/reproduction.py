"""A script in plain PyTorch that shows a difference between two programs, and needs nothing else.

The script holds the inputs and the parameters as numbers.  A program that stands by its name in a
module is imported and called; any other (a lambda, a closure, a module with its parameters, a
partial application of these) is written out as the operations that PyTorch recorded when it ran on
these inputs.  Where neither can be had, the values that it gave are written down, and how to call
it is said.
"""

from __future__ import annotations

import base64
import functools
import inspect
import math
import re
import sys
import textwrap
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncd_formal.errors import one_line
from ncd_formal.frontends.program import Program

if TYPE_CHECKING:
    import torch

    from ncd_formal.refutation import Counterexample, Tensors

READABLE = 1_000
"""Tensors with at most so many values are written as lists of numbers, larger ones packed."""

ROLES = ("left", "right")

SOURCE_LINES = 30
"""The longest source of a program that is quoted."""


@dataclass(frozen=True)
class Side:
    """One program of a counterexample, and what it was run on."""

    name: str
    target: object
    program: Program
    given: Tensors
    """The tensors of its inputs and parameters, by its own names."""
    shared: Mapping[str, str]
    """Its own names → the names in the counterexample, where the tensor is one of those."""
    expressions: Mapping[str, str]
    """Its parameters that are given by expressions over the other side's."""


def script(found: Counterexample, sides: Sequence[Side]) -> str:
    """The text of a script that runs both programs and shows where they differ.

    It exits with 1 where the outputs differ, with 0 where they agree, and prints the largest
    difference of each output.
    """
    writer = _Writer(found, sides)
    return writer.text()


_COMPARISON = '''

def outputs(value):
    """The tensors that a program returns."""
    leaves = torch.utils._pytree.tree_leaves(value)
    return [torch.as_tensor(leaf).double() for leaf in leaves if leaf is not None]


def gap(a, b):
    """The largest difference; infinite where only one of the two is a finite number."""
    if a.shape != b.shape:
        return math.inf
    finite = a.isfinite() & b.isfinite()
    if not torch.equal(a.isfinite(), b.isfinite()):
        return math.inf
    return (a - b)[finite].abs().max().item() if finite.any() else 0.0


with torch.no_grad():
    pairs = list(zip(outputs(left()), outputs(right()), strict=True))
differ = False
for number, (a, b) in enumerate(pairs):
    finite = torch.cat([a[a.isfinite()], b[b.isfinite()]])
    scale = 1 + (finite.abs().max().item() if finite.numel() else 0.0)
    largest = gap(a, b)
    differ = differ or largest > 1e-6 * scale
    print(f"output {number}:")
    print(f"left = {a}")
    print(f"right = {b}")
    print(f"largest difference: {largest:.6g}")
print("they differ" if differ else "they agree")
sys.exit(1 if differ else 0)
'''

_UNPACK = '''

def unpack(text, dtype, shape):
    """A tensor from its bytes, compressed and in base 85."""
    data = bytearray(zlib.decompress(base64.b85decode(text)))
    return torch.frombuffer(data, dtype=dtype).reshape(shape)
'''


class _Writer:
    """Writes one script."""

    def __init__(self, found: Counterexample, sides: Sequence[Side]) -> None:
        self.found, self.sides = found, sides
        self.imports = {"math", "sys", "torch"}
        self.packs = False
        self.tensors = dict(found.inputs)

    def text(self) -> str:
        calls = [self._call(side, role) for side, role in zip(self.sides, ROLES, strict=True)]
        body = "\n\n\n".join(calls)
        used = {name: t for name, t in self.tensors.items() if f"tensors[{name!r}]" in body}
        held = "".join(f"    {name!r}: {self._literal(t)},\n" for name, t in used.items())
        sizes = ", ".join(f"{name} = {value}" for name, value in self.found.sizes.items())
        names = [one_line(side.name) for side in self.sides]
        head = [
            f"# {' and '.join(names)} differ.",
            f"# {one_line(self.found.difference)}",
            f"# sizes: {sizes or 'none'}",
            "# This script needs PyTorch alone: it exits with 1 where the two differ, else with 0.",
        ]
        if self.packs:
            self.imports |= {"base64", "zlib"}
        plain = sorted(self.imports - {"torch"})
        lines = [
            *head,
            "",
            *(f"import {name}" for name in plain),
            "from math import inf, nan",
            "",
            "import torch",
            "from torch import device",
            "",
            "torch.set_default_dtype(torch.float64)",
            "torch.set_printoptions(precision=10)",
        ]
        unpack = _UNPACK if self.packs else ""
        holds = f"\n\ntensors = {{\n{held}}}\n" if held else ""
        return "\n".join(lines) + "\n" + unpack + holds + "\n\n" + body + "\n" + _COMPARISON

    # Programs -------------------------------------------------------------------------------

    def _call(self, side: Side, role: str) -> str:
        """A function without arguments that runs one side."""
        for write in (self._by_name, self._by_operations):
            text = write(side, role)
            if text is not None:
                return text
        return self._by_values(side, role)

    def _read(self, side: Side, name: str) -> str:
        """The expression of one of a side's tensors."""
        ours = side.shared.get(name)
        if ours is None or ours not in self.tensors:
            ours = f"{name} of {side.name}"
            self.tensors[ours] = side.given[name]
        return f"tensors[{ours!r}]"

    def _by_name(self, side: Side, role: str) -> str | None:
        """Imports the program, where it stands by a name in a module and holds no tensors."""
        if side.program.tensors:
            return None
        partial = side.target if isinstance(side.target, functools.partial) else None
        place = _find(side.target if partial is None else partial.func)
        if place is None or not self._loads(place):
            return None
        arguments = self._arguments(side)
        if arguments is None:
            return None
        function = f"{role}_module.{place.attribute}"
        if partial is not None:
            options = [*map(_plain, partial.args), *map(_plain, partial.keywords.values())]
            if any(option is None for option in options):
                return None
            fixed = options[: len(partial.args)] + [
                f"{name}={text}"
                for name, text in zip(partial.keywords, options[len(partial.args) :], strict=True)
            ]
            self.imports.add("functools")
            function = f"functools.partial({', '.join([function, *map(str, fixed)])})"
        self.imports |= {"importlib"} if place.file is None else {"importlib.util"}
        return "\n".join(
            (
                f"# {role}: {_title(side)}",
                *place.loading(f"{role}_module"),
                "",
                "",
                f"def {role}():",
                f"    return {function}({', '.join(arguments)})",
            )
        )

    def _loads(self, place: _Place) -> bool:
        """Whether loading this place gives what was run.

        Two files in two folders may each have a neighbour of one name, which Python would load
        only once.
        """
        folders = {place.folder} | {
            other.folder for side in self.sides if (other := _find(side.target)) is not None
        }
        return place.folder is None or len(folders - {None}) == 1

    def _arguments(self, side: Side) -> list[str] | None:
        """The arguments of a call: by position where they must be, else by name."""
        try:
            known = inspect.signature(side.target).parameters  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return [f"{self._read(side, name)}.clone()" for name in side.program.inputs]
        arguments: list[str] = []
        by_name = False
        for name, parameter in known.items():
            if name not in side.program.inputs:
                by_name = True
                continue
            by_position = parameter.kind is parameter.POSITIONAL_ONLY
            if by_name and by_position:
                return None
            value = f"{self._read(side, name)}.clone()"
            by_name = by_name or parameter.kind is parameter.KEYWORD_ONLY
            arguments.append(f"{name}={value}" if by_name else value)
        return arguments

    def _by_operations(self, side: Side, role: str) -> str | None:
        """The operations that PyTorch records when the program runs on these tensors."""
        recorded = _record(side)
        if recorded is None:
            return None
        names, constants, body = recorded
        lines = [f"# {role}: {_title(side)}, as the operations that it runs here", *_quoted(side)]
        for name in names:
            if name in side.expressions:
                lines.append(f"# {name} = {one_line(side.expressions[name])}")
        lines += [f"def {role}():"]
        lines += [
            f"    {local} = {self._read(side, name)}.clone()" for name, local in names.items()
        ]
        lines += [f"    {local} = {self._literal(value)}" for local, value in constants.items()]
        return "\n".join([*lines, *body])

    def _by_values(self, side: Side, role: str) -> str:
        """The values that the program gave."""
        values = [self._literal(value) for value in side.program.run(side.given)]
        arguments = ", ".join(f"{name}={name!r}" for name in side.program.inputs)
        return "\n".join(
            (
                f"# {role}: {_title(side)}, the values that it gave",
                f"# To run it, call it on these tensors: {one_line(arguments)}.",
                *_quoted(side),
                f"def {role}():",
                f"    return [{', '.join(values)}]",
            )
        )

    # Numbers --------------------------------------------------------------------------------

    def _literal(self, tensor: torch.Tensor) -> str:
        """An expression whose value is the tensor."""
        tensor = tensor.detach().cpu()
        shape = tuple(tensor.shape)
        if tensor.numel() <= READABLE:
            text = f"torch.tensor({tensor.tolist()!r}, dtype={tensor.dtype})"
            return text if tensor.numel() else f"{text}.reshape({shape})"
        self.packs = True
        data = zlib.compress(tensor.contiguous().numpy().tobytes(), 1)
        packed = base64.b85encode(data).decode("ascii")
        return f"unpack({packed!r}, {tensor.dtype}, {shape})"


# Names ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a program stands: an attribute of a file, or of a module that can be imported."""

    module: str
    attribute: str
    file: str | None
    folder: str | None
    """What has to be on the path of imports."""

    def loading(self, name: str) -> Iterable[str]:
        if self.folder is not None:
            yield f"sys.path.insert(0, {self.folder!r})"
        if self.file is None:
            yield f"{name} = importlib.import_module({self.module!r})"
        else:
            yield f"_spec = importlib.util.spec_from_file_location({self.module!r}, {self.file!r})"
            yield f"{name} = importlib.util.module_from_spec(_spec)"
            yield f"sys.modules[{self.module!r}] = {name}"
            yield f"_spec.loader.exec_module({name})"


def _find(target: object) -> _Place | None:
    """The place of a function at the top of a module, None where it has none."""
    if isinstance(target, functools.partial):
        return _find(target.func)
    if inspect.ismodule(target) or isinstance(target, type) or not callable(target):
        return None
    name = getattr(target, "__name__" if inspect.isbuiltin(target) else "__qualname__", None)
    # What stands in the main module would run the main module again.
    public: list[object] = ["torch", "torch.nn.functional"] if inspect.isbuiltin(target) else []
    homes = [*public, getattr(target, "__module__", None)]
    for home in homes:
        module = sys.modules.get(home) if isinstance(home, str) and home != "__main__" else None
        if module is None or not isinstance(name, str) or not name.isidentifier():
            continue
        if getattr(module, name, None) is not target:
            continue
        if inspect.isbuiltin(target):
            return _Place(str(home), name, None, None)
        return _place(module.__name__, name, getattr(module, "__file__", None))
    return None


def _place(module: str, name: str, file: str | None) -> _Place | None:
    path = None if file is None else Path(file).resolve()
    if path is None or path.suffix != ".py":
        return None
    if "site-packages" in path.parts:
        return _Place(module, name, None, None)
    parts = module.split(".")
    stem = parts if path.name != "__init__.py" else [*parts, "__init__"]
    if list(path.with_suffix("").parts[-len(stem) :]) == stem:
        return _Place(module, name, None, str(path.parents[len(stem) - 1]))
    return _Place(module, name, str(path), str(path.parent))


def _plain(value: object) -> str | None:
    """The text of a number, a text, a truth value, a dtype or a sequence of them; else None."""
    import torch

    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, bool | int | float | str | torch.dtype):
        return repr(value)
    if type(value) in (list, tuple):
        items = [_plain(item) for item in value]  # type: ignore[attr-defined]
        if all(item is not None for item in items):
            joined = ", ".join(map(str, items))
            comma = "," if len(items) == 1 and type(value) is tuple else ""
            return f"[{joined}]" if type(value) is list else f"({joined}{comma})"
    return None


def _definition(target: object) -> Any:
    """The function or class whose source says what the program does."""
    while isinstance(target, functools.partial):
        target = target.func
    return target if inspect.isroutine(target) else type(target)


def _title(side: Side) -> str:
    """The name of a program, and its file and line where they are known."""
    definition = _definition(side.target)
    try:
        file = inspect.getsourcefile(definition)
        _, line = inspect.getsourcelines(definition)
    except (TypeError, OSError):
        return one_line(side.name)
    return one_line(f"{side.name} ({file}:{line})")


def _quoted(side: Side) -> list[str]:
    """The source of a program as comments, where it can be had and is short."""
    try:
        lines = textwrap.dedent(inspect.getsource(_definition(side.target))).splitlines()
    except (TypeError, OSError):
        return []
    return [f"#     {line}".rstrip() for line in lines] if len(lines) <= SOURCE_LINES else []


# Recording -----------------------------------------------------------------------------------

_DELETION = re.compile(r";\s+(\w+ = )+None(?=\s*(#|$))")
_KNOWN = {"torch", "device", "inf", "nan"}
"""The names that every script brings in."""


def _record(side: Side) -> tuple[dict[str, str], dict[str, Any], list[str]] | None:
    """A run of a program: its tensors → local names, the constants in it, the lines of a body.

    None where PyTorch cannot record it.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    names = list(side.given)

    def run(*tensors: torch.Tensor) -> Any:
        return side.program.run(dict(zip(names, tensors, strict=True)))

    try:
        with _plainly():
            traced = make_fx(run, pre_dispatch=True)(*(t.clone() for t in side.given.values()))
    except Exception:  # whatever the program raises when it is traced
        return None
    graph = traced.graph
    places = [node for node in graph.nodes if node.op == "placeholder"]
    values = dict(zip(places, side.given.values(), strict=True))
    for node in list(graph.nodes):
        if node.target is torch._C._set_grad_enabled and not node.users:
            graph.erase_node(node)
        elif str(node.target) == "aten.to.dtype" and len(node.args) == 2:
            source, dtype = node.args
            if source in values and values[source].dtype is dtype:
                node.replace_all_uses_with(source)
                graph.erase_node(node)
    used: dict[str, str] = {}
    for name, node in zip(names, places, strict=True):
        if node.users:
            node._rename(re.sub(r"\W", "_", name).strip("_") or "tensor")
            node.target = node.name
            used[name] = node.name
    code = graph.python_code("self")
    text = code.src.partition("def forward")[2].partition(":\n")[2]
    text = "\n".join(_DELETION.sub("", line).rstrip() for line in text.splitlines())
    constants: dict[str, Any] = {}
    for attribute in dict.fromkeys(re.findall(r"\bself\.(\w+)", text)):
        value = getattr(traced, attribute)
        if not isinstance(value, torch.Tensor):
            return None
        constants[attribute] = value
    text = re.sub(r"\bself\.(?=\w)", "", text)
    lines = [line for line in text.splitlines() if line.strip() and not _is_alias(line)]
    needed = {name for name in code.globals if re.search(rf"\b{re.escape(name)}\b", text)}
    return (used, constants, lines) if needed <= _KNOWN else None


@contextmanager
def _plainly() -> Iterator[None]:
    """Without a description of each value in the recorded graph: most of the time it takes."""
    from torch.fx.experimental import proxy_tensor

    described = vars(proxy_tensor).get("set_meta")
    if described is None:
        yield
        return
    vars(proxy_tensor)["set_meta"] = lambda proxy, _value: proxy
    try:
        yield
    finally:
        vars(proxy_tensor)["set_meta"] = described


def _is_alias(line: str) -> bool:
    """Whether a line only gives a name to itself: a constant that became a local name."""
    name, equals, value = line.strip().partition(" = ")
    return bool(equals) and name == value
