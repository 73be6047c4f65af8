"""The arguments that many commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from rdt.workspace import Workspace


def experiment_argument(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that makes a part of an experiment."""
    parser.add_argument("experiment", help="name of a file in experiments/, or the path of your own")
    _data_root_option(parser)


def experiment_option(parser: argparse.ArgumentParser) -> None:
    """The same for a command that has a subject of its own: the experiment is the default one unless it is named."""
    parser.add_argument("--experiment", default="scenes", metavar="NAME", help="by name or by path (default: scenes)")
    _data_root_option(parser)


def _data_root_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", help="folder that the paths of the experiment's data are relative to")


def run_argument(parser: argparse.ArgumentParser) -> None:
    """The run that a command which makes a part of one works on."""
    parser.add_argument("--run", required=True, help="id of the run, as in results/<experiment>/runs/")


def open_workspace(args: argparse.Namespace) -> Workspace:
    """The experiment that the arguments name."""
    return Workspace.open(args.experiment, args.data_root)


def print_notes(notes: Iterable[str]) -> None:
    """What is to be said of how a user's data were read, a line each."""
    for note in notes:
        print(f"note: {note}")
