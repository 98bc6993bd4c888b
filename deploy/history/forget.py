"""The forgetting of events: a search for the content of an event in each store of a deployment, and its erasure.

    journal       the event's body, its subject and its actor
    dead letters  the messages of its dead letters, and their reasons
    ledger        the messages of its deliveries, and what their destinations answered
    blobs         its large bodies, other systems' answers to its steps, and the addresses of a mail's recipients, which
                  are kept if not all of them got it at the first attempt
    mails         the mails and the rows of sheets that `hookchain dev` caught
    digests       the digests and bursts that its deliveries are part of. Each has a line of the event, or all of its
                  data, in its own delivery, its dead letter, the record of its group and its caught mails
    messages      the copies from which the tenants of subscribers can send the event again. They are found by the
                  event's id, in all tenants that exist or that its deliveries name. The messages of a deleted tenant
                  are erased by `hookchain forget --tenant`

The rows stay, so an operator still sees which deliveries an event had. A delivery that is pending or held is
dead-lettered first, so that nothing is sent meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from deploy.history import journal_view, stored_messages
from deploy.history.digests import digest_members, digest_rows
from deploy.history.ports import StoredBlobs
from deploy.history.state import State
from functions.notify.destinations.email.letters import PROGRESS
from functions.notify.digests.record import RECORD_SECONDS, GroupRecord, group_of_digest, record_name
from shared import batching, errors, journal, ledger_rules, tap
from shared.ledger import Ledger, LedgerRow
from shared.store_ports import Document, Documents, Kept, Records
from shared.subscribers import directory, model
from shared.subscribers.names import endpoint_name


@dataclass(frozen=True, slots=True)
class DigestTraces:
    """The traces of one digest in the stores.

    rows         its deliveries
    letters      the number of its dead letters that have content
    is_recorded  the record of its group has it
    mails        the number of its mails that were caught
    others       the other events in a digest that is not sent, as far as they were found
    merging      the event's deliveries that will be merged into it: this is decided, but not yet written in their rows
    """

    event_id: str
    rows: tuple[LedgerRow, ...]
    letters: int
    is_recorded: bool
    mails: int
    others: tuple[str, ...] = ()
    merging: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        return self.rows[0].destination if self.rows else ""

    @property
    def is_unsent(self) -> bool:
        return any(row.state not in ledger_rules.FINAL for row in self.rows)


class Copy(NamedTuple):
    """A tenant's copy of an event, or of a part that a step split off: a message, and the entry that leads to it."""

    tenant: str
    entry_id: str
    message_id: str


STORES: Final = ("journal", "dead letters", "ledger", "blobs", "mails", "digests", "messages")
MAX_DELIVERIES: Final = 100_000
"""The most deliveries of an event that are searched. An event for subscribers has one for each endpoint."""
AT_ONCE: Final = 20
"""The number of deliveries or tenants that are processed at the same time."""
IN_FLIGHT: Final = frozenset({"received", "delivering"})
"""The statuses of events of which the bus may still have a message."""


class CaughtMails(Protocol):
    """The mails that an emulated mail service caught, and the rows of emulated sheets.

    They are found by the id of a delivery, or of the endpoint that they are about.
    """

    def count_of_delivery(self, delivery_id: str) -> int: ...

    def erase_delivery(self, delivery_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Traces:
    """The content that the stores hold of an event.

    counts        the number of parts that each of STORES has
    delivery_ids  all of its deliveries, also those of which the ledger holds no content
    unsent        the number of its deliveries that are pending or held
    blobs         the names of its blobs
    digests       what is stored of the digests that it is in
    in_flight     the bus may have a message of it
    copies        the copies of tenants of subscribers
    is_complete   False if it has more deliveries or dead letters than were searched
    """

    event_id: str
    counts: Mapping[str, int]
    delivery_ids: tuple[str, ...]
    unsent: int
    blobs: tuple[str, ...]
    in_flight: bool
    digests: tuple[DigestTraces, ...] = ()
    copies: tuple[Copy, ...] = ()
    is_complete: bool = True


def total_counts(traces: Iterable[Traces]) -> dict[str, int]:
    """Return the number of parts that each store has of all the events."""
    return {store: sum(each.counts[store] for each in traces) for store in STORES}


@dataclass(frozen=True, slots=True)
class Forgetter:
    """The stores of one deployment, open.

    `mails` is None if no mail is caught. `records` and `documents` are None if the deployment has no such store.
    """

    reader: journal_view.JournalView
    ledger: Ledger
    blobs: StoredBlobs
    mails: CaughtMails | None
    records: Records | None = None
    documents: Documents | None = None

    async def search(self, event_id: str) -> Traces:
        """Return the content that the stores have of the event. Raises Temporary."""
        record = self.reader.event(event_id)
        rows = await self.ledger.rows(MAX_DELIVERIES, event_id=event_id)
        letters = record.dead_letters if record else self.reader.letters_of_event(event_id)
        attempts = record.attempts if record else ()
        messages = [row.message for row in rows] + [letter.message for letter in letters]
        keys = tuple(dict.fromkeys([*(row.key for row in rows), *(each.delivery_id for each in attempts)]))
        digests = await self._digests(event_id, rows)
        destinations = {attempt.delivery_id: attempt.destination for attempt in attempts}
        for row in [*rows, *(row for digest in digests for row in digest.rows)]:
            destinations[row.key] = row.destination
        # An endpoint of a subscriber gets no mail.
        mailed = {key for key, destination in destinations.items() if endpoint_name(destination) is None}
        names = await self._blob_names(event_id, record, messages, mailed)
        copies = await find_copies(self.documents, event_id, rows)
        with_content = {row.key for row in rows if has_content(row)} | _answered(attempts)
        digest_parts = [
            sum(map(has_content, each.rows)) + each.letters + each.is_recorded + each.mails for each in digests
        ]
        return Traces(
            event_id=event_id,
            counts={
                "journal": int(record is not None and _tells_of_event(record)),
                "dead letters": sum(bool(letter.message or letter.reason) for letter in letters),
                "ledger": len(with_content),
                "blobs": len(names),
                "mails": self._count_mails(keys),
                "digests": sum(digest_parts),
                "messages": len(copies),
            },
            delivery_ids=keys,
            unsent=sum(row.state not in ledger_rules.FINAL for row in rows),
            blobs=names,
            in_flight=record is not None and record.summary.status in IN_FLIGHT,
            digests=digests,
            copies=copies,
            is_complete=len(rows) < MAX_DELIVERIES and len(letters) < journal_view.MAX_LETTERS_OF_EVENT,
        )

    async def erase(self, found: Sequence[Traces], now: float) -> None:
        """Erase the content that was found.

        A delivery that is being merged is left out: only a later search, which finds it in the digest, leads to its
        erasure.
        Raises Temporary. Content that is erased by then stays erased.
        """
        for traces in found:
            merging = {key for digest in traces.digests for key in digest.merging}
            if self.documents is not None:
                await erase_copies(self.documents, traces.copies)
            for keys in batching.batches([key for key in traces.delivery_ids if key not in merging], AT_ONCE):
                await asyncio.gather(*(self.ledger.forget(key, now) for key in keys))
        digest_by_id = {digest.event_id: digest for traces in found for digest in traces.digests}
        await self._erase_digests([*digest_by_id.values()], now)
        event_ids = [traces.event_id for traces in found]
        self.reader.erase([*event_ids, *digest_by_id.keys()])  # a digest is an event of its own
        for traces in found:
            await asyncio.gather(*(self.blobs.delete(name) for name in traces.blobs))
            if self.mails:
                for key in traces.delivery_ids:
                    self.mails.erase_delivery(key)

    async def _digests(self, event_id: str, rows: Sequence[LedgerRow]) -> tuple[DigestTraces, ...]:
        merging = await merging_into(self.records, rows)
        own = [event_id] if any(row.merged for row in rows) else []  # it is a digest itself
        ids = dict.fromkeys([*digest_ids(rows), *merging, *own])
        return tuple([await self._digest(each, event_id, merging.get(each, ())) for each in ids])

    async def _digest(self, digest_id: str, event_id: str, merging: Sequence[str]) -> DigestTraces:
        letters = self.reader.letters_of_event(digest_id)
        rows = await digest_rows(self.ledger, digest_id)
        is_unsent = any(row.state not in ledger_rules.FINAL for row in rows)
        # The command prints how to deliver the other events of a digest that will not be sent.
        members = await digest_members(self.ledger, rows) if is_unsent else ()
        return DigestTraces(
            event_id=digest_id,
            rows=tuple(rows),
            letters=sum(bool(letter.message or letter.reason) for letter in letters),
            is_recorded=await is_recorded(self.records, digest_id),
            mails=self._count_mails([row.key for row in rows]),
            others=tuple(row.event_id for row in members if row.event_id != event_id),
            merging=tuple(merging),
        )

    async def _erase_digests(self, digests: Sequence[DigestTraces], now: float) -> None:
        for digest in digests:
            for row in digest.rows:
                await self.ledger.forget(row.key, now)
                if self.mails:
                    self.mails.erase_delivery(row.key)
            if self.records is not None:
                await erase_record(self.records, digest, now)

    def _count_mails(self, delivery_ids: Sequence[str]) -> int:
        return sum(self.mails.count_of_delivery(key) for key in delivery_ids) if self.mails else 0

    async def _blob_names(
        self,
        event_id: str,
        record: journal_view.EventRecord | None,
        messages: Sequence[bytes],
        deliveries: Iterable[str],
    ) -> tuple[str, ...]:
        """Return the blobs that are named after the event or its deliveries, and those to which its records refer."""
        beginnings = [f"{event_id}-", f"answers/{event_id}/", f"answers/{event_id}-", tap.blob_of_copy(event_id)]
        beginnings += [f"{PROGRESS}{key}" for key in sorted(deliveries)]
        listed = [name for beginning in beginnings for name in await self.blobs.names(beginning)]
        dataref = (record.document or {}).get("dataref") if record else None
        referred = {dataref, *map(stored_messages.dataref_of, messages)}
        others = [name for name in referred if isinstance(name, str) and name not in listed]
        return (*listed, *[name for name in others if await self.blobs.get(name) is not None])


@asynccontextmanager
async def open_forgetter(state: State, mails: CaughtMails | None) -> AsyncIterator[Forgetter]:
    async with (
        state.ledger() as ledger,
        state.blobs() as blobs,
        state.records() as records,
        state.documents() as documents,
    ):
        yield Forgetter(state.reader, ledger, blobs, mails, records, documents)


def _tells_of_event(record: journal_view.EventRecord) -> bool:
    return record.document is not None or bool(record.summary.subject or record.summary.actor)


def has_content(row: LedgerRow) -> bool:
    is_pending = row.state not in ledger_rules.FINAL
    return bool(is_pending or row.message or row.answer or ":" in row.reason or _answered(row.attempts))


def _answered(attempts: Iterable[journal.AttemptEntry]) -> set[str]:
    return {each.delivery_id for each in attempts if each.answer or each.reason not in ("", ledger_rules.FORGOTTEN)}


def digest_ids(rows: Iterable[LedgerRow]) -> list[str]:
    """Return the ids of the digests that an event's deliveries are part of."""
    return list(dict.fromkeys(row.group for row in rows if row.state == ledger_rules.MERGED and row.group))


async def merging_into(records: Records | None, rows: Iterable[LedgerRow]) -> dict[str, list[str]]:
    """Return the ids of the digests that some of the rows are being merged into, and the keys of these rows.

    Raises Temporary.
    """
    keys_by_digest: dict[str, list[str]] = {}
    for row in rows:
        if not row.group or row.state in ledger_rules.FINAL or records is None:
            continue
        text = await records.read(record_name(row.group))
        digest = _record(row.group, text).digest
        if digest is not None and any(key == row.key for key, _ in digest.members):
            keys_by_digest.setdefault(digest.event_id, []).append(row.key)
    return keys_by_digest


async def is_recorded(records: Records | None, digest_id: str) -> bool:
    """Return whether the record of its group has the digest. Raises Temporary."""
    if records is None:
        return False
    group = group_of_digest(digest_id)
    digest = _record(group, await records.read(record_name(group))).digest
    return digest is not None and digest.event_id == digest_id


async def erase_record(records: Records, digest: DigestTraces, now: float) -> None:
    """Drop the digest from the record of its group, unless it is still being made: its delivery would be lost."""
    if not (digest.rows and digest.is_recorded):
        return
    group = group_of_digest(digest.event_id)

    def decide(text: str | None) -> tuple[None, Kept | None]:
        record = _record(group, text)
        found = record.digest
        if found is None or found.event_id != digest.event_id or not found.is_merged:
            return None, None
        return None, Kept(GroupRecord(record.number).text(), now + RECORD_SECONDS)

    await records.change(record_name(group), now, decide)


def _record(group: str, text: str | None) -> GroupRecord:
    """Read a group's record.

    Raises Temporary if the text is not a record, because it may have content that must be erased.
    """
    try:
        return GroupRecord.read(text)
    except ValueError as error:
        advice = "delete it from the store of records, then run this command again"
        raise errors.Temporary(
            "records_unavailable", f"the record {record_name(group)!r} cannot be read ({error}): {advice}"
        ) from error


PAGE: Final = 500


async def find_copies(documents: Documents | None, event_id: str, rows: Iterable[LedgerRow]) -> tuple[Copy, ...]:
    """Return the copies of all tenants. `rows` are the event's deliveries. Raises Temporary."""
    if documents is None:
        return ()
    tenants = dict.fromkeys(name.tenant for row in rows if (name := endpoint_name(row.destination)))
    async for document in all_documents(documents, directory.TENANTS):
        tenants[document.id] = None
    found: list[Copy] = []
    for some in batching.batches([*tenants], AT_ONCE):
        for copies in await asyncio.gather(*(_copies_of(documents, tenant, event_id) for tenant in some)):
            found += copies
    return tuple(found)


async def erase_copies(documents: Documents, copies: Iterable[Copy]) -> None:
    """Delete each message, and then its entry, without which the message would not be found again."""
    for tenant, entry_id, message_id in copies:
        await documents.delete(directory.messages_of(tenant), message_id)
        await documents.delete(directory.message_entries_of(tenant), entry_id)


async def _copies_of(documents: Documents, tenant: str, event_id: str) -> list[Copy]:
    """Return the tenant's copies: the ids of their entries begin with the event's id and a hyphen."""
    found: list[Copy] = []
    after = f"{event_id}-"
    while page := await documents.page(directory.message_entries_of(tenant), PAGE, after, f"{event_id}."):
        found += [Copy(tenant, each.id, directory.read_stored(model.MessageEntry, each).id) for each in page]
        after = page[-1].id
    return found


async def all_documents(documents: Documents, partition: str) -> AsyncIterator[Document]:
    after = ""
    while page := await documents.page(partition, PAGE, after):
        for document in page:
            yield document
        after = page[-1].id
