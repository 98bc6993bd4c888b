"""The places in a request from which a source takes its event's values, as the configuration has them."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from deploy.config.sections.texts import fitting
from shared.config.rules import listed

_LOCATION: Final = re.compile(
    r"(header|query|beside)\.[^\s.]+|(data|body)(\.[^.\s]+)+|data(\.[^.\s]+)+ if data(\.[^.\s]+)+"
)
_LOCATION_RULE: Final = (
    "header.NAME, query.NAME or data.path.to.field; ` + ` joins two; `data.a if data.b` needs a value at both"
)
_PATH_WITHOUT_DATA: Final = re.compile(r"(?!(header|query|beside|data|body)\.)[A-Za-z_]\w*(\.\w+)+")


def _location(text: str) -> str:
    if all(_LOCATION.fullmatch(part) for part in text.split(" + ")):
        return text
    if text.isidentifier():
        rule = f"`data.{text}` is a field of the body, `header.{text}` a header"
    elif _PATH_WITHOUT_DATA.fullmatch(text):
        rule = f"`data.{text}` is a field of the body; {_LOCATION_RULE}"
    else:
        rule = _LOCATION_RULE
    raise ValueError(f"must be a location: {rule}")


Locations = Annotated[list[Annotated[str, AfterValidator(_location)]], BeforeValidator(listed), Field(min_length=1)]
"""One location, or several: the first that has a value counts. In a batch, `data` is an item and `body` the whole."""

DataPath = Annotated[str, fitting(r"data(\.[^.\s]+)+", "a path in the body: data.path.to.field")]
_BATCH_PATH: Final = re.compile(r"data\.(\S+\.)?\*(\.\S+)?")


def _batch_path(text: str) -> str:
    if not _BATCH_PATH.fullmatch(text):
        items = f": write {text}.*" if re.fullmatch(r"data(\.[^\s*]+)?", text) else ""
        raise ValueError(f"must be a path in data with `*` in the place of the items, such as data.events.*{items}")
    return text


BatchPath = Annotated[str, AfterValidator(_batch_path)]
