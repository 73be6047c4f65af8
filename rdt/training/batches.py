"""Images and their captions as arrays, and the batches of a training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rdt.data.dataset import Image
from rdt.data.tokens import token_row
from rdt.data.vocabulary import Vocabulary
from rdt.features.store import FeatureStore
from rdt.training.draws import image_draw


@dataclass(frozen=True)
class Split:
    """The images of one split, ready for a model with token rows of length L.

    ``feature_rows`` (n,) rows of ``store``; ``captions`` one (its captions, L) array per image;
    ``retrieved`` (n, K, L) token rows of the retrieved sentences, best first.
    """

    image_ids: np.ndarray
    store: FeatureStore
    feature_rows: np.ndarray
    captions: tuple[np.ndarray, ...]
    retrieved: np.ndarray

    def __len__(self) -> int:
        return len(self.image_ids)

    def features(self, positions: np.ndarray) -> tuple[Tensor, Tensor]:
        """Grid (B, 49, D) and global (B, E) features, float32, of the images at ``positions``."""
        rows = self.feature_rows[positions]
        grid = torch.from_numpy(self.store.grids(rows).astype(np.float32))
        return grid, torch.from_numpy(self.store.global_[rows])


def make_split(
    images: Sequence[Image], store: FeatureStore, vocabulary: Vocabulary, retrieved: dict[int, np.ndarray], length: int
) -> Split:
    """Token rows and feature rows of ``images``; ``retrieved`` maps an image id to its (K, L) rows."""
    ids = [image.id for image in images]
    return Split(
        image_ids=np.array(ids, dtype=np.int64),
        store=store,
        feature_rows=store.rows_of(ids),
        captions=tuple(
            np.stack([token_row(vocabulary.encode(caption.tokens), length) for caption in image.captions])
            for image in images
        ),
        retrieved=np.stack([retrieved[image] for image in ids]),
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


def sentence_input(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Token rows (n, L) of sentences -> ids begun by 0 and their mask (True at the 0 and the words)."""
    ids = np.roll(rows, 1, axis=-1)
    ids[..., 0] = 0
    mask = ids != 0
    mask[..., 0] = True
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask)


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
