"""The guesses about a wrong signature, the likeliest and cheapest first.

`spelled_otherwise` also serves the diagnosis of passwords and of tokens.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final
from urllib.parse import urlsplit

from functions.receive.admission import nearest_value
from functions.receive.diagnosis.bodies import variants
from functions.receive.diagnosis.cases import WHSEC, Case, Guess, SignedCase
from shared import http
from shared.logs import is_loggable_name
from shared.secrets import variable_name
from shared.signatures.auth_scheme import described
from shared.signatures.content import Content, parse_content
from shared.signatures.locations import https_url, parse_location
from shared.signatures.signature_scheme import DigestScheme, HmacScheme, SignatureScheme
from shared.signatures.signing import ALGORITHMS, ENCODINGS, encode_bytes

MAX_PLACES: Final = 2
"""The most headers that look like a time, and that look like an id. Each is tried with several templates."""
SHARED_KEY_SCHEMES: Final = (HmacScheme, DigestScheme)
"""The classes of the schemes whose key the sender has too."""
_NOT_DECODED: Final = (
    "the sender uses the text of the secret as its key, and this source decodes it: decode it at the sender, or set"
    " `key: utf8` where the source has an `auth` of its own"
)
DECODED: Final = (
    "the sender decodes the secret from {} before it signs, and this source does not: use the text itself at the sender"
)
_KEY_CAUSES: Final = {
    "utf8": _NOT_DECODED,
    "base64": DECODED.format("base64") + ", or set `key: base64` where the source has an `auth` of its own",
    "hex": DECODED.format("hex") + ", or set `key: hex` where the source has an `auth` of its own",
    "base64url": DECODED.format("base64url"),
}
"""The cause if the sender uses another encoding of the key than the source's `key`, by the sender's encoding."""
UNEXPANDED: Final = (
    "the sender's shell, settings file or template does not replace it (a shell replaces nothing between single quotes)"
)
_ANOTHER_URL: Final = "the signature is over another URL than the one taken here (`public_url`, else the request's)"
QUOTES: Final = "\"'`“”„‟‘’‚‛«»"
_CONTENTS: Final = (
    "{body}",
    "{timestamp}.{body}",
    "{timestamp}:{body}",
    "{timestamp}{body}",
    "{body}{timestamp}",
    "{body}.{timestamp}",
    "v0:{timestamp}:{body}",
    "{id}.{timestamp}.{body}",
    "{id}{timestamp}{body}",
    "{url}{body}",
    "{body}{url}",
    "{method}{url}{body}{timestamp}",
)
"""The templates that senders sign."""
_LIKE_AN_ID: Final = re.compile(r"[a-z0-9-]{0,40}(?:-id|delivery|event|nonce)")
"""A header's name that looks like that of a message's id."""
_LIKE_A_TIME: Final = re.compile(
    r"[0-9]{10}(?P<ms>[0-9]{3})?|(?P<rfc3339>[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.Zz+-]{8,20})"
)
"""A header's value that looks like a time. Its group is the unit; without a group, the unit is seconds."""


def guesses(case: Case) -> Iterator[Guess]:
    """Yield the guesses that are possible for the scheme, the likeliest and cheapest first."""
    if isinstance(case.auth, SHARED_KEY_SCHEMES):
        yield from spelled_otherwise(case)
        yield from _mistaken_secrets(case)
    if isinstance(case.auth, HmacScheme):
        yield from _keys(case, case.auth)
    yield from _bodies(case)
    if isinstance(case.auth, SHARED_KEY_SCHEMES):
        yield from _algorithms(case, case.auth)
    if isinstance(case, SignedCase):
        yield from _encodings(case)
        yield from _urls(case)
        yield from _contents(case)


def spelled_otherwise(case: Case) -> Iterator[Guess]:
    """Yield the secrets as the sender may have them: with something around them that is missing here, such as quotation
    marks, or without something that is around them here."""
    for cause, change in (
        ("the secret here has white space around it, and the sender's does not", str.strip),
        ("the secret here is in quotation marks, and the sender's is not", lambda text: text.strip(QUOTES)),
        # `echo` and editors write a newline at the end, which the sender has kept.
        (
            "the sender's secret ends in a newline, and this one does not. Set it at the sender again",
            lambda text: f"{text}\n",
        ),
        ("the secret here begins with `whsec_`, and the sender's does not", lambda text: text.removeprefix(WHSEC)),
        (
            "the secret here lacks the `whsec_` that the sender's begins with. Keep that prefix",
            lambda text: WHSEC + text,
        ),
        ("the sender's secret has quotation marks around it. Remove them there", lambda text: f'"{text}"'),
        ("the sender's secret has quotation marks around it. Remove them there", lambda text: f"'{text}'"),
    ):
        changed = tuple(change(text) for text in case.secrets if change(text))
        if changed and changed != tuple(case.secrets):
            yield Guess(cause, replace(case, secrets=changed))


def _mistaken_secrets(case: Case) -> Iterator[Guess]:
    """Yield what a sender may use instead of the secret: other letters, a name, or nothing."""
    for letters, change in (("capitals", str.upper), ("small letters", str.lower)):
        cause = f"the sender's secret is in {letters}, and this one is not"
        yield Guess(cause, replace(case, secrets=tuple(map(change, case.secrets))))
    variable = variable_name(case.auth.secret)
    for name in (case.auth.secret, variable):
        cause = f"the sender signs with the name `{name}`, and not with the value of that secret"
        yield Guess(cause, replace(case, secrets=(name,)))
    for text in (f"${variable}", f"${{{variable}}}"):
        cause = f"the sender signs with the text `{text}`, and not with the value of that variable"
        yield Guess(f"{cause}: {UNEXPANDED}", replace(case, secrets=(text,)))
    yield Guess("the sender signs with an empty secret: set this source's secret there", replace(case, secrets=("",)))


def _keys(case: Case, auth: HmacScheme) -> Iterator[Guess]:
    """Yield other ways to make the key of the HMAC from the secret's text."""
    if auth.key_encoding == "utf8":
        in_base64 = tuple(encode_bytes(text.encode(), "base64") for text in case.secrets)
        cause = "the sender uses base64 of the secret as its key: use the text itself there"
        yield Guess(cause, replace(case, secrets=in_base64))
    for key, cause in _KEY_CAUSES.items():
        if key != auth.key_encoding:
            yield Guess(cause, replace(case, auth=replace(auth, key_encoding=key)))
    if auth.key_prefix:
        as_text = replace(auth, key_encoding="utf8", key_prefix="")
        yield Guess(f"{_KEY_CAUSES['utf8']}, with the {auth.key_prefix} at its beginning", replace(case, auth=as_text))
    elif any(text.startswith(WHSEC) for text in case.secrets):
        decoded = replace(auth, key_encoding="base64", key_prefix=WHSEC)
        yield Guess(f"{_KEY_CAUSES['base64']}, without the whsec_ at its beginning", replace(case, auth=decoded))


def _bodies(case: Case) -> Iterator[Guess]:
    if case.request.body:
        cause = "the sender signs an empty body: it must sign the body that it sends, byte by byte"
        yield Guess(cause, replace(case, request=replace(case.request, body=b"")))
    for cause, body in variants(case.request.body, case.request.header("content-type") or ""):
        yield Guess(cause, replace(case, request=replace(case.request, body=body)))


def _algorithms(case: Case, auth: HmacScheme | DigestScheme) -> Iterator[Guess]:
    for algorithm in ALGORITHMS:
        if algorithm != auth.algorithm:
            cause = f"the signature is made with {algorithm}, and this source expects {auth.algorithm}"
            yield Guess(cause, replace(case, auth=replace(auth, algorithm=algorithm)))


def _encodings(case: SignedCase) -> Iterator[Guess]:
    for encoding in ENCODINGS:
        if encoding != case.auth.encoding:
            cause = f"the signature is written in {encoding}, and this source expects {case.auth.encoding}"
            yield Guess(cause, replace(case, auth=replace(case.auth, encoding=encoding)))


def _urls(case: SignedCase) -> Iterator[Guess]:
    """Yield other URLs that the sender may have signed."""
    if "url" not in case.auth.content:
        return
    url = case.url or https_url(case.request)
    try:
        spellings = [*_spellings(url), *_on_path(url, case.request.path), *_by_proxies(url, case.request)]
    except ValueError:  # the Host header is not a host
        return
    for cause, spelled in spellings:
        if spelled != url:
            cause = f"{_ANOTHER_URL}: the sender's {cause}; set `public_url` to just what it calls"
            yield Guess(cause, replace(case, url=spelled))


def _spellings(url: str) -> Iterator[tuple[str, str]]:
    """Yield how a spelling of the URL differs, and the spelling."""
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
    """Yield the URL with the path of the request. A source's own `public_url` must have the path, which is easily
    forgotten, because the `public_url` of the whole file must not."""
    parts = urlsplit(url)
    yield "goes on with the path of this request", parts._replace(path=parts.path.rstrip("/") + path).geturl()
    yield "has the path of this request", parts._replace(path=path).geturl()


def _by_proxies(url: str, request: http.Request) -> Iterator[tuple[str, str]]:
    """Yield the URL that a proxy names. Receive uses it only if the source has `trusted_proxies`."""
    scheme = nearest_value(request, "x-forwarded-proto")
    host = nearest_value(request, "x-forwarded-host")
    if scheme or host:
        parts = urlsplit(url)
        netloc = urlsplit(f"//{host}").netloc or parts.netloc
        cause = "is the one that the proxy before this names in X-Forwarded-Proto and X-Forwarded-Host"
        yield cause, parts._replace(scheme=scheme or parts.scheme, netloc=netloc).geturl()


def _contents(case: SignedCase) -> Iterator[Guess]:
    """Yield other templates. A time or an id for which the scheme has no location is looked for in the headers."""
    auth = case.auth
    headers = {name: value for name, value in case.request.headers if is_loggable_name(name)}
    time_headers = [name for name, value in headers.items() if _LIKE_A_TIME.fullmatch(value)][:MAX_PLACES]
    id_headers = [name for name in headers if _LIKE_AN_ID.fullmatch(name)][:MAX_PLACES]
    for template in _CONTENTS:
        # The headers to try. An empty text is the location that the scheme has, or none.
        tried_for_time = time_headers if "{timestamp}" in template and auth.timestamp is None else [""]
        tried_for_id = [""]
        if "{id}" in template:
            tried_for_id = id_headers if auth.id is None else ["", *id_headers]
        is_own_template = parse_content(template) == auth.content
        for time_header, id_header in product(tried_for_time, tried_for_id):
            if time_header or not is_own_template:
                yield _other_template(case, template, time_header, headers.get(time_header, ""), id_header)
            elif id_header:
                yield _other_id(case, id_header)


def _other_template(case: SignedCase, template: str, time_header: str, time_text: str, id_header: str) -> Guess:
    """Return the guess that the signature is over the template, with a time and an id from these headers.

    `time_text` is the time in the header. The name of a header is empty if the scheme's own location is meant.
    """
    settings: list[str] = []
    changed = replace(case.auth, content=parse_content(template))
    if id_header:
        settings.append(f"`id: header.{id_header}`")
        changed = replace(changed, id=parse_location(f"header.{id_header}"))
    if time_header:
        time_match = _LIKE_A_TIME.fullmatch(time_text)
        unit = (time_match and time_match.lastgroup) or "s"
        settings.append(f"`timestamp: header.{time_header}`")
        if unit != "s":
            settings.append(f"`unit: {unit}`")
        changed = replace(changed, timestamp=parse_location(f"header.{time_header}"), unit=unit)
    if case.is_content_fixed:
        wanted = f"the sender must sign {_template(case.auth.content)} instead"
        cause = f"the signature is over {template}: {wanted}, as this source's provider or scheme defines"
    else:
        settings.append(f'`content: "{template}"`')
        rule = f"the signature is over {template}, and this source expects it over something else (`content`)"
        cause = f"{rule}: write {', '.join(settings)}{_unsigned_time_advice(case.auth, template)}"
    return Guess(cause, replace(case, auth=changed))


def _unsigned_time_advice(auth: SignatureScheme, template: str) -> str:
    """Return the advice to remove a `timestamp` that the template does not cover; empty if there is no such setting."""
    if auth.timestamp is None or "{timestamp}" in template:
        return ""
    is_in_url = auth.timestamp.kind == "query" and "{url}" in template
    if is_in_url or auth.timestamp.kind in {"data", "form"}:  # each template has the body
        return ""
    sender = f"; or have the sender sign {_template(auth.content)}" if "timestamp" in auth.content else ""
    return f", and remove `timestamp`, because its time is not signed{sender}"


def _other_id(case: SignedCase, header: str) -> Guess:
    """Return the guess that the signature is over the id in this header, and not in the scheme's own."""
    assert case.auth.id
    cause = f"the signature is over the id in the header {header}"
    fault = f"{described(case.auth.id)} has another one: it was changed on its way"
    auth = replace(case.auth, id=parse_location(f"header.{header}"))
    return Guess(f"{cause}, and {fault}", replace(case, auth=auth))


def _template(content: Content) -> str:
    """Return the template that a content was parsed from."""
    return "".join(part.decode("utf-8", "replace") if isinstance(part, bytes) else f"{{{part}}}" for part in content)
