"""Where MLflow shows the jobs of an experiment, and under which names: pure functions of its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdt.experiment.plan import Plan
from rdt.experiment.runs import Run
from rdt.experiment.settings import TABLES, Stage
from rdt.tracking.record import Place

STEPS, STUDIES = "steps", "studies"  # beside one MLflow experiment for each table
TEACHER = "Transformer (teacher)"  # of a teacher that is no row


def experiments(plan: Plan, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The MLflow experiments, each with the note that its page shows."""
    title = plan.experiment.name
    shared = "A row that several tables share is in each of them; the tag `tables` names them all."
    notes = {
        f"Table {name}": f"{tables[name]['title']}. One run for each network of a row; see the tags. {shared}"
        for name in plan.experiment.tables
    }
    return {**notes, STEPS: f"The steps of {title} that belong to no row: data, features, retrieval, scores, tables."}


def network_places(plan: Plan, run: Run, stage: Stage) -> tuple[Place, ...]:
    """One place in each table with a row that needs this network; a teacher that is no row is in the first only."""
    rows = rows_of(plan, run, stage)
    if not rows:
        guided = [other for other in plan.runs.values() if other.kind == "captioner" and plan.teacher(other) == run]
        tables = [table for other in guided for table in rows_of(plan, other, "rl")]
        rows = {table: (TEACHER,) for table in TABLES if table in tables[:1]}
    return tuple(
        Place(f"Table {table}", network_name(" = ".join(labels), run, stage), {"table": table, "row": labels[0]})
        for table, labels in rows.items()
    )


def network_name(row: str, run: Run, stage: Stage) -> str:
    """What a network is called where people read it: its row, its role if it is another, its stage, its seed."""
    return " · ".join([row, *([run.role] if run.role != "primary" else []), stage, f"s{run.seed}"])


def rows_of(plan: Plan, run: Run, stage: Stage) -> dict[str, tuple[str, ...]]:
    """The labels of the rows that need a network, by table, in the tables' order."""
    found: dict[str, dict[str, None]] = {table: {} for table in TABLES}
    for cell in plan.cells:
        if run.id in cell.runs and _behind(stage, cell.stage):
            found[cell.table][cell.row] = None
    return {table: tuple(labels) for table, labels in found.items() if labels}


def network_tags(plan: Plan, run: Run, stage: Stage) -> dict[str, str]:
    """What is true of a network wherever it is shown."""
    return {
        "stage": stage,
        "cascade": str(_cascade(stage)),
        "kind": run.kind,
        "method": plan.experiment.method_name,
        "tables": ",".join(rows_of(plan, run, stage)),
    }


def _behind(stage: Stage, other: Stage) -> bool:
    """Whether ``other`` is this stage or one that needs it: rl needs xe, and the second network the first."""
    return stage[:2] in ("xe", other[:2]) and _cascade(stage) <= _cascade(other)


def _cascade(stage: Stage) -> int:
    return int(stage[2:] or 1)
