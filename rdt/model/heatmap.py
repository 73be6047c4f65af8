"""Token heatmaps, section IV-D: which grid cells stand out in the visual tokens (Fig. 3 and 6)."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rdt.experiment.settings import GRID_CELLS, GRID_SIDE
from rdt.model.visual import VisualEncoder

OPACITY = 0.55  # of the colours over the photograph
# From the least to the most salient cell: colours (red, green, blue), evenly spaced; their lightness grows.
COLOURS = np.array([(16, 22, 92), (28, 104, 171), (72, 176, 140), (222, 205, 84), (250, 248, 215)], dtype=np.float64)


def token_heatmap(tokens: Tensor) -> Tensor:
    """Visual tokens (B, N, dim) -> (B, 7, 7), summing to 1 over the cells of an image.

    The global vector, the first of N = 50 tokens, is left out; the mean over channels, then a softmax over the
    cells. The tokens come from a layer normalisation, so that with equal gains every mean would be the same: what
    a heatmap shows is what its learned gains and offsets make of the channels.

    Raises ValueError for N other than 49 and 50.
    """
    if tokens.shape[1] not in (GRID_CELLS, GRID_CELLS + 1):
        raise ValueError(
            f"visual tokens are {GRID_CELLS} grid cells and perhaps a global vector, got {tokens.shape[1]}"
        )
    return tokens[:, -GRID_CELLS:].mean(dim=-1).softmax(dim=-1).unflatten(-1, (GRID_SIDE, GRID_SIDE))


@torch.no_grad()
def encoder_heatmaps(visual: VisualEncoder, grid: Tensor, global_: Tensor) -> Tensor:
    """Heatmaps after each stacked encoder, (encoders, B, 7, 7): Fig. 3, and in the last one Fig. 6.

    ``grid`` (B, 49, D) and ``global_`` (B, E) are the features of B images.
    """
    tokens = visual.embed(grid, global_)
    heatmaps = []
    for block in visual.blocks:
        tokens = block(tokens)
        heatmaps.append(token_heatmap(tokens))
    return torch.stack(heatmaps)


def overlay(photo: Image.Image, heatmap: np.ndarray) -> Image.Image:
    """A photograph, in grey, under the colours of its heatmap (7, 7), stretched from its least to its greatest value.

    The map is enlarged smoothly to the photograph's size; the same value everywhere is shown as the least.
    """
    span = float(heatmap.max() - heatmap.min())
    level = (heatmap - heatmap.min()) / span if span else np.zeros_like(heatmap)
    enlarged = Image.fromarray(level.astype(np.float32)).resize(photo.size, Image.Resampling.BICUBIC)
    place = np.clip(np.asarray(enlarged), 0, 1)[..., None] * (len(COLOURS) - 1)
    below = np.minimum(place.astype(int), len(COLOURS) - 2)
    colours = COLOURS[below[..., 0]] * (1 - (place - below)) + COLOURS[below[..., 0] + 1] * (place - below)
    grey = np.asarray(photo.convert("L"), dtype=np.float64)[..., None]
    mixed = (1 - OPACITY) * grey + OPACITY * colours
    return Image.fromarray(mixed.round().astype(np.uint8))
