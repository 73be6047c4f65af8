"""CIDEr-D (Vedantam et al. 2015) as a reward: references and document frequencies are prepared once.

The scores are those of the COCO caption tools to the last bit, given the same document frequencies. They
need the same operations in the same order, which is why this file sums in plain Python floats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType

import numpy as np

Token = Hashable  # a word or its id
Caption = Sequence[Token]
NGram = tuple[Token, ...]
_Occurrences = tuple[tuple[int, int], ...]  # (reference, times) where an n-gram occurs

_ORDERS = 4
_SIGMA = 6.0  # of the length penalty
_SCALE = 10.0


def _ngrams(tokens: Caption) -> Iterable[NGram]:
    """All n-grams of n = 1..4, shortest first, each order from left to right."""
    second, third, fourth = tokens[1:], tokens[2:], tokens[3:]
    return chain(
        zip(tokens, strict=False),
        zip(tokens, second, strict=False),
        zip(tokens, second, third, strict=False),
        zip(tokens, second, third, fourth, strict=False),
    )


def _counts(tokens: Caption) -> dict[NGram, int]:
    """Occurrences of each n-gram, in order of first occurrence."""
    counts: dict[NGram, int] = {}
    for ngram in _ngrams(tokens):  # at this size faster than a Counter
        counts[ngram] = counts.get(ngram, 0) + 1
    return counts


def _tokens(caption: Caption) -> list[Token]:
    if isinstance(caption, str):
        raise TypeError(f"a caption is a sequence of tokens, got the string {caption!r}; split it first")
    return caption.tolist() if hasattr(caption, "tolist") else list(caption)  # tensors hash by identity


@dataclass(frozen=True)
class DocumentFrequency:
    """In how many images of a set each n-gram occurs in some reference; read-only."""

    counts: Mapping[NGram, int]
    images: int

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError("document frequencies need at least one image")
        if max(self.counts.values(), default=0) > self.images:
            raise ValueError(f"an n-gram occurs in more than all {self.images} images")
        object.__setattr__(self, "counts", MappingProxyType(self.counts))

    @classmethod
    def from_references(cls, references: Iterable[Sequence[Caption]]) -> DocumentFrequency:
        """Count over the references of each image. Raises ValueError if there is no image."""
        counts: Counter[NGram] = Counter()
        images = 0
        for captions in references:
            counts.update(set(chain.from_iterable(_ngrams(_tokens(caption)) for caption in captions)))
            images += 1
        return cls(dict(counts), images)

    @property
    def unseen(self) -> float:
        """Inverse document frequency of an n-gram that occurs in no image, log(images)."""
        return float(np.log(float(self.images)))

    @cached_property
    def idf(self) -> Mapping[NGram, float]:
        """log(images) - log(df) of each n-gram; look others up with ``unseen`` as default."""
        by_count = (self.unseen - np.log(np.maximum(1.0, np.arange(self.images + 1)))).tolist()
        return {ngram: by_count[count] for ngram, count in self.counts.items()}


@dataclass(frozen=True)
class _Image:
    """The references of one image."""

    occurrences: dict[NGram, _Occurrences]
    norms: list[list[float]]  # [n - 1][reference], of the vectors of n-grams
    lengths: list[int]  # in bigrams, as the COCO tools measure


class CiderD:
    """CIDEr-D with n = 1..4, sigma = 6, times 10, against the references of a fixed set of images.

    references: for each image its captions, each a sequence of tokens (words, or ids: any hashable).
    document_frequency: of these references unless given, say of the train split. It is never changed
    by scoring. An image's n-gram table is made at its first use and kept (some 5 kB an image).

    Raises ValueError for an image without references.
    """

    def __init__(
        self, references: Sequence[Sequence[Caption]], document_frequency: DocumentFrequency | None = None
    ) -> None:
        empty = next((i for i, captions in enumerate(references) if not len(captions)), None)
        if empty is not None:
            raise ValueError(f"image {empty} has no reference captions")
        self.df = document_frequency or DocumentFrequency.from_references(references)
        self._references = references
        self._images: list[_Image | None] = [None] * len(references)
        self._shared: dict[_Occurrences, _Occurrences] = {}  # one object for all equal ones
        self._penalties: dict[int, float] = {}

    def score(self, candidates: Sequence[Caption], image_indices: Sequence[int] | None = None) -> np.ndarray:
        """Score of each candidate, float64 (n,), in [0, 10].

        image_indices: the image of each candidate, as a position in ``references``; without it the
        candidates are those of all images in order. Raises ValueError if the numbers differ.
        """
        indices = range(len(self._references)) if image_indices is None else image_indices
        if len(indices) != len(candidates):
            raise ValueError(f"{len(candidates)} candidates for {len(indices)} images")
        pairs = zip(candidates, indices, strict=True)
        return np.array([self._score(_tokens(candidate), self._image(int(i))) for candidate, i in pairs], dtype=float)

    def _image(self, index: int) -> _Image:
        image = self._images[index]
        if image is None:
            image = self._images[index] = self._prepare(self._references[index])
        return image

    def _prepare(self, captions: Sequence[Caption]) -> _Image:
        counted = [_counts(_tokens(caption)) for caption in captions]
        idf, unseen = self.df.idf, self.df.unseen
        occurrences: dict[NGram, _Occurrences] = {}
        squares = [[0.0] * len(counted) for _ in range(_ORDERS)]
        lengths = [0] * len(counted)
        for j, counts in enumerate(counted):
            for ngram, times in counts.items():
                found = (*occurrences.get(ngram, ()), (j, times))
                occurrences[ngram] = self._shared.setdefault(found, found)
                squares[len(ngram) - 1][j] += (times * idf.get(ngram, unseen)) ** 2
                lengths[j] += times if len(ngram) == 2 else 0
        return _Image(occurrences, [[math.sqrt(square) for square in row] for row in squares], lengths)

    def _penalty(self, delta: int) -> float:
        """Gaussian penalty of a difference in length."""
        if delta not in self._penalties:
            self._penalties[delta] = math.e ** (-(float(delta) ** 2) / (2 * _SIGMA**2))
        return self._penalties[delta]

    def _score(self, tokens: list[Token], image: _Image) -> float:
        idf, unseen = self.df.idf.get, self.df.unseen
        occurrences = image.occurrences.get
        products = [[0.0] * len(image.lengths) for _ in range(_ORDERS)]  # clipped, with each reference
        squares = [0.0] * _ORDERS
        for ngram, times in _counts(tokens).items():
            order = len(ngram) - 1
            weight = idf(ngram, unseen)
            squares[order] += (times * weight) ** 2
            for j, in_reference in occurrences(ngram, ()):
                clipped = times if times < in_reference else in_reference
                products[order][j] += (clipped * weight) * (in_reference * weight)
        length = max(0, len(tokens) - 1)
        penalties = [self._penalty(length - other) for other in image.lengths]
        total = 0.0
        for product, square, norms in zip(products, squares, image.norms, strict=True):
            norm = math.sqrt(square)
            similarity = 0.0
            for value, other, penalty in zip(product, norms, penalties, strict=True):
                if norm != 0 and other != 0:
                    value /= norm * other
                similarity += value * penalty
            total += similarity
        return total / _ORDERS / len(image.lengths) * _SCALE
