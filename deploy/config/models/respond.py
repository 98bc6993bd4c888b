"""What a source answers for what it took."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, model_validator

from shared.config.values import HeaderName, Model

REDIRECTS: Final = frozenset({302, 303})
_OURS: Final = frozenset({"content-length", "content-type", "transfer-encoding", "connection", "date", "server"})


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]{0,4096}", text):
        raise ValueError("has a line break, a control character, none of latin-1, or more than 4096 characters")
    if "{{" in text:
        raise ValueError("has a hole, and only the body's are filled: a header is sent as it is written")
    return text


HeaderValue = Annotated[str, AfterValidator(_header_value)]


class RespondConfig(Model):
    """`body` is text, or a value that is sent as JSON, in which `{{ id }}` and `{{ data.x }}` are the event's."""

    status: int = 200
    headers: dict[HeaderName, HeaderValue] = Field(default={})
    content_type: HeaderValue | None = None
    body: JsonValue = ""

    @model_validator(mode="after")
    def _is_an_answer(self) -> "RespondConfig":
        if not (200 <= self.status < 300 or self.status in REDIRECTS):
            raise ValueError(f"status {self.status} is no yes: write one from 200 to 299, or 303 with a location")
        if self.status in REDIRECTS and "location" not in self.headers:
            raise ValueError(f"status {self.status} leads elsewhere: say where with `headers: {{location: URL}}`")
        if self.status in {204, 205} and self.body != "":
            raise ValueError(f"status {self.status} has no body")
        if ours := sorted(self.headers.keys() & _OURS):
            hint = "; write `content_type`" if "content-type" in ours else ""
            raise ValueError(f"the header {ours[0]} is not yours to set{hint}")
        return self
