"""How varied captions are: Dist-n (Li et al. 2016) and vocabulary usage (Dai et al. 2018)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from itertools import chain
from statistics import fmean
from typing import NamedTuple

from rdt.data.vocabulary import END, UNKNOWN, Vocabulary
from rdt.metrics.tokenizer import PUNCTUATION

Caption = str | Sequence[Hashable]  # words separated by spaces, or tokens


class DistinctScopes(NamedTuple):
    """Dist-n in percent, over three sets of captions; the first is the tables' number."""

    mean_of_runs: float  # each run on its own, averaged over runs
    pooled: float  # all captions of all runs together
    per_image: float  # the captions of one image, averaged over images


class VocabularyUsage(NamedTuple):
    percent: float
    count: int


def _tokens(caption: Caption) -> Sequence[Hashable]:
    return caption.split() if isinstance(caption, str) else caption


def distinct_n(captions: Sequence[Caption], n: int) -> float:
    """Distinct n-grams over all captions, per 100 generated tokens (tokens, not n-grams). 0 without a token."""
    rows = [_tokens(caption) for caption in captions]
    ngrams = {tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)}
    tokens = sum(map(len, rows))
    return 100 * len(ngrams) / tokens if tokens else 0.0


def distinct_scopes(runs: Sequence[Sequence[Caption]], n: int) -> DistinctScopes:
    """Dist-n of several captioning runs, each one caption per image in the same order of images.

    Raises ValueError if there is no caption or the runs differ in length.
    """
    images = list(zip(*runs, strict=True))
    if not images:
        raise ValueError("diversity needs at least one run of at least one caption")
    return DistinctScopes(
        mean_of_runs=fmean(distinct_n(run, n) for run in runs),
        pooled=distinct_n(list(chain.from_iterable(runs)), n),
        per_image=fmean(distinct_n(captions, n) for captions in images),
    )


def sayable(vocabulary: Vocabulary) -> frozenset[str]:
    """The words of a vocabulary that a tokenised caption can hold: without its end, UNK and punctuation."""
    return frozenset(vocabulary.words) - PUNCTUATION - {END, UNKNOWN}


def vocabulary_usage(captions: Sequence[Caption], vocabulary_words: Collection[Hashable]) -> VocabularyUsage:
    """Share of the vocabulary's words that occur in the captions, in percent, and their number.

    Words beyond the vocabulary do not count. Raises ValueError for an empty vocabulary.
    """
    vocabulary = set(vocabulary_words)
    if not vocabulary:
        raise ValueError("vocabulary usage needs a vocabulary of at least one word")
    used = vocabulary.intersection(chain.from_iterable(map(_tokens, captions)))
    return VocabularyUsage(100 * len(used) / len(vocabulary), len(used))


def distinct_without_each(run: Sequence[Caption], n: int, units: Sequence[Hashable] | None = None) -> list[float]:
    """Dist-n of a run of one caption per image without each of the images in turn, for a jackknife.

    ``units`` (one per image): images of one unit are not independent, and left out together.
    """
    groups = _by_unit([_tokens(caption) for caption in run], units)
    count, alone = _only_here(
        [{tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)} for rows in groups]
    )
    lengths = [sum(map(len, rows)) for rows in groups]
    tokens = sum(lengths)
    return [
        100 * (count - own) / (tokens - length) if tokens > length else 0.0
        for own, length in zip(alone, lengths, strict=True)
    ]


def vocabulary_usage_without_each(
    run: Sequence[Caption], vocabulary_words: Collection[Hashable], units: Sequence[Hashable] | None = None
) -> list[float]:
    """Vocabulary usage in percent of a run without each of its images, or ``units`` of images, in turn."""
    vocabulary = set(vocabulary_words)
    groups = _by_unit([_tokens(caption) for caption in run], units)
    count, alone = _only_here([vocabulary.intersection(chain.from_iterable(rows)) for rows in groups])
    return [100 * (count - own) / len(vocabulary) for own in alone]


def _by_unit(rows: Sequence[Sequence[Hashable]], units: Sequence[Hashable] | None) -> list[list[Sequence[Hashable]]]:
    """The rows of each unit, by default of each image."""
    found: dict[Hashable, list[Sequence[Hashable]]] = {}
    for unit, row in zip(range(len(rows)) if units is None else units, rows, strict=True):
        found.setdefault(unit, []).append(row)
    return list(found.values())


def _only_here(sets: Sequence[set[Hashable]]) -> tuple[int, list[int]]:
    """Size of the union of some sets, and how many members of it each set has to itself."""
    holders = Counter(chain.from_iterable(sets))
    return len(holders), [sum(holders[member] == 1 for member in members) for members in sets]
