"""The differences between the paper and the released code, each trained by itself: what it is worth.

``experiments/differences.yaml`` lists them; they are a side plan, see :mod:`rdt.experiment.sides`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rdt.experiment.file import read_preset
from rdt.experiment.plan import TABLES_FILE
from rdt.experiment.settings import Experiment, Method
from rdt.experiment.values import parse
from rdt.files import read_yaml

FILE = TABLES_FILE.with_name("differences.yaml")
REFERENCE = "as the experiment"  # the row with which each difference is compared
TOGETHER = "all of these"
METRICS = ("B@1", "B@4", "M", "R", "C", "S")
TITLES = {"xe": "Differences, cross-entropy", "rl": "Differences, CIDEr optimisation"}


@dataclass(frozen=True)
class CodeDifference:
    """One difference; ``switches`` are the settings that it stands for, or ``none`` says why nothing is run.

    ``beside``: what a reader of its number has to know.
    """

    number: str
    title: str
    paper: str
    released: str
    switches: tuple[str, ...] = ()
    phase: Literal["xe", "rl"] = "xe"
    none: str = ""
    beside: str = ""

    @property
    def row(self) -> str:
        """Its row in the table of its phase."""
        return f"{self.number} {self.title}".strip()


def read_differences(path: Path = FILE) -> list[CodeDifference]:
    """The differences in the order of their numbers; UserError where the file is damaged."""
    entries = read_yaml(path, list, "a list of differences")
    return [parse(CodeDifference, entry, path, f"entry {at}") for at, entry in enumerate(entries)]


def difference_tables(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """The differences as tables in the form of tables.yaml, one for each training that they are about."""
    tables = {}
    listed, released = read_differences(), released_method(experiment)
    for phase, title in TITLES.items():
        rows = {REFERENCE: {}}
        for one in listed:
            if one.switches and one.phase == phase:
                rows[one.row] = {switch: getattr(released, switch) for switch in one.switches}
        if len(rows) == 1:
            continue
        if len(rows) > 2:
            rows[TOGETHER] = {switch: value for values in rows.values() for switch, value in values.items()}
        part = {"phase": phase, "role": "primary", "split": "test", "references": "c5", "metrics": list(METRICS)}
        tables[phase] = {
            "title": title,
            "cascades": "ablation",
            "grid": True,
            "reference": REFERENCE,
            "parts": [part],
            "rows": [{"row": row, "run": values} for row, values in rows.items()],
        }
    return tables


def released_method(experiment: Experiment) -> Method:
    """The released code's; counts that the experiment has otherwise than the paper are in the same proportion."""
    paper, released = (read_preset(name, Path(experiment.path)) for name in ("paper", "released"))
    scaled = {}
    for name, own in vars(experiment.method).items():
        usual = getattr(paper, name)
        if type(own) is int and usual and own != usual:
            scaled[name] = own * getattr(released, name) // usual
    return replace(released, **scaled)
