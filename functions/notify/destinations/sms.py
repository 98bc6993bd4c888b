"""The kind `sms`: text messages through Twilio.

https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final
from urllib.parse import urlencode

from pydantic import Discriminator, Field, model_validator

from functions.notify import bounded_texts, destination, http_kind
from functions.notify.kind_settings import KindSettings, LineTemplate, ServerAddress, TextTemplate, WebAddress
from functions.notify.recipients.to_person import A_PERSON, A_TEXT, NamedPerson, is_person_path, person_path, tag_of
from shared import errors, jsontext
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.templating.template import is_template

MAX_CHARACTERS: Final = 1_600
"""In UTF-16 code units: Twilio counts an emoji as two characters or more."""
NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
PREFIX: Final = r"^\+[1-9][0-9]{0,14}$"
SENDER: Final = r"^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|MG[0-9a-fA-F]{32}|[A-Za-z0-9 _+&-]{1,11})$"
SID_CHARACTERS: Final = 34
"""The length of a messaging service's SID. No other form of a sender is as long, but a name may begin with MG, too."""

_ERRORS: Final[Mapping[str, Mapping[str, str]]] = json.loads(Path(__file__).with_name("sms.json").read_bytes())
FAILED: Final = _ERRORS["failed"]
"""Errors that a repeat cannot change, by their code (https://www.twilio.com/docs/api/errors)."""
HELD: Final = _ERRORS["held"]
"""Errors of the account, its key and the sender, with what the operator corrects."""
LATER: Final = _ERRORS["later"]
"""Errors that pass, such as a limit that is reached."""
AUTHENTICATION_FAILED: Final = "20003"


class Settings(KindSettings):
    """A text message to one phone, through Twilio.

    account           the account's SID, `AC…`
    api_key           the SID of an API key, `SK…`; `secret` is then the key's secret
    secret            the name of a secret with the account's auth token
    to                a number in E.164 form such as `+447700900123`, or a template that results in one; or a person
                      in `people`: `actor`, an expression or `{person: NAME}`
    allow_recipients  the beginnings of numbers that a template in `to` may result in, such as `+44`
    from              a number, a short code, an alphanumeric sender, or a messaging service's SID, `MG…`
    text              a template; cut after `max_characters`
    max_characters    at most 1,600. A message over 160 characters, 70 if one is not GSM's, costs several
    status_callback   a URL to which Twilio reports what became of the message, such as a source of this deployment
    api_url           Twilio's API in another region, such as https://api.dublin.ie1.twilio.com
    allow_private     allow a server at a private address and plain http, such as a stand-in for tests
    """

    digests: ClassVar[bool] = True
    person_address: ClassVar[str] = "phone"

    account: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", examples=["AC" + "0" * 32])
    api_key: str | None = Field(default=None, pattern=r"^SK[0-9a-fA-F]{32}$", examples=["SK" + "0" * 32])
    secret: SecretName
    to: Annotated[Annotated[LineTemplate, A_TEXT] | Annotated[NamedPerson, A_PERSON], Discriminator(tag_of)]
    allow_recipients: tuple[Annotated[str, Field(pattern=PREFIX)], ...] = ()
    from_: str = Field(alias="from", pattern=SENDER, examples=["+15005550006"])
    text: TextTemplate = "{{ type }} from {{ source }}"
    max_characters: int = Field(default=MAX_CHARACTERS, ge=1, le=MAX_CHARACTERS)
    status_callback: WebAddress | None = None
    api_url: ServerAddress = "https://api.twilio.com"
    allow_private: bool = False

    @model_validator(mode="after")
    def _recipient_is_bounded(self) -> "Settings":
        if isinstance(self.to, str) and is_template(self.to) and not self.allow_recipients:
            raise ValueError("a number that the event names needs `allow_recipients`: the beginnings of numbers")
        if isinstance(self.to, NamedPerson) or is_template(self.to):
            return self
        if is_person_path(self.to):
            person_path(self.to)
        elif not NUMBER.fullmatch(self.to):
            rule = (
                "must be a number such as +447700900123, `actor`, an expression such as data.owner, or {person: NAME}"
            )
            raise ValueError(f"to: {rule}; got {self.to!r}")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    view = http_kind.template_view(delivery, attempt.person)
    number = _number(settings, view, attempt)
    if digest := http_kind.digest_words(delivery):
        _, text = digest
    else:
        text = http_kind.rendered("text", settings.text, view).strip()
    form = {
        "To": number,
        "MessagingServiceSid" if len(settings.from_) == SID_CHARACTERS else "From": settings.from_,
        "Body": bounded_texts.cut(text, settings.max_characters, "utf-16"),
    }
    if settings.status_callback:
        form["StatusCallback"] = settings.status_callback
    headers = (
        ("content-type", "application/x-www-form-urlencoded"),
        http_kind.basic(settings.api_key or settings.account, secrets[settings.secret][0]),
    )
    url = f"{settings.api_url}/2010-04-01/Accounts/{settings.account}/Messages.json"
    return http_kind.OutgoingRequest(
        "POST", url, headers, urlencode(form).encode(), allow_private=settings.allow_private
    )


def _number(settings: Settings, view: jsontext.JsonObject, attempt: destination.Attempt) -> str:
    """Return the number that the message goes to. Raises Permanent (`recipient_not_allowed`)."""
    if settings.recipient is not None:
        return attempt.recipient_address(settings.person_address)
    to = str(settings.to)
    number = http_kind.rendered_line("to", to, view)
    allowed = not is_template(to) or number.startswith(settings.allow_recipients)
    if not NUMBER.fullmatch(number) or not allowed:
        raise errors.Permanent(
            "recipient_not_allowed", "sms.to: must result in a number that `allow_recipients` allows"
        )
    return number


def outcome(response: http_kind.Response) -> Outcome:
    sid = response.member("sid")
    if 200 <= response.status < 300 and isinstance(sid, str):
        return Delivered(f"{response.status} {sid} {response.member('status')}")
    code = str(response.member("code"))
    if code in FAILED:
        return Failed("request_rejected", f"Twilio rejects the message ({code}): {FAILED[code]}", response.excerpt)
    if code in LATER:
        reason = f"Twilio answered {response.status} ({code}): {LATER[code]}"
        return RetryLater(reason, response.retry_after_seconds, response.excerpt)
    advice = HELD.get(code)
    if advice or response.status in {401, 403}:
        return http_kind.held(response, "Twilio", advice or HELD[AUTHENTICATION_FAILED])
    return http_kind.outcome_by_status(response, "Twilio", failed={400})
