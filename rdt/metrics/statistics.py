"""Additive statistics per image, from which corpus scores are computed again for any weighting of the images.

BLEU and METEOR of a corpus are functions of summed counts and not means over images; CIDEr takes its document
frequencies from the references, so they stay fixed when images are resampled (``rdt.metrics.resampling``).

``Statistics``: float64 arrays of one system over n images, all in one order of images:

- ``unit`` (n,), where images are not independent: equal for images that belong together;
- ``bleu`` (n, 10): matched 1- to 4-grams, the caption's 1- to 4-grams, its length, the closest reference length;
- ``meteor`` (n, 23): METEOR's line for the caption and its best reference: lengths (caption, reference),
  function words (2), then for exact, stem, synonym and paraphrase matches the content and function words
  that matched (caption, reference, caption, reference), chunks, matched words (caption, reference);
- ``R``, ``C``, ``S`` (n, 1): a value per image, the corpus value being their mean (CIDEr in 0..10, others 0..1);
- ``twins`` (n, 1), by itself: whether a pair of twin images is told apart; its n are pairs.

An array may be absent; its metrics are then absent from what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rdt.metrics.names import BLEU, MEANS, WIDTHS

if TYPE_CHECKING:
    import pandas as pd

Statistics = dict[str, np.ndarray]
Seeds = Statistics | Sequence[Statistics]  # of one system: one training seed, or several

UNIT = "unit"  # in statistics and in a table of images: which independent unit an image belongs to

Number = TypeVar("Number", float, np.ndarray)

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

    ``weights`` (r, n): how often each image, or unit of images, occurs in each of r resamples; the values are then
    (r,) arrays.
    BLEU equals pycocoevalcap's Bleu, and METEOR equals METEOR 1.5's EVAL, up to rounding.
    """
    additive = additive_columns(statistics)
    if weights is None:
        return {name: float(value) for name, value in values_of_sums(additive.sum(0), groups_of(statistics)).items()}
    return values_of_sums(np.asarray(weights, dtype=np.float64) @ additive, groups_of(statistics))


def image_count(statistics: Mapping[str, np.ndarray]) -> int:
    """Number of images."""
    return len(next(iter(statistics.values())))


def unit_count(statistics: Mapping[str, np.ndarray]) -> int:
    """Number of independent units: the images, unless ``unit`` puts several of them together."""
    return len(np.unique(statistics[UNIT])) if UNIT in statistics else image_count(statistics)


def groups_of(statistics: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    return tuple(name for name in WIDTHS if name in statistics)


def additive_columns(statistics: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, k): the numbers whose sums decide the corpus values, side by side; the last column counts images.

    A row is a unit: images that are not independent, such as twins, are summed, and so drawn and exchanged together.
    """
    prepare: dict[str, Callable[[np.ndarray], np.ndarray]] = {"meteor": _meteor_terms}
    parts = [prepare.get(name, lambda part: part)(statistics[name]) for name in groups_of(statistics)]
    columns = np.column_stack([*parts, np.ones(image_count(statistics))])
    return columns if UNIT not in statistics else _sums_by(statistics[UNIT], columns)


def _sums_by(units: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums of the rows (n, k) of each unit, in the order of the units' first images."""
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), columns.shape[1]))
    np.add.at(sums, unit, columns)
    return sums[np.argsort(first)]


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


def values_of_sums(sums: np.ndarray, groups: Sequence[str]) -> dict[str, np.ndarray]:
    """Metrics, times 100, of sums (..., k) over images of :func:`additive_columns`'s columns."""
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


# ---- columns of a table of images


def to_columns(statistics: Mapping[str, np.ndarray], scope: str) -> dict[str, np.ndarray]:
    """Columns ``<scope>/bleu/<i>``, ``<scope>/meteor/<i>`` as they are and ``<scope>/<R, C, S>`` times 100."""
    columns = {}
    for name in groups_of(statistics):
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
    arrays = {
        name: rows[columns].to_numpy(dtype=np.float64) / (100 if name in MEANS else 1)
        for name, columns in found.items()
    }
    return arrays | ({UNIT: frame.loc[rows.index, UNIT].to_numpy()} if UNIT in frame else {})


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
