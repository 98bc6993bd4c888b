"""What forgetting an event must do on every platform: nothing of its body is left, nor of its lines in digests, and
nothing of it is sent."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from deploy.history.forget import STORES, CaughtMails, Traces, open_forgetter, total_counts
from deploy.history.journal_view import DROPPED
from functions.notify.digests.record import GroupRecord, digest_event_id, record_name
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journal, RouteDecision
from shared.jsontext import Json
from shared.ledger import Claimed, Finished, Ledger, Settlement
from shared.outcomes import DeliveryState
from shared.store_ports import Kept as KeptRecord
from shared.subscribers.directory import TENANTS, Directory, message_entries_of, message_id, messages_of
from shared.subscribers.model import Message, Tenant
from shared.times import rfc3339
from tests.contract.kept_journal import NOW, TELL, Kept
from tests.fakes.deliveries import message_of

ID = "5eed" * 8
OTHER_ID = "0dd5" * 8
NAME = "Ada Lovelace"
EMPTY = dict.fromkeys(STORES, 0)
PARTITIONS = messages_of, message_entries_of


class Mails:
    """Caught mails, by delivery."""

    def __init__(self, *delivery_ids: str) -> None:
        self.left = list(delivery_ids)

    def count_of_delivery(self, delivery_id: str) -> int:
        return self.left.count(delivery_id)

    def erase_delivery(self, delivery_id: str) -> None:
        self.left = [each for each in self.left if each != delivery_id]


def event(event_id: str = ID, dataref: str | None = None) -> Event:
    data: Json = None if dataref else {"name": NAME}
    return Event(
        event_id, "/sources/web", "signup", rfc3339(NOW), "0" * 64, data, subject=NAME, actor=NAME, dataref=dataref
    )


def deliver(kept: Kept, of: Event, state: str, destination: str = "crm") -> Delivery:
    delivery = Delivery(of, "tell", destination)

    async def work(journal: Journal, ledger: Ledger) -> None:
        claim = await ledger.claim(delivery, message_of(delivery, NOW), NOW, 60)
        assert isinstance(claim, Claimed)
        outcome = {"dead_lettered": "failed"}.get(state, state)
        names = delivery.id, of.origin, "tell", destination
        attempt = AttemptEntry(*names, 1, NOW + 1, NOW + 2, outcome, f"no {NAME}", f"thank you, {NAME}")
        reason = f"request_rejected: no {NAME}" if state == "dead_lettered" else ""
        assert await ledger.settle(claim, Settlement(state, NOW + 2, reason, attempt, NOW + 60))  # type: ignore[arg-type] # a test's word
        await journal.record([attempt])

    kept.do(work)
    return delivery


def put(kept: Kept, *names: str) -> None:
    async def work() -> None:
        async with kept.state.blobs() as blobs:
            for name in names:
                await blobs.put(name, NAME.encode())

    asyncio.run(work())


def blob_names(kept: Kept, beginning: str = "") -> Sequence[str]:
    async def work() -> Sequence[str]:
        async with kept.state.blobs() as blobs:
            return await blobs.names(beginning)

    return asyncio.run(work())


def search(kept: Kept, event_id: str = ID, mails: CaughtMails | None = None) -> Traces:
    async def work() -> Traces:
        async with open_forgetter(kept.state, mails) as forgetter:
            return await forgetter.search(event_id)

    return asyncio.run(work())


def forget(kept: Kept, event_id: str = ID, mails: CaughtMails | None = None) -> Traces:
    """Return what is left."""
    found = search(kept, event_id, mails)

    async def work() -> None:
        async with open_forgetter(kept.state, mails) as forgetter:
            await forgetter.erase([found], NOW + 10)

    asyncio.run(work())
    return search(kept, event_id, mails)


def counts(traces: Traces) -> dict[str, int]:
    return total_counts([traces])


def test_nothing_of_an_event_is_left_in_any_store_and_another_event_stays(kept: Kept) -> None:
    for each in (ID, OTHER_ID):
        kept.record(EventEntry(event(each), (TELL,), NOW))
    delivery = deliver(kept, event(), "dead_lettered")
    deliver(kept, event(OTHER_ID), "delivered")
    names = ID, "tell", "crm"
    kept.record(
        DeadLetter(delivery.id, "request_rejected", f"no {NAME}", NOW, message_of(delivery, NOW), "deliveries", *names)
    )
    put(kept, f"{ID}-aa", f"answers/{ID}/1", f"answers/{ID}-2/1", f"{OTHER_ID}-aa", f"tap-{ID}-request")
    mails = Mails(delivery.id, delivery.id, "another")
    expected = {"journal": 1, "dead letters": 1, "ledger": 1, "blobs": 4, "mails": 2}
    assert counts(search(kept, mails=mails)) == EMPTY | expected

    assert counts(forget(kept, mails=mails)) == EMPTY
    record = kept.view.event(ID)
    assert record
    assert NAME not in repr(record)
    assert kept.view.stored_document(ID) is None
    assert kept.found(text="lovelace") == [OTHER_ID]
    assert list(blob_names(kept)) == [f"{OTHER_ID}-aa"]
    assert mails.left == ["another"]
    assert counts(search(kept, OTHER_ID))["journal"] == 1


def test_a_route_that_waits_is_forgotten_and_does_not_run_again(kept: Kept) -> None:
    waiting = RouteDecision("tell", True, "waiting", ("crm",), is_waiting=True)
    kept.record(EventEntry(event(), (waiting,), NOW))
    kept.deliver(event(), "retry_scheduled", Delivery(event(), "tell", ROUTE_ITSELF))
    assert (counts(search(kept))["ledger"], search(kept).unsent) == (1, 1)
    assert counts(forget(kept)) == EMPTY
    assert search(kept).unsent == 0
    assert kept.status(ID) == "dead_lettered"


def test_what_became_of_the_event_stays(kept: Kept) -> None:
    kept.record(EventEntry(event(), (TELL,), NOW))
    deliver(kept, event(), "delivered")
    forget(kept)
    record = kept.view.event(ID)
    assert record
    assert (record.summary.status, record.summary.type, record.routes) == ("delivered", "signup", (TELL,))
    [attempt] = record.attempts
    assert (attempt.outcome, attempt.answer) == ("delivered", "")
    assert kept.state.deliveries(ID)[0].state == "delivered"


@pytest.mark.parametrize("state", ["retry_scheduled", "held"])
def test_what_waits_is_never_sent(kept: Kept, state: str) -> None:
    kept.record(EventEntry(event(), (TELL,), NOW))
    delivery = deliver(kept, event(), state)
    assert search(kept).unsent == 1
    left = forget(kept)
    assert (counts(left), left.unsent) == (EMPTY, 0)
    [row] = kept.state.deliveries(ID)
    assert (row.state, row.reason, row.message) == ("dead_lettered", "forgotten", b"")
    assert kept.status(ID) == "dead_lettered"

    async def work(_: Journal, ledger: Ledger) -> None:
        assert not await ledger.due(NOW + 1_000, 10)
        assert await ledger.release("crm", NOW + 1_000) == 0
        assert isinstance(await ledger.claim(delivery, b"again", NOW + 1_000, 60), Finished)

    kept.do(work)


@pytest.mark.parametrize("state", ["retry_scheduled", "dead_lettered"])
def test_an_attempt_that_is_under_way_cannot_bring_the_body_back(kept: Kept, state: DeliveryState) -> None:
    kept.record(EventEntry(event(), (TELL,), NOW))
    delivery = Delivery(event(), "tell", "crm")

    async def work(_: Journal, ledger: Ledger) -> None:
        claim = await ledger.claim(delivery, message_of(delivery, NOW), NOW, 60)
        assert isinstance(claim, Claimed)
        await ledger.rows(10, event_id=ID)
        await ledger.forget(delivery.id, NOW + 1)
        assert not await ledger.settle(claim, Settlement(state, NOW + 2, NAME, retry_at=NOW + 60))

    kept.do(work)
    assert counts(search(kept))["ledger"] == 0
    [row] = kept.state.deliveries(ID)
    assert (row.state, row.message, row.reason) == ("dead_lettered", b"", "forgotten")


def test_a_large_body_goes_wherever_something_names_it(kept: Kept) -> None:
    """By a name that is not the event's: an earlier version's, or one that the store keeps as its hash."""
    kept.record(EventEntry(event(dataref="elsewhere/1"), (TELL,), NOW))
    part = Event(f"{ID}-1", "/sources/web", "signup", rfc3339(NOW), "0" * 64, dataref="elsewhere/2")
    deliver(kept, part, "held")
    put(kept, "elsewhere/1", "elsewhere/2", "elsewhere/3")
    assert counts(search(kept))["blobs"] == 2
    assert counts(forget(kept)) == EMPTY
    assert list(blob_names(kept)) == ["elsewhere/3"]


def test_a_dead_letter_too_large_for_the_database_goes_with_its_blob(kept: Kept) -> None:
    large = Event(ID, "/sources/web", "signup", rfc3339(NOW), "0" * 64, {"name": NAME, "filler": "x" * 900_000})
    delivery = Delivery(large, "tell", "crm")
    names = ID, "tell", "crm"
    kept.record(DeadLetter(delivery.id, "expired", "late", NOW, message_of(delivery, NOW), "deliveries", *names))
    assert counts(search(kept))["dead letters"] == 1
    assert counts(forget(kept)) == EMPTY
    letter = kept.view.dead_letter(delivery.id)
    assert letter
    assert (letter.message, letter.reason, letter.code, letter.state) == (b"", "", "expired", DROPPED)
    assert kept.view.totals().dead_letters == 0
    assert list(blob_names(kept)) == []


@pytest.mark.parametrize("kept", ["local", "firestore"], indirect=True)  # DynamoDB has no other limit, and is slow here
def test_each_of_more_than_a_thousand_dead_letters_goes(kept: Kept) -> None:
    letters = [
        DeadLetter(f"{number:064x}", "expired", NAME, NOW, NAME.encode(), "deliveries", ID, "tell", "crm")
        for number in range(1_001)
    ]
    kept.record(EventEntry(event(), (TELL,), NOW), *letters)
    assert counts(search(kept))["dead letters"] == len(letters)
    assert counts(forget(kept)) == EMPTY
    assert not any(letter.message for letter in kept.view.letters_of_event(ID))


def test_an_unknown_event_leaves_no_traces(kept: Kept) -> None:
    assert counts(search(kept)) == EMPTY
    assert counts(forget(kept)) == EMPTY


def keep_messages(kept: Kept, *messages: tuple[str, str]) -> None:
    """Keep messages, each of a tenant and with the id of its event."""

    async def work() -> None:
        async with kept.state.documents() as documents:
            assert documents is not None
            for tenant, event_id in messages:
                message = Message(
                    id=message_id(NOW, event_id, "tell", "customers"),
                    event_id=event_id,
                    type="signup",
                    route="tell",
                    destination="customers",
                    received_at=NOW,
                    event=NAME,
                )
                await Directory(documents).keep_message(tenant, message, NOW + 86_400 * 365)

    asyncio.run(work())


def messages_left(kept: Kept, *tenants: str) -> list[str]:
    async def work() -> list[str]:
        async with kept.state.documents() as documents:
            assert documents is not None
            pages = [await documents.page(partition(each), 10) for each in tenants for partition in PARTITIONS]
            return [document.id for page in pages for document in page]

    return asyncio.run(work())


def test_tenants_of_subscribers_keep_no_copy_and_get_the_event_no_more(kept: Kept) -> None:
    """Also one without an endpoint, of a part that a step split off, and of a tenant that was deleted since."""
    kept.record(EventEntry(event(), (TELL,), NOW))
    deliver(kept, event(), "retry_scheduled", f"customers:gone:ep_{'0' * 20}")

    async def add_tenants() -> None:
        async with kept.state.documents() as documents:
            assert documents is not None
            for each in ("acme", "other"):
                await documents.write(TENANTS, each, Tenant(id=each).text())

    asyncio.run(add_tenants())
    copies = [("acme", ID), ("acme", f"{ID}-2"), ("other", ID), ("gone", ID)]
    keep_messages(kept, *copies, ("acme", OTHER_ID), ("acme", f"{ID}0"))
    before = search(kept)
    assert counts(before) == EMPTY | {"journal": 1, "ledger": 1, "messages": 4}
    assert before.unsent == 1
    left = forget(kept)
    assert (counts(left), left.unsent) == (EMPTY, 0)
    assert messages_left(kept, "other", "gone") == []
    assert len(messages_left(kept, "acme")) == 4, "the messages and entries of two other events"


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
            frozen = frozen.merged(NOW)
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
    is_unsent = state in ("held", "retry_scheduled")
    assert (digest.is_unsent, digest.others) == (is_unsent, (OTHER_ID,) if is_unsent else ())
    assert NAME in record_text(kept)

    assert counts(forget(kept, mails=mails)) == EMPTY
    assert GroupRecord.read(record_text(kept)) == GroupRecord(1)
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
