"""Where in a request a fact stands, as an operator writes it."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from shared.config.values import listed

_LOCATION: Final = re.compile(r"(header|query|beside)\.[^\s.]+|(data|body)(\.[^.\s]+)+")


def _location(text: str) -> str:
    if not all(_LOCATION.fullmatch(part) for part in text.split(" + ")):
        raise ValueError("is not a location: write header.NAME, query.NAME or data.path.to.field; ` + ` joins two")
    return text


def _data_path(text: str) -> str:
    if not re.fullmatch(r"data(\.[^.\s]+)+", text):
        raise ValueError("is not a place in the body: write data.path.to.field")
    return text


Locations = Annotated[list[Annotated[str, AfterValidator(_location)]], BeforeValidator(listed), Field(min_length=1)]
"""One, or several, of which the first that holds something counts. `data` is a batch's item, `body` the whole of it."""

DataPath = Annotated[str, AfterValidator(_data_path)]
BatchPath = Annotated[str, Field(pattern=r"^data\.([^\s]+\.)?\*(\.[^\s]+)?$")]
