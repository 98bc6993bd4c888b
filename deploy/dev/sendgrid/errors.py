"""SendGrid's errors, with its own messages: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.jsontext import JsonObject

_HELP: Final = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error. `field` is a path such as `personalizations.0.to`."""

    message: str
    field: str | None = None
    help: str | None = None


def complaint(message: str, field: str, section: str) -> Complaint:
    """Return an error. `section` names the part of SendGrid's page of errors that explains it."""
    return Complaint(message, field, _HELP + section)


def wrong_type(expected: str, found: object, field: str, section: str) -> Complaint:
    return complaint(f"Invalid type. Expected: {expected}, given: {_name_of(found)}.", field, section)


def errors_document(complaints: Sequence[Complaint]) -> JsonObject:
    return {"errors": [{"message": each.message, "field": each.field, "help": each.help} for each in complaints]}


BAD_REQUEST: Final = Complaint("Bad Request")
NO_CREDENTIALS: Final = Complaint("Permission denied, wrong credentials")
UNVERIFIED_SENDER: Final = Complaint(
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. "
    "Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity "
    "requirements",
    "from",
)
TOO_MANY: Final = Complaint("too many requests")
TOO_LARGE: Final = Complaint("The total message size should be less than 30MB.")
INTERNAL: Final = Complaint("internal server error")
UNAVAILABLE: Final = Complaint("service unavailable")


def _name_of(found: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(found), "null")
