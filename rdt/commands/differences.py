"""``rdt differences EXPERIMENT``: what each difference between the paper and the released code is worth."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.differences import DifferencePaths, difference_plan
from rdt.provenance import steps
from rdt.tables.differences import write_differences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt differences``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Score the networks of the differences, write their table, and print where it is."""
    workspace = open_workspace(args)
    plan, paths = difference_plan(workspace.experiment), DifferencePaths.beside(workspace.paths)
    with workspace.make(steps.differences(plan, paths)):
        write_differences(workspace, plan, paths)
    print(f"Differences: {paths.differences}")
