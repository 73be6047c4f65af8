"""rdt claims: reach a verdict on each claim of the paper."""

from __future__ import annotations

import argparse

from rdt.claims.claim import read_claims
from rdt.claims.page import verdict_counts
from rdt.claims.write import write_claims
from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.files import atomic_write_text
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt claims``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Judge every claim, and print where the page is and how many claims had which verdict."""
    workspace = open_workspace(args)
    with workspace.make(steps.claims(workspace.plan, workspace.paths)):
        judgements = write_claims(workspace.plan, workspace.paths, read_claims())
    line = f"Claims: {workspace.paths.claims} ({verdict_counts(judgements)})"
    atomic_write_text(workspace.paths.verdicts, line + "\n")
    print(line)
