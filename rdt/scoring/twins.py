"""Pairs of images that differ in one word: how often a caption is nearer to its own image's references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rdt.data.dataset import Image
from rdt.data.identity import ImageId
from rdt.metrics.ciderd import CiderD
from rdt.metrics.corpus import Scorer
from rdt.metrics.names import TWINS_COLUMN
from rdt.scoring.files import TwinScores


class Twins:
    """Pairs of images that differ in one attribute, and whether captions tell them apart."""

    def __init__(self, images: Sequence[Image], scorer: Scorer) -> None:
        self._scorer = scorer
        self._position = {image.id: i for i, image in enumerate(images)}
        numbers = {image.id: image.number for image in images}
        self._pairs = [(image.id, image.twin) for image in images if image.twin in self._position]
        self._pairs = [pair for pair in self._pairs if numbers[pair[0]] < numbers[pair[1]]]
        tokens = iter(scorer.words([caption.raw for image in images for caption in image.captions]))
        self._metric = CiderD([[next(tokens) for _ in image.captions] for image in images]) if self._pairs else None

    def tell_apart(self, captions: Mapping[ImageId, str]) -> tuple[pd.Series, TwinScores | None]:
        """100 or 0 on the first image of each pair, by image; and a summary, None where no image has a twin.

        ``accuracy``: percent of pairs whose captions differ and each have a higher CIDEr-D with their own
        image's references than with the twin's. ``differ``: percent of pairs whose captions differ.
        """
        column = pd.Series(np.nan, index=pd.Index(self._position, dtype=object), name=TWINS_COLUMN)
        if self._metric is None:
            return column, None
        words = dict(zip(captions, self._scorer.words(list(captions.values())), strict=True))
        shown = [words[image] for pair in self._pairs for image in pair]
        own = self._metric.score(shown, [self._position[image] for a, b in self._pairs for image in (a, b)])
        other = self._metric.score(shown, [self._position[image] for a, b in self._pairs for image in (b, a)])
        differ = np.array([words[a] != words[b] for a, b in self._pairs])
        apart = (own > other).reshape(-1, 2).all(axis=1) & differ
        column[[a for a, _ in self._pairs]] = 100.0 * apart
        return column, {
            "pairs": len(self._pairs),
            "accuracy": 100 * float(np.mean(apart)),
            "differ": 100 * float(np.mean(differ)),
        }
