"""The ``tables`` stage: Tables II-VIII with the paper's numbers beside ours, and a page about them.

Built only from the score JSONs and from ``reports/published/``. A published number never stands as ours.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from rdt.config import Experiment
from rdt.errors import UserError
from rdt.io import atomic_write_bytes, atomic_write_text, read_json
from rdt.metrics.corpus import results_by_image
from rdt.paths import Paths
from rdt.plan import DRAWN_METRICS, Cell, Plan, load_tables
from rdt.stages import open_stage, stage_arguments

PUBLISHED = Path(__file__).parent.parent / "reports" / "published"
COLUMNS = ("table", "row", "column", "paper", "ours", "ci_low", "ci_high", "n_seeds", "status", "run")
WIDE = 9  # a Markdown table of more metrics than this is cut at its parts
PHASES = {"xe": "cross-entropy", "rl": "CIDEr optimisation"}
METRIC_NAMES = {
    "B@": "B@n: BLEU-n",
    "M": "M: METEOR",
    "R": "R: ROUGE-L",
    "C": "C: CIDEr",
    "S": "S: SPICE",
    "D@": "D@n: distinct n-grams per generated word",
    "Voc-u": "Voc-u: share of the vocabulary that is used",
}


@dataclass(frozen=True)
class Value:
    """One position of a table: what the paper prints there ("" if nothing) and what we measured.

    ``ours`` is the mean over seeds. ``interval`` is a 95 % interval: Student's over seeds if there are
    several, else over the test images for metrics that are means over images, else None.
    ``status``: measured, published, or ``not run: reason``.
    """

    cell: Cell
    paper: str
    ours: float | None
    interval: tuple[float, float] | None
    n_seeds: int
    status: str

    @property
    def run(self) -> str:
        return " ".join(f"{run}/{self.cell.stage}" for run in self.cell.runs) if self.ours is not None else ""

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


Score = Callable[[str, str, str, str], Mapping[str, Any] | None]  # run, stage, role, split -> score document


def read_score(paths: Paths) -> Score:
    """Score documents of an experiment; None where a file is not there."""

    def score(run: str, stage: str, role: str, split: str) -> Mapping[str, Any] | None:
        path = paths.scores(run, stage, role, split)
        return read_json(path) if path.exists() else None

    return score


def read_published(table: str, folder: Path = PUBLISHED) -> dict[tuple[str, str], str]:
    """The paper's numbers, as printed, by (row, column)."""
    path = folder / f"table_{table}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {(line["row"], line["column"]): line["value"] for line in csv.DictReader(file)}
    except (OSError, KeyError) as error:
        raise UserError(path, f"cannot be read ({error})", "restore the paper's numbers") from error


def build_tables(plan: Plan, tables: Mapping[str, Mapping[str, Any]], score: Score) -> list[Table]:
    """Every table of the plan, filled from the scores that exist."""
    built = []
    for name, cells in groupby(plan.cells, key=lambda cell: cell.table):
        published = read_published(name)
        definition = tables[name]
        parts = tuple(
            (part.get("title", ""), tuple(f"{part['id']}/{m}" if "id" in part else m for m in part["metrics"]))
            for part in definition["parts"]
        )
        values = tuple(fill(cell, published.get((cell.row, cell.column), ""), score) for cell in cells)
        notes = (
            metric_note(values),
            *definition.get("notes", ()),
            data_note(plan.experiment, values),
            *cascade_note(plan.experiment, definition["cascades"]),
            interval_note(values),
        )
        built.append(Table(name, definition["title"], notes, parts, values))
    return built


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


def interval_note(values: Sequence[Value]) -> str:
    """What the intervals of the CSV are about."""
    seeds = max((value.n_seeds for value in values), default=0)
    if seeds > 1:
        return f"Ours: mean over {seeds} seeds; the CSV has Student's 95 % intervals over seeds."
    return (
        "Ours: one seed. The CSV has 95 % intervals over the test images for ROUGE-L and CIDEr, "
        "which say nothing about other seeds."
    )


def fill(cell: Cell, paper: str, score: Score) -> Value:
    """The value of one cell: quoted, measured, or not run with its reason."""
    if not cell.measured:
        return Value(cell, paper, None, None, 0, "published" if paper else "")
    if cell.reason:
        return Value(cell, paper, None, None, 0, cell.reason)
    documents = [score(run, cell.stage, cell.role, cell.split) for run in cell.runs]
    found = [document for document in documents if document is not None]
    if len(found) < len(documents):
        return Value(cell, paper, None, None, 0, "not run: no scores yet")
    seeds = [look_up(cell, document) for document in found]
    reason = next((value for value in seeds if isinstance(value, str)), None)
    if reason is not None:
        return Value(cell, paper, None, None, 0, reason)
    scores = [value for value, _ in seeds]
    interval = seed_interval(scores) if len(scores) > 1 else seeds[0][1]
    return Value(cell, paper, fmean(scores), interval, len(scores), "measured")


def look_up(cell: Cell, document: Mapping[str, Any]) -> tuple[float, tuple[float, float] | None] | str:
    """Value and interval over images of a cell in one score document, or the reason why it has none."""
    if cell.metric in DRAWN_METRICS:
        drawn = document["diversity"]
        return "not run: no random draws were captioned" if drawn is None else (drawn["mean"][cell.metric], None)
    scope = f"{cell.references}/{cell.domain}" if cell.domain else cell.references
    for missing in (scope, cell.metric):
        if missing in document["not_run"]:
            return document["not_run"][missing]
    scores = document["scopes"][scope]
    interval = scores["intervals"].get(cell.metric)
    return scores["metrics"][cell.metric], tuple(interval) if interval else None


def seed_interval(scores: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean over seeds (two or more)."""
    half = float(student.ppf(0.975, len(scores) - 1)) * stdev(scores) / sqrt(len(scores))
    return fmean(scores) - half, fmean(scores) + half


# Formats


def to_csv(table: Table) -> str:
    """One line per cell that has a number or a reason; columns are COLUMNS."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for value in table.values:
        if value.status:
            low, high = (f"{end:.4f}" for end in value.interval) if value.interval else ("", "")
            ours = "" if value.ours is None else f"{value.ours:.4f}"
            seeds = value.n_seeds or ""
            where = (value.cell.table, value.cell.row, value.cell.column)
            writer.writerow((*where, value.paper, ours, low, high, seeds, value.status, value.run))
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """``paper / **ours** (difference)`` in each cell; a table that is too wide is cut at its parts."""
    reasons: dict[str, int] = {}
    wide = sum(len(columns) for _, columns in table.parts) > WIDE
    blocks = [[part] for part in table.parts] if wide else [list(table.parts)]
    lines = [f"# Table {table.name}. {table.title}", ""]
    quoted = any(not value.cell.measured for value in table.values)
    legend = " *Italic rows*: quoted as published, not run here." if quoted else ""
    lines += [f"Measured rows: paper / **ours** (difference).{legend}"]
    for block in blocks:
        lines += ["", *_markdown_block(table, block, reasons, headed=wide)]
    footnotes = [f"({number}) {reason}" for reason, number in reasons.items()]
    lines += ["", *(f"- {note}" for note in (*footnotes, *table.notes))]
    return "\n".join(lines) + "\n"


def _markdown_block(
    table: Table, block: list[tuple[str, tuple[str, ...]]], reasons: dict[str, int], headed: bool
) -> list[str]:
    columns = [column for _, names in block for column in names]
    # Where one block holds several parts, a column needs its part's title.
    titles = [
        column.rpartition("/")[2] if len(block) == 1 else f"{title} {column.rpartition('/')[2]}"
        for title, names in block
        for column in names
    ]
    lines = [f"**{block[0][0]}**", ""] if headed else []
    lines += ["| " + " | ".join(["Method", *titles]) + " |", "|---" * (len(columns) + 1) + "|"]
    group_before = ""
    for group, row, measured, values in table.rows:
        texts = [_markdown_value(values[column], reasons) for column in columns]
        if group != group_before:
            lines.append(f"| **{group}** |" + " |" * len(columns))
            group_before = group
        lines.append("| " + " | ".join([row if measured else f"*{row}*", *texts]) + " |")
    return lines


def _markdown_value(value: Value, reasons: dict[str, int]) -> str:
    if not value.cell.measured:
        return f"*{value.paper}*" if value.paper else ""
    paper = value.paper or "–"
    if value.ours is None:
        return f"{paper} / ({reasons.setdefault(value.status, len(reasons) + 1)})"
    difference = "" if value.difference is None else f" ({value.difference:+.1f})"
    return f"{paper} / **{value.ours:.1f}**{difference}"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "◇": r"$\diamond$",
    "λ": r"$\lambda$",
    "δ": r"$\delta$",
    "–": "--",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def latex_escape(text: str) -> str:
    """``text`` for LaTeX's text mode; ``λ_F`` and ``δ_tim`` become symbols with subscripts."""
    pieces = re.split(r"([λδ]_\w+)", text)
    escaped = []
    for piece in pieces:
        symbol = re.fullmatch(r"([λδ])_(\w+)", piece)
        if symbol:
            command = {"λ": r"\lambda", "δ": r"\delta"}[symbol[1]]
            escaped.append(rf"${command}_{{\mathrm{{{symbol[2]}}}}}$")
        else:
            escaped.append("".join(_LATEX.get(character, character) for character in piece))
    return "".join(escaped)


def to_latex(table: Table) -> str:
    """A document of one booktabs table; a measured row has a line for the paper, ours and the difference."""
    columns = [column for _, names in table.parts for column in names]
    reasons: dict[str, int] = {}
    header = ["Method", *(latex_escape(column.rpartition("/")[2]) for column in columns)]
    body: list[str] = []
    group_before = ""
    for group, row, measured, values in table.rows:
        if group != group_before:
            body.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{{latex_escape(group)}}}}} \\")
            group_before = group
        body += _latex_row(row, measured, [values[column] for column in columns], reasons)
    notes = [f"({number}) {reason}" for reason, number in reasons.items()] + list(table.notes)
    lines = [
        r"\documentclass{article}",
        r"\usepackage[landscape,margin=1cm]{geometry}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{booktabs,graphicx}",
        r"\begin{document}",
        r"\begin{table}",
        rf"\renewcommand{{\thetable}}{{{table.name}}}",
        rf"\caption{{{latex_escape(table.title)}.}}",
        r"\centering",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        *_latex_parts(table),
        " & ".join(header) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\medskip\footnotesize\raggedright",
        *(latex_escape(note) + r"\par" for note in notes),
        r"\end{table}",
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _latex_parts(table: Table) -> list[str]:
    """The line of part titles over the metrics, with a rule under each."""
    if not any(title for title, _ in table.parts):
        return []
    titles, rules, first = [""], [], 2
    for title, columns in table.parts:
        titles.append(rf"\multicolumn{{{len(columns)}}}{{c}}{{{latex_escape(title)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(columns) - 1}}}")
        first += len(columns)
    return [" & ".join(titles) + r" \\", "".join(rules)]


def _latex_row(row: str, measured: bool, values: Sequence[Value], reasons: dict[str, int]) -> list[str]:
    name = latex_escape(row)
    if not measured:
        return [_latex_line(name, [value.paper for value in values])]
    ours = [
        f"({reasons.setdefault(value.status, len(reasons) + 1)})"
        if value.ours is None
        else rf"\textbf{{{value.ours:.1f}}}"
        for value in values
    ]
    if not any(value.paper for value in values):
        return [_latex_line(f"{name}, ours", ours)]
    differences = ["" if value.difference is None else f"${value.difference:+.1f}$" for value in values]
    return [
        _latex_line(f"{name}, paper", [value.paper or "--" for value in values]),
        _latex_line(r"\quad ours", ours),
        *([_latex_line(r"\quad difference", differences)] if any(differences) else []),
    ]


def _latex_line(name: str, texts: Sequence[str]) -> str:
    return " & ".join([name, *texts]) + r" \\"


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


# The page beside the tables


def headline(plan: Plan, tables: Sequence[Table], score: Score, baselines: Mapping[str, Any] | None) -> list[str]:
    """The lines printed at the end of a run: RDT's CIDEr, against the paper, SCD-Net, humans and one step."""
    photographs = ", on photographs" if plan.experiment.data["primary"].source == "scenes" else ""
    lines = [
        f"{row}: CIDEr {value.ours:.1f} after {phase(value.cell.stage)}"
        + (f" (paper{photographs}: {value.paper})" if value.paper else "")
        for table in tables
        if table.name == "II"
        for _, row, _, values in table.rows
        for value in values.values()
        if value.cell.metric == "C" and value.ours is not None
    ]
    for run, stage in plan.one_step:
        lines += _against_baselines(score, run, stage, baselines)
    return lines


def phase(stage: str) -> str:
    """The name of what a stage trains for: xe and xe2 cross-entropy, rl and rl2 CIDEr optimisation."""
    return PHASES[stage[:2]]


def _against_baselines(score: Score, run: str, stage: str, baselines: Mapping[str, Any] | None) -> list[str]:
    document = score(run, stage, "primary", "test")
    if document is None or "c5" not in document["scopes"]:
        return []
    cider = document["scopes"]["c5"]["metrics"]["C"]
    lines = []
    if baselines and "human" in baselines:
        human = baselines["human"]["C"]
        share = f"{100 * cider / human:.0f} % of the human CIDEr ({cider:.1f} of {human:.1f})"
        others = [baselines[name]["C"] for name in ("retrieved", "most_frequent")]
        lines.append(
            f"RDT after {phase(stage)} has {share}; the retrieved sentence alone has {others[0]:.1f}, "
            f"the most frequent train caption {others[1]:.1f}"
        )
    words, wanted = document["mean_words"], document["mean_words_references"]
    longer = 100 * (words / wanted - 1)
    lines.append(f"Its captions have {words:.1f} words, the references {wanted:.1f} ({longer:+.0f} %)")
    once = score(run, f"{stage}@T1", "primary", "test")
    if once is not None:
        single = once["scopes"]["c5"]["metrics"]["C"]
        verdict = "is not worse than" if cider >= single else "IS WORSE THAN"
        lines.append(f"Its full chain {verdict} a single step: CIDEr {cider:.1f} and {single:.1f}")
    return lines


def twin_lines(plan: Plan, score: Score) -> list[str]:
    """Markdown table of twin accuracy of each network that has a score on the primary test split.

    A network that several rows share is named by the first of them.
    """
    rows: dict[tuple[str, str], str] = {}
    for cell in plan.cells:
        for run in cell.runs:
            rows.setdefault((run, cell.stage), f"{cell.table}: {cell.row}")
    lines = []
    for (run, stage), row in rows.items():
        document = score(run, stage, "primary", "test")
        if document and document["twins"]:
            twins = document["twins"]
            numbers = f"{twins['accuracy']:.1f} | {twins['differ']:.1f} | {twins['pairs']}"
            lines.append(f"| {row} | {phase(stage)} | {numbers} | {run}/{stage} |")
    if not lines:
        return []
    return ["| Row | After | Accuracy, % | Captions differ, % | Pairs | Run |", "|---|---|---|---|---|---|", *lines]


def encoder_lines(probe: Mapping[str, Any] | None) -> list[str]:
    """What the encoder's features tell: retrieval recall, and a linear probe of the attributes in each grid cell."""
    if probe is None:
        return []
    recall = ", ".join(f"{value:.1f} % at {name.partition('@')[2]}" for name, value in probe["recall"].items())
    lines = ["", "## What the encoder sees", ""]
    lines += [f"Test images that find one of their own captions among those of all {probe['images']}: {recall}.", ""]
    lines += ["Attributes of the object in a grid cell, read from the cell's features by a linear classifier:", ""]
    lines += ["| Attribute | Accuracy, % | Most frequent value, % |", "|---|---|---|"]
    lines += [
        f"| {name} | {cell['probe']:.1f} | {cell['most_frequent']:.1f} |" for name, cell in probe["cells"].items()
    ]
    return lines


def summary(
    plan: Plan,
    tables: Sequence[Table],
    score: Score,
    baselines: Mapping[str, Mapping[str, Any]],
    probe: Mapping[str, Any] | None = None,
) -> str:
    """The page ``README.md`` beside the tables; ``baselines`` by role, ``probe`` of the encoder if there is one."""
    name = plan.experiment.name
    lines = [f"# Experiment {name}: the paper's tables", "", "Paper and ours side by side:", ""]
    lines += [
        f"- [Table {t.name}](tables/table_{t.name}.md): {t.title} ({_counts(t)}; "
        f"[CSV](tables/table_{t.name}.csv), [LaTeX](tables/table_{t.name}.tex))"
        for t in tables
    ]
    if plan.server:
        lines += ["- [server_RDT.zip](tables/server_RDT.zip): captions in the form that the COCO test server takes"]
    lines += ["", "## In short", ""]
    lines += [f"- {line}" for line in headline(plan, tables, score, baselines.get("primary"))]
    lines += ["", "## What captions are worth without a captioner", ""]
    lines += ["Human: each of the first five references in turn against the other four.", ""]
    metrics = ("B@1", "B@4", "M", "R", "C")
    lines += ["| Data | Baseline | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 2) + "|"]
    for role, document in baselines.items():
        for key, title in _BASELINES.items():
            if key in document:
                cells = " | ".join(f"{document[key][metric]:.1f}" for metric in metrics)
                lines.append(f"| {role} | {title} | {cells} |")
    twins = twin_lines(plan, score)
    if twins:
        lines += ["", "## Twins", ""]
        lines += [
            "Pairs of test images that differ in one attribute. Accuracy: both captions differ and each has a "
            "higher CIDEr-D with its own image's references than with the twin's.",
            "",
            *twins,
        ]
    lines += encoder_lines(probe)
    return "\n".join(lines) + "\n"


_BASELINES = {
    "human": "human",
    "retrieved": "retrieved sentence",
    "most_frequent": "most frequent train caption",
}


def _counts(table: Table) -> str:
    statuses = [value.status for value in table.values if value.status]
    measured, published = statuses.count("measured"), statuses.count("published")
    counts = {"measured": measured, "quoted": published, "not run": len(statuses) - measured - published}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def write_tables(plan: Plan, definitions: Mapping[str, Mapping[str, Any]], paths: Paths) -> list[str]:
    """Write every table as CSV, Markdown and LaTeX, the server's archive and the page; returns the headline."""
    score = read_score(paths)
    tables = build_tables(plan, definitions, score)
    for table in tables:
        for suffix, form in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
            atomic_write_text(paths.tables / f"table_{table.name}.{suffix}", form(table))
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
    with stage.job("tables", __name__, output=stage.paths.tables):
        lines = write_tables(stage.plan, load_tables(), stage.paths)
    places = [f"Tables: {stage.paths.tables}", f"Summary: {stage.paths.reports / 'README.md'}"]
    text = "\n".join([*places, *lines])
    atomic_write_text(stage.paths.headline, text + "\n")
    print(text)
