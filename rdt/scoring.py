"""The ``score`` stage: all caption files of one split -> one JSON each, and a Parquet of per-image scores.

All systems of a split are scored together: one tokenisation, one METEOR process, and for CIDEr the same
references, hence comparable numbers.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from rdt.config import ROLES, Role
from rdt.data.dataset import Image, load_role
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.io import atomic_write_bytes, atomic_write_json, read_json
from rdt.metrics.ciderd import CiderD
from rdt.metrics.corpus import METRICS, NOT_RUN, Scorer, Scores, results_by_image
from rdt.metrics.diversity import distinct_n, distinct_scopes, vocabulary_usage
from rdt.paths import Paths
from rdt.plan import Plan
from rdt.retrieval import read_pool_texts, read_retrieved
from rdt.stages import Stage, open_stage, stage_arguments

REFERENCES = {"c5": 5, "c40": 40}
DOMAINS = {"in": "in-domain", "near": "near-domain", "out": "out-domain"}
# These corpus values are means over images, so their standard error is that of a mean.
_MEANS = ("R", "C")
_Z = 1.959964  # of a normal 95 % interval


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

    def words_per_reference(self, scorer: Scorer) -> float:
        return mean_words(scorer, [c.raw for image in self.images for c in image.captions[: REFERENCES["c5"]]])


def systems(plan: Plan, role: str, split: str) -> tuple[System, ...]:
    """What the plan's tables ask of one role and split; systems with captions of one step among them."""
    found: dict[tuple[str, str], tuple[set[str], int]] = {}
    for cell in plan.cells:
        if (cell.role, cell.split) == (role, split):
            scope = f"{cell.references}/{cell.domain}" if cell.domain else cell.references
            for run in cell.runs:
                scopes, draws = found.get((run, cell.stage), (set(), 0))
                found[run, cell.stage] = (scopes | {scope}, max(draws, cell.draws))
    for job in plan.captions:
        if (job.role, job.split) == (role, split) and job.stage != job.trained_stage:
            found[job.run, job.stage] = ({"c5"}, 0)
    return tuple(
        System(run, stage, plan.runs[run].seed, plan.runs[run].role, tuple(sorted(scopes)), draws)
        for (run, stage), (scopes, draws) in found.items()
    )


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
    scorer.tokenise(caption.raw for image in targets.images for caption in image.captions)
    scorer.tokenise(caption for files in read.values() for file in files for caption in file.values())
    documents = {}
    for system, (captions, *drawn) in read.items():
        document, frame = score_system(system, targets, captions, drawn, vocabularies[system.trained_on], scorer)
        path = paths.scores(system.run, system.stage, targets.role, targets.split)
        parquet = io.BytesIO()
        frame.to_parquet(parquet, index=False)
        atomic_write_bytes(path.with_suffix(".parquet"), parquet.getvalue())
        atomic_write_json(path, document)
        documents[system.run, system.stage] = document
    return documents


def score_system(
    system: System,
    targets: Targets,
    captions: Mapping[int, str],
    drawn: Sequence[Mapping[int, str]],
    vocabulary: Vocabulary,
    scorer: Scorer,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The score document of one system, and its scores by image with a column per ``scope/metric``."""
    scopes: dict[str, dict[str, Any]] = {}
    not_run = dict(NOT_RUN)
    columns = [pd.DataFrame({"image_id": list(captions), "caption": list(captions.values())}).set_index("image_id")]
    for scope in system.scopes:
        references = targets.references(scope)
        if references is None:
            not_run[scope] = targets.lack(scope)
            continue
        scores = scorer.score({image: captions[image] for image in references}, references)
        scopes[scope] = _scope_document(scores)
        columns.append(
            pd.DataFrame({f"{scope}/{name}": scores.per_image[name] for name in METRICS}, index=scores.image_ids)
        )
    words = [scorer.words(caption) for caption in captions.values()]
    document = {
        "run": system.run,
        "stage": system.stage,
        "seed": system.seed,
        "role": targets.role,
        "split": targets.split,
        "n": len(captions),
        "scopes": scopes,
        "not_run": not_run,
        "mean_words": fmean(map(len, words)),
        "mean_words_references": targets.words_per_reference(scorer),
        "distinct_captions": len(set(map(tuple, words))),
        "vocabulary_usage": vocabulary_usage(words, vocabulary.words)._asdict(),
        "diversity": diversity(drawn, vocabulary, scorer) if drawn else None,
        "twins": twin_accuracy(targets.images, captions, scorer),
    }
    frame = pd.concat(columns, axis=1).rename_axis("image_id").reset_index()
    return document, frame


def diversity(
    drawn: Sequence[Mapping[int, str]], vocabulary: Vocabulary, scorer: Scorer
) -> dict[str, dict[str, float]]:
    """D@2, D@3, Voc-u (percent) and the number of words used, over three scopes.

    ``mean`` of the draws, each one caption per image (the tables' number); all draws ``pooled``;
    ``per_image``, over the draws of each image, averaged.
    """
    draws = [[scorer.words(caption) for caption in draw.values()] for draw in drawn]
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


def twin_accuracy(images: Sequence[Image], captions: Mapping[int, str], scorer: Scorer) -> dict[str, float] | None:
    """How often near-identical images are told apart; None where no image has a twin.

    ``accuracy``: percent of pairs whose captions differ and each have a higher CIDEr-D with their own
    image's references than with the twin's. ``differ``: percent of pairs whose captions differ.
    """
    position = {image.id: i for i, image in enumerate(images)}
    pairs = [(image.id, image.twin) for image in images if image.twin in position and image.id < image.twin]
    if not pairs:
        return None
    metric = CiderD([[scorer.words(caption.raw) for caption in image.captions] for image in images])
    first = [a for pair in pairs for a in pair]
    words = [scorer.words(captions[image]) for image in first]
    own = metric.score(words, [position[image] for image in first])
    other = metric.score(words, [position[twin] for a, b in pairs for twin in (b, a)])
    fits = (own > other).reshape(-1, 2).all(axis=1)
    differ = np.array([words[2 * i] != words[2 * i + 1] for i in range(len(pairs))])
    return {
        "pairs": len(pairs),
        "accuracy": 100 * float(np.mean(fits & differ)),
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
    turns = [
        scorer.score(
            {image: texts[turn] for image, texts in references.items()},
            {image: texts[:turn] + texts[turn + 1 :] for image, texts in references.items()},
        ).corpus
        for turn in range(REFERENCES["c5"])
    ]
    commonest = most_frequent_caption(train)
    return {
        "role": targets.role,
        "split": targets.split,
        "n": len(references),
        "mean_words_references": targets.words_per_reference(scorer),
        "human": {name: fmean(turn[name] for turn in turns) for name in METRICS},
        "human_distinct": {
            f"D@{n}": distinct_n([scorer.words(texts[0]) for texts in references.values()], n) for n in (2, 3)
        },
        "retrieved": scorer.score({image: retrieved[image] for image in references}, references).corpus,
        "most_frequent": {
            "caption": commonest,
            **scorer.score(dict.fromkeys(references, commonest), references).corpus,
        },
    }


def most_frequent_caption(train: Iterable[Image]) -> str:
    """The commonest caption of the train split; the one that appears first among equals."""
    counts = Counter(" ".join(caption.tokens) for image in train for caption in image.captions)
    return counts.most_common(1)[0][0]


def mean_words(scorer: Scorer, texts: Iterable[str]) -> float:
    """Mean number of words of texts, as the metrics count them."""
    return fmean(len(scorer.words(text)) for text in texts)


def _scope_document(scores: Scores) -> dict[str, Any]:
    """Corpus values of one scope, and normal 95 % intervals over images of those that are means."""
    n = len(scores.image_ids)
    half = {name: _Z * float(np.std(scores.per_image[name], ddof=1)) / n**0.5 for name in _MEANS if n > 1}
    intervals = {name: [scores.corpus[name] - width, scores.corpus[name] + width] for name, width in half.items()}
    return {"n": n, "metrics": scores.corpus, "intervals": intervals}


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
    targets = Targets(args.role, args.split, _images(stage, args.role, args.split))
    wanted = systems(stage.plan, args.role, args.split)
    vocabularies = {role: Vocabulary.load(stage.paths.vocabulary(role)) for role in {s.trained_on for s in wanted}}
    train = _images(stage, "primary" if args.role == "novel" else args.role, "train")
    with stage.job("score", __name__, role=args.role, stage=args.split) as track, Scorer() as scorer:
        documents = score_systems(stage.paths, targets, wanted, vocabularies, scorer)
        document = baselines(targets, train, _first_retrieved(stage, targets), scorer)
        atomic_write_json(stage.paths.baselines(args.role, args.split), document)
        track.metrics(
            {
                f"{run}/{name}/{scope}/{metric}": value
                for (run, name), scores in documents.items()
                for scope, part in scores["scopes"].items()
                for metric, value in part["metrics"].items()
            }
        )


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
