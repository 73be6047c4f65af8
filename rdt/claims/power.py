"""Seeds and images that would decide a claim, if the differences it rests on are what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv, ndtr

from rdt.metrics.resampling import half_width

POWER = 0.8  # chance of deciding that is asked for
MOST_SEEDS, MOST_IMAGES = 1000, 100_000  # more is no advice
_POINTS = 64  # of the distribution of a scatter that is measured anew

Chance = Callable[[int, int], float]  # of a decision, with so many seeds and images


@dataclass(frozen=True)
class Needed:
    """Seeds and images that would decide a claim with probability POWER; ``images`` at hand where these are enough."""

    seeds: int
    images: int


@dataclass(frozen=True)
class Errors:
    """Errors of a difference: ``image_error`` of the mean over ``images``, and ``scatter`` from seed to seed.

    Each seed beyond the first tells the scatter with ``freedom`` more degrees of freedom. A scatter of 0 stands for
    one that is not known: what it gives is the least that could do.
    """

    image_error: float
    images: int
    scatter: float
    freedom: int


def chance_beyond(distance: float, errors: Errors, seeds: int, images: int, level: float) -> float:
    """Chance that the interval of a difference at ``distance`` from 0 lies on that side of 0."""
    error, halves = _errors(errors, seeds, images, level)
    return float(ndtr((distance - halves) / error).mean())


def chance_within(distance: float, bound: float, errors: Errors, seeds: int, images: int, level: float) -> float:
    """Chance that the interval of a difference at ``distance`` from 0 lies between -``bound`` and ``bound``."""
    error, halves = _errors(errors, seeds, images, level)
    room = np.maximum(0.0, bound - halves)
    return float((ndtr((room - distance) / error) - ndtr((-room - distance) / error)).mean())


def _errors(errors: Errors, seeds: int, images: int, level: float) -> tuple[float, np.ndarray]:
    """Standard error of a difference, and halves of its interval for scatters as they may be measured."""
    over_images = errors.image_error * math.sqrt(errors.images / images)
    over_seeds = errors.scatter / math.sqrt(seeds)
    freedom = errors.freedom * (seeds - 1)
    measured = over_seeds * _scatters(freedom) if over_seeds else np.zeros(1)
    halves = np.array([half_width(over_images, scatter, images, freedom, level) for scatter in measured])
    return max(math.hypot(over_images, over_seeds), 1e-300), halves


@lru_cache(maxsize=4096)
def _scatters(freedom: int) -> np.ndarray:
    """Measured over true standard deviation at ``freedom`` degrees of freedom, at even steps of probability."""
    return np.sqrt(2 * gammaincinv(freedom / 2, (np.arange(_POINTS) + 0.5) / _POINTS) / freedom)


def needed(chance: Chance, images: int) -> Needed | None:
    """The least that decides with probability POWER; None where nothing in reach does.

    On the ``images`` at hand, as few seeds as do; where a thousand are not enough, as few images as do with
    the number of seeds that is enough on four times the images that a thousand seeds would need.
    """
    seeds = _least(lambda count: chance(count, images), 2, MOST_SEEDS)
    if seeds is not None:
        return Needed(seeds, images)
    most = _least(lambda count: chance(MOST_SEEDS, count), images, MOST_IMAGES)
    if most is None:
        return None
    seeds = _least(lambda count: chance(count, min(4 * most, MOST_IMAGES)), 2, MOST_SEEDS)
    more = _least(lambda count: chance(seeds, count), most, MOST_IMAGES)
    return None if more is None else Needed(seeds, more)


def _least(enough: Callable[[int], float], low: int, high: int) -> int | None:
    """The least number from ``low`` to ``high`` with a chance of POWER, which grows with it; None where none has."""
    if enough(high) < POWER:
        return None
    if enough(low) >= POWER:
        return low
    while high - low > 1:  # low is too few, high is enough
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) >= POWER else (middle, high)
    return high
