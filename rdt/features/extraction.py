"""Extract CLIP's features from photographs and captions into the published npz format."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture
from torch import nn
from tqdm import tqdm

from rdt.data.dataset import SKIPPED, Dataset, Image
from rdt.data.identity import file_stem
from rdt.data.photograph import open_image
from rdt.digests import file_digest
from rdt.errors import UserError
from rdt.experiment.settings import Data
from rdt.features.clip import (
    RN101,
    VIT_B_32,
    Clip,
    caption_vectors,
    clip_input,
    find_weights,
    grid_features,
    load_clip,
    require_open_clip,
)
from rdt.features.encoder import Encoded
from rdt.features.store import GRID_CELLS, check_features
from rdt.files import atomic_file, atomic_write_json, read_json

ENCODER = "encoder.json"  # in a folder of features: what made them
IMAGES_PER_CAPTION_BATCH = 64
Pixels = list[np.ndarray]  # a photograph as each of the models sees it


@dataclass(frozen=True)
class ClipModel:
    """A model at work, and the folder that it fills; ``record`` says what made the files there."""

    clip: Clip
    model: nn.Module
    folder: Path
    record: dict[str, object]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def file(self, image: Image) -> Path:
        return self.folder / f"{file_stem(image.id)}.npz"

    def images(self, pixels: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """The published arrays of some photographs."""
        images = clip_input(torch.from_numpy(np.stack(pixels)).to(self.device))
        if self.clip is not RN101:
            return [{"g_feature": vector[None]} for vector in self.model.encode_image(images).float().cpu().numpy()]
        grid, vectors = (array.float().cpu().numpy() for array in grid_features(self.model, images))
        halves = grid.astype(np.float16)
        return [{"features": cells, "g_feature": v[None]} for cells, v in zip(halves, vectors, strict=True)]

    def captions(self, captions: Sequence[Sequence[str]]) -> list[dict[str, np.ndarray]]:
        """The published arrays of the captions of some images."""
        texts = [raw for image in captions for raw in image]
        vectors = caption_vectors(self.model, self.clip, texts).float().cpu().numpy()
        ends = np.cumsum([len(image) for image in captions])[:-1]
        return [{"g_feature": part} for part in np.split(vectors, ends)]


@dataclass(frozen=True)
class ClipEncoder:
    """The models that a role's features were extracted with as an :class:`rdt.features.encoder.Encoder`.

    The second one, if there is one, gives the vectors that sentences are retrieved by.
    """

    models: Sequence[ClipModel]

    @torch.inference_mode()
    def photographs(self, pictures: Sequence[Picture.Image]) -> Encoded:
        """See the protocol."""
        seen, *queries = (model.images([model.clip.pixels(picture) for picture in pictures]) for model in self.models)
        vectors = [np.concatenate([arrays["g_feature"] for arrays in found]) for found in (seen, *queries)]
        return Encoded(np.stack([arrays["features"] for arrays in seen]), *vectors)


def open_clip_encoder(data: Data, root: Path) -> ClipEncoder:
    """The encoder that filled a role's folders of features, with the weights in the hub's cache.

    Raises UserError where the folders were filled by something else, or open_clip or the weights are not at hand.
    """
    models = []
    for clip, name in ((RN101, data.features), (VIT_B_32, data.retrieval_features)):
        if name:
            record = root / name / ENCODER
            if not record.is_file():
                problem = f"does not say what made its features: there is no {ENCODER}"
                raise UserError(record.parent, problem, "fill it with `rdt extract`, or take a run on other features")
            require_open_clip()
            models.append(clip_model(clip, root / name, find_weights(clip, None, "rdt extract --weights"), "cpu"))
            claim_folder(models[-1])
    return ClipEncoder(models)


def clip_model(clip: Clip, folder: Path, weights: Path, device: str) -> ClipModel:
    """A pretrained model with its record, the digest of its weights in it."""
    record = {"model": clip.name, "pixels": clip.size, "weights": file_digest(weights)}
    return ClipModel(clip, load_clip(clip, weights).to(device), folder, record)


def claim_folder(encoder: ClipModel) -> None:
    """Make the folder this encoder's; UserError if what is in it was made by something else."""
    path = encoder.folder / ENCODER
    if path.exists():
        found = read_json(path)
        if found != encoder.record:
            problem = f"its features were made by {_claimed_name(found)}, and not by {_claimed_name(encoder.record)}"
            raise UserError(encoder.folder, problem, "name another folder, or remove this one to make them again")
    elif encoder.folder.exists() and any(encoder.folder.glob("*.npz")):
        problem = f"holds features that were not made here, and has no {ENCODER}"
        raise UserError(encoder.folder, problem, "name another folder, or use these as they are")
    else:
        atomic_write_json(path, encoder.record)


def _claimed_name(record: object) -> str:
    try:
        return f"{record['model']} at {record['pixels']} pixels with weights {record['weights'][:12]}"
    except (TypeError, KeyError):
        return "something unknown"


def extract_captions(encoder: ClipModel, dataset: Dataset) -> None:
    todo = [image for image in dataset.images if not encoder.file(image).exists()]
    with _extracting(dataset, todo, "captions") as progress, ThreadPoolExecutor(1) as writer:
        for part in _chunks(todo, IMAGES_PER_CAPTION_BATCH):
            arrays = encoder.captions([[caption.raw for caption in image.captions] for image in part])
            list(writer.map(_write_npz, [encoder.file(image) for image in part], arrays))
            progress.update(len(part))


def extract_images(encoders: Sequence[ClipModel], dataset: Dataset, batch: int) -> dict[Image, str]:
    """Write what is not there yet; returns the photographs that cannot be read, and why."""
    todo = [image for image in dataset.images if not all(encoder.file(image).exists() for encoder in encoders)]
    started, corrupt = time.monotonic(), {}
    with _extracting(dataset, todo, "photographs") as progress, ThreadPoolExecutor(os.cpu_count()) as pool:

        def read(image: Image) -> Pixels | str:
            try:
                picture = open_image(dataset.file(image))
            except UserError as error:
                return error.problem
            return [encoder.clip.pixels(picture) for encoder in encoders]

        for part in _ahead(pool, read, todo, batch):
            corrupt |= {image: found for image, found in part if isinstance(found, str)}
            whole = [(image, found) for image, found in part if not isinstance(found, str)]
            for at, encoder in enumerate(encoders) if whole else ():
                arrays = encoder.images([found[at] for _, found in whole])
                list(pool.map(_write_npz, [encoder.file(image) for image, _ in whole], arrays))
            progress.update(len(part))
    seconds = time.monotonic() - started
    print(f"{len(todo) - len(corrupt):,} photographs in {seconds:.0f} s, {len(todo) / max(seconds, 1e-9):.1f} a second")
    return corrupt


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Image], Pixels | str], images: Sequence[Image], batch: int
) -> Iterator[list[tuple[Image, Pixels | str]]]:
    """Batches of images with what ``read`` makes of them, the next batch being read while one is used."""
    waiting = None
    for part in [*_chunks(images, batch), None]:
        reading = None if part is None else (part, [pool.submit(read, image) for image in part])
        if waiting is not None:
            yield [(image, future.result()) for image, future in zip(*waiting, strict=True)]
        waiting = reading


def _chunks(images: Sequence[Image], size: int) -> Iterator[list[Image]]:
    remaining = iter(images)
    while part := list(islice(remaining, size)):
        yield part


def _extracting(dataset: Dataset, todo: Sequence[Image], what: str) -> tqdm:
    """Rate and time left, on a terminal."""
    total = len(dataset.images)
    return tqdm(total=total, initial=total - len(todo), desc=what, unit=" images", disable=None)


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        check_features(path, array, (GRID_CELLS, None) if name == "features" else (None, None))
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def tell(corrupt: dict[Image, str], dataset: Dataset, folder: Path, skip: bool) -> None:
    """List the photographs that cannot be read; UserError unless the role is to do without them."""
    listed = folder / SKIPPED
    if not corrupt:
        listed.unlink(missing_ok=True)
        return
    for image, problem in corrupt.items():
        print(f"corrupt: {dataset.file(image)}: {problem}", file=sys.stderr)
    names = f"{len(corrupt):,} of {len(dataset.images):,} photographs cannot be read"
    if not skip:
        remedy = "replace them and run it again, which makes only theirs; or go on without them: --skip-corrupt"
        raise UserError(dataset.image_root, f"{names}, listed above; the features of all others are written", remedy)
    entries = [{"id": image.id, "file": image.path, "problem": problem} for image, problem in corrupt.items()]
    atomic_write_json(listed, {"images": entries})
    print(f"{names}; {listed} leaves them out of the data set", file=sys.stderr)
