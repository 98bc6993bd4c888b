"""The values to enter in a sender's settings for each source, with a line that describes its authentication."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from deploy.config.dev_ports import Ports
from deploy.requests.sources import (
    auth_entries,
    compiled_sources,
    dev_topic,
    route_types,
    routes_from,
    source_url,
    text_list,
)
from shared.jsontext import Json, JsonObject
from shared.secrets import variable_name

_SIGNING_SECRET: Final = "the secret that it signs with"  # noqa: S105 a label
_SIGNATURES: Final = {"hmac": "a signature", "standard-webhooks": "a Standard Webhooks signature"}


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """The settings of one source's sender.

    url      has `<secret NAME>` where a token stands
    schemes  lines `setting: value` for each auth scheme, any of which will do
    events   event types, empty for all
    setup    the provider's own instruction
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

    def document(self) -> JsonObject:
        return {
            "name": self.name,
            "provider": self.provider,
            "url": self.url,
            "methods": list(self.methods),
            "schemes": [list(lines) for lines in self.schemes],
            "secrets": list(self.secrets),
            "routes": list(self.routes),
            "events": list(self.events),
            "setup": self.setup,
        }


def sender_settings(
    slices: Mapping[str, JsonObject], base_url: str, providers: Mapping[str, tuple[str, str]]
) -> Iterator[SenderSettings]:
    """Yield the settings of each source. `providers` has, by source, the provider's name and its instruction."""
    for name, source in compiled_sources(slices["receive"]).items():
        assert isinstance(source, dict)
        routes = list(routes_from(slices["transform"], name))
        auth = auth_entries(source)
        provider, setup = providers.get(name, (None, ""))
        public_url = source.get("public_url")
        bus = source.get("bus")
        if isinstance(bus, dict):
            setup = bus_setup(bus)
        is_every_type = not all(text_list(route.get("types")) for route in routes)
        yield SenderSettings(
            name,
            provider,
            _url_with_placeholder(public_url if isinstance(public_url, str) else f"{base_url}/{name}", auth),
            tuple(text_list(source.get("methods"))) or ("POST",),
            (("its bus alone: a request of anybody else is rejected",),)
            if bus
            else tuple(dict.fromkeys(tuple(_setting_lines(entry)) for entry in auth)),
            tuple(dict.fromkeys(str(entry["secret"]) for entry in auth if "secret" in entry)),
            tuple(str(route["name"]) for route in routes),
            () if is_every_type else tuple(dict.fromkeys(route_types(list(routes)))),
            setup,
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


def source_lines(sources: JsonObject, ports: Ports, queues: Mapping[str, str] | None = None) -> list[str]:
    """Return one line for each source: its URL on this machine, and how it authenticates.

    `queues` are those of the local AWS that stand for buses, by source; without them, the emulated Pub/Sub does.
    """
    width = max((len(source_url(name, ports)) for name in sources), default=0)
    return [
        f"{source_url(name, ports).ljust(width)}  {_auth_text(source, (queues or {}).get(name))}"
        for name, source in sources.items()
    ]


def _auth_text(source: Json, queue: str | None) -> str:
    if queue is not None:
        return f"messages of the emulated queue {queue}"
    if isinstance(source, dict) and (topic := dev_topic(source)):
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
