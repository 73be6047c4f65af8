"""The page beside the tables, and the headline that ends a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdt.experiment.plan import Plan, phase_title
from rdt.experiment.runs import NetworkId
from rdt.scoring.measurements import Score
from rdt.tables.table import Table


def headline(plan: Plan, tables: Sequence[Table], score: Score, baselines: Mapping[str, Any] | None) -> list[str]:
    """The lines printed at the end of a run: RDT's CIDEr, against the paper, SCD-Net, humans and one step."""
    photographs = ", on photographs" if plan.experiment.data["primary"].source == "scenes" else ""
    lines = [
        f"{row}: CIDEr {value.ours:.1f} after {phase_title(value.cell.stage)}"
        + (f" (paper{photographs}: {value.paper})" if value.paper else "")
        for table in tables
        if table.name == "II"
        for _, row, _, values in table.rows
        for value in values.values()
        if value.cell.metric == "C" and value.ours is not None
    ]
    for network in plan.one_step:
        lines += _against_baselines(score, network, baselines)
    return lines


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


def twin_lines(plan: Plan, score: Score) -> list[str]:
    """Markdown table of twin accuracy of each network that has a score on the primary test split.

    A network that several rows share is named by the first of them.
    """
    rows: dict[NetworkId, str] = {}
    for cell in plan.cells:
        for run in cell.runs:
            rows.setdefault(NetworkId(run, cell.stage), f"{cell.table}: {cell.row}")
    lines = []
    for (run, stage), row in rows.items():
        document = score(run, stage, "primary", "test")
        if document and document["twins"]:
            twins = document["twins"]
            numbers = f"{twins['accuracy']:.1f} | {twins['differ']:.1f} | {twins['pairs']}"
            lines.append(f"| {row} | {phase_title(stage)} | {numbers} | {run}/{stage} |")
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
    lines += ["- [Claims](claims.md): what the paper asserts, and what this experiment says to it ([CSV](claims.csv))"]
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
