"""The likely causes of a rejected signature: it is missing, its time is wrong, or a guess is right.

A guess is the request, the scheme or the secrets with one thing changed. It is right if the changed request passes the
same verification. The likeliest and cheapest guesses come first.

Most signatures are over a template, so their case is a SignedCase, and all of this applies. The case of any other
signature, such as that of Standard Webhooks with a pair of keys, has guesses only.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from functions.receive.diagnosis.bodies import BROKEN, is_broken
from functions.receive.diagnosis.cases import ANY_TIME_SECONDS, Case, Guess, SignedCase, first_cause, holds
from functions.receive.diagnosis.guesses import QUOTES, SHARED_KEY_SCHEMES, guesses
from shared import errors, http
from shared.logs import is_loggable_name
from shared.signatures.auth_scheme import AuthScheme, described
from shared.signatures.locations import Location, RequestFields, values_at
from shared.signatures.signature_scheme import HmacScheme, SignatureScheme
from shared.signatures.signed_times import verify_timestamp
from shared.signatures.signing import ALGORITHMS, encode_bytes, matches_any

MAX_TRIES: Final = 100
"""The most guesses of one diagnosis."""
MAX_SIGNED_BYTES: Final = 4 * 1024 * 1024
"""The most bytes that all guesses of one diagnosis sign. So for a large body few are tried, and for a huge one none."""
MAX_PARSED_BYTES: Final = 65_536
"""The largest body of a diagnosis in which each guess parses the body again."""
MAX_PARSED_BYTES_IN_ALL: Final = 8 * MAX_PARSED_BYTES
"""The most bytes that all guesses of one diagnosis parse."""
EXPLAINED_SCHEMES: Final = frozenset({"hmac", "digest", "ed25519", "ecdsa", "rsa", "standard-webhooks"})
"""The schemes whose rejections are explained here."""
_ASYMMETRIC: Final = frozenset({"ed25519", "ecdsa", "rsa"})
DIFFERENT_SECRET: Final = "the sender may use a different secret"  # noqa: S105 a sentence
"""A part of each cause that has no proof. `leaves_secret_open` finds those causes by it."""
DROPPED: Final = ", or a proxy drops the header"
"""The end of a cause that no credentials are in a header."""
_NO_GUESS_HOLDS: Final = (
    f"none of the usual encodings, algorithms and contents gives this signature: {DIFFERENT_SECRET}, such as its"
    " test-mode secret, or {changed} was changed on the way, perhaps more than once{other_content}. Compare the secret"
    " with the sender's settings first"
)
_OTHER_PUBLIC_KEY: Final = (
    f"none of the usual encodings and contents gives this signature: {DIFFERENT_SECRET}, a private key that the public"
    " key here does not belong to, or {changed} was changed on the way. Copy the public key from the sender's settings"
    " again"
)
TOO_LARGE: Final = "the body is too large to try other forms of it; compare the secret first"
"""The cause if not all guesses could be tried: the body is signed once for each guess and each secret."""
_OTHER_CONTENT: Final = ", or the sender signs something else than this source's `content`"
_NO_URL: Final = (
    "the signature covers the URL, and no spelling of the URL here makes it right. Set `public_url` to the URL as the"
    f" sender has it; otherwise {DIFFERENT_SECRET}, or the body was changed on its way"
)
_LOOKS_LIKE_API_KEY: Final = (
    "the secret here begins with `{}`, as an API key does: if the sender shows a signing secret in the settings of the"
    " webhook, set that one. A sender that signs with an API key uses another one, or the body was changed on its way"
)
_SIGN_INSTEAD: Final = (
    "the sender must sign with it, and never send it. If the sender can only send a token, set `auth: {scheme: header,"
    " …}`"
)
_SENT_ITSELF: Final = f"the secret itself stands in the place of the signature: {_SIGN_INSTEAD}"
_API_KEY_PREFIXES: Final = (
    *("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_"),
    *("ghp_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xapp-", "shpat_", "SG."),
)
"""The beginnings of API keys and access tokens of Stripe, GitHub, GitLab, Slack, Shopify and SendGrid."""
_LIKE_A_SIGNATURE: Final = re.compile(
    r"[a-z0-9_-]{0,40}(?:signature|hmac|[_-]sig|[_-]mac|[_-]sign|webhook-token)[a-z0-9_-]{0,20}"
)
"""A header's name that looks like that of a signature."""
_PREFIX: Final = re.compile(r"(?:sha1|sha256|sha384|sha512|md5|v0|v1|hmac-sha256|hmacsha256) ?[=:] ?", re.IGNORECASE)
"""The beginning of a signature's text that is not the signature itself."""
_VERSION: Final = re.compile(r"\b(v[0-9][a-z]?)=")
_UNIT_NAMES: Final = {
    "s": "seconds",
    "ms": "milliseconds",
    "rfc3339": "text such as 2026-03-01T12:00:00Z",
    "http-date": "text such as Sun, 01 Mar 2026 12:00:00 GMT",
}
"""The words for each unit of a time of signing."""
_A_YEAR: Final = 86_400 * 365
"""The seconds of a year. A time of signing that is further away is probably in another unit."""
_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60))
"""The units of an age, in seconds."""


def signature_cause(case: Case, now: float) -> str | None:
    """Return the cause if it can be shown; None if the signature is right, or if no guess makes it right."""
    if isinstance(case, SignedCase):
        return _signed_case_cause(case, now)
    return None if holds(case) else _first_guess(case)


def _signed_case_cause(case: SignedCase, now: float) -> str | None:
    """Return the cause as `signature_cause` does."""
    if cause := missing_cause(case) or list_fault(case) or _time_fault(case, now):
        return cause
    if holds(case):  # the signature is right, so another check rejected the request
        return None
    if is_secret_itself(case):
        return _SENT_ITSELF
    if other_prefix := prefix_fault(case):
        with_prefix, fault = other_prefix
        if holds(with_prefix):
            return fault
        second_cause = _first_guess(with_prefix)
        return f"{fault}; {second_cause}" if second_cause else None
    return _first_guess(case) or _wrong_use(case)


def _first_guess(case: Case) -> str | None:
    return first_cause(islice(guesses(case), _tries(case)))


def _tries(case: Case) -> int:
    """Return how many guesses may be tried: fewer if each one parses the body, which takes longer than signing it."""
    most_bytes = MAX_PARSED_BYTES_IN_ALL if case.auth.looks_in_body else MAX_SIGNED_BYTES
    tries_with_one_secret = most_bytes // (len(case.request.body) + 1)
    return min(MAX_TRIES, tries_with_one_secret // max(1, len(case.secrets)))


def unknown_signature(case: Case, auth: AuthScheme) -> str:
    """Return the possible cause if no guess is right. `auth` is the scheme as it is configured."""
    digest = case.auth.body_digest if isinstance(case, SignedCase) else None
    if digest and not _is_digest_right(case, digest):
        return "the SHA-256 that was sent belongs to another body: something changed or cut the body on its way"
    if is_broken(case.request):
        return f"{BROKEN}; otherwise {DIFFERENT_SECRET}"
    if prefix := api_key_prefix(case.secrets):  # it may still be right: Paystack signs with an API key
        return _LOOKS_LIKE_API_KEY.format(prefix)
    if _tries(case) < MAX_TRIES:
        return TOO_LARGE
    if isinstance(case, SignedCase) and "url" in case.auth.content:
        return _NO_URL
    places = (case.auth.id, case.auth.timestamp) if isinstance(case, SignedCase) else ()
    changed = " or ".join([*(described(place) for place in places if place), "the body"])
    if auth.scheme in _ASYMMETRIC:
        return _OTHER_PUBLIC_KEY.format(changed=changed)
    return _NO_GUESS_HOLDS.format(changed=changed, other_content="" if case.is_content_fixed else _OTHER_CONTENT)


def api_key_prefix(secrets: Sequence[str]) -> str | None:
    """Return the beginning by which a secret looks like an API key; None if none does."""
    return next((prefix for secret in secrets for prefix in _API_KEY_PREFIXES if secret.startswith(prefix)), None)


def _is_digest_right(case: Case, location: Location) -> bool:
    text = RequestFields(case.request, case.url).text(location) or ""
    return text.lower() == hashlib.sha256(case.request.body).hexdigest()


def missing_cause(case: SignedCase) -> str | None:
    """Return why no signature is where the source expects it, such as that it is elsewhere; None if one is there."""
    auth, request = case.auth, case.request
    location = auth.at
    if auth.layout == "numbered":  # a header for each signature, with a number in its name
        location = location._replace(path=(location.name.replace("{n}", "1"),))
    if all(fields.text(location) for fields in _signed_items(case)):
        return None
    where = described(location)
    if auth.each:
        return (
            f"the signature is expected in {where} of each item, and not every one has it: set the secret at the sender"
        )
    if auth.at.kind == "header" and request.header(auth.at.name) is not None:
        return f"{where} is there and empty: no secret is set at the sender; set this source's there"
    if cause := first_cause(_elsewhere(case)):
        return cause
    if others := _alike(request, auth):
        return f"the signature is expected in {where}; the request has {', '.join(others)} instead"
    for name, value in request.headers:
        if matches_any([value.strip(), value.partition(" ")[2].strip()], case.secrets):
            return f"the secret itself stands in {header_text(name)}: {_SIGN_INSTEAD}"
    if (request.header("authorization") or "").lower().startswith(("basic ", "bearer ")):
        return f"the request has an Authorization header; this source takes no password but a signature in {where}"
    return f"no secret is set at the sender{DROPPED if auth.at.kind == 'header' else ''}"


def list_fault(case: SignedCase) -> str | None:
    """Return the fault of a list of signatures, such as one without any of the expected version."""
    if case.auth.layout in {"plain", "numbered"}:
        return None
    try:
        case.auth.signatures(RequestFields(case.request, case.url))
    except errors.Rejected as error:
        return _unlike_list(case) or error.detail
    return None


def _unlike_list(case: SignedCase) -> str | None:
    """Return how a list of signatures differs from the expected one; None if that is not known."""
    where, kinds = described(case.auth.at), " or ".join(sorted(case.auth.take))
    text = RequestFields(case.request, case.url).text(case.auth.at) or ""
    if case.auth.layout == "versions":
        return f"each signature in {where} must begin with its version and a comma, such as `{kinds},`"
    if case.auth.layout != "pairs":
        return None
    if "=" not in text.rstrip("="):
        return f"{where} holds a single value, and this source expects pairs in it, such as `{kinds}=…`"
    if ";" in text and "," not in text:
        return f"the pairs in {where} are separated by `;`, and this source expects `,`"
    if versions := sorted(set(_VERSION.findall(text)) - case.auth.take):
        return f"{where} holds {' and '.join(versions)}, and this source takes {kinds}"
    return None


def _signed_items(case: SignedCase) -> list[RequestFields]:
    """Return the request, or each of the items that carry a signature of their own."""
    whole = RequestFields(case.request, case.url)
    if case.auth.each is None:
        return [whole]
    return [RequestFields(case.request, case.url, item) for item in values_at(case.auth.each.path, whole.data)]


def _alike(request: http.Request, auth: SignatureScheme) -> list[str]:
    """Return up to three other headers whose names look like that of a signature, and can be logged."""
    expected = {each.name for each in (auth.at, auth.timestamp, auth.id) if each and each.kind == "header"}
    names = dict.fromkeys(name for name, _ in request.headers if name not in expected and is_loggable_name(name))
    return [name for name in names if _LIKE_A_SIGNATURE.fullmatch(name)][:3]


def header_text(name: str) -> str:
    """Return the words for a header of the request, with its name if that can be logged."""
    return f"the header {name}" if is_loggable_name(name) else "a header whose name may be a secret"


def _elsewhere(case: SignedCase) -> Iterator[Guess]:
    """Yield signatures in other headers, by each algorithm: some senders have a second one, such as X-Hub-Signature."""
    expected = case.auth
    if not isinstance(expected, SHARED_KEY_SCHEMES):
        return
    for name in _alike(case.request, case.auth):
        prefix_match = _PREFIX.match(case.request.header(name) or "")
        prefix = prefix_match[0] if prefix_match else ""
        for algorithm in ALGORITHMS:
            auth = replace(expected, at=Location("header", (name,)), prefix=prefix, algorithm=algorithm, when=())
            cause = f"a right signature stands in the header {name}"
            wanted = f"this source expects it in {described(expected.at)}"
            if algorithm != expected.algorithm:
                cause += f", made with {algorithm}"
                wanted += f", made with {expected.algorithm}"
            yield Guess(f"{cause}; {wanted}", replace(case, auth=auth))


def prefix_fault(case: SignedCase) -> tuple[SignedCase, str] | None:
    """Return the case with the prefix that its signature has, and the fault; None if it has the expected prefix."""
    auth = case.auth
    text = RequestFields(case.request, case.url).text(auth.at)
    if not text or auth.layout != "plain":
        return None
    prefix_match = _PREFIX.match(text)
    prefix = prefix_match[0] if prefix_match else ""
    if prefix == auth.prefix:
        return None
    expected = (
        f"this source expects {auth.prefix!r} before it" if auth.prefix else "this source expects nothing before it"
    )
    received = f"begins with {prefix!r}" if prefix else "has no prefix"
    return replace(case, auth=replace(auth, prefix=prefix)), f"the signature {received}; {expected}"


def _wrong_use(case: SignedCase) -> str | None:
    """Return a cause if the signature is made of the right secret and body, but not as an HMAC; else None."""
    auth, body = case.auth, case.request.body
    text = RequestFields(case.request, case.url).text(auth.at) or ""
    if not isinstance(auth, HmacScheme) or auth.layout != "plain":
        return None
    signature = text[len(auth.prefix) :].strip()
    algorithm = auth.algorithm

    def is_made_of(contents: Sequence[bytes]) -> bool:
        digests = [encode_bytes(hashlib.new(algorithm, each).digest(), auth.encoding) for each in contents]
        return matches_any([signature], digests)

    secrets = [secret.encode() for secret in case.secrets]
    if is_made_of([body]):
        return (
            f"it is the {algorithm} of the body alone, without a secret: the sender must make an HMAC with the secret"
        )
    for first, content in (("before", [each + body for each in secrets]), ("after", [body + each for each in secrets])):
        if is_made_of(content):
            rule = f"it is the {algorithm} of the secret {first} the body, and no HMAC"
            return f"{rule}: the sender must make an HMAC with the secret as its key"
    swapped = [hmac.new(body, each, algorithm).digest() for each in secrets]
    if matches_any([signature], [encode_bytes(each, auth.encoding) for each in swapped]):
        return "the sender has exchanged the secret and the body: the secret is the key of the HMAC"
    return None


def is_secret_itself(case: SignedCase) -> bool:
    """Return whether the secret stands in the place of the signature."""
    text = RequestFields(case.request, case.url).text(case.auth.at) or ""
    return matches_any([text.strip(QUOTES)], case.secrets)


# The time of signing


def _time_fault(case: SignedCase, now: float) -> str | None:
    """Return the cause if the time is at fault; else None."""
    text = _timestamp_of(case)
    if case.auth.timestamp is None:
        return None
    if not text:
        return f"the request has no time of signing where this source expects one: {described(case.auth.timestamp)}"
    signed_at = _seconds(text, case.auth.unit, now)
    is_in_another_year = signed_at is None or abs(now - signed_at) > _A_YEAR
    if is_in_another_year and (cause := _in_another_unit(text, case, now)):
        return cause
    if signed_at is None:
        return "the time of signing is not written as this source expects it (`unit`)"
    age, limit = now - signed_at, case.auth.tolerance_seconds
    if abs(age) <= limit:
        return None
    age_text = f"signed {_span_beside(age, limit)}, the limit is {_span(limit)}"
    if not holds(case):
        return f"{age_text}; and the signature is wrong too"
    if age < 0:
        return f"{age_text}: the signature is right, so the sender's clock or this machine's is wrong"
    return f"{age_text}: the signature is right, so an old request was sent again, or a clock is wrong"


def time_description(case: Case, now: float) -> str:
    """Describe the age of a valid signature; empty if it has no time."""
    if not isinstance(case, SignedCase):
        return ""
    text = _timestamp_of(case)
    signed_at = _seconds(text, case.auth.unit, now) if text and case.auth.timestamp else None
    if signed_at is None:
        return ""
    limit = case.auth.tolerance_seconds
    return f"signed {_span_beside(now - signed_at, limit)}, the limit is {_span(limit)}"


def _span_beside(age: float, limit: float) -> str:
    """Describe an age. It is in seconds if the text would otherwise be that of the limit."""
    size = abs(age)
    text = _span(size) if _span(size) != _span(limit) else f"{size:.0f} seconds"
    return f"{text} ago" if age > 0 else f"{text} in the future"


def _timestamp_of(case: SignedCase) -> str | None:
    """Return the time of signing as the sender wrote it; None if there is none."""
    location = case.auth.timestamp
    fields = RequestFields(case.request, case.url)
    if location is None or location.kind != "signature":
        return fields.text(location) if location else None
    try:
        return case.auth.signatures(fields).items.get(location.name)
    except errors.Rejected:
        return None


def _span(seconds: float) -> str:
    """Return a time such as `7 minutes`, in the largest unit of which there are at least two, rounded down."""
    for name, size in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}s"
    return f"{int(seconds)} second{'' if int(seconds) == 1 else 's'}"


def _seconds(text: str, unit: str, now: float) -> float | None:
    """Return the time in Unix seconds; None for a text that is no time in this unit."""
    try:
        return verify_timestamp(text, now, ANY_TIME_SECONDS, unit)
    except errors.Rejected:
        return None


def _in_another_unit(text: str, case: SignedCase, now: float) -> str | None:
    """Return the cause if the text is a time of this year in another unit; else None."""
    for other, name in _UNIT_NAMES.items():
        signed_at = _seconds(text, other, now)
        if other == case.auth.unit or signed_at is None or abs(now - signed_at) >= _A_YEAR:
            continue
        expected_name = _UNIT_NAMES[case.auth.unit]
        rule = f"is in {name} where this source expects {expected_name}"
        is_right = holds(replace(case, auth=replace(case.auth, unit=other)))
        right = ", and the signature is right" if is_right else ""
        act = f"send it in {expected_name}, or set `unit: {other}` where the source has `scheme: hmac`"
        return f"the time of signing {rule}{right}: {act}"
    return None
