"""The process that delivers the records of all jobs while they run: one, since MLflow takes long to import.

A job that finds none starts it; it ends after a while without news, or when ``rdt track flush`` asks it to.
Killed, it leaves its place to the next (a lock tells), which goes on after what was noted as delivered.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from rdt.digests import ROOT
from rdt.experiment.paths import Paths
from rdt.files import file_lock
from rdt.tracking.spool import SENDER_LOG, masked, newest, pending, spool_folder, store_uri, warn

SEND_EVERY = 60.0  # seconds between two deliveries
QUIET = 300.0  # seconds without a record after which the courier ends
DELIVERY_TIMEOUT = 300  # whole seconds; a delivery that takes longer ends its process
LOOK_EVERY = 0.5  # seconds between two looks whether the end is asked for
HANDOVER = 5.0  # seconds for which one that starts waits for the place of one that ends
NICENESS = 10  # the jobs come first
AT_WORK = ".sent"  # file with the address of the store, touched as long as the courier is there
PLACE = ".courier.lock"  # held by it
END = ".end"  # file that asks it to deliver what is there, and to end


def call_if_away(paths: Paths) -> None:
    """Start the courier if none is at work; it outlives the caller. One for another store is asked to end."""
    folder = spool_folder(paths)
    at_work, uri = folder / AT_WORK, masked(store_uri(paths))
    try:
        if at_work.exists() and time.time() - at_work.stat().st_mtime < SEND_EVERY:
            if at_work.read_text(encoding="utf-8") not in ("", uri):
                (folder / END).touch()
            return
        at_work.write_text(uri, encoding="utf-8")
        with (folder / SENDER_LOG).open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            subprocess.Popen(_command(paths), env=_inherited(), start_new_session=True, **streams)
    except OSError as error:
        warn(f"no sender can be started ({error.strerror}); the records wait in {folder}")


def _command(paths: Paths, *options: str) -> list[str]:
    return [sys.executable, "-m", __name__, str(paths.results_root), paths.experiment, *options]


def _inherited() -> dict[str, str]:
    """Environment of a courier: this package is found from any folder."""
    inherited = [folder for folder in [os.environ.get("PYTHONPATH")] if folder]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *inherited])}


def flush_pending(paths: Paths) -> int:
    """Deliver everything that waits; the number of jobs that still have undelivered records."""
    if spool_folder(paths).is_dir():
        _dismiss(paths)
    if pending(paths):
        _send_apart(paths)
    return len(pending(paths))


def _dismiss(paths: Paths) -> None:
    """Let the courier deliver what is there and end; one that has only been started is asked again."""
    from filelock import Timeout  # here, so that jobs start without it

    end, place = spool_folder(paths) / END, file_lock(spool_folder(paths) / PLACE)
    while True:
        end.touch()
        with suppress(Timeout), place.acquire(timeout=LOOK_EVERY):
            end.unlink(missing_ok=True)
            return


def _send_apart(paths: Paths) -> None:
    """Let a process of its own deliver the records of all jobs, and tell why if it could not."""
    result = subprocess.run(_command(paths, "--once"), env=_inherited(), capture_output=True, text=True)
    if result.returncode == 0:
        sys.stderr.write(result.stderr)
        return
    problem = (result.stderr.strip().splitlines() or ["the sender took too long"])[-1]
    warn(f"{problem}; the records wait in {spool_folder(paths)} and are sent next time")


def stay(paths: Paths) -> None:
    """Deliver every SEND_EVERY seconds, as the only courier, until QUIET brought no record or the end is asked for."""
    from filelock import Timeout

    folder = spool_folder(paths)
    with suppress(Timeout), file_lock(folder / PLACE).acquire(timeout=HANDOVER):
        (folder / END).unlink(missing_ok=True)
        news, since, asked = -1, 0.0, False
        while True:
            if news != (latest := newest(paths)):
                news, since = latest, time.monotonic()
            deliver_once(paths)
            if asked or time.monotonic() - since >= QUIET:
                (folder / AT_WORK).unlink(missing_ok=True)
                if asked or news == newest(paths):  # a job that wrote before relied on this courier
                    return
            asked = _rest(folder, masked(store_uri(paths)))


def _rest(folder: Path, uri: str) -> bool:
    """Wait for the next delivery, and say that a courier is at work; whether the end was asked for."""
    (folder / AT_WORK).write_text(uri, encoding="utf-8")
    until = time.monotonic() + SEND_EVERY
    while time.monotonic() < until:
        if (folder / END).exists():
            return True
        time.sleep(LOOK_EVERY)
        os.utime(folder / AT_WORK)
    return False


def deliver_once(paths: Paths) -> int:
    """Deliver what is there; 1, and a line on stderr, if that fails."""
    signal.alarm(DELIVERY_TIMEOUT)
    try:
        from rdt.tracking.sender import deliver

        deliver(paths)
    except Exception as error:  # MLflow, its server and its database raise many kinds
        print(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr, flush=True)
        return 1
    finally:
        signal.alarm(0)
    return 0


def send_records(results_root: str, experiment: str, *once: str) -> int:
    """``python -m rdt.tracking.courier RESULTS EXPERIMENT [--once]``."""
    os.nice(NICENESS)
    paths = Paths(experiment, results_root=Path(results_root))
    if once:
        return deliver_once(paths)
    stay(paths)
    return 0


if __name__ == "__main__":
    sys.exit(send_records(*sys.argv[1:]))
