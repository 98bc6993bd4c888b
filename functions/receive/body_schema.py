"""A source's JSON Schema (2020-12), which the parsed body is validated against.

Only a source with a schema imports this module: jsonschema is slow to import.
"""

from typing import Final, cast

from jsonschema import ValidationError

from shared import errors, schema, time_bound
from shared.jsontext import Json, JsonObject

MAX_SECONDS: Final = 0.5
"""The CPU time for one body. A pattern, or a schema with many branches, could otherwise take years for some bodies."""


class SchemaCheck:
    """A check of bodies against a schema, which was itself checked when it was compiled."""

    def __init__(self, document: Json) -> None:
        self._validator = schema.bounded_validator(document)

    def verify(self, data: Json) -> Json:
        """Return the data as it is. Raises Rejected, which names the place and the rule, and no value."""
        try:
            with time_bound.bounded(MAX_SECONDS):
                error = next(self._validator.iter_errors(data), None)
        except (RecursionError, ArithmeticError, ValueError):  # numbers too long to compute with, circular schemas
            raise errors.Rejected("schema_mismatch", "the body cannot be checked against the source's schema") from None
        except time_bound.OutOfTime:
            raise errors.Rejected(
                "schema_mismatch", "the body takes more checking against the source's schema than it is given"
            ) from None
        if error:
            raise errors.Rejected("schema_mismatch", f"{_place(error)} {schema.broken_rule(error)}{_hint(error)}")
        return data


def _hint(error: ValidationError) -> str:
    """Return what helps with a schema of the whole event, and with a text that is to be a number or a boolean.

    Each value of a form is a text.
    """
    if error.validator == "required" and not error.absolute_path:
        missing = set(cast("list[str]", error.validator_value)) - set(cast("JsonObject", error.instance))
        return "; the schema describes the body, which is `data` in the event" if "data" in missing else ""
    is_castable = error.validator == "type" and error.validator_value in ("number", "integer", "boolean")
    return ", which the source's `cast` can convert" if is_castable and isinstance(error.instance, str) else ""


def _place(error: ValidationError) -> str:
    """Return the path to the error. It shows positions and names of the schema, and `*` for any other name."""
    names_in_schema = set(error.absolute_schema_path)
    parts = [str(part) if isinstance(part, int) or part in names_in_schema else "*" for part in error.absolute_path]
    return ".".join(["data", *parts])
