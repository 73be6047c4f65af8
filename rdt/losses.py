"""The objectives: L = lambda_1 L_XE + lambda_2 L_bit + lambda_3 L_rank (Eq. 13), and Eq. 14.

Shapes: n captions of L positions, b bits a word, V words. ``valid`` is bool (n, L), True at the words and the
first end token of each caption.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Average = Literal["all_pairs", "active_pairs"]


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values where mask holds; 0 where it holds nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def caption_cross_entropy(logits: Tensor, ids: Tensor, smoothing: float) -> Tensor:
    """L_XE: KL(target || softmax(logits)), summed over the vocabulary, mean over the m supervised positions.

    The target has 1 - smoothing on the word and smoothing / (V - 1) on each other word. KL is the
    smoothed cross-entropy less the target's entropy, a constant (1.248 at V = 10200, smoothing 0.1).

    logits: (m, V); ids: (m,), the supervised positions alone, since logits elsewhere would be made for
    nothing. smoothing in [0, (V - 1) / V]. Returns a scalar.
    """
    V = logits.shape[-1]
    # torch spreads its smoothing over all V words, the right one included; this much of it leaves
    # smoothing / (V - 1) on each wrong word, and the dense target is never built.
    spread = smoothing * V / (V - 1)
    entropy = 0.0
    if smoothing > 0:
        entropy = -(1 - smoothing) * math.log(1 - smoothing) - smoothing * math.log(smoothing / (V - 1))
    return F.cross_entropy(logits, ids, label_smoothing=spread) - entropy


def bit_loss(bits: Tensor, target_bits: Tensor) -> Tensor:
    """L_bit, Eq. 2: mean squared error over the m supervised positions and their bits, both (m, b)."""
    return F.mse_loss(bits, target_bits)


def sentence_quality(bits: Tensor, valid: Tensor) -> Tensor:
    """q of section III-D: the mean analog bit of each caption over its valid positions. (n, L, b) -> (n,)."""
    total = (bits * valid.unsqueeze(-1)).sum((-2, -1))
    return total / (bits.shape[-1] * valid.sum(-1).clamp(min=1))


def top5_quality(bits: Tensor, confidence: Tensor, valid: Tensor) -> Tensor:
    """q of the released code: bits of the 5 most confident valid words, summed, over the caption's length.

    bits: (n, L, b); confidence: (n, L), the probability (or its logarithm) of each position's best word;
    it only selects, no gradient reaches it. A caption shorter than 5 uses all its words. Returns (n,).
    """
    ranked = confidence.detach().masked_fill(~valid, -math.inf)
    top = ranked.topk(min(5, ranked.shape[-1]), dim=-1).indices
    chosen = torch.zeros_like(valid).scatter_(-1, top, True) & valid
    return (bits * chosen.unsqueeze(-1)).sum((-2, -1)) / valid.sum(-1).clamp(min=1)


def total_quality(bits: Tensor, valid: Tensor) -> Tensor:
    """q* of the released code: the valid positions' bits, over all L positions. (n, L, b) -> (n,)."""
    return (bits * valid.unsqueeze(-1)).sum((-2, -1)) / (bits.shape[-2] * bits.shape[-1])


def close_pairs(q_star: Tensor, t: Tensor, delta_tim: float, delta_sen: float) -> tuple[Tensor, Tensor]:
    """The two masks of Eq. 27 and 28 on all pairs of n captions: |t_i - t_j| <= delta_tim, |D*| <= delta_sen.

    q_star, t: (n,). Returns two bool (n, n).
    """
    return (t[:, None] - t[None, :]).abs() <= delta_tim, (q_star[:, None] - q_star[None, :]).abs() <= delta_sen


def pairwise_ranking_loss(
    q: Tensor,
    q_star: Tensor,
    t: Tensor,
    delta_tim: float,
    delta_sen: float,
    margin: bool = True,
    average: Average = "all_pairs",
) -> Tensor:
    """L_rank on given qualities, Eq. 24-28, all (n,). Returns a scalar; the gradient runs through q alone.

    With D* = q_i* - q_j* and D = q_i - q_j, a pair costs max(0, |D*| - sgn(D*) D), and counts where
    |t_i - t_j| <= delta_tim and |D*| <= delta_sen. margin=False puts the hinge at 0: max(0, -sgn(D*) D).
    average: ``all_pairs`` divides by n^2 as Eq. 26 does; ``active_pairs`` by the number of pairs that
    count and have an order, D* != 0 (0 if there is none).
    """
    q_star = q_star.detach()
    true_gap = q_star[:, None] - q_star[None, :]
    gap = q[:, None] - q[None, :]
    in_time, in_quality = close_pairs(q_star, t, delta_tim, delta_sen)
    active = in_time & in_quality & (true_gap != 0)  # equal captions cost nothing: sgn(0) = 0 and |D*| = 0
    hinge = (true_gap.abs() * margin - true_gap.sign() * gap).clamp(min=0)
    if average == "all_pairs":
        return (hinge * active).sum() / q.numel() ** 2
    if average == "active_pairs":
        return _masked_mean(hinge, active)
    raise ValueError(f"average is 'all_pairs' or 'active_pairs', got {average!r}")


def ranking_loss(
    bits: Tensor,
    target_bits: Tensor,
    t: Tensor,
    valid: Tensor,
    delta_tim: float,
    delta_sen: float,
    margin: bool = True,
    average: Average = "all_pairs",
    confidence: Tensor | None = None,
    targets: np.ndarray | None = None,
) -> Tensor:
    """L_rank, Eq. 24-28, with the mean bit of a caption as its quality, or, given a confidence, the released code's.

    bits: (n, L, b) predicted analog bits in [-1, 1], before thresholding; target_bits: (n, L, b), the x_0;
    t: (n,) in [0, 1], the paper's t', so that delta_tim is a fraction of T; valid: bool (n, L), the words
    and the first end token. delta_sen = 2 lets every pair through. See ``pairwise_ranking_loss``; for
    confidence, (n, L), ``top5_quality``. targets: for each caption the number of the one whose q* it is ranked by, in
    the hinge and in both masks, in place of its own. Returns a scalar.
    """
    if confidence is None:
        q, q_star = sentence_quality(bits, valid), sentence_quality(target_bits, valid)
    else:
        q, q_star = top5_quality(bits, confidence, valid), total_quality(target_bits, valid)
    if targets is not None:
        q_star = q_star[torch.as_tensor(targets, device=q_star.device)]
    return pairwise_ranking_loss(q, q_star, t, delta_tim, delta_sen, margin, average)


def self_critical_loss(log_probs: Tensor, rewards: Tensor, valid: Tensor) -> Tensor:
    """Eq. 14 as a loss: mean over all valid tokens of all rows of -log p(token) * (r - r_baseline).

    log_probs: (n, L) of the sampled tokens; rewards: (n,), the row's reward less its baseline's; valid:
    (n, L), up to and including the sample's first end token. Returns a scalar.
    """
    return _masked_mean(-log_probs * rewards.detach().unsqueeze(-1), valid)
