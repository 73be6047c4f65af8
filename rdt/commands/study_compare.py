"""``rdt study-compare EXPERIMENT --study NAME``: a study's best setting beside the paper's, on test."""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.studies.write import write_comparison

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Write ``comparison.json`` and the study's page."""
    workspace = open_study(args)
    step = workspace.step("study-compare")
    with workspace.make(step) as job:
        comparison = write_comparison(workspace)
        job.metrics({f"test/difference/{name}": value.value for name, value in comparison.difference.items()})
        for path in step.files:
            job.artifact(path)
