"""A handshake: what a provider asks of an endpoint before, or while, it sends events."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from deploy.config.models.places import Place
from shared.config.values import Model

_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_ARGUMENT: Final = r"(?:(?:header|query|form)\.[^\s{}()+]+|data(?:\.[^.\s{}()+]+)+|param\.\w+|endpoint)"
_HOLE: Final = re.compile(rf"{_ARGUMENT}|(?:hmac-hex|hmac-base64|sha256-hex)\({_ARGUMENT}(?:\+{_ARGUMENT})*\)")


def _filled(text: str) -> str:
    for hole in _HOLES.findall(text):
        if not _HOLE.fullmatch(hole):
            raise ValueError(f"{{{hole}}} is no place, nor hmac-hex(…), hmac-base64(…) or sha256-hex(…) of places")
    return text


Filled = Annotated[str, AfterValidator(_filled)]
"""Text with places in braces: `{query.challenge}`, `{hmac-base64(query.crc_token)}` under the source's secret."""


class HandshakeReply(Model):
    """`text` is sent as text/plain; of `json`, texts may hold places."""

    status: int = 200
    headers: dict[str, Filled] = Field(default={})
    text: Filled | None = None
    json_: dict[str, str | int | bool] | None = Field(None, alias="json")

    @model_validator(mode="after")
    def _holes_are_known(self) -> "HandshakeReply":
        for value in (self.json_ or {}).values():
            if isinstance(value, str):
                _filled(value)
        return self


class Handshake(Model):
    """It is one where the method fits and each place of `when` holds that text (true: any, false: none).

    `signed`: only after the signature has been verified. `check`: the place must hold the secret that the param names,
    or the source's own where it names none. `fetch`: a place with a URL of `fetch_hosts` to fetch before answering.
    """

    name: str
    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = "POST"
    when: dict[Place, str | bool] = Field(default={})
    signed: bool = False
    check: dict[Place, str] = Field(default={})
    fetch: Place | None = None
    reply: HandshakeReply = HandshakeReply()
    note: str | None = None
