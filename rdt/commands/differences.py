"""``rdt differences EXPERIMENT``: what each difference between the paper and the released code is worth."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.differences import DifferencePaths, difference_plan
from rdt.files import atomic_write_text
from rdt.metrics.corpus import Scorer
from rdt.provenance import steps
from rdt.scoring.references import targets_of
from rdt.scoring.systems import score_plan
from rdt.tables.differences import measured
from rdt.tables.formats import to_tests_csv


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt differences``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Score the networks of the differences, write their table, and print where it is."""
    workspace = open_workspace(args)
    plan, paths = difference_plan(workspace.experiment), DifferencePaths(workspace.paths.experiment)
    with workspace.make(steps.differences(plan, paths)), Scorer(paths.cache) as scorer:
        score_plan(plan, paths, targets_of(workspace, "primary", "test"), scorer)
        first, *others = (to_tests_csv(table).splitlines(keepends=True) for table in measured(plan, paths))
        atomic_write_text(paths.differences, "".join([*first, *(line for lines in others for line in lines[1:])]))
    print(f"Differences: {paths.differences}")
