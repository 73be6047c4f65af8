"""YAML to dataclasses by pydantic: types and ranges as annotated, or one sentence about what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from rdt.errors import UserError
from rdt.files import yaml_problem

# To look for pydantic's plugins among all installed packages would take longer than to read a file.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the one in C is ten times as fast
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


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, safely read; raises ``UserError`` for anything else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except yaml.YAMLError as error:
        raise UserError(path, yaml_problem(error), "correct the YAML") from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(path, f"cannot be read: {error}", "expected a YAML file in UTF-8") from None
    if not isinstance(content, dict):
        raise UserError(path, f"found {_shown(content)}, expected keys and values", "see experiments/scenes.yaml")
    return content


# ---- values


def parse(kind: Any, value: Any, path: Path, key: str) -> Any:
    """What ``key`` of a YAML file holds ("" for the whole file) as a ``kind``, such as a dataclass.

    Every field without a default is required. Raises a UserError that names file and key.
    """
    try:
        content = to_json(value)  # from which pydantic, strict, takes lists for tuples and mappings for dataclasses
    except PydanticSerializationError as error:
        raise UserError(path, f"{key or 'the file'} cannot be read: {error}", "write text, numbers and lists") from None
    try:
        return _reader(kind).validate_json(content, strict=True, extra="forbid")
    except ValidationError as error:
        _explain(error.errors(), kind, from_json(content), path, key)


@functools.cache
def _reader(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def parse_part(kind: type, value: Any, path: Path, key: str) -> dict[str, Any]:
    """Those fields of the dataclass ``kind`` that are given, checked like all of them by :func:`parse`."""
    hints = get_type_hints(kind, include_extras=True)
    part = dataclasses.make_dataclass(kind.__name__, [(name, hint, None) for name, hint in hints.items()])
    checked = parse(part, value, path, key)
    return {name: getattr(checked, name) for name in value}


# ---- messages

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list of one or more values",
    "too_short": "a list of one or more values",
    "dict_type": "keys and values",
    "dataclass_type": "keys and values",
}


def _explain(errors: Sequence[Mapping[str, Any]], kind: Any, content: Any, path: Path, key: str) -> NoReturn:
    """Raise the ``UserError`` of one of pydantic's errors: of an unknown key, or else of the deepest.

    Of the alternatives of a union each has its errors, and the deepest belong to the one that was meant.
    """
    found = [(error, _place(error, content)) for error in errors]
    for error, place in found:
        if error["type"] == "unexpected_keyword_argument" or error["loc"][-1] == "[key]":
            hint = _hint(place[-1], _names(kind, place[:-1]))
            raise UserError(path, f"unknown key {_dotted(key, place)}", hint)
    error, place = max(found, key=lambda one: (len(one[1]), not one[0]["type"].endswith("_type")))
    dotted, value = _dotted(key, place), error["input"]
    if error["type"] == "missing":
        raise UserError(path, f"the key {dotted} is missing", "add it")
    if error["type"] == "literal_error":
        choices = [choice.strip("'") for choice in re.split(", | or ", error["ctx"]["expected"])]
        problem = f"{dotted} is {_shown(value)}, expected one of {', '.join(choices)}"
        raise UserError(path, problem, _hint(value, choices) if isinstance(value, str) else "correct the value")
    if error["type"] == "value_error":
        wrong(path, dotted, value, str(error["ctx"]["error"]))
    expected = [EXPECTED[other["type"]] for other, where in found if where == place and other["type"] in EXPECTED]
    wrong(path, dotted, value, ", or ".join(expected) or error["msg"])


def _place(error: Mapping[str, Any], content: Any) -> list[Any]:
    """Keys and positions that lead to an error, without what pydantic puts between, such as names of types."""
    place = []
    for step in error["loc"]:
        if (isinstance(content, dict) and step in content) or (isinstance(content, list) and isinstance(step, int)):
            place.append(step)
            content = content[step]
    return [*place, error["loc"][-1]] if error["type"] == "missing" else place


def _names(kind: Any, place: Sequence[Any]) -> list[str]:
    """The keys that a ``kind`` has at a place."""
    inner: dict[str, Any] = {}
    if dataclasses.is_dataclass(kind):
        inner = get_type_hints(kind)
    elif get_origin(kind) is dict:
        names, value = get_args(kind)
        inner = dict.fromkeys(get_args(names), value)
    else:  # a union, or a list
        return [name for part in get_args(kind) for name in _names(part, place)]
    return _names(inner.get(place[0]), place[1:]) if place else list(inner)


def _dotted(key: str, place: Sequence[Any]) -> str:
    """``place`` below ``key`` as it is written in messages: ``data.primary.source``, ``seeds[1]``."""
    return (key + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)).lstrip(".")


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wrong(path: Path, key: str, value: Any, expected: str) -> NoReturn:
    """Raise the ``UserError`` of a value that the key of a file cannot have."""
    raise UserError(path, f"{key or 'the file'} is {_shown(value)}, expected {expected}", "correct the value")


def unknown(path: Path, what: str, name: Any, known: Collection[Any]) -> NoReturn:
    """Raise the ``UserError`` of a name that is none of the ``known`` ones."""
    raise UserError(path, f"unknown {what} {name}", _hint(name, known))


def _hint(value: Any, known: Collection[Any]) -> str:
    """Which of the ``known`` words was probably meant."""
    import difflib  # only where there is a mistake

    choices = [str(choice) for choice in known]
    close = difflib.get_close_matches(str(value), choices, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(choices)}"
