"""BLEU-1..4 (Papineni et al. 2002) as pycocoevalcap counts and rounds it, from additive counts per image.

The counts of an image are its row of ``Statistics["bleu"]``: matched 1- to 4-grams, the caption's 1- to
4-grams, the caption's length, and the length of the closest reference (of two as close, the shorter).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rdt.metrics.ngrams import ORDERS, NGram, Occurrences

# pycocoevalcap's guards against division by zero
_TINY, _SMALL = 1e-15, 1e-9


def bleu_counts(
    counts: Mapping[NGram, int],
    words: int,
    occurrences: Mapping[NGram, Occurrences],
    reference_words: Sequence[int],
) -> list[int]:
    """The ten counts of a caption of so many ``words`` with n-grams ``counts``, against one image's references."""
    matched = [0] * ORDERS
    for ngram, times in counts.items():
        found = occurrences.get(ngram)
        if found:  # once is never more than the most that a reference has
            matched[len(ngram) - 1] += 1 if times == 1 else min(times, max(most for _, most in found))
    guessed = [max(0, words - order) for order in range(ORDERS)]
    closest = min((abs(length - words), length) for length in reference_words)[1]
    return [*matched, *guessed, words, closest]


def bleu_values(counts: Sequence[int]) -> list[float]:
    """BLEU-1..4, in [0, 1], of the counts of one image or of their sums over a corpus.

    Plain Python floats in pycocoevalcap's order of operations, so that the values are its to the last bit.
    """
    matched, guessed, (words, reference) = counts[:ORDERS], counts[ORDERS : 2 * ORDERS], counts[2 * ORDERS :]
    ratio = (words + _TINY) / (reference + _SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    values, product = [], 1.0
    for order in range(ORDERS):
        product *= (float(matched[order]) + _TINY) / (float(guessed[order]) + _SMALL)
        values.append(product ** (1.0 / (order + 1)) * penalty)
    return values
