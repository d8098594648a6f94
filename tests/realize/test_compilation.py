from functools import cache

import pytest
import torch
import triton
from triton.runtime.driver import driver

from ncd_formal.realize.compilation import TARGETS, CompilationFailed, Resources, compiling
from tests.realize import kernels_under_test as kernels
from tests.realize.kernels_under_test import Tiling

WIDTH = 64


@cache
def used(target: str, dtype: torch.dtype, tiling: Tiling, stages: int = 2) -> Resources:
    q = torch.empty(1, 2, 128, WIDTH, dtype=dtype, device="meta")
    with compiling(target) as compiled:
        kernels.softmax_contraction(q, q, q, True, tiling, stages=stages)
    (resources,) = compiled
    return resources


@pytest.mark.parametrize(
    ("target", "dtype", "matrix_product"),
    [
        ("sm_80", torch.bfloat16, "mma"),
        ("sm_90", torch.bfloat16, "wgmma"),
        ("sm_90", torch.float16, "wgmma"),
        ("sm_100", torch.bfloat16, "tcgen05"),
        ("gfx942", torch.bfloat16, "mfma"),
    ],
)
def test_every_target_multiplies_matrices(
    target: str, dtype: torch.dtype, matrix_product: str
) -> None:
    resources = used(target, dtype, Tiling(64, 64))
    assert resources.target == target
    assert resources.kernel == "softmax_contraction_kernel"
    assert resources.instructions[matrix_product] > 0
    assert resources.instructions["exp2"] > 0
    assert resources.spills == 0
    assert 0 < resources.registers <= 512
    assert 0 < resources.shared <= TARGETS[target].shared


def test_float32_multiplies_number_by_number() -> None:
    resources = used("sm_90", torch.float32, Tiling(32, 32))
    assert resources.spills == 0
    assert resources.instructions["wgmma"] == 0
    assert resources.instructions["fma"] > 1000


def test_spills_are_seen() -> None:
    resources = used("sm_90", torch.bfloat16, Tiling(128, 128, warps=4))
    assert resources.spills > 0
    assert resources.registers == 255


def test_launches_are_specialised_on_their_arguments() -> None:
    def copies(columns: int) -> int:
        q = torch.empty(1, 1, 128, columns, dtype=torch.float16)[..., :WIDTH]
        with compiling("sm_90") as compiled:
            kernels.softmax_contraction(q, q, q)
        return compiled[0].instructions["cp_async"]

    assert copies(WIDTH) > 0
    assert copies(WIDTH + 1) == 0, "rows that are not aligned cannot be copied in whole words"


def test_each_launch_is_reported_and_nothing_runs() -> None:
    target = torch.zeros(4)
    with compiling("sm_90") as compiled:
        kernels.count[1,](target, 0, enable_fp_fusion=True)
        kernels.count[1,](target, 10**6, enable_fp_fusion=True)
    assert [resources.kernel for resources in compiled] == ["count", "count"]
    assert not target.any()


def test_what_the_interpreter_accepts_and_hardware_does_not() -> None:
    x = torch.empty(8, 8, dtype=torch.float16)
    with compiling("sm_90"), pytest.raises(CompilationFailed, match=r"product for sm_90: (.|\n)+K"):
        kernels.product[1,](x, x, x, 8, "ieee", enable_fp_fusion=True)


def test_shared_memory_has_an_end() -> None:
    with pytest.raises(
        CompilationFailed, match=r"needs \d+ bytes of shared memory .* sm_80 has 166912"
    ):
        used("sm_80", torch.float16, Tiling(64, 64), stages=12)


def test_an_unknown_target_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="unknown target 'sm_12'; known are sm_80, sm_90"),
        compiling("sm_12"),
    ):
        pass


def test_the_context_leaves_triton_as_it_was() -> None:
    x = torch.empty(8, 8)
    before = triton.JITFunction.run, driver._active
    with pytest.raises(CompilationFailed), compiling("sm_90"):
        kernels.product[1,](x, x, x, 8, "no such precision", enable_fp_fusion=True)
    assert (triton.JITFunction.run, driver._active) == before
