"""Many groups and many members: found in pages, and never in the way of what goes out by itself."""

from collections.abc import Sequence

import pytest

from functions.notify.digests import draft
from functions.notify.digests.closing import Closer, listed
from functions.notify.recipients.people import Listed, Person
from functions.notify.recipients.recipient import Recipients
from functions.notify.registry import Recipient
from functions.notify.waiting.sweep import CLOSE_SECONDS, SWEEP_SECONDS
from shared.delivery import RetryLater
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.people import FakePeople
from tests.fakes.records import FakeRecords
from tests.unit.notify.gathering_worlds import DIGEST, START, event, ledger_of, notifier_of


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


async def test_thousands_that_are_due_at_one_time_are_read_a_few_times() -> None:
    notifier = notifier_of(DIGEST)
    ledger = ledger_of(notifier)
    for number in range(4_000):
        await notifier.take(event(notifier, number))
    ledger.table = {key: row._replace(retry_at=START + 900) for key, row in ledger.table.items()}
    found = [row.key async for row in listed(ledger, START + 900, 0.0)]
    assert (len(found), len(set(found))) == (4_000, 4_000)
    closer = Closer(notifier.parts.destinations.configured, ledger, notifier.bus, FakeRecords, notifier.clock)
    assert await closer.due_alone(START + 900, 200) == []
    assert ledger.rows_read < 8 * 4_000


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
