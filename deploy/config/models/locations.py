"""Locations in a request, from which a source reads the event's fields."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from shared.config.rules import listed

_LOCATION: Final = re.compile(r"(header|query|beside)\.[^\s.]+|(data|body)(\.[^.\s]+)+")
_FIELD: Final = re.compile(r"(?!(header|query|beside|data|body)\.)[A-Za-z_]\w*(\.\w+)+")
"""A path that lacks its beginning."""


def _location(text: str) -> str:
    if not all(_LOCATION.fullmatch(part) for part in text.split(" + ")):
        known = "header.NAME, query.NAME or data.path.to.field; ` + ` joins two"
        if text.isidentifier():
            meant = f"`data.{text}` is a field of the body, `header.{text}` a header"
        else:
            meant = f"`data.{text}` is a field of the body; {known}" if _FIELD.fullmatch(text) else known
        raise ValueError(f"must be a location: {meant}")
    return text


def _data_path(text: str) -> str:
    if not re.fullmatch(r"data(\.[^.\s]+)+", text):
        raise ValueError("must be a path in the body: data.path.to.field")
    return text


Locations = Annotated[list[Annotated[str, AfterValidator(_location)]], BeforeValidator(listed), Field(min_length=1)]
"""One location, or several: the first that has a value counts. In a batch, `data` is an item and `body` the whole."""

DataPath = Annotated[str, AfterValidator(_data_path)]
BatchPath = Annotated[str, Field(pattern=r"^data\.([^\s]+\.)?\*(\.[^\s]+)?$")]
