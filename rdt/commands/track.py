"""``rdt track init|flush|ui EXPERIMENT``: MLflow, before and after the jobs, and in the browser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.tracking.courier import flush_pending
from rdt.tracking.spool import check_uri, masked, store_uri
from rdt.workspace import Workspace

HOST, PORT = "127.0.0.1", 5000
PAGE = "#/experiments?workflowType=machine_learning"  # MLflow shows its pages about language models otherwise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "set up the database, send what waits, or show it all in the browser"
    parser.add_argument("action", choices=("init", "flush", "ui"), help=actions)
    experiment_argument(parser)
    parser.add_argument("--host", default=HOST, help=f"where ui listens (default: {HOST}, this machine alone)")
    parser.add_argument("--port", type=int, default=PORT, help=f"where ui listens (default: {PORT})")


def run(args: argparse.Namespace) -> None:
    """A server that is away is no error: records wait on disk until a later call can send them."""
    workspace = open_workspace(args)
    check_uri(store_uri(workspace.paths))
    if args.action == "init":
        _initialise(workspace)
    elif args.action == "flush":
        left = flush_pending(workspace.paths)
        print(f"Records of {left} jobs wait for MLflow" if left else f"Runs: {where_to_look(workspace.paths)}")
    else:
        _show(workspace.paths, args.host, args.port)


def _initialise(workspace: Workspace) -> None:
    from rdt.tracking.sender import initialise

    try:
        print(initialise(workspace.paths, workspace.tracked_experiments()))
    except Exception as error:  # MLflow, its server and its database raise many kinds
        problem = f"MLflow cannot be set up: {str(error).splitlines()[0]}"
        remedy = "correct MLFLOW_TRACKING_URI, or unset it for the embedded database"
        raise UserError(masked(store_uri(workspace.paths)), problem, remedy) from error


def _show(paths: Paths, host: str, port: int) -> None:
    """Become MLflow's page, after sending what waits; ends with Ctrl-C."""
    uri = store_uri(paths)
    if uri.startswith("http"):
        print(f"Runs: {uri}")
        return
    flush_pending(paths)
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not file.exists():
        raise UserError(file, "there is no database: nothing has been tracked yet", "run the experiment first")
    print(f"Runs: http://{host}:{port}/{PAGE}  (Ctrl-C ends it)", flush=True)
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    artifacts = (paths.root / "mlartifacts").resolve().as_uri()
    where = ["--backend-store-uri", uri, "--default-artifact-root", artifacts]
    command = [sys.executable, "-m", "mlflow", "server", *where, "--host", host, "--port", str(port), "--workers", "1"]
    os.execvpe(command[0], command, environment)


def where_to_look(paths: Paths) -> str:
    """The address of a tracking server, or the command that shows a database."""
    uri = masked(store_uri(paths))
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"
