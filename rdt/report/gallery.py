"""The networks that the qualitative figures compare, and what they say of the images of the test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
from PIL import Image as Picture
from torch import nn

from rdt.captioning.files import load_network
from rdt.data.coco import read_captions
from rdt.data.dataset import Image, open_dataset
from rdt.data.identity import ImageId
from rdt.data.photograph import open_image
from rdt.experiment.plan import Plan
from rdt.experiment.runs import NetworkId, override
from rdt.features.inputs import Inputs, caption_rows, open_inputs
from rdt.features.split import Split
from rdt.scoring.files import read_columns
from rdt.workspace import Workspace

ROLE, SPLIT = "primary", "test"
BASE = {"lambda_f": 1.0, "lambda_e": 0.0, "lambda_rank": 0.0}  # SCD-Net: plain self-attention, no ranking loss
CIDER = "c5/C"


@dataclass(frozen=True)
class ShownNetwork:
    """A trained network under the name that the report gives it."""

    name: str
    id: NetworkId


@dataclass(frozen=True)
class Cast:
    """Base and RDT, trained alike and scored in one table, and the teacher where that table has it."""

    table: str
    base: ShownNetwork
    rdt: ShownNetwork
    teacher: ShownNetwork | None

    @property
    def networks(self) -> tuple[ShownNetwork, ...]:
        """Networks in the order of the paper's Fig. 5."""
        return tuple(network for network in (self.teacher, self.base, self.rdt) if network is not None)


def cast(plan: Plan) -> Cast | None:
    """The networks of the first table that has base and RDT, after the later training if it has that; else None."""
    base, rdt = (override(plan.experiment.method, values, "the base") for values in (BASE, {}))
    for phase in ("rl", "xe"):
        for table in plan.experiment.tables:
            found: dict[object, NetworkId] = {}
            for cell in plan.cells:
                if (cell.table, cell.role, cell.split, cell.stage[:2]) == (table, ROLE, SPLIT, phase) and cell.runs:
                    run = plan.runs[cell.runs[0]]
                    if run.kind == "given":
                        continue
                    found.setdefault("teacher" if run.kind == "teacher" else run.method, NetworkId(run.id, cell.stage))
            if base in found and rdt in found:
                teacher = ShownNetwork("Transformer (teacher)", found["teacher"]) if "teacher" in found else None
                return Cast(
                    table, ShownNetwork("Base (SCD-Net)", found[base]), ShownNetwork("RDT", found[rdt]), teacher
                )
    return None


class Gallery:
    """The images of the test split with what networks say of them; opens each file once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._dataset = open_dataset(workspace.experiment, workspace.paths, ROLE)
        self.images: tuple[Image, ...] = self._dataset.split(SPLIT)
        self.by_id: Mapping[str, Image] = {str(image.id): image for image in self.images}
        self.captions, self.scores, self.network = cache(self._captions), cache(self._scores), cache(self._network)
        self._inputs, self._whole = cache(self._open), cache(lambda length: self._inputs(length).split(SPLIT))

    def photo(self, image: Image) -> Picture.Image | None:
        """Photograph of an image; None where only its features are at hand."""
        file = self._dataset.file(image)
        return open_image(file) if file.is_file() else None

    def _captions(self, network: ShownNetwork) -> dict[ImageId, str]:
        return read_captions(self.workspace.paths.captions(*network.id, ROLE, SPLIT))

    def _scores(self, network: ShownNetwork) -> pd.DataFrame:
        """A row of scores for each image, in the order of ``images``."""
        frame = read_columns(self.workspace.paths.scores(*network.id, ROLE, SPLIT))
        return frame.loc[[str(image.id) for image in self.images]]

    def _network(self, network: ShownNetwork) -> nn.Module:
        return load_network(self.workspace, self.inputs(network), network.id)

    def inputs(self, network: ShownNetwork) -> Inputs:
        """Inputs of a network, opened once."""
        return self._inputs(self.workspace.plan.runs[network.id.run].method.length)

    def _open(self, length: int) -> Inputs:
        return open_inputs(self.workspace.experiment, self.workspace.paths, ROLE, ROLE, length)

    def split(self, network: ShownNetwork, images: tuple[Image, ...]) -> Split:
        """Some images as a network sees them."""
        whole = self._whole(self.inputs(network).length)
        place = {image: at for at, image in enumerate(whole.names)}
        rows = np.array([place[image.id] for image in images])
        return replace(
            whole,
            image_ids=whole.image_ids[rows],
            feature_rows=whole.feature_rows[rows],
            captions=tuple(whole.captions[row] for row in rows),
            retrieved=whole.retrieved[rows],
            names=tuple(image.id for image in images),
        )

    def first_captions(self, network: ShownNetwork, split: Split) -> np.ndarray | None:
        """Token rows of the first network's captions, for a second one; None for a first."""
        job = self.workspace.plan.caption_job(*network.id, ROLE, SPLIT)
        for first in self.workspace.plan.caption_inputs(job):
            path = self.workspace.paths.captions(first.run, first.variant, ROLE, SPLIT)
            inputs = self.inputs(network)
            return caption_rows(path, split.names, inputs.vocabulary, inputs.length)
        return None
