"""rdt tables: put the scores into Tables II-VIII."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.plan import load_tables
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt tables``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Write the tables, and print where they are and their headline."""
    from rdt.tables.write import write_tables

    workspace = open_workspace(args)
    with workspace.make(steps.tables(workspace.plan, workspace.paths)):
        write_tables(workspace.plan, load_tables(), workspace.paths)
    print(workspace.paths.headline.read_text(encoding="utf-8"), end="")
