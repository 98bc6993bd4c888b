"""Who has a mail already, or never will: remembered between the attempts of one delivery."""

import json
from collections.abc import Iterable
from typing import Final

from functions.notify.destination import Attempt
from functions.notify.destinations.email.smtp_dialogue import RecipientFate
from shared.errors import Temporary
from shared.jsontext import Json, to_json
from shared.logs import log
from shared.ports import Blobs

SETTLED: Final = frozenset({"taken", "refused"})


class Progress:
    def __init__(self, blobs: Blobs | None, attempt: Attempt) -> None:
        self._blobs = blobs
        self._attempt = attempt
        self._name = f"mail-{attempt.idempotency_key}"

    async def settled(self) -> dict[str, RecipientFate]:
        """By address. Nobody at the first attempt. Raises Temporary."""
        if self._blobs is None or self._attempt.attempt_number == 1:
            return {}
        content = await self._blobs.get(self._name)
        return {fate.address: fate for fate in _read(content)} if content else {}

    async def remember(self, fates: Iterable[RecipientFate]) -> None:
        """Mails have gone out by now: that this cannot be written must not undo it."""
        rows: list[Json] = [[fate.address, fate.fate, fate.words] for fate in fates if fate.fate in SETTLED]
        try:
            if self._blobs is None:
                raise Temporary("blobs", "this platform's settings name no place for blobs")
            await self._blobs.put(self._name, to_json(rows).encode())
        except Temporary as error:
            key = self._attempt.idempotency_key
            log("WARNING", "a retry will repeat mails", function="notify", delivery_id=key, detail=error.detail)


def _read(content: bytes) -> list[RecipientFate]:
    rows: list[list[str]] = json.loads(content)
    return [RecipientFate(address, "taken" if fate == "taken" else "refused", words) for address, fate, words in rows]
