"""The JSON schema of an experiment file, made from the dataclasses that it is read into.

``python -m rdt.experiment.schema`` writes ``workflow/schemas/experiment.schema.json`` again.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from rdt.digests import ROOT
from rdt.experiment.file import ExperimentFile
from rdt.experiment.settings import Method
from rdt.files import atomic_write_json

SCHEMA_FILE = ROOT / "workflow" / "schemas" / "experiment.schema.json"


class _Whole(GenerateJsonSchema):
    """Groups of settings that allow no other keys."""

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        return super().dataclass_schema(schema) | {"additionalProperties": False}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Part(_Whole):
    """The same groups where every key may be left out."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of an experiment file; one with a base may leave out what the base has."""
    file = TypeAdapter(ExperimentFile)
    schema = file.json_schema(schema_generator=_Part)
    schema["properties"]["override"] = TypeAdapter(Method).json_schema(schema_generator=_Part)
    keys = {name: {"$ref": f"#/properties/{name}"} for name in schema["properties"]}
    for name in ("name", "base", "budgets"):
        del keys[name]
    budget = {"type": "object", "properties": keys, "additionalProperties": False}
    schema["properties"]["budgets"] = {"type": "object", "additionalProperties": budget}
    alone = file.json_schema(schema_generator=_Whole, ref_template="#/else/$defs/{model}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Experiment file of the RDT reproduction suite",
        "if": {"required": ["base"]},
        "then": {"required": ["name"]},
        "else": alone,
    }


if __name__ == "__main__":
    atomic_write_json(SCHEMA_FILE, json_schema())
