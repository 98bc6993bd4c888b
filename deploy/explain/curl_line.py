"""The request that a line of curl describes, such as one that a browser, a log or a provider's page shows.

The options that change the request are read as curl reads them. Those that change only how curl runs or what it prints
are ignored, and any other option is an error.
"""

import argparse
import base64
import hashlib
import re
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote_plus

from shared.http import Request

# The options that are ignored: those without a value, then those with one.
_IGNORED: Final = (
    *("-s", "--silent", "-S", "--show-error", "-f", "--fail", "--fail-with-body", "-i", "--include", "-v", "--verbose"),
    *("-k", "--insecure", "-L", "--location", "-N", "--no-buffer", "--compressed", "-O", "--remote-name", "--basic"),
    *("-#", "--progress-bar", "-g", "--globoff", "-4", "--ipv4", "-6", "--ipv6", "--http1.1", "--http2", "--tlsv1.2"),
)
_IGNORED_VALUES: Final = (
    *("-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay"),
    *("-c", "--cookie-jar", "-D", "--dump-header", "--max-redirs", "--cacert", "-E", "--cert", "--key", "--resolve"),
)
_INSTEAD: Final = "leave it out, or describe the request with --url, --method, -H and --file"
_HEADERS: Final = {"user-agent": ("-A", "--user-agent"), "cookie": ("-b", "--cookie"), "referer": ("-e", "--referer")}

# $'…' is bash syntax, which shlex does not know. Browsers write it for text with quotes or non-ASCII letters.
_DOLLAR_QUOTED: Final = re.compile(r"(?<=\s)\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{1,4})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

# The content of -F: a sign, the text or the file, which may be in quotes, and the parameters.
_FORM_CONTENT: Final = re.compile(r'([@<]?)(?:"((?:[^"\\]|\\.)*)"\s*|([^;]*))(?:;(.*))?', re.DOTALL)
_FORM_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_FILE_TYPES: Final = {
    ".gif": "image/gif",
    ".htm": "text/html",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".xml": "application/xml",
}
"""The content types that curl knows of files in a form. Any other file is application/octet-stream."""

_FOREIGN_SIGNS: Final = (
    (re.compile(r"\^$"), "it is written for the command prompt of Windows: copy it as cURL for bash"),
    (re.compile("[\u2013\u2014\u2018\u2019\u201c\u201d]"), "it has typographic quotation marks or dashes"),
)
"""Signs in an argument that the line was not written for a Unix shell, each with the fault."""


class _CurlParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"cannot parse this curl line: {message}; {_INSTEAD}")


def curl_request(line: str) -> tuple[str, Request]:
    """Return the URL and the request of a curl line. Raises ValueError and OSError."""
    arguments = shlex.split(_DOLLAR_QUOTED.sub(_unquote_ansi, line.replace("\\\n", " ")))
    if arguments[1:] and arguments[0] != "curl" and arguments[0].isalnum():
        raise ValueError(f"a curl line must begin with curl; got {arguments[0]!r}")
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments[1:] if arguments[:1] == ["curl"] else arguments)
    if unknown:
        parser.error(_unknown_fault(options.url, unknown))
    if options.form and (options.data or options.get):
        raise ValueError("this curl line has -F and -d or -G, of which curl sends only one")
    headers = _headers(options)
    url = _url(options)
    data = b"&".join(_data(text, kind) for kind, text in options.data)
    if options.form:
        headers, body = _with_form(headers, options.form)
    elif options.data and not options.get:
        body = data
        if all(name != "content-type" for name, _ in options.header):
            is_json = any(kind == "json" for kind, _ in options.data)
            headers.append(("content-type", "application/json" if is_json else "application/x-www-form-urlencoded"))
    else:
        body = b""
        url = _with_query(url, data.decode("utf-8", "surrogateescape"))
    has_body = bool(options.form or (options.data and not options.get))
    method = options.request or ("POST" if has_body else "HEAD" if options.head else "GET")
    return url, Request(method.upper(), "/", headers=tuple(headers), body=body)


def _unknown_fault(url: str | None, unknown: list[str]) -> str:
    """Return the fault of a line with arguments that are not known. Their values are left out: one may be a secret."""
    # The value of a known option may have any character, so only these arguments can show for which shell the line is.
    for sign, fault in _FOREIGN_SIGNS:
        if any(map(sign.search, [url or "", *unknown])):
            return fault
    unknown_options = [_option_name(each) for each in unknown if each.startswith("-")]
    return f"{', '.join(unknown_options) or 'a second URL'} is not supported"


def _headers(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the headers of -H, then those of the options that stand for one. A header of -H replaces the latter."""
    names = {name for name, _ in options.header}
    headers = [(name, value) for name, value in options.header if value is not None]
    for name in _HEADERS:
        value = getattr(options, name)
        if value is not None and name not in names:
            headers.append((name, value))
    if options.user is not None and "authorization" not in names:
        if ":" not in options.user:
            raise ValueError("-u must be written user:password; otherwise curl asks for the password")
        headers.append(("authorization", "Basic " + base64.b64encode(options.user.encode()).decode()))
    return headers


def _option_name(argument: str) -> str:
    return argument.partition("=")[0] if argument.startswith("--") else argument[:2]


def _unquote_ansi(found: re.Match[str]) -> str:
    return shlex.quote(_ESCAPE.sub(_unescaped, found[1]))


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(found[3], found[3])


def _url(options: argparse.Namespace) -> str:
    url: str | None = options.url or options.named_url
    if url is None:
        raise ValueError("this curl line has no URL")
    return url


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _parser() -> _CurlParser:
    parser = _CurlParser(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--url", dest="named_url")
    parser.add_argument("-X", "--request")
    parser.add_argument("-I", "--head", action="store_true")
    parser.add_argument("-H", "--header", type=_curl_header, action="append", default=[])
    parser.add_argument("-u", "--user")
    parser.add_argument("-G", "--get", action="store_true")
    for header, short_and_long in _HEADERS.items():
        parser.add_argument(*short_and_long, dest=header)
    parser.set_defaults(data=[], form=[])
    for kind, names in (
        ("ascii", ("-d", "--data", "--data-ascii")),
        ("raw", ("--data-raw",)),
        ("binary", ("--data-binary",)),
        ("json", ("--json",)),
        ("urlencode", ("--data-urlencode",)),
    ):
        parser.add_argument(*names, dest="data", action="append", type=partial(_with_kind, kind))
    for kind, form_names in (("parsed", ("-F", "--form")), ("literal", ("--form-string",))):
        parser.add_argument(*form_names, dest="form", action="append", type=partial(_with_kind, kind))
    for name in _IGNORED:
        parser.add_argument(name, action="store_true", dest="ignored")
    for name in _IGNORED_VALUES:
        parser.add_argument(name, dest="ignored")
    return parser


def _with_kind(kind: str, text: str) -> tuple[str, str]:
    return kind, text


def _curl_header(text: str) -> tuple[str, str | None]:
    """Return the name in lower case and the value. As curl reads it, `Name:` sends no such header, `Name;` an empty
    one."""
    name, colon, value = text.partition(":")
    if not colon and name.endswith(";"):
        return name[:-1].strip().lower(), ""
    return name.strip().lower(), value.strip() or None


def _data(text: str, kind: str) -> bytes:
    """Return the bytes of a data option. `@file` is read; for `-d @file`, curl removes line breaks."""
    if kind == "urlencode":
        return _urlencoded(text)
    if kind == "raw" or not text.startswith("@"):
        return text.encode()
    content = read_body(text[1:])
    return content.replace(b"\r", b"").replace(b"\n", b"") if kind == "ascii" else content


def _urlencoded(text: str) -> bytes:
    """Encode `content`, `=content`, `name=content`, `@file` or `name@file`. The first `=` or `@` decides."""
    sign = re.search("[=@]", text)
    if sign is None:
        return quote_plus(text).encode()
    name, content = text[: sign.start()], text[sign.end() :]
    value = quote_plus(read_body(content) if sign[0] == "@" else content)
    return f"{name}={value}".encode() if name else value.encode()


def _with_form(headers: list[tuple[str, str]], form: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers with the content type of the form, and its body. A content type of the line's own gets the
    boundary."""
    parts = [_form_part(text, kind) for kind, text in form]
    boundary = "-" * 24 + hashlib.sha256(b"".join(parts)).hexdigest()[:22]
    delimiter = f"--{boundary}".encode()
    body = b"".join(b"%b\r\n%b\r\n" % (delimiter, part) for part in parts) + delimiter + b"--\r\n"
    media = dict(headers).get("content-type", "multipart/form-data")
    others = [pair for pair in headers if pair[0] != "content-type"]
    return [*others, ("content-type", f"{media}; boundary={boundary}")], body


def _form_part(text: str, kind: str) -> bytes:
    """Return the headers and the content of one part: `name=text`, `name=@file` or `name=<file`, with parameters."""
    name, equals, rest = text.partition("=")
    if not equals:
        raise ValueError(f"-F must be written name=content; got {text[:40]!r}")
    found = None if kind == "literal" else _FORM_CONTENT.fullmatch(rest)
    if found is None:
        return _part_bytes(name, rest.encode())
    sign, quoted, plain, listed = found.groups()
    value = plain.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    parameters = _form_parameters(listed or "")
    media = parameters.get("type", "")
    file_name = parameters.get("filename")
    if not sign:
        return _part_bytes(name, value.encode(), media, file_name)
    if sign == "@":
        file_name = Path(value).name if file_name is None else file_name
        media = media or _FILE_TYPES.get(Path(value).suffix.lower(), "application/octet-stream")
    return _part_bytes(name, read_body(value), media, file_name)


def _form_parameters(text: str) -> dict[str, str]:
    """Return `type` and `filename`. Raises ValueError for another parameter of curl."""
    parameters: dict[str, str] = {}
    for each in filter(None, text.split(";")):
        name, _, value = each.strip().partition("=")
        if name not in {"type", "filename"}:
            raise ValueError(f"-F: the parameters type and filename are supported; got {name[:40]!r}; {_INSTEAD}")
        parameters[name] = value.strip('"')
    return parameters


def _part_bytes(name: str, content: bytes, media: str = "", file_name: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name.translate(_FORM_ESCAPES)}"'
    if file_name is not None:
        disposition += f'; filename="{file_name.translate(_FORM_ESCAPES)}"'
    content_type = f"\r\nContent-Type: {media}" if media else ""
    return f"{disposition}{content_type}\r\n\r\n".encode() + content


def read_body(file: str | None) -> bytes:
    """Return the bytes of the file, or of standard input for `-`; none without a file. Raises OSError."""
    if file is None:
        return b""
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
