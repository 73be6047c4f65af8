"""rdt tables: put the scores into Tables II-VIII."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.plan import load_tables
from rdt.files import atomic_write_text
from rdt.provenance import steps
from rdt.tables.write import write_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt tables``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Write the tables, and print where they are and their headline."""
    workspace = open_workspace(args)
    with workspace.make(steps.tables(workspace.plan, workspace.paths)):
        lines = write_tables(workspace.plan, load_tables(), workspace.paths)
    places = [f"Tables: {workspace.paths.tables}", f"Summary: {workspace.paths.reports / 'README.md'}"]
    text = "\n".join([*places, *lines])
    atomic_write_text(workspace.paths.headline, text + "\n")
    print(text)
