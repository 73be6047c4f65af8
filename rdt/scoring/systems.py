"""The ``score`` step: all caption files of one split -> one JSON each, and a Parquet of per-image scores.

All systems of a split are scored together: one tokenisation, one METEOR process, tables made once for each set
of references, hence comparable numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from rdt.data.coco import results_by_image
from rdt.data.identity import ImageId
from rdt.data.vocabulary import Vocabulary
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.experiment.settings import Role
from rdt.files import read_json
from rdt.metrics.corpus import Request, Scorer, Scores
from rdt.metrics.diversity import distinct_scopes, sayable, vocabulary_usage
from rdt.metrics.statistics import UNIT
from rdt.scoring.files import ScoreDocument, scope_columns, scope_document, write_scores
from rdt.scoring.references import Targets, in_order
from rdt.scoring.twins import Twins


@dataclass(frozen=True)
class System:
    """A network's captions of one split: where they are, and what the tables ask about them.

    ``scopes``: sets of references and images such as ``c5``, ``c40``, ``all/near``; ``draws`` files more;
    ``trained_on``: the role whose vocabulary it has.
    """

    run: str
    variant: str
    seed: int
    trained_on: Role
    scopes: tuple[str, ...]
    draws: int


def systems(plan: Plan, role: str, split: str) -> tuple[System, ...]:
    """What the plan's tables ask of one role and split; systems with captions of one step among them."""
    return tuple(
        System(
            run,
            variant,
            plan.runs[run].seed,
            plan.runs[run].role,
            tuple(sorted({cell.scope for cell in cells} or {"c5"})),
            max((cell.draws for cell in cells), default=0),
        )
        for (run, variant), cells in plan.scored(role, split).items()
    )


def score_plan(plan: Plan, paths: Paths, targets: Targets, scorer: Scorer) -> dict[tuple[str, str], ScoreDocument]:
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
) -> dict[tuple[str, str], ScoreDocument]:
    """Write ``paths.scores`` JSON and Parquet of every system; returns the documents by (run, variant).

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
        told_apart, summary = twins.tell_apart(captions)
        document = _document(system, targets, captions, found, drawn, vocabularies[system.trained_on], scorer)
        document |= {"twins": summary, "mean_words_references": wanted}
        columns = [
            pd.DataFrame({"caption": list(captions.values())}, index=pd.Index(captions, dtype=object)),
            told_apart,
            pd.Series(targets.units(captions), index=pd.Index(captions, dtype=object), name=UNIT),
        ]
        columns += [scope_columns(scope, scores) for scope, scores in found.items()]
        path = paths.scores(system.run, system.variant, targets.role, targets.split)
        write_scores(path, document, pd.concat(columns, axis=1))
        documents[system.run, system.variant] = document
    return documents


def _score_scopes(
    targets: Targets, captions: Mapping[System, Mapping[ImageId, str]], scorer: Scorer
) -> dict[System, dict[str, Scores]]:
    """Scores of every system in each of its scopes that has references."""
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
    captions: Mapping[ImageId, str],
    scored: Mapping[str, Scores],
    drawn: Sequence[Mapping[ImageId, str]],
    vocabulary: Vocabulary,
    scorer: Scorer,
) -> ScoreDocument:
    """The score document of one system, but for twins and the words of the references."""
    words = scorer.words(list(captions.values()))
    lacking = {scope: targets.lack(scope) for scope in system.scopes if scope not in scored}
    return {
        "run": system.run,
        "stage": system.variant,
        "seed": system.seed,
        "role": targets.role,
        "split": targets.split,
        "n": len(captions),
        **({"spice": scorer.spice} if scorer.spice else {}),
        "scopes": {scope: scope_document(scores, targets.units(scores.image_ids)) for scope, scores in scored.items()},
        "not_run": scorer.not_run() | lacking,
        "mean_words": fmean(map(len, words)),
        "distinct_captions": len(set(map(tuple, words))),
        "vocabulary_usage": vocabulary_usage(words, sayable(vocabulary))._asdict(),
        "diversity": drawn_diversity(drawn, vocabulary, scorer) if drawn else None,
    }


def drawn_diversity(
    drawn: Sequence[Mapping[ImageId, str]], vocabulary: Vocabulary, scorer: Scorer
) -> dict[str, dict[str, float]]:
    """D@2, D@3, Voc-u (percent) and the number of words used, over three scopes.

    ``mean`` of the draws, each one caption per image (the tables' number); all draws ``pooled``;
    ``per_image``, over the draws of each image, averaged.
    """
    draws = [scorer.words(list(draw.values())) for draw in drawn]
    pooled = [words for draw in draws for words in draw]
    usable = sayable(vocabulary)
    usages = {
        "mean": [vocabulary_usage(draw, usable) for draw in draws],
        "pooled": [vocabulary_usage(pooled, usable)],
        "per_image": [vocabulary_usage(image, usable) for image in zip(*draws, strict=True)],
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


def _read_captions(paths: Paths, targets: Targets, system: System) -> list[dict[ImageId, str]]:
    """The captions of the split's images in the data set's order: the ordinary file, then the draws."""
    files = []
    for draw in (None, *range(system.draws)):
        path = paths.captions(system.run, system.variant, targets.role, targets.split, draw)
        files.append(in_order(results_by_image(read_json(path), path), targets.images, path))
    return files
