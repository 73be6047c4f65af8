"""The verdicts as rows of the page, each effect as a small drawing."""

from __future__ import annotations

from dataclasses import dataclass

from rdt.claims.claim import CellComparison, Claim, Judgement, Verdict
from rdt.claims.page import advice, as_sentence, over, signed
from rdt.experiment.settings import Experiment


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
        glyph=None if closest is None else _glyph(closest),
        over="" if closest is None else _over(judgement, experiment),
        reason=as_sentence(judgement.reason) if judgement.reason else "",
        advice=advice(judgement),
    )


def _over(judgement: Judgement, experiment: Experiment) -> str:
    several = len(judgement.comparisons)
    smallest = f"smallest of {several}; " if several > 1 else ""
    return f"{smallest}{over(judgement.closest, experiment)}"


def _glyph(comparison: CellComparison) -> Glyph:
    """The drawing of a comparison in percent of its base, or in points where the paper has no such share."""
    found = comparison.difference
    ours = found.value, found.low, found.high
    if comparison.expected is None:
        return glyph(*ours, comparison.paper)
    return glyph(*map(comparison.share, ours), comparison.share(comparison.expected), " %")


def glyph(value: float, low: float | None, high: float | None, paper: float | None = None, unit: str = "") -> Glyph:
    """The drawing of a difference with its interval and the paper's, as wide as the largest of them asks."""
    widest = 1.08 * max(abs(number) for number in (value, low, high, paper) if number is not None) or 1.0

    def place(number: float | None) -> float | None:
        return None if number is None else round(50 + 50 * number / widest, 2)

    ends = "" if low is None else f", interval {signed(low)} to {signed(high)}{unit}"
    printed = "" if paper is None else f"; paper {signed(paper)}{unit}"
    return Glyph(place(value), place(low), place(high), place(paper), f"ours {signed(value)}{unit}{ends}{printed}")


def css_class(verdict: Verdict) -> str:
    """Style of a verdict: a smaller effect looks as one of the paper's size."""
    return verdict.partition(",")[0].replace(" ", "-")
