"""What a network's run in MLflow shows besides curves: its card, some of its captions, and their heatmaps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture
from safetensors import safe_open
from torch import nn

from rdt.data.coco import read_captions
from rdt.data.dataset import Image, open_image
from rdt.experiment.plan import CaptionJob, phase_title
from rdt.experiment.runs import Run
from rdt.experiment.settings import Role
from rdt.features.inputs import Inputs
from rdt.features.retrieval import read_pool_texts, read_retrieved
from rdt.files import atomic_file, atomic_write_text, read_json
from rdt.model.heatmap import encoder_heatmaps, overlay
from rdt.provenance.steps import KINDS
from rdt.tracking.places import TEACHER, network_name, rows_of
from rdt.tracking.spool import spool_folder
from rdt.workspace import Job, Workspace

CARD = "model_card.md"
SAMPLES, REFERENCES = 6, 5  # images, and of each at most so many references
SIDE, GAP = 224, 6  # pixels of a sample's side, and between two
LIMITS = (
    "It knows images like those of its training data, and no words but those of their captions.",
    "Its val score chose its epoch: the test scores are the ones to compare.",
    "One seed is one draw: the tables average several and say how sure the average is.",
)


# ---- the card


def write_card(
    workspace: Workspace, run: Run, name: str, folder: Path, scores: Mapping[str, float] | None = None
) -> Path:
    """Write the card of the network in the weights folder of a stage; with test ``scores`` one of its own place.

    The first lies beside the weights and is part of what the training makes, so that later scores must not change it.
    """
    trained = workspace.paths.stage(run.id, name)
    path = folder / CARD
    atomic_write_text(path, "\n".join(_card(workspace, run, name, trained, scores)) + "\n")
    return path


def _card(
    workspace: Workspace, run: Run, name: str, trained: Path, scores: Mapping[str, float] | None
) -> Iterator[str]:
    experiment, config = workspace.experiment, read_json(trained / "config.json")
    rows = rows_of(workspace.plan, run, name)
    label = next((names[0] for names in rows.values()), TEACHER if run.kind == "teacher" else run.id)
    kind = "autoregressive Transformer" if run.kind == "teacher" else "Ranking Diffusion Transformer"
    data = experiment.data[run.role]
    sizes = ", ".join(f"{key} {value}" for key, value in config["model"].items())
    changed = _changed(config["method"], asdict(experiment.method))
    yield f"# {network_name(label, run, name)}"
    yield ""
    yield f"An image captioner ({kind}) of experiment {experiment.name}, trained by {phase_title(name)}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| Run | {run.id}, stage {name} |"
    yield f"| Rows | {'; '.join(f'Table {table}: ' + ', '.join(names) for table, names in rows.items()) or 'none'} |"
    yield f"| Data | {data.title or data.source}, role {run.role}; {config['vocab_size']} words |"
    yield f"| Method | {experiment.method_name}{f', with {changed}' if changed else ''} |"
    yield f"| Size | {parameters(trained / 'model.safetensors'):,} parameters; {sizes} |"
    yield f"| Features | grid of {config['grid_dim']}, global of {config['global_dim']} dimensions |"
    yield f"| Seed | {run.seed}, of {', '.join(map(str, experiment.seeds.of(name[:2])))} |"
    yield f"| Best epoch | {config['best_epoch'] + 1}, by CIDEr on {config['method']['select_on']} |"
    yield f"| Val CIDEr | {config['val_CIDEr']:.1f} |"
    for metric, value in (scores or {}).items():
        yield f"| {metric} | {value:.1f} |"
    yield ""
    yield "## Limits"
    yield ""
    yield from (f"- {limit}" for limit in LIMITS)
    if data.source == "scenes":
        yield "- Its images are rendered scenes of a few objects, not photographs; its scores say nothing about COCO."


def _changed(method: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """The settings of the method in which a network differs from its experiment's."""
    return ", ".join(f"{key} {value}" for key, value in method.items() if value != usual[key])


def parameters(weights: Path) -> int:
    """Number of values in a safetensors file, from its header alone."""
    with safe_open(weights, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


# ---- captions and heatmaps


def show_training(workspace: Workspace, run: Run, name: str, job: Job) -> None:
    """Add the card to a training's run and, if it is a captioner of the tables, offer its weights as the best ones."""
    folder = workspace.paths.stage(run.id, name)
    card = write_card(workspace, run, name, folder)
    job.artifact(card)
    if run.kind == "captioner" and run.role == "primary" and rows_of(workspace.plan, run, name):
        files = [folder / file for file in ("model.safetensors", "config.json", CARD)]
        job.track.model(files, f"best-{name[:2]}", read_json(folder / "config.json")["val_CIDEr"])


def show_captions(workspace: Workspace, captions: CaptionJob, job: Job, inputs: Inputs, model: nn.Module) -> None:
    """Add what a network says of a few images, and where it looks in them, to its run."""
    folder = shown_folder(workspace, captions.run, captions.stage)
    images = inputs.dataset.split(captions.split)[:SAMPLES]
    samples = folder / "samples.md"
    said = read_captions(workspace.paths.captions(captions.run, captions.variant, captions.role, captions.split))
    atomic_write_text(samples, "\n".join(_sample_lines(images, said, inputs, captions.split)) + "\n")
    job.artifact(samples, "samples")
    if all(inputs.dataset.file(image).is_file() for image in images):  # imported features can do without
        heatmaps = folder / "heatmaps.jpg"
        with atomic_file(heatmaps) as partial:
            _heatmaps(images, inputs, model).save(partial, "jpeg", quality=85)
        job.artifact(heatmaps, "samples")


def shown_folder(workspace: Workspace, run: str, name: str) -> Path:
    """Where the files lie that are made for MLflow alone."""
    return spool_folder(workspace.paths) / "shown" / run / name


def shown(jobs: Sequence[CaptionJob], role: Role) -> CaptionJob:
    """Of which caption file samples are shown: the ordinary one of the network's role, of test images if possible."""
    order = ("test", "val", "train")
    return min(jobs, key=lambda job: (job.variant != job.stage, job.role != role, order.index(job.split)))


def _sample_lines(images: Sequence[Image], captions: Mapping[int, str], inputs: Inputs, split: str) -> Iterator[str]:
    ids, rows = read_retrieved(inputs.index)
    pool, nearest = read_pool_texts(inputs.index), dict(zip(ids.tolist(), rows[:, 0], strict=True))
    yield f"# Captions of {len(images)} images of {split}"
    for image in images:
        yield ""
        yield f"## {image.path}"
        yield ""
        yield f"- **caption**: {captions[image.id]}"
        yield f"- retrieved: {pool[nearest[image.id]]}"
        yield from (f"- reference: {caption.raw}" for caption in image.captions[:REFERENCES])


def _heatmaps(images: Sequence[Image], inputs: Inputs, model: nn.Module) -> Picture.Image:
    """Photographs in a row and under each the heatmap of its visual tokens after the last encoder (section IV-D)."""
    store, device = inputs.store, next(model.parameters()).device
    at = store.rows_of([image.id for image in images])
    features = (np.asarray(part[at], dtype=np.float32) for part in (store.grid, store.global_))
    maps = encoder_heatmaps(model.visual, *(torch.from_numpy(part).to(device) for part in features))[-1].cpu().numpy()
    pitch = SIDE + GAP
    sheet = Picture.new("RGB", (pitch * len(images) - GAP, pitch + SIDE), "white")
    for column, (image, heatmap) in enumerate(zip(images, maps, strict=True)):
        photo = open_image(inputs.dataset.file(image)).resize((SIDE, SIDE))
        sheet.paste(photo, (pitch * column, 0))
        sheet.paste(overlay(photo, heatmap), (pitch * column, pitch))
    return sheet


# ---- test scores


def show_scores(
    workspace: Workspace, role: Role, split: str, documents: Mapping[tuple[str, str], Mapping[str, Any]]
) -> None:
    """Add the scores of a split, as ``test/c5/CIDEr``, to the runs of the networks, and to their cards.

    ``documents`` are those of the score files, by (run, stage); another role than the network's own, and another
    number of steps, stand before the split.
    """
    for (run_id, name), document in documents.items():
        run, (network, _, steps) = workspace.plan.runs[run_id], name.partition("@")
        front = "/".join(filter(None, (role if role != run.role else "", steps, split)))
        scores = {
            f"{front}/{scope}/{metric}": value
            for scope, part in document["scopes"].items()
            for metric, value in part["metrics"].items()
        }
        with workspace.track_network(run, network, f"score-{role}-{split}{steps}", code=KINDS["score"].code) as track:
            track.metrics(scores, 0)
            if front == split:
                track.artifact(write_card(workspace, run, network, shown_folder(workspace, run_id, network), scores))
