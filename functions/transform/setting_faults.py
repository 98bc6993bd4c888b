"""What pydantic finds in a step's settings, in an operator's words."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.config.values import fault_words
from shared.did_you_mean import did_you_mean, nearest
from shared.jsontext import Json

_ALONE: Final = re.compile(r"^\[0\](: |\.)")


def setting_faults(error: ValidationError, model: type[BaseModel], settings: Json) -> list[str]:
    """`settings` as they are written: what stands alone has no position, though a model makes a list of it."""
    faults = [_fault(detail, model) for detail in error.errors(include_url=False)]
    return faults if isinstance(settings, list) else [_ALONE.sub("", fault) for fault in faults]


def _fault(detail: ErrorDetails, model: type[BaseModel]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _written(detail["loc"]))[:200]
    place = place.removeprefix(".")
    reason = _reason(detail, model)
    return f"{place}: {reason}" if place else reason


def _reason(detail: ErrorDetails, model: type[BaseModel]) -> str:
    if detail["type"] == "union_tag_invalid":
        return f"there is no scheme {detail['ctx']['tag']!r}; there are: {detail['ctx']['expected_tags']}"
    if detail["type"] == "union_tag_not_found":
        return "has no `scheme`"
    if detail["type"] == "literal_error":
        return _one_of(str(detail["ctx"]["expected"]), detail["input"])
    if detail["type"] != "extra_forbidden":
        return fault_words(detail)
    return f"there is no such setting{did_you_mean(str(detail['loc'][-1]), _keys(model))}"


def _one_of(expected: str, found: object) -> str:
    near = nearest(found, re.findall(r"'([^']*)'", expected)) if isinstance(found, str) else None
    return f"must be {expected}" + (f"; did you mean {near!r}?" if near else "")


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Of the model itself, or of the one that a short form stands for."""
    root = model.model_fields.get("root")
    inner = root.annotation if root else None
    fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else model.model_fields
    yield from (field.alias or name for name, field in fields.items() if name != "root")


def _written(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Without the names that pydantic gives to its own parts."""
    own = ("function-", "tagged-union", "[key]")
    return tuple(part for part in place if isinstance(part, int) or not part.startswith(own))
