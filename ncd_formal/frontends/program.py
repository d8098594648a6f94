"""What every way into the calculus yields: arrays, with what importing them took for granted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ncd_formal.arrays import Array
from ncd_formal.frontends.shapes import Declaration, size_names

if TYPE_CHECKING:
    import torch

    from ncd_formal.conditions import Context


@dataclass(frozen=True)
class Program:
    """An imported program: a function from its inputs and parameters to its outputs."""

    name: str
    outputs: tuple[Array, ...]
    """The tensors that it returns, flattened."""
    output_structure: str
    """How they are returned: ``"*"``, ``"(*, *)"``, ``"{'logits': *, 'loss': None}"``."""
    inputs: Mapping[str, Declaration]
    """In the order of the call."""
    parameters: Mapping[str, Declaration]
    """Parameters, buffers and larger constants by qualified name; their shapes are numbers.

    A constant is named after its content, so that equal names are equal tensors.
    """
    buffers: frozenset[str]
    """The parameters that are buffers or constants: no training changes them."""
    tensors: Mapping[str, torch.Tensor]
    """The values of ``parameters``."""
    conditions: tuple[str, ...]
    """What the import relies on: sizes (``"sizes: n >= 2"``), conversions, indices in range."""
    opaque: tuple[str, ...]
    """The operators that are known only by name, each with its line: ``"sort at model.py:12"``."""
    execute: Callable[[Mapping[str, torch.Tensor]], tuple[torch.Tensor, ...]]

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of the sizes of the inputs, in order."""
        return size_names(self.inputs.values())

    def run(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Execute the original program in float64 and return its tensors, flattened.

        ``tensors`` holds a tensor for every input, of any sizes that fit the declarations, and may
        hold others for parameters.

        Errors: InputError for an input without a tensor; whatever the program itself raises.
        """
        return self.execute(tensors)


@runtime_checkable
class ProgramSource(Protocol):
    """A target that knows its own arrays, such as a morphism."""

    def to_program(self, inputs: Mapping[str, Declaration], context: Context) -> Program:
        """The program on the declared inputs.

        Errors: InputError for inputs that do not fit.
        """
        ...
