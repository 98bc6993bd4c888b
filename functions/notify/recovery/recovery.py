"""The requests to the providers, and the publication of what they list: each sweep, one source at a time.

A record of the source has

    run_at       when a run began; another one begins EVERY_SECONDS later, or at the next sweep if requests are left
    complete_at  up to when everything was listed
    not_before   when the provider may be asked again
    window       since when and until when events are listed, while requests are left: `asks`
    is_partial   some of what is listed in this window could not be read
    done         the ids of the events that were published, or that receive had rejected, with their times
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from functions.notify.alerts.alert import Alert, read_record, time_in
from functions.notify.recovery.kind import Ask, Missed, RecoveryKind, UnknownHook, Window, types_pattern
from functions.notify.recovery.kinds import KINDS
from functions.notify.waiting.beside import LIMIT_SECONDS
from shared import errors, logs, ports
from shared.credential_masks import masked
from shared.event import event_id
from shared.fetch import Fetch, Fetched, Outgoing
from shared.journal import Journal
from shared.jsontext import Json, JsonObject, list_at, mapping_at, mappings_at, texts_json, to_json
from shared.store_ports import Kept, Records

if TYPE_CHECKING:
    from functions.notify.alerts.publisher import AlertPublisher

EVERY_SECONDS: Final = 300.0
CONTINUED_SECONDS: Final = 30.0
"""Less than the minute from one sweep to the next."""
RUN_SECONDS: Final = LIMIT_SECONDS - 5.0
"""The rest is for what follows the last answer: a run that is cut off would begin again where it began."""
ANSWER_SECONDS: Final = 6.0
MAX_REQUESTS: Final = 100
"""In a run. GitHub lets a token make 5,000 an hour."""
OVERLAP_SECONDS: Final = 3_600.0
"""What was listed is listed again: a provider may show an event late."""
SETTLED_SECONDS: Final = 120.0
"""An event that is younger may still be on its way, where the provider does not tell it from one that failed."""
MAX_LIST_BYTES: Final = 32 * 1024 * 1024
MAX_EVENT_BYTES: Final = 12 * 1024 * 1024
"""A source takes bodies of 10 MiB at most."""
MAX_DONE: Final = 4_000
"""The ids that a record has room for. One that is forgotten may be published again, which changes nothing."""
MAX_PAUSE_SECONDS: Final = 3_600.0
MAX_WALK_SECONDS: Final = 6 * 3_600.0
"""After that, the requests that are left are forgotten and everything is listed again: one may never succeed."""
KEPT_SECONDS: Final = 400 * 86_400.0


class RecoverySettings(NamedTuple):
    """A source's `recover`, as the compiler wrote it. `secret` names the token; `api` replaces the kind's if set.

    `redelivers`: the provider delivers the events again.
    """

    source: str
    kind: RecoveryKind
    secret: str
    places: tuple[str, ...] = ()
    url: str = ""
    types: tuple[str, ...] = ()
    api: str = ""
    allow_private: bool = False
    redelivers: bool = False

    @property
    def rights(self) -> str:
        return self.kind.write_rights if self.redelivers else self.kind.rights

    def window(self, since: float, until: float) -> Window:
        types = types_pattern(self.types) if self.types else None
        return Window(self.source, since, until, self.places, self.url, types, self.redelivers)


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

    pause_seconds  how long it wants not to be asked; 0 if it says none
    is_of_place    the other places of the source can be listed
    """

    def __init__(self, text: str, pause_seconds: float = 0.0, *, is_of_place: bool = False) -> None:
        super().__init__(text)
        self.pause_seconds = pause_seconds
        self.is_of_place = is_of_place


Fault: TypeAlias = ProviderFault | errors.Temporary


class Step(NamedTuple):
    """The events that a request found, and the requests that follow from its answer."""

    missed: Sequence[Missed]
    further: Sequence[Ask]


@dataclass(slots=True)
class Walk:
    """The way through a provider's lists. `asks` are the requests that are left, the next one last.

    includes_rejected  events that receive had rejected are found, too
    reads_each         the request of each event is read, where that takes a request
    done               the ids of events that are not found again
    rejected           the events that were passed over because receive had rejected them
    is_partial         a request was left out, so that all is listed again in the next window
    answered           the requests for lists that were answered in this run
    """

    settings: RecoverySettings
    fetch: Fetch
    token: str
    window: Window
    asks: list[Ask]
    done: dict[str, float] = field(default_factory=dict)
    includes_rejected: bool = False
    reads_each: bool = True
    rejected: int = 0
    is_partial: bool = False
    answered: set[tuple[str, str]] = field(default_factory=set)

    async def step(self, now: float) -> Step:
        """Make the next request. It is left until the step is finished: a failure in between loses nothing.

        Raises ProviderFault. Then the request is left too, unless the answer is an event that cannot be read, or others
        can be made without it.
        """
        ask = self.asks[-1]
        key = (ask.path, to_json(ask.body))
        if key in self.answered and not ask.is_of_event:
            self._leave_out()
            raise ProviderFault(f"{self.settings.kind.title} lists the same page again")
        try:
            answer = await self._ask(ask, now)
        except ProviderFault as fault:
            if fault.is_of_place:
                self._leave_out()
            raise
        self.answered.add(key)
        missed: list[Missed] = []
        further: list[Ask] = []
        if answer is not None:
            try:
                found = [*self.settings.kind.read(ask, answer, self.window)]
            except UnknownHook as error:
                self._leave_out()
                raise ProviderFault(str(error), is_of_place=True) from error
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
                if ask.is_of_event:
                    self.asks.pop()
                raise ProviderFault(f"{self.settings.kind.title} answered {ask.reads} in an unknown form") from error
            for each in found:
                if isinstance(each, Ask):
                    further.append(each)
                elif each.id in self.done:
                    continue
                elif each.rejected_status is not None and not self.includes_rejected:
                    self.done[each.id] = each.at
                    self.rejected += 1
                elif each.ask and self.reads_each:
                    further.append(each.ask)
                else:
                    missed.append(each)
        return Step(missed, further)

    def finish(self, step: Step) -> None:
        """Go on, once the events of the step are published."""
        self.asks.pop()
        self.asks += reversed(step.further)
        self.done |= {each.id: each.at for each in step.missed}

    def _leave_out(self) -> None:
        self.asks.pop()
        self.is_partial = True

    async def _ask(self, ask: Ask, now: float) -> Fetched | None:
        """Return the answer; None if what was listed is gone."""
        kind = self.settings.kind
        headers = [(name, value.format(token=self.token)) for name, value in kind.headers.items()]
        if ask.body is not None:
            headers.append(("Content-Type", "application/json"))
        url = (self.settings.api or kind.api).rstrip("/") + ask.path
        request = Outgoing(
            "GET" if ask.body is None else "POST",
            url,
            tuple(headers),
            b"" if ask.body is None else texts_json(ask.body),
            timeout_seconds=ANSWER_SECONDS,
            max_bytes=MAX_EVENT_BYTES if ask.is_of_event else MAX_LIST_BYTES,
            allow_private=self.settings.allow_private,
            may_repeat=ask.body is None,
        )
        try:
            answer = await self.fetch.fetch(request)
        except errors.HookchainError as error:
            raise ProviderFault(f"{kind.title}: {masked(error.detail, [self.token])}") from error
        if answer.status in (404, 410, 422) and ask.is_of_event:
            return None
        if not 200 <= answer.status < 300:
            raise _fault(self.settings, ask, answer, now)
        return answer


def _fault(settings: RecoverySettings, ask: Ask, answer: Fetched, now: float) -> ProviderFault:
    text = f"{settings.kind.title} answered {answer.status}"
    is_of_place = False
    pause = _number(answer.header("retry-after"))
    if answer.header("x-ratelimit-remaining") == "0":
        pause = max(pause, _number(answer.header("x-ratelimit-reset")) - now)
    if answer.status in (401, 403, 404) and not pause:
        text += f" to {ask.path.partition('?')[0]}. The token {settings.secret} needs {settings.rights}"
        is_of_place = settings.kind.has_places and answer.status != 401
    return ProviderFault(text, min(max(pause, 0.0), MAX_PAUSE_SECONDS), is_of_place=is_of_place)


def _number(text: str | None) -> float:
    return float(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else 0.0


def begin_walk(settings: RecoverySettings, fetch: Fetch, token: str, since: float, now: float) -> Walk:
    """Return the way to the events since then that are settled now."""
    until = now - SETTLED_SECONDS if settings.kind.lists_others else now
    window = settings.window(max(since, now - settings.kind.kept_seconds), until)
    return Walk(settings, fetch, token, window, [*settings.kind.first(window)][::-1])


HasEvent: TypeAlias = Callable[[str], Awaitable[bool]]
"""Returns whether an event of this id has arrived. Raises Temporary."""


class Publication(NamedTuple):
    """The events that were published, and those that are too large for the bus."""

    recovered: Sequence[Missed]
    too_large: Sequence[Missed] = ()


async def unknown(missed: Sequence[Missed], settings: RecoverySettings, has_event: HasEvent) -> Sequence[Missed]:
    """Return the events that have not arrived, where the provider's list has others, too. Raises Temporary."""
    if not settings.kind.lists_others:
        return missed
    have_arrived = await asyncio.gather(*(has_event(event_id(settings.source, each.id)) for each in missed))
    return [each for each, has_arrived in zip(missed, have_arrived, strict=True) if not has_arrived]


async def publish(
    missed: Sequence[Missed], settings: RecoverySettings, has_event: HasEvent, bus: ports.Bus
) -> Publication:
    """Publish the events for receive, except those that have arrived or are delivered again. Raises Temporary."""
    recovered: list[Missed] = []
    too_large: list[Missed] = []
    messages: list[ports.BusMessage] = []
    for each in await unknown(missed, settings, has_event):
        message = each.request.message() if each.request else None
        if message is None and not each.is_redelivered:
            too_large.append(each)
            continue
        recovered.append(each)
        messages += [message] if message else []
    if messages:
        await bus.publish(ports.RECOVERED, messages)
    return Publication(recovered, too_large)


class Recovery:
    """Recovers events in each sweep. `records` is called at first use; `alerts` is None if nobody gets any."""

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
        self._has_event = journal.has_event if journal else _is_unknown
        self._make_records = records
        self._clock = clock
        self._alerts = alerts
        self._next_at: dict[str, float] = {}

    @cached_property
    def _records(self) -> Records:
        return self._make_records()

    async def run(self) -> None:
        """Ask each provider whose turn it is, for RUN_SECONDS in all. Log what fails, and raise nothing.

        The one that has waited longest comes first: an answer may take most of the time.
        """
        end = asyncio.get_running_loop().time() + RUN_SECONDS - ANSWER_SECONDS  # the last request begins before it
        for settings in sorted(self._settings, key=lambda each: self._next_at.get(each.source, 0.0)):
            try:
                await self._recover(settings, end)
            except errors.HookchainError as error:
                _log("WARNING", "recovery failed", source=settings.source, code=error.code, detail=error.detail)
            except Exception as error:  # a fault in this program must not stop the sweep
                _log("ERROR", "recovery failed", source=settings.source, detail=errors.place_of(error))

    async def _recover(self, settings: RecoverySettings, end: float) -> None:
        source, now = settings.source, self._clock.now()
        if now < self._next_at.get(source, 0.0) or asyncio.get_running_loop().time() >= end:
            return
        self._next_at[source] = now + EVERY_SECONDS
        record, self._next_at[source] = await self._records.change(
            _record_name(source), now, lambda text: _begin(text, now)
        )
        if record is None:
            return
        walk = await self._walk(settings, record, now)
        recovered, faults = await self._ask_all(walk, end)
        if recovered or walk.rejected:
            await self._report(walk, recovered, now)
        for fault in faults:
            detail = fault.detail if isinstance(fault, errors.Temporary) else str(fault)
            _log("WARNING", "recovery failed", source=source, detail=detail)
        if walk.asks and not faults:
            self._next_at[source] = now + CONTINUED_SECONDS
        kept = _kept(record, walk, faults, self._clock.now())
        await self._records.change(_record_name(source), now, lambda _: (None, kept))

    async def _walk(self, settings: RecoverySettings, record: JsonObject, now: float) -> Walk:
        token = (await self._secrets.values(settings.secret))[0]
        walk = begin_walk(settings, self._fetch, token, (time_in(record, "complete_at") or now) - OVERLAP_SECONDS, now)
        walk.done = {id: at for id, at in mapping_at(record, "done").items() if isinstance(at, int | float)}
        asks = [_stored_ask(each) for each in list_at(record, "asks")]
        since, until = (float(str(each)) for each in list_at(record, "window") or (0, 0))
        if asks and now < until + MAX_WALK_SECONDS:
            walk.window, walk.asks = settings.window(since, until), asks
            walk.is_partial = record.get("is_partial") is True
        return walk

    async def _ask_all(self, walk: Walk, end: float) -> tuple[list[Missed], list[Fault]]:
        """Publish what is found until time runs out. Return it, and what went wrong."""
        recovered: list[Missed] = []
        faults: list[Fault] = []
        for _ in range(MAX_REQUESTS):
            if not walk.asks or asyncio.get_running_loop().time() >= end:
                break
            try:
                step = await walk.step(self._clock.now())
                publication = await publish(step.missed, walk.settings, self._has_event, self._bus)
            except (ProviderFault, errors.Temporary) as fault:
                faults.append(fault)
                if isinstance(fault, ProviderFault) and fault.is_of_place:
                    continue
                break
            walk.finish(step)
            recovered += publication.recovered
            for each in publication.too_large:
                detail = f"the event {each.id} is too large for the bus; deliver it again in the provider's settings"
                _log("ERROR", "recovery failed", source=walk.settings.source, detail=detail)
        return recovered, faults

    async def _report(self, walk: Walk, recovered: Sequence[Missed], now: float) -> None:
        source, where = walk.settings.source, self._alerts.where if self._alerts else ""
        detail = f"{walk.rejected} that receive had rejected were not recovered" if walk.rejected else None
        _log("WARNING", "recovered", source=source, recovered=len(recovered), detail=detail)
        if self._alerts and recovered:
            events = "1 event was" if len(recovered) == 1 else f"{len(recovered):,} events were"
            alert = Alert(
                kind="events_recovered",
                key=f"{source}:{now!r}",
                at=now,
                about=source,
                reason=f"{events} recovered that {walk.settings.kind.title} could not deliver",
                command=f"hookchain events list --source {source}{where}",
                details={"recovered": len(recovered)},
            )
            await self._alerts.publish(alert, self._alerts.settings.to)


async def _is_unknown(_: str) -> bool:
    """Stand for a platform without a journal: an event that has arrived comes again, and is not delivered again."""
    return False


def _record_name(source: str) -> str:
    return f"recover:{source}"


def _begin(text: str | None, now: float) -> tuple[tuple[JsonObject | None, float], Kept | None]:
    """Return the record if this run may begin, when to look again, and the record as it is while the run lasts.

    The first run only notes when it was: what was missed before is for `hookchain recover`.
    """
    record = read_record(text)
    later = now + EVERY_SECONDS
    if not record:
        return (None, later), Kept(to_json({"run_at": now, "complete_at": now}), now + KEPT_SECONDS)
    wait = CONTINUED_SECONDS if record.get("asks") else EVERY_SECONDS
    run_at = time_in(record, "run_at") or 0.0
    turn_at = max(run_at + wait, time_in(record, "not_before") or 0.0)
    if run_at <= now < turn_at:
        return (None, turn_at), None
    begun: JsonObject = {**record, "run_at": now}
    return (begun, later), Kept(to_json(begun), now + KEPT_SECONDS)


def _kept(record: JsonObject, walk: Walk, faults: Sequence[Fault], now: float) -> Kept:
    complete_at = time_in(record, "complete_at") if walk.asks or walk.is_partial else walk.window.until
    newest = sorted(walk.done.items(), key=lambda each: each[1])[-MAX_DONE:]
    oldest_at = (complete_at or now) - OVERLAP_SECONDS
    done: JsonObject = {id: at for id, at in newest if walk.asks or at >= oldest_at}
    stored: JsonObject = {"run_at": record.get("run_at"), "complete_at": complete_at, "done": done}
    if walk.asks:
        asks: list[Json] = [list(each) for each in walk.asks]
        stored |= {"asks": asks, "window": [walk.window.since, walk.window.until], "is_partial": walk.is_partial}
    pauses = [each.pause_seconds for each in faults if isinstance(each, ProviderFault)]
    if any(pauses):
        stored["not_before"] = now + max(pauses)
    return Kept(to_json(stored), now + KEPT_SECONDS)


def _stored_ask(stored: Json) -> Ask:
    assert isinstance(stored, list)
    path, reads, about, is_of_event, body = stored
    written = body if isinstance(body, dict) else None
    return Ask(str(path), str(reads), mapping_at(about), is_of_event is True, written)


def _log(severity: str, message: str, **fields: Json) -> None:
    logs.log(severity, message, function="notify", **fields)
