"""The setting `respond` of a source: the reply to an accepted request."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, model_validator

from shared.config.values import HeaderName, Model

REDIRECTS: Final = frozenset({302, 303})
_RESERVED: Final = frozenset({"content-length", "content-type", "transfer-encoding", "connection", "date", "server"})


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]{0,4096}", text):
        raise ValueError("must be at most 4096 characters of Latin-1, without line breaks and control characters")
    if "{{" in text:
        raise ValueError("must not contain `{{`: only `body` is a template")
    return text


HeaderValue = Annotated[str, AfterValidator(_header_value)]


class RespondConfig(Model):
    """The reply to an accepted request. `body` is text, or a value that is sent as JSON. Both may contain `{{ id }}`
    and `{{ data.x }}`."""

    status: int = 200
    headers: dict[HeaderName, HeaderValue] = Field(default={})
    content_type: HeaderValue | None = None
    body: JsonValue = ""

    @model_validator(mode="after")
    def _is_valid(self) -> "RespondConfig":
        if not (200 <= self.status < 300 or self.status in REDIRECTS):
            raise ValueError(f"status: must be from 200 to 299, or 302 or 303 with a location; got {self.status}")
        if self.status in REDIRECTS and "location" not in self.headers:
            raise ValueError(f"status {self.status} needs a location: add `headers: {{location: URL}}`")
        if self.status in {204, 205} and self.body != "":
            raise ValueError(f"status {self.status} must not have a body")
        if reserved := sorted(self.headers.keys() & _RESERVED):
            hint = ". Use `content_type`" if "content-type" in reserved else ""
            raise ValueError(f"headers: must not set {reserved[0]}{hint}")
        return self
