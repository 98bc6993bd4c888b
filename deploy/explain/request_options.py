"""The request that the options of `hookchain explain` describe.

--curl describes a whole request, so with it the options of a request's parts are not read.
"""

import argparse
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from deploy.explain.curl_line import curl_request, read_body
from functions.receive.admission import source_name
from shared.http import Request


def add_request_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", metavar="NAME", help="name the source, if the URL's path does not")
    parser.add_argument("--method", metavar="METHOD", default="POST", help="set the method [POST]")
    parser.add_argument("--url", metavar="URL", help="set the URL that the sender called [the source's own here]")
    parser.add_argument(
        "-H", "--header", metavar="'K: V'", action="append", default=[], help="add a header (repeatable)"
    )
    parser.add_argument(
        "--file", "--body", metavar="FILE", help="read the raw body from this file, byte for byte; - is standard input"
    )
    parser.add_argument("--curl", metavar="LINE", help="set the whole request as a curl command line")
    parser.add_argument(
        "--from", dest="peer", metavar="ADDRESS", default="127.0.0.1", help="set the sender's IP address [127.0.0.1]"
    )


def request_from_options(options: argparse.Namespace) -> Request:
    """Return the request that the options describe. Raises ValueError and OSError."""
    try:
        ip_address(options.peer)
    except ValueError:
        raise ValueError(f"--from: must be an IP address; got {options.peer!r}") from None
    if options.curl is not None:
        address, request = curl_request(options.curl)
    elif options.url is None and options.source is None:
        raise ValueError("needs a request: --url, --curl, or --source for the source's own URL here")
    else:
        address = options.url or f"http://localhost:8080/{quote(options.source)}"
        headers = tuple(_header(line) for line in options.header)
        request = Request(options.method.upper(), "/", headers=headers, body=read_body(options.file))
    return request_at(address, options.source, replace(request, peer=options.peer))


def request_at(address: str, source: str | None, request: Request) -> Request:
    """Return the request at the address, with the headers that every client adds by itself."""
    url = urlsplit(address if "://" in address else f"http://{address}")
    path = url.path if url.path.startswith("/") else f"/{url.path}"
    if source is not None and source_name(path) != source:
        path = f"/{quote(source)}"
    added = {"host": url.netloc, "x-forwarded-proto": url.scheme}
    if request.body:
        added["content-length"] = str(len(request.body))
    missing = tuple(pair for pair in added.items() if request.header(pair[0]) is None)
    return replace(request, path=path, query=url.query, headers=(*request.headers, *missing))


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"a header must be written 'Name: value'; got {name[:40]!r}")
    return name.strip().lower(), value.strip()
