"""Programs run in float64, whatever they are written in.

Inputs, parameters and buffers are handed over in float64.  What else a program makes or holds (a
tensor or a module of its closure) is made so here, where an operator meets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def in_float64() -> Iterator[None]:
    """Numbers without a dtype, those made float32, and quotients of whole numbers, are float64.

    So are float32 tensors from outside; those that the program changes in place are changed.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    outside = _Outside()
    try:
        with outside, _Double():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.set_default_dtype(default)
        outside.write_back()


def exact(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor, its reals in float64."""
    return tensor.double() if tensor.is_floating_point() else tensor.clone()


class _Double(TorchDispatchMode):
    """What a program makes float32 is float64, as all else is.

    The least float64, which a program masks with where it asks for the least number of its dtype,
    would be −∞ in float32.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("dtype") is torch.float32:
            kwargs = {**kwargs, "dtype": torch.float64}
        return func(*args, **kwargs)


class _Outside(TorchFunctionMode):
    """Tensors that the program holds in float32 are float64 wherever it uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.lifted: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(map(_may_hold_float32, (*args, *kwargs.values()))):
            args, kwargs = pytree.tree_map_only(torch.Tensor, self._lift, (args, kwargs))
        return func(*args, **kwargs)

    def _lift(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype is not torch.float32:
            return tensor
        if id(tensor) not in self.lifted:
            self.lifted[id(tensor)] = tensor, tensor.detach().double()
        return self.lifted[id(tensor)][1]

    def write_back(self) -> None:
        for tensor, copy in self.lifted.values():
            if copy._version:
                tensor.detach().copy_(copy)


def _may_hold_float32(argument: object) -> bool:
    if isinstance(argument, torch.Tensor):
        return argument.dtype is torch.float32
    return isinstance(argument, tuple | list | dict)
