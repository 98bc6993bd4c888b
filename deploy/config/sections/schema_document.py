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
    from shared.schema import verify_schema

    if isinstance(document, dict) and str(document.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        raise SchemaFault(f"`$schema` must be {DIALECT}, or be left out")
    try:
        verify_schema(document)
    except ValueError as error:
        raise SchemaFault(str(error)) from error
