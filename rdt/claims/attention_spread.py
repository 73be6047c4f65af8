"""The claim of Fig. 3 and 6 that self-attention narrows down from encoder to encoder, and ranking attention less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdt.claims.claim import Claim, Judgement
from rdt.claims.inside import Effect, findings_inside, interval_over, listed
from rdt.experiment.settings import GRID_CELLS
from rdt.scoring.inspected import InspectionDocument, mean_over


def judge_attention(
    claim: Claim, self_attention: Sequence[InspectionDocument], ranking: Sequence[InspectionDocument]
) -> Judgement:
    """Findings on how many cells fewer the last encoder attends to than the first.

    They have to be fewer with self-attention, and by more than with ranking attention on the same images: paired
    seed by seed, over the seeds that both have.
    """
    pairs = same_seeds(self_attention, ranking)
    if not pairs:
        return Judgement(claim, "not run", reason="the two networks have no seed in common")
    if len(pairs[0][0]["attention"]["cells"]) < 2:
        return Judgement(claim, "not run", reason="the encoder has one layer here")
    effects = narrowing(pairs)
    first, second = (effect.text(1) for effect in effects)
    sides = {"self-attention": [a for a, _ in pairs], "ranking attention": [b for _, b in pairs]}
    spread = " and ".join(f"{listed(_cells(documents), 1)} with {name}" for name, documents in sides.items())
    reason = (
        f"from the first to the last encoder attention is spread over {spread}, of {GRID_CELLS} cells: self-attention "
        f"narrows by {first} cells, which is {second} more than ranking attention does, "
        f"{interval_over(len(pairs[0][0]['images']), len(pairs))}{_objects(sides)}"
    )
    return Judgement(claim, "undecided", reason=reason, findings=findings_inside(effects))


def same_seeds(
    first: Sequence[InspectionDocument], second: Sequence[InspectionDocument]
) -> list[tuple[InspectionDocument, InspectionDocument]]:
    """Documents of the seeds that both networks have."""
    by_seed = {document["seed"]: document for document in second}
    return [(document, by_seed[document["seed"]]) for document in first if document["seed"] in by_seed]


def narrowing(pairs: Sequence[tuple[InspectionDocument, InspectionDocument]]) -> tuple[Effect, Effect]:
    """Cells fewer from the first to the last encoder: of the first network, and by how many more than of the second."""
    units = np.array(pairs[0][0]["units"])
    fewer = [tuple(_fewer(document) for document in pair) for pair in pairs]
    return (
        Effect(mean_over([first for first, _ in fewer], units)),
        Effect(mean_over([first - second for first, second in fewer], units)),
    )


def _fewer(document: InspectionDocument) -> np.ndarray:
    cells = np.array(document["attention"]["cells"])
    return cells[0] - cells[-1]


def _cells(documents: Sequence[InspectionDocument]) -> list[float]:
    """Cells that each encoder attends to, mean over images and seeds."""
    return np.mean([document["attention"]["cells"] for document in documents], axis=(0, 2)).tolist()


def _objects(sides: dict[str, list[InspectionDocument]]) -> str:
    """Attention that objects get, in words; nothing where nobody knows where objects are."""
    if any(document["attention"]["objects"] is None for documents in sides.values() for document in documents):
        return ""
    parts = []
    for name, documents in sides.items():
        got = np.mean([document["attention"]["on_objects"] for document in documents], axis=(0, 2))
        share = np.mean([document["attention"]["objects"] for document in documents])
        parts.append(f"{listed((got / share).tolist(), 2)} times with {name}")
    return f". Cells with an object get their share of attention {' and '.join(parts)}"
