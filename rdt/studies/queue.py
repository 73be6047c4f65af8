"""Who runs which trial: workers that share a storage and can be killed at any time.

A worker holds an operating-system lock on a file of the trial that it runs. The system takes the lock back
from a process that was killed, so that the other workers, and later ones, find its trial: RUNNING, and its
lock free. They mark it FAIL and queue it again with the same parameters. This needs no heartbeat, which a
journal does not have, and is the same for every storage. Trials are given out by one worker at a time, so
that a study ends with exactly the number of trials that it is to have.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from rdt.files import file_lock
from rdt.studies.file import Study
from rdt.studies.storage import distributions, sampler

RETRIES = 3  # of one setting; one that ends each of its workers is given up
FIRST = "first_attempt"  # the attribute of a trial that its repetitions inherit
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Queue:
    """The trials of ``study``, which is ``opened``; the locks are in ``folder``, which all workers see."""

    study: Study
    opened: optuna.Study
    folder: Path

    @contextmanager
    def claim(self) -> Iterator[Trial | None]:
        """A trial that is this worker's alone in the context, in which its end is to be told.

        None when the study has its full count. Where only trials of other workers are missing they are waited
        for, since one of those may yet be killed. A trial that an exception leaves is queued again.
        """
        while True:
            with self._lock("study"):
                running = self._recover()
                if self.ended() + len(running) < self.study.trials:
                    trial = self._ask()
                    lock = self._lock(trial.number).acquire()
                    break
            if not running:
                yield None
                return
            with self._lock(running[0]):  # its worker has let go of it, one way or the other
                pass
        with lock:
            try:
                yield trial
            except BaseException:
                with self._lock("study"):
                    self._lose(trial.number)
                raise

    def ended(self) -> int:
        """Trials that count: completed or pruned."""
        return len(self.opened.get_trials(deepcopy=False, states=ENDED))

    def _ask(self) -> Trial:
        self.opened.sampler = sampler(self.study, len(self.opened.get_trials(deepcopy=False)))
        trial = self.opened.ask(distributions(self.study))
        trial.set_user_attr(FIRST, first_attempt(trial))
        return trial

    def _recover(self) -> list[int]:
        """Queue the trials of workers that are gone again; returns the numbers of the trials that still run."""
        alive = []
        for trial in self.opened.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                with self._lock(trial.number).acquire(blocking=False):
                    self._lose(trial.number)
            except Timeout:
                alive.append(trial.number)
        return alive

    def _lose(self, number: int) -> None:
        lost = self.opened.tell(number, state=TrialState.FAIL)
        RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(self.opened, lost)

    def _lock(self, name: int | str) -> FileLock:
        """The lock of a trial, by its number, or of the study."""
        return file_lock(self.folder / "locks" / (name if isinstance(name, str) else f"{name:04d}"))


def first_attempt(trial: Trial | FrozenTrial) -> int:
    """The number of the trial that this one repeats, or its own."""
    return trial.user_attrs.get(FIRST, trial.number)
