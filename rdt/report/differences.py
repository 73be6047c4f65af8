"""What each difference between paper and released code is worth, as rows of the page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rdt.experiment.differences import (
    REFERENCE,
    TOGETHER,
    read_differences,
    released_method,
)
from rdt.experiment.file import read_preset
from rdt.experiment.paths import Paths
from rdt.experiment.plan import SidePlan, phase_title
from rdt.experiment.settings import Experiment
from rdt.report.claims import Glyph, glyph
from rdt.tables.differences import measured_differences
from rdt.tables.table import Value

METRIC = "C"


@dataclass(frozen=True)
class DifferenceRow:
    """One difference with its measured value and what stands beside it, or the ``reason`` why there is none."""

    number: str
    title: str
    paper: str
    released: str
    value: Value | None
    glyph: Glyph | None
    reason: str
    beside: str = ""


def difference_rows(side: SidePlan, paths: Paths) -> list[DifferenceRow]:
    """All differences in the order of their file, with the rows that they are compared with before them."""
    found: dict[tuple[str, str], Value] = {}
    if paths.side_table(side.name).is_file():
        for table in measured_differences(side, paths):
            found |= {(table.name, value.cell.row): value for value in table.values if value.cell.metric == METRIC}
    rows = [
        replace(
            _difference_row(one.title, found.get((one.phase, one.row)), one.none, one.number, one.paper, one.released),
            beside=one.beside,
        )
        for one in read_differences()
    ]
    references = [
        _difference_row(f"The method as it is, after {phase_title(phase)}", value)
        for (phase, row), value in found.items()
        if row == REFERENCE
    ]
    together = [
        _difference_row("All of these that act on cross-entropy", value)
        for (_, row), value in found.items()
        if row == TOGETHER
    ]
    return [*references, *rows, *together]


def _difference_row(
    title: str, value: Value | None, none: str = "", number: str = "", paper: str = "", released: str = ""
) -> DifferenceRow:
    if value is None or value.ours is None:
        reason = none or ("not run" if value is None else value.status)
        return DifferenceRow(number, title, paper, released, None, None, reason)
    found = value.comparison.difference if value.comparison else None
    drawn = glyph(found.value, found.low, found.high) if found else None
    return DifferenceRow(number, title, paper, released, value, drawn, "")


def own_settings(experiment: Experiment) -> str:
    """Which settings of the differences the experiment itself has otherwise than the paper."""
    paper, own = asdict(read_preset("paper", Path(experiment.path))), asdict(experiment.method)
    released = released_method(experiment)
    switches = [switch for one in read_differences() for switch in one.switches if own[switch] != paper[switch]]
    changed = [
        f"{switch} is {own[switch]} (paper {paper[switch]}) and becomes {getattr(released, switch)}"
        for switch in switches
    ]
    return f"This experiment's own method differs from the paper's here: {'; '.join(changed)}." if changed else ""
