"""A table: its cells, values and comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from rdt.experiment.plan import Cell
from rdt.metrics.resampling import LEVEL, Estimate
from rdt.scoring.measurements import Difference

SIGNIFICANT = 1 - LEVEL


@dataclass(frozen=True)
class RowComparison:
    """A cell against the same column of its table's reference row.

    ``p``: of a paired permutation test over images, ``p_holm`` after Holm's correction over all tests of the
    table; None where a metric has no numbers that add up over images.
    """

    reference: str
    difference: Difference
    p: float | None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the corrected test rejects that the rows are alike; False where there is no test."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT


@dataclass(frozen=True)
class BaseDifference:
    """A cell minus the same column of its table's base row: ours, and the paper's, None where it prints no number."""

    base: str
    ours: Difference
    paper: float | None


@dataclass(frozen=True)
class Value:
    """One position of a table: what the paper prints there ("" if nothing) and what we measured.

    ``status``: measured, published, or ``not run: reason``. ``run``: the runs and their stage, if measured.
    ``spice``: which SPICE an S is. ``as_in_paper``: whether ours is about the paper's own data; only then its level
    compares with the paper's.
    """

    cell: Cell
    paper: str
    status: str
    run: str = ""
    estimate: Estimate | None = None
    comparison: RowComparison | None = None
    spice: str = ""
    as_in_paper: bool = False
    over_base: BaseDifference | None = None

    @property
    def ours(self) -> float | None:
        """Mean over seeds, in the units of the paper; None where nothing was measured."""
        return None if self.estimate is None else self.estimate.value

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's; None where either is missing, or ours is about other data."""
        comparable = self.as_in_paper and self.paper and self.ours is not None
        return self.ours - float(self.paper) if comparable else None

    @property
    def significant(self) -> bool:
        """Whether its row differs from the reference row by the test of its table."""
        return self.comparison is not None and self.comparison.significant


@dataclass(frozen=True)
class Table:
    """A table of the paper, filled: ``values`` row by row in the paper's order."""

    name: str
    title: str
    notes: tuple[str, ...]
    parts: tuple[tuple[str, tuple[str, ...]], ...]  # (title, columns)
    values: tuple[Value, ...]
    warning: str = ""  # what a reader has to know before the numbers

    @property
    def as_in_paper(self) -> bool:
        """Whether any of its cells is measured on the paper's own data."""
        return any(value.as_in_paper for value in self.values)

    @property
    def base(self) -> str:
        """The row that the others stand beside; "" where it or all others were not run."""
        return next((value.over_base.base for value in self.values if value.over_base), "")

    @property
    def rows(self) -> list[tuple[str, str, bool, dict[str, Value]]]:
        """Rows as (group, row, measured, value by column), in the paper's order."""
        rows = groupby(self.values, key=lambda value: (value.cell.group, value.cell.row, value.cell.measured))
        return [(*key, {value.cell.column: value for value in values}) for key, values in rows]
