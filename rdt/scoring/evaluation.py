"""Scores of caption files against one set of references: documents, comparisons and the table on the terminal.

Images are scored in scopes: ``all`` of them, and ``all/DOMAIN`` for the images of each domain.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple, NotRequired, TypedDict

import pandas as pd

from rdt.data.identity import ImageId
from rdt.metrics import resampling, statistics
from rdt.metrics.corpus import Request, Scorer, Scores
from rdt.metrics.diversity import distinct_n, vocabulary_usage
from rdt.metrics.names import METRICS, RECORD
from rdt.metrics.resampling import Estimate
from rdt.metrics.statistics import Statistics
from rdt.scoring import caveats
from rdt.scoring.files import ScopeScores, scope_columns, scope_document

ALL = "all"
GROUPS = {
    choice: tuple(name for name in METRICS if RECORD[name].choice == choice)
    for choice in dict.fromkeys(RECORD[name].choice for name in METRICS)
}
DIVERSITY = "diversity"
CHOICES = (*GROUPS, DIVERSITY)

_DIVERSITY_TITLES = {
    **{name: RECORD[name].title for name in ("D@2", "D@3")},
    "words": "words in use",
    "of_reference_words": "% of reference words",
    "distinct_captions": "% distinct captions",
    "mean_words": "words per caption",
    "mean_words_references": "words per reference",
}


class EvaluatedScope(ScopeScores):
    """Scores of a system in one scope, and how varied its captions are, see :func:`caption_diversity`."""

    diversity: NotRequired[dict[str, float]]


class EvaluationDocument(TypedDict):
    """The scores of a caption file as JSON."""

    n: int  # captioned images
    annotated: int  # images that have references
    references_digest: str
    spice: NotRequired[str]
    scopes: dict[str, EvaluatedScope]
    not_run: dict[str, str]  # reasons by metric
    notes: list[str]  # what is to be said of the scores, see ``rdt.scoring.caveats``


@dataclass(frozen=True)
class Evaluation:
    """The score ``document`` of one system, its ``columns`` by image, and the statistics of each scope."""

    document: EvaluationDocument
    columns: pd.DataFrame
    statistics: dict[str, Statistics]


def evaluate_systems(
    systems: Sequence[Mapping[ImageId, str]],
    references: Mapping[ImageId, Sequence[str]],
    domains: Mapping[ImageId, str],
    choices: Sequence[str],
    scorer: Scorer,
) -> list[Evaluation]:
    """Scores of several systems. ``domains``: those of the captioned images that have one."""
    metrics = [name for choice in choices for name in GROUPS.get(choice, ())]
    scopes = [scopes_of(list(captions), domains) for captions in systems]
    jobs = [
        Request({image: captions[image] for image in images}, references)
        for captions, named in zip(systems, scopes, strict=True)
        for images in named.values()
    ]
    scored = iter(scorer.score_many(jobs, metrics) if metrics else [])
    evaluations = []
    for captions, named in zip(systems, scopes, strict=True):
        by_scope = {scope: (images, next(scored, None)) for scope, images in named.items()}
        evaluations.append(_evaluation(captions, references, by_scope, DIVERSITY in choices, metrics, scorer))
    return evaluations


def scopes_of(images: Sequence[ImageId], domains: Mapping[ImageId, str]) -> dict[str, list[ImageId]]:
    """The images of each scope, domains in alphabetical order."""
    scopes = {ALL: list(images)}
    for name in sorted({domains[image] for image in images if image in domains}):
        scopes[f"{ALL}/{name}"] = [image for image in images if domains.get(image) == name]
    return scopes


def _evaluation(
    captions: Mapping[ImageId, str],
    references: Mapping[ImageId, Sequence[str]],
    scopes: Mapping[str, tuple[list[ImageId], Scores | None]],
    with_diversity: bool,
    metrics: Sequence[str],
    scorer: Scorer,
) -> Evaluation:
    parts: dict[str, EvaluatedScope] = {}
    columns = [pd.DataFrame({"caption": list(captions.values())}, index=pd.Index(list(captions), dtype=object))]
    for scope, (images, scores) in scopes.items():
        parts[scope] = scope_document(scores) if scores else {"n": len(images), "metrics": {}, "intervals": {}}
        if scores:
            columns.append(scope_columns(scope, scores))
        if with_diversity:
            texts = [captions[image] for image in images], [references[image] for image in images]
            parts[scope][DIVERSITY] = caption_diversity(*texts, scorer)
    not_run = scorer.not_run(metrics)
    computed = [name for name in metrics if name not in not_run]
    document: EvaluationDocument = {
        "n": len(captions),
        "annotated": len(references),
        "references_digest": references_digest(list(captions), references),
        **({"spice": scorer.spice} if "S" in metrics and "S" not in not_run else {}),
        "scopes": parts,
        "not_run": not_run,
        "notes": _notes(references, {scope: part["n"] for scope, part in parts.items()}, computed),
    }
    found = {scope: scores.statistics for scope, (_, scores) in scopes.items() if scores}
    return Evaluation(document, pd.concat(columns, axis=1), found)


def _notes(references: Mapping[ImageId, Sequence[str]], scopes: Mapping[str, int], metrics: Sequence[str]) -> list[str]:
    texts = [text for group in references.values() for text in group]
    return [*caveats.few_images(scopes, metrics), *caveats.not_english(texts, metrics)]


def references_digest(images: Iterable[ImageId], references: Mapping[ImageId, Sequence[str]]) -> str:
    """SHA-256 of the references of some images, whatever the order of the images."""
    texts = {str(image): list(references[image]) for image in images}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def caption_diversity(captions: Sequence[str], references: Sequence[Sequence[str]], scorer: Scorer) -> dict[str, float]:
    """How varied one caption per image is; every number depends on how many images there are."""
    words = scorer.words(captions)
    wanted = scorer.words([text for texts in references for text in texts])
    usage = vocabulary_usage(words, {word for caption in wanted for word in caption} or {""})
    alike = Counter(map(tuple, words))
    return {
        "D@2": distinct_n(words, 2),
        "D@3": distinct_n(words, 3),
        "words": len({word for caption in words for word in caption}),
        "of_reference_words": usage.percent,
        "distinct_captions": 100 * len(alike) / len(words),
        "mean_words": fmean(map(len, words)),
        "mean_words_references": fmean(map(len, wanted)),
    }


# ---- comparison


def compare_systems(
    first: Mapping[str, Statistics], second: Mapping[str, Statistics]
) -> dict[str, dict[str, Estimate]]:
    """Paired differences, first minus second, by scope and metric, of the scopes and metrics that both have."""
    return {
        scope: paired_estimates(numbers, second[scope])
        for scope, numbers in first.items()
        if scope in second and numbers.keys() & second[scope].keys()
    }


def paired_estimates(first: Statistics, second: Statistics) -> dict[str, Estimate]:
    """Paired differences, first minus second, by metric; of few images without intervals."""
    return {name: _of_enough(found) for name, found in resampling.paired_difference(first, second).items()}


def _of_enough(difference: Estimate) -> Estimate:
    return difference if difference.images >= caveats.FEWEST else replace(difference, low=None, high=None)


class Earlier(NamedTuple):
    """What an earlier evaluation wrote: columns by image, indexed by image ids as texts, and which SPICE it had."""

    columns: pd.DataFrame
    spice: str | None


def earlier_statistics(earlier: Earlier, evaluation: Evaluation) -> dict[str, Statistics]:
    """The numbers of those scopes of ``evaluation`` that an earlier one has for the same images and the same SPICE."""
    ours = evaluation.columns.set_axis(evaluation.columns.index.map(str), axis=0)
    theirs = earlier.columns.reindex(ours.index)
    found = {}
    for scope, numbers in evaluation.statistics.items():
        common = [name for name in statistics.to_columns(numbers, scope) if name in theirs]
        here, there = (frame[common].notna().all(axis=1) for frame in (ours, theirs))
        if common and here.equals(there):
            found[scope] = statistics.from_frame(theirs, scope)
            if earlier.spice != evaluation.document.get("spice"):
                found[scope].pop("S", None)
    return found


def comparison_document(differences: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """The differences as JSON."""
    return {
        scope: {name: {"difference": e.value, "interval": [e.low, e.high]} for name, e in by_metric.items()}
        for scope, by_metric in differences.items()
    }


# ---- text


def score_table(document: EvaluationDocument) -> str:
    """A line for each metric, a column for each scope; behind a value its 95 % interval."""
    titles, parts = metric_titles(document), document["scopes"]
    return side_by_side([(scope.removeprefix(f"{ALL}/"), score_texts(part, titles)) for scope, part in parts.items()])


def score_texts(part: EvaluatedScope, titles: Mapping[str, str]) -> dict[str, str]:
    """The scores of a system in one scope by their titles; behind a metric's value its 95 % interval."""
    texts = {"images": str(part["n"])}
    for name, title in titles.items():
        texts[title] = interval_text(part["metrics"][name], *part["intervals"][name])
    return texts | {_DIVERSITY_TITLES[name]: _number(value) for name, value in part.get(DIVERSITY, {}).items()}


def comparison_table(differences: Mapping[str, Mapping[str, Estimate]], document: EvaluationDocument) -> str:
    """A line for each metric, a column for each scope: the difference and its 95 % interval."""
    titles = metric_titles(document)
    shared = [name for name in titles if all(name in by_metric for by_metric in differences.values())]
    return side_by_side(
        [
            (scope.removeprefix(f"{ALL}/"), {titles[name]: estimate_text(by_metric[name]) for name in shared})
            for scope, by_metric in differences.items()
        ]
    )


def metric_titles(document: EvaluationDocument) -> dict[str, str]:
    """What to call the metrics that a document has."""
    titles = {name: RECORD[name].title for name in document["scopes"][ALL]["metrics"]}
    return titles | ({"S": document["spice"]} if "S" in titles else {})


def interval_text(value: float, low: float | None, high: float | None, sign: str = "") -> str:
    """``57.9 [56.9, 58.9]``; the value alone where there is no interval."""
    value, low, high = (x if x is None else round(x, 1) + 0.0 for x in (value, low, high))  # + 0.0: no -0.0
    text = f"{value:{sign}.1f}"
    return text if low is None or high is None else f"{text} [{low:{sign}.1f}, {high:{sign}.1f}]"


def estimate_text(difference: Estimate) -> str:
    """``+1.2 [+0.3, +2.1]``."""
    return interval_text(difference.value, difference.low, difference.high, "+")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def side_by_side(columns: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """A table for the terminal of columns, each with its heading and its text in each line by the line's title."""
    titles = columns[0][1] if columns else {}
    lines = [["", *(heading for heading, _ in columns)]]
    lines += [[title, *(texts[title] for _, texts in columns)] for title in titles]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
