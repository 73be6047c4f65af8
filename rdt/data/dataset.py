"""Images and their captions: Karpathy's JSON, nocaps' JSON, and one loader for the roles of an experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rdt.data.identity import ImageId, OtherNames, fits_arrays, karpathy_key, other_names, read_id
from rdt.data.sentences import Caption, Tally, read_sentences, tokenize
from rdt.data.user_files import read_user_file
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Data, Experiment, Role
from rdt.files import read_json

DOMAINS = ("in-domain", "near-domain", "out-domain")
SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}  # ours -> Karpathy's
SKIPPED = "skipped.json"  # in a folder of features: the images that `rdt extract --skip-corrupt` has left out


@dataclass(frozen=True)
class Image:
    """An annotated image; ``path`` is relative to the data set's ``image_root``.

    ``domain`` is one of ``DOMAINS`` (nocaps only); ``twin`` is the id of the image that differs in one attribute;
    ``left_out`` are the places of sentences without words, which are not among ``captions``; ``names`` what else the
    annotations call it; ``place`` its place in the data set, where ids are not all int64.
    """

    id: ImageId
    path: str
    split: str
    captions: tuple[Caption, ...]
    domain: str | None = None
    twin: ImageId | None = None
    left_out: tuple[int, ...] = ()
    names: OtherNames = ()
    place: int | None = None

    @property
    def number(self) -> int:
        """What stands for the image in arrays and draws of noise: the id, if all of the data set can."""
        return self.id if self.place is None else self.place


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
    def by_id(self) -> dict[ImageId, Image]:
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
        # an import has no images
        return load(scenes_dir / "dataset.json", scenes_dir / "images", f"scenes-{role}", pixels=False)
    load = load_nocaps if data.source == "nocaps" else load_karpathy
    pixels = not data.features
    first, *more = (data_root / name for name in data.annotation_files)
    dataset = load(first, data_root / data.images, data.title or role, pixels=pixels, more=more)
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
    left_out = {read_id(entry, "id", skipped, f"images[{n}]") for n, entry in enumerate(entries)}
    return replace(dataset, images=tuple(image for image in dataset.images if image.id not in left_out))


def require_photographs(dataset: Dataset) -> None:
    """Raise UserError where a photograph of ``dataset`` is not there."""
    missing = [image for image in dataset.images if not dataset.file(image).exists()]
    if missing:
        others = f", nor do {len(missing) - 1:,} others of {len(dataset.images):,}" if missing[1:] else ""
        raise UserError(dataset.file(missing[0]), f"the photograph does not exist{others}", "complete the folder")


def load_karpathy(
    annotations: Path, image_root: Path, name: str, pixels: bool = True, more: Sequence[Path] = ()
) -> Dataset:
    """Read Karpathy's JSON: ``images[].{filename, filepath?, imgid, cocoid?, split, sentences[].{tokens, raw}}``.

    An image's id is its ``cocoid`` if it has one, else its ``imgid``; ``twin`` is an optional key. Raises
    ``UserError`` for a file, an image or a split that cannot be used and, if ``pixels`` are to be read,
    for a missing ``image_root``. Images without captions and sentences without words are left out and counted.
    ``more``: further files of the same data set.
    """
    images, notes = [], ()
    for path in (annotations, *more):
        tally, document, said = Tally(), *_read_entries(path)
        entries = enumerate(document["images"])
        images += _with_captions(path, (_karpathy_image(path, n, entry, tally) for n, entry in entries), tally)
        notes += (*said, *tally.notes(path))
    dataset = Dataset(name, _with_places(annotations, tuple(images)), image_root, notes)
    for split in SPLITS:
        if not dataset.split(split):
            raise UserError(annotations, f"split {split!r} has no images", "give every image a split; all three needed")
    _check_twins(annotations, dataset)
    if pixels:
        _check_root(image_root, annotations)
    return dataset


def load_nocaps(
    annotations: Path, image_root: Path, name: str, pixels: bool = True, more: Sequence[Path] = ()
) -> Dataset:
    """Read nocaps' JSON: ``images[].{id, file_name, domain}`` and ``annotations[].{image_id, caption}``.

    All images are in the split ``test``. Raises ``UserError`` as :func:`load_karpathy` does.
    """
    images, notes = [], ()
    for path in (annotations, *more):
        found, said = _nocaps_images(path)
        images, notes = [*images, *found], (*notes, *said)
    if not images:
        raise UserError(annotations, "split 'test' has no images", "give nocaps' validation captions")
    if pixels:
        _check_root(image_root, annotations)
    return Dataset(name, _with_places(annotations, tuple(images)), image_root, notes)


def _nocaps_images(path: Path) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """The images of one file, and what is to be said of how it was read."""
    tally, document, said = Tally(), *_read_entries(path)
    sentences = document.get("annotations")
    if not isinstance(sentences, list):
        raise UserError(path, "has no list 'annotations'", "give nocaps' validation captions")
    texts: dict[ImageId, list[str]] = {}
    for n, sentence in enumerate(sentences):
        image_id = read_id(sentence, "image_id", path, f"annotation {n}")
        texts.setdefault(image_id, []).append(_field(path, f"annotation {n}", sentence, "caption", str))
    images = [_nocaps_image(path, n, entry, texts, tally) for n, entry in enumerate(document["images"])]
    strangers = texts.keys() - {image.id for image in images}
    if strangers:
        problem = f"captions for image {min(strangers, key=str)}, which is not in 'images'"
        raise UserError(path, problem, "remove them")
    return _with_captions(path, images, tally), (*said, *tally.notes(path))


def _read_entries(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What an annotation file holds, and what is to be said of how it was read."""
    if path.is_dir():
        raise UserError(path, "is a folder, expected a JSON file", "correct the path of the annotations")
    file = read_user_file(path)
    document = file.value
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise UserError(path, "has no list 'images'", "give annotations in Karpathy's or nocaps' format")
    return document, file.notes


def _field(path: Path, entry_name: str, entry: Any, key: str, kind: type) -> Any:
    value = entry.get(key) if isinstance(entry, dict) else None
    # A JSON true is a Python int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(path, f"{entry_name} has no {key!r} of type {kind.__name__}", "correct the entry")
    return value


def _karpathy_image(path: Path, n: int, entry: Any, tally: Tally) -> Image:
    image_id = read_id(entry, karpathy_key(entry), path, f"images[{n}]")
    filename = _field(path, f"image {image_id}", entry, "filename", str)
    split = _field(path, f"image {image_id}", entry, "split", str)
    known = [name for names in SPLITS.values() for name in names]
    if split not in known:
        raise UserError(path, f"image {image_id} has split {split!r}, expected one of {', '.join(known)}", "correct it")
    sentences = [] if entry.get("sentences") is None else _field(path, f"image {image_id}", entry, "sentences", list)
    captions, left_out = read_sentences(path, image_id, sentences, tally)
    folder = entry.get("filepath") or ""
    name = _file_name(path, image_id, f"{folder}/{filename}" if folder else filename)
    twin = None if entry.get("twin") is None else read_id(entry, "twin", path, f"image {image_id}")
    return Image(image_id, name, split, captions, twin=twin, left_out=left_out, names=other_names(entry))


def _nocaps_image(path: Path, n: int, entry: Any, texts: dict[ImageId, list[str]], tally: Tally) -> Image:
    image_id = read_id(entry, "id", path, f"images[{n}]")
    filename = _field(path, f"image {image_id}", entry, "file_name", str)
    domain = entry.get("domain")
    if domain is None:
        remedy = "take nocaps_val_4500_captions.json, which has them; nocaps_val_image_info.json has not"
        raise UserError(path, f"image {image_id} has no 'domain', by which nocaps is scored", remedy)
    if domain not in DOMAINS:
        problem = f"image {image_id} has domain {domain!r}, expected one of {', '.join(DOMAINS)}"
        raise UserError(path, problem, "correct it")
    sentences = [{"tokens": tokenize(text), "raw": text} for text in texts.get(image_id, [])]
    captions, left_out = read_sentences(path, image_id, sentences, tally)
    name = _file_name(path, image_id, filename)
    return Image(image_id, name, "test", captions, domain=domain, left_out=left_out, names=other_names(entry))


def _file_name(path: Path, image_id: ImageId, name: str) -> str:
    """``name`` of an image's file; UserError where no file can have it."""
    if "\0" in name or any(len(part.encode()) > 255 for part in name.split("/")):
        raise UserError(
            path, f"image {image_id} has the file name {name[:40]!r}..., which no file can have", "correct it"
        )
    return name


def _with_captions(path: Path, images: Iterable[Image], tally: Tally) -> tuple[Image, ...]:
    """The images that have captions; the others are counted."""
    listed = list(images)
    found = tuple(image for image in listed if image.captions)
    if len(found) < len(listed):
        tally.counts["images without captions left out"] += len(listed) - len(found)
    if listed and not found:
        raise UserError(path, "has no captions", "give annotations with captions")
    return found


def _with_places(path: Path, images: tuple[Image, ...]) -> tuple[Image, ...]:
    """``images``, with their places where an id is no int64; UserError where two have one id, as texts too."""
    duplicated = [image_id for image_id, n in Counter(str(image.id) for image in images).items() if n > 1]
    if duplicated:
        raise UserError(path, f"image id {duplicated[0]} occurs more than once", "keep one entry an image")
    if all(fits_arrays(image.id) for image in images):
        return images
    return tuple(replace(image, place=place) for place, image in enumerate(images))


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
