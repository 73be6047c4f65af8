"""Training of the autoregressive teacher: cross-entropy, then self-critical sequence training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rdt.data.tokens import valid_mask
from rdt.experiment.settings import Method
from rdt.features.split import Split
from rdt.losses import caption_cross_entropy
from rdt.metrics.ciderd import CiderD
from rdt.model.teacher import Teacher
from rdt.training import parallel
from rdt.training.batches import Batch, make_batch
from rdt.training.rl import critical_losses, rewards, sample_seed


@dataclass(frozen=True, kw_only=True)
class TeacherXE:
    """Next-word cross-entropy over the words and the end token."""

    split: Split
    method: Method
    seed: int
    evaluate: Callable[[Teacher], dict[str, float]]
    selected: str = "CIDEr"

    def batch(self, positions: np.ndarray, epoch: int) -> Batch:
        """The images at ``positions`` and their captions as the epoch draws them; nothing is noised."""
        captions = self.method.captions_per_image
        return make_batch(self.split, positions, self.seed, epoch, captions, self.method.t_max, num_bits=1)

    def losses(self, model: Teacher, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
        """The smoothed cross-entropy."""
        batch = batch.to(model.word.weight.device)
        logits = model(batch.rows, model.encode(batch.grid, batch.global_))
        valid = valid_mask(batch.rows)
        smoothing = self.method.label_smoothing
        xe = parallel.mean(caption_cross_entropy(logits[valid], batch.rows[valid], smoothing), valid)
        return {"total": xe, "xe": xe}


@dataclass(frozen=True, kw_only=True)
class TeacherRL(TeacherXE):
    """Self-critical training; a sample is compared with the mean of the image's others (Luo 2020).

    Compared with the greedy caption (Rennie et al. 2017), of which a short training's samples fall far short, nearly
    every sample is to become less probable, and the gradient is mostly noise: the reward of the samples fell.
    """

    reward: CiderD

    def losses(self, model: Teacher, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
        """The self-critical loss of ``captions_per_image`` samples for each image."""
        captions = self.method.captions_per_image
        device = model.word.weight.device
        batch = batch.to(device)
        visual = model.encode(batch.grid, batch.global_)
        rng = torch.Generator(device).manual_seed(sample_seed(self.seed, epoch, step, device))
        sample = model.sample(visual, captions, rng, anywhere=parallel.anywhere)
        log_p = model(sample, visual).log_softmax(-1)
        gained = rewards(self.reward, sample, np.repeat(batch.positions, captions))
        return critical_losses(log_p, sample, gained, mean_of_others(gained, captions))


def mean_of_others(gained: Tensor, captions: int) -> Tensor:
    """For each of an image's ``captions`` the mean reward of its others, (B captions,); 0 where it has none."""
    each = gained.view(-1, captions)
    return ((each.sum(1, keepdim=True) - each) / max(1, captions - 1)).flatten()
