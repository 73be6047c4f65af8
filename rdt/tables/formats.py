"""A filled table as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from itertools import accumulate, pairwise

from rdt.metrics.resampling import Estimate
from rdt.scoring.measurements import Difference
from rdt.tables.blocks import blocks, metric_of, why_empty_cells
from rdt.tables.table import RowComparison, Table, Value
from rdt.templates import filled

COLUMNS = (
    *("table", "row", "column", "paper", "ours", "ci_low", "ci_high", "n_seeds", "status", "run"),
    *("base", "over_base", "over_base_low", "over_base_high", "paper_over_base"),
)
TEST_COLUMNS = (
    *("table", "row", "column", "ours", "sd", "n_seeds", "n_images"),
    *("reference", "difference", "ci_low", "ci_high", "interval_over", "p", "p_holm"),
)


def to_csv(table: Table) -> str:
    """CSV of COLUMNS with one line per cell that has a number or a reason."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for value in table.values:
        if value.status:
            estimate = value.estimate
            numbers = ("", "", "", "")
            if estimate is not None:
                numbers = (*map(_cell_number, (estimate.value, estimate.low, estimate.high)), estimate.seeds)
            over, against = value.over_base, ("",) * 5
            if over is not None:
                found = (over.ours.value, over.ours.low, over.ours.high, over.paper)
                against = (over.base, *map(_cell_number, found))
            where = (value.cell.table, value.cell.row, value.cell.column)
            writer.writerow((*where, value.paper, *numbers, value.status, value.run, *against))
    return out.getvalue()


def to_tests_csv(table: Table) -> str:
    """CSV of TEST_COLUMNS with one line per measured cell: scatter over seeds, difference to the reference row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(TEST_COLUMNS)
    for value in table.values:
        if value.estimate is None:
            continue
        against = ("",) * 7
        if value.comparison is not None:
            against = (value.comparison.reference, *compared_numbers(value.comparison))
        where = (value.cell.table, value.cell.row, value.cell.column)
        writer.writerow((*where, *measured_numbers(value), *against))
    return out.getvalue()


def measured_numbers(value: Value) -> tuple[str | int, ...]:
    """Level, scatter over seeds, seeds and images of a measured cell, as they stand in a CSV."""
    estimate = value.estimate
    return _cell_number(estimate.value), _cell_number(estimate.sd), estimate.seeds, estimate.images


def compared_numbers(comparison: RowComparison) -> tuple[str, ...]:
    """Difference, interval, what that covers, p and corrected p, as they stand in a CSV."""
    difference = comparison.difference
    ends = map(_cell_number, (difference.value, difference.low, difference.high))
    p_values = ("" if p is None else f"{p:.2g}" for p in (comparison.p, comparison.p_holm))
    return (*ends, difference.covers, *p_values)


def _cell_number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _tenths(value: float | None, sign: str = "") -> str:
    """A level, or with ``sign`` + a difference, as it is printed, never -0.0; a dash where there is none."""
    return "–" if value is None else f"{round(value, 1) + 0.0:{sign}.1f}"


def _bracketed(of: Estimate | Difference, sign: str = "") -> str:
    """The ends of an interval in brackets; empty where there is none."""
    return "" if of.low is None else f"[{_tenths(of.low, sign)}, {_tenths(of.high, sign)}]"


def to_markdown(table: Table) -> str:
    """Markdown: a measured row has our numbers with their intervals, and under it its difference to the base row.

    The paper's levels and the differences to them stand there on the paper's own data alone. A table too wide is cut
    at its parts.
    """
    found = blocks(table)
    return filled(
        "tables/table.md.jinja",
        table=table,
        blocks=found,
        quoted=any(not value.cell.measured for value in table.values),
        number=_tenths,
        interval=_bracketed,
        reasons=why_empty_cells(value for block in found for *_, values in block.rows for value in values),
    )


def to_latex(table: Table) -> str:
    """LaTeX document of one booktabs table; a measured row has a line for each number that :func:`to_markdown` has."""
    columns = [column for _, names in table.parts for column in names]
    return filled(
        "tables/table.tex.jinja",
        table=table,
        parts=_spans(table) if any(title for title, _ in table.parts) else [],
        columns=[metric_of(column) for column in columns],
        rows=[(*about, [values[column] for column in columns]) for *about, values in table.rows],
        reasons=why_empty_cells(table.values),
        tex=latex_escape,
        number=_tenths,
        interval=_bracketed,
    )


def _spans(table: Table) -> list[tuple[str, int, int]]:
    """Title of each part, and its first and last column in LaTeX, where the method's name is column 1."""
    ends = accumulate((len(columns) for _, columns in table.parts), initial=1)
    return [(title, first + 1, last) for (title, _), (first, last) in zip(table.parts, pairwise(ends), strict=True)]


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "◇": r"$\diamond$",
    "†": r"$\dagger$",
    "±": r"$\pm$",
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
