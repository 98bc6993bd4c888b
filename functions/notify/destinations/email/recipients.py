"""The recipients of a mail: who has it and who does not, remembered between the attempts of a delivery."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from functions.notify.destination import Attempt
from functions.notify.destinations.email.mail import Address, Mail
from shared.delivery import Delivered, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.jsontext import Json, to_json
from shared.logs import log
from shared.ports import Blobs

SETTLED: Final = frozenset({"accepted", "rejected"})

_CODES: Final = re.compile(r"[0-9]{3}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?\b")

Fate = Literal["accepted", "rejected", "later", "unknown"]


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and the recipients who do not have it yet. Its headers still name all recipients."""

    mail: Mail
    recipients: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class RecipientFate:
    """The result of a mail for one recipient. `unknown`: the mail was sent and no answer came.

    `message` is the answer's, or ours if there was none.
    """

    address: str
    fate: Fate
    message: str


def unsent_letters(mail: Mail, settled: Mapping[str, RecipientFate]) -> list[Letter]:
    """Return the mails that are still to be sent, each with the recipients who do not have it."""
    letters = []
    for each in mail.each():
        recipients = tuple(address for address in each.recipients if address.address not in settled)
        if recipients:
            letters.append(Letter(each, recipients))
    return letters


def conclude(fates: Sequence[RecipientFate], service: str) -> Outcome:
    """Return the delivery's outcome. `service` is who answered, such as `the SMTP server`.

    It is Unknown if it is not known whether a recipient has the mail, a retry if recipients remain, and Failed if all
    are rejected.
    """
    total = len(fates)
    unknown = [fate.message for fate in fates if fate.fate == "unknown"]
    if unknown:
        return Unknown(f"{service} did not say whether it took the mail for {len(unknown)} of {total} recipients")
    later = [fate.message for fate in fates if fate.fate == "later"]
    if later:
        return RetryLater(f"not yet for {len(later)} of {total} recipients: {_status(later[0])}", answer=later[0])
    rejections = [fate.message for fate in fates if fate.fate == "rejected"]
    if len(rejections) == total:
        return Failed("mail_rejected", f"{service} rejects the mail: {_status(rejections[0])}", rejections[0])
    if rejections:
        return Delivered(
            f"accepted for {total - len(rejections)} of {total} recipients, rejected for the others: {rejections[0]}"
        )
    return Delivered(fates[0].message)


def _status(reply: str) -> str:
    """Return the codes of a server's reply, and any other text unchanged.

    The result is logged, and the text of a reply may repeat the recipient's address or a part of the mail.
    """
    codes = _CODES.match(reply)
    return codes[0] if codes else reply


class Progress:
    """A record of the recipients that are settled, kept between the attempts of one delivery."""

    def __init__(self, blobs: Blobs | None, attempt: Attempt) -> None:
        self._blobs = blobs
        self._attempt = attempt
        self._name = f"mail-{attempt.idempotency_key}"

    async def settled(self) -> dict[str, RecipientFate]:
        """Return the settled fates by address; none at the first attempt. Raises Temporary."""
        if self._blobs is None or self._attempt.attempt_number == 1:
            return {}
        content = await self._blobs.get(self._name)
        rows: list[list[str]] = json.loads(content) if content else []
        return {  # an earlier version wrote `refused`
            address: RecipientFate(address, "rejected" if fate in {"rejected", "refused"} else "accepted", message)
            for address, fate, message in rows
        }

    async def remember(self, fates: Iterable[RecipientFate]) -> None:
        """Store the settled fates. Mails have been sent by now, so a failure to store is logged and not raised."""
        rows: list[Json] = [[fate.address, fate.fate, fate.message] for fate in fates if fate.fate in SETTLED]
        try:
            if self._blobs is None:
                raise Temporary("blobs_unavailable", "this platform's settings name no place for blobs")
            await self._blobs.put(self._name, to_json(rows).encode())
        except Temporary as error:
            key = self._attempt.idempotency_key
            log("WARNING", "a retry will repeat mails", function="notify", delivery_id=key, detail=error.detail)
