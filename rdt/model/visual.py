"""From grid features to visual tokens: the embedding and the stacked Ranking Visual Encoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdt.experiment.settings import GRID_CELLS, Method, ModelSettings
from rdt.model.attention import RankingAttention
from rdt.model.blocks import VisualBlock
from rdt.model.dropout import Dropout

POSITION_STD = 0.02  # trunc-normal start of the position table


class VisualEncoder(nn.Module):
    """CLIP-style features -> visual tokens V^ of Eq. 8.

    ``grid`` (B, 49, D) and ``global_`` (B, E) -> (B, N, dim), N = 50 with the global vector as CLS
    token, else 49.
    """

    def __init__(self, sizes: ModelSettings, method: Method, grid_dim: int, global_dim: int) -> None:
        super().__init__()
        self.grid = nn.Linear(grid_dim, sizes.dim)
        self.cls = nn.Linear(global_dim, sizes.dim) if method.cls else None
        tokens = GRID_CELLS + int(method.cls)
        self.position = nn.Parameter(torch.empty(tokens, sizes.dim)) if method.visual_pos else None
        self.norm = nn.LayerNorm(sizes.dim)
        self.dropout = Dropout(sizes.visual_dropout)
        self.blocks = nn.ModuleList(
            VisualBlock(self._attention(sizes, method, layer), sizes.dim, sizes.ffn, sizes.dropout)
            for layer in range(sizes.visual_layers)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.position is not None:
            nn.init.trunc_normal_(self.position, std=POSITION_STD)

    @staticmethod
    def _attention(sizes: ModelSettings, method: Method, layer: int) -> RankingAttention:
        return RankingAttention(
            sizes.dim,
            sizes.heads,
            lambda_f=method.lambda_f,
            lambda_e=method.lambda_e,
            routing=method.routing,
            fusion=method.fusion,
            dropout=sizes.dropout,
            drop_last_key=method.drop_last_key,
            keys=method.keys,
            layer=layer,
        )

    def embed(self, grid: Tensor, global_: Tensor) -> Tensor:
        """Features -> tokens (B, N, dim) before the first encoder."""
        tokens = self.grid(grid)
        if self.cls is not None:
            tokens = torch.cat([self.cls(global_).unsqueeze(1), tokens], dim=1)
        if self.position is not None:
            tokens = tokens + self.position
        return self.dropout(self.norm(F.relu(tokens)))

    def forward(self, grid: Tensor, global_: Tensor) -> Tensor:
        tokens = self.embed(grid, global_)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens
