"""Delivers the records of :mod:`rdt.tracking` to MLflow; the only module that imports it.

One sender at a time works on an experiment (a lock in its tracking folder), so that a fresh SQLite
database is never set up twice at once. A delivery that is cut off is repeated: MLflow keeps one copy
of a metric with the same step, time and value, and a run is found again by its tag ``rdt.job``.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a job does not wait for a server that is away
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow.db  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH  # noqa: E402

from rdt.io import atomic_write_json  # noqa: E402
from rdt.paths import Paths  # noqa: E402
from rdt.tracking import delivery_state, pending, spool_folder, state_file  # noqa: E402


class Destination:
    """The MLflow experiment ``rdt-<name>``, created with its database if it is not there."""

    def __init__(self, paths: Paths) -> None:
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or paths.mlflow_uri
        embedded = self.uri.startswith("sqlite:")
        if embedded:
            _prepare_database(self.uri)
        self.client = MlflowClient(self.uri)
        self.name = f"rdt-{paths.experiment}"
        experiment = self.client.get_experiment_by_name(self.name)
        if experiment is None:
            # MLflow stores absolute places; a server of one's own decides about its store itself.
            artifacts = (paths.root / "mlartifacts").resolve().as_uri() if embedded else None
            self.experiment_id = self.client.create_experiment(self.name, artifacts)
        else:
            self.experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self.client.restore_experiment(self.experiment_id)
        self.parent = functools.cache(self._parent)

    def _parent(self, table: str) -> str:
        """Id of the run that groups the runs of a table."""
        found = self.find("rdt.table", table)
        if found is None:
            tags = {"rdt.table": table}
            found = self.client.create_run(self.experiment_id, tags=tags, run_name=f"Table {table}").info.run_id
            self.client.set_terminated(found)
        return found

    def find(self, tag: str, value: str) -> str | None:
        """Id of the run with this tag."""
        runs = self.client.search_runs([self.experiment_id], f"tags.`{tag}` = '{value}'", max_results=1)
        return runs[0].info.run_id if runs else None


def _prepare_database(uri: str) -> None:
    """Create or upgrade an SQLite database; a new one gets its name when it is whole, for a half-made one is lost."""
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        mlflow.db.upgrade.callback(uri)
        return
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    mlflow.db.upgrade.callback(f"sqlite:///{partial}")
    partial.replace(path)


def initialise(paths: Paths, tables: Sequence[str]) -> Path:
    """Set up database, experiment and one parent run per table; write ``tracking.json`` with their ids."""
    with _only_sender(paths, wait=True):
        destination = Destination(paths)
        record = {
            "uri": destination.uri,
            "experiment": destination.name,
            "experiment_id": destination.experiment_id,
            "parents": {table: destination.parent(table) for table in tables},
        }
    path = paths.root / "tracking.json"
    atomic_write_json(path, record)
    return path


def deliver(paths: Paths, *, wait: bool = False) -> None:
    """Send the records of all jobs; raises what MLflow raises if it cannot be reached."""
    with _only_sender(paths, wait) as alone:
        if not alone:
            return
        files = pending(paths)
        if files:
            destination = Destination(paths)
            for spool in files:
                _deliver_file(spool, destination)


def _deliver_file(spool: Path, destination: Destination) -> None:
    """Send the whole lines of one file that have not been sent, and note how far that was."""
    state = delivery_state(spool)
    if state["uri"] != destination.uri:
        state = {"mlflow_run_id": None, "uri": destination.uri, "offset": 0}
    with spool.open("rb") as file:
        file.seek(state["offset"])
        lines = file.read().rpartition(b"\n")[0].splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    if not records:
        return
    try:
        if state["mlflow_run_id"] is None:
            state["mlflow_run_id"] = _create_run(records[0], destination)
            atomic_write_json(state_file(spool), state)
        _send(records, state["mlflow_run_id"], destination.client)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # someone deleted the database or the run:
            state_file(spool).unlink(missing_ok=True)  # the next sender makes a new one
            return
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        _warn(f"MLflow refuses records of {spool.name}: {error.message}")  # it would refuse them again
    size = sum(map(len, lines)) + (not lines[-1].endswith(b"\n"))
    atomic_write_json(state_file(spool), state | {"offset": state["offset"] + size})
    if records[-1].get("end") == "FINISHED":
        spool.unlink()  # the state file stays: it says which MLflow run the job became


def _create_run(start: dict[str, Any], destination: Destination) -> str:
    """The run of the record that begins a file; found again if a sender was ended after creating it."""
    found = destination.find("rdt.job", start["tags"]["rdt.job"])
    if found is not None:
        return found
    parent = {"mlflow.parentRunId": destination.parent(start["table"])} if start["table"] else {}
    run = destination.client.create_run(
        destination.experiment_id, start["time"], start["tags"] | parent, run_name=start["start"]
    )
    return run.info.run_id


def _send(records: Sequence[dict[str, Any]], run_id: str, client: MlflowClient) -> None:
    metrics, params, tags = [], [], []
    for record in records:
        values = record.get("metrics", {}).items()
        metrics += [Metric(_name(key), value, record["time"], record["step"]) for key, value in values]
        params += [Param(_name(key), value[:MAX_PARAM_VAL_LENGTH]) for key, value in record.get("params", {}).items()]
        tags += [RunTag(_name(key), value) for key, value in record.get("tags", {}).items()]
    for batch in _batches(metrics, MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch)
    for batch in _batches(params, MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, params=batch)
    for batch in _batches(tags, MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, tags=batch)
    for record in records:
        if "artifact" in record:
            _send_artifact(Path(record["artifact"]), record["folder"], run_id, client)
    last = next((record for record in reversed(records) if "start" in record or "end" in record), None)
    if last is not None and "end" in last:
        client.set_terminated(run_id, last["end"], last["time"])
    elif last is not None:
        client.update_run(run_id, "RUNNING")


def _send_artifact(path: Path, folder: str, run_id: str, client: MlflowClient) -> None:
    if path.is_file():
        client.log_artifact(run_id, str(path), folder or None)
    else:
        _warn(f"{path} is gone, so MLflow does not get it")


def _warn(message: str) -> None:
    print(f"rdt: warning: tracking: {message}", file=sys.stderr)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _name(name: str) -> str:
    """A name with the characters that MLflow allows: ``B@4`` becomes ``B-4``."""
    return "".join(char if char.isalnum() or char in "_-./ :" else "-" for char in name)


@contextmanager
def _only_sender(paths: Paths, wait: bool) -> Iterator[bool]:
    """Whether this process is the one that may send now; the lock ends with the process."""
    folder = spool_folder(paths)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def main(results_root: str, experiment: str, *wait: str) -> int:
    """``python -m rdt.tracking_sender RESULTS EXPERIMENT [--wait]``; one line on stderr if it fails."""
    try:
        deliver(Paths(experiment, results_root=Path(results_root)), wait=bool(wait))
    except Exception as error:
        print(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
