"""The corpora hold what they claim, checked by running PyTorch in float64.

Equal pairs agree at random sizes and inputs; wrong pairs differ somewhere, found by a search of
small sizes.  No part of ``ncd_formal`` is used.
"""

from __future__ import annotations

from itertools import count, islice

import pytest
import torch
from torch import nn

from . import (
    Pair,
    datum,
    difference,
    dimensions,
    equal,
    fused_attention,
    make_inputs,
    modules,
    outputs,
    size_names,
    sizes_of,
    value,
    wrong,
)

EQUAL = [
    *equal.PAIRS,
    *modules.PAIRS,
    *fused_attention.MASK_FREE,
    *fused_attention.MASKED,
]
SEEDS = 4
DIFFERS = 1e-7
SEARCH = 64


def _gap(pair: Pair, seed: int) -> float:
    left, right = pair.programs(seed)
    inputs = make_inputs(pair, sizes_of(pair, seed), seed)
    return difference(outputs(left, inputs), outputs(right, inputs))


@pytest.mark.parametrize("pair", EQUAL, ids=str)
def test_equal_pairs_agree(pair: Pair) -> None:
    for seed in range(SEEDS):
        assert _gap(pair, seed) <= pair.tolerance, sizes_of(pair, seed)


@pytest.mark.parametrize("pair", EQUAL, ids=str)
def test_equal_pairs_compare_numbers(pair: Pair) -> None:
    """Agreement says something: for some sizes and inputs, all outputs are finite numbers."""
    for seed in range(SEARCH):
        left, _ = pair.programs(seed)
        values = outputs(left, make_inputs(pair, sizes_of(pair, seed), seed))
        if all(torch.isfinite(x).all() for x in values):
            return
    pytest.fail("undefined somewhere for every size and input that was tried")


@pytest.mark.parametrize("pair", wrong.PAIRS, ids=str)
def test_wrong_pairs_differ(pair: Pair) -> None:
    assert any(_gap(pair, seed) > DIFFERS for seed in range(SEARCH))


@pytest.mark.parametrize("pair", EQUAL + wrong.PAIRS, ids=str)
def test_pairs_are_described(pair: Pair) -> None:
    assert pair.law
    assert all(datum(shape) in {"real", "bool", "int"} for shape in pair.inputs.values())
    assert set(sizes_of(pair, 0)) == set(size_names(pair))


def test_names_are_unique() -> None:
    names = [pair.name for pair in EQUAL + wrong.PAIRS]
    assert sorted(set(names)) == sorted(names)


def test_corpora_are_large_enough() -> None:
    assert len(equal.PAIRS) >= 46
    assert len(wrong.PAIRS) >= 60
    assert len(fused_attention.MASK_FREE) == 7
    assert len(fused_attention.MASK_FREE + fused_attention.MASKED) == 30


# The helpers


def test_dimensions_are_separated_by_spaces() -> None:
    assert dimensions("b h*d  n + k 4 * d 1 : bool") == ("b", "h*d", "n+k", "4*d", "1")
    assert dimensions("") == ()
    assert datum("b n : bool") == "bool"
    assert datum("b n") == "real"


def test_value_of_a_dimension() -> None:
    sizes = {"h": 2, "d": 3, "n": 5}
    assert [value(d, sizes) for d in ("h*d", "4*d", "n+h", "n+2*d", "7")] == [6, 12, 7, 11, 7]


def test_sizes_satisfy_the_conditions() -> None:
    pair = equal.causal_aligned_at_the_end
    drawn = list(islice((sizes_of(pair, seed) for seed in count()), 20))
    assert all(sizes["n"] <= sizes["m"] for sizes in drawn)
    assert len({tuple(sizes.values()) for sizes in drawn}) > 5
    assert sizes_of(pair, 3) == sizes_of(pair, 3)


def test_inputs_satisfy_the_conditions() -> None:
    masked, embedded = equal.boolean_mask_is_sdpa, equal.embedding_is_one_hot_matmul
    for seed in range(20):
        mask = make_inputs(masked, sizes_of(masked, seed), seed)["mask"]
        assert mask.dtype == torch.bool
        assert mask.any(-1).all()
        sizes = sizes_of(embedded, seed)
        assert make_inputs(embedded, sizes, seed)["ids"].max() < sizes["v"]


def test_parameters_are_matched() -> None:
    left, right = modules.attention_packed_parameters.programs()
    assert isinstance(left, nn.Module)
    assert isinstance(right, nn.Module)
    ours, theirs = left.state_dict(), right.state_dict()
    packed = torch.cat([ours["q.weight"], ours["k.weight"], ours["v.weight"]])
    assert torch.equal(theirs["qkv.weight"], packed)
    assert torch.equal(theirs["out.weight"], ours["out.weight"])


def test_difference_sees_undefined_values() -> None:
    number, undefined = torch.tensor([1.0]), torch.tensor([float("nan")])
    assert difference([number], [number]) == 0
    assert difference([undefined], [undefined]) == 0
    assert difference([number], [undefined]) == float("inf")
    with pytest.raises(ValueError, match="shapes"):
        difference([number], [torch.ones(2)])
