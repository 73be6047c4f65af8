"""Random draws of a training run, keyed by what they are for and not by how many came before.

Every draw is a function of (seed, purpose, epoch, image or step). So a run does not depend on the
number of workers, resumes exactly, and two rows of a table with the same seed see the same order,
timesteps and noise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal[
    "order",
    "image",
    "coin",
    "framework",
    "sample",
    "encoder",
    "teacher_row",
    "replace",
    "sentence",
    "weights",
    "keys",
    "numbering",
    "targets",
]
_PURPOSE: dict[Purpose, int] = {
    "order": 0,
    "image": 1,
    "coin": 2,
    "framework": 3,
    "sample": 4,
    "encoder": 5,
    "teacher_row": 6,
    "replace": 7,
    "sentence": 8,
    "weights": 9,
    "keys": 10,
    "numbering": 11,
    "targets": 12,
}


def generator(seed: int, purpose: Purpose, *counter: int) -> np.random.Generator:
    """A Philox generator at its own place in the key space; ``counter``: up to three integers."""
    words = [*counter, 0, 0, 0][:3]
    return np.random.Generator(np.random.Philox(key=[seed, _PURPOSE[purpose]], counter=[0, *words]))


def torch_seed(seed: int, purpose: Purpose, *counter: int) -> int:
    """A seed for a ``torch.Generator`` or ``torch.manual_seed``."""
    return int(generator(seed, purpose, *counter).integers(2**63))


def choose(rng: np.random.Generator, available: int, wanted: int) -> np.ndarray:
    """``wanted`` of ``available`` items in random order, each at most once more often than another."""
    rounds = [rng.permutation(available) for _ in range(-(-wanted // available))]
    return np.concatenate(rounds)[:wanted]


def epoch_order(seed: int, epoch: int, images: int) -> np.ndarray:
    """Order in which an epoch visits the images (n,)."""
    return generator(seed, "order", epoch).permutation(images)
