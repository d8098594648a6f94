"""St: the laws of a category with products, and ranges that are shown or refused."""

from __future__ import annotations

from itertools import pairwise
from itertools import product as every
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncd_formal.conditions import Context
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, quotient, size, variable
from ncd_formal.strides import Shape, StrideMap, identity, permutation, selection

EXTENTS = [size(text) for text in ("n", "m", "2*m", "n + 1", "n - 1", "3", "1")]
STRIDES = [size(text) for text in ("0", "0", "1", "1", "-1", "2", "m", "n")]
shapes = st.lists(st.sampled_from(EXTENTS), max_size=3).map(tuple)


def maps(domain: Shape, codomain: Shape) -> st.SearchStrategy[StrideMap]:
    row = st.tuples(*[st.sampled_from(STRIDES)] * len(domain))
    offsets = st.tuples(*[st.sampled_from([*STRIDES, size("n - 1")])] * len(codomain))
    rows = st.tuples(*[row] * len(codomain))
    return st.builds(StrideMap, st.just(domain), st.just(codomain), rows, offsets)


@st.composite
def chains(draw: st.DrawFn, length: int) -> list[StrideMap]:
    """Maps of which each starts where the one before it ends."""
    objects = [draw(shapes) for _ in range(length + 1)]
    return [draw(maps(a, b)) for a, b in pairwise(objects)]


arrows = chains(1).map(lambda chain: chain[0])


def generic(shape: Shape, stem: str = "i") -> list[Polynomial]:
    return [variable(f"{stem}{k}") for k in range(len(shape))]


@given(chains(2))
def test_composition_is_substitution(chain: list[StrideMap]) -> None:
    f, g = chain
    index = generic(f.domain)
    assert (f @ g)(index) == g(f(index))


@given(chains(3))
def test_composition_is_associative_and_has_units(chain: list[StrideMap]) -> None:
    f, g, h = chain
    assert (f @ g) @ h == f @ (g @ h)
    assert identity(f.domain) @ f == f == f @ identity(f.codomain)


@given(chains(2), chains(2))
def test_interchange(left: list[StrideMap], right: list[StrideMap]) -> None:
    (f, g), (h, k) = left, right
    assert (f * h) @ (g * k) == (f @ g) * (h @ k)


@given(arrows, arrows, arrows)
def test_the_product_is_associative_and_acts_side_by_side(
    f: StrideMap, g: StrideMap, h: StrideMap
) -> None:
    assert (f * g) * h == f * (g * h)
    assert f * identity(()) == f == identity(()) * f
    assert identity(f.domain) * identity(g.domain) == identity(f.domain + g.domain)
    i, j = generic(f.domain), generic(g.domain, "j")
    assert (f * g)([*i, *j]) == f(i) + g(j)


@given(arrows, arrows)
def test_the_swap_is_natural(f: StrideMap, g: StrideMap) -> None:

    def swap(a: Shape, b: Shape) -> StrideMap:
        return permutation(a + b, [*range(len(a), len(a + b)), *range(len(a))])

    assert (f * g) @ swap(f.codomain, g.codomain) == swap(f.domain, g.domain) @ (g * f)


@given(arrows)
def test_duplication_and_deletion_are_natural(f: StrideMap) -> None:
    """St is cartesian: a diagonal after a map is the map on both sides of a diagonal."""

    def diagonal(shape: Shape) -> StrideMap:
        axes = [*range(len(shape))] * 2
        return selection(shape, shape + shape, axes, [size(0)] * len(axes))

    def deletion(shape: Shape) -> StrideMap:
        return selection(shape, (), (), ())

    assert f @ diagonal(f.codomain) == diagonal(f.domain) @ (f * f)
    assert f @ deletion(f.codomain) == deletion(f.domain)


@given(st.data())
def test_permutations_are_a_group(data: st.DataObject) -> None:
    domain = data.draw(shapes)
    order = data.draw(st.permutations(range(len(domain))))
    there = permutation(domain, order)
    assert there @ there.transposed() == identity(domain)
    assert there.transposed() @ there == identity(there.codomain)
    assert [there.source_of(j) for j in range(len(order))] == [*order]


@given(arrows)
def test_text_is_read_back(f: StrideMap) -> None:
    assert eval(repr(f), {"StrideMap": StrideMap, "size": size}) == f


# Ranges ---------------------------------------------------------------------------------------

N, M, H, D, K = map(size, ("n", "m", "h", "d", "k"))
ONE, ZERO = size(1), size(0)


def line(domain: list[Any], codomain: Polynomial, strides: list[Any], offset: Any = 0) -> StrideMap:
    """A map into one axis."""
    row = tuple(size(0) + stride for stride in strides)
    shape = tuple(size(0) + extent for extent in domain)
    return StrideMap(shape, (codomain,), (row,), (size(0) + offset,))


IN_RANGE = {
    "identity": identity((N, M)),
    "split": line([H, D], H * D, [D, 1]),
    "flip": line([N], N, [-1], N - 1),
    "slice": line([N], N + M, [1], M),
    "stride": line([N], 2 * N, [2], 1),
    "window": line([N - K + 1, K], N, [1, 1]),
    "dilated window": line([N - 2 * K + 2, K], N, [1, 2]),
    "diagonal": selection((N,), (N, N), (0, 0), (ZERO, ZERO)),
    "repetition": selection((N, M), (M,), (1,), (ZERO,)),
    "a number": line([], N, []),
}
NOT_SHOWN = {
    "one too far": line([N], N, [1], 1),
    "one too early": line([N], N, [1], -1),
    "flip without its offset": line([N], N, [-1]),
    "window of one too many": line([N - K + 2, K], N, [1, 1]),
    "digits of the wrong size": line([H, D], H * D, [H, 1]),
    "another size": line([N], M, [1]),
    "an unknown sign": line([N], N * M, [N - M]),
    "the second of perhaps one": line([], N, [], 1),
}


@pytest.mark.parametrize("read", IN_RANGE.values(), ids=IN_RANGE)
def test_ranges_are_shown(read: StrideMap) -> None:
    assert read.in_range(Context())


@pytest.mark.parametrize("read", NOT_SHOWN.values(), ids=NOT_SHOWN)
def test_ranges_are_refused(read: StrideMap) -> None:
    assert not read.in_range(Context())


def test_assumptions_show_ranges() -> None:
    assert line([], N, [], 1).in_range(Context(lower={"n": 2}))
    assert line([N], M, [1]).in_range(Context(assumptions=(M - N,)))
    assert not line([], N, []).in_range(Context(lower={"n": 0}))


@pytest.mark.xfail(reason="the range of a quotient is known only for whole multiples", strict=True)
def test_strided_windows_are_in_range() -> None:
    assert line([quotient(N - K, size(2)) + 1, K], N, [2, 1]).in_range(
        Context(assumptions=(N - K,))
    )


lines = st.sampled_from([*IN_RANGE.values(), *NOT_SHOWN.values()])
values = st.fixed_dictionaries({name: st.integers(1, 3) for name in "nmhdk"})


@given(st.one_of(lines, st.builds(StrideMap.__mul__, lines, lines), arrows), values)
def test_what_is_shown_to_be_in_range_is(f: StrideMap, values: dict[str, int]) -> None:
    if not f.in_range(Context()):
        return
    extents = [axis.evaluate(values) for axis in f.codomain]
    for index in every(*(range(axis.evaluate(values)) for axis in f.domain)):
        for i, extent in zip(f([*map(size, index)]), extents, strict=True):
            assert 0 <= i.evaluate(values) < extent


@given(st.lists(st.sampled_from([line([N - 1], N, [1], 1), line([N - 1], N, [-1], N - 1)])))
def test_ranges_compose(steps: list[StrideMap]) -> None:
    """Slices and flips of ever shorter axes, seen as one read of the first."""
    whole = identity((N,))
    for k, step in enumerate(steps):
        shorter = {"n": N - k}
        whole = (
            StrideMap(
                tuple(axis.substitute(shorter) for axis in step.domain),
                tuple(axis.substitute(shorter) for axis in step.codomain),
                step.strides,
                tuple(offset.substitute(shorter) for offset in step.offsets),
            )
            @ whole
        )
    assert whole.in_range(Context())


# Errors ---------------------------------------------------------------------------------------


def test_maps_that_do_not_meet_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(n\) is not \(m\)"):
        identity((N,)) @ identity((M,))


def test_rows_and_columns_are_counted() -> None:
    with pytest.raises(InputError, match=r"into \(n, m\) needs 2 rows"):
        StrideMap((N,), (N, M), ((ONE,),), (ZERO,))
    with pytest.raises(InputError, match=r"out of \(n\) needs 1 columns"):
        StrideMap((N,), (N,), ((ONE, ONE),), (ZERO,))
