"""A source: a configured sender."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from deploy.config.models.auth import Auth
from deploy.config.models.browser_form import FormConfig
from deploy.config.models.from_catalogue import FromCatalogue
from deploy.config.models.link import LinkAuth
from deploy.config.models.locations import BatchPath, DataPath, Locations
from deploy.config.models.provider import Dedupe
from deploy.config.models.respond import RespondConfig
from deploy.config.models.sender import ContentTypes, Networks, PublicUrl, TrustedProxies
from shared.casting import Kind
from shared.config.values import listed
from shared.limits import MIB

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
