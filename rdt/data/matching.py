"""Captions put to the references of their images, by id or by another name that the annotations have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rdt.data.coco import References, results_by_image
from rdt.data.identity import ImageId
from rdt.data.user_files import read_user_file
from rdt.errors import UserError

_AS_REFERENCES = "write the ids as the references do"
_SAME_SPLIT = "use the annotations of the same split"


class Matched(NamedTuple):
    """Captions in the order of their references, under the references' ids, and what is to be said of it."""

    captions: dict[ImageId, str]
    notes: tuple[str, ...] = ()


def matched(captions: Mapping[ImageId, str], references: References, where: str | Path) -> Matched:
    """Captions by image id or, where that finds all of their images, by another name.

    There may be more references. Captions of images that the references list without any caption are left out and
    counted. Raises UserError for a caption of an image that they do not have.
    """
    by_id, notes = captions, ()
    known = references.captions.keys() | references.bare
    stranger = next((image for image in captions if image not in known), None)
    if stranger is not None:
        found = (key for key in references.names if all(_image(references, key, name) is not None for name in captions))
        key = next(found, None)
        if key is None:
            raise UserError(where, *_unmatched(stranger, captions, references))
        by_id = {_image(references, key, name): caption for name, caption in captions.items()}
        notes = (f"{where}: captions are matched with references by {key}, such as {stranger}",)
    bare = [image for image in by_id if image in references.bare]
    if bare:
        counted = (
            f"{len(bare):,} caption{'s' * (len(bare) > 1)} left out, of images that the references list without one"
        )
        notes = (*notes, f"{where}: {counted}, such as {bare[0]}")
    if len(bare) == len(by_id):
        raise UserError(where, "has captions only of images that the references list without one", _SAME_SPLIT)
    return Matched({image: by_id[image] for image in references.captions if image in by_id}, notes)


def matched_file(path: Path, references: References) -> Matched:
    """:func:`matched` of the captions in a file, with notes on how they were read."""
    read = read_user_file(path)
    found = matched(results_by_image(read.value, path), references, path)
    return Matched(found.captions, (*read.notes, *found.notes))


def _image(references: References, key: str, name: ImageId) -> ImageId | None:
    """The image that alone has a name under ``key``."""
    image = references.names[key].get(name)
    return image if image in references.captions or image in references.bare else None


def _unmatched(stranger: ImageId, captions: Mapping[ImageId, str], references: References) -> tuple[str, str]:
    """Problem and remedy where ``stranger`` is the first caption whose image is no id of the references."""
    other = next((image for image in references.captions if str(image) == str(stranger)), None)
    if other is not None:
        problem = f"image {stranger} is {_kind_of_id(stranger)} here and {_kind_of_id(other)} in the references"
        return problem, _AS_REFERENCES
    hits = {key: sum(name in names for name in captions) for key, names in references.names.items()}
    key = max(hits, key=hits.__getitem__, default="")
    if hits.get(key):
        return _partly(captions, references, key)
    example = next(iter(references.captions))
    ways = "".join(f", or by {key}, such as {next(iter(names))}" for key, names in references.names.items())
    if all(_kind_of_id(image) != _kind_of_id(stranger) for image in references.captions):
        theirs = f"the references go by {_kind_of_id(example)} each, such as {example}{ways}"
        return f"image {stranger} is {_kind_of_id(stranger)}, and {theirs}", _AS_REFERENCES
    return f"image {stranger} has no reference caption; the references go by ids, such as {example}{ways}", _SAME_SPLIT


def _partly(captions: Mapping[ImageId, str], references: References, key: str) -> tuple[str, str]:
    """Problem and remedy where some captions can be matched by ``key``, but not all."""
    example = next(iter(references.captions))
    odd = next(name for name in captions if _image(references, key, name) is None)
    if odd in references.captions:
        named = next(name for name in captions if name in references.names[key])
        return f"image {odd} is an id of the references, and image {named} a {key}", "name all images in one way"
    if odd in references.names[key] and references.names[key][odd] is None:
        return f"image {odd} is the {key} of several images of the references", f"give their ids, such as {example}"
    return f"image {odd} has no reference caption; others are matched by {key}", _SAME_SPLIT


def _kind_of_id(image: ImageId) -> str:
    return "a text" if isinstance(image, str) else "a number"
