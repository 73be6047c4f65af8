"""``rdt survey EXPERIMENT``: what the captions of a role say of the method, before anything is trained."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.data.vocabulary import build_vocabulary
from rdt.features.inputs import open_dataset
from rdt.files import atomic_folder, atomic_write_text
from rdt.provenance import steps
from rdt.provenance.manifest import write_manifest
from rdt.report.survey import survey
from rdt.report.survey_page import figures, qualities_csv, survey_page

CODE = "rdt.report.survey"

STEPS, PERMUTATIONS = 1000, 20
EPILOG = """\
Only the annotations are read, no features. Writes reports/<experiment>/captions: README.md, figures.csv, q.csv.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt survey``."""
    experiment_argument(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG


def run(args: argparse.Namespace) -> None:
    """Write the page and the tables that it is made from."""
    started, workspace = time.time(), open_workspace(args)
    experiment, method = workspace.experiment, workspace.experiment.method
    dataset = open_dataset(experiment, workspace.paths, "primary")
    images = dataset.split("train")
    vocabulary = build_vocabulary((caption.tokens for image in images for caption in image.captions), method.min_count)
    found = survey(dataset.name, images, vocabulary, method, STEPS, PERMUTATIONS)
    folder = workspace.paths.reports / "captions"
    with atomic_folder(folder) as partial:
        atomic_write_text(partial / "README.md", survey_page(found))
        atomic_write_text(partial / "figures.csv", figures(found))
        atomic_write_text(partial / "q.csv", qualities_csv(found))
    write_manifest(
        folder,
        command=["rdt", *sys.argv[1:]],
        configuration={"method": asdict(method), "steps": STEPS, "permutations": PERMUTATIONS},
        code=CODE,
        inputs=steps.annotations(experiment, workspace.paths, "primary"),
        seed=0,
        started=started,
        extra={"vocabulary": vocabulary.digest},
    )
    print(folder / "README.md")
