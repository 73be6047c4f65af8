"""What is known of an inspected network: its document, and means over the images in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from rdt.data.identity import ImageId
from rdt.metrics import resampling
from rdt.metrics.resampling import Estimate


class QualityScores(TypedDict):
    """|q - q*| of noised captions: its mean over images at each timestep, and its slope on them for each image."""

    timesteps: list[float]
    distances: list[float]
    slopes: list[float]
    slope: float
    slope_error: float | None  # standard error over images


class AttentionSpread(TypedDict):
    """For each encoder and image: how many grid cells attention is spread over, and what share of it objects get."""

    cells: list[list[float]]
    on_objects: list[list[float]] | None  # None where nothing says where objects are
    objects: list[float] | None  # the objects' share of the cells, by image


class InspectionDocument(TypedDict):
    """What the JSON file of an inspected network holds; ``units`` are the independent ones that images belong to."""

    run: str
    stage: str
    seed: int
    images: list[ImageId]
    units: list[int]
    quality: QualityScores
    attention: AttentionSpread


def mean_over(by_seed: Sequence[np.ndarray], units: np.ndarray) -> Estimate:
    """Mean over images and seeds with its interval; ``by_seed`` numbers (n,) of the same images, for each seed.

    ``units`` (n,): which independent unit an image belongs to. The error over images is the jackknife's that leaves
    out one unit at a time, which for units of one image each is the standard deviation by sqrt(n).
    """
    _, unit_of = np.unique(units, return_inverse=True)
    sizes = np.bincount(unit_of)
    if len(sizes) == 1:
        return resampling.estimate_over_seeds([float(values.mean()) for values in by_seed], 1)
    replicates = []
    for values in by_seed:
        without_each = (values.sum() - np.bincount(unit_of, values)) / (len(values) - sizes)
        replicates.append(resampling.jackknife_replicates(without_each))
    return resampling.estimate([float(values.mean()) for values in by_seed], replicates, len(sizes))
