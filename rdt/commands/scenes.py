"""``rdt scenes EXPERIMENT --role ROLE``: render the embedded data set of a role."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.data.scenes.build import build_scenes
from rdt.experiment.settings import ROLES
from rdt.provenance import steps

SEED = 0  # the scenes are data: one set for all seeds of a training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt scenes``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's images and annotations."""
    workspace = open_workspace(args)
    step = steps.scenes(workspace.plan, workspace.paths, args.role)
    with workspace.make(step, seed=SEED):
        build_scenes(step.target, args.role, workspace.experiment.data[args.role], SEED)
