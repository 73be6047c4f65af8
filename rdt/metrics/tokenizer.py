"""Penn Treebank tokens as pycocoevalcap's PTBTokenizer makes them: lower case, without punctuation.

It runs the same program on one text a line. The program looks ahead: a text that ends in an initial or in one of
a few abbreviations (``... a letter K.``) keeps its full stop or loses it depending on how the next text begins.
So the tokens of such a text are looked up together with the text that follows it; all others by themselves.
Other languages than English have a tokenizer of their own, :class:`OtherTokenizer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rdt.data.sentences import tokenize_apart
from rdt.errors import UserError
from rdt.metrics.java import JARS, JavaProgram

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)

# What the program takes for the end of a line (found by giving it every character), and halves of surrogate
# pairs, which are no text. pycocoevalcap replaces line feeds by spaces; other line breaks would shift its scores
# to other images.
_NOT_IN_A_LINE = re.compile("[\n\v\f\r\u2028\u2029\ud800-\udfff]")
# Endings whose tokens depend on what follows (found by giving it every word of up to four letters)
_OPEN_ENDING = re.compile(r"(?:^|[^a-z])(?:[a-z]|art|ca|figs?|nos?|op|pp|prop)\.\s*$", re.IGNORECASE)
_SENTINEL = "endofcaptions"  # a text's last follower, and the last text: if its place is wrong, lines were lost

_JAR = "stanford-corenlp-3.4.1.jar"
_PROGRAM = "edu.stanford.nlp.process.PTBTokenizer"
_JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # it runs for a second: compiling well is not worth its time
_OPTIONS = ("-preserveLines", "-lowerCase", "-encoding", "UTF-8")

_Key = tuple[str, str]  # a text, and the lines that follow it if they matter


class Tokenizer:
    """Tokens of texts, each text given to the Java program once."""

    def __init__(self) -> None:
        self._tokens: dict[_Key, str] = {}

    def prepare(self, documents: Iterable[Sequence[str]]) -> None:
        """Tokenise many documents in one call of the program, so that :meth:`tokens` only looks up."""
        self._add(key for texts in documents for key in _keys(texts))

    def tokens(self, texts: Sequence[str]) -> list[str]:
        """The tokens of each of a document's texts, joined by spaces.

        A document is what pycocoevalcap would tokenise in one go: all captions of one system, or all
        references, in the order of images.
        """
        keys = _keys(texts)
        self._add(keys)
        return [self._tokens[key] for key in keys]

    def _add(self, keys: Iterable[_Key]) -> None:
        new = list(dict.fromkeys(key for key in keys if key not in self._tokens))
        self._tokens |= zip(new, _tokens_of(new), strict=True)


class OtherTokenizer:
    """Words of texts in other languages than English, see ``rdt.data.sentences.tokenize_apart``."""

    def prepare(self, documents: Iterable[Sequence[str]]) -> None:
        """Nothing: no program is started."""

    def tokens(self, texts: Sequence[str]) -> list[str]:
        """The words of each text, joined by spaces."""
        return [" ".join(tokenize_apart(text)) for text in texts]


def one_line(text: str) -> str:
    """``text`` with line breaks replaced by spaces."""
    return _NOT_IN_A_LINE.sub(" ", text)


def _keys(texts: Sequence[str]) -> list[_Key]:
    lines = [one_line(text) for text in texts]
    return [(line, _following(lines, i) if _OPEN_ENDING.search(line) else "") for i, line in enumerate(lines)]


def _following(lines: Sequence[str], i: int) -> str:
    """What the program may look at after line i: all up to the next line that is not blank."""
    end = next((k for k in range(i + 1, len(lines)) if lines[k].strip()), None)
    return "\n".join([*lines[i + 1 :], _SENTINEL] if end is None else lines[i + 1 : end + 1])


def _tokens_of(keys: Sequence[_Key]) -> list[str]:
    """Tokens of each text, from one call of the program."""
    if not keys:
        return []
    lines, places = [], []
    for text, following in keys:
        places.append(len(lines))
        lines += [text, *following.split("\n")] if following else [text]
    lines.append(_SENTINEL)
    program = JavaProgram([*_JAVA, "-cp", _JAR, _PROGRAM, *_OPTIONS], JARS / "tokenizer")
    try:
        with program.told("\n".join(lines) + "\n", last=True) as answer:
            tokenised = answer.read().decode("utf-8").split("\n")
        if len(tokenised) != len(lines) + 1 or tokenised[-2].strip() != _SENTINEL:
            problem = f"it answered {len(tokenised) - 1} of {len(lines)} lines ({program.complaint()})"
            raise UserError("PTB tokeniser", problem, "run `rdt doctor`")
    finally:
        program.close()
    return [_without_punctuation(tokenised[place]) for place in places]


def _without_punctuation(line: str) -> str:
    return " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION)
