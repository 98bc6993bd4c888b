"""The fan-out: one delivery to subscribers becomes one delivery to each endpoint that the event is for.

All ids follow from the event, the route and the names, so whatever is done twice has no effect the second time. A
tenant's message is kept before anything is published: whatever then fails, the tenant can recover the event.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self

from functions.notify import bounded_texts, destination, http_kind
from functions.notify.subscribers.subscribers import LATE_SECONDS, MAX_ENDPOINTS, Subscribers
from shared import batching, claim_check, errors, expressions, jsontext, logs, missing_paths, ports, store_ports, times
from shared.delivery import Delivered, Delivery, Failed, Outcome, delivery_message, delivery_messages
from shared.event import Event, event_json, view_of
from shared.subscribers import directory, matching, model, payload
from shared.subscribers.names import ENDPOINT_CHANGED, SEPARATOR, TENANT_PATTERN, TYPE_PATTERN, EndpointName
from shared.timed_cache import TimedCache

MAX_TENANTS: Final = 100
"""The most tenants of an event."""
MAX_PAGE: Final = 500
"""The most endpoints of one fan-out. It publishes another delivery of itself for the following ones."""
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""The size of the deliveries that are published with one call: an instance has little memory."""
TURN_SECONDS: Final = 0.01
"""The time for which filters run before other deliveries of this process have a turn."""
FAULT_EVERY_SECONDS: Final = 600.0
"""A filter may fail for each event: its endpoint's document is changed at most so often."""
MESSAGE_BYTES: Final = 1_000
"""About the size of a delivery without its event."""
MAX_FAULT_CHARACTERS: Final = 600
"""The length of a filter's fault in its endpoint's document."""
MAX_SHOWN_TENANTS: Final = 5
_TENANT: Final = re.compile(TENANT_PATTERN)
_TYPE: Final = re.compile(TYPE_PATTERN)


class FanOut:
    """A destination of the kind `subscribers`. It publishes deliveries, and calls nobody."""

    dedupes_repeats = True

    def __init__(
        self,
        name: str,
        tenant: str,
        type_: str,
        context: destination.Context,
        subscribers: Subscribers,
        ignores_unknown: bool = False,
    ) -> None:
        """`tenant` is the expression for the tenants, `type_` the template of the event's type. With `ignores_unknown`
        an event of a tenant that does not exist is no failure.
        """
        self._name = name
        self._tenant: expressions.Expression = expressions.over_event(tenant)
        self._type = type_
        self._blobs = context.blobs
        self._clock = context.clock
        self._subscribers = subscribers
        self._ignores_unknown = ignores_unknown
        self._faults = FilterFaults(subscribers)

    def tenant_of(self, delivery: Delivery) -> str:
        """Return the tenant for whose endpoints the delivery is; empty for several, or if the data is not here."""
        if delivery.after:
            return _Place.read(delivery.after).tenant
        try:
            with bounded_texts.bounded_templates():
                ids = tenants_in(view_of(delivery.event), self._tenant)
        except errors.Permanent:  # the attempt says what is wrong
            return ""
        return ids[0] if isinstance(ids, list) and len(ids) == 1 else ""

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Publish the deliveries to the endpoints, and return the outcome.

        Raises Temporary: what was published then is published again, under the same ids.
        """
        try:
            async with asyncio.timeout(attempt.timeout_seconds):
                return await self._attempt(delivery, attempt)
        except TimeoutError as error:
            raise errors.Temporary("attempt_timeout", f"no fan-out within {attempt.timeout_seconds:g} s") from error

    async def _attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Do what `attempt` does, without its limit. `light` is the event as it travels, `whole` has its data."""
        whole = replace(delivery, event=await claim_check.checked_out(delivery.event, self._blobs))
        with bounded_texts.bounded_templates():
            ids = tenants_in(view_of(whole.event), self._tenant)
            type_ = event_type_of(self._type, whole)
        if isinstance(ids, str):
            return Failed("unknown_tenant", ids)
        light = replace(delivery.event, type=type_)
        page = _Page(_Place.read(delivery.after))
        unknown = await self._choose_endpoints(page, ids, light, whole.event, delivery.route)
        await self._publish(page, delivery, light, attempt)
        reached = _endpoints_text(len(page.chosen))
        if not unknown:
            return Delivered(reached if page.chosen or not page.is_first else f"{reached}: {page.why_empty(type_)}")
        missing = f"there is no tenant {', '.join(map(repr, unknown[:MAX_SHOWN_TENANTS]))}"
        if self._ignores_unknown:
            return Delivered(f"{reached}; {missing}, which is ignored")
        others = f", and {reached} of the others got it" if len(unknown) < len(ids) else ""
        # The reason is logged, so that the ids, which the event holds, are in the answer only.
        rule = f"`tenant`: the event names a tenant that does not exist{others}"
        return Failed("unknown_tenant", f"{rule}. Create it, then replay this event", missing)

    async def _choose_endpoints(
        self, page: "_Page", ids: Sequence[str], light: Event, whole: Event, route: str
    ) -> Sequence[str]:
        """Put the endpoints that the event is for on the page.

        Return the ids of tenants that do not exist. Only the first page reports them, so it looks for all tenants even
        when it is full.
        """
        unknown: list[str] = []
        begin = page.after
        view = matching.filter_view(whole.id, light.type, payload.event_timestamp(whole), whole.data)
        for id_ in ids[ids.index(begin.tenant) if begin.tenant in ids else 0 :]:
            version = await self._subscribers.version(id_)
            if version is None:
                unknown.append(id_)
            elif not page.is_full:  # else the next page has them
                # The page before has kept the message of the tenant at which it ended.
                after_endpoint = begin.endpoint if id_ == begin.tenant else ""
                if not after_endpoint:
                    await self._keep_message(id_, light, route)
                await self._choose_of_tenant(
                    page, await self._subscribers.endpoints(id_, version), after_endpoint, light.type, view
                )
        return unknown if page.is_first else []

    async def _keep_message(self, tenant: str, event: Event, route: str) -> None:
        """Keep the tenant's message. Raises Temporary, and Permanent for a message that no store accepts."""
        received_at = _received_at(event)
        message = model.Message(
            id=directory.message_id(received_at, event.id, route, self._name),
            event_id=event.id,
            type=event.type,
            route=route,
            destination=self._name,
            received_at=received_at,
            event=event_json(event).decode(),
            kept_at=self._clock.now(),
        )
        if len(message.text().encode()) > store_ports.MAX_RECORD_BYTES:  # escaped, it is longer than it travels
            message = message.model_copy(update={"event": (await self._by_reference(event)).decode()})
        keep = self._subscribers.settings.keep_seconds
        await self._subscribers.directory.keep_message(tenant, message, self._clock.now() + keep)

    async def _by_reference(self, event: Event) -> bytes:
        """Put the event into a blob, and return the event that refers to it. Raises Temporary and Permanent."""
        if self._blobs is None:
            raise errors.Permanent("output_too_large", "the event is too large to be kept for subscribers")
        # The name has a digest of the content, because another route's version of this event has the same id.
        content = event_json(event)
        name = f"{event.id}-{hashlib.sha256(content).hexdigest()[:32]}-subscribers"
        await self._blobs.put(name, content)
        return event_json(replace(event, data=None, dataref=name, rawbody=None, rawbase64=None, rawheaders=None))

    async def _choose_of_tenant(
        self,
        page: "_Page",
        endpoints: Sequence[model.Endpoint],
        after_endpoint: str,
        type_: str,
        view: jsontext.JsonObject,
    ) -> None:
        """Put the tenant's endpoints behind `after_endpoint` on the page, as long as there is room.

        All of them are looked at here, so a notice of one that was not published in time is published, too.
        """
        now = asyncio.get_running_loop().time
        turn_ends_at = now() + TURN_SECONDS
        for endpoint in endpoints:
            if endpoint.notices and endpoint.notices[0][1] < self._clock.now() - LATE_SECONDS:
                await self._subscribers.notices.publish(endpoint)
            page.known += 1
            if not self._subscribers.is_ready(endpoint) or endpoint.id <= after_endpoint:
                continue
            page.ready += 1
            if page.is_full:
                return
            try:
                if matching.matches(endpoint, type_, view):
                    page.chosen.append(endpoint)
                if endpoint.filter_fault:
                    await self._faults.note(endpoint, "")
            except matching.FilterFailed as failed:
                await self._faults.note(endpoint, str(failed))
            if endpoint.filter and now() > turn_ends_at:
                await asyncio.sleep(0)  # a turn of the event loop, for other deliveries
                turn_ends_at = now() + TURN_SECONDS

    async def _publish(self, page: "_Page", delivery: Delivery, event: Event, attempt: destination.Attempt) -> None:
        """Publish a delivery for each endpoint, and the next page. Raises Temporary."""
        # A replay of this delivery replays those to its endpoints. If this one had failed, only those that failed are
        # replayed. The next page is always replayed: it may have succeeded, and may have other endpoints now.
        replay = attempt.idempotency_key
        attributes = {"replay": replay, "force": "true"} if attempt.generation else {}
        attributes_of_next_page = attributes
        if attempt.is_repair:
            attributes = {"replay": replay, "force": "failed"}
            attributes_of_next_page = {"replay": f"{replay}{destination.REPAIR}", "force": "true"}
        time, text = times.rfc3339(self._clock.now()), event_json(event)
        at_once = max(1, min(MAX_PAGE, MAX_BATCH_BYTES // (len(text) + MESSAGE_BYTES)))
        for endpoints in batching.batches(page.chosen, at_once):
            names = [str(EndpointName(self._name, each.tenant, each.id)) for each in endpoints]
            messages = delivery_messages(event.id, text, delivery.route, names, time, attributes)
            batch = [_with_change(message, each) for message, each in zip(messages, endpoints, strict=True)]
            await self._subscribers.bus.publish(ports.DELIVERIES, batch)
        if page.is_full:
            next_page = _next_page(page, delivery, time, attributes_of_next_page)
            await self._subscribers.bus.publish(ports.DELIVERIES, [next_page])


class _Place(NamedTuple):
    """The place of an endpoint in the order in which a fan-out reaches them: by tenants, then by ids.

    A delivery has the place at which the page before ended in `after`, as `<tenant>:<endpoint>`.
    """

    tenant: str
    endpoint: str

    @classmethod
    def read(cls, text: str) -> Self:
        tenant, _, endpoint = text.partition(SEPARATOR)
        return cls(tenant, endpoint)

    def __str__(self) -> str:
        return f"{self.tenant}{SEPARATOR}{self.endpoint}"


@dataclass(slots=True)
class _Page:
    """The endpoints of one fan-out, in the order of tenants and ids.

    after   the last endpoint of the page before; both of its parts are empty for the first page
    chosen  the endpoints that get the event
    known   the number of endpoints that were looked at
    ready   the number of those that are enabled and verified
    """

    after: _Place
    chosen: list[model.Endpoint] = field(default_factory=list)
    known: int = 0
    ready: int = 0

    def why_empty(self, type_: str) -> str:
        """Return why no endpoint is chosen."""
        if not self.known:
            return "no tenant of this event has one"
        if not self.ready:
            return f"of the tenant's {_endpoints_text(self.known)}, each is disabled or not verified"
        return f"of the tenant's {_endpoints_text(self.ready)}, none takes the type {type_!r} with this data"

    @property
    def is_first(self) -> bool:
        return not self.after.tenant

    @property
    def is_full(self) -> bool:
        return len(self.chosen) >= MAX_PAGE


def _with_change(message: ports.BusMessage, endpoint: model.Endpoint) -> ports.BusMessage:
    """Return the message with the time of the endpoint's last change, so that no earlier state of it is used."""
    return replace(message, attributes={**message.attributes, ENDPOINT_CHANGED: str(endpoint.changed_ms)})


def _next_page(page: _Page, delivery: Delivery, time: str, attributes: dict[str, str]) -> ports.BusMessage:
    """Return the delivery of the same event to the endpoints that come after the page."""
    last = page.chosen[-1]
    after = str(_Place(last.tenant, last.id))
    following = Delivery(delivery.event, delivery.route, delivery.destination, after=after)
    return delivery_message(following, event_json(following.event), time, attributes)


def event_type_of(template: str, delivery: Delivery) -> str:
    """Return the event type that endpoints are asked about. Raises Permanent."""
    type_ = http_kind.rendered_line("type", template, http_kind.template_view(delivery))
    if not _TYPE.fullmatch(type_):
        raise errors.Permanent("invalid_output", "template 'type': must result in an event type, such as order.paid")
    return type_


def tenants_in(view: jsontext.JsonObject, tenant: expressions.Expression) -> list[str] | str:
    """Return the tenants' ids that the expression finds, each once; or the fault, as a text, if it finds none."""
    result = tenant.search(view)
    values = result if isinstance(result, list) else [result]
    if len(values) > MAX_TENANTS:
        return f"`tenant` ({tenant.text}): finds at most {MAX_TENANTS} tenants; got {len(values)}"
    rule = "must find the id of a tenant, as text, or a list of them"
    if not values:
        return f"`tenant` ({tenant.text}): {rule}; got an empty list"
    ids: dict[str, None] = {}
    for value in values:
        if not isinstance(value, str) or not _TENANT.fullmatch(value):
            kind = "text that is not a tenant's id" if isinstance(value, str) else jsontext.kind_of(value)
            if result is None and tenant.is_path and missing_paths.is_missing(tenant.text, view):
                return f"`tenant`: {missing_paths.missing_path_message(tenant.text, view, f'it {rule}')}"
            advice = ". Write to_string(…) around it" if kind == "a number" else ""
            return f"`tenant` ({tenant.text}): {rule}; got {kind}{advice}"
        ids[value] = None
    return list(ids)


def _endpoints_text(count: int) -> str:
    return f"{count} endpoint{'s' * (count != 1)}"


def _received_at(event: Event) -> float:
    try:
        return times.unix_seconds(event.receivedat)
    except ValueError as error:
        raise errors.Permanent("invalid_time", "the event has no time at which it was received") from error


class FilterFaults:
    """The faults of endpoints' filters, noted in the endpoints' documents for the tenants to read."""

    def __init__(self, subscribers: Subscribers) -> None:
        self._subscribers = subscribers
        self._noted: TimedCache[str] = TimedCache(MAX_ENDPOINTS)

    async def note(self, endpoint: model.Endpoint, fault: str) -> None:
        """Note the fault; an empty one where the filter worked. What cannot be written is logged, and noted later."""
        fault, name = fault[:MAX_FAULT_CHARACTERS], endpoint.full_name
        now = self._subscribers.clock.now()
        if endpoint.filter_fault == fault or self._noted.get(name, now) is not None:
            return
        self._noted.put(name, fault, now, FAULT_EVERY_SECONDS)

        def decide(before: model.Endpoint | None) -> model.Endpoint | None:
            if before is None or before.filter != endpoint.filter:  # the tenant has corrected it
                return None
            return before.model_copy(update={"filter_fault": fault})

        try:
            await self._subscribers.directory.change(
                model.Endpoint, directory.endpoints_of(endpoint.tenant), endpoint.id, decide
            )
        except errors.Temporary as error:
            logs.log(
                "WARNING", "fault not noted", function="notify", endpoint=name, code=error.code, detail=error.detail
            )
