"""The cause of a rejection: tables of a scheme, a request and the cause that is named."""

import base64
import gzip
import hashlib
import hmac
import json
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deploy.config.warnings import auth_texts
from functions.receive.diagnosis.diagnose import rejection_cause
from functions.receive.diagnosis.guesses import _CONTENTS, _unsigned_time_advice
from functions.receive.diagnosis.signatures import DIFFERENT_SECRET
from shared.config.signed import HmacAuth
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.signature_scheme import HmacScheme

NOW: Final = 1_790_000_000.0
KEY: Final = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHSEC: Final = f"whsec_{KEY}"
BODY: Final = b'{"action":"opened","n":1,"text":"caf\xc3\xa9"}'
HUB: Final[dict[str, Json]] = {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256=", "secret": "s"}
TIMED: Final[dict[str, Json]] = {
    "scheme": "hmac",
    "header": "X-Sig",
    "layout": "pairs",
    "take": ["v1"],
    "timestamp": "signature.t",
    "content": "{timestamp}.{body}",
    "secret": "s",
}
BASIC: Final[dict[str, Json]] = {"scheme": "basic", "username": "web", "secret": "s"}
BEARER: Final[dict[str, Json]] = {"scheme": "bearer", "secret": "s"}
ED25519: Final[dict[str, Json]] = {"scheme": "ed25519", "header": "X-Ed", "secret": "s"}
PUBLIC: Final = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
HEADER: Final[dict[str, Json]] = {"scheme": "header", "header": "x-token", "secret": "s"}
TOKEN: Final[dict[str, Json]] = {"scheme": "token", "at": "data.token", "secret": "s"}
TOKENS: Final[dict[str, Json]] = {"scheme": "token", "at": "data.items.*.token", "secret": "s"}
STANDARD: Final[dict[str, Json]] = {"scheme": "standard-webhooks", "secret": "s"}
EACH: Final[dict[str, Json]] = {
    "scheme": "hmac",
    "each": "data.items.*",
    "at": "data.sig",
    "content": "{data.id}",
    "secret": "s",
}
URL: Final[dict[str, Json]] = {**HUB, "content": "{url}{body}", "prefix": ""}
HERE: Final = b"https://hooks.example.com/hook"


def mac(body: bytes, key: bytes = KEY.encode(), algorithm: str = "sha256") -> str:
    return hmac.new(key, body, algorithm).hexdigest()


def posted(body: bytes, *headers: tuple[str, str], query: str = "") -> Request:
    return Request("POST", "/hook", query, (("content-type", "application/json"), *headers), body)


def hub(signature: str, body: bytes = BODY) -> Request:
    return posted(body, ("x-hub-signature-256", signature))


def basic(user: str, password: str) -> Request:
    return posted(BODY, ("authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()))


def timed(at: float | str, content: bytes | None = None, version: str = "v1") -> Request:
    text = at if isinstance(at, str) else f"{at:.0f}"
    signed = f"{text}.".encode() + BODY if content is None else content
    return posted(BODY, ("x-sig", f"t={text},{version}={mac(signed)}"))


def standard(key: bytes, at: float = NOW) -> Request:
    signature = base64.b64encode(hmac.digest(key, b"msg_1.%d.%b" % (at, BODY), "sha256")).decode()
    headers = (("webhook-id", "msg_1"), ("webhook-timestamp", f"{at:.0f}"), ("webhook-signature", f"v1,{signature}"))
    return posted(BODY, *headers)


def items(*signatures: dict[str, Json]) -> Request:
    return posted(json.dumps({"items": list(signatures)}).encode())


def tokens(*texts: str) -> Request:
    return posted(json.dumps({"items": [{"token": text} for text in texts]}).encode())


REENCODED: Final = "over the raw body: yours was re-encoded"
ESCAPED: Final = b'{"action":"opened","n":1,"text":"caf\\u00e9"}'
WHEN: Final[dict[str, Json]] = {**HUB, "when": {"header.x-hub-signature-256": True}}
SHA1: Final = posted(BODY, ("x-hub-signature", "sha1=" + mac(BODY, algorithm="sha1")))
IN_BASE64: Final = base64.b64encode(hmac.digest(KEY.encode(), BODY, "sha256")).decode()
DIGEST: Final[dict[str, Json]] = {**HUB, "content": "{url}", "body_digest": "query.bodySHA256", "prefix": ""}
DIGESTED: Final = f"bodySHA256={hashlib.sha256(BODY).hexdigest()}"
FORWARDED: Final = (("x-forwarded-host", "hooks.example.com"), ("x-forwarded-proto", "https"))
CAUSES: Final[list[tuple[dict[str, Json], str, Request, str]]] = [
    # The body was changed
    (HUB, KEY, hub("sha256=" + mac(BODY + b"\n")), f"{REENCODED} (a newline at its end is missing)"),
    (HUB, KEY, hub("sha256=" + mac(ESCAPED)), "as \\u escapes"),
    (HUB, KEY, hub("sha256=" + mac(BODY), BODY + b"\n"), "ends in a newline that was not signed"),
    (HUB, KEY, hub("sha256=" + mac(b"a\r\nb"), b"a\nb"), "LF where the sender wrote CR LF"),
    (HUB, KEY, hub("sha256=" + mac(BODY), BODY[:-9]), "the body is not complete JSON: it was cut"),
    (TOKEN, KEY, posted(b'{"a": 1, "tok'), "the credentials are in the body, and the body is not complete JSON"),
    (HUB, KEY, hub("sha256=00", b"[" + b"1," * 500_000 + b"1]"), "too large to try"),
    # The secret or the key
    ({**HUB, "key": "base64"}, KEY, hub("sha256=" + mac(BODY)), "uses the text of the secret as its key"),
    (STANDARD, KEY, standard(KEY.encode()), "uses the text of the secret as its key"),
    (HUB, KEY, hub("sha256=" + mac(BODY, WHSEC.encode())), "lacks the `whsec_`"),
    (HUB, WHSEC, hub("sha256=" + mac(BODY)), "begins with `whsec_`, and"),
    (HUB, KEY, hub("sha256=" + mac(BODY, f"{KEY}\n".encode())), "the sender's secret ends in a newline"),
    (HUB, KEY, hub("sha256=" + mac(BODY, b"other's")), "the secret of the source 'shop' is the right one"),
    # Algorithm, encoding, prefix and place
    (HUB, KEY, hub("sha256=" + mac(BODY, algorithm="sha512")), "is made with sha512, and this source expects sha256"),
    (HUB, KEY, hub("sha256=" + IN_BASE64), "written in base64, and this source expects hex"),
    (HUB, KEY, hub(mac(BODY)), "the signature has no prefix; this source expects 'sha256=' before it"),
    (HUB, KEY, hub(""), "is there and empty: no secret is set at the sender"),
    (HUB, KEY, posted(BODY), "no secret is set at the sender, or a proxy drops the header"),
    (HUB, KEY, posted(BODY, ("authorization", "Basic eDp5")), "takes no password but a signature"),
    (WHEN, KEY, SHA1, "a right signature stands in the header x-hub-signature, made with sha1"),
    (EACH, KEY, items({"sig": "00"}, {"sig": "00"}), DIFFERENT_SECRET),
    (EACH, KEY, items({"sig": "00"}, {}), "in data.sig of each item, and not every one"),
    # Passwords
    (BASIC, KEY, basic("someone", KEY), "the password is right, but the user name is wrong"),
    (BASIC, KEY, basic(KEY, "x"), "sent as the user name"),
    (BASIC, KEY, basic("web", f"{KEY} "), "except for white space"),
    (BASIC, KEY, basic("web", f"{KEY}\nan older one"), "send the newest value alone"),
    (BASIC, KEY, posted(BODY, ("x-webhook-password", KEY)), "stands in the header x-webhook-password"),
    (BASIC, KEY, posted(BODY, ("authorization", f"Bearer {KEY}")), "stands in `Authorization: Bearer`"),
    (BASIC, KEY, posted(BODY), "some senders drop user and password from a URL"),
    (BEARER, KEY, basic("web", KEY), "stands in basic authentication"),
    (HEADER, KEY, posted(BODY, query=f"key={KEY}"), "stands in the query parameter key"),
    (HEADER, KEY, posted(json.dumps({"token": KEY}).encode()), "the right secret stands in the body; this source"),
    (HEADER, f"{KEY} ", posted(BODY, ("x-token", KEY)), "white space around it"),
    (TOKENS, KEY, tokens(KEY, f"{KEY} "), "is right, except for white space around it"),
    (TOKENS, KEY, tokens(KEY, "another"), "is not this source's secret: the sender may use a different secret"),
    (TOKENS, KEY, tokens(KEY, ""), "at data.items.*.token of each item, and not every one has it"),
    ({**TOKEN, "prefix": "Bearer "}, KEY, posted(json.dumps({"token": KEY}).encode()), "must begin with 'Bearer '"),
    # The URL
    ({**URL, "url_here": "http://hooks.example.com/hook"}, KEY, hub(mac(HERE + BODY)), "begins with https://"),
    ({**URL, "url_here": f"{HERE.decode()}/"}, KEY, hub(mac(HERE + BODY)), "ends without a slash"),
    ({**URL, "url_here": "https://hooks.example.com"}, KEY, hub(mac(HERE + BODY)), "goes on with the path of this"),
    ({**URL, "url_here": "http://localhost:8080/hook"}, KEY, hub(mac(HERE + BODY)), "Set `public_url` to the URL as"),
    (
        *({**URL, "url_here": "http://10.0.0.1:8080/hook"}, KEY),
        posted(BODY, *FORWARDED, ("x-hub-signature-256", mac(HERE + BODY))),
        "X-Forwarded-Host; set `public_url`",
    ),
    (URL, KEY, posted(BODY, ("host", "["), ("x-hub-signature-256", "00")), "public_url"),
    (DIGEST, KEY, posted(BODY[:-3], ("x-hub-signature-256", "00"), query=DIGESTED), "changed or cut the body"),
    # The time
    (TIMED, KEY, timed(NOW - 420), "signed 7 minutes ago, the limit is 5 minutes: the signature is right"),
    (TIMED, KEY, timed(NOW + 3600 * 3), "signed 3 hours in the future"),
    (TIMED, KEY, timed(NOW - 420, b"something else"), "and the signature is wrong too"),
    (TIMED, KEY, timed(NOW * 1000), "in milliseconds where this source expects seconds, and the signature is right"),
    (TIMED, KEY, timed(NOW * 1000), "or set `unit: ms` where the source has `scheme: hmac`"),
    (TIMED, KEY, timed(NOW, version="v0"), "the header x-sig holds v0, and this source takes v1"),
    (TIMED, KEY, posted(BODY, ("x-sig", mac(BODY))), "holds a single value, and this source expects pairs in it"),
    (TIMED, KEY, posted(BODY, ("x-sig", f"t=1;v1={mac(BODY)}")), "are separated by `;`, and this source expects `,`"),
    (TIMED, KEY, timed("2026-09-21T14:13:20Z"), "such as 2026-03-01T12:00:00Z where this source expects seconds"),
    ({**TIMED, "unit": "http-date"}, KEY, timed(NOW), "in seconds where this source expects text such as Sun, 01 Mar"),
    (
        {**HUB, "timestamp": "header.date"},
        KEY,
        posted(BODY, ("x-hub-signature-256", "sha256=00"), ("date", "Mon, 21 Sep 2026 14:13:20 GMT")),
        "is in text such as Sun, 01 Mar 2026 12:00:00 GMT where this source expects seconds",
    ),
    (HUB, KEY, hub("SHA256=" + mac(BODY)), "begins with 'SHA256='; this source expects 'sha256=' before it"),
    (ED25519, PUBLIC, posted(BODY, ("x-ed", "00" * 64)), "a private key that the public key here does not belong to"),
    (TIMED, KEY, timed(NOW, BODY), "the signature is over {body}, and"),
    (TIMED, KEY, timed(NOW, BODY), '`content: "{body}"`, and remove `timestamp`, because its time is not signed'),
    (TIMED, KEY, timed(NOW, BODY), "; or have the sender sign {timestamp}.{body}"),
]


@pytest.mark.parametrize("location", ["header.x-time", "signature.t", "query.at", "data.at"])
@pytest.mark.parametrize("template", _CONTENTS)
def test_lint_agrees_with_the_advice_about_the_signed_content(template: str, location: str) -> None:
    settings = {**TIMED, "timestamp": location, "content": template, "id": "header.x-id"}
    auth = read_scheme({**settings, "content": "{timestamp}"})
    assert isinstance(auth, HmacScheme)
    is_open = any("{timestamp}" in text for text in auth_texts(HmacAuth.model_validate(settings)))
    assert ("remove `timestamp`" in _unsigned_time_advice(auth, template)) is is_open


@pytest.mark.parametrize(("settings", "secret", "request_", "cause"), CAUSES)
def test_a_rejection_names_its_cause(settings: dict[str, Json], secret: str, request_: Request, cause: str) -> None:
    url = settings.get("url_here")
    auth = read_scheme({name: value for name, value in settings.items() if name != "url_here"})
    found = rejection_cause(request_, auth, [secret], NOW, str(url) if url else None, {"shop": ["other's"]}) or ""
    assert cause in found
    assert not url or "public_url" in found


WHSEC_KEY: Final = f"whsec_{base64.b64encode(b'k' * 24).decode()}"
EITHER: Final[dict[str, Json]] = {**STANDARD, "key": "either"}


@pytest.mark.parametrize(
    ("settings", "secret", "key"),
    [
        (STANDARD, f"v1,{WHSEC_KEY}", b"k" * 24),
        (EITHER, WHSEC_KEY, b"k" * 24),
        (EITHER, WHSEC_KEY, WHSEC_KEY.encode()),
        (EITHER, "polar_whs_a text", b"polar_whs_a text"),
    ],
)
def test_a_standard_secret_is_read_as_its_scheme_reads_it(settings: Json, secret: str, key: bytes) -> None:
    auth, late, right = read_scheme(settings), standard(key, NOW - 420), standard(key)
    assert "7 minutes ago, the limit is 5 minutes: the signature is right" in (
        rejection_cause(late, auth, [secret], NOW) or ""
    )
    assert rejection_cause(right, auth, [secret], NOW) is None


@pytest.mark.parametrize(("settings", "secret"), [(STANDARD, f"v1,{WHSEC_KEY}"), (EITHER, WHSEC_KEY)])
def test_a_newline_after_the_body_is_found_with_such_a_secret_too(settings: Json, secret: str) -> None:
    signed = standard(b"k" * 24)
    sent = posted(BODY + b"\n", *signed.headers[1:])
    assert "ends in a newline" in (rejection_cause(sent, read_scheme(settings), [secret], NOW) or "")


def test_a_compressed_body_is_not_called_broken() -> None:
    packed = posted(gzip.compress(BODY), ("content-encoding", "gzip"), ("x-hub-signature-256", "sha256=00"))
    assert "JSON" not in (rejection_cause(packed, read_scheme(HUB), [KEY], NOW) or "")


CARD: Final = "4111111111111111"


@pytest.mark.parametrize(
    ("settings", "name", "value", "cause"),
    [
        (HUB, KEY.lower(), KEY, "the secret itself stands in a header whose name may be a secret"),
        (HUB, f"x-{CARD}-signature", "00", "no secret is set at the sender"),
        (HEADER, KEY.lower(), KEY, "the right secret stands in a header whose name may be a secret"),
        (BEARER, KEY.lower(), KEY, "the right token is in a header whose name may be a secret"),
    ],
)
def test_a_header_whose_name_may_be_a_secret_is_not_named(
    settings: dict[str, Json], name: str, value: str, cause: str
) -> None:
    found = rejection_cause(posted(BODY, (name, value)), read_scheme(settings), [KEY], NOW) or ""
    assert cause in found
    assert name not in found


def test_a_parameter_whose_name_may_be_a_secret_is_not_named() -> None:
    found = rejection_cause(posted(BODY, query=f"x{CARD}={KEY}"), read_scheme(HEADER), [KEY], NOW) or ""
    assert "the right secret stands in the query; this source" in found


def test_a_time_in_a_header_whose_name_may_be_a_secret_is_not_proposed() -> None:
    signature = "sha256=" + mac(f"{NOW:.0f}.".encode() + BODY)
    sent = posted(BODY, ("x-hub-signature-256", signature), (f"x-{CARD}", f"{NOW:.0f}"))
    assert CARD not in (rejection_cause(sent, read_scheme(HUB), [KEY], NOW) or "")


NAMES: Final = ["x-hub-signature-256", "x-hub-signature", "x-sig", "authorization", "webhook-signature", "a-sig"]
SCHEMES: Final[list[Json]] = [
    HUB,
    TIMED,
    {**HUB, "key": "hex"},
    BASIC,
    {**HUB, "content": "{url}{body}"},
    {**HUB, "body_digest": "query.digest"},
    {"scheme": "query", "parameter": "token", "secret": "s"},
    STANDARD,
    {"scheme": "token", "at": "data.value.*.clientState", "secret": "s"},
]
BODIES: Final = st.binary(max_size=60) | st.sampled_from(
    [b"[" * 3000, b"[" * 800 + b"]" * 800, b'{"a":' * 900, b"\x1f\x8b\x00"]
)


@given(
    body=BODIES,
    headers=st.lists(
        st.tuples(st.sampled_from(NAMES), st.text(st.characters(max_codepoint=0x24F), max_size=60)), max_size=4
    ),
    auth=st.sampled_from([read_scheme(each) for each in SCHEMES]),
    query=st.text(max_size=20),
)
def test_whatever_was_sent_is_reported_without_a_secret_or_a_value(
    body: bytes, headers: list[tuple[str, str]], auth: AuthScheme, query: str
) -> None:
    marked = [(name, f"{value}canary") for name, value in headers]
    cause = rejection_cause(posted(body, *marked, query=query), auth, [KEY, WHSEC], NOW) or ""
    assert KEY not in cause
    assert "canary" not in cause
