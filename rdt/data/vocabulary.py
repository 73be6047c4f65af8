"""Words and their ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from rdt.data.dataset import open_dataset
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.settings import Experiment, Role
from rdt.files import atomic_write_json, read_json

END = "."  # id 0: begin, end and padding at once
UNKNOWN = "UNK"  # the last id


@dataclass(frozen=True)
class Vocabulary:
    """Ordered words: ``words[0]`` is ``.``, the last is ``UNK``, an id is a position."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) < 3 or self.words[0] != END or self.words[-1] != UNKNOWN:
            raise ValueError(f"a vocabulary runs from {END!r} to {UNKNOWN!r} with at least one word between")
        if len(set(self.words)) != len(self.words):
            raise ValueError("a vocabulary has each word once")

    @property
    def size(self) -> int:
        return len(self.words)

    @property
    def num_bits(self) -> int:
        """ceil(log2 size): bits of a word's code."""
        return (self.size - 1).bit_length()

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the words in their order; a word's bits, hence every trained weight, depend on it."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of ``tokens``, without an end: unknown words become ``UNK``, ``.`` is left out."""
        unknown = self.size - 1
        return [self.ids.get(token, unknown) for token in map(str.lower, tokens) if token != END]

    def decode(self, ids: Iterable[int]) -> str:
        """The words before the first id 0, joined by spaces."""
        return " ".join(self.words[i] for i in takewhile(lambda i: i != 0, map(int, ids)))

    def save(self, path: Path) -> None:
        """Write as JSON; a reader never sees half a file."""
        atomic_write_json(path, {"digest": self.digest, "words": self.words})

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what :meth:`save` wrote. Raises ``UserError`` if it is missing, damaged or altered."""
        document, remedy = read_json(path), "build the vocabulary again"
        try:
            vocabulary = cls(tuple(document["words"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(path, f"not a vocabulary ({error})", remedy) from None
        if vocabulary.digest != document.get("digest"):
            raise UserError(path, "its words do not match its digest", remedy)
        return vocabulary


def build_vocabulary(captions: Iterable[tuple[str, ...]], min_count: int) -> Vocabulary:
    """The words that occur at least ``min_count`` times, lower-cased, in order of first appearance.

    ``captions`` are the train split's alone: counting the others would leak their words.
    """
    counts = Counter(token.lower() for tokens in captions for token in tokens)
    words = [word for word, count in counts.items() if count >= min_count and word != END]
    if not words:
        raise UserError(
            "method.min_count", f"no word of the train split occurs {min_count} times", "lower it or add captions"
        )
    return Vocabulary((END, *words, UNKNOWN))


def learn_vocabulary(experiment: Experiment, paths: Paths, role: Role) -> Vocabulary:
    """Write the vocabulary of a role's train split."""
    train = open_dataset(experiment, paths, role).split("train")
    captions = (caption.tokens for image in train for caption in image.captions)
    vocabulary = build_vocabulary(captions, experiment.method.min_count)
    vocabulary.save(paths.vocabulary(role))
    return vocabulary
