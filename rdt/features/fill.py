"""The feature store of a role, filled by the trained encoder or from published files."""

from __future__ import annotations

from pathlib import Path

import torch

from rdt.data.dataset import open_dataset
from rdt.data.vocabulary import Vocabulary
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Experiment, Role
from rdt.features.encode import encode, load_encoder
from rdt.features.imported import Published, import_published
from rdt.files import atomic_folder


def fill_store(experiment: Experiment, paths: Paths, role: Role) -> tuple[int, tuple[str, ...]]:
    """Encode or import the features of all images and captions of a role.

    Returns the number of images, and what is to be said of how their data were read.
    """
    dataset, data = open_dataset(experiment, paths, role), experiment.data[role]
    notes = dataset.notes
    with atomic_folder(paths.features(role)) as partial:
        if data.features:
            notes += import_published(dataset, partial, Published.of(data, Path(experiment.data_root)))
        else:
            torch.set_num_threads(experiment.encoder.threads)
            vocabulary = Vocabulary.load(paths.vocabulary("primary"))
            model = load_encoder(paths.encoder, vocabulary, experiment.encoder.width)
            encode(dataset, partial, model, vocabulary, experiment.encoder)
    return len(dataset.images), notes
