"""The ``score`` step: the scores of all captions of a split, and of its baselines."""

from __future__ import annotations

from rdt.experiment.settings import Role, pool_role
from rdt.features.retrieval import read_pool_texts, read_retrieved
from rdt.files import atomic_write_json
from rdt.metrics.corpus import Scorer
from rdt.scoring.baselines import baselines
from rdt.scoring.references import Targets, split_images, targets_of
from rdt.scoring.show import show_scores
from rdt.scoring.systems import score_plan
from rdt.workspace import Workspace


def score_split(workspace: Workspace, role: Role, split: str) -> None:
    """Score every caption file of a role and split that the tables ask about, and its baselines, which come last."""
    targets, train = targets_of(workspace, role, split), split_images(workspace, pool_role(role), "train")
    with Scorer(workspace.paths.cache, workspace.experiment.metrics.language) as scorer:
        documents = score_plan(workspace.plan, workspace.paths, targets, scorer)
        retrieved = _first_retrieved(workspace, targets) if workspace.plan.learnt(role, split) else None
        document = baselines(targets, train, retrieved, scorer)
    atomic_write_json(workspace.paths.baselines(role, split), document)
    show_scores(workspace, role, split, documents)


def _first_retrieved(workspace: Workspace, targets: Targets) -> dict[int, str]:
    """The nearest sentence of the pool by image id."""
    folder = workspace.paths.index(targets.role)
    texts = read_pool_texts(folder)
    image_ids, rows = read_retrieved(folder)
    return {int(image): texts[row[0]] for image, row in zip(image_ids, rows, strict=True)}
