"""A token proves its sender wherever it stands, and goes no further than receive."""

import base64
import hmac
import json
from dataclasses import asdict
from urllib.parse import quote_plus

import jwt
import pytest

from shared.jsontext import Json
from tests.posting import FORM, JSON, Posting

TOKEN = "a-token-that-is/long enough"
SECRETS = {"key": TOKEN}


def hmac_of(body: bytes) -> str:
    return hmac.new((TOKEN * 2).encode(), body, "sha256").hexdigest()


def source(at: str, more: str = "") -> str:
    return f"s: {{auth: {{scheme: token, at: {at}, secret: key}}, keep_raw: true{more}}}"


@pytest.mark.parametrize(
    ("at", "sent", "data"),
    [
        ("data.token", {"token": TOKEN, "n": 1}, {"n": 1}),
        ("data.a.token", {"a": {"token": TOKEN, "b": 2}}, {"a": {"b": 2}}),
        ("data.a.*.token", {"a": [{"token": TOKEN, "b": 1}, {"token": TOKEN}]}, {"a": [{"b": 1}, {}]}),
        ("data.a.1", {"a": ["x", TOKEN]}, {"a": ["x", None]}),
    ],
)
async def test_a_token_in_a_body_is_removed_before_the_body_is_kept(at: str, sent: Json, data: Json) -> None:
    posting = Posting(source(at), SECRETS)
    assert (await posting.send("/s", json.dumps(sent).encode(), JSON)).status == 200
    [event] = posting.events
    assert event.data == data
    assert TOKEN not in str(asdict(event))
    assert "[removed]" in (event.rawbody or "")


async def test_a_body_in_which_the_token_is_escaped_is_not_kept_as_it_came() -> None:
    posting = Posting(source("form.token"), SECRETS)
    body = b"token=a-token-that-is%2Flong+enough&n=1"
    assert (await posting.send("/s", body, FORM)).status == 200
    [event] = posting.events
    assert (event.data, event.rawbody, event.rawbase64) == ({"n": "1"}, None, None)


async def test_each_item_of_a_batch_is_without_it() -> None:
    posting = Posting("s: {provider: microsoft_graph, secret: key}", SECRETS)
    item = {"clientState": TOKEN, "changeType": "updated", "id": "1"}
    await posting.send("/s", json.dumps({"value": [item, {**item, "id": "2"}]}).encode(), JSON)
    assert [event.data for event in posting.events] == [
        {"changeType": "updated", "id": "1"},
        {"changeType": "updated", "id": "2"},
    ]


async def test_a_token_in_a_header_is_not_kept() -> None:
    posting = Posting(source("header.X-Tok"), SECRETS)
    assert (await posting.send("/s", b"{}", JSON, ("x-tok", TOKEN))).status == 200
    assert posting.events[0].rawheaders == '[["content-type","application/json"]]'


@pytest.mark.parametrize(
    "copy",
    [
        "Bearer {0}",
        "{0}",
        f"Basic {base64.b64encode(b'user:' + TOKEN.encode()).decode()}",
        f"x={quote_plus(TOKEN)}",
        json.dumps(TOKEN).upper(),
        TOKEN.encode().hex(),
    ],
)
@pytest.mark.parametrize(
    ("auth", "presented"),
    [
        ("{scheme: bearer, secret: key}", ("authorization", f"Bearer {TOKEN}")),
        ("{scheme: header, header: X-Api-Key, secret: key}", ("x-api-key", TOKEN)),
    ],
)
async def test_a_password_that_a_proxy_copied_is_not_kept(auth: str, presented: tuple[str, str], copy: str) -> None:
    posting = Posting(f"s: {{auth: {auth}, keep_raw: true}}", SECRETS)
    text = copy.format(TOKEN)
    headers = (JSON, presented, ("x-forwarded-authorization", text), ("x-second", f"a{text}b"), ("x-other", "kept"))
    assert (await posting.send("/s", json.dumps({"n": text}).encode(), *headers)).status == 200
    [event] = posting.events
    kept = json.loads(event.rawheaders or "")
    assert ["x-other", "kept"] in kept
    shown = f"{event.rawheaders}{event.rawbody}".lower()
    assert shown.count("***") == 3
    for spelling in (TOKEN, quote_plus(TOKEN), TOKEN.encode().hex(), base64.b64encode(TOKEN.encode()).decode()[:20]):
        assert spelling.lower() not in shown


async def test_a_json_web_token_that_a_proxy_copied_is_not_kept_and_a_signatures_headers_are() -> None:
    auth = "[{scheme: jwt, algorithms: HS256, secret: key, max_age: true}, {scheme: hmac, header: X-Sig, secret: key}]"
    posting = Posting(f"s: {{auth: {auth}, keep_raw: true}}", {"key": TOKEN * 2})
    token = jwt.encode({"iat": int(posting.clock.now())}, TOKEN * 2, algorithm="HS256")
    headers = (JSON, ("authorization", f"Bearer {token}"), ("x-forwarded-authorization", f"Bearer {token}"))
    assert (await posting.send("/s", b"{}", *headers)).status == 200
    assert (await posting.send("/s", b"[]", JSON, ("x-sig", hmac_of(b"[]")), ("x-copy", hmac_of(b"[]")))).status == 200
    assert [json.loads(event.rawheaders or "")[1:] for event in posting.events] == [
        [["x-forwarded-authorization", "Bearer ***"]],
        [["x-copy", hmac_of(b"[]")]],
    ]


async def test_a_token_in_a_query_is_no_field_of_it() -> None:
    posting = Posting(source("query.t", ", methods: [GET]"), {"key": "a-token-of-letters-alone"})
    assert (await posting.send("/s", b"", method="GET", query="n=1&t=a-token-of-letters-alone")).status == 200
    assert posting.events[0].data == {"n": "1"}
