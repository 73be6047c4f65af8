"""The curves of training: what each epoch's losses and its score on the validation split were."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.report.figures import PlottedLine

NAMES = {
    "loss/xe": "L_XE",
    "loss/bit": "L_bit",
    "loss/rank": "L_rank",
    "loss/reward_sample": "CIDEr-D reward",
    "val/CIDEr": "CIDEr on val",
}


@dataclass(frozen=True)
class Panel:
    """One quantity over the epochs of one training, a line for each network."""

    stage: str
    column: str
    title: str
    lines: tuple[PlottedLine, ...]


def panels(plan: Plan, paths: Paths) -> list[Panel]:
    """Every quantity of the teacher and of the networks of Table V, else of Table II, first seed."""
    table = next((name for name in ("V", "II") if name in plan.experiment.tables), None)
    rows: dict[str, str] = {}
    for cell in plan.cells:
        if cell.table == table and cell.runs:
            rows.setdefault(cell.runs[0], cell.row)
    rows |= {run.id: "teacher" for run in plan.runs.values() if run.kind == "teacher" and run.id not in rows}
    names = list(dict.fromkeys(rows.values()))
    found: dict[tuple[str, str], list[PlottedLine]] = {}
    for run, stage in plan.trainings:
        own = plan.runs[run]
        if run in rows and own.role == "primary" and own.seed == _first_seed(plan, stage):
            for column, line in _curve_columns(paths, run, stage, rows[run], names.index(rows[run])).items():
                found.setdefault((stage, column), []).append(line)
    return [
        Panel(stage, column, title, tuple(sorted(found[stage, column], key=lambda line: line.series)))
        for stage in dict.fromkeys(stage for stage, _ in found)
        for column, title in NAMES.items()
        if (stage, column) in found
    ]


def _first_seed(plan: Plan, stage: str) -> int:
    return plan.experiment.seeds.of(stage[:2])[0]


def _curve_columns(paths: Paths, run: str, stage: str, name: str, series: int) -> dict[str, PlottedLine]:
    """The columns of a network's curves.csv; an epoch without a value is left out."""
    path = paths.stage(run, stage) / "curves.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    lines = {}
    for column in NAMES:
        known = [(float(record["epoch"]) + 1, float(record[column])) for record in records if record.get(column)]
        if known:
            lines[column] = PlottedLine(name, series, *zip(*known, strict=True))
    return lines
