"""A destination: a configured place to deliver to."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.config.values import Seconds
from shared.jsontext import Json


class DestinationConfig(BaseModel):
    """One key names the kind and holds its settings; the others are the same for every kind.

    retry        the waits between attempts
    timeout      how long one attempt may take
    on_unknown   what follows an attempt that was sent and got no answer: `resend` waits for minutes and sends again,
                 `hold` keeps the delivery until `hookchain release`
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    retry: list[Seconds] | None = Field(default=None, max_length=50)
    timeout: Seconds = Field(15.0, ge=1, le=60)
    on_unknown: Literal["resend", "hold"] = "resend"

    @property
    def kinds(self) -> Mapping[str, Json]:
        return self.model_extra or {}

    @model_validator(mode="after")
    def _one_kind(self) -> "DestinationConfig":
        if len(self.kinds) != 1:
            found = ", ".join(sorted(self.kinds)) or "none"
            raise ValueError(f"a destination has one key that says what it is, such as `email`; found {found}")
        return self
