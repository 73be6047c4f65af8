"""A claim of the paper, in the forms that ``reports/claims.yaml`` can state it, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rdt.claims.power import Needed
from rdt.errors import UserError
from rdt.experiment.plan import Cell
from rdt.experiment.settings import Count, Phase
from rdt.experiment.settings import Table as TableName
from rdt.experiment.values import parse
from rdt.files import read_yaml
from rdt.provenance import steps
from rdt.scoring.measurements import Difference

Verdict = Literal["reproduced", "reproduced, smaller", "no such effect", "contradicted", "undecided", "not run"]
Varies = Literal["", "cascades", "epochs"]  # what two rows may differ in besides themselves
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


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
    kind: Literal["greater", "control", "cost", "outside", "noise", "attention", "loss"]


@dataclass(frozen=True)
class GreaterClaim(Claim):
    """``varies``: what the two sides differ in besides their rows, where the claim is about that."""

    better: Cells
    than: Cells
    varies: Varies = ""


@dataclass(frozen=True)
class ControlClaim(Claim):
    """``of``: a row of Table V, ``over``: one of experiments/controls.yaml, both after ``phase``; CIDEr."""

    of: str
    over: str
    phase: Phase = "rl"


@dataclass(frozen=True)
class CostClaim(Claim):
    """``sizes``: the paper's, for the ratios told beside the verdict."""

    sizes: LayerSizes


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
    **{"greater": GreaterClaim, "control": ControlClaim, "cost": CostClaim, "outside": OutsideClaim},
    **{"noise": NoiseClaim, "attention": AttentionClaim, "loss": LossClaim},
}


@dataclass(frozen=True)
class CellComparison:
    """One cell against another, in points of their column.

    ``paper``: the paper's difference, None where it prints none. ``base``: our number of ``than``, of which
    differences are shares: the paper's of its own. ``p_no_effect``: as :func:`rdt.claims.judge.no_effect_p`.
    """

    better: Cell
    than: Cell
    paper: float | None
    paper_base: float | None
    difference: Difference
    base: float
    p_no_effect: float | None = None

    @property
    def expected(self) -> float | None:
        """The paper's difference at our level: the same share of our base. None where a share means nothing."""
        if self.paper is None or not self.paper_base or self.base <= 0:
            return None
        return self.paper / self.paper_base * self.base

    @property
    def bound(self) -> float | None:
        """Half of the paper's difference at our level: within it of 0 ours is no such effect."""
        return None if self.expected is None else abs(self.expected) / 2

    @property
    def smaller(self) -> bool:
        """Whether the interval lies below the paper's difference."""
        return None not in (self.expected, self.difference.high) and self.difference.high < self.expected

    def share(self, points: float | None) -> float | None:
        """A difference in percent of our base; None where that means nothing."""
        return None if points is None or self.base <= 0 else 100 * points / self.base


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict; ``reason`` says in words what the numbers of the comparisons do not.

    ``findings``: p of each verdict that measurements may lead to, empty where they do not cover both images and
    seeds. ``p`` is the smallest of them, ``p_page`` the same after the correction for all claims that are tested
    (Benjamini-Hochberg). ``needed``: what would decide an undecided claim, None where nothing in reach would.
    ``scatter_of``: the networks whose scatter over seeds this supposes, in words, empty for its own; None where no
    row has several seeds: ``needed`` is then the least that could do.
    """

    claim: Claim
    verdict: Verdict
    comparisons: tuple[CellComparison, ...] = ()
    reason: str = ""
    findings: Mapping[Verdict, float] = field(default_factory=dict)
    p_page: float | None = None
    needed: Needed | None = None
    scatter_of: str | None = ""

    @property
    def p(self) -> float | None:
        return min(self.findings.values(), default=None)

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
