"""Make a kernel's launcher an operator of PyTorch, with everything that PyTorch asks of one.

The definition that a kernel was derived from says all that is missing: run on tensors without data
it gives the shapes, run on a CPU it is the fallback, and its derivative is the kernel's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import CustomOpDef, custom_op, infer_schema  # type: ignore[attr-defined]

__all__ = ["register"]


def _differentiate(
    definition: Callable[..., Tensor], arguments: tuple[Any, ...], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of ``definition`` at ``arguments``: one for each, ``None`` where there is none.

    The definition is computed again, in float32 where the tensors are narrower.
    """
    inputs: list[Any] = []
    for argument in arguments:
        if isinstance(argument, Tensor) and argument.is_floating_point():
            wide = argument.detach().to(torch.promote_types(argument.dtype, torch.float32))
            argument = wide.requires_grad_()
        inputs.append(argument)
    sources = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    with torch.enable_grad():
        result = definition(*inputs)
    found = iter(torch.autograd.grad(result, sources, gradient.to(result.dtype), allow_unused=True))
    gradients: list[Tensor | None] = []
    for argument, wide in zip(arguments, inputs, strict=True):
        differentiable = isinstance(wide, Tensor) and wide.requires_grad
        part = next(found) if differentiable else None
        gradients.append(None if part is None else part.to(argument.dtype))
    return tuple(gradients)


def register(
    name: str,
    launch: Callable[..., Tensor],
    definition: Callable[..., Tensor],
    fallback: Callable[..., Tensor] | None = None,
) -> CustomOpDef:
    """Register ``launch`` as the operator ``name`` (``"namespace::operator"``) and return it.

    ``definition`` is the same function in plain PyTorch.  Its annotated signature becomes the
    operator's: tensors first, then parameters, with their defaults (attention's, say, is
    ``(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, is_causal: bool = False,
    enable_gqa: bool = False) -> Tensor``).  ``launch`` takes the same arguments, tensors at any
    strides, and returns a new contiguous tensor.

    On a GPU the operator launches the kernel; elsewhere it computes ``fallback``, or else the
    definition.  The backward pass recomputes the definition and differentiates it: correct for
    every definition, at the definition's cost in memory.

    Raises ``ValueError`` when the signature cannot be an operator's, as ``torch.library`` does.
    """
    elsewhere = definition if fallback is None else fallback

    def compute(*arguments: Any, **parameters: Any) -> Tensor:
        tensors = [x for x in (*arguments, *parameters.values()) if isinstance(x, Tensor)]
        chosen = launch if any(x.is_cuda for x in tensors) else elsewhere
        return chosen(*arguments, **parameters).contiguous()

    def allocate(*arguments: Any, **parameters: Any) -> Tensor:
        like = definition(*arguments, **parameters)
        return torch.empty(like.shape, dtype=like.dtype, device=like.device)

    def remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*(x for x in inputs if isinstance(x, Tensor)))
        ctx.parameters = tuple(None if isinstance(x, Tensor) else x for x in inputs)
        ctx.is_tensor = tuple(isinstance(x, Tensor) for x in inputs)

    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        arguments = tuple(
            next(saved) if is_tensor else parameter
            for is_tensor, parameter in zip(ctx.is_tensor, ctx.parameters, strict=True)
        )
        return _differentiate(definition, arguments, gradient)

    schema = infer_schema(definition, mutates_args=())
    operator = custom_op(name, compute, mutates_args=(), schema=schema)
    operator.register_fake(allocate)
    operator.register_autograd(backward, setup_context=remember)
    return operator
