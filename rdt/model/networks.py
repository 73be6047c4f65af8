"""The networks of a run, and the configuration that their weights must agree with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from rdt.config import Experiment
from rdt.data.vocabulary import Vocabulary
from rdt.model.captioner import Captioner
from rdt.model.teacher import Teacher
from rdt.plan import Run


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
