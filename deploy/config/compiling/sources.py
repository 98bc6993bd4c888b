"""Receive's slice: the sources with their providers' settings and JSON Schemas."""

import json
from pathlib import Path
from typing import Final

import yaml

from deploy.config.catalogue import load_catalogue
from deploy.config.compiling.bus_sources import bus_part
from deploy.config.compiling.provider import provider_part
from deploy.config.faults import unreadable
from deploy.config.models.source import SourceConfig
from shared.jsontext import Json, JsonObject

WRITTEN: Final = frozenset(
    {
        *("methods", "max_body_bytes", "allow", "content_types", "body", "unwrap", "unpack", "batch", "dedupe"),
        "cast",
        *("type", "id", "subject", "actor", "time", "respond", "form"),
    }
)
"""The keys that the slice has as they are written."""
_HEADER_TYPE_WORDS: Final = 4


def type_words(source: SourceConfig) -> int:
    """Return how many words of an event type may be logged: several if the catalogue reads it from a header."""
    if source.provider is None or "type" in source.model_fields_set:
        return 1
    located = load_catalogue()[source.provider].event.type
    first = located[0] if isinstance(located, list) else located
    return _HEADER_TYPE_WORDS if first and first.startswith("header.") else 1


def compiled_source(name: str, source: SourceConfig, folder: Path, is_mailed: bool) -> JsonObject:
    """Return the source as the slice has it. Names of files are relative to `folder`.

    The source's own settings override its provider's, which override the defaults. `is_mailed`: a mail shows its bodies
    as they came.
    """
    auth: list[Json] = [each.model_dump(exclude_none=True) for each in source.auth] or [{"scheme": "none"}]
    keep_raw = {True: "all", False: "no", None: "body" if is_mailed else "no"}[source.keep_raw]
    settings: JsonObject = source.model_dump(mode="json", include=set(WRITTEN), exclude_none=True)
    catalogue_part = provider_part(source, load_catalogue()) if source.provider else {}
    if isinstance(provider_cast := catalogue_part.get("cast"), dict) and isinstance(own := settings.get("cast"), dict):
        settings["cast"] = {**provider_cast, **own}
    if source.bus:
        catalogue_part = bus_part(name, source.bus)
    settings_in_file = {key: value for key, value in settings.items() if key in source.model_fields_set}
    compiled: JsonObject = {"auth": auth, "keep_raw": keep_raw, **settings, **catalogue_part, **settings_in_file}
    if (max_words := type_words(source)) > 1:
        compiled["type_words"] = max_words
    if source.schema_ is not None:
        compiled["schema"] = schema_document(source.schema_, folder)
    return compiled


DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class SchemaFault(ValueError):
    """The schema cannot be used. The text says why."""


def schema_document(written: Json, folder: Path) -> Json:
    """Return the schema, or the one in the file of this name. Raises SchemaFault."""
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
