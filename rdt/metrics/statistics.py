"""Uncertainty of corpus scores: bootstrap intervals, paired permutation tests, Holm's correction.

Everything starts from additive numbers per image, because BLEU and METEOR of a corpus are functions of
summed counts and not means over images, while CIDEr's document frequencies are those of the references
and stay fixed when images are resampled. Images are resampled for all systems and seeds at once, so
that differences are paired.

``Statistics``: float64 arrays of one system over n images, all in one order of images:

- ``bleu`` (n, 10): matched 1- to 4-grams, the caption's 1- to 4-grams, its length, the closest reference length;
- ``meteor`` (n, 23): METEOR's line for the caption and its best reference: lengths (caption, reference),
  function words (2), then for exact, stem, synonym and paraphrase matches the content and function words
  that matched (caption, reference, caption, reference), chunks, matched words (caption, reference);
- ``R``, ``C``, ``S`` (n, 1): a value per image, the corpus value being their mean (CIDEr in 0..10, others 0..1);
- ``twins`` (n, 1), by itself: whether a pair of twin images is told apart; its n are pairs.

An array may be absent; its metrics are then absent from what is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student

if TYPE_CHECKING:
    import pandas as pd

Statistics = dict[str, np.ndarray]
Seeds = Statistics | Sequence[Statistics]  # of one system: one training seed, or several

Number = TypeVar("Number", float, np.ndarray)

BLEU = ("B@1", "B@2", "B@3", "B@4")
TWINS = "twins"
TWINS_COLUMN = "twins/accuracy"  # of a table of images: 100 or 0 on the first image of each pair, empty on the others
MEANS = ("R", "C", "S", TWINS)
METRICS = (*BLEU, "M", "R", "C", "S")
WIDTHS = {"bleu": 10, "meteor": 23, **dict.fromkeys(MEANS, 1)}  # columns of each array

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK_NUMBERS = 2_000_000  # resample counts held at a time: 16 MB

# pycocoevalcap's guards against division by zero
_TINY, _SMALL = 1e-15, 1e-9

# METEOR 1.5 for English (Denkowski and Lavie 2014): weights of exact, stem, synonym and paraphrase matches;
# alpha: precision against recall; beta, gamma: shape and weight of the fragmentation penalty; delta: content
# against function words
_STAGE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75


# ---- corpus values from sums


def corpus_values(
    statistics: Mapping[str, np.ndarray], weights: np.ndarray | None = None
) -> dict[str, float | np.ndarray]:
    """Corpus value of each metric, times 100.

    ``weights`` (r, n): how often each image occurs in each of r resamples; the values are then (r,) arrays.
    BLEU is that of pycocoevalcap's Bleu and METEOR that of METEOR 1.5's EVAL, up to rounding.
    """
    additive = _additive(statistics)
    if weights is None:
        return {name: float(value) for name, value in _values(additive.sum(0), _groups(statistics)).items()}
    return _values(np.asarray(weights, dtype=np.float64) @ additive, _groups(statistics))


def image_count(statistics: Mapping[str, np.ndarray]) -> int:
    """Number of images."""
    return len(next(iter(statistics.values())))


def _groups(statistics: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    return tuple(name for name in WIDTHS if name in statistics)


def _additive(statistics: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, k): the numbers whose sums decide the corpus values, side by side; the last column is 1."""
    prepare: dict[str, Callable[[np.ndarray], np.ndarray]] = {"meteor": _meteor_terms}
    parts = [prepare.get(name, lambda part: part)(statistics[name]) for name in _groups(statistics)]
    return np.column_stack([*parts, np.ones(image_count(statistics))])


def _meteor_terms(lines: np.ndarray) -> np.ndarray:
    """(n, 6): numerator and denominator of precision and of recall, chunks, matched words.

    A caption that matches its reference word by word counts no chunk: METEOR does not penalise it.
    """
    length, wanted, function, wanted_function = lines[:, :4].T
    stages = lines[:, 4:20].reshape(-1, 4, 4).transpose(2, 0, 1) @ _STAGE_WEIGHTS  # (4, n)
    chunks, matched, wanted_matched = lines[:, 20:].T
    perfect = (chunks == 1) & (matched == length) & (wanted_matched == wanted)
    return np.column_stack(
        [
            _DELTA * stages[0] + (1 - _DELTA) * stages[2],
            _DELTA * (length - function) + (1 - _DELTA) * function,
            _DELTA * stages[1] + (1 - _DELTA) * stages[3],
            _DELTA * (wanted - wanted_function) + (1 - _DELTA) * wanted_function,
            np.where(perfect, 0, chunks),
            (matched + wanted_matched) / 2,
        ]
    )


def _values(sums: np.ndarray, groups: Sequence[str]) -> dict[str, np.ndarray]:
    """Metrics, times 100, of sums (..., k) over images of :func:`_additive`'s columns."""
    images = sums[..., -1]
    values: dict[str, np.ndarray] = {}
    start = 0
    for name in groups:
        width = 6 if name == "meteor" else WIDTHS[name]
        part = np.moveaxis(sums[..., start : start + width], -1, 0)
        start += width
        if name == "bleu":
            values |= _bleu(part)
        elif name == "meteor":
            values["M"] = 100 * _meteor(part)
        else:
            values[name] = 100 * part[0] / images
    return values


def _bleu(sums: np.ndarray) -> dict[str, np.ndarray]:
    matched, guessed, (length, wanted) = sums[:4], sums[4:8], sums[8:]
    ratio = (length + _TINY) / (wanted + _SMALL)
    penalty = np.exp(np.minimum(0.0, 1 - 1 / ratio))
    product = np.cumprod((matched + _TINY) / (guessed + _SMALL), axis=0)
    return {name: 100 * product[k] ** (1 / (k + 1)) * penalty for k, name in enumerate(BLEU)}


def _meteor(sums: np.ndarray) -> np.ndarray:
    precise, of, recalled, wanted, chunks, matched = sums
    some = (precise > 0) & (recalled > 0)
    precision = np.divide(precise, of, out=np.zeros_like(precise), where=some)
    recall = np.divide(recalled, wanted, out=np.zeros_like(precise), where=some)
    mean = np.divide(
        precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall, out=np.zeros_like(precise), where=some
    )
    broken = np.divide(chunks, matched, out=np.zeros_like(precise), where=some)
    return mean * (1 - _GAMMA * broken**_BETA)


# ---- bootstrap


def bootstrap(systems: Sequence[Statistics], resamples: int = RESAMPLES, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Corpus values of each system in ``resamples`` resamples of the images: (resamples,) arrays by metric.

    All systems see the same resamples, so the difference of two of them is paired. Raises ValueError if
    the systems differ in their number of images.
    """
    n = _common_count(systems)
    matrices = [_additive(system) for system in systems]
    return _in_chunks(systems, matrices, _resample_counts(n, resamples, seed))


def _common_count(systems: Sequence[Statistics]) -> int:
    counts = {image_count(system) for system in systems}
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
            part.append(_values(sums, _groups(system)))
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


def interval(system: Seeds, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL) -> dict[str, Estimate]:
    """Corpus value of each metric with its interval; see :func:`estimate`. ``seed`` is the bootstrap's."""
    runs = _as_seeds(system)
    drawn = bootstrap(runs, resamples, seed)
    return _estimates([corpus_values(run) for run in runs], drawn, image_count(runs[0]), level)


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
    return _estimates(values, differences, image_count(a[0]), level)


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

    The images' standard error is the standard deviation of the replicates; those of the seeds' mean hold
    what the seeds have in common on these images, and by how much they differ on them by chance. The latter
    is in the scatter of the seeds as well and is taken out. The seeds' standard error is s / sqrt(seeds),
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
    over_images = float(student.ppf((1 + level) / 2, images - 1)) * image_error if image_error else 0.0
    over_seeds = float(student.ppf((1 + level) / 2, seed_freedom)) * seed_error if seed_error else 0.0
    return math.hypot(over_images, over_seeds)


def p_of_interval(value: float, image_error: float, seed_error: float, images: int, seed_freedom: int) -> float:
    """Two-sided p of a difference: 1 minus the level at which its interval begins to hold 0."""
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
    p = (1 + those at least as far apart) / (1 + resamples). The coins are the same for all pairs.

    This is about these trained networks on other images: that a method is better takes several seeds.
    Raises ValueError if the numbers of images differ, or those of the seeds of a pair.
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
    moved = [_additive(b) - _additive(a) for a, b in common]
    columns = np.column_stack(moved)
    ends = np.cumsum([part.shape[1] for part in moved])[:-1]
    sums = [(_additive(a).sum(0), _additive(b).sum(0)) for a, b in common]
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in pairs]
    for chunk in coins:
        for i, moves in enumerate(np.split(chunk @ columns, ends, axis=1)):
            groups = _groups(common[i][0])
            parts[i].append(subtract(_values(sums[i][0] + moves, groups), _values(sums[i][1] - moves, groups)))
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


# ---- columns of a table of images


def to_columns(statistics: Mapping[str, np.ndarray], scope: str) -> dict[str, np.ndarray]:
    """Columns ``<scope>/bleu/<i>``, ``<scope>/meteor/<i>`` as they are and ``<scope>/<R, C, S>`` times 100."""
    columns = {}
    for name in _groups(statistics):
        values = np.asarray(statistics[name], dtype=np.float64)
        if name in MEANS:
            columns[f"{scope}/{name}"] = 100 * values[:, 0]
        else:
            columns |= {f"{scope}/{name}/{i}": values[:, i] for i in range(WIDTHS[name])}
    return columns


def from_frame(frame: pd.DataFrame, scope: str) -> Statistics:
    """The statistics of a scope in a table of images that has :func:`to_columns`' columns.

    Images that are not of the scope hold NaN there and are left out. Raises ValueError if none is left.
    """
    found = _columns_of(frame, scope)
    rows = frame[[column for columns in found.values() for column in columns]].dropna()
    if not found or rows.empty:
        raise ValueError(f"no statistics of scope {scope}")
    return {
        name: rows[columns].to_numpy(dtype=np.float64) / (100 if name in MEANS else 1)
        for name, columns in found.items()
    }


def in_frame(frame: pd.DataFrame, scope: str) -> bool:
    """Whether a table of images has statistics of a scope."""
    return bool(_columns_of(frame, scope))


def _columns_of(frame: pd.DataFrame, scope: str) -> dict[str, list[str]]:
    """The columns of each array of statistics that a table of images has in full."""
    names = {
        name: [f"{scope}/{name}"] if name in MEANS else [f"{scope}/{name}/{i}" for i in range(width)]
        for name, width in WIDTHS.items()
    }
    return {name: columns for name, columns in names.items() if set(columns) <= set(frame.columns)}
