"""PyTorch's fast path of attention, which programs are read without, and where it differs.

In evaluation without gradients, ``nn.MultiheadAttention``, ``nn.TransformerEncoderLayer`` and
``nn.TransformerEncoder`` call fused operators in place of what their Python text says.  With a mask
these are other functions, so a program that may take them has a condition in words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

_Difference = Callable[[Any, dict[str, Any]], "str | None"]

_DEAD = "gives NaN in a row without a key"
_READ = "reads what is not 0 in a float mask as -inf, and gives NaN in a row without a key"
_PADDED = "gives 0 at padded positions"


@contextmanager
def without_fast_path() -> Iterator[None]:
    """Modules of attention as their Python text says."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def noting_fast_paths(root: nn.Module, note: Callable[[str], None]) -> Iterator[None]:
    """Inside, ``note`` gets a condition for each module called where its fast path differs."""
    paths = {module: path for path, module in root.named_modules()}

    def noted(kind: type[nn.Module], difference: _Difference) -> Callable[..., Any]:
        forward = kind.forward
        signature = inspect.signature(forward)

        @wraps(forward)
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            with suppress(TypeError):  # the call itself says what is wrong with it
                given = signature.bind(module, *args, **kwargs).arguments
                found = None if module.training else difference(module, given)
                if found is not None:
                    path = paths.get(module, "").removeprefix("program").removeprefix(".")
                    name = path or type(module).__name__
                    note(f"{name} runs without its fast path, which {found}")
            return forward(module, *args, **kwargs)

        return call

    # Of the classes, so that a module is met wherever the program keeps it.
    forwards = {kind: kind.forward for kind in _DIFFERENCES}
    try:
        for kind, difference in _DIFFERENCES.items():
            kind.forward = noted(kind, difference)
        yield
    finally:
        for kind, forward in forwards.items():
            kind.forward = forward


def _of_attention(module: nn.MultiheadAttention, given: dict[str, Any]) -> str | None:
    masks = _masks(given, "attn_mask", "key_padding_mask")
    if not masks or any(map(torch.is_floating_point, masks)) or not _has_fast_path(module):
        return None
    if given.get("need_weights", True):  # with weights, both ways give NaN
        return None
    return _DEAD if given["query"] is given["key"] is given["value"] else None


def _of_layer(module: nn.TransformerEncoderLayer, given: dict[str, Any]) -> str | None:
    masks = _masks(given, "src_mask", "src_key_padding_mask")
    if not masks or not _has_fast_path(module.self_attn):
        return None
    return _READ if any(map(torch.is_floating_point, masks)) else _DEAD


def _of_encoder(module: nn.TransformerEncoder, given: dict[str, Any]) -> str | None:
    nested = getattr(module, "use_nested_tensor", False)
    alone = _masks(given, "src_key_padding_mask") and not _masks(given, "mask")
    return _PADDED if nested and alone else None


def _masks(given: dict[str, Any], *names: str) -> list[Tensor]:
    return [given[name] for name in names if isinstance(given.get(name), Tensor)]


def _has_fast_path(module: nn.MultiheadAttention) -> bool:
    plain = module.bias_k is None and not module.add_zero_attn and module._qkv_same_embed_dim
    return plain and module.batch_first and module.num_heads % 2 == 0


_DIFFERENCES: dict[type[nn.Module], _Difference] = {
    nn.MultiheadAttention: _of_attention,
    nn.TransformerEncoderLayer: _of_layer,
    nn.TransformerEncoder: _of_encoder,
}
