"""Attention with its gradient by hand against autograd's, and dropout from 16 bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdt.model.attend import attend, plain_attention
from rdt.model.attention import ranked_attention
from rdt.model.dropout import LEVELS, Dropout, multipliers
from tests.support.reference import masked_attention


def qkv(queries: int, keys: int, seed: int = 0) -> list[Tensor]:
    """(2, 3, queries or keys, 4) in float64."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (queries, keys, keys)
    return [torch.randn(2, 3, n, 4, generator=generator, dtype=torch.float64, requires_grad=True) for n in sizes]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.sampled_from([0.0, 0.4]), st.integers(0, 2**16))
def test_values_and_gradients_are_autograds(queries: int, keys: int, branches: int, p: float, seed: int):
    inputs = qkv(queries, keys, seed)
    generator = torch.Generator().manual_seed(seed)
    chosen = [torch.rand(2, 3, queries, keys, generator=generator) < 0.6 for _ in range(branches)]
    for mask in chosen:
        mask[..., 0] |= ~mask.any(-1)  # each query has a key
    torch.manual_seed(seed)
    outputs = attend(*inputs, lambda scores: chosen, p)
    torch.manual_seed(seed)
    noise = torch.ones(2, 3, branches * queries, keys, dtype=torch.float64)
    noise = multipliers(noise, p).unflatten(2, (branches, queries)).unbind(2)
    expected = [masked_attention(*inputs, mask, kept) for mask, kept in zip(chosen, noise, strict=True)]
    upstream = [torch.randn(output.shape, generator=generator, dtype=torch.float64) for output in outputs]
    gradients = [torch.autograd.grad(found, inputs, upstream) for found in (outputs, expected)]
    for got, wanted in zip([*outputs, *gradients[0]], [*expected, *gradients[1]], strict=True):
        assert (got - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"routing": "query0"}, {"routing": "shared_heads"}])
@pytest.mark.parametrize("reuse_from", [3, 6])
def test_the_gradient_of_ranked_attention_is_that_of_its_numbers(options: dict, reuse_from: int):
    """Small steps change no ranking, so that differences measure the gradient; 6 leaves the inverse branch out."""
    outputs = lambda *inputs: [o for o in ranked_attention(*inputs, 4, reuse_from, **options) if o is not None]  # noqa: E731
    assert torch.autograd.gradcheck(lambda *inputs: tuple(outputs(*inputs)), qkv(6, 6))


def test_the_gradient_with_padding_ties_and_a_given_order():
    q, k, v = qkv(6, 6)
    k = k.detach().clone()
    k[:, :, 1] = k[:, :, 2]  # two keys with the same score for every query
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    order = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    for counts, more in [((3, 3), {}), ((3, 2), {"key_padding_mask": padding}), ((2, 4), {"order": order})]:
        assert torch.autograd.gradcheck(lambda q, v: ranked_attention(q, k, v, *counts, **more), (q, v))  # noqa: B023


@pytest.mark.parametrize("causal", [False, True])
def test_plain_attention_with_dropout_attends_as_without(causal: bool):
    """At a rate that no value of 16 bits falls under, all weights stay."""
    q, k, v = qkv(5, 5)
    mask = None if causal else torch.tensor([[True, False, True, True, True]])
    with_dropout, without = (plain_attention(q, k, v, mask, p, causal) for p in (1e-9, 0.0))
    assert (with_dropout - without).abs().max() < 1e-12


def test_low_precision_keeps_its_type_and_follows_float32():
    q, k, v = (x.detach().bfloat16().requires_grad_() for x in qkv(6, 6))
    got = ranked_attention(q, k, v, 4, 3)
    expected = ranked_attention(q.float(), k.float(), v.float(), 4, 3)
    gradient = torch.autograd.grad(got[0].float().sum() + got[1].float().square().sum(), (q, k, v))
    assert {x.dtype for x in [*got, *gradient]} == {torch.bfloat16}
    for one, two in zip(got, expected, strict=True):
        assert (one - two).abs().max() < 0.05


# Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_values_are_dropped_at_their_rate_and_the_mean_stays(p: float):
    torch.manual_seed(0)
    drawn = multipliers(torch.empty(50, 4001), p)
    share = round(p * LEVELS) / LEVELS
    assert drawn.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    # 200,050 values: a share's standard deviation is at most 0.0012
    assert (drawn == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert drawn.mean().item() == pytest.approx(1, abs=0.05)
    assert (drawn[:, :-1] * drawn[:, 1:]).mean().item() == pytest.approx(1, abs=0.05)  # neighbours, of one number
    assert (drawn[:-1] * drawn[1:]).mean().item() == pytest.approx(1, abs=0.05)


def test_dropout_keeps_what_the_bits_of_the_stream_say():
    """Four values share a number of 64 bits, the lowest first; a value under p 2^16 (as signed, moved by 2^15) goes."""
    torch.manual_seed(3)
    numbers = torch.empty(2, 2, dtype=torch.int64).random_(-(2**63), None).tolist()
    expected = []
    for row in numbers:
        parts = [(number >> 16 * part) % LEVELS for number in row for part in range(4)]
        signed = [part - LEVELS if part >= LEVELS // 2 else part for part in parts]
        expected.append([4 / 3 * (value >= LEVELS // 4 - LEVELS // 2) for value in signed[:6]])
    torch.manual_seed(3)
    assert torch.allclose(multipliers(torch.empty(2, 3, 2), 0.25).flatten(1), torch.tensor(expected))


def test_dropout_rests_outside_training_and_reaches_the_gradient():
    dropout, x = Dropout(0.5), torch.ones(4, 100, requires_grad=True)
    assert dropout.eval()(x) is x
    y = dropout.train()(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y) and set(y.unique().tolist()) == {0, 2}
    assert Dropout(0.0)(x) is x and multipliers(x[:0], 0.5).shape == (0, 100)
