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
    api          the base URL of the API that the requests are for
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from functions.notify.alerts.alert import Alert, read_record, time_in
from functions.notify.recovery.kind import (
    UNKNOWN_FORM,
    ApiRequest,
    ListItem,
    MissedEvent,
    RecoveryKind,
    UnknownHook,
    UnreadableEvent,
    Window,
    types_pattern,
)
from functions.notify.recovery.kinds import KINDS
from functions.notify.waiting.side_tasks import LIMIT_SECONDS
from shared import errors, logs, ports
from shared.credential_masks import masked
from shared.event import event_id
from shared.fetch import Fetch, Fetched, Outgoing, reset_seconds, retry_after_seconds
from shared.journal import Journal
from shared.jsontext import Json, JsonObject, list_at, mapping_at, mappings_at, texts_json, to_json
from shared.store_ports import Kept, Records

if TYPE_CHECKING:
    from functions.notify.alerts.publisher import AlertPublisher

EVERY_SECONDS: Final = 300.0
CONTINUED_SECONDS: Final = 30.0
"""Less than the minute from one sweep to the next."""
RUN_SECONDS: Final = LIMIT_SECONDS - 5.0
"""The rest of the time is for the publication and the record. A run that is cut off would be repeated."""
ANSWER_SECONDS: Final = 6.0
MAX_REQUESTS: Final = 100
"""In a run. GitHub allows 5,000 requests an hour to a token."""
OVERLAP_SECONDS: Final = 3_600.0
"""Each listing begins so long before the end of the last one, because a provider may show an event late."""
SETTLED_SECONDS: Final = 120.0
"""A younger event may still be on its way. A provider that lists all events does not tell it from one that failed."""
MAX_LIST_BYTES: Final = 32 * 1024 * 1024
MAX_EVENT_BYTES: Final = 12 * 1024 * 1024
"""A source accepts bodies of 10 MiB at most."""
MAX_HANDLED: Final = 4_000
"""The ids that a record has room for. An event whose id is left out may be published again, which changes nothing."""
MAX_PAUSE_SECONDS: Final = 3_600.0
MAX_LISTING_SECONDS: Final = 6 * 3_600.0
"""After this time, a new listing begins and the requests that are left are dropped."""
MAX_FAULTS: Final = 3
"""In a row. Then the provider is not asked again in this run."""
KEPT_SECONDS: Final = 400 * 86_400.0


class RecoverySettings(NamedTuple):
    """A source's `recover`, as the compiler wrote it.

    secret         the name of the provider's token
    places         where the source's webhooks are, as paths of the API
    public_url     the URL of the source; empty where it is not known
    types          the event types of its routes; empty for all
    api            the base URL of the API; empty for the kind's
    allow_private  the API may have an address that is not public
    redelivers     the provider is asked to deliver the events again
    """

    source: str
    kind: RecoveryKind
    secret: str
    places: tuple[str, ...] = ()
    public_url: str = ""
    types: tuple[str, ...] = ()
    api: str = ""
    allow_private: bool = False
    redelivers: bool = False

    @property
    def api_url(self) -> str:
        return (self.api or self.kind.api).rstrip("/")

    @property
    def rights(self) -> str:
        return self.kind.write_rights if self.redelivers else self.kind.rights

    def window(self, since: float, until: float) -> Window:
        types = types_pattern(self.types) if self.types else None
        return Window(self.source, since, until, self.places, self.public_url, types, self.redelivers)


def read_recovery_settings(notify: JsonObject) -> tuple[RecoverySettings, ...]:
    """Return the settings of each source in notify's slice that has `recover`."""
    return tuple(
        RecoverySettings(
            source,
            KINDS[str(each["provider"])],
            str(each["secret"]),
            tuple(map(str, list_at(each, "places"))),
            str(each.get("url", "")),
            tuple(map(str, list_at(each, "types"))),
            str(each.get("api", "")),
            each.get("allow_private") is True,
            each.get("redeliver") is True,
        )
        for source, each in mappings_at(notify, "recover").items()
    )


class ProviderFault(Exception):
    """The provider did not list its events.

    pause_seconds  how long the provider wants no further request; 0 if it says nothing about it
    is_of_place    the request cannot succeed until somebody corrects its place
    """

    def __init__(self, text: str, pause_seconds: float = 0.0, *, is_of_place: bool = False) -> None:
        super().__init__(text)
        self.pause_seconds = pause_seconds
        self.is_of_place = is_of_place


Fault: TypeAlias = ProviderFault | errors.Temporary


class ReadAnswer(NamedTuple):
    """The missed events of an answer, and the requests that follow from it."""

    missed_events: Sequence[MissedEvent]
    further_requests: Sequence[ApiRequest]


@dataclass(slots=True)
class Listing:
    """The events that a provider lists in a window, read request by request.

    requests           the requests that are left, the next one last. Those that failed are first, so the others go on
    handled            by the id of an event that is passed over: when it happened
    includes_rejected  events that receive had rejected are missed events too
    reads_each_event   further requests read the webhook request of each event, where the list does not have it
    rejected_count     how many events were passed over because receive had rejected them
    unreadable_count   how many events were passed over because they are in an unknown form
    is_partial         a request was skipped, so the next listing has to cover this window again
    answered           the identity of each request that was answered in this run
    failed             of each request that failed in this run and is left
    failed_before      of each request that failed in the run before
    is_stopped         the provider wants a pause, or MAX_FAULTS requests failed in a row
    """

    settings: RecoverySettings
    fetch: Fetch
    token: str
    window: Window
    requests: list[ApiRequest]
    handled: dict[str, float] = field(default_factory=dict)
    includes_rejected: bool = False
    reads_each_event: bool = True
    rejected_count: int = 0
    unreadable_count: int = 0
    is_partial: bool = False
    answered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    failed_before: Collection[str] = ()
    is_stopped: bool = False
    _faults_in_row: int = 0

    @property
    def has_next(self) -> bool:
        """Return whether a request is left that can be sent in this run."""
        return bool(self.requests) and not self.is_stopped and self.requests[-1].identity not in self.failed

    async def read_next(self, now: float) -> ReadAnswer:
        """Send the next request and read its answer. The request is left until `finish`, so a failure loses no event.

        Raises ProviderFault. Then `requests` begins with the request, or the request is skipped.
        """
        request = self.requests[-1]
        if request.identity in self.answered and not request.is_for_event:
            self._skip()
            raise ProviderFault(f"{self.settings.kind.title} lists the same page again")
        try:
            answer = await self._send(request, now)
            items = await self._read(request, answer) if answer else []
        except ProviderFault as fault:
            self._set_aside(request, fault)
            raise
        self.answered.add(request.identity)
        self._faults_in_row = 0
        return self._select(items)

    def _set_aside(self, request: ApiRequest, fault: ProviderFault) -> None:
        """Let the other requests go on. One that failed in two runs is skipped, so that a new listing can begin."""
        if fault.pause_seconds:
            self.is_stopped = True
            return
        if not fault.is_of_place:
            self._faults_in_row += 1
            self.is_stopped = self._faults_in_row == MAX_FAULTS
        if fault.is_of_place or request.identity in self.failed_before:
            self._skip()
        else:
            self.failed.add(request.identity)
            self.requests.insert(0, self.requests.pop())

    def finish(self, answer: ReadAnswer) -> None:
        """Continue with the requests that follow from the answer. Its events are handled."""
        self.requests.pop()
        self.requests += reversed(answer.further_requests)
        self.handled |= {event.id: event.happened_at for event in answer.missed_events}

    async def _read(self, request: ApiRequest, answer: Fetched) -> list[ListItem]:
        """Raises ProviderFault."""
        kind = self.settings.kind
        try:
            # In a thread, because a large answer takes seconds, and the sweep must publish what is due meanwhile.
            return await asyncio.to_thread(lambda: [*kind.read_answer(request, answer, self.window)])
        except UnknownHook as error:
            raise ProviderFault(str(error), is_of_place=True) from error
        except UNKNOWN_FORM as error:
            if request.is_for_event:
                self.unreadable_count += 1
                return []
            raise ProviderFault(f"{kind.title} answered {request.answer_kind} in an unknown form") from error

    def is_repeat(self, event: MissedEvent) -> bool:
        """Return whether the provider was asked before to deliver the event again."""
        provider_id, _, redelivery_id = event.id.partition(" ")
        return bool(redelivery_id) and provider_id in self.handled

    def _select(self, items: Sequence[ListItem]) -> ReadAnswer:
        """Return the events that are not handled yet, and the requests."""
        missed_events: list[MissedEvent] = []
        further_requests: list[ApiRequest] = []
        ids: set[str] = set()
        for item in items:
            if isinstance(item, ApiRequest):
                further_requests.append(item)
                continue
            if isinstance(item, UnreadableEvent):
                self.unreadable_count += 1
                continue
            is_known = item.id in self.handled or item.id in ids
            ids.add(item.id)
            if is_known:
                continue
            if item.rejected_status is not None and not self.includes_rejected:
                self.handled[item.id] = item.happened_at
                self.rejected_count += 1
            elif item.api_request and self.reads_each_event:
                further_requests.append(item.api_request)
            else:
                missed_events.append(item)
        return ReadAnswer(missed_events, further_requests)

    def _skip(self) -> None:
        self.requests.pop()
        self.is_partial = True

    async def _send(self, request: ApiRequest, now: float) -> Fetched | None:
        """Return the answer; None if the provider has deleted the event. Raises ProviderFault."""
        kind = self.settings.kind
        headers = [(name, value.format(token=self.token)) for name, value in kind.headers.items()]
        if request.body is not None:
            headers.append(("Content-Type", "application/json"))
        outgoing = Outgoing(
            "GET" if request.body is None else "POST",
            self.settings.api_url + request.path,
            tuple(headers),
            b"" if request.body is None else texts_json(request.body),
            timeout_seconds=ANSWER_SECONDS,
            max_bytes=MAX_EVENT_BYTES if request.is_for_event else MAX_LIST_BYTES,
            allow_private=self.settings.allow_private,
            may_repeat=request.body is None,
        )
        try:
            answer = await self.fetch.fetch(outgoing)
        except errors.HookchainError as error:
            raise ProviderFault(f"{kind.title}: {masked(error.detail, [self.token])}") from error
        if answer.status in (404, 410, 422) and request.is_for_event:
            return None
        if not 200 <= answer.status < 300:
            raise _status_fault(self.settings, request, answer, now)
        return answer


def _status_fault(settings: RecoverySettings, request: ApiRequest, answer: Fetched, now: float) -> ProviderFault:
    """Return the fault that an answer with an error status reports."""
    status = answer.status
    text = f"{settings.kind.title} answered {status} to {request.path.partition('?')[0]}"
    pause_seconds = retry_after_seconds(answer.header("retry-after"), now) or 0.0
    if answer.header("x-ratelimit-remaining") == "0":
        pause_seconds = max(pause_seconds, reset_seconds(answer.header("x-ratelimit-reset"), now) or 0.0)
    if status == 429:
        pause_seconds = max(pause_seconds, CONTINUED_SECONDS)
    is_of_place = False
    if not pause_seconds:
        is_of_place = bool(settings.kind.places_key) and 300 <= status < 500 and status not in (401, 408)
        if status in (401, 403, 404):
            text += f". The token {settings.secret} needs {settings.rights}"
        elif 300 <= status < 400 and is_of_place:
            text += f". It was moved or renamed: correct `{settings.kind.places_key}`"
    return ProviderFault(text, min(pause_seconds, MAX_PAUSE_SECONDS), is_of_place=is_of_place)


def begin_listing(settings: RecoverySettings, fetch: Fetch, token: str, since: float, now: float) -> Listing:
    """Return a listing of the events since this time (Unix seconds), as far as the provider keeps them."""
    kept_since = now - settings.kind.kept_seconds
    until = now - SETTLED_SECONDS if settings.kind.lists_unsettled else now
    window = settings.window(max(since, kept_since), until)
    first_requests = [*settings.kind.first_requests(window)]
    return Listing(settings, fetch, token, window, first_requests[::-1])


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
        last_request_at = asyncio.get_running_loop().time() + RUN_SECONDS - ANSWER_SECONDS
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
        is_waiting = now < self._next_at.get(source, 0.0) <= now + MAX_PAUSE_SECONDS
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

    async def _listing(self, settings: RecoverySettings, record: JsonObject, now: float) -> Listing:
        """Return the listing that the last run left unfinished, or a new one. Raises HookchainError."""
        token = (await self._secrets.values(settings.secret))[0]
        complete_at = min(time_in(record, "complete_at") or now, now)  # it is later if the clock was set back
        listing = begin_listing(settings, self._fetch, token, complete_at - OVERLAP_SECONDS, now)
        handled = mapping_at(record, "handled")
        listing.handled = {id: at for id, at in handled.items() if isinstance(at, int | float)}
        requests = [_stored_request(each) for each in list_at(record, "requests")]
        since, until = (float(str(each)) for each in list_at(record, "window") or (0, 0))
        is_same_api = record.get("api", settings.api_url) == settings.api_url
        if requests and is_same_api and until <= now < until + MAX_LISTING_SECONDS:
            listing.failed_before = [*map(str, list_at(record, "failed"))]
            listing.requests = requests
            listing.window = settings.window(since, until)
            listing.is_partial = record.get("is_partial") is True
        return listing

    async def _publish_all(self, listing: Listing, last_request_at: float) -> tuple[list[MissedEvent], list[Fault]]:
        """Publish the listed events until time runs out. Return the recovered events and the faults."""
        recovered: list[MissedEvent] = []
        faults: list[Fault] = []
        for _ in range(MAX_REQUESTS):
            if not listing.has_next or asyncio.get_running_loop().time() >= last_request_at:
                break
            try:
                answer = await listing.read_next(self._clock.now())
                publication = await publish(answer.missed_events, listing.settings, self._has_event, self._bus)
            except ProviderFault as fault:
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

    async def _report(self, listing: Listing, recovered: Sequence[MissedEvent], now: float) -> None:
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


def _record_after_run(record: JsonObject, listing: Listing, faults: Sequence[Fault], now: float) -> Kept:
    is_complete = not listing.requests and not listing.is_partial
    complete_at = listing.window.until if is_complete else time_in(record, "complete_at")
    newest = sorted(listing.handled.items(), key=lambda id_and_time: id_and_time[1])[-MAX_HANDLED:]
    next_since = (complete_at or now) - OVERLAP_SECONDS
    handled: JsonObject = {id: at for id, at in newest if listing.requests or at >= next_since}
    after: JsonObject = {"run_at": record.get("run_at"), "complete_at": complete_at, "handled": handled}
    if listing.requests:
        requests: list[Json] = [list(each) for each in listing.requests]
        window: Json = [listing.window.since, listing.window.until]
        after |= {"requests": requests, "window": window, "is_partial": listing.is_partial}
        after |= {"failed": [*sorted(listing.failed)], "api": listing.settings.api_url}
    pauses = [each.pause_seconds for each in faults if isinstance(each, ProviderFault)]
    if any(pauses):
        after["not_before"] = now + max(pauses)
    return Kept(to_json(after), now + KEPT_SECONDS)


def _stored_request(stored: Json) -> ApiRequest:
    """Return the request of a record, where it is a list of the fields."""
    assert isinstance(stored, list)
    path, answer_kind, context, is_for_event, stored_body = stored
    body = stored_body if isinstance(stored_body, dict) else None
    return ApiRequest(str(path), str(answer_kind), mapping_at(context), is_for_event is True, body)


def _log(severity: str, message: str, **fields: Json) -> None:
    logs.log(severity, message, function="notify", **fields)
