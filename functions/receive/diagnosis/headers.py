"""Why there is no signature where one is expected."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guess import Case, Guess, holds
from functions.receive.diagnosis.signatures import SHARED
from shared.errors import Rejected
from shared.http import Request
from shared.signatures.layouts import given_signatures, is_signed, place_text
from shared.signatures.places import parse_place
from shared.signatures.reading import Reading
from shared.signatures.signing import ALGORITHMS
from shared.signatures.way import Way

_LIKE_A_SIGNATURE: Final = re.compile(r"[a-z0-9-]{0,40}(?:signature|hmac|-sig|-mac|-sign|webhook-token)[a-z0-9-]{0,20}")
_PREFIX: Final = re.compile(r"(?:sha1|sha256|sha384|sha512|md5|v0|v1|hmac-sha256|hmacsha256)=")


def missing(case: Case) -> str | None:
    """None where there is something in the signature's place."""
    way, request = case.way, case.request
    if way.at is None or all(_is_there(reading, way) for reading in _signed_parts(case)):
        return None
    where = place_text(way).replace("{n}", "1")
    if way.each:
        return (
            f"the signature is expected in {where} of each item, and not every one has it: set the secret at the sender"
        )
    if way.at.kind == "header" and request.header(way.at.name) is not None:
        return f"{where} is there and empty: no secret is set at the sender; set this source's there"
    for guess in _elsewhere(case):
        if holds(guess.case):
            return guess.words
    if others := _alike(request, way):
        return f"the signature is expected in {where}; the request has {', '.join(others)} instead"
    if (request.header("authorization") or "").lower().startswith(("basic ", "bearer ")):
        return f"the request has an Authorization header; this source takes no password but a signature in {where}"
    return f"the request has no signature, expected in {where}: no secret is set at the sender, or a proxy drops it"


def of_no_use(case: Case) -> str | None:
    """What is wrong with a list of signatures as a list, such as one without any of the version expected."""
    if case.way.layout in {"plain", "numbered"}:
        return None
    try:
        given_signatures(Reading(case.request, case.url), case.way)
    except Rejected as error:
        return error.detail
    return None


def _signed_parts(case: Case) -> list[Reading]:
    """The request, or each of the items that carry a signature of their own."""
    whole = Reading(case.request, case.url)
    return [Reading(case.request, case.url, item) for item in whole.values(case.way.each)] if case.way.each else [whole]


def _is_there(reading: Reading, way: Way) -> bool:
    return is_signed(reading, replace(way, each=None))


def _alike(request: Request, way: Way) -> list[str]:
    signed_too = {place.name for place in (way.timestamp, way.id) if place and place.kind == "header"}
    names = dict.fromkeys(name for name, _ in request.headers if name != way.header and name not in signed_too)
    return [name for name in names if _LIKE_A_SIGNATURE.fullmatch(name)][:3]


def _elsewhere(case: Case) -> Iterator[Guess]:
    """A right signature under another name, perhaps by another algorithm: X-Hub-Signature for X-Hub-Signature-256."""
    if case.way.scheme not in SHARED:
        return
    for name in _alike(case.request, case.way):
        found = _PREFIX.match(case.request.header(name) or "")
        prefix = found[0] if found else ""
        for algorithm in ALGORITHMS:
            way = replace(
                case.way, header=name, at=parse_place(f"header.{name}"), prefix=prefix, algorithm=algorithm, when=()
            )
            by = "" if algorithm == case.way.algorithm else f", made with {algorithm}"
            words = (
                f"a right signature stands in the header {name}{by}; this source expects it in {place_text(case.way)}"
            )
            more = "" if not by else f", made with {case.way.algorithm}"
            yield Guess(words + more, replace(case, way=way))


def prefixed(case: Case) -> str | None:
    """Whether the signature would be right with another prefix than the one expected."""
    way = case.way
    text = Reading(case.request, case.url).text(way.at) if way.at else None
    if not text or way.layout != "plain":
        return None
    found = _PREFIX.match(text)
    prefix = found[0] if found else ""
    if prefix == way.prefix:
        return None
    expected = (
        f"this source expects {way.prefix!r} before it" if way.prefix else "this source expects nothing before it"
    )
    for algorithm in ALGORITHMS:
        if holds(replace(case, way=replace(way, prefix=prefix, algorithm=algorithm))):
            given = f"begins with {prefix!r}" if prefix else "has no prefix"
            by = "" if algorithm == way.algorithm else f" and is made with {algorithm}, not {way.algorithm}"
            return f"the signature {given}{by}; {expected}"
    return None
