"""What of an experiment's data is in place, file by file, and what brings the rest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rdt.data.dataset import Dataset, load_role
from rdt.data.public import PublicSet, public_set
from rdt.errors import UserError
from rdt.experiment.settings import Data, Experiment, Role
from rdt.features.naming import entries_of
from rdt.features.sources import open_source

GRID = 49 * 2048  # numbers in a grid of CLIP RN101
VECTOR = 512  # in a global vector of CLIP
FLOAT = 4  # bytes of a number, as published
# Numbers in the files of a folder of features, for an image and for each of its captions, by the folder's key.
NUMBERS = {"features": (GRID + VECTOR, 0), "retrieval_features": (VECTOR, 0), "caption_features": (0, VECTOR)}


@dataclass(frozen=True)
class Item:
    """A file or folder of a role: what was found and, unless it is in place, what was expected and what brings it.

    ``needed`` is False for what nothing would read.
    """

    role: Role
    key: str
    path: Path
    found: str
    in_place: bool
    fetch: str = ""
    needed: bool = True


def inventory(experiment: Experiment, named: Sequence[str]) -> Iterator[Item]:
    """The files of every role whose data are not made by the suite itself.

    ``named``: the arguments by which a command is told of the experiment.
    """
    for role, data in experiment.data.items():
        if data.source != "scenes":
            extract = shlex.join(["rdt", "extract", *named, "--role", role])
            yield from _role_items(role, data, Path(experiment.data_root), extract)


def import_size(experiment: Experiment) -> int:
    """Bytes that the features of public data sets take in results/: grids in float16, vectors in float32."""
    sets = [public_set(data) for data in experiment.data.values() if data.features]
    return sum(s.images * (2 * GRID + 2 * FLOAT * VECTOR) + s.captions * FLOAT * VECTOR for s in sets if s)


def size(n: float) -> str:
    """Bytes as a reader takes them: 49.7 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            break
        n /= 1000
    return f"{n:.1f} {unit}" if n < 10 else f"{n:,.0f} {unit}"


def _role_items(role: Role, data: Data, root: Path, extract: str) -> Iterator[Item]:
    public = public_set(data)
    annotations, dataset = _annotations(role, data, root, public)
    yield annotations
    folders = {key: root / getattr(data, key) for key in NUMBERS if getattr(data, key)}
    together = dataset is not None and _fault(list(folders.values()), data, dataset) is None
    features = [_features(role, key, folder, data, dataset, together, extract) for key, folder in folders.items()]
    if data.images:
        needed = not data.features or not all(item.in_place for item in features)
        yield _photographs(role, data, root, dataset, needed)
    yield from features


def _annotations(role: Role, data: Data, root: Path, public: PublicSet | None) -> tuple[Item, Dataset | None]:
    files = [root / name for name in data.annotation_files]
    path = next((path for path in files if not path.is_file()), files[0])
    wanted = f", {size(public.size)}" if public else ""
    fetch = f"put the annotations to {path}"
    if public:
        fetch = public.fetch.format(root=path.parent, name=path.name)
    if not path.is_file():
        return Item(role, "annotations", path, f"missing{wanted}", False, fetch), None
    try:
        without_photographs = replace(data, features=data.features or "-")
        dataset = load_role(role, without_photographs, Path(), root)
    except UserError as error:
        return Item(role, "annotations", path, error.problem, False, error.remedy), None
    found = f"{size(sum(path.stat().st_size for path in files))}, {len(dataset.images):,} images"
    if public and len(dataset.images) != public.images:
        found += f" (all of the public file are {public.images:,})"
    return Item(role, "annotations", path, found, True), dataset


def _fault(folders: Sequence[Path], data: Data, dataset: Dataset) -> UserError | None:
    """What is wrong with the features in these places; None where they have all images."""
    try:
        entries_of([open_source(path) for path in folders], dataset.images, data.features_named_by or None)
    except UserError as error:
        return error
    return None


def _features(
    role: Role, key: str, folder: Path, data: Data, dataset: Dataset | None, together: bool, extract: str
) -> Item:
    """One place of a role's features; ``together``: all of them have all images."""
    fetch, public = f"{extract}  # or copy published features there", public_set(data)
    source = open_source(folder) if folder.is_dir() else None
    present = len(source.entries) if source else 0
    images = len(dataset.images) if dataset else public.images if public else None
    of_all = "" if images is None else f" of {images:,}"
    if dataset is None or not (present or folder.is_file()):
        per_image, per_caption = NUMBERS[key]
        total = public and FLOAT * (per_image * public.images + per_caption * public.captions)
        expected = f", {size(total)} as published" if total else ""
        return Item(role, key, folder, f"{present:,}{of_all} .npz{expected}", False, fetch)
    if not together and (error := _fault([folder], data, dataset)):
        told = f"{error.problem} ({Path(error.where).name})"
        return Item(role, key, folder, f"{present:,} .npz; {told}" if source else told, False, fetch)
    if source is None:
        return Item(role, key, folder, f"a file of all {images:,}, {size(folder.stat().st_size)}", True)
    about = Path(source.called(min(source.entries))).stat().st_size * len(dataset.images)
    return Item(role, key, folder, f"{len(dataset.images):,}{of_all} .npz, about {size(about)}", True)


def _photographs(role: Role, data: Data, root: Path, dataset: Dataset | None, needed: bool) -> Item:
    folder, public = root / data.images, public_set(data)
    fetch = f"put the photographs to {folder}/"
    if public:
        fetch = public.photographs.format(root=root, name=data.annotation_files[0], folder=folder)
    expected = f", {size(public.photo_size)}" if public else ""
    if not folder.is_dir():
        return Item(role, "images", folder, f"missing{expected}", False, fetch, needed)
    if dataset is None:
        return Item(role, "images", folder, "there; not counted without annotations", True, needed=needed)
    lacking = [image.path for image in dataset.images if not (folder / image.path).is_file()]
    total = len(dataset.images)
    found = f"{total - len(lacking):,} of {total:,} photographs"
    if lacking:
        return Item(role, "images", folder, f"{found}; no {lacking[0]}", False, fetch, needed)
    return Item(role, "images", folder, found, True, needed=needed)
