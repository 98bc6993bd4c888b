"""Whom a test event may reach, so that nobody is written to by mistake: pure."""

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.requests.sender_settings import routes_from
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Reached:
    """`kind` is `email`, `webhook` …; `whom` are addresses or a URL's host, as far as they are written down."""

    destination: str
    kind: str
    whom: str


def audience(slices: Mapping[str, JsonObject], source: str, event_type: str | None) -> list[Reached]:
    """Every destination of a route that may take it: `where` and steps may yet stop it. Without a type, of all."""
    names: dict[str, None] = {}
    for route in routes_from(slices["transform"], source):
        types = _texts(route.get("types"))
        if event_type is None or not types or any(fnmatch.fnmatchcase(event_type, each) for each in types):
            names.update(dict.fromkeys(_texts(route.get("to"))))
    return list(_reached(slices["notify"], list(names)))


def _reached(notify: JsonObject, names: list[str]) -> Iterator[Reached]:
    destinations = notify.get("destinations")
    for name in names:
        destination = destinations.get(name) if isinstance(destinations, dict) else None
        if isinstance(destination, dict):
            settings = destination.get("settings")
            yield Reached(name, str(destination.get("kind")), _whom(settings if isinstance(settings, dict) else {}))


def _whom(settings: JsonObject) -> str:
    addresses = [each for key in ("to", "cc", "bcc") for each in _texts(settings.get(key))]
    if addresses:
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        return ", ".join(addresses[:3]) + more
    return str(settings.get("url") or "")


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [value] if isinstance(value, str) else []
