"""The forms in which `to` names a person: `actor`, another JMESPath expression over the event, or `{person: NAME}`."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from functions.notify.registry import ACTOR
from shared import event, jsontext

_EXPRESSION: Final = re.compile(r"[a-z_]+\s*[.\[(|]")
"""The beginning of an expression such as `data.assignee`, `data["assignee"]` or `not_null(data.owner, actor)`. Names of
mailing lists do not begin like this."""


class NamedPerson(BaseModel):
    """The person of that name in `people`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    person: Annotated[str, Field(min_length=1, max_length=100)]


def tag_of(value: object) -> Literal["tag:person", "tag:text"]:
    """Return which form of `to` the value has, so that pydantic's errors are only about that form."""
    return "tag:person" if isinstance(value, dict | NamedPerson) else "tag:text"


def is_person_path(text: str) -> bool:
    """Return whether the text is meant as an expression over the event, and not as an address or a name."""
    return text in event.NAMES or _EXPRESSION.match(text) is not None


def person_path(text: str) -> str:
    """Return the expression. Raises ValueError."""
    if text != ACTOR:
        # Imported here, because it imports jmespath, which few destinations need.
        from shared.expressions import over_event

        over_event(text)
    return text


A_PERSON: Final = Tag("tag:person")
A_TEXT: Final = Tag("tag:text")
ToPerson = Annotated[
    Annotated[str, AfterValidator(person_path), A_TEXT] | Annotated[NamedPerson, A_PERSON], Discriminator(tag_of)
]


def written_recipient(to: object, address: str) -> jsontext.JsonObject | None:
    """Return the recipient as the slice has it; None if `to` names no person."""
    if isinstance(to, NamedPerson):
        return {"person": to.person, "address": address}
    return {"path": to, "address": address} if isinstance(to, str) and is_person_path(to) else None
