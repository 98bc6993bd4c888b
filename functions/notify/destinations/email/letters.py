"""The recipients of a delivery's mail, for SMTP and SES: who does not have it yet, and the outcome that follows.

unsent_letters      the mails that are to be sent, to those who do not have theirs
Progress.settled    who needs no further mail after the earlier attempts of the delivery
Progress.remember   stores that, if some recipients are left
conclude            the outcome of the delivery, by the results of all its recipients
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from functions.notify.destination import Attempt
from functions.notify.destinations.email.mail import Address, Mail
from shared import errors, jsontext, logs, ports
from shared.delivery import Delivered, Failed, Outcome, RetryLater, Unknown

Fate = Literal["accepted", "rejected", "later", "unknown"]
"""`later`: the mail was certainly not accepted, and can be sent again. `unknown`: it was sent, and no answer came."""
SETTLED: Final = frozenset({"accepted", "rejected"})
"""The fates after which a recipient gets no further mail of the delivery."""
PROGRESS: Final = "mail-"
"""The beginning of the name of the blob with the recipients of a delivery that are settled. Its id follows."""
_CODES: Final = re.compile(r"[0-9]{3}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?\b")
"""A reply's code, and its enhanced status code if it has one (RFC 3463)."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and the recipients who do not have it yet. Its headers still name all recipients."""

    mail: Mail
    recipients: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """The result of a mail for one recipient. `message` is the server's answer, or ours if there was none."""

    address: str
    fate: Fate
    message: str


def unsent_letters(mail: Mail, settled: Mapping[str, RecipientResult]) -> list[Letter]:
    """Return the mails that are still to be sent, each with the recipients who do not have it."""
    letters = []
    for single_mail in mail.each():
        recipients = tuple(address for address in single_mail.recipients if address.address not in settled)
        if recipients:
            letters.append(Letter(single_mail, recipients))
    return letters


def conclude(results: Sequence[RecipientResult], service: str, key: str) -> Outcome:
    """Return the delivery's outcome by the results for all its recipients, of whom there is at least one:

    unknown for any      Unknown
    later for any        RetryLater
    rejected for all     Failed
    otherwise            Delivered, with a warning in the log if some are rejected

    `service` is who answered, such as `the SMTP server`, and `key` the idempotency key of the attempt, for the log. The
    reason of an outcome is logged, so it has no more than the codes of an answer. The answer itself is only recorded.
    """
    total = len(results)
    unknown_count = sum(result.fate == "unknown" for result in results)
    if unknown_count:
        return Unknown(f"{service} did not say whether it took the mail for {unknown_count} of {total} recipients")
    later = [result.message for result in results if result.fate == "later"]
    if later:
        return RetryLater(f"not yet for {len(later)} of {total} recipients: {_codes(later[0])}", answer=later[0])
    rejections = [result.message for result in results if result.fate == "rejected"]
    if not rejections:
        return Delivered(results[0].message)
    if len(rejections) == total:
        return Failed("mail_rejected", f"{service} rejects the mail: {_codes(rejections[0])}", rejections[0])
    detail = f"{service} rejects {len(rejections)} of {total} recipients: {_codes(rejections[0])}"
    logs.log("WARNING", "delivered, but not to all recipients", function="notify", delivery_id=key, detail=detail)
    accepted_count = total - len(rejections)
    return Delivered(f"accepted for {accepted_count} of {total} recipients, rejected for the others: {rejections[0]}")


def _codes(reply: str) -> str:
    """Return the codes of a server's reply, and any other text unchanged.

    The rest of a reply may repeat the recipient's address or a part of the mail.
    """
    codes = _CODES.match(reply)
    return codes[0] if codes else reply


class Progress:
    """A record of the recipients that are settled, kept as a blob between the attempts of one delivery.

    A replay of a delivery that failed goes on with it, so nobody gets the mail again. A delivery that is reopened after
    it was delivered has a new record.
    """

    def __init__(self, blobs: ports.Blobs | None, attempt: Attempt) -> None:
        self._blobs = blobs
        self._attempt = attempt
        self._name = f"{PROGRESS}{attempt.row_key}"

    async def settled(self) -> dict[str, RecipientResult]:
        """Return the settled results by address; none at the first attempt. Raises Temporary.

        The attempts of a replay ask again for the recipients that were rejected, because somebody may have corrected
        the cause.
        """
        if self._blobs is None or not self._attempt.may_be_there:
            return {}
        content = await self._blobs.get(self._name)
        rows: list[list[str]] = json.loads(content) if content else []
        results = {  # an earlier version wrote `refused`
            address: RecipientResult(address, "rejected" if fate in {"rejected", "refused"} else "accepted", message)
            for address, fate, message in rows
        }
        is_replay = self._attempt.generation > 0
        if not is_replay:
            return results
        return {address: result for address, result in results.items() if result.fate == "accepted"}

    async def remember(self, results: Sequence[RecipientResult]) -> None:
        """Store who is settled by the results for all recipients, in place of what an earlier attempt stored.

        Mails have been sent by now, so a failure to store is logged and not raised.
        """
        rows: list[jsontext.Json] = [
            [result.address, result.fate, result.message] for result in results if result.fate in SETTLED
        ]
        try:
            if self._blobs is None:
                raise errors.Temporary("blobs_unavailable", "this platform's settings name no place for blobs")
            await self._blobs.put(self._name, jsontext.to_json(rows).encode())
        except errors.Temporary as error:
            key = self._attempt.idempotency_key
            logs.log("WARNING", "a retry will repeat mails", function="notify", delivery_id=key, detail=error.detail)
