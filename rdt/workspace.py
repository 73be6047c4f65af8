"""An experiment as every command works in it: its plan, its files, and the record of each job."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rdt.data.dataset import SPLITS
from rdt.digests import SHORT, combined_digest
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan, load_tables, plan
from rdt.experiment.runs import Run
from rdt.experiment.settings import Experiment, Role
from rdt.experiment.sides import with_sides
from rdt.provenance.manifest import recorded_digest, write_manifest
from rdt.provenance.staleness import check_inputs
from rdt.provenance.steps import Chain, Step
from rdt.tracking import record
from rdt.tracking.places import STEPS, experiments, network_places, network_tags
from rdt.tracking.record import DataSet, Place
from rdt.tracking.spool import key


@dataclass(frozen=True)
class Job:
    """A step at work: what it tracks, and what its manifest will say."""

    track: record.TrackedJob

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers for the tracking database."""
        self.track.metrics(values, step)

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file for the tracking database."""
        self.track.artifact(path, folder)


@dataclass(frozen=True)
class Workspace:
    """An experiment with its paths and its plan."""

    experiment: Experiment
    paths: Paths

    @classmethod
    def open(cls, name_or_path: str | Path, data_root: str | Path | None = None) -> Workspace:
        """Read and check an experiment file; see :func:`rdt.experiment.file.load_experiment`."""
        experiment = load_experiment(name_or_path, data_root)
        return cls(experiment, Paths(experiment.name))

    @cached_property
    def plan(self) -> Plan:
        """The tables' plan, and beside it the networks of the side plans, which no table asks for."""
        tables = load_tables()
        return with_sides(plan(self.experiment, tables), tables)

    def run(self, run_id: str) -> Run:
        """A planned run; UserError when the experiment has none of that id."""
        if run_id not in self.plan.runs:
            raise UserError("--run", f"'{run_id}' is not a run of experiment {self.experiment.name}", self._known())
        return self.plan.runs[run_id]

    def _known(self) -> str:
        return f"choose one of {', '.join(sorted(self.plan.runs))}"

    @contextmanager
    def make(self, *steps: Step, seed: int | None = None) -> Iterator[Job]:
        """Track the job of a step of the chain and, when it succeeds, write the manifest of what it made.

        Several ``steps`` are the outputs of one job; a network's has the ``seed`` of its run. Raises UserError,
        before anything is done, where one of their inputs was made from other files than those that are there now.
        """
        known = Chain(self.plan, self.paths)
        for step in steps:
            check_inputs(known, step)
        started, run = time.time(), self.plan.runs.get(steps[0].where.get("run", ""))
        seed = seed if run is None else run.seed
        data = data_sets(self.experiment, steps, _role_of(steps[0]) if run is None else run.role)
        with self._track(steps[0], run, seed, data) as track:
            for one in data:
                track.data_set(one)
            if run is None or steps[0].name == "train":
                track.params({key: value for step in steps for key, value in step.configuration.items()})
            yield Job(track)
            for step in steps:
                manifest = write_manifest(
                    step.target,
                    command=["rdt", *sys.argv[1:]],
                    configuration=step.configuration,
                    code=step.code,
                    inputs=step.inputs,
                    seed=seed,
                    started=started,
                    mlflow_run_id=track.mlflow_run_id,
                    files=step.files,
                    extra={"tracking_job": track.job},
                )
                track.artifact(manifest, step.name)

    def _track(self, step: Step, run: Run | None, seed: int | None, data: Sequence[DataSet]) -> record.TrackedJob:
        """Record of a job, which adds to its network's record where it is not its training.

        Captions that were made elsewhere have no training: taking them begins their record.
        """
        if run is None:
            return self._track_step(step, seed, data)
        part = "" if step.name == "train" or run.kind == "given" else step.name
        return self.track_network(run, step.where["stage"], part, data, code=step.code)

    def places(self, run: Run, stage: str) -> tuple[Place, ...]:
        """Where MLflow shows a network: in the tables with its rows. A study shows its trials elsewhere."""
        return network_places(self.plan, run, stage)

    def _track_step(self, step: Step, seed: int | None, data: Sequence[DataSet]) -> record.TrackedJob:
        """The record of a job that is no network's."""
        role, split = _role_of(step), step.where.get("split")
        return record.TrackedJob(
            self.paths,
            f"{step.name}-{role}",
            f"{step.name}-{split}" if split else step.name,
            code=step.code,
            seed=seed,
            role=role,
            places=[Place(STEPS, f"{step.name} {role}")],
            tags={"data": data_digest(data)},
            resume=True,
        )

    def track_network(
        self, run: Run, stage: str, part: str, data: Sequence[DataSet] = (), *, code: str
    ) -> record.TrackedJob:
        """The record of the training of a network or, with the name of a ``part``, what a later job adds to it."""
        name = f"train-{stage}"
        label = run.id if self.paths.apart is None else (self.paths.apart / run.id).as_posix()
        return record.TrackedJob(
            self.paths,
            label,
            f"{part}-{stage}" if part else name,
            code=code,
            seed=run.seed,
            role=run.role,
            places=self.places(run, stage),
            tags=network_tags(self.plan, run, stage) | {"data": data_digest(data)},
            part_of=key(label, name) if part else "",
            resume=True,
        )

    def tracked_experiments(self) -> dict[str, str]:
        """The MLflow experiments that the jobs will be shown in, with their notes."""
        return experiments(self.plan, load_tables())


def _role_of(step: Step) -> Role:
    """Whose data a job reads where their names do not say."""
    return step.where.get("role", "primary")


def data_sets(experiment: Experiment, steps: Sequence[Step], role: str) -> tuple[DataSet, ...]:
    """The annotations and features that a job reads; ``role`` is whose they are where their name does not say."""
    found = {}
    for step in steps:
        for name, path in step.inputs.items():
            what, _, of = name.partition("/")
            if what in ("annotations", "features") and path.exists():  # the job tells of what is missing
                data = experiment.data[of or role]
                sizes = {split: getattr(data, split) for split in SPLITS if getattr(data, split)}
                label = f"{data.title or f'{experiment.name} {of or role}'} {what}"
                found[name] = DataSet(label, path.as_posix(), recorded_digest(path)[:SHORT], step.name, sizes)
    return tuple(found.values())


def data_digest(data: Sequence[DataSet]) -> str:
    """One short digest of all that was read; "" of nothing."""
    return combined_digest({one.name: one.digest for one in data})[:SHORT] if data else ""
