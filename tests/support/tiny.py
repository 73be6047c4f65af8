"""A whole experiment in seconds: its file, its data and features, made by the real commands."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from rdt import cli
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan, load_tables, plan
from rdt.experiment.settings import Experiment

NAME = "tiny"
EXPERIMENT: dict[str, Any] = {
    "name": NAME,
    "method": "paper",
    "override": {
        "length": 12,
        "min_count": 1,
        "steps": 3,
        "images_per_step": 4,
        "captions_per_image": 3,
        "retrieved": 6,
    },
    "data": {"primary": {"source": "scenes", "train": 24, "val": 4, "test": 6, "references": 6}},
    "encoder": {"image_size": 112, "width": 8, "epochs": 1, "images_per_step": 8, "lr": 0.001, "threads": 1},
    "model": {
        "dim": 16,
        "heads": 2,
        "ffn": 32,
        "visual_layers": 1,
        "semantic_layers": 1,
        "sentence_layers": 1,
        "dropout": 0.1,
        "visual_dropout": 0.1,
    },
    "training": {
        "xe_epochs": 2,
        "grid_xe_epochs": 1,
        "rl_epochs": 2,
        "teacher_xe_epochs": 2,
        "teacher_rl_epochs": 2,
        "teacher_rl_lr": 0.0003,
        "schedule": "cosine",
        "lr": 0.002,
        "warmup_steps": 2,
        "clip_value": 0.1,
        "ema": 0.9,
        "evaluate_every": 1,
        "evaluate_steps": 2,
        "cascade_steps": 2,
        "cascades": 1,
        "ablation_cascades": 1,
        "teacher_beam": 2,
        "checkpoint_minutes": 1,
        "threads": 1,
    },
    "seeds": [0],
    "tables": ["V"],
}


def settings(**groups: dict[str, Any]) -> dict[str, Any]:
    """The experiment with some keys of some groups replaced: ``settings(training={"xe_epochs": 1})``."""
    changed = copy.deepcopy(EXPERIMENT)
    for group, values in groups.items():
        changed[group] |= values
    return changed


def write(folder: Path, content: dict[str, Any], name: str = NAME) -> Path:
    """``<folder>/<name>.yaml``."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The commands write to ``results/`` of the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def without_sending(folder: Path, experiment: str = NAME) -> None:
    """Let records of jobs wait: a stamp of the future says that a sender has just been at work."""
    stamp = folder / "results" / experiment / "tracking" / ".sent"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    os.utime(stamp, (4e9, 4e9))


def rdt(folder: Path, *arguments: str) -> int:
    """Run a command in this process, in ``folder``; its exit code."""
    with inside(folder):
        return cli.main(list(arguments))


def prepare(folder: Path) -> None:
    """Scenes, vocabulary, encoder, features and index of the primary role."""
    write(folder, EXPERIMENT)
    without_sending(folder)
    for command in ("scenes", "vocabulary", "encoder", "features", "index"):
        role = [] if command == "encoder" else ["--role", "primary"]
        assert rdt(folder, command, f"{NAME}.yaml", *role) == 0, command


def copied(prepared: Path, folder: Path, content: dict[str, Any] = EXPERIMENT) -> Path:
    """A copy of what ``prepare`` made, to be changed at will; its experiment file holds ``content``."""
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    without_sending(folder)
    write(folder, content)
    return folder


def opened(folder: Path) -> tuple[Experiment, Plan, Paths]:
    """Experiment, plan and paths of a prepared folder."""
    experiment = load_experiment(folder / f"{NAME}.yaml")
    return experiment, plan(experiment, load_tables()), Paths(NAME, folder / "results", folder / "reports")


def run_id(planned: Plan, start: str) -> str:
    """The id of the one planned run that begins so (``rdt``, ``teacher``)."""
    (found,) = (name for name in planned.runs if name.startswith(f"{start}-s"))
    return found
