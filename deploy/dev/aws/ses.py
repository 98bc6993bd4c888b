"""Amazon SES as the local AWS has it: mails are caught, beside those that the emulated SendGrid was given.

A mail is stored as the request to SendGrid that would send the same mail, so that the page shows both alike and the
faults on demand are the same.
"""

import base64
from collections.abc import Iterable
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Final

from aiohttp import web

from deploy.dev.sendgrid import SendGrid
from shared.jsontext import Json, JsonObject, from_json, texts_at, to_json

MAX_BODY_BYTES: Final = 56_000_000
"""40 MB in base64."""
_RECIPIENTS: Final = (("to", "ToAddresses"), ("cc", "CcAddresses"), ("bcc", "BccAddresses"))
_SHOWN_HEADERS: Final = ("x-", "list-", "auto-")
_ERRORS: Final = {
    400: (400, "BadRequestException", "The mail is not valid."),
    403: (400, "MessageRejected", "Email address is not verified."),
    429: (429, "TooManyRequestsException", "Maximum sending rate exceeded."),
}


class Ses:
    """`sendgrid` keeps the mails, and has the faults."""

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
            return _error(400)
        answer = await self._sendgrid.accept(to_json(document).encode("utf-8", "replace"), request.transport)
        if answer.status != 202:
            return _error(answer.status)
        return web.json_response({"MessageId": answer.message_id})


def mail_document(request: Json) -> JsonObject:
    """Return a request to SendEmail with raw content as a request to SendGrid. Raises ValueError and LookupError."""
    destination, content = _object(_object(request)["Destination"]), _object(_object(request)["Content"])
    message = RawMessage(base64.b64decode(str(_object(content["Raw"])["Data"])))
    people = {field: message.people(texts_at(destination, key)) for field, key in _RECIPIENTS}
    document: JsonObject = {
        "from": message.people(message.addresses("from"))[0],
        "personalizations": [{field: addresses for field, addresses in people.items() if addresses}],
        "subject": message.subject,
        "content": message.contents(),
        "headers": message.shown_headers(),
    }
    if reply_to := message.people(message.addresses("reply-to")):
        document["reply_to_list"] = reply_to
    if attachments := message.attachments():
        document["attachments"] = attachments
    return document


class RawMessage:
    """A mail's bytes, as the parts of a request to SendGrid."""

    def __init__(self, data: bytes) -> None:
        self._message = message_from_bytes(data, EmailMessage, policy=policy.default)
        self._bodies = {kind: self._message.get_body((kind,)) for kind in ("plain", "html")}
        self._names = {address: name for name, address in self._named("to", "cc", "bcc", "from", "reply-to")}

    @property
    def subject(self) -> str:
        return str(self._message.get("subject", "")) or "(no subject)"

    def addresses(self, header: str) -> list[str]:
        return [address for _, address in self._named(header)]

    def people(self, addresses: Iterable[str]) -> list[Json]:
        """Return each address with the name that the message's headers give it."""
        return [
            {"email": each, "name": name} if (name := self._names.get(each)) else {"email": each} for each in addresses
        ]

    def shown_headers(self) -> JsonObject:
        return {name: str(value) for name, value in self._message.items() if name.lower().startswith(_SHOWN_HEADERS)}

    def contents(self) -> list[Json]:
        contents: list[Json] = []
        for kind, part in self._bodies.items():
            if part is not None and (text := str(part.get_content())):
                contents.append({"type": f"text/{kind}", "value": text})
        return contents or [{"type": "text/plain", "value": " "}]

    def attachments(self) -> list[Json]:
        found: list[Json] = []
        for part in self._message.walk():
            if part.is_multipart() or part in self._bodies.values():
                continue
            payload = part.get_payload(decode=True)
            attachment: JsonObject = {
                "content": base64.b64encode(payload if isinstance(payload, bytes) else b"").decode("ascii"),
                "type": part.get_content_type(),
                "filename": part.get_filename() or "attachment",
                "disposition": part.get_content_disposition() or "attachment",
            }
            if content_id := str(part.get("content-id", "")).strip("<> "):
                attachment["content_id"] = content_id
            found.append(attachment)
        return found

    def _named(self, *headers: str) -> list[tuple[str, str]]:
        """Return the names and addresses in these headers."""
        values = [str(value) for header in headers for value in self._message.get_all(header, [])]
        return [(name, address) for name, address in getaddresses(values) if address]


def _error(status: int) -> web.Response:
    code, name, message = _ERRORS.get(status, (503, "ServiceUnavailable", "SES is not available."))
    return web.json_response({"message": message}, status=code, headers={"x-amzn-ErrorType": name})


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
