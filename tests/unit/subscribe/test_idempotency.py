"""A POST with an Idempotency-Key is done once: for its caller, for 24 hours, whatever fails on the way."""

import asyncio
import json

import pytest

from functions.subscribe.idempotency import RUNNING_SECONDS
from shared.errors import Temporary
from shared.subscribers.directory import IDEMPOTENCY
from tests.fakes.subscribe_api import Subscribers

ENDPOINTS = "/v1/tenants/acme/endpoints"
BODY = {"url": "https://a.example.com/"}


async def create(
    api: Subscribers, key: str, text: str = "once", url: str = "https://a.example.com/"
) -> tuple[int, str]:
    answer = await api.send("POST", ENDPOINTS, {"url": url}, by=key, headers={"Idempotency-Key": text})
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
    answer = await api.send("POST", ENDPOINTS, {**BODY}, by=key, headers={"Idempotency-Key": "once"})
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (409, "request_in_progress", "1")
    for seconds, retry_after in ((1.0, "9"), (8.5, "1")):
        api.clock.time += seconds
        answer = await api.send("POST", ENDPOINTS, {**BODY}, by=key, headers={"Idempotency-Key": "once"})
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
        patch.setattr("functions.subscribe.handlers.endpoints._keep_with_tenant", take_long)
        first = await create(api, key)
    assert (first[0], repeats) == (201, [409] * 3)
    assert await create(api, key) == first


async def test_a_request_whose_end_failed_is_done_again_without_a_second_endpoint(
    api: Subscribers, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Temporary("documents_unavailable", "the database is away")

    with monkeypatch.context() as patch:
        patch.setattr("functions.subscribe.handlers.endpoints._keep_with_tenant", fail)
        assert (await create(api, key))[0] == 503
    status, body = await create(api, key)
    (endpoint,) = await api.service.directory.endpoints("acme")
    assert (status, json.loads(body)["id"]) == (201, endpoint.id)
    path = f"{ENDPOINTS}/{endpoint.id}/secret"
    assert (await api.send("GET", path, by=key)).json["secret"] == json.loads(body)["secret"]


async def test_a_key_is_forgotten_after_24_hours_with_the_secret_of_its_answer(api: Subscribers, key: str) -> None:
    first = json.loads((await create(api, key))[1])
    rotated = await api.send("POST", f"{ENDPOINTS}/{first['id']}/secret/rotate", by=key)
    api.clock.time += 86_401
    status, body = await create(api, key)
    assert (status, json.loads(body)["id"] != first["id"]) == (201, True)
    assert rotated.text("secret") not in body


async def test_a_request_that_was_at_fault_may_be_sent_again(api: Subscribers, key: str) -> None:
    made = [await api.endpoint("acme", key) for _ in range(5)]
    assert (await create(api, key))[0] == 409
    await api.send("DELETE", f"{ENDPOINTS}/{made[0]['id']}", by=key)
    assert (await create(api, key))[0] == 201


@pytest.mark.parametrize("text", ["", "two words", "x" * 256])
async def test_a_key_that_is_none_is_422(api: Subscribers, key: str, text: str) -> None:
    assert (await create(api, key, text))[0] == 422
