"""A handshake as its provider asks for it, made from what the catalogue says of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from deploy.config.models.provider import Handshake
from deploy.requests.edits import with_text
from deploy.requests.samples import Fresh, Sample
from shared.http import Request
from shared.signatures.places import parse_place

_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_PLACE: Final = re.compile(r"(?:header|query|form|data)\.[^\s{}()+]+")


def handshake_sample(handshake: Handshake, checks: Mapping[str, str], fresh: Fresh) -> Sample:
    """`checks`: the secret that must stand at a place. What is asked for back is a text of our own."""
    request = Request(handshake.method, "/")
    places = {**{place: _text(value, fresh) for place, value in handshake.when.items() if value is not False}, **checks}
    for place in _places_in(handshake):
        places.setdefault(place, f"hookchain-{fresh.hex_digits}")
    if any(place.startswith("data.") for place in places):
        request = replace(request, headers=(("content-type", "application/json"),), body=b"{}")
    elif any(place.startswith("form.") for place in places):
        request = replace(request, headers=(("content-type", "application/x-www-form-urlencoded"),))
    for place, text in places.items():
        request = with_text(request, parse_place(place), text)
    return Sample(handshake.name, request, is_handshake=True)


def _text(wanted: str | bool, fresh: Fresh) -> str:
    return wanted if isinstance(wanted, str) else f"hookchain-{fresh.hex_digits}"


def _places_in(handshake: Handshake) -> Iterator[str]:
    """Those whose text is asked for back."""
    reply = handshake.reply
    texts = [reply.text or "", *reply.headers.values(), *(str(value) for value in (reply.json_ or {}).values())]
    for hole in _HOLE.findall("\n".join(texts)):
        yield from _PLACE.findall(hole)
