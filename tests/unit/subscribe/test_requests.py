"""The API behind its routes: requests before any handler, idempotency keys, and AWS Lambda."""

import asyncio
import json
import subprocess
import sys
from typing import Final

import pytest
from hypothesis import given, strategies as st

from functions.subscribe.credentials import read_signed, signed_text
from functions.subscribe.idempotency import RUNNING_SECONDS
from functions.subscribe.lambda_handler import handle
from functions.subscribe.service import INTERVAL_SECONDS, MAX_REQUESTS
from shared.errors import Temporary
from shared.http import Request
from shared.jsontext import JsonObject
from shared.subscribers.directory import IDEMPOTENCY
from tests.aws.invoked import Context, url_event
from tests.fakes.subscribe_api import Answer, Subscribers
from tests.running.processes import ROOT

PATH: Final = "/v1/tenants/acme/endpoints"
KEYS: Final = (b"k" * 32, b"l" * 32)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_value"),
        (b"{", 400, "malformed_body"),
        (b'{"url": "a", "url": "b"}', 422, "duplicate_key"),
        (b'{"fields": ' + b'{"a": ' * 40 + b"1" + b"}" * 41, 422, "nested_too_deeply"),
        (b'{"url": "https://a.example.com/\\ud800"}', 400, "malformed_body"),
        (b'{"url": "https://a.example.com/", "description": "\\u0000"}', 422, "invalid_value"),
        (b'{"url": "https://a.example.com/", "metadata": {}}', 422, "invalid_value"),
        (b'{"url": "' + b"x" * 10_000_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_no_endpoint_is_rejected_with_a_reason(
    api: Subscribers, key: str, body: bytes, status: int, code: str
) -> None:
    answer = await api.send("POST", PATH, body, by=key)
    assert (answer.status, answer.code) == (status, code), answer.json
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json) >= {"type", "title", "status", "code", "detail"}


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("url", "https://a.example.com/" + "x" * 2_000, "must have at most 2000 characters; got 2022"),
        ("url", "", "must not be empty"),
        ("types", ["a"] * 1_001, "must have at most 1000 items; got 1001"),
        ("url", 12_345_678, "must be text"),
        ("color", "red", "is not known"),
    ],
)
async def test_a_value_is_rejected_with_its_rule_and_without_the_value(
    api: Subscribers, key: str, field: str, value: object, rule: str
) -> None:
    body = json.dumps({"url": "https://a.example.com/", field: value})
    answer = await api.send("POST", PATH, body.encode(), by=key)
    assert answer.json["errors"] == [{"path": f"/{field}", "rule": rule}], answer.json


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": ""}, "unsupported_content_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "unsupported_content_type"),
        ({"Content-Encoding": "gzip"}, "unsupported_encoding"),
    ],
)
async def test_another_content_type_or_encoding_than_plain_json_is_415(
    api: Subscribers, key: str, headers: dict[str, str], code: str
) -> None:
    answer = await api.send("POST", PATH, b'{"url": "x"}', by=key, headers=headers)
    assert (answer.status, answer.code) == (415, code)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "?limit"),
        ("limit=ten", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("unknown=1", "?unknown"),
        ("state=lost", "?state"),
        ("since=9999-12-31T23:59:59Z", "?since"),
        ("type=%00", "?type"),
    ],
)
async def test_a_query_that_is_none_is_rejected_by_its_name(api: Subscribers, key: str, query: str, path: str) -> None:
    answer = await api.send("GET", f"/v1/tenants/acme/deliveries?{query}", by=key)
    assert (answer.status, answer.code, answer.paths) == (422, "invalid_value", [path])


@pytest.mark.parametrize("query", ["search=%ff", "&".join(f"a{n}=1" for n in range(100)), f"search={'a' * 9_000}"])
async def test_a_query_that_cannot_be_read_is_rejected(api: Subscribers, key: str, query: str) -> None:
    assert (await api.send("GET", f"/v1/tenants/acme/deliveries?{query}", by=key)).status == 422


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/tenants/",
        "/v1/tenants/a%2Fb",
        "/v1/tenants/..",
        "/v1/tenants/acme/endpoints/ep_1",
        "/v1/tenants/acme/deliveries/!!!!",
        "/v1/tenants/acme/messages/1-2-3",
        "/v1/tenants//endpoints",
    ],
)
async def test_a_path_that_names_nothing_is_404(api: Subscribers, key: str, path: str) -> None:
    answer = await api.send("GET", path, by=key)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_another_method_is_405_and_options_tells_those_that_there_are(api: Subscribers, key: str) -> None:
    answer = await api.send("DELETE", PATH, by=key)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    for method in ("TRACE", "FOO", "CONNECT"):
        assert (await api.send(method, PATH, by=key)).status == 405
    options = await api.send("OPTIONS", PATH)
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert "access-control-allow-origin" not in options.headers
    assert (await api.send("HEAD", PATH, by=key)).status == 200


async def test_a_part_that_fails_is_503_and_the_answer_says_nothing_of_it(
    api: Subscribers, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.documents.fault = "the database at 10.0.0.1 is away"
    answer = await api.send("GET", PATH, by=key)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "unavailable", "5")
    assert "10.0.0.1" not in answer.reply.body.decode()
    assert "10.0.0.1" in capsys.readouterr().out


async def test_a_fault_of_this_program_is_503_and_its_place_is_logged(
    api: Subscribers, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("functions.subscribe.cursors.make_cursor", None)
    for _ in range(3):
        await api.endpoint("acme", key)
    answer = await api.send("GET", f"{PATH}?limit=1", by=key)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "TypeError at" in capsys.readouterr().out


async def test_no_log_line_holds_a_key_a_token_a_secret_or_what_was_sent(
    api: Subscribers, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = await api.token("acme", key, "manage")
    made = await api.endpoint("acme", token, headers={"X-Own": "private-value"}, fields={"own": "private-field"})
    await api.send("POST", PATH, {"url": "https://private-host.example/", "private-name": 1}, by=token)
    await api.send("GET", "/v1/tenants/private-tenant/endpoints", by=token)
    await api.send("GET", f"{PATH}?private-query=1", by=key[:-1] + "x")
    lines = capsys.readouterr().out
    assert len(lines.splitlines()) == 5
    for private in (key, token, str(made["secret"]), "private-", str(made["id"]), "acme"):
        assert private not in lines
    assert {json.loads(line)["function"] for line in lines.splitlines()} == {"subscribe"}


@given(st.binary(min_size=1, max_size=100), st.integers(0, 300), st.characters(codec="ascii"))
def test_a_signed_text_is_read_as_it_was_and_with_any_change_not_at_all(payload: bytes, at: int, new: str) -> None:
    text = signed_text(payload, KEYS[1])
    assert read_signed(text, KEYS) == payload
    assert read_signed(text, KEYS[:1]) is None
    at %= len(text)
    changed = text[:at] + new + text[at + 1 :]
    assert read_signed(changed, KEYS) == (payload if changed == text else None)


async def exhausted(api: Subscribers, token: str, endpoint: str) -> Answer:
    """Let the tenant test the endpoint as often as it may, and once more."""
    for _ in range(MAX_REQUESTS):
        assert (await send_test(api, token, endpoint)).status == 202
    return await send_test(api, token, endpoint)


async def send_test(api: Subscribers, by: str, endpoint: str, tenant: str = "acme") -> Answer:
    path = f"/v1/tenants/{tenant}/endpoints/{endpoint}/test"
    return await api.send("POST", path, {"type": "order.paid"}, by=by)


async def test_a_tenant_that_asks_too_often_has_to_wait(api: Subscribers, key: str, endpoint: str) -> None:
    token = await api.token("acme", key)
    rejected = await exhausted(api, token, endpoint)
    assert (rejected.status, rejected.code) == (429, "too_many_requests")
    assert len(api.published()) == MAX_REQUESTS
    api.clock.advance(float(rejected.headers["retry-after"]) - 0.01)
    assert (await send_test(api, token, endpoint)).status == 429
    api.clock.advance(0.02)
    assert (await send_test(api, token, endpoint)).status == 202
    assert (await send_test(api, token, endpoint)).status == 429
    api.clock.advance(MAX_REQUESTS * INTERVAL_SECONDS)
    assert (await exhausted(api, token, endpoint)).status == 429


async def test_neither_others_nor_the_operator_has_to_wait(api: Subscribers, key: str, endpoint: str) -> None:
    await exhausted(api, await api.token("acme", key), endpoint)
    assert (await send_test(api, key, endpoint)).status == 202
    await api.tenant("bolt", key)
    own = await api.endpoint("bolt", key)
    assert (await send_test(api, await api.token("bolt", key), str(own["id"]), "bolt")).status == 202


BODY = {"url": "https://a.example.com/"}


async def create(
    api: Subscribers, key: str, text: str = "once", url: str = "https://a.example.com/"
) -> tuple[int, str]:
    answer = await api.send("POST", PATH, {"url": url}, by=key, headers={"Idempotency-Key": text})
    return answer.status, answer.reply.body.decode()


async def test_the_same_request_again_gets_the_same_answer_with_its_secret(api: Subscribers, key: str) -> None:
    first = await create(api, key)
    assert first == await create(api, key)
    assert len(await api.service.directory.endpoints("acme")) == 1
    secret = str(json.loads(first[1])["secret"])
    assert all(secret not in each.text for each in api.documents.kept.values())


async def test_a_key_is_one_bodys_and_one_callers(api: Subscribers, key: str) -> None:
    await create(api, key)
    assert (await create(api, key, url="https://b.example.com/"))[0] == 422
    assert (await create(api, await api.key(), url="https://b.example.com/"))[0] == 201
    assert (await create(api, await api.token("acme", key), url="https://c.example.com/"))[0] == 201


async def test_a_request_in_progress_is_409_until_it_must_have_ended(api: Subscribers, key: str) -> None:
    """Here it died without an answer: its client learns when to come again."""
    await create(api, key)
    (name, document), *_ = [item for item in api.documents.kept.items() if item[0][0] == IDEMPOTENCY]
    record = json.loads(document.text)
    del record["answer"], record["state"]
    await api.documents.write(*name, json.dumps(record))
    answer = await api.send("POST", PATH, {**BODY}, by=key, headers={"Idempotency-Key": "once"})
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (409, "request_in_progress", "1")
    for seconds, retry_after in ((1.0, "9"), (8.5, "1")):
        api.clock.time += seconds
        answer = await api.send("POST", PATH, {**BODY}, by=key, headers={"Idempotency-Key": "once"})
        assert (answer.status, answer.headers["retry-after"]) == (409, retry_after)
    api.clock.time += 0.5
    assert (await create(api, key))[0] == 201
    assert len(await api.service.directory.endpoints("acme")) == 1


async def test_a_request_that_takes_long_keeps_a_repeat_away_and_its_answer_is_kept(
    api: Subscribers, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.subscribe.idempotency.RENEW_SECONDS", 0.001)
    repeats: list[int] = []

    async def take_long(*_: object) -> None:
        for seconds in [RUNNING_SECONDS - 1] * 3:
            api.clock.time += seconds
            await asyncio.sleep(0.01)
            repeats.append((await create(api, key))[0])

    with monkeypatch.context() as patch:
        patch.setattr("functions.subscribe.handlers.endpoints._verify_tenant_remains", take_long)
        first = await create(api, key)
    assert (first[0], repeats) == (201, [409] * 3)
    assert await create(api, key) == first


async def test_a_request_whose_end_failed_is_done_again_without_a_second_endpoint(
    api: Subscribers, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Temporary("documents_unavailable", "the database is away")

    with monkeypatch.context() as patch:
        patch.setattr("functions.subscribe.handlers.endpoints._verify_tenant_remains", fail)
        assert (await create(api, key))[0] == 503
    status, body = await create(api, key)
    (endpoint,) = await api.service.directory.endpoints("acme")
    assert (status, json.loads(body)["id"]) == (201, endpoint.id)
    path = f"{PATH}/{endpoint.id}/secret"
    assert (await api.send("GET", path, by=key)).json["secret"] == json.loads(body)["secret"]


async def test_a_key_is_forgotten_after_24_hours_with_the_secret_of_its_answer(api: Subscribers, key: str) -> None:
    first = json.loads((await create(api, key))[1])
    rotated = await api.send("POST", f"{PATH}/{first['id']}/secret/rotate", by=key)
    api.clock.time += 86_401
    status, body = await create(api, key)
    assert (status, json.loads(body)["id"] != first["id"]) == (201, True)
    assert rotated.text("secret") not in body


async def test_a_request_that_was_at_fault_may_be_sent_again(api: Subscribers, key: str) -> None:
    made = [await api.endpoint("acme", key) for _ in range(5)]
    assert (await create(api, key))[0] == 409
    await api.send("DELETE", f"{PATH}/{made[0]['id']}", by=key)
    assert (await create(api, key))[0] == 201


@pytest.mark.parametrize("text", ["", "two words", "x" * 256])
async def test_a_key_that_is_none_is_422(api: Subscribers, key: str, text: str) -> None:
    assert (await create(api, key, text))[0] == 422


def invoke(api: Subscribers, request: Request) -> JsonObject:
    return handle(url_event(request), Context(), lambda: api.service)


def test_the_api_and_the_pages_are_behind_one_url() -> None:
    api = Subscribers()
    key = asyncio.run(api.key())
    headers = (("authorization", f"Bearer {key}"), ("content-type", "application/json"))
    made = invoke(api, Request("PUT", "/v1/tenants/acme", "", headers, b'{"name": "Acme"}'))
    assert made["statusCode"] == 200
    assert json.loads(str(made["body"]))["name"] == "Acme"
    listed = invoke(api, Request("GET", "/v1/tenants", "limit=1", headers))
    assert len(json.loads(str(listed["body"]))["items"]) == 1
    page = invoke(api, Request("GET", "/portal"))
    assert (page["statusCode"], page["isBase64Encoded"]) == (200, False)
    assert "content-security-policy" in page["headers"]  # type: ignore[operator] # an object
    assert invoke(api, Request("GET", "/v1/tenants"))["statusCode"] == 401


SCRIPT = """
import functions_framework.aio, sys
framework = set(sys.modules)
import functions.subscribe.main
print(*sys.modules.keys() - framework)
"""
HEAVY = ("cryptography", "jmespath", "jsonschema", "yaml", "ssl", "google", "functions.subscribe.handlers")


def test_the_start_imports_no_handler_and_nothing_for_ciphers_filters_or_schemas() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert not [
        module
        for module in done.stdout.split()
        if any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY)
    ]
