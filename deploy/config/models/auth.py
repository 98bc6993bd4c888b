"""How a sender proves itself: the ways that an operator may write out under `auth`, and the catalogue for an entry."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from deploy.config.models.signed import (
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
    """A password in a header of its own."""

    scheme: Literal["header"]
    header: HeaderName = "x-webhook-password"
    secret: SecretName


class BearerAuth(Conditional):
    """`Authorization: Bearer …`"""

    scheme: Literal["bearer"]
    secret: SecretName


class PathAuth(Conditional):
    """A token in the path, `/<source>/<token>`, for senders that have nothing else."""

    scheme: Literal["path"]
    secret: SecretName


class QueryAuth(Conditional):
    """A token in the query, for senders that have nothing else."""

    scheme: Literal["query"]
    parameter: str = "token"
    secret: SecretName


class LinkAuth(Conditional):
    """A link made by `hookchain link`: its signature, and its time where it has one. The source takes GET."""

    scheme: Literal["link"]
    secret: SecretName


Texts = Annotated[list[str], BeforeValidator(listed)]


class AwsSnsAuth(Conditional):
    """Amazon SNS, by its certificate. Anybody can make a topic: `topics` are the ARNs or account ids that may send."""

    scheme: Literal["aws-sns"]
    topics: Texts | None = None
    tolerance_seconds: int = Field(3600, ge=1, le=MAX_TOLERANCE_SECONDS)


class PayPalAuth(Conditional):
    """PayPal, by its certificate."""

    scheme: Literal["paypal"]
    webhook_id: str
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class ContentfulAuth(Conditional):
    """Contentful's canonical request."""

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
