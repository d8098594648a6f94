"""Pairs of programs that are the same function for all sizes, as users write them.

``PAIRS`` needs contractions, views, pointwise functions, reductions, masks by comparison,
windows by affine indices, the definitions of softmax, the norms and attention, and the operators
that vision and language models export.

Roots of sizes are mostly written ``d ** 0.5``: ``math.sqrt(d)``, like what is at the end of the
file, makes plain ``torch.export`` fix a size that the pair leaves open.
"""

# A power of a size, ``d ** -0.5``, has no type that mypy can tell.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from . import Pair, Sides, collector

PAIRS: list[Pair] = []
pair = collector(PAIRS)


# Common definitions


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Naive attention: softmax over keys of the scaled scores, times the values."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return scores.softmax(dim=-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by PyTorch's own operator."""
    return F.scaled_dot_product_attention(q, k, v)


def sdpa_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's causal attention: query i sees keys 0…i, aligned at the top left."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """x over the root of its mean square, without weight."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def layer_norm(x: Tensor) -> Tensor:
    """PyTorch's layer norm over the last axis, without weight and bias."""
    return F.layer_norm(x, (x.shape[-1],))


# Attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def naive_attention_is_sdpa() -> Sides:
    """The definition of scaled dot-product attention; its default scale is d to the -1/2."""
    return attention, sdpa


@pair(q="b h n d", k="b h m d", v="b h m e")
def attention_with_wide_values() -> Sides:
    """The width of values is independent of that of keys."""
    return attention, sdpa


@pair(q="n d", k="m d", v="m d")
def attention_of_one_head() -> Sides:
    """Attention broadcasts over leading axes, here none."""
    return attention, sdpa


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_divided_by_root() -> Sides:
    """a / √d = a · d^(-1/2)."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_scales_query_first() -> Sides:
    """(c·q)·k = c·(q·k): a factor leaves a sum."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = q * q.shape[-1] ** -0.5
        return (q @ k.transpose(-2, -1)).softmax(-1) @ v

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_scales_query_and_key() -> Sides:
    """d^(-1/4) on queries and on keys is d^(-1/2) on scores: powers of one base add."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.25
        return ((q * scale) @ (k * scale).transpose(-2, -1)).softmax(-1) @ v

    return left, sdpa


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_with_given_scale() -> Sides:
    """The scale argument replaces the default one."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (0.125 * (q @ k.transpose(-2, -1))).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, scale=0.125)

    return left, right


@pair(q="b n h d", k="b m h d", v="b m h d")
def attention_by_einsum_heads_last() -> Sides:
    """einsum over (batch, length, head, width) is matmul after transposing heads outwards."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) * q.shape[-1] ** -0.5
        return torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return sdpa(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_with_batch_and_heads_merged() -> Sides:
    """Flattening two broadcast axes, working, and splitting them again changes nothing."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, h, n, d = q.shape
        q, k, v = (x.reshape(b * h, -1, d) for x in (q, k, v))
        weights = torch.bmm(q, k.transpose(1, 2)).mul(d**-0.5).softmax(-1)
        return torch.bmm(weights, v).view(b, h, n, d)

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_divides_last() -> Sides:
    """Σ (e/Z)·v = (Σ e·v)/Z: the normaliser does not depend on the key."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).exp()
        return (weights @ v) / weights.sum(-1, keepdim=True)

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_with_ones_column() -> Sides:
    """Appending a column of ones to V computes numerator and denominator in one product."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).exp()
        both = weights @ torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        return both[..., :-1] / both[..., -1:]

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d", key_bias="h 1 d")
def key_bias_has_no_effect() -> Sides:
    """A bias on keys adds q·c to a whole row of scores, and softmax ignores shifts of a row."""

    def left(q: Tensor, k: Tensor, v: Tensor, key_bias: Tensor) -> Tensor:
        return attention(q, k + key_bias, v)

    def right(q: Tensor, k: Tensor, v: Tensor, key_bias: Tensor) -> Tensor:
        return attention(q, k, v)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", value_bias="h 1 d")
def value_bias_passes_through() -> Sides:
    """The weights of a row sum to 1, so that a bias on values is a bias on outputs."""

    def left(q: Tensor, k: Tensor, v: Tensor, value_bias: Tensor) -> Tensor:
        return attention(q, k, v + value_bias)

    def right(q: Tensor, k: Tensor, v: Tensor, value_bias: Tensor) -> Tensor:
        return attention(q, k, v) + value_bias

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_ignores_key_order() -> Sides:
    """Sums and maxima are commutative: reversing keys and values together changes nothing."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.flip(-2), v.flip(-2))

    return left, attention


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_follows_query_order() -> Sides:
    """Attention broadcasts over queries, so that it commutes with reindexing them."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q.flip(-2), k, v).flip(-2)

    return left, attention


@pair(q="b h n d", k1="b h m d", v1="b h m d", k2="b h p d", v2="b h p d")
def attention_with_cached_keys() -> Sides:
    """Scores against concatenated keys are the concatenated scores; sums split over parts."""

    def left(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        return attention(q, torch.cat([k1, k2], dim=-2), torch.cat([v1, v2], dim=-2))

    def right(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        scores = torch.cat([q @ k1.transpose(-2, -1), q @ k2.transpose(-2, -1)], -1) * scale
        weights = scores.softmax(-1)
        m = k1.shape[-2]
        return weights[..., :m] @ v1 + weights[..., m:] @ v2

    return left, right


@pair(q1="b h n d", q2="b h p d", k="b h m d", v="b h m d")
def attention_of_concatenated_queries() -> Sides:
    """Attention broadcasts over queries: the rows of two parts are computed apart."""

    def left(q1: Tensor, q2: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(torch.cat([q1, q2], dim=2), k, v)

    def right(q1: Tensor, q2: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat([attention(q1, k, v), attention(q2, k, v)], dim=2)

    return left, right


# Tiling


@pair(q="b h n d", k="b h t r d", v="b h t r d")
def tiled_online_softmax_attention() -> Sides:
    """Softmax folds block by block: each block's maximum, sum and output, rescaled at the end."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.flatten(2, 3), v.flatten(2, 3))

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q.unsqueeze(2) @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        block_max = scores.amax(-1, keepdim=True)
        weights = (scores - block_max).exp()
        block_sum = weights.sum(-1, keepdim=True)
        block_out = weights @ v
        rescale = (block_max - block_max.amax(2, keepdim=True)).exp()
        return (rescale * block_out).sum(2) / (rescale * block_sum).sum(2)

    return left, right


@pair(q="b h n d", k="b h 4*r d", v="b h 4*r d")
def attention_in_four_blocks() -> Sides:
    """The same with four blocks cut from one axis of keys by a view."""

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, h, m, d = k.shape
        k, v = k.view(b, h, 4, m // 4, d), v.view(b, h, 4, m // 4, d)
        scores = torch.einsum("bhnd,bhtrd->bhtnr", q, k) * d**-0.5
        block_max = scores.amax(-1)
        weights = (scores - block_max.unsqueeze(-1)).exp()
        rescale = (block_max - block_max.amax(2, keepdim=True)).exp()
        total = (rescale * weights.sum(-1)).sum(2)
        out = torch.einsum("bhtn,bhtnr,bhtrd->bhnd", rescale, weights, v)
        return out / total.unsqueeze(-1)

    return attention, right


@pair(q="b h n d", k="b h 16*t d", v="b h 16*t d")
def attention_in_blocks_of_sixteen() -> Sides:
    """The same with blocks of a given length, and as many of them as there are."""

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = k.unflatten(2, (-1, 16)), v.unflatten(2, (-1, 16))
        scores = q.unsqueeze(2) @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        block_max = scores.amax(-1, keepdim=True)
        weights = (scores - block_max).exp()
        rescale = (block_max - block_max.amax(2, keepdim=True)).exp()
        total = (rescale * weights.sum(-1, keepdim=True)).sum(2)
        return (rescale * (weights @ v)).sum(2) / total

    return attention, right


@pair(q="b h n d", k1="b h m d", v1="b h m d", k2="b h p d", v2="b h p d")
def attention_merged_from_two_parts() -> Sides:
    """Two partial attentions merge by their maxima, sums and outputs: the online-softmax law."""

    def left(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        return attention(q, torch.cat([k1, k2], dim=2), torch.cat([v1, v2], dim=2))

    def part(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        top = scores.amax(-1, keepdim=True)
        weights = (scores - top).exp()
        return top, weights.sum(-1, keepdim=True), weights @ v

    def right(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        top1, sum1, out1 = part(q, k1, v1)
        top2, sum2, out2 = part(q, k2, v2)
        top = torch.maximum(top1, top2)
        a, b = (top1 - top).exp(), (top2 - top).exp()
        return (a * out1 + b * out2) / (a * sum1 + b * sum2)

    return left, right


@pair(q="b h n d", k1="b h m d", v1="b h m d", k2="b h p d", v2="b h p d")
def attention_merged_by_logsumexp() -> Sides:
    """Normalised partial attentions merge with weights exp(lse_i − lse): split-K decoding."""

    def left(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        return attention(q, torch.cat([k1, k2], dim=2), torch.cat([v1, v2], dim=2))

    def part(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return scores.logsumexp(-1, keepdim=True), scores.softmax(-1) @ v

    def right(q: Tensor, k1: Tensor, v1: Tensor, k2: Tensor, v2: Tensor) -> Tensor:
        lse1, out1 = part(q, k1, v1)
        lse2, out2 = part(q, k2, v2)
        lse = (lse1.exp() + lse2.exp()).log()
        return (lse1 - lse).exp() * out1 + (lse2 - lse).exp() * out2

    return left, right


@pair(q="b h n d", k="b h 3*r d", v="b h 3*r d")
def flash_attention_loop() -> Sides:
    """FlashAttention's loop over three blocks, from (−∞, 0, 0), rescaling at each step."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        top = torch.full_like(q[..., :1], float("-inf"))
        total = torch.zeros_like(q[..., :1])
        out = torch.zeros_like(q)
        for block_k, block_v in zip(k.chunk(3, dim=2), v.chunk(3, dim=2), strict=True):
            scores = q @ block_k.transpose(-2, -1) * scale
            new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
            weights = (scores - new_top).exp()
            rescale = (top - new_top).exp()
            total = total * rescale + weights.sum(-1, keepdim=True)
            out = out * rescale + weights @ block_v
            top = new_top
        return out / total

    return left, attention


@pair(x="n 4*r")
def logsumexp_block_by_block() -> Sides:
    """log Σ exp in four blocks, each rescaled to the largest so far."""

    def left(x: Tensor) -> Tensor:
        top = torch.full_like(x[:, 0], float("-inf"))
        total = torch.zeros_like(x[:, 0])
        for block in x.chunk(4, dim=1):
            higher = torch.maximum(top, block.amax(1))
            total = total * (top - higher).exp() + (block - higher[:, None]).exp().sum(1)
            top = higher
        return top + total.log()

    def right(x: Tensor) -> Tensor:
        return x.logsumexp(1)

    return left, right


@pair(x="b 4*r")
def tiled_sum() -> Sides:
    """A sum splits over blocks."""

    def left(x: Tensor) -> Tensor:
        return x.view(x.shape[0], 4, -1).sum(-1).sum(-1)

    def right(x: Tensor) -> Tensor:
        return x.sum(-1)

    return left, right


@pair(x="b t r")
def tiled_maximum() -> Sides:
    """A maximum splits over blocks."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).amax(-1)

    def right(x: Tensor) -> Tensor:
        return x.amax(1).amax(-1)

    return left, right


@pair(x="b t r")
def tiled_mean() -> Sides:
    """With blocks of one length, the mean is the mean of the means."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).mean(-1)

    def right(x: Tensor) -> Tensor:
        return x.mean(-1).mean(-1)

    return left, right


@pair(x="b t r")
def tiled_logsumexp() -> Sides:
    """A log of a sum of exponentials folds: the outer one of the blocks' ones."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).logsumexp(-1)

    def right(x: Tensor) -> Tensor:
        return x.logsumexp(-1).logsumexp(-1)

    return left, right


@pair(x="b t r")
def tiled_softmax() -> Sides:
    """Softmax over a flattened axis, by each block's maximum and sum."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).softmax(-1)

    def right(x: Tensor) -> Tensor:
        block_max = x.amax(-1, keepdim=True)
        weights = (x - block_max).exp()
        rescale = (block_max - block_max.amax(1, keepdim=True)).exp()
        total = (rescale * weights.sum(-1, keepdim=True)).sum(1, keepdim=True)
        return (rescale * weights / total).flatten(1)

    return left, right


@pair(x="n t*r", y="t*r m", shape="t r")
def tiled_matmul() -> Sides:
    """A contraction splits over blocks of the contracted axis (split-K)."""

    def left(x: Tensor, y: Tensor, shape: Tensor) -> Tensor:
        return x @ y

    def right(x: Tensor, y: Tensor, shape: Tensor) -> Tensor:
        t, r = shape.shape
        blocks = x.view(-1, t, r).transpose(0, 1) @ y.view(t, r, -1)
        return blocks.sum(0)

    return left, right


# Softmax and its relatives


@pair(x="b n", c="b 1")
def softmax_shift() -> Sides:
    """exp(x + c) = exp(x)·exp(c), and the common factor cancels."""

    def left(x: Tensor, c: Tensor) -> Tensor:
        return (x + c).softmax(-1)

    def right(x: Tensor, c: Tensor) -> Tensor:
        return x.softmax(-1)

    return left, right


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis, by PyTorch."""
    return x.softmax(-1)


@pair(x="b n")
def stable_softmax_is_naive() -> Sides:
    """Softmax shift with c = −max x."""

    def left(x: Tensor) -> Tensor:
        e = (x - x.amax(-1, keepdim=True)).exp()
        return e / e.sum(-1, keepdim=True)

    def right(x: Tensor) -> Tensor:
        return x.exp() / x.exp().sum(-1, keepdim=True)

    return left, right


@pair(x="b n")
def naive_softmax_is_softmax() -> Sides:
    """The definition of softmax."""

    def left(x: Tensor) -> Tensor:
        return x.exp() / x.exp().sum(-1, keepdim=True)

    return left, softmax


@pair(x="b n")
def softmax_by_logsumexp() -> Sides:
    """exp(x − log Z) = exp(x)/Z where Z > 0."""

    def left(x: Tensor) -> Tensor:
        return (x - x.logsumexp(-1, keepdim=True)).exp()

    return left, softmax


@pair(x="b n")
def log_softmax_is_log_of_softmax() -> Sides:
    """log(exp(x)/Z) = x − log Z where Z > 0."""

    def left(x: Tensor) -> Tensor:
        return x.softmax(-1).log()

    def right(x: Tensor) -> Tensor:
        return x.log_softmax(-1)

    return left, right


@pair(x="b n")
def log_softmax_by_logsumexp() -> Sides:
    """The definition of log-softmax."""

    def left(x: Tensor) -> Tensor:
        return x - x.logsumexp(-1, keepdim=True)

    def right(x: Tensor) -> Tensor:
        return F.log_softmax(x, dim=-1)

    return left, right


@pair(x="b n")
def logsumexp_by_definition() -> Sides:
    """log Σ exp x, with or without the shift by the maximum."""

    def left(x: Tensor) -> Tensor:
        top = x.amax(-1)
        return top + (x - top.unsqueeze(-1)).exp().sum(-1).log()

    def right(x: Tensor) -> Tensor:
        return x.exp().sum(-1).log()

    return left, right


@pair(x="b n")
def softmax_sums_to_one() -> Sides:
    """Σ e/Z = Z/Z = 1, because Z > 0."""

    def left(x: Tensor) -> Tensor:
        return x.softmax(-1).sum(-1)

    def right(x: Tensor) -> Tensor:
        return torch.ones_like(x[:, 0])

    return left, right


@pair(x="b n m")
def softmax_over_two_axes() -> Sides:
    """Softmax over a flattened pair of axes normalises by the sum over both."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).softmax(-1).view_as(x)

    def right(x: Tensor) -> Tensor:
        return x.exp() / x.exp().sum(dim=(1, 2), keepdim=True)

    return left, right


@pair(x="b n m")
def softmax_over_the_middle_axis() -> Sides:
    """Softmax over an axis is softmax over the last one after transposing."""

    def left(x: Tensor) -> Tensor:
        return x.softmax(dim=1)

    def right(x: Tensor) -> Tensor:
        return x.transpose(1, 2).softmax(dim=-1).transpose(1, 2)

    return left, right


@pair(x="b n", y="b n")
def sigmoid_is_softmax_of_two() -> Sides:
    """exp(x)/(exp(x) + exp(y)) = 1/(1 + exp(−(x − y)))."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], dim=-1).softmax(-1)[..., 0]

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.sigmoid(x - y)

    return left, right


@pair(logits="b c", targets="b c")
def cross_entropy_with_soft_targets() -> Sides:
    """The definition of cross entropy, as the mean over the batch."""

    def left(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets)

    def right(logits: Tensor, targets: Tensor) -> Tensor:
        return -(targets * logits.log_softmax(-1)).sum(-1).mean()

    return left, right


def one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """1 at the label of each row, and else 0."""
    classes = torch.arange(logits.shape[-1])
    return (labels.unsqueeze(-1) == classes).to(logits.dtype)


@pair(logits="b c", labels="b : int", assume=("labels < c",))
def cross_entropy_with_one_hot_labels() -> Sides:
    """Σ t·(x − log Z) = Σ t·x − log Z for a one-hot t, whose entries sum to 1."""

    def left(logits: Tensor, labels: Tensor) -> Tensor:
        return -(one_hot(logits, labels) * logits.log_softmax(-1)).sum(-1).mean()

    def right(logits: Tensor, labels: Tensor) -> Tensor:
        chosen = (one_hot(logits, labels) * logits).sum(-1)
        return (logits.logsumexp(-1) - chosen).mean()

    return left, right


@pair(x="b n", y="b n")
def kl_divergence_of_softmaxes() -> Sides:
    """Σ p·(log p − log q) = Σ p·(x − y) − log Z_x + log Z_y, because Σ p = 1."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        p = x.softmax(-1)
        return (p * (p.log() - y.softmax(-1).log())).sum(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        cross = (x.softmax(-1) * (x - y)).sum(-1)
        return cross - x.logsumexp(-1) + y.logsumexp(-1)

    return left, right


@pair(x="b n")
def entropy_of_softmax() -> Sides:
    """−Σ p·log p = log Z − Σ p·x, because Σ p = 1."""

    def left(x: Tensor) -> Tensor:
        p = x.softmax(-1)
        return -(p * p.log()).sum(-1)

    def right(x: Tensor) -> Tensor:
        return x.logsumexp(-1) - (x.softmax(-1) * x).sum(-1)

    return left, right


# Masks


def causal_by_tril(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention with a lower-triangular matrix of booleans and masked_fill."""
    n, m = q.shape[-2], k.shape[-2]
    mask = torch.tril(torch.ones(n, m, dtype=torch.bool))
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_by_tril_is_sdpa() -> Sides:
    """tril keeps j ≤ i; a row always sees key 0."""
    return causal_by_tril, sdpa_causal


@pair(q="b h n d", k="b h n d", v="b h n d")
def causal_self_attention_is_sdpa() -> Sides:
    """The same with as many keys as queries."""
    return causal_by_tril, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_by_triu_is_sdpa() -> Sides:
    """triu(1) is the complement of tril: j ≥ i + 1 is not j ≤ i."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, m = q.shape[-2], k.shape[-2]
        future = torch.triu(torch.ones(n, m, dtype=torch.bool), diagonal=1)
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return scores.masked_fill(future, float("-inf")).softmax(-1) @ v

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_by_arange_is_sdpa() -> Sides:
    """A comparison of positions and where: j ≤ i."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows, columns = torch.arange(q.shape[-2]), torch.arange(k.shape[-2])
        mask = columns[None, :] <= rows[:, None]
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return torch.where(mask, scores, float("-inf")).softmax(-1) @ v

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_by_addition_is_sdpa() -> Sides:
    """x + −∞ = −∞ and x + 0 = x: an additive mask is a boolean one."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, m = q.shape[-2], k.shape[-2]
        mask = torch.triu(torch.full((n, m), float("-inf")), diagonal=1)
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + mask).softmax(-1) @ v

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_by_weights_is_sdpa() -> Sides:
    """exp(−∞) = 0: masking scores is multiplying the exponentials by 0 or 1."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=q.dtype).tril()
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).exp() * mask
        return weights @ v / weights.sum(-1, keepdim=True)

    return left, sdpa_causal


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_masks_two_idioms() -> Sides:
    """tril with where, and a comparison i ≥ j with masked_fill, scaling after the mask."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.ones(q.shape[-2], k.shape[-2]).tril() == 0
        scores = (q @ k.transpose(-2, -1)).masked_fill(mask, float("-inf"))
        return (scores * q.shape[-1] ** -0.5).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.arange(q.shape[-2]).view(-1, 1) >= torch.arange(k.shape[-2])
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return torch.where(mask, scores, float("-inf")).softmax(-1) @ v

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d")
def causal_mask_given_to_sdpa() -> Sides:
    """A causal mask given as attn_mask is is_causal."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n = q.shape[-2]
        mask = torch.ones(n, n, dtype=torch.bool).tril()
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return left, sdpa_causal


@pair(
    q="b h n d",
    k="b h m d",
    v="b h m d",
    mask="b 1 n m : bool",
    assume=("every row of mask has a True",),
)
def boolean_mask_is_sdpa() -> Sides:
    """A row without a True would be undefined on the left and 0 on the right."""

    def left(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return scores.masked_fill(mask.logical_not(), float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", mask="b 1 n m : bool")
def boolean_mask_two_idioms() -> Sides:
    """where and masked_fill agree also on rows without a True: both are undefined there."""

    def left(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        return torch.where(mask, scores, float("-inf")).softmax(-1) @ v

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", bias="h n m")
def additive_mask_is_sdpa() -> Sides:
    """A real additive mask, such as a position bias, broadcasts over the batch."""

    def left(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)

    return left, right


@pair(scores="b h n n", slope="h 1 1")
def alibi_by_key_position() -> Sides:
    """slope·(j − i) and slope·j differ by a constant of the row, which softmax ignores."""

    def left(scores: Tensor, slope: Tensor) -> Tensor:
        position = torch.arange(scores.shape[-1])
        return (scores + slope * (position[None, :] - position[:, None])).softmax(-1)

    def right(scores: Tensor, slope: Tensor) -> Tensor:
        return (scores + slope * torch.arange(scores.shape[-1])).softmax(-1)

    return left, right


@pair(x="b n n")
def tril_is_where() -> Sides:
    """tril keeps the entries with j ≤ i and puts 0 elsewhere."""

    def left(x: Tensor) -> Tensor:
        return x.tril()

    def right(x: Tensor) -> Tensor:
        position = torch.arange(x.shape[-1])
        return torch.where(position[:, None] >= position, x, 0.0)

    return left, right


@pair(x="b n n")
def upper_and_lower_triangle() -> Sides:
    """tril(x) + triu(x, 1) = x: the predicates exclude each other and cover all."""

    def left(x: Tensor) -> Tensor:
        return x.tril() + x.triu(1)

    def right(x: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n", mask="b n : bool")
def masked_sum_two_ways() -> Sides:
    """Multiplying by 0 or 1 is choosing the value or 0, for real values."""

    def left(x: Tensor, mask: Tensor) -> Tensor:
        return (x * mask.to(x.dtype)).sum(-1)

    def right(x: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, x, 0.0).sum(-1)

    return left, right


# Linear attention and other associations


@pair(q="b h n d", k="b h m d", v="b h m e")
def product_reassociated() -> Sides:
    """(Q Kᵀ) V = Q (Kᵀ V): contractions exchange."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1)) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return q @ (k.transpose(-2, -1) @ v)

    return left, right


@pair(a="n m", b="m p", c="p r")
def matmul_is_associative() -> Sides:
    """(A B) C = A (B C)."""

    def left(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return a @ b @ c

    def right(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return a @ (b @ c)

    return left, right


@pair(a="n m", b="m p", c="p r", d="r s")
def matmul_chain_of_four() -> Sides:
    """(A B)(C D), and by einsum from left to right."""

    def left(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return (a @ b) @ (c @ d)

    def right(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return torch.einsum("nm,mp,pr,rs->ns", a, b, c, d)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def linear_attention_left_and_right() -> Sides:
    """Positive features instead of exp: numerator and normaliser both reassociate."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = q.sigmoid() @ k.sigmoid().transpose(-2, -1)
        return (weights / weights.sum(-1, keepdim=True)) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = q.sigmoid(), k.sigmoid()
        numerator = q @ (k.transpose(-2, -1) @ v)
        return numerator / (q * k.sum(-2, keepdim=True)).sum(-1, keepdim=True)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def linear_attention_with_elu_features() -> Sides:
    """The same with elu(x) + 1, the features of Katharopoulos and others (2020)."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.elu(q) + 1, F.elu(k) + 1
        weights = torch.einsum("bhnd,bhmd->bhnm", q, k)
        return torch.einsum("bhnm,bhme->bhne", weights, v) / weights.sum(-1, keepdim=True)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.elu(q) + 1, F.elu(k) + 1
        state = torch.einsum("bhmd,bhme->bhde", k, v)
        normaliser = torch.einsum("bhnd,bhd->bhn", q, k.sum(2))
        return torch.einsum("bhnd,bhde->bhne", q, state) / normaliser.unsqueeze(-1)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def spherical_attention_collapses() -> Sides:
    """‖S row‖² = q·(Kᵀ K)·q, so that L2-normalised scores need no n × m matrix."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1)
        return scores / scores.norm(dim=-1, keepdim=True) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        gram = k.transpose(-2, -1) @ k
        square = torch.einsum("bhnd,bhde,bhne->bhn", q, gram, q)
        return q @ (k.transpose(-2, -1) @ v) / square.sqrt().unsqueeze(-1)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m e")
def spherical_attention_by_diagonal() -> Sides:
    """The same with the norm read off the diagonal of Q KᵀK Qᵀ."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1)
        return scores / scores.square().sum(-1, keepdim=True).sqrt() @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        gram = k.transpose(-2, -1) @ k
        square = (q @ gram @ q.transpose(-2, -1)).diagonal(dim1=-2, dim2=-1)
        return q @ (k.transpose(-2, -1) @ v) / square.sqrt().unsqueeze(-1)

    return left, right


@pair(q="b n d", k="b m d")
def quadratic_kernel_by_features() -> Sides:
    """(q·k)² = Σ_ij q_i q_j k_i k_j: the square of a sum is a double sum."""

    def left(q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1)) ** 2

    def right(q: Tensor, k: Tensor) -> Tensor:
        q2 = (q.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)
        k2 = (k.unsqueeze(-1) * k.unsqueeze(-2)).flatten(-2)
        return q2 @ k2.transpose(-2, -1)

    return left, right


@pair(q="b h n d", latent="b m r", up_k="h r d", up_v="h r e", out="h e c")
def latent_attention_absorbed() -> Sides:
    """q·(W c) = (Wᵀ q)·c: up-projections move from the keys and values to queries and output."""

    def left(q: Tensor, latent: Tensor, up_k: Tensor, up_v: Tensor, out: Tensor) -> Tensor:
        k = torch.einsum("bmr,hrd->bhmd", latent, up_k)
        v = torch.einsum("bmr,hre->bhme", latent, up_v)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return torch.einsum("bhne,hec->bnc", weights @ v, out)

    def right(q: Tensor, latent: Tensor, up_k: Tensor, up_v: Tensor, out: Tensor) -> Tensor:
        absorbed_q = torch.einsum("bhnd,hrd->bhnr", q, up_k)
        scores = torch.einsum("bhnr,bmr->bhnm", absorbed_q, latent) * q.shape[-1] ** -0.5
        context = torch.einsum("bhnm,bmr->bhnr", scores.softmax(-1), latent)
        absorbed_out = torch.einsum("hre,hec->hrc", up_v, out)
        return torch.einsum("bhnr,hrc->bnc", context, absorbed_out)

    return left, right


# Heads and groups


@pair(x="b n c", wq="h d c", wk="h d c", wv="h d c", wo="c h d")
def multi_head_as_block_contraction() -> Sides:
    """Projecting concatenated heads is summing the heads' projections: h·d splits into h and d."""

    def heads(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bnc,hdc->bhnd", x, w) for w in (wq, wk, wv))
        return attention(q, k, v)

    def left(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
        joined = heads(x, wq, wk, wv).transpose(1, 2).flatten(2)
        return joined @ wo.flatten(1).transpose(0, 1)

    def right(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
        each = torch.einsum("bhnd,chd->bhnc", heads(x, wq, wk, wv), wo)
        return each.sum(1)

    return left, right


@pair(x="b n c", wq="4*d c", wk="4*d c", wv="4*d c", wo="c 4*d")
def multi_head_with_four_heads() -> Sides:
    """The usual module code (view, transpose, reshape) against einsum with an axis for heads."""

    def left(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (F.linear(x, w).view(b, n, 4, -1).transpose(1, 2) for w in (wq, wk, wv))
        out = sdpa(q, k, v).transpose(1, 2).reshape(b, n, -1)
        return F.linear(out, wo)

    def right(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bnc,hdc->bnhd", x, w.unflatten(0, (4, -1))) for w in (wq, wk, wv))
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[-1] ** 0.5
        out = torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v)
        return torch.einsum("bnhd,chd->bnc", out, wo.unflatten(1, (4, -1)))

    return left, right


@pair(x="b n h*d", w="h d", g="c h*d")
def scale_of_heads_by_view() -> Sides:
    """A weight for each head and channel, by splitting the channels or flattening the weight."""

    def left(x: Tensor, w: Tensor, g: Tensor) -> Tensor:
        b, n, _ = x.shape
        h, d = w.shape
        return F.linear((x.view(b, n, h, d) * w).reshape(b, n, h * d), g)

    def right(x: Tensor, w: Tensor, g: Tensor) -> Tensor:
        return x @ (g * w.reshape(-1)).transpose(0, 1)

    return left, right


@pair(q="b 4*g n d", k="b g m d", v="b g m d")
def grouped_queries_repeat_keys() -> Sides:
    """Query head 4·i + j uses key head i: repeated keys are a reindexing of the keys."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.repeat_interleave(4, dim=1), v.repeat_interleave(4, dim=1))

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = q.unflatten(1, (-1, 4))
        scores = torch.einsum("bgrnd,bgmd->bgrnm", q, k) * q.shape[-1] ** -0.5
        return torch.einsum("bgrnm,bgmd->bgrnd", scores.softmax(-1), v).flatten(1, 2)

    return left, right


@pair(q="b 4*g n d", k="b g m d", v="b g m d")
def grouped_queries_expand_keys() -> Sides:
    """expand and reshape repeat each key head as repeat_interleave does."""

    def repeat(x: Tensor) -> Tensor:
        b, g, m, d = x.shape
        return x[:, :, None].expand(b, g, 4, m, d).reshape(b, 4 * g, m, d)

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, repeat(k), repeat(v))

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return sdpa(q, k.repeat_interleave(4, dim=1), v.repeat_interleave(4, dim=1))

    return left, right


@pair(q="b 2*g n d", k="b g m d", v="b g m d")
def grouped_queries_is_enable_gqa() -> Sides:
    """PyTorch's enable_gqa repeats each key head for consecutive query heads."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1))

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    return left, right


@pair(q="b g r n d", k="b g m d", v="b g m d")
def grouped_queries_of_any_number() -> Sides:
    """For any number r of queries in a group: broadcasting keys is repeating them."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k.unsqueeze(2), v.unsqueeze(2))

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, g, r, n, d = q.shape
        k = k[:, :, None].expand(-1, -1, r, -1, -1).flatten(1, 2)
        v = v[:, :, None].expand(-1, -1, r, -1, -1).flatten(1, 2)
        return attention(q.flatten(1, 2), k, v).view(b, g, r, n, d)

    return left, right


@pair(q="b h n d", k="b m d", v="b m d")
def multi_query_attention_broadcasts() -> Sides:
    """One key head for all query heads, broadcast or expanded."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k[:, None], v[:, None])

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        h = q.shape[1]
        return sdpa(q, k[:, None].expand(-1, h, -1, -1), v[:, None].expand(-1, h, -1, -1))

    return left, right


# Norms


@pair(x="b n d", weight="d", bias="d")
def layer_norm_in_one_pass() -> Sides:
    """The variance is E[x²] − E[x]²."""

    def left(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        var = (x * x).mean(-1, keepdim=True) - mean * mean
        return (x - mean) * torch.rsqrt(var + 1e-5) * weight + bias

    def right(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), weight, bias)

    return left, right


@pair(x="b n d", weight="d", bias="d")
def layer_norm_by_definition() -> Sides:
    """(x − μ)/√(σ² + ε)·γ + β with the biased variance."""

    def left(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        var = x.var(-1, keepdim=True, unbiased=False)
        return centred / (var + 1e-5).sqrt() * weight + bias

    def right(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), weight, bias)

    return left, right


@pair(x="b n d")
def layer_norm_is_rms_norm_of_centred() -> Sides:
    """Centring makes the mean square the variance."""

    def left(x: Tensor) -> Tensor:
        return rms_norm(x - x.mean(-1, keepdim=True), eps=1e-5)

    return left, layer_norm


@pair(x="b n d", c="b n 1")
def layer_norm_ignores_shifts() -> Sides:
    """The mean moves with a shift, so that the centred values stay."""

    def left(x: Tensor, c: Tensor) -> Tensor:
        return layer_norm(x + c)

    def right(x: Tensor, c: Tensor) -> Tensor:
        return layer_norm(x)

    return left, right


@pair(x="b n d", gain="d", w="e d")
def rms_norm_folds_into_linear() -> Sides:
    """Σ (x·g)·w = Σ x·(g·w): the gain scales the columns of the next weight."""

    def left(x: Tensor, gain: Tensor, w: Tensor) -> Tensor:
        return F.linear(rms_norm(x) * gain, w)

    def right(x: Tensor, gain: Tensor, w: Tensor) -> Tensor:
        return F.linear(rms_norm(x), w * gain)

    return left, right


@pair(x="b n d", gain="d", w="e d")
def rms_norm_divides_after_linear() -> Sides:
    """The root mean square does not depend on the column, and divides after the product."""

    def left(x: Tensor, gain: Tensor, w: Tensor) -> Tensor:
        return F.linear(F.rms_norm(x, (x.shape[-1],), gain, eps=1e-6), w)

    def right(x: Tensor, gain: Tensor, w: Tensor) -> Tensor:
        root = (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return (x @ (w * gain).T) / root

    return left, right


@pair(x="b n d", gain="d")
def rms_norm_by_definition() -> Sides:
    """F.rms_norm is x/√(mean x² + ε)·γ."""

    def left(x: Tensor, gain: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), gain, eps=1e-6)

    def right(x: Tensor, gain: Tensor) -> Tensor:
        return gain * x / (x.pow(2).sum(-1, keepdim=True) / x.shape[-1] + 1e-6).sqrt()

    return left, right


@pair(x="b n d", gain="d", shift="d", w="e d", bias="e")
def layer_norm_folds_into_linear() -> Sides:
    """W(γ·x̂ + β) + b = (W·γ)x̂ + (Wβ + b)."""

    def left(x: Tensor, gain: Tensor, shift: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(F.layer_norm(x, (x.shape[-1],), gain, shift), w, bias)

    def right(x: Tensor, gain: Tensor, shift: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(layer_norm(x), w * gain, w @ shift + bias)

    return left, right


@pair(x="b c", w="f c", b="f", mean="f", var="f", gain="f", shift="f")
def batch_norm_folds_into_linear() -> Sides:
    """In evaluation, batch norm is an affine map of each channel and joins the linear layer."""

    def left(
        x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor, gain: Tensor, shift: Tensor
    ) -> Tensor:
        return (F.linear(x, w, b) - mean) / (var.square() + 1e-5).sqrt() * gain + shift

    def right(
        x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor, gain: Tensor, shift: Tensor
    ) -> Tensor:
        scale = gain * torch.rsqrt(var.square() + 1e-5)
        return F.linear(x, w * scale[:, None], (b - mean) * scale + shift)

    return left, right


@pair(x="b n")
def variance_two_ways() -> Sides:
    """E[(x − μ)²] = E[x²] − μ²."""

    def left(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)).square().mean(-1)

    def right(x: Tensor) -> Tensor:
        return (x**2).mean(-1) - x.mean(-1) ** 2

    return left, right


@pair(x="b n")
def variance_is_biased_variance() -> Sides:
    """unbiased=False divides by n."""

    def left(x: Tensor) -> Tensor:
        return x.var(-1, unbiased=False)

    def right(x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return (centred * centred).sum(-1) / x.shape[-1]

    return left, right


@pair(x="b n", assume=("n >= 2",))
def variance_is_unbiased_variance() -> Sides:
    """By default the sum of squares is divided by n − 1, which wants n ≥ 2."""

    def left(x: Tensor) -> Tensor:
        return x.var(-1)

    def right(x: Tensor) -> Tensor:
        n = x.shape[-1]
        return (x.square().sum(-1) - x.sum(-1).square() / n) / (n - 1)

    return left, right


@pair(x="b n", assume=("n >= 2",))
def standard_deviation_is_root_of_variance() -> Sides:
    """std = √var."""

    def left(x: Tensor) -> Tensor:
        return x.std(-1)

    def right(x: Tensor) -> Tensor:
        return x.var(-1).sqrt()

    return left, right


@pair(x="b n")
def standardised_values() -> Sides:
    """(x − μ)/√var, over a column or a row of the transpose."""

    def left(x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-8).sqrt()

    def right(x: Tensor) -> Tensor:
        y = x.T
        centred = y - y.mean(1, keepdim=True)
        return (centred * (centred.pow(2).mean(1, keepdim=True) + 1e-8).rsqrt()).T

    return left, right


@pair(x="b n d")
def norm_commutes_with_reshape() -> Sides:
    """A norm over channels broadcasts over positions, flattened or not."""

    def left(x: Tensor) -> Tensor:
        return layer_norm(x.flatten(0, 1)).view_as(x)

    return left, layer_norm


@pair(q="b n d", k="b m d")
def cosine_similarity_two_ways() -> Sides:
    """Normalising both operands is dividing the scores by both norms."""

    def left(q: Tensor, k: Tensor) -> Tensor:
        q = q / q.norm(dim=-1, keepdim=True)
        return q @ (k / k.norm(dim=-1, keepdim=True)).mT

    def right(q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT) / (q.norm(dim=-1)[:, :, None] * k.norm(dim=-1)[:, None, :])

    return left, right


@pair(q="b n d", k="b m d")
def normalize_two_ways() -> Sides:
    """F.normalize divides by max(‖x‖, 1e-12), which leaves the product."""

    def left(q: Tensor, k: Tensor) -> Tensor:
        return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT

    def right(q: Tensor, k: Tensor) -> Tensor:
        norms = (x.square().sum(-1).sqrt().clamp(min=1e-12) for x in (q, k))
        q_norm, k_norm = norms
        return torch.einsum("bnd,bmd->bnm", q, k) / q_norm[:, :, None] / k_norm[:, None]

    return left, right


# Linear layers


@pair(x="b n d", w="e d", b="e")
def linear_is_matmul_and_bias() -> Sides:
    """F.linear(x, W, b) = x Wᵀ + b."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w, b)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return x @ w.T + b

    return left, right


@pair(x="b n d", w="e d", b="e")
def linear_by_einsum() -> Sides:
    """A linear layer contracts the last axis."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w, b)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("bnd,ed->bne", x, w) + b

    return left, right


@pair(x="b n d", w="e d", b="e")
def linear_of_flattened_rows() -> Sides:
    """A linear layer broadcasts over leading axes."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x.reshape(-1, x.shape[-1]), w, b).view(x.shape[0], x.shape[1], -1)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w, b)

    return left, right


@pair(x="b n d", w="e d")
def linear_as_broadcast_sum() -> Sides:
    """A contraction is a pointwise product and a sum."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return (x.unsqueeze(-2) * w).sum(-1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    return left, right


@pair(x="n d", w="d e", b="e")
def addmm_is_matmul_and_bias() -> Sides:
    """addmm(b, x, w) = b + x w."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return torch.addmm(b, x, w)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return x.mm(w) + b

    return left, right


@pair(c="b n m", x="b n d", y="b d m")
def baddbmm_with_factors() -> Sides:
    """baddbmm(c, x, y, β, α) = β·c + α·(x y)."""

    def left(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.baddbmm(c, x, y, beta=0.5, alpha=2.0)

    def right(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return c / 2 + (2 * x) @ y

    return left, right


@pair(x="b n d", w1="f d", b1="f", w2="e f", b2="e")
def two_linear_layers_merge() -> Sides:
    """W₂(W₁x + b₁) + b₂ = (W₂W₁)x + (W₂b₁ + b₂)."""

    def left(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return F.linear(F.linear(x, w1, b1), w2, b2)

    def right(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return F.linear(x, w2 @ w1, w2 @ b1 + b2)

    return left, right


@pair(x="b n d", w="e d", a="r d", b="e r")
def lora_merged() -> Sides:
    """x Wᵀ + s·(x Aᵀ) Bᵀ = x (W + s·B A)ᵀ."""

    def left(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w) + 0.5 * F.linear(F.linear(x, a), b)

    def right(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w + 0.5 * (b @ a))

    return left, right


@pair(x="b n c", w="3*d c", bias="3*d")
def packed_projections_split() -> Sides:
    """A linear layer commutes with cutting its output into parts."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        q, k, v = F.linear(x, w, bias).chunk(3, dim=-1)
        return attention(q, k, v)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (F.linear(x, *wb) for wb in zip(w.chunk(3), bias.chunk(3), strict=True))
        return sdpa(q, k, v)

    return left, right


@pair(x="b n c", wq="d c", wk="d c", wv="e c")
def packed_projections_of_concatenated_weights() -> Sides:
    """A linear layer of stacked weights is the concatenation of the layers."""

    def left(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
        d, e = wq.shape[0], wv.shape[0]
        q, k, v = F.linear(x, torch.cat([wq, wk, wv])).split([d, d, e], dim=-1)
        return attention(q, k, v)

    def right(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
        return attention(F.linear(x, wq), F.linear(x, wk), F.linear(x, wv))

    return left, right


@pair(x="b n c", w="3*4*d c")
def packed_projections_by_view() -> Sides:
    """qkv.view(b, n, 3, heads, d) against slices of the weight: the digits are the same."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = F.linear(x, w).view(b, n, 3, 4, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return sdpa(q, k, v).transpose(1, 2).flatten(2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        c = w.shape[0] // 3
        q, k, v = (
            F.linear(x, part).unflatten(-1, (4, -1)).transpose(1, 2)
            for part in (w[:c], w[c : 2 * c], w[2 * c :])
        )
        return attention(q, k, v).permute(0, 2, 1, 3).flatten(2)

    return left, right


@pair(x="b n c", gate="f c", up="f c", down="c f")
def swiglu_packed_and_split() -> Sides:
    """Gate and up projections in one matrix, cut after the product."""

    def left(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        a, b = F.linear(x, torch.cat([gate, up])).chunk(2, dim=-1)
        return F.linear(F.silu(a) * b, down)

    def right(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)

    return left, right


@pair(x="b n c", w="2*f c")
def glu_is_gated_half() -> Sides:
    """F.glu cuts the last axis in two: a·σ(b)."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.glu(F.linear(x, w), dim=-1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        f = w.shape[0] // 2
        return F.linear(x, w[:f]) * torch.sigmoid(F.linear(x, w[f:]))

    return left, right


@pair(x="b n c", w1="2*f c", w2="c 2*f")
def tensor_parallel_mlp() -> Sides:
    """Column- then row-parallel: the hidden axis is cut, and the partial outputs are added."""

    def left(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(x, w1)), w2)

    def right(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        f = w1.shape[0] // 2
        first = F.linear(F.relu(F.linear(x, w1[:f])), w2[:, :f])
        return first + F.linear(F.relu(F.linear(x, w1[f:])), w2[:, f:])

    return left, right


@pair(x="b n c", w1a="f c", w1b="g c", w2a="c f", w2b="c g")
def tensor_parallel_mlp_of_unequal_shards() -> Sides:
    """The same with shards of any two widths, concatenated for the whole layer."""

    def left(x: Tensor, w1a: Tensor, w1b: Tensor, w2a: Tensor, w2b: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(x, torch.cat([w1a, w1b], dim=0)))
        return F.linear(hidden, torch.cat([w2a, w2b], dim=1))

    def right(x: Tensor, w1a: Tensor, w1b: Tensor, w2a: Tensor, w2b: Tensor) -> Tensor:
        partial = [F.linear(F.gelu(F.linear(x, u)), d) for u, d in ((w1a, w2a), (w1b, w2b))]
        return torch.stack(partial).sum(0)

    return left, right


@pair(x="b n c", w="2*f c")
def column_parallel_linear() -> Sides:
    """Columns computed apart and concatenated are the whole."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        first, second = w.chunk(2)
        return torch.cat([F.linear(x, first), F.linear(x, second)], dim=-1)

    return left, right


@pair(x="b n 2*c", w="e 2*c")
def row_parallel_linear() -> Sides:
    """A contraction over a cut axis is the sum over its parts."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, dim=-1)
        w1, w2 = w.chunk(2, dim=-1)
        return x1 @ w1.T + x2 @ w2.T

    return left, right


@pair(x="b n c", y="b n d", w="e c+d")
def linear_of_concatenation() -> Sides:
    """[x, y] Wᵀ = x W₁ᵀ + y W₂ᵀ, with the weight cut where the inputs join."""

    def left(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return F.linear(torch.cat([x, y], dim=-1), w)

    def right(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        c = x.shape[-1]
        return F.linear(x, w[:, :c]) + F.linear(y, w[:, c:])

    return left, right


@pair(x="b n c", y="b m c", w="e c", bias="e")
def linear_of_sequence_chunks() -> Sides:
    """A linear layer broadcasts over positions: chunks of a sequence are computed apart."""

    def left(x: Tensor, y: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(torch.cat([x, y], dim=1), w, bias)

    def right(x: Tensor, y: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return torch.cat([F.linear(x, w, bias), F.linear(y, w, bias)], dim=1)

    return left, right


@pair(x="b n d", w="e d")
def mean_pool_commutes_with_linear() -> Sides:
    """A mean over positions is linear, and commutes with a linear layer."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w).mean(1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x.mean(1), w)

    return left, right


@pair(x="b n d", w="e d", b="e")
def mean_pool_commutes_with_affine() -> Sides:
    """The mean of a constant is the constant: the bias stays."""

    def left(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x, w, b).mean(1)

    def right(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.linear(x.sum(1) / x.shape[1], w, b)

    return left, right


@pair(x="b n d", f="d d", g="d d")
def residuals_reassociate() -> Sides:
    """(x + F x) + G x = x + (F x + G x): parallel branches."""

    def left(x: Tensor, f: Tensor, g: Tensor) -> Tensor:
        return x + F.relu(x @ f) + torch.tanh(x @ g)

    def right(x: Tensor, f: Tensor, g: Tensor) -> Tensor:
        return x + (torch.tanh(x @ g) + F.relu(x @ f))

    return left, right


@pair(x="b n d", w="d d")
def residual_folds_into_weight() -> Sides:
    """x + x W = x (1 + W): the residual is the identity matrix."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return x + x @ w

    def right(x: Tensor, w: Tensor) -> Tensor:
        return x @ (torch.eye(w.shape[0], dtype=w.dtype) + w)

    return left, right


@pair(ids="b n : int", table="v d", assume=("ids < v",))
def embedding_is_one_hot_matmul() -> Sides:
    """A sum against a Kronecker delta picks one term."""

    def left(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids, table)

    def right(ids: Tensor, table: Tensor) -> Tensor:
        one_hot = ids.unsqueeze(-1) == torch.arange(table.shape[0])
        return one_hot.to(table.dtype) @ table

    return left, right


@pair(ids="b n : int", table="v d", assume=("ids < v",))
def embedding_is_indexing() -> Sides:
    """F.embedding(ids, T) = T[ids]."""

    def left(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids, table)

    def right(ids: Tensor, table: Tensor) -> Tensor:
        return table[ids]

    return left, right


@pair(ids="b n : int", table="v d", w="e d", assume=("ids < v",))
def embedding_then_linear() -> Sides:
    """A gather commutes with a map of rows: the projected table is looked up."""

    def left(ids: Tensor, table: Tensor, w: Tensor) -> Tensor:
        return F.linear(F.embedding(ids, table), w)

    def right(ids: Tensor, table: Tensor, w: Tensor) -> Tensor:
        return F.embedding(ids, table @ w.T)

    return left, right


# Contractions and algebra


@pair(x="b n d", y="b d m")
def bmm_is_einsum() -> Sides:
    """A batched product contracts the inner axis."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.bmm(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bnd,bdm->bnm", x, y)

    return left, right


@pair(x="b h n d", y="b h m d")
def einsum_permutes_its_output() -> Sides:
    """The order of an einsum's output is a permutation."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bhnd,bhmd->bmhn", x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.transpose(-1, -2)).permute(0, 3, 1, 2)

    return left, right


@pair(a="b i", t="i j k", c="b k")
def bilinear_form_two_ways() -> Sides:
    """A three-operand einsum contracts in any order."""

    def left(a: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return torch.einsum("bi,ijk,bk->bj", a, t, c)

    def right(a: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return (torch.einsum("bi,ijk->bjk", a, t) @ c.unsqueeze(-1)).squeeze(-1)

    return left, right


@pair(x="b n h*d", w="h*d e", shape="h d")
def contraction_over_split_axes() -> Sides:
    """Contracting a flattened axis is contracting its two factors."""

    def left(x: Tensor, w: Tensor, shape: Tensor) -> Tensor:
        return x @ w

    def right(x: Tensor, w: Tensor, shape: Tensor) -> Tensor:
        h, d = shape.shape
        x = x.view(x.shape[0], x.shape[1], h, d)
        return torch.einsum("bnhd,hde->bne", x, w.view(h, d, -1))

    return left, right


@pair(a="n n")
def trace_by_einsum() -> Sides:
    """A repeated index reads the diagonal."""

    def left(a: Tensor) -> Tensor:
        return torch.einsum("ii->", a)

    def right(a: Tensor) -> Tensor:
        return a.diagonal().sum()

    return left, right


@pair(a="n m", b="m n")
def trace_is_cyclic() -> Sides:
    """tr(A B) = tr(B A)."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b).diagonal().sum()

    def right(a: Tensor, b: Tensor) -> Tensor:
        return (b @ a).diagonal().sum()

    return left, right


@pair(a="n m", b="n m")
def frobenius_product_is_trace() -> Sides:
    """Σ a·b = tr(Aᵀ B)."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum()

    def right(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("ij,ij->", a, b)

    return left, right


@pair(a="n m", b="m p")
def transpose_of_product() -> Sides:
    """(A B)ᵀ = Bᵀ Aᵀ."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b).T

    def right(a: Tensor, b: Tensor) -> Tensor:
        return b.T @ a.T

    return left, right


@pair(a="n m", b="n m", c="m p")
def matmul_distributes() -> Sides:
    """(A + B) C = A C + B C."""

    def left(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return (a + b) @ c

    def right(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return a @ c + b @ c

    return left, right


@pair(a="n m", b="n m", c="m p")
def matmul_distributes_over_difference() -> Sides:
    """(2A − B) C = 2(A C) − B C: linearity."""

    def left(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return (2 * a - b) @ c

    def right(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return (a @ c).mul(2).sub(b @ c)

    return left, right


@pair(x="n", y="m")
def outer_product_sums() -> Sides:
    """Σ_ij x_i y_j = (Σ x)(Σ y)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.outer(x, y).sum()

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.sum() * y.sum()

    return left, right


@pair(x="b n", y="b m")
def outer_product_three_ways() -> Sides:
    """A broadcast product is an einsum without contraction."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return x[:, :, None] * y[:, None, :]

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bn,bm->bnm", x, y)

    return left, right


@pair(u="n", v="m", x="m")
def outer_product_applied() -> Sides:
    """(u vᵀ) x = u (v·x)."""

    def left(u: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return torch.outer(u, v) @ x

    def right(u: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return u * torch.dot(v, x)

    return left, right


@pair(x="b n d")
def gram_matrix_two_ways() -> Sides:
    """X Xᵀ by matmul and by einsum, one tensor used twice."""

    def left(x: Tensor) -> Tensor:
        return x @ x.mT

    def right(x: Tensor) -> Tensor:
        return torch.einsum("bnd,bmd->bnm", x, x)

    return left, right


@pair(x="b n d")
def gram_matrix_is_symmetric() -> Sides:
    """X Xᵀ is its own transpose: multiplication commutes."""

    def left(x: Tensor) -> Tensor:
        return x @ x.mT

    def right(x: Tensor) -> Tensor:
        return (x @ x.mT).mT

    return left, right


@pair(x="b n d")
def squared_norms_from_gram_matrix() -> Sides:
    """The diagonal of X Xᵀ holds the squared norms."""

    def left(x: Tensor) -> Tensor:
        return (x @ x.mT).diagonal(dim1=-2, dim2=-1)

    def right(x: Tensor) -> Tensor:
        return x.square().sum(-1)

    return left, right


@pair(x="b n d", y="b m d")
def squared_distances_by_expansion() -> Sides:
    """‖x − y‖² = ‖x‖² + ‖y‖² − 2x·y."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, :, None] - y[:, None]).square().sum(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        squares = (x * x).sum(-1)[:, :, None] + (y * y).sum(-1)[:, None]
        return squares - 2 * (x @ y.mT)

    return left, right


@pair(q="b n d", k="b m d")
def gaussian_kernel_attention() -> Sides:
    """Softmax of −‖q − k‖²/2 is softmax of q·k − ‖k‖²/2: ‖q‖² is constant in a row."""

    def left(q: Tensor, k: Tensor) -> Tensor:
        return (-(q[:, :, None] - k[:, None]).square().sum(-1) / 2).softmax(-1)

    def right(q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT - k.square().sum(-1)[:, None] / 2).softmax(-1)

    return left, right


@pair(x="b n", y="b n")
def square_of_sum() -> Sides:
    """(x + y)² = x² + 2xy + y²."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x + y) ** 2

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x**2 + 2 * x * y + y**2

    return left, right


@pair(x="b n", y="b n")
def difference_of_squares() -> Sides:
    """(x + y)(x − y) = x² − y²."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x + y) * (x - y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.square() - y.square()

    return left, right


@pair(x="b n")
def polynomial_by_horner() -> Sides:
    """1 + 2x + 3x² + 4x³ with three multiplications."""

    def left(x: Tensor) -> Tensor:
        return 1 + 2 * x + 3 * x**2 + 4 * x**3

    def right(x: Tensor) -> Tensor:
        return 1 + x * (2 + x * (3 + 4 * x))

    return left, right


@pair(x="b n")
def mean_is_sum_over_size() -> Sides:
    """The definition of the mean."""

    def left(x: Tensor) -> Tensor:
        return x.mean(-1)

    def right(x: Tensor) -> Tensor:
        return x.sum(-1) / x.shape[-1]

    return left, right


@pair(x="b n m")
def mean_over_two_axes() -> Sides:
    """The mean over two axes divides by both sizes."""

    def left(x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2))

    def right(x: Tensor) -> Tensor:
        return x.sum(2).sum(1) / (x.shape[1] * x.shape[2])

    return left, right


@pair(x="b n", y="b n")
def mean_is_linear() -> Sides:
    """mean(3x − y) = 3·mean(x) − mean(y)."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (3 * x - y).mean(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return 3 * x.mean(-1) - y.mean(-1)

    return left, right


@pair(x="b n")
def centred_values_sum_to_zero() -> Sides:
    """Σ (x − mean x) = 0."""

    def left(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)).sum(-1)

    def right(x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, 0])

    return left, right


@pair(x="b n", y="b n")
def covariance_two_ways() -> Sides:
    """E[(x − μ)(y − ν)] = E[x y] − μ ν."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return ((x - x.mean(-1, keepdim=True)) * (y - y.mean(-1, keepdim=True))).mean(-1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).mean(-1) - x.mean(-1) * y.mean(-1)

    return left, right


@pair(a="n m", scale="m", b="m p")
def diagonal_between_products() -> Sides:
    """(A·s) B = A (s·B): a diagonal matrix scales columns or rows."""

    def left(a: Tensor, scale: Tensor, b: Tensor) -> Tensor:
        return (a * scale) @ b

    def right(a: Tensor, scale: Tensor, b: Tensor) -> Tensor:
        return a @ (scale[:, None] * b)

    return left, right


@pair(a="n m", row="n 1", b="m p")
def division_of_rows_moves_out() -> Sides:
    """(A / r) B = (A B) / r where r does not depend on the contracted axis."""

    def left(a: Tensor, row: Tensor, b: Tensor) -> Tensor:
        return (a / row) @ b

    def right(a: Tensor, row: Tensor, b: Tensor) -> Tensor:
        return (a @ b) / row

    return left, right


@pair(a="n m")
def product_with_identity() -> Sides:
    """A 1 = A: a sum against a Kronecker delta picks one term."""

    def left(a: Tensor) -> Tensor:
        return a @ torch.eye(a.shape[1], dtype=a.dtype)

    def right(a: Tensor) -> Tensor:
        return a

    return left, right


@pair(a="n m")
def product_with_ones_is_sum() -> Sides:
    """A 1 = row sums, for a vector of ones."""

    def left(a: Tensor) -> Tensor:
        return a @ torch.ones(a.shape[1], dtype=a.dtype)

    def right(a: Tensor) -> Tensor:
        return a.sum(1)

    return left, right


@pair(x="b n", y="b n")
def divisions_compose() -> Sides:
    """x/y/2 = x·(1/(2y))."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return x / y / 2

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x * (2 * y).reciprocal()

    return left, right


@pair(x="b n", y="b n")
def exponentials_multiply() -> Sides:
    """exp(x)·exp(y) = exp(x + y), and log(exp(x)·exp(y)) = x + y."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return (x.exp() * y.exp()).log()

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x + y

    return left, right


# Pointwise functions


@pair(x="b n")
def sigmoid_by_definition() -> Sides:
    """σ(x) = 1/(1 + exp(−x))."""

    def left(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def right(x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-x))

    return left, right


@pair(x="b n")
def sigmoid_with_positive_exponent() -> Sides:
    """exp(x)/(1 + exp(x)) = 1/(1 + exp(−x))."""

    def left(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def right(x: Tensor) -> Tensor:
        return x.exp() / (1 + x.exp())

    return left, right


@pair(x="b n")
def sigmoid_of_negative() -> Sides:
    """σ(−x) = 1 − σ(x)."""

    def left(x: Tensor) -> Tensor:
        return torch.sigmoid(-x)

    def right(x: Tensor) -> Tensor:
        return 1 - torch.sigmoid(x)

    return left, right


@pair(x="b n")
def derivative_of_sigmoid() -> Sides:
    """σ′ = σ·(1 − σ) = exp(x)/(1 + exp(x))²."""

    def left(x: Tensor) -> Tensor:
        return torch.sigmoid(x) * (1 - torch.sigmoid(x))

    def right(x: Tensor) -> Tensor:
        return x.exp() / (1 + x.exp()).square()

    return left, right


@pair(x="b n")
def tanh_is_scaled_sigmoid() -> Sides:
    """tanh(x) = 2σ(2x) − 1."""

    def left(x: Tensor) -> Tensor:
        return torch.tanh(x)

    def right(x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(2 * x) - 1

    return left, right


@pair(x="b n")
def tanh_is_odd_and_bounded() -> Sides:
    """tanh(−x) = −tanh(x), and 1 − tanh² = 4·σ(2x)·σ(−2x)."""

    def left(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(-x), 1 - torch.tanh(x).square()

    def right(x: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.tanh(x), 4 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)

    return left, right


@pair(x="b n")
def gelu_tanh_is_scaled_sigmoid() -> Sides:
    """x·(1 + tanh(u))/2 = x·σ(2u)."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    def right(x: Tensor) -> Tensor:
        return x * torch.sigmoid(2 * (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))

    return left, right


@pair(x="b n")
def silu_by_definition() -> Sides:
    """silu(x) = x·σ(x)."""

    def left(x: Tensor) -> Tensor:
        return F.silu(x)

    def right(x: Tensor) -> Tensor:
        return x / (1 + (-x).exp())

    return left, right


@pair(x="b n")
def gelu_tanh_by_definition() -> Sides:
    """The tanh form of GELU written out."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    def right(x: Tensor) -> Tensor:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + torch.tanh(inner))

    return left, right


@pair(x="b n")
def gelu_exact_by_definition() -> Sides:
    """GELU is x·Φ(x), with Φ the normal distribution: x/2·(1 + erf(x/√2))."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x)

    def right(x: Tensor) -> Tensor:
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))

    return left, right


@pair(x="b n")
def relu_is_clamp() -> Sides:
    """relu(x) = max(x, 0), by clamp."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return x.clamp(min=0)

    return left, right


@pair(x="b n")
def relu_is_maximum() -> Sides:
    """relu(x) = max(x, 0), by maximum with zeros."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return torch.maximum(x, torch.zeros_like(x))

    return left, right


@pair(x="b n")
def relu_is_where() -> Sides:
    """relu(x) = x where x > 0, and 0 elsewhere."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.0)

    return left, right


@pair(x="b n")
def relu_is_where_it_is_not_negative() -> Sides:
    """relu(x) = x where x ≥ 0, and 0 elsewhere; at 0 both are 0."""

    def left(x: Tensor) -> Tensor:
        return torch.where(x >= 0, x, torch.zeros_like(x))

    def right(x: Tensor) -> Tensor:
        return x.clamp(min=0)

    return left, right


@pair(x="b n", y="n")
def larger_and_smaller_are_where() -> Sides:
    """max(x, y) and min(x, y) by comparing them, from either side."""

    def left(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return torch.maximum(x, y), torch.minimum(x, y)

    def right(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(x > y, x, y), torch.where(x > y, y, x)

    return left, right


@pair(x="b n")
def hard_tanh_is_two_choices() -> Sides:
    """Cut off at −1 and 1: by a choice at each."""

    def left(x: Tensor) -> Tensor:
        return F.hardtanh(x)

    def right(x: Tensor) -> Tensor:
        above = torch.where(x < -1, -1.0, x)
        return torch.where(above > 1, 1.0, above)

    return left, right


@pair(x="b n")
def relu_from_absolute_value() -> Sides:
    """relu(x) = (x + |x|)/2."""

    def left(x: Tensor) -> Tensor:
        return F.relu(x)

    def right(x: Tensor) -> Tensor:
        return (x + x.abs()) / 2

    return left, right


@pair(x="b n", y="b n")
def larger_by_half_the_distance() -> Sides:
    """max(x, y) = (x + y + |x − y|)/2, and min(x, y) is what is left of x + y."""

    def left(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return torch.maximum(x, y), torch.minimum(x, y)

    def right(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x + y + (x - y).abs()) / 2, x + y - torch.maximum(x, y)

    return left, right


@pair(x="b n")
def absolute_value_is_root_of_square() -> Sides:
    """√(x²) = |x|."""

    def left(x: Tensor) -> Tensor:
        return x.abs()

    def right(x: Tensor) -> Tensor:
        return x.square().sqrt()

    return left, right


@pair(x="b n")
def reciprocal_root_two_ways() -> Sides:
    """x·rsqrt(y) = x/√y for a positive y."""

    def left(x: Tensor) -> Tensor:
        return x * torch.rsqrt(x * x + 1)

    def right(x: Tensor) -> Tensor:
        return x / torch.sqrt(1 + x.pow(2))

    return left, right


# Views


@pair(x="b n d")
def transpose_twice() -> Sides:
    """A transposition is its own inverse."""

    def left(x: Tensor) -> Tensor:
        return x.transpose(1, 2).transpose(1, 2)

    def right(x: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n h d")
def permutations_compose() -> Sides:
    """Two permutations are one."""

    def left(x: Tensor) -> Tensor:
        return x.permute(2, 0, 3, 1).permute(1, 2, 0, 3)

    def right(x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1)

    return left, right


@pair(x="b n d")
def flip_twice() -> Sides:
    """A reversal is its own inverse."""

    def left(x: Tensor) -> Tensor:
        return x.flip(1).flip(1)

    def right(x: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n d")
def sum_ignores_order() -> Sides:
    """A sum is the same in reverse."""

    def left(x: Tensor) -> Tensor:
        return x.flip(1).sum(1)

    def right(x: Tensor) -> Tensor:
        return x.sum(1)

    return left, right


@pair(x="b n d")
def flip_of_flattened_axes() -> Sides:
    """Reversing a flattened axis reverses both of its digits."""

    def left(x: Tensor) -> Tensor:
        return x.flatten(1).flip(1)

    def right(x: Tensor) -> Tensor:
        return x.flip(1, 2).flatten(1)

    return left, right


@pair(x="b d", y="b n d")
def expand_is_repeat() -> Sides:
    """Repeating, expanding and broadcasting agree."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return y * x[:, None].expand(-1, y.shape[1], -1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return y * x.unsqueeze(1).repeat(1, y.shape[1], 1)

    return left, right


@pair(x="b n")
def repeat_is_cat() -> Sides:
    """x.repeat(1, 3) is three copies side by side."""

    def left(x: Tensor) -> Tensor:
        return x.repeat(1, 3)

    def right(x: Tensor) -> Tensor:
        return torch.cat([x, x, x], dim=1)

    return left, right


@pair(x="b", y="b", z="b", w="b")
def stacked_matrix_transposed() -> Sides:
    """The entries of a stacked 2 × 2 matrix in the order of its columns."""

    def left(x: Tensor, y: Tensor, z: Tensor, w: Tensor) -> Tensor:
        return torch.stack([x, y, z, w], dim=-1).unflatten(-1, (2, 2)).mT.flatten(-2)

    def right(x: Tensor, y: Tensor, z: Tensor, w: Tensor) -> Tensor:
        return torch.stack([x, z, y, w], dim=-1)

    return left, right


@pair(x="b n", y="b n")
def stack_is_cat() -> Sides:
    """stack concatenates along a new axis of size 1 each."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], dim=1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x.unsqueeze(1), y.unsqueeze(1)], dim=1)

    return left, right


@pair(x="b n+m d", y="b n d")
def split_then_cat() -> Sides:
    """Cutting an axis and joining the parts gives it back."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        n = y.shape[1]
        return torch.cat([x[:, :n], x[:, n:]], dim=1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n", y="b m")
def sum_of_concatenation() -> Sides:
    """A sum over a concatenation is the sum of the parts' sums."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], dim=1).sum(1)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return x.sum(1) + y.sum(1)

    return left, right


@pair(x="b 2*n d")
def even_and_odd_positions() -> Sides:
    """Strided slices are the digits of a split axis."""

    def left(x: Tensor) -> Tensor:
        return x[:, ::2] + x[:, 1::2]

    def right(x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, 2)).sum(2)

    return left, right


@pair(x="b n h*d", shape="h d")
def heads_split_and_joined() -> Sides:
    """Splitting heads, moving them outwards and back, and joining them is the identity."""

    def left(x: Tensor, shape: Tensor) -> Tensor:
        b, n, _ = x.shape
        h, d = shape.shape
        heads = x.view(b, n, h, d).transpose(1, 2)
        return heads.transpose(1, 2).reshape(b, n, h * d)

    def right(x: Tensor, shape: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b c 2*n 2*m")
def average_of_two_by_two_blocks() -> Sides:
    """Average pooling by a view, and by strided slices."""

    def left(x: Tensor) -> Tensor:
        return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))

    def right(x: Tensor) -> Tensor:
        rows = x[:, :, ::2] + x[:, :, 1::2]
        return (rows[..., ::2] + rows[..., 1::2]) / 4

    return left, right


# Windows and patches


@pair(x="b c n+k", w="o c k+1")
def conv1d_as_windowed_matmul() -> Sides:
    """A convolution contracts channels and offsets of the windows x[i + j]."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        k = w.shape[-1]
        start = torch.arange(x.shape[-1] - k + 1)
        windows = x[:, :, start[:, None] + torch.arange(k)]
        return torch.einsum("bcnk,ock->bon", windows, w)

    return left, right


@pair(x="b c n+2", w="o c 3", bias="o")
def conv1d_as_unfold_and_matmul() -> Sides:
    """The same with unfold, kernel 3, as one flattened product with bias."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(x, w, bias)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        windows = x.unfold(2, 3, 1).transpose(1, 2).flatten(2)
        return (windows @ w.flatten(1).T + bias).transpose(1, 2)

    return left, right


@pair(x="b c n+2", w="o c 3")
def conv1d_as_sum_of_taps() -> Sides:
    """A convolution with three taps is the sum of three shifted products."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        n = x.shape[-1] - 2
        return w[:, :, 0] @ x[..., :n] + w[:, :, 1] @ x[..., 1 : n + 1] + w[:, :, 2] @ x[..., 2:]

    return left, right


@pair(x="b c n", w="o c", bias="o")
def conv1d_of_width_one_is_linear() -> Sides:
    """A convolution with one tap is a linear layer on channels."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(x, w.unsqueeze(-1), bias)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x.transpose(1, 2), w, bias).transpose(1, 2)

    return left, right


@pair(x="b c n+k", u="o c k+1", v="o c k+1")
def convolution_is_linear_in_its_kernel() -> Sides:
    """conv(x, u + v) = conv(x, u) + conv(x, v)."""

    def left(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return F.conv1d(x, u + v)

    def right(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return F.conv1d(x, u) + F.conv1d(x, v)

    return left, right


@pair(x="b c 4*n 4*m", w="e c 4 4", bias="e")
def patch_embedding_as_linear() -> Sides:
    """A convolution whose stride is its kernel is a linear layer on patches."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(x, w, bias, stride=4).flatten(2).transpose(1, 2)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        b, c, height, width = x.shape
        patches = x.view(b, c, height // 4, 4, width // 4, 4).permute(0, 2, 4, 1, 3, 5)
        return F.linear(patches.flatten(3).flatten(1, 2), w.flatten(1), bias)

    return left, right


# Whole layers


@pair(x="b n c", gain="c", qkv="3*4*d c", out="c 4*d", gain2="c", up="f c", down="c f")
def transformer_block_two_styles() -> Sides:
    """A pre-norm block, module style with packed weights and gains against einsum and folding."""

    def left(
        x: Tensor, gain: Tensor, qkv: Tensor, out: Tensor, gain2: Tensor, up: Tensor, down: Tensor
    ) -> Tensor:
        b, n, _ = x.shape
        packed = F.linear(rms_norm(x) * gain, qkv)
        q, k, v = (y.view(b, n, 4, -1).transpose(1, 2) for y in packed.chunk(3, dim=-1))
        x = x + F.linear(sdpa_causal(q, k, v).transpose(1, 2).reshape(b, n, -1), out)
        return x + F.linear(F.silu(F.linear(rms_norm(x) * gain2, up)), down)

    def right(
        x: Tensor, gain: Tensor, qkv: Tensor, out: Tensor, gain2: Tensor, up: Tensor, down: Tensor
    ) -> Tensor:
        y = rms_norm(x)
        q, k, v = (
            torch.einsum("bnc,hdc->bhnd", y, w.unflatten(0, (4, -1))) for w in (qkv * gain).chunk(3)
        )
        heads = causal_by_tril(q, k, v)
        x = torch.einsum("bhnd,chd->bnc", heads, out.unflatten(1, (4, -1))) + x
        hidden = rms_norm(x) @ (up * gain2).T
        return hidden * torch.sigmoid(hidden) @ down.T + x

    return left, right


# Rotary embeddings


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Neighbouring channels as complex numbers, turned by an angle at each position."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    turns = torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(pairs * turns).flatten(-2)


def half_rotated(x: Tensor, angle: Tensor) -> Tensor:
    """The first half of the channels against the second."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def halves_of_neighbours(x: Tensor) -> Tensor:
    """The even channels first, then the odd ones."""
    return x.unflatten(-1, (-1, 2)).mT.flatten(-2)


def shifted(x: Tensor) -> Tensor:
    """Each component where the one before it was, and the first at the end."""
    return torch.cat([x[..., 1:], x[..., :1]], dim=-1)


@pair(x="b h n 2*d", angle="n d")
def rotary_as_complex_product() -> Sides:
    """A turn of the plane is a product with a complex number of modulus 1."""

    def right(x: Tensor, angle: Tensor) -> Tensor:
        even, odd = x[..., ::2], x[..., 1::2]
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    return turned, right


@pair(x="b h n 2*d", angle="n d")
def rotary_half_rotated_after_permuting() -> Sides:
    """The half-rotated form of permuted channels is the permuted complex form."""

    def left(x: Tensor, angle: Tensor) -> Tensor:
        return halves_of_neighbours(turned(x, angle))

    def right(x: Tensor, angle: Tensor) -> Tensor:
        return half_rotated(halves_of_neighbours(x), angle)

    return left, right


@pair(a="n 3", b="n 3")
def cross_product_by_shifts() -> Sides:
    """a × b by components, and by cyclic shifts of the components."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        (a0, a1, a2), (b0, b1, b2) = a.unbind(-1), b.unbind(-1)
        return torch.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], -1)

    def right(a: Tensor, b: Tensor) -> Tensor:
        return shifted(shifted(a) * b - a * shifted(b)) * -1

    return left, right


@pair(a="n 3", b="n 3")
def cross_product_of_the_library() -> Sides:
    """torch.linalg.cross reads its components by indices modulo 3."""

    def left(a: Tensor, b: Tensor) -> Tensor:
        return shifted(a * shifted(b) - shifted(a) * b)

    def right(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.cross(a, b)

    return left, right


@pair(q="b h n 2*d", k="b h n 2*d", v="b h n e", angle="n d")
def rotary_attention_complex_and_half_rotated() -> Sides:
    """Attention sums over channels, in whichever order both queries and keys have them."""

    def left(q: Tensor, k: Tensor, v: Tensor, angle: Tensor) -> Tensor:
        return sdpa_causal(turned(q, angle), turned(k, angle), v)

    def right(q: Tensor, k: Tensor, v: Tensor, angle: Tensor) -> Tensor:
        q, k = (half_rotated(halves_of_neighbours(x), angle) for x in (q, k))
        return causal_by_tril(q, k, v)

    return left, right


# Latent attention with a key of its own for positions


@pair(
    q="b h n d",
    q_turned="b h n r",
    latent="b m c",
    k_turned="b m r",
    up_k="h c d",
    up_v="h c e",
)
def latent_attention_with_decoupled_positions() -> Sides:
    """One key for positions is shared by all heads; the rest is absorbed into the queries."""

    def left(
        q: Tensor, q_turned: Tensor, latent: Tensor, k_turned: Tensor, up_k: Tensor, up_v: Tensor
    ) -> Tensor:
        content = torch.einsum("bmc,hcd->bhmd", latent, up_k)
        shared = k_turned.unsqueeze(1).expand(-1, q.shape[1], -1, -1)
        values = torch.einsum("bmc,hce->bhme", latent, up_v)
        return sdpa(torch.cat([q, q_turned], -1), torch.cat([content, shared], -1), values)

    def right(
        q: Tensor, q_turned: Tensor, latent: Tensor, k_turned: Tensor, up_k: Tensor, up_v: Tensor
    ) -> Tensor:
        absorbed = torch.einsum("bhnd,hcd->bhnc", q, up_k)
        scores = torch.einsum("bhnc,bmc->bhnm", absorbed, latent)
        scores = scores + torch.einsum("bhnr,bmr->bhnm", q_turned, k_turned)
        weights = (scores * (q.shape[-1] + q_turned.shape[-1]) ** -0.5).softmax(-1)
        return torch.einsum("bhnm,bmc,hce->bhne", weights, latent, up_v)

    return left, right


# Convolutional networks


@pair(x="b c n m", w="c o 2 2", bias="o")
def transposed_convolution_as_linear_and_shuffle() -> Sides:
    """With stride equal to width, every value becomes a block of its own."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv_transpose2d(x, w, bias, stride=2)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        blocks = torch.einsum("bcnm,cohw->bonhmw", x, w)
        return blocks.flatten(4, 5).flatten(2, 3) + bias[:, None, None]

    return left, right


@pair(x="b c n", w="c o 3")
def transposed_convolution_is_convolution_of_the_flipped_kernel() -> Sides:
    """With stride 1 it is a convolution of the padded input."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv_transpose1d(x, w, padding=1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w.flip(2).transpose(0, 1), padding=1)

    return left, right


@pair(x="b c n+2", w="c 1 3")
def depthwise_convolution_as_products() -> Sides:
    """As many groups as channels: each channel has a kernel of its own."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w, groups=x.shape[1])

    def right(x: Tensor, w: Tensor) -> Tensor:
        return (x.unfold(2, 3, 1) * w).sum(-1)

    return left, right


@pair(x="b c n m")
def nearest_upsampling_is_repetition() -> Sides:
    """Every value twice in both directions."""

    def left(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2)

    def right(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    return left, right


@pair(x="b c 3*n 2*m")
def adaptive_pooling_is_mean_of_blocks() -> Sides:
    """Windows that divide a dimension are the digits of its index."""

    def left(x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, (3, 2))

    def right(x: Tensor) -> Tensor:
        return x.unflatten(3, (2, -1)).unflatten(2, (3, -1)).mean((3, 5))

    return left, right


@pair(x="b c n+1 m")
def instance_norm_by_definition() -> Sides:
    """Each channel of each sample is standardised over its positions."""

    def left(x: Tensor) -> Tensor:
        return F.instance_norm(x)

    def right(x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()

    return left, right


@pair(x="b n d", gate="b c", down="c d", up="d c")
def squeeze_and_excite_by_einsum() -> Sides:
    """Channels gated by a function of their means, before or after the sum over positions."""

    def left(x: Tensor, gate: Tensor, down: Tensor, up: Tensor) -> Tensor:
        return x * torch.sigmoid((F.relu(x.mean(1) @ down.T) * gate) @ up.T).unsqueeze(1)

    def right(x: Tensor, gate: Tensor, down: Tensor, up: Tensor) -> Tensor:
        squeezed = F.linear(x, down).mean(1).clamp(min=0) * gate
        return torch.einsum("bnd,bd->bnd", x, 1 / (1 + torch.exp(-(squeezed @ up.T))))

    return left, right


# Scattering


@pair(x="n d", y="m d", ids="m : int", assume=("ids < n",))
def scattered_sum_is_one_hot_product() -> Sides:
    """Adding rows at given places is a product with their one-hot rows."""

    def left(x: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        return x.index_add(0, ids, y)

    def right(x: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        one_hot = (torch.arange(x.shape[0])[:, None] == ids).to(x.dtype)
        return x + one_hot @ y

    return left, right


@pair(x="n d", gate="n 4", experts="4 d f")
def experts_chosen_by_scattering_or_comparing() -> Sides:
    """The gate's two largest weights at their places, by scatter_add and by one-hot rows."""

    def outputs(routed: Tensor, x: Tensor, experts: Tensor) -> Tensor:
        return torch.einsum("ne,nd,edf->nf", routed, x, experts)

    def left(x: Tensor, gate: Tensor, experts: Tensor) -> Tensor:
        weights, chosen = gate.softmax(-1).topk(2)
        return outputs(torch.zeros_like(gate).scatter_add(-1, chosen, weights), x, experts)

    def right(x: Tensor, gate: Tensor, experts: Tensor) -> Tensor:
        weights, chosen = (gate - gate.logsumexp(-1, keepdim=True)).exp().topk(2)
        one_hot = chosen[..., None] == torch.arange(4)
        return outputs(torch.where(one_hot, weights[..., None], 0).sum(1), x, experts)

    return left, right


@pair(x="n d")
def assigned_where_negative_is_relu() -> Sides:
    """An assignment by truth values is a choice."""

    def left(x: Tensor) -> Tensor:
        y = x.clone()
        y[x < 0] = 0.0
        return y

    def right(x: Tensor) -> Tensor:
        return torch.where(x < 0, 0.0, x)

    return left, right


@pair(q="b h c l d", k="b h c l d", v="b h c l e")
def causal_linear_attention_in_chunks() -> Sides:
    """Within a chunk as in parallel; across chunks by the state carried from those before."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        flat = (q.flatten(2, 3) @ k.flatten(2, 3).mT).tril() @ v.flatten(2, 3)
        return flat.view(v.shape)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        states = k.mT @ v
        carried = states.cumsum(2) - states
        return (q @ k.mT).tril() @ v + q @ carried

    return left, right


# Operators of vision and language models


@pair(x="b n 2*d", cos="n d", sin="n d")
def rotary_half_rotated_forms() -> Sides:
    """Rotary embedding by rotate_half with repeated angles, and by explicit halves."""

    def left(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        rotated = torch.cat([-second, first], dim=-1)
        return x * torch.cat([cos, cos], dim=-1) + rotated * torch.cat([sin, sin], dim=-1)

    def right(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        d = cos.shape[-1]
        first, second = x[..., :d], x[..., d:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return left, right


@pair(q="b n 2*d", k="b n 2*d", cos="n d", sin="n d")
def rotary_scores_ignore_the_layout() -> Sides:
    """Half-rotated and interleaved forms permute channels, which scores sum over."""

    def left(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        def rotate(x: Tensor) -> Tensor:
            first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
            return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

        return rotate(q) @ rotate(k).mT

    def right(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        def rotate(x: Tensor) -> Tensor:
            even, odd = x[..., ::2], x[..., 1::2]
            return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

        return rotate(q) @ rotate(k).mT

    return left, right


@pair(x="b n 2*d", cos="n d", sin="n d")
def rotary_interleaved_forms() -> Sides:
    """Interleaved rotary embedding by strided slices and stack, and as 2 × 2 rotations."""

    def left(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    def right(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        return torch.einsum("ndij,bndj->bndi", rows, x.unflatten(-1, (-1, 2))).flatten(-2)

    return left, right


@pair(x="b n d")
def cumulative_sum_is_triangular_matmul() -> Sides:
    """A prefix sum is a product with a lower triangle of ones."""

    def left(x: Tensor) -> Tensor:
        return x.cumsum(1)

    def right(x: Tensor) -> Tensor:
        n = x.shape[1]
        return torch.ones(n, n, dtype=x.dtype).tril() @ x

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n e")
def causal_linear_attention_by_prefix_sums() -> Sides:
    """Masked (Q Kᵀ) V is Q times the prefix sums of k vᵀ."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT).tril() @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        state = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(2)
        return torch.einsum("bhnd,bhnde->bhne", q, state)

    return left, right


@pair(x="b c n", w="o c 3", bias="o")
def padded_convolution_pads_first() -> Sides:
    """padding=1 is a zero on each side."""

    def left(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(x, w, bias, padding=1)

    def right(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(F.pad(x, (1, 1)), w, bias)

    return left, right


@pair(x="b c n+2 m+2", w="o c 3 3")
def conv2d_as_unfold_and_matmul() -> Sides:
    """im2col: F.unfold lists the windows as columns."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w).flatten(2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return w.flatten(1) @ F.unfold(x, (3, 3))

    return left, right


@pair(x="b 2*c n+2", w="2*o c 3")
def grouped_convolution_is_two_convolutions() -> Sides:
    """Two groups: each half of the channels has its own kernels."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w, groups=2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        (x1, x2), (w1, w2) = x.chunk(2, dim=1), w.chunk(2, dim=0)
        return torch.cat([F.conv1d(x1, w1), F.conv1d(x2, w2)], dim=1)

    return left, right


@pair(
    x="b c n m", w="o c 3 3", mean="o", spread="o", gain="o", shift="o", assume=("n >= 3", "m >= 3")
)
def batch_norm_folds_into_convolution() -> Sides:
    """In evaluation, batch norm scales each kernel and gives a bias."""

    def left(
        x: Tensor, w: Tensor, mean: Tensor, spread: Tensor, gain: Tensor, shift: Tensor
    ) -> Tensor:
        return F.batch_norm(F.conv2d(x, w), mean, spread.square(), gain, shift)

    def right(
        x: Tensor, w: Tensor, mean: Tensor, spread: Tensor, gain: Tensor, shift: Tensor
    ) -> Tensor:
        scale = gain / (spread.square() + 1e-5).sqrt()
        return F.conv2d(x, w * scale[:, None, None, None], shift - mean * scale)

    return left, right


@pair(x="b 4*c n", gain="4*c", shift="4*c", assume=("n >= 2",))
def group_norm_by_view() -> Sides:
    """Group norm normalises each group of channels with its positions."""

    def left(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        return F.group_norm(x, 4, gain, shift)

    def right(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        y = x.unflatten(1, (4, -1))
        centred = y - y.mean(dim=(2, 3), keepdim=True)
        var = centred.square().mean(dim=(2, 3), keepdim=True)
        return (centred * torch.rsqrt(var + 1e-5)).flatten(1, 2) * gain[:, None] + shift[:, None]

    return left, right


@pair(x="b c 2*n")
def average_pooling_is_mean_of_blocks() -> Sides:
    """Pooling whose stride is its window averages the digits of a split axis."""

    def left(x: Tensor) -> Tensor:
        return F.avg_pool1d(x, 2)

    def right(x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, 2)).mean(-1)

    return left, right


@pair(x="b c 2*n 2*m")
def maximum_pooling_is_maximum_of_blocks() -> Sides:
    """The same for the maximum."""

    def left(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)

    def right(x: Tensor) -> Tensor:
        return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5))

    return left, right


@pair(
    q="b h n d",
    k="b h m d",
    v="b h m d",
    lengths="b : int",
    assume=("lengths >= 1", "lengths <= m"),
)
def padding_mask_by_length() -> Sides:
    """Keys beyond a sequence's length are masked; a length of at least 1 leaves a key."""

    def left(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(k.shape[-2]) < lengths[:, None]
        scores = q @ k.mT * q.shape[-1] ** -0.5
        return scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
        mask = lengths.view(-1, 1, 1, 1) > torch.arange(k.shape[-2])
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d")
def sliding_window_two_ways() -> Sides:
    """The last four keys: i − 4 < j ≤ i, by comparison and by two triangles."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        position = torch.arange(q.shape[-2])
        distance = position[:, None] - position
        mask = (distance >= 0) & (distance < 4)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n = q.shape[-2]
        ones = torch.ones(n, n, dtype=torch.bool)
        band = ones.tril() & ones.triu(-3)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return torch.where(band, scores, float("-inf")).softmax(-1) @ v

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", assume=("n <= m",))
def causal_aligned_at_the_end() -> Sides:
    """Decoding: the last query sees every key, j ≤ i + (m − n)."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, m = q.shape[-2], k.shape[-2]
        mask = torch.ones(n, m, dtype=torch.bool).tril(diagonal=m - n)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, m = q.shape[-2], k.shape[-2]
        future = torch.arange(m) > torch.arange(n)[:, None] + (m - n)
        return (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(future, float("-inf")).softmax(-1) @ v

    return left, right


@pair(scores="b n")
def softcap_two_ways() -> Sides:
    """50·tanh(x/50), with tanh by sigmoid."""

    def left(scores: Tensor) -> Tensor:
        return torch.tanh(scores / 50) * 50

    def right(scores: Tensor) -> Tensor:
        return 100 * torch.sigmoid(scores / 25) - 50

    return left, right


@pair(x="b n")
def log_sigmoid_by_definition() -> Sides:
    """log σ(x) = −log(1 + exp(−x))."""

    def left(x: Tensor) -> Tensor:
        return F.logsigmoid(x)

    def right(x: Tensor) -> Tensor:
        return -torch.log(1 + torch.exp(-x))

    return left, right


@pair(x="b n d", assume=("n >= 2",))
def roll_is_cat_of_slices() -> Sides:
    """Rolling by one moves the last position to the front."""

    def left(x: Tensor) -> Tensor:
        return x.roll(1, dims=1)

    def right(x: Tensor) -> Tensor:
        return torch.cat([x[:, -1:], x[:, :-1]], dim=1)

    return left, right


# Pieces that meet at a boundary


@pair(x="b n")
def leaky_relu_as_larger() -> Sides:
    """max(x, x/4) is x where x > 0, since 1/4 < 1."""

    def left(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.25)

    def right(x: Tensor) -> Tensor:
        return torch.maximum(x, 0.25 * x)

    return left, right


@pair(x="b n")
def leaky_relu_at_the_boundary() -> Sides:
    """At 0 both branches are 0, so ≥ is as good as >."""

    def left(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.25)

    def right(x: Tensor) -> Tensor:
        return torch.where(x >= 0, x, 0.25 * x)

    return left, right


@pair(x="b n")
def relu6_as_difference_of_relus() -> Sides:
    """min(max(x, 0), 6) = max(x, 0) − max(x − 6, 0)."""

    def left(x: Tensor) -> Tensor:
        return F.relu6(x)

    def right(x: Tensor) -> Tensor:
        return F.relu(x) - F.relu(x - 6)

    return left, right


@pair(x="b n")
def hardswish_by_cases() -> Sides:
    """x·relu6(x + 3)/6 is 0 up to −3, x from 3, and a parabola between them."""

    def left(x: Tensor) -> Tensor:
        return F.hardswish(x)

    def right(x: Tensor) -> Tensor:
        middle = x * (x + 3) / 6
        return torch.where(x <= -3, 0.0, torch.where(x >= 3, x, middle))

    return left, right


@pair(x="b n")
def clamp_in_either_order() -> Sides:
    """The bounds are in order, so it does not matter which is applied first."""

    def left(x: Tensor) -> Tensor:
        return torch.clamp(x, -2, 2)

    def right(x: Tensor) -> Tensor:
        return torch.clamp(x.clamp(max=2), min=-2)

    return left, right


@pair(x="b n")
def elu_by_relus() -> Sides:
    """ELU is max(x, 0) + exp(−max(−x, 0)) − 1."""

    def left(x: Tensor) -> Tensor:
        return F.elu(x)

    def right(x: Tensor) -> Tensor:
        return F.relu(x) + torch.exp(-F.relu(-x)) - 1

    return left, right


@pair(x="b n")
def celu_by_its_definition() -> Sides:
    """CELU is max(0, x) + min(0, α·(exp(x/α) − 1)): exp(a) < 1 where a < 0."""

    def left(x: Tensor) -> Tensor:
        return F.celu(x, 2.0)

    def right(x: Tensor) -> Tensor:
        return x.clamp(min=0) + (2 * (torch.exp(x / 2) - 1)).clamp(max=0)

    return left, right


@pair(x="b n")
def absolute_value_by_sign() -> Sides:
    """x·sign(x) = |x|."""

    def left(x: Tensor) -> Tensor:
        return x * torch.sign(x)

    def right(x: Tensor) -> Tensor:
        return x.abs()

    return left, right


@pair(x="b n")
def soft_shrinkage_by_relus() -> Sides:
    """sign(x)·max(|x| − ½, 0) = max(x − ½, 0) − max(−x − ½, 0)."""

    def left(x: Tensor) -> Tensor:
        return torch.sign(x) * F.relu(x.abs() - 0.5)

    def right(x: Tensor) -> Tensor:
        return F.relu(x - 0.5) - F.relu(-x - 0.5)

    return left, right


@pair(x="b c", slope="c")
def prelu_by_relus() -> Sides:
    """max(x, 0) − a·max(−x, 0) is x above 0 and a·x below, for any a."""

    def left(x: Tensor, slope: Tensor) -> Tensor:
        return F.prelu(x, slope)

    def right(x: Tensor, slope: Tensor) -> Tensor:
        return F.relu(x) - slope * F.relu(-x)

    return left, right


@pair(x="b n", y="b n")
def cross_entropy_of_logits_without_overflow() -> Sides:
    """max(x, 0) − x·y + log(1 + exp(−|x|)), which never overflows."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return (x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x.abs()))).mean()

    return left, right


@pair(x="b n", y="b n")
def cross_entropy_of_logits_by_its_definition() -> Sides:
    """−y·log σ(x) − (1 − y)·log(1 − σ(x))."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        p = torch.sigmoid(x)
        return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()

    return left, right


@pair(x="b n")
def log_sigmoid_without_overflow() -> Sides:
    """min(x, 0) − log(1 + exp(−|x|))."""

    def left(x: Tensor) -> Tensor:
        return F.logsigmoid(x)

    def right(x: Tensor) -> Tensor:
        return x.clamp(max=0) - torch.log1p(torch.exp(-x.abs()))

    return left, right


@pair(x="b n")
def softplus_is_odd_but_for_half() -> Sides:
    """softplus(x) − softplus(−x) = x."""

    def left(x: Tensor) -> Tensor:
        return F.softplus(x) - F.softplus(-x)

    def right(x: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n", y="b n")
def divergence_from_an_exponential() -> Sides:
    """KL by y·(log y − x), where y = exp(t) is never 0."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.kl_div(x, torch.exp(y), reduction="sum")

    def right(x: Tensor, y: Tensor) -> Tensor:
        return (torch.exp(y) * (y - x)).sum()

    return left, right


@pair(x="b n", y="b n")
def huber_loss_by_cases() -> Sides:
    """A parabola up to 1 and a line beyond, which meet at 1."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.huber_loss(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        d = (x - y).abs()
        return torch.where(d <= 1, 0.5 * d**2, d - 0.5).mean()

    return left, right


@pair(x="b n", y="b n")
def huber_loss_by_clamping() -> Sides:
    """With q = min(|d|, 1), the loss is q²/2 + |d| − q."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.huber_loss(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        d = (x - y).abs()
        q = d.clamp(max=1)
        return (0.5 * q * q + d - q).mean()

    return left, right


@pair(x="n n")
def window_by_distance() -> Sides:
    """|i − j| ≤ 3 where i − j ≤ 3 and j − i ≤ 3; a row always has its own key."""

    def left(x: Tensor) -> Tensor:
        i = torch.arange(x.shape[0])
        near = (i[:, None] - i[None, :]).abs() <= 3
        return x.masked_fill(~near, float("-inf")).softmax(-1)

    def right(x: Tensor) -> Tensor:
        near = torch.ones_like(x, dtype=torch.bool).tril(3).triu(-3)
        return x.masked_fill(~near, float("-inf")).softmax(-1)

    return left, right


@pair(q="n d", k="n d", v="n d", document="n : int")
def attention_within_documents() -> Sides:
    """A token is in its own document, so every row has a key, whatever the documents are."""

    def left(q: Tensor, k: Tensor, v: Tensor, document: Tensor) -> Tensor:
        same = document[:, None] == document[None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=same)

    def right(q: Tensor, k: Tensor, v: Tensor, document: Tensor) -> Tensor:
        same = document[:, None] == document[None, :]
        weights = torch.exp(q @ k.mT * q.shape[-1] ** -0.5) * same
        return (weights / weights.sum(-1, keepdim=True)) @ v

    return left, right


# Odd and even functions


@pair(x="b n")
def gelu_by_complementary_error_function() -> Sides:
    """1 + erf(a) = erfc(−a), since erf is odd."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x)

    def right(x: Tensor) -> Tensor:
        return 0.5 * x * torch.special.erfc(-x / 2**0.5)

    return left, right


@pair(x="b n")
def gelu_less_its_reflection() -> Sides:
    """x·Φ(x) + x·Φ(−x) = x."""

    def left(x: Tensor) -> Tensor:
        return F.gelu(x) - F.gelu(-x)

    def right(x: Tensor) -> Tensor:
        return x

    return left, right


@pair(x="b n", y="b n", t="n")
def rotation_keeps_lengths() -> Sides:
    """cos² + sin² = 1."""

    def left(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        a, b = x * t.cos() - y * t.sin(), x * t.sin() + y * t.cos()
        return a**2 + b**2

    def right(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x**2 + y**2

    return left, right


@pair(x="b n", y="b n", t="n")
def rotation_back_by_the_opposite_angle() -> Sides:
    """The turn by −t undoes the turn by t."""

    def left(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        a, b = x * t.cos() - y * t.sin(), x * t.sin() + y * t.cos()
        return a * (-t).cos() - b * (-t).sin()

    def right(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x

    return left, right


# As other users write them


@pair(q="b h n d", k="b h m d", v="b h m d")
def causal_with_an_offset_two_ways() -> Sides:
    """Query i sees keys up to i + 2: by comparing positions, and by a triangle of −∞ added."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i, j = torch.arange(q.shape[-2]).unsqueeze(1), torch.arange(k.shape[-2]).unsqueeze(0)
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
        return torch.where(j > i + 2, float("-inf"), scores).softmax(-1).matmul(v)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shape = (q.shape[-2], k.shape[-2])
        mask = torch.full(shape, float("-inf"), dtype=q.dtype).triu(diagonal=3)
        return F.softmax(q @ k.mT / q.shape[-1] ** 0.5 + mask, dim=-1) @ v

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d", prefix="b : int")
def prefix_masks_two_idioms() -> Sides:
    """All see the prefix, and what is not after them: a union, and what neither has."""

    def left(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        seen = (i <= i[:, None])[None] | (i < prefix[:, None, None])
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return scores.masked_fill(~seen[:, None], float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2]).view(1, 1, -1)
        hidden = torch.logical_and(i > i.mT, i >= prefix.view(-1, 1, 1))
        return F.scaled_dot_product_attention(q, k, v, hidden.logical_not().unsqueeze(1))

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d", ids="b n : int")
def documents_two_idioms() -> Sides:
    """Causal within a document: equal ids, and no two that differ."""

    def left(q: Tensor, k: Tensor, v: Tensor, ids: Tensor) -> Tensor:
        n = q.shape[-2]
        same = (ids[:, :, None] == ids[:, None, :]) & torch.ones(n, n, dtype=torch.bool).tril()
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return scores.masked_fill(~same[:, None], float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, ids: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        hidden = ids.unsqueeze(-1).ne(ids.unsqueeze(-2)).logical_or(i > i.unsqueeze(-1))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden[:, None])

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", lengths="b : int", assume=("lengths >= 1",))
def padding_by_a_finite_number() -> Sides:
    """−10⁹ added to masked scores stands for −∞."""

    def left(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
        beyond = (torch.arange(k.shape[-2]) >= lengths[:, None]).to(q.dtype)
        scores = q @ k.mT / q.shape[-1] ** 0.5 + beyond[:, None, None] * -1e9
        return scores.softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
        b, h, n, m = (*q.shape[:3], k.shape[2])
        kept = torch.arange(m).expand(b, m) < lengths.unsqueeze(1)
        mask = kept.view(b, 1, 1, m).expand(-1, h, n, -1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def softcapped_scores_two_styles() -> Sides:
    """30·tanh(s/30) below a causal mask."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = 30.0 * torch.tanh(q @ k.mT / q.shape[-1] ** 0.5 / 30.0)
        future = torch.ones(scores.shape[-2], scores.shape[-1]).triu(1).bool()
        return scores.masked_fill(future, float("-inf")).softmax(-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
        scores = scores.div(30.0).tanh().mul(30.0)
        seen = torch.arange(scores.shape[-1]) <= torch.arange(scores.shape[-2])[:, None]
        return torch.where(seen, scores, float("-inf")).softmax(-1) @ v

    return left, right


@pair(q="b n d", k="b 2*m d", v="b 2*m d")
def ring_attention_of_two_steps() -> Sides:
    """Keys arrive in two halves; a running maximum, sum and output are carried, from −∞."""

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        total, out = torch.zeros_like(q[..., :1]), torch.zeros_like(q)
        largest = torch.full_like(total, float("-inf"))
        for keys, values in zip(k.chunk(2, dim=-2), v.chunk(2, dim=-2), strict=True):
            scores = q @ keys.mT / q.shape[-1] ** 0.5
            larger = torch.maximum(largest, scores.amax(-1, keepdim=True))
            weights, kept = torch.exp(scores - larger), torch.exp(largest - larger)
            out, total = kept * out + weights @ values, kept * total + weights.sum(-1, True)
            largest = larger
        return out / total

    return sdpa, right


@pair(q="b n d", old_k="b p d", old_v="b p d", k="b n d", v="b n d")
def cached_keys_and_new_ones() -> Sides:
    """New queries see all cached keys and the new ones up to their own."""

    def left(q: Tensor, old_k: Tensor, old_v: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = torch.cat([old_k, k], 1), torch.cat([old_v, v], 1)
        last = torch.arange(q.shape[1])[:, None] + old_k.shape[1]
        mask = torch.arange(keys.shape[1])[None] <= last
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)

    def right(q: Tensor, old_k: Tensor, old_v: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = q * q.shape[-1] ** -0.5
        old, new = (q @ old_k.mT).exp(), (q @ k.mT).exp().tril()
        return (old @ old_v + new @ v) / (old.sum(-1, True) + new.sum(-1, True))

    return left, right


@pair(logits="n c", labels="n : int", assume=("labels < c",))
def cross_entropy_gathers_log_probabilities() -> Sides:
    """The mean of −log p at the labels, none of which is the one that is left out."""

    def left(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)

    def right(logits: Tensor, labels: Tensor) -> Tensor:
        return -logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1).mean()

    return left, right


@pair(p="n c", q="n c")
def divergence_of_log_probabilities() -> Sides:
    """KL divergence by the library, summed over classes and averaged over rows."""

    def left(p: Tensor, q: Tensor) -> Tensor:
        logs = p.log_softmax(-1), q.log_softmax(-1)
        return F.kl_div(*logs, reduction="batchmean", log_target=True)

    def right(p: Tensor, q: Tensor) -> Tensor:
        gap = q.log_softmax(-1) - p.log_softmax(-1)
        return (q.softmax(-1) * gap).sum() / p.shape[0]

    return left, right


@pair(x="b 4 n+2 m+2", depth="4 1 3 3", point="o 4 1 1")
def separable_convolution_merges() -> Sides:
    """A depthwise convolution and a pointwise one are one of products of their kernels."""

    def left(x: Tensor, depth: Tensor, point: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, depth, groups=4), point)

    def right(x: Tensor, depth: Tensor, point: Tensor) -> Tensor:
        return F.conv2d(x, torch.einsum("oc,ckl->ockl", point[:, :, 0, 0], depth[:, 0]))

    return left, right


@pair(x="b 3 2*n 2*m")
def average_pooling_is_a_convolution() -> Sides:
    """The mean of 2 × 2 blocks has four weights of ¼."""

    def left(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    def right(x: Tensor) -> Tensor:
        kernel = torch.full((3, 1, 2, 2), 0.25, dtype=x.dtype)
        return F.conv2d(x, kernel, stride=2, groups=3)

    return left, right


@pair(x="b 4*c n m")
def pixel_shuffle_by_permuting() -> Sides:
    """Four channels become a block of 2 × 2."""

    def left(x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, 2)

    def right(x: Tensor) -> Tensor:
        blocks = x.unflatten(1, (-1, 2, 2)).permute(0, 1, 4, 2, 5, 3)
        return blocks.flatten(4, 5).flatten(2, 3)

    return left, right


@pair(x="b c n+1")
def batch_norm_of_a_batch_by_hand() -> Sides:
    """In training without stored statistics, those of the batch."""

    def left(x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)

    def right(x: Tensor) -> Tensor:
        centred = x - x.mean((0, 2), keepdim=True)
        return centred / (x.var((0, 2), keepdim=True, correction=0) + 1e-5).sqrt()

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d")
def normed_queries_and_keys() -> Sides:
    """Attention of cosines, their norms taken out of the product."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.normalize(q, dim=-1) * 8, F.normalize(k, dim=-1) * 8
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        norms = [torch.linalg.vector_norm(x, dim=-1).clamp_min(1e-12) for x in (q, k)]
        cosines = q @ k.mT / (norms[0][..., None] * norms[1][..., None, :])
        return torch.softmax(64 * cosines, dim=-1) @ v

    return left, right


@pair(x="b n d", y="b m d")
def distances_by_the_library() -> Sides:
    """|x − y|² = |x|² + |y|² − 2·x·y, and the library takes the root."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y) ** 2

    def right(x: Tensor, y: Tensor) -> Tensor:
        squares = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None]
        return squares - 2 * x @ y.mT

    return left, right


@pair(a="n m", b="p q", x="m q")
def kronecker_product_applied() -> Sides:
    """(A ⊗ B) vec X = vec(A X Bᵀ), in row-major order."""

    def left(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return torch.kron(a, b) @ x.reshape(-1)

    def right(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return (a @ x @ b.T).reshape(-1)

    return left, right


@pair(x="b n", y="b m", w="o n m", bias="o")
def bilinear_layer_by_einsum() -> Sides:
    """x W y for every output."""

    def left(x: Tensor, y: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.bilinear(x, y, w, bias)

    def right(x: Tensor, y: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return torch.einsum("bi,oij,bj->bo", x, w, y) + bias

    return left, right


@pair(x="n m")
def block_diagonal_product() -> Sides:
    """Blocks of a diagonal multiply one by one."""

    def left(x: Tensor) -> Tensor:
        return torch.block_diag(x, x) @ torch.cat([x.T, x.T])

    def right(x: Tensor) -> Tensor:
        return torch.cat([x @ x.T, x @ x.T])

    return left, right


@pair(x="b n")
def temperature_is_a_power_of_probabilities() -> Sides:
    """softmax(x/t) is softmax(x) to the 1/t, normalised."""

    def left(x: Tensor) -> Tensor:
        return F.softmax(x / 0.7, dim=-1)

    def right(x: Tensor) -> Tensor:
        powers = torch.softmax(x, dim=-1) ** (1 / 0.7)
        return powers / powers.sum(-1, keepdim=True)

    return left, right


@pair(x="b n", y="b n")
def moving_average_of_decimals() -> Sides:
    """x + 0.3·(y − x) = 0.7·x + 0.3·y."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return x.lerp(y, 0.3)

    def right(x: Tensor, y: Tensor) -> Tensor:
        return 0.7 * x + 0.3 * y

    return left, right


@pair(x="b n", assume=("n >= 2",))
def softmax_of_the_largest_two() -> Sides:
    """What is chosen is one function's affair, what is made of it another's."""

    def left(x: Tensor) -> Tensor:
        return torch.softmax(torch.topk(x, 2).values, dim=-1)

    def right(x: Tensor) -> Tensor:
        weights = x.topk(k=2, dim=1, largest=True, sorted=True)[0].exp()
        return weights / weights.sum(-1, keepdim=True)

    return left, right


@pair(x="b n", kept="b n : bool")
def dropout_by_a_given_mask() -> Sides:
    """A truth value times x, and a choice that compares it with 0."""

    def left(x: Tensor, kept: Tensor) -> Tensor:
        return x * kept / 0.8

    def right(x: Tensor, kept: Tensor) -> Tensor:
        return torch.where(kept > 0, x / 0.8, torch.zeros_like(x))

    return left, right


@pair(x="b n")
def mish_by_definition() -> Sides:
    """x·tanh(softplus(x)), the softplus as a logarithm."""

    def left(x: Tensor) -> Tensor:
        return F.mish(x)

    def right(x: Tensor) -> Tensor:
        return x * torch.tanh(F.softplus(x))

    return left, right


@pair(x="b 2*h 2*w c")
def windows_by_unfolding() -> Sides:
    """Windows of Swin by a permuted view, and by Tensor.unfold along both axes."""

    def left(x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        blocks = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        return blocks.contiguous().view(-1, 4, c)

    def right(x: Tensor) -> Tensor:
        blocks = x.unfold(1, 2, 2).unfold(2, 2, 2)
        return blocks.permute(0, 1, 2, 4, 5, 3).reshape(-1, 4, x.shape[-1])

    return left, right


@pair(x="b 2*h 2*w c", w="o 4*c")
def patches_merged_by_a_view() -> Sides:
    """The four strided parts of Swin's patch merging are two digits, the row's the inner one."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        parts = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
        return F.linear(torch.cat(parts, dim=-1), w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        b, h, width, c = x.shape
        blocks = x.reshape(b, h // 2, 2, width // 2, 2, c).permute(0, 1, 3, 4, 2, 5)
        return blocks.flatten(3) @ w.T

    return left, right


@pair(x="b c 2*h 2*w", w="o 4*c 3 3")
def sliced_convolution_is_strided() -> Sides:
    """YOLO's focus: a 3 × 3 kernel on four strided slices is a 6 × 6 kernel of stride 2."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        slices = [x[..., i::2, j::2] for j in range(2) for i in range(2)]
        return F.conv2d(torch.cat(slices, dim=1), w, padding=1)

    def right(x: Tensor, w: Tensor) -> Tensor:
        o, c = w.shape[0], x.shape[1]
        kernel = w.view(o, 2, 2, c, 3, 3).permute(0, 3, 4, 2, 5, 1).reshape(o, c, 6, 6)
        return F.conv2d(x, kernel, stride=2, padding=2)

    return left, right


@pair(x="b c n m", weight="c", bias="c")
def instance_norm_is_a_norm_of_single_channels() -> Sides:
    """A group norm with as many groups as channels, whose number is symbolic."""

    def left(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.instance_norm(x, weight=weight, bias=bias)

    def right(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1], weight, bias)

    return left, right


@pair(x="b c n m", weight="c", bias="c")
def group_norm_of_one_group() -> Sides:
    """A group norm of one group is a layer norm over all but the batch."""

    def left(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.group_norm(x, 1, weight, bias)

    def right(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        normed = F.layer_norm(x, x.shape[1:])
        return torch.addcmul(bias[:, None, None], normed, weight[:, None, None])

    return left, right


@pair(x="b c n+2 m+2", weight="c", bias="c", mean="c", logs="c", kernel="o c 3 3")
def batch_norm_before_a_convolution() -> Sides:
    """A norm before a convolution without margins folds into its kernel too."""

    def left(
        x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, logs: Tensor, kernel: Tensor
    ) -> Tensor:
        return F.conv2d(F.batch_norm(x, mean, logs.exp(), weight, bias), kernel)

    def right(
        x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, logs: Tensor, kernel: Tensor
    ) -> Tensor:
        scale = weight * torch.rsqrt(logs.exp() + 1e-5)
        shift = kernel.sum((2, 3)) @ (bias - mean * scale)
        return F.conv2d(x, kernel * scale[:, None, None]) + shift[:, None, None]

    return left, right


@pair(t="b")
def timestep_embedding_two_ways() -> Sides:
    """exp(−log(10000)·i/4) is 10000^(−i/4), the constant read as a logarithm."""

    def left(t: Tensor) -> Tensor:
        rates = torch.exp(-math.log(10000) * torch.arange(4, dtype=t.dtype) / 4)
        angles = t[:, None] * rates[None]
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def right(t: Tensor) -> Tensor:
        rates = 1.0 / 10000 ** (torch.arange(0, 8, 2, dtype=t.dtype) / 8)
        angles = torch.outer(t, rates)
        return torch.stack([torch.cos(angles), torch.sin(angles)], dim=1).flatten(1)

    return left, right


@pair(logits="n c", labels="n : int", assume=("labels < c",))
def smoothed_labels_of_any_number_of_classes() -> Sides:
    """Smoothing by 0.1/c in each class is a tenth of the mean."""

    def left(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")

    def right(logits: Tensor, labels: Tensor) -> Tensor:
        logs = logits.log_softmax(-1)
        chosen = logs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        return -(0.9 * chosen + 0.1 * logs.mean(-1)).sum()

    return left, right


@pair(x="n 2 d")
def contrastive_loss_by_the_diagonal() -> Sides:
    """The label of row i is i: what is gathered is the diagonal."""

    def left(x: Tensor) -> Tensor:
        first, second = x.unbind(1)
        labels = torch.arange(x.shape[0])
        return F.cross_entropy(first @ second.T / 0.5, labels, reduction="sum")

    def right(x: Tensor) -> Tensor:
        logits = torch.einsum("nd,md->nm", x[:, 0], x[:, 1]) * 2
        return (torch.logsumexp(logits, dim=1) - torch.diagonal(logits)).sum()

    return left, right


@pair(x="n d", y="n d")
def smooth_distance_by_cases() -> Sides:
    """smooth_l1_loss is a parabola near 0 and a line beyond."""

    def left(x: Tensor, y: Tensor) -> Tensor:
        return F.smooth_l1_loss(x, y)

    def right(x: Tensor, y: Tensor) -> Tensor:
        d = (x - y).abs()
        return torch.where(d < 1, 0.5 * d * d, d - 0.5).mean()

    return left, right


@pair(new="n", old="n", gain="n")
def clipped_policy_ratio() -> Sides:
    """Minus the smaller of two is the larger of their negatives."""

    def left(new: Tensor, old: Tensor, gain: Tensor) -> Tensor:
        ratio = torch.exp(new - old)
        return -torch.min(ratio * gain, torch.clamp(ratio, 0.8, 1.2) * gain).mean()

    def right(new: Tensor, old: Tensor, gain: Tensor) -> Tensor:
        ratio = new.exp() / old.exp()
        return torch.max(-gain * ratio, -gain * ratio.clamp(0.8, 1.2)).mean()

    return left, right


@pair(x="b n c", w="o 2*c")
def edge_convolution_in_two_parts() -> Sides:
    """The largest over edges of W(x, y − x) is (W₁ − W₂)x plus the largest of W₂y."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        n = x.shape[1]
        here, there = x[:, :, None].expand(-1, -1, n, -1), x[:, None].expand(-1, n, -1, -1)
        return F.relu(F.linear(torch.cat([here, there - here], dim=-1), w)).amax(2)

    def right(x: Tensor, w: Tensor) -> Tensor:
        first, second = w.chunk(2, dim=1)
        return F.relu(x @ (first - second).T + (x @ second.T).amax(1, keepdim=True))

    return left, right


@pair(
    x="n d",
    w="d o",
    source="e : int",
    target="e : int",
    assume=("source < n", "target < n"),
)
def messages_by_an_adjacency_matrix() -> Sides:
    """What edges gather and scatter is a product with one-hot matrices."""

    def left(x: Tensor, w: Tensor, source: Tensor, target: Tensor) -> Tensor:
        nothing = torch.zeros(x.shape[0], w.shape[1], dtype=x.dtype)
        return nothing.index_add(0, target, (x @ w)[source])

    def right(x: Tensor, w: Tensor, source: Tensor, target: Tensor) -> Tensor:
        starts, ends = (F.one_hot(ids, x.shape[0]).to(x.dtype) for ids in (source, target))
        return (ends.T @ starts) @ x @ w

    return left, right


@pair(x="b n 2*d", q="o 2*d", scale="o 2")
def weights_quantised_by_groups() -> Sides:
    """A scale for each half of the inputs scales the halves of the product."""

    def left(x: Tensor, q: Tensor, scale: Tensor) -> Tensor:
        return F.linear(x, (q.view(q.shape[0], 2, -1) * scale[:, :, None]).flatten(1))

    def right(x: Tensor, q: Tensor, scale: Tensor) -> Tensor:
        (x0, x1), (q0, q1) = x.chunk(2, dim=-1), q.chunk(2, dim=-1)
        return (x0 @ q0.T) * scale[:, 0] + (x1 @ q1.T) * scale[:, 1]

    return left, right


@pair(x="b n d", w="o d", gain="d", logs="d")
def scales_moved_from_activations() -> Sides:
    """SmoothQuant: what divides a norm's gain multiplies the next weight."""

    def left(x: Tensor, w: Tensor, gain: Tensor, logs: Tensor) -> Tensor:
        scale = logs.exp()
        return F.linear(F.rms_norm(x, x.shape[-1:], gain / scale, 1e-6), w * scale)

    def right(x: Tensor, w: Tensor, gain: Tensor, logs: Tensor) -> Tensor:
        return F.linear(F.rms_norm(x, x.shape[-1:], gain, 1e-6), w)

    return left, right


@pair(x="b c n", w="c 4")
def causal_depthwise_convolution() -> Sides:
    """Mamba's convolution, its margin cut off at the end, as four shifted copies."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        y = F.conv1d(x, w[:, None], padding=3, groups=x.shape[1])
        return F.silu(y[..., : x.shape[-1]])

    def right(x: Tensor, w: Tensor) -> Tensor:
        n = x.shape[-1]
        taps = (F.pad(x, (3 - k, 0))[..., :n] * w[:, k, None] for k in range(4))
        y = sum(taps, torch.zeros(()))
        return y * torch.sigmoid(y)

    return left, right


@pair(q="b h 3 d", k="b h 3 d", v="b h 3 e", gate="b h 3")
def gated_retention_two_ways() -> Sides:
    """Decays between steps by differences of sums of logarithms, and step by step."""

    def left(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
        until = F.logsigmoid(gate).cumsum(-1)
        decay = torch.exp(until[..., :, None] - until[..., None, :]).tril()
        return (q @ k.mT * decay) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
        state, out = torch.zeros(()), []
        for t in range(3):
            kept = torch.sigmoid(gate[:, :, t, None, None]) * state
            state = kept + k[:, :, t, :, None] * v[:, :, t, None]
            out.append((q[:, :, t, None] @ state)[:, :, 0])
        return torch.stack(out, dim=2)

    return left, right


@pair(q="b h n d", k="b h m d", v="b h m d", sink="h")
def attention_with_a_sink() -> Sides:
    """A further score that no value belongs to adds to the normaliser alone."""

    def left(q: Tensor, k: Tensor, v: Tensor, sink: Tensor) -> Tensor:
        scores = q @ k.mT
        beside = sink[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([scores, beside], dim=-1).softmax(-1)[..., :-1] @ v

    def right(q: Tensor, k: Tensor, v: Tensor, sink: Tensor) -> Tensor:
        weights = torch.exp(q @ k.mT)
        return (weights @ v) / (weights.sum(-1, keepdim=True) + sink.exp()[:, None, None])

    return left, right


@pair(i="b d", f="b d", z="b d", c="b d", n="b d", m="b d")
def stabilised_exponential_gates() -> Sides:
    """xLSTM's state scaled by exp(−m), with m the larger of two exponents."""

    def left(i: Tensor, f: Tensor, z: Tensor, c: Tensor, n: Tensor, m: Tensor) -> Tensor:
        kept, new = torch.sigmoid(f) * torch.exp(m), torch.exp(i)
        return (kept * c + new * torch.tanh(z)) / (kept * n + new)

    def right(i: Tensor, f: Tensor, z: Tensor, c: Tensor, n: Tensor, m: Tensor) -> Tensor:
        forget = F.logsigmoid(f) + m
        larger = torch.maximum(forget, i)
        kept, new = torch.exp(forget - larger), torch.exp(i - larger)
        return (kept * c + new * torch.tanh(z)) / (kept * n + new)

    return left, right


@pair(x="b 4 d")
def rows_by_a_list_of_indices() -> Sides:
    """Indices in a list count from the end where they are negative."""

    def left(x: Tensor) -> Tensor:
        return x[:, [[-1, 0], [-2, 1]]]

    def right(x: Tensor) -> Tensor:
        return torch.stack([x[:, 3], x[:, 0], x[:, 2], x[:, 1]], dim=1).unflatten(1, (2, 2))

    return left, right


@pair(x="b 2*n d")
def last_rows_by_negative_positions() -> Sides:
    """Positions that are negative at every size count from the end."""

    def left(x: Tensor) -> Tensor:
        return x[:, -1 - torch.arange(x.shape[1] // 2)]

    def right(x: Tensor) -> Tensor:
        return x.flip(1)[:, : x.shape[1] // 2]

    return left, right


@pair(q="b h n d", k="b h n d", v="b h n d", table="8 h")
def relative_bias_by_clamped_distances() -> Sides:
    """T5's buckets: positions after the query count as distance 0, far ones as the last."""

    def left(q: Tensor, k: Tensor, v: Tensor, table: Tensor) -> Tensor:
        i = torch.arange(q.shape[2])
        ahead = i[None, :] - i[:, None]
        behind = torch.clamp(-torch.min(ahead, torch.zeros_like(ahead)), max=7)
        bias = F.embedding(behind, table).permute(2, 0, 1).unsqueeze(0)
        return torch.softmax(q @ k.transpose(3, 2) + bias, dim=-1) @ v

    def right(q: Tensor, k: Tensor, v: Tensor, table: Tensor) -> Tensor:
        i = torch.arange(q.shape[2])
        bias = table.T[:, (i[:, None] - i).clamp(0, 7)]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=1.0)

    return left, right


# Equal, but plain torch.export fixes a size that the pair leaves open


@pair(q="b h n d", k="b h m d", v="b h m d")
def attention_with_math_sqrt() -> Sides:
    """math.sqrt(d) asks the traced size for a float, which fixes d unless sqrt is replaced."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(-1) @ v

    return left, sdpa


@pair(x="b c n+k", w="o c k+1")
def conv1d_as_unfold_of_any_width() -> Sides:
    """Tensor.unfold fixes the width of its window."""

    def left(x: Tensor, w: Tensor) -> Tensor:
        return F.conv1d(x, w)

    def right(x: Tensor, w: Tensor) -> Tensor:
        return torch.einsum("bcnk,ock->bon", x.unfold(2, w.shape[-1], 1), w)

    return left, right


@pair(a="n m", b="m p", c="p r", d="r s")
def matmul_chain_by_multi_dot() -> Sides:
    """multi_dot chooses an order by comparing the sizes it is traced with."""

    def left(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return torch.linalg.multi_dot([a, b, c, d])

    def right(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return a @ b @ c @ d

    return left, right


@pair(ids="b n : int", table="v d", assume=("ids < v",))
def embedding_is_one_hot_function() -> Sides:
    """F.one_hot fixes the number of classes."""

    def left(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding(ids, table)

    def right(ids: Tensor, table: Tensor) -> Tensor:
        return F.one_hot(ids, table.shape[0]).to(table.dtype) @ table

    return left, right


@pair(x="n m")
def minimum_is_a_maximum_of_opposites() -> Sides:
    """min a = −max(−a), with a shift and a factor taken out."""

    def left(x: Tensor) -> Tensor:
        return (3 * x + 1).amin(-1)

    def right(x: Tensor) -> Tensor:
        return 1 - 3 * (-x).amax(-1)

    return left, right


def by_position(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
    """Causal attention in which a score grows by its head's slope from key to key."""
    n = q.shape[-2]
    i = torch.arange(n)
    scores = q @ k.mT / math.sqrt(q.shape[-1]) + slopes[:, None, None] * (i[None] - i[:, None])
    later = torch.ones(n, n, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v


@pair(q="b h n d", k="b h n d", v="b h n d", slopes="h")
def causal_alibi_by_distance() -> Sides:
    """|i − j| is i − j where the mask leaves a score."""

    def left(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        bias = -slopes[:, None, None] * (i[:, None] - i[None]).abs()
        seen = i[:, None] >= i[None]
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.masked_fill(~seen, -torch.inf)
        )

    return left, by_position


@pair(q="b h n d", k="b h n d", v="b h n d", slopes="h")
def causal_alibi_by_clamped_distance() -> Sides:
    """max(i − j, 0) is i − j where the mask leaves a score."""

    def left(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        bias = -slopes[:, None, None] * (i[:, None] - i[None]).clamp(min=0)
        seen = i[:, None] >= i[None]
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.masked_fill(~seen, -torch.inf)
        )

    return left, by_position


@pair(q="b h n d", k="b h n d", v="b h n d", slopes="h")
def causal_alibi_by_key_alone() -> Sides:
    """What the bias has of the query goes with the softmax, also behind a mask."""

    def left(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        bias = slopes[:, None, None] * i
        seen = i[:, None] >= i[None]
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.masked_fill(~seen, -torch.inf)
        )

    return left, by_position


@pair(q="b n d", k="b n d", v="b n d")
def retention_by_logarithm() -> Sides:
    """0.9^(i − j) as exp of log 0.9, which is a float of its own."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2])
        distance = (i[:, None] - i[None]).to(q.dtype)
        decay = torch.where(distance >= 0, torch.exp(math.log(0.9) * distance), 0.0)
        return (q @ k.mT * decay) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i = torch.arange(q.shape[-2], dtype=q.dtype)
        return (q @ k.mT * (0.9 ** (i[:, None] - i[None])).tril()) @ v

    return left, right


@pair(q="b h 3 d", k="b h 3 d", v="b h 3 e")
def retention_of_three_steps() -> Sides:
    """The recurrent form against powers of the decay."""

    def left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        i = torch.arange(3)
        distance = i[:, None] - i
        decay = torch.where(distance >= 0, 0.9 ** distance.clamp(min=0).to(q.dtype), 0.0)
        return (q @ k.mT * decay) @ v

    def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        state = torch.zeros_like(k[:, :, 0, :, None] * v[:, :, 0, None, :])
        outputs = []
        for t in range(3):
            state = 0.9 * state + k[:, :, t, :, None] * v[:, :, t, None, :]
            outputs.append((q[:, :, t, None] @ state).squeeze(-2))
        return torch.stack(outputs, 2)

    return left, right


@pair(x="b h w c")
def shifted_windows_and_back() -> Sides:
    """Cyclic shifts there and back: at an end, an index is known."""

    def left(x: Tensor) -> Tensor:
        return torch.roll(torch.roll(x, (-1, -1), (1, 2)).exp(), (1, 1), (1, 2))

    def right(x: Tensor) -> Tensor:
        return x.exp()

    return left, right
