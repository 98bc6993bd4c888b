"""Bursts, quiet hours, and what is over a rate."""

import pytest

from functions.notify.digests.settings import Coalesce, GatherSettings, QuietHours
from shared.delivery import RetryLater
from tests.unit.notify.gathered import START, data_of, event, notifier_with, pass_time

BURST = Coalesce("data.number", 30.0, 300.0, "last")


# Bursts


async def test_a_burst_on_one_key_becomes_its_last_event_with_its_count() -> None:
    notifier = notifier_with(GatherSettings(coalesce=BURST))
    for number in range(4):
        await notifier.take(event(notifier, number, {"number": 17, "state": number}))
        notifier.clock.advance(5)
    await pass_time(notifier, 120, 5.0)
    [delivered] = notifier.crm.delivered
    assert (delivered.event.data, delivered.merged) == ({"number": 17, "state": 3}, 4)


@pytest.mark.parametrize(("keep", "state"), [("first", 0), ("last", 2)])
async def test_keep_says_which_event_of_a_burst_is_delivered(keep: str, state: int) -> None:
    notifier = notifier_with(GatherSettings(coalesce=BURST._replace(keep=keep)))
    for number in range(3):
        await notifier.take(event(notifier, number, {"number": 17, "state": number}))
        notifier.clock.advance(1)
    await pass_time(notifier, 60, 5.0)
    assert [each.event.data for each in notifier.crm.delivered] == [{"number": 17, "state": state}]


async def test_keep_all_delivers_the_data_of_all_events_and_says_how_many_have_no_room() -> None:
    notifier = notifier_with(GatherSettings(coalesce=BURST._replace(keep="all")))
    for number in range(3):
        await notifier.take(event(notifier, number, {"number": 17, "state": number}))
        notifier.clock.advance(1)
    await notifier.take(event(notifier, 4, {"number": 17, "long": "x" * 150_000}))
    await pass_time(notifier, 60, 5.0)
    [delivered] = notifier.crm.delivered
    assert delivered.event.type == "hookchain.coalesced"
    data = data_of(delivered)
    assert (data["count"], data["omitted"], data["by"]) == (4, 1, "17")


async def test_a_burst_without_end_is_delivered_once_it_took_max_wait() -> None:
    notifier = notifier_with(GatherSettings(coalesce=BURST._replace(max_wait_seconds=60.0)))
    for number in range(40):
        await notifier.take(event(notifier, number))
        notifier.clock.advance(5)
        await notifier.sweep_and_take()
    counts = [each.merged for each in notifier.crm.delivered]
    assert 2 <= len(counts) <= 4
    assert all(count >= 9 for count in counts)


async def test_an_event_without_the_key_of_a_burst_is_delivered_at_once() -> None:
    notifier = notifier_with(GatherSettings(coalesce=BURST))
    assert (await notifier.take(event(notifier, 1, {"title": "x"}))).outcome == "delivered"


# Quiet hours

NIGHT = GatherSettings(quiet_hours=QuietHours(22 * 60, 7 * 60, None))
EVENING = START - START % 86_400 + 21 * 3_600


async def test_nothing_goes_out_at_night_and_the_morning_has_one_digest() -> None:
    notifier = notifier_with(NIGHT)
    notifier.clock.time = EVENING
    assert (await notifier.take(event(notifier, 0))).outcome == "delivered"
    notifier.clock.advance(3_700)
    for number in range(1, 4):
        assert (await notifier.take(event(notifier, number))).outcome == "gathered"
    await pass_time(notifier, 8.9 * 3_600, 300.0)
    assert len(notifier.crm.delivered) == 1
    await pass_time(notifier, 600)
    assert [each.merged for each in notifier.crm.delivered] == [0, 3]


async def test_what_fails_in_the_evening_is_not_tried_again_at_night() -> None:
    notifier = notifier_with(NIGHT, RetryLater("down"))
    notifier.clock.time = EVENING + 3_590
    await notifier.take(event(notifier, 0))
    await pass_time(notifier, 3_600)
    assert len(notifier.crm.attempts) == 1
    await pass_time(notifier, 8.2 * 3_600, 300.0)
    assert [each.merged for each in notifier.crm.delivered] == [1]


# Over the rate


async def test_what_is_over_the_rate_goes_out_together_once_the_rate_allows_it() -> None:
    notifier = notifier_with(GatherSettings(is_rated=True), rate=(20, 3_600.0))
    outcomes = [(await notifier.take(event(notifier, number))).outcome for number in range(50)]
    assert outcomes == ["delivered", *["gathered"] * 49]
    await pass_time(notifier, 1_200, 5.0)
    assert [each.merged for each in notifier.crm.delivered] == [0, 49]
