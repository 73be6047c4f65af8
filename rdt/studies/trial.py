"""One trial: a network trained with the parameters that it was given, and judged on val."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.trial import Trial, TrialState

from rdt.studies.file import Study
from rdt.studies.network import STAGE
from rdt.studies.queue import first_attempt
from rdt.studies.workspace import StudyWorkspace
from rdt.training.loop import Outcome
from rdt.training.network import Training, train


def run_trial(workspace: StudyWorkspace, opened: optuna.Study, trial: Trial) -> str:
    """Train the network of ``trial`` and tell its end to the study, ``opened``; returns a line about it.

    It has the folder of its first attempt: what a killed worker left there is taken up.
    """
    study, number = workspace.study, first_attempt(trial)
    alone = workspace.network(trial.params, study.seed, f"trial {number}", f"trials/{number:04d}")
    trial.set_user_attr("run", alone.network.id)
    watch = _Watch(study, trial)
    outcome = train(Training(alone, alone.network, STAGE, workspace.inputs), watch)
    watch.report(outcome.history)
    epochs, values = len(outcome.history), best_values(study, outcome)
    trial.set_user_attr("epochs", epochs)
    pruned = epochs < alone.network.xe_epochs
    opened.tell(trial, None if pruned else values, TrialState.PRUNED if pruned else TrialState.COMPLETE)
    given = ", ".join(f"{name} {value:.4g}" for name, value in trial.params.items())
    reached = ", ".join(f"{name} {value:.2f}" for name, value in zip(study.objectives, values, strict=True))
    return f"trial {trial.number}: {given}: {reached} on val" + (f", pruned after epoch {epochs}" if pruned else "")


def best_values(study: Study, outcome: Outcome) -> list[float]:
    """The objectives on val at the epoch that training selected."""
    (record,) = (record for record in outcome.history if record["epoch"] == outcome.best_epoch)
    return [record[f"val/{name}"] for name in study.objectives]


@dataclass(frozen=True)
class _Watch:
    """Tells the storage each evaluation as it comes, and asks the pruner whether to go on."""

    study: Study
    trial: Trial
    told: set[float] = field(default_factory=set)  # epochs

    def __call__(self, history: Sequence[Mapping[str, float]]) -> bool:
        if self.study.pruner is None:
            return False
        self.report(history)
        return self.trial.should_prune()

    def report(self, history: Sequence[Mapping[str, float]]) -> None:
        """The objective of the epochs that have one, by epochs done; a trial of several objectives reports none."""
        if len(self.study.objectives) > 1:
            return
        name = f"val/{self.study.objectives[0]}"
        for record in history:
            if name in record and record["epoch"] not in self.told:
                self.told.add(record["epoch"])
                self.trial.report(record[name], int(record["epoch"]) + 1)
