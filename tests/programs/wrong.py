"""Near misses: pairs that look equal, and differ at some small size.

Each docstring says what is wrong.  Both sides always run and give the same shapes, so that a
difference is a difference of functions.  A pair marked ``tight`` differs by little.
"""

# A power of a size, ``d ** -0.5``, has no type that mypy can tell.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Pair, Sides, collector
from .equal import (
    attention,
    causal_by_tril,
    half_rotated,
    halves_of_neighbours,
    layer_norm,
    one_hot,
    rms_norm,
    sdpa,
    sdpa_causal,
    shifted,
    softmax,
    turned,
)
from .modules import (
    ENCODER,
    AdaptedQueriesAndValues,
    Bottleneck,
    BottleneckFolded,
    Branches,
    CachedDecoding,
    ChannelsFirst,
    ChannelsLast,
    ChunkedPrefill,
    ClassToken,
    ClassTokenByLinear,
    CrossAttention,
    EncoderLayer,
    EncoderLayerByHand,
    Experts,
    FoldedConvolution,
    Gated,
    GatedPacked,
    HalfRotatedAttention,
    LatentAttention,
    LatentAttentionAbsorbed,
    Modulated,
    NormedConvolution,
    NormedHeads,
    NormedHeadsByHand,
    ParallelAttention,
    ParallelAttentionInShards,
    ParallelBlock,
    PointPool,
    Prefill,
    Recurrent,
    RecurrentByHand,
    RotaryAttention,
    Selective,
    SqueezeExcite,
    SqueezeExciteByLinear,
    TimeMix,
    TimeMixStable,
    UpAndDown,
    UpAndDownByViews,
    WeightedAttention,
)

PAIRS: list[Pair] = []
pair = collector(PAIRS)


def identity(x: Tensor) -> Tensor:
    """x itself."""
    return x


# Attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def missing_scale() -> Sides:
    """The scores are not divided by √d; equal only at d = 1."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1)).softmax(-1) @ v

    return left, sdpa


@pair(q="b h n d", k="b h m d", v="b h m d")
def scale_exponent_is_one() -> Sides:
    """1/d instead of 1/√d."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) / q.shape[-1]).softmax(-1) @ v

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def scale_multiplies_by_root() -> Sides:
    """√d instead of 1/√d."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** 0.5).softmax(-1) @ v

    return left, sdpa


@pair(q="b h n d", k="b h m d", v="b h m d")
def scale_applied_twice() -> Sides:
    """The query is scaled, and sdpa scales again."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q * q.shape[-1] ** -0.5, k, v)

    return left, sdpa


@pair(q="b h n d", k="b h m d", v="b h m d")
def scale_by_number_of_keys() -> Sides:
    """The scale reads the length of the keys, not their width."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) / k.shape[-2] ** 0.5).softmax(-1) @ v

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def softmax_before_scale() -> Sides:
    """The scale is applied to the weights, not to the scores."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q @ k.transpose(-2, -1)).softmax(-1) * q.shape[-1] ** -0.5) @ v

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def softmax_over_queries() -> Sides:
    """The softmax runs over queries."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-2) @ v

    return left, sdpa


@pair(q="b h n d", k="b h m d", v="b h m d")
def softmax_over_heads() -> Sides:
    """The softmax runs over heads."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(1) @ v

    return left, attention


@pair(q="b n n", k="b n n", v="b n n")
def key_not_transposed() -> Sides:
    """With as many keys as channels, forgetting the transposition still has the right shape."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k * q.shape[-1] ** -0.5).softmax(-1) @ v

    return left, attention


@pair(q="b h n d", k="b h n d", v="b h n d")
def scores_transposed() -> Sides:
    """K Qᵀ instead of Q Kᵀ."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (k @ q.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def keys_and_values_swapped() -> Sides:
    """Keys and values in each other's place."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return sdpa(q, v, k)

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d", query_bias="h 1 d")
def query_bias_dropped() -> Sides:
    """Only a key bias vanishes; a query bias adds a term that varies over keys."""

    def left(q: Tensor, k: Tensor, v: Tensor, query_bias: Tensor) -> Tensor:
        return attention(q + query_bias, k, v)

    def right(q: Tensor, k: Tensor, v: Tensor, query_bias: Tensor) -> Tensor:
        return attention(q, k, v)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def keys_reversed_without_values() -> Sides:
    """Only reversing keys and values together leaves attention alone."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.flip(-2), v)

    return left, attention


@pair(q="b h n d", k1="b h m d", v1="b h m d", k2="b h p d", v2="b h p d")
def cached_values_in_other_order() -> Sides:
    """Keys are [old, new], values are [new, old]."""

    def left(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        return attention(q, torch.cat([k1, k2], dim=2), torch.cat([v2, v1], dim=2))

    def right(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        return attention(q, torch.cat([k1, k2], dim=2), torch.cat([v1, v2], dim=2))

    return left, right


@pair(x="b n c", wq="4*d c", wk="4*d c", wv="4*d c")
def heads_joined_without_transposing() -> Sides:
    """Joining (head, position, width) directly mixes positions with heads."""

    def heads(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (F.linear(x, w).view(b, n, 4, -1).transpose(1, 2) for w in (wq, wk, wv))
        return sdpa(q, k, v)

    def left(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
        return heads(x, wq, wk, wv).reshape(x.shape[0], x.shape[1], -1)

    def right(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
        return heads(x, wq, wk, wv).transpose(1, 2).reshape(x.shape[0], x.shape[1], -1)

    return left, right


@pair(q="b n 4*d", k="b n 4*d", v="b n 4*d")
def heads_split_without_transposing() -> Sides:
    """view(b, 4, n, d) cuts the sequence into heads, not the channels."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, n, c = q.shape
        q, k, v = (x.reshape(b, 4, n, c // 4) for x in (q, k, v))
        return attention(q, k, v).transpose(1, 2).flatten(2)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, n, c = q.shape
        q, k, v = (x.view(b, n, 4, c // 4).transpose(1, 2) for x in (q, k, v))
        return attention(q, k, v).transpose(1, 2).flatten(2)

    return left, right


@pair(q="b n 4*d", k="b m 4*d", v="b m 4*d")
def head_digit_is_the_inner_one() -> Sides:
    """Channels as (width, head) against (head, width)."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (-1, 4)).permute(0, 3, 1, 2) for x in (q, k, v))
        return attention(q, k, v).permute(0, 2, 3, 1).flatten(2)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (4, -1)).transpose(1, 2) for x in (q, k, v))
        return attention(q, k, v).transpose(1, 2).flatten(2)

    return left, right


@pair(q="b 4*g n d", k="b g m d", v="b g m d")
def grouped_queries_tile_keys() -> Sides:
    """repeat tiles the heads 0…g−1 four times; repeat_interleave repeats each four times."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.repeat(1, 4, 1, 1), v.repeat(1, 4, 1, 1))

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.repeat_interleave(4, dim=1), v.repeat_interleave(4, dim=1))

    return left, right


@pair(q="b 4*g n d", k="b g m d", v="b g m d")
def grouped_queries_split_the_other_way() -> Sides:
    """Query heads are cut as (4, g), so that consecutive heads use different keys."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q.unflatten(1, (4, -1)), k[:, None], v[:, None]).flatten(1, 2)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.repeat_interleave(4, dim=1), v.repeat_interleave(4, dim=1))

    return left, right


@pair(q="b 4*g n d", k="b g m d", v="b g m d")
def grouped_queries_expand_the_wrong_axis() -> Sides:
    """The new axis is put before the heads, which tiles them."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, g, m, d = k.shape
        k, v = (x[:, None].expand(b, 4, g, m, d).reshape(b, 4 * g, m, d) for x in (k, v))
        return sdpa(q, k, v)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.repeat_interleave(4, dim=1), v.repeat_interleave(4, dim=1))

    return left, right


# Masks


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_excludes_the_diagonal() -> Sides:
    """tril(-1) hides a query's own key, and leaves the first row without any."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril(-1)
        return _scores(q, k).masked_fill(~mask, float("-inf")).softmax(-1) @ v

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_sees_one_ahead() -> Sides:
    """tril(1) shows the next key."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril(1)
        return _scores(q, k).masked_fill(~mask, float("-inf")).softmax(-1) @ v

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_with_triu_zero() -> Sides:
    """triu(0) as the set of future keys includes the present one."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        future = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).triu()
        return _scores(q, k).masked_fill(future, float("-inf")).softmax(-1) @ v

    return left, causal_by_tril


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_is_strict() -> Sides:
    """j < i instead of j ≤ i."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.arange(k.shape[-2]) < torch.arange(q.shape[-2])[:, None]
        return torch.where(mask, _scores(q, k), float("-inf")).softmax(-1) @ v

    return left, causal_by_tril


@pair(q="b h n d", k="b h n d", v="b h n d")
def causal_in_reverse() -> Sides:
    """Queries see the future: the mask is transposed."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.arange(k.shape[-2]) >= torch.arange(q.shape[-2])[:, None]
        return torch.where(mask, _scores(q, k), float("-inf")).softmax(-1) @ v

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_aligned_at_the_other_end() -> Sides:
    """The last query sees the last key, but is_causal aligns the first ones; equal at n = m."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, m = q.shape[-2], k.shape[-2]
        mask = torch.arange(m) <= torch.arange(n)[:, None] + (m - n)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_mask_forgotten() -> Sides:
    """One side is not causal."""
    return attention, sdpa_causal


@pair(q="b h n d", k="b h n d", v="b h n d")
def window_off_by_one() -> Sides:
    """Two keys against three."""

    def windowed(q: Tensor, k: Tensor, v: Tensor, width: int) -> Tensor:
        position = torch.arange(q.shape[-2])
        distance = position[:, None] - position
        mask = (distance >= 0) & (distance < width)
        return torch.where(mask, _scores(q, k), float("-inf")).softmax(-1) @ v

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return windowed(q, k, v, 2)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return windowed(q, k, v, 3)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", mask="b 1 n m : bool")
def row_without_keys_naive_against_sdpa() -> Sides:
    """A row without a True is undefined by the definition, and 0 by PyTorch's operator."""

    def left(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return _scores(q, k).masked_fill(~mask, float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return left, right


@pair(scores="b n m", mask="b n m : bool")
def row_without_keys_set_to_zero() -> Sides:
    """Zeros for rows without a True are not what the definition gives."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        return torch.where(mask.any(-1, keepdim=True), weights, 0.0)

    return left, right


@pair(scores="b n m", mask="b n m : bool")
def finite_number_for_minus_infinity() -> Sides:
    """With −1e9 a row without a True is a plain softmax; with −∞ it is undefined."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, -1e9).softmax(-1)

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)

    return left, right


@pair(scores="b n m", mask="b n m : bool")
def epsilon_in_the_normaliser() -> Sides:
    """An epsilon guards rows without a True, and changes all the others."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        weights = scores.exp() * mask
        return weights / (weights.sum(-1, keepdim=True) + 1e-3)

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        weights = scores.exp() * mask
        return weights / weights.sum(-1, keepdim=True)

    return left, right


@pair(
    scores="b n m",
    mask="b n m : bool",
    assume=("every row of mask has a True",),
)
def mask_inverted() -> Sides:
    """masked_fill hides where the mask is True, where hides where it is False."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(mask, float("-inf")).softmax(-1)

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, scores, float("-inf")).softmax(-1)

    return left, right


@pair(
    scores="b n m",
    mask="b n m : bool",
    assume=("every row of mask has a True",),
)
def masked_scores_are_zero() -> Sides:
    """A score of 0 still has weight exp(0) = 1."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        return (scores * mask).softmax(-1)

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)

    return left, right


@pair(
    scores="b n m",
    mask="b n m : bool",
    assume=("every row of mask has a True",),
)
def masked_after_softmax() -> Sides:
    """Masking the weights without normalising again: the rows no longer sum to 1."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.softmax(-1) * mask

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)

    return left, right


@pair(
    scores="b n m",
    mask="b n m : bool",
    assume=("every row of mask has a True",),
)
def boolean_mask_added() -> Sides:
    """A boolean mask added to the scores adds 0 or 1, not −∞ or 0."""

    def left(scores: Tensor, mask: Tensor) -> Tensor:
        return (scores + mask).softmax(-1)

    def right(scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)

    return left, right


@pair(scores="b n n", keep="b n : bool")
def padding_of_queries_not_keys() -> Sides:
    """The padding mask is broadcast along keys: it hides whole rows."""

    def left(scores: Tensor, keep: Tensor) -> Tensor:
        return scores.masked_fill(~keep[:, :, None], -10.0).softmax(-1)

    def right(scores: Tensor, keep: Tensor) -> Tensor:
        return scores.masked_fill(~keep[:, None, :], -10.0).softmax(-1)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", bias="h n m")
def bias_added_before_scale() -> Sides:
    """The position bias is scaled with the scores."""

    def left(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return ((q @ k.transpose(-2, -1) + bias) / q.shape[-1] ** 0.5).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)

    return left, right


@pair(scores="b h n n", slope="h 1 1")
def alibi_with_wrong_sign() -> Sides:
    """slope·j favours late keys, −slope·j early ones."""

    def left(scores: Tensor, slope: Tensor) -> Tensor:
        return (scores + slope * torch.arange(scores.shape[-1])).softmax(-1)

    def right(scores: Tensor, slope: Tensor) -> Tensor:
        return (scores - slope * torch.arange(scores.shape[-1])).softmax(-1)

    return left, right


@pair(scores="b h n n", slope="h 1 1")
def alibi_by_distance() -> Sides:
    """|j − i| is j − i for future keys only: without a causal mask the two differ."""

    def left(scores: Tensor, slope: Tensor) -> Tensor:
        position = torch.arange(scores.shape[-1])
        return (scores - slope * (position - position[:, None]).abs()).softmax(-1)

    def right(scores: Tensor, slope: Tensor) -> Tensor:
        return (scores + slope * torch.arange(scores.shape[-1])).softmax(-1)

    return left, right


# Tiling


def _blocks(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of blocks of keys, each block's maximum, and the exponentials below it."""
    scores = q.unsqueeze(2) @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    top = scores.amax(-1, keepdim=True)
    return scores, top, (scores - top).exp()


def _flat_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attention(q, k.flatten(2, 3), v.flatten(2, 3))


@pair(q="b h n d", k="b h t r d", v="b h t r d")
def tiled_softmax_without_rescale() -> Sides:
    """Blocks below different maxima are added as if they were below one."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, _, weights = _blocks(q, k)
        return (weights @ v).sum(2) / weights.sum(-1, keepdim=True).sum(2)

    return left, _flat_attention


@pair(q="b h n d", k="b h t r d", v="b h t r d")
def tiled_softmax_rescales_only_the_sum() -> Sides:
    """The outputs are not rescaled."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, top, weights = _blocks(q, k)
        rescale = (top - top.amax(2, keepdim=True)).exp()
        return (weights @ v).sum(2) / (rescale * weights.sum(-1, keepdim=True)).sum(2)

    return left, _flat_attention


@pair(q="b h n d", k="b h t r d", v="b h t r d")
def tiled_softmax_rescales_only_the_output() -> Sides:
    """The sums are not rescaled."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, top, weights = _blocks(q, k)
        rescale = (top - top.amax(2, keepdim=True)).exp()
        return (rescale * (weights @ v)).sum(2) / weights.sum(-1, keepdim=True).sum(2)

    return left, _flat_attention


@pair(q="b h n d", k="b h t r d", v="b h t r d")
def tiled_softmax_rescales_the_wrong_way() -> Sides:
    """exp(max − block max) instead of exp(block max − max)."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, top, weights = _blocks(q, k)
        rescale = (top.amax(2, keepdim=True) - top).exp()
        total = (rescale * weights.sum(-1, keepdim=True)).sum(2)
        return (rescale * (weights @ v)).sum(2) / total

    return left, _flat_attention


@pair(q="b h n d", k="b h t r d", v="b h t r d")
def tiled_softmax_averages_blocks() -> Sides:
    """Each block is normalised by itself, and the outputs are averaged."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores, _, _ = _blocks(q, k)
        return (scores.softmax(-1) @ v).mean(2)

    return left, _flat_attention


@pair(q="b h n d", k="b h 4*r d", v="b h 4*r d")
def tiled_keys_and_values_cut_differently() -> Sides:
    """Keys in four consecutive blocks, values in four strided ones."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, top, weights = _blocks(q, k.unflatten(2, (4, -1)))
        v = v.unflatten(2, (-1, 4)).transpose(2, 3)
        rescale = (top - top.amax(2, keepdim=True)).exp()
        total = (rescale * weights.sum(-1, keepdim=True)).sum(2)
        return (rescale * (weights @ v)).sum(2) / total

    return left, attention


@pair(q="b h n d", k="b h 2*r d", v="b h 2*r d")
def flash_loop_without_rescaling_output() -> Sides:
    """The running output keeps the old maximum."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        top = torch.full_like(q[..., :1], float("-inf"))
        total, out = torch.zeros_like(top), torch.zeros_like(q)
        for block_k, block_v in zip(k.chunk(2, dim=2), v.chunk(2, dim=2), strict=True):
            scores = _scores(q, block_k)
            new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
            weights = (scores - new_top).exp()
            total = total * (top - new_top).exp() + weights.sum(-1, keepdim=True)
            out = out + weights @ block_v
            top = new_top
        return out / total

    return left, attention


@pair(q="b h n d", k="b h 2*r d", v="b h 2*r d")
def flash_loop_forgets_the_last_block() -> Sides:
    """Only the first of two blocks is read."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        r = k.shape[2] // 2
        return attention(q, k[:, :, :r], v[:, :, :r])

    return left, attention


@pair(q="b h n d", k1="b h m d", v1="b h m d", k2="b h p d", v2="b h p d")
def partial_attentions_weighted_by_logsumexp() -> Sides:
    """The weights are the log-sum-exps themselves, not their exponentials."""

    def part(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        scores = _scores(q, k)
        return scores.logsumexp(-1, keepdim=True), scores.softmax(-1) @ v

    def left(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        (lse1, out1), (lse2, out2) = part(q, k1, v1), part(q, k2, v2)
        return (lse1 * out1 + lse2 * out2) / (lse1 + lse2)

    def right(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        return attention(q, torch.cat([k1, k2], dim=2), torch.cat([v1, v2], dim=2))

    return left, right


@pair(x="b t r")
def logsumexp_of_blocks_added() -> Sides:
    """The log of a sum is not the sum of the logs."""

    def left(x: Tensor) -> Tensor:
        return x.logsumexp(-1).sum(-1)

    def right(x: Tensor) -> Tensor:
        return x.flatten(1).logsumexp(-1)

    return left, right


@pair(x="b t r")
def logsumexp_of_maxima() -> Sides:
    """The blocks' maxima instead of their log-sum-exps."""

    def left(x: Tensor) -> Tensor:
        return x.amax(-1).logsumexp(-1)

    def right(x: Tensor) -> Tensor:
        return x.flatten(1).logsumexp(-1)

    return left, right


@pair(x="b t r")
def maxima_of_blocks_added() -> Sides:
    """A maximum splits over blocks as a maximum, not as a sum."""

    def left(x: Tensor) -> Tensor:
        return x.amax(-1).sum(-1)

    def right(x: Tensor) -> Tensor:
        return x.flatten(1).amax(-1)

    return left, right


@pair(x="b n", y="b m")
def mean_of_unequal_parts() -> Sides:
    """The mean of two means is the mean of all only for parts of one size."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x.mean(1) + y.mean(1)) / 2

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], dim=1).mean(1)

    return left, right


# Softmax and its relatives


@pair(x="b n m")
def softmax_over_the_wrong_axis() -> Sides:
    """dim=1 against dim=2."""

    def left(x: Tensor) -> Tensor:
        return x.softmax(1)

    return left, softmax


@pair(x="b n", c="1 n")
def softmax_shift_along_the_row() -> Sides:
    """A shift that varies within a row changes its softmax."""

    def left(x: Tensor, c: Tensor) -> Tensor:
        return (x + c).softmax(-1)

    def right(x: Tensor, c: Tensor) -> Tensor:
        return x.softmax(-1)

    return left, right


@pair(x="b n", c="b 1")
def softmax_of_multiple() -> Sides:
    """Softmax ignores shifts, not factors."""

    def left(x: Tensor, c: Tensor) -> Tensor:
        return (x * c).softmax(-1)

    def right(x: Tensor, c: Tensor) -> Tensor:
        return x.softmax(-1)

    return left, right


@pair(x="b n")
def softmax_of_absolute_values() -> Sides:
    """Normalising x itself is not softmax."""

    def left(x: Tensor) -> Tensor:
        return x.abs() / x.abs().sum(-1, keepdim=True)

    return left, softmax


@pair(x="b n")
def softmax_plus_one() -> Sides:
    """The variant called softmax-one adds 1 to the normaliser."""

    def left(x: Tensor) -> Tensor:
        return x.exp() / (1 + x.exp().sum(-1, keepdim=True))

    return left, softmax


@pair(x="b n")
def maximum_not_compensated() -> Sides:
    """The log-sum-exp of the shifted values lacks the shift."""

    def left(x: Tensor) -> Tensor:
        return (x - x.amax(-1, keepdim=True)).exp().sum(-1).log()

    def right(x: Tensor) -> Tensor:
        return x.logsumexp(-1)

    return left, right


@pair(x="b n")
def shift_in_numerator_only() -> Sides:
    """The maximum is taken from the numerator and not from the normaliser."""

    def left(x: Tensor) -> Tensor:
        return (x - x.amax(-1, keepdim=True)).exp() / x.exp().sum(-1, keepdim=True)

    return left, softmax


@pair(x="b n")
def sum_of_logs() -> Sides:
    """log Σ exp x against Σ log exp x."""

    def left(x: Tensor) -> Tensor:
        return x.exp().log().sum(-1)

    def right(x: Tensor) -> Tensor:
        return x.exp().sum(-1).log()

    return left, right


@pair(x="b n")
def log_of_mean_exponential() -> Sides:
    """The mean of the exponentials instead of their sum: off by log n."""

    def left(x: Tensor) -> Tensor:
        return x.exp().mean(-1).log()

    def right(x: Tensor) -> Tensor:
        return x.logsumexp(-1)

    return left, right


@pair(x="b n m")
def softmax_of_rows_not_of_all() -> Sides:
    """Softmax of each row against softmax of the flattened array."""

    def left(x: Tensor) -> Tensor:
        return x.softmax(-1).flatten(1)

    def right(x: Tensor) -> Tensor:
        return x.flatten(1).softmax(-1)

    return left, right


@pair(x="b n", y="b n")
def sigmoid_of_opposite_difference() -> Sides:
    """The first of two is σ(x − y), not σ(y − x)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], dim=-1).softmax(-1)[..., 0]

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.sigmoid(y - x)

    return left, right


@pair(logits="b c", targets="b c")
def cross_entropy_summed() -> Sides:
    """A sum over the batch instead of a mean."""

    def left(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets)

    def right(logits: Tensor, targets: Tensor) -> Tensor:
        return -(targets * logits.log_softmax(-1)).sum()

    return left, right


@pair(logits="b c", targets="b c")
def cross_entropy_of_unnormalised_targets() -> Sides:
    """log Z − Σ t·x needs targets that sum to 1."""

    def left(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets)

    def right(logits: Tensor, targets: Tensor) -> Tensor:
        return (logits.logsumexp(-1) - (targets * logits).sum(-1)).mean()

    return left, right


@pair(x="b n", y="b n")
def kl_divergence_reversed() -> Sides:
    """KL(p‖q) against KL(q‖p)."""

    def divergence(x: Tensor, y: Tensor) -> Tensor:
        return (x.softmax(-1) * (x.log_softmax(-1) - y.log_softmax(-1))).sum(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return divergence(y, x)

    return divergence, right


# Norms


@pair(x="b n d")
def layer_norm_for_rms_norm() -> Sides:
    """RMS norm does not subtract the mean."""

    def left(x: Tensor) -> Tensor:
        return rms_norm(x, eps=1e-5)

    return left, layer_norm


@pair(x="b n d", tight=True)
def epsilon_outside_the_root() -> Sides:
    """√σ² + ε instead of √(σ² + ε)."""

    def left(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, unbiased=False) + 1e-5)

    return left, layer_norm


@pair(x="b n d", tight=True)
def epsilon_of_another_size() -> Sides:
    """1e-6 against 1e-5."""

    def left(x: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), eps=1e-6)

    return left, layer_norm


@pair(x="b n d")
def epsilon_missing() -> Sides:
    """Without ε a row of equal values is 0/0; at d = 1 every row is."""

    def left(x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred * centred.square().mean(-1, keepdim=True).rsqrt()

    return left, layer_norm


@pair(x="b n d", assume=("d >= 2",))
def layer_norm_with_unbiased_variance() -> Sides:
    """torch.var divides by d − 1 unless told otherwise."""

    def left(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt()

    return left, layer_norm


@pair(x="b n", assume=("n >= 2",))
def variance_biased_and_unbiased() -> Sides:
    """Division by n against n − 1."""

    def left(x: Tensor) -> Tensor:
        return x.var(-1)

    def right(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)).square().mean(-1)

    return left, right


@pair(x="b n")
def variance_without_squaring_the_mean() -> Sides:
    """E[x²] − E[x]."""

    def left(x: Tensor) -> Tensor:
        return x.square().mean(-1) - x.mean(-1)

    def right(x: Tensor) -> Tensor:
        return x.var(-1, unbiased=False)

    return left, right


@pair(x="b n", assume=("n >= 2",))
def variance_for_deviation() -> Sides:
    """Division by the variance instead of the standard deviation."""

    def left(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5)

    return left, layer_norm


@pair(x="b n")
def second_moment_for_variance() -> Sides:
    """The mean square is not the variance."""

    def left(x: Tensor) -> Tensor:
        return x.square().mean(-1)

    def right(x: Tensor) -> Tensor:
        return x.var(-1, unbiased=False)

    return left, right


@pair(x="b n d")
def norm_over_positions() -> Sides:
    """The norm runs over positions instead of channels."""

    def left(x: Tensor) -> Tensor:
        return layer_norm(x.transpose(1, 2)).transpose(1, 2)

    return left, layer_norm


@pair(x="b n d")
def norm_over_two_axes() -> Sides:
    """The norm runs over positions and channels together."""

    def left(x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-2:])

    return left, layer_norm


@pair(x="b n d")
def rms_norm_by_sum() -> Sides:
    """The sum of squares instead of their mean."""

    def left(x: Tensor) -> Tensor:
        return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()

    return left, rms_norm


@pair(x="b n d", gain="d")
def gain_before_the_norm() -> Sides:
    """The gain scales the input of the norm instead of its output."""

    def left(x: Tensor, gain: Tensor) -> Tensor:
        return rms_norm(x * gain)

    def right(x: Tensor, gain: Tensor) -> Tensor:
        return rms_norm(x) * gain

    return left, right


@pair(x="b n d", gain="d", w="d d")
def gain_folded_into_rows() -> Sides:
    """The gain belongs to the columns of the next weight, its inputs."""

    def left(x: Tensor, gain: Tensor, w: Tensor) -> Tensor:
        return F.linear(rms_norm(x) * gain, w)

    def right(x: Tensor, gain: Tensor, w: Tensor) -> Tensor:
        return F.linear(rms_norm(x), w * gain[:, None])

    return left, right


@pair(x="b n d", gain="d", shift="d", w="e d", bias="e")
def shift_not_folded() -> Sides:
    """Folding forgets W·β."""

    def left(x: Tensor, gain: Tensor, shift: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(F.layer_norm(x, (x.shape[-1],), gain, shift), w, bias)

    def right(x: Tensor, gain: Tensor, shift: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(layer_norm(x), w * gain, bias)

    return left, right


@pair(x="b n d", w="d d")
def norm_moves_across_linear() -> Sides:
    """The norm of a product is not the product of the norm."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return rms_norm(x @ w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return rms_norm(x) @ w

    return left, right


@pair(x="b n d", w="d d")
def post_norm_for_pre_norm() -> Sides:
    """LN(x + F x) against x + F(LN x)."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return layer_norm(x + x @ w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return x + layer_norm(x) @ w

    return left, right


@pair(x="b n d", tight=True)
def layer_norm_ignores_factors() -> Sides:
    """LN(2x) = LN(x) but for ε."""

    def left(x: Tensor) -> Tensor:
        return layer_norm(2 * x)

    return left, layer_norm


@pair(x="b c", w="f c", b="f", mean="f", spread="f")
def batch_norm_bias_not_scaled() -> Sides:
    """The layer's bias must be scaled with its weight."""

    def left(x: Tensor, w: Tensor, b: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        return (F.linear(x, w, b) - mean) / (spread.square() + 1e-5).sqrt()

    def right(x: Tensor, w: Tensor, b: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        scale = (spread.square() + 1e-5).rsqrt()
        return F.linear(x, w * scale[:, None], b - mean * scale)

    return left, right


# Associations


@pair(a="n m", column="m", b="m p")
def division_moves_past_a_column_divisor() -> Sides:
    """A divisor that varies over the contracted axis stays inside."""

    def left(a: Tensor, column: Tensor, b: Tensor) -> Tensor:
        return (a / column) @ b

    def right(a: Tensor, column: Tensor, b: Tensor) -> Tensor:
        return (a @ b) / column.sum()

    return left, right


@pair(scores="n n", v="n d")
def division_by_column_sums() -> Sides:
    """Weights divided by column sums do not divide after the product with V."""

    def left(scores: Tensor, v: Tensor) -> Tensor:
        weights = scores.exp()
        return (weights / weights.sum(0, keepdim=True)) @ v

    def right(scores: Tensor, v: Tensor) -> Tensor:
        weights = scores.exp()
        return (weights @ v) / weights.sum(0).unsqueeze(-1)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def softmax_attention_reassociated() -> Sides:
    """Softmax stands between Q Kᵀ and V: the product does not reassociate."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return q.softmax(-1) @ (k.softmax(-2).mT @ v)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def linear_attention_without_normaliser() -> Sides:
    """One side does not divide by the sum of the weights."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = q.sigmoid() @ k.sigmoid().mT
        return weights / weights.sum(-1, keepdim=True) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return q.sigmoid() @ (k.sigmoid().mT @ v)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def linear_attention_normaliser_over_queries() -> Sides:
    """The normaliser sums the wrong factor."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = q.sigmoid() @ k.sigmoid().mT
        return weights / weights.sum(-1, keepdim=True) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = q.sigmoid(), k.sigmoid()
        return q @ (k.mT @ v) / (q.sum(-1, keepdim=True) * k.sum(dim=(-2, -1))[..., None, None])

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n e")
def causal_linear_attention_ignores_the_mask() -> Sides:
    """With a mask between, Q Kᵀ and V do not reassociate."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT).tril() @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return q @ (k.mT @ v)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def spherical_attention_with_absolute_sum() -> Sides:
    """L1 and L2 norms of a row differ."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT
        return scores / scores.abs().sum(-1, keepdim=True) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT
        return scores / scores.norm(dim=-1, keepdim=True) @ v

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def spherical_attention_without_gram_matrix() -> Sides:
    """‖Q Kᵀ‖ of a row is not ‖q‖·‖K‖."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT
        return scores / scores.norm(dim=-1, keepdim=True) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        norm = q.norm(dim=-1, keepdim=True) * k.norm(dim=(-2, -1), keepdim=True)
        return q @ (k.mT @ v) / norm

    return left, right


@pair(q="b n d", k="b m d")
def quadratic_kernel_without_cross_terms() -> Sides:
    """(Σ q_i k_i)² is not Σ (q_i k_i)²."""

    def left(q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT) ** 2

    def right(q: Tensor, k: Tensor) -> Tensor:
        return q**2 @ (k**2).mT

    return left, right


@pair(q="b h n d", latent="b m r", up="h r d")
def latent_attention_scaled_by_rank() -> Sides:
    """After absorption the query has width r, but the scale is still that of width d."""

    def left(q: Tensor, latent: Tensor, up: Tensor) -> Tensor:
        k = torch.einsum("bmr,hrd->bhmd", latent, up)
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)

    def right(q: Tensor, latent: Tensor, up: Tensor) -> Tensor:
        absorbed = torch.einsum("bhnd,hrd->bhnr", q, up)
        return (absorbed @ latent.mT[:, None] * absorbed.shape[-1] ** -0.5).softmax(-1)

    return left, right


# Linear layers


@pair(x="b n d", w="e d", b="e")
def missing_bias() -> Sides:
    """One side has no bias."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w, b)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return x @ w.T

    return left, right


@pair(x="b n d", w="d d")
def weight_not_transposed() -> Sides:
    """F.linear multiplies by the transposed weight."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return x @ w

    return left, right


@pair(x="b n d", w="e d", b="e")
def bias_summed_over_positions() -> Sides:
    """A sum over positions counts the bias once for each."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w, b).sum(1)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x.sum(1), w, b)

    return left, right


@pair(c="b n m", x="b n d", y="b d m")
def baddbmm_factors_swapped() -> Sides:
    """β belongs to the addend and α to the product."""

    def left(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.baddbmm(c, x, y, beta=0.5, alpha=2.0)

    def right(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return 2 * c + x @ y / 2

    return left, right


@pair(x="b n d", w="d d", a="d d", b="d d")
def lora_factors_swapped() -> Sides:
    """A B instead of B A."""

    def left(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w) + F.linear(F.linear(x, a), b)

    def right(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w + a @ b)

    return left, right


@pair(x="b n d", w="e d", a="r d", b="e r")
def lora_scale_missing() -> Sides:
    """The merged weight forgets the factor."""

    def left(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w) + 0.5 * F.linear(F.linear(x, a), b)

    def right(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w + b @ a)

    return left, right


@pair(x="b n c", w="3*d c")
def packed_projections_in_another_order() -> Sides:
    """q, k, v against k, q, v."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        q, k, v = F.linear(x, w).chunk(3, dim=-1)
        return attention(q, k, v)

    def right(x: Tensor, w: Tensor) -> Tensor:
        k, q, v = F.linear(x, w).chunk(3, dim=-1)
        return attention(q, k, v)

    return left, right


@pair(x="b n c", w="3*4*d c")
def packed_heads_in_another_order() -> Sides:
    """Rows of the weight as (3, head, width) against (head, 3, width)."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = F.linear(x, w).view(b, n, 3, 4, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return sdpa(q, k, v)

    def right(x: Tensor, w: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = F.linear(x, w).view(b, n, 4, 3, -1).permute(3, 0, 2, 1, 4).unbind(0)
        return sdpa(q, k, v)

    return left, right


@pair(x="b n c", w="2*f c")
def swiglu_halves_swapped() -> Sides:
    """The activation falls on the other half."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        gate, up = F.linear(x, w).chunk(2, dim=-1)
        return F.silu(gate) * up

    def right(x: Tensor, w: Tensor) -> Tensor:
        up, gate = F.linear(x, w).chunk(2, dim=-1)
        return F.silu(gate) * up

    return left, right


@pair(x="b n c", w="2*f c")
def swiglu_interleaved() -> Sides:
    """Even and odd rows against halves of the packed weight."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        hidden = F.linear(x, w)
        return F.silu(hidden[..., ::2]) * hidden[..., 1::2]

    def right(x: Tensor, w: Tensor) -> Tensor:
        gate, up = F.linear(x, w).chunk(2, dim=-1)
        return F.silu(gate) * up

    return left, right


@pair(x="b 2*f")
def glu_with_silu() -> Sides:
    """F.glu gates by a sigmoid, SwiGLU by silu."""

    def left(x: Tensor) -> Tensor:
        return F.glu(x, dim=-1)

    def right(x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return a * F.silu(b)

    return left, right


@pair(x="b n 2*c", w1="f 2*c", w2="c f")
def row_parallel_activation_before_sum() -> Sides:
    """relu of a sum of partial products is not the sum of their relus."""

    def left(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(x, w1)), w2)

    def right(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        parts = zip(x.chunk(2, dim=-1), w1.chunk(2, dim=-1), strict=True)
        return F.linear(sum((F.relu(F.linear(a, u)) for a, u in parts), torch.zeros(())), w2)

    return left, right


@pair(x="b n 2*c", w="e 2*c", bias="e")
def row_parallel_bias_added_twice() -> Sides:
    """Every shard adds the bias."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, w, bias)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        (x1, x2), (w1, w2) = x.chunk(2, dim=-1), w.chunk(2, dim=-1)
        return F.linear(x1, w1, bias) + F.linear(x2, w2, bias)

    return left, right


@pair(x="b n 2*c", w="e 2*c")
def row_parallel_shards_mismatched() -> Sides:
    """The first half of the input meets the second half of the weight."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        (x1, x2), (w1, w2) = x.chunk(2, dim=-1), w.chunk(2, dim=-1)
        return F.linear(x1, w2) + F.linear(x2, w1)

    return left, right


@pair(x="b n c", w="2*f c")
def column_parallel_shards_swapped() -> Sides:
    """The shards are joined in the other order."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        first, second = w.chunk(2)
        return torch.cat([F.linear(x, second), F.linear(x, first)], dim=-1)

    return left, right


@pair(x="b n d", y="b n d", w="e d+d")
def concatenation_in_another_order() -> Sides:
    """[x, y] against [y, x] before a linear layer."""

    def left(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return F.linear(torch.cat([x, y], dim=-1), w)

    def right(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return F.linear(torch.cat([y, x], dim=-1), w)

    return left, right


@pair(x="b n d", w1="f d", w2="e f")
def layers_merged_across_an_activation() -> Sides:
    """Two linear layers merge only with nothing between them."""

    def left(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(x, w1)), w2)

    def right(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return F.relu(F.linear(x, w2 @ w1))

    return left, right


@pair(x="b n d", w1="d d", w2="d d")
def layers_merged_in_another_order() -> Sides:
    """W₁W₂ instead of W₂W₁."""

    def left(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return F.linear(F.linear(x, w1), w2)

    def right(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return F.linear(x, w1 @ w2)

    return left, right


@pair(x="b n d", w="d d")
def residual_dropped() -> Sides:
    """One side lacks the residual."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return x + F.relu(x @ w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.relu(x @ w)

    return left, right


@pair(x="b n d", w="d d")
def residual_of_the_normed_input() -> Sides:
    """The residual must take the input before the norm."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return x + rms_norm(x) @ w

    def right(x: Tensor, w: Tensor) -> Tensor:
        y = rms_norm(x)
        return y + y @ w

    return left, right


@pair(x="b n d", f="d d", g="d d")
def parallel_branches_for_sequential() -> Sides:
    """The second branch reads the input instead of the first branch's output."""

    def left(x: Tensor, f: Tensor, g: Tensor) -> Tensor:
        y = x + x @ f
        return y + y @ g

    def right(x: Tensor, f: Tensor, g: Tensor) -> Tensor:
        return x + x @ f + x @ g

    return left, right


@pair(ids="b n : int", table="v d", assume=("ids < v",))
def embedding_one_hot_strict() -> Sides:
    """j ≤ id is a thermometer, not a one-hot code."""

    def left(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids, table)

    def right(ids: Tensor, table: Tensor) -> Tensor:
        code = torch.arange(table.shape[0]) <= ids.unsqueeze(-1)
        return code.to(table.dtype) @ table

    return left, right


@pair(ids="b n : int", table="v v", assume=("ids < v",))
def embedding_of_transposed_table() -> Sides:
    """The columns of a square table instead of its rows."""

    def left(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids, table)

    def right(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids, table.T)

    return left, right


# Algebra


@pair(a="n n", b="n n")
def matmul_commutes() -> Sides:
    """A B is not B A."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    def right(a: Tensor, b: Tensor) -> Tensor:
        return b @ a

    return left, right


@pair(a="n n", b="n n")
def transpose_of_product_in_order() -> Sides:
    """(A B)ᵀ is not Aᵀ Bᵀ."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b).T

    def right(a: Tensor, b: Tensor) -> Tensor:
        return a.T @ b.T

    return left, right


@pair(a="n n")
def trace_for_sum() -> Sides:
    """The sum of the diagonal is not the sum of all."""

    def left(a: Tensor) -> Tensor:
        return torch.einsum("ii->", a)

    def right(a: Tensor) -> Tensor:
        return a.sum()

    return left, right


@pair(a="n n", b="n n")
def trace_of_product_is_product_of_traces() -> Sides:
    """tr(A B) is not tr(A)·tr(B)."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b).diagonal().sum()

    def right(a: Tensor, b: Tensor) -> Tensor:
        return a.diagonal().sum() * b.diagonal().sum()

    return left, right


@pair(a="n n", b="n n")
def trace_of_product_without_transposing() -> Sides:
    """tr(A B) is Σ A·Bᵀ, not Σ A·B."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b).diagonal().sum()

    def right(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum()

    return left, right


@pair(x="n", y="n")
def dot_for_product_of_sums() -> Sides:
    """Σ x·y is not (Σ x)(Σ y): the two sums need different indices."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum()

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.sum() * y.sum()

    return left, right


@pair(x="b n")
def square_of_sum_for_sum_of_squares() -> Sides:
    """(Σ x)² is not Σ x²."""

    def left(x: Tensor) -> Tensor:
        return x.sum(-1) ** 2

    def right(x: Tensor) -> Tensor:
        return (x**2).sum(-1)

    return left, right


@pair(x="b n", y="b n")
def square_of_sum_without_cross_term() -> Sides:
    """(x + y)² is not x² + y²."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x + y).square()

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.square() + y.square()

    return left, right


@pair(x="b n d", y="b m d")
def squared_distance_with_one_cross_term() -> Sides:
    """‖x‖² + ‖y‖² − x·y: a factor 2 is missing."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, :, None] - y[:, None]).square().sum(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None] - x @ y.mT

    return left, right


@pair(x="b n d")
def sums_of_both_gram_matrices() -> Sides:
    """X Xᵀ and Xᵀ X have the same trace, and not the same sum."""

    def left(x: Tensor) -> Tensor:
        return (x @ x.mT).sum((1, 2))

    def right(x: Tensor) -> Tensor:
        return (x.mT @ x).sum((1, 2))

    return left, right


@pair(x="b n", y="b n")
def mean_of_ratio() -> Sides:
    """The mean of x/y is not the ratio of the means."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x / y).mean(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.mean(-1) / y.mean(-1)

    return left, right


@pair(x="b n", y="b n")
def mean_of_product() -> Sides:
    """E[x y] is not E[x]·E[y]."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).mean(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.mean(-1) * y.mean(-1)

    return left, right


@pair(x="b n m")
def mean_over_one_axis_of_two() -> Sides:
    """Division by n instead of n·m."""

    def left(x: Tensor) -> Tensor:
        return x.sum((1, 2)) / x.shape[1]

    def right(x: Tensor) -> Tensor:
        return x.mean((1, 2))

    return left, right


@pair(x="b n", y="b n")
def reciprocal_of_sum() -> Sides:
    """1/(x + y) is not 1/x + 1/y."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return 1 / (x + y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return 1 / x + 1 / y

    return left, right


@pair(x="b n", y="b n")
def exponential_of_product() -> Sides:
    """exp(x)·exp(y) is exp(x + y), not exp(x·y)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return x.exp() * y.exp()

    def right(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).exp()

    return left, right


@pair(x="b n")
def root_of_square_is_x() -> Sides:
    """√(x²) is |x|."""

    def left(x: Tensor) -> Tensor:
        return x.square().sqrt()

    return left, identity


@pair(x="b n")
def square_of_root_is_x() -> Sides:
    """(√x)² is undefined for a negative x."""

    def left(x: Tensor) -> Tensor:
        return x.sqrt().square()

    return left, identity


@pair(x="b n")
def exponential_of_logarithm_is_x() -> Sides:
    """exp(log x) is undefined for a negative x."""

    def left(x: Tensor) -> Tensor:
        return x.log().exp()

    return left, identity


@pair(x="b n", y="b n")
def product_over_itself() -> Sides:
    """x·y/y is undefined at y = 0, which relu makes likely."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return x * F.relu(y) / F.relu(y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n", y="b n")
def absolute_value_of_sum() -> Sides:
    """|x + y| is not |x| + |y|."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x + y).abs()

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.abs() + y.abs()

    return left, right


@pair(x="b n")
def maximum_of_negative() -> Sides:
    """max(−x) is −min(x), not −max(x)."""

    def left(x: Tensor) -> Tensor:
        return (-x).amax(-1)

    def right(x: Tensor) -> Tensor:
        return -x.amax(-1)

    return left, right


@pair(x="b n", c="b 1")
def factor_leaves_a_maximum() -> Sides:
    """max(c·x) = c·max(x) only where c is not negative."""

    def left(x: Tensor, c: Tensor) -> Tensor:
        return (c * x).amax(-1)

    def right(x: Tensor, c: Tensor) -> Tensor:
        return c.squeeze(-1) * x.amax(-1)

    return left, right


@pair(x="b n", y="b n")
def maximum_of_sum() -> Sides:
    """max(x + y) is not max(x) + max(y)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x + y).amax(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.amax(-1) + y.amax(-1)

    return left, right


@pair(x="b n d", w="e d")
def maximum_pool_commutes_with_linear() -> Sides:
    """A maximum over positions is not linear."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w).amax(1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x.amax(1), w)

    return left, right


@pair(a="n n", scale="n")
def diagonal_on_the_other_side() -> Sides:
    """Columns scaled against rows scaled."""

    def left(a: Tensor, scale: Tensor) -> Tensor:
        return a * scale

    def right(a: Tensor, scale: Tensor) -> Tensor:
        return scale[:, None] * a

    return left, right


# Pointwise functions


@pair(x="b n", tight=True)
def gelu_tanh_for_exact() -> Sides:
    """The tanh form is within 5e-4 of the exact one."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x)

    def right(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    return left, right


@pair(x="b n")
def gelu_by_sigmoid() -> Sides:
    """x·σ(1.702x) is an approximation."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x)

    def right(x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)

    return left, right


@pair(x="b n")
def gelu_with_wrong_cube() -> Sides:
    """The cubic term is x² in place of x³."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    def right(x: Tensor) -> Tensor:
        inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**2)
        return 0.5 * x * (1 + torch.tanh(inner))

    return left, right


@pair(x="b n")
def silu_for_gelu() -> Sides:
    """Two activations of one shape."""

    def left(x: Tensor) -> Tensor:
        return F.silu(x)

    def right(x: Tensor) -> Tensor:
        return F.gelu(x)

    return left, right


@pair(x="b n")
def tanh_without_doubling() -> Sides:
    """tanh(x) is 2σ(2x) − 1, not 2σ(x) − 1."""

    def left(x: Tensor) -> Tensor:
        return torch.tanh(x)

    def right(x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(x) - 1

    return left, right


@pair(x="b n")
def sigmoid_is_even() -> Sides:
    """σ(−x) is 1 − σ(x)."""

    def left(x: Tensor) -> Tensor:
        return torch.sigmoid(-x)

    def right(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    return left, right


@pair(x="b n")
def relu_for_absolute_value() -> Sides:
    """relu is 0 below 0."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return x.abs()

    return left, right


@pair(x="b n")
def relu_clamped_from_above() -> Sides:
    """clamp(max=0) keeps the negative part."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return x.clamp(max=0)

    return left, right


@pair(x="b n", y="b n")
def relu_is_additive() -> Sides:
    """relu(x + y) is not relu(x) + relu(y)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.relu(x + y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return F.relu(x) + F.relu(y)

    return left, right


# Views


@pair(x="n m")
def flattened_transpose() -> Sides:
    """The same values in another order: reshape(-1) of a matrix and of its transpose."""

    def left(x: Tensor) -> Tensor:
        return x.reshape(-1)

    def right(x: Tensor) -> Tensor:
        return x.T.reshape(-1)

    return left, right


@pair(x="b n m")
def reshape_for_transpose() -> Sides:
    """reshape(b, m, n) keeps the order in memory; transpose does not."""

    def left(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[2], x.shape[1])

    def right(x: Tensor) -> Tensor:
        return x.transpose(1, 2)

    return left, right


@pair(x="n n n")
def permutation_for_its_inverse() -> Sides:
    """A cyclic permutation of three axes is not its own inverse."""

    def left(x: Tensor) -> Tensor:
        return x.permute(1, 2, 0)

    def right(x: Tensor) -> Tensor:
        return x.permute(2, 0, 1)

    return left, right


@pair(x="b n d")
def flip_of_the_wrong_axis() -> Sides:
    """Positions reversed against channels reversed."""

    def left(x: Tensor) -> Tensor:
        return x.flip(1)

    def right(x: Tensor) -> Tensor:
        return x.flip(2)

    return left, right


@pair(x="b n")
def tiled_for_interleaved() -> Sides:
    """x₀x₁x₀x₁ against x₀x₀x₁x₁."""

    def left(x: Tensor) -> Tensor:
        return x.repeat(1, 2)

    def right(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=1)

    return left, right


@pair(x="b 2*n")
def pairs_for_halves() -> Sides:
    """Even minus odd positions against first minus second half."""

    def left(x: Tensor) -> Tensor:
        return x[:, ::2] - x[:, 1::2]

    def right(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first - second

    return left, right


@pair(x="b n", y="b n")
def cat_in_another_order() -> Sides:
    """[x, y] against [y, x]."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], dim=1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([y, x], dim=1)

    return left, right


@pair(x="b n", y="b n")
def stack_along_the_other_axis() -> Sides:
    """The pair is the inner digit against the outer one."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], dim=1).flatten(1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], dim=2).flatten(1)

    return left, right


@pair(x="n", y="n n")
def broadcast_along_the_other_axis() -> Sides:
    """A vector is aligned with the last axis."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return y + x

    def right(x: Tensor, y: Tensor) -> Tensor:
        return y + x.unsqueeze(-1)

    return left, right


@pair(x="b n+1 d")
def slice_off_by_one() -> Sides:
    """All but the last against all but the first."""

    def left(x: Tensor) -> Tensor:
        return x[:, :-1]

    def right(x: Tensor) -> Tensor:
        return x[:, 1:]

    return left, right


@pair(x="b n n")
def triangle_off_by_one() -> Sides:
    """tril keeps the diagonal."""

    def left(x: Tensor) -> Tensor:
        return x.tril()

    def right(x: Tensor) -> Tensor:
        position = torch.arange(x.shape[-1])
        return torch.where(position[:, None] > position, x, 0.0)

    return left, right


# Windows and patches


@pair(x="b c n+k", w="o c k+1")
def convolution_kernel_flipped() -> Sides:
    """PyTorch's convolution does not flip its kernel."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w.flip(-1))

    return left, right


@pair(x="b c n+k", w="o c k+1")
def window_starts_one_late() -> Sides:
    """The window is x[i + j + 1], cut at the end."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        k, n = w.shape[-1], x.shape[-1]
        positions = torch.arange(n - k + 1)[:, None] + torch.arange(k)
        windows = x[:, :, (positions + 1).clamp(max=n - 1)]
        return torch.einsum("bcnk,ock->bon", windows, w)

    return left, right


@pair(x="b c n+2", w="o c 3")
def convolution_taps_reordered() -> Sides:
    """The first two taps are swapped."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        n = x.shape[-1] - 2
        return w[:, :, 1] @ x[..., :n] + w[:, :, 0] @ x[..., 1 : n + 1] + w[:, :, 2] @ x[..., 2:]

    return left, right


@pair(x="b c n+2", w="c c 3")
def convolution_channels_swapped() -> Sides:
    """Output and input channels of the kernel in each other's place."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w.transpose(0, 1))

    return left, right


@pair(x="b c n+2", w="o c 3", bias="o")
def unfolded_windows_in_another_order() -> Sides:
    """Windows are flattened as (tap, channel), kernels as (channel, tap)."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(x, w, bias)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        windows = x.unfold(2, 3, 1).permute(0, 2, 3, 1).flatten(2)
        return (windows @ w.flatten(1).T + bias).transpose(1, 2)

    return left, right


@pair(x="b c 2*n 2*m", w="e c 2 2")
def patch_embedding_transposes_patches() -> Sides:
    """Rows and columns within a patch in each other's place."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, stride=2).flatten(2).transpose(1, 2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        b, c, height, width = x.shape
        patches = x.view(b, c, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 5, 3)
        return F.linear(patches.flatten(3).flatten(1, 2), w.flatten(1))

    return left, right


@pair(x="b c 2*n 2*m", w="e c 2 2")
def patch_embedding_without_permuting() -> Sides:
    """Views alone cut rows of pixels, not patches."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, stride=2).flatten(2).transpose(1, 2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        patches = x.flatten(1).unflatten(1, (-1, 4 * x.shape[1]))
        return F.linear(patches, w.flatten(1))

    return left, right


# Modules


class _Block(nn.Module):
    """A pre-norm residual block of width 8."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.up(self.norm(x)))
        down: Tensor = self.down(hidden)
        return x + down


class _BlockWithoutNorm(_Block):
    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.down(F.gelu(self.up(x)))
        return x + down


class _BlockWithRelu(_Block):
    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.down(F.relu(self.up(self.norm(x))))
        return x + down


@pair(x="b n 8")
def block_without_its_norm() -> Sides:
    """The norm's parameters exist on both sides, and one side does not use them."""
    return _Block, _BlockWithoutNorm


@pair(x="b n 8")
def block_with_another_activation() -> Sides:
    """relu in place of gelu."""
    return _Block, _BlockWithRelu


# Rotary embeddings


@pair(x="b h n 2*d", angle="n d")
def rotary_turned_the_other_way() -> Sides:
    """The conjugate turns back."""

    def right(x: Tensor, angle: Tensor) -> Tensor:
        return turned(x, -angle)

    return turned, right


@pair(x="b h n 2*d", angle="n d")
def rotary_half_rotated_without_permuting() -> Sides:
    """Neighbours and halves are the same pairs only where there is one."""
    return turned, half_rotated


@pair(q="b h n 2*d", k="b h n 2*d", angle="n d")
def rotary_scores_of_different_layouts() -> Sides:
    """Queries by neighbours and keys by halves."""

    def left(q: Tensor, k: Tensor, angle: Tensor) -> Tensor:
        return turned(q, angle) @ turned(k, angle).mT

    def right(q: Tensor, k: Tensor, angle: Tensor) -> Tensor:
        return turned(q, angle) @ half_rotated(k, angle).mT

    return left, right


@pair(x="b n 8", parameters={"q.weight": "q.weight", "k.weight": "k.weight"})
def rotary_attention_with_weights_as_they_are() -> Sides:
    """The rows of the weights are not permuted."""
    return RotaryAttention, HalfRotatedAttention


# Latent attention with a key of its own for positions


@pair(q="b h n d", q_turned="b h n r", latent="b m c", k_turned="b m r", up="h c d")
def latent_attention_scaled_by_content_alone() -> Sides:
    """The scale is that of the whole key, not of its content."""

    def left(q: Tensor, q_turned: Tensor, latent: Tensor, k_turned: Tensor, up: Tensor) -> Tensor:
        content = torch.einsum("bmc,hcd->bhmd", latent, up)
        shared = k_turned.unsqueeze(1).expand(-1, q.shape[1], -1, -1)
        return sdpa(torch.cat([q, q_turned], -1), torch.cat([content, shared], -1), content)

    def right(q: Tensor, q_turned: Tensor, latent: Tensor, k_turned: Tensor, up: Tensor) -> Tensor:
        content = torch.einsum("bmc,hcd->bhmd", latent, up)
        scores = q @ content.mT + q_turned @ k_turned.unsqueeze(1).mT
        return (scores * q.shape[-1] ** -0.5).softmax(-1) @ content

    return left, right


# Convolutional networks


@pair(x="b c n", w="c o 3")
def transposed_convolution_without_flipping() -> Sides:
    """The kernel of the convolution is not flipped."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv_transpose1d(x, w, padding=1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w.transpose(0, 1), padding=1)

    return left, right


@pair(x="b c n", w="c o 3")
def transposed_convolution_extended_in_front() -> Sides:
    """Output padding adds positions at the end."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv_transpose1d(x, w, stride=2, padding=1, output_padding=1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.conv_transpose1d(x, w, stride=2)[..., :-1]

    return left, right


@pair(x="b c n m")
def nearest_upsampling_by_tiling() -> Sides:
    """Tiling repeats the image, not its values."""

    def left(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2)

    def right(x: Tensor) -> Tensor:
        return x.repeat(1, 1, 2, 2)

    return left, right


@pair(x="b c 2*n")
def average_of_a_window_with_its_margin() -> Sides:
    """Whether the margin counts."""

    def left(x: Tensor) -> Tensor:
        return F.avg_pool1d(x, 3, 2, padding=1)

    def right(x: Tensor) -> Tensor:
        return F.avg_pool1d(x, 3, 2, padding=1, count_include_pad=False)

    return left, right


@pair(x="b c n+3")
def margin_reflected_with_its_edge() -> Sides:
    """Reflection does not repeat the value at the edge."""

    def left(x: Tensor) -> Tensor:
        return F.pad(x, (2, 2), mode="reflect")

    def right(x: Tensor) -> Tensor:
        return torch.cat([x[..., :2].flip(-1), x, x[..., -2:].flip(-1)], -1)

    return left, right


class FoldedWithoutShift(FoldedConvolution):
    """The bias of the convolution is added, but not scaled."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.conv, self.norm
        assert conv.bias is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias + conv.bias - norm.running_mean * scale
        return F.conv2d(x, conv.weight * scale[:, None, None, None], bias, padding=1)


@pair(x="b 3 n m")
def batch_norm_folded_without_scaling_the_bias() -> Sides:
    """Batch norm scales the bias of the convolution too."""
    return NormedConvolution, FoldedWithoutShift


# Packed weights, scattering, chunks


@pair(
    x="b n 8",
    y="b m 8",
    parameters={
        "inner.in_proj_weight": "cat(k.weight, q.weight, v.weight)",
        "inner.out_proj.weight": "out.weight",
    },
)
def multihead_attention_packed_in_another_order() -> Sides:
    """The packed weight holds queries first."""
    return WeightedAttention, CrossAttention


@pair(x="n d", y="m d", ids="m : int", assume=("ids < n",))
def scattered_rows_replace_instead_of_adding() -> Sides:
    """What was there is lost."""

    def left(x: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        return x.index_add(0, ids, y)

    def right(x: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        one_hot = (torch.arange(x.shape[0])[:, None] == ids).to(x.dtype)
        return one_hot @ y

    return left, right


@pair(q="b h c l d", k="b h c l d", v="b h c l e")
def chunks_that_carry_their_own_state() -> Sides:
    """An inclusive prefix counts the own chunk twice."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        flat = (q.flatten(2, 3) @ k.flatten(2, 3).mT).tril() @ v.flatten(2, 3)
        return flat.view(v.shape)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT).tril() @ v + q @ (k.mT @ v).cumsum(2)

    return left, right


@pair(x="b n", y="n")
def larger_by_the_smaller_choice() -> Sides:
    """Where x > y the larger is x, not y."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.maximum(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(x > y, y, x)

    return left, right


@pair(x="b h n 2*d", angle="n d")
def rotary_half_rotated_the_other_way_after_permuting() -> Sides:
    """Of the permuted channels the halves are exchanged with the other sign."""

    def left(x: Tensor, angle: Tensor) -> Tensor:
        return halves_of_neighbours(turned(x, angle))

    def right(x: Tensor, angle: Tensor) -> Tensor:
        return half_rotated(halves_of_neighbours(x), -angle)

    return left, right


@pair(a="n 3", b="n 3")
def cross_product_one_place_off() -> Sides:
    """The components are one place off."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.cross(a, b)

    def right(a: Tensor, b: Tensor) -> Tensor:
        return a * shifted(b) - shifted(a) * b

    return left, right


@pair(x="b n")
def relu_from_the_other_half() -> Sides:
    """(x − |x|)/2 is what relu leaves out."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return (x - x.abs()) / 2

    return left, right


@pair(x="b n", y="n")
def share_of_one_less_its_own() -> Sides:
    """What is left of a/(a + b) is b/(a + b), not a/(a + b)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return 1 - x.exp() / (x.exp() + y.exp())

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.sigmoid(x - y)

    return left, right


@pair(x="b n")
def tanh_as_sigmoid_unscaled() -> Sides:
    """2·σ(x) − 1 is tanh(x/2)."""

    def left(x: Tensor) -> Tensor:
        return torch.tanh(x)

    def right(x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(x) - 1

    return left, right


@pair(x="b n d")
def flip_of_flattened_axes_in_each_row() -> Sides:
    """A flip of a product of axes reverses both; this one keeps the order of the rows."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).flip(1)

    def right(x: Tensor) -> Tensor:
        return x.flip(2).flatten(1)

    return left, right


@pair(x="b n", y="b n")
def repeat_is_cat_of_another() -> Sides:
    """The second copy is of another array."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).repeat(1, 3)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x - y, y - x, x - y], dim=1)

    return left, right


@pair(x="b n")
def repeat_of_each_element() -> Sides:
    """Copies side by side are not copies of each element."""

    def left(x: Tensor) -> Tensor:
        return x.repeat(1, 3)

    def right(x: Tensor) -> Tensor:
        return x.repeat_interleave(3, 1)

    return left, right


@pair(logits="b c", labels="b : int", assume=("labels < c",))
def cross_entropy_of_the_next_label() -> Sides:
    """The label after the last one is no class, and its one-hot sums to 0."""

    def left(logits: Tensor, labels: Tensor) -> Tensor:
        return -(one_hot(logits, labels + 1) * logits.log_softmax(-1)).sum(-1).mean()

    def right(logits: Tensor, labels: Tensor) -> Tensor:
        chosen = (one_hot(logits, labels + 1) * logits).sum(-1)
        return (logits.logsumexp(-1) - chosen).mean()

    return left, right


@pair(logits="b c", labels="b : int", assume=("labels <= c",))
def cross_entropy_of_a_label_past_the_last() -> Sides:
    """Where the label may be one more than there are classes the two differ."""

    def left(logits: Tensor, labels: Tensor) -> Tensor:
        return -(one_hot(logits, labels) * logits.log_softmax(-1)).sum(-1).mean()

    def right(logits: Tensor, labels: Tensor) -> Tensor:
        chosen = (one_hot(logits, labels) * logits).sum(-1)
        return (logits.logsumexp(-1) - chosen).mean()

    return left, right


# Pieces that do not meet


@pair(x="b n")
def leaky_relu_as_smaller() -> Sides:
    """The smaller of x and x/4 is the steep branch below 0."""

    def left(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.25)

    def right(x: Tensor) -> Tensor:
        return torch.minimum(x, 0.25 * x)

    return left, right


@pair(x="b n")
def leaky_relu_of_a_steep_slope() -> Sides:
    """With a slope above 1 the larger of the two is the other branch."""

    def left(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 1.5)

    def right(x: Tensor) -> Tensor:
        return torch.maximum(x, 1.5 * x)

    return left, right


@pair(x="b n")
def bounded_relu_by_another_bound() -> Sides:
    """The second relu sets in at ½ and not at 1."""

    def left(x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    def right(x: Tensor) -> Tensor:
        return F.relu(x) - F.relu(x - 0.5)

    return left, right


@pair(x="b n")
def hardswish_of_another_parabola() -> Sides:
    """Between the bounds it is x·(x + 3)/6."""

    def left(x: Tensor) -> Tensor:
        return F.hardswish(x)

    def right(x: Tensor) -> Tensor:
        middle = x * (x + 2) / 6
        return torch.where(x <= -3, 0.0, torch.where(x >= 3, x, middle))

    return left, right


@pair(x="b n")
def clamp_with_bounds_out_of_order() -> Sides:
    """Where the lower bound is above the upper, the order matters."""

    def left(x: Tensor) -> Tensor:
        return x.clamp(min=2).clamp(max=1)

    def right(x: Tensor) -> Tensor:
        return x.clamp(max=1).clamp(min=2)

    return left, right


@pair(x="b n")
def threshold_is_no_shifted_relu() -> Sides:
    """Above ½ a threshold gives x, and the relu x − ½."""

    def left(x: Tensor) -> Tensor:
        return F.threshold(x, 0.5, 0.0)

    def right(x: Tensor) -> Tensor:
        return F.relu(x - 0.5)

    return left, right


@pair(x="b n")
def elu_without_minus_one() -> Sides:
    """Below 0, ELU is exp(x) − 1."""

    def left(x: Tensor) -> Tensor:
        return F.elu(x)

    def right(x: Tensor) -> Tensor:
        return F.relu(x) + torch.exp(-F.relu(-x))

    return left, right


@pair(x="b n")
def celu_without_its_scale() -> Sides:
    """Below 0, CELU is α·(exp(x/α) − 1)."""

    def left(x: Tensor) -> Tensor:
        return F.celu(x, 2.0)

    def right(x: Tensor) -> Tensor:
        return x.clamp(min=0) + (torch.exp(x / 2) - 1).clamp(max=0)

    return left, right


@pair(x="b n")
def soft_shrinkage_without_sign() -> Sides:
    """Below −½ the result is negative."""

    def left(x: Tensor) -> Tensor:
        return torch.sign(x) * F.relu(x.abs() - 0.5)

    def right(x: Tensor) -> Tensor:
        return F.relu(x.abs() - 0.5)

    return left, right


@pair(x="b n", y="b n")
def cross_entropy_of_logits_without_absolute_value() -> Sides:
    """log(1 + exp(−x)) belongs to −min(x, 0)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return (x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x))).mean()

    return left, right


@pair(x="b n")
def log_sigmoid_with_the_wrong_bound() -> Sides:
    """It is the smaller of x and 0 that is kept."""

    def left(x: Tensor) -> Tensor:
        return F.logsigmoid(x)

    def right(x: Tensor) -> Tensor:
        return x.clamp(min=0) - torch.log1p(torch.exp(-x.abs()))

    return left, right


@pair(x="b n", y="b n")
def huber_loss_that_jumps() -> Sides:
    """The line must be lowered by ½ to meet the parabola."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.huber_loss(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        d = (x - y).abs()
        return torch.where(d <= 1, 0.5 * d**2, d).mean()

    return left, right


@pair(x="n+4 n+4")
def window_on_one_side_by_distance() -> Sides:
    """|i − j| ≤ 3 also bounds what comes later."""

    def left(x: Tensor) -> Tensor:
        i = torch.arange(x.shape[0])
        near = (i[:, None] - i[None, :]).abs() <= 3
        return x.masked_fill(~near, float("-inf")).softmax(-1)

    def right(x: Tensor) -> Tensor:
        i = torch.arange(x.shape[0])
        near = i[:, None] - i[None, :] <= 3
        return x.masked_fill(~near, float("-inf")).softmax(-1)

    return left, right


@pair(x="n+4 n+4")
def window_short_of_its_edge() -> Sides:
    """|i − j| < 3 leaves out the keys at distance 3."""

    def left(x: Tensor) -> Tensor:
        i = torch.arange(x.shape[0])
        near = (i[:, None] - i[None, :]).abs() <= 3
        return x.masked_fill(~near, float("-inf")).softmax(-1)

    def right(x: Tensor) -> Tensor:
        i = torch.arange(x.shape[0])
        near = (i[:, None] - i[None, :]).abs() < 3
        return x.masked_fill(~near, float("-inf")).softmax(-1)

    return left, right


@pair(q="n+1 d", k="n+1 d", v="n+1 d", document="n+1 : int")
def attention_across_documents() -> Sides:
    """Other documents are to be masked, and not the own one."""

    def left(q: Tensor, k: Tensor, v: Tensor, document: Tensor) -> Tensor:
        same = document[:, None] == document[None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=same)

    def right(q: Tensor, k: Tensor, v: Tensor, document: Tensor) -> Tensor:
        apart = document[:, None] <= document[None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=apart)

    return left, right


# Odd and even functions


@pair(x="b n")
def gelu_by_the_wrong_tail() -> Sides:
    """erfc(a) is the tail above a: GELU takes it at −a."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x)

    def right(x: Tensor) -> Tensor:
        return 0.5 * x * torch.special.erfc(x / 2**0.5)

    return left, right


@pair(x="b n", y="b n", t="n")
def rotation_with_two_equal_signs() -> Sides:
    """Both sines with one sign make no rotation."""

    def left(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        a, b = x * t.cos() + y * t.sin(), x * t.sin() + y * t.cos()
        return a**2 + b**2

    def right(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x**2 + y**2

    return left, right


@pair(x="b n", y="b n", t="n")
def rotation_on_by_the_same_angle() -> Sides:
    """Turning by t again does not go back."""

    def left(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        a, b = x * t.cos() - y * t.sin(), x * t.sin() + y * t.cos()
        return a * t.cos() - b * t.sin()

    def right(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x

    return left, right


# As other users get it wrong


@pair(q="b h n d", k="b h n d", v="b h n d", prefix="b : int")
def prefix_one_longer() -> Sides:
    """The prefix ends before its length, not at it."""

    def left(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        seen = (i <= i[:, None])[None] | (i < prefix[:, None, None])
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None])

    def right(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        seen = (i <= i[:, None])[None] | (i <= prefix[:, None, None])
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None])

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d", ids="b n : int")
def documents_causal_the_other_way() -> Sides:
    """Keys before the query are hidden, and not those after it."""

    def left(q: Tensor, k: Tensor, v: Tensor, ids: Tensor) -> Tensor:
        n = q.shape[-2]
        same = (ids[:, :, None] == ids[:, None, :]) & torch.ones(n, n, dtype=torch.bool).tril()
        return F.scaled_dot_product_attention(q, k, v, attn_mask=same[:, None])

    def right(q: Tensor, k: Tensor, v: Tensor, ids: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        hidden = ids.unsqueeze(-1).ne(ids.unsqueeze(-2)).logical_or(i < i.unsqueeze(-1))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden[:, None])

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def softcap_with_two_caps() -> Sides:
    """What is divided by 30 is multiplied by 29."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (torch.tanh(q @ k.mT / 30) * 30).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (torch.tanh(q @ k.mT / 30) * 29).softmax(-1) @ v

    return left, right


@pair(q="b n d", k="b 2*m d", v="b 2*m d")
def ring_without_rescaling_the_output() -> Sides:
    """The sum is rescaled to the new maximum, and the output is not."""

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        total, out = torch.zeros_like(q[..., :1]), torch.zeros_like(q)
        largest = torch.full_like(total, float("-inf"))
        for keys, values in zip(k.chunk(2, dim=-2), v.chunk(2, dim=-2), strict=True):
            scores = q @ keys.mT / q.shape[-1] ** 0.5
            larger = torch.maximum(largest, scores.amax(-1, keepdim=True))
            weights, kept = torch.exp(scores - larger), torch.exp(largest - larger)
            out, total = out + weights @ values, kept * total + weights.sum(-1, True)
            largest = larger
        return out / total

    return sdpa, right


@pair(logits="n c", labels="n : int", assume=("labels < c",))
def smoothed_labels_summed_over_classes() -> Sides:
    """Smoothing takes the mean over classes, not the sum."""

    def left(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.1)

    def right(logits: Tensor, labels: Tensor) -> Tensor:
        logs = F.log_softmax(logits, dim=-1)
        chosen = logs.gather(1, labels[:, None])[:, 0]
        return -(0.9 * chosen + 0.1 * logs.sum(-1)).mean()

    return left, right


@pair(x="b c n+4", w="o c 3")
def dilation_forgotten_in_the_taps() -> Sides:
    """Taps of a dilated convolution are two apart."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w, dilation=2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        n = x.shape[2] - 4
        taps = (torch.einsum("bcn,oc->bon", x[..., t : n + t], w[..., t]) for t in range(3))
        return sum(taps, torch.zeros(()))

    return left, right


@pair(x="b 4*c n m")
def pixel_shuffle_with_rows_and_columns_swapped() -> Sides:
    """The first of the two digits is the row within a block."""

    def left(x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, 2)

    def right(x: Tensor) -> Tensor:
        blocks = x.unflatten(1, (-1, 2, 2)).permute(0, 1, 4, 3, 5, 2)
        return blocks.flatten(4, 5).flatten(2, 3)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def normed_queries_scaled_again() -> Sides:
    """Cosines are not divided by √d."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return F.scaled_dot_product_attention(q, k, v)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)

    return left, right


@pair(a="n n", b="n n", x="n n")
def kronecker_factors_swapped() -> Sides:
    """(A ⊗ B) vec X is vec(A X Bᵀ), not vec(B Xᵀ Aᵀ)."""

    def left(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return torch.kron(a, b) @ x.reshape(-1)

    def right(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return (b @ x.T @ a.T).reshape(-1)

    return left, right


@pair(x="b n d", kept="b n")
def masked_mean_over_all_positions() -> Sides:
    """The mean of what is kept is over its weight, not over all positions."""

    def left(x: Tensor, kept: Tensor) -> Tensor:
        return (x * kept.unsqueeze(-1)).sum(1) / kept.sum(1, keepdim=True)

    def right(x: Tensor, kept: Tensor) -> Tensor:
        return torch.einsum("bnd,bn->bd", x, kept) / x.shape[1]

    return left, right


@pair(x="b n", y="b n")
def moving_average_with_swapped_weights() -> Sides:
    """lerp(x, y, 0.3) has 0.7 of x."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return x.lerp(y, 0.3)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return 0.3 * x + 0.7 * y

    return left, right


@pair(x="b n", assume=("n >= 2",))
def smallest_for_largest_two() -> Sides:
    """What is not known of two choices does not make them one."""

    def left(x: Tensor) -> Tensor:
        return torch.topk(x, 2).values

    def right(x: Tensor) -> Tensor:
        return torch.topk(x, 2, largest=False).values

    return left, right


@pair(x="b n", kept="b n : bool")
def dropout_keeps_what_it_drops() -> Sides:
    """A truth value that is at least 0 is any."""

    def left(x: Tensor, kept: Tensor) -> Tensor:
        return x * kept / 0.8

    def right(x: Tensor, kept: Tensor) -> Tensor:
        return torch.where(kept >= 0, x / 0.8, torch.zeros_like(x))

    return left, right


@pair(
    x="b n 8",
    parameters={
        **ENCODER,
        "layer.norm1.weight": "norm2.weight",
        "layer.norm2.weight": "norm1.weight",
    },
)
def encoder_norms_swapped() -> Sides:
    """The gains of the two norms belong to the other."""
    return EncoderLayer, EncoderLayerByHand


class LatentAttentionInterleaved(LatentAttentionAbsorbed):
    """Reads heads as the inner digit of the projection's rows."""

    def absorbed(self) -> Tensor:
        return self.kv.weight.view(7, 2, 5).transpose(0, 1)


@pair(x="b n 8")
def latent_heads_in_another_layout() -> Sides:
    """Heads are the outer digit of the projection's rows."""
    return LatentAttention, LatentAttentionInterleaved


class ExpertsShifted(Experts):
    """Each expert's first layer meets its neighbour's second."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.silu(torch.einsum("bnd,efd->bnef", x, self.up))
        down = self.down.roll(1, 0)
        return torch.einsum("bne,bnef,edf->bnd", self.gate(x).softmax(-1), hidden, down)


@pair(x="b n 8")
def experts_with_layers_of_others() -> Sides:
    """Both layers of an expert go together."""
    return Experts, ExpertsShifted


class BranchesWithoutMargin(Branches):
    """The identity stands in a corner of the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        eye = torch.eye(4, dtype=x.dtype)[:, :, None, None]
        weight = self.wide.weight + F.pad(self.point.weight + eye, (0, 2, 0, 2))
        assert self.wide.bias is not None
        assert self.point.bias is not None
        return F.conv2d(x, weight, self.wide.bias + self.point.bias, padding=1)


@pair(x="b 4 n m")
def branches_merged_off_centre() -> Sides:
    """The middle of a 3 × 3 kernel is what meets its own position."""
    return Branches, BranchesWithoutMargin


class ChannelsFirstUnscaled(ChannelsFirst):
    """Scales the weights of the last layer and not its bias."""

    def forward(self, x: Tensor) -> Tensor:
        bias = self.mlp.down.bias
        return super().forward(x) + ((1 - self.gamma) * bias)[:, None, None]


@pair(x="b 8 n m")
def scale_of_channels_without_the_bias() -> Sides:
    """A scale of a layer's output scales its bias too."""
    return ChannelsLast, ChannelsFirstUnscaled


class RecurrentInAnotherOrder(RecurrentByHand):
    """Takes the output gate for the third."""

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = super().gates(x, h)
        return i, f, o, g


@pair(x="b 8", h="b 8", c="b 8")
def lstm_gates_in_another_order() -> Sides:
    """PyTorch's order is input, forget, cell, output."""
    return Recurrent, RecurrentInAnotherOrder


class ParallelBlockPackedByKind(ParallelBlock):
    """Reads all queries first, and not head by head."""

    def heads(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4))


@pair(x="b n 8")
def packed_heads_read_by_kind() -> Sides:
    """GPT-NeoX packs queries, keys and values of a head together."""
    return ParallelBlock, ParallelBlockPackedByKind


class SequentialBlock(ParallelBlock):
    """Its second branch reads what the first has added to."""

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@pair(x="b n 8")
def parallel_residual_in_sequence() -> Sides:
    """Branches of a parallel block read the same input."""
    return ParallelBlock, SequentialBlock


class ShardsOfPackedRows(ParallelAttentionInShards):
    """Gives each device a contiguous part of the packed projection."""

    def shard(self, x: Tensor, rank: int) -> Tensor:
        weight, bias = self.qkv.weight.chunk(2)[rank], self.qkv.bias.chunk(2)[rank]
        q, k, v = F.linear(x, weight, bias).chunk(3, dim=-1)
        head = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.linear(head, self.out.weight.chunk(2, dim=1)[rank])


@pair(x="b n 8")
def attention_sharded_across_kinds() -> Sides:
    """The rows of a head are apart in each of the three packed parts."""
    return ParallelAttention, ShardsOfPackedRows


class BiasInEveryShard(ParallelAttentionInShards):
    """Adds the bias of the output on every device."""

    def shard(self, x: Tensor, rank: int) -> Tensor:
        return super().shard(x, rank) + self.out.bias / (1 + rank)


@pair(x="b n 8")
def bias_of_the_output_in_every_shard() -> Sides:
    """A sum over devices adds a bias as often as there are devices."""
    return ParallelAttention, BiasInEveryShard


class NormedOverHeads(NormedHeadsByHand):
    """Takes the norm of queries over both heads together."""

    def forward(self, x: Tensor) -> Tensor:
        q = F.rms_norm(self.q(x), (8,), self.q_norm.weight.repeat(2), 1e-6).unflatten(-1, (2, 4))
        k, v = self.normed(self.k(x), self.k_norm.weight), self.v(x)
        q, k, v = (
            q.transpose(1, 2),
            k[:, None].expand(-1, 2, -1, -1),
            v[:, None].expand(-1, 2, -1, -1),
        )
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


@pair(x="b n 8")
def queries_normed_over_all_heads() -> Sides:
    """The root mean square of a head is not that of all heads."""
    return NormedHeads, NormedOverHeads


class MixedTheOtherWay(TimeMixStable):
    """The row before takes the share of the row."""

    def shifted(self, x: Tensor) -> Tensor:
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        return torch.lerp(x, before, self.mix)


@pair(x="b 3 8")
def time_mix_the_other_way() -> Sides:
    """lerp(a, b, w) is a where w is 0."""
    return TimeMix, MixedTheOtherWay


class ReadBeforeWritten(Selective):
    """Reads the state before the step is added to it."""

    def forward(self, x: Tensor) -> Tensor:
        steps, into, out_of = self.projected(x)
        state, out = torch.zeros_like(x[:, 0, :, None] * self.a_log), []
        for t in range(3):
            step = steps[:, t, :, None]
            out.append((state * out_of[:, t, None]).sum(-1))
            state = torch.exp(-step * self.a_log.exp()) * state
            state = state + step * into[:, t, None] * x[:, t, :, None]
        return torch.stack(out, dim=1) + x * self.d


@pair(x="b 3 6")
def state_read_before_it_is_written() -> Sides:
    """A step sees its own input."""
    return Selective, ReadBeforeWritten


class ResetBeforeTheProduct(GatedPacked):
    """Resets the state, and not its product with the weight."""

    def candidate(self, x: Tensor, h: Tensor, reset: Tensor) -> Tensor:
        c, new = self.cell, slice(16, None)
        from_input = F.linear(x, c.weight_ih[new], c.bias_ih[new])
        return torch.tanh(from_input + F.linear(reset * h, c.weight_hh[new], c.bias_hh[new]))


@pair(x="b 8", h="b 8")
def gru_reset_before_the_product() -> Sides:
    """PyTorch's gate resets the product with the state, its bias included."""
    return Gated, ResetBeforeTheProduct


class BottleneckByDeviation(BottleneckFolded):
    """Adds epsilon to the deviation."""

    def normed(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (torch.sqrt(norm.running_var) + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        return conv(x) * scale[:, None, None] + shift[:, None, None]


@pair(x="b 8 n m", tight=True)
def epsilon_beside_the_folded_deviation() -> Sides:
    """A batch norm adds epsilon to the variance."""
    return Bottleneck, BottleneckByDeviation


class ExciteByMaximum(SqueezeExciteByLinear):
    """Squeezes by the largest value."""

    def pooled(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


@pair(x="b 8 n m")
def squeezed_by_the_maximum() -> Sides:
    """Adaptive average pooling takes means."""
    return SqueezeExcite, ExciteByMaximum


class PooledByMeans(UpAndDownByViews):
    """Pools by means."""

    def pooled(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


@pair(x="b 3 2*n 2*m")
def u_net_pooled_by_means() -> Sides:
    """The largest of a window is not its mean."""
    return UpAndDown, PooledByMeans


class SkippedFirst(UpAndDown):
    """Joins what was skipped in front of what comes up."""

    def forward(self, x: Tensor) -> Tensor:
        skipped = F.relu(self.enter(x))
        up = self.up(F.relu(self.middle(F.max_pool2d(skipped, 2))))
        return self.leave(torch.cat([skipped, up], dim=1))


@pair(x="b 3 2*n 2*m")
def u_net_joined_in_another_order() -> Sides:
    """The kernel meets channels in the order in which they are joined."""
    return UpAndDown, SkippedFirst


class ModulatedWithoutOne(Modulated):
    """Scales by what the condition says, and not by one more."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(F.silu(c)).unsqueeze(1).chunk(3, dim=2)
        y = self.norm(x) * scale + shift
        return x + gate * self.down(F.gelu(self.up(y), approximate="tanh"))


@pair(x="b n 8", c="b 8")
def modulation_without_the_one() -> Sides:
    """A scale of 0 leaves the norm as it is."""
    return Modulated, ModulatedWithoutOne


class CausalDecoding(CachedDecoding):
    """Keeps the flag of the prefill."""

    causal = True


@pair(past="b n 8", x="b 1 8")
def decoding_with_the_causal_flag() -> Sides:
    """A causal mask of one row sees the first key alone."""
    return Prefill, CausalDecoding


class PrefillOneBehind(ChunkedPrefill):
    """Its mask hides a row from itself."""

    diagonal = -1


@pair(past="b n 8", x="b m 8")
def chunk_one_key_behind() -> Sides:
    """Row i of a chunk sees the keys up to n + i."""
    return Prefill, PrefillOneBehind


class PooledBeforeTheLayer(PointPool):
    """Takes the largest before the last layer on points."""

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv1(x.mT)).amax(2, keepdim=True)
        return self.fc(self.conv2(h)[..., 0]).log_softmax(-1)


@pair(x="b n 3")
def points_pooled_before_the_layer() -> Sides:
    """A layer whose weights may be negative does not keep the order."""
    return PointPool, PooledBeforeTheLayer


class PatchesByColumns(ClassTokenByLinear):
    """Counts patches column by column."""

    order = (0, 4, 2, 1, 3, 5)


@pair(x="b 3 8 8")
def patches_counted_by_columns() -> Sides:
    """A flattened image counts row by row."""
    return ClassToken, PatchesByColumns


@pair(x="b c n m", weight="c", bias="c", mean="c", logs="c", kernel="o c 3 3")
def batch_norm_before_a_margin() -> Sides:
    """Where a margin of zeros meets the kernel there is no shift."""

    def left(
        x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, logs: Tensor, kernel: Tensor
    ) -> Tensor:
        return F.conv2d(F.batch_norm(x, mean, logs.exp(), weight, bias), kernel, padding=1)

    def right(
        x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, logs: Tensor, kernel: Tensor
    ) -> Tensor:
        scale = weight * torch.rsqrt(logs.exp() + 1e-5)
        shift = kernel.sum((2, 3)) @ (bias - mean * scale)
        return F.conv2d(x, kernel * scale[:, None, None], padding=1) + shift[:, None, None]

    return left, right


@pair(t="b")
def timestep_rates_over_one_less() -> Sides:
    """Rates go down to 1/10000 over the half, or over one less than it."""

    def left(t: Tensor) -> Tensor:
        rates = torch.exp(-math.log(10000) * torch.arange(4, dtype=t.dtype) / 4)
        return (t[:, None] * rates).sin()

    def right(t: Tensor) -> Tensor:
        rates = torch.exp(-math.log(10000) * torch.arange(4, dtype=t.dtype) / 3)
        return (t[:, None] * rates).sin()

    return left, right


@pair(x="b 2*h 2*w c", w="o 4*c")
def patches_merged_in_another_order() -> Sides:
    """Swin's parts count rows first."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        parts = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
        return F.linear(torch.cat(parts, dim=-1), w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        b, h, width, c = x.shape
        blocks = x.reshape(b, h // 2, 2, width // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        return blocks.flatten(3) @ w.T

    return left, right


@pair(x="b n 2*d", q="o 2*d", scale="o 2")
def scales_of_groups_interleaved() -> Sides:
    """A group is a run of inputs, not every second one."""

    def left(x: Tensor, q: Tensor, scale: Tensor) -> Tensor:
        return F.linear(x, (q.view(q.shape[0], 2, -1) * scale[:, :, None]).flatten(1))

    def right(x: Tensor, q: Tensor, scale: Tensor) -> Tensor:
        return F.linear(x, (q.view(q.shape[0], -1, 2) * scale[:, None, :]).flatten(1))

    return left, right


@pair(q="b h 3 d", k="b h 3 d", v="b h 3 e", gate="b h 3")
def retention_that_fades_what_it_adds() -> Sides:
    """A step's gate fades what was there before it."""

    def left(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
        until = F.logsigmoid(gate).cumsum(-1)
        decay = torch.exp(until[..., :, None] - until[..., None, :]).tril()
        return (q @ k.mT * decay) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
        state, out = torch.zeros(()), []
        for t in range(3):
            state = state + k[:, :, t, :, None] * v[:, :, t, None]
            state = torch.sigmoid(gate[:, :, t, None, None]) * state
            out.append((q[:, :, t, None] @ state)[:, :, 0])
        return torch.stack(out, dim=2)

    return left, right


@pair(i="b d", f="b d", z="b d", c="b d", n="b d", m="b d")
def stabiliser_of_the_old_state_forgotten() -> Sides:
    """The old state is scaled by exp(−m)."""

    def left(i: Tensor, f: Tensor, z: Tensor, c: Tensor, n: Tensor, m: Tensor) -> Tensor:
        kept, new = torch.sigmoid(f) * torch.exp(m), torch.exp(i)
        return (kept * c + new * torch.tanh(z)) / (kept * n + new)

    def right(i: Tensor, f: Tensor, z: Tensor, c: Tensor, n: Tensor, m: Tensor) -> Tensor:
        forget = F.logsigmoid(f)
        larger = torch.maximum(forget + m, i)
        kept, new = torch.exp(forget - larger), torch.exp(i - larger)
        return (kept * c + new * torch.tanh(z)) / (kept * n + new)

    return left, right


@pair(x="b n n d", y="b n n d")
def triangles_the_other_way() -> Sides:
    """Outgoing edges meet at the second index, incoming ones at the first."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bikd,bjkd->bijd", x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bkid,bkjd->bijd", x, y)

    return left, right


@pair(new="n", old="n", gain="n")
def larger_of_the_clipped_ratios() -> Sides:
    """The clipped objective is the smaller of the two."""

    def left(new: Tensor, old: Tensor, gain: Tensor) -> Tensor:
        ratio = torch.exp(new - old)
        return -torch.min(ratio * gain, torch.clamp(ratio, 0.8, 1.2) * gain).mean()

    def right(new: Tensor, old: Tensor, gain: Tensor) -> Tensor:
        ratio = torch.exp(new - old)
        return -torch.max(ratio * gain, torch.clamp(ratio, 0.8, 1.2) * gain).mean()

    return left, right


@pair(x="n m")
def minimum_as_a_maximum_without_its_sign() -> Sides:
    """min a = −max(−a); here the factor's sign is forgotten."""

    def left(x: Tensor) -> Tensor:
        return (-3 * x).amin(-1)

    def right(x: Tensor) -> Tensor:
        return 3 * (-x).amax(-1)

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d", slopes="h")
def causal_alibi_that_sees_one_ahead() -> Sides:
    """|i − j| is not i − j for the one key that the mask leaves too much."""

    def attention(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor, distance: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        bias = -slopes[:, None, None] * distance
        ahead = i[:, None] + 1 < i[None]
        return F.scaled_dot_product_attention(q, k, v, bias.masked_fill(ahead, -torch.inf))

    def left(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        return attention(q, k, v, slopes, (i[:, None] - i[None]).abs())

    def right(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        return attention(q, k, v, slopes, i[:, None] - i[None])

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d", slopes="h")
def causal_alibi_of_the_squared_position() -> Sides:
    """j² − i² goes with the softmax down to j², which is not (j − i)²."""

    def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        return F.scaled_dot_product_attention(
            q, k, v, bias.masked_fill(i[:, None] < i[None], -torch.inf)
        )

    def left(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        return attention(q, k, v, slopes[:, None, None] * i * i)

    def right(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        return attention(q, k, v, slopes[:, None, None] * (i[None] - i[:, None]) ** 2)

    return left, right


@pair(q="b n d", k="b n d", v="b n d")
def retention_by_another_logarithm() -> Sides:
    """log 0.9 and log 0.91 are two decays."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        distance = (i[:, None] - i[None]).to(q.dtype)
        decay = torch.where(distance >= 0, torch.exp(math.log(0.91) * distance), 0.0)
        return (q @ k.mT * decay) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2], dtype=q.dtype)
        return (q @ k.mT * (0.9 ** (i[:, None] - i[None])).tril()) @ v

    return left, right


@pair(x="b h w c")
def shifted_windows_and_too_far_back() -> Sides:
    """One axis is shifted back along the other."""

    def left(x: Tensor) -> Tensor:
        return torch.roll(torch.roll(x, (-1, -1), (1, 2)).exp(), (1, 2), (1, 2))

    def right(x: Tensor) -> Tensor:
        return x.exp()

    return left, right


class AdaptedQueriesAndKeys(AdaptedQueriesAndValues):
    """As one matrix, in another order."""

    def forward(self, x: Tensor) -> Tensor:
        of_queries = self.up_q.weight @ self.down_q.weight
        of_values = self.up_v.weight @ self.down_v.weight
        change = torch.cat([of_queries, of_values, torch.zeros(8, 8, dtype=x.dtype)])
        return F.linear(x, self.qkv.weight + change, self.qkv.bias)


@pair(x="b n 8")
def lora_on_keys_in_place_of_values() -> Sides:
    """The second adaptation goes to the keys."""
    return AdaptedQueriesAndValues, AdaptedQueriesAndKeys
