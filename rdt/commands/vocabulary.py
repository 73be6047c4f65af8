"""``rdt vocabulary EXPERIMENT --role ROLE``: the words of a role's train split."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.data.vocabulary import learn_vocabulary
from rdt.experiment.settings import ROLES
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt vocabulary``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's vocabulary."""
    workspace = open_workspace(args)
    with workspace.make(steps.vocabulary(workspace.plan, workspace.paths, args.role)) as job:
        vocabulary = learn_vocabulary(workspace.experiment, workspace.paths, args.role)
        job.metrics({"words": vocabulary.size, "bits": vocabulary.num_bits})
