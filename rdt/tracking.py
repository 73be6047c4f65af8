"""What a job tells MLflow, without importing it.

Importing MLflow takes longer than some jobs. A job therefore appends records to a file of its own,
``results/<experiment>/tracking/<job>.jsonl``, and a sender (:mod:`rdt.tracking_sender`, another
process) ships the records of all jobs, at most once a minute while jobs run and once at the end of
the workflow. A server that cannot be reached, or a full disk, costs a warning and never the job:
the file stays and the next sender delivers it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rdt.config import TABLES
from rdt.io import read_json
from rdt.paths import Paths
from rdt.provenance import code_digest, git_revision

SEND_EVERY = 60.0  # seconds between two senders, over all jobs of an experiment
SEND_TIMEOUT = 120.0  # a sender that takes longer is ended; the next one goes on where it stopped
Status = Literal["FINISHED", "FAILED", "KILLED"]


def spool_folder(paths: Paths) -> Path:
    """Where the records of an experiment's jobs wait for delivery."""
    return paths.root / "tracking"


class Run:
    """The records of one job; a context manager that closes itself with the right status.

    ``run`` and ``stage`` name the job (``stage`` also ``captions``, ``scores``...), ``code`` is the
    module whose digest says which code ran, ``tables`` the tables that use the result: the first of
    them is the parent in MLflow. The Snakemake rule is read from the environment variable RDT_RULE.
    ``resume`` continues the MLflow run of an earlier attempt that did not finish, if there is one:
    steps and parameters that it recorded are not recorded again.

    ``params``, ``metrics``, ``tag`` and ``artifact`` only append a line to a file; they never raise.
    """

    def __init__(
        self,
        paths: Paths,
        run: str,
        stage: str,
        *,
        code: str,
        seed: int | None = None,
        role: str = "primary",
        tables: Sequence[str] = (),
        resume: bool = False,
    ) -> None:
        self._paths = paths
        self._last_step: dict[str, int] = {}
        self._known_params: set[str] = set()
        self._broken = False
        folder, name = spool_folder(paths), _file_name(run, stage, role)
        unfinished = _unfinished(folder, name)
        self.job = _job(unfinished[-1]) if resume and unfinished else uuid.uuid4().hex
        self._spool = folder / f"{name}.{self.job}.jsonl"
        for old in unfinished:
            if old == self._spool:
                self._continue()
            elif not _ended(old):
                _cut_torn_line(old)
                _append(old, {"end": "KILLED", "time": _now()})
        ordered = [table for table in TABLES if table in tables]
        tags = {
            "rdt.job": self.job,
            "rdt.run": run,
            "rdt.stage": stage,
            "rdt.role": role,
            "rdt.seed": "" if seed is None else str(seed),
            "rdt.tables": ",".join(ordered),
            "rdt.code": code_digest(code),
            "snakemake.rule": os.environ.get("RDT_RULE", ""),
            "mlflow.source.name": " ".join(sys.argv),
            "mlflow.source.git.commit": git_revision() or "",
        }
        start = {"start": f"{run} {stage}", "table": ordered[0] if ordered else None, "time": _now()}
        self._write(start | {"tags": {key: value for key, value in tags.items() if value}})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_regularly, daemon=True)
        self._thread.start()

    @property
    def mlflow_run_id(self) -> str | None:
        """MLflow's id of this run, known once a sender has created it; the tag ``rdt.job`` always finds it."""
        return delivered(self._paths).get(self.job)

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; a mapping inside becomes dotted names. The first value of a parameter stands."""
        flat = {name: value for name, value in _flatten(values) if name not in self._known_params}
        self._known_params.update(flat)
        if flat:
            self._write({"params": flat})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers at a step, such as ``loss/xe`` or ``val/CIDEr``."""
        new = {name: float(value) for name, value in values.items() if step > self._last_step.get(name, -1)}
        self._last_step.update(dict.fromkeys(new, step))
        if new:
            self._write({"metrics": new, "step": step, "time": _now()})

    def tag(self, name: str, value: str) -> None:
        self._write({"tags": {name: str(value)}})

    def artifact(self, path: str | Path, folder: str = "") -> None:
        """A file to copy into MLflow's store, read when it is sent."""
        self._write({"artifact": str(Path(path).resolve()), "folder": folder})

    def close(self, status: Status = "FINISHED") -> None:
        """End the run, and send what is due."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(SEND_TIMEOUT)
        self._write({"end": status, "time": _now()})
        self._send_if_due()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("FINISHED")
        else:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    def _continue(self) -> None:
        """Learn what the earlier attempt recorded."""
        _cut_torn_line(self._spool)
        for line in self._spool.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            self._known_params.update(record.get("params", ()))
            self._last_step.update(dict.fromkeys(record.get("metrics", ()), record.get("step", -1)))

    def _write(self, record: dict[str, Any]) -> None:
        try:
            _append(self._spool, record)
        except OSError as error:
            if not self._broken:
                _warn(f"{self._spool}: {error.strerror}; records of this job are lost")
            self._broken = True

    def _send_regularly(self) -> None:
        while not self._stop.wait(SEND_EVERY):
            self._send_if_due()

    def _send_if_due(self) -> None:
        stamp = spool_folder(self._paths) / ".sent"
        try:
            if stamp.exists() and time.time() - stamp.stat().st_mtime < SEND_EVERY:
                return
            stamp.touch()
        except OSError:
            return
        send(self._paths)


def send(paths: Paths, *, wait: bool = False) -> bool:
    """Let a process of its own deliver the records of all jobs; False, after a warning, if it could not.

    If another sender is at work this one leaves the records to it, or with ``wait`` waits for it.
    """
    package = str(Path(__file__).resolve().parents[1])
    inherited = [folder for folder in [os.environ.get("PYTHONPATH")] if folder]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([package, *inherited])}
    command = [sys.executable, "-m", "rdt.tracking_sender", str(paths.results_root), paths.experiment]
    try:
        result = subprocess.run(
            command + ["--wait"] * wait, env=environment, capture_output=True, text=True, timeout=SEND_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = f"the sender did not finish ({type(error).__name__})"
    else:
        if result.returncode == 0:
            sys.stderr.write(result.stderr)
            return True
        problem = (result.stderr.strip().splitlines() or ["the sender stopped"])[-1]
    _warn(f"{problem}; the records wait in {spool_folder(paths)} and are sent next time")
    return False


def flush_pending(paths: Paths) -> int:
    """Deliver everything that waits; the number of jobs that still have undelivered records."""
    if pending(paths):
        send(paths, wait=True)
    return len(pending(paths))


def pending(paths: Paths) -> list[Path]:
    """Record files with lines that have not been delivered, the oldest first."""
    files = sorted(spool_folder(paths).glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
    return [file for file in files if file.stat().st_size > delivery_state(file)["offset"]]


def delivered(paths: Paths) -> dict[str, str]:
    """MLflow run id of each job that has one."""
    states = {_job(file): read_json(file) for file in spool_folder(paths).glob("*.json")}
    return {job: state["mlflow_run_id"] for job, state in states.items() if state["mlflow_run_id"]}


def state_file(spool: Path) -> Path:
    """Beside a record file: which MLflow run it became and how many bytes of it are delivered."""
    return spool.with_suffix(".json")


def delivery_state(spool: Path) -> dict[str, Any]:
    file = state_file(spool)
    return read_json(file) if file.exists() else {"mlflow_run_id": None, "uri": None, "offset": 0}


def _append(spool: Path, record: Mapping[str, Any]) -> None:
    spool.parent.mkdir(parents=True, exist_ok=True)
    with spool.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _cut_torn_line(spool: Path) -> None:
    """Remove the end of a line in which a job was killed."""
    head, newline, _ = spool.read_bytes().rpartition(b"\n")
    os.truncate(spool, len(head + newline))


def _file_name(run: str, stage: str, role: str) -> str:
    return "+".join(re.sub(r"[^\w@=-]", "_", part) for part in (run, stage, role))


def _job(file: Path) -> str:
    return file.stem.rpartition(".")[2]


def _unfinished(folder: Path, name: str) -> list[Path]:
    """Record files of earlier attempts at a job that did not finish, the oldest first."""
    pattern = re.compile(re.escape(name) + r"\.[0-9a-f]{32}\.jsonl")
    files = [file for file in folder.glob("*.jsonl") if pattern.fullmatch(file.name)]
    files = [file for file in files if _ended(file) != "FINISHED"]
    return sorted(files, key=lambda file: file.stat().st_mtime)


def _ended(spool: Path) -> str | None:
    """The status with which the last attempt closed; None if it was killed."""
    lines = spool.read_text(encoding="utf-8").splitlines()
    try:
        return json.loads(lines[-1]).get("end") if lines else None
    except json.JSONDecodeError:
        return None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", str(value)))
    return flat


def _now() -> int:
    """Milliseconds, as MLflow counts."""
    return int(time.time() * 1000)


def _warn(message: str) -> None:
    print(f"rdt: warning: tracking: {message}", file=sys.stderr)
