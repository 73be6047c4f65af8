"""How the paper is read where it is silent or contradicts itself: ``experiments/readings.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rdt.experiment.plan import TABLES_FILE
from rdt.experiment.values import parse
from rdt.files import read_yaml

READINGS_FILE = TABLES_FILE.with_name("readings.yaml")


@dataclass(frozen=True)
class Reading:
    """What the paper says of a matter and what is done here; ``switch`` is the setting of the method that decides."""

    what: str
    paper: str
    here: str
    switch: str = ""


def read_readings(path: Path = READINGS_FILE) -> list[Reading]:
    """The readings in the order of their file; UserError where it is damaged."""
    return [parse(Reading, entry, path, f"entry {at}") for at, entry in enumerate(read_yaml(path, list, "a list"))]
