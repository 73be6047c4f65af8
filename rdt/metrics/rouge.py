"""ROUGE-L (Lin 2004) as pycocoevalcap computes it: best precision and best recall over the references."""

from __future__ import annotations

from collections.abc import Sequence

_BETA = 1.2


def rouge_l(caption: str, references: Sequence[str]) -> float:
    """Score in [0, 1] of a tokenised caption: words separated by single spaces.

    As in pycocoevalcap an empty text counts as one empty word. Raises ValueError without references.
    """
    words = caption.split(" ")
    positions = _positions(words)
    precision = recall = 0.0
    if not references:
        raise ValueError("ROUGE-L needs at least one reference")
    for reference in references:
        others = reference.split(" ")
        common = _common_subsequence(positions, len(words), others)
        precision = max(precision, common / len(words))
        recall = max(recall, common / len(others))
    if precision == 0 or recall == 0:
        return 0.0
    return ((1 + _BETA**2) * precision * recall) / (recall + _BETA**2 * precision)


def _positions(words: Sequence[str]) -> dict[str, int]:
    """Where each word stands, as the set bits of an integer."""
    positions: dict[str, int] = {}
    for place, word in enumerate(words):
        positions[word] = positions.get(word, 0) | 1 << place
    return positions


def _common_subsequence(positions: dict[str, int], length: int, others: Sequence[str]) -> int:
    """Length of the longest common subsequence, one row of the usual table at a time as bits of an integer.

    Bit i of ``row`` is 0 where the subsequence with the first i + 1 words is longer than with i
    (Crochemore et al. 2001, Hyyrö 2004).
    """
    full = (1 << length) - 1
    row = full
    for word in others:
        match = positions.get(word)
        if match:
            hit = row & match
            row = ((row + hit) | (row - hit)) & full
    return length - row.bit_count()
