"""A study file: what is searched, with which sampler and pruner, and what one trial may cost.

``experiments/studies/*.yaml`` are read with the parser of experiment files: every mistake is one sentence.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from rdt.errors import UserError
from rdt.experiment.file import EXPERIMENTS, NAME, locate, read_preset
from rdt.experiment.plan import load_tables
from rdt.experiment.runs import Run, captioner, override, resolved_configuration
from rdt.experiment.settings import Count, Experiment, Method, Range, Seed, TrainingSettings
from rdt.experiment.values import load_yaml, parse, parse_fields, wrong

STUDIES = EXPERIMENTS / "studies"
USUAL = "thresholds"  # the study that runs where none is named
JOURNAL = "journal"  # the storage that is a file of the study's folder
NOT_READ = {"cascade_noise", "rl_lr"}  # by the cross-entropy stage of one network, which a trial is
Parameter = Literal[
    tuple(name for name, hint in get_type_hints(Method).items() if hint is float and name not in NOT_READ)
]
Objective = Literal["CIDEr", "D@3"]  # of the captions of val, both to be maximised
Setting = Literal["best", "paper"]
SETTINGS: tuple[Setting, ...] = ("best", "paper")


@dataclass(frozen=True)
class Span:
    """The values of one parameter, from ``low`` to ``high``; ``log``: drawn evenly on a logarithmic scale."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Sampler:
    """Who proposes the next trial: a tree-structured Parzen estimator, or chance."""

    name: Literal["tpe", "random"]
    seed: Seed


@dataclass(frozen=True)
class Pruner:
    """Who ends a trial early, by its objective on val after ``min_epochs``, and after ``reduction`` times as many...

    At each of these rungs a trial goes on if it is among the best 1/``reduction`` of those that came so far.
    """

    name: Literal["asha", "hyperband"]
    min_epochs: Count
    reduction: Annotated[int, Range(2)]


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """The keys of a study file."""

    name: str
    title: str
    experiment: str  # the one that it searches unless another is named
    parameters: dict[Parameter, Span]
    objectives: tuple[Objective, ...] = ("CIDEr",)
    sampler: Sampler
    pruner: Pruner | None = None
    trials: Count  # that end, completed or pruned
    workers: Count  # jobs that share the trials; those beyond the cores come late and find nothing to do
    seed: Seed  # of every trial's training: their differences are the parameters' alone
    retrain_seeds: tuple[Seed, ...]  # of the comparison on test
    training: dict[str, Any] = field(default_factory=dict)  # fields of Training, over the experiment's
    storage: str = JOURNAL  # or the URL of a relational database


@dataclass(frozen=True, kw_only=True)
class Study(_Keys):
    """A study file, checked; ``path`` is where it was read."""

    path: str = field(compare=False)

    def paper(self) -> dict[str, float]:
        """The paper's values of the parameters."""
        preset = read_preset("paper", Path(self.path))
        return {name: getattr(preset, name) for name in self.parameters}

    def budgeted(self, experiment: Experiment) -> Experiment:
        """``experiment`` with the budget of a trial; networks are selected on val, whatever it says."""
        changed = parse_fields(TrainingSettings, self.training, Path(self.path), "training")
        training = dataclasses.replace(experiment.training, **changed)
        method = dataclasses.replace(experiment.method, select_on="val")
        return dataclasses.replace(experiment, training=training, method=method)

    @property
    def plots(self) -> tuple[str, ...]:
        """Names of its plots."""
        return ("history", "importance", "space", *(["front"] if len(self.objectives) > 1 else []))

    def common(self, experiment: Experiment) -> dict[str, Any]:
        """What all its trials on a :meth:`budgeted` experiment have in common, but for the files that they read."""
        return {
            "parameters": {name: dataclasses.asdict(span) for name, span in self.parameters.items()},
            "objectives": list(self.objectives),
            "settings": resolved_configuration(experiment, self.network(experiment, self.paper(), self.seed)),
        }

    def network(self, experiment: Experiment, values: Mapping[str, float], seed: int) -> Run:
        """The run of a :meth:`budgeted` experiment with these values of the parameters."""
        return captioner(experiment, override(experiment.method, values, self.path), "primary", seed)


def study_names() -> list[str]:
    """Names of the studies of the repository."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def read_study(name_or_path: str) -> Study:
    """Read ``experiments/studies/<name>.yaml``, or the file at a path that ends in ``.yaml``; raises ``UserError``."""
    path = locate(name_or_path, "study", STUDIES, study_names())
    keys: _Keys = parse(_Keys, load_yaml(path), path, "")
    study = Study(**vars(keys), path=str(path))
    _check_names(study, path)
    paper = study.paper()
    for name, span in study.parameters.items():
        _check_span(span, path, f"parameters.{name}", _range_of(name), paper[name])
    _check_study(study, path)
    return study


def read_studies(wanted: str | None) -> list[Study]:
    """Studies that ``wanted`` names, by name or path, with commas between; ``all`` are all of the repository."""
    listed = {None: [USUAL], "all": study_names()}.get(wanted) or str(wanted).split(",")
    return [read_study(name.strip()) for name in listed]


def grid_points(parameters: Mapping[str, Span]) -> list[dict[str, float]]:
    """The paper's own settings of some parameters: the rows of Tables VI and VIII that set nothing else."""
    preset = read_preset("paper", STUDIES)
    rows = [row["run"] for table in ("VI", "VIII") for row in load_tables()[table]["rows"] if "run" in row]
    inside = [row for row in rows if set(row) <= set(parameters)]
    return [{name: float(row.get(name, getattr(preset, name))) for name in parameters} for row in inside]


def _range_of(parameter: str) -> Range:
    """What the method allows for a parameter."""
    return get_args(get_type_hints(Method, include_extras=True)[parameter])[1]


def _check_names(study: Study, path: Path) -> None:
    if not re.fullmatch(NAME, study.name):
        wrong(path, "name", study.name, "letters, digits, - and _ (it becomes a folder)")
    if study.name in study_names() and path.resolve() != (STUDIES / f"{study.name}.yaml").resolve():
        problem = f"name {study.name!r} belongs to experiments/studies/{study.name}.yaml"
        raise UserError(path, problem, "give your study a name of its own")
    if not study.parameters:
        wrong(path, "parameters", study.parameters, "one parameter or more")


def _check_span(span: Span, path: Path, key: str, allowed: Range, paper: float) -> None:
    """A range is not empty, within the method's, and holds the paper's value, which is the first trial."""
    if span.low >= span.high:
        problem = f"{key} is an empty range: low {span.low:g} is not below high {span.high:g}"
        raise UserError(path, problem, "correct the range")
    for end, value in (("low", span.low), ("high", span.high)):
        if value not in allowed:
            wrong(path, f"{key}.{end}", value, f"a number {allowed}")
    if span.log and span.low <= 0:
        wrong(path, f"{key}.low", span.low, "a number above 0, as the scale is logarithmic")
    if not span.low <= paper <= span.high:
        problem = f"{key} leaves out the paper's value {paper:g}, which is to be the first trial"
        raise UserError(path, problem, "widen the range")


def _check_study(study: Study, path: Path) -> None:
    parse_fields(TrainingSettings, study.training, path, "training")
    if len(study.objectives) > 1 and study.pruner:
        raise UserError(path, "a study of several objectives cannot prune", "remove pruner")
    if study.seed in study.retrain_seeds:
        wrong(path, "retrain_seeds", list(study.retrain_seeds), f"fresh seeds, not the trials' {study.seed}")
