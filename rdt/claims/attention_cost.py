"""Multiply-adds that attention takes, counted from sizes: the paper's Section IV-D, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionCost:
    """Multiply-adds of one image in one layer of a visual encoder: attention, and the layer with its feed-forward."""

    attention: int
    layer: int


def self_attention_cost(n: int, dim: int, ffn: int) -> AttentionCost:
    """Cost of multi-head self-attention: Q, K, V and W^O (4 n d^2), scores and sums (2 n^2 d) of ``n`` tokens."""
    attention = 4 * n * dim**2 + 2 * n**2 * dim
    return AttentionCost(attention, attention + 2 * n * dim * ffn)


def ranking_attention_cost(n: int, dim: int, ffn: int, lambda_f: float, lambda_e: float) -> AttentionCost:
    """Cost of multi-head ranking attention as the paper writes it, Eq. 15-23, whatever the number of heads.

    ``n`` tokens of ``dim`` dimensions, ``ffn`` hidden units of the feed-forward; the shares of keys are in [0, 1].

    Q, K, V and W^O; the affinity that is ranked (Eq. 16); scores and weighted sum over the gathered keys of
    the two branches (Eq. 19, 22); the fusion of their outputs, 2 d -> d (Eq. 23). Ranking itself compares and
    multiplies nothing: n^2 log n comparisons, and the gathering copies.
    """
    from rdt.model.attention import key_counts  # and with it torch, which nothing else here needs

    keep, reuse_from = key_counts(n, lambda_f, lambda_e)
    gathered = keep + n - reuse_from
    attention = 4 * n * dim**2 + n**2 * dim + 2 * n * gathered * dim + 2 * n * dim**2
    return AttentionCost(attention, attention + 2 * n * dim * ffn)
