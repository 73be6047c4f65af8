"""The ``score`` stage: all caption files of one split -> one JSON each, and a Parquet of per-image scores.

All systems of a split are scored together: one tokenisation, one METEOR process, tables made once for each set
of references, hence comparable numbers.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from rdt import chain
from rdt.config import ROLES, Role
from rdt.data.dataset import Image, load_role
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.io import atomic_write_json, read_json
from rdt.metrics.ciderd import CiderD
from rdt.metrics.coco import results_by_image
from rdt.metrics.corpus import Request, Scorer, Scores
from rdt.metrics.diversity import distinct_n, distinct_scopes, vocabulary_usage
from rdt.metrics.statistics import TWINS_COLUMN
from rdt.paths import Paths
from rdt.plan import Plan
from rdt.retrieval import read_pool_texts, read_retrieved
from rdt.score_files import scope_columns, scope_document, write_scores
from rdt.showcase import show_scores
from rdt.stages import Stage, open_stage, stage_arguments

REFERENCES = {"c5": 5, "c40": 40}
DOMAINS = {"in": "in-domain", "near": "near-domain", "out": "out-domain"}


@dataclass(frozen=True)
class System:
    """A network's captions of one split: where they are, and what the tables ask about them.

    ``scopes``: sets of references and images such as ``c5``, ``c40``, ``all/near``; ``draws`` files more;
    ``trained_on``: the role whose vocabulary it has.
    """

    run: str
    stage: str
    seed: int
    trained_on: Role
    scopes: tuple[str, ...]
    draws: int


@dataclass(frozen=True)
class Targets:
    """The images of one split and their reference captions, as written."""

    role: Role
    split: str
    images: tuple[Image, ...]

    def references(self, scope: str) -> dict[int, list[str]] | None:
        """References by image id of a scope ``set`` or ``set/domain``, or None where an image has too few."""
        name, _, domain = scope.partition("/")
        wanted = REFERENCES.get(name)
        images = [image for image in self.images if domain in ("", "entire") or image.domain == DOMAINS[domain]]
        if not images or (wanted and min(len(image.captions) for image in images) < wanted):
            return None
        return {image.id: [caption.raw for caption in image.captions[:wanted]] for image in images}

    def lack(self, scope: str) -> str:
        """Why :meth:`references` has none."""
        name, _, domain = scope.partition("/")
        least = min(len(image.captions) for image in self.images)
        if least < REFERENCES.get(name, 1):
            return f"not run: {name} needs {REFERENCES[name]} references per image, {self.role} has {least}"
        return f"not run: {self.role} has no images of domain {DOMAINS.get(domain, domain)}"

    def texts(self, most: int | None = None) -> list[str]:
        """All references, or the first ones of each image."""
        return [caption.raw for image in self.images for caption in image.captions[:most]]

    def words_per_reference(self, scorer: Scorer) -> float:
        return fmean(map(len, scorer.words(self.texts(REFERENCES["c5"]))))


def systems(plan: Plan, role: str, split: str) -> tuple[System, ...]:
    """What the plan's tables ask of one role and split; systems with captions of one step among them."""
    return tuple(
        System(
            run,
            stage,
            plan.runs[run].seed,
            plan.runs[run].role,
            tuple(sorted({cell.scope for cell in cells} or {"c5"})),
            max((cell.draws for cell in cells), default=0),
        )
        for (run, stage), cells in plan.scored(role, split).items()
    )


def score_plan(plan: Plan, paths: Paths, targets: Targets, scorer: Scorer) -> dict[tuple[str, str], dict[str, Any]]:
    """Score every network that a plan's tables ask about on one split; see :func:`score_systems`."""
    wanted = systems(plan, targets.role, targets.split)
    vocabularies = {role: Vocabulary.load(paths.vocabulary(role)) for role in {s.trained_on for s in wanted}}
    return score_systems(paths, targets, wanted, vocabularies, scorer)


def score_systems(
    paths: Paths,
    targets: Targets,
    systems: Iterable[System],
    vocabularies: Mapping[str, Vocabulary],
    scorer: Scorer,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Write ``paths.scores`` JSON and Parquet of every system; returns the documents by (run, stage).

    ``vocabularies`` by the role that a system was trained on. Raises UserError for a caption file that
    does not have exactly one caption for each image of the split.
    """
    read = {system: _read_captions(paths, targets, system) for system in systems}
    scorer.tokenise([targets.texts(), *(list(file.values()) for files in read.values() for file in files)])
    scored = _score_scopes(targets, {system: files[0] for system, files in read.items()}, scorer)
    twins, wanted = Twins(targets.images, scorer), targets.words_per_reference(scorer)
    documents = {}
    for system, (captions, *drawn) in read.items():
        found = scored[system]
        document = _document(system, targets, captions, found, drawn, vocabularies[system.trained_on], scorer)
        told_apart, document["twins"] = twins.tell_apart(captions)
        document["mean_words_references"] = wanted
        columns = [
            pd.DataFrame({"caption": list(captions.values())}, index=pd.Index(captions, dtype=object)),
            told_apart,
        ]
        columns += [scope_columns(scope, scores) for scope, scores in found.items()]
        path = paths.scores(system.run, system.stage, targets.role, targets.split)
        write_scores(path, document, pd.concat(columns, axis=1))
        documents[system.run, system.stage] = document
    return documents


def _score_scopes(
    targets: Targets, captions: Mapping[System, Mapping[int, str]], scorer: Scorer
) -> dict[System, dict[str, Scores]]:
    """Scores of every system in those of its scopes that have references."""
    references = {scope: targets.references(scope) for system in captions for scope in system.scopes}
    asked = [(system, scope) for system in captions for scope in system.scopes if references[scope] is not None]
    requests = [
        Request({image: captions[system][image] for image in references[scope]}, references[scope])
        for system, scope in asked
    ]
    found: dict[System, dict[str, Scores]] = {system: {} for system in captions}
    for (system, scope), scores in zip(asked, scorer.score_many(requests), strict=True):
        found[system][scope] = scores
    return found


def _document(
    system: System,
    targets: Targets,
    captions: Mapping[int, str],
    scored: Mapping[str, Scores],
    drawn: Sequence[Mapping[int, str]],
    vocabulary: Vocabulary,
    scorer: Scorer,
) -> dict[str, Any]:
    """The score document of one system."""
    words = scorer.words(list(captions.values()))
    lacking = {scope: targets.lack(scope) for scope in system.scopes if scope not in scored}
    return {
        "run": system.run,
        "stage": system.stage,
        "seed": system.seed,
        "role": targets.role,
        "split": targets.split,
        "n": len(captions),
        **({"spice": scorer.spice} if scorer.spice else {}),
        "scopes": {scope: scope_document(scores) for scope, scores in scored.items()},
        "not_run": scorer.not_run() | lacking,
        "mean_words": fmean(map(len, words)),
        "distinct_captions": len(set(map(tuple, words))),
        "vocabulary_usage": vocabulary_usage(words, vocabulary.words)._asdict(),
        "diversity": diversity(drawn, vocabulary, scorer) if drawn else None,
    }


def diversity(
    drawn: Sequence[Mapping[int, str]], vocabulary: Vocabulary, scorer: Scorer
) -> dict[str, dict[str, float]]:
    """D@2, D@3, Voc-u (percent) and the number of words used, over three scopes.

    ``mean`` of the draws, each one caption per image (the tables' number); all draws ``pooled``;
    ``per_image``, over the draws of each image, averaged.
    """
    draws = [scorer.words(list(draw.values())) for draw in drawn]
    pooled = [words for draw in draws for words in draw]
    usages = {
        "mean": [vocabulary_usage(draw, vocabulary.words) for draw in draws],
        "pooled": [vocabulary_usage(pooled, vocabulary.words)],
        "per_image": [vocabulary_usage(image, vocabulary.words) for image in zip(*draws, strict=True)],
    }
    distinct = {f"D@{n}": distinct_scopes(draws, n) for n in (2, 3)}
    return {
        scope: {
            **{name: values[position] for name, values in distinct.items()},
            "Voc-u": fmean(usage.percent for usage in usages[scope]),
            "words": fmean(usage.count for usage in usages[scope]),
        }
        for position, scope in enumerate(usages)
    }


class Twins:
    """Pairs of images that differ in one attribute, and whether captions tell them apart."""

    def __init__(self, images: Sequence[Image], scorer: Scorer) -> None:
        self._scorer = scorer
        self._position = {image.id: i for i, image in enumerate(images)}
        self._pairs = [(image.id, image.twin) for image in images if image.twin in self._position]
        self._pairs = [(a, b) for a, b in self._pairs if a < b]
        tokens = iter(scorer.words([caption.raw for image in images for caption in image.captions]))
        self._metric = CiderD([[next(tokens) for _ in image.captions] for image in images]) if self._pairs else None

    def tell_apart(self, captions: Mapping[int, str]) -> tuple[pd.Series, dict[str, float] | None]:
        """100 or 0 on the first image of each pair, by image; and a summary, None where no image has a twin.

        ``accuracy``: percent of pairs whose captions differ and each have a higher CIDEr-D with their own
        image's references than with the twin's. ``differ``: percent of pairs whose captions differ.
        """
        column = pd.Series(np.nan, index=pd.Index(self._position, dtype=object), name=TWINS_COLUMN)
        if self._metric is None:
            return column, None
        words = dict(zip(captions, self._scorer.words(list(captions.values())), strict=True))
        shown = [words[image] for pair in self._pairs for image in pair]
        own = self._metric.score(shown, [self._position[image] for a, b in self._pairs for image in (a, b)])
        other = self._metric.score(shown, [self._position[image] for a, b in self._pairs for image in (b, a)])
        differ = np.array([words[a] != words[b] for a, b in self._pairs])
        apart = (own > other).reshape(-1, 2).all(axis=1) & differ
        column[[a for a, _ in self._pairs]] = 100.0 * apart
        return column, {
            "pairs": len(self._pairs),
            "accuracy": 100 * float(np.mean(apart)),
            "differ": 100 * float(np.mean(differ)),
        }


def baselines(
    targets: Targets,
    train: Iterable[Image],
    retrieved: Mapping[int, str],
    scorer: Scorer,
) -> dict[str, Any]:
    """What a caption is worth without a captioner, against the first five references.

    ``human``: each of the five in turn against the other four, mean of five; ``retrieved``: the first
    retrieved sentence; ``most_frequent``: the train split's commonest caption, for every image.
    """
    references = targets.references("c5")
    if references is None:
        return {"role": targets.role, "split": targets.split, "not_run": targets.lack("c5")}
    commonest = most_frequent_caption(train)
    humans = [
        Request(
            {image: texts[turn] for image, texts in references.items()},
            {image: texts[:turn] + texts[turn + 1 :] for image, texts in references.items()},
        )
        for turn in range(REFERENCES["c5"])
    ]
    others = [{image: retrieved[image] for image in references}, dict.fromkeys(references, commonest)]
    *turns, nearest, constant = scorer.score_many([*humans, *(Request(captions, references) for captions in others)])
    first = scorer.words([texts[0] for texts in references.values()])
    return {
        "role": targets.role,
        "split": targets.split,
        "n": len(references),
        **({"spice": scorer.spice} if scorer.spice else {}),
        "mean_words_references": targets.words_per_reference(scorer),
        "human": {name: fmean(turn.corpus[name] for turn in turns) for name in nearest.corpus},
        "human_distinct": {f"D@{n}": distinct_n(first, n) for n in (2, 3)},
        "retrieved": nearest.corpus,
        "most_frequent": {"caption": commonest, **constant.corpus},
    }


def most_frequent_caption(train: Iterable[Image]) -> str:
    """The commonest caption of the train split; the one that appears first among equals."""
    counts = Counter(" ".join(caption.tokens) for image in train for caption in image.captions)
    return counts.most_common(1)[0][0]


def _read_captions(paths: Paths, targets: Targets, system: System) -> list[dict[int, str]]:
    """The captions of the split's images in the data set's order: the ordinary file, then the draws."""
    files = []
    for draw in (None, *range(system.draws)):
        path = paths.captions(system.run, system.stage, targets.role, targets.split, draw)
        files.append(in_order(results_by_image(read_json(path), path), targets.images, path))
    return files


def in_order(captions: Mapping[int, str], images: Sequence[Image], where: Path) -> dict[int, str]:
    """``captions`` of exactly these images, in their order; UserError naming an image that does not fit."""
    ids = [image.id for image in images]
    strangers = set(captions).symmetric_difference(ids)
    if strangers:
        odd = min(strangers, key=str)
        problem = f"image {odd} is not in the split" if odd in captions else f"lacks image {odd}"
        raise UserError(where, problem, "caption this split again")
    return {image: captions[image] for image in ids}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt score``."""
    stage_arguments(parser)
    parser.add_argument("--role", required=True, choices=ROLES, help="data set whose images were captioned")
    parser.add_argument("--split", default="test", help="split of it (default: test)")


def run(args: argparse.Namespace) -> None:
    """Score every caption file of one role and split that the tables ask about, and its baselines."""
    stage = open_stage(args)
    targets = targets_of(stage, args.role, args.split)
    train = _images(stage, "primary" if args.role == "novel" else args.role, "train")
    step = chain.score(stage.plan, stage.paths, args.role, args.split)
    with stage.make(step, role=args.role, stage=args.split), Scorer(stage.paths.cache) as scorer:
        documents = score_plan(stage.plan, stage.paths, targets, scorer)
        document = baselines(targets, train, _first_retrieved(stage, targets), scorer)
        atomic_write_json(stage.paths.baselines(args.role, args.split), document)
        show_scores(stage, args.role, args.split, documents)


def targets_of(stage: Stage, role: Role, split: str) -> Targets:
    """The images of a split of an experiment, with their references."""
    return Targets(role, split, _images(stage, role, split))


def _images(stage: Stage, role: Role, split: str) -> tuple[Image, ...]:
    experiment = stage.experiment
    dataset = load_role(role, experiment.data[role], stage.paths.scenes(role), Path(experiment.data_root))
    return dataset.split(split)


def _first_retrieved(stage: Stage, targets: Targets) -> dict[int, str]:
    """The nearest sentence of the pool by image id."""
    folder = stage.paths.index(targets.role)
    texts = read_pool_texts(folder)
    image_ids, rows = read_retrieved(folder)
    return {int(image): texts[row[0]] for image, row in zip(image_ids, rows, strict=True)}
