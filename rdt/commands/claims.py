"""rdt claims: reach a verdict on each claim of the paper."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt claims``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Judge every claim, and print where the page is and how many claims had which verdict."""
    from rdt.claims.claim import read_claims
    from rdt.claims.write import write_claims

    workspace = open_workspace(args)
    with workspace.make(steps.claims(workspace.plan, workspace.paths)):
        write_claims(workspace.plan, workspace.paths, read_claims())
    print(workspace.paths.verdicts.read_text(encoding="utf-8"), end="")
