"""YAML to dataclasses: every key's type and range as its annotation says, or one sentence about what is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml

from rdt.errors import UserError
from rdt.experiment.settings import Range
from rdt.files import SafeLoader, yaml_problem

DEEPEST = 50  # levels of a YAML file; the reader's own stack ends at some thousand, and Python with it
MOST_VALUES = 100_000  # of a YAML file
UNIONS = (Union, types.UnionType)


class Loader(SafeLoader):
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


def load_yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, safely read; raises ``UserError`` for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
        _check_extent(path, text)
        content = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise UserError(path, yaml_problem(error), "correct the YAML") from None
    except (ValueError, OSError) as error:  # ValueError: other encodings, dates of no calendar, endless numbers
        raise UserError(path, f"cannot be read: {error}", "expected a YAML file in UTF-8") from None
    if not isinstance(content, dict):
        raise UserError(path, f"found {_shown(content)}, expected keys and values", "see experiments/scenes.yaml")
    return content


def _check_extent(path: Path, text: str) -> None:
    """UserError where YAML is nested so deeply, or its aliases stand for so much, that reading it would not end."""
    open_nodes, sizes = [["", 0]], {}  # anchor and number of values of each node that has begun; of those with anchors
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append([event.anchor, 1])
            if len(open_nodes) > DEEPEST:
                raise UserError(path, f"is nested more than {DEEPEST} levels deep", "correct the YAML")
        elif isinstance(event, yaml.CollectionEndEvent | yaml.ScalarEvent | yaml.AliasEvent):
            ended = isinstance(event, yaml.CollectionEndEvent)
            anchor, size = open_nodes.pop() if ended else (event.anchor, 1)
            size = sizes.get(anchor, 1) if isinstance(event, yaml.AliasEvent) else size
            sizes[anchor] = size
            open_nodes[-1][1] += size
            if open_nodes[-1][1] > MOST_VALUES:
                raise UserError(path, f"holds more than {MOST_VALUES:,} values, aliases counted", "correct the YAML")


# ---- values


def parse(kind: type, value: Any, path: Path, key: str) -> Any:
    """An instance of the dataclass ``kind`` from what ``key`` of a YAML file holds ("" for the whole file).

    Every field without a default is required. Raises a UserError that names file and key.
    """
    given = parse_fields(kind, value, path, key)
    for item in dataclasses.fields(kind):
        if is_required(item) and item.name not in given:
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
        for allowed in arguments[1:]:
            if isinstance(allowed, Range) and converted not in allowed:
                wrong(path, key, value, f"a number {allowed}")
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
    if type(value) is int and abs(value) >= 2**63:
        wrong(path, key, value, "a number of at most 64 bits")
    if hint is float and type(value) is int:  # an exact type: True is no number
        return float(value)
    if type(value) is not hint:
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
        wrong(path, key, value, expected)
    return value


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


def is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
