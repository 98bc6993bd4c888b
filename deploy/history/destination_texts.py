"""The settings of a destination in words, for the page and the status."""

from collections.abc import Mapping
from itertools import groupby
from typing import Final, TypeAlias

from shared.jsontext import Json
from shared.subscribers.names import endpoint_name
from shared.times import duration_text

ConfiguredDestinations: TypeAlias = Mapping[str, Json]
"""The destinations of notify's slice, by name."""
_RATE_UNITS: Final = {1: "s", 60: "m", 3_600: "h", 86_400: "d"}


def configured_destinations(slice_: Mapping[str, Json] | None) -> ConfiguredDestinations:
    """Return the destinations of the slice; none if there is no slice."""
    destinations = (slice_ or {}).get("destinations")
    return destinations if isinstance(destinations, dict) else {}


def configured_name(destination: str) -> str:
    """Return the name of the configured destination, with which the name of an endpoint begins."""
    name = endpoint_name(destination)
    return name.destination if name else destination


def kind_of(destination: Json) -> str:
    kind = destination.get("kind") if isinstance(destination, dict) else None
    return kind if isinstance(kind, str) else ""


def caps_text(destination: Json) -> str:
    """Return the caps as the configuration writes them: `10/s, 5 at once, per data.customer.id`; empty without one."""
    written = destination if isinstance(destination, dict) else {}
    rate, in_flight, per = written.get("rate"), written.get("in_flight"), written.get("per")
    found: list[str] = []
    if isinstance(rate, list) and len(rate) == 2 and isinstance(seconds := rate[1], int | float):
        found.append(f"{rate[0]}/{_RATE_UNITS.get(int(seconds)) or duration_text(seconds)}")
    if in_flight is not None:
        found.append(f"{in_flight} at once")
    if found and isinstance(per, str):
        found.append(f"per {per}")
    return ", ".join(found)


def schedule_text(destination: Json) -> str:
    """Return the attempts and the waits between them; empty where they are not known."""
    waits = destination.get("retry_seconds") if isinstance(destination, dict) else None
    if not isinstance(waits, list):
        return ""
    if not waits:
        return "1 attempt"
    grouped = [(duration_text(wait), len([*same])) for wait, same in groupby(waits) if isinstance(wait, int | float)]
    texts = [f"{count} × {text}" if count > 1 else text for text, count in grouped]
    return f"{len(waits) + 1} attempts, after waits of {', '.join(texts)}"
