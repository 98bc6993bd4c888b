"""Guesses at why a signature does not match, each with one thing changed. The likeliest and the cheapest come first."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from functions.receive.diagnosis.bodies import variants
from functions.receive.diagnosis.guess import Case, Guess, with_body
from functions.receive.forwarded import last_told
from shared.http import Request
from shared.signatures.content import parse_content
from shared.signatures.signing import ALGORITHMS, ENCODINGS
from shared.signatures.urls import https_url

_WHSEC: Final = "whsec_"
SHARED: Final = frozenset({"hmac", "digest"})

_KEYS: Final = {
    "utf8": "this secret is used as it is: do not decode it (`key: utf8`)",
    "base64": "this secret is base64 of the key: decode it first (`key: base64`)",
    "hex": "this secret is the key in hex: decode it first (`key: hex`)",
}
_ANOTHER_URL: Final = "the signature is over another URL than the one taken here (`public_url`, else the request's)"
_CONTENTS: Final = (
    "{body}",
    "{timestamp}.{body}",
    "{timestamp}:{body}",
    "{timestamp}{body}",
    "{body}{timestamp}",
    "v0:{timestamp}:{body}",
    "{id}.{timestamp}.{body}",
    "{id}{timestamp}{body}",
    "{url}{body}",
    "{body}{url}",
    "{method}{url}{body}{timestamp}",
)


def guesses(case: Case) -> Iterator[Guess]:
    if case.way.scheme in SHARED:
        yield from spelled_otherwise(case)
        yield from _keys(case)
    yield from _bodies(case)
    yield from _algorithms(case)
    yield from _encodings(case)
    yield from _urls(case)
    yield from _contents(case)


def spelled_otherwise(case: Case) -> Iterator[Guess]:
    for words, change in (
        ("the secret here has white space around it, which the sender's has not", str.strip),
        ("the secret here stands in quotation marks, which the sender's does not", lambda text: text.strip("'\"")),
        (
            "the sender's secret ends in a newline, which this one has not: set it anew there",
            _with_newline,
        ),
        ("the secret here begins with `whsec_`, which is no part of the sender's", _without_whsec),
        ("the secret here lacks the `whsec_` that the sender's begins with: keep it whole", _with_whsec),
    ):
        changed = tuple(change(text) for text in case.secrets if change(text))
        if changed and changed != tuple(case.secrets):
            yield Guess(words, replace(case, secrets=changed))


def _with_newline(text: str) -> str:
    """What `echo` and editors leave, where the sender keeps it."""
    return text + "\n"


def _without_whsec(text: str) -> str:
    return text.removeprefix(_WHSEC)


def _with_whsec(text: str) -> str:
    return text if text.startswith(_WHSEC) else _WHSEC + text


def _begin_with(case: Case, prefix: str) -> bool:
    return case.way.key_prefix != prefix and any(text.startswith(prefix) for text in case.secrets)


def _keys(case: Case) -> Iterator[Guess]:
    for key, words in _KEYS.items():
        if key != case.way.key:
            yield Guess(words, replace(case, way=replace(case.way, key=key)))
    if case.way.key_prefix:
        way = replace(case.way, key="utf8", key_prefix="")
        yield Guess(f"{_KEYS['utf8']}, with the {case.way.key_prefix} at its beginning", replace(case, way=way))
    elif _begin_with(case, "whsec_"):
        way = replace(case.way, key="base64", key_prefix="whsec_")
        yield Guess(f"{_KEYS['base64']}, without the whsec_ at its beginning", replace(case, way=way))


def _bodies(case: Case) -> Iterator[Guess]:
    for words, body in variants(case.request.body, case.request.header("content-type") or ""):
        yield Guess(words, with_body(case, body))


def _algorithms(case: Case) -> Iterator[Guess]:
    for algorithm in ALGORITHMS:
        if case.way.scheme in SHARED and algorithm != case.way.algorithm:
            words = f"the signature is made with {algorithm}, and this source expects {case.way.algorithm}"
            yield Guess(words, replace(case, way=replace(case.way, algorithm=algorithm)))


def _encodings(case: Case) -> Iterator[Guess]:
    for encoding in ENCODINGS:
        if encoding != case.way.encoding:
            words = f"the signature is written in {encoding}, and this source expects {case.way.encoding}"
            yield Guess(words, replace(case, way=replace(case.way, encoding=encoding)))


def _urls(case: Case) -> Iterator[Guess]:
    if "url" not in case.way.content:
        return
    url = case.url or https_url(case.request)
    try:
        spellings = [*_spellings(url), *_on_path(url, case.request.path), *_by_proxies(url, case.request)]
    except ValueError:  # a host that is none
        return
    for words, spelled in spellings:
        if spelled != url:
            words = f"{_ANOTHER_URL}: the sender's {words}; set `public_url` to just what it calls"
            yield Guess(words, replace(case, url=spelled))


def _spellings(url: str) -> Iterator[tuple[str, str]]:
    parts = urlsplit(url)
    other = {"https": "http", "http": "https"}.get(parts.scheme, "https")
    yield f"begins with {other}://", parts._replace(scheme=other).geturl()
    path = parts.path
    yield "ends in a slash", parts._replace(path=f"{path}/").geturl()
    yield "ends without a slash", parts._replace(path=path.rstrip("/")).geturl()
    yield "has no query", parts._replace(query="").geturl()
    bare = parts._replace(netloc=parts.netloc.rpartition(":")[0] or parts.netloc)
    yield "has no port", bare.geturl()
    yield f"begins with {other}:// and has no port", bare._replace(scheme=other).geturl()


def _on_path(url: str, path: str) -> Iterator[tuple[str, str]]:
    """A source's `public_url` without its name, which only the whole file's goes without."""
    parts = urlsplit(url)
    yield "goes on with the path of this request", parts._replace(path=parts.path.rstrip("/") + path).geturl()
    yield "has the path of this request", parts._replace(path=path).geturl()


def _by_proxies(url: str, request: Request) -> Iterator[tuple[str, str]]:
    """What a proxy says was requested of it, which counts only where the source has `trusted_proxies`."""
    scheme, host = (last_told(request, name) for name in ("x-forwarded-proto", "x-forwarded-host"))
    if scheme or host:
        parts = urlsplit(url)
        told = urlsplit(f"//{host}").netloc or parts.netloc
        named = "is the one that the proxy before this names in X-Forwarded-Proto and X-Forwarded-Host"
        yield named, parts._replace(scheme=scheme or parts.scheme, netloc=told).geturl()


def _contents(case: Case) -> Iterator[Guess]:
    """Only what the request has: a template that names a time needs to know where it stands."""
    for template in _CONTENTS:
        lacks_time = "{timestamp}" in template and case.way.timestamp is None
        lacks_id = "{id}" in template and case.way.id is None
        content = parse_content(template)
        if not lacks_time and not lacks_id and content != case.way.content:
            words = f"the signature is over {template}, and this source expects it over something else (`content`)"
            yield Guess(words, replace(case, way=replace(case.way, content=content)))
