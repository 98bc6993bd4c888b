"""The request that a `curl` command line makes, as people paste it from a sender's log or a browser's tools."""

import argparse
import base64
import shlex
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from shared.http import Request

_IGNORED: Final = ("-s", "--silent", "-i", "--include", "-v", "--verbose", "-k", "--insecure", "-L", "--location")


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"this curl line is not understood: {message}")


def curl_request(line: str) -> tuple[str, Request]:
    """The URL, and the request without it. Raises ValueError and OSError."""
    words = shlex.split(line.replace("\\\n", " "))
    given = _words().parse_args(words[1:] if words[:1] == ["curl"] else words)
    headers = [_header(text) for text in given.header]
    names = {name for name, _ in headers}
    body = b"&".join(_data(text, kind) for kind, text in given.data)
    if given.user is not None:
        headers.append(("authorization", "Basic " + base64.b64encode(given.user.encode()).decode()))
    if given.data and "content-type" not in names:
        is_json = any(kind == "json" for kind, _ in given.data)
        headers.append(("content-type", "application/json" if is_json else "application/x-www-form-urlencoded"))
    method = given.request or ("POST" if given.data else "HEAD" if given.head else "GET")
    return given.url, Request(method.upper(), "/", headers=tuple(headers), body=body)


def _words() -> _Words:
    words = _Words(prog="curl", add_help=False, allow_abbrev=False)
    words.add_argument("url")
    words.add_argument("-X", "--request")
    words.add_argument("-I", "--head", action="store_true")
    words.add_argument("-H", "--header", action="append", default=[])
    words.add_argument("-u", "--user")
    words.set_defaults(data=[])
    for kind, names in (
        ("ascii", ("-d", "--data", "--data-ascii")),
        ("raw", ("--data-raw",)),
        ("binary", ("--data-binary",)),
        ("json", ("--json",)),
    ):
        words.add_argument(*names, dest="data", action="append", type=partial(_of_kind, kind))
    for name in _IGNORED:
        words.add_argument(name, action="store_true", dest="ignored")
    return words


def _of_kind(kind: str, text: str) -> tuple[str, str]:
    return kind, text


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip().lower(), value.strip()


def _data(text: str, kind: str) -> bytes:
    """`@file` is read; of `-d @file`, curl leaves out line ends."""
    if kind == "raw" or not text.startswith("@"):
        return text.encode()
    content = Path(text[1:]).read_bytes()
    return content.replace(b"\r", b"").replace(b"\n", b"") if kind == "ascii" else content
