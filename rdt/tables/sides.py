"""What the tables of a side plan measured, and its networks' scores."""

from __future__ import annotations

from itertools import groupby

from rdt.experiment.plan import SidePlan
from rdt.experiment.sides import SidePaths
from rdt.metrics.corpus import Scorer
from rdt.scoring.measurements import Measurements
from rdt.scoring.references import targets_of
from rdt.scoring.systems import score_plan
from rdt.tables.build import fill
from rdt.tables.table import Value
from rdt.workspace import Workspace


def score_side(workspace: Workspace, side: SidePlan) -> None:
    """Score the networks of a side plan."""
    paths = SidePaths.beside(workspace.paths, side.name)
    with Scorer(paths.cache, workspace.experiment.metrics.language) as scorer:
        score_plan(side.plan, paths, targets_of(workspace, "primary", "test"), scorer)


def side_values(side: SidePlan, measurements: Measurements) -> dict[str, list[Value]]:
    """The filled cells of each table of a side plan, without comparisons."""
    by_table = groupby(side.plan.cells, key=lambda cell: cell.table)
    return {name: [fill(cell, "", measurements) for cell in cells] for name, cells in by_table}
