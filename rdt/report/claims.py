"""The verdicts as rows of the page, each effect as a small drawing."""

from __future__ import annotations

from dataclasses import dataclass

from rdt.claims.claim import CellComparison, Claim, Judgement, Verdict
from rdt.claims.page import advice, as_sentence, over, signed
from rdt.experiment.settings import Experiment
from rdt.scoring.measurements import Difference


@dataclass(frozen=True)
class Glyph:
    """An effect on a line from 0 to 100 on which no effect is at 50; ``text`` says the same in words."""

    value: float
    low: float | None
    high: float | None
    paper: float | None
    text: str


@dataclass(frozen=True)
class ClaimRow:
    """A claim with the comparison that is the first to fail, None where there is none."""

    claim: Claim
    verdict: Verdict
    comparison: CellComparison | None
    glyph: Glyph | None
    over: str
    reason: str
    advice: str


def claim_rows(judgements: list[Judgement], experiment: Experiment) -> list[ClaimRow]:
    """One row for each claim."""
    return [_claim_row(judgement, experiment) for judgement in judgements]


def _claim_row(judgement: Judgement, experiment: Experiment) -> ClaimRow:
    closest = judgement.closest
    return ClaimRow(
        claim=judgement.claim,
        verdict=judgement.verdict,
        comparison=closest,
        glyph=None if closest is None else glyph(closest.difference, closest.paper),
        over="" if closest is None else _over(judgement, experiment),
        reason=as_sentence(judgement.reason) if judgement.reason else "",
        advice=advice(judgement),
    )


def _over(judgement: Judgement, experiment: Experiment) -> str:
    several = len(judgement.comparisons)
    smallest = f"smallest of {several}; " if several > 1 else ""
    return f"{smallest}{over(judgement.closest, experiment)}"


def glyph(found: Difference, paper: float | None = None) -> Glyph:
    """The drawing of one difference, as wide as its largest number asks; ``paper``: the paper's."""
    numbers = [number for number in (found.value, found.low, found.high, paper) if number is not None]
    widest = 1.08 * max(map(abs, numbers)) or 1.0

    def place(number: float | None) -> float | None:
        return None if number is None else round(50 + 50 * number / widest, 2)

    ends = "" if found.low is None else f", interval {signed(found.low)} to {signed(found.high)}"
    printed = "" if paper is None else f"; paper {signed(paper)}"
    text = f"ours {signed(found.value)}{ends}{printed}"
    return Glyph(place(found.value), place(found.low), place(found.high), place(paper), text)
