"""The references that captions are scored against, and the images of a split in their order.

The set ``c5`` are an image's ordinary references, however many. The protocol on COCO scores against all of them
(pycocoevalcap; Karpathy's test images have 5 to 7). Where every image has 40, these hold Table III's other set,
``c40``, and the first five are the ordinary ones, as on the online server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from rdt.data.dataset import Image, open_dataset
from rdt.data.identity import ImageId
from rdt.errors import UserError
from rdt.experiment.settings import Role
from rdt.metrics.corpus import Scorer
from rdt.workspace import Workspace

ORDINARY = 5  # references of an image on the online server, the first of c40
REFERENCES = {"c5": 1, "c40": 40}  # how many each image needs
DOMAINS = {"in": "in-domain", "near": "near-domain", "out": "out-domain"}


@dataclass(frozen=True)
class Targets:
    """The images of one split and their reference captions, as written."""

    role: Role
    split: str
    images: tuple[Image, ...]

    @property
    def least(self) -> int:
        """How many references the image with the fewest has."""
        return min(len(image.captions) for image in self.images)

    @property
    def ordinary(self) -> int | None:
        """How many of an image's references are its ordinary ones, the first; None for all of them."""
        return ORDINARY if self.least >= REFERENCES["c40"] else None

    def references(self, scope: str) -> dict[ImageId, list[str]] | None:
        """References by image id of a scope ``set`` or ``set/domain``, or None where an image has too few."""
        name, _, domain = scope.partition("/")
        images = [image for image in self.images if domain in ("", "entire") or image.domain == DOMAINS[domain]]
        if not images or self.least < REFERENCES.get(name, 1):
            return None
        most = {"c5": self.ordinary, "c40": REFERENCES["c40"]}.get(name)
        return {image.id: [caption.raw for caption in image.captions[:most]] for image in images}

    def lack(self, scope: str) -> str:
        """Why :meth:`references` has none."""
        name, _, domain = scope.partition("/")
        if self.least < REFERENCES.get(name, 1):
            return f"not run: {name} needs {REFERENCES[name]} references per image, {self.role} has {self.least}"
        return f"not run: {self.role} has no images of domain {DOMAINS.get(domain, domain)}"

    def units(self, image_ids: Iterable[ImageId]) -> np.ndarray:
        """Which independent unit each of some images belongs to, a number: twins, which differ in one word, are one."""
        return np.array([self._unit_of[image] for image in image_ids])

    @cached_property
    def _unit_of(self) -> dict[ImageId, int]:
        """The unit of each image: its own number, or its twin's if that is the smaller."""
        numbers = {image.id: image.number for image in self.images}
        return {image.id: min(image.number, numbers.get(image.twin, image.number)) for image in self.images}

    def texts(self, most: int | None = None) -> list[str]:
        """All references, or the first ones of each image."""
        return [caption.raw for image in self.images for caption in image.captions[:most]]

    def words_per_reference(self, scorer: Scorer) -> float:
        return fmean(map(len, scorer.words(self.texts(self.ordinary))))


def in_order(captions: Mapping[ImageId, str], images: Sequence[Image], where: Path) -> dict[ImageId, str]:
    """``captions`` of exactly these images, in their order; UserError naming an image that does not fit."""
    ids = [image.id for image in images]
    strangers = set(captions).symmetric_difference(ids)
    if strangers:
        odd = min(strangers, key=str)
        problem = f"image {odd} is not in the split" if odd in captions else f"lacks image {odd}"
        raise UserError(where, problem, "caption this split again")
    return {image: captions[image] for image in ids}


def targets_of(workspace: Workspace, role: Role, split: str) -> Targets:
    """The images of a split of an experiment, with their references."""
    return Targets(role, split, split_images(workspace, role, split))


def split_images(workspace: Workspace, role: Role, split: str) -> tuple[Image, ...]:
    """The images of a split of an experiment."""
    return open_dataset(workspace.experiment, workspace.paths, role).split(split)
