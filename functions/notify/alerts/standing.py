"""Destinations that are paused or disabled, and recover: what is to be told of them, decided by one record. Pure.

The record has an entry for each destination that is, or lately was, paused or disabled, and the alerts that are decided
and not yet known to be published. A change of the record decides about an alert, and so decides it once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from functions.notify.alerts.alert import Alert, Kind
from functions.notify.bounded_texts import cut
from shared.event import oneline
from shared.jsontext import Json, JsonObject, texts_json
from shared.ledger_rules import PAUSED_BY_OPERATOR
from shared.ports import Kept
from shared.seen import read_seen, time_in
from shared.times import rfc3339

RECENT_SECONDS: Final = 180.0
"""A pause that ended longer ago, and that no sweep saw, is not told of."""
FORGOTTEN_SECONDS: Final = 3_600.0
KEPT_SECONDS: Final = 400 * 86_400.0
MAX_CHANGES: Final = 100
"""Alerts that one change decides; the others follow with the next sweep."""
MAX_REASON_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Standing:
    """A destination as the ledger has it.

    reason        why its newest attempt failed, where it is paused
    delivered_at  when it last took a delivery, where that is known
    """

    disabled_reason: str | None = None
    paused_until: float | None = None
    reason: str = ""
    delivered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Untold:
    """An alert about a destination that is to be told."""

    kind: Kind
    name: str
    at: float
    reason: str
    since: float


def open_pauses(text: str | None) -> dict[str, float]:
    """Return until when each destination was paused that is not known to have recovered."""
    return {name: _until(entry) for name, entry in _entries(read_seen(text)).items() if entry.get("is_paused") is True}


def look(text: str | None, standings: Mapping[str, Standing], now: float) -> tuple[list[Untold], Kept | None]:
    """Return what is to be told, and the record's new text, if it is to change."""
    record = read_seen(text)
    entries, untold = _entries(record), _untold(record)
    changed = dict(entries)
    for name, standing in standings.items():
        if len(untold) >= MAX_CHANGES:
            break
        entry, news = _decided(name, entries.get(name, {}), standing, now)
        untold += news
        if entry:
            changed[name] = entry
        else:
            changed.pop(name, None)
    if changed == entries and len(untold) == len(_untold(record)):
        return untold, None
    return untold, _kept(changed, untold, now)


def told(text: str | None, alerts: Sequence[Untold], now: float) -> tuple[None, Kept | None]:
    """Return the record's new text once these are told."""
    record = read_seen(text)
    untold = _untold(record)
    left = [each for each in untold if each not in alerts]
    return None, None if len(left) == len(untold) else _kept(_entries(record), left, now)


def standing_alert(untold: Untold, where: str) -> Alert:
    name, reason = untold.name, untold.reason
    resume = f"hookchain resume {name}{where}"
    if untold.kind == "destination_disabled":
        command, text = resume, f"what is owed to it is held: {reason}"
    else:
        command = f"hookchain status{where}"
        text = f"its deliveries wait: {reason}" if untold.kind == "destination_paused" else reason
    key = f"{name}:{untold.since!r}:{untold.at!r}"
    return Alert(untold.kind, key, untold.at, name, text, command, {"since": rfc3339(untold.since)})


def _decided(name: str, entry: JsonObject, standing: Standing, now: float) -> tuple[JsonObject, list[Untold]]:
    news: list[Untold] = []
    entry = dict(entry)
    why = standing.disabled_reason
    mark = hashlib.sha256(why.encode("utf-8", "replace")).hexdigest()[:16] if why is not None else None
    if mark != entry.get("disabled"):
        if why is not None and why != PAUSED_BY_OPERATOR:
            news.append(Untold("destination_disabled", name, now, _short(why), now))
        entry["disabled"] = mark
    until, since = standing.paused_until, time_in(entry, "since") or now
    if until is not None and until > max(_until(entry) + 1.0, now - RECENT_SECONDS):
        if entry.get("is_paused") is not True:
            reason = f"it is paused after failures: {standing.reason}" if standing.reason else "it is paused"
            news.append(Untold("destination_paused", name, now, _short(reason), now))
            entry.update(is_paused=True, since=now)
        entry["until"] = until
    elif entry.get("is_paused") is True and (ended := _ended(entry, standing, now)):
        news.append(Untold("destination_recovered", name, now, f"{ended}, paused since {_minute(since)}", since))
        entry["is_paused"] = False
    is_over = entry.get("is_paused") is not True and _until(entry) < now - FORGOTTEN_SECONDS
    return ({} if is_over and entry.get("disabled") is None else entry), news


def _ended(entry: JsonObject, standing: Standing, now: float) -> str:
    """Return how the pause ended; empty where it did not, as far as is known."""
    if standing.paused_until is None:
        return "it was resumed"
    is_delivered = standing.delivered_at is not None and standing.delivered_at >= _until(entry)
    return "it takes deliveries again" if is_delivered and _until(entry) <= now else ""


def _until(entry: JsonObject) -> float:
    return time_in(entry, "until") or 0.0


def _minute(at: float) -> str:
    return f"{rfc3339(at)[:16].replace('T', ' ')} UTC"


def _short(reason: str) -> str:
    return cut(oneline(reason), MAX_REASON_CHARACTERS)


def _entries(record: JsonObject) -> dict[str, JsonObject]:
    found = record.get("destinations")
    return {name: each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


_KINDS: Final[Mapping[str, Kind]] = {
    "destination_paused": "destination_paused",
    "destination_recovered": "destination_recovered",
    "destination_disabled": "destination_disabled",
}


def _untold(record: JsonObject) -> list[Untold]:
    found = record.get("untold")
    return [
        Untold(kind, str(each.get("name")), time_in(each, "at") or 0.0, str(each.get("reason")), since)
        for each in (found if isinstance(found, list) else [])
        if isinstance(each, dict)
        and (kind := _KINDS.get(str(each.get("kind")))) is not None
        and (since := time_in(each, "since")) is not None
    ]


def _kept(entries: Mapping[str, JsonObject], untold: Sequence[Untold], now: float) -> Kept:
    listed: list[Json] = [
        {"kind": each.kind, "name": each.name, "at": each.at, "reason": each.reason, "since": each.since}
        for each in untold
    ]
    return Kept(texts_json({"destinations": dict(entries), "untold": listed}).decode(), now + KEPT_SECONDS)
