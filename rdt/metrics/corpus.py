"""Corpus metrics of captions, as the COCO caption evaluation computes them, times 100.

BLEU, METEOR, ROUGE-L and CIDEr equal pycocoevalcap 1.2's to the last bit, for each image and for the corpus. A
:class:`Scorer` scores many systems: it tokenises all texts in one call, makes the tables of a set of references
once, and keeps one METEOR process, which works while the other metrics are computed here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np

from rdt.data.coco import references_by_image, results_by_image
from rdt.data.identity import ImageId
from rdt.data.matching import matched
from rdt.errors import UserError
from rdt.experiment.settings import ENGLISH
from rdt.metrics.bleu import bleu_counts, bleu_values
from rdt.metrics.ciderd import CiderD
from rdt.metrics.meteor import Meteor, MeteorScores
from rdt.metrics.names import BLEU, MEANS, METRICS, RECORD
from rdt.metrics.ngrams import count_ngrams
from rdt.metrics.spice import dependency, original
from rdt.metrics.statistics import Statistics
from rdt.metrics.tokenizer import OtherTokenizer, Tokenizer

SpiceScore = Callable[[Sequence[str], Sequence[Sequence[str]]], np.ndarray]
Texts = tuple[tuple[str, ...], ...]  # the references of each image, as written

_TABLES_KEPT = 4  # sets of references whose tables are kept; one takes 120 MB for 5,000 images of 5 references


class Request(NamedTuple):
    """What is to be scored: a caption of each image, and the references of at least these images."""

    captions: Mapping[ImageId, str]
    references: Mapping[ImageId, Sequence[str]]


@dataclass(frozen=True)
class Scores:
    """Scores of one system, times 100: ``corpus`` by metric, ``per_image`` (n,) arrays in ``image_ids``' order.

    The corpus values of BLEU and METEOR come from summed counts; the others are means.
    ``statistics`` are the numbers that ``rdt.metrics.statistics`` resamples.
    """

    image_ids: tuple[ImageId, ...]
    corpus: dict[str, float]
    per_image: dict[str, np.ndarray]
    statistics: Statistics


class Tables:
    """What BLEU and CIDEr need of the references of n images, made once."""

    def __init__(self, tokens: Sequence[Sequence[str]]) -> None:
        words = [[_words(text) for text in texts] for texts in tokens]
        self._lengths = [[len(reference) for reference in references] for references in words]
        self._cider = CiderD(words)

    def overlap(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """BLEU's counts (n, 10) and CIDEr-D (n, 1) in [0, 10] of one tokenised caption for each image."""
        bleu, cider = [], []
        for i, (caption, lengths) in enumerate(zip(captions, self._lengths, strict=True)):
            words, table = caption.split(), self._cider.table(i)
            counts = count_ngrams(words)
            bleu.append(bleu_counts(counts, len(words), table.occurrences, lengths))
            cider.append(self._cider.score_counts(counts, len(words), table))
        return np.array(bleu, dtype=np.float64), np.array(cider, dtype=np.float64)[:, None]


def _words(tokens: str) -> list[str]:
    return [intern(word) for word in tokens.split()]  # one object for a word, however many n-grams hold it


class Scorer:
    """Scores captions against references; a context manager, because METEOR is a living process.

    ``cache`` is a folder in which answers of METEOR and parses of SPICE are kept, by the digest of their texts. Of
    another ``language`` than English those two, which are made for it, are not run, and words are told apart by
    spaces, punctuation and, in scripts without spaces, characters.
    """

    def __init__(self, cache: Path | None = None, language: str = ENGLISH) -> None:
        self._cache = cache
        self._language = language
        self._tokenizer = Tokenizer() if language == ENGLISH else OtherTokenizer()
        self._meteor = Meteor(cache / "meteor" if cache else None)
        self._tokens: dict[Texts, list[list[str]]] = {}
        self._tables: OrderedDict[Texts, Tables] = OrderedDict()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self._meteor.close()

    @property
    def spice(self) -> str | None:
        """Which SPICE runs here: ``SPICE``, ``SPICE-dp`` or none."""
        return self._spice[0] if self._language == ENGLISH else None

    def not_run(self, metrics: Sequence[str] = METRICS) -> dict[str, str]:
        """Which of ``metrics`` cannot be computed here, with the reason."""
        if self._language != ENGLISH:
            reason = f"is made for English, and the captions are in another language ({self._language})"
            english = [name for name in metrics if RECORD[name].english]
            return {name: f"not run: {RECORD[name].title} {reason}" for name in english}
        return {"S": f"not run: {self._spice[2]}"} if "S" in metrics and self.spice is None else {}

    @cached_property
    def _spice(self) -> tuple[str | None, SpiceScore | None, str]:
        """Name and function of the original where it runs, else of SPICE-dp; else why there is neither."""
        cache = self._cache / "spice" if self._cache else None
        lacking = original.available()
        if lacking is None:
            return original.NAME, partial(original.spice, cache=cache), ""
        if dependency.lack_of_parser() is None:
            return dependency.NAME, dependency.SpiceDp(cache).score, ""
        return None, None, f"{original.NAME} {lacking}, {dependency.NAME} {dependency.lack_of_parser()}"

    def tokenise(self, documents: Iterable[Sequence[str]]) -> None:
        """Tokenise many documents at once: all captions of a system, or all references, in order of images."""
        self._tokenizer.prepare(documents)

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """Words of each caption of a document as the metrics see them: lower case, no punctuation."""
        return [tokens.split() for tokens in self._tokenizer.tokens(texts)]

    def score(
        self,
        captions: Mapping[ImageId, str],
        references: Mapping[ImageId, Sequence[str]],
        metrics: Sequence[str] = METRICS,
    ) -> Scores:
        """Scores of one caption per image against ``references[image]``.

        CIDEr takes its document frequencies from the references of these images. Of ``metrics`` those in
        :meth:`not_run` are left out. Raises ValueError without images and for an image without references.
        """
        return self.score_many([Request(captions, references)], metrics)[0]

    def score_many(self, systems: Sequence[Request], metrics: Sequence[str] = METRICS) -> list[Scores]:
        """Scores of many systems, each as :meth:`score` has them, with everything shared that can be."""
        lacking = self.not_run(metrics)
        wanted = [name for name in metrics if name not in lacking]
        if "M" in wanted and self._cache is None:
            self._meteor.start()  # it loads its tables while we tokenise
        jobs = self._jobs(systems)
        answers: list[Future[MeteorScores] | None] = [None] * len(jobs)
        if "M" in wanted:
            answers = [self._meteor.score(job.images, job.references, job.captions) for job in jobs]
        statistics = [self._lexical(job, wanted) for job in jobs]
        if "S" in wanted:
            self._add_spice(jobs, statistics)
        return [_scores(job, *numbers, wanted) for job, *numbers in zip(jobs, statistics, answers, strict=True)]

    def _jobs(self, systems: Sequence[Request]) -> list[_Job]:
        """Every system with the tokens of its texts, from one call of the tokeniser."""
        texts = [_texts(system) for system in systems]
        new = {key: [text for group in key for text in group] for key in texts if key not in self._tokens}
        self.tokenise([*new.values(), *(list(system.captions.values()) for system in systems)])
        for key, document in new.items():
            tokens = iter(self._tokenizer.tokens(document))
            self._tokens[key] = [[next(tokens) for _ in group] for group in key]
        return [
            _Job(
                tuple(system.captions),
                list(system.captions.values()),
                self._tokenizer.tokens(list(system.captions.values())),
                key,
                self._tokens[key],
            )
            for system, key in zip(systems, texts, strict=True)
        ]

    def _lexical(self, job: _Job, metrics: Sequence[str]) -> Statistics:
        """The numbers of BLEU and CIDEr, and of all metrics that are functions of one caption and its references."""
        statistics: Statistics = {}
        with_bleu, with_cider = any(name in BLEU for name in metrics), "C" in metrics
        if with_bleu or with_cider:
            bleu, cider = self._tables_of(job).overlap(job.captions)
            statistics |= {"bleu": bleu} if with_bleu else {}
            statistics |= {"C": cider} if with_cider else {}
        for name in metrics:
            if score := RECORD[name].by_image:
                values = [score(*pair) for pair in zip(job.captions, job.references, strict=True)]
                statistics[name] = np.array(values, dtype=np.float64)[:, None]
        return statistics

    def _tables_of(self, job: _Job) -> Tables:
        tables = self._tables.pop(job.texts, None) or Tables(job.references)
        self._tables[job.texts] = tables  # the last is the one used last
        if len(self._tables) > _TABLES_KEPT:
            self._tables.popitem(last=False)
        return tables

    def _add_spice(self, jobs: Sequence[_Job], statistics: Sequence[Statistics]) -> None:
        """SPICE of all systems in one call, as the original takes long to start."""
        score = self._spice[1]
        raw = [caption for job in jobs for caption in job.raw]
        values = score(raw, [texts for job in jobs for texts in job.texts])
        ends = np.cumsum([len(job.raw) for job in jobs])[:-1]
        for numbers, part in zip(statistics, np.split(values, ends), strict=True):
            numbers["S"] = part[:, None]


class _Job(NamedTuple):
    """A system with its texts as written and as tokens joined by spaces."""

    images: tuple[ImageId, ...]
    raw: list[str]
    captions: list[str]
    texts: Texts
    references: list[list[str]]


def _texts(system: Request) -> Texts:
    """The references of the images that have captions."""
    if not system.captions:
        raise ValueError("there are no captions to score")
    texts = tuple(tuple(system.references[image]) for image in system.captions)
    lacking = next((image for image, group in zip(system.captions, texts, strict=True) if not group), None)
    if lacking is not None:
        raise ValueError(f"image {lacking} has no reference captions")
    return texts


def _scores(job: _Job, lexical: Statistics, meteor: Future[MeteorScores] | None, metrics: Sequence[str]) -> Scores:
    """Scores of a system from its numbers, in units of 100."""
    statistics, corpus, per_image = dict(lexical), {}, {}
    if "bleu" in lexical:
        rows = lexical["bleu"].astype(int)
        corpus |= zip(BLEU, bleu_values(rows.sum(0).tolist()), strict=True)
        per_image |= zip(BLEU, np.array([bleu_values(row) for row in rows.tolist()]).T, strict=True)
    if meteor is not None:
        answer = meteor.result()
        statistics["meteor"], corpus["M"], per_image["M"] = answer.statistics, answer.corpus, answer.per_image
    for name in MEANS:
        if name in lexical:
            per_image[name] = lexical[name][:, 0]
            corpus[name] = np.mean(per_image[name])
    return Scores(
        job.images,
        {name: 100 * float(corpus[name]) for name in metrics},
        {name: 100 * per_image[name] for name in metrics},
        statistics,
    )


def evaluate(
    results: Sequence[Mapping[str, Any]],
    references: Mapping[str, Any],
    metrics: Sequence[str] = METRICS,
    split: str | None = None,
) -> dict[str, Any]:
    """Score any captioner's output in the COCO formats.

    ``results``: ``[{"image_id", "caption"}]``, one per image, for all or some of the annotated images, by
    id or by the ``file_name``, ``filename`` or ``open_images_id`` that the references have beside it;
    ``references``: ``{"annotations": [{"image_id", "caption"}]}``, or Karpathy's JSON with the name of a ``split``.
    Returns ``n``, ``metrics`` (times 100), ``spice`` (which SPICE it was), ``not_run`` (reason by metric) and
    ``per_image`` (scores by image id). Raises UserError for a repeated or unknown image id, a missing key
    and an unknown metric.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise UserError("metrics", f"'{unknown[0]}' is not a metric", f"choose among {', '.join(METRICS)}")
    targets = references_by_image(references, "references", split)
    captions = matched(results_by_image(results, "results"), targets, "results").captions
    with Scorer() as scorer:
        scores = scorer.score(captions, targets.captions, metrics)
        not_run, spice_name = scorer.not_run(metrics), scorer.spice if "S" in metrics else None
    return {
        "n": len(captions),
        "metrics": scores.corpus,
        "spice": spice_name,
        "not_run": not_run,
        "per_image": {
            image: {name: float(values[i]) for name, values in scores.per_image.items()}
            for i, image in enumerate(scores.image_ids)
        },
    }
