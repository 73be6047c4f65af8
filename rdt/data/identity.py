"""What images are called: ids as the data say, whole numbers or texts, and other names that annotations have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rdt.errors import UserError

ImageId = int | str
OtherNames = tuple[tuple[str, str], ...]  # of an image: the key that a name stands under, and the name

_KEYS = ("file_name", "filename", "open_images_id")
_WITH_FOLDER = "filepath/filename"  # Karpathy's keys of COCO's two folders
MOST_OF_NAME = 1000  # characters of an image id or a domain


def read_id(entry: Any, key: str, where: str | Path, name: str) -> ImageId:
    """The image id under ``key``; UserError, which calls the entry ``name``, where it is none."""
    if not isinstance(entry, Mapping):
        raise UserError(where, f"{name} is {type_name(entry)}, not an object", "see the COCO format")
    if key not in entry:
        raise UserError(where, f"{name} has no '{key}'", "see the COCO format")
    image = entry[key]
    if isinstance(image, bool) or not isinstance(image, int | str):
        problem = f"the '{key}' of {name} is {type_name(image)}, neither a whole number nor a text"
        raise UserError(where, problem, "correct it")
    if isinstance(image, str) and len(image) > MOST_OF_NAME:
        problem = f"the '{key}' of {name} has {len(image):,} characters, expected at most {MOST_OF_NAME:,}"
        raise UserError(where, problem, "correct it")
    return image


def karpathy_key(entry: Any) -> str:
    """The key of the image id in an entry of Karpathy's JSON."""
    return "cocoid" if isinstance(entry, Mapping) and "cocoid" in entry else "imgid"


def type_name(value: Any) -> str:
    """What a value of JSON is, for a sentence."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), f"the number {value}")


def fits_arrays(image: ImageId) -> bool:
    """Whether an id can stand for its image in arrays of int64."""
    return isinstance(image, int) and abs(image) < 2**63


def file_stem(image: ImageId) -> str:
    """What a file of an image's own is called: its id, but with no folder in it."""
    return str(image).replace("/", "%2F").replace("\0", "%00")


def other_names(entry: Mapping[str, Any]) -> OtherNames:
    """What an entry of annotations calls its image besides the id."""
    found = tuple((key, entry[key]) for key in _KEYS if isinstance(entry.get(key), str))
    folder, name = entry.get("filepath"), entry.get("filename")
    return (*found, (_WITH_FOLDER, f"{folder}/{name}")) if folder and isinstance(name, str) else found


def images_by_name(images: Iterable[tuple[ImageId, OtherNames]]) -> dict[str, dict[str, ImageId | None]]:
    """The image of each other name, by the key that it stands under; None where several images have the name."""
    found: dict[str, dict[str, ImageId | None]] = {}
    for image, names in images:
        for key, name in names:
            known = found.setdefault(key, {})
            known[name] = None if name in known else image
    return found
