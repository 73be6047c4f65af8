"""The page of ``rdt survey``, and its figures as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import NamedTuple

from rdt.report.survey import BUILDERS, NEARLY, PADDINGS, QualityRow, Survey
from rdt.templates import filled


def figures(survey: Survey) -> str:
    """CSV of the counts."""
    rows = [{"figure": name, "value": value} for name, value in survey.counts.items()]
    for n, (all_, repeated) in enumerate(survey.ngrams, start=1):
        rows += [{"figure": f"different {n}-grams", "value": all_}]
        rows += [{"figure": f"{n}-grams in more than one image", "value": repeated}]
    return _table(rows)


def qualities_csv(survey: Survey) -> str:
    """CSV of q* by word order and padding."""
    return _table([asdict(row) for row in survey.q])


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class OrderFigure(NamedTuple):
    """A figure under the builder's word order, and its mean and range under the random ones."""

    builders: float
    mean: float
    low: float
    high: float


def survey_page(survey: Survey) -> str:
    """Markdown of the figures, with what they mean."""
    return filled(
        "report/survey.md.jinja",
        survey=survey,
        method=survey.method,
        permutations=len(survey.q) // len(PADDINGS) - 1,
        nearly=NEARLY,
        figures={padding: _order_figures([row for row in survey.q if row.padding == padding]) for padding in PADDINGS},
    )


def _order_figures(rows: Sequence[QualityRow]) -> dict[str, OrderFigure]:
    """Figures of one padding by column of :class:`QualityRow`."""
    (builders,), random = ([vars(row) for row in rows if (row.order == BUILDERS) == own] for own in (True, False))
    numbers = {name: [row[name] for row in random] for name in builders if name not in ("order", "padding")}
    return {name: OrderFigure(builders[name], fmean(of), min(of), max(of)) for name, of in numbers.items()}
