"""The copy of a request without what the configuration masks, for a developer who may not see it.

A copy that only had the masked values replaced would still tell something about them: a hash of the body, its length,
or a header that repeats a value. So the copy has neither, and a random id of its own.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Final
from urllib.parse import urlencode

from functions.transform.step import Noted, StepContext
from functions.transform.steps.redact import Redact
from shared import errors, jsontext, tap
from shared.base64_text import base64_text
from shared.credential_masks import without_escapes
from shared.event import Event
from shared.formats import form_body
from shared.formats.media_type import MediaType, media_type, structured_format
from shared.limits import DEFAULT

MAX_MASKED_BYTES: Final = 256 * 1_024
"""A larger body is not masked, and so not copied. To mask 1 MB takes up to 0.7 s, in which nothing else runs."""
MIN_FOUND_CHARACTERS: Final = 6
"""A shorter value is searched for only as a whole header, because any header may have a text such as `12` in it."""
MAX_COMPARED_CHARACTERS: Final = 10_000_000
"""The most characters of headers that are compared, for all masked values together. A request with more is not copied,
because nothing else runs meanwhile."""
_OF_BODY: Final = re.compile("checksum|content-length|crc|digest|etag|hash|hmac|md5|sha[0-9]|signature")
"""The names of headers whose values let somebody who knows the rest of the body guess what was masked in it."""
_HASHES: Final = ("md5", "sha1", "sha256", "sha512")
_NUMBER: Final = re.compile("[0-9]+(?:[.][0-9]+)?(?:e[+-]?[0-9]+)?")
_FORM: Final = MediaType("application/x-www-form-urlencoded", {}, None, "form")


def redacted_request(event: Event, request: Event, redact: Redact) -> Event:
    """Return the request with the masked data as its body, and without headers that say something about masked values.

    The copy has neither body nor headers if masking takes too long, or if the body is not the event's data in JSON or
    in a form. After `unpack`, for example, the body may hold what is masked in the data at another place too.

    The event's id can be a hash of the body, and is a part of `traceparent`. So the copy has a random id, and no
    `traceparent`. It does not have the sender's id either, which can be one of the values.
    """
    copy = replace(
        request,
        id=os.urandom(16).hex(),
        traceparent=None,
        deliveryid=None,
        rawbody=None,
        rawbase64=None,
        rawtype=None,
        rawheaders=None,
    )
    body = tap.body_of(event)
    write = _writer(body, event) if len(body) <= MAX_MASKED_BYTES else None
    if write is None:
        return copy
    try:
        masked = redact.apply(event, StepContext(event))
    except errors.Permanent:  # a path to mask leads through a value that has no inner values
        return copy
    data = masked.event.data if isinstance(masked, Noted) else masked.data
    values = set(_masked_values(event.data, data))
    if len(values) * len(event.rawheaders or "") > MAX_COMPARED_CHARACTERS:
        return copy
    headers = _kept_headers(event, values, set(_traces_of(body)), copy.id)
    return replace(copy, rawbody=write(data), rawheaders=headers)


def _writer(body: bytes, event: Event) -> Callable[[jsontext.Json], str] | None:
    """Return a function that writes data in the body's format, JSON or a form.

    Return None if the body does not have the event's data in the format that its content type names. A source with
    fixed formats, for example, reads XML as a form, in which the whole XML is the name of a field.
    """
    media = media_type(event.rawtype or "")
    if media.format not in (None, "json", "form") or media.charset not in (None, "utf-8"):
        return None
    try:
        if jsontext.from_json(body) == event.data:
            return jsontext.to_json
    except (ValueError, RecursionError):
        pass
    fields = [each for each in body.split(b"&") if each]
    if media.format != "form" or structured_format(body) or not all(b"=" in each for each in fields):
        return None
    try:
        form = form_body.parse(body, _FORM, DEFAULT)
    except errors.Rejected:
        return None
    return _form if isinstance(event.data, dict) and form == event.data else None


def _masked_values(data: jsontext.Json, masked: jsontext.Json) -> Iterator[str | float]:
    """Yield the texts, in small letters, and the numbers that are in the data and not in the masked data."""
    if data is masked:
        return
    if isinstance(data, dict):
        rest = masked if isinstance(masked, dict) else {}
        for name, value in data.items():
            yield from _masked_values(value, rest.get(name))
    elif isinstance(data, list):
        for value, other in zip_longest(data, masked if isinstance(masked, list) else []):
            yield from _masked_values(value, other)
    elif isinstance(data, str) and data != masked:
        yield data.strip().lower()
    elif isinstance(data, int | float) and not isinstance(data, bool) and data != masked:
        text = jsontext.to_json(data)
        yield from (text, abs(float(text)))


def _traces_of(body: bytes) -> Iterator[str]:
    """Yield texts with which somebody who knows the rest of the body can guess what was masked in it."""
    yield str(len(body))
    for name in _HASHES:
        digest = hashlib.new(name, body, usedforsecurity=False).digest()
        yield from (digest.hex(), base64_text(digest).lower())


def _kept_headers(event: Event, values: Collection[str | float], traces: Collection[str], copy_id: str) -> str | None:
    """Return the event's headers without those whose values tell something about the masked `values`.

    A header with the sender's id, such as `webhook-id`, gets the id of the copy. `traces` are those of the body.
    """
    if event.rawheaders is None:
        return None
    pairs = jsontext.from_json(event.rawheaders.encode())
    assert isinstance(pairs, list)
    names_and_texts = [(str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list)]
    readings = [_readings(text) for _, text in names_and_texts]
    all_texts = "\n".join(chain.from_iterable(readings))
    texts = {value for value in values if isinstance(value, str)}
    texts |= {_plain(text.encode("utf-8", "replace")) for text in texts}  # a value may itself have escapes
    texts.update(traces)
    found = [text for text in texts if len(text) >= MIN_FOUND_CHARACTERS and text in all_texts]
    kept: list[jsontext.Json] = []
    for (name, text), read in zip(names_and_texts, readings, strict=True):
        if event.deliveryid and text == event.deliveryid:
            kept.append([name, copy_id])
            continue
        is_of_body = _OF_BODY.search(name.lower()) is not None
        has_text = any(each in texts or any(value in each for value in found) for each in read)
        has_number = any(number in values for each in read for number in _numbers_in(each))
        if not (is_of_body or has_text or has_number):
            kept.append([name, text])
    return jsontext.to_json(kept)


def _readings(text: str) -> set[str]:
    """Return the header's text in small letters: as it is, in UTF-8, and without the escapes of URLs, JSON and HTML."""
    content = text.encode("latin-1", "replace")
    spellings = (text, content.decode("utf-8", "replace"), _plain(content), _plain(content.replace(b"+", b" ")))
    return {each.strip().lower() for each in spellings}


def _plain(content: bytes) -> str:
    return without_escapes(content.lower()).decode("utf-8", "replace").lower()


def _numbers_in(text: str) -> Iterator[float]:
    """Yield the number that the text is, and those in it of MIN_FOUND_CHARACTERS: `199.90` is 199.9 in the data."""
    for match in _NUMBER.finditer(text):
        if len(match[0]) >= MIN_FOUND_CHARACTERS or match[0] == text.lstrip("+-"):
            yield float(match[0])


def _form(fields: jsontext.Json) -> str:
    assert isinstance(fields, dict)
    return urlencode(fields, doseq=True)
