"""A small two-tower encoder: image -> 7x7 grid and global vector, caption -> global vector.

It stands in for CLIP where CLIP's weights are not at hand, and gives features of the same kind:
49 grid cells, and global vectors of images and captions in one space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEXT_LENGTH = 20  # words of a caption that the text tower reads
ORIENTATIONS = 8
WORD_SCALE = 0.2  # of the logits: word vectors begin with unit variance
_FLAT = 0.05  # gradient below which a neighbourhood counts as without edges


class Residual(nn.Module):
    """Two 3x3 convolutions with a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _down(inputs: int, outputs: int, size: int = 3, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=(size - stride + 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ShapeTower(nn.Module):
    """(B, 3, 112, 112) -> (B, width, 7, 7), from where edges run alone: blind to colour and brightness."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(ORIENTATIONS),
            _down(ORIENTATIONS, 32),
            _down(32, 64),
            Residual(64),
            _down(64, width),
            Residual(width),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.body(oriented_gradients(images))


class ColorTower(nn.Module):
    """(B, 3, 112, 112) -> (B, width, 7, 7), from patches of 4 pixels, too coarse to follow an outline."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_down(3, 32, size=4, stride=4), _down(32, 64), _down(64, width), Residual(width))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images * 2 - 1)


class ImageTower(nn.Module):
    """(B, 3, 112, 112) in [0, 1] -> grid (B, 49, width) and global (B, width).

    Three quarters of a cell's features tell shapes, one quarter colours. In one common tower colours,
    which are learnt first, keep shapes from being learnt at all (measured: docs/built.md).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.color = ColorTower(width // 4)
        self.shape = ShapeTower(width - width // 4)
        self.pool = nn.Linear(width, 1)
        self.joint = nn.Linear(width, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        grid = torch.cat([self.shape(images), self.color(images)], dim=1).flatten(2).transpose(1, 2)
        weight = self.pool(grid).softmax(dim=1)
        pooled = (weight * grid).sum(dim=1) + grid.mean(dim=1)
        return grid, self.joint(pooled)


class TextTower(nn.Module):
    """Word ids (n, L), 0 at padding -> global (n, width)."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, width // 2)
        self.rnn = nn.GRU(width // 2, width // 2, batch_first=True, bidirectional=True)
        self.joint = nn.Linear(width, width)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).unsqueeze(-1)
        words, _ = self.rnn(self.word(ids))
        return self.joint((words * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1))


class CellWords(nn.Module):
    """Grid (B, 49, width) -> logits (B, V) of the words in a caption: the mean of what the cells say."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.cell = nn.Linear(width, width // 2)
        self.word = nn.Embedding(vocab_size, width // 2)
        self.bias = nn.Parameter(torch.full((vocab_size,), -3.0))  # most words are in few captions

    def forward(self, grid: Tensor) -> Tensor:
        return WORD_SCALE * self.cell(grid.mean(dim=1)) @ self.word.weight.T + self.bias


class TwoTower(nn.Module):
    """Both towers, the temperature of their contrast, and what a cell says about words."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.image = ImageTower(width)
        self.text = TextTower(vocab_size, width)
        self.words = CellWords(vocab_size, width)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def loss(self, images: Tensor, ids: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of B images with a caption each: the contrast of global vectors, and the words of cells.

        ``ids`` (B, TEXT_LENGTH); ``shares`` (B, V), the share of an image's captions that have a word.
        """
        grid, image = self.image(images)
        scale = self.log_scale.exp().clamp(max=100)
        similarity = scale * F.normalize(image, dim=-1) @ F.normalize(self.text(ids), dim=-1).T
        return contrastive_loss(similarity), word_loss(self.words(grid), shares)


def oriented_gradients(images: Tensor) -> Tensor:
    """Strength of edges by direction, (B, 3, S, S) in [0, 1] -> (B, ORIENTATIONS, S/2, S/2), locally normalised.

    After the histograms of oriented gradients of Dalal and Triggs (2005): a pixel counts for a direction with
    cos^4 of its gradient's angle to it, in the colour channel where the gradient is strongest; sums of 2x2
    pixels are divided by all directions' sum nearby. cos^4(a - b) = 3/8 + cos(2a - 2b)/2 + cos(4a - 4b)/8, so
    that five maps are pooled, from which all directions follow.
    """
    x = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across, down = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2], x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
    squared, channel = (across.square() + down.square()).max(dim=1, keepdim=True)
    across, down = across.gather(1, channel), down.gather(1, channel)
    total = squared + 1e-4
    strength, share = total.sqrt(), squared / total
    cos_2, sin_2 = (across.square() - down.square()) / total, 2 * across * down / total
    waves = [share.square(), share * cos_2, share * sin_2, cos_2.square() - sin_2.square(), 2 * cos_2 * sin_2]
    pooled = F.avg_pool2d(strength * torch.cat(waves, dim=1), 2)
    angle = torch.arange(ORIENTATIONS, device=images.device) * (torch.pi / ORIENTATIONS)
    second = [(2 * angle).cos() / 2, (2 * angle).sin() / 2]
    fourth = [(4 * angle).cos() / 8, (4 * angle).sin() / 8]
    weights = torch.stack([torch.full_like(angle, 3 / 8), *second, *fourth], dim=1)
    edges = F.conv2d(pooled, weights[:, :, None, None])
    nearby = F.avg_pool2d(edges.sum(dim=1, keepdim=True), 5, stride=1, padding=2)
    return (edges / (nearby + _FLAT)).contiguous(memory_format=torch.channels_last)


def contrastive_loss(similarity: Tensor) -> Tensor:
    """Symmetric cross-entropy of a (B, B) similarity whose pairs are on the diagonal."""
    target = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def word_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy between logits (B, V) and the ``shares`` (B, V) of captions with each word, summed over words."""
    return F.binary_cross_entropy_with_logits(logits, shares, reduction="none").sum(dim=1).mean()
