"""CIDEr-D (Vedantam et al. 2015) as a reward: references and document frequencies are prepared once.

The scores equal the COCO caption tools' to the last bit, given the same document frequencies. That takes the same
operations in the same order, which is why this file sums in plain Python floats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType

import numpy as np

from rdt.metrics.ngrams import ORDERS, Caption, NGram, Occurrences, as_tokens, count_ngrams, ngrams

_SIGMA = 6.0  # of the length penalty
_SCALE = 10.0


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
            counts.update(set(chain.from_iterable(ngrams(as_tokens(caption)) for caption in captions)))
            images += 1
        return cls(dict(counts), images)

    def repeated(self) -> DocumentFrequency:
        """Without the n-grams of a single image: they weigh as much as unseen ones, and most are of them."""
        return DocumentFrequency({ngram: count for ngram, count in self.counts.items() if count > 1}, self.images)

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
class ReferenceTable:
    """The references of one image: where each n-gram occurs, and what CIDEr-D needs of each reference."""

    occurrences: dict[NGram, Occurrences]
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
        self._images: list[ReferenceTable | None] = [None] * len(references)
        self._shared: dict[Occurrences, Occurrences] = {}  # one object for all equal ones
        self._penalties: dict[int, float] = {}

    def score(self, candidates: Sequence[Caption], image_indices: Sequence[int] | None = None) -> np.ndarray:
        """Score of each candidate, float64 (n,), in [0, 10].

        image_indices: the image of each candidate, as a position in ``references``; without it there
        is one candidate for each image, in order. Raises ValueError if the numbers differ.
        """
        indices = range(len(self._references)) if image_indices is None else image_indices
        if len(indices) != len(candidates):
            raise ValueError(f"{len(candidates)} candidates for {len(indices)} images")
        captions = [as_tokens(candidate) for candidate in candidates]
        pairs = zip(captions, indices, strict=True)
        scores = [self.score_counts(count_ngrams(c), len(c), self.table(int(i))) for c, i in pairs]
        return np.array(scores, dtype=np.float64)

    def table(self, index: int) -> ReferenceTable:
        """The prepared references of an image."""
        image = self._images[index]
        if image is None:
            image = self._images[index] = self._prepare(self._references[index])
        return image

    def _prepare(self, captions: Sequence[Caption]) -> ReferenceTable:
        idf, unseen = self.df.idf.get, self.df.unseen
        occurrences: dict[NGram, Occurrences] = {}
        squares, lengths = [], []
        for j, caption in enumerate(captions):
            tokens, sums = as_tokens(caption), [0.0] * ORDERS
            once = self._shared.setdefault(((j, 1),), ((j, 1),))
            for ngram, times in count_ngrams(tokens).items():
                found = occurrences.setdefault(ngram, once) if times == 1 else occurrences.get(ngram, ())
                if found is not once:
                    more = (*found, (j, times))
                    occurrences[ngram] = self._shared.setdefault(more, more)
                sums[len(ngram) - 1] += (times * idf(ngram, unseen)) ** 2
            squares.append(sums)
            lengths.append(max(0, len(tokens) - 1))
        norms = [[math.sqrt(square) for square in row] for row in zip(*squares, strict=True)]
        return ReferenceTable(occurrences, norms, lengths)

    def _penalty(self, delta: int) -> float:
        """Gaussian penalty of a difference in length."""
        if delta not in self._penalties:
            self._penalties[delta] = math.e ** (-(float(delta) ** 2) / (2 * _SIGMA**2))
        return self._penalties[delta]

    def score_counts(self, counts: Mapping[NGram, int], words: int, image: ReferenceTable) -> float:
        """Score of a caption of so many words with these n-grams, in order of first occurrence."""
        idf, unseen = self.df.idf.get, self.df.unseen
        occurrences = image.occurrences.get
        products = [[0.0] * len(image.lengths) for _ in range(ORDERS)]  # clipped, with each reference
        squares = [0.0] * ORDERS
        for ngram, times in counts.items():
            order = len(ngram) - 1
            weight = idf(ngram, unseen)
            squares[order] += (times * weight) ** 2
            for j, in_reference in occurrences(ngram, ()):
                clipped = times if times < in_reference else in_reference
                products[order][j] += (clipped * weight) * (in_reference * weight)
        length = max(0, words - 1)
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
        return total / ORDERS / len(image.lengths) * _SCALE
