"""Tenants, as the API takes and shows them."""

from typing import Annotated, Final

from pydantic import Field, field_validator

from functions.subscribe.models.base import Email, Input, Line, Output

MAX_METADATA: Final = 20


class TenantInput(Input):
    """A tenant: a customer of the operator. `email` is told when an endpoint of the tenant is disabled."""

    name: Annotated[Line, Field(max_length=200)] = ""
    email: Email = ""
    metadata: dict[str, Annotated[Line, Field(max_length=500)]] = {}

    @field_validator("metadata")
    @classmethod
    def _few(cls, metadata: dict[str, str]) -> dict[str, str]:
        if len(metadata) > MAX_METADATA:
            raise ValueError(f"must have at most {MAX_METADATA} keys; got {len(metadata)}")
        if any(not 0 < len(key) <= 40 or not key.isprintable() for key in metadata):
            raise ValueError("must have keys of 1 to 40 printable characters")
        return metadata


class TenantView(Output):
    id: str
    name: str
    email: str
    metadata: dict[str, str]
    created_at: str
