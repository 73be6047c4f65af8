"""The ``train`` step: one network of one run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rdt.captioning.generate import Sampling, decode, denoise_captions, sentence_ranks, teacher_captions
from rdt.captioning.model_card import show_training
from rdt.diffusion.bits import bit_width
from rdt.errors import UserError
from rdt.experiment.runs import Run, settings_digest
from rdt.experiment.settings import Stage
from rdt.features.inputs import Inputs, caption_rows
from rdt.features.split import Split
from rdt.files import atomic_write_text
from rdt.metrics.ciderd import CiderD
from rdt.model.captioner import Captioner
from rdt.model.device import open_device
from rdt.model.network import build, check_configuration, configuration, save_configuration
from rdt.model.teacher import Teacher
from rdt.model.weights import load_weights, save_weights
from rdt.provenance import steps
from rdt.provenance.code import code_digest
from rdt.provenance.manifest import recorded_digest
from rdt.training import parallel
from rdt.training.curves import curves
from rdt.training.frequencies import train_frequencies
from rdt.training.loop import Budget, Log, Outcome, Stop, Task, fit, never, silent
from rdt.training.rl import CaptionerRL, build_reward
from rdt.training.schedule import cosine, noam
from rdt.training.selection import Selection
from rdt.training.teacher import TeacherRL, TeacherXE
from rdt.training.xe import CaptionerXE
from rdt.workspace import Workspace

CODE = __name__


@dataclass(frozen=True)
class Training:
    """One network to train: a stage of a run, with the inputs of its role."""

    workspace: Workspace
    run: Run
    stage: Stage
    inputs: Inputs

    @property
    def folder(self) -> Path:
        return self.step.target

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @cached_property
    def step(self) -> steps.Step:
        return steps.training(self.workspace.plan, self.workspace.paths, self.run.id, self.stage)

    @property
    def configuration(self) -> dict[str, object]:
        """What its weights must agree with."""
        inputs = self.inputs
        dims = (inputs.grid_dim, inputs.global_dim)
        return configuration(self.workspace.experiment, self.run, self.stage, inputs.vocabulary, *dims)

    @property
    def is_rl(self) -> bool:
        return self.stage.startswith("rl")

    def rows(self, said: str, split: Split) -> np.ndarray | None:
        """Token rows (n, L) of the captions of ``split`` that the step reads as ``said``; None where it reads none."""
        path = self.step.inputs.get(said)
        if path is None:
            return None
        return caption_rows(path, split.names, self.inputs.vocabulary, self.inputs.length)


def task(training: Training, train: Split) -> Task:
    """What the loop is to do for this network."""
    run, experiment = training.run, training.workspace.experiment
    method = run.method
    images = training.inputs.dataset.split(method.select_on)
    split = training.inputs.split(method.select_on)
    if run.kind == "teacher":
        common = {"split": train, "method": method, "seed": run.seed}
        common["evaluate"] = Selection.of(images, lambda model: _teacher_says(training, model, split))
        return TeacherRL(**common, reward=_reward(training, train)) if training.is_rl else TeacherXE(**common)
    cascade = training.rows(f"first/{method.select_on}", split)
    sampling = Sampling(method, experiment.training.evaluate_steps, run.seed)
    ranks = sentence_ranks(split, run.seed, None, 0)

    def says(model: Captioner) -> list[str]:
        bits = denoise_captions(model, split, ranks, sampling, cascade)
        return decode(model, bits, training.inputs.vocabulary, method)[0]

    common = {
        "split": train,
        "method": method,
        "seed": run.seed,
        "num_bits": bit_width(training.inputs.vocabulary.size),
        "evaluate": Selection.of(images, says),
        "first_cascade": training.rows("first/train", train),
    }
    if not training.is_rl:
        return CaptionerXE(**common)
    teacher = training.rows("teacher/train", train)
    return CaptionerRL(**common, teacher=teacher, reward=_reward(training, train))


def _reward(training: Training, train: Split) -> CiderD:
    """CIDEr-D against the train captions; how often their n-grams occur is counted by the first training that asks."""
    words = training.inputs.vocabulary.digest
    return build_reward(train, train_frequencies(train, words, training.workspace.paths.cache))


def _teacher_says(training: Training, model: Teacher, split: Split) -> list[str]:
    rows = teacher_captions(model, split, beam=1)
    return [training.inputs.vocabulary.decode(row) for row in rows.tolist()]


def budget(training: Training, images: int) -> Budget:
    """Epochs, rate and bookkeeping of this network."""
    settings, method = training.workspace.experiment.training, training.run.method
    is_teacher = training.run.kind == "teacher"
    rl_epochs = settings.teacher_rl_epochs if is_teacher else settings.rl_epochs
    epochs = rl_epochs if training.is_rl else training.run.xe_epochs
    total = epochs * max(1, images // method.images_per_step)
    dim = training.workspace.experiment.model.dim

    def learning_rate(step: int) -> float:
        if training.is_rl:
            return settings.teacher_rl_lr if is_teacher else method.rl_lr
        if settings.schedule == "noam":
            return noam(step, dim, settings.warmup_steps, settings.lr)
        return cosine(step, total, settings.warmup_steps, settings.lr)

    return Budget(
        epochs=epochs,
        images=images,
        images_per_step=method.images_per_step,
        learning_rate=learning_rate,
        clip_value=settings.clip_value,
        ema=settings.ema,
        evaluate_every=settings.evaluate_every,
        checkpoint_seconds=60 * settings.checkpoint_minutes,
        seed=training.run.seed,
        bfloat16=settings.precision == "bfloat16",
        workers=settings.workers,
    )


def network(training: Training) -> nn.Module:
    """The network to start from: new for ``xe`` and ``xe2``; for ``rl`` the raw weights of the earlier stage."""
    run, experiment, inputs = training.run, training.workspace.experiment, training.inputs
    dims = (inputs.grid_dim, inputs.global_dim)
    model = build(experiment, run, training.stage, inputs.vocabulary.size, *dims)
    if training.is_rl:
        earlier = training.stage.replace("rl", "xe")
        folder = training.step.inputs[earlier]
        check_configuration(folder, configuration(experiment, run, earlier, inputs.vocabulary, *dims))
        load_weights(folder / "raw.safetensors", model)
    return model


def write_outcome(training: Training, outcome: Outcome) -> None:
    """The best weights, what they were trained with, and the curves."""
    save_weights(training.folder / "raw.safetensors", outcome.raw)
    save_weights(training.folder / "model.safetensors", outcome.ema)
    best = {"best_epoch": outcome.best_epoch, "val_CIDEr": outcome.best_score}
    save_configuration(training.folder, training.configuration | best)
    atomic_write_text(training.folder / "curves.csv", curves(outcome.history))


def train(training: Training, stop: Stop = never) -> Outcome:
    """Train a network, tracked and with a manifest; ``stop`` may end it early, see :func:`fit`.

    Of several processes that torchrun started, the first one does all but the steps.
    """
    workspace = training.workspace
    device = open_device(workspace.experiment.training, workspace.experiment.path)
    with parallel.group(device):
        if not parallel.leads():
            return fitted(training, device, silent, stop)
        with workspace.make(training.step) as job:
            outcome = fitted(training, device, job.metrics, stop)
            write_outcome(training, outcome)
            job.artifact(training.folder / "curves.csv")
            show_training(workspace, training.run, training.stage, job)
            training.checkpoint.unlink(missing_ok=True)  # a job that outlived its workflow may have ended first
    return outcome


def fitted(training: Training, device: torch.device, log: Log, stop: Stop) -> Outcome:
    """The network trained on ``device``, from its checkpoint if there is one; every process takes its part."""
    images = training.inputs.split("train")
    length = budget(training, len(images))
    if length.share.total < parallel.world():
        problem = f"{parallel.world()} processes train together, and a step has {length.share.total} images"
        raise UserError(training.workspace.experiment.path, problem, "start as many processes as that, or fewer")
    identity = {
        "configuration": f"{training.run.id}/{training.stage}",
        "vocabulary": training.inputs.vocabulary.digest,
        "inputs": settings_digest({name: recorded_digest(path) for name, path in training.step.inputs.items()}),
        "code": code_digest(CODE),
    }
    model = network(training).to(device)
    return fit(model, task(training, images), length, training.checkpoint, identity, log, stop, trace=log)
