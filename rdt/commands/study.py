"""The arguments that the commands of a study share."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.studies.file import read_study
from rdt.studies.workspace import StudyWorkspace


def study_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command of a study."""
    experiment_argument(parser)
    parser.add_argument(
        "--study", required=True, metavar="NAME", help="name of a file in experiments/studies/, or a path"
    )


def open_study(args: argparse.Namespace) -> StudyWorkspace:
    """Read and check the study file and the experiment."""
    study, workspace = read_study(args.study), open_workspace(args)
    return StudyWorkspace(study.budgeted(workspace.experiment), workspace.paths, study, args.experiment)
