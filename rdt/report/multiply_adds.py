"""Cost of an experiment, counted in multiply-adds from its sizes; nothing here is measured.

A multiply-add of a matrix product counts, element-wise work does not; a backward pass counts as two forward
passes. GPU hours follow from a rate that is assumed (``RATE``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rdt.experiment.network_work import FORWARD_BACKWARD, NetworkWork, RoleSizes
from rdt.experiment.plan import CaptionJob, Plan
from rdt.experiment.runs import Run
from rdt.experiment.settings import Role

RATE = 10e12  # multiply-adds a second; an RTX 4090, the paper's GPU, has 41e12 at most in float32


@dataclass(frozen=True)
class CostLine:
    """Jobs of one kind and the multiply-adds of all of them."""

    kind: str
    jobs: int
    multiply_adds: float

    @property
    def gpu_hours(self) -> float:
        """GPU hours at the assumed rate."""
        return self.multiply_adds / RATE / 3600


def cost(plan: Plan, sizes: Mapping[Role, RoleSizes]) -> tuple[CostLine, ...]:
    """The jobs of a plan by kind, in the order in which they first run."""
    found: dict[str, list[float]] = {}
    for run_id, stage in plan.trainings:
        run = plan.runs[run_id]
        found.setdefault(training_kind(run, stage), []).append(_training(plan, run, stage, sizes[run.role]))
    for job in (job for job in plan.captions if plan.runs[job.run].kind != "given"):
        found.setdefault(f"caption the {job.split} split", []).append(_captioning(plan, job, sizes))
    return tuple(CostLine(kind, len(parts), sum(parts)) for kind, parts in found.items())


_PHASES = {"xe": "cross-entropy", "rl": "self-critical"}


def training_kind(run: Run, stage: str) -> str:
    """Kind of job that the training of a stage is counted among."""
    return f"train a {run.kind}, {_PHASES[stage[:2]]}"


def _training(plan: Plan, run: Run, stage: str, sizes: RoleSizes) -> float:
    """One training job: every epoch of its train split, and its evaluations on the selection split."""
    training, method, is_rl = plan.experiment.training, run.method, stage.startswith("rl")
    network = NetworkWork(plan.experiment.model, method, sizes, cascade=stage.endswith("2"))
    copies = method.captions_per_image
    if run.kind == "teacher":
        epochs = training.teacher_rl_epochs if is_rl else run.xe_epochs
        sampled = copies if is_rl else 0  # word by word
        image = FORWARD_BACKWARD * network.encode_teacher() + (FORWARD_BACKWARD * copies + sampled) * network.decode()
        evaluation = network.encode_teacher() + network.decode()
    else:
        epochs = training.rl_epochs if is_rl else run.xe_epochs
        image = network.train()
        evaluation = network.encode() + training.evaluate_steps * network.denoise()
    evaluations = -(-epochs // training.evaluate_every)
    return epochs * sizes.images["train"] * image + evaluations * sizes.images[method.select_on] * evaluation


def _captioning(plan: Plan, job: CaptionJob, sizes: Mapping[Role, RoleSizes]) -> float:
    """One caption job; its words are known from the role that the network was trained on."""
    run = plan.runs[job.run]
    network = NetworkWork(plan.experiment.model, run.method, sizes[run.role], cascade=job.stage.endswith("2"))
    if run.kind == "teacher":
        image = network.encode_teacher() + plan.experiment.training.teacher_beam * network.decode()
    else:
        image = (1 + job.draws) * (network.encode() + job.steps * network.denoise())
    return sizes[job.role].images[job.split] * image
