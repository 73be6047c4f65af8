"""``rdt study-init EXPERIMENT --study NAME``: create a study in its storage, once, before its workers."""

from __future__ import annotations

import argparse

from rdt.commands.study import open_study, study_arguments
from rdt.files import atomic_write_json
from rdt.studies.storage import create
from rdt.studies.workspace import INIT

add_arguments = study_arguments


def run(args: argparse.Namespace) -> None:
    """Create the study, or find that the one that is there is the same; ``study.json`` says what it is."""
    workspace = open_study(args)
    identity, step = workspace.identity(), workspace.step(INIT)
    create(workspace.study, workspace.folder, workspace.name, identity)
    with workspace.make(step):
        atomic_write_json(step.target, {"study": workspace.name, "trials": workspace.study.trials, **identity})
