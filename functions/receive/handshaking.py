"""Where handshakes come in on a request's way: at the door, before its sender is proven, or after."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from functions.receive.authentication import SecretValues
from functions.receive.handshake_text import WORD
from functions.receive.handshakes import Handshake, handshake_reply, matching_handshake
from functions.receive.keys import confirmed
from functions.receive.outcomes import Answered
from functions.receive.sources import Source
from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.jsontext import Json
from shared.ports import Fetch, Secrets

_A_WORD_OR_NOTHING: Final = re.compile(f"(?:{WORD})?".encode())


@dataclass(frozen=True, slots=True)
class Handshaking:
    """Of one source. Each answers None where the request is no handshake; else raises as handshake_reply does."""

    source: Source
    secrets: Secrets
    fetch: Fetch | None

    async def at_the_door(self, head: Request, url: str | None) -> Answered | None:
        """By the head alone, and before any secret is read that the handshake does not take: some come before there
        is one."""
        return await self._shaken(
            [each for each in self.source.handshakes if not each.needs_body], head, url, None, False
        )

    async def before_proof(self, request: Request, url: str | None) -> Answered | None:
        """Raises Rejected (`sig`) also for an event whose signature a handshake would make for anyone."""
        if any(each.signs_for_anyone for each in self.source.handshakes):
            _refuse_signed_for_anyone(request.body)
        return await self._shaken(self.source.handshakes, request, url, None, False)

    async def after_proof(self, request: Request, data: Json, url: str | None) -> Answered | None:
        """`data` is the parsed body."""
        return await self._shaken(self.source.handshakes, request, url, data, True)

    async def _shaken(
        self, handshakes: Sequence[Handshake], request: Request, url: str | None, data: Json, signed: bool
    ) -> Answered | None:
        found = matching_handshake(request, handshakes, signed=signed, data=data)
        if found is None:
            return None
        secrets: SecretValues = {name: await self.secrets.values(name) for name in found.secret_names}
        answer = handshake_reply(found, request, secrets, url, data)
        if answer.fetch:
            if self.fetch is None:
                raise Temporary("handshake", "there is no way out to confirm the subscription by")
            await confirmed(self.fetch, answer.fetch)
        return Answered(self.source, answer.reply, f"handshake {answer.name}")


def _refuse_signed_for_anyone(body: bytes) -> None:
    if _A_WORD_OR_NOTHING.fullmatch(body):
        raise Rejected("sig", "the body is a single word or none, as the provider's handshake signs for anyone")
