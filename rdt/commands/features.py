"""rdt features: encode or import the features of a role."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace, print_notes
from rdt.experiment.settings import ROLES
from rdt.features.fill import fill_store
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt features``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's feature store."""
    workspace = open_workspace(args)
    with workspace.make(steps.features(workspace.plan, workspace.paths, args.role)) as job:
        images, notes = fill_store(workspace.experiment, workspace.paths, args.role)
        job.metrics({"images": images})
    print_notes(notes)
