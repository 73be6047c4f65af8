"""The profile of a cluster: its settings, what it plans, and jobs of a real Slurm that end, fail and are killed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import slurm, tiny
from tests.support.repository import REPOSITORY, copy_repository

PROFILE = "workflow/profiles/slurm"
GPUS = 2
TOGETHER = tiny.settings(training={"device": "auto", "processes": GPUS, "teacher_xe_epochs": 1})
FILE = f"{tiny.NAME}.yaml"


def settings(profile: str) -> dict[str, object]:
    return yaml.safe_load((REPOSITORY / profile / "config.yaml").read_text())


def snakemake(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", *arguments, "--config", f"experiment={FILE}"]
    paths = {"PATH": [str(Path(sys.executable).parent)], "PYTHONPATH": [str(folder)]}
    environment = {name: os.pathsep.join([*first, os.environ.get(name, "")]) for name, first in paths.items()}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=os.environ | environment, **pipes)


def output(process: subprocess.Popen[str]) -> str:
    """What an ended process has said; one that does not end is killed, and fails the test."""
    try:
        return process.communicate(timeout=400)[0]
    finally:
        process.kill()


def on_cluster(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """With the profile, but looking after its jobs more often than is polite on a cluster that others share."""
    often = ("--slurm-init-seconds-before-status-checks", "1")
    return snakemake(folder, "--workflow-profile", PROFILE, *often, *arguments)


def test_the_profile_keeps_every_setting_of_the_default_one_which_it_replaces():
    assert settings("profiles/default").items() <= settings(PROFILE).items()


@pytest.mark.skipif(importlib.util.find_spec("snakemake_executor_plugin_slurm") is None, reason="needs extra `slurm`")
def test_a_cluster_runs_the_same_jobs_as_a_laptop(tmp_path):
    folder = copy_repository(tmp_path)
    tiny.write(folder, TOGETHER)
    plans = [snakemake(folder, "--dry-run", *how) for how in (("--cores", "1"), ("--workflow-profile", PROFILE))]
    local, cluster = [output(plan).rpartition("Job stats:")[2] for plan in plans]
    assert local == cluster and "train " in local


@pytest.fixture
def cluster() -> Iterator[None]:
    """A cluster that is up."""
    with slurm.cluster():
        yield


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A repository in which the teacher's network is what comes next."""
    folder = copy_repository(tmp_path)
    tiny.prepare(folder)
    tiny.write(folder, TOGETHER)
    (folder / f"results/{tiny.NAME}/tracking.json").write_text("{}")  # a job records, and nobody sends
    return folder


@pytest.mark.slow
def test_a_killed_workflow_goes_on_and_a_failed_job_ends_it_with_the_jobs_log(cluster, prepared):
    teacher = tiny.run_id(tiny.opened(prepared)[1], "teacher")
    target = f"results/{tiny.NAME}/runs/{teacher}/xe/model.safetensors"
    killed = on_cluster(prepared, target)
    try:
        slurm.wait_for(lambda: slurm.call("squeue", "--noheader", "--states=RUNNING"))
    finally:
        killed.kill()  # SIGKILL
    name = re.search("SLURM run ID: (.+)", output(killed)).group(1)
    number = slurm.call("squeue", "--noheader", "--format=%i", f"--name={name}")
    job = slurm.call("scontrol", "show", "job", number)
    assert f"TresPerJob=gres:gpu:{GPUS}" in job and f"NumCPUs={GPUS}" in job
    assert "MinMemoryNode=16000M" in job and "TimeLimit=1-00:00:00" in job
    slurm.call("scancel", f"--name={name}")

    again = on_cluster(prepared, target)
    told = output(again)
    assert again.returncode == 0, told
    assert (prepared / target).stat().st_size > 0

    (prepared / f"results/{tiny.NAME}/data/primary/dataset.json").write_text('{"images": [')
    failed = on_cluster(prepared, f"results/{tiny.NAME}/vocabulary/primary.json", "--retries", "0")
    told = output(failed)
    assert failed.returncode == 1, told
    assert "SLURM status is: 'FAILED'" in told
    assert f"rdt: error: results/{tiny.NAME}/data/primary/dataset.json" in told
