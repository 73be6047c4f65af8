"""rdt train: train one stage of one run."""

from __future__ import annotations

import argparse
from typing import get_args

from rdt.commands.arguments import experiment_argument, open_workspace, run_argument
from rdt.experiment.settings import Stage
from rdt.features.inputs import open_inputs
from rdt.training.network import Training, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt train``."""
    experiment_argument(parser)
    run_argument(parser)
    parser.add_argument("--stage", required=True, choices=get_args(Stage))


def run(args: argparse.Namespace) -> None:
    """Train one network and write its weights; an interrupted training continues where it was."""
    workspace = open_workspace(args)
    planned = workspace.run(args.run)
    inputs = open_inputs(workspace.experiment, workspace.paths, planned.role, planned.role, planned.method.length)
    train(Training(workspace, planned, args.stage, inputs))
