"""Validation of a mail/send request as SendGrid does it. Every fault is reported at once."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from deploy.dev.sendgrid.errors import BAD_REQUEST, Complaint, complaint, wrong_type
from shared.jsontext import Json, JsonObject

_EMAIL: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\\]{1,255}")
MAX_PERSONALIZATIONS: Final = 1000
RECIPIENTS: Final = ("to", "cc", "bcc")
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
    """Return the faults; an empty list if SendGrid would accept the request."""
    if not isinstance(document, dict):
        return [BAD_REQUEST]
    return [
        *_personalizations_complaints(document.get("personalizations")),
        *_sender_complaints(document),
        *_subject_complaints(document),
        *_content_complaints(document),
        *_attachment_complaints(document),
        *_header_complaints(document),
    ]


def _personalizations_complaints(people: Json) -> Iterator[Complaint]:
    section = "-Personalizations-Errors"
    if people is not None and not isinstance(people, list):
        yield wrong_type("array", people, "personalizations", section)
    elif not people:
        yield complaint(
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
            section,
        )
    elif len(people) > MAX_PERSONALIZATIONS:
        yield complaint(
            f"You may not have more than {MAX_PERSONALIZATIONS} personalizations per API call.",
            "personalizations",
            section,
        )
    else:
        for n, each in enumerate(people):
            yield from _personalization_complaints(each, f"personalizations.{n}")


def _personalization_complaints(personalization: Json, path: str) -> Iterator[Complaint]:
    if not isinstance(personalization, dict):
        yield wrong_type("object", personalization, path, "message.personalizations")
        return
    if not personalization.get("to"):
        yield complaint(
            "The to array is required for all personalization objects, and must have at least one email object with a "
            "valid email address.",
            f"{path}.to",
            "message.personalizations.to",
        )
    for kind in RECIPIENTS:
        if personalization.get(kind):
            yield from _address_list_complaints(
                personalization[kind], f"{path}.{kind}", f"message.personalizations.{kind}"
            )
    yield from _repeated_address_complaints(personalization, path)
    subject = personalization.get("subject")
    if subject is not None and not isinstance(subject, str):
        yield wrong_type("string", subject, f"{path}.subject", "message.personalizations.subject")


def _repeated_address_complaints(personalization: JsonObject, path: str) -> Iterator[Complaint]:
    seen: set[str] = set()
    for kind in RECIPIENTS:
        people = personalization.get(kind)
        for each in people if isinstance(people, list) else ():
            email = each.get("email") if isinstance(each, dict) else None
            if isinstance(email, str) and email.lower() in seen:
                yield complaint(
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                    f"found the first duplicate instance of [{email}] in the {path}.{kind} field.",
                    path,
                    "message.recipient-errors",
                )
                return
            if isinstance(email, str):
                seen.add(email.lower())


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
        yield from _address_complaints(sender, "from", "message.from")
    if "reply_to" in document:
        yield from _address_complaints(document["reply_to"], "reply_to", "message.reply_to")
    if "reply_to_list" in document:
        yield from _address_list_complaints(document["reply_to_list"], "reply_to_list", "message.reply_to_list")


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


def _is_address(text: Json) -> bool:
    return isinstance(text, str) and bool(_EMAIL.fullmatch(text))


def _address_complaints(value: Json, path: str, section: str) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        yield wrong_type("object", value, path, section)
        return
    if "email" not in value:
        yield complaint(f"The {path.split('.')[-2:][0]} email parameter is required.", f"{path}.email", section)
    elif not _is_address(value["email"]):
        yield complaint("Does not contain a valid address.", f"{path}.email", section)
    if not isinstance(value.get("name", ""), str | None):
        yield wrong_type("string", value["name"], f"{path}.name", section)


def _address_list_complaints(value: Json, path: str, section: str) -> Iterator[Complaint]:
    if not isinstance(value, list):
        yield wrong_type("array", value, path, section)
        return
    for n, each in enumerate(value):
        yield from _address_complaints(each, f"{path}.{n}", section)
