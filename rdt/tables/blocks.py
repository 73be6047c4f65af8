"""A filled table in the blocks that fit a screen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rdt.tables.table import Table, Value

WIDE = 9  # a table of more metrics than this is cut at its parts


@dataclass(frozen=True)
class Block:
    """Some columns of a table, as a reader calls them; ``rows`` are (group, row, measured, values of the columns)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, bool, tuple[Value, ...]], ...]


def blocks(table: Table) -> list[Block]:
    """The table whole, or cut at its parts where it is too wide; in a whole one a column has its part's title."""
    parts = [(title, {column: metric_of(column) for column in columns}) for title, columns in table.parts]
    if len(parts) > 1 and sum(len(columns) for _, columns in parts) <= WIDE:
        merged = {column: f"{title} {metric}" for title, columns in parts for column, metric in columns.items()}
        parts = [("", merged)]
    return [
        Block(
            title,
            tuple(columns.values()),
            tuple((*about, tuple(values[column] for column in columns)) for *about, values in table.rows),
        )
        for title, columns in parts
    ]


def metric_of(column: str) -> str:
    """Metric of a column ``part/metric`` or ``metric``."""
    return column.rpartition("/")[2]


def why_empty_cells(values: Iterable[Value]) -> list[str]:
    """Why cells of ours have no number, each reason once."""
    return list(dict.fromkeys(value.status for value in values if value.cell.measured and value.ours is None))
