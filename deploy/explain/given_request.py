"""The request that is to be explained, from the command's arguments."""

import argparse
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from functions.receive.admission import source_name
from shared.http import Request


def add_request(words: argparse.ArgumentParser) -> None:
    words.add_argument("--source", metavar="NAME", help="the source, where the URL's path does not name it")
    words.add_argument("--method", metavar="METHOD", default="POST", help="POST, unless said")
    words.add_argument("--url", metavar="URL", help="the URL that the sender called (default: the source's own here)")
    words.add_argument(
        "-H", "--header", metavar="'K: V'", action="append", default=[], help="a header, once for each of them"
    )
    words.add_argument("--body", metavar="FILE", help="the raw body as it came, byte for byte; - for standard input")
    words.add_argument("--from", dest="peer", metavar="ADDRESS", default="127.0.0.1", help="the sender's IP address")


def request_of(options: argparse.Namespace) -> Request:
    """Raises ValueError and OSError."""
    if options.url is None and options.source is None:
        raise ValueError("say which request: --url, or --source for the URL that it has here")
    url = urlsplit(options.url or f"http://localhost:8080/{quote(options.source)}")
    path = url.path if url.path.startswith("/") else f"/{url.path}"
    if options.source is not None and source_name(path) != options.source:
        path = f"/{quote(options.source)}"
    body = _body(options.body)
    headers = [_header(line) for line in options.header]
    names = {name for name, _ in headers}
    if url.netloc and "host" not in names:
        headers.append(("host", url.netloc))
    if url.scheme and "x-forwarded-proto" not in names:
        headers.append(("x-forwarded-proto", url.scheme))
    if body and "content-length" not in names:
        headers.append(("content-length", str(len(body))))
    return Request(options.method.upper(), path, url.query, tuple(headers), body, options.peer)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise ValueError("a header is written 'Name: value'")
    return name.strip().lower(), value.strip()


def _body(file: str | None) -> bytes:
    if file is None:
        return b""
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
