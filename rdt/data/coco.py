"""Captions and references from files: COCO's results and annotations, Karpathy's and nocaps' JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdt.data.dataset import SPLITS, Image
from rdt.data.identity import (
    MOST_OF_NAME,
    ImageId,
    OtherNames,
    images_by_name,
    karpathy_key,
    other_names,
    read_id,
    type_name,
)
from rdt.data.sentences import MOST_CHARACTERS
from rdt.data.user_files import read_user_file
from rdt.errors import UserError
from rdt.files import read_json

_SPLITS = {theirs: ours for ours, names in SPLITS.items() for theirs in names}
_REJECTED = ("is_rejected", "is_precanned")  # VizWiz's marks of captions that its evaluation leaves out
_RESULTS_FORM = "write a list of {image_id, caption}, the COCO results format"


@dataclass(frozen=True)
class References:
    """The reference captions of each image, in the file's order, its domain and other names where the file has them."""

    captions: dict[ImageId, list[str]]
    domains: dict[ImageId, str] = field(default_factory=dict)
    names: dict[str, dict[str, ImageId | None]] = field(default_factory=dict)  # see ``images_by_name``
    notes: tuple[str, ...] = ()  # what is to be said of how they were read
    bare: frozenset[ImageId] = frozenset()  # images that are listed, and have no caption that counts


def read_document(path: Path) -> Any:
    """What a user's file holds, see ``rdt.data.user_files``. Raises UserError where it cannot be read."""
    return read_user_file(path).value


def results_by_image(results: Sequence[Mapping[str, Any]], where: str | Path) -> dict[ImageId, str]:
    """COCO results ``[{"image_id", "caption"}]`` as a caption per image; UserError where the form is another."""
    if not isinstance(results, list):
        raise UserError(where, f"holds {type_name(results)}, not a list", _RESULTS_FORM)
    if not results:
        raise UserError(where, "holds no captions", _RESULTS_FORM)
    captions: dict[ImageId, str] = {}
    for number, entry in enumerate(results):
        image, caption = _caption(entry, where, f"entry {number}")
        if image in captions:
            raise UserError(where, f"image {image} has two captions (the second is entry {number})", "keep one of them")
        captions[image] = caption
    return captions


def references_by_image(document: Any, where: str | Path, split: str | None = None) -> References:
    """References of COCO annotations, of nocaps (with domains), or of one split of Karpathy's JSON.

    Where the file lists ``images``, their order is kept, as the COCO tools do; a listed image without a caption
    has no references. Raises UserError where the form is another.
    """
    if isinstance(document, Mapping):
        images = document.get("images")
        if isinstance(document.get("annotations"), list):
            if split is not None:
                raise UserError(where, "is a COCO annotation file, which has no splits", "leave --split out")
            return _coco(document["annotations"], images if isinstance(images, list) else [], where)
        if isinstance(images, list) and any(isinstance(image, Mapping) and "sentences" in image for image in images):
            return _karpathy(images, where, split)
    if isinstance(document, list) and document:  # rows of a table or of JSON Lines
        if split is not None:
            raise UserError(where, "is a list of captions, which has no splits", "leave --split out")
        return _coco(document, [], where)
    raise UserError(
        where,
        "has neither a list 'annotations' nor a list 'images' with 'sentences'",
        "give COCO annotations, nocaps' or Karpathy's JSON",
    )


def references_of(images: Sequence[Image]) -> References:
    """The references of images of a data set that was read."""
    captions = {image.id: [caption.raw for caption in image.captions] for image in images}
    return References(captions, names=images_by_name((image.id, image.names) for image in images))


def _coco(annotations: Sequence[Any], images: Sequence[Any], where: str | Path) -> References:
    found: dict[ImageId, list[str]] = {}
    rejected = 0
    for number, entry in enumerate(annotations):
        image, caption = _caption(entry, where, f"annotation {number}")
        if any(entry.get(mark) for mark in _REJECTED):
            rejected += 1
        else:
            found.setdefault(image, []).append(caption)
    listed = {read_id(entry, "id", where, f"images[{n}]"): entry for n, entry in enumerate(images)}
    captions = {image: found[image] for image in (*listed, *found) if image in found}
    domains = {image: _domain(entry, where, image) for image, entry in listed.items() if entry.get("domain")}
    names = images_by_name((image, other_names(entry)) for image, entry in listed.items())
    notes = _left_out(rejected, len(annotations), where)
    bare = frozenset({*listed, *(entry["image_id"] for entry in annotations)} - captions.keys())
    return References(_not_empty(captions, where), domains, names, notes, bare)


def _left_out(rejected: int, annotated: int, where: str | Path) -> tuple[str, ...]:
    marks = " or ".join(_REJECTED)
    return (f"{where}: {rejected:,} of {annotated:,} captions left out, marked {marks}",) if rejected else ()


def _karpathy(images: Sequence[Any], where: str | Path, split: str | None) -> References:
    splits = dict.fromkeys(_split(image) for image in images)
    if split is None and len(splits) > 1:
        raise UserError(where, f"has the splits {', '.join(splits)}", "name one of them with --split")
    if split is not None and split not in splits:
        raise UserError(where, f"has no split {split!r}", f"choose among {', '.join(splits)}")
    captions: dict[ImageId, list[str]] = {}
    others: dict[ImageId, OtherNames] = {}
    for number, image in enumerate(images):
        if split not in (None, _split(image)):
            continue
        name = read_id(image, karpathy_key(image), where, f"images[{number}]")
        if name in captions:
            raise UserError(where, f"image {name} is there twice", "keep one of them")
        sentences = image.get("sentences") or []
        if not isinstance(sentences, list):
            raise UserError(
                where, f"the sentences of image {name} are {type_name(sentences)}, not a list", "correct it"
            )
        captions[name] = [_sentence(sentence, where, name) for sentence in sentences]
        others[name] = other_names(image)
    with_texts = {name: texts for name, texts in captions.items() if texts}
    bare = frozenset(captions.keys() - with_texts.keys())
    return References(_not_empty(with_texts, where), names=images_by_name(others.items()), bare=bare)


def _split(image: Any) -> str:
    name = str(image.get("split", "")) if isinstance(image, Mapping) else ""
    return _SPLITS.get(name, name)


def _sentence(sentence: Any, where: str | Path, image: ImageId) -> str:
    if isinstance(sentence, str):
        return _of_length(sentence, where, image)
    if isinstance(sentence, Mapping):
        if isinstance(sentence.get("raw"), str):
            return _of_length(sentence["raw"], where, image)
        if isinstance(sentence.get("tokens"), list):
            return _of_length(" ".join(map(str, sentence["tokens"])), where, image)
    raise UserError(where, f"image {image} has a sentence with neither 'raw' nor 'tokens'", "correct it")


def _caption(entry: Any, where: str | Path, name: str) -> tuple[ImageId, str]:
    image = read_id(entry, "image_id", where, name)
    if "caption" not in entry:
        raise UserError(where, f"{name}, of image {image}, has no 'caption'", "add it, or remove the entry")
    if not isinstance(entry["caption"], str):
        problem = f"the caption of image {image} ({name}) is {type_name(entry['caption'])}, not a text"
        raise UserError(where, problem, "correct it")
    return image, _of_length(entry["caption"], where, image)


def _of_length(caption: str, where: str | Path, image: ImageId) -> str:
    """``caption``; UserError where it is longer than any caption."""
    if len(caption) > MOST_CHARACTERS:
        problem = f"a caption of image {image} has {len(caption):,} characters, expected at most {MOST_CHARACTERS:,}"
        raise UserError(where, problem, "shorten it")
    return caption


def _domain(entry: Mapping[str, Any], where: str | Path, image: ImageId) -> str:
    domain = entry["domain"]
    if not isinstance(domain, str) or len(domain) > MOST_OF_NAME:
        problem = f"the domain of image {image} is {type_name(domain)}, expected a name"
        raise UserError(where, problem, "correct it")
    return domain


def _not_empty(captions: dict[ImageId, list[str]], where: str | Path) -> dict[ImageId, list[str]]:
    if not captions:
        raise UserError(where, "has no reference captions", "give annotations with captions")
    return captions


def read_captions(path: Path) -> dict[ImageId, str]:
    """A COCO results file as image id -> caption; UserError when it is not one."""
    records = read_json(path)
    try:
        return {record["image_id"]: str(record["caption"]) for record in records}
    except (KeyError, TypeError, ValueError):
        problem = 'not a results file: expected a list of {"image_id": ..., "caption": ...}'
        raise UserError(path, problem, "caption this split again") from None
