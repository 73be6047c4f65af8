"""The ``inspect`` step: what a trained network does inside, on test images: quality scores and attention.

No cell of a table tells of it, but two claims of the paper do (sections III-D and IV-D).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from rdt.captioning.files import load_network
from rdt.captioning.reconstruction import quality_distances, slopes
from rdt.experiment.runs import NetworkId
from rdt.features.inputs import open_inputs
from rdt.features.split import Split
from rdt.files import atomic_write_json
from rdt.model.attention_maps import attended_cells, attention_maps
from rdt.model.captioner import Captioner
from rdt.model.device import open_device
from rdt.scoring.inspected import AttentionSpread, InspectionDocument, QualityScores, mean_over
from rdt.scoring.references import targets_of
from rdt.workspace import Workspace

SPLIT = "test"
MOST_IMAGES = 300  # the first ones of the split: their error is already small against that of the seeds
TIMESTEPS = tuple(step / 20 for step in range(1, 21))  # t'


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
    units = targets_of(workspace, run.role, SPLIT).units(split.names[:MOST_IMAGES])
    has_layout = experiment.data[run.role].source == "scenes"
    objects = object_cells(paths.scenes(run.role) / "layout.npz", images) if has_layout else None
    document: InspectionDocument = {
        "run": run.id,
        "stage": network.stage,
        "seed": run.seed,
        "images": list(split.names[:MOST_IMAGES]),
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
