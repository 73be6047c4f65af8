"""The ``tables`` step: Tables II-VIII with the paper's numbers beside ours, and a page about them.

Built only from what scoring wrote, the captions of random draws, and ``reports/published/``. A published
number never stands as ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from rdt.data.published import read_published
from rdt.experiment.given import rows_of_table
from rdt.experiment.plan import Cell, Plan
from rdt.metrics.resampling import holm
from rdt.scoring.measurements import Measurements
from rdt.tables.notes import (
    base_note,
    budget_note,
    cascade_note,
    data_note,
    diversity_notes,
    given_notes,
    interval_note,
    metric_note,
    spice_note,
    test_note,
    undertrained,
)
from rdt.tables.table import BaseDifference, RowComparison, Table, Value


def build_tables(
    plan: Plan, tables: Mapping[str, Mapping[str, Any]], measurements: Measurements, human: float | None
) -> list[Table]:
    """Every table of the plan, filled from the scores that exist; ``human``: CIDEr of human captions, if known."""
    built = []
    for name, cells in groupby(plan.cells, key=lambda cell: cell.table):
        published = read_published(name)
        definition = tables[name]
        parts = tuple(
            (part.get("title", ""), tuple(f"{part['id']}/{m}" if "id" in part else m for m in part["metrics"]))
            for part in definition["parts"]
        )
        filled = [fill(cell, published.get((cell.row, cell.column), ""), measurements) for cell in cells]
        if definition.get("hidden"):
            filled = [replace(value, as_in_paper=False) for value in filled]
        values = compare_rows(
            against_base(filled, definition["base"], measurements), definition["reference"], measurements
        )
        notes = (
            metric_note(values),
            *definition.get("notes", ()),
            *diversity_notes(values, measurements),
            data_note(plan.experiment, values),
            *cascade_note(plan.experiment, definition["cascades"]),
            *budget_note(plan.experiment, bool(definition.get("grid"))),
            *spice_note(values),
            *given_notes(rows_of_table(plan.experiment, name, definition)),
            interval_note(values),
            *base_note(values),
            *test_note(name, values),
        )
        built.append(Table(name, definition["title"], notes, parts, values, undertrained(values, human)))
    return built


def fill(cell: Cell, paper: str, measurements: Measurements) -> Value:
    """Value of one cell: quoted, measured, or not run with its reason; ``paper`` is "" where it prints none."""
    if not cell.measured:
        return Value(cell, paper, "published" if paper else "")
    alike, reason = as_in_paper(cell, measurements.plan), measurements.reason(cell)
    if reason:
        return Value(cell, paper, reason, as_in_paper=alike)
    runs = " ".join(f"{run}/{cell.stage}" for run in cell.runs)
    estimate = measurements.estimate(cell)
    return Value(cell, paper, "measured", runs, estimate, spice=measurements.spice(cell), as_in_paper=alike)


def as_in_paper(cell: Cell, plan: Plan) -> bool:
    """Whether the networks of a cell learn from the paper's own data, and are tested on them."""
    data = plan.experiment.data
    roles = {cell.role, *(plan.runs[run].role for run in cell.runs)}
    return all(role in data and data[role].as_in_paper for role in roles)


def against_base(values: Sequence[Value], base: str, measurements: Measurements) -> tuple[Value, ...]:
    """Values of a table with the differences of its measured rows to its row ``base``."""
    bases = {value.cell.column: value for value in values if value.cell.row == base and value.run}

    def over_base(value: Value) -> BaseDifference | None:
        other = bases.get(value.cell.column)
        if not value.run or other in (None, value) or not measurements.common_seeds(value.cell, other.cell):
            return None
        paper = float(value.paper) - float(other.paper) if value.paper and other.paper else None
        return BaseDifference(base, measurements.difference(value.cell, other.cell), paper)

    return tuple(replace(value, over_base=over_base(value)) for value in values)


def compare_rows(values: Sequence[Value], reference: str, measurements: Measurements) -> tuple[Value, ...]:
    """Values of a table with their comparisons against the row ``reference``; p is corrected for their number."""
    references = {value.cell.column: value for value in values if value.cell.row == reference}
    others = [value for value in values if value.cell.row != reference and value.cell.column in references]
    pairs = [(value, references[value.cell.column]) for value in others]
    compared = dict(zip((value.cell for value in others), compare_pairs(pairs, measurements), strict=True))
    return tuple(replace(value, comparison=compared.get(value.cell)) for value in values)


def compare_pairs(pairs: Sequence[tuple[Value, Value]], measurements: Measurements) -> list[RowComparison | None]:
    """Each first value minus the second; p is corrected for their number. None where they have no seed in common."""
    cells = [(first.cell, second.cell) for first, second in pairs]
    found = [at for at, pair in enumerate(pairs) if all(value.run for value in pair)]
    found = [at for at in found if measurements.common_seeds(*cells[at])]
    p_values = dict(zip(found, measurements.permutation_p([cells[at] for at in found]), strict=True))
    tested = [at for at, p in p_values.items() if p is not None]
    corrected = dict(zip(tested, holm([p_values[at] for at in tested]), strict=True))
    compared: list[RowComparison | None] = [None] * len(pairs)
    for at, (first, second) in ((at, cells[at]) for at in found):
        difference = measurements.difference(first, second)
        compared[at] = RowComparison(second.row, difference, p_values[at], corrected.get(at))
    return compared
