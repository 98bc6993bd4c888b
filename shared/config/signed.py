"""The settings of signatures and digests over a template of the request: of a source, and of a webhook that is sent."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.config import rules, values
from shared.http import HEADER_NAME
from shared.signatures.signed_times import TOLERANCE_SECONDS

_REQUEST_LOCATION: Final = re.compile(r"(header|query|form)\.[^\s{}]+|data(\.[^.\s{}]+)+")
_ITEM: Final = re.compile(r"signature\.[^\s{}]+")
_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_PARTS: Final = frozenset({"body", "body.sha256", "body.crc32", "timestamp", "id", "url", "method", "secret", "form"})


def _request_location(text: str) -> str:
    if not _REQUEST_LOCATION.fullmatch(text):
        raise ValueError(
            "must be a location: header.NAME, query.NAME, form.NAME or data.path.to.field (`*` for each element)"
        )
    return text


def _timestamp_location(text: str) -> str:
    if not _ITEM.fullmatch(text) and not _REQUEST_LOCATION.fullmatch(text):
        raise ValueError(
            "must be a location: header.NAME, query.NAME, form.NAME, data.path.to.field"
            " or signature.KEY, for an item of the signature's own header"
        )
    return text


def _content(text: str) -> str:
    for hole in _HOLES.findall(text):
        if hole not in _PARTS and not re.fullmatch(r"param\.\w+", hole) and not _REQUEST_LOCATION.fullmatch(hole):
            known = ", ".join(f"{{{part}}}" for part in sorted(_PARTS))
            raise ValueError(
                f"{{{hole}}} is not a part of a request; use {known}, or a location such as {{header.date}}"
            )
    return text


def _header_pattern(text: str) -> str:
    if not re.fullmatch(HEADER_NAME, text.replace("{n}", "1", 1)):
        raise ValueError("must be the name of a header (`{n}` in it is a number, counted from 1)")
    return text.lower()


HeaderPattern = Annotated[str, AfterValidator(_header_pattern)]
RequestLocation = Annotated[str, AfterValidator(_request_location)]
TimestampLocation = Annotated[str, AfterValidator(_timestamp_location)]
Content = Annotated[values.Verbatim, AfterValidator(_content)]
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

    @model_validator(mode="after")
    def _goes_together(self) -> "SignedAuth":
        for is_broken, rule in self._rules():
            if is_broken:
                raise ValueError(rule)
        return self

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """Yield whether each rule is broken, and the rule. Otherwise no signature matches, or anyone can make one."""
        has_header = self.header is not None
        has_location = self.at is not None
        yield has_header == has_location, "needs the location of the signature: either `header` or `at`"
        has_keys = self.layout in {"pairs", "versions", "base64-json"}
        yield has_keys and not self.take, f"layout {self.layout} needs `take`: the keys that carry a signature"
        yield not has_keys and self.take is not None, "`take` goes with `layout`: pairs, versions or base64-json"
        is_numbered = "{n}" in (self.header or "")
        has_numbered_layout = self.layout == "numbered"
        yield is_numbered != has_numbered_layout, "`layout: numbered` and a `header` with {n} go together"
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
    key_prefix: values.Verbatim | None = None


class DigestAuth(SignedAuth):
    """A plain digest of `content`, which includes {secret}."""

    scheme: Literal["digest"]
    algorithm: Algorithm = "sha256"
