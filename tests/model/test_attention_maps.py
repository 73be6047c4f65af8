"""Attention weights and maps against softmaxes by hand, and against what the layer itself makes of its values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rdt.model.attention import RankingAttention
from rdt.model.attention_maps import attended_cells, attention_maps, attention_weights
from tests.training.test_training import captioner, split

HALVES = {"lambda_f": 0.5, "lambda_e": 0.5}


def one_head(**changes) -> RankingAttention:
    """One head of two dimensions whose queries and keys are the tokens, without dropout."""
    layer = RankingAttention(2, 1, **{"lambda_f": 1, "lambda_e": 0} | changes).eval()
    with torch.no_grad():
        layer.qkv.weight.copy_(torch.eye(2).repeat(3, 1))
        layer.qkv.bias.zero_()
    return layer


def tokens(*first: float) -> torch.Tensor:
    """Tokens (1, N, 2) that differ in their first channel alone."""
    return torch.tensor([[[value, 0.0] for value in first]])


def test_weights_of_self_attention_are_the_softmax_of_the_scores():
    """A query of sqrt(2) sees key k at k: scores ln 1, ln 2, ln 5 give 1/8, 2/8, 5/8."""
    keys = (math.sqrt(2), math.log(2), math.log(5), 0.0)
    weights, inverse = attention_weights(one_head(), tokens(*keys))
    total = math.exp(math.sqrt(2)) + 2 + 5 + 1
    expected = torch.tensor([math.exp(math.sqrt(2)), 2, 5, 1]) / total
    assert inverse is None and weights.shape == (1, 1, 4, 4)
    assert torch.allclose(weights[0, 0, 0], expected)
    assert torch.allclose(weights[0, 0, 3], torch.full((4,), 0.25))  # a query of 0 sees all alike


def test_each_branch_of_ranking_attention_has_weights_of_its_own():
    """Of the scores sqrt(2), ln 2, ln 5, 0 the best half is keys 2 and 0, the reused half keys 1 and 3."""
    best, reused = attention_weights(one_head(**HALVES), tokens(math.sqrt(2), math.log(2), math.log(5), 0.0))
    top = math.exp(math.sqrt(2)) + 5
    assert torch.allclose(best[0, 0, 0], torch.tensor([math.exp(math.sqrt(2)) / top, 0, 5 / top, 0]))
    assert torch.allclose(reused[0, 0, 0], torch.tensor([0, 2 / 3, 0, 1 / 3]))


@pytest.mark.parametrize("changes", [{}, HALVES, {**HALVES, "fusion": "add0.2"}, {**HALVES, "routing": "query0"}])
def test_the_weights_are_those_of_the_layers_own_output(changes):
    """Weights times values, fused and projected, is what the layer returns."""
    torch.manual_seed(3)
    layer = RankingAttention(8, 2, **{"lambda_f": 1, "lambda_e": 0} | changes).eval()
    x = torch.randn(2, 6, 8)
    v = layer.qkv(x).view(2, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)[2]
    parts = [(w @ v).transpose(1, 2).reshape(2, 6, 8) for w in attention_weights(layer, x) if w is not None]
    if len(parts) == 2:
        parts = [parts[0] + 0.2 * parts[1] if layer.fuse is None else layer.fuse(torch.cat(parts, -1))]
    assert torch.allclose(layer.out(parts[0]), layer(x), atol=1e-6)


def test_attended_cells_count_what_attention_is_spread_over():
    maps = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.25, 0]])
    assert torch.allclose(attended_cells(maps), torch.tensor([1, 2, 4, 2**1.5]))


def flat_attention(**changes):
    """A captioner whose queries are all 0: every query sees all of its keys alike."""
    model = captioner(**changes).eval()
    attention = model.visual.blocks[0].attention
    with torch.no_grad():
        attention.qkv.weight[: attention.qkv.out_features // 3] = 0
        attention.qkv.bias[: attention.qkv.out_features // 3] = 0
    return model.visual


def test_a_map_leaves_the_global_vector_out_and_sums_to_one():
    """All 50 keys alike: each of the 49 cells gets 1/49."""
    maps = attention_maps(flat_attention(lambda_f=1.0, lambda_e=0.0), *split(images=3).features(np.arange(3)))
    assert maps.shape == (1, 3, 49) and torch.allclose(maps, torch.full((1, 3, 49), 1 / 49))


@pytest.mark.parametrize(("fusion", "share"), [("concat", 1.0), ("add0.2", 0.2)])
def test_the_inverse_branch_counts_as_it_is_fused(fusion, share):
    """Of equal scores the earlier key ranks higher: 25 of 50 keys are the first 24 cells, the rest the last 25."""
    visual = flat_attention(lambda_f=0.5, lambda_e=0.5, fusion=fusion)
    (map_,) = attention_maps(visual, *split(images=1).features(np.arange(1)))[0]
    weights = torch.tensor([1.0] * 24 + [share] * 25)
    assert torch.allclose(map_, weights / weights.sum())


def test_there_is_a_map_for_each_encoder_and_the_second_sees_what_the_first_made():
    model, data = captioner().eval(), split(images=3)
    model.visual.blocks.append(model.visual.blocks[0])
    grid, global_ = data.features(np.arange(3))
    maps = attention_maps(model.visual, grid, global_)
    assert maps.shape == (2, 3, 49) and torch.allclose(maps.sum(-1), torch.ones(2, 3))
    assert not torch.allclose(maps[0], maps[1])
