"""What a sender's administrator has to type where, for each source: pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from deploy.config.configured import Configured
from deploy.requests.source_lines import sources_of, ways_of
from shared.jsontext import Json, JsonObject

_WHOLE_KEY: Final = "the secret that it signs with"


@dataclass(frozen=True, slots=True)
class Entry:
    """`url` has `<secret NAME>` where a token stands. `events` are types, empty for all; `ways` any of which will do:
    each is what to type into the sender's settings. `setup` is the provider's own instruction."""

    name: str
    provider: str | None
    url: str
    methods: tuple[str, ...]
    ways: tuple[tuple[str, ...], ...]
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
            "ways": [list(way) for way in self.ways],
            "secrets": list(self.secrets),
            "routes": list(self.routes),
            "events": list(self.events),
            "setup": self.setup,
        }


def entries(
    slices: Mapping[str, JsonObject], base_url: str, providers: Mapping[str, tuple[str, str]]
) -> Iterator[Entry]:
    """`providers`: by source, the provider's name and its instruction."""
    for name, source in sources_of(slices["receive"]).items():
        assert isinstance(source, dict)
        routes = list(routes_from(slices["transform"], name))
        ways = ways_of(source)
        provider, setup = providers.get(name, (None, ""))
        public_url = source.get("public_url")
        yield Entry(
            name,
            provider,
            url_of(public_url if isinstance(public_url, str) else f"{base_url}/{name}", ways),
            tuple(_texts(source.get("methods"))) or ("POST",),
            tuple(dict.fromkeys(tuple(way_settings(way)) for way in ways)),
            tuple(dict.fromkeys(str(way["secret"]) for way in ways if "secret" in way)),
            tuple(str(route["name"]) for route in routes),
            events_of(routes),
            setup,
        )


def routes_from(transform: JsonObject, source: str) -> Iterator[JsonObject]:
    routes = transform.get("routes")
    for route in routes if isinstance(routes, list) else []:
        if isinstance(route, dict) and (route.get("from") is None or source in _texts(route.get("from"))):
            yield route


def events_of(routes: Sequence[JsonObject]) -> tuple[str, ...]:
    """The types that some route takes; none where one takes all, or there is no route."""
    if not all(_texts(route.get("types")) for route in routes):
        return ()
    return tuple(dict.fromkeys(each for route in routes for each in _texts(route.get("types"))))


def types_of(routes: Sequence[Json]) -> list[str]:
    return [each for route in routes if isinstance(route, dict) for each in _texts(route.get("types"))]


def provider_key(have: Configured, name: str) -> str:
    """The catalogue's, as the source names it; empty where it names none."""
    document = have.document if isinstance(have.document, dict) else {}
    written = document.get("sources")
    settings: Json = written.get(name) if isinstance(written, dict) else None
    return str(settings.get("provider") or "") if isinstance(settings, dict) else ""


def url_of(url: str, ways: Sequence[JsonObject]) -> str:
    """A sender that can prove itself in no other way has its token in the URL."""
    if not ways or any(way["scheme"] not in {"path", "query"} for way in ways):
        return url
    token = f"<secret {ways[0]['secret']}>"
    if ways[0]["scheme"] == "path":
        return f"{url}/{token}"
    return f"{url}?{quote(str(ways[0]['parameter']), safe='')}={token}"


def way_settings(way: JsonObject) -> Iterator[str]:
    """Lines `what: value`. A secret is `<secret NAME>`."""
    secret = f"<secret {way['secret']}>" if "secret" in way else ""
    match way["scheme"]:
        case "none":
            yield "nothing: anybody who knows the URL may send"
        case "basic":
            yield "authentication: basic"
            yield f"user name: {way.get('username') or 'any'}"
            yield f"password: {secret}"
        case "header":
            yield f"header {way['header']}: {secret}"
        case "bearer":
            yield f"header authorization: Bearer {secret}"
        case "path" | "query":
            yield f"the URL holds the token, {secret}: treat the URL as a secret"
        case "standard-webhooks":
            yield f"{_WHOLE_KEY} (Standard Webhooks), `whsec_` included: {secret}"
        case scheme:
            where = f", header {way['header']}" if "header" in way else ""
            kind = " ".join(str(each) for each in (scheme, way.get("algorithm")) if each)
            yield f"{_WHOLE_KEY} ({kind}{where}): {secret}" if secret else f"it signs by itself ({kind}{where})"


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
