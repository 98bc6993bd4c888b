"""Sources that have gone quiet or are back: the alerts about each, decided by its record alone. Pure.

    seen_at        when its last event was received; transform writes it
    watched_from   since when it is watched without a break
    watched_at     when a sweep last noted that it watches
    quiet          the silence that an alert was decided for: `since`, and the `seen_at` of that time
    pending        an alert that is decided and not yet known to be published

A source that was not watched for hours, because its silence was not configured or nothing ran, is counted from its
first watch after that. An alert is decided by a change of the record, and therefore only once. Any worker that finds it
pending publishes it, always with the same id. Clocks that differ only make a silence shorter or longer by as much.
"""

from typing import Final, NamedTuple

from functions.notify.alerts.alert import Alert
from functions.notify.alerts.publisher import Silence
from functions.notify.records import read_record, time_in
from shared import seen_record, store_ports, times
from shared.jsontext import JsonObject, texts_json

NOTED_SECONDS: Final = 3_600.0
"""How often a sweep notes in the record that it watches."""
UNWATCHED_SECONDS: Final = 3 * NOTED_SECONDS
"""A source with no such note for this time was not watched."""
WATCHED_FROM: Final = "watched_from"
WATCHED_AT: Final = "watched_at"
QUIET: Final = "quiet"
PENDING: Final = "pending"
SINCE: Final = "since"


class Pending(NamedTuple):
    """An alert that is decided.

    is_back  the source sends again; otherwise it has gone quiet
    since    when its last event before the silence was received, or when it was first watched
    at       when it came back, or when its silence was noticed
    """

    is_back: bool
    since: float
    at: float


def decide(text: str | None, settings: Silence, now: float) -> tuple[Pending | None, store_ports.Kept | None]:
    """Return the alert to publish, and the record to store; None for either if there is nothing to publish or store.

    An alert that is decided and perhaps not published goes first: nothing else is decided before `mark_published`.
    """
    record = read_record(text)
    unpublished = _pending(record)
    if unpublished is not None:
        return unpublished, None
    watched = _with_watch(record, now)
    decided = _with_decision(watched, settings, now)
    return _pending(decided), None if decided == record else _record_text(decided, now)


def mark_published(text: str | None, pending: Pending, now: float) -> tuple[None, store_ports.Kept | None]:
    """Return the record to store now that the alert is published; None if another worker has stored it.

    The first value is always None: a function that changes a record returns an answer for its caller, too.
    """
    record = read_record(text)
    if _pending(record) != pending:
        return None, None
    return None, _record_text({name: value for name, value in record.items() if name != PENDING}, now)


def silence_alert(source: str, pending: Pending, settings: Silence, where: str) -> Alert:
    quiet_seconds = pending.at - pending.since
    if pending.is_back:
        reason = f"it sends again, after {_duration(quiet_seconds)} without an event; how many it missed is unknown"
        details: JsonObject = {"quiet_since": times.rfc3339(pending.since), "quiet_seconds": round(quiet_seconds)}
    else:
        reason = f"no event was accepted since {times.rfc3339(pending.since)[:16].replace('T', ' ')} UTC"
        reason += f", for longer than {_duration(settings.after_seconds)}"
        details = {"quiet_since": times.rfc3339(pending.since)}
    return Alert(
        kind="source_back" if pending.is_back else "source_quiet",
        key=f"{source}:{pending.since!r}:{pending.at!r}",
        at=pending.at,
        about=source,
        reason=reason,
        command=f"hookchain events list --source {source}{where}",
        details=details,
    )


def _with_watch(record: JsonObject, now: float) -> JsonObject:
    """Return the record in which this watch is noted. After a break in watching, the silence is counted from now."""
    noted = time_in(record, WATCHED_AT)
    if noted is None or now - noted > UNWATCHED_SECONDS or time_in(record, WATCHED_FROM) is None:
        kept = {name: value for name, value in record.items() if name != QUIET}
        return {**kept, WATCHED_FROM: now, WATCHED_AT: now}
    return {**record, WATCHED_AT: now} if now - noted > NOTED_SECONDS else record


def _with_decision(record: JsonObject, settings: Silence, now: float) -> JsonObject:
    """Return the record with a pending alert, if a source that was quiet is back, or if one has gone quiet."""
    seen_at = time_in(record, seen_record.SEEN_AT)
    quiet = record.get(QUIET)
    if isinstance(quiet, dict):
        since = time_in(quiet, SINCE) or 0.0
        seen_before = time_in(quiet, seen_record.SEEN_AT)
        if seen_at is None or (seen_before is not None and seen_at <= seen_before):
            return record
        kept = {name: value for name, value in record.items() if name != QUIET}
        return {**kept, PENDING: Pending(is_back=True, since=since, at=max(since, seen_at))._asdict()}
    since = max(seen_at or 0.0, time_in(record, WATCHED_FROM) or 0.0)
    if now - since <= settings.after_seconds + settings.lag_seconds:
        return record
    return {
        **record,
        QUIET: {SINCE: since, seen_record.SEEN_AT: seen_at},
        PENDING: Pending(is_back=False, since=since, at=now)._asdict(),
    }


def _pending(record: JsonObject) -> Pending | None:
    written = record.get(PENDING)
    if not isinstance(written, dict):
        return None
    return Pending(written.get("is_back") is True, time_in(written, SINCE) or 0.0, time_in(written, "at") or 0.0)


def _record_text(record: JsonObject, now: float) -> store_ports.Kept:
    return store_ports.Kept(texts_json(record).decode(), now + seen_record.KEPT_SECONDS)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
