"""The ``features`` stage: fill a feature store, by the encoder or from published ``.npz`` files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from rdt.config import ROLES, Encoder
from rdt.data.dataset import Dataset, Image
from rdt.data.vocabulary import Vocabulary
from rdt.features.encode import caption_ids, encode_captions, encode_images, load_encoder, read_images
from rdt.features.store import GRID_CELLS, StoreWriter, check_features, read_arrays
from rdt.features.two_tower import TwoTower
from rdt.inputs import annotation_inputs, open_dataset
from rdt.io import atomic_folder
from rdt.stages import data_settings, open_stage, stage_arguments

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


def import_published(dataset: Dataset, folder: Path, features: Path, caption_features: Path) -> None:
    """Copy published features, ``<image id>.npz`` with ``features`` (49, D) and ``g_feature`` (1, E).

    ``caption_features`` holds one file an image, ``g_feature`` (its captions, E). Raises UserError
    naming the file that is missing, damaged, of another shape or not finite.
    """
    images = dataset.images
    first = features / f"{images[0].id}.npz"
    grid, vector = _image_arrays(first, None, None)
    grid_dim, dim = grid.shape[1], vector.shape[1]
    owners = [image.id for image in images for _ in image.captions]
    writer = StoreWriter(folder, [image.id for image in images], owners, grid_dim, dim)
    row = 0
    for at, image in enumerate(images):
        writer.grid[at], writer.global_[at : at + 1] = _image_arrays(features / f"{image.id}.npz", grid_dim, dim)
        row = _import_captions(writer, row, image, caption_features, dim)
    writer.flush()


def _image_arrays(path: Path, grid_dim: int | None, dim: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Grid (49, D) as the store keeps it, in float16, and global vector (1, E) of one published file."""
    arrays = read_published(path, "features", "g_feature")
    check_features(path, arrays["features"], (GRID_CELLS, grid_dim))
    check_features(path, arrays["g_feature"], (1, dim))
    with np.errstate(over="ignore"):
        grid = arrays["features"].astype(np.float16)
    check_features(path, grid, grid.shape, "finite in float16 (at most 65504)")
    return grid, arrays["g_feature"]


def _import_captions(writer: StoreWriter, row: int, image: Image, folder: Path, dim: int) -> int:
    path = folder / f"{image.id}.npz"
    vectors = read_published(path, "g_feature")["g_feature"]
    check_features(path, vectors, (len(image.captions), dim))
    writer.caption_global[row : row + len(vectors)] = vectors
    return row + len(vectors)


def read_published(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays ``names`` of one published file."""
    return read_arrays(path, names, "fetch or extract it; nothing is put in its place")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt features``."""
    stage_arguments(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's feature store."""
    stage = open_stage(args)
    experiment, paths = stage.experiment, stage.paths
    data, folder = experiment.data[args.role], paths.features(args.role)
    inputs = annotation_inputs(experiment, paths, args.role)
    if not data.features:
        inputs |= {"encoder": paths.encoder / "model.safetensors", "vocabulary": paths.vocabulary("primary")}
    settings = data_settings(experiment, args.role)
    with stage.job(
        "features", "rdt.features.extract", output=folder, role=args.role, configuration=settings, inputs=inputs
    ) as job:
        dataset = open_dataset(experiment, paths, args.role)
        with atomic_folder(folder) as partial:
            if data.features:
                root = Path(experiment.data_root)
                import_published(dataset, partial, root / data.features, root / data.caption_features)
            else:
                torch.set_num_threads(experiment.encoder.threads)
                vocabulary = Vocabulary.load(paths.vocabulary("primary"))
                model = load_encoder(paths.encoder, vocabulary, experiment.encoder.width)
                encode(dataset, partial, model, vocabulary, experiment.encoder)
        job.metrics({"images": len(dataset.images)})
