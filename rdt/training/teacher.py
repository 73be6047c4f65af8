"""Training of the autoregressive teacher: cross-entropy, then self-critical sequence training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rdt.config import Method
from rdt.data.tokens import valid_mask
from rdt.losses import caption_cross_entropy
from rdt.metrics.ciderd import CiderD
from rdt.model.teacher import Teacher
from rdt.training.batches import Split, make_batch
from rdt.training.draws import torch_seed
from rdt.training.rl import critical_losses


@dataclass(frozen=True, kw_only=True)
class TeacherXE:
    """Next-word cross-entropy over the words and the end token."""

    split: Split
    method: Method
    seed: int
    evaluate: Callable[[Teacher], dict[str, float]]
    selected: str = "CIDEr"

    def losses(self, model: Teacher, positions: np.ndarray, epoch: int, step: int) -> dict[str, Tensor]:
        """The smoothed cross-entropy of the images at ``positions``."""
        captions = self.method.captions_per_image
        batch = make_batch(self.split, positions, self.seed, epoch, captions, self.method.t_max, num_bits=1)
        batch = batch.to(model.word.weight.device)
        logits = model(batch.rows, model.encode(batch.grid, batch.global_))
        valid = valid_mask(batch.rows)
        xe = caption_cross_entropy(logits[valid], batch.rows[valid], self.method.label_smoothing)
        return {"total": xe, "xe": xe}


@dataclass(frozen=True, kw_only=True)
class TeacherRL(TeacherXE):
    """Self-critical training against the greedy caption (Rennie et al. 2017)."""

    reward: CiderD

    def losses(self, model: Teacher, positions: np.ndarray, epoch: int, step: int) -> dict[str, Tensor]:
        """The self-critical loss of ``captions_per_image`` samples for each image."""
        captions = self.method.captions_per_image
        device = model.word.weight.device
        grid, global_ = (features.to(device) for features in self.split.features(positions))
        visual = model.encode(grid, global_)
        rng = torch.Generator(device).manual_seed(torch_seed(self.seed, "sample", epoch, step))
        sample = model.generate(visual, captions, rng)
        greedy = model.generate(visual, 1).repeat_interleave(captions, dim=0)
        log_p = model(sample, visual).log_softmax(-1)
        return critical_losses(log_p, sample, greedy, self.reward, np.repeat(positions, captions))
