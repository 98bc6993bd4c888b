"""Steps that ask another system."""

import base64
import json
import time
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from standardwebhooks.webhooks import Webhook

from functions.transform.chain import Chain, ChainResult
from functions.transform.program import read_chain
from functions.transform.step import Services
from functions.transform.steps import ask
from functions.transform.steps.ask import AnswerCache
from shared.errors import Temporary
from shared.event import Event, to_cloudevent
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.authenticator import CloudIdentity
from tests.fakes.blobs import FakeBlobs
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets

NOW: Final = 1_790_000_000.0
URL: Final = "https://convert.example.com/in"
CARD: Final = "https://api.example.com/1/cards/abc"
KEY: Final = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRETS: Final = {"signing": KEY, "token": "t0p&secret-value", "password": "hunter2hunter2"}
EVENT: Final = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", {"card": "abc"}, hops=2)


def json_answer(value: Json, status: int = 200) -> Fetched:
    return Fetched(status, (("content-type", "application/json"),), to_json(value).encode())


@dataclass
class World:
    answers: dict[str, Fetched]
    blobs: FakeBlobs | None = field(default_factory=FakeBlobs)
    now: float = NOW

    def __post_init__(self) -> None:
        self.fetch = FakeFetch(self.answers)

    @property
    def services(self) -> Services:
        cloud = CloudIdentity(self.identity)
        return Services(
            FakeSecrets(SECRETS), lambda: self.fetch, FakeOwners(), self.blobs, lambda: cloud, lambda: self.now
        )

    async def identity(self, audience: str) -> str:
        return f"token-for-{audience}"

    async def run(self, step: Json, event: Event = EVENT) -> ChainResult:
        steps, faults = read_chain([step])
        assert not faults, faults
        return await Chain("r", tuple(steps)).run(event, self.services)

    async def data(self, step: Json, event: Event = EVENT) -> Json:
        course = await self.run(step, event)
        assert not course.faults, course.faults
        return course.events[0].data


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_CACHE", AnswerCache())


def call(**settings: Json) -> JsonObject:
    return {"call": {"url": URL, **settings}}


def fetch(**settings: Json) -> JsonObject:
    return {"fetch": {"url": "https://api.example.com/1/cards/{{ data.card }}", "into": "data.details", **settings}}


async def test_a_call_posts_the_event_and_its_answer_is_the_data() -> None:
    world = World({URL: json_answer({"done": True})})

    assert await world.data(call()) == {"done": True}
    [request] = world.fetch.asked
    assert (request.method, json.loads(request.body)) == ("POST", to_cloudevent(EVENT))
    assert ("content-type", "application/cloudevents+json") in request.headers
    assert ("hookchain-hops", "3") in request.headers


async def test_a_call_is_signed_so_that_a_standard_webhooks_library_verifies_it() -> None:
    world = World({URL: json_answer({})})
    world.now = time.time()
    await world.run(call(secret="signing"))

    [request] = world.fetch.asked
    assert Webhook(KEY).verify(request.body, dict(request.headers))
    assert dict(request.headers)["webhook-id"] == "e1"


async def test_an_answer_goes_where_it_is_wanted_and_none_changes_nothing() -> None:
    assert await World({URL: json_answer(7)}).data(call(into="data.n")) == {"card": "abc", "n": 7}
    assert await World({URL: Fetched(204, (), b"")}).data(call()) == {"card": "abc"}
    assert await World({CARD: Fetched(204, (), b"")}).data(fetch(into="data")) == {"card": "abc"}


@pytest.mark.parametrize("step", [call(), fetch()], ids=["call", "fetch"])
async def test_an_answer_that_is_a_page_is_noted(step: JsonObject) -> None:
    page = Fetched(200, (("content-type", "text/html"),), b"\n<!DOCTYPE html><title>Log in</title>")
    result = await World({URL: page, CARD: page}).run(step)
    [note] = result.notes
    assert note.endswith("the answer is an HTML page and not data: check the URL and its credentials")
    assert (await World({URL: json_answer("<p>"), CARD: json_answer("<p>")}).run(step)).notes == ()


async def test_an_answer_in_another_format_is_parsed_by_its_content_type() -> None:
    answer = Fetched(200, (("content-type", "application/xml"),), b"<a><b>1</b></a>")

    assert await World({URL: answer}).data(call()) == {"a": {"b": "1"}}


async def test_what_fills_a_url_neither_ends_nor_leaves_its_place() -> None:
    world = World({"https://api.example.com/1/cards/..%2F..%2Fadmin%3Fx%3D1%23": json_answer({"name": "Ada"})})

    event = EVENT.with_data({"card": "../../admin?x=1#"})
    assert await world.data(fetch(), event) == {"card": "../../admin?x=1#", "details": {"name": "Ada"}}


@pytest.mark.parametrize(
    ("card", "code"), [("..", "invalid_url"), (".", "invalid_url"), ("", "invalid_url"), (None, "invalid_url")]
)
async def test_a_value_that_would_be_another_folder_is_rejected(card: Json, code: str) -> None:
    world = World({})

    assert [fault.code for fault in (await world.run(fetch(), EVENT.with_data({"card": card}))).faults] == [code]
    assert world.fetch.asked == []


async def test_a_field_that_the_url_needs_and_the_event_lacks_is_undefined() -> None:
    [fault] = (await World({}).run(fetch(), EVENT.with_data({}))).faults

    assert (fault.code, "'data.card' is not in this event" in fault.detail) == ("undefined_field", True)


async def test_what_was_got_is_merged_into_what_is_there() -> None:
    world = World({CARD: json_answer({"name": "Ada", "labels": {"b": 2}})})

    event = EVENT.with_data({"card": "abc", "details": {"id": 1, "labels": {"a": 1}}})
    assert await world.data(fetch(), event) == {
        "card": "abc",
        "details": {"id": 1, "name": "Ada", "labels": {"a": 1, "b": 2}},
    }


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"scheme": "bearer", "secret": "token"}, ("authorization", "Bearer t0p&secret-value")),
        (
            {"scheme": "basic", "username": "me", "secret": "password"},
            ("authorization", f"Basic {base64.b64encode(b'me:hunter2hunter2').decode()}"),
        ),
        (
            {"scheme": "header", "header": "X-Token", "prefix": "Token ", "secret": "token"},
            ("x-token", "Token t0p&secret-value"),
        ),
        ({"scheme": "google"}, ("authorization", f"Bearer token-for-{CARD}")),
    ],
)
async def test_a_request_is_proven_as_the_settings_say(auth: Json, header: tuple[str, str]) -> None:
    world = World({CARD: json_answer({})})
    await world.run(fetch(auth=auth))

    assert header in world.fetch.asked[0].headers


async def test_secrets_in_the_query_are_added_and_are_no_part_of_any_fault() -> None:
    world = World({f"{CARD}?key=hunter2hunter2&token=t0p%26secret-value": json_answer({"name": "Ada"}, 404)})
    auth: Json = [
        {"scheme": "query", "parameter": "key", "secret": "password"},
        {"scheme": "query", "parameter": "token", "secret": "token"},
    ]

    [fault] = (await world.run(fetch(auth=auth))).faults
    assert (fault.code, fault.detail) == ("request_rejected", "route 'r': step 1 'fetch': api.example.com answered 404")


async def test_what_fills_a_url_right_after_its_host_is_no_part_of_any_fault() -> None:
    world = World({"https://api.example.com?card=abc": json_answer({}, 404)})

    [fault] = (await world.run(fetch(url="https://api.example.com?card={{ data.card }}"))).faults
    assert fault.detail == "route 'r': step 1 'fetch': api.example.com answered 404"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_a_passing_trouble_of_the_other_side_brings_the_event_again(status: int) -> None:
    with pytest.raises(Temporary, match=f"step 1 'call': convert.example.com answered {status}"):
        await World({URL: json_answer({}, status)}).run(call())


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 422])
async def test_a_rejection_of_the_other_side_is_permanent(status: int) -> None:
    assert [fault.code for fault in (await World({URL: json_answer({}, status)}).run(call())).faults] == [
        "request_rejected"
    ]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Fetched(200, (("content-type", "application/json"),), b"{"), "malformed_response"),
        (Fetched(200, (("content-type", "application/xml"),), b"<!DOCTYPE a><a/>"), "malformed_response"),
        (Fetched(200, (), b"x" * 2_000_000), "response_too_large"),
    ],
)
async def test_an_answer_that_is_none_is_permanent(answer: Fetched, code: str) -> None:
    assert [fault.code for fault in (await World({URL: answer}).run(call())).faults] == [code]


async def test_an_event_that_comes_again_gets_the_same_answer_again() -> None:
    world = World({CARD: json_answer({"name": "Ada"})})
    first = await world.data(fetch())
    world.fetch.answers = {CARD: json_answer({"name": "changed"})}

    assert await world.data(fetch()) == first
    assert len(world.fetch.asked) == 1
    another = await world.data(fetch(), replace(EVENT, id="e2"))
    assert another == {"card": "abc", "details": {"name": "changed"}}


async def test_without_blobs_it_asks_each_time() -> None:
    world = World({CARD: json_answer({})}, blobs=None)
    await world.run(fetch())
    await world.run(fetch())

    assert len(world.fetch.asked) == 2


async def test_a_cached_answer_serves_other_events_until_its_time_is_over() -> None:
    world = World({CARD: json_answer({"name": "Ada"})})
    for number in range(3):
        await world.run(fetch(cached="5m"), replace(EVENT, id=f"c{number}"))
    assert len(world.fetch.asked) == 1
    world.now += 300
    await world.run(fetch(cached="5m"), replace(EVENT, id="c9"))
    assert len(world.fetch.asked) == 2


def test_a_cache_has_an_end() -> None:
    cache = AnswerCache(max_bytes=100)
    for number in range(10):
        cache.put(str(number), b"x" * 30, NOW + 60)

    assert [number for number in range(10) if cache.get(str(number), NOW)] == [7, 8, 9]
    assert cache.get("9", NOW + 60) is None


def test_what_was_asked_for_last_stays_longest_in_a_cache() -> None:
    cache = AnswerCache(max_bytes=100)
    for name in ("a", "b", "c"):
        cache.put(name, b"x" * 30, NOW + 60)
    assert cache.get("a", NOW)
    cache.put("d", b"x" * 30, NOW + 60)
    assert [name for name in "abcd" if cache.get(name, NOW)] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (call(url="http://convert.example.com/in"), "only https URLs"),
        (call(url="https://127.0.0.1/"), "loopback"),
        (call(url="https://metadata.google.internal/"), "the cloud's metadata"),
        (call(url="file:///etc/passwd"), "a URL must begin with https:// and a literal host"),
        (fetch(url="https://{{ data.host }}/x"), "a literal host"),
        (fetch(url="https://good.example.com{{ data.x }}/"), "a literal host"),
        (fetch(url="https://good.example.com@{{ data.x }}/"), "a literal host"),
        (fetch(url="https://good.example.com/{{ card }}"), "did you mean 'data.card'?"),
        (fetch(auth={"scheme": "bearer", "secret": "Not A Name"}), "must be the name of a secret"),
        (call(timeout="5m"), "timeout"),
    ],
)
def test_a_fault_in_the_settings_is_told_when_they_are_read(step: Json, message: str) -> None:
    _, faults = read_chain([step])

    assert message in str(faults[0])


async def test_a_name_with_a_private_address_is_not_asked() -> None:
    world = World({CARD: json_answer({})})
    world.fetch.names = {"api.example.com": ["10.0.0.1"]}

    assert [fault.code for fault in (await world.run(fetch())).faults] == ["address_blocked"]
    assert world.fetch.asked == []
    assert not (await world.run(fetch(allow_private=True))).faults
