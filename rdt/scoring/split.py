"""The ``score`` step: the scores of all captions of a split, and of its baselines."""

from __future__ import annotations

from rdt.data.identity import ImageId
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


def _first_retrieved(workspace: Workspace, targets: Targets) -> dict[ImageId, str]:
    """The nearest sentence of the pool by image id."""
    folder = workspace.paths.index(targets.role)
    texts = read_pool_texts(folder)
    nearest = {int(number): texts[row[0]] for number, row in zip(*read_retrieved(folder), strict=True)}
    return {image.id: nearest[image.number] for image in targets.images}
