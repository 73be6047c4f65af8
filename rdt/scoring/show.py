"""What the runs of networks in MLflow show of their scores."""

from __future__ import annotations

from collections.abc import Mapping

from rdt.captioning.model_card import shown_folder, write_card
from rdt.experiment.runs import NetworkId
from rdt.experiment.settings import Role
from rdt.provenance.steps import KINDS
from rdt.scoring.files import ScoreDocument
from rdt.workspace import Workspace


def show_scores(
    workspace: Workspace, role: Role, split: str, documents: Mapping[tuple[str, str], ScoreDocument]
) -> None:
    """Add the scores of a split, as ``test/c5/CIDEr``, to the runs of the networks, and to their cards.

    ``documents`` are read from the score files, by (run, variant). In the names of the scores another role than the
    network's own, and another number of steps, stand before the split.
    """
    for (run_id, variant), document in documents.items():
        run, (stage, _, steps) = workspace.plan.runs[run_id], variant.partition("@")
        front = "/".join(filter(None, (role if role != run.role else "", steps, split)))
        scores = {
            f"{front}/{scope}/{metric}": value
            for scope, part in document["scopes"].items()
            for metric, value in part["metrics"].items()
        }
        with workspace.track_network(run, stage, f"score-{role}-{split}{steps}", code=KINDS["score"].code) as track:
            track.metrics(scores, 0)
            if front == split and run.kind != "given":
                folder = shown_folder(workspace, NetworkId(run_id, stage))
                track.artifact(write_card(workspace, run, stage, folder, scores))
