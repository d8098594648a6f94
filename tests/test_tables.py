"""Buffers that are a formula of their indices: read exactly, or not at all."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ncd_formal.equivalence import prove
from ncd_formal.frontends.aten import kind_of
from ncd_formal.frontends.tables import closed_form
from tests.evaluation import value

INF = float("inf")


def words(tensor: Tensor) -> str | None:
    kind = "real" if tensor.is_complex() else kind_of(tensor.dtype)
    found = closed_form(tensor, kind, "t")
    if found is None:
        return None
    array, text = found
    assert array.kind == kind
    assert torch.equal(value(array, {}), tensor.double())
    return text


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (torch.ones(5, 5).tril(), "t[i, j] is 1 where j <= i, else 0"),
        (torch.ones(4, 6).triu(1).bool(), "t[i, j] is True where i + 1 <= j, else False"),
        (torch.full((4, 4), -INF).triu(1), "t[i, j] is 0 where j <= i, else -inf"),
        (torch.full((1, 1, 4, 4), -1e9).triu(1), "t[0, 0, i, j] is 0 where j <= i, else -1e+09"),
        (
            torch.ones(6, 6).tril(1).triu(-2),
            "t[i, j] is 1 where i - 2 <= j and j <= i + 1, else 0",
        ),
        (torch.eye(3, 4), "t[i, j] is 1 where i <= j and j <= i, else 0"),
        (torch.arange(7)[None], "t[0, i] is i"),
        (torch.arange(4)[None] - torch.arange(3)[:, None], "t[i, j] is -i + j"),
        (5 - 2 * torch.arange(4.0), "t[i] is -2*i + 5"),
        (torch.zeros(2, 3, dtype=torch.int64), "t[i, j] is 0"),
        (torch.ones(3, dtype=torch.bool), "t[i] is True"),
        (torch.tensor(7), "t is 7"),
        (torch.zeros(5), None),
        (torch.tensor([0.1, 0.2, 0.3]), None),
        (torch.tensor([0, 1, 2, 4]), None),
        (torch.tensor([2**53, 2**53 + 1]), None),
        (torch.full((3, 3), INF).triu(1), None),
        (torch.full((3, 3), float("nan")), None),
        (torch.tensor([True, False, True]), None),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), None),
        (torch.zeros(0, 3, dtype=torch.int64), None),
        (torch.zeros(3, dtype=torch.complex64), None),
    ],
)
def test_what_is_read(tensor: Tensor, text: str | None) -> None:
    assert words(tensor) == text


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(-5, 5), st.integers(-5, 5), st.data())
def test_what_is_read_is_exact(n: int, m: int, low: int, high: int, data: st.DataObject) -> None:
    """Bands and affine tables, and the same with one entry changed."""
    i, j = torch.arange(n)[:, None], torch.arange(m)
    band = (j - i >= low) & (j - i <= high)
    assert n == 1 or m == 1 or band.all() or not band.any() or words(band) is not None
    table = data.draw(st.sampled_from([band, band.float(), low * i + high * j]))
    words(table)
    changed = table.clone()
    place = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, m - 1))
    changed[place] = ~changed[place] if table.dtype is torch.bool else changed[place] + 1
    words(changed)


class Masked(nn.Module):
    """Sums of what a triangle in a buffer leaves."""

    mask: Tensor

    def __init__(self, diagonal: int = 0, side: int = 8) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(side, side).tril(diagonal))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        return self.mask[:n, :n] @ x


def sums(x: Tensor) -> Tensor:
    return x.cumsum(0)


def test_a_buffer_that_is_a_formula_is_a_condition() -> None:
    found = prove(Masked(), sums, {"x": "n"}, ("n <= 8",))
    assert found.status == "proved"
    assert "mask[i, j] is 1 where j <= i, else 0" in found.conditions
    assert prove(Masked(), Masked(side=9), {"x": "n"}, ("n <= 8",)).status == "proved"


def test_another_formula_in_a_buffer_is_refuted() -> None:
    for other in (Masked(1), Masked(-1)):
        assert prove(other, sums, {"x": "n"}, ("n <= 8",)).status == "refuted"


def test_running_statistics_are_not_read() -> None:
    """They are 0 and 1 before training, where batch norm would be the identity."""
    norm = nn.BatchNorm1d(4, eps=0.0).eval()
    found = prove(norm, lambda input: input * norm.weight + norm.bias, {"input": "b 4"})
    assert found.status != "proved"
