"""Records that a file holds under a seal: their JSON Schema, and what is wrong with one, in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from margin.run.seal import SEAL
from margin.study.record import Record

RULES = {
    "missing": "required",
    "extra_forbidden": "additionalProperties",
    "literal_error": "enum",
    "greater_than_equal": "minimum",
    "less_than_equal": "maximum",
    "too_short": "minItems",
    "uniqueItems": "uniqueItems",
}
"""Rules as JSON Schema names them, by pydantic's names of what breaks them; every other one is "type"."""
OF_A_KEY = ("required", "additionalProperties")
"""Rules that the object breaks which lacks a key, or has one too many."""
SEALED = {"description": "SHA-256 of everything else.", "type": "string", "pattern": "^[0-9a-f]{64}$"}


class StrictRecord(Record):
    """Part of a file that is read again: nothing is made to fit, "3" is no number, and true is none."""

    model_config = ConfigDict(strict=True)


def schema_of(kind: type[Record], title: str, description: str) -> dict[str, Any]:
    """The JSON Schema of a record's file, its checksum included."""
    found = kind.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": title,
        "description": description,
        "properties": {**found["properties"], SEAL: SEALED},
        "required": [*found["required"], SEAL],
    }


def broken_rule(error: ValidationError) -> str:
    """Where a record breaks which rule, of all it breaks the one farthest out: "$.margins[1] ... 'type'"."""
    fault = min(error.errors(include_url=False, include_input=False), key=lambda fault: len(fault["loc"]))
    rule = RULES.get(fault["type"], "type")
    at = fault["loc"][:-1] if rule in OF_A_KEY else fault["loc"]
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at)
    return f"${path} breaks the rule '{rule}'"


@dataclass(frozen=True)
class AsGiven:
    """Marks a dictionary that must hold what `kind` says, and is kept as it stands, with its order."""

    kind: type[Record]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            _kept,
            handler.generate_schema(self.kind),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


def _kept(value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> Any:
    check(value)
    return value


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("uniqueItems", "a value stands twice")
    return values


UniqueTexts = Annotated[list[str], AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})]
"""Texts of which none stands twice."""
