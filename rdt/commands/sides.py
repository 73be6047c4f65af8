"""What the commands of the side plans have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rdt.commands.arguments import open_workspace
from rdt.experiment.plan import SidePlan
from rdt.provenance import steps
from rdt.workspace import Workspace


def make_side(args: argparse.Namespace, name: str, write: Callable[[Workspace, SidePlan], None]) -> None:
    """Score the networks of a side plan, write its table with ``write``, and print where it is."""
    workspace = open_workspace(args)
    side = workspace.plan.side(name)
    with workspace.make(steps.side(side, workspace.paths)):
        write(workspace, side)
    print(f"{name.capitalize()}: {workspace.paths.side_table(name)}")
