"""Copies of requests for the developers who listen with `hookchain listen`.

A developer who listens to a source has a lease, which the listener stores and renews. An event of the source is
transformed first. A copy of its request is then published for each lease, so a copy that fails harms no event.

A copy has nothing of what the configuration masks. One that only had the masked values replaced would still tell
something about them: a hash of the body, its length, or a header that repeats a value. So it has few headers, and a
random id of its own.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlencode

from functions.transform.step import Noted, StepContext
from functions.transform.steps.redact import Redact
from shared import claim_check, errors, jsontext, logs, ports, push, store_ports, tap, time_bound, times
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.formats import form_body
from shared.formats.parse import MediaType, media_type, structured_format
from shared.limits import DEFAULT

COPY_SECONDS: Final = 2.0
"""The time that the copies of an event may take. After a failure, a lease gets none for REMEMBERED_SECONDS. So a queue
that hangs delays one event in this time."""
MAX_LEASES: Final = 500
"""The most leases that are read."""
MAX_MASKED_BYTES: Final = 256 * 1_024
"""A larger body is not masked, and so not copied. To mask 1 MB takes up to 0.7 s, in which nothing else runs."""
_FORM: Final = MediaType("application/x-www-form-urlencoded", {}, None, "form")


@dataclass(slots=True)
class Tap:
    """Publishes copies of requests, and reads the leases that ask for them.

    The leases are read again with the first request after REMEMBERED_SECONDS. Until then, a lease whose copy failed
    gets no other one. The requests that it misses are counted, and its next copy tells their number.

    sources    the sources whose requests may be copied
    redact     masks what no developer may see; None if the configuration masks nothing
    documents  returns the store of the leases; it is called at first use
    topic_of   returns the topic of a lease by its name
    """

    sources: Collection[str]
    redact: Redact | None
    documents: Callable[[], store_ports.Documents]
    bus: ports.Bus
    topic_of: Callable[[str], str]
    blobs: ports.Blobs | None
    clock: ports.Clock
    deadlines: time_bound.Deadlines = field(default_factory=time_bound.Deadlines)
    _leases: Sequence[tap.Lease] | None = None
    """None if they were never read."""
    _ignored: frozenset[str] = frozenset()
    """The names of the leases that get no copies, each of which was logged once."""
    _read_at: float | None = None
    """The time at which the leases were read, or could not be read; None before that."""
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _failed: set[str] = field(default_factory=set)
    """The names of the leases whose last copy failed. They get none for REMEMBERED_SECONDS."""
    _missed: Counter[str] = field(default_factory=Counter)
    """The number of requests that were not copied for each lease since its last copy."""
    _unknown: Counter[str] = field(default_factory=Counter)
    """The number of requests to each source that came before the leases were read: perhaps somebody missed them."""

    def may_copy(self, event: Event) -> bool:
        """Return whether somebody may listen to the event's source."""
        has_read_leases = self._leases is not None and self._is_current(self.clock.now())
        may_have_listener = not has_read_leases or bool(self._leases)
        return event.source_name in self.sources and may_have_listener

    def _is_current(self, now: float) -> bool:
        """Return whether the leases were read lately.

        A monotonic clock is not used, because it may stand still while a process is frozen. This clock may have been
        set back since, which gives a negative difference.
        """
        return self._read_at is not None and 0 <= now - self._read_at < tap.REMEMBERED_SECONDS

    async def copy(self, message: push.Push, event: Event) -> None:
        """Publish a copy of the request for each lease of its source.

        `message` is the message as the bus brought it. A failure is logged and counted. Raises nothing.
        """
        now = self.clock.now()
        began_at = asyncio.get_running_loop().time()
        deadline = began_at + COPY_SECONDS
        if not self._is_current(now):
            await self._read_leases(now, began_at + COPY_SECONDS / 2)  # the copies need the rest
        if self._leases is None:
            self._unknown[event.source_name] += 1
            return
        leases = [each for each in self._leases if each.source == event.source_name and each.is_open(now)]
        if not leases:
            return
        self._missed.update(each.name for each in leases if each.name in self._failed)
        due = [each for each in leases if each.name not in self._failed]
        if not due:
            return
        try:
            content = await self.deadlines.wait(self._content(message), deadline)
        except Exception as error:  # a copy must not harm its event, whose own work is done
            if isinstance(error, errors.Temporary | OSError):  # the store's fault, and not this event's
                self._failed.update(each.name for each in due)
            self._note_failure(event, due, error)
            return
        await asyncio.gather(*(self._send(each, event, content, deadline) for each in due))

    async def _read_leases(self, now: float, deadline: float) -> None:
        """Read all leases. After a failure, those that were read before stay in use."""
        try:
            await self.deadlines.wait(self._read_unless_read(now), deadline)
        except Exception as error:  # a copy must not harm its event
            self._begin_period(now)
            logs.log("WARNING", "leases not read", function="transform", detail=_detail(error))

    async def _read_unless_read(self, now: float) -> None:
        """Read the leases, unless another event that came at the same time has read them."""
        async with self._reading:
            if self._is_current(now):
                return
            documents = await self.documents().page(tap.PARTITION, MAX_LEASES)
            stored = {each.id: tap.read_lease(each.id, each.text) for each in documents}
            leases = [each for each in stored.values() if each is not None]
            known_names = {each.name for each in self._leases or ()}
            self._leases = tap.served_leases([each for each in leases if each.source in self.sources], now)
            self._missed.update({each.name: self._unknown[each.source] for each in self._leases})
            self._unknown.clear()
            for each in self._leases:
                if each.name not in known_names:
                    detail = f"lease {each.name} of {each.holder} until {times.rfc3339(each.until)}"
                    logs.log("INFO", "tapped", function="transform", source=each.source, detail=detail)
            self._log_ignored(stored, now)
            self._begin_period(now)

    def _begin_period(self, now: float) -> None:
        """Let every lease have copies again, also one whose last copy failed, until the leases are read again."""
        self._failed.clear()
        self._read_at = now

    def _log_ignored(self, stored: Mapping[str, tap.Lease | None], now: float) -> None:
        """Log each of the stored leases that gets no copies, once."""
        reasons = {name: self._why_ignored(lease, now) if lease else "is no lease" for name, lease in stored.items()}
        ignored = {name: reason for name, reason in reasons.items() if reason}
        for name in sorted(ignored.keys() - self._ignored):
            logs.log("WARNING", "lease ignored", function="transform", detail=f"{name!a} {ignored[name]}")
        self._ignored = frozenset(ignored)

    def _why_ignored(self, lease: tap.Lease, now: float) -> str:
        """Return why a lease that has not ended gets no copies; empty if it gets them."""
        if lease.ends_too_late(now):
            return f"of {lease.holder} ends more than {tap.MAX_LEASE_SECONDS / 3_600:g} h from now: a clock is wrong"
        if lease.is_open(now) and lease.source not in self.sources:
            return f"of {lease.holder} is for {lease.source!r}, which is not under `develop` in this deployment"
        if lease.is_open(now) and lease not in (self._leases or ()):
            return f"of {lease.holder} is not among the first {tap.MAX_LISTENERS} leases of {lease.source!r}"
        return ""

    async def _content(self, message: push.Push) -> bytes:
        """Return the JSON of the copy. It has no body if the body cannot be redacted, or is then too large to travel.

        Raises Temporary, and Permanent if the event's blob was deleted.
        """
        event = await claim_check.checked_out(from_cloudevent(message.document()), self.blobs)
        request = tap.request_of(event)
        if self.redact is not None:
            request = _redacted_request(event, request, self.redact)
            content = jsontext.texts_json(to_cloudevent(request))
            if len(content) <= claim_check.MAX_INLINE_BYTES:
                return content
            # In a blob, it would have a random name too, by which `hookchain forget` could not find it.
            return jsontext.texts_json(to_cloudevent(replace(request, rawbody=None)))
        content = jsontext.texts_json(to_cloudevent(request))
        _, content = await claim_check.checked_in(request, self.blobs, tap.blob_of_copy(request.id), content)
        return content

    async def _send(self, lease: tap.Lease, event: Event, content: bytes, deadline: float) -> None:
        """Publish the copy for a lease, with the number of requests that it missed. Raises nothing."""
        attributes = {tap.LISTENER: lease.name}
        if missed := self._missed.pop(lease.name, 0):
            attributes[tap.MISSED] = str(missed)
        message = ports.BusMessage(content, attributes)
        try:
            await self.deadlines.wait(self.bus.publish(self.topic_of(lease.name), [message]), deadline)
        except Exception as error:  # a copy must not harm its event
            self._missed[lease.name] += missed
            self._failed.add(lease.name)
            self._note_failure(event, [lease], error)

    def _note_failure(self, event: Event, leases: Sequence[tap.Lease], error: Exception) -> None:
        self._missed.update(each.name for each in leases)
        logs.log(
            "WARNING",
            "not copied",
            function="transform",
            source=event.source_name,
            event_id=event.id,
            count=len(leases),
            detail=_detail(error),
        )


def _detail(error: Exception) -> str:
    if isinstance(error, errors.HookchainError):
        return error.detail
    return "not done in time" if isinstance(error, TimeoutError) else type(error).__name__


def read_redact(slice_: jsontext.JsonObject) -> Redact | None:
    """Return the masking as the compiler wrote it; None if nothing is masked."""
    paths = jsontext.texts_at(slice_, "develop", "redact")
    return Redact(paths=paths) if paths else None


def _redacted_request(event: Event, request: Event, redact: Redact) -> Event:
    """Return the request with the masked data as its body, and with the headers that say nothing about masked values.

    The copy has neither body nor headers if masking takes too long, or if the body is not the event's data in JSON or
    in a form. After `unpack`, for example, the body may hold what is masked in the data at another place too.

    The event's id can be a hash of the body, and is a part of `traceparent`. So the copy has a random id, and no
    `traceparent`. It does not have the sender's id either, which can be one of the values.
    """
    copy = replace(
        request,
        id=os.urandom(16).hex(),
        traceparent=None,
        deliveryid=None,
        rawbody=None,
        rawbase64=None,
        rawtype=None,
        rawheaders=None,
    )
    body = tap.body_of(event)
    written_as = _writer(body, event) if len(body) <= MAX_MASKED_BYTES else None
    if written_as is None:
        return copy
    write, content_type = written_as
    try:
        masked = redact.apply(event, StepContext(event))
    except errors.Permanent:  # a path to mask leads through a value that has no inner values
        return copy
    data = masked.event.data if isinstance(masked, Noted) else masked.data
    return replace(copy, rawbody=write(data), rawheaders=_known_headers(event, content_type, copy.id))


def _writer(body: bytes, event: Event) -> tuple[Callable[[jsontext.Json], str], str] | None:
    """Return a function that writes data in the body's format, JSON or a form, and the content type.

    Return None if the body does not have the event's data in the format that its content type names. A source with
    fixed formats, for example, reads XML as a form, in which the whole XML is the name of a field.
    """
    media = media_type(event.rawtype or "")
    if media.format not in (None, "json", "form") or media.charset not in (None, "utf-8"):
        return None
    try:
        if jsontext.from_json(body) == event.data:
            return jsontext.to_json, "application/json"
    except (ValueError, RecursionError):
        pass
    fields = [each for each in body.split(b"&") if each]
    if media.format != "form" or structured_format(body) or not all(b"=" in each for each in fields):
        return None
    try:
        form = form_body.parse(body, _FORM, DEFAULT)
    except errors.Rejected:
        return None
    return (_form_text, _FORM.name) if isinstance(event.data, dict) and form == event.data else None


def _known_headers(event: Event, content_type: str, copy_id: str) -> str | None:
    """Return the headers with the content type, the event's type, or the sender's id, which becomes the copy's id.

    All others are left out: they may have a masked value in some spelling, or a hash of the body. Of `content-type`,
    the body's format is written, because what the sender wrote may have one too.
    """
    if event.rawheaders is None:
        return None
    pairs = jsontext.from_json(event.rawheaders.encode())
    assert isinstance(pairs, list)
    kept: list[jsontext.Json] = []
    for pair in pairs:
        assert isinstance(pair, list)
        name, text = pair
        if event.deliveryid and text == event.deliveryid:
            kept.append([name, copy_id])
        elif name == "content-type":
            kept.append([name, content_type])
        elif text == event.type:  # the copy has the type itself, too
            kept.append([name, text])
    return jsontext.to_json(kept)


def _form_text(fields: jsontext.Json) -> str:
    assert isinstance(fields, dict)
    return urlencode(fields, doseq=True)
