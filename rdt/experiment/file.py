"""Reading an experiment file: YAML -> :class:`rdt.experiment.settings.Experiment`, or one sentence about what is wrong.

Which keys exist, their types, ranges and defaults are taken from the annotations in
:mod:`rdt.experiment.settings`; what concerns several keys together stands in :func:`_check_experiment`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from rdt.digests import ROOT
from rdt.errors import UserError
from rdt.experiment.settings import (
    TABLES,
    Data,
    EncoderSettings,
    Experiment,
    GivenRow,
    Method,
    MetricSettings,
    ModelSettings,
    Role,
    Seed,
    Seeds,
    Table,
    TrainingSettings,
)
from rdt.experiment.values import Loader, load_yaml, parse, parse_fields, unknown, wrong

EXPERIMENTS = ROOT / "experiments"

PATHS = ("annotations", "images", "features", "caption_features", "retrieval_features")  # the paths in Data
NOT_EXPERIMENTS = ("tables", "differences", "controls", "readings")  # files in their folder
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # a name becomes a folder of results/ and reports/

LANGUAGE = re.compile(r"[a-z]{2,3}")  # ISO 639


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """The keys of an experiment file, before the preset is read; ``base`` and ``budgets`` have been merged."""

    name: str
    data: dict[Role, Data]
    model: ModelSettings
    training: TrainingSettings
    encoder: EncoderSettings | None = None
    base: str = ""
    budgets: dict[str, Any] = dataclasses.field(default_factory=dict)  # by name, keys of a file
    method: str = "paper"
    override: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields of Method
    seeds: tuple[Seed, ...] | Seeds = (0,)  # a list is for both phases
    tables: tuple[Table, ...] | Literal["all"] = "all"
    rows: dict[Table, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # of a table, those to run
    extra_rows: dict[Table, tuple[GivenRow, ...]] = dataclasses.field(default_factory=dict)  # from results files
    metrics: MetricSettings = MetricSettings()
    data_root: str = "."


def load_experiment(
    name_or_path: str | Path, data_root: str | Path | None = None, overrides: Sequence[str] = ()
) -> Experiment:
    """Read ``experiments/<name>.yaml``, or the file at a path that ends in ``.yaml`` or ``.yml``.

    A file with ``base: coco`` is that experiment with its own keys over the base's keys of the same name.
    ``name:gpu`` is the experiment with the keys that its ``budgets`` hold under ``gpu`` put over its own,
    and with results of its own, ``name-gpu``.
    ``data_root`` replaces the file's own; each of ``overrides`` is ``dotted.key=value`` with the
    value in YAML, and replaces that key of the file. Raises ``UserError``.
    """
    name, budget = split_budget(str(name_or_path))
    path = _locate(name)
    content = _with_budget(_with_base(path), budget, path)
    for override in overrides:
        _apply(override, content)
    if data_root is not None:
        content["data_root"] = str(data_root)
    file: ExperimentFile = parse(ExperimentFile, content, path, "")
    _check_name(file.name, path)
    preset = read_preset(file.method, path)
    override = parse_fields(Method, file.override, path, "override")
    experiment = Experiment(
        name=file.name,
        method=dataclasses.replace(preset, **override),
        method_name=file.method,
        data=file.data,
        encoder=file.encoder,
        model=file.model,
        training=file.training,
        seeds=file.seeds if isinstance(file.seeds, Seeds) else Seeds(file.seeds, file.seeds),
        tables=TABLES if file.tables == "all" else file.tables,
        rows=file.rows,
        extra_rows=file.extra_rows,
        metrics=file.metrics,
        data_root=file.data_root,
        path=str(path),
    )
    _check_experiment(experiment, path)
    return experiment


def split_budget(name_or_path: str) -> tuple[str, str]:
    """``flickr8k:gpu`` -> (``flickr8k``, ``gpu``); the budget is "" where none is named, whatever colons a path has."""
    named = re.fullmatch(rf"(.+):({NAME.pattern})", name_or_path)
    return (named[1], named[2]) if named else (name_or_path, "")


def experiment_names() -> list[str]:
    """Names of the experiments of the repository."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem not in NOT_EXPERIMENTS)


def check_data(experiment: Experiment) -> None:
    """Raise a ``UserError`` at the first file or folder of real data, or of a row's results, that is not there."""
    for table, rows in experiment.extra_rows.items():
        for path in (Path(experiment.data_root) / name for row in rows for name in row.captions.values()):
            if not path.is_file():
                problem = f"extra_rows.{table} names the file {path}, which does not exist"
                raise UserError(experiment.path, problem, f"correct it, or data_root (now {experiment.data_root!r})")
    for role, data in experiment.data.items():
        if data.source == "scenes":
            continue
        for key in PATHS:
            if key == "images" and data.features:
                continue  # with published features the photographs themselves are not read
            kind = {"annotations": "file", "images": "folder"}.get(key, "folder or file")
            names = data.annotation_files if key == "annotations" else (getattr(data, key),)
            for wanted in (Path(experiment.data_root) / name for name in names if name):
                if (wanted.is_file() and "file" in kind) or (wanted.is_dir() and "folder" in kind):
                    continue
                raise UserError(
                    experiment.path,
                    f"data.{role}.{key} names the {kind} {wanted}, which does not exist",
                    f"put the data set of role {role} there, or set data_root (now {experiment.data_root!r})",
                )


# ---- files


def _locate(name_or_path: str) -> Path:
    return locate(name_or_path, "experiment", EXPERIMENTS, experiment_names())


def locate(name_or_path: str, kind: str, folder: Path, known: Sequence[str]) -> Path:
    """The file at a path, or ``folder``/<name>.yaml of one of the ``known`` names; raises ``UserError``."""
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        if not path.is_file():
            raise UserError(path, f"the {kind} file does not exist", "correct the path")
        return path
    if name_or_path not in known:
        unknown(short(folder), kind, name_or_path, known)
    return short(folder / f"{name_or_path}.yaml")


def short(path: Path) -> Path:
    """A path of the repository as a user in the repository would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _with_base(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Keys of a file over the keys of its base; ``below`` are the files that name it as their base."""
    content = load_yaml(path)
    name = content.pop("base", None)
    if name is None:
        return content
    if not isinstance(name, str):
        wrong(path, "base", name, "the name of an experiment, or the path of a file")
    name, budget = split_budget(name)
    beside = path.parent / name  # a path is relative to the file that it stands in
    base = beside if beside.suffix in (".yaml", ".yml") and beside.is_file() else _locate(name)
    if base.resolve() in (seen := (*below, path.resolve())):
        raise UserError(path, f"base {name!r} leads back to this file", "name another experiment")
    inherited = _with_base(base, seen)
    if budget:
        inherited = _with_budget(inherited, budget, base)
    inherited.pop("name", None)  # two experiments never share a folder
    return _merged(inherited, content)


def _with_budget(content: dict[str, Any], budget: str, path: Path) -> dict[str, Any]:
    """``content`` with the keys of one of its budgets over its own, or as it is."""
    budgets = content.pop("budgets", {})
    if not budget:
        return content
    if not budgets:
        raise UserError(path, f"budget {budget!r} is asked for, and the file has no budgets", f"leave ':{budget}' out")
    if not isinstance(budgets, dict) or not isinstance(budgets.get(budget), dict):
        unknown(path, "budget", budget, [name for name in budgets if isinstance(name, str)])
    return _merged(content, budgets[budget]) | {"name": f"{content.get('name')}-{budget}"}


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``new`` over ``old``, group by group; a key that is null in ``new`` is taken away."""
    result = old | {key: value for key, value in new.items() if value is not None}
    for key, value in new.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            result[key] = _merged(old[key], value)
    return result


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_preset(name: str, path: Path) -> Method:
    """The method of ``experiments/method/<name>.yaml``, which the file ``path`` asks for."""
    presets = sorted(file.stem for file in (EXPERIMENTS / "method").glob("*.yaml"))
    if name not in presets:
        unknown(path, "method", name, presets)
    file = short(EXPERIMENTS / "method" / f"{name}.yaml")
    return parse(Method, load_yaml(file), file, "")


def _apply(override: str, content: dict[str, Any]) -> None:
    dotted, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--set {override}", "expected KEY=VALUE", "write for example model.dim=32")
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = content.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UserError(f"--set {override}", f"{parent} is not a group of keys", "correct the key")
        content = inner
    try:
        content[last] = yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError):
        raise UserError(f"--set {override}", "the value is not YAML", "quote it") from None


# ---- several keys together


def _check_name(name: str, path: Path) -> None:
    if not NAME.fullmatch(name):
        wrong(path, "name", name, "letters, digits, - and _, at most 100 (it becomes a folder)")
    if name in experiment_names() and path.resolve() != (EXPERIMENTS / f"{name}.yaml").resolve():
        problem = f"name {name!r} belongs to experiments/{name}.yaml, and both would write results/{name}"
        raise UserError(path, problem, "give your experiment a name of its own")


def _check_experiment(experiment: Experiment, path: Path) -> None:
    model, method = experiment.model, experiment.method
    if model.dim % model.heads:
        wrong(path, "model.dim", model.dim, f"a multiple of model.heads ({model.heads})")
    if method.time_delta >= method.steps:
        wrong(path, "override.time_delta", method.time_delta, f"less than the method's steps ({method.steps})")
    second = [seed for seed in experiment.seeds.rl if seed not in experiment.seeds.xe]
    if second:
        wrong(path, "seeds.rl", list(experiment.seeds.rl), f"only seeds of seeds.xe, which lacks {second[0]}")
    if not LANGUAGE.fullmatch(experiment.metrics.language):
        wrong(path, "metrics.language", experiment.metrics.language, "the code of a language, such as en, de or zh")
    if "primary" not in experiment.data:
        raise UserError(path, "the key data.primary is missing", "name the data set of Tables II, III and V-VIII")
    for role, data in experiment.data.items():
        _check_role(role, data, path)
        if experiment.encoder is None and not data.features:
            problem = f"the key encoder is missing, and data.{role} has no published features"
            raise UserError(path, problem, f"add encoder, or data.{role}.features and data.{role}.caption_features")


def _check_role(role: Role, data: Data, path: Path) -> None:
    """A role has the source it can have, the keys its source needs, and none that it would not read."""
    key = f"data.{role}"
    allowed = ("scenes", "nocaps") if role == "novel" else ("scenes", "karpathy")
    if data.source not in allowed:
        wrong(path, f"{key}.source", data.source, " or ".join(allowed))
    sizes = ("train", "val", "test")
    if data.source == "scenes":
        needed, unread = (("test",) if role == "novel" else sizes), PATHS
    else:
        needed, unread = ("annotations",), sizes
        if not (data.images or data.features):
            raise UserError(path, f"{key} has neither images nor features", f"add {key}.images or {key}.features")
        if bool(data.features) != bool(data.caption_features):
            lone, other = ("features", "caption_features")[:: 1 if data.features else -1]
            raise UserError(path, f"{key}.{lone} is given without {key}.{other}", f"add {key}.{other}")
        if data.retrieval_features and not data.features:
            problem = f"{key}.retrieval_features is given without {key}.features"
            raise UserError(path, problem, f"add {key}.features, or remove it: the encoder has one space")
    for name in needed:
        if not getattr(data, name):
            raise UserError(path, f"the key {key}.{name} is missing or 0", f"source {data.source!r} needs it")
    for name in unread:
        if getattr(data, name):
            raise UserError(path, f"{key}.{name} is given, but source {data.source!r} does not read it", "remove it")
