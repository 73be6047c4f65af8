"""Images and captions through the trained two-tower encoder, and the recall that its vectors give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture
from torch import Tensor, nn

from rdt.data.dataset import Dataset, Image
from rdt.data.photograph import open_image
from rdt.data.vocabulary import Vocabulary
from rdt.experiment.settings import EncoderSettings
from rdt.features.encoder import Encoded
from rdt.features.store import StoreWriter
from rdt.features.two_tower import TEXT_LENGTH, TwoTower
from rdt.model.weights import load_weights


def read_images(dataset: Dataset, images: Sequence[Image], size: int) -> Tensor:
    """Pixels (n, size, size, 3) uint8; UserError naming a file that is missing or damaged."""
    return pixels_of((open_image(dataset.file(image)) for image in images), size)


def pixels_of(pictures: Iterable[Picture.Image], size: int) -> Tensor:
    """Pixels (n, size, size, 3) uint8 of RGB images of any size."""
    return torch.from_numpy(np.stack([np.asarray(picture.resize((size, size))) for picture in pictures]))


def caption_ids(captions: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Tensor:
    """Word ids (n, TEXT_LENGTH), 0 at padding."""
    ids = np.zeros((len(captions), TEXT_LENGTH), dtype=np.int64)
    for row, tokens in zip(ids, captions, strict=True):
        words = vocabulary.encode(tokens)[:TEXT_LENGTH]
        row[: len(words)] = words
    return torch.from_numpy(ids)


def tower_input(pixels: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32 in [0, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().div(255)


@torch.no_grad()
def encode_images(model: TwoTower, pixels: Tensor, batch: int = 128) -> tuple[Tensor, Tensor]:
    """Pixels (n, S, S, 3) -> grid (n, 49, D) and global (n, E)."""
    outputs = [
        model.image(tower_input(part).contiguous(memory_format=torch.channels_last)) for part in pixels.split(batch)
    ]
    return torch.cat([grid for grid, _ in outputs]), torch.cat([image for _, image in outputs])


@torch.no_grad()
def encode_captions(model: TwoTower, ids: Tensor, batch: int = 1024) -> Tensor:
    """Word ids (m, TEXT_LENGTH) -> global (m, E)."""
    return torch.cat([model.text(part) for part in ids.split(batch)])


def recall(images: Tensor, captions: Tensor, first: np.ndarray) -> dict[str, float]:
    """Percent of images with one of their own captions among the nearest 1, 5 and 10."""
    similarity = nn.functional.normalize(images, dim=-1) @ nn.functional.normalize(captions, dim=-1).T
    owner = torch.from_numpy(np.repeat(np.arange(len(images)), np.diff(first)))
    nearest = similarity.topk(min(10, len(captions)), dim=1).indices
    hit = owner[nearest] == torch.arange(len(images))[:, None]
    return {f"recall@{k}": 100 * hit[:, :k].any(dim=1).float().mean().item() for k in (1, 5, 10)}


def load_encoder(folder: Path, vocabulary: Vocabulary, width: int) -> TwoTower:
    """The trained encoder, in evaluation mode."""
    model = TwoTower(vocabulary.size, width).to(memory_format=torch.channels_last)
    load_weights(folder / "model.safetensors", model)
    return model.eval()


@dataclass(frozen=True)
class TowerEncoder:
    """The trained two towers as an :class:`rdt.features.encoder.Encoder`; ``size``: pixels of an image's side."""

    model: TwoTower
    size: int

    def photographs(self, pictures: Sequence[Picture.Image]) -> Encoded:
        """See the protocol."""
        grid, vectors = encode_images(self.model, pixels_of(pictures, self.size))
        return Encoded(grid.numpy().astype(np.float16), vectors.numpy())


IMAGES_AT_ONCE = 512


def encode(dataset: Dataset, folder: Path, model: TwoTower, vocabulary: Vocabulary, encoder: EncoderSettings) -> None:
    """Write the features of every image and caption of ``dataset`` into ``folder``."""
    images = dataset.images
    owners = [image.number for image in images for _ in image.captions]
    writer = StoreWriter(folder, [image.number for image in images], owners, encoder.width, encoder.width)
    for first in range(0, len(images), IMAGES_AT_ONCE):
        part = images[first : first + IMAGES_AT_ONCE]
        grid, image = encode_images(model, read_images(dataset, part, encoder.image_size))
        writer.grid[first : first + len(part)] = grid.numpy()
        writer.global_[first : first + len(part)] = image.numpy()
    captions = [caption.tokens for image in images for caption in image.captions]
    writer.caption_global[:] = encode_captions(model, caption_ids(captions, vocabulary)).numpy()
    writer.flush()
