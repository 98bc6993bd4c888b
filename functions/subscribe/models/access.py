"""API keys and portal tokens, as the API takes and shows them."""

from typing import Annotated, Final

from pydantic import Field

from functions.subscribe.models.base import Input, Line, Output
from shared.subscribers.model import Capability, Scope

MIN_TOKEN_SECONDS: Final = 60
MAX_TOKEN_SECONDS: Final = 7 * 86_400


class ApiKeyInput(Input):
    """A new API key. `write` includes `read`, and `admin` includes all."""

    description: Annotated[Line, Field(max_length=200)] = ""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]


class ApiKeyView(Output):
    """An API key without its secret. `rotated` is true while the secret before is still valid."""

    id: str
    description: str
    scopes: list[Scope]
    created_at: str
    rotated: bool


class ApiKeyCreated(ApiKeyView):
    """The key, which is shown once. After a rotation the one before is valid for 24 hours more."""

    key: str


class PortalTokenInput(Input):
    """A portal token. Without `reveal_secret`, its holder sees a secret only when it is made."""

    capabilities: Annotated[list[Capability], Field(min_length=1, max_length=4)] = ["view", "manage", "resend"]
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
    capabilities: list[Capability]
    tenant: str
    limits: PortalLimits
    verify: str
    expires_at: str
