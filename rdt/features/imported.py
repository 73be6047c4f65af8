"""Features that users have, checked and copied into a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rdt.data.dataset import Dataset, Image
from rdt.errors import UserError
from rdt.experiment.settings import GRID_SIDE, Data, Naming
from rdt.features.naming import entries_of
from rdt.features.retrieval import unit
from rdt.features.sources import ALONE, open_source
from rdt.features.store import GRID_CELLS, StoreWriter, check_features

IMAGES_TO_JUDGE = 1000
STANDARD_ERRORS = 5  # by which own captions are to be nearer; CLIP's are by about a hundred
ALIKE = 0.3  # cosine of the words of two captions from which on they are taken for alike
SHORTEST = 1e-12  # length of a vector that has a direction
EXTRACT = "extract it again"
Dims = tuple[int | None, int | None]  # of cells and of global vectors, D and E


@dataclass(frozen=True)
class Published:
    """Features of one data set, each in a folder or a file, see :mod:`rdt.features.sources`.

    ``images``: a grid (49, D) or (7, 7, D), and a global vector (1, E); ``captions``: a global vector of each caption
    (its captions, E'); ``retrieval``: a global vector (1, E'), where the images' own is not in the space of the
    captions. ``named_by``: see :func:`rdt.features.naming.entries_of`; the keys name the arrays.
    """

    images: Path
    captions: Path
    retrieval: Path | None = None
    named_by: Naming | None = None
    grid_key: str = "features"
    global_key: str = "g_feature"

    @classmethod
    def of(cls, data: Data, root: Path) -> Published:
        """The features that an experiment names."""
        retrieval = root / data.retrieval_features if data.retrieval_features else None
        named_by = data.features_named_by or None
        return cls(
            root / data.features, root / data.caption_features, retrieval, named_by, data.grid_key, data.global_key
        )

    @property
    def query(self) -> Path:
        """Where the images' vectors in the space of the captions are."""
        return self.retrieval or self.images


class PublishedFiles:
    """The features of some images, opened."""

    def __init__(self, published: Published, images: Sequence[Image]) -> None:
        paths = [published.images, published.captions, *([published.retrieval] if published.retrieval else [])]
        self._keys = published.grid_key, published.global_key
        self._sources = [open_source(path) for path in paths]
        self._entries = entries_of(self._sources, images, published.named_by)
        self.notes: dict[str, None] = {}  # what is to be said of how they were read, once each

    @property
    def has_query(self) -> bool:
        """Whether images have vectors of their own for retrieval."""
        return len(self._sources) > 2

    def called(self, at: int, of: int = 0) -> str:
        """What errors call the features of image ``at``."""
        return self._sources[of].called(self._entries[of][at])

    def image(self, at: int, dims: Dims = (None, None)) -> tuple[np.ndarray, np.ndarray]:
        """Grid (49, D) as the store keeps it, in float16, and global vector (1, E) in float32 of an image.

        Where there are grids alone, the vector is that for retrieval. Raises UserError naming the file at fault.
        """
        where, (grid_key, global_key) = self.called(at), self._keys
        found = self._sources[0].arrays(self._entries[0][at], self._keys)
        grid = found.get(grid_key, found.get(ALONE))
        if grid is None:
            raise UserError(where, f"has no array '{grid_key}'", "name that of the grid by data.*.grid_key")
        if global_key in found:
            vector = _checked_vectors(where, found[global_key], 1, dims[1])
        elif self.has_query:
            vector = self.query(at, dims[1])
        else:
            remedy = "name the folder of the images' global vectors by data.*.retrieval_features"
            raise UserError(where, f"has a grid alone, no array '{global_key}'", remedy)
        return self._checked_grid(where, grid, dims[0]), vector

    def captions(self, at: int, image: Image, dim: int | None) -> np.ndarray:
        """Vectors (its captions, E') of an image's captions, in float32."""
        vectors = self._vectors(1, at)
        count = len(image.captions)
        if image.left_out and len(vectors) == count + len(image.left_out):
            vectors = np.delete(vectors, image.left_out, axis=0)
        vectors = _checked_vectors(self.called(at, 1), vectors, count, dim)
        if _all_equal(vectors) and len({caption.tokens for caption in image.captions}) > 1:
            problem = f"the vectors of its {count} captions are all equal: they tell nothing"
            raise UserError(self.called(at, 1), problem, EXTRACT)
        return vectors

    def query(self, at: int, dim: int | None = None) -> np.ndarray:
        """The vector (1, E') of an image for retrieval, in float32."""
        return _checked_vectors(self.called(at, 2), self._vectors(2, at), 1, dim)

    def _vectors(self, of: int, at: int) -> np.ndarray:
        found = self._sources[of].arrays(self._entries[of][at], self._keys[1:])
        return next(iter(found.values()))

    def _checked_grid(self, where: str, grid: np.ndarray, dim: int | None) -> np.ndarray:
        """``grid`` in float16; UserError where it is of another shape, not finite or has 49 equal cells."""
        if grid.ndim == 3 and grid.shape[:2] == (GRID_SIDE, GRID_SIDE):
            grid = grid.reshape(GRID_CELLS, -1)
            self.notes[f"grids of {GRID_SIDE} x {GRID_SIDE} x D are read row by row as {GRID_CELLS} x D"] = None
        check_features(where, grid, (GRID_CELLS, dim))
        with np.errstate(over="ignore"):
            halves = grid.astype(np.float16)
        check_features(where, halves, halves.shape, "finite in float16 (at most 65504)")
        if (halves == halves[0]).all():
            raise UserError(where, f"the {GRID_CELLS} cells of its grid are all equal: they tell nothing", EXTRACT)
        return halves


def import_published(dataset: Dataset, folder: Path, published: Published) -> tuple[str, ...]:
    """Copy published features into a new store in ``folder``; returns what is to be said of how they were read.

    Raises UserError naming the file that is missing, damaged, of another shape, not finite or without meaning, or the
    folder whose features belong to other images.
    """
    images = dataset.images
    files = PublishedFiles(published, images)
    dims = tuple(array.shape[1] for array in files.image(0))
    own = files.query(0).shape[1] if files.has_query else None
    owners = [image.number for image in images for _ in image.captions]
    writer = StoreWriter(folder, [image.number for image in images], owners, *dims, own)
    row = 0
    for at, image in enumerate(tqdm(images, "features", unit=" images", disable=None)):
        writer.grid[at], writer.global_[at : at + 1] = files.image(at, dims)
        if writer.separate_query is not None:
            writer.separate_query[at : at + 1] = files.query(at, own)
        count = len(image.captions)
        writer.caption_global[row : row + count] = files.captions(at, image, own or dims[1])
        row += count
    _check_meaning(dataset, published, files, writer)
    writer.flush()
    return tuple(files.notes)


def _check_meaning(dataset: Dataset, published: Published, files: PublishedFiles, writer: StoreWriter) -> None:
    """UserError where the vectors do not tell images or captions apart, or belong to others."""
    query = writer.global_ if writer.separate_query is None else writer.separate_query
    one_picture = _all_equal(writer.grid)
    vectors = {0: writer.global_, 2 if files.has_query else 0: query} if not one_picture else {}
    for of, array in (vectors | {1: writer.caption_global}).items():
        if _all_equal(array):
            problem = f"has the vector that all {len(array):,} have: it tells nothing"
            raise UserError(files.called(0, of), problem, EXTRACT)
    if one_picture:
        files.notes[f"{published.images}: all {len(writer.grid):,} images have one and the same grid"] = None
    first = np.cumsum([0, *(len(image.captions) for image in dataset.images[:-1])])
    check_same_images(published.query, query, writer.caption_global, first)
    texts = [image.captions[0].tokens for image in dataset.images]
    check_same_captions(published.captions, writer.caption_global, texts, first)


def _all_equal(rows: np.ndarray) -> bool:
    """Whether two or more rows are one and the same."""
    return len(rows) > 1 and not any((row != rows[0]).any() for row in rows[1:])


def _checked_vectors(where: str, vectors: np.ndarray, count: int, dim: int | None) -> np.ndarray:
    """Global vectors (count, E) in float32; UserError where they are of another shape, not finite or have no length."""
    if vectors.ndim == 1 and count == 1:
        vectors = vectors[None]
    check_features(where, vectors, (count, dim))
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1)
    check_features(where, vectors, vectors.shape, "finite in float32")
    wrong = np.flatnonzero(~((lengths >= SHORTEST) & np.isfinite(lengths)))
    if len(wrong):
        which = f"vector {wrong[0] + 1} of {count}" if count > 1 else "its vector"
        raise UserError(where, f"{which} has length {lengths[wrong[0]]:g}, and so no direction", EXTRACT)
    return vectors


def check_same_images(folder: Path, query: np.ndarray, captions: np.ndarray, first: np.ndarray) -> None:
    """UserError if images (n, E) are no nearer to their own captions than to other images' captions.

    It finds features of other images under the same ids, and vectors of two encoders. ``first`` (n,): the row in
    ``captions`` of each image's first one. Where there are few images, nothing is said: chance would decide.
    """
    if len(query) < IMAGES_TO_JUDGE:
        return
    rows = _sample(len(query))
    images, own = unit(query[rows]), unit(captions[first[rows]])
    near, far = (images * own).sum(axis=1), (images * np.roll(own, 1, axis=0)).sum(axis=1)
    if _no_nearer(near, far):
        problem = (
            f"an image is no nearer to its own captions than to another's "
            f"(cosine {near.mean():.3f} and {far.mean():.3f} over {len(rows):,} images)"
        )
        remedy = "take the vectors of images and captions from one encoder and data set; see data.*.retrieval_features"
        raise UserError(folder, problem, remedy)


def check_same_captions(folder: Path, captions: np.ndarray, texts: Sequence[Sequence[str]], first: np.ndarray) -> None:
    """UserError if the vectors of captions with words in common are no nearer than those of others.

    It finds features of other images where the captions' are shifted as the images' own, so that
    :func:`check_same_images` sees nothing. ``texts``: the words of each image's first caption, ``first`` (n,) its row
    in ``captions``. Where few captions have words in common, nothing is said.
    """
    if len(texts) < IMAGES_TO_JUDGE:
        return
    rows = _sample(len(texts))
    alike = shared_words([texts[row] for row in rows])
    np.fill_diagonal(alike, 0)
    nearest = alike.argmax(axis=1)
    judged = np.flatnonzero(alike.max(axis=1) >= ALIKE)
    if len(judged) < IMAGES_TO_JUDGE // 4:
        return
    vectors = unit(captions[first[rows]])
    own, others = vectors[judged], vectors[nearest[judged]]
    near, far = (own * others).sum(axis=1), (own * np.roll(others, 1, axis=0)).sum(axis=1)
    if _no_nearer(near, far):
        problem = (
            f"captions with the same words are no nearer to each other than to others "
            f"(cosine {near.mean():.3f} and {far.mean():.3f} over {len(judged):,} captions)"
        )
        remedy = (
            "these are vectors of other sentences: name the folder of this data set's; see data.*.features_named_by"
        )
        raise UserError(folder, problem, remedy)


def shared_words(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Cosine (n, n) of the sets of words of n texts, rare words counting more."""
    ids = {word: at for at, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
    bags = np.zeros((len(texts), len(ids)), np.float32)
    for bag, text in zip(bags, texts, strict=True):
        bag[[ids[word] for word in text]] = 1
    bags = unit(bags * np.log(len(texts) / bags.sum(axis=0)))
    return bags @ bags.T


def _sample(n: int) -> np.ndarray:
    return np.linspace(0, n - 1, IMAGES_TO_JUDGE).astype(int)


def _no_nearer(near: np.ndarray, far: np.ndarray) -> bool:
    """Whether the gain of cosines ``near`` over ``far`` may be chance."""
    gain = near - far
    return bool(gain.mean() < STANDARD_ERRORS * gain.std() / len(gain) ** 0.5)
