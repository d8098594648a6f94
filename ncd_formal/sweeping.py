"""Sweeping: two large programs proved equal array by array.

All arrays of both programs are evaluated on the same random inputs.  Going through the right
program in order, an array that is made in the same way from equal arrays is equal; one that holds
the same values as an array of the left program is a candidate, and is proved from the equal arrays
below both, whatever those hold.  So the obligations stay small, and obligations that are the same
up to names are proved once: the layers of a deep network cost about as much as one of them.

This is how equivalence checkers of circuits scale; what it yields is a :class:`Composition`.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Union

from ncd_formal.arrays import (
    Array,
    Concatenated,
    InputArray,
    IotaArray,
    NumberArray,
    OpaqueArray,
    Pointwise,
    Reduced,
    Regrouped,
    Reindexed,
    input_array,
    topological,
    with_sources,
)
from ncd_formal.certificate import Certificate, CertificateError, check_witness, written
from ncd_formal.composition import Composition, Step, inputs_of, kind_of
from ncd_formal.conditions import Context
from ncd_formal.elaboration import Elaboration, Output, elaborate
from ncd_formal.fingerprints import ByValue, Values, agree
from ncd_formal.semantics import Evaluator, NotExactError

log = logging.getLogger(__name__)

TOLERANCE = 1e-9
"""How far two values of float64 that count as the same may be apart, relative to the largest."""

OBLIGATION = 4000
"""Arrays that one obligation may be about."""

SHORT = 100
"""Arrays up to which an array that need not be a number is written out where it is read."""

SECONDS = 5.0
"""Time for one obligation on the way; the outputs have what is left."""

SECONDS_WITHOUT = 5.0
"""Processor time since the last step after which no more are looked for."""

Search = Callable[
    [Context, tuple[Output, Output], float, bool, Mapping[str, str]], Union[Certificate, None]
]
"""Looks for a proof of a pair, for so many seconds, with a search or by normal forms alone; it may
suppose something of inputs that are the programs' own, which have these names in the programs."""

Class = int
Leaf = Union[str, Class]
"""What an obligation reads: an input by name, or an array that both programs have."""


@dataclass(frozen=True)
class _Obligation:
    """Two arrays in terms of canonical inputs, and what those stand for."""

    key: str
    left: Array
    right: Array
    length: int
    """How many arrays it is about, beside masks and positions."""
    whole: tuple[Array, Array]
    """The two arrays in their programs."""
    leaves: tuple[tuple[str, Leaf, Array, Array], ...]
    """The canonical name, what it stands for, and the array of each program that it replaces."""


class Sweep:
    """A proof that two programs have the same outputs, step by step."""

    def __init__(
        self,
        programs: tuple[Sequence[Array], Sequence[Array]],
        context: Context,
        kinds: Mapping[str, str],
        samples: Sequence[Values],
        deadline: float,
        search: Search,
    ) -> None:
        self.outputs = programs
        self.context = context
        self.kinds = kinds
        self.samples = samples
        self.deadline = deadline
        self.search = search
        self.orders = (topological(programs[0]), topological(programs[1]))
        self.place_of = tuple({array: k for k, array in enumerate(o)} for o in self.orders)
        self.class_of: dict[Array, Class] = {}
        self.made: dict[tuple[object, ...], Class] = {}
        self.member: tuple[dict[Class, Array], dict[Class, Array]] = ({}, {})
        self.uses: dict[Class, int] = {}
        self.data: dict[Class, bool] = {}
        self.written_out: set[Class] = set()
        self.steps: list[Step] = []
        self.step_of: dict[Class, int] = {}
        self.alike: dict[int, list[int]] = {}
        self.parts: list[Certificate] = []
        self.part_of: dict[str, int | None] = {}
        self.kind_of: dict[int, str] = {}
        self.wires_of: dict[str, Elaboration] = {}
        self.reason = ""
        self._found_at = 0.0

    def composition(
        self, conditions: Sequence[str], about: Mapping[str, object]
    ) -> Composition | None:
        """The proof, or None with ``reason`` saying how far it came."""
        if not self.samples:
            self.reason = "no sizes are known at which the programs can be compared"
            return None
        left, right = self.orders
        for array in left:
            self._classify(array, 0)
        by_value = self._index(left)
        self._found_at = time.process_time()
        for count, array in enumerate(right):
            if time.perf_counter() > self.deadline:
                self.reason = "the time ran out while sweeping"
                return None
            if time.process_time() > self._found_at + SECONDS_WITHOUT:
                break
            self._classify(array, 1, by_value)
            if count % 50 == 49:
                log.info("settled %d of %d arrays, to %s", count + 1, len(right), array.origin)
        ends: list[int] = []
        for number, (a, b) in enumerate(zip(*self.outputs, strict=True)):
            same = all(agree(v.of[a], v.of[b], TOLERANCE) for v in self.samples)
            if b not in self.class_of:
                self.reason = self._parting(number)
                return None
            known = self.class_of[a] == self.class_of[b]
            if not same or not (known or self._prove(a, b, search=True)):
                self.reason = self._parting(number)
                return None
            step = self._define(self.class_of[a], a, b)
            if step is None:
                self.reason = "the sweep could not say what an output is made of"
                return None
            ends.append(step)
        return self._needed(ends, conditions, about)

    def confirms(self, composition: Composition) -> bool:
        """Whether a composition is about these programs: its steps make their arrays.

        Follows the steps in their order, searching for nothing: an array of one program counts as
        one of the other where both are made in the same way, or a step says so.
        """
        left, right = self.orders
        for array in left:
            self._classify(array, 0)
        reached = 0

        def reach(place: int) -> None:
            nonlocal reached
            for array in right[reached:place]:
                self._classify(array, 1)
            reached = max(reached, place)

        for number, step in enumerate(composition.steps):
            if step.places[0] >= len(left) or step.places[1] >= len(right):
                return False
            a, b = left[step.places[0]], right[step.places[1]]
            reach(step.places[1])
            if b not in self.class_of:
                self._classify(b, 1)
                reached = step.places[1] + 1
            below = {c for c, k in self.step_of.items() if k in step.reads.values()}
            obligation = self._obligation(a, b, below)
            part = composition.parts[step.part]
            if obligation is None or not self._states(obligation, part, step):
                return False
            self.parts.append(part)
            self.kind_of[number] = kind_of(part)[0]
            self.steps.append(replace(step, part=number))
            self._unite(a, b)
            self.step_of.setdefault(self.class_of[a], number)
        reach(len(right))
        ends = [self.step_of.get(self.class_of[a]) for a in self.outputs[0]]
        same = all(self.class_of[a] == self.class_of[b] for a, b in zip(*self.outputs, strict=True))
        return same and tuple(ends) == composition.outputs

    def _states(self, obligation: _Obligation, part: Certificate, step: Step) -> bool:
        """Whether a part is about an obligation, and reads what its step says."""
        elaboration = self._elaborated(obligation)
        (left,), (right,) = elaboration.programs
        used = elaboration.context.inputs
        reads = {
            name: leaf if isinstance(leaf, str) else self.step_of[leaf]
            for name, leaf, _, _ in obligation.leaves
            if name in used
        }
        goal, own = part.goals[0], part.context
        return (
            reads == step.reads
            and (goal.left, goal.right) == (left.term, right.term)
            and goal.layout == left.layout == right.layout
            and all(own.axes.get(a) is e for a, e in elaboration.context.axes.items())
            and all(own.inputs[n] == self._leaf_kind(leaf) for n, leaf, _, _ in obligation.leaves
                    if n in used)
        )  # fmt: skip

    def _unite(self, a: Array, b: Array) -> None:
        """From here on the array b of the right program counts as a."""
        key = (*description(b), *(self.class_of[s] for s in b.sources))
        self.made[key] = self.class_of[b] = self.class_of[a]
        self.member[1].setdefault(self.class_of[a], b)

    def _needed(
        self, ends: Sequence[int], conditions: Sequence[str], about: Mapping[str, object]
    ) -> Composition:
        """The steps that the outputs rest on, and the parts that prove them."""
        needed, todo = set[int](), list(ends)
        while todo:
            step = todo.pop()
            if step not in needed:
                needed.add(step)
                todo += [s for s in self.steps[step].reads.values() if isinstance(s, int)]
                # Other arrays of the right program that count as this one, and why.
                todo += self.alike[self.steps[step].places[0]]
        kept = sorted(needed)
        new = {step: k for k, step in enumerate(kept)}
        parts = sorted({self.steps[step].part for step in kept})
        steps = [
            Step(
                parts.index(self.steps[step].part),
                {
                    name: new[source] if isinstance(source, int) else source
                    for name, source in self.steps[step].reads.items()
                },
                self.steps[step].places,
            )
            for step in kept
        ]
        names = {s for step in steps for s in step.reads.values() if isinstance(s, str)}
        return Composition(
            replace(self.context, inputs={name: self.kinds[name] for name in sorted(names)}),
            tuple(self.parts[part] for part in parts),
            tuple(steps),
            tuple(new[end] for end in ends),
            tuple(conditions),
            dict(about),
        )

    def _parting(self, number: int) -> str:
        """Where the two programs were last shown to agree on the way to an output."""
        common = [
            array
            for array in topological([self.outputs[1][number]])
            if array in self.class_of
            and self._may_be_read(array)
            and self.class_of[array] in self.member[0]
        ]
        if not common:
            return "no array of one program was shown to be an array of the other"
        last = common[-1]
        other = self.member[0][self.class_of[last]]
        return f"shown equal up to {other.origin} and {last.origin}, not beyond"

    # Classes of equal arrays ------------------------------------------------------------------

    def _classify(self, array: Array, side: int, by_value: ByValue | None = None) -> None:
        key = (*description(array), *(self.class_of[s] for s in array.sources))
        found = self.made.get(key)
        if found is None:
            found = self.made[key] = len(self.made)
            self.data[found] = (
                array.kind == "real"
                if isinstance(array, InputArray)
                else any(self.data[self.class_of[s]] for s in array.sources)
            )
            for source in {self.class_of[s] for s in array.sources}:
                self.uses[source] = self.uses.get(source, 0) + 1
            self.class_of[array] = found
            if by_value is not None and self._may_be_read(array):
                for candidate in self._candidates(array, by_value):
                    if self._prove(candidate, array):
                        self._unite(candidate, array)
                        break
                found = self.class_of[array]
        self.class_of[array] = found
        self.member[side].setdefault(found, array)

    def _may_be_read(self, array: Array) -> bool:
        """Masks and positions are written out where they are used: laws look into them."""
        real = array.kind == "real" and self.data[self.class_of[array]]
        return real and not isinstance(array, (InputArray, NumberArray, IotaArray))

    def _index(self, arrays: Iterable[Array]) -> ByValue:
        found = ByValue(self.samples, TOLERANCE)
        for array in arrays:
            if self._may_be_read(array):
                found.add(array)
        return found

    def _candidates(self, array: Array, by_value: ByValue) -> list[Array]:
        """Arrays of the left program with the same values, one of each class."""
        found: dict[Class, Array] = {}
        for other in by_value.alike(array):
            found.setdefault(self.class_of[other], other)
        return list(found.values())[:3]

    # Obligations ------------------------------------------------------------------------------

    def _prove(self, a: Array, b: Array, search: bool = False) -> bool:
        """Prove a = b from what both are made of, and record the step."""
        while True:
            shared = self._shared(a, b)
            before = len(self.written_out)
            if None in [self._define(c) for c in shared]:
                return False
            if len(self.written_out) == before:
                return self._record(a, b, set(shared), search) is not None

    def _shared(self, a: Array, b: Array) -> list[Class]:
        """The nearest arrays below a and b that both programs have, and both sides here read."""
        opened: set[Class] = set()
        for _ in range(40):
            sides = [self._frontier(root, opened) for root in (a, b)]
            lone = set(sides[0]) ^ set(sides[1])
            if not lone:
                return list(sides[0])
            opened |= lone
        return [c for c in sides[0] if c in sides[1]]

    def _frontier(self, root: Array, opened: set[Class]) -> dict[Class, None]:
        found: dict[Class, None] = {}
        seen: set[Array] = set()
        stack = list(root.sources)
        while stack and len(seen) < OBLIGATION:
            array = stack.pop()
            if array in seen:
                continue
            seen.add(array)
            c = self.class_of[array]
            if c not in opened and self._is_shared(array):
                found[c] = None
            else:
                stack.extend(array.sources)
        return found

    def _is_shared(self, array: Array) -> bool:
        c = self.class_of[array]
        both = c in self.member[0] and c in self.member[1]
        if not both or c in self.written_out or not self._may_be_read(array):
            return False
        view = isinstance(array, (Reindexed, Regrouped))
        return not (view and self._is_shared(array.sources[0]))

    def _define(self, c: Class, a: Array | None = None, b: Array | None = None) -> int | None:
        """The step that makes an array which both programs have."""
        known = self.step_of.get(c)
        if known is not None:
            return known
        a, b = a or self.member[0][c], b or self.member[1][c]
        while True:
            below = self._below(a) | self._below(b)
            before = len(self.written_out)
            for other in sorted(below):
                if self._define(other) is None:
                    return None
            if len(self.written_out) == before:
                return self._record(a, b, below, search=True)

    def _below(self, root: Array) -> set[Class]:
        """The nearest arrays below that are steps, or that should be: several are made of them."""
        below: set[Class] = set()
        stack, seen = list(root.sources), set[Array]()
        while stack and len(seen) < OBLIGATION:
            array = stack.pop()
            if array in seen:
                continue
            seen.add(array)
            c = self.class_of[array]
            if self._is_shared(array) and (c in self.step_of or self.uses.get(c, 0) > 1):
                below.add(c)
            else:
                stack.extend(array.sources)
        return below

    def _record(self, a: Array, b: Array, below: set[Class], search: bool) -> int | None:
        obligation = self._obligation(a, b, below)
        if obligation is None:
            return None
        known = self.part_of.get(obligation.key)
        if known is None and (search or obligation.key not in self.part_of):
            self.part_of[obligation.key] = self._part(obligation, search)
        part = self.part_of[obligation.key]
        if part is None:
            return None
        reads: dict[str, str | int] = {}
        own = self.parts[part].context.inputs
        for name, leaf, _, _ in obligation.leaves:
            if name in own:
                reads[name] = leaf if isinstance(leaf, str) else self.step_of[leaf]
        self._found_at = time.process_time()
        place = self.place_of[0][a]
        self.alike.setdefault(place, []).append(len(self.steps))
        self.steps.append(Step(part, reads, (place, self.place_of[1][b])))
        if self.kind_of[part] in {"extended", "partial", "any"} and obligation.length <= SHORT:
            # Where it is −∞ or undefined matters to what reads it, which looks into it.
            self.written_out.add(self.class_of[a])
        return self.step_of.setdefault(self.class_of[a], len(self.steps) - 1)

    def _obligation(self, a: Array, b: Array, below: set[Class]) -> _Obligation | None:
        """Both arrays with what they read under canonical names, and a key of all that."""
        names: dict[Leaf, str] = {}
        leaves: dict[str, tuple[Leaf, list[Array]]] = {}
        made: dict[Array, Array] = {}
        numbers: dict[Array, int] = {}
        text: list[object] = []
        total = length = 0
        for side, root in enumerate((a, b)):
            stack = [(root, False)]
            while stack:
                array, ready = stack.pop()
                if array in made:
                    continue
                c = self.class_of[array]
                leaf: Leaf | None = None
                if isinstance(array, InputArray):
                    leaf = array.name
                elif c in below and array is not root:
                    leaf = c
                if leaf is None and not ready:
                    total += 1
                    length += self.data[c]
                    if total > OBLIGATION:
                        return None
                    stack.append((array, True))
                    stack.extend((s, False) for s in reversed(array.sources))
                    continue
                if leaf is not None:
                    name = names.setdefault(leaf, f"x{len(names)}")
                    kind = self._leaf_kind(leaf)
                    made[array] = input_array(name, array.shape, array.kind)
                    leaves.setdefault(name, (leaf, []))[1].append(array)
                    text.append((name, kind, tuple(map(str, array.shape)), array.kind))
                else:
                    made[array] = with_sources(array, [made[s] for s in array.sources])
                    text.append((*description(array), *(numbers[s] for s in array.sources)))
                numbers[array] = len(text)
            text.append(("side", side, numbers[root]))
        key = hashlib.sha256(repr(text).encode()).hexdigest()
        return _Obligation(
            key,
            made[a],
            made[b],
            length,
            (a, b),
            tuple((n, leaf, arrays[0], arrays[-1]) for n, (leaf, arrays) in leaves.items()),
        )

    def _leaf_kind(self, leaf: Leaf) -> str:
        if isinstance(leaf, str):
            return self.kinds[leaf]
        return self.kind_of[self.steps[self.step_of[leaf]].part]

    def _part(self, obligation: _Obligation, search: bool) -> int | None:
        """The certificate of an obligation, whatever its inputs hold."""
        elaboration = self._elaborated(obligation)
        used = elaboration.context.inputs
        kinds = {n: self._leaf_kind(leaf) for n, leaf, _, _ in obligation.leaves if n in used}
        context = replace(elaboration.context, inputs=kinds)
        (left,), (right,) = elaboration.programs
        if not self._cross_check(obligation, context, left, right):
            return None
        seconds = self.deadline - time.perf_counter()
        if not search:
            seconds = min(seconds, SECONDS)
        own = {n: leaf for n, leaf, _, _ in obligation.leaves if isinstance(leaf, str)}
        certificate = self.search(context, (left, right), seconds, search, own)
        if certificate is not None and certificate.hypotheses:
            certificate = self._with_example(certificate, obligation)
        if certificate is None:
            return None
        self.parts.append(certificate)
        self.kind_of[len(self.parts) - 1] = kind_of(certificate)[0]
        return len(self.parts) - 1

    def _with_example(
        self, certificate: Certificate, obligation: _Obligation
    ) -> Certificate | None:
        """The certificate with inputs of which its hypotheses hold; None where no sample is one."""
        supposed = set(inputs_of(certificate.hypotheses))
        for values in self.samples:
            example = {
                name: written(values.of[array])
                for name, _, array, _ in obligation.leaves
                if name in supposed
            }
            sizes = {**certificate.witness, **values.sizes}
            shown = replace(certificate, witness=sizes, example=example)
            with suppress(CertificateError):
                check_witness(shown)
                return shown
        return None

    def _elaborated(self, obligation: _Obligation) -> Elaboration:
        """The wires of both arrays: the same for obligations of one key."""
        known = self.wires_of.get(obligation.key)
        if known is None:
            known = elaborate([[obligation.left], [obligation.right]], self.context)
            self.wires_of[obligation.key] = known
        return known

    def _cross_check(
        self, obligation: _Obligation, context: Context, left: Output, right: Output
    ) -> bool:
        """Whether the wires compute what the arrays do, on what the arrays hold."""
        values = self.samples[0]
        inputs = {name: values.of[array] for name, _, array, _ in obligation.leaves}
        evaluator = Evaluator(context, values.sizes, inputs)
        for output, array in ((left, obligation.whole[0]), (right, obligation.whole[1])):
            try:
                own = evaluator.output(output.term, output.layout)
            except NotExactError:
                continue
            if not agree(own, values.of[array], TOLERANCE):
                log.warning("the wires of %s are not its values", array.origin)
                return False
        return True


def description(array: Array) -> tuple[object, ...]:
    """What an array is, beside what it is made from and where it was written."""
    own: tuple[object, ...] = ()
    if isinstance(array, InputArray):
        own = (array.name,)
    elif isinstance(array, NumberArray):
        own = (str(array.value),)
    elif isinstance(array, Reindexed):
        rows = tuple(tuple(map(str, row)) for row in array.map.strides)
        own = (rows, tuple(map(str, array.map.offsets)))
    elif isinstance(array, Pointwise):
        own = (array.function,)
    elif isinstance(array, Reduced):
        own = (array.monoid, array.dimensions)
    elif isinstance(array, Concatenated):
        own = (array.dimension,)
    elif isinstance(array, OpaqueArray):
        own = (array.operator, array.seen)
    else:
        assert isinstance(array, (Regrouped, IotaArray))
    return (type(array).__name__, array.kind, tuple(map(str, array.shape)), *own)
