"""Events that are made to hurt a group, and groups that fail: they hold up no other, and nothing goes out at night."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from functions.notify.gathering import draft
from functions.notify.gathering.closing import Closer
from functions.notify.gathering.due import DueAlone, listed
from functions.notify.gathering.record import record_name
from functions.notify.gathering.settings import Coalesce, Digest, GatherSettings, QuietHours
from functions.notify.notify import notify
from functions.notify.people import Listed, Person
from functions.notify.recipient import Recipients
from functions.notify.registry import Recipient
from functions.notify.sweep import CLOSE_SECONDS, Sweeper
from functions.notify.sweep_run import SWEEP_SECONDS
from shared.delivery import Delivery, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES, BusMessage, Kept
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import Answer, FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, message_of, push_of
from tests.fakes.people import FakePeople

START = 1_790_000_100.0  # a multiple of 900
DIGEST = GatherSettings(digest=Digest(900.0, "data.computer"))
BURST = GatherSettings(coalesce=Coalesce("data.computer", 30.0, 300.0, "last"))
ALL = GatherSettings(coalesce=Coalesce("data.computer", 30.0, 300.0, "all"))
NIGHT = QuietHours(0, 1_439, None)


class CountingLedger(FakeLedger):
    """Counts the reads of what is due; each takes `read_seconds` on the clock of the notifier."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.rows_read = 0
        self.read_seconds = 0.0
        self.notifier: FakeNotifier | None = None

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        self.reads += 1
        if self.notifier is not None:
            self.notifier.clock.advance(self.read_seconds)
        found = await super().due(now, limit, since)
        self.rows_read += len(found)
        return found


def notifier_of(gather: GatherSettings, *answers: Answer, **options: object) -> FakeNotifier:
    crm, other = FakeDestination(*answers), FakeDestination()
    own = Options(gather=gather)
    own.update(options)  # type: ignore[typeddict-item] # a test's own
    made = FakeNotifier(
        crm, FakeDestinations({"crm": crm, "other": other}, options={"crm": own}), ledger=CountingLedger()
    )
    made.clock.time = START
    assert isinstance(made.ledger, CountingLedger)
    made.ledger.notifier = made
    return made


def event(notifier: FakeNotifier, number: int, data: Json = None, destination: str = "crm") -> Delivery:
    own = replace(
        EVENT,
        id=f"{number:032x}",
        data={"computer": "a"} if data is None else data,
        receivedat=rfc3339(notifier.clock.now()),
        actor="ada",
    )
    return Delivery(own, "tell the list", destination)


async def take_raw(notifier: FakeNotifier, delivery: Delivery, extra: bytes) -> str:
    """Take the delivery with a further field of its data, given as JSON."""
    raw = message_of(delivery, notifier.clock.now()).replace(b'"computer"', b'"x": ' + extra + b', "computer"', 1)
    return (await notify(push_of(raw), notifier.parts)).outcome


async def pass_time(notifier: FakeNotifier, seconds: float) -> None:
    end = notifier.clock.now() + seconds
    while notifier.clock.now() < end:
        notifier.clock.advance(60.0)
        await notifier.sweep_and_take()


def ledger_of(notifier: FakeNotifier) -> CountingLedger:
    assert isinstance(notifier.ledger, CountingLedger)
    return notifier.ledger


# One group holds up no other


@pytest.mark.parametrize("gather", [DIGEST, BURST, ALL])
@pytest.mark.parametrize("extra", [b'"\\ud800"', b"1e999", b"[" + b",".join([b"1e15"] * 40_000) + b"]"])
async def test_an_event_that_cannot_be_written_as_it_is_comes_all_the_same(
    gather: GatherSettings, extra: bytes
) -> None:
    notifier = notifier_of(gather)
    await take_raw(notifier, event(notifier, 1), extra)
    await notifier.take(event(notifier, 2))
    await pass_time(notifier, 1_000)
    assert sum(each.merged or 1 for each in notifier.crm.delivered) == 2


async def test_a_record_that_cannot_be_read_holds_up_its_own_group_and_is_reported() -> None:
    notifier = notifier_of(DIGEST)
    await notifier.take(event(notifier, 1, {"computer": "a"}))
    await notifier.take(event(notifier, 2, {"computer": "b"}))
    groups = sorted(row.group for row in ledger_of(notifier).table.values())
    notifier.records.kept[record_name(groups[0])] = Kept("{", 1e12)
    await notifier.take(event(notifier, 3, destination="other"))
    notifier.clock.advance(910)
    with pytest.raises(Temporary, match="internal_error"):
        await notifier.sweep()
    assert len(notifier.bus.on(DELIVERIES)) == 1
    states = sorted(row.state for row in ledger_of(notifier).table.values())
    assert states == ["delivered", "merged", "retry_scheduled"]


async def test_an_event_larger_than_a_burst_displaces_no_other() -> None:
    notifier = notifier_of(ALL)
    for number in range(3):
        notifier.clock.advance(1)
        await notifier.take(event(notifier, number))
    notifier.clock.advance(1)
    await notifier.take(event(notifier, 9, {"computer": "a", "x": "x" * 190_000}))
    await pass_time(notifier, 120)
    [delivered] = notifier.crm.delivered
    assert isinstance(delivered.event.data, dict)
    assert (delivered.event.data["count"], delivered.event.data["omitted"]) == (4, 1)


async def test_lines_whose_templates_compute_for_long_are_ours_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr(draft, "process_time", lambda: float(next(seconds)))
    notifier = notifier_of(DIGEST._replace(line="slow {{ data.computer }}"))
    for number in range(20):
        await notifier.take(event(notifier, number))
    await pass_time(notifier, 1_000)
    [delivered] = notifier.crm.delivered
    assert isinstance(delivered.event.data, dict)
    assert 1 <= str(delivered.event.data["events"]).count("slow a") <= 3
    assert delivered.merged == 20


# A digest is for whom its members were


async def test_a_name_that_becomes_another_persons_takes_no_others_events_along() -> None:
    ada, eve = Person("ada", email="ada@example.com"), Person("eve", email="eve@example.com")
    people = FakePeople(Listed(ada, ("ada-one", "ada-two")), Listed(eve))
    notifier = notifier_of(DIGEST, recipient=Recipient(address="email", path="actor"))
    notifier.recipients = Recipients(people, FakeBlobs())
    notifier.start()
    for number, actor in enumerate(["ada-one", "ada-two"]):
        await notifier.take(replace_actor(event(notifier, number), actor))
        notifier.clock.advance(1)
    notifier.recipients = Recipients(FakePeople(Listed(ada, ("ada-two",)), Listed(eve, ("ada-one",))), FakeBlobs())
    notifier.start()
    await pass_time(notifier, 2_000)
    names = {
        delivery.event.actor: attempt.person.name
        for delivery, attempt in zip(notifier.crm.delivered, notifier.crm.attempts, strict=True)
        if isinstance(attempt.person, Person)
    }
    assert names == {"ada-one": "eve", "ada-two": "ada"}


def replace_actor(delivery: Delivery, actor: str) -> Delivery:
    return replace(delivery, event=replace(delivery.event, actor=actor))


async def test_members_are_gathered_anew_where_the_key_of_the_destination_is_another() -> None:
    notifier = notifier_of(GatherSettings(digest=Digest(900.0, None)))
    for number, computer in enumerate("aabb"):
        await notifier.take(event(notifier, number, {"computer": computer}))
    notifier.destinations = FakeDestinations({"crm": notifier.crm}, options={"crm": Options(gather=DIGEST)})
    notifier.start()
    await pass_time(notifier, 2_000)
    found = [
        (each.event.data["by"], each.merged) for each in notifier.crm.delivered if isinstance(each.event.data, dict)
    ]
    assert sorted(found, key=str) == [("a", 2), ("b", 2)]


# Nothing at night


@pytest.mark.parametrize(
    ("gather", "data"),
    [
        (GatherSettings(quiet_hours=NIGHT), {"computer": "x" * 220_000}),
        (BURST._replace(quiet_hours=NIGHT), {"no": "key"}),
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


async def test_what_expires_before_the_morning_is_not_sent_at_night() -> None:
    notifier = notifier_of(GatherSettings(quiet_hours=NIGHT), expires_after_seconds=3_600.0)
    result = await notifier.take(event(notifier, 1))
    assert (result.outcome, result.code) == ("dead_lettered", "expired")
    assert notifier.crm.attempts == []


# Many groups, and many members


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


async def test_looking_ahead_reads_the_members_of_groups_in_pages() -> None:
    notifier = notifier_of(DIGEST)
    for number in range(1_000):
        await notifier.take(event(notifier, number))
    notifier.clock.advance(880)
    closer = Closer(
        notifier.parts.destinations.configured, notifier.ledger, notifier.bus, lambda: notifier.records, notifier.clock
    )
    reads = ledger_of(notifier).reads
    await Sweeper(
        notifier.ledger, notifier.bus, notifier.clock, notifier.clock.sleep, looks_ahead=True, groups=closer
    ).sweep()
    assert ledger_of(notifier).reads - reads < 50


async def test_many_groups_leave_time_for_what_goes_out_by_itself() -> None:
    notifier = notifier_of(DIGEST)
    ledger, sweeper = ledger_of(notifier), notifier.new_sweeper()
    for number in range(3_000):
        await notifier.take(event(notifier, number, {"computer": str(number)}))
    broken = FakeDestination(RetryLater("down"))
    notifier.destinations = FakeDestinations(
        {"crm": notifier.crm, "other": broken}, options={"crm": Options(gather=DIGEST)}
    )
    notifier.start()
    await notifier.take(event(notifier, 9_999, destination="other"))
    notifier.clock.advance(910)
    ledger.read_seconds = 1.0
    begun = notifier.clock.now()
    await sweeper.sweep()
    assert notifier.clock.now() - begun <= SWEEP_SECONDS + CLOSE_SECONDS
    alone = [message for message in notifier.bus.on(DELIVERIES) if "due" in message.attributes]
    assert len(alone) == 1
    for _ in range(12):
        notifier.clock.advance(60)
        await sweeper.sweep()
    published = len(notifier.bus.on(DELIVERIES))
    assert published >= 3_001


async def test_thousands_that_are_due_at_one_time_are_read_a_few_times() -> None:
    notifier = notifier_of(DIGEST)
    ledger = ledger_of(notifier)
    for number in range(4_000):
        await notifier.take(event(notifier, number))
    ledger.table = {key: row._replace(retry_at=START + 900) for key, row in ledger.table.items()}
    found = [row.key async for row in listed(ledger, START + 900, 0.0)]
    assert (len(found), len(set(found))) == (4_000, 4_000)
    assert await DueAlone(ledger, notifier.parts.destinations.configured).due(START + 900, 200) == []
    assert ledger.rows_read < 8 * 4_000


async def test_groups_that_wait_for_one_destination_are_looked_at_again_at_different_times() -> None:
    notifier = notifier_of(DIGEST)
    for again in range(2):
        for number in range(20):
            await notifier.take(event(notifier, 100 * again + number, {"computer": str(number)}))
        await notifier.ledger.disable("crm", "wrong password", notifier.clock.now())
        await pass_time(notifier, 960)
    times = [row.retry_at for row in ledger_of(notifier).table.values() if row.state == "retry_scheduled"]
    assert len(times) == len(set(times)) == 20


async def test_a_large_group_whose_person_is_gone_is_published_a_page_at_a_time() -> None:
    notifier = notifier_of(DIGEST, recipient=Recipient(address="email", path="actor"))
    ada = Listed(Person("ada", email="ada@example.com"))
    notifier.recipients = Recipients(FakePeople(ada), FakeBlobs())
    notifier.start()
    for number in range(500):
        await notifier.take(event(notifier, number))
    notifier.recipients = Recipients(FakePeople(), FakeBlobs())
    notifier.start()
    published: list[int] = []
    publish = notifier.bus.publish

    async def counted(topic: str, messages: Sequence[BusMessage]) -> None:
        published.append(len(messages))
        await publish(topic, messages)

    notifier.bus.publish = counted  # type: ignore[method-assign] # counts
    notifier.clock.advance(910)
    assert await notifier.sweep() == 500
    assert published == [200, 200, 100]
