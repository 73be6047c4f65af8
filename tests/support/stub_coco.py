"""A few dozen images in exactly the formats of COCO, Flickr30k, nocaps and the published features of CLIP.

The names, keys and shapes are the real files'; the captions are put together from a few words, the photographs
are noise and the features random, but for what retrieval needs: images lie near their captions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image as Picture

from tests.support import tiny

COLORS = ("red", "black", "brown", "white")
ANIMALS = ("dog", "cat", "horse", "bird", "cow")
DOES = ("sits", "stands", "runs", "sleeps")
PLACES = ("on the grass", "near a table", "in the snow", "next to a man")
CLIP_GRID, CLIP_VECTOR, VIT_GRID = 2048, 512, 768

# Sizes alone: what a user writes who tries coco.yaml or flickr30k.yaml on a laptop.
SMALL: dict[str, Any] = {
    "override": {"steps": 2},
    "model": {key: size for key, size in tiny.EXPERIMENT["model"].items() if "dropout" not in key},
    "training": {
        "xe_epochs": 1,
        "grid_xe_epochs": 1,
        "rl_epochs": 1,
        "teacher_xe_epochs": 1,
        "teacher_rl_epochs": 1,
        "evaluate_steps": 2,
        "cascade_steps": 2,
        "threads": 1,
    },
}


def experiment(path: Path, base: str, **changes: Any) -> Path:
    """A user's own file at ``path``: an experiment of the repository with other sizes."""
    path.write_text(yaml.safe_dump({"name": path.stem, "base": base, **SMALL, **changes}))
    return path


# ---- captions


def sentences(image: int, count: int) -> list[str]:
    """``count`` different captions of an image, as written."""
    animal = ANIMALS[image % len(ANIMALS)]
    choices = list(itertools.product(COLORS, DOES, PLACES))
    picked = [choices[(7 * image + 5 * at) % len(choices)] for at in range(count)]
    return [f"A {color} {animal} {does} {place}." for color, does, place in picked]


def tokens(raw: str) -> list[str]:
    return raw.lower().rstrip(".").split()


def karpathy(numbers: Sequence[int], splits: Sequence[str], coco: bool) -> dict[str, Any]:
    """Karpathy's JSON; COCO's images have ``cocoid`` and ``filepath``, Flickr30k's have not."""
    sentid, images = itertools.count(), []
    for imgid, (number, split) in enumerate(zip(numbers, splits, strict=True)):
        texts = sentences(imgid, 5)
        entry: dict[str, Any] = {"imgid": imgid, "split": split, "filename": f"{number}.jpg"}
        entry["sentences"] = [
            {"tokens": tokens(raw), "raw": raw, "imgid": imgid, "sentid": next(sentid)} for raw in texts
        ]
        entry["sentids"] = [sentence["sentid"] for sentence in entry["sentences"]]
        if coco:
            folder = "train2014" if split == "train" else "val2014"
            filename = f"COCO_{folder}_{number:012}.jpg"
            entry |= {"cocoid": number, "filepath": folder, "filename": filename}
        images.append(entry)
    return {"images": images, "dataset": "coco" if coco else "flickr30k"}


def nocaps(count: int) -> dict[str, Any]:
    """nocaps' validation captions: ten of each image, which has a domain and a number from 0."""
    images, annotations = [], []
    for at in range(count):
        open_images_id = f"{0x0013EA2087020901 + at:016x}"
        images.append(
            {
                "id": at,
                "open_images_id": open_images_id,
                "file_name": f"{open_images_id}.jpg",
                "coco_url": f"https://s3.amazonaws.com/nocaps/val/{open_images_id}.jpg",
                "height": 48,
                "width": 64,
                "license": 0,
                "date_captured": "2018-11-06 11:04:33",
                "domain": ("in-domain", "near-domain", "out-domain")[at % 3],
            }
        )
        for raw in sentences(at, 10):
            annotations.append({"id": len(annotations), "image_id": at, "caption": raw})
    return {"licenses": [], "info": {"version": "0.1"}, "images": images, "annotations": annotations}


# ---- photographs and features


def write_photographs(folder: Path, names: Sequence[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Picture.fromarray(coarse).resize((64, 48), Picture.Resampling.BICUBIC).save(path)


def write_features(folder: Path, names: Sequence[str], captions: Sequence[Sequence[str]]) -> None:
    """RN101 at 448 and ViT-B/32 of images, ViT-B/32 of captions: compressed, float32, a file an image."""
    rng = np.random.default_rng(0)
    words = {word: rng.normal(size=CLIP_VECTOR) for text in itertools.chain(*captions) for word in tokens(text)}
    for part in ("RN101_448", "ViT-B-32", "captions-ViT-B-32"):
        (folder / part).mkdir(parents=True)
    for name, texts in zip(names, captions, strict=True):
        vectors = np.array([sum(words[word] for word in tokens(text)) for text in texts])
        image = vectors.mean(axis=0, keepdims=True) + rng.normal(size=(1, CLIP_VECTOR))
        grid = np.maximum(rng.normal(size=(49, CLIP_GRID)), 0)  # behind a ReLU, as CLIP's
        save(folder / "RN101_448" / name, features=grid, g_feature=rng.normal(size=(1, CLIP_VECTOR)))
        save(folder / "ViT-B-32" / name, features=rng.normal(size=(49, VIT_GRID)), g_feature=image)
        save(folder / "captions-ViT-B-32" / name, g_feature=vectors)


def save(path: Path, **arrays: np.ndarray) -> None:
    np.savez_compressed(path, **{name: array.astype(np.float32) for name, array in arrays.items()})


# ---- all of it

COCO_SPLITS = ("train",) * 20 + ("restval",) * 12 + ("val",) * 6 + ("test",) * 8
FLICKR_SPLITS = ("train",) * 24 + ("val",) * 4 + ("test",) * 5
NOCAPS_IMAGES = 9


def write_all(root: Path, photographs: bool = False, features: bool = True) -> None:
    """The data of coco.yaml and flickr30k.yaml, to be their ``data_root``."""
    root.mkdir(parents=True, exist_ok=True)
    for part, file, document, folder in _sets():
        (root / file).write_text(json.dumps(document))
        entries = document["images"]
        if photographs:
            names = [f"{e['filepath']}/{e['filename']}" if "filepath" in e else _filename(e) for e in entries]
            write_photographs(root / folder, names)
        if features:
            write_features(root / "clip" / part, [f"{_number(entry)}.npz" for entry in entries], _captions(document))


def _sets() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    coco = karpathy([9 + 391 * at for at in range(len(COCO_SPLITS))], COCO_SPLITS, coco=True)
    yield "coco", "dataset_coco.json", coco, "coco"
    flickr = karpathy([1000092795 + 13 * at for at in range(len(FLICKR_SPLITS))], FLICKR_SPLITS, coco=False)
    yield "flickr30k", "dataset_flickr30k.json", flickr, "flickr30k"
    yield "nocaps", "nocaps_val_4500_captions.json", nocaps(NOCAPS_IMAGES), "nocaps"


def _filename(entry: dict[str, Any]) -> str:
    return entry.get("filename") or entry["file_name"]


def _number(entry: dict[str, Any]) -> int:
    """By which the published features are named: COCO's id, Flickr30k's photograph, nocaps' id."""
    if "cocoid" in entry:
        return entry["cocoid"]
    return entry["id"] if "id" in entry else int(Path(entry["filename"]).stem)


def _captions(document: dict[str, Any]) -> list[list[str]]:
    if "annotations" in document:
        found = [
            [a["caption"] for a in document["annotations"] if a["image_id"] == e["id"]] for e in document["images"]
        ]
        return found
    return [[sentence["raw"] for sentence in entry["sentences"]] for entry in document["images"]]
