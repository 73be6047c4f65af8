"""The ``probe`` step: what the encoder's features tell, in two measures.

Recall of the test images' own captions by their global vectors, and how well a linear classifier
reads each attribute of the object in a cell from that cell's features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rdt.data.dataset import Image, open_dataset
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Experiment
from rdt.features.encode import recall
from rdt.features.store import FeatureStore
from rdt.files import atomic_write_json

ATTRIBUTES = ("kind", "color", "texture", "size")
RIDGE = 1e-2  # relative to the mean variance of a feature
CAPTIONS = 5  # of each test image, among which its own are to be found


def ridge_probe(train: Tensor, labels: Tensor, test: Tensor, wanted: Tensor, classes: int) -> float:
    """Accuracy in percent on ``test`` (m, D) of a linear classifier fitted to ``train`` (n, D) by least squares."""
    mean, scale = train.mean(0), train.std(0).clamp(min=1e-6)
    x, y = (F.pad((part - mean) / scale, (0, 1), value=1.0) for part in (train, test))
    target = F.one_hot(labels, classes).to(x.dtype)
    gram = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, x.T @ target / len(x))
    return 100 * ((y @ weights).argmax(1) == wanted).double().mean().item()


def cells(store: FeatureStore, image_ids: np.ndarray) -> Tensor:
    """Features of every cell of these images, (49 n, D) float64."""
    grid = store.grid[store.rows_of([int(image) for image in image_ids])]
    return torch.from_numpy(grid.astype(np.float64)).flatten(0, 1)


def probe_cells(
    store: FeatureStore, layout: dict[str, np.ndarray], train: list[int], test: list[int]
) -> dict[str, dict[str, float]]:
    """For each attribute: accuracy of the linear probe and of the most frequent value, over cells with an object."""
    report = {}
    ids = layout["image_id"]
    parts = [np.isin(ids, images) for images in (train, test)]
    features = [cells(store, ids[part]) for part in parts]
    objects = [torch.from_numpy(layout["kind"][part].reshape(-1) > 0) for part in parts]
    for name in ATTRIBUTES:
        labels = [torch.from_numpy(layout[name][part].reshape(-1).astype(np.int64)) for part in parts]
        (x, y), (u, v) = ((f[o], label[o]) for f, label, o in zip(features, labels, objects, strict=True))
        classes = len(layout[f"{name}_names"])
        frequent = y.bincount(minlength=classes).argmax()
        report[name] = {
            "probe": ridge_probe(x, y, u, v, classes),
            "most_frequent": 100 * (v == frequent).double().mean().item(),
        }
    return report


def test_recall(store: FeatureStore, images: tuple[Image, ...]) -> dict[str, float]:
    """Percent of the images that find one of their own captions among the nearest 1, 5 and 10 of all."""
    vectors = [store.captions_of(image.number)[:CAPTIONS] for image in images]
    first = np.cumsum([0, *(len(part) for part in vectors)])
    queries = torch.from_numpy(store.global_[store.rows_of([image.number for image in images])])
    return recall(queries, torch.from_numpy(np.concatenate(vectors)), first)


def write_probe(experiment: Experiment, paths: Paths) -> dict[str, Any]:
    """Probe the features of the primary role and write what they tell; returns it too."""
    dataset, store = open_dataset(experiment, paths, "primary"), FeatureStore.open(paths.features("primary"))
    with np.load(paths.scenes("primary") / "layout.npz", allow_pickle=False) as arrays:
        layout = dict(arrays)
    train, test = dataset.split("train"), dataset.split("test")
    report = {
        "recall": test_recall(store, test),
        "images": len(test),
        "cells": probe_cells(store, layout, [image.number for image in train], [image.number for image in test]),
    }
    atomic_write_json(paths.probe, report)
    return report
