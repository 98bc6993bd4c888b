"""The JSON Schema of hookchain.yaml, including the settings of every step and every kind of destination."""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from deploy.config.configuration import Configuration
from deploy.config.sections.kinds import destination_kinds, settings_model
from deploy.config.sections.provider_event_types import known_event_types
from deploy.config.sections.schema_document import DIALECT
from functions.notify.own_kinds import NO_OWN_KINDS, OwnKinds
from functions.transform import step_classes, verifying
from functions.transform.step import MAX_STEPS
from shared.jsontext import Json, JsonObject, mapping_at

_MODE: Final[JsonSchemaMode] = "validation"
_DURATION: Final = {"type": "string", "pattern": r"^\d+(\.\d+)?(s|m|h|d)$", "description": "90s, 5m, 2h or 1d"}


class _AsWritten(GenerateJsonSchema):
    """A schema that also allows short forms: an item for a list, `5m` for seconds, `none` for no auth scheme, the
    expression for a column."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        whole = super().function_before_schema(schema)
        match getattr(schema["function"]["function"], "__name__", ""):
            case "listed" | "_listed":
                return {"anyOf": [whole.get("items", {}), whole]}
            case "_schemes":
                return {"anyOf": [{"const": "none"}, whole.get("items", {}), whole]}
            case "as_column":
                return {"anyOf": [{"type": "string"}, whole]}
            case "duration_seconds":
                return {"anyOf": [whole, dict(_DURATION)]}
        return whole


def config_schema(own: step_classes.StepClasses, own_kinds: OwnKinds = NO_OWN_KINDS) -> JsonObject:
    """Return the schema. `own` and `own_kinds` are the operator's own steps and kinds of destinations."""
    steps = {**step_classes.step_classes(), **own}
    settings = {name: verifying.settings_model(step) for name, step in steps.items()}
    kinds = {kind: settings_model(kind, own_kinds) for kind in (*destination_kinds(), *own_kinds)}
    models: list[type[BaseModel]] = [Configuration, *settings.values(), *kinds.values()]
    references, whole = models_json_schema([(model, _MODE) for model in models], schema_generator=_AsWritten)
    definitions = mapping_at(whole, "$defs")
    bundle = mapping_at(definitions, "Configuration")
    del definitions["Configuration"]
    _offer_event_types(definitions)
    _add_steps(definitions, bundle, {name: references[model, _MODE] for name, model in settings.items()}, steps)
    _add_kinds(mapping_at(definitions, "DestinationConfig"), {kind: references[m, _MODE] for kind, m in kinds.items()})
    _allow_files(definitions, [references[model, _MODE] for model in (*settings.values(), *kinds.values())])
    return {"$schema": DIALECT, "title": "hookchain.yaml", **bundle, "$defs": dict(sorted(definitions.items()))}


def _add_steps(
    definitions: JsonObject, bundle: JsonObject, references: Mapping[str, JsonObject], classes: step_classes.StepClasses
) -> None:
    """Define a step as an object with one of these keys. Editors show the step's summary."""
    definitions["Step"] = {
        "type": "object",
        "properties": {
            name: {"description": classes[name].summary, "allOf": [reference]} for name, reference in references.items()
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    definitions["Steps"] = {
        "anyOf": [
            {"type": "array", "items": {"$ref": "#/$defs/Step"}, "maxItems": MAX_STEPS},
            {"type": "string", "description": "the name of a chain"},
        ]
    }
    steps: JsonObject = {"$ref": "#/$defs/Steps"}
    mapping_at(definitions, "RouteConfig", "properties")["steps"] = steps
    mapping_at(bundle, "properties", "chains")["additionalProperties"] = steps


def _offer_event_types(definitions: JsonObject) -> None:
    """Let editors complete the event types of providers. Every other text is valid too."""
    names: list[Json] = [*sorted({each for known in known_event_types().values() for each in known.names()})]
    definitions["EventType"] = {"anyOf": [{"enum": names}, {"type": "string"}]}
    pattern: JsonObject = {"$ref": "#/$defs/EventType"}
    types = mapping_at(definitions, "RouteConfig", "properties", "types")
    types["anyOf"] = [pattern, {"type": "array", "items": pattern, "minItems": 1}]


def _add_kinds(destination: JsonObject, kinds: Mapping[str, JsonObject]) -> None:
    """Require one of the kinds beside the settings that every destination has."""
    mapping_at(destination, "properties").update(kinds)
    destination["additionalProperties"] = False
    destination["oneOf"] = [{"required": [kind]} for kind in kinds]


def _allow_files(definitions: JsonObject, references: Iterable[JsonObject]) -> None:
    """Allow `{file: NAME}` in place of any setting of a step or a destination."""
    definitions["File"] = {
        "type": "object",
        "properties": {"file": {"type": "string", "description": "relative to the configuration's folder"}},
        "required": ["file"],
        "additionalProperties": False,
    }
    for reference in references:
        properties = mapping_at(definitions, str(reference["$ref"]).rpartition("/")[2], "properties")
        properties |= {name: {"anyOf": [each, {"$ref": "#/$defs/File"}]} for name, each in properties.items()}
