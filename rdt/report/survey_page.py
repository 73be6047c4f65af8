"""The page of ``rdt survey``, and its figures as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean

from rdt.metrics.ngrams import ORDERS
from rdt.report.survey import BUILDERS, NEARLY, PADDINGS, QualityRow, Survey


def figures(survey: Survey) -> str:
    """The counts as CSV."""
    rows = [{"figure": name, "value": value} for name, value in survey.counts.items()]
    for n, (all_, repeated) in enumerate(survey.ngrams, start=1):
        rows += [{"figure": f"different {n}-grams", "value": all_}]
        rows += [{"figure": f"{n}-grams in more than one image", "value": repeated}]
    return _table(rows)


def qualities_csv(survey: Survey) -> str:
    """q* by word order and padding as CSV."""
    return _table([asdict(row) for row in survey.q])


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def survey_page(survey: Survey) -> str:
    """The figures in Markdown, with what they mean."""
    return "\n".join([*_word_lines(survey), *_ngrams(survey), *_q(survey)]) + "\n"


def _word_lines(survey: Survey) -> list[str]:
    lines = [f"# The captions of {survey.title}", ""]
    lines += ["Of the train split alone. Times, memory and machine are in `manifest.json`.", ""]
    lines += ["## Words", "", "| | |", "|---|---|"]
    shown = (f"{value:,}" if isinstance(value, int) else f"{value:.2f}" for value in survey.counts.values())
    lines += [f"| {name} | {value} |" for name, value in zip(survey.counts, shown, strict=True)]
    least = survey.method.min_count
    rule = f"The vocabulary: words that occur at least {least} times, `.` (begin, end and padding) and `UNK`."
    return [*lines, "", rule, ""]


def _ngrams(survey: Survey) -> list[str]:
    lines = ["## Document frequencies of the reward", ""]
    lines += [f"Over {survey.counts['images']:,} images, of word ids, the end token included. An n-gram of a single"]
    lines += ["image weighs as much as one of none, so that only those of several images are kept.", ""]
    lines += ["| n | different n-grams | in more than one image |", "|---|---|---|"]
    lines += [f"| {n} | {all_:,} | {repeated:,} |" for n, (all_, repeated) in enumerate(survey.ngrams, start=1)]
    total, kept = (sum(column) for column in zip(*survey.ngrams, strict=True))
    return [*lines, f"| 1-{ORDERS} | {total:,} | {kept:,} |", ""]


COLUMNS = {
    "length_correlation": "correlation of q* with length",
    "deviation": "standard deviation of q*",
    "in_time": "pairs within delta_tim",
    "in_quality": "pairs within delta_sen",
    "in_both": "within both",
    "active": "active: with an order too",
    "loss_constant": "lambda_3 L_rank, all q alike",
    "loss_nearly": f"lambda_3 L_rank, q right to {NEARLY:g}",
    "loss_constant_active": "over active pairs, all q alike",
    "loss_nearly_active": f"over active pairs, q right to {NEARLY:g}",
    "same_order": "pairs ordered as under the builder's numbering",
}


def _q(survey: Survey) -> list[str]:
    method, permutations = survey.method, len(survey.q) // len(PADDINGS) - 1
    size = method.images_per_step * method.captions_per_image
    setting = (
        f"t' to {method.t_max:g}, delta_tim {method.delta_tim:g}, delta_sen {method.delta_sen:g}, "
        f"lambda_3 {method.lambda_rank:g}"
    )
    lines = [
        "## q of the ranking loss",
        "",
        f"q* of all captions, and the pairs of the first {survey.batches:,} batches of {size} captions that a",
        f"training with seed 0 draws ({setting}).",
        "Masked: q* is the mean over the words and the end token, which is the method here. Included: over all",
        "positions, with the padding. The builder's word order is that of first appearance; beside it stand the mean",
        f"and the range of {permutations} random numberings of the same words. Shares are of all n^2 pairs of a batch.",
        "All rows are in `q.csv`.",
        "",
    ]
    heads = [f"{padding}, {order}" for padding in PADDINGS for order in ("builder's", "random")]
    lines += [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for column, title in COLUMNS.items():
        values = [cell for padding in PADDINGS for cell in _order_cells(survey.q, padding, column)]
        lines += [f"| {title} | {' | '.join(values)} |"]
    return [*lines, "", *_meaning(survey.q)]


def _meaning(rows: Sequence[QualityRow]) -> list[str]:
    """What q* is made of, in two sentences."""
    length = {row.padding: row.length_correlation**2 for row in rows if row.order == BUILDERS}
    kept = {
        padding: fmean(r.same_order for r in rows if r.padding == padding and r.order != BUILDERS)
        for padding in PADDINGS
    }
    included, masked = kept["included"], kept["masked"]
    return [
        f"A caption's length explains {length['included']:.0%} of the variance of q* with the padding and",
        f"{length['masked']:.0%} without it. Another numbering of the same words leaves {included:.0%} of the",
        f"pairs in their order with the padding and {masked:.0%} without it, where 50% is chance: what is left of q*",
        "beside the length is a number that the words happen to have.",
    ]


def _order_cells(rows: Sequence[QualityRow], padding: str, column: str) -> tuple[str, str]:
    """A figure under the builder's order, and its mean with its range under the random ones."""
    of = {row.order: getattr(row, column) for row in rows if row.padding == padding}
    builders = of.pop(BUILDERS)
    mean, low, high = fmean(of.values()), min(of.values()), max(of.values())
    return f"{builders:.3f}", f"{mean:.3f} ({low:.3f} to {high:.3f})"
