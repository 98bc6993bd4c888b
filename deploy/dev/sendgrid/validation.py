"""What SendGrid refuses in a mail/send request. It reports every fault at once."""

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from deploy.dev.sendgrid.addresses import address_complaints, address_list_complaints
from deploy.dev.sendgrid.errors import BAD_REQUEST, Complaint, complaint, wrong_type
from deploy.dev.sendgrid.personalizations import personalization_complaints
from shared.jsontext import Json, JsonObject

_RESERVED_HEADERS: Final = frozenset(
    {
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-transfer-encoding",
        "content-type",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    }
)


def complaints_about(document: Json) -> list[Complaint]:
    """An empty list where SendGrid would take it."""
    if not isinstance(document, dict):
        return [BAD_REQUEST]
    return [
        *personalization_complaints(document.get("personalizations")),
        *_sender_complaints(document),
        *_subject_complaints(document),
        *_content_complaints(document),
        *_attachment_complaints(document),
        *_header_complaints(document),
    ]


def _sender_complaints(document: JsonObject) -> Iterator[Complaint]:
    sender = document.get("from")
    if sender is None:
        yield complaint(
            "The from object must be provided for every email send. It is an object that requires the email "
            'parameter, but may also contain a name parameter.  e.g. {"email" : "example@example.com"}  or '
            '{"email" : "example@example.com", "name" : "Example Recipient"}.',
            "from.email",
            "message.from",
        )
    else:
        yield from address_complaints(sender, "from", "message.from")
    if "reply_to" in document:
        yield from address_complaints(document["reply_to"], "reply_to", "message.reply_to")
    if "reply_to_list" in document:
        yield from address_list_complaints(document["reply_to_list"], "reply_to_list", "message.reply_to_list")


def _subject_complaints(document: JsonObject) -> Iterator[Complaint]:
    subject = document.get("subject")
    if subject is not None and not isinstance(subject, str):
        yield wrong_type("string", subject, "subject", "message.subject")
    elif not subject and not document.get("template_id") and not _every_personalization_has_a_subject(document):
        yield complaint(
            "The subject is required. You can get around this requirement if you use a template with a subject "
            "defined or if every personalization has a subject defined.",
            "subject",
            "message.subject",
        )


def _every_personalization_has_a_subject(document: JsonObject) -> bool:
    people = document.get("personalizations")
    return isinstance(people, list) and all(isinstance(each, dict) and each.get("subject") for each in people)


def _content_complaints(document: JsonObject) -> Iterator[Complaint]:
    content = document.get("content")
    if not content:
        if not document.get("template_id"):
            yield complaint(
                "Unless a valid template_id is provided, the content parameter is required. There must be at least "
                "one defined content block. We typically suggest both text/plain and text/html blocks are included, "
                "but only one block is required.",
                "content",
                "message.content",
            )
        return
    if not isinstance(content, list):
        yield wrong_type("array", content, "content", "message.content")
        return
    for n, block in enumerate(content):
        yield from _block_complaints(block, f"content.{n}")
    types = [block.get("type") for block in content if isinstance(block, dict)]
    if "text/plain" in types[1:]:
        yield complaint(
            "If present, text/plain and text/html may only be provided once, and text/plain must be first, followed "
            "by text/html, followed by any other content.",
            "content",
            "message.content",
        )


def _block_complaints(block: Json, path: str) -> Iterator[Complaint]:
    if not isinstance(block, dict):
        yield wrong_type("object", block, path, "message.content")
        return
    for member in ("type", "value"):
        if not isinstance(block.get(member), str) or not block[member]:
            yield complaint(
                f"The content {member} must be a string at least one character in length.",
                f"{path}.{member}",
                f"message.content.{member}",
            )


def _attachment_complaints(document: JsonObject) -> Iterator[Complaint]:
    attachments = document.get("attachments", [])
    if not isinstance(attachments, list):
        yield wrong_type("array", attachments, "attachments", "message.attachments")
        return
    for n, attachment in enumerate(attachments):
        path = f"attachments.{n}"
        if not isinstance(attachment, dict):
            yield wrong_type("object", attachment, path, "message.attachments")
            continue
        if not _is_base64(attachment.get("content")):
            yield complaint(
                "The attachment content must be base64 encoded.", f"{path}.content", "message.attachments.content"
            )
        if not isinstance(attachment.get("filename"), str) or not attachment["filename"]:
            yield complaint(
                "The filename parameter is required for every attachment.",
                f"{path}.filename",
                "message.attachments.filename",
            )
        if attachment.get("disposition", "attachment") not in ("attachment", "inline"):
            yield complaint(
                'The disposition of your attachment can be either "inline" or "attachment".',
                f"{path}.disposition",
                "message.attachments.disposition",
            )


def _is_base64(content: Json) -> bool:
    if not isinstance(content, str) or not content:
        return False
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _header_complaints(document: JsonObject) -> Iterator[Complaint]:
    for member in ("headers", "custom_args"):
        texts = document.get(member, {})
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            yield complaint(f"The {member} must be an object of strings.", member, f"message.{member}")
    headers = document.get("headers")
    for name in headers if isinstance(headers, dict) else ():
        if name.lower() in _RESERVED_HEADERS:
            yield complaint(
                f"The header {name} is a reserved header and cannot be used.", f"headers.{name}", "message.headers"
            )
