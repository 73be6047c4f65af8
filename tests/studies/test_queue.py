"""Who runs which trial: workers that come, wait, fail and are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from rdt.studies.file import read_study
from rdt.studies.queue import RETRIES, Queue, first_attempt
from rdt.studies.storage import create, open_stored
from tests.support import postgres, studies
from tests.support.repository import REPOSITORY

# Takes a trial of the study in the working directory, says its number, and never ends it.
WORKER = """
import sys, time
from pathlib import Path
from rdt.studies.file import read_study
from rdt.studies.queue import Queue
from rdt.studies.storage import open_stored

study = read_study("mini.yaml")
with Queue(study, open_stored(study, Path(), "x", 1), Path()).claim() as trial:
    print(trial.number, flush=True)
    time.sleep(600)
"""


def queue(folder: Path, **changes: object) -> Queue:
    """One more worker's view of the study in ``folder``, which the first call creates."""
    if changes or not (folder / studies.FILE).exists():
        create(studies.study(folder, **changes), folder, "x", {})
    study = read_study(str(folder / studies.FILE))
    return Queue(study, open_stored(study, folder, "x", epochs=1), folder)


def states(worker: Queue) -> list[str]:
    return [trial.state.name for trial in worker.opened.trials]


def run_all(worker: Queue) -> list[int]:
    """The numbers of the trials that one worker runs until there are none."""
    numbers = []
    while True:
        with worker.claim() as trial:
            if trial is None:
                return numbers
            worker.opened.tell(trial, float(trial.number))
            numbers.append(trial.number)


def test_one_worker_runs_all_trials_and_a_second_one_none(tmp_path):
    assert run_all(queue(tmp_path)) == [0, 1, 2]
    journal = (tmp_path / "journal.log").read_bytes()
    assert run_all(queue(tmp_path)) == []
    assert (tmp_path / "journal.log").read_bytes() == journal


def test_two_workers_share_the_trials(tmp_path):
    first, second = queue(tmp_path), queue(tmp_path)
    with first.claim() as one, second.claim() as two:
        assert (one.number, two.number) == (0, 1)
        assert one.params == {"delta_tim": 0.12, "delta_sen": 0.15} != two.params
        first.opened.tell(one, 1.0)
        second.opened.tell(two, state=TrialState.PRUNED)
    assert run_all(second) == [2]  # a pruned trial counts
    assert states(first) == ["COMPLETE", "PRUNED", "COMPLETE"]


def test_a_worker_without_a_trial_waits_for_the_others(tmp_path):
    first, second, ended = queue(tmp_path, trials=1), queue(tmp_path), []
    waiting = threading.Thread(target=lambda: ended.append(run_all(second)))
    with first.claim() as trial:
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        first.opened.tell(trial, 1.0)
    waiting.join(10)
    assert ended == [[]] and states(first) == ["COMPLETE"]


def killed_worker(folder: Path) -> int:
    """The number of the trial that a worker had when it was killed with -9."""
    package = str(REPOSITORY)
    with subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": package},
    ) as process:
        number = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    return number


@pytest.fixture(params=["journal", "postgresql"])
def storage(request: pytest.FixtureRequest) -> Iterator[str]:
    """What a study file says under ``storage``."""
    if request.param == "postgresql":
        with postgres.server() as url:
            yield url
    else:
        yield request.param


def test_the_trial_of_a_killed_worker_is_tried_again(tmp_path, storage):
    worker = queue(tmp_path, storage=storage)
    assert killed_worker(tmp_path) == 0
    assert states(worker) == ["RUNNING"]
    with worker.claim() as trial:
        assert states(worker) == ["FAIL", "RUNNING"]
        assert trial.params == {"delta_tim": 0.12, "delta_sen": 0.15}
        assert (trial.number, first_attempt(trial)) == (1, 0)
        worker.opened.tell(trial, 1.0)
    assert run_all(worker) == [2, 3]
    assert states(worker) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_a_setting_that_ends_every_worker_is_given_up(tmp_path):
    worker = queue(tmp_path, trials=1)
    paper = worker.study.paper()
    for attempt in range(1 + RETRIES):
        with pytest.raises(OSError, match="disk full"), worker.claim() as trial:
            assert trial.params == paper and (trial.number, first_attempt(trial)) == (attempt, 0)
            raise OSError("disk full")
    assert states(worker) == ["FAIL"] * (1 + RETRIES)
    with worker.claim() as trial:
        assert trial.params != paper and first_attempt(trial) == trial.number
        worker.opened.tell(trial, 1.0)
    assert run_all(worker) == []
