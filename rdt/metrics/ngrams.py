"""N-grams of captions and what each of them does in the references of an image: shared by BLEU and CIDEr-D."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

Token = Hashable  # a word or its id
Caption = Sequence[Token]
NGram = tuple[Token, ...]
Occurrences = tuple[tuple[int, int], ...]  # (reference, times) where an n-gram occurs

ORDERS = 4


def ngrams(tokens: Caption) -> Iterable[NGram]:
    """All n-grams of n = 1..4, shortest first, each order from left to right."""
    second, third, fourth = tokens[1:], tokens[2:], tokens[3:]
    return chain(
        zip(tokens, strict=False),
        zip(tokens, second, strict=False),
        zip(tokens, second, third, strict=False),
        zip(tokens, second, third, fourth, strict=False),
    )


def count_ngrams(tokens: Caption) -> dict[NGram, int]:
    """Occurrences of each n-gram, in order of first occurrence."""
    counts: dict[NGram, int] = {}
    for ngram in ngrams(tokens):  # at this size faster than a Counter
        counts[ngram] = counts.get(ngram, 0) + 1
    return counts


def as_tokens(caption: Caption) -> list[Token]:
    """A caption as a list. Raises TypeError for a string, which is not yet split into tokens."""
    if isinstance(caption, str):
        raise TypeError(f"a caption is a sequence of tokens, got the string {caption!r}; split it first")
    return caption.tolist() if hasattr(caption, "tolist") else list(caption)  # tensors hash by identity
