"""The state of a deployment on Google Cloud, read and changed with the operator's own credentials."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from deploy.google.api import NotSignedIn, token_of
from deploy.google.gcloud import Gcloud, GcloudMissing
from deploy.google.names import bucket, database
from deploy.google.target import Target
from deploy.history.cloud_journal import CloudJournal
from deploy.history.cloud_state import open_cloud_state
from deploy.history.firestore_read import FirestoreJournalReader
from deploy.history.firestore_upgrade import upgrade
from deploy.history.state import State, StateFault
from shared.cloud import platform
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.records import FirestoreRecords
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import Authorization, Token, no_authorization, renewed
from shared.errors import Temporary, TemporaryCode
from shared.settings import Settings, read_settings

TOKEN_SECONDS: Final = 600.0
"""gcloud keeps its token for an hour, and does not say when it expires."""
MAX_ANSWER_BYTES: Final = 200_000_000
BEYOND_REACH: Final = (
    "messages in Pub/Sub: an event that is being processed is stored again. Pub/Sub keeps a message for 7 days at "
    "most: run the command again then",
    "the subscription dead-letters-hold: it keeps each dead letter for 31 days. deploy/gcp/README.md says how to empty "
    "it",
    "backups and exports of the database, and its point-in-time recovery, if you enabled them",
)
EMULATED: Final = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


def firestore_journal(store: Firestore, blobs: BucketBlobs) -> CloudJournal:
    """Return a view of the journal, which closes both."""
    return CloudJournal(FirestoreJournalReader(store, blobs), (store, blobs), lambda: upgrade(store))


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """The ports of one deployment. Each call makes a port of its own."""

    target: Target
    settings: Settings

    def journal(self) -> CloudJournal:
        return firestore_journal(self._firestore("journal_unavailable"), self.make_blobs())

    def make_ledger(self) -> FirestoreLedger:
        return FirestoreLedger(self._firestore("ledger_unavailable"))

    def make_blobs(self) -> BucketBlobs:
        endpoint = _endpoint(self.settings.storage_host, platform.STORAGE_ENDPOINT)
        return BucketBlobs(endpoint, bucket(self.target), self._authorization())

    def make_records(self) -> FirestoreRecords:
        return FirestoreRecords(self._firestore("records_unavailable"), platform.RECORD_PREFIX)

    def make_documents(self) -> FirestoreDocuments:
        return FirestoreDocuments(self._firestore("documents_unavailable"))

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
    with open_cloud_state(cloud_place(target, environ), environ, BEYOND_REACH) as state:
        yield state
