"""Programs from PyTorch, by ``torch.export`` with symbolic sizes.

A function or module is traced once, its named sizes symbolic; the graph of ATen operators becomes
arrays by the table of :mod:`ncd_formal.frontends.aten`.  A trace shows one path of a program, so
what it decided about sizes is never silent: it is implied by the declarations, or it is printed as
a condition, or the program is refused (:mod:`ncd_formal.frontends.symbolic`).
"""

from __future__ import annotations

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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, takewhile
from typing import Any

import torch
from torch._dynamo import config as dynamo
from torch.export import Dim, ExportedProgram
from torch.export import _trace as torch_trace
from torch.export.graph_signature import InputKind, InputSpec, OutputKind
from torch.utils import _pytree as pytree

from ncd_formal import arrays
from ncd_formal.arrays import Array, Kind, OpaqueArray, number, topological
from ncd_formal.conditions import Context
from ncd_formal.errors import InputError, one_line
from ncd_formal.frontends import (  # two of them fill the table of the first
    aten,
    complex_numbers,
    opaque,  # noqa: F401
    tables,
    vision,  # noqa: F401
)
from ncd_formal.frontends.aten import RandomError, Site, kind_of
from ncd_formal.frontends.complex_numbers import Complex
from ncd_formal.frontends.fast_path import noting_fast_paths, without_fast_path
from ncd_formal.frontends.float64 import exact, in_float64
from ncd_formal.frontends.program import Program, ProgramSource
from ncd_formal.frontends.shapes import Declaration, parse_shape, size_names
from ncd_formal.frontends.symbolic import (
    Conditions,
    Recorder,
    UnknownSizeError,
    at_line,
    is_program_file,
    operator_name,
)
from ncd_formal.frontends.taken_apart import TakenApart
from ncd_formal.sizes import Polynomial, size
from ncd_formal.strides import Shape, show_shape

SMALL_CONSTANT = 16
"""Tensors inside a program with at most so many values are read as numbers."""

LARGE = 100_000
"""Sizes from here on are not tried for being prime."""


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
    if isinstance(target, type) and issubclass(target, torch.nn.Module):
        raise InputError(f"{_name(target)} is a class: give an instance, such as {_name(target)}()")
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
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        annotated = _annotation(parameter.name, parameter.annotation)
        if parameter.name in given:
            found[parameter.name] = given.pop(parameter.name)
        elif annotated is not None:
            found[parameter.name] = annotated
        elif parameter.default is parameter.empty:
            missing.append(parameter.name)
    if given:
        unknown = next(iter(given))
        near = difflib.get_close_matches(
            unknown, [*signature.parameters.keys() - {unknown}], 1, 0.4
        )
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
    while isinstance(target, partial):
        target = target.func
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


@dataclass(frozen=True)
class _Call:
    """Holds a module without making it a part of the module that holds this."""

    target: Callable[..., Any]


class _Caller(torch.nn.Module):
    """The target as a module of tensors in the order of its declarations."""

    def __init__(self, target: Callable[..., Any], declared: Mapping[str, Declaration]) -> None:
        super().__init__()
        self.name, self.declared = _name(target), dict(declared)
        # The parameters of a method are those of its module.
        owner = getattr(target, "__self__", None)
        self.program = owner if isinstance(owner, torch.nn.Module) else target
        self.call, self._signature = _Call(target), _signature(target)

    def forward(self, *tensors: torch.Tensor) -> Any:
        arguments = inspect.BoundArguments(
            self._signature,
            dict(zip(self.declared, tensors, strict=True)),
        )
        return self.call.target(*arguments.args, **arguments.kwargs)

    def run(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """See :meth:`Program.run`."""
        missing = [name for name in self.declared if name not in tensors]
        if missing:
            raise InputError(f"input {missing[0]!r} of {self.name} has no tensor")
        own = {name: t.detach() for name, t in (*self.named_parameters(), *self.named_buffers())}
        # A parameter that has the name of an input is called self.NAME: see _new_parameter.
        own_names = {f"self.{name}": name for name in self.declared}
        given = {
            f"program.{own_names.get(name, name)}": tensor
            for name, tensor in tensors.items()
            if name not in self.declared
        }
        own.update((name, given[name]) for name in own if name in given)
        arguments = tuple(exact(tensors[name]) for name in self.declared)
        state = {name: exact(tensor) for name, tensor in own.items()}
        with torch.no_grad(), in_float64(), without_fast_path():
            result = torch.func.functional_call(self, state, arguments)
        leaves = [leaf for leaf in pytree.tree_leaves(result) if leaf is not None]
        return tuple(
            leaf if isinstance(leaf, torch.Tensor) else torch.tensor(leaf) for leaf in leaves
        )


# Tracing ---------------------------------------------------------------------------------------


def _export(caller: _Caller, context: Context) -> tuple[ExportedProgram, Recorder]:
    """Trace the program, with a symbol for each dimension that is not a number."""
    shapes = [declaration.shape for declaration in caller.declared.values()]
    values = example_sizes(caller.declared.values(), context)
    own = (*caller.parameters(), *caller.buffers())
    dtype = next((t.dtype for t in own if t.is_floating_point()), torch.float32)
    dtypes = {"real": dtype, "boolean": torch.bool, "integer": torch.int64}
    try:
        examples = tuple(
            torch.zeros([s.evaluate(values) for s in d.shape], dtype=dtypes[d.kind])
            for d in caller.declared.values()
        )
    except (RuntimeError, TypeError):
        raise InputError(
            f"{caller.name} cannot be traced: its inputs are too large at the smallest sizes"
        ) from None
    dynamic = tuple(
        {k: Dim.AUTO for k, extent in enumerate(shape) if extent.constant is None}
        for shape in shapes
    )
    recorder = Recorder(aten.ATEN)
    with (
        _quiet(),
        _lines(),
        _symbolic_math(caller),
        without_fast_path(),
        noting_fast_paths(caller, recorder.notes.setdefault),
        TakenApart(),
        recorder.recording(),
    ):
        try:
            exported = torch.export.export(
                caller, examples, dynamic_shapes=(dynamic,) if dynamic else None, strict=False
            )
            return _decomposed(exported), recorder
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            reason = _reason(error, _names_of_symbols(recorder, shapes))
            raise InputError(f"{caller.name} cannot be imported: {reason}") from error


def _decomposed(exported: ExportedProgram) -> ExportedProgram:
    """Without operators that change their operands, and with those unknown taken apart."""
    modules = [m for m in exported.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    nodes = [node for module in modules for node in module.graph.nodes]
    if all(_known(node) for node in nodes if node.op == "call_function"):
        return exported
    table = torch.export.default_decompositions()
    for name in aten.ATEN:
        table.pop(aten.overload_of(name), None)
    decomposed: ExportedProgram = exported.run_decompositions(table)
    return decomposed


def _known(node: torch.fx.Node) -> bool:
    """Whether a node of a traced graph can be read as it is."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        name = operator_name(target)
        known = name in aten.ATEN or name in complex_numbers.COMPLEX
        return known or name in ASSERTIONS or name in _SIZES
    if str(target) == "wrap_with_autocast":
        return node.args[2] is False
    if isinstance(target, torch._ops.OperatorBase):
        return str(target) in _SETTINGS
    return target is operator.getitem or isinstance(node.meta.get("val"), _NUMBERS)


_NUMBERS = (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool)

_CHECKS = frozenset({"aten._linalg_check_errors.default"})
"""Operators that raise an error where another one, such as the inverse, has no result."""

_SIZES = frozenset({"aten.sym_size.int", "aten.sym_numel.default"})
"""Operators that read a size, whose value the trace knows."""

_SETTINGS = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
"""Parts of a program that run under a setting → the number of arguments that are the setting."""


def example_sizes(declared: Iterable[Declaration], context: Context) -> dict[str, int]:
    """Sizes at which to trace: every dimension at least 2, and different ones different.

    They satisfy the assumptions of the context, and are more than 10 where they can, so that slices
    by small numbers are not clamped.  Where all that cannot be had, dimensions may be
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
        primes = [
            v for v in near if 10 < v < LARGE and all(v % d for d in range(2, math.isqrt(v) + 1))
        ]
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
    """Without torch's warnings and logs, and the graph that it prints where a trace fails.

    Also without its cache of operators on fake tensors, which takes longer than it saves: half the
    time of importing a small program.
    """
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    export = vars(torch_trace)
    export["print"] = lambda *_values, **_options: None
    try:
        with warnings.catch_warnings(), dynamo.patch(fake_tensor_cache_enabled=False):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        del export["print"]


@contextmanager
def _lines() -> Iterator[None]:
    """Keep every line of the program in the stack traces of nodes, not only those of modules."""
    tracer = torch.fx.proxy.TracerBase
    original = getattr(tracer, "_filter_traceback_frames", None)
    if original is None:
        yield
        return

    def program_frames(self: object, frames: traceback.StackSummary) -> traceback.StackSummary:
        outer = list(frames)
        inner = list(takewhile(lambda f: not _is_caller(f), reversed(outer)))
        kept = inner if len(inner) < len(outer) else []
        return traceback.StackSummary.from_list(
            [f for f in reversed(kept) if is_program_file(f.filename)]
        )

    tracer._filter_traceback_frames = program_frames  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        tracer._filter_traceback_frames = original  # type: ignore[method-assign]


def _is_caller(frame: traceback.FrameSummary) -> bool:
    return frame.filename == __file__ and frame.name == "forward"


def _root(x: Any) -> Any:
    """``math.sqrt``, which would turn a symbolic size into a number."""
    symbolic = isinstance(x, torch.SymInt | torch.SymFloat)
    return torch.sym_sqrt(x) if symbolic else _MATH_SQRT(x)


def _attention(query: Any, *others: Any, scale: Any = None, **options: Any) -> Any:
    """``scaled_dot_product_attention``, which would turn a symbolic scale into a number."""
    if isinstance(scale, torch.SymFloat):
        query, scale = query * scale, 1.0
    options["scale"] = scale
    return _ATTENTION(query, *others, **options)


def _one_hot(tensor: Any, num_classes: Any = -1) -> Any:
    """``one_hot``, which would turn a symbolic number of classes into a number."""
    if not isinstance(num_classes, torch.SymInt):
        return _ONE_HOT(tensor, num_classes)
    inside = (tensor >= 0).all() & (tensor < num_classes).all()
    torch._assert_async(inside, "one_hot: Class values must be in range.")
    classes: Any = num_classes
    return (tensor.unsqueeze(-1) == torch.arange(classes)).to(torch.int64)


def _max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool1d``, which would turn the size of its operand into a number."""
    if return_indices:
        options = (stride, padding, dilation, ceil_mode, return_indices)
        return _MAX_POOL1D(input, kernel_size, *options)

    def flat(value: Any, other: int) -> Any:
        return None if value is None else (other, *torch.nn.modules.utils._single(value))

    result = torch.nn.functional.max_pool2d(
        input.unsqueeze(-2), flat(kernel_size, 1), flat(stride, 1), flat(padding, 0),
        flat(dilation, 1), ceil_mode,
    )  # fmt: skip
    return result.squeeze(-2)


_MATH_SQRT = math.sqrt
_ATTENTION = torch.nn.functional.scaled_dot_product_attention
_ONE_HOT = torch.nn.functional.one_hot
_MAX_POOL1D = torch.nn.functional.max_pool1d
_SYMBOLIC = (
    (_MATH_SQRT, _root),
    (_ATTENTION, _attention),
    (_ONE_HOT, _one_hot),
    (_MAX_POOL1D, _max_pool1d),
)


@contextmanager
def _symbolic_math(caller: _Caller) -> Iterator[None]:
    """Functions that would make numbers of symbolic sizes keep them symbolic inside the block.

    They are replaced where the program looks them up: in their modules, and among the globals of
    the target and of its modules.
    """
    target = caller.call.target
    functions: list[Any] = [target, getattr(target, "func", None)]
    # A scripted module raises an AttributeError for its forward.
    functions += [getattr(type(module), "forward", None) for module in caller.modules()]
    spaces = [math.__dict__, torch.nn.functional.__dict__]
    spaces += [getattr(f, "__globals__", {}) for f in functions]
    places = [
        (space, name, plain, symbolic)
        for space in {id(s): s for s in spaces}.values()
        for name, value in list(space.items())
        for plain, symbolic in _SYMBOLIC
        if value is plain and space is not globals()
    ]
    try:
        for space, name, _, symbolic in places:
            space[name] = symbolic
        yield
    finally:
        for space, name, plain, _ in places:
            space[name] = plain


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


def _reason(error: BaseException, symbols: Mapping[Any, Polynomial]) -> str:
    """The first sentence of an exception, in the declared names, and the line it comes from."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    if "data-dependent" in text or "DataDependent" in type(error).__name__:
        text = "what it does depends on the values of its tensors"
    text = re.split(r"(?<=[.!?])\s|\s+\(unhinted", text.strip())[0].rstrip(".")
    for symbol, extent in symbols.items():
        text = re.sub(rf"\b{re.escape(str(symbol))}\b", str(extent), text)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_program_file(f.filename)]
    callers = [k for k, f in enumerate(traceback.extract_tb(error.__traceback__)) if _is_caller(f)]
    line = (
        f" at {at_line(frames[-1].filename, frames[-1].lineno or 0)}" if frames and callers else ""
    )
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
        self.notes = dict(recorder.notes)
        self.values: dict[Any, Any] = {}
        self.parameters: dict[str, Declaration] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        self.buffers: set[str] = set()
        self.tied: dict[object, Array] = {}
        shapes = [d.shape for d in caller.declared.values()]
        self.conditions.symbols.sizes.update(_names_of_symbols(recorder, shapes))
        # A trace takes it for granted that no dimension is empty.
        for extent in dict.fromkeys(s for shape in shapes for s in shape):
            if extent.constant is None:
                self.conditions.require(extent - 1)
        self.decisions = recorder.decisions
        self._settle("")
        self._placeholders()

    def program(self) -> Program:
        """The program, its graph read."""
        specs = self.exported.graph_signature.output_specs
        tokens = sum(output.kind is OutputKind.TOKEN for output in specs)
        for output in specs[tokens:]:
            if output.kind is not OutputKind.USER_OUTPUT:
                changed = self._user_name(output.target or "")
                raise InputError(f"{self.caller.name} changes {changed!r} in place")
        returned = self._read(self.exported.graph_module)[tokens:]
        leaves = pytree.tree_leaves(returned, is_leaf=lambda leaf: leaf is None)
        outputs = [self._output(leaf) for leaf in leaves if leaf is not None]
        if not outputs:
            raise InputError(f"{self.caller.name} returns no tensor")
        for array in topological(outputs):
            if isinstance(array, OpaqueArray) and array.operator.startswith(_UNINITIALISED):
                raise InputError(f"{array.origin}: memory that is not initialised is no value")
        return Program(
            name=self.caller.name,
            outputs=tuple(outputs),
            output_structure=_structure(self.exported.call_spec.out_spec, leaves),
            inputs=self.caller.declared,
            parameters=self.parameters,
            buffers=frozenset(self.buffers),
            tensors=self.tensors,
            conditions=(*self.conditions.texts, *self.notes),
            opaque=_opaque_names(outputs),
            execute=self.caller.run,
        )

    def _settle(self, operator_: str) -> None:
        for decision in self.decisions:
            if decision.operator == operator_:
                self.conditions.settle(decision)

    def _user_name(self, target: str) -> str:
        """What people call a placeholder of torch's, such as ``tensors_0``."""
        names = {f"tensors_{k}": name for k, name in enumerate(self.caller.declared)}
        return names.get(target, _unprefixed(target))

    # Inputs and outputs

    def _placeholders(self) -> None:
        """Make the arrays of inputs and parameters.

        Errors: InputError where the trace fixed a size of an input to a number.
        """
        nodes = [n for n in self.exported.graph.nodes if n.op == "placeholder"]
        declared = iter(self.caller.declared.values())
        for node, spec in zip(nodes, self.exported.graph_signature.input_specs, strict=True):
            if spec.kind is InputKind.USER_INPUT:
                declaration = next(declared)
                traced = node.meta["val"].shape
                for extent, found in zip(declaration.shape, traced, strict=True):
                    if isinstance(found, int) and extent.constant is None:
                        raise InputError(f"the program fixes size {extent} to {found}")
                self.values[node] = arrays.input_array(
                    declaration.name, declaration.shape, declaration.kind
                )
            elif spec.kind is InputKind.TOKEN:  # it keeps assertions in their order
                self.values[node] = None
            else:
                self.values[node] = self._parameter(spec, bool(node.users))

    def _parameter(self, spec: InputSpec, used: bool) -> Array:
        """A parameter or buffer by its (first) name; a constant by its values.

        So is a buffer where they are a formula, which is noted where the buffer is used.
        """
        tensor = self._tensor(spec)
        if isinstance(tensor, torch._subclasses.FakeTensor):
            raise InputError(
                f"{self.caller.name} holds on to a tensor that is there only while it is traced"
            )
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in self.tied:
            return self.tied[place]
        array = self._table(spec, tensor, used) or self._new_parameter(spec, tensor)
        self.tied[place] = array
        return array

    def _table(self, spec: InputSpec, tensor: torch.Tensor, used: bool) -> Array | None:
        """A buffer or constant whose values are a formula of its indices."""
        if spec.kind is InputKind.PARAMETER or tensor.is_meta:
            return None
        origin = _unprefixed(spec.target or "")
        found = tables.closed_form(tensor, kind_of(tensor.dtype), origin)
        if found is None:
            return None
        array, text = found
        if used and spec.kind is InputKind.BUFFER:
            self.notes[text] = None
        return array

    def _new_parameter(self, spec: InputSpec, tensor: torch.Tensor) -> Array:
        kind, shape = kind_of(tensor.dtype), tuple(map(size, tensor.shape))
        name = _unprefixed(spec.target or "")
        if spec.kind is InputKind.CONSTANT_TENSOR:
            if tensor.numel() <= SMALL_CONSTANT:
                return _literal(tensor, shape, kind, name)
            data = tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
            digest = hashlib.blake2b(data.tobytes(), digest_size=6)
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            name = f"constant_{digest.hexdigest()}"
        elif name in self.caller.declared:
            name = f"self.{name}"
        declaration = Declaration(name, shape, kind, " ".join(map(str, shape)))
        self.parameters[name] = declaration
        self.tensors[name] = tensor
        if spec.kind is not InputKind.PARAMETER:
            self.buffers.add(name)
        return arrays.input_array(name, shape, kind)

    def _tensor(self, spec: InputSpec) -> torch.Tensor:
        for store in (self.exported.state_dict, self.exported.constants):
            value = store.get(spec.target)
            if isinstance(value, torch.Tensor):
                return value.detach()
        raise InputError(f"{self.caller.name} takes {spec.target or spec.arg}, which is no tensor")

    def _output(self, value: Any) -> Array:
        if isinstance(value, Array):
            return value
        if isinstance(value, bool | int | float | Polynomial):
            return self._site("aten.output", None).array(value)
        if isinstance(value, Complex):
            raise InputError(f"{self.caller.name} returns complex numbers: give them as real pairs")
        raise InputError(f"{self.caller.name} returns {value!r}, which is no tensor")

    # Nodes

    def _read(self, module: torch.fx.GraphModule) -> Any:
        """The values that a graph returns, its placeholders known."""
        for node in module.graph.nodes:
            if node.op == "output":
                return pytree.tree_map(self._argument, node.args[0])
            if node.op == "get_attr":
                self.values[node] = getattr(module, str(node.target))
            elif node.op != "placeholder":
                self.values[node] = self._node(node)
        raise AssertionError("a graph without an output")

    def _inline(self, node: torch.fx.Node, settings: int) -> Any:
        """What a part of a program under a setting such as ``no_grad`` returns."""
        module, *arguments = (self.values[a] for a in node.args[settings:] if _is_node(a))
        places = [n for n in module.graph.nodes if n.op == "placeholder"]
        self.values.update(zip(places, arguments, strict=True))
        return self._read(module)

    def _node(self, node: torch.fx.Node) -> Any:
        """The value of a node: an array, a tuple of them, or what torch says of a number."""
        value = node.meta.get("val")
        if node.target is operator.getitem:
            source, index = node.args
            assert isinstance(source, torch.fx.Node)
            assert isinstance(index, int)
            return self.values[source][index]
        if str(node.target) == "with_effects" and str(node.args[1]) in _CHECKS:
            self._note(f"{node.args[3]} has a result", node)
            return (None,)
        if isinstance(node.target, torch._ops.OpOverload):
            name = operator_name(node.target)
            if name in ASSERTIONS:
                if name.startswith("aten._assert_async"):
                    self._note_assertion(node)
                return None
            if isinstance(value, torch.Tensor | tuple | list):
                return self._apply(node, node.target, name, value)
            if name in {"aten._local_scalar_dense.default", "aten.item.default"}:
                return self._scalar(node, value)
        if isinstance(value, _NUMBERS):
            return value
        if str(node.target) in _SETTINGS and _known(node):
            return self._inline(node, _SETTINGS[str(node.target)])
        line = _line(node) or self.caller.name
        name = getattr(node.target, "name", lambda: getattr(node.target, "__name__", ""))()
        what = "the control flow of " if isinstance(node.target, torch._ops.OperatorBase) else ""
        raise InputError(f"{line}: {what}{name} is not supported")

    def _note_assertion(self, node: torch.fx.Node) -> None:
        """Print what a program asserts of values: where it fails, there is no result."""
        text = next((str(a) for a in node.args[1:]), "")
        self._note(f"asserted: {text.rstrip('.')}" if text else "an assertion holds", node)

    def _note(self, text: str, node: torch.fx.Node) -> None:
        self.notes[f"{text} at {_line(node)}" if _line(node) else text] = None

    def _scalar(self, node: torch.fx.Node, value: Any) -> Any:
        """A number read from a tensor: known as data, and never as a size."""
        (source,) = node.args
        array = self._site("aten.item.default", value, node).array(self._argument(source))
        if isinstance(value, torch.SymFloat | torch.SymInt):
            self.conditions.symbols.scalars[value.node.expr] = arrays.view(array, ())
        return value

    def _apply(
        self, node: torch.fx.Node, overload: torch._ops.OpOverload, name: str, value: Any
    ) -> Any:
        site = self._site(name, value, node)
        try:
            arguments = self._arguments(node, overload)
            self._note_conversion(site, node, arguments)
            if complex_numbers.involved(value, arguments):
                return self._settled_pair(site, complex_numbers.apply(site, arguments), value)
            if name in aten.ATEN and aten.ATEN[name].opaque:
                self._settle(name)
            result = aten.apply(site, arguments, site.defaults)
            if result is None:
                return self._opaque(site, overload, arguments)
            results = result if isinstance(result, tuple) else (result,)
            values = value if isinstance(value, tuple | list) else (value,)
            settled = tuple(map(self._settled, (site,) * len(results), results, values))
            return settled if isinstance(result, tuple) else settled[0]
        except (UnknownSizeError, InputError) as error:
            known = site.line and site.line in str(error)
            raise InputError(error if known else f"{site.origin}: {error}") from error
        except RandomError:
            raise InputError(
                f"{site.origin}: draws random numbers: call .eval(), or set the probability to 0"
            ) from None

    def _site(self, name: str, value: Any, node: torch.fx.Node | None = None) -> Site:
        if node is None:
            return Site(self.conditions, self.notes, name, "", "", value)
        row_major = _lies_row_by_row(node)
        line, module = _line(node), _module(node)
        return Site(self.conditions, self.notes, name, line, module, value, row_major)

    def _arguments(self, node: torch.fx.Node, overload: torch._ops.OpOverload) -> dict[str, Any]:
        """The arguments of a node by name, the defaults left out."""
        names = [a.name for a in overload._schema.arguments]
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        return {name: self._argument(value) for name, value in given.items()}

    def _argument(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            value = self.values[value]
        if isinstance(value, torch.SymInt):
            if value.node.expr in self.conditions.symbols.scalars:
                return self.conditions.symbols.scalars[value.node.expr]
            extent = self.conditions.symbols.size(value)
            return extent if extent.constant is None else extent.constant
        if isinstance(value, torch.SymFloat | torch.SymBool):
            symbols = self.conditions.symbols
            result = symbols.scalar(value, "")
            self.notes.update(symbols.constants)
            return result
        if isinstance(value, list | tuple):
            return (
                type(value)(map(self._argument, value))
                if type(value) in {list, tuple}
                else [self._argument(v) for v in value]
            )
        return value

    def _settled(self, site: Site, array: Array, value: Any) -> Array:
        """The result with the kind that torch gives it, its shape checked against torch's."""
        try:
            array = site.cast(array, kind_of(value.dtype))
        except aten.UnsupportedError as error:
            raise InputError(f"{site.origin}: {error}") from error
        try:
            shape = site.shape_of(value)
        except UnknownSizeError:
            return array
        if array.shape != shape:
            raise InputError(
                f"{site.origin}: by its definition the shape is {show_shape(array.shape)}, "
                f"by PyTorch {show_shape(shape)}"
            )
        return array

    def _settled_pair(self, site: Site, result: Complex | Array, value: Any) -> Complex | Array:
        """A complex result (or a real one of complex operands), its shape checked."""
        if isinstance(result, Array):
            return self._settled(site, result, value)
        shape = arrays.broadcast_shape([part.shape for part in result.parts], site.origin)
        if shape != site.shape_of(value):
            raise InputError(f"{site.origin}: the shape {show_shape(shape)} is not PyTorch's")
        return result

    def _opaque(
        self,
        site: Site,
        overload: torch._ops.OpOverload,
        arguments: Mapping[str, Any],
    ) -> Any:
        """An operator known only by its name and attributes, which sees all of its operands.

        One that PyTorch marks as pointwise sees values at one index only.
        """
        if torch.Tag.nondeterministic_seeded in overload.tags:
            raise RandomError
        self._settle(site.operator)
        operands: list[Array] = []

        def show(value: Any) -> str:
            if isinstance(value, Array):
                operands.append(value)
                return "_" if value.kind == "real" else f"_:{value.kind}"
            if isinstance(value, list | tuple):
                return "[" + ", ".join(map(show, value)) + "]"
            return str(value)

        attributes = [
            f"{name}={show(value)}"
            for name, value in arguments.items()
            if isinstance(value, Array) or name not in site.defaults or value != site.defaults[name]
        ]
        name = f"{site.operator}({', '.join(attributes)})"
        pointwise = torch.Tag.pointwise in overload.tags
        seen = [0 if pointwise else o.rank for o in operands]

        def result(tensor: Any, name: str) -> Array | None:
            if not isinstance(tensor, torch.Tensor):
                return None
            kind, shape = kind_of(tensor.dtype), site.shape_of(tensor)
            if pointwise:
                spread = [arrays.expand(o, shape, site.origin) for o in operands]
                return arrays.opaque(name, spread, seen, shape, kind, site.origin)
            return arrays.opaque(name, operands, seen, shape, kind, site.origin)

        if isinstance(site.result, tuple | list):
            return tuple(result(t, f"{name}#{k}") for k, t in enumerate(site.result))
        return result(site.result, name)

    def _note_conversion(
        self, site: Site, node: torch.fx.Node, arguments: Mapping[str, Any]
    ) -> None:
        """Print a conversion to a dtype that holds fewer values than the one before."""
        to, source = arguments.get("dtype"), node.args[0] if node.args else None
        before = source.meta.get("val") if isinstance(source, torch.fx.Node) else None
        if not isinstance(to, torch.dtype) or not isinstance(before, torch.Tensor):
            return
        if not _holds(to, before.dtype):
            site.note(f"dtype conversions are exact: {str(to).removeprefix('torch.')}")


def refusal(overload: torch._ops.OpOverload) -> str | None:
    """Why a program with an operator that has no handler is refused; None where it is opaque."""
    if torch.Tag.nondeterministic_seeded in overload.tags:
        return "draws random numbers"
    if torch.Tag.dynamic_output_shape in overload.tags:
        return "a size depends on the values of tensors"
    if torch.Tag.data_dependent_output in overload.tags:
        return "a number depends on the values of tensors"
    if operator_name(overload).startswith(_UNINITIALISED):
        return "memory that is not initialised is no value"
    if operator_name(overload).startswith("aten._fft"):
        return "complex numbers are not values of the calculus"
    return None


_UNINITIALISED = ("aten.empty", "aten.new_empty")
ASSERTIONS = frozenset(
    {
        "aten._assert_async.default",
        "aten._assert_async.msg",
        "aten._assert_scalar.default",
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
    }
)


def _lies_row_by_row(node: torch.fx.Node) -> bool:
    source = node.args[0] if node.args else None
    tensor = source.meta.get("val") if isinstance(source, torch.fx.Node) else None
    if not isinstance(tensor, torch.Tensor) or tensor.storage_offset() != 0:
        return False
    stride: Any = 1
    for extent, found in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if str(found) != str(stride):
            return False
        stride = stride * extent
    return True


def _holds(to: torch.dtype, source: torch.dtype) -> bool:
    """Whether a conversion keeps every value, or is another function that is read as such.

    Conversions of whole numbers to float32 and float64 are how PyTorch computes anyway; over the
    reals they are exact.
    """
    if to is source or torch.bool in {to, source}:
        return True
    if to.is_floating_point:
        if not source.is_floating_point:
            return torch.finfo(to).bits >= 32
        a, b = torch.finfo(to), torch.finfo(source)
        return a.eps <= b.eps and a.max >= b.max
    return source.is_floating_point or torch.iinfo(to).max >= torch.iinfo(source).max


def _unprefixed(name: str) -> str:
    return name.removeprefix("program.")


def _is_node(value: object) -> bool:
    return isinstance(value, torch.fx.Node)


_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def _line(node: torch.fx.Node) -> str:
    """The innermost line of the program that made a node: ``"file.py:12"``."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    lines = [at_line(name, int(line)) for name, line in frames if is_program_file(name)]
    return lines[-1] if lines else ""


def _module(node: torch.fx.Node) -> str:
    """The innermost module that a node belongs to, by its path."""
    path = [""]
    for name, _ in (node.meta.get("nn_module_stack") or {}).values():
        path.append(_unprefixed(name) if name != "program" else "")
    return path[-1]


def _literal(tensor: torch.Tensor, shape: Shape, kind: Kind, origin: str) -> Array:
    """A small tensor as numbers."""
    values = [
        replace(number(value if kind == "real" else int(value), origin), kind=kind)
        for value in tensor.detach().cpu().reshape(-1).tolist()
    ]
    if not values:
        return arrays.expand(replace(number(0, origin), kind=kind), shape, origin)
    parts = [arrays.unsqueeze(value, 0, origin) for value in values]
    return arrays.view(arrays.concatenate(parts, 0, origin), shape, origin)


class _Leaf:
    def __repr__(self) -> str:
        return "*"


def _structure(spec: pytree.TreeSpec, leaves: Sequence[Any]) -> str:
    tokens = [None if leaf is None else _Leaf() for leaf in leaves]
    return one_line(repr(pytree.tree_unflatten(tokens, spec)))


def _opaque_names(outputs: Iterable[Array]) -> tuple[str, ...]:
    """The opaque operators that the outputs depend on: ``"topk at file.py:12"``."""
    found: dict[str, None] = {}
    for array in topological(outputs):
        if isinstance(array, OpaqueArray):
            name = array.operator.split("(")[0].removeprefix("aten.").split(".")[0].lstrip("_")
            line = array.origin.split(" ")[0] if ":" in array.origin else ""
            found[f"{name} at {line}" if line else name] = None
    return tuple(found)
