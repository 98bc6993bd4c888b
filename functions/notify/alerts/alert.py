"""An alert: what Hookchain tells its operator about itself, as an event and in words. Pure.

It is bounded, and has neither bodies nor secrets: its reasons are those that the log has.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from functions.notify.bounded_texts import cut
from shared import jsontext, times
from shared.event import Event, oneline

Kind: TypeAlias = Literal[
    "dead_letter",
    "destination_paused",
    "destination_recovered",
    "destination_disabled",
    "source_quiet",
    "source_back",
    "hook_expires",
    "events_recovered",
]
ALERT_SOURCE: Final = "/alerts/hookchain"
"""The source of Hookchain's own alerts, and of their digests. No sender's event has it."""
ROUTE: Final = "alerts"
"""The route of an alert's deliveries."""
TYPE_PREFIX: Final = "hookchain.alert."
MAX_REASON_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 100
NOUNS: Final[Mapping[str, tuple[str, str]]] = {
    "dead_letter": ("dead letter", "dead letters"),
    "destination_paused": ("destination paused", "destinations paused"),
    "destination_recovered": ("destination recovered", "destinations recovered"),
    "destination_disabled": ("destination disabled", "destinations disabled"),
    "source_quiet": ("source quiet", "sources quiet"),
    "source_back": ("source back", "sources back"),
    "hook_expires": ("webhook expires", "webhooks expire"),
    "events_recovered": ("recovery of events", "recoveries of events"),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """`key` and `kind` identify it, however often it is made.

    about    the name of the destination or the source that it is about; empty where there is none
    reason   what happened, and what to do
    command  shows more of it
    details  further fields of the event's data
    """

    kind: Kind
    key: str
    at: float
    about: str
    reason: str
    command: str
    details: jsontext.JsonObject = field(default_factory=dict)
    hops: int = 0


def alert_event(alert: Alert) -> Event:
    """Return the event. Its id and hash follow from the kind and the key alone."""
    is_source = alert.kind in ("source_quiet", "source_back", "hook_expires", "events_recovered")
    data: jsontext.JsonObject = {
        "kind": alert.kind,
        "source" if is_source else "destination": cut(alert.about, MAX_NAME_CHARACTERS) or None,
        **alert.details,
        "reason": cut(oneline(alert.reason), MAX_REASON_CHARACTERS),
        "command": alert.command,
    }
    name = hashlib.sha256(jsontext.texts_json(["alert", alert.kind, alert.key])).hexdigest()
    return Event(
        id=name[:32],
        source=ALERT_SOURCE,
        type=f"{TYPE_PREFIX}{alert.kind}",
        receivedat=times.rfc3339(alert.at),
        payloadhash=name,
        data=data,
        hops=alert.hops,
    )


def about_of(event: Event) -> str:
    """Return the name of the destination or the source that an alert is about."""
    return _text(event, "destination") or _text(event, "source")


def alert_line(event: Event, max_characters: int) -> str:
    """Return the alert in a line: what happened, and the command that shows more, which is not cut."""
    code, route, command = (_text(event, name) for name in ("code", "route", "command"))
    reason = f"{code}: {_text(event, 'reason')}" if code else _text(event, "reason")
    more = "".join([f" · {text}" for text in (f"route {route}" if route else "", command) if text not in reason])
    return cut(reason, max(0, max_characters - len(more))) + more


def counted(event_type: str, count: int) -> str:
    """Return `12 dead letters` for a type of alerts."""
    nouns = NOUNS.get(event_type.removeprefix(TYPE_PREFIX), ("alert", "alerts"))
    return f"{count:,} {nouns[count != 1]}"


def _text(event: Event, name: str) -> str:
    value = jsontext.value_at(event.data, name)
    return value if isinstance(value, str) else ""


def read_record(text: str | None) -> jsontext.JsonObject:
    """Read a record. Anything else counts as an empty one."""
    try:
        return jsontext.mapping_at(jsontext.from_json(text.encode())) if text else {}
    except ValueError:
        return {}


def time_in(record: jsontext.JsonObject, name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None
