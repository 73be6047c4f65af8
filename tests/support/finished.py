"""A finished experiment in a repository of its own: every command of the chain, run for real in half a minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import tiny
from tests.support.repository import copy_repository

FILE = f"{tiny.NAME}.yaml"
RUN_ALL = """
import json, sys
from rdt import cli
from rdt.experiment.file import load_experiment
from rdt.experiment.plan import load_tables, plan
from rdt.provenance.steps import inspected

FILE = sys.argv[1]

def rdt(*arguments):
    sys.argv = ["rdt", *arguments]
    assert cli.main(arguments) == 0, arguments

for command in ("scenes", "vocabulary", "encoder", "features", "index"):
    rdt(command, FILE, *([] if command == "encoder" else ["--role", "primary"]))
rdt("probe", FILE)
planned = plan(load_experiment(FILE), load_tables())
for run, stage in planned.trainings:
    rdt("train", FILE, "--run", run, "--stage", stage)
    if any((job.run, job.stage) == (run, stage) for job in planned.captions):
        rdt("captions", FILE, "--run", run, "--stage", stage)
for run, stage in inspected(planned):
    rdt("inspect", FILE, "--run", run, "--stage", stage)
rdt("score", FILE, "--role", "primary")
rdt("tables", FILE)
rdt("claims", FILE)
"""
# Verifies once for each file with one byte of it changed, and says how that ended; an empty name changes nothing.
TAMPER = """
import contextlib, io, json, sys
from pathlib import Path
from rdt import cli

answers = {}
for name in json.loads(sys.argv[1]):
    path = Path(name)
    whole = path.read_bytes() if name else b""
    if name:
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        status = cli.main(["verify", *sys.argv[2:]])
    answers[name] = [status, told.getvalue()]
    if name:
        path.write_bytes(whole)
print(json.dumps(answers))
"""


def make(folder: Path) -> Path:
    """A copy of the repository with the tiny experiment in it, finished; Tables II and VII."""
    copy_repository(folder)
    content = tiny.settings(training={"xe_epochs": 1, "rl_epochs": 1, "teacher_xe_epochs": 1, "teacher_rl_epochs": 1})
    tiny.write(folder, content | {"tables": ["II", "VII"]})
    tiny.without_sending(folder)
    done = python(folder, "-c", RUN_ALL, FILE)
    assert done.returncode == 0, done.stderr
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in ``folder``, with the suite that lies there."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def rdt(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the suite in ``folder``, on the experiment there."""
    return python(folder, "-m", "rdt", command, *arguments, "--experiment", FILE)


def verify_tampered(folder: Path, files: list[str], *cell: str) -> dict[str, tuple[int, str]]:
    """Exit status and output of ``rdt verify`` for each file with one byte changed, "" for none."""
    done = python(folder, "-c", TAMPER, json.dumps(files), *cell, "--experiment", FILE)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return {name: (status, told) for name, (status, told) in answers.items()}
