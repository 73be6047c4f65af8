"""Fig. 3 and 6: the token heatmaps of base and RDT on the same images, as section IV-D computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Picture

from rdt.data.dataset import Image
from rdt.experiment.settings import GRID_SIDE
from rdt.model.heatmap import encoder_heatmaps, overlay
from rdt.report.gallery import Gallery, ShownNetwork

LONGEST = 224  # pixels of an image on the page


@dataclass(frozen=True)
class Map:
    """One heatmap over its image: after which of the stacked encoders, and its range as shares of the whole."""

    network: str
    encoder: int
    picture: Picture.Image
    least: float
    most: float


def page_size(photo: Picture.Image) -> Picture.Image:
    """A photograph in the size of the page."""
    scale = LONGEST / max(photo.size)
    return photo.resize(tuple(round(side * scale) for side in photo.size), Picture.Resampling.LANCZOS)


def heatmaps(gallery: Gallery, networks: Sequence[ShownNetwork], images: Sequence[Image]) -> list[tuple[Map, ...]]:
    """For each image the maps of all networks, after each of their stacked encoders."""
    found: list[list[Map]] = [[] for _ in images]
    for network in networks:
        split = gallery.split(network, tuple(images))
        maps = encoder_heatmaps(gallery.network(network).visual, *split.features(np.arange(len(split)))).numpy()
        for encoder, of_images in enumerate(maps, 1):
            for at, (image, heatmap) in enumerate(zip(images, of_images, strict=True)):
                photo = gallery.photo(image) or Picture.new("RGB", (GRID_SIDE, GRID_SIDE), "white")
                ends = float(heatmap.min()), float(heatmap.max())
                found[at].append(Map(network.name, encoder, overlay(page_size(photo), heatmap), *ends))
    return [tuple(maps) for maps in found]
