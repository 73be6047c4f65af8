"""A side plan run to its end by the commands of the tables, in a copy of a finished experiment."""

from __future__ import annotations

from pathlib import Path

from tests.support.finished import FILE, python

RUN = """
import sys
from rdt import cli
from rdt.experiment.file import load_experiment
from rdt.experiment.plan import load_tables
from rdt.experiment.sides import side_plan
from rdt.experiment.paths import Paths

name, file = sys.argv[1:]
experiment = load_experiment(file)
planned, paths = side_plan(name, experiment, load_tables()).plan, Paths(experiment.name)
captioned = {(job.run, job.stage) for job in planned.captions}
for network in planned.trainings:
    made = {"train": paths.stage(*network)}
    if network in captioned:
        made["captions"] = paths.captions(*network, "", "").parent
    for command, folder in made.items():
        if not (folder / "manifest.json").exists():  # what the tables have made is there
            sys.argv = ["rdt", command, file]
            assert cli.main([command, file, "--run", network.run, "--stage", network.stage]) == 0
assert cli.main([name, file]) == 0
"""


def run_side(name: str, folder: Path) -> None:
    """Train what the tables have not trained, caption and score."""
    done = python(folder, "-c", RUN, name, FILE)
    assert done.returncode == 0, done.stderr
