"""Receive: a request in, one confirmed event on the bus out, or the reason why not."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from functions.receive.admission import admit
from functions.receive.authentication import SecretValues, verify_body, verify_head
from functions.receive.build_event import build_event
from functions.receive.sources import Source
from shared.claim_check import checked_in
from shared.errors import Temporary
from shared.event import Event
from shared.formats.decode import decode_content
from shared.formats.parse import parse_body
from shared.http import ReadBody, Request
from shared.jsontext import Json
from shared.limits import DEFAULT, Limits
from shared.ports import EVENTS, Blobs, Bus, BusMessage, Clock, Secrets

CONFIRM_SECONDS: Final = 3.8
"""A sender has its answer within 4 s of the request's arrival."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Confirmed by the bus."""

    event: Event


@dataclass(frozen=True, slots=True)
class Receiver:
    sources: Mapping[str, Source]
    secrets: Secrets
    bus: Bus
    blobs: Blobs | None
    clock: Clock
    random_id: Callable[[], str]
    limits: Limits = DEFAULT

    async def receive(self, head: Request, read_body: ReadBody) -> Accepted:
        """Raises Rejected, and Temporary where the event is not confirmed (it may arrive all the same)."""
        source = admit(head, self.sources)
        loop = asyncio.get_running_loop()
        began = loop.time()
        secrets = await self._secret_values(source)
        left = CONFIRM_SECONDS - (loop.time() - began)  # a slow secret store leaves the bus less
        proven = verify_head(head, source.auth, secrets)
        request = replace(head, body=await read_body(source.max_body_bytes))
        now = self.clock.now()
        if not proven:
            verify_body(request, source.auth, secrets, now)
        event = build_event(source, request, self._parse(source, request), now, self.random_id())
        await self._publish(event, left)
        return Accepted(event)

    async def _secret_values(self, source: Source) -> SecretValues:
        """Every secret is at hand before anything is compared: one that cannot be read decides nothing."""
        names = [way.secret for way in source.auth if way.secret]
        if len(names) == 1:
            return {names[0]: await self.secrets.values(names[0])}
        return dict(zip(names, await asyncio.gather(*map(self.secrets.values, names)), strict=True))

    def _parse(self, source: Source, request: Request) -> Json:
        limits = self.limits
        if source.max_body_bytes > limits.max_decoded_bytes:
            limits = replace(limits, max_decoded_bytes=source.max_body_bytes)
        body = decode_content(request.body, request.header("content-encoding"), limits)
        parsed = parse_body(body, request.header("content-type"), limits)
        return unwrapped(parsed.data) if source.unwrap and parsed.format == "xml" else parsed.data

    async def _publish(self, event: Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                event, content = await checked_in(event, self.blobs, event.id)
                attributes = {"ce-id": event.id, "ce-type": event.type, "ce-source": event.source}
                await self.bus.publish(EVENTS, [BusMessage(content, attributes)])
        except TimeoutError as error:
            raise Temporary("bus", f"the bus did not confirm within {seconds:.1f} s") from error


def unwrapped(data: Json) -> Json:
    """What an XML document's one element holds; an element of text alone stays as it is."""
    if isinstance(data, dict) and len(data) == 1:
        [content] = data.values()
        return content if isinstance(content, dict) else data
    return data
