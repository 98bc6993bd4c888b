"""Deliveries that wait for others: digests, bursts, quiet hours, and what is over a rate.

tests/simulation holds that each event is in one digest, whoever dies.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Unpack
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from functions.notify import message_text
from functions.notify.digests import draft
from functions.notify.digests.quiet_hours import QuietHours, quiet_end
from functions.notify.digests.record import max_members, record_name
from functions.notify.digests.settings import (
    MAX_MESSAGE_BYTES,
    Coalesce,
    Digest,
    GatherSettings,
    gathered_until,
)
from functions.notify.notify import notify
from functions.notify.recipients.people import Listed, Person
from functions.notify.recipients.recipient import Recipients
from functions.notify.registry import RecipientRule
from functions.notify.waiting.sweep import CLOSE_SECONDS, SWEEP_SECONDS
from shared.delivery import Delivery, Disabled, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject, mapping_at, objects_at
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES
from shared.store_ports import Kept
from shared.times import rfc3339, unix_seconds
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import Answer, FakeDestination, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, message_of, push_of
from tests.fakes.people import FakePeople

START = 1_790_000_100.0  # a multiple of 900
DIGEST = GatherSettings(digest=Digest(900.0, "data.computer"))


def notifier_of(gather: GatherSettings, /, *answers: Answer, **options: Unpack[Options]) -> FakeNotifier:
    options["gather"] = gather
    made = FakeNotifier(FakeDestination(*answers), options=options, others={"other": FakeDestination()})
    made.clock.time = START
    return made


def event(notifier: FakeNotifier, number: int, data: Json = None, destination: str = "crm") -> Delivery:
    own = replace(
        EVENT,
        id=f"{number:032x}",
        data={"computer": "a", "number": 1} if data is None else data,
        receivedat=rfc3339(notifier.clock.now()),
        actor="ada",
    )
    return Delivery(own, "tell the list", destination)


async def pass_time(notifier: FakeNotifier, seconds: float, step: float = 60.0) -> None:
    end = notifier.clock.now() + seconds
    while notifier.clock.now() < end:
        notifier.clock.advance(step)
        await notifier.sweep_and_take()


def states(notifier: FakeNotifier) -> list[str]:
    assert isinstance(notifier.ledger, FakeLedger)
    return sorted(row.state for row in notifier.ledger.table.values())


def data_of(delivery: Delivery) -> JsonObject:
    return mapping_at(delivery.event.data)


# Digests


async def test_events_of_a_quarter_of_an_hour_are_one_delivery_with_a_line_for_each() -> None:
    notifier = notifier_of(DIGEST._replace(line="{{ data.computer }} is {{ data.state }}"))
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
    assert [each["line"] for each in objects_at(data, "events")] == ["a is s2", "a is s1", "a is s0"]
    assert (data["from"], data["to"]) == (rfc3339(START + 10), rfc3339(START + 30))
    assert states(notifier) == ["delivered", "merged", "merged", "merged"]


async def test_each_key_has_a_digest_of_its_own() -> None:
    notifier = notifier_of(DIGEST)
    for number in range(6):
        await notifier.take(event(notifier, number, {"computer": ["a", "b", None][number % 3]}))
    await pass_time(notifier, 960)
    digests = [(str(data_of(each)["by"]), each.merged) for each in notifier.crm.delivered]
    assert sorted(digests) == [("None", 2), ("a", 2), ("b", 2)]


async def test_what_comes_alone_is_delivered_as_it_is() -> None:
    notifier = notifier_of(DIGEST)
    alone = event(notifier, 1, {"computer": "a"})
    await notifier.take(alone)
    await pass_time(notifier, 960)
    [delivered] = notifier.crm.delivered
    assert delivered.event == replace(alone.event, id=delivered.event.id)
    assert delivered.event.id != alone.event.id
    assert (delivered.merged, delivered.route) == (1, alone.route)


async def test_a_digest_lists_the_newest_events_and_counts_all_of_them() -> None:
    notifier = notifier_of(DIGEST._replace(max_events=2))
    for number in range(5):
        notifier.clock.advance(1)
        await notifier.take(event(notifier, number, {"title": f"t{number}"}))
    await pass_time(notifier, 960)
    data = data_of(notifier.crm.delivered[0])
    assert data["count"] == 5
    assert [each["id"] for each in objects_at(data, "events")] == [f"{4:032x}", f"{3:032x}"]


async def test_a_line_that_does_not_fit_an_event_is_replaced_by_one_of_ours() -> None:
    notifier = notifier_of(DIGEST._replace(line="{{ data.missing }}"))
    for number in range(2):
        await notifier.take(event(notifier, number, {"title": "<b>x</b>"}))
    await pass_time(notifier, 960)
    [digest] = notifier.crm.delivered
    assert "<b>x</b> · by ada" in str(data_of(digest)["events"])


async def test_a_replay_that_is_forced_is_part_of_another_digest() -> None:
    notifier = notifier_of(DIGEST)
    first, again = event(notifier, 1), event(notifier, 2)
    for delivery in (first, again):
        await notifier.take(delivery)
    await pass_time(notifier, 960)
    for _ in range(2):
        await notifier.take(again, replay="r1", force="true")
    await pass_time(notifier, 960)
    assert [each.merged for each in notifier.crm.delivered] == [2, 1]


# One at a time


async def test_while_a_digest_is_not_delivered_what_comes_later_waits_for_the_next_one() -> None:
    notifier = notifier_of(DIGEST, RetryLater("down"), retry_seconds=(2_000.0,))
    for period in range(4):
        for number in range(5):
            await notifier.take(event(notifier, 5 * period + number))
        await pass_time(notifier, 900)
    await pass_time(notifier, 900)
    assert [each.merged for each in notifier.crm.delivered] == [5, 10, 5]


async def test_while_the_destination_is_disabled_members_wait_and_follow_its_release() -> None:
    notifier = notifier_of(DIGEST, Disabled("out of order"))
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
    notifier = notifier_of(DIGEST)
    await notifier.take(event(notifier, 1))
    notifier.clock.advance(960)
    await notifier.sweep()  # nobody takes what it published
    await notifier.take(event(notifier, 2))
    await pass_time(notifier, 1_800)
    assert [each.merged for each in notifier.crm.delivered] == [1, 1]


async def test_a_destination_that_gathers_no_more_gets_what_waited_one_by_one() -> None:
    notifier = notifier_of(DIGEST)
    for number in range(3):
        await notifier.take(event(notifier, number))
    notifier.options = {}
    notifier.start()
    await pass_time(notifier, 960)
    assert [each.merged for each in notifier.crm.delivered] == [0, 0, 0]


BURST = Coalesce("data.number", 30.0, 300.0, "last")


# Bursts


@pytest.mark.parametrize(("keep", "state"), [("first", 0), ("last", 2)])
async def test_a_burst_on_one_key_becomes_the_event_that_keep_says_with_its_count(keep: str, state: int) -> None:
    notifier = notifier_of(GatherSettings(coalesce=BURST._replace(keep=keep)))
    for number in range(3):
        await notifier.take(event(notifier, number, {"number": 17, "state": number}))
        notifier.clock.advance(1)
    await pass_time(notifier, 60, 5.0)
    [delivered] = notifier.crm.delivered
    assert (delivered.event.data, delivered.merged) == ({"number": 17, "state": state}, 3)


async def test_keep_all_delivers_the_data_of_all_events_and_says_how_many_have_no_room() -> None:
    notifier = notifier_of(GatherSettings(coalesce=BURST._replace(keep="all")))
    for number in range(3):
        await notifier.take(event(notifier, number, {"number": 17, "state": number}))
        notifier.clock.advance(1)
    await notifier.take(event(notifier, 4, {"number": 17, "long": "x" * 150_000}))
    await pass_time(notifier, 60, 5.0)
    [delivered] = notifier.crm.delivered
    assert delivered.event.type == "hookchain.coalesced"
    data = data_of(delivered)
    assert (data["count"], data["omitted"], data["by"]) == (4, 1, "17")


@pytest.mark.parametrize("parts", [False, True], ids=["items of a batch", "parts of a split event"])
@pytest.mark.parametrize("keep", ["first", "last", "all"])
async def test_the_events_of_one_request_keep_their_order_in_a_burst(keep: str, parts: bool) -> None:
    notifier = notifier_of(GatherSettings(coalesce=BURST._replace(keep=keep)))
    count = 12
    for number in [*range(count)][::-1]:  # the bus may bring them in any order
        delivery = event(notifier, number, {"number": 17, "state": number})
        id_ = f"{1:032x}-{number + 1}" if parts else delivery.event.id
        own = replace(delivery.event, id=id_, item=0 if parts else number + 1)
        await notifier.take(Delivery(own, delivery.route, delivery.destination))
    await pass_time(notifier, 60, 5.0)
    [delivered] = notifier.crm.delivered
    data = data_of(delivered)
    states = [each["state"] for each in (objects_at(data, "events") if keep == "all" else [data])]
    assert states == {"first": [0], "last": [count - 1], "all": [*range(count)]}[keep]


async def test_a_burst_without_end_is_delivered_once_it_took_max_wait() -> None:
    notifier = notifier_of(GatherSettings(coalesce=BURST._replace(max_wait_seconds=60.0)))
    for number in range(40):
        await notifier.take(event(notifier, number))
        notifier.clock.advance(5)
        await notifier.sweep_and_take()
    counts = [each.merged for each in notifier.crm.delivered]
    assert 2 <= len(counts) <= 4
    assert all(count >= 9 for count in counts)


async def test_an_event_without_the_key_of_a_burst_is_delivered_at_once() -> None:
    notifier = notifier_of(GatherSettings(coalesce=BURST))
    assert (await notifier.take(event(notifier, 1, {"title": "x"}))).outcome == "delivered"


# Quiet hours

NIGHT = GatherSettings(quiet_hours=QuietHours(22 * 60, 7 * 60, None))
EVENING = START - START % 86_400 + 21 * 3_600


async def test_nothing_goes_out_at_night_and_the_morning_has_one_digest() -> None:
    notifier = notifier_of(NIGHT)
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
    notifier = notifier_of(NIGHT, RetryLater("down"))
    notifier.clock.time = EVENING + 3_590
    await notifier.take(event(notifier, 0))
    await pass_time(notifier, 3_600)
    assert len(notifier.crm.attempts) == 1
    await pass_time(notifier, 8.2 * 3_600, 300.0)
    assert [each.merged for each in notifier.crm.delivered] == [1]


# Over the rate


async def test_what_is_over_the_rate_goes_out_together_once_the_rate_allows_it() -> None:
    notifier = notifier_of(GatherSettings(is_rated=True), rate=(20, 3_600.0))
    outcomes = [(await notifier.take(event(notifier, number))).outcome for number in range(50)]
    assert outcomes == ["delivered", *["gathered"] * 49]
    await pass_time(notifier, 1_200, 5.0)
    assert [each.merged for each in notifier.crm.delivered] == [0, 49]


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Africa/Casablanca",
)
minutes = st.integers(0, 24 * 60 - 1)
moments = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2030, 1, 1, tzinfo=UTC).timestamp())
)


def wall(at: float, zone: str) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone))


def is_quiet(hours: QuietHours, at: float, zone: str) -> bool:
    minute = wall(at, zone).hour * 60 + wall(at, zone).minute
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return not hours.end <= minute < hours.begin


@given(moments, minutes, minutes, st.sampled_from(ZONES))
def test_quiet_hours_end_at_the_first_moment_that_is_not_quiet(now: int, begin: int, end: int, zone: str) -> None:
    if begin == end:
        return
    hours = QuietHours(begin, end, zone)
    until = quiet_end(hours, float(now))
    if not is_quiet(hours, now, zone):
        assert until is None
        return
    assert until is not None
    assert now < until <= now + 49 * 3_600  # a day was skipped at Apia
    assert not is_quiet(hours, until, zone)
    assert all(is_quiet(hours, at, zone) for at in range(now, int(until), 120))


@pytest.mark.parametrize(
    ("begin", "end", "now", "expected"),
    [
        ("22:00", "07:00", "2026-03-28T22:00:00+01:00", "2026-03-29T07:00:00+02:00"),  # an hour shorter
        ("22:00", "07:00", "2026-10-24T22:00:00+02:00", "2026-10-25T07:00:00+01:00"),  # an hour longer
        ("04:50", "04:37", "2026-03-28T23:00:00+01:00", "2026-03-29T04:37:00+02:00"),  # a pause shorter than the change
        ("02:45", "02:30", "2026-03-28T23:00:00+01:00", "2026-03-30T02:30:00+02:00"),  # a pause that the clock skips
        ("22:00", "02:30", "2026-03-28T23:00:00+01:00", "2026-03-29T03:00:00+02:00"),  # an end that the clock skips
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall_across_its_change(
    begin: str, end: str, now: str, expected: str
) -> None:
    begin_minute, end_minute = [int(each[:2]) * 60 + int(each[3:]) for each in (begin, end)]
    hours = QuietHours(begin_minute, end_minute, "Europe/Berlin")
    assert quiet_end(hours, unix_seconds(now)) == unix_seconds(expected)


def test_the_recipients_time_zone_counts_where_the_destination_names_none() -> None:
    at_noon = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
    night = QuietHours(22 * 60, 7 * 60, None)
    assert quiet_end(night, at_noon) is None
    assert quiet_end(night, at_noon, "Asia/Tokyo") is None
    assert quiet_end(night, at_noon, "Australia/Sydney") == at_noon + timedelta(hours=8).total_seconds()
    assert quiet_end(night._replace(timezone="UTC"), at_noon, "Australia/Sydney") is None
    assert quiet_end(night, at_noon, "Nowhere/Land") is None


@given(st.floats(1e9, 2e9), st.sampled_from([1.0, 60.0, 420.0, 900.0, 3_600.0, 25_200.0, 86_400.0]))
def test_a_digest_is_due_at_the_next_multiple_of_its_interval(now: float, every: float) -> None:
    until = gathered_until(GatherSettings(digest=Digest(every, None)), now)
    assert until is not None
    assert now < until <= now + every
    assert until % every == 0


async def test_the_rest_of_a_large_group_is_found_however_long_it_waited() -> None:
    notifier = notifier_of(DIGEST)
    sweeper = notifier.new_sweeper()
    for number in range(3):
        await notifier.take(event(notifier, number))
    await sweeper.sweep()
    notifier.clock.advance(3_000)  # nobody swept
    most = draft.Draft.__init__

    def of_two(self: draft.Draft, *args: object) -> None:
        most(self, *args)  # type: ignore[arg-type] # as it is called
        self._max_members = 2

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(draft.Draft, "__init__", of_two)
        for _ in range(4):
            before = len(notifier.bus.on(DELIVERIES))
            await sweeper.sweep()
            for message in notifier.bus.on(DELIVERIES)[before:]:
                await notifier.take_message(message)
            notifier.clock.advance(60)
    assert [each.merged for each in notifier.crm.delivered] == [2, 1]


async def test_many_groups_leave_time_for_what_goes_out_by_itself() -> None:
    class SlowLedger(FakeLedger):
        async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
            notifier.clock.advance(1.0)
            return await super().due(now, limit, since)

    others = {"other": FakeDestination(RetryLater("down"))}
    notifier = FakeNotifier(options=Options(gather=DIGEST), others=others, ledger=SlowLedger())
    sweeper = notifier.new_sweeper()
    for number in range(600):
        await notifier.take(event(notifier, number, {"computer": str(number)}))
    await notifier.take(event(notifier, 9_999, destination="other"))
    notifier.clock.advance(910)
    begun = notifier.clock.now()
    await sweeper.sweep()
    assert notifier.clock.now() - begun <= SWEEP_SECONDS + CLOSE_SECONDS
    alone = [message for message in notifier.bus.on(DELIVERIES) if "due" in message.attributes]
    assert len(alone) == 1
    for _ in range(12):
        notifier.clock.advance(60)
        await sweeper.sweep()
    assert len(notifier.bus.on(DELIVERIES)) >= 601


COALESCED = GatherSettings(coalesce=Coalesce("data.computer", 30.0, 300.0, "last"))
ALL = GatherSettings(coalesce=Coalesce("data.computer", 30.0, 300.0, "all"))
ALL_DAY = QuietHours(0, 1_439, None)


async def take_raw(notifier: FakeNotifier, delivery: Delivery, extra: bytes) -> str:
    """Take the delivery with a further field of its data, given as JSON."""
    raw = message_of(delivery, notifier.clock.now()).replace(b'"computer"', b'"x": ' + extra + b', "computer"', 1)
    return (await notify(push_of(raw), notifier.parts)).outcome


# One group holds up no other


@pytest.mark.parametrize("gather", [DIGEST, COALESCED, ALL])
@pytest.mark.parametrize("extra", [b'"\\ud800"', b"1e999", b"[" + b",".join([b"1e15"] * 40_000) + b"]"])
async def test_an_event_that_cannot_be_written_as_is_comes_all_the_same(gather: GatherSettings, extra: bytes) -> None:
    notifier = notifier_of(gather)
    await take_raw(notifier, event(notifier, 1), extra)
    await notifier.take(event(notifier, 2))
    await pass_time(notifier, 1_000)
    assert sum(each.merged or 1 for each in notifier.crm.delivered) == 2


async def test_a_record_that_cannot_be_read_holds_up_its_own_group_and_is_reported() -> None:
    notifier = notifier_of(DIGEST)
    await notifier.take(event(notifier, 1, {"computer": "a"}))
    await notifier.take(event(notifier, 2, {"computer": "b"}))
    [first, _] = await notifier.ledger.rows(9)
    notifier.records.kept[record_name(first.group)] = Kept("{", 1e12)
    await notifier.take(event(notifier, 3, destination="other"))
    notifier.clock.advance(910)
    with pytest.raises(Temporary, match="internal_error"):
        await notifier.sweep()
    assert len(notifier.bus.on(DELIVERIES)) == 1
    assert states(notifier) == ["delivered", "merged", "retry_scheduled"]


def test_a_default_line_is_never_blank() -> None:
    blank = replace(EVENT, data={}, subject=" ", actor=None)
    assert message_text.default_line(blank) == message_text.title_of(blank)


async def test_lines_whose_templates_compute_for_long_are_ours_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr(draft, "process_time", lambda: float(next(seconds)))
    notifier = notifier_of(DIGEST._replace(line="slow {{ data.computer }}"))
    for number in range(20):
        await notifier.take(event(notifier, number))
    await pass_time(notifier, 1_000)
    [delivered] = notifier.crm.delivered
    assert 1 <= str(data_of(delivered)["events"]).count("slow a") <= 3
    assert delivered.merged == 20


# A digest is for whom its members were


async def test_a_name_that_becomes_another_persons_takes_no_others_events_along() -> None:
    ada, eve = Person("ada", email="ada@example.com"), Person("eve", email="eve@example.com")
    people = FakePeople(Listed(ada, ("ada-one", "ada-two")), Listed(eve))
    notifier = notifier_of(DIGEST, recipient=RecipientRule(address="email", path="actor"))
    notifier.recipients = Recipients(people, FakeBlobs())
    notifier.start()
    for number, actor in enumerate(["ada-one", "ada-two"]):
        delivery = event(notifier, number)
        await notifier.take(replace(delivery, event=replace(delivery.event, actor=actor)))
        notifier.clock.advance(1)
    notifier.recipients = Recipients(FakePeople(Listed(ada, ("ada-two",)), Listed(eve, ("ada-one",))), FakeBlobs())
    notifier.start()
    await pass_time(notifier, 2_000)
    attempts = zip(notifier.crm.delivered, notifier.crm.attempts, strict=True)
    names = {delivery.event.actor: attempt.person and attempt.person.name for delivery, attempt in attempts}
    assert names == {"ada-one": "eve", "ada-two": "ada"}


async def test_members_whose_person_is_gone_end_one_by_one() -> None:
    notifier = notifier_of(DIGEST, recipient=RecipientRule(address="email", path="actor"))
    notifier.recipients = Recipients(FakePeople(Listed(Person("ada", email="ada@example.com"))), FakeBlobs())
    notifier.start()
    for number in range(2):
        await notifier.take(event(notifier, number))
    notifier.recipients = Recipients(FakePeople(), FakeBlobs())
    notifier.start()
    await pass_time(notifier, 960)
    assert states(notifier) == ["dead_lettered"] * 2


# Nothing at night


@pytest.mark.parametrize(
    ("gather", "data"),
    [
        (GatherSettings(quiet_hours=ALL_DAY), {"computer": "x" * 220_000}),
        (COALESCED._replace(quiet_hours=ALL_DAY), {"no": "key"}),
    ],
)
async def test_what_is_not_gathered_waits_for_the_morning_by_itself(gather: GatherSettings, data: Json) -> None:
    notifier = notifier_of(gather)
    notifier.clock.time = START - START % 86_400 + 3_600
    assert (await notifier.take(event(notifier, 1, data))).outcome == "deferred"
    await pass_time(notifier, 22 * 3_600)
    assert notifier.crm.attempts == []
    await pass_time(notifier, 3_600)
    [attempt] = notifier.crm.attempts
    assert attempt.now % 86_400 >= 86_340


@pytest.mark.parametrize(
    ("gather", "age"),
    [(DIGEST, 70), (GatherSettings(quiet_hours=ALL_DAY), 50)],
    ids=["it has expired", "it expires before the morning"],
)
async def test_an_event_that_expires_before_it_can_be_sent_is_given_up_on_at_once(
    gather: GatherSettings, age: float
) -> None:
    notifier = notifier_of(gather, expires_after_seconds=60.0)
    late = event(notifier, 1)
    notifier.clock.advance(age)
    result = await notifier.take(late)
    assert (result.outcome, result.code, notifier.crm.attempts) == ("dead_lettered", "expired", [])


def test_the_page_says_how_many_deliveries_a_digest_and_a_burst_can_have() -> None:
    page = " ".join(Path("functions/notify/docs/digests.md").read_text(encoding="utf-8").split())
    digest, burst, whole = (
        f"{max_members(content_bytes + draft.ROOM_BYTES) // 100 * 100:,}"
        for content_bytes in (draft.MAX_DIGEST_BYTES, MAX_MESSAGE_BYTES, draft.MAX_COALESCED_BYTES)
    )
    assert f"can represent about {digest} deliveries, and a burst about {burst}, or about {whole} with" in page
    assert f"[the data of the newest events](#bursts), up to {draft.MAX_COALESCED_EVENTS:,} of them" in page
