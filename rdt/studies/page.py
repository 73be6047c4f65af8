"""The page of a study: what it searched, what it found on val, and what that is worth on test."""

from __future__ import annotations

import csv
from collections import Counter

from rdt.metrics.names import RECORD
from rdt.scoring.evaluation import interval_text
from rdt.studies.comparison import SettingComparison
from rdt.studies.file import JOURNAL
from rdt.studies.workspace import StudyWorkspace
from rdt.templates import filled

METRICS = {name: RECORD[name].title for name in ("B@1", "B@4", "M", "R", "C", "S", "D@3")}
STATES = {"complete": "completed", "pruned": "pruned", "fail": "cut off and tried again"}
SAMPLERS = {"tpe": "a tree-structured Parzen estimator", "random": "chance"}
PRUNERS = {"asha": "ASHA", "hyperband": "Hyperband"}


def study_page(workspace: StudyWorkspace, comparison: SettingComparison) -> str:
    """The page in Markdown."""
    titles = METRICS | {"S": comparison.spice}
    return filled(
        "studies/study.md.jinja",
        workspace=workspace,
        study=workspace.study,
        states=_ends_of_trials(workspace),
        sampler=SAMPLERS[workspace.study.sampler.name],
        pruner=PRUNERS[workspace.study.pruner.name] if workspace.study.pruner else "",
        objectives=[METRICS.get(name, name) for name in workspace.study.objectives],
        comparison=comparison,
        differences={
            titles[name]: (name, comparison.difference[name]) for name in METRICS if name in comparison.difference
        },
        cider=comparison.difference["C"],
        interval_text=interval_text,
        plots=workspace.study.plots,
        in_a_journal=workspace.study.storage == JOURNAL,
    )


def _ends_of_trials(workspace: StudyWorkspace) -> dict[str, int]:
    """How many trials ended in which way, in words."""
    with (workspace.report / "trials.csv").open(encoding="utf-8", newline="") as file:
        ended = Counter(record["state"] for record in csv.DictReader(file))
    return {word: ended[state] for state, word in STATES.items() if ended[state]}
