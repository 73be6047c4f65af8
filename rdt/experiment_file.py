"""Reading an experiment file: YAML -> :class:`rdt.config.Experiment`, or one sentence about what is wrong.

Which keys exist, their types, ranges and defaults are taken from the annotations in
:mod:`rdt.config`; what concerns several keys together stands in :func:`_check_together`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml

from rdt.config import TABLES, Data, Encoder, Experiment, Method, Model, Range, Role, Seed, Seeds, Table, Training
from rdt.errors import UserError
from rdt.io import yaml_problem

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
UNIONS = (Union, types.UnionType)
PATHS = ("annotations", "images", "features", "caption_features", "retrieval_features")  # the paths in Data
NOT_EXPERIMENTS = ("tables", "differences")  # files in their folder
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a name becomes a folder of results/ and reports/


@dataclasses.dataclass(frozen=True)
class _File:
    """The keys of an experiment file, before the preset is read; ``base`` and ``budgets`` have been merged."""

    name: str
    data: dict[Role, Data]
    model: Model
    training: Training
    encoder: Encoder | None = None
    base: str = ""
    budgets: dict[str, Any] = dataclasses.field(default_factory=dict)  # by name, keys of a file
    method: str = "paper"
    override: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields of Method
    seeds: tuple[Seed, ...] | Seeds = (0,)  # a list is for both phases
    tables: tuple[Table, ...] | Literal["all"] = "all"
    rows: dict[Table, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # of a table, those to run
    data_root: str = "."


def read(name_or_path: str | Path, data_root: str | Path | None = None, overrides: Sequence[str] = ()) -> Experiment:
    """Read ``experiments/<name>.yaml``, or the file at a path that ends in ``.yaml`` or ``.yml``.

    A file with ``base: coco`` is that experiment, in which its other keys replace those of the same name.
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
    file: _File = parse(_File, content, path, "")
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
        data_root=file.data_root,
        path=str(path),
    )
    _check_together(experiment, path)
    return experiment


def split_budget(name_or_path: str) -> tuple[str, str]:
    """``flickr8k:gpu`` -> (``flickr8k``, ``gpu``); the budget is "" where none is named, whatever colons a path has."""
    named = re.fullmatch(rf"(.+):({NAME.pattern})", name_or_path)
    return (named[1], named[2]) if named else (name_or_path, "")


def names() -> list[str]:
    """Names of the experiments of the repository."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem not in NOT_EXPERIMENTS)


def check_data(experiment: Experiment) -> None:
    """Raise a ``UserError`` at the first file or folder of a real data set that is not there."""
    for role, data in experiment.data.items():
        if data.source == "scenes":
            continue
        for key in PATHS:
            value = getattr(data, key)
            if not value or (key == "images" and data.features):
                continue  # with published features the photographs themselves are not read
            wanted = Path(experiment.data_root) / value
            kind, found = ("file", wanted.is_file()) if key == "annotations" else ("folder", wanted.is_dir())
            if not found:
                raise UserError(
                    experiment.path,
                    f"data.{role}.{key} names the {kind} {wanted}, which does not exist",
                    f"put the data set of role {role} there, or set data_root (now {experiment.data_root!r})",
                )


# ---- files


def _locate(name_or_path: str) -> Path:
    return locate(name_or_path, "experiment", EXPERIMENTS, names())


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
    """The keys of a file over those of its base; ``below`` are the files that name it as theirs."""
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


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads ``1e-3`` as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, safely read; raises ``UserError`` for anything else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        raise UserError(path, yaml_problem(error), "correct the YAML") from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(path, f"cannot be read: {error}", "expected a YAML file in UTF-8") from None
    if not isinstance(content, dict):
        raise UserError(path, f"found {_shown(content)}, expected keys and values", "see experiments/scenes.yaml")
    return content


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
        content[last] = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise UserError(f"--set {override}", "the value is not YAML", "quote it") from None


# ---- values


def parse(kind: type, value: Any, path: Path, key: str) -> Any:
    """An instance of the dataclass ``kind`` from what ``key`` of a YAML file holds ("" for the whole file).

    Every field without a default is required. Raises a UserError that names file and key.
    """
    given = parse_fields(kind, value, path, key)
    for item in dataclasses.fields(kind):
        if _is_required(item) and item.name not in given:
            raise UserError(path, f"the key {_dotted(key, item.name)} is missing", "add it")
    return kind(**given)


def parse_fields(kind: type, value: Any, path: Path, key: str) -> dict[str, Any]:
    """The given fields of ``kind``, checked; unknown keys are errors."""
    if not isinstance(value, Mapping):
        wrong(path, key, value, "keys and values")
    hints = get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in hints:
            _unknown_key(path, key, name, hints)
    return {name: _convert(hints[name], item, path, _dotted(key, name)) for name, item in value.items()}


def _convert(hint: Any, value: Any, path: Path, key: str) -> Any:
    """``value`` as the type that ``hint`` names; raises ``UserError`` for another type or range."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        converted = _convert(arguments[0], value, path, key)
        if converted not in arguments[1]:
            wrong(path, key, value, f"a number {arguments[1]}")
        return converted
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            _not_one_of(path, key, value, arguments)
        return value
    if origin in UNIONS:  # a list, or what stands for one; or a group that can be absent
        listed, other = arguments
        if other is types.NoneType:
            return _convert(listed, value, path, key)
        if dataclasses.is_dataclass(other) and not isinstance(value, list | dict):
            names = ", ".join(field.name for field in dataclasses.fields(other))
            wrong(path, key, value, f"a list, or one under each of {names}")
        return _convert(listed if isinstance(value, list) else other, value, path, key)
    if origin is tuple:
        if not isinstance(value, list) or not value:
            wrong(path, key, value, "a list of one or more values")
        if len(set(map(repr, value))) < len(value):
            wrong(path, key, value, "each value once")
        return tuple(_convert(arguments[0], item, path, f"{key}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        return _convert_mapping(arguments, value, path, key)
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, path, key)
    return _scalar(hint, value, path, key)


def _convert_mapping(arguments: tuple[Any, Any], value: Any, path: Path, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        wrong(path, key, value, "keys and values")
    key_hint, item_hint = arguments
    if item_hint is Any:
        return value
    for name in value:
        if name not in get_args(key_hint):
            _unknown_key(path, key, name, get_args(key_hint))
    return {name: _convert(item_hint, item, path, _dotted(key, name)) for name, item in value.items()}


def _scalar(hint: type, value: Any, path: Path, key: str) -> Any:
    if hint is float and type(value) is int:  # an exact type: True is no number
        return float(value)
    if type(value) is not hint:
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
        wrong(path, key, value, expected)
    return value


# ---- several keys together


def _check_name(name: str, path: Path) -> None:
    if not NAME.fullmatch(name):
        wrong(path, "name", name, "letters, digits, - and _ (it becomes a folder)")
    if name in names() and path.resolve() != (EXPERIMENTS / f"{name}.yaml").resolve():
        problem = f"name {name!r} belongs to experiments/{name}.yaml, and both would write results/{name}"
        raise UserError(path, problem, "give your experiment a name of its own")


def _check_together(experiment: Experiment, path: Path) -> None:
    model, method = experiment.model, experiment.method
    if model.dim % model.heads:
        wrong(path, "model.dim", model.dim, f"a multiple of model.heads ({model.heads})")
    if method.time_delta >= method.steps:
        wrong(path, "override.time_delta", method.time_delta, f"less than the method's steps ({method.steps})")
    second = [seed for seed in experiment.seeds.rl if seed not in experiment.seeds.xe]
    if second:
        wrong(path, "seeds.rl", list(experiment.seeds.rl), f"only seeds of seeds.xe, which lacks {second[0]}")
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


# ---- messages


def _dotted(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wrong(path: Path, key: str, value: Any, expected: str) -> NoReturn:
    """Raise the ``UserError`` of a value that the key of a file cannot have."""
    raise UserError(path, f"{key or 'the file'} is {_shown(value)}, expected {expected}", "correct the value")


def _not_one_of(path: Path, key: str, value: Any, known: Collection[Any]) -> NoReturn:
    expected = ", ".join(map(str, known))
    problem = f"{key} is {_shown(value)}, expected one of {expected}"
    raise UserError(path, problem, _hint(value, known) if isinstance(value, str) else "correct the value")


def unknown(path: Path, what: str, name: Any, known: Collection[Any]) -> NoReturn:
    """Raise the ``UserError`` of a name that is none of the ``known`` ones."""
    raise UserError(path, f"unknown {what} {name}", _hint(name, known))


def _unknown_key(path: Path, key: str, name: Any, known: Collection[str]) -> NoReturn:
    raise UserError(path, f"unknown key {_dotted(key, name)}", _hint(name, known))


def _hint(value: Any, known: Collection[Any]) -> str:
    """Which of the ``known`` words was probably meant."""
    choices = [str(choice) for choice in known]
    close = difflib.get_close_matches(str(value), choices, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(choices)}"


# ---- JSON schema


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of an experiment file; one with a base may leave out what the base has."""
    schema = _schema(_File)
    schema["properties"]["override"] = _schema(Method)
    keys = {name: {"$ref": f"#/properties/{name}"} for name in schema["properties"]}
    for name in ("name", "base", "budgets"):
        del keys[name]
    budget = {"type": "object", "properties": keys, "additionalProperties": False}
    schema["properties"]["budgets"] = {"type": "object", "additionalProperties": budget}
    title = "Experiment file of the RDT reproduction suite"
    alone = {"if": {"required": ["base"]}, "then": {"required": ["name"]}, "else": _demands(_File)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema, **alone}


def _schema(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _schema(arguments[0]) | _bounds(arguments[1])
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in UNIONS:
        given = [_schema(argument) for argument in arguments if argument is not types.NoneType]
        return {"anyOf": given} if len(given) > 1 else given[0]
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0]), "minItems": 1, "uniqueItems": True}
    if origin is dict:
        names = {} if arguments[1] is Any else {name: _schema(arguments[1]) for name in get_args(arguments[0])}
        return {"type": "object", "properties": names, "additionalProperties": False}
    if dataclasses.is_dataclass(hint):
        properties = {name: _schema(inner) for name, inner in get_type_hints(hint, include_extras=True).items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": {int: "integer", float: "number", bool: "boolean", str: "string"}[hint]}


def _demands(hint: Any) -> dict[str, Any]:
    """The part of a schema that says which keys a complete file has."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in UNIONS:
        return {key: value for argument in arguments for key, value in _demands(argument).items()}
    if origin is dict and arguments[1] is not Any:
        inner = dict.fromkeys(get_args(arguments[0]), arguments[1])
    elif dataclasses.is_dataclass(hint):
        inner = get_type_hints(hint, include_extras=True)
    else:
        return {}
    required = [item.name for item in dataclasses.fields(hint) if _is_required(item)] if origin is not dict else []
    properties = {name: demands for name, part in inner.items() if (demands := _demands(part))}
    return ({"required": required} if required else {}) | ({"properties": properties} if properties else {})


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _bounds(bounds: Range) -> dict[str, float]:
    least, most = bounds.least, bounds.most
    result = {"exclusiveMinimum" if bounds.open_left else "minimum": least}
    if most != float("inf"):
        result["exclusiveMaximum" if bounds.open_right else "maximum"] = most
    return result
