"""Functions and settings that the kinds of builds share: the revision that is built, and its parameters.

Only the revisions and the names of parameters that the settings declare reach a build; an event gives values alone.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final

from pydantic import Field, model_validator

from functions.notify import http_kind, kind_settings
from shared.delivery import Delivered, Delivery
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, to_json
from shared.templating.template import is_template

MAX_REF_CHARACTERS: Final = 255
MAX_LINK_CHARACTERS: Final = 300
_NOT_IN_REF: Final = r"\.\.|//|/\.|\.lock(?:/|\Z)|[./]\Z"
# As `git check-ref-format` has it, of the characters here; and no option of a command, which begins with a hyphen.
_REF: Final = re.compile(rf"(?=[\w+])(?!.*(?:{_NOT_IN_REF}))[\w./+-]{{1,{MAX_REF_CHARACTERS}}}")
"""A ref that an event may give: no shell's, URL's or Git's special characters."""


class JsonValue(kind_settings.KindSettings):
    """A value that is not text: a template whose result is JSON, such as `{{ data.count }}` or `{{ data }}`."""

    template: kind_settings.TextTemplate = Field(alias="json")


Value = Annotated[bool | int | float | kind_settings.TextTemplate | JsonValue, Field(union_mode="smart")]
Ref = Annotated[kind_settings.LineTemplate, Field(min_length=1, max_length=MAX_REF_CHARACTERS)]


class BuildSettings(kind_settings.KindSettings):
    """Settings of every kind that starts builds.

    allow_private   allow a server at a private address, and plain http
    """

    allow_private: bool = False


class RefSettings(BuildSettings):
    """Settings with a revision.

    allow_refs   the revisions that a template in `ref` may give, or patterns of them, such as `release/*`
    """

    ref: Ref | None = None
    allow_refs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ref_is_declared(self) -> "RefSettings":
        if is_template(self.ref) and not self.allow_refs:
            raise ValueError("a `ref` that the event names needs `allow_refs`: the refs and patterns that it may be")
        return self


def ref_of(settings: RefSettings, delivery: Delivery) -> str:
    """Return the revision; empty where the settings have none. Raises Permanent for a parameter that they do not
    declare."""
    if settings.ref is None or not is_template(settings.ref):
        return settings.ref or ""
    ref = http_kind.rendered_line("ref", settings.ref, http_kind.template_view(delivery))
    if not _REF.fullmatch(ref) or not any(fnmatchcase(ref, pattern) for pattern in settings.allow_refs):
        raise Permanent("recipient_not_allowed", "`ref`: its template gave a ref that `allow_refs` does not have")
    return ref


def values_of(values: Mapping[str, Value], delivery: Delivery) -> JsonObject:
    """Return the value of each parameter. Raises Permanent."""
    view = http_kind.template_view(delivery)
    return {name: _value(name, value, view) for name, value in values.items()}


def texts_of(values: Mapping[str, Value], delivery: Delivery) -> dict[str, str]:
    """Return the value of each parameter as text: `true` and `3` where it is no text. Raises Permanent."""
    values_by_name = values_of(values, delivery)
    return {name: value if isinstance(value, str) else to_json(value) for name, value in values_by_name.items()}


def started(response: http_kind.Response, what: str, link: Json) -> Delivered:
    """Return the outcome of a build that was started; the answer shows the link, for people to follow."""
    is_link = isinstance(link, str) and link.startswith(("https://", "http://")) and link.isprintable()
    return Delivered(f"{response.status} {what}{f' {str(link)[:MAX_LINK_CHARACTERS]}' if is_link else ''}")


def _value(name: str, value: Value, view: JsonObject) -> Json:
    if isinstance(value, str):
        return http_kind.rendered(name, value, view)
    if not isinstance(value, JsonValue):
        return value
    try:
        return http_kind.json_in(http_kind.rendered(name, value.template, view))
    except (ValueError, RecursionError):
        raise Permanent("template_failed", f"template {name!r}: its result must be JSON, as `json` says") from None
