"""The ``encoder`` stage: train the two-tower encoder on the primary train split."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rdt.config import Encoder
from rdt.data.dataset import Dataset, Image, open_image
from rdt.data.vocabulary import Vocabulary
from rdt.features.two_tower import TEXT_LENGTH, TwoTower
from rdt.inputs import annotation_inputs, open_dataset
from rdt.model.weights import load_weights, save_weights
from rdt.provenance import code_digest
from rdt.stages import open_stage, stage_arguments
from rdt.training.draws import generator
from rdt.training.loop import Budget, fit
from rdt.training.schedule import cosine

CODE = __name__
SHIFT = 4  # pixels: an image is moved by up to so many, its border repeated
BRIGHTNESS = 0.15  # and its brightness scaled by up to so much
WARMUP_SHARE = 0.05
CLIP_VALUE = 1.0
SEED = 0  # one encoder for all runs: features are data, not a part of a row


def read_images(dataset: Dataset, images: Sequence[Image], size: int) -> Tensor:
    """Pixels (n, size, size, 3) uint8; UserError naming a file that is missing or damaged."""
    pixels = [np.asarray(open_image(dataset.image_root / image.path).resize((size, size))) for image in images]
    return torch.from_numpy(np.stack(pixels))


def caption_ids(captions: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Tensor:
    """Word ids (n, TEXT_LENGTH), 0 at padding."""
    ids = np.zeros((len(captions), TEXT_LENGTH), dtype=np.int64)
    for row, tokens in zip(ids, captions, strict=True):
        words = vocabulary.encode(tokens)[:TEXT_LENGTH]
        row[: len(words)] = words
    return torch.from_numpy(ids)


def as_input(pixels: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32 in [0, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().div(255)


def augment(pixels: Tensor, image_ids: np.ndarray, epoch: int) -> Tensor:
    """A small shift and a change of brightness, drawn for each image and epoch; no flips, since captions tell left."""
    size = pixels.shape[1]
    padded = torch.nn.functional.pad(as_input(pixels), (SHIFT,) * 4, mode="replicate")
    views = []
    for image, image_id in zip(padded, image_ids, strict=True):
        rng = generator(SEED, "encoder", epoch, int(image_id))
        top, left = rng.integers(0, 2 * SHIFT + 1, size=2)
        scale = 1 + BRIGHTNESS * (2 * rng.random() - 1)
        views.append((image[:, top : top + size, left : left + size] * scale).clamp_(0, 1))
    return torch.stack(views).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Pairs:
    """Images and captions of a split in memory: ``ids`` (m, TEXT_LENGTH), ``first`` (n + 1,) their bounds."""

    image_ids: np.ndarray
    pixels: Tensor
    ids: Tensor
    first: np.ndarray

    @classmethod
    def load(cls, dataset: Dataset, split: str, vocabulary: Vocabulary, size: int) -> Pairs:
        images = dataset.split(split)
        captions = [caption.tokens for image in images for caption in image.captions]
        return cls(
            image_ids=np.array([image.id for image in images]),
            pixels=read_images(dataset, images, size),
            ids=caption_ids(captions, vocabulary),
            first=np.cumsum([0, *(len(image.captions) for image in images)]),
        )


@dataclass(frozen=True)
class Contrast:
    """Contrastive training; each epoch pairs an image with one of its captions."""

    train: Pairs
    val: Pairs
    selected: str = "recall@1"

    def losses(self, model: TwoTower, positions: np.ndarray, epoch: int, step: int) -> dict[str, Tensor]:
        """Losses of global vectors and of cells with words."""
        image_ids = self.train.image_ids[positions]
        picks = [generator(SEED, "image", epoch, int(image)).random() for image in image_ids]
        first, last = self.train.first[positions], self.train.first[positions + 1]
        rows = first + (np.array(picks) * (last - first)).astype(int)
        coarse, fine = model.loss(augment(self.train.pixels[positions], image_ids, epoch), self.train.ids[rows])
        return {"total": coarse + fine, "global": coarse, "cells": fine}

    def evaluate(self, model: TwoTower) -> dict[str, float]:
        """Recall of the val split, image to caption."""
        _, image = encode_images(model, self.val.pixels)
        return recall(image, encode_captions(model, self.val.ids), self.val.first)


@torch.no_grad()
def encode_images(model: TwoTower, pixels: Tensor, batch: int = 128) -> tuple[Tensor, Tensor]:
    """Pixels (n, S, S, 3) -> grid (n, 49, D) and global (n, E)."""
    outputs = [
        model.image(as_input(part).contiguous(memory_format=torch.channels_last)) for part in pixels.split(batch)
    ]
    return torch.cat([grid for grid, _ in outputs]), torch.cat([image for _, image in outputs])


@torch.no_grad()
def encode_captions(model: TwoTower, ids: Tensor, batch: int = 1024) -> Tensor:
    """Word ids (m, TEXT_LENGTH) -> global (m, E)."""
    return torch.cat([model.text(part)[1] for part in ids.split(batch)])


def recall(images: Tensor, captions: Tensor, first: np.ndarray) -> dict[str, float]:
    """Percent of images with one of their own captions among the nearest 1, 5 and 10."""
    similarity = nn.functional.normalize(images, dim=-1) @ nn.functional.normalize(captions, dim=-1).T
    owner = torch.from_numpy(np.repeat(np.arange(len(images)), np.diff(first)))
    hit = owner[similarity.topk(10, dim=1).indices] == torch.arange(len(images))[:, None]
    return {f"recall@{k}": 100 * hit[:, :k].any(dim=1).float().mean().item() for k in (1, 5, 10)}


def budget(encoder: Encoder, images: int) -> Budget:
    """Adam with a cosine, and no moving average: it would part from the batch statistics."""
    total = encoder.epochs * max(1, images // encoder.images_per_step)
    return Budget(
        epochs=encoder.epochs,
        images=images,
        images_per_step=encoder.images_per_step,
        learning_rate=lambda step: cosine(step, total, int(WARMUP_SHARE * total) + 1, encoder.lr),
        clip_value=CLIP_VALUE,
        ema=0.0,
        evaluate_every=max(1, encoder.epochs // 5),
        checkpoint_seconds=60,
        seed=SEED,
    )


def load_encoder(folder: Path, vocabulary: Vocabulary, width: int) -> TwoTower:
    """The trained encoder, in evaluation mode."""
    model = TwoTower(vocabulary.size, width).to(memory_format=torch.channels_last)
    load_weights(folder / "model.safetensors", model)
    return model.eval()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt encoder``."""
    stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train the encoder and write its weights."""
    stage = open_stage(args)
    encoder, folder = stage.experiment.encoder, stage.paths.encoder
    torch.set_num_threads(encoder.threads)
    torch.manual_seed(SEED)
    inputs = annotation_inputs(stage.experiment, stage.paths, "primary")
    inputs |= {"vocabulary": stage.paths.vocabulary("primary")}
    with stage.job(
        "encoder", CODE, output=folder, seed=SEED, configuration={"encoder": asdict(encoder)}, inputs=inputs
    ) as job:
        dataset = open_dataset(stage.experiment, stage.paths, "primary")
        vocabulary = Vocabulary.load(stage.paths.vocabulary("primary"))
        train, val = (Pairs.load(dataset, split, vocabulary, encoder.image_size) for split in ("train", "val"))
        model = TwoTower(vocabulary.size, encoder.width).to(memory_format=torch.channels_last)
        identity = {
            "configuration": repr(encoder),
            "vocabulary": vocabulary.digest,
            "code": code_digest(CODE),
        }
        checkpoint = folder / "checkpoint.pt"
        task = Contrast(train, val)
        outcome = fit(model, task, budget(encoder, len(train.image_ids)), checkpoint, identity, job.metrics)
        save_weights(folder / "model.safetensors", outcome.ema)
        checkpoint.unlink()
