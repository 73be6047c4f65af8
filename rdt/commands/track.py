"""``rdt track init|flush EXPERIMENT``: MLflow, before and after the jobs."""

from __future__ import annotations

import argparse
import sys

from rdt.config import load_experiment
from rdt.errors import UserError
from rdt.paths import Paths
from rdt.tracking import flush_pending


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("init", "flush"), help="set up the database, or send what waits")
    parser.add_argument("experiment", help="name in experiments/, or path of a file")


def run(args: argparse.Namespace) -> None:
    """A server that is away is no error: records wait on disk until a later call can send them."""
    experiment = load_experiment(args.experiment)
    paths = Paths(experiment.name)
    if args.action == "flush":
        left = flush_pending(paths)
        print(f"records of {left} jobs wait" if left else "all records are delivered", file=sys.stderr)
        return
    from rdt.tracking_sender import initialise

    try:
        print(initialise(paths, experiment.tables))
    except Exception as error:  # MLflow, its server and its database raise many kinds
        problem = f"MLflow cannot be set up: {str(error).splitlines()[0]}"
        raise UserError(
            paths.mlflow_uri, problem, "correct MLFLOW_TRACKING_URI, or unset it for the embedded database"
        ) from error
