"""A pushed event, answered and logged: what is acknowledged, and what comes again."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from functions.transform.step import Services
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.unit.transform.transform_bench import EVENT, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def pushed(data: bytes) -> bytes:
    return to_json({"message": {"data": base64.b64encode(data).decode(), "messageId": "m1"}}).encode()


PUSH = pushed(to_json(to_cloudevent(EVENT)).encode())


async def test_what_the_bus_confirmed_is_acknowledged_and_logged(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = await bench.push(PUSH)

    assert (reply.status, reply.body) == (204, b"")
    failed, done = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (failed["message"], failed["route"], failed["code"]) == ("dead lettered", "broken", "path_conflict")
    assert (done["message"], done["outcome"], done["count"], done["event_id"]) == ("transformed", "routed", 3, "e1")


@pytest.mark.parametrize(
    ("route", "outcome", "reason"),
    [
        (
            {"types": ["order.*"]},
            "no_route",
            "route 'r': the type does not match order.*",
        ),
        ({"where": "data.plan == 'free'"}, "no_route", "route 'r': where data.plan == 'free' is false"),
        ({"from": ["other"]}, "no_route", "none of 1 routes is for this source"),
        (
            {"steps": [{"filter": {"keep": "data.paid", "reason": "not paid yet"}}]},
            "filtered",
            "route 'r': step 1 'filter': not paid yet: data.paid is not true",
        ),
        ({"steps": [{"set": {"data.plan.x": 1}}]}, "dead_lettered", ""),
    ],
)
async def test_the_log_says_why_nothing_is_owed_without_any_text_of_the_event(
    bench: Bench, capsys: pytest.CaptureFixture[str], route: JsonObject, outcome: str, reason: str
) -> None:
    bench.routes = [{"name": "r", "to": ["crm"], **route}]
    event = replace(EVENT, type="card 4111 1111 1111 1111")

    await bench.push(pushed(to_json(to_cloudevent(event)).encode()))

    *_, line = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["outcome"], line.get("reason", "")) == (outcome, reason)
    assert "4111" not in line.get("reason", "")


async def test_a_dead_letter_is_acknowledged(bench: Bench) -> None:
    assert (await bench.push(pushed(b"junk"))).status == 204
    assert len(bench.letters) == 1


async def test_without_the_bus_nothing_is_acknowledged(bench: Bench) -> None:
    bench.bus.fault = "down"

    assert (await bench.push(PUSH)).status == 503
    assert (await bench.push(pushed(b"junk"))).status == 503


async def test_a_fault_of_ours_is_not_acknowledged_and_shows_no_data(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    class BrokenBus(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            raise ZeroDivisionError("hunter2")

    bench.bus = BrokenBus()

    assert (await bench.push(PUSH)).status == 503
    written = capsys.readouterr().out
    assert "ZeroDivisionError at test_entry.py" in written
    assert "hunter2" not in written


@pytest.mark.parametrize(
    ("method", "body", "status"), [("GET", b"", 405), ("POST", b"", 400), ("POST", b'{"message": {"data": "!"}}', 400)]
)
async def test_what_is_no_push_is_rejected_and_acknowledges_nothing(
    bench: Bench, method: str, body: bytes, status: int
) -> None:
    reply = await bench.push(body, method)

    assert reply.status == status
    assert bench.bus.sent == []


@pytest.mark.parametrize("path", ["/", "/chains/clean"])
async def test_no_sites_page_makes_events_through_a_browser_on_this_machine(bench: Bench, path: str) -> None:
    reply = await bench.push(PUSH, path=path, headers=(("origin", "https://elsewhere.example"),))

    assert (reply.status, bench.bus.sent) == (403, [])


def outside(answers: dict[str, Fetched] | None = None) -> Services:
    return Services(FakeSecrets({}), lambda: FakeFetch(answers), FakeOwners(), None)


FETCHING: Json = [{"fetch": {"url": "https://api.example.com/x", "into": "data.x"}}]


async def test_a_route_whose_secret_cannot_be_read_holds_back_no_other_and_brings_the_event_again(bench: Bench) -> None:
    bench.services = outside()
    signed: Json = [{"fetch": {"url": "https://api.example.com/x", "into": "data.x", "secret": "no-such-key"}}]
    bench.routes = [{"name": "asks", "steps": signed, "to": ["crm"]}, {"name": "audit", "to": ["crm"]}]

    with pytest.raises(Temporary, match="route 'asks': step 1 'fetch'"):
        await bench.take()

    assert [delivery.route for delivery in bench.deliveries] == ["audit"]
    assert bench.letters == []
    assert [(route.matched, route.code, route.destinations) for route in bench.journaled.routes] == [
        (True, None, ("crm",)),
        (True, None, ("crm",)),
    ]
    assert "to come again: route 'asks': step 1 'fetch'" in bench.journaled.routes[0].reason
    assert (await bench.push(PUSH)).status == 503


async def test_a_route_that_waits_is_acknowledged_and_logged(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.services = outside()
    bench.routes = [{"name": "asks", "steps": FETCHING, "to": ["crm"]}]

    assert (await bench.push(PUSH)).status == 204

    waiting, transformed = map(json.loads, capsys.readouterr().out.splitlines())
    assert (waiting["outcome"], waiting["route"], waiting["code"]) == ("waiting", "asks", "host_unreachable")
    assert waiting["reason"].startswith("route 'asks': step 1 'fetch': api.example.com")
    assert (transformed["outcome"], transformed["count"]) == ("waiting", 0)


async def test_a_route_that_asks_is_delivered_with_the_answer(bench: Bench) -> None:
    bench.services = outside({"https://api.example.com/x": Fetched(200, (), b'{"b": 1}')})
    bench.routes = [{"name": "asks", "steps": FETCHING, "to": ["crm"]}]

    await bench.take()

    assert [delivery.event.data for delivery in bench.deliveries] == [{"plan": "pro", "x": {"b": 1}}]


async def test_a_duplicate_is_acknowledged_and_logged_with_the_setting_that_changes_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for facts in ("one", "two"):
        event = replace(EVENT, signedas=f"bytes.{facts}")
        assert (await bench.push(pushed(to_json(to_cloudevent(event)).encode()))).status == 204

    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["outcome"], line["reason"], line["event_id"]) == ("duplicate", "same_signed_bytes", "e1")
    assert "dedupe: delivery_id" in line["detail"]
