"""The ``claims`` step: what the paper asserts, and what this experiment has to say about it.

``reports/claims.yaml`` lists the claims; :func:`judge` reaches a verdict on each, from the same measurements
as the tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from rdt.claims.advice import what_decides
from rdt.claims.attention_cost import measured_cost, ranking_attention_cost, self_attention_cost
from rdt.claims.attention_spread import judge_attention
from rdt.claims.claim import (
    AttentionClaim,
    CellComparison,
    Cells,
    Claim,
    ControlClaim,
    CostClaim,
    Judgement,
    LossClaim,
    NoiseClaim,
    OutsideClaim,
    Varies,
    Verdict,
)
from rdt.claims.inside import Inspected, documents_of, nothing_inspected
from rdt.claims.loss_alone import judge_loss
from rdt.claims.noise_quality import judge_noise
from rdt.data.published import read_published
from rdt.errors import UserError
from rdt.experiment.controls import BASE
from rdt.experiment.controls import TABLE as PROPOSALS
from rdt.experiment.plan import Cell, Plan
from rdt.metrics.names import TWINS
from rdt.metrics.resampling import LEVEL, benjamini_hochberg, p_of_interval
from rdt.scoring.measurements import NO_SCORES, Difference, Measurements

FALSE = 1 - LEVEL  # share of false findings among all that a page may have
LEFT_OUT = "the experiment leaves its table out"

Printed = Sequence[str]  # two numbers of the paper, or none

# ---- verdicts


def judge(
    claims: Sequence[Claim],
    measurements: Measurements,
    inspected: Inspected = nothing_inspected,
    controls: Measurements | None = None,
) -> list[Judgement]:
    """Verdicts on claims.

    ``inspected`` gives what is known of the inside of networks, ``controls`` the numbers of that side plan, None
    where it is not planned.

    A comparison says something where its interval covers both images and seeds, hence two seeds at least. Effects
    are shares of the row compared with, so that data of another level can speak. By these intervals a claim is

    - *reproduced*: all its comparisons lie beyond 0, on the claim's side (*smaller*: one of them below the paper's);
    - *contradicted*: one lies on the other side;
    - *no such effect*: one lies within half of the paper's effect of 0 (Schuirmann 1987; Lakens 2017, whose
      bounds a study sets itself; here the paper's own effect sets them, as Simonsohn's small telescopes do, 2015).

    "One of several" costs a factor of their number (Bonferroni), "all of them" nothing. Over all claims that are
    tested, false findings are at most a twentieth (Benjamini and Hochberg 1995). The rest is *undecided*.
    """
    found = on_one_page([examine(claim, measurements, inspected, controls) for claim in claims])
    tested = [judgement for judgement in found if judgement.p is not None]
    decided = sum(judgement.verdict != "undecided" for judgement in tested)
    p = FALSE * (decided + 1) / max(1, len(tested))  # with which one more claim would be decided
    return [_with_advice(judgement, p, _numbers_behind(judgement.claim, measurements, controls)) for judgement in found]


def _numbers_behind(claim: Claim, measurements: Measurements, controls: Measurements | None) -> Measurements:
    """The plan's numbers that the comparisons of a claim are about."""
    return controls if isinstance(claim, ControlClaim) and controls else measurements


def on_one_page(examined: Sequence[Judgement]) -> list[Judgement]:
    """Verdicts that the findings of claims lead to, where they are all that are tested at once."""
    tested = [judgement.p for judgement in examined if judgement.p is not None]
    corrected = dict(zip(tested, benjamini_hochberg(tested), strict=True))  # equal ones are corrected alike
    most = max((p for p in tested if corrected[p] < FALSE), default=0.0)  # the largest that is a finding
    return [
        replace(judgement, verdict=verdict_at(judgement, most), p_page=corrected.get(judgement.p))
        for judgement in examined
    ]


def _with_advice(judgement: Judgement, p: float, measurements: Measurements) -> Judgement:
    """What would make a finding of at most ``p`` of an undecided claim, where it compares cells."""
    if judgement.verdict != "undecided" or not judgement.comparisons:
        return judgement
    enough, scatter_of = what_decides(judgement.comparisons, measurements, p)
    return replace(judgement, needed=enough, scatter_of=scatter_of)


def examine(claim: Claim, measurements: Measurements, inspected: Inspected, controls: Measurements | None) -> Judgement:
    """One claim by itself: *not run*, judged without measurements, or *undecided* yet, with its findings."""
    if isinstance(claim, OutsideClaim):
        return Judgement(claim, "not run", reason=claim.reason)
    if isinstance(claim, CostClaim):
        return judge_cost(claim, measurements.plan)
    if isinstance(claim, LossClaim):
        return judge_loss(claim, measurements.plan.experiment.method)
    if isinstance(claim, NoiseClaim):
        return judge_inside(claim, (claim.without_loss, claim.with_loss), measurements.plan, inspected, judge_noise)
    if isinstance(claim, AttentionClaim):
        sides = claim.self_attention, claim.ranking
        return judge_inside(claim, sides, measurements.plan, inspected, judge_attention)
    if isinstance(claim, ControlClaim):
        return judge_control(claim, controls)
    cells = [find_cells(side, measurements.plan, claim.id) for side in (claim.better, claim.than)]
    return judge_cells(claim, cells, measurements, claim.varies)


def judge_cells(
    claim: Claim, sides: Sequence[Sequence[Cell]], measurements: Measurements, varies: Varies, printed: Printed = ()
) -> Judgement:
    """Comparisons of all cells of two sides, with their findings; *not run* where two cells cannot be compared.

    ``printed``: two numbers of the paper whose difference is its own, where it is not that of the cells.
    """
    if not all(sides):
        return Judgement(claim, "not run", reason=LEFT_OUT)
    pairs = list(product(*sides))
    reason = next((found for pair in pairs if (found := obstacle(*pair, measurements, varies))), "")
    if reason:
        return Judgement(claim, "not run", reason=reason.removeprefix("not run: "))
    none = varies == "cascades"  # it prints one number for both
    comparisons = tuple(
        compare_cells(*pair, () if none else printed or [*map(printed_in_paper, pair)], measurements) for pair in pairs
    )
    return Judgement(claim, "undecided", comparisons, findings=findings_of(comparisons))


def judge_control(claim: ControlClaim, controls: Measurements | None) -> Judgement:
    """What a row of Table V gains over its control, beside what the paper says that it gains over the base."""
    if controls is None:
        return Judgement(claim, "not run", reason="the controls are not planned")
    found = {(cell.table, cell.row): cell for cell in controls.plan.cells if cell.metric == "C"}
    absent = next((row for row in (claim.of, claim.over) if (claim.phase, row) not in found), None)
    if absent is not None:
        return Judgement(claim, "not run", reason=f"experiments/controls.yaml lists no '{absent}'")
    sides = [[found[claim.phase, row]] for row in (claim.of, claim.over)]
    printed = [read_published(PROPOSALS)[row, "C"] for row in (claim.of, BASE)]
    judgement = judge_cells(claim, sides, controls, "epochs", printed)
    if judgement.reason == NO_SCORES.removeprefix("not run: "):
        return replace(judgement, reason="`snakemake controls` makes its numbers, on request")
    return judgement


def judge_inside(
    claim: Claim, sides: Sequence[Cells], plan: Plan, inspected: Inspected, judged: Callable[..., Judgement]
) -> Judgement:
    """What ``judged`` finds in the documents of two sides of a claim, *not run* where one has none."""
    cells = [find_cells(side, plan, claim.id) for side in sides]
    if not all(cells):
        return Judgement(claim, "not run", reason=LEFT_OUT)
    found = [documents_of(side, inspected) for side in cells]
    reason = next((side for side in found if isinstance(side, str)), "")
    return Judgement(claim, "not run", reason=reason) if reason else judged(claim, *found)


def findings_of(comparisons: Sequence[CellComparison]) -> dict[Verdict, float]:
    """p of each verdict that comparisons can give, by the rule of :func:`judge`; empty where one has no p.

    At most one of the hypotheses that these p belong to can be true (no effect; one of half the paper's size),
    so a claim has the smallest of them without a correction.
    """
    p_values = [comparison.difference.p for comparison in comparisons]
    if None in p_values:
        return {}
    against = [comparison.difference.p for comparison in comparisons if comparison.difference.value < 0]
    none = [comparison.p_no_effect for comparison in comparisons if comparison.p_no_effect is not None]
    return {
        "reproduced": 1.0 if against else max(p_values),
        "contradicted": min(1.0, len(comparisons) * min(against, default=1.0)),
        "no such effect": min(1.0, len(comparisons) * min(none, default=1.0)),
    }


def verdict_at(judgement: Judgement, most: float) -> Verdict:
    """Verdict on a claim where findings with a p of at ``most`` this count: an effect before none."""
    verdict = next((verdict for verdict, p in judgement.findings.items() if p <= most), judgement.verdict)
    smaller = verdict == "reproduced" and any(comparison.smaller for comparison in judgement.comparisons)
    return "reproduced, smaller" if smaller else verdict


# ---- comparisons


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
    return [replace(cell, metric=cells.metric) if cells.metric else cell for cell in listed]


def obstacle(better: Cell, than: Cell, measurements: Measurements, varies: Varies = "") -> str:
    """Why two cells cannot be compared; empty if they can."""
    for cell in (better, than):
        reason = measurements.reason(cell) if cell.measured else f"{cell.row} is another group's row"
        if reason:
            return reason
    if measurements.spice(better) != measurements.spice(than):
        return "one side has SPICE and the other SPICE-dp"
    if not any(map(measurements.given, (better, than))):
        cascades = [int(cell.stage.endswith("2")) + 1 for cell in (better, than)]
        if cascades[0] != cascades[1] and varies != "cascades":
            return f"the two sides are {cascades[0]} and {cascades[1]} networks in cascade here"
        epochs = [measurements.xe_epochs(cell) for cell in (better, than)]
        if epochs[0] != epochs[1] and varies != "epochs":
            return f"the two sides were trained for {epochs[0]} and {epochs[1]} epochs here"
    seeds = measurements.common_seeds(better, than)
    if not seeds:
        return "the two sides have no seed in common"
    if all(measurements.networks(better)[seed] == measurements.networks(than)[seed] for seed in seeds):
        return "both sides are the same network here"
    return ""


def compare_cells(better: Cell, than: Cell, printed: Printed, measurements: Measurements) -> CellComparison:
    """Comparison of two cells that have numbers and a seed in common; ``printed``: what the paper has for each."""
    found = measurements.difference(better, than)
    values = measurements.values(than)
    base = math.fsum(values[seed] for seed in measurements.common_seeds(better, than)) / found.seeds
    paper, paper_base = None, None
    if printed and all(printed):
        paper, paper_base = float(printed[0]) - float(printed[1]), float(printed[1])
    comparison = CellComparison(better, than, paper, paper_base, found, base)
    return replace(comparison, p_no_effect=no_effect_p(found, comparison.bound))


def printed_in_paper(cell: Cell) -> str:
    """What the paper prints in a cell; empty where that is nothing, as of twins."""
    return "" if cell.metric == TWINS else read_published(cell.table).get((cell.row, cell.column), "")


def no_effect_p(found: Difference, bound: float | None) -> float | None:
    """1 minus the level at which the interval of a difference begins to reach ``bound`` or its negative.

    Twice the p of two one-sided tests (Schuirmann 1987). None where there is no bound, or ``found`` has no p.
    """
    if bound is None or found.p is None:
        return None
    room = bound - abs(found.value)
    errors = found.image_error, found.seed_scatter / math.sqrt(found.seeds), found.units, found.freedom
    return p_of_interval(room, *errors) if room > 0 else 1.0


# ---- cost


def judge_cost(claim: CostClaim, plan: Plan) -> Judgement:
    """Verdict on the paper's law: that nothing measured grows faster. Ratios are told and not judged: it names none."""
    method, sizes, measured = plan.experiment.method, claim.sizes, measured_cost()
    plain = self_attention_cost(sizes.tokens, sizes.dim, sizes.ffn)
    ranking = ranking_attention_cost(sizes.tokens, sizes.dim, sizes.ffn, method.lambda_f, method.lambda_e)
    powers = {key: f"{exponent.value:.2f}" for key, exponent in measured.exponents.items()}
    attention, layer = ranking.attention / plain.attention, ranking.layer / plain.layer
    reason = (
        f"time grows with the power {powers['seconds', 'tokens']} of n (the law allows 3) and "
        f"{powers['seconds', 'dim']} of d (1), memory with {powers['bytes', 'tokens']} of n (2) and "
        f"{powers['bytes', 'dim']} of d (1), measured forward and backward ({measured.machine}). How much is moderate, "
        f"the paper does not say. With {sizes.tokens} tokens of {sizes.dim} dimensions, the paper's: "
        f"{measured.ratios['seconds']:.2f} times the time of self-attention and {measured.ratios['bytes']:.2f} times "
        f"its memory as measured, both without linear maps; as counted in multiply-adds {attention:.2f} times with "
        f"them and the fusion, and {layer:.2f} times in a layer with its feed-forward"
    )
    return Judgement(claim, "reproduced" if measured.lawful else "contradicted", reason=reason)
