"""What waits in groups, and the last digests, read from the ledger."""

import json
from dataclasses import replace

import pytest

from deploy.history.destinations import (
    MAX_DIGESTS,
    DigestView,
    Resumed,
    WaitingGroup,
    read_destinations,
    resume_destination,
)
from deploy.history.digests import digest_document, find_digest
from deploy.history.journal_view import DeadLetterRow
from deploy.history.replay import make_dead_letter_replay
from deploy.history.stored_messages import merged_count
from functions.notify.digests.settings import Digest, GatherSettings
from shared.dead_letter_message import dead_letter_from
from shared.delivery import Delivery, Failed
from shared.jsontext import JsonObject
from shared.ledger import Claimed, Settlement
from shared.ledger_rules import DELIVERED, RETRY_SCHEDULED
from shared.outcomes import DeliveryState
from shared.times import rfc3339
from tests.fakes.deliveries import message_of
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier

NOW = 1_790_000_000.0
DIGEST_ID = "d1" * 16
NOTIFY: JsonObject = {
    "destinations": {
        "pusher": {
            "kind": "email",
            "settings": {},
            "retry_seconds": [],
            "timeout_seconds": 15,
            "on_unknown": "resend",
            "recipient": {"address": "email", "path": "actor"},
            "gather": {"digest": {"every_seconds": 900, "by": "data.repository"}},
        },
        "crm": {"kind": "webhook", "settings": {}, "retry_seconds": [], "timeout_seconds": 15, "on_unknown": "resend"},
    },
    "people": {"rows": [{"name": "ann", "email": "ann@example.com", "aliases": ["ann-gh"]}], "providers": {}},
}


def delivery(number: int, repository: str | None = "orchard", actor: str = "ann-gh", merged: int = 0) -> Delivery:
    event = replace(EVENT, id=f"{number:032x}", data={"repository": repository}, actor=actor)
    return Delivery(event, "failed builds", "pusher", merged=merged)


async def gather(ledger: FakeLedger, of: Delivery, group: str, at: float, until: float) -> None:
    await ledger.gather(of, message_of(of, at), group, "it waits for the next digest", at, until)


async def send_digest(
    ledger: FakeLedger, event_id: str, count: int, at: float, state: DeliveryState = DELIVERED
) -> None:
    digest = replace(delivery(0, merged=count), event=replace(EVENT, id=event_id))
    claim = await ledger.claim(digest, message_of(digest, at), at, 30.0)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, Settlement(state, at + 1, retry_at=at + 60))


async def test_a_destination_shows_each_group_that_waits_its_key_its_person_and_until_when() -> None:
    ledger = FakeLedger()
    await gather(ledger, delivery(1), "g1", NOW - 500, NOW + 60.5)
    await gather(ledger, delivery(2), "g1", NOW - 400, NOW + 62)
    await gather(ledger, delivery(3, "cellar"), "g2", NOW - 300, NOW + 30)
    await gather(ledger, delivery(4, None, "nobody"), "g3", NOW - 200, NOW + 90)
    await send_digest(ledger, "e" * 32, 7, NOW - 1_000, RETRY_SCHEDULED)
    [view] = await read_destinations(ledger, {"pusher": {}}, NOW, NOTIFY)
    why = "it waits for the next digest"
    assert view.groups == (
        WaitingGroup(1, NOW - 300, NOW + 30, why, "cellar", "ann"),
        WaitingGroup(2, NOW - 500, NOW + 60.5, why, "orchard", "ann"),
        WaitingGroup(1, NOW - 200, NOW + 90, why, None, None),
    )
    assert (view.waiting, view.gathered, view.next_try_at, view.reason) == (5, 4, NOW - 940, "")


async def test_without_the_configuration_and_of_damaged_rows_a_group_has_its_numbers_only() -> None:
    ledger = FakeLedger()
    await ledger.gather(delivery(1), b"{damaged", "g1", "why", NOW, NOW + 60)
    damaged: JsonObject = {"destinations": {"pusher": 7}}
    for notify in (None, NOTIFY, damaged):
        [view] = await read_destinations(ledger, {"pusher": {}}, NOW, notify)
        assert view.groups == (WaitingGroup(1, NOW, NOW + 60, "why"),)


async def test_the_last_digests_say_how_much_they_stand_for_and_newer_deliveries_do_not_hide_them() -> None:
    ledger = FakeLedger()
    for number in range(MAX_DIGESTS + 1):
        await send_digest(ledger, f"{number:032x}", 10 + number, NOW - 1_000 + number)
    for number in range(150):
        await gather(ledger, delivery(1_000 + number), "g1", NOW - 100 + number / 10, NOW + 60)
    [view] = await read_destinations(ledger, {"pusher": {}}, NOW, NOTIFY)
    assert [each.count for each in view.digests] == [15, 14, 13, 12, 11]
    assert view.digests[0] == DigestView(f"{5:032x}", 15, DELIVERED, NOW - 995, NOW - 994)
    assert (view.gathered, view.is_more) == (100, True)


async def test_a_digest_is_found_by_its_id_with_the_deliveries_that_it_stands_for() -> None:
    ledger = FakeLedger()
    for number in range(3):
        await gather(ledger, delivery(number), "g1", NOW + number, NOW + 60)
    moves = [(row.key, row.fence) for row in await ledger.due(NOW + 60, 10)]
    await ledger.merge_all(moves[:2], NOW + 61, DIGEST_ID)
    await send_digest(ledger, DIGEST_ID, 2, NOW + 61)
    digest = await find_digest(ledger, DIGEST_ID, ())
    assert digest is not None
    assert (digest.count, digest.record.summary.status, digest.event) == (2, "delivered", None)
    assert {row.event_id for row in digest.members} == {f"{0:032x}", f"{1:032x}"}
    document = digest_document(digest)
    assert isinstance(document["digest"], dict)
    assert (document["digest"]["count"], len(document["deliveries"])) == (2, 1)  # type: ignore[arg-type] # a list
    assert await find_digest(ledger, f"{0:032x}", ()) is None  # an event of a sender


async def test_the_content_of_a_dead_lettered_digest_is_in_its_dead_letter() -> None:
    ledger = FakeLedger()
    await send_digest(ledger, DIGEST_ID, 2, NOW, "dead_lettered")
    message = message_of(replace(delivery(0, merged=2), event=replace(EVENT, id=DIGEST_ID)), NOW)
    names = "deliveries", DIGEST_ID, "failed builds", "pusher", "kept"
    letter = DeadLetterRow(1, "d", "mail_rejected", "no such user", NOW, message, *names)
    digest = await find_digest(ledger, DIGEST_ID, (letter,))
    assert digest is not None
    assert digest.event is not None
    assert (digest.event.id, digest.record.dead_letters) == (DIGEST_ID, (letter,))


async def test_a_destination_that_is_resumed_keeps_the_time_of_its_digests() -> None:
    ledger = FakeLedger()
    await gather(ledger, delivery(1), "g1", NOW - 10, NOW + 600)
    await ledger.disable("pusher", "paused by an operator", NOW)
    assert await resume_destination(ledger, "pusher", NOW) == Resumed(released=0, hastened=0, delay_seconds=0)
    assert [row.retry_at for row in ledger.table.values()] == [NOW + 600]


async def test_a_dead_lettered_digest_is_replayed_whole_and_its_letter_says_how_much_it_stands_for() -> None:
    crm = FakeDestination(Failed("request_rejected", "no"))
    settings = Options(gather=GatherSettings(digest=Digest(900.0, None)))
    notifier = FakeNotifier(crm, FakeDestinations({"crm": crm}, options={"crm": settings}))
    for number in range(3):
        received = rfc3339(notifier.clock.now())
        await notifier.take(Delivery(replace(EVENT, id=f"{number:032x}", receivedat=received), "tell", "crm"))
    notifier.clock.advance(960)
    await notifier.sweep_and_take()
    [message] = notifier.dead_letters
    letter = dead_letter_from(json.loads(message.data))
    assert merged_count(letter.message) == 3
    digest = await find_digest(notifier.ledger, letter.event_id, ())
    assert digest is not None
    assert (digest.record.summary.status, len(digest.members)) == ("dead_lettered", 3)

    result = await notifier.take_message(make_dead_letter_replay(letter, "again"))
    assert result.outcome == "delivered"
    assert [each.merged for each in crm.delivered] == [3]
    again = await find_digest(notifier.ledger, letter.event_id, ())
    assert again is not None
    assert (again.record.summary.status, again.rows[0].generation, len(again.members)) == ("delivered", 1, 3)


@pytest.mark.parametrize("message", [b"", b'"merged"', b'{"merged": 3}', b'[{"merged": 1}'])
def test_a_message_that_is_no_digest_stands_for_nothing(message: bytes) -> None:
    assert merged_count(message) == 0
