"""What encrypt and decrypt are both told."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from functions.transform.fields import Change, ReadPath, changed
from functions.transform.paths import Path, parse_path
from shared.config.values import SecretName, listed
from shared.event import Event

JWE_TYPE = "application/jose"


class Sealing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: SecretName
    paths: Annotated[list[ReadPath], BeforeValidator(listed), Field(min_length=1)] = ["data"]
    format: Literal["aes-gcm", "jwe"] = "aes-gcm"
    context: str = Field(default="", max_length=1_000)

    _paths: list[Path] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        if self.format == "jwe" and self.context:
            raise ValueError("`context` goes with `format: aes-gcm`: a JWE has no room for it that others would read")
        self._paths = [parse_path(text) for text in self.paths]

    def at_each_path(self, event: Event, change: Change, datatype: str | None = None) -> Event:
        """A path that is not there is no fault. `datatype` is that of the result where it is all of the data."""
        for path in self._paths:
            data = changed(event.data, path.parts, change, if_there=True)
            event = event.with_data(data, None if path.parts else datatype)
        return event

    def needs(self) -> tuple[str, ...]:
        return ("jwe",) if self.format == "jwe" else ("crypto",)
