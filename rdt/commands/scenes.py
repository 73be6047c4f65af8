"""``rdt scenes EXPERIMENT --role ROLE``: render the embedded data set of a role."""

from __future__ import annotations

import argparse

from rdt import chain
from rdt.config import ROLES
from rdt.data.scenes.build import build_scenes
from rdt.stages import open_stage, stage_arguments

SEED = 0  # the scenes are data: one set for all seeds of a training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt scenes``."""
    stage_arguments(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the role's images and annotations."""
    stage = open_stage(args)
    step = chain.scenes(stage.experiment, stage.paths, args.role)
    with stage.make(step, role=args.role, seed=SEED):
        build_scenes(step.target, args.role, stage.experiment.data[args.role], SEED)
