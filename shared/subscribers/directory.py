"""The directory: where each document of subscribers is, typed reads of it, and changes on a condition.

A document is in a partition, and has an id there. The functions below return the partitions and make the ids.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from shared.errors import Temporary
from shared.jsontext import texts_json
from shared.logs import log
from shared.store_ports import NO_VERSION, Document, Documents
from shared.subscribers.model import Endpoint, EndpointCount, Message, MessageEntry, Stored, Tenant
from shared.time_bound import back_off

Found = TypeVar("Found", bound=Stored)

# The partitions that are not a tenant's.
TENANTS: Final = "tenants"
EVENT_TYPES: Final = "event-types"
API_KEYS: Final = "api-keys"
IDEMPOTENCY: Final = "idempotency"
TRIES: Final = 8
"""The number of tries of a change while others change the same document."""
CONTENTION_SECONDS: Final = 0.02
"""The wait before the second try; it grows with each."""
FORMER_SECONDS: Final = 365 * 86_400.0
"""The time for which the id of a deleted endpoint is stored. The ledger stores its deliveries for a shorter time."""
COUNT_SECONDS: Final = 86_400.0
"""The time for which a count of endpoints is used. An earlier version of the program creates endpoints uncounted."""
QUIET_SECONDS: Final = 60.0
"""Longer than a request takes. If the count has not changed for this time, every endpoint that was counted has been
created."""
_PAGE: Final = 500
"""The number of endpoints that are read at a time."""
_LATEST_MILLISECONDS: Final = 10**14
"""A time in the year 5138. From it, the time of a message is subtracted, so that the newest message sorts first."""


def endpoints_of(tenant: str) -> str:
    """Return the partition of a tenant's endpoints."""
    return f"endpoints.{tenant}"


def former_endpoints_of(tenant: str) -> str:
    """Return the partition of the ids of a tenant's deleted endpoints, by which their deliveries are forgotten."""
    return f"former-endpoints.{tenant}"


def messages_of(tenant: str) -> str:
    """Return the partition of a tenant's messages, newest first: see `message_id`."""
    return f"messages.{tenant}"


def message_entries_of(tenant: str) -> str:
    """Return the partition by which a message is found without its time: see `entry_id`."""
    return f"message-entries.{tenant}"


def entry_id(event_id: str, route: str, destination: str) -> str:
    """Return the id of a message's entry: all that it is made of is in the ledger, too."""
    return f"{event_id}-{route_mark(route, destination)}"


def sessions_of(tenant: str) -> str:
    """Return the partition of a tenant's portal sessions."""
    return f"sessions.{tenant}"


def message_id(received_at: float, event_id: str, route: str, destination: str) -> str:
    """Return an id that sorts the newest message first. It is the same however often the event comes."""
    return f"{time_mark(received_at)}-{event_id}-{route_mark(route, destination)}"


def time_mark(at: float) -> str:
    """Return what the ids of messages of that millisecond begin with: 14 digits, which are smaller for a later time."""
    return f"{min(_LATEST_MILLISECONDS - round(at * 1000), _LATEST_MILLISECONDS - 1):014d}"


def route_mark(route: str, destination: str) -> str:
    """Return a short mark of the route and the destination: their names may have any characters.

    A route may have several destinations of subscribers, each with its own event type.
    """
    return hashlib.sha256(texts_json([route, destination])).hexdigest()[:8]


class Directory:
    """Typed access to the documents. All methods but `announce_change` raise Temporary (`documents_unavailable`)."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    async def read(self, model: type[Found], partition: str, id: str) -> tuple[Found, str] | None:
        """Return the document and its version; None if there is none."""
        found = await self.documents.get(partition, id)
        return None if found is None else (read_stored(model, found), found.version)

    async def page(
        self, model: type[Found], partition: str, limit: int, after: str = "", until: str = ""
    ) -> Sequence[Found]:
        """Return at most `limit` documents, in the order of their ids, as `Documents.page`."""
        documents = await self.documents.page(partition, limit, after, until)
        return [read_stored(model, document) for document in documents]

    async def change(
        self,
        model: type[Found],
        partition: str,
        id: str,
        decide: Callable[[Found | None], Found | None],
    ) -> Found | None:
        """Write the document that `decide` returns for the stored one, and return the document that is then stored.

        `decide` gets None if no document is stored. If it returns None, nothing is written, and the stored document is
        returned. If another change was faster, it is called again. Raises what `decide` raises.
        """
        for tries_before in range(TRIES):
            if tries_before:
                await back_off(CONTENTION_SECONDS * tries_before)
            found = await self.documents.get(partition, id)
            before = None if found is None else read_stored(model, found)
            after = decide(before)
            if after is None or after == before:
                return before
            version = NO_VERSION if found is None else found.version
            if await self.documents.write(partition, id, after.text(), version) is not None:
                return after
        raise _contention(id)

    async def endpoints(self, tenant: str) -> Sequence[Endpoint]:
        """Return all endpoints of a tenant, in the order of their ids."""
        return [read_stored(Endpoint, each) for each in await self._endpoint_documents(tenant)]

    async def _endpoint_documents(self, tenant: str) -> Sequence[Document]:
        documents: list[Document] = []
        while page := await self.documents.page(endpoints_of(tenant), _PAGE, documents[-1].id if documents else ""):
            documents += page
            if len(page) < _PAGE:
                break
        return documents

    async def count_new_endpoint(self, tenant: str, most: int, now: float) -> bool | None:
        """Count an endpoint that is about to be created.

        Return True if it may be created, False if the tenant has `most` endpoints, and None if the tenant was deleted.

        Only the tenant's document is read and written. The endpoints themselves are counted if they never were, once a
        day, and, at most once a minute, if there seem to be `most`.
        """
        for tries_before in range(TRIES):
            if tries_before:
                await back_off(CONTENTION_SECONDS * tries_before)
            stored = await self.read(Tenant, TENANTS, tenant)
            if stored is None:
                return None
            tenant_document, version = stored
            count = tenant_document.endpoints
            if count is None or _is_recount_due(count, most, now):
                endpoints = await self._endpoint_documents(tenant)
                count = EndpointCount(number=len(endpoints), changed_at=now, counted_at=now)
            has_room = count.number < most
            if has_room:
                count = count.model_copy(update={"number": count.number + 1, "changed_at": now})
            if count == tenant_document.endpoints:
                return has_room
            text = tenant_document.model_copy(update={"endpoints": count}).text()
            if await self.documents.write(TENANTS, tenant, text, version) is not None:
                return has_room
        raise _contention(tenant)

    async def uncount_endpoint(self, tenant: str, now: float) -> None:
        """Lower the count by one, for an endpoint that was counted and then deleted, or was not created."""

        def decide(before: Tenant | None) -> Tenant | None:
            if before is None or before.endpoints is None:
                return None
            update = {"number": max(0, before.endpoints.number - 1), "changed_at": now}
            return before.model_copy(update={"endpoints": before.endpoints.model_copy(update=update)})

        await self.change(Tenant, TENANTS, tenant, decide)

    async def delete_endpoint(
        self, tenant: str, id: str, now: float, expected: str | None = None, *, is_counted: bool = True
    ) -> bool:
        """Delete the endpoint, and store its id. Return False if its version is not `expected`.

        The id is stored first, so that no crash leaves a deleted endpoint without it. If several callers delete the
        endpoint at the same moment, only the one that has stored the id lowers the count.
        """
        former = former_endpoints_of(tenant)
        former_version = await self.documents.write(former, id, "{}", NO_VERSION, now + FORMER_SECONDS)
        is_deleted = await self.documents.delete(endpoints_of(tenant), id, expected)
        if former_version is None:  # another caller has stored it
            return is_deleted
        if not is_deleted:  # takes the id back, so that a later deletion stores it and lowers the count
            await self.documents.delete(former, id, former_version)
        elif is_counted:
            await self.uncount_endpoint(tenant, now)
        return is_deleted

    async def mark_endpoints_changed(self, tenant: str) -> None:
        """Write the tenant's document unchanged. By its new version, notify knows that its endpoints have changed.

        If another write was faster, that write came after the change too, and has the same effect.
        """
        if found := await self.documents.get(TENANTS, tenant):
            await self.documents.write(TENANTS, tenant, found.text, found.version)

    async def announce_change(self, tenant: str, function: str) -> None:
        """Mark the endpoints as changed. A failure is only logged: notify then reads the change some seconds later."""
        try:
            await self.mark_endpoints_changed(tenant)
        except Temporary as error:
            log("WARNING", "change not marked", function=function, code=error.code, detail=f"{tenant}: {error.detail}")

    async def keep_message(self, tenant: str, message: Message, expires_at: float) -> None:
        """Store the entry of the message and then the message. The same message again changes nothing."""
        entry = MessageEntry(id=message.id, type=message.type, is_test=message.is_test)
        id_ = entry_id(message.event_id, message.route, message.destination)
        await self.documents.write(message_entries_of(tenant), id_, entry.text(), None, expires_at)
        await self.documents.write(messages_of(tenant), message.id, message.text(), None, expires_at)


def _is_recount_due(count: EndpointCount, most: int, now: float) -> bool:
    """Return whether the endpoints are counted again: see `count_new_endpoint`. While requests create endpoints, they
    are not, because those that were counted already would be left out."""
    is_quiet = now - count.changed_at >= QUIET_SECONDS
    return is_quiet and (count.number >= most or now - count.counted_at >= COUNT_SECONDS)


def _contention(id: str) -> Temporary:
    return Temporary("documents_unavailable", f"others kept changing {id}, {TRIES} times in a row")


def read_stored(model: type[Found], document: Document) -> Found:
    """Return a stored document as its model. Raises ValueError for one that the model's `text` did not write."""
    return model.model_validate_json(document.text)
