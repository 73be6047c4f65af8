"""A filled table in the blocks that fit a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdt.tables.formats import WIDE
from rdt.tables.table import Table, Value


@dataclass(frozen=True)
class Block:
    """Some columns of a table; ``rows`` are (group, row, measured, values), without those that have nothing here."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, bool, tuple[Value, ...]], ...]


def blocks(table: Table) -> list[Block]:
    """The table whole, or cut at its parts where it is too wide; in a whole one a column has its part's title."""
    parts = [(title, [(column, _metric(column)) for column in columns]) for title, columns in table.parts]
    if len(parts) > 1 and sum(len(columns) for _, columns in parts) <= WIDE:
        parts = [("", [(column, f"{title} {metric}") for title, columns in parts for column, metric in columns])]
    return [_block(table, title, columns) for title, columns in parts]


def _block(table: Table, title: str, columns: Sequence[tuple[str, str]]) -> Block:
    rows = tuple(
        (group, row, measured, tuple(values[column] for column, _ in columns))
        for group, row, measured, values in table.rows
        if any(values[column].status for column, _ in columns)
    )
    return Block(title, tuple(shown for _, shown in columns), rows)


def _metric(column: str) -> str:
    return column.rpartition("/")[2]


def why_empty_cells(table: Table) -> list[str]:
    """Why cells of ours have no number, each reason once."""
    return list(dict.fromkeys(value.status for value in table.values if value.cell.measured and value.ours is None))
