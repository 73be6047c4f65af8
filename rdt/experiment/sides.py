"""The side plans: what is trained and scored beside the paper's tables, each on a request of its own.

A side plan has tables in the form of tables.yaml, which a file in ``experiments/`` lists. Its networks are runs of the
experiment like the tables' own, so one that a table has too is trained once; its scores lie apart, since a table may
ask more of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rdt.experiment import controls, differences
from rdt.experiment.paths import Paths
from rdt.experiment.plan import CaptionJob, Plan, SidePlan, plan
from rdt.experiment.settings import Experiment

Tables = Mapping[str, Mapping[str, Any]]  # in the form of tables.yaml

# What each lists, and the tables that these entries make of an experiment, given the paper's.
SIDES: dict[str, tuple[Path, Callable[[Experiment, Tables], Tables]]] = {
    "differences": (differences.FILE, lambda experiment, _: differences.difference_tables(experiment)),
    "controls": (controls.FILE, controls.control_tables),
}


def side_plan(name: str, experiment: Experiment, published: Tables) -> SidePlan:
    """What the side plan of that name trains and captions; ``published``: the paper's tables."""
    file, tables_of = SIDES[name]
    tables = tables_of(experiment, published)
    return SidePlan(name, file, tables, plan(replace(experiment, tables=tuple(tables), rows={}, extra_rows={}), tables))


def with_sides(tables: Plan, published: Tables) -> Plan:
    """The plan of the tables with all side plans and their networks: what can be trained and captioned."""
    sides = tuple(side_plan(name, tables.experiment, published) for name in SIDES)
    plans = [tables, *(side.plan for side in sides)]
    captions: dict[tuple[str, str, str, str], CaptionJob] = {}
    for job in (job for one in plans for job in one.captions):
        key = (job.run, job.variant, job.role, job.split)
        draws = max(job.draws, captions[key].draws if key in captions else 0)
        captions[key] = replace(job, draws=draws)
    return replace(
        tables,
        runs={run.id: run for one in reversed(plans) for run in one.runs.values()},
        trainings=tuple(dict.fromkeys(training for one in plans for training in one.trainings)),
        captions=tuple(captions.values()),
        sides=sides,
    )


@dataclass(frozen=True)
class SidePaths(Paths):
    """Paths of an experiment whose scores belong to one of its side plans."""

    side: str = ""

    @classmethod
    def beside(cls, paths: Paths, side: str) -> SidePaths:
        """The paths of a side plan of the same experiment as ``paths``."""
        return cls(paths.experiment, paths.results_root, paths.reports_root, side=side)

    def scores(self, run: str, variant: str, role: str, split: str) -> Path:
        return self.root / self.side / run / variant / f"{role}-{split}.json"
