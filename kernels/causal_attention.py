"""causal_attention, streamed over m.

Derived by ncd_formal; regenerate it rather than edit it.

Definition
    causal_attention[b, h, n, d] = Σ_m t[b, h, n, m]·v[b, h, m, d] / (Σ_m t[b, h, n, m])
Streamed form
    causal_attention[b, h, n, d] = acc[b, h, n, d] / total[b, h, n, d]
where
    (mu, (acc, total))[b, h, n, d] = fold_m_block fold_m_tile (((Σ_d_1 q[b, h, n, d_1]·k[b, h, m,
        d_1]) / sqrt(D) if [-m + n ≥ 0] else −∞) if [M - m - 1 ≥ 0] else −∞, (v[b, h, m, d], 1))
    t[b, h, n, m] = exp(s[b, h, n, m] − max_m s[b, h, n, m])
    s[b, h, n, m] = (Σ_d_1 q[b, h, n, d_1]·k[b, h, m, d_1]) / sqrt(D) + (0 if [-m + n ≥ 0] else −∞)
Exponents are taken to base 2: exp x = exp2(x · log2 e).
Steps
    1. split-masked-rescaled: blocks that run past the end have weight 0 there
    2. rescale-tuple
    3. second
    4. first
    5. exp-negative-infinity
    6. predicate-not
    7. mul-zero: 0·a = 0; fails for −∞ and the undefined
    8. mul-comm: a·b = b·a
    9. add-zero: 0 + a = a
    10. add-comm: a + b = b + a
    11. select-boolean: where both branches are numbers, Select is c·a + (not c)·b
    12. select-exp: functions move into the branches
    13. mul-one
    14. rescale-sum: Σ exp(s)·v = exp(m)·o, where (m, o) is the rescaled sum of (s, v)
    15. mul-assoc: (a·b)·c = a·(b·c); fails for −∞ between negative factors: (−∞·−1)·−1 is undefined
    16. shift-cancel: 1/exp(max s) cancels beside 1/Σ exp(s): where every s is −∞ both sides are
        undefined
    17. exp-negative: exp(c·a) = 1/exp(−c·a) for a number c < 0
    18. add-negative-infinity: −∞ + a = −∞ where a is not undefined
    19. select-add
    20. exp-add: exp(a + b) = exp a · exp b
    21. sum-mul: Σ c·a = c·Σ a
    22. inverse-mul: 1/(a·b) = (1/a)·(1/b)
    23. rescale-quotient: the quotient of two sums with the same weights is a quotient of components
        of one fold: their common factor exp(m) cancels, also where every weight is 0 and both sides
        are undefined
Conditions
    m >= 1: checked at launch
Certificate
    sha256 3dca71328a79b01e4d9efb368acc0db3496643b2fb873446c40671bd83ea10fa
"""

import math

import torch
import triton
import triton.language as tl

LOG2_E = 1.4426950408889634

# (bytes of a number, D rounded up): the sizes of blocks, warps and stages.
# HOPPER is for sm_90 and later, where the last dimensions are contiguous.
PORTABLE = {
    (2, 32): dict(BLOCK_N=128, BLOCK_M=64, num_warps=8, num_stages=2),
    (2, 64): dict(BLOCK_N=128, BLOCK_M=64, num_warps=8, num_stages=2),
    (2, 128): dict(BLOCK_N=128, BLOCK_M=32, num_warps=8, num_stages=2),
    (4, 32): dict(BLOCK_N=64, BLOCK_M=32, num_warps=8, num_stages=2),
    (4, 64): dict(BLOCK_N=64, BLOCK_M=32, num_warps=8, num_stages=2),
    (4, 128): dict(BLOCK_N=32, BLOCK_M=16, num_warps=8, num_stages=2),
}
HOPPER = PORTABLE | {
    (2, 32): dict(BLOCK_N=128, BLOCK_M=128, num_warps=8, num_stages=3),
    (2, 64): dict(BLOCK_N=128, BLOCK_M=128, num_warps=8, num_stages=3),
    (2, 128): dict(BLOCK_N=128, BLOCK_M=64, num_warps=8, num_stages=3),
}


@triton.jit
def causal_attention_kernel(
    q, k, v, out,
    q_b, q_h, q_n, q_d,
    k_b, k_h, k_m, k_d,
    v_b, v_h, v_m, v_d,
    out_b, out_h, out_n, out_d,
    scale, H, N, M,
    D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    INDEX: tl.constexpr, PRECISION: tl.constexpr,
):
    tl.static_assert(D <= BLOCK_D)
    tl.static_assert(BLOCK_N % 16 == 0 and BLOCK_M % 16 == 0 and BLOCK_D % 16 == 0)
    blocks_n = tl.cdiv(N, BLOCK_N)
    n0 = (blocks_n - 1 - tl.program_id(0) % blocks_n) * BLOCK_N  # the longest first
    program = (tl.program_id(0) // blocks_n).to(tl.int64)
    h = program % H
    b = program // H
    # The offsets that lead to a tile have 64 bits; those within it are of type INDEX.
    n = tl.arange(0, BLOCK_N).to(INDEX)
    in_n = n0 + n < N
    m = tl.arange(0, BLOCK_M).to(INDEX)
    d = tl.arange(0, BLOCK_D).to(INDEX)
    in_d = d < D
    q_at = q + b * q_b + h * q_h + tl.cast(n0, tl.int64) * q_n
    q_tile = tl.load(
        q_at + n[:, None] * q_n + d[None, :] * q_d, mask=in_n[:, None] & in_d[None, :], other=0.0
    )
    k_at = k + b * k_b + h * k_h
    k_offset = m[:, None] * k_m + d[None, :] * k_d
    v_at = v + b * v_b + h * v_h
    v_offset = m[:, None] * v_m + d[None, :] * v_d
    mu = tl.full([BLOCK_N], -float("inf"), tl.float32)
    acc = tl.full([BLOCK_N, BLOCK_D], 0.0, tl.float32)
    total = tl.full([BLOCK_N], 0.0, tl.float32)
    whole = tl.minimum(M, n0 + 1) // BLOCK_M * BLOCK_M
    end = tl.minimum(M, BLOCK_N + n0)
    # Blocks of m that lie within every bound.
    for m0 in tl.range(0, whole, BLOCK_M):
        k_tile = tl.load(
            k_at + tl.cast(m0, tl.int64) * k_m + k_offset, mask=in_d[None, :], other=0.0
        )
        s = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION) * scale
        higher = tl.maximum(mu, tl.max(s, 1))
        # Until a place is admitted μ is −∞, and −∞ − (−∞) no exponent: then 0 serves.
        shift = tl.where(higher == -float("inf"), 0.0, higher)
        rescale = tl.exp2(mu - shift)
        weight = tl.exp2(s - shift[:, None])
        v_tile = tl.load(
            v_at + tl.cast(m0, tl.int64) * v_m + v_offset, mask=in_d[None, :], other=0.0
        )
        acc = tl.dot(
            weight.to(v_tile.dtype), v_tile, acc * rescale[:, None], input_precision=PRECISION
        )
        total = total * rescale + tl.sum(weight, 1)
        mu = higher
    # Blocks that reach past a bound.
    for m0 in tl.range(whole, end, BLOCK_M):
        in_m = m0 + m < M
        k_tile = tl.load(
            k_at + tl.cast(m0, tl.int64) * k_m + k_offset,
            mask=in_m[:, None] & in_d[None, :],
            other=0.0,
        )
        s = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION) * scale
        s = tl.where(in_m[None, :] & ((m0 + m)[None, :] <= (n0 + n)[:, None]), s, -float("inf"))
        higher = tl.maximum(mu, tl.max(s, 1))
        # Until a place is admitted μ is −∞, and −∞ − (−∞) no exponent: then 0 serves.
        shift = tl.where(higher == -float("inf"), 0.0, higher)
        rescale = tl.exp2(mu - shift)
        weight = tl.exp2(s - shift[:, None])
        v_tile = tl.load(
            v_at + tl.cast(m0, tl.int64) * v_m + v_offset,
            mask=in_m[:, None] & in_d[None, :],
            other=0.0,
        )
        acc = tl.dot(
            weight.to(v_tile.dtype), v_tile, acc * rescale[:, None], input_precision=PRECISION
        )
        total = total * rescale + tl.sum(weight, 1)
        mu = higher
    out_at = out + b * out_b + h * out_h + tl.cast(n0, tl.int64) * out_n
    tl.store(
        out_at + n[:, None] * out_n + d[None, :] * out_d,
        (acc / total[:, None]).to(out.dtype.element_ty),
        mask=in_n[:, None] & in_d[None, :],
    )


def configuration_for(size, width, tensors):
    """Blocks, warps and stages for numbers of this size on the current GPU."""
    target = triton.runtime.driver.active.get_current_target()
    hopper = target.backend == "cuda" and target.arch >= 90
    contiguous = all(each.dim() == 0 or each.stride(-1) == 1 for each in tensors)
    table = HOPPER if hopper and contiguous else PORTABLE
    if (size, width) not in table:
        raise ValueError(f"no configuration for size {size} and width {width}: give one")
    return table[size, width]


def causal_attention(q, k, v, configuration=None, precision="ieee"):
    """out[b, h, n, d] of q[b, h, n, d], k[b, h, m, d] and v[b, h, m, d], at any strides.

    ``configuration`` gives the sizes of blocks, warps and stages as the tables do, where it is
    looked up by default.  ``precision`` is how products of matrices read float32: "ieee", "tf32x3"
    or "tf32".
    """
    shapes = [tuple(each.shape) for each in (q, k, v)]
    expected = "q[b, h, n, d], k[b, h, m, d], v[b, h, m, d]"
    if [len(each) for each in shapes] != [4, 4, 4]:
        raise ValueError(f"expected {expected}, not the shapes {shapes}")
    B, H, N, D = shapes[0]
    M = shapes[1][2]
    if shapes != [(B, H, N, D), (B, H, M, D), (B, H, M, D)]:
        raise ValueError(f"expected {expected}, not the shapes {shapes}")
    types = {each.dtype for each in (q, k, v)}
    if len(types) > 1 or not types <= {torch.float16, torch.bfloat16, torch.float32}:
        names = sorted(map(str, types))
        raise ValueError(f"expected one of float16, bfloat16 and float32, not {names}")
    if len({each.device for each in (q, k, v)}) > 1:
        raise ValueError("the tensors are on several devices")
    out = torch.empty((B, H, N, D), dtype=q.dtype, device=q.device)
    if out.numel() == 0:
        return out
    if M < 1:
        raise ValueError("the condition m >= 1 does not hold")
    BLOCK_D = max(16, triton.next_power_of_2(D))
    if configuration is None:
        configuration = configuration_for(out.element_size(), max(32, BLOCK_D), (q, k, v))
    span = max(
        0,
        configuration["BLOCK_N"] * q.stride(2) + BLOCK_D * q.stride(3),
        configuration["BLOCK_M"] * k.stride(2) + BLOCK_D * k.stride(3),
        configuration["BLOCK_M"] * v.stride(2) + BLOCK_D * v.stride(3),
        configuration["BLOCK_N"] * out.stride(2) + BLOCK_D * out.stride(3),
    )
    with torch.cuda.device_of(out):
        causal_attention_kernel[(triton.cdiv(N, configuration["BLOCK_N"]) * B * H,)](
            q, k, v, out,
            *q.stride(), *k.stride(), *v.stride(), *out.stride(),
            LOG2_E / math.sqrt(D), H, N, M,
            D=D, BLOCK_D=BLOCK_D, INDEX=tl.int64 if span >= 2**31 else tl.int32,
            PRECISION=precision, enable_fp_fusion=True, **configuration,
        )
    return out
