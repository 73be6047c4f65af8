"""The one training loop: every stage of every network runs through ``fit``.

It is built to be interrupted. A checkpoint holds the parameters, their moving average, the
optimizer, the best weights so far and the position; all randomness is keyed by position
(``rdt.training.draws``; the framework's generator is seeded at each step), so a killed run that is
started again ends in the same bits on the CPU.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from rdt.errors import UserError
from rdt.io import atomic_write_bytes
from rdt.training.draws import epoch_order, torch_seed

BETAS, EPS = (0.9, 0.999), 1e-8  # Adam's


class Task(Protocol):
    """What a stage brings to the loop."""

    selected: str  # the metric of ``evaluate`` to maximise

    def losses(self, model: nn.Module, positions: np.ndarray, epoch: int, step: int) -> dict[str, Tensor]:
        """Scalar losses of the images at ``positions``; ``total`` is the one to minimise."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Metrics on the selection split."""


@dataclass(frozen=True)
class Budget:
    """How long and how fast to train."""

    epochs: int
    images: int  # in the train split
    images_per_step: int
    learning_rate: Callable[[int], float]  # of the step, from 1
    clip_value: float
    ema: float
    evaluate_every: int  # epochs
    checkpoint_seconds: float
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch of an epoch is left out: its gradient would weigh an image more."""
        return max(1, self.images // self.images_per_step)


@dataclass(frozen=True)
class Outcome:
    """Weights at the best epoch: the moving average, and the raw ones that ``rl`` starts from."""

    ema: dict[str, Tensor]
    raw: dict[str, Tensor]
    best_epoch: int
    best_score: float
    history: list[dict[str, float]]  # one record an epoch: means of losses, metrics, rates


Log = Callable[[Mapping[str, float], int], None]


def fit(
    model: nn.Module, task: Task, budget: Budget, checkpoint: Path, identity: Mapping[str, str], log: Log
) -> Outcome:
    """Train ``model`` from ``checkpoint`` if there is one; ``log`` receives each epoch's record.

    ``identity`` says which configuration, vocabulary, inputs and code the checkpoint belongs to. Raises
    UserError when the checkpoint is another configuration's or vocabulary's; with other inputs or code
    training starts anew.
    """
    state = _State(model, budget)
    state.restore(checkpoint, identity)
    saved = time.monotonic()
    progress = _Progress(budget)
    for epoch in range(state.epoch, budget.epochs):
        order = epoch_order(budget.seed, epoch, budget.images)
        model.train()
        started = time.monotonic()
        first = state.step_in_epoch
        for step in range(first, budget.steps_per_epoch):
            positions = order[step * budget.images_per_step : (step + 1) * budget.images_per_step]
            state.update(task, positions, epoch, step)
            progress.show(epoch, step, state.sums["total"] / state.counted)
            if time.monotonic() - saved > budget.checkpoint_seconds:
                state.save(checkpoint, identity)
                saved = time.monotonic()
        rate = (budget.steps_per_epoch - first) * budget.images_per_step / (time.monotonic() - started)
        record = state.end_epoch(rate)
        if (epoch + 1) % budget.evaluate_every == 0 or epoch + 1 == budget.epochs:
            record |= state.evaluate(task, epoch)
        state.history.append(record)
        log({name: value for name, value in record.items() if name != "epoch"}, state.global_step)
        state.save(checkpoint, identity)
        saved = time.monotonic()
    progress.close()
    return Outcome(state.best_ema, state.best_raw, state.best_epoch, state.best_score, state.history)


@dataclass(frozen=True)
class Adam:
    """State of Adam without weight decay; the update itself is torch's, fused.

    ``torch.optim.Adam`` does the same, but constructing it imports torch's compiler: 1.5 s, which a
    workflow of many short jobs would pay in each.
    """

    mean: list[Tensor]
    square: list[Tensor]
    steps: list[Tensor]

    @classmethod
    def of(cls, parameters: Sequence[Tensor]) -> Adam:
        """The state before the first step."""
        mean, square = ([torch.zeros_like(p, requires_grad=False) for p in parameters] for _ in range(2))
        return cls(mean, square, [torch.zeros((), dtype=torch.float32, device=p.device) for p in parameters])

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], learning_rate: float) -> None:
        """Update ``parameters`` in place."""
        adam(
            list(parameters),
            list(gradients),
            self.mean,
            self.square,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=EPS,
            maximize=False,
        )


class _State:
    """Everything that a checkpoint holds."""

    def __init__(self, model: nn.Module, budget: Budget) -> None:
        self.model, self.budget = model, budget
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.ema = [p.detach().clone() for p in self.parameters]
        self.adam = Adam.of(self.parameters)
        self.epoch = 0
        self.step_in_epoch = 0
        self.sums: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_epoch = -1.0, -1
        self.best_ema: dict[str, Tensor] = {}
        self.best_raw: dict[str, Tensor] = {}

    @property
    def global_step(self) -> int:
        return self.epoch * self.budget.steps_per_epoch + self.step_in_epoch

    @property
    def counted(self) -> int:
        return max(1, self.step_in_epoch)

    def update(self, task: Task, positions: np.ndarray, epoch: int, step: int) -> None:
        """One step of Adam and of the moving average."""
        torch.manual_seed(torch_seed(self.budget.seed, "framework", epoch, step))
        losses = task.losses(self.model, positions, epoch, step)
        gradients = torch.autograd.grad(losses["total"], self.parameters)
        norm = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_clamp_min_(gradients, -self.budget.clip_value)
        torch._foreach_clamp_max_(gradients, self.budget.clip_value)
        self.adam.step(self.parameters, gradients, self.budget.learning_rate(self.global_step + 1))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - self.budget.ema)
        for name, value in {**losses, "grad_norm": norm}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().item()
        self.step_in_epoch = step + 1

    def end_epoch(self, rate: float) -> dict[str, float]:
        """Means of the epoch's losses; moves on to the next epoch."""
        learning_rate = self.budget.learning_rate(self.global_step)
        record = {"epoch": float(self.epoch), "learning_rate": learning_rate, "images_per_second": rate}
        for name, total in self.sums.items():
            record[name if name == "grad_norm" else f"loss/{name}"] = total / self.counted
        self.epoch, self.step_in_epoch, self.sums = self.epoch + 1, 0, {}
        return record

    def evaluate(self, task: Task, epoch: int) -> dict[str, float]:
        """Metrics of the moving average; keeps the weights when they are the best so far."""
        raw = [p.detach().clone() for p in self.parameters]
        torch._foreach_copy_([p.data for p in self.parameters], self.ema)
        self.model.eval()
        metrics = task.evaluate(self.model)
        if metrics[task.selected] > self.best_score:
            self.best_score, self.best_epoch = metrics[task.selected], epoch
            self.best_ema = _copy(self.model)
        torch._foreach_copy_([p.data for p in self.parameters], raw)
        if self.best_epoch == epoch:
            self.best_raw = _copy(self.model)
        return {f"val/{name}": value for name, value in metrics.items()}

    def save(self, path: Path, identity: Mapping[str, str]) -> None:
        """Write a checkpoint, atomically."""
        content = {
            "identity": dict(identity),
            "model": self.model.state_dict(),
            "ema": self.ema,
            "optimizer": vars(self.adam),
            "rng": torch.get_rng_state(),
            **{name: getattr(self, name) for name in _SCALARS},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        atomic_write_bytes(path, buffer.getbuffer())

    def restore(self, path: Path, identity: Mapping[str, str]) -> None:
        """Continue from ``path`` if it exists and is of the same code and inputs."""
        for leftover in path.parent.glob(".*.partial"):  # of a training that was killed while it wrote
            leftover.unlink(missing_ok=True)
        content = read_checkpoint(path, identity)
        if content is None:
            return
        self.model.load_state_dict(content["model"])
        torch._foreach_copy_(self.ema, content["ema"])
        self.adam = Adam(**content["optimizer"])
        torch.set_rng_state(content["rng"])
        for name in _SCALARS:
            setattr(self, name, content[name])
        print(f"continuing at epoch {self.epoch + 1}, step {self.step_in_epoch}", file=sys.stderr)


_SCALARS = ("epoch", "step_in_epoch", "sums", "history", "best_score", "best_epoch", "best_ema", "best_raw")


def read_checkpoint(path: Path, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """The checkpoint at ``path``; None when there is none, or one of other code or inputs (training starts anew)."""
    if not path.exists():
        return None
    remedy = f"delete {path} to train from the beginning"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["identity"]
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(path, f"not a readable checkpoint ({type(error).__name__})", remedy) from error
    for key in ("configuration", "vocabulary"):
        if found.get(key) != identity[key]:
            raise UserError(path, f"a checkpoint of another {key} ({found.get(key)}, expected {identity[key]})", remedy)
    if found != dict(identity):
        print(f"{path}: of other code or inputs; training starts from the beginning", file=sys.stderr)
        return None
    return content


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class _Progress:
    """Epoch, step, loss, rate and time left on a terminal; nothing elsewhere."""

    def __init__(self, budget: Budget) -> None:
        self.total = budget.epochs * budget.steps_per_epoch
        self.per_epoch = budget.steps_per_epoch
        self.images_per_step = budget.images_per_step
        self.shown = self.started = time.monotonic()
        self.done_before: int | None = None

    def show(self, epoch: int, step: int, loss: float) -> None:
        now, done = time.monotonic(), epoch * self.per_epoch + step + 1
        if self.done_before is None:
            self.done_before = done - 1
        if not sys.stderr.isatty() or now - self.shown < 1:
            return
        self.shown = now
        rate = (done - self.done_before) / (now - self.started)
        left = (self.total - done) / rate
        text = f"epoch {epoch + 1}, step {step + 1}/{self.per_epoch}, loss {loss:.3f}"
        print(f"\r{text}, {rate * self.images_per_step:.0f} images/s, {left:.0f} s left ", end="", file=sys.stderr)

    def close(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)
