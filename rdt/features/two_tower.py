"""A small two-tower encoder: image -> 7x7 grid and global vector, caption -> global vector.

It stands in for CLIP where CLIP's weights are not at hand, and gives features of the same kind:
49 grid cells, and global vectors of images and captions in one space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID_SIDE = 7
TEXT_LENGTH = 20  # words of a caption that the text tower reads


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


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class ImageTower(nn.Module):
    """(B, 3, 112, 112) in [0, 1] -> grid (B, 49, width) and global (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width // 4, 4, stride=4, bias=False),  # 28 x 28 patches
            nn.BatchNorm2d(width // 4),
            nn.ReLU(inplace=True),
            _down(width // 4, width // 2),
            Residual(width // 2),
            _down(width // 2, width),
            Residual(width),
        )
        self.pool = nn.Linear(width, 1)
        self.joint = nn.Linear(width, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.body(images * 2 - 1).flatten(2).transpose(1, 2)
        weight = self.pool(grid).softmax(dim=1)
        pooled = (weight * grid).sum(dim=1) + grid.mean(dim=1)
        return grid, self.joint(pooled)


class TextTower(nn.Module):
    """Word ids (n, L), 0 at padding -> word vectors (n, L, width) and global (n, width)."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, width // 2)
        self.rnn = nn.GRU(width // 2, width // 2, batch_first=True, bidirectional=True)
        self.joint = nn.Linear(width, width)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        mask = (ids != 0).unsqueeze(-1)
        words, _ = self.rnn(self.word(ids))
        words = words * mask
        pooled = words.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return words, self.joint(pooled)


class TwoTower(nn.Module):
    """Both towers, a projection of cells and words to a small common space, and two temperatures."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.image = ImageTower(width)
        self.text = TextTower(vocab_size, width)
        self.cell = nn.Linear(width, width // 2)
        self.token = nn.Linear(width, width // 2)
        self.log_scale = nn.Parameter(torch.tensor([2.3, 2.3]))

    def loss(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Contrastive losses of B images with a caption each: of global vectors, and of cells with words."""
        grid, image = self.image(images)
        words, text = self.text(ids)
        scale = self.log_scale.exp().clamp(max=100)
        coarse = scale[0] * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        cells = F.normalize(self.cell(grid), dim=-1)
        tokens = F.normalize(self.token(words), dim=-1)
        fine = scale[1] * late_interaction(cells, tokens, ids != 0)
        return _contrastive(coarse), _contrastive(fine)


def late_interaction(cells: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Similarity (B, n) of images and captions: each word takes its best cell, then the mean over words.

    ``cells`` (B, 49, w), ``tokens`` (n, L, w), ``mask`` (n, L), True at words. This is the
    token-wise similarity of FILIP (Yao et al. 2022); it is what makes a single cell tell the
    words it stands for.
    """
    b, c, _ = cells.shape
    n, length, _ = tokens.shape
    words = tokens.reshape(n * length, -1)[mask.reshape(-1)]
    best = (cells.reshape(b * c, -1) @ words.T).view(b, c, -1).amax(dim=1)
    owner = torch.arange(n, device=mask.device).repeat_interleave(mask.sum(1))
    total = torch.zeros(b, n, device=cells.device, dtype=best.dtype).index_add(1, owner, best)
    return total / mask.sum(1).clamp(min=1)


def _contrastive(similarity: Tensor) -> Tensor:
    target = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
