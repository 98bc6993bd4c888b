"""A source: a configured sender."""

import re
from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from deploy.config.models.auth import Auth, LinkAuth
from deploy.config.models.locations import BatchPath, DataPath, Locations
from deploy.config.models.provider import Dedupe
from deploy.config.models.signed import MAX_LEEWAY_SECONDS, MAX_TOLERANCE_SECONDS
from shared.casting import Kind
from shared.config.values import HeaderName, Model, Seconds, SecretName, listed
from shared.limits import MIB


class FromCatalogue(Model):
    """`provider` is a key of shared/providers.yaml: its ways of proof, event fields, handshakes and answer are the
    source's, but for what the source says itself (an `auth` of its own replaces the entry's ways).

    `secret` is what those ways are proven with. `variant` takes one of them alone; `tolerance` (`90s`, `10m`) replaces
    the provider's, and `leeway` is how long after its `exp` a JSON Web Token is still accepted. `params` are what the
    entry asks for, such as an account id; some are names of secrets.
    """

    provider: str | None = None
    secret: SecretName | None = None
    variant: str | None = None
    tolerance: Seconds | None = Field(None, ge=0, le=MAX_TOLERANCE_SECONDS)
    leeway: Seconds | None = Field(None, ge=0, le=MAX_LEEWAY_SECONDS)
    params: dict[str, str | list[str]] = Field(default={})

    @model_validator(mode="after")
    def _only_with_a_provider(self) -> "FromCatalogue":
        keys = self.model_fields_set & {"secret", "variant", "tolerance", "leeway", "params"}
        if self.provider is None and keys:
            raise ValueError(
                f"`{sorted(keys)[0]}` goes with `provider`; under `auth`, each way has a secret of its own"
            )
        return self


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_PAGE: Final = re.compile(r"https?://[^\s\x00-\x20\x7f-\uffff\\]+")


def _origin(text: str) -> str:
    text = text.lower()
    if not _ORIGIN.fullmatch(text):
        raise ValueError("is not an origin: write https://www.example.com, without a path or a slash at its end")
    return text


def _page(text: str) -> str:
    if not _PAGE.fullmatch(text):
        raise ValueError("is not the URL of a page: write https://www.example.com/thanks")
    return text


class FormConfig(Model):
    """`origins` are where the form stands; `honeypot` is a field that people do not see, and that only programs fill;
    `thanks` is the page that a browser is sent to."""

    origins: Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(listed), Field(min_length=1)]
    honeypot: str | None = Field(None, min_length=1, max_length=100)
    thanks: Annotated[str, AfterValidator(_page)] | None = None


_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        rule = "is no address or block of addresses, such as 203.0.113.7 or 192.0.2.0/24"
        raise ValueError(
            f"{rule}: {'its host bits are set' if 'host bits' in str(error) else 'it cannot be read'}"
        ) from error


def _public_url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("is not a URL of ours: write https://hooks.example.com, without a query or a user name")
    return text


Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(listed), Field(min_length=1)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
"""Kept exactly as written, a slash at its end included: senders sign it."""
TrustedProxies = Annotated[int, Field(ge=0, le=10)]
"""How many proxies stand in front whose X-Forwarded headers are true: 1 on Cloud Run, 0 where senders connect to us."""

_CONTENT_TYPE: Final = re.compile(r"[a-z0-9.+_-]+/([a-z0-9.+_-]+|\*)|\*\+[a-z0-9]+")


def _content_type(text: str) -> str:
    text = text.lower()
    if not _CONTENT_TYPE.fullmatch(text):
        raise ValueError("is no content type: write application/json, text/* or *+json")
    return text


ContentTypes = Annotated[
    list[Annotated[str, AfterValidator(_content_type)]], BeforeValidator(listed), Field(min_length=1)
]


REDIRECTS: Final = frozenset({302, 303})
_OURS: Final = frozenset({"content-length", "content-type", "transfer-encoding", "connection", "date", "server"})


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]{0,4096}", text):
        raise ValueError("has a line break, a control character, none of latin-1, or more than 4096 characters")
    if "{{" in text:
        raise ValueError("has a hole, and only the body's are filled: a header is sent as it is written")
    return text


HeaderValue = Annotated[str, AfterValidator(_header_value)]


class RespondConfig(Model):
    """`body` is text, or a value that is sent as JSON, in which `{{ id }}` and `{{ data.x }}` are the event's."""

    status: int = 200
    headers: dict[HeaderName, HeaderValue] = Field(default={})
    content_type: HeaderValue | None = None
    body: JsonValue = ""

    @model_validator(mode="after")
    def _is_an_answer(self) -> "RespondConfig":
        if not (200 <= self.status < 300 or self.status in REDIRECTS):
            raise ValueError(f"status {self.status} is no yes: write one from 200 to 299, or 303 with a location")
        if self.status in REDIRECTS and "location" not in self.headers:
            raise ValueError(f"status {self.status} leads elsewhere: say where with `headers: {{location: URL}}`")
        if self.status in {204, 205} and self.body != "":
            raise ValueError(f"status {self.status} has no body")
        if ours := sorted(self.headers.keys() & _OURS):
            hint = "; write `content_type`" if "content-type" in ours else ""
            raise ValueError(f"the header {ours[0]} is not yours to set{hint}")
        return self


BodyFormat = Literal["json", "ndjson", "xml", "yaml", "form", "multipart", "plist", "csv", "text", "bytes"]


def _ways(value: object) -> object:
    """`none` is no way at all, said aloud; a list that is empty says nothing."""
    if value == []:
        raise ValueError("SECRET_MISSING: name at least one way in, or write `auth: none`")
    return [] if value == "none" else listed(value)


class SourceConfig(FromCatalogue):
    """A sender. `auth` is one way in, or a list of which any will do, or `none` said aloud; else `provider` says.

    allow            blocks of addresses it takes requests from, behind `trusted_proxies`
    public_url       the URL that its sender uses, where that signs it and a proxy changes it
    body             the format, whatever the content type says; `text` and `bytes` take it as it came
    unwrap           what the one element of an XML document holds is the data, as if it had come in JSON
    unpack, batch    a field that holds the real body as JSON; the items that are an event each (`data.events.*`)
    cast             the kind of the value at a path: text, integer, number, boolean or list; XML, forms and CSV
                     carry everything as text, and an XML element that occurs once is no list
    dedupe           what makes two requests one event where nothing signed names it: `signed` (the signed bytes; what
                     counts for a sender that signs), `body`, or `delivery_id` (`id`, wherever it stands)
    schema           JSON Schema 2020-12, or the file that has it
    """

    auth: Annotated[list[Auth], BeforeValidator(_ways)] = Field(default=[])
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

    @model_validator(mode="before")
    @classmethod
    def _needs_auth(cls, value: object) -> object:
        if isinstance(value, dict) and "auth" not in value and "provider" not in value:
            rule = "say how its sender proves itself with `provider` and `secret`, or with `auth`, or `auth: none`"
            raise ValueError(f"SECRET_MISSING: {rule}")
        return value

    @model_validator(mode="after")
    def _methods_fit(self) -> "SourceConfig":
        if any("{param." in str(way) for way in self.auth):
            raise ValueError("{param.NAME} is for the catalogue's entries: under `auth`, write the value itself")
        if any(isinstance(way, LinkAuth) for way in self.auth) and "GET" not in self.methods:
            raise ValueError("a link is opened with GET: write `methods: [GET]`")
        if self.form and "POST" not in self.methods:
            raise ValueError("browsers post a form: `methods` needs POST")
        return self
