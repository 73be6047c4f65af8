"""``rdt survey EXPERIMENT``: what the captions of a role say of the method, before anything is trained."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict

from rdt import chain
from rdt.data.vocabulary import build_vocabulary
from rdt.inputs import open_dataset
from rdt.io import atomic_folder, atomic_write_text
from rdt.provenance import write_manifest
from rdt.stages import open_stage, stage_arguments
from rdt.survey import survey
from rdt.survey_page import figures, page, qualities

CODE = "rdt.survey"
STEPS, PERMUTATIONS = 1000, 20
EPILOG = """\
Only the annotations are read, no features. Writes reports/<experiment>/captions: README.md, figures.csv, q.csv.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt survey``."""
    stage_arguments(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG


def run(args: argparse.Namespace) -> None:
    """Write the page and the tables that it is made from."""
    started, stage = time.time(), open_stage(args)
    experiment, method = stage.experiment, stage.experiment.method
    dataset = open_dataset(experiment, stage.paths, "primary")
    images = dataset.split("train")
    vocabulary = build_vocabulary((caption.tokens for image in images for caption in image.captions), method.min_count)
    found = survey(dataset.name, images, vocabulary, method, STEPS, PERMUTATIONS)
    folder = stage.paths.reports / "captions"
    with atomic_folder(folder) as partial:
        atomic_write_text(partial / "README.md", page(found))
        atomic_write_text(partial / "figures.csv", figures(found))
        atomic_write_text(partial / "q.csv", qualities(found))
    write_manifest(
        folder,
        command=["rdt", *sys.argv[1:]],
        configuration={"method": asdict(method), "steps": STEPS, "permutations": PERMUTATIONS},
        code=CODE,
        inputs=chain.annotations(experiment, stage.paths, "primary"),
        seed=0,
        started=started,
        extra={"vocabulary": vocabulary.digest},
    )
    print(folder / "README.md")
