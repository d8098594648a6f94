"""Attention, written three ways in ordinary PyTorch.

Queries are (b, h, n, d), keys and values (b, h, m, d).
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Weighs the values by the softmax of the scores, as defined, with n × m scores in memory."""
    scores = torch.matmul(q, k.transpose(-2, -1)) / q.shape[-1] ** 0.5
    return torch.matmul(torch.softmax(scores, dim=-1), v)


def library_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Leaves it to PyTorch."""
    return scaled_dot_product_attention(q, k, v)


def wrong_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Forgets to divide the scores by √d, which no test at d = 1 would notice."""
    scores = torch.matmul(q, k.transpose(-2, -1))
    return torch.matmul(torch.softmax(scores, dim=-1), v)
