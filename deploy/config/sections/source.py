"""The section `sources`: a sender with its reply and its browser form, and how it is compiled for receive.

Models, then the faults that they cannot show, then the compiling; last the part that comes from the catalogue.
"""

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, texts_in, unreadable
from deploy.config.model_faults import fault_at
from deploy.config.sections.auth import MAX_LEEWAY_SECONDS, Auth, LinkAuth
from deploy.config.sections.bus_source import BusSourceConfig, bus_part
from deploy.config.sections.catalogue import (
    SOURCES_SECRET,
    Catalogue,
    Dedupe,
    Handshake,
    OfferedScheme,
    ProviderEntry,
    Texts,
    chosen_schemes,
    load_catalogue,
)
from deploy.config.sections.texts import fitting
from deploy.hooks.kind import HookKind
from deploy.hooks.kinds import KINDS, kind_at
from functions.notify.recovery.kinds import KINDS as RECOVERY_KINDS
from functions.receive.respond import template_fault
from functions.receive.source import RECOVERED_KIND
from shared import casting, limits
from shared.config.rules import Name, Seconds, SecretName, listed
from shared.config.signed import MAX_TOLERANCE_SECONDS
from shared.config.values import HeaderName, Model
from shared.did_you_mean import did_you_mean, nearest
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import RECOVERED
from shared.secrets import SECRET_NAME

_LOCATION: Final = re.compile(
    r"(header|query|beside)\.[^\s.]+|(data|body)(\.[^.\s]+)+|data(\.[^.\s]+)+ if data(\.[^.\s]+)+"
)
_FIELD: Final = re.compile(r"(?!(header|query|beside|data|body)\.)[A-Za-z_]\w*(\.\w+)+")
"""A path that lacks its beginning."""


def _location(text: str) -> str:
    if not all(_LOCATION.fullmatch(part) for part in text.split(" + ")):
        known = (
            "header.NAME, query.NAME or data.path.to.field; ` + ` joins two; `data.a if data.b` needs a value at both"
        )
        if text.isidentifier():
            meant = f"`data.{text}` is a field of the body, `header.{text}` a header"
        else:
            meant = f"`data.{text}` is a field of the body; {known}" if _FIELD.fullmatch(text) else known
        raise ValueError(f"must be a location: {meant}")
    return text


Locations = Annotated[list[Annotated[str, AfterValidator(_location)]], BeforeValidator(listed), Field(min_length=1)]
"""One location, or several: the first that has a value counts. In a batch, `data` is an item and `body` the whole."""

DataPath = Annotated[str, fitting(r"data(\.[^.\s]+)+", "a path in the body: data.path.to.field")]
_BATCH_PATH: Final = re.compile(r"data\.(\S+\.)?\*(\.\S+)?")


def _batch_path(text: str) -> str:
    if not _BATCH_PATH.fullmatch(text):
        items = f": write {text}.*" if re.fullmatch(r"data(\.[^\s*]+)?", text) else ""
        raise ValueError(f"must be a path in data with `*` in the place of the items, such as data.events.*{items}")
    return text


BatchPath = Annotated[str, AfterValidator(_batch_path)]


ApiUrl = Annotated[
    str,
    fitting(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?",
        "the beginning of the API's URLs, such as https://github.example.com/api/v3",
    ),
]


class HookConfig(Model):
    """The webhook that `hookchain hooks` registers at the provider.

    token          the name of the secret with the API token, or with the private key of a GitHub App; commands read it,
                   and only `renew` deploys it
    at             the place of the hook, or several: a repository such as `acme/shop`, as the provider has them
    api            the beginning of the API's URLs, for a provider that you host yourself
    allow_private  the API may have an address that is not public, and plain http
    renew          `notify` renews a hook that expires, for which the token is deployed
    """

    token: SecretName
    at: Texts = Field(default=[])
    api: ApiUrl | None = None
    allow_private: bool = False
    renew: bool = False

    @property
    def places(self) -> list[str]:
        """Return each place once; an empty text for the only one of an account."""
        return [*dict.fromkeys(self.at)] or [""]


class RecoverConfig(Model):
    """The recovery of events that the provider could not deliver.

    secret         the name of the secret with the API token, which is deployed for `notify`
    repositories   at GitHub: the repositories or organizations whose webhooks call the source, such as `acme/shop`
    at             at Airtable and GitLab: the places of the webhooks that call the source, as in `hook`
    redeliver      have the provider deliver the events again, for which the token needs the right to write
    api            the beginning of the API's URLs, for a provider that you host yourself
    allow_private  the API may have an address that is not public, and plain http
    """

    secret: SecretName
    repositories: Texts = Field(default=[])
    at: Texts = Field(default=[])
    redeliver: bool = False
    api: ApiUrl | None = None
    allow_private: bool = False

    @property
    def places(self) -> dict[str, list[str]]:
        """Return where the webhooks are, by the setting that says so."""
        return {"repositories": self.repositories, "at": self.at}


class ProviderSettings(Model):
    """The settings that a source takes from the catalogue.

    provider    a key of shared/providers.yaml; its auth schemes, event fields, handshakes and reply apply, except those
                that the source sets itself (`auth` replaces all schemes of the provider)
    secret      the name of the secret that the provider's schemes use
    variant     only the scheme of this name
    tolerance   replaces the provider's tolerance (`90s`, `10m`)
    leeway      how long after its `exp` a JSON Web Token is still accepted
    params      values that the provider needs, such as an account id; some are names of secrets
    hook        how `hookchain hooks` registers its webhook
    recover     how the sweep finds the events that the provider could not deliver
    """

    provider: str | None = None
    secret: SecretName | None = None
    variant: str | None = None
    tolerance: Seconds | None = Field(None, ge=0, le=MAX_TOLERANCE_SECONDS)
    leeway: Seconds | None = Field(None, ge=0, le=MAX_LEEWAY_SECONDS)
    params: dict[str, str | list[str]] = Field(default={})
    hook: HookConfig | None = None
    recover: RecoverConfig | None = None

    @model_validator(mode="after")
    def _only_with_a_provider(self) -> "ProviderSettings":
        keys = self.model_fields_set & {"secret", "variant", "tolerance", "leeway", "params", "hook", "recover"}
        if self.provider is None and keys:
            raise ValueError(f"`{sorted(keys)[0]}` needs `provider`; under `auth`, each scheme has a secret of its own")
        return self


Origin = Annotated[
    str,
    StringConstraints(to_lower=True),
    fitting(
        r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?",
        "an origin such as https://www.example.com, without a path or a trailing slash",
    ),
]
PageUrl = Annotated[
    str,
    fitting(r"https?://[^\s\x00-\x20\x7f-\uffff\\]+", "the URL of a page, such as https://www.example.com/thanks"),
]


class FormConfig(Model):
    """A form that browsers post.

    origins    the origins of the pages that contain the form
    honeypot   a hidden field, which only programs fill in
    thanks     the page to which the browser is redirected
    """

    origins: Annotated[list[Origin], BeforeValidator(listed), Field(min_length=1)]
    honeypot: str | None = Field(None, min_length=1, max_length=100)
    thanks: PageUrl | None = None


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        rule = "must be an IP address or a block of addresses, such as 203.0.113.7 or 192.0.2.0/24"
        raise ValueError(f"{rule}, without host bits" if "host bits" in str(error) else rule) from error


Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(listed), Field(min_length=1)]
PublicUrl = Annotated[
    str,
    fitting(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?",
        "a URL such as https://hooks.example.com, without a query or a user name",
    ),
]
"""The URL exactly as written, including a trailing slash, because senders sign it."""
TrustedProxies = Annotated[int, Field(ge=0, le=10)]
"""The number of proxies in front whose X-Forwarded headers are trusted: 1 on Cloud Run, 0 without a proxy."""

ContentType = Annotated[
    str,
    StringConstraints(to_lower=True),
    fitting(
        r"[a-z0-9.+_-]+/([a-z0-9.+_-]+|\*)|\*\+[a-z0-9]+",
        "a content type such as application/json, text/* or *+json",
    ),
]
ContentTypes = Annotated[list[ContentType], BeforeValidator(listed), Field(min_length=1)]


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
        *("provider", "secret", "variant", "tolerance", "leeway", "params", "hook", "recover", "auth", "methods"),
        "allow",
        "form",
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
    max_body_bytes: int = Field(limits.MIB, ge=1, le=10 * limits.MIB)
    allow: Networks | None = None
    trusted_proxies: TrustedProxies | None = None
    public_url: PublicUrl | None = None
    content_types: ContentTypes | None = None
    body: BodyFormat | None = None
    unwrap: bool = False
    unpack: DataPath | None = None
    cast: dict[DataPath, casting.Kind] | None = Field(None, max_length=100)
    batch: BatchPath | None = None
    schema_: dict[str, JsonValue] | str | None = Field(None, alias="schema")
    keep_raw: bool | None = None
    dedupe: Dedupe | None = None
    type: Locations | None = None
    id: Locations | None = None
    subject: Locations | None = None
    actor: Locations | None = None
    time: Locations | None = None
    action: Locations | None = None
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


_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,1024}")
"""The values of params, which replies carry in headers and handshakes: no server sends anything but Latin-1 there."""


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
    if isinstance(respond := settings.get("respond"), dict):
        for text in texts_in(respond.get("body")):
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
    for key, rule in provider_faults(source, load_catalogue()):
        yield (key,), rule


def provider_faults(source: SourceConfig, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield the key that is at fault, and the rule."""
    if source.provider is None:
        return
    entry = catalogue.get(source.provider)
    if entry is None:
        near = nearest(source.provider, catalogue)
        listed = "`hookchain providers` lists them; any other sender needs `auth`"
        advice = f"did you mean {near!r}?" if near else listed
        yield "provider", f"the catalogue has no provider {source.provider!r}; {advice}"
        return
    variants = [offered.scheme.variant for offered in entry.auth if offered.scheme.variant]
    if source.variant and source.variant not in variants:
        yield "variant", f"{entry.name} has no variant {source.variant!r}{did_you_mean(source.variant, variants)}"
    if "auth" not in source.model_fields_set:
        yield from _secret_faults(source, entry)
    if source.leeway is not None and not any(offered.scheme.scheme == "jwt" for offered in entry.auth):
        yield "leeway", f"applies to JSON Web Tokens only, and {entry.name} sends none"
    for name in source.params.keys() - entry.params.keys():
        yield "params", f"{entry.name} has no param {name!r}{did_you_mean(name, entry.params)}"
    yield from _param_faults(source, entry)
    yield from _hook_faults(source, entry)
    yield from _recover_faults(source, entry)


def _hook_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    if source.hook is None:
        return
    if source.provider is None or source.provider not in KINDS:
        known = ", ".join(sorted(load_catalogue()[key].name for key in KINDS))
        yield "hook", f"Hookchain registers no hooks at {entry.name}, only at {known}. `hookchain sources` shows how to"
        return
    kind = kind_at(source.provider, source.hook.places)
    if "auth" in source.model_fields_set or source.secret is None:
        yield "hook", "needs the provider's own auth scheme and its `secret`, without `auth`"
    elif kind.variant and source.variant not in (None, kind.variant):
        yield "hook", f"uses the variant {kind.variant!r} of {entry.name}, and the source has {source.variant!r}"
    elif source.hook.token == source.secret:
        yield "hook", _one_secret("token", source.hook.token)
    elif kind.places and not source.hook.at:
        yield "hook", f"at is missing: where the hook is, such as {kind.examples}"
    elif source.hook.renew and not kind.expiry:
        yield "hook", f"renew has no effect, because the webhooks of {entry.name} do not expire. Remove it"
    else:
        for each in source.hook.at:
            if kind.path_of(each) is None:
                rule = f"must be such as {kind.examples}" if kind.places else f"{entry.name} has one place only"
                yield "hook", f"at: {rule}; got {each!r}"


def compiled_hooks(sources: Mapping[str, SourceConfig], *, has_alerts: bool) -> JsonObject:
    """Return the part of notify's slice: the sources whose webhooks expire, and how to renew those with `renew`."""
    found: JsonObject = {}
    for name, source in sources.items():
        kind = KINDS.get(str(source.provider)) if source.hook else None
        if source.hook and kind and kind.expiry and (source.hook.renew or has_alerts):
            found[name] = _compiled_renewal(source.hook, kind) if source.hook.renew else {}
    return {"hooks": found} if found else {}


def _compiled_renewal(hook: HookConfig, kind: HookKind) -> JsonObject:
    method, _, path = kind.operations["extend"].partition(" ")
    base = (hook.api or kind.api).rstrip("/")
    urls: JsonObject = {at: base + path.format(at=kind.path_of(at), id="{id}") for at in hook.places}
    return {
        "secret": hook.token,
        "method": method,
        "urls": urls,
        "headers": dict(kind.headers),
        "expiry": kind.expiry,
        "allow_private": hook.allow_private,
    }


def _one_secret(key: str, name: str) -> str:
    return f"{key} {name!r} is also the source's `secret`, which signs events. Store the API token under another name"


_IDENTITY: Final = ("auth", "id", "batch")
"""The settings by which a recovered event would have another id than its original."""
_READING: Final = ("body", "unwrap", "unpack")
"""The settings by which the id in the body that the API lists would not be read."""


def _recover_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    if source.recover is None:
        return
    kind = RECOVERY_KINDS.get(str(source.provider))
    if kind is None:
        *others, last = sorted(each.title for each in RECOVERY_KINDS.values())
        yield "recover", f"Hookchain recovers no events of {entry.name}, only of {', '.join(others)} and {last}"
        return
    reading = _READING if kind.authentication == "listed" else ()
    own = [key for key in (*_IDENTITY, *reading) if key in source.model_fields_set]
    if own:
        rule = "a recovered event must have the id of its original, which is the provider's own"
        yield "recover", f"cannot be used together with `{own[0]}`: {rule}"
    elif source.recover.secret == source.secret:
        yield "recover", _one_secret("secret", source.recover.secret)
    elif unexpected := [key for key, places in source.recover.places.items() if places and key != kind.places_key]:
        yield "recover", f"{unexpected[0]} has no meaning for {entry.name}; take it out"
    elif source.recover.redeliver and not kind.write_rights:
        yield "recover", f"redeliver: {entry.name} cannot deliver an event again. Remove it"
    elif kind.places_key:
        yield from _recover_place_faults(source.recover, kind.places_key, KINDS[str(source.provider)])


def _recover_place_faults(recover: RecoverConfig, key: str, kind: HookKind) -> Iterator[tuple[str, str]]:
    places = recover.places[key]
    if not places:
        yield "recover", f"{key} is missing: such as {kind.examples}"
    for each in places:
        if kind.path_of(each) is None:
            yield "recover", f"{key}: must be such as {kind.examples}; got {each!r}"


def compiled_recover(
    sources: Mapping[str, SourceConfig], routed_types: Mapping[str, list[str]], public_urls: Mapping[str, str]
) -> JsonObject:
    """Return the part of notify's slice: where it finds what providers could not deliver.

    `routed_types` are the types that the routes of each source take; none if they take all. A source without routes is
    not in it.
    """
    compiled: JsonObject = {}
    for name, source in sources.items():
        recover = source.recover
        if recover is None or name not in routed_types:
            continue
        kind = KINDS[str(source.provider)]
        places: list[Json] = [kind.path_of(each) for listed in recover.places.values() for each in listed]
        types: list[Json] = [*routed_types[name]]
        compiled[name] = {
            "provider": source.provider,
            "secret": recover.secret,
            **({"places": places} if places else {}),
            **({"url": public_urls[name]} if name in public_urls else {}),
            **({"types": types} if types else {}),
            **({"api": recover.api} if recover.api else {}),
            **({"allow_private": True} if recover.allow_private else {}),
            **({"redeliver": True} if recover.redeliver else {}),
        }
    return {"recover": compiled} if compiled else {}


def recovered_part(sources: Mapping[str, SourceConfig]) -> JsonObject:
    """Return the part of receive's slice: what takes the recovered events of all sources, as from a bus."""
    largest = [source.max_body_bytes for source in sources.values() if source.recover]
    if not largest:
        return {}
    bus: JsonObject = {"kind": RECOVERED_KIND, "name": RECOVERED}
    return {"recovered": {"auth": [], "methods": ["POST"], "max_body_bytes": max(largest), "bus": bus}}


def _secret_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    if not entry.auth:
        yield "provider", f"{entry.name} does not sign its requests; add `auth`, or an explicit `auth: none`"
    schemes = [offered.scheme.model_dump() for offered in chosen_schemes(entry, source.variant)]
    if source.secret is None and any(each.get("secret") == SOURCES_SECRET for each in schemes):
        yield "provider", f"{entry.name} needs a secret; name it with `secret`"


def _param_faults(source: SourceConfig, entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    for name, param in entry.params.items():
        if name not in source.params:
            if param.required:
                yield "params", f"{name} is missing: {param.about}"
            continue
        values = source.params[name]
        for text in values if isinstance(values, list) else [values]:
            if param.secret and not SECRET_NAME.fullmatch(text):
                yield "params", f"{name} must be the name of a secret, not its value"
            elif set(text) & set("{}()"):
                yield "params", f"{name} must not contain braces or parentheses"
            elif not _PRINTABLE.fullmatch(text):
                yield "params", f"{name} must be printable ASCII and not empty; replace the … of the example"


WRITTEN: Final = frozenset(
    {
        *("methods", "max_body_bytes", "allow", "content_types", "body", "unwrap", "unpack", "batch", "dedupe"),
        "cast",
        *("type", "id", "subject", "actor", "time", "action", "respond", "form"),
    }
)
"""The keys that the slice has as they are written."""
_HEADER_TYPE_WORDS: Final = 4


def type_words(source: SourceConfig) -> int:
    """Return how many words of an event type may be logged: several if the catalogue reads it from a header."""
    if source.provider is None or "type" in source.model_fields_set:
        return 1
    located = load_catalogue()[source.provider].event.type
    first = located[0] if isinstance(located, list) else located
    return _HEADER_TYPE_WORDS if first and first.startswith("header.") else 1


def compiled_source(name: str, source: SourceConfig, folder: Path, is_mailed: bool) -> JsonObject:
    """Return the source as the slice has it. Names of files are relative to `folder`.

    The source's own settings override its provider's, which override the defaults. `is_mailed`: a mail shows its bodies
    as they came.
    """
    auth: list[Json] = [each.model_dump(exclude_none=True) for each in source.auth] or [{"scheme": "none"}]
    keep_raw = {True: "all", False: "no", None: "body" if is_mailed else "no"}[source.keep_raw]
    settings: JsonObject = source.model_dump(mode="json", include=set(WRITTEN), exclude_none=True)
    catalogue_part = provider_part(source, load_catalogue()) if source.provider else {}
    if isinstance(provider_cast := catalogue_part.get("cast"), dict) and isinstance(own := settings.get("cast"), dict):
        settings["cast"] = {**provider_cast, **own}
    if source.bus:
        catalogue_part = bus_part(name, source.bus)
    settings_in_file = {key: value for key, value in settings.items() if key in source.model_fields_set}
    compiled: JsonObject = {"auth": auth, "keep_raw": keep_raw, **settings, **catalogue_part, **settings_in_file}
    if (max_words := type_words(source)) > 1:
        compiled["type_words"] = max_words
    if source.schema_ is not None:
        compiled["schema"] = schema_document(source.schema_, folder)
    if source.recover is not None:
        compiled["recover"] = RECOVERY_KINDS[str(source.provider)].authentication
    return compiled


DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class SchemaFault(ValueError):
    """The schema cannot be used. The text says why."""


def schema_document(written: Json, folder: Path) -> Json:
    """Return the schema; for a file name, the schema in the file. Raises SchemaFault."""
    document = _read(written, folder) if isinstance(written, str) else written
    _verify(document)
    return document


def _read(name: str, folder: Path) -> Json:
    try:
        text = (folder / name).read_text(encoding="utf-8")
        document: Json = yaml.safe_load(text) if name.endswith((".yaml", ".yml")) else json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaFault(unreadable(name)) from error
    except (ValueError, yaml.YAMLError) as error:
        raise SchemaFault(f"the file {name!r} is not {'YAML' if name.endswith('ml') else 'JSON'}") from error
    return document


def _verify(document: Json) -> None:
    # Imported here, because it is slow to import, and few sources have a schema.
    from jsonschema import Draft202012Validator, SchemaError

    from shared.schema import reference_outside

    if not isinstance(document, dict):
        raise SchemaFault("must be a JSON Schema, which is an object")
    if str(document.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        raise SchemaFault(f"`$schema` must be {DIALECT}, or be left out")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the schema"
        raise SchemaFault(f"must be a JSON Schema: {place}: {error.message[:200]}") from error
    if (reference := reference_outside(document)) is not None:
        raise SchemaFault(f"{reference!r} must refer to a part of this schema. Copy the other one into `$defs`")


_PARAM: Final = re.compile(r"\{param\.(\w+)\}")
_PARAM_NAME: Final = re.compile(r"\bparam\.(\w+)")
_PARAM_IN_CALL: Final = re.compile(r"(?<=[(+])param\.(\w+)(?=[)+])")


def provider_part(source: SourceConfig, catalogue: Catalogue) -> JsonObject:
    """Return the keys of the slice that the provider defines; none without a provider.

    auth         the schemes, unless the source has its own
    handshakes   those whose secrets and params the source names
    type, id, subject, actor, time, action    lists of locations
    batch, unpack, unwrap, dedupe, repeats    as in the catalogue
    formats      the formats that the provider sends
    respond      `status`, `body`, `content_type` and `headers` of the reply
    """
    if source.provider is None:
        return {}
    entry = catalogue[source.provider]
    part: JsonObject = {**entry.event.model_dump(exclude_none=True), "formats": list(entry.formats)}
    if "auth" not in source.model_fields_set:
        part["auth"] = [_scheme(offered, source) for offered in chosen_schemes(entry, source.variant)]
    if entry.handshakes:
        part["handshakes"] = _handshakes(entry, source)
    if respond := _respond(entry, source):
        part["respond"] = respond
    return part


def _scheme(offered: OfferedScheme, source: SourceConfig) -> JsonObject:
    scheme: JsonObject = offered.scheme.model_dump(exclude_none=True)
    if scheme.get("secret") == SOURCES_SECRET:
        scheme["secret"] = source.secret
    if source.tolerance is not None and "tolerance_seconds" in scheme:
        scheme["tolerance_seconds"] = int(source.tolerance)
    if source.leeway is not None and "leeway_seconds" in scheme:
        scheme["leeway_seconds"] = int(source.leeway)
    return _with_params(scheme, source)


def _with_params(settings: JsonObject, source: SourceConfig) -> JsonObject:
    """Return the settings with the source's `params` for `{param.NAME}`, without keys whose param is missing."""
    filled: JsonObject = {}
    for key, value in settings.items():
        found = _filled(value, source)
        if found is not None:
            filled[key] = found
    return filled


def _filled(value: Json, source: SourceConfig) -> Json:
    if isinstance(value, dict):
        return _with_params(value, source) or None
    if isinstance(value, list):
        return [item for each in value for item in _items(_filled(each, source))] or None
    if not isinstance(value, str):
        return value
    value = _PARAM_IN_CALL.sub(r"{param.\1}", value)
    names = _PARAM.findall(value)
    if any(name not in source.params for name in names):
        return None
    whole = _PARAM.fullmatch(value)
    if whole and isinstance(param := source.params[whole[1]], list):
        return list(param)
    return _PARAM.sub(lambda hole: str(source.params[hole[1]]), value)


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _handshakes(entry: ProviderEntry, source: SourceConfig) -> list[Json]:
    """Return the handshakes, except those that need a secret or a param which the source does not name."""
    return [found for handshake in entry.handshakes if (found := _handshake(handshake, source))]


def _handshake(handshake: Handshake, source: SourceConfig) -> JsonObject | None:
    """Return the handshake. Its `check` lists locations, each with the name of the secret whose value must be there."""
    if "auth" in source.model_fields_set and _recognised_by_absence(handshake):
        return None  # a source with an auth of its own also gets events without these headers
    written: JsonObject = handshake.model_dump(exclude_defaults=True, by_alias=True, exclude={"note", "check"})
    secrets = [source.params.get(param, source.secret) for param in handshake.check.values()]
    if signs := "hmac-" in to_json(written):
        secrets.append(source.secret)
    named = set(_PARAM_NAME.findall(to_json(written)))
    if None in secrets or named - source.params.keys():
        return None
    if handshake.check:
        written["check"] = [
            {"at": place, "secret": str(secret)} for place, secret in zip(handshake.check, secrets, strict=False)
        ]
    return _with_params({**written, "secret": source.secret} if signs else written, source)


def _recognised_by_absence(handshake: Handshake) -> bool:
    return bool(handshake.when) and not any(handshake.when.values())


def _respond(entry: ProviderEntry, source: SourceConfig) -> JsonObject:
    answer = entry.answer
    headers: Json = dict(answer.headers) if answer.headers else None
    reply: JsonObject = {"status": answer.status, "body": answer.body, "content_type": answer.type, "headers": headers}
    return _with_params({key: value for key, value in reply.items() if value is not None}, source)
