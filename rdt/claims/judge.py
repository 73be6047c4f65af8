"""The ``claims`` step: what the paper asserts, and what this experiment has to say about it.

``reports/claims.yaml`` lists the claims; :func:`judge` reaches a verdict on each, from the same measurements
as the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace as changed
from itertools import product

from rdt.claims.attention_cost import ranking_attention_cost, self_attention_cost
from rdt.claims.attention_spread import judge_attention
from rdt.claims.claim import (
    AttentionClaim,
    CellComparison,
    Cells,
    Claim,
    CostClaim,
    Judgement,
    LossClaim,
    NoiseClaim,
    OutsideClaim,
    Verdict,
)
from rdt.claims.inside import Inspected, documents_of, nothing_inspected
from rdt.claims.loss_alone import judge_loss
from rdt.claims.noise_quality import judge_noise
from rdt.claims.power import Needed, needed
from rdt.data.published import read_published
from rdt.errors import UserError
from rdt.experiment.plan import Cell, Plan
from rdt.metrics.names import TWINS
from rdt.metrics.resampling import LEVEL, holm
from rdt.scoring.measurements import Difference, Measurements

LEFT_OUT = "the experiment leaves its table out"

# ---- verdicts


def judge(claim: Claim, measurements: Measurements, inspected: Inspected = nothing_inspected) -> Judgement:
    """Verdict on one claim; ``inspected`` gives what is known of the inside of networks.

    A comparison is decided where its interval covers both images and seeds, hence two seeds at least, and lies on
    one side of 0 after Holm's correction over the comparisons of the claim. *reproduced*: all of them are, on the
    claim's side; *contradicted*: one is, on the other side; the rest is *undecided*.
    """
    if isinstance(claim, OutsideClaim):
        return Judgement(claim, "not run", reason=claim.reason)
    if isinstance(claim, CostClaim):
        return judge_cost(claim, measurements.plan)
    if isinstance(claim, LossClaim):
        return judge_loss(claim, measurements.plan.experiment.method)
    if isinstance(claim, NoiseClaim):
        sides = [find_cells(side, measurements.plan, claim.id) for side in (claim.without_loss, claim.with_loss)]
        return judge_inside(claim, sides, inspected, judge_noise)
    if isinstance(claim, AttentionClaim):
        sides = [find_cells(side, measurements.plan, claim.id) for side in (claim.self_attention, claim.ranking)]
        return judge_inside(claim, sides, inspected, judge_attention)
    cells = [find_cells(side, measurements.plan, claim.id) for side in (claim.better, claim.than)]
    if not all(cells):
        return Judgement(claim, "not run", reason=LEFT_OUT)
    pairs = list(product(*cells))
    reason = next((found for pair in pairs if (found := obstacle(*pair, measurements, claim.varies))), "")
    if reason:
        return Judgement(claim, "not run", reason=reason.removeprefix("not run: "))
    comparisons = compare_cells(pairs, measurements, claim.varies)
    return Judgement(claim, verdict(comparisons), comparisons)


def judge_inside(
    claim: Claim, sides: Sequence[Sequence[Cell]], inspected: Inspected, verdict_on: Callable[..., Judgement]
) -> Judgement:
    """Verdict that ``verdict_on`` reaches from the documents of two sides of a claim, *not run* where one has none."""
    if not all(sides):
        return Judgement(claim, "not run", reason=LEFT_OUT)
    found = [documents_of(cells, inspected) for cells in sides]
    reason = next((side for side in found if isinstance(side, str)), "")
    return Judgement(claim, "not run", reason=reason) if reason else verdict_on(claim, *found)


def find_cells(cells: Cells, plan: Plan, claim: str) -> list[Cell]:
    """Planned cells that a claim rests on, none if their table is not; UserError for one that no table has."""
    found = {(cell.table, cell.row, cell.column): cell for cell in plan.cells}
    if cells.table not in plan.experiment.tables:
        return []
    for row in cells.rows:
        if (cells.table, row, cells.column) not in found:
            where = f"reports/claims.yaml, claim {claim}"
            raise UserError(
                where, f"Table {cells.table} has no {cells.column} of '{row}'", "see experiments/tables.yaml"
            )
    listed = [found[cells.table, row, cells.column] for row in cells.rows]
    return [changed(cell, metric=cells.metric) if cells.metric else cell for cell in listed]


def obstacle(better: Cell, than: Cell, measurements: Measurements, varies: str = "") -> str:
    """Why two cells cannot be compared; empty if they can."""
    for cell in (better, than):
        reason = measurements.reason(cell) if cell.measured else f"{cell.row} is another group's row"
        if reason:
            return reason
    if measurements.spice(better) != measurements.spice(than):
        return "one side has SPICE and the other SPICE-dp"
    cascades = [int(cell.stage.endswith("2")) + 1 for cell in (better, than)]
    if cascades[0] != cascades[1] and varies != "cascades":
        return f"the two sides are {cascades[0]} and {cascades[1]} networks in cascade here"
    epochs = [measurements.xe_epochs(cell) for cell in (better, than)]
    if epochs[0] != epochs[1]:
        return f"the two sides were trained for {epochs[0]} and {epochs[1]} epochs here"
    seeds = measurements.common_seeds(better, than)
    if not seeds:
        return "the two sides have no seed in common"
    if all(measurements.networks(better)[seed] == measurements.networks(than)[seed] for seed in seeds):
        return "both sides are the same network here"
    return ""


def compare_cells(
    pairs: Sequence[tuple[Cell, Cell]], measurements: Measurements, varies: str
) -> tuple[CellComparison, ...]:
    """Comparison of each pair of cells, with p corrected for the number of pairs."""
    differences = [measurements.difference(better, than) for better, than in pairs]
    covered = [difference.p for difference in differences if difference.p is not None]
    corrected = iter(holm(covered))
    return tuple(
        CellComparison(
            *pair,
            None if varies else paper_difference(*pair),  # it prints one number for both
            difference,
            None if difference.p is None else next(corrected),
            *what_decides(pair[0], difference, len(pairs), measurements),
        )
        for pair, difference in zip(pairs, differences, strict=True)
    )


def paper_difference(better: Cell, than: Cell) -> float | None:
    """Difference of two cells in the paper; None where it does not print both, and for twins."""
    if better.metric == TWINS:
        return None
    printed = [read_published(cell.table).get((cell.row, cell.column), "") for cell in (better, than)]
    return float(printed[0]) - float(printed[1]) if all(printed) else None


def what_decides(
    cell: Cell, found: Difference, comparisons: int, measurements: Measurements
) -> tuple[Needed | None, str]:
    """Seeds and images that would decide a difference, and the stage that the scatter of seeds is taken from."""
    if found.image_error is None:
        return None, ""
    if found.seed_scatter is not None:
        scatter, freedom, stage = found.seed_scatter, found.freedom, cell.stage
    else:
        scatter, freedom, stage = measurements.scatter_elsewhere(cell) or (0.0, 1, "")
    level = 1 - (1 - LEVEL) / comparisons
    return needed(found.value, found.image_error, found.images, scatter, freedom, level), stage


def verdict(comparisons: Sequence[CellComparison]) -> Verdict:
    """Verdict that the comparisons of a claim give, by the rule of :func:`judge`."""
    if any(comparison.decided and comparison.difference.value < 0 for comparison in comparisons):
        return "contradicted"
    if all(comparison.decided for comparison in comparisons):
        return "reproduced"
    return "undecided"


def judge_cost(claim: CostClaim, plan: Plan) -> Judgement:
    """Verdict by a count of multiply-adds at the claim's sizes, with the shares of keys of the experiment's method."""
    method, sizes = plan.experiment.method, claim.sizes
    plain = self_attention_cost(sizes.tokens, sizes.dim, sizes.ffn)
    ranking = ranking_attention_cost(sizes.tokens, sizes.dim, sizes.ffn, method.lambda_f, method.lambda_e)
    layer, attention = ranking.layer / plain.layer, ranking.attention / plain.attention
    reason = (
        f"counted multiply-adds with {sizes.tokens} tokens of {sizes.dim} dimensions: an encoder layer takes "
        f"{layer:.2f} times those of one with self-attention ({ranking.layer / 1e6:.0f} to {plain.layer / 1e6:.0f} "
        f"million), its attention alone {attention:.2f} times; moderate is taken as at most {claim.at_most:g} times "
        "a layer, for the paper gives no number. Sorting and gathering are not in the count"
    )
    return Judgement(claim, "reproduced" if layer <= claim.at_most else "contradicted", reason=reason)
