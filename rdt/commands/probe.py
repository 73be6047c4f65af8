"""rdt probe: report what the encoder's features tell."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.features.probe import write_probe
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt probe``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``probe.json`` beside the encoder."""
    workspace = open_workspace(args)
    with workspace.make(steps.probe(workspace.plan, workspace.paths)) as job:
        report = write_probe(workspace.experiment, workspace.paths)
        job.metrics({f"recall@{k}": report["recall"][f"recall@{k}"] for k in (1, 5, 10)})
        job.metrics({f"probe/{name}": value["probe"] for name, value in report["cells"].items()})
