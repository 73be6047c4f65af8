"""The one training loop: every stage of every network runs through ``fit``.

It is built to be interrupted. A checkpoint holds the parameters, their moving average, the
optimizer, the best weights so far and the position; all randomness is keyed by position
(``rdt.draws``; the framework's generator is seeded at each step), so a killed run that is
started again ends in the same bits on the CPU. Several processes that torchrun started make the same
steps as one (``rdt.training.parallel``); the first of them evaluates, reports and writes.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from rdt.draws import epoch_order, torch_seed
from rdt.errors import UserError
from rdt.files import atomic_write_bytes
from rdt.training import parallel
from rdt.training.curves import RATE, Curve
from rdt.training.loader import Place, batches
from rdt.training.progress import Progress

BETAS, EPS = (0.9, 0.999), 1e-8  # Adam's


class Task(Protocol):
    """What a stage brings to the loop."""

    selected: str  # the metric of ``evaluate`` to maximise

    def batch(self, positions: np.ndarray, epoch: int) -> Any:
        """What a step needs of the images at ``positions``, on the CPU; a worker process may be the one to make it."""

    def losses(self, model: nn.Module, batch: Any, epoch: int, step: int) -> dict[str, Tensor]:
        """Scalar losses; ``total`` is the one to minimise. Where several processes train, the parts of this one."""

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
    bfloat16: bool = False  # in the forward pass of a step; weights, gradients and losses are float32
    workers: int = 0  # processes that make the batches; 0 makes them in this one

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch of an epoch is left out: its gradient would weigh an image more."""
        return max(1, self.images // self.images_per_step)

    @property
    def share(self) -> parallel.Share:
        """This process's images of each batch."""
        return parallel.share_of(min(self.images, self.images_per_step))

    def places(self, epoch: int, step: int) -> Iterator[Place]:
        """This process's images of every step from that one on."""
        for current in range(epoch, self.epochs):
            order = epoch_order(self.seed, current, self.images)
            for at in range(step if current == epoch else 0, self.steps_per_epoch):
                first = at * self.images_per_step + self.share.first
                yield order[first : first + self.share.own], current


@dataclass(frozen=True)
class Outcome:
    """Weights at the best epoch: the moving average, and the raw ones that ``rl`` starts from."""

    ema: dict[str, Tensor]
    raw: dict[str, Tensor]
    best_epoch: int
    best_score: float
    history: list[dict[str, float]]  # one record an epoch: means of losses, metrics, rates


Log = Callable[[Mapping[str, float], int], None]
Stop = Callable[[Sequence[Mapping[str, float]]], bool]


def silent(record: Mapping[str, float], step: int) -> None:
    """The :data:`Log` of a training that nobody watches."""


def never(history: Sequence[Mapping[str, float]]) -> bool:
    """The :data:`Stop` of a training that takes all of its epochs."""
    return False


def fit(
    model: nn.Module,
    task: Task,
    budget: Budget,
    checkpoint: Path,
    identity: Mapping[str, str],
    log: Log,
    stop: Stop = never,
    trace: Log = silent,
) -> Outcome:
    """Train ``model`` from ``checkpoint`` if there is one; ``log`` receives each epoch's record.

    ``trace`` receives the points of curves within the epochs (``rdt.training.curves``).
    ``stop`` sees the records so far after every epoch but the last; training ends where it says True.
    ``identity`` says what the checkpoint belongs to: what is ``REFUSED`` where it differs, with a UserError, and
    other inputs and the code, with which training starts anew.
    """
    state = _State(model, budget, checkpoint, identity)
    made = batches(task.batch, budget.places(state.epoch, state.step_in_epoch), budget.workers, state.device)
    with Progress(budget.epochs, budget.steps_per_epoch, state.global_step, parallel.leads()) as progress:
        for epoch in range(state.epoch, budget.epochs):
            progress.begin_epoch(epoch)
            rate = _train_epoch(state, task, made, trace, progress)
            record = state.end_epoch(rate)
            if parallel.leads():
                if (epoch + 1) % budget.evaluate_every == 0 or epoch + 1 == budget.epochs:
                    record |= state.evaluate(task, epoch)
                state.history.append(record)
                progress.end_epoch(record)
                log({name: value for name, value in record.items() if name != "epoch"}, state.global_step)
                state.save()
            if epoch + 1 < budget.epochs and parallel.decided(lambda: stop(state.history), state.device):
                break
    return Outcome(state.best_ema, state.best_raw, state.best_epoch, state.best_score, state.history)


def _train_epoch(state: _State, task: Task, made: Iterator[Any], trace: Log, progress: Progress) -> float:
    """Take the steps that are left of an epoch, on the batches of ``made``; returns images a second."""
    budget, first, started = state.budget, state.step_in_epoch, time.monotonic()
    state.model.train()
    curve = Curve(budget.epochs * budget.steps_per_epoch, budget.images_per_step, state.sums, first)
    for step in range(first, budget.steps_per_epoch):
        state.update(task, next(made), state.epoch, step)
        progress.step(state.sums["total"] / state.counted)
        point = curve.point(state.sums, state.step_in_epoch)
        if point and parallel.leads():
            trace(point | {"step/learning_rate": budget.learning_rate(state.global_step)}, state.global_step)
        if parallel.leads() and time.monotonic() - state.saved > budget.checkpoint_seconds:
            state.save()
    return (budget.steps_per_epoch - first) * budget.images_per_step / (time.monotonic() - started)


@dataclass(frozen=True)
class Adam:
    """State of Adam without weight decay, one number for each parameter; the update itself is torch's, fused.

    ``torch.optim.Adam`` does the same, but constructing it imports torch's compiler: 1.5 s, which a
    workflow of many short jobs would pay in each.
    """

    mean: Tensor
    square: Tensor
    steps: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> Adam:
        """The state before the first step."""
        steps = torch.zeros((), dtype=torch.float32, device=parameters.device)
        return cls(torch.zeros_like(parameters), torch.zeros_like(parameters), steps)

    @torch.no_grad()
    def step(self, parameters: Tensor, gradients: Tensor, learning_rate: float) -> None:
        """Update ``parameters`` in place."""
        adam(
            [parameters],
            [gradients],
            [self.mean],
            [self.square],
            [],
            [self.steps],
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
    """Everything that a checkpoint holds; starts from the one at ``path`` if there is one of this identity.

    The parameters become views of one tensor, ``weights``: Adam and the average take one operation, not one for each.
    """

    def __init__(self, model: nn.Module, budget: Budget, path: Path, identity: Mapping[str, str]) -> None:
        self.model, self.budget, self.path, self.identity = model, budget, path, identity
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.weights = torch.cat([p.detach().flatten() for p in self.parameters])
        for parameter, part in zip(self.parameters, self._parts(self.weights), strict=True):
            parameter.data = part
        self.ema = self.weights.clone()
        self.adam = Adam.of(self.weights)
        self.epoch = 0
        self.step_in_epoch = 0
        self.sums: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_epoch = -1.0, -1
        self.best_ema: dict[str, Tensor] = {}
        self.best_raw: dict[str, Tensor] = {}
        self._restore()
        self.saved = time.monotonic()

    @property
    def global_step(self) -> int:
        return self.epoch * self.budget.steps_per_epoch + self.step_in_epoch

    @property
    def counted(self) -> int:
        return max(1, self.step_in_epoch)

    def _parts(self, flat: Tensor) -> list[Tensor]:
        """The part of each parameter, in its shape, of a tensor like ``weights``: what a checkpoint holds."""
        parts = flat.split([parameter.numel() for parameter in self.parameters])
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.parameters, strict=True)]

    def update(self, task: Task, batch: Any, epoch: int, step: int) -> None:
        """One step of Adam and of the moving average."""
        gradients, losses = self.gradients(task, batch, epoch, step)
        together = torch.cat([gradient.flatten() for gradient in gradients])
        norm = torch.linalg.vector_norm(together)
        together.clamp_(-self.budget.clip_value, self.budget.clip_value)
        self.adam.step(self.weights, together, self.budget.learning_rate(self.global_step + 1))
        self.ema.lerp_(self.weights, 1 - self.budget.ema)
        values = torch.stack([*losses.values(), norm]).tolist()  # at once: a GPU is waited for once
        for name, value in zip([*losses, "grad_norm"], values, strict=True):
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.step_in_epoch = step + 1

    def gradients(self, task: Task, batch: Any, epoch: int, step: int) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients of the total, and all losses, of the whole batch of all processes."""
        device = self.device
        seed = torch_seed(self.budget.seed, "framework", epoch, step, parallel.stream(device))
        # The generator's own method skips a search for GPUs, which takes 200 times as long.
        (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed)
        # Without its cache: weights first cast where no gradient is taken would be kept without a way back.
        mixed = torch.autocast(device.type, torch.bfloat16, enabled=self.budget.bfloat16, cache_enabled=False)
        with parallel.part(self.budget.share, device), mixed:
            losses = task.losses(self.model, batch, epoch, step)
        gradients = torch.autograd.grad(losses["total"], self.parameters)
        values = [value.detach() for value in losses.values()]
        added = parallel.added([*gradients, *values])
        return list(added[: len(gradients)]), dict(zip(losses, added[len(gradients) :], strict=True))

    def end_epoch(self, rate: float) -> dict[str, float]:
        """Means of the epoch's losses; moves on to the next epoch."""
        learning_rate = self.budget.learning_rate(self.global_step)
        record = {"epoch": float(self.epoch), "learning_rate": learning_rate, RATE: rate}
        for name, total in self.sums.items():
            record[name if name == "grad_norm" else f"loss/{name}"] = total / self.counted
        self.epoch, self.step_in_epoch, self.sums = self.epoch + 1, 0, {}
        return record

    def evaluate(self, task: Task, epoch: int) -> dict[str, float]:
        """Metrics of the moving average; keeps the weights when they are the best so far."""
        raw = self.weights.clone()
        self.weights.copy_(self.ema)
        self.model.eval()
        metrics = task.evaluate(self.model)
        if metrics[task.selected] > self.best_score:
            self.best_score, self.best_epoch = metrics[task.selected], epoch
            self.best_ema = _copy(self.model)
        self.weights.copy_(raw)
        if self.best_epoch == epoch:
            self.best_raw = _copy(self.model)
        return {f"val/{name}": value for name, value in metrics.items()}

    def save(self) -> None:
        """Write a checkpoint, atomically."""
        content = {
            "identity": dict(self.identity),
            "model": self.model.state_dict(),
            "ema": self._parts(self.ema),
            "optimizer": {
                "mean": self._parts(self.adam.mean),
                "square": self._parts(self.adam.square),
                "steps": [self.adam.steps] * len(self.parameters),
            },
            "rng": torch.get_rng_state(),
            **{name: getattr(self, name) for name in _SCALARS},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        atomic_write_bytes(self.path, buffer.getbuffer())
        self.saved = time.monotonic()

    def _restore(self) -> None:
        for leftover in self.path.parent.glob(".*.partial"):  # of a training that was killed while it wrote
            leftover.unlink(missing_ok=True)
        content = read_checkpoint(self.path, self.identity)
        if content is None:
            return
        self.model.load_state_dict(content["model"])
        torch._foreach_copy_(self._parts(self.ema), content["ema"])
        torch._foreach_copy_(self._parts(self.adam.mean), content["optimizer"]["mean"])
        torch._foreach_copy_(self._parts(self.adam.square), content["optimizer"]["square"])
        self.adam.steps.copy_(content["optimizer"]["steps"][0])
        torch.set_rng_state(content["rng"])
        for name in _SCALARS:
            setattr(self, name, content[name])
        if parallel.leads():
            print(f"continuing at epoch {self.epoch + 1}, step {self.step_in_epoch}", file=sys.stderr)


REFUSED = ("configuration", "vocabulary", "feature set", "data version")  # what a checkpoint must agree in
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
    for key in REFUSED:
        if key in found and found[key] != identity.get(key):
            raise UserError(path, f"a checkpoint of another {key} ({found[key]}, expected {identity.get(key)})", remedy)
    if found != dict(identity):
        print(f"{path}: of other code or inputs; training starts from the beginning", file=sys.stderr)
        return None
    return content


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
