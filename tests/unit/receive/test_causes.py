"""Tables of faults: a source, its secret and a request, and the cause that the log and `explain` name."""

import base64
import gzip
import hmac
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.warnings import auth_texts
from deploy.explain.receive_stage import explain_receive
from functions.receive.diagnosis.bodies import is_broken
from functions.receive.diagnosis.diagnose import PROVIDER_HANDSHAKES, rejection_cause
from functions.receive.diagnosis.guesses import _CONTENTS, _unsigned_time_advice
from functions.receive.diagnosis.signatures import DIFFERENT_SECRET
from functions.receive.flood_limits import MAX_TOKENS, SECONDS_A_TOKEN, TokenBucket
from shared.config.signed import HmacAuth
from shared.formats import json_body
from shared.formats.parse import MediaType
from shared.http import Request
from shared.jsontext import Json, JsonObject, mapping_at
from shared.limits import Limits
from shared.signatures.auth_scheme import read_scheme
from shared.signatures.locations import parse_location
from shared.signatures.signature_scheme import HmacScheme
from shared.signatures.signing import hmac_signature, hmac_text
from tests.fakes.clock import FakeClock
from tests.in_process.posting import FORM, JSON, Posting, basic

NOW: Final = int(FakeClock().now())
KEY: Final = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CARD: Final = "4111111111111111"
BODY: Final = b'{"a":1}'
OWN: Final = "{auth: {scheme: hmac, header: X-Sig, secret: key}}"
HUB: Final = "{auth: {scheme: hmac, header: X-Hub-Signature-256, prefix: sha256=, secret: key}}"
HUB_IF_SIGNED: Final = HUB.replace("}}", ", when: {header.x-hub-signature-256: true}}}")
DECODED: Final = OWN.replace("}}", ", key: base64}}")
TIMED: Final = OWN.replace("}}", ', layout: pairs, take: v1, timestamp: signature.t, content: "{timestamp}.{body}"}}')
IN_HTTP_DATES: Final = TIMED.replace("}}", ", unit: http-date}}")
DATED: Final = OWN.replace("}}", ", timestamp: header.date}}")
OVER_URL: Final = OWN.replace("}}", ', content: "{url}{body}"}}')
EACH: Final = '{auth: {scheme: hmac, each: data.items.*, at: data.sig, content: "{data.id}", secret: key}}'
ED25519: Final = "{auth: {scheme: ed25519, header: X-Sig, secret: key}}"
STANDARD: Final = "{provider: standard_webhooks, secret: key}"
EITHER: Final = "{auth: {scheme: standard-webhooks, key: either, secret: key}}"
BASIC: Final = "{auth: {scheme: basic, username: web, secret: key}}"
BEARER: Final = "{auth: {scheme: bearer, secret: key}}"
JWT: Final = "{auth: {scheme: jwt, algorithms: HS256, secret: key}}"
HEADER: Final = "{auth: {scheme: header, header: X-Token, secret: key}}"
QUERY: Final = "{auth: {scheme: query, parameter: token, secret: key}}"
MONDAY: Final = "{provider: monday, secret: key}"
TOKEN: Final = "{auth: {scheme: token, at: data.token, secret: key}}"
PREFIXED: Final = TOKEN.replace("}}", ", prefix: 'Bearer '}}")
TOKENS: Final = "{auth: {scheme: token, at: data.items.*.token, secret: key}}"
SLACK: Final = "{provider: slack, secret: key}"
META: Final = "{provider: meta, secret: key, params: {verify_token: token}}"
PAYSTACK: Final = "{provider: paystack, secret: key}"
TWILIO: Final = "{provider: twilio, secret: key}"
SMART: Final = f"“{KEY}”"


def signed(content: str | bytes, name: str = "x-sig", key: str = KEY, algorithm: str = "sha256") -> tuple[str, str]:
    raw = content.encode() if isinstance(content, str) else content
    return name, hmac.new(key.encode(), raw, algorithm).hexdigest()


def standard(sent_id: str = "msg_1", key: bytes = KEY.encode(), at: int = NOW) -> list[tuple[str, str]]:
    """Return the headers of a signature over the id `msg_1`."""
    mac = base64.b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + BODY, "sha256")).decode()
    return [("webhook-id", sent_id), ("webhook-timestamp", str(at)), ("webhook-signature", f"v1,{mac}")]


def token(key: bytes = KEY.encode(), exp: int = NOW + 300, alg: str = "HS256") -> str:
    parts = (json.dumps({"alg": alg}).encode(), json.dumps({"exp": exp}).encode())
    content = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return f"{content}.{hmac_text(content.encode(), key, 'sha256', 'base64url')}"


def slack(content: str) -> list[tuple[str, str]]:
    return [("x-slack-request-timestamp", str(NOW)), ("x-slack-signature", "v0=" + signed(content)[1])]


def mac_with(key: bytes) -> tuple[str, str]:
    return "x-sig", hmac.new(key, BODY, "sha256").hexdigest()


def posted(*headers: tuple[str, str], body: bytes = BODY, query: str = "", method: str = "POST") -> Request:
    return Request(method, "/s", query, (JSON, *headers), body)


def authorized(value: str) -> Request:
    return posted(("authorization", value))


def hub(content: bytes, body: bytes, *headers: tuple[str, str], prefix: str = "sha256=") -> Request:
    """Return a request with a body, and a signature over this content."""
    return posted(*headers, ("x-hub-signature-256", prefix + signed(content)[1]), body=body)


def timed(at: int | str, content: str | None = None, version: str = "v1") -> Request:
    over_time_and_body = f"{at}.{BODY.decode()}" if content is None else content
    return posted(("x-sig", f"t={at},{version}={signed(over_time_and_body)[1]}"))


def items(*each: JsonObject) -> Request:
    return posted(body=json.dumps({"items": list(each)}).encode())


Row = tuple[str, str, Request, str]
"""A source, its secret, a request to it, and what the cause says."""

TIME: Final = ("x-time", str(NOW))
RFC: Final = "2026-09-21T10:13:20Z"
HTTP_DATE: Final = ("date", "Mon, 21 Sep 2026 14:13:20 GMT")
WHSEC: Final = f"whsec_{base64.b64encode(KEY.encode()).decode()}"
TEXT: Final = '{"text":"café"}'.encode()
IN_BASE64: Final = base64.b64encode(hmac.digest(KEY.encode(), BODY, "sha256")).decode()
UNNAMED: Final = (KEY.lower(), KEY)
"""A header whose name may be a secret."""
OF_SHA1: Final = posted(("x-hub-signature", "sha1=" + signed(BODY, algorithm="sha1")[1]))
GZIPPED: Final = hub(b"another", gzip.compress(BODY), ("content-encoding", "gzip"))
OTHER_DIGEST: Final = posted(("x-twilio-signature", "feed"), query=f"bodySHA256={sha256(TEXT).hexdigest()}")
CHANGED_ID: Final = standard("msg_2")
FORWARDED: Final = (("x-forwarded-host", "hooks.example.com"), ("x-forwarded-proto", "https"))
OVER_CALLED: Final = signed(b"https://hooks.example.com/s" + BODY)
NO_SUCH_URL: Final = f"Set `public_url` to the URL as the sender has it; otherwise {DIFFERENT_SECRET}"
TWICE: Final = posted(("authorization", "Basic eDp5"), ("authorization", f"Bearer {KEY}"))
WRONG_TOKEN: Final = posted(query="hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", method="GET")
OF_META: Final = posted(query="hub.mode=subscribe&hub.challenge=1", method="GET")
XML: Final = Request("POST", "/s", "", (("content-type", "application/xml"),), BODY)
FORM_AS_JSON: Final = Request("POST", "/s", "", (("content-type", "application/json"),), b"event=paid&name=Ada+L")

PASSWORDS: Final = {
    "in quotation marks": (f'"{KEY}"', "has quotation marks around it"),
    "base64": (base64.b64encode(KEY.encode()).decode(), "is base64 of this source's secret"),
    "hex": (KEY.encode().hex(), "is this source's secret in hex"),
    "cut": (KEY[:-3], "is a part of this source's secret: 3 of its characters are missing"),
    "in lower case": (KEY.lower(), "in upper and lower case only"),
    "a name in braces": ("${SHOP_KEY}", "is the name of a variable, and not its value"),
    "a word twice": (f"Bearer {KEY}", "has another word before this source's secret"),
    "in angle brackets": (f"<{KEY}>", "has angle brackets around this source's secret"),
    "more after it": (f"{KEY}xyz", "has this source's secret in it, and more"),
    "the secret's name": ("key", "is the name of this source's secret, and not its value"),
    "its variable's name": ("KEY", "is the name of this source's secret, and not its value"),
    "undefined": ("undefined", "is a program's word for a missing value"),
    "another": ("another-secret-of-the-sender", DIFFERENT_SECRET),
    "a few of its characters": (KEY[:7], DIFFERENT_SECRET),
}
TO_OWN: Final[dict[str, tuple[list[tuple[str, str]], str]]] = {
    "time.body": ([signed(f'{NOW}.{{"a":1}}'), TIME], '`timestamp: header.x-time`, `content: "{timestamp}.{body}"`'),
    "milliseconds": ([signed(f'{NOW}000.{{"a":1}}'), ("x-time", f"{NOW}000")], "header.x-time`, `unit: ms`"),
    "RFC 3339": ([signed(f'{RFC}.{{"a":1}}'), ("date-sent", RFC)], "header.date-sent`, `unit: rfc3339`"),
    "id.time.body": ([signed(f'e7.{NOW}.{{"a":1}}'), TIME, ("x-event-id", "e7")], "`id: header.x-event-id`"),
    "a time in an unnamed header": ([signed(f'{NOW}.{{"a":1}}'), (f"x-{CARD}", str(NOW))], DIFFERENT_SECRET),
    "another secret": ([signed('{"a":1}', key="another"), TIME], DIFFERENT_SECRET),
    "a prefix": ([("x-sig", "sha256=" + signed(f'{NOW}.{{"a":1}}')[1]), TIME], "signature begins with 'sha256='"),
    "a key decoded from base64": ([mac_with(base64.b64decode(KEY))], "decodes the secret from base64"),
    "a variable's name as the key": ([mac_with(b"$KEY")], "signs with the text `$KEY`"),
    "an empty key": ([mac_with(b"")], "signs with an empty secret"),
    "the variable's name as the key": ([mac_with(b"KEY")], "signs with the name `KEY`"),
    "the key in capitals": ([mac_with(KEY.upper().encode())], "the sender's secret is in capitals"),
    "the key in base64": ([mac_with(base64.b64encode(KEY.encode()))], "uses base64 of the secret as its key"),
    "whsec_ before the key": ([mac_with(f"whsec_{KEY}".encode())], "lacks the `whsec_`"),
    "a newline after the key": ([mac_with(f"{KEY}\n".encode())], "the sender's secret ends in a newline"),
    "quotation marks around the key": ([mac_with(f"'{KEY}'".encode())], "has quotation marks around it"),
    "an empty body": ([signed("")], "the sender signs an empty body"),
    "no key": ([("x-sig", sha256(BODY).hexdigest())], "is the sha256 of the body alone, without a secret"),
    "no HMAC": ([("x-sig", sha256(KEY.encode() + BODY).hexdigest())], "is the sha256 of the secret before the body"),
    "key and body exchanged": ([("x-sig", hmac.digest(BODY, KEY.encode(), "sha256").hex())], "exchanged the secret"),
    "two changes of the body": ([signed('{"a": 1}\n')], "after commas and colons, and a newline at its end"),
    "sha512": ([signed(BODY, algorithm="sha512")], "is made with sha512, and this source expects sha256"),
    "base64": ([("x-sig", IN_BASE64)], "written in base64, and this source expects hex"),
    "underscores": ([signed('{"a":1}', "x_sig")], "a right signature stands in the header x_sig"),
    "an empty header": ([("x-sig", "")], "is there and empty: no secret is set at the sender"),
    "no header": ([], "no secret is set at the sender, or a proxy drops the header"),
    "an unnamed header": ([(f"x-{CARD}-signature", "feed")], "no secret is set at the sender"),
    "a password": ([("authorization", "Basic eDp5")], "takes no password but a signature"),
    "the secret in another header": ([("authorization", KEY)], "the secret itself stands in the header authorization"),
    "the secret in an unnamed header": ([UNNAMED], "itself stands in a header whose name may be a secret"),
    "the secret as a signature": ([("x-sig", KEY)], "the secret itself stands in the place"),
}
REQUESTS: Final[dict[str, dict[str, tuple[Request, str]]]] = {
    HUB: {
        "a newline lost": (hub(BODY + b"\n", BODY), "yours was re-encoded (a newline at its end is missing)"),
        "a newline more": (hub(BODY, BODY + b"\n"), "ends in a newline that was not signed"),
        "escapes lost": (hub(b'{"text":"caf\\u00e9"}', TEXT), "as \\u escapes"),
        "CR lost": (hub(b"a\r\nb", b"a\nb"), "LF where the sender wrote CR LF"),
        "a cut body": (hub(TEXT, TEXT[:-3]), f"or something else was sent; otherwise {DIFFERENT_SECRET}"),
        "a large body": (hub(b"", b"[" + b"1," * 500_000 + b"1]"), "too large to try"),
        "a compressed body": (GZIPPED, f"{DIFFERENT_SECRET}, such as its test-mode secret"),
        "no prefix": (posted(signed(BODY, "x-hub-signature-256")), "has no prefix; this source expects 'sha256='"),
        "a prefix in capitals": (hub(BODY, BODY, prefix="SHA256="), "begins with 'SHA256='; this source expects 'sha"),
    },
    HUB_IF_SIGNED: {"sha1 elsewhere": (OF_SHA1, "stands in the header x-hub-signature, made with sha1")},
    DECODED: {"a key as it is": (posted(mac_with(KEY.encode())), "uses the text of the secret as its key")},
    STANDARD: {
        "a key as it is": (posted(*standard()), "uses the text of the secret as its key"),
        "no version": (posted(*standard()[:2], ("webhook-signature", "feed")), "begin with its version and a comma"),
    },
    EACH: {
        "wrong items": (items({"sig": "feed"}, {"sig": "feed"}), DIFFERENT_SECRET),
        "an unsigned item": (items({"sig": "feed"}, {}), "in data.sig of each item, and not every one"),
    },
    TWILIO: {"another body's digest": (OTHER_DIGEST, "the SHA-256 that was sent belongs to another body")},
    TIMED: {
        "late": (timed(NOW - 420), "signed 7 minutes ago, the limit is 5 minutes: the signature is right"),
        "early": (timed(NOW + 3 * 3_600), "signed 3 hours in the future"),
        "late and wrong": (timed(NOW - 420, "something else"), "and the signature is wrong too"),
        "milliseconds": (timed(NOW * 1_000), "this source expects seconds, and the signature is right"),
        "milliseconds, for seconds": (timed(NOW * 1_000), "or set `unit: ms` where the source has `scheme: hmac`"),
        "RFC 3339, for seconds": (timed(RFC), "such as 2026-03-01T12:00:00Z where this source expects seconds"),
        "another version": (timed(NOW, version="v0"), "the header x-sig holds v0, and this source takes v1"),
        "no pairs": (posted(signed(BODY)), "holds a single value, and this source expects pairs in it"),
        "semicolons": (posted(("x-sig", "t=1;v1=feed")), "are separated by `;`, and this source expects `,`"),
        "the body alone": (timed(NOW, BODY.decode()), "the signature is over {body}, and"),
        "an unsigned time": (timed(NOW, BODY.decode()), "`, and remove `timestamp`, because its time is not signed"),
        "a time to sign": (timed(NOW, BODY.decode()), "; or have the sender sign {timestamp}.{body}"),
    },
    IN_HTTP_DATES: {"seconds": (timed(NOW), "in seconds where this source expects text such as Sun, 01 Mar")},
    DATED: {"an HTTP date": (posted(("x-sig", "feed"), HTTP_DATE), "12:00:00 GMT where this source expects seconds")},
    BASIC: {
        "another user": (posted(basic("someone", KEY)), "the password is right, but the user name is wrong"),
        "the secret as the user": (posted(basic(KEY, "x")), "sent as the user name"),
        "white space": (posted(basic("web", f"{KEY} ")), "except for white space"),
        "several lines": (posted(basic("web", f"{KEY}\nan older one")), "send the newest value alone"),
        "the secret in a header": (posted(("x-webhook-password", KEY)), "stands in the header x-webhook-password"),
        "the right token": (authorized(f"Bearer {KEY}"), "stands in `Authorization: Bearer`"),
        "another token": (authorized("Bearer another-token"), "has `Authorization: Bearer` where this source expects"),
        "nothing": (posted(), "some senders drop user and password from a URL"),
        "another header": (posted(("x-auth", basic("web", KEY)[1])), "the right credentials are in the header x-auth"),
        "no word": (authorized(basic("web", KEY)[1].removeprefix("Basic ")), "the word `Basic` is missing before them"),
        "no base64": (authorized("Basic §§§"), "must have base64"),
        "not encoded": (authorized(f"Basic web:{KEY}"), "they stand in it as they are"),
    },
    BEARER: {
        "another word": (authorized(f"Token {KEY}"), "the credentials are right, but the word before them"),
        "no word": (authorized(KEY), "the word `Bearer` is missing before them"),
        "a colon": (authorized(f"Bearer:{KEY}"), "a colon follows the word `Bearer`"),
        "no token": (authorized("Bearer"), "the word `Bearer` alone"),
        "a wrong word and token": (authorized("Token x"), "does not begin with the word `Bearer` and a space"),
        "another password": (posted(basic("web", "another")), "`Authorization: Basic` where this source expects"),
        "the right password": (posted(basic("web", KEY)), "stands in basic authentication"),
        "another header": (
            posted(("authorisation", f"Bearer {KEY}")),
            "header authorisation; this source expects them in `Authorization: Bearer`",
        ),
        "an unnamed header": (posted(UNNAMED), "credentials are in a header whose name may be a secret"),
        "sent twice": (TWICE, "`Authorization` was sent more than once"),
    },
    JWT: {
        "another word": (authorized(f"Token {token()}"), "before them in `Authorization` must be `Bearer`"),
        "another header": (posted(("x-token", f"Bearer {token()}")), "the right credentials are in the header x-token"),
        "a decoded key": (authorized(f"Bearer {token(base64.b64decode(KEY))}"), "decodes the secret from base64"),
        "another key": (authorized(f"Bearer {token(b'another')}"), DIFFERENT_SECRET),
        "another algorithm": (authorized(f"Bearer {token(alg='HS512')}"), "by HS512, and the source accepts HS256"),
        "expired": (authorized(f"Bearer {token(exp=NOW - 90)}"), "has expired 90 s ago: the sender must make"),
        "milliseconds": (authorized(f"Bearer {token(exp=1000 * (NOW + 300))}"), "token's exp is in milliseconds"),
    },
    MONDAY: {"a word": (authorized(f"Bearer {token()}"), "`Authorization` must have nothing before them")},
    QUERY: {"nothing": (posted(), "takes it in the query parameter token: the sender sent none there")},
    HEADER: {
        "a query": (posted(query=f"key={KEY}"), "stands in the query parameter key"),
        "an unnamed parameter": (posted(query=f"x{CARD}={KEY}"), "the right secret stands in the query; this source"),
        "an unnamed header": (posted(UNNAMED), "the right secret stands in a header whose name may be a secret"),
        "a body": (posted(body=json.dumps({"token": KEY}).encode()), "token in the body does not co"),
    },
    TOKEN: {
        "elsewhere": (
            posted(body=json.dumps({"key": KEY}).encode()),
            "the right secret stands in the body; this source",
        ),
        "a cut body": (posted(body=b'{"a": 1, "tok'), "the credentials are in the body, and the body is not complete"),
    },
    PREFIXED: {"no prefix": (posted(body=json.dumps({"token": KEY}).encode()), "must begin with 'Bearer '")},
    TOKENS: {
        "white space": (items({"token": KEY}, {"token": f"{KEY} "}), "is right, except for white space around it"),
        "another": (items({"token": KEY}, {"token": "another"}), f"is not this source's secret: {DIFFERENT_SECRET}"),
        "one without": (items({"token": KEY}, {"token": ""}), "at data.items.*.token of each item, and not every one"),
    },
    META: {"a wrong verify token": (WRONG_TOKEN, "the provider's handshake, and its token")},
    **{
        OVER_URL.replace("{auth", f"{{public_url: '{url}', auth"): {
            "another URL": (posted(OVER_CALLED, *headers), cause)
        }
        for url, headers, cause in (
            ("http://hooks.example.com/s", (), "begins with https://; set `public_url` to just what it calls"),
            ("https://hooks.example.com/s/", (), "ends without a slash; set `public_url`"),
            ("https://hooks.example.com", (), "goes on with the path of this request; set `public_url`"),
            ("http://localhost:8080/s", (), NO_SUCH_URL),
            ("http://10.0.0.1:8080/s", FORWARDED, "X-Forwarded-Host; set `public_url`"),
        )
    },
    OVER_URL: {"no host": (posted(("host", "["), OVER_CALLED), NO_SUCH_URL)},
}
NOT_JSON: Final = {
    "single quotation marks": (b"{'a': 1}", "JSON has plain double quotation marks only"),
    "Python's True": (b'{"a": True}', "JSON writes true, false and null"),
    "a comment": (b'// a\n{"a": 1}', "JSON has no comments"),
    "a placeholder": (b'{"a": {{ value }}}', "a template's placeholder stands there"),
    "an object's name": (b"[object Object]", "the sender sent an object's name"),
    "a line break": (b'{"a": "x\ny"}', "must be written as \\n"),
    "a key without marks": (b"{a: 1}", "a key must be in double quotation marks"),
    "JSON lines": (b'{"a": 1}\n{"a": 2}', "set `body: ndjson`"),
    "a plus": (b'{"a": +1}', "a number must not begin with +"),
    "a leading zero": (b'{"a": 007}', "a number must not begin with 0"),
    "a hexadecimal number": (b'{"a": 0x1F}', "a number must be decimal"),
    "a missing comma": (b'{"a": 1 "b": 2}', "a comma is missing before it"),
    "a quotation mark in a text": (b'{"a": "x "y" z"}', "a quotation mark within a text must be written as"),
    "a backslash": (b'{"a": "C:\\path"}', "a backslash in a text must be written twice"),
    "a bracket too many": (b'{"a": 1}}', "a closing bracket is too many"),
    "YAML": (b"a: 1\nb: 2", "the body does not begin like JSON"),
    "a cut body": (b'{"a": [1,2', "the body ends there: it was cut"),
    "base64": (base64.b64encode(b'{"event": "paid"}'), "the body is base64"),
    "ISO 8859-1": ('{"a":"é"}'.encode("latin-1"), "JSON must be UTF-8"),
}
CAUSES: Final[dict[str, Row]] = {
    **{name: (OWN, KEY, posted(*headers), cause) for name, (headers, cause) in TO_OWN.items()},
    **{f"{name}, to {source}": (source, KEY, *row) for source, rows in REQUESTS.items() for name, row in rows.items()},
    **{f"a password, {name}": (BASIC, KEY, posted(basic("web", it)), cause) for name, (it, cause) in PASSWORDS.items()},
    **{f"a token, {name}": (BEARER, KEY, authorized(f"Bearer {it}"), cause) for name, (it, cause) in PASSWORDS.items()},
    "a changed id": (STANDARD, WHSEC, posted(*CHANGED_ID), DIFFERENT_SECRET),
    "the right id elsewhere": (
        *(STANDARD, WHSEC, posted(*CHANGED_ID, ("x-request-id", "msg_1"))),
        "over the id in the header x-request-id, and the header webhook-id has another one",
    ),
    "no webhook-id": (STANDARD, KEY, posted(*standard()[1:]), "webhook-id is missing"),
    **{
        f"late, with {name}": (
            source,
            secret,
            posted(*standard(key=key, at=NOW - 420)),
            "5 minutes: the signature is right",
        )
        for name, source, secret, key in (
            ("the version before the secret", STANDARD, f"v1,{WHSEC}", KEY.encode()),
            ("a key of either form, decoded", EITHER, WHSEC, KEY.encode()),
            ("a key of either form, as it is", EITHER, WHSEC, WHSEC.encode()),
            ("a key that is a text", EITHER, "polar_whs_a text", b"polar_whs_a text"),
        )
    },
    **{
        f"a newline more, with {secret}": (source, secret, posted(*standard(), body=BODY + b"\n"), "ends in a newline")
        for source, secret in ((STANDARD, f"v1,{WHSEC}"), (EITHER, WHSEC))
    },
    "another private key": (
        *(ED25519, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", posted(("x-sig", "ed" * 64))),
        f"{DIFFERENT_SECRET}, a private key that the public key here does not belong to",
    ),
    "six characters of a short secret": (HEADER, "short-keys", posted(("x-token", "short-")), DIFFERENT_SECRET),
    "the user before the password here": (
        BASIC,
        f"web:{KEY}",
        posted(basic("web", KEY)),
        "is the password alone, without",
    ),
    "white space here": (HEADER, f"{KEY} ", posted(("x-token", KEY)), "white space around it"),
    "quotation marks here": (OWN, SMART, posted(signed('{"a":1}')), "the secret here is in quotation marks"),
    "whsec_ here": (OWN, f"whsec_{KEY}", posted(mac_with(KEY.encode())), "begins with `whsec_`, and"),
    "what a provider signs": (
        *(SLACK, KEY, posted(*slack(f"{NOW}:{BODY.decode()}"))),
        "over {timestamp}:{body}: the sender must sign v0:{timestamp}:{body} instead",
    ),
    "an API key here": (OWN, f"sk_test_{KEY}", posted(signed('{"a":1}')), "begins with `sk_test_`, as an API key does"),
    "an API key that signs": (
        *(PAYSTACK, f"sk_live_{KEY}", posted(signed('{"a":2}', "x-paystack-signature", f"sk_live_{KEY}"))),
        "A sender that signs with an API key uses another one, or the body was changed on its way",
    ),
    "another provider's handshake": (OWN, KEY, OF_META, "a handshake as meta sends it"),
    "the source's path below another": (OWN, KEY, replace(posted(), path="/webhook/s"), "this source ends in /s"),
    "a proxy's address": (
        *("{auth: none, allow: [203.0.113.0/24]}", KEY, posted(("x-forwarded-for", "203.0.113.7"))),
        "if that is your own proxy, set `trusted_proxies: 1`",
    ),
    "a token where a signature may stand": (
        *("{provider: gitlab, secret: key}", KEY, authorized(f"Bearer {KEY}")),
        "stands in `Authorization: Bearer`; this source expects it in the header x-gitlab-token",
    ),
    **{
        f"not JSON, {name}": ("{auth: none}", KEY, posted(body=body), cause) for name, (body, cause) in NOT_JSON.items()
    },
    **{
        f"not {format_}, {cause}": (f"{{auth: none, body: {format_}}}", KEY, posted(body=body), cause)
        for format_, body, cause in (
            ("xml", b'{"a": 1}', "the source's `body` says xml, and the body begins like json"),
            ("xml", b"", "the body is empty"),
            ("yaml", b"a: b: c", "a value that holds a colon and a space must be in quotes"),
            ("csv", b'a,b\n"1,2', "a quotation mark is not closed"),
        )
    },
    "JSON declared, a form sent": ("{auth: none}", KEY, FORM_AS_JSON, "the body begins like a form"),
    "XML declared, JSON sent": ("{auth: none}", KEY, XML, "the content type says xml, and the body begins like json"),
}


@pytest.mark.parametrize("name", CAUSES, ids=str)
async def test_the_log_names_the_cause(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source, secret, request, cause = CAUSES[name]
    posting = Posting(f"s: {source}", {"key": secret, "token": "the-right-verify-token"})
    reply = await posting.send(request.path, request.body, *request.headers, method=request.method, query=request.query)
    detail = json.loads(capsys.readouterr().out.splitlines()[-1])["detail"]
    assert cause in detail
    assert "has no token" not in detail
    assert source not in {SLACK, JWT} or "write `" not in detail
    assert (DIFFERENT_SECRET in detail) is (DIFFERENT_SECRET in cause), "it claims what is not so"
    sent = [
        value
        for name, value in request.headers
        if name not in {"content-type", "content-encoding", "webhook-id"} and value not in {"", "Basic", "Bearer", "["}
    ]
    hidden = (KEY, KEY.lower(), CARD, secret, *sent)
    assert [text for text in hidden if text in detail or text in reply.body.decode()] == []


@pytest.mark.parametrize(
    ("source", "secret", "headers"),
    [
        (OWN, KEY, [signed(BODY)]),
        (STANDARD, f"v1,{WHSEC}", standard()),
        (EITHER, WHSEC, standard(key=WHSEC.encode())),
        (BASIC, KEY, [basic("web", KEY)]),
    ],
)
def test_right_credentials_have_no_cause(source: str, secret: str, headers: list[tuple[str, str]]) -> None:
    [auth] = Posting(f"s: {source}").sources["s"].auth
    assert rejection_cause(posted(*headers), auth, [secret], NOW) is None


@pytest.mark.parametrize(
    "name", ["time.body", f"no word, to {BEARER}", f"a wrong verify token, to {META}", "XML declared, JSON sent"]
)
def test_explain_names_the_cause(name: str) -> None:
    source, secret, request, cause = CAUSES[name]
    slices = compile_config(parse_config(f"sources: {{s: {source}}}\n", "test.yaml", Path()))
    report = explain_receive(request, slices["receive"], {"KEY": secret, "TOKEN": "the-right-verify-token"}, NOW)
    text = " ".join([*report.advice, *(check.text for stage in report.stages for check in stage.checks)])
    assert cause in text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM[1], b"name=%ff"),
        ("application/x-ndjson", b'{"a":1}\n{"a":'),
        ("application/yaml", b"{a: 1"),
        ("application/xml", b"<plist><dict></plist>"),
        ("text/html", b"<p>\xff</p>"),
    ],
)
async def test_a_content_type_is_not_blamed_for_a_body_that_begins_as_it_says(
    content_type: str, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = await Posting("s: {auth: none}").send("/s", body, ("content-type", content_type))
    assert reply.status == 400
    assert "the content type says" not in capsys.readouterr().out + reply.body.decode()


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"a":1}', False),
        ("application/json", b'{"a":1', True),
        ("application/json", b"", True),
        ("application/json", b"[" * 100_000, False),
        ("application/x-ndjson", b'{"a":1}\n\n{"a":2}\n', False),
        ("application/x-ndjson", b'{"a":1}\n{"a":', True),
        ("", b'{"a":1}\r\n{"a":2}\r\n', False),
        ("text/plain", b'[{"a":', True),
        ("text/plain", b"[2026-03-01] a line of a log", False),
        ("text/plain", b"{{ name }}", False),
    ],
)
def test_a_body_is_broken_only_if_it_is_meant_to_be_json(content_type: str, body: bytes, expected: bool) -> None:
    assert is_broken(Request("POST", "/s", "", (("content-type", content_type),), body)) is expected


def test_the_handshakes_are_those_of_the_catalogue() -> None:
    """Those that another provider shares, or that only a missing header shows, are left out."""
    catalogue = load_catalogue()
    for provider, (place, wanted) in PROVIDER_HANDSHAKES.items():
        shown: dict[str, str | bool] = {}
        for each in catalogue[provider].handshakes:
            shown |= {str(parse_location(name)): value for name, value in (each.when or {}).items()}
        assert shown[str(place)] == (wanted or True), provider


@pytest.mark.parametrize("location", ["header.x-time", "signature.t", "query.at", "data.at"])
@pytest.mark.parametrize("template", _CONTENTS)
def test_lint_agrees_with_the_advice_about_the_signed_content(template: str, location: str) -> None:
    settings: JsonObject = {"scheme": "hmac", "header": "X-Sig", "layout": "pairs", "take": ["v1"], "secret": "key"}
    settings |= {"timestamp": location, "content": template, "id": "header.x-id"}
    auth = read_scheme({**settings, "content": "{timestamp}"})
    assert isinstance(auth, HmacScheme)
    is_open = any("{timestamp}" in text for text in auth_texts(HmacAuth.model_validate(settings)))
    assert ("remove `timestamp`" in _unsigned_time_advice(auth, template)) is is_open


FUZZED: Final = Posting(
    "\n".join(
        f"s{number}: {source}"
        for number, source in enumerate((HUB, TIMED, DECODED, BASIC, OVER_URL, HEADER, QUERY, STANDARD, TOKENS, TWILIO))
    )
)
SIGNATURE_HEADERS: Final = [
    "x-hub-signature-256",
    "x-hub-signature",
    "x-sig",
    "authorization",
    "webhook-signature",
    "a-sig",
]
BODIES: Final = st.binary(max_size=60) | st.sampled_from(
    [b"[" * 3000, b"[" * 800 + b"]" * 800, b'{"a":' * 900, b"\x1f\x8b\x00"]
)


@given(
    body=BODIES,
    headers=st.lists(
        st.tuples(st.sampled_from(SIGNATURE_HEADERS), st.text(st.characters(max_codepoint=0x24F), max_size=60)),
        max_size=4,
    ),
    name=st.sampled_from([*FUZZED.sources]),
    query=st.text(max_size=20),
)
def test_whatever_was_sent_is_reported_without_a_secret_or_a_value(
    body: bytes, headers: list[tuple[str, str]], name: str, query: str
) -> None:
    marked = [(name, f"{value}canary") for name, value in headers]
    request = posted(*marked, body=body, query=query)
    for auth in FUZZED.sources[name].auth:
        cause = rejection_cause(request, auth, [KEY, f"whsec_{KEY}"], NOW) or ""
        assert KEY not in cause
        assert "canary" not in cause


NO_LIST: Final = "the body has no list at data.a.* (`batch`), so it is one event"
LIST_ITSELF: Final = f"{NO_LIST}; it is itself a list, whose items are `batch: data.*`"
PACKED: Final = "payload=%7B%22action%22%3A%22opened%22%7D"


UNSPLIT: Final = "no type was found, and the body is a list: with `batch: data.*`, each of its items becomes an event"
UNPACK: Final = "no type was found, and the field 'payload' holds JSON: set `unpack: data.payload`"
HINTS: Final = pytest.mark.parametrize(
    ("settings", "body", "in_log", "in_report"),
    [
        (", type: data.kind", PACKED, UNPACK, UNPACK),
        ("", PACKED, UNPACK, UNPACK),
        (
            *("", "canary=%5B%7B%7D%5D", "no type was found, and a field holds JSON (`unpack`)"),
            "the field 'canary' holds JSON: set `unpack: data.canary`",
        ),
        ("", "note=%5Burgent%5D&more=%7Bx%7D", "", ""),
        (", unpack: data.payload", PACKED, "", ""),
        (", body: json", '[{"a": 1}]', UNSPLIT, UNSPLIT),
        (", batch: data.a.*", "b=1", NO_LIST, NO_LIST),
        (", body: json, batch: data.a.*", "[1]", LIST_ITSELF, LIST_ITSELF),
        (", body: json, batch: data.a.*", '{"a": [1]}', "", ""),
    ],
)


@HINTS
async def test_the_log_of_an_event_names_a_setting_that_is_missing_or_finds_nothing(
    settings: str, body: str, in_log: str, in_report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (await Posting(f"s: {{auth: none{settings}}}").send("/s", body.encode(), FORM)).status == 200
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line).get("detail", "") == in_log


@HINTS
def test_explain_names_a_setting_that_is_missing_or_finds_nothing(
    settings: str, body: str, in_log: str, in_report: str
) -> None:
    slices = compile_config(parse_config(f"sources: {{s: {{auth: none{settings}}}}}\n", "test.yaml", Path()))
    report = explain_receive(Request("POST", "/s", "", (FORM,), body.encode()), slices["receive"], {}, NOW)
    [text] = [check.text for check in report.stages[0].checks if check.name == "event"]
    assert text.endswith(in_report)
    assert in_report or ";" not in text


DIAGNOSED_SOURCES = """
hub: {auth: {scheme: hmac, header: X-Hub-Signature-256, prefix: sha256=, secret: hub-secret}}
shop: {auth: {scheme: hmac, header: X-Shop-Signature, secret: shop-secret}}
mail: {provider: mailgun, secret: mail-secret}
lab: {provider: gitlab, secret: lab-secret}
"""
SECRETS_OF_SOURCES = {f"{name}-secret": f"the own secret of {name}" for name in ("hub", "shop", "mail", "lab")}
SMALL_BODY = b'{"a":1}'


def diagnosing() -> Posting:
    return Posting(DIAGNOSED_SOURCES, SECRETS_OF_SOURCES)


def logged(capsys: pytest.CaptureFixture[str]) -> Json:
    line = mapping_at(json.loads(capsys.readouterr().out.splitlines()[-1]))
    return line["detail"]


async def test_a_mixed_up_secret_is_reported_by_its_sources_name(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = diagnosing()
    signature = hmac_signature(SMALL_BODY, SECRETS_OF_SOURCES["shop-secret"], prefix="sha256=")
    await receiving.send("/hub", SMALL_BODY, ("x-hub-signature-256", signature))
    assert "the secret of the source 'shop' is the right one" in str(logged(capsys))


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/shpo", "the path of the source with the nearest name is /shop"),
        ("//shop", "the URL of this source ends in /shop"),
        ("/shop/orders", "the URL of this source ends in /shop"),
        ("/wp-admin", ""),
    ],
)
async def test_a_path_that_is_almost_a_sources_is_reported_and_the_sender_is_not_told(
    path: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = await diagnosing().send(path, SMALL_BODY)
    assert (reply.status, b"shop" in reply.body) == (404, False)
    assert str(logged(capsys)).partition("Why: ")[2] == cause


async def test_a_wrong_token_is_no_missing_signature(capsys: pytest.CaptureFixture[str]) -> None:
    await diagnosing().send("/lab", SMALL_BODY, ("x-gitlab-token", "another"))
    assert "the value in the header x-gitlab-token is not this source's secret" in str(logged(capsys))


async def test_a_flood_of_forgeries_is_rejected_without_a_diagnosis_each(capsys: pytest.CaptureFixture[str]) -> None:
    receiving = diagnosing()
    for _ in range(20):
        await receiving.send("/hub", SMALL_BODY, ("x-hub-signature-256", "sha256=00"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert sum("Why:" in line for line in lines) == MAX_TOKENS
    assert all("`hookchain explain --source hub` prints it" in line for line in lines if "Why:" not in line)


def test_a_token_bucket_fills_again_with_time() -> None:
    bucket, now = TokenBucket(), 1_790_000_000.0
    assert [bucket.take(now) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(now + SECONDS_A_TOKEN - 0.1)
    assert [bucket.take(now + 2 * SECONDS_A_TOKEN) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("items", "most"), [(1, 100), (30_000, 4)])
async def test_a_large_body_that_is_looked_into_is_not_parsed_for_each_guess(
    items: int, most: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed: list[int] = []
    really = json_body.parse

    def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
        parsed.append(len(body))
        return really(body, media, limits)

    monkeypatch.setattr(json_body, "parse", parse)
    signature: Json = {"signature": "00", "timestamp": str(int(FakeClock().now())), "token": "t"}
    body = json.dumps({"signature": signature, "items": [{}] * items}).encode()
    assert (await diagnosing().send("/mail", body)).status == 401
    assert 0 < len(parsed) <= most
    assert ("too large" in str(logged(capsys))) == (items > 1)
