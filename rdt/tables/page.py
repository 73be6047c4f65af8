"""The page beside the tables, and the headline that ends a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdt.experiment.plan import Cell, Plan, phase_title
from rdt.experiment.runs import NetworkId
from rdt.scoring.evaluation import interval_text
from rdt.scoring.measurements import Score
from rdt.tables.table import Table, Value
from rdt.templates import filled


def headline(plan: Plan, tables: Sequence[Table], score: Score, baselines: Mapping[str, Any] | None) -> list[str]:
    """Lines that end a run: CIDEr of Table II's rows beside the paper's, and RDT's against humans and one step."""
    lines = [
        f"{row}: CIDEr {value.ours:.1f} {_whence(plan, value.cell)}{_beside(value)}"
        for table in tables
        if table.name == "II"
        for _, row, _, values in table.rows
        for value in values.values()
        if value.cell.metric == "C" and value.ours is not None
    ]
    lines = list(dict.fromkeys(lines))  # captions that were made elsewhere are the same in all blocks
    lines += [f"Table {table.name}: {table.warning}" for table in tables if table.warning]
    for network in plan.one_step:
        lines += _against_baselines(score, network, baselines)
    return lines


def _whence(plan: Plan, cell: Cell) -> str:
    phase = plan.phase(cell.runs[0], cell.stage)
    return f"({phase})" if plan.runs[cell.runs[0]].kind == "given" else f"after {phase}"


def _beside(value: Value) -> str:
    """What the paper says of a cell: its level if the data are its own, and the difference to the base row."""
    found = f" (paper: {value.paper})" if value.as_in_paper and value.paper else ""
    over = value.over_base
    if over is not None and over.paper is not None:
        ours = interval_text(over.ours.value, over.ours.low, over.ours.high, "+")
        found += f", {ours} against {over.base} (paper: {over.paper:+.1f})"
    return found


def _against_baselines(score: Score, network: NetworkId, baselines: Mapping[str, Any] | None) -> list[str]:
    document = score(*network, "primary", "test")
    if document is None or "c5" not in document["scopes"]:
        return []
    cider = document["scopes"]["c5"]["metrics"]["C"]
    lines = []
    if baselines and "human" in baselines:
        human = baselines["human"]["C"]
        share = f"{100 * cider / human:.0f} % of the human CIDEr ({cider:.1f} of {human:.1f})"
        others = [baselines[name]["C"] for name in ("retrieved", "most_frequent")]
        lines.append(
            f"RDT after {phase_title(network.stage)} has {share}; the retrieved sentence alone has {others[0]:.1f}, "
            f"the most frequent train caption {others[1]:.1f}"
        )
    words, wanted = document["mean_words"], document["mean_words_references"]
    longer = 100 * (words / wanted - 1)
    lines.append(f"Its captions have {words:.1f} words, the references {wanted:.1f} ({longer:+.0f} %)")
    once = score(network.run, f"{network.stage}@T1", "primary", "test")
    if once is not None:
        single = once["scopes"]["c5"]["metrics"]["C"]
        verdict = "is not worse than" if cider >= single else "IS WORSE THAN"
        lines.append(f"Its full chain {verdict} a single step: CIDEr {cider:.1f} and {single:.1f}")
    return lines


def twin_rows(plan: Plan, score: Score) -> list[tuple[str, str, Mapping[str, float], str]]:
    """(row, phase, twin scores, run) of each network that has such scores on the primary test split.

    A network that several rows share is named by the first of them.
    """
    names: dict[NetworkId, str] = {}
    for cell in plan.cells:
        for run in cell.runs:
            names.setdefault(NetworkId(run, cell.stage), f"{cell.table}: {cell.row}")
    documents = {network: score(*network, "primary", "test") for network in names}
    return [
        (names[run, stage], plan.phase(run, stage), document["twins"], f"{run}/{stage}")
        for (run, stage), document in documents.items()
        if document and document["twins"]
    ]


def summary(
    plan: Plan,
    tables: Sequence[Table],
    score: Score,
    lines: Sequence[str],
    baselines: Mapping[str, Mapping[str, Any]],
    probe: Mapping[str, Any] | None,
) -> str:
    """The page ``README.md`` beside the tables, which begins with the ``lines`` of the headline.

    ``baselines`` by role, ``probe`` of the encoder if there is one.
    """
    return filled(
        "tables/summary.md.jinja",
        name=plan.experiment.name,
        tables=tables,
        status_counts=_status_counts,
        headline=lines,
        baselines=baselines,
        twins=twin_rows(plan, score),
        probe=probe,
    )


def _status_counts(table: Table) -> str:
    statuses = [value.status for value in table.values if value.status]
    measured, published = statuses.count("measured"), statuses.count("published")
    counts = {"measured": measured, "quoted": published, "not run": len(statuses) - measured - published}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
