"""A source's JSON Schema (2020-12), which the parsed body is validated against.

Only a source with a schema imports this module: jsonschema is slow to import.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject, to_json
from shared.schema import RULES, TOO_LONG
from shared.time_bound import OutOfTime, bounded

MAX_SECONDS: Final = 0.5
"""CPU time. A pattern that backtracks is one step, and can take for ever."""
MAX_STEPS: Final = 200_000
"""The limit for one body, about half a second. A schema whose rules branch could take years otherwise."""
_STEPS_OF_AN_ERROR: Final = 4
_STEPS_OF_A_PART: Final = {"items": 1, "contains": 2, "additionalProperties": 1, "patternProperties": 1}
# The library looks each part up in the list of those that were seen before.
_LOOKED_UP_IN_A_STEP: Final = 300
_LOOKS_UP: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_MAX_SHOWN: Final = 60

Rule: TypeAlias = Callable[[Draft202012Validator, Json, Json, JsonObject], Iterator[ValidationError] | None]


Validator: Final = extend(Draft202012Validator, RULES)  # type: ignore[no-untyped-call] # it has no types


class _TooMuchWork(Exception):
    """One body takes more steps than MAX_STEPS."""


class SchemaCheck:
    """A validator for a schema that was checked when it was compiled."""

    def __init__(self, document: Json) -> None:
        rules = {name: self._counted(name, rule) for name, rule in Validator.VALIDATORS.items()}
        counting = extend(Validator, rules)  # type: ignore[no-untyped-call] # it has no types
        self._validator = counting(document, registry=Registry())  # which looks nothing up elsewhere
        self._steps_left = 0

    def _counted(self, name: str, rule: Rule) -> Rule:
        def counted(
            validator: Draft202012Validator, wanted: Json, instance: Json, schema: JsonObject
        ) -> Iterator[ValidationError]:
            self._spend(_steps(name, instance))
            for error in rule(validator, wanted, instance, schema) or ():
                self._spend(_STEPS_OF_AN_ERROR)
                yield error

        return counted

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise _TooMuchWork

    def verify(self, data: Json) -> Json:
        """Return the data as it is. Raises Rejected, which names the place and the rule, and no value."""
        self._steps_left = MAX_STEPS
        try:
            with bounded(MAX_SECONDS):
                error = next(self._validator.iter_errors(data), None)
        except (RecursionError, ArithmeticError, ValueError):  # numbers too long to compute with, circular schemas
            raise Rejected("schema_mismatch", "the body cannot be checked against the source's schema") from None
        except (_TooMuchWork, OutOfTime):
            raise Rejected(
                "schema_mismatch", "the body takes more checking against the source's schema than it is given"
            ) from None
        if error:
            raise Rejected("schema_mismatch", f"{_place(error)} {_rule(error)}")
        return data


def _steps(rule: str, instance: Json) -> int:
    size = len(instance) if isinstance(instance, list | dict) else 0
    return 1 + (size**2 // _LOOKED_UP_IN_A_STEP if rule in _LOOKS_UP else size * _STEPS_OF_A_PART.get(rule, 0))


def _place(error: ValidationError) -> str:
    """Return the path to the error. It shows only positions and the names that stand in the schema."""
    named = set(error.absolute_schema_path)
    parts = [str(part) if isinstance(part, int) or part in named else "*" for part in error.absolute_path]
    return ".".join(["data", *parts])


def _rule(error: ValidationError) -> str:
    rule, wanted = str(error.validator), error.validator_value
    if error.message == TOO_LONG:
        return TOO_LONG
    if rule == "required" and isinstance(wanted, list) and isinstance(error.instance, dict):
        missing = [str(name) for name in wanted if name not in error.instance]
        return f"lacks {', '.join(missing)} (rule required)"
    if isinstance(wanted, str | int | float | list):
        shown = wanted if isinstance(wanted, str) else to_json(wanted)
        if len(shown) <= _MAX_SHOWN:
            return f"breaks the rule {rule}: {shown}"
    return f"breaks the rule {rule}"
