"""SPICE-dp: SPICE (Anderson et al. 2016) on a dependency parse by spaCy, without Java and without a network.

A caption becomes a scene graph (``parser``, ``graph``), which is compared with the graph of the image's references
(``match``). Parser and patterns differ from the original's, and so do the scores: hence a name of its own.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rdt.errors import UserError
from rdt.files import atomic_write_text
from rdt.metrics.spice.graph import Proposition
from rdt.metrics.spice.match import Graph, f1, merge, synonyms
from rdt.metrics.spice.parser import Parser, find_model
from rdt.provenance.code import code_digest

NAME = "SPICE-dp"


def lack_of_parser() -> str | None:
    """Why SPICE-dp cannot run here, or None where it can."""
    return None if find_model() else "needs spaCy and its model en_core_web_sm"


class SpiceDp:
    """Scores captions; keeps the parse of every text it has seen.

    With ``cache``, a folder, the parses of references are kept there too, in one JSON file for each set of
    texts, named by the digest of the texts, the model and the rules. Several processes may share the folder.
    Raises UserError where spaCy or its model is missing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        model = find_model()
        if model is None:
            raise UserError(NAME, lack_of_parser() or "", "run `rdt doctor`, which names the command that brings them")
        self._model = model
        self._cache = cache
        self._parsed: dict[str, frozenset[Proposition]] = {}
        self._graphs: dict[tuple[str, ...], Graph] = {}

    def score(self, captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """F1 (n,) in [0, 1] of n captions as written, each against its references; their mean is the corpus value.

        0 where the caption or its references name nothing.
        """
        self._parse((text for texts in references for text in texts), self._cache)
        self._parse(captions, None)
        return np.array(
            [
                f1(self._graph([caption]), self._graph(texts), synonyms)
                for caption, texts in zip(captions, references, strict=True)
            ]
        )

    def propositions(self, text: str) -> frozenset[Proposition]:
        """Objects, attributes and relations of one caption."""
        self._parse([text], None)
        return self._parsed[text]

    def _graph(self, texts: Sequence[str]) -> Graph:
        key = tuple(texts)
        if key not in self._graphs:
            self._graphs[key] = merge([self._parsed[text] for text in texts], synonyms)
        return self._graphs[key]

    def _parse(self, texts: Iterable[str], cache: Path | None) -> None:
        """Parse the texts that are new; read them from the folder where they are there, else write them."""
        new = sorted(set(texts) - self._parsed.keys())
        if not new:
            return
        file = cache / f"{self._digest(new)}.json" if cache else None
        found = _kept_parses(file) if file else None
        if found is None:
            found = list(self._parser(new))
            if file:
                atomic_write_text(file, json.dumps([sorted(graph) for graph in found], ensure_ascii=False))
        self._parsed |= zip(new, found, strict=True)

    def _digest(self, texts: list[str]) -> str:
        """Of all that decides the parses of these texts."""
        made_by = [self._model.digest, importlib.metadata.version("spacy"), code_digest(Parser.__module__)]
        return hashlib.sha256(json.dumps([made_by, texts]).encode()).hexdigest()[:32]

    @functools.cached_property
    def _parser(self) -> Parser:
        return Parser(self._model)


def _kept_parses(file: Path) -> list[frozenset[Proposition]] | None:
    """Parses that were kept, or None where there are none that can be read."""
    try:
        return [frozenset(map(tuple, graph)) for graph in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return None
