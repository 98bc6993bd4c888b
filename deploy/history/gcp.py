"""The state of a deployment on Google Cloud, read and changed with the operator's own credentials."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar

from deploy.config.checkout import EXAMPLE_CONFIG, ROOT, choose_config
from deploy.google.api import NotSignedIn, token_of
from deploy.google.gcloud import Gcloud, GcloudMissing
from deploy.google.names import bucket, database
from deploy.google.target import Target
from deploy.history.firestore_queries import read_series
from deploy.history.firestore_read import FirestoreJournalReader
from deploy.history.journal_view import (
    COUNTED_EVENTS,
    Bucket,
    DeadLetterRow,
    EventPage,
    EventQuery,
    EventRecord,
    RequestRow,
    Totals,
)
from deploy.history.state import State, StateFault
from shared.cloud import platform
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import Authorization, Token, no_authorization, renewed
from shared.errors import Temporary, TemporaryCode
from shared.jsontext import JsonObject
from shared.settings import Settings, read_settings

TOKEN_SECONDS: Final = 600.0
"""gcloud keeps its token for an hour, and does not say when it expires."""
MAX_ANSWER_BYTES: Final = 200_000_000
EMULATED: Final = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")

Result = TypeVar("Result")


class _LoopThread:
    """An event loop in a thread of its own, for callers that are not asynchronous or run on another loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[None, None, Result]) -> Result:
        """Wait for the result. Raises what `work` raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class CloudJournal:
    """A synchronous JournalView. `store` and `blobs` are used here only: their connections belong to its event loop."""

    def __init__(self, store: Firestore, blobs: BucketBlobs) -> None:
        self._thread = _LoopThread()
        self._store = store
        self._blobs = blobs
        self._reader = FirestoreJournalReader(store, blobs)

    def version(self) -> int:
        return self._thread.run(self._reader.version())

    def index(self) -> int:
        return 0

    def events(self, query: EventQuery) -> EventPage:
        return self._thread.run(self._reader.events(query))

    def event(self, event_id: str) -> EventRecord | None:
        return self._thread.run(self._reader.event(event_id))

    def rejected(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:  # noqa: ARG002 the protocol's
        return ()

    def dead_letters(
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[DeadLetterRow, ...]:
        return self._thread.run(self._reader.letters.newest(limit, state, before))

    def dead_letter(self, dead_letter_id: str) -> DeadLetterRow | None:
        return self._thread.run(self._reader.letters.one(dead_letter_id))

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        return self._thread.run(self._reader.letters.mark(ids, state))

    def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        return self._thread.run(self._reader.ids_beginning(kind, beginning, limit))

    def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        return self._thread.run(self._reader.with_document(event_ids))

    def stored_document(self, event_id: str) -> str | None:
        return self._thread.run(self._reader.stored_document(event_id))

    def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        return self._thread.run(read_series(self._store, now, span_seconds, count))

    def counts(self) -> dict[str, int]:
        return self._thread.run(self._reader.counts(COUNTED_EVENTS))

    def totals(self) -> Totals:
        """Rejected requests are in receive's log only, so none are counted."""
        return Totals(0, self._thread.run(self._reader.letters.kept()))

    def close(self) -> None:
        self._thread.run(self._close())
        self._thread.close()

    async def _close(self) -> None:
        self._store.close()
        self._blobs.close()
        await asyncio.sleep(0)  # lets their connections close


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """The ports of one deployment. Each call makes a port of its own."""

    target: Target
    settings: Settings

    def journal(self) -> CloudJournal:
        return CloudJournal(self._firestore("journal_unavailable"), self.make_blobs())

    def make_ledger(self) -> FirestoreLedger:
        return FirestoreLedger(self._firestore("ledger_unavailable"))

    def make_blobs(self) -> BucketBlobs:
        endpoint = _endpoint(self.settings.storage_host, platform.STORAGE_ENDPOINT)
        return BucketBlobs(endpoint, bucket(self.target), self._authorization())

    def make_bus(self) -> PubSubBus:
        endpoint = _endpoint(self.settings.emulator_host, platform.PUBSUB_ENDPOINT)
        return PubSubBus(endpoint, self.target.project, self.target.prefix, self._authorization())

    def _firestore(self, code: TemporaryCode) -> Firestore:
        endpoint = _endpoint(self.settings.firestore_host, platform.FIRESTORE_ENDPOINT)
        names = self.target.project, database(self.target)
        return Firestore(endpoint, *names, self._authorization(), code, MAX_ANSWER_BYTES)

    def _authorization(self) -> Authorization:
        return no_authorization if self.settings.is_local else operator_authorization(os.environ)


def cloud_place(target: Target, environ: Mapping[str, str]) -> CloudPlace:
    """Return the deployment's ports, or the emulators'.

    Raises StateFault where only some services are emulated: a command would read one and change the other.
    """
    emulated = [name for name in EMULATED if environ.get(name)]
    if emulated and len(emulated) < len(EMULATED):
        missing = " and ".join(name for name in EMULATED if name not in emulated)
        raise StateFault(f"{' and '.join(emulated)}: set without {missing}. Set all of them or none.")
    return CloudPlace(target, read_settings(environ))


def _endpoint(host: str | None, default: str) -> str:
    if host is None:
        return default
    return host if "://" in host else f"http://{host}"


def operator_authorization(environ: Mapping[str, str]) -> Authorization:
    """Use the service account that GOOGLE_APPLICATION_CREDENTIALS names, else the account signed in to gcloud."""
    if environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        from shared.cloud.gcp.tokens import google_authorization

        return google_authorization()
    return renewed(_gcloud_token)


async def _gcloud_token() -> Token:
    try:
        text = await asyncio.to_thread(token_of(Gcloud()))
    except (NotSignedIn, GcloudMissing) as fault:
        raise Temporary("credentials_unavailable", str(fault)) from fault
    return Token(text, time.time() + TOKEN_SECONDS)


@contextmanager
def open_gcp_state(target: Target, environ: Mapping[str, str]) -> Iterator[State]:
    """Raises StateFault."""
    place = cloud_place(target, environ)
    reader = place.journal()
    try:
        yield State(
            reader=reader,
            ledger=lambda: closing(place.make_ledger()),
            blobs=lambda: closing(place.make_blobs()),
            bus=lambda: closing(place.make_bus()),
            destinations=lambda: configured_destinations(environ),
            transform_slice=lambda: configured_slice(environ, "transform"),
        )
    finally:
        reader.close()


class Port(Protocol):
    def close(self) -> None: ...


AnyPort = TypeVar("AnyPort", bound=Port)


@asynccontextmanager
async def closing(port: AnyPort) -> AsyncIterator[AnyPort]:
    try:
        yield port
    finally:
        port.close()
        await asyncio.sleep(0)  # lets its connections close


def configured_destinations(environ: Mapping[str, str]) -> Sequence[str]:
    """Return the names in the operator's configuration; none where no configuration can be read."""
    destinations = (configured_slice(environ, "notify") or {}).get("destinations")
    return tuple(destinations) if isinstance(destinations, dict) else ()


def configured_slice(environ: Mapping[str, str], function: str) -> JsonObject | None:
    """Return the function's slice of the operator's configuration; None where no configuration can be read."""
    from deploy.config.compiler import compile_config, read_config  # slow to import
    from deploy.config.faults import ConfigFaults

    path = choose_config(environ, ROOT)
    if path == ROOT / EXAMPLE_CONFIG:
        return None
    try:
        return compile_config(read_config(path, environ))[function]
    except ConfigFaults:
        return None
