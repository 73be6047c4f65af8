"""The rules and the stages have one chain: what Snakemake plans is what the manifests will record.

Snakemake builds its DAG for smoke, with everything that can be asked of it, in a copy of the repository; each job
is compared with the steps that its command will make.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rdt.experiment.runs import settings_digest
from tests.support.repository import copy_repository

# Prints the jobs of the DAG, and the steps of the chain as a stage in the same folder sees them.
DUMP = """
import json, sys
from snakemake import cli
from snakemake.dag import DAG
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.sides import with_sides
from rdt.provenance.code import code_digest
from rdt.provenance.steps import Chain
from rdt.studies.file import read_studies
from rdt.studies.steps import study_steps

def posix(paths):
    return [str(path) for path in paths]

def dump(dag):
    networks, paths = with_sides(plan(load_experiment("smoke"), load_tables()), load_tables()), Paths("smoke")
    (study,) = read_studies(None)
    steps = Chain(networks, paths, study_steps(study, networks, paths)).steps
    jobs = [
        {"rule": job.rule.name, "where": dict(job.wildcards_dict), "input": posix(job.input),
         "output": posix(job.output), "params": [str(value) for value in job.params]}
        for job in dag.jobs
    ]
    made = [
        {"name": step.name, "where": step.where, "target": str(step.target), "files": posix(step.files),
         "inputs": posix(step.inputs.values()), "code": code_digest(step.code),
         "configuration": step.configuration}
        for step in steps
    ]
    json.dump({"jobs": jobs, "steps": made}, open("dump.json", "w"), default=list)

DAG.d3dag = dump
targets = ["all", "report", "differences", "controls", "studies"]
cli.main(["--cores", "1", "--d3dag", *targets, "--config", "experiment=smoke"])
"""
NO_STEPS = {"all", "studies", "track_init"}
REPOSITORY_FILES = {
    *("experiments/tables.yaml", "experiments/differences.yaml", "experiments/controls.yaml", "reports/claims.yaml"),
    *("experiments/readings.yaml", "reports/attention_cost.json"),
    *(f"rdt/report/{name}" for name in ("page.html", "style.css")),
    *(f"reports/published/table_{name}.csv" for name in ("II", "III", "IV", "V", "VI", "VII", "VIII")),
}
Job = dict[str, Any]


@pytest.fixture(scope="module")
def dumped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Job]]:
    folder = copy_repository(tmp_path_factory.mktemp("chain"))
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", DUMP]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (folder / "dump.json").exists(), done.stderr
    return json.loads((folder / "dump.json").read_text())


@pytest.fixture(scope="module")
def pairs(dumped) -> list[tuple[Job, list[Job]]]:
    """Each job with the steps of its command."""
    return [(job, steps_of(job, dumped["steps"])) for job in dumped["jobs"] if job["rule"] not in NO_STEPS]


def steps_of(job: Job, steps: list[Job]) -> list[Job]:
    name = job["rule"].replace("_", "-")
    where = job["where"] | ({"split": "test"} if name == "score" else {})
    return [step for step in steps if job_of(step) == (name, where)]


def job_of(step: Job) -> tuple[str, dict[str, str]]:
    """What the steps of one job have in common."""
    return step["name"], step["where"]


def holds(target: str, path: str) -> bool:
    """Whether ``path`` is ``target`` or lies in it."""
    return Path(target) in (Path(path), *Path(path).parents)


def maker(path: str, steps: list[Job]) -> Job | None:
    """The step that makes a file, found by the longest name that fits; one with files makes only these."""
    fits = [one for one in steps if path in one["files"] or path == one["target"]]
    fits = fits or [one for one in steps if not one["files"] and holds(one["target"], path)]
    return max(fits, key=lambda one: len(one["target"]), default=None)


def test_every_step_has_its_job_and_every_job_its_steps(dumped, pairs):
    assert all(steps for _, steps in pairs)
    asked = [step["target"] for _, steps in pairs for step in steps]
    assert sorted(asked) == sorted(step["target"] for step in dumped["steps"]) and len(asked) > 120


def test_a_job_makes_what_its_steps_make(pairs):
    for job, steps in pairs:
        made = [file for step in steps for file in step["files"] or [step["target"]]]
        strangers = [path for path in job["output"] if not any(holds(file, path) for file in made)]
        assert job["output"] and strangers == [], job["rule"]


def test_a_job_waits_for_what_its_steps_read_and_for_nothing_else(dumped, pairs):
    """For a file as itself where a rule makes it, else what the rule of its step makes; no file is from nowhere."""
    outputs = {path: job_of(steps[0]) for job, steps in pairs for path in job["output"]}
    for job, steps in pairs:
        waited = set(job["input"]) - {"results/smoke/tracking.json"}
        if job["rule"] == "study_export":  # it reads the storage, which the workers' files say is complete
            waited = {path for path in waited if "/workers/" not in path}
        explained = set()
        for path in (path for step in steps for path in step["inputs"]):
            step = maker(path, dumped["steps"])
            found = {path} & waited or {one for one in waited if step and outputs.get(one) == job_of(step)}
            assert found, f"{job['rule']} {job['where']} does not wait for {path}"
            explained |= found
        assert waited == explained, job["rule"]
        assert {path for path in waited if path not in outputs} <= REPOSITORY_FILES


def test_a_job_watches_the_settings_and_the_code_that_its_manifest_records(pairs):
    """Of a study only the settings, and the code of its comparison: what was found goes on from where it is."""
    for job, steps in pairs:
        name, code = steps[0]["name"], {step["code"] for step in steps}
        settings = settings_digest({Path(step["target"]).name: step["configuration"] for step in steps})
        watched = [value for value in job["params"] if not value.endswith(".yaml")]
        expected = f"settings {settings}, code {code.pop()}"
        told = {"study-init": [settings], "study-worker": [], "study-export": [], "study-retrain": []}
        assert watched == told.get(name, [expected]) and not code, job["rule"]
