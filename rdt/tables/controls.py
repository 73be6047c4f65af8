"""What each proposal gains over the base, and over what controls for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rdt.experiment.controls import BASE, Control, read_controls
from rdt.experiment.paths import Paths
from rdt.experiment.plan import SidePlan
from rdt.files import atomic_write_text
from rdt.scoring.measurements import side_measurements
from rdt.tables.build import compare_pairs
from rdt.tables.formats import compared_numbers, measured_numbers
from rdt.tables.sides import score_side, side_values
from rdt.tables.table import RowComparison, Value
from rdt.workspace import Workspace

COLUMNS = (
    *("table", "row", "column", "ours", "sd", "n_seeds", "n_images"),
    *("control", "of", "gain", "ci_low", "ci_high", "interval_over", "p", "p_holm"),
)


@dataclass(frozen=True)
class Gain:
    """A cell of the row ``of`` minus that of ``over``, the row that is its ``control``; None where one was not run."""

    control: str
    of: Value
    over: Value
    comparison: RowComparison | None = None


def compared_rows(rows: Sequence[str], controls: Sequence[Control]) -> list[tuple[str, str, str]]:
    """Each control by its name, with the rows that are compared: the one that it controls for, and its own.

    The base is a control of every other row of Table V, and of itself when it is trained longer.
    """
    longer = [control.row for control in controls if control.equal_compute]
    own = {control.row for control in controls}
    proposals = [row for row in rows if row != BASE and row not in own]
    return [
        *((BASE, row, BASE) for row in (*proposals, *longer)),
        *((control.control, control.of, control.row) for control in controls),
    ]


def measured_gains(side: SidePlan, paths: Paths) -> list[Gain]:
    """All gains in each column of each table, from the scores that are there; p is corrected within a table."""
    measurements, controls, found = side_measurements(side, paths), read_controls(), []
    for values in side_values(side, measurements).values():
        at = {(value.cell.row, value.cell.column): value for value in values}
        rows, columns = (dict.fromkeys(key) for key in zip(*at, strict=True))
        gains = [
            Gain(control, at[of, column], at[over, column])
            for control, of, over in compared_rows(list(rows), controls)
            for column in columns
        ]
        compared = compare_pairs([(gain.of, gain.over) for gain in gains], measurements)
        found += [Gain(gain.control, gain.of, gain.over, one) for gain, one in zip(gains, compared, strict=True)]
    return found


def to_controls_csv(gains: Sequence[Gain]) -> str:
    """CSV of COLUMNS: a line for each measured cell, or for each row ``of`` Table V that the cell's row controls for.

    ``gain`` is the cell of that row minus this one, with its interval and tests.
    """
    lines: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
    for gain in gains:
        for value in (gain.over, gain.of):
            if value.estimate is not None:
                lines.setdefault((value.cell.table, value.cell.row, value.cell.column), [measured_numbers(value)])
        if gain.comparison is not None:
            cell = gain.over.cell
            against = (gain.control, gain.of.cell.row, *compared_numbers(gain.comparison))
            lines[cell.table, cell.row, cell.column].append(against)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for where, (own, *compared) in lines.items():
        writer.writerows((*where, *own, *against) for against in compared or [("",) * 8])
    return out.getvalue()


def write_controls(workspace: Workspace, side: SidePlan) -> None:
    """Score the rows of Table V and their controls, and write what each gains."""
    score_side(workspace, side)
    atomic_write_text(workspace.paths.side_table(side.name), to_controls_csv(measured_gains(side, workspace.paths)))
