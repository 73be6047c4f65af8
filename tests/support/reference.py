"""Slow, literal versions of the paper's formulas, for tests and benchmarks to compare with."""

from __future__ import annotations

import torch
from torch import Tensor


def gather_attention(q: Tensor, k: Tensor, v: Tensor, ranks: Tensor) -> Tensor:
    """Eq. 18-19 (or 21-22): each query gathers its own keys and values, then attends to them.

    q, k, v: (B, H, N, d); ranks: indices (B, H, N, K) of the keys of each query. Returns (B, H, N, d).
    """
    B, H, N, d = k.shape
    index = ranks.unsqueeze(-1).expand(*ranks.shape, d)
    own_k = k.unsqueeze(2).expand(B, H, N, N, d).gather(3, index)  # (B, H, N, K, d)
    own_v = v.unsqueeze(2).expand(B, H, N, N, d).gather(3, index)
    weights = (torch.einsum("bhnd,bhnkd->bhnk", q, own_k) / d**0.5).softmax(-1)
    return torch.einsum("bhnk,bhnkd->bhnd", weights, own_v)


def gather_ranked_attention(q: Tensor, k: Tensor, v: Tensor, keep: int, reuse_from: int) -> tuple[Tensor, Tensor]:
    """Ranking attention as Eq. 16-22 write it: rank all keys (Eq. 16), slice (17, 20), gather, attend."""
    affinity = q.detach() @ k.detach().transpose(-2, -1)
    ranks = torch.argsort(affinity, dim=-1, descending=True, stable=True)
    return gather_attention(q, k, v, ranks[..., :keep]), gather_attention(q, k, v, ranks[..., reuse_from:])


def masked_attention(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, kept: Tensor) -> Tensor:
    """Softmax over the keys (bool, like the scores) of each query, its weights times ``kept``, times the values."""
    scores = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).masked_fill(~keys, -torch.inf)
    return (scores.softmax(-1) * kept) @ v
