"""Images and their captions: Karpathy's JSON, nocaps' JSON, and one loader for the roles of an experiment."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rdt.data.user_files import read_user_file
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Data, Experiment, Role
from rdt.files import read_json

DOMAINS = ("in-domain", "near-domain", "out-domain")
SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}  # ours -> Karpathy's
MOST_CHARACTERS = 10_000  # of a caption: those of language models have a few thousand
SKIPPED = "skipped.json"  # in a folder of features: the images that `rdt extract --skip-corrupt` has left out


@dataclass(frozen=True)
class Caption:
    """``tokens`` are lower-case words without punctuation, ``raw`` the sentence as written."""

    tokens: tuple[str, ...]
    raw: str


@dataclass(frozen=True)
class Image:
    """An annotated image; ``path`` is relative to the data set's ``image_root``.

    ``domain`` is one of ``DOMAINS`` (nocaps only); ``twin`` is the id of the image that differs in one attribute.
    ``left_out`` are the places of sentences without words, which are not among ``captions``.
    """

    id: int
    path: str
    split: str
    captions: tuple[Caption, ...]
    domain: str | None = None
    twin: int | None = None
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The images of one data set, in file order; ``notes`` say what was left out or converted."""

    name: str
    images: tuple[Image, ...]
    image_root: Path
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Image, ...]:
        """The images of ``train`` (Karpathy's train and restval), ``val`` or ``test``."""
        return tuple(image for image in self.images if image.split in SPLITS[name])

    @cached_property
    def by_id(self) -> dict[int, Image]:
        return {image.id: image for image in self.images}

    def file(self, image: Image) -> Path:
        return self.image_root / image.path


def load_role(role: Role, data: Data, scenes_dir: Path, data_root: Path) -> Dataset:
    """The data set of ``role``: the embedded scenes in ``scenes_dir``, or files relative to ``data_root``.

    With published features (``data.features``) the images themselves need not be there, and those that
    their extraction has left out are not in the data set.
    """
    if data.source == "scenes":
        load = load_nocaps if role == "novel" else load_karpathy
        return load(scenes_dir / "dataset.json", scenes_dir / "images", f"scenes-{role}")
    load = load_nocaps if data.source == "nocaps" else load_karpathy
    pixels = not data.features
    dataset = load(data_root / data.annotations, data_root / data.images, data.title or role, pixels=pixels)
    return without_skipped(dataset, skip_list(data, data_root))


def open_dataset(experiment: Experiment, paths: Paths, role: Role) -> Dataset:
    """The data set of a role, generated or the user's."""
    return load_role(role, experiment.data[role], paths.scenes(role), Path(experiment.data_root))


def skip_list(data: Data, data_root: Path) -> Path | None:
    """The list of the images that a role goes without, if there is one."""
    path = data_root / data.features / SKIPPED
    return path if data.features and path.is_file() else None


def without_skipped(dataset: Dataset, skipped: Path | None) -> Dataset:
    """``dataset`` less the images of a skip list, ``{"images": [{"id": ...}]}``."""
    if skipped is None:
        return dataset
    document = read_json(skipped)
    entries = document.get("images") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise UserError(skipped, "has no list 'images'", "extract the features again")
    left_out = {_field(skipped, f"images[{n}]", entry, "id", int) for n, entry in enumerate(entries)}
    return replace(dataset, images=tuple(image for image in dataset.images if image.id not in left_out))


def load_karpathy(annotations: Path, image_root: Path, name: str, pixels: bool = True) -> Dataset:
    """Read Karpathy's JSON: ``images[].{filename, filepath?, imgid, cocoid?, split, sentences[].{tokens, raw}}``.

    An image's id is its ``cocoid`` if it has one, else its ``imgid``; ``twin`` is an optional key. Raises
    ``UserError`` for a file, an image or a split that cannot be used and, if ``pixels`` are to be read,
    for a missing ``image_root``.
    """
    document = _read_entries(annotations)
    images = tuple(_karpathy_image(annotations, n, entry) for n, entry in enumerate(document["images"]))
    dataset = Dataset(name, images, image_root)
    _check_ids(annotations, images)
    for split in SPLITS:
        if not dataset.split(split):
            raise UserError(annotations, f"split {split!r} has no images", "give every image a split; all three needed")
    _check_twins(annotations, dataset)
    if pixels:
        _check_root(image_root, annotations)
    return dataset


def load_nocaps(annotations: Path, image_root: Path, name: str, pixels: bool = True) -> Dataset:
    """Read nocaps' JSON: ``images[].{id, file_name, domain}`` and ``annotations[].{image_id, caption}``.

    All images are in the split ``test``. Raises ``UserError`` as :func:`load_karpathy` does.
    """
    document = _read_entries(annotations)
    sentences = document.get("annotations")
    if not isinstance(sentences, list):
        raise UserError(annotations, "has no list 'annotations'", "give nocaps' validation captions")
    captions: dict[int, list[Caption]] = {}
    for n, sentence in enumerate(sentences):
        image_id = _field(annotations, f"annotation {n}", sentence, "image_id", int)
        raw = _field(annotations, f"annotation {n}", sentence, "caption", str)
        tokens = tokenize(raw)
        _check_tokens(annotations, image_id, tokens)
        captions.setdefault(image_id, []).append(Caption(_short_enough(annotations, image_id, tokens, raw), raw))
    images = tuple(_nocaps_image(annotations, n, entry, captions) for n, entry in enumerate(document["images"]))
    _check_ids(annotations, images)
    strangers = captions.keys() - {image.id for image in images}
    if strangers:
        raise UserError(annotations, f"captions for image {min(strangers)}, which is not in 'images'", "remove them")
    if not images:
        raise UserError(annotations, "split 'test' has no images", "give nocaps' validation captions")
    if pixels:
        _check_root(image_root, annotations)
    return Dataset(name, images, image_root)


def tokenize(sentence: str) -> tuple[str, ...]:
    """Lower-case words of ``sentence``, punctuation deleted."""
    return tuple(re.sub(r"[^\w\s]|_", "", sentence.lower()).split())


def _read_entries(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise UserError(path, "is a folder, expected a JSON file", "correct the path of the annotations")
    document = read_user_file(path).value
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise UserError(path, "has no list 'images'", "give annotations in Karpathy's or nocaps' format")
    return document


def _field(path: Path, entry_name: str, entry: Any, key: str, kind: type) -> Any:
    value = entry.get(key) if isinstance(entry, dict) else None
    # A JSON true is a Python int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(path, f"{entry_name} has no {key!r} of type {kind.__name__}", "correct the entry")
    return value


def _karpathy_image(path: Path, n: int, entry: Any) -> Image:
    key = "cocoid" if isinstance(entry, dict) and "cocoid" in entry else "imgid"
    image_id = _field(path, f"images[{n}]", entry, key, int)
    filename = _field(path, f"image {image_id}", entry, "filename", str)
    split = _field(path, f"image {image_id}", entry, "split", str)
    known = [name for names in SPLITS.values() for name in names]
    if split not in known:
        raise UserError(path, f"image {image_id} has split {split!r}, expected one of {', '.join(known)}", "correct it")
    captions = []
    for sentence in _field(path, f"image {image_id}", entry, "sentences", list):
        tokens = sentence.get("tokens") if isinstance(sentence, dict) else None
        _check_tokens(path, image_id, tokens)
        tokens = tuple(token.lower() for token in tokens)
        raw = str(sentence.get("raw") or " ".join(tokens))
        captions.append(Caption(_short_enough(path, image_id, tokens, raw), raw))
    _check_captions(path, image_id, captions)
    folder = entry.get("filepath") or ""
    name = _file_name(path, image_id, f"{folder}/{filename}" if folder else filename)
    twin = None if entry.get("twin") is None else _field(path, f"image {image_id}", entry, "twin", int)
    return Image(image_id, name, split, tuple(captions), twin=twin)


def _nocaps_image(path: Path, n: int, entry: Any, captions: dict[int, list[Caption]]) -> Image:
    image_id = _field(path, f"images[{n}]", entry, "id", int)
    filename = _field(path, f"image {image_id}", entry, "file_name", str)
    domain = entry.get("domain")
    if domain is None:
        remedy = "take nocaps_val_4500_captions.json, which has them; nocaps_val_image_info.json has not"
        raise UserError(path, f"image {image_id} has no 'domain', by which nocaps is scored", remedy)
    if domain not in DOMAINS:
        problem = f"image {image_id} has domain {domain!r}, expected one of {', '.join(DOMAINS)}"
        raise UserError(path, problem, "correct it")
    _check_captions(path, image_id, captions.get(image_id, []))
    return Image(image_id, _file_name(path, image_id, filename), "test", tuple(captions[image_id]), domain=domain)


def _check_tokens(path: Path, image_id: int, tokens: Any) -> None:
    if not isinstance(tokens, list | tuple) or not tokens or not all(isinstance(t, str) and t for t in tokens):
        raise UserError(path, f"image {image_id} has a sentence without tokens", "remove the sentence or add its words")


def _short_enough(path: Path, image_id: int, tokens: tuple[str, ...], raw: str) -> tuple[str, ...]:
    """``tokens``; UserError where they or the sentence are longer than any caption."""
    length = max(len(raw), sum(map(len, tokens)))
    if length > MOST_CHARACTERS:
        problem = f"image {image_id} has a sentence of {length:,} characters, expected at most {MOST_CHARACTERS:,}"
        raise UserError(path, problem, "shorten it")
    return tokens


def _file_name(path: Path, image_id: int, name: str) -> str:
    """``name`` of an image's file; UserError where no file can have it."""
    if "\0" in name or any(len(part.encode()) > 255 for part in name.split("/")):
        raise UserError(
            path, f"image {image_id} has the file name {name[:40]!r}..., which no file can have", "correct it"
        )
    return name


def _check_captions(path: Path, image_id: int, captions: list[Caption]) -> None:
    if not captions:
        raise UserError(path, f"image {image_id} has no captions", "remove the image or add its captions")


def _check_ids(path: Path, images: tuple[Image, ...]) -> None:
    duplicated = [image_id for image_id, n in Counter(image.id for image in images).items() if n > 1]
    if duplicated:
        raise UserError(path, f"image id {duplicated[0]} occurs more than once", "keep one entry an image")
    large = next((image.id for image in images if abs(image.id) >= 2**63), None)
    if large is not None:
        raise UserError(path, f"image id {large} is beyond 64 bits", "number the images otherwise")


def _check_twins(path: Path, dataset: Dataset) -> None:
    for image in dataset.images:
        if image.twin is not None:
            other = dataset.by_id.get(image.twin)
            if other is None or other.twin != image.id or other.split != image.split:
                problem = f"image {image.id} names twin {image.twin}, which is not its twin in the same split"
                raise UserError(path, problem, "make the two name each other")


def _check_root(image_root: Path, annotations: Path) -> None:
    if not image_root.is_dir():
        raise UserError(image_root, f"no such image folder (for {annotations})", "correct the path of the images")
