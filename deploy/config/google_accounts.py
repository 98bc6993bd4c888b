"""The destinations that need an account of Google's, which only a deployment on Google Cloud has of its own."""

from collections.abc import Iterator
from typing import Final

from shared.jsontext import Json, JsonObject

_KINDS: Final = frozenset({"bigquery", "document", "push", "sheet"})
"""Kinds that write to Google only."""


def without_google_account(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each destination that names no key of an account. `notify` is its slice."""
    destinations = notify.get("destinations")
    for name, each in destinations.items() if isinstance(destinations, dict) else ():
        settings = each.get("settings") if isinstance(each, dict) else None
        if isinstance(each, dict) and isinstance(settings, dict) and _lacks_key(each.get("kind"), settings):
            yield name, str(each["kind"])


def _lacks_key(kind: Json, settings: JsonObject) -> bool:
    if settings.get("secret") is not None or settings.get("api_url") is not None:
        return False
    match kind:
        case "cloud_build":
            return settings.get("webhook_secret") is None
        case "object":
            return str(settings.get("bucket")).startswith("gs://") and settings.get("endpoint") is None
        case "bus":
            return settings.get("pubsub") is not None
    return kind in _KINDS
