"""The local AWS's emulation of Amazon SES. It catches mails, and keeps them beside those of the emulated SendGrid.

SES gets a mail as the bytes of its message (MIME). It is stored as the request to SendGrid that would send the same
mail, so that the page shows both alike, and the faults on demand are the same:

    {"from": {"email": "shop@example.com"}, "personalizations": [{"to": [{"email": "ada@example.com", "name": "Ada"}]}],
     "subject": "Paid", "content": [{"type": "text/plain", "value": "Thank you"}], "headers": {"List-Id": "orders"}}
"""

import base64
from collections.abc import Iterable, Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from email.utils import getaddresses
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

from deploy.dev.sendgrid import SendGrid
from shared.jsontext import Json, JsonObject, from_json, mapping_at, texts_at, to_json

MAX_BODY_BYTES: Final = 56_000_000
"""The largest message of SES, 40 MB, in base64."""
_RECIPIENT_KEYS: Final = {"to": "ToAddresses", "cc": "CcAddresses", "bcc": "BccAddresses"}
"""The keys of SES, by those of SendGrid."""
_SHOWN_HEADERS: Final = ("x-", "list-", "auto-")
"""The beginnings of the headers that are shown. Others have a field of their own, or are of no interest."""
_Part: TypeAlias = "MIMEPart[str, str]"
"""A mail, or one of its parts."""


class _Error(NamedTuple):
    status: int
    type: str
    message: str


_ERRORS: Final = {
    400: _Error(400, "BadRequestException", "The mail is not valid."),
    403: _Error(400, "MessageRejected", "Email address is not verified."),
    429: _Error(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
}
"""The errors of SES, by the status of SendGrid. For any other status, SES is not available."""
_UNAVAILABLE: Final = _Error(503, "ServiceUnavailable", "SES is not available.")


class Ses:
    """The API's handler. `sendgrid` keeps the mails, and has the faults on demand."""

    def __init__(self, sendgrid: SendGrid) -> None:
        self._sendgrid = sendgrid

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/email/outbound-emails", self.send)
        return app

    async def send(self, request: web.Request) -> web.Response:
        try:
            document = mail_document(from_json(await request.read()))
        except (ValueError, LookupError, RecursionError):
            return _error_response(400)
        answer = await self._sendgrid.accept(to_json(document).encode("utf-8", "replace"), request.transport)
        if answer.status != 202:
            return _error_response(answer.status)
        return web.json_response({"MessageId": answer.message_id})


def mail_document(request: Json) -> JsonObject:
    """Return a request to SendEmail with raw content as a request to SendGrid. Raises ValueError and LookupError."""
    data = mapping_at(request, "Content", "Raw")["Data"]
    message = message_from_bytes(base64.b64decode(str(data)), EmailMessage, policy=policy.default)
    # The request has bare addresses. The names of these people are in the message's headers.
    names = {address: name for name, address in _names_and_addresses(message, "to", "cc", "bcc", "from", "reply-to")}

    def people(addresses: Iterable[str]) -> list[Json]:
        return [{"email": each, "name": names[each]} if names.get(each) else {"email": each} for each in addresses]

    destination = mapping_at(request, "Destination")
    recipients = {key: people(texts_at(destination, ses_key)) for key, ses_key in _RECIPIENT_KEYS.items()}
    bodies = {f"text/{kind}": message.get_body((kind,)) for kind in ("plain", "html")}
    document: JsonObject = {
        "from": people(_addresses(message, "from"))[0],
        "personalizations": [{key: listed for key, listed in recipients.items() if listed}],
        "subject": str(message.get("subject", "")) or "(no subject)",
        "content": _contents(bodies),
        "headers": {name: str(value) for name, value in message.items() if name.lower().startswith(_SHOWN_HEADERS)},
    }
    if reply_to := people(_addresses(message, "reply-to")):
        document["reply_to_list"] = reply_to
    attached = [part for part in message.walk() if not part.is_multipart() and part not in bodies.values()]
    if attached:
        document["attachments"] = [_attachment(part) for part in attached]
    return document


def _addresses(message: _Part, header: str) -> list[str]:
    return [address for _, address in _names_and_addresses(message, header)]


def _names_and_addresses(message: _Part, *headers: str) -> list[tuple[str, str]]:
    values = [str(value) for header in headers for value in message.get_all(header, [])]
    return [(name, address) for name, address in getaddresses(values) if address]


def _contents(bodies: Mapping[str, "_Part | None"]) -> list[Json]:
    """Return the texts of the bodies. A mail without a text gets a space, because SendGrid rejects it otherwise."""
    contents: list[Json] = []
    for content_type, body in bodies.items():
        if body is not None and (text := str(body.get_content())):
            contents.append({"type": content_type, "value": text})
    return contents or [{"type": "text/plain", "value": " "}]


def _attachment(part: _Part) -> JsonObject:
    payload = part.get_payload(decode=True)
    attachment: JsonObject = {
        "content": base64.b64encode(payload if isinstance(payload, bytes) else b"").decode("ascii"),
        "type": part.get_content_type(),
        "filename": part.get_filename() or "attachment",
        "disposition": part.get_content_disposition() or "attachment",
    }
    if content_id := str(part.get("content-id", "")).strip("<> "):
        attachment["content_id"] = content_id
    return attachment


def _error_response(sendgrid_status: int) -> web.Response:
    error = _ERRORS.get(sendgrid_status, _UNAVAILABLE)
    headers = {"x-amzn-ErrorType": error.type}
    return web.json_response({"message": error.message}, status=error.status, headers=headers)
