"""Dropout from 16 random bits a value.

On a CPU torch draws a number of 64 bits for each value; here four values share one, in a quarter of the time. They come
from the framework's stream, which the training loop seeds at each step: resumed runs and several processes draw the
same numbers as before.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 2**16  # p is rounded to a multiple of 1 / LEVELS


def multipliers(like: Tensor, p: float) -> Tensor:
    """Of the shape and type of ``like`` (B, ...): 0 with probability ``p``, else 1 / (1 - p), so that the mean is 1.

    Each row takes whole numbers of the stream, so that a part of the rows can be drawn alone.
    """
    if like.device.type != "cpu":
        return F.dropout(torch.ones_like(like), p)
    dropped = min(round(p * LEVELS), LEVELS - 1)
    values = like.shape[1:].numel()
    drawn = torch.empty(len(like), -(-values // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = drawn.view(torch.int16)[:, :values].numpy()
    kept = torch.from_numpy(bits >= dropped - LEVELS // 2)  # torch needs ten times as long to compare integers
    return kept.view(torch.uint8).to(like.dtype).mul_(LEVELS / (LEVELS - dropped)).view(like.shape)


class Dropout(nn.Module):
    """Zero values at rate ``p`` in training and scale the others, as ``nn.Dropout`` does."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return x * multipliers(x, self.p) if self.training and self.p > 0 else x
