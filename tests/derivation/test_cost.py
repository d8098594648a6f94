"""`estimate` and `cost`: from a program's definition to its formulas, tiles, times and bound."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal.derivation import Costed, estimate
from ncd_formal.derivation.cost import divisors
from ncd_formal.derivation.machines import Level, machine
from ncd_formal.derivation.nests import exact_transfers
from ncd_formal.derivation.roofline import drawing
from ncd_formal.derivation.schedules import nests, work
from ncd_formal.derivation.signomials import Signomial, signomial, variable
from ncd_formal.derivation.simulation import walk
from ncd_formal.errors import InputError
from ncd_formal.sizes import size

Program = Callable[..., Any]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
    return F.scaled_dot_product_attention(q, k, v)


def perceptron(x: Tensor, u: Tensor, d: Tensor) -> Tensor:
    return torch.relu(x @ u) @ d


PROGRAMS: dict[str, tuple[Program, dict[str, str], dict[str, int]]] = {
    "matmul": (lambda a, b: a @ b, {"a": "a b", "b": "b c"}, {"a": 7, "b": 5, "c": 6}),
    "attention": (
        attention,
        {"q": "q d", "k": "x d", "v": "x d"},
        {"q": 7, "x": 6, "d": 3},
    ),
    "multi-head": (
        attention,
        {"q": "h q d", "k": "h x d", "v": "h x d"},
        {"h": 2, "q": 5, "x": 6, "d": 2},
    ),
    "grouped": (
        grouped,
        {"q": "b 4*h n d", "k": "b h m d", "v": "b h m d"},
        {"b": 1, "h": 2, "n": 3, "m": 3, "d": 2},
    ),
    "unequal": (
        attention,
        {"q": "q d", "k": "x d", "v": "x e"},
        {"q": 7, "x": 6, "d": 3, "e": 2},
    ),
    "causal": (causal, {"q": "n d", "k": "n d", "v": "n d"}, {"n": 7, "d": 3}),
    "MLP": (perceptron, {"x": "x m", "u": "m f", "d": "f m"}, {"x": 5, "m": 3, "f": 4}),
    "convolution": (F.conv1d, {"x": "i 12", "w": "o i 5"}, {"i": 3, "o": 4}),
    "softmax": (lambda x: torch.softmax(x, -1), {"x": "q x"}, {"q": 3, "x": 7}),
    "layer norm": (
        lambda x: F.layer_norm(x, x.shape[-1:]),
        {"x": "q x"},
        {"q": 3, "x": 7},
    ),
    "elementwise": (lambda x, y: x * y + 1, {"x": "n m", "y": "n m"}, {"n": 3, "m": 2}),
}


SMALL = replace(machine("h100"), levels=(Level("shared memory", 4096, 132, 3.35e12),))


@cache
def costed(name: str, hardware: str = "h100") -> Costed:
    program, inputs, _ = PROGRAMS[name]
    return estimate(program, inputs, hardware)


def polynomial(text: str) -> Signomial:
    return signomial(size(text))


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_the_schedules_of_programs_move_what_a_walk_counts(name: str) -> None:
    """For a few tile sizes each, exactly."""
    _, _, sizes = PROGRAMS[name]
    for nest in nests(costed(name).plan):
        extents = {axis: extent.evaluate(sizes) for axis, extent in nest.extents.items()}
        for step in (1, 2, 3):
            tiles = {
                axis: min(step + k, extents[axis]) for k, axis in enumerate(sorted(nest.extents))
            }
            counted = walk(nest, sizes, tiles)
            assert counted.transfers == exact_transfers(nest, sizes, tiles)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("matmul", "2*a*b*c/√M + a*c"),
        ("attention", "4*d**2*q*x/M + 2*d*q"),
        ("multi-head", "4*d**2*h*q*x/M + 2*d*h*q"),
        ("grouped", "16*b*d**2*h*m*n/M + 8*b*d*h*n"),
        ("unequal", "d**2*q*x/M + 2*d*e*q*x/M + e**2*q*x/M + d*q + e*q"),
        ("causal", "2*d**2*n**2/M + 3*d*n"),
        ("MLP", "4*f*m**2*x/M + 2*m*x"),
        ("softmax", "3*q*x"),
        ("layer norm", "4*q*x"),
        ("elementwise", "3*m*n"),
    ],
)
def test_the_least_transfers_follow_from_the_definition(name: str, expected: str) -> None:
    """The table of the source, from PyTorch programs; 8·h there is 2·h·r with r = 4 here."""
    assert str(costed(name).cost.regimes[0].transfers) == expected


def test_rows_that_fit_are_read_once() -> None:
    for name in ("softmax", "layer norm"):
        last = costed(name).cost.regimes[-1]
        assert str(last).split() == ["2*q*x", "where", "M", "≥", "x"]


def test_a_convolution_streams_its_channels_and_finds_the_oracle() -> None:
    """y = 4096, c = 256, k = 9, M = 16,384: (372, 42), from the definition alone."""
    found = estimate(
        F.conv1d, {"x": "i 4104", "w": "o i 9"}, {"memory": 16_384}, {"i": 256, "o": 256}
    )
    assert found.streamed == "i.0"
    assert sorted(found.cost.tiles.values()) == [1, 42, 372]
    assert isinstance(found.cost.transfers, float)


def test_attention_on_an_h100_takes_the_groups_of_the_paper() -> None:
    """16-bit values, whole matrix instructions: g_q = 384, three warpgroups of 128."""
    sizes = {"h": 8, "q": 8192, "x": 8192, "d": 128}  # 176 groups: no processor idles
    found = estimate(*PROGRAMS["multi-head"][:2], "h100", sizes).cost
    assert found.tiles["q"] == 384 and found.tiles["d"] == 128
    assert found.bound == "compute" and isinstance(found.time, float)
    assert found.times["compute"] == found.time == 4 * 8 * 8192 * 8192 * 128 / 989.4e12
    assert isinstance(found.transfers, (int, float)) and isinstance(found.intensity, float)
    assert found.bytes == 2 * found.transfers
    assert found.transfers == 8 * (2 * 8192 * 128 + 22 * 2 * 8192 * 128)  # 22 = ⌈8192 / 384⌉
    assert found.intensity == pytest.approx(found.flops / found.device_bytes)  # type: ignore[operator]
    assert found.ridge == pytest.approx(989.4 / 3.35)
    assert found.special == 8 * (8192 * 8192 + 8192)  # the inverse of each row's sum is one too


def test_what_binds_depends_on_the_machine() -> None:
    sizes = {"n": 4096, "m": 4096}
    assert estimate(*PROGRAMS["elementwise"][:2], "h200", sizes).cost.bound == "memory"
    heads = {"h": 4, "q": 4096, "x": 4096, "d": 16}
    assert estimate(*PROGRAMS["multi-head"][:2], "h200", heads).cost.bound == "special functions"


def test_masked_blocks_are_not_read() -> None:
    sizes = {"n": 32768, "d": 64}
    alone = replace(machine("h100"), processors=1)  # of which none idles
    whole = estimate(attention, PROGRAMS["causal"][1], alone, sizes).cost
    half = estimate(*PROGRAMS["causal"][:2], alone, sizes).cost
    assert isinstance(half.transfers, (int, float)) and isinstance(whole.transfers, (int, float))
    assert 0.5 < half.transfers / whole.transfers < 0.56
    assert isinstance(half.flops, int) and isinstance(whole.flops, int)
    assert 0.5 < half.flops / whole.flops < 0.55


def test_work_done_again_is_counted() -> None:
    """Scores are made once for each group of the output's width."""
    plan = costed("attention").plan
    nest = nests(plan)[0]
    flops = work(plan, nest).flops
    expected = polynomial("2*d*q*x") * (1 + variable("d") / variable("g_d"))
    assert flops == expected


def test_divisors_are_least_common_multiples() -> None:
    """Rows of a matrix instruction 64, columns 8 and 64 values of a line, depth 16."""
    plan = costed("attention").plan
    (nest,) = nests(plan)
    found = divisors(nest, plan, machine("h100"))
    assert {nest.label(axis): d for axis, d in found.items()} == {"q": 64, "d": 64, "x": 16}
    wide = replace(machine("h100"), matrix=(64, 48, 16))
    assert divisors(nest, plan, wide)["d.0"] == 192


@pytest.mark.parametrize(
    "hardware, sizes, complaint",
    [
        (SMALL, {"q": 64, "x": 64, "d": 64}, "no group fits the shared memory of h100"),
        ({"memory": 2}, {"q": 64, "x": 64, "d": 64}, "no group fits the memory"),
        ("h100", {"q": 64, "d": 64}, "size 'x' has no value"),
        ("h100", {"q": 64, "x": 0, "d": 64}, "a size is 0"),
        ("h1000", {}, "did you mean h100"),
        ("h100", {"q": 64, "x": 64, "d": 64, "y": 1}, "size named 'y': there are d, q, x"),
    ],
)
def test_what_cannot_be_costed_is_refused(
    hardware: Any, sizes: dict[str, int], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        estimate(*PROGRAMS["attention"][:2], hardware, sizes)


def test_costs_are_plain_data() -> None:
    found = estimate(*PROGRAMS["attention"][:2], "h200", {"q": 131_072, "x": 512, "d": 64})
    data = json.loads(json.dumps(found.to_json()))
    keys = {"transfers", "memory", "tiles", "flops", "bound", "time", "formula"}
    assert keys <= data.keys() and data["machine"] == "h200" and data["streamed"] == "x.0"
    assert data["regimes"][0]["where"] == ["2*d*q ≥ M", "M ≥ 2*d"]
    assert "bound by" in found.explain() and "roofline" in found.explain()


def test_the_roofline_is_drawn() -> None:
    found = estimate(*PROGRAMS["attention"][:2], "h200", {"q": 4096, "x": 4096, "d": 64})
    picture = ET.fromstring(drawing(found))
    kinds = {element.tag.split("}")[1] for element in picture}
    assert {"polyline", "circle", "text"} <= kinds
    texts = [element.text or "" for element in picture.iter() if element.tag.endswith("text")]
    assert any("bound by" in text for text in texts) and any("ridge 206" in t for t in texts)
    still = estimate(*PROGRAMS["elementwise"][:2], "h200", {"n": 4, "m": 4})
    assert "nothing is contracted" in drawing(still) and "<circle" not in drawing(still)


def test_there_is_no_roofline_without_rates_or_sizes() -> None:
    with pytest.raises(InputError, match="needs sizes"):
        drawing(costed("attention"))
    model = estimate(*PROGRAMS["elementwise"][:2], {"memory": 64}, {"n": 4, "m": 4})
    with pytest.raises(InputError, match="no bandwidth"):
        drawing(model)
