"""rdt score: score the captions of a role against their references."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment.settings import ROLES
from rdt.features.retrieval import read_pool_texts, read_retrieved
from rdt.files import atomic_write_json
from rdt.metrics.corpus import Scorer
from rdt.provenance import steps
from rdt.scoring.baselines import baselines
from rdt.scoring.references import Targets, split_images, targets_of
from rdt.scoring.show import show_scores
from rdt.scoring.systems import score_plan
from rdt.workspace import Workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt score``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES, help="data set whose images were captioned")
    parser.add_argument("--split", default="test", help="split of it (default: test)")


def run(args: argparse.Namespace) -> None:
    """Score every caption file of one role and split that the tables ask about, and its baselines."""
    workspace = open_workspace(args)
    targets = targets_of(workspace, args.role, args.split)
    train = split_images(workspace, "primary" if args.role == "novel" else args.role, "train")
    step = steps.score(workspace.plan, workspace.paths, args.role, args.split)
    with workspace.make(step, role=args.role, stage=args.split), Scorer(workspace.paths.cache) as scorer:
        documents = score_plan(workspace.plan, workspace.paths, targets, scorer)
        document = baselines(targets, train, _first_retrieved(workspace, targets), scorer)
        atomic_write_json(workspace.paths.baselines(args.role, args.split), document)
        show_scores(workspace, args.role, args.split, documents)


def _first_retrieved(workspace: Workspace, targets: Targets) -> dict[int, str]:
    """The nearest sentence of the pool by image id."""
    folder = workspace.paths.index(targets.role)
    texts = read_pool_texts(folder)
    image_ids, rows = read_retrieved(folder)
    return {int(image): texts[row[0]] for image, row in zip(image_ids, rows, strict=True)}
