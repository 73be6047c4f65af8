"""Which entry of a user's features is whose: they go by image id, or by the photographs' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rdt.data.dataset import Image
from rdt.data.identity import file_stem
from rdt.errors import UserError
from rdt.experiment.settings import Naming
from rdt.features.sources import REMEDY, Source

NEARLY = 0.9  # share of the images from which on another naming may be the one that is meant
Entries = tuple[str, ...]  # of each image, in their order


def _digits(image: Image) -> str | None:
    """The number that ends the photograph's name, as written: ``000000391895`` of COCO_val2014_000000391895.jpg."""
    found = re.search(r"\d+$", Path(image.path).stem)
    return found[0] if found else None


def _photo_number(image: Image) -> str | None:
    digits = _digits(image)
    return None if digits is None else digits.lstrip("0") or "0"


_WAYS: tuple[tuple[Naming, Callable[[Image], str | None]], ...] = (
    ("id", lambda image: file_stem(image.id)),
    ("id", lambda image: str(image.id)),
    ("number", _photo_number),
    ("number", _digits),
    ("photograph", lambda image: Path(image.path).stem),
    ("photograph", lambda image: Path(image.path).name),
)
_TITLES: dict[Naming, str] = {
    "id": "image id",
    "number": "the number in the photograph's name",
    "photograph": "the photograph's name",
}


def entries_of(sources: Sequence[Source], images: Sequence[Image], named_by: Naming | None = None) -> list[Entries]:
    """The entry of each image in each of a role's sources, which go by one naming, or each by the only one that fits.

    Raises UserError where entries are missing, and where several namings fit that give images different entries,
    unless ``named_by`` says which is meant.
    """
    namings = _namings(images, named_by)
    fitting = [entries for entries in namings if all(source.entries.issuperset(entries) for source in sources)]
    if fitting:
        if named_by is None:
            _check_sole(sources, images, namings, fitting)
        return [fitting[0]] * len(sources)
    found = []
    for source in sources:
        own = [entries for entries in namings if source.entries.issuperset(entries)]
        if len(own) > 1 and named_by is None:
            _tell_doubt(source, images, namings, *own[:2])
        found.append(own[0] if own else _tell_missing(source, namings))
    return found


def _namings(images: Sequence[Image], named_by: Naming | None) -> dict[Entries, Naming]:
    """The ways to name the entries of all images; ways that give the same entries are one."""
    found: dict[Entries, Naming] = {}
    for naming, way in _WAYS:
        entries = tuple(map(way, images))
        usable = None not in entries and len(set(entries)) == len(entries)
        if usable and named_by in (None, naming):
            found.setdefault(entries, naming)
    if not found:
        problem = f"does not tell the entries of images apart: {images[0].path!r} and others have the same, or none"
        raise UserError(f"data.*.features_named_by: {named_by}", problem, "name the features by id")
    return found


def _check_sole(
    sources: Sequence[Source], images: Sequence[Image], namings: dict[Entries, Naming], fitting: list[Entries]
) -> None:
    """UserError if a second naming fits, or nearly does where the sources hold entries that the first leaves over."""
    if len(fitting) > 1:
        _tell_doubt(sources[0], images, namings, *fitting[:2])
    for other in namings:
        if other != fitting[0] and all(
            len(source.entries.intersection(other)) >= NEARLY * len(other) and not source.entries <= set(fitting[0])
            for source in sources
        ):
            _tell_doubt(sources[0], images, namings, fitting[0], other)


def _tell_doubt(
    source: Source, images: Sequence[Image], namings: dict[Entries, Naming], one: Entries, other: Entries
) -> NoReturn:
    at = next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    found = [
        f"{len(source.entries.intersection(entries)):,} of {len(images):,} images by {_TITLES[namings[entries]]} "
        f"({entries[at]} for {images[at].path})"
        for entries in (one, other)
    ]
    names = " or ".join(dict.fromkeys((namings[one], namings[other])))
    problem = f"has features of {found[0]} and of {found[1]}"
    raise UserError(source.path, problem, f"say which is meant: data.*.features_named_by: {names}")


def _tell_missing(source: Source, namings: dict[Entries, Naming]) -> NoReturn:
    """UserError for the first image without features, by the naming that most have."""
    entries = max(namings, key=lambda entries: len(source.entries.intersection(entries)))
    missing = [entry for entry in entries if entry not in source.entries]
    if len(missing) == len(entries):
        known = {naming: source.called(other[0]) for other, naming in reversed(namings.items())}
        expected = " or ".join(f"{Path(known[way]).name} ({_TITLES[way]})" for way in _TITLES if way in known)
        problem = f"has features of none of the {len(entries):,} images: {expected} is expected, and it {_held(source)}"
        raise UserError(source.path, problem, "name the folder of this data set's features")
    others = f", nor those of {len(missing) - 1:,} other images" if missing[1:] else ""
    raise UserError(source.called(missing[0]), f"{source.lacking}{others}", REMEDY)


def _held(source: Source) -> str:
    if source.entries:
        return f"holds {Path(source.called(min(source.entries))).name}"
    other = min((path.name for path in source.path.iterdir()), default=None) if source.path.is_dir() else None
    return f"holds {other}" if other else "is empty"
