"""Receive: a request in, confirmed events on the bus out, or the reason why not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from functions.receive.admission import admit
from functions.receive.authentication import NO_KEYS, SecretValues, keys_wanted, verify_body, verify_head
from functions.receive.build_event import build_events
from functions.receive.diagnosis.ration import Ration
from functions.receive.forwarded import requested_url, sender_address
from functions.receive.identity import SignedRequest
from functions.receive.outcomes import Accepted, Answered
from functions.receive.read_data import as_sent_by_provider, body_of, read_data, refuse_extended, without_tokens
from functions.receive.replies import accepted_reply
from functions.receive.signed_part import signs_content
from functions.receive.sources import Source
from functions.receive.without_event import form_question, handshaking, refuse_prefetch, without_event
from shared.claim_check import checked_in
from shared.errors import Temporary
from shared.event import Event
from shared.http import ReadBody, Request
from shared.limits import DEFAULT, Limits
from shared.ports import EVENTS, Blobs, Bus, BusMessage, Clock, Fetch, Secrets
from shared.signatures.way import Way

if TYPE_CHECKING:
    from functions.receive.handshaking import Handshaking
    from functions.receive.keys import Keys

CONFIRM_SECONDS: Final = 3.8
"""A sender has its answer within 4 s of the request's arrival."""


@dataclass(frozen=True, slots=True)
class Receiver:
    sources: Mapping[str, Source]
    secrets: Secrets
    bus: Bus
    blobs: Blobs | None
    clock: Clock
    random_id: Callable[[], str]
    limits: Limits = DEFAULT
    fetch: Fetch | None = None
    keys: "Keys | None" = None
    diagnoses: Ration = field(default_factory=Ration)

    async def receive(self, head: Request, read_body: ReadBody) -> Accepted | Answered:
        """Raises Rejected, and Temporary where the event is not confirmed (it may arrive all the same)."""
        source = admit(head, self.sources)
        if source.allow:
            source.allow.verify(sender_address(head, source.trusted_proxies))
        if source.form and (asked := form_question(source, source.form, head)):
            return asked
        url = requested_url(head, source)
        shaking = handshaking(source, self.secrets, self.fetch) if source.handshakes else None
        if shaking and (shaken := await shaking.at_the_door(head, url)):
            return shaken
        if head.method not in source.methods:
            return without_event(source, head)
        if head.method == "GET":
            refuse_prefetch(head)
        loop = asyncio.get_running_loop()
        began = loop.time()
        secrets = await self._secret_values(source)
        left = CONFIRM_SECONDS - (loop.time() - began)  # a slow secret store leaves the bus less
        now = self.clock.now()
        proven = verify_head(head, source.auth, secrets, now)
        request = replace(head, body=await body_of(source, head, read_body))
        read_as = as_sent_by_provider(source, request)
        if shaking and (shaken := await shaking.before_proof(read_as, url)):
            return shaken
        by: Way | None = None
        if not proven:
            began = loop.time()
            keys = await self._keys_for(read_as, source)
            left -= loop.time() - began
            by = verify_body(read_as, source.auth, secrets, self.clock.now(), url, keys)
            refuse_extended(source, request, by)
        return await self._taken(source, request, read_as, left, shaking, by)

    async def _keys_for(self, request: Request, source: Source) -> Mapping[str, bytes]:
        """Those that few schemes take and that the request names, of the places that are allowed."""
        needed = keys_wanted(request, source.auth, self.clock.now())
        return await self.keys.at(needed) if needed and self.keys else NO_KEYS

    async def _taken(
        self,
        source: Source,
        request: Request,
        read_as: Request,
        seconds: float,
        shaking: "Handshaking | None",
        by: Way | None,
    ) -> Accepted | Answered:
        """What a proven sender's request becomes. `by` is what proved it, where its head did not."""
        data, by_body = read_data(source, read_as, self.limits, by)
        url = requested_url(request, source)
        if shaking and (shaken := await shaking.after_proof(read_as, data, url)):
            return shaken
        is_trapped = source.form is not None and source.form.is_trapped(data)
        if source.form:
            data = source.form.without_honeypot(data)
        if source.schema:
            source.schema.verify(data)
        if source.body_tokens:
            data = without_tokens(source, data)
        signed = SignedRequest.of(source, read_as, url, by, by_body) if by and signs_content(by) else None
        accepted = Accepted(source, build_events(source, request, data, self.clock.now(), self.random_id, signed))
        if is_trapped:
            return Answered(source, accepted_reply(accepted, request), "honeypot")
        await self._publish(accepted.events, seconds)
        return accepted

    async def _secret_values(self, source: Source) -> SecretValues:
        """Every secret is at hand before anything is compared: one that cannot be read decides nothing."""
        names = [way.secret for way in source.auth if way.secret]
        if len(names) == 1:
            return {names[0]: await self.secrets.values(names[0])}
        return dict(zip(names, await asyncio.gather(*map(self.secrets.values, names)), strict=True))

    async def _publish(self, events: Sequence[Event], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                messages = [await self._message(event) for event in events]
                if messages:
                    await self.bus.publish(EVENTS, messages)
        except TimeoutError as error:
            raise Temporary("bus", f"the bus did not confirm within {seconds:.1f} s") from error

    async def _message(self, event: Event) -> BusMessage:
        # A sender may use an id again for another body, and must not overwrite the first one's.
        name = f"{event.id}-{event.payloadhash[:32]}"
        light, content = await checked_in(event, self.blobs, name, is_named_by_content=True)
        return BusMessage(content, {"ce-id": light.id, "ce-type": light.type, "ce-source": light.source})
