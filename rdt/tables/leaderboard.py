"""Several captioners on the same images: all their scores, and a paired test of every two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from rdt.metrics import resampling
from rdt.metrics.resampling import Estimate
from rdt.metrics.statistics import Statistics
from rdt.scoring.evaluation import (
    ALL,
    Evaluation,
    EvaluationDocument,
    estimate_text,
    metric_titles,
    paired_estimates,
    score_texts,
    side_by_side,
)
from rdt.tables.formats import latex_escape
from rdt.tables.notes import SPICE_DP_NOTE
from rdt.tables.table import SIGNIFICANT
from rdt.templates import filled


@dataclass(frozen=True)
class PairTest:
    """One captioner's score minus another's on the same images.

    ``p``: of the paired permutation test over images; ``p_holm`` after Holm's correction over all tests of the board.
    """

    difference: Estimate
    p: float
    p_holm: float

    @property
    def text(self) -> str:
        """``+1.2 [+0.3, +2.1]``, with an asterisk where the corrected test rejects that the two are alike."""
        value, space, interval = estimate_text(self.difference).partition(" ")
        return f"{value}{'*' if self.p_holm < SIGNIFICANT else ''}{space}{interval}"

    @property
    def p_text(self) -> str:
        """The corrected p in two digits."""
        return f"{self.p_holm:.2g}"


@dataclass(frozen=True)
class Board:
    """The captioners on the images of one scope: scores as texts by their titles, tests by pair, then by title."""

    title: str
    scores: dict[str, dict[str, str]]
    tests: dict[str, dict[str, PairTest]]

    @property
    def test_count(self) -> int:
        """How many tests the p values are corrected for."""
        return sum(map(len, self.tests.values()))


def boards(evaluations: Mapping[str, Evaluation]) -> list[Board]:
    """A board for all images, and one for each domain; ``evaluations`` are of the same images, by captioner."""
    first = next(iter(evaluations.values())).document
    titles, found = metric_titles(first), []
    for scope in first["scopes"]:
        scores = {name: score_texts(of.document["scopes"][scope], titles) for name, of in evaluations.items()}
        statistics = {name: of.statistics[scope] for name, of in evaluations.items() if scope in of.statistics}
        tests = {
            f"{a} minus {b}": {titles[name]: test for name, test in by_metric.items()}
            for (a, b), by_metric in paired_tests(statistics).items()
        }
        found.append(Board("All images" if scope == ALL else scope.removeprefix(f"{ALL}/"), scores, tests))
    return found


def paired_tests(systems: Mapping[str, Statistics]) -> dict[tuple[str, str], dict[str, PairTest]]:
    """Tests of every two systems by metric; p is corrected for all of them together."""
    pairs = list(combinations(systems, 2))
    if not pairs:
        return {}
    sides = [(systems[a], systems[b]) for a, b in pairs]
    differences = [paired_estimates(*side) for side in sides]
    p_values = resampling.permutation_test(sides)
    corrected = iter(resampling.holm([p for by_metric in p_values for p in by_metric.values()]))
    return {
        pair: {name: PairTest(difference[name], p, next(corrected)) for name, p in by_metric.items()}
        for pair, difference, by_metric in zip(pairs, differences, p_values, strict=True)
    }


def board_text(board: Board) -> str:
    """A board for the terminal: a line for each metric, first the captioners in columns, then their pairs."""
    lines = [board.title, "", side_by_side(list(board.scores.items()))]
    if board.tests:
        tests = [
            (pair, {title: f"{test.text} p {test.p_text}" for title, test in by_title.items()})
            for pair, by_title in board.tests.items()
        ]
        lines += ["", f"differences, paired by image; p after Holm's correction for {board.test_count} tests", ""]
        lines.append(side_by_side(tests))
    return "\n".join(lines)


def board_notes(document: EvaluationDocument) -> list[str]:
    """What stands under the boards: what intervals and tests are about, and why a metric is missing."""
    n, annotated = document["n"], document["annotated"]
    about = f"{n:,} images" if n == annotated else f"{n:,} of {annotated:,} annotated images"
    notes = [
        f"{about}; scores times 100, with 95 % bootstrap intervals over images.",
        f"*: the two differ in a paired permutation test over images, p < {SIGNIFICANT:.2f} after Holm's correction "
        "for all tests of the table; p is the corrected one. This is about these captions: that a method is better "
        "takes several trained networks of each.",
    ]
    if document.get("spice") == "SPICE-dp":
        notes.append(SPICE_DP_NOTE.removeprefix("†: "))
    return [*notes, *(f"{name}: {reason}" for name, reason in document["not_run"].items())]


def boards_markdown(found: list[Board], notes: list[str]) -> str:
    """Markdown of the boards with the notes under them."""
    return filled("tables/leaderboard.md.jinja", boards=found, notes=notes)


def boards_latex(found: list[Board], notes: list[str]) -> str:
    """LaTeX document of the boards, a booktabs table each, with the notes under them."""
    return filled("tables/leaderboard.tex.jinja", boards=found, notes=notes, tex=latex_escape)
