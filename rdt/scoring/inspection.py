"""The ``inspect`` step: what a trained network does inside, on test images: quality scores and attention.

No cell of a table tells of it, but two claims of the paper do (sections III-D and IV-D).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from rdt.captioning.files import load_network
from rdt.captioning.reconstruction import quality_distances, slopes
from rdt.experiment.runs import NetworkId
from rdt.features.inputs import open_inputs
from rdt.features.split import Split
from rdt.files import atomic_write_json
from rdt.metrics import resampling
from rdt.metrics.resampling import Estimate
from rdt.model.attention_maps import attended_cells, attention_maps
from rdt.model.captioner import Captioner
from rdt.model.device import open_device
from rdt.scoring.references import targets_of
from rdt.workspace import Workspace

SPLIT = "test"
MOST_IMAGES = 300  # the first ones of the split: their error is already small against that of the seeds
TIMESTEPS = tuple(step / 20 for step in range(1, 21))  # t'


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
    images: list[int]
    units: list[int]
    quality: QualityScores
    attention: AttentionSpread


# ---- measuring


def quality_scores(model: Captioner, split: Split, units: np.ndarray) -> QualityScores:
    """Distances of the quality scores of the first images of a split, as many as ``units`` (n,)."""
    distances = quality_distances(model, split, len(units), TIMESTEPS)
    by_image = slopes(distances, TIMESTEPS)
    found = mean_over([by_image], units)
    return {
        "timesteps": list(TIMESTEPS),
        "distances": distances.mean(0).tolist(),
        "slopes": by_image.tolist(),
        "slope": found.value,
        "slope_error": found.image_error,
    }


def attention_spread(model: Captioner, split: Split, images: int, objects: np.ndarray | None) -> AttentionSpread:
    """Spread of attention in each visual encoder; ``objects`` bool (images, 49) says which cells show an object."""
    device = model.codebook.device
    features = (value.to(device) for value in split.features(np.arange(images)))
    maps = attention_maps(model.visual, *features).double().cpu()
    known = None if objects is None else torch.from_numpy(objects)
    return {
        "cells": attended_cells(maps).tolist(),
        "on_objects": None if known is None else (maps * known).sum(-1).tolist(),
        "objects": None if known is None else known.double().mean(-1).tolist(),
    }


def object_cells(layout: Path, image_ids: np.ndarray) -> np.ndarray:
    """Which of the 49 cells of each image show an object, bool (n, 49), in the order of the grid features."""
    with np.load(layout, allow_pickle=False) as arrays:
        rows = {int(image): row for row, image in enumerate(arrays["image_id"])}
        shown = arrays["kind"] > 0
    return shown[[rows[int(image)] for image in image_ids]].reshape(len(image_ids), -1)


def write_inspection(workspace: Workspace, network: NetworkId) -> InspectionDocument:
    """Inspect a captioner on the test images of its role and write what was found; returns it too."""
    run, experiment, paths = workspace.plan.runs[network.run], workspace.experiment, workspace.paths
    device = open_device(experiment.training, experiment.path)
    inputs = open_inputs(experiment, paths, run.role, run.role, run.method.length)
    model = load_network(workspace, inputs, network).to(device)
    split = inputs.split(SPLIT)
    images = split.image_ids[:MOST_IMAGES]
    units = targets_of(workspace, run.role, SPLIT).units(images.tolist())
    has_layout = experiment.data[run.role].source == "scenes"
    objects = object_cells(paths.scenes(run.role) / "layout.npz", images) if has_layout else None
    document: InspectionDocument = {
        "run": run.id,
        "stage": network.stage,
        "seed": run.seed,
        "images": images.tolist(),
        "units": units.tolist(),
        "quality": quality_scores(model, split, units),
        "attention": attention_spread(model, split, len(images), objects),
    }
    atomic_write_json(paths.inspection(*network), document)
    return document


def summarised(document: InspectionDocument) -> Mapping[str, float]:
    """A few numbers of an inspected network, by name: what is tracked."""
    cells = enumerate(document["attention"]["cells"], start=1)
    return {"quality/slope": document["quality"]["slope"]} | {
        f"attention/cells-{n}": float(np.mean(c)) for n, c in cells
    }


# ---- intervals


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
