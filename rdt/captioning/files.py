"""A network's caption files, and the network that they are made with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from rdt.captioning.generate import Sampling, decode, denoise_captions, sentence_ranks, teacher_captions
from rdt.captioning.given import take_captions
from rdt.captioning.model_card import show_captions, shown
from rdt.data.identity import ImageId
from rdt.experiment.plan import CaptionJob
from rdt.experiment.runs import NetworkId
from rdt.features.inputs import Inputs, caption_rows, open_inputs
from rdt.files import atomic_write_json
from rdt.model.device import open_device
from rdt.model.network import build, check_configuration, configuration
from rdt.model.teacher import Teacher
from rdt.model.weights import load_weights
from rdt.provenance.manifest import check_recorded
from rdt.workspace import Job, Workspace


def write_results(path: Path, images: Sequence[ImageId], captions: Sequence[str]) -> None:
    """A COCO results file."""
    records = [{"image_id": image, "caption": caption} for image, caption in zip(images, captions, strict=True)]
    atomic_write_json(path, records)


def load_network(workspace: Workspace, inputs: Inputs, network: NetworkId) -> nn.Module:
    """A trained network, in evaluation mode; its configuration must be the plan's."""
    run = workspace.plan.runs[network.run]
    folder = workspace.paths.stage(*network)
    dims = (inputs.grid_dim, inputs.global_dim)
    check_configuration(folder, configuration(workspace.experiment, run, network.stage, inputs.vocabulary, *dims))
    model = build(workspace.experiment, run, network.stage, inputs.vocabulary.size, *dims)
    check_recorded(folder, "model.safetensors")
    load_weights(folder / "model.safetensors", model)
    return model.eval()


def write_captions(workspace: Workspace, job: CaptionJob, inputs: Inputs, model: nn.Module) -> dict[str, float]:
    """Write the file of one split, and one for each of its random draws; returns counts for tracking."""
    run = workspace.plan.runs[job.run]
    split = inputs.split(job.split)
    if isinstance(model, Teacher):
        rows = teacher_captions(model, split, workspace.experiment.training.teacher_beam)
        captions = [inputs.vocabulary.decode(row) for row in rows.tolist()]
        write_results(workspace.paths.captions(job.run, job.variant, job.role, job.split), split.names, captions)
        return {"images": len(split)}
    oov = words = 0
    sampling = Sampling(run.method, job.steps, run.seed)
    for draw in (None, *range(job.draws)):
        ranks = sentence_ranks(split, run.seed, draw, job.draws)
        cascade = None
        for first in workspace.plan.caption_inputs(job):
            path = workspace.paths.captions(first.run, first.variant, first.role, first.split, draw)
            cascade = caption_rows(path, split.names, inputs.vocabulary, inputs.length)
        bits = denoise_captions(model, split, ranks, sampling, cascade)
        captions, outside = decode(model, bits, inputs.vocabulary, run.method)
        write_results(workspace.paths.captions(job.run, job.variant, job.role, job.split, draw), split.names, captions)
        oov, words = oov + outside, words + sum(len(caption.split()) for caption in captions)
    return {"images": len(split) * (job.draws + 1), "words": words, "codes_outside_vocabulary": oov}


def caption_all(workspace: Workspace, run_id: str, stage: str, track: Job) -> None:
    """Write every caption file that the tables ask of one network."""
    run, jobs = workspace.plan.runs[run_id], workspace.plan.captions_of(run_id, stage)
    if run.kind == "given":
        for job in jobs:
            take_captions(workspace, job)
        return
    device = open_device(workspace.experiment.training, workspace.experiment.path)
    for job in jobs:
        started = time.monotonic()
        inputs = open_inputs(workspace.experiment, workspace.paths, job.role, run.role, run.method.length)
        model = load_network(workspace, inputs, NetworkId(run_id, stage)).to(device)
        facts = write_captions(workspace, job, inputs, model)
        facts["images_per_second"] = facts["images"] / (time.monotonic() - started)
        track.metrics({f"{job.variant}-{job.role}-{job.split}/{key}": value for key, value in facts.items()})
        if job == shown(jobs, run.role):
            show_captions(workspace, job, track, inputs, model)
