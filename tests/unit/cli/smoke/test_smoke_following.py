"""Following a smoke test's event to its end."""

import json
from dataclasses import replace
from typing import Final

import pytest

from deploy.cli.smoke import (
    DEAD_LETTERED,
    DELIVERED,
    GATHERED,
    HELD,
    MERGED,
    PENDING,
    RETRY_SCHEDULED,
    DeliveryState,
    EventState,
    StagePrinter,
    follow,
    state_from_logs,
)
from deploy.history.logs import Record
from deploy.terminal.output import Screen
from shared.journal import RouteDecision
from shared.jsontext import JsonObject
from tests.unit.cli.smoke.smoking import EVENT_ID

MATCHED: Final = RouteDecision("orders", True, "from 'shop'", ("crm",))
UNMATCHED: Final = RouteDecision("refunds", False, "type 'order' does not match refund")


def followed(*sights: EventState) -> tuple[EventState, list[str]]:
    text: list[str] = []
    seconds = iter(range(1000))
    left = list(sights)
    result = StagePrinter(Screen(), lambda: float(next(seconds)), text.append)
    last = follow(lambda: left.pop(0) if len(left) > 1 else left[0], result, 30.0, lambda: None)
    return last, text


def delivery(state: str, message: str = "", attempts: int = 1) -> DeliveryState:
    return DeliveryState("crm", "orders", state, attempts, message)


def test_each_stage_is_reported_once_and_the_end_is_the_end() -> None:
    routed = EventState(1, (MATCHED, UNMATCHED))
    done = replace(routed, deliveries=(delivery(DELIVERED, "202"),))
    last, text = followed(EventState(), EventState(), routed, replace(routed, deliveries=(delivery(PENDING),)), done)
    assert last.is_good
    assert [line.split("  ")[0].strip() for line in text if line[0] in "✓✗"] == ["✓ transformed", "✓ delivered"]
    assert "did not match: type 'order' does not match refund" in text[2]
    assert text[-1].endswith("crm: 202")


def test_a_chain_that_failed_is_no_success_though_another_route_delivered() -> None:
    routed = EventState(1, (MATCHED,), ("route 'refunds': its step failed",))
    last, text = followed(replace(routed, deliveries=(delivery(DELIVERED, "202"),)))
    assert not last.is_good
    assert "route 'refunds': its step failed" in text[1]


@pytest.mark.parametrize(
    ("state", "todo"),
    [
        (RETRY_SCHEDULED, "it is retried automatically"),
        (HELD, "hookchain resume crm"),
        (DEAD_LETTERED, "hookchain dead-letters list"),
    ],
)
def test_a_delivery_that_did_not_work_ends_it_with_what_to_do(state: str, todo: str) -> None:
    last, text = followed(EventState(1, deliveries=(delivery(state, "550 no such user"),)))
    assert last.is_complete
    assert not last.is_good
    assert "crm, attempt 1: 550 no such user" in text[-2]
    assert todo in text[-1]


@pytest.mark.parametrize("state", [GATHERED, MERGED])
def test_a_delivery_that_waits_for_its_digest_or_is_part_of_it_is_a_success(state: str) -> None:
    last, text = followed(EventState(1, deliveries=(delivery(state, "waits for the digest", attempts=0),)))
    assert last.is_good
    assert text[-1].startswith(f"✓ {state}")
    assert text[-1].endswith("crm: waits for the digest")


def test_an_event_that_leads_nowhere_is_no_success() -> None:
    last, text = followed(EventState(0, (UNMATCHED,)))
    assert (last.is_complete, last.is_good) == (True, False)
    assert "no route matched" in text[0]
    broken, message = followed(EventState(0, broken=("route 'orders': step 1 fails",)))
    assert not broken.is_good
    assert "step 1 fails" in message[0]


def a_record(process: str, **fields: object) -> Record:
    document: JsonObject = json.loads(json.dumps({"event_id": EVENT_ID, **fields}))
    return Record(0.0, process, "INFO", document)


def test_the_functions_logs_tell_an_events_way() -> None:
    records = [
        a_record("receive", status=200),
        a_record("transform", outcome="routed", count=2),
        a_record("transform", code="step_failed", route="b", reason="step 1 fails"),
        a_record("notify", delivery_id="1", destination="crm", route="a", outcome="retry_scheduled", attempt_number=1),
        a_record("notify", delivery_id="1", destination="crm", route="a", outcome="delivered", attempt_number=2),
        a_record("notify", delivery_id="1", destination="crm", route="a", outcome="finished"),
        a_record("notify", event_id=f"{EVENT_ID}-2", delivery_id="2", destination="x", route="a", outcome="held"),
        Record(0.0, "notify", "INFO", {"event_id": "another", "delivery_id": "9", "outcome": "delivered"}),
    ]
    state = state_from_logs(records, EVENT_ID)
    assert state == EventState(
        2, (), ("route 'b': step 1 fails",), (DeliveryState("crm", "a", DELIVERED, 2), DeliveryState("x", "a", HELD, 0))
    )
