"""The way of a copy from an inbox of `hookchain listen` to the developer's application.

copy    an event with a request that the deployment accepted: `request_of` in shared/tap.py
target  the application to which each copy is posted, signed with a secret of this machine
"""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.client.hookchain.http import NoResponse, Response
from deploy.cloud_access.inboxes import HOLD_SECONDS, Inboxes, NoInbox, Received
from deploy.requests import posting, signed_samples
from deploy.terminal.output import count_of, printable
from functions.receive.admission import requested_url
from functions.receive.source import Source
from shared import claim_check, errors, http, jsontext, ports, tap
from shared.event import Event, from_cloudevent

RETRY_SECONDS: Final = 2.0
"""The wait after a call of the cloud or of the application that failed."""
FORWARD_SECONDS: Final = 30.0
"""How long the application may take for its response."""
MARGIN_SECONDS: Final = 10.0
"""A copy that is handed out again within this time is not forwarded before: it might come twice."""
_NOT_FORWARDED: Final = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "forwarded", "hookchain-hops", "host"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via"),
    }
)
"""The headers that belong to the connection to the deployment."""
_PROXY_PREFIXES: Final = ("x-amzn-", "x-cloud-", "x-forwarded-")
"""The beginnings of headers that the cloud has added."""
_COUNT: Final = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Target:
    """The application that gets the copies.

    url         where they are posted
    signed_url  the URL that a signature covers; None: that which receive reconstructs, in `make dev`
    keys        what they are signed with
    is_signed   False if only the provider could sign them
    """

    source: Source
    url: str
    signed_url: str | None
    keys: signed_samples.Keys
    is_signed: bool = True

    def signed(self, request: http.Request, delivery_id: str) -> http.Request:
        """Return the request for the target, signed if need be. Raises ValueError, CannotSign and HookchainError."""
        aimed = posting.aim_request(request, self.url)
        if not self.is_signed:
            return aimed
        sender = signed_samples.Sender(self.keys, self._url_of, time.time(), delivery_id)
        return signed_samples.signed_request(aimed, self.source.auth, sender)

    def _url_of(self, request: http.Request) -> str:
        return self.signed_url or requested_url(request, self.source)


class CannotForward(Exception):
    """A copy cannot be forwarded now, because of `cause`: the copy, by its id, or the application, by its URL."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(reason)
        self.cause = cause


@dataclass(slots=True)
class Courier:
    """The way of copies from the inbox `name` to the target."""

    inboxes: Inboxes
    blobs: ports.Blobs
    name: str
    target: Target
    _is_waiting: bool = False
    """The application does not accept connections, which was printed."""
    _delayed: set[str] = field(default_factory=set)
    """The causes of CannotForward that were printed already, so that a copy's next tries do not print them again."""

    async def run(self) -> None:
        """Forward copies until cancelled. Raises InboxFault if the cloud rejects a call.

        A failed connection is printed once, and once more when calls succeed again. A removed inbox is created again.
        """
        is_connected = True
        has_inbox = True
        while True:
            try:
                if not has_inbox:
                    await self.inboxes.create(self.name)
                    say("The inbox was removed, and was created again: copies that waited in it are lost")
                    has_inbox = True
                batch = await self.inboxes.receive(self.name)
                if not is_connected:
                    say("Connected again")
                is_connected = True
                await self._forward_batch(batch, time.time() + HOLD_SECONDS - MARGIN_SECONDS)
            except NoInbox:
                has_inbox = False
                await asyncio.sleep(RETRY_SECONDS)
            except (OSError, errors.Temporary) as error:
                if is_connected:
                    reason = error.detail if isinstance(error, errors.Temporary) else type(error).__name__
                    say(f"Copies cannot be fetched ({reason}): trying again")
                is_connected = False
                await asyncio.sleep(RETRY_SECONDS)

    async def _forward_batch(self, batch: Sequence[Received], until: float) -> None:
        """Forward the copies, one after the other, until `until` (Unix seconds).

        A copy that is not acknowledged is handed out again some time later.
        """
        for received in batch:
            try:
                is_done = await self._forward(received, until)
            except CannotForward as error:  # the other copies need not wait for this one
                if error.cause not in self._delayed:
                    self._delayed.add(error.cause)
                    say(f"{error}: trying again")
                is_done = False
            if is_done:
                missed = received.message.attributes.get(tap.MISSED, "")
                if _COUNT.fullmatch(missed):
                    say(f"{count_of(int(missed), 'request')} before this one could not be copied")
                await self.inboxes.acknowledge(self.name, received)
            if time.time() > until:
                return

    async def _forward(self, received: Received, until: float) -> bool:
        """Return whether the copy is done: it was forwarded, or never can be, which is printed.

        It is not done if the application does not accept connections until `until`. Raises CannotForward.
        """
        try:
            copy = from_cloudevent(received.message.document())
            event = await self._read_request(copy)
            while not await self._post(event):
                await asyncio.sleep(RETRY_SECONDS)
                if time.time() > until:
                    return False
        except errors.Temporary as error:  # the blob or a secret cannot be read
            raise CannotForward(f"{copy.type} {copy.id[:8]} cannot be forwarded ({error.detail})", copy.id) from error
        except (errors.HookchainError, signed_samples.CannotSign, ValueError, RecursionError) as error:
            detail = error.detail if isinstance(error, errors.HookchainError) else error
            say(f"not forwarded: {detail}")
        return True

    async def _read_request(self, copy: Event) -> Event:
        """Return the copy with its body, which may be in a blob. Raises HookchainError and ValueError."""
        if copy.dataref is not None and not copy.dataref.startswith(tap.BLOB_PREFIX):
            raise ValueError(f"{copy.type} {copy.id[:8]}: the blob {copy.dataref!r} is no copy of a request")
        event = await claim_check.checked_out(copy, self.blobs)
        if event.rawbody is None and event.rawbase64 is None:
            rule = "its body was not copied: it is too large, or what must stay secret could not be masked"
            raise ValueError(f"{event.type} {event.id[:8]}: {rule}")
        return event

    async def _post(self, event: Event) -> bool:
        """Sign and post the request, and print the response. Return False if no connection is accepted.

        Raises CannotForward if the connection ends without a response, ValueError for a header that HTTP does not
        allow, and what `Target.signed` raises.
        """
        request = self.target.signed(copied_request(event), event.deliveryid or f"msg_{event.id}")
        began = time.perf_counter()
        response = await asyncio.to_thread(posting.post_request, request, self.target.url, FORWARD_SECONDS)
        if isinstance(response, NoResponse) and response.code in ("unreachable", "untrusted"):
            if not self._is_waiting:
                say(f"waiting for {self.target.url}: {response.reason}")
            self._is_waiting = True
            return False
        self._is_waiting = False
        if fault := self._fault_of(response):
            await asyncio.sleep(RETRY_SECONDS)
            raise CannotForward(f"{self.target.url} {fault}", self.target.url)
        self._delayed.discard(self.target.url)
        status = response.code if isinstance(response, NoResponse) else str(response.status)
        milliseconds = (time.perf_counter() - began) * 1_000
        say(f"{event.receivedat[:19]}Z  {event.type}  {event.id[:8]}  {status}  {milliseconds:.0f} ms")
        return True

    def _fault_of(self, response: Response | NoResponse) -> str:
        """Return why the request must be sent again; empty if it must not."""
        if isinstance(response, NoResponse):
            # Docker accepts connections to an application that is down. One that restarts may not have the request.
            return "closed the connection without a response" if response.code == "cut" else ""
        is_dev = self.target.signed_url is None
        return "did not confirm the event" if is_dev and response.status == 503 else ""


def copied_request(event: Event) -> http.Request:
    """Return the request as its sender sent it, without the headers of connections and proxies. Raises ValueError."""
    pairs = jsontext.list_at({"headers": json.loads(event.rawheaders or "[]")}, "headers")
    headers = [(str(pair[0]).lower(), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    kept = [pair for pair in headers if pair[0] not in _NOT_FORWARDED and not pair[0].startswith(_PROXY_PREFIXES)]
    hops = ("hookchain-hops", str(event.hops + 1))  # ends a loop, if the application sends the event back
    return http.Request("POST", "/", "", (*kept, hops), tap.body_of(event))


def say(line: str) -> None:
    """Print the line at once, also into a pipe: a developer waits for it."""
    print(printable(line), flush=True)
