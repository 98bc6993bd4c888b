"""Steps that ask another system."""

import asyncio
import base64
import time
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from standardwebhooks.webhooks import Webhook

from functions.transform.chain import Chain, ChainResult
from functions.transform.hosts import BREAKER, NotNow, StepHosts
from functions.transform.program import read_chain
from functions.transform.step import Services, removals_of
from functions.transform.steps import ask
from shared.errors import Temporary
from shared.event import Event, to_cloudevent
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.gate import ADMITTED, HANGING_ANSWERS, ProcessGate
from shared.outgoing.instance_leases import MOST_INSTANCES, InstanceLeases
from shared.timed_cache import TimedCache
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.grants import FakeGrants
from tests.fakes.notifier import push_of
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.unit.transform.asked_hosts import Hosts, asking_route
from tests.unit.transform.transform_bench import Bench

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

    async def codes(self, step: Json, event: Event = EVENT) -> list[str]:
        return [fault.code for fault in (await self.run(step, event)).faults]

    async def data(self, step: Json, event: Event = EVENT) -> Json:
        course = await self.run(step, event)
        assert not course.faults, course.faults
        return course.events[0].data


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_CACHE", TimedCache(ask.MAX_CACHED_BYTES, weight=len))


def call(**settings: Json) -> JsonObject:
    return {"call": {"url": URL, **settings}}


def fetch(**settings: Json) -> JsonObject:
    return {"fetch": {"url": "https://api.example.com/1/cards/{{ data.card }}", "into": "data.details", **settings}}


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


async def test_what_fills_a_url_neither_ends_nor_leaves_its_place() -> None:
    world = World({"https://api.example.com/1/cards/..%2F..%2Fadmin%3Fx%3D1%23": json_answer({"name": "Ada"})})

    event = EVENT.with_data({"card": "../../admin?x=1#"})
    assert await world.data(fetch(), event) == {"card": "../../admin?x=1#", "details": {"name": "Ada"}}


@pytest.mark.parametrize("card", ["..", ".", "", None])
async def test_a_value_that_would_be_another_folder_is_rejected(card: Json) -> None:
    world = World({})

    assert await world.codes(fetch(), EVENT.with_data({"card": card})) == ["invalid_url"]
    assert world.fetch.asked == []


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"scheme": "bearer", "secret": "token"}, ("authorization", "Bearer t0p&secret-value")),
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


async def test_secrets_and_values_in_the_query_are_added_and_are_no_part_of_any_fault() -> None:
    world = World({"https://api.example.com?card=abc&token=t0p%26secret-value": json_answer({}, 404)})
    auth: Json = [{"scheme": "query", "parameter": "token", "secret": "token"}]

    [fault] = (await world.run(fetch(url="https://api.example.com?card={{ data.card }}", auth=auth))).faults
    assert (fault.code, fault.detail) == ("request_rejected", "route 'r': step 1 'fetch': api.example.com answered 404")


@pytest.mark.parametrize("status", [408, 425, 429, 500])
async def test_a_passing_trouble_of_the_other_side_brings_the_event_again(status: int) -> None:
    with pytest.raises(Temporary, match=f"step 1 'call': convert.example.com answered {status}"):
        await World({URL: json_answer({}, status)}).run(call())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (json_answer({}, 301), "request_rejected"),
        (json_answer({}, 422), "request_rejected"),
        (Fetched(200, (("content-type", "application/json"),), b"{"), "malformed_response"),
        (Fetched(200, (("content-type", "application/xml"),), b"<!DOCTYPE a><a/>"), "malformed_response"),
        (Fetched(200, (), b"x" * 2_000_000), "response_too_large"),
    ],
)
async def test_a_rejection_and_an_answer_that_is_none_are_permanent(answer: Fetched, code: str) -> None:
    assert await World({URL: answer}).codes(call()) == [code]


async def test_a_redirect_is_named_if_its_place_is_known() -> None:
    elsewhere = (("location", "/b"),)
    for headers, advice in (((), "set `url` to the address"), (elsewhere, "it leads to another path of https")):
        [fault] = (await World({URL: Fetched(307, headers, b"")}).run(call())).faults
        assert f"redirects are not followed: {advice}" in fault.detail


@pytest.mark.parametrize("into", ["data", "data.crm"])
def test_a_call_removes_what_its_answer_replaces(into: str) -> None:
    steps, _ = read_chain([call(into=into)])
    assert removals_of(steps) == {"step 1 'call'": [into]}


async def test_an_event_that_comes_again_gets_the_same_answer_again() -> None:
    world = World({CARD: json_answer({"name": "Ada"})})
    first = await world.data(fetch())
    world.fetch.answers = {CARD: json_answer({"name": "changed"})}

    assert await world.data(fetch()) == first
    assert len(world.fetch.asked) == 1
    another = await world.data(fetch(), replace(EVENT, id="e2"))
    assert another == {"card": "abc", "details": {"name": "changed"}}


async def test_a_cached_answer_serves_other_events_until_its_time_is_over() -> None:
    world = World({CARD: json_answer({"name": "Ada"})})
    for number in range(3):
        await world.run(fetch(cached="5m"), replace(EVENT, id=f"c{number}"))
    assert len(world.fetch.asked) == 1
    world.now += 300
    await world.run(fetch(cached="5m"), replace(EVENT, id="c9"))
    assert len(world.fetch.asked) == 2


async def test_a_name_with_a_private_address_is_not_asked() -> None:
    world = World({CARD: json_answer({})})
    world.fetch.names = {"api.example.com": ["10.0.0.1"]}

    assert await world.codes(fetch()) == ["address_blocked"]
    assert world.fetch.asked == []
    assert not (await world.run(fetch(allow_private=True))).faults


PLACES: Final = 40
HOST_EVENT: Final = Event("e1", "/sources/shop", "order.paid", "2026-09-21T14:13:20.000Z", "0" * 64)
API: Final = "api.example"


def step_hosts() -> tuple[StepHosts, FakeClock]:
    clock = FakeClock()
    return StepHosts(ProcessGate(clock.now, PLACES, PLACES), clock), clock


async def ask_host(hosts: StepHosts, has_failed: bool | None = False, step: int = 1, host: str = API) -> NotNow | None:
    """Ask, and get the answer at once; return why it was not asked."""
    entered = await hosts.enter(step, host, HOST_EVENT)
    if isinstance(entered, NotNow):
        return entered
    hosts.leave(entered, has_failed=has_failed, reason="answered 503")
    return None


async def entered_keys(hosts: StepHosts, count: int, host: str = API) -> list[str]:
    """Return the keys of those of `count` questions that are asked, which nobody answers."""
    found = await asyncio.gather(*(hosts.enter(1, host, HOST_EVENT) for _ in range(count)))
    return [each for each in found if isinstance(each, str)]


async def paused_hosts() -> tuple[StepHosts, FakeClock]:
    hosts, clock = step_hosts()
    for _ in range(BREAKER.failures):
        assert await ask_host(hosts, True) is None
    return hosts, clock


async def test_after_five_failures_in_a_row_the_step_does_not_ask_the_host_until_the_pause_is_over() -> None:
    hosts, clock = await paused_hosts()
    closed = await ask_host(hosts)
    assert closed is not None
    assert closed.until == clock.now() + BREAKER.pause_seconds
    assert closed.reason == f"{API} is not asked for a while: 5 requests in a row failed, the last: answered 503"
    assert await ask_host(hosts, step=2) is None
    clock.advance(BREAKER.pause_seconds)
    assert await ask_host(hosts) is None
    assert await ask_host(hosts) is None


async def test_after_a_pause_one_question_is_asked_for_all_and_a_failure_pauses_twice_as_long() -> None:
    hosts, clock = await paused_hosts()
    clock.advance(BREAKER.pause_seconds)
    probe = await hosts.enter(1, API, HOST_EVENT)
    assert isinstance(probe, str)
    beside = await ask_host(hosts)
    assert beside is not None
    assert "another route asks it first" in beside.reason
    hosts.leave(probe, has_failed=True, reason="answered 500")
    closed = await ask_host(hosts)
    assert closed is not None
    assert closed.until == clock.now() + 2 * BREAKER.pause_seconds


async def test_requests_that_hang_open_the_breaker_before_they_end() -> None:
    hosts, clock = step_hosts()
    for _ in range(HANGING_ANSWERS):
        await ask_host(hosts)
    keys = await entered_keys(hosts, BREAKER.failures)
    assert len(keys) == BREAKER.failures
    clock.advance(5.1)
    closed = await ask_host(hosts)
    assert closed is not None
    assert "it takes far longer than usual" in closed.reason
    for key in keys:  # their timeouts come later, and count no second time
        hosts.leave(key, has_failed=True, reason="no answer within 10 s")
    clock.advance(BREAKER.pause_seconds)
    assert await ask_host(hosts) is None


class NotedGate(ProcessGate):
    """A gate that keeps what it was told of messages."""

    def __init__(self) -> None:
        super().__init__(FakeClock().now, PLACES, PLACES)
        self.noted: list[float | bool] = []

    def note_arrival(self, waited_seconds: float) -> None:
        self.noted.append(waited_seconds)

    def note_answer(self, *, is_acknowledged: bool) -> None:
        self.noted.append(is_acknowledged)


async def test_the_gate_is_told_how_long_events_waited_and_whether_they_are_acknowledged() -> None:
    asked, gate = Hosts(), NotedGate()
    asked.gate = StepHosts(gate, asked.clock)
    event = replace(HOST_EVENT, receivedat=rfc3339(asked.clock.now() - 3))
    bench = Bench([asking_route("asks", API)], services=asked.services)
    body = push_of(to_json(to_cloudevent(event)).encode())
    assert (await bench.push(body)).status == 204
    bench.bus.fault = "down"
    assert (await bench.push(body)).status == 503
    assert gate.noted == [3.0, True, 3.0, False]


async def test_on_lambda_a_host_that_another_instance_tries_is_not_asked_and_the_place_is_left() -> None:
    hosts, clock = step_hosts()
    grants = FakeGrants()
    hosts.instances = InstanceLeases(lambda: grants, hosts.gate, clock, "me")
    await grants.lease(f"{API}:instances", "another", MOST_INSTANCES, MOST_INSTANCES, clock.now(), 50.0)
    assert await ask_host(hosts) == NotNow(clock.now() + 1, f"another instance tries {API} first")
    assert await ask_host(hosts) == NotNow(clock.now() + 3, f"another instance tries {API} first")
    clock.advance(51)
    assert await ask_host(hosts) is None
    await hosts.give_back(API)
    other = InstanceLeases(lambda: grants, step_hosts()[0].gate, clock, "other")
    assert await other.enter(API, 10.0) is ADMITTED, "it answers, so all may ask it"


@pytest.mark.parametrize(("status", "may_ask"), [(200, True), (404, True), (503, False)])
async def test_on_lambda_a_host_is_open_for_all_instances_once_it_answers_even_if_it_rejects_the_request(
    status: int, may_ask: bool
) -> None:
    asked, grants = Hosts({API: status}), FakeGrants()
    asked.gate = StepHosts(ProcessGate(asked.clock.now, PLACES, PLACES), asked.clock)
    asked.gate.instances = InstanceLeases(lambda: grants, asked.gate.gate, asked.clock, "me")
    bench = Bench([asking_route("asks", API)], services=asked.services)
    await bench.push(push_of(to_json(to_cloudevent(HOST_EVENT)).encode()))
    assert asked.asked == [API]
    other = InstanceLeases(lambda: grants, step_hosts()[0].gate, asked.clock, "other")
    assert (await other.enter(API, 10.0) is ADMITTED) == may_ask
