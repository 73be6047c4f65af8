"""Images and their captions as arrays, and the batches of a training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rdt.draws import choose, generator
from rdt.features.split import Split, sentence_input


@dataclass(frozen=True)
class ImageDraw:
    """What one image needs in one epoch, for its c captions."""

    captions: np.ndarray  # (c,) which of its captions, in which order
    sentences: np.ndarray  # (c,) which of its K retrieved sentences
    t: np.ndarray  # (c,) t' ~ U(0, t_max)
    noise: np.ndarray  # (c, L, b) epsilon of Eq. 1


def image_draw(
    seed: int, epoch: int, image_id: int, captions: int, available: int, sentences: int, t_max: float, shape: tuple
) -> ImageDraw:
    """Draws of one image: ``captions`` of its ``available`` captions, and as many of its ``sentences``."""
    rng = generator(seed, "image", epoch, image_id)
    return ImageDraw(
        captions=choose(rng, available, captions),
        sentences=choose(rng, sentences, captions),
        t=rng.random(captions, dtype=np.float32) * np.float32(t_max),
        noise=rng.standard_normal((captions, *shape), dtype=np.float32),
    )


@dataclass(frozen=True)
class Batch:
    """B images with c captions each, n = B c, in image order."""

    positions: np.ndarray  # (B,) places of the images in the split
    grid: Tensor  # (B, 49, D)
    global_: Tensor  # (B, E)
    rows: Tensor  # (n, L) token rows
    retrieved: Tensor  # (n, L) conditional sentences, begun by id 0
    retrieved_mask: Tensor  # (n, L)
    t: Tensor  # (n,)
    noise: Tensor  # (n, L, b)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device, on its way there if it lies in pinned memory."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch where a GPU can fetch it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


def make_batch(
    split: Split, positions: np.ndarray, seed: int, epoch: int, captions: int, t_max: float, num_bits: int
) -> Batch:
    """The images at ``positions`` with ``captions`` captions each, as epoch ``epoch`` draws them."""
    length = split.retrieved.shape[-1]
    draws = [
        image_draw(
            seed,
            epoch,
            int(split.image_ids[at]),
            captions,
            len(split.captions[at]),
            split.retrieved.shape[1],
            t_max,
            (length, num_bits),
        )
        for at in positions
    ]
    rows = np.concatenate([split.captions[at][draw.captions] for at, draw in zip(positions, draws, strict=True)])
    sentences = np.concatenate([split.retrieved[at][draw.sentences] for at, draw in zip(positions, draws, strict=True)])
    retrieved, mask = sentence_input(sentences)
    grid, global_ = split.features(positions)
    return Batch(
        positions=positions,
        grid=grid,
        global_=global_,
        rows=torch.from_numpy(rows.astype(np.int64)),
        retrieved=retrieved,
        retrieved_mask=mask,
        t=torch.from_numpy(np.concatenate([draw.t for draw in draws])),
        noise=torch.from_numpy(np.concatenate([draw.noise for draw in draws])),
    )
