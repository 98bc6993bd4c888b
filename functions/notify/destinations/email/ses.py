"""The mail transport over Amazon SES, on AWS.

A mail is sent as the bytes that an SMTP server would get: SES changes their Date and Message-ID.
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
https://docs.aws.amazon.com/ses/latest/dg/header-fields.html
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from functions.notify.destination import Attempt, CloudApi
from functions.notify.destinations.email.letters import Fate, Progress, RecipientResult, conclude, unsent_letters
from functions.notify.destinations.email.mail import Mail, SendLimit
from functions.notify.destinations.email.mail_bytes import message_bytes
from shared import event, jsontext, ports
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.outgoing import http_client

PATH: Final = "/v2/email/outbound-emails"
HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
MAX_AT_ONCE: Final = 16
"""The mails that are sent at the same time, each over a connection of its own."""
MIN_SECONDS: Final = 0.5
"""No further mail is begun with less time left."""
MAX_ANSWER_CHARACTERS: Final = 500
ROLE_PAUSE_SECONDS: Final = 300.0
"""The pause of the destination after SES rejected the role of this function."""
QUOTA_PAUSE_SECONDS: Final = 600.0
"""The pause after the quota of a day is used up.
https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html"""
THROTTLED: Final = frozenset(
    {"LimitExceededException", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)
STOPPED: Final = frozenset({"AccountSuspendedException", "SendingPausedException"})


class SesTransport:
    """The mail transport over SES. `blobs` keeps which recipients of separate mails have theirs."""

    def __init__(self, destination: str, api: CloudApi, blobs: ports.Blobs | None) -> None:
        self._destination = destination
        self._api = api
        self._blobs = blobs
        self._limit = SendLimit(MAX_AT_ONCE)

    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Send the mail, or its separate mails that were not sent before. Raises Temporary only if nothing was sent."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        await self._limit.enter(timeout_seconds)
        try:
            if mail.separate:
                return await self._send_each(mail, attempt, deadline)
            return await self._send_one(mail, attempt.now, deadline)
        finally:
            self._limit.release()

    async def _send_each(self, mail: Mail, attempt: Attempt, deadline: float) -> Outcome:
        """Send one mail after another, which keeps to SES's rate, until SES takes no more for now.

        The next attempt goes on where this one ended.
        """
        progress = Progress(self._blobs, attempt)
        settled = await progress.settled()
        results: list[RecipientResult] = []
        letters = unsent_letters(mail, settled)
        for letter in letters:
            outcome = await self._send_one(letter.mail, attempt.now, deadline)
            if not isinstance(outcome, Delivered | Failed):
                break
            fate: Fate = "accepted" if isinstance(outcome, Delivered) else "rejected"
            [recipient] = letter.recipients  # a separate mail has one
            results.append(RecipientResult(recipient.address, fate, outcome.answer))
        else:
            return conclude([*settled.values(), *results], "SES", attempt.idempotency_key)
        if results:
            await progress.remember([*settled.values(), *results])
        rest = len(letters) - len(results)
        return replace(outcome, reason=f"not yet for {rest} of {len(mail.to)} recipients: {outcome.reason}")

    async def _send_one(self, mail: Mail, now: float, deadline: float) -> Outcome:
        """Send one mail to all its recipients, and return the outcome. Raises Temporary without credentials."""
        seconds_left = deadline - asyncio.get_running_loop().time()
        if seconds_left < MIN_SECONDS:
            return RetryLater("the time of this attempt is over")
        body = jsontext.texts_json(request_body(mail, now))
        try:
            answer = await self._api.call("POST", PATH, HEADERS, body, seconds_left)
        except http_client.NotSent as error:
            return RetryLater(f"SES cannot be reached: {error}")
        except OSError as error:
            return Unknown(f"SES did not answer: {type(error).__name__}")
        return outcome_of(answer, sender=mail.sender.address, destination=self._destination)


def request_body(mail: Mail, now: float) -> jsontext.JsonObject:
    """Return the body of one request. `now` (Unix seconds) is the mail's Date."""
    fields = (("ToAddresses", mail.to), ("CcAddresses", mail.cc), ("BccAddresses", mail.bcc))
    return {
        "Destination": {name: [address.address for address in addresses] for name, addresses in fields if addresses},
        "Content": {"Raw": {"Data": jsontext.base64_text(message_bytes(mail, now))}},
    }


def outcome_of(answer: http_client.Answer, *, sender: str, destination: str) -> Outcome:
    """Return the delivery's outcome by SES's answer."""
    status = answer.status
    if 200 <= status < 300:
        return Delivered(f"{status} {_field(answer, 'MessageId')}".strip())
    error = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    text = " ".join(filter(None, (str(status), error, _field(answer, "message", "Message"))))[:MAX_ANSWER_CHARACTERS]
    advice = _act_of_the_operator(error, text, sender)
    if advice:
        return Disabled(f"{advice}, then run `hookchain resume {destination}`", text, names_resume=True)
    if status in {401, 403}:
        rule = (
            f"SES lets this function send no mail ({status}): its role needs ses:SendRawEmail on the identity {sender}"
        )
        return RetryLater(rule, answer=text, pause_destination_seconds=ROLE_PAUSE_SECONDS)
    if status == 504:  # a gateway's timeout: the server behind it may have accepted the mail
        return Unknown(f"SES answered {status}", text)
    if status == 429 or error in THROTTLED:
        pause = QUOTA_PAUSE_SECONDS if "daily" in text.lower() else None
        return RetryLater(f"SES answered {status} {error}".strip(), answer=text, pause_destination_seconds=pause)
    if status >= 500 or status == 408:
        return RetryLater(f"SES answered {status}", answer=text)
    if status == 413:
        return Failed("mail_too_large", "the mail is larger than SES takes", text)
    return Failed("mail_rejected", f"SES rejects the mail ({status})", text)


def _act_of_the_operator(error: str, text: str, sender: str) -> str | None:
    """Return what an operator must do before SES takes any mail; None if that would not help."""
    if error in STOPPED:
        return "SES sends no mail for this AWS account: see its Account dashboard in the SES console"
    if error == "MailFromDomainNotVerifiedException":
        return f"SES cannot use the MAIL FROM domain of {sender}: correct its MX record, or remove it from the identity"
    if "not verified" not in text.lower():
        return None
    if sender.lower() in text.lower():
        return f"SES sends nothing from {sender} until you verify it or its domain: SES console → Identities"
    return (
        "SES sends only to verified recipients while this AWS account is in the sandbox: request production access "
        "in the SES console → Account dashboard"
    )


def _field(answer: http_client.Answer, *names: str) -> str:
    """Return a text of SES's JSON, printable; empty where there is none."""
    values = jsontext.mapping_at(jsontext.json_or_none(answer.body))
    text = next((value for name in names if isinstance(value := values.get(name), str)), "")
    return event.oneline(text[: 4 * MAX_ANSWER_CHARACTERS])
