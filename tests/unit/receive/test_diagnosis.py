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

from functions.receive.diagnosis.diagnose import rejection_cause
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from tests.unit.receive.rejections import BASIC, BODY, HUB, KEY, NOW, TIMED, hub_cause, mac, posted, read_auth


@pytest.mark.parametrize(
    ("signed", "message"),
    [
        (BODY + b"\n", "a newline at its end is missing"),
        (b'{"action": "opened", "n": 1, "text": "caf\xc3\xa9"}', "a space after commas and colons"),
        (b'{"action":"opened","n":1,"text":"caf\\u00e9"}', "as \\u escapes"),
        (json.dumps(json.loads(BODY), indent=2, ensure_ascii=False).encode(), "indented by 2"),
    ],
)
def test_a_body_that_was_rewritten_on_the_way_is_reported(signed: bytes, message: str) -> None:
    cause = hub_cause(BODY, "sha256=" + mac(signed))
    assert cause.startswith("the signature is over the raw body: yours was re-encoded")
    assert message in cause


def test_a_newline_that_an_editor_added_is_reported() -> None:
    assert "ends in a newline that was not signed" in hub_cause(BODY + b"\n", "sha256=" + mac(BODY))


def test_line_ends_that_were_changed_are_reported() -> None:
    cause = hub_cause(b"a\nb", "sha256=" + mac(b"a\r\nb"))
    assert "LF where the sender wrote CR LF" in cause


def test_a_secret_that_is_used_as_it_is_must_not_be_decoded() -> None:
    signature = "sha256=" + mac(BODY, KEY.encode())
    cause = hub_cause(BODY, signature, key="base64")
    assert cause.startswith("the sender uses the text of the secret as its key")


def test_a_secret_that_is_base64_of_the_key_must_be_decoded() -> None:
    signature = "sha256=" + mac(BODY, base64.b64decode(KEY))
    assert hub_cause(BODY, signature).startswith("the sender decodes the secret from base64 before it signs")


def test_a_stripe_secret_that_was_decoded_by_hand_is_reported() -> None:
    settings = read_auth(HUB, key="base64", key_prefix="whsec_")
    request = posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY, b"whsec_" + KEY.encode())))
    cause = rejection_cause(request, settings, [f"whsec_{KEY}"], NOW)
    assert cause
    assert "the text of the secret as its key" in cause
    assert "whsec_ at its beginning" in cause


@pytest.mark.parametrize(
    ("kept", "signed_with", "message"),
    [
        (KEY, f"whsec_{KEY}", "lacks the `whsec_`"),
        (f"whsec_{KEY}", KEY, "begins with `whsec_`, and"),
    ],
)
def test_a_secret_with_a_beginning_too_little_or_too_much_is_reported(
    kept: str, signed_with: str, message: str
) -> None:
    request = posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY, signed_with.encode())))
    cause = rejection_cause(request, read_auth(HUB), [kept], NOW)
    assert cause is not None
    assert message in cause


def test_a_newline_at_the_end_of_the_senders_secret_is_reported() -> None:
    cause = hub_cause(BODY, "sha256=" + mac(BODY, f"{KEY}\n".encode()))
    assert cause.startswith("the sender's secret ends in a newline")


def test_another_algorithm_is_reported() -> None:
    cause = hub_cause(BODY, "sha256=" + mac(BODY, algorithm="sha512"))
    assert cause == "the signature is made with sha512, and this source expects sha256"


def test_another_encoding_is_reported() -> None:
    signature = base64.b64encode(hmac.digest(KEY.encode(), BODY, "sha256")).decode()
    assert "written in base64, and this source expects hex" in hub_cause(BODY, f"sha256={signature}")


def test_another_sources_secret_is_reported_by_that_sources_name() -> None:
    request = posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY, b"the other one's")))
    cause = rejection_cause(request, read_auth(HUB), [KEY], NOW, others={"shop": ["the other one's"]})
    assert cause is not None
    assert "the secret of the source 'shop' is the right one" in cause


def test_a_signature_by_an_unknown_secret_says_to_copy_it_again() -> None:
    assert "the sender uses a different secret" in hub_cause(BODY, "sha256=" + mac(BODY, b"unknown"))


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        ("http://hooks.example.com/hook", "begins with https://"),
        ("https://hooks.example.com/hook/", "ends without a slash"),
        ("https://hooks.example.com:8443/hook", "has no port"),
        ("https://hooks.example.com", "goes on with the path of this request"),
        ("https://hooks.example.com/other", "has the path of this request"),
    ],
)
def test_a_url_that_differs_from_the_senders_is_reported(configured: str, message: str) -> None:
    settings = read_auth(HUB, content="{url}{body}", prefix="")
    request = posted(BODY, ("x-hub-signature-256", mac(b"https://hooks.example.com/hook" + BODY)))
    cause = rejection_cause(request, settings, [KEY], NOW, configured)
    assert cause is not None
    assert message in cause
    assert "public_url" in cause


def test_a_url_that_a_proxy_names_is_reported() -> None:
    settings = read_auth(HUB, content="{url}{body}", prefix="")
    request = posted(
        BODY,
        ("x-forwarded-host", "hooks.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-hub-signature-256", mac(b"https://hooks.example.com/hook" + BODY)),
    )
    cause = rejection_cause(request, settings, [KEY], NOW, "http://10.0.0.1:8080/hook") or ""
    assert "X-Forwarded-Host; set `public_url`" in cause


def test_where_the_url_is_signed_an_unknown_one_is_thought_of_first() -> None:
    settings = read_auth(HUB, content="{url}{body}", prefix="")
    request = posted(BODY, ("x-hub-signature-256", mac(b"https://hooks.example.com/hook" + BODY)))
    cause = rejection_cause(request, settings, [KEY], NOW, "http://localhost:8080/hook") or ""
    assert "Set `public_url` to the URL as the sender has it" in cause


def test_standard_webhooks_with_a_secret_used_as_text_is_reported() -> None:
    settings = read_scheme({"scheme": "standard-webhooks", "secret": "s"})
    signed = f"msg_1.{int(NOW)}.".encode() + BODY
    signature = base64.b64encode(hmac.digest(KEY.encode(), signed, "sha256")).decode()
    headers = (("webhook-id", "msg_1"), ("webhook-timestamp", str(int(NOW))), ("webhook-signature", f"v1,{signature}"))
    cause = rejection_cause(posted(BODY, *headers), settings, [KEY], NOW)
    assert cause is not None
    assert "the text of the secret as its key" in cause


def test_what_passes_has_nothing_to_be_told() -> None:
    assert (
        rejection_cause(posted(BODY, ("x-hub-signature-256", "sha256=" + mac(BODY))), read_auth(HUB), [KEY], NOW)
        is None
    )


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
    read_auth(HUB),
    read_auth(TIMED),
    read_auth(HUB, key="hex"),
    read_auth(BASIC),
    read_auth(HUB, content="{url}{body}"),
    read_auth(HUB, body_digest="query.digest"),
    read_scheme({"scheme": "query", "parameter": "token", "secret": "s"}),
    read_scheme({"scheme": "standard-webhooks", "secret": "s"}),
    read_scheme({"scheme": "token", "at": "data.value.*.clientState", "secret": "s"}),
]
BODIES = st.binary(max_size=60) | st.sampled_from(
    [b"[" * 3000, b"[" * 800 + b"]" * 800, b'{"a":' * 900, b"\x1f\x8b\x00"]
)


@given(body=BODIES, headers=HEADERS, settings=st.sampled_from(WAYS), query=st.text(max_size=20))
def test_whatever_was_sent_is_reported_without_a_secret_or_a_value(
    body: bytes, headers: list[tuple[str, str]], settings: AuthScheme, query: str
) -> None:
    marked = [(name, f"{value}canary") for name, value in headers]
    cause = rejection_cause(posted(body, *marked, query=query), settings, [KEY, f"whsec_{KEY}"], NOW) or ""
    assert KEY not in cause
    assert "canary" not in cause


def test_a_host_that_is_none_is_no_obstacle() -> None:
    request = posted(BODY, ("host", "["), ("x-hub-signature-256", "00"))
    assert "public_url" in (
        rejection_cause(request, read_auth(HUB, content="{url}{body}", prefix=""), [KEY], NOW) or ""
    )


def test_a_body_cut_on_its_way_is_told_by_the_digest_sent_along() -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    settings = read_auth(HUB, content="{url}", body_digest="query.bodySHA256", prefix="")
    request = posted(BODY[:-3], ("x-hub-signature-256", "00"), query=f"bodySHA256={digest}")
    assert "something changed or cut the body on its way" in (rejection_cause(request, settings, [KEY], NOW) or "")


def test_a_body_that_is_no_whole_json_is_reported_as_that() -> None:
    assert hub_cause(BODY[:-9], "sha256=" + mac(BODY)).startswith("the body is not complete JSON: it was cut")
    packed = posted(gzip.compress(BODY), ("content-encoding", "gzip"), ("x-hub-signature-256", "sha256=00"))
    assert "JSON" not in (rejection_cause(packed, read_auth(HUB), [KEY], NOW) or "")
    token = read_scheme({"scheme": "token", "at": "data.token", "secret": "s"})
    cause = rejection_cause(posted(b'{"a": 1, "tok'), token, [KEY], NOW) or ""
    assert cause.startswith("the credentials are in the body, and the body is not complete JSON")


def test_a_large_body_is_not_written_anew() -> None:
    body = b"[" + b"1," * 500_000 + b"1]"
    assert "too large to try" in hub_cause(body, "sha256=" + hashlib.sha256(b"").hexdigest())


def test_another_ways_condition_hinders_no_guess() -> None:
    conditional = read_auth(HUB, when={"header.x-hub-signature-256": True})
    request = posted(BODY, ("x-hub-signature", "sha1=" + mac(BODY, algorithm="sha1")))
    cause = rejection_cause(request, replace(conditional), [KEY], NOW)
    assert cause is not None
    assert "made with sha1" in cause
