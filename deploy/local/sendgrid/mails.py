"""From a mail/send request that SendGrid would take to the mails that it makes: one for each personalization."""

import base64
from collections.abc import Mapping

from deploy.local.sendgrid.mail import Address, Attachment, Mail
from shared.jsontext import Json, JsonObject


def mails_of(document: JsonObject, message_id: str, received_at: float) -> list[Mail]:
    attachments = tuple(_attachment(each) for each in _objects(document.get("attachments")))
    return [
        _mail(document, personalization, attachments, message_id, received_at)
        for personalization in _objects(document.get("personalizations"))
    ]


def _mail(
    document: JsonObject,
    personalization: JsonObject,
    attachments: tuple[Attachment, ...],
    message_id: str,
    received_at: float,
) -> Mail:
    """A personalization's own sender, subject, headers and arguments go before the request's."""
    substitutions = _texts(personalization.get("substitutions"))
    subject = _text(personalization.get("subject")) or _text(document.get("subject"))
    reply_to = [*_objects(document.get("reply_to_list")), *_objects([document.get("reply_to")])]
    categories = document.get("categories")
    return Mail(
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
        attachments=attachments,
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
    return Attachment(
        filename=_text(attachment.get("filename")),
        type=_text(attachment.get("type")),
        disposition=_text(attachment.get("disposition")) or "attachment",
        content_id=_text(attachment.get("content_id")),
        size_bytes=len(base64.b64decode(_text(attachment.get("content")))),
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
