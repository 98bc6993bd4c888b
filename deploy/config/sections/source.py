"""The section `sources`: a configured sender, its faults, and its part of receive's slice.

A slice is the JSON with the part of the configuration that one function gets. A source can take settings from its
provider, such as GitHub, whose entry in the catalogue says how it signs requests and where they have their ids and
types. A source can instead have a bus, such as a Pub/Sub topic, whose messages are its events.

The settings that come from the catalogue are in provider_settings and provider_api. Settings with rules of their own
are in auth, bus_source and schema_document.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, texts_in
from deploy.config.model_faults import fault_at
from deploy.config.sections import provider_api, provider_settings, texts
from deploy.config.sections.auth import Auth, LinkAuth
from deploy.config.sections.bus_source import BusSourceConfig, bus_part
from deploy.config.sections.catalogue import Dedupe, load_catalogue
from deploy.config.sections.schema_document import SchemaFault, schema_document
from functions.notify.recovery.kinds import KINDS as RECOVERY_KINDS
from functions.receive.respond import template_fault
from functions.receive.source import RECOVERED_KIND
from shared import casting, did_you_mean, limits, ports
from shared.config.rules import Name, Seconds, listed
from shared.config.values import HeaderName, Model, VerbatimJson, VerbatimObject
from shared.jsontext import Json, JsonObject, mapping_at

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
    body: VerbatimJson = ""

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


class FormConfig(Model):
    """A form that browsers post.

    origins    the origins of the pages that contain the form
    honeypot   a hidden field, which only programs fill in
    thanks     the page to which the browser is redirected
    """

    origins: Annotated[list[texts.Origin], BeforeValidator(listed), Field(min_length=1)]
    honeypot: str | None = Field(None, min_length=1, max_length=100)
    thanks: texts.PageUrl | None = None


DestinationNames = Annotated[list[Name], BeforeValidator(listed), Field(min_length=1)]


class SilenceConfig(Model):
    """Alerts when no event of the source was accepted for so long, and when it sends again.

    after  how long
    to     the destinations that get them; default: those of `alerts`
    """

    after: Annotated[Seconds, Field(ge=60, le=90 * 86_400)]
    to: DestinationNames | None = None


TrustedProxies = Annotated[int, Field(ge=0, le=10)]
"""The number of proxies in front whose X-Forwarded headers are trusted: 1 on Cloud Run, 0 without a proxy."""
BodyFormat = Literal["json", "ndjson", "xml", "yaml", "form", "multipart", "plist", "csv", "text", "bytes"]


def _schemes(value: object) -> object:
    """Return a list of schemes, which is empty for an explicit `none`.

    Raises ValueError for an empty list, which could be a mistake, and would let everybody in.
    """
    if value == "none":
        return []
    if value == []:
        raise ValueError("must have at least one scheme, or be `auth: none`")
    schemes = value if isinstance(value, list) else [value]
    if any(isinstance(each, str) for each in schemes):
        raise ValueError("must be a scheme, such as `{scheme: bearer, secret: NAME}`, or `none`")
    return schemes


_PROVIDER_KEYS: Final = frozenset(provider_api.ProviderApiSettings.model_fields)
"""`provider`, and the settings that need one."""
_REQUEST_KEYS: Final = frozenset(
    {"auth", "methods", "allow", "trusted_proxies", "public_url", "content_types", "respond", "form"}
)
"""The settings about requests, which have no meaning for a message of a bus."""


class SourceConfig(provider_api.ProviderApiSettings):
    """A configured sender.

    auth             one scheme, a list of which any one suffices, or an explicit `none`; default: the provider's
    allow            the IP addresses that may send, as seen behind `trusted_proxies`
    methods          the HTTP methods that are accepted
    max_body_bytes   the largest body that is accepted
    trusted_proxies  how many proxies in front of the function are trusted; default: as for all sources
    public_url       the URL that the sender calls, if the sender signs it and a proxy changes it
    content_types    the content types that are accepted
    body             the format of the body, whatever its content type; `text` and `bytes` keep it as received
    unwrap           take the content of an XML document's root element as the data, as if it had been sent as JSON
    unpack           a field that contains the real body as JSON
    batch            the items that become one event each, such as `data.events.*`
    cast             the type of the value at a path: text, integer, number, boolean or list. XML, forms and CSV carry
                     text only, and an XML element that occurs once is not a list
    keep_raw         True: keep the body and the headers as sent; False: neither. Default: the body if a mail shows it
    type, id, subject, actor, time, action   where a request has each of these fields, in the order of preference
    respond          the reply to an accepted request
    form             a form that browsers post
    dedupe           what makes two requests the same event if no signed id does: `signed` (the signed bytes, the
                     default for a sender that signs), `body`, or `delivery_id` (`id`, signed or not)
    schema           a JSON Schema 2020-12, or the name of its file
    silence          how long its sender may be quiet, and who gets an alert then
    bus              the bus that its events come from, in place of requests
    """

    auth: Annotated[list[Auth], BeforeValidator(_schemes)] = Field(default=[])
    methods: list[Literal["POST", "PUT", "PATCH", "GET"]] = Field(default=["POST"], min_length=1)
    max_body_bytes: int = Field(limits.MIB, ge=1, le=10 * limits.MIB)
    allow: texts.Networks | None = None
    trusted_proxies: TrustedProxies | None = None
    public_url: texts.PublicUrl | None = None
    content_types: texts.ContentTypes | None = None
    body: BodyFormat | None = None
    unwrap: bool = False
    unpack: texts.DataPath | None = None
    cast: dict[texts.DataPath, casting.Kind] | None = Field(None, max_length=100)
    batch: texts.BatchPath | None = None
    schema_: VerbatimObject | str | None = Field(None, alias="schema")
    keep_raw: bool | None = None
    dedupe: Dedupe | None = None
    type: texts.Locations | None = None
    id: texts.Locations | None = None
    subject: texts.Locations | None = None
    actor: texts.Locations | None = None
    time: texts.Locations | None = None
    action: texts.Locations | None = None
    respond: RespondConfig | None = None
    form: FormConfig | None = None
    silence: SilenceConfig | None = None
    bus: BusSourceConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _needs_auth(cls, value: object) -> object:
        if not isinstance(value, dict) or value.keys() & {"auth", "provider", "bus"}:
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        if value.keys() - known:
            return value  # an unknown key is a fault of its own, and may be a mistyped `auth`: only it is reported
        raise ValueError("needs authentication: `provider` and `secret`, or `auth`, or an explicit `auth: none`")

    @model_validator(mode="after")
    def _settings_fit_together(self) -> "SourceConfig":
        if self.provider is None and (keys := sorted(self.model_fields_set & (_PROVIDER_KEYS - {"provider"}))):
            raise ValueError(f"`{keys[0]}` needs `provider`; under `auth`, each scheme has a secret of its own")
        if any("{param." in str(scheme) for scheme in self.auth):
            raise ValueError("{param.NAME} is for the catalogue only: under `auth`, write the value itself")
        if any(isinstance(scheme, LinkAuth) for scheme in self.auth) and "GET" not in self.methods:
            raise ValueError("a link needs `methods: [GET]`: people open it in a browser")
        if self.form and "POST" not in self.methods:
            raise ValueError("a form needs POST in `methods`: browsers post it")
        if self.bus and (others := sorted(self.model_fields_set & (_PROVIDER_KEYS | _REQUEST_KEYS))):
            raise ValueError(f"`{others[0]}` is for requests, and `bus` brings messages: take one of them out")
        return self

    @property
    def accepts_anybody(self) -> bool:
        """Return whether requests need no authentication, because the source has an explicit `auth: none`."""
        return self.bus is None and not self.auth and not self.uses_provider_auth


# Faults


def source_faults(file: ConfigFile) -> Iterator[Fault]:
    """Yield faults of a source's schema, of its reply, and of what it takes from the catalogue."""
    for name, settings in file.mappings("sources").items():
        for key, rule in (*_document_faults(settings, file), *_catalogue_faults(settings)):
            yield fault_at(file, ("sources", name, *key), rule)


def _document_faults(settings: JsonObject, file: ConfigFile) -> Iterator[tuple[DocumentPath, str]]:
    if isinstance(schema := settings.get("schema"), str | dict):
        try:
            schema_document(schema, file.folder)
        except SchemaFault as fault:
            yield ("schema",), str(fault)
    for text in texts_in(mapping_at(settings, "respond").get("body")):
        if rule := template_fault(text):
            yield ("respond", "body"), rule


def _catalogue_faults(settings: JsonObject) -> Iterator[tuple[DocumentPath, str]]:
    """Yield nothing for a source that its own model rejects."""
    if "provider" not in settings:
        return
    try:
        source = SourceConfig.model_validate(settings)
    except ValidationError:
        return
    if source.provider is None:
        return
    catalogue = load_catalogue()
    entry = catalogue.get(source.provider)
    if entry is None:
        near = did_you_mean.nearest(source.provider, catalogue)
        listing = "`hookchain providers` lists them; any other sender needs `auth`"
        advice = f"did you mean {near!r}?" if near else listing
        yield ("provider",), f"the catalogue has no provider {source.provider!r}; {advice}"
        return
    for key, rule in provider_settings.provider_faults(source, entry):
        yield (key,), rule
    for rule in provider_api.hook_rules(source, entry):
        yield ("hook",), rule
    for rule in provider_api.recover_rules(source, entry):
        yield ("recover",), rule


# Compiling

_NOT_COPIED: Final = _PROVIDER_KEYS.union(
    ("auth", "trusted_proxies", "public_url", "schema_", "keep_raw", "silence", "bus")
)
"""The fields of SourceConfig that `compiled_source` does not copy: it rewrites them, or another part of the compiler
puts them into a slice."""
_HEADER_TYPE_WORDS: Final = 4
"""The most words of an event type that a log may show if its provider sends it in a header, as GitLab does: `Merge
Request Hook`. Any other type can be any text, so a log shows it only if it is one word."""


def compiled_source(name: str, source: SourceConfig, folder: Path, *, is_mailed: bool) -> JsonObject:
    """Return the source as the slice has it. Names of files are relative to `folder`.

    The source's own settings override those of its provider or bus, which override the defaults. `is_mailed`: a mail
    shows its bodies as they came.
    """
    copied: JsonObject = source.model_dump(mode="json", exclude=set(_NOT_COPIED), exclude_none=True)
    own = {key: value for key, value in copied.items() if key in source.model_fields_set}  # `copied` has defaults, too
    inherited = _inherited(name, source)
    if source.cast is not None:
        own["cast"] = {**mapping_at(inherited, "cast"), **source.cast}  # one by one: a path's own type overrides
    # `inherited` has an `auth` only if the source has none of its own.
    auth: list[Json] = [each.model_dump(exclude_none=True) for each in source.auth] or [{"scheme": "none"}]
    keep_raw = _keep_raw(source, is_mailed=is_mailed)
    compiled: JsonObject = {"auth": auth, "keep_raw": keep_raw, **copied, **inherited, **own}
    if (max_words := type_words(source)) > 1:
        compiled["type_words"] = max_words
    if source.schema_ is not None:
        compiled["schema"] = schema_document(source.schema_, folder)
    if source.recover is not None:
        compiled["recover"] = RECOVERY_KINDS[str(source.provider)].authentication
    return compiled


def _inherited(name: str, source: SourceConfig) -> JsonObject:
    """Return the settings that the source takes from its provider or its bus."""
    if source.provider:
        return provider_settings.provider_part(source, load_catalogue()[source.provider])
    return bus_part(name, source.bus) if source.bus else {}


def _keep_raw(source: SourceConfig, *, is_mailed: bool) -> str:
    """Return how much of a request an event keeps as it was sent."""
    if source.keep_raw is None:
        return "body" if is_mailed else "no"
    return "all" if source.keep_raw else "no"


def type_words(source: SourceConfig) -> int:
    """Return how many words of an event type may be logged: several if the catalogue reads it from a header."""
    if source.provider is None or "type" in source.model_fields_set:
        return 1
    located = load_catalogue()[source.provider].event.type
    return _HEADER_TYPE_WORDS if located and located[0].startswith("header.") else 1


def recovered_part(sources: Mapping[str, SourceConfig]) -> JsonObject:
    """Return the part of receive's slice: what takes the recovered events of all sources, as from a bus."""
    largest = [source.max_body_bytes for source in sources.values() if source.recover]
    if not largest:
        return {}
    bus: JsonObject = {"kind": RECOVERED_KIND, "name": ports.RECOVERED}
    return {"recovered": {"auth": [], "methods": ["POST"], "max_body_bytes": max(largest), "bus": bus}}
