"""Ranking attention (Eq. 10-23): each query attends to its best keys, and again to its weakest ones.

The key sets of Eq. 17 and 20 are ranges of ranks. The paper gathers the keys and values of every query,
N times the memory of K and V; here the same sets mask the score matrix, which gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from rdt.draws import torch_seed
from rdt.model.attend import attend, plain_attention

Routing = Literal["per_query", "query0", "shared_heads"]
Fusion = Literal["concat", "add0.2"]
KeyChoice = Literal["ranked", "random"]
ADDED_SHARE = 0.2  # of O_E in fusion="add0.2"


def key_counts(n: int, lambda_f: float, lambda_e: float) -> tuple[int, int]:
    """K_F = floor(lambda_f n) of Eq. 17 and L_E = floor((1 - lambda_e) n), the first reused rank of Eq. 20.

    n: number of keys. 1e-6 is added before flooring, against (1 - 0.9) 50 = 4.99...; at least one key is
    kept, and reuse_from = n says that no key is reused. Raises ValueError for lambda_f outside (0, 1] or
    lambda_e outside [0, 1].
    """
    if not 0 < lambda_f <= 1:
        raise ValueError(f"lambda_f is a share of the keys in (0, 1], got {lambda_f}")
    if not 0 <= lambda_e <= 1:
        raise ValueError(f"lambda_e is a share of the keys in [0, 1], got {lambda_e}")
    return max(1, math.floor(lambda_f * n + 1e-6)), math.floor((1 - lambda_e) * n + 1e-6)


def _ranks(scores: Tensor) -> Tensor:
    """Rank of each key, 0 for the highest score; of equal scores the earlier key ranks higher. (..., N)."""
    order = torch.argsort(scores, dim=-1, descending=True, stable=True)
    positions = torch.arange(scores.shape[-1], device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, positions)


def _top_masks_by_threshold(scores: Tensor, counts: Sequence[int]) -> list[Tensor] | None:
    """``_top_masks`` by comparison with the sorted scores; None if two equal scores straddle a boundary."""
    n = scores.shape[-1]
    wide = (scores if scores.dtype == torch.float64 else scores.float()).numpy()  # numpy has no bfloat16
    ordered = np.sort(wide)
    masks = []
    for count in counts:
        if count <= 0 or count >= n:
            masks.append(torch.full_like(scores, count >= n, dtype=torch.bool))
            continue
        highest_out, lowest_in = ordered[..., n - count - 1], ordered[..., n - count]
        if (lowest_in == highest_out).any():
            return None
        masks.append(torch.from_numpy(wide >= lowest_in[..., None]))
    return masks


def _top_masks(scores: Tensor, counts: Sequence[int | Tensor]) -> list[Tensor]:
    """For each count, the mask of that many best keys of each query: bool, the shape of scores (..., N).

    Counts are integers, or integer tensors that broadcast to the scores. Every mask holds exactly its
    count, ties included. On a CPU thresholds are tried before ranks, since numpy sorts rows of 50 values
    some 15 times as fast as torch (and compares them ten times as fast); on other devices the test for ties
    would wait for the device.
    """
    if scores.device.type == "cpu" and all(isinstance(count, int) for count in counts):
        masks = _top_masks_by_threshold(scores, counts)
        if masks is not None:
            return masks
    ranks = _ranks(scores)
    return [ranks < count for count in counts]


@torch.no_grad()
def _key_sets(
    scores: Tensor,
    keep: int | Tensor,
    reuse_from: int | Tensor,
    routing: Routing,
    drop_last: bool,
    valid: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Forward and inverse key sets (Eq. 17, 20) as masks that broadcast to scores (B, H, N, N).

    Routing is no part of the graph: no gradient reaches the scores through the choice of keys.
    """
    if routing == "query0":
        scores = scores[:, :, :1]
    elif routing == "shared_heads":
        scores = scores.mean(1, keepdim=True)
    elif routing != "per_query":
        raise ValueError(f"routing is 'per_query', 'query0' or 'shared_heads', got {routing!r}")
    end: int | Tensor = scores.shape[-1]
    if valid is not None:  # padding holds the last ranks: the inverse set ends at each row's last valid key
        scores = torch.where(valid[:, None, None, :], scores, -math.inf)
        end = valid.sum(-1).view(-1, 1, 1, 1)
        keep, reuse_from = (torch.as_tensor(c, device=scores.device).view(-1, 1, 1, 1) for c in (keep, reuse_from))
        reuse_from = reuse_from.minimum(end - 1)
    if drop_last:  # but never the only reused key
        end = max(end - 1, reuse_from + 1) if isinstance(end, int) else (end - 1).maximum(reuse_from + 1)
    forward, before, *upto = _top_masks(scores, [keep, reuse_from] + [end] * (drop_last or valid is not None))
    if valid is not None:  # keep may be a number of keys that a row has not
        forward = forward & valid[:, None, None, :]
    return forward, upto[0] & ~before if upto else ~before


def ranked_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: int | Tensor,
    reuse_from: int | Tensor,
    *,
    routing: Routing = "per_query",
    drop_last: bool = False,
    order: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    training: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Forward- and inverse-ranking attention, Eq. 16-22: O_F and O_E, both of q's shape (B, H, N, d).

    keep: K_F, O_F attends to the keys of ranks 0..K_F-1. reuse_from: L_E, O_E to those of ranks L_E..N-1; O_E is
    None if L_E >= N. Keys are ranked per query and head by their scores, q k^T / sqrt(d), the earlier key first among
    equals, so that each set holds exactly its number of keys.

    routing: ``per_query`` is the paper's; ``query0`` uses the ranking of the first query of each head for all queries;
    ``shared_heads`` ranks by the scores' mean over heads. drop_last: O_E omits the very last rank (unless it is the
    only one). order: numbers that rank the keys in place of the scores, to whose shape they broadcast.
    key_padding_mask: bool (B, N), True for padding, which is never attended to; keep and reuse_from may then be (B,),
    counted on each row's valid keys, of which it needs one. dropout_p applies to both attention matrices if training.
    """
    n = k.shape[-2]
    if isinstance(keep, int) and not 1 <= keep <= n:
        raise ValueError(f"keep is a number of keys from 1 to {n}, got {keep}")
    inverse_absent = isinstance(reuse_from, int) and reuse_from >= n
    p = dropout_p if training else 0.0
    valid = None if key_padding_mask is None else ~key_padding_mask
    if inverse_absent and isinstance(keep, int) and keep >= n:
        return plain_attention(q, k, v, None if valid is None else valid[:, None, None, :], p), None

    def choose(scores: Tensor) -> Sequence[Tensor | None]:
        sets = _key_sets(scores if order is None else order, keep, reuse_from, routing, drop_last, valid)
        return sets[:1] if inverse_absent else sets

    return (*attend(q, k, v, choose, p), None)[:2]


class RankingAttention(nn.Module):
    """Multi-head ranking attention, Eq. 10-23: (B, N, dim) -> (B, N, dim).

    lambda_f: share of keys kept, in (0, 1]. lambda_e: share reused by the inverse branch, in [0, 1].
    fusion: ``concat`` is Linear(2 dim -> dim) on [O_F, O_E] of all heads (Eq. 23); ``add0.2`` is
    O_F + 0.2 O_E. W^O of Eq. 10 follows. With lambda_e = 0 there is no inverse branch and nothing to
    fuse; with lambda_f = 1 besides, this is plain multi-head self-attention. See ``ranked_attention``
    for routing, drop_last_key and dropout.

    keys: ``random`` keeps as many keys as ``ranked`` does, each query and head by a random order of its own: whether
    ranking matters, or that keys are left out. In training the order is drawn anew for each image at each step, so
    that no key is any query's for good; else it is one order for all images, the same in each network, so that a
    caption is reproducible. layer: the place in the stack, which keys these draws.

    Raises ValueError if a share is out of range, num_heads does not divide dim, or a name is unknown.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        lambda_f: float = 0.75,
        lambda_e: float = 0.55,
        routing: Routing = "per_query",
        fusion: Fusion = "concat",
        dropout: float = 0.1,
        drop_last_key: bool = False,
        keys: KeyChoice = "ranked",
        layer: int = 0,
    ) -> None:
        super().__init__()
        key_counts(1, lambda_f, lambda_e)  # checks the ranges
        if dim % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide dim={dim}")
        if routing not in ("per_query", "query0", "shared_heads"):
            raise ValueError(f"routing is 'per_query', 'query0' or 'shared_heads', got {routing!r}")
        if fusion not in ("concat", "add0.2"):
            raise ValueError(f"fusion is 'concat' or 'add0.2', got {fusion!r}")
        self.num_heads, self.lambda_f, self.lambda_e = num_heads, lambda_f, lambda_e
        if keys not in ("ranked", "random"):
            raise ValueError(f"keys is 'ranked' or 'random', got {keys!r}")
        self.routing, self.dropout, self.drop_last_key = routing, dropout, drop_last_key
        self.keys, self.layer = keys, layer
        self.qkv = nn.Linear(dim, 3 * dim)  # W^q, W^k, W^v of Eq. 15, all heads at once
        self.fuse = nn.Linear(2 * dim, dim) if fusion == "concat" and lambda_e > 0 else None
        self.out = nn.Linear(dim, dim)  # W^O

    def _counts(self, n: int, key_padding_mask: Tensor | None) -> tuple[int | Tensor, int | Tensor]:
        """K_F and L_E of ``ranked_attention``: two numbers, or (B,) each where rows differ in length."""
        counts = key_counts(n, self.lambda_f, self.lambda_e)
        if key_padding_mask is None:
            return counts
        lengths = (~key_padding_mask).sum(-1)
        table = torch.tensor([key_counts(m, self.lambda_f, self.lambda_e) for m in range(n + 1)], device=lengths.device)
        keep, reuse_from = table[lengths].unbind(-1)
        return counts[0] if self.lambda_f == 1 else keep, counts[1] if self.lambda_e == 0 else reuse_from

    def _order(self, x: Tensor) -> Tensor | None:
        """Random numbers that rank the keys, (B or 1, H, N, N); None where scores rank them.

        In training they are keyed by the framework's seed, which the loop sets at each step, and take nothing from its
        stream: all other draws are those of ``ranked``. On any device they are drawn on the CPU.
        """
        if self.keys == "ranked":
            return None
        images, seed = (len(x), torch.initial_seed()) if self.training else (1, 0)
        rng = torch.Generator().manual_seed(torch_seed(seed, "keys", self.layer, int(self.training)))
        drawn = torch.empty(images, self.num_heads, x.shape[1], x.shape[1])
        return drawn.uniform_(generator=rng).to(x.device)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """x: (B, N, dim); key_padding_mask: bool (B, N), True for padding. Returns (B, N, dim)."""
        B, N, dim = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        o_f, o_e = ranked_attention(
            q,
            k,
            v,
            *self._counts(N, key_padding_mask),
            routing=self.routing,
            drop_last=self.drop_last_key,
            order=self._order(x),
            key_padding_mask=key_padding_mask,
            dropout_p=self.dropout,
            training=self.training,
        )
        if o_e is not None and self.fuse is not None:  # all heads of O_F come first
            heads = torch.cat([o_f, o_e], 1)
            return self.out(self.fuse(heads.transpose(1, 2).flatten(2)))
        fused = o_f if o_e is None else o_f + ADDED_SHARE * o_e
        return self.out(fused.transpose(1, 2).reshape(B, N, dim))
