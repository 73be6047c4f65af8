"""Captions that were made elsewhere, in the place and form of a network's own."""

from __future__ import annotations

from pathlib import Path

from rdt.data.coco import matched, read_document, results_by_image
from rdt.data.dataset import open_dataset
from rdt.errors import UserError
from rdt.experiment.plan import CaptionJob
from rdt.files import atomic_write_json
from rdt.workspace import Workspace


def take_captions(workspace: Workspace, job: CaptionJob) -> None:
    """Write the captions of a given run; UserError where its file has not one for each image of the split."""
    path = Path(workspace.plan.runs[job.run].results)
    images = open_dataset(workspace.experiment, workspace.paths, job.role).split(job.split)
    references = {image.id: [caption.raw for caption in image.captions] for image in images}
    captions = matched(results_by_image(read_document(path), path), references, path)
    lacking = next((image for image in references if image not in captions), None)
    if lacking is not None:
        problem = f"lacks image {lacking} of {job.role}/{job.split}: {len(captions):,} of {len(references):,} images"
        raise UserError(path, problem, "give a caption of every image of the split")
    records = [{"image_id": image, "caption": caption} for image, caption in captions.items()]
    atomic_write_json(workspace.paths.captions(job.run, job.variant, job.role, job.split), records)
