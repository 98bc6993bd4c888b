"""Addresses in a mail/send request: objects with an `email` and perhaps a `name`."""

import re
from collections.abc import Iterator
from typing import Final

from deploy.dev.sendgrid.errors import Complaint, complaint, wrong_type
from shared.jsontext import Json

_EMAIL: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\\]{1,255}")


def is_address(text: Json) -> bool:
    return isinstance(text, str) and bool(_EMAIL.fullmatch(text))


def address_complaints(value: Json, path: str, section: str) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        yield wrong_type("object", value, path, section)
        return
    if "email" not in value:
        yield complaint(f"The {path.split('.')[-2:][0]} email parameter is required.", f"{path}.email", section)
    elif not is_address(value["email"]):
        yield complaint("Does not contain a valid address.", f"{path}.email", section)
    if not isinstance(value.get("name", ""), str | None):
        yield wrong_type("string", value["name"], f"{path}.name", section)


def address_list_complaints(value: Json, path: str, section: str) -> Iterator[Complaint]:
    if not isinstance(value, list):
        yield wrong_type("array", value, path, section)
        return
    for n, each in enumerate(value):
        yield from address_complaints(each, f"{path}.{n}", section)
