"""What would decide a claim: seeds and images, from the errors that its comparisons are known to have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rdt.claims.claim import CellComparison
from rdt.claims.power import Chance, Errors, Needed, chance_beyond, chance_within, needed
from rdt.scoring.measurements import Measurements


def what_decides(
    comparisons: Sequence[CellComparison], measurements: Measurements, p: float
) -> tuple[Needed | None, str | None]:
    """Seeds and images with which a claim is likely to have a finding of at most ``p``, as Judgement has them.

    The cheapest way to any finding counts, supposing that the differences are what was measured.
    """
    known = [_known_errors(comparison, measurements) for comparison in comparisons]
    if any(found is None for found in known):
        return None, ""
    words = [scatter_of for _, scatter_of in known]
    scatter_of = None if None in words else next(filter(None, words), "")
    chance = chance_of_finding(comparisons, [errors for errors, _ in known], p)
    return needed(chance, comparisons[0].difference.units), scatter_of


def _known_errors(comparison: CellComparison, measurements: Measurements) -> tuple[Errors, str | None] | None:
    """Errors of a comparison, and whose scatter they have, as Judgement has it; None without numbers by image."""
    found = comparison.difference
    if found.image_error is None:
        return None
    if found.seed_scatter is not None:
        freedom, scatter_of = found.freedom // (found.seeds - 1), ""
        return Errors(found.image_error, found.units, found.seed_scatter, freedom), scatter_of
    elsewhere = measurements.scatter_elsewhere(comparison.better)
    scatter, freedom, scatter_of = elsewhere or (0.0, 1, None)
    return Errors(found.image_error, found.units, scatter, freedom), scatter_of


def chance_of_finding(comparisons: Sequence[CellComparison], errors: Sequence[Errors], p: float) -> Chance:
    """Chance of the likeliest finding of at most ``p`` (:func:`rdt.claims.judge.findings`), by seeds and images."""
    sides = list(zip(comparisons, errors, strict=True))
    one_of_several = 1 - p / len(sides)

    def chance(seeds: int, images: int) -> float:
        size = seeds, images
        beyond = [chance_beyond(c.difference.value, error, *size, 1 - p) for c, error in sides]
        against = [
            chance_beyond(-c.difference.value, error, *size, one_of_several)
            for c, error in sides
            if c.difference.value < 0
        ]
        none = [
            chance_within(c.difference.value, c.bound, error, *size, one_of_several)
            for c, error in sides
            if c.bound is not None
        ]
        return max(math.prod(beyond), *against, *none, 0.0)

    return chance
