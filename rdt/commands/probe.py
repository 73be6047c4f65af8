"""rdt probe: report what the encoder's features tell."""

from __future__ import annotations

import argparse

import numpy as np

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.features.inputs import open_dataset
from rdt.features.probe import probe_cells, test_recall
from rdt.features.store import FeatureStore
from rdt.files import atomic_write_json
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt probe``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``probe.json`` beside the encoder."""
    workspace = open_workspace(args)
    step = steps.probe(workspace.experiment, workspace.paths)
    with workspace.make(step) as job:
        dataset = open_dataset(workspace.experiment, workspace.paths, "primary")
        store = FeatureStore.open(workspace.paths.features("primary"))
        with np.load(workspace.paths.scenes("primary") / "layout.npz", allow_pickle=False) as arrays:
            layout = dict(arrays)
        split = {name: [image.id for image in dataset.split(name)] for name in ("train", "test")}
        report = {
            "recall": test_recall(store, dataset.split("test")),
            "images": len(split["test"]),
            "cells": probe_cells(store, layout, split["train"], split["test"]),
        }
        atomic_write_json(step.target, report)
        job.metrics({f"recall@{k}": report["recall"][f"recall@{k}"] for k in (1, 5, 10)})
        job.metrics({f"probe/{name}": value["probe"] for name, value in report["cells"].items()})
