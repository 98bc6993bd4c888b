"""The forms that a body may have had when it was signed, before something between the sender and us rewrote it."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus

from shared.formats.parse import media_type
from shared.http import Request
from shared.jsontext import Json

MAX_BYTES: Final = 65_536
"""The largest body of which variants are tried. Each variant costs a signature over all of it."""

BROKEN: Final = "the body is not complete JSON: it was cut or changed on its way, or something else was sent"
_LIKE_JSON: Final = re.compile(rb"\s*(?:\{\s*(?:[\"}]|\Z)|\[\s*(?:[\[{\"\]]|\Z))")
"""The beginning of an object or a list. A line of a log can begin with a bracket too, such as `[2026-03-01]`."""
_REENCODED: Final = "the signature is over the raw body: yours was re-encoded"

Variant = tuple[str, bytes]
"""A cause, and the body that was signed if this is the cause."""


def variants(body: bytes, content_type: str) -> Iterator[Variant]:
    """Yield the forms that the body may have had when it was signed."""
    if not body or len(body) > MAX_BYTES:
        return
    yield from _line_ends(body)
    if body.lstrip()[:1] in {b"{", b"["}:
        yield from _json(body)
    elif content_type.startswith("application/x-www-form-urlencoded"):
        yield from _form(body)
    yield from _compressed(body)


def is_broken(request: Request) -> bool:
    """Return whether the body is meant to be JSON or JSON lines, and is not.

    Of a compressed body, this cannot be said.
    """
    body = request.body
    declared = media_type(request.header("content-type") or "").format
    is_meant_as_json = declared in {"json", "ndjson"} or _LIKE_JSON.match(body) is not None
    if not is_meant_as_json or request.header("content-encoding") or _is_json(body):
        return False
    lines = [line for line in body.splitlines() if line.strip()]
    return len(lines) < 2 or not all(map(_is_json, lines))


def _is_json(text: bytes) -> bool:
    """Return whether the text is JSON. A text that is nested too deeply to be parsed counts as JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def _line_ends(body: bytes) -> Iterator[Variant]:
    """Yield the body with other line ends, and without a byte order mark."""
    stripped = body.rstrip(b"\r\n")
    if stripped != body:
        yield "the body ends in a newline that was not signed: an editor or `echo` adds one; send it without", stripped
    yield f"{_REENCODED} (a newline at its end is missing)", body + b"\n"
    yield f"{_REENCODED} (CR LF at its end is missing)", body + b"\r\n"
    if b"\r\n" in body:
        yield f"{_REENCODED} (CR LF where the sender wrote LF)", body.replace(b"\r\n", b"\n")
    elif b"\n" in body:
        yield f"{_REENCODED} (LF where the sender wrote CR LF)", body.replace(b"\n", b"\r\n")
    if body.startswith(b"\xef\xbb\xbf"):
        yield "the body begins with a byte order mark that was not signed", body[3:]


def _json(body: bytes) -> Iterator[Variant]:
    """Yield the JSON of the body as other programs write it, each also with a newline at its end."""
    try:
        value: Json = json.loads(body)
        rewritten_bodies = list(_rewritten(value))
    except (ValueError, RecursionError):
        return
    tried = {body}
    with_newline = [(f"{cause}, and a newline at its end", text + b"\n") for cause, text in rewritten_bodies]
    for cause, text in (*rewritten_bodies, *with_newline):
        if text not in tried:
            tried.add(text)
            yield f"{_REENCODED} ({cause})", text


def _rewritten(value: Json) -> Iterator[Variant]:
    """Yield the value as different programs write JSON."""
    compact = _dump(value, separators=(",", ":"))
    yield "the sender's JSON has no white space", compact
    yield "the sender's JSON has a space after commas and colons", _dump(value)
    note = ", other characters as \\u escapes"
    yield f"the sender's JSON has no white space{note}", _dump(value, separators=(",", ":"), ensure_ascii=True)
    yield f"the sender's JSON has a space after commas and colons{note}", _dump(value, ensure_ascii=True)
    yield "the sender's JSON is indented by 2", _dump(value, indent=2)
    yield "the sender's JSON is indented by 4", _dump(value, indent=4)
    yield "the sender's JSON has its keys sorted", _dump(value, separators=(",", ":"), sort_keys=True)
    yield "the sender's JSON has its slashes escaped, as PHP writes it", compact.replace(b"/", b"\\/")


def _dump(
    value: Json,
    *,
    separators: tuple[str, str] | None = None,
    ensure_ascii: bool = False,
    indent: int | None = None,
    sort_keys: bool = False,
) -> bytes:
    text = json.dumps(value, separators=separators, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)
    return text.encode("utf-8", "replace")


def _form(body: bytes) -> Iterator[Variant]:
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    for spaces, encode in (("spaces as +", quote_plus), ("spaces as %20", lambda text: quote(text, safe=""))):
        encoded = "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs).encode()
        if encoded != body:
            yield f"{_REENCODED} (the sender's form has {spaces})", encoded


def _compressed(body: bytes) -> Iterator[Variant]:
    """Yield the body before it was compressed, or after."""
    if body[:2] == b"\x1f\x8b":  # gzip
        inflated = _inflated(body)
        if inflated:
            yield (
                "the signature is over the body before it was compressed: this source takes it over what came",
                inflated,
            )
        return
    cause = "the sender compressed the body and signed that: something in between has unpacked it"
    yield cause, gzip.compress(body, mtime=0)


def _inflated(body: bytes) -> bytes | None:
    """Return the content of gzip, of at most MAX_BYTES; None if it is damaged."""
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body, MAX_BYTES)
    except zlib.error:
        return None
