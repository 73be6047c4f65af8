"""A filled table as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from rdt.tables.table import Table, Value

COLUMNS = ("table", "row", "column", "paper", "ours", "ci_low", "ci_high", "n_seeds", "status", "run")
TEST_COLUMNS = (
    *("table", "row", "column", "ours", "sd", "n_seeds", "n_images"),
    *("reference", "difference", "ci_low", "ci_high", "interval_over", "p", "p_holm"),
)
DAGGER = "†"
WIDE = 9  # a Markdown table of more metrics than this is cut at its parts


def to_csv(table: Table) -> str:
    """One line per cell that has a number or a reason; columns are COLUMNS."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for value in table.values:
        if value.status:
            estimate = value.estimate
            numbers = ("", "", "", "")
            if estimate is not None:
                numbers = (*map(_cell_number, (estimate.value, estimate.low, estimate.high)), estimate.seeds)
            where = (value.cell.table, value.cell.row, value.cell.column)
            writer.writerow((*where, value.paper, *numbers, value.status, value.run))
    return out.getvalue()


def to_tests_csv(table: Table) -> str:
    """One line per measured cell: its scatter over seeds, and how it differs from the table's reference row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(TEST_COLUMNS)
    for value in table.values:
        estimate, comparison = value.estimate, value.comparison
        if estimate is None:
            continue
        against = ("",) * 7
        if comparison is not None:
            difference = comparison.difference
            ends = map(_cell_number, (difference.value, difference.low, difference.high))
            p_values = ("" if p is None else f"{p:.2g}" for p in (comparison.p, comparison.p_holm))
            against = (comparison.reference, *ends, difference.covers, *p_values)
        where = (value.cell.table, value.cell.row, value.cell.column)
        own = (_cell_number(estimate.value), _cell_number(estimate.sd), estimate.seeds, estimate.images)
        writer.writerow((*where, *own, *against))
    return out.getvalue()


def _cell_number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def to_markdown(table: Table) -> str:
    """``paper / **ours** ± sd (difference)`` in each cell; a table that is too wide is cut at its parts."""
    reasons: dict[str, int] = {}
    wide = sum(len(columns) for _, columns in table.parts) > WIDE
    blocks = [[part] for part in table.parts] if wide else [list(table.parts)]
    lines = [f"# Table {table.name}. {table.title}", ""]
    quoted = any(not value.cell.measured for value in table.values)
    legend = " *Italic rows*: quoted as published, not run here." if quoted else ""
    scatter = " ± sd over seeds" if any(value.estimate and value.estimate.seeds > 1 for value in table.values) else ""
    lines += [f"Measured rows: paper / **ours**{scatter} (difference).{legend}"]
    for block in blocks:
        lines += ["", *_markdown_block(table, block, reasons, headed=wide)]
    footnotes = [f"({number}) {reason}" for reason, number in reasons.items()]
    lines += ["", *(f"- {note.replace('*', chr(92) + '*')}" for note in (*footnotes, *table.notes))]
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
    scatter = "" if value.estimate.sd is None else f" ± {value.estimate.sd:.1f}"
    marks = (DAGGER if value.spice == "SPICE-dp" else "") + (r"\*" if _significant(value) else "")
    return f"{paper} / **{value.ours:.1f}**{marks}{scatter}{difference}"


def _significant(value: Value) -> bool:
    return value.comparison is not None and value.comparison.significant


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
        f"({reasons.setdefault(value.status, len(reasons) + 1)})" if value.ours is None else _latex_number(value)
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


def _latex_number(value: Value) -> str:
    marks = (r"\dagger" if value.spice == "SPICE-dp" else "") + ("*" if _significant(value) else "")
    scatter = "" if value.estimate.sd is None else rf" $\pm$ {value.estimate.sd:.1f}"
    return rf"\textbf{{{value.ours:.1f}}}" + (f"$^{{{marks}}}$" if marks else "") + scatter


def _latex_line(name: str, texts: Sequence[str]) -> str:
    return " & ".join([name, *texts]) + r" \\"
