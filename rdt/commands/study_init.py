"""``rdt study-init EXPERIMENT --study NAME``: create a study in its storage, once, before its workers."""

from __future__ import annotations

import argparse

from rdt.chain import Step
from rdt.io import atomic_write_json
from rdt.studies.stage import INIT, open_study, study_arguments
from rdt.studies.storage import create

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Create the study, or find that the one that is there is the same; ``study.json`` says what it is."""
    stage = open_study(args)
    identity = stage.identity()
    create(stage.study, stage.folder, stage.name, identity)
    path = stage.folder / "study.json"
    with stage.make(Step(INIT, path, __name__, identity, stage.input_files())):
        atomic_write_json(path, {"study": stage.name, "trials": stage.study.trials, **identity})
