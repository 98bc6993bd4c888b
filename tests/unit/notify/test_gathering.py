"""Deliveries that wait for others: digests, bursts, quiet hours, and what is over a rate."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from functions.notify.destination import Attempt
from functions.notify.digests.settings import Coalesce, Digest, GatherSettings, QuietHours
from functions.notify.waiting.schedule import DIGEST_RETRY_SECONDS
from shared.delivery import Delivered, Delivery, Disabled, Outcome, RetryLater
from shared.errors import Temporary
from shared.ledger import Move
from shared.times import rfc3339
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier
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


QUARTER = GatherSettings(digest=Digest(900.0, None), line="{{ data.number }}")


class CountingLedger(FakeLedger):
    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        self.moved += len(moves)
        return await super().postpone_all(moves, now)


def notifier_of(crm: FakeDestination, gather: GatherSettings, start: float, **options: object) -> FakeNotifier:
    own = Options(gather=gather)
    own.update(options)  # type: ignore[typeddict-item] # a test's own
    waits = tuple(map(float, DIGEST_RETRY_SECONDS))
    made = FakeNotifier(
        crm, FakeDestinations({"crm": crm}, retry_seconds=waits, options={"crm": own}), ledger=CountingLedger()
    )
    made.clock.time = start
    return made


async def send(notifier: FakeNotifier, number: int) -> None:
    received = rfc3339(notifier.clock.now())
    await notifier.take(
        Delivery(replace(EVENT, id=f"{number:032x}", data={"number": number}, receivedat=received), "r", "crm")
    )


async def pass_minutes(notifier: FakeNotifier, minutes: int, at_once: int = 1) -> None:
    for _ in range(0, minutes, at_once):
        notifier.clock.advance(60.0 * at_once)
        await notifier.sweep_and_take()


@pytest.mark.slow
async def test_ten_thousand_events_in_a_minute_are_in_five_digests_at_most() -> None:
    crm = FakeDestination()
    notifier = notifier_of(crm, QUARTER, 1_790_000_100.0 - 20.0)  # a digest is due meanwhile
    for number in range(10_000):
        notifier.clock.advance(0.006)
        await send(notifier, number)
        if number % 5_000 == 4_999:
            await notifier.sweep_and_take()
    await pass_minutes(notifier, 40)
    counts = {delivery.id: delivery.merged for delivery in crm.delivered}
    assert len(counts) <= 5
    assert sum(counts.values()) == 10_000
    assert isinstance(notifier.ledger, FakeLedger)
    digests = {delivery.event.id for delivery in crm.delivered}
    members = [row for row in notifier.ledger.table.values() if row.state == "merged"]
    assert len(members) == 10_000
    assert {row.group for row in members} == digests


async def test_a_burst_over_a_rate_is_in_few_digests() -> None:
    crm = FakeDestination()
    notifier = notifier_of(crm, GatherSettings(is_rated=True), 1_790_000_100.0, rate=(20, 3_600.0))
    for number in range(2_000):
        notifier.clock.advance(0.03)
        await send(notifier, number)
    await pass_minutes(notifier, 30)
    assert sum(max(1, delivery.merged) for delivery in crm.delivered) == 2_000
    assert len({delivery.id for delivery in crm.delivered}) <= 5


async def test_a_weekend_without_a_mail_server_ends_in_few_digests_soon_after_it_is_back() -> None:
    friday = datetime(2026, 10, 23, 16, tzinfo=UTC).timestamp()  # the clocks are set back on Sunday
    back_at = datetime(2026, 10, 26, 6, 30, tzinfo=UTC).timestamp()

    class Server(FakeDestination):
        async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
            up = attempt.now >= back_at
            self.answers = [Delivered("250") if up else RetryLater("connection refused", 60.0)]
            return await super().attempt(delivery, attempt)

    server = Server()
    night = QuietHours(22 * 60, 7 * 60, "Europe/Berlin")
    notifier = notifier_of(server, QUARTER._replace(quiet_hours=night), friday)
    random, sent = Random(7), 0
    while notifier.clock.now() < back_at + 2 * 3_600:
        if random.random() < 0.3 and notifier.clock.now() < back_at:
            await send(notifier, sent)
            sent += 1
        await pass_minutes(notifier, 3, at_once=3)
    counts = {delivery.id: delivery.merged for delivery in server.delivered}
    assert sent > 300
    assert sum(counts.values()) == sent
    assert len(counts) <= 3
    assert isinstance(notifier.ledger, CountingLedger)
    assert notifier.ledger.moved < 60 * sent  # once an hour, and not each minute
