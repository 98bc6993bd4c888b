"""How signatures stand where they stand: one alone, one of several pairs, a list by version, numbered headers."""

import json
from dataclasses import dataclass, field
from typing import Final

from shared.errors import Rejected
from shared.signatures.reading import Reading
from shared.signatures.signing import decoded
from shared.signatures.way import Way

MAX_SIGNATURES: Final = 10
MAX_NUMBERED: Final = 100
_MAX_JSON: Final = 8192


@dataclass(frozen=True, slots=True)
class Given:
    """The signatures a request has, as texts, and the other items that stand with them."""

    signatures: list[str]
    items: dict[str, str] = field(default_factory=dict)


def is_signed(reading: Reading, way: Way) -> bool:
    """Whether there is anything where the way's signature stands."""
    if way.layout == "numbered":
        return bool(reading.request.header(way.header.replace("{n}", "1")))
    if way.each:
        return any(isinstance(item, dict) for item in reading.values(way.each))
    return bool(way.at and reading.text(way.at))


def given_signatures(reading: Reading, way: Way) -> Given:
    """Raises Rejected (`sig`)."""
    if way.layout == "numbered":
        return _numbered(reading, way)
    text = reading.text(way.at) if way.at else None
    if not text:
        raise Rejected("sig", f"the request has no signature: it is expected in {place_text(way)}")
    if not text.startswith(way.prefix):
        raise Rejected("sig", f"the signature in {place_text(way)} does not begin with {way.prefix!r}")
    given = _LAYOUTS[way.layout](text[len(way.prefix) :], way)
    if not given.signatures:
        raise Rejected("sig", f"no signature of the kind {', '.join(sorted(way.take))} stands in {place_text(way)}")
    if len(given.signatures) > MAX_SIGNATURES:
        rule = f"at most {MAX_SIGNATURES} are tried"
        raise Rejected("sig", f"{place_text(way)} holds {len(given.signatures)} signatures; {rule}")
    return given


def place_text(way: Way) -> str:
    if way.scheme == "standard-webhooks":
        return f"the header {way.names}-signature"
    if way.header:
        return f"the header {way.header}"
    return f"{way.at.kind}.{'.'.join(way.at.path)}" if way.at else "the request"


def _plain(text: str, _: Way) -> Given:
    return Given([text])


def _pairs(text: str, way: Way) -> Given:
    """Items of no use here may come again, as signatures of another version do, one for each secret."""
    signatures: list[str] = []
    items: dict[str, str] = {}
    for item in text.split(way.separator[0]):
        key, _, value = item.strip().partition("=")
        if key in way.take:
            signatures.append(value)
        elif key in items and way.timestamp and key == way.timestamp.name:
            raise Rejected("sig", f"{place_text(way)} has the same item twice")
        else:
            items[key] = value
    return Given(signatures, items)


def _versions(text: str, way: Way) -> Given:
    pairs = [item.partition(",") for item in text.split()]
    return Given([signature for version, _, signature in pairs if version in way.take])


def _base64_json(text: str, way: Way) -> Given:
    try:
        value = json.loads(decoded(text[:_MAX_JSON], "base64"))
    except (ValueError, RecursionError):
        return Given([])
    items = value if isinstance(value, dict) else {}
    return Given([items[name] for name in way.take if isinstance(items.get(name), str)])


def _numbered(reading: Reading, way: Way) -> Given:
    found: list[str] = []
    for number in range(1, MAX_NUMBERED + 1):
        text = reading.request.header(way.header.replace("{n}", str(number)))
        if not text:
            break
        found.append(text.removeprefix(way.prefix))
    if not found:
        raise Rejected("sig", f"the request has no signature: it is expected in {place_text(way)}, {{n}} from 1")
    return Given(found)


_LAYOUTS: Final = {"plain": _plain, "pairs": _pairs, "versions": _versions, "base64-json": _base64_json}
