"""Locations in a request: of the event's fields, of a signature, and the text that a signature covers."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from shared.config.values import Verbatim, listed

_LOCATION: Final = re.compile(r"(header|query|beside)\.[^\s.]+|(data|body)(\.[^.\s]+)+")


def _location(text: str) -> str:
    if not all(_LOCATION.fullmatch(part) for part in text.split(" + ")):
        raise ValueError("must be a location: header.NAME, query.NAME or data.path.to.field; ` + ` joins two")
    return text


def _data_path(text: str) -> str:
    if not re.fullmatch(r"data(\.[^.\s]+)+", text):
        raise ValueError("must be a path in the body: data.path.to.field")
    return text


Locations = Annotated[list[Annotated[str, AfterValidator(_location)]], BeforeValidator(listed), Field(min_length=1)]
"""One location, or several: the first that has a value counts. In a batch, `data` is an item and `body` the whole."""

DataPath = Annotated[str, AfterValidator(_data_path)]
BatchPath = Annotated[str, Field(pattern=r"^data\.([^\s]+\.)?\*(\.[^\s]+)?$")]


_REQUEST_LOCATION: Final = re.compile(r"(header|query|form)\.[^\s{}]+|data(\.[^.\s{}]+)+")
_ITEM: Final = re.compile(r"signature\.[^\s{}]+")
_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_PARTS: Final = frozenset({"body", "body.sha256", "body.crc32", "timestamp", "id", "url", "method", "secret", "form"})


def _request_location(text: str) -> str:
    if not _REQUEST_LOCATION.fullmatch(text):
        raise ValueError(
            "must be a location: header.NAME, query.NAME, form.NAME or data.path.to.field (`*` for each element)"
        )
    return text


def _timestamp_location(text: str) -> str:
    if not _ITEM.fullmatch(text) and not _REQUEST_LOCATION.fullmatch(text):
        raise ValueError(
            "must be a location: header.NAME, query.NAME, form.NAME, data.path.to.field"
            " or signature.KEY, for an item of the signature's own header"
        )
    return text


def _content(text: str) -> str:
    for hole in _HOLES.findall(text):
        if hole not in _PARTS and not re.fullmatch(r"param\.\w+", hole) and not _REQUEST_LOCATION.fullmatch(hole):
            known = ", ".join(f"{{{part}}}" for part in sorted(_PARTS))
            raise ValueError(
                f"{{{hole}}} is not a part of a request; use {known}, or a location such as {{header.date}}"
            )
    return text


def _header_pattern(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text.replace("{n}", "1", 1)):
        raise ValueError("must be the name of a header (`{n}` in it is a number, counted from 1)")
    return text.lower()


HeaderPattern = Annotated[str, AfterValidator(_header_pattern)]
RequestLocation = Annotated[str, AfterValidator(_request_location)]
TimestampLocation = Annotated[str, AfterValidator(_timestamp_location)]
Content = Annotated[Verbatim, AfterValidator(_content)]
"""The signed text, such as `{timestamp}.{body}`: literal text, and in braces parts of the request as received.

The parts are {body} {body.sha256} {body.crc32} {method} {url} {timestamp} {id} {secret} {param.NAME}, any location, and
{form}: the form's fields sorted by name, each name before its values, which are sorted and without repetition.
"""
