"""A study as its commands open it: its file, and the experiment on the budget of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdt.experiment.plan import DRAWS, caption_job
from rdt.metrics.names import DRAWN_METRICS
from rdt.provenance.manifest import recorded_digest
from rdt.provenance.steps import Step
from rdt.studies.file import Study
from rdt.studies.network import PARENT, STAGE, StudyNetwork
from rdt.studies.steps import study_steps
from rdt.tracking import record
from rdt.tracking.places import STUDIES
from rdt.tracking.record import DataSet, Place
from rdt.tracking.spool import key
from rdt.workspace import Workspace

if TYPE_CHECKING:
    from rdt.features.inputs import Inputs

INIT = "study-init"


@dataclass(frozen=True)
class StudyWorkspace(Workspace):
    """An experiment, budgeted for the trials of a study; ``source`` is what the user calls it."""

    study: Study
    source: str

    @property
    def name(self) -> str:
        """What the storage calls the study, which several experiments may share."""
        return f"{self.experiment.name}/{self.study.name}"

    @property
    def folder(self) -> Path:
        return self.paths.study(self.study.name)

    @property
    def report(self) -> Path:
        return self.paths.study_report(self.study.name)

    def network(
        self, values: Mapping[str, float], seed: int, label: str, folder: str, captions: str = ""
    ) -> StudyNetwork:
        """The network with these values of the parameters, in a folder of the study's own.

        It captions the split ``captions`` of the primary role, if one is named.
        """
        run = self.study.network(self.experiment, values, seed)
        draws = DRAWS if DRAWN_METRICS & set(self.study.objectives) else 0
        jobs = (caption_job(self.experiment, run, STAGE, run.role, captions, draws),) if captions else ()
        paths = self.paths.within(self.folder / folder)
        return StudyNetwork(self.experiment, paths, self.study.name, label, values, run, jobs)

    def identity(self) -> dict[str, Any]:
        """What all trials of the study have in common, by part; trials with another cannot be compared with them."""
        inputs = {name: recorded_digest(path) for name, path in self.step(INIT).inputs.items()}
        return self.study.common(self.experiment) | {"inputs": inputs}

    def step(self, name: str) -> Step:
        """The step of the study that the command ``name`` does."""
        return next(step for step in study_steps(self.study, self.plan, self.paths) if step.name == name)

    @cached_property
    def inputs(self) -> Inputs:
        """Opened inputs of the trials, read once."""
        from rdt.features.inputs import open_inputs  # and torch, which a worker of a finished study does without

        return open_inputs(self.experiment, self.paths, "primary", "primary", self.experiment.method.length)

    def _track_step(self, step: Step, seed: int | None, data: Sequence[DataSet]) -> record.TrackedJob:
        """The MLflow run of the study, made by its first step; the others add to it."""
        first = step.name == INIT
        return record.TrackedJob(
            self.paths,
            self.study.name,
            PARENT if first else step.name,
            code=step.code,
            places=[Place(STUDIES, self.study.title, {"study": self.study.name})],
            part_of="" if first else key(self.study.name, PARENT),
            resume=True,
        )
