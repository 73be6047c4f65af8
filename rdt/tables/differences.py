"""The table of what each difference between paper and released code is worth."""

from __future__ import annotations

from itertools import groupby

from rdt.experiment.differences import DifferencePaths, difference_tables
from rdt.experiment.plan import Plan
from rdt.scoring.measurements import Measurements
from rdt.tables.build import compare_rows, fill
from rdt.tables.table import Table


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
