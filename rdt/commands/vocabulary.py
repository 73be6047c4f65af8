"""``rdt vocabulary EXPERIMENT --role ROLE``: the words of a role's train split."""

from __future__ import annotations

import argparse

from rdt import chain
from rdt.config import ROLES
from rdt.data.vocabulary import build_vocabulary
from rdt.inputs import open_dataset
from rdt.stages import open_stage, stage_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt vocabulary``."""
    stage_arguments(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's vocabulary."""
    stage = open_stage(args)
    step = chain.vocabulary(stage.experiment, stage.paths, args.role)
    min_count = stage.experiment.method.min_count
    with stage.make(step, role=args.role) as job:
        train = open_dataset(stage.experiment, stage.paths, args.role).split("train")
        vocabulary = build_vocabulary((caption.tokens for image in train for caption in image.captions), min_count)
        vocabulary.save(step.target)
        job.metrics({"words": vocabulary.size, "bits": vocabulary.num_bits})
