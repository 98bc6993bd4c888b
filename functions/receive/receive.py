"""Receive a request: verify it, make its events, publish them, and return once the bus has confirmed them.

`Receiver.receive` has the order of the checks. It returns the outcome, or raises Rejected or Temporary. The functions
`accepted_reply` and `rejection_reply` turn that into a response. entry.py logs it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.receive import admission, parsing
from functions.receive.events import build_events
from functions.receive.flood_limits import TokenBucket, Unconfirmed
from functions.receive.identity import SignedRequest
from functions.receive.source import Source
from shared import claim_check, errors, jsontext, ports, time_bound
from shared.event import Event, event_json
from shared.http import ReadBody, Reply, Request, json_reply, problem
from shared.limits import DEFAULT, Limits
from shared.signatures import auth_scheme, locations

if TYPE_CHECKING:
    from functions.receive.handshakes import Handshakes
    from functions.receive.provider_keys import Keys
    from shared.fetch import Fetch

CONFIRM_SECONDS: Final = 3.8
"""The time in which the bus must confirm, so that a sender has its reply within 4 s of the request's arrival."""
RETRY_AFTER_SECONDS: Final = 5
"""The time after which a sender should send again what was not confirmed."""
_CLOSE: Final = ("connection", "close")
"""The header by which a rejected sender's connection ends, since its body may not have been read."""

TimesAttribute = Callable[[float, float, str, int], Mapping[str, str]]
"""A function that returns an attribute of messages. Its arguments are the Unix times at which the request came and at
which its events are published, the request's method and the reply's status."""


class Accepted(NamedTuple):
    """A request that passed every check, and its events: one, or one for each item of a batch.

    Once `Receiver.receive` returns it, the bus has confirmed the events. A batch without items has none.
    """

    source: Source
    events: tuple[Event, ...]


class Answered(NamedTuple):
    """A request that was answered and makes no event, such as a handshake. `reason` is for the log."""

    source: Source
    reply: Reply
    reason: str


class DeadLettered(NamedTuple):
    """A message of a bus that can never be an event. Its dead letter is confirmed, so the message is acknowledged."""

    source: Source
    error: errors.Rejected


TakePush = Callable[["Receiver", Source, Request, ReadBody], Awaitable[Accepted | DeadLettered]]
"""Takes a push whose head was admitted. Raises Rejected and Temporary."""


@dataclass(eq=False, repr=False)
class Receiver:
    """A receiver of requests. The checks run in this order; the module of each is in brackets.

    1. Path, method, sizes, encoding, content type and the sender's address (admission).
    2. A password or token in the head (admission). Then the body is read within its limits.
    3. The signature with its id and timestamp (admission).
    4. Parsing within limits (parsing), and the source's schema (body_schema).

    Then the events are made (events) and published. Messages of a bus are parsed and checked in the same way
    (messages).

    A handshake is answered as soon as what it needs is there (handshakes): after 1 if the head is enough, after 2 if it
    needs the body, and once the body is parsed if its sender must be authenticated.

    blobs             None on a platform without blobs: a large event then travels whole
    fetch             None offline: no provider's key is fetched, and no subscription confirmed
    take_push         takes a push of a bus (messages.py); None unless a source has a bus that pushes
    times_attribute   returns the attribute of messages in which receive's times travel; None if telemetry is off
    explanations      bounds how many rejections entry.py explains
    queue_full_lines  bounds how many log lines of entry.py say that a source has no place among the unconfirmed
    unconfirmed       the requests whose events the bus has not confirmed yet. A source may have a share of them
    """

    sources: Mapping[str, Source]
    secrets: ports.Secrets
    bus: ports.Bus
    blobs: ports.Blobs | None
    clock: ports.Clock
    random_id: Callable[[], str]
    limits: Limits = DEFAULT
    fetch: "Fetch | None" = None
    take_push: "TakePush | None" = None
    times_attribute: TimesAttribute | None = None
    explanations: TokenBucket = field(default_factory=TokenBucket)
    queue_full_lines: TokenBucket = field(default_factory=TokenBucket)
    deadlines: time_bound.Deadlines = field(default_factory=time_bound.Deadlines)
    unconfirmed: Unconfirmed = field(default_factory=Unconfirmed)

    async def receive(self, request: Request, read_body: ReadBody) -> Accepted | Answered | DeadLettered:
        """Verify a request, publish its events, and return once the bus has confirmed them.

        `request` is the head; `read_body` is called once the head has passed.

        Raises Rejected for a request that fails a check. Raises Temporary if a secret or a provider's key cannot be
        read, if the source has no place among the unconfirmed, or if the bus does not confirm within CONFIRM_SECONDS,
        not counting the time in which the body arrives. In the last case, the events may have been published.
        """
        began_at = self.clock.now() if self.times_attribute else 0.0  # the clock is read only if telemetry needs it
        source = admission.admit(request, self.sources)
        url = admission.requested_url(request, source)
        handshakes = self._handshakes(source, url) if source.handshakes else None
        if source.has_early_outcomes:
            early_outcome = await self._early_outcome(source, handshakes, request, read_body)
            if early_outcome is not None:
                return early_outcome
        if request.method not in source.methods:
            return _answer_without_event(source, request)
        if request.method == "GET":
            _verify_no_prefetch(request)

        checks_began_at = asyncio.get_running_loop().time()
        secrets = await self.secrets_of(source)
        is_head_authenticated = admission.verify_head(request, source, secrets, self.clock.now())
        reading_seconds = await _read_content(source, request, read_body)
        # The time in which the body arrives does not count, so that a slow sender leaves the bus its whole time.
        deadline = checks_began_at + reading_seconds + CONFIRM_SECONDS
        self.unconfirmed.verify_place(source.name)  # before the work of verifying and parsing
        typed_request = parsing.with_content_type_of_body(source, request)
        if handshakes and (handshake := await handshakes.answer_unauthenticated(typed_request)):
            return Answered(source, handshake.reply, handshake.reason)

        now = self.clock.now()
        fields = locations.RequestFields(typed_request, url)
        body_auth: auth_scheme.AuthScheme | None = None
        if not is_head_authenticated:
            body_auth = await self.authenticate_body(source, request, fields, secrets, now)
        parsed = parsing.read_data(source, typed_request, self.limits, body_auth)
        if handshakes and (handshake := await handshakes.answer_authenticated(typed_request, parsed.data)):
            return Answered(source, handshake.reply, handshake.reason)

        event_data = checked_data(source, parsed.data)
        signed = signed_request(source, body_auth, fields, parsed)
        events = build_events(source, request, event_data, now, self.random_id, signed, secrets)
        accepted = Accepted(source, events)
        if source.form and source.form.is_trapped(parsed.data):
            # The reply has the ids of the events, which are not published, so that a robot sees no difference.
            return Answered(source, accepted_reply(accepted, request), "honeypot")
        if accepted.events:
            await self.confirm(source, self.publish(accepted, parsed, began_at, request.method), deadline)
        return accepted

    async def _early_outcome(
        self, source: Source, handshakes: "Handshakes | None", head: Request, read_body: ReadBody
    ) -> Accepted | Answered | DeadLettered | None:
        """Return the outcome of a push, of a preflight or of a handshake in the head; None for any other request.

        Raises Rejected, and Temporary for a push or a handshake that must come again.
        """
        if source.bus:
            if head.method != "POST":
                raise admission.MethodRejected(source.answered_methods)
            if self.take_push is None:
                rule = "the source takes messages of its `bus` only, and no requests of senders"
                raise errors.Rejected("push_identity_mismatch", rule)
            return await self.take_push(self, source, head, read_body)
        if source.form and (form_answer := _form_answer(source, head)):
            return form_answer
        if handshakes and (handshake := await handshakes.answer_head(head)):
            return Answered(source, handshake.reply, handshake.reason)
        return None

    async def secrets_of(self, source: Source) -> admission.SecretValues:
        """Return the values of all the source's secrets. Raises Temporary if one of them cannot be read.

        They are all read before anything is compared. Otherwise a request could be rejected, or accepted by another
        secret, while the secret that decides about it cannot be read.
        """
        return {name: await self.secrets.values(name) for name in source.secret_names}

    @cached_property
    def _keys(self) -> "Keys | None":
        # Imported here, because few providers need it.
        from functions.receive.provider_keys import Keys

        return Keys(self.fetch, self.clock) if self.fetch else None

    async def authenticate_body(
        self,
        source: Source,
        request: Request,
        fields: locations.RequestFields,
        secrets: admission.SecretValues,
        now: float,
    ) -> auth_scheme.AuthScheme:
        """Return the scheme that authenticates the request: by a signature, or by a token in the body.

        Raises Rejected and Temporary.
        """
        keys = admission.NO_KEYS
        if source.needs_keys and self._keys:
            keys = await self._keys.at(admission.needed_keys(fields, source, now))
        auth = admission.verify_body(fields, source, secrets, now, keys)
        if auth.can_be_extended:
            parsing.verify_not_extended(source, request)
        return auth

    def _handshakes(self, source: Source, url: str) -> "Handshakes":
        # Imported here, because few providers need it.
        from functions.receive.handshakes import Handshakes

        return Handshakes(source.handshakes, url, self.secrets, self.fetch)

    async def confirm(self, source: Source, publishing: Awaitable[None], deadline: float) -> None:
        """Wait until the events are published. `deadline` is a time of the event loop. Raises Temporary."""
        self.unconfirmed.add(source.name)
        try:
            await self.deadlines.wait(publishing, deadline)
        except TimeoutError as error:
            detail = f"the bus did not confirm within {CONFIRM_SECONDS} s of the request"
            raise errors.Temporary("bus_unavailable", detail) from error
        finally:
            self.unconfirmed.remove(source.name)

    async def publish(self, accepted: Accepted, parsed: parsing.ReadData, began_at: float, method: str = "") -> None:
        """Publish the events, and return once the bus has confirmed them. Raises Temporary.

        Telemetry needs `began_at`, the time at which the request came, and `method`, which is empty for a message that
        a bus brought.
        """
        times: Mapping[str, str] = {}
        if self.times_attribute is not None:
            status = accepted.source.respond.status if accepted.source.respond else 200
            times = self.times_attribute(began_at, self.clock.now(), method, status)
        messages: list[ports.BusMessage] = []
        for event in accepted.events:
            content = await self._content_of(event, parsed)
            attributes = {"ce-id": event.id, "ce-type": event.type, "ce-source": event.source, **times}
            messages.append(ports.BusMessage(content, attributes))
        await self.bus.publish(ports.EVENTS, messages)

    async def _content_of(self, event: Event, parsed: parsing.ReadData) -> bytes:
        """Return the content of the event's message. An event that is too large is stored as a blob. Raises Temporary.

        If the data is the whole body, unchanged, the message or the blob has it as the sender wrote it.
        """
        text = parsed.text if event.data is parsed.data else None
        if text is not None and len(text) > claim_check.MAX_INLINE_BYTES and self.blobs is not None:
            # It goes into a blob, where its raw body may be left out.
            whole_event = claim_check.stored_json(event, text)
        else:
            whole_event = event_json(event, text)
        if len(whole_event) <= claim_check.MAX_INLINE_BYTES:
            return whole_event
        # Each request has its own blob, because another request with the same id and body can have other headers,
        # another time or other settings of the source.
        name = f"{event.id}-{self.random_id()}"
        _, content = await claim_check.checked_in(event, self.blobs, name, whole_event, is_new=True)
        return content


def signed_request(
    source: Source, auth: auth_scheme.AuthScheme | None, fields: locations.RequestFields, parsed: parsing.ReadData
) -> SignedRequest | None:
    """Return the request as its signature covers it; None if none of its content is signed."""
    if auth is None or not auth.signs_content:
        return None
    return SignedRequest(source, auth, fields, parsed.body_decides_format)


def checked_data(source: Source, data: jsontext.Json) -> jsontext.Json:
    """Return the data that passes the source's checks. A check can remove a part of it, such as a token. Raises
    Rejected."""
    for check in source.data_checks:
        data = check(data)
    return data


def _form_answer(source: Source, head: Request) -> Answered | None:
    """Return the answer to a preflight, by which a browser asks whether a page may post; None for any other request.

    Raises Rejected (`origin_not_allowed`).
    """
    assert source.form
    if head.method == "OPTIONS":
        return Answered(source, source.form.preflight(head), "preflight")
    if head.method in source.methods:
        source.form.verify_origin(head)
    return None


def _answer_without_event(source: Source, head: Request) -> Answered:
    """Return the answer to HEAD, by which some clients look at a link before they open it. Raises MethodRejected."""
    if head.method == "HEAD" and "GET" in source.methods:
        return Answered(source, Reply(200, b"", (("cache-control", "no-store"),)), "head")
    raise admission.MethodRejected(source.answered_methods)


async def _read_content(source: Source, request: Request, read_body: ReadBody) -> float:
    """Set `request.body`, which is made of the query for a GET. Return the seconds in which the body arrived.

    Raises what `read_body` raises.
    """
    if request.method == "GET":
        # Imported here, because few sources take GET.
        from functions.receive.query_body import query_body

        request.body = query_body(source, request.query).content
        return 0.0
    loop_time = asyncio.get_running_loop().time
    began_at = loop_time()
    request.body = await read_body(source.max_body_bytes)
    return loop_time() - began_at


def _verify_no_prefetch(head: Request) -> None:
    """Reject a browser's prefetch of a link, because its user may never open the link. Raises Rejected."""
    for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"):
        value = (head.header(name) or "").lower()
        if "prefetch" in value or "preview" in value or "prerender" in value:
            raise errors.Rejected(
                "prefetch_not_allowed", "a link takes effect when it is followed, not when it is prefetched"
            )


def accepted_reply(accepted: Accepted, request: Request) -> Reply:
    """Return the reply with the id of the event, or the ids of a batch, unless the source has a reply of its own."""
    source = accepted.source
    if source.respond:
        reply = source.respond.reply(accepted.events)
    elif len(accepted.events) == 1:
        # Written by hand because most requests get it. An event's id is hex digits, so nothing in it needs an escape.
        reply = Reply(200, b'{"id":"%b"}' % accepted.events[0].id.encode())
    else:
        reply = json_reply({"ids": [event.id for event in accepted.events]})
    if request.method == "GET":
        reply = reply._replace(headers=(*reply.headers, ("cache-control", "no-store")))
    return source.form.adapt_reply(request, reply) if source.form else reply


def rejection_reply(error: errors.HookchainError, source: Source | None = None) -> Reply:
    """Return the reply to a request that was rejected, or whose event could not be confirmed.

    The body has the code of a rejection. It also has the reason, except in a 401: the request may be a stranger's.
    """
    if not isinstance(error, errors.Rejected):
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        return problem(503, "unavailable", "The event is not confirmed. Send it again later.", retry_after)
    if isinstance(error, admission.MethodRejected):
        return problem(error.status, error.code, error.detail, ("allow", ", ".join(error.allowed)), _CLOSE)
    if error.status == 401:
        # To a Basic challenge, a browser asks its user for a password. It must not ask whoever opens a link at a source
        # that accepts none.
        asks_password = source is None or any(auth.scheme == "basic" for auth in source.auth)
        challenge = f'{"Basic" if asks_password else "Bearer"} realm="hookchain"'
        return problem(401, error.code, "The request is not authenticated.", ("www-authenticate", challenge), _CLOSE)
    return problem(error.status, error.code, error.detail, _CLOSE)
