"""``rdt study-retrain EXPERIMENT --study NAME --setting SETTING --seed N``: a network of the comparison on test."""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.errors import UserError
from rdt.files import atomic_write_json
from rdt.studies.comparison import retrain
from rdt.studies.file import SETTINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt study-retrain``."""
    study_arguments(parser)
    parser.add_argument("--setting", required=True, choices=SETTINGS, help="whose values the parameters have")
    parser.add_argument("--seed", required=True, type=int, help="one of the study's retrain_seeds")


def run(args: argparse.Namespace) -> None:
    """Train and caption; ``compared/SETTING-sN.json`` names the network."""
    workspace = open_study(args)
    if args.seed not in workspace.study.retrain_seeds:
        known = ", ".join(map(str, workspace.study.retrain_seeds))
        raise UserError("--seed", f"{args.seed} is not a seed of the comparison", f"choose one of {known}")
    alone = retrain(workspace, args.setting, args.seed)
    path = workspace.paths.compared(workspace.study.name, args.setting, args.seed)
    atomic_write_json(path, {"run": alone.network.id, **alone.values})
