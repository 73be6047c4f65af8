"""The network of a stage, and the ``config.json`` that says what its weights were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.runs import Run
from rdt.experiment.settings import Experiment
from rdt.files import atomic_write_json, read_json
from rdt.model.captioner import Captioner
from rdt.model.teacher import Teacher


def check_configuration(folder: Path, expected: Mapping[str, Any]) -> None:
    """UserError when the weights in ``folder`` were trained with another configuration or vocabulary."""
    path = folder / "config.json"
    found = read_json(path)
    for key, value in expected.items():
        if found.get(key) != value:
            values = "" if isinstance(value, Mapping) else f" ({found.get(key)}, expected {value})"
            remedy = f"use the data that it was trained with, or delete {folder} and train this stage again"
            raise UserError(path, f"weights of another {key}{values}", remedy)


def save_configuration(folder: Path, value: Mapping[str, Any]) -> None:
    """Write ``config.json``."""
    atomic_write_json(folder / "config.json", dict(value))


def build(experiment: Experiment, run: Run, stage: str, vocab_size: int, grid_dim: int, global_dim: int) -> nn.Module:
    """The untrained network of one stage of ``run``."""
    sizes = (experiment.model, run.method, vocab_size, grid_dim, global_dim)
    return Teacher(*sizes) if run.kind == "teacher" else Captioner(*sizes, cascade=stage.endswith("2"))


def configuration(
    experiment: Experiment, run: Run, stage: str, vocabulary: Vocabulary, grid_dim: int, global_dim: int
) -> dict[str, Any]:
    """What must agree for weights to be loaded; it becomes ``config.json``."""
    return {
        "run": run.id,
        "kind": run.kind,
        "stage": stage,
        "model": asdict(experiment.model),
        "method": asdict(run.method),
        "vocabulary": vocabulary.digest,
        "vocab_size": vocabulary.size,
        "grid_dim": grid_dim,
        "global_dim": global_dim,
    }
