"""Declarations of inputs."""

import pytest

from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import Declaration, parse_shape, size_names
from ncd_formal.sizes import size


def test_dimensions_are_numbers_names_and_polynomials() -> None:
    declaration = parse_shape("x", "b 1 4*d h*d n+k")
    assert declaration.shape == tuple(map(size, ("b", "1", "4*d", "d*h", "k + n")))
    assert declaration.kind == "real"


def test_spaces_around_a_sum_or_product_do_not_split_it() -> None:
    assert parse_shape("x", "n + k 2 * d").shape == (size("n+k"), size("2*d"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("b n", "real"),
        ("b n : real", "real"),
        ("b n : float", "real"),
        ("b n : bool", "boolean"),
        ("b n:boolean", "boolean"),
        ("b n : int", "integer"),
        (": int", "integer"),
    ],
)
def test_a_colon_introduces_the_kind(text: str, kind: str) -> None:
    assert parse_shape("x", text).kind == kind


@pytest.mark.parametrize("text", ["", " ", ": int"])
def test_nothing_is_a_scalar(text: str) -> None:
    assert parse_shape("x", text).shape == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("b n?", "'n?' is no dimension"),
        ("b (n", "is no dimension"),
        ("b n.0", "'n.0' is no name"),
        ("b n'", "is no name"),
        ("b n//2", "divides"),
        ("b n%2", "divides"),
        ("b -1", "is negative"),
        ("b ...", "is no dimension"),
        ("b *c n :", "the kind is bool, int, real or extended, not ''"),
        ("b n : complex", "the kind is bool, int, real or extended, not 'complex'"),
    ],
)
def test_what_is_no_shape_is_named_with_its_input(text: str, why: str) -> None:
    with pytest.raises(InputError, match="input mask = ") as caught:
        parse_shape("mask", text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_declaration_shows_what_was_written() -> None:
    assert str(parse_shape("q", "b h n d")) == "q = 'b h n d'"


def test_sizes_are_named_in_the_order_in_which_they_are_written() -> None:
    declared: list[Declaration] = [parse_shape("q", "b n h*d"), parse_shape("k", "b m h*d 3")]
    assert size_names(declared) == ("b", "n", "d", "h", "m")
