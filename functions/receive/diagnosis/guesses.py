"""Guesses at why a request was rejected: the request, the scheme or the secrets with one thing changed.

A guess is right where the changed request passes the same verification. The likeliest and cheapest guesses come first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from functions.receive.admission import nearest_value
from functions.receive.diagnosis.bodies import variants
from shared.errors import HookchainError
from shared.http import Request
from shared.signatures.content import Content, parse_content
from shared.signatures.locations import parse_location
from shared.signatures.request_fields import https_url
from shared.signatures.scheme import AuthScheme
from shared.signatures.signing import ALGORITHMS, ENCODINGS
from shared.signatures.verify import verify

ANY_TIME_SECONDS: Final = 10**12
_PAIRS: Final = ("whpk_", "whsk_")
_STANDARD: Final[Content] = parse_content("{id}.{timestamp}.{body}")


@dataclass(frozen=True, slots=True)
class Case:
    """A rejected request. `url` is the request's URL as its sender knows it."""

    request: Request
    auth: AuthScheme
    secrets: Sequence[str]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    words: str
    case: Case


def with_body(case: Case, body: bytes) -> Case:
    return replace(case, request=replace(case.request, body=body))


def holds(case: Case) -> bool:
    """Return whether the signature is right, whenever it was made."""
    auth = replace(case.auth, tolerance_seconds=ANY_TIME_SECONDS)
    try:
        verify(case.request, auth, case.secrets, {}, 0, case.url)
    except HookchainError:  # Temporary too: with another decoding a secret may be no key
        return False
    return True


def as_signed(case: Case) -> Case:
    """Rewrite Standard Webhooks v1 as the HMAC that it is, so that one list of guesses serves both."""
    if case.auth.scheme != "standard-webhooks" or any(secret.startswith(_PAIRS) for secret in case.secrets):
        return case
    prefix = _names_used(case.request, case.auth.names)
    auth = replace(
        case.auth,
        scheme="hmac",
        header=f"{prefix}-signature",
        at=parse_location(f"header.{prefix}-signature"),
        layout="versions",
        take=frozenset({"v1"}),
        encoding="base64",
        content=_STANDARD,
        timestamp=parse_location(f"header.{prefix}-timestamp"),
        id=parse_location(f"header.{prefix}-id"),
        key_prefix="whsec_" if case.auth.key == "base64" else "",
    )
    return replace(case, auth=auth)


def _names_used(request: Request, names: str) -> str:
    return "svix" if names == "svix" and request.header("svix-signature") is not None else "webhook"


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
    if case.auth.scheme in SHARED:
        yield from spelled_otherwise(case)
        yield from _keys(case)
    yield from _bodies(case)
    yield from _algorithms(case)
    yield from _encodings(case)
    yield from _urls(case)
    yield from _contents(case)


def spelled_otherwise(case: Case) -> Iterator[Guess]:
    for words, change in (
        ("the secret here has white space around it, and the sender's does not", str.strip),
        ("the secret here is in quotation marks, and the sender's is not", lambda text: text.strip("'\"")),
        (
            "the sender's secret ends in a newline, and this one does not. Set it at the sender again",
            _with_newline,
        ),
        ("the secret here begins with `whsec_`, and the sender's does not", _without_whsec),
        ("the secret here lacks the `whsec_` that the sender's begins with. Keep that prefix", _with_whsec),
    ):
        changed = tuple(change(text) for text in case.secrets if change(text))
        if changed and changed != tuple(case.secrets):
            yield Guess(words, replace(case, secrets=changed))


def _with_newline(text: str) -> str:
    """Add the newline that `echo` and editors leave, and that the sender keeps."""
    return text + "\n"


def _without_whsec(text: str) -> str:
    return text.removeprefix(_WHSEC)


def _with_whsec(text: str) -> str:
    return text if text.startswith(_WHSEC) else _WHSEC + text


def _begin_with(case: Case, prefix: str) -> bool:
    return case.auth.key_prefix != prefix and any(text.startswith(prefix) for text in case.secrets)


def _keys(case: Case) -> Iterator[Guess]:
    for key, words in _KEYS.items():
        if key != case.auth.key:
            yield Guess(words, replace(case, auth=replace(case.auth, key=key)))
    if case.auth.key_prefix:
        auth = replace(case.auth, key="utf8", key_prefix="")
        yield Guess(f"{_KEYS['utf8']}, with the {case.auth.key_prefix} at its beginning", replace(case, auth=auth))
    elif _begin_with(case, "whsec_"):
        auth = replace(case.auth, key="base64", key_prefix="whsec_")
        yield Guess(f"{_KEYS['base64']}, without the whsec_ at its beginning", replace(case, auth=auth))


def _bodies(case: Case) -> Iterator[Guess]:
    for words, body in variants(case.request.body, case.request.header("content-type") or ""):
        yield Guess(words, with_body(case, body))


def _algorithms(case: Case) -> Iterator[Guess]:
    for algorithm in ALGORITHMS:
        if case.auth.scheme in SHARED and algorithm != case.auth.algorithm:
            words = f"the signature is made with {algorithm}, and this source expects {case.auth.algorithm}"
            yield Guess(words, replace(case, auth=replace(case.auth, algorithm=algorithm)))


def _encodings(case: Case) -> Iterator[Guess]:
    for encoding in ENCODINGS:
        if encoding != case.auth.encoding:
            words = f"the signature is written in {encoding}, and this source expects {case.auth.encoding}"
            yield Guess(words, replace(case, auth=replace(case.auth, encoding=encoding)))


def _urls(case: Case) -> Iterator[Guess]:
    if "url" not in case.auth.content:
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
    """Yield the `public_url` with the path: only that of the whole file goes without the source's name."""
    parts = urlsplit(url)
    yield "goes on with the path of this request", parts._replace(path=parts.path.rstrip("/") + path).geturl()
    yield "has the path of this request", parts._replace(path=path).geturl()


def _by_proxies(url: str, request: Request) -> Iterator[tuple[str, str]]:
    """Yield the URL that a proxy names, which counts only where the source has `trusted_proxies`."""
    scheme, host = (nearest_value(request, name) for name in ("x-forwarded-proto", "x-forwarded-host"))
    if scheme or host:
        parts = urlsplit(url)
        netloc = urlsplit(f"//{host}").netloc or parts.netloc
        named = "is the one that the proxy before this names in X-Forwarded-Proto and X-Forwarded-Host"
        yield named, parts._replace(scheme=scheme or parts.scheme, netloc=netloc).geturl()


def _contents(case: Case) -> Iterator[Guess]:
    """Yield other templates, without those that name a time or id which the scheme has no place for."""
    for template in _CONTENTS:
        lacks_time = "{timestamp}" in template and case.auth.timestamp is None
        lacks_id = "{id}" in template and case.auth.id is None
        content = parse_content(template)
        if not lacks_time and not lacks_id and content != case.auth.content:
            words = f"the signature is over {template}, and this source expects it over something else (`content`)"
            yield Guess(words, replace(case, auth=replace(case.auth, content=content)))
