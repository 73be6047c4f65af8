"""The DAG: what it plans for an experiment, and what it plans again after an edit.

Snakemake runs in a copy of the repository, on its dry run but for jobs of a second. A finished workflow
is made by creating the files that it declares and telling Snakemake that they are up to date.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rdt.experiment.file import load_experiment
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.sides import side_plan
from tests.support.repository import REPOSITORY, copy_repository

RULES = "".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))


# Snakemake, which tells when it means to look for work though no job has ended.
WATCHED = """
from snakemake import cli
from snakemake.scheduling.job_scheduler import JobScheduler
JobScheduler._schedule_reevalutation = lambda self, delay: print("looks again in", delay)
cli.main()
"""


def snakemake(
    folder: Path, *arguments: str, program: tuple[str, str] = ("-m", "snakemake")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, "--cores", "2", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Number of jobs of each rule that a dry run wants to run; empty when nothing is to be done."""
    result = snakemake(folder, "--dry-run", *arguments)
    text = result.stdout + result.stderr
    assert result.returncode == 0, text
    if "Nothing to be done" in text:
        return {}
    table = text.rpartition("Job stats:")[2]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE) if name != "total"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("fresh"))


# What is planned


def jobs_by_plan(experiment: str) -> dict[str, int]:
    """Jobs of each rule, from the plan of an experiment whose data are all scenes with the three roles."""
    wanted = plan(load_experiment(experiment), load_tables())
    captioned = {(job.run, job.stage) for job in wanted.captions}
    return {
        "track_init": 1,
        "scenes": 3,
        "vocabulary": 2,  # the novel role has no train split
        "encoder": 1,
        "features": 3,
        "index": 3,
        "probe": 1,
        "train": len(wanted.trainings),
        "captions": len(captioned),
        "score": 3,
        "tables": 1,
    }


def test_the_default_experiment_trains_every_network_of_the_tables_once(repository):
    jobs = planned(repository)
    assert jobs == jobs_by_plan("scenes") | {"inspect": 2, "claims": 1, "all": 1}
    # V: four rows in both stages, two of them those of II, III, IV and VII; the same two on the secondary role,
    # first stage only; VI: 12 rows of shorter training, VIII: 9 more; the teacher: two stages.
    assert jobs["train"] == 4 * 2 + 2 + 12 + 9 + 2


def test_a_target_by_name_and_another_experiment(repository):
    assert planned(repository, "tables", "--config", "experiment=smoke") == jobs_by_plan("smoke")


def test_the_report_and_the_side_plans_are_made_on_request(repository):
    smoke = ("--config", "experiment=smoke")
    assert planned(repository, "report", *smoke) == jobs_by_plan("smoke") | {"inspect": 2, "claims": 1, "report": 1}
    jobs = planned(repository, "differences", *smoke)
    assert jobs["train"] == len(side_plan("differences", load_experiment("smoke"), {}).plan.trainings)
    assert jobs["differences"] == 1 and not {"tables", "claims", "score", "report", "controls"} & set(jobs)
    controls = planned(repository, "controls", *smoke)
    # Four rows of Table V and six controls, two stages each; the teacher has two stages.
    assert (controls["train"], controls["controls"]) == (2 * (4 + 6) + 2, 1) and "differences" not in controls


def test_every_rule_that_runs_says_what_it_does_and_leaves_a_log():
    rules = re.split(r"^ *rule *(?=\w*:)", RULES, flags=re.MULTILINE)[1:]  # that of the side plans has no name here
    targets = [text.split(":")[0] for text in rules if not re.search(r"\n +output:\n", text)]
    assert (len(rules), targets) == (21, ["studies"])
    for text in (text for text in rules if text.split(":")[0] not in targets):
        for directive in ("log", "conda", "message", "shell"):
            assert re.search(rf"\n +{directive}:\n", text), f"rule {text.split(':')[0]} has no {directive}"
        assert "benchmark:" not in text  # a CPU second a job: the manifests have time and memory


def test_a_study_is_planned_with_what_it_needs_of_the_chain(repository, tmp_path):
    study = yaml.safe_load((REPOSITORY / "experiments/studies/thresholds.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(study | {"name": "mine", "workers": 3, "experiment": "smoke"}))
    each = {"study_init": 2, "study_worker": 3 + 8, "study_export": 2, "study_retrain": 2 * 4, "study_compare": 2}
    data = {"track_init": 1, "scenes": 1, "vocabulary": 1, "encoder": 1, "features": 1, "index": 1}
    jobs = planned(repository, "studies", "--config", f"study={path},losses")
    assert jobs == each | data | {"studies": 1}
    told = snakemake(repository, "--dry-run", "studies", "--config", f"study={path}").stdout
    assert "create the study mine" in told and "train the paper setting of mine with seed 2" in told


def test_a_wrong_study_is_one_line_before_anything_runs(repository):
    result = snakemake(repository, "studies", "--config", "study=treshold")
    assert result.returncode == 2 and "Job stats" not in result.stderr + result.stdout
    told = "rdt: error: experiments/studies: unknown study treshold; did you mean thresholds?"
    assert result.stderr.splitlines()[-1] == told


def test_a_screen_of_planned_jobs_is_no_wall_of_text(repository):
    lines = (repository_plan := snakemake(repository, "--dry-run")).stdout.splitlines()
    assert repository_plan.returncode == 0 and max(map(len, lines)) < 160


def own_experiment(folder: Path, **changes: object) -> Path:
    """A user's file outside the repository, with a space in its path."""
    content = yaml.safe_load((REPOSITORY / "experiments/smoke.yaml").read_text()) | {"name": "mine"} | changes
    path = folder / "my files" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_users_own_file_and_data_root_reach_the_commands(repository, tmp_path):
    path = own_experiment(tmp_path, tables=["VII"])
    arguments = ("--printshellcmds", "--config", f"experiment={path}", "data_root=/some where")
    text = snakemake(repository, "--dry-run", *arguments).stdout
    commands = re.findall(r"python -m rdt .*", text)
    assert len(commands) == sum(planned(repository, *arguments).values()) - 1  # but rule all
    for command in commands:
        assert f"'{path}' --data-root '/some where'" in command
    assert "reports/mine/tables/table_VII.csv" in snakemake(repository, "--summary", *arguments[1:]).stdout


def test_processes_that_train_together_are_started_by_torchrun(repository, tmp_path):
    training = yaml.safe_load((REPOSITORY / "experiments/smoke.yaml").read_text())["training"]
    path = own_experiment(tmp_path, training=training | {"processes": 2}, tables=["VII"])
    text = snakemake(repository, "--dry-run", "--printshellcmds", "--config", f"experiment={path}").stdout
    started = re.findall(r"python -m (.*)rdt (\w+) '", text)
    assert {how for how, stage in started if stage != "train"} == {""}
    together = "torch.distributed.run --standalone --nproc_per_node=2 -m -- "
    assert {how for how, stage in started if stage == "train"} == {together}


def test_a_job_runs_on_a_users_data(tmp_path):
    """Two images with five captions each: 'a', 'cat', 'sat' and 'dog' occur five times, 'ran' once.

    Snakemake waits for the job's end, and looks for no work before.
    """
    folder = copy_repository(tmp_path / "copy")
    sentences = ["a cat sat"] * 4 + ["a cat ran"], ["a dog sat"] * 4 + ["a dog sat"]
    images = [
        {"filename": f"{i}.jpg", "imgid": i, "split": split, "sentences": [as_sentence(text) for text in texts]}
        for i, (split, texts) in enumerate(zip(("train", "train", "val", "test"), sentences * 2, strict=True))
    ]
    (tmp_path / "data/images").mkdir(parents=True)
    (tmp_path / "data/captions.json").write_text(json.dumps({"dataset": "pets", "images": images}))
    primary = {"source": "karpathy", "annotations": "captions.json", "images": "images"}
    path = own_experiment(tmp_path, data={"primary": primary}, tables=["VI"], override={"min_count": 2})
    result = snakemake(
        folder,
        "results/mine/vocabulary/primary.json",
        *("--config", f"experiment={path}", f"data_root={tmp_path / 'data'}"),
        program=("-c", WATCHED),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "looks again" not in result.stdout
    assert "vocabulary of primary" in result.stderr + result.stdout and "(100%) done" in result.stderr + result.stdout
    words = json.loads((folder / "results/mine/vocabulary/primary.json").read_text())["words"]
    assert {"a", "cat", "dog", "sat"} <= set(words) and "ran" not in words


def as_sentence(text: str) -> dict[str, object]:
    return {"raw": text, "tokens": text.split()}


def test_a_wrong_experiment_is_one_line_before_anything_runs(repository):
    result = snakemake(repository, "--config", "experiment=scenez")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "rdt: error: experiments: unknown experiment scenez; did you mean scenes?"
    assert "Traceback" not in result.stderr and "Job stats" not in result.stderr + result.stdout


def test_an_unknown_config_key_is_one_line_before_anything_is_planned(repository):
    """A misspelt key would leave the default experiment to run, which takes hours."""
    for key, remedy in (
        ("expriment", "did you mean experiment?"),
        ("cores", "choose one of: experiment, data_root, study"),
    ):
        result = snakemake(repository, "--dry-run", "--config", f"{key}=smoke")
        assert result.returncode == 2
        assert result.stderr.splitlines()[-1] == f"rdt: error: --config: unknown key {key}; {remedy}"
        assert "Traceback" not in result.stderr and "Job stats" not in result.stderr + result.stdout


def test_a_run_that_no_plan_has_is_one_line(repository):
    path = "results/smoke/runs/unknown/xe/model.safetensors"
    result = snakemake(repository, path, "--config", "experiment=smoke")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    problem = f"rdt: error: {path}: is nothing that experiment smoke makes; did you mean results/smoke/runs/"
    assert result.stderr.splitlines()[-1].startswith(problem)


# What is planned again


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which ``MINE``, Table V at the size of smoke, seems to be finished."""
    folder = copy_repository(tmp_path_factory.mktemp("finished"))
    own_experiment(folder, tables=["V"])
    summary = snakemake(folder, "--summary", *MINE).stdout.splitlines()
    outputs = [line.split("\t")[0] for line in summary if line.count("\t") > 3][1:]
    assert len(outputs) > 50
    for name in outputs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    touched = snakemake(folder, "--touch", *MINE)
    assert touched.returncode == 0, touched.stderr
    return folder


MINE = ("--config", "experiment=my files/mine.yaml")


def edited(folder: Path, name: str, old: str, new: str) -> dict[str, int]:
    """What is planned while ``old`` in a file reads ``new``."""
    path = folder / name
    original, times = path.read_text(), path.stat()
    assert old in original, f"{name} has no {old!r} any more"
    try:
        path.write_text(original.replace(old, new))
        return planned(folder, *MINE)
    finally:
        path.write_text(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.slow
def test_nothing_is_planned_again_without_a_change(finished):
    assert planned(finished, *MINE) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "unneeded"),
    [
        ("rdt/training/loop.py", {"scenes", "vocabulary"}),  # the encoder is trained by the same loop
        ("rdt/training/rl.py", {"scenes", "vocabulary", "encoder", "features", "index", "probe"}),
        ("rdt/training/batches.py", {"scenes", "vocabulary", "encoder", "features", "index", "probe"}),  # draws t
    ],
)
def test_an_edit_of_the_trainer_trains_again(finished, name, unneeded):
    jobs = edited(finished, name, "import torch\n", "import torch\n\nEDITED = True\n")
    trainings = plan(load_experiment(finished / "my files/mine.yaml"), load_tables()).trainings
    assert jobs["train"] == len(trainings) and jobs["tables"] == 1
    assert not unneeded & set(jobs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "again"),
    [
        ("rdt/tables/formats.py", "COLUMNS = (", "EDITED = True\nCOLUMNS = (", ["tables"]),
        ("rdt/tables/blocks.py", "WIDE = 9", "WIDE = 8", ["tables"]),
        ("rdt/tables/table.md.jinja", "Measured rows:", "Measured:", ["tables"]),
        ("rdt/claims/page.py", "COLUMNS = (", "EDITED = True\nCOLUMNS = (", ["claims"]),
        ("reports/claims.yaml", "tokens: 50,", "tokens: 51,", ["claims"]),
        ("rdt/training/loop.py", "import torch\n", "import torch  # a comment\n", []),
        ("rdt/commands/arguments.py", 'help="id of the run', 'help="name of the run', []),
        ("rdt/model/__init__.py", '"Teacher": "rdt.model.teacher",\n', "", []),
        ("workflow/rules/training.smk", '"train {', '"train now {', []),
        ("my files/mine.yaml", "title: Smoke", "title: Another", []),
    ],
)
def test_what_an_edit_runs_again(finished, name, old, new, again):
    jobs = edited(finished, name, old, new)
    assert sorted(jobs) == sorted([*again, "all"] if again else [])


@pytest.mark.slow
def test_a_setting_of_one_row_trains_that_row_alone(finished):
    """Two rows of Table V have a ranking loss; another weight in one of them is another run: xe and rl."""
    jobs = edited(
        finished, "experiments/tables.yaml", "{row: base + RL, run: {", "{row: base + RL, run: {delta_sen: 0.3, "
    )
    assert (jobs["train"], jobs["captions"], jobs["score"], jobs["tables"]) == (2, 1, 1, 1)
    assert set(jobs) == {"train", "captions", "score", "tables", "claims", "all"}
