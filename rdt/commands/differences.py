"""``rdt differences EXPERIMENT``: what each difference between the paper and the released code is worth."""

from __future__ import annotations

import argparse
from itertools import groupby

from rdt.differences import DifferencePaths, difference_plan, difference_tables, step
from rdt.io import atomic_write_text
from rdt.measurements import Measurements
from rdt.metrics.corpus import Scorer
from rdt.plan import Plan
from rdt.scoring import score_plan, targets_of
from rdt.stages import open_stage, stage_arguments
from rdt.table_formats import to_tests_csv
from rdt.tables import Table, compare, fill


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt differences``."""
    stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Score the networks of the differences, write their table, and print where it is."""
    stage = open_stage(args)
    plan, paths = difference_plan(stage.experiment), DifferencePaths(stage.paths.experiment)
    with stage.make(step(plan, paths)), Scorer(paths.cache) as scorer:
        score_plan(plan, paths, targets_of(stage, "primary", "test"), scorer)
        first, *others = (to_tests_csv(table).splitlines(keepends=True) for table in measured(plan, paths))
        atomic_write_text(paths.differences, "".join([*first, *(line for lines in others for line in lines[1:])]))
    print(f"Differences: {paths.differences}")


def measured(plan: Plan, paths: DifferencePaths) -> list[Table]:
    """The differences as tables, one for each training, from the scores that are there."""
    measurements, definitions = Measurements.of(plan, paths), difference_tables(plan.experiment)
    tables = []
    for name, cells in groupby(plan.cells, key=lambda cell: cell.table):
        definition = definitions[name]
        values = compare([fill(cell, "", measurements) for cell in cells], definition["reference"], measurements)
        columns = tuple(definition["parts"][0]["metrics"])
        tables.append(Table(name, definition["title"], (), (("", columns),), values))
    return tables
