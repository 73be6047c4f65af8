"""Retrieved sentences: for each image, the nearest captions of the train pool (section IV-A).

Exact inner product of normalised vectors (FAISS ``IndexFlatIP``). Identical strings are one entry
of the pool, and a train image's own captions are not retrieved for it unless the method says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rdt.data.dataset import Dataset, open_dataset
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Experiment, Role, pool_role
from rdt.features.store import FeatureStore
from rdt.files import atomic_folder, read_arrays

POOL_WORDS = 20  # words of a caption that count for its identity
ROWS_AT_ONCE = 65536


@dataclass(frozen=True)
class Pool:
    """Distinct train captions: their texts, unit vectors (m, E), and the image ids that own each."""

    texts: tuple[str, ...]
    vectors: np.ndarray
    owners: tuple[frozenset[int], ...]


@dataclass(frozen=True)
class Retrieved:
    """``rows`` (n, K) pool entries of each image, best first, ``similarity`` (n, K) their cosines."""

    rows: np.ndarray
    similarity: np.ndarray


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32 (n, E)."""
    return _scaled(np.array(vectors, dtype=np.float32, order="C"))


def _scaled(vectors: np.ndarray) -> np.ndarray:
    """The same array with its rows scaled to length 1; by parts, since COCO's captions take 1.2 GB."""
    for first in range(0, len(vectors), ROWS_AT_ONCE):
        part = vectors[first : first + ROWS_AT_ONCE]
        part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
    return vectors


def build_pool(texts: Sequence[str], vectors: np.ndarray, images: Sequence[int]) -> Pool:
    """Merge identical captions; ``texts``, ``vectors`` (m, E) and owning ``images`` go together."""
    first: dict[str, int] = {}
    owners: list[set[int]] = []
    rows: list[int] = []
    for row, (text, image) in enumerate(zip(texts, images, strict=True)):
        key = " ".join(text.lower().split()[:POOL_WORDS])
        if key not in first:
            first[key] = len(rows)
            rows.append(row)
            owners.append(set())
        owners[first[key]].add(image)
    return Pool(
        tuple(first),
        _scaled(vectors[rows].astype(np.float32, copy=False)),
        tuple(frozenset(images) for images in owners),
    )


def retrieve(pool: Pool, queries: np.ndarray, image_ids: Sequence[int], k: int, exclude_own: bool) -> Retrieved:
    """The ``k`` captions nearest to each image's global vector ``queries`` (n, E).

    Raises UserError when the pool is too small to give ``k`` captions, or of another space.
    """
    if queries.shape[1] != pool.vectors.shape[1]:
        problem = f"global vectors of dimension {queries.shape[1]}, but those of the pool have {pool.vectors.shape[1]}"
        raise UserError("retrieved sentences", problem, "take the features of both data sets from the same encoder")
    owned = dict.fromkeys(image_ids, 0)
    if exclude_own:
        for images in pool.owners:
            for image in images:
                if image in owned:
                    owned[image] += 1
    extra = max(owned.values(), default=0)
    if len(pool.texts) < k + extra:
        raise UserError(
            "retrieved sentences",
            f"the pool has {len(pool.texts)} distinct captions, too few for {k} per image besides its own",
            "lower `override.retrieved` or use a larger train split",
        )
    import faiss  # here, since those who only scale vectors need not have it

    index = faiss.IndexFlatIP(pool.vectors.shape[1])
    index.add(pool.vectors)
    similarity, rows = index.search(unit(queries), k + extra)
    if extra:
        keep = [
            [at for at, row in enumerate(found) if image not in pool.owners[row]][:k]
            for image, found in zip(image_ids, rows, strict=True)
        ]
        rows = np.take_along_axis(rows, np.array(keep), axis=1)
        similarity = np.take_along_axis(similarity, np.array(keep), axis=1)
    return Retrieved(rows=rows, similarity=similarity)


def write_retrieved(folder: Path, pool: Pool, image_ids: Sequence[int], found: Retrieved) -> None:
    """Fill an index folder: ``pool.txt``, a caption a line, and ``retrieved.npz``."""
    (folder / "pool.txt").write_text("\n".join(pool.texts), encoding="utf-8")
    np.savez(
        folder / "retrieved.npz",
        image_ids=np.array(image_ids, dtype=np.int64),
        rows=found.rows.astype(np.int32),
        similarity=found.similarity,
    )


def read_retrieved(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Image ids (n,) and the rows (n, K) of the pool retrieved for them, best first."""
    arrays = read_arrays(folder / "retrieved.npz", ("image_ids", "rows"), "build the index again")
    return arrays["image_ids"], arrays["rows"]


def read_pool_texts(folder: Path) -> list[str]:
    """Captions of the pool that an index folder was made from, by row."""
    path = folder / "pool.txt"
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "build the index again") from error


def train_pool(dataset: Dataset, store: FeatureStore) -> Pool:
    """The captions of a train split with their vectors."""
    texts, images, vectors = [], [], []
    for image in dataset.split("train"):
        texts += [" ".join(caption.tokens) for caption in image.captions]
        images += [image.number] * len(image.captions)
        vectors.append(store.captions_of(image.number)[: len(image.captions)])
    return build_pool(texts, np.concatenate(vectors), images)


def write_index(experiment: Experiment, paths: Paths, role: Role) -> dict[str, float]:
    """Retrieve sentences for every image of a role and write them; returns what there is to tell of them."""
    method, source = experiment.method, pool_role(role)
    pool = train_pool(open_dataset(experiment, paths, source), FeatureStore.open(paths.features(source)))
    store = FeatureStore.open(paths.features(role))
    images = [int(image) for image in store.image_ids]
    # ids mean something within one data set: another role's images own nothing in this pool
    found = retrieve(pool, store.query, images, method.retrieved, method.exclude_own and role == source)
    with atomic_folder(paths.index(role)) as partial:
        write_retrieved(partial, pool, images, found)
    return {"pool": len(pool.texts), "similarity_of_first": float(found.similarity[:, 0].mean())}
