"""The sources of the compiled configuration, as whoever sends to them needs them."""

import fnmatch
from collections.abc import Sequence

from deploy.config import configured, local_ports
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at, texts_at, value_at


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
    """Return the emulated topic that stands for the source's bus in `hookchain dev`; empty for a source without one.

    A Pub/Sub topic, which may be written with its project, has its own name there, another bus the name it compiled to.
    """
    bus = mapping_at(source, "bus")
    pubsub_topic = str(bus.get("pubsub", "")).rpartition("/")[2]
    return pubsub_topic or str(bus.get("name", ""))


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


def provider_key(configuration: configured.LoadedConfig, name: str) -> str:
    """Return the key of the source's provider in the catalogue; empty if it names none."""
    return str(value_at(configuration.document, "sources", name, "provider") or "")


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
