"""Records of jobs reach a real MLflow database, all of them, also after the server was away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdt.paths import Paths
from rdt.tracking import Run, delivered, flush_pending, pending, spool_folder

REPOSITORY = Path(__file__).parents[1]
JOB = """
import sys
from pathlib import Path
from rdt import tracking
from rdt.paths import Paths
tracking.SEND_EVERY = float(sys.argv[4])
paths = Paths("mini", results_root=Path(sys.argv[1]))
with tracking.Run(paths, sys.argv[2], "xe", code="rdt.io", seed=int(sys.argv[3]), tables=["V", "II"]) as run:
    run.params({"method": {"lambda_f": 0.75}, "seed": int(sys.argv[3])})
    for step in range(300):
        run.metrics({"loss/xe": 1 / (step + 1), "val/CIDEr": step}, step)
assert "mlflow" not in sys.modules and "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Paths:
    """An initialised experiment; setting up a database takes seconds, so the tests share it."""
    from rdt.tracking_sender import initialise

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    paths = Paths("mini", results_root=tmp_path_factory.mktemp("results"))
    initialise(paths, ["II", "V"])
    return paths


@pytest.fixture(autouse=True)
def embedded(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def quiet(database):
    """No sender starts by itself: one has just run."""
    spool_folder(database).mkdir(exist_ok=True)
    (spool_folder(database) / ".sent").touch()
    return database


def client(paths: Paths):
    from mlflow import MlflowClient

    return MlflowClient(paths.mlflow_uri)


def deliver(paths: Paths) -> None:
    """What flush_pending does, in this process: no second import of MLflow."""
    from rdt.tracking_sender import deliver

    deliver(paths, wait=True)
    assert not pending(paths)


def fetch(paths: Paths, run: Run):
    return client(paths).get_run(delivered(paths)[run.job])


def test_initialise_makes_the_experiment_and_a_parent_for_each_table(database):
    from rdt.io import read_json
    from rdt.tracking_sender import initialise

    record = read_json(database.root / "tracking.json")
    assert record["experiment"] == "rdt-mini" and set(record["parents"]) == {"II", "V"}
    experiment = client(database).get_experiment_by_name("rdt-mini")
    assert experiment.artifact_location == (database.root / "mlartifacts").resolve().as_uri()
    parent = client(database).get_run(record["parents"]["II"])
    assert parent.data.tags["rdt.table"] == "II" and parent.info.run_name == "Table II"
    initialise(database, ["II", "V"])
    assert read_json(database.root / "tracking.json") == record  # a second call finds everything


@pytest.mark.slow
def test_four_processes_that_write_and_send_at_once_lose_nothing(database):
    arguments = [str(database.results_root)]
    jobs = [
        subprocess.Popen([sys.executable, "-c", JOB, *arguments, f"run{n}", str(n), "0"], cwd=REPOSITORY)
        for n in range(4)
    ]
    assert [job.wait(120) for job in jobs] == [0, 0, 0, 0]
    assert flush_pending(database) == 0
    mlflow = client(database)
    experiment = mlflow.get_experiment_by_name("rdt-mini")
    runs = mlflow.search_runs([experiment.experiment_id], "tags.`rdt.stage` = 'xe'")
    assert sorted(run.data.tags["rdt.run"] for run in runs) == ["run0", "run1", "run2", "run3"]
    for run in runs:
        history = mlflow.get_metric_history(run.info.run_id, "loss/xe")
        assert sorted((point.step, point.value) for point in history) == [(n, 1 / (n + 1)) for n in range(300)]
        assert len(mlflow.get_metric_history(run.info.run_id, "val/CIDEr")) == 300
        assert run.info.status == "FINISHED" and run.data.params["method.lambda_f"] == "0.75"


def test_a_run_has_its_tags_artifact_and_the_first_table_as_parent(quiet, tmp_path, monkeypatch):
    from rdt.io import read_json
    from rdt.provenance import code_digest

    monkeypatch.setenv("RDT_RULE", "train_xe")
    (tmp_path / "curves.csv").write_text("step,loss\n1,2\n")
    with Run(quiet, "rdt-s7", "rl", code="rdt.io", seed=7, role="secondary", tables=["V", "II"]) as run:
        run.metrics({"val/B@4": 0.25}, 3)
        run.tag("note", "best")
        run.artifact(tmp_path / "curves.csv", "curves")
        assert run.mlflow_run_id is None
    deliver(quiet)
    stored = fetch(quiet, run)
    assert run.mlflow_run_id == stored.info.run_id and stored.info.run_name == "rdt-s7 rl"
    expected = {
        "rdt.run": "rdt-s7",
        "rdt.stage": "rl",
        "rdt.seed": "7",
        "rdt.role": "secondary",
        "rdt.tables": "II,V",
        "rdt.code": code_digest("rdt.io"),
        "snakemake.rule": "train_xe",
        "note": "best",
        "mlflow.parentRunId": read_json(quiet.root / "tracking.json")["parents"]["II"],
    }
    assert expected.items() <= stored.data.tags.items()
    assert stored.data.metrics == {"val/B-4": 0.25}  # MLflow allows no @ in a name
    copied = client(quiet).download_artifacts(stored.info.run_id, "curves/curves.csv", str(tmp_path))
    assert Path(copied).read_text() == "step,loss\n1,2\n"


def test_a_failed_job_is_marked_and_a_second_attempt_is_another_run(quiet):
    with pytest.raises(ValueError), Run(quiet, "again", "xe", code="rdt.io") as first:
        raise ValueError
    with Run(quiet, "again", "xe", code="rdt.io") as second:
        second.metrics({"a": 1}, 0)
    deliver(quiet)
    assert first.job != second.job
    assert (fetch(quiet, first).info.status, fetch(quiet, second).info.status) == ("FAILED", "FINISHED")


def killed_job(paths: Paths, run: str) -> None:
    """A job that recorded steps 0 to 4 and was killed in the middle of a line."""
    code = f"""
import os
from pathlib import Path
from rdt.paths import Paths
from rdt.tracking import Run
run = Run(Paths("mini", results_root=Path({str(paths.results_root)!r})), {run!r}, "xe", code="rdt.io")
run.params({{"lr": 0.1}})
for step in range(5):
    run.metrics({{"loss/xe": step}}, step)
with run._spool.open("a") as file:
    file.write('{{"metrics": {{"lo')
    file.flush()
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == -signal.SIGKILL


@pytest.mark.parametrize("sent_before", [False, True])
def test_a_resumed_job_continues_its_run_without_doubled_steps(quiet, sent_before):
    name = f"resumed-{sent_before}"
    killed_job(quiet, name)
    if sent_before:
        from rdt import tracking_sender

        tracking_sender.deliver(quiet)
    with Run(quiet, name, "xe", code="rdt.io", resume=True) as run:
        run.params({"lr": 0.1, "ema": 0.9})
        for step in range(3, 8):  # its checkpoint was from step 3
            run.metrics({"loss/xe": step}, step)
    deliver(quiet)
    stored = fetch(quiet, run)
    history = client(quiet).get_metric_history(stored.info.run_id, "loss/xe")
    assert sorted((point.step, point.value) for point in history) == [(n, n) for n in range(8)]
    assert stored.info.status == "FINISHED" and stored.data.params == {"lr": "0.1", "ema": "0.9"}
    experiment = client(quiet).get_experiment_by_name("rdt-mini")
    assert len(client(quiet).search_runs([experiment.experiment_id], f"tags.`rdt.run` = '{name}'")) == 1


def test_a_killed_job_that_starts_anew_leaves_a_run_marked_killed(quiet):
    killed_job(quiet, "anew")
    with Run(quiet, "anew", "xe", code="rdt.io") as run:
        run.metrics({"loss/xe": 9}, 0)
    deliver(quiet)
    experiment = client(quiet).get_experiment_by_name("rdt-mini")
    runs = client(quiet).search_runs([experiment.experiment_id], "tags.`rdt.run` = 'anew'")
    assert sorted(stored.info.status for stored in runs) == ["FINISHED", "KILLED"]
    assert fetch(quiet, run).data.metrics == {"loss/xe": 9}


def test_records_wait_while_the_server_is_away_and_are_sent_later(quiet, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    with Run(quiet, "patient", "xe", code="rdt.io") as run:
        run.metrics({"a": 1}, 0)
    begin = time.time()
    assert flush_pending(quiet) == 1 and time.time() - begin < 60
    warning = capsys.readouterr().err
    assert warning.startswith("rdt: warning: tracking: ") and warning.count("\n") == 1
    assert "are sent next time" in warning and len(pending(quiet)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert flush_pending(quiet) == 0
    assert fetch(quiet, run).data.metrics == {"a": 1}


def test_a_run_that_was_deleted_is_made_again(quiet):
    from rdt import tracking_sender

    run = Run(quiet, "gone", "xe", code="rdt.io")
    run.metrics({"a": 1}, 0)
    deliver(quiet)
    (state,) = [file for file in spool_folder(quiet).glob(f"gone*{run.job}.json")]
    state.write_text(state.read_text().replace(run.mlflow_run_id, "0" * 32))
    run.metrics({"a": 2}, 1)
    run.close()
    tracking_sender.deliver(quiet)
    assert run.mlflow_run_id is None
    deliver(quiet)
    assert [point.value for point in client(quiet).get_metric_history(run.mlflow_run_id, "a")] == [1, 2]


def test_a_disk_that_refuses_costs_a_warning_and_not_the_job(tmp_path, capsys):
    paths = Paths("mini", results_root=tmp_path)
    paths.root.mkdir()
    spool_folder(paths).write_text("a file where the folder should be")
    with Run(paths, "a", "xe", code="rdt.io") as run:
        run.metrics({"a": 1}, 0)
        run.metrics({"a": 2}, 1)
    assert capsys.readouterr().err.count("records of this job are lost") == 1
