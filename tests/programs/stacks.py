"""Deep stacks of decoder layers in two styles, of any depth.

``plain`` writes out root-mean-square normalisation, the causal mask, the repeated keys of grouped
queries and the gated MLP; ``fused`` calls the library for the first three and packs the last.  A
layer of ``fused`` may be ``wrong``: it attends to what comes later.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEADS, GROUPS, HIDDEN = 32, 4, 2, 48


class PlainNorm(nn.Module):
    """x / √(mean x² + ε) · w."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class FusedNorm(PlainNorm):
    """The same by the library."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


class PlainLayer(nn.Module):
    """A decoder layer with rotary positions and grouped queries, written out."""

    inverse_frequency: Tensor
    norm: type[PlainNorm] = PlainNorm

    def __init__(self) -> None:
        super().__init__()
        self.width = WIDTH // HEADS
        self.first, self.second = self.norm(WIDTH), self.norm(WIDTH)
        self.q, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(WIDTH, GROUPS * self.width, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)
        steps = torch.arange(0, self.width, 2) / self.width
        self.register_buffer("inverse_frequency", 1.0 / 10000**steps)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        y = self.first(x)
        q, k, v = (
            f(y).view(b, n, heads, self.width).transpose(1, 2)
            for f, heads in ((self.q, HEADS), (self.k, GROUPS), (self.v, GROUPS))
        )
        attended = self.attend(self.rotate(q), self.rotate(k), v)
        x = x + self.o(attended.transpose(1, 2).reshape(b, n, d))
        return x + self.mix(self.second(x))

    def rotate(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[2])[:, None] * self.inverse_frequency[None]
        both = torch.cat([angles, angles], -1)
        half = self.width // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * both.cos() + turned * both.sin()

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (x.repeat_interleave(HEADS // GROUPS, 1) for x in (k, v))
        n = q.shape[2]
        scores = q @ k.mT / math.sqrt(self.width)
        past = torch.ones(n, n, dtype=torch.bool).tril()
        return scores.masked_fill(~past, float("-inf")).softmax(-1) @ v

    def mix(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return mixed


class FusedLayer(PlainLayer):
    """The same layer by the library, its gate and values in one product."""

    norm = FusedNorm
    causal = True

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, enable_gqa=True)

    def mix(self, x: Tensor) -> Tensor:
        packed = F.linear(x, torch.cat([self.gate.weight, self.up.weight]))
        gate, up = packed.chunk(2, -1)
        mixed: Tensor = self.down(F.silu(gate) * up)
        return mixed


class WrongLayer(FusedLayer):
    """It attends to what comes later."""

    causal = False


def plain(depth: int) -> nn.Module:
    """A stack of layers, written out."""
    return nn.Sequential(*(PlainLayer() for _ in range(depth))).eval()


def fused(depth: int, wrong: int | None = None) -> nn.Module:
    """A stack of layers by the library; the one numbered ``wrong`` is."""
    return nn.Sequential(
        *(WrongLayer() if layer == wrong else FusedLayer() for layer in range(depth))
    ).eval()
