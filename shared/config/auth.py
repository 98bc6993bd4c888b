"""How a sender proves itself: the ways that an operator may write out under `auth`."""

from typing import Annotated, Literal

from pydantic import Field

from shared.config.values import HeaderName, Model, SecretName
from shared.signatures.timestamps import TOLERANCE_SECONDS


class BasicAuth(Model):
    """Basic authentication. Without `username`, any user name goes with the password."""

    scheme: Literal["basic"]
    username: str | None = None
    secret: SecretName


class HeaderAuth(Model):
    """A password in a header of its own."""

    scheme: Literal["header"]
    header: HeaderName = "x-webhook-password"
    secret: SecretName


class BearerAuth(Model):
    """`Authorization: Bearer …`"""

    scheme: Literal["bearer"]
    secret: SecretName


class PathAuth(Model):
    """A token in the path, `/<source>/<token>`, for senders that have nothing else."""

    scheme: Literal["path"]
    secret: SecretName


class QueryAuth(Model):
    """A token in the query, for senders that have nothing else."""

    scheme: Literal["query"]
    parameter: str = "token"
    secret: SecretName


class HmacAuth(Model):
    """HMAC of the raw body."""

    scheme: Literal["hmac"]
    header: HeaderName
    algorithm: Literal["sha256", "sha512", "sha384", "sha1", "md5"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    prefix: str = ""
    secret: SecretName


class StandardWebhooksAuth(Model):
    """Standard Webhooks, symmetric (v1)."""

    scheme: Literal["standard-webhooks"]
    secret: SecretName
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=86_400)


Auth = Annotated[
    BasicAuth | HeaderAuth | BearerAuth | PathAuth | QueryAuth | HmacAuth | StandardWebhooksAuth,
    Field(discriminator="scheme"),
]
