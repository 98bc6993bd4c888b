"""Types of settings that kinds of destinations share."""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

from functions.notify import http_kind, message_text
from functions.notify.recipients.to_person import written_recipient
from shared import errors, jsontext
from shared.templating.template import Template, is_template, one_line_template

_GOOGLE_ID: Final = re.compile(r"[A-Za-z0-9_-]{10,200}")
_GOOGLE_URL: Final = re.compile(r"https://(?:docs|drive)\.google\.com/[\w/]*?/(?:d|folders)/([A-Za-z0-9_-]+)")


class KindSettings(BaseModel):
    """The base class of the `Settings` of a kind, which the compiler validates.

    A kind that can deliver to a person in `people` has a field `to`, and names in `person_address` the person's field
    that it needs, such as `phone`. Further class variables, which the tools read, are only in kinds that need them:

    digests             True: the kind can deliver a digest
    extras              the extras in pyproject.toml whose packages a deployment needs for the kind
    extras_with_secret  those that it needs as well if the destination names a `secret`
    example             the settings of an example, for a kind whose module has no function `request`
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    person_address: ClassVar[str] = ""

    @property
    def recipient(self) -> jsontext.JsonObject | None:
        """Return the part of the slice that says which person a delivery is for; None if `to` names no person."""
        return written_recipient(getattr(self, "to", None), self.person_address) if self.person_address else None


def checked_by(check: Callable[[str], object]) -> AfterValidator:
    """Return the validator of a text that stays as it is. `check` raises ValueError for a value that cannot be used."""

    def validate(text: str) -> str:
        check(text)
        return text

    return AfterValidator(validate)


def one_of(*choices: str) -> AfterValidator:
    """Return the validator of a setting that is one of the choices, or a template for `rendered_choice`."""

    def validate(value: str | int) -> str | int:
        if str(value) not in choices and not is_template(str(value)):
            raise ValueError(f"must be one of {', '.join(choices)}, or a template")
        return value

    return AfterValidator(validate)


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")) or any(character.isspace() for character in text):
        raise ValueError("must be a URL that begins with https://, without spaces")
    return text


def _server_address(text: str) -> str:
    address = _web_address(text).rstrip("/")
    if address.endswith(":") or "?" in address or "#" in address:
        raise ValueError("must be the URL of a server, without `?` and `#`")
    return address


def _verify_expression(text: str) -> None:
    # Imported here, because it imports jmespath, which few kinds need.
    from shared.expressions import over_event

    over_event(text)


def _google_id(text: str) -> str:
    url = _GOOGLE_URL.match(text)
    file_id = url[1] if url else text
    if not _GOOGLE_ID.fullmatch(file_id):
        raise ValueError("must be the id or the URL of a file or folder of Google's, such as https://docs.google.com/…")
    return file_id


TextTemplate = Annotated[str, checked_by(partial(Template, "text"))]
LineTemplate = Annotated[str, checked_by(partial(one_line_template, "line"))]
LinkTemplate = Annotated[str, checked_by(message_text.compile_link)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
ServerAddress = Annotated[str, AfterValidator(_server_address)]
EventExpression = Annotated[str, checked_by(_verify_expression)]
"""A JMESPath expression over the event."""
GoogleId = Annotated[str, AfterValidator(_google_id)]
"""The id of a file or folder of Google Drive. In the configuration, it may also be its URL."""


def rendered_choice(name: str, text: str, view: jsontext.JsonObject, choices: tuple[str, ...]) -> str:
    """Return the result of the template. Raises Permanent if it is not one of the choices."""
    value = http_kind.rendered_line(name, text, view)
    if value not in choices:
        raise errors.Permanent("template_failed", f"template {name!r}: must result in one of {', '.join(choices)}")
    return value
