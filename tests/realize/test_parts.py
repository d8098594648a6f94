"""Forms in parts: kernels that fold the parts of an axis, and kernels that combine their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.certificate import Certificate
from ncd_formal.conditions import Context, assume
from ncd_formal.derivation import derive
from ncd_formal.derivation.dispatches import Dispatch, dispatches
from ncd_formal.derivation.parts import Divided, divide
from ncd_formal.derivation.streaming import stream
from ncd_formal.derivation.ways import Way, ways
from ncd_formal.elaboration import Output, elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import parse_shape, size_names
from ncd_formal.frontends.torch_export import import_program
from ncd_formal.realize.accuracy import SoftmaxContraction
from ncd_formal.realize.compilation import compiling
from ncd_formal.realize.interpreter import interpret
from ncd_formal.realize.unfused_source import unfused_source
from ncd_formal.wires import Term, term
from tests.programs.definitions import DEFINITIONS, Definition
from tests.realize.test_triton_source import DTYPES, load, random, short

SIZES = {**dict.fromkeys("bhs", 2), **dict.fromkeys("cdr", 20), **dict.fromkeys("kelyx", 40)}
SIZES |= {"n": 21, "m": 100}


@cache
def imported(name: str) -> tuple[Program, Output, Context]:
    definition = DEFINITIONS[name]
    declared = [parse_shape(k, v) for k, v in definition.inputs.items()]
    program = import_program(definition.program, definition.inputs)
    elaboration = elaborate([program.outputs], assume((), size_names(declared)))
    ((output,),) = elaboration.programs
    return program, output, elaboration.context


@cache
def divided(name: str) -> Divided:
    _, output, context = imported(name)
    definition = DEFINITIONS[name]
    form = stream(output, context, definition.axis, parts=True, expand=definition.expand)
    return divide(form, context)


def written(name: str, parted: Divided) -> tuple[Dispatch, ...]:
    program, output, context = imported(name)
    way = Way("in parts", (), None, divided=parted)
    return dispatches("program", way, output.term, context, program.inputs)


@cache
def kernel(name: str, folder: Path) -> Callable[..., Tensor]:
    program, _, _ = imported(name)
    files = unfused_source(written(name, divided(name)), program.inputs, program.conditions)
    assert sorted(files) == ["dispatch_1.py", "dispatch_2.py", "kernel.py"]
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    runs: Callable[..., Tensor] = load(folder / "kernel.py").program
    return runs


def drawn(definition: Definition) -> list[Tensor]:
    tensors = []
    for seed, (name, text) in enumerate(definition.inputs.items()):
        declared = parse_shape(name, text)
        shape = [extent.evaluate(SIZES) for extent in declared.shape]
        if declared.kind == "integer":
            generator = torch.Generator().manual_seed(seed)
            tensors.append(torch.randint(SIZES["m"], shape, generator=generator))
        else:
            tensors.append(random(*shape, seed=seed))
    return tensors


@pytest.mark.parametrize(
    "name",
    [
        "matmul",
        "softmax",
        "RMS norm",
        "grouped attention",
        "absorbed latent attention",
        "causal attention",
        "windowed attention",
        "decoding",
        "cross-entropy",
        "gated MLP",
        "spherical attention",
        "linear attention",
    ],
)
def test_the_kernels_compute_the_program(name: str, tmp_path: Path) -> None:
    """In one part, in several of which the last is short, and in more than there are blocks."""
    definition, runs = DEFINITIONS[name], kernel(name, tmp_path)
    tensors = drawn(definition)
    expected = definition.program(*(t.double() if t.is_floating_point() else t for t in tensors))
    for parts in (1, 3, 1000):
        with interpret():
            found = runs(*tensors, parts=parts)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


@given(
    m=st.one_of(st.sampled_from([1, 16, 17, 64, 65, 129]), st.integers(1, 300)),
    d=st.sampled_from([32, 64, 128]),
    parts=st.integers(1, 12),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([1e-4, 1.0, 20.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_decoding_in_parts_is_within_the_bounds(
    m: int, d: int, parts: int, dtype: torch.dtype, scale: float, seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    q = scale * random(2, 3, 1, d, seed=seed, dtype=dtype)
    k, v = (random(2, 3, m, d, seed=seed + s, dtype=dtype) for s in (1, 2))
    with interpret():
        out = kernel("decoding", _folder(tmp_path_factory))(q, k, v, parts=parts)
    assert out.dtype == dtype
    # The scores are divided by 8, as in the definition.
    judged = SoftmaxContraction(q, k, v, scale=1 / 8).judge(out)
    assert judged.acceptable, judged


_FOLDERS: list[Path] = []


def _folder(factory: pytest.TempPathFactory) -> Path:
    if not _FOLDERS:
        _FOLDERS.append(factory.mktemp("decoding"))
    return _FOLDERS[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "gfx942"])
def test_the_kernels_compile_without_spilling(
    target: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    runs = kernel("decoding", tmp_path)
    q = torch.empty(1, 4, 1, 64, dtype=dtype, device="meta")
    k = torch.empty(1, 4, 4096, 64, dtype=dtype, device="meta")
    with compiling(target) as compiled:
        runs(q, k, k, parts=8)
    states, combined = compiled
    assert states.spills == 0
    # For sm_90, ptxas stops at 56 of 255 registers and keeps 8 bytes in memory.
    assert combined.spills <= 8


def test_rows_without_a_key_are_undefined_in_parts_too(tmp_path: Path) -> None:
    """Parts without a key change nothing; a row without any is 0/0, as in the definition."""
    program, output, context = imported_masked()
    form = stream(output, context, "m.0", parts=True)
    way = Way("in parts", (), None, divided=divide(form, context))
    parted = dispatches("program", way, output.term, context, program.inputs)
    for file, text in unfused_source(parted, program.inputs, program.conditions).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    s, v = random(3, 100), random(100, 32, seed=1)
    mask = torch.zeros(3, 100, dtype=torch.bool)
    mask[0, 90:] = True
    mask[1, :3] = True
    with interpret():
        found = load(tmp_path / "kernel.py").program(s, mask, v, parts=4)
    expected = masked(s, mask, v)
    assert expected[:2].isfinite().all() and expected[2].isnan().all()
    torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-5, rtol=1e-5)


def masked(s: Tensor, mask: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(s.masked_fill(~mask, float("-inf")), -1) @ v


def imported_masked() -> tuple[Program, Output, Context]:
    inputs = {"s": "n m", "mask": "n m : bool", "v": "m d"}
    declared = [parse_shape(k, v) for k, v in inputs.items()]
    program = import_program(masked, inputs)
    elaboration = elaborate([program.outputs], assume((), size_names(declared)))
    ((output,),) = elaboration.programs
    return program, output, elaboration.context


def test_a_form_without_parts_is_not_divided() -> None:
    _, output, context = imported("matmul")
    with pytest.raises(InputError, match="are not combined from parts"):
        divide(stream(output, context), context)


# --- What dispatches make together is what is proved ----------------------------------------------


def test_states_that_are_not_those_of_the_form_are_refused() -> None:
    """The certificate is of one form; arrays that hold something else do not make it."""
    parted = divided("decoding")
    first, second, third = parted.states
    wrong = replace(second, output=replace(second.output, term=third.output.term))
    swapped = replace(parted, states=(first, wrong, third))
    with pytest.raises(ValueError, match="not what is proved"):
        written("decoding", swapped)
    root = parted.combined.term
    doubled = replace(parted.combined, term=term("Add", root, root))
    with pytest.raises(ValueError, match="not what is proved"):
        written("decoding", replace(parted, combined=doubled))
    with pytest.raises(ValueError, match="not what is proved"):
        written("matmul", parted)
    assert len(written("decoding", parted)) == 2


def reordered(name: str) -> Way:
    _, output, context = imported(name)
    return next(way for way in ways(output, context) if way.order is not None)


def test_an_order_of_another_program_is_refused() -> None:
    """Certificates of orders are of this program, and of the terms whose dispatches are written."""
    name = "spherical attention"
    program, output, context = imported(name)
    way, other = reordered(name), reordered("linear attention from the right")

    def refused(changed: Way, definition: Term = output.term) -> None:
        with pytest.raises(ValueError, match="not what is proved"):
            dispatches(name, changed, definition, context, program.inputs)

    assert len(dispatches(name, way, output.term, context, program.inputs)) == len(way.plans) > 1
    refused(replace(way, order=other.order))
    refused(replace(way, form=other.form))
    refused(way, imported("matmul")[1].term)
    first, *others = way.plans
    refused(replace(way, plans=(replace(first, term=term("Add", first.term, first.term)), *others)))


# --- Derived --------------------------------------------------------------------------------------


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


ROWS = {"k": "b h m d", "v": "b h m d"}


def test_decoding_is_derived_in_parts_where_processors_idle(tmp_path: Path) -> None:
    """With sizes, where that takes less; and what is saved runs, and is checked."""
    sizes = {"b": 1, "h": 16, "m": 131_072, "d": 128}
    found = derive(attention, {"q": "b h 1 d", **ROWS}, "h100", sizes)
    assert not found.fused and "processors idle" in found.why
    assert found.schedule.part is not None
    assert found.certificate.goals[0].right is found.schedule.term
    found.save(tmp_path)
    for file in ("certificate", "dispatch_1", "dispatch_2"):
        Certificate.load(tmp_path / f"{file}.json").check()
    tensors = [random(1, 2, n, 32, seed=n) for n in (1, 70, 70)]
    with interpret():
        out = load(tmp_path / "kernel.py").attention(*tensors, parts=2)
    torch.testing.assert_close(out, attention(*tensors), atol=1e-5, rtol=1e-5)
    many = derive(attention, {"q": "b h n d", **ROWS}, "h100", {**sizes, "n": 4096})
    assert many.fused and many.schedule.part is None


def test_parts_are_derived_where_they_are_asked_for() -> None:
    found = derive(attention, {"q": "b h n d", **ROWS}, parts=True)
    assert found.schedule.part is not None and len(found.dispatches) == 2
    assert "in parts, as was asked for" in found.explain()
    assert "parts=None" in found.files["kernel.py"]
    definition = DEFINITIONS["layer norm"]
    with pytest.raises(InputError, match="wait for one another"):
        derive(definition.program, definition.inputs, parts=True)
    sizes = {"b": 1, "h": 1, "n": 1, "m": 2, "d": 64}
    with pytest.raises(InputError, match="no two blocks"):
        derive(attention, {"q": "b h n d", **ROWS}, "h100", sizes, parts=True)
