"""Kernels, right and wrong, on which the interpreter, the compiler and the judges are tried."""
# Triton reads the annotations of a kernel itself, so its parameters carry none for mypy.
# ruff: noqa: E741
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def cast(source, target, n, N: tl.constexpr):
    i = tl.arange(0, N)
    x = tl.load(source + i, mask=i < n, other=0)
    tl.store(target + i, x.to(target.dtype.element_ty), mask=i < n)


@triton.jit
def arithmetic(x, y, target, N: tl.constexpr):
    """Sum, product, comparison, negation and both reductions, in the type of the operands."""
    i = tl.arange(0, N)
    a = tl.load(x + i)
    b = tl.load(y + i)
    tl.store(target + i, tl.where(a > b, a + b, -(a * b)))
    tl.store(target + N, tl.max(a, 0))
    tl.store(target + N + 1, tl.sum(a, 0))


@triton.jit
def product(x, y, target, N: tl.constexpr, PRECISION: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    tl.store(target + at, tl.dot(tl.load(x + at), tl.load(y + at), input_precision=PRECISION))


@triton.jit
def load_masked(source, target, n, N: tl.constexpr):
    """No ``other``: lanes from n on are undefined."""
    i = tl.arange(0, N)
    tl.store(target + i, tl.load(source + i, mask=i < n))


@triton.jit
def load_one(source, target, wanted):
    tl.store(target, tl.load(source, mask=wanted != 0, other=0.0))


@triton.jit
def touch(source, target, read_at, write_at, N: tl.constexpr):
    """Read N elements from one place, write them to another, check nothing."""
    i = tl.arange(0, N)
    tl.store(target + write_at + i, tl.load(source + read_at + i))


@triton.jit
def count(target, at):
    tl.atomic_add(target + at, 1.0)


@triton.jit
def copy_described(source, target, rows, columns, R: tl.constexpr, C: tl.constexpr):
    """Copy a tile of R rows through tensor descriptors, which mask what lies outside."""
    reader = tl.make_tensor_descriptor(source, [rows, columns], [columns, 1], [R, C])
    writer = tl.make_tensor_descriptor(target, [rows, columns], [columns, 1], [R, C])
    row = tl.program_id(0) * R
    writer.store([row, 0], reader.load([row, 0]))


@triton.jit
def square_index(target, i):
    tl.store(target, i * i)


@triton.jit
def doubled(x):
    return x + x


@triton.jit
def call(source, target, N: tl.constexpr):
    i = tl.arange(0, N)
    total = tl.sum(doubled(tl.load(source + i)), 0)
    tl.store(target, total)


@triton.jit
def softmax_contraction_kernel(
    Q, K, V, O, LSE,
    q_b, q_h, q_m, q_d, k_b, k_h, k_n, k_d, v_b, v_h, v_n, v_d, o_b, o_h, o_m, o_d,
    scale, H, M, N,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    CAUSAL: tl.constexpr, PRECISION: tl.constexpr, FAULT: tl.constexpr,
):  # fmt: skip
    """o = softmax(scale · q kᵀ) v, streamed over blocks of n; FAULT plants one defect."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    b = tl.program_id(1) // H
    h = tl.program_id(1) % H
    d = tl.arange(0, D)
    in_m = m[:, None] < M
    q = tl.load(Q + b * q_b + h * q_h + m[:, None] * q_m + d[None, :] * q_d, mask=in_m, other=0.0)
    maximum = tl.full([BM], -float("inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    result = tl.zeros([BM, D], tl.float32)
    end = tl.minimum(N, (tl.program_id(0) + 1) * BM) if CAUSAL else N
    for n0 in tl.range(0, end, BN):
        n = n0 + tl.arange(0, BN)
        in_n = n[:, None] < N
        if FAULT == "unmasked load":
            in_n = n[:, None] < N + 1
        k_at = K + b * k_b + h * k_h + n[:, None] * k_n + d[None, :] * k_d
        v_at = V + b * v_b + h * v_h + n[:, None] * v_n + d[None, :] * v_d
        k = tl.load(k_at, mask=in_n, other=0.0)
        v = tl.load(v_at, mask=in_n, other=0.0)
        if FAULT == "no other":
            v = tl.load(v_at, mask=in_n)
        s = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        if FAULT == "16-bit scores":
            s = s.to(v.dtype).to(tl.float32)
        s = s * scale
        live = n[None, :] < N
        if CAUSAL:
            live = live & (n[None, :] <= m[:, None])
        if FAULT == "mask off by one":
            live = live & (n[None, :] < N - 1)
        s = tl.where(live, s, -float("inf"))
        higher = tl.maximum(maximum, tl.max(s, 1))
        rescale = tl.exp2(maximum - higher)
        if FAULT == "no rescaling":
            rescale = tl.full([BM], 1.0, tl.float32)
        weight = tl.exp2(s - higher[:, None])
        if FAULT == "16-bit weights' sum":
            total = (total * rescale + tl.sum(weight.to(v.dtype), 1)).to(v.dtype).to(tl.float32)
        else:
            total = total * rescale + tl.sum(weight, 1)
        block = tl.dot(weight.to(v.dtype), v, input_precision=PRECISION)
        result = result * rescale[:, None] + block
        if FAULT == "16-bit accumulator":
            result = result.to(v.dtype).to(tl.float32)
        maximum = higher
    result = result / total[:, None]
    o_at = O + b * o_b + h * o_h + m[:, None] * o_m + d[None, :] * o_d
    tl.store(o_at, result.to(O.dtype.element_ty), mask=in_m)
    lse = (maximum + tl.log2(total)) * 0.6931471805599453
    tl.store(LSE + tl.program_id(1) * M + m, lse, mask=m < M)


class Tiling(NamedTuple):
    """Rows and columns of a tile, and how many warps compute it."""

    m: int = 64
    n: int = 64
    warps: int = 4


SQUARE = Tiling()
LOG2_E = 1.4426950408889634


def softmax_contraction(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    is_causal: bool = False,
    tiling: Tiling = SQUARE,
    precision: str = "ieee",
    fault: str = "",
    log2_e: float = LOG2_E,
    stages: int = 2,
) -> tuple[Tensor, Tensor]:
    """The result (B, H, M, D) and its log-sum-exp (B, H, M)."""
    B, H, M, D = q.shape
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty((B, H, M), dtype=torch.float32, device=q.device)
    softmax_contraction_kernel[triton.cdiv(M, tiling.m), B * H](
        *(q, k, v, o, lse),
        *(stride for tensor in (q, k, v, o) for stride in tensor.stride()),
        log2_e / math.sqrt(D),
        *(H, M, k.shape[2]),
        *(D, tiling.m, tiling.n, is_causal, precision, fault),
        num_warps=tiling.warps,
        num_stages=stages,
        enable_fp_fusion=True,
    )
    return o, lse
