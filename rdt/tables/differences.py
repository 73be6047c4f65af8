"""The table of what each difference between paper and released code is worth."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from rdt.experiment.differences import read_differences
from rdt.experiment.paths import Paths
from rdt.experiment.plan import SidePlan
from rdt.files import atomic_write_text
from rdt.scoring.measurements import side_measurements
from rdt.tables.build import compare_rows
from rdt.tables.formats import TEST_COLUMNS, to_tests_csv
from rdt.tables.sides import score_side, side_values
from rdt.tables.table import Table
from rdt.workspace import Workspace


def measured_differences(side: SidePlan, paths: Paths) -> list[Table]:
    """The differences as tables, one for each training, from the scores that are there."""
    measurements, tables = side_measurements(side, paths), []
    for name, values in side_values(side, measurements).items():
        definition = side.tables[name]
        compared = compare_rows(values, definition["reference"], measurements)
        columns = tuple(definition["parts"][0]["metrics"])
        tables.append(Table(name, definition["title"], (), (("", columns),), compared))
    return tables


def write_differences(workspace: Workspace, side: SidePlan) -> None:
    """Score the networks of the differences and write their table."""
    score_side(workspace, side)
    text = differences_csv(measured_differences(side, workspace.paths))
    atomic_write_text(workspace.paths.side_table(side.name), text)


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
