"""rdt score: score the captions of a role against their references."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.settings import ROLES
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt score``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES, help="data set whose images were captioned")
    parser.add_argument("--split", default="test", help="split of it (default: test)")


def run(args: argparse.Namespace) -> None:
    """Score every caption file of one role and split that the tables ask about, and its baselines."""
    from rdt.scoring.split import score_split

    workspace = open_workspace(args)
    with workspace.make(steps.score(workspace.plan, workspace.paths, args.role, args.split)):
        score_split(workspace, args.role, args.split)
