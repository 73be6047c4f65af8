"""``rdt study-compare EXPERIMENT --study NAME``: a study's best setting beside the paper's, on test."""

from __future__ import annotations

import argparse

from rdt.chain import Step
from rdt.io import atomic_write_json, atomic_write_text
from rdt.metrics.corpus import Scorer
from rdt.studies.comparison import compare
from rdt.studies.page import page
from rdt.studies.stage import open_study, study_arguments

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Write ``comparison.json`` and the study's page."""
    stage = open_study(args)
    files = (stage.report / "comparison.json", stage.report / "README.md")
    inputs = {"trials": stage.report / "trials.csv", "best": stage.report / "best.yaml"}
    step = Step("study-compare", files[0], __name__, {}, inputs, files)
    with Scorer(stage.paths.cache) as scorer, stage.make(step) as job:
        comparison = compare(stage, scorer)
        atomic_write_json(files[0], comparison.document())
        atomic_write_text(files[1], page(stage, comparison))
        job.metrics({f"test/difference/{name}": value.value for name, value in comparison.difference.items()})
        for path in files:
            job.artifact(path)
