"""Sentences of annotations, in whichever form they come, and their words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdt.errors import UserError

MOST_CHARACTERS = 100_000  # of a caption: those of language models have a few thousand
_PUNCTUATION = re.compile(r"[^\w\s]|_")
# Scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])"
)


@dataclass(frozen=True)
class Caption:
    """``tokens`` are lower-case words without punctuation, ``raw`` the sentence as written."""

    tokens: tuple[str, ...]
    raw: str


def tokenize(sentence: str) -> tuple[str, ...]:
    """Lower-case words of ``sentence``, punctuation deleted, as the published splits of COCO have them.

    Marks that belong to letters are kept; where a script has no spaces, each character is a word.
    """
    return _cleaned_words(sentence, "")


def tokenize_apart(sentence: str) -> tuple[str, ...]:
    """Words as :func:`tokenize` has them, but punctuation divides them: ``l'homme`` is two."""
    return _cleaned_words(sentence, " ")


def _cleaned_words(sentence: str, punctuation: str) -> tuple[str, ...]:
    text = sentence.lower()
    if text.isascii():
        return tuple(_PUNCTUATION.sub(punctuation, text).split())

    def kept(found: re.Match[str]) -> str:
        kind = unicodedata.category(found[0])
        return found[0] if kind.startswith("M") else "" if kind == "Cf" else punctuation

    text = _PUNCTUATION.sub(kept, unicodedata.normalize("NFC", text))
    return tuple(_UNSPACED.sub(r" \1 ", text).split())


@dataclass
class Tally:
    """What was left out or converted of a data set's annotations, by what is said of it."""

    counts: Counter[str] = field(default_factory=Counter)

    def notes(self, where: str | Path) -> tuple[str, ...]:
        """A line for each."""
        lines = []
        for what, count in self.counts.items():
            noun, _, rest = what.partition(" ")
            lines.append(f"{where}: {count:,} {noun.removesuffix('s') if count == 1 else noun} {rest}")
        return tuple(lines)


def read_sentences(
    where: str | Path, image: Any, sentences: Sequence[Any], tally: Tally
) -> tuple[tuple[Caption, ...], tuple[int, ...]]:
    """The captions of an image, and the places of its sentences without words, which are left out.

    A sentence is ``{tokens, raw}``, ``{raw}`` or a text. Raises UserError for anything else.
    """
    captions, left_out = [], []
    for place, sentence in enumerate(sentences):
        caption = read_sentence(where, image, sentence, tally)
        if caption is None:
            left_out.append(place)
        else:
            captions.append(caption)
    return tuple(captions), tuple(left_out)


def read_sentence(where: str | Path, image: Any, sentence: Any, tally: Tally) -> Caption | None:
    """A caption; None, and counted, where it has no words."""
    entry = sentence if isinstance(sentence, Mapping) else {"raw": sentence}
    tokens, raw = entry.get("tokens"), entry.get("raw")
    if not (tokens or isinstance(raw, str) or isinstance(tokens, list)):
        raise UserError(where, f"image {image} has a sentence with neither 'tokens' nor 'raw'", "correct it")
    if tokens and not (isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens)):
        raise UserError(where, f"image {image} has a sentence whose 'tokens' are no list of words", "correct it")
    if not tokens and (tokens := tokenize(raw if isinstance(raw, str) else "")):
        tally.counts["sentences without tokens, whose words are taken as COCO's splits have them"] += 1
    words = tuple(token.lower() for token in tokens if token)
    raw = str(raw or " ".join(words))
    length = max(len(raw), sum(map(len, words)))
    if length > MOST_CHARACTERS:
        problem = f"image {image} has a sentence of {length:,} characters, expected at most {MOST_CHARACTERS:,}"
        raise UserError(where, problem, "shorten it")
    if not any(re.search(r"\w", word) for word in words):
        tally.counts["sentences without words left out"] += 1
        return None
    return Caption(words, raw)
