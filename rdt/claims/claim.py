"""A claim of the paper, in the forms that ``reports/claims.yaml`` can state it, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rdt.claims.power import Needed
from rdt.errors import UserError
from rdt.experiment.plan import Cell
from rdt.experiment.settings import Count, Positive
from rdt.experiment.settings import Table as TableName
from rdt.experiment.values import parse
from rdt.files import read_yaml
from rdt.metrics.resampling import LEVEL
from rdt.provenance import steps
from rdt.scoring.measurements import Difference

Verdict = Literal["reproduced", "contradicted", "undecided", "not run"]


@dataclass(frozen=True)
class Cells:
    """Cells of one column of a table; with ``metric`` the same networks under another metric."""

    table: TableName
    column: str
    rows: tuple[str, ...]
    metric: Literal["", "twins"] = ""


@dataclass(frozen=True)
class LayerSizes:
    """Sizes of a visual encoder layer."""

    tokens: Count
    dim: Count
    ffn: Count


@dataclass(frozen=True)
class Claim:
    """One assertion of the paper; the head of ``reports/claims.yaml`` explains the kinds and their keys."""

    id: str
    sentence: str
    where: str
    kind: Literal["greater", "cost", "outside", "noise", "attention", "loss"]


@dataclass(frozen=True)
class GreaterClaim(Claim):
    """``varies``: what the two sides differ in besides their rows, where the claim is about that."""

    better: Cells
    than: Cells
    varies: Literal["", "cascades"] = ""


@dataclass(frozen=True)
class CostClaim(Claim):
    sizes: LayerSizes
    at_most: Positive


@dataclass(frozen=True)
class OutsideClaim(Claim):
    reason: str


@dataclass(frozen=True)
class NoiseClaim(Claim):
    without_loss: Cells
    with_loss: Cells


@dataclass(frozen=True)
class AttentionClaim(Claim):
    self_attention: Cells
    ranking: Cells


@dataclass(frozen=True)
class LossClaim(Claim):
    """A claim that the loss function decides by itself."""


KINDS = {
    **{"greater": GreaterClaim, "cost": CostClaim, "outside": OutsideClaim},
    **{"noise": NoiseClaim, "attention": AttentionClaim, "loss": LossClaim},
}


@dataclass(frozen=True)
class CellComparison:
    """One cell against another: the paper's difference (None where it prints none) and ours.

    ``p``: of the difference, after Holm's correction over the comparisons of its claim; None where the
    difference does not cover both images and seeds. ``needed``: what would decide it, None where nothing
    would. ``scatter_of``: the stage whose seeds that supposes, empty where none has several: it is then the
    least that could do.
    """

    better: Cell
    than: Cell
    paper: float | None
    difference: Difference
    p: float | None
    needed: Needed | None
    scatter_of: str

    @property
    def decided(self) -> bool:
        return self.p is not None and self.p < 1 - LEVEL


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict; ``reason`` says in words what the numbers of the comparisons do not."""

    claim: Claim
    verdict: Verdict
    comparisons: tuple[CellComparison, ...] = ()
    reason: str = ""

    @property
    def closest(self) -> CellComparison | None:
        """Comparison with the smallest difference, the first to fail; None where there is none."""
        return min(self.comparisons, key=lambda comparison: comparison.difference.value, default=None)


def read_claims(path: Path = steps.CLAIMS_FILE) -> list[Claim]:
    """Read the claims; raises UserError, which names the claim and the key at fault."""
    entries = read_yaml(path, list, "a list of claims")
    claims = [_claim(entry, path, number) for number, entry in enumerate(entries)]
    ids = [claim.id for claim in claims]
    double = next((name for name in ids if ids.count(name) > 1), None)
    if double is not None:
        raise UserError(path, f"has two claims called {double}", "give each an id of its own")
    return claims


def _claim(entry: Any, path: Path, number: int) -> Claim:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise UserError(path, f"entry {number} has no id", "give it one")
    if entry.get("kind") not in tuple(KINDS):
        kinds = ", ".join(KINDS)
        raise UserError(path, f"{entry['id']}.kind is {entry.get('kind')!r}, expected one of {kinds}", "correct it")
    return parse(KINDS[entry["kind"]], entry, path, entry["id"])
