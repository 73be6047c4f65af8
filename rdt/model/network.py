"""The network of a stage, and the ``config.json`` that says what its weights were trained with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rdt.data.vocabulary import Vocabulary
from rdt.draws import torch_seed
from rdt.errors import UserError
from rdt.experiment.runs import Run, stated
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
    """The untrained network of one stage of ``run``, as its seed draws it."""
    sizes = (experiment.model, run.method, vocab_size, grid_dim, global_dim)
    model = Teacher(*sizes) if run.kind == "teacher" else Captioner(*sizes, cascade=stage.endswith("2"))
    draw_weights(model, run.seed)
    return model


def draw_weights(model: nn.Module, seed: int) -> None:
    """Draw the parameters of each module from a stream of its own, keyed by ``seed`` and the module's name.

    So what two networks share starts equal, whatever modules one of them has besides: with one stream for all, rows
    with and without the branch of Eq. 20 would be as far apart as two seeds are.
    """
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
            torch.manual_seed(torch_seed(seed, "weights", key))
            module.reset_parameters()


def configuration(
    experiment: Experiment, run: Run, stage: str, vocabulary: Vocabulary, grid_dim: int, global_dim: int
) -> dict[str, Any]:
    """What must agree for weights to be loaded; it becomes ``config.json``."""
    return {
        "run": run.id,
        "kind": run.kind,
        "stage": stage,
        "model": asdict(experiment.model),
        "method": stated(run.method),
        "vocabulary": vocabulary.digest,
        "vocab_size": vocabulary.size,
        "grid_dim": grid_dim,
        "global_dim": global_dim,
    }
