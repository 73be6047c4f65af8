"""First-stage training: L = lambda_1 L_XE + lambda_2 L_bit + lambda_3 L_rank, Eq. 13."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rdt.data.tokens import valid_mask
from rdt.diffusion.bits import encode_bits
from rdt.diffusion.schedule import diffuse, log_snr
from rdt.draws import generator
from rdt.experiment.settings import Method
from rdt.features.split import Split
from rdt.losses import bit_loss, caption_cross_entropy, ranking_loss
from rdt.model.captioner import Captioner, Context
from rdt.training import parallel
from rdt.training.batches import Batch, make_batch


@dataclass(frozen=True, kw_only=True)
class CaptionerXE:
    """The ``xe`` stage of a captioner; with ``first_cascade`` (one row per train image) the ``xe2`` stage."""

    split: Split
    method: Method
    seed: int
    num_bits: int
    evaluate: Callable[[Captioner], dict[str, float]]
    first_cascade: np.ndarray | None = None
    selected: str = "CIDEr"

    def batch(self, positions: np.ndarray, epoch: int) -> Batch:
        """The images at ``positions`` as the epoch draws them."""
        method = self.method
        copies = method.captions_per_image
        return make_batch(self.split, positions, self.seed, epoch, copies, method.t_max, self.num_bits)

    def losses(self, model: Captioner, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
        """L_XE, L_bit, L_rank and their weighted sum."""
        method = self.method
        batch = batch.to(model.codebook.device)
        cascade = cascade_bits(self, model, batch.positions, epoch)
        context = model.encode(batch.grid, batch.global_, batch.retrieved, batch.retrieved_mask, cascade)
        coin = generator(self.seed, "coin", epoch, step).random() < method.self_condition
        x_0 = encode_bits(batch.rows, model.num_bits)
        hidden = denoise_once(model, batch, x_0, context, coin)
        ranked = cascade is None or method.rank_in_cascade
        return denoising_losses(model, hidden, batch, x_0, method, ranked, self._targets(len(x_0), epoch, step))

    def _targets(self, captions: int, epoch: int, step: int) -> np.ndarray | None:
        """Whose q* each caption of the whole batch is ranked by; None where it is each one's own."""
        if self.method.rank_target != "shuffled":
            return None
        return generator(self.seed, "targets", epoch, step).permutation(parallel.images().times(captions).total)


def denoise_once(model: Captioner, batch: Batch, x_0: Tensor, context: Context, self_condition: bool) -> Tensor:
    """Noise x_0 as Eq. 1 and denoise it, after a first pass without gradient when ``self_condition``."""
    snr = log_snr(batch.t)
    x_t = diffuse(x_0, batch.t, batch.noise)
    previous = torch.zeros_like(x_t)
    if self_condition:
        with torch.no_grad():
            previous = model.predict(x_t, snr, previous, context)
    return model.hidden(x_t, snr, previous, context)


def denoising_losses(
    model: Captioner,
    hidden: Tensor,
    batch: Batch,
    x_0: Tensor,
    method: Method,
    ranked: bool,
    targets: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """Losses from the decoder's output ``hidden`` (n, L, dim); logits are made at supervised positions only."""
    valid = valid_mask(batch.rows)
    supervised = torch.ones_like(valid) if method.supervise_padding else valid
    logits = parallel.applied(model.logits, hidden, supervised)
    bits = model.expected_bits(logits)
    xe = parallel.mean(caption_cross_entropy(logits, batch.rows[supervised], method.label_smoothing), supervised)
    bit = parallel.mean(bit_loss(bits, x_0[supervised]), supervised)
    losses = {"xe": xe, "bit": bit}
    rank: Tensor | int = 0
    if ranked and method.lambda_rank > 0:
        if method.rank_target == "renumbered":  # another codebook: a word's probability has other bits
            codes = recoded(model.codebook)
            bits, x_0 = model.expected_bits(logits, codes), codes[batch.rows]
        rank = losses["rank"] = rank_loss(bits, logits.detach(), supervised, x_0, batch, method, targets)
    return {"total": method.lambda_xe * xe + method.lambda_bit * bit + method.lambda_rank * rank, **losses}


def recoded(codebook: Tensor) -> Tensor:
    """The codebook (V, b) of words in a random numbering, the same for every vocabulary of that size.

    The first and the last id, the end of a caption and the unknown word, keep their meaning.
    """
    numbers = np.arange(len(codebook))
    numbers[1:-1] = generator(0, "numbering", len(codebook)).permutation(numbers[1:-1])
    return codebook[torch.from_numpy(numbers).to(codebook.device)]


def rank_loss(
    bits: Tensor,
    logits: Tensor,
    supervised: Tensor,
    x_0: Tensor,
    batch: Batch,
    method: Method,
    targets: np.ndarray | None = None,
) -> Tensor:
    """L_rank of Eq. 26 from ``bits`` (m, b) and ``logits`` (m, V) of the m ``supervised`` positions (n, L).

    ``targets``: see :func:`rdt.losses.ranking_loss`, of the captions of all processes.
    """
    every_bit = torch.zeros_like(x_0)
    every_bit[supervised] = bits
    confidence = None
    if method.quality == "top5_words":
        confidence = torch.zeros_like(every_bit[..., 0])
        confidence[supervised] = logits.log_softmax(-1).amax(-1)
    return parallel.jointly(
        ranking_loss,
        every_bit,
        x_0,
        batch.t,
        valid_mask(batch.rows),
        delta_tim=method.delta_tim,
        delta_sen=method.delta_sen,
        margin=method.margin,
        average=method.average,
        confidence=confidence,
        targets=targets,
    )


def cascade_bits(task: CaptionerXE, model: Captioner, positions: np.ndarray, epoch: int) -> Tensor | None:
    """Bits of the first cascade's captions (n, L, b), words before the end replaced at the method's rate.

    Each of an image's captions gets its own, independently corrupted copy.
    """
    if task.first_cascade is None:
        return None
    copies = task.method.captions_per_image
    rows = np.repeat(task.first_cascade[positions], copies, axis=0)
    for at, image in enumerate(task.split.image_ids[positions]):
        rng = generator(task.seed, "replace", epoch, int(image))
        part = rows[at * copies : (at + 1) * copies]
        corrupt_words(part, task.method.cascade_noise, model.vocab_size, rng)
    return encode_bits(torch.from_numpy(rows).long().to(model.codebook.device), model.num_bits)


def corrupt_words(rows: np.ndarray, rate: float, vocab_size: int, rng: np.random.Generator) -> None:
    """Replace, in place, words of token rows (n, L) at ``rate`` by random words other than end and UNK."""
    replaced = (rng.random(rows.shape) < rate) & (rows != 0)
    rows[replaced] = rng.integers(1, vocab_size - 1, size=int(replaced.sum()))
