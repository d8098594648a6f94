"""From a streamed form to the text of a Triton file that stands alone.

The file says what it computes, by which laws, under which conditions and with which certificate;
it holds the kernel, the sizes of its blocks, and a launcher that checks its arguments.  The text is
a function of the form: the same form gives the same text.
"""

from __future__ import annotations

import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count

from ncd_formal.conditions import parse_comparison
from ncd_formal.derivation import StreamedForm, steps
from ncd_formal.elaboration import Output
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.realize.blocks import tables
from ncd_formal.realize.statements import Body
from ncd_formal.realize.symbols import (
    ATOM,
    PRODUCT,
    SUM,
    NameTree,
    Symbols,
    closed,
    polynomial_text,
)
from ncd_formal.realize.tiles import NotEmitted, Plan, ordered, plan, with_axes_apart
from ncd_formal.sizes import Polynomial, product, variable
from ncd_formal.wires import (
    Argument,
    Shape,
    Term,
    indices_of,
    indices_text,
    pretty,
    subterms,
    term,
)

WIDTH = 100
"""The columns of a line."""

_IMPORTS = "import math\n\nimport torch\nimport triton\nimport triton.language as tl"

_HELPERS: Mapping[str, str] = {
    "tanh": '''\
@triton.jit
def tanh(x):
    """tanh x to float32's precision, also near 0, where 1 − exp(−2x) would cancel."""
    y = x * x
    near = x * (1 + y * (-1 / 3 + y * (2 / 15 + y * (-17 / 315 + y * (62 / 2835)))))
    e = tl.exp(-2 * tl.abs(x))
    far = (1 - e) / (1 + e)
    return tl.where(tl.abs(x) < 0.25, near, tl.where(x < 0, -far, far))''',
    "sinh": '''\
@triton.jit
def sinh(x):
    """sinh x to float32's precision, also near 0, where exp x − exp(−x) would cancel."""
    y = x * x
    near = x * (1 + y * (1 / 6 + y * (1 / 120 + y * (1 / 5040))))
    return tl.where(tl.abs(x) < 0.25, near, (tl.exp(x) - tl.exp(-x)) / 2)''',
    "cosh": """\
@triton.jit
def cosh(x):
    return (tl.exp(x) + tl.exp(-x)) / 2""",
}
"""Functions that Triton has only in its vendors' libraries, which no interpreter knows."""


_PROCESSORS = '''\
def processors(device):
    """How many programs run at once, at least."""
    cuda = device.type == "cuda"
    return torch.cuda.get_device_properties(device).multi_processor_count if cuda else 1'''


def kernel_source(
    name: str,
    form: StreamedForm,
    inputs: Mapping[str, Declaration],
    conditions: Sequence[str] = (),
    writes: Mapping[str, Output] | None = None,
    stored: Collection[str] | None = None,
) -> str:
    """The text of a file whose function ``name`` computes the form.

    The function takes the inputs as tensors, in order and at any strides; then ``configuration``,
    the sizes of blocks, warps and stages, by default looked up; and ``precision`` where matrices
    are multiplied.  It raises ValueError for tensors that do not fit the declarations, and where a
    condition on their sizes does not hold.  ``conditions`` are what the import of the program
    relies on.

    As one dispatch of several, it reads those of its inputs that are ``stored`` by others, in
    float32; and it returns what it ``writes`` for others, by name and in float32, or the output, of
    the type ``dtype``.  A form in parts writes what its parts end in; their number is ``parts``,
    by default as many as keep the GPU busy.

    Errors: NotEmitted, an InputError, for what no kernel is written for yet.
    """
    return _File(name, form, inputs, conditions, writes or {}, stored).text()


class _File:
    """One file in the making."""

    def __init__(
        self,
        name: str,
        form: StreamedForm,
        inputs: Mapping[str, Declaration],
        conditions: Sequence[str],
        writes: Mapping[str, Output],
        stored: Collection[str] | None,
    ) -> None:
        form, written = with_axes_apart(form, tuple(writes.values()))
        self.form = form
        self.inputs = inputs
        self.alone = stored is None
        """Whether it is a program's only dispatch."""
        self.stored = frozenset(stored or ())
        self.makes_output = not writes
        """Whether it makes the output of the program, and nothing for other dispatches."""
        self.plan = plan(form, tuple(inputs), written)
        self.name = identifier(name)
        self.kernel = f"{self.name}_kernel"
        taken = {self.name, self.kernel}
        self.symbols = Symbols(self.plan, inputs, taken)
        self.blackboard = _Blackboard(form, self.plan, self.symbols, tuple(inputs))
        self.body = Body(self.plan, self.symbols, inputs, self.blackboard.names, self.stored)
        self.portable, self.hopper = tables(self.plan)
        self.used = [n for n in inputs if any(t.args[0] == n for t in self.body.reads)]
        """The inputs that the kernel reads."""
        self.multiplies = any("tl.dot" in line for line in self.body.lines)
        self.reals = [
            self.symbols.inputs[n]
            for n, d in inputs.items()
            if d.kind == "real" and n not in self.stored
        ]
        """The inputs of one type, which the program is given."""
        self.base_two = "LOG2_E" in "".join(self.body.scalars)
        self.conditions = dict(self._conditions(conditions))
        text = "\n".join(self.body.lines)
        sizes = [s for s in self.symbols.sizes.values() if re.search(rf"\b{s}\b", text)]
        whole = {v for axis in self.plan.whole for v in self.plan.context.axes[axis].variables}
        fixed = {self.symbols.sizes[v] for v in whole}
        self.running = [s for s in sizes if s not in fixed]
        """The sizes that the kernel takes at run time."""
        self.fixed = [s for s in sizes if s in fixed]
        """The sizes that it is compiled for."""

    def text(self) -> str:
        helpers = [_HELPERS[helper] for helper in sorted(self.body.helpers)]
        functions = [*helpers, *map("\n".join, (self._kernel(), self._chooser(), self._launcher()))]
        if self.plan.part:
            functions.insert(-1, _PROCESSORS)
        parts = [self._header(), _IMPORTS, "\n".join(self._constants())]
        return "\n\n".join([*parts, *(f"\n{function}" for function in functions)]) + "\n"

    # The header

    def _header(self) -> str:
        board = self.blackboard
        head = "out" if self.plan.part else self.name
        head = f"{head}[{board.dimensions}]" if board.dimensions else head
        parts = " in parts" * bool(self.plan.part)
        lines = [
            f'"""{self.name}, streamed over {self.symbols.axes[self.plan.stream]}{parts}.',
            "",
            "Derived by ncd_formal; regenerate it rather than edit it.",
            "",
            "Definition",
            *wrapped(f"{head} = {board.definition}"),
            f"Streamed form{parts}",
            *wrapped(f"{head} = {board.form}"),
            *(("where", *wrapped(*board.where)) if board.where else ()),
            *(("Written for each part", *wrapped(*board.writes)) if parts else ()),
        ]  # fmt: skip
        if self.base_two:
            lines.append("Exponents are taken to base 2: exp x = exp2(x · log2 e).")
        *laws, _ = steps([self.form.certificate])
        lines += ["Steps", *wrapped(*map("{}. {}".format, count(1), laws))]
        checked = {True: "checked at launch", False: "taken for granted"}
        shown = [f"{text}: {checked[bool(check)]}" for text, check in self.conditions.items()]
        lines += ["Conditions", *wrapped(*(shown or ["none"]))]
        lines += ["Certificate", f"    sha256 {self.form.certificate.digest}", '"""']
        return "\n".join(lines).replace("\\", "\\\\")

    def _conditions(self, stated: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Each condition with an expression that refutes it, which is empty where none does."""
        context, symbols = self.plan.context, self.symbols
        sizes = symbols.sizes
        # An element of the output shows that its axes have elements.
        nonempty = {
            v
            for axis in self.plan.output
            if len(context.axes[axis].terms) == 1
            for v in context.axes[axis].variables
        }
        for name, own in sizes.items():
            if symbols.parts and own in symbols.parts:
                continue  # the launcher chooses it
            least = context.least(name)
            if least > 1 or (least == 1 and name not in nonempty):
                yield f"{name} >= {least}", f"{own} < {least}"
        for p in context.assumptions:
            if p.variables <= sizes.keys():
                yield f"{p} >= 0", f"{polynomial_text(p, sizes)} < 0"
        for condition in stated:
            kind, sizes_, text = condition.partition("sizes: ")
            if kind or not sizes_:
                yield condition, ""
                continue
            left, relation, right = parse_comparison(text)
            if left.variables | right.variables <= sizes.keys():
                a, b = (
                    re.sub(r"[A-Za-z_]\w*", lambda m: sizes[m[0]], str(p)) for p in (left, right)
                )
                yield text, f"not {a} {relation} {b}"
            else:
                yield condition, ""

    # The kernel

    def _kernel(self) -> list[str]:
        symbols = self.symbols
        pointers = [*(symbols.inputs[n] for n in self.used), *symbols.outputs]
        strides = [
            [symbols.strides[n, k] for k in range(len(self.inputs[n].shape))] for n in self.used
        ]
        blocks = dict.fromkeys(symbols.blocks[a] for a in self.plan.arranged(self.plan.roles))
        constants = [*self.fixed, *blocks, "INDEX", *["PRECISION"] * self.multiplies]
        lines = ["@triton.jit", f"def {self.kernel}(", *_filled(pointers)]
        lines += chain.from_iterable(_filled(own) for own in (*strides, *symbols.output_strides))
        lines += _filled([*self.body.scalars.values(), *self.running])
        lines += _filled([f"{c}: tl.constexpr" for c in constants])
        lines.append("):")
        for axis in self.plan.whole:
            check = f"    tl.static_assert({symbols.extent(axis)} <= {symbols.blocks[axis]})"
            lines += [check] * (check not in lines)
        if self.multiplies:
            check = " and ".join(f"{block} % 16 == 0" for block in blocks)
            lines += broken(f"    tl.static_assert({check})")
        lines += chain.from_iterable(broken(f"    {line}") for line in self.body.lines)
        return lines

    # Blocks, warps and stages

    def _constants(self) -> Iterator[str]:
        if self.base_two:
            yield "LOG2_E = 1.4426950408889634"
            if self.body.maximum_leaves:
                yield "LN_2: tl.constexpr = tl.constexpr(0.6931471805599453)"
            yield ""
        key = "bytes of a number"
        if self.plan.whole:
            sizes = list(dict.fromkeys(map(self.symbols.extent, self.plan.whole)))
            key += f", {'the largest of ' * (len(sizes) > 1)}{_listed(sizes)} rounded up"
        yield f"# ({key}): the sizes of blocks, warps and stages."
        if self.hopper:
            yield "# HOPPER is for sm_90 and later, where the last dimensions are contiguous."
        names = self.symbols.blocks
        for opening, table in (
            ("PORTABLE = {", self.portable),
            ("HOPPER = PORTABLE | {", self.hopper),
        ):
            if not table:
                continue
            yield opening
            for key_, sizes_ in table.items():
                shown = ", ".join(f"{names.get(k, k)}={v}" for k, v in sizes_.items())
                yield f"    ({_tuple(map(str, key_))}): dict({shown}),"
            yield "}"

    def _chooser(self) -> Iterator[str]:
        key = ["size", *["width"] * bool(self.plan.whole)]
        yield f"def configuration_for({', '.join(key + ['tensors'] * bool(self.hopper))}):"
        yield '    """Blocks, warps and stages for numbers of this size on the current GPU."""'
        if self.hopper:
            yield "    target = triton.runtime.driver.active.get_current_target()"
            yield '    hopper = target.backend == "cuda" and target.arch >= 90'
            yield (
                "    contiguous = all(each.dim() == 0 or each.stride(-1) == 1 for each in tensors)"
            )
        yield f"    table = {'HOPPER if hopper and contiguous else ' * bool(self.hopper)}PORTABLE"
        yield f"    if ({_tuple(key)}) not in table:"
        shown = " and ".join(f"{part} {{{part}}}" for part in key)
        yield f'        raise ValueError(f"no configuration for {shown}: give one")'
        yield f"    return table[{_tuple(key)}]"

    # The launcher

    def _launcher(self) -> Iterator[str]:
        symbols = self.symbols
        names = list(symbols.inputs.values())
        keywords = ["parts=None"] * bool(self.plan.part)
        keywords += ["dtype=None"] * self.chooses_type
        keywords.append("configuration=None")
        if self.multiplies:
            keywords.append("precision=None" if self.body.wide_products else 'precision="ieee"')
        yield from broken(f"def {self.name}({', '.join([*names, *keywords])}):")
        shapes = [f"{symbols.inputs[n]}[{_dimensions(d)}]" for n, d in self.inputs.items()]
        yield from self._docstring(shapes)
        yield from broken(f"    shapes = [tuple(each.shape) for each in ({_tuple(names)})]")
        first, *more = textwrap.wrap(", ".join(shapes), WIDTH - 17)
        yield f'    expected = "{first}"'
        yield from (f'    expected += " {line}"' for line in more)
        refusal = '        raise ValueError(f"expected {expected}, not the shapes {shapes}")'
        ranks = [len(declared.shape) for declared in self.inputs.values()]
        yield f"    if [len(each) for each in shapes] != {ranks}:"
        yield refusal
        yield from self._binding()
        wanted = (f"({_tuple(map(symbols.size, d.shape))})" for d in self.inputs.values())
        yield from broken(f"    if shapes != [{', '.join(wanted)}]:")
        yield refusal
        yield from self._type_checks()
        if self.chooses_type:
            yield f"    dtype = dtype or {self.type_}"
        checks = [
            line
            for text, check in self.conditions.items()
            if check
            for line in (
                f"    if {check}:",
                f'        raise ValueError("the condition {text} does not hold")',
            )
        ]
        if self.plan.part:  # how many parts there are decides how much is written
            yield from (*checks, *self._configuration(), *self._parts(), *self._allocation())
        else:
            yield from (*self._allocation(), *checks, *self._configuration())
        yield from self._launch()
        yield f"    return {', '.join(symbols.outputs)}"

    @property
    def chooses_type(self) -> bool:
        """Whether the type of the output is for the caller to choose."""
        return not self.alone and self.makes_output

    @property
    def type_(self) -> str:
        """The type of the inputs, as text."""
        return f"{self.reals[0]}.dtype" if self.reals else "torch.float32"

    def _allocation(self) -> Iterator[str]:
        """Statements that make the arrays to write, and return those without elements."""
        symbols = self.symbols
        device = f"{next(iter(symbols.inputs.values()))}.device"
        type_ = "dtype" if self.chooses_type else self.type_
        type_ = type_ if self.makes_output else "torch.float32"
        for name, output in zip(symbols.outputs, self.plan.outputs, strict=True):
            extents = [product(self.plan.context.axes[a] for a in own) for own in output.layout]
            shape = _tuple(map(symbols.size, extents))
            yield from broken(
                f"    {name} = torch.empty(({shape}), dtype={type_}, device={device})"
            )
        yield f"    if {' == '.join(f'{name}.numel()' for name in symbols.outputs)} == 0:"
        yield f"        return {', '.join(symbols.outputs)}"

    def _parts(self) -> Iterator[str]:
        """Statements that choose the number of parts, and of blocks in each."""
        symbols = self.symbols
        assert symbols.parts is not None
        parts, steps = symbols.parts
        block = f'configuration["{symbols.blocks[self.plan.stream]}"]'
        yield f"    blocks = triton.cdiv({symbols.extent(self.plan.stream)}, {block})"
        yield "    if parts is None:"
        device = f"{next(iter(symbols.inputs.values()))}.device"
        programs = " * ".join(self._programs(self.plan.grid[1:])) or "1"
        yield f"        parts = processors({device}) // max(1, {programs})"
        yield f"    {steps} = triton.cdiv(blocks, max(1, min(parts, blocks)))"
        yield f"    {parts} = triton.cdiv(blocks, {steps})"

    def _programs(self, grid: Sequence[str]) -> list[str]:
        """The factors of the number of programs."""
        symbols = self.symbols
        chosen = {a: f'configuration["{symbols.blocks[a]}"]' for a in self.plan.spread}
        programs = [f"triton.cdiv({symbols.extent(a)}, {chosen[a]})" for a in self.plan.spread]
        return [*programs, *(symbols.extent(a, PRODUCT) for a in grid)]

    def _docstring(self, shapes: Sequence[str]) -> Iterator[str]:
        board = self.blackboard
        result = f'"""{_listed(board.arrays)} of {_listed(shapes)}'
        keywords = (
            "``configuration`` gives the sizes of blocks, warps and stages as the tables do, where "
            "it is looked up by default."
        )
        if self.plan.part:
            keywords = f"``parts`` is how many there are at most.  {keywords}"
        if self.chooses_type:
            keywords = f"``dtype`` is the type of the output.  {keywords}"
        if self.multiplies:
            keywords += (
                "  ``precision`` is how products of matrices read float32: "
                '"ieee", "tf32x3" or "tf32".'
            )
        if self.body.wide_products:
            keywords += (
                "  Products of long sums are taken in float32 for its range: by default exactly "
                "where the inputs are float32, and else in tf32, with as many digits as float16."
            )
        yield from wrapped(f"{result}, at any strides.", hanging=0)
        yield ""
        yield from wrapped(keywords, hanging=0)
        yield '    """'

    def _binding(self) -> Iterator[str]:
        """Statements that read the sizes off the shapes.

        Errors: NotEmitted for sizes that shapes do not give one after the other.
        """
        symbols = self.symbols
        known = {v for v, own in symbols.sizes.items() if symbols.parts and own in symbols.parts}
        shapes = [d.shape for d in self.inputs.values()]
        for n, shape in enumerate(shapes):
            names = [str(p) for p in shape]
            plain = all(p is variable(str(p)) for p in shape) and len(set(names)) == len(names)
            if plain and len(names) > 1 and known.isdisjoint(names):
                yield f"    {', '.join(symbols.sizes[v] for v in names)} = shapes[{n}]"
                known.update(names)
        while unknown := [v for v in symbols.sizes if v not in known]:
            # Plain names first, so that h is read where it stands and not divided out of h·d.
            ready = [
                (len(p.variables), n, k, p)
                for n, shape in enumerate(shapes)
                for k, p in enumerate(shape)
                if len(p.variables - known) == 1 and _linear(p, *(p.variables - known))
            ]
            if not ready:
                raise NotEmitted(f"shapes that do not give {_listed(unknown)} by themselves")
            _, n, k, p = min(ready, key=lambda item: item[:3])
            (name,) = p.variables - known
            factor = p.coefficient(name)
            rest = p - factor * variable(name)
            text, level = f"shapes[{n}][{k}]", ATOM
            if rest.terms:
                text, level = f"{text} - {symbols.size(rest, PRODUCT)}", SUM
            if factor.constant != 1:
                by = symbols.size(factor, ATOM)
                by = by if factor.constant else f"max(1, {by})"
                text = f"{closed(text, level, PRODUCT)} // {by}"
            yield f"    {symbols.sizes[name]} = {text}"
            known.add(name)

    def _type_checks(self) -> Iterator[str]:
        names, reals = self.symbols.inputs, self.reals
        if reals:
            yield from broken(f"    types = {{each.dtype for each in ({_tuple(reals)})}}")
            allowed = "{torch.float16, torch.bfloat16, torch.float32}"
            yield f"    if len(types) > 1 or not types <= {allowed}:"
            yield "        names = sorted(map(str, types))"
            expected = "one of float16, bfloat16 and float32"
            yield f'        raise ValueError(f"expected {expected}, not {{names}}")'
        for name, declaration in self.inputs.items():
            own, kind = names[name], declaration.kind
            if name in self.stored:
                refusal = f"{own} is stored in float32, not {{{own}.dtype}}"
                yield f"    if {own}.dtype != torch.float32:"
                yield f'        raise ValueError(f"{refusal}")'
            wrong = {
                "boolean": f"{own}.dtype != torch.bool",
                "integer": f"{own}.dtype == torch.bool or {own}.dtype.is_floating_point",
            }
            if kind in wrong:
                yield f"    if {wrong[kind]}:"
                yield f'        raise ValueError(f"{own} is {kind}, not {{{own}.dtype}}")'
        if len(names) > 1:
            yield from broken(
                f"    if len({{each.device for each in ({_tuple(names.values())})}}) > 1:"
            )
            yield '        raise ValueError("the tensors are on several devices")'

    @property
    def _held(self) -> dict[str, str]:
        """The sizes of the blocks that are held whole, as text."""
        symbols = self.symbols
        return {
            symbols.blocks[a]: f"max(16, triton.next_power_of_2({symbols.extent(a)}))"
            for a in self.plan.whole
        }

    def _configuration(self) -> Iterator[str]:
        """Statements that find the sizes of blocks, warps and stages."""
        tensors, blocks = [self.symbols.inputs[n] for n in self.used], self._held
        for block, size in blocks.items():
            yield f"    {block} = {size}"
        if self.body.wide_products:
            arguments = ["4"]
        elif self.alone:
            arguments = [f"{self.symbols.outputs[0]}.element_size()"]
        else:
            arguments = [f"{self.reals[0]}.element_size()" if self.reals else "4"]
        arguments += [f"max({', '.join(['32', *blocks])})"] if blocks else []
        arguments += [f"({_tuple(tensors)})"] if self.hopper else []
        yield "    if configuration is None:"
        yield f"        configuration = configuration_for({', '.join(arguments)})"

    def _launch(self) -> Iterator[str]:
        plan, symbols = self.plan, self.symbols
        tensors = [symbols.inputs[n] for n in self.used]
        if self.body.wide_products:
            own = "dtype" if self.chooses_type else self.type_
            yield "    if precision is None:"
            yield f'        precision = "ieee" if {own} == torch.float32 else "tf32"'
        chosen = {a: f'configuration["{symbols.blocks[a]}"]' for a in plan.blocked}
        spans = ", ".join(self._spans(chosen))
        yield from broken(f"    span = max(0, {spans})" if spans else "    span = 0")
        programs = self._programs(plan.grid)
        yield f"    with torch.cuda.device_of({symbols.outputs[0]}):"
        yield f"        {self.kernel}[({' * '.join(programs) or '1'},)]("
        yield from _filled([*tensors, *symbols.outputs], 12)
        ranked = [symbols.inputs[n] for n in self.used if self.inputs[n].shape]
        ranked += [
            name
            for name, output in zip(symbols.outputs, plan.outputs, strict=True)
            if output.layout
        ]
        yield from _filled([f"*{tensor}.stride()" for tensor in ranked], 12)
        yield from _filled([*map(_as_float, self.body.scalars), *self.running], 12)
        keywords = [*self.fixed, *self._held]
        yield from _filled(
            [
                *(f"{name}={name}" for name in keywords),
                "INDEX=tl.int64 if span >= 2**31 else tl.int32",
                *["PRECISION=precision"] * self.multiplies,
                "enable_fp_fusion=True",
                "**configuration",
            ],
            12,
        )
        yield "        )"

    def _spans(self, chosen: Mapping[str, str]) -> Iterator[str]:
        """How far apart a tile's places lie in memory, for each tile that is read or written."""
        symbols = self.symbols
        tiles = [
            (symbols.inputs[str(t.args[0])], indices_of(str(t.args[1]))) for t in self.body.reads
        ]
        tiles += [(name, symbols.output_indices(k)) for k, name in enumerate(symbols.outputs)]
        spans: dict[str, None] = {}
        for tensor, indices in tiles:
            parts = []
            for k, index in enumerate(indices):
                for axis in self.plan.arranged(index.variables):
                    step = index.coefficient(axis)
                    factors = [chosen.get(axis, symbols.blocks[axis]), f"{tensor}.stride({k})"]
                    factors += [] if step.constant == 1 else [symbols.size(step, PRODUCT)]
                    parts.append(" * ".join(factors))
            if parts:
                spans[" + ".join(parts)] = None
        yield from spans


class _Blackboard:
    """The definition and the form as one would write them, with names for what is used twice."""

    def __init__(
        self, form: StreamedForm, plan: Plan, symbols: Symbols, inputs: Sequence[str]
    ) -> None:
        self.plan, self.symbols = plan, symbols
        definition = ordered(form.certificate.goals[0].left, inputs, regrouped={"Mul"})
        root = ordered(form.term, inputs)
        self._tile, self._stream, self._part = {form.block, form.tile}, form.axis, form.part
        names = {a: a.removesuffix(".0").replace(".", "_") for a in form.context.axes}
        step = "block" if form.part is None else "step"
        names |= {form.block: f"{names[form.axis]}_{step}", form.tile: f"{names[form.axis]}_tile"}
        self._axes = names
        self._free = self._free_axes(definition, root)
        letters = (x for x in chain("stuwyz", map("s_{}".format, count(1)))
                   if x not in symbols.names.taken)  # fmt: skip
        self._states = {**symbols.states, **dict(self._pairs((definition, root), letters))}
        folds = self._states.keys()
        shared = self._shared(definition, root)
        named = [t for t in reversed(list(subterms(definition, root))) if t in {*folds, *shared}]
        self.names = {t: next(letters) for t in reversed(named) if t not in folds}
        """Terms → what they are called."""
        self.dimensions = self._indices(map(symbols.index, form.layout))
        self.definition = self._text(definition)
        self.form = self._text(root)
        self.where = [f"{self._head(t)} = {self._text(t)}" for t in named if t is not root]
        self.arrays = [
            f"{name}[{self._indices(symbols.output_indices(k))}]"
            for k, name in enumerate(symbols.outputs)
        ]
        """What is written, as one would write it."""
        self.writes = [
            f"{array} = {pretty(self._displayed(output.term)).replace('; ', ', ')}"
            for array, output in zip(self.arrays, plan.outputs, strict=True)
        ]

    def _pairs(
        self, roots: Sequence[Term], letters: Iterator[str]
    ) -> Iterator[tuple[Term, NameTree]]:
        """The other folds of which components are used, with a letter for each component."""

        def tree(shape: Shape) -> NameTree:
            return next(letters) if shape is None else (tree(shape[0]), tree(shape[1]))

        used = (n.children[0] for n in subterms(*roots) if n.op in {"First", "Second"})
        for fold in dict.fromkeys(n for n in used if n.op == "Reduce"):
            if fold not in self.symbols.states:
                yield fold, tree(fold.shape)

    @staticmethod
    def _shared(*roots: Term) -> set[Term]:
        """What is used twice in one of the terms, and long enough to deserve a name."""
        shared: set[Term] = set()
        for root in roots:
            uses = Counter(c for node in subterms(root) for c in node.children)
            shared |= {
                t
                for t, number in uses.items()
                if number > 1
                and t.op not in {"First", "Second", "Tuple"}
                and any(n.op == "Reduce" for n in subterms(t))
            }
        return shared

    def _free_axes(self, *roots: Term) -> dict[Term, frozenset[str]]:
        """The axes that each term varies along, those of a form's tiles included."""
        free: dict[Term, frozenset[str]] = {}
        for node in subterms(*roots):
            own = frozenset[str]().union(*(free[c] for c in node.children))
            if node.op == "Reduce":
                axis = str(node.args[1])
                own -= {axis, self._stream} if axis in self._tile else {axis}
                own |= {self._part} if self._part and axis in self._tile else frozenset()
            free[node] = own if node.children else node.axes
        return free

    def _head(self, t: Term) -> str:
        """What a term is called, and the axes that it varies along."""
        state = self._states.get(t)
        name = self.names[t] if state is None else _nested(state)
        indices = self._indices(map(variable, self._in_order(self._free[t])))
        return f"{name}[{indices}]" if indices else name

    def _in_order(self, axes: Iterable[str]) -> list[str]:
        """Axes in the order of the output, others after them."""
        place = {a: k for k, a in enumerate(self.plan.output)}
        return sorted(axes, key=lambda a: (place.get(a, len(place)), a))

    def _renamed(self, p: Polynomial) -> Polynomial:
        names = {**self.symbols.sizes, **self._axes}
        return p.substitute({v: variable(names.get(v, v)) for v in p.variables})

    def _indices(self, indices: Iterable[Polynomial]) -> str:
        return ", ".join(str(self._renamed(p)) for p in indices)

    def _text(self, t: Term) -> str:
        return pretty(self._displayed(t, whole=True)).replace("; ", ", ")

    def _component(self, t: Term) -> tuple[Term, NameTree] | None:
        """The fold that a chain of projections looks into, and what it sees there."""
        if t in self._states:
            return t, self._states[t]
        inner = self._component(t.children[0]) if t.op in {"First", "Second"} else None
        if inner is None or isinstance(inner[1], str):
            return None
        return inner[0], inner[1][t.op == "Second"]

    def _displayed(self, t: Term, whole: bool = False) -> Term:
        """A term whose text is that of ``t``, with names for what has one.

        With ``whole``, ``t`` itself is written out.
        """
        seen = None if whole and t.op == "Reduce" else self._component(t)
        name = seen[1] if seen else None if whole else self.names.get(t)
        if isinstance(name, str):
            own = self._in_order(self._free[seen[0] if seen else t])
            return term("Input", name, indices_text(self._renamed(variable(a)) for a in own))
        args: list[Argument] = [
            self._displayed(a) if isinstance(a, Term) and a.args else a for a in t.args
        ]
        if t.op in {"Input", "Index", "Predicate"}:
            args[-1] = indices_text(map(self._renamed, indices_of(str(t.args[-1]))))
        elif t.op == "Reduce":
            args[1] = self._axes[str(t.args[1])]
        return term(t.op, *args)


# Text -------------------------------------------------------------------------------------------


def _nested(names: NameTree) -> str:
    return names if isinstance(names, str) else f"({_nested(names[0])}, {_nested(names[1])})"


def identifier(name: str) -> str:
    """What the function of a program of this name is called."""
    clean = re.sub(r"\W+", "_", name).strip("_") or "program"
    clean = f"_{clean}" if clean[0].isdigit() else clean
    return f"{clean}_" if keyword.iskeyword(clean) else clean


def _dimensions(declaration: Declaration) -> str:
    return ", ".join(map(str, declaration.shape))


def _linear(p: Polynomial, name: str) -> bool:
    plain = all(isinstance(a, str) for a in p.atoms)
    return plain and p.degree(name) == 1 and name not in p.coefficient(name).variables


def _as_float(expression: str) -> str:
    """An expression whose value is no int, for an int would become the kernel's int."""
    real = re.search(r"/|math\.|LOG2_E", expression)
    return expression if real else f"float({expression})"


def _tuple(parts: Iterable[str]) -> str:
    """The inside of a tuple's parentheses."""
    shown = list(parts)
    return ", ".join(shown) + "," * (len(shown) == 1)


def _listed(parts: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def wrapped(*texts: str, hanging: int = 4) -> Iterator[str]:
    """Paragraphs, each indented by four columns."""
    for text in texts:
        yield from textwrap.wrap(
            text,
            WIDTH,
            initial_indent=" " * 4,
            subsequent_indent=" " * (4 + hanging),
            break_long_words=False,
            break_on_hyphens=False,
        )


def _filled(parts: Iterable[str], indent: int = 4) -> Iterator[str]:
    """Parts of a list, with their commas, on as few lines as they need."""
    line = ""
    for part in parts:
        if line and len(line) + len(part) + 2 > WIDTH:
            yield line
            line = ""
        line += f" {part}," if line else f"{' ' * indent}{part},"
    if line:
        yield line


def broken(line: str) -> Iterator[str]:
    """A statement, or an argument of one, on as many lines as it needs."""
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= WIDTH:
        yield line
        return
    name, equals, text = line.strip().rpartition(" = ")
    operands = _operands(text.removesuffix(","))
    if len(operands) > 1 and not (equals and line.endswith(",")):
        deeper = indent + " " * 4 * bool(equals)
        if equals:
            yield f"{indent}{name} = ("
        yield from _joined(operands, deeper, "," * line.endswith(","))
        if equals:
            yield f"{indent})"
        return
    opening = _opening(line)
    if opening is None:
        yield line
        return
    inside, tail = line[opening + 1 : _closing(line, opening)], line[_closing(line, opening) :]
    yield line[: opening + 1]
    if len(indent) + 4 + len(inside) <= WIDTH:
        yield f"{indent}    {inside}"
    else:
        *first, last = _arguments(inside)
        for argument in first:
            yield from broken(f"{indent}    {argument},")
        # A comprehension stands alone, and takes no comma.
        yield from broken(f"{indent}    {last}{',' * bool(first)}")
    yield indent + tail


def _opening(line: str) -> int | None:
    """Where the parenthesis opens that closes at the end of a line."""
    end = len(line.rstrip(":,")) - 1
    openings = (k for k, c in enumerate(line) if c in "([" and _closing(line, k) == end)
    return next(openings, None)


def _closing(line: str, opening: int) -> int:
    depth = 0
    for k in range(opening, len(line)):
        depth += (line[k] in "([{") - (line[k] in ")]}")
        if not depth:
            return k
    return len(line)


def _operands(text: str) -> list[str]:
    """The summands of a sum, or the conditions of a conjunction; all but the first with a sign."""
    found, depth = [""], 0
    for k, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if not depth and text[k : k + 3] in {" + ", " & "}:
            found.append("")
        found[-1] += character
    return [part.strip() for part in found]


def _joined(operands: Sequence[str], indent: str, end: str) -> Iterator[str]:
    """Operands on as few lines as they need, the later ones further in."""
    line = f"{indent}{operands[0]}"
    for operand in operands[1:]:
        if len(line) + len(operand) + 1 + len(end) > WIDTH:
            yield line
            line = f"{indent}    {operand}"
        else:
            line += f" {operand}"
    yield line + end


def _arguments(text: str) -> list[str]:
    """The arguments of a call."""
    found, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [part.strip() for part in found if part.strip()]
