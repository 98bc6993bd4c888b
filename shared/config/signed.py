"""Auth schemes that cover what was sent: signatures, digests, JSON Web Tokens, and tokens in the body."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from shared.config.locations import Content, HeaderPattern, RequestLocation, TimestampLocation
from shared.config.values import HeaderName, Model, SecretName, Verbatim, listed
from shared.signatures.timestamps import TOLERANCE_SECONDS

Algorithm = Literal["sha256", "sha512", "sha384", "sha1", "md5"]
Encoding = Literal["hex", "base64", "base64url", "base64-of-hex"]
Texts = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
MAX_TOLERANCE_SECONDS: Final = 86_400
MAX_LEEWAY_SECONDS: Final = 10


class Conditional(Model):
    """An auth scheme. `variant` is its name. It applies only if each location in `when` has this text (true: any)."""

    variant: str | None = None
    when: dict[RequestLocation, str | bool] | None = None


class Timed(Model):
    """The signing time: its location `timestamp` and its `unit`. A request is rejected if the time differs from now by
    more than `tolerance_seconds`."""

    timestamp: TimestampLocation | None = None
    unit: Literal["s", "ms", "rfc3339", "http-date"] = "s"
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class SignedAuth(Conditional, Timed):
    """A signature in `header`, or at the location `at`, over `content`.

    layout       how the signature is written there, after `prefix`:
      plain        the signature is the whole value
      pairs        `t=1,v1=SIGNATURE`: items split at `separator`; those whose key is in `take` are signatures
      versions     `v1,SIGNATURE v1a,SIGNATURE`: items split at spaces; those whose version is in `take` are signatures
      numbered     several headers; `{n}` in the header's name is 1, 2 …
      base64-json  base64 of a JSON object, whose field `take` is the signature
    separator    one character, followed by a space if the sender writes one
    id           the location of the value for `{id}`
    url          the spellings that `{url}` stands for: the URL as it is (`exact`), with and without its port (`ports`),
                 or with some of its escapes decoded (`unescaped`)
    each         every object at this location has a signature of its own; `at` and `content` are read in it
    body_digest  the location of the body's SHA-256 in hex
    """

    header: HeaderPattern | None = None
    at: RequestLocation | None = None
    layout: Literal["plain", "pairs", "versions", "numbered", "base64-json"] = "plain"
    take: Texts | None = None
    separator: Verbatim | None = Field(None, pattern=r"^(.|[^ ] )$")
    prefix: Verbatim = ""
    encoding: Encoding = "hex"
    content: Content = "{body}"
    id: RequestLocation | None = None
    url: Literal["exact", "ports", "unescaped"] | None = None
    each: RequestLocation | None = None
    body_digest: RequestLocation | None = None
    secret: SecretName

    @model_validator(mode="after")
    def _goes_together(self) -> "SignedAuth":
        for is_broken, rule in self._rules():
            if is_broken:
                raise ValueError(rule)
        return self

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """Yield whether each rule is broken, and the rule. Otherwise no signature matches, or anyone can make one."""
        once = (self.header is None) is not (self.at is None)
        yield not once, "needs the location of the signature: either `header` or `at`"
        has_keys = self.layout in {"pairs", "versions", "base64-json"}
        yield has_keys and not self.take, f"layout {self.layout} needs `take`: the keys that carry a signature"
        yield not has_keys and self.take is not None, "`take` goes with `layout`: pairs, versions or base64-json"
        is_numbered = "{n}" in (self.header or "")
        yield is_numbered is not (self.layout == "numbered"), "`layout: numbered` and a `header` with {n} go together"
        if self.layout != "pairs":
            yield self.separator is not None, "`separator` goes with `layout: pairs`"
            is_item = (self.timestamp or "").startswith("signature.")
            yield is_item, "a `timestamp` at signature.KEY goes with `layout: pairs`"
        yield from self._rules_of_content()

    def _rules_of_content(self) -> Iterator[tuple[bool, str]]:
        for name, place in (("timestamp", self.timestamp), ("id", self.id)):
            is_lost = f"{{{name}}}" in self.content and place is None
            yield is_lost, f"`content` has {{{name}}}; add its location with `{name}`"
        has_secret = "{secret}" in self.content
        if isinstance(self, DigestAuth):
            yield not has_secret, "`content` needs {secret}: anyone can make a digest without it"
        else:
            yield has_secret, "{secret} in `content` needs `scheme: digest`; in other schemes the secret is the key"


class HmacAuth(SignedAuth):
    """HMAC. `key` is the encoding of the key in the secret's text, after `key_prefix` is removed."""

    scheme: Literal["hmac"]
    algorithm: Algorithm = "sha256"
    key: Literal["utf8", "base64", "hex"] | None = None
    key_prefix: Verbatim | None = None


class DigestAuth(SignedAuth):
    """A plain digest of `content`, which includes {secret}."""

    scheme: Literal["digest"]
    algorithm: Algorithm = "sha256"


class Ed25519Auth(SignedAuth):
    """The secret is the sender's public key: hex, base64, PEM or JWK."""

    scheme: Literal["ed25519"]


class EcdsaAuth(SignedAuth):
    """The secret is the sender's public key: base64 DER, PEM or JWK. `form` is the encoding of the signature."""

    scheme: Literal["ecdsa"]
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    form: Literal["der", "raw"] | None = None


class RsaAuth(SignedAuth):
    """The secret is the sender's public key: PEM, base64 DER or JWK."""

    scheme: Literal["rsa"]
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    padding: Literal["pkcs1", "pss"] | None = None


class TokenAuth(Conditional):
    """The secret itself at the location `at`; if the path has `*`, at every element."""

    scheme: Literal["token"]
    at: RequestLocation
    prefix: Verbatim = ""
    secret: SecretName


class StandardWebhooksAuth(Conditional):
    """Standard Webhooks: v1 with a `whsec_` secret, v1a with a `whpk_` public key.

    `names: svix` also accepts svix-id, svix-timestamp and svix-signature. `key: utf8`: the secret's text is the key.
    """

    scheme: Literal["standard-webhooks"]
    secret: SecretName
    names: Literal["webhook", "svix"] | None = None
    key: Literal["base64", "utf8"] | None = None
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class JwtAuth(Conditional):
    """A JSON Web Token signed by one of `algorithms`.

    keys_url           the URL of a JWKS, in which `kid` selects the key; without it the secret is the key: a shared key
                       for HS256, HS384 and HS512, otherwise PEM or JWK
    claims             claims and the values that each may have
    body_digest        the claim with the body's SHA-256
    leeway_seconds     how long after its `exp` a token is still accepted
    tolerance_seconds  how far `nbf` and `iat` may be in the future and, with `max_age`, how old `iat` may be
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
    leeway_seconds: int = Field(0, ge=0, le=MAX_LEEWAY_SECONDS)
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=0, le=MAX_TOLERANCE_SECONDS)
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _has_a_key(self) -> "JwtAuth":
        if (self.secret is None) == (self.keys_url is None):
            raise ValueError("needs the key: either `secret` or `keys_url`")
        families = {name[:2] for name in self.algorithms}
        if self.keys_url and "HS" in families:
            raise ValueError("HS256 needs a shared key, and `keys_url` is public: name its `secret`")
        if families > {"HS"}:
            raise ValueError("`algorithms` must not mix shared and public keys: one could pass as the other")
        return self
