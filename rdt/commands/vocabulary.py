"""``rdt vocabulary EXPERIMENT --role ROLE``: the words of a role's train split."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.data.vocabulary import build_vocabulary
from rdt.experiment.settings import ROLES
from rdt.features.inputs import open_dataset
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt vocabulary``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's vocabulary."""
    workspace = open_workspace(args)
    step = steps.vocabulary(workspace.experiment, workspace.paths, args.role)
    min_count = workspace.experiment.method.min_count
    with workspace.make(step, role=args.role) as job:
        train = open_dataset(workspace.experiment, workspace.paths, args.role).split("train")
        vocabulary = build_vocabulary((caption.tokens for image in train for caption in image.captions), min_count)
        vocabulary.save(step.target)
        job.metrics({"words": vocabulary.size, "bits": vocabulary.num_bits})
