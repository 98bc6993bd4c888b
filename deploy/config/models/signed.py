"""The ways of proof that are over what was sent: signatures, digests, tokens in the body."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from deploy.config.models.locations import Content, HeaderPattern, Place, PlaceOfTime
from shared.config.values import HeaderName, Model, SecretName, Verbatim, listed
from shared.signatures.timestamps import TOLERANCE_SECONDS

Algorithm = Literal["sha256", "sha512", "sha384", "sha1", "md5"]
Encoding = Literal["hex", "base64", "base64url", "base64-of-hex"]
Texts = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
MAX_TOLERANCE_SECONDS: Final = 86_400
MAX_LEEWAY_SECONDS: Final = 10


class Conditional(Model):
    """`variant` is the way's name. `when`: the way counts only where each place holds that text (true: any text)."""

    variant: str | None = None
    when: dict[Place, str | bool] | None = None


class Timed(Model):
    """`timestamp` is when it was signed, in `unit`; further off than `tolerance_seconds`, either way, is refused."""

    timestamp: PlaceOfTime | None = None
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
    `separator` is one character, with a space after it where the sender writes one. `id` is the id for `{id}`. `url`:
    which spellings of the URL `{url}` stands for: as it is (`exact`), with its port and without (`ports`), with some of
    its escapes decoded (`unescaped`). `each`: every object there carries a
    signature of its own, and `at` and `content` are read in it. `body_digest` holds the body's SHA-256 in hex.
    """

    header: HeaderPattern | None = None
    at: Place | None = None
    layout: Literal["plain", "pairs", "versions", "numbered", "base64-json"] = "plain"
    take: Texts | None = None
    separator: Verbatim | None = Field(None, pattern=r"^(.|[^ ] )$")
    prefix: Verbatim = ""
    encoding: Encoding = "hex"
    content: Content = "{body}"
    id: Place | None = None
    url: Literal["exact", "ports", "unescaped"] | None = None
    each: Place | None = None
    body_digest: Place | None = None
    secret: SecretName

    @model_validator(mode="after")
    def _goes_together(self) -> "SignedAuth":
        for is_broken, rule in self._rules():
            if is_broken:
                raise ValueError(rule)
        return self

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """Without these a signature never holds, or anybody can make it."""
        once = (self.header is None) is not (self.at is None)
        yield not once, "say where the signature stands: `header`, or `at` another place"
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
            yield is_lost, f"`content` has {{{name}}}; say where it stands with `{name}`"
        has_secret = "{secret}" in self.content
        if isinstance(self, DigestAuth):
            yield not has_secret, "anybody can make a digest without the secret: `content` needs {secret}"
        else:
            yield has_secret, "{secret} in `content` goes with `scheme: digest`; else the secret is the key"


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
    `leeway_seconds`: how long after its `exp` a token is still accepted. `tolerance_seconds`: how far ahead `nbf` and
    `iat` may lie and, with `max_age`, how old `iat` may be.
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
            raise ValueError("say where the key is: `secret`, or `keys_url`")
        families = {name[:2] for name in self.algorithms}
        if self.keys_url and "HS" in families:
            raise ValueError("what is at `keys_url` is public, and HS256 takes a key that is shared: name its `secret`")
        if families > {"HS"}:
            raise ValueError("`algorithms` mixes shared and public keys; one token could pass for the other")
        return self
