"""The models of tenants, API keys and the portal."""

from typing import Annotated, Final

from pydantic import Field, field_validator

from functions.subscribe.models.values import Email, Input, Line, Output
from shared.subscribers import model

MAX_METADATA: Final = 20
"""The most keys of a tenant's metadata."""
MIN_TOKEN_SECONDS: Final = 60
MAX_TOKEN_SECONDS: Final = 7 * 86_400


class TenantInput(Input):
    """A tenant: a customer of the operator. A mail to `email` says when an endpoint of the tenant is disabled."""

    name: Annotated[Line, Field(max_length=200)] = ""
    email: Email = ""
    metadata: dict[str, Annotated[Line, Field(max_length=500)]] = {}

    @field_validator("metadata")
    @classmethod
    def _verify_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
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


class ApiKeyInput(Input):
    """A new API key. `write` includes `read`, and `admin` includes all."""

    description: Annotated[Line, Field(max_length=200)] = ""
    scopes: Annotated[list[model.Scope], Field(min_length=1, max_length=4)]


class ApiKeyView(Output):
    """An API key without its secret. `rotated` is true while the previous secret is still valid."""

    id: str
    description: str
    scopes: list[model.Scope]
    created_at: str
    rotated: bool


class ApiKeyCreated(ApiKeyView):
    """The key, which is shown once. After a rotation, the previous key is valid for 24 more hours."""

    key: str


class PortalTokenInput(Input):
    """A portal token. Without `reveal_secret`, its holder sees a secret only when it is created."""

    capabilities: Annotated[list[model.Capability], Field(min_length=1, max_length=4)] = ["view", "manage", "resend"]
    expires_in: Annotated[int, Field(ge=MIN_TOKEN_SECONDS, le=MAX_TOKEN_SECONDS)] = 3_600


class PortalTokenCreated(Output):
    """The token, and the URL that opens the portal with it."""

    token: str
    url: str
    session: str
    expires_at: str


class PortalLimits(Output):
    endpoints: int
    headers: int
    fields: int
    types: int
    filter_characters: int


class PortalInfo(Output):
    """The facts that the page shows, and what its token allows."""

    name: str
    logo: str
    capabilities: list[model.Capability]
    tenant: str
    limits: PortalLimits
    verify: str
    expires_at: str
