"""The settings of signatures and digests over a template of the request: of a source, and of a webhook that is sent.

A header such as `x-sig: t=1767225600,v1=9f86d0` has the settings `header: x-sig`, `layout: pairs`, `take: v1`,
`timestamp: signature.t` and, if the signature covers the time, `content: "{timestamp}.{body}"`.
"""

import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.config import rules, values
from shared.http import HEADER_NAME
from shared.signatures.signed_times import TOLERANCE_SECONDS

_REQUEST_LOCATION: Final = re.compile(r"(header|query|form)\.[^\s{}]+|data(\.[^.\s{}]+)+")
_SIGNATURE_ITEM: Final = re.compile(r"signature\.[^\s{}]+")
_IN_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_PARTS: Final = frozenset({"body", "body.sha256", "body.crc32", "timestamp", "id", "url", "method", "secret", "form"})


def _verify_request_location(text: str) -> str:
    if not _REQUEST_LOCATION.fullmatch(text):
        raise ValueError(
            "must be a location: header.NAME, query.NAME, form.NAME or data.path.to.field (`*` for each element)"
        )
    return text


def _verify_timestamp_location(text: str) -> str:
    if not _SIGNATURE_ITEM.fullmatch(text) and not _REQUEST_LOCATION.fullmatch(text):
        raise ValueError(
            "must be a location: header.NAME, query.NAME, form.NAME, data.path.to.field"
            " or signature.KEY, for an item of the signature's own header"
        )
    return text


def _verify_template(text: str) -> str:
    for part in _IN_BRACES.findall(text):
        is_known = part in _PARTS or re.fullmatch(r"param\.\w+", part) or _REQUEST_LOCATION.fullmatch(part)
        if not is_known:
            known = ", ".join(f"{{{each}}}" for each in sorted(_PARTS))
            raise ValueError(
                f"{{{part}}} is not a part of a request; use {known}, or a location such as {{header.date}}"
            )
    return text


def _lower_header_pattern(text: str) -> str:
    if not re.fullmatch(HEADER_NAME, text.replace("{n}", "1", 1)):
        raise ValueError("must be the name of a header (`{n}` in it is a number, counted from 1)")
    return text.lower()


HeaderPattern = Annotated[str, AfterValidator(_lower_header_pattern)]
RequestLocation = Annotated[str, AfterValidator(_verify_request_location)]
TimestampLocation = Annotated[str, AfterValidator(_verify_timestamp_location)]
Content = Annotated[values.Verbatim, AfterValidator(_verify_template)]
"""The signed text, such as `{timestamp}.{body}`: literal text, and in braces parts of the request as received.

The parts are {body} {body.sha256} {body.crc32} {method} {url} {timestamp} {id} {secret} {param.NAME}, any location, and
{form}: the form's fields sorted by name, each name before its values, which are sorted and without repetition.
"""

Algorithm = Literal["sha256", "sha512", "sha384", "sha1", "md5"]
Encoding = Literal["hex", "base64", "base64url", "base64-of-hex"]
Texts = Annotated[list[str], BeforeValidator(rules.listed), Field(min_length=1)]
MAX_TOLERANCE_SECONDS: Final = 86_400


class Conditional(values.Model):
    """An auth scheme. `variant` is its name. It applies only if each location in `when` has this text (true: any)."""

    variant: str | None = None
    when: dict[RequestLocation, str | bool] | None = None


class Timed(values.Model):
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
    separator: values.Verbatim | None = Field(None, pattern=r"^(.|[^ ] )$")
    prefix: values.Verbatim = ""
    encoding: Encoding = "hex"
    content: Content = "{body}"
    id: RequestLocation | None = None
    url: Literal["exact", "ports", "unescaped"] | None = None
    each: RequestLocation | None = None
    body_digest: RequestLocation | None = None
    secret: rules.SecretName

    has_secret_in_content: ClassVar[bool] = False

    # With settings that break one of these rules, no signature could match, or anyone could make one that does.

    @model_validator(mode="after")
    def _verify_place(self) -> Self:
        if (self.header is None) == (self.at is None):
            raise ValueError("needs the location of the signature: either `header` or `at`")
        has_keys = self.layout in {"pairs", "versions", "base64-json"}
        if has_keys and not self.take:
            raise ValueError(f"layout {self.layout} needs `take`: the keys that carry a signature")
        if not has_keys and self.take is not None:
            raise ValueError("`take` goes with `layout`: pairs, versions or base64-json")
        is_numbered = "{n}" in (self.header or "")
        if is_numbered != (self.layout == "numbered"):
            raise ValueError("`layout: numbered` and a `header` with {n} go together")
        if self.separator is not None and self.layout != "pairs":
            raise ValueError("`separator` goes with `layout: pairs`")
        if (self.timestamp or "").startswith("signature.") and self.layout != "pairs":
            raise ValueError("a `timestamp` at signature.KEY goes with `layout: pairs`")
        return self

    @model_validator(mode="after")
    def _verify_content(self) -> Self:
        for part, location in (("timestamp", self.timestamp), ("id", self.id)):
            if f"{{{part}}}" in self.content and location is None:
                raise ValueError(f"`content` has {{{part}}}; add its location with `{part}`")
        has_secret = "{secret}" in self.content
        if self.has_secret_in_content and not has_secret:
            raise ValueError("`content` needs {secret}: anyone can make a digest without it")
        if has_secret and not self.has_secret_in_content:
            raise ValueError("{secret} in `content` needs `scheme: digest`; in other schemes the secret is the key")
        return self


class HmacAuth(SignedAuth):
    """HMAC. `key` is the encoding of the key in the secret's text, after `key_prefix` is removed."""

    scheme: Literal["hmac"]
    algorithm: Algorithm = "sha256"
    key: Literal["utf8", "base64", "hex"] | None = None
    key_prefix: values.Verbatim | None = None


class DigestAuth(SignedAuth):
    """A plain digest of `content`, which includes {secret}."""

    has_secret_in_content = True

    scheme: Literal["digest"]
    algorithm: Algorithm = "sha256"
