"""``rdt study-export EXPERIMENT --study NAME``: what came out of a study on val."""

from __future__ import annotations

import argparse

from rdt.chain import Step
from rdt.io import atomic_write_text
from rdt.studies.export import best_text, best_trial, trials_csv
from rdt.studies.plots import write_plots
from rdt.studies.stage import open_study, study_arguments
from rdt.studies.storage import load

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Write ``trials.csv``, ``best.yaml`` and the plots."""
    stage = open_study(args)
    opened = load(stage.study, stage.folder, stage.name, stage.experiment.training.xe_epochs)
    best, folder = best_trial(stage, opened), stage.report
    table, setting = folder / "trials.csv", folder / "best.yaml"
    atomic_write_text(table, trials_csv(stage, opened))
    atomic_write_text(setting, best_text(stage, best, setting))
    files = (table, setting, *write_plots(stage.study, opened, folder))
    step = Step("study-export", table, __name__, {}, {"study": stage.folder / "study.json"}, files)
    with stage.make(step) as job:
        job.metrics(
            {f"best/val/{name}": value for name, value in zip(stage.study.objectives, best.values, strict=True)}
        )
        for path in files:
            job.artifact(path)
