"""The ``encoder`` step: train the two-tower encoder on the primary train split."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from rdt.data.dataset import Dataset, open_dataset
from rdt.data.vocabulary import Vocabulary
from rdt.draws import generator
from rdt.experiment.paths import Paths
from rdt.experiment.settings import EncoderSettings, Experiment
from rdt.features.encode import caption_ids, encode_captions, encode_images, read_images, recall, tower_input
from rdt.features.two_tower import TwoTower
from rdt.model.weights import save_weights
from rdt.provenance.code import code_digest
from rdt.training.loop import Budget, Log, fit
from rdt.training.schedule import cosine

CODE = __name__
SHIFT = 4  # pixels: an image is moved by up to so many, its border repeated
BRIGHTNESS = 0.15  # and its brightness scaled by up to so much
WARMUP_SHARE = 0.05
CLIP_VALUE = 1.0
SEED = 0  # one encoder for all runs: features are data, not a part of a row


def augment(pixels: Tensor, image_ids: np.ndarray, epoch: int) -> Tensor:
    """A small shift and a change of brightness, drawn for each image and epoch; no flips, since captions tell left."""
    size = pixels.shape[1]
    padded = torch.nn.functional.pad(tower_input(pixels), (SHIFT,) * 4, mode="replicate")
    views = []
    for image, image_id in zip(padded, image_ids, strict=True):
        rng = generator(SEED, "encoder", epoch, int(image_id))
        top, left = rng.integers(0, 2 * SHIFT + 1, size=2)
        scale = 1 + BRIGHTNESS * (2 * rng.random() - 1)
        views.append((image[:, top : top + size, left : left + size] * scale).clamp_(0, 1))
    return torch.stack(views).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Pairs:
    """Images and captions of a split in memory: ``ids`` (m, TEXT_LENGTH), ``first`` (n + 1,) their bounds.

    ``shares`` (n, V): the share of an image's captions that have a word.
    """

    image_ids: np.ndarray
    pixels: Tensor
    ids: Tensor
    first: np.ndarray
    shares: Tensor

    @classmethod
    def load(cls, dataset: Dataset, split: str, vocabulary: Vocabulary, size: int) -> Pairs:
        images = dataset.split(split)
        ids = caption_ids([caption.tokens for image in images for caption in image.captions], vocabulary)
        first = np.cumsum([0, *(len(image.captions) for image in images)])
        return cls(
            image_ids=np.array([image.number for image in images]),
            pixels=read_images(dataset, images, size),
            ids=ids,
            first=first,
            shares=word_shares(ids, first, vocabulary.size),
        )


def word_shares(ids: Tensor, first: np.ndarray, vocab_size: int) -> Tensor:
    """Of n images with captions ``ids[first[i]:first[i + 1]]``, the share of captions with a word, (n, V)."""
    present = torch.zeros(len(ids), vocab_size).scatter_(1, ids, 1.0)
    present[:, 0] = 0  # padding
    return torch.stack([present[a:b].mean(dim=0) for a, b in pairwise(first.tolist())])


@dataclass(frozen=True)
class Contrast:
    """Contrastive training; each epoch pairs an image with one of its captions.

    Colours and grounds alone tell most images of a batch apart, so that the contrast does not teach
    what objects are; that the cells are to tell the captions' words does.
    """

    train: Pairs
    val: Pairs
    selected: str = "recall@1"

    def batch(self, positions: np.ndarray, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Views of the images at ``positions``, one caption of each, and the shares of its words."""
        image_ids = self.train.image_ids[positions]
        picks = [generator(SEED, "image", epoch, int(image)).random() for image in image_ids]
        first, last = self.train.first[positions], self.train.first[positions + 1]
        rows = first + (np.array(picks) * (last - first)).astype(int)
        images = augment(self.train.pixels[positions], image_ids, epoch)
        return images, self.train.ids[rows], self.train.shares[positions]

    def losses(self, model: TwoTower, batch: tuple[Tensor, Tensor, Tensor], epoch: int, step: int) -> dict[str, Tensor]:
        """Losses of the global vectors and of the cells' words."""
        contrast, words = model.loss(*batch)
        return {"total": contrast + words, "contrast": contrast, "words": words}

    def evaluate(self, model: TwoTower) -> dict[str, float]:
        """Recall of the val split, image to caption."""
        _, image = encode_images(model, self.val.pixels)
        return recall(image, encode_captions(model, self.val.ids), self.val.first)


def encoder_budget(encoder: EncoderSettings, images: int) -> Budget:
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


def train_encoder(experiment: Experiment, paths: Paths, log: Log) -> None:
    """Train the encoder, from its checkpoint if there is one, and write its weights."""
    encoder, checkpoint = experiment.encoder, paths.encoder / "checkpoint.pt"
    torch.set_num_threads(encoder.threads)
    torch.manual_seed(SEED)
    dataset, vocabulary = open_dataset(experiment, paths, "primary"), Vocabulary.load(paths.vocabulary("primary"))
    train, val = (Pairs.load(dataset, split, vocabulary, encoder.image_size) for split in ("train", "val"))
    model = TwoTower(vocabulary.size, encoder.width).to(memory_format=torch.channels_last)
    identity = {"configuration": repr(encoder), "vocabulary": vocabulary.digest, "code": code_digest(CODE)}
    budget = encoder_budget(encoder, len(train.image_ids))
    outcome = fit(model, Contrast(train, val), budget, checkpoint, identity, log)
    save_weights(paths.encoder / "model.safetensors", outcome.ema)
    checkpoint.unlink()
