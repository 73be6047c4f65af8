"""``rdt study-compare EXPERIMENT --study NAME``: a study's best setting beside the paper's, on test."""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.files import atomic_write_json, atomic_write_text
from rdt.metrics.corpus import Scorer
from rdt.provenance.steps import Step
from rdt.studies.comparison import compare_settings
from rdt.studies.page import study_page

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Write ``comparison.json`` and the study's page."""
    workspace = open_study(args)
    files = (workspace.report / "comparison.json", workspace.report / "README.md")
    inputs = {"trials": workspace.report / "trials.csv", "best": workspace.report / "best.yaml"}
    step = Step("study-compare", files[0], __name__, {}, inputs, files)
    with Scorer(workspace.paths.cache) as scorer, workspace.make(step) as job:
        comparison = compare_settings(workspace, scorer)
        atomic_write_json(files[0], comparison.document())
        atomic_write_text(files[1], study_page(workspace, comparison))
        job.metrics({f"test/difference/{name}": value.value for name, value in comparison.difference.items()})
        for path in files:
            job.artifact(path)
