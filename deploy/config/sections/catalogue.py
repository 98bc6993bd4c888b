"""The catalogue of providers, shared/providers.yaml: the model of an entry, loading, and what its schemes cover."""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from deploy.config.config_file import load_data
from deploy.config.sections.auth import Auth
from shared import casting, http, jsontext
from shared.config import rules, values
from shared.config.signed import RequestLocation
from shared.signatures import auth_scheme, locations

NO_SECRET = frozenset({"aws-sns", "paypal"})
SOURCES_SECRET = "the-source-s-own"  # noqa: S105 a name that stands for the one the source gives

Texts = Annotated[list[str], BeforeValidator(rules.listed)]
Evidence = Literal["provider", "library", "notes"]
SentFormat = Literal["json", "ndjson", "xml", "form", "multipart"]
Dedupe = Literal["body", "signed", "delivery_id"]


class OfferedScheme(values.Model):
    """An auth scheme of a provider, as a source would write it, but without a secret: the source names that.

    `on_request`: it applies only to a source that names its variant. `{param.NAME}` stands for a param of the source.
    """

    scheme: Auth
    on_request: bool = False

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: object) -> object:
        if not isinstance(value, dict) or not isinstance(value.get("scheme"), str):
            return value
        scheme = {key: item for key, item in value.items() if key != "on_request"}
        if scheme.get("scheme") not in NO_SECRET and "keys_url" not in scheme:
            scheme["secret"] = SOURCES_SECRET
        return {"scheme": scheme, "on_request": value.get("on_request", False)}


class RepeatingBody(values.Model):
    """Different events with the same body. `when` recognises them by locations in the body."""

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


_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_ARGUMENT: Final = r"(?:(?:header|query|form)\.[^\s{}()+]+|data(?:\.[^.\s{}()+]+)+|param\.\w+|endpoint)"
_HOLE: Final = re.compile(rf"{_ARGUMENT}|(?:hmac-hex|hmac-base64|sha256-hex)\({_ARGUMENT}(?:\+{_ARGUMENT})*\)")


def _filled(text: str) -> str:
    for hole in _HOLES.findall(text):
        if not _HOLE.fullmatch(hole):
            raise ValueError(f"{{{hole}}} must be a location, or hmac-hex(…), hmac-base64(…) or sha256-hex(…) of some")
    return text


Filled = Annotated[str, AfterValidator(_filled)]
"""Text with locations in braces: `{query.challenge}`, or `{hmac-base64(query.crc_token)}` with the source's secret."""


class HandshakeReply(values.Model):
    """The reply to a handshake. `text` is sent as text/plain; strings in `json` may contain locations in braces."""

    status: int = 200
    headers: dict[str, Filled] = Field(default={})
    text: Filled | None = None
    json_: dict[str, Filled | int | bool] | None = Field(None, alias="json")


class Handshake(values.Model):
    """A request by which a provider verifies an endpoint, before or while it sends events.

    when     a request is a handshake if its method fits and each location has this text (true: any text, false: none)
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
    """A provider.

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
    shared = {name: value for name, value in document[other].items() if name in {"auth", "event", "answer", "params"}}
    return {**shared, **entry}


def chosen_schemes(entry: ProviderEntry, variant: str | None = None) -> list[OfferedScheme]:
    """Return the provider's scheme of this variant, or without a variant all that apply by default."""
    if variant is None:
        return [offered for offered in entry.auth if not offered.on_request]
    return [offered for offered in entry.auth if offered.scheme.variant == variant]


def signs_url(scheme: Auth) -> bool:
    return "{url}" in str(getattr(scheme, "content", "")) or scheme.scheme == "contentful"


def signs_delivery_id(entry: ProviderEntry) -> bool | None:
    """Return whether every scheme that signs content also signs the delivery id; None if no scheme signs content."""
    schemes = [auth_scheme.read_scheme(offered.scheme.model_dump(exclude_none=True)) for offered in entry.auth]
    coverages = [scheme.coverage("", http.Request("POST", "/")) for scheme in schemes if scheme.signs_content]
    if not coverages:
        return None
    first = locations.parse_choices(list(entry.event.id or []))[:1]
    return bool(first) and all(coverage.covers(first[0]) for coverage in coverages)
