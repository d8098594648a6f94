"""Refutation: sizes and inputs at which two programs differ.

Both programs are run in PyTorch in float64, and their wires under the reference semantics.  The two
agree with each other where the import is right, so a difference counts only where both show it; a
disagreement between PyTorch and the wires is reported as such and proves nothing.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ncd_formal.certificate import Values, written
from ncd_formal.conditions import Context, parse_comparison
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.proof import Hypothesis
from ncd_formal.semantics import Evaluator, Floats
from ncd_formal.sizes import size
from ncd_formal.strides import Shape
from ncd_formal.wires import subterms

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]
Run = Callable[[Tensors], "tuple[torch.Tensor, ...]"]

CONDITIONED_TRIALS = 12
"""Random trials on inputs that satisfy the hypotheses of a proof."""

FAR = 64.0
"""The largest standard deviation of real inputs that are drawn far from 0."""

FEW_RUNS, RUNS, SECONDS_TO_RUN = 3, 8, 1.0
"""How often each program is run again before a difference is believed: at least, and in so long."""

SECONDS_TO_SHRINK = 5.0
"""How long a smaller counterexample is looked for."""

DRAWS = 24
"""How often inputs are drawn anew until they satisfy hypotheses."""

TOLERANCE = 1e-6
"""Relative to the largest value of the output: float64 loses far less on small inputs."""


LARGEST = 50_000_000
"""Inputs with more values are not made."""

SECONDS_BEYOND = 5.0
"""How long sizes beyond the numbers of the programs are tried."""

LARGEST_BEYOND = 4_000_000
"""At such sizes, no array of the programs has more values."""

MANY = 32
"""A size with more smaller ones is halved, and not counted down, in the search for the least."""


@dataclass(frozen=True)
class Counterexample:
    """Sizes and inputs at which the two programs differ, and how."""

    sizes: Mapping[str, int]
    inputs: Tensors
    difference: str
    first_difference: str = ""
    """Where in both programs the difference begins, where that is known."""
    script: str = ""


Evaluate = Callable[[Mapping[str, int], Mapping[str, Floats]], "list[Floats | None]"]
"""The outputs at sizes and inputs by the reference semantics; None where an operator is opaque."""


@dataclass(frozen=True)
class Side:
    """One program: how to run it, and what it means."""

    name: str
    run: Run
    evaluate: Evaluate
    tolerance: float
    """How far PyTorch may be from the wires: large where the program converts to a short type."""


@dataclass
class Trials:
    """Random sizes and inputs within the assumptions, and what the programs do there."""

    declarations: Mapping[str, Declaration]
    context: Context
    left: Side
    right: Side
    size_conditions: Sequence[str] = ()
    input_conditions: Sequence[str] = ()
    fixed: Tensors = field(default_factory=dict)
    """The buffers of modules: their values are part of the programs."""
    hypotheses: Sequence[Hypothesis] = ()
    """What a proof supposes of the inputs: they satisfy it."""
    read: bool = False
    """Whether numbers of the programs are read as −∞: the wires are then not the programs."""
    whole_numbers: Sequence[int] = ()
    """Numbers in the programs, which integers that are no indices may be."""
    far: bool = False
    """Whether real inputs are drawn far from 0, where numbers of a program may first matter.  Then
    only finite outputs are compared: others may be due to overflow."""
    thresholds: Sequence[int] = ()
    """Numbers in the programs that sizes may have to exceed to matter, as the width of a window."""
    shapes: Sequence[Shape] = ()
    """The shapes of the programs' arrays."""
    sparing: bool = False
    """Whether wires are evaluated only where the programs differ as they are run."""
    mismatch: str = ""
    """Where the wires of one side disagree with PyTorch: the import is then not to be trusted."""
    impure: str = ""
    """Which side gives something else when it is run again: it is no function."""
    compared: int = field(default=0)

    def search(self, seeds: Iterator[int]) -> Counterexample | None:
        """The first difference over the seeds, which is there again whenever both are run."""
        for seed in seeds:
            sizes = self.sample_sizes(seed)
            found = None if sizes is None or self.impure else self.differ(sizes, seed)
            if found is not None and not self._changes(found):
                return found
        return None

    def search_beyond(self) -> Counterexample | None:
        """A difference where one or two sizes exceed a number of the programs, the least first."""
        deadline = time.perf_counter() + SECONDS_BEYOND
        names = self.names()
        for number in self.thresholds:
            for chosen in (*combinations(names, 1), *combinations(names, 2)):
                sizes = self._sizes_beyond(number, chosen)
                if sizes is None:
                    continue
                if time.perf_counter() > deadline or self.impure:
                    return None
                found = self.differ(sizes, number)
                if found is not None and not self._changes(found):
                    return found
        return None

    def _sizes_beyond(self, number: int, chosen: Sequence[str]) -> dict[str, int] | None:
        """Small sizes but for those chosen, which are a little more than the number."""
        least = {name: self.context.least(name) for name in self.names()}
        small = least if self.allowed(least) else self.sample_sizes(0)
        for extent in range(number + 2, number + 10):
            sizes = {**(small or {}), **dict.fromkeys(chosen, extent)}
            if small is not None and self.allowed(sizes) and self._fit(sizes):
                values = (math.prod(s.evaluate(sizes) for s in shape) for shape in self.shapes)
                return sizes if max(values, default=0) <= LARGEST_BEYOND else None
        return None

    def agree(self) -> bool:
        """Whether inputs are found that satisfy the hypotheses, and the programs agree on them."""
        found = self.search(iter(range(CONDITIONED_TRIALS)))
        settled = not self.mismatch and not self.impure
        return found is None and settled and self.compared > 0

    def example(self) -> tuple[dict[str, int], dict[str, Values]] | None:
        """Small sizes and inputs of which the hypotheses hold, whole numbers where they may be."""
        names = {
            str(node.args[0])
            for hypothesis in self.hypotheses
            for node in subterms(hypothesis.left, hypothesis.right)
            if node.op == "Input"
        }
        for seed in range(CONDITIONED_TRIALS):
            sizes = self.sample_sizes(seed)
            inputs = None if sizes is None else self.sample_inputs(sizes, seed)
            if sizes is None or inputs is None:
                continue
            whole = {k: v.round() if v.is_floating_point() else v for k, v in inputs.items()}
            chosen = whole if self._satisfy(sizes, whole) else inputs
            return sizes, {
                k: written(chosen[k].double().numpy()) for k in sorted(names & chosen.keys())
            }
        return None

    # Sampling -------------------------------------------------------------------------------

    def names(self) -> list[str]:
        found = {v for d in self.declarations.values() for s in d.shape for v in s.variables}
        return sorted(found)

    def sample_sizes(self, seed: int) -> dict[str, int] | None:
        """Sizes that satisfy the assumptions: small ones first, and different where they may be."""
        names = self.names()
        generator = random.Random(seed)
        for attempt in range(400):
            top = 3 + seed % 3 + attempt // 40
            sizes = {
                n: generator.randint(self.context.least(n), self.context.least(n) + top - 1)
                for n in names
            }
            if self.allowed(sizes) and self._fit(sizes):
                return sizes
        return None

    def _fit(self, sizes: Mapping[str, int]) -> bool:
        """Whether the inputs are small enough to be made."""
        shapes = (d.shape for d in self.declarations.values())
        return all(math.prod(s.evaluate(sizes) for s in shape) <= LARGEST for shape in shapes)

    def allowed(self, sizes: Mapping[str, int]) -> bool:
        if any(a.evaluate(sizes) < 0 for a in self.context.assumptions):
            return False
        for text in self.size_conditions:
            try:
                left, relation, right = parse_comparison(text)
                a, b = left.evaluate(sizes), right.evaluate(sizes)
            except (InputError, KeyError, ZeroDivisionError):
                continue
            holds = {
                "==": a == b, "!=": a != b, ">=": a >= b, "<=": a <= b, ">": a > b, "<": a < b
            }  # fmt: skip
            if not holds[relation]:
                return False
        return True

    def sample_inputs(self, sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor] | None:
        """Inputs that satisfy the hypotheses: masks are drawn fuller and emptier until they do."""
        for attempt in range(DRAWS):
            nearer = attempt / DRAWS
            chance = 0.6 + 0.4 * nearer if attempt % 2 == 0 else 0.4 - 0.4 * nearer
            made = self._draw(sizes, seed + 1_000_003 * attempt, chance)
            if self._satisfy(sizes, made):
                return made
        return None

    def _draw(self, sizes: Mapping[str, int], seed: int, chance: float) -> dict[str, torch.Tensor]:
        """Normal reals, truth values, integers within the conditions on them."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        truths = {str(h.left.args[0]) for h in self.hypotheses if h.left.op == "Input"}
        made: dict[str, torch.Tensor] = {}
        for name, declaration in self.declarations.items():
            shape = [s.evaluate(sizes) for s in declaration.shape]
            if name in self.fixed:
                held = self.fixed[name]
                made[name] = held.double() if held.is_floating_point() else held.clone()
                continue
            if declaration.kind == "boolean":
                made[name] = torch.rand(shape, generator=generator) < chance
            elif declaration.kind == "integer":
                made[name] = self._integers(name, sizes, shape, generator)
            else:
                made[name] = torch.randn(shape, generator=generator, dtype=torch.float64)
                if self.far:
                    made[name] *= FAR ** torch.rand(shape, generator=generator)
                if self.context.inputs.get(name) == "extended":
                    masked = torch.rand(shape, generator=generator) >= chance
                    made[name].masked_fill_(masked, -torch.inf)
            if name in truths:
                drawn = torch.rand(shape, generator=generator) < chance
                made[name] = drawn.to(made[name].dtype)
        for text in self.input_conditions:
            impose(text, made, generator)
        return made

    def _integers(
        self, name: str, sizes: Mapping[str, int], shape: list[int], generator: torch.Generator
    ) -> torch.Tensor:
        """Within their bounds; half the time any where none is known of them, as no index is."""
        import torch

        low, high = self._bounds(name, sizes)
        drawn = torch.randint(low, max(high, low + 1), shape, generator=generator)
        conditions = (*self.size_conditions, *self.input_conditions)
        known = any(name in re.split(r"[^\w.]+", t) or t.startswith("indices") for t in conditions)
        if known or torch.rand((), generator=generator) < 0.5:
            return drawn
        numbers = torch.tensor([-2, -1, *self.whole_numbers])
        others = numbers[torch.randint(len(numbers), shape, generator=generator)]
        return torch.where(torch.rand(shape, generator=generator) < 0.3, others, drawn)

    def _satisfy(self, sizes: Mapping[str, int], inputs: Tensors) -> bool:
        """Whether the hypotheses hold of these inputs."""
        evaluator = Evaluator(self.context, sizes, {k: v.numpy() for k, v in inputs.items()})
        for hypothesis in self.hypotheses:
            layout = tuple((axis,) for axis in sorted(hypothesis.left.axes | hypothesis.right.axes))
            left, right = (evaluator.output(t, layout) for t in (hypothesis.left, hypothesis.right))
            if not np.array_equal(left, right):
                return False
        return True

    def _bounds(self, name: str, sizes: Mapping[str, int]) -> tuple[int, int]:
        low, high = 0, 4
        for text in self.input_conditions:
            inside = re.fullmatch(rf"0\s*<=\s*{re.escape(name)}\s*<\s*(.+)", text.strip())
            if inside:
                high = size(inside[1]).evaluate(sizes)
            match = re.fullmatch(rf"{re.escape(name)}\s*(<=|<|>=|>)\s*(.+)", text.strip())
            if match:
                bound = size(match[2]).evaluate(sizes)
                if match[1] in {"<", "<="}:
                    high = bound + (match[1] == "<=")
                else:
                    low = bound + (match[1] == ">")
        for text in self.size_conditions:
            match = re.match(r"indices of .* lie in \[0, ([^)]+)\)", text)
            if match:
                high = min(high, size(match[1]).evaluate(sizes))
        return low, high

    # Comparing ------------------------------------------------------------------------------

    def differ(self, sizes: Mapping[str, int], seed: int) -> Counterexample | None:
        inputs = self.sample_inputs(sizes, seed)
        return None if inputs is None else self.differ_at(sizes, inputs)

    def differ_at(self, sizes: Mapping[str, int], inputs: Tensors) -> Counterexample | None:
        """How the programs differ at these inputs; None where they do not, or cannot be run."""
        if self.sparing and _are_alike(_run(self.left, inputs), _run(self.right, inputs)):
            return None
        values = [self._values(side, sizes, inputs) for side in (self.left, self.right)]
        if values[0] is None or values[1] is None:
            return None
        # Where all is undefined as it is read, nothing is compared.
        self.compared += not self.read or any(
            own is None or not np.isnan(own).all() for _, own in values[0]
        )
        for number, ((a, wires_a), (b, wires_b)) in enumerate(
            zip(values[0], values[1], strict=True)
        ):
            if self.read and wires_a is not None and wires_b is not None:
                # A row without a key is undefined as it is read, and may be anything as it is run.
                undefined = np.isnan(wires_a) | np.isnan(wires_b)
                a, b = (np.where(undefined, np.nan, values) for values in (a, b))
            if self.far:
                finite = np.isfinite(a) & np.isfinite(b) if a.shape == b.shape else True
                a, b = (np.where(finite, values, np.nan) for values in (a, b))
            where = _first_difference(a, b, TOLERANCE)
            if where is None:
                continue
            if self.read:
                pass
            elif wires_a is not None and wires_b is not None:
                where = _first_difference(wires_a, wires_b, TOLERANCE)
                if where is None or (self.far and not np.isfinite(wires_a[where] - wires_b[where])):
                    continue
            elif self.left.tolerance > TOLERANCE or self.right.tolerance > TOLERANCE:
                continue  # rounding, or an opaque operator beside it: not enough to tell
            position = ", ".join(map(str, where))
            return Counterexample(
                dict(sizes),
                dict(inputs),
                f"output {number}[{position}]: {self.left.name} gives {_show(a[where])}, "
                f"{self.right.name} gives {_show(b[where])}",
            )
        return None

    def _values(
        self, side: Side, sizes: Mapping[str, int], inputs: Tensors
    ) -> list[tuple[Floats, Floats | None]] | None:
        """Each output by PyTorch and by its wires (None where an operator is opaque)."""
        ran = _run(side, inputs)
        if ran is None:
            return None
        meant = side.evaluate(sizes, {k: v.numpy() for k, v in inputs.items()})
        values: list[tuple[Floats, Floats | None]] = []
        for array, own in zip(ran, meant, strict=True):
            if own is not None and not _agree(array, own, side.tolerance):
                self.mismatch = f"the wires of {side.name} disagree with PyTorch at sizes {sizes}"
            values.append((array, own))
        return values

    def _changes(self, found: Counterexample) -> bool:
        """Whether a program, run again and again, gives something else: then it is no function."""
        for side in (self.left, self.right):
            first = _run(side, found.inputs)
            end = time.perf_counter() + SECONDS_TO_RUN
            again = (
                _run(side, found.inputs)
                for k in range(1, RUNS)
                if k < FEW_RUNS or time.perf_counter() < end
            )
            if not all(_are_alike(first, run) for run in again):
                self.impure = f"{side.name} gives something else when it is run again"
        if not self.impure and self.differ_at(found.sizes, found.inputs) is None:
            self.impure = "the programs give something else when they are run again"
        return bool(self.impure)

    # Making it small ------------------------------------------------------------------------

    def shrink(self, found: Counterexample) -> Counterexample:
        """Smaller sizes, then rounder inputs, as long as the programs still differ.

        Large programs take long to run: after a while the smallest found so far has to do.
        """
        best = found
        improved = True
        deadline = time.perf_counter() + SECONDS_TO_SHRINK
        while improved:
            improved = False
            for name in self.names():
                least = self.context.least(name)
                while best.sizes[name] - least > MANY:
                    middle = (least + best.sizes[name]) // 2
                    smaller_one = self._smaller(best, name, middle, deadline)
                    least = middle + 1 if smaller_one is None else least
                    best, improved = smaller_one or best, improved or smaller_one is not None
                for smaller in range(least, best.sizes[name]):
                    smaller_one = self._smaller(best, name, smaller, deadline)
                    if smaller_one is not None:
                        best, improved = smaller_one, True
                        break
        for digits in (0, 1, 2):
            if time.perf_counter() > deadline:
                break
            rounded = {
                k: v.mul(10**digits).round().div(10**digits).add(0.0)
                if v.is_floating_point() and k not in self.fixed
                else v
                for k, v in best.inputs.items()
            }
            simpler = self.differ_at(best.sizes, rounded)
            if simpler is not None:
                return simpler
        return best

    def _smaller(
        self, found: Counterexample, name: str, extent: int, deadline: float
    ) -> Counterexample | None:
        """A counterexample where one size is ``extent``, if one turns up in time."""
        sizes = {**found.sizes, name: extent}
        if not self.allowed(sizes):
            return None
        tried = (self.differ(sizes, seed) for seed in range(4) if time.perf_counter() < deadline)
        return next((t for t in tried if t is not None), None)


def _run(side: Side, inputs: Tensors) -> list[Floats] | None:
    """The outputs by PyTorch; None where the program raises anything, at sizes that it refuses."""
    import torch

    try:
        with torch.no_grad():
            return [t.double().numpy() for t in side.run(inputs)]
    except (Exception, SystemExit):
        return None


def _are_alike(first: Sequence[Floats] | None, second: Sequence[Floats] | None) -> bool:
    """Whether two runs gave the same."""
    if first is None or second is None:
        return first is second
    return len(first) == len(second) and all(
        _first_difference(a, b, TOLERANCE) is None for a, b in zip(first, second, strict=True)
    )


def impose(text: str, inputs: dict[str, Any], generator: Any = None) -> None:
    """Change inputs so that a named condition holds.

    Known: ``every row of X has a True`` and ``X is 0 or 1``.
    """
    import torch

    if row := re.fullmatch(r"every row of (\S+) has a True", text.strip()):
        mask = inputs.get(row[1])
        if mask is not None and mask.numel():
            live = torch.randint(mask.shape[-1], (*mask.shape[:-1], 1), generator=generator)
            mask.scatter_(-1, live, True if mask.dtype == torch.bool else 1.0)
    elif zero_one := re.fullmatch(r"(\S+) is 0 or 1", text.strip()):
        mask = inputs.get(zero_one[1])
        if mask is not None:
            inputs[zero_one[1]] = (mask > 0).to(mask.dtype)


def _agree(ran: Floats, own: Floats, tolerance: float) -> bool:
    """Whether PyTorch and the wires agree, where both are defined.

    The undefined of the calculus need not be NaN in PyTorch (1/0 is inf there), so a place where
    the wires are undefined says nothing; a NaN where the wires are defined does.
    """
    if ran.shape != own.shape:
        return False
    both = np.isfinite(ran) & np.isfinite(own)
    scale = 1 + np.max(np.abs(own[both]), initial=0.0)
    if np.any(np.abs(ran[both] - own[both]) > tolerance * scale):
        return False
    return not np.any(np.isnan(ran) & np.isfinite(own))


def _first_difference(a: Floats, b: Floats, tolerance: float) -> tuple[int, ...] | None:
    """The first place where two arrays differ, also where just one of them is NaN or −∞."""
    if a.shape != b.shape:
        return ()
    if not a.size:
        return None
    finite = np.isfinite(a) & np.isfinite(b)
    scale = 1 + np.max(np.abs(a[finite]), initial=0.0)
    with np.errstate(invalid="ignore"):
        differs = np.where(finite, np.abs(a - b) > tolerance * scale, False)
    differs |= np.isnan(a) & np.isfinite(b) | np.isfinite(a) & np.isnan(b)
    differs |= np.isneginf(a) & np.isfinite(b) | np.isfinite(a) & np.isneginf(b)
    places = np.argwhere(differs)
    return tuple(int(i) for i in places[0]) if len(places) else None


def _show(value: Any) -> str:
    return f"{float(value):.6g}"
