"""Erase a tenant from the stores of a deployment, and search for what remains.

    tenant, endpoints, sessions   its documents, with the ids of endpoints that it deleted before: deleted
    messages                      the events that it was to get, deleted
    answers                       the kept answers of its requests with an idempotency key, deleted
    deliveries                    rows of the ledger: their messages, and what its endpoints answered
    attempts                      this machine's journal: what its endpoints answered
    blobs                         large bodies of its test events
    mails                         the mails that the emulated mail service caught, also those about its endpoints

The tenant and its endpoints go first, so that nothing new is made meanwhile. Its messages and the ids of its deleted
endpoints go last, because its deliveries are found by them. A delivery that is pending is dead-lettered, so that
nothing is sent.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.history import forget, journal_view
from deploy.history.ports import StoredBlobs
from deploy.history.state import State, kind_of
from functions.notify.registry import SUBSCRIBERS
from functions.subscribe.idempotency import Record
from shared import batching, event, jsontext, ledger_rules, store_ports
from shared.ledger import Ledger, LedgerRow, Place
from shared.subscribers import directory, model
from shared.subscribers.names import EndpointName


@dataclass(frozen=True, slots=True)
class Known:
    """The endpoints, deliveries and blobs of a tenant, which a search after the erasure looks for again."""

    destinations: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    deliveries: frozenset[tuple[str, str]] = frozenset()
    blobs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TenantTraces:
    """The content that the stores hold of a tenant.

    counts   the number of parts that each store has
    unsent   the number of its deliveries that are not final
    answers  the ids of the kept answers
    """

    tenant: str
    counts: Mapping[str, int]
    unsent: int
    known: Known
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantForgetter:
    """The stores of one deployment, open. `destinations` are the destinations of the kind `subscribers`."""

    reader: journal_view.JournalView
    documents: store_ports.Documents
    ledger: Ledger
    blobs: StoredBlobs
    mails: forget.CaughtMails | None
    destinations: Sequence[str]

    async def search(self, tenant: str, known: Known | None = None) -> TenantTraces:
        """Find what the stores hold of the tenant, and of what was `known` of it. Raises Temporary."""
        known = known or Known()
        blobs, destinations = set(known.blobs), set(self.destinations)
        message_count = 0
        async for message in self._messages(tenant):
            message_count += 1
            destinations.add(message.destination)  # which the configuration may no longer have
            if message.is_test and (name := _dataref(message)):
                blobs.add(name)
        here, former = [await self._ids(of(tenant)) for of in (directory.endpoints_of, directory.former_endpoints_of)]
        endpoints = {*here, *former, *known.endpoints}
        names = {str(EndpointName(each, tenant, endpoint)) for each in destinations for endpoint in endpoints}
        names |= known.destinations
        rows = await self._rows(names)
        deliveries = known.deliveries | {(row.event_id, row.key) for row in rows.values()}
        answers = [id async for id in self._answers(tenant)]
        mailed = _in_mails(endpoints, deliveries)
        counts = {
            "tenant": int(await self.documents.get(directory.TENANTS, tenant) is not None),
            "endpoints": len({*here, *former}),
            "sessions": len(await self._ids(directory.sessions_of(tenant))),
            "messages": max(message_count, len(await self._ids(directory.message_entries_of(tenant)))),
            "answers": len(answers),
            "deliveries": sum(map(forget.has_content, rows.values())),
            "attempts": self.reader.count_answers(sorted(deliveries)),
            "blobs": len([name for name in blobs if await self.blobs.get(name) is not None]),
            "mails": sum(map(self.mails.count_of_delivery, mailed)) if self.mails else 0,
        }
        found = Known(frozenset(names), frozenset(endpoints), frozenset(deliveries), frozenset(blobs))
        unsent = sum(row.state not in ledger_rules.FINAL for row in rows.values())
        return TenantTraces(tenant, counts, unsent, found, tuple(answers))

    async def erase(self, traces: TenantTraces, now: float) -> None:
        """Erase the content that was found. Raises Temporary. Content that is erased by then stays erased."""
        tenant = traces.tenant
        await self.documents.delete(directory.TENANTS, tenant)
        for partition in (directory.endpoints_of(tenant), directory.sessions_of(tenant)):
            await self._delete_all(partition)
        await self._delete_each(directory.IDEMPOTENCY, traces.answers)
        deliveries = sorted(traces.known.deliveries)
        for some in batching.batches(deliveries, forget.AT_ONCE):
            await asyncio.gather(*(self.ledger.forget(key, now) for _, key in some))
        self.reader.erase_answers(deliveries)
        await asyncio.gather(*(self.blobs.delete(name) for name in traces.known.blobs))
        if self.mails:
            for id_ in _in_mails(traces.known.endpoints, deliveries):
                self.mails.erase_delivery(id_)
        for name in traces.known.destinations:
            state = await self.ledger.destination_state(name)
            if state.disabled_reason is not None or state.paused_until is not None:
                await self.ledger.release(name, now)  # its reason may be what an endpoint answered
        for partition in (
            directory.messages_of(tenant),
            directory.message_entries_of(tenant),
            directory.former_endpoints_of(tenant),
        ):
            await self._delete_all(partition)

    async def _rows(self, names: Iterable[str]) -> dict[str, LedgerRow]:
        """Return the rows of the endpoints with these names, each with its attempts."""
        found: dict[str, LedgerRow] = {}
        for name in names:
            before: Place | None = None
            while page := await self.ledger.rows(forget.PAGE, destination=name, before=before):
                found |= {row.key: row for row in page}
                before = page[-1].created_at, page[-1].key
                if len(page) < forget.PAGE:
                    break
        for some in batching.batches([*found.values()], forget.AT_ONCE):
            for row in await asyncio.gather(*(self.ledger.row(each.event_id, each.key) for each in some)):
                if row is not None:
                    found[row.key] = row
        return found

    async def _messages(self, tenant: str) -> AsyncIterator[model.Message]:
        async for document in forget.all_documents(self.documents, directory.messages_of(tenant)):
            yield directory.read_stored(model.Message, document)

    async def _answers(self, tenant: str) -> AsyncIterator[str]:
        async for document in forget.all_documents(self.documents, directory.IDEMPOTENCY):
            if directory.read_stored(Record, document).tenant == tenant:
                yield document.id

    async def _ids(self, partition: str) -> list[str]:
        return [document.id async for document in forget.all_documents(self.documents, partition)]

    async def _delete_all(self, partition: str) -> None:
        while page := await self.documents.page(partition, forget.PAGE):
            await self._delete_each(partition, [each.id for each in page])

    async def _delete_each(self, partition: str, ids: Sequence[str]) -> None:
        for some in batching.batches(ids, forget.AT_ONCE):
            await asyncio.gather(*(self.documents.delete(partition, id) for id in some))


@asynccontextmanager
async def open_tenant_forgetter(state: State, mails: forget.CaughtMails | None) -> AsyncIterator[TenantForgetter]:
    """Open the stores that have content of a tenant. Raises StateFault if the state has no documents."""
    async with state.subscriber_stores() as stores:
        destinations = [*subscriber_destinations(state)]
        yield TenantForgetter(state.reader, stores.documents, stores.ledger, stores.blobs, mails, destinations)


def subscriber_destinations(state: State) -> dict[str, str]:
    """Return the expression for the tenants of each destination that sends to subscribers, by its name."""
    return {
        name: str(jsontext.mapping_at(each, "settings").get("tenant", ""))
        for name, each in state.destinations().items()
        if kind_of(each) == SUBSCRIBERS
    }


def _in_mails(endpoints: Iterable[str], deliveries: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Return the ids by which mails are found. A mail about an endpoint belongs to a delivery to somebody else."""
    return (*endpoints, *(key for _, key in deliveries))


def _dataref(message: model.Message) -> str | None:
    document = jsontext.from_json(message.event.encode())
    return event.from_cloudevent(document).dataref
