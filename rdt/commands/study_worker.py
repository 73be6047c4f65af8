"""``rdt study-worker EXPERIMENT --study NAME --worker N``: run trials of a study until it has all of them.

Any number of workers can run at once, on any number of machines that share the results folder; each can be
killed at any time, and costs the study nothing but the part of its trial since the last checkpoint.
"""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.files import atomic_write_json
from rdt.studies.queue import Queue
from rdt.studies.storage import open_stored


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt study-worker``."""
    study_arguments(parser)
    parser.add_argument("--worker", type=int, default=0, metavar="N", help="number of this worker (default: 0)")


def run(args: argparse.Namespace) -> None:
    """Run trials; ``workers/N.json`` says which, when all of the study's have ended."""
    workspace = open_study(args)
    opened = open_stored(workspace.study, workspace.folder, workspace.name, workspace.experiment.training.xe_epochs)
    queue, mine = Queue(workspace.study, opened, workspace.folder), []
    while True:
        with queue.claim() as trial:
            if trial is None:
                break
            from rdt.studies.trial import run_trial  # and torch, which a worker of a finished study does without

            trial.set_user_attr("worker", args.worker)
            print(run_trial(workspace, opened, trial), flush=True)
            mine.append(trial.number)
    atomic_write_json(workspace.paths.study_worker(workspace.study.name, args.worker), {"trials": mine})
