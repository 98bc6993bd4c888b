"""A source's JSON Schema, as it is put into receive's slice."""

import json
from pathlib import Path
from typing import Final

import yaml

from deploy.config.faults import unreadable
from shared.jsontext import Json

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class SchemaFault(ValueError):
    """The schema cannot be used; its text says why."""


def schema_document(written: Json, folder: Path) -> Json:
    """The schema itself, or the one in the file of this name. Raises SchemaFault."""
    document = _read(written, folder) if isinstance(written, str) else written
    _verify(document)
    return document


def _read(name: str, folder: Path) -> Json:
    try:
        text = (folder / name).read_text(encoding="utf-8")
        document: Json = yaml.safe_load(text) if name.endswith((".yaml", ".yml")) else json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaFault(unreadable(name)) from error
    except (ValueError, yaml.YAMLError) as error:
        raise SchemaFault(f"the file {name!r} is not {'YAML' if name.endswith('ml') else 'JSON'}") from error
    return document


def _verify(document: Json) -> None:
    from jsonschema import Draft202012Validator, SchemaError  # slow to import, and few sources have a schema

    from shared.schema import reference_outside

    if not isinstance(document, dict):
        raise SchemaFault("a JSON Schema is an object")
    if str(document.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        raise SchemaFault(f"the schema is of another dialect: `$schema` is {DIALECT}, or is not there")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the schema"
        raise SchemaFault(f"is no JSON Schema: {place}: {error.message[:200]}") from error
    if (reference := reference_outside(document)) is not None:
        raise SchemaFault(f"{reference!r} leads out of the schema: put what it names into `$defs`")
