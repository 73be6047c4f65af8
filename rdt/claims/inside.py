"""What claims about the inside of networks have in common: effects with intervals, and the verdict on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rdt.claims.claim import Verdict
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Cell
from rdt.files import read_json
from rdt.metrics.resampling import Estimate, p_of_interval
from rdt.scoring.inspected import InspectionDocument

Inspected = Callable[[str], InspectionDocument | None]  # of a run


def inspections(paths: Paths) -> Inspected:
    """The inspected networks that lie in an experiment's results."""

    def read(run: str) -> InspectionDocument | None:
        path = paths.inspection(run, "xe")
        return read_json(path) if path.exists() else None

    return read


def nothing_inspected(run: str) -> None:
    """No document of any run."""


def documents_of(cells: Sequence[Cell], inspected: Inspected) -> list[InspectionDocument] | str:
    """The document of each run of some cells, or the reason why there is none."""
    reason = next((cell.reason for cell in cells if cell.reason), "")
    if reason:
        return reason.removeprefix("not run: ")
    found = [inspected(run) for cell in cells for run in cell.runs]
    known = [document for document in found if document is not None]
    return known if known and len(known) == len(found) else "its networks have not been inspected yet"


@dataclass(frozen=True)
class Effect:
    """A number that a claim says is above 0; ``estimate`` is its mean over images and seeds."""

    estimate: Estimate

    @property
    def p(self) -> float | None:
        """Two-sided p of its interval; None unless that covers both images and seeds."""
        found = self.estimate
        if found.image_error is None or found.seed_error is None:
            return None
        return p_of_interval(found.value, found.image_error, found.seed_error, found.images, found.seeds - 1)

    def text(self, digits: int) -> str:
        """The number with its interval."""
        found = self.estimate
        interval = "" if found.low is None else f" [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
        return f"{found.value:+.{digits}f}{interval}"


def findings_inside(effects: Sequence[Effect]) -> dict[Verdict, float]:
    """p of each verdict on a claim that all effects are above 0, as Judgement has them; empty where one has no p.

    *reproduced* asks that all of them are above 0 and has the largest p; *contradicted* that one is below, and has
    the smallest of these times the number of effects (Bonferroni).
    """
    p_values = [effect.p for effect in effects]
    if None in p_values:
        return {}
    against = [effect.p for effect in effects if effect.estimate.value < 0]
    return {
        "reproduced": 1.0 if against else max(p_values),
        "contradicted": min(1.0, len(effects) * min(against, default=1.0)),
    }


def interval_over(images: int, seeds: int) -> str:
    """What an interval is about, in words."""
    return f"over {images} images and {seeds} seeds" if seeds > 1 else f"over {images} images, of one seed"


def listed(numbers: Sequence[float], digits: int) -> str:
    """Numbers in a row: ``1.0, 2.0 and 3.0``."""
    *before, last = [f"{number:.{digits}f}" for number in numbers]
    return f"{', '.join(before)} and {last}" if before else last
