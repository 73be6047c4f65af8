"""The ``claims`` stage: what the paper asserts, and what this experiment has to say about it.

``reports/claims.yaml`` lists the claims; :func:`judge` reaches a verdict on each, from the same measurements
as the tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import product
from pathlib import Path
from typing import Any, Literal

from rdt import chain
from rdt.claims_page import counts, to_csv, to_markdown
from rdt.complexity import ranking_attention_cost, self_attention_cost
from rdt.config import Count, Positive
from rdt.config import Table as TableName
from rdt.errors import UserError
from rdt.experiment_file import parse
from rdt.io import atomic_write_text, read_yaml
from rdt.measurements import Difference, Measurements
from rdt.metrics.statistics import LEVEL, TWINS, holm
from rdt.paths import Paths
from rdt.plan import Cell, Plan
from rdt.power import Needed, needed
from rdt.published import read_published
from rdt.stages import open_stage, stage_arguments

Verdict = Literal["reproduced", "contradicted", "undecided", "not run"]


@dataclass(frozen=True)
class Cells:
    """Cells of one column of a table; with ``metric`` the same networks under another metric."""

    table: TableName
    column: str
    rows: tuple[str, ...]
    metric: Literal["", "twins"] = ""


@dataclass(frozen=True)
class Sizes:
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
    kind: Literal["greater", "cost", "outside"]


@dataclass(frozen=True)
class Greater(Claim):
    better: Cells
    than: Cells


@dataclass(frozen=True)
class Cost(Claim):
    sizes: Sizes
    at_most: Positive


@dataclass(frozen=True)
class Outside(Claim):
    reason: str


KINDS = {"greater": Greater, "cost": Cost, "outside": Outside}


@dataclass(frozen=True)
class Comparison:
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
    comparisons: tuple[Comparison, ...] = ()
    reason: str = ""

    @property
    def closest(self) -> Comparison | None:
        """The comparison with the smallest difference: the first to fail."""
        return min(self.comparisons, key=lambda comparison: comparison.difference.value, default=None)


def read_claims(path: Path = chain.CLAIMS_FILE) -> list[Claim]:
    """The claims; a UserError names the claim and the key at fault."""
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


# ---- verdicts


def judge(claim: Claim, measurements: Measurements) -> Judgement:
    """The verdict on one claim.

    Decided is what has an interval that covers both images and seeds, hence two seeds at least, and lies on
    one side of 0 after Holm's correction over the comparisons of the claim: *reproduced* if all of them do
    so on the claim's side, *contradicted* if one does on the other. The rest is *undecided*.
    """
    if isinstance(claim, Outside):
        return Judgement(claim, "not run", reason=claim.reason)
    if isinstance(claim, Cost):
        return judge_cost(claim, measurements.plan)
    cells = [find_cells(side, measurements.plan, claim.id) for side in (claim.better, claim.than)]
    if not all(cells):
        return Judgement(claim, "not run", reason="its table is not among those of the experiment")
    pairs = list(product(*cells))
    reason = next((found for pair in pairs if (found := obstacle(*pair, measurements))), "")
    if reason:
        return Judgement(claim, "not run", reason=reason.removeprefix("not run: "))
    comparisons = compare(pairs, measurements)
    return Judgement(claim, verdict(comparisons), comparisons)


def find_cells(cells: Cells, plan: Plan, claim: str) -> list[Cell]:
    """The planned cells that a claim rests on, none if their table is not; UserError for one that no table has."""
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


def obstacle(better: Cell, than: Cell, measurements: Measurements) -> str:
    """Why two cells cannot be compared; empty if they can."""
    for cell in (better, than):
        reason = measurements.reason(cell) if cell.measured else f"{cell.row} is another group's row"
        if reason:
            return reason
    if measurements.spice(better) != measurements.spice(than):
        return "one side has SPICE and the other SPICE-dp"
    epochs = [measurements.xe_epochs(cell) for cell in (better, than)]
    if epochs[0] != epochs[1]:
        return f"the two sides were trained for {epochs[0]} and {epochs[1]} epochs here"
    seeds = measurements.common_seeds(better, than)
    if not seeds:
        return "the two sides have no seed in common"
    if all(measurements.networks(better)[seed] == measurements.networks(than)[seed] for seed in seeds):
        return "both sides are the same network here"
    return ""


def compare(pairs: Sequence[tuple[Cell, Cell]], measurements: Measurements) -> tuple[Comparison, ...]:
    """The comparisons of one claim."""
    differences = [measurements.difference(better, than) for better, than in pairs]
    covered = [difference.p for difference in differences if difference.p is not None]
    corrected = iter(holm(covered))
    return tuple(
        Comparison(
            *pair,
            paper_difference(*pair),
            difference,
            None if difference.p is None else next(corrected),
            *what_decides(pair[0], difference, len(pairs), measurements),
        )
        for pair, difference in zip(pairs, differences, strict=True)
    )


def paper_difference(better: Cell, than: Cell) -> float | None:
    """The paper's difference of two cells; None where it prints one of them not, and for twins."""
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


def verdict(comparisons: Sequence[Comparison]) -> Verdict:
    """See :func:`judge`."""
    if any(comparison.decided and comparison.difference.value < 0 for comparison in comparisons):
        return "contradicted"
    if all(comparison.decided for comparison in comparisons):
        return "reproduced"
    return "undecided"


def judge_cost(claim: Cost, plan: Plan) -> Judgement:
    """A count of multiply-adds at the claim's sizes, with the shares of keys of the experiment's method."""
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


def write_claims(plan: Plan, paths: Paths, claims: Sequence[Claim]) -> list[Judgement]:
    """Write ``claims.md`` and ``claims.csv`` of an experiment."""
    measurements = Measurements.of(plan, paths)
    judgements = [judge(claim, measurements) for claim in claims]
    atomic_write_text(paths.claims.with_suffix(".csv"), to_csv(judgements, plan.experiment))
    atomic_write_text(paths.claims, to_markdown(judgements, plan.experiment))
    return judgements


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt claims``."""
    stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Judge every claim, and print where the page is and how many claims had which verdict."""
    stage = open_stage(args)
    with stage.make(chain.claims(stage.plan, stage.paths)):
        judgements = write_claims(stage.plan, stage.paths, read_claims())
    line = f"Claims: {stage.paths.claims} ({counts(judgements)})"
    atomic_write_text(stage.paths.verdicts, line + "\n")
    print(line)
