"""A proof that is right and stands in another place, or is of another kind than the source expects."""

import json

import pytest

from functions.receive.diagnosis.diagnose import rejection_cause
from shared.jsontext import Json
from shared.signatures.auth_scheme import read_scheme
from tests.unit.receive.rejections import BASIC, BODY, HUB, KEY, NOW, basic, hub_cause, mac, posted, read_auth


def test_the_older_header_beside_the_one_expected_is_reported() -> None:
    cause = hub_cause(BODY, "sha1=" + mac(BODY, algorithm="sha1"), "x-hub-signature")
    assert "a right signature stands in the header x-hub-signature, made with sha1" in cause
    assert "expects it in the header x-hub-signature-256, made with sha256" in cause


def test_a_missing_prefix_is_reported() -> None:
    assert hub_cause(BODY, mac(BODY)) == "the signature has no prefix; this source expects 'sha256=' before it"


def test_a_prefix_too_many_is_reported() -> None:
    cause = hub_cause(BODY, "sha256=" + mac(BODY), prefix="")
    assert cause == "the signature begins with 'sha256='; this source expects nothing before it"


def test_an_empty_signature_says_that_the_sender_has_no_secret() -> None:
    assert "is there and empty: no secret is set at the sender" in hub_cause(BODY, "")


def test_a_request_without_any_signature_says_so() -> None:
    cause = rejection_cause(posted(BODY), read_auth(HUB), [KEY], NOW)
    assert cause is not None
    assert "no secret is set at the sender" in cause


def test_a_password_where_a_signature_is_expected_is_reported() -> None:
    cause = rejection_cause(posted(BODY, ("authorization", "Basic eDp5")), read_auth(HUB), [KEY], NOW)
    assert cause is not None
    assert "takes no password but a signature" in cause


@pytest.mark.parametrize(
    ("settings", "header", "message"),
    [
        (BASIC, basic("someone", KEY), "the password is right, but the user name is wrong"),
        (BASIC, basic(KEY, "x"), "sent as the user name"),
        (BASIC, basic("web", f"{KEY} "), "except for white space"),
        (BASIC, basic("web", "other"), "is not this source's secret"),
        (BASIC, basic("web", f"{KEY}\nan older one"), "send the newest value alone"),
        (BASIC, ("x-webhook-password", KEY), "stands in the header x-webhook-password"),
        (BASIC, ("authorization", f"Bearer {KEY}"), "stands in `Authorization: Bearer`"),
        (BASIC, ("x-nothing", "1"), "some senders drop user and password from a URL"),
        ({"scheme": "bearer", "secret": "s"}, basic("web", KEY), "stands in basic authentication"),
        ({"scheme": "header", "header": "x-token", "secret": "s"}, ("x-token", "other"), "is not this source's secret"),
    ],
)
def test_a_password_is_looked_for_where_senders_put_it(settings: Json, header: tuple[str, str], message: str) -> None:
    cause = rejection_cause(posted(BODY, header), read_scheme(settings), [KEY], NOW)
    assert cause is not None
    assert message in cause


@pytest.mark.parametrize(("kept", "message"), [(f"{KEY} ", "white space around it"), (f'"{KEY}"', "quotation marks")])
def test_a_token_that_is_kept_with_more_around_it_is_reported(kept: str, message: str) -> None:
    settings = read_scheme({"scheme": "header", "header": "x-token", "secret": "s"})
    cause = rejection_cause(posted(BODY, ("x-token", KEY)), settings, [kept], NOW)
    assert cause is not None
    assert message in cause


def test_the_header_of_the_time_is_no_signature_in_another_place() -> None:
    timed = read_auth(HUB, timestamp="header.X-Signature-Timestamp", content="{timestamp}{body}")
    cause = rejection_cause(posted(BODY, ("x-signature-timestamp", str(int(NOW)))), timed, [KEY], NOW)
    assert cause is not None
    assert cause == "no secret is set at the sender, or a proxy drops the header"


def test_a_numbered_header_that_is_missing_is_reported() -> None:
    numbered = read_auth(HUB, header="X-Signature-{n}", layout="numbered")
    cause = rejection_cause(posted(BODY), numbered, [KEY], NOW)
    assert cause is not None
    assert cause == "no secret is set at the sender, or a proxy drops the header"


@pytest.mark.parametrize(
    ("second", "message"),
    [({"sig": "00"}, "the sender uses a different secret"), ({}, "in data.sig of each item, and not every one")],
)
def test_signatures_within_items_are_looked_for_there(second: Json, message: str) -> None:
    each = read_scheme(
        {"scheme": "hmac", "each": "data.items.*", "at": "data.sig", "content": "{data.id}", "secret": "s"}
    )
    cause = rejection_cause(posted(json.dumps({"items": [{"sig": "00"}, second]}).encode()), each, [KEY], NOW)
    assert cause is not None
    assert message in cause


def test_a_token_in_the_query_where_a_header_is_expected_is_reported() -> None:
    settings = read_scheme({"scheme": "header", "header": "x-token", "secret": "s"})
    cause = rejection_cause(posted(BODY, query=f"key={KEY}"), settings, [KEY], NOW)
    assert cause is not None
    assert "stands in the query parameter key" in cause
