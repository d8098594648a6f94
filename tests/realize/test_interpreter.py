from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.realize import interpreter
from ncd_formal.realize.compilation import compiling
from ncd_formal.realize.interpreter import OutOfBounds, interpret
from tests.realize import kernels_under_test as kernels

NARROW = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, *NARROW)


def same(x: Tensor, y: Tensor) -> bool:
    """Equal bit for bit, up to which NaN it is."""
    return x.dtype == y.dtype and bool(
        ((x == y) & (x.signbit() == y.signbit()) | (x.isnan() & y.isnan())).all()
    )


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def interpreted() -> Any:
    with interpret():
        yield


# --- numbers --------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=16),
    st.sampled_from(NARROW),
)
@settings(deadline=None, max_examples=60)
def test_casts_round_to_nearest_ties_to_even(numbers: list[float], narrow: torch.dtype) -> None:
    with interpret():
        source = torch.tensor(numbers)
        down, up = torch.empty(len(source), dtype=narrow), torch.empty(len(source))
        kernels.cast[1,](source, down, len(source), 16)
        kernels.cast[1,](down, up, len(source), 16)
    assert same(down, source.to(narrow))
    assert same(up, down.float())


def test_casts_at_ties_and_edges() -> None:
    source = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 1e-40, -1e-40, 3.4e38, -0.0, 65520.0, 6e-8])
    for narrow in NARROW:
        target = torch.empty(8, dtype=narrow)
        kernels.cast[1,](source, target, 8, 8)
        assert same(target, source.to(narrow))


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_is_of_the_type(dtype: torch.dtype) -> None:
    x, y = random(64).to(dtype), random(64, seed=1).to(dtype)
    target = torch.empty(66, dtype=dtype)
    kernels.arithmetic[1,](x, y, target, 64)
    assert same(target[:64], torch.where(x > y, x + y, -(x * y)))
    assert target[64] == x.max()
    assert abs(target[65].double() - x.double().sum()) < 64 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_sums_round_at_every_addition(dtype: torch.dtype) -> None:
    # Half of the last place of 1, 63 times: each is lost where it meets the 1, as pairs are not.
    x = torch.full((64,), torch.finfo(dtype).eps / 2, dtype=dtype)
    x[0] = 1
    target = torch.empty(66, dtype=dtype)
    kernels.arithmetic[1,](x, x, target, 64)
    expected = x
    while len(expected) > 1:
        half = len(expected) // 2
        expected = expected[:half] + expected[half:]
    assert target[65] == expected[0]
    assert target[65].double() < x.double().sum()


@pytest.mark.parametrize(
    ("precision", "least", "most"),
    [
        ("ieee", 0, 1e-6),
        ("tf32", 1e-4, 2e-3),
        ("tf32x3", 1e-8, 2e-6),
        ("bf16x3", 1e-6, 1e-4),
        ("bf16x6", 0, 2e-6),
    ],
)
def test_dots_obey_their_precision(precision: str, least: float, most: float) -> None:
    x, y, target = random(64, 64), random(64, 64, seed=1), torch.empty(64, 64)
    kernels.product[1,](x, y, target, 64, precision)
    exact = x.double() @ y.double()
    assert least <= (target - exact).norm() / exact.norm() <= most


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_dots_are_exact_but_for_float32(dtype: torch.dtype) -> None:
    x, y, target = random(64, 64).to(dtype), random(64, 64, seed=1).to(dtype), torch.empty(64, 64)
    kernels.product[1,](x, y, target, 64, "tf32")
    exact = x.double() @ y.double()
    assert (target - exact).norm() / exact.norm() < 1e-6


def test_rounding_to_tf32() -> None:
    x = np.array([1 + 2**-11, 1 + 2**-12, -1 - 2**-11, np.inf, 3.4e38], np.float32)
    assert interpreter._round_to_tf32(x)[:4].tolist() == [1 + 2**-10, 1, -1 - 2**-10, np.inf]
    assert interpreter._truncate_to_tf32(x)[:3].tolist() == [1, 1, -1]


def test_an_index_that_wraps_is_reported() -> None:
    with pytest.raises(AssertionError, match="overflow"):
        kernels.square_index[1,](torch.empty(1, dtype=torch.int64), 2**20)


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_masked_lanes_are_poison(dtype: torch.dtype) -> None:
    target = torch.zeros(16, dtype=dtype)
    kernels.load_masked[1,](torch.ones(3, dtype=dtype), target, 3, 16)
    assert target[:3].tolist() == [1, 1, 1]
    assert target[3:].isnan().all()


def test_masked_integers_are_poison() -> None:
    target = torch.zeros(4, dtype=torch.int32)
    kernels.load_masked[1,](torch.ones(3, dtype=torch.int32), target, 3, 4)
    assert target.tolist() == [1, 1, 1, 2**31 - 1]


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_scalar_other_of_zero_is_no_poison(wanted: int) -> None:
    target = torch.full((1,), 7.0)
    kernels.load_one[1,](torch.tensor([5.0]), target, wanted)
    assert target.item() == (5 if wanted else 0)


@pytest.mark.parametrize(("read", "write"), [(4, 0), (-1, 0), (0, 1), (0, -1), (10**9, 0)])
def test_stray_lanes_are_out_of_bounds(read: int, write: int) -> None:
    target = torch.zeros(16)
    with pytest.raises(OutOfBounds, match=r"tensor of shape \(1[69],\)"):
        kernels.touch[1,](torch.ones(19), target, read, write, 16)
    assert not target.any(), "nothing may be written before the check"


def test_gaps_of_a_view_are_out_of_bounds() -> None:
    padded = torch.ones(4, 24)
    kernels.touch[1,](padded[1:, 4:20], torch.zeros(16), 24, 0, 16)
    with pytest.raises(OutOfBounds, match="4 of 16 unmasked lanes"):
        kernels.touch[1,](padded[1:, 4:20], torch.zeros(16), 4, 0, 16)


def test_a_neighbour_in_the_same_storage_is_out_of_bounds() -> None:
    left, right = torch.ones(32).chunk(2)
    with pytest.raises(OutOfBounds):
        kernels.touch[1,](left, right, 1, 0, 16)


def test_repeated_and_overlapping_elements_are_in_bounds() -> None:
    for view in (torch.ones(1).expand(16), torch.ones(31).as_strided((4, 16), (5, 1))):
        kernels.touch[1,](view, torch.zeros(16), 0, 0, 1 if view.dim() == 1 else 16)


def test_atomics_are_checked() -> None:
    target = torch.zeros(4)
    kernels.count[5,](target, 3)
    assert target.tolist() == [0, 0, 0, 5]
    with pytest.raises(OutOfBounds, match="atomic"):
        kernels.count[1,](target, 4)


@pytest.mark.parametrize("dtype", FLOATS)
def test_descriptors_mask_what_lies_outside(dtype: torch.dtype) -> None:
    source = random(20, 16).to(dtype)
    target = torch.zeros_like(source)
    kernels.copy_described[3,](source, target, 20, 16, 8, 16)
    assert same(target, source)


def test_an_empty_grid_does_nothing() -> None:
    kernels.count[0,](torch.zeros(0), 0)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=4),
    st.integers(0, 3),
    st.integers(-5, 400),
)
def test_a_region_is_what_the_tensor_indexes(
    axes: list[tuple[int, int]], offset: int, address: int
) -> None:
    """Exactly the elements where strides are nested; at least the elements where they are not."""
    storage = torch.arange(1000)
    sizes, strides = [size for size, _ in axes], [stride for _, stride in axes]
    tensor = storage.as_strided(sizes, strides, offset)
    region = interpreter._Region.of(tensor)
    addresses = np.array([storage.data_ptr() + 8 * address], np.uint64)
    inside = bool(region.contains(addresses)[0])
    assert inside or address not in tensor.reshape(-1).tolist()
    if tensor.numel() and tensor.unique().numel() == tensor.numel() and inside:
        span = range(offset, int(tensor.max()) + 1)
        nested = len(region.axes) != 1 or region.axes[0][1] != 8
        assert address in (tensor.reshape(-1).tolist() if nested else span)


# --- the context ----------------------------------------------------------------------------------


def test_device_functions_and_the_library_run() -> None:
    target = torch.empty(1)
    kernels.call[1,](torch.arange(8.0), target, 8)
    assert target.item() == 56


def test_errors_are_those_of_the_kernel() -> None:
    with pytest.raises(ValueError, match="power of 2"):
        kernels.call[1,](torch.ones(24), torch.empty(1), 24)


def test_interpretation_and_compilation_alternate() -> None:
    q = random(1, 2, 64, 32).bfloat16()
    language, globals_ = dict(vars(tl.core)), set(vars(kernels))
    results, counts = [], []
    for _ in range(2):
        results.append(kernels.softmax_contraction(q, q, q)[0])
        with compiling("sm_90") as compiled:
            kernels.softmax_contraction(q, q, q)
        counts.append(compiled[0].instructions["wgmma"])
    assert torch.equal(*results)
    assert counts[0] == counts[1] > 0
    assert vars(tl.core) == language
    assert set(vars(kernels)) == globals_, "the interpreter writes nothing into the user's module"


def test_a_failing_kernel_leaves_triton_as_it_was() -> None:
    language = dict(vars(tl.core))
    with pytest.raises(OutOfBounds):
        kernels.count[1,](torch.zeros(1), 1)
    assert vars(tl.core) == language


def test_outside_of_the_context_kernels_need_a_gpu() -> None:
    run = triton.JITFunction.run
    with interpret():
        assert triton.JITFunction.run is run, "already interpreting"
    assert triton.JITFunction.run is run


def test_launchers_are_told_the_target() -> None:
    with interpret("gfx942"):
        assert triton.runtime.driver.active.get_current_target().arch == "gfx942"
    assert triton.runtime.driver.active.get_current_target().arch == 90
    with pytest.raises(ValueError, match="unknown target 'sm_12'"), interpret("sm_12"):
        pass


def test_tuning_needs_a_gpu() -> None:
    configurations = [triton.Config({"N": n}) for n in (8, 16)]
    tuned = triton.autotune(configurations, key=[])(kernels.call)
    with pytest.raises(NotImplementedError, match="no GPU to tune on"):
        tuned[1,](torch.ones(16), torch.empty(1))


def test_the_shipped_interpreter_must_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tl, "sum", object())
    with pytest.raises(RuntimeError, match="unset TRITON_INTERPRET"), interpret():
        pass


def test_an_unknown_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "__version__", "4.0.1")
    with pytest.raises(
        ImportError, match=r"checked with triton 3\.6, 3\.7, 3\.8, 3\.9, and this is 4\.0\.1"
    ):
        interpreter._private_interpreter()


# --- a whole kernel -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "sees"),
    [("no other", lambda o: o.isnan().any()), ("", lambda o: not o.isnan().any())],
)
def test_poison_reaches_the_result(fault: str, sees: Callable[[Tensor], bool]) -> None:
    q = random(1, 1, 70, 16)
    assert sees(kernels.softmax_contraction(q, q, q, fault=fault)[0])


def test_a_mask_that_admits_too_much_is_out_of_bounds() -> None:
    q = random(1, 1, 70, 16)
    with pytest.raises(OutOfBounds, match="16 of 112 unmasked lanes"):
        kernels.softmax_contraction(q, q, q, fault="unmasked load")


@given(bad=st.integers(0, 39), which=st.sampled_from("qkv"), is_causal=st.booleans())
@settings(deadline=None, max_examples=10)
def test_a_nan_reaches_what_depends_on_it(bad: int, which: str, is_causal: bool) -> None:
    q, k, v = (random(1, 1, 40, 16, seed=seed) for seed in range(3))
    with interpret():
        clean = kernels.softmax_contraction(q, k, v, is_causal)[0][0, 0]
        {"q": q, "k": k, "v": v}[which][0, 0, bad] = torch.nan
        result = kernels.softmax_contraction(q, k, v, is_causal)[0][0, 0]
    rows = torch.arange(40)
    depends = rows == bad if which == "q" else rows >= (bad if is_causal else 0)
    assert result[depends].isnan().any(-1).all(), "a NaN is never swallowed"
    if which != "v":  # within a tile a masked v still meets a weight of zero, and 0 · NaN is NaN
        assert torch.equal(result[~depends], clean[~depends])
