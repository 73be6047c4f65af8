"""The verdicts on the paper's claims as a page and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rdt.claims.claim import CellComparison, Judgement
from rdt.claims.power import MOST_IMAGES, MOST_SEEDS, POWER
from rdt.experiment.plan import phase_title
from rdt.experiment.settings import Experiment
from rdt.metrics.resampling import LEVEL
from rdt.templates import filled

COLUMNS = (
    *("claim", "verdict", "better", "than", "column", "paper", "difference", "ci_low", "ci_high", "interval_over"),
    *("p_holm", "n_seeds", "n_images", "seed_scatter", "seeds_needed", "images_needed", "scatter_of"),
    *("data", "reason", "where", "sentence"),
)
VERDICTS = ("reproduced", "contradicted", "undecided", "not run")


def verdict_counts(judgements: Sequence[Judgement]) -> str:
    """Number of claims of each verdict, in words."""
    found = [judgement.verdict for judgement in judgements]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in VERDICTS)


def claims_csv(judgements: Sequence[Judgement], experiment: Experiment) -> str:
    """CSV of COLUMNS with one line per comparison; a claim without one has one line."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for judgement in judgements:
        claim = judgement.claim
        whole = {"claim": claim.id, "verdict": judgement.verdict, "reason": judgement.reason}
        whole |= {"where": claim.where, "sentence": claim.sentence}
        for part in [_csv_numbers(c, experiment) for c in judgement.comparisons] or [{}]:
            writer.writerow(whole | part)
    return out.getvalue()


def _csv_numbers(comparison: CellComparison, experiment: Experiment) -> dict[str, object]:
    found, needed = comparison.difference, comparison.needed
    numbers = {
        "paper": comparison.paper,
        "difference": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_holm": comparison.p,
        "seed_scatter": found.seed_scatter,
    }
    return {
        "better": comparison.better.row,
        "than": comparison.than.row,
        "column": f"{comparison.better.table} {comparison.better.column}",
        **{name: "" if value is None else f"{value:.4g}" for name, value in numbers.items()},
        "interval_over": found.covers,
        "n_seeds": found.seeds,
        "n_images": found.images,
        "seeds_needed": "" if needed is None else needed.seeds,
        "images_needed": "" if needed is None else needed.images,
        "scatter_of": comparison.scatter_of,
        "data": data_title(experiment, comparison.better.role),
    }


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
        tested=[judgement for judgement in judgements if judgement.comparisons],
        counted=[judgement for judgement in untested if judgement.verdict != "not run"],
        absent=[judgement for judgement in untested if judgement.verdict == "not run"],
        **{"level": LEVEL, "power": POWER, "most_seeds": MOST_SEEDS, "most_images": MOST_IMAGES},
        **{"signed": signed, "over": over, "advice": advice, "as_sentence": as_sentence},
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
    open_ones = [comparison for comparison in judgement.comparisons if not comparison.decided]
    if any(comparison.difference.image_error is None for comparison in open_ones):
        return "scores by image, which its files lack: score again"
    if any(comparison.needed is None for comparison in open_ones):
        return "no number in reach: the difference is next to nothing"
    most = max(open_ones, key=lambda comparison: (comparison.needed.images, comparison.needed.seeds))
    seeds, images = most.needed.seeds, most.needed.images
    text = f"{seeds:,} seeds" + (f", {images:,} {_unit(most)}" if images > most.difference.images else "")
    if not most.scatter_of:
        return f"at least {text}"
    elsewhere = (
        f", if they scatter as after {phase_title(most.scatter_of)}" if most.scatter_of != most.better.stage else ""
    )
    return f"about {text}{elsewhere}"


def _unit(comparison: CellComparison) -> str:
    return "pairs" if comparison.better.metric == "twins" else "images"


def signed(value: float | None) -> str:
    """A difference with its sign; a dash where there is none."""
    return "–" if value is None else f"{value:+.1f}"


def as_sentence(text: str) -> str:
    """``text`` as a sentence, with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
