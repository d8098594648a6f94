"""Programs from PyTorch, by ``torch.export`` with symbolic sizes.

A function or module is traced once, its named sizes symbolic; the graph of ATen operators becomes
arrays by the table of :mod:`ncd_formal.frontends.aten`.  A trace shows one path of a program, so
what it decided about sizes is never silent: it is implied by the declarations, or it is printed as
a condition, or the program is refused (:mod:`ncd_formal.frontends.symbolic`).
"""

from __future__ import annotations

import builtins
import difflib
import hashlib
import inspect
import logging
import math
import operator
import re
import traceback
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import count, takewhile
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from ncd_formal import arrays
from ncd_formal.arrays import Array, Kind, OpaqueArray, number
from ncd_formal.conditions import Context
from ncd_formal.errors import InputError
from ncd_formal.frontends import aten
from ncd_formal.frontends.aten import RandomError, Site, kind_of
from ncd_formal.frontends.program import Program, ProgramSource
from ncd_formal.frontends.shapes import Declaration, parse_shape, size_names
from ncd_formal.frontends.symbolic import (
    Conditions,
    Recorder,
    UnknownSizeError,
    at_line,
    is_program_file,
)
from ncd_formal.sizes import Polynomial, product, size
from ncd_formal.strides import Shape, show_shape

SMALL_CONSTANT = 16
"""Tensors inside a program with at most so many values are read as numbers."""


def import_program(
    target: object,
    inputs: Mapping[str, str | Declaration] | None = None,
    context: Context | None = None,
) -> Program:
    """The arrays of a function of tensors, an ``nn.Module`` or another source of a program.

    ``inputs`` gives a shape to parameters of the signature; those that have a jaxtyping annotation
    or a default may be left out.  ``context`` holds what is assumed of the sizes.

    Errors: InputError for a parameter without a shape, an unknown name, and for whatever
    torch.export refuses, with its reason.
    """
    context = context or Context()
    if isinstance(target, ProgramSource):
        return target.to_program(_parsed(inputs or {}), context)
    if not callable(target):
        raise InputError(f"{target!r} is no function, module or morphism")
    caller = _Caller(target, declarations(target, inputs))
    exported, recorder = _export(caller, context)
    return _Importer(caller, exported, recorder, context).program()


def declarations(
    target: object, inputs: Mapping[str, str | Declaration] | None = None
) -> dict[str, Declaration]:
    """The declarations of a target's tensors, in the order of its signature.

    Errors: InputError for a parameter without a shape, and for a name that is no parameter.
    """
    name, given = _name(target), _parsed(inputs or {})
    found: dict[str, Declaration] = {}
    missing: list[str] = []
    signature = _signature(target)
    for parameter in signature.parameters.values():
        annotated = _annotation(parameter.name, parameter.annotation)
        if parameter.name in given:
            found[parameter.name] = given.pop(parameter.name)
        elif annotated is not None:
            found[parameter.name] = annotated
        elif parameter.default is parameter.empty and parameter.kind not in {
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        }:
            missing.append(parameter.name)
    if given:
        unknown = next(iter(given))
        near = difflib.get_close_matches(unknown, [*signature.parameters], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{name} has no input {unknown!r}{hint}")
    if missing:
        them = ", ".join(map(repr, missing))
        raise InputError(
            f"input{'s' if len(missing) > 1 else ''} {them} of {name} "
            f"{'have' if len(missing) > 1 else 'has'} no shape: give "
            + " ".join(f"--input {m}=…" for m in missing)
        )
    return found


def _parsed(inputs: Mapping[str, str | Declaration]) -> dict[str, Declaration]:
    return {
        name: text if isinstance(text, Declaration) else parse_shape(name, text)
        for name, text in inputs.items()
    }


def _name(target: object) -> str:
    return str(getattr(target, "__name__", type(target).__name__))


def _signature(target: object) -> inspect.Signature:
    function = target.forward if isinstance(target, torch.nn.Module) else target
    assert callable(function)
    try:
        try:
            return inspect.signature(function, eval_str=True)
        except (NameError, SyntaxError, TypeError, AttributeError):
            return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InputError(f"{_name(target)} has no signature") from error


def _annotation(name: str, annotation: object) -> Declaration | None:
    """The declaration of a jaxtyping annotation such as ``Float[Tensor, "b n d"]``."""
    for option in (annotation, *typing.get_args(annotation)):
        text, dtypes = getattr(option, "dim_str", None), getattr(option, "dtypes", ())
        if isinstance(text, str):
            kinds = {"bool": "bool", "int": "int", "uint": "int"}
            named = [re.sub(r"\d.*", "", str(dtype)) for dtype in dtypes or ()]
            found = {kinds.get(dtype, "real") for dtype in named} or {"real"}
            kind = found.pop() if len(found) == 1 else "real"
            return parse_shape(name, f"{text} : {kind}")
    return None


class _Caller(torch.nn.Module):
    """The target as a module of tensors in the order of its declarations."""

    def __init__(self, target: Callable[..., Any], declared: Mapping[str, Declaration]) -> None:
        super().__init__()
        self.name, self.declared = _name(target), dict(declared)
        self.program = target
        self._signature = _signature(target)

    def forward(self, *tensors: torch.Tensor) -> Any:
        arguments = inspect.BoundArguments(
            self._signature,
            dict(zip(self.declared, tensors, strict=True)),  # type: ignore[arg-type]
        )
        return self.program(*arguments.args, **arguments.kwargs)

    def run(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """See :meth:`Program.run`."""
        missing = [name for name in self.declared if name not in tensors]
        if missing:
            raise InputError(f"input {missing[0]!r} of {self.name} has no tensor")
        own = {name: t.detach() for name, t in (*self.named_parameters(), *self.named_buffers())}
        given = {f"program.{name}": tensor for name, tensor in tensors.items()}
        own.update((name, given[name]) for name in own if name in given)
        with torch.no_grad():
            result = torch.func.functional_call(
                self,
                {name: _exact(tensor) for name, tensor in own.items()},
                tuple(_exact(tensors[name]) for name in self.declared),
            )
        leaves = [leaf for leaf in pytree.tree_leaves(result) if leaf is not None]
        return tuple(
            leaf if isinstance(leaf, torch.Tensor) else torch.tensor(leaf) for leaf in leaves
        )


def _exact(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor.clone()


# Tracing ---------------------------------------------------------------------------------------


def _export(caller: _Caller, context: Context) -> tuple[ExportedProgram, Recorder]:
    """Trace the program, with a symbol for each dimension that is not a number."""
    shapes = [declaration.shape for declaration in caller.declared.values()]
    values = example_sizes(caller.declared.values(), context)
    dtype = next((p.dtype for p in caller.parameters() if p.is_floating_point()), torch.float32)
    dtypes = {"real": dtype, "boolean": torch.bool, "integer": torch.int64}
    examples = tuple(
        torch.zeros([s.evaluate(values) for s in d.shape], dtype=dtypes[d.kind])
        for d in caller.declared.values()
    )
    dynamic = tuple(
        {k: Dim.AUTO for k, extent in enumerate(shape) if extent.constant is None}
        for shape in shapes
    )
    table = torch.export.default_decompositions()
    for name in aten.ATEN:
        table.pop(_overload(name), None)
    recorder = Recorder()
    with _quiet(), _lines(), _symbolic_math(caller), recorder.recording():
        try:
            exported = torch.export.export(
                caller, examples, dynamic_shapes=(dynamic,), strict=False
            )
            return exported.run_decompositions(table), recorder
        except InputError:
            raise
        except Exception as error:
            reason = _reason(error, _names_of_symbols(recorder, shapes))
            raise InputError(f"{caller.name} cannot be imported: {reason}") from error


def _overload(name: str) -> Any:
    _, packet, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), overload)


def example_sizes(declared: Iterable[Declaration], context: Context) -> dict[str, int]:
    """Sizes at which to trace: every dimension at least 2, and different ones different.

    They satisfy the assumptions of the context.  Where all that cannot be had, dimensions may be
    equal.

    Errors: InputError where no small sizes satisfy the assumptions.
    """
    declared = list(declared)
    extents = list(dict.fromkeys(s for d in declared for s in d.shape))
    names = list(size_names(declared))
    # Sizes that an equation determines come after those that it is written in.
    names.sort(key=lambda n: any(n in p.variables for p in context.assumptions))
    found = _search(names, extents, context, distinct=True)
    found = found or _search(names, extents, context, distinct=False)
    if found is None:
        raise InputError("no small sizes satisfy the assumptions, so the program cannot be traced")
    return found


def _search(
    names: Sequence[str], extents: Sequence[Polynomial], context: Context, distinct: bool
) -> dict[str, int] | None:
    """Depth first through small values, primes first; None where 100,000 trials do not do."""
    trials = count()
    values: dict[str, int] = {}

    def holds() -> bool:
        known = values.keys()
        if any(p.variables <= known and p.evaluate(values) < 0 for p in context.assumptions):
            return False
        done = [e.evaluate(values) for e in extents if e.variables <= known]
        open_ = [e for e in extents if e.variables <= known and e.constant is None]
        if any(e.evaluate(values) < 2 for e in open_):
            return False
        return not distinct or len(set(done)) == len(done)

    def extend(depth: int) -> bool:
        if depth == len(names):
            return True
        least = max(2, context.least(names[depth]))
        near = [least + k for k in range(300)]
        primes = [v for v in near if v > 2 and all(v % d for d in range(2, math.isqrt(v) + 1))]
        for value in dict.fromkeys([*primes[:20], *near]):
            if next(trials) > 100_000:
                break
            values[names[depth]] = value
            if holds() and extend(depth + 1):
                return True
        values.pop(names[depth], None)
        return False

    return dict(values) if extend(0) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings and logs."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def _lines() -> Iterator[None]:
    """Keep every line of the program in the stack traces of nodes, not only those of modules."""
    tracer = torch.fx.proxy.TracerBase
    original = getattr(tracer, "_filter_traceback_frames", None)
    if original is None:
        yield
        return

    def program_frames(
        self: object, frames: traceback.StackSummary
    ) -> traceback.StackSummary:
        outer = list(frames)
        inner = list(takewhile(lambda f: not _is_caller(f), reversed(outer)))
        kept = inner if len(inner) < len(outer) else []
        return traceback.StackSummary.from_list(
            [f for f in reversed(kept) if is_program_file(f.filename)]
        )

    tracer._filter_traceback_frames = program_frames  # type: ignore[method-assign]
    try:
        yield
    finally:
        tracer._filter_traceback_frames = original  # type: ignore[method-assign]


def _is_caller(frame: traceback.FrameSummary) -> bool:
    return frame.filename == __file__ and frame.name == "forward"


# Functions of the standard library that would turn a symbolic size into a number.
_SYMBOLIC = {
    math.sqrt: torch.sym_sqrt if hasattr(torch, "sym_sqrt") else torch._sym_sqrt,
}


@contextmanager
def _symbolic_math(caller: _Caller) -> Iterator[None]:
    """``math.sqrt(n)`` of a symbolic size stays symbolic inside the block."""
    places: list[tuple[dict[str, Any], str, Callable[[Any], Any]]] = []
    functions: list[Any] = [caller.program]
    functions += [type(module).forward for module in caller.modules()]
    spaces = [math.__dict__, *(getattr(f, "__globals__", {}) for f in functions)]
    for space in spaces:
        for name, value in list(space.items()):
            for plain in _SYMBOLIC:
                if value is plain:
                    places.append((space, name, plain))
    try:
        for space, name, plain in places:
            space[name] = _when_symbolic(plain, _SYMBOLIC[plain])
        yield
    finally:
        for space, name, plain in places:
            space[name] = plain


def _when_symbolic(
    plain: Callable[[Any], Any], symbolic: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    return lambda x: (symbolic if isinstance(x, torch.SymInt | torch.SymFloat) else plain)(x)


_SOURCE = re.compile(r"\[(\d+)\]\.size\(\)\[(\d+)\]$")


def _names_of_symbols(recorder: Recorder, shapes: Sequence[Shape]) -> dict[Any, Polynomial]:
    """torch's symbols, by the dimensions that they were made for."""
    if recorder.shapes is None:
        return {}
    names: dict[Any, Polynomial] = {}
    for symbol, sources in recorder.shapes.var_to_sources.items():
        for source in sources:
            match = _SOURCE.search(source.name if isinstance(source.name, str) else source.name())
            if match:
                names[symbol] = shapes[int(match.group(1))][int(match.group(2))]
    return names


def _reason(error: Exception, symbols: Mapping[Any, Polynomial]) -> str:
    """The first sentence of an exception, in the declared names, and the line it comes from."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    if "data-dependent" in text or "DataDependent" in type(error).__name__:
        text = "what it does depends on the values of its tensors"
    text = re.split(r"(?<=[.!?])\s|\s+\(unhinted", text.strip())[0].rstrip(".")
    for symbol, extent in symbols.items():
        text = re.sub(rf"\b{re.escape(str(symbol))}\b", str(extent), text)
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if is_program_file(f.filename)
    ]
    callers = [k for k, f in enumerate(traceback.extract_tb(error.__traceback__)) if _is_caller(f)]
    line = f" at {at_line(frames[-1].filename, frames[-1].lineno or 0)}" if frames and callers else ""
    return f"{text or type(error).__name__}{line}"


# Importing -------------------------------------------------------------------------------------


class _Importer:
    """Reads an exported graph, node by node."""

    def __init__(
        self,
        caller: _Caller,
        exported: ExportedProgram,
        recorder: Recorder,
        context: Context,
    ) -> None:
        self.caller, self.exported = caller, exported
        self.conditions = Conditions(context)
        self.notes: dict[str, None] = {}
        self.values: dict[torch.fx.Node, Any] = {}
        self.parameters: dict[str, Declaration] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        self.buffers: set[str] = set()
        shapes = [d.shape for d in caller.declared.values()]
        self.conditions.symbols.sizes.update(_names_of_symbols(recorder, shapes))
        for extent in dict.fromkeys(s for shape in shapes for s in shape):
            self.conditions.require(extent)
        self._check_inputs()
        for decision in recorder.decisions:
            self.conditions.settle(decision)

    def program(self) -> Program:
        """The program, its graph read."""
        signature = self.exported.graph_signature
        for spec in signature.output_specs:
            if spec.kind not in {OutputKind.USER_OUTPUT}:
                changed = spec.target or "an input"
                raise InputError(f"{self.caller.name} changes {_unprefixed(changed)} in place")
        outputs: list[Array] = []
        for node in self.exported.graph.nodes:
            if node.op == "placeholder":
                continue
            if node.op == "output":
                leaves = pytree.tree_leaves(node.args[0])
                outputs = [self._array(leaf) for leaf in leaves if leaf is not None]
            else:
                self.values[node] = self._call(node)
        if not outputs:
            raise InputError(f"{self.caller.name} returns no tensor")
        return Program(
            name=self.caller.name,
            outputs=tuple(outputs),
            output_structure=_structure(self.exported.call_spec.out_spec, leaves),
            inputs=self.caller.declared,
            parameters=self.parameters,
            buffers=frozenset(self.buffers),
            tensors=self.tensors,
            conditions=(*self.conditions.texts, *self.notes),
            opaque=_opaque(outputs),
            execute=self.caller.run,
        )

    # Inputs

    def _check_inputs(self) -> None:
        """Make the arrays of all placeholders.

        Errors: InputError where the trace fixed a size of an input to a number.
        """
        placeholders = [n for n in self.exported.graph.nodes if n.op == "placeholder"]
        declared = iter(self.caller.declared.values())
        for node, spec in zip(placeholders, self.exported.graph_signature.input_specs, strict=True):
            if spec.kind is InputKind.USER_INPUT:
                declaration = next(declared)
                traced = node.meta["val"].shape
                for extent, found in zip(declaration.shape, traced, strict=True):
                    if isinstance(found, int) and extent.constant is None:
                        self._fixed(extent, found)
                self.values[node] = arrays.input_array(
                    declaration.name, declaration.shape, declaration.kind
                )
            elif spec.kind in {InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR}:
                self.values[node] = self._parameter(spec)
            else:
                raise InputError(f"{self.caller.name} takes {spec.arg}, which is no tensor")

    def _fixed(self, extent: Polynomial, value: int) -> None:
        decisions = self.recorder_lines(extent)
        raise InputError(f"the program fixes size {extent} to {value}{decisions}")
