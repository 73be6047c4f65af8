"""What a network reads of one role: data set, features, retrieved sentences, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rdt.data.coco import read_captions
from rdt.data.dataset import Dataset, open_dataset
from rdt.data.identity import ImageId
from rdt.data.tokens import token_row
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Experiment, Role
from rdt.features.retrieval import read_pool_texts, read_retrieved
from rdt.features.split import Split, make_split
from rdt.features.store import FeatureStore


@dataclass(frozen=True)
class Inputs:
    """The files of one role, opened; ``vocabulary`` belongs to the role that the network was trained on."""

    dataset: Dataset
    store: FeatureStore
    vocabulary: Vocabulary
    index: Path
    length: int

    @property
    def grid_dim(self) -> int:
        return self.store.grid.shape[-1]

    @property
    def global_dim(self) -> int:
        return self.store.global_.shape[-1]

    def split(self, name: str) -> Split:
        """The images of one split with their retrieved sentences as token rows."""
        images = self.dataset.split(name)
        image_ids, rows = read_retrieved(self.index)
        retrieved = {int(image): self._pool[row] for image, row in zip(image_ids, rows, strict=True)}
        return make_split(images, self.store, self.vocabulary, retrieved, self.length)

    @cached_property
    def _pool(self) -> np.ndarray:
        """Token rows (m, L) of the retrieval pool, made once for all splits."""
        texts = read_pool_texts(self.index)
        return np.stack([token_row(self.vocabulary.encode(text.split()), self.length) for text in texts])


def open_inputs(experiment: Experiment, paths: Paths, role: Role, trained_on: Role, length: int) -> Inputs:
    """Inputs of ``role`` for a network that learnt its words from ``trained_on``."""
    return Inputs(
        dataset=open_dataset(experiment, paths, role),
        store=FeatureStore.open(paths.features(role)),
        vocabulary=Vocabulary.load(paths.vocabulary(trained_on)),
        index=paths.index(role),
        length=length,
    )


def caption_rows(path: Path, images: Sequence[ImageId], vocabulary: Vocabulary, length: int) -> np.ndarray:
    """Token rows (n, L) of the captions of ``images``; UserError naming an image without one."""
    captions = read_captions(path)
    missing = next((image for image in images if image not in captions), None)
    if missing is not None:
        raise UserError(path, f"no caption of image {missing}", "caption this split again")
    return np.stack([token_row(vocabulary.encode(captions[image].split()), length) for image in images])
