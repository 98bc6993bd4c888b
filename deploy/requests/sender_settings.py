"""The settings of a source's sender: the URL, what to enter for authentication, and the event types to select."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from deploy.requests.sources import auth_entries, compiled_sources, route_types, routes_from
from shared.jsontext import JsonObject, mapping_at, texts_at

if TYPE_CHECKING:
    from deploy.config.sections.provider_event_types import EventTypes

_SIGNING_SECRET: Final = "the secret that it signs with"  # noqa: S105 a label


class Provider(NamedTuple):
    """A source's provider: its key and name, its instruction, and its event types; None if they are not known."""

    key: str
    name: str
    setup: str
    event_types: "EventTypes | None"


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """The settings of one source's sender.

    provider        the provider's name; None for a source without one
    url             has `<secret NAME>` where a token stands
    schemes         lines `setting: value` for each auth scheme, any of which will do
    secrets         the names of the secrets that they need
    routes          the routes that take the source's events
    events          event types to select, empty for all, and also if no route takes any
    setup           the provider's own instruction; for a bus, how messages get there
    unknown_events  patterns of event types that match none of the provider's known ones
    listing_key     the key for `hookchain providers`, which lists the event types; empty if they are not known
    """

    name: str
    provider: str | None
    url: str
    methods: tuple[str, ...]
    schemes: tuple[tuple[str, ...], ...]
    secrets: tuple[str, ...]
    routes: tuple[str, ...]
    events: tuple[str, ...]
    unknown_events: tuple[str, ...] = ()
    setup: str = ""
    listing_key: str = ""

    def document(self) -> JsonObject:
        """Return the settings as `hookchain sources --json` prints them."""
        document = asdict(self)
        del document["listing_key"]
        return document


def sender_settings(
    slices: Mapping[str, JsonObject], base_url: str, providers: Mapping[str, Provider]
) -> Iterator[SenderSettings]:
    """Yield the settings of each source. `providers` has the provider of each source that names one."""
    for name, source in compiled_sources(slices["receive"]).items():
        auth = auth_entries(source)
        provider = providers.get(name)
        if bus := mapping_at(source, "bus"):
            schemes: list[tuple[str, ...]] = [("its bus alone: a request of anybody else is rejected",)]
            setup = _bus_setup(bus)
        else:
            schemes = list(dict.fromkeys(tuple(_lines_to_enter(entry)) for entry in auth))
            setup = provider.setup if provider else ""
        known_types = provider.event_types if provider else None
        routes = routes_from(slices["transform"], name)
        takes_every_type = any(not texts_at(route, "types") for route in routes)
        patterns = [] if takes_every_type else [*dict.fromkeys(route_types(routes))]
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
            unknown_events=tuple(each for each in patterns if known_types and not known_types.has(each)),
            listing_key=provider.key if provider and known_types else "",
        )


def _bus_setup(bus: JsonObject) -> str:
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
    """Return the URL with a placeholder for the token, if each entry of `auth` takes a token in the URL.

    The token is that of the first entry.
    """
    if not auth or any(entry["scheme"] not in {"path", "query"} for entry in auth):
        return url
    token = f"<secret {auth[0]['secret']}>"
    if auth[0]["scheme"] == "path":
        return f"{url}/{token}"
    return f"{url}?{quote(str(auth[0]['parameter']), safe='')}={token}"


def _lines_to_enter(entry: JsonObject) -> Iterator[str]:
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
