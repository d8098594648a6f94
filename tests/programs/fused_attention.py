"""The attention patterns that torch's own compiler replaces by scaled_dot_product_attention.

``torch._inductor.fx_passes.fuse_attention`` of the installed torch holds functions
``_sfdp_pattern_N`` and ``_sfdp_replacement_N`` that are taken for equal when a graph is rewritten.
Here they are pairs with named shapes, dropout 0, and scalars bound to powers of two, so that every
literal is exact.  ``MASK_FREE`` holds the seven pairs without masks that were written without
dropout; ``MASKED`` holds the others, with the conditions under which they are equal.

Patterns 7–10 cast to float16 and 21–23 and 25–27 to float32; conversions are exact over the reals,
and the tolerance allows for them.  18 and 19 write the least finite number for −∞.
"""

from __future__ import annotations

from functools import partial

from torch._inductor.fx_passes import fuse_attention

from . import Pair, Program

INVERSE_SCALE = 2.0
SCALE = 0.5

_HEADS_FIRST = {"query": "b h n d", "key": "b h m d", "value": "b h m d"}
_HEADS_LAST = {"query": "b n h d", "key": "b m h d", "value": "b m h d"}
_ONE_HEAD = {"query": "b n d", "key": "b m d", "value": "b m d"}

_DIVIDED = {"inv_scale": INVERSE_SCALE}
_DROPOUT = {"dropout_p": 0.0}
_HALF = 2e-2
_SINGLE = 1e-5

_LIVE = ("every row of attn_mask has a True",)
_ZERO_ONE = ("attn_mask is 0 or 1", *_LIVE)
_CAUSAL = ("every row of causal_mask has a True",)


def _pair(
    number: int,
    inputs: dict[str, str],
    scalars: dict[str, float] | None = None,
    assume: tuple[str, ...] = (),
    tolerance: float = 1e-9,
) -> Pair:
    """Pattern and replacement *number*, with the scalar arguments bound."""

    def bound(kind: str) -> Program:
        function = getattr(fuse_attention, f"_sfdp_{kind}_{number}")
        return partial(function, **scalars) if scalars else function

    return Pair(
        name=f"sfdp_{number}",
        left=bound("pattern"),
        right=bound("replacement"),
        inputs=inputs,
        assume=assume,
        law="attention by its definition is scaled_dot_product_attention",
        tolerance=tolerance,
    )


MASK_FREE: list[Pair] = [
    _pair(1, _HEADS_FIRST, _DIVIDED),
    _pair(2, _HEADS_FIRST, {"scale_factor": SCALE}),
    _pair(8, _HEADS_LAST, _DIVIDED, tolerance=_HALF),
    _pair(10, _HEADS_LAST, _DIVIDED, tolerance=_HALF),
    _pair(11, _HEADS_LAST, _DIVIDED),
    _pair(23, _HEADS_LAST, tolerance=_SINGLE),
    _pair(30, _HEADS_LAST, {"inv_scale": SCALE}),
]

MASKED: list[Pair] = [
    _pair(3, _HEADS_FIRST, {"inv_scale_factor": INVERSE_SCALE} | _DROPOUT),
    _pair(4, _HEADS_FIRST, {"scale_factor": SCALE} | _DROPOUT),
    _pair(5, _HEADS_FIRST | {"attn_mask": "b 1 n m"}, _DIVIDED),
    _pair(6, _HEADS_FIRST | {"attn_mask": "b 1 n m"}, _DIVIDED | _DROPOUT),
    _pair(7, _HEADS_LAST, _DIVIDED | _DROPOUT, tolerance=_HALF),
    _pair(9, _HEADS_LAST, _DIVIDED | _DROPOUT, tolerance=_HALF),
    _pair(12, _HEADS_LAST, {"inv_scale_factor": INVERSE_SCALE} | _DROPOUT),
    _pair(13, _ONE_HEAD, _DROPOUT),
    _pair(14, _HEADS_LAST | {"attn_mask": "b 1 1 m"}, _DIVIDED),
    _pair(15, _HEADS_LAST | {"attn_mask": "b m"}, _DIVIDED, _ZERO_ONE),
    _pair(16, _HEADS_LAST | {"attn_mask": "b 1 1 m"}, _DIVIDED | _DROPOUT),
    _pair(17, _HEADS_LAST | {"attn_mask": "b m"}, _DIVIDED | _DROPOUT, _ZERO_ONE),
    _pair(18, _HEADS_LAST | {"causal_mask": "b 1 n m : bool"}, _DIVIDED | _DROPOUT, _CAUSAL),
    _pair(
        19,
        _HEADS_FIRST | {"causal_mask": "b 1 n m : bool", "attn_mask": "b 1 n m"},
        _DIVIDED | _DROPOUT,
        _CAUSAL,
    ),
    _pair(20, _HEADS_LAST | {"attn_mask": "b m"}, _DIVIDED | _DROPOUT, _ZERO_ONE),
    _pair(21, _HEADS_LAST | {"attn_mask": "b h n m"}, tolerance=_SINGLE),
    _pair(22, _HEADS_LAST | {"attn_mask": "b h n m"}, tolerance=_SINGLE),
    _pair(24, _HEADS_FIRST | {"attention_mask": "b 1 n m"}),
    _pair(25, _HEADS_LAST | {"attn_mask": "b 1 1 m"}, _DROPOUT, tolerance=_SINGLE),
    _pair(26, _HEADS_LAST | {"attn_mask": "b 1 1 m"}, _DROPOUT, tolerance=_SINGLE),
    _pair(27, _HEADS_LAST, _DROPOUT, tolerance=_SINGLE),
    _pair(28, _HEADS_FIRST, {"scale_factor": SCALE} | _DROPOUT),
    _pair(29, _HEADS_LAST | {"attn_mask": "b 1 n m"}, {"inv_scale": SCALE}),
]
