"""Features in the published layout: one ``.npz`` an image, checked and copied into a feature store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rdt.data.dataset import Dataset, Image
from rdt.data.identity import file_stem
from rdt.errors import UserError
from rdt.experiment.settings import Data
from rdt.features.retrieval import unit
from rdt.features.store import GRID_CELLS, StoreWriter, check_features
from rdt.files import read_arrays

IMAGES_TO_JUDGE = 1000
STANDARD_ERRORS = 5  # by which own captions are to be nearer; CLIP's are by about a hundred


@dataclass(frozen=True)
class Published:
    """Folders of published features of one data set, a file an image.

    ``images``: ``features`` (49, D) and ``g_feature`` (1, E); ``captions``: ``g_feature`` (its captions, E');
    ``retrieval``: ``g_feature`` (1, E'), where the images' own is not in the space of the captions.
    """

    images: Path
    captions: Path
    retrieval: Path | None = None

    @classmethod
    def of(cls, data: Data, root: Path) -> Published:
        """The folders that an experiment names."""
        retrieval = root / data.retrieval_features if data.retrieval_features else None
        return cls(root / data.features, root / data.caption_features, retrieval)

    @property
    def query(self) -> Path:
        """The folder of the images' vectors in the space of the captions."""
        return self.retrieval or self.images


def import_published(dataset: Dataset, folder: Path, published: Published) -> None:
    """Copy published features into a new store in ``folder``.

    Raises UserError naming the file that is missing, damaged, of another shape or not finite, or the folder
    whose features belong to other images.
    """
    images = dataset.images
    image_files, caption_files = feature_files(published.images, images), feature_files(published.captions, images)
    query_files = image_files if published.retrieval is None else feature_files(published.retrieval, images)
    grid_dim, dim = (array.shape[1] for array in _image_arrays(image_files[0], None, None))
    query_dim = _vectors(query_files[0], 1, None).shape[1]
    owners = [image.number for image in images for _ in image.captions]
    own = query_dim if published.retrieval else None
    writer = StoreWriter(folder, [image.number for image in images], owners, grid_dim, dim, own)
    row = 0
    for at, image in enumerate(tqdm(images, "features", unit=" images", disable=None)):
        writer.grid[at], writer.global_[at : at + 1] = _image_arrays(image_files[at], grid_dim, dim)
        if writer.separate_query is not None:
            writer.separate_query[at : at + 1] = _vectors(query_files[at], 1, query_dim)
        count = len(image.captions)
        writer.caption_global[row : row + count] = _vectors(caption_files[at], count, query_dim)
        row += count
    query = writer.global_ if writer.separate_query is None else writer.separate_query
    first_captions = np.cumsum([0, *(len(image.captions) for image in images[:-1])])
    check_same_images(published.query, query, writer.caption_global, first_captions)
    writer.flush()


def feature_files(folder: Path, images: Sequence[Image]) -> list[Path]:
    """The file of each image: ``<image id>.npz`` or, as published for Flickr30k, ``<number of the photo>.npz``.

    Raises UserError for the first that is not there, and says whether the folder is another data set's.
    """
    if not folder.is_dir():
        raise UserError(folder, "no such folder", "correct the path of the features")
    present = {name for name in os.listdir(folder) if name.endswith(".npz")}
    by_id = [f"{file_stem(image.id)}.npz" for image in images]
    by_photo = [f"{Path(image.path).stem.rpartition('_')[2].lstrip('0')}.npz" for image in images]
    names = max(by_id, by_photo, key=lambda names: len(present.intersection(names)))
    missing = [name for name in names if name not in present]
    if len(missing) == len(names):
        held = f"holds {min(present)}" if present else "is empty"
        problem = f"has features of none of the {len(names):,} images: {by_id[0]} is expected, and it {held}"
        raise UserError(folder, problem, "name the folder of this data set's features")
    if missing:
        others = f", nor those of {len(missing) - 1:,} other images" if missing[1:] else ""
        remedy = "fetch or extract it; nothing is put in its place"
        raise UserError(folder / missing[0], f"the file does not exist{others}", remedy)
    return [folder / name for name in names]


def _image_arrays(path: Path, grid_dim: int | None, dim: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Grid (49, D) as the store keeps it, in float16, and global vector (1, E) of one published file."""
    arrays = read_npz(path, "features", "g_feature")
    check_features(path, arrays["features"], (GRID_CELLS, grid_dim))
    check_features(path, arrays["g_feature"], (1, dim))
    with np.errstate(over="ignore"):
        grid = arrays["features"].astype(np.float16)
    check_features(path, grid, grid.shape, "finite in float16 (at most 65504)")
    return grid, arrays["g_feature"]


def _vectors(path: Path, count: int, dim: int | None) -> np.ndarray:
    """Global vectors (count, E') of one published file."""
    vectors = read_npz(path, "g_feature")["g_feature"]
    check_features(path, vectors, (count, dim))
    return vectors


def check_same_images(folder: Path, query: np.ndarray, captions: np.ndarray, first: np.ndarray) -> None:
    """UserError if images (n, E) are no nearer to their own captions than to other images' captions.

    It finds features of other images under the same ids, and vectors of two encoders. ``first`` (n,): the row in
    ``captions`` of each image's first one. Where there are few images, nothing is said: chance would decide.
    """
    if len(query) < IMAGES_TO_JUDGE:
        return
    rows = np.linspace(0, len(query) - 1, IMAGES_TO_JUDGE).astype(int)
    images, own = unit(query[rows]), unit(captions[first[rows]])
    near, far = (images * own).sum(axis=1), (images * np.roll(own, 1, axis=0)).sum(axis=1)
    gain = near - far
    if gain.mean() < STANDARD_ERRORS * gain.std() / len(gain) ** 0.5:
        problem = (
            f"an image is no nearer to its own captions than to another's "
            f"(cosine {near.mean():.3f} and {far.mean():.3f} over {len(rows):,} images)"
        )
        remedy = "take the vectors of images and captions from one encoder and data set; see data.*.retrieval_features"
        raise UserError(folder, problem, remedy)


def read_npz(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays ``names`` of one published file."""
    return read_arrays(path, names, "fetch or extract it; nothing is put in its place")
