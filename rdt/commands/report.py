"""``rdt report EXPERIMENT``: one page that shows what a finished experiment found."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.files import atomic_write_text
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt report``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Write the page, and print where it is."""
    import torch

    from rdt.report.page import report_page

    workspace = open_workspace(args)
    torch.set_num_threads(workspace.experiment.training.threads)  # as in training, so that captions come out the same
    with workspace.make(steps.report(workspace.plan, workspace.paths)):
        atomic_write_text(workspace.paths.report, report_page(workspace))
    print(f"Report: {workspace.paths.report}")
