"""Personalizations: who gets a mail, each with a subject and headers of its own if wished."""

from collections.abc import Iterator
from typing import Final

from deploy.dev.sendgrid.addresses import address_list_complaints
from deploy.dev.sendgrid.errors import Complaint, complaint, wrong_type
from shared.jsontext import Json, JsonObject

MOST: Final = 1000
RECIPIENTS: Final = ("to", "cc", "bcc")


def personalization_complaints(people: Json) -> Iterator[Complaint]:
    section = "-Personalizations-Errors"
    if people is not None and not isinstance(people, list):
        yield wrong_type("array", people, "personalizations", section)
    elif not people:
        yield complaint(
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
            section,
        )
    elif len(people) > MOST:
        yield complaint(
            f"You may not have more than {MOST} personalizations per API call.", "personalizations", section
        )
    else:
        for n, each in enumerate(people):
            yield from _complaints(each, f"personalizations.{n}")


def _complaints(personalization: Json, path: str) -> Iterator[Complaint]:
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
            yield from address_list_complaints(
                personalization[kind], f"{path}.{kind}", f"message.personalizations.{kind}"
            )
    yield from _repeated(personalization, path)
    subject = personalization.get("subject")
    if subject is not None and not isinstance(subject, str):
        yield wrong_type("string", subject, f"{path}.subject", "message.personalizations.subject")


def _repeated(personalization: JsonObject, path: str) -> Iterator[Complaint]:
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
