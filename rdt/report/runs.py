"""The runs behind the numbers: where each lies, when it was made and under which id MLflow knows it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rdt.digests import SHORT
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan, phase_title
from rdt.files import read_json
from rdt.provenance.manifest import manifest_path
from rdt.tables.table import Value
from rdt.tracking.spool import delivered


@dataclass(frozen=True)
class Link:
    """A trained network and its folder as seen from the page."""

    name: str
    href: str


@dataclass(frozen=True)
class TrainedRun:
    """One line of the list of runs; what its manifest does not say is empty."""

    name: str
    href: str
    seed: int
    phase: str
    started: str
    seconds: float | None
    revision: str
    mlflow: str


def link(paths: Paths, name: str) -> Link:
    """The folder of ``<run>/<stage>``: its weights, or the captions that were made elsewhere."""
    run, stage = name.rsplit("/", 1)
    folder = paths.captions(run, stage, "", "").parent if run.startswith("given-") else paths.stage(run, stage)
    return Link(name, Path(os.path.relpath(folder, paths.reports)).as_posix() + "/")


def links(paths: Paths, value: Value) -> list[Link]:
    """The networks behind a measured cell, one for each seed."""
    return [link(paths, name) for name in value.run.split()]


def trained_runs(plan: Plan, paths: Paths) -> list[TrainedRun]:
    """Every training that was finished, in the order of the plan."""
    known = delivered(paths)
    found = []
    for run, stage in plan.trainings:
        manifest = manifest_path(paths.stage(run, stage))
        if not manifest.is_file():
            continue
        content = read_json(manifest)
        where = link(paths, f"{run}/{stage}")
        found.append(
            TrainedRun(
                name=where.name,
                href=where.href,
                seed=plan.runs[run].seed,
                phase=phase_title(stage),
                started=content["started"].removesuffix("+00:00").replace("T", " "),
                seconds=content["wall_seconds"],
                revision=_short(content["code"]["git"]),
                mlflow=content["mlflow_run_id"] or known.get(content.get("tracking_job", ""), "not sent yet"),
            )
        )
    return found


def _short(revision: str | None) -> str:
    """The first digits of a commit, and whether files differed from it."""
    if revision is None:
        return "no commit"
    commit, dirty, _ = revision.partition("-dirty")
    return commit[:SHORT] + dirty
