"""Journal, ledger, blobs and bus of one deployment, behind one interface for every platform."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

from deploy.config import checkout, running_dev
from deploy.history import digests, journal_view, stored_messages
from deploy.history.ports import CloudPorts, StoredBlobs, closing_port
from deploy.terminal.command_line import CommandError
from shared import store_ports
from shared.jsontext import Json, JsonObject, mapping_at, value_at
from shared.ledger import Ledger, LedgerRow
from shared.ports import Bus
from shared.subscribers.names import endpoint_name

LEAST_ID_CHARACTERS: Final = 6
"""The least characters of the beginning of an id that stands for the id."""
MAX_LISTED_IDS: Final = 3
"""The most ids that a message lists if several begin alike."""
MAX_DELIVERIES: Final = 1_000
_NAMES: Final = {"events": "event", "dead_letters": "dead letter"}

Answer = TypeVar("Answer")

ConfiguredDestinations: TypeAlias = Mapping[str, Json]
"""The destinations of notify's slice, by name."""


class StateFault(CommandError):
    """The reason why a command cannot read or change the state."""


@dataclass(frozen=True, slots=True)
class SubscriberStores:
    """The stores that the commands about subscribers use. `bus` is opened only to publish something."""

    documents: store_ports.Documents
    ledger: Ledger
    blobs: StoredBlobs
    bus: Callable[[], AbstractAsyncContextManager[Bus]]


@dataclass(frozen=True, slots=True)
class State:
    """The stored state of one deployment.

    reader                reads the journal
    ledger, blobs, bus    are opened on the caller's event loop; `bus` raises StateFault if there is none
    …_slice               returns a function's slice of the configuration; None if it is not known
    beyond_reach          says what `hookchain forget` cannot erase on this platform
    rewrite_files         rewrites the files from which something was erased; returns those that could not be, and why
    records, documents    are opened as the ledger is; None if there are none. `documents` are those of subscribers
    lists_accepted        an event is in the journal from its arrival on, before transform has processed it
    troubles              returns the reasons why no events are processed now, as far as they are known
    """

    reader: journal_view.JournalView
    ledger: Callable[[], AbstractAsyncContextManager[Ledger]]
    blobs: Callable[[], AbstractAsyncContextManager[StoredBlobs]]
    bus: Callable[[], AbstractAsyncContextManager[Bus]]
    notify_slice: Callable[[], JsonObject | None]
    transform_slice: Callable[[], JsonObject | None]
    beyond_reach: Sequence[str] = ()
    rewrite_files: Callable[[], Sequence[str]] = tuple
    records: Callable[[], AbstractAsyncContextManager[store_ports.Records | None]] = nullcontext
    documents: Callable[[], AbstractAsyncContextManager[store_ports.Documents | None]] = nullcontext
    receive_slice: Callable[[], JsonObject | None] = lambda: None
    lists_accepted: bool = False
    troubles: Callable[[], Sequence[str]] = tuple

    @asynccontextmanager
    async def subscriber_stores(self) -> AsyncIterator[SubscriberStores]:
        """Open the stores of subscribers. Raises StateFault if the state has no documents."""
        async with self.documents() as documents, self.ledger() as ledger, self.blobs() as blobs:
            if documents is None:
                raise StateFault("this state has no documents of subscribers")
            yield SubscriberStores(documents, ledger, blobs, self.bus)

    def find_id(self, kind: Literal["events", "dead_letters"], prefix: str) -> str:
        """Return the id that is `prefix`, or the only one that begins with it. Raises StateFault."""
        matching_ids = self.reader.ids_beginning(
            kind, prefix, MAX_LISTED_IDS + 1
        )  # the last one shows that there are more
        if prefix in matching_ids:
            return prefix
        name = _NAMES[kind]
        if not matching_ids:
            if kind == "dead_letters" and (letters := self._letters_of_events(prefix)):
                raise StateFault(f"{prefix!r} is an event's id: name its dead letter's, {', '.join(letters)}")
            raise StateFault(f"no {name} has an id that is {prefix!r} or begins with it{self.missing_note(kind)}")
        if len(prefix) < LEAST_ID_CHARACTERS:
            rule = f"the beginning of an id must have at least {LEAST_ID_CHARACTERS} characters"
            raise StateFault(f"{rule}; got {prefix!r}")
        if len(matching_ids) > 1:
            more = " …" if len(matching_ids) > MAX_LISTED_IDS else ""
            listed_ids = ", ".join(matching_ids[:MAX_LISTED_IDS])
            raise StateFault(f"more than one {name} begins with {prefix!r}: {listed_ids}{more}")
        return matching_ids[0]

    def _letters_of_events(self, prefix: str) -> list[str]:
        """Return the ids of the dead letters of the event whose id begins with the prefix, if it is the only one."""
        events = self.reader.ids_beginning("events", prefix, 2)
        return [letter.id for letter in self.reader.letters_of_event(events[0])] if len(events) == 1 else []

    def missing_note(self, kind: str) -> str:
        """Return why an event or a dead letter (`kind` as in `find_id`) may not be found although it exists.

        On this machine, each is listed at once, so it can only be in another state folder.
        """
        if self.lists_accepted:
            return f". {running_dev.OTHER_FOLDER}"
        if kind != "events":
            return ""
        return ". An event is listed once transform has processed it: `hookchain logs --event ID` shows it before that"

    def destinations(self) -> ConfiguredDestinations:
        """Return the destinations of the configuration; none if it is not known."""
        return configured_destinations(self.notify_slice())

    def digest(self, event_id: str) -> digests.DigestRecord | None:
        """Return the digest or burst whose event has that id; None if there is none."""
        letters = self.reader.letters_of_event(event_id)
        return self._ask_ledger(lambda ledger: digests.find_digest(ledger, event_id, letters))

    def deliveries(self, event_id: str) -> list[LedgerRow]:
        """Return the event's deliveries, oldest first."""
        newest_first = self._ask_ledger(lambda ledger: ledger.rows(MAX_DELIVERIES, event_id=event_id))
        return list(reversed(newest_first))

    def rows(self, limit: int, delivery_state: str) -> list[LedgerRow]:
        """Return the newest deliveries that the ledger has in that state."""
        return list(self._ask_ledger(lambda ledger: ledger.rows(limit, state=delivery_state)))

    def _ask_ledger(self, ask: Callable[[Ledger], Awaitable[Answer]]) -> Answer:
        async def answer() -> Answer:
            async with self.ledger() as ledger:
                return await ask(ledger)

        return asyncio.run(answer())

    def event_with_data(self, document: JsonObject | None) -> JsonObject | None:
        """Return the event with the data from its blob; without it if the blob is gone."""
        if document is None or "dataref" not in document:
            return document

        async def read() -> JsonObject:
            async with self.blobs() as blobs:
                return await stored_messages.event_with_data(document, blobs)

        return asyncio.run(read())


@contextmanager
def open_cloud_state(ports: CloudPorts, environ: Mapping[str, str], beyond_reach: Sequence[str]) -> Iterator[State]:
    """Open the state of a deployment in a cloud: the journal until the end, and each other port while it is used."""
    reader = ports.journal()
    try:
        yield State(
            reader=reader,
            ledger=lambda: closing_port(ports.make_ledger()),
            blobs=lambda: closing_port(ports.make_blobs()),
            bus=lambda: closing_port(ports.make_bus()),
            records=lambda: closing_port(ports.make_records()),
            documents=lambda: closing_port(ports.make_documents()),
            notify_slice=lambda: configured_slice(environ, "notify"),
            transform_slice=lambda: configured_slice(environ, "transform"),
            receive_slice=lambda: configured_slice(environ, "receive"),
            beyond_reach=beyond_reach,
        )
    finally:
        reader.close()


def configured_slice(environ: Mapping[str, str], function: str) -> JsonObject | None:
    """Return the function's slice of the operator's configuration; None if there is none, or if it has faults.

    The example is not the operator's.
    """
    # Imported here, because it is slow to import.
    from deploy.config.compiler import compile_config, read_config
    from deploy.config.config_file import ConfigFaults

    path = checkout.choose_config(environ, checkout.ROOT)
    if path == checkout.ROOT / checkout.EXAMPLE_CONFIG:
        return None
    try:
        return compile_config(read_config(path, environ)).get(function)
    except ConfigFaults:
        return None


def configured_destinations(slice_: Mapping[str, Json] | None) -> ConfiguredDestinations:
    """Return the destinations of the slice; none if there is no slice."""
    return mapping_at((slice_ or {}).get("destinations"))


def configured_name(destination: str) -> str:
    """Return the name of the configured destination, with which the name of an endpoint begins."""
    name = endpoint_name(destination)
    return name.destination if name else destination


def kind_of(destination: Json) -> str:
    kind = value_at(destination, "kind")
    return kind if isinstance(kind, str) else ""
