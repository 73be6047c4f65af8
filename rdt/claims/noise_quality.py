"""The claim of section III-D that noise takes the quality score of a reconstruction away from its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdt.claims.claim import Claim, Judgement
from rdt.claims.inside import Effect, findings_inside, interval_over, listed
from rdt.scoring.inspected import InspectionDocument, mean_over

SHOWN = (0.1, 0.25, 0.5, 0.75, 1.0)  # timesteps on the page


def judge_noise(
    claim: Claim, without_loss: Sequence[InspectionDocument], with_loss: Sequence[InspectionDocument]
) -> Judgement:
    """Findings on the slope of |q - q*| on t', which has to be above 0 without and with the ranking loss.

    Each of the two networks has a document for each of its seeds, one at least, on the same images.
    """
    effects = [slope(documents) for documents in (without_loss, with_loss)]
    reason = (
        f"slope of the distance of q from q* on t' {_told('without the ranking loss', without_loss, effects[0])}; "
        f"{_told('with it', with_loss, effects[1])}, at t' = {listed(SHOWN, 2)}"
    )
    return Judgement(claim, "undecided", reason=reason, findings=findings_inside(effects))


def _told(network: str, documents: Sequence[InspectionDocument], found: Effect) -> str:
    over = interval_over(len(documents[0]["images"]), len(documents))
    return f"{network} {found.text(3)}, {over}, where the distance is {listed(_distances(documents), 3)}"


def slope(documents: Sequence[InspectionDocument]) -> Effect:
    """Mean slope of |q - q*| on t' of one network's seeds."""
    by_seed = [np.array(document["quality"]["slopes"]) for document in documents]
    return Effect(mean_over(by_seed, np.array(documents[0]["units"])))


def _distances(documents: Sequence[InspectionDocument]) -> list[float]:
    """Mean |q - q*| over images and seeds at the timesteps shown."""
    mean = np.mean([document["quality"]["distances"] for document in documents], axis=0)
    return np.interp(SHOWN, documents[0]["quality"]["timesteps"], mean).tolist()
