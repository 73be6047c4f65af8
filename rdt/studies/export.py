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

from rdt.config import load_experiment
from rdt.errors import UserError
from rdt.experiment_file import split_budget
from rdt.studies.queue import first_attempt
from rdt.studies.stage import StudyStage


def best_trial(stage: StudyStage, opened: optuna.Study) -> FrozenTrial:
    """The completed trial with the highest objective, the first one where several are on the Pareto front."""
    front = opened.best_trials
    if not front:
        raise UserError(stage.study.path, f"no trial of {stage.name} has completed", "run `rdt study-worker` first")
    return max(front, key=lambda trial: (trial.values[0], -trial.number))


def trials_csv(stage: StudyStage, opened: optuna.Study) -> str:
    """One line a trial; a pruned one has what it reported last, a failed one nothing."""
    front = {trial.number for trial in opened.best_trials}
    records = [_record(stage, trial, trial.number in front) for trial in opened.get_trials(deepcopy=False)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def objective_values(stage: StudyStage, trial: FrozenTrial) -> dict[str, float]:
    """The objectives of a trial that has ended; of a pruned one, as far as it came."""
    if trial.state == TrialState.FAIL or trial.values is None:
        return {}
    return dict(zip(stage.study.objectives, trial.values, strict=True))


def _record(stage: StudyStage, trial: FrozenTrial, best: bool) -> dict[str, Any]:
    values, first = objective_values(stage, trial), first_attempt(trial)
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "repeats": "" if first == trial.number else first,
        **{name: trial.params.get(name, "") for name in stage.study.parameters},
        **{name: values.get(name, "") for name in stage.study.objectives},
        "best": int(best),
        "epochs": trial.user_attrs.get("epochs", ""),
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else "",
        "worker": trial.user_attrs.get("worker", ""),
        "run": trial.user_attrs.get("run", ""),
    }


def best_text(stage: StudyStage, best: FrozenTrial, path: Path) -> str:
    """The text of an experiment file: that of the study, with the best values over its own."""
    reached = ", ".join(f"{name} {value:.2f}" for name, value in objective_values(stage, best).items())
    content = {
        "name": f"{stage.experiment.name}-{stage.study.name}",
        "base": _base(stage.source, path.parent),
        "override": {name: best.params[name] for name in stage.study.parameters},
    }
    head = (
        f"# The best setting of the study {stage.name}: trial {best.number}, {reached} on val.\n"
        f"#\n#   snakemake --cores 8 all --config experiment={path.as_posix()}\n\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False)


def _base(source: str, folder: Path) -> str:
    """The experiment as a file in ``folder`` names it: by name, or by a path from there."""
    name, budget = split_budget(source)
    if name.endswith((".yaml", ".yml")):
        name = Path(os.path.relpath(name, folder)).as_posix()
    return f"{name}:{budget}" if budget else name


def read_best(stage: StudyStage) -> Mapping[str, float]:
    """The best values, from ``best.yaml``, read as any experiment file is."""
    method = load_experiment(stage.report / "best.yaml").method
    return {name: getattr(method, name) for name in stage.study.parameters}
