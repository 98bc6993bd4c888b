"""A source: a configured sender."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from shared.config.auth import Auth
from shared.config.from_catalogue import FromCatalogue
from shared.config.values import LocationText, listed

MEBIBYTE: Final = 1024 * 1024


def _ways(value: object) -> object:
    """`none` is no way at all, said aloud; a list that is empty says nothing."""
    if value == []:
        raise ValueError("SECRET_MISSING: name at least one way in, or write `auth: none`")
    return [] if value == "none" else listed(value)


class SourceConfig(FromCatalogue):
    """A sender. `auth` is one way in, or a list of which any will do, or `none` said aloud; else `provider` says.

    With `unwrap`, what the one element of an XML document holds is the data, as if it had come in JSON.
    """

    auth: Annotated[list[Auth], BeforeValidator(_ways)] = Field(default=[])
    methods: list[Literal["POST", "PUT", "PATCH"]] = Field(default=["POST"], min_length=1)
    max_body_bytes: int = Field(MEBIBYTE, ge=1, le=10 * MEBIBYTE)
    unwrap: bool = False
    keep_raw: bool | None = None
    dedupe: Literal["body"] | None = None
    type: LocationText | None = None
    id: LocationText | None = None
    subject: LocationText | None = None
    actor: LocationText | None = None
    time: LocationText | None = None

    @model_validator(mode="before")
    @classmethod
    def _needs_auth(cls, value: object) -> object:
        if isinstance(value, dict) and "auth" not in value and "provider" not in value:
            rule = "say how its sender proves itself with `provider` and `secret`, or with `auth`, or `auth: none`"
            raise ValueError(f"SECRET_MISSING: {rule}")
        return value
