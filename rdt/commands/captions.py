"""rdt captions: caption the images of the tables with a trained run."""

from __future__ import annotations

import argparse

from rdt.captioning.files import caption_all
from rdt.commands.arguments import experiment_argument, open_workspace, run_argument
from rdt.errors import UserError
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt captions``."""
    experiment_argument(parser)
    run_argument(parser)
    parser.add_argument("--stage", required=True, help="network of the run: xe, xe2, rl or rl2")


def run(args: argparse.Namespace) -> None:
    """Write every caption file of one network."""
    workspace = open_workspace(args)
    run = workspace.run(args.run)
    made = steps.captions(workspace.plan, workspace.paths, run.id, args.stage)
    if not made:
        known = ", ".join(sorted({job.stage for job in workspace.plan.captions if job.run == args.run}))
        raise UserError("--stage", f"no table needs captions of '{args.stage}' of run {args.run}", f"choose {known}")
    with workspace.make(*made) as job:
        caption_all(workspace, run.id, args.stage, job)
