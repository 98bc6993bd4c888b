"""Auth schemes: what a source may write under `auth`, and the catalogue for a provider."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from shared.config.signed import (
    MAX_TOLERANCE_SECONDS,
    Conditional,
    DigestAuth,
    EcdsaAuth,
    Ed25519Auth,
    HmacAuth,
    JwtAuth,
    RsaAuth,
    StandardWebhooksAuth,
    TokenAuth,
)
from shared.config.values import HeaderName, SecretName, listed
from shared.signatures.timestamps import TOLERANCE_SECONDS


class BasicAuth(Conditional):
    """Basic authentication. Without `username`, any user name goes with the password."""

    scheme: Literal["basic"]
    username: str | None = None
    secret: SecretName


class HeaderAuth(Conditional):
    """A password in the header `header`."""

    scheme: Literal["header"]
    header: HeaderName = "x-webhook-password"
    secret: SecretName


class BearerAuth(Conditional):
    """`Authorization: Bearer …`"""

    scheme: Literal["bearer"]
    secret: SecretName


class PathAuth(Conditional):
    """A token in the path, `/<source>/<token>`, for senders that support nothing else."""

    scheme: Literal["path"]
    secret: SecretName


class QueryAuth(Conditional):
    """A token in the query, for senders that support nothing else."""

    scheme: Literal["query"]
    parameter: str = "token"
    secret: SecretName


class LinkAuth(Conditional):
    """A link made by `hookchain link`: its signature, and its expiry. The source needs `methods: [GET]`."""

    scheme: Literal["link"]
    secret: SecretName


Texts = Annotated[list[str], BeforeValidator(listed)]


class AwsSnsAuth(Conditional):
    """Amazon SNS, verified by its certificate. `topics`: the ARNs or account ids that may send, as anyone can create
    a topic."""

    scheme: Literal["aws-sns"]
    topics: Texts | None = None
    tolerance_seconds: int = Field(3600, ge=1, le=MAX_TOLERANCE_SECONDS)


class PayPalAuth(Conditional):
    """PayPal, verified by its certificate."""

    scheme: Literal["paypal"]
    webhook_id: str
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class ContentfulAuth(Conditional):
    """A signature over Contentful's canonical request."""

    scheme: Literal["contentful"]
    secret: SecretName
    tolerance_seconds: int = Field(30, ge=1, le=MAX_TOLERANCE_SECONDS)


Auth: TypeAlias = Annotated[
    BasicAuth
    | HeaderAuth
    | BearerAuth
    | PathAuth
    | QueryAuth
    | TokenAuth
    | HmacAuth
    | DigestAuth
    | StandardWebhooksAuth
    | Ed25519Auth
    | EcdsaAuth
    | RsaAuth
    | JwtAuth
    | LinkAuth
    | AwsSnsAuth
    | PayPalAuth
    | ContentfulAuth,
    Field(discriminator="scheme"),
]
