"""``rdt track init|flush EXPERIMENT``: MLflow, before and after the jobs."""

from __future__ import annotations

import argparse
import os

from rdt.errors import UserError
from rdt.paths import Paths
from rdt.stages import open_stage, stage_arguments
from rdt.tracking import flush_pending


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("init", "flush"), help="set up the database, or send what waits")
    stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """A server that is away is no error: records wait on disk until a later call can send them."""
    stage = open_stage(args)
    paths = stage.paths
    if args.action == "flush":
        left = flush_pending(paths)
        print(f"Records of {left} jobs wait for MLflow" if left else f"Runs: {where_to_look(paths)}")
        return
    from rdt.tracking_sender import initialise

    try:
        print(initialise(paths, stage.experiment.tables))
    except Exception as error:  # MLflow, its server and its database raise many kinds
        problem = f"MLflow cannot be set up: {str(error).splitlines()[0]}"
        raise UserError(
            paths.mlflow_uri, problem, "correct MLFLOW_TRACKING_URI, or unset it for the embedded database"
        ) from error


def where_to_look(paths: Paths) -> str:
    """The address of a tracking server, or the command that shows a database."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or paths.mlflow_uri
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"
