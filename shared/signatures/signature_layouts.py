"""The layouts in which a request carries several signatures: pairs, a list by version, base64 of JSON, and numbered
headers."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from shared.errors import Rejected
from shared.http import Request
from shared.signatures.auth_scheme import described
from shared.signatures.signature_scheme import Signatures, SignatureScheme
from shared.signatures.signing import decoded

MAX_NUMBERED: Final = 100
_MAX_JSON: Final = 8192


def _pairs(text: str, auth: SignatureScheme) -> Signatures:
    """Split a list of pairs. Items that are not used may be repeated, such as signatures of another version."""
    signatures: list[str] = []
    items: dict[str, str] = {}
    for item in text.split(auth.separator[0]):
        key, _, value = item.strip().partition("=")
        if key in auth.take:
            signatures.append(value)
        elif key in items and auth.timestamp and key == auth.timestamp.name:
            raise Rejected("signature_mismatch", f"{described(auth.at)} has the same item twice")
        else:
            items[key] = value
    return Signatures(signatures, items)


def _versions(text: str, auth: SignatureScheme) -> Signatures:
    versions = [item.partition(",") for item in text.split()]
    return Signatures([signature for version, _, signature in versions if version in auth.take])


def _base64_json(text: str, auth: SignatureScheme) -> Signatures:
    try:
        document = json.loads(decoded(text[:_MAX_JSON], "base64"))
    except (ValueError, RecursionError):
        return Signatures([])
    items = document if isinstance(document, dict) else {}
    return Signatures([items[name] for name in auth.take if isinstance(items.get(name), str)])


LISTS: Final[Mapping[str, Callable[[str, SignatureScheme], Signatures]]] = MappingProxyType(
    {"pairs": _pairs, "versions": _versions, "base64-json": _base64_json}
)


def numbered_headers(request: Request, name: str, prefix: str) -> Signatures:
    """Read the headers whose names have the numbers from 1 in place of `{n}`, up to the first that is missing."""
    found: list[str] = []
    for number in range(1, MAX_NUMBERED + 1):
        text = request.header(name.replace("{n}", str(number)))
        if not text:
            break
        found.append(text.removeprefix(prefix))
    return Signatures(found)
