"""The notes under a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rdt.experiment.settings import Experiment
from rdt.metrics.names import DRAWN_METRICS, RECORD
from rdt.scoring.measurements import Measurements
from rdt.tables.table import SIGNIFICANT, Value

CAPTIONS = 0.6  # of the human CIDEr: from there on a network captions
SPICE_DP_NOTE = (
    "†: SPICE-dp in place of SPICE: the same definition on a dependency parse of another parser. Close to "
    "SPICE on average, but another number; differences between our rows compare."
)


def metric_note(values: Sequence[Value]) -> str:
    """Full names of the metrics of a table."""
    used = dict.fromkeys(RECORD[value.cell.metric] for value in values)
    english = [metric.name for metric in used if metric.english]
    made_for = f" {' and '.join(english)}: made for English." if english else ""
    return f"{', '.join(dict.fromkeys(metric.legend for metric in used))}; all times 100.{made_for}"


def data_note(experiment: Experiment, values: Sequence[Value]) -> str:
    """Data sets that ours was measured on, and how they compare with the paper's."""
    roles = [role for role in dict.fromkeys(value.cell.role for value in values) if role in experiment.data]
    sets = ", ".join(f"{experiment.data[role].title or experiment.data[role].source} ({role})" for role in roles)
    if any(experiment.data[role].source == "scenes" for role in roles):
        return (
            f"Ours is measured on rendered images: {sets}. The paper's numbers are about photographs: "
            "compare differences between rows, not levels."
        )
    if not sets:
        return "The experiment has the data of none of its columns."
    if all(value.as_in_paper for value in values if value.cell.measured and value.cell.role in roles):
        return f"Ours is measured on the paper's own data: {sets}."
    return f"Ours is measured on {sets}; not all of it is the paper's: compare differences between rows, not levels."


def cascade_note(experiment: Experiment, cascades: str) -> tuple[str, ...]:
    """A note where the networks of a table are not cascaded as the paper's are."""
    training = experiment.training
    single = {"tables": training.cascades, "ablation": training.ablation_cascades}[cascades] == 1
    return ("Ours is one network; the paper's are two in cascade.",) if single else ()


def budget_note(experiment: Experiment, grid: bool) -> tuple[str, ...]:
    """A note where the rows of a table trained for another time than the rows of other tables."""
    own, others = experiment.training.grid_xe_epochs, experiment.training.xe_epochs
    if not grid or own == others:
        return ()
    here = f"{own} epoch{'s' * (own != 1)} here"
    return (f"Ours trained for {here} and for {others} in the other tables: compare within this table.",)


def undertrained(values: Sequence[Value], human: float | None) -> str:
    """What to say before a table of networks that have not learnt to caption; ``human``: CIDEr of human captions."""
    levels = [
        value.ours for value in values if value.cell.metric == "C" and value.cell.role == "primary" and value.ours
    ]
    if not human or not levels or max(levels) >= CAPTIONS * human:
        return ""
    return (
        f"These networks are barely trained: CIDEr at most {max(levels):.0f}, where a human caption has {human:.0f}. "
        "What they differ in says little about networks that caption."
    )


def spice_note(values: Sequence[Value]) -> tuple[str, ...]:
    """A note where another metric stands in for SPICE."""
    return (SPICE_DP_NOTE,) if any(value.spice == "SPICE-dp" for value in values) else ()


def diversity_notes(values: Sequence[Value], measurements: Measurements) -> list[str]:
    """Dist-n of each measured row in three scopes, and how many words of how large a vocabulary Voc-u counts."""
    notes = []
    for _, group in groupby((v for v in values if v.cell.metric in DRAWN_METRICS and v.run), lambda v: v.cell.row):
        cells = [value.cell for value in group]
        documents = measurements.documents(cells[0])
        notes.append(f"{cells[0].row}: {diversity_scopes([document['diversity'] for document in documents])}")
    if not notes:
        return []
    explained = "Dist-n as mean of the draws (in the table) / all draws pooled / per image over its draws."
    return [explained, *notes]


def diversity_scopes(drawn: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """Diversity of one row in words, in per cent; ``drawn`` has a document per seed: scope, name, value."""

    def mean(scope: str, name: str) -> float:
        return sum(document[scope][name] for document in drawn) / len(drawn)

    scopes = ("mean", "pooled", "per_image")
    distinct = [f"{name} {' / '.join(f'{mean(scope, name):.1f}' for scope in scopes)}" for name in ("D@2", "D@3")]
    words, share = mean("mean", "words"), mean("mean", "Voc-u")
    vocabulary = f" of {100 * words / share:.0f}" if share else ""
    return f"{', '.join(distinct)}; Voc-u {words:.1f}{vocabulary} words (pooled {mean('pooled', 'words'):.1f})"


def given_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which rows have captions that were made elsewhere, from which files, and what to cite."""
    return [
        f"{row['row']}: captions made elsewhere, the same in all blocks, from {', '.join(row['captions'].values())}"
        f"{': ' * bool(row.get('cite'))}{row.get('cite', '')}."
        for row in rows
        if "captions" in row
    ]


def interval_note(values: Sequence[Value]) -> str:
    """Number of seeds behind the means, and what the intervals are about."""
    seeds = sorted({value.estimate.seeds for value in values if value.estimate})
    single = (
        "95 % bootstrap intervals over the test images, which say nothing about other seeds: with one seed the "
        "scatter of training is unknown."
    )
    if not seeds or seeds[-1] == 1:
        return f"Ours: one seed, with {single}"
    several = f"mean over {' or '.join(str(count) for count in seeds if count > 1)} seeds, with 95 % intervals over "
    several += "images and seeds"
    return (
        f"Ours: {several}; where a cell has one seed (n_seeds in the CSV), {single}"
        if seeds[0] == 1
        else f"Ours: {several}."
    )


def base_note(values: Sequence[Value]) -> tuple[str, ...]:
    """A note on the row that the others stand beside; none where it or all others were not run."""
    bases = dict.fromkeys(value.over_base.base for value in values if value.over_base)
    paired = "paired, image by image and seed by seed, and their intervals cover what the levels' do"
    return tuple(f"Base row: {base}. Our differences to it are {paired}." for base in bases)


def test_note(name: str, values: Sequence[Value]) -> tuple[str, ...]:
    """Meaning of the asterisks; none where nothing was tested."""
    tests = [value.comparison for value in values if value.comparison and value.comparison.p is not None]
    if not tests:
        return ()
    return (
        f"*: differs from {tests[0].reference} in a paired permutation test over the images, p < {SIGNIFICANT:.2f} "
        f"after Holm's correction for the {len(tests)} tests of this table (table_{name}_tests.csv). This is about "
        "these trained networks; what may be said about the methods is in claims.md beside this folder.",
    )
