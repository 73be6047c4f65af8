"""``rdt study-export EXPERIMENT --study NAME``: what came out of a study on val."""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.files import atomic_write_text
from rdt.provenance.steps import Step
from rdt.studies.export import best_text, best_trial, trials_csv
from rdt.studies.plots import write_plots
from rdt.studies.storage import open_stored

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Write ``trials.csv``, ``best.yaml`` and the plots."""
    workspace = open_study(args)
    opened = open_stored(workspace.study, workspace.folder, workspace.name, workspace.experiment.training.xe_epochs)
    best, folder = best_trial(workspace, opened), workspace.report
    table, setting = folder / "trials.csv", folder / "best.yaml"
    atomic_write_text(table, trials_csv(workspace, opened))
    atomic_write_text(setting, best_text(workspace, best, setting))
    files = (table, setting, *write_plots(workspace.study, opened, folder))
    step = Step("study-export", table, __name__, {}, {"study": workspace.folder / "study.json"}, files)
    with workspace.make(step) as job:
        job.metrics(
            {f"best/val/{name}": value for name, value in zip(workspace.study.objectives, best.values, strict=True)}
        )
        for path in files:
            job.artifact(path)
