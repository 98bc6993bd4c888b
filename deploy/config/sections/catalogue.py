"""The catalogue of providers, shared/providers.yaml: the model of an entry, how it is loaded, and its auth schemes.

An entry says how a provider such as GitHub signs its webhooks, where it puts an event's type and id, and which reply it
expects:

    github:
      auth: [{scheme: hmac, header: X-Hub-Signature-256, prefix: sha256=}]
      event: {type: header.X-GitHub-Event, id: header.X-GitHub-Delivery}
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from deploy.config.packaged_yaml import load_data
from deploy.config.sections.auth import Auth
from shared import casting, http, jsontext
from shared.config import rules, values
from shared.config.signed import RequestLocation
from shared.signatures import auth_scheme, locations

NO_SECRET = frozenset({"aws-sns", "paypal"})
"""The schemes that verify with the public key of a certificate, which the sender publishes."""
SOURCES_SECRET = "the-source-s-own"  # noqa: S105 stands for the name of the source's secret, which the source replaces

Texts = Annotated[list[str], BeforeValidator(rules.listed)]
Evidence = Literal["provider", "library", "notes"]
SentFormat = Literal["json", "ndjson", "xml", "form", "multipart"]
Dedupe = Literal["body", "signed", "delivery_id"]


class OfferedScheme(values.Model):
    """An auth scheme of a provider, written as in a source, but without the secret, which the source names.

    `on_request`: it applies only to a source that names its variant. `{param.NAME}` stands for a param of the source.
    """

    scheme: Auth
    on_request: bool = False

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, value: object) -> object:
        """Accept the flat form of the file: `{scheme: hmac, header: X-Sig, on_request: true}`."""
        if not isinstance(value, dict) or not isinstance(value.get("scheme"), str):
            return value
        scheme = {key: item for key, item in value.items() if key != "on_request"}
        if scheme["scheme"] not in NO_SECRET and "keys_url" not in scheme:
            scheme["secret"] = SOURCES_SECRET
        return {"scheme": scheme, "on_request": value.get("on_request", False)}


class RepeatingBody(values.Model):
    """Different events of a provider that can have the same body. `when` recognises them by locations in the body."""

    event: str
    when: dict[Annotated[str, Field(pattern=r"^data\.")], str | bool]


class EventFields(values.Model):
    """The locations of the event's attributes. Of several locations, the first that has a value counts.

    A location is `header.NAME`, `query.NAME`, `data.path`, `beside.KEY` (the name of the only key beside KEY) or, in a
    batch, `body.path` for values outside of the items.

    action    what happened, in another place than the type. A route's `types` can name it: `issues.opened`
    batch     the items, such as `data.events.*`, or `data.*` for a list; each item is the `data` of its own event, and
              the part after the last `*` leads from the element to the item
    unpack    a text field that contains the real body as JSON, if it is there
    unwrap    take the content of an XML document's root element as the data
    cast      the types of values that XML or forms carry as text
    dedupe    what makes two requests the same event, as in a source
    repeats   different events with the same body, which only the delivery id distinguishes, signed or not
    """

    type: Texts | None = None
    id: Texts | None = None
    subject: Texts | None = None
    actor: Texts | None = None
    time: Texts | None = None
    action: Texts | None = None
    batch: str | None = Field(None, pattern=r"^data\.(.+\.)?\*(\..+)?$")
    unpack: str | None = None
    unwrap: bool | None = None
    cast: dict[str, casting.Kind] | None = None
    dedupe: Dedupe | None = None
    repeats: list[RepeatingBody] | None = None


class Answer(values.Model):
    """The reply that the provider accepts as success, and its time limit. `status`, `body`, `type` and `headers`
    replace the default reply."""

    success: str | None = None
    status: int | None = None
    body: str | None = None
    type: str | None = None
    headers: dict[str, str] | None = None
    within: rules.Seconds | None = None
    retries: str | None = None


class Param(values.Model):
    """A value that a source may set under `params`. `secret`: it is the name of a secret. `recommended`: `lint` warns
    if it is missing."""

    about: str
    secret: bool = False
    required: bool = False
    recommended: bool = False


class Proven(values.Model):
    """The evidence that the entry's signatures are verified correctly.

    `by` is `vectors` (published genuine requests), `library` (requests signed by the provider's own or an independent
    library), `restated` (requests signed by separate test code that follows the specification), or `nothing` (the
    provider does not sign).
    """

    by: Literal["vectors", "library", "restated", "nothing"]
    detail: str | None = None


_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_ARGUMENT: Final = r"(?:(?:header|query|form)\.[^\s{}()+]+|data(?:\.[^.\s{}()+]+)+|param\.\w+|endpoint)"
_IN_BRACES: Final = re.compile(rf"{_ARGUMENT}|(?:hmac-hex|hmac-base64|sha256-hex)\({_ARGUMENT}(?:\+{_ARGUMENT})*\)")
"""Such as `query.challenge`, `hmac-base64(query.crc_token)` or `sha256-hex(query.challenge+param.token+endpoint)`."""


def _reply_template(text: str) -> str:
    for content in _BRACES.findall(text):
        if not _IN_BRACES.fullmatch(content):
            rule = "must be a location, or hmac-hex(…), hmac-base64(…) or sha256-hex(…) of some"
            raise ValueError(f"{{{content}}} {rule}")
    return text


ReplyTemplate = Annotated[str, AfterValidator(_reply_template)]
"""Text with locations in braces: `{query.challenge}`, or `{hmac-base64(query.crc_token)}` with the source's secret."""


class HandshakeReply(values.Model):
    """The reply to a handshake. `text` is sent as text/plain; strings in `json` may contain locations in braces."""

    status: int = 200
    headers: dict[str, ReplyTemplate] = Field(default={})
    text: ReplyTemplate | None = None
    json_: dict[str, ReplyTemplate | int | bool] | None = Field(None, alias="json")


class Handshake(values.Model):
    """A request by which a provider verifies an endpoint, before or while it sends events.

    when     a request is a handshake if it has this method, and each location has this text; true means any text, and
             false means that the request does not have the location
    signed   reply only after the signature has been verified
    check    the location must have the value of the secret that the param names, or of the source's own
    fetch    the location of a URL to fetch before the reply
    """

    name: str
    method: Literal["GET", "HEAD", "OPTIONS", "POST"] = "POST"
    when: dict[RequestLocation, str | bool] = Field(default={})
    signed: bool = False
    check: dict[RequestLocation, str] = Field(default={})
    fetch: RequestLocation | None = None
    reply: HandshakeReply = HandshakeReply()
    note: str | None = None


class ProviderEntry(values.Model):
    """A provider. Most fields are described at their models.

    name         the provider's name as messages show it
    setup        how to set up the webhook at the provider
    same_as      the key of another entry, whose settings in _INHERITED apply unless this one sets them
    known_from   the evidence for each group of facts: the provider's own documentation or code, a third party's library
                 or test suite, or secondary notes
    unverified   facts from a single source that nothing confirms
    formats      the formats that it sends. The first bytes of a body decide which one it is, in this order; the content
                 type decides only if the list is empty
    """

    name: str
    setup: str | None = None
    same_as: str | None = None
    auth: list[OfferedScheme] = Field(default=[])
    formats: list[SentFormat] = Field(default=["json"])
    params: dict[str, Param] = Field(default={})
    event: EventFields = EventFields()
    handshakes: list[Handshake] = Field(default=[])
    answer: Answer = Answer()
    proven: Proven
    known_from: dict[Literal["auth", "event", "handshakes", "answer"], Evidence]
    unverified: list[str] = Field(default=[])
    notes: list[str] = Field(default=[])
    sources: list[str] = Field(min_length=1)


CATALOGUE: Final = Path(__file__).resolve().parents[3] / "shared" / "providers.yaml"
_INHERITED: Final = ("auth", "event", "answer", "params")

Catalogue = dict[str, ProviderEntry]


@cache
def load_catalogue() -> Catalogue:
    """Return the providers by key, in alphabetical order. Raises pydantic's ValidationError for an invalid entry."""
    document = cast("dict[str, jsontext.JsonObject]", load_data(CATALOGUE))
    return {key: ProviderEntry.model_validate(_with_inherited(document, key)) for key in sorted(document)}


def _with_inherited(document: dict[str, jsontext.JsonObject], key: str) -> jsontext.JsonObject:
    """Return the entry with the settings of the entry that `same_as` names, except those that it sets itself."""
    entry = document[key]
    other = entry.get("same_as")
    if not isinstance(other, str):
        return entry
    inherited = {name: value for name, value in document[other].items() if name in _INHERITED}
    return {**inherited, **entry}


def chosen_schemes(entry: ProviderEntry, variant: str | None = None) -> list[OfferedScheme]:
    """Return the provider's schemes of this variant, or without a variant all schemes that apply by default."""
    if variant is None:
        return [offered for offered in entry.auth if not offered.on_request]
    return [offered for offered in entry.auth if offered.scheme.variant == variant]


def signs_url(scheme: Auth) -> bool:
    """Return whether the signature covers the request's URL, so that the URL must be the one that the sender sees."""
    return "{url}" in str(getattr(scheme, "content", "")) or scheme.scheme == "contentful"


def signs_delivery_id(entry: ProviderEntry) -> bool | None:
    """Return whether every scheme that signs content also signs the delivery id; None if no scheme signs content."""
    schemes = [auth_scheme.read_scheme(offered.scheme.model_dump(exclude_none=True)) for offered in entry.auth]
    coverages = [scheme.coverage("", http.Request("POST", "/")) for scheme in schemes if scheme.signs_content]
    if not coverages:
        return None
    if not entry.event.id:
        return False
    # The first location is that of usual requests. The others are for requests without it.
    location = locations.parse_choices(list(entry.event.id))[0]
    return all(coverage.covers(location) for coverage in coverages)
