"""The losses against numbers worked out by hand and dense formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rdt.diffusion.bits import encode_bits
from rdt.losses import (
    bit_loss,
    caption_cross_entropy,
    pairwise_ranking_loss,
    ranking_loss,
    self_critical_loss,
    sentence_quality,
    top5_quality,
    total_quality,
)

ANY = {"delta_tim": 1.0, "delta_sen": 2.0}  # no pair is masked


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# L_XE


def dense_kl(logits: Tensor, ids: Tensor, smoothing: float) -> Tensor:
    V = logits.shape[-1]
    target = torch.full_like(logits, smoothing / (V - 1))
    target[torch.arange(len(ids)), ids] = 1 - smoothing
    log_ratio = torch.where(target > 0, target.log(), 0) - logits.log_softmax(-1)
    return (target * log_ratio).sum(-1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_kl_to_the_smoothed_target(smoothing: float):
    torch.manual_seed(0)
    logits = torch.randn(7, 30, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(30, (7,))
    got, expected = caption_cross_entropy(logits, ids, smoothing), dense_kl(logits, ids, smoothing)
    assert got.item() == pytest.approx(expected.item(), abs=1e-12)
    (a,), (b,) = torch.autograd.grad(got, logits), torch.autograd.grad(expected, logits)
    assert (a - b).abs().max() < 1e-12


def test_the_constant_between_kl_and_cross_entropy_is_1_248():
    # Uniform logits have the cross-entropy log V = 9.230 against any target.
    loss = caption_cross_entropy(torch.zeros(3, 10200), torch.tensor([0, 5, 10199]), 0.1)
    assert math.log(10200) - loss.item() == pytest.approx(1.248, abs=5e-4)


def test_cross_entropy_vanishes_at_its_target():
    logits = torch.full((1, 10), math.log(0.1 / 9), dtype=torch.float64)
    logits[0, 3] = math.log(0.9)
    assert caption_cross_entropy(logits, torch.tensor([3]), 0.1).item() == pytest.approx(0, abs=1e-12)


# L_bit


def test_bit_loss_is_a_mean_square():
    bits, target = torch.tensor([[0.5, -1.0], [1.0, 0.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert bit_loss(bits, target).item() == pytest.approx((0.25 + 0 + 4 + 1) / 4)


# q


def test_quality_is_the_mean_bit_of_the_valid_positions():
    bits = torch.tensor([[[1.0, 0.5], [-1.0, 0.0], [9.0, 9.0]], [[1.0, 1.0], [9.0, 9.0], [9.0, 9.0]]])
    valid = torch.tensor([[True, True, False], [True, False, False]])
    assert sentence_quality(bits, valid).tolist() == [0.125, 1.0]
    assert total_quality(bits, valid).tolist() == pytest.approx([0.5 / 6, 2 / 6])


@given(st.integers(0, 2**16))
def test_what_stands_in_the_padding_changes_no_quality_and_no_loss(seed: int):
    generator = torch.Generator().manual_seed(seed)
    bits, target = torch.rand(2, 5, 20, 14, generator=generator, dtype=torch.float64) * 2 - 1
    t = torch.rand(5, generator=generator)
    lengths = torch.randint(1, 20, (5, 1), generator=generator)
    valid = torch.arange(20) < lengths
    other_bits, other_target = (torch.where(valid[..., None], x, -x) for x in (bits, target))
    assert torch.equal(sentence_quality(bits, valid), sentence_quality(other_bits, valid))
    loss, other = (ranking_loss(b, x, t, valid, **ANY) for b, x in ((bits, target), (other_bits, other_target)))
    assert torch.equal(loss, other)


def test_top5_quality_sums_the_five_most_confident_words():
    bits = torch.arange(1.0, 9.0).view(1, 8, 1).expand(1, 8, 2)  # word i has bits i, i
    confidence = torch.tensor([[0.9, 0.1, 0.8, 0.2, 0.7, 0.6, 0.5, 1.0]])
    valid = torch.tensor([[True] * 7 + [False]])
    # Of the seven valid words 1, 3, 5, 6 and 7 are the surest: 2 (1 + 3 + 5 + 6 + 7) / 7.
    assert top5_quality(bits, confidence, valid).tolist() == pytest.approx([44 / 7])
    assert top5_quality(bits, confidence.log(), valid).tolist() == pytest.approx([44 / 7])
    short = torch.tensor([[True] * 3 + [False] * 5])
    assert top5_quality(bits, confidence, short).tolist() == pytest.approx([2 * (1 + 2 + 3) / 3])
    assert top5_quality(bits[:, :2], confidence[:, :2], valid[:, :2]).tolist() == pytest.approx([2 * (1 + 2) / 2])


# L_rank


Q_STAR, Q, T = vector(0, 0.1, 0.3), vector(0.2, 0.1, 0.25), vector(0.10, 0.15, 0.30)


@pytest.mark.parametrize(
    ("options", "expected"),
    # Pairs: (1,2) D* = -.1, D = .1 costs .2; (2,3) D* = -.2, D = -.15 costs .05; (1,3) D* = -.3,
    # D = -.05 costs .25. Each counts twice, over 3^2 = 9.
    [
        (ANY, 2 * (0.2 + 0.05 + 0.25) / 9),
        ({"delta_tim": 1, "delta_sen": 0.25}, 2 * (0.2 + 0.05) / 9),
        ({"delta_tim": 0.12, "delta_sen": 2}, 2 * 0.2 / 9),
        ({"delta_tim": 0.01, "delta_sen": 2}, 0),
        ({**ANY, "margin": False}, 2 * 0.1 / 9),
        ({"delta_tim": 1, "delta_sen": 0.25, "average": "active_pairs"}, (0.2 + 0.05) / 2),
        ({"delta_tim": 0.12, "delta_sen": 2, "average": "active_pairs", "margin": False}, 0.1),
        ({"delta_tim": 0.01, "delta_sen": 2, "average": "active_pairs"}, 0),
    ],
)
def test_ranking_loss_of_a_hand_example(options: dict, expected: float):
    assert pairwise_ranking_loss(Q, Q_STAR, T, **options).item() == pytest.approx(expected, abs=1e-12)
    bits, target = (q.view(3, 1, 1).expand(3, 4, 2) for q in (Q, Q_STAR))
    valid = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [True] + [False] * 3])
    assert ranking_loss(bits, target, T, valid, **options).item() == pytest.approx(expected, abs=1e-12)


def test_a_confidence_asks_for_the_qualities_of_the_released_code():
    """Of six words the first is the least sure: q is the sum of the other five over six; q* of all six over L = 8."""
    bits = torch.zeros(2, 8, 1, dtype=torch.float64)
    bits[0, :6], bits[1, :6] = 0.6, 0.3
    valid = torch.arange(8).expand(2, 8) < 6
    confidence = torch.arange(8.0).expand(2, 8)
    # q = 0.5 and 0.25, q* = -0.75 and 0.75: each of the two orders costs 1.5 + 0.25, over 2^2.
    target = torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1).expand(2, 8, 1)
    loss = ranking_loss(bits, target, torch.zeros(2), valid, **ANY, confidence=confidence)
    assert loss.item() == pytest.approx(2 * 1.75 / 4)


def test_thresholds_are_inclusive():
    q, q_star, t = vector(0, 0), vector(0, 0.5), vector(0.25, 0.5)
    assert pairwise_ranking_loss(q, q_star, t, 0.25, 0.5).item() == pytest.approx(2 * 0.5 / 4)
    assert pairwise_ranking_loss(q, q_star, t, 0.24, 0.5).item() == 0
    assert pairwise_ranking_loss(q, q_star, t, 0.25, 0.49).item() == 0


qualities = st.lists(st.floats(-1, 1), min_size=2, max_size=12)


@given(qualities)
def test_perfect_and_over_spread_qualities_cost_nothing(values: list[float]):
    q_star, t = vector(*values), torch.zeros(len(values))
    assert pairwise_ranking_loss(q_star, q_star, t, **ANY).item() == 0
    assert pairwise_ranking_loss(1.5 * q_star, q_star, t, **ANY).item() == pytest.approx(0, abs=1e-15)


@given(qualities, st.floats(-3, 3), st.integers(0, 2**16))
def test_a_common_shift_and_the_order_of_captions_do_not_matter(values: list[float], shift: float, seed: int):
    generator = torch.Generator().manual_seed(seed)
    q_star, n = vector(*values), len(values)
    q, t = torch.rand(2, n, generator=generator, dtype=torch.float64)
    loss = pairwise_ranking_loss(q, q_star, t, 0.5, 2.0)
    assert pairwise_ranking_loss(q + shift, q_star, t, 0.5, 2.0).item() == pytest.approx(loss.item(), abs=1e-12)
    order = torch.randperm(n, generator=generator)
    permuted = pairwise_ranking_loss(q[order], q_star[order], t[order], 0.5, 2.0)
    assert permuted.item() == pytest.approx(loss.item(), abs=1e-12)
    assert loss.item() >= 0


def test_pairs_are_symmetric():
    # Reflecting both scores swaps the roles of i and j.
    assert pairwise_ranking_loss(-Q, -Q_STAR, T, **ANY).item() == pytest.approx(
        pairwise_ranking_loss(Q, Q_STAR, T, **ANY).item()
    )


@given(qualities)
def test_delta_sen_of_two_lets_every_pair_through(values: list[float]):
    q_star, q, t = vector(*values), torch.zeros(len(values), dtype=torch.float64), torch.zeros(len(values))
    unmasked = (q_star[:, None] - q_star[None]).abs().mean()
    assert pairwise_ranking_loss(q, q_star, t, 0.12, 2.0).item() == pytest.approx(unmasked.item(), abs=1e-12)


def test_captions_ranked_by_the_quality_of_others():
    """q* of 0, .1 and .3, given to the captions as .1, .3 and 0: hinge and δ_sen then see these."""
    target = vector(0, 0.1, 0.3).view(3, 1, 1)
    bits = vector(0, 0, 0.1).view(3, 1, 1)
    valid, t = torch.ones(3, 1, dtype=torch.bool), torch.zeros(3)
    # δ_sen = .15 leaves captions 0 and 1, D = 0 of D* = -.1, twice in 9 pairs; then 0 and 2, D = -.1 of D* = .1.
    own = ranking_loss(bits, target, t, valid, 1.0, 0.15)
    others = ranking_loss(bits, target, t, valid, 1.0, 0.15, targets=np.array([1, 2, 0]))
    assert own.item() == pytest.approx(2 * 0.1 / 9) and others.item() == pytest.approx(2 * 0.2 / 9)
    same = ranking_loss(bits, target, t, valid, 1.0, 0.15, targets=np.arange(3))
    assert same.item() == own.item()


def test_the_gradient_runs_through_the_prediction_alone():
    bits = torch.zeros(3, 4, 2, dtype=torch.float64, requires_grad=True)
    target = Q_STAR.view(3, 1, 1).expand(3, 4, 2).clone().requires_grad_()
    valid = torch.tensor([[True, True, True, False]] * 3)
    ranking_loss(bits, target, T, valid, **ANY).backward()
    assert target.grad is None
    # The lowest caption is pushed down by two pairs (each twice) and the highest up: 4/9 over its 6 valid bits.
    assert bits.grad[0, 0, 0].item() == pytest.approx(4 / 9 / 6)
    assert bits.grad[1].abs().max().item() == pytest.approx(0, abs=1e-15)
    assert bits.grad[2, 2, 1].item() == pytest.approx(-4 / 9 / 6)
    assert bits.grad[:, 3].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_on_bits_of_words(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10200, (80, 20), generator=generator)
    target = encode_bits(ids, 14).to(dtype)
    bits = (target * 0.3).requires_grad_()
    valid = torch.arange(20) < torch.randint(1, 20, (80, 1), generator=generator)
    loss = ranking_loss(bits, target, torch.rand(80, generator=generator), valid, 0.12, 0.15)
    loss.backward()
    assert loss.item() > 0
    assert bits.grad.isfinite().all()
    assert bits.grad.abs().max() > 0


def test_an_unknown_average_is_refused():
    with pytest.raises(ValueError, match="'all_pairs' or 'active_pairs'"):
        pairwise_ranking_loss(Q, Q_STAR, T, **ANY, average="pairs")


# Eq. 14


def test_self_critical_loss_is_a_mean_over_all_valid_tokens():
    log_probs = torch.tensor([[-1.0, -2.0, -4.0], [-8.0, -16.0, -32.0]], requires_grad=True)
    rewards = torch.tensor([2.0, -0.5], requires_grad=True)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    loss = self_critical_loss(log_probs, rewards, valid)
    assert loss.item() == pytest.approx((2 * 7 - 0.5 * 8) / 4)
    loss.backward()
    assert rewards.grad is None
    # Descent makes the better sample likelier, the worse one less likely, and leaves the padding alone.
    assert log_probs.grad.tolist() == [[-0.5, -0.5, -0.5], [0.125, 0, 0]]
