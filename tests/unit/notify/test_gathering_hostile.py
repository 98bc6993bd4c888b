"""Events that are made to hurt a group, and groups that fail: they hold up no other, and nothing goes out at night."""

from dataclasses import replace

import pytest

from functions.notify.digests import draft
from functions.notify.digests.record import record_name
from functions.notify.digests.settings import Coalesce, Digest, GatherSettings, QuietHours
from functions.notify.notify import notify
from functions.notify.recipients.people import Listed, Person
from functions.notify.recipients.recipient import Recipients
from functions.notify.registry import Recipient
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ports import DELIVERIES
from shared.store_ports import Kept
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import FakeDestinations, Options
from tests.fakes.notifier import FakeNotifier, message_of, push_of
from tests.fakes.people import FakePeople
from tests.unit.notify.gathering_worlds import DIGEST, START, event, ledger_of, notifier_of, pass_time

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
