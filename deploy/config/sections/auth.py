"""The auth schemes: how a source authenticates its requests, one model for each scheme.

A source sets one under `auth`, such as `{scheme: bearer, secret: shop-token}`, and the catalogue sets them for each
provider. `secret` is the name of a secret. shared/config/signed.py has the settings that signatures share.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from shared.config import signed, values
from shared.config.rules import SecretName, listed
from shared.signatures.signed_times import TOLERANCE_SECONDS

MAX_LEEWAY_SECONDS: Final = 10


class BasicAuth(signed.Conditional):
    """Basic authentication. Without `username`, any user name goes with the password."""

    scheme: Literal["basic"]
    username: str | None = None
    secret: SecretName


class HeaderAuth(signed.Conditional):
    """A password in the header `header`."""

    scheme: Literal["header"]
    header: values.HeaderName = "x-webhook-password"
    secret: SecretName


class BearerAuth(signed.Conditional):
    """`Authorization: Bearer …`"""

    scheme: Literal["bearer"]
    secret: SecretName


class PathAuth(signed.Conditional):
    """A token in the path, `/<source>/<token>`, for senders that support nothing else."""

    scheme: Literal["path"]
    secret: SecretName


class QueryAuth(signed.Conditional):
    """A token in the query, for senders that support nothing else."""

    scheme: Literal["query"]
    parameter: str = "token"
    secret: SecretName


class LinkAuth(signed.Conditional):
    """A link made by `hookchain link`: its signature, and its expiry. The source needs `methods: [GET]`."""

    scheme: Literal["link"]
    secret: SecretName


class Ed25519Auth(signed.SignedAuth):
    """The secret is the sender's public key: hex, base64, PEM or JWK."""

    scheme: Literal["ed25519"]


class EcdsaAuth(signed.SignedAuth):
    """The secret is the sender's public key: base64 DER, PEM or JWK. `form` is the encoding of the signature."""

    scheme: Literal["ecdsa"]
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    form: Literal["der", "raw"] | None = None


class RsaAuth(signed.SignedAuth):
    """The secret is the sender's public key: PEM, base64 DER or JWK."""

    scheme: Literal["rsa"]
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    padding: Literal["pkcs1", "pss"] | None = None


class TokenAuth(signed.Conditional):
    """The secret itself at the location `at`; if the path has `*`, at every element."""

    scheme: Literal["token"]
    at: signed.RequestLocation
    prefix: values.Verbatim = ""
    secret: SecretName


class StandardWebhooksAuth(signed.Conditional):
    """Standard Webhooks: v1 with a `whsec_` secret, v1a with a `whpk_` public key.

    `names: svix` also accepts svix-id, svix-timestamp and svix-signature. `key: utf8`: the secret's text is the key.
    `key: either`: accept a signature by the text and one by what it holds in base64.
    """

    scheme: Literal["standard-webhooks"]
    secret: SecretName
    names: Literal["webhook", "svix"] | None = None
    key: Literal["base64", "utf8", "either"] | None = None
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=signed.MAX_TOLERANCE_SECONDS)


class JwtAuth(signed.Conditional):
    """A JSON Web Token signed by one of `algorithms`.

    keys_url           the URL of a JWKS, in which `kid` selects the key; without it the secret is the key: a shared key
                       for HS256, HS384 and HS512, otherwise PEM or JWK
    claims             claims and the values that each may have
    body_digest        the claim with the body's SHA-256
    without_exp        accept a token without `exp`, which can be used for ever
    leeway_seconds     how long after its `exp` a token is still accepted
    tolerance_seconds  how far `nbf` and `iat` may be in the future and, with `max_age`, how old `iat` may be
    """

    scheme: Literal["jwt"]
    header: values.HeaderName = "authorization"
    prefix: values.Verbatim = "Bearer "
    algorithms: Annotated[
        list[Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]],
        BeforeValidator(listed),
        Field(min_length=1),
    ]
    keys_url: str | None = Field(None, pattern=r"^https://")
    claims: dict[str, signed.Texts] | None = None
    body_digest: str | None = None
    max_age: bool | None = None
    without_exp: bool | None = None
    leeway_seconds: int = Field(0, ge=0, le=MAX_LEEWAY_SECONDS)
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=0, le=signed.MAX_TOLERANCE_SECONDS)
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _has_a_key(self) -> "JwtAuth":
        if (self.secret is None) == (self.keys_url is None):
            raise ValueError("needs the key: either `secret` or `keys_url`")
        with_shared_key = [name for name in self.algorithms if name.startswith("HS")]
        if self.keys_url and with_shared_key:
            raise ValueError("HS256 needs a shared key, and `keys_url` is public: name its `secret`")
        if 0 < len(with_shared_key) < len(self.algorithms):
            raise ValueError("`algorithms` must not mix shared and public keys: one could pass as the other")
        return self


class AwsSnsAuth(signed.Conditional):
    """Amazon SNS, verified by its certificate. `topics`: the ARNs or account ids that may send, as anyone can create
    a topic."""

    scheme: Literal["aws-sns"]
    topics: signed.Texts | None = None
    tolerance_seconds: int = Field(3600, ge=1, le=signed.MAX_TOLERANCE_SECONDS)


class PayPalAuth(signed.Conditional):
    """PayPal, verified by its certificate."""

    scheme: Literal["paypal"]
    webhook_id: str
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=signed.MAX_TOLERANCE_SECONDS)


class ContentfulAuth(signed.Conditional):
    """A signature over Contentful's canonical request."""

    scheme: Literal["contentful"]
    secret: SecretName
    tolerance_seconds: int = Field(30, ge=1, le=signed.MAX_TOLERANCE_SECONDS)


Auth: TypeAlias = Annotated[
    BasicAuth
    | HeaderAuth
    | BearerAuth
    | PathAuth
    | QueryAuth
    | TokenAuth
    | signed.HmacAuth
    | signed.DigestAuth
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
SIGNING_A_TIME: Final = frozenset({"standard-webhooks", "contentful", "aws-sns", "paypal"})
"""The schemes that always sign a time. The others do so only with the setting `timestamp`, or limit it by `max_age`."""
