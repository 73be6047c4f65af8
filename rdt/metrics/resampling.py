"""Bootstrap, jackknife and permutation of corpus metrics over images, paired by image; corrections for many tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from rdt.metrics.statistics import (
    Number,
    Seeds,
    Statistics,
    additive_columns,
    corpus_values,
    groups_of,
    unit_count,
    values_of_sums,
)

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK_NUMBERS = 2_000_000  # resample counts held at a time: 16 MB


# ---- bootstrap


def bootstrap(systems: Sequence[Statistics], resamples: int = RESAMPLES, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Corpus values of each system in ``resamples`` resamples of the images: (resamples,) arrays by metric.

    All systems see the same resamples, so the difference of two of them is paired. Raises ValueError if
    the systems differ in their number of images.
    """
    n = _common_count(systems)
    matrices = [additive_columns(system) for system in systems]
    return _in_chunks(systems, matrices, _resample_counts(n, resamples, seed))


def _common_count(systems: Sequence[Statistics]) -> int:
    counts = {unit_count(system) for system in systems}
    if len(counts) != 1 or not min(counts):
        raise ValueError(f"paired systems need one number of images, at least 1; got {sorted(counts)}")
    return counts.pop()


def _in_chunks(
    systems: Sequence[Statistics], matrices: Sequence[np.ndarray], weights: Iterator[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Values of each system for all rows of weights (r, n), which come in chunks; one product for all."""
    columns = np.column_stack(matrices)
    ends = np.cumsum([matrix.shape[1] for matrix in matrices])[:-1]
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in systems]
    for chunk in weights:
        for part, system, sums in zip(parts, systems, np.split(chunk @ columns, ends, axis=1), strict=True):
            part.append(values_of_sums(sums, groups_of(system)))
    return [{name: np.concatenate([chunk[name] for chunk in part]) for name in part[0]} for part in parts]


def _chunk_sizes(n: int, rows: int) -> Iterator[int]:
    size = max(1, _CHUNK_NUMBERS // n)
    for start in range(0, rows, size):
        yield min(size, rows - start)


def _resample_counts(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n images occurs in a sample of n with replacement: float64 (r, n), in chunks."""
    generator = np.random.default_rng(seed)
    for rows in _chunk_sizes(n, resamples):
        drawn = generator.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


@dataclass(frozen=True)
class Estimate:
    """A corpus value, or a difference of two, with its confidence interval.

    ``value`` is the mean over seeds, ``sd`` their standard deviation (None for one seed). ``image_error`` and
    ``seed_error`` are the standard errors that the choice of images and of seeds puts on the value (None
    where there is only one of them). With one seed the interval ``low`` to ``high`` is about other images
    and says nothing about another training run; with several it is about other images and other seeds. With
    one image there is none.
    """

    value: float
    low: float | None
    high: float | None
    sd: float | None
    image_error: float | None
    seed_error: float | None
    seeds: int
    images: int

    def within(self, least: float, most: float) -> Estimate:
        """The same with its interval cut to what such values can be: Student's reaches beyond it near the ends."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(least, self.low), high=min(most, self.high))


def interval(system: Seeds, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL) -> dict[str, Estimate]:
    """Corpus value of each metric with its interval; see :func:`estimate`. ``seed`` is the bootstrap's."""
    runs = _as_seeds(system)
    drawn = bootstrap(runs, resamples, seed)
    return _estimates([corpus_values(run) for run in runs], drawn, unit_count(runs[0]), level)


def paired_difference(
    first: Seeds, second: Seeds, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, Estimate]:
    """``first`` minus ``second`` on the same images, seed by seed where there are several, with its interval.

    Raises ValueError if the numbers of seeds or images differ.
    """
    a, b = _as_seeds(first), _as_seeds(second)
    drawn = bootstrap([*a, *b], resamples, seed)
    differences = [subtract(x, y) for x, y in zip(drawn[: len(a)], drawn[len(a) :], strict=True)]
    values = [subtract(corpus_values(x), corpus_values(y)) for x, y in zip(a, b, strict=True)]
    return _estimates(values, differences, unit_count(a[0]), level)


def subtract(first: Mapping[str, Number], second: Mapping[str, Number]) -> dict[str, Number]:
    """Differences of the metrics that both have."""
    return {name: first[name] - second[name] for name in first if name in second}


def _as_seeds(system: Seeds) -> list[Statistics]:
    return [system] if isinstance(system, Mapping) else list(system)


def _estimates(
    values: Sequence[Mapping[str, float]], drawn: Sequence[Mapping[str, np.ndarray]], images: int, level: float
) -> dict[str, Estimate]:
    return {
        name: estimate([seed[name] for seed in values], [seed[name] for seed in drawn], images, level)
        for name in values[0]
        if all(name in seed for seed in values)
    }


def estimate(values: Sequence[float], replicates: Sequence[np.ndarray], images: int, level: float = LEVEL) -> Estimate:
    """Mean over seeds with its interval, from the value of each seed and its (r,) bootstrap replicates.

    The images' standard error is the standard deviation of the replicates. Replicates of the seeds' mean vary with
    what the seeds have in common on these images, and with how much they differ on them by chance; the scatter
    of the seeds holds the latter too, so it is taken out. The seeds' standard error is s / sqrt(seeds),
    with Student's few degrees of freedom: resampling two or three seeds gives far too narrow intervals.
    The two are combined by :func:`half_width`.
    """
    over_seeds = estimate_over_seeds(values, images, level)
    if images == 1:
        return over_seeds
    mean, image_error = over_seeds.value, common_error(np.asarray(replicates), images)
    half = half_width(image_error, over_seeds.seed_error or 0.0, images, len(values) - 1, level)
    return replace(over_seeds, low=mean - half, high=mean + half, image_error=image_error)


def estimate_over_seeds(values: Sequence[float], images: int, level: float = LEVEL) -> Estimate:
    """Mean over seeds with Student's interval over them, where nothing is known by image; with one seed, none."""
    seeds, mean = len(values), float(np.mean(values))
    if seeds == 1:
        return Estimate(mean, None, None, None, None, None, 1, images)
    sd = float(np.std(values, ddof=1))
    half = half_width(0.0, sd / math.sqrt(seeds), images, seeds - 1, level)
    return Estimate(mean, mean - half, mean + half, sd, None, sd / math.sqrt(seeds), seeds, images)


def common_error(replicates: np.ndarray, images: int) -> float:
    """Standard error over images that all seeds have in common, from replicates (seeds, r); of one seed, its own."""
    seeds = len(replicates)
    mean = replicates.mean(0)
    variance = mean.var()
    if seeds > 1:
        variance -= (replicates - mean).var(axis=1).sum() / (seeds - 1) / seeds
    return math.sqrt(max(0.0, variance) * images / (images - 1))


def jackknife_replicates(without_each: np.ndarray) -> np.ndarray:
    """Values of a metric without each of n images in turn (n,), drawn apart to the spread of bootstrap replicates.

    For metrics that cannot be resampled; the spread is the jackknife's standard error (Efron and Stein 1981).
    """
    n, mean = len(without_each), without_each.mean()
    return mean + (n - 1) / math.sqrt(n) * (without_each - mean)


def half_width(image_error: float, seed_error: float, images: int, seed_freedom: int, level: float = LEVEL) -> float:
    """Half of the confidence interval of a value with two independent errors, either of which may be 0.

    Each error by itself would give Student's interval, over images and over seeds with ``seed_freedom``
    degrees of freedom (ignored where ``seed_error`` is 0); side by side they give
    the root of the summed squares (Zou and Donner 2008). Its coverage is never below the nominal 95 % but by
    the bootstrap's own error, and above it by at most 3.7 points with two seeds, 2.6 with three, 1.5 with five.
    """
    over_images = _quantile(level, images - 1) * image_error if image_error else 0.0
    over_seeds = _quantile(level, seed_freedom) * seed_error if seed_error else 0.0
    return math.hypot(over_images, over_seeds)


@lru_cache(maxsize=1024)
def _quantile(level: float, freedom: int) -> float:
    """How many standard errors of ``freedom`` degrees of freedom make half of an interval (Student)."""
    return float(stdtrit(freedom, (1 + level) / 2))


def p_of_interval(value: float, image_error: float, seed_error: float, images: int, seed_freedom: int) -> float:
    """Two-sided p of a difference: 1 minus the level at which its interval begins to hold 0."""
    from scipy.optimize import brentq  # here, since it takes longer to import than all of our own

    if not value:
        return 1.0

    def beyond(p: float) -> float:
        return half_width(image_error, seed_error, images, seed_freedom, 1 - p) - abs(value)

    smallest = 1e-12
    return smallest if beyond(smallest) <= 0 else float(brentq(beyond, smallest, 1.0))


# ---- permutation tests


def permutation_test(
    pairs: Sequence[tuple[Seeds, Seeds]], resamples: int = RESAMPLES, seed: int = 0
) -> list[dict[str, float]]:
    """Two-sided p by metric of each pair of systems: how often chance alone makes them differ so much.

    The captions of an image are exchanged between the two systems, or not, by a coin for each image: for the
    metrics that are means this flips the sign of the image's difference (of its mean over seeds). All 2^n
    exchanges are tried where they are no more than ``resamples``; otherwise so many are drawn, and
    p = (1 + exchanges at least as far apart) / (1 + resamples). The coins are the same for all pairs.

    This is about these trained networks on other images: that a method is better takes several seeds.
    Raises ValueError if the numbers of images differ, or the numbers of seeds within a pair.
    """
    listed = [(_as_seeds(first), _as_seeds(second)) for first, second in pairs]
    n = _common_count([run for pair in listed for side in pair for run in side])
    exhaustive = 2**n <= resamples
    coins = _all_exchanges(n) if exhaustive else _drawn_exchanges(n, resamples, seed)
    exchanged = _exchanged([(a, b) for first, second in listed for a, b in zip(first, second, strict=True)], coins)
    results = []
    for first, second in listed:
        after = [exchanged.pop(0) for _ in first]
        before = [subtract(corpus_values(a), corpus_values(b)) for a, b in zip(first, second, strict=True)]
        results.append(
            {
                name: _p_value(np.mean([run[name] for run in before]), _mean([run[name] for run in after]), exhaustive)
                for name in before[0]
            }
        )
    return results


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean(arrays, axis=0)


def _exchanged(
    pairs: Sequence[tuple[Statistics, Statistics]], coins: Iterator[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Difference of each pair after each exchange of images: (r,) arrays by metric."""
    common = [({k: a[k] for k in a if k in b}, {k: b[k] for k in a if k in b}) for a, b in pairs]
    moved = [additive_columns(b) - additive_columns(a) for a, b in common]
    columns = np.column_stack(moved)
    ends = np.cumsum([part.shape[1] for part in moved])[:-1]
    sums = [(additive_columns(a).sum(0), additive_columns(b).sum(0)) for a, b in common]
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in pairs]
    for chunk in coins:
        for i, moves in enumerate(np.split(chunk @ columns, ends, axis=1)):
            groups = groups_of(common[i][0])
            parts[i].append(
                subtract(values_of_sums(sums[i][0] + moves, groups), values_of_sums(sums[i][1] - moves, groups))
            )
    return [{name: np.concatenate([chunk[name] for chunk in part]) for name in part[0]} for part in parts]


def _all_exchanges(n: int) -> Iterator[np.ndarray]:
    """Every subset of n images as a row of zeros and ones; the first is empty."""
    yield (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)


def _drawn_exchanges(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    for rows in _chunk_sizes(n, resamples):
        yield generator.integers(0, 2, size=(rows, n), dtype=np.int8).astype(np.float64)


def _p_value(observed: float, exchanged: np.ndarray, exhaustive: bool) -> float:
    """Share of exchanges that are at least as far from 0; equal ones count although sums round differently."""
    as_far = int((np.abs(exchanged) >= abs(observed) - 1e-9 * (1 + abs(observed))).sum())
    return as_far / len(exchanged) if exhaustive else (1 + as_far) / (1 + len(exchanged))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of a family of tests, in the given order (Holm 1979): the k-th smallest of m is
    multiplied by m - k + 1, never below a smaller one's nor above 1."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[position])))
        adjusted[position] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the given order: what stays below a share holds at most this share of false discoveries.

    The k-th smallest of m is multiplied by m / k, never above a larger one's (Benjamini and Hochberg 1995).
    """
    adjusted = [1.0] * len(p_values)
    smallest = 1.0
    for rank, position in reversed(list(enumerate(np.argsort(p_values, kind="stable"), start=1))):
        smallest = min(smallest, float(p_values[position]) * len(p_values) / rank)
        adjusted[position] = smallest
    return adjusted
