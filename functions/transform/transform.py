"""Transform an event: decide which routes take it, publish what they owe, then write the decision to the journal.

`Transformer.take` has the order of the steps. If the bus does not confirm what is published, it raises Temporary, and
the bus brings the event again.

The parts of the request that the routes do not get are removed at once from a message (`_without_raw_parts`), and from
a blob once it is read (`Transformer._load`). Only `tap` sees the push as the bus brought it, since it copies requests.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.transform import output, step
from functions.transform.route_runs import Decision, FailedRoute, OwedEvent, RouteResult, RunOptions, decide
from functions.transform.routes import Routes
from shared import claim_check, delivery, jsontext, logs, time_bound, times
from shared.dead_letter_message import dead_letter_message
from shared.errors import Permanent, Temporary
from shared.event import Event, event_json, from_cloudevent, to_cloudevent, without_raw, without_request
from shared.journal import DeadLetter, EventEntry, Journal, RouteDecision
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, Blobs, Bus, BusMessage, Clock, Owners
from shared.push import Push

if TYPE_CHECKING:
    from functions.transform.seen import Seen
    from functions.transform.tap import Tap
    from functions.transform.tracing import TransformSpans

REPLAY_ATTRIBUTES: Final = ("replay", "force")
"""Attributes of a replayed event that its deliveries carry too."""
JOURNAL_SECONDS: Final = 1.0
"""An entry that is not written in time is missing from the journal and nowhere else."""


@dataclass(slots=True)
class Transformed:
    """An event and the decision about it.

    duplicate_of   the id of an earlier event with the same signed bytes, because of which no route got this one; None
                   for any other event
    """

    event: Event
    decision: Decision
    duplicate_of: str | None = None


class Loaded(NamedTuple):
    """An event as the routes get it.

    message   the bus message
    event     the event in the message; without its data if that is in a blob
    whole     the event with its data
    size      the number of bytes of the JSON of `whole`
    """

    message: Push
    event: Event
    whole: Event
    size: int

    @classmethod
    def unread(cls, message: Push, event: Event) -> "Loaded":
        """Return the event as it is in the message, which is all that a dead letter needs if it cannot be loaded."""
        return cls(message, event, event, len(message.data))


@dataclass(frozen=True, slots=True)
class Transformer:
    """The routes, and what they need to run.

    blobs        None on a platform without blobs: a large event then travels whole
    journal      None if the platform keeps none
    services     None if no step asks
    owners       remembers which event came first with its signed bytes; None if the platform has no place for it
    seen         notes when sources were last seen; None if no source has `silence`
    tap          copies requests for developers; None if the configuration has no `develop`
    kept_parts   which parts of its request an event keeps for the routes, by the name of its source: see
                 read_kept_parts. All other parts are removed
    version      the version of the configuration. It is a part of a blob's name, because another version may make
                 another event of the same message
    spans        records spans; None if telemetry is off
    """

    routes: Routes
    bus: Bus
    blobs: Blobs | None
    journal: Journal | None
    clock: Clock
    services: step.Services | None = None
    owners: Owners | None = None
    seen: "Seen | None" = None
    tap: "Tap | None" = None
    kept_parts: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    spans: "TransformSpans | None" = None
    deadlines: time_bound.Deadlines = field(default_factory=time_bound.Deadlines)

    async def take(self, push: Push) -> Transformed:
        """Decide about the event and return after the bus has confirmed its deliveries and dead letters.

        A step may ask a system that is unavailable. Its route then waits, and the bus has confirmed the message that
        runs it again. Raises Temporary if the bus must bring the whole event again, after it has confirmed what the
        other routes owe. Raises Permanent if the whole event is a dead letter, which the bus has confirmed.
        """
        message = _without_raw_parts(push, self.kept_parts)
        try:
            event = from_cloudevent(message.document())
        except Permanent as error:
            await self._make_dead_letter(message.message_id or _digest(message.data), error, message.data)
            raise
        if self.spans is not None:
            self.spans.note_event(event)
        if "route" in message.attributes:
            return await self._run_route_again(message, event)
        is_replay = "replay" in message.attributes
        if not is_replay:
            await self._note_arrival(event)
        if event.signedas is not None and self.owners and "force" not in message.attributes:
            first = await first_with_signed_bytes(event, self.owners)
            if first is not None:
                return await self._skip_duplicate(event, first)
        loaded = Loaded.unread(message, event)
        try:
            loaded = await self._load(message, event)
            decision = await self._decide(loaded, self.routes)
        except Permanent as error:
            await self._make_dead_letter(event.id, error, loaded.message.data, loaded.event)
            raise
        await self._record(
            EventEntry(loaded.event, decision.routes, self.clock.now(), decision.others, document=loaded.message.data)
        )
        if decision.redelivery_error:
            raise decision.redelivery_error
        if self.tap is not None and not is_replay and self.tap.may_copy(loaded.event):
            await self.tap.copy(push, loaded.event)
        return Transformed(loaded.event, decision)

    async def _note_arrival(self, event: Event) -> None:
        """Note that a source has sent the event, and how long the event waited in the bus."""
        if self.services and self.services.hosts:
            with suppress(ValueError):  # not as receive writes it
                self.services.hosts.gate.note_arrival(self.clock.now() - times.unix_seconds(event.receivedat))
        if self.seen is not None and not event.recovered:
            await self.seen.note(event)

    async def _run_route_again(self, message: Push, event: Event) -> Transformed:
        """Run the route that the message names and that has waited. Other decisions stay. Raises as `take` does."""
        name = message.attributes["route"]
        routes = Routes([route for route in self.routes if route.name == name])
        loaded = Loaded.unread(message, event)
        try:
            if not routes.count:
                raise Permanent("unknown_route", f"the configuration has no route {name!r} any more")
            loaded = await self._load(message, event)
            decision = await self._decide(loaded, routes)
        except Permanent as error:
            decision = await self._make_dead_letter_of_route(name, error, loaded)
        await self._record(
            EventEntry(loaded.event, decision.routes, self.clock.now(), document=loaded.message.data, is_partial=True)
        )
        if decision.redelivery_error:
            raise decision.redelivery_error
        return Transformed(loaded.event, decision)

    async def _load(self, message: Push, event: Event) -> Loaded:
        """Return the event with its data, without the parts of its request that the routes do not get.

        Raises Temporary, and Permanent if the event's blob is gone.
        """
        whole, size = event, len(message.data)
        if event.dataref is not None:
            whole, size = await claim_check.stored_event(event.dataref, self.blobs)
        cut = without_request(whole, self.kept_parts)
        if cut is whole:
            return Loaded(message, event, whole, size)
        whole_content = event_json(cut)
        name = f"{event.id}-{_digest(self.version.encode() + message.data)}"
        light, content = await claim_check.checked_in(cut, self.blobs, name, whole_content)
        return Loaded(replace(message, data=content), light, cut, len(whole_content))

    async def _decide(self, loaded: Loaded, routes: Routes) -> Decision:
        """Run the routes and publish what they owe. Raises Temporary, and Permanent as `decide` does."""
        return await decide(
            loaded.whole,
            routes,
            self.services,
            RunOptions(
                only=loaded.message.attributes.get("only"),
                characters=output.MOST_COUNTED * loaded.size,  # `size` is in bytes, each of which may count so often
                is_recorded=self.spans is not None,
            ),
            publish=partial(self._publish, loaded, self.clock.now()),
        )

    async def _publish(self, loaded: Loaded, began_at: float, results: Sequence[RouteResult]) -> None:
        """Publish the dead letters of the routes, then what they owe, with the messages of the routes that wait.

        `began_at` is the time at which the event's routes began to run. Raises Temporary.
        """
        message, event = loaded.message, loaded.event
        if self.spans is not None:
            self.spans.note_steps(results)
        now = self.clock.now()
        letters = [_letter_of_route(event, each.failed, message.data, now) for each in results if each.failed]
        messages = [
            _waiting_message(message, event, each.decision.route, each.unavailable, began_at, now)
            for each in results
            if each.unavailable
        ]
        messages += await self._delivery_messages(loaded, [owed for each in results for owed in each.owed], now)
        if letters:
            await self.bus.publish(DEAD_LETTERS, [dead_letter_message(letter) for letter in letters])
        if messages:
            await self.bus.publish(DELIVERIES, messages)

    async def _delivery_messages(self, loaded: Loaded, all_owed: Sequence[OwedEvent], now: float) -> list[BusMessage]:
        """Return a message for each event and destination. Raises Temporary."""
        attributes = loaded.message.attributes
        replay = {name: attributes[name] for name in REPLAY_ATTRIBUTES if name in attributes}
        time = times.rfc3339(now)
        messages: list[BusMessage] = []
        for owed in all_owed:
            event, content = owed.event, loaded.message.data
            if event is not loaded.whole:  # an event that no step changed travels as it came, perhaps by reference
                # orjson may write a float in another way, which is read as the same number. No step returns infinity
                # or NaN.
                content = jsontext.texts_json(to_cloudevent(event))
                if self.blobs is not None and len(content) > claim_check.MAX_INLINE_BYTES:
                    # A message that comes again overwrites its blob; no other message does, even with the same event
                    # id. The message is hashed, and not the content: that would take a sixth of the time of a large
                    # event.
                    made_by = _digest(jsontext.texts_json([owed.route, self.version]) + loaded.message.data)
                    _, content = await claim_check.checked_in(event, self.blobs, f"{event.id}-{made_by}", content)
            messages += delivery.delivery_messages(event.id, content, owed.route, owed.destinations, time, replay)
        return messages

    async def _skip_duplicate(self, event: Event, first: str) -> Transformed:
        """Journal the duplicate under an id of its own, so that it does not overwrite the entry of the first event."""
        decision = RouteDecision(route="", matched=False, reason=duplicate_reason(first))
        entry_id = _digest(f"{event.id}.{event.signedas}".encode()) if first == event.id else event.id
        await self._record(EventEntry(replace(event, id=entry_id), (decision,), self.clock.now()))
        return Transformed(event, Decision(routes=(decision,)), duplicate_of=first)

    async def _make_dead_letter(
        self, dead_letter_id: str, error: Permanent, message: bytes, event: Event | None = None
    ) -> None:
        """Make a dead letter of the whole message. `event` is None if the message has none that can be read."""
        now = self.clock.now()
        event_id = event.id if event else ""
        letter = DeadLetter(dead_letter_id, error.code, error.detail, now, message, EVENTS, event_id)
        await self.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
        if event:
            decision = RouteDecision(route="", matched=False, reason=error.detail, code=error.code)
            await self._record(EventEntry(event, (decision,), now))

    async def _make_dead_letter_of_route(self, route: str, error: Permanent, loaded: Loaded) -> Decision:
        """Make a dead letter of one route of the event."""
        failed = FailedRoute(route, error.code, error.detail)
        letter = _letter_of_route(loaded.event, failed, loaded.message.data, self.clock.now())
        await self.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
        decision = RouteDecision(route, matched=True, reason=error.detail, code=error.code)
        return Decision(routes=(decision,), failed=(failed,))

    async def _record(self, entry: EventEntry) -> None:
        """Write the entry, or log that it is missing from the journal."""
        if self.journal is None:
            return
        if self.spans is not None:
            entry.spans = self.spans.kept()
        try:
            deadline = asyncio.get_running_loop().time() + JOURNAL_SECONDS
            await self.deadlines.wait(self.journal.record([entry]), deadline)
        except (Temporary, TimeoutError) as error:
            detail = error.detail if isinstance(error, Temporary) else f"not written within {JOURNAL_SECONDS:g} s"
            logs.log("WARNING", "not journaled", function="transform", event_id=entry.event.id, detail=detail)


async def first_with_signed_bytes(event: Event, owners: Owners) -> str | None:
    """Return the id of another event that came first with the same signed bytes, or None.

    Anyone who has seen a signed request can send it again with other headers. Its event has the same id then, but an
    event type or a delivery id from an unsigned header could lead it along another route. So only the first counts,
    however often it comes. Raises Temporary.
    """
    if event.signedas is None:  # all of the event is signed
        return None
    signed, _, rest = event.signedas.partition(".")
    key = hashlib.sha256(jsontext.texts_json(["signed bytes", event.source, signed])).hexdigest()
    own = f"{event.id}.{rest}"
    owner = await owners.owner(key, own, times.unix_seconds(event.receivedat), delivery.REMEMBERED_SECONDS)
    return None if owner == own else owner.partition(".")[0]


def _without_raw_parts(message: Push, kept_parts: Mapping[str, str]) -> Push:
    """Return the message without the parts of its request that the routes do not get.

    The bytes of the message are searched and cut. To read and write the event would take ten times as long.
    """
    source = message.attributes.get("ce-source")
    if source is None:
        return message
    kept = kept_parts.get(source.removeprefix("/sources/"), "no")
    if kept == "all":
        return message
    content = without_raw(message.data, keeps_body=kept == "body")
    if content is message.data:
        return message
    return replace(message, data=content)


def duplicate_reason(first: str) -> str:
    return (
        f"same_signed_bytes: the event {first} came first with the same signed bytes, and what differs was not signed."
        " If the sender repeats bodies on purpose, set `dedupe: delivery_id` on the source"
    )


def _waiting_message(
    push: Push, event: Event, route: str, why: step.SystemUnavailable, began_at: float, now: float
) -> BusMessage:
    # Imported here, because it is seldom needed.
    from shared.waiting_route import KEPT_ATTRIBUTES, WaitingRoute, route_run, waiting_message

    run = route_run(push.attributes)
    tries = run.tries if run else 0
    since = run.since if run else 0
    waiting = WaitingRoute(
        reason=why.detail,
        run=run.run if run else 1,
        tries=tries + 1 if why.was_asked else tries,
        since=since or int(began_at),
        began_at=began_at,
        ended_at=now,
        retry_seconds=why.retry_seconds,
        until=why.until,
        attributes={name: push.attributes[name] for name in KEPT_ATTRIBUTES if name in push.attributes},
    )
    return waiting_message(event.id, push.data, route, waiting)


def _letter_of_route(event: Event, failed: FailedRoute, message: bytes, now: float) -> DeadLetter:
    reason = failed.reason
    if failed.previous_steps:
        reason = f"{reason}; done before: {', '.join(failed.previous_steps)}"
    return DeadLetter(f"{event.id}:{failed.route}", failed.code, reason, now, message, EVENTS, event.id, failed.route)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
