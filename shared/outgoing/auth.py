"""The settings that authenticate requests to other systems: one model for each scheme. `authenticator.py` applies them.

`secret` is always the name of a secret, never its value.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from shared.config import rules, values
from shared.errors import Permanent
from shared.outgoing.allowed_urls import read_target


class RequestAuth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BasicRequestAuth(RequestAuth):
    scheme: Literal["basic"]
    username: str
    secret: rules.SecretName


class BearerRequestAuth(RequestAuth):
    scheme: Literal["bearer"]
    secret: rules.SecretName


class HeaderRequestAuth(RequestAuth):
    """A header with the secret, after a `prefix` such as `Token `."""

    scheme: Literal["header"]
    header: values.HeaderName
    prefix: str = ""
    secret: rules.SecretName


class QueryRequestAuth(RequestAuth):
    scheme: Literal["query"]
    parameter: Annotated[str, Field(min_length=1)]
    secret: rules.SecretName


class GoogleRequestAuth(RequestAuth):
    """An identity token of this function's service account, for a private Cloud Run function.

    `audience` is a URL, by default the URL of the request without its query.
    """

    scheme: Literal["google"]
    audience: Annotated[str, Field(min_length=1)] | None = None


class GoogleOAuthRequestAuth(RequestAuth):
    """An access token for Google's APIs. `scope` holds one or more URLs, separated by spaces.

    `secret` names a service account's key (JSON). Without it, the token is for this function's own account.
    """

    scheme: Literal["google_oauth"]
    scope: Annotated[str, Field(min_length=1)] = "https://www.googleapis.com/auth/cloud-platform"
    secret: rules.SecretName | None = None


class OAuth2RequestAuth(RequestAuth):
    """An access token by OAuth 2.0 client credentials (RFC 6749, 4.4).

    style  where the client id and secret are sent: `basic`, in the Authorization header; or `body`
    """

    scheme: Literal["oauth2"]
    token_url: str
    client_id: Annotated[str, Field(min_length=1)]
    secret: rules.SecretName
    scope: str = ""
    audience: str = ""
    style: Literal["basic", "body"] = "basic"

    @field_validator("token_url")
    @classmethod
    def _verify_token_url(cls, url: str) -> str:
        try:
            read_target(url, allow_private=True)
        except Permanent as fault:
            raise ValueError(fault.detail) from fault
        return url


class AwsRequestAuth(RequestAuth):
    """Signature Version 4, by this function's own role, or by an access key whose secret part `secret` names."""

    scheme: Literal["aws"]
    service: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
    access_key_id: Annotated[str, Field(min_length=1)] | None = None
    secret: rules.SecretName | None = None

    @model_validator(mode="after")
    def _verify_key(self) -> Self:
        if (self.access_key_id is None) != (self.secret is None):
            raise ValueError("`access_key_id` and `secret` belong together; without both, the function's role signs")
        return self


AnyRequestAuth = Annotated[
    BasicRequestAuth
    | BearerRequestAuth
    | HeaderRequestAuth
    | QueryRequestAuth
    | GoogleRequestAuth
    | GoogleOAuthRequestAuth
    | OAuth2RequestAuth
    | AwsRequestAuth,
    Field(discriminator="scheme"),
]


def read_request_auth(written: object) -> tuple[AnyRequestAuth, ...]:
    """Verify a list of schemes, such as `[{"scheme": "bearer", "secret": "crm-token"}]`. Raises ValueError."""
    return TypeAdapter(tuple[AnyRequestAuth, ...]).validate_python(written)
