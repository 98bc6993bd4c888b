"""What forgetting an event must do, on every platform, where a digest holds a line of it."""

import asyncio
from dataclasses import replace

import pytest

from deploy.history.forget import Traces
from functions.notify.digests.record import GroupRecord, digest_event_id, read_record, record_name
from shared.delivery import Delivery
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journal
from shared.ledger import Claimed, Ledger, Settlement
from shared.outcomes import DeliveryState
from shared.store_ports import Kept as KeptRecord
from tests.contract.kept_journal import NOW, TELL, Kept
from tests.contract.test_forget import EMPTY, ID, NAME, OTHER_ID, Mails, counts, event, forget, search
from tests.fakes.deliveries import message_of

GROUP = "9a" * 16
DIGEST_ID = digest_event_id(GROUP, b"12345678")
DIGEST = Delivery(replace(event(DIGEST_ID), data={"lines": [NAME]}), "tell", "crm", merged=2)
MEMBERS = [Delivery(event(each), "tell", "crm") for each in (ID, OTHER_ID)]


def gather(kept: Kept, *, is_merged: bool = True) -> None:
    """Let two events wait, and freeze their digest."""
    for each in MEMBERS:
        kept.record(EventEntry(each.event, (TELL,), NOW))

    async def work(_: Journal, ledger: Ledger) -> None:
        for each in MEMBERS:
            await ledger.gather(each, message_of(each, NOW), GROUP, "why", NOW, NOW + 60)
        moves = {row.key: row.fence for row in await ledger.due(NOW + 60, 10)}
        frozen = GroupRecord().with_digest(DIGEST, moves, NOW)
        if is_merged:
            assert await ledger.merge_all([*moves.items()], NOW + 61, DIGEST_ID) == [True, True]
            frozen = frozen.marked(NOW, is_merged=True)
        async with kept.state.records() as records:
            assert records
            await records.change(record_name(GROUP), NOW, lambda _: (None, KeptRecord(frozen.text(), NOW + 9e6)))

    kept.do(work)


def send_digest(kept: Kept, state: DeliveryState) -> None:
    async def work(journal: Journal, ledger: Ledger) -> None:
        claim = await ledger.claim(DIGEST, message_of(DIGEST, NOW), NOW + 62, 60)
        assert isinstance(claim, Claimed)
        names = DIGEST.id, DIGEST_ID, "tell", "crm"
        attempt = AttemptEntry(*names, 1, NOW + 63, NOW + 64, "failed", NAME, NAME)
        assert await ledger.settle(claim, Settlement(state, NOW + 64, f"why: {NAME}", attempt, NOW + 90))
        if state == "dead_lettered":
            of = DIGEST_ID, "tell", "crm"
            await journal.record(
                [DeadLetter(DIGEST.id, "expired", NAME, NOW, message_of(DIGEST, NOW), "deliveries", *of)]
            )

    kept.do(work)


def record_text(kept: Kept) -> str:
    async def read() -> str:
        async with kept.state.records() as records:
            assert records
            return await records.read(record_name(GROUP)) or ""

    return asyncio.run(read())


@pytest.mark.parametrize("state", ["delivered", "dead_lettered", "held", "retry_scheduled"])
def test_nothing_of_the_event_is_left_of_a_digest_that_it_is_in(kept: Kept, state: DeliveryState) -> None:
    gather(kept)
    send_digest(kept, state)
    mails = Mails(DIGEST.id)
    found = search(kept, mails=mails)
    assert counts(found)["digests"] == 3 + (state == "dead_lettered")  # with the record and the mail
    [digest] = found.digests
    assert (digest.is_unsent, digest.others) == (state in ("held", "retry_scheduled"), (OTHER_ID,))
    assert NAME in record_text(kept)

    assert counts(forget(kept, mails=mails)) == EMPTY
    assert read_record(record_text(kept)) == GroupRecord(1)
    assert NAME not in repr(kept.state.digest(DIGEST_ID))
    assert mails.left == []
    [row] = kept.state.deliveries(DIGEST_ID)
    assert row.state == (state if state in ("delivered", "dead_lettered") else "dead_lettered")
    assert [each.state for each in kept.state.deliveries(OTHER_ID)] == ["merged"]


def test_what_waits_in_a_group_is_in_no_digest_that_is_made_later(kept: Kept) -> None:
    for each in MEMBERS:
        kept.record(EventEntry(each.event, (TELL,), NOW))

    async def work(_: Journal, ledger: Ledger) -> None:
        for each in MEMBERS:
            await ledger.gather(each, message_of(each, NOW), GROUP, "why", NOW, NOW + 60)

    kept.do(work)
    assert counts(forget(kept)) == EMPTY

    async def look(_: Journal, ledger: Ledger) -> None:
        assert [row.event_id for row in await ledger.due(NOW + 600, 10)] == [OTHER_ID]

    kept.do(look)


def test_while_a_digest_is_being_made_the_event_stays_and_that_is_said(kept: Kept) -> None:
    """Its contents are decided and it may be on the bus, so that it is forgotten once the sweep has made it."""
    gather(kept, is_merged=False)
    left: Traces = forget(kept)
    assert (counts(left)["ledger"], counts(left)["digests"]) == (1, 1)
    assert NAME in record_text(kept)
    assert [row.state for row in kept.state.deliveries(ID)] == ["retry_scheduled"]


def test_the_record_of_another_digest_of_the_group_stays(kept: Kept) -> None:
    gather(kept)
    later = replace(DIGEST.event, id=digest_event_id(GROUP, b"87654321"))

    async def change() -> None:
        async with kept.state.records() as records:
            assert records
            text = GroupRecord(1).with_digest(Delivery(later, "tell", "crm", merged=2), {}, NOW).text()
            await records.change(record_name(GROUP), NOW, lambda _: (None, KeptRecord(text, NOW + 9e6)))

    asyncio.run(change())
    send_digest(kept, "delivered")
    assert counts(forget(kept)) == EMPTY
    assert read_record(record_text(kept)).number == 2
