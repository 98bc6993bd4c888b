"""The mail transport SendGrid: its requests, and what its answers mean.

SendGrid's own library builds the endpoint and its headers. The library's client opens a connection for each call, knows
no timeout and, since Python 3.12, reads the certificate bundle each time; in threads, a mail cost twice the CPU. So
requests are sent here, over kept-alive connections on the event loop.
https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses
"""

import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from functions.notify.destination import Attempt
from functions.notify.destinations.email.mail import Address, Mail, SendLimit
from shared import event, fetch, jsontext, ports
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.outgoing import http_client

MAX_AT_ONCE: Final = 32
MAX_ANSWER_BYTES: Final = 65_536
"""Only the status matters: an accepted mail is not sent again because its answer is too long."""
MAX_ANSWER_CHARACTERS: Final = 500
KEY_PAUSE_SECONDS: Final = 300.0
"""The time for which a secret is cached: a new key cannot be seen earlier."""
SENDER_PAGE: Final = "https://app.sendgrid.com/settings/sender_auth"


class SendGridTransport:
    """The mail transport over SendGrid's API. `url` is the API's base, such as https://api.sendgrid.com.

    Call `use_key` before each `send`: without an API key, there is no path to send to. One transport serves all keys,
    because the limit on its mails and its connections are those of the destination.
    """

    def __init__(self, destination: str, url: str, clock: ports.Clock) -> None:
        self._destination = destination
        self._url = url
        self._clock = clock
        self._http = http_client.HttpClient(url, MAX_ANSWER_BYTES, may_cut=True)
        self._limit = SendLimit(MAX_AT_ONCE)
        self._api_key = ""
        self._path = ""
        self.headers: Mapping[str, str] = {}

    def use_key(self, api_key: str) -> None:
        """Use this key from the next mail on."""
        if api_key == self._api_key:
            return
        # Imported here: it costs 60 ms, which those who send by SMTP need not pay.
        from sendgrid import SendGridAPIClient  # type: ignore[import-untyped] # it has no types

        endpoint = SendGridAPIClient(api_key, host=self._url.rstrip("/")).client.mail.send
        # The library has no public method for the URL. From it, a new version of the API needs no change here.
        self._path = urlsplit(str(endpoint._build_url(query_params=None))).path
        self.headers = {**endpoint.request_headers, "Content-Type": "application/json"}
        self._api_key = api_key

    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Send the mail, and return the outcome. Raises Temporary if too many mails are waiting."""
        body = jsontext.texts_json(request_body(mail))
        began = time.monotonic()
        await self._limit.enter(timeout_seconds)
        try:
            seconds_left = timeout_seconds - (time.monotonic() - began)
            answer = await self._http.call("POST", self._path, self.headers, body, seconds_left)
        except http_client.NotSent as error:
            return RetryLater(f"SendGrid cannot be reached: {error}")
        except OSError as error:
            return Unknown(f"SendGrid did not answer: {type(error).__name__}")
        finally:
            self._limit.release()
        return outcome_of(answer, sender=mail.sender.address, destination=self._destination, now=self._clock.now())

    def close(self) -> None:
        self._http.close()


def request_body(mail: Mail) -> jsontext.JsonObject:
    """Return the body of one request, with one personalization for each separate mail."""
    personalizations: list[jsontext.Json] = []
    for single_mail in mail.each():
        recipients: jsontext.JsonObject = {"to": [_address(address) for address in single_mail.to]}
        if single_mail.cc:
            recipients["cc"] = [_address(address) for address in single_mail.cc]
        if single_mail.bcc:
            recipients["bcc"] = [_address(address) for address in single_mail.bcc]
        personalizations.append(recipients)
    contents: list[jsontext.Json] = []
    if mail.text is not None:  # it comes first, because the API rejects another order
        contents.append({"type": "text/plain", "value": mail.text})
    if mail.html is not None:
        contents.append({"type": "text/html", "value": mail.html})
    body: jsontext.JsonObject = {
        "personalizations": personalizations,
        "from": _address(mail.sender),
        "subject": mail.subject,
        "content": contents,
        "headers": dict(mail.headers),
        "custom_args": {"hookchain_delivery": mail.key},
    }
    if mail.reply_to:
        body["reply_to"] = _address(mail.reply_to)
    if mail.attachments:
        body["attachments"] = [
            {
                "content": jsontext.base64_text(attachment.content),
                "type": attachment.media_type,
                "filename": attachment.filename,
                "disposition": "attachment",
            }
            for attachment in mail.attachments
        ]
    return body


def _address(address: Address) -> jsontext.JsonObject:
    return {"email": address.address, "name": address.name} if address.name else {"email": address.address}


def outcome_of(answer: http_client.Answer, *, sender: str, destination: str, now: float) -> Outcome:
    """Return the delivery's outcome by SendGrid's answer. `now` is in Unix seconds."""
    status = answer.status
    if 200 <= status < 300:
        return Delivered(f"{status} {answer.headers.get('x-message-id', '')}".strip())
    text = f"{status} {_error_text(answer.body)}".strip()[:MAX_ANSWER_CHARACTERS]
    if status == 403 and "verified sender" in text.lower():
        advice = (
            f"SendGrid sends nothing from {sender} until you show that it is yours: verify that address or its domain "
            f"under Settings → Sender Authentication ({SENDER_PAGE}), then run `hookchain resume {destination}`"
        )
        return Disabled(advice, text, names_resume=True)
    if status in {401, 403}:
        reason = f"SendGrid rejects the API key ({status}): see that the secret sendgrid-api-key may send mail"
        return RetryLater(reason, answer=text, pause_destination_seconds=KEY_PAUSE_SECONDS)
    if status == 504:  # a gateway's timeout: the server behind it may have accepted the mail
        return Unknown(f"SendGrid answered {status}", text)
    if status == 429 or status >= 500 or status == 408:
        retry_after = fetch.retry_after_seconds(answer.headers.get("retry-after"), now)
        reset = fetch.reset_seconds(answer.headers.get("x-ratelimit-reset"), now)
        return RetryLater(f"SendGrid answered {status}", reset if retry_after is None else retry_after, text)
    if status == 413:
        return Failed("mail_too_large", "the mail is larger than SendGrid takes", text)
    return Failed("mail_rejected", f"SendGrid rejects the mail ({status})", text)


def _error_text(body: bytes) -> str:
    """Return SendGrid's error messages, each with its field; otherwise the first characters of the body."""
    messages = [
        f"{error['field']}: {error.get('message')}" if error.get("field") else str(error.get("message"))
        for error in jsontext.objects_at(jsontext.json_or_none(body), "errors")
    ]
    text = "; ".join(messages) or body.decode("utf-8", "replace")
    return event.oneline(text[: 4 * MAX_ANSWER_CHARACTERS])
