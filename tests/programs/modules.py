"""Pairs of modules that are the same function for all batch sizes and lengths.

Sides are classes without arguments to their constructors, or module instances; widths are concrete
numbers, batch and length are names.  Parameters match by name, or are given as expressions over the
other side's.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Pair, Sides, collector

PAIRS: list[Pair] = []
pair = collector(PAIRS)

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


class ParallelBlock(nn.Module):
    """A block of GPT-NeoX: both branches read the input, and half of each head is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = Mlp()

    def heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, packed head by head."""
        b, n, _ = x.shape
        packed = self.qkv(x).view(b, n, HEADS, 12)
        return tuple(t.transpose(1, 2) for t in packed.split(4, dim=-1))

    def turn(self, x: Tensor) -> Tensor:
        """The first two channels of four by tables of cosines and sines."""
        turned, passed = x[..., :2], x[..., 2:]
        frequencies = 1.0 / 100 ** (torch.arange(0, 2, 2, dtype=x.dtype) / 2)
        angles = torch.outer(torch.arange(x.shape[2], dtype=x.dtype), frequencies)
        angles = torch.cat((angles, angles), dim=-1)
        first, second = turned.chunk(2, dim=-1)
        other = torch.cat((-second, first), dim=-1)
        return torch.cat((turned * angles.cos() + other * angles.sin(), passed), dim=-1)

    def attend(self, x: Tensor) -> Tensor:
        """Causal attention."""
        q, k, v = self.heads(x)
        heads = F.scaled_dot_product_attention(self.turn(q), self.turn(k), v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).reshape(x.shape))
        return out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.attend(self.norm1(x)) + self.mlp(self.norm2(x))
        return out


class ParallelBlockRewritten(ParallelBlock):
    """The same with the turned channels one by one, and the softmax written out."""

    def turn(self, x: Tensor) -> Tensor:
        """Two channels by the cosine and the sine of the position."""
        position = torch.arange(x.shape[2], dtype=x.dtype)[:, None]
        c, s = torch.cos(position), torch.sin(position)
        first, second = x[..., 0:1], x[..., 1:2]
        return torch.cat([first * c - second * s, second * c + first * s, x[..., 2:]], dim=-1)

    def attend(self, x: Tensor) -> Tensor:
        """Causal attention by einsum."""
        n = x.shape[1]
        q, k, v = self.qkv(x).unflatten(-1, (HEADS, 3, 4)).permute(3, 0, 2, 1, 4)
        scores = torch.einsum("bhid,bhjd->bhij", self.turn(q), self.turn(k)) / math.sqrt(4)
        scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf)
        heads = torch.einsum("bhij,bhjd->bihd", scores.softmax(-1), v)
        out: Tensor = self.out(heads.flatten(2))
        return out


@pair(x=f"b n {WIDTH}")
def parallel_residual_with_partial_rotary() -> Sides:
    """Branches that read the same input add in any order."""
    return ParallelBlock, ParallelBlockRewritten


class MultiQuery(nn.Module):
    """Falcon's attention: the last two of the packed heads are the key and the value of all."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, WIDTH + 8, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        packed = self.qkv(x).view(b, n, HEADS + 2, 4)
        parts = (packed[..., :-2, :], packed[..., [-2], :], packed[..., [-1], :])
        q, k, v = (t.transpose(1, 2) for t in parts)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).reshape(b, n, WIDTH))
        return out


class MultiQueryByEinsum(MultiQuery):
    """The same with the packed projection split, and no axis of heads on keys and values."""

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        q, k, v = self.qkv(x).split([WIDTH, 4, 4], dim=-1)
        scores = torch.einsum("bnhd,bmd->bhnm", q.unflatten(-1, (HEADS, 4)), k) * 0.5
        i = torch.arange(n)
        scores = torch.where(i[:, None] >= i, scores, torch.full_like(scores, -math.inf))
        heads = torch.einsum("bhnm,bmd->bnhd", scores.softmax(-1), v)
        out: Tensor = self.out(heads.flatten(2))
        return out


@pair(x=f"b n {WIDTH}")
def multi_query_by_negative_indices() -> Sides:
    """Indices in lists count from the end where they are negative."""
    return MultiQuery, MultiQueryByEinsum


class ParallelAttention(nn.Module):
    """Causal attention on one device."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        packed = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (HEADS, 4)).transpose(1, 2) for t in packed)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out


class ParallelAttentionInShards(ParallelAttention):
    """The same with a head on each of two devices, and a sum over them."""

    def shard(self, x: Tensor, rank: int) -> Tensor:
        """What one device adds."""
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        q, k, v = (
            F.linear(x, weight.chunk(HEADS)[rank], bias.chunk(HEADS)[rank])
            for weight, bias in zip(weights, biases, strict=True)
        )
        head = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.linear(head, self.out.weight.chunk(HEADS, dim=1)[rank])

    def forward(self, x: Tensor) -> Tensor:
        return self.shard(x, 0) + self.shard(x, 1) + self.out.bias


@pair(x=f"b n {WIDTH}")
def attention_in_shards() -> Sides:
    """The projection of joined heads is the sum of those of each head."""
    return ParallelAttention, ParallelAttentionInShards


class NormedHeads(nn.Module):
    """Attention of Qwen: each head of queries and keys has unit root mean square."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.k = nn.Linear(WIDTH, 4, bias=False)
        self.v = nn.Linear(WIDTH, 4, bias=False)
        self.q_norm = nn.RMSNorm(4, eps=1e-6)
        self.k_norm = nn.RMSNorm(4, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q_norm(self.q(x).view(b, n, -1, 4)).transpose(1, 2)
        k = self.k_norm(self.k(x).view(b, n, -1, 4)).transpose(1, 2)
        v = self.v(x).view(b, n, -1, 4).transpose(1, 2)
        k, v = (t[:, :, None].expand(b, 1, 2, n, 4).reshape(b, 2, n, 4) for t in (k, v))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return heads.transpose(1, 2).reshape(b, n, WIDTH)


class NormedHeadsByHand(NormedHeads):
    """The same with the norms written out, and keys and values broadcast."""

    def normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """The norm over the last axis."""
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        q = self.normed(self.q(x).unflatten(-1, (HEADS, 4)), self.q_norm.weight)
        k = self.normed(self.k(x), self.k_norm.weight)
        scores = torch.einsum("bnhd,bmd->bhnm", q, k) * 4**-0.5
        scores = scores + torch.triu(torch.full((n, n), -torch.inf, dtype=x.dtype), 1)
        heads = torch.softmax(scores, -1) @ self.v(x)[:, None]
        out: Tensor = heads.transpose(1, 2).flatten(-2)
        return out


@pair(x=f"b n {WIDTH}")
def queries_and_keys_normed_by_head() -> Sides:
    """A norm of each head commutes with the views that split heads."""
    return NormedHeads, NormedHeadsByHand


class TimeMix(nn.Module):
    """RWKV's weighted mean of the past over three steps, by exponentials as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Linear(WIDTH, WIDTH, bias=False)
        self.v = nn.Linear(WIDTH, WIDTH, bias=False)
        self.r = nn.Linear(WIDTH, WIDTH, bias=False)
        self.mix = nn.Parameter(torch.zeros(WIDTH))
        self.decay = nn.Parameter(torch.zeros(WIDTH))
        self.first = nn.Parameter(torch.zeros(WIDTH))

    def shifted(self, x: Tensor) -> Tensor:
        """Each row mixed with the one before."""
        return x * self.mix + F.pad(x, (0, 0, 1, -1)) * (1 - self.mix)

    def averages(self, k: Tensor, v: Tensor) -> Tensor:
        """The weighted means."""
        kept = torch.exp(-torch.exp(self.decay))
        over, under, out = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0]), []
        for t in range(3):
            now, weight = torch.exp(self.first + k[:, t]), torch.exp(k[:, t])
            out.append((over + now * v[:, t]) / (under + now))
            over, under = kept * over + weight * v[:, t], kept * under + weight
        return torch.stack(out, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.shifted(x)
        return torch.sigmoid(self.r(mixed)) * self.averages(self.k(mixed), self.v(mixed))


class TimeMixStable(TimeMix):
    """The same with a running maximum of the exponents."""

    def shifted(self, x: Tensor) -> Tensor:
        """Each row mixed with the one before."""
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        return torch.lerp(before, x, self.mix)

    def averages(self, k: Tensor, v: Tensor) -> Tensor:
        """The weighted means, over and under a fraction scaled by the same exponential."""
        over, under, out = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0]), []
        top = torch.full_like(over, -torch.inf)
        for t in range(3):
            now = self.first + k[:, t]
            larger = torch.maximum(top, now)
            old, new = torch.exp(top - larger), torch.exp(now - larger)
            out.append((old * over + new * v[:, t]) / (old * under + new))
            faded = top - torch.exp(self.decay)
            top = torch.maximum(faded, k[:, t])
            old, new = torch.exp(faded - top), torch.exp(k[:, t] - top)
            over, under = old * over + new * v[:, t], old * under + new
        return torch.stack(out, dim=1)


@pair(x=f"b 3 {WIDTH}")
def time_mix_with_running_maximum() -> Sides:
    """A fraction whose sums are scaled by the same exponential is the fraction."""
    return TimeMix, TimeMixStable


class Selective(nn.Module):
    """Mamba's selective scan over three steps, a state at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.a_log = nn.Parameter(torch.zeros(6, 4))
        self.d = nn.Parameter(torch.zeros(6))
        self.x_proj = nn.Linear(6, 10, bias=False)
        self.dt = nn.Linear(2, 6)

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Steps, and what goes into the state and out of it."""
        steps, into, out_of = self.x_proj(x).split([2, 4, 4], dim=-1)
        return F.softplus(self.dt(steps)), into, out_of

    def forward(self, x: Tensor) -> Tensor:
        steps, into, out_of = self.projected(x)
        kept = torch.exp(torch.einsum("bld,dn->bldn", steps, -torch.exp(self.a_log)))
        new = torch.einsum("bld,bln,bld->bldn", steps, into, x)
        state, out = torch.zeros_like(kept[:, 0]), []
        for t in range(3):
            state = kept[:, t] * state + new[:, t]
            out.append(torch.einsum("bdn,bn->bd", state, out_of[:, t]))
        return torch.stack(out, dim=1) + x * self.d


class SelectiveByPairs(Selective):
    """The same as a sum over all earlier steps, the decays by differences of sums of steps."""

    def forward(self, x: Tensor) -> Tensor:
        steps, into, out_of = self.projected(x)
        until, out = steps.cumsum(1), []
        for t in range(3):
            total = x[:, t] * self.d
            for s in range(t + 1):
                decay = torch.exp((until[:, s] - until[:, t])[..., None] * torch.exp(self.a_log))
                weight = (decay * out_of[:, t, None] * into[:, s, None]).sum(-1)
                total = total + weight * steps[:, s] * x[:, s]
            out.append(total)
        return torch.stack(out, dim=1)


@pair(x="b 3 6")
def selective_scan_by_pairs() -> Sides:
    """A linear recurrence unrolled: products of decays are exponentials of sums."""
    return Selective, SelectiveByPairs


class Gated(nn.Module):
    """PyTorch's own cell of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, WIDTH)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        out: Tensor = self.cell(x, h)
        return out


class GatedPacked(Gated):
    """The same with two of its gates by one product with the joined input and state."""

    def candidate(self, x: Tensor, h: Tensor, reset: Tensor) -> Tensor:
        """The new state before it is mixed with the old one."""
        c, new = self.cell, slice(2 * WIDTH, None)
        from_state = F.linear(h, c.weight_hh[new], c.bias_hh[new])
        return torch.tanh(F.linear(x, c.weight_ih[new], c.bias_ih[new]) + reset * from_state)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        c, two = self.cell, slice(0, 2 * WIDTH)
        weight = torch.cat([c.weight_ih[two], c.weight_hh[two]], dim=1)
        sums = F.linear(torch.cat([x, h], dim=1), weight, c.bias_ih[two] + c.bias_hh[two])
        reset, update = torch.sigmoid(sums).chunk(2, dim=1)
        new = self.candidate(x, h, reset)
        return new + update * (h - new)


@pair(x=f"b {WIDTH}", h=f"b {WIDTH}")
def gru_cell_with_packed_gates() -> Sides:
    """nn.GRUCell with its first two gates packed over inputs and states."""
    return Gated, GatedPacked


class Bottleneck(nn.Module):
    """A block of ResNet with batch norms, its shortcut a strided convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 4, 1, bias=False)
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False)
        self.conv3 = nn.Conv2d(4, 8, 1, bias=False)
        self.down = nn.Conv2d(8, 8, 1, stride=2, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.norm2 = nn.BatchNorm2d(4)
        self.norm3 = nn.BatchNorm2d(8)
        self.norm4 = nn.BatchNorm2d(8)
        for norm in (self.norm1, self.norm2, self.norm3, self.norm4):
            norm.running_mean = torch.arange(norm.num_features) / 8
            norm.running_var = 1 + torch.arange(norm.num_features) / 4

    def normed(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """A convolution and its norm."""
        out: Tensor = norm(conv(x))
        return out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.normed(self.conv1, self.norm1, x))
        y = F.relu(self.normed(self.conv2, self.norm2, y))
        return F.relu(
            self.normed(self.conv3, self.norm3, y) + self.normed(self.down, self.norm4, x)
        )


class BottleneckFolded(Bottleneck):
    """The same with every norm in the kernel of its convolution."""

    def normed(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """A convolution with the norm folded in."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight, bias = conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale
        return F.conv2d(x, weight, bias, (conv.stride[0],) * 2, (int(conv.padding[0]),) * 2)


@pair(x="b 8 n m")
def bottleneck_with_folded_norms() -> Sides:
    """Norms fold into convolutions that are strided, padded and added."""
    return Bottleneck, BottleneckFolded


class SqueezeExcite(nn.Module):
    """A depth-wise convolution of MobileNet whose channels are scaled by their means."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.fc1 = nn.Conv2d(8, 2, 1)
        self.fc2 = nn.Conv2d(2, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.depth(x))
        scale = F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return F.hardsigmoid(self.fc2(scale)) * x


class SqueezeExciteByLinear(SqueezeExcite):
    """The same with layers on vectors, and the hard functions by clamping."""

    def pooled(self, x: Tensor) -> Tensor:
        """A number for each channel."""
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.depth(x)
        x = x * F.relu6(x + 3) / 6
        scale = F.linear(self.pooled(x), self.fc1.weight[:, :, 0, 0], self.fc1.bias).relu()
        scale = F.linear(scale, self.fc2.weight.flatten(1), self.fc2.bias)
        return x * torch.clamp(scale / 6 + 0.5, 0, 1)[:, :, None, None]


@pair(x="b 8 n m")
def squeeze_and_excite_with_hard_functions() -> Sides:
    """hardsigmoid and hardswish are clamped lines; a pointwise kernel is a matrix."""
    return SqueezeExcite, SqueezeExciteByLinear


class UpAndDown(nn.Module):
    """One level of a U-Net: pooled, upsampled by a transposed convolution, and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.leave = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = F.relu(self.enter(x))
        y = F.relu(self.middle(F.max_pool2d(skipped, 2)))
        out: Tensor = self.leave(torch.cat([self.up(y), skipped], dim=1))
        return out


class UpAndDownByViews(UpAndDown):
    """The same with views for pooling and upsampling, and the joined kernel in two."""

    def pooled(self, x: Tensor) -> Tensor:
        """The largest of each two by two values."""
        b, c, h, w = x.shape
        return x.view(b, c, h // 2, 2, w // 2, 2).amax((3, 5))

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.enter(x).relu()
        b, c, h, w = skipped.shape
        y = self.middle(self.pooled(skipped)).relu()
        up = torch.einsum("bchw,cdij->bdhiwj", y, self.up.weight).reshape(b, c, h, w)
        assert self.up.bias is not None
        assert self.leave.bias is not None
        up = up + self.up.bias[:, None, None]
        out = F.conv2d(up, self.leave.weight[:, :4], padding=1)
        out = out + F.conv2d(skipped, self.leave.weight[:, 4:], padding=1)
        return out + self.leave.bias.view(1, -1, 1, 1)


@pair(x="b 3 2*n 2*m")
def level_of_a_u_net() -> Sides:
    """A convolution of joined channels is a sum; upsampling by its stride is a product."""
    return UpAndDown, UpAndDownByViews


class Modulated(nn.Module):
    """A branch of DiT: shift, scale and gate come from the condition."""

    def __init__(self) -> None:
        super().__init__()
        self.modulation = nn.Linear(WIDTH, 3 * WIDTH)
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False, eps=1e-6)
        self.up = nn.Linear(WIDTH, HIDDEN)
        self.down = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(F.silu(c)).chunk(3, dim=1)
        y = self.norm(x) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
        y = self.down(F.gelu(self.up(y), approximate="tanh"))
        out: Tensor = x + gate.unsqueeze(1) * y
        return out


class ModulatedInTheWeight(Modulated):
    """The same with the gate in the last weight, a fused product and sum, and GELU written out."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(c * torch.sigmoid(c)).view(-1, 3, 1, WIDTH).unbind(1)
        h = self.up(torch.addcmul(shift, self.norm(x), scale + 1))
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        weight = self.down.weight * gate.transpose(1, 2)
        out: Tensor = torch.baddbmm(x, h, weight.mT) + gate * self.down.bias
        return out


@pair(x=f"b n {WIDTH}", c=f"b {WIDTH}")
def modulated_branch() -> Sides:
    """A gate of channels is a diagonal matrix, and goes into the weight before it."""
    return Modulated, ModulatedInTheWeight


class Prefill(nn.Module):
    """Causal attention over what was seen and what is new, of which the new rows are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def heads(self, x: Tensor) -> Tensor:
        """Heads before positions."""
        return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)

    def forward(self, past: Tensor, x: Tensor) -> Tensor:
        q, k, v = map(self.heads, self.qkv(torch.cat([past, x], dim=1)).chunk(3, dim=-1))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out[:, past.shape[1] :]


class ChunkedPrefill(Prefill):
    """The same with queries of the new rows alone, and a mask that is aligned at the end."""

    diagonal = 0

    def forward(self, past: Tensor, x: Tensor) -> Tensor:
        n, m = past.shape[1], x.shape[1]
        keys = slice(WIDTH, None)
        packed = F.linear(torch.cat([past, x], dim=1), self.qkv.weight[keys], self.qkv.bias[keys])
        k, v = map(self.heads, packed.chunk(2, dim=-1))
        q = self.heads(F.linear(x, self.qkv.weight[:WIDTH], self.qkv.bias[:WIDTH]))
        seen = torch.ones(m, n + m, dtype=torch.bool).tril(n + self.diagonal)
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out


@pair(past=f"b n {WIDTH}", x=f"b m {WIDTH}")
def prefill_in_chunks() -> Sides:
    """Rows of causal attention do not depend on the other queries."""
    return Prefill, ChunkedPrefill


class CachedDecoding(Prefill):
    """One new row, which sees every key."""

    causal = False

    def forward(self, past: Tensor, x: Tensor) -> Tensor:
        _, old_keys, old_values = self.qkv(past).chunk(3, dim=-1)
        q, key, value = self.qkv(x).chunk(3, dim=-1)
        k, v = torch.cat([old_keys, key], dim=1), torch.cat([old_values, value], dim=1)
        q, k, v = map(self.heads, (q, k, v))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out


@pair(past=f"b n {WIDTH}", x=f"b 1 {WIDTH}")
def decoding_with_a_cache() -> Sides:
    """The last row of causal attention sees all keys, whose projections are kept."""
    return Prefill, CachedDecoding


class PointPool(nn.Module):
    """PointNet: layers on each point by pointwise convolutions, and the largest over points."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(3, 8, 1)
        self.conv2 = nn.Conv1d(8, 16, 1)
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x.transpose(2, 1))))
        y = torch.max(y, 2, keepdim=True)[0].view(-1, 16)
        return F.log_softmax(self.fc(y), dim=1)


class PointPoolByLinear(PointPool):
    """The same with linear layers, and the last bias after the maximum."""

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.linear(x, self.conv1.weight.squeeze(-1), self.conv1.bias))
        assert self.conv2.bias is not None
        largest = F.linear(h, self.conv2.weight.squeeze(-1)).amax(1) + self.conv2.bias
        z = self.fc(largest)
        out: Tensor = z - z.logsumexp(-1, keepdim=True)
        return out


@pair(x="b n 3")
def maximum_over_points() -> Sides:
    """What is added to all values is added to the largest."""
    return PointPool, PointPoolByLinear


class ClassToken(nn.Module):
    """The embedding of a vision transformer: patches, a token in front, and positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, 5, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), y], dim=1)
        return y + self.positions


class ClassTokenByLinear(ClassToken):
    """The same with patches by a view, and the positions added to each part."""

    order = (0, 2, 4, 1, 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        b = x.shape[0]
        patches = x.view(b, 3, 2, 4, 2, 4).permute(self.order).reshape(b, 4, 48)
        y = F.linear(patches, self.patch.weight.flatten(1), self.patch.bias)
        first = (self.token + self.positions[:, :1]).expand(b, 1, WIDTH)
        return torch.cat([first, y + self.positions[:, 1:]], dim=1)


@pair(x="b 3 8 8")
def patches_behind_a_class_token() -> Sides:
    """What is added to a concatenation is added to its parts."""
    return ClassToken, ClassTokenByLinear


@pair(x=f"b n {WIDTH}", assume=("n <= 64",))
def causal_mask_from_a_buffer() -> Sides:
    """The buffer holds a triangle of side 64, so that lengths up to 64 are causal."""
    return Attention, BufferedAttention


class AdaptedQueriesAndValues(nn.Module):
    """A packed projection whose queries and values are adapted in place."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.down_q, self.up_q = nn.Linear(WIDTH, 2, bias=False), nn.Linear(2, WIDTH, bias=False)
        self.down_v, self.up_v = nn.Linear(WIDTH, 2, bias=False), nn.Linear(2, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.qkv(x)
        out[..., :WIDTH] += self.up_q(self.down_q(x))
        out[..., -WIDTH:] += self.up_v(self.down_v(x))
        return out


class AdaptedOnce(AdaptedQueriesAndValues):
    """The adaptations as one matrix, with zeros for the keys."""

    def forward(self, x: Tensor) -> Tensor:
        of_queries = self.up_q.weight @ self.down_q.weight
        of_values = self.up_v.weight @ self.down_v.weight
        change = torch.cat([of_queries, torch.zeros(WIDTH, WIDTH, dtype=x.dtype), of_values])
        return F.linear(x, self.qkv.weight + change, self.qkv.bias)


@pair(x=f"b n {WIDTH}")
def lora_on_packed_queries_and_values() -> Sides:
    """Slices of one axis: a row that is one of the queries is none of the values."""
    return AdaptedQueriesAndValues, AdaptedOnce
