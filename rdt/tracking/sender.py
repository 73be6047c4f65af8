"""Delivers the records of :mod:`rdt.tracking.record` to MLflow; the only module that imports it.

One sender at a time works on an experiment (a lock in its tracking folder), so that a fresh database
is never set up twice at once. A delivery that is cut off is repeated: MLflow keeps one copy of a metric
with the same step, time and value, and a run is found again by its tag ``rdt.job``.

MLflow's experiments are ``rdt-<experiment> Table II`` and so on, ``... steps`` and ``... studies``. A run
that several tables use is in each of them.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a job does not wait for a server that is away
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow.db  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.db.db_types import DATABASE_ENGINES  # noqa: E402
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID  # noqa: E402
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH  # noqa: E402

from rdt.experiment.paths import Paths  # noqa: E402
from rdt.files import atomic_write_json, file_lock  # noqa: E402
from rdt.tracking.spool import delivery_state, masked, pending, spool_folder, state_file, store_uri  # noqa: E402

NOTE = "mlflow.note.content"  # the text that an experiment's page shows
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page asks where this is not said
AWAITED = "rdt.awaited"  # tag of a run that stands for a job whose records have not come yet
MODEL = "model"  # folder of a registered model among the artifacts of its run


class Destination:
    """The MLflow experiments of an experiment, created with their database if they are not there."""

    def __init__(self, paths: Paths) -> None:
        uri = store_uri(paths)
        is_database = uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES
        if is_database:
            _prepare_database(uri)
        # MLflow stores absolute places; a server of one's own decides about its store itself.
        self._artifacts = (paths.root / "mlartifacts").resolve().as_uri() if is_database else None
        self.client = MlflowClient(uri)
        self.uri = masked(uri)  # what is written down
        self.name = f"rdt-{paths.experiment}"
        self.experiment = functools.cache(self._experiment)

    def _experiment(self, name: str) -> str:
        """Id of an MLflow experiment."""
        experiment = self.client.get_experiment_by_name(f"{self.name} {name}")
        if experiment is None:
            return self.client.create_experiment(f"{self.name} {name}", self._artifacts, KIND)
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def find(self, experiment: str, tag: str, value: str) -> str | None:
        """Id of the newest run with this tag."""
        runs = self.client.search_runs([self.experiment(experiment)], f"tags.`{tag}` = '{value}'", max_results=1)
        return runs[0].info.run_id if runs else None

    def run_of(self, place: Mapping[str, Any], start: Mapping[str, Any]) -> str:
        """Id of the run that shows a job in a place; ``start`` is the job's first record.

        A job that is part of another has the other's id.
        """
        experiment, part_of = place["experiment"], start["part_of"]
        if part_of:
            return self._stand_in(experiment, part_of)
        found = self.find(experiment, "rdt.job", start["tags"]["rdt.job"])
        if found is not None:
            return found
        tags = start["tags"] | place["tags"]
        if place["parent"]:
            tags |= {MLFLOW_PARENT_RUN_ID: self._stand_in(experiment, place["parent"])}
        awaited = self.find(experiment, AWAITED, tags["rdt.key"])
        if awaited is None:
            made = self.client.create_run(self.experiment(experiment), start["time"], tags, run_name=place["name"])
            return made.info.run_id
        self.client.log_batch(awaited, tags=[RunTag(name, value) for name, value in tags.items()])
        self.client.update_run(awaited, name=place["name"])
        self.client.delete_tag(awaited, AWAITED)
        return awaited

    def _stand_in(self, experiment: str, key: str) -> str:
        """Id of the newest run with this key; where there is none, one that the job takes over when it comes."""
        found = self.find(experiment, "rdt.key", key)
        if found is None:
            tags = {"rdt.key": key, AWAITED: key}
            found = self.client.create_run(self.experiment(experiment), tags=tags, run_name=key).info.run_id
            self.client.set_terminated(found)
        return found


def _prepare_database(uri: str) -> None:
    """Create or upgrade a database; an SQLite file gets its name when it is whole, for a half-made one is lost."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:") or path.exists():
        mlflow.db.upgrade.callback(uri)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    mlflow.db.upgrade.callback(f"sqlite:///{partial}")
    partial.replace(path)


def initialise(paths: Paths, experiments: Mapping[str, str]) -> Path:
    """Set up the database and MLflow's experiments, each with its note; write ``tracking.json`` with their ids."""
    with _only_sender(paths):
        destination = Destination(paths)
        ids = {name: destination.experiment(name) for name in experiments}
        for name, note in experiments.items():
            destination.client.set_experiment_tag(ids[name], NOTE, note)
        record = {"uri": destination.uri, "experiments": ids}
    path = paths.root / "tracking.json"
    atomic_write_json(path, record)
    return path


def deliver(paths: Paths) -> None:
    """Send the records of all jobs; raises what MLflow raises if it cannot be reached."""
    with _only_sender(paths):
        files = pending(paths)
        if files:
            destination = Destination(paths)
            for spool in files:
                try:
                    _deliver_file(spool, destination)
                except (KeyError, TypeError, ValueError) as error:  # it must not keep the other jobs' records back
                    _warn(f"{spool} is damaged, or of another version ({error!r}); delete it")


def _deliver_file(spool: Path, destination: Destination) -> None:
    """Send the whole lines of one file that have not been sent, and note how far that was."""
    state = delivery_state(spool)
    if state["uri"] != destination.uri:
        state = {"runs": {}, "uri": destination.uri, "offset": 0}
    with spool.open("rb") as file:
        start = json.loads(file.readline())
        file.seek(state["offset"])
        lines = file.read().rpartition(b"\n")[0].splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    if not records:
        return
    try:
        for place in start["start"]:
            if place["experiment"] not in state["runs"]:
                state["runs"][place["experiment"]] = destination.run_of(place, start)
                atomic_write_json(state_file(spool), state)
        for at, run_id in enumerate(state["runs"].values()):
            _send(records, run_id, destination, is_part=bool(start["part_of"]))
            if at == 0:
                _register(records, run_id, destination)
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


def _send(records: Sequence[dict[str, Any]], run_id: str, destination: Destination, is_part: bool) -> None:
    """Add records to a run; the parts of a job say nothing of its tags and its end."""
    client = destination.client
    metrics, params, tags = [], [], []
    for record in records:
        values = record.get("metrics", {}).items()
        metrics += [Metric(_allowed_name(key), value, record["time"], record["step"]) for key, value in values]
        params += [
            Param(_allowed_name(key), value[:MAX_PARAM_VAL_LENGTH]) for key, value in record.get("params", {}).items()
        ]
        if "start" not in record or not is_part:
            tags += [RunTag(_allowed_name(key), value) for key, value in record.get("tags", {}).items()]
    for batch in _batches(metrics, MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch)
    for batch in _batches(params, MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, params=batch)
    for batch in _batches(tags, MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, tags=batch)
    data = [_data_set(record["data_set"]) for record in records if "data_set" in record]
    if data:
        client.log_inputs(run_id, data)
    for record in records:
        if "artifact" in record:
            _send_file(Path(record["artifact"]), record["folder"], run_id, client)
    if not is_part:
        _send_end(records, run_id, client)


def _send_end(records: Sequence[dict[str, Any]], run_id: str, client: MlflowClient) -> None:
    last = next((record for record in reversed(records) if "start" in record or "end" in record), None)
    if last is not None and "end" in last:
        client.set_terminated(run_id, last["end"], last["time"])
    elif last is not None:
        client.update_run(run_id, "RUNNING")


def _data_set(record: Mapping[str, Any]) -> DatasetInput:
    data = Dataset(
        record["name"],
        record["digest"],
        source_type="local",
        source=json.dumps({"uri": record["path"]}),
        profile=json.dumps(record["size"]) if record["size"] else None,
    )
    return DatasetInput(data, [InputTag(MLFLOW_DATASET_CONTEXT, record["use"])])


def _send_file(path: Path, folder: str, run_id: str, client: MlflowClient) -> None:
    if path.is_file():
        client.log_artifact(run_id, str(path), folder or None)
    else:
        _warn(f"{path} is gone, so MLflow does not get it")


def _register(records: Sequence[dict[str, Any]], run_id: str, destination: Destination) -> None:
    """Give an alias of the registered model to a run's model, if it scores higher than the one that has it."""
    client, name = destination.client, destination.name
    for record in (record for record in records if "model" in record):
        best = _best(client, name, record["alias"])
        if best is not None and record["score"] <= best:
            continue
        for path in record["model"]:
            _send_file(Path(path), MODEL, run_id, client)
        source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL}"
        tags = {"score": repr(record["score"])}
        version = client.create_model_version(name, source, run_id, tags, await_creation_for=None).version
        client.set_registered_model_alias(name, record["alias"], version)


def _best(client: MlflowClient, name: str, alias: str) -> float | None:
    """Score of the version with this alias, of a registered model that is made if it is not there."""
    try:
        return float(client.get_model_version_by_alias(name, alias).tags["score"])
    except MlflowException:
        with suppress(MlflowException):  # it is there, but has no such alias yet
            client.create_registered_model(name)
        return None


def _warn(message: str) -> None:
    print(f"rdt: warning: tracking: {message}", file=sys.stderr)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _allowed_name(name: str) -> str:
    """A name with the characters that MLflow allows: ``B@4`` becomes ``B-4``."""
    return "".join(char if char.isalnum() or char in "_-./ :" else "-" for char in name)


def _only_sender(paths: Paths) -> AbstractContextManager[object]:
    """Whoever may send now; another at work is waited for, and the lock ends with its process."""
    return file_lock(spool_folder(paths) / ".lock")
