"""Closing groups: of many, in races, and with hostile members."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.notify.digests import draft
from functions.notify.digests.record import record_name
from functions.notify.digests.settings import Coalesce, Digest, GatherSettings, QuietHours
from functions.notify.notify import notify
from functions.notify.recipients.people import Listed, Person
from functions.notify.recipients.recipient import Recipients
from functions.notify.registry import Recipient
from functions.notify.waiting.sweep import CLOSE_SECONDS, SWEEP_SECONDS
from shared.delivery import Delivery, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES, BusMessage
from shared.store_ports import Answer, DecideRecord, Kept
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, message_of, push_of
from tests.fakes.people import FakePeople
from tests.fakes.records import FakeRecords
from tests.unit.notify.gathering_worlds import DIGEST, START, event, ledger_of, notifier_of, pass_time


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


GATHER = GatherSettings(digest=Digest(60.0, None), max_events=200)


class Died(BaseException):
    """The worker died here."""


class Fate:
    """What becomes of each write: the numbers of those at which the worker dies, before they are done or after."""

    def __init__(self, deaths: Sequence[tuple[int, bool]] = ()) -> None:
        self.deaths = dict(deaths)
        self.count = 0

    async def do(self, write: Callable[[], Awaitable[Answer]]) -> Answer:
        dies_after = self.deaths.get(self.count)
        self.count += 1
        if dies_after is False:
            raise Died
        answer = await write()
        if dies_after:
            raise Died
        return answer


class Records(FakeRecords):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        change = super().change
        return await self._fate.do(lambda: change(name, now, decide))


class Bus(FakeBus):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        publish = super().publish
        await self._fate.do(lambda: publish(topic, messages))


class Ledger(FakeLedger):
    """A row at a time: a worker may die between two members."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | Temporary]:
        def merge(key: str, fence: int) -> Awaitable[bool]:
            return self._fate.do(lambda: self._merge(key, fence, now, digest_id))

        return [await merge(*move) for move in moves]


class World:
    """A destination with digests, and workers that die where fate says so."""

    def __init__(self, deaths: Sequence[tuple[int, bool]] = ()) -> None:
        self.fate = Fate()
        crm = FakeDestination()
        self.notifier = FakeNotifier(
            crm,
            FakeDestinations({"crm": crm}, options={"crm": Options(gather=GATHER)}),
            ledger=Ledger(self.fate),
            bus=Bus(self.fate),
            records=Records(self.fate),
        )
        self.fate.deaths = dict(deaths)
        self.brought = 0
        self.sent: list[str] = []

    async def send(self, number: int) -> None:
        event_id = f"{number:032x}"
        self.sent.append(event_id)
        await self.notifier.take(Delivery(replace(EVENT, id=event_id, data={"number": number}), "r", "crm"))

    async def step(self, seconds: float = 20.0) -> None:
        """Let time pass, then sweep, and take what the bus has; whoever dies is followed by another."""
        self.notifier.clock.advance(seconds)
        with contextlib.suppress(Died):
            await self.notifier.sweep()
        messages = self.notifier.bus.on(DELIVERIES)
        while self.brought < len(messages):
            message = messages[self.brought]
            self.brought += 1
            try:
                await self.notifier.take_message(message)
            except Died:
                self.notifier.bus.sent.append((DELIVERIES, message))
                messages = self.notifier.bus.on(DELIVERIES)

    async def settle(self) -> None:
        for _ in range(120):
            await self.step()
            if all(row.state in {"delivered", "merged"} for row in self.rows()):
                return

    def rows(self) -> list[LedgerRow]:
        assert isinstance(self.notifier.ledger, FakeLedger)
        return list(self.notifier.ledger.table.values())

    def assert_each_event_is_in_one_digest(self) -> None:
        contents: dict[str, str] = {}
        told: Counter[str] = Counter()
        for delivery in self.notifier.crm.delivered:
            data = delivery.event.data
            text = json.dumps([data, delivery.merged], sort_keys=True)
            assert contents.setdefault(delivery.id, text) == text
        for text in contents.values():
            data, merged = json.loads(text)
            ids = [each["id"] for each in data["events"]] if "events" in data else [f"{data['number']:032x}"]
            assert len(ids) == merged
            told.update(ids)
        assert told == Counter(dict.fromkeys(self.sent, 1))


@pytest.mark.parametrize("dies_after", [False, True])
async def test_a_worker_may_die_at_any_write(dies_after: bool) -> None:
    for at in range(12):
        world = World([(at, dies_after)])
        for number in range(4):
            await world.send(number)
        await world.step(75)
        for number in range(4, 7):
            await world.send(number)
        await world.settle()
        world.assert_each_event_is_in_one_digest()


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_deaths_and_copies_leave_each_event_in_one_digest(deaths: list[tuple[int, bool]], seed: int) -> None:
    async def live() -> None:
        random, world = Random(seed), World(deaths)
        for number in range(12):
            for _ in range(random.choice((1, 1, 2))):
                if f"{number:032x}" not in world.sent:
                    await world.send(number)
                else:
                    world.sent.pop(world.sent.index(f"{number:032x}"))
                    await world.send(number)
            if random.random() < 0.5:
                await world.step(random.choice((5, 20, 65)))
        await world.settle()
        world.assert_each_event_is_in_one_digest()

    asyncio.run(live())


async def test_a_sweep_that_was_overtaken_puts_no_event_into_a_second_digest() -> None:
    world = World()
    records = world.notifier.records
    for number in range(3):
        await world.send(number)
    read = records.read
    is_first = True

    async def read_late(name: str) -> str | None:
        nonlocal is_first
        if is_first:  # meanwhile another sweep does all of it
            is_first = False
            await world.step(0)
        return await read(name)

    records.read = read_late  # type: ignore[method-assign] # once
    await world.step(75)
    await world.settle()
    world.assert_each_event_is_in_one_digest()
    assert len(world.notifier.crm.delivered) == 1


async def test_clocks_that_differ_by_minutes_leave_each_event_in_one_digest() -> None:
    world = World()
    clock = world.notifier.clock
    random = Random(3)
    for number in range(40):
        clock.time += (skew := random.uniform(-240, 240))
        await world.send(number)
        await world.notifier.sweep()
        clock.time -= skew
        await world.step(10)
    await world.settle()
    world.assert_each_event_is_in_one_digest()


BURST = GatherSettings(coalesce=Coalesce("data.computer", 30.0, 300.0, "last"))
ALL = GatherSettings(coalesce=Coalesce("data.computer", 30.0, 300.0, "all"))
NIGHT = QuietHours(0, 1_439, None)


async def take_raw(notifier: FakeNotifier, delivery: Delivery, extra: bytes) -> str:
    """Take the delivery with a further field of its data, given as JSON."""
    raw = message_of(delivery, notifier.clock.now()).replace(b'"computer"', b'"x": ' + extra + b', "computer"', 1)
    return (await notify(push_of(raw), notifier.parts)).outcome


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
