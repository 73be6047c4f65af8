"""Results that were made elsewhere, taken from a crate: captions and scores can be used without what made them.

A crate (:mod:`rdt.provenance.crate`) has the manifest of every output, and of its files those that are small. What is
taken is what a manifest records, byte by byte. Of an output that is here already nothing is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rdt.digests import MANIFEST
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.files import atomic_file, atomic_write_json, read_json

LARGEST = 2**32  # bytes of one file that is taken
FOREIGN = "is not a crate that `rdt export --crate` wrote"
BY_RUN = ("runs", "captions", "inspection")  # folders with one of each run
LEARNT_ON = ("data", "encoder", "features", "vocabulary", "index")  # what networks that are compared have in common


@dataclass(frozen=True)
class Taken:
    """What an import did: outputs that were taken, those that were here, and those here with other content."""

    new: tuple[Path, ...]
    same: tuple[Path, ...]
    kept: tuple[Path, ...]


def imported(paths: Paths) -> dict[Path, str]:
    """The outputs that were imported, each with the name of its crate."""
    path = _record(paths)
    return {Path(target): crate for target, crate in read_json(path).items()} if path.is_file() else {}


def import_crate(crate: Path, paths: Paths) -> Taken:
    """Take what a crate has of an experiment's results.

    Raises UserError for a file that is no crate of it, whose files are not what their manifests record, or whose
    networks learnt from other data or features than those that are here.
    """
    try:
        with zipfile.ZipFile(crate) as archive:
            return _take(archive, crate, paths)
    except (OSError, zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(crate, f"{FOREIGN}: {error}", "name the zip file") from None


def _take(archive: zipfile.ZipFile, crate: Path, paths: Paths) -> Taken:
    entries = {entry.filename: entry for entry in archive.infolist() if _belongs(entry, crate, paths)}
    if not entries:
        problem = f"has no results of experiment {paths.experiment}"
        raise UserError(crate, problem, "name its experiment with --experiment, or another crate")
    outputs = {name: json.loads(archive.read(name)) for name in entries if name.endswith(MANIFEST)}
    new: dict[str, dict[str, Any]] = {}
    same, kept = [], []
    for name, manifest in outputs.items():
        here = Path(name)
        if not here.is_file():
            new[name] = manifest
        elif read_json(here)["content"] == manifest["content"]:
            same.append(_target(here))
        else:
            _check_shared(here, crate, paths)
            kept.append(_target(here))
    new = {name: manifest for name, manifest in new.items() if not _mixes(_target(Path(name)), kept, paths)}
    for name, manifest in new.items():
        _check_files(archive, entries, name, manifest, crate)
    for name, manifest in new.items():
        for file in (*_files(name, manifest), name):  # the manifest last: with it the output is there
            if file in entries:
                _extract(archive, entries[file])
    taken = tuple(_target(Path(name)) for name in new)
    atomic_write_json(
        _record(paths), {str(path): name for path, name in (imported(paths) | dict.fromkeys(taken, crate.name)).items()}
    )
    return Taken(taken, tuple(same), tuple(kept))


def _record(paths: Paths) -> Path:
    return paths.root / "imported.json"


def _belongs(entry: zipfile.ZipInfo, crate: Path, paths: Paths) -> bool:
    """Whether an entry is a file of the experiment's results; UserError for one that would lie elsewhere or is huge."""
    parts = PurePosixPath(entry.filename).parts
    if ".." in parts or PurePosixPath(entry.filename).is_absolute() or "\\" in entry.filename:
        raise UserError(crate, f"holds the path {entry.filename!r}, which leads out of it", "do not import it")
    if entry.is_dir() or parts[: len(paths.root.parts)] != paths.root.parts:
        return False
    if entry.file_size > LARGEST:
        raise UserError(crate, f"holds {entry.filename} of {entry.file_size:,} bytes", f"at most {LARGEST:,} are taken")
    return True


def _target(manifest: Path) -> Path:
    """The output whose manifest this is."""
    return manifest.parent if manifest.name == MANIFEST else manifest.with_name(manifest.name[: -len(MANIFEST) - 1])


def _files(name: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """The files that a manifest in the crate records, by their names in the crate."""
    for file in manifest["files"]:
        yield PurePosixPath(os.path.normpath(PurePosixPath(name).parent / file)).as_posix()


def _check_shared(here: Path, crate: Path, paths: Paths) -> None:
    if here.parts[len(paths.root.parts)] in LEARNT_ON:
        problem = f"has networks that learnt from another {_target(here)} than is here, so that they do not compare"
        raise UserError(crate, problem, "import it where nothing of the experiment is, before anything is made there")


def _mixes(target: Path, kept: Sequence[Path], paths: Paths) -> bool:
    """Whether an output was made from networks that are others here: of the same run, or scores of many runs."""
    kind, *of = target.relative_to(paths.root).parts
    others = {path.relative_to(paths.root).parts[1] for path in kept}
    return bool(others) and (kind not in BY_RUN or of[0] in others) and kind not in LEARNT_ON


def _check_files(
    archive: zipfile.ZipFile, entries: Mapping[str, Any], name: str, manifest: Mapping[str, Any], crate: Path
) -> None:
    for file, expected in zip(_files(name, manifest), manifest["files"].values(), strict=True):
        if file in entries and _entry_digest(archive, entries[file]) != expected:
            raise UserError(crate, f"holds a {file} that is not the one of its manifest", "fetch the crate again")


def _entry_digest(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    with archive.open(entry) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    path = Path(entry.filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, atomic_file(path) as partial, partial.open("wb") as target:
        while block := source.read(2**20):
            target.write(block)
