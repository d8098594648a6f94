"""`prove` on the corpora: equal pairs are proved, wrong pairs refuted, never the other way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ncd_formal.equivalence import Verdict, confirm, prove
from ncd_formal.errors import InputError
from ncd_formal.proving import Proof
from ncd_formal.task import Task
from tests.coq import assert_accepted
from tests.programs import Pair
from tests.programs.equal import PAIRS as EQUAL
from tests.programs.fused_attention import MASK_FREE, MASKED
from tests.programs.modules import PAIRS as MODULES
from tests.programs.wrong import PAIRS as WRONG
from tests.scripts import run_here

_ADDED, _CAUSAL = (
    "every row of attn_mask has a value above -inf",
    "every row of causal_mask has a True",
)
_ZERO_ONE = ["attn_mask is 0 or 1", "every row of attn_mask has a True"]
_LEAST = "-3.4028234663852886e+38 (the least float32) stands for -inf"
CONDITIONS = {
    **{f"sfdp_{number}": [_ADDED] for number in (5, 6, 14, 16, 21, 22, 25, 26)},
    **{f"sfdp_{number}": _ZERO_ONE for number in (15, 17, 20)},
    "sfdp_18": [_LEAST, _CAUSAL],
    "sfdp_19": [
        _LEAST,
        (
            "for all i < b, j < n: some k < m has attn_mask[i, 0, j, k] > -inf and "
            "causal_mask[i, 0, j, k]"
        ),
    ],
    "sfdp_24": ["every row of attention_mask has a value above -inf"],
}
"""The conditions that are found for the masked patterns; 29 needs none."""


def verdict(pair: Pair) -> Verdict:
    left, right = pair.programs()
    return prove(left, right, pair.inputs, pair.assume, pair.parameters, timeout=20)


@pytest.mark.parametrize("pair", [*EQUAL, *MODULES], ids=str)
def test_equal_pairs_are_proved(pair: Pair) -> None:
    found = verdict(pair)
    assert found.status == "proved", found.explain()
    assert found.certificate is not None
    found.certificate.check()
    assert_accepted(found.certificate)


@pytest.mark.parametrize("pair", MASK_FREE, ids=str)
def test_the_mask_free_fusions_of_the_inductor_are_proved(pair: Pair) -> None:
    """Patterns 1, 2, 8, 10, 11, 23, 30 of torch._inductor.fx_passes.fuse_attention."""
    found = verdict(pair)
    assert found.status == "proved" and found.certificate is not None
    assert_accepted(found.certificate)


@pytest.mark.parametrize("pair", MASKED, ids=str)
def test_the_masked_fusions_of_the_inductor_are_proved(pair: Pair) -> None:
    """The other 23 patterns, which nobody has told under what conditions they are equal."""
    left, right = pair.programs()
    found = prove(left, right, pair.inputs)
    assert found.status == "proved" and found.certificate is not None, found.explain()
    named = [c for c in found.conditions if not c.startswith("dtype conversions")]
    assert named == CONDITIONS.get(pair.name, [])
    assert_accepted(found.certificate)
    confirm(found.certificate, left, right)


@pytest.mark.parametrize("pair", [p for p in MASKED if p.name in CONDITIONS], ids=str)
def test_without_their_conditions_the_masked_fusions_are_refuted(pair: Pair) -> None:
    left, right = pair.programs()
    found = prove(left, right, pair.inputs, find_conditions=False)
    assert found.status == "refuted" and found.counterexample is not None


@pytest.mark.parametrize("pair", WRONG, ids=str)
def test_wrong_pairs_are_refuted_and_have_no_proof(pair: Pair) -> None:
    """A counterexample is found, its script shows it; and without looking, there is no proof."""
    left, right = pair.programs()
    task = Task.build(left, right, pair.inputs, pair.assume, pair.parameters)
    example = task.trials().search(iter(range(30)))
    assert example is not None
    values = [example.inputs[name] for name in pair.inputs]
    a, b = (side(*(v.clone() for v in values)) for side in (left, right))
    pairs = zip(_flat(a), _flat(b), strict=True)
    assert not all(torch.allclose(x, y, rtol=1e-7, atol=1e-7, equal_nan=True) for x, y in pairs)
    code, printed = run_here(task.script(example))
    assert code == 1, printed
    assert task.parting(example)
    proof = Proof(task.elaboration.context, task.pairs, timeout=0.5)
    assert proof.certificate((), {}) is None


def _flat(value: object) -> tuple[Tensor, ...]:
    return (value,) if isinstance(value, Tensor) else tuple(value)  # type: ignore[arg-type]


def test_there_are_enough_wrong_pairs() -> None:
    assert len(WRONG) >= 40 and len(MASK_FREE) == 7


# What a verdict says


ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def library(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value)


def unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT, -1) @ v


def test_a_verdict_explains_itself() -> None:
    found = prove(attention, library, ATTENTION)
    text = found.explain()
    assert text.startswith(
        "proved: attention and library are the same function over the reals, for all sizes"
    )
    assert "certificate" in text and "each law is a theorem in Coq" in text
    assert found.to_json()["certificate"]["laws"] == list(found.certificate.laws)  # type: ignore[union-attr]


def test_inputs_correspond_by_position_where_names_differ() -> None:
    """``library`` calls its inputs query, key and value."""
    assert prove(attention, library, ATTENTION).status == "proved"


def test_a_certificate_is_about_its_programs() -> None:
    found = prove(attention, library, ATTENTION)
    assert found.certificate is not None
    confirm(found.certificate, attention, library)
    with pytest.raises(ValueError, match="other programs"):
        confirm(found.certificate, unscaled, library)


def test_a_counterexample_is_small() -> None:
    """Two keys and a width of at least 2 show a missing scale; nothing else needs to grow."""
    found = prove(unscaled, attention, ATTENTION)
    assert found.counterexample is not None
    sizes = found.counterexample.sizes
    assert sizes["b"] == sizes["h"] == sizes["n"] == 1 and sizes["m"] == sizes["d"] == 2


def test_an_output_in_another_order_is_not_equal() -> None:
    """The wires of a flattened matrix and of its flattened transpose are the same."""
    found = prove(lambda x: x.reshape(-1), lambda x: x.mT.reshape(-1), {"x": "n m"})
    assert found.status == "refuted"


def test_undefined_rows_are_reported() -> None:
    """A row without a key is undefined in both programs, and the verdict says so."""

    def left(s: Tensor, mask: Tensor) -> Tensor:
        return s.masked_fill(~mask, float("-inf")).softmax(-1)

    def right(s: Tensor, mask: Tensor) -> Tensor:
        weights = s.exp() * mask
        return weights / weights.sum(-1, keepdim=True)

    found = prove(left, right, {"s": "n m", "mask": "n m : bool"})
    assert found.status == "proved", found.explain()
    assert any("undefined" in note for note in found.notes)


def test_zeros_for_masked_rows_are_not_the_definition() -> None:
    """PyTorch gives zeros for a row without a key, where the naive form is undefined."""

    def naive(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores: Tensor = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
        return scores.softmax(-1) @ v

    def safe(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    inputs = {**ATTENTION, "mask": "b 1 n m : bool"}
    found = prove(naive, safe, inputs, find_conditions=False)
    assert found.status == "refuted"
    assert found.counterexample is not None and "nan" in found.counterexample.difference
    rows = "every row of mask has a True"
    assert prove(naive, safe, inputs).conditions == (rows,)
    for looked in (True, False):
        assumed = prove(naive, safe, inputs, (rows,), find_conditions=looked)
        assert assumed.status == "proved" and not assumed.conditions
        assert assumed.certificate is not None and rows in assumed.certificate.conditions


def test_an_index_is_in_range() -> None:
    """The entries of a one-hot sum to 1 where the index is one: a condition, found or assumed."""
    (pair,) = (p for p in EQUAL if p.name == "cross_entropy_with_one_hot_labels")
    in_range = "0 <= labels < c"
    for assumed in ((), pair.assume, (in_range,)):
        found = prove(*pair.programs(), pair.inputs, assumed)
        assert found.status == "proved" and found.certificate is not None, found.explain()
        assert found.conditions == (() if in_range in assumed else (in_range,))
        assert in_range in found.certificate.supposed
        confirm(found.certificate, *pair.programs())
    refuted = prove(*pair.programs(), pair.inputs, find_conditions=False)
    assert refuted.status == "refuted"


class Scaled(torch.nn.Module):
    """Multiplies by a number that it holds in a buffer."""

    factor: Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.full((4,), factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_the_values_of_buffers_are_part_of_the_programs() -> None:
    """Two modules that differ in a buffer alone are not proved equal."""
    assert prove(Scaled(2.0), Scaled(2.0), {"x": "n 4"}).status == "proved"
    with pytest.raises(InputError, match="buffer 'factor' holds different values"):
        prove(Scaled(2.0), Scaled(3.0), {"x": "n 4"})


def test_a_buffer_is_not_made_up_to_refute() -> None:
    """Random values for a buffer of one side would show a difference that is not there."""
    found = prove(Scaled(2.0), lambda x: 2 * x, {"x": "n 4"})
    assert found.status == "undecided"


# What cannot be used


@pytest.mark.parametrize(
    ("inputs", "assume", "message"),
    [
        ({"q": "b h n d", "k": "b h m d"}, (), "input 'v' of attention has no shape"),
        ({**ATTENTION, "w": "n"}, (), "w"),
        ({**ATTENTION, "k": "b h m e"}, (), "e"),
        ({**ATTENTION, "v": "b h m d-"}, (), "d-"),
        (ATTENTION, ("n >= 4", "n <= 3"), "no sizes satisfy n >= 4, n <= 3"),
        (ATTENTION, ("z >= 4",), "no input has a size named 'z'"),
        (ATTENTION, ("nonsense",), "expected a comparison of sizes"),
    ],
)
def test_unusable_inputs_are_refused(
    inputs: dict[str, str], assume: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as raised:
        prove(attention, attention, inputs, assume)
    assert "\n" not in str(raised.value)


def test_outputs_of_different_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"the shapes \(n\) and \(m\) differ"):
        prove(lambda x: x.sum(1), lambda x: x.sum(0), {"x": "n m"})


def test_what_cannot_be_assumed_is_refused() -> None:
    with pytest.raises(InputError, match="of an input one may say"):
        prove(attention, library, ATTENTION, assume=("q is odd",))
