"""Programs from PyTorch: what they become, what they rely on, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncd_formal.arrays import Array, IotaArray, topological
from ncd_formal.conditions import Context, assume
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.aten import ATEN, affine_form, root_of
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import Declaration, parse_shape
from ncd_formal.frontends.torch_export import declarations, example_sizes, import_program
from ncd_formal.semantics import Evaluator
from ncd_formal.sizes import size
from ncd_formal.strides import Shape

SIZES = (
    {"b": 2, "h": 2, "n": 5, "m": 4, "d": 3, "c": 2},
    {"b": 1, "h": 3, "n": 4, "m": 7, "d": 2, "c": 3},
)
ATTENTION = {"q": "b h n d", "k": "b h m d", "v": "b h m c"}


def shape(text: str) -> Shape:
    return tuple(map(size, text.split()))


def draw(declaration: Declaration, sizes: Mapping[str, int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    extents = [s.evaluate(sizes) for s in declaration.shape]
    if declaration.kind == "integer":
        return torch.randint(2, extents, generator=generator)
    values = torch.randn(extents, dtype=torch.float64, generator=generator)
    return values > 0 if declaration.kind == "boolean" else values


def agrees(program: Program, sizes: Mapping[str, int], positive: bool = False) -> None:
    """The wires of every output compute what PyTorch computes."""
    tensors = {
        name: draw(declaration, sizes, seed)
        for seed, (name, declaration) in enumerate(program.inputs.items())
    }
    if positive:
        tensors = {k: t.abs() + 0.1 if t.is_floating_point() else t for k, t in tensors.items()}
    expected = program.run(tensors)
    elaboration = elaborate([program.outputs])
    known = {**tensors, **program.tensors}
    evaluate = Evaluator(
        elaboration.context, sizes, {k: t.detach().double().numpy() for k, t in known.items()}
    )
    assert len(expected) == len(program.outputs)
    for output, tensor in zip(elaboration.programs[0], expected, strict=True):
        own = np.array(evaluate.output(output.term, output.layout))
        assert own.shape == tuple(tensor.shape)
        np.testing.assert_allclose(own, tensor.detach().double().numpy(), rtol=1e-9, atol=1e-9)


# Whole programs --------------------------------------------------------------------------------


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return torch.softmax(scores, dim=-1) @ v


def test_attention_has_symbolic_shapes_and_no_conditions() -> None:
    program = import_program(attention, ATTENTION)
    (output,) = program.outputs
    assert program.name == "attention"
    assert output.shape == shape("b h n c")
    assert output.kind == "real"
    assert list(program.inputs) == ["q", "k", "v"]
    assert program.sizes == ("b", "h", "n", "d", "m", "c")
    assert (program.conditions, program.opaque, program.output_structure) == ((), (), "*")
    assert not program.parameters
    for sizes in SIZES:
        agrees(program, sizes)


def test_every_array_says_where_it_was_made() -> None:
    program = import_program(attention, ATTENTION)
    origins = {a.origin for a in topological(program.outputs)}
    line = attention.__code__.co_firstlineno
    assert f"test_torch_export.py:{line + 2} softmax" in origins
    assert f"test_torch_export.py:{line + 1} transpose" in origins


class Block(nn.Module):
    """A block of a transformer, with parameters, a buffer, a tied weight and dropout."""

    limit: Tensor

    def __init__(self, width: int = 6, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.1)
        self.register_buffer("limit", torch.tensor(0.5))

    def forward(self, x: Tensor) -> dict[str, Tensor | None]:
        b, n, width = x.shape
        q, k, v = self.project(self.norm(x)).chunk(3, dim=-1)
        q, k, v = (t.view(b, n, self.heads, -1).transpose(1, 2) for t in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.transpose(1, 2).reshape(b, n, width)
        return {"hidden": x + self.down(self.drop(F.gelu(self.up(x)))) * self.limit, "cache": None}


def test_a_module_has_its_parameters_by_qualified_name() -> None:
    module = Block().eval()
    program = import_program(module, {"x": "b n 6"})
    assert set(program.parameters) == {name for name, _ in module.named_parameters()} | {"limit"}
    assert program.buffers == {"limit"}
    assert program.parameters["up.weight"].shape == shape("12 6")
    assert program.tensors["up.weight"].data_ptr() == module.up.weight.data_ptr()
    assert program.output_structure == "{'hidden': *, 'cache': None}"
    assert program.conditions == ()
    for sizes in SIZES:
        agrees(program, sizes)


def test_parameters_may_be_given_when_a_program_is_run() -> None:
    program = import_program(nn.Linear(3, 2), {"input": "b 3"})
    tensors = {"input": torch.randn(4, 3), "weight": torch.zeros(2, 3), "bias": torch.ones(2)}
    (result,) = program.run(tensors)
    assert result.dtype is torch.float64
    assert torch.equal(result, torch.ones(4, 2, dtype=torch.float64))


def test_tied_parameters_are_one() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: Tensor) -> Tensor:
            scores: Tensor = self.head(self.embed(ids))
            return scores

    program = import_program(Tied(), {"ids": "n : int"})
    assert list(program.parameters) == ["embed.weight"]
    agrees(program, SIZES[0])


def test_a_method_has_the_parameters_of_its_module() -> None:
    program = import_program(nn.Linear(3, 2).forward, {"input": "b 3"})
    assert set(program.parameters) == {"weight", "bias"}
    agrees(program, SIZES[0])


def test_running_needs_every_input() -> None:
    program = import_program(attention, ATTENTION)
    with pytest.raises(InputError, match="input 'k' of attention has no tensor"):
        program.run({"q": torch.zeros(1, 1, 1, 1)})


def test_a_parameter_named_like_an_input_is_told_apart() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.x

    program = import_program(Scaled(), {"x": "n"})
    assert set(program.parameters) == {"self.x"}


def test_defaults_are_left_alone() -> None:
    def scaled(x: Tensor, factor: float = 2.0, shift: Tensor | None = None) -> Tensor:
        return x * factor if shift is None else x * factor + shift

    assert list(import_program(scaled, {"x": "n"}).inputs) == ["x"]
    assert list(import_program(scaled, {"x": "n", "shift": ""}).inputs) == ["x", "shift"]
    agrees(import_program(partial(scaled, factor=0.5), {"x": "n"}), SIZES[0])


def test_several_outputs_are_flattened() -> None:
    def both(x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return x + 1, {"size": x.shape[0], "none": None, "list": [x.sum()]}

    program = import_program(both, {"x": "n d"})
    assert program.output_structure == "(*, {'size': *, 'none': None, 'list': [*]})"
    assert [o.shape for o in program.outputs] == [shape("n d"), (), ()]
    agrees(program, SIZES[0])


@dataclass
class Annotation:
    """What a jaxtyping annotation shows of itself."""

    dim_str: str
    dtypes: Sequence[str]


def test_jaxtyping_annotations_declare_inputs() -> None:
    def masked(x: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
        return torch.where(mask, x, ids.to(x.dtype))

    masked.__annotations__ = {
        "x": Annotation("b n", ["float16", "float32"]),
        "mask": Annotation("1 n", ["bool"]),
        "ids": Annotation("b 1", ["int32", "int64"]),
    }
    declared = declarations(masked)
    assert [(d.shape, d.kind) for d in declared.values()] == [
        (shape("b n"), "real"),
        (shape("1 n"), "boolean"),
        (shape("b 1"), "integer"),
    ]
    assert declarations(masked, {"x": "b 4"})["x"].shape == shape("b 4")


# Wrong use -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"q": "n d", "v": "m d"}, "input 'k' of attention has no shape: give --input k=…"),
        ({"q": "n d"}, "inputs 'k', 'v' of attention have no shape"),
        ({**ATTENTION, "key": "m d"}, "attention has no input 'key'; did you mean 'k'?"),
        ({**ATTENTION, "zzz": "m d"}, "attention has no input 'zzz'"),
        ({**ATTENTION, "k": "b h m e"}, "cannot be imported"),
        ({**ATTENTION, "k": "b h (m d"}, "input k = 'b h (m d'"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        import_program(attention, inputs)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sizes_that_disagree_are_called_by_their_names() -> None:
    with pytest.raises(InputError, match=r"\(n\) must match .* \(m\).*test_torch_export.py:\d+"):
        import_program(lambda x, y: x + y, {"x": "n", "y": "m"})


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(InputError, match="no function, module or morphism"):
        import_program(3, {})


def branch_on_data(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def choice_by_data(x: Tensor) -> Tensor:
    return x[x > 0].sum()


def branch_of_torch(x: Tensor) -> Tensor:
    result: Tensor = torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,))
    return result


def change_of_an_input(x: Tensor) -> Tensor:
    return x.add_(1)


class Counter(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * self.count


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (branch_on_data, "depends on the values of its tensors at test_torch_export.py:"),
        (choice_by_data, "a size depends on the values of tensors"),
        (branch_of_torch, "the control flow of cond is not supported"),
        (change_of_an_input, "changes 'x' in place"),
        (Counter(), "changes 'count' in place"),
        (lambda x: torch.rand_like(x) + x, "draws random numbers"),
        (lambda x: F.dropout(x, 0.5), "draws random numbers: call .eval()"),
        (lambda x: torch.fft.fft(x).real, "complex numbers"),
        (lambda x: torch.complex(x, x), "returns complex numbers: give them as real pairs"),
        (lambda x: None, "returns no tensor"),
        (lambda x: torch.empty_like(x) + x, "not initialised"),
        (lambda x: x.unknown(), "unknown"),
        (lambda x: torch.full_like(x, math.inf), "+∞"),
    ],
)
def test_what_is_no_function_of_sizes_and_values_is_refused(target: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        import_program(target, {"x": "n"})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# What a trace decides --------------------------------------------------------------------------


def conditions(target: object, inputs: dict[str, str], *assumed: str) -> tuple[str, ...]:
    names = {"n", "m", "d", "k"}
    return import_program(target, inputs, assume(assumed, names)).conditions


def branch(x: Tensor) -> Tensor:
    return x * 2 if x.shape[0] > 5 else x


def branch_at_one(x: Tensor) -> Tensor:
    return x * 2 if x.shape[0] == 1 else x


def branch_on_parity(x: Tensor) -> Tensor:
    return x * 2 if x.shape[0] % 2 == 0 else x


def checked(x: Tensor) -> Tensor:
    torch._check(x.shape[0] >= 7)
    return x


def halves(x: Tensor) -> Tensor:
    left, right = x.chunk(2)
    return left[: right.shape[0]] + right


def squeezes(x: Tensor) -> Tensor:
    return x.squeeze()


@pytest.mark.parametrize(
    ("target", "inputs", "assumed", "printed"),
    [
        (branch, {"x": "n"}, (), ("sizes: n >= 6",)),
        (branch, {"x": "n"}, ("n <= 5",), ()),
        (branch, {"x": "n"}, ("n >= 9",), ()),
        (branch, {"x": "n+5"}, (), ()),
        (branch_at_one, {"x": "n"}, (), ("sizes: n >= 2",)),
        (branch_at_one, {"x": "n"}, ("n >= 2",), ()),
        (branch_at_one, {"x": "n+1"}, (), ()),
        (branch_on_parity, {"x": "2*n"}, (), ()),
        (branch_on_parity, {"x": "2*n+1"}, (), ()),
        (branch_on_parity, {"x": "n"}, (), ("sizes: ((n) % (2)) >= 1",)),
        (checked, {"x": "n"}, (), ("sizes: n >= 7",)),
        (checked, {"x": "n+6"}, (), ()),
        (halves, {"x": "2*n"}, (), ()),
        (squeezes, {"x": "n"}, (), ("sizes: n >= 2",)),
        (squeezes, {"x": "1 2*n"}, (), ()),
        (lambda x: x + 1, {"x": "n m"}, ("n >= 0",), ("sizes: n >= 1",)),
        (lambda x: x + 1, {"x": "n-m"}, (), ("sizes: n >= m + 1",)),
        (lambda x: x[:4], {"x": "n"}, (), ("sizes: n >= 4",)),
        (lambda x: x[:1], {"x": "n"}, (), ()),
        (lambda x: x[:4], {"x": "n"}, ("n >= 4",), ()),
        (lambda x: x[:4], {"x": "n+3"}, (), ()),
        (lambda x: x[2:], {"x": "n"}, (), ("sizes: n >= 2",)),
        (lambda x: x[-3:], {"x": "n"}, (), ("sizes: n >= 3",)),
        (lambda x: x[1], {"x": "n"}, (), ("sizes: n >= 2",)),
        (lambda x: x[-1], {"x": "n"}, (), ()),
        (lambda x, y: x[: y.shape[0]], {"x": "n", "y": "m"}, ("n >= m",), ()),
        (lambda x, y: x[: y.shape[0]], {"x": "n+m", "y": "m"}, (), ()),
        (lambda x: x.unfold(0, 3, 1), {"x": "n"}, (), ("sizes: n >= 3",)),
        (lambda x: x.diagonal(), {"x": "n m"}, ("n <= m",), ()),
    ],
)
def test_sizes_that_a_trace_relies_on_are_printed_unless_implied(
    target: object, inputs: dict[str, str], assumed: tuple[str, ...], printed: tuple[str, ...]
) -> None:
    assert conditions(target, inputs, *assumed) == printed


def test_a_slice_that_may_be_clamped_is_conditional_on_the_side_that_was_traced() -> None:
    (found,) = conditions(lambda x, y: x[: y.shape[0]], {"x": "n", "y": "m"})
    assert found in {"sizes: n >= m", "sizes: n <= m", "sizes: m >= n", "sizes: m <= n"}


def size_in_a_loop(x: Tensor) -> Tensor:
    return sum((x[k] for k in range(x.shape[0])), torch.zeros(()))


def rows_in_a_loop(x: Tensor) -> Tensor:
    return sum((row for row in x), torch.zeros(()))


def halves_in_a_loop(x: Tensor) -> Tensor:
    return torch.stack([row for row in x.view(-1, 2)])  # noqa: C416


def size_as_a_number(x: Tensor) -> Tensor:
    return x * torch.tensor([float(x.shape[0])])


@pytest.mark.parametrize("target", [size_in_a_loop, size_as_a_number, rows_in_a_loop])
def test_a_size_made_a_number_is_refused_with_its_line(target: Callable[..., Tensor]) -> None:
    line = target.__code__.co_firstlineno + 1
    with pytest.raises(InputError, match=rf"fixes size n to \d+ at test_torch_export.py:{line}"):
        import_program(target, {"x": "n"})


def test_a_part_of_a_size_made_a_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"fixes size n to \d+ at test_torch_export.py"):
        import_program(halves_in_a_loop, {"x": "2*n"})


def test_sizes_that_must_be_equal_are_to_be_declared_so() -> None:
    def summed(x: Tensor, y: Tensor) -> Tensor:
        assert x.shape[0] == 2 * y.shape[0]
        return x.sum() + y.sum()

    context = assume(("n >= 2*m", "n <= 2*m"), ("n", "m"))
    import_program(summed, {"x": "2*m", "y": "m"})
    with pytest.raises(InputError):
        import_program(summed, {"x": "n", "y": "m"})
    assert import_program(summed, {"x": "n", "y": "m"}, context).conditions == ()


@pytest.mark.parametrize(
    "target",
    [
        lambda x: x / math.sqrt(x.shape[-1]),
        lambda x: x / sqrt(x.shape[-1]),
        lambda x: x * x.shape[-1] ** -0.5,
        lambda x: x / math.sqrt(16) * sqrt(x.shape[-1] * 2.0),
        lambda x: F.scaled_dot_product_attention(x, x, x, scale=1 / math.sqrt(x.shape[-1])),
    ],
)
def test_the_root_of_a_size_stays_symbolic(target: Callable[..., Tensor]) -> None:
    program = import_program(target, {"x": "n d"})
    assert program.conditions == ()
    for sizes in SIZES:
        agrees(program, sizes)


def test_functions_of_the_standard_library_are_restored() -> None:
    original = math.sqrt
    import_program(attention, ATTENTION)
    assert math.sqrt is original
    assert sqrt is original


@pytest.mark.parametrize(
    ("texts", "assumed"),
    [
        (("b h n d", "b h m d"), ()),
        (("b n 4*d", "4*d d"), ()),
        (("n n+1 n+2",), ()),
        (("n m",), ("n >= 128", "m >= n")),
        (("n m",), ("n == 4*m + 1",)),
        (("16 h*d", "h d"), ()),
    ],
)
def test_example_sizes_tell_dimensions_apart(
    texts: Iterable[str], assumed: tuple[str, ...]
) -> None:
    declared = [parse_shape("x", text) for text in texts]
    names = {v for d in declared for s in d.shape for v in s.variables}
    context = assume(assumed, names)
    values = example_sizes(declared, context)
    extents = {s: s.evaluate(values) for d in declared for s in d.shape}
    assert len(set(extents.values())) == len(extents)
    assert min(extents.values()) >= 2
    assert all(p.evaluate(values) >= 0 for p in context.assumptions)


def test_assumptions_without_small_sizes_are_refused() -> None:
    context = Context(assumptions=(size("n - m**9 - 10000"), size("m - 5")))
    with pytest.raises(InputError, match="no small sizes"):
        example_sizes([parse_shape("x", "n m")], context)


# Conversions and constants ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "printed"),
    [
        (lambda x: x.half(), "float16"),
        (lambda x: x.to(torch.bfloat16).float(), "bfloat16"),
        (lambda x: x.double(), None),
        (lambda x: x.double().float(), "float32"),
        (lambda x: x.float(), None),
        (lambda x: torch.softmax(x, 0, dtype=torch.float64), None),
        (lambda x: x.sum(dtype=torch.float16), "float16"),
        (lambda x: (x > 0).half() + x, None),
        (lambda x: torch.arange(x.shape[0]).half() + x, "float16"),
    ],
)
def test_conversions_to_shorter_types_are_printed(target: object, printed: str | None) -> None:
    found = import_program(target, {"x": "n"}).conditions
    if printed is None:
        assert found == ()
    else:
        assert len(found) == 1
        assert found[0].startswith(
            f"dtype conversions are exact: {printed} at test_torch_export.py:"
        )


@pytest.mark.parametrize(
    ("value", "root"),
    [
        (math.sqrt(2), (1, False, 2)),
        (-math.sqrt(3), (-1, False, 3)),
        (1 / math.sqrt(32), (1, True, 32)),
        (32**-0.5, (1, True, 32)),
        (0.125, None),
        (2.0, None),
        (0.1, None),
        (1.41421356, None),
        (0.0, None),
        (math.inf, None),
    ],
)
def test_rounded_roots_are_recognised(value: float, root: tuple[int, bool, int] | None) -> None:
    assert root_of(value) == root


def test_a_constant_read_as_a_root_or_fraction_is_a_condition() -> None:
    found = import_program(lambda x: x * (1 / math.sqrt(32)) * (1 / 3) * 0.25, {"x": "n"})
    assert [c.split(" at ")[0] for c in found.conditions] == [
        "constants are exact: 0.17677669529663687 is 1/sqrt(32)",
        "constants are exact: 0.3333333333333333 is 1/3",
    ]


def test_small_tensors_are_numbers_and_larger_ones_are_named_after_their_content() -> None:
    table = torch.arange(40.0).square()

    def both(x: Tensor) -> Tensor:
        return x * torch.tensor([1.0, -2.5, 3.0]).sum() + table.sum()

    first, second = (import_program(both, {"x": "n"}) for _ in range(2))
    assert len(first.parameters) == 1
    assert first.parameters.keys() == second.parameters.keys() == first.buffers
    table[0] = 7
    assert import_program(both, {"x": "n"}).parameters.keys() != first.parameters.keys()
    agrees(first, SIZES[0])


# Opaque operators ------------------------------------------------------------------------------


def sorts(x: Tensor) -> Tensor:
    return x.topk(3, dim=-1).values + 1


def test_an_unknown_operator_is_opaque_and_named_with_its_line() -> None:
    program = import_program(sorts, {"x": "b 5"})
    line = sorts.__code__.co_firstlineno + 1
    assert program.opaque == (f"topk at test_torch_export.py:{line}",)
    assert program.outputs[0].shape == shape("b 3")


def test_attributes_are_part_of_an_opaque_operator() -> None:
    names = {
        a.operator
        for k in (1, 2)
        for a in topological(import_program(lambda x, k=k: x.topk(k).values, {"x": "5"}).outputs)
        if hasattr(a, "operator")
    }
    assert names == {"aten.topk.default(self=_, k=1)#0", "aten.topk.default(self=_, k=2)#0"}


def test_unused_results_are_not_mentioned() -> None:
    assert import_program(lambda x: x.max(dim=0).values, {"x": "n"}).opaque == ()
    assert import_program(lambda x: x.max(dim=0).indices, {"x": "n"}).opaque != ()


# Kinds and indices -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (lambda x: x > 0, "boolean"),
        (lambda x: torch.arange(x.shape[0]), "integer"),
        (lambda x: torch.arange(x.shape[0]) * 2 + 1, "integer"),
        (lambda x: torch.arange(x.shape[0]) / 2, "real"),
        (lambda x: torch.arange(x.shape[0]) // 2, "integer"),
        (lambda x: (x > 0).sum(), "integer"),
        (lambda x: (x > 0) & (x < 1), "boolean"),
        (lambda x: (x > 0).any(), "boolean"),
        (lambda x: (x > 0) * x, "real"),
        (lambda x: (x > 0) + 1, "integer"),
        (lambda x: x.argmax(), "integer"),
        (lambda x: x.long(), "integer"),
        (lambda x: x.bool(), "boolean"),
    ],
)
def test_kinds(target: object, kind: str) -> None:
    (output,) = import_program(target, {"x": "n"}).outputs
    assert output.kind == kind


def outcome(target: object) -> Array:
    return import_program(target, {"x": "n"}).outputs[0]


def test_affine_whole_numbers_are_recognised() -> None:
    def indices(x: Tensor) -> Tensor:
        n = x.shape[0]
        return (torch.arange(n)[:, None] * 2 - torch.arange(n) + 3).transpose(0, 1)

    assert affine_form(outcome(indices)) == (size(3), (size(-1), size(2)))
    assert affine_form(outcome(lambda x: torch.arange(x.shape[0]) ** 2)) is None
    assert affine_form(outcome(lambda x: x)) is None


def test_affine_indices_read_without_a_choice() -> None:
    program = import_program(lambda x: x[torch.arange(x.shape[0] - 1) + 1], {"x": "n+1"})
    assert program.conditions == ()
    assert not any(isinstance(a, IotaArray) for a in topological(program.outputs))
    agrees(program, SIZES[0])


@pytest.mark.parametrize("classes", ["3", "d"])
def test_what_a_program_asserts_is_a_condition(classes: str) -> None:
    def one_hot(ids: Tensor, weight: Tensor) -> Tensor:
        return F.one_hot(ids, weight.shape[0]).to(weight.dtype) @ weight

    program = import_program(one_hot, {"ids": "n : int", "weight": f"{classes} m"})
    assert program.conditions
    assert all(c.startswith("asserted: one_hot: Class values") for c in program.conditions)
    agrees(program, SIZES[0])


def test_indices_that_are_data_are_a_condition() -> None:
    program = import_program(lambda x, ids: x[ids], {"x": "n d", "ids": "b m : int"})
    (condition,) = program.conditions
    assert condition.startswith("indices of index lie in [0, n) at test_torch_export.py:")


# Every operator --------------------------------------------------------------------------------


def each(module: Any, names: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Every function of a module that is named, of the same tensor."""
    return lambda x: tuple(getattr(module, name)(x) for name in names.split())


def assigned(x: Tensor, y: Tensor) -> Tensor:
    x = x.clone()
    x[1:-1] = y
    return x


def under_settings(x: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        phases = torch.arange(x.shape[-1]) * x
    return x + phases.cos()


def assigned_row(x: Tensor, y: Tensor) -> Tensor:
    x = x.clone()
    x[0] = y
    x[:, 0] = 1.0
    return x


FUNCTIONS = (
    "abs ceil cos cosh erf exp exp2 expm1 floor neg relu sigmoid sign sin sinh square tan tanh "
    "trunc atan isneginf"
)
ACTIVATIONS = (
    "elu gelu leaky_relu logsigmoid mish relu6 selu silu softplus hardtanh hardswish hardsigmoid "
    "celu softsign tanhshrink"
)
FUNCTIONS_OF_POSITIVE = "log log10 log1p log2 reciprocal rsqrt sqrt"
X = {"x": "b n d"}
XY = {"x": "b n d", "y": "b n d"}
MASKED = {"x": "b n d", "mask": "b n d : bool"}
IMAGE = {"x": "b c n+4 m+4"}

Case = tuple[str, Callable[..., Any], dict[str, str]]

CASES: list[Case] = [
    # pointwise
    ("functions", each(torch, FUNCTIONS), X),
    ("activations", each(F, ACTIVATIONS), X),
    ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), X),
    ("softplus_beta", lambda x: F.softplus(x, beta=2.0, threshold=1.0), X),
    ("elu_alpha", lambda x: F.elu(x, 0.5), X),
    ("glu", each(F, "glu"), {"x": "n 2*d"}),
    ("add", lambda x, y: torch.add(x, y, alpha=3) + 2 + x.add(1, alpha=2), XY),
    ("sub", lambda x, y: torch.sub(x, y, alpha=0.5) - 1, XY),
    ("rsub", lambda x: torch.rsub(x, 3, alpha=2) + (1 - x), X),
    ("mul", lambda x, y: x * y * 0.5 * x.shape[0], XY),
    ("div", lambda x, y: x / y / 4 + x / x.shape[1], XY),
    ("div_floor", lambda x, y: torch.div(x, y, rounding_mode="floor"), XY),
    ("div_trunc", lambda x, y: torch.div(x, y, rounding_mode="trunc"), XY),
    ("floor_divide", lambda x: x // 2, X),
    ("remainder", lambda x: x % 2 + x.fmod(2), X),
    ("powers", lambda x: x**2 + x**3 + x**-1 + x.pow(0), X),
    ("maximum", lambda x, y: torch.maximum(x, y) + torch.minimum(x, y), XY),
    ("clamp", lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0) + x.clamp(max=0.25), X),
    ("clamp_tensor", lambda x, y: x.clamp(min=y), XY),
    ("where", lambda x, y, mask: torch.where(mask, x, y), {**XY, "mask": "n d : bool"}),
    ("where_scalar", lambda x, mask: torch.where(mask, x, 0.0), MASKED),
    ("masked_fill", lambda x, mask: x.masked_fill(mask, 2.0), MASKED),
    ("masked_fill_inplace", lambda x, mask: x.clone().masked_fill_(mask, -1.0), MASKED),
    ("compare", lambda x, y: ((x < y), (x <= 0), (x > y), (x >= 1), (x == y), (x != 0)), XY),
    ("logical", lambda x, mask: (mask & (x > 0)) | ~mask ^ mask, MASKED),
    ("logical_functions", lambda x, mask: torch.logical_and(x, mask).logical_not(), MASKED),
    ("logical_or", lambda x, mask: torch.logical_or(x, mask) & torch.logical_xor(x, mask), MASKED),
    (
        "booleans_as_numbers",
        lambda x, mask: x * mask + mask + (mask * mask) + (mask + mask),
        MASKED,
    ),
    ("addcmul", lambda x, y: torch.addcmul(x, x, y, value=0.5), XY),
    ("lerp", lambda x, y: torch.lerp(x, y, 0.25), XY),
    # conversions and copies
    ("to_long", lambda x: x.long() + (x * 3).int(), X),
    ("to_bool", lambda x: x.bool(), X),
    ("type_as", lambda x, mask: mask.type_as(x) + mask.float(), MASKED),
    ("copies", lambda x: x.clone().detach().contiguous() + x.to("cpu"), X),
    ("dropout", lambda x: F.dropout(x, 0.0) + F.dropout(x, 0.5, training=False), X),
    ("settings", under_settings, X),
    # contractions
    ("mm", lambda x, y: x.mm(y), {"x": "n d", "y": "d m"}),
    ("bmm", lambda x, y: x.bmm(y), {"x": "b n d", "y": "b d m"}),
    ("matmul_broadcast", lambda x, y: x @ y, {"x": "b h n d", "y": "h d m"}),
    ("mv", lambda x, y: x @ y, {"x": "n d", "y": "d"}),
    ("dot", lambda x, y: x @ y, {"x": "n", "y": "n"}),
    (
        "addmm",
        lambda x, y, z: torch.addmm(z, x, y, beta=0.5, alpha=2),
        {"x": "n d", "y": "d m", "z": "m"},
    ),
    (
        "addmm_beta_0",
        lambda x, y, z: torch.addmm(z, x, y, beta=0),
        {"x": "n d", "y": "d m", "z": "m"},
    ),
    ("baddbmm", lambda x, y, z: torch.baddbmm(z, x, y), {"x": "b n d", "y": "b d m", "z": "b n m"}),
    ("linear", lambda x, w, b: F.linear(x, w, bias=b), {"x": "b n d", "w": "m d", "b": "m"}),
    ("outer", lambda x, y: x.outer(y), {"x": "n", "y": "m"}),
    (
        "einsum",
        lambda x, y: torch.einsum("bhnd,bhmd->bhnm", x, y),
        {"x": "b h n d", "y": "b h m d"},
    ),
    ("einsum_implicit", lambda x, y: torch.einsum("ij,jk", x, y), {"x": "n d", "y": "d m"}),
    (
        "einsum_ellipsis",
        lambda x, y: torch.einsum("...id,...jd->...ij", x, y),
        {"x": "b h n d", "y": "h m d"},
    ),
    ("einsum_trace", lambda x: torch.einsum("bii->b", x), {"x": "b n n"}),
    ("einsum_diagonal", lambda x: torch.einsum("bii->bi", x), {"x": "b n n"}),
    # views
    ("view", lambda x: x.view(x.shape[0], 2, -1), {"x": "n 2*d"}),
    ("flatten", lambda x: x.flatten(1), {"x": "b n d"}),
    ("unflatten", lambda x: x.unflatten(-1, (2, -1)), {"x": "b 2*d"}),
    ("reshape", lambda x: x.transpose(0, 1).reshape(-1), X),
    ("view_as", lambda x, y: x.view_as(y), {"x": "n d", "y": "n 1 d"}),
    ("permute", lambda x: x.permute(2, 0, 1), X),
    ("transposes", lambda x: x.mT.transpose(0, 2).swapaxes(0, 1).movedim(0, 2), X),
    ("t", lambda x: x.t() + x.T, {"x": "n d"}),
    ("expand", lambda x: x.expand(-1, x.shape[0], -1, 3), {"x": "n 1 d 1"}),
    ("expand_new", lambda x: x.expand(2, 4, -1), {"x": "4 d"}),
    ("expand_as", lambda x, y: x.expand_as(y), {"x": "1 d", "y": "n d"}),
    ("broadcast_to", lambda x, y: x.broadcast_to(y.shape), {"x": "d", "y": "n d"}),
    ("repeat", lambda x: x.repeat(2, 1, 3), {"x": "n d"}),
    ("repeat_interleave", lambda x: x.repeat_interleave(3, dim=1), X),
    ("repeat_interleave_of_all", lambda x: x.repeat_interleave(2), X),
    ("repeat_interleave_by_a_size", lambda x: x.repeat_interleave(x.shape[0], -1), X),
    ("and_or", lambda x: ((x > 0) & (x < 1) | (x > 2)).float(), X),
    ("detach_in_place", lambda x: (2 * x).detach_() + x, X),
    ("tile", lambda x: x.tile(2), {"x": "n d"}),
    ("squeeze", lambda x: x.squeeze(1).squeeze((0,)).squeeze(), {"x": "1 1 2*n 1"}),
    ("unsqueeze", lambda x: x.unsqueeze(0).unsqueeze(-1)[:, None], X),
    ("slices", lambda x: x[1:, :-1, ::2] + 0 * x[:-1, 1:, 0:1], {"x": "n+1 m+1 5"}),
    ("slice_symbolic", lambda x, y: x[y.shape[0] :], {"x": "n+m", "y": "n"}),
    ("slice_step", lambda x: (x[::2], x[1::2], x[::3]), {"x": "2*n"}),
    ("select", lambda x: x[0] + x[-1] + x.select(0, 1), {"x": "n+1 d"}),
    ("narrow", lambda x: x.narrow(0, 1, 2), {"x": "n+3 d"}),
    ("split", lambda x: x.split([1, 2], dim=1), {"x": "n 3"}),
    ("split_even", lambda x: x.split(x.shape[1] // 3, dim=1), {"x": "n 3*d"}),
    ("chunk", lambda x: x.chunk(3, dim=-1), {"x": "n 3*d"}),
    ("chunk_uneven", lambda x: x.chunk(3, dim=-1), {"x": "n 8"}),
    ("unbind", lambda x: x.unbind(1), {"x": "n 3"}),
    ("cat", lambda x, y: torch.cat((x, y, x), dim=1), {"x": "b n", "y": "b m"}),
    ("cat_kinds", lambda x, ids: torch.cat((x, ids)), {"x": "n", "ids": "m : int"}),
    ("stack", lambda x, y: (torch.stack((x, y), dim=-1), torch.stack((x, y), dim=1)), XY),
    ("hstack", lambda x, y: torch.hstack((x, y)), {"x": "b n", "y": "b m"}),
    ("flip", lambda x: x.flip(0, -1), X),
    ("roll", lambda x: x.roll(1, 1).roll(-1, 0), X),
    ("roll_flat", lambda x: x.roll(1), X),
    ("diagonal", lambda x: x.diagonal(dim1=0, dim2=2), {"x": "n d n"}),
    ("diagonal_offset", lambda x: (x.diagonal(1), x.diagonal(-2)), {"x": "4 4"}),
    ("unfold", lambda x: x.unfold(1, 3, 2), {"x": "n 9 d"}),
    ("assign_slice", assigned, {"x": "n+2 d", "y": "n d"}),
    ("assign_row", assigned_row, {"x": "n d", "y": "d"}),
    # indices
    ("embedding", F.embedding, {"input": "b m : int", "weight": "n d"}),
    (
        "embedding_of_positions",
        lambda x, w: x + F.embedding(torch.arange(x.shape[0]), w),
        {"x": "n d", "w": "n+m d"},
    ),
    ("index", lambda x, ids: x[:, ids], {"x": "b n d", "ids": "m : int"}),
    ("index_two", lambda x, i, j: x[i, j], {"x": "n m d", "i": "b : int", "j": "b : int"}),
    ("index_apart", lambda x, i, j: x[i, :, j], {"x": "n m d", "i": "b : int", "j": "b : int"}),
    (
        "index_grid",
        lambda x, ids: x[torch.arange(x.shape[0])[:, None], ids],
        {"x": "n m", "ids": "n b : int"},
    ),
    ("index_affine", lambda x: x[:, torch.arange(x.shape[1]).flip(0)], {"x": "b n d"}),
    ("index_boolean", lambda mask, ids: mask[ids], {"mask": "n : bool", "ids": "m : int"}),
    ("index_select", lambda x, ids: x.index_select(1, ids), {"x": "b n", "ids": "m : int"}),
    ("gather", lambda x, ids: x.gather(1, ids), {"x": "b n", "ids": "b m : int"}),
    ("gather_first", lambda x, ids: x.gather(0, ids), {"x": "n 5", "ids": "m 3 : int"}),
    ("tril", lambda x: x.tril() + x.tril(-1) + x.triu(1) + x.triu(), {"x": "b n m"}),
    ("causal_mask", lambda x: x.masked_fill(torch.ones_like(x).tril() == 0, 0.0), {"x": "n n"}),
    (
        "causal_mask_of_truth_values",
        lambda x: x.masked_fill(~torch.ones_like(x, dtype=torch.bool).tril(), 0.0),
        {"x": "n n"},
    ),
    (
        "causal_compare",
        lambda x: torch.where(torch.arange(x.shape[0])[:, None] >= torch.arange(x.shape[1]), x, 0),
        {"x": "n m"},
    ),
    # reductions
    ("sum", lambda x: (x.sum(), x.sum(1), x.sum((0, -1), keepdim=True)), X),
    ("mean", lambda x: (x.mean(), x.mean(-1, keepdim=True), x.mean((0, 1))), X),
    ("prod", lambda x: (x.prod(), x.prod(1)), X),
    ("extremes", lambda x: (x.amax((0, 1)), x.amin(-1, keepdim=True), x.max(), x.min()), X),
    ("max_dim", lambda x: (x.max(dim=1).values, x.min(dim=-1, keepdim=True)[0]), X),
    (
        "any_all",
        lambda mask: (mask.any(), mask.all(-1), mask.any((0, 1)), mask.all()),
        {"mask": "b n d : bool"},
    ),
    ("any_of_numbers", lambda x: (x.any(1), (x * 0).any()), X),
    (
        "variance",
        lambda x: (
            x.var(),
            x.var(-1, unbiased=False),
            x.std(-1),
            x.std(),
            x.std(0, keepdim=True),
            torch.var_mean(x, 1),
        ),
        {"x": "b+1 n+1 d+1"},
    ),
    ("logsumexp", lambda x: x.logsumexp((0, 1)), X),
    ("cumsum", lambda x: x.cumsum(1), X),
    ("norms", lambda x: (x.norm(dim=-1), torch.linalg.vector_norm(x, 1, dim=0), x.norm(p=3)), X),
    (
        "norm_extremes",
        lambda x: (torch.linalg.vector_norm(x, math.inf), torch.linalg.vector_norm(x, 0, dim=1)),
        X,
    ),
    ("normalize", lambda x: F.normalize(x, dim=-1), X),
    ("sum_of_booleans", lambda mask: mask.sum(-1) / mask.shape[-1], {"mask": "b n : bool"}),
    ("sum_of_integers", lambda ids: ids.sum(0) + ids.amax(0), {"ids": "b n : int"}),
    # softmax and norms
    ("softmax", lambda x: x.softmax(1) + F.softmax(x, -1, dtype=torch.float64), X),
    ("log_softmax", lambda x: x.log_softmax(0), X),
    ("softmin", lambda x: F.softmin(x, dim=1), X),
    ("layer_norm", lambda x: F.layer_norm(x, (x.shape[-1],)), {"x": "b d+1"}),
    (
        "layer_norm_affine",
        lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b, 1e-3),
        {"x": "b n+1 d", "w": "n+1 d", "b": "n+1 d"},
    ),
    (
        "native_layer_norm",
        lambda x: torch.native_layer_norm(x, (x.shape[-1],), None, None, 1e-5),
        {"x": "b d+1"},
    ),
    ("rms_norm", lambda x, w: F.rms_norm(x, (x.shape[-1],), w, 1e-6), {"x": "b d", "w": "d"}),
    ("group_norm", lambda x, w: F.group_norm(x, 2, w), {"x": "b+1 2*c n", "w": "2*c"}),
    (
        "native_group_norm",
        lambda x: torch.native_group_norm(x, None, None, x.shape[0], 4, x.shape[2], 2, 1e-5),
        {"x": "b 4 n"},
    ),
    (
        "batch_norm",
        lambda x, m, v: F.batch_norm(x, m, running_var=v),
        {"x": "b d n", "m": "d", "v": "d"},
    ),
    ("instance_norm", lambda x: F.instance_norm(x, eps=1e-4), {"x": "b c n+1"}),
    ("cosine_similarity", lambda x, y: F.cosine_similarity(x, y, dim=-1), XY),
    # attention
    ("sdpa", lambda q, k, v: F.scaled_dot_product_attention(q, k, value=v), ATTENTION),
    (
        "sdpa_causal",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        ATTENTION,
    ),
    (
        "sdpa_bias",
        lambda q, k, v, a: F.scaled_dot_product_attention(q, k, v, attn_mask=a),
        {**ATTENTION, "a": "n m"},
    ),
    (
        "sdpa_mask",
        lambda q, k, v, a: F.scaled_dot_product_attention(q, k, v, attn_mask=a),
        {**ATTENTION, "a": "b 1 n m : bool"},
    ),
    ("sdpa_scale", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.5), ATTENTION),
    (
        "sdpa_symbolic_scale",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=1 / q.shape[-1]),
        ATTENTION,
    ),
    (
        "sdpa_grouped",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        {"q": "b 6 n d", "k": "b 2 m d", "v": "b 2 m d"},
    ),
    # convolution and pooling
    ("conv1d", lambda x, w, b: F.conv1d(x, w, bias=b), {"x": "b c n+2", "w": "d c 3", "b": "d"}),
    (
        "conv1d_options",
        lambda x, w: F.conv1d(x, w, stride=2, padding=1, dilation=2),
        {"x": "b c 11", "w": "d c 3"},
    ),
    ("conv1d_one", lambda x, w: F.conv1d(x, weight=w), {"x": "c n+2", "w": "d c 3"}),
    ("conv2d", lambda x, w: F.conv2d(x, w, padding=(1, 0)), {"x": "b c n+2 m+2", "w": "d c 3 2"}),
    (
        "conv2d_groups",
        lambda x, w: F.conv2d(x, w, groups=2),
        {"x": "b 2*c n+1 m+1", "w": "2*d c 2 2"},
    ),
    ("conv2d_same", lambda x, w: F.conv2d(x, w, padding="same"), {"x": "b c n m", "w": "d c 3 3"}),
    ("conv2d_patches", lambda x, w: F.conv2d(x, w, stride=2), {"x": "b c 2*n 2*m", "w": "d c 2 2"}),
    ("conv3d", lambda x, w: F.conv3d(x, weight=w), {"x": "1 c 3 4 n+1", "w": "d c 2 2 2"}),
    ("pad", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5), X),
    ("pad_negative", lambda x: F.pad(x, (-1, 1, 2, -2)), {"x": "n+2 d+1"}),
    ("unfold2d", lambda x: F.unfold(x, (2, 3), dilation=(2, 1), padding=1), IMAGE),
    ("avg_pool1d", lambda x: F.avg_pool1d(x, 2), {"x": "b c 2*n"}),
    ("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 1, padding=1), IMAGE),
    ("max_pool2d", lambda x: F.max_pool2d(x, 2), {"x": "b c 2*n 2*m"}),
    ("max_pool2d_padded", lambda x: F.max_pool2d(x, 3, 2, padding=1), {"x": "b c 7 7"}),
    ("adaptive_pool", lambda x: F.adaptive_avg_pool2d(x, 1), IMAGE),
    ("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), {"x": "b 4*c n m"}),
    # numbers
    ("fill", lambda x: torch.full((x.shape[0],), 2.5) + torch.full_like(x, 2), {"x": "n"}),
    (
        "zeros_ones",
        lambda x: torch.zeros(x.shape[0]) + torch.ones_like(x) + x.new_zeros(1),
        {"x": "n"},
    ),
    ("new", lambda x: x.new_ones(x.shape[0]) * x.new_full((1,), 3.0), {"x": "n"}),
    ("filled", lambda x: torch.empty_like(x).fill_(2.0) + x, X),
    ("full_kinds", lambda x: (torch.full((2,), True), torch.full((2,), 3), x), X),
    (
        "arange",
        lambda x: (torch.arange(x.shape[0]), torch.arange(1, x.shape[0] + 1, 1.0)),
        {"x": "n"},
    ),
    (
        "arange_step",
        lambda x: torch.arange(0, 2 * x.shape[0], 2) + torch.arange(3, 3 + x.shape[0]),
        {"x": "n"},
    ),
    ("arange_down", lambda x: torch.arange(x.shape[0] - 1, -1, -1), {"x": "n"}),
    ("linspace", lambda x: x * torch.linspace(0, 1, 5), {"x": "n 5"}),
    ("eye", lambda x: torch.eye(x.shape[0]) + torch.eye(x.shape[0], x.shape[1]), {"x": "n n"}),
    ("constants", lambda x: x * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor(1.5), {"x": "n 3"}),
    ("constant_matrix", lambda x: x @ torch.tensor([[0, 1], [1, 0]], dtype=x.dtype), {"x": "n 2"}),
    ("item", lambda x: x * x.sum().item(), X),
    (
        "scalars",
        lambda x: x * x.shape[0] ** 0.5 + x.shape[1] / x.shape[0] + (x.shape[0] + 1) ** 2,
        X,
    ),
    ("cross_entropy", lambda x, t: F.cross_entropy(x, F.softmax(t, -1)), {"x": "n d", "t": "n d"}),
    ("mse", F.mse_loss, {"input": "n d", "target": "n d"}),
]
POSITIVE: list[Case] = [
    ("functions_of_positive", each(torch, FUNCTIONS_OF_POSITIVE), X),
    ("power_fraction", lambda x: x**0.5 + x**1.5 + x**0.3, X),
    ("power_tensor", lambda x, y: x**y + 2**x, XY),
]


@pytest.mark.parametrize(
    ("target", "inputs", "positive"),
    [
        pytest.param(target, inputs, positive, id=name)
        for cases, positive in ((CASES, False), (POSITIVE, True))
        for name, target, inputs in cases
    ],
)
def test_an_operator_computes_what_pytorch_computes(
    target: Callable[..., Any], inputs: dict[str, str], positive: bool
) -> None:
    program = import_program(target, inputs)
    assert program.opaque == ()
    assert not [c for c in program.conditions if c.startswith("sizes:")]
    for sizes in SIZES:
        agrees(program, sizes, positive)


def test_the_table_names_operators_that_exist() -> None:
    for name in ATEN:
        _, packet, overload = name.split(".")
        assert overload in getattr(torch.ops.aten, packet).overloads() or overload == "default"


# Conditions that nothing needs


def windows(x: Tensor) -> Tensor:
    b, h, w, c = x.shape
    return x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 4, c)


def written(cache: Tensor, new: Tensor) -> Tensor:
    cache = cache.clone()
    cache[:, : new.shape[1]] = new
    return cache


def fused(x: Tensor, y: Tensor) -> Tensor:
    return torch.addcmul(y.unflatten(0, (2, -1)).flatten(), x, y)


def halved(x: Tensor) -> Tensor:
    return F.conv2d(x, torch.ones(1, 1, 3, 3), stride=2, padding=1)


def buckets(x: Tensor, table: Tensor) -> Tensor:
    i = torch.arange(x.shape[0])
    distance = (i - i[:, None]).abs().clamp(max=7)
    nearest = table[distance % 8].argmin(-1)
    return table[distance], table[(i // 2).clamp(max=3)], F.embedding(nearest, table)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "function, inputs, assumed",
    [
        (windows, {"x": "b 2*h 2*w c"}, ()),
        (written, {"cache": "b n d", "new": "b m d"}, ("n >= m",)),
        (fused, {"x": "m 2*n", "y": "2*n"}, ()),
        (halved, {"x": "b 1 n m"}, ()),
        (buckets, {"x": "n", "table": "8 8"}, ()),
    ],
)
def test_layouts_of_memory_and_known_indices_set_no_conditions(
    function: Callable[..., Any], inputs: Mapping[str, str], assumed: Sequence[str]
) -> None:
    context = assume(assumed, {"b", "c", "d", "h", "m", "n", "w"})
    assert import_program(function, inputs, context).conditions == ()


def test_indices_that_are_not_known_to_lie_in_range_are_a_condition() -> None:
    def shifted(x: Tensor) -> Tensor:
        return x[torch.arange(x.shape[0]) + 1]

    (condition,) = import_program(shifted, {"x": "n"}).conditions
    assert condition.startswith("indices of index lie in [0, n) at ")


@pytest.mark.parametrize("rows", [[-1], [-1, 0, -2], [[0, -1], [1, -3]], [3, 1]])
def test_negative_indices_in_a_list_count_from_the_end(rows: list[Any]) -> None:
    def chosen(x: Tensor) -> Tensor:
        return x[:, rows]

    program = import_program(chosen, {"x": "n 4 m"})
    for sizes in SIZES:
        agrees(program, sizes)
    assert program.conditions == ()


def test_rows_behind_some_are_put_where_they_are_counted_from_the_end() -> None:
    def erased(x: Tensor) -> Tensor:
        x = x.clone()
        x[[-1]] = 0.0
        return x

    program = import_program(erased, {"x": "n m"})
    agrees(program, SIZES[0])


def test_decimals_are_the_same_number_wherever_they_are_read() -> None:
    """Divided by a size, 0.1 is a symbolic number."""

    def smoothed(x: Tensor) -> Tensor:
        return x * (0.1 / x.shape[0]) + x * math.log(10000.0)

    program = import_program(smoothed, {"x": "n"})
    numbers = [condition.partition(" at ")[0] for condition in program.conditions]
    assert numbers == [
        "constants are exact: 0.1 is 1/10",
        "constants are exact: 9.210340371976184 is log(10000)",
    ]
    agrees(program, SIZES[0])


def test_a_module_with_buffers_alone_is_traced_in_their_dtype() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("rates", torch.randn(3, 20).double())

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("nd,df->nf", x, self.rates)

    agrees(import_program(Features(), {"x": "n 3"}), SIZES[0])


def test_what_a_program_asserts_of_its_sizes_is_a_condition() -> None:
    def asserting(x: Tensor) -> Tensor:
        torch._assert(x.shape[0] > 3, "too short")
        torch._check(x.shape[1] > 4)
        return x.contiguous()

    assert import_program(asserting, {"x": "n m"}).conditions == ("sizes: n >= 4", "sizes: m >= 5")


def test_group_norm_takes_a_symbolic_number_of_groups() -> None:
    def normed(x: Tensor, weight: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1], weight)

    program = import_program(normed, {"x": "b c n", "weight": "c"})
    assert program.conditions == ("sizes: b*n >= 2",)
    agrees(program, SIZES[0])
