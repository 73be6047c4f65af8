"""What a study ends in: its trials as a table, and its best setting as an experiment file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from rdt.errors import UserError
from rdt.experiment.file import load_experiment, split_budget
from rdt.files import atomic_write_text
from rdt.studies.plots import write_plots
from rdt.studies.queue import first_attempt
from rdt.studies.storage import open_stored
from rdt.studies.workspace import StudyWorkspace


def write_study(workspace: StudyWorkspace) -> FrozenTrial:
    """Write ``trials.csv``, ``best.yaml`` and the plots; returns the best trial."""
    opened = open_stored(workspace.study, workspace.folder, workspace.name, workspace.experiment.training.xe_epochs)
    best, setting = best_trial(workspace, opened), workspace.report / "best.yaml"
    atomic_write_text(workspace.report / "trials.csv", trials_csv(workspace, opened))
    atomic_write_text(setting, best_text(workspace, best, setting))
    write_plots(workspace.study, opened, workspace.report)
    return best


def best_trial(workspace: StudyWorkspace, opened: optuna.Study) -> FrozenTrial:
    """The completed trial with the highest objective, the first one where several are on the Pareto front."""
    front = opened.best_trials
    if not front:
        raise UserError(
            workspace.study.path, f"no trial of {workspace.name} has completed", "run `rdt study-worker` first"
        )
    return max(front, key=lambda trial: (trial.values[0], -trial.number))


def trials_csv(workspace: StudyWorkspace, opened: optuna.Study) -> str:
    """One line a trial; a pruned one has what it reported last, a failed one nothing."""
    front = {trial.number for trial in opened.best_trials}
    records = [_trial_record(workspace, trial, trial.number in front) for trial in opened.get_trials(deepcopy=False)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def objective_values(workspace: StudyWorkspace, trial: FrozenTrial) -> dict[str, float]:
    """The objectives of a trial that has ended; of a pruned one, as far as it came."""
    if trial.state == TrialState.FAIL or trial.values is None:
        return {}
    return dict(zip(workspace.study.objectives, trial.values, strict=True))


def _trial_record(workspace: StudyWorkspace, trial: FrozenTrial, best: bool) -> dict[str, Any]:
    values, first = objective_values(workspace, trial), first_attempt(trial)
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "repeats": "" if first == trial.number else first,
        **{name: trial.params.get(name, "") for name in workspace.study.parameters},
        **{name: values.get(name, "") for name in workspace.study.objectives},
        "best": int(best),
        "epochs": trial.user_attrs.get("epochs", ""),
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else "",
        "worker": trial.user_attrs.get("worker", ""),
        "run": trial.user_attrs.get("run", ""),
    }


def best_text(workspace: StudyWorkspace, best: FrozenTrial, path: Path) -> str:
    """Text of an experiment file: the study's experiment, with the best values over its own."""
    reached = ", ".join(f"{name} {value:.2f}" for name, value in objective_values(workspace, best).items())
    content = {
        "name": f"{workspace.experiment.name}-{workspace.study.name}",
        "base": _base(workspace.source, path.parent),
        "override": {name: best.params[name] for name in workspace.study.parameters},
    }
    head = (
        f"# The best setting of the study {workspace.name}: trial {best.number}, {reached} on val.\n"
        f"#\n#   snakemake --cores 8 all --config experiment={path.as_posix()}\n\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False)


def _base(source: str, folder: Path) -> str:
    """The experiment as a file in ``folder`` names it: by name, or by a path from there."""
    name, budget = split_budget(source)
    if name.endswith((".yaml", ".yml")):
        name = Path(os.path.relpath(name, folder)).as_posix()
    return f"{name}:{budget}" if budget else name


def read_best(workspace: StudyWorkspace) -> Mapping[str, float]:
    """The best values, from ``best.yaml``, read as any experiment file is."""
    method = load_experiment(workspace.report / "best.yaml").method
    return {name: getattr(method, name) for name in workspace.study.parameters}
