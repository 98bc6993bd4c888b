"""Closing groups: of many, and with hostile members. tests/simulation holds that each event is in one digest."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from functions.notify.digests import draft
from functions.notify.digests.record import record_name
from functions.notify.digests.settings import Coalesce, GatherSettings, QuietHours
from functions.notify.notify import notify
from functions.notify.recipients.people import Listed, Person
from functions.notify.recipients.recipient import Recipients
from functions.notify.registry import Recipient
from functions.notify.waiting.sweep import CLOSE_SECONDS, SWEEP_SECONDS
from shared.delivery import Delivery, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES
from shared.store_ports import Kept
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier, message_of, push_of
from tests.fakes.people import FakePeople
from tests.unit.notify.test_gathering import DIGEST, START, data_of, event, notifier_of, pass_time, states


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

    crm, broken = FakeDestination(), FakeDestination(RetryLater("down"))
    destinations = FakeDestinations({"crm": crm, "other": broken}, options={"crm": Options(gather=DIGEST)})
    notifier = FakeNotifier(crm, destinations, ledger=SlowLedger())
    sweeper = notifier.new_sweeper()
    for number in range(1_500):
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
    assert len(notifier.bus.on(DELIVERIES)) >= 1_501


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
    [first, _] = await notifier.ledger.rows(9)
    notifier.records.kept[record_name(first.group)] = Kept("{", 1e12)
    await notifier.take(event(notifier, 3, destination="other"))
    notifier.clock.advance(910)
    with pytest.raises(Temporary, match="internal_error"):
        await notifier.sweep()
    assert len(notifier.bus.on(DELIVERIES)) == 1
    assert states(notifier) == ["delivered", "merged", "retry_scheduled"]


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
    notifier = notifier_of(DIGEST, recipient=Recipient(address="email", path="actor"))
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
