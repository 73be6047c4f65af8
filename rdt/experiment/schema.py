"""The JSON schema of an experiment file, made from the dataclasses that it is read into.

``python -m rdt.experiment.schema`` writes ``workflow/schemas/experiment.schema.json`` again.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from rdt.digests import ROOT
from rdt.experiment.file import ExperimentFile
from rdt.experiment.settings import Method, Range
from rdt.experiment.values import UNIONS, is_required
from rdt.files import atomic_write_json

SCHEMA_FILE = ROOT / "workflow" / "schemas" / "experiment.schema.json"


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of an experiment file; one with a base may leave out what the base has."""
    schema = _schema(ExperimentFile)
    schema["properties"]["override"] = _schema(Method)
    keys = {name: {"$ref": f"#/properties/{name}"} for name in schema["properties"]}
    for name in ("name", "base", "budgets"):
        del keys[name]
    budget = {"type": "object", "properties": keys, "additionalProperties": False}
    schema["properties"]["budgets"] = {"type": "object", "additionalProperties": budget}
    title = "Experiment file of the RDT reproduction suite"
    alone = {"if": {"required": ["base"]}, "then": {"required": ["name"]}, "else": _demands(ExperimentFile)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema, **alone}


def _schema(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [_bounds(mark) for mark in arguments[1:] if isinstance(mark, Range)]
        return _schema(arguments[0]) | (bounds[0] if bounds else {})
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
    required = [item.name for item in dataclasses.fields(hint) if is_required(item)] if origin is not dict else []
    properties = {name: demands for name, part in inner.items() if (demands := _demands(part))}
    return ({"required": required} if required else {}) | ({"properties": properties} if properties else {})


def _bounds(bounds: Range) -> dict[str, float]:
    least, most = bounds.least, bounds.most
    result = {"exclusiveMinimum" if bounds.open_left else "minimum": least}
    if most != float("inf"):
        result["exclusiveMaximum" if bounds.open_right else "maximum"] = most
    return result


if __name__ == "__main__":
    atomic_write_json(SCHEMA_FILE, json_schema())
