"""Which grid cells a trained visual encoder attends to, layer by layer, and how many of them."""

from __future__ import annotations

import torch
from torch import Tensor

from rdt.experiment.settings import GRID_CELLS
from rdt.model.attention import ADDED_SHARE, RankingAttention, key_counts, ranked_attention
from rdt.model.visual import VisualEncoder


def attention_weights(layer: RankingAttention, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
    """Weights of the forward and of the inverse branch (Eq. 19, 22), each (B, H, N, N); None for an absent branch.

    ``tokens`` (B, N, dim) enter the layer. A row holds one query's weights, which sum to 1; it has no dropout. They
    are what attention makes of values that are the unit vectors, so they come from the network's own code.
    """
    images, count, _ = tokens.shape
    q, k, _ = layer.qkv(tokens).view(images, count, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    unit = torch.eye(count, dtype=q.dtype, device=q.device).expand(images, layer.num_heads, count, count)
    counts = key_counts(count, layer.lambda_f, layer.lambda_e)
    return ranked_attention(q, k, unit, *counts, routing=layer.routing, drop_last=layer.drop_last_key)


@torch.no_grad()
def attention_maps(visual: VisualEncoder, grid: Tensor, global_: Tensor) -> Tensor:
    """Share of the attention that each grid cell gets in each encoder, (encoders, B, 49); a map sums to 1.

    ``grid`` (B, 49, D) and ``global_`` (B, E) are the features of B images. Mean over heads and queries; what the
    global vector gets is left out. The inverse branch counts as much as the forward one where a linear layer fuses
    them (Eq. 23), and as little as it is added with where they are added.
    """
    tokens = visual.embed(grid, global_)
    maps = []
    for block in visual.blocks:
        weights, inverse = attention_weights(block.attention, tokens)
        if inverse is not None:
            weights = weights + (ADDED_SHARE if block.attention.fuse is None else 1) * inverse
        cells = weights.mean((1, 2))[:, -GRID_CELLS:]
        maps.append(cells / cells.sum(-1, keepdim=True))
        tokens = block(tokens)
    return torch.stack(maps)


def attended_cells(maps: Tensor) -> Tensor:
    """Number of cells that attention is spread over, exp of its entropy: 1 for a single cell, C for all alike.

    ``maps`` (..., C) sum to 1 over the cells. Returns (...).
    """
    return torch.special.entr(maps).sum(-1).exp()
