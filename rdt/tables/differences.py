"""The table of what each difference between paper and released code is worth."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from itertools import groupby

from rdt.experiment.differences import DifferencePaths, difference_tables, read_differences
from rdt.experiment.plan import Plan
from rdt.files import atomic_write_text
from rdt.metrics.corpus import Scorer
from rdt.scoring.measurements import Measurements
from rdt.scoring.references import targets_of
from rdt.scoring.systems import score_plan
from rdt.tables.build import compare_rows, fill
from rdt.tables.formats import TEST_COLUMNS, to_tests_csv
from rdt.tables.table import Table
from rdt.workspace import Workspace


def measured(plan: Plan, paths: DifferencePaths) -> list[Table]:
    """The differences as tables, one for each training, from the scores that are there."""
    measurements, definitions = Measurements.of(plan, paths), difference_tables(plan.experiment)
    tables = []
    for name, cells in groupby(plan.cells, key=lambda cell: cell.table):
        definition = definitions[name]
        values = compare_rows([fill(cell, "", measurements) for cell in cells], definition["reference"], measurements)
        columns = tuple(definition["parts"][0]["metrics"])
        tables.append(Table(name, definition["title"], (), (("", columns),), values))
    return tables


def write_differences(workspace: Workspace, plan: Plan, paths: DifferencePaths) -> None:
    """Score the networks of the differences and write their table."""
    with Scorer(paths.cache) as scorer:
        score_plan(plan, paths, targets_of(workspace, "primary", "test"), scorer)
    atomic_write_text(paths.differences, differences_csv(measured(plan, paths)))


def differences_csv(tables: Iterable[Table]) -> str:
    """CSV of the tables' tests, with what stands ``beside`` each number."""
    beside = {one.row: one.beside for one in read_differences()}
    out = io.StringIO()
    writer = csv.DictWriter(out, (*TEST_COLUMNS, "beside"), lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for line in csv.DictReader(io.StringIO(to_tests_csv(table))):
            writer.writerow(line | {"beside": beside.get(line["row"], "")})
    return out.getvalue()
