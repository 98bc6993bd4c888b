"""Caught mails as the JSON that the page gets. Nothing here is safe to show as HTML: senders wrote it."""

import re
from typing import Final

from deploy.dev.sendgrid.mail import Address, Mail
from shared.jsontext import Json, JsonObject
from shared.times import rfc3339

PREVIEW_CHARACTERS: Final = 140
_RULE: Final = re.compile(r"[=_*-]{4,}")  # the lines that texts draw


def mail_document(mail: Mail) -> JsonObject:
    """For the list: without the bodies."""
    return {
        "id": mail.id,
        "message_id": mail.message_id,
        "received_at": rfc3339(mail.received_at),
        "from": _address(mail.sender),
        "to": [_address(each) for each in mail.to],
        "subject": mail.subject,
        "preview": " ".join(_RULE.sub(" ", mail.text[: PREVIEW_CHARACTERS * 4]).split())[:PREVIEW_CHARACTERS],
        "attachments": len(mail.attachments),
    }


def whole_mail_document(mail: Mail) -> JsonObject:
    return {
        **mail_document(mail),
        "cc": [_address(each) for each in mail.cc],
        "bcc": [_address(each) for each in mail.bcc],
        "reply_to": [_address(each) for each in mail.reply_to],
        "text": mail.text,
        "has_html": bool(mail.html),
        "headers": dict(mail.headers),
        "categories": list(mail.categories),
        "custom_args": dict(mail.custom_args),
        "attachments": [
            {
                "filename": each.filename,
                "type": each.type,
                "inline": each.disposition == "inline",
                "bytes": each.size_bytes,
            }
            for each in mail.attachments
        ],
    }


def _address(address: Address) -> Json:
    return {"email": address.email, "name": address.name}
