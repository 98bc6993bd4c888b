"""When a delivery would go out, and why not now: in a digest, after quiet hours, when its destination is resumed."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from functions.notify.digests.arrival import can_be_gathered, wait_in_group
from functions.notify.digests.settings import (
    MAX_MESSAGE_BYTES,
    Coalesce,
    GatherSettings,
    QuietHours,
    gathered_until,
    key_of,
    quiet_end,
    zone_of,
)
from functions.notify.read_destinations import read_destinations
from functions.notify.recipients.people import Person
from functions.notify.registry import Configured
from functions.notify.waiting.schedule import expires_at
from shared.delivery import Delivery, delivery_message
from shared.event import event_json
from shared.jsontext import JsonObject
from shared.ledger import DestinationState
from shared.times import duration_text, rfc3339

MAX_KEY_CHARACTERS: Final = 40


def timing_text(
    delivery: Delivery,
    notify: JsonObject,
    person: Person | None,
    now: float,
    states: Mapping[str, DestinationState],
) -> str:
    """Return when the delivery would go out and why not now; empty where it would go out at once.

    `notify` is its slice. `states` are the destinations' states, as far as they are known.
    """
    configured = read_destinations(notify).get(delivery.destination)
    if configured is None:
        return ""
    timezone = person.timezone if person else None
    parts = [
        *_gathering(configured, delivery, person, now),
        *_state(configured, states.get(configured.name, DestinationState()), now, timezone),
        *_rate(configured),
    ]
    return "; ".join(parts)


def _gathering(configured: Configured, delivery: Delivery, person: Person | None, now: float) -> Iterator[str]:
    settings = configured.gather
    if settings is None:
        return
    timezone = person.timezone if person else None
    until = gathered_until(settings, now, timezone)
    if until is None:
        return
    hours = settings.quiet_hours
    night_end = quiet_end(hours, now, timezone) if hours else None
    when, is_expired = "now,", False
    if hours is not None and night_end is not None:
        expires_after = configured.expires_after_seconds
        is_expired = expires_after is not None and night_end >= expires_at(delivery.event, expires_after)
        end = _moment(night_end, now, hours.timezone or timezone)
        when = f"not now: it waits until the quiet hours, {_hours(hours)}, end at {end}, and goes out"
    message = delivery_message(delivery, event_json(delivery.event), rfc3339(now), {}).data
    if is_expired:
        yield "never: it expires before the quiet hours end"
    elif not can_be_gathered(delivery, message):
        yield f"{when} by itself: with over {MAX_MESSAGE_BYTES // 1_000} KB it waits for no others"
    elif wait_in_group(configured, delivery, now, person) is None:
        coalesce = settings.coalesce
        if coalesce is not None and key_of(coalesce.by, delivery.event) is None:
            yield f"{when} by itself: it has no key at `{coalesce.by}`"
        else:
            yield f"{when} by itself: it would expire before it is gathered"
    else:
        yield f"not now: {_waiting(settings, delivery, person, now, until)}"


def _waiting(settings: GatherSettings, delivery: Delivery, person: Person | None, now: float, until: float) -> str:
    hours, timezone = settings.quiet_hours, person.timezone if person else None
    others = _others(settings, delivery, person)
    if hours is not None and _end_of_quiet(settings, hours, now, timezone) == until:
        zone = hours.timezone or timezone
        return f"it waits{others} until the quiet hours, {_hours(hours)}, end at {_moment(until, now, zone)}"
    if settings.coalesce is not None:
        coalesce = settings.coalesce
        wait, longest = duration_text(coalesce.wait_seconds), duration_text(coalesce.max_wait_seconds)
        return (
            f"it waits{others} until none came for {wait}, for {longest} at most; "
            f"if none comes, until {_moment(until, now, timezone)}"
        )
    return f"it waits{others} for the digest at {_moment(until, now, (hours and hours.timezone) or timezone)}"


def _end_of_quiet(settings: GatherSettings, hours: QuietHours, now: float, timezone: str | None) -> float | None:
    """Return the end of the quiet hours that apply when it would go out; None if none do."""
    without = gathered_until(settings._replace(quiet_hours=None), now)
    return quiet_end(hours, now if without is None else without, timezone)


def _others(settings: GatherSettings, delivery: Delivery, person: Person | None) -> str:
    key = key_of(settings.by, delivery.event)
    names = [f"for {person.name}"] if person else []
    if key is not None:
        names.append(f"with the key {key[:MAX_KEY_CHARACTERS]!r}")
    kind = "the further events" if isinstance(settings.coalesce, Coalesce) else "the other events"
    return f", with {kind} {' and '.join(names)}," if names else f", with {kind},"


def _state(configured: Configured, state: DestinationState, now: float, timezone: str | None) -> Iterator[str]:
    if state.disabled_reason is not None:
        yield f"held here until `hookchain resume {configured.name}`: {state.disabled_reason}"
    elif state.paused_until is not None and state.paused_until > now:
        yield f"the destination is paused here until {_moment(state.paused_until, now, timezone)}"


def _rate(configured: Configured) -> Iterator[str]:
    if configured.rate is None:
        return
    count, seconds = configured.rate
    is_gathered = configured.gather is not None and configured.gather.is_rated
    over = "waits for a digest" if is_gathered else "waits for its turn"
    yield f"at most {count:,} in {duration_text(seconds)} go out; what is over that {over}"


def _hours(hours: QuietHours) -> str:
    begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.begin, hours.end))
    return f"{begin} to {end}"


def _moment(at: float, now: float, timezone: str | None) -> str:
    """Return `07:00 on 27 Nov (Europe/Berlin)`, without the day where it is today there."""
    zone = zone_of(timezone)
    wall, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone).date()
    clock = wall.strftime("%H:%M:%S").removesuffix(":00")
    day = "" if wall.date() == today else f" on {wall.day} {wall:%b}"
    return f"{clock}{day} ({zone.key})"
