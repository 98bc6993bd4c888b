"""The ways of proof that are over what was sent: signatures, digests, tokens in the body."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from shared.config.conditional import Conditional
from shared.config.places import Content, HeaderPattern, Place
from shared.config.values import HeaderName, Model, SecretName, Verbatim, listed
from shared.signatures.timestamps import TOLERANCE_SECONDS

Algorithm = Literal["sha256", "sha512", "sha384", "sha1", "md5"]
Encoding = Literal["hex", "base64", "base64url", "base64-of-hex"]
Texts = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
MAX_TOLERANCE_SECONDS: Final = 86_400


class Timed(Model):
    """`timestamp` is when it was signed, in `unit`; further off than `tolerance_seconds`, either way, is refused."""

    timestamp: Place | None = None
    unit: Literal["s", "ms", "rfc3339", "http-date"] = "s"
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class SignedAuth(Conditional, Timed):
    """A signature in `header`, or `at` another place, over `content`.

    `layout` says how the signature stands there, after `prefix`:
      plain          it is the whole value
      pairs          `t=1,v1=SIGNATURE`: items at `separator`; those whose key is in `take` are signatures
      versions       `v1,SIGNATURE v1a,SIGNATURE`: items at spaces; those whose version is in `take` are signatures
      numbered       several headers, `{n}` in the header's name being 1, 2 …
      base64-json    base64 of a JSON object, whose field `take` is the signature
    `id` is the id for `{id}`. `url`: which spellings of the URL `{url}` stands for: as it is (`exact`), with its port
    and without (`ports`), with some of its escapes decoded (`unescaped`). `each`: every object there carries a
    signature of its own, and `at` and `content` are read in it. `body_digest` holds the body's SHA-256 in hex.
    """

    header: HeaderPattern | None = None
    at: Place | None = None
    layout: Literal["plain", "pairs", "versions", "numbered", "base64-json"] = "plain"
    take: Texts | None = None
    separator: Verbatim | None = Field(None, min_length=1, max_length=1)
    prefix: Verbatim = ""
    encoding: Encoding = "hex"
    content: Content = "{body}"
    id: Place | None = None
    url: Literal["exact", "ports", "unescaped"] | None = None
    each: Place | None = None
    body_digest: Place | None = None
    secret: SecretName

    @model_validator(mode="after")
    def _stands_somewhere(self) -> "SignedAuth":
        if (self.header is None) == (self.at is None):
            raise ValueError("say where the signature stands: `header`, or `at` another place")
        if self.layout in {"pairs", "versions", "base64-json"} and self.take is None:
            raise ValueError(f"layout {self.layout} needs `take`: the keys that carry a signature")
        if "{timestamp}" in self.content and self.timestamp is None:
            raise ValueError("`content` has {timestamp}; say where it stands with `timestamp`")
        return self


class HmacAuth(SignedAuth):
    """HMAC. `key` says how the secret's text becomes the key's bytes, once `key_prefix` is taken off."""

    scheme: Literal["hmac"]
    algorithm: Algorithm = "sha256"
    key: Literal["utf8", "base64", "hex"] | None = None
    key_prefix: Verbatim | None = None


class DigestAuth(SignedAuth):
    """A plain digest of a `content` that has {secret} in it."""

    scheme: Literal["digest"]
    algorithm: Algorithm = "sha256"


class Ed25519Auth(SignedAuth):
    """The secret is the sender's public key: hex, base64, PEM or JWK."""

    scheme: Literal["ed25519"]


class EcdsaAuth(SignedAuth):
    """The secret is the sender's public key: base64 DER, PEM or JWK. `form`: of the signature."""

    scheme: Literal["ecdsa"]
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    form: Literal["der", "raw"] | None = None


class RsaAuth(SignedAuth):
    """The secret is the sender's public key: PEM, base64 DER or JWK."""

    scheme: Literal["rsa"]
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    padding: Literal["pkcs1", "pss"] | None = None


class TokenAuth(Conditional):
    """The secret itself, `at` a place; where a path has `*`, at every one of them."""

    scheme: Literal["token"]
    at: Place
    prefix: Verbatim = ""
    secret: SecretName


class StandardWebhooksAuth(Conditional):
    """Standard Webhooks: v1 with a `whsec_` secret, v1a with a `whpk_` public key.

    `names: svix` takes svix-id, svix-timestamp and svix-signature as well. `key: utf8`: the secret's text is the key.
    """

    scheme: Literal["standard-webhooks"]
    secret: SecretName
    names: Literal["webhook", "svix"] | None = None
    key: Literal["base64", "utf8"] | None = None
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class JwtAuth(Conditional):
    """A JSON Web Token signed by one of `algorithms`.

    `keys_url` names a JWKS to take the key from, by `kid`; without it the secret is the key: a shared one for HS256,
    else PEM or JWK. `claims` must have one of the texts given; `body_digest` names the claim with the body's SHA-256.
    """

    scheme: Literal["jwt"]
    header: HeaderName = "authorization"
    prefix: Verbatim = "Bearer "
    algorithms: Annotated[
        list[Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]],
        BeforeValidator(listed),
        Field(min_length=1),
    ]
    keys_url: str | None = Field(None, pattern=r"^https://")
    claims: dict[str, Texts] | None = None
    body_digest: str | None = None
    max_age: bool | None = None
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _has_a_key(self) -> "JwtAuth":
        if (self.secret is None) == (self.keys_url is None):
            raise ValueError("say where the key is: `secret`, or `keys_url`")
        if {name[:2] for name in self.algorithms} > {"HS"}:
            raise ValueError("`algorithms` mixes shared and public keys; one token could pass for the other")
        return self
