"""``rdt study-export EXPERIMENT --study NAME``: what came out of a study on val."""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.studies.export import write_study

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Write ``trials.csv``, ``best.yaml`` and the plots."""
    workspace = open_study(args)
    step = workspace.step("study-export")
    with workspace.make(step) as job:
        values = zip(workspace.study.objectives, write_study(workspace).values, strict=True)
        job.metrics({f"best/val/{name}": value for name, value in values})
        for path in step.files:
            job.artifact(path)
