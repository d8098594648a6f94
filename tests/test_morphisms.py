"""Morphisms: the laws of ``rules/monoidal.egg`` hold by evaluation, and the papers' figures."""

from __future__ import annotations

import doctest
import random
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from itertools import product as every
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal import morphisms, operators, strides
from ncd_formal.arrays import Array, unsqueeze
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.morphisms import (
    Axes,
    Axis,
    Block,
    Broadcasted,
    Morphism,
    Operator,
    Rearrangement,
    Types,
    ap,
    axes_of,
    broadcast,
    contraction,
    copy,
    discard,
    equal_wires,
    identity,
    inner_lift,
    reindexing,
    repetition,
    slide_copy,
    slide_reindexing,
    swap,
    types_of,
)
from ncd_formal.rules import Expression, Symbol, read_expressions, rules_folder
from ncd_formal.sizes import Polynomial, size
from ncd_formal.strides import StrideMap, permutation, selection
from tests.evaluation import array, draw, value

N, M, K = map(size, ("n", "m", "k"))
ZERO, ONE = size(0), size(1)
SHIFT = StrideMap((N - 1,), (N,), ((ONE,),), (ONE,))
TWICE = selection((M, N), (N,), (1,), (ZERO,))
SWAPPED = permutation((M, N), (1, 0))
DROPOUT = broadcast("dropout", "n -> n", deterministic=False, probability=0.25)


def shape(axes: Axes) -> tuple[Polynomial, ...]:
    return tuple(axis.size for axis in axes)


def over(types: Types, axes: Axes) -> Types:
    return tuple(each.over(axes) for each in types)


def pull(types: Types, read: StrideMap) -> Morphism:
    """[X; η] of a tuple: of each array."""
    result: Morphism = identity("")
    for each in types:
        result = result * reindexing(read, each)
    return result


# The laws as they are stated --------------------------------------------------------------------


class IllTypedError(Exception):
    """A side of a law has no meaning at these values."""


def then(f: Morphism, g: Morphism) -> Morphism:
    if f.codomain != g.domain:
        raise IllTypedError
    return f @ g


def after(first: StrideMap, second: StrideMap) -> StrideMap:
    if first.codomain != second.domain:
        raise IllTypedError
    return first @ second


MEANING: Mapping[str, Callable[..., object]] = {
    "NoAxes": lambda: (),
    "Join": lambda p, q: p + q,
    "Nothing": lambda: (),
    "Pair": lambda a, b: a + b,
    "Over": over,
    "Same": lambda p: strides.identity(shape(p)),
    "After": after,
    "From": lambda r: tuple(map(Axis, r.domain)),
    "To": lambda r: tuple(map(Axis, r.codomain)),
    "Id": identity,
    "Then": then,
    "Beside": lambda f, g: f * g,
    "Swap": swap,
    "Copy": copy,
    "Discard": discard,
    "Lift": lambda f, p: f >> p,
    "Pull": pull,
    "Domain": lambda f: f.domain,
    "Codomain": lambda f: f.codomain,
    "=": lambda a, b: a == b,
    "Deterministic": lambda f: f.deterministic,
    "ReadsOnce": lambda r: r in (SHIFT, SWAPPED),
}
POOL: Mapping[str, Sequence[object]] = {
    "Axes": [axes_of(text) for text in ("", "b", "n", "n-1", "m n")],
    "Object": [types_of(text) for text in ("", "n", "m", "n, m", "n : boolean")],
    "Read": [SHIFT, TWICE, SWAPPED, strides.identity((N,)), permutation((N, M), (1, 0))],
    "Morphism": [
        broadcast("exp", "n -> n"),
        broadcast("softmax", "[n] -> [n]"),
        broadcast("unknown", "[n] -> [m]"),
        broadcast("tanh", "m -> m"),
        broadcast("add", "n, m -> n m"),
        copy("n"),
        discard("m"),
        swap("n", "m"),
        identity(""),
    ],
}
COMMANDS = [
    command
    for command in read_expressions((rules_folder() / "monoidal.egg").read_text(encoding="utf-8"))
    if isinstance(command, tuple)
]
SORTS = {
    str(command[1]): tuple(map(str, command[2]))
    for command in COMMANDS
    if command[0] in ("constructor", "relation") and isinstance(command[2], tuple)
}
LAWS: dict[str, tuple[Any, ...]] = {
    str(dict(zip(command[3::2], command[4::2], strict=True))[Symbol(":name")]): command
    for command in COMMANDS
    if command[0] in ("rewrite", "birewrite")
}


def meaning(side: Expression, values: Mapping[str, object]) -> Any:
    if isinstance(side, Symbol):
        return values[side]
    assert isinstance(side, tuple)
    operator, *arguments = side
    return MEANING[str(operator)](*(meaning(argument, values) for argument in arguments))


def variables(side: Expression) -> dict[str, str]:
    """Variable → its sort."""
    assert isinstance(side, tuple)
    found: dict[str, str] = {}
    for sort, argument in zip(SORTS[str(side[0])], side[1:], strict=True):
        found |= {str(argument): sort} if isinstance(argument, Symbol) else variables(argument)
    return found


def same(left: object, right: object) -> bool:
    if isinstance(left, Morphism) and isinstance(right, Morphism):
        return equal_wires(left, right)
    return left == right


@pytest.mark.parametrize("name", LAWS)
def test_a_stated_law_holds_by_evaluation(name: str) -> None:
    head, left, right, *rest = LAWS[name]
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    conditions = options.get(Symbol(":when"), ())
    sorts = variables(left)
    choices = list(every(*(POOL[sort] for sort in sorts.values())))
    random.Random(name).shuffle(choices)
    held = 0
    for choice in choices:
        values = dict(zip(sorts, choice, strict=True))
        try:
            sides = [meaning(left, values)]
        except IllTypedError:
            if head == "rewrite":
                continue
            sides = []
        try:
            if not all(meaning(condition, values) for condition in conditions):
                continue
            sides.append(meaning(right, values))
        except IllTypedError:
            assert not sides, f"only one side has a meaning at {values}"
            continue
        assert len(sides) == 2, f"only one side has a meaning at {values}"
        assert same(*sides), values
        held += 1
        if held == 12:
            return
    assert held, "no instance was found"


def test_egglog_reads_the_laws_and_needs_determinism() -> None:
    bindings = pytest.importorskip("egglog.bindings")
    graph = bindings.EGraph()
    text = (rules_folder() / "monoidal.egg").read_text(encoding="utf-8")
    graph.run_program(*graph.parse_program(text))
    program = """
        (let $n (Array "n")) (let $m (Array "m"))
        (let $f (Operator "f" $n $m)) (let $g (Operator "g" $m $n))
        (let $random (Operator "dropout" $n $n))
        (Deterministic $f) (Deterministic $g)
        (let $late (Then (Then $f $g) (Copy $n)))
        (let $early (Then (Copy $n) (Then (Beside $f $f) (Beside $g $g))))
        (let $one-draw (Then $random (Copy $n)))
        (let $two-draws (Then (Copy $n) (Beside $random $random)))
        (let $dropped (Then $random (Discard $n)))
        (run-schedule (repeat 3 (saturate types) (run monoidal) (run copying)))
        (check (= $late $early))
        (check (= $dropped (Discard $n)))
        (fail (check (= $one-draw $two-draws)))
    """
    graph.run_program(*graph.parse_program(program))


def test_the_axioms_in_the_documentation() -> None:
    failed, tried = doctest.testmod(morphisms)
    assert tried > 10
    assert not failed


# Laws of random programs ------------------------------------------------------------------------

AXES = st.sampled_from([axes_of(text) for text in ("n", "m", "n m", "2")])
TYPES = st.lists(st.sampled_from(types_of("n, m, n m, m n, ()")), min_size=1, max_size=3).map(tuple)


@st.composite
def programs(draw: st.DrawFn, domain: Types | None = None) -> Morphism:
    """A random program: a few operators, each on some of the arrays that there are."""
    f: Morphism = identity(draw(TYPES) if domain is None else domain)
    for _ in range(draw(st.integers(0, 3))):
        types = f.codomain
        if not types:
            break
        at = draw(st.integers(0, len(types) - 1))
        step = draw(st.sampled_from(_steps(types[at:])))
        rest = types[at + len(step.domain) :]
        f = f @ (identity(types[:at]) * step * identity(rest))
    return f


def _steps(types: Types) -> list[Morphism]:
    first, axes = types[:1], " ".join(str(axis.size) for axis in types[0].axes)
    steps: list[Morphism] = [broadcast("exp", f"{axes or '()'} -> {axes or '()'}"), copy(first)]
    if axes:
        *lead, last = axes.split()
        outer = " ".join(lead)
        steps += [
            broadcast("softmax", f"{outer} [{last}] -> {outer} [{last}]"),
            broadcast("sum", f"{outer} [{last}] -> {outer or '()'}"),
            broadcast("normalize", f"{outer} [{last}] -> {outer} [{last}]"),
        ]
    if len(types) > 1:
        steps.append(swap(first, types[1:2]))
        if types[0] == types[1]:
            steps.append(
                broadcast("subtract", f"{axes}, {axes} -> {axes}" if axes else "(), () -> ()")
            )
    return steps


@st.composite
def chains(draw: st.DrawFn, length: int) -> list[Morphism]:
    """Programs of which each takes what the one before it gives."""
    chain = [draw(programs())]
    while len(chain) < length:
        chain.append(draw(programs(chain[-1].codomain)))
    return chain


def inputs(types: Types) -> list[Array]:
    return [
        array(f"x{k}", " ".join(str(axis.size) for axis in each.axes), each.kind)
        for k, each in enumerate(types, start=1)
    ]


@given(chains(3))
def test_composition_is_associative_with_units(chain: list[Morphism]) -> None:
    f, g, h = chain
    assert (f @ g) @ h == f @ (g @ h)
    assert identity(f.domain) @ f == f == f @ identity(f.codomain)


@given(chains(2))
def test_application_is_a_functor(chain: list[Morphism]) -> None:
    f, g = chain
    x = inputs(f.domain)
    whole, steps = elaborate([ap(f @ g, x), ap(g, ap(f, x))]).programs
    assert whole == steps


@given(programs(), programs())
def test_application_of_a_product(f: Morphism, g: Morphism) -> None:
    x = inputs(f.domain + g.domain)
    own, others = x[: len(f.domain)], x[len(f.domain) :]
    whole, parts = elaborate([ap(f * g, x), [*ap(f, own), *ap(g, others)]]).programs
    assert whole == parts


@given(chains(2), chains(2))
def test_interchange(left: list[Morphism], right: list[Morphism]) -> None:
    (f, g), (h, k) = left, right
    assert equal_wires((f * h) @ (g * k), (f @ g) * (h @ k))


@given(programs(), programs())
def test_symmetry_is_natural(f: Morphism, g: Morphism) -> None:
    there = swap(f.codomain, g.codomain)
    assert equal_wires((f * g) @ there, swap(f.domain, g.domain) @ (g * f))
    assert there @ swap(g.codomain, f.codomain) == identity(f.codomain + g.codomain)


@given(programs())
def test_copying_and_discarding_are_natural(f: Morphism) -> None:
    assert equal_wires(f @ copy(f.codomain), slide_copy(f))
    assert equal_wires(f @ discard(f.codomain), discard(f.domain))


@given(chains(2), AXES, AXES)
def test_lifting_is_a_functor(chain: list[Morphism], p: Axes, q: Axes) -> None:
    f, g = chain
    assert f @ g >> p == (f >> p) @ (g >> p)
    assert (f * g) >> p == (f >> p) * (g >> p)
    assert (f >> p) >> q == f >> q + p
    assert f >> "" == f
    assert identity(f.domain) >> p == identity(over(f.domain, p))


@given(programs(), st.sampled_from([SHIFT, TWICE, SWAPPED]))
def test_reindexing_slides(f: Morphism, read: StrideMap) -> None:
    left = pull(f.domain, read) @ (f >> tuple(map(Axis, read.domain)))
    assert equal_wires(left, slide_reindexing(read, f))


@given(programs(), st.data())
def test_an_index_before_is_an_index_after(f: Morphism, data: st.DataObject) -> None:
    """Broadcasting, by its definition: G(X[j]) = (cG)(X)[j]."""
    at = StrideMap((), (K,), ((),), (data.draw(st.sampled_from([ZERO, K - 1])),))
    assert equal_wires(pull(f.domain, at) @ f, (f >> K) @ pull(f.codomain, at))
    carried = data.draw(st.tuples(*[st.booleans()] * len(f.domain)))
    before: Morphism = identity("")
    for has, each in zip(carried, f.domain, strict=True):
        before = before * (reindexing(at, each) if has else identity(each))
    assert equal_wires(before @ f, inner_lift(f, K, carried) @ pull(f.codomain, at))


@given(programs())
def test_text_is_read_back(f: Morphism) -> None:
    names = {**vars(morphisms), "StrideMap": StrideMap, "size": size}
    assert eval(repr(f), names) == f
    assert hash(eval(repr(f), names)) == hash(f)


@pytest.mark.parametrize("inner", ["cumulative_sum", "unknown"])
def test_axes_that_no_input_has_are_bound_alike(inner: str) -> None:
    f = broadcast(inner, "[n] -> [n]") @ broadcast("sum", "[n] -> ()")
    assert equal_wires(f @ copy("()"), slide_copy(f))


def test_a_block_repeats_its_body() -> None:
    f = broadcast("softmax", "[n] -> [n]") @ broadcast("exp", "n -> n")
    block = Block(f, "layer", 3)
    assert str(block) == "layer^3"
    assert equal_wires(block, f @ f @ f)
    assert equal_wires(block >> "b", (f >> "b") @ (f >> "b") @ (f >> "b"))
    with pytest.raises(InputError, match=r"\(n, m\) is not \(m, n\)"):
        Block(broadcast("identity", "n m -> m n"), times=2)
    with pytest.raises(InputError, match="at least once"):
        Block(f, times=0)


# Randomness -------------------------------------------------------------------------------------


def test_a_random_operator_is_not_copied() -> None:
    assert not DROPOUT.deterministic
    assert not Block(DROPOUT @ broadcast("exp", "n -> n"), times=2).deterministic
    assert not equal_wires(DROPOUT @ copy("n"), copy("n") @ (DROPOUT * DROPOUT))
    assert equal_wires(DROPOUT @ discard("n"), discard("n"))
    with pytest.raises(InputError, match=r"dropout\[n\] is random"):
        slide_copy(DROPOUT)
    with pytest.raises(InputError, match="is random"):
        slide_copy(identity("m") * (broadcast("exp", "n -> n") @ DROPOUT))


def test_a_random_operator_slides_past_what_reads_once_only() -> None:
    """One noise, repeated, is not one noise for each repetition; a permutation only moves it."""
    with pytest.raises(InputError, match=r"does not slide past a reindexing of \(n\) by \(m, n\)"):
        slide_reindexing(TWICE, DROPOUT)
    with pytest.raises(InputError, match="does not slide"):
        slide_reindexing(StrideMap((N, M), (N + M - 1,), ((ONE, ONE),), (ZERO,)), DROPOUT)
    right = slide_reindexing(SWAPPED, DROPOUT)
    left = reindexing(SWAPPED, "n") @ (DROPOUT >> "m n")
    x, noise = draw("n m n"), draw("n m n", seed=1).sigmoid()
    operand = [array("x1", "n m n")]
    (drawn_late,), (drawn_early,) = ap(left, operand), ap(right, operand)
    torch.testing.assert_close(
        value(drawn_late, {"x1": x, "dropout#1": noise.transpose(0, 1)}),
        value(drawn_early, {"x1": x, "dropout#1": noise}),
    )


def test_an_unknown_random_operator_draws_afresh() -> None:
    f = broadcast("jitter", "n -> n", deterministic=False)
    a, b = ap(copy("n") @ (f * f), [array("x", "n")])
    assert elaborate([[a]]) != elaborate([[b]])
    g = broadcast("unknown", "n -> n")
    a, b = ap(copy("n") @ (g * g), [array("x", "n")])
    assert elaborate([[a]]) == elaborate([[b]])


# Alignment and errors ---------------------------------------------------------------------------


def test_composition_lifts_the_side_that_lacks_axes() -> None:
    row, table = broadcast("softmax", "[n] -> [n]"), broadcast("exp", "b n -> b n")
    assert table @ row == table @ (row >> "b")
    assert row @ table == (row >> "b") @ table
    assert (table * table) @ (row * row) == (table * table) @ (row * row >> "b")


@pytest.mark.parametrize(
    "make,parts",
    [
        (
            lambda: broadcast("exp", "n m -> n m") @ broadcast("softmax", "[k] -> [k]"),
            ["exp[n, m] gives (n, m)", "softmax[] takes (k)", "array 1, axis −1 is m", "k on the"],
        ),
        (lambda: copy("n") @ broadcast("exp", "n -> n"), ["2 arrays are not 1"]),
        (
            lambda: copy("n") @ broadcast("where", "n : boolean, n, n -> n"),
            ["2 arrays are not 3"],
        ),
        (
            lambda: broadcast("exp", "n -> n") @ broadcast("where", "n:bool, 1, 1 -> n"),
            ["1 arrays are not 3"],
        ),
        (
            lambda: identity("n") @ broadcast("logical_not", "n : boolean -> n"),
            ["array 1 is real on the left and boolean on the right"],
        ),
        (
            lambda: identity("b n, c n") @ broadcast("add", "n, n -> n"),
            ["leading axes", "differ: (b) on the left and (c) on the left"],
        ),
        (
            lambda: identity("b n, n") @ broadcast("add", "n, n -> n"),
            ["leading axes", "differ: (b) on the left and none"],
        ),
        (lambda: broadcast("exp", "n"), ["exp 'n'", "'->' is missing"]),
        (lambda: broadcast("exp", "n ->"), ["names no array"]),
        (lambda: broadcast("exp", "n -> m"), ["n is neither in brackets nor in the result"]),
        (lambda: broadcast("exp", "[n -> n"), ["brackets do not match"]),
        (lambda: broadcast("exp", "n -> n n"), ["each of them once"]),
        (lambda: broadcast("softmax", "[n] -> [m]"), ["of (n) it gives (n), not (m)"]),
        (lambda: broadcast("matmul", "[n k], [m k] -> [n m]"), ["matmul", "k is not m"]),
        (lambda: broadcast("softmax", "[n] -> [n]", depth=2), ["softmax", "depth = 2"]),
        (lambda: broadcast("exp", "n : complex -> n"), ["'complex' is no kind"]),
        (lambda: contraction("n d, m d -> k"), ["k"]),
        (lambda: reindexing(StrideMap((N,), (M,), ((ONE,),), (ZERO,))), ["(m)", "(n)", "range"]),
        (lambda: inner_lift(copy("n"), "b", (True, False)), ["2 marks are given"]),
        (lambda: ap(copy("n"), []), ["takes (n), and 0 arrays are given"]),
        (lambda: ap(copy("n"), [array("x", "m")]), ["input 1 is (m), not (n)"]),
        (lambda: equal_wires(copy("n"), identity("n")), ["(n) → (n), (n) is not (n) → (n)"]),
        (lambda: Rearrangement(types_of("n"), (1,)), ["(1,)", "below 1"]),
        (
            lambda: Operator("softmax", types_of("n"), types_of("m")),
            ["softmax of (n) gives (n), not (m)"],
        ),
        (
            lambda: Broadcasted(
                Operator("exp", types_of("()"), types_of("()")), axes_of("n"), (), ((True,),), ()
            ),
            ["a weave and a reindexing are needed for each input"],
        ),
    ],
)
def test_errors_say_what_disagrees(make: Callable[[], object], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)


# The papers' figures ----------------------------------------------------------------------------


def run(f: Morphism, *tensors: Tensor) -> Tensor:
    operands = inputs(f.domain)
    (result,) = ap(f, operands)
    return value(result, {f"x{k}": t for k, t in enumerate(tensors, start=1)})


def attention(width: str = "c") -> Morphism:
    """Neural Circuit Diagrams, figure 20: queries, keys and values."""
    scale = broadcast("number", "-> ()", value=size("d")) @ broadcast("rsqrt", "() -> ()")
    scores = (contraction("n d, m d -> n m") * scale) @ broadcast("multiply", "n m, () -> n m")
    weights = scores @ broadcast("softmax", "n [m] -> n [m]")
    return (weights * identity(f"m {width}")) @ contraction(f"n m, m {width} -> n {width}")


def test_attention() -> None:
    f = attention()
    q, k, v = inputs(f.domain)
    figure, definition = elaborate([ap(f, [q, k, v]), [operators.attention(q, k, v)]]).programs
    assert figure == definition
    tensors = draw("n d"), draw("m d", seed=1), draw("m c", seed=2)
    torch.testing.assert_close(run(f, *tensors), F.scaled_dot_product_attention(*tensors))


def test_multi_head_attention() -> None:
    """Figure 21: projections, attention lifted over the heads, and a projection back."""
    width = {"e": "h*d"}
    queries = contraction("n e, h d e -> h n d", width)
    keys = contraction("m e, h d e -> h m d", width)
    back = contraction("h n d, o h d -> n o", {"o": "h*d"})
    f = (queries * keys * keys) @ attention("d")
    f = (f * identity(types_of("o h d", {"o": "h*d"}))) @ back
    assert f.codomain == types_of("n h*d")
    reference = torch.nn.MultiheadAttention(6, 2, bias=False, dtype=torch.float64)
    x, y, z = draw("n h*d"), draw("m h*d", seed=1), draw("m h*d", seed=2)
    wq, wk, wv = reference.in_proj_weight.detach().reshape(3, 2, 3, 6)
    out = reference.out_proj.weight.detach().reshape(6, 2, 3)
    expected, _ = reference(x, y, z)
    torch.testing.assert_close(run(f, x, wq, y, wk, z, wv, out), expected.detach())


def convolution(length: Polynomial, width: Polynomial = K) -> Morphism:
    """Figure 23: windows are an affine read of the positions; the rest is a contraction."""
    count = length - width + 1
    windows = StrideMap((count, width), (length,), ((ONE, ONE),), (ZERO,))
    read = reindexing(strides.identity((size("c"),)) * windows)
    sizes = {"y": count, "k": width}
    weight = identity(types_of("o c k", sizes))
    return (read * weight) @ contraction("c y k, o c k -> o y", sizes)


def test_convolution_is_an_affine_read() -> None:
    f = convolution(N)
    assert f.domain == types_of("c n, o c k")
    operands = inputs(f.domain)
    (result,) = ap(f, operands)
    ours = operators.convolution(unsqueeze(operands[0], 0), operands[1])
    figure, definition = elaborate([[unsqueeze(result, 0)], [ours]]).programs
    assert figure == definition


def test_convolution_is_equivariant() -> None:
    """Weaves, figure 17: a shift slides past the windows, the contraction, and so all of it."""
    channels, outputs = strides.identity((size("c"),)), strides.identity((size("o"),))
    shorter = StrideMap((N - K,), (N - K + 1,), ((ONE,),), (ONE,))
    before = (reindexing(channels * SHIFT) * identity("o c k")) @ convolution(N - 1)
    assert equal_wires(before, convolution(N) @ reindexing(outputs * shorter))


def layer() -> Morphism:
    """Batch norm in inference, ReLU and a convolution that keeps the length."""
    edge = broadcast("number", "-> c 1", value=0)
    pad = (edge * identity("c n") * edge) @ broadcast(
        "concatenate", "c [1], c [n], c [1] -> c [n+2]"
    )
    weight = identity(types_of("o c 3", {"o": "c"}))
    norm = (broadcast("multiply", "c n, c -> c n") * identity("c")) @ broadcast(
        "add", "c n, c -> c n"
    )
    read = StrideMap((N, size(3)), (N + 2,), ((ONE, ONE),), (ZERO,))
    windows = reindexing(strides.identity((size("c"),)) * read)
    active = norm @ broadcast("relu", "c n -> c n") @ pad @ windows
    return (active * weight) @ contraction("c n 3, o c 3 -> o n", {"o": "c"})


def test_identity_residual_block() -> None:
    """Figure 26: two layers, beside the identity, added."""
    one = layer()
    parameters = identity(one.domain[1:])
    body = Block((one * parameters) @ one, "layers")
    f = (copy("c n") * parameters * parameters) @ (identity("c n") * body)
    f = f @ broadcast("add", "c n, c n -> c n")
    x = draw("c n")
    settings = [draw(text, seed=k) for k, text in enumerate(["c", "c", "c c 3"] * 2)]

    def torch_layer(x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor) -> Tensor:
        normed = (x * scale[:, None] + shift[:, None]).relu()
        return F.conv1d(normed, weight, padding=1)

    expected = x + torch_layer(torch_layer(x, *settings[:3]), *settings[3:])
    torch.testing.assert_close(run(f, x, *settings), expected)


def test_embedding_is_a_gather_over_all_the_rest() -> None:
    f = broadcast("gather", "d [v], n : integer -> n d", sizes={"v": "m"})
    table, ids = draw("m d"), draw("n", "integer", below=5)
    torch.testing.assert_close(run(f, table.T, ids), table[ids])


def test_repetition_and_merging() -> None:
    x = draw("h d")
    torch.testing.assert_close(run(repetition("h d", "b"), x), x.expand(2, 2, 3))
    merged = broadcast("merge", "n [h d] -> n [h*d]")
    y = draw("n h d")
    torch.testing.assert_close(run(merged, y), y.flatten(1))
    split = StrideMap((size("h"), size("d")), (size("h*d"),), ((size("d"), ONE),), (ZERO,))
    assert equal_wires(broadcast("merge", "[h d] -> [h*d]") @ reindexing(split), identity("h d"))


SEEN = {
    **dict.fromkeys(["sum", "product", "max", "min", "all", "any"], "[n m] -> ()"),
    **dict.fromkeys(["mean", "variance", "standard_deviation", "logsumexp"], "[n] -> ()"),
    "attention": "[n d], [m d], [m c] -> [n c]",
    "causal_mask": "-> [n m]",
    "clamp": "(), (), () -> ()",
    "concatenate": "[n], [m] -> [n+m]",
    "gather": "[n], () -> ()",
    "matmul": "[n k], [k m] -> [n m]",
    "merge": "[n m] -> [n*m]",
    "number": "-> ()",
    "where": "(), (), () -> ()",
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "causal_mask": {"queries": "n", "keys": "m"},
    "number": {"value": 3},
    "rms_norm": {"eps": 0.5},
}


@pytest.mark.parametrize("name", sorted(morphisms.DEFINITIONS.keys() - {"dropout"}))
def test_a_definition_acts_on_the_last_axes(name: str) -> None:
    """A defined operator over more axes is its definition at every index of them."""
    pattern = SEEN.get(name, "[n] -> [n]")
    if name in operators.POINTWISE and name not in SEEN:
        arity = len(signature(operators.POINTWISE[name]).parameters)
        pattern = ", ".join(["()"] * arity) + " -> ()"
    f = broadcast(name, pattern, **SETTINGS.get(name, {}))
    at = StrideMap((), (K,), ((),), (K - 1,))
    assert equal_wires(pull(f.domain, at) @ f, (f >> K) @ pull(f.codomain, at))
