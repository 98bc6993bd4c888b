"""JSON Schema 2020-12, compiled once. Its faults name the place and the rule, and never quote the value."""

from itertools import islice
from typing import TYPE_CHECKING, Final

from shared.jsontext import Json, to_json
from shared.times import unix_seconds
from shared.writers.writing import place_of_senders_key

if TYPE_CHECKING:
    from jsonschema import FormatChecker, ValidationError
    from jsonschema.protocols import Validator

MAX_FAULTS: Final = 10
FORMATS: Final = ("date", "email", "idn-email", "ipv4", "ipv6", "regex", "uuid")
"""Checked, as is date-time; any other `format` is an annotation, as the specification says."""
_SHOWN: Final = 80


class SchemaFault(ValueError):
    """A schema that cannot be used: an error of the configuration."""


class Schema:
    def __init__(self, document: Json) -> None:
        """Raises SchemaFault."""
        self._validator = _validator(document)

    def find_faults(self, value: Json, place: str) -> list[str]:
        """Return at most MAX_FAULTS faults."""
        found: list[str] = []
        try:
            for error in islice(self._validator.iter_errors(value), MAX_FAULTS):
                found.append(_describe(error, place))
        except (RecursionError, ArithmeticError, ValueError):  # numbers that are too long, a text as a regex
            found.append(f"{place} cannot be checked against the schema")
        return found[:MAX_FAULTS]


def _validator(document: Json) -> "Validator":
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import extend
    from referencing import Registry

    from shared.schema import RULES, reference_outside

    if not isinstance(document, dict):
        raise SchemaFault("a JSON Schema is an object")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        path = ".".join(map(str, error.absolute_path))
        raise SchemaFault(f"it is not a JSON Schema: {path or 'its top level'}: {error.message[:200]}") from error
    if (reference := reference_outside(document)) is not None:
        raise SchemaFault(f"{reference!r} leads to nothing in the schema, and nothing is fetched")
    kind = extend(Draft202012Validator, RULES)  # type: ignore[no-untyped-call] # its stubs
    # An empty registry, so that nothing is fetched.
    made: Validator = kind(document, registry=Registry(), format_checker=_format_checker())
    return made


def _format_checker() -> "FormatChecker":
    from jsonschema import FormatChecker

    checker = FormatChecker(FORMATS)
    checker.checks("date-time", raises=ValueError)(_is_time)
    return checker


def _is_time(value: object) -> bool:
    """Raises ValueError if it is not a time."""
    if isinstance(value, str):
        unix_seconds(value)
    return True


def _describe(error: "ValidationError", place: str) -> str:
    for part in error.absolute_path:
        place = f"{place}[{part}]" if isinstance(part, int) else place_of_senders_key(place, str(part))
    return f"{place} {_rule(error)}"


def _rule(error: "ValidationError") -> str:
    """Return the rule by what the operator's schema says; the error's own message quotes the value."""
    from shared.schema import TOO_LONG

    rule, wanted = str(error.validator), error.validator_value
    if error.message == TOO_LONG:
        return TOO_LONG
    if rule == "required":
        return f"lacks {error.message.removesuffix(' is a required property')}"
    if rule == "type":
        return f"is not of type {' or '.join(wanted) if isinstance(wanted, list) else wanted}"
    if rule in ("additionalProperties", "unevaluatedProperties"):
        return "has a field that the schema does not name"
    if rule == "uniqueItems":
        return "holds an item twice"
    if isinstance(wanted, str | int | float):
        return f"breaks {rule}: {to_json(wanted)[:_SHOWN]}"
    return f"breaks {rule}" if error.validator else "is not allowed"
