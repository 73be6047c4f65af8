"""Pairs of images that differ in one word: how often a caption is nearer to its own image's references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

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
        self._fits = cache(self._fits_better)  # systems often say the same of an image

    def tell_apart(self, captions: Mapping[ImageId, str]) -> tuple[pd.Series, TwinScores | None]:
        """100 or 0 on the first image of each pair, by image; and a summary, None where no image has a twin.

        ``accuracy``: percent of pairs whose captions differ and each have a higher CIDEr-D with their own
        image's references than with the twin's. ``differ``: percent of pairs whose captions differ.
        """
        column = pd.Series(np.nan, index=pd.Index(self._position, dtype=object), name=TWINS_COLUMN)
        if self._metric is None:
            return column, None
        tokens = map(tuple, self._scorer.words(list(captions.values())))
        words = dict(zip(captions, tokens, strict=True))
        differ = [words[a] != words[b] for a, b in self._pairs]
        apart = np.array(
            [
                told and self._fits(words[a], a, b) and self._fits(words[b], b, a)
                for told, (a, b) in zip(differ, self._pairs, strict=True)
            ]
        )
        column[[a for a, _ in self._pairs]] = 100.0 * apart
        return column, {
            "pairs": len(self._pairs),
            "accuracy": 100 * float(np.mean(apart)),
            "differ": 100 * float(np.mean(differ)),
        }

    def _fits_better(self, words: tuple[str, ...], own: int, other: int) -> bool:
        """Whether a caption has a higher CIDEr-D with the references of one image than with the other's."""
        assert self._metric is not None
        first, second = self._metric.score([words, words], [self._position[own], self._position[other]])
        return bool(first > second)
