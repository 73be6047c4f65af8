"""rdt encoder: train the two-tower encoder on the primary train split."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.provenance import steps
from rdt.training.encoder import SEED, train_encoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt encoder``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Train the encoder and write its weights."""
    workspace = open_workspace(args)
    with workspace.make(steps.encoder(workspace.plan, workspace.paths), seed=SEED) as job:
        train_encoder(workspace.experiment, workspace.paths, job.metrics)
