"""Card, some captions and their heatmaps, which a network's run in MLflow shows besides curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Picture
from safetensors import safe_open

from rdt.data.coco import read_captions
from rdt.data.dataset import Image
from rdt.data.identity import ImageId
from rdt.data.photograph import open_image
from rdt.experiment.plan import CaptionJob, phase_title
from rdt.experiment.runs import NetworkId, Run
from rdt.experiment.settings import Role, Stage
from rdt.features.retrieval import read_pool_texts, read_retrieved
from rdt.files import atomic_file, atomic_write_text, read_json
from rdt.templates import filled
from rdt.tracking.places import TEACHER, network_name, rows_of
from rdt.tracking.spool import spool_folder
from rdt.workspace import Job, Workspace

if TYPE_CHECKING:
    from torch import nn

    from rdt.features.inputs import Inputs

CARD = "model_card.md"
SAMPLES, REFERENCES = 6, 5  # images, and of each at most so many references
SIDE, GAP = 224, 6  # pixels of a sample's side, and between two


# ---- the card


def write_card(
    workspace: Workspace, run: Run, stage: Stage, folder: Path, scores: Mapping[str, float] | None = None
) -> Path:
    """Write the card of a stage's network into ``folder``; returns its path.

    The card beside the weights says what their training knew; the one with test ``scores``, in points by name, belongs
    in another folder.
    """
    trained = workspace.paths.stage(run.id, stage)
    config = read_json(trained / "config.json")
    rows = rows_of(workspace.plan, run, stage)
    label = next((names[0] for names in rows.values()), TEACHER if run.kind == "teacher" else run.id)
    text = filled(
        "captioning/card.md.jinja",
        title=network_name(label, run, stage),
        run=run,
        stage=stage,
        phase=phase_title(stage),
        rows=rows,
        experiment=workspace.experiment,
        seeds=workspace.experiment.seeds.of(stage[:2]),
        data=workspace.experiment.data[run.role],
        config=config,
        changed=_changed(config["method"], asdict(workspace.experiment.method)),
        parameters=parameters(trained / "model.safetensors"),
        scores=scores or {},
    )
    path = folder / CARD
    atomic_write_text(path, text)
    return path


def _changed(method: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the method in which a network differs from its experiment's."""
    return {key: value for key, value in method.items() if value != usual[key]}


def parameters(weights: Path) -> int:
    """Number of values in a safetensors file, read from its header alone."""
    with safe_open(weights, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


# ---- captions and heatmaps


def show_training(workspace: Workspace, run: Run, stage: Stage, job: Job) -> None:
    """Add the card to a training's run and, if it is a captioner of the tables, offer its weights as the best ones."""
    folder = workspace.paths.stage(run.id, stage)
    card = write_card(workspace, run, stage, folder)
    job.artifact(card)
    if run.kind == "captioner" and run.role == "primary" and rows_of(workspace.plan, run, stage):
        files = [folder / file for file in ("model.safetensors", "config.json", CARD)]
        job.track.model(files, f"best-{stage[:2]}", read_json(folder / "config.json")["val_CIDEr"])


def show_captions(workspace: Workspace, captions: CaptionJob, job: Job, inputs: Inputs, model: nn.Module) -> None:
    """Add what a network says of a few images, and where it looks in them, to its run."""
    folder = shown_folder(workspace, NetworkId(captions.run, captions.stage))
    images = inputs.dataset.split(captions.split)[:SAMPLES]
    samples = folder / "samples.md"
    said = read_captions(workspace.paths.captions(captions.run, captions.variant, captions.role, captions.split))
    atomic_write_text(samples, _shown_samples(images, said, inputs, captions.split))
    job.artifact(samples, "samples")
    if all(inputs.dataset.file(image).is_file() for image in images):  # imported features can do without
        heatmaps = folder / "heatmaps.jpg"
        with atomic_file(heatmaps) as partial:
            _heatmaps(images, inputs, model).save(partial, "jpeg", quality=85)
        job.artifact(heatmaps, "samples")


def shown_folder(workspace: Workspace, network: NetworkId) -> Path:
    """Folder of the files that are made for MLflow alone."""
    return spool_folder(workspace.paths) / "shown" / network.run / network.stage


def shown(jobs: Sequence[CaptionJob], role: Role) -> CaptionJob:
    """Caption file that samples are shown of: the ordinary one of the network's role, of test images if possible."""
    order = ("test", "val", "train")
    return min(jobs, key=lambda job: (job.variant != job.stage, job.role != role, order.index(job.split)))


def _shown_samples(images: Sequence[Image], captions: Mapping[ImageId, str], inputs: Inputs, split: str) -> str:
    """Captions of some images in Markdown, with what was retrieved for them and their references."""
    ids, rows = read_retrieved(inputs.index)
    pool, nearest = read_pool_texts(inputs.index), dict(zip(ids.tolist(), rows[:, 0], strict=True))
    shown = [(image, captions[image.id], pool[nearest[image.number]]) for image in images]
    return filled("captioning/samples.md.jinja", split=split, shown=shown, references=REFERENCES)


def _heatmaps(images: Sequence[Image], inputs: Inputs, model: nn.Module) -> Picture.Image:
    """Photographs in a row and under each the heatmap of its visual tokens after the last encoder (section IV-D)."""
    import torch  # here, so that a card can be written without it

    from rdt.model.heatmap import encoder_heatmaps, overlay

    store, device = inputs.store, next(model.parameters()).device
    at = store.rows_of([image.number for image in images], [image.id for image in images])
    features = (np.asarray(part[at], dtype=np.float32) for part in (store.grid, store.global_))
    maps = encoder_heatmaps(model.visual, *(torch.from_numpy(part).to(device) for part in features))[-1].cpu().numpy()
    pitch = SIDE + GAP
    sheet = Picture.new("RGB", (pitch * len(images) - GAP, pitch + SIDE), "white")
    for column, (image, heatmap) in enumerate(zip(images, maps, strict=True)):
        photo = open_image(inputs.dataset.file(image)).resize((SIDE, SIDE))
        sheet.paste(photo, (pitch * column, 0))
        sheet.paste(overlay(photo, heatmap), (pitch * column, pitch))
    return sheet
