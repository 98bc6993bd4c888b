"""What waits in groups, and the last digests, read from the ledger."""

import json
from dataclasses import replace

import pytest

from deploy.history import resumption
from deploy.history.destinations import (
    MAX_DIGESTS,
    DestinationView,
    DigestView,
    WaitingGroup,
    read_destinations,
)
from deploy.history.digests import digest_document, find_digest
from deploy.history.documents import delivery_document
from deploy.history.forget import digest_ids, is_recorded
from deploy.history.replay import delivered_since, make_dead_letter_replay
from deploy.history.resumption import NOTICE_SECONDS, Resumed, resume_destination
from deploy.history.stored_messages import merged_count
from functions.notify.call import attempt_entry
from functions.notify.digests.record import record_name
from functions.notify.digests.settings import Digest, GatherSettings
from shared.dead_letter_message import dead_letter_from
from shared.delivery import Delivery, Failed, Unknown
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.ledger import PAUSED_BY_OPERATOR, POSTPONE_SECONDS, Claimed, DestinationState, LedgerRow, Settlement
from shared.ledger_rules import DELIVERED, HELD, RETRY_SCHEDULED
from shared.outcomes import DeliveryState
from shared.store_ports import Kept
from shared.times import rfc3339
from tests.fakes.deliveries import message_of, settled
from tests.fakes.destinations import FakeDestination, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, a_delivery
from tests.fakes.records import FakeRecords

NOW = 1_790_000_000.0
SLICE: Json = {"kind": "webhook", "rate": [100, 60], "in_flight": 5, "per": "data.id", "retry_seconds": [5, 90, 7200]}
CAPS = "100/m, 5 at once, per data.id"
SCHEDULE = "4 attempts, after waits of 5 s, 90 s, 2 h"


async def settle(
    ledger: FakeLedger, number: int, state: DeliveryState, at: float, reason: str = "", retry_at: float | None = None
) -> None:
    await settled(ledger, a_delivery(number, "crm"), Settlement(state, at, reason, retry_at=retry_at))


async def test_a_destination_shows_what_waits_for_it_and_when_it_is_tried_next() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "503", NOW + 200)
    await settle(ledger, 2, RETRY_SCHEDULED, NOW - 400, "504", NOW + 100)
    await settle(ledger, 3, DELIVERED, NOW - 3_601)
    await settle(ledger, 4, DELIVERED, NOW - 3_599)
    await settle(ledger, 5, HELD, NOW - 100, "no answer")
    await ledger.pause("crm", NOW + 60, NOW, "it still fails")
    await ledger.disable("chat", "answered 410", NOW)
    crm, chat = await read_destinations(ledger, {"crm": SLICE, "chat": {}}, NOW)
    told = None, "webhook", CAPS, SCHEDULE
    assert crm == DestinationView(
        "crm", "paused", "it still fails", NOW + 60, 2, False, NOW - 500, NOW + 100, 1, 1, *told
    )
    assert chat == DestinationView("chat", "disabled", "answered 410")


async def test_what_the_sweep_has_published_is_tried_now_and_not_when_its_message_counts_as_lost() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "503", NOW - 5)
    [row] = await ledger.due(NOW, 10)
    await ledger.postpone(row.key, row.fence, NOW - 2, NOW - 2 + POSTPONE_SECONDS)
    assert [each.next_try_at for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [NOW - 2]
    [row] = await ledger.rows(10)
    assert delivery_document(row)["retry_at"] == rfc3339(NOW - 2)


async def test_no_attempt_is_announced_before_the_end_of_a_pause() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "503", NOW + 20)
    await ledger.pause("crm", NOW + 60, NOW)
    assert [each.next_try_at for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [NOW + 60]
    await ledger.disable("crm", "answered 410", NOW)
    assert [each.next_try_at for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [None]


async def test_a_destination_that_an_operator_paused_is_paused_and_not_disabled() -> None:
    ledger = FakeLedger()
    await ledger.disable("crm", PAUSED_BY_OPERATOR, NOW)
    assert [each.state for each in await read_destinations(ledger, {"crm": {}}, NOW)] == ["paused"]


async def test_a_resumed_destination_gets_what_was_held_and_what_waits_for_its_next_attempt() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, HELD, NOW - 400, "no answer")
    await settle(ledger, 2, RETRY_SCHEDULED, NOW - 400, "503", NOW + 86_400)
    await settle(ledger, 3, RETRY_SCHEDULED, NOW - 400, "503", NOW - 1)
    assert await resume_destination(ledger, "crm", NOW) == Resumed(released=1, hastened=1, delay_seconds=0)
    assert len(await ledger.due(NOW, 10)) == 3


async def test_a_resumed_destination_gets_all_that_waits_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "HASTENED_AT_ONCE", 2)
    ledger = FakeLedger()
    for number in range(5):
        await settle(ledger, number, RETRY_SCHEDULED, NOW - 400 + number, "503", NOW + 86_400)
    assert await resume_destination(ledger, "crm", NOW) == Resumed(released=0, hastened=5, delay_seconds=0)
    assert len(await ledger.due(NOW, 10)) == 5


async def test_what_a_paused_destination_gets_is_due_once_running_functions_have_noticed() -> None:
    ledger = FakeLedger()
    await ledger.pause("crm", NOW + 3_600, NOW)
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 400, "503", NOW + 86_400)
    assert await resume_destination(ledger, "crm", NOW) == Resumed(released=0, hastened=1, delay_seconds=NOTICE_SECONDS)
    assert await ledger.destination_state("crm") == DestinationState()
    assert (await ledger.due(NOW + NOTICE_SECONDS - 1, 10), len(await ledger.due(NOW + NOTICE_SECONDS, 10))) == ([], 1)


async def test_a_delivery_that_may_have_been_accepted_is_not_hastened() -> None:
    ledger = FakeLedger()
    claim = await ledger.claim(a_delivery(1, "crm"), b"message", NOW - 400, 30.0)
    assert isinstance(claim, Claimed)
    row = claim.row
    attempt = attempt_entry(row, 1, Unknown("no answer"), NOW - 400, NOW - 385)
    assert await ledger.settle(claim, Settlement(RETRY_SCHEDULED, NOW - 385, "no answer", attempt, NOW + 300))
    assert await resume_destination(ledger, "crm", NOW) == Resumed(
        released=0, hastened=0, delay_seconds=0, keep_waiting=1
    )


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


async def test_a_destination_that_is_resumed_keeps_the_time_of_its_digests() -> None:
    ledger = FakeLedger()
    await gather(ledger, delivery(1), "g1", NOW - 10, NOW + 600)
    await ledger.disable("pusher", "paused by an operator", NOW)
    resumed = await resume_destination(ledger, "pusher", NOW)
    assert resumed == Resumed(released=0, hastened=0, delay_seconds=0, keep_waiting=1)
    assert [row.retry_at for row in ledger.table.values()] == [NOW + 600]


async def test_a_dead_lettered_digest_is_replayed_whole_and_its_letter_says_how_much_it_stands_for() -> None:
    crm = FakeDestination(Failed("request_rejected", "no"))
    settings = Options(gather=GatherSettings(digest=Digest(900.0, None)))
    notifier = FakeNotifier(crm, options=settings)
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
    assert (await notifier.take_message(make_dead_letter_replay(letter, "third"))).outcome == "finished"
    assert await delivered_since(notifier.ledger, [letter]) == {letter.id}
    again = await find_digest(notifier.ledger, letter.event_id, ())
    assert again is not None
    assert (again.record.summary.status, again.rows[0].generation, len(again.members)) == ("delivered", 1, 3)


@pytest.mark.parametrize("message", [b"", b'"merged"', b'{"merged": 3}', b'[{"merged": 1}'])
def test_a_message_that_is_no_digest_stands_for_nothing(message: bytes) -> None:
    assert merged_count(message) == 0


GROUP = "a" * 32


def test_each_digest_of_an_event_is_found_however_many_it_has() -> None:
    rows = [
        LedgerRow(f"k{number}", "e1", "tell", "crm", "merged", 1, 0, 0, None, "", "", 1.0, 1.0, b"", group=f"d{number}")
        for number in range(1_001)
    ]
    assert digest_ids([*rows, *rows]) == [row.group for row in rows]


@pytest.mark.parametrize("text", ["", "{}", "not JSON", '{"n": 1, "published_at": 5, "members": "A"}'])
async def test_a_record_that_cannot_be_read_is_named_and_stops_the_command(text: str) -> None:
    records = FakeRecords()
    records.kept[record_name(GROUP)] = Kept(text, 9.0)
    with pytest.raises(Temporary, match=rf"'{record_name(GROUP)}' cannot be read .*delete it"):
        await is_recorded(records, GROUP + "0" * 16)
