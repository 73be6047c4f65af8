"""Records of jobs reach a real MLflow database, all of them, also after the server was away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from rdt import cli
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.tracking import courier
from rdt.tracking.courier import flush_pending
from rdt.tracking.record import DataSet, Place, TrackedJob
from rdt.tracking.spool import append, check_uri, delivered, key, masked, pending, spool_folder
from tests.support import postgres, tiny
from tests.support.repository import REPOSITORY

STEPS, JOBS = 300, 8
# Its last argument is a file: it tells that the job is half done, and the job goes on when it has been removed.
JOB = f"""
import sys, time
from pathlib import Path
from rdt.tracking import courier, record
from rdt.experiment.paths import Paths
record.SAMPLE_EVERY = 0.2
root, name, half = sys.argv[1], sys.argv[2], Path(sys.argv[3])
places = [record.Place(table, name) for table in ("Table II", "Table V")]
with record.TrackedJob(Paths("mini", results_root=Path(root)), name, "xe", code="rdt.files", places=places) as run:
    run.params({{"method": {{"lambda_f": 0.75}}}})
    for step in range({STEPS}):
        run.metrics({{"loss/xe": 1 / (step + 1), "val/CIDEr": step}}, step)
        if step == {STEPS // 2} and half.parent.is_dir():
            half.touch()
            while half.exists():
                time.sleep(0.05)
assert "mlflow" not in sys.modules and "torch" not in sys.modules
"""


EXPERIMENTS = {"Table II": "Comparison", "Table V": "Ablation", "steps": "The others"}


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Paths:
    """An initialised experiment; setting up a database takes seconds, so the tests share it."""
    from rdt.tracking.sender import initialise

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    paths = Paths("mini", results_root=tmp_path_factory.mktemp("tracked") / "results")
    initialise(paths, EXPERIMENTS)
    return paths


@pytest.fixture(autouse=True)
def embedded(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def quiet(database):
    """No sender starts by itself."""
    tiny.without_sending(database.results_root.parent, database.experiment)
    return database


def client(paths: Paths, uri: str | None = None):
    from mlflow import MlflowClient

    return MlflowClient(uri or paths.mlflow_uri)


def runs(mlflow, experiment: str, filter_string: str = ""):
    """The runs of an MLflow experiment."""
    found = mlflow.get_experiment_by_name(f"rdt-mini {experiment}")
    return [] if found is None else mlflow.search_runs([found.experiment_id], filter_string)


def deliver(paths: Paths) -> None:
    """What flush_pending does, in this process: no second import of MLflow."""
    from rdt.tracking.sender import deliver

    deliver(paths)
    assert not pending(paths)


def fetch(paths: Paths, run: TrackedJob):
    return client(paths).get_run(delivered(paths)[run.job])


def test_initialise_makes_an_experiment_for_each_table(database):
    from rdt.files import read_json
    from rdt.tracking.sender import initialise

    record = read_json(database.root / "tracking.json")
    assert record["uri"] == database.mlflow_uri and set(record["experiments"]) == set(EXPERIMENTS)
    experiment = client(database).get_experiment_by_name("rdt-mini Table V")
    assert experiment.experiment_id == record["experiments"]["Table V"]
    assert experiment.tags["mlflow.note.content"] == "Ablation"
    assert experiment.artifact_location == (database.root / "mlartifacts").resolve().as_uri()
    initialise(database, EXPERIMENTS)
    assert read_json(database.root / "tracking.json") == record  # a second call finds everything


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request, tmp_path, monkeypatch):
    """An experiment, and the URI of a store in which there is nothing yet, not even its tables."""
    paths = Paths("mini", results_root=tmp_path / "results")
    if request.param == "sqlite":
        yield paths, paths.mlflow_uri
    else:
        with postgres.server() as uri:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            yield paths, uri


@pytest.mark.slow
def test_eight_jobs_that_write_and_send_at_once_into_a_fresh_store_lose_nothing(fresh):
    paths, uri = fresh
    command = [sys.executable, "-c", JOB, str(paths.results_root)]
    jobs = [subprocess.Popen([*command, f"run{n}", "no/such"], cwd=REPOSITORY) for n in range(JOBS)]
    assert [job.wait(120) for job in jobs] == [0] * JOBS
    assert flush_pending(paths) == 0
    mlflow = client(paths, uri)
    for experiment in ("Table II", "Table V"):
        found = runs(mlflow, experiment)
        assert sorted(run.info.run_name for run in found) == [f"run{n}" for n in range(JOBS)]
        for run in found:
            assert_whole(mlflow, run)


def assert_whole(mlflow, run) -> None:
    """A job's every number has arrived, once."""
    history = mlflow.get_metric_history(run.info.run_id, "loss/xe")
    assert sorted((point.step, point.value) for point in history) == [(n, 1 / (n + 1)) for n in range(STEPS)]
    history = mlflow.get_metric_history(run.info.run_id, "val/CIDEr")
    assert sorted((point.step, point.value) for point in history) == [(n, n) for n in range(STEPS)]
    assert run.info.status == "FINISHED" and run.data.params == {"method.lambda_f": "0.75"}
    memory = mlflow.get_metric_history(run.info.run_id, "system/process_memory_megabytes")
    assert [point.step for point in memory] == list(range(len(memory))) and all(point.value > 5 for point in memory)
    assert 0 <= run.data.metrics["system/cpu_utilization_percentage"] <= 100


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(command: list[str], folder: Path, port: int):
    """A server, from when it answers; in a group of its own, since it has children, which is killed at the end."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        answers = False
        while not answers:  # MLflow takes a second to start, and minutes on a busy machine
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                answers = True
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_server_that_goes_away_in_mid_training_neither_stops_it_nor_loses_anything(tmp_path, monkeypatch):
    port, half = free_port(), tmp_path / "half"
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    paths = Paths("mini", results_root=tmp_path / "results")
    where = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path)]
    server = [sys.executable, "-m", "mlflow", "server", *where, "--port", str(port), "--workers", "1"]
    with serving(server, tmp_path, port):
        job = subprocess.Popen([sys.executable, "-c", JOB, str(paths.results_root), "run", str(half)], cwd=REPOSITORY)
        for _ in range(600):  # until the server has had a part of it
            if half.exists() and runs(client(paths, uri), "Table V"):
                break
            time.sleep(0.1)
    half.unlink()
    assert job.wait(60) == 0
    assert flush_pending(paths) == 1
    with serving(server, tmp_path, port):
        assert flush_pending(paths) == 0
        for experiment in ("Table II", "Table V"):
            (run,) = runs(client(paths, uri), experiment)
            assert_whole(client(paths, uri), run)


@pytest.mark.slow
def test_ui_shows_the_experiment_of_a_file_to_this_machine_alone(database, tmp_path):
    tiny.write(tmp_path, tiny.EXPERIMENT | {"name": "mini"}, "file")
    (tmp_path / "results").symlink_to(database.results_root)
    port = free_port()
    command = [sys.executable, "-m", "rdt", "track", "ui", "file.yaml", "--port", str(port)]
    with serving(command, tmp_path, port) as process:
        search = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=50"
        with urllib.request.urlopen(search, timeout=30) as answer:
            shown = {experiment["name"] for experiment in json.load(answer)["experiments"]}
        assert {f"rdt-mini {name}" for name in EXPERIMENTS} <= shown
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        sockets = [socket for one in tree for socket in one.net_connections("tcp") if socket.status == "LISTEN"]
        assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}


def test_ui_looks_where_the_results_of_the_experiment_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["make", "--no-print-directory", "-n", "ui", "EXPERIMENT=flickr8k:gpu"]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True)
    assert told.stdout.decode().splitlines()[-1] == "python -m rdt track ui flickr8k:gpu"
    assert cli.main(["track", "ui", "flickr8k:gpu"]) == 2
    assert capsys.readouterr().err.startswith("rdt: error: results/flickr8k-gpu/mlflow.db: there is no database")


def test_a_run_has_its_tags_data_and_artifact_in_each_of_its_places(quiet, tmp_path, monkeypatch):
    from rdt.provenance.code import code_digest

    monkeypatch.setenv("RDT_RULE", "train_xe")
    (tmp_path / "curves.csv").write_text("step,loss\n1,2\n")
    places = [Place("Table II", "RDT", {"row": "RDT"}), Place("Table V", "full", {"row": "full"})]
    with TrackedJob(
        quiet, "rdt-s7", "rl", code="rdt.files", seed=7, role="secondary", places=places, tags={"cascade": "1"}
    ) as run:
        run.metrics({"val/B@4": 0.25}, 3)
        run.tag("note", "best")
        run.data_set(DataSet("COCO (primary) features", "data/x", "abc123", "train", {"train": 5}))
        run.artifact(tmp_path / "curves.csv", "curves")
        assert run.mlflow_run_id is None
    deliver(quiet)
    common = {
        "run": "rdt-s7",
        "stage": "rl",
        "seed": "7",
        "role": "secondary",
        "cascade": "1",
        "code": code_digest("rdt.files"),
        "snakemake.rule": "train_xe",
        "note": "best",
    }
    for place in places:
        (stored,) = runs(client(quiet), place.experiment, "tags.run = 'rdt-s7'")
        assert stored.info.run_name == place.name
        assert (common | place.tags).items() <= stored.data.tags.items()
        assert stored.data.metrics["val/B-4"] == 0.25  # MLflow allows no @ in a name
        (data,) = stored.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("COCO (primary) features", "abc123")
        assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "train")]
        copied = client(quiet).download_artifacts(stored.info.run_id, "curves/curves.csv", str(tmp_path))
        assert Path(copied).read_text() == "step,loss\n1,2\n"
        if place is places[0]:
            assert run.mlflow_run_id == stored.info.run_id


def test_a_part_of_a_job_is_added_to_the_run_of_that_job(quiet):
    place = Place("Table II", "with parts")
    with TrackedJob(quiet, "net", "train-xe", code="rdt.files", places=[place]) as training:
        training.metrics({"loss/xe": 2}, 0)
    deliver(quiet)
    ended = fetch(quiet, training).info.end_time
    with (
        pytest.raises(ValueError),
        TrackedJob(
            quiet, "net", "captions-xe", code="rdt.experiment.plan", places=[place], part_of=key("net", "train-xe")
        ) as captions,
    ):
        captions.metrics({"test/C": 55}, 0)
        raise ValueError
    deliver(quiet)
    (stored,) = runs(client(quiet), "Table II", "tags.run = 'net'")
    assert captions.mlflow_run_id == training.mlflow_run_id == stored.info.run_id
    assert (stored.data.metrics["loss/xe"], stored.data.metrics["test/C"]) == (2, 55)
    assert (stored.info.status, stored.info.end_time) == ("FINISHED", ended)
    assert stored.data.tags["stage"] == "train-xe" and stored.data.tags["rdt.job"] == training.job


def test_trials_are_nested_under_their_study_whichever_comes_first(quiet):
    for name in ("early", "late"):
        jobs = [
            TrackedJob(quiet, name, "study", code="rdt.files", places=[Place("studies", name, {"sampler": "TPE"})]),
            TrackedJob(
                quiet, name, "trial-1", code="rdt.files", places=[Place("studies", "trial 1", {}, key(name, "study"))]
            ),
        ]
        for job in jobs if name == "early" else jobs[::-1]:
            job.close()
            deliver(quiet)
        (trial,) = runs(client(quiet), "studies", f"tags.run = '{name}' and tags.stage = 'trial-1'")
        parent = client(quiet).get_run(trial.data.tags["mlflow.parentRunId"])
        assert parent.data.tags["rdt.key"] == f"{name} study"
        assert parent.data.tags["sampler"] == "TPE" and parent.info.run_name == name


def test_the_alias_goes_to_the_model_with_the_highest_score(quiet, tmp_path):
    weights = tmp_path / "model.safetensors"
    for at, score in enumerate([50.0, 40.0, 60.5]):
        weights.write_text(f"weights {at}")
        with TrackedJob(quiet, f"net{at}", "train-xe", code="rdt.files", places=[Place("Table II", f"net{at}")]) as run:
            run.model([weights], "best-xe", score)
        deliver(quiet)
    best = client(quiet).get_model_version_by_alias("rdt-mini", "best-xe")
    assert best.run_id == run.mlflow_run_id and float(best.tags["score"]) == 60.5
    assert len(client(quiet).search_model_versions("name = 'rdt-mini'")) == 2  # the middle one was never the best
    copied = client(quiet).download_artifacts(best.run_id, "model/model.safetensors", str(tmp_path / "."))
    assert Path(copied).read_text() == "weights 2"


def test_a_failed_job_is_marked_and_a_second_attempt_is_another_run(quiet):
    with pytest.raises(ValueError), TrackedJob(quiet, "again", "xe", code="rdt.files") as first:
        raise ValueError
    with TrackedJob(quiet, "again", "xe", code="rdt.files") as second:
        second.metrics({"a": 1}, 0)
    deliver(quiet)
    assert first.job != second.job
    assert (fetch(quiet, first).info.status, fetch(quiet, second).info.status) == ("FAILED", "FINISHED")


def killed_job(paths: Paths, run: str) -> None:
    """A job that recorded steps 0 to 4 and was killed in the middle of a line."""
    code = f"""
import os
from pathlib import Path
from rdt.experiment.paths import Paths
from rdt.tracking.record import TrackedJob
run = TrackedJob(Paths("mini", results_root=Path({str(paths.results_root)!r})), {run!r}, "xe", code="rdt.files")
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
        from rdt.tracking import sender

        sender.deliver(quiet)
    with TrackedJob(quiet, name, "xe", code="rdt.files", resume=True) as run:
        run.params({"lr": 0.1, "ema": 0.9})
        for step in range(3, 8):  # its checkpoint was from step 3
            run.metrics({"loss/xe": step}, step)
    deliver(quiet)
    stored = fetch(quiet, run)
    history = client(quiet).get_metric_history(stored.info.run_id, "loss/xe")
    assert sorted((point.step, point.value) for point in history) == [(n, n) for n in range(8)]
    assert stored.info.status == "FINISHED" and stored.data.params == {"lr": "0.1", "ema": "0.9"}
    assert len(runs(client(quiet), "steps", f"tags.run = '{name}'")) == 1


def test_a_killed_job_that_starts_anew_leaves_a_run_marked_killed(quiet):
    killed_job(quiet, "anew")
    with TrackedJob(quiet, "anew", "xe", code="rdt.files") as run:
        run.metrics({"loss/xe": 9}, 0)
    deliver(quiet)
    found = runs(client(quiet), "steps", "tags.run = 'anew'")
    assert sorted(stored.info.status for stored in found) == ["FINISHED", "KILLED"]
    assert fetch(quiet, run).data.metrics["loss/xe"] == 9


def test_records_wait_while_the_server_is_away_and_are_sent_later(quiet, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    with TrackedJob(quiet, "patient", "xe", code="rdt.files") as run:
        run.metrics({"a": 1}, 0)
    begin = time.time()
    assert flush_pending(quiet) == 1 and time.time() - begin < 60
    warning = capsys.readouterr().err
    assert warning.startswith("rdt: warning: tracking: ") and warning.count("\n") == 1
    assert "are sent next time" in warning and len(pending(quiet)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert flush_pending(quiet) == 0
    assert fetch(quiet, run).data.metrics["a"] == 1


class Clock:
    """Time that passes only while somebody sleeps; what happens at a time is done when it has come."""

    def __init__(self, events):
        self.now, self.events = 0.0, dict(events)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.events if at <= self.now]:
            self.events.pop(at)()


@pytest.fixture
def attended(tmp_path, monkeypatch):
    """Function that lets a courier attend to a folder with one record, and gives the times of its deliveries."""
    paths = Paths("mini", results_root=tmp_path)
    spool = spool_folder(paths) / f"a+xe+primary.{'0' * 32}.jsonl"
    append(spool, {})

    def attend(events, at_delivery=lambda now: None) -> list[float]:
        clock, deliveries = Clock(events), []

        def deliver_once(_) -> int:
            deliveries.append(clock.now)
            at_delivery(clock.now)
            return 0

        monkeypatch.setattr(courier, "time", clock)
        monkeypatch.setattr(courier, "deliver_once", deliver_once)
        monkeypatch.setattr(courier, "HANDOVER", 0)
        courier.stay(paths)
        assert not (spool.parent / courier.AT_WORK).exists()
        return deliveries

    return paths, spool, attend


def test_one_courier_stays_until_five_minutes_brought_no_record(attended):
    """The last record is written at 130 s and seen at 180 s: the courier ends at 480 s. Another leaves at once."""
    paths, spool, attend = attended
    events = {130: lambda: os.utime(spool, (1, 1)), 200: lambda: courier.stay(paths)}
    assert attend(events) == [0, 60, 120, 180, 240, 300, 360, 420, 480]


def test_a_record_that_comes_while_the_courier_is_about_to_end_keeps_it(attended):
    paths, spool, attend = attended
    assert attend({}, lambda now: os.utime(spool, (2, 2)) if now == 300 else None)[-1] == 660


def test_a_courier_that_is_asked_to_end_delivers_first_and_no_job_starts_another_beside_it(attended, monkeypatch):
    """The job of another store is who asks here; one of the same store, and one that sees no stamp, do not."""
    paths, spool, attend = attended
    started = []
    monkeypatch.setattr(courier.subprocess, "Popen", lambda command, **_: started.append(command))

    def job(uri: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(courier, "time", time)
            patch.setenv("MLFLOW_TRACKING_URI", uri) if uri else None
            courier.call_if_away(paths)

    assert attend({10: lambda: job(""), 30: lambda: job("http://elsewhere")}) == [0, 30]
    assert not started
    job("")
    job("")
    assert len(started) == 1


@pytest.mark.slow
def test_a_courier_that_was_killed_in_mid_training_leaves_the_rest_to_the_next(tmp_path):
    """One was at work for two jobs; after its end each record is there once."""
    paths, half = Paths("mini", results_root=tmp_path / "results"), tmp_path / "half"
    command = [sys.executable, "-c", JOB, str(paths.results_root)]
    job = subprocess.Popen([*command, "run", str(half)], cwd=REPOSITORY)
    for _ in range(600):
        if (
            half.exists()
            and Path(paths.mlflow_uri.removeprefix("sqlite:///")).exists()
            and runs(client(paths), "Table V")
        ):
            break
        time.sleep(0.1)
    assert subprocess.run([*command, "other", "no/such"], cwd=REPOSITORY).returncode == 0
    ours = [one for one in psutil.process_iter() if {courier.__name__, str(paths.results_root)} <= set(one.cmdline())]
    assert len(ours) == 1
    ours[0].kill()
    half.unlink()
    assert job.wait(60) == 0
    assert flush_pending(paths) == 0
    for experiment in ("Table II", "Table V"):
        for run in runs(client(paths), experiment):
            assert_whole(client(paths), run)
        assert len(runs(client(paths), experiment)) == 2


def test_a_run_that_was_deleted_is_made_again(quiet):
    from rdt.tracking import sender

    run = TrackedJob(quiet, "gone", "xe", code="rdt.files")
    run.metrics({"a": 1}, 0)
    deliver(quiet)
    (state,) = [file for file in spool_folder(quiet).glob(f"gone*{run.job}.json")]
    state.write_text(state.read_text().replace(run.mlflow_run_id, "0" * 32))
    run.metrics({"a": 2}, 1)
    run.close()
    sender.deliver(quiet)
    assert run.mlflow_run_id is None
    deliver(quiet)
    assert [point.value for point in client(quiet).get_metric_history(run.mlflow_run_id, "a")] == [1, 2]


def test_a_damaged_file_does_not_keep_the_records_of_other_jobs_back(quiet, capsys):
    from rdt.tracking import sender

    damaged = spool_folder(quiet) / f"old+xe+primary.{'0' * 32}.jsonl"
    damaged.write_text('{"start": "of another version"}\n')
    with TrackedJob(quiet, "whole", "xe", code="rdt.files") as run:
        run.metrics({"a": 1}, 0)
    sender.deliver(quiet)
    assert fetch(quiet, run).data.metrics["a"] == 1
    assert f"{damaged.name} is damaged" in capsys.readouterr().err
    damaged.unlink()


def test_a_disk_that_refuses_costs_a_warning_and_not_the_job(tmp_path, capsys):
    paths = Paths("mini", results_root=tmp_path)
    paths.root.mkdir()
    spool_folder(paths).write_text("a file where the folder should be")
    with TrackedJob(paths, "a", "xe", code="rdt.files") as run:
        run.metrics({"a": 1}, 0)
        run.metrics({"a": 2}, 1)
    assert capsys.readouterr().err.count("records of this job are lost") == 1


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("sqlite://x.db", "sqlite://x.db has two slashes, where a file of SQLite has three; write sqlite:///x.db"),
        (
            "./mlruns",
            "./mlruns is a folder, in which MLflow keeps no new runs; name a database",
        ),
        (
            "file:///tmp/mlruns",
            "is a folder, in which MLflow keeps no new runs; name a database",
        ),
        (
            "postgresql://rdt:se@cret@host/db",
            "the password in postgresql://rdt:***@host/db holds an @ or a /",
        ),
        ("http://rdt:se/cret@host:5000", "the password in http://rdt:***@host:5000 holds an @ or a /"),
    ],
)
def test_a_store_that_mlflow_would_take_for_another(uri, told):
    with pytest.raises(UserError) as caught:
        check_uri(uri)
    assert told in str(caught.value) and "se@" not in str(caught.value) and "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///results/a/mlflow.db",
        "sqlite:////tmp/a.db",
        "http://host:5000/a",
        "https://rdt:secret@host/a/b",
        "postgresql://rdt@/x?host=/tmp/a:b@c",
        "databricks://profile",
    ],
)
def test_stores_that_are_what_they_say(uri):
    check_uri(uri)


def test_a_password_with_signs_in_it_is_masked():
    assert masked("postgresql://rdt:se@cret@host/db") == "postgresql://rdt:***@host/db"
    assert masked("http://rdt:se/cret@host:5000") == "http://rdt:***@host:5000"


def test_a_password_is_neither_shown_nor_written_down():
    assert masked("postgresql+psycopg2://ann:se:cret@db:5432/x") == "postgresql+psycopg2://ann:***@db:5432/x"
    for uri in ("sqlite:///results/a/mlflow.db", "http://host:5000", "postgresql://rdt@/x?host=/tmp/a:b@c"):
        assert masked(uri) == uri
