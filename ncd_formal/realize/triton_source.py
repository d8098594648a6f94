"""From a streamed form to the text of a Triton file that stands alone.

The file says what it computes, by which laws, under which conditions and with which certificate;
it holds the kernel, the sizes of its blocks for each GPU, and a launcher that checks its arguments.
The text is a function of the form: the same form gives the same text.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count

from ncd_formal.conditions import parse_comparison
from ncd_formal.derivation import StreamedForm, steps
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.realize.statements import (
    ATOM,
    PRODUCT,
    SUM,
    Names,
    NameTree,
    Statements,
    Symbols,
    closed,
    polynomial_text,
)
from ncd_formal.realize.tiles import NotEmitted, Plan, ordered, plan, tables
from ncd_formal.sizes import Polynomial, size, variable
from ncd_formal.wires import (
    Argument,
    Term,
    indices_of,
    indices_text,
    is_axis,
    pretty,
    subterms,
    term,
)

WIDTH = 100
"""The columns of a line."""

_HELPERS: Mapping[str, str] = {
    "tanh": """\
@triton.jit
def tanh(x):
    \"\"\"tanh x to float32's precision, also next to 0, where 1 − e^(−2x) would cancel.\"\"\"
    y = x * x
    series = x * (1 + y * (-1 / 3 + y * (2 / 15 + y * (-17 / 315 + y * (62 / 2835)))))
    e = tl.exp(-2 * tl.abs(x))
    far = (1 - e) / (1 + e)
    return tl.where(tl.abs(x) < 0.25, series, tl.where(x < 0, -far, far))""",
    "sinh": """\
@triton.jit
def sinh(x):
    \"\"\"sinh x to float32's precision, also next to 0, where e^x − e^(−x) would cancel.\"\"\"
    y = x * x
    series = x * (1 + y * (1 / 6 + y * (1 / 120 + y * (1 / 5040))))
    return tl.where(tl.abs(x) < 0.25, series, (tl.exp(x) - tl.exp(-x)) / 2)""",
    "cosh": """\
@triton.jit
def cosh(x):
    return (tl.exp(x) + tl.exp(-x)) / 2""",
}
"""Functions that Triton lacks or has only in a vendor's library, which no interpreter knows."""


def kernel_source(
    name: str,
    form: StreamedForm,
    inputs: Mapping[str, Declaration],
    conditions: Sequence[str] = (),
) -> str:
    """The text of a file whose function ``name`` computes the form of its tensors.

    The function takes the inputs in their order, at any strides, then ``configuration`` (the sizes
    of blocks, warps and stages) and, where matrices are multiplied, ``precision``.  It raises
    ValueError for tensors that do not fit the declared shapes, and where a condition on their sizes
    does not hold.

    Errors: InputError naming what is not emitted yet.
    """
    return _File(name, form, inputs, conditions).text()


class _File:
    """One file in the making."""

    def __init__(
        self,
        name: str,
        form: StreamedForm,
        inputs: Mapping[str, Declaration],
        conditions: Sequence[str],
    ) -> None:
        self.form = form
        self.inputs = inputs
        self.plan: Plan = plan(form, tuple(inputs))
        names = Names(())
        self.name = _identifier(name)
        self.kernel = f"{self.name}_kernel"
        self.symbols = Symbols(self.plan, inputs, {self.name, self.kernel})
        del names
        self.blackboard = _Blackboard(self.name, form, self.plan, self.symbols, tuple(inputs))
        self.body = Statements(self.plan, self.symbols, inputs, self.blackboard.names)
        self._write_body()
        used = dict.fromkeys(str(t.args[0]) for t in self.body.reads)
        self.used = [n for n in inputs if n in used]
        self.conditions = list(self._conditions(conditions))

    def text(self) -> str:
        parts = [
            self._header(),
            "import math\n\nimport torch\nimport triton\nimport triton.language as tl",
            self._constants(),
            *(f"\n{_HELPERS[helper]}" for helper in sorted(self.body.helpers)),
            "\n" + self._kernel(),
            "\n" + self._chooser(),
            "\n" + self._launcher(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    # The header

    def _header(self) -> str:
        axis = self.symbols.axes[self.plan.stream]
        lines = [
            f'"""{self.name}, streamed over {axis}.  '
            "Derived by ncd_formal; regenerate it rather than edit it.",
            "",
            "Definition",
            *_wrapped(self.blackboard.definition),
            "Streamed form",
            *_wrapped(self.blackboard.form),
            *(("where", *_wrapped(*self.blackboard.where)) if self.blackboard.where else ()),
        ]
        if self.body.base_two or any("LOG2_E" in e for e in self.body.scalars):
            lines += ["Exponents are to base 2: exp x = exp2(x · log2 e)."]
        lines.append("Steps")
        for number, step in enumerate(steps(self.form)[:-1], 1):
            lines += _wrapped(f"{number}. {step}")
        lines.append("Conditions")
        shown = [f"{text}    {'checked at launch' if check else 'of the definition'}"
                 for text, check in self.conditions]  # fmt: skip
        lines += _wrapped(*(shown or ["none"]))
        lines += ["Certificate", f"    sha256 {self.form.certificate.digest}", '"""']
        return "\n".join(lines).replace("\\", "\\\\")

    # The kernel

    def _write_body(self) -> None:
        body, plan, symbols = self.body, self.plan, self.symbols
        setup = self._placement()
        for loop in plan.loops:
            body.loop(loop)
        body.store()
        self.statements = [*setup, *body.lines]

    def _placement(self) -> list[str]:
        """The statements that find a program's place, and the ranges of its tile."""
        plan, symbols = self.plan, self.symbols
        lines: list[str] = []
        rest = "tl.program_id(0)"
        for axis in (plan.row, plan.column):
            if axis is None or axis in plan.whole:
                continue
            extent = symbols.extent(axis)[0]
            start, block = symbols.starts[axis], symbols.blocks[axis]
            blocks = symbols.names.fresh(f"blocks_{symbols.axes[axis]}")
            lines.append(f"{blocks} = tl.cdiv({extent}, {block})")
            place, note = f"{rest} % {blocks}", ""
            if axis == plan.row and self._later_rows_take_longer():
                place, note = f"({blocks} - 1 - {place})", "  # the longest first"
            lines.append(f"{start} = {place} * {block}{note}")
            rest = f"{rest} // {blocks}"
        if plan.grid:
            program = symbols.names.fresh("program")
            # Offsets of whole tensors need 64 bits, those within a tile only rarely.
            lines.append(f"{program} = ({rest}).to(tl.int64)")
            left = program
            for axis in reversed(plan.grid[1:]):
                extent = closed(*symbols.extent(axis), ATOM)
                lines.append(f"{symbols.axes[axis]} = {left} % {extent}")
                left = f"{left} // {extent}"
            lines.append(f"{symbols.axes[plan.grid[0]]} = {left}")
        seen: set[str] = set()
        for axis in plan.arranged(plan.roles):
            name, block = symbols.axes[axis], symbols.blocks[axis]
            if name in seen:
                continue
            seen.add(name)
            lines.append(f"{name} = tl.arange(0, {block}).to(INDEX)")
            if axis in plan.whole or axis in (plan.row, plan.column):
                extent, level = symbols.extent(axis)
                start = symbols.starts.get(axis)
                position = f"{start} + {name}" if start else name
                lines.append(f"{symbols.inside[axis]} = {position} < {closed(extent, level, SUM)}")
        return lines

    def _later_rows_take_longer(self) -> bool:
        from ncd_formal.realize.statements import _Bounds

        return any(_Bounds(self.body, loop).by_row for loop in self.plan.loops)

    @property
    def _sizes(self) -> tuple[list[str], list[str]]:
        """The sizes that the kernel takes: those at run time, and those that it is compiled for."""
        text = "\n".join(self.statements)
        own = [s for s in self.symbols.sizes.values() if re.search(rf"\b{s}\b", text)]
        fixed = {
            self.symbols.sizes[v]
            for axis in self.plan.whole
            for v in self.plan.context.axes[axis].variables
        }
        return [s for s in own if s not in fixed], [s for s in own if s in fixed]

    @property
    def _blocks(self) -> list[str]:
        order = self.plan.arranged(self.plan.roles)
        return list(dict.fromkeys(self.symbols.blocks[a] for a in order))

    def _strides(self) -> list[str]:
        """The strides by tensor: a line of parameters each."""
        lines = []
        for name in self.used:
            own = [self.symbols.strides[name, k] for k in range(len(self.inputs[name].shape))]
            if own:
                lines.append(", ".join(own) + ",")
        if self.symbols.output_strides:
            lines.append(", ".join(self.symbols.output_strides) + ",")
        return lines

    @property
    def _multiplies(self) -> bool:
        return any("tl.dot" in line for line in self.statements)

    def _kernel(self) -> str:
        symbols = self.symbols
        running, fixed = self._sizes
        pointers = [*(symbols.inputs[n] for n in self.used), symbols.output]
        numbers = [*self.body.scalars.values(), *running]
        constants = [*fixed, *self._blocks, "INDEX", *(["PRECISION"] if self._multiplies else [])]
        lines = ["@triton.jit", f"def {self.kernel}("]
        lines += _filled([f"{p}," for p in pointers])
        lines += [f"    {line}" for line in self._strides()]
        lines += _filled([f"{n}," for n in numbers])
        lines += _filled([f"{c}: tl.constexpr," for c in constants])
        lines.append("):")
        for axis in self.plan.whole:
            extent, block = symbols.extent(axis)[0], symbols.blocks[axis]
            check = f"    tl.static_assert({extent} <= {block})"
            if check not in lines:
                lines.append(check)
        for block in self._blocks if self._multiplies else ():
            lines.append(f"    tl.static_assert({block} % 16 == 0)")
        for statement in self.statements:
            lines += _broken(f"    {statement}")
        return "\n".join(lines)

    # Blocks, warps and stages

    def _constants(self) -> str:
        lines = []
        if any("LOG2_E" in e for e in self.body.scalars):
            lines.append("LOG2_E = 1.4426950408889634")
        if self.body.base_two:
            lines.append("LN_2: tl.constexpr = tl.constexpr(0.6931471805599453)")
        lines += ["", *self._tables()] if lines else self._tables()
        return "\n".join(lines)

    def _tables(self) -> list[str]:
        portable, hopper = tables(self.plan)
        what = "bytes of a number"
        if self.plan.whole:
            sizes = _listed(dict.fromkeys(self.symbols.extent(a)[0] for a in self.plan.whole))
            several = "the largest of " if " " in sizes else ""
            what += f", {several}{sizes} rounded up"
        lines = [f"# ({what}): blocks, warps and stages."]
        if hopper:
            lines.append(
                "# HOPPER is for sm_90 and later where the last dimensions are contiguous."
            )

        def entries(table: Mapping[tuple[int, ...], Mapping[str, int]]) -> Iterator[str]:
            for key, chosen in table.items():
                shown = ", ".join(f"{self.symbols.blocks.get(k, k)}={v}" for k, v in chosen.items())
                yield f"    ({', '.join(map(str, key))}{',' * (len(key) == 1)}): dict({shown}),"

        lines += ["PORTABLE = {", *entries(portable), "}"]
        if hopper:
            lines += ["HOPPER = PORTABLE | {", *entries(hopper), "}"]
        return lines

    def _chooser(self) -> str:
        _, hopper = tables(self.plan)
        whole = bool(self.plan.whole)
        key = "size, width" if whole else "size,"
        parameters = ["size"] + ["width"] * whole + ["tensors"] * bool(hopper)
        lines = [
            f"def configuration_for({', '.join(parameters)}):",
            '    """Blocks, warps and stages for numbers of this size on the current GPU."""',
        ]
        if hopper:
            lines += [
                "    target = triton.runtime.driver.active.get_current_target()",
                '    hopper = target.backend == "cuda" and target.arch >= 90',
                "    contiguous = all(each.dim() == 0 or each.stride(-1) == 1 for each in tensors)",
                "    table = HOPPER if hopper and contiguous else PORTABLE",
            ]
        table = "table" if hopper else "PORTABLE"
        if whole:
            lines += [
                f"    if ({key}) not in {table}:",
                "        raise ValueError(",
                '            f"no configuration for numbers of {size} bytes and width {width}: give one"',
                "        )",
            ]
        lines.append(f"    return {table}[{key}]")
        return "\n".join(lines)

    # The launcher

    def _launcher(self) -> str:
        symbols = self.symbols
        names = [symbols.inputs[n] for n in self.inputs]
        listed = ", ".join(names) + ("," if len(names) == 1 else "")
        keywords = ["configuration=None"] + ['precision="ieee"'] * self._multiplies
        shapes = [f"{symbols.inputs[n]}[{_dimensions(d)}]" for n, d in self.inputs.items()]
        result = f"{symbols.output}[{self.blackboard.dimensions}]"
        lines = [f"def {self.name}({', '.join([*names, *keywords])}):"]
        lines += self._docstring(result, shapes)
        lines += _broken(f"    shapes = [tuple(each.shape) for each in ({listed})]")
        lines.append(f'    expected = "{", ".join(shapes)}"')
        ranks = [len(d.shape) for d in self.inputs.values()]
        refusal = '        raise ValueError(f"expected {expected}, not the shapes {shapes}")'
        lines += [f"    if [len(shape) for shape in shapes] != {ranks}:", refusal]
        lines += self._binding()
        wanted = [f"({_tuple_text(symbols, d)})" for d in self.inputs.values()]
        lines += _broken(f"    if shapes != [{', '.join(wanted)}]:")
        lines.append(refusal)
        lines += self._type_checks()
        reals = [n for n, d in self.inputs.items() if d.kind == "real"]
        dtype = f"{symbols.inputs[reals[0]]}.dtype" if reals else "torch.float32"
        shape = "".join(
            f"{symbols.size(_extent(self.plan, digits))[0]}, " for digits in self.plan.layout
        )
        out = symbols.output
        shape = shape if len(self.plan.layout) == 1 else shape[:-2]
        shape = shape.rstrip() if len(self.plan.layout) == 1 else shape
        lines += _broken(
            f"    {out} = torch.empty(({shape}), dtype={dtype}, device={names[0]}.device)"
        )
        if self.plan.layout:
            lines += [f"    if {out}.numel() == 0:", f"        return {out}"]
        for text, check in self.conditions:
            if check:
                lines.append(f"    if {check}:")
                lines.append(f'        raise ValueError("the condition {text} does not hold")')
        lines += self._launch()
        lines.append(f"    return {out}")
        return "\n".join(lines)

    def _docstring(self, result: str, shapes: list[str]) -> list[str]:
        text = f'"""{result} of {_listed(shapes)}, at any strides.'
        lines = textwrap.wrap(text, WIDTH - 4) + [""]
        described = (
            "``configuration`` names blocks, warps and stages as the tables do; by default it is "
            "looked up there."
        )
        if self._multiplies:
            described += (
                '  ``precision`` is how products of tiles read float32: "ieee", "tf32x3" or "tf32".'
            )
        lines += textwrap.wrap(described, WIDTH - 4)
        return [f"    {line}".rstrip() for line in [*lines, '"""']]

    def _binding(self) -> Iterator[str]:
        """Statements that read the sizes off the shapes.

        Errors: NotEmitted for sizes that the shapes do not determine one after the other.
        """
        symbols = self.symbols
        known: set[str] = set()
        waiting = [
            (n, k, name, p)
            for n, (name, d) in enumerate(self.inputs.items())
            for k, p in enumerate(d.shape)
        ]
        while unknown := [v for v in symbols.sizes if v not in known]:
            # Plain names first, so that h is read where it stands and not divided out of h·d.
            ready = [
                (len(p.variables), n, k, p)
                for n, k, _, p in waiting
                if len(p.variables - known) == 1 and _solvable(p, known)
            ]
            if not ready:
                raise NotEmitted(f"shapes from which {', '.join(unknown)} cannot be told")
            _, n, k, p = min(ready, key=lambda item: item[:3])
            (name,) = p.variables - known
            factor = p.coefficient(name)
            rest = p - factor * variable(name)
            text, level = f"shapes[{n}][{k}]", ATOM
            if rest.terms:
                text, level = f"{text} - {closed(*symbols.size(rest), PRODUCT)}", SUM
            if factor.constant != 1:
                by = symbols.size(factor)[0]
                by = by if factor.constant else f"max(1, {by})"
                text = f"{closed(text, level, PRODUCT)} // {by}"
            declared = list(self.inputs.values())[n].shape
            fresh = {v for own in declared for v in own.variables} - known
            if len(fresh) == len(declared) > 1 and all(
                own is variable(str(own)) for own in declared
            ):
                yield f"    {', '.join(symbols.sizes[str(own)] for own in declared)} = shapes[{n}]"
                known |= fresh
                continue
            yield f"    {symbols.sizes[name]} = {text}"
            known.add(name)

    def _type_checks(self) -> list[str]:
        symbols = self.symbols
        lines: list[str] = []
        reals = [symbols.inputs[n] for n, d in self.inputs.items() if d.kind == "real"]
        if reals:
            listed = ", ".join(reals) + ("," if len(reals) == 1 else "")
            lines += [
                f"    types = {{each.dtype for each in ({listed})}}",
                "    if len(types) > 1 or not types <= {torch.float16, torch.bfloat16, "
                "torch.float32}:",
                "        names = sorted(map(str, types))",
                '        raise ValueError(f"expected one of float16, bfloat16, float32, not {names}")',
            ]
        for name, declaration in self.inputs.items():
            own = symbols.inputs[name]
            if declaration.kind == "boolean":
                lines += [
                    f"    if {own}.dtype != torch.bool:",
                    f'        raise ValueError(f"{own} is {{{own}.dtype}}, not bool")',
                ]
            elif declaration.kind == "integer":
                lines += [
                    f"    if {own}.dtype == torch.bool or {own}.dtype.is_floating_point:",
                    f'        raise ValueError(f"{own} is {{{own}.dtype}}, not of whole numbers")',
                ]
        if len(self.inputs) > 1:
            listed = ", ".join(symbols.inputs.values())
            lines += [
                f"    if len({{each.device for each in ({listed})}}) > 1:",
                '        raise ValueError("the tensors are on several devices")',
            ]
        return lines

    def _launch(self) -> list[str]:
        plan, symbols = self.plan, self.symbols
        tensors = ", ".join(symbols.inputs[n] for n in self.used)
        tensors += "," if len(self.used) == 1 else ""
        lines: list[str] = []
        blocks = {}
        for axis in plan.whole:
            block = symbols.blocks[axis]
            blocks[block] = (
                f"    {block} = max(16, triton.next_power_of_2({symbols.extent(axis)[0]}))"
            )
        lines += blocks.values()
        arguments = [f"{symbols.output}.element_size()"]
        if blocks:
            arguments.append(f"max({', '.join(['32', *blocks])})")
        if tables(plan)[1]:
            arguments.append(f"({tensors})")
        lines += [
            "    if configuration is None:",
            f"        configuration = configuration_for({', '.join(arguments)})",
        ]
        free = {symbols.blocks[a]: f'configuration["{symbols.blocks[a]}"]' for a in plan.blocked}
        programs = []
        for axis in (plan.row, plan.column):
            if axis and axis not in plan.whole:
                extent = symbols.extent(axis)[0]
                programs.append(f"triton.cdiv({extent}, {free[symbols.blocks[axis]]})")
        for axis in plan.grid:
            programs.append(closed(*symbols.extent(axis), PRODUCT))
        grid = " * ".join(programs) or "1"
        spans = ", ".join(self._spans(free))
        lines += _broken(f"    span = max(0, {spans})" if spans else "    span = 0")
        running, fixed = self._sizes
        call = [
            f"{tensors.rstrip(',')}, {symbols.output},",
            ", ".join(f"*{symbols.inputs[n]}.stride()" for n in self.used if self.inputs[n].shape)
            + (", " if any(self.inputs[n].shape for n in self.used) else "")
            + f"*{symbols.output}.stride(),",
        ]
        numbers = [*map(_as_float, self.body.scalars), *running]
        call += ["".join(f"{n}, " for n in numbers).rstrip()] if numbers else []
        keywords = [f"{s}={s}," for s in (*fixed, *blocks)]
        keywords += ["INDEX=tl.int64 if span >= 2**31 else tl.int32,"]
        keywords += ["PRECISION=precision,"] * self._multiplies
        keywords += ["enable_fp_fusion=True,", "**configuration,"]
        lines.append(f"    with torch.cuda.device_of({symbols.output}):")
        lines.append(f"        {self.kernel}[({grid},)](")
        for line in call:
            lines += _filled(re.split(r"(?<=,) ", line), 12)
        lines += _filled(keywords, 12)
        lines.append("        )")
        return lines

    def _spans(self, free: Mapping[str, str]) -> Iterator[str]:
        """How far apart the places of a tile lie in memory, for each way in which one is read."""
        plan, symbols = self.plan, self.symbols
        indices = []
        for digits in plan.layout:
            index = size(0)
            for axis in digits:
                index = index * plan.context.axes[axis] + variable(axis)
            indices.append(index)
        reads = [
            (symbols.inputs[str(t.args[0])], indices_of(str(t.args[1]))) for t in self.body.reads
        ]
        shown: dict[str, None] = {}
        for tensor, own in [*reads, (symbols.output, tuple(indices))]:
            parts = []
            for k, index in enumerate(own):
                for axis in plan.arranged(v for v in index.variables if is_axis(v)):
                    block = free.get(symbols.blocks[axis], symbols.blocks[axis])
                    step = index.coefficient(axis)
                    scaled = "" if step.constant == 1 else (
                        closed(*symbols.size(step), PRODUCT) + " * ")  # fmt: skip
                    parts.append(f"{block} * {scaled}{tensor}.stride({k})")
            if parts:
                shown[" + ".join(parts)] = None
        yield from shown

    def _conditions(self, stated: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Each condition, with the expression that refutes it; "" where no launcher could."""
        context, sizes = self.plan.context, self.symbols.sizes
        # An output with an element shows that every factor of its shape is at least 1.
        shown = {
            v
            for digits in self.plan.layout
            for axis in digits
            if len(context.axes[axis].terms) == 1
            for v in context.axes[axis].variables
        }
        said: dict[str, str] = {}
        for name, own in sizes.items():
            least = context.least(name)
            if least > 1 or (least == 1 and name not in shown):
                said[f"{name} >= {least}"] = f"{own} < {least}"
        for p in context.assumptions:
            if p.variables <= sizes.keys():
                said[f"{p} >= 0"] = f"{polynomial_text(p, sizes)[0]} < 0"
        for condition in stated:
            kind, _, text = condition.partition("sizes: ")
            if kind or not text:
                said.setdefault(condition, "")
                continue
            left, relation, right = parse_comparison(text)
            said[text] = f"not {self._in_sizes(left)} {relation} {self._in_sizes(right)}"
        yield from said.items()

    def _in_sizes(self, p: Polynomial) -> str:
        """A size with quotients and remainders, as Python."""
        sizes = self.symbols.sizes
        return re.sub(r"[A-Za-z_][\w.]*", lambda m: sizes.get(m[0], m[0]), str(p))


class _Blackboard:
    """The definition and the form as one would write them, what they share given a name."""

    def __init__(
        self, name: str, form: StreamedForm, plan: Plan, symbols: Symbols, inputs: Sequence[str]
    ) -> None:
        self.symbols = symbols
        left = ordered(form.certificate.goals[0].left, inputs)
        roots = (left, plan.term)
        uses = Counter(c for node in subterms(*roots) for c in node.children)
        uses.update(roots)
        folds = {fold.term for loop in plan.loops for fold in loop}
        shared = [
            t
            for t in reversed(list(subterms(*roots)))
            if (t in folds or (uses[t] > 1 and any(n.op == "Reduce" for n in subterms(t))))
            and t not in roots
            and t.op not in {"First", "Second", "Tuple"}
            and not (t.op == "Reduce" and t.args[1] == form.tile)
        ]
        taken = symbols.names.snapshot()
        letters = (x for x in chain("stuwxyz", map("s_{}".format, count(1))) if x not in taken)
        self.names: dict[Term, str] = {t: next(letters) for t in reversed(shared) if t not in folds}
        """Terms → what they are called."""
        self._states = symbols.states
        self._axes = dict(symbols.axes)
        self._axes[form.block] = symbols.axes[form.axis] + "_block"
        self._axes[form.tile] = symbols.axes[form.axis] + "_tile"
        for axis in form.context.axes:
            self._axes.setdefault(axis, axis.removesuffix(".0").replace(".", "_"))
        self._bound = {form.block, form.tile}
        self._output = [a for digits in form.layout for a in digits]
        self._free: dict[Term, frozenset[str]] = {}
        for node in subterms(*roots):
            own = frozenset[str]().union(*(self._free[c] for c in node.children))
            if node.op == "Reduce":
                axis = str(node.args[1])
                own -= {axis} | ({form.axis} if axis in self._bound else set())
            elif not node.children:
                own = node.axes
            self._free[node] = own
        indices = []
        for digits in form.layout:
            index = size(0)
            for axis in digits:
                index = index * form.context.axes[axis] + variable(axis)
            indices.append(index)
        self.dimensions = self._indices(indices)
        head = f"{name}[{self.dimensions}]" if indices else name
        self.definition = f"{head} = {self._text(left)}"
        self.form = f"{head} = {self._text(plan.term)}"
        self.where = [f"{self._head(t)} = {self._text(t)}" for t in shared]

    def _head(self, t: Term) -> str:
        """What a shared term is called, and the axes that it varies along."""
        own = self._indices(variable(a) for a in self._ordered(self._free[t]))
        indices = f"[{own}]" if own else ""
        return f"{_nested(self._states[t])}{indices}" if t in self._states else (
            f"{self.names[t]}{indices}")  # fmt: skip

    def _ordered(self, axes: Iterable[str]) -> list[str]:
        """Axes in the order of the output, others after them."""
        place = {a: k for k, a in enumerate(self._output)}
        return sorted(axes, key=lambda a: (place.get(a, len(place)), a))

    def _component(self, t: Term) -> tuple[Term, NameTree] | None:
        """The fold that a chain of projections looks into, and the part that it sees."""
        if t in self._states:
            return t, self._states[t]
        if t.op not in {"First", "Second"}:
            return None
        inner = self._component(t.children[0])
        if inner is None or isinstance(inner[1], str):
            return None
        return inner[0], inner[1][t.op == "Second"]

    def _renamed(self, p: Polynomial) -> Polynomial:
        names = {**self.symbols.sizes, **self._axes}
        return p.substitute({v: variable(names.get(v, v)) for v in p.variables})

    def _indices(self, indices: Iterable[Polynomial]) -> str:
        return ", ".join(str(self._renamed(p)) for p in indices)

    def _text(self, t: Term) -> str:
        return pretty(self._display(t, whole=True)).replace("; ", ", ")

    def _display(self, t: Term, whole: bool = False) -> Term:
        """A term whose text is that of ``t``, with names for what is shared."""
        component = None if whole and t.op == "Reduce" else self._component(t)
        name = component[1] if component else None if whole else self.names.get(t)
        if isinstance(name, str):
            own = self._ordered(self._free[component[0] if component else t])
            return term("Input", name, indices_text(self._renamed(variable(a)) for a in own))
        args: list[Argument] = [
            self._display(a) if isinstance(a, Term) and a.args else a for a in t.args
        ]
        if t.op in {"Input", "Index", "Predicate"}:
            args[-1] = indices_text(map(self._renamed, indices_of(str(args[-1]))))
        if t.op == "Input":
            args[0] = self.symbols.inputs.get(str(args[0]), str(args[0]))
        if t.op == "Reduce":
            args[1] = self._axes[str(args[1])]
        return term(t.op, *args)


# Text -------------------------------------------------------------------------------------------


def _nested(names: NameTree) -> str:
    return names if isinstance(names, str) else f"({_nested(names[0])}, {_nested(names[1])})"


def _identifier(name: str) -> str:
    import keyword

    clean = re.sub(r"\W+", "_", name).strip("_") or "program"
    clean = f"_{clean}" if clean[0].isdigit() else clean
    return f"{clean}_" if keyword.iskeyword(clean) else clean


def _dimensions(declaration: Declaration) -> str:
    return ", ".join(map(str, declaration.shape))


def _extent(plan: Plan, digits: Iterable[str]) -> Polynomial:
    extent = size(1)
    for axis in digits:
        extent = extent * plan.context.axes[axis]
    return extent


def _tuple_text(symbols: Symbols, declaration: Declaration) -> str:
    parts = [symbols.size(p)[0] for p in declaration.shape]
    return ", ".join(parts) + ("," if len(parts) == 1 else "")


def _solvable(p: Polynomial, known: set[str]) -> bool:
    """Whether the one unknown size of ``p`` occurs linearly."""
    (name,) = p.variables - known
    if not all(isinstance(a, str) for a in p.atoms):
        return False
    return p.degree(name) == 1 and name not in p.coefficient(name).variables


def _as_float(expression: str) -> str:
    certain = "/" in expression or "math." in expression or "LOG2_E" in expression
    return expression if certain else f"float({expression})"


def _listed(parts: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _wrapped(*texts: str) -> list[str]:
    lines = []
    for text in texts:
        lines += textwrap.wrap(
            text, WIDTH, initial_indent="    ", subsequent_indent="        ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return lines


def _filled(parts: Sequence[str], indent: int = 4) -> list[str]:
    """Parts on as few lines as they need."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 1 + len(part) <= WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(" " * indent + part)
    return lines


def _broken(line: str) -> list[str]:
    """A statement on as many lines as it needs."""
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    opening = _last_call(line)
    if opening is None:
        head, equals, value = line.partition(" = ")
        if not equals or value.startswith("("):
            return [line]
        return _broken_at(f"{head} = (", value, ")", indent)
    head, inside, tail = line[: opening + 1], line[opening + 1 : _closing(line, opening)], ""
    tail = line[_closing(line, opening) :]
    return _broken_at(head, inside, tail, indent)


def _broken_at(head: str, inside: str, tail: str, indent: str) -> list[str]:
    if len(indent) + 4 + len(inside) <= WIDTH:
        return [head, f"{indent}    {inside}", f"{indent}{tail}"]
    lines = [head]
    for argument in _arguments(inside):
        lines += _broken(f"{indent}    {argument},")
    return [*lines, f"{indent}{tail}"]


def _last_call(line: str) -> int | None:
    """Where the parenthesis opens that closes at the end of a line."""
    end = len(line.rstrip(":,"))
    for k, character in enumerate(line):
        if character in "([" and _closing(line, k) == end - 1 and line[k - 1] not in " ":
            return k
    return None


def _closing(line: str, opening: int) -> int:
    depth = 0
    for k in range(opening, len(line)):
        depth += (line[k] in "([{") - (line[k] in ")]}")
        if not depth:
            return k
    return len(line)


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
