"""Where a network starts from: a function of the seed and of each module's name."""

from __future__ import annotations

import torch

from rdt.model.network import draw_weights
from tests.training.test_training import captioner


def started(seed: int = 3, **changes):
    """Parameters of a captioner that has been initialised, whatever its constructor drew."""
    model = captioner(seed=len(changes), **changes)
    draw_weights(model, seed)
    return dict(model.named_parameters())


def test_what_two_networks_share_starts_equal():
    """The branch of Eq. 20 and its fusion layer, or the second network's inputs, move nothing else."""
    plain = started(lambda_f=1.0, lambda_e=0.0)
    for other in (started(lambda_f=0.75, lambda_e=0.55), started(lambda_f=1.0, lambda_e=1.0), started(cascade=True)):
        assert len(other) >= len(plain)
        same_shape = [name for name in plain if name in other and plain[name].shape == other[name].shape]
        assert len(same_shape) >= len(plain) - 1  # a second network reads the first one's caption too
        assert all(torch.equal(plain[name], other[name]) for name in same_shape)


def test_another_seed_is_another_start():
    first, second = started(seed=0), started(seed=1)
    drawn = [name for name in first if not torch.equal(first[name], torch.zeros_like(first[name]))]
    drawn = [name for name in drawn if not torch.equal(first[name], torch.ones_like(first[name]))]  # of LayerNorm
    assert len(drawn) > len(first) / 2
    assert all(not torch.equal(first[name], second[name]) for name in drawn)


def test_modules_of_one_shape_start_apart():
    """Each module has a stream of its own."""
    drawn = [value for value in started().values() if value.dim() > 1]
    pairs = [(a, b) for i, a in enumerate(drawn) for b in drawn[:i] if a.shape == b.shape]
    assert pairs and not any(torch.equal(a, b) for a, b in pairs)


def test_the_law_of_a_start_is_that_of_the_constructor():
    """Uniform in +- 1 / sqrt(inputs) for a linear layer: mean 0 and that limit, within what chance allows."""
    weight = started()["head.1.weight"]
    limit = weight.shape[1] ** -0.5
    assert weight.abs().max() <= limit and weight.abs().max() > 0.97 * limit
    assert weight.mean().abs() < 4 * limit / (3 * weight.numel()) ** 0.5
