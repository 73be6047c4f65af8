"""The verdicts on the paper's claims as a page and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from rdt.claims.claim import VERDICTS, CellComparison, Judgement
from rdt.claims.power import MOST_IMAGES, MOST_SEEDS, POWER
from rdt.experiment.plan import phase_title
from rdt.experiment.settings import Experiment
from rdt.metrics.names import TWINS
from rdt.metrics.resampling import LEVEL
from rdt.templates import filled

COLUMNS = (
    *("claim", "verdict", "better", "than", "column", "paper", "expected", "difference", "ci_low", "ci_high"),
    *("base", "interval_over", "p", "p_no_effect", "p_claim", "p_page", "n_seeds", "n_images", "seed_scatter"),
    *("seeds_needed", "images_needed", "scatter_of", "data", "reason", "where", "sentence"),
)


def verdict_counts(judgements: Sequence[Judgement]) -> str:
    """Number of claims of each verdict, in words."""
    found = [judgement.verdict for judgement in judgements]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in found)


def claims_csv(judgements: Sequence[Judgement], experiment: Experiment) -> str:
    """CSV of COLUMNS with one line per comparison; a claim without one has one line."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for judgement in judgements:
        claim = judgement.claim
        whole = {"claim": claim.id, "verdict": judgement.verdict, "reason": judgement.reason}
        whole |= {"where": claim.where, "sentence": claim.sentence, "scatter_of": judgement.scatter_of or ""}
        whole |= _rounded({"p_claim": judgement.p, "p_page": judgement.p_page})
        if judgement.needed is not None:
            whole |= {"seeds_needed": judgement.needed.seeds, "images_needed": _images(judgement)}
        for part in [_csv_numbers(c, experiment) for c in judgement.comparisons] or [{}]:
            writer.writerow(whole | part)
    return out.getvalue()


def _csv_numbers(comparison: CellComparison, experiment: Experiment) -> dict[str, object]:
    found = comparison.difference
    numbers = {
        **{"paper": comparison.paper, "expected": comparison.expected, "base": comparison.base},
        **{"difference": found.value, "ci_low": found.low, "ci_high": found.high, "seed_scatter": found.seed_scatter},
        **{"p": found.p, "p_no_effect": comparison.p_no_effect},
    }
    return {
        "better": comparison.better.row,
        "than": comparison.than.row,
        "column": f"{comparison.better.table} {comparison.better.column}",
        **_rounded(numbers),
        "interval_over": found.covers,
        "n_seeds": found.seeds,
        "n_images": found.images,
        "data": data_title(experiment, comparison.better.role),
    }


def _rounded(numbers: Mapping[str, float | None]) -> dict[str, str]:
    return {name: "" if value is None else f"{value:.4g}" for name, value in numbers.items()}


def data_title(experiment: Experiment, role: str) -> str:
    """Name of a role's data set, as a reader knows it."""
    data = experiment.data[role]
    return data.title or data.source


# ---- the page


def claims_page(judgements: Sequence[Judgement], experiment: Experiment) -> str:
    """Text of ``claims.md``."""
    untested = [judgement for judgement in judgements if not judgement.comparisons]
    return filled(
        "claims/claims.md.jinja",
        experiment=experiment,
        counts=verdict_counts(judgements),
        conditions=conditions(experiment),
        corrected=sum(judgement.p is not None for judgement in judgements),
        tested=[judgement for judgement in judgements if judgement.comparisons],
        counted=[judgement for judgement in untested if judgement.verdict != "not run"],
        absent=[judgement for judgement in untested if judgement.verdict == "not run"],
        **{"level": LEVEL, "power": POWER, "most_seeds": MOST_SEEDS, "most_images": MOST_IMAGES},
        **{"signed": signed, "over": over, "advice": advice, "as_sentence": as_sentence, "p_text": p_text},
        **{"papers": papers_effect, "ours": our_effect},
    )


def conditions(experiment: Experiment) -> str:
    """Data, epochs and seeds that the verdicts rest on, in words."""
    sets = ", ".join(f"{data_title(experiment, role)} ({role})" for role in experiment.data)
    seeds = ", ".join(f"{len(experiment.seeds.of(name))} for {phase_title(name)}" for name in ("xe", "rl"))
    if experiment.seeds.grid:
        seeds += f", {len(experiment.seeds.grid)} in Tables VI and VIII"
    training = experiment.training
    grid = (
        "" if training.grid_xe_epochs == training.xe_epochs else f" ({training.grid_xe_epochs} in Tables VI and VIII)"
    )
    epochs = f"{training.xe_epochs}{grid} and {training.rl_epochs} epochs"
    text = f"on {sets}, with {epochs} of the two trainings. Seeds per row: {seeds}."
    if any(data.source == "scenes" for data in experiment.data.values()):
        text += " These are rendered images and a small budget: what holds here need not hold on photographs."
    return text


def over(comparison: CellComparison, experiment: Experiment) -> str:
    """Number of images, and of seeds if there are several, that the interval of a comparison covers, in words."""
    found, role = comparison.difference, comparison.better.role
    other_data = "" if role == "primary" else f" of {data_title(experiment, role)}"
    seeds = "" if found.seed_scatter is None else f", {found.seeds} seeds"
    return f"{found.images} {_unit(comparison)}{other_data}{seeds}"


def advice(judgement: Judgement) -> str:
    """Number of seeds and images that would decide an undecided claim, in words; empty for a decided one."""
    if judgement.verdict != "undecided" or not judgement.comparisons:  # a reason without any says it itself
        return ""
    if any(comparison.difference.image_error is None for comparison in judgement.comparisons):
        return "scores by image, which its files lack: score again"
    if judgement.needed is None:
        return "no number in reach"
    seeds, images = judgement.needed.seeds, _images(judgement)
    more = images > judgement.comparisons[0].difference.images
    text = f"{seeds:,} seeds" + (f", {images:,} {_unit(judgement.comparisons[0])}" if more else "")
    if judgement.scatter_of is None:
        return f"at least {text}"
    elsewhere = f", if they scatter as {judgement.scatter_of}" if judgement.scatter_of else ""
    return f"about {text}{elsewhere}"


def _images(judgement: Judgement) -> int:
    """Images that ``judgement.needed`` asks for, of which as few are independent as of those at hand."""
    found = judgement.comparisons[0].difference
    return math.ceil(judgement.needed.images * found.images / found.units)


def _unit(comparison: CellComparison) -> str:
    return "pairs" if comparison.better.metric == TWINS else "images"


def papers_effect(comparison: CellComparison) -> str:
    """The paper's difference, in percent of its base where that is printed."""
    if comparison.paper is None:
        return "–"
    return f"{100 * comparison.paper / comparison.paper_base:+.1f} % ({signed(comparison.paper)})"


def our_effect(comparison: CellComparison) -> str:
    """Our difference with its interval, in percent of its base where it has a share of one, and in points."""
    found = comparison.difference
    points = signed(found.value)
    share, low, high = (comparison.share(number) for number in (found.value, found.low, found.high))
    if share is None:
        return points if found.low is None else f"{points} [{signed(found.low)}, {signed(found.high)}]"
    interval = "" if low is None else f" [{signed(low)}, {signed(high)}]"
    return f"{signed(share)} %{interval} ({points})"


def p_text(p: float | None) -> str:
    """A p in two digits; a dash where there is none."""
    return "–" if p is None else f"{p:.2g}"


def signed(value: float | None) -> str:
    """A difference with its sign, as it is rounded, never -0.0; a dash where there is none."""
    return "–" if value is None else f"{round(value, 1) + 0.0:+.1f}"


def as_sentence(text: str) -> str:
    """``text`` as a sentence, with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
