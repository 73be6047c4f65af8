"""Numbers computed again: scores from the captions, the cells of the tables from the scores."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from rdt.data.coco import results_by_image
from rdt.data.published import read_published
from rdt.data.vocabulary import Vocabulary
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Cell, Plan
from rdt.experiment.runs import NetworkId
from rdt.files import read_json
from rdt.metrics.corpus import Request, Scorer
from rdt.metrics.names import DRAWN_METRICS, METRICS, TWINS
from rdt.provenance.links import AGAIN, BrokenLinkError
from rdt.scoring.files import ScoreDocument, read_columns
from rdt.scoring.measurements import look_up
from rdt.scoring.references import Targets, in_order, targets_of
from rdt.scoring.systems import drawn_diversity
from rdt.scoring.twins import Twins
from rdt.workspace import Workspace

TOLERANCE = 1e-6  # of a score: another machine may round differently
PRINTED = 0.5e-4 + TOLERANCE  # the tables' CSV has four decimals


@dataclass(frozen=True)
class CaptionSet:
    """Captions of one trained network, and the split that they are of."""

    network: NetworkId
    role: str
    split: str


def caption_sets(cells: Iterable[Cell]) -> dict[CaptionSet, list[Cell]]:
    """The networks behind some cells, each with its cells."""
    found: dict[CaptionSet, list[Cell]] = {}
    for cell in cells:
        for run in cell.runs:
            found.setdefault(CaptionSet(NetworkId(run, cell.stage), cell.role, cell.split), []).append(cell)
    return found


def check_table(plan: Plan, paths: Paths, table: str, cells: Sequence[Cell]) -> None:
    """Check that some cells of a table say what the scores and the paper's transcription say.

    Raises BrokenLinkError that names the table's CSV and the cell.
    """
    path = paths.tables / f"table_{table}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        lines = {(line["row"], line["column"]): line for line in csv.DictReader(file)}
    published = read_published(table)
    for cell in cells:
        place = (cell.row, cell.column)
        line = lines.get(place, {"paper": "", "ours": "", "run": ""})
        expected = {"paper": published.get(place, ""), "run": " ".join(f"{run}/{cell.stage}" for run in cell.runs)}
        values = [look_up(cell, read_json(paths.scores(run, cell.stage, cell.role, cell.split))) for run in cell.runs]
        reason = next((value for value in values if isinstance(value, str)), None)
        if reason is not None or not values:
            expected |= {"run": "", "ours": ""}
        for name, value in expected.items():
            if line[name] != value:
                _differs(path, cell, f"{name} is {line[name]!r}, but {value!r} is known")
        if values and reason is None and not _same(line["ours"], fmean(values)):
            _differs(path, cell, f"ours is {line['ours']!r}, but the mean of its scores is {fmean(values):.4f}")


def _differs(path: Path, cell: Cell, problem: str) -> None:
    raise BrokenLinkError(path, f"row {cell.row}, column {cell.column}: {problem}", AGAIN, path.parent)


def _same(printed: str, value: float) -> bool:
    try:
        return abs(float(printed) - value) <= PRINTED
    except ValueError:
        return False


def recompute(workspace: Workspace, cells: Sequence[Cell], metrics: frozenset[str]) -> tuple[int, dict[str, str]]:
    """Compute the scores behind ``cells`` again from the captions, without any kept answer.

    Returns how many numbers that were, and the metrics that were left out with the reason.
    """
    found = caption_sets(cells)
    count = 0
    with Scorer(language=workspace.experiment.metrics.language) as scorer:
        unknown = scorer.not_run([name for name in METRICS if name in metrics])
        for role, split in dict.fromkeys((captions.role, captions.split) for captions in found):
            again = Recomputer(workspace.paths, targets_of(workspace, role, split), scorer)
            for captions, its_cells in found.items():
                if (captions.role, captions.split) == (role, split):
                    words = Vocabulary.load(workspace.paths.vocabulary(workspace.plan.runs[captions.network.run].role))
                    count += again.check(captions, its_cells, metrics - unknown.keys(), words)
    asked = {cell.metric for cell in cells}
    left = {name: "known by digest only; name a cell to compute it" for name in sorted(asked - metrics)}
    return count, left | unknown


def why_empty(workspace: Workspace, cell: Cell) -> dict[str, str]:
    """Why a cell has no number, by its metric; empty if it has one."""
    documents = [read_json(workspace.paths.scores(run, cell.stage, cell.role, cell.split)) for run in cell.runs]
    reasons = [value for document in documents if isinstance(value := look_up(cell, document), str)]
    return {cell.metric: reasons[0]} if reasons else {}


class Recomputer:
    """Scores the captions of one split again and compares with what is recorded."""

    def __init__(self, paths: Paths, targets: Targets, scorer: Scorer) -> None:
        self._paths, self._targets, self._scorer = paths, targets, scorer
        self._twins = Twins(targets.images, scorer)

    def check(self, of: CaptionSet, cells: Sequence[Cell], metrics: frozenset[str], words: Vocabulary) -> int:
        """Check the numbers of ``cells`` in those ``metrics``; how many were computed.

        ``words``: the vocabulary of the network. Raises BrokenLinkError that names the score file and the number.
        """
        path = self._paths.scores(*of.network, of.role, of.split)
        document: ScoreDocument = read_json(path)
        asked = {
            cell: value
            for cell in cells
            if cell.metric in metrics and isinstance(value := look_up(cell, document), float)
        }
        captions = self._captions(of)
        found = self._corpus(path, captions, asked)
        if any(cell.metric == TWINS for cell in asked):
            found |= {TWINS: self._twins.tell_apart(captions)[1]["accuracy"]}
        drawn = [cell for cell in asked if cell.metric in DRAWN_METRICS]
        if drawn:
            draws = [self._captions(of, draw) for draw in range(drawn[0].draws)]
            found |= drawn_diversity(draws, words, self._scorer)["mean"]
        for cell, value in asked.items():
            again = found[_key(cell)]
            if abs(value - again) > TOLERANCE:
                problem = f"{cell.scope} {cell.metric} is {value:.6f}, but its captions score {again:.6f}"
                raise BrokenLinkError(path, problem, AGAIN)
        return len({_key(cell) for cell in asked})

    def _captions(self, of: CaptionSet, draw: int | None = None) -> dict[Any, str]:
        path = self._paths.captions(*of.network, of.role, of.split, draw)
        return in_order(results_by_image(read_json(path), path), self._targets.images, path)

    def _corpus(self, path: Path, captions: Mapping[Any, str], cells: Iterable[Cell]) -> dict[str, float]:
        """Corpus scores by ``scope metric``; their values by image must equal the Parquet's, too."""
        by_scope: dict[str, list[str]] = {}
        for cell in cells:
            if cell.metric in METRICS and cell.metric not in by_scope.get(cell.scope, ()):
                by_scope.setdefault(cell.scope, []).append(cell.metric)
        found: dict[str, float] = {}
        for scope, metrics in by_scope.items():
            references = self._targets.references(scope)
            request = Request({image: captions[image] for image in references}, references)
            (scores,) = self._scorer.score_many([request], metrics)
            frame = read_columns(path).reindex([str(image) for image in scores.image_ids])
            for metric in metrics:
                found[f"{scope} {metric}"] = scores.corpus[metric]
                column = f"{scope}/{metric}"
                if not np.allclose(frame[column], scores.per_image[metric], rtol=0, atol=TOLERANCE):
                    problem = f"the values of {column} are not those of its captions"
                    raise BrokenLinkError(path.with_suffix(".parquet"), problem, AGAIN)
        return found


def _key(cell: Cell) -> str:
    return f"{cell.scope} {cell.metric}" if cell.metric in METRICS else cell.metric
