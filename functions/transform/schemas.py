"""JSON Schema 2020-12, compiled once, whose faults name the place and the rule and never the value."""

from itertools import islice
from typing import TYPE_CHECKING, Final

from functions.transform.fields import inside
from shared.jsontext import Json, to_json
from shared.times import unix_seconds

if TYPE_CHECKING:
    from jsonschema import FormatChecker, ValidationError
    from jsonschema.protocols import Validator

MAX_FAULTS: Final = 10
FORMATS: Final = ("date", "email", "idn-email", "ipv4", "ipv6", "regex", "uuid")
"""Those that are checked, and date-time; any other `format` is a remark, as the specification has it."""
_SHOWN: Final = 80


class SchemaFault(ValueError):
    """The schema itself is at fault: refused when the configuration is loaded."""


class Schema:
    def __init__(self, document: Json) -> None:
        """Raises SchemaFault."""
        self._validator = _validator(document)

    def faults(self, value: Json, place: str) -> list[str]:
        """At most MAX_FAULTS of them."""
        found: list[str] = []
        try:
            for error in islice(self._validator.iter_errors(value), MAX_FAULTS):
                found.append(_words(error, place))
        except (RecursionError, ArithmeticError, ValueError):  # numbers too long to reckon with, a text as a regex
            found.append(f"{place} cannot be checked against the schema")
        return found[:MAX_FAULTS]


def _validator(document: Json) -> "Validator":
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import extend
    from referencing import Registry

    from shared.schema import RULES
    from shared.schema_references import reference_outside

    if not isinstance(document, dict):
        raise SchemaFault("a JSON Schema is an object")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        path = ".".join(map(str, error.absolute_path))
        raise SchemaFault(f"it is no JSON Schema: {path or 'its top'}: {error.message[:200]}") from error
    if (reference := reference_outside(document)) is not None:
        raise SchemaFault(f"{reference!r} leads to nothing in the schema, and nothing is fetched")
    kind = extend(Draft202012Validator, RULES)  # type: ignore[no-untyped-call] # its stubs
    # A registry of its own, which holds nothing but the schema and fetches nothing.
    made: Validator = kind(document, registry=Registry(), format_checker=_format_checker())
    return made


def _format_checker() -> "FormatChecker":
    from jsonschema import FormatChecker

    checker = FormatChecker(FORMATS)
    checker.checks("date-time", raises=ValueError)(_is_time)
    return checker


def _is_time(value: object) -> bool:
    """Raises ValueError where it is none."""
    if isinstance(value, str):
        unix_seconds(value)
    return True


def _words(error: "ValidationError", place: str) -> str:
    for part in error.absolute_path:
        place = f"{place}[{part}]" if isinstance(part, int) else inside(place, str(part))
    return f"{place} {_rule(error)}"


def _rule(error: "ValidationError") -> str:
    """By what the schema says, which is the operator's; the error's own words quote the value."""
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
