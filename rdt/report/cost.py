"""What an experiment cost: time and memory of its jobs as they were recorded, multiply-adds as they are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rdt.captioning.generate import FIRST, Sampling, denoise_captions, teacher_captions
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.files import read_json
from rdt.model.teacher import Teacher
from rdt.provenance.manifest import manifest_path
from rdt.provenance.steps import Chain, Step, claims, tables
from rdt.report.estimate import sizes_of
from rdt.report.gallery import ROLE, SPLIT, Gallery, ShownNetwork
from rdt.report.multiply_adds import cost, training_kind

_NAMES = {"captions": "caption", "scenes": "render the scenes", "encoder": "train the encoder"}


@dataclass(frozen=True)
class Jobs:
    """All jobs of one kind. Seconds are wall time, of all and of the longest; memory is the most of any, in MiB.

    ``cpu_seconds``: None where a manifest has none. ``multiply_adds``: None where they are not counted.
    """

    kind: str
    jobs: int
    seconds: float
    longest: float
    cpu_seconds: float | None
    memory: float
    multiply_adds: float | None


@dataclass(frozen=True)
class Work:
    """One caption by one network: its parameters, steps (0 for the teacher) and multiply-adds."""

    network: str
    parameters: int
    steps: int
    multiply_adds: int


def jobs(plan: Plan, paths: Paths) -> list[Jobs]:
    """The jobs behind the tables and the claims by kind, in the order in which they first run."""
    counted = {line.kind: line.multiply_adds for line in cost(plan, sizes)} if (sizes := _sizes(plan, paths)) else {}
    captions = [value for kind, value in counted.items() if kind.startswith("caption")]
    counted["caption"] = sum(captions) if captions else None
    records: dict[str, dict[str, Mapping[str, Any]]] = {}
    for step in Chain(plan, paths).behind(tables(plan, paths), claims(plan, paths)):
        manifest = manifest_path(step.target)
        if manifest.is_file():
            content = read_json(manifest)
            job = content.get("tracking_job", str(step.target))  # one job may fill several folders
            records.setdefault(_job_kind(plan, step), {})[job] = content
    return [_summed(kind, list(found.values()), counted.get(kind)) for kind, found in records.items()]


def _sizes(plan: Plan, paths: Paths) -> dict:
    sizes = sizes_of(plan.experiment, paths)
    return sizes if len(sizes) == len(plan.experiment.data) else {}


def _job_kind(plan: Plan, step: Step) -> str:
    """What the report calls a job; trainings as :func:`rdt.report.multiply_adds.cost` does."""
    if step.name != "train":
        return _NAMES.get(step.name, step.name)
    run, stage = step.target.parts[-2:]
    return training_kind(plan.runs[run], stage)


def _summed(kind: str, found: Sequence[Mapping[str, Any]], multiply_adds: float | None) -> Jobs:
    seconds = [manifest["wall_seconds"] for manifest in found]
    cpu = [manifest.get("cpu_seconds") for manifest in found]
    known = None if None in cpu else sum(cpu)
    memory = max(sum(manifest["peak_memory_mb"].values()) for manifest in found)
    return Jobs(kind, len(found), sum(seconds), max(seconds), known, memory, multiply_adds)


# ---- one caption


def work(gallery: Gallery, network: ShownNetwork) -> Work:
    """Work of one caption, counted while the network makes it."""
    plan = gallery.workspace.plan
    run, job = plan.runs[network.id.run], plan.caption_job(*network.id, ROLE, SPLIT)
    model, split = gallery.network(network), gallery.split(network, gallery.images[:1])
    if isinstance(model, Teacher):
        made = counted(lambda: teacher_captions(model, split, plan.experiment.training.teacher_beam))
    else:
        sampling, first = Sampling(run.method, job.steps, run.seed), gallery.first_captions(network, split)
        made = counted(lambda: denoise_captions(model, split, np.array([FIRST]), sampling, first))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Work(network.name, parameters, job.steps, made)


def counted(call: Callable[[], object]) -> int:
    """Multiply-adds of the matrix products in ``call``; fused attention, which torch does not count, is taken apart."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2


def machine(plan: Plan, paths: Paths) -> str:
    """Machines that the trainings ran on, as their manifests say; empty where none is there."""
    manifests = [manifest_path(paths.stage(run, stage)) for run, stage in plan.trainings]
    found = [read_json(path)["hardware"] for path in manifests if path.is_file()]
    kinds = dict.fromkeys(
        f"{one['processor'] or one['machine']}, {one['cores']} cores, {one['memory_mb'] / 1024:.0f} GiB"
        + (f", {one['gpu']}" if "gpu" in one else "")
        for one in found
    )
    return f"Trained on: {'; '.join(kinds)}." if kinds else ""
