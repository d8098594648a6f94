"""Models as the library ``transformers`` builds them, with random weights: two ways to attend.

Each is small in its widths and depth, and is what the library runs in every other respect.
``eager`` writes attention out and masks with the least float; the other way is the library's
``scaled_dot_product_attention``, or, where the library offers none, ``grouped``: attention over the
heads of each group, masked by truth values, without a copy of keys and values.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

NAMES = ("bert", "gpt2", "llama", "mistral", "gemma2", "vit")

WIDTH, HEADS, GROUPS, WORDS, WINDOW = 32, 4, 2, 100, 3

DECODER = {
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_key_value_heads": GROUPS,
    "intermediate_size": 2 * WIDTH,
    "vocab_size": WORDS,
}
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": (
        "Bert",
        {k: v for k, v in DECODER.items() if k != "num_key_value_heads"},
    ),
    "gpt2": ("GPT2", {"n_embd": WIDTH, "n_head": HEADS, "vocab_size": WORDS}),
    "llama": ("Llama", DECODER),
    "mistral": ("Mistral", {**DECODER, "sliding_window": WINDOW}),
    "gemma2": ("Gemma2", {**DECODER, "head_dim": WIDTH // HEADS, "sliding_window": WINDOW}),
    "vit": (
        "ViT",
        {
            "hidden_size": WIDTH,
            "num_attention_heads": HEADS,
            "intermediate_size": 2 * WIDTH,
            "image_size": 16,
            "patch_size": 4,
        },
    ),
}


class Hidden(nn.Module):
    """A model's last hidden state, of token ids, padded where a mask is False, or of an image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.is_floating_point():
            hidden: Tensor = self.model(pixel_values=x).last_hidden_state
        else:
            made = self.model(input_ids=x, attention_mask=mask, use_cache=False)
            hidden = made.last_hidden_state
        return hidden


def attend_in_groups(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    softcap: float = math.inf,
    **ignored: object,
) -> tuple[Tensor, None]:
    """Attention with the heads of a group along a dimension of their own, scores capped."""
    del module, ignored
    batch, groups, length, width = key.shape
    grouped = query.view(batch, groups, -1, length, width)
    scores = torch.einsum("bgrqd,bgkd->bgrqk", grouped, key) * scaling
    capped = torch.tanh(scores / softcap) * softcap
    masked = capped.masked_fill(~attention_mask[:, :, None], -math.inf)
    attended = torch.einsum("bgrqk,bgkd->bqgrd", masked.softmax(-1), value)
    return attended.reshape(batch, length, -1, width), None


def models(name: str, layers: int) -> tuple[nn.Module, nn.Module]:
    """One model in two ways."""
    import transformers
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
    from transformers.modeling_utils import AttentionInterface

    def mask(*args: Any, **kwargs: Any) -> Tensor | None:
        return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})

    AttentionInterface.register("grouped", attend_in_groups)
    AttentionMaskInterface.register("grouped", mask)
    prefix, settings = CONFIGURATIONS[name]
    sides = []
    for attention in ("eager", "grouped" if name == "gemma2" else "sdpa"):
        configuration = getattr(transformers, f"{prefix}Config")(
            **settings, num_hidden_layers=layers, attn_implementation=attention
        )
        torch.manual_seed(0)
        sides.append(Hidden(getattr(transformers, f"{prefix}Model")(configuration)).eval())
    return sides[0], sides[1]


def inputs(name: str, padded: bool = False) -> dict[str, str]:
    """The shapes of a model's inputs."""
    mask = {"mask": "b n : bool"} if padded else {}
    return {"x": "b 3 16 16"} if name == "vit" else {"x": "b n : int", **mask}


def assumptions(name: str) -> tuple[str, ...]:
    """What is assumed of a model's input."""
    return () if name == "vit" else (f"x < {WORDS}",)
