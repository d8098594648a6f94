"""Kernels by their plain definitions, each with the axis that it is streamed along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

HEADS = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
SELF = {"q": "b h n d", "k": "b h n d", "v": "b h n d"}
LATENT = {"q": "b h n d", "c": "b m r", "wk": "h r d", "wv": "h r d"}
ROWS = {"q": "n d", "k": "m d", "v": "m e"}
VOCABULARY = {"h": "n d", "w": "d m", "y": "n : integer"}


@dataclass(frozen=True)
class Definition:
    """A program, its inputs, and the axis that its streamed form passes over once."""

    program: Callable[..., Tensor]
    inputs: dict[str, str]
    axis: str
    expand: bool = False
    """Whether that takes products over sums that are written out."""


def softmax_by_definition(x: Tensor) -> Tensor:
    return torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)


# Norms, with the linear layer that follows


def rms_norm(x: Tensor, g: Tensor, w: Tensor) -> Tensor:
    return (g * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)) @ w


def library_rms_norm(x: Tensor, g: Tensor, w: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), g, 1e-6) @ w


def layer_norm(x: Tensor, w: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) @ w


def library_layer_norm(x: Tensor, g: Tensor, c: Tensor, w: Tensor) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), g, c) @ w


def group_norm(x: Tensor, g: Tensor, c: Tensor, w: Tensor) -> Tensor:
    return F.conv1d(F.group_norm(x, 4, g, c), w)


# Attention


def scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / 8


def positions(q: Tensor) -> Tensor:
    """How far each key is behind each query."""
    index = torch.arange(q.shape[-2])
    return index[:, None] - index[None, :]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(scores(q, k), -1) @ v


def multi_head(x: Tensor, y: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
    """From the model's width and back to it."""
    q, k, v = (torch.einsum("nc,chd->hnd", a, w) for a, w in ((x, wq), (y, wk), (y, wv)))
    return torch.einsum("hnd,hdc->nc", attention(q, k, v), wo)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
    return F.scaled_dot_product_attention(q, k, v)


def latent(q: Tensor, c: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
    """Keys and values made from one latent array."""
    k, v = (torch.einsum("bmr,hrd->bhmd", c, w) for w in (wk, wv))
    return attention(q, k, v)


def absorbed(q: Tensor, c: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
    """Latent attention that never makes the keys and values."""
    inner = torch.einsum("bhnd,hrd->bhnr", q, wk)
    weights = torch.softmax(torch.einsum("bhnr,bmr->bhnm", inner, c) / 8, -1)
    return torch.einsum("bhnr,hrd->bhnd", torch.einsum("bhnm,bmr->bhnr", weights, c), wv)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def windowed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    behind = positions(q)
    outside = ~((behind >= 0) & (behind < 16))
    return torch.softmax(scores(q, k).masked_fill(outside, float("-inf")), -1) @ v


def softcapped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(torch.tanh(scores(q, k) / 50) * 50, -1) @ v


def alibi(q: Tensor, k: Tensor, v: Tensor, slope: Tensor) -> Tensor:
    behind = positions(q)
    biased = (scores(q, k) - slope * behind).masked_fill(behind < 0, float("-inf"))
    return torch.softmax(biased, -1) @ v


def spherical(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Spherical Attention, definition 2: scores over their norm."""
    return F.normalize(q @ k.mT, dim=-1) @ v


def absolute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Spherical Attention, definition 2, with a norm of absolute values."""
    s = q @ k.mT
    return s / s.abs().sum(-1, keepdim=True) @ v


def sigmoid_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.sigmoid(scores(q, k)) @ v


def normalised(s: Tensor, v: Tensor) -> Tensor:
    a = torch.relu(s)
    return a / (a.sum(-1, keepdim=True) + 1e-6) @ v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = F.relu(q) @ F.relu(k).mT
    return weights / (weights.sum(-1, keepdim=True) + 1e-6) @ v


def linear_from_the_right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.relu(q) @ (F.relu(k).mT @ v)


# The rest of a model


def label(h: Tensor, w: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy over a vocabulary, by its definition."""
    logits = h @ w
    return torch.logsumexp(logits, -1) - (logits * F.one_hot(y, w.shape[1])).sum(-1)


def cross_entropy(h: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(h @ w, y, reduction="none")


def gated(x: Tensor, wg: Tensor, wu: Tensor, wd: Tensor) -> Tensor:
    return (F.silu(x @ wg) * (x @ wu)) @ wd


def gelu_gated(x: Tensor, wg: Tensor, wu: Tensor, wd: Tensor) -> Tensor:
    return (F.gelu(x @ wg) * (x @ wu)) @ wd


def convolution_in_a_plane(x: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(x, w)


NORM = {"x": "n m", "g": "m", "w": "m e"}
GATED = {"x": "n d", "wg": "d m", "wu": "d m", "wd": "m e"}
DEFINITIONS: dict[str, Definition] = {
    "matmul": Definition(lambda a, b: a @ b, {"a": "n k", "b": "k m"}, "k.0"),
    "softmax": Definition(lambda x: torch.softmax(x, -1), {"x": "n m"}, "m.1"),
    "softmax by definition": Definition(softmax_by_definition, {"x": "n m"}, "m.1"),
    "RMS norm": Definition(rms_norm, NORM, "m.0"),
    "library RMS norm": Definition(library_rms_norm, NORM, "m.0"),
    "layer norm": Definition(layer_norm, {"x": "n m", "w": "m e"}, "m.0", expand=True),
    "library layer norm": Definition(
        library_layer_norm, {"x": "n m", "g": "m", "c": "m", "w": "m e"}, "m.0", expand=True
    ),
    "group norm": Definition(
        group_norm, {"x": "b 4*c s", "g": "4*c", "c": "4*c", "w": "e 4*c 1"}, "c.0", expand=True
    ),
    "attention": Definition(attention, HEADS, "m.0"),
    "multi-head attention": Definition(
        multi_head,
        {"x": "n c", "y": "m c", "wq": "c h d", "wk": "c h d", "wv": "c h d", "wo": "h d c"},
        "m.0",
    ),
    "grouped attention": Definition(grouped, {**HEADS, "q": "b 4*h n d"}, "m.0"),
    "latent attention": Definition(latent, LATENT, "m.0"),
    "absorbed latent attention": Definition(absorbed, LATENT, "m.0"),
    "causal attention": Definition(causal, SELF, "n.1"),
    "windowed attention": Definition(windowed, SELF, "n.1"),
    "softcapped attention": Definition(softcapped, HEADS, "m.0"),
    "attention with ALiBi": Definition(alibi, {**SELF, "slope": "h 1 1"}, "n.1"),
    "decoding": Definition(attention, {**HEADS, "q": "b h 1 d"}, "m.0"),
    "cross-entropy by definition": Definition(label, VOCABULARY, "m.0"),
    "cross-entropy": Definition(cross_entropy, VOCABULARY, "m.0", expand=True),
    "gated MLP": Definition(gated, GATED, "m.0"),
    "GELU-gated MLP": Definition(gelu_gated, GATED, "m.0"),
    "spherical attention": Definition(spherical, HEADS, "m.0"),
    "attention over absolute values": Definition(absolute, HEADS, "m.0"),
    "sigmoid attention": Definition(sigmoid_attention, HEADS, "m.0"),
    "normalised contraction": Definition(normalised, {"s": "n m", "v": "m d"}, "m.0"),
    "linear attention": Definition(linear, ROWS, "m.0"),
    "linear attention from the right": Definition(linear_from_the_right, ROWS, "m.0"),
    "convolution": Definition(
        lambda x, w: F.conv1d(x, w, padding=1), {"x": "b c l", "w": "e c 3"}, "c.0"
    ),
    "convolution in a plane": Definition(
        convolution_in_a_plane, {"x": "b c y x", "w": "e c 3 3"}, "c.0"
    ),
}
