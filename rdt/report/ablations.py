"""The sweeps in the grids of Tables VI and VIII: rows that differ in one setting, as differences to RDT's row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rdt.report.figures import Point
from rdt.tables.table import Table, Value

METRIC = "C"
SHORTEST = 3  # rows that make a curve
TITLES = {
    "lambda_f": "λ_F, share of keys kept",
    "lambda_e": "λ_E, share of keys reused",
    "delta_tim": "δ_tim, of timesteps",
    "delta_sen": "δ_sen, of sentences",
}
NO_LIMIT = {"delta_sen": 2}  # what the paper writes as "-": every pair is kept


@dataclass(frozen=True)
class Sweep:
    """Rows of a table along one setting, all others fixed as ``fixed`` says."""

    table: str
    key: str
    fixed: str
    points: tuple[Point, ...]

    @property
    def best(self) -> Point | None:
        """Setting with our highest difference."""
        return max((point for point in self.points if point.ours is not None), key=lambda p: p.ours, default=None)

    @property
    def paper_best(self) -> Point | None:
        return max((point for point in self.points if point.paper is not None), key=lambda p: p.paper, default=None)

    @property
    def undecided(self) -> int:
        """Number of settings whose interval holds the reference."""
        bounded = [point for point in self.points if point.low is not None]
        return sum(point.low <= 0 <= point.high for point in bounded)


def sweeps(table: Table, definition: Mapping[str, Any]) -> list[Sweep]:
    """The sweeps of a grid, one for each of its settings; ``definition`` is the table's in tables.yaml."""
    settings = {row["row"]: row["run"] for row in definition["rows"] if "run" in row}
    values = {value.cell.row: value for value in table.values if value.cell.metric == METRIC}
    reference = values[definition["reference"]]
    found = []
    for key in next(iter(settings.values()), {}):
        groups: dict[str, list[str]] = {}
        for row, own in settings.items():
            fixed = ", ".join(_named(name, value) for name, value in own.items() if name != key)
            groups.setdefault(fixed, []).append(row)
        fixed, rows = max(groups.items(), key=lambda group: len(group[1]))
        if len(rows) >= SHORTEST:
            rows.sort(key=lambda row: settings[row][key])
            points = tuple(_point(values[row], reference, _setting_text(key, settings[row][key])) for row in rows)
            found.append(Sweep(table.name, key, fixed, points))
    return found


def _named(key: str, value: float) -> str:
    return f"{TITLES.get(key, key).partition(',')[0]} = {_setting_text(key, value)}"


def _setting_text(key: str, value: float) -> str:
    return "none" if value == NO_LIMIT.get(key) else f"{value:g}"


def _point(value: Value, reference: Value, label: str) -> Point:
    """One row against the reference row, which differs from itself by nothing."""
    paper = float(value.paper) - float(reference.paper) if value.paper and reference.paper else None
    if value is reference:
        ours = None if value.ours is None else 0.0
        return Point(label, paper, ours, None, None, is_reference=True)
    difference = value.comparison.difference if value.comparison else None
    numbers = (None, None, None) if difference is None else (difference.value, difference.low, difference.high)
    return Point(label, paper, *numbers, is_reference=False)
