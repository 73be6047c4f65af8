"""Studies with real trainings: workers at once, one of them killed, and what comes out."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.files import read_json
from rdt.metrics.diversity import distinct_n
from tests.support import studies, tiny
from tests.support.repository import REPOSITORY

ASHA = {"name": "asha", "min_epochs": 1, "reduction": 2}


def trials_of(folder: Path) -> list[FrozenTrial]:
    journal = folder / "results/tiny/studies/mini/journal.log"
    return optuna.load_study(study_name="tiny/mini", storage=JournalStorage(JournalFileBackend(str(journal)))).trials


def curve(folder: Path, trial: FrozenTrial) -> list[dict[str, str]]:
    """What the training of a trial recorded, an epoch a line."""
    first = trial.user_attrs["first_attempt"]
    runs = folder / "results/tiny/studies/mini/trials" / f"{first:04d}" / "runs"
    with (runs / trial.user_attrs["run"] / "xe/curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# ---- eight workers, one killed


def start(folder: Path, worker: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rdt", "study-worker", "tiny.yaml", "--study", studies.FILE]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with (folder / f"worker{worker}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--worker", str(worker)], cwd=folder, env=environment, stdout=log, stderr=log
        )


def kill_one(folder: Path, workers: list[subprocess.Popen[bytes]]) -> FrozenTrial:
    """Kill a worker with -9 in the middle of its trial, after an evaluation; returns the trial."""
    while True:
        time.sleep(0.05)
        for trial in trials_of(folder):
            if trial.state == TrialState.RUNNING and trial.intermediate_values:
                worker = workers[trial.user_attrs["worker"]]
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                if trials_of(folder)[trial.number].state in (TrialState.RUNNING, TrialState.FAIL):
                    return trial
                return kill_one(folder, workers)  # it had just ended


@pytest.fixture(scope="module")
def attacked(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FrozenTrial]:
    """A study that eight workers ran, one of which was killed; and the trial that it had."""
    folder = tiny.copied(prepared, tmp_path_factory.mktemp("attacked"))
    training = studies.STUDY["training"] | {"xe_epochs": 8}
    studies.write(folder, trials=10, pruner=ASHA, training=training, sampler={"name": "tpe", "seed": 1})
    assert studies.rdt(folder, "study-init") == 0
    workers = [start(folder, worker) for worker in range(8)]
    try:
        killed = kill_one(folder, workers)
        codes = Counter(worker.wait(timeout=300) for worker in workers)
    finally:
        for worker in workers:
            worker.kill()
    assert codes == {0: 7, -signal.SIGKILL: 1}, (folder / "worker0.log").read_text()
    return folder, killed


@pytest.mark.slow
def test_a_killed_worker_costs_the_study_no_trial(attacked):
    folder, killed = attacked
    trials = trials_of(folder)
    states = Counter(trial.state.name for trial in trials)
    assert states["COMPLETE"] + states["PRUNED"] == 10 and states["FAIL"] == 1
    assert states.total() == 11  # none waits, none runs
    (failed,) = (trial for trial in trials if trial.state == TrialState.FAIL)
    assert failed.number == killed.number
    (again,) = (t for t in trials if t.number != killed.number and t.user_attrs["first_attempt"] == killed.number)
    assert again.params == killed.params and again.user_attrs["worker"] != killed.user_attrs["worker"]
    log = (folder / f"worker{again.user_attrs['worker']}.log").read_text()
    assert "continuing at epoch" in log  # and not from its beginning
    ran = [
        number
        for file in (folder / "results/tiny/studies/mini/workers").iterdir()
        for number in read_json(file)["trials"]
    ]
    assert len(ran) == len(set(ran)) and len(list((folder / "results/tiny/studies/mini/workers").iterdir())) == 7


@pytest.mark.slow
def test_a_trial_says_what_its_training_recorded(attacked):
    """Pruned ones trained less; every epoch's val CIDEr was reported; the paper's setting came first."""
    folder, _ = attacked
    trials = [trial for trial in trials_of(folder) if trial.state != TrialState.FAIL]
    first = min(trials, key=lambda trial: trial.user_attrs["first_attempt"])
    assert first.params == {"delta_tim": 0.12, "delta_sen": 0.15}
    for trial in trials:
        records = curve(folder, trial)
        assert len(records) == trial.user_attrs["epochs"]
        assert (len(records) < 8) == (trial.state == TrialState.PRUNED)
        scores = [float(record["val/CIDEr"]) for record in records]
        assert list(trial.intermediate_values.values()) == scores and trial.last_step == len(records)
        assert trial.value == (max(scores) if trial.state == TrialState.COMPLETE else scores[-1])


@pytest.mark.slow
def test_a_finished_study_is_not_touched_and_a_longer_one_goes_on(attacked, capsys):
    folder, _ = attacked
    journal = folder / "results/tiny/studies/mini/journal.log"
    before = journal.read_bytes()
    assert studies.rdt(folder, "study-init") == studies.rdt(folder, "study-worker", "--worker", "8") == 0
    assert journal.read_bytes() == before
    training = studies.STUDY["training"] | {"xe_epochs": 8}
    studies.write(folder, trials=11, pruner=ASHA, training=training, sampler={"name": "tpe", "seed": 1})
    assert studies.rdt(folder, "study-init") == studies.rdt(folder, "study-worker", "--worker", "8") == 0
    assert journal.read_bytes().startswith(before) and len(trials_of(folder)) == 12


# ---- what comes out


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two objectives, all of its commands run; on this budget its parameters matter."""
    folder = tiny.copied(prepared, tmp_path_factory.mktemp("finished"))
    parameters = {"lambda_xe": {"low": 0.01, "high": 10, "log": True}, "label_smoothing": {"low": 0, "high": 0.6}}
    training = {"xe_epochs": 24, "evaluate_every": 8, "evaluate_steps": 2, "lr": 0.01}
    studies.write(folder, parameters=parameters, objectives=["CIDEr", "D@3"], training=training)
    for command in ("study-init", "study-worker", "study-export"):
        assert studies.rdt(folder, command) == 0
    for setting in ("best", "paper"):
        for seed in ("1", "2"):
            assert studies.rdt(folder, "study-retrain", "--setting", setting, "--seed", seed) == 0
    assert studies.rdt(folder, "study-compare") == 0
    return folder


def test_the_table_of_trials(finished):
    with (finished / "reports/tiny/studies/mini/trials.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    trials = trials_of(finished)
    assert [record["state"] for record in records] == ["complete"] * 3 and records[0]["lambda_xe"] == "1.0"
    for record, trial in zip(records, trials, strict=True):
        assert [float(record["CIDEr"]), float(record["D@3"])] == trial.values
        assert float(record["lambda_xe"]) == trial.params["lambda_xe"] and record["epochs"] == "24"
        evaluated = [epoch for epoch in curve(finished, trial) if epoch["val/CIDEr"]]
        assert [int(float(epoch["epoch"])) for epoch in evaluated] == [7, 15, 23]
        best = max(evaluated, key=lambda epoch: float(epoch["val/CIDEr"]))  # the first of equal ones
        assert trial.values == [float(best["val/CIDEr"]), float(best["val/D@3"])]
    beaten = [
        any(a > b and c >= d or a >= b and c > d for (a, c) in others(trials, t) for b, d in [t.values]) for t in trials
    ]
    assert [record["best"] for record in records] == [str(int(not one)) for one in beaten]


def others(trials: list[FrozenTrial], trial: FrozenTrial) -> list[list[float]]:
    return [other.values for other in trials if other is not trial]


def best_of(folder: Path) -> FrozenTrial:
    """The trial with the highest CIDEr, the first of equal ones."""
    return max(trials_of(folder), key=lambda trial: (trial.values[0], -trial.number))


def test_the_best_setting_is_an_experiment_file_as_it_is(finished):
    with tiny.inside(finished):
        best = load_experiment("reports/tiny/studies/mini/best.yaml")
        base = load_experiment("tiny.yaml")
    top = best_of(finished)
    assert {name: getattr(best.method, name) for name in top.params} == top.params
    assert best.name == "tiny-mini" and (best.training, best.data, best.seeds) == (base.training, base.data, base.seeds)


def test_plots_are_whole_pictures(finished):
    from PIL import Image

    for name in ("history", "importance", "space", "front"):
        with Image.open(finished / f"reports/tiny/studies/mini/{name}.png") as picture:
            assert len(picture.convert("RGB").getcolors(10**6)) > 20 and min(picture.size) > 200


def test_the_comparison_is_of_both_settings_on_test(finished):
    document = read_json(finished / "reports/tiny/studies/mini/comparison.json")
    paper = {"lambda_xe": 1, "label_smoothing": 0.1}
    assert document["settings"] == {"best": best_of(finished).params, "paper": paper}
    values: dict[str, list[tuple[float, float]]] = {}
    for setting in ("best", "paper"):
        folder = finished / "results/tiny/studies/mini/compared" / setting
        paths = Paths("tiny", apart=folder)
        for seed in (1, 2):
            run = read_json(folder.parent / f"{setting}-s{seed}.json")["run"]
            config = read_json(paths.stage(run, "xe") / "config.json")
            assert config["method"]["lambda_xe"] == document["settings"][setting]["lambda_xe"]
            scores = read_json(paths.scores(run, "xe", "primary", "test"))
            draws = [read_json(paths.captions(run, "xe", "primary", "test", draw)) for draw in range(5)]
            dist = np.mean([distinct_n([record["caption"] for record in draw], 3) for draw in draws])
            assert scores["seed"] == seed and scores["n"] == 6
            values.setdefault(setting, []).append((scores["scopes"]["c5"]["metrics"]["C"], dist))
    means = {setting: np.mean(of, axis=0) for setting, of in values.items()}
    for at, metric in enumerate(("C", "D@3")):
        assert document["scores"]["best"][metric]["value"] == pytest.approx(means["best"][at])
        same = means["best"][at] == pytest.approx(means["paper"][at])
        assert same == (best_of(finished).number == 0)  # the paper's setting is the first trial
        found = document["difference"][metric]
        assert found["value"] == pytest.approx(means["best"][at] - means["paper"][at])
        assert found["low"] <= found["value"] <= found["high"] and found["seeds"] == 2
    assert not list((finished / "results/tiny").glob("captions/*")) and not list(
        (finished / "results/tiny").glob("runs/*")
    )


def test_the_page_tells_what_was_found(finished):
    page = (finished / "reports/tiny/studies/mini/README.md").read_text()
    document = read_json(finished / "reports/tiny/studies/mini/comparison.json")
    assert "trials of at most 24 epochs (3 completed), proposed by chance (seed 3)." in page
    cider = document["difference"]["C"]
    assert f"{cider['value']:+.1f} [{cider['low']:+.1f}, {cider['high']:+.1f}] |" in page.replace("-0.0", "+0.0")
    assert "| Dist-3 |" in page and "![front](front.png)" in page
    verdict = "holds 0" if cider["low"] <= 0 <= cider["high"] else "leaves 0 out"
    assert f"The interval of CIDEr {verdict}" in page and "the the" not in page


def test_trials_are_nested_under_their_study_in_mlflow(finished):
    import mlflow

    uri = f"sqlite:///{finished}/mlflow.db"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "rdt", "track", "flush", "tiny.yaml"]
    sent = subprocess.run(command, cwd=finished, env=environment, capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    client = mlflow.MlflowClient(uri)
    (experiment,) = (e for e in client.search_experiments() if e.name.endswith("studies"))
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    parent = runs["Thresholds, small"]
    networks = {f"trial {n}" for n in range(3)} | {f"{s}, seed {n}" for s in ("best", "paper") for n in (1, 2)}
    assert set(runs) == networks | {"Thresholds, small"}
    for name in networks:
        assert runs[name].data.tags["mlflow.parentRunId"] == parent.info.run_id and runs[name].info.status == "FINISHED"
        assert "val/CIDEr" in runs[name].data.metrics
    assert runs["trial 0"].data.tags["label_smoothing"] == "0.1"
    assert "test/difference/C" in parent.data.metrics
