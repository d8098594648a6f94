"""Derived kernels: emitted from proved forms, run in the corrected interpreter, compiled.

A kernel is judged by the rules of ``realize/accuracy.py``: every element within a bound that no
correct kernel can exceed, and over many elements an error of the size of unavoidable roundings.
Where the program is another one, it is compared with the program in float64.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.certificate import Certificate
from ncd_formal.derivation import StreamedForm, derive
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import Declaration, parse_shape
from ncd_formal.realize.accuracy import SoftmaxContraction, judge
from ncd_formal.realize.compilation import compiling
from ncd_formal.realize.interpreter import interpret
from ncd_formal.realize.triton_source import kernel_source
from ncd_formal.targets import load_target
from ncd_formal.wires import Term, add, inverse, parse, term

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDTHS = (32, 64, 128)
SHORT = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def short(value: object) -> str | None:
    return SHORT.get(value) if isinstance(value, torch.dtype) else None


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


# --- The saved kernels ----------------------------------------------------------------------------


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


SAVED: Mapping[str, object] = {
    "attention": load_target(f"{ROOT}/examples/attention.py:attention"),
    "causal_attention": causal_attention,
}


@cache
def saved(name: str = "attention") -> Callable[..., Tensor]:
    launcher: Callable[..., Tensor] = getattr(load(KERNELS / f"{name}.py"), name)
    return launcher


@pytest.mark.parametrize("name", SAVED)
def test_the_saved_kernels_are_what_is_derived_today(name: str) -> None:
    """``UPDATE_GOLDEN=1 pytest`` writes them anew, where they change on purpose."""
    derivation = derive(SAVED[name], ATTENTION)
    text, proof = KERNELS / f"{name}.py", KERNELS / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        text.write_text(derivation.kernel, encoding="utf-8")
        derivation.certificate.save(proof)
    assert derivation.kernel == text.read_text(encoding="utf-8")
    certificate = Certificate.load(proof)
    assert certificate.digest == derivation.certificate.digest
    assert f"sha256 {certificate.digest}" in derivation.kernel
    certificate.check()


def layout(kind: str, shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int) -> Tensor:
    """A tensor of ``shape`` whose memory is laid out in one of several ways."""
    b, h, n, d = shape
    return {
        "plain": lambda: random(b, h, n, d, seed=seed, dtype=dtype),
        "transposed": lambda: random(b, n, h, d, seed=seed, dtype=dtype).transpose(1, 2),
        "columns": lambda: random(b, h, d, n, seed=seed, dtype=dtype).mT,
        "sliced": lambda: amid_nan(random(b, h, n, d, seed=seed, dtype=dtype)),
        "every other": lambda: random(b, h, n, 2 * d, seed=seed, dtype=dtype)[..., ::2],
        "repeated": lambda: random(1, 1, n, d, seed=seed, dtype=dtype).expand(b, h, n, d),
    }[kind]()


def amid_nan(x: Tensor) -> Tensor:
    """The same numbers as a slice, misaligned, of a tensor that else holds NaN."""
    b, h, n, d = x.shape
    room = torch.full((b, h, n + 3, d + 5), math.nan, dtype=x.dtype)
    inside = room[:, :, 1 : n + 1, 2 : d + 2]
    inside.copy_(x)
    return inside


LAYOUTS = ("plain", "transposed", "columns", "sliced", "every other", "repeated")
lengths = st.one_of(st.sampled_from([1, 15, 16, 17, 63, 64, 65, 129]), st.integers(1, 150))


@given(
    name=st.sampled_from(sorted(SAVED)),
    batch=st.integers(0, 2),
    n=lengths,
    m=lengths,
    d=st.sampled_from(WIDTHS),
    dtype=st.sampled_from(DTYPES),
    laid_out=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    scale=st.sampled_from([0.0, 1e-4, 1.0, 20.0]),
    target=st.sampled_from(["sm_90", "sm_80"]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_kernel_is_within_the_bounds(
    name: str,
    batch: int,
    n: int,
    m: int,
    d: int,
    dtype: torch.dtype,
    laid_out: tuple[str, str, str],
    scale: float,
    target: str,
    seed: int,
) -> None:
    """Odd lengths, an empty batch, any strides, every type and width, both tables."""
    q = layout(laid_out[0], (batch, 2, n, d), dtype, seed) * scale
    k = layout(laid_out[1], (batch, 2, m, d), dtype, seed + 1)
    v = layout(laid_out[2], (batch, 2, m, d), dtype, seed + 2)
    with interpret(target):
        result = saved(name)(q, k, v)
    assert result.shape == q.shape
    accuracy = SoftmaxContraction(q, k, v, is_causal=name == "causal_attention").judge(result)
    assert accuracy.acceptable, str(accuracy)


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
def test_the_root_mean_square_is_that_of_unavoidable_roundings(dtype: torch.dtype) -> None:
    q, k, v = (random(2, 2, n, 64, seed=n, dtype=dtype) for n in (150, 149, 149))
    with interpret():
        accuracy = SoftmaxContraction(q, k, v).judge(saved()(q, k, v))
    assert accuracy.root_mean_square is not None
    assert accuracy.acceptable, str(accuracy)


def test_blocks_of_any_size_give_the_same_function() -> None:
    q, k, v = (random(1, 2, n, 32, seed=n) for n in (70, 90, 90))
    for row, stream in ((16, 16), (32, 128), (128, 16)):
        configuration = {"BLOCK_N": row, "BLOCK_M": stream, "num_warps": 4, "num_stages": 2}
        for name in SAVED:
            limits = SoftmaxContraction(q, k, v, is_causal=name == "causal_attention")
            with interpret():
                accuracy = limits.judge(saved(name)(q, k, v, configuration=configuration))
            assert accuracy.acceptable, f"{name} {configuration}: {accuracy}"


def test_memory_around_a_tensor_is_not_seen() -> None:
    plain = [random(1, 2, n, 32, seed=n) for n in (33, 70, 70)]
    with interpret():
        assert torch.equal(saved()(*map(amid_nan, plain)), saved()(*plain))


def test_a_nan_reaches_what_depends_on_it_and_nothing_else() -> None:
    q, k, v = (random(1, 1, 40, 32, seed=n) for n in range(3))
    of_row, of_key, of_value = q.clone(), k.clone(), v.clone()
    of_row[0, 0, 7] = of_key[0, 0, 9] = of_value[0, 0, :, 3] = math.nan
    with interpret():
        plain, causal = saved()(q, k, v), saved("causal_attention")(q, k, v)
        rows, columns = saved()(of_row, k, v), saved()(q, k, of_value)
        later = saved("causal_attention")(q, of_key, v)
    assert torch.equal(rows.isnan(), of_row.isnan())
    assert torch.equal(rows[~rows.isnan()], plain[~rows.isnan()])
    assert torch.equal(columns.isnan(), of_value.isnan())
    assert later[0, 0, 9:].isnan().all()
    assert torch.equal(later[0, 0, :9], causal[0, 0, :9])


# --- What a launcher refuses ----------------------------------------------------------------------


def test_shapes_types_and_sizes_that_do_not_fit_are_refused() -> None:
    def refused(*tensors: Tensor) -> str:
        with pytest.raises(ValueError, match=r"expected|condition|configuration") as raised:
            saved()(*tensors)
        return str(raised.value)

    q, k = torch.zeros(1, 2, 8, 32), torch.zeros(1, 2, 9, 32)
    fits = "expected q[b, h, n, d], k[b, h, m, d], v[b, h, m, d], not the shapes"
    assert refused(q, k, q).startswith(fits)
    assert refused(q, k[..., :16], k).startswith(fits)
    assert refused(q[0], k, k).startswith(fits)
    assert refused(q, k.half(), k) == (
        "expected one of float16, bfloat16 and float32, not ['torch.float16', 'torch.float32']"
    )
    assert "not ['torch.float64']" in refused(q.double(), k.double(), k.double())
    assert refused(q, k[:, :, :0], k[:, :, :0]) == "the condition m >= 1 does not hold"
    wide = torch.zeros(1, 1, 8, 256)
    with interpret():
        assert refused(wide, wide, wide).startswith("no configuration for size 4 and width 256")


def test_an_empty_result_needs_no_kernel() -> None:
    empty = torch.zeros(2, 2, 0, 32)
    for k in (torch.zeros(2, 2, 5, 32), empty):
        assert saved()(empty, k, k).shape == (2, 2, 0, 32)


# --- What compilers make of it --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("d", WIDTHS)
def test_a_kernel_compiles_for_hopper_without_spills(dtype: torch.dtype, d: int) -> None:
    tensors = [torch.empty(2, 4, n, d, dtype=dtype, device="meta") for n in (1001, 1003, 1003)]
    with compiling("sm_90") as compiled:
        saved()(*tensors)
    (resources,) = compiled
    assert resources.spills == 0
    assert dtype == torch.float32 or resources.instructions["wgmma"] > 0


@pytest.mark.parametrize(
    ("target", "instruction"), [("sm_80", "mma"), ("sm_100", "tcgen05"), ("gfx942", "mfma")]
)
def test_a_kernel_compiles_for_other_gpus_without_spills(target: str, instruction: str) -> None:
    q = torch.empty(2, 1001, 4, 64, dtype=torch.bfloat16, device="meta").transpose(1, 2)
    with compiling(target) as compiled:
        saved()(q, q, q)
        saved("causal_attention")(q, q, q)
    for resources in compiled:
        assert resources.spills == 0
        assert resources.instructions[instruction] > 0


def test_a_tile_may_span_more_memory_than_32_bits_count() -> None:
    n = 2**26  # 64 columns of it are 2³² apart
    q = torch.empty(1, 1, 64, n, dtype=torch.float16, device="meta").mT[:, :, :100]
    k = torch.empty(1, 1, 100, 64, dtype=torch.float16, device="meta")
    one = torch.empty(1, 1, 1, 1, dtype=torch.float16, device="meta")
    with compiling("sm_90") as compiled:
        saved()(q, k, k)
        saved()(one, one, one)  # every size and stride is the constant 1
    assert all(resources.spills == 0 for resources in compiled)


# --- Other definitions, by the same generator -----------------------------------------------------


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
    return F.scaled_dot_product_attention(q, k, v)


def biased(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / 8 + s, -1) @ v


def capped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(torch.tanh(q @ k.mT / 30) * 30, -1) @ v


def windowed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, m = torch.arange(q.shape[2])[:, None], torch.arange(k.shape[2])
    return torch.softmax((q @ k.mT).masked_fill((m > n) | (m < n - 8), -math.inf), -1) @ v


def masked(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Tensor:
    return torch.softmax((q @ k.mT).masked_fill(~a, -math.inf), -1) @ v


def documents(q: Tensor, k: Tensor, v: Tensor, i: Tensor) -> Tensor:
    return torch.softmax((q @ k.mT).masked_fill(i[:, None] != i, -math.inf), -1) @ v


def one_query(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.softmax(torch.einsum("bhd,bhmd->bhm", q, k), -1)
    return torch.einsum("bhm,bhmd->bhd", weights, v)


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    s = q @ k.mT
    return (s / (s * s).sum(-1, keepdim=True).sqrt()) @ v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).tril() @ v


def distances(q: Tensor, k: Tensor) -> Tensor:
    return torch.tanh((q[:, None] - k).abs().sum(-1) / 100).sum(-1)


def by_distance(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.tanh((q[:, None] - k).abs().sum(-1) / 100) @ v


def product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def perceptron(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    return torch.relu(x @ w) @ u


def logsumexp(x: Tensor) -> Tensor:
    return torch.logsumexp(x, -1)


def maximum(x: Tensor) -> Tensor:
    return x.amax(0)


def extent(x: Tensor) -> Tensor:
    return x.amax(-1) - x.amin(-1)


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


def normed(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5) * w + c


def everything(x: Tensor) -> Tensor:
    return x.sum()


@dataclass(frozen=True)
class Other:
    """A program with its inputs, and what its kernel shows."""

    program: Callable[..., Tensor]
    inputs: Mapping[str, str]
    dots: int
    """The products of matrices in the loop over whole blocks."""
    shows: tuple[str, ...] = ()
    """Parts of the kernel that only this form needs."""

    @property
    def name(self) -> str:
        return self.program.__name__


ROWS = {"q": "n d", "k": "m d", "v": "m d"}
OTHERS = (
    Other(grouped, {**ATTENTION, "q": "b 4*h n d"}, 2, ("(a + 4 * h) * q_1",)),
    Other(biased, {**ATTENTION, "s": "n m"}, 2),
    Other(capped, ATTENTION, 2, ("def tanh(x):",)),
    Other(windowed, ATTENTION, 2, ("begin = tl.maximum(0, n0 - 8) // BLOCK_M * BLOCK_M",)),
    Other(masked, {**ROWS, "a": "n m : bool"}, 2, ("= tl.where(a_tile, ",)),
    Other(documents, {"q": "n d", "k": "n d", "v": "n d", "i": "n : int"}, 2),
    Other(one_query, {**ATTENTION, "q": "b h d"}, 0),
    Other(spherical, ATTENTION, 2, ("total = total + tl.sum(s * s, 1)",)),
    Other(linear, ROWS, 2, ("end = tl.minimum(M, BLOCK_N + n0)", "# the longest first")),
    Other(distances, {"q": "n d", "k": "m d"}, 0, ("tl.sum(tl.abs(q_tile[None, :] - k_tile), 1)",)),
    Other(by_distance, ROWS, 1, ("tl.abs(q_tile[:, None, :] - k_tile[None, :, :])",)),
    Other(product, {"a": "n k", "b": "k m"}, 1, ("acc = tl.dot(a_tile, b_tile, acc, ",)),
    Other(perceptron, {"x": "n d", "w": "d m", "u": "m e"}, 2),
    Other(logsumexp, {"x": "n m"}, 0, ("mu * LN_2 + tl.log(total)",)),
    Other(maximum, {"x": "m n"}, 0, ("highest = tl.maximum(highest, tl.max(",)),
    Other(extent, {"x": "n m"}, 0),
    Other(softmax, {"x": "n m"}, 0, ("for m0 in tl.range(0, M, BLOCK_M):",)),
    Other(normed, {"x": "n d", "w": "d", "c": "d"}, 0),
    Other(everything, {"x": "n m"}, 0),
)


def tensors(other: Other, n: int, m: int, dtype: torch.dtype) -> list[Tensor]:
    sizes = {"b": 1, "h": 2, "n": n, "m": m, "d": 32, "k": 48, "e": 33}
    made: list[Tensor] = []
    for name, text in other.inputs.items():
        declared = parse_shape(name, text)
        numbers = random(*(p.evaluate(sizes) for p in declared.shape), seed=n + len(made))
        kinds = {"boolean": numbers > 0.5, "integer": (numbers > 0).long()}
        made.append(kinds.get(declared.kind, numbers.to(dtype)))
    return made


@pytest.mark.parametrize("other", OTHERS, ids=[other.name for other in OTHERS])
def test_other_definitions_become_kernels_too(other: Other, tmp_path: Path) -> None:
    """A float32 kernel loses less than 1e-4 on these, a bfloat16 one less than 2 in 100.

    Rows that a mask empties are undefined in both, and nothing else is.
    """
    derivation = derive(other.program, other.inputs)
    derivation.save(tmp_path)
    loop = derivation.kernel.split("# Blocks")[1]
    assert loop.count("tl.dot(") == other.dots
    for part in other.shows:
        assert part in derivation.kernel
    kernel = getattr(load(tmp_path / "kernel.py"), other.name)
    for n, m, dtype in ((1, 17, torch.float32), (70, 150, torch.float32), (33, 70, torch.bfloat16)):
        inputs = tensors(other, n, m, dtype)
        wanted = other.program(*(t.double() if t.is_floating_point() else t for t in inputs))
        with interpret():
            result = kernel(*inputs)
        loss = 1e-4 if dtype == torch.float32 else 2e-2
        bound = torch.full_like(wanted, loss * (1 + float(wanted.nan_to_num().abs().max())))
        assert judge(result, wanted, bound).acceptable
    with compiling("sm_90") as compiled:
        kernel(*(t.to("meta") for t in tensors(other, 128, 1024, torch.bfloat16)))
    assert compiled[0].spills == 0


def test_names_that_a_file_uses_itself_are_free_for_inputs(tmp_path: Path) -> None:
    def f(tl: Tensor, out: Tensor, n: Tensor) -> Tensor:
        return tl @ out + n

    derive(f, {"tl": "n math", "out": "math N", "n": "N"}).save(tmp_path)
    inputs = [random(*shape) for shape in ((5, 7), (7, 9), (9,))]
    with interpret():
        result = load(tmp_path / "kernel.py").f(*inputs)
    torch.testing.assert_close(result, f(*inputs), atol=1e-5, rtol=1e-5)


# --- What is refused ------------------------------------------------------------------------------


@cache
def summed() -> StreamedForm:
    return derive(lambda x: x.sum(-1), {"x": "n m"}).schedule


def changed(change: Callable[[Term], Term]) -> StreamedForm:
    return replace(summed(), term=change(summed().term))


def declared(**inputs: str) -> dict[str, Declaration]:
    return {name: parse_shape(name, text) for name, text in inputs.items()}


def refusal(form: StreamedForm, **inputs: str) -> str:
    with pytest.raises(InputError, match="no kernel is emitted yet for ") as raised:
        kernel_source("f", form, declared(**(inputs or {"x": "n m"})))
    return str(raised.value).removeprefix("no kernel is emitted yet for ")


def test_what_no_kernel_is_written_for_is_refused_by_name() -> None:
    form = summed()
    text = repr(form.term).removeprefix("parse('").removesuffix("')")
    multiplied = parse(text.replace("(Sum)", "(Product)"))
    splits = {a: replace(s, masked=False) for a, s in form.context.splits.items()}
    whole = replace(form, context=replace(form.context, splits=splits))
    assert refusal(replace(form, term=multiplied)) == "a reduction in the monoid Product"
    assert refusal(changed(lambda t: term("Tuple", t, t))) == "several outputs"
    assert refusal(changed(lambda t: term("Less", t, t))) == "an output of truth values"
    assert refusal(changed(lambda t: term("Function", "atan", t))) == "the function atan"
    opaque = changed(lambda t: term("Opaque", "sort", "", "n.0", t))
    assert refusal(opaque) == "the operator sort, known by name only"
    assert refusal(whole).startswith("tiles of a declared size")
    assert refusal(form, y="n m") == "x, which is no input of the call"
    assert refusal(form, x="n*m n+m").startswith("shapes that do not give")
    divided = changed(lambda t: add(t, term("Input", "x", "((n.0) // (2)); 0")))
    assert refusal(divided).startswith("an index that divides")
    unknown = changed(lambda t: add(t, inverse(term("Index", "z"))))
    assert refusal(unknown) == "the size z, which no input has"


def test_the_text_does_not_depend_on_the_order_in_which_a_form_was_found() -> None:
    left = changed(lambda t: add(term("Index", "n"), t))
    right = changed(lambda t: add(t, term("Index", "n")))
    inputs = declared(x="n m")
    assert kernel_source("f", left, inputs) == kernel_source("f", right, inputs)


def test_the_example_runs_a_saved_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    example = load(ROOT / "examples" / "run_kernel.py")
    names = (f"{KERNELS}/attention.py:attention", f"{ROOT}/examples/attention.py:attention")
    assert example.main(*names) == 0
    assert capsys.readouterr().out.count("within the limits") == 3
