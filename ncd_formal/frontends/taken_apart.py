"""Functions of PyTorch that a trace cannot follow at every size, by others that it can.

Their own implementations make numbers of symbolic sizes, so that a program that calls one would be
known at a single size.  While a program is traced they are replaced, however it calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def kron(input: Tensor, other: Tensor) -> Tensor:
    """``out[i·p + k, j·q + l] = input[i, j] · other[k, l]``, at any rank."""
    rank = max(input.ndim, other.ndim)
    left = input.reshape((1,) * (rank - input.ndim) + tuple(input.shape))
    right = other.reshape((1,) * (rank - other.ndim) + tuple(other.shape))
    shape = [a * b for a, b in zip(left.shape, right.shape, strict=True)]
    for k in range(rank):
        left, right = left.unsqueeze(2 * k + 1), right.unsqueeze(2 * k)
    return (left * right).reshape(shape)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with the other dimensions broadcast; of all values where no dimension is given."""
    if dim is None:
        return input.flatten().gather(0, indices.flatten())
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "take_along_dim: input and indices have different numbers of dimensions: "
            f"{input.ndim} and {indices.ndim}"
        )
    dim = _dimension("take_along_dim", input, dim)

    def beside(tensor: Tensor) -> Sequence[int]:
        return [1 if k == dim else extent for k, extent in enumerate(tensor.shape)]

    common = torch.broadcast_shapes(beside(input), beside(indices))

    def spread(tensor: Tensor) -> Tensor:
        extents = [tensor.shape[dim] if k == dim else extent for k, extent in enumerate(common)]
        return tensor.expand(extents)

    return spread(input).gather(dim, spread(indices))


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``out[o] = Σ_i Σ_j input1[i] · weight[o, i, j] · input2[j] + bias[o]``."""
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError("bilinear: the inputs have different sizes before their last dimension")
    product = torch.einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else product + bias


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows as reads at affine positions, where their width or their step is symbolic."""
    if isinstance(size, int) and isinstance(step, int):
        return self.unfold(dimension, size, step)
    dimension = _dimension("unfold", self, dimension)
    torch._check(size <= self.shape[dimension], lambda: "unfold: windows are too long")
    torch._check(step > 0, lambda: "unfold: the step must be positive")
    count = (self.shape[dimension] - size) // step + 1
    positions = torch.arange(count)[:, None] * step + torch.arange(size)
    return self.movedim(dimension, -1)[..., positions].movedim(-2, dimension)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices, whose order of computing depends on their sizes."""
    inner = any(t.ndim != 2 for t in tensors[1:-1])
    if len(tensors) < 2 or inner or max(tensors[0].ndim, tensors[-1].ndim) > 2:
        raise RuntimeError("multi_dot: takes two tensors or more, matrices but for its ends")
    return reduce(torch.matmul, tensors)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The norm of each group of channels, where the number of groups is symbolic."""
    if isinstance(num_groups, int):
        return F.group_norm(input, num_groups, weight, bias, eps)
    torch._check(
        input.shape[1] % num_groups == 0,
        lambda: "group_norm: the groups do not divide the channels",
    )
    if input.numel() // num_groups == 1:
        raise ValueError("Expected more than 1 value per channel when training")
    groups = input.reshape(input.shape[0], num_groups, -1)
    spread, mean = torch.var_mean(groups, -1, correction=0, keepdim=True)
    result = ((groups - mean) * torch.rsqrt(spread + eps)).reshape(input.shape)
    beside = [1] * (input.ndim - 2)
    if weight is not None:
        result = result * weight.reshape(-1, *beside)
    return result if bias is None else result + bias.reshape(-1, *beside)


def _dimension(function: str, tensor: Tensor, dimension: int) -> int:
    """A dimension counted from the first."""
    if not -tensor.ndim <= dimension < tensor.ndim:
        raise IndexError(f"{function}: no dimension {dimension} in {tensor.ndim} of them")
    return dimension % tensor.ndim


REPLACED: Mapping[Any, Callable[..., Tensor]] = {
    torch.kron: kron,
    torch.Tensor.kron: kron,
    torch.take_along_dim: take_along_dim,
    torch.Tensor.take_along_dim: take_along_dim,
    torch.bilinear: bilinear,
    torch.Tensor.unfold: unfold,
    torch.linalg.multi_dot: multi_dot,
    F.group_norm: group_norm,
}


class TakenApart(TorchFunctionMode):
    """Inside, the functions of :data:`REPLACED` are called in their place."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return REPLACED.get(func, func)(*args, **(kwargs or {}))
