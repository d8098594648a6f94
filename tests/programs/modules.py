"""Pairs of modules that are the same function for all batch sizes and lengths.

Sides are classes without arguments to their constructors, or module instances; widths are concrete
numbers, batch and length are names.  In ``PAIRS`` parameters match by name; in ``EXPRESSED`` some
are given as expressions over the other side's; ``LATER`` needs more operators.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Pair, Sides, collector

PAIRS: list[Pair] = []
EXPRESSED: list[Pair] = []
LATER: list[Pair] = []
pair = collector(PAIRS)
expressed = collector(EXPRESSED)
later = collector(LATER)

WIDTH = 8
HEADS = 2
HIDDEN = 12
VOCABULARY = 11


# Layers


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, HIDDEN)
        self.down = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


class MlpByMatmul(Mlp):
    """The same on flattened rows, with GELU written out."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, WIDTH)
        hidden = torch.addmm(self.up.bias, rows, self.up.weight.T)
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        return (hidden @ self.down.weight.T + self.down.bias).view_as(x)


class MlpInShards(Mlp):
    """The same with its hidden axis in two shards: column-parallel, then row-parallel."""

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.down.bias
        for i in range(2):
            shard = slice(i * HIDDEN // 2, (i + 1) * HIDDEN // 2)
            hidden = F.gelu(F.linear(x, self.up.weight[shard], self.up.bias[shard]))
            total = total + F.linear(hidden, self.down.weight[:, shard])
        return total


class SwiGlu(nn.Module):
    """A gated unit with separate gate and up projections."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.up = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return out


class SwiGluPackedOnTheFly(SwiGlu):
    """The same with both weights concatenated, and the activation written out."""

    def forward(self, x: Tensor) -> Tensor:
        packed = F.linear(x, torch.cat([self.gate.weight, self.up.weight]))
        gate, up = packed.split(HIDDEN, dim=-1)
        out: Tensor = self.down(gate * torch.sigmoid(gate) * up)
        return out


class SwiGluPacked(nn.Module):
    """The same with one packed projection as its parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class RmsNorm(nn.Module):
    """Root-mean-square norm as most model files write it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class LayerNorm(nn.Module):
    """Layer norm with the variance as E[x²] − E[x]²."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        var = x.square().mean(-1, keepdim=True) - mean.square()
        return (x - mean) / torch.sqrt(var + 1e-5) * self.weight + self.bias


class Attention(nn.Module):
    """Causal self-attention with separate projections, by PyTorch's operator."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH)
        self.k = nn.Linear(WIDTH, WIDTH)
        self.v = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = (
            layer(x).view(b, n, HEADS, c // HEADS).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).reshape(b, n, c))
        return out


class AttentionByEinsum(Attention):
    """The same with scores written out, heads last, and a mask by comparison."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (HEADS, -1)) for layer in (self.q, self.k, self.v))
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(WIDTH // HEADS)
        position = torch.arange(x.shape[1])
        scores = scores.masked_fill(position[None, :] > position[:, None], float("-inf"))
        heads = torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v)
        out: Tensor = self.out(heads.flatten(2))
        return out


class PackedAttention(nn.Module):
    """The same with one packed projection as its parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out


class GroupedAttention(nn.Module):
    """Two query heads for one key head, keys repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.kv = nn.Linear(WIDTH, WIDTH, bias=False)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Four query heads, two key heads and two value heads, of width 2."""
        q = self.q(x).unflatten(-1, (4, 2)).transpose(1, 2)
        k, v = self.kv(x).unflatten(-1, (2, 2, 2)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x)
        k, v = k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
        weights = (q @ k.mT / math.sqrt(2)).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


class GroupedAttentionByBroadcast(GroupedAttention):
    """The same with an axis for the group, over which keys broadcast."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x)
        q = q.unflatten(1, (2, 2))
        heads = F.scaled_dot_product_attention(q, k[:, :, None], v[:, :, None])
        return heads.flatten(1, 2).transpose(1, 2).flatten(2)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, attention: type[nn.Module] = Attention, mlp: type[nn.Module] = Mlp) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class BlockRewritten(Block):
    """The same from rewritten parts, with the second gain folded into the next layer."""

    def __init__(self) -> None:
        super().__init__(AttentionByEinsum, Mlp)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(self.norm1(x)) + x
        up, down = self.mlp.up, self.mlp.down
        assert isinstance(up, nn.Linear)
        assert isinstance(down, nn.Linear)
        weight = up.weight * self.norm2.weight
        bias = up.bias + up.weight @ self.norm2.bias
        hidden = F.gelu(F.linear(F.layer_norm(x, (WIDTH,)), weight, bias))
        return F.linear(hidden, down.weight) + (down.bias + x)


class Stack(nn.Module):
    """Two blocks in a list."""

    def __init__(self, block: type[nn.Module] = Block) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([block(), block()])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.blocks
        out: Tensor = second(first(x))
        return out


class StackRewritten(Stack):
    """Two rewritten blocks."""

    def __init__(self) -> None:
        super().__init__(BlockRewritten)


class LanguageModel(nn.Module):
    """Tied embedding, one residual MLP, log-probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.mlp = Mlp()

    def forward(self, ids: Tensor) -> Tensor:
        x: Tensor = self.embedding(ids)
        x = x + self.mlp(x)
        return (x @ self.embedding.weight.T).log_softmax(-1)


class LanguageModelByOneHot(LanguageModel):
    """The same with the lookup as a product, and the normaliser written out."""

    def forward(self, ids: Tensor) -> Tensor:
        table = self.embedding.weight
        one_hot = (ids[..., None] == torch.arange(VOCABULARY)).to(table.dtype)
        x = one_hot @ table
        x = x + self.mlp(x)
        logits = torch.einsum("bnc,vc->bnv", x, table)
        return logits - logits.logsumexp(-1, keepdim=True)


class PatchEmbedding(nn.Module):
    """Patches of 2 × 2 by a strided convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out.flatten(2).transpose(1, 2)


class PatchEmbeddingByLinear(PatchEmbedding):
    """The same by a view and a linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 1, 3, 5)
        weight = self.proj.weight.flatten(1)
        return F.linear(patches.flatten(3).flatten(1, 2), weight, self.proj.bias)


class LoRa(nn.Module):
    """A linear layer with a low-rank addition."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(WIDTH, HIDDEN)
        self.a = nn.Parameter(torch.zeros(3, WIDTH))
        self.b = nn.Parameter(torch.zeros(HIDDEN, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x)
        return out + 0.5 * (x @ self.a.T @ self.b.T)


class LoRaMerged(LoRa):
    """The same with the addition merged into the weight at each call."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.base.weight + 0.5 * (self.b @ self.a), self.base.bias)


class Projection(nn.Module):
    """A linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(WIDTH, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


# Pairs


@pair(x=f"b n {WIDTH}")
def mlp_two_styles() -> Sides:
    """Linear layers by addmm on flattened rows, and GELU by erf."""
    return Mlp, MlpByMatmul


@pair(x=f"b n {WIDTH}")
def mlp_in_shards() -> Sides:
    """A contraction over a cut axis is the sum over its parts; the bias is added once."""
    return Mlp, MlpInShards


@pair(x=f"b n {WIDTH}")
def swiglu_two_styles() -> Sides:
    """A linear layer of stacked weights is the concatenation of the layers."""
    return SwiGlu, SwiGluPackedOnTheFly


@pair(x=f"b n {WIDTH}")
def rms_norm_module() -> Sides:
    """nn.RMSNorm by its definition; the right side is an instance."""
    return RmsNorm, nn.RMSNorm(WIDTH, eps=1e-6)


@pair(x=f"b n {WIDTH}")
def layer_norm_module() -> Sides:
    """nn.LayerNorm in one pass; both sides are instances."""
    return LayerNorm(), nn.LayerNorm(WIDTH)


@pair(x=f"b n {WIDTH}")
def causal_attention_two_styles() -> Sides:
    """The operator against einsum, a mask by comparison and the scale written out."""
    return Attention, AttentionByEinsum


@pair(x=f"b n {WIDTH}")
def grouped_attention_two_styles() -> Sides:
    """Repeated keys against broadcast ones."""
    return GroupedAttention, GroupedAttentionByBroadcast


@pair(x=f"b n {WIDTH}")
def block_rewritten() -> Sides:
    """Rewritten attention, a gain and a shift folded, residuals reassociated."""
    return Block, BlockRewritten


@pair(x=f"b n {WIDTH}")
def stack_rewritten() -> Sides:
    """Two blocks, each rewritten."""
    return Stack, StackRewritten


@pair(ids="b n : int", assume=(f"ids < {VOCABULARY}",))
def language_model_by_one_hot() -> Sides:
    """A lookup is a product with one-hot rows; log-softmax by log-sum-exp."""
    return LanguageModel, LanguageModelByOneHot


@pair(x="b 3 2*n 2*m")
def patch_embedding_module() -> Sides:
    """A convolution whose stride is its kernel is a linear layer on patches."""
    return PatchEmbedding, PatchEmbeddingByLinear


@pair(x=f"b n {WIDTH}")
def lora_merged_module() -> Sides:
    """x Wᵀ + s·(x Aᵀ) Bᵀ = x (W + s·B A)ᵀ."""
    return LoRa, LoRaMerged


@pair(x=f"b n {WIDTH}", parameters={"gate_up.weight": "cat(gate.weight, up.weight)"})
def swiglu_packed_parameters() -> Sides:
    """The packed weight is the concatenation of the two."""
    return SwiGlu, SwiGluPacked


@pair(
    x=f"b n {WIDTH}",
    parameters={
        "qkv.weight": "cat(q.weight, k.weight, v.weight)",
        "qkv.bias": "cat(q.bias, k.bias, v.bias)",
    },
)
def attention_packed_parameters() -> Sides:
    """The packed projection is the concatenation of the three."""
    return Attention, PackedAttention


@pair(
    x=f"b n {WIDTH}",
    parameters={"proj.weight": "base.weight + 0.5 * (b @ a)", "proj.bias": "base.bias"},
)
def lora_merged_parameters() -> Sides:
    """The merged weight is W + s·B A."""
    return LoRa, Projection


class MultiheadAttention(nn.Module):
    """PyTorch's own attention module, its weights not returned."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x, x, x, need_weights=False)[0]
        return out


class FullAttention(Attention):
    """Attention without a mask, by the definition."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        weights = (q @ k.mT / math.sqrt(WIDTH // HEADS)).softmax(-1)
        out: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return out


class BufferedAttention(Attention):
    """Causal attention with a mask kept in a buffer and cut to the length, as in nanoGPT."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(64, 64).tril().bool(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        q, k, v = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = q @ k.mT / math.sqrt(WIDTH // HEADS)
        scores = scores.masked_fill(~self.mask[:n, :n], float("-inf"))
        out: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return out


@pair(
    x=f"b n {WIDTH}",
    parameters={
        "inner.in_proj_weight": "cat(q.weight, k.weight, v.weight)",
        "inner.in_proj_bias": "cat(q.bias, k.bias, v.bias)",
        "inner.out_proj.weight": "out.weight",
        "inner.out_proj.bias": "out.bias",
    },
)
def multihead_attention_by_hand() -> Sides:
    """nn.MultiheadAttention with packed weights against hand-written attention."""
    return MultiheadAttention, FullAttention


class RotaryAttention(nn.Module):
    """Causal attention with rotary embeddings, its channels in one of two orders."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.k = nn.Linear(WIDTH, WIDTH, bias=False)
        self.v = nn.Linear(WIDTH, WIDTH, bias=False)

    def angles(self, x: Tensor) -> Tensor:
        """Positions times two frequencies."""
        return torch.arange(x.shape[1])[:, None] * torch.tensor([1.0, 0.125], dtype=x.dtype)

    def turn(self, x: Tensor) -> Tensor:
        """Neighbouring channels as complex numbers, as in the first release of Llama."""
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        angles = self.angles(x)[:, None]
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (HEADS, -1)) for layer in (self.q, self.k, self.v))
        q, k, v = (y.transpose(1, 2) for y in (self.turn(q), self.turn(k), v))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return heads.transpose(1, 2).flatten(2)


class HalfRotatedAttention(RotaryAttention):
    """The first half of the channels against the second, as in most libraries."""

    def turn(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        angles = self.angles(x)[:, None].repeat(1, 1, 2)
        return x * angles.cos() + torch.cat((-second, first), -1) * angles.sin()


_PERMUTED = (
    f"view(permute(view({{0}}.weight, {HEADS}, 2, 2, {WIDTH}), 0, 2, 1, 3), {WIDTH}, {WIDTH})"
)


@pair(
    x=f"b n {WIDTH}",
    parameters={
        "q.weight": _PERMUTED.format("q"),
        "k.weight": _PERMUTED.format("k"),
        "v.weight": "v.weight",
    },
)
def rotary_attention_with_permuted_weights() -> Sides:
    """The two forms of rotary embeddings differ by a permutation of the weights' rows."""
    return RotaryAttention, HalfRotatedAttention


class WeightedAttention(nn.Module):
    """PyTorch's own attention module, with its weights averaged over heads."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        out, weights = self.inner(x, y, y)
        return out, weights


class CrossAttention(nn.Module):
    """Attention of one sequence to another, and its weights, by the definition."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.k = nn.Linear(WIDTH, WIDTH, bias=False)
        self.v = nn.Linear(WIDTH, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = (
            layer(z).unflatten(-1, (HEADS, -1))
            for layer, z in ((self.q, x), (self.k, y), (self.v, y))
        )
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(WIDTH // HEADS)
        weights = scores.softmax(-1)
        heads = torch.einsum("bhnm,bmhd->bnhd", weights, v)
        return self.out(heads.flatten(2)), weights.mean(1)


@pair(
    x=f"b n {WIDTH}",
    y=f"b m {WIDTH}",
    parameters={
        "inner.in_proj_weight": "cat(q.weight, k.weight, v.weight)",
        "inner.out_proj.weight": "out.weight",
    },
)
def multihead_attention_with_weights() -> Sides:
    """nn.MultiheadAttention to another sequence, and the mean of its heads' weights."""
    return WeightedAttention, CrossAttention


class NormedConvolution(nn.Module):
    """A convolution and batch norm, in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


class FoldedConvolution(NormedConvolution):
    """The same as one convolution, folded at each call."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.conv, self.norm
        assert conv.bias is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias + (conv.bias - norm.running_mean) * scale
        return F.conv2d(x, conv.weight * scale[:, None, None, None], bias, padding=1)


@pair(x="b 3 n m")
def batch_norm_folds_into_convolution_module() -> Sides:
    """nn.BatchNorm2d in evaluation is a scale and a shift of each kernel."""
    return NormedConvolution, FoldedConvolution


class EncoderLayer(nn.Module):
    """PyTorch's own encoder layer, with its norms first and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=True
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class EncoderLayerByHand(nn.Module):
    """The same with a packed projection, heads by a view, and the softmax written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.up = nn.Linear(WIDTH, HIDDEN)
        self.down = nn.Linear(HIDDEN, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        heads = self.qkv(self.norm1(x)).view(b, n, 3, HEADS, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS), dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, n, WIDTH))
        out: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return out


ENCODER = {
    "layer.self_attn.in_proj_weight": "qkv.weight",
    "layer.self_attn.in_proj_bias": "qkv.bias",
    "layer.self_attn.out_proj.weight": "out.weight",
    "layer.self_attn.out_proj.bias": "out.bias",
    "layer.linear1.weight": "up.weight",
    "layer.linear1.bias": "up.bias",
    "layer.linear2.weight": "down.weight",
    "layer.linear2.bias": "down.bias",
    "layer.norm1.weight": "norm1.weight",
    "layer.norm1.bias": "norm1.bias",
    "layer.norm2.weight": "norm2.weight",
    "layer.norm2.bias": "norm2.bias",
}


@pair(x=f"b n {WIDTH}", parameters=ENCODER)
def encoder_layer_by_hand() -> Sides:
    """nn.TransformerEncoderLayer in evaluation, written out."""
    return EncoderLayer, EncoderLayerByHand


class PaddedAttention(nn.Module):
    """PyTorch's own attention module with a padding mask, and what it gives where a key is left."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor, gone: Tensor) -> Tensor:
        out: Tensor = self.inner(x, x, x, key_padding_mask=gone, need_weights=False)[0]
        return out


class PaddedAttentionByHand(FullAttention):
    """The same with masked scores chosen to be −∞, and the scale on queries."""

    def forward(self, x: Tensor, gone: Tensor) -> Tensor:  # type: ignore[override]
        q, k, v = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = (q * (WIDTH // HEADS) ** -0.5) @ k.mT
        scores = torch.where(gone[:, None, None, :], float("-inf"), scores)
        out: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return out


@pair(
    x=f"b n {WIDTH}",
    gone="b n : bool",
    parameters={
        "inner.in_proj_weight": "cat(q.weight, k.weight, v.weight)",
        "inner.in_proj_bias": "cat(q.bias, k.bias, v.bias)",
        "inner.out_proj.weight": "out.weight",
        "inner.out_proj.bias": "out.bias",
    },
)
def multihead_attention_with_padding() -> Sides:
    """nn.MultiheadAttention with key_padding_mask, where a key is left in every row."""
    return PaddedAttention, PaddedAttentionByHand


class LatentAttention(nn.Module):
    """Causal attention whose keys and values are linear in a normed latent row."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, HEADS * 4, bias=False)
        self.latent = nn.Linear(WIDTH, 5, bias=False)
        self.norm = nn.RMSNorm(5, eps=1e-6)
        self.kv = nn.Linear(5, HEADS * 7, bias=False)
        self.out = nn.Linear(HEADS * 3, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, HEADS, 4).transpose(1, 2)
        kv = self.kv(self.norm(self.latent(x))).view(b, n, HEADS, 7).transpose(1, 2)
        k, v = kv.split([4, 3], dim=-1)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).reshape(b, n, -1))
        return out


class LatentAttentionAbsorbed(LatentAttention):
    """The same on latent rows alone: both projections go to the other side."""

    def absorbed(self) -> Tensor:
        """The weights of keys and of values, by head."""
        return self.kv.weight.view(HEADS, 7, 5)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        weight = self.absorbed()
        q = torch.einsum("bnhd,hdr->bnhr", self.q(x).view(b, n, HEADS, 4), weight[:, :4])
        rows = self.norm(self.latent(x))
        scores = torch.einsum("bnhr,bmr->bhnm", q, rows) * 0.5
        scores = scores + torch.full((n, n), float("-inf")).triu(1)
        heads = torch.einsum("bhnm,bmr->bnhr", scores.softmax(-1), rows)
        out: Tensor = self.out(torch.einsum("bnhr,hvr->bnhv", heads, weight[:, 4:]).flatten(2))
        return out


@pair(x=f"b n {WIDTH}")
def latent_attention_absorbed_module() -> Sides:
    """Scores and values by latent rows: (W k)·q = k·(Wᵀ q), and Σ p (W c) = W Σ p c."""
    return LatentAttention, LatentAttentionAbsorbed


class Experts(nn.Module):
    """A dense mixture of four experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, 4, bias=False)
        self.up = nn.Parameter(torch.zeros(4, HIDDEN, WIDTH))
        self.down = nn.Parameter(torch.zeros(4, WIDTH, HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.silu(torch.einsum("bnd,efd->bnef", x, self.up))
        return torch.einsum("bne,bnef,edf->bnd", self.gate(x).softmax(-1), hidden, self.down)


class ExpertsInALoop(Experts):
    """The same expert by expert."""

    def forward(self, x: Tensor) -> Tensor:
        shares = torch.softmax(self.gate(x), dim=-1)
        out = torch.zeros_like(x)
        for e in range(4):
            out = out + shares[..., e : e + 1] * (F.silu(x @ self.up[e].T) @ self.down[e].T)
        return out


@pair(x=f"b n {WIDTH}")
def experts_in_a_loop() -> Sides:
    """A contraction over experts is the sum over them."""
    return Experts, ExpertsInALoop


class TransposedMlp(nn.Module):
    """Weights with inputs first, as in GPT-2, and its own GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.c_fc = nn.Parameter(torch.zeros(WIDTH, HIDDEN))
        self.c_proj = nn.Parameter(torch.zeros(HIDDEN, WIDTH))
        self.b_fc = nn.Parameter(torch.zeros(HIDDEN))
        self.b_proj = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.addmm(self.b_fc, x.view(-1, WIDTH), self.c_fc)
        inner = math.sqrt(2.0 / math.pi) * (h + 0.044715 * torch.pow(h, 3.0))
        h = 0.5 * h * (1.0 + torch.tanh(inner))
        return torch.addmm(self.b_proj, h, self.c_proj).view(x.shape)


class TanhMlp(Mlp):
    """Two linear layers with the approximate GELU between them."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return out


@pair(
    x=f"b n {WIDTH}",
    parameters={
        "c_fc": "up.weight.T",
        "c_proj": "down.weight.T",
        "b_fc": "up.bias",
        "b_proj": "down.bias",
    },
)
def mlp_with_transposed_weights() -> Sides:
    """The weights of one side are those of the other, transposed."""
    return TransposedMlp, TanhMlp


class Branches(nn.Module):
    """A convolution, a pointwise one and the identity side by side, as RepVGG trains."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 4, 3, padding=1)
        self.point = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.wide(x) + self.point(x) + x
        return out


class BranchesMerged(Branches):
    """The same as one convolution."""

    def forward(self, x: Tensor) -> Tensor:
        eye = torch.eye(4, dtype=x.dtype)[:, :, None, None]
        weight = self.wide.weight + F.pad(self.point.weight + eye, (1, 1, 1, 1))
        assert self.wide.bias is not None
        assert self.point.bias is not None
        return F.conv2d(x, weight, self.wide.bias + self.point.bias, padding=1)


@pair(x="b 4 n m")
def branches_merge_into_a_convolution() -> Sides:
    """A pointwise kernel and the identity are kernels with a margin of zeros."""
    return Branches, BranchesMerged


class ChannelsLast(nn.Module):
    """A block of ConvNeXt, its norm and its layers on the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = Mlp()
        self.gamma = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depth(x).permute(0, 2, 3, 1)
        out: Tensor = x + (self.mlp(self.norm(y)) * self.gamma).permute(0, 3, 1, 2)
        return out


class ChannelsFirst(ChannelsLast):
    """The same on the axis of channels, by pointwise convolutions, the scale in the last one."""

    def forward(self, x: Tensor) -> Tensor:
        y, up, down = self.depth(x), self.mlp.up, self.mlp.down
        centred = y - y.mean(1, keepdim=True)
        y = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-6)
        y = self.norm.weight[:, None, None] * y + self.norm.bias[:, None, None]
        y = F.gelu(F.conv2d(y, up.weight[:, :, None, None], up.bias))
        weight = self.gamma[:, None] * down.weight
        return x + F.conv2d(y, weight[:, :, None, None], self.gamma * down.bias)


@pair(x=f"b {WIDTH} n m")
def channels_first_and_last() -> Sides:
    """Layers on one axis are natural in the others, wherever it stands."""
    return ChannelsLast, ChannelsFirst


class Recurrent(nn.Module):
    """PyTorch's own cell of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self.cell(x, (h, c))
        return out


class RecurrentByHand(Recurrent):
    """The same by its equations."""

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """The sums of input, forget, cell and output gates."""
        cell = self.cell
        sums = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
        return sums.chunk(4, dim=-1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return o.sigmoid() * torch.tanh(c), c


@pair(x=f"b {WIDTH}", h=f"b {WIDTH}", c=f"b {WIDTH}")
def lstm_cell_by_hand() -> Sides:
    """nn.LSTMCell by its equations, two outputs."""
    return Recurrent, RecurrentByHand


@pair(x=f"b n {WIDTH}", assume=("n <= 64",))
def causal_mask_from_a_buffer() -> Sides:
    """The buffer holds a triangle of side 64, so that lengths up to 64 are causal."""
    return Attention, BufferedAttention
