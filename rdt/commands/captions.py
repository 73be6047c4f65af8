"""rdt captions: caption the images of the tables with a trained run."""

from __future__ import annotations

import argparse
import time

from rdt.captioning.files import load_network, write_captions
from rdt.captioning.model_card import show_captions, shown
from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.errors import UserError
from rdt.experiment.runs import NetworkId
from rdt.features.inputs import open_inputs
from rdt.model.device import open_device
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt captions``."""
    experiment_argument(parser)
    parser.add_argument("--run", required=True, help="id of the run, as in results/<experiment>/runs/")
    parser.add_argument("--stage", required=True, help="network of the run: xe, xe2, rl or rl2")


def run(args: argparse.Namespace) -> None:
    """Write every caption file of one network."""
    workspace = open_workspace(args)
    run = workspace.run(args.run)
    jobs = workspace.plan.captions_of(args.run, args.stage)
    if not jobs:
        known = ", ".join(sorted({job.stage for job in workspace.plan.captions if job.run == args.run}))
        raise UserError("--stage", f"no table needs captions of '{args.stage}' of run {args.run}", f"choose {known}")
    device = open_device(workspace.experiment.training, workspace.experiment.path)
    made = steps.captions(workspace.plan, workspace.paths, run.id, args.stage)
    with workspace.make(*made, run=run, stage=args.stage) as track:
        for job in jobs:
            started = time.monotonic()
            inputs = open_inputs(workspace.experiment, workspace.paths, job.role, run.role, run.method.length)
            model = load_network(workspace, inputs, NetworkId(args.run, args.stage)).to(device)
            facts = write_captions(workspace, job, inputs, model)
            rate = facts["images"] / (time.monotonic() - started)
            name = f"{job.variant}-{job.role}-{job.split}"
            track.metrics(
                {f"{name}/{key}": value for key, value in facts.items()} | {f"{name}/images_per_second": rate}
            )
            if job == shown(jobs, run.role):
                show_captions(workspace, job, track, inputs, model)
