"""Rules for the values of settings, written without importing pydantic, which takes 45 ms of a function's start.

A rule stands beside a type: `Annotated[str, verified_by(parse_path)]`. When pydantic makes a model, it iterates the
rule, and only then are pydantic's validators made. A deployed function makes no model: its settings were verified when
the configuration was compiled.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final, TypeVar

from shared.secrets import SECRET_NAME

Value = TypeVar("Value")


class Rule:
    """A group of metadata, as the package annotated-types defines it. `make` returns the metadata when it is needed."""

    __is_annotated_types_grouped_metadata__: Final = True

    def __init__(self, make: Callable[[], Iterable[object]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[object]:
        return iter(self._make())


def verified_by(verify: Callable[[Value], Value]) -> Rule:
    """Return the rule that a value must pass `verify`, which returns it, or raises ValueError if it is not allowed."""

    def make() -> Iterable[object]:
        from pydantic import AfterValidator

        return [AfterValidator(verify)]

    return Rule(make)


def read_by(read: Callable[[object], object]) -> Rule:
    """Return the rule that `read` converts the written value, before its type is verified."""

    def make() -> Iterable[object]:
        from pydantic import BeforeValidator

        return [BeforeValidator(read)]

    return Rule(make)


def limits(**bounds: float) -> Rule:
    """Return the rule that the value keeps within bounds, such as `ge=0`, that have the names of pydantic's Field."""

    def make() -> Iterable[object]:
        from pydantic.fields import FieldInfo

        return FieldInfo(**bounds).metadata  # type: ignore[arg-type] # pydantic verifies them

    return Rule(make)


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_LIKELY_SECRET_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_ -]{0,62}")
"""Words, such as the name of a variable. A key or a token has digits."""


def _verify_secret_name(text: str) -> str:
    """Return the text. An error repeats it only if it looks like a name, because it may be a secret's value."""
    if SECRET_NAME.fullmatch(text):
        return text
    rule = "must be the name of a secret: a lower-case letter, then letters, digits and '-', at most 63 characters"
    if _LIKELY_SECRET_NAME.fullmatch(text):
        raise ValueError(f"{rule}; got {text!r}; did you mean {re.sub('[_ ]', '-', text.lower())!r}?")
    raise ValueError(f"{rule}; got {len(text)} characters, not shown. Store it with `hookchain secrets set NAME`")


def _verify_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        rule = "must be a name: letters, digits, '-' and '_', at most 63 characters, beginning with a letter or digit"
        raise ValueError(rule)
    return text


UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_MAX_SECONDS: Final = 3_650 * 86_400
"""Ten years: now plus this is still a date that the clouds accept."""


def duration_seconds(value: object) -> object:
    """Return `90`, `90s`, `5m`, `2h` or `1d` as seconds. Other types are returned unchanged, for pydantic to check."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    if found := _DURATION.fullmatch(value):
        return float(found[1]) * UNIT_SECONDS[found[2]]
    raise ValueError("must be a number of seconds, or a duration such as 90s, 5m, 2h or 1d")


MAX_RATE_COUNT: Final = 10_000
_RATE: Final = re.compile(r"\s*([1-9][0-9]{0,4})\s*/\s*(s|m|h|d)\s*")


def rate_of(text: object) -> tuple[int, float]:
    """Return the number of deliveries and the seconds for them: `100/m` is 100, 60.0. Raises ValueError."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if not found or int(found[1]) > MAX_RATE_COUNT:
        raise ValueError(
            f"must be a number of deliveries from 1 to {MAX_RATE_COUNT} and the time for them, such as 10/s, 100/m, "
            f"20/h or 500/d; got {text!r}"
        )
    return int(found[1]), float(UNIT_SECONDS[found[2]])


def listed(value: object) -> object:
    """Return a list unchanged, and any other value as a list of one: a setting may be written either way."""
    return value if isinstance(value, list) else [value]


LISTED: Final = read_by(listed)
SecretName = Annotated[str, verified_by(_verify_secret_name)]
Name = Annotated[str, verified_by(_verify_name)]
Seconds = Annotated[float, read_by(duration_seconds), limits(ge=0, le=_MAX_SECONDS)]
