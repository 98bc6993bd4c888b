"""A mail/send request that SendGrid took, and the mails that it makes: one for each personalization."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.dev.sendgrid.mail import Address, Attachment, Mail
from shared.jsontext import Json, JsonObject, to_json


@dataclass(frozen=True, slots=True)
class MailRequest:
    """`text` is the request's JSON; `attachments` are its attachments' bytes, for which it has a `size_bytes` only."""

    message_id: str
    received_at: float
    text: str
    mails: int
    attachments: tuple[bytes, ...] = ()


def mail_request(text: str, document: JsonObject, message_id: str, received_at: float) -> MailRequest:
    """`document` is what `text` says, found without fault."""
    mails = len(_objects(document.get("personalizations")))
    attachments = _objects(document.get("attachments"))
    if not attachments:
        return MailRequest(message_id, received_at, text, mails)
    contents = tuple(base64.b64decode(_text(each.get("content"))) for each in attachments)
    light: list[Json] = [
        {name: value for name, value in each.items() if name != "content"} | {"size_bytes": len(content)}
        for each, content in zip(attachments, contents, strict=True)
    ]
    return MailRequest(message_id, received_at, to_json(document | {"attachments": light}), mails, contents)


def mail_of(mail_id: int, message_id: str, received_at: float, text: str, personalization_number: int) -> Mail:
    """The mail of that personalization, counted from 0, of a MailRequest's text."""
    document: JsonObject = json.loads(text)
    personalization = _objects(document.get("personalizations"))[personalization_number]
    substitutions = _texts(personalization.get("substitutions"))
    reply_to = [*_objects(document.get("reply_to_list")), *_objects([document.get("reply_to")])]
    categories = document.get("categories")
    # A personalization's own sender, subject, headers and arguments go before the request's.
    subject = _text(personalization.get("subject")) or _text(document.get("subject"))
    return Mail(
        id=mail_id,
        message_id=message_id,
        received_at=received_at,
        sender=_address(personalization.get("from") or document.get("from")),
        to=_addresses(personalization.get("to")),
        cc=_addresses(personalization.get("cc")),
        bcc=_addresses(personalization.get("bcc")),
        reply_to=tuple(_address(each) for each in reply_to),
        subject=_substituted(subject, substitutions),
        text=_substituted(_content(document, "text/plain"), substitutions),
        html=_substituted(_content(document, "text/html"), substitutions),
        attachments=tuple(_attachment(each) for each in _objects(document.get("attachments"))),
        headers=_texts(document.get("headers")) | _texts(personalization.get("headers")),
        custom_args=_texts(document.get("custom_args")) | _texts(personalization.get("custom_args")),
        categories=tuple(_text(each) for each in categories) if isinstance(categories, list) else (),
    )


def _content(document: JsonObject, content_type: str) -> str:
    for block in _objects(document.get("content")):
        if block.get("type") == content_type:
            return _text(block.get("value"))
    return ""


def _substituted(text: str, substitutions: Mapping[str, str]) -> str:
    for tag, value in substitutions.items():
        text = text.replace(tag, value)
    return text


def _attachment(attachment: JsonObject) -> Attachment:
    size_bytes = attachment.get("size_bytes")
    return Attachment(
        filename=_text(attachment.get("filename")),
        type=_text(attachment.get("type")),
        disposition=_text(attachment.get("disposition")) or "attachment",
        content_id=_text(attachment.get("content_id")),
        size_bytes=size_bytes if isinstance(size_bytes, int) else 0,
    )


def _addresses(people: Json) -> tuple[Address, ...]:
    return tuple(_address(each) for each in _objects(people))


def _address(value: Json) -> Address:
    address = value if isinstance(value, dict) else {}
    return Address(_text(address.get("email")), _text(address.get("name")))


def _objects(values: Json) -> list[JsonObject]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _texts(values: Json) -> dict[str, str]:
    return {key: _text(value) for key, value in values.items()} if isinstance(values, dict) else {}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
