"""The ``tables`` stage: Tables II-VIII with the paper's numbers beside ours, and a page about them.

Built only from what scoring wrote, the captions of random draws, and ``reports/published/``. A published
number never stands as ours.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from rdt import chain
from rdt.config import Experiment
from rdt.errors import UserError
from rdt.io import atomic_write_bytes, atomic_write_text, read_json
from rdt.measurements import Difference, Measurements
from rdt.metrics.coco import results_by_image
from rdt.metrics.statistics import LEVEL, Estimate, holm
from rdt.paths import Paths
from rdt.plan import DRAWN_METRICS, Cell, Plan, load_tables
from rdt.published import read_published
from rdt.stages import open_stage, stage_arguments
from rdt.table_formats import to_csv, to_latex, to_markdown, to_tests_csv
from rdt.table_page import headline, summary

SIGNIFICANT = 1 - LEVEL
METRIC_NAMES = {
    "B@": "B@n: BLEU-n",
    "M": "M: METEOR",
    "R": "R: ROUGE-L",
    "C": "C: CIDEr",
    "S": "S: SPICE",
    "D@": "D@n: distinct n-grams per generated word",
    "Voc-u": "Voc-u: share of the vocabulary that is used",
}
SPICE_DP_NOTE = (
    "†: SPICE-dp in place of SPICE: the same definition on a dependency parse of another parser. Close to "
    "SPICE on average, but another number; differences between our rows compare."
)


@dataclass(frozen=True)
class Comparison:
    """A cell against the same column of its table's reference row.

    ``p``: of a paired permutation test over images, ``p_holm`` after Holm's correction over all tests of the
    table; None where a metric has no numbers that add up over images.
    """

    reference: str
    difference: Difference
    p: float | None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        return self.p_holm is not None and self.p_holm < SIGNIFICANT


@dataclass(frozen=True)
class Value:
    """One position of a table: what the paper prints there ("" if nothing) and what we measured.

    ``status``: measured, published, or ``not run: reason``. ``run``: the runs and their stage, if measured.
    ``spice``: which SPICE an S is.
    """

    cell: Cell
    paper: str
    status: str
    run: str = ""
    estimate: Estimate | None = None
    comparison: Comparison | None = None
    spice: str = ""

    @property
    def ours(self) -> float | None:
        """Our mean over seeds."""
        return None if self.estimate is None else self.estimate.value

    @property
    def difference(self) -> float | None:
        return None if self.ours is None or not self.paper else self.ours - float(self.paper)


@dataclass(frozen=True)
class Table:
    """A table of the paper, filled: ``values`` row by row in the paper's order."""

    name: str
    title: str
    notes: tuple[str, ...]
    parts: tuple[tuple[str, tuple[str, ...]], ...]  # (title, columns)
    values: tuple[Value, ...]

    @property
    def rows(self) -> list[tuple[str, str, bool, dict[str, Value]]]:
        """(group, row, measured, value by column) in order."""
        rows = groupby(self.values, key=lambda value: (value.cell.group, value.cell.row, value.cell.measured))
        return [(*key, {value.cell.column: value for value in values}) for key, values in rows]


def build_tables(plan: Plan, tables: Mapping[str, Mapping[str, Any]], measurements: Measurements) -> list[Table]:
    """Every table of the plan, filled from the scores that exist."""
    built = []
    for name, cells in groupby(plan.cells, key=lambda cell: cell.table):
        published = read_published(name)
        definition = tables[name]
        parts = tuple(
            (part.get("title", ""), tuple(f"{part['id']}/{m}" if "id" in part else m for m in part["metrics"]))
            for part in definition["parts"]
        )
        filled = [fill(cell, published.get((cell.row, cell.column), ""), measurements) for cell in cells]
        values = compare(filled, definition["reference"], measurements)
        notes = (
            metric_note(values),
            *definition.get("notes", ()),
            *diversity_notes(values, measurements),
            data_note(plan.experiment, values),
            *cascade_note(plan.experiment, definition["cascades"]),
            *budget_note(plan.experiment, bool(definition.get("grid"))),
            *spice_note(values),
            interval_note(values),
            *test_note(name, values),
        )
        built.append(Table(name, definition["title"], notes, parts, values))
    return built


def fill(cell: Cell, paper: str, measurements: Measurements) -> Value:
    """The value of one cell: quoted, measured, or not run with its reason."""
    if not cell.measured:
        return Value(cell, paper, "published" if paper else "")
    reason = measurements.reason(cell)
    if reason:
        return Value(cell, paper, reason)
    runs = " ".join(f"{run}/{cell.stage}" for run in cell.runs)
    estimate = measurements.estimate(cell)
    return Value(cell, paper, "measured", runs, estimate, spice=measurements.spice(cell))


def compare(values: Sequence[Value], reference: str, measurements: Measurements) -> tuple[Value, ...]:
    """The values of a table with their comparisons against its reference row, corrected for their number."""
    references = {value.cell.column: value.cell for value in values if value.cell.row == reference and value.run}
    pairs = {
        at: (value.cell, references[value.cell.column])
        for at, value in enumerate(values)
        if value.run and value.cell.row != reference and value.cell.column in references
    }
    pairs = {at: pair for at, pair in pairs.items() if measurements.common_seeds(*pair)}
    p_values = dict(zip(pairs, measurements.permutation_p(list(pairs.values())), strict=True))
    tested = [at for at, p in p_values.items() if p is not None]
    corrected = dict(zip(tested, holm([p_values[at] for at in tested]), strict=True))
    return tuple(
        value
        if at not in pairs
        else replace(
            value,
            comparison=Comparison(reference, measurements.difference(*pairs[at]), p_values[at], corrected.get(at)),
        )
        for at, value in enumerate(values)
    )


# Notes


def metric_note(values: Sequence[Value]) -> str:
    """What the metrics of a table are called in full."""
    used = dict.fromkeys(value.cell.metric.rstrip("0123456789") for value in values)
    return f"{', '.join(METRIC_NAMES[metric] for metric in used)}; all times 100."


def data_note(experiment: Experiment, values: Sequence[Value]) -> str:
    """What ours was measured on, and how that compares with the paper's."""
    roles = [role for role in dict.fromkeys(value.cell.role for value in values) if role in experiment.data]
    sets = ", ".join(f"{experiment.data[role].title or experiment.data[role].source} ({role})" for role in roles)
    if any(experiment.data[role].source == "scenes" for role in roles):
        return (
            f"Ours is measured on rendered images: {sets}. The paper's numbers are about photographs: "
            "compare differences between rows, not levels."
        )
    return f"Ours is measured on: {sets}."


def cascade_note(experiment: Experiment, cascades: str) -> tuple[str, ...]:
    """A note where the networks of a table are not cascaded as the paper's are."""
    training = experiment.training
    single = {"tables": training.cascades, "ablation": training.ablation_cascades}[cascades] == 1
    return ("Ours is one network; the paper's are two in cascade.",) if single else ()


def budget_note(experiment: Experiment, grid: bool) -> tuple[str, ...]:
    """A note where the rows of a table trained for another time than those of other tables."""
    own, others = experiment.training.grid_xe_epochs, experiment.training.xe_epochs
    if not grid or own == others:
        return ()
    return (f"Ours trained for {own} epochs here and for {others} in the other tables: compare within this table.",)


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
    """The diversity of one row in words, from its documents, one per seed."""

    def mean(scope: str, name: str) -> float:
        return sum(document[scope][name] for document in drawn) / len(drawn)

    scopes = ("mean", "pooled", "per_image")
    distinct = [f"{name} {' / '.join(f'{mean(scope, name):.1f}' for scope in scopes)}" for name in ("D@2", "D@3")]
    words, share = mean("mean", "words"), mean("mean", "Voc-u")
    vocabulary = f" of {100 * words / share:.0f}" if share else ""
    return f"{', '.join(distinct)}; Voc-u {words:.1f}{vocabulary} words (pooled {mean('pooled', 'words'):.1f})"


def interval_note(values: Sequence[Value]) -> str:
    """What the numbers are means of, and what the intervals of the CSV are about."""
    seeds = sorted({value.estimate.seeds for value in values if value.estimate})
    single = (
        "95 % bootstrap intervals over the test images in the CSV, which say nothing about other seeds: with one "
        "seed the scatter of training is unknown."
    )
    several = "mean over seeds ± their standard deviation, with 95 % intervals over images and seeds in the CSV"
    if not seeds or seeds[-1] == 1:
        return f"Ours: one seed, with {single}"
    if seeds[0] == 1:
        return f"Ours: where ± stands, {several}; elsewhere one seed, with {single}"
    return f"Ours: {several}; {' or '.join(map(str, seeds))} seeds."


def test_note(name: str, values: Sequence[Value]) -> tuple[str, ...]:
    """What the asterisks mean."""
    tests = [value.comparison for value in values if value.comparison and value.comparison.p is not None]
    if not tests:
        return ()
    return (
        f"*: differs from {tests[0].reference} in a paired permutation test over the images, p < {SIGNIFICANT:.2f} "
        f"after Holm's correction for the {len(tests)} tests of this table (table_{name}_tests.csv). This is about "
        "these trained networks; what may be said about the methods is in claims.md beside this folder.",
    )


# The online server


def server_zip(paths: Paths, run: str, stage: str, name: str) -> bytes:
    """The archive that the COCO captions server takes: results of test and val under its names.

    The same captions give the same bytes. Raises UserError for an image id that is not an integer.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("test", "val"):
            path = paths.captions(run, stage, "primary", split)
            captions = results_by_image(read_json(path), path)
            for image in captions:
                if type(image) is not int:
                    raise UserError(path, f"image id {image!r} is not an integer", "the server takes integers only")
            content = json.dumps([{"image_id": image, "caption": text} for image, text in captions.items()])
            archive.writestr(zipfile.ZipInfo(f"captions_{split}2014_{name}_results.json"), content)
    return out.getvalue()


# Files


def write_tables(plan: Plan, definitions: Mapping[str, Mapping[str, Any]], paths: Paths) -> list[str]:
    """Write every table as CSV, Markdown and LaTeX, the server's archive and the page; returns the headline."""
    measurements = Measurements.of(plan, paths)
    score = measurements.score
    tables = build_tables(plan, definitions, measurements)
    forms = {".csv": to_csv, ".md": to_markdown, ".tex": to_latex, "_tests.csv": to_tests_csv}
    for table in tables:
        for suffix, form in forms.items():
            atomic_write_text(paths.tables / f"table_{table.name}{suffix}", form(table))
    for run, stage in plan.server:
        atomic_write_bytes(paths.tables / "server_RDT.zip", server_zip(paths, run, stage, "RDT"))
    baselines = read_baselines(paths, plan.experiment.data)
    found = paths.encoder / "probe.json"
    probe = read_json(found) if found.exists() else None
    atomic_write_text(paths.reports / "README.md", summary(plan, tables, score, baselines, probe))
    return headline(plan, tables, score, baselines.get("primary"))


def read_baselines(paths: Paths, roles: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The baseline documents that exist, by role."""
    files = {role: paths.baselines(role, "test") for role in roles}
    return {role: read_json(path) for role, path in files.items() if path.exists()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt tables``."""
    stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Write the tables, and print where they are and their headline."""
    stage = open_stage(args)
    with stage.make(chain.tables(stage.plan, stage.paths)):
        lines = write_tables(stage.plan, load_tables(), stage.paths)
    places = [f"Tables: {stage.paths.tables}", f"Summary: {stage.paths.reports / 'README.md'}"]
    text = "\n".join([*places, *lines])
    atomic_write_text(stage.paths.headline, text + "\n")
    print(text)
