"""What endpoints of subscribers get: which of them an event matches, and its request."""

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from typing import Final

import jmespath
import pytest
from hypothesis import given, strategies as st
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from shared.errors import Temporary
from shared.event import Event
from shared.expressions import is_true
from shared.jsontext import Json
from shared.subscribers import matching, payload
from shared.subscribers.model import Endpoint, EndpointAuth, EndpointSecret, SealedText

NOW: Final = 1_790_000_000
EVENT: Final = Event("e1", "/sources/app", "order.paid", "2026-01-01T00:00:00Z", "00", {"n": 1, "type": "x"}, hops=2)
KEYS: Final = tuple(f"whsec_{b64encode(bytes([number]) * 24).decode()}" for number in range(3))
SEALED: Final = SealedText(key_id="k", nonce="n", content="c")
STANDARD: Final = EndpointAuth()
HMAC: Final = EndpointAuth(kind="hmac", header="X-Signature", prefix="sha256=", encoding="base64")


def endpoint(auth: EndpointAuth = STANDARD, **others: object) -> Endpoint:
    fields = {"id": "ep_1", "tenant": "acme", "url": "https://acme.example.com/in", "auth": auth, **others}
    return Endpoint.model_validate(fields)


def request(auth: EndpointAuth = STANDARD, *secrets: str, **others: object) -> payload.EndpointRequest:
    return payload.endpoint_request(endpoint(auth, **others), secrets or KEYS[:1], EVENT, "standard", "d1", NOW)


def headers(made: payload.EndpointRequest) -> dict[str, str]:
    names = [name for name, _ in made.headers]
    assert len(names) == len(set(names)), "a header comes twice"
    return dict(made.headers)


def test_the_standard_payload_has_the_type_the_time_the_data_and_the_endpoints_fields() -> None:
    assert json.loads(payload.endpoint_body(EVENT, "standard", {"account": "a-1"})) == {
        "type": "order.paid",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {"n": 1, "type": "x"},
        "account": "a-1",
    }


def test_the_payload_data_is_the_events_data_and_the_endpoints_fields() -> None:
    assert json.loads(payload.endpoint_body(EVENT, "data", {"account": "a-1"})) == {
        "n": 1,
        "type": "x",
        "account": "a-1",
    }
    assert payload.endpoint_body(EVENT.with_data([1]), "data", {"account": "a-1"}) == b"[1]"


NAMES: Final = st.sampled_from(["type", "timestamp", "data", "n", "__proto__", "", "\ud800"]) | st.text(max_size=3)


@given(st.dictionaries(NAMES, st.none() | st.integers() | st.lists(st.integers())))
def test_no_field_of_an_endpoint_replaces_one_that_is_there(fields: dict[str, Json]) -> None:
    standard, data = (json.loads(payload.endpoint_body(EVENT, style, fields)) for style in ("standard", "data"))
    assert {name: standard[name] for name in ("type", "timestamp", "data")} == json.loads(
        payload.endpoint_body(EVENT, "standard", {})
    )
    assert data["n"] == 1
    assert data["type"] == "x"


def test_the_libraries_of_standard_webhooks_and_svix_verify_a_request_with_every_secret_that_is_valid() -> None:
    made = request(STANDARD, *KEYS[:2])
    fresh = payload.endpoint_request(endpoint(), KEYS[:2], EVENT, "standard", "d1", int(time.time()))
    for secret in KEYS[:2]:
        StandardWebhook(secret).verify(fresh.body, headers(fresh))
        SvixWebhook(secret).verify(fresh.body, headers(fresh))
    with pytest.raises(Exception, match=r"[Nn]o matching signature"):
        StandardWebhook(KEYS[2]).verify(fresh.body, headers(fresh))
    assert headers(made)["webhook-timestamp"] == str(NOW)


def test_a_password_a_token_and_an_hmac_are_sent_as_the_receiver_wants_them() -> None:
    basic = request(EndpointAuth(kind="basic", username="hook"), "p:w")
    assert b64decode(headers(basic)["authorization"].removeprefix("Basic ")) == b"hook:p:w"
    assert headers(request(EndpointAuth(kind="bearer"), "t0ken"))["authorization"] == "Bearer t0ken"
    signed = request(HMAC, "key", "older")
    digest = b64encode(hmac.digest(b"key", signed.body, hashlib.sha256)).decode()
    assert headers(signed)["x-signature"] == f"sha256={digest}"
    assert "webhook-signature" not in headers(signed)
    assert headers(signed)["webhook-id"] == "d1"
    assert headers(signed)["hookchain-hops"] == "3"


def test_a_secret_that_cannot_sign_is_no_request() -> None:
    for secrets in (("whsec_?",), ("whsk_AAAA",)):
        with pytest.raises(Temporary, match="cannot sign"):
            request(STANDARD, *secrets)
    with pytest.raises(Temporary, match="has no secret"):
        payload.endpoint_request(endpoint(), (), EVENT, "standard", "d1", NOW)


HOSTILE_NAMES: Final = ("Webhook-Id", "webhook-signature", "HOOKCHAIN-HOPS", "Content-Type", "x-signature")


def test_no_header_of_a_tenant_replaces_one_of_ours_even_if_it_was_saved() -> None:
    made = headers(request(HMAC, "key", headers=dict.fromkeys(HOSTILE_NAMES, "evil")))
    assert "evil" not in made.values() or [name for name, value in made.items() if value == "evil"] == [
        "webhook-signature"  # this endpoint's receiver verifies another header
    ]
    assert "evil" not in headers(request(STANDARD, headers=dict.fromkeys(HOSTILE_NAMES[:4], "evil"))).values()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Webhook-Id", "x"),
        ("hookchain-hops", "0"),
        ("X-Signature", "x"),
        ("x y", "x"),
        ("x\r\nhost", "x"),
        ("x-ok", "a\r\nhost: evil"),
        ("x-ok", "☃"),
        ("x-ok", "a" * 20_000),
    ],
)
def test_a_header_that_is_not_a_tenants_to_set_is_rejected_when_it_is_saved(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"header|Header"):
        payload.verify_header(name, value, HMAC)


def test_other_headers_are_the_tenants_and_an_authorization_too_where_the_endpoint_has_none() -> None:
    payload.verify_header("X-Account", "a-1", HMAC)
    payload.verify_header("Authorization", "Bearer t", STANDARD)
    with pytest.raises(ValueError, match="authenticates the request"):
        payload.verify_header("Authorization", "Bearer t", EndpointAuth(kind="bearer"))


@pytest.mark.parametrize(
    "auth",
    [
        EndpointAuth(kind="hmac", header="webhook-id"),
        EndpointAuth(kind="hmac", header="x-ok", prefix="a\nb"),
        EndpointAuth(kind="basic", username="a:b"),
    ],
)
def test_an_authentication_that_no_request_can_have_is_rejected(auth: EndpointAuth) -> None:
    with pytest.raises(ValueError, match=r"must|is set"):
        payload.verify_auth(auth)


@pytest.mark.parametrize(
    ("auth", "secret"),
    [
        (STANDARD, "whsec_?"),
        (STANDARD, "whsec_AAAA"),
        (EndpointAuth(kind="bearer"), "a\nb"),
        (EndpointAuth(kind="basic"), "☃"),
    ],
)
def test_a_secret_that_no_request_can_be_authenticated_with_is_rejected(auth: EndpointAuth, secret: str) -> None:
    with pytest.raises(ValueError, match=r"must|secret|key"):
        payload.verify_secret(auth, secret)


def test_after_a_rotation_both_secrets_sign_until_the_older_one_ends() -> None:
    new, old = EndpointSecret(sealed=SEALED, created_at=2), EndpointSecret(sealed=SEALED, created_at=1, valid_until=NOW)
    rotated = endpoint(secrets=(new, old))
    assert payload.valid_secrets(rotated, NOW - 1) == (new, old)
    assert payload.valid_secrets(rotated, NOW) == (new,)
    assert payload.valid_secrets(endpoint(HMAC, secrets=(new, old)), NOW - 1) == (new,)


def test_a_request_is_shown_with_a_mask_in_place_of_what_authenticates_it() -> None:
    for auth in (STANDARD, HMAC, EndpointAuth(kind="basic"), EndpointAuth(kind="bearer")):
        shown, sent = payload.shown_request(endpoint(auth), EVENT, "standard", "d1", NOW), request(auth)
        assert shown.body == sent.body
        assert headers(shown).keys() == headers(sent).keys()
        assert [name for name, value in shown.headers if value == payload.MASK] == [
            name for name, value in sent.headers if (name, value) not in shown.headers
        ]


def view(data: Json) -> dict[str, Json]:
    return matching.filter_view("e1", "order.paid", "2026-01-01T00:00:00Z", data)


def is_matched(text: str, data: Json) -> bool:
    return matching.Filter(text).matches(view(data))


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_glob_means_what_a_regular_expression_of_it_means(glob: str, type_: str) -> None:
    def naive(glob: str, type_: str) -> bool:
        if not glob:
            return not type_
        if glob[0] == "*":
            return any(naive(glob[1:], type_[at:]) for at in range(len(type_) + 1))
        return bool(type_) and glob[0] == type_[0] and naive(glob[1:], type_[1:])

    assert not glob or matching.type_matches([glob], type_) is naive(glob, type_)


@pytest.mark.parametrize(
    "text",
    [
        "data.total > `100`",
        "data.items[?price > `50`].sku | contains(@, 'b')",
        "type == 'order.paid' && !(data.is_test)",
        "sum(data.items[].price) > `80`",
        'contains(`["de", "at"]`, data.country)',
    ],
)
def test_a_filter_reads_the_id_type_timestamp_and_data_of_an_event(text: str) -> None:
    data: Json = {
        "total": 120,
        "country": "at",
        "items": [{"sku": "a", "price": 30, "tags": ["x", "y"]}, {"sku": "b", "price": 60}],
    }
    assert is_matched(text, data)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{{ data.total }}", "must be a JMESPath expression: column 2"),
        ("subject == 'x'", "must be a JMESPath expression: there is no 'subject'"),
        ("nope(data)", "must be a JMESPath expression: JMESPath has no function 'nope'"),
        ("[data, data]", "that makes a list"),
        ("sort_by(data, &a)", "has no sort_by"),
        ("length(&data)", "has no `&`"),
        ("a" * (matching.MAX_FILTER_CHARACTERS + 1), "at most 500 characters"),
        ("!" * 400 + "data", "nested too deeply|levels deep"),
        ("data" + " || data" * 30, "at most 20 levels deep"),
    ],
)
def test_a_filter_that_cannot_be_used_is_rejected_when_it_is_saved(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        matching.Filter(text)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("length(data.total)", {"total": 1}),
        ("data.a > data.b", {"a": 1, "b": "x"}),
        ("data[*].a", [{"a": 1}] * 20_000),
        ("data.a == data.b", {"a": [1] * 20_000, "b": [1] * 20_000}),
        ("contains(data, 'ab')", "a" * 2_000_000),
        ("data[1:][1:][1:][1:][1:][1:]", [1] * 3_000),
    ],
)
def test_a_filter_that_fails_or_works_too_long_says_why_and_quotes_no_event(text: str, data: Json) -> None:
    with pytest.raises(matching.FilterFailed) as failed:
        is_matched(text, data)
    assert "2_000" not in str(failed.value)
    assert len(str(failed.value)) < 700


def test_no_filter_works_for_long_whatever_it_says() -> None:
    """Each of these has more steps than it may take; without a bound, some take minutes."""
    data: Json = {"a": [{"b": list(range(50))} for _ in range(2_000)], "text": "a" * 5_000_000}
    hostile = (
        "data.a[?b[?@ == `1`]][?b[?@ == `2`]][?b[?@ == `3`]][?b[?@ == `4`]]",
        "data.a[*].b[*][] | @[] | @[] | contains(@, `-1`)",
        " || ".join(["contains(data.text, 'b')"] * 15),
        " || ".join(["data.a != data.a"] * 15),
        "sum(data.a[].b[]) > `0` || max(data.a[].b[]) > `0`",
        f"not_null({', '.join(['to_number(data.text)'] * 20)})",
    )
    for text in hostile:
        with pytest.raises(matching.FilterFailed, match="more than 10,000 steps"):
            matching.Filter(text).matches(view(data))


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)
PIECES: Final = ("data", ".a", ".b", "[0]", "[]", "[*]", ".*", "[?a]", "[1:]", " == ", " && ", " || ", "`1`", "!", "|@")


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), VALUES)
def test_a_filter_decides_as_jmespath_does(pieces: list[str], data: Json) -> None:
    text = "".join(pieces)
    try:
        own = matching.Filter(text)
    except ValueError:
        return
    try:
        decided = own.matches(view(data))
    except matching.FilterFailed:
        return
    theirs = is_true(jmespath.search(text, view(data)))
    assert decided is theirs or "==" in text  # there, jmespath takes 1 for true inside of lists and objects


def test_an_endpoint_is_matched_by_its_types_and_then_by_its_filter() -> None:
    endpoint = Endpoint(id="ep_1", tenant="acme", url="", types=("order.*",), filter="data.total > `100`")
    assert matching.matches(endpoint, "order.paid", view({"total": 101}))
    assert not matching.matches(endpoint, "order.paid", view({"total": 1}))
    assert not matching.matches(endpoint, "invoice.paid", view({"total": 101}))
