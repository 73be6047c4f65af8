"""Write the verdicts on the claims: a page, a CSV, and the lines that a workflow ends with."""

from __future__ import annotations

from collections.abc import Sequence

from rdt.claims.claim import Claim, Judgement
from rdt.claims.inside import inspections
from rdt.claims.judge import judge
from rdt.claims.page import claims_csv, claims_page, verdict_counts
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.files import atomic_write_text
from rdt.scoring.measurements import Measurements, side_measurements

CONTROLS = "controls"


def control_measurements(plan: Plan, paths: Paths) -> Measurements | None:
    """Numbers of the controls as far as they are there; None where they are not planned."""
    controls = next((side for side in plan.sides if side.name == CONTROLS), None)
    return None if controls is None else side_measurements(controls, paths)


def judgements_of(plan: Plan, paths: Paths, claims: Sequence[Claim]) -> list[Judgement]:
    """Verdicts on claims from the results that are there."""
    return judge(claims, Measurements.of(plan, paths), inspections(paths), control_measurements(plan, paths))


def write_claims(plan: Plan, paths: Paths, claims: Sequence[Claim]) -> list[Judgement]:
    """Write ``claims.md``, ``claims.csv`` and the line about them that a workflow ends with."""
    judgements = judgements_of(plan, paths, claims)
    atomic_write_text(paths.claims.with_suffix(".csv"), claims_csv(judgements, plan.experiment))
    atomic_write_text(paths.claims, claims_page(judgements, plan.experiment))
    atomic_write_text(paths.verdicts, f"Claims: {paths.claims} ({verdict_counts(judgements)})\n")
    return judgements
