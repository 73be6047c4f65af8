"""Second-stage training: guided self-critical training, Eq. 14, as SCD-Net does it (method: section 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rdt.data.tokens import sentence, valid_mask
from rdt.diffusion.bits import encode_bits
from rdt.draws import generator, torch_seed
from rdt.features.split import Split
from rdt.losses import self_critical_loss
from rdt.metrics.ciderd import CiderD, DocumentFrequency
from rdt.model.captioner import Captioner
from rdt.training import parallel
from rdt.training.batches import Batch
from rdt.training.xe import CaptionerXE, cascade_bits, denoise_once


def build_reward(split: Split, frequencies: DocumentFrequency | None = None) -> CiderD:
    """CIDEr-D on word ids, end token included, with document frequencies of the train split, counted if not given."""
    return CiderD([[sentence(row) for row in rows] for rows in split.captions], frequencies)


def rewards(reward: CiderD, rows: Tensor, images: np.ndarray) -> Tensor:
    """CIDEr-D of token rows (n, L) against the references of ``images`` (n,): (n,) float32."""
    candidates = [sentence(row) for row in rows.cpu().numpy()]
    return torch.from_numpy(reward.score(candidates, images)).to(rows.device, torch.float32)


def sample_seed(seed: int, epoch: int, step: int, device: torch.device) -> int:
    """The seed of the words that a step samples."""
    return torch_seed(seed, "sample", epoch, step, parallel.stream(device))


@dataclass(frozen=True, kw_only=True)
class CaptionerRL(CaptionerXE):
    """The ``rl`` stage; with ``first_cascade`` the ``rl2`` stage.

    ``teacher`` (n, L) are the teacher's captions of the train images. Every row of an image denoises
    the teacher's caption once, at its own timestep; words are drawn independently at each position.
    One row of each image stands for the teacher: its sample is the teacher's caption (N_y of Eq. 14 counts
    it). In the second cascade none does, as in SCD-Net, but with ``guide_cascade``.
    """

    teacher: np.ndarray
    reward: CiderD

    def losses(self, model: Captioner, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
        """The self-critical loss, with mean rewards of samples and baselines beside it."""
        method, positions = self.method, batch.positions
        copies = method.captions_per_image
        reward, images = self._reward_of(batch, positions)
        teacher = torch.from_numpy(np.repeat(self.teacher[positions], copies, axis=0)).long()
        batch = replace(batch, rows=teacher).to(model.codebook.device)
        cascade = cascade_bits(self, model, positions, epoch)
        context = model.encode(batch.grid, batch.global_, batch.retrieved, batch.retrieved_mask, cascade)
        coin = generator(self.seed, "coin", epoch, step).random() < method.self_condition
        x_0 = encode_bits(batch.rows, model.num_bits)
        log_p = model.logits(denoise_once(model, batch, x_0, context, coin)).log_softmax(-1)

        baseline = log_p.argmax(-1)
        rng = torch.Generator(log_p.device).manual_seed(sample_seed(self.seed, epoch, step, log_p.device))
        sample = torch.multinomial(log_p.detach().exp().flatten(0, 1), 1, generator=rng).view_as(baseline)
        if cascade is None or method.guide_cascade:
            self._guide(sample, batch.rows, positions, epoch)
        return critical_losses(log_p, sample, rewards(reward, sample, images), rewards(reward, baseline, images))

    def _reward_of(self, batch: Batch, positions: np.ndarray) -> tuple[CiderD, np.ndarray]:
        """The reward and, for each caption of the batch, the image that it is scored against."""
        copies = self.method.captions_per_image
        if self.method.rl_references == "all":
            return self.reward, np.repeat(positions, copies)
        rows = batch.rows.numpy().reshape(len(positions), copies, -1)
        references = [[sentence(row) for row in image] for image in rows]
        return CiderD(references, self.reward.df), np.repeat(np.arange(len(positions)), copies)

    def _guide(self, sample: Tensor, teacher: Tensor, positions: np.ndarray, epoch: int) -> None:
        """Put the teacher's caption in the place of one sample of each image."""
        copies = self.method.captions_per_image
        image_ids = self.split.image_ids[positions]
        chosen = [generator(self.seed, "teacher_row", epoch, int(image)).integers(copies) for image in image_ids]
        rows = np.arange(len(positions)) * copies + np.array(chosen)
        sample[rows] = teacher[rows]


def critical_losses(log_p: Tensor, sample: Tensor, gained: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """Self-critical loss of ``sample`` (n, L) under ``log_p`` (n, L, V), and the means of both rewards (n,)."""
    chosen = log_p.gather(-1, sample.unsqueeze(-1)).squeeze(-1)
    valid = valid_mask(sample)
    loss = parallel.mean(self_critical_loss(chosen, gained - reference, valid), valid)
    everyone = torch.ones_like(gained, dtype=torch.bool)
    gain, baseline = (parallel.mean(each.mean(), everyone) for each in (gained, reference))
    return {"total": loss, "reward_sample": gain, "reward_baseline": baseline}
