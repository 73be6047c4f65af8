"""What each proposal gains over the base and over its control, as rows of the page."""

from __future__ import annotations

from dataclasses import dataclass

from rdt.experiment.controls import BASE, Control, read_controls
from rdt.experiment.paths import Paths
from rdt.experiment.plan import SidePlan, phase_title
from rdt.report.claims import Glyph, glyph
from rdt.scoring.measurements import Difference
from rdt.tables.controls import Gain, measured_gains

METRIC = "C"
PROPOSALS = {"base + RVE": "Ranking visual encoder", "base + RL": "Ranking loss", "base + RVE + RL": "Both"}
MORE = "More compute"


@dataclass(frozen=True)
class ShownGain:
    """A gain with its drawing, or the ``reason`` why there is none."""

    difference: Difference | None
    glyph: Glyph | None
    reason: str


@dataclass(frozen=True)
class ControlRow:
    """A proposal's gain over the base and, where something controls for it, over that."""

    proposal: str
    row: str
    over_base: ShownGain
    control: Control | None
    over_control: ShownGain | None
    sentence: str


def control_rows(side: SidePlan, paths: Paths) -> dict[str, list[ControlRow]]:
    """The rows by what the networks were trained for, one for each control and one for more compute by itself."""
    gains = [gain for gain in measured_gains(side, paths) if gain.of.cell.metric == METRIC]
    found = {}
    for phase in dict.fromkeys(gain.of.cell.table for gain in gains):
        by_row = {(gain.control, gain.of.cell.row): gain for gain in gains if gain.of.cell.table == phase}
        rows = [
            _control_row(by_row[BASE, control.of], control, by_row[control.control, control.of])
            for control in read_controls()
        ]
        rows += [_control_row(by_row[BASE, one.row]) for one in read_controls() if one.equal_compute]
        found[phase_title(phase)] = rows
    return found


def _control_row(over_base: Gain, control: Control | None = None, over_control: Gain | None = None) -> ControlRow:
    row = over_base.of.cell.row
    decisive = over_base if over_control is None else over_control
    return ControlRow(
        proposal=PROPOSALS.get(row, row) if control else MORE,
        row=row,
        over_base=_shown_gain(over_base),
        control=control,
        over_control=None if over_control is None else _shown_gain(over_control),
        sentence=control_sentence(decisive),
    )


def _shown_gain(gain: Gain) -> ShownGain:
    if gain.comparison is None:
        missing = next((value.status for value in (gain.of, gain.over) if value.ours is None), "no seed in common")
        return ShownGain(None, None, missing)
    found = gain.comparison.difference
    return ShownGain(found, glyph(found.value, found.low, found.high), "")


def control_sentence(gain: Gain) -> str:
    """What a gain says: with one seed nothing, with several what its interval over images and seeds decides."""
    if gain.comparison is None:
        return ""
    over, difference = gain.over.cell.row, gain.comparison.difference
    if difference.seed_scatter is None or difference.image_error is None:
        return "One seed decides nothing, whatever the images say."
    if difference.low > 0:
        return f"Better than {over}."
    if difference.high < 0:
        return f"Worse than {over}."
    return f"Undecided: not told from {over} by these images and seeds."


def epochs_said(side: SidePlan) -> str:
    """How long the base was trained for equal compute, since its comparison is one of unequal epochs."""
    longer = next((control for control in read_controls() if control.equal_compute), None)
    trained = {cell.row: side.plan.runs[cell.runs[0]].xe_epochs for cell in side.plan.cells if cell.runs}
    if longer is None or longer.row not in trained:
        return ""
    own, others = trained[longer.row], trained[longer.of]
    same = f"at least the multiply-adds of the {others} of {longer.of}"
    return f"The base is trained longer for {own} epochs of cross-entropy, {same}; every other row for {others}."
