"""Scores on disk: a JSON document with corpus values by scope, and beside it a Parquet with a row per image.

A scope is a set of images and references. Its columns in the Parquet are ``<scope>/<metric>``, times 100, and the
additive numbers of BLEU and METEOR, ``<scope>/bleu/<i>`` and ``<scope>/meteor/<i>`` (``rdt.metrics.statistics``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import pandas as pd

from rdt.errors import UserError
from rdt.files import atomic_write_bytes, atomic_write_json
from rdt.metrics import resampling, statistics
from rdt.metrics.corpus import Scores
from rdt.metrics.names import RECORD
from rdt.metrics.statistics import UNIT
from rdt.scoring.caveats import FEWEST


class ScopeScores(TypedDict):
    """Scores of a system in one scope, times 100, each with its 95 % interval over images."""

    n: int  # images
    metrics: dict[str, float]
    intervals: dict[str, list[float | None]]


class TwinScores(TypedDict):
    """How often captions tell two images apart that differ in one word."""

    pairs: int
    accuracy: float  # percent
    differ: float  # percent of pairs whose captions differ


class ScoreDocument(TypedDict):
    """What the JSON file of a system's scores holds."""

    run: str
    stage: str  # the variant of the caption job
    seed: int
    role: str
    split: str
    n: int  # images
    spice: NotRequired[str]  # which SPICE an S is, where one was computed
    scopes: dict[str, ScopeScores]
    not_run: dict[str, str]  # reasons, by metric and by scope
    mean_words: float
    mean_words_references: float
    distinct_captions: int
    vocabulary_usage: dict[str, float]
    diversity: dict[str, dict[str, float]] | None  # of the random draws, see ``drawn_diversity``
    twins: TwinScores | None


def scope_document(scores: Scores, units: np.ndarray | None = None) -> ScopeScores:
    """Number of images, corpus values and their 95 % bootstrap intervals over images (null for few of them).

    An interval lies in the metric's range.

    ``units`` (n,): images that are equal there are not independent, and are drawn together.
    """
    numbers = scores.statistics if units is None else scores.statistics | {UNIT: units}
    enough = statistics.unit_count(numbers) >= FEWEST
    found = resampling.interval(numbers) if enough else {}
    intervals = {name: one.within(0, RECORD[name].most) for name, one in found.items()}
    return {
        "n": len(scores.image_ids),
        "metrics": scores.corpus,
        "intervals": {
            name: [intervals[name].low, intervals[name].high] if enough else [None, None] for name in scores.corpus
        },
    }


def scope_columns(scope: str, scores: Scores) -> pd.DataFrame:
    """The columns of one scope; the index is the image ids."""
    columns = {f"{scope}/{name}": values for name, values in scores.per_image.items()}
    columns |= statistics.to_columns(scores.statistics, scope)
    return pd.DataFrame(columns, index=pd.Index(scores.image_ids, dtype=object))


def read_columns(path: Path) -> pd.DataFrame:
    """The columns beside the document ``path``, their index the image ids as texts; UserError where there are none."""
    parquet = path.with_suffix(".parquet")
    try:
        frame = pd.read_parquet(parquet)
    except FileNotFoundError:
        raise UserError(parquet, "the file does not exist", f"it belongs beside {path}; score again") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are among them
        raise UserError(parquet, f"cannot be read as Parquet ({error})", "score again") from None
    return frame.set_index(frame["image_id"].map(str)).drop(columns="image_id")


def write_scores(path: Path, document: Mapping[str, Any], columns: pd.DataFrame) -> None:
    """Write the document to ``path``, a JSON file, and the columns, whose index is the image ids, beside it."""
    frame = columns.rename_axis("image_id").reset_index()
    ids = list(frame["image_id"])
    if not all(isinstance(image, int) and abs(image) < 2**63 for image in ids):
        frame["image_id"] = [str(image) for image in ids]
    else:
        frame["image_id"] = frame["image_id"].astype("int64")
    parquet = io.BytesIO()
    frame.to_parquet(parquet, index=False)
    atomic_write_bytes(path.with_suffix(".parquet"), parquet.getvalue())
    atomic_write_json(path, document)
