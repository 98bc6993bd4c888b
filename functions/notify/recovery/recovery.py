"""The recovery of missed events: each sweep asks the providers, one source at a time, and publishes what they list.

The record of a source says where the next run continues. Its times are Unix seconds.

    run_at       when the last run began; the next one begins EVERY_SECONDS later, or at the next sweep if requests are
                 left
    complete_at  the events until this time were listed
    not_before   the provider wants no request until then
    handled      by the id of an event that was published or that receive had rejected: when it happened

While requests are left:

    requests     the requests, the next one last
    window       since when and until when the events are listed
    is_partial   a request was skipped
    failed       those of the requests that failed in the last run
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from functions.notify.alerts.alert import Alert
from functions.notify.records import read_record, time_in
from functions.notify.recovery import listing as listings
from functions.notify.recovery.kind import ApiRequest, MissedEvent, RecoverySettings, Window
from functions.notify.waiting.side_tasks import LIMIT_SECONDS
from shared import errors, logs, ports
from shared.event import event_id
from shared.fetch import Fetch
from shared.journal import Journal
from shared.jsontext import Json, JsonObject, list_at, mapping_at, to_json
from shared.store_ports import Kept, Records

if TYPE_CHECKING:
    from functions.notify.alerts.publisher import AlertPublisher

EVERY_SECONDS: Final = 300.0
"""The time from one run for a source to the next."""
CONTINUED_SECONDS: Final = 30.0
"""The next run may begin so soon if requests are left. Less than the minute between two sweeps."""
RUN_SECONDS: Final = LIMIT_SECONDS - 5.0
"""The rest of the time is for the publication and the record. A run that is cut off would be repeated."""
MAX_REQUESTS: Final = 100
"""In a run. GitHub allows 5,000 requests an hour to a token."""
OVERLAP_SECONDS: Final = 3_600.0
"""Each listing begins so long before the end of the last one, because a provider may show an event late."""
MAX_HANDLED: Final = 4_000
"""The ids that a record has room for. An event whose id is left out may be published again, which changes nothing."""
MAX_LISTING_SECONDS: Final = 36 * 3_600.0
"""After this time, a new listing begins and the requests that are left are dropped. GitHub, which keeps deliveries for
twice as long, allows 180,000 requests in it. A new listing begins at the newest event, so a shorter time would never
reach the older ones of a long outage."""
KEPT_SECONDS: Final = 400 * 86_400.0
"""Each run stores its record again. Once it has expired, the next run counts as the first one of the source."""

Fault: TypeAlias = listings.ProviderFault | errors.Temporary


HasEvent: TypeAlias = Callable[[str], Awaitable[bool]]
"""Returns whether an event of this id has arrived. Raises Temporary."""


class Publication(NamedTuple):
    """The events that were recovered, and those that are too large for the bus."""

    recovered: Sequence[MissedEvent]
    too_large: Sequence[MissedEvent] = ()


async def without_arrived(
    missed_events: Sequence[MissedEvent], settings: RecoverySettings, has_event: HasEvent
) -> Sequence[MissedEvent]:
    """Return the events that have not arrived. Only a provider that lists all events lists others. Raises Temporary."""
    if not settings.kind.lists_all:
        return missed_events
    event_ids = [event_id(settings.source, event.id) for event in missed_events]
    have_arrived = await asyncio.gather(*map(has_event, event_ids))
    return [event for event, has_arrived in zip(missed_events, have_arrived, strict=True) if not has_arrived]


async def publish(
    missed_events: Sequence[MissedEvent], settings: RecoverySettings, has_event: HasEvent, bus: ports.Bus
) -> Publication:
    """Publish the events for receive, except those that have arrived or are delivered again. Raises Temporary."""
    recovered: list[MissedEvent] = []
    too_large: list[MissedEvent] = []
    messages: list[ports.BusMessage] = []
    events = await without_arrived(missed_events, settings, has_event)
    for event, message in zip(events, await asyncio.to_thread(_messages, events), strict=True):
        if message:
            messages.append(message)
        if message or event.is_redelivered:
            recovered.append(event)
        else:
            too_large.append(event)
    if messages:
        await bus.publish(ports.RECOVERED, messages)
    return Publication(recovered, too_large)


def _messages(missed_events: Sequence[MissedEvent]) -> list[ports.BusMessage | None]:
    """Return the message of each event; None if it is too large, or if the event has no request."""
    return [event.webhook_request.message() if event.webhook_request else None for event in missed_events]


class Recovery:
    """Recovers events in each sweep.

    `records` opens the store when it is first called; `alerts` is None if nobody gets any.
    """

    def __init__(
        self,
        settings: Sequence[RecoverySettings],
        fetch: Fetch,
        secrets: ports.Secrets,
        bus: ports.Bus,
        journal: Journal | None,
        records: Callable[[], Records],
        clock: ports.Clock,
        alerts: "AlertPublisher | None" = None,
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._secrets = secrets
        self._bus = bus
        self._has_event = journal.has_event if journal else _never_has_event
        self._records = records
        self._clock = clock
        self._alerts = alerts
        self._next_at: dict[str, float] = {}

    async def run(self) -> None:
        """Recover events of each source whose time has come, for RUN_SECONDS in all. Log what fails; raise nothing.

        The source that has waited longest is first, because one answer may take most of the time.
        """
        last_request_at = asyncio.get_running_loop().time() + RUN_SECONDS - listings.ANSWER_SECONDS
        for settings in sorted(self._settings, key=lambda each: self._next_at.get(each.source, 0.0)):
            try:
                await self._recover(settings, last_request_at)
            except errors.HookchainError as error:
                _log("WARNING", "recovery failed", source=settings.source, code=error.code, detail=error.detail)
            except Exception as error:  # a fault in this program must not stop the other sources
                _log("ERROR", "recovery failed", source=settings.source, detail=errors.place_of(error))

    async def _recover(self, settings: RecoverySettings, last_request_at: float) -> None:
        """Recover events of a source if its time has come. `last_request_at` is a time of the event loop."""
        source = settings.source
        now = self._clock.now()
        # A time that is further ahead than any pause is from before the clock was set back.
        is_waiting = now < self._next_at.get(source, 0.0) <= now + listings.MAX_PAUSE_SECONDS
        if is_waiting or asyncio.get_running_loop().time() >= last_request_at:
            return
        self._next_at[source] = now + EVERY_SECONDS  # also if the record cannot be read
        start = await self._records().change(_record_name(source), now, lambda text: _start_run(text, now))
        self._next_at[source] = start.next_at
        if start.record is None:
            return
        listing = await self._listing(settings, start.record, now)
        recovered, faults = await self._publish_all(listing, last_request_at)
        if recovered or listing.rejected_count:
            await self._report(listing, recovered, now)
        if count := listing.unreadable_count:
            detail = f"events in an unknown form: {count}. Deliver them again in the provider's settings"
            _log("ERROR", "recovery failed", source=source, detail=detail)
        details = [fault.detail if isinstance(fault, errors.Temporary) else str(fault) for fault in faults]
        for detail in dict.fromkeys(details):
            _log("WARNING", "recovery failed", source=source, detail=detail)
        if listing.requests and not faults:
            self._next_at[source] = now + CONTINUED_SECONDS
        kept = _record_after_run(start.record, listing, faults, self._clock.now())
        await self._records().change(_record_name(source), now, lambda _: (None, kept))

    async def _listing(self, settings: RecoverySettings, record: JsonObject, now: float) -> listings.Listing:
        """Return the listing that the last run left unfinished, or a new one. Raises HookchainError."""
        token = (await self._secrets.values(settings.secret))[0]
        complete_at = min(time_in(record, "complete_at") or now, now)  # it is later if the clock was set back
        listing = listings.begin_listing(settings, self._fetch, token, complete_at - OVERLAP_SECONDS, now)
        handled = mapping_at(record, "handled")
        listing.handled = {id: at for id, at in handled.items() if isinstance(at, int | float)}
        requests = [ApiRequest.read(each) for each in list_at(record, "requests")]
        since, until = (float(str(each)) for each in list_at(record, "window") or (0, 0))
        if requests and until <= now < until + MAX_LISTING_SECONDS:
            failed = [*map(str, list_at(record, "failed"))]
            is_partial = record.get("is_partial") is True
            listing.resume(Window(settings, since, until), requests, failed, is_partial=is_partial)
        return listing

    async def _publish_all(
        self, listing: listings.Listing, last_request_at: float
    ) -> tuple[list[MissedEvent], list[Fault]]:
        """Publish the listed events until time runs out. Return the recovered events and the faults."""
        recovered: list[MissedEvent] = []
        faults: list[Fault] = []
        for _ in range(MAX_REQUESTS):
            if not listing.has_next or asyncio.get_running_loop().time() >= last_request_at:
                break
            try:
                answer = await listing.read_next(self._clock.now())
                publication = await publish(answer.missed_events, listing.settings, self._has_event, self._bus)
            except listings.ProviderFault as fault:
                faults.append(fault)
                continue
            except errors.Temporary as fault:
                faults.append(fault)
                break
            recovered += [event for event in publication.recovered if not listing.is_repeat(event)]
            listing.finish(answer)
            for event in publication.too_large:
                detail = f"the event {event.id} is too large for the bus; deliver it again in the provider's settings"
                _log("ERROR", "recovery failed", source=listing.settings.source, detail=detail)
        return recovered, faults

    async def _report(self, listing: listings.Listing, recovered: Sequence[MissedEvent], now: float) -> None:
        """Log the result of a run, and publish an alert about recovered events. Raises Temporary."""
        source = listing.settings.source
        if listing.settings.kind.is_only_way:
            _log("INFO", "events read from the provider", source=source, count=len(recovered))
            return
        rejected_count = listing.rejected_count
        detail = f"{rejected_count} that receive had rejected were not recovered" if rejected_count else None
        _log("WARNING", "recovered", source=source, recovered=len(recovered), detail=detail)
        if self._alerts and recovered:
            events = "1 event was" if len(recovered) == 1 else f"{len(recovered):,} events were"
            alert = Alert(
                kind="events_recovered",
                key=f"{source}:{now!r}",
                at=now,
                about=source,
                reason=f"{events} recovered that {listing.settings.kind.title} could not deliver",
                command=f"hookchain events list --source {source}{self._alerts.where}",
                details={"recovered": len(recovered)},
            )
            await self._alerts.publish(alert, self._alerts.settings.to)


async def _never_has_event(_: str) -> bool:
    """Stand for a missing journal. An event that has arrived is then published, but not delivered again."""
    return False


def _record_name(source: str) -> str:
    return f"recover:{source}"


class _RunStart(NamedTuple):
    """The record of a run that begins, None if it must not begin, and when the next run may begin (Unix seconds)."""

    record: JsonObject | None
    next_at: float


def _start_run(text: str | None, now: float) -> tuple[_RunStart, Kept | None]:
    """Start a run if its time has come. Return the record to store until the run ends, too; None changes nothing.

    The first run only stores its time, because `hookchain recover` is for the events that were missed before it.
    """
    record = read_record(text)
    next_at = now + EVERY_SECONDS
    if not record:
        return _RunStart(None, next_at), Kept(to_json({"run_at": now, "complete_at": now}), now + KEPT_SECONDS)
    wait_seconds = CONTINUED_SECONDS if record.get("requests") else EVERY_SECONDS
    run_at = time_in(record, "run_at") or 0.0
    not_before = time_in(record, "not_before") or 0.0
    due_at = max(run_at + wait_seconds, not_before)
    if run_at <= now < due_at:
        return _RunStart(None, due_at), None
    started: JsonObject = {**record, "run_at": now}
    return _RunStart(started, next_at), Kept(to_json(started), now + KEPT_SECONDS)


def _record_after_run(record: JsonObject, listing: listings.Listing, faults: Sequence[Fault], now: float) -> Kept:
    """Return the record that the run leaves. Ids that no later listing reaches are dropped once no request is left."""
    is_complete = not listing.requests and not listing.is_partial
    complete_at = listing.window.until if is_complete else time_in(record, "complete_at")
    newest = sorted(listing.handled.items(), key=lambda id_and_time: id_and_time[1])[-MAX_HANDLED:]
    next_since = (complete_at or now) - OVERLAP_SECONDS
    handled: JsonObject = {id: at for id, at in newest if listing.requests or at >= next_since}
    after: JsonObject = {"run_at": record.get("run_at"), "complete_at": complete_at, "handled": handled}
    if listing.requests:
        requests: list[Json] = [each.stored() for each in listing.requests]
        window: Json = [listing.window.since, listing.window.until]
        after |= {"requests": requests, "window": window, "is_partial": listing.is_partial}
        after["failed"] = [*sorted(listing.failures.in_this_run)]
    pauses = [each.pause_seconds for each in faults if isinstance(each, listings.ProviderFault)]
    if any(pauses):
        after["not_before"] = now + max(pauses)
    return Kept(to_json(after), now + KEPT_SECONDS)


def _log(severity: str, message: str, **fields: Json) -> None:
    logs.log(severity, message, function="notify", **fields)
