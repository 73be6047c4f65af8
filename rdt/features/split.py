"""One split as networks see it: features, captions and retrieved sentences, with the arrays opened once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rdt.data.dataset import Image
from rdt.data.identity import ImageId
from rdt.data.tokens import token_row
from rdt.data.vocabulary import Vocabulary
from rdt.features.store import FeatureStore


@dataclass(frozen=True)
class Split:
    """The images of one split, ready for a model with token rows of length L.

    ``image_ids`` (n,) their numbers, ``names`` their ids in files; ``feature_rows`` (n,) rows of ``store``;
    ``captions`` one (its captions, L) array per image; ``retrieved`` (n, K, L) token rows of the retrieved
    sentences, best first.
    """

    image_ids: np.ndarray
    store: FeatureStore
    feature_rows: np.ndarray
    captions: tuple[np.ndarray, ...]
    retrieved: np.ndarray
    names: tuple[ImageId, ...] = ()

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
    """Token rows and feature rows of ``images``; ``retrieved``: (K, L) rows by the image's number."""
    numbers, names = [image.number for image in images], tuple(image.id for image in images)
    return Split(
        image_ids=np.array(numbers, dtype=np.int64),
        store=store,
        feature_rows=store.rows_of(numbers, names),
        captions=tuple(
            np.stack([token_row(vocabulary.encode(caption.tokens), length) for caption in image.captions])
            for image in images
        ),
        retrieved=np.stack([retrieved[image] for image in numbers]),
        names=names,
    )


def sentence_input(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Token rows (n, L) of sentences -> ids begun by 0 and their mask (True at the 0 and the words)."""
    ids = np.roll(rows, 1, axis=-1)
    ids[..., 0] = 0
    mask = ids != 0
    mask[..., 0] = True
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask)
