"""rdt features: encode or import the features of a role."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.data.vocabulary import Vocabulary
from rdt.experiment.settings import ROLES
from rdt.features.encode import encode, load_encoder
from rdt.features.imported import Published, import_published
from rdt.features.inputs import open_dataset
from rdt.files import atomic_folder
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt features``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's feature store."""
    workspace = open_workspace(args)
    experiment, paths = workspace.experiment, workspace.paths
    data, step = experiment.data[args.role], steps.features(experiment, paths, args.role)
    with workspace.make(step, role=args.role) as job:
        dataset = open_dataset(experiment, paths, args.role)
        with atomic_folder(step.target) as partial:
            if data.features:
                import_published(dataset, partial, Published.of(data, Path(experiment.data_root)))
            else:
                torch.set_num_threads(experiment.encoder.threads)
                vocabulary = Vocabulary.load(paths.vocabulary("primary"))
                model = load_encoder(paths.encoder, vocabulary, experiment.encoder.width)
                encode(dataset, partial, model, vocabulary, experiment.encoder)
        job.metrics({"images": len(dataset.images)})
