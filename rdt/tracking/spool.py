"""The files in which a job's records wait for delivery."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.files import read_json

SENDER_LOG = "sender.log"  # what senders that nobody waited for had to say


def key(run: str, name: str) -> str:
    """What finds the MLflow runs of a job again: the newest one of this tag ``rdt.key``."""
    return f"{run} {name}"


def store_uri(paths: Paths) -> str:
    """MLflow's store: what MLFLOW_TRACKING_URI names, or the embedded database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or paths.mlflow_uri


def masked(uri: str) -> str:
    """A URI as it may be shown and written down: without its password, which may hold @ and /."""
    return re.sub(r"(//[^:/@]*):.*@", r"\1:***@", uri)


def check_password(where: str | Path, uri: str) -> None:
    """UserError where a password in ``uri`` holds signs that end it, so that the rest is taken for the host."""
    if re.search(r"//[^:/@]*:[^/]*[@/].*@", uri):
        problem = f"the password in {masked(uri)} holds an @ or a /"
        raise UserError(where, problem, "write %40 for @ and %2F for /")


def check_uri(uri: str) -> None:
    """UserError for a store that MLflow would take for another one, or in which it keeps no new runs."""
    where = "MLFLOW_TRACKING_URI"
    check_password(where, uri)
    if re.match(r"sqlite://[^/]", uri):
        problem = f"{uri} has two slashes, where a file of SQLite has three"
        raise UserError(where, problem, f"write sqlite:///{uri.removeprefix('sqlite://')}")
    if "://" not in uri or uri.startswith("file:"):
        problem = f"{uri} is a folder, in which MLflow keeps no new runs"
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise UserError(where, problem, "name a database, sqlite:///mlflow.db, or set MLFLOW_ALLOW_FILE_STORE=true")


def spool_folder(paths: Paths) -> Path:
    """Where the records of an experiment's jobs wait for delivery."""
    return paths.root / "tracking"


def pending(paths: Paths) -> list[Path]:
    """Record files with lines that have not been delivered, the oldest first."""
    files = sorted(spool_folder(paths).glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
    return [file for file in files if file.stat().st_size > delivery_state(file)["offset"]]


def newest(paths: Paths) -> int:
    """When a job last wrote a record, in nanoseconds of the file system; 0 where no record file is."""
    return max((file.stat().st_mtime_ns for file in spool_folder(paths).glob("*.jsonl")), default=0)


def delivered(paths: Paths) -> dict[str, str]:
    """MLflow run id of each job that has one, taken from its first place."""
    states = {job_of(file): read_json(file).get("runs") for file in spool_folder(paths).glob("*.json")}
    return {job: next(iter(runs.values())) for job, runs in states.items() if runs}


def state_file(spool: Path) -> Path:
    """Beside a record file: which MLflow runs it became, by place, and how many bytes of it are delivered."""
    return spool.with_suffix(".json")


def delivery_state(spool: Path) -> dict[str, Any]:
    file = state_file(spool)
    return read_json(file) if file.exists() else {"runs": {}, "uri": None, "offset": 0}


def append(spool: Path, record: Mapping[str, Any]) -> None:
    spool.parent.mkdir(parents=True, exist_ok=True)
    with spool.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def cut_torn_line(spool: Path) -> None:
    """Remove the end of a line in which a job was killed."""
    head, newline, _ = spool.read_bytes().rpartition(b"\n")
    os.truncate(spool, len(head + newline))


def file_name(run: str, name: str, role: str) -> str:
    return "+".join(re.sub(r"[^\w@=-]", "_", part) for part in (run, name, role))


def job_of(file: Path) -> str:
    return file.stem.rpartition(".")[2]


def unfinished(folder: Path, name: str) -> list[Path]:
    """Record files of earlier attempts at a job that did not finish, the oldest first."""
    pattern = re.compile(re.escape(name) + r"\.[0-9a-f]{32}\.jsonl")
    files = [file for file in folder.glob("*.jsonl") if pattern.fullmatch(file.name)]
    files = [file for file in files if ended(file) != "FINISHED"]
    return sorted(files, key=lambda file: file.stat().st_mtime)


def ended(spool: Path) -> str | None:
    """The status with which the last attempt closed; None if it was killed."""
    lines = spool.read_text(encoding="utf-8").splitlines()
    try:
        return json.loads(lines[-1]).get("end") if lines else None
    except json.JSONDecodeError:
        return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += flatten(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", str(value)))
    return flat


def now() -> int:
    """Milliseconds, as MLflow counts."""
    return int(time.time() * 1000)


def warn(message: str) -> None:
    print(f"rdt: warning: tracking: {message}", file=sys.stderr)
