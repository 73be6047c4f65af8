"""Captions that were made elsewhere, in the place and form of a network's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rdt.data.coco import references_of
from rdt.data.dataset import Image, open_dataset
from rdt.data.matching import Matched, matched_file
from rdt.errors import UserError
from rdt.experiment.plan import CaptionJob
from rdt.files import atomic_write_json
from rdt.workspace import Workspace


def take_captions(workspace: Workspace, job: CaptionJob) -> None:
    """Write the captions of a given run; UserError where its file has not one for each image of the split."""
    path = Path(workspace.plan.runs[job.run].results)
    images = open_dataset(workspace.experiment, workspace.paths, job.role).split(job.split)
    captions, notes = captions_of_all(path, images, f"{job.role}/{job.split}")
    records = [{"image_id": image, "caption": caption} for image, caption in captions.items()]
    atomic_write_json(workspace.paths.captions(job.run, job.variant, job.role, job.split), records)
    for note in notes:
        print(f"note: {note}")


def captions_of_all(path: Path, images: Sequence[Image], split: str) -> Matched:
    """The captions in a results file of all images of a split; UserError where it lacks one."""
    captions, notes = matched_file(path, references_of(images))
    lacking = next((image.id for image in images if image.id not in captions), None)
    if lacking is not None:
        problem = f"lacks image {lacking} of {split}: {len(captions):,} of {len(images):,} images"
        raise UserError(path, problem, "give a caption of every image of the split")
    return Matched(captions, notes)
