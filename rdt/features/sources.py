"""Where a user's features lie: in a folder with a file an image, or in one HDF5 or .npz file of all images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rdt.errors import UserError
from rdt.files import UNREADABLE
from rdt.signatures import HDF5, HEAD, ZIP, what_it_is

ALONE = ""  # the name of an array that has none: an .npy file's, or the one of an image in a file of all images
REMEDY = "fetch or extract it; nothing is put in its place"
_FORMS = "a folder of .npz or .npy files, or one .npz or HDF5 file"
_SUFFIXES = (".npy", ".npz")  # where a folder has both of an image, the .npz counts
_IDS = ("image_ids", "image_id", "ids", "id", "names", "filenames", "file_names")  # of rows, in one file


class Source(Protocol):
    """The features of many images; ``entries`` are what they are called there."""

    @property
    def path(self) -> Path: ...

    @property
    def entries(self) -> frozenset[str]: ...

    def called(self, entry: str) -> str:
        """What errors call an entry."""
        ...

    @property
    def lacking(self) -> str:
        """What errors say of an entry that is not there."""
        ...

    def arrays(self, entry: str, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays of an entry that are ``wanted``, or the one that has no name, as :data:`ALONE`.

        Raises UserError where the entry cannot be read or has none of them.
        """
        ...


def open_source(path: Path) -> Source:
    """The features at ``path``. Raises UserError where there is nothing, or something else."""
    if path.is_dir():
        return FolderSource(path)
    if not path.is_file():
        raise UserError(path, "no such folder or file", "correct the path of the features")
    with path.open("rb") as file:
        kind = what_it_is(file.read(HEAD))
    if kind not in (HDF5, ZIP):
        raise UserError(path, f"is {kind or 'a file of another kind'}, expected {_FORMS}", "convert it")
    with _readable(path):
        return FileSource(path, *(_hdf5(path) if kind == HDF5 else _npz(path)))


@contextmanager
def _readable(where: str | Path) -> Iterator[None]:
    """UserError that names what cannot be read."""
    try:
        yield
    except UNREADABLE as error:
        kind = next((suffix for suffix in (".npz", ".npy") if str(where).endswith(suffix)), "HDF5 or .npz")
        raise UserError(where, f"not a readable {kind} file ({error})", REMEDY) from error


@dataclass(frozen=True)
class FolderSource:
    """A folder with ``<name>.npz`` or ``<name>.npy`` of each image."""

    path: Path

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = sorted(self.path.iterdir(), key=lambda path: path.suffix)
        return {path.stem: path for path in found if path.suffix in _SUFFIXES}

    @cached_property
    def entries(self) -> frozenset[str]:
        return frozenset(self._files)

    def called(self, entry: str) -> str:
        """The file, also where it is missing."""
        return str(self._files.get(entry, self.path / f"{entry}{self._suffix}"))

    lacking = "the file does not exist"

    @property
    def _suffix(self) -> str:
        return next((path.suffix for path in self._files.values()), ".npz")

    def arrays(self, entry: str, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """See :class:`Source`."""
        path = self._files[entry]
        with _readable(path):
            loaded = np.load(path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {ALONE: loaded}
            with loaded as arrays:
                return {name: arrays[name] for name in _those_of(path, arrays.files, wanted)}


class FileSource:
    """One file of all images.

    ``paths`` are the arrays in it. Either each image has arrays of its own, ``<name>`` or ``<name>/<array>``; or an
    array of ids says whose each row of the others is.
    """

    def __init__(self, path: Path, paths: Sequence[str], read: Callable[[str], Any]) -> None:
        self.path = path
        self._read = read  # an array of the file, or what can be indexed as one
        self._ids = next((name for name in _IDS if name in paths), None)
        self._kept: dict[str, Any] = {}
        self._places: dict[str, dict[str, str]] = defaultdict(dict)
        self._rows: dict[str, list[int]] = defaultdict(list)
        if self._ids is not None:
            self._columns = [name for name in paths if name != self._ids]
            for row, name in enumerate(np.asarray(read(self._ids)).ravel()):
                self._rows[name.decode() if isinstance(name, bytes) else str(name)].append(row)
        for name in paths if self._ids is None else ():
            entry, _, array = name.rpartition("/")
            self._places[entry or name][array if entry else ALONE] = name

    @cached_property
    def entries(self) -> frozenset[str]:
        return frozenset(self._rows or self._places)

    lacking = "the file does not hold it"

    def called(self, entry: str) -> str:
        """The file and the image in it."""
        return f"{self.path} ({entry})"

    def arrays(self, entry: str, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """See :class:`Source`."""
        where = self.called(entry)
        with _readable(where):
            if self._ids is None:
                found = self._places[entry]
                names = [ALONE] if list(found) == [ALONE] else _those_of(where, found, wanted)
                return {name: np.asarray(self._read(found[name])) for name in names}
            rows = self._rows[entry]
            names = _those_of(where, self._columns, wanted)
            return {name: np.asarray(self._column(name)[rows[0] if len(rows) == 1 else rows]) for name in names}

    def _column(self, name: str) -> Any:
        """An array of all images, read once."""
        if name not in self._kept:
            self._kept[name] = self._read(name)
        return self._kept[name]


def _those_of(where: str | Path, names: Sequence[str] | Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    """Those of ``wanted`` that are among ``names``; UserError where none is."""
    if present := [name for name in wanted if name in names]:
        return present
    listed = ", ".join(list(names)[:5]) or "no arrays"
    keys = "data.*.grid_key and data.*.global_key"
    raise UserError(where, f"has {listed}, expected {' and '.join(wanted)}", f"name the arrays by {keys}")


def _npz(path: Path) -> tuple[list[str], Callable[[str], Any]]:
    """The names of an .npz file's arrays, and what reads one."""
    file = np.load(path, allow_pickle=False)
    return file.files, file.__getitem__


def _hdf5(path: Path) -> tuple[list[str], Callable[[str], Any]]:
    """The paths of an HDF5 file's arrays, and what gives one to be read by rows."""
    import h5py  # here, so that commands that read no such file start without it

    file, names = h5py.File(path, "r"), []
    file.visititems(lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None)
    return names, file.__getitem__
