"""Run Triton kernels on CPU tensors, with the values that a GPU would compute.

Triton ships an interpreter, but it is silently wrong where it matters for testing kernels: it
computes with the bit patterns of bfloat16, its casts truncate, masked lanes read as zero where
hardware leaves them undefined, a stray pointer reads the memory of the host, and it cannot share a
process with the compiler.  This module loads a private copy of that interpreter and corrects the
copy; the one inside triton stays as it is.  In the corrected one

* bfloat16 is a type of numbers, and every cast rounds to nearest, ties to even;
* a 16-bit sum rounds after every addition, in the order of a tree, as the hardware does;
* a dot obeys its ``input_precision``: ``tf32`` drops low bits, the others split their operands;
* a masked lane without ``other`` is *poison*: NaN, or the most harmful integer;
* a lane may touch only elements of the tensor argument from which its pointer was computed;
  otherwise :class:`OutOfBounds` is raised, before the memory is touched;
* ``tl.device_assert`` and integers that overflow raise ``AssertionError``.

What no interpreter shows stays unseen: races and barriers (programs run one after the other), and
what only the compiler rejects (a dot with K < 16, say).  So pair every interpreted test with a
compilation, see :mod:`ncd_formal.realize.compilation`.
"""

import __future__

import ast
import functools
import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.experimental.gluon  # launches import it lazily: too late, triton.language is patched
import triton.language as tl
from triton.runtime.jit import JITFunction

from ncd_formal.realize.compilation import assume_gpu

__all__ = ["OutOfBounds", "interpret"]

Array = npt.NDArray[Any]

_CHECKED_RELEASES = ((3, 6), (3, 7), (3, 8), (3, 9))
"""Releases of Triton whose interpreter these corrections have been tested against."""

_BF16 = np.dtype(ml_dtypes.bfloat16)


class OutOfBounds(IndexError):
    """An unmasked lane touched memory that is no element of its pointer's tensor."""


def _private_interpreter() -> Any:
    """A second copy of ``triton.runtime.interpreter``, ours to correct.

    Raises ``ImportError`` for a release of Triton that the corrections were not tested against: the
    interpreter is private to Triton, and a correction that no longer applies would go unnoticed.
    """
    if tuple(map(int, triton.__version__.split(".")[:2])) not in _CHECKED_RELEASES:
        checked = ", ".join(f"{major}.{minor}" for major, minor in _CHECKED_RELEASES)
        raise ImportError(
            f"the interpreter is checked with triton {checked}, and this is {triton.__version__}"
        )
    name = "triton.runtime._ncd_interpreter"  # inside its package, for its relative imports
    path = Path(triton.runtime.__file__).with_name("interpreter.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_interpreter = _private_interpreter()
_Handle: Callable[..., Any] = _interpreter.TensorHandle


# --- Numbers ------------------------------------------------------------------------------------


_shipped_numpy_type = _interpreter._get_np_dtype


def _numpy_type(type_: Any) -> Any:
    """The NumPy type that holds the numbers of a Triton scalar or block type."""
    element = type_.scalar
    if element == tl.bfloat16:
        return _BF16
    if element.is_floating() and element.primitive_bitwidth == 8:
        raise NotImplementedError(f"{element} is not modelled by the interpreter")
    return _shipped_numpy_type(type_)


def _is_float(type_: np.dtype[Any]) -> bool:
    return type_ == _BF16 or type_.kind == "f"


def _truncate_to_tf32(x: Array) -> Array:
    """What a tensor core reads of a float32 operand: it ignores the low 13 bits."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def _round_to_tf32(x: Array) -> Array:
    """Nearest TF32 value, ties away from zero, as ``cvt.rna.tf32.f32`` rounds."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = (bits + np.uint32(0x1000)).view(np.float32)
    return np.where(np.isfinite(x), _truncate_to_tf32(rounded), x)


def _round_to_bf16(x: Array) -> Array:
    return x.astype(_BF16).astype(np.float32)


def _exactly(x: Array) -> Array:
    return x


_PRECISION = _interpreter._ir.INPUT_PRECISION
_SPLITTING: dict[Any, tuple[Callable[[Array], Array], int]] = {
    _PRECISION.IEEE: (_exactly, 1),
    _PRECISION.TF32: (_truncate_to_tf32, 1),
    _PRECISION.TF32x3: (_round_to_tf32, 2),
    _PRECISION.BF16x3: (_round_to_bf16, 2),
    _PRECISION.BF16x6: (_round_to_bf16, 3),
}
"""How a float32 operand of a dot becomes a sum of narrow pieces: the rounding, and how many."""


def _pieces(x: Array, precision: Any) -> list[Array]:
    """Narrow numbers p₀, p₁, … of falling size with p₀ + p₁ + … ≈ x."""
    rounding, count = _SPLITTING[precision]
    pieces = []
    for _ in range(count):
        pieces.append(rounding(x))
        x = x - pieces[-1]
    return pieces


def _tree_sum(x: Array, axis: int | None, keepdims: bool) -> Array:
    """Σ x along an axis of a power-of-two size, each addition rounded to the type of x."""
    terms = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    while len(terms) > 1:
        terms = terms[: len(terms) // 2] + terms[len(terms) // 2 :]
    if not keepdims:
        return np.asarray(terms[0])
    return np.expand_dims(terms[0], tuple(range(x.ndim)) if axis is None else axis)


# --- Memory -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Region:
    """The bytes that a tensor's elements occupy, gaps between them left out.

    ``axes`` are (size, stride in bytes), widest stride first and no stride zero.
    """

    start: int
    axes: tuple[tuple[int, int], ...]
    description: str

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "_Region":
        width, count = tensor.element_size(), tensor.numel()
        strided = zip(tensor.shape, tensor.stride(), strict=True)
        axes = sorted(
            ((size, stride * width) for size, stride in strided if size > 1 and stride > 0),
            key=lambda axis: -axis[1],
        )
        reach = 0
        for size, stride in reversed(axes):
            if stride <= reach:  # windows that overlap: settle for the span of them all
                span = sum((size - 1) * stride for size, stride in axes) // width + 1
                axes = [(span, width)]
                break
            reach += (size - 1) * stride
        text = f"tensor of shape {tuple(tensor.shape)} and strides {tensor.stride()}"
        return cls(tensor.data_ptr(), tuple(axes) if count else ((0, width),), text)

    def contains(self, addresses: Array) -> Array:
        """Which addresses are the first byte of an element."""
        offset = addresses.astype(np.int64) - self.start
        inside: Array = offset >= 0
        # Strides are nested, so an element's offset has one decomposition: the greedy one.
        for size, stride in self.axes:
            index = np.minimum(offset // stride, size - 1)
            offset = offset - index * stride
        inside &= offset == 0
        return inside


class _PointerInto(tl.pointer_type):  # type: ignore[misc]
    """A pointer type that remembers its tensor.

    The interpreter hands a pointer's type through all pointer arithmetic unchanged, so whatever is
    computed from an argument still says which argument it was.
    """

    def __init__(self, pointer: Any, region: _Region) -> None:
        super().__init__(pointer.element_ty, pointer.address_space, pointer.const)
        self.region = region


def _check(access: str, pointers: Any, mask: Array, program: object) -> None:
    """Raise :class:`OutOfBounds` unless every unmasked lane points at an element of its tensor."""
    if not isinstance(pointers.dtype, _PointerInto):
        raise NotImplementedError(f"{access} through a pointer that no tensor argument led to")
    addresses = np.broadcast_to(pointers.data, mask.shape)[mask]
    inside = pointers.dtype.region.contains(addresses)
    if not inside.all():
        raise OutOfBounds(
            f"{access} in program {program}: {np.count_nonzero(~inside)} of {inside.size} unmasked "
            f"lanes lie outside the {pointers.dtype.region.description}"
        )


def _poison(shape: Sequence[int], type_: np.dtype[Any]) -> Array:
    """What an undefined lane holds: NaN, or the integer likeliest to leave every tensor."""
    return np.full(shape, np.nan if _is_float(type_) else np.iinfo(type_).max, dtype=type_)


def _native(x: Array) -> Array:
    """The bits of x in a type that the memory routines know."""
    return np.ascontiguousarray(x).view(np.uint16) if x.dtype == _BF16 else x


# --- The corrected interpreter ------------------------------------------------------------------


class _Builder(_interpreter.InterpreterBuilder):  # type: ignore[misc, name-defined]
    """Carries out the operations that kernels are made of; the signatures are Triton's."""

    def __init__(self) -> None:
        super().__init__()
        self.options = _interpreter.InterpreterOptions(
            allowed_dot_input_precisions=("ieee", "tf32", "tf32x3", "bf16x3", "bf16x6"),
            sanitize_overflow=True,
            debug=True,  # or else no assertion is looked at
        )

    def create_masked_load(self, ptrs: Any, mask: Any, other: Any, *_: Any, **__: Any) -> Any:
        _check("load", ptrs, mask.data, self.grid_idx)
        type_ = _numpy_type(ptrs.get_element_ty())
        fill = _poison(ptrs.data.shape, type_) if other is None else other.data.astype(type_)
        fill = _native(fill)
        loaded = _interpreter._interpreter.load(ptrs.data, mask.data, fill, fill.dtype)
        return _Handle(loaded.view(type_), ptrs.get_element_ty())

    def create_masked_store(self, ptrs: Any, value: Any, mask: Any, *_: Any) -> None:
        _check("store", ptrs, mask.data, self.grid_idx)
        _interpreter._interpreter.store(ptrs.data, _native(value.data), mask.data)

    def create_atomic_rmw(self, op: Any, ptr: Any, val: Any, mask: Any, *rest: Any) -> Any:
        _check("atomic", ptr, mask.data, self.grid_idx)
        if val.data.dtype == _BF16:
            raise NotImplementedError("atomics on bfloat16 are not modelled by the interpreter")
        return super().create_atomic_rmw(op, ptr, val, mask, *rest)

    def create_atomic_cas(self, ptr: Any, cmp: Any, val: Any, *rest: Any) -> Any:
        _check("atomic", ptr, np.ones_like(ptr.data, dtype=bool), self.grid_idx)
        return super().create_atomic_cas(ptr, cmp, val, *rest)

    def create_bitcast(self, src: Any, dst_type: Any) -> Any:
        result = super().create_bitcast(src, dst_type)
        if isinstance(src.dtype, _PointerInto) and result.dtype.is_ptr():
            # Booleans are loaded as bytes; any other change of width would blur the bounds.
            widths = {max(8, p.element_ty.primitive_bitwidth) for p in (src.dtype, result.dtype)}
            if len(widths) == 1:
                result.dtype = _PointerInto(result.dtype, src.dtype.region)
        return result

    def cast_impl(self, src: Any, dst_type: Any) -> Any:
        return _Handle(src.data.astype(_numpy_type(dst_type)), dst_type.scalar)

    def create_fp_to_fp(self, src: Any, dst_type: Any, rounding_mode: Any) -> Any:
        if rounding_mode == _interpreter._ir.ROUNDING_MODE.RTZ:
            raise NotImplementedError("rounding toward zero is not modelled by the interpreter")
        return self.cast_impl(src, dst_type)

    def create_dot(self, a: Any, b: Any, d: Any, precision: Any, imprecise: Any) -> Any:
        if a.data.dtype != np.float32 and a.data.dtype != _BF16:
            return super().create_dot(a, b, d, precision, imprecise)
        if a.data.dtype == _BF16:
            precision = _PRECISION.IEEE  # exact in float32: input_precision is about float32
        left, right = (_pieces(x.data.astype(np.float32), precision) for x in (a, b))
        total = d.data
        # Products of two late pieces are below the rounding error, and hardware skips them.
        for i, x in reversed(list(enumerate(left))):
            for y in reversed(right[: len(right) - i]):
                total = np.matmul(x, y) + total
        return _Handle(total.astype(d.data.dtype), d.dtype.scalar)


class _Semantic(_interpreter.TritonSemantic):  # type: ignore[misc, name-defined]
    def load(self, ptr: Any, mask: Any, other: Any, *rest: Any) -> Any:
        # Triton writes ``if other``, which the interpreter answers for single numbers by their
        # value: a scalar ``other=0.0`` would count as absent.
        if mask is None or other is None or ptr.numel.value > 1:
            return super().load(ptr, mask, other, *rest)
        loaded = super().load(ptr, mask, None, *rest)
        return self.where(mask, loaded, self.cast(other, loaded.dtype))


class _ReduceOps(_interpreter.ReduceOps):  # type: ignore[misc, name-defined]
    def sum(self, input: Any) -> Any:
        data = input.handle.data
        if not (_is_float(data.dtype) and data.dtype.itemsize == 2):
            return super().sum(input)
        return self.to_tensor(_tree_sum(data, self.axis, self.keep_dims), input.dtype)


_REWRITERS_NAMES = ("interpreter_semantic", "_InterpreterComparison")


class _Rewriter(_interpreter.FunctionRewriter):  # type: ignore[misc, name-defined]
    """Turns a kernel's source into Python that computes on the interpreter's tensors."""

    def _compile_and_exec(self, transformed_ast: ast.Module) -> Any:
        # The rewritten text needs names of the interpreter.  An enclosing function provides them;
        # the shipped rewriter writes them into the globals of the user's module instead.
        helpers = {
            name: value for name, value in vars(_interpreter).items() if name in _REWRITERS_NAMES
        }
        outer = ast.parse(f"def outer({', '.join(helpers)}):\n return {self.fn.__name__}")
        (function,) = outer.body
        assert isinstance(function, ast.FunctionDef)
        function.body[:0] = transformed_ast.body
        namespace: dict[str, Any] = {}
        flags = self.fn.__code__.co_flags & __future__.annotations.compiler_flag
        code = compile(outer, self.filename, "exec", flags, dont_inherit=True)
        exec(code, self.fn.__globals__, namespace)
        return namespace["outer"](**helpers)


_shipped_conversion = _interpreter._implicit_cvt
_shipped_patch = _interpreter._patch_lang


def _as_triton(argument: Any) -> Any:
    """A kernel's argument as the interpreter sees it; pointers remember their tensor."""
    converted = _shipped_conversion(argument)
    if hasattr(argument, "data_ptr"):
        region = _Region.of(_interpreter._unwrap_tensor(argument))
        converted.handle.dtype = _PointerInto(converted.handle.dtype, region)
    return converted


def _patch_language(_: Any) -> Any:
    """Redirect triton.language to the interpreter; the result's ``restore`` undoes it.

    The shipped version patches only the modules that the kernel names, then more with every call
    of a library function, and leaves those patched.
    """
    scope = _shipped_patch(types.SimpleNamespace(__globals__={"tl": tl, "core": tl.core}))
    # Triton 3.6 calls int() on an array of one number, which NumPy 2.4 refuses.
    scope.set_attr(tl.core.tensor, "__index__", lambda self: int(self.handle.data.item()))
    return scope


_interpreter._get_np_dtype = _numpy_type
_interpreter.interpreter_builder = _Builder()
_interpreter.TritonSemantic = _Semantic
_interpreter.interpreter_semantic = _Semantic(_interpreter.interpreter_builder)
_interpreter.ReduceOps = _ReduceOps
_interpreter._implicit_cvt = _as_triton
_interpreter._patch_lang = _patch_language


@functools.cache
def _interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function that computes what the kernel or device function does."""
    rewritten: Callable[..., Any] = _Rewriter(function).rewrite_ast()
    return rewritten


@functools.wraps(JITFunction.run)
def _run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
    """Stands in for ``JITFunction.run``: the launch of a kernel."""
    if warmup:
        return
    names = list(inspect.signature(self.fn).parameters)
    launch = _interpreter.GridExecutor(_interpreted(self.fn), names, grid, self.pre_run_hooks)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NaN and overflow are values here
            launch(*args, **kwargs)
    except _interpreter.InterpreterError as error:
        raise error.__cause__ or error from None


@functools.wraps(JITFunction.__call__)
def _call(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Stands in for ``JITFunction.__call__``: a device function called from a kernel."""
    return _interpreted(self.fn)(*args, **kwargs)


@contextmanager
def interpret(target: str = "sm_90") -> Iterator[None]:
    """Within the context, every launch of a ``@triton.jit`` kernel runs here, on CPU tensors.

    Launchers need no change: ``kernel[grid](...)`` computes instead of looking for a GPU, and the
    options that only the compiler reads (``num_warps`` and the like) are ignored.  A launcher that
    asks Triton for the GPU, to choose its tiles, is told ``target``.  Afterwards all kernels
    compile as before.  The switch is global to the process, not to the thread.

    Raises ``ValueError`` for an unknown target and ``RuntimeError`` when ``TRITON_INTERPRET`` has
    put the shipped interpreter in place.  A launch raises :class:`OutOfBounds` when an unmasked
    lane strays, ``NotImplementedError`` for what is not modelled (float8, atomics on bfloat16,
    rounding toward zero, inline assembly), and whatever the kernel's own Python raises.
    """
    if not isinstance(tl.sum, JITFunction):
        raise RuntimeError("unset TRITON_INTERPRET: it put Triton's own interpreter in place")
    installed = JITFunction.run, JITFunction.__call__
    with assume_gpu(target):
        JITFunction.run, JITFunction.__call__ = _run, _call
        try:
            yield
        finally:
            JITFunction.run, JITFunction.__call__ = installed
