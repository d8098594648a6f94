"""PyTorch's fast path of attention: programs are read without it, and where it differs is said."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ncd_formal.equivalence import prove
from ncd_formal.frontends.fast_path import without_fast_path
from ncd_formal.frontends.torch_export import import_program


class Called(nn.Module):
    """A module in evaluation, called with the mask under one name."""

    def __init__(self, inner: nn.Module, name: str, weights: bool = False) -> None:
        super().__init__()
        self.inner, self.name, self.weights = inner, name, weights
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        options: dict[str, Any] = {self.name: mask}
        if not isinstance(self.inner, nn.MultiheadAttention):
            return cast(Tensor, self.inner(x, **options))
        return cast(Tensor, self.inner(x, x, x, need_weights=self.weights, **options)[0])


def attention(**options: Any) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(4, 2, batch_first=True, **options)


def encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)


def encoder(**options: Any) -> nn.TransformerEncoder:
    return nn.TransformerEncoder(encoder_layer(), 1, **options)


DEAD = "inner runs without its fast path, which gives NaN in a row without a key"
READ = (
    "{} runs without its fast path, which reads what is not 0 in a float mask as -inf, and gives "
    "NaN in a row without a key"
)
PADDED = "inner runs without its fast path, which gives 0 at padded positions"


@pytest.mark.parametrize(
    ("inner", "name", "mask", "conditions"),
    [
        (attention(), "key_padding_mask", "b n : bool", [DEAD]),
        (attention(), "attn_mask", "n n : bool", [DEAD]),
        (attention(), "attn_mask", "n n", []),
        (attention(add_zero_attn=True), "key_padding_mask", "b n : bool", []),
        (encoder_layer(), "src_mask", "n n : bool", [DEAD]),
        (encoder_layer(), "src_mask", "n n", [READ.format("inner")]),
        (encoder(), "src_key_padding_mask", "b n : bool", [PADDED, READ.format("inner.layers.0")]),
        (
            encoder(enable_nested_tensor=False),
            "src_key_padding_mask",
            "b n : bool",
            [READ.format("inner.layers.0")],
        ),
    ],
)
def test_where_the_fast_path_of_attention_differs_is_a_condition(
    inner: nn.Module, name: str, mask: str, conditions: list[str]
) -> None:
    """What is compared is the Python text, in tracing and in running alike."""
    module = Called(inner, name)
    found = prove(module, module, {"x": "b n 4", "mask": mask})
    assert found.status == "proved"
    assert [c for c in found.conditions if "fast path" in c] == conditions
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    "module",
    [
        Called(attention(), "key_padding_mask").train(),
        Called(attention(), "key_padding_mask", weights=True),
    ],
)
def test_in_training_and_with_weights_there_is_no_difference(module: nn.Module) -> None:
    found = prove(module, module, {"x": "b n 4", "mask": "b n : bool"})
    assert found.status == "proved"
    assert not any("fast path" in c for c in found.conditions)


def test_a_module_that_a_function_holds_is_met_too() -> None:
    inner = attention().eval().requires_grad_(False)

    def held(x: Tensor, mask: Tensor) -> Tensor:
        return cast(Tensor, inner(x, x, x, key_padding_mask=mask, need_weights=False)[0])

    program = import_program(held, {"x": "b n 4", "mask": "b n : bool"})
    assert DEAD.replace("inner", "MultiheadAttention") in program.conditions
    assert nn.MultiheadAttention.forward.__module__.startswith("torch.")


@pytest.mark.parametrize(
    ("inner", "name", "mask"),
    [
        (attention(), "key_padding_mask", torch.tensor([[True, True, True]])),
        (encoder_layer(), "src_mask", torch.tensor([[1.0, 2.0, 3.0]]).expand(3, 3)),
        (encoder(), "src_key_padding_mask", torch.tensor([[False, False, True]])),
    ],
)
def test_the_fast_path_of_attention_differs(inner: nn.Module, name: str, mask: Tensor) -> None:
    """The conditions say what PyTorch does: when it no longer does, they should go."""
    module, x = Called(inner, name), torch.randn(1, 3, 4)
    with torch.no_grad():
        fast = module(x, mask)
        with without_fast_path():
            slow = module(x, mask)
    assert slow.isfinite().all()
    assert not torch.allclose(fast, slow, equal_nan=True)
