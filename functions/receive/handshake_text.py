"""A handshake's answer: literal text with places of the request in it, or a MAC or digest of such places."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shared.errors import Rejected
from shared.signatures.places import Place, parse_place
from shared.signatures.reading import Reading
from shared.signatures.signing import hmac_text

_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_CALL: Final = re.compile(r"([a-z0-9-]+)\((.*)\)")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,4096}")
WORD: Final = r"[A-Za-z0-9._~+/=-]{1,512}"
"""What a handshake may ask to be signed. Whoever asks gets a MAC under the key that also signs events, so no event's
body may be of this kind, nor empty (before some bodies a word is signed): handshaking.py refuses it."""


@dataclass(frozen=True, slots=True)
class Hole:
    """`function` is empty, hmac-hex, hmac-base64 or sha256-hex; a part that is None is the URL without its query."""

    function: str
    parts: tuple[Place | str | None, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    pieces: tuple[str | Hole, ...]


@lru_cache(maxsize=128)
def parse_filled(template: str) -> Filled:
    """Of a template that the catalogue's model has checked."""
    texts = _HOLES.split(template)
    return Filled(tuple(_hole(text) if number % 2 else text for number, text in enumerate(texts) if text))


def filled(template: Filled, reading: Reading, key: bytes) -> str:
    """Raises Rejected (`parse`) where a place holds nothing, or no printable text."""
    return "".join(piece if isinstance(piece, str) else _text(piece, reading, key) for piece in template.pieces)


def places_of(template: Filled) -> list[Place]:
    holes = [piece for piece in template.pieces if isinstance(piece, Hole)]
    return [part for hole in holes for part in hole.parts if isinstance(part, Place)]


def signs(template: Filled) -> bool:
    return any(isinstance(piece, Hole) and piece.function.startswith("hmac-") for piece in template.pieces)


def _hole(text: str) -> Hole:
    call = _CALL.fullmatch(text)
    if call is None:
        return Hole("", (parse_place(text),))
    return Hole(call[1], tuple(_part(part) for part in call[2].split("+")))


def _part(text: str) -> Place | str | None:
    """A text is one that the compiler has filled in."""
    if text == "endpoint":
        return None
    return parse_place(text) if text.partition(".")[0] in {"header", "query", "form", "data"} else text


def _text(hole: Hole, reading: Reading, key: bytes) -> str:
    texts = [_part_text(part, reading) for part in hole.parts]
    if not hole.function:
        return texts[0]
    content = "".join(texts)
    if hole.function == "sha256-hex":
        return hashlib.sha256(content.encode()).hexdigest()
    if not re.fullmatch(WORD, content):
        raise Rejected("parse", "what the handshake asks to be signed is no single word: it could be an event's body")
    return hmac_text(content.encode(), key, "sha256", hole.function.removeprefix("hmac-"))


def _part_text(part: Place | str | None, reading: Reading) -> str:
    if part is None:
        return reading.url.partition("?")[0]
    if isinstance(part, str):
        return part
    text = reading.text(part)
    if text is None or not _PRINTABLE.fullmatch(text):
        raise Rejected("parse", f"the handshake asks for {part.kind}.{'.'.join(part.path)}, which holds no text")
    return text
