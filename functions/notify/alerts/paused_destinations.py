"""Destinations that are paused or disabled, and recover: the alerts about them, decided by one record. Pure.

The record has an entry for each destination that is, or lately was, paused or disabled, and the alerts that are decided
and not yet known to be published. A change of the record decides about an alert, and so decides it once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from functions.notify.alerts.alert import Alert, Kind
from functions.notify.bounded_texts import cut
from functions.notify.records import read_record, time_in
from shared import event, ledger, store_ports, times
from shared.jsontext import Json, JsonObject, mappings_at, objects_at, texts_json

RECENT_SECONDS: Final = 180.0
"""A pause that ended longer ago, and that no sweep saw, makes no alert."""
SAME_PAUSE_SECONDS: Final = 1.0
"""An end of a pause that is later by no more than this is no new pause."""
FORGOTTEN_SECONDS: Final = 3_600.0
"""How long after its last pause a destination that works stays in the record."""
KEPT_SECONDS: Final = 400 * 86_400.0
"""How long the store keeps the record after its last change."""
MAX_PENDING: Final = 100
"""While so many alerts are pending, no further destination is looked at; the others follow with the next sweep."""
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A destination as the record has it.

    disabled   a hash of the reason for which it is disabled, by which another reason is noticed; None if it is not
    is_paused  an alert said that it is paused, and none said since that it works again
    since      when this pause was noticed
    until      the end of its last pause; 0 if it had none
    """

    disabled: str | None = None
    is_paused: bool = False
    since: float | None = None
    until: float = 0.0


def open_pauses(text: str | None) -> set[str]:
    """Return the destinations that were paused and are not known to have recovered."""
    return {name for name, entry in _entries(read_record(text)).items() if entry.is_paused}


def decide(
    text: str | None, healths: Mapping[str, Health], now: float
) -> tuple[list[Pending], store_ports.Kept | None]:
    """Return the alerts that are to be published, and the record's new text, if it is to change."""
    record = read_record(text)
    entries, pending_before = _entries(record), _pending(record)
    changed, pending = dict(entries), list(pending_before)
    for name, health in healths.items():
        if len(pending) >= MAX_PENDING:
            break
        after_disabling, disabled_alerts = _note_disabling(name, entries.get(name, _Entry()), health, now)
        changed[name], pause_alerts = _note_pause(name, after_disabling, health, now)
        pending += [*disabled_alerts, *pause_alerts]
        if _can_be_forgotten(changed[name], now):
            del changed[name]
    has_changed = changed != entries or pending != pending_before
    return pending, _record_text(changed, pending, now) if has_changed else None


def mark_published(text: str | None, alerts: Sequence[Pending], now: float) -> tuple[None, store_ports.Kept | None]:
    """Return the record's new text once these are published. The first value is the answer to the caller of a change of
    a record, who needs none."""
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


def _note_disabling(name: str, entry: _Entry, health: Health, now: float) -> tuple[_Entry, list[Pending]]:
    """Return the entry with the reason for which the destination is disabled, and the alert if this reason is new.

    An operator who disabled it needs no alert.
    """
    reason = health.disabled_reason
    reason_hash = None if reason is None else hashlib.sha256(reason.encode("utf-8", "replace")).hexdigest()[:16]
    if reason_hash == entry.disabled:
        return entry, []
    changed = replace(entry, disabled=reason_hash)
    if reason is None or reason == ledger.PAUSED_BY_OPERATOR:
        return changed, []
    return changed, [Pending("destination_disabled", name, now, _short(reason), now)]


def _note_pause(name: str, entry: _Entry, health: Health, now: float) -> tuple[_Entry, list[Pending]]:
    """Return the entry with the end of the last pause, and an alert if a pause began, or if the destination recovered.

    A pause that follows another before the destination has recovered makes no further alert, nor does an operator's.
    """
    until = health.paused_until
    last_known_end = max(entry.until + SAME_PAUSE_SECONDS, now - RECENT_SECONDS)
    if until is not None and until > last_known_end and health.reason != ledger.PAUSED_BY_OPERATOR:
        if entry.is_paused:
            return replace(entry, until=until), []
        reason = _short(health.reason or "its breaker is open")
        paused = replace(entry, is_paused=True, since=now, until=until)
        return paused, [Pending("destination_paused", name, now, reason, now)]
    since = entry.since or now
    if entry.is_paused and _has_recovered(entry, health, since, now):
        reason = f"it takes deliveries again, paused since {_minute(since)}"
        return replace(entry, is_paused=False), [Pending("destination_recovered", name, now, reason, since)]
    return entry, []


def _has_recovered(entry: _Entry, health: Health, since: float, now: float) -> bool:
    """Return whether the destination has taken a delivery since its pause.

    An operator can end the pause before its time. That alone is no recovery: the destination may still fail.
    """
    if health.delivered_at is None:
        return False
    if health.paused_until is None:
        return health.delivered_at >= since
    return entry.until <= now and health.delivered_at >= entry.until


def _can_be_forgotten(entry: _Entry, now: float) -> bool:
    return entry.disabled is None and not entry.is_paused and entry.until < now - FORGOTTEN_SECONDS


def _minute(at: float) -> str:
    return f"{times.rfc3339(at)[:16].replace('T', ' ')} UTC"


def _short(reason: str) -> str:
    return cut(event.oneline(reason), MAX_REASON_CHARACTERS)


def _entries(record: JsonObject) -> dict[str, _Entry]:
    return {name: _entry(written) for name, written in mappings_at(record, "destinations").items()}


def _entry(written: JsonObject) -> _Entry:
    disabled = written.get("disabled")
    return _Entry(
        disabled=disabled if isinstance(disabled, str) else None,
        is_paused=written.get("is_paused") is True,
        since=time_in(written, "since"),
        until=time_in(written, "until") or 0.0,
    )


def _pending(record: JsonObject) -> list[Pending]:
    """Return the alerts that are to be published. A later version may have written more about each."""
    names = [each.name for each in fields(Pending)]
    return [
        Pending(**{name: each[name] for name in names})  # type: ignore[arg-type] # as `_record_text` writes it
        for each in objects_at(record, "pending")
    ]


def _record_text(entries: Mapping[str, _Entry], pending: Sequence[Pending], now: float) -> store_ports.Kept:
    destinations: JsonObject = {name: asdict(entry) for name, entry in entries.items()}
    listed: list[Json] = [asdict(each) for each in pending]
    return store_ports.Kept(texts_json({"destinations": destinations, "pending": listed}).decode(), now + KEPT_SECONDS)
