"""The controls: rows that have what a proposal adds besides its idea. Which part does the work?

``experiments/controls.yaml`` lists them; they are a side plan, see :mod:`rdt.experiment.sides`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdt.errors import UserError
from rdt.experiment.differences import METRICS
from rdt.experiment.network_work import NetworkWork, RoleSizes, feature_dims
from rdt.experiment.plan import PHASE_TITLES, TABLES_FILE
from rdt.experiment.runs import override
from rdt.experiment.settings import Experiment, Method
from rdt.experiment.values import parse
from rdt.files import read_yaml

FILE = TABLES_FILE.with_name("controls.yaml")
TABLE = "V"  # whose rows are the proposals
BASE = "base"  # its row without any of them


@dataclass(frozen=True)
class Control:
    """A ``row`` and its settings, what it ``has`` besides the idea of the row ``of`` Table V that it controls for."""

    control: str
    of: str
    row: str
    has: str
    run: dict[str, Any] = field(default_factory=dict)
    equal_compute: bool = False


def read_controls(path: Path = FILE) -> list[Control]:
    """The controls in their order; UserError where the file is damaged."""
    entries = read_yaml(path, list, "a list of controls")
    return [parse(Control, entry, path, f"entry {at}") for at, entry in enumerate(entries)]


def control_tables(experiment: Experiment, published: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows of Table V and the controls in the form of tables.yaml, a table for each phase of training."""
    proposals = {row["row"]: row for row in published[TABLE]["rows"]}
    controls = [_row(experiment, control, proposals) for control in read_controls()]
    return {
        phase: {
            "title": f"Controls, {title}",
            "cascades": published[TABLE]["cascades"],
            "parts": [
                {"phase": phase, "role": "primary", "split": "test", "references": "c5", "metrics": list(METRICS)}
            ],
            "rows": [*proposals.values(), *controls],
        }
        for phase, title in PHASE_TITLES.items()
    }


def _row(experiment: Experiment, control: Control, proposals: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A control as a row of tables.yaml."""
    if control.of not in proposals:
        hint = f"choose among: {', '.join(proposals)}"
        raise UserError(FILE, f"'{control.of}' is no row of Table {TABLE}", hint)
    row: dict[str, Any] = {"row": control.row, "run": control.run}
    if control.equal_compute:
        wanted, own = (
            override(experiment.method, values, f"{FILE}, row '{control.row}'")
            for values in (proposals[control.of]["run"], control.run)
        )
        row["xe_epochs"] = equal_epochs(experiment, wanted, own)
    return row


def equal_epochs(experiment: Experiment, wanted: Method, own: Method) -> int:
    """Epochs in which ``own`` takes the multiply-adds that ``wanted`` takes in those of the experiment, or just more.

    Words are left out: what they cost, the same for both, would bring the two closer together.
    """
    sizes = RoleSizes({}, 1, *feature_dims(experiment, "primary"))
    ratio = NetworkWork(experiment.model, wanted, sizes).train() / NetworkWork(experiment.model, own, sizes).train()
    return math.ceil(experiment.training.xe_epochs * ratio)
