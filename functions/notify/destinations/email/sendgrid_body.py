"""A mail as SendGrid's API takes it: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""

import base64
from collections.abc import Iterable

from functions.notify.destinations.email.addresses import Address
from functions.notify.destinations.email.mail import Attachment, Mail
from shared.jsontext import Json, JsonObject


def sendgrid_body(mail: Mail) -> JsonObject:
    """One personalization for each mail that is really sent, all in one request."""
    body: JsonObject = {
        "personalizations": [_personalization(each) for each in mail.each()],
        "from": _address(mail.sender),
        "subject": mail.subject,
        "content": _content(mail),
        "headers": dict(mail.headers),
        "custom_args": {"hookchain_delivery": mail.key},
    }
    if mail.reply_to:
        body["reply_to"] = _address(mail.reply_to)
    if mail.attachments:
        body["attachments"] = [_attachment(attachment) for attachment in mail.attachments]
    return body


def _personalization(mail: Mail) -> JsonObject:
    people = {"to": mail.to, "cc": mail.cc, "bcc": mail.bcc}
    return {field: _addresses(addresses) for field, addresses in people.items() if addresses}


def _addresses(addresses: Iterable[Address]) -> list[Json]:
    return [_address(address) for address in addresses]


def _address(address: Address) -> JsonObject:
    return {"email": address.address, "name": address.name} if address.name else {"email": address.address}


def _content(mail: Mail) -> list[Json]:
    """Text first: the API refuses another order."""
    parts = (("text/plain", mail.text), ("text/html", mail.html))
    return [{"type": media_type, "value": value} for media_type, value in parts if value is not None]


def _attachment(attachment: Attachment) -> JsonObject:
    return {
        "content": base64.b64encode(attachment.content).decode(),
        "type": attachment.media_type,
        "filename": attachment.filename,
        "disposition": "attachment",
    }
