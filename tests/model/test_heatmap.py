"""Token heatmaps against a softmax by hand, and the picture that they become."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from rdt.model.heatmap import COLOURS, OPACITY, encoder_heatmaps, overlay, token_heatmap
from tests.training.test_training import captioner, split


def test_a_heatmap_is_the_softmax_of_the_cells_means_without_the_global_vector():
    tokens = torch.zeros(1, 50, 4)
    tokens[0, 0] = 100  # the global vector does not count
    tokens[0, 1 + 9] = torch.tensor([0.0, 2, 0, 2]) * math.log(3)  # cell 9, row 1, column 2: its mean is ln 3
    heatmap = token_heatmap(tokens)
    expected = torch.full((7, 7), 1 / 51)
    expected[1, 2] = 3 / 51
    assert heatmap.shape == (1, 7, 7) and torch.allclose(heatmap[0], expected)
    assert torch.equal(token_heatmap(tokens[:, 1:]), heatmap)


@pytest.mark.parametrize("count", [48, 51])
def test_other_numbers_of_tokens_are_refused(count):
    with pytest.raises(ValueError, match=f"got {count}"):
        token_heatmap(torch.zeros(1, count, 4))


def test_there_is_a_heatmap_after_each_encoder_and_the_last_is_of_the_visual_tokens():
    model, data = captioner().eval(), split(images=3)
    gain = model.visual.blocks[0].feed_forward.norm_out.weight
    torch.nn.init.uniform_(gain, 0, 2)  # with equal gains the mean of a normalised token is 0
    model.visual.blocks.append(model.visual.blocks[0])
    features = data.features(np.arange(3))
    heatmaps = encoder_heatmaps(model.visual, *features)
    assert heatmaps.shape == (len(model.visual.blocks), 3, 7, 7)
    assert torch.allclose(heatmaps.sum((-1, -2)), torch.ones(len(heatmaps), 3))
    with torch.no_grad():
        assert torch.allclose(heatmaps[-1], token_heatmap(model.visual(*features)))
    assert not torch.allclose(heatmaps[0], heatmaps[-1])


def test_the_hottest_cell_has_the_last_colour_over_the_grey_photograph():
    heatmap = np.zeros((7, 7))
    heatmap[0, 6] = 0.4
    photo = Image.new("RGB", (140, 70), (200, 200, 200))
    mixed = np.asarray(overlay(photo, heatmap))
    assert mixed.shape == (70, 140, 3)
    expected = [(1 - OPACITY) * 200 + OPACITY * colour for colour in (COLOURS[-1], COLOURS[0])]
    assert np.allclose(mixed[2, 137], expected[0], atol=1) and np.allclose(mixed[60, 20], expected[1], atol=1)


def test_a_flat_heatmap_has_one_colour():
    mixed = np.asarray(overlay(Image.new("RGB", (9, 9)), np.full((7, 7), 1 / 49)))
    assert (mixed == np.round(OPACITY * COLOURS[0])).all()
