"""Of events with the same signed bytes, the first alone is routed."""

from dataclasses import replace

import pytest

from shared.errors import Temporary
from shared.journal import EventEntry
from tests.unit.transform.transform_bench import EVENT, Bench


async def test_the_same_signed_bytes_under_another_event_type_are_routed_nowhere_and_journaled_beside_the_first(
    bench: Bench,
) -> None:
    first = replace(EVENT, signedas="bytes.pro")
    await bench.take(first)
    owed = len(bench.deliveries)
    await bench.take(replace(first, type="push", deliveryid="another", signedas="bytes.other"))

    assert len(bench.deliveries) == owed
    entries = [entry for entry in bench.journal.entries if isinstance(entry, EventEntry)]
    first_id, duplicate_id = [entry.event.id for entry in entries]
    assert first_id == "e1" != duplicate_id
    assert entries[1].event.origin == duplicate_id  # its own, should the operator have it delivered all the same
    [decision] = entries[1].routes
    assert (decision.outcome, entries[1].broken) == ("duplicate", 0)
    assert "same_signed_bytes" in decision.reason
    assert "dedupe: delivery_id" in decision.reason

    await bench.take(first)  # which the bus or its sender gave again
    assert len(bench.deliveries) == 2 * owed


async def test_an_event_that_is_signed_as_a_whole_is_remembered_nowhere(bench: Bench) -> None:
    await bench.take()
    assert bench.owners.owners == {}


async def test_while_it_cannot_be_told_which_event_came_first_none_is_routed(bench: Bench) -> None:
    bench.owners.fault = "down"
    with pytest.raises(Temporary):
        await bench.take(replace(EVENT, signedas="bytes.pro"))
    assert bench.bus.sent == []


async def test_a_replay_that_is_forced_is_routed_though_it_is_a_duplicate(bench: Bench) -> None:
    await bench.take(replace(EVENT, signedas="bytes.pro"))
    await bench.take(replace(EVENT, id="e2", signedas="bytes.other"), force="1")
    assert {delivery.event.id for delivery in bench.deliveries} == {"e1", "e2"}
