"""rdt inspect: measure what a trained network does inside."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace, run_argument
from rdt.errors import UserError
from rdt.experiment.runs import NetworkId
from rdt.provenance import steps
from rdt.scoring.inspection import summarised, write_inspection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt inspect``."""
    experiment_argument(parser)
    run_argument(parser)
    parser.add_argument("--stage", required=True, help="network of the run: xe")


def run(args: argparse.Namespace) -> None:
    """Write how far quality scores stray at each timestep, and how widely each encoder attends."""
    workspace = open_workspace(args)
    network = NetworkId(workspace.run(args.run).id, args.stage)
    known = steps.inspected(workspace.plan)
    if network not in known:
        problem = f"no claim looks into stage '{args.stage}' of run {args.run}"
        raise UserError("--stage", problem, f"choose one of {', '.join('/'.join(one) for one in known) or 'none'}")
    with workspace.make(steps.inspection(workspace.plan, workspace.paths, *network)) as job:
        job.metrics(summarised(write_inspection(workspace, network)))
