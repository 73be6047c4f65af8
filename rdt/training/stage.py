"""The ``train`` stage: one network of one run."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rdt import chain
from rdt.captioning import Sampling, decode, denoise_captions, sentence_ranks, teacher_captions
from rdt.inputs import Inputs, caption_rows, open_inputs
from rdt.io import atomic_write_text
from rdt.model.captioner import Captioner
from rdt.model.networks import build, configuration
from rdt.model.teacher import Teacher
from rdt.plan import Captions, Run, digest
from rdt.provenance import code_digest, recorded_digest
from rdt.stages import Stage, open_stage, stage_arguments
from rdt.training.batches import Split
from rdt.training.draws import torch_seed
from rdt.training.loop import Budget, Outcome, Task, fit
from rdt.training.rl import CaptionerRL, build_reward
from rdt.training.schedule import cosine, noam
from rdt.training.selection import Selection
from rdt.training.teacher import TeacherRL, TeacherXE
from rdt.training.xe import CaptionerXE
from rdt.weights import check_configuration, load_weights, save_configuration, save_weights

CODE = __name__


@dataclass(frozen=True)
class Training:
    """One network to train: a stage of a run, with the inputs of its role."""

    stage: Stage
    run: Run
    name: str  # xe, xe2, rl or rl2
    inputs: Inputs

    @property
    def folder(self) -> Path:
        return self.stage.paths.stage(self.run.id, self.name)

    @property
    def is_rl(self) -> bool:
        return self.name.startswith("rl")

    @property
    def _reads(self) -> tuple[Captions, ...]:
        return self.stage.plan.inputs(self.run, self.name)[1]

    def first_cascade_file(self, split: str) -> Path | None:
        """Captions of the first network on ``split``, which the second one starts from."""
        for job in self._reads:
            if job.run == self.run.id and job.split == split:
                return self.stage.paths.captions(job.run, job.stage, job.role, job.split)
        return None

    def teacher_file(self) -> Path:
        """The teacher's captions of the train split."""
        (job,) = (job for job in self._reads if job.run != self.run.id)
        return self.stage.paths.captions(job.run, job.stage, job.role, job.split)

    def rows(self, path: Path | None, split: Split) -> object:
        if path is None:
            return None
        return caption_rows(path, split.image_ids, self.inputs.vocabulary, self.inputs.length)


def task(training: Training, train: Split) -> Task:
    """What the loop is to do for this network."""
    run, experiment = training.run, training.stage.experiment
    method = run.method
    images = training.inputs.dataset.split(method.select_on)
    split = training.inputs.split(method.select_on)
    if run.kind == "teacher":
        common = {"split": train, "method": method, "seed": run.seed}
        common["evaluate"] = Selection.of(images, lambda model: _teacher_says(training, model, split))
        return TeacherRL(**common, reward=build_reward(train)) if training.is_rl else TeacherXE(**common)
    cascade = training.rows(training.first_cascade_file(method.select_on), split)
    sampling = Sampling(method, experiment.training.evaluate_steps, run.seed)
    ranks = sentence_ranks(split, run.seed, None, 0)

    def says(model: Captioner) -> list[str]:
        bits = denoise_captions(model, split, ranks, sampling, cascade)
        return decode(model, bits, training.inputs.vocabulary, method)[0]

    common = {
        "split": train,
        "method": method,
        "seed": run.seed,
        "evaluate": Selection.of(images, says),
        "first_cascade": training.rows(training.first_cascade_file("train"), train),
    }
    if not training.is_rl:
        return CaptionerXE(**common)
    teacher = training.rows(training.teacher_file(), train)
    return CaptionerRL(**common, teacher=teacher, reward=build_reward(train))


def _teacher_says(training: Training, model: Teacher, split: Split) -> list[str]:
    rows = teacher_captions(model, split, beam=1)
    return [training.inputs.vocabulary.decode(row) for row in rows.tolist()]


def budget(training: Training, images: int) -> Budget:
    """Epochs, rate and bookkeeping of this network."""
    settings, method = training.stage.experiment.training, training.run.method
    rl_epochs = settings.teacher_rl_epochs if training.run.kind == "teacher" else settings.rl_epochs
    epochs = rl_epochs if training.is_rl else training.run.xe_epochs
    total = epochs * max(1, images // method.images_per_step)
    dim = training.stage.experiment.model.dim

    def learning_rate(step: int) -> float:
        if training.is_rl:
            return method.rl_lr
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
    )


def network(training: Training) -> nn.Module:
    """The network to start from: new for ``xe`` and ``xe2``; for ``rl`` the raw weights of the earlier stage."""
    run, experiment, inputs = training.run, training.stage.experiment, training.inputs
    torch.manual_seed(torch_seed(run.seed, "framework"))
    dims = (inputs.grid_dim, inputs.global_dim)
    model = build(experiment, run, training.name, inputs.vocabulary.size, *dims)
    if training.is_rl:
        earlier = training.name.replace("rl", "xe")
        folder = training.stage.paths.stage(run.id, earlier)
        check_configuration(folder, configuration(experiment, run, earlier, inputs.vocabulary, *dims))
        load_weights(folder / "raw.safetensors", model)
    return model


def write_outcome(training: Training, outcome: Outcome, config: Mapping[str, object]) -> None:
    """The best weights, what they were trained with, and the curves."""
    save_weights(training.folder / "raw.safetensors", outcome.raw)
    save_weights(training.folder / "model.safetensors", outcome.ema)
    save_configuration(training.folder, {**config, "best_epoch": outcome.best_epoch, "val_CIDEr": outcome.best_score})
    atomic_write_text(training.folder / "curves.csv", curves(outcome.history))


def curves(history: Sequence[Mapping[str, float]]) -> str:
    """The records of the epochs as CSV; a value that an epoch does not have is left empty."""
    columns = list(dict.fromkeys(name for record in history for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt train``."""
    stage_arguments(parser)
    parser.add_argument("--run", required=True, help="id of the run, as in results/<experiment>/runs/")
    parser.add_argument("--stage", required=True, choices=("xe", "xe2", "rl", "rl2"))


def run(args: argparse.Namespace) -> None:
    """Train one network and write its weights; an interrupted training continues where it was."""
    stage = open_stage(args)
    experiment, planned = stage.experiment, stage.run(args.run)
    torch.set_num_threads(experiment.training.threads)
    torch.set_deterministic_debug_mode("error")  # the same as use_deterministic_algorithms, without its imports
    inputs = open_inputs(experiment, stage.paths, planned.role, planned.role, planned.method.length)
    training = Training(stage, planned, args.stage, inputs)
    step = chain.training(stage.plan, stage.paths, planned.id, args.stage)
    with stage.make(step, run=planned, stage=args.stage) as job:
        config = configuration(experiment, planned, args.stage, inputs.vocabulary, inputs.grid_dim, inputs.global_dim)
        identity = {
            "configuration": f"{planned.id}/{args.stage}",
            "vocabulary": inputs.vocabulary.digest,
            "inputs": digest({name: recorded_digest(path) for name, path in step.inputs.items()}),
            "code": code_digest(CODE),
        }
        checkpoint = training.folder / "checkpoint.pt"
        train = inputs.split("train")
        outcome = fit(
            network(training), task(training, train), budget(training, len(train)), checkpoint, identity, job.metrics
        )
        write_outcome(training, outcome, config)
        job.artifact(training.folder / "curves.csv")
        checkpoint.unlink(missing_ok=True)  # a job that outlived its workflow may have ended first
