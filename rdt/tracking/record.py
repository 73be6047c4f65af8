"""What a job tells MLflow, without importing it.

Importing MLflow takes longer than some jobs. A job therefore appends records to a file of its own,
``results/<experiment>/tracking/<job>.jsonl``, and another process, the courier (:mod:`rdt.tracking.courier`), for
which no job waits, delivers the records of all jobs once a minute, and what is left at the end of the workflow. A
server that cannot be reached, or a full disk, costs a warning and never the job: the file stays, to be sent later.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rdt.experiment.paths import Paths
from rdt.provenance.code import code_digest, git_revision
from rdt.tracking.courier import call_if_away
from rdt.tracking.machine import Machine
from rdt.tracking.spool import (
    append,
    cut_torn_line,
    delivered,
    ended,
    file_name,
    flatten,
    job_of,
    key,
    now,
    spool_folder,
    unfinished,
    warn,
)

SAMPLE_EVERY = 10.0  # seconds between two looks at processor and memory

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Place:
    """One MLflow run as which a job is shown; a job can have one in each of several MLflow experiments.

    ``experiment`` follows ``rdt-<experiment>`` in the name of MLflow's: ``Table II``, ``steps``, ``studies``.
    ``name`` is what the list of runs shows, and ``tags`` are added to the job's own. ``parent`` is the
    :func:`key` of the job under whose run this one is nested; one that is not there yet is made, with the
    key as its name, so that a child may come first.
    """

    experiment: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""


@dataclass(frozen=True)
class DataSet:
    """Data that a job has read: ``digest`` of their content, ``use`` such as training, ``size`` what is known of it."""

    name: str
    path: str
    digest: str
    use: str
    size: Mapping[str, int] = field(default_factory=dict)


class TrackedJob:
    """The records of one job; a context manager that closes itself with the right status.

    ``run`` and ``name`` say which job it is, for a network its id and for instance ``train-xe``; ``code`` is the
    module whose digest says which code ran, ``tags`` go to all its ``places`` (by default one among the
    ``steps``). The Snakemake rule is read from the environment variable RDT_RULE. ``resume`` continues the MLflow
    runs of an earlier attempt that did not finish, if there is one: steps and parameters that it recorded are not
    recorded again. A job that is ``part_of`` another, by the :func:`key` of that, has no MLflow runs of its own: its
    metrics and artifacts are added to the other's.

    The trials of a study are runs nested under the study's, which may be opened before or after them::

        Run(paths, "thresholds", "study", code=..., places=[Place("studies", "thresholds", {"sampler": "TPE"})])
        Run(paths, "thresholds", "trial-7", code=..., tags={"worker": "2"},
            places=[Place("studies", "trial 7", parent=key("thresholds", "study"))])

    ``params``, ``metrics``, ``tag``, ``data_set``, ``artifact`` and ``model`` only append a line to a file; they
    never raise, and nothing of them waits for a network.
    """

    def __init__(
        self,
        paths: Paths,
        run: str,
        name: str,
        *,
        code: str,
        seed: int | None = None,
        role: str = "primary",
        places: Sequence[Place] = (),
        tags: Mapping[str, str] | None = None,
        part_of: str = "",
        resume: bool = False,
    ) -> None:
        self._paths = paths
        self._last_step: dict[str, int] = {}
        self._known_params: set[str] = set()
        self._broken = False
        self._lock = threading.Lock()
        self._open(file_name(run, name, role), resume)
        own = {"run": run, "stage": name, "role": role, "seed": "" if seed is None else str(seed)}
        own |= {"rdt.job": self.job, "rdt.key": key(run, name), "code": code_digest(code)}
        all_tags = own | _origin() | dict(tags or {})
        shown = [asdict(place) for place in places or [Place("steps", f"{run} {name}")]]
        start = {"start": shown, "part_of": part_of, "time": now()}
        self._write(start | {"tags": {tag: value for tag, value in all_tags.items() if value}})
        self._stop = threading.Event()
        self._machine = None if part_of else Machine()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _open(self, name: str, resume: bool) -> None:
        """Choose the file of the records, an earlier attempt's or a new one; close the other attempts."""
        folder = spool_folder(self._paths)
        earlier = unfinished(folder, name)
        self.job = job_of(earlier[-1]) if resume and earlier else uuid.uuid4().hex
        self._spool = folder / f"{name}.{self.job}.jsonl"
        for old in earlier:
            if old == self._spool:
                self._continue()
            elif not ended(old):
                cut_torn_line(old)
                append(old, {"end": "KILLED", "time": now()})

    @property
    def mlflow_run_id(self) -> str | None:
        """MLflow's id of the run in the first place, once a sender has made it; the tag ``rdt.job`` always finds it."""
        return delivered(self._paths).get(self.job)

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; a mapping inside becomes dotted names. The first value of a parameter stands."""
        flat = {name: value for name, value in flatten(values) if name not in self._known_params}
        self._known_params.update(flat)
        if flat:
            self._write({"params": flat})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers at a step, such as ``loss/xe`` or ``val/CIDEr``."""
        new = {name: float(value) for name, value in values.items() if step > self._last_step.get(name, -1)}
        self._last_step.update(dict.fromkeys(new, step))
        if new:
            self._write({"metrics": new, "step": step, "time": now()})

    def tag(self, name: str, value: str) -> None:
        self._write({"tags": {name: str(value)}})

    def data_set(self, data: DataSet) -> None:
        """Data that the job has read, MLflow's input."""
        self._write({"data_set": asdict(data)})

    def artifact(self, path: str | Path, folder: str = "") -> None:
        """A file to copy into MLflow's store, read when it is sent."""
        self._write({"artifact": str(Path(path).resolve()), "folder": folder})

    def model(self, files: Sequence[Path], alias: str, score: float) -> None:
        """A candidate for the registered model ``rdt-<experiment>``: it gets ``alias`` if no ``score`` was higher.

        ``files`` are copied into MLflow's store only then. ``score`` is one of the selection split.
        """
        self._write({"model": [str(path.resolve()) for path in files], "alias": alias, "score": score})

    def close(self, status: Status = "FINISHED") -> None:
        """End the run."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._sample()
        self._write({"end": status, "time": now()})
        call_if_away(self._paths)

    def __enter__(self) -> TrackedJob:
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
        cut_torn_line(self._spool)
        for line in self._spool.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            self._known_params.update(record.get("params", ()))
            self._last_step.update(dict.fromkeys(record.get("metrics", ()), record.get("step", -1)))

    def _write(self, record: dict[str, Any]) -> None:
        try:
            with self._lock:
                append(self._spool, record)
        except OSError as error:
            if not self._broken:
                warn(f"{self._spool}: {error.strerror}; records of this job are lost")
            self._broken = True

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            self._sample()
            call_if_away(self._paths)

    def _sample(self) -> None:
        """Processor and memory, under the names by which MLflow shows them on a page of their own."""
        if self._machine is not None:
            values = {f"system/{name}": value for name, value in self._machine.sample().items()}
            self.metrics(values, 1 + max((self._last_step.get(name, -1) for name in values), default=-1))


def _origin() -> dict[str, str]:
    """Tags that say what started this process, and of which revision it is."""
    return {
        "snakemake.rule": os.environ.get("RDT_RULE", ""),
        "mlflow.source.name": " ".join(sys.argv),
        "mlflow.source.git.commit": git_revision() or "",
    }
