"""A study of the tiny experiment: its file, made for a test."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from rdt.studies.file import Study, read_study
from tests.support import tiny

NAME = "mini"
FILE = f"{NAME}.yaml"
STUDY: dict[str, Any] = {
    "name": NAME,
    "title": "Thresholds, small",
    "experiment": f"{tiny.NAME}.yaml",
    "parameters": {"delta_tim": {"low": 0.02, "high": 0.3}, "delta_sen": {"low": 0.02, "high": 0.5}},
    "sampler": {"name": "random", "seed": 3},
    "trials": 3,
    "workers": 8,
    "seed": 0,
    "retrain_seeds": [1, 2],
    "training": {"xe_epochs": 2, "evaluate_every": 1, "evaluate_steps": 2},
}


def write(folder: Path, **changes: Any) -> Path:
    """``<folder>/mini.yaml``, with some of its keys replaced; a key that is None is left out."""
    content = {key: value for key, value in (copy.deepcopy(STUDY) | changes).items() if value is not None}
    path = folder / FILE
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def study(folder: Path, **changes: Any) -> Study:
    """The same, read."""
    return read_study(str(write(folder, **changes)))


def rdt(folder: Path, command: str, *arguments: str) -> int:
    """Run a command of the study in this process, in ``folder``; its exit code."""
    return tiny.rdt(folder, command, f"{tiny.NAME}.yaml", "--study", FILE, *arguments)
