"""How a sender proves itself: the ways that an operator may write out under `auth`, and the catalogue for an entry."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from deploy.config.models.conditional import Conditional
from deploy.config.models.link import LinkAuth
from deploy.config.models.signed import (
    DigestAuth,
    EcdsaAuth,
    Ed25519Auth,
    HmacAuth,
    JwtAuth,
    RsaAuth,
    StandardWebhooksAuth,
    TokenAuth,
)
from deploy.config.models.verifiers import AwsSnsAuth, ContentfulAuth, PayPalAuth
from shared.config.values import HeaderName, SecretName


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
