"""Writes a role's embedded data set: ``dataset.json``, ``images/*.jpg`` and ``layout.npz``.

The annotations are in the formats of the real data (Karpathy's, nocaps' for the novel role), so
that one pair of loaders reads both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from rdt.data.dataset import DOMAINS, Caption
from rdt.data.scenes import scene
from rdt.data.scenes.grammar import DESCRIPTIVE, PLAINSPOKEN, describe
from rdt.data.scenes.render import CELL, RENDERED, SIDE, SKETCHED, dominant, render, sample_nuisance
from rdt.data.scenes.scene import Scene, sample_scene, sample_twins
from rdt.errors import UserError
from rdt.experiment.settings import ROLES, Data, Role
from rdt.files import atomic_folder

SPLITS = ("train", "val", "test")
TRAIN_CAPTIONS = 5  # of a train or val image; a test image has data.references
GRID = SIDE // CELL
STYLES = {
    "primary": (RENDERED, PLAINSPOKEN), "secondary": (SKETCHED, DESCRIPTIVE), "novel": (RENDERED, PLAINSPOKEN),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """An image to be made. ``drawing`` is the index that keys its nuisances: twins share it."""

    scene: Scene
    split: str
    index: int  # within the split
    drawing: int
    domain: str | None = None
    twin: int | None = None  # index of the twin within the split
    twin_attribute: str | None = None


def build_scenes(out: Path, role: Role, data: Data, seed: int) -> None:
    """Write the data set of ``role`` to the folder ``out``, whole or not at all.

    ``data.train``, ``data.val`` and ``data.test`` are numbers of images and ``data.references`` the
    captions of a test image (5 in train and val). The novel role has a test split only, a third of
    it for each domain. Everything is keyed by (``seed``, role, split, index): the same arguments
    give the same bytes. Raises ``UserError`` for sizes that cannot be built.
    """
    _check(role, data)
    with atomic_folder(out) as folder:
        (folder / "images").mkdir()
        _write_role(folder, role, data, seed)


def _check(role: Role, data: Data) -> None:
    where = f"experiment, data.{role}"
    for split in SPLITS if role != "novel" else ("test",):
        if getattr(data, split) < 1:
            raise UserError(f"{where}.{split}", "must be at least 1 image", "give a positive number")
    if data.references < 1:
        raise UserError(f"{where}.references", "must be at least 1 caption", "give a positive number")
    if role == "primary" and data.test % 2:
        raise UserError(f"{where}.test", f"must be even (test images come as twins), not {data.test}", "add one")
    if role == "novel" and data.test < len(DOMAINS):
        raise UserError(f"{where}.test", f"must be at least {len(DOMAINS)}, one image a domain", "give more")


def _rng(seed: int, role: Role, split: str, index: int, stream: int) -> np.random.Generator:
    """A stream of its own for scenes (0), drawing (1) and captions (2)."""
    return np.random.default_rng([seed, ROLES.index(role), SPLITS.index(split), index, stream])


def _samples(role: Role, data: Data, seed: int) -> Iterator[Sample]:
    if role == "novel":
        seen, unseen = scene.KINDS, scene.NOVEL_KINDS
        worlds = {"in-domain": (seen, ()), "near-domain": (seen + unseen, unseen), "out-domain": (unseen, ())}
        for i in range(data.test):
            domain = DOMAINS[i % len(DOMAINS)]
            yield Sample(sample_scene(_rng(seed, role, "test", i, 0), *worlds[domain]), "test", i, i, domain)
        return
    for split in SPLITS:
        in_pairs = role == "primary" and split == "test"
        for i in range(0, getattr(data, split), 2 if in_pairs else 1):
            rng = _rng(seed, role, split, i, 0)
            if in_pairs:
                attribute = scene.ATTRIBUTES[i // 2 % len(scene.ATTRIBUTES)]
                first, second = sample_twins(rng, attribute, scene.KINDS)
                yield Sample(first, split, i, i, twin=i + 1, twin_attribute=attribute)
                yield Sample(second, split, i + 1, i, twin=i, twin_attribute=attribute)
            else:
                yield Sample(sample_scene(rng, scene.KINDS), split, i, i)


def _write_role(folder: Path, role: Role, data: Data, seed: int) -> None:
    style, speech = STYLES[role]
    samples = list(_samples(role, data, seed))
    captions, cells = [], []
    for image_id, sample in enumerate(samples):
        nuisance = sample_nuisance(_rng(seed, role, sample.split, sample.drawing, 1))
        pixels, shown = render(sample.scene, nuisance, style)
        Picture.fromarray(pixels).save(folder / "images" / _filename(image_id), quality=90, subsampling=0)
        cells.append(dominant(shown))
        rng = _rng(seed, role, sample.split, sample.index, 2)
        number = data.references if sample.split == "test" else TRAIN_CAPTIONS
        captions.append([describe(sample.scene, rng, speech) for _ in range(number)])
    annotations = _nocaps(samples, captions) if role == "novel" else _as_karpathy(f"scenes-{role}", samples, captions)
    (folder / "dataset.json").write_text(json.dumps(annotations), encoding="utf-8")
    np.savez_compressed(folder / "layout.npz", **_layout(samples, np.stack(cells)))


def _filename(image_id: int) -> str:
    return f"{image_id:06d}.jpg"


def _as_karpathy(name: str, samples: list[Sample], captions: list[list[Caption]]) -> dict:
    images, sentence_id = [], 0
    for image_id, (sample, sentences) in enumerate(zip(samples, captions, strict=True)):
        image = {"filename": _filename(image_id), "imgid": image_id, "split": sample.split, "sentences": []}
        if sample.twin is not None:
            # Ids run on through the splits, indices begin at 0 in each.
            image |= {"twin": image_id - sample.index + sample.twin, "twin_attribute": sample.twin_attribute}
        for caption in sentences:
            image["sentences"].append(
                {"tokens": list(caption.tokens), "raw": caption.raw, "imgid": image_id, "sentid": sentence_id}
            )
            sentence_id += 1
        image["sentids"] = [sentence["sentid"] for sentence in image["sentences"]]
        images.append(image)
    return {"dataset": name, "images": images}


def _nocaps(samples: list[Sample], captions: list[list[Caption]]) -> dict:
    images = [
        {"id": i, "file_name": _filename(i), "width": SIDE, "height": SIDE, "domain": sample.domain}
        for i, sample in enumerate(samples)
    ]
    pairs = [(i, caption.raw) for i, sentences in enumerate(captions) for caption in sentences]
    annotations = [{"id": k, "image_id": i, "caption": raw} for k, (i, raw) in enumerate(pairs)]
    return {"images": images, "annotations": annotations}


def _layout(samples: list[Sample], cells: np.ndarray) -> dict[str, np.ndarray]:
    """What each of the (n, 7, 7) cells shows, as codes into ``*_names``; code 0 there is no object.

    ``background`` (n,) is a code into ``background_names``, which has no such 0.
    """
    names = {
        "kind": scene.KINDS + scene.NOVEL_KINDS, "color": scene.COLORS, "texture": scene.TEXTURES, "size": scene.SIZES,
    }  # fmt: skip
    arrays = {"image_id": np.arange(len(samples))}
    for attribute, values in names.items():
        # Row i: the code of each label that a cell of image i may hold, 0 (none) to 3.
        codes = np.zeros((len(samples), 4), np.int8)
        for i, sample in enumerate(samples):
            for label, group in enumerate(sample.scene.groups, start=1):
                codes[i, label] = 1 + values.index(getattr(group, attribute))
        arrays[attribute] = np.take_along_axis(codes, cells.reshape(len(samples), -1), axis=1).reshape(-1, GRID, GRID)
        arrays[f"{attribute}_names"] = np.array(("none", *values))
    backgrounds = [scene.BACKGROUNDS.index(sample.scene.background) for sample in samples]
    arrays |= {"background": np.array(backgrounds, np.int8), "background_names": np.array(scene.BACKGROUNDS)}
    return arrays
