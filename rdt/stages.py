"""What every stage command shares: its arguments, the experiment and its plan, and the record of the job."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rdt import tracking
from rdt.chain import Step
from rdt.config import Experiment
from rdt.errors import UserError
from rdt.experiment_file import read
from rdt.paths import Paths
from rdt.plan import Plan, Run, load_tables, plan
from rdt.provenance import write_manifest


@dataclass(frozen=True)
class Job:
    """A stage command at work: what it tracks, and what its manifest will say."""

    track: tracking.Run

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers for the tracking database."""
        self.track.metrics(values, step)

    def artifact(self, path: Path) -> None:
        """A file for the tracking database."""
        self.track.artifact(path)


@dataclass(frozen=True)
class Stage:
    """An experiment with its paths and its plan."""

    experiment: Experiment
    paths: Paths

    @cached_property
    def plan(self) -> Plan:
        return plan(self.experiment, load_tables())

    def run(self, run_id: str) -> Run:
        """A planned run; UserError when the experiment has none of that id."""
        if run_id not in self.plan.runs:
            raise UserError("--run", f"'{run_id}' is not a run of experiment {self.experiment.name}", self._known())
        return self.plan.runs[run_id]

    def _known(self) -> str:
        return f"choose one of {', '.join(sorted(self.plan.runs))}"

    @contextmanager
    def make(
        self, *steps: Step, run: Run | None = None, stage: str = "", role: str = "", seed: int | None = None
    ) -> Iterator[Job]:
        """Track the job of a step of the chain and, when it succeeds, write the manifest of what it made.

        Several ``steps`` are the outputs of one command.
        """
        started, (first, *_) = time.time(), steps
        tables = sorted({cell.table for cell in self.plan.cells if run is not None and run.id in cell.runs})
        role = run.role if run is not None else role or "primary"
        seed = run.seed if run is not None else seed
        label = run.id if run is not None else f"{first.name}-{role}"
        name = f"{first.name}-{stage}" if stage else first.name
        options = {"code": first.code, "seed": seed, "role": role, "tables": tables, "resume": True}
        with tracking.Run(self.paths, label, name, **options) as track:
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
                track.artifact(manifest)


def stage_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every stage."""
    parser.add_argument("experiment", help="name of a file in experiments/, or the path of your own")
    parser.add_argument("--data-root", help="folder that the paths of the experiment's data are relative to")


def experiment_option(parser: argparse.ArgumentParser) -> None:
    """The same for a command that has a subject of its own: the experiment is the default one unless it is named."""
    parser.add_argument("--experiment", default="scenes", metavar="NAME", help="by name or by path (default: scenes)")
    parser.add_argument("--data-root", help="folder that the paths of the experiment's data are relative to")


def open_stage(args: argparse.Namespace) -> Stage:
    """Read and check the experiment file."""
    experiment = read(args.experiment, args.data_root)
    return Stage(experiment, Paths(experiment.name))
