"""The tables of the page."""

from __future__ import annotations

from dataclasses import replace

from rdt.tables.blocks import Block, blocks
from rdt.tables.table import Table


def shown_blocks(table: Table) -> list[Block]:
    """Blocks of a table, each without the rows that have nothing in it."""
    return [
        replace(block, rows=tuple(row for row in block.rows if any(value.status for value in row[-1])))
        for block in blocks(table)
    ]
