"""Write an experiment's tables and its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.files import atomic_write_text, read_json
from rdt.scoring.measurements import Measurements
from rdt.tables.build import build_tables
from rdt.tables.formats import to_csv, to_latex, to_markdown, to_tests_csv
from rdt.tables.page import headline, summary


def write_tables(plan: Plan, definitions: Mapping[str, Mapping[str, Any]], paths: Paths) -> list[str]:
    """Write every table as CSV, Markdown and LaTeX, and the page; returns the headline.

    The headline is written too, after where the tables and the page are: what a workflow ends with.
    """
    measurements = Measurements.of(plan, paths)
    score = measurements.score
    baselines = read_baselines(paths, plan.experiment.data)
    tables = build_tables(plan, definitions, measurements, human_cider(baselines))
    forms = {".csv": to_csv, ".md": to_markdown, ".tex": to_latex, "_tests.csv": to_tests_csv}
    for table in tables:
        for suffix, form in forms.items():
            atomic_write_text(paths.tables / f"table_{table.name}{suffix}", form(table))
    probe = read_json(paths.probe) if paths.probe.exists() else None
    lines = headline(plan, tables, score, baselines.get("primary"))
    atomic_write_text(paths.reports / "README.md", summary(plan, tables, score, lines, baselines, probe))
    places = [f"Tables: {paths.tables}", f"Summary: {paths.reports / 'README.md'}"]
    atomic_write_text(paths.headline, "\n".join([*places, *lines]) + "\n")
    return lines


def human_cider(baselines: Mapping[str, Mapping[str, Any]]) -> float | None:
    """CIDEr of human captions of the primary test images; None where their images have one caption each."""
    return baselines.get("primary", {}).get("human", {}).get("C")


def read_baselines(paths: Paths, roles: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The baseline documents that exist, by role."""
    files = {role: paths.baselines(role, "test") for role in roles}
    return {role: read_json(path) for role, path in files.items() if path.exists()}
