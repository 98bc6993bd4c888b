"""An alert: Hookchain's message to its operator, such as that a destination is paused, as an event and as text. Pure.

An alert is delivered like any other event. Its texts are cut, and contain no body and no secret: its reasons are those
that the log has too.
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
_KINDS_ABOUT_SOURCES: Final[frozenset[Kind]] = frozenset(
    {"source_quiet", "source_back", "hook_expires", "events_recovered"}
)
"""The other kinds are about a destination, if they are about anything."""
_NOUNS: Final[Mapping[str, tuple[str, str]]] = {
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
    """An alert. The same `kind` and `key` make the same event, so that the operator gets it once.

    at       Unix seconds
    about    the name of the destination or the source that the alert is about; empty if there is none
    reason   what happened, and what to do
    command  the command of Hookchain that shows more
    details  further fields of the event's data
    hops     the hops of the event that the alert is about: they end a loop of a webhook that leads alerts to a source
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
    about_field = "source" if alert.kind in _KINDS_ABOUT_SOURCES else "destination"
    data: jsontext.JsonObject = {
        "kind": alert.kind,
        about_field: cut(alert.about, MAX_NAME_CHARACTERS) or None,
        **alert.details,
        "reason": cut(oneline(alert.reason), MAX_REASON_CHARACTERS),
        "command": alert.command,
    }
    digest = hashlib.sha256(jsontext.texts_json(["alert", alert.kind, alert.key])).hexdigest()
    return Event(
        id=digest[:32],
        source=ALERT_SOURCE,
        type=f"{TYPE_PREFIX}{alert.kind}",
        receivedat=times.rfc3339(alert.at),
        payloadhash=digest,
        data=data,
        hops=alert.hops,
    )


def about_of(event: Event) -> str:
    """Return the name of the destination or the source that an alert is about."""
    return _text(event, "destination") or _text(event, "source")


def alert_line(event: Event, max_characters: int) -> str:
    """Return the alert in a line, such as `http_410: gone · route orders · hookchain dead-letters show 7`.

    Only the reason is cut. The route and the command are left out if the reason contains them.
    """
    code = _text(event, "code")
    route = _text(event, "route")
    reason = f"{code}: {_text(event, 'reason')}" if code else _text(event, "reason")
    additions = [f"route {route}" if route else "", _text(event, "command")]
    end = "".join([f" · {text}" for text in additions if text not in reason])  # an empty text is in any reason
    return cut(reason, max(0, max_characters - len(end))) + end


def counted(event_type: str, count: int) -> str:
    """Return `12 dead letters` for a type of alerts."""
    singular, plural = _NOUNS.get(event_type.removeprefix(TYPE_PREFIX), ("alert", "alerts"))
    return f"{count:,} {singular if count == 1 else plural}"


def _text(event: Event, name: str) -> str:
    value = jsontext.value_at(event.data, name)
    return value if isinstance(value, str) else ""
