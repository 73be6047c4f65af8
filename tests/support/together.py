"""One step of every stage, in as many processes as torchrun starts: ``python -m tests.support.together FOLDER``.

Each step's checkpoint and record are left in the folder. Without torchrun one process makes the same steps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from rdt.diffusion.bits import encode_bits
from rdt.model.teacher import Teacher
from rdt.training import parallel, rl, xe
from rdt.training.batches import Batch
from rdt.training.loop import Task, fit
from rdt.training.rl import build_reward
from rdt.training.teacher import TeacherRL, TeacherXE
from tests.training import test_training as small

IMAGES = 5  # of a step: two processes have two and three of them
RELEASED = {"supervise_padding": False, "quality": "top5_words", "average": "active_pairs", "margin": False}


def teacher() -> Teacher:
    torch.manual_seed(0)
    return Teacher(small.SIZES, small.method(), small.V, small.D, small.E)


def stages() -> dict[str, tuple[Task, nn.Module]]:
    """Every kind of training, with dropout, and its network; the pairs of captions are all close."""
    data = small.split()
    rows = small.token_rows(np.random.default_rng(1), 8)
    close = {"delta_tim": 0.9, "delta_sen": 2.0}
    common = {"split": data, "method": small.method(), "seed": 0, "evaluate": small.score_nothing}
    return {
        "xe": (small.xe(data, self_condition=1.0, **close), small.captioner()),
        "xe, padding masked": (small.xe(data, self_condition=0.0, **close, **RELEASED), small.captioner()),
        "xe, controls": (small.xe(data, **close, **small.CONTROLS), small.captioner(**small.CONTROLS)),
        "xe2": (small.xe(data, first_cascade=rows, **close), small.captioner(cascade=True)),
        "rl": (small.rl(data, rows), small.captioner()),
        "rl2": (replace(small.rl(data, rows), first_cascade=rows), small.captioner(cascade=True)),
        "teacher xe": (TeacherXE(**common), teacher()),
        "teacher rl": (TeacherRL(**common, reward=build_reward(data)), teacher()),
    }


def step(name: str, task: Task, model: nn.Module, folder: Path, **changes: object) -> None:
    """A step of all images and nothing else: Adam's first mean is then a tenth of the gradient."""
    settings = small.budget(epochs=1, images=IMAGES, images_per_step=IMAGES, clip_value=1e9, **changes)

    def write(record: dict[str, float], step: int) -> None:
        (folder / f"{name}.json").write_text(json.dumps(record))

    fit(model, task, settings, folder / f"{name}.pt", small.IDENTITY, write)


class Wide:
    """A task and its batches in float64, so that another order of summation shows in the last digits alone."""

    selected = "CIDEr"

    def __init__(self, task: Task) -> None:
        self.task, self.evaluate = task, task.evaluate

    def batch(self, positions: np.ndarray, epoch: int) -> Batch:
        return self.task.batch(positions, epoch)._each(lambda x: x.double() if x.is_floating_point() else x)

    def losses(self, model: nn.Module, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
        wide: Callable[..., Tensor] = lambda ids, bits: encode_bits(ids, bits).double()  # noqa: E731
        with patch.object(xe, "encode_bits", wide), patch.object(rl, "encode_bits", wide):
            return self.task.losses(model, batch, epoch, step)


def gradient(folder: Path, name: str) -> Tensor:
    """What such a step has left of its gradient."""
    content = torch.load(folder / f"{name}.pt", weights_only=True)
    return torch.cat([mean.flatten() for mean in content["optimizer"]["mean"]])


def run(folder: Path) -> None:
    """All steps, in float32 and in float64."""
    with parallel.group(torch.device("cpu")):
        for name, (task, model) in stages().items():
            step(f"{name}, float32", task, model, folder)
        for name, (task, model) in stages().items():
            step(f"{name}, float64", Wide(task), model.double(), folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]))
