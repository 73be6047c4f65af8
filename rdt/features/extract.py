"""The ``features`` stage: fill a feature store, by the encoder or from published ``.npz`` files."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rdt import chain
from rdt.config import ROLES, Encoder
from rdt.data.dataset import Dataset
from rdt.data.vocabulary import Vocabulary
from rdt.features.encode import caption_ids, encode_captions, encode_images, load_encoder, read_images
from rdt.features.published import Published, import_published
from rdt.features.store import StoreWriter
from rdt.features.two_tower import TwoTower
from rdt.inputs import open_dataset
from rdt.io import atomic_folder
from rdt.stages import open_stage, stage_arguments

IMAGES_AT_ONCE = 512


def encode(dataset: Dataset, folder: Path, model: TwoTower, vocabulary: Vocabulary, encoder: Encoder) -> None:
    """Write the features of every image and caption of ``dataset`` into ``folder``."""
    images = dataset.images
    owners = [image.id for image in images for _ in image.captions]
    writer = StoreWriter(folder, [image.id for image in images], owners, encoder.width, encoder.width)
    for first in range(0, len(images), IMAGES_AT_ONCE):
        part = images[first : first + IMAGES_AT_ONCE]
        grid, image = encode_images(model, read_images(dataset, part, encoder.image_size))
        writer.grid[first : first + len(part)] = grid.numpy()
        writer.global_[first : first + len(part)] = image.numpy()
    captions = [caption.tokens for image in images for caption in image.captions]
    writer.caption_global[:] = encode_captions(model, caption_ids(captions, vocabulary)).numpy()
    writer.flush()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt features``."""
    stage_arguments(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's feature store."""
    stage = open_stage(args)
    experiment, paths = stage.experiment, stage.paths
    data, step = experiment.data[args.role], chain.features(experiment, paths, args.role)
    with stage.make(step, role=args.role) as job:
        dataset = open_dataset(experiment, paths, args.role)
        with atomic_folder(step.target) as partial:
            if data.features:
                import_published(dataset, partial, Published.of(data, Path(experiment.data_root)))
            else:
                torch.set_num_threads(experiment.encoder.threads)
                vocabulary = Vocabulary.load(paths.vocabulary("primary"))
                model = load_encoder(paths.encoder, vocabulary, experiment.encoder.width)
                encode(dataset, partial, model, vocabulary, experiment.encoder)
        job.metrics({"images": len(dataset.images)})
