"""Seeds and images that would decide whether a difference is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

from rdt.metrics.resampling import LEVEL, half_width

POWER = 0.8  # chance of deciding, if the true difference is the one measured
MOST_SEEDS, MOST_IMAGES = 1000, 100_000  # more is no advice


@dataclass(frozen=True)
class Needed:
    """Seeds and images that would decide a difference with probability POWER.

    ``images`` is the number at hand where more seeds alone are enough.
    """

    seeds: int
    images: int


def needed(
    difference: float, image_error: float, images: int, scatter: float, freedom: int, level: float = LEVEL
) -> Needed | None:
    """Seeds and images that decide a ``difference`` with the errors of a measured one; None if it is too small.

    ``image_error`` (of the mean over ``images``) and ``scatter`` (from seed to seed, known with ``freedom`` degrees of
    freedom) are in units of the difference. A scatter of 0 gives the least that could do. Where
    seeds are not enough on these images, images are added until they take half of the room for error.
    """
    distance = abs(difference)
    found = _seeds(distance, image_error, images, scatter, freedom, level)
    if found is not None or not distance:
        return None if found is None else Needed(found, images)
    room = 2 if scatter else 1.01  # a hair, for Student's t is not quite the normal
    per_error = float(norm.ppf((1 + level) / 2) + norm.ppf(POWER))
    more = math.ceil(images * room * (per_error * image_error / distance) ** 2)
    if not images < more <= MOST_IMAGES:
        return None
    found = _seeds(distance, image_error * math.sqrt(images / more), more, scatter, freedom, level)
    return None if found is None else Needed(found, more)


def _seeds(distance: float, image_error: float, images: int, scatter: float, freedom: int, level: float) -> int | None:
    """The least number of seeds, two or more, with which ``distance`` is likely to lie outside the interval."""

    def decides(seeds: int) -> bool:
        seed_error = scatter / math.sqrt(seeds)
        half = half_width(image_error, seed_error, images, max(freedom, seeds - 1), level)
        return half + float(norm.ppf(POWER)) * math.hypot(image_error, seed_error) <= distance

    if not decides(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # decides(seeds) turns true once
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
