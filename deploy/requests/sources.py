"""The sources of the compiled configuration, as whoever sends to them needs them, and a sender's settings for each."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from deploy.config import checkout, configured, local_ports
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at, texts_at, value_at
from shared.secrets import variable_name

if TYPE_CHECKING:
    from deploy.config.sections.provider_event_types import EventTypes


@dataclass(frozen=True, slots=True)
class Source:
    """A source's name, and the entries of its `auth` that take a secret."""

    name: str
    auth: tuple[JsonObject, ...]

    def auth_entry(self, secret: str | None) -> JsonObject | None:
        """Return the entry with the secret of this name, else the first; None if no entry takes a secret."""
        return next((entry for entry in self.auth if entry.get("secret") == secret), next(iter(self.auth), None))


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of a configuration, by name, as receive's slice has them.

    `configuration` is its name as the operator knows it.
    """

    configuration: str
    all: Mapping[str, JsonObject]

    def find(self, name: str) -> Source | None:
        """Return the source of this name; None if there is none, or if requests to it have no `auth`."""
        source = self.all.get(name)
        if source is None or not isinstance(source.get("auth"), list):
            return None
        return Source(name, tuple(entry for entry in auth_entries(source) if "secret" in entry))

    def named(self, name: str) -> Source:
        """Return the source of this name. Raises ValueError where there is none."""
        if source := self.find(name):
            return source
        raise ValueError(f"there is no source {name!r}{did_you_mean(name, self.all)}")


def load_sources(config: str | None, environ: Mapping[str, str]) -> Sources:
    """Compile the sources of `config`, which may be `none`, else of the environment's. Raises ConfigFaults."""
    # Imported here, because it is slow to import and often not needed.
    from deploy.config.compiler import compile_config, read_config

    path = checkout.chosen_config(config, environ)
    file = read_config(path, environ)
    return Sources(str(path or "the configuration without a file"), compiled_sources(compile_config(file)["receive"]))


def compiled_sources(receive: JsonObject) -> dict[str, JsonObject]:
    """Return the sources of receive's slice by name."""
    return mappings_at(receive, "sources")


def auth_entries(source: Json) -> list[JsonObject]:
    """Return the entries of a compiled source's `auth`, which are alternatives."""
    return objects_at(source, "auth")


def auth_secret_names(source: Json) -> list[str]:
    """Return the names of the secrets with which a compiled source authenticates requests, each once."""
    return list(dict.fromkeys(str(entry["secret"]) for entry in auth_entries(source) if entry.get("secret")))


def dev_topic(source: Json) -> str:
    """Return the emulated topic that stands for the source's bus in `hookchain dev`; empty for a source without one."""
    bus = mapping_at(source, "bus")
    return str(bus.get("pubsub", "")).rpartition("/")[2] or str(bus.get("name", ""))


def is_plain_hmac(entry: JsonObject) -> bool:
    """Return whether the entry is an HMAC of the body alone in a header of its own, which any client can make."""
    unusual = {"each", "timestamp", "id", "body_digest"} & entry.keys()
    is_alone = entry.get("layout", "plain") == "plain" and entry.get("content", "{body}") == "{body}"
    is_text = entry.get("key", "utf8") == "utf8" and "header" in entry
    return entry.get("scheme") == "hmac" and is_alone and is_text and not unusual


def accepts_post(source: Json) -> bool:
    """Return whether the source accepts POST, as one without `methods` does."""
    methods = value_at(source, "methods")
    return not isinstance(methods, list) or "POST" in methods


def page_headers(source: Json) -> dict[str, str]:
    """Return a browser's headers for a source that accepts forms; none for others.

    They are those of a script on the form's page, which gets the response itself and not a redirect to a thanks page.
    """
    origin = value_at(source, "form", "origins", 0)
    return {"Origin": str(origin), "Sec-Fetch-Mode": "cors"} if origin else {}


def source_url(name: str, ports: local_ports.Ports) -> str:
    """Return the source's URL on this machine."""
    return f"http://{local_ports.HOST}:{ports.receive}/{name}"


def provider_key(have: configured.LoadedConfig, name: str) -> str:
    """Return the key of the source's provider in the catalogue; empty where it names none."""
    return str(value_at(have.document, "sources", name, "provider") or "")


def routes_from(transform: JsonObject, source: str) -> list[JsonObject]:
    """Return the enabled routes that take the events of the source."""
    routes = [each for each in objects_at(transform, "routes") if each.get("enabled") is not False]
    return [each for each in routes if each.get("from") is None or source in texts_at(each, "from")]


def route_types(routes: Sequence[Json]) -> list[str]:
    """Return the event types and patterns that the routes name. A route for all types names none."""
    return [each for route in routes for each in texts_at(route, "types")]


def destinations_from(transform: JsonObject, source: str, event_type: str | None) -> list[str]:
    """Return the destinations of routes from this source that may match the type; any type if it is None."""
    reached: dict[str, None] = {}
    for route in routes_from(transform, source):
        types = texts_at(route, "types")
        if event_type is None or not types or may_match(types, event_type):
            reached |= dict.fromkeys(texts_at(route, "to"))
    return list(reached)


def may_match(patterns: Sequence[str], event_type: str) -> bool:
    """Return whether a pattern matches events of the type, at least with some action."""
    return any(fnmatch.fnmatchcase(event_type, each) or each.startswith(f"{event_type}.") for each in patterns)


# The settings of a sender


_SIGNING_SECRET: Final = "the secret that it signs with"  # noqa: S105 a label
_SIGNATURES: Final = {"hmac": "a signature", "standard-webhooks": "a Standard Webhooks signature"}


class Provider(NamedTuple):
    """A source's provider: its key and name, its instruction, and its event types; None if they are not known."""

    key: str
    name: str
    setup: str
    event_types: "EventTypes | None"


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """The settings of one source's sender.

    provider the provider's name; None for a source without one
    url      has `<secret NAME>` where a token stands
    schemes  lines `setting: value` for each auth scheme, any of which will do
    secrets  the names of the secrets that they need
    routes   the routes that take the source's events
    events   event types to select, empty for all, and also if no route takes any
    setup    the provider's own instruction
    unknown  patterns of event types that match none of the provider's known ones
    listed   the key of the provider if its event types are known; else empty
    """

    name: str
    provider: str | None
    url: str
    methods: tuple[str, ...]
    schemes: tuple[tuple[str, ...], ...]
    secrets: tuple[str, ...]
    routes: tuple[str, ...]
    events: tuple[str, ...]
    setup: str = ""
    unknown: tuple[str, ...] = ()
    listed: str = ""

    def document(self) -> JsonObject:
        """Return the settings as `hookchain sources --json` prints them."""
        return {
            "name": self.name,
            "provider": self.provider,
            "url": self.url,
            "methods": list(self.methods),
            "schemes": [list(lines) for lines in self.schemes],
            "secrets": list(self.secrets),
            "routes": list(self.routes),
            "events": list(self.events),
            "unknown_events": list(self.unknown),
            "setup": self.setup,
        }


def sender_settings(
    slices: Mapping[str, JsonObject], base_url: str, providers: Mapping[str, Provider]
) -> Iterator[SenderSettings]:
    """Yield the settings of each source. `providers` has the provider of each source that names one."""
    for name, source in compiled_sources(slices["receive"]).items():
        auth = auth_entries(source)
        schemes = dict.fromkeys(tuple(_setting_lines(entry)) for entry in auth)
        provider = providers.get(name)
        known_types = provider.event_types if provider else None
        setup = provider.setup if provider else ""
        if bus := mapping_at(source, "bus"):
            schemes = {("its bus alone: a request of anybody else is rejected",): None}
            setup = bus_setup(bus)
        routes = routes_from(slices["transform"], name)
        is_every_type = not all(texts_at(route, "types") for route in routes)
        patterns = [] if is_every_type else list(dict.fromkeys(route_types(routes)))
        yield SenderSettings(
            name=name,
            provider=provider.name if provider else None,
            url=_url_with_placeholder(str(source.get("public_url") or f"{base_url}/{name}"), auth),
            methods=tuple(texts_at(source, "methods")) or ("POST",),
            schemes=tuple(schemes),
            secrets=tuple(dict.fromkeys(str(entry["secret"]) for entry in auth if "secret" in entry)),
            routes=tuple(str(route["name"]) for route in routes),
            events=tuple(known_types.selected(patterns) if known_types else patterns),
            setup=setup,
            unknown=tuple(each for each in patterns if known_types and not known_types.has(each)),
            listed=provider.key if provider and known_types else "",
        )


def bus_setup(bus: JsonObject) -> str:
    """Return how a message gets to the source."""
    match bus["kind"]:
        case "pubsub":
            return f"Publish with: gcloud pubsub topics publish {bus['pubsub']} --message='{{}}'"
        case "sqs":
            return f"Send messages to the queue {bus['sqs']}, for example with: aws sqs send-message"
        case "bucket":
            return f"Objects in the bucket {bus['bucket']} make the messages."
        case _:
            return "Events of EventBridge that match the pattern make the messages: aws events put-events"


def _url_with_placeholder(url: str, auth: Sequence[JsonObject]) -> str:
    """Put the token's placeholder into the URL of a source that has no other scheme."""
    if not auth or any(entry["scheme"] not in {"path", "query"} for entry in auth):
        return url
    token = f"<secret {auth[0]['secret']}>"
    if auth[0]["scheme"] == "path":
        return f"{url}/{token}"
    return f"{url}?{quote(str(auth[0]['parameter']), safe='')}={token}"


def _setting_lines(entry: JsonObject) -> Iterator[str]:
    """Yield what to enter at the sender for an entry of `auth`, with `<secret NAME>` in place of a secret."""
    secret = f"<secret {entry['secret']}>" if "secret" in entry else ""
    match entry["scheme"]:
        case "none":
            yield "none: anybody who knows the URL can send"
        case "basic":
            yield "authentication: basic"
            yield f"user name: {entry.get('username') or 'any'}"
            yield f"password: {secret}"
        case "header":
            yield f"header {entry['header']}: {secret}"
        case "bearer":
            yield f"header authorization: Bearer {secret}"
        case "path" | "query":
            yield f"the URL contains the token {secret}. Treat the URL as a secret."
        case "standard-webhooks":
            yield f"{_SIGNING_SECRET} (Standard Webhooks), including `whsec_`: {secret}"
        case scheme:
            header = f", header {entry['header']}" if "header" in entry else ""
            kind = " ".join(str(each) for each in (scheme, entry.get("algorithm")) if each)
            yield f"{_SIGNING_SECRET} ({kind}{header}): {secret}" if secret else f"it signs by itself ({kind}{header})"


def source_lines(
    sources: JsonObject, ports: local_ports.Ports, queues: Mapping[str, str] | None = None, *, is_public: bool = False
) -> list[str]:
    """Return one line for each source, as `hookchain dev` prints them at its start: its URL, and how it authenticates.

    The URL is that on this machine, or with `is_public`, the source's `public_url`, if it has one. `queues` are those
    of the local AWS that stand for buses, by source; without them, the emulated Pub/Sub does.
    """
    public_urls = {name: value_at(source, "public_url") for name, source in sources.items()} if is_public else {}
    urls = {name: str(public_urls.get(name) or source_url(name, ports)) for name in sources}
    width = max(map(len, urls.values()), default=0)
    return [
        f"{urls[name].ljust(width)}  {_auth_text(source, (queues or {}).get(name))}" for name, source in sources.items()
    ]


def _auth_text(source: Json, queue: str | None) -> str:
    """Return how the source authenticates. A source with a bus gets its messages there, and no requests."""
    if queue is not None:
        return f"messages of the emulated queue {queue}"
    if topic := dev_topic(source):
        return f"messages of the emulated topic {topic}"
    return " or ".join(dict.fromkeys(_entry_text(entry) for entry in auth_entries(source)))


def _entry_text(entry: JsonObject) -> str:
    variable = variable_name(str(entry.get("secret", "")))
    match entry.get("scheme"):
        case "none":
            return "no authentication"
        case "basic":
            user = f"user: {entry['username']}" if entry.get("username") else "user: any"
            return f"basic auth; {user}; password: {variable}"
        case "header":
            return f"header {entry.get('header')}: {variable}"
        case "bearer":
            return f"bearer token {variable}"
        case "path":
            return f"/{variable} at the end of the URL"
        case "query":
            return f"?{entry.get('parameter')}={variable}"
        case scheme if not entry.get("secret"):
            return f"{scheme}, which needs no secret"
        case scheme:
            return f"{_SIGNATURES.get(str(scheme), str(scheme))} made with {variable}"
