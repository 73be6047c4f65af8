"""Softmax attention over chosen keys, with its gradient by hand.

The branches of ranking attention share their scores and values, so they are stacked along the queries: one softmax
and one product serve both, and the gradients of both reach the values in one product. What autograd would do besides
(gradients of masks, of slices, sums of parts) takes a third of the time of the products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rdt.model.dropout import multipliers

Choice = Callable[[Tensor], Sequence[Tensor | None]]
"""From scores (B, H, M, N) to the keys of each branch: bool that broadcasts to the scores, None for all keys."""


def attend(q: Tensor, k: Tensor, v: Tensor, choose: Choice, dropout_p: float) -> tuple[Tensor, ...]:
    """For each branch of ``choose``, softmax(q k^T / sqrt(d)) over its keys, times v.

    q: (B, H, M, d); k: (B, H, N, d); v: (B, H, N, e). Dropout acts on the weights. No gradient runs through the choice.
    Softmax is taken in float32 at least. Returns tensors (B, H, M, e).
    """
    return _Attend.apply(q, k, v, choose, dropout_p)


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, causal: bool = False
) -> Tensor:
    """Attention to the keys where ``mask`` is True, or, if ``causal``, to those up to the query's own position.

    torch's own, but with dropout on a CPU, where torch would take the long way as well.
    """
    if dropout_p == 0 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p, is_causal=causal)
    if causal:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    return attend(q, k, v, lambda scores: [mask], dropout_p)[0]


def _times(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Batched product (n, ...) times a number, which costs nothing inside the product."""
    return torch.baddbmm(a.new_empty(()), a, b, beta=0, alpha=scale)


def _penalty(keys: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to the scores: 0 at ``keys``, else the lowest finite number (``where`` takes thrice as long)."""
    return keys.view(torch.uint8).to(dtype).sub_(1).mul_(torch.finfo(dtype).max)


class _Attend(torch.autograd.Function):
    """Matrices are (B H, rows, columns); the queries of s branches are s M rows."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, choose: Choice, dropout_p: float) -> tuple[Tensor, ...]:
        B, H, M, d = q.shape
        q, k, v = (x.reshape(B * H, *x.shape[2:]) for x in (q, k, v))
        scores = _times(q, k.transpose(1, 2), d**-0.5).view(B, H, M, -1)
        branches = choose(scores)
        stacked = scores.new_empty(B, H, len(branches), M, k.shape[1])
        for branch, keys in zip(stacked.unbind(2), branches, strict=True):
            torch.add(scores, 0 if keys is None else _penalty(keys, q.dtype), out=branch)
        weights = dropped = stacked.flatten(2, 3).softmax(-1, dtype=torch.promote_types(q.dtype, torch.float32))
        noise = None
        if dropout_p > 0:
            noise = multipliers(weights, dropout_p)
            dropped = weights * noise
        dropped = dropped.to(v.dtype).flatten(0, 1)
        ctx.save_for_backward(q, k, v, weights, noise, dropped)
        return torch.bmm(dropped, v).view(B, H, -1, M, v.shape[-1]).unbind(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, noise, dropped = ctx.saved_tensors
        B, H, M, width = gradients[0].shape
        upstream = torch.stack(gradients, 2).view(B * H, -1, width)
        of_v = torch.bmm(dropped.transpose(1, 2), upstream)
        of_weights = torch.bmm(upstream, v.transpose(1, 2)).to(weights.dtype).view_as(weights)
        if noise is not None:
            of_weights.mul_(noise)
        torch._softmax_backward_data(of_weights, weights, -1, weights.dtype, grad_input=of_weights)
        of_scores = reduce(Tensor.add_, of_weights.view(B * H, -1, M, weights.shape[-1]).unbind(1)).to(q.dtype)
        scale = q.shape[-1] ** -0.5
        of_q = _times(of_scores, k, scale)
        of_k = _times(of_scores.transpose(1, 2), q, scale)
        return *(x.view(B, H, -1, x.shape[-1]) for x in (of_q, of_k, of_v)), None, None
