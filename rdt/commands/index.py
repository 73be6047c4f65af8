"""``rdt index EXPERIMENT --role ROLE``: sentences of the train pool retrieved for every image of a role."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.settings import ROLES
from rdt.features.retrieval import write_index
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt index``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the retrieved sentences of every image of the role."""
    workspace = open_workspace(args)
    with workspace.make(steps.index(workspace.plan, workspace.paths, args.role)) as job:
        job.metrics(write_index(workspace.experiment, workspace.paths, args.role))
