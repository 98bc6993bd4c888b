"""Destinations that are paused or disabled, and recover: the alerts about them, decided by one record. Pure.

The record has an entry for each destination that is, or lately was, paused or disabled, and the alerts that are decided
and not yet known to be published. A change of the record decides about an alert, and so decides it once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from functions.notify.alerts.alert import Alert, Kind, read_record, time_in
from functions.notify.bounded_texts import cut
from shared import event, ledger, store_ports, times
from shared.jsontext import Json, JsonObject, mappings_at, objects_at, texts_json

RECENT_SECONDS: Final = 180.0
"""A pause that ended longer ago, and that no sweep saw, makes no alert."""
FORGOTTEN_SECONDS: Final = 3_600.0
KEPT_SECONDS: Final = 400 * 86_400.0
MAX_CHANGES: Final = 100
"""Alerts that one change decides; the others follow with the next sweep."""
MAX_REASON_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Health:
    """A destination as the ledger has it.

    reason        why it is paused; empty where that is not known
    delivered_at  when it last took a delivery, where that is known
    """

    disabled_reason: str | None = None
    paused_until: float | None = None
    reason: str = ""
    delivered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An alert about a destination that is to be published."""

    kind: Kind
    name: str
    at: float
    reason: str
    since: float


def open_pauses(text: str | None) -> dict[str, float]:
    """Return until when each destination was paused that is not known to have recovered."""
    return {
        name: _until(entry) for name, entry in _entries(read_record(text)).items() if entry.get("is_paused") is True
    }


def decide(
    text: str | None, healths: Mapping[str, Health], now: float
) -> tuple[list[Pending], store_ports.Kept | None]:
    """Return the alerts that are to be published, and the record's new text, if it is to change."""
    record = read_record(text)
    entries, pending = _entries(record), _pending(record)
    changed = dict(entries)
    for name, health in healths.items():
        if len(pending) >= MAX_CHANGES:
            break
        entry, alerts = _decide_entry(name, entries.get(name, {}), health, now)
        pending += alerts
        if entry:
            changed[name] = entry
        else:
            changed.pop(name, None)
    if changed == entries and len(pending) == len(_pending(record)):
        return pending, None
    return pending, _record_text(changed, pending, now)


def mark_published(text: str | None, alerts: Sequence[Pending], now: float) -> tuple[None, store_ports.Kept | None]:
    """Return the record's new text once these are published."""
    record = read_record(text)
    pending = _pending(record)
    left = [each for each in pending if each not in alerts]
    return None, None if len(left) == len(pending) else _record_text(_entries(record), left, now)


def health_alert(pending: Pending, where: str) -> Alert:
    name, reason = pending.name, pending.reason
    resume = f"hookchain resume {name}{where}"
    if pending.kind == "destination_disabled":
        command, text = resume, f"its deliveries are held: {reason}"
    else:
        command = f"hookchain status{where}"
        text = f"its deliveries wait: {reason}" if pending.kind == "destination_paused" else reason
    key = f"{name}:{pending.since!r}:{pending.at!r}"
    return Alert(pending.kind, key, pending.at, name, text, command, {"since": times.rfc3339(pending.since)})


def _decide_entry(name: str, entry: JsonObject, health: Health, now: float) -> tuple[JsonObject, list[Pending]]:
    """Return the destination's new entry, empty where it can be forgotten, and the alerts that the change decides."""
    alerts: list[Pending] = []
    entry = dict(entry)
    disabled_reason = health.disabled_reason
    mark: str | None = None
    if disabled_reason is not None:
        mark = hashlib.sha256(disabled_reason.encode("utf-8", "replace")).hexdigest()[:16]
    if mark != entry.get("disabled"):
        if disabled_reason is not None and disabled_reason != ledger.PAUSED_BY_OPERATOR:
            alerts.append(Pending("destination_disabled", name, now, _short(disabled_reason), now))
        entry["disabled"] = mark
    since = time_in(entry, "since") or now
    until = health.paused_until
    if until is not None and health.reason == ledger.PAUSED_BY_OPERATOR:  # an operator knows of it
        until = _until(entry)
    if until is not None and until > max(_until(entry) + 1.0, now - RECENT_SECONDS):
        if entry.get("is_paused") is not True:
            reason = _short(health.reason or "its breaker is open")
            alerts.append(Pending("destination_paused", name, now, reason, now))
            entry.update(is_paused=True, since=now)
        entry["until"] = until
    elif entry.get("is_paused") is True and _has_recovered(entry, health, now):
        reason = f"it takes deliveries again, paused since {_minute(since)}"
        alerts.append(Pending("destination_recovered", name, now, reason, since))
        entry["is_paused"] = False
    is_over = entry.get("is_paused") is not True and _until(entry) < now - FORGOTTEN_SECONDS
    return ({} if is_over and entry.get("disabled") is None else entry), alerts


def _has_recovered(entry: JsonObject, health: Health, now: float) -> bool:
    """Return whether the destination has taken a delivery since its pause.

    An operator can end the pause before its time. That alone is no recovery: the destination may still fail.
    """
    if health.delivered_at is None:
        return False
    if health.paused_until is None:
        return health.delivered_at >= (time_in(entry, "since") or now)
    return _until(entry) <= now and health.delivered_at >= _until(entry)


def _until(entry: JsonObject) -> float:
    return time_in(entry, "until") or 0.0


def _minute(at: float) -> str:
    return f"{times.rfc3339(at)[:16].replace('T', ' ')} UTC"


def _short(reason: str) -> str:
    return cut(event.oneline(reason), MAX_REASON_CHARACTERS)


def _entries(record: JsonObject) -> Mapping[str, JsonObject]:
    return mappings_at(record, "destinations")


def _pending(record: JsonObject) -> list[Pending]:
    """Return the alerts that are to be published. A later version may have written more about each."""
    names = [each.name for each in fields(Pending)]
    return [
        Pending(**{name: each[name] for name in names})  # type: ignore[arg-type] # as `_record_text` writes it
        for each in objects_at(record, "pending")
    ]


def _record_text(entries: Mapping[str, JsonObject], pending: Sequence[Pending], now: float) -> store_ports.Kept:
    listed: list[Json] = [asdict(each) for each in pending]
    return store_ports.Kept(texts_json({"destinations": dict(entries), "pending": listed}).decode(), now + KEPT_SECONDS)
