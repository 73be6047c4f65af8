"""A network of a study: it shares the data of its experiment, and no table asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from rdt.experiment.plan import CaptionJob, Plan
from rdt.experiment.runs import NetworkId, Run
from rdt.experiment.settings import Stage
from rdt.tracking.places import STUDIES
from rdt.tracking.record import Place
from rdt.tracking.spool import key
from rdt.workspace import Workspace

STAGE: Stage = "xe"  # as in Tables VI and VIII: the cross-entropy stage of one network
PARENT = "study"  # name of the study's MLflow run, under which the runs of its networks are nested


@dataclass(frozen=True)
class StudyNetwork(Workspace):
    """A workspace with one network to plan for and, if there are ``jobs``, what that captions.

    ``label`` is what MLflow calls it (``trial 7``, ``best, seed 1``); ``values`` are of the parameters.
    """

    study: str
    label: str
    values: Mapping[str, float]
    network: Run
    jobs: tuple[CaptionJob, ...] = ()

    @cached_property
    def plan(self) -> Plan:
        runs = {self.network.id: self.network}
        trainings = (NetworkId(self.network.id, STAGE),)
        return Plan(self.experiment, runs, trainings, self.jobs, cells=(), one_step=())

    def places(self, run: Run, stage: Stage) -> tuple[Place, ...]:
        """Place in MLflow: under the study, with the parameters as tags."""
        tags = {name: f"{value:.4g}" for name, value in self.values.items()}
        return (Place(STUDIES, self.label, tags | {"study": self.study}, parent=key(self.study, PARENT)),)
