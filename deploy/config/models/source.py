"""A source: a configured sender, its provider, its reply, and the browser form that posts to it."""

import re
from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from deploy.config.models.auth import MAX_LEEWAY_SECONDS, Auth, LinkAuth
from deploy.config.models.bus_source import BusSourceConfig
from deploy.config.models.locations import BatchPath, DataPath, Locations
from deploy.config.models.provider import Dedupe
from shared.casting import Kind
from shared.config.rules import Name, Seconds, SecretName, listed
from shared.config.signed import MAX_TOLERANCE_SECONDS
from shared.config.values import HeaderName, Model
from shared.limits import MIB


class ProviderSettings(Model):
    """The settings that a source takes from the catalogue.

    provider    a key of shared/providers.yaml; its auth schemes, event fields, handshakes and reply apply, except those
                that the source sets itself (`auth` replaces all schemes of the provider)
    secret      the name of the secret that the provider's schemes use
    variant     only the scheme of this name
    tolerance   replaces the provider's tolerance (`90s`, `10m`)
    leeway      how long after its `exp` a JSON Web Token is still accepted
    params      values that the provider needs, such as an account id; some are names of secrets
    """

    provider: str | None = None
    secret: SecretName | None = None
    variant: str | None = None
    tolerance: Seconds | None = Field(None, ge=0, le=MAX_TOLERANCE_SECONDS)
    leeway: Seconds | None = Field(None, ge=0, le=MAX_LEEWAY_SECONDS)
    params: dict[str, str | list[str]] = Field(default={})

    @model_validator(mode="after")
    def _only_with_a_provider(self) -> "ProviderSettings":
        keys = self.model_fields_set & {"secret", "variant", "tolerance", "leeway", "params"}
        if self.provider is None and keys:
            raise ValueError(f"`{sorted(keys)[0]}` needs `provider`; under `auth`, each scheme has a secret of its own")
        return self


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_PAGE: Final = re.compile(r"https?://[^\s\x00-\x20\x7f-\uffff\\]+")


def _origin(text: str) -> str:
    text = text.lower()
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin such as https://www.example.com, without a path or a trailing slash")
    return text


Origin = Annotated[str, AfterValidator(_origin)]


def _page(text: str) -> str:
    if not _PAGE.fullmatch(text):
        raise ValueError("must be the URL of a page, such as https://www.example.com/thanks")
    return text


class FormConfig(Model):
    """A form that browsers post.

    origins    the origins of the pages that contain the form
    honeypot   a hidden field, which only programs fill in
    thanks     the page to which the browser is redirected
    """

    origins: Annotated[list[Origin], BeforeValidator(listed), Field(min_length=1)]
    honeypot: str | None = Field(None, min_length=1, max_length=100)
    thanks: Annotated[str, AfterValidator(_page)] | None = None


_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        rule = "must be an IP address or a block of addresses, such as 203.0.113.7 or 192.0.2.0/24"
        raise ValueError(f"{rule}, without host bits" if "host bits" in str(error) else rule) from error


def _public_url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("must be a URL such as https://hooks.example.com, without a query or a user name")
    return text


Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(listed), Field(min_length=1)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
"""The URL exactly as written, including a trailing slash, because senders sign it."""
TrustedProxies = Annotated[int, Field(ge=0, le=10)]
"""The number of proxies in front whose X-Forwarded headers are trusted: 1 on Cloud Run, 0 without a proxy."""

_CONTENT_TYPE: Final = re.compile(r"[a-z0-9.+_-]+/([a-z0-9.+_-]+|\*)|\*\+[a-z0-9]+")


def _content_type(text: str) -> str:
    text = text.lower()
    if not _CONTENT_TYPE.fullmatch(text):
        raise ValueError("must be a content type such as application/json, text/* or *+json")
    return text


ContentTypes = Annotated[
    list[Annotated[str, AfterValidator(_content_type)]], BeforeValidator(listed), Field(min_length=1)
]


REDIRECTS: Final = frozenset({302, 303})
_RESERVED: Final = frozenset({"content-length", "content-type", "transfer-encoding", "connection", "date", "server"})


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]{0,4096}", text):
        raise ValueError("must be at most 4096 characters of Latin-1, without line breaks and control characters")
    if "{{" in text:
        raise ValueError("must not contain `{{`: only `body` is a template")
    return text


HeaderValue = Annotated[str, AfterValidator(_header_value)]


class RespondConfig(Model):
    """The reply to an accepted request. `body` is text, or a value that is sent as JSON. Both may contain `{{ id }}`
    and `{{ data.x }}`."""

    status: int = 200
    headers: dict[HeaderName, HeaderValue] = Field(default={})
    content_type: HeaderValue | None = None
    body: JsonValue = ""

    @model_validator(mode="after")
    def _is_valid(self) -> "RespondConfig":
        if not (200 <= self.status < 300 or self.status in REDIRECTS):
            raise ValueError(f"status: must be from 200 to 299, or 302 or 303 with a location; got {self.status}")
        if self.status in REDIRECTS and "location" not in self.headers:
            raise ValueError(f"status {self.status} needs a location: add `headers: {{location: URL}}`")
        if self.status in {204, 205} and self.body != "":
            raise ValueError(f"status {self.status} must not have a body")
        if reserved := sorted(self.headers.keys() & _RESERVED):
            hint = ". Use `content_type`" if "content-type" in reserved else ""
            raise ValueError(f"headers: must not set {reserved[0]}{hint}")
        return self


DestinationNames = Annotated[list[Name], BeforeValidator(listed), Field(min_length=1)]


class SilenceConfig(Model):
    """Alerts when no event of the source was accepted for so long, and when it sends again.

    after  how long
    to     the destinations that get them; default: those of `alerts`
    """

    after: Annotated[Seconds, Field(ge=60, le=90 * 86_400)]
    to: DestinationNames | None = None


BodyFormat = Literal["json", "ndjson", "xml", "yaml", "form", "multipart", "plist", "csv", "text", "bytes"]


_OF_REQUESTS: Final = frozenset(
    {
        *("provider", "secret", "variant", "tolerance", "leeway", "params", "auth", "methods", "allow", "form"),
        *("trusted_proxies", "public_url", "content_types", "respond"),
    }
)
"""Settings that have no meaning for a message of a bus."""


def _schemes(value: object) -> object:
    """Return a list of schemes, which is empty for an explicit `none`."""
    if value == []:
        raise ValueError("must have at least one scheme, or be `auth: none`")
    entries = value if isinstance(value, list) else [value]
    if value != "none" and any(isinstance(each, str) for each in entries):
        raise ValueError("must be a scheme, such as `{scheme: bearer, secret: NAME}`, or `none`")
    return [] if value == "none" else listed(value)


class SourceConfig(ProviderSettings):
    """A configured sender.

    auth             one scheme, a list of which any one suffices, or an explicit `none`; default: the provider's
    allow            the IP addresses that may send, as seen behind `trusted_proxies`
    public_url       the URL that the sender calls, if the sender signs it and a proxy changes it
    body             the format of the body, whatever its content type; `text` and `bytes` keep it as received
    unwrap           take the content of an XML document's root element as the data, as if it had been sent as JSON
    unpack           a field that contains the real body as JSON
    batch            the items that become one event each, such as `data.events.*`
    cast             the type of the value at a path: text, integer, number, boolean or list. XML, forms and CSV carry
                     text only, and an XML element that occurs once is not a list
    dedupe           what makes two requests the same event if no signed id does: `signed` (the signed bytes, the
                     default for a sender that signs), `body`, or `delivery_id` (`id`, signed or not)
    schema           a JSON Schema 2020-12, or the name of its file
    silence          how long its sender may be quiet, and who gets an alert then
    bus              the bus that its events come from, in place of requests
    """

    auth: Annotated[list[Auth], BeforeValidator(_schemes)] = Field(default=[])
    methods: list[Literal["POST", "PUT", "PATCH", "GET"]] = Field(default=["POST"], min_length=1)
    max_body_bytes: int = Field(MIB, ge=1, le=10 * MIB)
    allow: Networks | None = None
    trusted_proxies: TrustedProxies | None = None
    public_url: PublicUrl | None = None
    content_types: ContentTypes | None = None
    body: BodyFormat | None = None
    unwrap: bool = False
    unpack: DataPath | None = None
    cast: dict[DataPath, Kind] | None = Field(None, max_length=100)
    batch: BatchPath | None = None
    schema_: dict[str, JsonValue] | str | None = Field(None, alias="schema")
    keep_raw: bool | None = None
    dedupe: Dedupe | None = None
    type: Locations | None = None
    id: Locations | None = None
    subject: Locations | None = None
    actor: Locations | None = None
    time: Locations | None = None
    respond: RespondConfig | None = None
    form: FormConfig | None = None
    silence: SilenceConfig | None = None
    bus: BusSourceConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _needs_auth(cls, value: object) -> object:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        is_mistyped = isinstance(value, dict) and not value.keys() <= known  # a fault that may explain this one
        if isinstance(value, dict) and not is_mistyped and not value.keys() & {"auth", "provider", "bus"}:
            raise ValueError("needs authentication: `provider` and `secret`, or `auth`, or an explicit `auth: none`")
        return value

    @model_validator(mode="after")
    def _methods_fit(self) -> "SourceConfig":
        if any("{param." in str(scheme) for scheme in self.auth):
            raise ValueError("{param.NAME} is for the catalogue only: under `auth`, write the value itself")
        if any(isinstance(scheme, LinkAuth) for scheme in self.auth) and "GET" not in self.methods:
            raise ValueError("a link needs `methods: [GET]`: people open it in a browser")
        if self.form and "POST" not in self.methods:
            raise ValueError("a form needs POST in `methods`: browsers post it")
        return self

    @model_validator(mode="after")
    def _bus_is_alone(self) -> "SourceConfig":
        if self.bus and (others := sorted(self.model_fields_set & _OF_REQUESTS)):
            raise ValueError(f"`{others[0]}` is for requests, and `bus` brings messages: take one of them out")
        return self
