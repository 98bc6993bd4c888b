"""Deliveries to a destination that gathers: they wait in groups, and each group becomes one delivery at a time."""

from dataclasses import replace

import pytest

from functions.notify.digests.settings import Digest, GatherSettings
from shared.delivery import Disabled, RetryLater
from shared.errors import Temporary
from shared.times import rfc3339
from tests.fakes.destinations import FakeDestinations, Options
from tests.fakes.notifier import FakeNotifier
from tests.unit.notify.gathered import START, data_of, event, notifier_with, pass_time

DIGEST = GatherSettings(digest=Digest(900.0, "data.computer"))


def states(notifier: FakeNotifier) -> list[str]:
    return sorted(row.state for row in notifier.ledger.table.values())  # type: ignore[attr-defined] # the fake's


# Digests


async def test_events_of_a_quarter_of_an_hour_are_one_delivery_with_a_line_for_each() -> None:
    notifier = notifier_with(replace_line(DIGEST, "{{ data.computer }} is {{ data.state }}"))
    for number in range(3):
        notifier.clock.advance(10)
        result = await notifier.take(event(notifier, number, {"computer": "a", "state": f"s{number}"}))
        assert result.outcome == "gathered"
    assert notifier.crm.delivered == []
    await pass_time(notifier, 960)
    [digest] = notifier.crm.delivered
    assert (digest.merged, digest.event.type, digest.event.source) == (3, "hookchain.digest", "/digests/crm")
    data = data_of(digest)
    assert (data["count"], data["by"], data["person"]) == (3, "a", None)
    assert data["kinds"] == [{"source": "web", "type": "signup.created", "count": 3}]
    events = data["events"]
    assert isinstance(events, list)
    assert [each["line"] for each in events if isinstance(each, dict)] == ["a is s2", "a is s1", "a is s0"]
    assert (data["from"], data["to"]) == (rfc3339(START + 10), rfc3339(START + 30))
    assert states(notifier) == ["delivered", "merged", "merged", "merged"]


def replace_line(settings: GatherSettings, line: str) -> GatherSettings:
    return settings._replace(line=line)


async def test_each_key_has_a_digest_of_its_own() -> None:
    notifier = notifier_with(DIGEST)
    for number in range(6):
        await notifier.take(event(notifier, number, {"computer": ["a", "b", None][number % 3]}))
    await pass_time(notifier, 960)
    assert sorted((str(data_of(each)["by"]), each.merged) for each in notifier.crm.delivered) == [
        ("None", 2),
        ("a", 2),
        ("b", 2),
    ]


async def test_what_comes_alone_is_delivered_as_it_is() -> None:
    notifier = notifier_with(DIGEST)
    alone = event(notifier, 1, {"computer": "a"})
    await notifier.take(alone)
    await pass_time(notifier, 960)
    [delivered] = notifier.crm.delivered
    assert delivered.event == replace(alone.event, id=delivered.event.id)
    assert delivered.event.id != alone.event.id
    assert (delivered.merged, delivered.route) == (1, alone.route)


async def test_a_digest_lists_the_newest_events_and_counts_all_of_them() -> None:
    notifier = notifier_with(DIGEST._replace(max_events=2))
    for number in range(5):
        notifier.clock.advance(1)
        await notifier.take(event(notifier, number, {"title": f"t{number}"}))
    await pass_time(notifier, 960)
    data = data_of(notifier.crm.delivered[0])
    assert data["count"] == 5
    assert isinstance(data["events"], list)
    assert [each["id"] for each in data["events"] if isinstance(each, dict)] == [f"{4:032x}", f"{3:032x}"]


async def test_a_line_that_does_not_fit_an_event_is_replaced_by_one_of_ours() -> None:
    notifier = notifier_with(replace_line(DIGEST, "{{ data.missing }}"))
    for number in range(2):
        await notifier.take(event(notifier, number, {"title": "<b>x</b>"}))
    await pass_time(notifier, 960)
    [digest] = notifier.crm.delivered
    assert "<b>x</b> · by ada" in str(data_of(digest)["events"])


async def test_a_message_that_comes_twice_counts_once() -> None:
    notifier = notifier_with(DIGEST)
    twice = event(notifier, 1)
    assert [(await notifier.take(twice)).outcome for _ in range(2)] == ["gathered", "waiting"]
    await notifier.take(event(notifier, 2))
    await pass_time(notifier, 960)
    assert [each.merged for each in notifier.crm.delivered] == [2]
    assert (await notifier.take(twice)).outcome == "finished"


async def test_a_replay_that_is_forced_is_part_of_another_digest() -> None:
    notifier = notifier_with(DIGEST)
    for number in range(2):
        await notifier.take(event(notifier, number))
    await pass_time(notifier, 960)
    first = notifier.crm.delivered[0].event
    again = event(notifier, 0)
    for _ in range(2):
        await notifier.take(again, replay="r1", force="true")
    await pass_time(notifier, 960)
    assert [each.merged for each in notifier.crm.delivered] == [2, 1]
    assert notifier.crm.delivered[1].event.id not in {first.id, again.event.id}


async def test_an_event_that_expires_before_the_digest_is_given_up_on_at_once() -> None:
    notifier = notifier_with(DIGEST, expires_after_seconds=60.0)
    notifier.clock.advance(1)
    late = event(notifier, 1)
    notifier.clock.advance(70)
    assert (await notifier.take(late)).code == "expired"


# One at a time


async def test_while_a_digest_is_not_delivered_what_comes_later_waits_for_the_next_one() -> None:
    notifier = notifier_with(DIGEST, RetryLater("down"))
    notifier.destinations = FakeDestinations(
        {"crm": notifier.crm}, retry_seconds=(2_000.0,), options={"crm": Options(gather=DIGEST)}
    )
    notifier.start()
    for period in range(4):
        for number in range(5):
            await notifier.take(event(notifier, 5 * period + number))
        await pass_time(notifier, 900)
    await pass_time(notifier, 900)
    assert [each.merged for each in notifier.crm.delivered] == [5, 10, 5]


async def test_while_the_destination_is_disabled_members_wait_and_follow_its_release() -> None:
    notifier = notifier_with(DIGEST, Disabled("out of order"))
    await notifier.take(event(notifier, 1))
    await pass_time(notifier, 960)
    for number in range(2, 5):
        await notifier.take(event(notifier, number))
    await pass_time(notifier, 7_200)
    assert notifier.crm.delivered == []
    await notifier.ledger.release("crm", notifier.clock.now())
    await pass_time(notifier, 3_700)
    assert [each.merged for each in notifier.crm.delivered] == [1, 3]


# Faults


async def test_a_store_of_records_that_fails_lets_everything_wait() -> None:
    notifier = notifier_with(DIGEST)
    await notifier.take(event(notifier, 1))
    notifier.clock.advance(960)
    notifier.records.fault = "down"
    with pytest.raises(Temporary):
        await notifier.sweep()
    notifier.records.fault = None
    await pass_time(notifier, 60)
    assert len(notifier.crm.delivered) == 1


async def test_a_digest_whose_message_was_lost_is_published_again() -> None:
    notifier = notifier_with(DIGEST)
    await notifier.take(event(notifier, 1))
    notifier.clock.advance(960)
    await notifier.sweep()  # nobody takes what it published
    await notifier.take(event(notifier, 2))
    await pass_time(notifier, 1_800)
    assert [each.merged for each in notifier.crm.delivered] == [1, 1]


async def test_a_destination_that_gathers_no_more_gets_what_waited_one_by_one() -> None:
    notifier = notifier_with(DIGEST)
    for number in range(3):
        await notifier.take(event(notifier, number))
    notifier.destinations = FakeDestinations({"crm": notifier.crm})
    notifier.start()
    await pass_time(notifier, 960)
    assert [each.merged for each in notifier.crm.delivered] == [0, 0, 0]


async def test_a_delivery_that_is_too_large_for_a_record_goes_out_by_itself() -> None:
    notifier = notifier_with(DIGEST)
    assert (await notifier.take(event(notifier, 1, {"long": "x" * 220_000}))).outcome == "delivered"
