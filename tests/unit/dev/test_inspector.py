"""The inspector's pure parts: access, queries, updates, replays, repair of the journal."""

import json
from collections.abc import Mapping

import pytest
from aiohttp import web

from deploy.dev.inspector.api import event_query
from deploy.dev.inspector.journal_upkeep import missing_entries
from deploy.dev.local_server import rejection_reason
from deploy.history.journal_view import EventQuery
from deploy.history.replay import is_replayable, make_dead_letter_replay
from deploy.history.status import held_destinations
from shared.errors import Permanent
from shared.journal import DeadLetter
from shared.jsontext import JsonObject, objects_at
from shared.ledger import LedgerRow, Settlement
from shared.ports import DELIVERIES, EVENTS
from tests.fakes.deliveries import settled
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery

HOST = "127.0.0.1:8090"
JSON_TYPE = {"Content-Type": "application/json"}


# Who may connect


@pytest.mark.parametrize("headers", [{}, {"Origin": f"http://{HOST}"}, {"Sec-Fetch-Site": "same-origin"}])
def test_the_page_and_programs_may_act(headers: Mapping[str, str]) -> None:
    assert rejection_reason("POST", HOST, {**JSON_TYPE, **headers}) is None


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {**JSON_TYPE, "Origin": "https://evil.example"}),
        ("POST", {**JSON_TYPE, "Origin": "http://127.0.0.1:3000"}),
        ("POST", {**JSON_TYPE, "Sec-Fetch-Site": "same-site"}),
        ("POST", {"Content-Type": "text/plain"}),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}),
    ],
)
def test_another_sites_page_may_not(method: str, headers: Mapping[str, str]) -> None:
    assert rejection_reason(method, HOST, headers) is not None


# Queries


def test_a_query_is_read_whole() -> None:
    query = {"source": "web", "type": "a.*", "status": "held", "text": "ada", "limit": "7", "before": "9"}
    since = {"since": "2026-09-21T14:13:20Z"}
    assert event_query({**query, **since}) == EventQuery("web", "a.*", "held", "ada", 1_790_000_000.0, None, 7, 9)
    assert event_query({}) == EventQuery()


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "١"}, {"status": "?"}])
def test_an_invalid_query_is_rejected_with_a_reason(query: Mapping[str, str]) -> None:
    with pytest.raises(web.HTTPBadRequest) as error:
        event_query(query)
    assert error.value.text


# Updates


async def test_a_disabled_destination_is_held_and_a_paused_one_says_until_when() -> None:
    ledger = FakeLedger()
    await ledger.disable("crm", "verify the address", 100.0)
    await ledger.pause("chat", 200.0, 100.0, "it still fails")
    held = await held_destinations(ledger, ["list", "crm", "chat"], 150.0)
    crm, chat = objects_at({"held": [*held]}, "held")
    assert (crm["destination"], crm["reason"], crm["act"]) == ("crm", "verify the address", "resume")
    assert (chat["destination"], chat["paused_until"], chat["act"]) == ("chat", "1970-01-01T00:03:20.000Z", "release")
    assert await held_destinations(ledger, ["chat"], 250.0) == []


async def test_a_destination_with_deliveries_that_wait_for_somebody_is_held_though_it_is_not_disabled() -> None:
    ledger = FakeLedger()
    await settled(ledger, a_delivery(1, "list"), Settlement("held", 101.0, "nobody knows whether it arrived"))
    [held] = objects_at({"held": [*await held_destinations(ledger, [], 150.0)]}, "held")
    assert (held["destination"], held["count"], held["act"]) == ("list", 1, "release")
    assert held["reason"] == "nobody knows whether it arrived"


# Replays

EVENT: JsonObject = {"specversion": "1.0", "id": "e1", "type": "signup", "source": "/sources/web", "data": {"é": 1}}


def letter(topic: str, message: bytes) -> DeadLetter:
    return DeadLetter("d1", "request_rejected", "no such user", 0.0, message, topic)


@pytest.mark.parametrize(
    ("topic", "message"),
    [("dead-letters", json.dumps(EVENT).encode()), (EVENTS, b"\xff"), (EVENTS, b"[]"), (DELIVERIES, b'{"id": 1}')],
)
def test_a_message_that_is_not_ours_is_not_replayed(topic: str, message: bytes) -> None:
    assert not is_replayable(letter(topic, message))
    with pytest.raises(Permanent, match="no message that can be replayed"):
        make_dead_letter_replay(letter(topic, message), "r1")


# Repair of the journal


def row(key: str, state: str) -> LedgerRow:
    return LedgerRow(key, "e1", "tell", "list", state, 1, 0, 1, None, "why", "202", 1.0, 2.0, b"")


def test_entries_that_the_journal_lacks_are_found_in_the_ledger() -> None:
    rows = [
        row("a", "delivered"),
        row("b", "held"),
        row("c", "retry_scheduled"),
        row("d", "claimed"),
        row("e", "dead_lettered"),
        row("f", "merged"),
        row("g", "held"),
    ]
    outcomes = {"a": "delivered", "b": "retry_scheduled", "c": "unknown", "g": "unknown"}
    found = [(entry.delivery_id, entry.outcome, entry.attempt_number) for entry in missing_entries(outcomes, rows)]
    assert found == [("b", "held", 0), ("e", "failed", 0), ("f", "merged", 0), ("g", "held", 0)]
