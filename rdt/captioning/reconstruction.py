"""How far the quality score of a noised sentence's reconstruction is from its own, by timestep (section III-D)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rdt.captioning.generate import FIRST, IMAGES_PER_BATCH
from rdt.data.tokens import valid_mask
from rdt.diffusion.bits import encode_bits
from rdt.diffusion.schedule import diffuse, log_snr
from rdt.draws import torch_seed
from rdt.features.split import Split, sentence_input
from rdt.losses import sentence_quality
from rdt.model.captioner import Captioner

SEED = 0  # of the noise, which all networks share whatever their own seed


@torch.no_grad()
def quality_distances(model: Captioner, split: Split, images: int, timesteps: Sequence[float]) -> np.ndarray:
    """|q - q*| of the first caption of each of the first ``images`` images at each timestep, float64 (images, T).

    The caption is noised as Eq. 1 and denoised in one pass without self-conditioning, beside the retrieved sentence of
    rank 1. ``timesteps`` are t' in [0, 1]; an image's noise is the same at all of them, and is the one that sampling
    with seed 0 starts from. q is the mean analog bit, before thresholding, over the words and the first end token.
    """
    parts = []
    for first in range(0, images, IMAGES_PER_BATCH):
        parts.append(_batch_distances(model, split, np.arange(first, min(images, first + IMAGES_PER_BATCH)), timesteps))
    return np.concatenate(parts)


def _batch_distances(model: Captioner, split: Split, at: np.ndarray, timesteps: Sequence[float]) -> np.ndarray:
    device = model.codebook.device
    inputs = (*split.features(at), *sentence_input(split.retrieved[at, FIRST]))
    context = model.encode(*(value.to(device) for value in inputs))
    rows = torch.from_numpy(np.stack([split.captions[position][0] for position in at]).astype(np.int64)).to(device)
    x_0, valid = encode_bits(rows, model.num_bits), valid_mask(rows)
    noise = torch.stack([_noise(int(image), x_0.shape[1:]) for image in split.image_ids[at]]).to(device)
    own = sentence_quality(x_0, valid)
    distances = []
    for timestep in timesteps:
        t = torch.full((len(at),), timestep, device=device)
        bits = model.predict(diffuse(x_0, t, noise), log_snr(t), torch.zeros_like(x_0), context)
        distances.append((sentence_quality(bits, valid) - own).abs())
    return torch.stack(distances, dim=1).double().cpu().numpy()


def _noise(image: int, shape: torch.Size) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(torch_seed(SEED, "sample", image)))


def slopes(distances: np.ndarray, timesteps: Sequence[float]) -> np.ndarray:
    """Least-squares slope of each row of ``distances`` (n, T) on the timesteps (T,), two at least: (n,)."""
    centred = np.asarray(timesteps) - np.mean(timesteps)
    return distances @ centred / (centred @ centred)
