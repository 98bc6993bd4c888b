"""What the head of a request says about whether it may go on: path, method, size, encoding."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from functions.receive.sources import Source
from shared.errors import Rejected
from shared.http import MAX_HEADER_BYTES, Headers, Request

MAX_QUERY_BYTES: Final = 65_536  # what servers take at most, whatever a body may have
MAX_HEADERS: Final = 256
"""Beyond what senders need and platforms let through: whatever looks for a header goes through all there are."""
ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class MethodRefused(Rejected):
    """A 405, which names the methods that are allowed."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__("method", f"this source takes {', '.join(allowed)}")
        self.allowed = allowed


def source_name(path: str) -> str:
    return unquote(path.removeprefix("/").partition("/")[0])


def admit(head: Request, sources: Mapping[str, Source]) -> Source:
    """The source that the request is for. Raises Rejected."""
    source = sources.get(source_name(head.path))
    if source is None:
        raise Rejected("unknown_source", "no source has this path; the configuration's `sources` lists them")
    if not _path_fits(head.path, source):
        raise Rejected("unknown_source", f"the path of this source is {_ITS_PATH}")
    if head.method not in source.methods and head.method not in source.answered_methods:
        raise MethodRefused(source.answered_methods)
    _verify_headers(head.headers)
    _verify_length(head.header("content-length"), source.max_body_bytes)
    if len(head.query) > (most := min(source.max_body_bytes, MAX_QUERY_BYTES)):
        raise Rejected("raw", f"the query has {len(head.query)} bytes; this source takes {most}")
    if (head.header("content-encoding") or "").strip().lower() not in ENCODINGS:
        raise Rejected("encoding", "the content encodings taken are gzip and deflate")
    if source.content_types and head.method in source.methods and head.method != "GET":
        _verify_content_type(head.header("content-type") or "", source.content_types)
    return source


_ITS_PATH: Final = "its name alone, or /name/ where its `public_url` ends in a slash"


def _path_fits(path: str, source: Source) -> bool:
    _, _, rest = path.removeprefix("/").partition("/")
    if not rest:
        return not path.endswith("/") or source.public_url.endswith("/") or _takes_token(source)
    return _takes_token(source) and "/" not in rest


def _takes_token(source: Source) -> bool:
    return any(way.scheme == "path" for way in source.auth)


def _verify_content_type(header: str, taken: tuple[str, ...]) -> None:
    name = header.partition(";")[0].strip().lower()
    if not any(_type_fits(name, pattern) for pattern in taken):
        raise Rejected("content_type", f"this source takes {', '.join(taken)}")


def _type_fits(name: str, pattern: str) -> bool:
    """`application/json`, `text/*` or `*+json`."""
    if pattern.startswith("*"):
        return name.endswith(pattern[1:]) and len(name) >= len(pattern)
    return name.startswith(pattern[:-1]) if pattern.endswith("/*") else name == pattern


def _verify_headers(headers: Headers) -> None:
    if len(headers) > MAX_HEADERS:
        raise Rejected("raw", f"the request has {len(headers)} header lines; {MAX_HEADERS} are taken")
    if (size := sum(len(name) + len(value) for name, value in headers)) > MAX_HEADER_BYTES:
        raise Rejected("raw", f"the headers have {size} bytes; {MAX_HEADER_BYTES} are taken")


def _verify_length(text: str | None, max_body_bytes: int) -> None:
    if text is None:
        return
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Rejected("length", "content-length is not a whole number")
    if int(text) > max_body_bytes:
        raise Rejected("raw", f"the body is larger than {max_body_bytes} bytes")
