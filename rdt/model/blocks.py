"""Transformer blocks of the captioner and its teacher: post-LN, ReLU, as in SCD-Net."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdt.model.attend import plain_attention
from rdt.model.attention import RankingAttention
from rdt.model.dropout import Dropout

LN_EPS = 1e-12  # in blocks; the embeddings use torch's 1e-5

KeyValue = tuple[Tensor, Tensor]
"""Keys and values, each (B, H, N, d)."""


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, N, H d) -> (B, H, N, d)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, N, d) -> (B, N, H d)."""
    return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Multi-head attention, Eq. 10-12, with keys and values that can be computed once and kept."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def keys(self, memory: Tensor) -> KeyValue:
        """(B, N, dim) -> keys and values."""
        k, v = self.key_value(memory).chunk(2, dim=-1)
        return split_heads(k, self.num_heads), split_heads(v, self.num_heads)

    def forward(self, x: Tensor, memory: KeyValue, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Attend from ``x`` (B, M, dim) to ``memory``; ``mask`` (B, 1, 1, N) is True where a key may be seen."""
        q = split_heads(self.query(x), self.num_heads)
        dropout = self.dropout if self.training else 0.0
        o = plain_attention(q, *memory, mask, dropout, causal)
        return self.out(merge_heads(o))


class FeedForward(nn.Module):
    """Residual, LN and FFN of Eq. 8-9, after an attention: (x, attended) -> block output."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim, eps=LN_EPS)
        self.inner = nn.Linear(dim, hidden)
        self.outer = nn.Linear(hidden, dim)
        self.norm_out = nn.LayerNorm(dim, eps=LN_EPS)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        z = self.norm_attention(x + self.dropout(attended))
        hidden = self.dropout(F.relu(self.inner(z)))
        return self.norm_out(z + self.dropout(self.outer(hidden)))


class VisualBlock(nn.Module):
    """One Ranking Visual Encoder, Eq. 8: (B, N, dim) -> (B, N, dim)."""

    def __init__(self, attention: RankingAttention, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = FeedForward(dim, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward(x, self.attention(x))


class SelfBlock(nn.Module):
    """One block of the Semantic Transformer: self-attention and FFN."""

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, hidden, dropout)

    def forward(self, x: Tensor, mask: Tensor, outputs: int) -> Tensor:
        """(n, M, dim) -> (n, outputs, dim): the first positions, each attending to all M."""
        wanted = x[:, :outputs]
        return self.feed_forward(wanted, self.attention(wanted, self.attention.keys(x), mask))


class SentenceBlock(nn.Module):
    """One block of the Sentence Decoder: self-attention, cross-attention to the visual tokens, FFN."""

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(dim, num_heads, dropout)
        self.norm = nn.LayerNorm(dim, eps=LN_EPS)
        self.dropout = Dropout(dropout)
        self.cross_attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, hidden, dropout)

    def forward(self, x: Tensor, visual: KeyValue, past: KeyValue | None = None, causal: bool = False) -> Tensor:
        """``x`` (n, L, dim), ``visual`` the keys of B images, n a multiple of B in image order.

        The captions of an image attend to the same keys and not to each other's queries, so they
        are laid side by side as one long query instead of repeating the keys. ``past`` replaces
        this block's own keys (and then includes the keys of ``x``).
        """
        keys = self.self_attention.keys(x) if past is None else past
        z = self.norm(x + self.dropout(self.self_attention(x, keys, causal=causal)))
        images = visual[0].shape[0]
        attended = self.cross_attention(z.reshape(images, -1, z.shape[-1]), visual)
        return self.feed_forward(z, attended.view_as(z))


def grow(past: KeyValue | None, new: KeyValue) -> KeyValue:
    """Append the keys and values of new positions (dimension 2)."""
    if past is None:
        return new
    return torch.cat([past[0], new[0]], dim=2), torch.cat([past[1], new[1]], dim=2)
