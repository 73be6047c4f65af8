"""``rdt report EXPERIMENT``: one page that shows what a finished experiment found."""

from __future__ import annotations

import argparse

import torch

from rdt import chain
from rdt.io import atomic_write_text
from rdt.report.page import render
from rdt.stages import open_stage, stage_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt report``."""
    stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Write the page, and print where it is."""
    stage = open_stage(args)
    torch.set_num_threads(stage.experiment.training.threads)  # as in training, so that captions come out the same
    with stage.make(chain.report(stage.plan, stage.paths)):
        atomic_write_text(stage.paths.report, render(stage))
    print(f"Report: {stage.paths.report}")
