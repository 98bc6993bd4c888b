"""Why a request was refused: words that would have saved somebody an hour."""

import base64
import gzip
import hashlib
import hmac
import json
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from functions.receive.diagnosis.why import why_refused
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.way import Way, read_way

NOW = 1_790_000_000.0
KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"action":"opened","n":1,"text":"caf\xc3\xa9"}'
HUB: Json = {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256=", "secret": "s"}
TIMED: Json = {
    "scheme": "hmac",
    "header": "X-Sig",
    "layout": "pairs",
    "take": ["v1"],
    "timestamp": "signature.t",
    "content": "{timestamp}.{body}",
    "secret": "s",
}


def way(settings: Json, **changed: Json) -> Way:
    assert isinstance(settings, dict)
    return read_way({**settings, **changed})


def mac(body: bytes, key: bytes = KEY.encode(), algorithm: str = "sha256") -> str:
    return hmac.new(key, body, algorithm).hexdigest()


def posted(body: bytes, *headers: tuple[str, str], path: str = "/hook", query: str = "") -> Request:
    return Request("POST", path, query, (("content-type", "application/json"), *headers), body)


def hub_words(body: bytes, signature: str, name: str = "x-hub-signature-256", **changed: Json) -> str:
    return why_refused(posted(body, (name, signature)), way(HUB, **changed), [KEY], NOW) or ""


@pytest.mark.parametrize(
    ("signed", "words"),
    [
        (BODY + b"\n", "a newline at its end is missing"),
        (b'{"action": "opened", "n": 1, "text": "caf\xc3\xa9"}', "a space after commas and colons"),
        (b'{"action":"opened","n":1,"text":"caf\\u00e9"}', "as \\u escapes"),
        (json.dumps(json.loads(BODY), indent=2, ensure_ascii=False).encode(), "indented by 2"),
    ],
)
def test_a_body_that_was_written_anew_on_its_way_is_told(signed: bytes, words: str) -> None:
    told = hub_words(BODY, "sha256=" + mac(signed))
    assert told.startswith("the signature is over the raw body: yours was re-encoded")
    assert words in told


def test_a_newline_that_an_editor_added_is_told() -> None:
    assert "ends in a newline that was not signed" in hub_words(BODY + b"\n", "sha256=" + mac(BODY))


def test_line_ends_that_were_changed_are_told() -> None:
    told = hub_words(b"a\nb", "sha256=" + mac(b"a\r\nb"))
    assert "LF where the sender wrote CR LF" in told


def test_a_secret_that_is_used_as_it_is_must_not_be_decoded() -> None:
    signature = "sha256=" + mac(BODY, KEY.encode())
    told = hub_words(BODY, signature, key="base64")
    assert told.startswith("this secret is used as it is: do not decode it")


def test_a_secret_that_is_base64_of_the_key_must_be_decoded() -> None:
    signature = "sha256=" + mac(BODY, base64.b64decode(KEY))
    assert hub_words(BODY, signature).startswith("this secret is base64 of the key: decode it first")


def test_a_stripe_secret_that_was_decoded_by_hand_is_told() -> None:
    settings = way(HUB, key="base64", key_prefix="whsec_")
    request = posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY, b"whsec_" + KEY.encode())))
    told = why_refused(request, settings, [f"whsec_{KEY}"], NOW)
    assert told
    assert "used as it is" in told
    assert "whsec_ at its beginning" in told


@pytest.mark.parametrize(
    ("kept", "signed_with", "words"),
    [(KEY, f"whsec_{KEY}", "lacks the `whsec_`"), (f"whsec_{KEY}", KEY, "begins with `whsec_`, which is no part")],
)
def test_a_secret_with_a_beginning_too_little_or_too_much_is_told(kept: str, signed_with: str, words: str) -> None:
    request = posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY, signed_with.encode())))
    told = why_refused(request, way(HUB), [kept], NOW)
    assert told is not None
    assert words in told


def test_a_newline_at_the_end_of_the_senders_secret_is_told() -> None:
    told = hub_words(BODY, "sha256=" + mac(BODY, f"{KEY}\n".encode()))
    assert told.startswith("the sender's secret ends in a newline")


def test_another_algorithm_is_told() -> None:
    told = hub_words(BODY, "sha256=" + mac(BODY, algorithm="sha512"))
    assert told == "the signature is made with sha512, and this source expects sha256"


def test_another_encoding_is_told() -> None:
    signature = base64.b64encode(hmac.digest(KEY.encode(), BODY, "sha256")).decode()
    assert "written in base64, and this source expects hex" in hub_words(BODY, f"sha256={signature}")


def test_the_older_header_beside_the_one_expected_is_told() -> None:
    told = hub_words(BODY, "sha1=" + mac(BODY, algorithm="sha1"), "x-hub-signature")
    assert "a right signature stands in the header x-hub-signature, made with sha1" in told
    assert "expects it in the header x-hub-signature-256, made with sha256" in told


def test_a_missing_prefix_is_told() -> None:
    assert hub_words(BODY, mac(BODY)) == "the signature has no prefix; this source expects 'sha256=' before it"


def test_a_prefix_too_many_is_told() -> None:
    told = hub_words(BODY, "sha256=" + mac(BODY), prefix="")
    assert told == "the signature begins with 'sha256='; this source expects nothing before it"


def test_an_empty_signature_says_that_the_sender_has_no_secret() -> None:
    assert "is there and empty: no secret is set at the sender" in hub_words(BODY, "")


def test_a_request_without_any_signature_says_so() -> None:
    told = why_refused(posted(BODY), way(HUB), [KEY], NOW)
    assert told is not None
    assert "no secret is set at the sender" in told


def test_a_password_where_a_signature_is_expected_is_told() -> None:
    told = why_refused(posted(BODY, ("authorization", "Basic eDp5")), way(HUB), [KEY], NOW)
    assert told is not None
    assert "takes no password but a signature" in told


def test_another_sources_secret_is_told_by_that_sources_name() -> None:
    request = posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY, b"the other one's")))
    told = why_refused(request, way(HUB), [KEY], NOW, others={"shop": ["the other one's"]})
    assert told is not None
    assert "the secret of the source 'shop' is the right one" in told


def test_a_signature_by_an_unknown_secret_says_to_set_it_anew() -> None:
    assert "the secret at the sender is another one" in hub_words(BODY, "sha256=" + mac(BODY, b"unknown"))


def timed(at: str, content: bytes | None = None) -> Request:
    signed = content if content is not None else at.encode() + b"." + BODY
    return posted(BODY, ("x-sig", f"t={at},v1={mac(signed)}"))


def test_an_old_signature_says_how_old_and_what_the_limit_is() -> None:
    told = why_refused(timed(str(int(NOW) - 7 * 60)), way(TIMED), [KEY], NOW)
    assert told is not None
    assert told.startswith("signed 7 minutes ago, the limit is 5 minutes: the signature is right")


def test_a_signature_a_second_too_old_is_told_in_seconds() -> None:
    told = why_refused(timed(str(int(NOW) - 301)), way(TIMED), [KEY], NOW)
    assert told is not None
    assert told.startswith("signed 301 seconds ago, the limit is 5 minutes")


def test_a_signature_from_the_future_blames_a_clock() -> None:
    told = why_refused(timed(str(int(NOW) + 3600 * 3)), way(TIMED), [KEY], NOW)
    assert told is not None
    assert "signed 3 hours in the future" in told
    assert "clock" in told


def test_an_old_signature_that_is_not_right_either_says_both() -> None:
    told = why_refused(timed(str(int(NOW) - 420), b"something else"), way(TIMED), [KEY], NOW)
    assert told is not None
    assert told.endswith("and the signature is not right either")


def test_milliseconds_where_seconds_are_meant_are_told() -> None:
    told = why_refused(timed(str(int(NOW) * 1000)), way(TIMED), [KEY], NOW)
    assert told is not None
    assert "in milliseconds where this source expects seconds, and the signature is right" in told


def test_a_list_without_a_signature_of_the_version_expected_is_told_as_that() -> None:
    request = posted(BODY, ("x-sig", f"t={int(NOW)},v0={mac(BODY)}"))
    told = why_refused(request, way(TIMED), [KEY], NOW)
    assert told == "no signature of the kind v1 stands in the header x-sig"


def test_a_signature_over_the_body_alone_is_told() -> None:
    told = why_refused(timed(str(int(NOW)), BODY), way(TIMED), [KEY], NOW)
    assert told is not None
    assert "the signature is over {body}, and" in told


@pytest.mark.parametrize(
    ("configured", "words"),
    [
        ("http://hooks.example.com/hook", "begins with https://"),
        ("https://hooks.example.com/hook/", "ends without a slash"),
        ("https://hooks.example.com:8443/hook", "has no port"),
        ("https://hooks.example.com", "goes on with the path of this request"),
        ("https://hooks.example.com/other", "has the path of this request"),
    ],
)
def test_a_url_that_differs_from_the_senders_is_told(configured: str, words: str) -> None:
    settings = way(HUB, content="{url}{body}", prefix="")
    request = posted(BODY, ("x-hub-signature-256", mac(b"https://hooks.example.com/hook" + BODY)))
    told = why_refused(request, settings, [KEY], NOW, configured)
    assert told is not None
    assert words in told
    assert "public_url" in told


def test_a_url_that_a_proxy_names_is_told() -> None:
    settings = way(HUB, content="{url}{body}", prefix="")
    request = posted(
        BODY,
        ("x-forwarded-host", "hooks.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-hub-signature-256", mac(b"https://hooks.example.com/hook" + BODY)),
    )
    told = why_refused(request, settings, [KEY], NOW, "http://10.0.0.1:8080/hook") or ""
    assert "X-Forwarded-Host; set `public_url`" in told


def test_where_the_url_is_signed_an_unknown_one_is_thought_of_first() -> None:
    settings = way(HUB, content="{url}{body}", prefix="")
    request = posted(BODY, ("x-hub-signature-256", mac(b"https://hooks.example.com/hook" + BODY)))
    told = why_refused(request, settings, [KEY], NOW, "http://localhost:8080/hook") or ""
    assert "set `public_url` to the URL as the sender has it" in told


def test_standard_webhooks_with_a_secret_used_as_text_is_told() -> None:
    settings = read_way({"scheme": "standard-webhooks", "secret": "s"})
    signed = f"msg_1.{int(NOW)}.".encode() + BODY
    signature = base64.b64encode(hmac.digest(KEY.encode(), signed, "sha256")).decode()
    headers = (("webhook-id", "msg_1"), ("webhook-timestamp", str(int(NOW))), ("webhook-signature", f"v1,{signature}"))
    told = why_refused(posted(BODY, *headers), settings, [KEY], NOW)
    assert told is not None
    assert "used as it is" in told


def standard(key: bytes, at: int, version: str = "v1", id: str = "msg_1") -> Request:
    signed = f"{id}.{at}.".encode() + BODY
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = (("webhook-id", id), ("webhook-timestamp", str(at)), ("webhook-signature", f"{version},{signature}"))
    return posted(BODY, *headers)


def test_an_old_signature_by_a_standard_webhooks_secret_used_as_text_is_right_but_for_its_time() -> None:
    secret = f"whsec_{KEY}"
    settings = read_way({"scheme": "standard-webhooks", "secret": "s", "key": "utf8"})
    told = why_refused(standard(secret.encode(), int(NOW) - 420), settings, [secret], NOW) or ""
    assert told.startswith("signed 7 minutes ago, the limit is 5 minutes: the signature is right")


def test_a_right_signature_is_no_other_sources() -> None:
    settings = read_way({"scheme": "standard-webhooks", "secret": "s"})
    secret = "whsec_" + base64.b64encode(KEY.encode()).decode()
    request = standard(KEY.encode(), int(NOW), id="has.a.stop")
    assert why_refused(request, settings, [secret], NOW, None, {"another": [secret]}) is None


BASIC: Json = {"scheme": "basic", "username": "web", "secret": "s"}


def basic(user: str, password: str) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("settings", "header", "words"),
    [
        (BASIC, basic("someone", KEY), "the password is right, the user name is not"),
        (BASIC, basic(KEY, "x"), "sent as the user name"),
        (BASIC, basic("web", f"{KEY} "), "but for white space"),
        (BASIC, basic("web", "other"), "is not this source's secret"),
        (BASIC, ("x-webhook-password", KEY), "stands in the header x-webhook-password"),
        (BASIC, ("authorization", f"Bearer {KEY}"), "stands in `Authorization: Bearer`"),
        (BASIC, ("x-nothing", "1"), "some senders drop user and password from a URL"),
        ({"scheme": "bearer", "secret": "s"}, basic("web", KEY), "stands in basic authentication"),
        ({"scheme": "header", "header": "x-token", "secret": "s"}, ("x-token", "other"), "another value"),
    ],
)
def test_a_password_is_looked_for_where_senders_put_it(settings: Json, header: tuple[str, str], words: str) -> None:
    told = why_refused(posted(BODY, header), read_way(settings), [KEY], NOW)
    assert told is not None
    assert words in told


def test_a_token_in_the_query_where_a_header_is_expected_is_told() -> None:
    settings = read_way({"scheme": "header", "header": "x-token", "secret": "s"})
    told = why_refused(posted(BODY, query=f"key={KEY}"), settings, [KEY], NOW)
    assert told is not None
    assert "stands in the query parameter key" in told


def test_what_passes_has_nothing_to_be_told() -> None:
    assert why_refused(posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY))), way(HUB), [KEY], NOW) is None


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["x-hub-signature-256", "x-hub-signature", "x-sig", "authorization", "webhook-signature", "a-sig"]
        ),
        st.text(st.characters(max_codepoint=0x24F), max_size=60),
    ),
    max_size=4,
)
WAYS = [
    way(HUB),
    way(TIMED),
    way(HUB, key="hex"),
    way(BASIC),
    way(HUB, content="{url}{body}"),
    way(HUB, body_digest="query.digest"),
    read_way({"scheme": "query", "parameter": "token", "secret": "s"}),
    read_way({"scheme": "standard-webhooks", "secret": "s"}),
    read_way({"scheme": "token", "at": "data.value.*.clientState", "secret": "s"}),
]


BODIES = st.binary(max_size=60) | st.sampled_from(
    [b"[" * 3000, b"[" * 800 + b"]" * 800, b'{"a":' * 900, b"\x1f\x8b\x00"]
)


@given(body=BODIES, headers=HEADERS, settings=st.sampled_from(WAYS), query=st.text(max_size=20))
def test_whatever_was_sent_is_told_without_a_secret_or_a_value(
    body: bytes, headers: list[tuple[str, str]], settings: Way, query: str
) -> None:
    marked = [(name, f"{value}canary") for name, value in headers]
    told = why_refused(posted(body, *marked, query=query), settings, [KEY, f"whsec_{KEY}"], NOW) or ""
    assert KEY not in told
    assert "canary" not in told


def test_a_host_that_is_none_is_no_obstacle() -> None:
    request = posted(BODY, ("host", "["), ("x-hub-signature-256", "00"))
    assert "public_url" in (why_refused(request, way(HUB, content="{url}{body}", prefix=""), [KEY], NOW) or "")


def test_a_body_cut_on_its_way_is_told_by_the_digest_sent_along() -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    settings = way(HUB, content="{url}", body_digest="query.bodySHA256", prefix="")
    request = posted(BODY[:-3], ("x-hub-signature-256", "00"), query=f"bodySHA256={digest}")
    assert "something on the way changed or cut it" in (why_refused(request, settings, [KEY], NOW) or "")


def test_a_body_that_is_no_whole_json_is_told_as_that() -> None:
    assert hub_words(BODY[:-9], "sha256=" + mac(BODY)).startswith("the body is no whole JSON: it was cut")
    packed = posted(gzip.compress(BODY), ("content-encoding", "gzip"), ("x-hub-signature-256", "sha256=00"))
    assert "JSON" not in (why_refused(packed, way(HUB), [KEY], NOW) or "")
    token = read_way({"scheme": "token", "at": "data.token", "secret": "s"})
    told = why_refused(posted(b'{"a": 1, "tok'), token, [KEY], NOW) or ""
    assert told.startswith("what proves its sender is looked for in the body, and the body is no whole JSON")


def test_a_large_body_is_not_written_anew() -> None:
    body = b"[" + b"1," * 500_000 + b"1]"
    assert "too large to try" in hub_words(body, "sha256=" + hashlib.sha256(b"").hexdigest())


def test_another_ways_condition_hinders_no_guess() -> None:
    conditional = way(HUB, when={"header.x-hub-signature-256": True})
    request = posted(BODY, ("x-hub-signature", "sha1=" + mac(BODY, algorithm="sha1")))
    told = why_refused(request, replace(conditional), [KEY], NOW)
    assert told is not None
    assert "made with sha1" in told
