"""The feature store of one data set: memory-mapped arrays, opened once and read without copies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rdt.data.identity import ImageId
from rdt.errors import UserError
from rdt.experiment.settings import GRID_CELLS
from rdt.files import UNREADABLE

ARRAYS = ("image_ids", "grid", "global", "caption_image", "caption_global")
QUERY = "query"  # the array that a store has besides where images have vectors of their own for retrieval


@dataclass(frozen=True)
class FeatureStore:
    """Features of n images and m captions.

    ``grid`` (n, 49, D) float16, ``global_`` (n, E) float32, ``image_ids`` (n,);
    ``caption_global`` (m, E') float32, ``caption_image`` (m,) the image of each caption, the
    captions of an image in the order of its sentences. ``separate_query`` (n, E') float32: the images in
    the space of the captions, where that is not the space of ``global_``.
    """

    folder: Path
    image_ids: np.ndarray
    grid: np.ndarray
    global_: np.ndarray
    caption_image: np.ndarray
    caption_global: np.ndarray
    separate_query: np.ndarray | None = None

    @classmethod
    def open(cls, folder: Path) -> FeatureStore:
        """Map the arrays of ``folder``; UserError when one is missing, of another type, or their shapes disagree."""
        arrays = []
        for name in (*ARRAYS, QUERY) if (folder / f"{QUERY}.npy").exists() else ARRAYS:
            path = folder / f"{name}.npy"
            try:
                arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
            except UNREADABLE as error:
                raise UserError(path, f"not a readable array ({error})", "extract the features again") from error
        store = cls(folder, *arrays)
        if store.grid.dtype != np.float16:
            problem = f"an array of {store.grid.dtype}, expected float16"
            raise UserError(folder / "grid.npy", problem, "extract the features again")
        n, m = len(store.image_ids), len(store.caption_image)
        per_image = {len(store.grid), len(store.global_), len(store.query)}
        if per_image != {n} or store.grid.shape[1:2] != (GRID_CELLS,) or len(store.caption_global) != m:
            raise UserError(folder, "the arrays disagree in length", "extract the features again")
        return store

    @property
    def query(self) -> np.ndarray:
        """The images in the space of the captions (n, E')."""
        return self.global_ if self.separate_query is None else self.separate_query

    @cached_property
    def rows(self) -> dict[int, int]:
        """Image id -> row."""
        return {int(image): row for row, image in enumerate(self.image_ids)}

    def rows_of(self, image_ids: Sequence[int], names: Sequence[ImageId] = ()) -> np.ndarray:
        """Rows of these images; UserError naming, by ``names`` if given, the first that has no features."""
        named = zip(image_ids, names or image_ids, strict=True)
        missing = next((name for image, name in named if image not in self.rows), None)
        if missing is not None:
            raise UserError(self.folder, f"no features of image {missing}", "extract the features of this data set")
        return np.array([self.rows[image] for image in image_ids], dtype=np.int64)

    def grids(self, rows: np.ndarray) -> np.ndarray:
        """Grids (B, 49, D) of these rows, float16.

        Of a store on disk they are read, not taken from the map: the disk is asked for all of them at once, and the
        pages do not stay in the memory of the process.
        """
        if not isinstance(self.grid, np.memmap):
            return self.grid[rows]
        grids = np.empty((len(rows), *self.grid.shape[1:]), self.grid.dtype)
        size = self.grid[0].nbytes
        places = [self.grid.offset + int(row) * size for row in rows]
        if hasattr(os, "posix_fadvise"):  # not on macOS
            for place in places:
                os.posix_fadvise(self._grid_file.fileno(), place, size, os.POSIX_FADV_WILLNEED)
        for grid, place in zip(grids, places, strict=True):
            if os.preadv(self._grid_file.fileno(), [grid], place) != size:
                raise UserError(self.grid.filename, "ends too early", "extract the features again")
        return grids

    @cached_property
    def _grid_file(self) -> BinaryIO:
        return open(self.grid.filename, "rb", buffering=0)  # noqa: SIM115 - as long as the store, as its maps

    def captions_of(self, image_id: int) -> np.ndarray:
        """Vectors of an image's captions, (its captions, E')."""
        first, last = np.searchsorted(self._caption_order[0], [image_id, image_id + 1])
        return self.caption_global[self._caption_order[1][first:last]]

    @cached_property
    def _caption_order(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.caption_image, kind="stable")
        return np.asarray(self.caption_image)[order], order


def check_features(
    name: str | Path, array: np.ndarray, shape: tuple[int | None, ...], finite: str = "finite (NaN or infinity)"
) -> None:
    """UserError naming the file when ``array`` is not of ``shape`` (None: any size) or not ``finite``."""
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = " x ".join("any" if size is None else str(size) for size in shape)
        found = " x ".join(map(str, array.shape)) or "a scalar"
        raise UserError(name, f"features of shape {found}, expected {wanted}", "extract them again")
    if array.dtype.kind not in "fiu":
        raise UserError(name, f"features of type {array.dtype}, expected numbers", "extract them again")
    if not np.isfinite(array).all():
        raise UserError(name, f"features that are not {finite}", "extract them again")


class StoreWriter:
    """Fills the arrays of a new store row by row, without holding them in memory.

    ``query_dim``: the dimension of the captions' vectors, if images have vectors of their own in their space.
    """

    def __init__(
        self,
        folder: Path,
        image_ids: list[int],
        caption_image: list[int],
        grid_dim: int,
        dim: int,
        query_dim: int | None = None,
    ) -> None:
        n, m = len(image_ids), len(caption_image)
        np.save(folder / "image_ids.npy", np.array(image_ids, dtype=np.int64))
        np.save(folder / "caption_image.npy", np.array(caption_image, dtype=np.int64))
        self.grid = self._array(folder / "grid.npy", (n, GRID_CELLS, grid_dim), np.float16)
        self.global_ = self._array(folder / "global.npy", (n, dim), np.float32)
        self.caption_global = self._array(folder / "caption_global.npy", (m, query_dim or dim), np.float32)
        self.separate_query: np.ndarray | None = None
        if query_dim is not None:
            self.separate_query = self._array(folder / f"{QUERY}.npy", (n, query_dim), np.float32)

    @staticmethod
    def _array(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        if 0 in shape:  # an empty array cannot be mapped
            array = np.zeros(shape, dtype)
            np.save(path, array)
            return array
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)

    def flush(self) -> None:
        """Write everything to disk."""
        for array in (self.grid, self.global_, self.caption_global, self.separate_query):
            if isinstance(array, np.memmap):
                array.flush()
