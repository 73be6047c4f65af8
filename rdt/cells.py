"""Cells by name: ``table/row/column``, the first three columns of the tables' CSV."""

from __future__ import annotations

import difflib

from rdt.errors import UserError
from rdt.plan import Cell, Plan


def cell_name(cell: Cell) -> str:
    """``table/row/column``."""
    return f"{cell.table}/{cell.row}/{cell.column}"


def cells_by_name(plan: Plan) -> dict[str, Cell]:
    """Every cell of a plan."""
    return {cell_name(cell): cell for cell in plan.cells}


def find_cell(plan: Plan, name: str) -> Cell:
    """The cell of that name; UserError, with the nearest names, where there is none."""
    cells = cells_by_name(plan)
    if name not in cells:
        near = difflib.get_close_matches(name, cells, n=3, cutoff=0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its tables are {', '.join(plan.experiment.tables)}"
        raise UserError("CELL", f"'{name}' is no cell of experiment {plan.experiment.name}", hint)
    return cells[name]
