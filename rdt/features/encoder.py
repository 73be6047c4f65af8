"""What an encoder of photographs is: the two towers trained here, or pretrained CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image as Picture


@dataclass(frozen=True)
class Encoded:
    """Features of n photographs: ``grid`` (n, 49, D) float16, ``global_`` (n, E) float32.

    ``query`` (n, E') float32, the vectors that sentences are retrieved by, where ``global_`` is not in their space.
    """

    grid: np.ndarray
    global_: np.ndarray
    query: np.ndarray | None = None


class Encoder(Protocol):
    """Makes what a network sees of photographs."""

    def photographs(self, pictures: Sequence[Picture.Image]) -> Encoded:
        """Features of RGB photographs of any size, in their order."""
        ...
