"""Distances of quality scores from a network's own predictions, and their slope by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rdt.captioning import reconstruction
from rdt.captioning.reconstruction import quality_distances, slopes
from rdt.diffusion.bits import encode_bits
from rdt.diffusion.schedule import alpha_sigma, log_snr
from rdt.draws import torch_seed
from rdt.features.split import sentence_input
from tests.training.test_training import BITS, L, captioner, split

TIMES = (0.05, 0.5, 1.0)


def test_the_distance_is_that_of_the_mean_bits_of_the_words_and_the_first_end():
    """For one image, step by step: noise as Eq. 1, one pass without self-conditioning, means over valid bits."""
    model, data = captioner().eval(), split(images=4)
    found = quality_distances(model, data, 4, TIMES)
    assert found.shape == (4, 3) and found.dtype == np.float64
    row = data.captions[2][0]
    words = int(np.argmax(row == 0)) + 1  # with the first end token
    bits = encode_bits(torch.from_numpy(row[None]).long(), BITS)
    noise = torch.randn(L, BITS, generator=torch.Generator().manual_seed(torch_seed(0, "sample", 1002)))
    at = np.array([2])
    with torch.no_grad():
        context = model.encode(*data.features(at), *sentence_input(data.retrieved[at, 0]))
        for column, time in enumerate(TIMES):
            alpha, sigma = alpha_sigma(log_snr(torch.tensor(time)))
            noised = alpha * bits + sigma * noise
            predicted = model.predict(noised, log_snr(torch.tensor([time])), torch.zeros_like(bits), context)
            expected = abs(predicted[0, :words].mean().item() - bits[0, :words].mean().item())
            assert found[2, column] == pytest.approx(expected, abs=1e-5)


def test_a_distance_depends_neither_on_the_batch_nor_on_the_images_after_it(monkeypatch):
    model, data = captioner().eval(), split(images=7)
    whole = quality_distances(model, data, 7, TIMES)
    monkeypatch.setattr(reconstruction, "IMAGES_PER_BATCH", 3)
    assert np.allclose(quality_distances(model, data, 5, TIMES), whole[:5], atol=1e-5)


def test_a_network_that_knows_nothing_of_its_input_is_no_further_off_with_more_noise():
    model, data = captioner().eval(), split(images=3)
    torch.nn.init.zeros_(model.head[1].weight)  # the same words, whatever it sees
    found = quality_distances(model, data, 3, TIMES)
    assert np.allclose(found, found[:, :1]) and np.allclose(slopes(found, TIMES), 0)


def test_a_slope_is_that_of_the_line_of_least_squares():
    """Through (0, 1), (1, 1), (2, 4): mean 2, covariance sum 3, times' sum of squares 2."""
    assert np.allclose(slopes(np.array([[1.0, 1, 4], [5, 3, 1]]), (0, 1, 2)), [1.5, -2])
