"""The page of a study: what it searched, what it found on val, and what that is worth on test."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator

from rdt.metrics.resampling import Estimate
from rdt.scoring.evaluation import interval_text
from rdt.studies.comparison import SettingComparison
from rdt.studies.file import JOURNAL
from rdt.studies.workspace import StudyWorkspace

METRICS = {"B@1": "BLEU-1", "B@4": "BLEU-4", "M": "METEOR", "R": "ROUGE-L", "C": "CIDEr", "S": "SPICE", "D@3": "Dist-3"}
STATES = {"complete": "completed", "pruned": "pruned", "fail": "cut off and tried again"}
SAMPLERS = {"tpe": "a tree-structured Parzen estimator", "random": "chance"}
PRUNERS = {"asha": "ASHA", "hyperband": "Hyperband"}


def study_page(workspace: StudyWorkspace, comparison: SettingComparison) -> str:
    """Markdown."""
    return "\n".join(_lines(workspace, comparison)) + "\n"


def _lines(workspace: StudyWorkspace, comparison: SettingComparison) -> Iterator[str]:
    study = workspace.study
    yield f"# {study.title}"
    yield ""
    yield _summary(workspace)
    yield ""
    yield "| parameter | range | the paper | best |"
    yield "|---|---|---:|---:|"
    for name, span in study.parameters.items():
        values = (comparison.settings[setting][name] for setting in ("paper", "best"))
        yield f"| `{name}` | {span.low:g} to {span.high:g} | " + " | ".join(f"{value:.4g}" for value in values) + " |"
    yield ""
    yield from _test(workspace, comparison)
    for name in study.plots:
        yield ""
        yield f"![{name}]({name}.png)"
    yield ""
    yield "`trials.csv` has a line for each trial. `best.yaml` is an experiment file with the best values:"
    yield f"`snakemake --cores 8 all --config experiment={(workspace.report / 'best.yaml').as_posix()}`."
    if study.storage == JOURNAL:
        yield f"`optuna-dashboard {(workspace.folder / 'journal.log').as_posix()}` shows the trials in the browser."


def _summary(workspace: StudyWorkspace) -> str:
    """What was searched, how, and by what it was judged."""
    study, epochs = workspace.study, workspace.experiment.training.xe_epochs
    with (workspace.report / "trials.csv").open(encoding="utf-8", newline="") as file:
        ended = Counter(record["state"] for record in csv.DictReader(file))
    states = ", ".join(f"{ended[state]} {word}" for state, word in STATES.items() if ended[state])
    pruner = f", pruned by {PRUNERS[study.pruner.name]}" if study.pruner else ""
    objectives = " and ".join(METRICS.get(name, name) for name in study.objectives)
    return (
        f"Study `{study.name}` of experiment {workspace.experiment.name}: "
        f"trials of at most {epochs} epochs ({states}), proposed by "
        f"{SAMPLERS[study.sampler.name]} (seed {study.sampler.seed}){pruner}. "
        f"The objective is {objectives} on val; test was looked at once, for the table below."
    )


def _test(workspace: StudyWorkspace, comparison: SettingComparison) -> Iterator[str]:
    """The table of test, and what its interval says."""
    difference, seeds = comparison.difference, workspace.study.retrain_seeds
    yield f"Both settings, trained again with {len(seeds)} fresh seeds on the budget of a trial and tested once:"
    yield ""
    yield "| test | the paper | best | best - paper, 95 % interval |"
    yield "|---|---:|---:|---:|"
    for metric, title in METRICS.items():
        if metric in difference:
            paper, best = (comparison.scores[setting][metric].value for setting in ("paper", "best"))
            title = comparison.spice if metric == "S" else title
            yield f"| {title} | {paper:.1f} | {best:.1f} | {_estimate_text(difference[metric])} |"
    yield ""
    yield _verdict(difference["C"])


def _estimate_text(estimate: Estimate) -> str:
    return interval_text(estimate.value, estimate.low, estimate.high, "+")


def _verdict(cider: Estimate) -> str:
    if cider.low is None or cider.low <= 0 <= cider.high:
        return "The interval of CIDEr holds 0: on test the study's optimum cannot be told from the paper's setting."
    better, worse = ("best", "the paper's") if cider.value > 0 else ("the paper's", "best")
    return f"The interval of CIDEr leaves 0 out: on test the {better} setting is ahead of the {worse} one."
