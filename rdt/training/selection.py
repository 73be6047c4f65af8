"""CIDEr on the selection split, in the loop: pure Python, no Java, the document frequencies of its references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rdt.data.dataset import Image
from rdt.metrics.ciderd import CiderD
from rdt.metrics.diversity import distinct_n


@dataclass(frozen=True)
class Selection:
    """Scores what ``describe`` (model -> a caption of each image) says of ``images``."""

    images: Sequence[Image]
    cider: CiderD
    describe: Callable[[Any], list[str]]

    @classmethod
    def of(cls, images: Sequence[Image], describe: Callable[[Any], list[str]]) -> Selection:
        references = [[caption.tokens for caption in image.captions] for image in images]
        return cls(images, CiderD(references), describe)

    def __call__(self, model: Any) -> dict[str, float]:
        """CIDEr (x100), Dist-3 of these captions (percent) and the mean number of words."""
        captions = [caption.split() for caption in self.describe(model)]
        score = 100 * float(self.cider.score(captions).mean())
        words = float(np.mean([len(caption) for caption in captions]))
        return {"CIDEr": score, "D@3": distinct_n(captions, 3), "words": words}
