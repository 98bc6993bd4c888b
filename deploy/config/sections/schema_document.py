"""A JSON Schema in the configuration: written out, or in a file that it names."""

import json
from pathlib import Path
from typing import Final

import yaml

from deploy.config.config_file import unreadable
from shared.jsontext import Json

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class SchemaFault(ValueError):
    """The schema cannot be used. The text says why."""


def schema_document(setting: Json, folder: Path) -> Json:
    """Return the schema that the setting has: a schema, or a file's name or `{file: NAME}`, relative to the folder.

    Raises SchemaFault.
    """
    if isinstance(setting, dict) and setting.keys() == {"file"}:
        setting = setting["file"]
    document = _read(setting, folder) if isinstance(setting, str) else setting
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
    # Imported here, because it is slow to import, and few sources have a schema.
    from jsonschema import Draft202012Validator, SchemaError

    from shared.schema import reference_outside

    if not isinstance(document, dict):
        raise SchemaFault("must be a JSON Schema, which is an object")
    if str(document.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        raise SchemaFault(f"`$schema` must be {DIALECT}, or be left out")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the schema"
        raise SchemaFault(f"must be a JSON Schema: {place}: {error.message[:200]}") from error
    if (reference := reference_outside(document)) is not None:
        raise SchemaFault(f"{reference!r} must refer to a part of this schema. Copy the other one into `$defs`")
